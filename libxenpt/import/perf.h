/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The trace of a perf.data: one AUX stream per CPU or thread, in pieces. */
#ifndef XENPT_IMPORT_PERF_H
#define XENPT_IMPORT_PERF_H

#include "import.h"

/* What an AUXTRACE record and the bytes behind it are. */
struct perf_piece {
	uint32_t index;    /* of the AUX buffer */
	int32_t cpu, tid;  /* cpu -1: it is the buffer of a thread */
	uint64_t offset;   /* of its first byte in the stream */
	uint64_t position; /* of its bytes in the file */
	uint64_t size;
	uint64_t missing; /* bytes that should follow, but the file is cut */
};

/* One stream. */
struct perf_queue {
	uint32_t index, vcpu;
	int32_t cpu, tid;
	bool started;        /* there was a piece: */
	uint64_t next;       /* offset in the stream that should follow it */
	uint64_t end;        /* of its bytes in the file */
	size_t gap, gap_end; /* its gaps that are not written */
};

/* The last bytes of a piece that are not of the stream. */
struct perf_padding {
	uint64_t end; /* of the piece in the file */
	unsigned int size;
};

/* What an AUX record says is missing, at an offset of a stream. */
struct perf_gap {
	uint64_t offset;
	size_t queue;
	int32_t cpu, tid; /* -1: unknown */
};

struct perf_trace {
	struct {
		struct perf_queue *data;
		size_t count, capacity;
	} queues;
	struct {
		struct perf_gap *data;
		size_t count, capacity;
	} gaps;
	struct {
		struct perf_padding *data;
		size_t count, capacity, next;
	} paddings;
	bool snapshot;           /* pieces do not follow each other */
	struct perf_queue *last; /* of the piece before */
};

void perf_trace_deinit(struct perf_trace *trace);

/* First, tell of all pieces and gaps. */
struct xenpt_error *perf_trace_add_piece(struct perf_trace *trace,
					 const struct perf_piece *piece);
struct xenpt_error *perf_trace_add_gap(struct perf_trace *trace,
				       const struct perf_gap *gap);

/* Then announce the vCPUs, write the pieces in file order, and finish. */
struct xenpt_error *perf_trace_announce(struct perf_trace *trace,
					struct xenpt_writer *writer,
					const struct xenpt_import *import);
struct xenpt_error *perf_trace_write(struct perf_trace *trace,
				     struct xenpt_writer *writer,
				     struct import_file *file,
				     const struct perf_piece *piece);
struct xenpt_error *perf_trace_finish(struct perf_trace *trace,
				      struct xenpt_writer *writer);

#endif
