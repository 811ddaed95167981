/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The trace bytes of one vCPU, in order: pieces that follow each other without
 * a seam, and the gaps between them.
 *
 *	offset 0            a             b
 *	       | piece, piece | gap (lost) | piece … | end
 *
 * At any time there is a piece (stream_next_size), a gap (stream_gap), or the
 * end. Reads forward only; one thread at a time.
 */
#ifndef DECODE_STREAM_H
#define DECODE_STREAM_H

#include "libxenpt/cleanup.h"
#include "libxenpt/file.h"

struct stream;

/* A place where trace is missing. */
struct stream_gap {
	uint64_t offset; /* where in the vCPU's trace */
	uint64_t lost;   /* bytes; 0: unknown */
	uint8_t reason;  /* enum xenpt_gap_reason */
};

/* @file must outlive it. XENPT_ERROR_NOT_FOUND: no such vCPU. */
struct xenpt_error *stream_create(const struct xenpt_file *file, uint32_t vcpu,
				  struct stream **ret);
void stream_destroy(struct stream *stream);
XENPT_DEFINE_CLEANUP(struct stream, stream, stream_destroy)
#define _cleanup_stream_ _cleanup_(stream_cleanup)

/* Bytes of the next piece; 0 at a gap and at the end. */
size_t stream_next_size(const struct stream *stream);

/* The epoch that the next piece ran in. */
uint32_t stream_next_epoch(const struct stream *stream);

/*
 * Copy the next piece, stream_next_size() bytes, and move on. A damaged one
 * gives 0 bytes, and a gap of reason DAMAGED in its place.
 */
struct xenpt_error *stream_read(struct stream *stream, void *buf, size_t *size_ret);

/* Take the gap that is next and move on; false: there is none. */
bool stream_gap(struct stream *stream, struct stream_gap *ret);

/* Whether all has been read. */
bool stream_end(const struct stream *stream);

/* Where the next byte is in the vCPU's trace. */
uint64_t stream_offset(const struct stream *stream);

#endif
