/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a recording writes, of a domain that is a script: each time the recorder asks for
 * an event, the next step of it happens.
 */
#include "decode.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cmd/record-meter.h"
#include "cmd/recorder.h"

#define RING 8192
#define PAGES 16
#define CODE_GPA 0x8000

struct fake;
typedef void step_fn(struct fake *fake, unsigned int step);

struct fake {
	struct hv_domain domain;
	struct hv_info info;
	struct xenpt_mem mem;
	struct xenpt_ui ui;
	struct recorder_options options;
	struct test_file file;
	uint8_t bytes[PAGES * XENPT_PAGE_SIZE];
	uint8_t ring[RING];
	struct hv_position position;
	struct hv_event event;
	uint64_t consumed;
	step_fn *script;
	unsigned int step;
	unsigned int paused, resumed, started, stopped, restarted, warned;
	int fd;
};

static struct fake *of(struct hv_domain *domain)
{
	return (struct fake *)domain;
}

/* ---- the back-end -------------------------------------------------------- */

static bool fake_read(struct xenpt_mem *mem, uint64_t gpa, void *buf, size_t size)
{
	struct fake *fake = (struct fake *)((char *)mem - offsetof(struct fake, mem));

	if (gpa > sizeof(fake->bytes) - size)
		return false;
	memcpy(buf, fake->bytes + gpa, size);
	return true;
}

static struct xenpt_error *fake_start(struct hv_domain *domain,
				      const struct hv_trace *trace)
{
	of(domain)->started++;
	return NULL;
}

static struct xenpt_error *fake_stop(struct hv_domain *domain)
{
	of(domain)->stopped++;
	return NULL;
}

static const uint8_t *fake_buffer(struct hv_domain *domain, uint32_t vcpu,
				  size_t *size_ret)
{
	*size_ret = RING;
	return of(domain)->ring;
}

static struct xenpt_error *fake_position(struct hv_domain *domain, uint32_t vcpu,
					 struct hv_position *ret)
{
	*ret = of(domain)->position;
	return NULL;
}

static struct xenpt_error *fake_consume(struct hv_domain *domain, uint32_t vcpu,
					uint64_t total)
{
	of(domain)->consumed = total;
	return NULL;
}

static struct xenpt_error *fake_restart(struct hv_domain *domain, uint32_t vcpu)
{
	of(domain)->restarted++;
	of(domain)->position = (struct hv_position){ .has_total = true };
	return NULL;
}

static struct xenpt_error *fake_pause(struct hv_domain *domain)
{
	of(domain)->paused++;
	return NULL;
}

static struct xenpt_error *fake_resume(struct hv_domain *domain)
{
	of(domain)->resumed++;
	return NULL;
}

static struct xenpt_error *fake_registers(struct hv_domain *domain, uint32_t vcpu,
					  struct xenpt_registers *ret)
{
	/* Paging with PAE, in long mode. */
	*ret = (struct xenpt_registers){
		.cr0 = 0x80000001,
		.cr3 = CR3,
		.cr4 = 0x20,
		.efer = 0x500,
		.rip = 0x1000,
	};
	return NULL;
}

static int fake_fd(struct hv_domain *domain)
{
	return of(domain)->fd;
}

static struct xenpt_error *fake_event(struct hv_domain *domain, struct hv_event *ret)
{
	struct fake *fake = of(domain);

	/* Each other time there is nothing, and the recorder looks around. */
	fake->event = (struct hv_event){};
	if (fake->step++ % 2 == 0)
		fake->script(fake, (fake->step + 1) / 2);
	*ret = fake->event;
	return NULL;
}

static struct xenpt_error *fake_console(struct hv_domain *domain, char **ret)
{
	*ret = strdup("last words\n");
	return NULL;
}

static const struct hv_ops fake_ops = {
	.name = "fake",
	.trace_start = fake_start,
	.trace_stop = fake_stop,
	.buffer = fake_buffer,
	.position = fake_position,
	.consume = fake_consume,
	.restart = fake_restart,
	.pause = fake_pause,
	.resume = fake_resume,
	.registers = fake_registers,
	.fd = fake_fd,
	.event = fake_event,
	.console = fake_console,
};

static struct fake *user; /* whose terminal it is */

static XENPT_PRINTF(1, 2) void warn(const char *fmt, ...)
{
	user->warned++;
}

static XENPT_PRINTF(1, 2) void say(const char *fmt, ...)
{
}

static void status(const char *line)
{
}

/* ---- the guest ----------------------------------------------------------- */

static void set_entry(struct fake *fake, uint64_t table, unsigned int index,
		      uint64_t entry)
{
	memcpy(fake->bytes + table + 8 * index, &entry, 8);
}

static struct fake *fake_create(step_fn *script)
{
	struct fake *fake = calloc(1, sizeof(*fake));

	assert_non_null(fake);
	test_file_init(&fake->file);
	fake->script = script;
	fake->fd = eventfd(1, EFD_CLOEXEC);
	fake->domain = (struct hv_domain){ &fake_ops, &fake->info, &fake->mem };
	fake->info = (struct hv_info){
		.name = (char *)"guest",
		.type = "sim",
		.vcpus = 1,
		.memory = sizeof(fake->bytes),
		.cpu = { .intel = 1, .family = 6, .model = 0x55 },
	};
	fake->mem.read = fake_read;
	fake->ui = (struct xenpt_ui){ .warn = warn, .say = say, .status = status };
	user = fake;
	fake->position.has_total = true;
	fake->options = (struct recorder_options){
		.trace = { .size = RING, .cr3 = XENPT_CR3_ANY, .mtc = -1, .cyc = -1 },
		.image = true,
		.signals = -1,
	};
	/* 0x1000 -> CODE_GPA */
	set_entry(fake, CR3, 0, 0x6000 | 7);
	set_entry(fake, 0x6000, 0, 0x7000 | 7);
	set_entry(fake, 0x7000, 0, 0x9000 | 7);
	set_entry(fake, 0x9000, 1, CODE_GPA | 7);
	memcpy(fake->bytes + CODE_GPA, code, sizeof(code));
	return fake;
}

static void fake_destroy(struct fake *fake)
{
	test_file_deinit(&fake->file);
	close(fake->fd);
	free(fake);
}

/* The CPU writes. */
static void put(struct fake *fake, struct trace *trace)
{
	for (size_t i = 0; i < trace->size; i++)
		fake->ring[fake->position.total++ % RING] = trace->data[i];
	trace_deinit(trace);
}

/* Once around the loop at 0x1000, so many times. */
static void run_loop(struct fake *fake, unsigned int rounds)
{
	struct trace trace = {};

	trace_psb_plus(&trace, &psb_1000);
	for (unsigned int i = 0; i < rounds; i++)
		trace_tnt(&trace, "11");
	put(fake, &trace);
}

static void state(struct fake *fake, enum hv_state next)
{
	fake->info.state = next;
	fake->event.type = HV_EVENT_STATE;
}

/* ---- the recorder -------------------------------------------------------- */

static struct xenpt_error *record_it(struct fake *fake, struct recorder **ret)
{
	struct recorder *recorder;

	check_error(recorder_create(&fake->domain, fake->file.writer, &fake->options,
				    &fake->ui, &recorder));
	*ret = recorder;
	return recorder_finish(recorder, recorder_run(recorder));
}

/* What is in the file, of event types. */
struct seen {
	size_t counts[XENPT_EVENT_TYPES];
	struct xenpt_event gaps[256];
	size_t gap_count;
	size_t at_1010, at_1011; /* blocks that begin at 0x1010, and end where */
	size_t samples;          /* of registers */
};

static void decode_it(struct fake *fake, struct seen *ret)
{
	struct xenpt_decoder_options options = { .threads = 1 };
	struct xenpt_file *file;
	struct xenpt_decoder *decoder;
	struct xenpt_batch batch;

	*ret = (struct seen){};
	check_error(xenpt_file_open(fake->file.path, &file));
	assert_true(xenpt_file_info(file)->complete);
	assert_string_equal("last words\n", xenpt_file_info(file)->outcome->console);
	ret->samples = xenpt_file_info(file)->sample_count;
	check_error(xenpt_decoder_create(file, &options, &decoder));
	for (;;) {
		check_error(xenpt_decoder_next(decoder, &batch));
		if (!batch.count)
			break;
		for (size_t i = 0; i < batch.count; i++) {
			const struct xenpt_event *event = &batch.events[i];

			ret->counts[event->type]++;
			if (event->type == XENPT_EVENT_GAP && ret->gap_count < 256)
				ret->gaps[ret->gap_count++] = *event;
			if (event->type == XENPT_EVENT_BLOCK && event->ip == 0x1010) {
				ret->at_1010++;
				ret->at_1011 += event->last == 0x1011;
			}
		}
	}
	xenpt_decoder_destroy(decoder);
	xenpt_file_close(file);
}

static void run_until_crash(struct fake *fake, struct seen *ret)
{
	struct recorder *recorder;

	check_error(record_it(fake, &recorder));
	assert_int_equal(RECORDER_END_CRASHED, recorder->end);
	recorder_destroy(recorder);
	decode_it(fake, ret);
}

/* ---- tests --------------------------------------------------------------- */

static void crash_soon(struct fake *fake, unsigned int step)
{
	if (step < 4)
		run_loop(fake, 100);
	else
		state(fake, HV_CRASHED);
}

static void test_code_is_in_the_file(void **unused)
{
	struct fake *fake = fake_create(crash_soon);
	struct xenpt_file *file;
	struct seen seen;

	run_until_crash(fake, &seen);
	assert_int_equal(1, fake->started);
	assert_int_equal(1, fake->stopped);
	assert_int_equal(fake->paused, fake->resumed);
	assert_int_equal(0, seen.counts[XENPT_EVENT_ERROR]);
	assert_int_equal(0, seen.counts[XENPT_EVENT_GAP]);
	assert_in_range(seen.at_1011, 300, 301);

	check_error(xenpt_file_open(fake->file.path, &file));
	/* Four tables, and a page of code; before and after. */
	assert_int_equal(5, xenpt_file_info(file)->pages);
	assert_int_equal(2, xenpt_file_info(file)->sample_count);
	assert_int_equal(0, xenpt_file_info(file)->samples[0].offset);
	assert_int_equal(fake->position.total, xenpt_file_info(file)->samples[1].offset);
	assert_int_equal(fake->position.total, fake->consumed);
	assert_true(xenpt_file_info(file)->outcome->crashed);
	xenpt_file_close(file);
	fake_destroy(fake);
}

static void test_no_image(void **unused)
{
	struct fake *fake = fake_create(crash_soon);
	struct seen seen;

	fake->options.image = false;
	run_until_crash(fake, &seen);
	assert_int_equal(0, seen.counts[XENPT_EVENT_BLOCK]);
	fake_destroy(fake);
}

static void unmapped(struct fake *fake, unsigned int step)
{
	set_entry(fake, 0x9000, 1, 0);
	crash_soon(fake, step);
}

static void test_missing_page(void **unused)
{
	struct fake *fake = fake_create(unmapped);
	struct recorder *recorder;
	struct seen seen;

	check_error(record_it(fake, &recorder));
	assert_int_equal(1, record_pages_counts(recorder->pages).missing);
	/* The tables say that there is none. */
	assert_int_equal(4, record_pages_counts(recorder->pages).written);
	recorder_destroy(recorder);
	decode_it(fake, &seen);
	assert_int_equal(0, seen.counts[XENPT_EVENT_BLOCK]);
	assert_true(seen.counts[XENPT_EVENT_ERROR]);
	fake_destroy(fake);
}

/* The code at 0x1010 is changed while a vCPU is held; what ran is what was there. */
static void change_code(struct fake *fake, unsigned int step)
{
	if (step == 1) {
		run_loop(fake, 100);
		fake->event.type = HV_EVENT_CODE;
	} else if (step == 2) {
		/* nop; ret -> nop; nop; ret */
		memcpy(fake->bytes + CODE_GPA + 0x10, (uint8_t[]){ 0x90, 0x90, 0xc3 }, 3);
		run_loop(fake, 50);
	} else {
		state(fake, HV_CRASHED);
	}
}

static void test_code_that_changes(void **unused)
{
	struct fake *fake = fake_create(change_code);
	struct seen seen;

	run_until_crash(fake, &seen);
	assert_int_equal(0, seen.counts[XENPT_EVENT_ERROR]);
	assert_int_equal(1, seen.counts[XENPT_EVENT_CODE]);
	assert_in_range(seen.at_1011, 100, 101);
	assert_in_range(seen.at_1010 - seen.at_1011, 50, 51);
	assert_int_equal(fake->paused + 1, fake->resumed);
	/* When it began, when it was held for the code, and at its end. */
	assert_int_equal(3, seen.samples);
	fake_destroy(fake);
}

static void overrun(struct fake *fake, unsigned int step)
{
	if (step == 1) {
		for (int i = 0; i < 40; i++)
			run_loop(fake, 1000);
	} else {
		state(fake, HV_CRASHED);
	}
}

static void test_lapped(void **unused)
{
	struct fake *fake = fake_create(overrun);
	struct seen seen;

	run_until_crash(fake, &seen);
	assert_int_equal(2, seen.gap_count); /* and what is before the first PSB */
	assert_int_equal(XENPT_GAP_LAPPED, seen.gaps[0].reason);
	assert_int_equal(fake->position.total - RING / 2, seen.gaps[0].value);
	assert_true(seen.at_1011);
	fake_destroy(fake);
}

static void test_flight(void **unused)
{
	struct fake *fake = fake_create(overrun);
	struct xenpt_file *file;
	struct seen seen;

	fake->options.flight = true;
	run_until_crash(fake, &seen);
	/* That there was something before is not a loss. */
	assert_int_equal(1, seen.gap_count);
	assert_int_equal(XENPT_GAP_NO_PSB, seen.gaps[0].reason);
	assert_true(seen.at_1011);
	check_error(xenpt_file_open(fake->file.path, &file));
	assert_int_equal(RING, xenpt_file_info(file)->vcpus[0].size);
	xenpt_file_close(file);
	fake_destroy(fake);
}

static unsigned int trouble; /* what the CPU stops with */

static void break_off(struct fake *fake, unsigned int step)
{
	if (step > 3) {
		state(fake, HV_CRASHED);
		return;
	}
	run_loop(fake, 100);
	if (step == 2) {
		fake->position.stopped = trouble == XENPT_GAP_STOPPED;
		fake->position.fault = trouble == XENPT_GAP_FAULT;
		fake->position.error = trouble == XENPT_GAP_ERROR;
		fake->position.tampered = trouble == XENPT_GAP_TAMPERED;
	}
}

static void test_broken_off(void **unused)
{
	static const unsigned int troubles[] = { XENPT_GAP_STOPPED, XENPT_GAP_FAULT,
						 XENPT_GAP_ERROR, XENPT_GAP_TAMPERED };

	for (size_t i = 0; i < 4; i++) {
		struct fake *fake;
		struct seen seen;

		trouble = troubles[i];
		fake = fake_create(break_off);
		run_until_crash(fake, &seen);
		assert_int_equal(1, fake->restarted);
		assert_int_equal(1, seen.gap_count);
		assert_int_equal(trouble, seen.gaps[0].reason);
		assert_int_equal(0, seen.counts[XENPT_EVENT_ERROR]);
		/* Bytes that were there when a guest rewrote its tables may be any. */
		assert_in_range(seen.at_1011, trouble == XENPT_GAP_TAMPERED ? 200 : 300,
				302);
		fake_destroy(fake);
	}
}

/* However often the trace broke off: before what is written there is one gap. */
static void test_flight_broken_off(void **unused)
{
	struct recorder *recorder;
	struct fake *fake;
	struct seen seen;

	trouble = XENPT_GAP_FAULT;
	fake = fake_create(break_off);
	fake->options.flight = true;
	check_error(record_it(fake, &recorder));
	assert_int_equal(1, recorder->vcpus.data[0].gaps[XENPT_GAP_FAULT]);
	recorder_destroy(recorder);
	decode_it(fake, &seen);
	assert_int_equal(1, seen.gap_count);
	assert_int_equal(XENPT_GAP_FAULT, seen.gaps[0].reason);
	fake_destroy(fake);
}

static void tamper(struct fake *fake, unsigned int step)
{
	fake->position.tampered = true;
}

static void test_given_up(void **unused)
{
	struct fake *fake = fake_create(tamper);
	struct recorder *recorder;
	struct seen seen;

	check_error(record_it(fake, &recorder));
	assert_int_equal(RECORDER_END_GIVEN_UP, recorder->end);
	recorder_destroy(recorder);
	decode_it(fake, &seen);
	assert_int_equal(99, fake->restarted);
	assert_int_equal(1, fake->warned);
	assert_int_equal(100, seen.gap_count);
	assert_int_equal(fake->paused, fake->resumed);
	fake_destroy(fake);
}

static void fill_disk(struct fake *fake, unsigned int step)
{
	run_loop(fake, 100);
	if (step == 2) {
		int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

		assert_return_code(dup2(full, fake->file.fd), errno);
		close(full);
	}
}

/* The domain is as it was, and the file is good up to there. */
static void test_full_disk(void **unused)
{
	struct fake *fake = fake_create(fill_disk);
	int fd = dup(fake->file.fd);
	struct recorder *recorder;
	struct xenpt_file *file;
	struct xenpt_error *err;

	err = record_it(fake, &recorder);
	assert_non_null(err);
	assert_int_equal(XENPT_ERROR_OS, err->code);
	assert_int_equal(RECORDER_END_ERROR, recorder->end);
	assert_int_equal(1, fake->stopped);
	assert_int_equal(fake->paused, fake->resumed);
	xenpt_error_destroy(err);
	recorder_destroy(recorder);
	assert_return_code(dup2(fd, fake->file.fd), errno);
	close(fd);
	check_error(xenpt_file_open(fake->file.path, &file));
	assert_false(xenpt_file_info(file)->complete);
	assert_int_equal(0, xenpt_file_info(file)->damage_count);
	xenpt_file_close(file);
	fake_destroy(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_code_is_in_the_file),
		cmocka_unit_test(test_no_image),
		cmocka_unit_test(test_missing_page),
		cmocka_unit_test(test_code_that_changes),
		cmocka_unit_test(test_lapped),
		cmocka_unit_test(test_flight),
		cmocka_unit_test(test_flight_broken_off),
		cmocka_unit_test(test_broken_off),
		cmocka_unit_test(test_given_up),
		cmocka_unit_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
