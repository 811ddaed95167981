/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory does not grow with the trace: ten times as much needs < 64 MiB more. */
#include <fcntl.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/trace.h"

extern char **environ;

/* call 0x1010; jnz 0x1000; at 0x1010: nop; ret */
static const uint8_t code[] = {
	0xe8, 0x0b, 0, 0, 0, 0x75, 0xf9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x90, 0xc3,
};

/* A file with at least @size bytes of trace, of two vCPUs. */
static void make_file(const char *path, size_t size)
{
	struct psb psb = { .mode = 64, .ip = 0x1000, .cr3 = 0x5000, .tsc = 1000 };
	struct xenpt_writer *writer;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	check_error(xenpt_writer_create(fd, path, &writer));
	describe_code(writer);
	check_error(
		xenpt_writer_code(writer, 0, XENPT_CR3_ANY, 0x1000, code, sizeof(code)));
	describe_vcpu(writer, 0);
	describe_vcpu(writer, 1);
	for (size_t done = 0; done < size;) {
		struct trace trace = {};

		for (int i = 0; i < 20; i++, psb.tsc += 100) {
			trace_psb_plus(&trace, &psb);
			for (int j = 0; j < 200; j++)
				trace_tnt(&trace, "111111");
		}
		check_error(xenpt_writer_trace(writer, 0, trace.data, trace.size));
		check_error(xenpt_writer_trace(writer, 1, trace.data, trace.size));
		done += 2 * trace.size;
		trace_deinit(&trace);
	}
	check_error(xenpt_writer_finish(writer));
	xenpt_writer_destroy(writer);
	close(fd);
}

/* Peak memory in KiB of "xenpt decode" with these arguments. */
static long peak(const char *path, const char *arg, const char *value)
{
	char *argv[] = {
		(char *)"xenpt/xenpt", (char *)"decode", (char *)"-j2", (char *)arg,
		(char *)value,         (char *)path,     NULL
	};
	posix_spawn_file_actions_t actions;
	struct rusage usage;
	pid_t pid;
	int status;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	/* What AddressSanitizer keeps of freed memory is not the program's. */
	setenv("ASAN_OPTIONS", "quarantine_size_mb=1:detect_leaks=0", 1);
	assert_int_equal(posix_spawn(&pid, argv[0], &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	assert_int_equal(wait4(pid, &status, 0, &usage), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return usage.ru_maxrss;
}

static void test_memory(void **state)
{
	static const char *const formats[] = { "packets", "branches", "calls" };
	char small[] = "/tmp/xenpt-test-XXXXXX", large[] = "/tmp/xenpt-test-XXXXXX";
	long before, after;

	close(mkstemp(small));
	close(mkstemp(large));
	make_file(small, 1 << 17);
	make_file(large, 10 << 17);
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		before = peak(small, "-F", formats[i]);
		after = peak(large, "-F", formats[i]);
		print_message("%s: %ld KiB, then %ld KiB\n", formats[i], before, after);
		assert_true(after - before < 64 << 10);
	}
	before = peak(small, "--stats", "--strict");
	after = peak(large, "--stats", "--strict");
	print_message("stats: %ld KiB, then %ld KiB\n", before, after);
	assert_true(after - before < 64 << 10);
	unlink(small);
	unlink(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_memory) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
