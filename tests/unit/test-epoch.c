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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
