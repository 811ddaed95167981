/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the software generator says of each thing that a vCPU does. */
#include "tests/unit/soft.h"

/* ---- the trace goes on and off ---------------------------------------------------- */

static void test_start_stop(void **state)
{
	start(ALL, STARTED);
	assert_int_equal(trace.topa.status & 7, XPT_STATUS_TRIGGER_EN |
							XPT_STATUS_CONTEXT_EN |
							XPT_STATUS_FILTER_EN);
	NOP();
	xpt_soft_stop(&soft, cpu.ip);
	expect("FUP:1001 PGD:-");
	assert_int_equal(trace.topa.status & XPT_STATUS_TRIGGER_EN, 0);
	NOP(); /* not seen */
	JMP_RAX(0x2000);
	event(0x3000);
	expect("");
	xpt_soft_start(&soft, &cpu);
	expect("CBR:20 MODE:64 PGE:3000");
	trace.topa.status = 0; /* PacketByteCnt, by software */
	xpt_soft_stop(&soft, cpu.ip);
	expect("FUP:3000 PGD:-");
	trace.topa.status = 0;
	xpt_soft_start(&soft, &cpu);
	expect("PSB CBR:20 PIP:7000,nr TSX PSBEND MODE:64 PGE:3000");
}

/* Jump to and fro until there is more than the TIP. */
static void run_to_psb(void)
{
	do {
		xpt_soft_flush(&soft);
		seen = trace.topa.written;
		JMP_RAX(cpu.ip ^ 0x100);
		xpt_soft_flush(&soft);
	} while (trace.topa.written - seen == 3);
}

static void test_psb(void **state)
{
	start(ALL, STARTED);
	CALL(0x2000);
	run_to_psb();
	assert_in_range(seen, 2048, 2080);
	expect("TIP:2000 PSB CBR:20 PIP:7000,nr TSX MODE:64 FUP:2000 PSBEND");
	/* Its CALL was before the PSB. */
	RET(0x1005);
	expect("TIP:1005");

	start(ALL | 2ull << XPT_CTL_PSB_FREQ_SHIFT, STARTED);
	run_to_psb();
	assert_in_range(seen, 8192, 8224);
}

/* Held while its page is missing, and lost when too much is held: where no PSB is. */
static void test_psb_at(void **state)
{
	const uint64_t psb = 16, tip = 3, held = 38 * tip; /* no more fits behind it */

	init(ALL);
	assert_int_equal(xpt_soft_psb_at(&soft), XPT_SOFT_NO_PSB);
	xpt_soft_start(&soft, &cpu);
	assert_int_equal(xpt_soft_psb_at(&soft), 0);
	do {
		JMP_RAX(cpu.ip ^ 0x100);
		xpt_soft_flush(&soft);
	} while (trace.topa.written - psb + held < 2048);
	trace.missing = true;
	for (uint64_t i = 0; i < held / tip; i++)
		JMP_RAX(cpu.ip ^ 0x100);
	assert_int_equal(xpt_soft_psb_at(&soft), 0);
	trace.missing = false;
	seen = trace.topa.written + held;
	JMP_RAX(0x4000);
	assert_int_equal(xpt_soft_psb_at(&soft), seen + 2);
	expect("OVF PSB CBR:20 PIP:7000,nr TSX PSBEND MODE:64 PGE:4000");
}

static void test_branch_en(void **state)
{
	start(XPT_CTL_OS | XPT_CTL_USER, "PSB CBR:20 PIP:7000,nr PSBEND");
	JCC(0x2000);
	JMP_RAX(0x3000);
	event(0x4000);
	cpu.cr3 = 0x8000;
	MOV_CR3();
	xpt_soft_stop(&soft, cpu.ip);
	expect("PIP:8000,nr");
}

/* ---- branches ---------------------------------------------------------------------- */

static void test_tnt(void **state)
{
	start(ALL, STARTED);
	for (unsigned int i = 0; i < 7; i++) {
		JCC(i % 2 ? 0 : 0x2000 + i);
		NOP();
		JMP(0x3000);
	}
	expect("TNT:101010");
	RUN("\xe2\x10", 0x4000); /* LOOP */
	RUN("\xe3\x10", 0);      /* JRCXZ */
	RUN("\x0f\x85\x10\x00\x00\x00", 0x5000);
	JMP_RAX(0x6000);
	expect("TNT:1101 TIP:6000");
	RUN("\xff\xd0", 0x6010); /* CALL RAX */
	expect("TIP:6010");
}

static void test_returns(void **state)
{
	start(ALL, STARTED);
	CALL(0x2000);
	RUN("\xff\xd0", 0x3000);
	RET(0x2002);
	RET(0x1005);
	RET(0x9000); /* no CALL */
	expect("TIP:3000 TNT:11 TIP:9000");
	CALL(0x9005); /* tells its own address: "zero-length" */
	RET(0x9005);
	expect("TIP:9005");
	CALL(0x2000);
	CALL(0x3000);
	RET(0xa000); /* elsewhere: from here decoders disagree on what is on the stack */
	RET(0x2005);
	RET(0x900a);
	expect("TIP:a000 TIP:2005 TIP:900a");
	CALL(0x2000);
	CALL(0x3000);
	RET(0xa000);
	RET(0x900f);
	expect("TIP:a000 TIP:900f");

	start(ALL | XPT_CTL_DIS_RETC, STARTED);
	CALL(0x2000);
	RET(0x1005);
	expect("TIP:1005");
}

static void test_return_depth(void **state)
{
	start(ALL, STARTED);
	for (unsigned int i = 0; i < 70; i++)
		CALL(cpu.ip + 0x100);
	for (unsigned int i = 69; i >= 6; i--)
		RET(0x1000 + 0x100 * i + 5);
	RET(0x1505);
	expect("TNT:111111 TNT:111111 TNT:111111 TNT:111111 TNT:111111 TNT:111111 "
	       "TNT:111111 TNT:111111 TNT:111111 TNT:111111 TNT:1111 TIP:1505");
}

/* A return is compressed only where all between it and its CALL was traced. */
static void test_returns_untraced(void **state)
{
	start(ALL, STARTED);
	CALL(0x2000);
	xpt_soft_stop(&soft, cpu.ip);
	xpt_soft_start(&soft, &cpu);
	RET(0x1005);
	expect("FUP:2000 PGD:- CBR:20 MODE:64 PGE:2000 TIP:1005");
}

/* ---- far transfers and events ------------------------------------------------------ */

static void test_far(void **state)
{
	start(ALL, STARTED);
	JCC(0);
	cpu.cpl = 3;
	RUN("\x48\xcf", 0x400000);
	expect("TNT:0 TIP:400000");
	cpu.cpl = 0;
	RUN("\x0f\x05", 0x2000);
	expect("TIP:2000");
	cpu.cpl = 3;
	cpu.csl = false;
	cpu.csd = true;
	RUN("\x48\xcf", 0x8000);
	expect("MODE:32 TIP:8000");
	RUN("\x48", 0); /* DEC, no prefix here */
	RUN("\xc3", 0x8100);
	cpu.csd = false;
	RUN("\xea\x00\x00\x00\x00\x0f\x00", 0x8200);
	expect("TIP:8100 MODE:16 TIP:8200");
	cpu.cpl = 0;
	cpu.csl = true;
	RUN("\x0f\x34", 0x3000);
	expect("MODE:64 TIP:3000");
	cpu.cr3 = 0x9000; /* a task switch */
	RUN("\xff\x2b", 0x4000);
	expect("PIP:9000,nr TIP:4000");
}

static void test_events(void **state)
{
	start(ALL, STARTED);
	NOP();
	JCC(0x2000);
	event(0x8000); /* an interrupt after it, or a fault of what is at 0x2000 */
	expect("TNT:1 FUP:2000 TIP:8000");
	RUN("\xcd\x80", 0x9000);
	expect("FUP:8000 TIP:9000");
	RUN("\xcc", 0x9100);
	RUN("\xf1", 0x9200);
	expect("FUP:9000 TIP:9100 FUP:9100 TIP:9200");
	cpu.cpl = 3;
	cpu.csl = false;
	cpu.csd = true;
	RUN("\x48\xcf", 0x10000);
	RUN("\xce", 0); /* INTO, with OF clear */
	RUN("\x90", 0);
	cpu.cpl = 0;
	cpu.csl = true;
	cpu.csd = false;
	RUN("\xce", 0x8000);
	expect("MODE:32 TIP:10000 FUP:10002 MODE:64 TIP:8000");
}

static void test_mov_cr3(void **state)
{
	start(ALL, STARTED);
	JCC(0);
	cpu.cr3 = 0x8000000000012345; /* NOFLUSH, PCID */
	MOV_CR3();
	MOV_CR3(); /* the same value */
	expect("TNT:0 PIP:12000,nr PIP:12000,nr");
	cpu.pae = true;
	cpu.cr3 = 0x123e0;
	MOV_CR3();
	expect("PIP:123e0,nr");
	RUN("\x0f\x22\xe0", 0); /* CR4 */
	RUN("\x0f\x20\xd8", 0); /* from CR3 */
	expect("");
}

/* A hypervisor changes what no instruction does. */
static void test_changed(void **state)
{
	start(ALL, STARTED);
	cpu.cr3 = 0x9000;
	RUN("\x0f\xa2", 0);
	expect("FUP:1002 PGD:- PIP:9000,nr PGE:1002");
	cpu.csl = false;
	JCC(0x2000);
	expect("TNT:1 FUP:2000 PGD:- MODE:16 PGE:2000");
}

static void test_ptwrite(void **state)
{
	start(ALL | XPT_CTL_PTW_EN, STARTED);
	JCC(0);
	RUN("\xf3\x0f\xae\xe0", 0);
	RUN("\xf3\x48\x0f\xae\xe0", 0);
	RUN("\xf3\x41\x0f\xae\xe0", 0);
	RUN("\x0f\xae\x20", 0); /* XSAVE */
	expect("TNT:0 PTW4:3456789a PTW8:123456789a PTW4:3456789a");
	start(ALL, STARTED);
	RUN("\xf3\x0f\xae\xe0", 0);
	expect("");
	start(XPT_CTL_OS | XPT_CTL_PTW_EN | XPT_CTL_FUP_ON_PTW,
	      "PSB CBR:20 PIP:7000,nr PSBEND");
	RUN("\xf3\x0f\xae\x20", 0);
	expect("PTW4:3456789a FUP:1000");
}

/* VM exits that are not concealed: the host's PIP is between FUP and TIP.PGD. */
static void test_host_pip(void **state)
{
	start(ALL, STARTED);
	soft.host_cr3 = 0x99000;
	xpt_soft_stop(&soft, 0x1000);
	expect("FUP:1000 PIP:99000 PGD:-");
	/* Off already: no exit has anything to tell. */
	xpt_soft_stop(&soft, 0x1000);
	expect("");
	/* It is the kernel's of the host. */
	start(XPT_CTL_BRANCH_EN | XPT_CTL_USER, "PSB CBR:20 PSBEND");
	soft.host_cr3 = 0x99000;
	xpt_soft_stop(&soft, 0x1000);
	expect("");
}

/* It ran unseen: what was known is not told as if it led there. */
static void test_lost(void **state)
{
	start(ALL, STARTED);
	JCC(cpu.ip + 2);
	cpu = (struct xpt_cpu_state){ .ip = 0x5000, .cr3 = 0x8000, .csl = true };
	xpt_soft_lost(&soft, &cpu);
	expect("OVF PSB CBR:20 PIP:8000,nr TSX PSBEND MODE:64 PGE:5000");
	JCC(cpu.ip + 2);
	JMP_RAX(0x6000);
	expect("TNT:0 TIP:6000");
	/* Where it is not traced, and when it is not on. */
	start(XPT_CTL_BRANCH_EN | XPT_CTL_USER, "PSB CBR:20 PSBEND");
	xpt_soft_lost(&soft, &cpu);
	expect("OVF PSB CBR:20 PSBEND");
	xpt_soft_stop(&soft, 0x1000);
	xpt_soft_lost(&soft, &cpu);
	expect("");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_stop),
		cmocka_unit_test(test_psb),
		cmocka_unit_test(test_psb_at),
		cmocka_unit_test(test_branch_en),
		cmocka_unit_test(test_tnt),
		cmocka_unit_test(test_returns),
		cmocka_unit_test(test_return_depth),
		cmocka_unit_test(test_returns_untraced),
		cmocka_unit_test(test_far),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_mov_cr3),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_ptwrite),
		cmocka_unit_test(test_host_pip),
		cmocka_unit_test(test_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
