/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Software mode: address spaces, bounds, what is in the way of an instruction. */
#include "tests/unit/stepped.h"

#include <asm/msr.h>

#define CR3_TO_RAX "\x0f\x22\xd8"
#define RAX_B "\x48\xb8\0\0\x89\x67\0\0\0\0"

/* ---- CR3 ---- */

/* PIPs: of the PSB+, and of the write. */
static void cr3(struct guest *guest, bool mtf)
{
	RUN(guest, NOP RAX_B CR3_TO_RAX NOP);
	check(guest);
	assert_int_equal(host_vmcs_read(guest->v, GUEST_CR3), B);
	assert_int_equal(count(guest, "pip"), 1 + count(guest, "psb"));
}
STEPPED_TESTS(cr3)

static void emulate_cr3(struct guest *guest)
{
	guest->v->arch.hvm.vmx.exec_control |= CPU_BASED_CR3_LOAD_EXITING;
	host_vmcs_write(guest->v, CPU_BASED_VM_EXEC_CONTROL,
			guest->v->arch.hvm.vmx.exec_control);
	RUN(guest, NOP "\x0f\xa2" RAX_B CR3_TO_RAX NOP);
}

/*
 * PIPs: of the PSB+, at the first entry that has none, and of the write. Entries: the
 * first, behind CPUID and the write, and what host_stop() comes to.
 */
static void emulated_cr3(struct guest *guest, bool mtf)
{
	emulate_cr3(guest);
	check(guest);
	assert_int_equal(host_vmcs_read(guest->v, GUEST_CR3), B);
	assert_int_equal(count(guest, "pge"), 4);
	assert_int_equal(count(guest, "pip"), 3);
}
STEPPED_TESTS(emulated_cr3)

static void denied_cr3(struct guest *guest, bool mtf)
{
	guest->v->code.deny_cr3 = true;
	emulate_cr3(guest);
	check(guest);
	assert_int_equal(count(guest, "pip"), 2);
}
STEPPED_TESTS(denied_cr3)

static void no_pip(struct guest *guest, bool mtf)
{
	assert_int_equal(op(guest, OP(teardown), 0, 0), 0);
	stepped_enable(guest, XENPT_SETUP_NO_PIP, CTL);
	emulate_cr3(guest);
	host_stop(guest->v);
	assert_int_equal(count(guest, "pip"), 1);
	assert_int_equal(count(guest, "pge"), 4);
}
STEPPED_TESTS(no_pip)

/* Only A is stepped: B runs free until it writes CR3. */
static void cr3_filter(struct guest *guest, bool mtf)
{
	unsigned int exits;

	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_int_equal(op(guest, OP(filter), XPT_MSR_CR3_MATCH, A), 0);
	enable(guest, CTL | XPT_CTL_CR3_FILTER);
	ENTER(guest, NOP RAX_B CR3_TO_RAX NOP NOP NOP NOP
	      "\x48\xb8\0\x50\x34\x12\0\0\0\0" CR3_TO_RAX NOP NOP);
	assert_true(host_step_to(guest->v, CODE + 14, 20));
	exits = guest->v->code.exits;
	assert_true(host_step_to(guest->v, CODE + 28, 20));
	assert_int_equal(guest->v->code.exits, exits);
	assert_true(host_step_to(guest->v, CODE + 33, 20));
	assert_true(guest->v->code.exits > exits + 2);
	host_stop(guest->v);
	assert_int_equal(count(guest, "pge"), 3);
	assert_int_equal(host_vmcs_read(guest->v, GUEST_CR3), A);
}
STEPPED_TESTS(cr3_filter)

/* ---- bounds ---- */

/* Exactly so many, and then it runs free. */
static void budget(struct guest *guest, bool mtf)
{
	unsigned int exits;

	assert_int_equal(op(guest, OP(budget), 0, 5), 0);
	ENTER(guest, NOP NOP NOP NOP NOP NOP NOP NOP);
	assert_true(host_step_to(guest->v, CODE + 5, 10));
	exits = guest->v->code.exits;
	assert_false(status(guest) & XENPT_STATUS_ON);
	assert_true(status(guest) & XENPT_STATUS_SPENT);
	assert_true(host_run(guest->v, 1));
	exits = guest->v->code.exits;
	assert_true(host_step_to(guest->v, CODE + 8, 3));
	assert_int_equal(guest->v->code.exits, exits);
	guest->v->code.nr = 5;
	check(guest);
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_int_equal(op(guest, OP(enable), 0, CTL), -EIO);
	assert_int_equal(op(guest, OP(reset), 0, 0), 0);
	assert_int_equal(op(guest, OP(enable), 0, CTL), -EIO);
	assert_int_equal(op(guest, OP(budget), 0, 2), 0);
	enable(guest, CTL);
	PUT(guest, CODE, NOP NOP NOP NOP);
	host_code_start(guest->v, CODE, STACK);
	assert_true(host_run(guest->v, 1));
	assert_true(host_step_to(guest->v, CODE + 4, 8));
	assert_true(status(guest) & XENPT_STATUS_SPENT);
	guest->v->code.nr = 2;
	check(guest);
}
STEPPED_TESTS(budget)

/* A page of the output is taken away: the trace ends, the guest goes on. */
static void page_taken(struct guest *guest, bool mtf)
{
	ENTER(guest, NOP "\xeb\xfd");
	assert_false(host_step_to(guest->v, 0, 10) || !host_runs(guest->v));
	host_page_take(guest->d, REGION / PAGE);
	host_cycle(guest->v);
	assert_false(host_step_to(guest->v, 0, 10) || !host_runs(guest->v));
	assert_true(status(guest) & XENPT_STATUS_FAULT);
	assert_false(status(guest) & XENPT_STATUS_ON);
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_int_equal(op(guest, OP(enable), 0, CTL), -EIO);
}
STEPPED_TESTS(page_taken)

/* The second region's entry is another page by now: it goes where the CPU would. */
static void table_rewritten(struct guest *guest, bool mtf)
{
	uint8_t byte = 0;

	add_pages(guest, MISSING, PAGE);
	entry(guest, TABLE, 1, MISSING | INT);
	ENTER(guest, "\x48\xb8\0\0\x20\0\0\0\0\0\xff\xe0");
	while (total(guest) < PAGE + 100) {
		assert_true(host_run(guest->v, 1));
		host_step(guest->v);
		host_step(guest->v);
	}
	assert_true(host_read(guest->d, MISSING, &byte, 1));
	assert_int_not_equal(byte, 0);
	assert_true(host_read(guest->d, REGION + PAGE, &byte, 1));
	assert_int_equal(byte, 0);
}
STEPPED_TESTS(table_rewritten)

/* The vCPU waits before it writes over what nobody has read, and goes on. */
static void lossless(struct guest *guest, bool mtf)
{
	assert_int_equal(op(guest, OP(teardown), 0, 0), 0);
	entry(guest, TABLE, 4, TABLE | END);
	stepped_enable(guest, XENPT_SETUP_LOSSLESS, CTL);
	ENTER(guest, "\x48\xb8\0\0\x20\0\0\0\0\0\xff\xe0");
	for (unsigned int i = 0; i < 60000 && host_runs(guest->v); i++) {
		guest->v->code.nr = 0;
		host_step(guest->v);
		if (i % 8 == 0)
			host_cycle(guest->v);
	}
	assert_false(host_runs(guest->v));
	assert_true(status(guest) & XENPT_STATUS_WAITS);
	assert_in_range(total(guest), 2 * PAGE, 3 * PAGE);
	assert_false(host_run(guest->v, 1));
	assert_int_equal(op(guest, OP(consume), 0, total(guest)), 0);
	assert_true(host_run(guest->v, 1));
	assert_true(host_step(guest->v));
}
STEPPED_TESTS(lossless)

/* ---- from outside ---- */

static void moved_by_toolstack(struct guest *guest, bool mtf)
{
	RUN(guest, NOP NOP);
	host_pause(guest->v);
	host_xen_cr3(guest->v, B);
	regs(guest)->rip = CODE + 0x100;
	PUT(guest, CODE + 0x100, NOP NOP);
	host_unpause(guest->v);
	assert_true(host_run(guest->v, 1));
	assert_true(host_step_to(guest->v, CODE + 0x102, 10));
	check(guest);
	assert_int_equal(count(guest, "ovf"), 0);
}
STEPPED_TESTS(moved_by_toolstack)

/* A pause is a VM exit: all is there, and nothing is there twice. */
static void settled(struct guest *guest, bool mtf)
{
	ENTER(guest, NOP "\x75\x01\xf4" NOP "\x75\x01\xf4\xe8\0\0\0\0" NOP NOP);
	for (unsigned int i = 0; i < 7; i++) {
		host_step(guest->v);
		assert_ran(guest);
		assert_true(host_run(guest->v, 1));
	}
	check(guest);
}
STEPPED_TESTS(settled)

static void ask(struct vcpu *v)
{
	struct guest guest = { v->domain, v };

	total(&guest);
}

static void switch_off(struct vcpu *v)
{
	struct guest guest = { v->domain, v };

	assert_int_equal(op(&guest, OP(disable), 0, 0), 0);
}

/*
 * In the middle of an exit the vCPU waits for something else, and is asked then: what it
 * has pushed is seen to when it runs again, and the #DB is still nobody's.
 */
static void asked_asleep(struct guest *guest, bool mtf)
{
	ENTER(guest, "\x9c\x58" NOP);
	host.asleep = ask;
	host_step(guest->v);
	assert_null(host.asleep);
	assert_true(host_step_to(guest->v, CODE + 3, 10));
	assert_int_equal(regs(guest)->rax, X86_EFLAGS_MBS | X86_EFLAGS_IF);
	assert_int_equal(guest->v->code.nr, 3);
	check(guest);
}
STEPPED_TESTS(asked_asleep)

static void disabled_asleep(struct guest *guest, bool mtf)
{
	ENTER(guest, "\x9c\x58" NOP);
	host.asleep = switch_off;
	host_step(guest->v);
	assert_true(host_step_to(guest->v, CODE + 3, 10));
	assert_int_equal(regs(guest)->rax, X86_EFLAGS_MBS | X86_EFLAGS_IF);
	assert_int_equal(guest->v->code.nr, 3);
	guest->v->code.nr = 1;
	check(guest);
}
STEPPED_TESTS(disabled_asleep)

static void tear_down(struct vcpu *v)
{
	struct guest guest = { v->domain, v };

	assert_int_equal(op(&guest, OP(teardown), 0, 0), 0);
}

static void set_up_again(struct vcpu *v)
{
	struct guest guest = { v->domain, v };

	tear_down(v);
	stepped_enable(&guest, 0, CTL);
}

/*
 * The guest's code is paged out, and what waits for it is gone when it comes; with TF
 * also what a PUSHF has pushed, which then stays.
 */
static void gone_asleep(struct guest *guest, bool mtf)
{
	PUT(guest, CODE, NOP NOP "\x9c\x58" NOP NOP);
	host.place = HOST_IN_COPY;
	host.asleep = tear_down;
	assert_true(host_run(guest->v, 1));
	assert_null(guest->v->arch.hvm.vmx.xenpt);
	assert_true(host_step_to(guest->v, CODE + 1, 2));

	stepped_enable(guest, 0, CTL);
	host.asleep = set_up_again;
	assert_true(host_run(guest->v, 1));
	guest->v->code.nr = 0;
	assert_true(host_step_to(guest->v, CODE + 2, 4));
	host.asleep = mtf ? NULL : tear_down;
	assert_true(host_step_to(guest->v, CODE + 6, 8));
	if (mtf)
		check(guest);
	else
		assert_null(guest->v->arch.hvm.vmx.xenpt);
}
STEPPED_TESTS(gone_asleep)

static bool injects(struct guest *guest, uint64_t flags)
{
	host_code_start(guest->v, CODE, STACK);
	regs(guest)->rflags |= flags;
	assert_true(host_run(guest->v, 1));
	return host_vmcs_read(guest->v, VM_ENTRY_INTR_INFO) & INTR_INFO_VALID_MASK;
}

/*
 * INT n in virtual-8086 mode: the CPU, which injects it, does not look at IOPL. So it is
 * run; with TF nobody sees the handler that it may have.
 */
static void virtual_86(struct guest *guest, bool mtf)
{
	PUT(guest, CODE, "\xcd\x80" NOP NOP);
	assert_int_equal(injects(guest, 0), !mtf);
	host_stop(guest->v);
	assert_int_equal(injects(guest, X86_EFLAGS_VM | X86_EFLAGS_IOPL), !mtf);
	host_stop(guest->v);
	assert_int_equal(injects(guest, X86_EFLAGS_VM | 0x2000), 0);
	assert_true(host_step_to(guest->v, IDT + 0x80 * 16, 1));
	host_cycle(guest->v);
	host_stop(guest->v);
	assert_int_equal(count(guest, "ovf"), mtf ? 0 : 3);
}
STEPPED_TESTS(virtual_86)

/* ---- real mode, on a CPU that cannot run it ---- */

/* Xen intercepts all exceptions in it, to emulate what they come of. */
static void real_mode(struct guest *guest, bool mtf)
{
	struct vmx_vcpu *vmx = &guest->v->arch.hvm.vmx;

	PUT(guest, CODE, NOP NOP NOP NOP NOP NOP);
	vmx->vmx_realmode = 1;
	assert_true(host_run(guest->v, 1));
	assert_int_equal(host_vmcs_read(guest->v, EXCEPTION_BITMAP), ~0u);
	assert_int_equal(host_vmcs_read(guest->v, CPU_BASED_VM_EXEC_CONTROL),
			 HOST_CONTROLS);
	assert_true(host_step_to(guest->v, CODE + 2, 2));
	assert_int_equal(total(guest), 0);
	vmx->vmx_realmode = 0;
	vmx->vmx_emulate = 1;
	assert_true(host_run(guest->v, 1));
	assert_int_equal(host_vmcs_read(guest->v, EXCEPTION_BITMAP),
			 vmx->exception_bitmap);
	assert_int_equal(total(guest), 0);
	vmx->vmx_emulate = 0;
	guest->v->code.nr = 0;
	assert_true(host_run(guest->v, 1));
	assert_true(host_step_to(guest->v, CODE + 6, 10));
	check(guest);
	vmx->vmx_realmode = 1;
	assert_true(host_run(guest->v, 1));
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_int_equal(host_vmcs_read(guest->v, EXCEPTION_BITMAP), ~0u);
}
STEPPED_TESTS(real_mode)

/* ---- shadows, NMIs ---- */

/* An interrupt that waits comes behind the instruction after STI, and MOV SS. */
static void shadows(struct guest *guest, bool mtf)
{
	uint64_t pushed[5];

	PUT(guest, CODE, "\xfa" NOP "\xfb" NOP NOP "\x8e\xd0" NOP "\xfa\xfb\x0f\xa2" NOP);
	guest->v->code.irq = 0x31;
	regs(guest)->rflags = X86_EFLAGS_MBS;
	assert_true(host_run(guest->v, 1));
	assert_true(host_step_to(guest->v, IDT + 0x31 * 16, 20));
	assert_true(host_read(guest->d, STACK - 40, pushed, 40));
	assert_int_equal(pushed[0], CODE + 4);
	assert_true(host_step_to(guest->v, CODE + 5, 20));
	/* TF comes out behind the NOP only. */
	assert_true(host_step_to(guest->v, CODE + 8, 20));
	assert_true(host_step_to(guest->v, CODE + 13, 20));
	check(guest);
}
STEPPED_TESTS(shadows)

/* In the shadow something else comes first: it is not lost. */
static void shadow_kept(struct guest *guest, bool mtf)
{
	PUT(guest, CODE, "\xfb" NOP NOP);
	regs(guest)->rflags = X86_EFLAGS_MBS;
	assert_true(host_run(guest->v, 1));
	assert_true(host_step_to(guest->v, CODE + 1, 4));
	guest->v->code.irq = 0x31;
	assert_true(host_cycle(guest->v));
	assert_int_equal(guest->v->code.irq, 0x31);
	assert_true(host_step_to(guest->v, IDT + 0x31 * 16, 4));
	assert_int_equal(guest->v->code.ran[1].ip, CODE + 1);
	assert_int_equal(guest->v->code.nr, 2);
	assert_true(host_step_to(guest->v, CODE + 3, 20));
	check(guest);
}
STEPPED_TESTS(shadow_kept)

/* By TF nobody sees the handler: OVF, and the trace goes on. By MTF all is there. */
static void nmi(struct guest *guest, bool mtf)
{
	PUT(guest, IDT + TRAP_nmi * 16, NOP NOP "\x48\xcf");
	ENTER(guest, NOP NOP NOP NOP);
	guest->v->code.nmi = true;
	if (mtf) {
		assert_true(host_step_to(guest->v, CODE + 4, 20));
		check(guest);
		return;
	}
	assert_true(host_step_to(guest->v, IDT + TRAP_nmi * 16 + 1, 20));
	host_cycle(guest->v);
	assert_true(host_step_to(guest->v, CODE + 4, 20));
	host_stop(guest->v);
	assert_int_equal(count(guest, "ovf"), 1);
}
STEPPED_TESTS(nmi)

/* A #DB that something comes in place of is not lost, and not the guest's. */
static void trap_held(struct guest *guest, bool mtf)
{
	ENTER(guest, NOP NOP NOP NOP);
	guest->v->code.hold_traps = true;
	host_step(guest->v);
	host_cycle(guest->v);
	guest->v->code.hold_traps = false;
	assert_true(host_step_to(guest->v, CODE + 4, 10));
	check(guest);
	assert_int_equal(guest->v->code.nr, 4);
}
STEPPED_TESTS(trap_held)

/* Code of a segment that does not begin at 0: a trace has linear addresses. */
static void segment(struct guest *guest, bool mtf)
{
	struct vcpu *v = guest->v;

	PUT(guest, CODE, NOP "\xeb\x01" NOP NOP "\xeb\xfc");
	v->arch.user_regs.rip = 0xfff0;
	host_vmcs_write(v, GUEST_CS_BASE, CODE - 0xfff0);
	host_vmcs_write(v, GUEST_CS_AR_BYTES, 0x9b);
	assert_true(host_run(v, 1));
	for (unsigned int i = 0; i < 4; i++)
		host_step(v);
	host_stop(v);
	assert_int_equal(v->code.ran[3].ip, CODE + 5);
	assert_ran(guest);
	assert_int_equal(count(guest, "ovf"), 0);
}
STEPPED_TESTS(segment)

/* Where the CPU tells of bus locks, the reason of an exit has a flag. */
static void bus_locks(struct guest *guest, bool mtf)
{
	guest->v->code.bus_locks = true;
	RUN(guest, NOP "\x0f\xa2\xcd\x80" NOP);
	check(guest);
	assert_int_equal(guest->v->code.nr, 3);
}
STEPPED_TESTS(bus_locks)

/* Nor does it leave TF in what was pushed. */
static void push_held(struct guest *guest, bool mtf)
{
	ENTER(guest, "\x9c\x58" NOP);
	guest->v->code.hold_traps = true;
	host_step(guest->v);
	host_cycle(guest->v);
	guest->v->code.hold_traps = false;
	assert_true(host_step_to(guest->v, CODE + 3, 10));
	assert_int_equal(regs(guest)->rax, X86_EFLAGS_MBS | X86_EFLAGS_IF);
	check(guest);
}
STEPPED_TESTS(push_held)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STEPPED_CASES(cr3),
		STEPPED_CASES(emulated_cr3),
		STEPPED_CASES(denied_cr3),
		STEPPED_CASES(no_pip),
		STEPPED_CASES(cr3_filter),
		STEPPED_CASES(budget),
		STEPPED_CASES(page_taken),
		STEPPED_CASES(table_rewritten),
		STEPPED_CASES(lossless),
		STEPPED_CASES(moved_by_toolstack),
		STEPPED_CASES(settled),
		STEPPED_CASES(shadows),
		STEPPED_CASES(shadow_kept),
		STEPPED_CASES(nmi),
		STEPPED_CASES(trap_held),
		STEPPED_CASES(push_held),
		STEPPED_CASES(bus_locks),
		STEPPED_CASES(asked_asleep),
		STEPPED_CASES(disabled_asleep),
		STEPPED_CASES(real_mode),
		STEPPED_CASES(gone_asleep),
		STEPPED_CASES(segment),
		STEPPED_CASES(virtual_86),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
