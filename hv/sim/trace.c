/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The vCPU's PT hardware, by hv/pt, and the hypervisor's part of it: TraceEn is off
 * while the vCPU is not in the guest, and at each entry the PIP is written that the CPU
 * could not write.
 */
#include <string.h>

#include "hv/sim/machine.h"
#include "libxenpt/cleanup.h"

#define MAXPHYADDR 40

/* What may still come after the ring was found to have room: what the generator holds
 * back, a PSB+, and the exit. */
#define SLACK 512

/* CPUID leaf 14H: all that hv/pt does. */
static const struct xpt_caps caps = {
	.ebx0 = XPT_CAP0_EBX_CR3_FILTER | XPT_CAP0_EBX_PSB_CYC | XPT_CAP0_EBX_IP_FILTER |
		XPT_CAP0_EBX_MTC | XPT_CAP0_EBX_PTWRITE,
	.ecx0 = XPT_CAP0_ECX_TOPA | XPT_CAP0_ECX_TOPA_MULTI | XPT_CAP0_ECX_SINGLE_RANGE,
	.eax1 = XPT_ADDR_RANGES_MAX | 0xffffu << 16,
	.ebx1 = 0xffffffff,
	.maxphyaddr = MAXPHYADDR,
};

/* ---- Output ------------------------------------------------------------ */

/* The client's pages of the window, and the guest's RAM. */
static uint8_t *output_at(struct vcpu *vcpu, uint64_t gpa, size_t size)
{
	struct sim *sim = vcpu->sim;
	uint8_t *at = engine_at(&sim->memory, gpa, size);
	uint64_t gfn = gpa / SIM_PAGE;

	if (at && gpa >= GUEST_WINDOW_BASE && !(sim->page_flags[gfn] & SIM_PAGE_BUFFER))
		at = NULL;
	if (!at)
		vcpu->trace.fault = true;
	return at;
}

static bool output_read(void *arg, uint64_t gpa, void *buf, size_t size)
{
	const uint8_t *at = output_at(arg, gpa, size);

	if (at)
		memcpy(buf, at, size);
	return at;
}

static bool output_write(void *arg, uint64_t gpa, const void *buf, size_t size)
{
	struct vcpu *vcpu = arg;
	uint8_t *at = output_at(vcpu, gpa, size);

	if (!at)
		return false;
	memcpy(at, buf, size);
	if (vcpu->sim->page_flags[gpa / SIM_PAGE] & SIM_PAGE_RAN)
		vcpu->sim->forget_code = true;
	return true;
}

static const struct xpt_mem_ops output_ops = {
	.read = output_read,
	.write = output_write,
};

/* ---- What the client hears --------------------------------------------- */

static void tell(struct vcpu *vcpu, enum hv_event_type type)
{
	if (vcpu->sim->notify)
		vcpu->sim->notify(vcpu->sim->notify_arg, type, vcpu->id);
}

/* After anything that may have put bytes out. */
static void after_output(struct vcpu *vcpu)
{
	struct sim_trace *trace = &vcpu->trace;
	const struct xpt_topa *topa = &trace->topa;
	bool over =
		trace->fault || topa->status & (XPT_STATUS_STOPPED | XPT_STATUS_ERROR);

	if (over && !trace->told_end) {
		trace->told_end = true;
		trace->on = false;
		truth_flush(vcpu->sim);
		tell(vcpu, HV_EVENT_DATA);
	} else if (topa->interrupt ||
		   topa->written - trace->told >= trace->setup.ring / 2) {
		trace->topa.interrupt = false;
		trace->told = topa->written;
		truth_flush(vcpu->sim);
		tell(vcpu, HV_EVENT_DATA);
	}
}

bool trace_is_full(const struct vcpu *vcpu)
{
	const struct sim_trace *trace = &vcpu->trace;

	return trace->setup.lossless &&
	       trace->topa.written - trace->consumed + SLACK > trace->setup.ring;
}

void trace_tell_full(struct vcpu *vcpu)
{
	if (vcpu->trace.told_full)
		return;
	vcpu->trace.told_full = true;
	truth_flush(vcpu->sim);
	tell(vcpu, HV_EVENT_FULL);
}

/* Truth has each PSB, where the blocks around it are. */
static void note_psb(struct vcpu *vcpu)
{
	struct sim_trace *trace = &vcpu->trace;
	uint64_t at = xpt_soft_psb_at(&trace->soft);

	if (at == trace->psb_at)
		return;
	trace->psb_at = at;
	truth_mark(vcpu, TRUTH_PSB, at);
}

/* ---- The vCPU comes and goes ------------------------------------------- */

void trace_entry(struct vcpu *vcpu)
{
	struct sim_trace *trace = &vcpu->trace;
	const struct xpt_cpu_state *now = cpu_now(vcpu);

	/*
	 * After a fault or a stop nothing is put out until reset(), which forgets what
	 * the generator holds: so all of it is in memory here, and a PIP may follow.
	 */
	if (!trace->enabled || trace->on || trace->told_end)
		return;
	if (trace->fresh)
		trace->topa.status &= ~(XPT_STATUS_BYTES_MASK << XPT_STATUS_BYTES_SHIFT);
	trace->fresh = false;
	if (!vcpu->sim->scenario.no_pip)
		xpt_pip_inject(&trace->pip, &trace->topa, trace->msrs.ctl, now->cr3,
			       now->pae, true);
	if (!trace->fault) {
		xpt_soft_start(&trace->soft, now);
		trace->on = true;
		note_psb(vcpu);
	}
	after_output(vcpu);
}

void trace_exit(struct vcpu *vcpu)
{
	struct sim_trace *trace = &vcpu->trace;

	if (!trace->on)
		return;
	xpt_soft_stop(&trace->soft, vcpu->now.ip);
	xpt_pip_exit(&trace->pip, trace->msrs.ctl, vcpu->now.cr3, vcpu->now.pae);
	trace->on = false;
	after_output(vcpu);
}

void trace_retire(struct vcpu *vcpu)
{
	uint64_t written = vcpu->trace.topa.written;

	xpt_soft_retire(&vcpu->trace.soft, &vcpu->insn, cpu_now(vcpu));
	note_psb(vcpu);
	if (vcpu->trace.topa.written != written || vcpu->trace.fault)
		after_output(vcpu);
}

void trace_event(struct vcpu *vcpu, uint64_t from)
{
	if (!vcpu->trace.on)
		return;
	xpt_soft_event(&vcpu->trace.soft, from, cpu_now(vcpu));
	note_psb(vcpu);
	after_output(vcpu);
}

/* ---- What the guest spoils ----------------------------------------------- */

static void find_regions(struct vcpu *vcpu)
{
	struct sim_trace *trace = &vcpu->trace;
	uint64_t table = trace->msrs.output_base, entry, size;

	trace->region_count = 0;
	for (size_t i = 0; i < SIM_REGIONS_MAX; i++, table += sizeof(entry)) {
		const uint8_t *at = engine_at(&vcpu->sim->memory, table, sizeof(entry));

		if (!at)
			return;
		memcpy(&entry, at, sizeof(entry));
		if (entry & XPT_TOPA_END) {
			trace->region_count = i;
			return;
		}
		size = UINT64_C(4096)
		       << (entry >> XPT_TOPA_SIZE_SHIFT & XPT_TOPA_SIZE_MASK);
		trace->regions[i] = (struct sim_region){
			.gpa = entry & UINT64_C(0x000ffffffffff000),
			.size = size,
		};
	}
}

static void spoil_byte(struct vcpu *vcpu, uint64_t gpa)
{
	const struct sim_trace *trace = &vcpu->trace;
	uint64_t written = trace->topa.written, ring = trace->setup.ring, at = 0;
	size_t i = 0;

	while (i < trace->region_count &&
	       gpa - trace->regions[i].gpa >= trace->regions[i].size)
		at += trace->regions[i++].size;
	if (i == trace->region_count)
		return;
	at += gpa - trace->regions[i].gpa;
	if (at >= ring || at >= written)
		return;
	truth_spoil(vcpu, at + (written - 1 - at) / ring * ring,
		    *engine_at(&vcpu->sim->memory, gpa, 1));
}

void trace_spoil(struct sim *sim, uint64_t gpa, uint64_t size)
{
	for (uint32_t i = 0; i < sim->vcpu_count; i++)
		for (uint64_t byte = 0; byte < size; byte++)
			spoil_byte(&sim->vcpus[i], gpa + byte);
}

/* ---- What the client sets ---------------------------------------------- */

static void reset(struct vcpu *vcpu)
{
	struct sim_trace *trace = &vcpu->trace;

	xpt_topa_init(&trace->topa, &output_ops, vcpu, trace->msrs.output_base,
		      trace->msrs.output_mask_ptrs, 0, !(trace->msrs.ctl & XPT_CTL_TOPA),
		      MAXPHYADDR, false);
	xpt_soft_init(&trace->soft, &trace->topa, &trace->msrs, SIM_NOMINAL_RATIO,
		      SIM_MTC_SHIFT, true);
	trace->pip = (struct xpt_pip){ XPT_CR3_UNKNOWN, XPT_CR3_UNKNOWN };
	trace->on = trace->fault = trace->fresh = false;
	trace->told_end = trace->told_full = false;
	trace->told = trace->consumed = 0;
	find_regions(vcpu);
	trace->psb_at = XPT_SOFT_NO_PSB;
	truth_mark(vcpu, TRUTH_START, 0);
}

static struct xenpt_error *write_msr(struct xpt_msrs *msrs, uint32_t msr, uint64_t value)
{
	if (xpt_msr_write(msrs, &caps, msr, value))
		return NULL;
	return xenpt_error_create(XENPT_ERROR_INVALID, "MSR %#x does not take %#jx", msr,
				  (uintmax_t)value);
}

struct xenpt_error *sim_trace_setup(struct sim *sim, uint32_t id,
				    const struct sim_trace_setup *setup)
{
	struct vcpu *vcpu = &sim->vcpus[id];
	struct xpt_msrs msrs = {};

	if (setup->ring < SIM_PAGE)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "a ring of %ju bytes is less than a page",
					  (uintmax_t)setup->ring);
	XENPT_TRY(write_msr(&msrs, XPT_MSR_OUTPUT_BASE, setup->output_base));
	XENPT_TRY(write_msr(&msrs, XPT_MSR_OUTPUT_MASK_PTRS, 0x7f));
	XENPT_TRY(write_msr(&msrs, XPT_MSR_CR3_MATCH, setup->cr3_match));
	for (uint32_t i = 0; i < 2 * XPT_ADDR_RANGES_MAX; i++)
		XENPT_TRY(write_msr(&msrs, XPT_MSR_ADDR0_A + i, setup->addr[i]));
	XENPT_TRY(write_msr(&msrs, XPT_MSR_CTL, setup->ctl & ~XPT_CTL_TRACE_EN));
	sim_trace_disable(sim, id);
	vcpu->trace.setup = *setup;
	vcpu->trace.msrs = msrs;
	vcpu->trace.set_up = true;
	reset(vcpu);
	watch_update(sim);
	return NULL;
}

struct xenpt_error *sim_trace_enable(struct sim *sim, uint32_t id)
{
	struct vcpu *vcpu = &sim->vcpus[id];
	struct sim_trace *trace = &vcpu->trace;

	if (!trace->set_up)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "vCPU %u is not set up for a trace", id);
	if (trace->enabled)
		return NULL;
	XENPT_TRY(
		write_msr(&trace->msrs, XPT_MSR_CTL, trace->msrs.ctl | XPT_CTL_TRACE_EN));
	truth_end_block(vcpu);
	trace->enabled = true;
	xpt_topa_check(&trace->topa);
	after_output(vcpu);
	return NULL;
}

void sim_trace_disable(struct sim *sim, uint32_t id)
{
	struct vcpu *vcpu = &sim->vcpus[id];
	struct sim_trace *trace = &vcpu->trace;

	if (!trace->enabled)
		return;
	trace_exit(vcpu);
	truth_end_block(vcpu);
	trace->enabled = false;
	trace->msrs.ctl &= ~XPT_CTL_TRACE_EN;
	truth_mark(vcpu, TRUTH_STOP, 0);
	truth_flush(sim);
}

void sim_trace_teardown(struct sim *sim, uint32_t id)
{
	sim_trace_disable(sim, id);
	memset(&sim->vcpus[id].trace, 0, sizeof(sim->vcpus[id].trace));
	watch_update(sim);
}

void sim_trace_reset(struct sim *sim, uint32_t id)
{
	sim_trace_disable(sim, id);
	if (sim->vcpus[id].trace.set_up)
		reset(&sim->vcpus[id]);
}

void sim_trace_position(const struct sim *sim, uint32_t id,
			struct sim_trace_position *ret)
{
	const struct sim_trace *trace = &sim->vcpus[id].trace;

	*ret = (struct sim_trace_position){
		.total = trace->topa.written,
		.output_base = trace->topa.output_base,
		.mask_ptrs = trace->topa.output_mask_ptrs,
		.status = trace->topa.status,
		.fault = trace->fault,
	};
}

void sim_trace_consume(struct sim *sim, uint32_t id, uint64_t total)
{
	struct sim_trace *trace = &sim->vcpus[id].trace;

	if (total > trace->topa.written)
		total = trace->topa.written;
	if (total > trace->consumed)
		trace->consumed = total;
	if (!trace_is_full(&sim->vcpus[id]))
		trace->told_full = false;
}
