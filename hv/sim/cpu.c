/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Runs the vCPUs, one after the other. The engine's code hook comes before each
 * instruction: only then, or when a fault arrives, is it known whether the one before
 * has retired, and where it went.
 */
#include <string.h>

#include "hv/sim/machine.h"
#include "libxenpt/cleanup.h"

/* A slice of a vCPU, where there are others. */
#define SLICE_MIN 400
#define SLICE_SPREAD 4000

#define FLAG_TRAP (1ull << 8)
#define VECTOR_UD 6
#define VECTOR_GP 13
#define PF_PRESENT 1u
#define PF_WRITE 2u
#define PF_USER 4u
#define PF_FETCH 16u

/* ---- State ------------------------------------------------------------- */

const struct xpt_cpu_state *cpu_now(struct vcpu *vcpu)
{
	vcpu->now.tsc = vcpu->sim->now * SIM_TSC_PER_STEP;
	return &vcpu->now;
}

void cpu_forget(struct vcpu *vcpu)
{
	vcpu->tag++;
}

void cpu_refresh(struct vcpu *vcpu)
{
	const struct engine_state *state = vcpu->state;
	const uint32_t cs = state->segments[ENGINE_CS].flags;

	if (vcpu->now.cr3 != state->cr[3])
		cpu_forget(vcpu);
	vcpu->now.cr3 = state->cr[3];
	vcpu->now.cpl = state->hflags & ENGINE_CPL_MASK;
	vcpu->now.csl = cs & ENGINE_DESC_LONG;
	vcpu->now.csd = cs & ENGINE_DESC_DB;
}

void cpu_sync(struct vcpu *vcpu)
{
	struct engine *engine = vcpu->sim->engine;

	vcpu->flags = engine_flags(engine);
	engine_save(engine, vcpu->context);
	vcpu->cr2 = vcpu->state->cr[2];
}

void cpu_commit(struct vcpu *vcpu)
{
	struct engine *engine = vcpu->sim->engine;
	bool other_cr3 = vcpu->state->cr[3] != vcpu->now.cr3;

	vcpu->state->cr[2] = vcpu->cr2;
	if (other_cr3)
		engine_load(engine, vcpu->context);
	else
		engine_update(engine, vcpu->context);
	engine_set_flags(engine, vcpu->flags);
	cpu_refresh(vcpu);
}

void cpu_skip(struct vcpu *vcpu)
{
	vcpu->now.ip = vcpu->insn.ip + vcpu->insn.size;
	if (!vcpu->now.csl)
		vcpu->now.ip &= 0xffffffff;
	vcpu->pending = false;
	/* As behind any instruction: the shadow of STI is over. */
	vcpu->state->hflags &= ~ENGINE_SHADOW;
}

/* ---- Code -------------------------------------------------------------- */

static struct code_page *find_page(struct vcpu *vcpu, uint64_t va)
{
	struct code_page *page = &vcpu->pages[va / SIM_PAGE % CODE_PAGES];
	struct sim *sim = vcpu->sim;
	uint64_t gpa;

	va &= ~(SIM_PAGE - 1);
	if (page->va == va && page->tag == vcpu->tag)
		return page;
	if (!engine_walk(&sim->memory, vcpu->now.cr3, va, NULL, NULL, &gpa, NULL))
		return NULL;
	*page = (struct code_page){
		.va = va,
		.tag = vcpu->tag,
		.gfn = gpa / SIM_PAGE,
		.host = engine_at(&sim->memory, gpa, SIM_PAGE),
	};
	if (!page->host)
		return NULL;
	sim->page_flags[page->gfn] |= SIM_PAGE_RAN;
	return page;
}

static void fetch_from(struct vcpu *vcpu, uint64_t va, uint8_t *buf, size_t size)
{
	struct code_page *page = find_page(vcpu, va);

	if (!page) {
		memset(buf, 0, size);
		return;
	}
	memcpy(buf, page->host + va % SIM_PAGE, size);
	if (vcpu->sim->watching && vcpu->trace.on)
		watch_code(vcpu, page, va % SIM_PAGE, size);
}

/* The engine says garbage of what it cannot decode. */
static void fetch(struct vcpu *vcpu, uint64_t ip, uint32_t size)
{
	struct xpt_insn *insn = &vcpu->insn;
	size_t first = SIM_PAGE - ip % SIM_PAGE;

	vcpu->insn_cr3 = vcpu->now.cr3;
	insn->ip = ip;
	insn->size = size && size <= XPT_INSN_MAX ? size : XPT_INSN_MAX;
	if (first > insn->size)
		first = insn->size;
	fetch_from(vcpu, ip, insn->bytes, first);
	if (first < insn->size)
		fetch_from(vcpu, ip + first, insn->bytes + first, insn->size - first);
}

/* The pending instruction has retired, and @next is the next. */
static void retire(struct vcpu *vcpu, uint64_t next)
{
	const uint64_t cr3 = vcpu->now.cr3;
	bool ends = vcpu->class != XPT_INSN_OTHER;

	vcpu->pending = false;
	vcpu->now.ip = next;
	if (vcpu->class == XPT_INSN_FAR || vcpu->class == XPT_INSN_MOV_CR3) {
		engine_save(vcpu->sim->engine, vcpu->context);
		cpu_refresh(vcpu);
	}
	/* In this order: a PSB comes behind the instruction. */
	truth_retire(vcpu, ends || vcpu->now.cr3 != cr3);
	if (vcpu->trace.on)
		trace_retire(vcpu);
}

/* ---- The engine's hooks ------------------------------------------------- */

static void stop(struct sim *sim, enum sim_stop why)
{
	sim->stop = why;
	engine_stop(sim->engine);
}

static bool is_intercepted(struct sim *sim)
{
	switch (sim->exit) {
	case SIM_EXIT_MOV_TO_CR3:
		return sim->scenario.cr3_exits;
	case SIM_EXIT_RDMSR:
	case SIM_EXIT_WRMSR:
		return vmm_owns_msr(engine_reg(sim->engine, UC_X86_REG_RCX));
	default:
		return true;
	}
}

static void on_code(uc_engine *uc, uint64_t ip, uint32_t size, void *arg)
{
	struct sim *sim = arg;
	struct vcpu *vcpu = sim->current;
	bool stale, recheck = false;

	if (sim->stop != SIM_STOP_NONE)
		return;
	if (vcpu->pending) {
		if (vcpu->rep && ip == vcpu->insn.ip) {
			vcpu->pending = false;
		} else {
			recheck = vcpu->wants_interrupt &&
				  insn_sets_if(&vcpu->insn, vcpu->class);
			retire(vcpu, ip);
		}
	}
	vcpu->now.ip = ip;
	if (recheck || sim->now >= sim->stop_at || sim->changer || sim->forget_code ||
	    (vcpu->trace.on && trace_is_full(vcpu))) {
		stop(sim, SIM_STOP_LIMIT);
		return;
	}
	fetch(vcpu, ip, size);
	if (!vcpu->now.cpl && insn_may_be_forced(&vcpu->insn))
		fetch(vcpu, ip, XPT_INSN_MAX);
	if (sim->changer) {
		stop(sim, SIM_STOP_LIMIT);
		return;
	}
	sim->now++;
	sim->exit = insn_exit(&vcpu->insn, &vcpu->now, &vcpu->insn.size, &stale);
	if (sim->exit != SIM_EXIT_NONE && !is_intercepted(sim))
		sim->exit = SIM_EXIT_NONE;
	if (stale)
		cpu_forget(vcpu);
	vcpu->class = xpt_insn_class(vcpu->insn.bytes, vcpu->insn.size, vcpu->now.csl);
	vcpu->rep = insn_is_rep(&vcpu->insn, vcpu->now.csl);
	vcpu->store_size = 0;
	if (sim->exit != SIM_EXIT_NONE)
		stop(sim, SIM_STOP_EXIT);
	else
		vcpu->pending = true;
}

static void on_interrupt(uc_engine *uc, uint32_t number, void *arg)
{
	struct sim *sim = arg;

	sim->interrupt = number;
	stop(sim, SIM_STOP_INTERRUPT);
}

static void on_write(uc_engine *uc, uc_mem_type type, uint64_t va, int size,
		     int64_t value, void *arg)
{
	struct sim *sim = arg;
	struct vcpu *vcpu = sim->current;

	vcpu->store_va = va;
	vcpu->store_size = size;
	if (sim->watching)
		watch_write(vcpu, va, size, value);
}

/* ---- Events of the CPU -------------------------------------------------- */

static bool has_code(uint32_t vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

/* The engine does not tell: from the tables, and from what the instruction did. */
static uint32_t page_fault_code(struct vcpu *vcpu, uint64_t ip, bool fetched)
{
	uint32_t code = vcpu->now.cpl == 3 ? PF_USER : 0;
	uint64_t gpa;

	if (engine_walk(&vcpu->sim->memory, vcpu->now.cr3, vcpu->cr2, NULL, NULL, &gpa,
			NULL))
		code |= PF_PRESENT;
	if (!fetched)
		code |= PF_FETCH;
	else if (vcpu->cr2 - vcpu->store_va < vcpu->store_size ||
		 (vcpu->store_size && vcpu->cr2 > vcpu->store_va &&
		  vcpu->cr2 % SIM_PAGE == 0 && vcpu->cr2 - vcpu->store_va < SIM_PAGE))
		code |= PF_WRITE;
	return code;
}

/* A fault, a trap, or INT n. The engine's RIP is what would be pushed. */
static void handle_interrupt(struct vcpu *vcpu, uint32_t vector, uint64_t rip)
{
	struct guest_event event = { .vector = vector, .from = rip, .return_ip = rip };
	bool fetched = vcpu->pending && rip == vcpu->insn.ip;
	uint64_t next = vcpu->insn.ip + vcpu->insn.size;

	vcpu->sim->now++;
	if (vcpu->pending && vcpu->class == XPT_INSN_INT && rip == next) {
		event.kind = EVENT_SOFTWARE;
		event.from = vcpu->insn.ip;
	} else if (vcpu->pending && !fetched) {
		retire(vcpu, rip);
	}
	vcpu->pending = false;
	vcpu->now.ip = event.from;
	cpu_sync(vcpu);
	if (event.kind != EVENT_SOFTWARE) {
		event.has_code = has_code(vector);
		event.cr2 = vcpu->cr2;
		if (vector == SIM_VECTOR_PF)
			event.code = page_fault_code(vcpu, rip, fetched);
	}
	deliver_event(vcpu, &event);
}

/* ---- Who runs ---------------------------------------------------------- */

static bool can_wake(struct vcpu *vcpu)
{
	timer_update(vcpu);
	return vcpu->up &&
	       (!vcpu->halted || (vcpu->timer.requested && !vcpu->timer.in_service));
}

/* All wait: go to the time when the first timer ends. False: there is none. */
static bool skip_idle(struct sim *sim)
{
	uint64_t first = UINT64_MAX;

	for (uint32_t i = 0; i < sim->vcpu_count; i++) {
		const struct vcpu *vcpu = &sim->vcpus[i];

		if (vcpu->up && vcpu->timer.deadline && !vcpu->timer.in_service &&
		    vcpu->timer.deadline < first)
			first = vcpu->timer.deadline;
	}
	if (first == UINT64_MAX)
		return false;
	if (sim->now < first)
		sim->now = first;
	return true;
}

/* Whose turn it is; NULL: all wait for nothing. */
static struct vcpu *schedule(struct sim *sim)
{
	struct vcpu *vcpu = &sim->vcpus[sim->turn];

	if (sim->now < sim->slice_end && can_wake(vcpu))
		return vcpu;
	for (unsigned int round = 0; round < 2; round++) {
		for (uint32_t i = 1; i <= sim->vcpu_count; i++) {
			vcpu = &sim->vcpus[(sim->turn + i) % sim->vcpu_count];
			if (!can_wake(vcpu))
				continue;
			sim->turn = vcpu->id;
			sim->slice_end =
				sim->now + SLICE_MIN + sim_random(sim, SLICE_SPREAD);
			return vcpu;
		}
		if (!skip_idle(sim))
			break;
	}
	return NULL;
}

static void switch_to(struct vcpu *vcpu)
{
	struct sim *sim = vcpu->sim;

	if (sim->current == vcpu)
		return;
	if (sim->current)
		cpu_sync(sim->current);
	sim->current = vcpu;
	engine_load(sim->engine, vcpu->context);
	engine_set_flags(sim->engine, vcpu->flags);
}

/* ---- Running ----------------------------------------------------------- */

static struct xenpt_error *handle_error(struct vcpu *vcpu, uc_err err)
{
	struct sim *sim = vcpu->sim;
	const uint64_t rip = engine_reg(sim->engine, UC_X86_REG_RIP);

	switch (err) {
	case UC_ERR_INSN_INVALID:
		handle_interrupt(vcpu, VECTOR_UD, rip);
		return NULL;
	case UC_ERR_OK:
		/* Nothing could be executed there. */
		handle_interrupt(vcpu, VECTOR_GP, rip);
		return NULL;
	default:
		sim_printf(sim, "(sim) vCPU %u: %s at %#jx\n", vcpu->id, uc_strerror(err),
			   (uintmax_t)rip);
		sim_set_state(sim, HV_CRASHED);
		return NULL;
	}
}

static struct xenpt_error *run_engine(struct vcpu *vcpu)
{
	struct sim *sim = vcpu->sim;
	uc_err err;

	if (sim->forget_code)
		engine_forget_code(sim->engine);
	sim->forget_code = false;
	sim->stop = SIM_STOP_NONE;
	vcpu->pending = false;
	err = engine_run(sim->engine, vcpu->now.ip);
	switch (sim->stop) {
	case SIM_STOP_LIMIT:
		return NULL;
	case SIM_STOP_EXIT:
		cpu_sync(vcpu);
		if (sim->exit == SIM_CPU_SYSCALL)
			deliver_syscall(vcpu);
		else
			vmm_exit(vcpu);
		return NULL;
	case SIM_STOP_INTERRUPT:
		handle_interrupt(vcpu, sim->interrupt,
				 engine_reg(sim->engine, UC_X86_REG_RIP));
		return NULL;
	default:
		return handle_error(vcpu, err);
	}
}

static bool is_held(const struct sim *sim)
{
	return sim->state != HV_RUNNING || sim->paused || sim->code_held;
}

/* One stretch of a vCPU, up to something that the hypervisor has to see to. */
static struct xenpt_error *run_vcpu(struct vcpu *vcpu, uint64_t end)
{
	struct sim *sim = vcpu->sim;
	bool blocked;

	switch_to(vcpu);
	cpu_sync(vcpu);
	blocked = vmm_interrupt(vcpu);
	if (sim->state != HV_RUNNING || vcpu->halted)
		return NULL;
	trace_entry(vcpu);
	sim->stop_at = end < sim->slice_end ? end : sim->slice_end;
	if (vcpu->timer.deadline && vcpu->timer.deadline < sim->stop_at)
		sim->stop_at = vcpu->timer.deadline;
	/* In the shadow of STI: look again behind the next instruction. */
	if (blocked && vcpu->state->hflags & ENGINE_SHADOW)
		sim->stop_at = sim->now + 1;
	vcpu->wants_interrupt = blocked;
	return run_engine(vcpu);
}

struct xenpt_error *sim_run(struct sim *sim, uint64_t insns, bool *ret)
{
	uint64_t end = sim->now + insns;
	struct vcpu *vcpu;

	*ret = false;
	while (sim->now < end) {
		if (is_held(sim))
			return NULL;
		vcpu = schedule(sim);
		if (!vcpu)
			return NULL;
		if (vcpu->trace.on && trace_is_full(vcpu)) {
			trace_tell_full(vcpu);
			return NULL;
		}
		XENPT_TRY(run_vcpu(vcpu, end));
		if (sim->changer)
			watch_hold(sim);
	}
	*ret = !is_held(sim);
	return NULL;
}

/* ---- Life -------------------------------------------------------------- */

static struct xenpt_error *create_vcpu(struct sim *sim, uint32_t id)
{
	struct vcpu *vcpu = &sim->vcpus[id];

	vcpu->sim = sim;
	vcpu->id = id;
	vcpu->tag = 1;
	XENPT_TRY(engine_context_create(sim->engine, &vcpu->context));
	vcpu->state = engine_context_state(vcpu->context);
	return NULL;
}

struct xenpt_error *cpu_create(struct sim *sim)
{
	const struct engine_hooks hooks = {
		.code = on_code,
		.interrupt = on_interrupt,
		.write = on_write,
		.arg = sim,
	};

	XENPT_TRY(engine_create(&sim->memory, &hooks, &sim->engine));
	for (uint32_t i = 0; i < sim->vcpu_count; i++)
		XENPT_TRY(create_vcpu(sim, i));
	return NULL;
}

void cpu_destroy(struct sim *sim)
{
	for (uint32_t i = 0; i < sim->vcpu_count; i++) {
		if (sim->vcpus[i].context)
			uc_context_free(sim->vcpus[i].context);
	}
	engine_destroy(sim->engine);
}

void cpu_start(struct vcpu *vcpu, const struct vcpu_context *start)
{
	/* SDM volume 3, "Initializing IA-32e Mode": flat segments. */
	static const struct engine_segment code = { 8, 0, 0xffffffff, 0x00af9b00 };
	static const struct engine_segment data = { 0x10, 0, 0xffffffff, 0x00cf9300 };
	struct engine_state *state = vcpu->state;

	state->gpr[0] = start->rax;
	state->gpr[1] = start->rcx;
	state->gpr[2] = start->rdx;
	state->gpr[3] = start->rbx;
	state->gpr[4] = start->rsp;
	state->gpr[5] = start->rbp;
	state->gpr[6] = start->rsi;
	state->gpr[7] = start->rdi;
	for (size_t i = ENGINE_ES; i <= ENGINE_GS; i++)
		state->segments[i] = i == ENGINE_CS ? code : data;
	state->cr[0] = start->cr0;
	state->cr[3] = start->cr3;
	state->cr[4] = start->cr4;
	engine_context_set_efer(vcpu->sim->engine, vcpu->context, start->efer);
	vcpu->flags = start->rflags | 2;
	vcpu->now.ip = start->rip;
	cpu_refresh(vcpu);
}
