/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decoding of small traces made on the spot: each event, each trouble. */
#include "decode.h"

static void test_blocks(void **state)
{
	struct fixture fixture;
	struct trace trace = {};
	const struct xenpt_event *event;
	size_t at = 0;

	fixture_init(&fixture);
	trace_psb_plus(&trace, &psb_1000);
	trace_tnt(&trace, "1110");
	trace_ip(&trace, ppt_fup, 0x1010);
	trace_ip(&trace, ppt_tip, 0x1020);
	trace_ip(&trace, ppt_tip_pgd, 0x9000);
	fixture_trace(&fixture, 3, &trace);
	fixture_decode(&fixture, 1);

	event = find(&fixture, &at, XENPT_EVENT_CR3);
	assert_int_equal(event->value, CR3);
	assert_true(event->non_root);
	assert_true(event->status);
	assert_int_equal(fixture.vcpus[at - 1], 3);

	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->ip, 0x1000);
	assert_int_equal(event->last, 0x1000);
	assert_int_equal(event->branch, XENPT_BRANCH_CALL);
	assert_int_equal(event->to, 0x1010);
	assert_int_equal(event->cr3, CR3);
	assert_int_equal(event->mode, 64);
	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->insns, 2);
	assert_int_equal(event->branch, XENPT_BRANCH_RETURN);
	assert_int_equal(event->to, 0x1005);
	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->branch, XENPT_BRANCH_COND);
	assert_int_equal(event->to, 0x1000);
	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->branch, XENPT_BRANCH_CALL);
	assert_int_equal(event->to, 0x1010);

	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->branch, XENPT_BRANCH_RETURN);
	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->branch, XENPT_BRANCH_COND);
	assert_int_equal(event->to, 0x1007);
	find(&fixture, &at, XENPT_EVENT_BLOCK); /* jmp */
	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->to, 0x1010);
	assert_true(event->has_to);

	event = find(&fixture, &at, XENPT_EVENT_INTERRUPT);
	assert_int_equal(event->ip, 0x1010);
	assert_int_equal(event->to, 0x1020);
	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->branch, XENPT_BRANCH_SYSCALL);
	assert_int_equal(event->to, 0x9000);
	event = find(&fixture, &at, XENPT_EVENT_OFF);
	assert_int_equal(event->to, 0x9000);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_ERROR), 0);
	fixture_deinit(&fixture);
}

static void test_address_spaces(void **state)
{
	/* At the same address: nop; mov %rax,%cr3; ret and ret. */
	static const uint8_t first[] = { 0x90, 0x0f, 0x22, 0xd8, 0xc3 };
	static const uint8_t second[] = { 0xcc, 0xcc, 0xcc, 0xcc, 0x90, 0x90, 0xc3 };
	struct psb psb = { .mode = 64, .ip = 0x2000, .cr3 = 0x7000 };
	struct fixture fixture;
	struct trace trace = {};
	const struct xenpt_event *event;
	size_t at = 0;

	fixture_init(&fixture);
	check_error(xenpt_writer_code(fixture.file.writer, 0, 0x7000, 0x2000, first,
				      sizeof(first)));
	check_error(xenpt_writer_code(fixture.file.writer, 0, 0x8000, 0x2000, second,
				      sizeof(second)));
	trace_psb_plus(&trace, &psb);
	trace_pip(&trace, 0x8000, true);
	trace_ip(&trace, ppt_tip, 0x1030);
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);

	event = find(&fixture, &at, XENPT_EVENT_CR3);
	assert_int_equal(event->value, 0x7000);
	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->cr3, 0x7000);
	assert_int_equal(event->insns, 2);
	event = find(&fixture, &at, XENPT_EVENT_CR3);
	assert_int_equal(event->value, 0x8000);
	assert_false(event->status);
	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->ip, 0x2004);
	assert_int_equal(event->insns, 3); /* the second's nop; nop; ret */
	assert_int_equal(event->cr3, 0x8000);
	fixture_deinit(&fixture);
}

/*
 * An address space's own code goes before that of all, which fills its holes; and
 * neither has anything to do with another space's.
 */
static void test_own_code(void **state)
{
	static const uint8_t all[] = { 0x90, 0x90, 0x90, 0x90, 0xc3 };
	static const uint8_t own[] = { 0x66, 0x90 }; /* one instruction, not two */
	static const struct {
		uint64_t cr3, insns;
	} spaces[] = { { 0x7000, 4 }, { 0x8000, 5 }, { 0x9000, 4 } };
	struct fixture fixture;
	struct trace trace = {};
	size_t at = 0;

	fixture_init(&fixture);
	check_error(xenpt_writer_code(fixture.file.writer, 0, 0x7000, 0x2001, own, 2));
	check_error(xenpt_writer_code(fixture.file.writer, 0, 0x9000, 0x2002, own, 2));
	check_error(xenpt_writer_code(fixture.file.writer, 0, XENPT_CR3_ANY, 0x2000, all,
				      sizeof(all)));
	for (size_t round = 0; round < 2; round++) {
		for (size_t i = 0; i < 3; i++) {
			struct psb psb = { .mode = 64, .ip = 0x2000 };

			psb.cr3 = spaces[i].cr3;
			trace_psb_plus(&trace, &psb);
			trace_ip(&trace, ppt_tip_pgd, 0x9000);
			trace_ip(&trace, ppt_tip_pge, 0x2000);
			trace_ip(&trace, ppt_tip, 0x1010);
			trace_ip(&trace, ppt_tip, 0x2000);
		}
	}
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);

	for (size_t i = 0; i < 12; i++) {
		const struct xenpt_event *event;

		do {
			event = find(&fixture, &at, XENPT_EVENT_BLOCK);
		} while (event->ip != 0x2000);
		assert_int_equal(event->cr3, spaces[i / 2 % 3].cr3);
		assert_int_equal(event->insns, spaces[i / 2 % 3].insns);
		assert_int_equal(event->last, 0x2004);
	}
	assert_int_equal(count_type(&fixture, XENPT_EVENT_ERROR), 0);
	fixture_deinit(&fixture);
}

/* More pieces of code than libipt gets: no difference but the time it takes. */
static void test_many_pieces(void **state)
{
	static const uint8_t all[] = { 0x90, 0x90, 0xc3 };
	static const uint8_t own[] = { 0x66, 0x90, 0xc3 };
	static const uint64_t ips[] = { 0x100000, 0x100000 + 19999 * 0x10, 0x100000 };
	struct fixture fixture;
	struct trace trace = {};
	size_t at = 0;

	fixture_init(&fixture);
	for (size_t i = 0; i < 20000; i++)
		check_error(xenpt_writer_code(fixture.file.writer, 0, XENPT_CR3_ANY,
					      0x100000 + i * 0x10, all, sizeof(all)));
	check_error(xenpt_writer_code(fixture.file.writer, 0, 0x7000, ips[1], own,
				      sizeof(own)));
	for (uint64_t cr3 = 0x7000; cr3 <= 0x8000; cr3 += 0x1000) {
		struct psb psb = { .mode = 64, .cr3 = cr3, .ip = ips[0] };

		trace_psb_plus(&trace, &psb);
		trace_ip(&trace, ppt_tip, ips[1]);
		trace_ip(&trace, ppt_tip, ips[2]);
	}
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_ERROR), 0);
	for (size_t i = 0; i < 5; i++) {
		const struct xenpt_event *event = find(&fixture, &at, XENPT_EVENT_BLOCK);

		assert_int_equal(event->insns,
				 event->ip == ips[1] && event->cr3 == 0x7000 ? 2 : 3);
	}
	fixture_deinit(&fixture);
}

/* The same of address spaces' own: what is shared goes on as before. */
static void test_many_spaces(void **state)
{
	static const uint8_t all[] = { 0x90, 0x90, 0x90, 0x90, 0xc3 };
	static const uint8_t own[] = { 0x66, 0x90, 0x90, 0x90, 0xc3 };
	struct psb psb = { .mode = 64, .ip = 0x100000 };
	struct fixture fixture;
	struct trace trace = {};
	size_t at = 0;

	fixture_init(&fixture);
	check_error(xenpt_writer_code(fixture.file.writer, 0, XENPT_CR3_ANY, psb.ip, all,
				      sizeof(all)));
	for (uint64_t i = 0; i < 20000; i++)
		check_error(xenpt_writer_code(fixture.file.writer, 0,
					      0x10000 + i * 0x2000, psb.ip, own,
					      sizeof(own)));
	for (uint64_t cr3 = 0x10000; cr3 <= 0x13000; cr3 += 0x1000) {
		psb.cr3 = cr3;
		trace_psb_plus(&trace, &psb);
		trace_ip(&trace, ppt_tip, 0x1000);
		trace_tnt(&trace, "1");
		trace_ip(&trace, ppt_tip_pgd, 0x9000);
		trace_ip(&trace, ppt_tip_pge, psb.ip);
		trace_ip(&trace, ppt_tip, psb.ip);
	}
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);
	for (size_t i = 0; i < 8; i++) {
		const struct xenpt_event *event;

		do {
			event = find(&fixture, &at, XENPT_EVENT_BLOCK);
		} while (event->ip != psb.ip);
		assert_int_equal(event->insns, event->cr3 & 0x1000 ? 5 : 4);
	}
	fixture_deinit(&fixture);
}

/* Where code is some address space's own, it takes a CR3 to say which it is. */
static void test_unknown_address_space(void **state)
{
	static const uint8_t own[] = { 0x90, 0x90, 0xc3 };
	struct psb psb = { .mode = 64, .ip = 0x2000 };
	struct fixture fixture;
	struct trace trace = {};
	const struct xenpt_event *event;
	size_t at = 0;

	fixture_init(&fixture);
	check_error(xenpt_writer_code(fixture.file.writer, 0, 0x7000, 0x2000, own, 3));
	trace_psb_plus(&trace, &psb);
	trace_ip(&trace, ppt_tip, 0x1010);
	psb.cr3 = 0x7000;
	trace_psb_plus(&trace, &psb);
	trace_ip(&trace, ppt_tip, 0x1010);
	trace_bytes(&trace, "\x02\xff", 2);
	psb.cr3 = 0;
	trace_psb_plus(&trace, &psb);
	trace_ip(&trace, ppt_tip, 0x1010);
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);

	event = find(&fixture, &at, XENPT_EVENT_ERROR);
	assert_int_equal(event->reason, XENPT_TROUBLE_NO_CODE);
	assert_int_equal(event->ip, 0x2000);
	assert_int_equal(event->cr3, XENPT_CR3_ANY);
	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->cr3, 0x7000);
	assert_int_equal(event->insns, 3);
	event = find(&fixture, &at, XENPT_EVENT_ERROR);
	assert_int_equal(event->reason, XENPT_TROUBLE_BAD_PACKET);
	/* A PIP may have been among the bad bytes. */
	event = find(&fixture, &at, XENPT_EVENT_ERROR);
	assert_int_equal(event->reason, XENPT_TROUBLE_NO_CODE);
	assert_int_equal(event->cr3, XENPT_CR3_ANY);
	fixture_deinit(&fixture);
}

/* The same bytes, run in all modes: in each they are other instructions. */
static void test_modes(void **state)
{
	/* 64 bits: rex nop; ret. Else: inc; nop; ret. */
	static const uint8_t bytes[] = { 0x40, 0x90, 0xc3 };
	static const int modes[] = { 32, 64, 16, 64, 32, 16 };
	struct psb psb = { .mode = 64, .ip = 0x1010 };
	struct fixture fixture;
	struct trace trace = {};
	size_t at = 0;

	fixture_init(&fixture);
	check_error(xenpt_writer_code(fixture.file.writer, 0, XENPT_CR3_ANY, 0x2000,
				      bytes, sizeof(bytes)));
	trace_psb_plus(&trace, &psb);
	for (size_t i = 0; i < 6; i++) {
		trace_mode_exec(&trace, modes[i]);
		trace_ip(&trace, ppt_tip, 0x2000);
		trace_ip(&trace, ppt_tip, 0x1010);
	}
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);
	for (size_t i = 0; i < 6; i++) {
		const struct xenpt_event *event;

		do {
			event = find(&fixture, &at, XENPT_EVENT_BLOCK);
		} while (event->ip != 0x2000);
		assert_int_equal(event->mode, modes[i]);
		assert_int_equal(event->insns, modes[i] == 64 ? 2 : 3);
	}
	fixture_deinit(&fixture);
}

/* Blocks end at jumps, also where the code begins. */
static void test_first_jump(void **state)
{
	static const uint8_t bytes[] = { 0xeb, 0x01, 0xcc, 0x90, 0xc3 };
	struct psb psb = { .mode = 64, .ip = 0x2000 };
	struct fixture fixture;
	struct trace trace = {};
	const struct xenpt_event *event;
	size_t at = 0;

	fixture_init(&fixture);
	check_error(xenpt_writer_code(fixture.file.writer, 0, XENPT_CR3_ANY, 0x2000,
				      bytes, sizeof(bytes)));
	trace_psb_plus(&trace, &psb);
	trace_ip(&trace, ppt_tip, 0x1010);
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);
	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->branch, XENPT_BRANCH_JUMP);
	assert_int_equal(event->to, 0x2003);
	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->ip, 0x2003);
	assert_int_equal(event->insns, 2);
	fixture_deinit(&fixture);
}

static void test_logged(void **state)
{
	struct fixture fixture;
	struct trace trace = {};
	struct pt_packet packet;
	const struct xenpt_event *event;
	struct psb psb = psb_1000;
	size_t at = 0;

	psb.vmcs = 0xabc000;
	fixture_init(&fixture);
	trace_psb_plus(&trace, &psb);
	packet = (struct pt_packet){ .type = ppt_cbr };
	packet.payload.cbr.ratio = 17;
	trace_packet(&trace, &packet);
	trace_tnt(&trace, "11");
	packet = (struct pt_packet){ .type = ppt_mwait };
	packet.payload.mwait.hints = 0x20;
	packet.payload.mwait.ext = 1;
	trace_packet(&trace, &packet);
	packet = (struct pt_packet){ .type = ppt_exstop };
	packet.payload.exstop.ip = 1;
	trace_packet(&trace, &packet);
	trace_ip(&trace, ppt_fup, 0x1010);
	packet = (struct pt_packet){ .type = ppt_pwre };
	packet.payload.pwre.state = 6;
	packet.payload.pwre.sub_state = 2;
	trace_packet(&trace, &packet);
	packet = (struct pt_packet){ .type = ppt_pwrx };
	packet.payload.pwrx.last = 1;
	packet.payload.pwrx.deepest = 6;
	packet.payload.pwrx.interrupt = 1;
	trace_packet(&trace, &packet);
	packet = (struct pt_packet){ .type = ppt_ptw };
	packet.payload.ptw.plc = 1;
	packet.payload.ptw.payload = 0x1122334455667788;
	packet.payload.ptw.ip = 1;
	trace_packet(&trace, &packet);
	trace_ip(&trace, ppt_fup, 0x1010);
	trace_type(&trace, ppt_ovf);
	trace_ip(&trace, ppt_fup, 0x1010);
	trace_mode_exec(&trace, 32);
	trace_ip(&trace, ppt_tip, 0x1005);
	trace_tnt(&trace, "11");
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);

	event = find(&fixture, &at, XENPT_EVENT_VMCS);
	assert_int_equal(event->value, 0xabc000);
	at = 0;
	event = find(&fixture, &at, XENPT_EVENT_CBR);
	assert_int_equal(event->value, 30);
	event = find(&fixture, &at, XENPT_EVENT_CBR);
	assert_int_equal(event->value, 17);
	event = find(&fixture, &at, XENPT_EVENT_MWAIT);
	assert_int_equal(event->value, 0x20 | 1ull << 32);
	event = find(&fixture, &at, XENPT_EVENT_EXSTOP);
	assert_int_equal(event->ip, 0x1010);
	event = find(&fixture, &at, XENPT_EVENT_PWRE);
	assert_int_equal(event->value, 6 | 2 << 8);
	event = find(&fixture, &at, XENPT_EVENT_PWRX);
	assert_int_equal(event->value, 1 | 6 << 8 | 1 << 16);
	event = find(&fixture, &at, XENPT_EVENT_PTWRITE);
	assert_int_equal(event->value, 0x1122334455667788);
	event = find(&fixture, &at, XENPT_EVENT_OVERFLOW);
	assert_int_equal(event->ip, 0x1010);
	event = find(&fixture, &at, XENPT_EVENT_MODE);
	assert_int_equal(event->mode, 32);
	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->ip, 0x1005);
	assert_int_equal(event->mode, 32);
	fixture_deinit(&fixture);
}

/* A PSB without PSBEND: one error, and decoding goes on at the next PSB. */
static void test_no_psbend(void **state)
{
	struct psb psb = psb_1000;
	struct fixture fixture;
	struct trace trace = {};
	const struct xenpt_event *event;
	size_t at = 0, next;

	psb.no_end = true;
	fixture_init(&fixture);
	trace_psb_plus(&trace, &psb);
	trace_ip(&trace, ppt_tip_pge, 0x1000);
	trace_loops(&trace, 10);
	next = trace.size;
	trace_psb_plus(&trace, &psb_1000);
	trace_loops(&trace, 5);
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);

	assert_int_equal(count_type(&fixture, XENPT_EVENT_ERROR), 1);
	event = find(&fixture, &at, XENPT_EVENT_ERROR);
	assert_int_equal(event->reason, XENPT_TROUBLE_BAD_CONTEXT);
	assert_int_equal(event->offset, 0);
	assert_int_equal(event->value, next);
	/* Five rounds of call; nop; ret; jnz, and the next call; nop; ret. */
	assert_int_equal(count_insns(&fixture), 5 * 4 + 3);
	fixture_deinit(&fixture);
}

static void test_no_code(void **state)
{
	struct fixture fixture;
	struct trace trace = {};
	const struct xenpt_event *event;
	size_t at = 0;

	fixture_init(&fixture);
	trace_psb_plus(&trace, &psb_1000);
	trace_ip(&trace, ppt_tip, 0x7000); /* the ret goes astray */
	trace_tnt(&trace, "1");
	trace_psb_plus(&trace, &psb_1000);
	trace_loops(&trace, 1);
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);

	event = find(&fixture, &at, XENPT_EVENT_ERROR);
	assert_int_equal(event->reason, XENPT_TROUBLE_NO_CODE);
	assert_int_equal(event->ip, 0x7000);
	assert_true(fixture.events[at - 2].has_to); /* the block says where it went */
	assert_int_equal(fixture.events[at - 2].to, 0x7000);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_ERROR), 1);
	find(&fixture, &at, XENPT_EVENT_BLOCK);
	fixture_deinit(&fixture);
}

static void test_bad_packet(void **state)
{
	static const uint8_t bad[] = { 0x02, 0xff, 0xff, 0xff };
	struct fixture fixture;
	struct trace trace = {};
	const struct xenpt_event *event;
	size_t at = 0, psb;

	fixture_init(&fixture);
	trace_bytes(&trace, "\x04\x04\x04", 3); /* before the first PSB */
	trace_psb_plus(&trace, &psb_1000);
	trace_loops(&trace, 2);
	trace_bytes(&trace, bad, sizeof(bad));
	psb = trace.size;
	trace_psb_plus(&trace, &psb_1000);
	trace_loops(&trace, 3);
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);

	event = find(&fixture, &at, XENPT_EVENT_GAP);
	assert_int_equal(event->reason, XENPT_GAP_NO_PSB);
	assert_int_equal(event->value, 3);
	event = find(&fixture, &at, XENPT_EVENT_ERROR);
	assert_int_equal(event->reason, XENPT_TROUBLE_BAD_PACKET);
	assert_int_equal(event->offset + event->value, psb);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_ERROR), 1);
	fixture_deinit(&fixture);
}

static void test_seam(void **state)
{
	struct fixture fixture;
	struct trace trace = {};
	const struct xenpt_event *event;
	size_t at = 0;

	fixture_init(&fixture);
	trace_psb_plus(&trace, &psb_1000);
	trace_loops(&trace, 2);
	trace_bytes(&trace, "\x71\x00", 2); /* a TIP, cut */
	fixture_trace(&fixture, 0, &trace);
	check_error(xenpt_writer_gap(fixture.file.writer, 0, XENPT_GAP_LAPPED, 4321));
	trace_bytes(&trace, "\x10\x00", 2); /* the middle of something */
	trace_psb_plus(&trace, &psb_1000);
	trace_loops(&trace, 3);
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);

	event = find(&fixture, &at, XENPT_EVENT_GAP);
	assert_int_equal(event->reason, XENPT_GAP_LAPPED);
	assert_int_equal(event->value, 4321);
	event = find(&fixture, &at, XENPT_EVENT_GAP);
	assert_int_equal(event->reason, XENPT_GAP_NO_PSB);
	assert_int_equal(event->value, 2);
	/* After a gap, the address space is news. */
	find(&fixture, &at, XENPT_EVENT_CR3);
	/* Up to the packet that is cut; and all of the other side. */
	assert_int_equal(count_insns(&fixture), 2 * 4 + 3 * 4 + 3);
	fixture_deinit(&fixture);
}

static void test_endless(void **state)
{
	struct psb psb = { .mode = 64, .ip = 0x1030 };
	struct fixture fixture;
	struct trace trace = {};
	const struct xenpt_event *event;
	size_t at = 0;

	fixture_init(&fixture);
	trace_psb_plus(&trace, &psb);
	trace_ip(&trace, ppt_fup, 0x1010); /* where jmp . never gets */
	trace_ip(&trace, ppt_tip, 0x1000);
	trace_loops(&trace, 10);
	trace_psb_plus(&trace, &psb_1000);
	trace_loops(&trace, 1);
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);
	event = find(&fixture, &at, XENPT_EVENT_ERROR);
	assert_int_equal(event->reason, XENPT_TROUBLE_ENDLESS);
	assert_int_equal(event->ip, 0x1030);
	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->ip, 0x1000);
	fixture_deinit(&fixture);
}

/* Instructions without end and without a branch are given up, too. */
static void test_endless_block(void **state)
{
	struct psb psb = { .mode = 64, .ip = 0x100000 };
	size_t size = 3 << 20;
	uint8_t *nops = malloc(size);
	struct fixture fixture;
	struct trace trace = {};
	const struct xenpt_event *event;
	size_t at = 0;

	assert_non_null(nops);
	memset(nops, 0x90, size);
	nops[size - 1] = 0xc3;
	fixture_init(&fixture);
	check_error(xenpt_writer_code(fixture.file.writer, 0, XENPT_CR3_ANY, psb.ip, nops,
				      size));
	free(nops);
	trace_psb_plus(&trace, &psb);
	trace_ip(&trace, ppt_tip, 0x1000);
	psb.ip += size - 1000;
	trace_psb_plus(&trace, &psb);
	trace_ip(&trace, ppt_tip, 0x1000);
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);
	event = find(&fixture, &at, XENPT_EVENT_ERROR);
	assert_int_equal(event->reason, XENPT_TROUBLE_ENDLESS);
	assert_int_equal(event->ip, 0x100000);
	event = find(&fixture, &at, XENPT_EVENT_BLOCK);
	assert_int_equal(event->ip, psb.ip);
	assert_int_equal(event->insns, 1000);
	fixture_deinit(&fixture);
}

/* Several spans' worth: the same events, whoever decodes them. */
static void long_trace(struct trace *trace, size_t psbs)
{
	struct psb psb = psb_1000;

	for (size_t i = 0; i < psbs; i++) {
		psb.tsc = 1000 + 100 * i;
		trace_psb_plus(trace, &psb);
		trace_loops(trace, 800 + i % 7);
		if (i % 50 == 49)
			trace_bytes(trace, "\x02\xff\xff", 3);
	}
}

static void test_threads(void **state)
{
	struct fixture one;
	struct trace trace = {};
	uint64_t insns = 0;

	fixture_init(&one);
	long_trace(&trace, 600);
	for (size_t i = 0; i < 600; i++) {
		/* Where the trace breaks off, the flow runs on to the next jnz. */
		insns += 4 * (800 + i % 7) + (i % 50 == 49 ? 3 : 0);
	}
	fixture_trace(&one, 0, &trace);
	long_trace(&trace, 200);
	fixture_trace(&one, 1, &trace);
	fixture_decode(&one, 1);
	assert_int_equal(count_type(&one, XENPT_EVENT_ERROR), 12 + 4);
	assert_true(count_insns(&one) > insns);

	for (unsigned int threads = 2; threads <= 8; threads += 3) {
		struct xenpt_decoder_options options = { .threads = threads };

		assert_decodes_same(&one, &options);
	}
	fixture_deinit(&one);
}

/* A PSB in mid-flow changes nothing: no instruction twice, none missing. */
static void test_spans_join(void **state)
{
	struct fixture fixture;
	struct trace trace = {};
	size_t rounds = 0, blocks;

	fixture_init(&fixture);
	for (size_t i = 0; i < 400; i++) {
		trace_psb_plus(&trace, &psb_1000);
		trace_loops(&trace, 1000);
		rounds += 1000;
	}
	assert_true(trace.size > 4 * (64 << 10));
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);
	assert_int_equal(count_insns(&fixture), 4 * rounds + 3);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_CR3), 1);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_MODE), 1);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_CBR), 1);
	blocks = count_type(&fixture, XENPT_EVENT_BLOCK);
	for (size_t i = 0, n = 0; i < fixture.count; i++) {
		const struct xenpt_event *event = &fixture.events[i];

		if (event->type == XENPT_EVENT_BLOCK && ++n < blocks)
			assert_true(event->has_to);
	}
	fixture_deinit(&fixture);
}

static void test_merge(void **state)
{
	struct fixture fixture;
	struct trace trace = {};
	uint64_t last = 0;
	size_t switches = 0, whole = 0;

	fixture_init(&fixture);
	long_trace(&trace, 100);
	fixture_trace(&fixture, 0, &trace);
	long_trace(&trace, 100);
	fixture_trace(&fixture, 1, &trace);
	/* No time: comes out whole. */
	trace_psb_plus(&trace, &psb_1000);
	trace_loops(&trace, 10000);
	fixture_trace(&fixture, 2, &trace);
	fixture_decode(&fixture, 2);

	for (size_t i = 1; i < fixture.count; i++) {
		const struct xenpt_event *event = &fixture.events[i];

		if (event->time) {
			assert_true(event->time >= last);
			last = event->time;
		}
		if (fixture.vcpus[i] != fixture.vcpus[i - 1]) {
			switches++;
			whole += fixture.vcpus[i - 1] == 2;
		}
	}
	assert_int_equal(whole, 1);
	assert_true(switches > 100);
	fixture_deinit(&fixture);
}

static void test_empty(void **state)
{
	struct fixture fixture;
	struct xenpt_vcpu vcpu = { .id = 0, .name = "idle" };

	fixture_init(&fixture);
	check_error(xenpt_writer_vcpu(fixture.file.writer, &vcpu));
	fixture_decode(&fixture, 2);
	assert_int_equal(fixture.count, 0);
	fixture_deinit(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_address_spaces),
		cmocka_unit_test(test_own_code),
		cmocka_unit_test(test_many_pieces),
		cmocka_unit_test(test_many_spaces),
		cmocka_unit_test(test_unknown_address_space),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_first_jump),
		cmocka_unit_test(test_logged),
		cmocka_unit_test(test_no_psbend),
		cmocka_unit_test(test_no_code),
		cmocka_unit_test(test_bad_packet),
		cmocka_unit_test(test_seam),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_endless_block),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_spans_join),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
