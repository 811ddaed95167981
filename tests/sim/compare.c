/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "truth.h"

#define INSN_SIZE_MAX 15

struct comparison {
	const struct truth *truth;
	const struct decoded *decoded;
	unsigned int flags;
	size_t position; /* the first run of the truth that is not behind */
	bool known;      /* offset in the file + base = offset since the start */
	uint64_t base;
	size_t start;
	struct compared *ret;
};

/* ---- runs side by side --------------------------------------------------- */

/* A place in one side's runs. */
struct cursor {
	const struct run *next, *end;
	struct run rest; /* of the run before next: what is left of it */
	bool has_rest;
	bool cut;       /* the rest begins at its ip, or up to 14 bytes behind */
	bool uncounted; /* how many instructions it has is not known */
};

struct walk {
	struct cursor decoded, truth;
	bool nameless; /* COMPARE_NAMELESS */
	struct difference difference;
};

/* Have a rest. False: there is nothing any more. */
static bool fill(struct cursor *cursor)
{
	if (cursor->has_rest)
		return true;
	if (cursor->next == cursor->end)
		return false;
	cursor->rest = *cursor->next++;
	cursor->has_rest = true;
	cursor->cut = cursor->uncounted = false;
	return true;
}

/* Take off what the other side has, too. False: it has too much. */
static bool cut(struct cursor *longer, struct cursor *shorter)
{
	if (longer->uncounted || shorter->uncounted)
		longer->uncounted = true;
	else if (longer->rest.insns <= shorter->rest.insns)
		return false;
	else
		longer->rest.insns -= shorter->rest.insns;
	longer->rest.ip = shorter->rest.last + 1;
	longer->cut = true;
	shorter->has_rest = false;
	return true;
}

static bool begins_same(struct cursor *a, struct cursor *b)
{
	if (a->cut && b->rest.ip - a->rest.ip < INSN_SIZE_MAX)
		a->rest.ip = b->rest.ip;
	else if (b->cut && a->rest.ip - b->rest.ip < INSN_SIZE_MAX)
		b->rest.ip = a->rest.ip;
	a->cut = b->cut = false;
	return a->rest.ip == b->rest.ip;
}

static bool holds(const struct run *run, uint64_t address)
{
	return run->ip <= address && address <= run->last;
}

static bool is_other_space(const struct walk *walk)
{
	uint64_t decoded = walk->decoded.rest.cr3;

	return decoded != walk->truth.rest.cr3 &&
	       !(walk->nameless && decoded == XENPT_CR3_ANY);
}

/* Up to where the first of the two rests ends. The result says what differs. */
static const char *step(struct walk *walk, bool spaces)
{
	struct cursor *decoded = &walk->decoded, *truth = &walk->truth;
	struct run *a = &decoded->rest, *b = &truth->rest;

	if (!begins_same(decoded, truth))
		return "other code";
	if (spaces && is_other_space(walk))
		return "another address space";
	if (a->last == b->last) {
		if (a->insns != b->insns && !decoded->uncounted && !truth->uncounted)
			return "another number of instructions";
		decoded->has_rest = truth->has_rest = false;
		return NULL;
	}
	if (holds(b, a->last))
		return cut(truth, decoded) ? NULL : "too many instructions";
	if (holds(a, b->last))
		return cut(decoded, truth) ? NULL : "too few instructions";
	return "other code";
}

/*
 * Walk all of the decoded runs. Where @wrong is given, address spaces that differ do not
 * end it, but are told.
 */
static bool walk_all(struct walk *walk, void (*wrong)(void *, const struct run *),
		     void *arg)
{
	while (fill(&walk->decoded)) {
		const char *what = "more than ran";

		if (fill(&walk->truth)) {
			if (wrong && is_other_space(walk))
				wrong(arg, walk->decoded.next - 1);
			what = step(walk, !wrong);
		}
		if (!what)
			continue;
		walk->difference = (struct difference){
			.what = what,
			.decoded = walk->decoded.rest,
			.truth = walk->truth.rest,
		};
		return false;
	}
	return true;
}

/* The segment against the truth from run @at on; it may begin within that run. */
static struct walk begin_walk(const struct comparison *cmp, const struct segment *segment,
			      size_t at)
{
	const struct run *runs = cmp->decoded->runs.data + segment->first;
	struct walk walk = {
		.decoded = { .next = runs, .end = runs + segment->count },
		.truth = { .next = cmp->truth->runs.data + at,
			   .end = cmp->truth->runs.data + cmp->truth->runs.count },
		.nameless = cmp->flags & COMPARE_NAMELESS,
	};

	if (fill(&walk.truth) && walk.truth.rest.ip != runs->ip &&
	    holds(&walk.truth.rest, runs->ip)) {
		walk.truth.rest.ip = runs->ip;
		walk.truth.uncounted = true;
	}
	return walk;
}

/* ---- where a segment belongs --------------------------------------------- */

/* Of several places: the one that came furthest tells what differs. */
struct search {
	const struct segment *segment;
	struct walk best;
	size_t best_length, best_at;
	bool tried;
};

static size_t length_of(const struct comparison *cmp, const struct segment *segment,
			const struct walk *walk)
{
	return walk->decoded.next - (cmp->decoded->runs.data + segment->first);
}

/* Whether something may have happened at its end that the file does not tell. */
static bool is_cut(const struct comparison *cmp, const struct segment *segment)
{
	const struct decoded *decoded = cmp->decoded;

	return cmp->flags & (COMPARE_PREFIX | COMPARE_HOSTILE) || decoded->open ||
	       segment != &decoded->segments.data[decoded->segments.count - 1];
}

/* Whether all of the segment is what ran from run @at on. */
static bool try_run(const struct comparison *cmp, struct search *search, size_t at)
{
	struct walk walk = begin_walk(cmp, search->segment, at);
	bool found = walk_all(&walk, NULL, NULL);
	size_t length = length_of(cmp, search->segment, &walk);

	if (length > search->segment->certain && is_cut(cmp, search->segment))
		found = true;
	if (found || !search->tried || length > search->best_length) {
		search->best = walk;
		search->best_length = length;
		search->best_at = at;
		search->tried = true;
	}
	return found;
}

/*
 * A PSB is put out somewhere within a run, and where tracing is off, before the next one:
 * from the run before it to the second after it.
 */
static bool try_psb(struct comparison *cmp, struct search *search,
		    const struct truth_psb *psb)
{
	size_t at = psb->run ? psb->run - 1 : 0, end = psb->run + 3;

	/* Before a hole the decoder runs on to the next branch, which comes again then.
	 */
	if (at + 1 < cmp->position)
		at = cmp->position - 1;
	for (; at < end && at < cmp->truth->runs.count; at++) {
		if (!try_run(cmp, search, at))
			continue;
		cmp->known = true;
		cmp->base = psb->offset - search->segment->psb;
		cmp->start = psb->start;
		return true;
	}
	return false;
}

static const struct truth_psb *psb_at(const struct comparison *cmp, uint64_t offset)
{
	for (size_t i = 0; i < cmp->truth->psbs.count; i++) {
		const struct truth_psb *psb = &cmp->truth->psbs.data[i];

		if (psb->offset == offset && psb->start == cmp->start)
			return psb;
	}
	return NULL;
}

static bool search_psbs(struct comparison *cmp, struct search *search)
{
	for (size_t i = 0; i < cmp->truth->psbs.count; i++) {
		const struct truth_psb *psb = &cmp->truth->psbs.data[i];

		if (psb->run + 3 > cmp->position && try_psb(cmp, search, psb))
			return true;
	}
	return false;
}

static bool search_runs(struct comparison *cmp, struct search *search)
{
	for (size_t at = cmp->position; at < cmp->truth->runs.count; at++) {
		const struct run *first =
			&cmp->decoded->runs.data[search->segment->first];

		if (holds(&cmp->truth->runs.data[at], first->ip) &&
		    try_run(cmp, search, at))
			return true;
	}
	return false;
}

static bool fail(struct comparison *cmp, const char *what)
{
	cmp->ret->difference.what = what;
	return false;
}

/* Find the segment's place; the walk is that from it. */
static bool place(struct comparison *cmp, struct search *search)
{
	const struct segment *segment = search->segment;
	const struct truth_psb *psb;

	if (segment->restarts)
		cmp->known = false;
	cmp->base += segment->lost;
	if (segment->start == SEGMENT_FIRST &&
	    cmp->flags & (COMPARE_WHOLE | COMPARE_PREFIX | COMPARE_HOSTILE)) {
		cmp->known = true;
		cmp->start = 1;
		cmp->base = 0;
		return try_run(cmp, search, 0);
	}
	if (segment->start == SEGMENT_OVERFLOW || segment->psb == NO_PSB)
		return search_runs(cmp, search);
	if (!cmp->known)
		return search_psbs(cmp, search);
	psb = psb_at(cmp, segment->psb + cmp->base);
	if (!psb)
		return fail(cmp, "a PSB that was put out elsewhere");
	return try_psb(cmp, search, psb);
}

/* The truth's run that the walk has come to. */
static size_t position_of(const struct comparison *cmp, const struct walk *walk)
{
	return walk->truth.next - cmp->truth->runs.data - walk->truth.has_rest;
}

/* What only the code told may have run after the hole. */
static size_t certain_position(const struct comparison *cmp, const struct search *search)
{
	const struct segment *segment = search->segment;
	struct segment certain = *segment;
	struct walk walk;

	if (!is_cut(cmp, segment))
		return position_of(cmp, &search->best);
	certain.count = segment->certain;
	walk = begin_walk(cmp, &certain, search->best_at);
	walk_all(&walk, NULL, NULL);
	return position_of(cmp, &walk);
}

static bool compare_segment(struct comparison *cmp, const struct segment *segment)
{
	struct search search = { .segment = segment };
	struct difference *difference = &cmp->ret->difference;

	if (!place(cmp, &search)) {
		if (!difference->what && search.tried)
			*difference = search.best.difference;
		if (!difference->what)
			difference->what = "code that never ran";
		difference->decoded_run = segment->first + search.best_length;
		difference->truth_run =
			search.tried ? position_of(cmp, &search.best) : cmp->position;
		return false;
	}
	cmp->position = certain_position(cmp, &search);
	cmp->ret->runs += segment->count;
	for (size_t i = 0; i < segment->count; i++)
		cmp->ret->insns += cmp->decoded->runs.data[segment->first + i].insns;
	return true;
}

/* ---- all of it ----------------------------------------------------------- */

static bool check_end(struct comparison *cmp)
{
	const struct truth *truth = cmp->truth;

	if (cmp->position == truth->runs.count)
		return true;
	cmp->ret->difference.truth = truth->runs.data[cmp->position];
	cmp->ret->difference.truth_run = cmp->position;
	return fail(cmp, "the end is missing");
}

static bool check_holes(struct comparison *cmp)
{
	const struct decoded *decoded = cmp->decoded;

	if (decoded->errors && !(cmp->flags & COMPARE_HOSTILE))
		return fail(cmp, "errors");
	if (decoded->doubts.count && !(cmp->flags & COMPARE_HOSTILE))
		return fail(cmp, "doubts");
	if (cmp->flags & (COMPARE_WHOLE | COMPARE_PREFIX) && decoded->gaps)
		return fail(cmp, "gaps");
	if (cmp->flags & (COMPARE_WHOLE | COMPARE_PREFIX) && decoded->overflows)
		return fail(cmp, "overflows");
	return true;
}

static void compare_right(struct comparison *cmp)
{
	size_t count = cmp->decoded->segments.count;

	if (!check_holes(cmp))
		return;
	if (cmp->flags & COMPARE_HOSTILE && count > 1)
		count = 1;
	for (size_t i = 0; i < count; i++) {
		const struct segment *segment = &cmp->decoded->segments.data[i];

		if (cmp->flags & COMPARE_HOSTILE && segment->start != SEGMENT_FIRST)
			return;
		if (!compare_segment(cmp, segment))
			return;
	}
	if (!(cmp->flags & (COMPARE_PREFIX | COMPARE_HOSTILE)) && !cmp->decoded->open)
		check_end(cmp);
}

/* ---- what must be wrong -------------------------------------------------- */

static bool is_doubted(const struct comparison *cmp, const struct run *run)
{
	size_t index = run - cmp->decoded->runs.data;

	for (size_t i = 0; i < cmp->decoded->doubts.count; i++) {
		const struct doubt *doubt = &cmp->decoded->doubts.data[i];

		if (index < doubt->run && doubt->since <= run->offset)
			return true;
	}
	return false;
}

static void take_wrong(void *arg, const struct run *run)
{
	struct comparison *cmp = arg;

	if (is_doubted(cmp, run)) {
		cmp->ret->wrong++;
		return;
	}
	if (run->unseen) {
		cmp->ret->unseen++;
		return;
	}
	if (cmp->ret->difference.what)
		return;
	cmp->ret->difference.what = "wrong, and not in doubt";
	cmp->ret->difference.decoded = *run;
	cmp->ret->difference.decoded_run = run - cmp->decoded->runs.data;
}

static void ignore(void *arg, const struct run *run)
{
}

/* From where the code is another one, all is wrong up to the segment's end. */
static void compare_wrong_segment(struct comparison *cmp, const struct segment *segment)
{
	const struct truth_psb *psb = NULL;
	struct walk best = {};
	size_t length = 0, done;

	cmp->start += segment->restarts;
	if (segment->restarts)
		cmp->base = -segment->restart;
	cmp->base += segment->lost;
	if (segment->psb != NO_PSB)
		psb = psb_at(cmp, segment->psb + cmp->base);
	if (!psb) {
		fail(cmp, "a PSB that was put out elsewhere");
		return;
	}
	for (size_t at = psb->run ? psb->run - 1 : 0;
	     at < psb->run + 3 && at < cmp->truth->runs.count; at++) {
		struct walk walk = begin_walk(cmp, segment, at);

		walk_all(&walk, ignore, NULL);
		if (length_of(cmp, segment, &walk) > length) {
			length = length_of(cmp, segment, &walk);
			best = begin_walk(cmp, segment, at);
		}
	}
	done = 0;
	if (length && walk_all(&best, take_wrong, cmp))
		done = segment->count;
	else if (length)
		done = length - 1;
	cmp->ret->runs += done;
	for (size_t i = done; i < segment->count; i++)
		take_wrong(cmp, &cmp->decoded->runs.data[segment->first + i]);
}

static void compare_wrong(struct comparison *cmp)
{
	cmp->start = 1;
	for (size_t i = 0; i < cmp->decoded->segments.count; i++)
		compare_wrong_segment(cmp, &cmp->decoded->segments.data[i]);
	if (cmp->ret->difference.what)
		return;
	if (!cmp->ret->wrong)
		fail(cmp, "nothing is wrong");
	else if (!cmp->decoded->doubts.count)
		fail(cmp, "no doubts");
}

void compare(const struct truth *truth, const struct decoded *decoded, unsigned int flags,
	     struct compared *ret)
{
	struct comparison cmp = {
		.truth = truth,
		.decoded = decoded,
		.flags = flags,
		.ret = ret,
	};

	*ret = (struct compared){};
	if (flags & COMPARE_DOUBTS)
		compare_wrong(&cmp);
	else
		compare_right(&cmp);
}
