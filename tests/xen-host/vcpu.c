/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the rest of Xen does for a vCPU: its memory, its events, its local APIC. */
#include "tests/xen-host/host.h"

#include <asm/hvm/hvm.h>
#include <asm/hvm/support.h>
#include <asm/hvm/vlapic.h>
#include <asm/paging.h>

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
	return host_write(current->domain, address, buf, size)
		       ? HVMTRANS_okay
		       : HVMTRANS_bad_linear_to_gfn;
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
