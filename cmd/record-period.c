/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/record-period.h"

#define NS_PER_MS 1000000

int record_period_least(uint64_t cost, size_t vcpus)
{
	uint64_t ms;

	if (__builtin_mul_overflow(cost, (uint64_t)vcpus, &ms) ||
	    __builtin_mul_overflow(ms, (uint64_t)RECORD_PERIOD_PARTS, &ms))
		return RECORD_PERIOD_LONGEST;
	ms = ms / NS_PER_MS + !!(ms % NS_PER_MS);
	if (ms > RECORD_PERIOD_LONGEST)
		return RECORD_PERIOD_LONGEST;
	return ms < RECORD_PERIOD_MIN ? RECORD_PERIOD_MIN : (int)ms;
}

uint64_t record_period_share(uint64_t bytes, uint64_t size)
{
	return bytes / (size / 16 + 1);
}

/*
 * Half as long from a quarter on, and twice as long below a sixteenth: as fast as the
 * rate may double is fast enough.
 */
int record_period_next(int period, uint64_t share, uint64_t cost, size_t vcpus)
{
	int least = record_period_least(cost, vcpus);

	if (share >= 4)
		period /= 2;
	else if (share < 1)
		period *= 2;
	if (period > RECORD_PERIOD_MAX)
		period = RECORD_PERIOD_MAX;
	return period < least ? least : period;
}
