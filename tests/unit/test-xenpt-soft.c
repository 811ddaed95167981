/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Software mode: what a stepped vCPU runs is what its trace says. */
#include "tests/unit/stepped.h"

#define RAX(bytes) "\x48\xb8" bytes
#define RCX(bytes) "\x48\xb9" bytes
#define CPUID "\x0f\xa2"
#define PUSHF "\x9c"
#define POPF "\x9d"
#define POP_RAX "\x58"
#define PUSH_RAX "\x50"

/* By the first event, on an empty stack. */
static void assert_pushed(struct guest *guest, uint64_t ip, uint64_t flags)
{
	uint64_t pushed[5];

	assert_true(host_read(guest->d, STACK - sizeof(pushed), pushed, sizeof(pushed)));
	assert_int_equal(pushed[0], ip);
	assert_int_equal(pushed[2], flags);
}

/* ---- code that only runs ---- */

static void branches(struct guest *guest, bool mtf)
{
	RUN(guest, RCX("\x05\0\0\0\0\0\0\0") NOP
	    "\xe2\xfd"                   /* LOOP */
	    "\x75\x01\xf4\x74\x10"       /* one taken, one not */
	    "\xe8\x02\0\0\0\xeb\x01\xc3" /* CALL, over a RET */
	    RAX("\x26\0\x20\0\0\0\0\0") "\xff\xe0\xf4" NOP NOP);
	assert_in_range(guest->v->code.nr, 18, 30);
	check(guest);
}
STEPPED_TESTS(branches)

/* Exits that are not of the stepping, of instructions and between them. */
static void exits(struct guest *guest, bool mtf)
{
	RUN(guest, NOP CPUID NOP "\xf4" NOP);
	assert_true(host_cycle(guest->v));
	RUN(guest, NOP CPUID NOP "\xf4" NOP);
	check(guest);
}
STEPPED_TESTS(exits)

/* ---- exceptions and interrupts ---- */

static void faults(struct guest *guest, bool mtf)
{
	/* A handler that steps over it. */
	PUT(guest, IDT + TRAP_invalid_op * 16,
	    POP_RAX RAX("\x03\0\x20\0\0\0\0\0") PUSH_RAX "\x48\xcf");
	ENTER(guest, NOP "\x0f\x0b" NOP NOP);
	assert_true(host_step_to(guest->v, IDT + TRAP_invalid_op * 16, 10));
	assert_pushed(guest, CODE + 1, X86_EFLAGS_MBS | X86_EFLAGS_IF | X86_EFLAGS_RF);
	assert_true(host_step_to(guest->v, CODE + 5, 20));
	check(guest);
}
STEPPED_TESTS(faults)

/* #PF: with its error code and CR2; the page comes before it is tried again. */
static void page_fault(struct guest *guest, bool mtf)
{
	uint64_t pushed[6];

	ENTER(guest, RAX("\0\0\x30\0\0\0\0\0") "\x8a\0" NOP);
	assert_true(host_step_to(guest->v, IDT + TRAP_page_fault * 16, 10));
	assert_int_equal(guest->v->arch.hvm.guest_cr[2], MISSING);
	assert_true(host_read(guest->d, STACK - 48, pushed, 48));
	assert_int_equal(pushed[0], 0);
	assert_int_equal(pushed[1], CODE + 10);
	assert_int_equal(pushed[3] & BIT_TF, 0);
	add_pages(guest, MISSING, PAGE);
	assert_true(host_step_to(guest->v, CODE + 13, 10));
	check(guest);
}
STEPPED_TESTS(page_fault)

/* A fetch from where nothing is; in user mode, that is said. */
static void fetch_fault(struct guest *guest, bool mtf)
{
	uint64_t pushed[6];

	PUT(guest, CODE, RAX("\0\0\x30\0\0\0\0\0") "\xff\xe0");
	host_cpl_set(guest->v, 3);
	regs(guest)->rsp = USER_STACK;
	assert_true(host_run(guest->v, 1));
	assert_true(host_step_to(guest->v, IDT + TRAP_page_fault * 16, 10));
	assert_int_equal(guest->v->arch.hvm.guest_cr[2], MISSING);
	assert_true(host_read(guest->d, STACK - 48, pushed, 48));
	assert_int_equal(pushed[0], 0x14);
	assert_int_equal(pushed[1], MISSING);
	assert_int_equal(pushed[4], USER_STACK);
	add_pages(guest, MISSING, PAGE);
	PUT(guest, MISSING, NOP NOP);
	assert_true(host_step_to(guest->v, MISSING + 1, 10));
	check(guest);
}
STEPPED_TESTS(fetch_fault)

/* INT n and INT3 push what is behind them; TF is not in what they push. */
static void software_interrupts(struct guest *guest, bool mtf)
{
	PUT(guest, CODE, NOP "\xcd\x80\xcc\xcd\x0e" NOP);
	/* INT 14 pushes no error code. */
	PUT(guest, IDT + 14 * 16, "\x48\xcf");
	assert_true(host_run(guest->v, 1));
	assert_true(host_step_to(guest->v, IDT + 0x80 * 16, 10));
	assert_pushed(guest, CODE + 3, X86_EFLAGS_MBS | X86_EFLAGS_IF);
	assert_true(host_step_to(guest->v, IDT + TRAP_int3 * 16, 10));
	assert_pushed(guest, CODE + 4, X86_EFLAGS_MBS | X86_EFLAGS_IF);
	assert_true(host_step_to(guest->v, CODE + 7, 10));
	check(guest);
}
STEPPED_TESTS(software_interrupts)

/* One that is not all there, or has a LOCK prefix, is a fault. */
static void bad_interrupts(struct guest *guest, bool mtf)
{
	const uint64_t end = CODE + 8 * PAGE;
	uint64_t pushed[2];

	PUT(guest, IDT + TRAP_invalid_op * 16, NOP NOP);
	PUT(guest, end - 1, "\xcd");
	host_code_start(guest->v, end - 1, STACK);
	assert_true(host_run(guest->v, 1));
	assert_true(host_step_to(guest->v, IDT + TRAP_page_fault * 16, 4));
	assert_int_equal(guest->v->arch.hvm.guest_cr[2], end);
	assert_true(host_read(guest->d, STACK - 48, pushed, 16));
	assert_int_equal(pushed[1], end - 1);
	add_pages(guest, end, PAGE);
	PUT(guest, end, "\x80\xf0\xcd\x81");
	assert_true(host_step_to(guest->v, IDT + 0x80 * 16, 10));
	assert_true(host_step_to(guest->v, IDT + TRAP_invalid_op * 16 + 1, 10));
	check(guest);
}
STEPPED_TESTS(bad_interrupts)

static void interrupt(struct guest *guest, bool mtf)
{
	ENTER(guest, NOP NOP NOP NOP NOP NOP);
	assert_true(host_step_to(guest->v, CODE + 2, 10));
	guest->v->code.irq = 0x31;
	assert_true(host_step_to(guest->v, IDT + 0x31 * 16, 10));
	assert_pushed(guest, CODE + 3, X86_EFLAGS_MBS | X86_EFLAGS_IF);
	assert_true(host_step_to(guest->v, CODE + 6, 20));
	check(guest);
}
STEPPED_TESTS(interrupt)

/* The exit comes in place of the delivery, which Xen then makes again. */
static void late_interrupt(struct guest *guest, bool mtf)
{
	ENTER(guest, NOP NOP "\xcd\x80" NOP "\xcc" NOP);
	guest->v->code.irq = 0x31;
	guest->v->code.late_events = 2;
	assert_true(host_step_to(guest->v, IDT + 0x31 * 16, 20));
	assert_int_equal(guest->v->code.late_events, 0);
	guest->v->code.late_events = 1;
	assert_true(host_step_to(guest->v, IDT + 0x80 * 16, 20));
	guest->v->code.late_events = 1;
	assert_true(host_step_to(guest->v, CODE + 6, 20));
	check(guest);
}
STEPPED_TESTS(late_interrupt)

/* ---- RFLAGS.TF is Xen's, and is not seen ---- */

static void hidden_flag(struct guest *guest, bool mtf)
{
	RUN(guest, PUSHF POP_RAX NOP);
	assert_int_equal(regs(guest)->rax, X86_EFLAGS_MBS | X86_EFLAGS_IF);
	host_stop(guest->v);
	assert_int_equal(regs(guest)->rflags, X86_EFLAGS_MBS | X86_EFLAGS_IF);
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_int_equal(host_vmcs_read(guest->v, CPU_BASED_VM_EXEC_CONTROL),
			 HOST_CONTROLS);
	assert_int_equal(host_vmcs_read(guest->v, EXCEPTION_BITMAP),
			 guest->v->arch.hvm.vmx.exception_bitmap);
	check(guest);
	/* It runs on as if nothing had been. */
	guest->v->code.exits = 0;
	host_code_start(guest->v, CODE, STACK);
	assert_true(host_run(guest->v, 1));
	assert_true(host_step_to(guest->v, CODE + 3, 3));
	assert_int_equal(guest->v->code.exits, 0);
	assert_int_equal(regs(guest)->rax, X86_EFLAGS_MBS | X86_EFLAGS_IF);
}
STEPPED_TESTS(hidden_flag)

/* The guest's own TF: its #DB comes, behind each instruction but the POPF. */
static void own_flag(struct guest *guest, bool mtf)
{
	uint64_t pushed[5];

	ENTER(guest, RAX("\x02\x03\0\0\0\0\0\0") PUSH_RAX POPF NOP NOP);
	assert_true(host_step_to(guest->v, IDT + TRAP_debug * 16, 20));
	assert_pushed(guest, CODE + 13, 0x302);
	assert_true(host_step_to(guest->v, CODE + 13, 20));
	assert_true(host_step_to(guest->v, IDT + TRAP_debug * 16, 20));
	assert_true(host_read(guest->d, STACK - 40, pushed, 40));
	assert_int_equal(pushed[0], CODE + 14);
	assert_true(host_step_to(guest->v, CODE + 14, 20));
	check(guest);
}
STEPPED_TESTS(own_flag)

static void system_call(struct guest *guest, bool mtf)
{
	guest->v->arch.hvm.vmx.sfmask = X86_EFLAGS_TF | X86_EFLAGS_IF;
	PUT(guest, SYSCALL_ENTRY, NOP NOP "\x48\x0f\x07");
	PUT(guest, CODE, NOP "\x0f\x05" NOP NOP);
	host_cpl_set(guest->v, 3);
	regs(guest)->rsp = USER_STACK;
	assert_true(host_run(guest->v, 1));
	assert_true(host_step_to(guest->v, SYSCALL_ENTRY + 1, 10));
	assert_int_equal(regs(guest)->r11, X86_EFLAGS_MBS | X86_EFLAGS_IF);
	assert_true(host_step_to(guest->v, CODE + 5, 20));
	assert_int_equal(host_cpl(guest->v), 3);
	check(guest);
	assert_int_equal(regs(guest)->rflags, X86_EFLAGS_MBS | X86_EFLAGS_IF);
	assert_int_equal(regs(guest)->r11, X86_EFLAGS_MBS | X86_EFLAGS_IF);
	assert_int_equal(host.cpus[1].fmask, X86_EFLAGS_TF | X86_EFLAGS_IF);
}
STEPPED_TESTS(system_call)

/* The guest's own TF: none in the kernel, and the #DB when it is back. */
static void system_call_trapped(struct guest *guest, bool mtf)
{
	guest->v->arch.hvm.vmx.sfmask = X86_EFLAGS_TF | X86_EFLAGS_IF;
	PUT(guest, SYSCALL_ENTRY, NOP NOP "\x48\x0f\x07");
	PUT(guest, CODE, "\x0f\x05" NOP);
	host_cpl_set(guest->v, 3);
	regs(guest)->rsp = USER_STACK;
	regs(guest)->rflags |= X86_EFLAGS_TF;
	assert_true(host_run(guest->v, 1));
	assert_true(host_step_to(guest->v, IDT + TRAP_debug * 16, 10));
	assert_pushed(guest, CODE + 2, 0x302);
	assert_int_equal(regs(guest)->r11, 0x302);
	assert_int_equal(guest->v->code.nr, 4);
	assert_true(host_step_to(guest->v, CODE + 2, 10));
	check(guest);
}
STEPPED_TESTS(system_call_trapped)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STEPPED_CASES(branches),
		STEPPED_CASES(exits),
		STEPPED_CASES(faults),
		STEPPED_CASES(page_fault),
		STEPPED_CASES(fetch_fault),
		STEPPED_CASES(software_interrupts),
		STEPPED_CASES(bad_interrupts),
		STEPPED_CASES(interrupt),
		STEPPED_CASES(late_interrupt),
		STEPPED_CASES(hidden_flag),
		STEPPED_CASES(own_flag),
		STEPPED_CASES(system_call),
		STEPPED_CASES(system_call_trapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
