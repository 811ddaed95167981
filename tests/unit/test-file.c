/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The .xpt file, whole: what is written comes back, and failures are told. */
#include "xpt.h"

#include "libxenpt/crc32c.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

enum {
	BIG = 700 * 1024, /* three chunks of trace */
	PIPE_SIZE = 4096,
};

/* Half of it can be compressed. */
static uint8_t *make_trace(void)
{
	uint8_t *trace = malloc(BIG);

	assert_non_null(trace);
	for (size_t i = 0; i < BIG; i++)
		trace[i] = i < BIG / 2 ? i / 1000 : noise(i);
	return trace;
}

static const struct xenpt_cpu cpu = {
	.family = 6,
	.model = 85,
	.stepping = 7,
	.intel = 1,
	.nom_freq = 24,
	.mtc_freq = 3,
	.cpuid_15_eax = 2,
	.cpuid_15_ebx = 192,
	.time_shift = 31,
	.time_mult = 894784853,
	.time_zero = 0x123456789abcdef,
};

static const struct xenpt_symbol symbols[] = {
	{ 0x401000, 16, "main", "ignored" },
	{ 0x401010, 0, "", "" },
};

static void write_sample(struct xenpt_writer *writer, const uint8_t *trace)
{
	struct xenpt_vcpu zero = { 0, "cpu0.pt" }, nine = { 9, "" };
	struct xenpt_image_info image = { 7, "/bin/true", "c0ffee", 0x1000 };

	assert_success(xenpt_writer_cpu(writer, &cpu));
	assert_success(xenpt_writer_vcpu(writer, &nine));
	assert_success(xenpt_writer_vcpu(writer, &zero));
	assert_success(xenpt_writer_trace(writer, 0, trace, 5));
	assert_success(xenpt_writer_trace(writer, 9, trace, BIG));
	assert_success(xenpt_writer_gap(writer, 0, XENPT_GAP_LAPPED, 4096));
	assert_success(xenpt_writer_trace(writer, 0, trace, 0));
	assert_success(xenpt_writer_trace(writer, 0, trace + 5, 3));
	assert_success(xenpt_writer_image(writer, &image));
	assert_success(xenpt_writer_code(writer, 7, 0x2000, 0x401000, trace, 64));
	assert_success(xenpt_writer_symbols(writer, 7, symbols, 2));
	assert_success(xenpt_writer_finish(writer));
}

static void check_trace(const struct xenpt_file *file, const uint8_t *trace)
{
	const struct xenpt_chunk *chunks;
	uint64_t done = 0;
	size_t count;

	chunks = xenpt_file_trace(file, 9, &count);
	assert_int_equal(count, 3);
	for (size_t i = 0; i < count; i++) {
		uint8_t *data = malloc(chunks[i].size);

		assert_int_equal(chunks[i].type, XENPT_SECTION_TRACE);
		assert_int_equal(chunks[i].offset, done);
		assert_success(xenpt_file_read(file, &chunks[i], data));
		assert_memory_equal(data, trace + done, chunks[i].size);
		done += chunks[i].size;
		free(data);
	}
	assert_int_equal(done, BIG);

	chunks = xenpt_file_trace(file, 0, &count);
	assert_int_equal(count, 3);
	assert_int_equal(chunks[1].type, XENPT_SECTION_GAP);
	assert_int_equal(chunks[1].gap, XENPT_GAP_LAPPED);
	assert_int_equal(chunks[1].lost, 4096);
	assert_int_equal(chunks[1].offset, 5);
	assert_int_equal(chunks[2].offset, 5);
	assert_int_equal(chunks[2].size, 3);
	assert_success(xenpt_file_read(file, &chunks[1], NULL));

	assert_null(xenpt_file_trace(file, 1, &count));
	assert_int_equal(count, 0);
	assert_null(xenpt_file_trace(file, UINT32_MAX, &count));
}

static void check_sample(const struct xenpt_file *file, const uint8_t *trace)
{
	const struct xenpt_file_info *info = xenpt_file_info(file);
	const struct xenpt_chunk *chunks;
	uint8_t code[64];
	size_t count;

	assert_true(info->complete);
	assert_int_equal(info->damage_count, 0);
	assert_int_equal(info->major, 1);
	assert_non_null(strstr(info->creator, xenpt_version()));
	assert_memory_equal(&info->cpu, &cpu, sizeof(cpu));
	assert_int_equal(info->vcpu_count, 2);
	assert_int_equal(info->vcpus[0].vcpu.id, 0);
	assert_string_equal(info->vcpus[0].vcpu.name, "cpu0.pt");
	assert_int_equal(info->vcpus[0].size, 8);
	assert_int_equal(info->vcpus[0].gaps, 1);
	assert_int_equal(info->vcpus[0].lost, 4096);
	assert_int_equal(info->vcpus[1].vcpu.id, 9);
	assert_string_equal(info->vcpus[1].vcpu.name, "");
	assert_int_equal(info->vcpus[1].size, BIG);
	assert_int_equal(info->image_count, 1);
	assert_int_equal(info->images[0].id, 7);
	assert_string_equal(info->images[0].name, "/bin/true");
	assert_string_equal(info->images[0].build_id, "c0ffee");
	assert_int_equal(info->images[0].cr3, 0x1000);
	assert_ptr_equal(xenpt_file_image(file, 7), &info->images[0]);
	assert_null(xenpt_file_image(file, 8));
	assert_int_equal(info->code_size, 64);
	check_trace(file, trace);

	chunks = xenpt_file_code(file, &count);
	assert_int_equal(count, 1);
	assert_int_equal(chunks[0].cr3, 0x2000);
	assert_int_equal(chunks[0].offset, 0x401000);
	assert_int_equal(chunks[0].image, 7);
	assert_success(xenpt_file_read(file, &chunks[0], code));
	assert_memory_equal(code, trace, 64);
	xenpt_file_symbols(file, &count);
	assert_int_equal(count, 1);
}

static void test_round_trip(void **state)
{
	uint8_t *trace = make_trace();
	struct xenpt_writer *writer;
	struct xenpt_file *file;
	struct bytes bytes;
	int fd;

	writer = writer_open(&fd);
	write_sample(writer, trace);
	bytes = writer_close(writer, fd);
	assert_success(open_bytes(bytes.data, bytes.size, &file));
	assert_int_equal(xenpt_file_info(file)->size, bytes.size);
	check_sample(file, trace);
	xenpt_file_close(file);
	if (xenpt_features()[0].version)
		assert_true(bytes.size < BIG); /* half of it was compressed */
	free(bytes.data);
	free(trace);
}

struct pipe_end {
	int fd;
	const uint8_t *trace;
};

static void *write_pipe(void *arg)
{
	struct pipe_end *end = arg;
	struct xenpt_writer *writer;

	assert_success(xenpt_writer_create(end->fd, "pipe", &writer));
	write_sample(writer, end->trace);
	xenpt_writer_destroy(writer);
	close(end->fd);
	return NULL;
}

/* Read from a pipe while it is written; @flags of the writing end. */
static void check_pipe(int flags, bool is_stdin)
{
	int fds[2], saved = dup(STDIN_FILENO);
	uint8_t *trace = make_trace();
	struct xenpt_file *file;
	struct pipe_end end;
	pthread_t thread;
	char path[64];

	assert_int_equal(pipe(fds), 0);
	fcntl(fds[1], F_SETPIPE_SZ, PIPE_SIZE);
	assert_int_equal(fcntl(fds[1], F_SETFL, flags), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	dup2(fds[0], STDIN_FILENO);
	end = (struct pipe_end){ fds[1], trace };
	assert_int_equal(pthread_create(&thread, NULL, write_pipe, &end), 0);
	assert_success(xenpt_file_open(is_stdin ? "-" : path, &file));
	pthread_join(thread, NULL);
	dup2(saved, STDIN_FILENO);
	check_sample(file, trace);
	xenpt_file_close(file);
	close(fds[0]);
	close(saved);
	free(trace);
}

static void test_pipe(void **state)
{
	check_pipe(0, true);
	check_pipe(0, false);
	check_pipe(O_NONBLOCK, true);
}

static void check_bad_input(const char *path, enum xenpt_error_code code,
			    const char *text)
{
	struct xenpt_file *file = NULL;

	assert_error(xenpt_file_open(path, &file), code, path);
	assert_error(xenpt_file_open(path, &file), code, text);
	assert_null(file);
}

static void test_bad_input(void **state)
{
	struct xenpt_file *file;

	check_bad_input("/", XENPT_ERROR_FORMAT, "directory");
	check_bad_input("/dev/zero", XENPT_ERROR_FORMAT, "device");
	check_bad_input("/no/such", XENPT_ERROR_OS, strerror(ENOENT));
	check_bad_input("/proc/self/exe", XENPT_ERROR_FORMAT, "\"\\x7fELF");
	assert_error(open_bytes("", 0, &file), XENPT_ERROR_FORMAT, "empty");
	assert_error(open_bytes("P", 1, &file), XENPT_ERROR_FORMAT, "begins with \"P\"");
	assert_error(open_bytes("PERFILE2h", 9, &file), XENPT_ERROR_FORMAT,
		     "begins with \"PERFILE2\"");
	assert_error(open_bytes("\"\n\x1b[m", 5, &file), XENPT_ERROR_FORMAT,
		     "\\x22\\x0a\\x1b[m");
}

/* Cannot write: the error says why and where, and it stays. */
static void check_write_fails(int fd, int errnum)
{
	struct xenpt_writer *writer = NULL;
	struct xenpt_error *err = xenpt_writer_create(fd, "out.xpt", &writer);

	assert_null(writer);
	assert_int_equal(err->code, XENPT_ERROR_OS);
	assert_int_equal(err->errnum, errnum);
	assert_non_null(strstr(err->message, "out.xpt"));
	xenpt_error_destroy(err);
}

static void test_write_fails(void **state)
{
	struct xenpt_vcpu vcpu = { 0, "" };
	struct xenpt_writer *writer;
	int fds[2];

	fds[0] = open("/dev/full", O_WRONLY | O_CLOEXEC);
	check_write_fails(fds[0], ENOSPC);
	close(fds[0]);

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(fds), 0);
	assert_success(xenpt_writer_create(fds[1], "out.xpt", &writer));
	close(fds[0]);
	check_write_fails(fds[1], EPIPE);
	assert_error(xenpt_writer_vcpu(writer, &vcpu), XENPT_ERROR_OS, strerror(EPIPE));
	/* Also where it could be written again: part of it is missing. */
	fds[0] = open("/dev/null", O_WRONLY | O_CLOEXEC);
	assert_int_equal(dup2(fds[0], fds[1]), fds[1]);
	close(fds[0]);
	assert_error(xenpt_writer_vcpu(writer, &vcpu), XENPT_ERROR_OS, strerror(EPIPE));
	assert_error(xenpt_writer_finish(writer), XENPT_ERROR_OS, "out.xpt");
	xenpt_writer_destroy(writer);
	close(fds[1]);
}

static void test_misuse(void **state)
{
	struct xenpt_image_info image = { 1, "", "", XENPT_CR3_ANY };
	struct xenpt_vcpu vcpu = { XENPT_VCPUS_MAX, "" };
	struct xenpt_writer *writer;
	struct bytes bytes;
	int fd;

	writer = writer_open(&fd);
	assert_error(xenpt_writer_vcpu(writer, &vcpu), XENPT_ERROR_INVALID, "vCPU 4096");
	assert_error(xenpt_writer_trace(writer, 1, "x", 1), XENPT_ERROR_INVALID,
		     "vCPU 1");
	assert_error(xenpt_writer_gap(writer, 1, XENPT_GAP_SEAM, 0), XENPT_ERROR_INVALID,
		     "vCPU 1");
	vcpu.id = 1;
	assert_success(xenpt_writer_vcpu(writer, &vcpu));
	assert_error(xenpt_writer_vcpu(writer, &vcpu), XENPT_ERROR_INVALID, "twice");
	assert_success(xenpt_writer_trace(writer, 1, "x", 1));
	assert_error(xenpt_writer_cpu(writer, &cpu), XENPT_ERROR_INVALID, "CPU");
	assert_error(xenpt_writer_code(writer, 1, 0, 0, "x", 1), XENPT_ERROR_INVALID,
		     "image 1");
	assert_success(xenpt_writer_image(writer, &image));
	assert_error(xenpt_writer_image(writer, &image), XENPT_ERROR_INVALID, "twice");
	assert_error(xenpt_writer_code(writer, 1, 0, UINT64_MAX, "xy", 2),
		     XENPT_ERROR_INVALID, "last address");
	assert_success(xenpt_writer_code(writer, 1, 0, UINT64_MAX, "x", 1));
	assert_success(xenpt_writer_finish(writer));
	assert_error(xenpt_writer_finish(writer), XENPT_ERROR_INVALID, "finished");
	bytes = writer_close(writer, fd);
	free(bytes.data);
}

static void test_newer(void **state)
{
	struct section_file newer = { .major = 2, .minor = 3 };
	struct section_header header;
	struct xenpt_writer *writer;
	struct xenpt_file *file;
	struct bytes bytes;
	int fd;

	writer = writer_open(&fd);
	bytes = writer_close(writer, fd);
	header = header_at(bytes, 0);
	memcpy(bytes.data + sizeof(header), &newer, sizeof(newer));
	header.payload_crc = xenpt_crc32c(0, bytes.data + sizeof(header), header.size);
	reseal(bytes, 0, header);
	assert_error(open_bytes(bytes.data, bytes.size, &file), XENPT_ERROR_UNSUPPORTED,
		     "has format 2.3; this version of xenpt reads format 1");
	free(bytes.data);
}

/* A chunk of a later minor version is skipped. */
static void test_unknown_type(void **state)
{
	uint8_t *trace = make_trace();
	struct section_header header;
	struct xenpt_writer *writer;
	struct xenpt_file *file;
	struct bytes bytes;
	size_t at[32];
	int fd;

	writer = writer_open(&fd);
	write_sample(writer, trace);
	bytes = writer_close(writer, fd);
	find_chunks(bytes, at, 32);
	header = header_at(bytes, at[1]);
	header.type = 0x7777;
	header.flags = 0;
	reseal(bytes, at[1], header);
	assert_success(open_bytes(bytes.data, bytes.size, &file));
	assert_true(xenpt_file_info(file)->complete);
	assert_int_equal(xenpt_file_info(file)->cpu.family, 0);
	xenpt_file_close(file);
	free(bytes.data);
	free(trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_bad_input),    cmocka_unit_test(test_write_fails),
		cmocka_unit_test(test_misuse),       cmocka_unit_test(test_newer),
		cmocka_unit_test(test_unknown_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
