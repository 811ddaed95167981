/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The back-end and the server that it talks to, with a stand-in for the CPU. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "hv/hv.h"
#include "hv/ring.h"
#include "hv/sim-link.h"
#include "tests/sim-fake.h"
#include "tests/trace.h"

#define VCPUS 2

static struct hv_domain *open_domain(const char *name)
{
	struct hv_domain *domain;

	check_error(hv_open(name, NULL, &domain));
	return domain;
}

static void check_refused(const char *name, const char *why)
{
	struct hv_domain *domain = NULL;
	struct xenpt_error *err = hv_open(name, NULL, &domain);

	assert_non_null(err);
	if (!strstr(err->message, why))
		fail_msg("'%s' lacks '%s'", err->message, why);
	assert_null(domain);
	xenpt_error_destroy(err);
}

static struct hv_domain *open_traced(const char *name, struct hv_trace trace)
{
	struct hv_domain *domain = open_domain(name);

	if (!trace.size)
		trace.size = 16384;
	trace.cr3 = XENPT_CR3_ANY;
	trace.mtc = trace.cyc = -1;
	check_error(domain->ops->trace_start(domain, &trace));
	return domain;
}

static void close_domain(struct hv_domain *domain)
{
	domain->ops->close(domain);
}

/* Of a domain: what comes after the prefix. */
static const char *name_of(const struct hv_domain *domain)
{
	return domain->info->name + strlen(SIM_PREFIX);
}

/* A domain's process, to wait for. */
static int watch_process(const struct hv_domain *domain, pid_t *pid_ret)
{
	struct sim_link *link;
	int fd;

	check_error(sim_link_open(name_of(domain), true, &link));
	fd = syscall(SYS_pidfd_open, (pid_t)link->hello.pid, 0);
	assert_true(fd >= 0);
	if (pid_ret)
		*pid_ret = link->hello.pid;
	sim_link_close(link);
	return fd;
}

static void wait_for_end(int fd)
{
	struct pollfd pollfd = { fd, POLLIN, 0 };

	assert_int_equal(poll(&pollfd, 1, 20000), 1);
	close(fd);
}

static void end_domain(struct hv_domain *domain)
{
	pid_t pid;
	int fd = watch_process(domain, &pid);

	kill(pid, SIGTERM);
	wait_for_end(fd);
	close_domain(domain);
}

static struct hv_event wait_event(struct hv_domain *domain)
{
	struct pollfd pollfd = { domain->ops->fd(domain), POLLIN, 0 };
	struct hv_event event;

	for (;;) {
		check_error(domain->ops->event(domain, &event));
		if (event.type != HV_EVENT_NONE)
			return event;
		assert_int_equal(poll(&pollfd, 1, 20000), 1);
	}
}

static struct hv_position position_of(struct hv_domain *domain, uint32_t vcpu)
{
	struct hv_position position;

	check_error(domain->ops->position(domain, vcpu, &position));
	assert_true(position.has_total);
	return position;
}

struct reader {
	struct ring ring;
	uint64_t good, lost;
};

static void reader_init(struct reader *reader, struct hv_domain *domain, uint32_t vcpu)
{
	size_t size;
	const uint8_t *data = domain->ops->buffer(domain, vcpu, &size);

	assert_non_null(data);
	*reader = (struct reader){};
	ring_init(&reader->ring, data, size);
}

/* Read what is new; what is vouched for must be what was put out. */
static void reader_read(struct reader *reader, struct hv_domain *domain, uint32_t vcpu)
{
	static uint8_t bytes[1 << 20];
	struct hv_position position = position_of(domain, vcpu);
	struct ring_spans spans;
	uint64_t lost, n;

	ring_read(&reader->ring, &position, sizeof(bytes), &spans);
	n = spans.spans[0].size + spans.spans[1].size;
	memcpy(bytes, spans.spans[0].data, spans.spans[0].size);
	memcpy(bytes + spans.spans[0].size, spans.spans[1].data, spans.spans[1].size);
	position = position_of(domain, vcpu);
	lost = ring_check(&reader->ring, &spans, &position);
	for (uint64_t i = lost; i < n; i++) {
		if (bytes[i] != sim_fake_byte(vcpu, spans.from + i))
			fail_msg("vCPU %u: byte %ju differs", vcpu,
				 (uintmax_t)(spans.from + i));
	}
	reader->lost += spans.lost + lost;
	reader->good += n - lost;
	check_error(domain->ops->consume(domain, vcpu, reader->ring.read));
}

static void stream(const char *name, bool lossless, uint64_t size)
{
	struct hv_domain *domain =
		open_traced(name, (struct hv_trace){ .lossless = lossless });
	struct reader readers[VCPUS];

	for (uint32_t i = 0; i < VCPUS; i++)
		reader_init(&readers[i], domain, i);
	while (readers[0].good < size || readers[1].good < size) {
		struct hv_event event = wait_event(domain);

		assert_true(event.type == HV_EVENT_DATA || event.type == HV_EVENT_FULL);
		assert_true(event.vcpu < VCPUS);
		reader_read(&readers[event.vcpu], domain, event.vcpu);
	}
	check_error(domain->ops->trace_stop(domain));
	for (uint32_t i = 0; i < VCPUS; i++) {
		reader_read(&readers[i], domain, i);
		assert_int_equal(position_of(domain, i).total, readers[i].ring.read);
		assert_int_equal(readers[i].good + readers[i].lost, readers[i].ring.read);
		if (lossless)
			assert_int_equal(readers[i].lost, 0);
	}
	end_domain(domain);
}

static void test_stream(void **state)
{
	stream("sim:run", true, 300000);
	stream("sim:run", false, 100000);
	stream("sim:run,tiny", true, 100000);
	stream("sim:run,topa=4k+16k+8k", true, 100000);
}

static void test_stop(void **state)
{
	struct hv_domain *domain = open_traced("sim:run,stop", (struct hv_trace){});
	struct hv_position position;
	struct reader reader;

	for (int i = 0; i < 3; i++) {
		do
			position = position_of(domain, 1);
		while (!position.stopped);
		assert_int_equal(position.total, 16384);
		assert_false(position.tampered);
		reader_init(&reader, domain, 1);
		reader_read(&reader, domain, 1);
		assert_int_equal(reader.good, 16384);
		check_error(domain->ops->restart(domain, 1));
	}
	end_domain(domain);
}

static void test_tampered(void **state)
{
	struct hv_domain *domain = open_traced("sim:hostile", (struct hv_trace){});
	struct hv_position position;

	do
		position = position_of(domain, 0);
	while (!position.tampered);
	check_error(domain->ops->restart(domain, 0));
	do
		position = position_of(domain, 0);
	while (!position.tampered);
	end_domain(domain);
}

/* It is there for who saw it crash, and then goes. */
static void test_crash(void **state)
{
	struct hv_domain *domain = open_traced("sim:crash", (struct hv_trace){});
	struct xenpt_registers registers;
	struct hv_event event;
	char *text, memory[12];
	int process;

	assert_int_equal(domain->info->vcpus, VCPUS);
	assert_string_equal(domain->info->type, "sim");
	process = watch_process(domain, NULL);
	do
		event = wait_event(domain);
	while (event.type != HV_EVENT_STATE);
	assert_int_equal(domain->info->state, HV_CRASHED);
	check_error(domain->ops->registers(domain, 1, &registers));
	assert_int_equal(registers.rip, 0x1001);
	check_error(domain->ops->console(domain, &text));
	assert_string_equal(text, "last words\n");
	free(text);
	assert_true(xenpt_mem_read(domain->mem, 0x1000, memory, 12));
	assert_memory_equal(memory, "guest memory", 12);
	assert_false(xenpt_mem_read(domain->mem, 32 << 20, memory, 12));
	assert_false(xenpt_mem_read(domain->mem, UINT64_MAX - 3, memory, 12));
	close_domain(domain);
	wait_for_end(process);
}

static void test_end(void **state)
{
	struct hv_domain *domain =
		open_traced("sim:end", (struct hv_trace){ .size = 1 << 20 });
	struct hv_event event;
	struct reader reader;
	int process = watch_process(domain, NULL);

	do
		event = wait_event(domain);
	while (event.type != HV_EVENT_STATE);
	assert_int_equal(domain->info->state, HV_ENDED);
	reader_init(&reader, domain, 0);
	reader_read(&reader, domain, 0);
	assert_true(reader.good >= 20000);
	close_domain(domain);
	wait_for_end(process);
}

/* Its process is killed: what is in memory can be read, and nothing fails. */
static void test_killed(void **state)
{
	struct hv_domain *domain = open_traced("sim:run", (struct hv_trace){});
	struct hv_position before, after;
	struct sockaddr_un address;
	struct hv_event event;
	pid_t pid;
	int process = watch_process(domain, &pid);

	before = position_of(domain, 0);
	kill(pid, SIGKILL);
	wait_for_end(process);
	do
		event = wait_event(domain);
	while (event.type != HV_EVENT_STATE);
	assert_int_equal(domain->info->state, HV_ENDED);
	after = position_of(domain, 0);
	assert_int_equal(before.total, after.total);
	assert_false(before.gone);
	assert_true(after.gone); /* what it put out since then is not told */
	check_error(domain->ops->trace_stop(domain));
	check_error(domain->ops->event(domain, &event));
	assert_int_equal(event.type, HV_EVENT_NONE);
	/* Nobody is there to take the socket away. */
	check_error(sim_address(name_of(domain), &address));
	assert_int_equal(unlink(address.sun_path), 0);
	close_domain(domain);
}

/* Whoever asks it for something finds that out, before any event. */
static void test_killed_unheard(void **state)
{
	struct hv_domain *domain = open_traced("sim:run", (struct hv_trace){});
	struct sockaddr_un address;
	pid_t pid;
	int process = watch_process(domain, &pid);

	kill(pid, SIGKILL);
	wait_for_end(process);
	check_error(domain->ops->pause(domain));
	assert_int_equal(domain->info->state, HV_ENDED);
	assert_true(position_of(domain, 0).gone);
	check_error(sim_address(name_of(domain), &address));
	assert_int_equal(unlink(address.sun_path), 0);
	close_domain(domain);
}

/* It runs on, and can be attached to again; by one at a time. */
static void test_attach_again(void **state)
{
	struct hv_domain *domain = open_traced("sim:run", (struct hv_trace){});
	struct reader reader;
	char name[100], pid[32];

	snprintf(name, sizeof(name), "%s", domain->info->name);
	snprintf(pid, sizeof(pid), "process %d is attached", (int)getpid());
	check_refused(name, pid);
	for (int i = 0; i < 5; i++) {
		close_domain(domain);
		domain = open_traced(name, (struct hv_trace){});
		reader_init(&reader, domain, 0);
		while (reader.good < 5000)
			reader_read(&reader, domain, 0);
	}
	end_domain(domain);
	check_refused(name, "no scenario");
}

static void test_killed_client(void **state)
{
	struct hv_domain *domain = open_traced("sim:run", (struct hv_trace){});
	char name[100], byte;
	int ends[2];
	pid_t pid;

	snprintf(name, sizeof(name), "%s", domain->info->name);
	close_domain(domain);
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (!pid) {
		domain = open_traced(name, (struct hv_trace){ .lossless = true });
		check_error(domain->ops->pause(domain));
		assert_int_equal(write(ends[1], "", 1), 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ends[0], &byte, 1), 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	domain = open_traced(name, (struct hv_trace){});
	assert_int_equal(domain->info->state, HV_RUNNING);
	while (position_of(domain, 1).total < 50000)
		continue;
	close(ends[0]);
	close(ends[1]);
	end_domain(domain);
}

/* Whoever started it went before it ran: it is of no use to anybody. */
static void test_held(void **state)
{
	struct hv_domain *domain = open_domain("sim:run");
	struct sim_link *look;
	int process;

	assert_int_equal(domain->info->state, HV_PAUSED);
	process = watch_process(domain, NULL);
	/* A look leaves it as it is. */
	check_error(sim_link_open(name_of(domain), true, &look));
	assert_int_equal(look->hello.client, getpid());
	assert_true(look->hello.held);
	sim_link_close(look);
	close_domain(domain);
	wait_for_end(process);
}

static void test_pause(void **state)
{
	struct hv_domain *domain = open_traced("sim:run", (struct hv_trace){});
	struct xenpt_registers registers;
	struct xenpt_error *err;
	uint64_t total;

	err = domain->ops->registers(domain, 0, &registers);
	assert_non_null(err);
	xenpt_error_destroy(err);
	check_error(domain->ops->pause(domain));
	total = position_of(domain, 0).total;
	check_error(domain->ops->registers(domain, 0, &registers));
	assert_int_equal(position_of(domain, 0).total, total);
	check_error(domain->ops->resume(domain));
	while (position_of(domain, 0).total == total)
		continue;
	end_domain(domain);
}

static void test_bad_trace(void **state)
{
	static const uint32_t none[] = { 2 }, twice[] = { 0, 0 };
	struct hv_trace trace = {
		.size = 4096, .cr3 = XENPT_CR3_ANY, .mtc = -1, .cyc = -1
	};
	struct hv_domain *domain = open_domain("sim:run");
	struct hv_trace bad[] = { trace, trace, trace, trace };
	struct xenpt_error *err;
	size_t size;

	bad[0].size = 0;
	bad[1].size = 1ull << 30;
	bad[2].vcpus = none;
	bad[2].vcpu_count = 1;
	bad[3].vcpus = twice;
	bad[3].vcpu_count = 2;
	for (size_t i = 0; i < 4; i++) {
		err = domain->ops->trace_start(domain, &bad[i]);
		assert_non_null(err);
		xenpt_error_destroy(err);
		assert_null(domain->ops->buffer(domain, 0, &size));
	}
	/* It was undone: nothing is in the way. */
	check_error(domain->ops->trace_start(domain, &trace));
	end_domain(domain);
}

/* Any numbers in a request are refused, or do no harm. */
static void test_hostile_client(void **state)
{
	static const uint64_t numbers[] = { 0,          1,         16384,      16385,
					    1 << 26,    65536,     1ull << 40, 1ull << 52,
					    1ull << 63, UINT64_MAX };
	struct hv_domain *domain = open_traced("sim:run", (struct hv_trace){});
	uint64_t random = 1;
	struct sim_link *link;
	char name[100];

	snprintf(name, sizeof(name), "%s", domain->info->name);
	snprintf(name, sizeof(name), "%s", domain->info->name);
	close_domain(domain);
	check_error(sim_link_open(name + strlen(SIM_PREFIX), false, &link));
	for (int i = 0; i < 20000; i++) {
		struct sim_packet packet = {};
		uint64_t *words = (uint64_t *)&packet.message.a;

		random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
		packet.message.op = (random >> 33) % 20;
		packet.message.vcpu = (random >> 40) % 4;
		for (int j = 0; j < 5; j++)
			words[j] = numbers[(random >> (20 + 6 * j)) % 10];
		/* An enabled vCPU of the stand-in trusts its setup. */
		if (packet.message.op == SIM_HELLO || packet.message.op == SIM_ENABLE)
			continue;
		xenpt_error_destroy(sim_link_ask(link, &packet));
		assert_false(link->gone);
	}
	/* What is no message at all ends the connection, not the domain. */
	assert_int_equal(send(link->fd, "?", 1, 0), 1);
	while (!link->gone) {
		struct sim_packet packet = { .message = { .op = SIM_CONSOLE } };

		xenpt_error_destroy(sim_link_ask(link, &packet));
	}
	sim_link_close(link);
	end_domain(open_domain(name));
}

static struct xenpt_error *count_domain(void *arg, const struct hv_info *info)
{
	unsigned int *counts = arg;

	counts[info->state]++;
	assert_non_null(info->name);
	if (info->state == HV_OFFERED)
		assert_non_null(info->about);
	else
		assert_int_equal(info->vcpus, VCPUS);
	return NULL;
}

static void test_list(void **state)
{
	unsigned int counts[HV_OFFERED + 1] = {};
	struct hv_domain *a = open_traced("sim:run", (struct hv_trace){});
	struct hv_domain *b = open_domain("sim:run");

	check_error(a->ops->list(count_domain, counts));
	assert_int_equal(counts[HV_RUNNING], 1);
	assert_int_equal(counts[HV_PAUSED], 1);
	assert_int_equal(counts[HV_OFFERED], 4);
	end_domain(a);
	end_domain(b);
}

static void test_names(void **state)
{
	check_refused("guest", "'xenpt list'");
	check_refused("sim:", "no scenario");
	check_refused("sim:../x", "no scenario");
	check_refused("sim:nothing", "no scenario 'nothing'");
	check_refused("sim:-x", "no scenario '-x'");
}

static void test_no_program(void **state)
{
	char *given = strdup(getenv("XENPT_SIM"));

	setenv("XENPT_SIM", "/nonexistent/xenpt-sim", 1);
	check_refused("sim:run", "XENPT_SIM: /nonexistent/xenpt-sim");
	setenv("XENPT_SIM", given, 1);
	free(given);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_tampered),
		cmocka_unit_test(test_crash),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_killed_unheard),
		cmocka_unit_test(test_attach_again),
		cmocka_unit_test(test_killed_client),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_bad_trace),
		cmocka_unit_test(test_hostile_client),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_no_program),
	};
	char directory[] = "/tmp/xenpt-test-XXXXXX", path[64];
	int failed;

	if (!mkdtemp(directory))
		return 99;
	setenv("XDG_RUNTIME_DIR", directory, 1);
	setenv("XENPT_SIM", "tests/xenpt-sim-fake", 1);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(path, sizeof(path), "%s/xenpt-sim", directory);
	if (failed)
		return failed;
	/* All domains have taken their sockets away. */
	return rmdir(path) < 0 || rmdir(directory) < 0;
}
