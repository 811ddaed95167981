/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's PIPs in a guest's trace, as stock Xen has one at each VM exit: code is the
 * guest's address space's all the same.
 */
#include "decode.h"
#include "tests/unit/random.h"

#include "libxenpt/array.h"

#define A 0x5000
#define B 0x6000
#define HOST 0x7000

/*
 * B's code, where A has that of decode.h:
 * 0x1000  90              nop
 * 0x1001  75 fd           jnz  0x1000
 * 0x1003  c3              ret
 */
static const uint8_t code_b[0x50] = {
	0x90, 0x75, 0xfd, 0xc3, [0x40] = 0x0f, 0x22, 0xd8, 0xc3,
};

static void spaces_init(struct fixture *fixture)
{
	struct xenpt_cpu cpu = { .intel = 1, .family = 6, .model = 0x55 };

	*fixture = (struct fixture){};
	test_file_init(&fixture->file);
	check_error(xenpt_writer_cpu(fixture->file.writer, &cpu));
	describe_code(fixture->file.writer);
	check_error(xenpt_writer_code(fixture->file.writer, 0, A, 0x1000, code,
				      sizeof(code)));
	check_error(xenpt_writer_code(fixture->file.writer, 0, B, 0x1000, code_b,
				      sizeof(code_b)));
}

/* A guest in one of two address spaces, and how many instructions ran in each. */
struct vcpu {
	struct trace trace;
	unsigned int in; /* 0: A */
	uint64_t insns[2];
	size_t exits;
};

static void start(struct vcpu *vcpu)
{
	trace_psb_plus(
		&vcpu->trace,
		&(struct psb){ .mode = 64, .ip = 0x1000, .cr3 = vcpu->in ? B : A });
}

/* The loop at 0x1000, back to its begin. */
static void loop(struct vcpu *vcpu)
{
	trace_tnt(&vcpu->trace, vcpu->in ? "1" : "11");
	vcpu->insns[vcpu->in] += vcpu->in ? 2 : 4;
}

/* SDM: VM exit and VM entry, TraceEn by the MSR-load lists. */
static void leave(struct vcpu *vcpu)
{
	trace_ip(&vcpu->trace, ppt_fup, 0x1000);
	trace_pip(&vcpu->trace, HOST, false);
	trace_no_ip(&vcpu->trace, ppt_tip_pgd);
	vcpu->exits++;
}

static void enter(struct vcpu *vcpu)
{
	trace_ip(&vcpu->trace, ppt_tip_pge, 0x1000);
}

/* To the MOV CR3 at 0x1040, and from there to the loop. */
static void change_space(struct vcpu *vcpu)
{
	/* call, nop, ret; or nop, jnz, ret. */
	if (vcpu->in)
		trace_tnt(&vcpu->trace, "0");
	trace_ip(&vcpu->trace, ppt_tip, 0x1040);
	vcpu->insns[vcpu->in] += 4;
	vcpu->in = !vcpu->in;
	trace_pip(&vcpu->trace, vcpu->in ? B : A, true);
	trace_ip(&vcpu->trace, ppt_tip, 0x1000);
	vcpu->insns[vcpu->in]++;
}

static void wander(struct vcpu *vcpu, size_t size)
{
	struct random random = { 1 };

	start(vcpu);
	loop(vcpu);
	for (size_t last = 0; vcpu->trace.size < size;) {
		if (vcpu->trace.size - last > 4000) {
			last = vcpu->trace.size;
			start(vcpu);
			loop(vcpu);
		}
		switch (random_below(&random, 8)) {
		case 0:
		case 1:
			leave(vcpu);
			enter(vcpu);
			break;
		case 2:
			change_space(vcpu);
			break;
		}
		loop(vcpu);
	}
	leave(vcpu);
}

static size_t count_packets(struct fixture *fixture, uint64_t cr3)
{
	const struct xenpt_packet *packets;
	struct xenpt_packets *lister;
	size_t count, found = 0;

	check_error(xenpt_packets_create(fixture->opened, 0, &lister));
	for (;;) {
		check_error(xenpt_packets_next(lister, &packets, &count));
		if (!count)
			break;
		for (size_t i = 0; i < count; i++)
			found += packets[i].type == XENPT_PACKET_PIP &&
				 packets[i].payload == cr3;
	}
	xenpt_packets_destroy(lister);
	return found;
}

/* Two address spaces with different code at the same address; many spans. */
static void test_two_spaces(void **state)
{
	struct vcpu vcpu = {};
	struct fixture fixture;
	uint64_t insns[2] = {};

	wander(&vcpu, 1 << 20);
	spaces_init(&fixture);
	fixture_trace(&fixture, 0, &vcpu.trace);
	fixture_decode(&fixture, 1);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_ERROR), 0);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_DOUBT), 0);
	for (size_t i = 0; i < fixture.count; i++) {
		const struct xenpt_event *event = &fixture.events[i];

		if (event->type == XENPT_EVENT_CR3)
			assert_true(event->value == A || event->value == B);
		if (event->type == XENPT_EVENT_BLOCK)
			insns[event->cr3 == B] += event->insns;
		assert_int_not_equal(event->cr3, HOST);
	}
	assert_int_equal(insns[0], vcpu.insns[0]);
	assert_int_equal(insns[1], vcpu.insns[1]);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_OFF), vcpu.exits);
	assert_decodes_same(&fixture, &(struct xenpt_decoder_options){ .threads = 4 });
	/* A listing has the bytes as they are. */
	assert_int_equal(count_packets(&fixture, HOST), vcpu.exits);
	fixture_deinit(&fixture);
}

/* ---- capture ---- */

struct asked {
	size_t a, b, others;
};

static bool page(void *arg, uint64_t cr3, uint64_t address, uint8_t data[4096])
{
	struct asked *asked = arg;

	asked->a += cr3 == A;
	asked->b += cr3 == B;
	asked->others += cr3 != A && cr3 != B;
	memset(data, 0, 4096);
	memcpy(data, cr3 == B ? code_b : code, sizeof(code));
	return address == 0x1000;
}

static void test_capture(void **state)
{
	struct xenpt_cpu cpu = { .intel = 1, .family = 6, .model = 0x55 };
	struct xenpt_capture *capture;
	struct vcpu vcpu = {};
	struct asked asked = {};

	wander(&vcpu, 100000);
	check_error(xenpt_capture_create(&cpu, page, &asked, &capture));
	for (size_t pos = 0, size; pos < vcpu.trace.size; pos += size) {
		size = vcpu.trace.size - pos < 1001 ? vcpu.trace.size - pos : 1001;
		check_error(xenpt_capture_feed(capture, 0, vcpu.trace.data + pos, size));
		check_error(xenpt_capture_peek(capture, 0));
	}
	check_error(xenpt_capture_flush(capture));
	assert_int_equal(asked.a, 1);
	assert_int_equal(asked.b, 1);
	assert_int_equal(asked.others, 0);
	xenpt_capture_destroy(capture);
	trace_deinit(&vcpu.trace);
}

/* ---- what is the host's business ---- */

/* The registers are the guest's: a PIP of the host's is no reason for doubt, or trust. */
static void test_registers(void **state)
{
	for (int wrong = 0; wrong < 2; wrong++) {
		struct xenpt_registers regs = { .rip = 0x1000,
						.cr0 = 0x80000001,
						.cr3 = wrong ? B : A };
		struct vcpu vcpu = {};
		struct fixture fixture;
		struct trace first = {};
		size_t at;

		start(&vcpu);
		for (int i = 0; i < 10; i++)
			loop(&vcpu);
		leave(&vcpu);
		at = vcpu.trace.size;
		enter(&vcpu);
		for (int i = 0; i < 10; i++)
			loop(&vcpu);
		spaces_init(&fixture);
		trace_bytes(&first, vcpu.trace.data, at);
		fixture_trace(&fixture, 0, &first);
		check_error(xenpt_writer_registers(fixture.file.writer, 0, &regs));
		trace_bytes(&first, vcpu.trace.data + at, vcpu.trace.size - at);
		fixture_trace(&fixture, 0, &first);
		trace_deinit(&vcpu.trace);
		fixture_decode(&fixture, 1);
		assert_int_equal(count_type(&fixture, XENPT_EVENT_DOUBT) > 0, wrong);
		fixture_deinit(&fixture);
	}
}

/* Concealed, or no guest at all: none has NR, and each PIP counts. */
static void test_concealed(void **state)
{
	static const uint8_t pip[] = { 0x02, 0x43 };
	struct vcpu vcpu = {};
	struct fixture fixture;
	struct psb psb = { .mode = 64, .ip = 0x1000, .cr3 = A };
	size_t at = 0;
	uint8_t *nr;

	trace_psb_plus(&vcpu.trace, &psb);
	nr = memmem(vcpu.trace.data, vcpu.trace.size, pip, 2);
	assert_non_null(nr);
	nr[2] &= ~1;
	loop(&vcpu);
	trace_ip(&vcpu.trace, ppt_fup, 0x1000);
	trace_pip(&vcpu.trace, B, false);
	trace_no_ip(&vcpu.trace, ppt_tip_pgd);
	trace_ip(&vcpu.trace, ppt_tip_pge, 0x1000);
	vcpu.in = 1;
	loop(&vcpu);
	loop(&vcpu);
	spaces_init(&fixture);
	fixture_trace(&fixture, 0, &vcpu.trace);
	fixture_decode(&fixture, 1);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_ERROR), 0);
	find(&fixture, &at, XENPT_EVENT_ON);
	assert_int_equal(find(&fixture, &at, XENPT_EVENT_BLOCK)->cr3, B);
	fixture_deinit(&fixture);
}

/* Host and guest in one trace: after an exit, code runs in the host. */
static void test_host_is_traced(void **state)
{
	struct vcpu vcpu = {};
	struct fixture fixture;
	size_t at = 0;

	start(&vcpu);
	loop(&vcpu);
	/* From A, the guest, to B, the host, which leaves its trace, and goes on. */
	trace_ip(&vcpu.trace, ppt_fup, 0x1000);
	trace_pip(&vcpu.trace, B, false);
	trace_ip(&vcpu.trace, ppt_tip, 0x1000);
	vcpu.in = 1;
	loop(&vcpu);
	trace_ip(&vcpu.trace, ppt_fup, 0x1000);
	trace_pip(&vcpu.trace, A, false);
	trace_no_ip(&vcpu.trace, ppt_tip_pgd);
	trace_ip(&vcpu.trace, ppt_tip_pge, 0x1000);
	vcpu.in = 0;
	loop(&vcpu);
	loop(&vcpu);
	spaces_init(&fixture);
	fixture_trace(&fixture, 0, &vcpu.trace);
	fixture_decode(&fixture, 1);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_ERROR), 0);
	find(&fixture, &at, XENPT_EVENT_INTERRUPT);
	assert_int_equal(find(&fixture, &at, XENPT_EVENT_BLOCK)->cr3, B);
	find(&fixture, &at, XENPT_EVENT_ON);
	assert_int_equal(find(&fixture, &at, XENPT_EVENT_BLOCK)->cr3, A);
	fixture_deinit(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_spaces),     cmocka_unit_test(test_capture),
		cmocka_unit_test(test_registers),      cmocka_unit_test(test_concealed),
		cmocka_unit_test(test_host_is_traced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
