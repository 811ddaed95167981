/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How often to look at rings that say nothing: so that none is ever a quarter full, and
 * no more often than is fair to the guest, whose vCPUs may be held meanwhile.
 */
#ifndef XENPT_RECORD_PERIOD_H
#define XENPT_RECORD_PERIOD_H

#include <stddef.h>
#include <stdint.h>

enum {
	RECORD_PERIOD_MIN = 1,
	RECORD_PERIOD_MAX = 100, /* ms */
};

/*
 * Of all time, vCPUs may be held together for no more than one part in so many: 2 %.
 * It is a sum, as in Xen only one such call at a time goes on, of all programs.
 */
#define RECORD_PERIOD_PARTS 50

/* However long it takes: longer than MAX, as the guest comes first, but not forever. */
#define RECORD_PERIOD_LONGEST 2000 /* ms */

/* The shortest period, ms, for @vcpus each held for @cost ns at each look. */
int record_period_least(uint64_t cost, size_t vcpus);

/* How much of a ring @bytes are, in sixteenths of @size, rounded down. */
uint64_t record_period_share(uint64_t bytes, uint64_t size);

/* The period after @period, when the ring that was filled most had @share new. */
int record_period_next(int period, uint64_t share, uint64_t cost, size_t vcpus);

#endif
