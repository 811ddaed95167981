/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the CPU does about PT at VM entry, in the guest, and at VM exit. It puts out the
 * packets that say what a reader must know: PSB, PIP, TIP.PGE and TIP.PGD without an IP;
 * the rest of a trace is whatever who tests likes.
 */
#include "tests/xen-host/host.h"

#include "hv/pt/packet.h"

#define PERF_TOPA (1ull << 55)
#define STATUS_ENDED (XPT_STATUS_ERROR | XPT_STATUS_STOPPED)
/* So far ahead the CPU looks for its output: "Trace-Address Pre-Translation". */
#define AHEAD 64

struct output {
	struct vcpu *v;
	bool look; /* only */
};

static bool output_read(void *arg, uint64_t gpa, void *buf, size_t size)
{
	const struct output *output = arg;
	const uint8_t *from = host_ept(output->v, gpa, false);

	if (from)
		memcpy(buf, from, size);
	return from;
}

static bool output_write(void *arg, uint64_t gpa, const void *buf, size_t size)
{
	const struct output *output = arg;
	uint8_t *to = host_ept(output->v, gpa, true);

	if (to && !output->look)
		memcpy(to, buf, size);
	return to;
}

static void engine(struct host_cpu *cpu, struct output *output, struct xpt_topa *ret)
{
	static const struct xpt_mem_ops ops = { output_read, output_write };

	xpt_topa_init(ret, &ops, output, cpu->pt.output_base, cpu->pt.output_mask_ptrs,
		      cpu->pt.status, false, cpu->model.caps.maxphyaddr,
		      !(cpu->model.caps.ecx0 & XPT_CAP0_ECX_TOPA_MULTI));
}

static bool traces(const struct host_cpu *cpu)
{
	return cpu->pt.ctl & XPT_CTL_TRACE_EN && !(cpu->pt.status & STATUS_ENDED);
}

/* ContextEn, of a guest's kernel. */
static bool in_context(const struct host_cpu *cpu, uint64_t cr3)
{
	return cpu->pt.ctl & XPT_CTL_OS &&
	       (!(cpu->pt.ctl & XPT_CTL_CR3_FILTER) || cpu->pt.cr3_match == cr3);
}

/* "ToPA PMI": it comes when the CPU gets to it, and masks itself. */
static void interrupt(struct host_cpu *cpu)
{
	cpu->perf_status |= PERF_TOPA;
	if (cpu->lvtpc & APIC_LVT_MASKED)
		return;
	cpu->pmi = true;
	cpu->lvtpc |= APIC_LVT_MASKED;
}

static enum pt_result put(struct host_cpu *cpu, const void *bytes, size_t size, bool look,
			  size_t *done_ret, uint64_t *fault)
{
	struct output output = { cpu->vcpu, look };
	enum xpt_topa_result result;
	struct xpt_topa topa;

	engine(cpu, &output, &topa);
	result = xpt_topa_write(&topa, bytes, size, done_ret);
	*fault = topa.fault;
	if (!look) {
		cpu->pt.output_base = topa.output_base;
		cpu->pt.output_mask_ptrs = topa.output_mask_ptrs;
		cpu->pt.status = topa.status;
		cpu->vcpu->traced += *done_ret;
		if (topa.interrupt)
			interrupt(cpu);
	}
	switch (result) {
	case XPT_TOPA_OK:
		return PT_DONE;
	case XPT_TOPA_FAULT:
		return PT_FAULT;
	default:
		return PT_ENDED;
	}
}

/* What the output needs next is there: else the exit comes before anything is lost. */
static enum pt_result look_ahead(struct host_cpu *cpu, uint64_t *fault)
{
	static const uint8_t nothing[AHEAD];
	size_t done;

	if (put(cpu, nothing, sizeof(nothing), true, &done, fault) == PT_FAULT)
		return PT_FAULT;
	return PT_DONE; /* what else there is, it finds when it comes there */
}

enum pt_result pt_put(struct host_cpu *cpu, const void *bytes, size_t size,
		      size_t *done_ret, uint64_t *fault)
{
	enum pt_result result;

	*done_ret = 0;
	HOST_BUG_ON(!cpu->guest);
	if (!traces(cpu))
		return PT_ENDED;
	result = put(cpu, bytes, size, false, done_ret, fault);
	return result == PT_DONE ? look_ahead(cpu, fault) : result;
}

/* What the CPU says of itself; what finds no room is lost. */
static void put_packet(struct host_cpu *cpu, const uint8_t *packet, size_t size)
{
	uint64_t fault;
	size_t done;

	if (traces(cpu))
		put(cpu, packet, size, false, &done, &fault);
}

static void put_pip(struct host_cpu *cpu, uint64_t cr3, bool non_root)
{
	const struct vcpu *v = cpu->vcpu;
	const bool pae = v->arch.hvm.guest_cr[4] & X86_CR4_PAE &&
			 !(v->arch.hvm.guest_efer & EFER_LMA);
	uint8_t packet[XPT_PACKET_MAX];

	put_packet(cpu, packet, xpt_packet_pip(cr3, pae, non_root, packet));
}

static void put_psb(struct host_cpu *cpu, uint64_t cr3)
{
	uint8_t packet[XPT_PACKET_MAX];

	cpu->pt.status &= ~(XPT_STATUS_BYTES_MASK << XPT_STATUS_BYTES_SHIFT);
	put_packet(cpu, packet, xpt_packet_psb(packet));
	if (in_context(cpu, cr3))
		put_pip(cpu, cr3, true);
	put_packet(cpu, packet, xpt_packet_psbend(packet));
}

static void put_tip(struct host_cpu *cpu, enum xpt_ip_packet type)
{
	uint8_t packet[XPT_PACKET_MAX];

	put_packet(cpu, packet, xpt_packet_ip_bytes(type, XPT_IP_NONE, 0, packet));
}

/* ---- entry and exit ---- */

/* SDM volume 3, "Checks on VMX Controls" and "Checks on Guest Control Registers". */
static void check_entry(const struct host_cpu *cpu)
{
	const struct vcpu *v = cpu->vcpu;
	const uint32_t entry = host_vmcs_read(v, VM_ENTRY_CONTROLS);
	const uint32_t exit = host_vmcs_read(v, VM_EXIT_CONTROLS);
	const uint32_t secondary = host_vmcs_read(v, SECONDARY_VM_EXEC_CONTROL);
	struct xpt_msrs msrs = { 0 };

	HOST_BUG_ON(cpu->vmcs != v || v->pause_count || v->domain->is_dying);
	HOST_BUG_ON(entry & ~cpu->model.entry || exit & ~cpu->model.exit ||
		    secondary & ~cpu->model.secondary);
	if (secondary & SECONDARY_EXEC_PT_USE_GPA)
		HOST_BUG_ON(!(secondary & SECONDARY_EXEC_ENABLE_EPT) ||
			    !(entry & VM_ENTRY_LOAD_RTIT_CTL) ||
			    !(exit & VM_EXIT_CLEAR_RTIT_CTL));
	if (entry & VM_ENTRY_LOAD_RTIT_CTL) {
		HOST_BUG_ON(cpu->pt.ctl & XPT_CTL_TRACE_EN);
		HOST_BUG_ON(!xpt_msr_write(&msrs, &cpu->model.caps, XPT_MSR_CTL,
					   host_vmcs_read(v, GUEST_IA32_RTIT_CTL)));
	}
}

enum pt_result pt_enter(struct host_cpu *cpu, uint64_t *fault)
{
	const struct vcpu *v = cpu->vcpu;
	const uint64_t cr3 = host_vmcs_read(v, GUEST_CR3);
	uint64_t bytes;

	check_entry(cpu);
	cpu->guest = true;
	cpu->traced = false;
	if (host_vmcs_read(v, VM_ENTRY_CONTROLS) & VM_ENTRY_LOAD_RTIT_CTL)
		cpu->pt.ctl = host_vmcs_read(v, GUEST_IA32_RTIT_CTL);
	if (!(cpu->pt.ctl & XPT_CTL_TRACE_EN))
		return PT_DONE;
	/* Else it would be the host's memory that is written to. */
	HOST_BUG_ON(!(host_vmcs_read(v, SECONDARY_VM_EXEC_CONTROL) &
		      SECONDARY_EXEC_PT_USE_GPA));
	if (!traces(cpu))
		return PT_DONE;
	if (look_ahead(cpu, fault) == PT_FAULT)
		return PT_FAULT;

	cpu->traced = true;
	cpu->pt.status |= XPT_STATUS_TRIGGER_EN;
	/* Who cannot choose the PSB's period has no PacketByteCnt either. */
	bytes = cpu->pt.status >> XPT_STATUS_BYTES_SHIFT & XPT_STATUS_BYTES_MASK;
	if (!bytes || !(cpu->model.caps.ebx0 & XPT_CAP0_EBX_PSB_CYC))
		put_psb(cpu, cr3);
	if (in_context(cpu, cr3))
		put_tip(cpu, XPT_TIP_PGE);
	return PT_DONE;
}

void pt_exit(struct host_cpu *cpu)
{
	const struct vcpu *v = cpu->vcpu;
	const uint32_t controls = host_vmcs_read(v, VM_EXIT_CONTROLS);

	HOST_BUG_ON(!cpu->guest);
	if (cpu->traced && traces(cpu) && in_context(cpu, host_vmcs_read(v, GUEST_CR3))) {
		if (!(controls & VM_EXIT_CONCEAL_FROM_PT))
			put_pip(cpu, HOST_CR3, false);
		put_tip(cpu, XPT_TIP_PGD);
	}
	if (controls & VM_EXIT_CLEAR_RTIT_CTL)
		cpu->pt.ctl = 0;
	/* Xen would be traced, into nobody knows what. */
	HOST_BUG_ON(cpu->pt.ctl & XPT_CTL_TRACE_EN);
	cpu->guest = false;
}

void pt_mov_cr3(struct host_cpu *cpu, uint64_t cr3)
{
	if (in_context(cpu, cr3))
		put_pip(cpu, cr3, true);
}

void pt_clobber(struct host_cpu *cpu)
{
	const uint64_t ctl = cpu->pt.ctl;

	memset(&cpu->pt, 0x5a, sizeof(cpu->pt));
	cpu->pt.output_base = 0x5a5a5000;
	cpu->pt.status = 0;
	cpu->pt.ctl = ctl;
}
