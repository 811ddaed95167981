/* SPDX-License-Identifier: GPL-2.0-only */
/* The hypervisor's part: what it emulates, hypercalls, and the timer. */
#include <string.h>

#include "hv/sim/machine.h"

#define MSR_APIC_BASE 0x1b
#define MSR_RTIT_FIRST XPT_MSR_OUTPUT_BASE
#define MSR_RTIT_LAST (XPT_MSR_ADDR0_A + 2 * XPT_ADDR_RANGES_MAX - 1)
#define MSR_X2APIC 0x800
#define MSR_X2APIC_LAST 0x8ff
#define APIC_BASE 0xfee00d00ull /* enabled, x2APIC; bit 8: the first vCPU */

enum x2apic_register {
	APIC_ID = 0x02,
	APIC_VERSION = 0x03,
	APIC_EOI = 0x0b,
	APIC_SPURIOUS = 0x0f,
	APIC_LVT_TIMER = 0x32,
	APIC_INITIAL_COUNT = 0x38,
	APIC_CURRENT_COUNT = 0x39,
	APIC_DIVIDE = 0x3e,
};
#define LVT_MASKED (1u << 16)
#define LVT_PERIODIC (1u << 17)

#define VECTOR_GP 13
#define FLAG_IF (1ull << 9)
#define PERIOD_MIN 300
#define CRYSTAL_HZ 37500000

#define EPERM_XEN 1
#define EINVAL_XEN 22
#define ENOSYS_XEN 38

enum {
	RAX,
	RCX,
	RDX,
	RBX,
	RSP,
	RBP,
	RSI,
	RDI
};

/* ---- The timer --------------------------------------------------------- */

/* As a clock is that is not the CPU's: no period is like the other. */
static uint64_t timer_period(struct vcpu *vcpu)
{
	/* Divide configuration: 0 is by 2, … 6 by 128, 7 by 1. */
	uint32_t divide = (vcpu->timer.divide & 3) | (vcpu->timer.divide >> 1 & 4);
	uint64_t period = (uint64_t)vcpu->timer.initial << (divide == 7 ? 0 : divide + 1);

	period += sim_random(vcpu->sim, period / 4 + 1) - period / 8;
	return period < PERIOD_MIN ? PERIOD_MIN : period;
}

void timer_update(struct vcpu *vcpu)
{
	struct sim_timer *timer = &vcpu->timer;

	if (!timer->deadline || vcpu->sim->now < timer->deadline)
		return;
	if (!(timer->lvt & LVT_MASKED))
		timer->requested = true;
	timer->deadline =
		timer->lvt & LVT_PERIODIC ? vcpu->sim->now + timer_period(vcpu) : 0;
}

static void timer_start(struct vcpu *vcpu, uint32_t count)
{
	vcpu->timer.initial = count;
	vcpu->timer.deadline = count ? vcpu->sim->now + timer_period(vcpu) : 0;
}

bool vmm_interrupt(struct vcpu *vcpu)
{
	struct sim_timer *timer = &vcpu->timer;
	struct guest_event event = {
		.kind = EVENT_EXTERNAL,
		.vector = timer->lvt,
		.from = vcpu->now.ip,
		.return_ip = vcpu->now.ip,
	};

	timer_update(vcpu);
	if (!timer->requested || timer->in_service)
		return false;
	if (!(vcpu->flags & FLAG_IF) || vcpu->state->hflags & ENGINE_SHADOW)
		return true;
	timer->requested = false;
	timer->in_service = true;
	vcpu->halted = false;
	vcpu->sim->now++;
	/* The host's interrupt is the exit; the entry injects the guest's. */
	trace_exit(vcpu);
	trace_entry(vcpu);
	deliver_event(vcpu, &event);
	if (vcpu->sim->state == HV_RUNNING)
		cpu_sync(vcpu);
	return false;
}

/* ---- CPUID ------------------------------------------------------------- */

/* What Unicorn can do, and what abi.h promises. */
static void do_cpuid(struct vcpu *vcpu)
{
	uint64_t *gpr = vcpu->state->gpr;
	uint32_t leaf = gpr[RAX], r[4] = {};

	switch (leaf) {
	case 0:
		r[0] = 0x15;
		memcpy(r + 1, "Genu", 4);
		memcpy(r + 3, "ineI", 4);
		memcpy(r + 2, "ntel", 4);
		break;
	case 1: /* family 6, model 85; … x2APIC, hypervisor */
		r[0] = 0x00050654;
		r[1] = vcpu->id << 24 | 0x800;
		r[2] = 0x82382201;
		r[3] = 0x0708a379;
		break;
	case 0x15: /* TSC and crystal clock */
		r[0] = 1;
		r[1] = 1u << SIM_MTC_SHIFT;
		r[2] = CRYSTAL_HZ;
		break;
	case 0x40000000:
		r[0] = 0x40000000;
		memcpy(r + 1, "XenVMMXenVMM", 12);
		break;
	case 0x80000000:
		r[0] = 0x80000008;
		break;
	case 0x80000001: /* LAHF; SYSCALL, NX, RDTSCP, long mode */
		r[2] = 1;
		r[3] = 0x28100800;
		break;
	case 0x80000008:
		r[0] = 0x3028;
		break;
	}
	gpr[RAX] = r[0];
	gpr[RBX] = r[1];
	gpr[RCX] = r[2];
	gpr[RDX] = r[3];
}

/* ---- MSRs -------------------------------------------------------------- */

bool vmm_owns_msr(uint32_t msr)
{
	return msr == MSR_APIC_BASE || (msr >= MSR_X2APIC && msr <= MSR_X2APIC_LAST) ||
	       (msr >= MSR_RTIT_FIRST && msr <= MSR_RTIT_LAST);
}

static uint64_t apic_read(const struct vcpu *vcpu, enum x2apic_register reg)
{
	const struct sim_timer *timer = &vcpu->timer;

	switch (reg) {
	case APIC_ID:
		return vcpu->id;
	case APIC_VERSION:
		return 0x50014;
	case APIC_LVT_TIMER:
		return timer->lvt;
	case APIC_INITIAL_COUNT:
		return timer->initial;
	case APIC_CURRENT_COUNT:
		return timer->deadline > vcpu->sim->now ? timer->deadline - vcpu->sim->now
							: 0;
	case APIC_DIVIDE:
		return timer->divide;
	default:
		return 0;
	}
}

static void apic_write(struct vcpu *vcpu, enum x2apic_register reg, uint32_t value)
{
	struct sim_timer *timer = &vcpu->timer;

	switch (reg) {
	case APIC_EOI:
		timer->in_service = false;
		break;
	case APIC_LVT_TIMER:
		timer->lvt = value;
		break;
	case APIC_INITIAL_COUNT:
		timer_start(vcpu, value);
		break;
	case APIC_DIVIDE:
		timer->divide = value;
		break;
	default:
		break;
	}
}

/* False: there is no such MSR to the guest. */
static bool do_msr(struct vcpu *vcpu, bool write)
{
	uint64_t *gpr = vcpu->state->gpr, value;
	uint32_t msr = gpr[RCX];

	if (msr >= MSR_RTIT_FIRST && msr <= MSR_RTIT_LAST)
		return false; /* the guest has no PT of its own */
	if (write) {
		if (msr >= MSR_X2APIC && msr <= MSR_X2APIC_LAST)
			apic_write(vcpu, msr - MSR_X2APIC, gpr[RAX]);
		return true;
	}
	if (msr == MSR_APIC_BASE)
		value = APIC_BASE | (vcpu->id ? 0 : 0x100);
	else
		value = apic_read(vcpu, msr - MSR_X2APIC);
	gpr[RAX] = (uint32_t)value;
	gpr[RDX] = value >> 32;
	return true;
}

/* ---- I/O --------------------------------------------------------------- */

static void do_io(struct vcpu *vcpu, bool write)
{
	const struct xpt_insn *insn = &vcpu->insn;
	uint64_t *gpr = vcpu->state->gpr;
	const uint8_t last = insn->bytes[insn->size - 1];
	/* IN and OUT with DX are one byte behind their prefixes. */
	bool by_dx = last >= 0xec && last <= 0xef &&
		     (insn->size == 1 || (insn->bytes[insn->size - 2] & 0xfc) != 0xe4);
	uint8_t opcode = by_dx ? last : insn->bytes[insn->size - 2];
	uint16_t port = by_dx ? gpr[RDX] : last;
	char byte = gpr[RAX];

	if (write) {
		if (port == GUEST_PORT_CONSOLE && !(opcode & 1))
			sim_print(vcpu->sim, &byte, 1);
	} else if (opcode & 1) {
		gpr[RAX] = 0xffffffff;
	} else {
		gpr[RAX] |= 0xff;
	}
}

/* ---- Hypercalls -------------------------------------------------------- */

static bool copy_from_guest(struct vcpu *vcpu, uint64_t va, void *buf, size_t size)
{
	uint64_t gpa;

	for (size_t i = 0; i < size; i++) {
		const uint8_t *at;

		if (!engine_walk(&vcpu->sim->memory, vcpu->now.cr3, va + i, NULL, NULL,
				 &gpa, NULL))
			return false;
		at = engine_at(&vcpu->sim->memory, gpa, 1);
		if (!at)
			return false;
		((uint8_t *)buf)[i] = *at;
	}
	return true;
}

static int64_t do_shutdown(struct vcpu *vcpu, uint64_t argument)
{
	struct sim *sim = vcpu->sim;
	uint32_t reason;

	if (!copy_from_guest(vcpu, argument, &reason, sizeof(reason)))
		return -EINVAL_XEN;
	sim_set_state(sim, reason == SHUTDOWN_CRASH ? HV_CRASHED : HV_ENDED);
	return 0;
}

static int64_t do_vcpu_op(struct vcpu *vcpu, uint64_t op, uint64_t id, uint64_t argument)
{
	struct sim *sim = vcpu->sim;
	struct vcpu_context start;
	struct vcpu *other;

	if (id >= sim->vcpu_count || id == vcpu->id)
		return -EINVAL_XEN;
	other = &sim->vcpus[id];
	switch (op) {
	case VCPUOP_INITIALISE:
		if (other->initialised ||
		    !copy_from_guest(vcpu, argument, &start, sizeof(start)) ||
		    start.mode != VCPU_HVM_MODE_64B)
			return -EINVAL_XEN;
		cpu_start(other, &start);
		other->initialised = true;
		return 0;
	case VCPUOP_UP:
		if (!other->initialised)
			return -EINVAL_XEN;
		other->up = true;
		return 0;
	default:
		return -ENOSYS_XEN;
	}
}

static int64_t do_hypercall(struct vcpu *vcpu)
{
	const uint64_t *gpr = vcpu->state->gpr;

	if (vcpu->now.cpl)
		return -EPERM_XEN;
	switch (gpr[RAX]) {
	case HYPERVISOR_SCHED_OP:
		if (gpr[RDI] == SCHEDOP_SHUTDOWN)
			return do_shutdown(vcpu, gpr[RSI]);
		return -ENOSYS_XEN;
	case HYPERVISOR_VCPU_OP:
		return do_vcpu_op(vcpu, gpr[RDI], gpr[RSI], gpr[RDX]);
	default:
		return -ENOSYS_XEN;
	}
}

/* ---- Exits ------------------------------------------------------------- */

static void inject_gp(struct vcpu *vcpu)
{
	const struct guest_event event = {
		.vector = VECTOR_GP,
		.has_code = true,
		.from = vcpu->insn.ip,
		.return_ip = vcpu->insn.ip,
	};

	trace_entry(vcpu);
	deliver_event(vcpu, &event);
}

/* Only to know the time, which the host's clock must not tell. */
static void do_rdtsc(struct vcpu *vcpu, bool with_id)
{
	uint64_t *gpr = vcpu->state->gpr, tsc = cpu_now(vcpu)->tsc;

	gpr[RAX] = (uint32_t)tsc;
	gpr[RDX] = tsc >> 32;
	if (with_id)
		gpr[RCX] = vcpu->id;
	cpu_skip(vcpu);
	cpu_commit(vcpu);
	truth_retire(vcpu, false);
	if (vcpu->trace.on)
		trace_retire(vcpu);
}

static void do_cr3(struct vcpu *vcpu)
{
	const struct xpt_insn *insn = &vcpu->insn;
	uint8_t modrm = insn->bytes[insn->size - 1];
	unsigned int reg = modrm & 7;

	if (vcpu->sim->scenario.deny &&
	    ++vcpu->sim->cr3_writes % vcpu->sim->scenario.deny == 0)
		return;
	/* REX.B is in the last prefix. */
	if (insn->size > 3 && (insn->bytes[insn->size - 4] & 0xf1) == 0x41)
		reg += 8;
	vcpu->state->cr[3] = vcpu->state->gpr[reg] & ~(1ull << 63);
	cpu_forget(vcpu);
	engine_load(vcpu->sim->engine, vcpu->context);
}

void vmm_exit(struct vcpu *vcpu)
{
	struct sim *sim = vcpu->sim;
	bool good = true;

	if (sim->exit == SIM_CPU_RDTSC || sim->exit == SIM_CPU_RDTSCP) {
		do_rdtsc(vcpu, sim->exit == SIM_CPU_RDTSCP);
		return;
	}
	trace_exit(vcpu);
	truth_end_block(vcpu);
	switch (sim->exit) {
	case SIM_EXIT_CPUID:
		do_cpuid(vcpu);
		break;
	case SIM_EXIT_HYPERCALL:
		vcpu->state->gpr[RAX] = do_hypercall(vcpu);
		break;
	case SIM_EXIT_IN:
	case SIM_EXIT_OUT:
		do_io(vcpu, sim->exit == SIM_EXIT_OUT);
		break;
	case SIM_EXIT_RDMSR:
	case SIM_EXIT_WRMSR:
		good = do_msr(vcpu, sim->exit == SIM_EXIT_WRMSR);
		break;
	case SIM_EXIT_HLT:
		vcpu->halted = true;
		break;
	case SIM_EXIT_MOV_TO_CR3:
	case SIM_EXIT_FORCED_CR3:
		do_cr3(vcpu);
		break;
	default:
		break;
	}
	if (!good) {
		inject_gp(vcpu);
		return;
	}
	cpu_skip(vcpu);
	cpu_commit(vcpu);
}
