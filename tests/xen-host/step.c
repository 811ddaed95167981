/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A CPU that runs a guest's code, an instruction at a time: what comes between two of
 * them. SDM volume 3, "VM-Entry Control Fields for Event Injection", "Monitor Trap
 * Flag", "Single-Step Exception Condition", "Priority Among Simultaneous Exceptions and
 * Interrupts".
 */
#include "tests/xen-host/host.h"

#include <asm/debugreg.h>
#include <asm/hvm/hvm.h>

#define SHADOW (VMX_INTR_SHADOW_STI | VMX_INTR_SHADOW_MOV_SS)
#define TYPE(info) MASK_EXTR(info, INTR_INFO_INTR_TYPE_MASK)

static unsigned long get(const struct vcpu *v, unsigned long field)
{
	return host_vmcs_read(v, field);
}

static void change(struct vcpu *v, unsigned long field, unsigned long clear,
		   unsigned long set)
{
	host_vmcs_write(v, field, (get(v, field) & ~clear) | set);
}

void host_code_start(struct vcpu *v, uint64_t ip, uint64_t stack)
{
	struct host_code *code = &v->code;

	if (!code->ran)
		code->ran = calloc(HOST_RAN_MAX, sizeof(*code->ran));
	if (!code->ran)
		abort();
	code->nr = 0;
	code->kernel_stack = stack;
	v->arch.user_regs = (struct cpu_user_regs){
		.rip = ip, .rsp = stack, .rflags = X86_EFLAGS_MBS | X86_EFLAGS_IF
	};
	host_vmcs_write(v, GUEST_CS_AR_BYTES, 0xa09b);
	host_vmcs_write(v, GUEST_SS_AR_BYTES, 0xc093);
}

/* ---- events ---- */

static bool is_software(uint32_t info)
{
	return TYPE(info) >= X86_EVENTTYPE_SW_INTERRUPT;
}

void host_deliver(struct vcpu *v, uint32_t info, uint32_t error, uint64_t ip)
{
	const unsigned int cpl = host_cpl(v);
	const uint64_t rsp = get(v, GUEST_RSP), flags = get(v, GUEST_RFLAGS);

	if (cpl)
		host_vmcs_write(v, GUEST_RSP, v->code.kernel_stack);
	host_cpl_set(v, 0);
	host_push(v, cpl);
	host_push(v, rsp);
	host_push(v, flags);
	host_push(v, cpl);
	host_push(v, ip);
	if (info & INTR_INFO_DELIVER_CODE_MASK)
		host_push(v, error);
	change(v, GUEST_RFLAGS, X86_EFLAGS_TF | X86_EFLAGS_IF, 0);
	change(v, GUEST_INTERRUPTIBILITY_INFO, SHADOW, 0);
	if (TYPE(info) == X86_EVENTTYPE_NMI)
		change(v, GUEST_INTERRUPTIBILITY_INFO, 0, VMX_INTR_SHADOW_NMI);
	host_vmcs_write(v, GUEST_RIP, v->code.idt + (info & INTR_INFO_VECTOR_MASK) * 16);
}

/* False: it exits, by what is in @exception. */
bool host_raise(struct vcpu *v, const struct host_exit *exception)
{
	const unsigned int vector = exception->info & INTR_INFO_VECTOR_MASK;
	uint64_t ip = get(v, GUEST_RIP);

	if (TYPE(exception->info) != X86_EVENTTYPE_SW_INTERRUPT &&
	    get(v, EXCEPTION_BITMAP) >> vector & 1)
		return false;
	if (vector == TRAP_page_fault &&
	    TYPE(exception->info) == X86_EVENTTYPE_HW_EXCEPTION)
		v->arch.hvm.guest_cr[2] = exception->qualification;
	if (is_software(exception->info))
		ip += exception->length;
	host_deliver(v, exception->info, exception->error, ip);
	return true;
}

/* ---- entry and exit ---- */

/* SDM, "Checks on Guest Non-Register State"; else the entry fails. */
static void check_state(const struct vcpu *v, uint32_t event)
{
	const unsigned long flags = get(v, GUEST_RFLAGS);
	const unsigned long shadow = get(v, GUEST_INTERRUPTIBILITY_INFO);
	const unsigned long pending = get(v, GUEST_PENDING_DBG_EXCEPTIONS);
	const uint32_t controls = get(v, CPU_BASED_VM_EXEC_CONTROL);

	HOST_BUG_ON(controls & ~(host_cpu_model(v)->primary | HOST_CONTROLS));
	HOST_BUG_ON((shadow & SHADOW) == SHADOW);
	HOST_BUG_ON(shadow & VMX_INTR_SHADOW_STI && !(flags & X86_EFLAGS_IF));
	if (shadow & SHADOW)
		HOST_BUG_ON(!(flags & X86_EFLAGS_TF) != !(pending & DR_STEP));
	HOST_BUG_ON(controls & CPU_BASED_VIRTUAL_NMI_PENDING && !host_cpu_model(v)->vnmi);
	if (!(event & INTR_INFO_VALID_MASK))
		return;
	if (TYPE(event) == X86_EVENTTYPE_EXT_INTR)
		HOST_BUG_ON(!(flags & X86_EFLAGS_IF) || shadow & SHADOW);
	if (TYPE(event) == X86_EVENTTYPE_NMI)
		HOST_BUG_ON(shadow & (SHADOW | VMX_INTR_SHADOW_NMI));
	if (is_software(event))
		HOST_BUG_ON(!get(v, VM_ENTRY_INSTRUCTION_LEN));
}

/* With what the entry injects. */
void host_cpu_enter(struct vcpu *v)
{
	struct host_code *code = &v->code;
	const uint32_t event = get(v, VM_ENTRY_INTR_INFO);
	const uint32_t error = get(v, VM_ENTRY_EXCEPTION_ERROR_CODE);
	const uint32_t length = get(v, VM_ENTRY_INSTRUCTION_LEN);

	check_state(v, event);
	code->mtf = code->late = false;
	if (!(event & INTR_INFO_VALID_MASK))
		return;
	if (code->late_events) {
		code->late_events--;
		code->late = true;
		code->vectoring = event;
		code->vectoring_error = error;
		code->vectoring_length = length;
		return;
	}
	code->mtf = get(v, CPU_BASED_VM_EXEC_CONTROL) & CPU_BASED_MONITOR_TRAP_FLAG;
	host_vmcs_write(v, GUEST_PENDING_DBG_EXCEPTIONS, 0);
	host_deliver(v, event, error,
		     get(v, GUEST_RIP) + (is_software(event) ? length : 0));
}

void host_cpu_exit(struct vcpu *v, const struct host_exit *exit)
{
	struct host_code *code = &v->code;

	code->exits++;
	host_vmcs_write(v, VM_EXIT_REASON,
			exit->reason | (code->bus_locks ? VMX_EXIT_REASONS_BUS_LOCK : 0));
	host_vmcs_write(v, EXIT_QUALIFICATION, exit->qualification);
	host_vmcs_write(v, VM_EXIT_INTR_INFO, exit->info);
	host_vmcs_write(v, VM_EXIT_INTR_ERROR_CODE, exit->error);
	host_vmcs_write(v, VM_EXIT_INSTRUCTION_LEN,
			code->late ? code->vectoring_length : exit->length);
	host_vmcs_write(v, IDT_VECTORING_INFO, code->late ? code->vectoring : 0);
	host_vmcs_write(v, IDT_VECTORING_ERROR_CODE, code->vectoring_error);
	change(v, VM_ENTRY_INTR_INFO, INTR_INFO_VALID_MASK, 0);
	code->late = code->mtf = false;
}

void host_cpu_check(const struct vcpu *v)
{
	const struct vmx_vcpu *vmx = &v->arch.hvm.vmx;

	HOST_BUG_ON(get(v, GUEST_EFER) != HOST_EFER);
	HOST_BUG_ON(get(v, GUEST_SYSENTER_CS) != HOST_SYSENTER_CS);
	HOST_BUG_ON(get(v, GUEST_IDTR_LIMIT) !=
		    (v->code.idt_limit ? v->code.idt_limit : HOST_IDT_LIMIT));
	HOST_BUG_ON((get(v, SECONDARY_VM_EXEC_CONTROL) ^ vmx->secondary_exec_control) &
		    SECONDARY_EXEC_DESCRIPTOR_TABLE_EXITING);
	HOST_BUG_ON(vmx->bitmap.sysenter_cs || vmx->bitmap.efer != v->code.efer_exits);
}

/* ---- between instructions ---- */

static bool leave(struct host_exit *exit, unsigned int reason)
{
	exit->reason = reason;
	return true;
}

/* A trap of the instruction before. */
static bool trap(struct vcpu *v, struct host_exit *exit)
{
	struct host_code *code = &v->code;
	const unsigned long pending = get(v, GUEST_PENDING_DBG_EXCEPTIONS);

	if (code->mtf)
		return leave(exit, EXIT_REASON_MONITOR_TRAP_FLAG);
	if (!pending || get(v, GUEST_INTERRUPTIBILITY_INFO) & VMX_INTR_SHADOW_MOV_SS)
		return false;
	host_vmcs_write(v, GUEST_PENDING_DBG_EXCEPTIONS, 0);
	*exit = (struct host_exit){
		.reason = EXIT_REASON_EXCEPTION_NMI,
		.qualification = pending,
		.info = HOST_EXCEPTION(TRAP_debug),
	};
	return !host_raise(v, exit);
}

static bool window(struct vcpu *v, struct host_exit *exit)
{
	const uint32_t controls = get(v, CPU_BASED_VM_EXEC_CONTROL);
	const unsigned long shadow = get(v, GUEST_INTERRUPTIBILITY_INFO);

	if (controls & CPU_BASED_VIRTUAL_NMI_PENDING &&
	    !(shadow & (VMX_INTR_SHADOW_MOV_SS | VMX_INTR_SHADOW_NMI)))
		return leave(exit, EXIT_REASON_PENDING_VIRT_NMI);
	if (controls & CPU_BASED_VIRTUAL_INTR_PENDING && !(shadow & SHADOW) &&
	    get(v, GUEST_RFLAGS) & X86_EFLAGS_IF)
		return leave(exit, EXIT_REASON_PENDING_VIRT_INTR);
	return false;
}

static uint64_t cs_base(const struct vcpu *v)
{
	return get(v, GUEST_CS_AR_BYTES) & X86_SEG_AR_CS_LM_ACTIVE
		       ? 0
		       : get(v, GUEST_CS_BASE);
}

void host_retire(struct vcpu *v, uint64_t to)
{
	struct host_code *code = &v->code;

	HOST_BUG_ON(code->nr == HOST_RAN_MAX);
	code->ran[code->nr].ip = cs_base(v) + get(v, GUEST_RIP);
	code->ran[code->nr++].cr3 = get(v, GUEST_CR3);
	host_vmcs_write(v, GUEST_RIP, to);
	change(v, GUEST_RFLAGS, X86_EFLAGS_RF, 0);
	change(v, GUEST_INTERRUPTIBILITY_INFO, SHADOW, 0);
}

/* INT n finds no gate: #GP while it is delivered, which has to exit. */
static bool outside_idt(struct vcpu *v, struct host_exit *exit)
{
	const unsigned int vector = exit->info & INTR_INFO_VECTOR_MASK;

	if (TYPE(exit->info) != X86_EVENTTYPE_SW_INTERRUPT ||
	    vector * 16 + 15 <= get(v, GUEST_IDTR_LIMIT))
		return false;
	HOST_BUG_ON(!(get(v, EXCEPTION_BITMAP) >> TRAP_gp_fault & 1));
	v->code.late = true;
	v->code.vectoring = exit->info;
	v->code.vectoring_length = exit->length;
	*exit = (struct host_exit){
		.info = HOST_EXCEPTION(TRAP_gp_fault) | INTR_INFO_DELIVER_CODE_MASK,
		.error = vector * 8 + 2,
	};
	return true;
}

/* True: it exits. */
static bool execute(struct vcpu *v, struct host_exit *exit)
{
	const bool tf = get(v, GUEST_RFLAGS) & X86_EFLAGS_TF;
	const uint64_t ip = cs_base(v) + get(v, GUEST_RIP);
	uint8_t bytes[15];
	size_t size = 0;
	unsigned int opcode;

	while (size < sizeof(bytes) && host_read(v->domain, ip + size, bytes + size, 1))
		size++;
	switch (host_insn(v, bytes, size, exit)) {
	case HOST_EXITED:
		return true;
	case HOST_RAISED:
		if (outside_idt(v, exit) || !host_raise(v, exit)) {
			/* Of a fault: SDM, "Saving RIP, RSP, RFLAGS, and SSP". */
			if (!is_software(exit->info))
				change(v, GUEST_RFLAGS, 0, X86_EFLAGS_RF);
			return leave(exit, EXIT_REASON_EXCEPTION_NMI);
		}
		v->code.mtf =
			get(v, CPU_BASED_VM_EXEC_CONTROL) & CPU_BASED_MONITOR_TRAP_FLAG;
		return false;
	case HOST_RAN:
		break;
	}
	v->code.mtf = get(v, CPU_BASED_VM_EXEC_CONTROL) & CPU_BASED_MONITOR_TRAP_FLAG;
	/* SYSCALL and SYSRET: the flag is looked at after them. */
	opcode = host_opcode(bytes);
	if (opcode == 0x0f05 || opcode == 0x0f07) {
		if (get(v, GUEST_RFLAGS) & X86_EFLAGS_TF)
			change(v, GUEST_PENDING_DBG_EXCEPTIONS, 0, DR_STEP);
	} else if (tf &&
		   !(get(v, GUEST_INTERRUPTIBILITY_INFO) & VMX_INTR_SHADOW_MOV_SS)) {
		change(v, GUEST_PENDING_DBG_EXCEPTIONS, 0, DR_STEP);
	}
	return false;
}

bool host_step(struct vcpu *v)
{
	struct host_exit exit = { 0 };
	bool leaves;

	if (!host_runs(v))
		return false;
	if (v->code.late && v->code.bad_idt) {
		exit.info = HOST_EXCEPTION(TRAP_gp_fault) | INTR_INFO_DELIVER_CODE_MASK;
		leaves = true;
	} else if (v->code.late)
		/* What the stack needs comes from Xen. */
		leaves = leave(&exit, EXIT_REASON_EPT_VIOLATION);
	else
		leaves = trap(v, &exit) || window(v, &exit) || execute(v, &exit) ||
			 (!v->code.hold_traps && trap(v, &exit));
	if (leaves)
		host_out_and_in(v, &exit);
	return true;
}

bool host_step_to(struct vcpu *v, uint64_t ip, unsigned int most)
{
	while (most--) {
		if (host_runs(v) && get(v, GUEST_RIP) == ip)
			return true;
		if (!host_step(v))
			return false;
	}
	return host_runs(v) && get(v, GUEST_RIP) == ip;
}
