/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether conditional branches were taken: they were if they went elsewhere. */
#ifndef XENPT_EXPORT_TAKEN_H
#define XENPT_EXPORT_TAKEN_H

#include "../xenpt.h"

#define XENPT_TAKEN_CACHE 4096 /* a power of two */

struct xenpt_taken {
	const struct xenpt_image *image; /* or NULL */
	struct {
		uint64_t cr3, ip;
		uint32_t epoch;
		uint8_t mode; /* bits | 1: in use */
		uint8_t size;
	} cache[XENPT_TAKEN_CACHE];
};

/* @event is a block of that epoch that ended by XENPT_BRANCH_COND. */
bool xenpt_taken(struct xenpt_taken *taken, uint32_t epoch,
		 const struct xenpt_event *event);

#endif
