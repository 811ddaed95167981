/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers of the CPU: MSRs, CPUID, the local APIC, the VMCS. */
#include "tests/xen-host/host.h"

#include <asm/msr.h>

/* IA32_PERF_GLOBAL_STATUS: Trace_ToPA_PMI, and the general counters. */
#define PERF_STATUS_BITS (1ull << 55 | 0xf)

static struct host_cpu *this_cpu(void)
{
	return &host.cpus[host.cpu];
}

bool host_has_proc_trace(void)
{
	return host.cpus[0].model.proc_trace;
}

bool host_has_vmx(void)
{
	return host.cpus[0].model.vmx;
}

bool host_has_primary(uint32_t controls)
{
	return host.cpus[0].model.primary & controls;
}

/* What would be given to all vCPUs. */
bool host_has_secondary(uint32_t controls)
{
	return host.cpus[0].model.secondary & controls;
}

bool host_has_vnmi(void)
{
	return host.cpus[0].model.vnmi;
}

bool host_has_entry(uint32_t controls)
{
	return host.cpus[0].model.entry & controls;
}

const struct host_model *host_cpu_model(const struct vcpu *v)
{
	return &host.cpus[v->processor].model;
}

void cpuid_count(uint32_t leaf, uint32_t subleaf, uint32_t *eax, uint32_t *ebx,
		 uint32_t *ecx, uint32_t *edx)
{
	const struct xpt_caps *caps = &this_cpu()->model.caps;

	HOST_BUG_ON(leaf != 0x14 || !this_cpu()->model.proc_trace);
	*eax = *ebx = *ecx = *edx = 0;
	if (!subleaf) {
		*eax = caps->eax1 || caps->ebx1;
		*ebx = caps->ebx0;
		*ecx = caps->ecx0;
	} else {
		*eax = caps->eax1;
		*ebx = caps->ebx1;
	}
}

/* ---- MSRs ---- */

/* A capability MSR of VMX: the allowed 1-settings are its upper half. */
static uint64_t allowed(uint32_t controls)
{
	return (uint64_t)controls << 32;
}

uint64_t host_rdmsr(uint32_t msr)
{
	const struct host_cpu *cpu = this_cpu();
	uint64_t value;

	switch (msr) {
	case MSR_IA32_VMX_EXIT_CTLS:
		return allowed(cpu->model.exit);
	case MSR_IA32_VMX_ENTRY_CTLS:
		return allowed(cpu->model.entry);
	case MSR_IA32_VMX_PROCBASED_CTLS2:
		return allowed(cpu->model.secondary);
	case MSR_SYSCALL_MASK:
		return cpu->fmask;
	case MSR_CORE_PERF_GLOBAL_STATUS:
		return cpu->perf_status;
	}
	if (!cpu->model.proc_trace ||
	    !xpt_msr_read(&cpu->pt, &cpu->model.caps, msr, &value))
		host_bug("RDMSR %#x faults", msr);
	return value;
}

int wrmsr_safe(uint32_t msr, uint64_t value)
{
	struct host_cpu *cpu = this_cpu();

	if (msr == MSR_SYSCALL_MASK) {
		cpu->fmask = value;
		return 0;
	}
	if (msr == MSR_CORE_PERF_GLOBAL_OVF_CTRL) {
		if (value & ~PERF_STATUS_BITS)
			return -EFAULT;
		cpu->perf_status &= ~value;
		return 0;
	}
	if (!cpu->model.proc_trace ||
	    !xpt_msr_write(&cpu->pt, &cpu->model.caps, msr, value))
		return -EFAULT;
	return 0;
}

void wrmsrl(uint32_t msr, uint64_t value)
{
	if (wrmsr_safe(msr, value))
		host_bug("WRMSR %#x of %#lx faults", msr, value);
}

void apic_write(unsigned long reg, uint32_t value)
{
	HOST_BUG_ON(reg != APIC_LVTPC);
	this_cpu()->lvtpc = value;
}

static uint8_t *intercepts(struct vmx_msr_bitmap *bitmap, unsigned int msr)
{
	HOST_BUG_ON(msr != MSR_EFER && msr != MSR_IA32_SYSENTER_CS);
	return msr == MSR_EFER ? &bitmap->efer : &bitmap->sysenter_cs;
}

void vmx_set_msr_intercept(struct vcpu *v, unsigned int msr,
			   enum vmx_msr_intercept_type type)
{
	if (v->arch.hvm.vmx.msr_bitmap)
		*intercepts(v->arch.hvm.vmx.msr_bitmap, msr) |= type;
}

void vmx_clear_msr_intercept(struct vcpu *v, unsigned int msr,
			     enum vmx_msr_intercept_type type)
{
	if (v->arch.hvm.vmx.msr_bitmap)
		*intercepts(v->arch.hvm.vmx.msr_bitmap, msr) &= ~type;
}

bool vmx_msr_is_intercepted(struct vmx_msr_bitmap *bitmap, unsigned int msr,
			    bool is_write)
{
	return *intercepts(bitmap, msr) & (is_write ? VMX_MSR_W : VMX_MSR_R);
}

/* ---- VMCS ---- */

static unsigned long *field_of(struct host_vmcs *vmcs, unsigned long field)
{
	for (unsigned int i = 0; i < vmcs->nr; i++)
		if (vmcs->fields[i].field == field)
			return &vmcs->fields[i].value;
	HOST_BUG_ON(vmcs->nr == HOST_VMCS_FIELDS);
	vmcs->fields[vmcs->nr].field = field;
	return &vmcs->fields[vmcs->nr++].value;
}

unsigned long host_vmcs_read(const struct vcpu *v, unsigned long field)
{
	const struct host_vmcs *vmcs = &v->arch.hvm.vmx.vmcs;

	for (unsigned int i = 0; i < vmcs->nr; i++)
		if (vmcs->fields[i].field == field)
			return vmcs->fields[i].value;
	return 0;
}

void host_vmcs_write(struct vcpu *v, unsigned long field, unsigned long value)
{
	*field_of(&v->arch.hvm.vmx.vmcs, field) = value;
}

/* A field that the CPU does not have: VMREAD and VMWRITE fail, which ends Xen. */
static void check_field(unsigned long field)
{
	const struct host_cpu *cpu = this_cpu();

	HOST_BUG_ON(!cpu->vmcs || cpu->guest);
	HOST_BUG_ON(field == GUEST_IA32_RTIT_CTL &&
		    !(cpu->model.entry & VM_ENTRY_LOAD_RTIT_CTL));
}

void __vmread(unsigned long field, unsigned long *value)
{
	check_field(field);
	*value = host_vmcs_read(this_cpu()->vmcs, field);
}

void __vmwrite(unsigned long field, unsigned long value)
{
	check_field(field);
	host_vmcs_write(this_cpu()->vmcs, field, value);
}

void vmx_vmcs_enter(struct vcpu *v)
{
	struct host_cpu *cpu = this_cpu();

	if (v == current)
		return;
	/* It may be loaded on one CPU at a time only. */
	HOST_BUG_ON(!v->pause_count || host_runs(v) || cpu->vmcs);
	cpu->vmcs = v;
}

void vmx_vmcs_exit(struct vcpu *v)
{
	struct host_cpu *cpu = this_cpu();

	if (v == current)
		return;
	HOST_BUG_ON(cpu->vmcs != v);
	cpu->vmcs = NULL;
}

void vmx_update_secondary_exec_control(struct vcpu *v)
{
	__vmwrite(SECONDARY_VM_EXEC_CONTROL, v->arch.hvm.vmx.secondary_exec_control);
}

void vmx_update_cpu_exec_control(struct vcpu *v)
{
	__vmwrite(CPU_BASED_VM_EXEC_CONTROL, v->arch.hvm.vmx.exec_control);
}

void vmx_update_exception_bitmap(struct vcpu *v)
{
	__vmwrite(EXCEPTION_BITMAP,
		  v->arch.hvm.vmx.vmx_realmode ? ~0u : v->arch.hvm.vmx.exception_bitmap);
}

unsigned long read_cr3(void)
{
	return HOST_CR3;
}

/* dom0's are a PV guest's, and nobody's business here. */
struct cpu_user_regs *guest_cpu_user_regs(void)
{
	HOST_BUG_ON(current->domain == host.dom0);
	return &current->arch.user_regs;
}
