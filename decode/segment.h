/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One vCPU's trace, cut into spans that can be decoded independently (flow.h).
 *
 * The cuts depend on the trace alone, never on who decodes when: so the events
 * are the same for any number of threads.
 */
#ifndef DECODE_SEGMENT_H
#define DECODE_SEGMENT_H

#include "flow.h"
#include "libxenpt/cleanup.h"

/* What is before the span: gaps, bytes before the first PSB, a change of code. */
#define SEGMENT_NOTES_MAX 8

struct segment {
	uint8_t *data;                               /* behind the span */
	struct flow_span span;                       /* size 0: notes only */
	struct xenpt_event notes[SEGMENT_NOTES_MAX]; /* GAP, CODE; joined: only CODE */
	size_t note_count;
	bool joined;   /* goes on where the span before it ended */
	uint64_t read; /* bytes of trace up to its end */
};

void segment_deinit(struct segment *segment);

struct segmenter;

/* @file must outlive it. */
struct xenpt_error *segmenter_create(const struct xenpt_file *file, uint32_t vcpu,
				     struct segmenter **ret);
void segmenter_destroy(struct segmenter *segmenter);
XENPT_DEFINE_CLEANUP(struct segmenter, segmenter, segmenter_destroy)

/* The next segment, the caller's to deinit. *@end_ret: there is none any more. */
struct xenpt_error *segmenter_next(struct segmenter *segmenter, struct segment *ret,
				   bool *end_ret);

#endif
