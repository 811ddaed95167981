/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Decodes the spans of all vCPUs, many at once, and gives each vCPU's events in
 * order.
 *
 *	lane (vCPU 0)   [job|job|job]	a job is a span and its events;
 *	lane (vCPU 1)   [job]		the first one is being read
 *
 * Workers go on with the job that is needed soonest, a batch of events at a time.
 * A job whose events nobody has read yet stops after so many batches, and the
 * worker goes on with another: nothing is held up, memory is bounded, and a reader
 * always gets what it waits for. One of the workers is the reader: it works while
 * there is nothing to read.
 */
#ifndef DECODE_PARALLEL_H
#define DECODE_PARALLEL_H

#include "libxenpt/cleanup.h"
#include "libxenpt/xenpt.h"

struct lanes;

/* @file and @image must outlive it. Lanes are numbered as @vcpus. */
struct xenpt_error *lanes_create(const struct xenpt_file *file,
				 const struct xenpt_image *image, const uint32_t *vcpus,
				 size_t count, unsigned int threads, bool count_blocks,
				 struct lanes **ret);

void lanes_destroy(struct lanes *lanes);
XENPT_DEFINE_CLEANUP(struct lanes, lanes, lanes_destroy)

/* The lane's next events, valid until its next call; *@count_ret 0 at the end. */
struct xenpt_error *lanes_next(struct lanes *lanes, size_t lane,
			       const struct xenpt_event **ret, size_t *count_ret);

/* Add the blocks that were counted, of spans whose events were read. */
void lanes_add_counts(const struct lanes *lanes, size_t lane, struct xenpt_stats *stats);

/* Bytes of trace whose events were read, of all lanes. */
uint64_t lanes_done(const struct lanes *lanes);

#endif
