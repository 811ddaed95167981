/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ways of a vCPU through Xen: where vmx.c, intr.c and apic.c call hv/xen. */
#include "tests/xen-host/host.h"

#include <asm/hvm/vmx/xenpt.h>
#include <asm/vpmu.h>
#include <asm/x86_emulate.h>

#define ASYNC (1ul << 16)
#define TRIES 64 /* of one entry: more are a livelock */

static struct host_cpu *cpu_of(const struct vcpu *v)
{
	return &host.cpus[v->processor];
}

bool host_runs(const struct vcpu *v)
{
	return cpu_of(v)->vcpu == v && cpu_of(v)->guest;
}

void host_sync(struct vcpu *v)
{
	HOST_BUG_ON(host_runs(v));
	for (unsigned int i = 0; i < HOST_CPUS; i++)
		if (host.cpus[i].loaded == v)
			host.cpus[i].loaded = NULL;
}

/* Onto its CPU: vmx_ctxt_switch_to(), unless nobody else has been there. */
static void switch_to(struct vcpu *v, unsigned int n)
{
	struct host_cpu *cpu = &host.cpus[n];

	if (v->processor != n)
		host_sync(v);
	v->processor = n;
	cpu->vcpu = v;
	cpu->vmcs = v;
	if (cpu->loaded == v)
		return;
	pt_clobber(cpu);
	cpu->loaded = v;
	cpu->fmask = v->arch.hvm.vmx.sfmask; /* vmx_restore_guest_msrs() */
	host_watch();
	xenpt_switch_to(v);
	host_watched(NULL);
}

static void switch_from(struct vcpu *v)
{
	struct host_cpu *cpu = cpu_of(v);

	HOST_BUG_ON(cpu->guest);
	cpu->vcpu = cpu->idle;
	cpu->vmcs = NULL;
}

/* apic.c's pmu_apic_interrupt(). */
static void take_interrupt(struct host_cpu *cpu)
{
	if (!cpu->pmi)
		return;
	cpu->pmi = false;
	if (!xenpt_pmi())
		host.vpmu_interrupts++;
}

/* hvm_hap_nested_page_fault(): what it cannot bring, it takes for the guest's doing. */
static void fault(struct vcpu *v, uint64_t gpa)
{
	if (!v->domain->stuck && !host_paging(v, gpa))
		v->domain->strays++;
}

void host_fall_asleep(struct vcpu *v, enum host_place place)
{
	void (*const asleep)(struct vcpu * v) = host.asleep;
	const unsigned int cpu = v->processor;

	/* It has come out to be paused: others ask for nothing before it is. */
	if (!asleep || place != host.place || host.asked)
		return;
	host.asleep = NULL;
	host_watched(NULL);
	host_check();
	switch_from(v);
	host.cpu = 0;
	asleep(v);
	switch_to(v, cpu);
	host.cpu = cpu;
	host_watch();
}

/* vmx_vmexit_handler(). */
static void vmexit(struct vcpu *v, struct host_exit *exit)
{
	struct host_cpu *cpu = cpu_of(v);

	pt_exit(cpu);
	host.cpu = v->processor;
	host_watch();

	host.irqs_off = true;
	host_cpu_exit(v, exit);
	v->arch.user_regs.rip = host_vmcs_read(v, GUEST_RIP);
	v->arch.user_regs.rsp = host_vmcs_read(v, GUEST_RSP);
	v->arch.user_regs.rflags = host_vmcs_read(v, GUEST_RFLAGS);
	v->arch.hvm.hw_cr[3] = host_vmcs_read(v, GUEST_CR3);
	v->arch.hvm.guest_cr[3] = v->arch.hvm.hw_cr[3];
	exit->whose = xenpt_owns(v) ? xenpt_vmexit(v) : XENPT_EXIT_XEN;
	host_cpu_check(v);
	take_interrupt(cpu);
	host.irqs_off = false;

	host_fall_asleep(v, HOST_IN_EXIT);
	host_reinject(v);
	switch (exit->reason) {
	case EXIT_REASON_EPT_VIOLATION:
		exit->handled = xenpt_output_fault(exit->qualification, exit->gpa);
		if (!exit->handled)
			fault(v, exit->gpa);
		break;
	case EXIT_REASON_APIC_ACCESS:
		exit->handled = xenpt_apic_access();
		break;
	case EXIT_REASON_VMFUNC:
		exit->handled = xenpt_vmfunc(&exit->regs);
		break;
	default:
		host_handle(v, exit);
		break;
	}
	host_watched(NULL);
	host_check();
	host.cpu = 0;
}

/* False: it waits, or is paused; else, whether it is in the guest or must come out. */
static bool try_entry(struct vcpu *v, enum pt_result *result, uint64_t *gpa)
{
	struct host_cpu *cpu = cpu_of(v);

	host.cpu = v->processor;
	host_watch();
	if (xenpt_owns(v))
		xenpt_assist(v);
	host_intr_assist(v);
	host_watched(NULL);
	if (v->pause_count || v->domain->is_dying) {
		switch_from(v);
		host_check();
		host.cpu = 0;
		return false;
	}

	host_watch();
	host.irqs_off = true;
	host_vmcs_write(v, GUEST_RIP, v->arch.user_regs.rip);
	host_vmcs_write(v, GUEST_RSP, v->arch.user_regs.rsp);
	host_vmcs_write(v, GUEST_RFLAGS, v->arch.user_regs.rflags | X86_EFLAGS_MBS);
	if (xenpt_owns(v))
		xenpt_vmenter(v);
	host.irqs_off = false;
	host_watched(v);
	host_check();
	*result = pt_enter(cpu, gpa);
	if (*result != PT_FAULT)
		host_cpu_enter(v);
	host.cpu = 0;
	return true;
}

/* As vmx_asm_do_vmentry(), until the guest runs or may not. */
static bool vmenter(struct vcpu *v)
{
	struct host_exit exit = { .reason = EXIT_REASON_EPT_VIOLATION,
				  .qualification = ASYNC };
	enum pt_result result;

	for (unsigned int i = 0; i < TRIES; i++) {
		if (!try_entry(v, &result, &exit.gpa))
			return false;
		if (result != PT_FAULT)
			return true;
		vmexit(v, &exit);
	}
	host_bug("vCPU %u does not get into its guest", v->vcpu_id);
}

bool host_out_and_in(struct vcpu *v, struct host_exit *exit)
{
	vmexit(v, exit);
	return vmenter(v);
}

bool host_run(struct vcpu *v, unsigned int cpu)
{
	if (host_runs(v)) {
		if (v->processor == cpu)
			return true;
		host_stop(v);
	}
	if (host.cpus[cpu].guest)
		host_stop(host.cpus[cpu].vcpu);
	if (v->pause_count || v->domain->is_dying)
		return false;
	switch_to(v, cpu);
	return vmenter(v);
}

bool host_cycle(struct vcpu *v)
{
	struct host_exit exit = { .reason = EXIT_REASON_EXTERNAL_INTERRUPT };

	return host_runs(v) && host_out_and_in(v, &exit);
}

/* The scheduler has raised its softirq: it comes as far as that is looked at. */
void host_stop(struct vcpu *v)
{
	struct host_exit exit = { .reason = EXIT_REASON_EXTERNAL_INTERRUPT };
	const unsigned int cpu = host.cpu;

	if (!host_runs(v))
		return;
	vmexit(v, &exit);
	host.cpu = v->processor;
	if (xenpt_owns(v))
		xenpt_assist(v);
	switch_from(v);
	host.cpu = cpu;
}

/* ---- what the guest does ---- */

size_t host_trace(struct vcpu *v, const void *bytes, size_t size)
{
	struct host_exit fault_exit = { .reason = EXIT_REASON_EPT_VIOLATION,
					.qualification = ASYNC },
			 interrupt = { .reason = EXIT_REASON_EXTERNAL_INTERRUPT };
	struct host_cpu *cpu = cpu_of(v);
	size_t done = 0, part;

	while (done < size && host_runs(v)) {
		part = size - done < host.skid ? size - done : host.skid;
		switch (pt_put(cpu, (const uint8_t *)bytes + done, part, &part,
			       &fault_exit.gpa)) {
		case PT_FAULT:
			done += part;
			host_out_and_in(v, &fault_exit);
			break;
		case PT_ENDED:
			done += part;
			if (cpu->pmi)
				host_out_and_in(v, &interrupt);
			return done;
		case PT_DONE:
			done += part;
			if (cpu->pmi)
				host_out_and_in(v, &interrupt);
			break;
		}
	}
	return done;
}

void host_guest_cr3(struct vcpu *v, uint64_t cr3)
{
	HOST_BUG_ON(!host_runs(v));
	/* Bit 63 says not to flush; it is not kept. */
	cr3 &= ~(1ull << 63);
	host_vmcs_write(v, GUEST_CR3, cr3);
	pt_mov_cr3(cpu_of(v), cr3);
}

void host_xen_cr3(struct vcpu *v, uint64_t cr3)
{
	HOST_BUG_ON(host_runs(v));
	v->arch.hvm.guest_cr[3] = v->arch.hvm.hw_cr[3] = cr3;
	host_vmcs_write(v, GUEST_CR3, cr3);
}

bool host_apic_access(struct vcpu *v, bool async)
{
	struct host_exit exit = { .reason = EXIT_REASON_APIC_ACCESS,
				  .qualification = async ? ASYNC : 0 };

	vmexit(v, &exit);
	vmenter(v);
	return exit.handled;
}

bool host_vmfunc(struct vcpu *v, uint32_t function, uint32_t view)
{
	struct host_exit exit = { .reason = EXIT_REASON_VMFUNC };

	exit.regs.eax = function;
	exit.regs.ecx = view;
	vmexit(v, &exit);
	vmenter(v);
	return exit.handled;
}

static bool msr_exit(struct vcpu *v, unsigned int reason, uint32_t msr, uint64_t *value)
{
	struct host_exit exit = { .reason = reason, .msr = msr, .value = *value };

	HOST_BUG_ON(!host_runs(v));
	host_out_and_in(v, &exit);
	*value = exit.value;
	return exit.result == X86EMUL_OKAY;
}

bool host_rdmsr_guest(struct vcpu *v, uint32_t msr, uint64_t *ret)
{
	return msr_exit(v, EXIT_REASON_MSR_READ, msr, ret);
}

bool host_wrmsr_guest(struct vcpu *v, uint32_t msr, uint64_t value)
{
	return msr_exit(v, EXIT_REASON_MSR_WRITE, msr, &value);
}

bool host_counter(struct vcpu *v)
{
	struct host_cpu *cpu = cpu_of(v);
	unsigned int before = host.vpmu_interrupts;

	cpu->perf_status |= 1;
	cpu->pmi = true;
	host_cycle(v);
	return host.vpmu_interrupts != before;
}
