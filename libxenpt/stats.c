/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xenpt.h"

static void add_rare(struct xenpt_stats *stats, const struct xenpt_event *event)
{
	if (event->type >= XENPT_EVENT_TYPES)
		return;
	stats->events[event->type]++;
	if (event->type == XENPT_EVENT_GAP && event->reason != XENPT_GAP_NO_PSB)
		stats->lost += event->value;
	else if (event->type == XENPT_EVENT_GAP || event->type == XENPT_EVENT_ERROR)
		stats->skipped += event->value;
	else if (event->type == XENPT_EVENT_DOUBT)
		stats->doubtful += event->offset - event->value;
}

void xenpt_stats_add(struct xenpt_stats *stats, const struct xenpt_event *events,
		     size_t count)
{
	uint64_t blocks = 0, insns = 0;
	/* Less one: no time, 0, is then the largest. */
	uint64_t first = stats->first_time - 1, last = stats->last_time;

	/* Nearly all events are blocks: their sums stay in registers. */
	for (size_t i = 0; i < count; i++) {
		const struct xenpt_event *event = &events[i];

		if (event->time - 1 < first)
			first = event->time - 1;
		if (event->time > last)
			last = event->time;
		if (event->type != XENPT_EVENT_BLOCK) {
			add_rare(stats, event);
			continue;
		}
		blocks++;
		insns += event->insns;
		if (event->branch <= XENPT_BRANCH_FAR_JUMP)
			stats->branches[event->branch]++;
	}
	stats->blocks += blocks;
	stats->insns += insns;
	stats->events[XENPT_EVENT_BLOCK] += blocks;
	stats->first_time = first + 1;
	stats->last_time = last;
}

void xenpt_stats_add_time(struct xenpt_stats *stats, uint64_t time)
{
	if (time - 1 < stats->first_time - 1)
		stats->first_time = time;
	if (time > stats->last_time)
		stats->last_time = time;
}

void xenpt_stats_merge(struct xenpt_stats *stats, const struct xenpt_stats *other)
{
	stats->insns += other->insns;
	stats->blocks += other->blocks;
	for (size_t i = 0; i <= XENPT_BRANCH_FAR_JUMP; i++)
		stats->branches[i] += other->branches[i];
	for (size_t i = 0; i < XENPT_EVENT_TYPES; i++)
		stats->events[i] += other->events[i];
	stats->lost += other->lost;
	stats->skipped += other->skipped;
	stats->doubtful += other->doubtful;
	xenpt_stats_add_time(stats, other->first_time);
	xenpt_stats_add_time(stats, other->last_time);
}
