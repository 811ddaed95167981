/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Software mode where only the kernel is traced, or only user mode: all of it is in the
 * trace, and the other runs free.
 */
#include "tests/unit/stepped.h"

#include <asm/msr.h>

#define KERNEL_ONLY (CTL & ~XPT_CTL_USER)
#define USER_ONLY (CTL & ~XPT_CTL_OS)
#define RAX(bytes) "\x48\xb8" bytes
#define RCX(bytes) "\x48\xb9" bytes
#define PUSH "\x50"
#define IRET "\x48\xcf"
#define SYSCALL "\x0f\x05"
#define SYSRET "\x48\x0f\x07"
#define RDMSR "\x0f\x32"
#define SIDT "\x0f\x01\x08"
#define LOOP "\xe2\xfe"
/* IRET to USER, in user mode. */
#define TO_USER                                                                 \
	RAX("\x2b\0\0\0\0\0\0\0")                                               \
	PUSH RAX("\0\x60\x23\0\0\0\0\0") PUSH RAX("\x02\x02\0\0\0\0\0\0")       \
		PUSH RAX("\x33\0\0\0\0\0\0\0") PUSH RAX("\0\x40\x20\0\0\0\0\0") \
			PUSH IRET
/* A loop of 100 instructions. */
#define LONG RCX("\x63\0\0\0\0\0\0\0") LOOP

/* What follows is traced anew, at these levels. */
static void trace(struct guest *guest, uint64_t ctl)
{
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_int_equal(op(guest, OP(reset), 0, 0), 0);
	enable(guest, ctl);
}

static bool is_user(uint64_t ip)
{
	return ip >= USER && ip < USER + PAGE;
}

/* Of what ran, the @user part is in the trace, and no more. */
static void check_level(struct guest *guest, bool user)
{
	struct host_code *code = &guest->v->code;
	unsigned int nr = 0;

	host_stop(guest->v);
	for (unsigned int i = 0; i < code->nr; i++) {
		if (is_user(code->ran[i].ip) != user)
			continue;
		code->ran[nr] = code->ran[i];
		/* There are no PIPs of it. */
		if (user)
			code->ran[nr].cr3 = pt_asid_no_cr3;
		nr++;
	}
	code->nr = nr;
	assert_ran(guest);
}

/* How many exits it takes to come to @ip. */
static unsigned int exits_to(struct guest *guest, uint64_t ip)
{
	const unsigned int before = guest->v->code.exits;

	assert_true(host_step_to(guest->v, ip, 4000));
	return guest->v->code.exits - before;
}

static void in_user(struct guest *guest)
{
	host_cpl_set(guest->v, 3);
	regs(guest)->rip = USER;
	regs(guest)->rsp = USER_STACK;
	assert_true(host_run(guest->v, 1));
}

/* ---- only user mode ---- */

static void iret(struct guest *guest, bool mtf)
{
	trace(guest, USER_ONLY);
	PUT(guest, CODE, LONG TO_USER);
	PUT(guest, USER, NOP NOP NOP);
	assert_true(host_run(guest->v, 1));
	assert_in_range(exits_to(guest, USER), 0, 1);
	assert_in_range(exits_to(guest, USER + 3), 3, 6);
	assert_true(guest->v->code.nr > 100);
	check_level(guest, true);
	assert_int_equal(guest->v->code.nr, 3);
}
STEPPED_TESTS(iret)

static void system_call(struct guest *guest, bool mtf)
{
	trace(guest, USER_ONLY);
	guest->v->arch.hvm.vmx.sfmask = X86_EFLAGS_TF | X86_EFLAGS_IF;
	/* Xen has its own use of it: forced emulation. */
	guest->v->arch.hvm.vmx.exception_bitmap |= 1u << TRAP_invalid_op;
	PUT(guest, SYSCALL_ENTRY, NOP NOP NOP NOP NOP NOP NOP NOP SYSRET);
	PUT(guest, USER, NOP SYSCALL NOP SYSCALL NOP);
	in_user(guest);
	assert_true(host_step_to(guest->v, SYSCALL_ENTRY, 20));
	/* The gate, and the step behind it. */
	assert_in_range(exits_to(guest, USER + 3), 2, 4);
	assert_int_equal(host_cpl(guest->v), 3);
	assert_true(host_step_to(guest->v, USER + 7, 60));
	check_level(guest, true);
	assert_int_equal(guest->v->code.nr, 5);
	assert_int_equal(regs(guest)->rflags, X86_EFLAGS_MBS | X86_EFLAGS_IF);
	assert_int_equal(regs(guest)->r11, X86_EFLAGS_MBS | X86_EFLAGS_IF);
}
STEPPED_TESTS(system_call)

static void sysenter(struct guest *guest, bool mtf)
{
	trace(guest, USER_ONLY);
	PUT(guest, SYSCALL_ENTRY, LONG NOP RCX("\0\x60\x23\0\0\0\0\0") "\x48\x0f\x35");
	PUT(guest, USER, NOP "\x0f\x34" NOP NOP);
	in_user(guest);
	regs(guest)->rdx = USER + 3;
	assert_true(host_step_to(guest->v, SYSCALL_ENTRY, 20));
	assert_in_range(exits_to(guest, USER + 3), 2, 4);
	assert_true(host_step_to(guest->v, USER + 5, 20));
	check_level(guest, true);
	assert_int_equal(guest->v->code.nr, 4);
}
STEPPED_TESTS(sysenter)

/* Of user mode, and in the kernel: none that Xen sees to is lost. */
static void events(struct guest *guest, bool mtf)
{
	trace(guest, USER_ONLY);
	PUT(guest, IDT + 0x80 * 16, NOP "\xcd\x81" NOP IRET);
	PUT(guest, USER, NOP "\xcd\x80" NOP "\xcc" NOP NOP NOP);
	in_user(guest);
	/* One that is not delivered at once. */
	guest->v->code.irq = 0x30;
	guest->v->code.late_events = 1;
	assert_true(host_step_to(guest->v, IDT + 0x30 * 16, 20));
	assert_int_equal(guest->v->code.late_events, 0);
	assert_true(host_step_to(guest->v, IDT + 0x81 * 16, 20));
	guest->v->code.irq = 0x31;
	assert_true(host_cycle(guest->v));
	assert_true(host_step_to(guest->v, IDT + TRAP_int3 * 16, 40));
	guest->v->code.irq = 0x32;
	assert_true(host_step_to(guest->v, IDT + 0x32 * 16, 20));
	assert_int_equal(guest->v->code.irq, 0);
	assert_true(host_step_to(guest->v, USER + 8, 40));
	check_level(guest, true);
	assert_int_equal(guest->v->code.nr, 5);
}
STEPPED_TESTS(events)

/* It comes back to where it was: the trace has been off meanwhile. */
static void interrupted(struct guest *guest, bool mtf)
{
	trace(guest, USER_ONLY);
	PUT(guest, USER, NOP NOP NOP NOP);
	in_user(guest);
	assert_true(host_step_to(guest->v, USER + 2, 10));
	guest->v->code.irq = 0x31;
	assert_true(host_cycle(guest->v));
	assert_true(host_step_to(guest->v, USER + 4, 10));
	check_level(guest, true);
	assert_int_equal(guest->v->code.nr, 4);
	/* At the start, behind the exit, the handler, and what host_stop() comes to. */
	assert_int_equal(count(guest, "pge"), 4);
}
STEPPED_TESTS(interrupted)

/* The IDT has no gate for it: that is the guest's fault, once. */
static void bad_idt(struct guest *guest, bool mtf)
{
	trace(guest, USER_ONLY);
	PUT(guest, USER, NOP NOP NOP NOP);
	in_user(guest);
	guest->v->code.irq = 0x31;
	guest->v->code.late_events = 1;
	guest->v->code.bad_idt = true;
	assert_true(host_cycle(guest->v));
	assert_true(host_step_to(guest->v, IDT + TRAP_gp_fault * 16, 3));
	assert_int_equal(guest->v->code.late_events, 0);
	host_stop(guest->v);
}
STEPPED_TESTS(bad_idt)

/* A page that the kernel misses, and what it does not know. */
static void kernel_faults(struct guest *guest, bool mtf)
{
	trace(guest, USER_ONLY);
	PUT(guest, IDT + TRAP_invalid_op * 16,
	    "\x58" RAX("\x0e\0\x20\0\0\0\0\0") PUSH IRET);
	PUT(guest, CODE, RAX("\0\0\x30\0\0\0\0\0") "\x8a\0\x0f\x0b" NOP TO_USER);
	PUT(guest, USER, NOP NOP);
	assert_true(host_run(guest->v, 1));
	assert_true(host_step_to(guest->v, IDT + TRAP_page_fault * 16, 10));
	assert_int_equal(guest->v->arch.hvm.guest_cr[2], MISSING);
	add_pages(guest, MISSING, PAGE);
	assert_true(host_step_to(guest->v, IDT + TRAP_invalid_op * 16, 10));
	assert_true(host_step_to(guest->v, USER + 2, 60));
	check_level(guest, true);
	assert_int_equal(guest->v->code.nr, 2);
}
STEPPED_TESTS(kernel_faults)

/* What the kernel asks for is what it has set. */
static void registers(struct guest *guest, bool mtf)
{
	trace(guest, USER_ONLY);
	PUT(guest, CODE,
	    RCX("\x80\0\0\xc0\0\0\0\0") RDMSR NOP RCX("\x74\x01\0\0\0\0\0\0") RDMSR NOP);
	assert_true(host_run(guest->v, 1));
	assert_true(host_step_to(guest->v, CODE + 12, 10));
	assert_int_equal(regs(guest)->rax, HOST_EFER);
	assert_true(host_step_to(guest->v, CODE + 25, 10));
	assert_int_equal(regs(guest)->rax, HOST_SYSENTER_CS);
	host_stop(guest->v);
	/* Where Xen wants one of them for itself, it stays so. */
	guest->v->arch.hvm.vmx.bitmap.efer = guest->v->code.efer_exits = VMX_MSR_R;
	host_code_start(guest->v, CODE, STACK);
	assert_true(host_run(guest->v, 1));
	assert_true(host_step_to(guest->v, CODE + 12, 10));
	assert_int_equal(regs(guest)->rax, HOST_EFER);
	host_stop(guest->v);
}
STEPPED_TESTS(registers)

/* Its handler runs free, up to its IRET. The kernel's own block of NMIs stays. */
static void nmi(struct guest *guest, bool mtf)
{
	const uint64_t handler = IDT + TRAP_nmi * 16;
	struct vcpu *v = guest->v;

	trace(guest, USER_ONLY);
	PUT(guest, handler, NOP NOP NOP NOP NOP IRET);
	PUT(guest, CODE, NOP NOP TO_USER);
	PUT(guest, USER, NOP NOP);
	assert_true(host_run(v, 1));
	assert_true(host_step_to(v, CODE + 1, 4));
	v->code.nmi = true;
	assert_true(host_cycle(v));
	assert_true(host_step_to(v, handler + 2, 10));
	assert_true(host_cycle(v));
	assert_true(host_vmcs_read(v, GUEST_INTERRUPTIBILITY_INFO) & VMX_INTR_SHADOW_NMI);
	host_stop(v);
	assert_true(host_vmcs_read(v, GUEST_INTERRUPTIBILITY_INFO) & VMX_INTR_SHADOW_NMI);
	assert_true(host_run(v, 1));
	assert_true(host_step_to(v, USER + 2, 60));
	check_level(guest, true);
	assert_int_equal(v->code.nr, 2);
	assert_false(host_vmcs_read(v, GUEST_INTERRUPTIBILITY_INFO) &
		     VMX_INTR_SHADOW_NMI);
}
STEPPED_TESTS(nmi)

/* One that waits for the end of a shadow does not wait for an IRET. */
static void nmi_in_shadow(struct guest *guest, bool mtf)
{
	struct vcpu *v = guest->v;

	trace(guest, USER_ONLY);
	PUT(guest, CODE, NOP "\xfb" NOP NOP NOP NOP);
	regs(guest)->rflags = X86_EFLAGS_MBS;
	assert_true(host_run(v, 1));
	assert_true(host_step_to(v, CODE + 2, 4));
	v->code.nmi = true;
	assert_true(host_cycle(v));
	assert_true(v->code.nmi);
	assert_true(host_step_to(v, IDT + TRAP_nmi * 16, 3));
	assert_false(v->code.nmi);
	assert_true(v->code.ran[v->code.nr - 1].ip <= CODE + 3);
	host_stop(v);
}
STEPPED_TESTS(nmi_in_shadow)

/* As undo_nmis_unblocked_by_iret(), where a #PF is the IRET's. */
static void block_nmis(struct vcpu *v)
{
	host_vmcs_write(v, GUEST_INTERRUPTIBILITY_INFO, VMX_INTR_SHADOW_NMI);
}

/* Xen blocks NMIs again that the guest has not blocked: it does not stay so. */
static void iret_faulted(struct guest *guest, bool mtf)
{
	struct vcpu *v = guest->v;

	trace(guest, USER_ONLY);
	PUT(guest, CODE, NOP NOP NOP NOP);
	assert_true(host_run(v, 1));
	host.asleep = block_nmis;
	assert_true(host_cycle(v));
	assert_null(host.asleep);
	host_stop(v);
	assert_false(host_vmcs_read(v, GUEST_INTERRUPTIBILITY_INFO));
	assert_true(host_run(v, 1));
	host.asleep = block_nmis;
	host_stop(v);
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_false(host_vmcs_read(v, GUEST_INTERRUPTIBILITY_INFO));
}
STEPPED_TESTS(iret_faulted)

/* A way to user mode that no gate stops: the next exit finds it. */
static void slipped(struct guest *guest, bool mtf)
{
	trace(guest, USER_ONLY);
	PUT(guest, CODE, NOP NOP);
	PUT(guest, USER, NOP NOP NOP NOP);
	assert_true(host_run(guest->v, 1));
	assert_true(host_step_to(guest->v, CODE + 1, 2));
	host_cpl_set(guest->v, 3);
	host_vmcs_write(guest->v, GUEST_RIP, USER);
	assert_true(host_step_to(guest->v, USER + 2, 2));
	assert_true(host_cycle(guest->v));
	guest->v->code.nr = 0;
	assert_true(host_step_to(guest->v, USER + 4, 10));
	assert_int_equal(guest->v->code.nr, 2);
	host_stop(guest->v);
	assert_int_equal(count(guest, "ovf"), 1);
}
STEPPED_TESTS(slipped)

/* Only what is traced is counted. */
static void budget(struct guest *guest, bool mtf)
{
	trace(guest, USER_ONLY);
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_int_equal(op(guest, OP(budget), 0, 5), 0);
	enable(guest, USER_ONLY);
	PUT(guest, SYSCALL_ENTRY, NOP SYSRET);
	PUT(guest, USER, NOP SYSCALL NOP SYSCALL NOP NOP NOP);
	in_user(guest);
	assert_true(host_step_to(guest->v, USER + 7, 80));
	assert_true(status(guest) & XENPT_STATUS_SPENT);
	check_level(guest, true);
	assert_int_equal(guest->v->code.nr, 5);
}
STEPPED_TESTS(budget)

/* ---- only the kernel ---- */

static void to_kernel(struct guest *guest, bool mtf)
{
	uint64_t pushed[5];

	trace(guest, KERNEL_ONLY);
	guest->v->arch.hvm.vmx.sfmask = X86_EFLAGS_TF | X86_EFLAGS_IF;
	PUT(guest, SYSCALL_ENTRY, NOP NOP SYSRET);
	PUT(guest, IDT + 0x80 * 16, NOP IRET);
	PUT(guest, USER, LONG SYSCALL LONG "\xcd\x80" NOP "\xcc" NOP);
	in_user(guest);
	assert_true(host_step_to(guest->v, USER + 12, 200));
	/* The gate, the step. */
	assert_in_range(exits_to(guest, SYSCALL_ENTRY), 2, 3);
	assert_true(host_step_to(guest->v, USER + 14, 20));
	assert_in_range(exits_to(guest, USER + 26), 0, 2);
	assert_in_range(exits_to(guest, IDT + 0x80 * 16), 1, 2);
	assert_true(host_read(guest->d, STACK - 40, pushed, 40));
	assert_int_equal(pushed[0], USER + 28);
	assert_int_equal(pushed[2], X86_EFLAGS_MBS | X86_EFLAGS_IF);
	assert_true(host_step_to(guest->v, USER + 29, 40));
	guest->v->code.irq = 0x31;
	assert_true(host_cycle(guest->v));
	assert_true(host_step_to(guest->v, IDT + 0x31 * 16, 4));
	assert_true(host_step_to(guest->v, USER + 31, 40));
	assert_int_equal(regs(guest)->r11, X86_EFLAGS_MBS | X86_EFLAGS_IF);
	check_level(guest, false);
	assert_int_equal(guest->v->code.nr, 3 + 2 + 1 + 1);
}
STEPPED_TESTS(to_kernel)

/* What a user program may not do, or does not have. */
static void user_faults(struct guest *guest, bool mtf)
{
	uint64_t pushed[6];

	trace(guest, KERNEL_ONLY);
	PUT(guest, IDT + TRAP_gp_fault * 16,
	    "\x58\x58" RAX("\x02\x40\x20\0\0\0\0\0") PUSH IRET);
	PUT(guest, USER, NOP "\xf4" RAX("\0\0\x30\0\0\0\0\0") "\x8a\0" NOP);
	in_user(guest);
	assert_true(host_step_to(guest->v, IDT + TRAP_gp_fault * 16, 10));
	assert_true(host_read(guest->d, STACK - 48, pushed, 48));
	assert_int_equal(pushed[0], 0);
	assert_int_equal(pushed[1], USER + 1);
	assert_int_equal(pushed[3] & BIT_TF, 0);
	assert_true(host_step_to(guest->v, IDT + TRAP_page_fault * 16, 40));
	assert_int_equal(guest->v->arch.hvm.guest_cr[2], MISSING);
	add_pages(guest, MISSING, PAGE);
	assert_true(host_step_to(guest->v, USER + 14, 40));
	check_level(guest, false);
	assert_int_equal(guest->v->code.nr, 5 + 2);
}
STEPPED_TESTS(user_faults)

static void from_sysenter(struct guest *guest, bool mtf)
{
	trace(guest, KERNEL_ONLY);
	PUT(guest, SYSCALL_ENTRY, NOP RCX("\0\x60\x23\0\0\0\0\0") "\x48\x0f\x35");
	PUT(guest, USER, LONG "\x0f\x34" NOP NOP);
	in_user(guest);
	regs(guest)->rdx = USER + 14;
	assert_true(host_step_to(guest->v, USER + 12, 200));
	assert_in_range(exits_to(guest, SYSCALL_ENTRY), 2, 3);
	assert_true(host_step_to(guest->v, USER + 16, 20));
	check_level(guest, false);
	assert_int_equal(guest->v->code.nr, 3);
}
STEPPED_TESTS(from_sysenter)

/* What is traced is found at the next exit; the IDT that it has set by then is its own.
 */
static void call_gate(struct guest *guest, bool mtf)
{
	struct vcpu *v = guest->v;

	trace(guest, KERNEL_ONLY);
	PUT(guest, USER, NOP NOP);
	PUT(guest, CODE, NOP NOP NOP NOP);
	in_user(guest);
	host_cpl_set(v, 0);
	host_vmcs_write(v, GUEST_RIP, CODE);
	host_vmcs_write(v, GUEST_IDTR_LIMIT, 0x7ff);
	v->code.idt_limit = 0x7ff;
	assert_true(host_step_to(v, CODE + 2, 2));
	assert_true(host_cycle(v));
	v->code.nr = 0;
	assert_true(host_step_to(v, CODE + 4, 10));
	host_stop(v);
	assert_int_equal(count(guest, "ovf"), 1);
}
STEPPED_TESTS(call_gate)

/* The IDT is as long as it was. */
static void seen_by_user(struct guest *guest, bool mtf)
{
	trace(guest, KERNEL_ONLY);
	PUT(guest, USER, NOP SIDT NOP);
	in_user(guest);
	assert_true(host_step_to(guest->v, USER + 5, 10));
	assert_int_equal(regs(guest)->rax, HOST_IDT_LIMIT);
	check_level(guest, false);
	assert_int_equal(guest->v->code.nr, 0);
}
STEPPED_TESTS(seen_by_user)

/* Address spaces and levels. */
static void both_filters(struct guest *guest, bool mtf)
{
	trace(guest, CTL);
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_int_equal(op(guest, OP(filter), XPT_MSR_CR3_MATCH, A), 0);
	enable(guest, KERNEL_ONLY | XPT_CTL_CR3_FILTER);
	PUT(guest, SYSCALL_ENTRY, NOP RAX("\0\0\x89\x67\0\0\0\0") "\x0f\x22\xd8" SYSRET);
	PUT(guest, USER, LONG SYSCALL LONG SYSCALL NOP);
	in_user(guest);
	assert_true(host_step_to(guest->v, SYSCALL_ENTRY, 200));
	assert_true(host_step_to(guest->v, USER + 14, 20));
	assert_int_equal(host_vmcs_read(guest->v, GUEST_CR3), B);
	/* The write of CR3 exits. */
	assert_in_range(exits_to(guest, USER + 28), 1, 2);
	host_stop(guest->v);
	assert_int_equal(count(guest, "ovf"), 0);
}
STEPPED_TESTS(both_filters)

/* Neither: nothing is stepped. */
static void no_level(struct guest *guest, bool mtf)
{
	trace(guest, CTL & ~(XPT_CTL_OS | XPT_CTL_USER));
	PUT(guest, CODE, LONG TO_USER);
	PUT(guest, USER, NOP NOP);
	assert_true(host_run(guest->v, 1));
	assert_int_equal(exits_to(guest, USER + 2), 0);
	host_stop(guest->v);
}
STEPPED_TESTS(no_level)

static void tear_down(struct vcpu *v)
{
	struct guest guest = { v->domain, v };

	assert_int_equal(op(&guest, OP(teardown), 0, 0), 0);
}

/* While Xen lets the vCPU wait in a gate's exit: the instruction is as good as ever. */
static void gone_asleep(struct guest *guest, bool mtf)
{
	trace(guest, KERNEL_ONLY);
	PUT(guest, USER, NOP "\x0f\x05" NOP NOP "\xcd\x80" NOP);
	in_user(guest);
	assert_true(host_step_to(guest->v, USER + 1, 4));
	host.asleep = tear_down;
	assert_true(host_step_to(guest->v, SYSCALL_ENTRY, 2));
	assert_null(host.asleep);
	assert_true(host_step_to(guest->v, USER + 4, 10));

	stepped_enable(guest, 0, KERNEL_ONLY);
	assert_true(host_run(guest->v, 1));
	assert_true(host_step_to(guest->v, USER + 5, 2));
	host.asleep = tear_down;
	assert_true(host_step_to(guest->v, IDT + 0x80 * 16, 2));
	assert_null(host.asleep);
	assert_true(host_step_to(guest->v, USER + 8, 4));
}
STEPPED_TESTS(gone_asleep)

/* Without descriptor-table exiting it is seen that the IDT is not to be found. */
static void no_exit_for_sidt(void **state)
{
	struct host_model model = host_model;
	struct guest guest;

	model.secondary &= ~SECONDARY_EXEC_DESCRIPTOR_TABLE_EXITING;
	stepped_boot_as(&guest, model);
	stepped_enable(&guest, 0, KERNEL_ONLY);
	PUT(&guest, USER, NOP SIDT NOP);
	in_user(&guest);
	assert_int_equal(exits_to(&guest, USER + 5), 0);
	assert_int_equal(regs(&guest)->rax, 0);
	host_end();
}

/* A CPU that has not what it takes steps all of it. */
static void without(uint32_t entry, bool vnmi)
{
	struct host_model model = host_model;
	struct guest guest;

	model.entry &= ~entry;
	model.vnmi = vnmi;
	stepped_boot_as(&guest, model);
	stepped_enable(&guest, 0, USER_ONLY);
	PUT(&guest, CODE, LONG TO_USER);
	PUT(&guest, USER, NOP NOP);
	assert_true(host_run(guest.v, 1));
	assert_true(exits_to(&guest, USER + 2) >= 100);
	check_level(&guest, true);
	assert_int_equal(guest.v->code.nr, 2);
	host_end();
}

static void less_cpu(void **state)
{
	without(VM_ENTRY_LOAD_GUEST_EFER, true);
	without(0, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STEPPED_CASES(iret),          STEPPED_CASES(system_call),
		STEPPED_CASES(events),        STEPPED_CASES(sysenter),
		STEPPED_CASES(interrupted),   STEPPED_CASES(bad_idt),
		STEPPED_CASES(kernel_faults), STEPPED_CASES(registers),
		STEPPED_CASES(nmi),           STEPPED_CASES(nmi_in_shadow),
		STEPPED_CASES(iret_faulted),  STEPPED_CASES(slipped),
		STEPPED_CASES(budget),        STEPPED_CASES(to_kernel),
		STEPPED_CASES(from_sysenter), STEPPED_CASES(call_gate),
		STEPPED_CASES(user_faults),   STEPPED_CASES(seen_by_user),
		STEPPED_CASES(both_filters),  STEPPED_CASES(no_level),
		STEPPED_CASES(gone_asleep),   cmocka_unit_test(no_exit_for_sidt),
		cmocka_unit_test(less_cpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
