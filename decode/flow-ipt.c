/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The flow engine on libipt's block decoder. */
#include <string.h>

#include "cpu.h"
#include "flow-ipt.h"
#include "insn.h"
#include "libxenpt/cleanup.h"
#include "packet.h"

/*
 * A program that branches without packets (direct jumps) and never comes to a
 * packet loops for ever; so many instructions at one place in the trace are no
 * program.
 */
#define ENDLESS_WORK (1 << 20)

/* What a block counts in instructions. */
#define BLOCK_WORK 16

static void flow_destroy(struct flow *flow)
{
	if (!flow)
		return;
	pt_blk_free_decoder(flow->decoder);
	free(flow);
}

XENPT_DEFINE_CLEANUP(struct flow, flow, flow_destroy)

/* With TSC packets, there is one in every PSB+ (SDM, "PSB+"); else there is no time. */
static bool has_time(const struct flow_span *span)
{
	struct xenpt_packet packets[32];
	struct packet_state state;
	size_t count, used;

	packet_reset(&state, 0);
	count = packet_decode(&state, span->data, span->size, false, packets, 32, &used);
	for (size_t i = 0; i < count && packets[i].type != XENPT_PACKET_PSBEND; i++) {
		if (packets[i].type == XENPT_PACKET_TSC)
			return true;
	}
	return false;
}

static struct xenpt_error *flow_create(const struct xenpt_cpu *cpu,
				       struct flow_code *code,
				       const struct flow_span *span,
				       struct xenpt_stats *counts, struct flow **ret)
{
	_cleanup_(flow_cleanup) struct flow *flow = calloc(1, sizeof(*flow));
	struct pt_config config;

	if (!flow)
		return xenpt_error_no_memory();
	flow->code = code;
	flow->span = *span;
	flow->counts = counts;
	flow->first = true;
	flow->now.cr3 = XENPT_CR3_ANY;
	trust_init(&flow->trust, &flow->span);
	code_set_epoch(code, span->epoch);

	cpu_config(cpu, &config);
	config.begin = (uint8_t *)span->data;
	config.end = config.begin + span->size + span->ahead;
	code_config(&config);
	config.flags.variant.block.enable_tick_events = has_time(span);
	flow->decoder = pt_blk_alloc_decoder(&config);
	if (!flow->decoder)
		return xenpt_error_no_memory();
	*ret = no_cleanup_ptr(flow);
	return NULL;
}

static unsigned int trouble_of(int status)
{
	switch (pt_errcode(status)) {
	case pte_bad_opc:
	case pte_bad_packet:
		return XENPT_TROUBLE_BAD_PACKET;
	case pte_bad_context:
		return XENPT_TROUBLE_BAD_CONTEXT;
	case pte_nomap:
		return XENPT_TROUBLE_NO_CODE;
	case pte_bad_insn:
		return XENPT_TROUBLE_BAD_CODE;
	case pte_bad_query:
	case pte_noip:
	case pte_ip_suppressed:
	case pte_retstack_empty:
	case pte_bad_retcomp:
	case pte_bad_status_update:
	case pte_no_enable:
	case pte_event_ignored:
		return XENPT_TROUBLE_BAD_FLOW;
	default:
		return XENPT_TROUBLE_OTHER;
	}
}

/* Whether the packets were read well, and are not what the code should make. */
static bool is_misfit(unsigned int trouble)
{
	return trouble == XENPT_TROUBLE_NO_CODE || trouble == XENPT_TROUBLE_BAD_CODE ||
	       trouble == XENPT_TROUBLE_BAD_FLOW || trouble == XENPT_TROUBLE_ENDLESS;
}

/*
 * Note what went wrong, and at which offset: the event goes out when the next PSB
 * is found, for it says how much was skipped.
 */
static void lose_sync(struct flow *flow, unsigned int trouble, uint64_t offset,
		      const uint64_t *ip)
{
	flow->synced = false;
	flow->first = false;
	if (flow->resume < offset)
		flow->resume = offset;
	flow->troubled = true;
	flow->trouble = (struct xenpt_event){
		.type = XENPT_EVENT_ERROR,
		.time = flow->now.time,
		.cr3 = flow->now.cr3,
		.mode = flow->now.mode,
		.reason = trouble,
		.offset = offset,
		.ip = ip ? *ip : 0,
		.has_ip = ip != NULL,
	};
}

/* Decoding goes on at @offset of the span: say what was skipped. */
static void end_trouble(struct flow *flow, struct out *out, uint64_t offset)
{
	struct xenpt_event *event;

	if (!flow->troubled)
		return;
	flow->troubled = false;
	event = &out->events[out->count++];
	*event = flow->trouble;
	event->value = offset > event->offset ? offset - event->offset : 0;
	if (is_misfit(event->reason))
		trust_misfit(&flow->trust, event->offset);
	else
		trust_skip(&flow->trust, event->offset, offset);
	event->offset += flow->span.offset;
	out->block = NULL;
}

/* Go on at the next PSB. False: there is none in the span. */
static bool sync_forward(struct flow *flow, struct out *out)
{
	const struct flow_span *span = &flow->span;
	const uint8_t *psb = NULL;

	if (flow->resume < span->size)
		psb = psb_find(span->data + flow->resume, span->size - flow->resume);
	if (!psb) {
		end_trouble(flow, out, span->size);
		return false;
	}
	flow->sync = psb - span->data;
	flow->resume = flow->sync + 1;
	flow->progress = flow->sync;
	flow->work = 0;
	end_trouble(flow, out, flow->sync);
	/* libipt forgets it, too: what was skipped may have changed it. */
	flow->now = (struct flow_state){
		.time = flow->now.time,
		.cr3 = XENPT_CR3_ANY,
		.cbr = flow->now.cbr,
	};
	set_mode(flow, 0);

	flow->status = pt_blk_sync_set(flow->decoder, flow->sync);
	if (flow->status == -pte_eos)
		return false; /* the trace ends within this PSB+ */
	flow->synced = flow->status >= 0;
	if (!flow->synced)
		lose_sync(flow, trouble_of(flow->status), flow->sync, NULL);
	return true;
}

/* ---- blocks ---- */

/*
 * What the last instruction is: libipt calls all call-like far transfers one name,
 * and leaves the class out where its cache does not hold it.
 */
static __attribute__((noinline)) uint8_t last_branch(const struct flow *flow,
						     const struct pt_block *block)
{
	uint8_t insn[INSN_SIZE_MAX];
	size_t size;

	size = code_read(flow->code, flow->now.cr3, block->end_ip, insn, sizeof(insn));
	return insn_branch(insn, size, flow->now.mode);
}

#define UNTOLD 0xff /* by the class */

static inline uint8_t branch_of(const struct flow *flow, const struct pt_block *block)
{
	static const uint8_t branches[] = {
		[ptic_error] = UNTOLD,
		[ptic_other] = XENPT_BRANCH_NONE,
		[ptic_call] = XENPT_BRANCH_CALL,
		[ptic_return] = XENPT_BRANCH_RETURN,
		[ptic_jump] = XENPT_BRANCH_JUMP,
		[ptic_cond_jump] = XENPT_BRANCH_COND,
		[ptic_far_call] = UNTOLD,
		[ptic_far_return] = XENPT_BRANCH_FAR_RETURN,
		[ptic_far_jump] = XENPT_BRANCH_FAR_JUMP,
		[ptic_ptwrite] = XENPT_BRANCH_NONE,
	};
	unsigned int class = block->iclass;

	if (class >= sizeof(branches) || branches[class] == UNTOLD)
		return last_branch(flow, block);
	return branches[class];
}

/*
 * libipt may end a block where its cache happens to end one. Such blocks are put
 * together: the events shall not depend on what was decoded before.
 */
static bool continues(const struct out *out, const struct pt_block *block)
{
	const struct xenpt_event *last = out->block;

	return last->branch == XENPT_BRANCH_NONE &&
	       last == &out->events[out->count - 1] && block->ip > last->last &&
	       block->ip - last->last <= INSN_SIZE_MAX &&
	       last->transaction == block->speculative;
}

static inline struct xenpt_event block_event(const struct flow_state *now,
					     const struct pt_block *block,
					     unsigned int branch)
{
	return (struct xenpt_event){
		.type = XENPT_EVENT_BLOCK,
		.ip = block->ip,
		.has_ip = 1,
		.last = block->end_ip,
		.insns = block->ninsn,
		.branch = branch,
		.time = now->time,
		.cr3 = now->cr3,
		.mode = now->mode,
		.transaction = block->speculative,
	};
}

/* Whether it is time to look for progress. */
static bool is_long(const struct flow *flow)
{
	return flow->work >= ENDLESS_WORK;
}

/* A program that never comes to a packet shall not hold up its reader. */
static bool is_endless(struct flow *flow, uint64_t offset)
{
	bool endless = offset == flow->progress;

	flow->work = 0;
	flow->progress = offset;
	return endless;
}

static bool may_be_foreign(const struct flow *flow)
{
	return flow->now.cr3 == XENPT_CR3_ANY && code_has_own(flow->code);
}

/* Whether libipt may have read another address space's code, for it knows of none. */
static bool is_foreign(const struct flow *flow, const struct pt_block *block)
{
	if (!may_be_foreign(flow))
		return false;
	return code_is_own(flow->code, block->ip) ||
	       (block->truncated &&
		code_is_own(flow->code, block->end_ip + block->size - 1));
}

/*
 * @before: if it is time to look for progress, the offset without the block. Only
 * whole blocks are counted, and one that is too long is left out as a whole:
 * where libipt cuts them is no matter.
 */
static void add_block(struct flow *flow, struct out *out, const struct pt_block *block,
		      const uint64_t *before)
{
	struct xenpt_event *event = out->block;

	if (!event || !continues(out, block)) {
		if (event)
			flow->work += event->insns + BLOCK_WORK;
		went_to(out, block->ip);
		if (before && is_endless(flow, *before)) {
			lose_sync(flow, XENPT_TROUBLE_ENDLESS, *before, &block->ip);
			return;
		}
		event = &out->events[out->count++];
		*event = block_event(&flow->now, block, branch_of(flow, block));
		out->block = event;
	} else {
		event->last = block->end_ip;
		event->insns += block->ninsn;
		event->branch = branch_of(flow, block);
	}
	if (event->insns > ENDLESS_WORK) {
		lose_sync(flow, XENPT_TROUBLE_ENDLESS, offset_now(flow), &event->ip);
		out->count--;
		out->block = NULL;
	}
}

/*
 * Nearly all blocks begin where the last one branched to: they are taken here, with
 * as little as can be done for each. True: @ret is one for which more must be done.
 */
static bool take_usual_blocks(struct flow *flow, struct out *out, size_t max,
			      struct pt_block *ret)
{
	const struct flow_state now = flow->now;
	struct xenpt_event *last = out->block;
	struct xenpt_event *next = out->events + out->count;
	const struct xenpt_event *end = out->events + max - 1;
	uint64_t work = flow->work;
	bool more = false;
	int status;

	do {
		ret->ninsn = 0;
		status = pt_blk_next(flow->decoder, ret, sizeof(*ret));
		if (!ret->ninsn || last->branch == XENPT_BRANCH_NONE) {
			more = true;
			break;
		}
		last->to = ret->ip;
		last->has_to = 1;
		work += last->insns + BLOCK_WORK;
		last = next++;
		*last = block_event(&now, ret, branch_of(flow, ret));
	} while (!status && next < end && work < ENDLESS_WORK);

	out->block = last;
	out->count = next - out->events;
	flow->work = work;
	flow->status = status;
	return more;
}

/*
 * The same where blocks are but counted: only the last one's event is made, for it
 * may yet grow.
 */
static bool count_usual_blocks(struct flow *flow, struct out *out, struct pt_block *ret)
{
	uint64_t branches[XENPT_BRANCH_FAR_JUMP + 1] = {}, insns = 0, blocks = 0;
	const uint64_t budget = ENDLESS_WORK - flow->work;
	struct xenpt_event *last = out->block;
	struct xenpt_stats *counts = flow->counts;
	uint64_t last_insns = last->insns;
	unsigned int branch = last->branch;
	struct pt_block taken[2], *block = &taken[0], *before = &taken[1];
	bool more = false;
	int status;

	do {
		struct pt_block *tmp;

		block->ninsn = 0;
		status = pt_blk_next(flow->decoder, block, sizeof(*block));
		if (!block->ninsn || branch == XENPT_BRANCH_NONE) {
			more = true;
			*ret = *block;
			break;
		}
		insns += last_insns;
		branches[branch]++;
		blocks++;
		last_insns = block->ninsn;
		branch = branch_of(flow, block);
		tmp = before;
		before = block;
		block = tmp;
	} while (!status && insns + blocks * BLOCK_WORK < budget);

	flow->status = status;
	flow->work += insns + blocks * BLOCK_WORK;
	if (blocks) {
		counts->insns += insns;
		counts->blocks += blocks;
		counts->events[XENPT_EVENT_BLOCK] += blocks;
		for (size_t i = 0; i <= XENPT_BRANCH_FAR_JUMP; i++)
			counts->branches[i] += branches[i];
		xenpt_stats_add_time(counts, flow->now.time);
		*last = block_event(&flow->now, before, branch);
	}
	return more;
}

/* The last event is a block, and what libipt reads is right. */
static bool is_usual(const struct flow *flow, const struct out *out)
{
	return out->block && out->block == &out->events[out->count - 1] &&
	       flow->now.mode && !may_be_foreign(flow);
}

static void take_blocks(struct flow *flow, struct out *out, size_t max)
{
	bool check = is_long(flow);
	uint64_t before = check ? offset_now(flow) : 0;
	struct pt_block block;

	flow->first = false;
	if (!check && is_usual(flow, out)) {
		if (!(flow->counts ? count_usual_blocks(flow, out, &block)
				   : take_usual_blocks(flow, out, max, &block)))
			return;
	} else {
		block.ninsn = 0;
		flow->status = pt_blk_next(flow->decoder, &block, sizeof(block));
	}
	if (!block.ninsn) {
		if (flow->status >= 0 || flow->status == -pte_eos)
			return;
		if (flow->status == -pte_nomap || flow->status == -pte_bad_insn)
			went_to(out, block.ip);
		lose_sync(flow, trouble_of(flow->status), offset_now(flow), &block.ip);
	} else if (is_foreign(flow, &block)) {
		went_to(out, block.ip);
		lose_sync(flow, XENPT_TROUBLE_NO_CODE, offset_now(flow), &block.ip);
	} else {
		add_block(flow, out, &block, check ? &before : NULL);
	}
}

/* One step, with room for one event and a trouble. False: the span is done. */
static bool step(struct flow *flow, struct out *out, size_t max)
{
	if (!flow->synced)
		return sync_forward(flow, out);
	if (!(flow->status & pts_event_pending))
		take_blocks(flow, out, max);
	else if (!event_ipt_take(flow, out))
		return false;
	if (flow->status >= 0 || !flow->synced)
		return true;
	if (flow->status == -pte_eos)
		return false;
	lose_sync(flow, trouble_of(flow->status), offset_now(flow), NULL);
	return true;
}

/* Take the blocks out that were not counted where they were taken. */
static void count_blocks(struct flow *flow, struct out *out)
{
	size_t kept = 0;

	for (size_t i = 0; i < out->count; i++) {
		if (out->events[i].type == XENPT_EVENT_BLOCK)
			xenpt_stats_add(flow->counts, &out->events[i], 1);
		else
			out->events[kept++] = out->events[i];
	}
	out->count = kept;
}

/*
 * A block is complete once it is known where it went on; so the last one waits
 * for the next call.
 */
static bool flow_next(struct flow *flow, struct xenpt_event *events, size_t max,
		      size_t *count_ret)
{
	struct out out = { .events = events };
	struct xenpt_event doubt;
	bool more = true;

	/* Another flow may have used the code in between. */
	code_set_epoch(flow->code, flow->span.epoch);
	if (flow->pendings) {
		memcpy(events, flow->pending, flow->pendings * sizeof(*events));
		out.count = flow->pendings;
		out.block = events;
		flow->pendings = 0;
	}
	if (!flow->started && trust_first(&flow->trust, &doubt))
		emit_doubt(flow, &out, &doubt);
	flow->started = true;
	while (!flow->ended && out.count + 2 + DOUBTS_MAX <= max)
		flow->ended = !step(flow, &out, max);
	while (flow->ended && more && out.count < max) {
		more = trust_end(&flow->trust, &doubt);
		if (more)
			emit_doubt(flow, &out, &doubt);
	}

	flow->now.trust = flow->trust.now;
	if (more && out.block) {
		size_t held = &events[out.count] - out.block;

		if (held <= PENDING_MAX) {
			memcpy(flow->pending, out.block, held * sizeof(*events));
			flow->pendings = held;
			out.count -= held;
		}
	}
	if (flow->counts)
		count_blocks(flow, &out);
	*count_ret = out.count;
	return more;
}

static const struct flow_state *flow_state(const struct flow *flow)
{
	return &flow->now;
}

const struct flow_ops flow_ipt = {
	.name = "libipt",
	.code_create = code_create,
	.code_destroy = code_destroy,
	.create = flow_create,
	.destroy = flow_destroy,
	.next = flow_next,
	.state = flow_state,
};
