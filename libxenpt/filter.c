/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xenpt.h"

static bool is_trouble(const struct xenpt_event *event)
{
	return event->type == XENPT_EVENT_GAP || event->type == XENPT_EVENT_ERROR ||
	       event->type == XENPT_EVENT_OVERFLOW || event->type == XENPT_EVENT_DOUBT;
}

static bool match_cr3(const struct xenpt_filter *filter, const struct xenpt_event *event)
{
	if (filter->cr3 == XENPT_CR3_ANY || event->cr3 == filter->cr3)
		return true;
	if (event->type == XENPT_EVENT_CR3 && event->value == filter->cr3)
		return true; /* the moment when it is entered */
	if (event->type == XENPT_EVENT_DOUBT && event->named == filter->cr3)
		return true; /* what was shown of it may be another's */
	return event->cr3 == XENPT_CR3_ANY && is_trouble(event);
}

static bool match_time(const struct xenpt_filter *filter, const struct xenpt_event *event)
{
	if (filter->time_lo == 0 && filter->time_hi == UINT64_MAX)
		return true;
	if (event->time == 0)
		return is_trouble(event);
	return filter->time_lo <= event->time && event->time <= filter->time_hi;
}

static bool in_range(const struct xenpt_filter *filter, uint64_t ip)
{
	return filter->ip_lo <= ip && ip <= filter->ip_hi;
}

static bool match_ip(const struct xenpt_filter *filter, const struct xenpt_event *event)
{
	if (is_trouble(event))
		return true;
	if (filter->ip_lo != 0 || filter->ip_hi != UINT64_MAX) {
		if (!event->has_ip)
			return false;
		/* A block that follows direct jumps may end below its begin. */
		if (event->type == XENPT_EVENT_BLOCK && event->ip <= event->last) {
			if (event->last < filter->ip_lo || event->ip > filter->ip_hi)
				return false;
		} else if (!in_range(filter, event->ip) &&
			   (event->type != XENPT_EVENT_BLOCK ||
			    !in_range(filter, event->last))) {
			return false;
		}
	}
	if (filter->kernel == filter->user)
		return true;
	return event->has_ip && xenpt_address_is_kernel(event->ip) == filter->kernel;
}

bool xenpt_filter_match(const struct xenpt_filter *filter,
			const struct xenpt_event *event)
{
	return match_cr3(filter, event) && match_time(filter, event) &&
	       match_ip(filter, event);
}
