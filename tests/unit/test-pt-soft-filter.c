/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the software generator leaves out, when time passes, and when output fails. */
#include "tests/unit/soft.h"

/* ---- filters ------------------------------------------------------------------------
 */

static void test_user_only(void **state)
{
	start(XPT_CTL_BRANCH_EN | XPT_CTL_USER, "PSB CBR:20 PSBEND");
	JMP_RAX(0x2000);
	cpu.cpl = 3;
	RUN("\x48\x0f\x07", 0x400000);
	expect("MODE:64 PGE:400000");
	JCC(0);
	cpu.cpl = 0;
	RUN("\x0f\x05", 0x2000);
	JMP_RAX(0x2100);
	cpu.cr3 = 0x9000;
	MOV_CR3();
	expect("TNT:0 PGD:-");
	cpu.cpl = 3;
	RUN("\x48\x0f\x07", 0x400010); /* the mode is known */
	cpu.cpl = 0;
	event(0x8000);
	expect("PGE:400010 FUP:400010 PGD:-");
	xpt_soft_stop(&soft, cpu.ip);
	expect("");
}

static void test_os_only(void **state)
{
	start(XPT_CTL_BRANCH_EN | XPT_CTL_OS, STARTED);
	cpu.cpl = 3;
	RUN("\x48\xcf", 0x400000);
	JCC(0);
	cpu.cpl = 0;
	RUN("\xcd\x80", 0x2000);
	expect("PGD:- PGE:2000");
}

static void test_cr3_filter(void **state)
{
	init(ALL | XPT_CTL_CR3_FILTER);
	trace.msrs.cr3_match = 0x8000;
	xpt_soft_start(&soft, &cpu);
	expect("PSB CBR:20 PSBEND");
	cpu.cr3 = 0x8000000000008001; /* NOFLUSH and the PCID do not count */
	MOV_CR3();
	expect("PIP:8000,nr MODE:64 PGE:1003");
	JCC(0);
	cpu.cr3 = 0x7000;
	MOV_CR3();
	expect("TNT:0 PGD:-");
	MOV_CR3();
	expect("");
}

static void init_ranges(uint64_t ctl)
{
	init(ALL | ctl);
	trace.msrs.addr[0] = 0x2000;
	trace.msrs.addr[1] = 0x2fff;
	trace.msrs.addr[2] = 0x5000;
	trace.msrs.addr[3] = 0x5fff;
	xpt_soft_start(&soft, &cpu);
}

static void test_ranges(void **state)
{
	init_ranges(RANGE(0, XPT_ADDR_FILTER) | RANGE(1, XPT_ADDR_FILTER));
	expect("PSB CBR:20 PIP:7000,nr TSX PSBEND");
	JMP(0x2fff);
	NOP(); /* goes straight on: no packet, still traced */
	JCC(0);
	expect("MODE:64 PGE:2fff");
	JMP(0x3000);
	expect("TNT:0 PGD:3000");
	assert_int_equal(trace.topa.status & XPT_STATUS_FILTER_EN, 0);
	JCC(0x2000);
	CALL(0x5000);
	JCC(0x6000); /* not a bit of a TNT, but where it went */
	expect("PGE:2000 PGD:6000");
	RET(0x2005); /* not compressed: it was called when traced, but not run */
	JMP_RAX(0x4000);
	expect("PGE:2005 PGD:4000");
	cpu.cr3 = 0x9000;
	MOV_CR3();
	expect("PIP:9000,nr");
	event(0x5000);
	event(0x3000);
	expect("PGE:5000 FUP:5000 PGD:3000");
}

static void test_trace_stop(void **state)
{
	init_ranges(RANGE(1, XPT_ADDR_STOP));
	expect(STARTED);
	JCC(0);
	JMP(0x5fff);
	NOP();
	JMP_RAX(0x1000);
	xpt_soft_stop(&soft, cpu.ip);
	expect("TNT:0 PGD:5fff STOP");
	assert_int_equal(trace.topa.status & 0x3f,
			 XPT_STATUS_FILTER_EN | XPT_STATUS_STOPPED);
	/* Stopped keeps the trace off. */
	xpt_soft_start(&soft, &cpu);
	expect("");
	trace.topa.status &= ~XPT_STATUS_STOPPED;
	xpt_soft_start(&soft, &cpu);
	expect("CBR:20 MODE:64 PGE:1000");
	event(0x5000);
	expect("FUP:1000 PGD:5000 STOP");

	/* From where nothing is traced. */
	init_ranges(RANGE(0, XPT_ADDR_FILTER) | RANGE(1, XPT_ADDR_STOP));
	expect("PSB CBR:20 PIP:7000,nr TSX PSBEND");
	JMP(0x5000);
	expect("STOP");
}

/* ---- time ---------------------------------------------------------------------------
 */

#define MTC(freq) (XPT_CTL_MTC_EN | (uint64_t)(freq) << XPT_CTL_MTC_FREQ_SHIFT)
#define CYC(threshold) \
	(XPT_CTL_CYC_EN | (uint64_t)(threshold) << XPT_CTL_CYC_THRESH_SHIFT)

static void test_mtc(void **state)
{
	init(ALL | XPT_CTL_TSC_EN | MTC(3)); /* every 32 << 3 ticks */
	cpu.tsc = 1000;
	xpt_soft_start(&soft, &cpu);
	expect("PSB TSC:1000 TMA:31,8 CBR:20 PIP:7000,nr TSX PSBEND MODE:64 PGE:1000");
	cpu.tsc = 1023;
	NOP();
	JCC(0);
	expect("");
	cpu.tsc = 1024;
	NOP();
	expect("MTC:4"); /* the branch before it may wait */
	cpu.tsc = 1800;
	JMP_RAX(0x2000);
	expect("MTC:7 TNT:0 TIP:2000");
	cpu.tsc += 256 << 8; /* more than its eight bits count */
	NOP();
	expect("TSC:67336 TMA:2104,8 MTC:7");
	xpt_soft_stop(&soft, cpu.ip);
	xpt_soft_start(&soft, &cpu);
	expect("FUP:2001 PGD:- TSC:67336 TMA:2104,8 CBR:20 MODE:64 PGE:2001");
}

static void test_cyc(void **state)
{
	init(ALL | XPT_CTL_TSC_EN | CYC(0));
	cpu.tsc = 1000;
	xpt_soft_start(&soft, &cpu);
	expect("PSB TSC:1000 CBR:20 PIP:7000,nr TSX PSBEND MODE:64 PGE:1000");
	cpu.tsc += 10;
	JCC(0);
	cpu.tsc += 10;
	JMP_RAX(0x2000);
	expect("CYC:20 TNT:0 TIP:2000");
	cpu.tsc += 5000;
	event(0x3000);
	expect("FUP:2000 CYC:5000 TIP:3000");

	init(ALL | CYC(5)); /* 16 cycles */
	xpt_soft_start(&soft, &cpu);
	expect(STARTED);
	cpu.tsc += 15;
	JMP_RAX(0x2000);
	cpu.tsc += 1;
	JMP_RAX(0x2100);
	expect("TIP:2000 CYC:16 TIP:2100");
}

/* ---- output -------------------------------------------------------------------------
 */

static void test_fault(void **state)
{
	start(ALL, STARTED);
	trace.missing = true;
	JCC(0);
	xpt_soft_stop(&soft, cpu.ip);
	assert_int_equal(xpt_soft_flush(&soft), XPT_TOPA_FAULT);
	assert_int_equal(trace.topa.fault, TRACE_BASE + trace.topa.written);
	expect("");
	trace.missing = false;
	assert_int_equal(xpt_soft_flush(&soft), XPT_TOPA_OK);
	expect("TNT:0 FUP:1002 PGD:-");
	xpt_soft_start(&soft, &cpu);
	expect("CBR:20 MODE:64 PGE:1002");
}

/* Jump until more is held than there is room for, and then go to @to. */
static void lose(uint64_t to)
{
	xpt_soft_flush(&soft);
	trace.missing = true;
	for (unsigned int i = 0; i < 200; i++)
		JMP_RAX(cpu.ip ^ 0x100);
	JMP_RAX(to);
	trace.missing = false;
}

static void test_overflow(void **state)
{
	start(ALL, STARTED);
	CALL(0x2000);
	lose(0x4000);
	xpt_soft_flush(&soft); /* whole packets of what was held */
	seen = trace.topa.written;
	NOP();
	expect("OVF PSB CBR:20 PIP:7000,nr TSX PSBEND MODE:64 PGE:4001");
	RET(0x1005);
	expect("TIP:1005");

	/* The loss is told before the VM is entered again. */
	lose(0x4000);
	xpt_soft_flush(&soft);
	seen = trace.topa.written;
	xpt_soft_stop(&soft, cpu.ip);
	expect("OVF");
	xpt_soft_start(&soft, &cpu);
	expect("PSB CBR:20 PIP:7000,nr TSX PSBEND MODE:64 PGE:4000");
}

/* A region of 4 KiB with STOP, where the trace's memory begins. */
static void test_topa_stop(void **state)
{
	const uint64_t table = TRACE_BASE + 0x100000;
	const uint64_t entry = TRACE_BASE | XPT_TOPA_STOP;

	init(ALL | XPT_CTL_TOPA);
	trace.topa.single_range = false;
	trace.topa.output_base = table;
	trace.topa.output_mask_ptrs = 0x7f;
	memcpy(trace.data + 0x100000, &entry, 8);
	xpt_soft_start(&soft, &cpu);
	for (unsigned int i = 0; i < 3000; i++)
		JMP_RAX(cpu.ip ^ 0x100);
	assert_int_equal(trace.topa.written, 4096);
	assert_int_equal(trace.topa.status & (XPT_STATUS_STOPPED | XPT_STATUS_TRIGGER_EN),
			 XPT_STATUS_STOPPED);
	xpt_soft_stop(&soft, cpu.ip);
	assert_int_equal(trace.topa.written, 4096);

	/* Drained, and on again: what comes is a trace of its own. */
	trace.topa.status &= ~XPT_STATUS_STOPPED;
	trace.topa.output_mask_ptrs = 0x7f;
	trace.topa.written = 0;
	xpt_soft_start(&soft, &cpu);
	xpt_soft_flush(&soft);
	expect_from(0, STARTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_user_only),  cmocka_unit_test(test_os_only),
		cmocka_unit_test(test_cr3_filter), cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_trace_stop), cmocka_unit_test(test_mtc),
		cmocka_unit_test(test_cyc),        cmocka_unit_test(test_fault),
		cmocka_unit_test(test_overflow),   cmocka_unit_test(test_topa_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
