/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* perf.data: what its three parts know of each other. */
#ifndef XENPT_IMPORT_PERF_H
#define XENPT_IMPORT_PERF_H

#include "import.h"

/* ---- the trace: perf-trace.c ---------------------------------------------- */

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

/* ---- the file: perf-header.c ---------------------------------------------- */

/* AUXTRACE_INFO.priv[]: tools/perf/util/intel-pt.h. */
enum {
	PRIV_PMU_TYPE = 0,
	PRIV_TIME_SHIFT = 1,
	PRIV_TIME_MULT = 2,
	PRIV_TIME_ZERO = 3,
	PRIV_CAP_TIME_ZERO = 4,
	PRIV_SNAPSHOT_MODE = 8,
	PRIV_MTC_BIT = 10,
	PRIV_MTC_FREQ_BITS = 11,
	PRIV_TSC_CTC_N = 12, /* CPUID 15H EBX */
	PRIV_TSC_CTC_D = 13, /* CPUID 15H EAX */
	PRIV_MAX_NONTURBO_RATIO = 15,
	PRIV_COUNT
};

struct perf_place {
	uint64_t offset, size;
};

struct perf {
	struct xenpt_writer *writer;
	const struct xenpt_import *import;
	const char *path;
	struct import_file file;
	uint64_t attr_size, features[4];
	struct perf_place attrs, data;
	uint64_t end; /* of the records that are there */
	bool cut;     /* there should be more of them */

	uint64_t sample_id; /* the PERF_SAMPLE_* at the end of records; 0: unknown */
	uint64_t config;    /* of the PT event */
	bool kernel;        /* it did not exclude the kernel */

	bool has_info;
	uint64_t priv[PRIV_COUNT]; /* 0 where an older perf has not got it */
	struct xenpt_cpu cpu;
	struct import_images images;
	struct perf_trace trace;
	uint64_t lost; /* records, says perf */
};

static inline uint64_t perf_get(const uint8_t *data, size_t size)
{
	uint64_t value = 0;

	for (size_t i = size; i > 0; i--)
		value = value << 8 | data[i - 1];
	return value;
}

static inline uint64_t perf_get64(const uint8_t *data)
{
	return perf_get(data, 8);
}

static inline uint32_t perf_get32(const uint8_t *data)
{
	return (uint32_t)perf_get(data, 4);
}

static inline uint16_t perf_get16(const uint8_t *data)
{
	return (uint16_t)perf_get(data, 2);
}

/* Read the header: where all else is. */
struct xenpt_error *perf_header_read(struct perf *perf);

/* What all attributes say of the end of records, and that of PT, once known. */
struct xenpt_error *perf_attrs_read(struct perf *perf);

/* The CPU, and the build-ids of the images that are left. */
struct xenpt_error *perf_features_read(struct perf *perf);

/* Bytes as hex digits; NULL: no memory. */
char *perf_hex(const uint8_t *bytes, size_t size);

#define PERF_BUILD_ID_SIZE 20u

#endif
