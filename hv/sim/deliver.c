/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Exceptions, interrupts and SYSCALL, which Unicorn reports but does not deliver: SDM
 * volume 3, "Exception and Interrupt Handling in 64-bit Mode", and volume 2, "SYSCALL".
 */
#include <string.h>

#include "hv/sim/machine.h"

#define VECTOR_DF 8
#define VECTOR_TS 10
#define VECTOR_NP 11
#define VECTOR_GP 13
#define VECTOR_UD 6

#define FLAGS_CLEARED 0x34100ull /* VM, NT, TF, RF */
#define FLAG_IF (1ull << 9)
#define CR0_WP (1ull << 16)
#define EFER_SCE 1ull
#define EFER_LMA (1ull << 10)
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_FMASK 0xc0000084

#define ENTRY_WRITE 2ull
#define ENTRY_ACCESSED 0x20
#define ENTRY_DIRTY 0x40
#define PF_PRESENT 1u
#define PF_WRITE 2u

#define ERROR_EXTERNAL 1u
#define ERROR_IDT 2u

#define GATE_PRESENT 0x80
#define DESC_DPL(high) ((high) >> 13 & 3)
#define DESC_PRESENT (1u << 15)
#define DESC_CODE (3u << 11) /* S, and executable */
#define DESC_CONFORMING (1u << 10)
#define KERNEL_CODE_FLAGS 0x00a09b00u
#define KERNEL_DATA_FLAGS 0x00c09300u

struct fault {
	uint8_t vector;
	uint32_t code;
	uint64_t cr2;
};

/* Where an event goes: what the gate and the code segment say. */
struct target {
	uint64_t ip, rsp;
	uint16_t selector;
	uint32_t flags; /* the descriptor's second word */
	uint8_t cpl, type;
};

/* ---- Memory, as the CPU's privileged part sees it ---------------------- */

static bool page_fault(uint64_t va, uint32_t code, struct fault *ret)
{
	*ret = (struct fault){ SIM_VECTOR_PF, code, va };
	return false;
}

static void set_accessed(void *arg, uint64_t entry_gpa)
{
	struct vcpu *vcpu = arg;
	uint8_t *entry = engine_at(&vcpu->sim->memory, entry_gpa, 8);

	*entry |= ENTRY_ACCESSED;
}

static uint8_t *translate(struct vcpu *vcpu, uint64_t va, bool write, struct fault *ret)
{
	struct sim *sim = vcpu->sim;
	uint64_t gpa, all;
	uint8_t *at;

	if (!engine_walk(&sim->memory, vcpu->state->cr[3], va, set_accessed, vcpu, &gpa,
			 &all)) {
		page_fault(va, write ? PF_WRITE : 0, ret);
		return NULL;
	}
	if (write && vcpu->state->cr[0] & CR0_WP && !(all & ENTRY_WRITE)) {
		page_fault(va, PF_WRITE | PF_PRESENT, ret);
		return NULL;
	}
	at = engine_at(&sim->memory, gpa, 1);
	if (!at)
		page_fault(va, PF_PRESENT, ret);
	return at;
}

/* A byte after the other: what lies across pages is rare. */
static bool read_guest(struct vcpu *vcpu, uint64_t va, void *buf, size_t size,
		       struct fault *ret)
{
	for (size_t i = 0; i < size; i++) {
		const uint8_t *at = translate(vcpu, va + i, false, ret);

		if (!at)
			return false;
		((uint8_t *)buf)[i] = *at;
	}
	return true;
}

static bool can_write(struct vcpu *vcpu, uint64_t va, size_t size, struct fault *ret)
{
	return translate(vcpu, va, true, ret) &&
	       translate(vcpu, va + size - 1, true, ret);
}

static void write_guest(struct vcpu *vcpu, uint64_t va, const void *buf, size_t size)
{
	struct fault fault;

	if (vcpu->sim->watching)
		watch_write(vcpu, va, size, 0);
	for (size_t i = 0; i < size; i++) {
		uint8_t *at = translate(vcpu, va + i, true, &fault);

		if (at)
			*at = ((const uint8_t *)buf)[i];
	}
}

/* ---- The way to the handler -------------------------------------------- */

static bool refuse(uint8_t vector, uint32_t code, struct fault *ret)
{
	*ret = (struct fault){ vector, code, 0 };
	return false;
}

static bool read_gate(struct vcpu *vcpu, const struct guest_event *event,
		      struct target *ret, uint8_t *ist_ret, struct fault *fault_ret)
{
	const struct engine_segment *idtr = &vcpu->state->segments[ENGINE_IDTR];
	uint32_t external = event->kind == EVENT_SOFTWARE ? 0 : ERROR_EXTERNAL;
	uint32_t code = event->vector * 8u | ERROR_IDT | external;
	uint16_t words[8];
	uint8_t type;

	if (event->vector * 16u + 15 > idtr->limit)
		return refuse(VECTOR_GP, code, fault_ret);
	if (!read_guest(vcpu, idtr->base + event->vector * 16, words, sizeof(words),
			fault_ret))
		return false;
	type = words[2] >> 8;
	if ((type & 0x1e) != 0x0e ||
	    (event->kind == EVENT_SOFTWARE && (type >> 5 & 3) < vcpu->now.cpl))
		return refuse(VECTOR_GP, code, fault_ret);
	if (!(type & GATE_PRESENT))
		return refuse(VECTOR_NP, code, fault_ret);
	ret->ip = words[0] | (uint64_t)words[3] << 16 | (uint64_t)words[4] << 32 |
		  (uint64_t)words[5] << 48;
	ret->selector = words[1];
	ret->type = type & 0x1f;
	*ist_ret = words[2] & 7;
	return true;
}

static bool read_code_segment(struct vcpu *vcpu, uint32_t external, struct target *ret,
			      struct fault *fault_ret)
{
	const struct engine_segment *gdtr = &vcpu->state->segments[ENGINE_GDTR];
	const uint32_t at = ret->selector & ~7u;
	uint32_t descriptor[2];

	if (!at || ret->selector & 4 || at + 7 > gdtr->limit)
		return refuse(VECTOR_GP, at | external, fault_ret);
	if (!read_guest(vcpu, gdtr->base + at, descriptor, sizeof(descriptor), fault_ret))
		return false;
	ret->flags = descriptor[1];
	if ((descriptor[1] & DESC_CODE) != DESC_CODE ||
	    !(descriptor[1] & ENGINE_DESC_LONG) || descriptor[1] & ENGINE_DESC_DB ||
	    DESC_DPL(descriptor[1]) > vcpu->now.cpl)
		return refuse(VECTOR_GP, at | external, fault_ret);
	if (!(descriptor[1] & DESC_PRESENT))
		return refuse(VECTOR_NP, at | external, fault_ret);
	ret->cpl =
		descriptor[1] & DESC_CONFORMING ? vcpu->now.cpl : DESC_DPL(descriptor[1]);
	return true;
}

/* IST, or the stack of the new privilege, out of the TSS. */
static bool read_stack(struct vcpu *vcpu, uint8_t ist, struct target *ret,
		       struct fault *fault_ret)
{
	const struct engine_segment *tr = &vcpu->state->segments[ENGINE_TR];
	uint32_t offset = ist ? 0x24 + 8 * (ist - 1) : 4 + 8 * ret->cpl;

	ret->rsp = vcpu->state->gpr[4];
	if (ist || ret->cpl < vcpu->now.cpl) {
		if (offset + 7 > tr->limit)
			return refuse(VECTOR_TS, tr->selector & ~7u, fault_ret);
		if (!read_guest(vcpu, tr->base + offset, &ret->rsp, sizeof(ret->rsp),
				fault_ret))
			return false;
	}
	ret->rsp &= ~15ull;
	return true;
}

static bool push_frame(struct vcpu *vcpu, const struct guest_event *event,
		       struct target *target, struct fault *fault_ret)
{
	const struct engine_state *state = vcpu->state;
	const uint64_t frame[] = {
		event->code, event->return_ip, state->segments[ENGINE_CS].selector,
		vcpu->flags, state->gpr[4],    state->segments[ENGINE_SS].selector,
	};
	size_t first = event->has_code ? 0 : 1;
	size_t size = sizeof(frame) - first * sizeof(frame[0]);

	if (!can_write(vcpu, target->rsp - size, size, fault_ret))
		return false;
	target->rsp -= size;
	write_guest(vcpu, target->rsp, frame + first, size);
	return true;
}

static void set_code_segment(struct engine_state *state, uint16_t selector,
			     uint32_t flags, uint8_t cpl)
{
	state->segments[ENGINE_CS] = (struct engine_segment){
		.selector = (selector & ~3u) | cpl,
		.limit = 0xffffffff,
		.flags = flags,
	};
	state->hflags &= ~(ENGINE_CPL_MASK | ENGINE_ADDSEG | ENGINE_SHADOW);
	state->hflags |= ENGINE_CS32 | ENGINE_SS32 | ENGINE_CS64 | cpl;
}

static bool attempt(struct vcpu *vcpu, const struct guest_event *event, struct fault *ret)
{
	uint32_t external = event->kind == EVENT_SOFTWARE ? 0 : ERROR_EXTERNAL;
	struct engine_state *state = vcpu->state;
	struct target target = {};
	uint8_t ist;

	if (!read_gate(vcpu, event, &target, &ist, ret) ||
	    !read_code_segment(vcpu, external, &target, ret) ||
	    !read_stack(vcpu, ist, &target, ret) ||
	    !push_frame(vcpu, event, &target, ret))
		return false;
	if (target.cpl != vcpu->now.cpl)
		state->segments[ENGINE_SS] = (struct engine_segment){
			.selector = target.cpl,
			.flags = target.cpl << 13,
		};
	set_code_segment(state, target.selector, target.flags, target.cpl);
	state->gpr[4] = target.rsp;
	vcpu->flags &= ~FLAGS_CLEARED;
	if (target.type == 0x0e)
		vcpu->flags &= ~FLAG_IF;
	vcpu->now.ip = target.ip;
	return true;
}

static bool is_contributory(uint8_t vector)
{
	return vector == 0 || (vector >= VECTOR_TS && vector <= VECTOR_GP);
}

/* SDM volume 3, table "Conditions for Generating a Double Fault". */
static bool is_double(uint8_t first, uint8_t second)
{
	if (first == SIM_VECTOR_PF)
		return second == SIM_VECTOR_PF || is_contributory(second);
	return is_contributory(first) && is_contributory(second);
}

static void triple_fault(struct vcpu *vcpu)
{
	struct sim *sim = vcpu->sim;

	sim_printf(sim, "(sim) vCPU %u: triple fault at %#jx\n", vcpu->id,
		   (uintmax_t)vcpu->now.ip);
	sim_set_state(sim, HV_CRASHED);
}

void deliver_event(struct vcpu *vcpu, const struct guest_event *event)
{
	struct guest_event next = *event;
	const uint64_t from = event->from;
	struct fault fault;

	if (!(engine_context_efer(vcpu->sim->engine, vcpu->context) & EFER_LMA)) {
		triple_fault(vcpu);
		return;
	}
	for (;;) {
		if (next.vector == SIM_VECTOR_PF && next.has_code)
			vcpu->cr2 = next.cr2;
		if (attempt(vcpu, &next, &fault))
			break;
		if (next.vector == VECTOR_DF && next.has_code) {
			triple_fault(vcpu);
			return;
		}
		if (next.kind == EVENT_FAULT && is_double(next.vector, fault.vector))
			fault = (struct fault){ VECTOR_DF, 0, 0 };
		next = (struct guest_event){
			.vector = fault.vector,
			.has_code = true,
			.code = fault.code,
			.cr2 = fault.cr2,
			.return_ip = from,
		};
	}
	truth_end_block(vcpu);
	cpu_commit(vcpu);
	trace_event(vcpu, from);
}

void deliver_syscall(struct vcpu *vcpu)
{
	struct engine *engine = vcpu->sim->engine;
	const uint64_t star = engine_msr(engine, MSR_STAR);
	const uint64_t fmask = engine_msr(engine, MSR_FMASK);
	struct engine_state *state = vcpu->state;
	struct guest_event undefined = {
		.vector = VECTOR_UD,
		.from = vcpu->insn.ip,
		.return_ip = vcpu->insn.ip,
	};

	if (!vcpu->now.csl || !(engine_context_efer(engine, vcpu->context) & EFER_SCE)) {
		deliver_event(vcpu, &undefined);
		return;
	}
	state->gpr[1] = vcpu->insn.ip + vcpu->insn.size;
	state->gpr[11] = vcpu->flags;
	vcpu->flags = (vcpu->flags & ~fmask & ~FLAGS_CLEARED) | 2;
	state->segments[ENGINE_SS] = (struct engine_segment){
		.selector = (star >> 32 & 0xfffc) + 8,
		.limit = 0xffffffff,
		.flags = KERNEL_DATA_FLAGS,
	};
	set_code_segment(state, star >> 32, KERNEL_CODE_FLAGS, 0);
	vcpu->now.ip = engine_msr(engine, MSR_LSTAR);
	cpu_commit(vcpu);
	truth_retire(vcpu, true);
	if (vcpu->trace.on)
		trace_retire(vcpu);
}
