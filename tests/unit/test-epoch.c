/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that changes while a trace is recorded: each instruction is decoded once, by the
 * code that was there when it ran, wherever the code changes.
 */
#include "decode.h"

#include "libxenpt/mem.h"
#include "xpt.h"

enum {
	VCPUS = 2,
	EPOCHS = 12,
	STEPS_MAX = 1 << 16,
	MAIN = 0x1000, /* call FUNCTION; jnz MAIN; jmp MAIN */
	FUNCTION = 0x2000,
	SWITCH = FUNCTION + 4, /* after one to four instructions: mov %rax,%cr3; ret */
	RET = FUNCTION + 7,
};

static const uint8_t main_code[] = { 0xe8, 0xfb, 0x0f, 0, 0, 0x75, 0xf9, 0xeb, 0xf7 };

/* Four bytes that are one to four instructions. */
static const struct {
	uint8_t bytes[4];
	uint8_t count;
	uint8_t sizes[4];
} variants[] = {
	{ { 0x0f, 0x1f, 0x40, 0x00 }, 1, { 4 } },
	{ { 0x66, 0x90, 0x66, 0x90 }, 2, { 2, 2 } },
	{ { 0x90, 0x66, 0x90, 0x90 }, 3, { 1, 2, 1 } },
	{ { 0x90, 0x90, 0x90, 0x90 }, 4, { 1, 1, 1, 1 } },
};

static unsigned int variant_of(uint32_t epoch, uint64_t cr3)
{
	return noise(epoch * 2 + (cr3 == CR3)) % 4;
}

/* What ran, and the packets that tell of it. */
struct step {
	uint64_t ip, cr3;
	uint32_t epoch;
};

struct guest {
	uint64_t seed, draws;
	uint64_t ip, cr3, tsc;
	bool calls; /* the call was after the last PSB: its return is compressed */
	struct trace trace;
	struct step steps[STEPS_MAX];
	size_t count;
};

static uint64_t draw(struct guest *guest, uint64_t below)
{
	return noise(guest->seed * 1000003 + guest->draws++) % below;
}

static void psb(struct guest *guest)
{
	struct psb psb = { .mode = 64, .ip = guest->ip, .cr3 = guest->cr3, .cbr = 30 };

	psb.tsc = guest->tsc += 100;
	trace_psb_plus(&guest->trace, &psb);
	guest->calls = false;
}

/* Run one instruction. */
static void step(struct guest *guest, uint32_t epoch)
{
	unsigned int variant = variant_of(epoch, guest->cr3);
	uint64_t ip = FUNCTION;

	assert_true(guest->count < STEPS_MAX);
	guest->steps[guest->count++] = (struct step){ guest->ip, guest->cr3, epoch };
	switch (guest->ip) {
	case MAIN:
		guest->calls = true;
		guest->ip = FUNCTION;
		return;
	case MAIN + 5:
		guest->ip = draw(guest, 2) ? MAIN : MAIN + 7;
		trace_tnt(&guest->trace, guest->ip == MAIN ? "1" : "0");
		return;
	case MAIN + 7:
		guest->ip = MAIN;
		return;
	case SWITCH:
		guest->cr3 = guest->cr3 == CR3 ? CR3 + 0x1000 : CR3;
		trace_pip(&guest->trace, guest->cr3, true);
		guest->ip = RET;
		return;
	case RET:
		if (guest->calls)
			trace_tnt(&guest->trace, "1");
		else
			trace_ip(&guest->trace, ppt_tip, MAIN + 5);
		guest->ip = MAIN + 5;
		return;
	}
	for (size_t i = 0; ip <= guest->ip; i++)
		ip += variants[variant].sizes[i];
	guest->ip = ip;
}

/* Code may change under any instruction but those that change. */
static bool may_change(const struct guest *guest)
{
	return guest->ip <= FUNCTION || guest->ip >= SWITCH;
}

/* One epoch: any number of instructions, with a PSB here and there. */
static void run(struct guest *guest, uint32_t epoch)
{
	static const unsigned int lengths[] = { 0, 1, 2, 3, 5, 8, 20, 3000 };
	unsigned int length = lengths[draw(guest, 8)];

	psb(guest);
	if (draw(guest, 4) == 0)
		psb(guest);
	for (unsigned int i = 0; i < length || !may_change(guest); i++) {
		step(guest, epoch);
		if (draw(guest, 8) == 0)
			psb(guest);
	}
}

static void write_memory(struct xenpt_writer *writer, uint32_t epoch)
{
	uint8_t page[XENPT_PAGE_SIZE] = {};

	memcpy(page, main_code, sizeof(main_code));
	check_error(xenpt_writer_pages(writer, 0x10000, page, sizeof(page)));
	for (uint64_t i = 0; i < 2; i++) {
		struct xenpt_mapping mappings[] = { { MAIN, 0x10000 },
						    { FUNCTION, 0x11000 + i * 0x1000 } };
		uint64_t cr3 = CR3 + i * 0x1000;

		memset(page, 0, sizeof(page));
		memcpy(page, variants[variant_of(epoch, cr3)].bytes, 4);
		memcpy(page + 4, "\x0f\x22\xd8\xc3", 4);
		check_error(
			xenpt_writer_pages(writer, mappings[1].gpa, page, sizeof(page)));
		if (epoch == 0)
			check_error(xenpt_writer_map(writer, cr3, mappings, 2));
	}
}

static void write_trace(struct fixture *fixture, uint32_t vcpu, struct trace *trace)
{
	check_error(
		xenpt_writer_trace(fixture->file.writer, vcpu, trace->data, trace->size));
	trace->size = 0;
}

static void make(struct fixture *fixture, struct guest *guests, uint64_t seed,
		 uint32_t epochs)
{
	struct xenpt_cpu cpu = { .intel = 1, .family = 6, .model = 0x55 };

	*fixture = (struct fixture){};
	test_file_init(&fixture->file);
	check_error(xenpt_writer_cpu(fixture->file.writer, &cpu));
	for (uint32_t i = 0; i < VCPUS; i++) {
		describe_vcpu(fixture->file.writer, i);
		guests[i].seed = seed * VCPUS + i;
		guests[i].draws = guests[i].count = 0;
		guests[i].ip = MAIN;
		guests[i].cr3 = CR3;
		guests[i].tsc = 1000;
	}
	for (uint32_t epoch = 0; epoch < epochs; epoch++) {
		write_memory(fixture->file.writer, epoch);
		for (uint32_t i = 0; i < VCPUS; i++) {
			run(&guests[i], epoch);
			write_trace(fixture, i, &guests[i].trace);
		}
		if (epoch + 1 < epochs)
			check_error(xenpt_writer_epoch(fixture->file.writer));
	}
	for (uint32_t i = 0; i < VCPUS; i++) {
		/* A known end. */
		while (guests[i].ip != MAIN + 5)
			step(&guests[i], epochs - 1);
		step(&guests[i], epochs - 1);
		trace_ip(&guests[i].trace, ppt_fup, guests[i].ip);
		trace_no_ip(&guests[i].trace, ppt_tip_pgd);
		write_trace(fixture, i, &guests[i].trace);
		trace_deinit(&guests[i].trace);
	}
}

static uint64_t insn_size(const struct step *at)
{
	unsigned int variant = variant_of(at->epoch, at->cr3);
	uint64_t ip = FUNCTION;

	if (at->ip == MAIN)
		return 5;
	if (at->ip < FUNCTION)
		return 2;
	if (at->ip == SWITCH)
		return 3;
	if (at->ip == RET)
		return 1;
	for (size_t i = 0;; i++) {
		if (ip == at->ip)
			return variants[variant].sizes[i];
		ip += variants[variant].sizes[i];
		assert_true(i < 3);
	}
}

/* The instructions of a vCPU's blocks are those that it ran, one for one. */
static void check_vcpu(const struct fixture *fixture, uint32_t vcpu,
		       const struct guest *guest)
{
	uint32_t epoch = 0;
	size_t n = 0;

	for (size_t i = 0; i < fixture->count; i++) {
		const struct xenpt_event *event = &fixture->events[i];
		uint64_t ip = event->ip;

		if (fixture->vcpus[i] != vcpu)
			continue;
		assert_int_not_equal(event->type, XENPT_EVENT_GAP);
		assert_int_not_equal(event->type, XENPT_EVENT_ERROR);
		if (event->type == XENPT_EVENT_CODE) {
			assert_true(event->value > epoch);
			epoch = event->value;
		}
		if (event->type != XENPT_EVENT_BLOCK)
			continue;
		for (uint32_t j = 0; j < event->insns; j++, n++) {
			const struct step *at = &guest->steps[n];

			assert_true(n < guest->count);
			assert_int_equal(ip, at->ip);
			assert_int_equal(event->cr3, at->cr3);
			assert_int_equal(epoch, at->epoch);
			if (j + 1 == event->insns)
				assert_int_equal(event->last, ip);
			ip += insn_size(at);
		}
		if (n < guest->count && event->branch != XENPT_BRANCH_NONE) {
			assert_true(event->has_to);
			assert_int_equal(event->to, guest->steps[n].ip);
		}
	}
	assert_int_equal(n, guest->count);
}

static void test_random(void **state)
{
	static struct guest guests[VCPUS];

	for (uint64_t seed = 0; seed < 400; seed++) {
		struct xenpt_decoder_options options = { .threads = 3 };
		struct fixture fixture;

		make(&fixture, guests, seed, 1 + seed % EPOCHS);
		fixture_decode(&fixture, 1);
		for (uint32_t i = 0; i < VCPUS; i++)
			check_vcpu(&fixture, i, &guests[i]);
		if (seed % 10 == 0)
			assert_decodes_same(&fixture, &options);
		fixture_deinit(&fixture);
	}
}

/* ---- by hand ---- */

/* MAIN in all epochs, and its function in the next one. */
static void begin(struct fixture *fixture)
{
	struct xenpt_cpu cpu = { .intel = 1, .family = 6, .model = 0x55 };

	*fixture = (struct fixture){};
	test_file_init(&fixture->file);
	check_error(xenpt_writer_cpu(fixture->file.writer, &cpu));
}

/* A page of nops, which end with @text at its end; else it begins with it. */
static void add_page(struct fixture *fixture, uint64_t gpa, const char *text, size_t size,
		     bool at_end)
{
	uint8_t page[XENPT_PAGE_SIZE];

	memset(page, 0x90, sizeof(page));
	memcpy(page + (at_end ? sizeof(page) - size : 0), text, size);
	check_error(xenpt_writer_pages(fixture->file.writer, gpa, page, sizeof(page)));
}

static void add_map(struct fixture *fixture, uint64_t address, uint64_t gpa)
{
	struct xenpt_mapping mapping = { address, gpa };

	check_error(xenpt_writer_map(fixture->file.writer, CR3, &mapping, 1));
}

static void add_psb(struct trace *trace, uint64_t ip)
{
	struct psb psb = { .mode = 64, .ip = ip, .cr3 = CR3 };

	trace_psb_plus(trace, &psb);
}

/* An instruction that begins in a page that never changes, and ends in one that does. */
static void test_straddle(void **state)
{
	struct fixture fixture;
	struct trace trace = {};
	size_t at = 0;

	begin(&fixture);
	/* 66 | 90 c3, then 66 | 66 90 c3 */
	add_page(&fixture, 0x10000, "\x66", 1, true);
	add_page(&fixture, 0x11000, "\x90\xc3", 2, false);
	add_map(&fixture, 0x1000, 0x10000);
	add_map(&fixture, 0x2000, 0x11000);
	for (size_t i = 0; i < 4; i++) {
		add_psb(&trace, 0x1ffe);
		for (size_t j = 0; j < 3; j++)
			trace_ip(&trace, ppt_tip, 0x1ffe);
		fixture_trace(&fixture, 0, &trace);
		check_error(xenpt_writer_epoch(fixture.file.writer));
		add_page(&fixture, 0x11000, i % 2 ? "\x90\xc3" : "\x66\x90\xc3",
			 i % 2 ? 2 : 3, false);
	}
	fixture_decode(&fixture, 1);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_ERROR), 0);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_CODE), 3);
	for (size_t i = 0; i < 4; i++) {
		for (size_t j = 0; j < 3; j++) {
			const struct xenpt_event *event =
				find(&fixture, &at, XENPT_EVENT_BLOCK);

			assert_int_equal(event->ip, 0x1ffe);
			assert_int_equal(event->insns, 3);
			assert_int_equal(event->last, i % 2 ? 0x2002 : 0x2001);
		}
	}
	fixture_deinit(&fixture);
}

/* No PSB where the code changes: what no decoder can begin with is told. */
static void test_no_psb(void **state)
{
	struct fixture fixture;
	struct trace trace = {};
	const struct xenpt_event *event;
	size_t at = 0;

	begin(&fixture);
	add_page(&fixture, 0x10000, "\x90\xc3", 2, false);
	add_map(&fixture, 0x1000, 0x10000);
	add_psb(&trace, 0x1000);
	trace_ip(&trace, ppt_tip, 0x1000);
	fixture_trace(&fixture, 0, &trace);
	check_error(xenpt_writer_epoch(fixture.file.writer));
	trace_bytes(&trace, "\0\0\0\0\0\0\0", 7);
	fixture_trace(&fixture, 0, &trace);
	check_error(xenpt_writer_epoch(fixture.file.writer));
	add_page(&fixture, 0x10000, "\x90\x90\xc3", 3, false);
	trace_bytes(&trace, "\0\0\0", 3);
	add_psb(&trace, 0x1000);
	trace_ip(&trace, ppt_tip_pgd, 0x9000);
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);

	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->insns, 2);
	event = find(&fixture, &at, XENPT_EVENT_GAP);
	assert_int_equal(event->reason, XENPT_GAP_NO_PSB);
	assert_int_equal(event->value, 10);
	event = find(&fixture, &at, XENPT_EVENT_CODE);
	assert_int_equal(event->value, 2);
	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->insns, 3);
	fixture_deinit(&fixture);
}

/*
 * A PSB that comes long after the one before it, with no branch in between: what ran in
 * between is not lost, nor taken for what comes after.
 */
static void test_long_quiet(void **state)
{
	struct fixture fixture;
	struct trace trace = {};
	size_t at = 0;

	begin(&fixture);
	add_page(&fixture, 0x10000, "\x90\x90\x90\x90\x90\xc3", 6, false);
	add_map(&fixture, 0x1000, 0x10000);
	add_psb(&trace, 0x1000);
	for (size_t i = 0; i < 8; i++)
		trace_ip(&trace, ppt_tip, 0x1000);
	add_psb(&trace, 0x1002);
	for (size_t i = 0; i < 9000; i++)
		trace_bytes(&trace, "", 1);
	fixture_trace(&fixture, 0, &trace);
	check_error(xenpt_writer_epoch(fixture.file.writer));
	add_page(&fixture, 0x10000, "\x90\x90\x90\x90\xc3", 5, false);
	add_psb(&trace, 0x1003);
	for (size_t i = 0; i < 8; i++)
		trace_ip(&trace, ppt_tip, 0x1000);
	trace_ip(&trace, ppt_tip_pgd, 0x9000);
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);
	assert_int_equal(count_insns(&fixture), 8 * 6 + 3 + 2 + 8 * 5);
	find(&fixture, &at, XENPT_EVENT_CODE);
	assert_int_equal(find(&fixture, &at, XENPT_EVENT_BLOCK)->ip, 0x1003);
	fixture_deinit(&fixture);
}

/* The first trace of a vCPU may be of any epoch, and a gap is one in each. */
static void test_late_and_gap(void **state)
{
	struct fixture fixture;
	struct trace trace = {};
	const struct xenpt_event *event;
	size_t at = 0;

	begin(&fixture);
	describe_vcpu(fixture.file.writer, 0);
	fixture.vcpu_count = 1;
	for (size_t i = 0; i < 3; i++)
		check_error(xenpt_writer_epoch(fixture.file.writer));
	add_page(&fixture, 0x10000, "\x90\xc3", 2, false);
	add_map(&fixture, 0x1000, 0x10000);
	add_psb(&trace, 0x1000);
	trace_ip(&trace, ppt_tip, 0x1000);
	fixture_trace(&fixture, 0, &trace);
	check_error(xenpt_writer_gap(fixture.file.writer, 0, XENPT_GAP_LAPPED, 10));
	check_error(xenpt_writer_epoch(fixture.file.writer));
	add_page(&fixture, 0x10000, "\x90\x90\xc3", 3, false);
	add_psb(&trace, 0x1000);
	trace_ip(&trace, ppt_tip_pgd, 0x9000);
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);

	event = find(&fixture, &at, XENPT_EVENT_CODE);
	assert_int_equal(event->value, 3);
	assert_int_equal(at, 1);
	find(&fixture, &at, XENPT_EVENT_GAP);
	event = find(&fixture, &at, XENPT_EVENT_CODE);
	assert_int_equal(event->value, 4);
	assert_int_equal(event->cr3, XENPT_CR3_ANY);
	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->insns, 3);
	fixture_deinit(&fixture);
}

/* The event is where the vCPU was; its call stack stays as it is. */
static void test_event(void **state)
{
	const struct xenpt_frame *frames;
	struct xenpt_stack_change change;
	struct xenpt_stack *stack;
	struct fixture fixture;
	struct trace trace = {};
	struct psb psb = { .mode = 64, .cr3 = CR3, .ip = 0x1000, .tsc = 100 };
	bool seen = false;
	size_t count;

	begin(&fixture);
	add_page(&fixture, 0x10000, "\xe8\xfb\x0f\0\0", 5, false);
	add_page(&fixture, 0x11000, "\x90\xc3", 2, false);
	add_map(&fixture, 0x1000, 0x10000);
	add_map(&fixture, 0x2000, 0x11000);
	trace_psb_plus(&trace, &psb);
	fixture_trace(&fixture, 0, &trace);
	check_error(xenpt_writer_epoch(fixture.file.writer));
	add_page(&fixture, 0x11000, "\x90\x90\xc3", 3, false);
	psb.ip = 0x2000;
	psb.tsc = 200;
	trace_psb_plus(&trace, &psb);
	trace_ip(&trace, ppt_tip_pgd, 0x1005);
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);

	check_error(xenpt_stack_create(&stack));
	for (size_t i = 0; i < fixture.count; i++) {
		const struct xenpt_event *event = &fixture.events[i];

		check_error(xenpt_stack_update(stack, event, &change));
		if (event->type != XENPT_EVENT_CODE)
			continue;
		seen = true;
		assert_int_equal(event->time, 100);
		assert_int_equal(event->cr3, CR3);
		assert_int_equal(event->mode, 64);
		assert_false(change.lost);
		frames = xenpt_stack_frames(stack, &count);
		assert_int_equal(count, 2);
		assert_int_equal(frames[1].entry, 0x2000);
	}
	assert_true(seen);
	xenpt_stack_destroy(stack);
	assert_int_equal(count_insns(&fixture), 1 + 3);
	fixture_deinit(&fixture);
}

/* Listings show each instruction as it was, though they hide where it changed. */
static void test_listing(void **state)
{
	struct xenpt_sink_options options = {
		.rows = XENPT_ROW_INSN | XENPT_ROW_STATE,
		.filter = XENPT_FILTER_ALL,
	};
	struct xenpt_batch batch = {};
	struct xenpt_image *image;
	struct xenpt_sink *sink;
	struct xenpt_error *err;
	struct fixture fixture;
	struct trace trace = {};
	char *text = NULL;
	size_t size;

	begin(&fixture);
	add_map(&fixture, 0x1000, 0x10000);
	for (size_t i = 0; i < 2; i++) {
		add_page(&fixture, 0x10000, i ? "\xf8\xc3" : "\xf9\xc3", 2, false);
		add_psb(&trace, 0x1000);
		for (size_t j = 0; j < 4; j++)
			trace_ip(&trace, ppt_tip, 0x1000);
		if (i)
			trace_ip(&trace, ppt_tip_pgd, 0x9000);
		fixture_trace(&fixture, 0, &trace);
		check_error(xenpt_writer_epoch(fixture.file.writer));
	}
	fixture_decode(&fixture, 1);
	check_error(xenpt_image_create(fixture.opened, &image));
	options.image = image;
	options.out = open_memstream(&text, &size);
	options.filter.ip_lo = 0x1000;
	options.filter.ip_hi = 0x1000;
	err = xenpt_sink_create_text(&options, &sink);
	if (err && err->code == XENPT_ERROR_UNSUPPORTED) {
		xenpt_error_destroy(err);
	} else {
		const char *last = text;

		check_error(err);
		batch.events = fixture.events;
		batch.count = fixture.count;
		check_error(xenpt_sink_events(sink, &batch));
		check_error(xenpt_sink_finish(sink));
		xenpt_sink_destroy(sink);
		last = strstr(text, "clc");
		assert_non_null(strstr(text, "stc"));
		assert_non_null(last);
		assert_null(strstr(last, "stc"));
		assert_null(strstr(text, "epoch"));
	}
	fclose(options.out);
	free(text);
	xenpt_image_destroy(image);
	fixture_deinit(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),       cmocka_unit_test(test_straddle),
		cmocka_unit_test(test_no_psb),       cmocka_unit_test(test_long_quiet),
		cmocka_unit_test(test_late_and_gap), cmocka_unit_test(test_event),
		cmocka_unit_test(test_listing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
