/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the rest of Xen does for a vCPU: its memory, its events, its local APIC. */
#include "tests/xen-host/host.h"

#include <asm/hvm/hvm.h>
#include <asm/hvm/support.h>
#include <asm/hvm/vlapic.h>
#include <asm/hvm/vmx/xenpt.h>
#include <asm/msr.h>
#include <asm/paging.h>
#include <asm/x86_emulate.h>

uint64_t hvm_get_guest_tsc(struct vcpu *v)
{
	return host.tsc += 10;
}

/* Addresses are physical ones. */
enum hvm_translation_result hvm_copy_from_guest_linear(void *buf, unsigned long address,
						       unsigned int size, uint32_t pfec,
						       pagefault_info_t *info)
{
	HOST_BUG_ON(host.irqs_off || pfec & PFEC_write_access);
	HOST_BUG_ON(current->domain == host.dom0);
	host_fall_asleep(current, HOST_IN_COPY);
	return host_read(current->domain, address, buf, size)
		       ? HVMTRANS_okay
		       : HVMTRANS_bad_linear_to_gfn;
}

enum hvm_translation_result hvm_copy_to_guest_linear(unsigned long address,
						     const void *buf, unsigned int size,
						     uint32_t pfec,
						     pagefault_info_t *info)
{
	HOST_BUG_ON(host.irqs_off || !(pfec & PFEC_write_access));
	HOST_BUG_ON(current->domain == host.dom0);
	host_fall_asleep(current, HOST_IN_COPY);
	if (!host_write(current->domain, address, buf, size))
		return HVMTRANS_bad_linear_to_gfn;
	host_unwatch(current->domain, address);
	return HVMTRANS_okay;
}

/* As far as it goes, vmx_inject_event(). */
void hvm_inject_event(const struct x86_event *event)
{
	struct vcpu *v = current;
	uint32_t info = event->vector | INTR_INFO_VALID_MASK |
			MASK_INSR(event->type, INTR_INFO_INTR_TYPE_MASK);

	HOST_BUG_ON(host.irqs_off);
	HOST_BUG_ON(event->vector != TRAP_page_fault && event->cr2);
	if (event->vector == TRAP_page_fault)
		v->arch.hvm.guest_cr[2] = event->cr2;
	if (event->error_code != X86_EVENT_NO_EC) {
		HOST_BUG_ON(event->type != X86_EVENTTYPE_HW_EXCEPTION);
		info |= INTR_INFO_DELIVER_CODE_MASK;
		host_vmcs_write(v, VM_ENTRY_EXCEPTION_ERROR_CODE, event->error_code);
	}
	if (event->type >= X86_EVENTTYPE_SW_INTERRUPT)
		host_vmcs_write(v, VM_ENTRY_INSTRUCTION_LEN, event->insn_len);
	host_vmcs_write(v, VM_ENTRY_INTR_INFO, info);
}

void vlapic_set_irq(struct vlapic *vlapic, uint8_t vector, uint8_t trigger)
{
	vlapic->vector = vector;
	vlapic->irqs++;
}

/* Log-dirty: what Xen has written counts as the guest's writes do. */
void paging_mark_dirty(struct domain *d, mfn_t mfn)
{
	host.dirtied++;
}

/* ---- exits ---- */

static uint32_t event(unsigned int type, unsigned int vector)
{
	return INTR_INFO_VALID_MASK | vector | MASK_INSR(type, INTR_INFO_INTR_TYPE_MASK);
}

/* vmx_idtv_reinject(). */
void host_reinject(struct vcpu *v)
{
	const uint32_t info = host_vmcs_read(v, IDT_VECTORING_INFO);

	if (!(info & INTR_INFO_VALID_MASK))
		return;
	/* The instruction is run again. */
	if (MASK_EXTR(info, INTR_INFO_INTR_TYPE_MASK) >= X86_EVENTTYPE_SW_INTERRUPT)
		return;
	host_vmcs_write(v, VM_ENTRY_INTR_INFO, info);
	host_vmcs_write(v, VM_ENTRY_EXCEPTION_ERROR_CODE,
			host_vmcs_read(v, IDT_VECTORING_ERROR_CODE));
	host_vmcs_write(v, VM_ENTRY_INSTRUCTION_LEN,
			host_vmcs_read(v, VM_EXIT_INSTRUCTION_LEN));
}

static void control(struct vcpu *v, uint32_t bit, bool on)
{
	uint32_t *controls = &v->arch.hvm.vmx.exec_control;

	*controls = on ? *controls | bit : *controls & ~bit;
	vmx_update_cpu_exec_control(v);
}

/* vmx_propagate_intr(). */
static void propagate(const struct host_exit *exit)
{
	struct x86_event e = {
		.vector = exit->info & INTR_INFO_VECTOR_MASK,
		.type = MASK_EXTR(exit->info, INTR_INFO_INTR_TYPE_MASK),
		.insn_len = exit->length,
		.error_code = X86_EVENT_NO_EC,
	};

	hvm_inject_event(&e);
}

/* update_guest_eip(). */
static void skip(struct vcpu *v, unsigned int length)
{
	struct cpu_user_regs *regs = &v->arch.user_regs;
	const unsigned long shadow = host_vmcs_read(v, GUEST_INTERRUPTIBILITY_INFO);
	const struct host_exit step = { .info = HOST_EXCEPTION(TRAP_debug) };

	regs->rip += length;
	host_vmcs_write(v, GUEST_INTERRUPTIBILITY_INFO, shadow & ~3ul);
	if (regs->rflags & X86_EFLAGS_TF)
		propagate(&step);
}

void host_handle(struct vcpu *v, struct host_exit *exit)
{
	switch (exit->reason) {
	case EXIT_REASON_EXCEPTION_NMI:
		/* It would be emulated. */
		if (v->arch.hvm.vmx.vmx_realmode)
			break;
		exit->handled = xenpt_exception(exit->whose, exit->info);
		if (exit->handled)
			break;
		HOST_BUG_ON(!(v->arch.hvm.vmx.exception_bitmap >> (exit->info & 31) & 1));
		propagate(exit);
		break;
	case EXIT_REASON_PENDING_VIRT_INTR:
		control(v, CPU_BASED_VIRTUAL_INTR_PENDING, false);
		break;
	case EXIT_REASON_PENDING_VIRT_NMI:
		control(v, CPU_BASED_VIRTUAL_NMI_PENDING, false);
		break;
	case EXIT_REASON_MONITOR_TRAP_FLAG:
		control(v, CPU_BASED_MONITOR_TRAP_FLAG, false);
		break;
	case EXIT_REASON_CR_ACCESS:
		if (!v->code.deny_cr3)
			host_xen_cr3(v, v->arch.user_regs.rax);
		skip(v, exit->length);
		break;
	case EXIT_REASON_ACCESS_GDTR_OR_IDTR:
		/* Or Xen emulates it, and kills the domain if it is another by now. */
		HOST_BUG_ON(exit->whose == XENPT_EXIT_XEN);
		break;
	case EXIT_REASON_MSR_READ:
	case EXIT_REASON_MSR_WRITE:
		if (exit->msr == MSR_EFER || exit->msr == MSR_IA32_SYSENTER_CS) {
			v->arch.user_regs.rax = host_msr(v, exit->msr);
			skip(v, exit->length);
			break;
		}
		exit->result = X86EMUL_EXCEPTION;
		if (!xenpt_guest_has(v->domain))
			break;
		exit->result = exit->reason == EXIT_REASON_MSR_READ
				       ? xenpt_guest_rdmsr(v, exit->msr, &exit->value)
				       : xenpt_guest_wrmsr(v, exit->msr, exit->value);
		break;
	case EXIT_REASON_CPUID:
	case EXIT_REASON_HLT:
		skip(v, exit->length);
		break;
	}
}

/* Of vmx_intr_assist(), what comes behind hv/xen. */
void host_intr_assist(struct vcpu *v)
{
	const bool busy = host_vmcs_read(v, VM_ENTRY_INTR_INFO) & INTR_INFO_VALID_MASK;
	const unsigned long shadow = host_vmcs_read(v, GUEST_INTERRUPTIBILITY_INFO);
	struct host_code *code = &v->code;

	if (code->nmi) {
		if (busy || shadow & (VMX_INTR_SHADOW_STI | VMX_INTR_SHADOW_MOV_SS |
				      VMX_INTR_SHADOW_NMI)) {
			/* vmx_enable_intr_window(): STI may, or may not, block NMIs. */
			if (shadow & VMX_INTR_SHADOW_STI)
				host_vmcs_write(v, GUEST_INTERRUPTIBILITY_INFO,
						shadow ^ (VMX_INTR_SHADOW_STI |
							  VMX_INTR_SHADOW_MOV_SS));
			control(v, CPU_BASED_VIRTUAL_NMI_PENDING, true);
			return;
		}
		code->nmi = false;
		host_vmcs_write(v, VM_ENTRY_INTR_INFO,
				event(X86_EVENTTYPE_NMI, TRAP_nmi));
		return;
	}
	if (!code->irq)
		return;
	if (busy || shadow & 3 || !(v->arch.user_regs.rflags & X86_EFLAGS_IF)) {
		control(v, CPU_BASED_VIRTUAL_INTR_PENDING, true);
		return;
	}
	host_vmcs_write(v, VM_ENTRY_INTR_INFO, event(X86_EVENTTYPE_EXT_INTR, code->irq));
	code->irq = 0;
}
