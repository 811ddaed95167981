/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ways of a vCPU through Xen: where vmx.c, intr.c and apic.c call hv/xen. */
#include "tests/xen-host/host.h"

#include <asm/hvm/vmx/xenpt.h>
#include <asm/vpmu.h>

#define ASYNC (1ul << 16)
#define TRIES 64 /* of one entry: more are a livelock */

enum reason {
	EXIT_INTERRUPT,
	EXIT_EPT,
	EXIT_APIC_ACCESS,
	EXIT_VMFUNC
};

struct exit {
	enum reason reason;
	unsigned long qualification;
	uint64_t gpa;
	struct cpu_user_regs regs;
	bool handled; /* out */
};

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

/* vmx_vmexit_handler(). */
static void vmexit(struct vcpu *v, struct exit *exit)
{
	struct host_cpu *cpu = cpu_of(v);

	pt_exit(cpu);
	host.cpu = v->processor;
	host_watch();

	host.irqs_off = true;
	v->arch.hvm.hw_cr[3] = host_vmcs_read(v, GUEST_CR3);
	v->arch.hvm.guest_cr[3] = v->arch.hvm.hw_cr[3];
	if (xenpt_owns(v))
		xenpt_vmexit(v);
	take_interrupt(cpu);
	host.irqs_off = false;

	host_vmcs_write(v, EXIT_QUALIFICATION, exit->qualification);
	switch (exit->reason) {
	case EXIT_INTERRUPT:
		break;
	case EXIT_EPT:
		exit->handled = xenpt_output_fault(exit->qualification, exit->gpa);
		if (!exit->handled)
			fault(v, exit->gpa);
		break;
	case EXIT_APIC_ACCESS:
		exit->handled = xenpt_apic_access();
		break;
	case EXIT_VMFUNC:
		exit->handled = xenpt_vmfunc(&exit->regs);
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
	host_watched(NULL);
	if (v->pause_count || v->domain->is_dying) {
		switch_from(v);
		host_check();
		host.cpu = 0;
		return false;
	}

	host_watch();
	host.irqs_off = true;
	if (xenpt_owns(v))
		xenpt_vmenter(v);
	host.irqs_off = false;
	host_watched(v);
	host_check();
	*result = pt_enter(cpu, gpa);
	host.cpu = 0;
	return true;
}

/* As vmx_asm_do_vmentry(), until the guest runs or may not. */
static bool vmenter(struct vcpu *v)
{
	struct exit exit = { EXIT_EPT, ASYNC };
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

static bool out_and_in(struct vcpu *v, struct exit *exit)
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
	struct exit exit = { EXIT_INTERRUPT };

	return host_runs(v) && out_and_in(v, &exit);
}

/* The scheduler has raised its softirq: it comes as far as that is looked at. */
void host_stop(struct vcpu *v)
{
	struct exit exit = { EXIT_INTERRUPT };
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
	struct exit fault_exit = { EXIT_EPT, ASYNC }, interrupt = { EXIT_INTERRUPT };
	struct host_cpu *cpu = cpu_of(v);
	size_t done = 0, part;

	while (done < size && host_runs(v)) {
		part = size - done < host.skid ? size - done : host.skid;
		switch (pt_put(cpu, (const uint8_t *)bytes + done, part, &part,
			       &fault_exit.gpa)) {
		case PT_FAULT:
			done += part;
			out_and_in(v, &fault_exit);
			break;
		case PT_ENDED:
			done += part;
			if (cpu->pmi)
				out_and_in(v, &interrupt);
			return done;
		case PT_DONE:
			done += part;
			if (cpu->pmi)
				out_and_in(v, &interrupt);
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
	struct exit exit = { EXIT_APIC_ACCESS, async ? ASYNC : 0 };

	vmexit(v, &exit);
	vmenter(v);
	return exit.handled;
}

bool host_vmfunc(struct vcpu *v, uint32_t function, uint32_t view)
{
	struct exit exit = { EXIT_VMFUNC };

	exit.regs.eax = function;
	exit.regs.ecx = view;
	vmexit(v, &exit);
	vmenter(v);
	return exit.handled;
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
