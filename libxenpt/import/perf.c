/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * perf.data, as "perf record -e intel_pt//" writes it: a header, a table of
 * events, the records, and behind them the features (CPU, build-ids). Linux:
 * tools/perf/Documentation/perf.data-file-format.txt, tools/perf/util/header.c.
 *
 *	| header | event attributes | records … AUXTRACE + PT … | features |
 *
 * The records are read twice: first for what describes the trace, then for the
 * trace, which so is copied in pieces, whatever its size.
 */
#include <inttypes.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>

#include "perf.h"

/* Records of perf itself: tools/lib/perf/include/perf/event.h. */
enum {
	RECORD_AUXTRACE_INFO = 70,
	RECORD_AUXTRACE = 71,
	RECORD_TIME_CONV = 79,
	RECORD_COMPRESSED = 81,
};

#define AUXTRACE_INTEL_PT 1 /* tools/perf/util/auxtrace.h */

/* ---- records ------------------------------------------------------------- */

struct record {
	uint64_t at; /* in the file */
	uint32_t type;
	uint16_t misc, size;
	const uint8_t *data; /* with its header; until the next peek */
};

typedef struct xenpt_error *record_fn(struct perf *perf, const struct record *record);

static struct xenpt_error *too_short(void)
{
	return xenpt_error_create(XENPT_ERROR_FORMAT, "is too short for its type");
}

static struct xenpt_error *piece_read(const struct perf *perf,
				      const struct record *record, struct perf_piece *ret)
{
	uint64_t left = perf->end - record->at - record->size, size;

	if (record->size < 48)
		return too_short();
	size = perf_get64(record->data + 8);
	if (size > left && !perf->cut)
		return xenpt_error_create(
			XENPT_ERROR_FORMAT,
			"0x%" PRIx64 " bytes of trace are past the end of the records",
			size);
	*ret = (struct perf_piece){
		.size = size < left ? size : left,
		.missing = size < left ? 0 : size - left,
		.offset = perf_get64(record->data + 16),
		.index = perf_get32(record->data + 32),
		.tid = (int32_t)perf_get32(record->data + 36),
		.cpu = (int32_t)perf_get32(record->data + 40),
		.position = record->at + record->size,
	};
	if (ret->offset + size < size)
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "impossible offset 0x%" PRIx64, ret->offset);
	return NULL;
}

/* One record, and what comes behind it. *@ret is 0 where the file is cut. */
static struct xenpt_error *record_do(struct perf *perf, uint64_t at, record_fn *fn,
				     uint64_t *ret)
{
	struct record record = { .at = at };
	struct perf_piece piece = {};
	const void *data;

	*ret = 0;
	if (perf->end - at < 8)
		return perf->cut ? NULL
				 : xenpt_error_create(XENPT_ERROR_FORMAT,
						      "is past the end of the records");
	XENPT_TRY(import_file_peek(&perf->file, at, 8, &data));
	record.type = perf_get32(data);
	record.misc = perf_get16((const uint8_t *)data + 4);
	record.size = perf_get16((const uint8_t *)data + 6);
	if (record.size < 8)
		return xenpt_error_create(XENPT_ERROR_FORMAT, "impossible size %u",
					  record.size);
	if (record.size > perf->end - at)
		return perf->cut ? NULL
				 : xenpt_error_create(XENPT_ERROR_FORMAT,
						      "is past the end of the records");
	XENPT_TRY(import_file_peek(&perf->file, at, record.size, &data));
	record.data = data;
	if (record.type == RECORD_AUXTRACE)
		XENPT_TRY(piece_read(perf, &record, &piece));
	XENPT_TRY(fn(perf, &record));
	*ret = at + record.size + piece.size;
	return NULL;
}

static struct xenpt_error *records_do(struct perf *perf, record_fn *fn)
{
	uint64_t at = perf->data.offset;

	while (at && at < perf->end) {
		uint64_t next;

		XENPT_TRY(xenpt_error_prepend(record_do(perf, at, fn, &next),
					      "record at 0x%" PRIx64, at));
		at = next;
	}
	return NULL;
}

/* ---- first reading: what describes the trace -------------------------------- */

static struct xenpt_error *info_read(struct perf *perf, const struct record *record)
{
	if (record->size < 16)
		return too_short();
	if (perf_get32(record->data + 8) != AUXTRACE_INTEL_PT)
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
					  "the AUX data are not Intel PT, but of type %u",
					  perf_get32(record->data + 8));
	perf->has_info = true;
	for (size_t i = 0; i < PRIV_COUNT && 16 + 8 * (i + 1) <= record->size; i++)
		perf->priv[i] = perf_get64(record->data + 16 + 8 * i);
	return NULL;
}

static void time_set(struct perf *perf, uint64_t shift, uint64_t mult, uint64_t zero)
{
	if (shift > 63 || mult > UINT32_MAX)
		return;
	perf->cpu.time_shift = (uint16_t)shift;
	perf->cpu.time_mult = (uint32_t)mult;
	perf->cpu.time_zero = zero;
}

static struct xenpt_error *time_conv_read(struct perf *perf, const struct record *record)
{
	if (record->size < 32)
		return too_short();
	time_set(perf, perf_get64(record->data + 8), perf_get64(record->data + 16),
		 perf_get64(record->data + 24));
	return NULL;
}

/* Mappings of code. Those of the kernel and of guests have no file to copy. */
static struct xenpt_error *mmap_read(struct perf *perf, const struct record *record)
{
	enum {
		PATH = 40,
		MMAP2_ID = 40,
		MMAP2_PROT = 64,
		MMAP2_PATH = 72,
		EXEC = 4
	};
	unsigned int mode = record->misc & PERF_RECORD_MISC_CPUMODE_MASK;
	bool two = record->type == PERF_RECORD_MMAP2;
	size_t path = two ? MMAP2_PATH : PATH;
	const uint8_t *data = record->data;
	struct import_mapping mapping = {};

	if (record->size <= path || !memchr(data + path, 0, record->size - path))
		return too_short();
	if (strlen((const char *)data + path) >= PATH_MAX)
		return xenpt_error_create(XENPT_ERROR_FORMAT, "too long a path");
	if (two ? !(perf_get32(data + MMAP2_PROT) & EXEC)
		: record->misc & PERF_RECORD_MISC_MMAP_DATA)
		return NULL;
	mapping.pid = perf_get32(data + 8);
	mapping.address = perf_get64(data + 16);
	mapping.length = perf_get64(data + 24);
	mapping.offset = perf_get64(data + 32);
	if (mapping.pid == UINT32_MAX || !mapping.length ||
	    (mode != PERF_RECORD_MISC_USER && mode != PERF_RECORD_MISC_CPUMODE_UNKNOWN))
		return NULL;
	if (two && (record->misc & PERF_RECORD_MISC_MMAP_BUILD_ID) && data[MMAP2_ID] &&
	    data[MMAP2_ID] <= PERF_BUILD_ID_SIZE) {
		mapping.build_id = perf_hex(data + MMAP2_ID + 4, data[MMAP2_ID]);
		if (!mapping.build_id)
			return xenpt_error_no_memory();
	}
	mapping.path = strdup((const char *)data + path);
	if (!mapping.path) {
		free(mapping.build_id);
		return xenpt_error_no_memory();
	}
	return import_images_add(&perf->images, &mapping);
}

/*
 * Trace is missing at the end of what the record tells of: the buffer was full
 * (TRUNCATED), or somewhere inside (PARTIAL: KVM had switched PT off).
 */
static struct xenpt_error *aux_read(struct perf *perf, const struct record *record)
{
	unsigned int fields = (unsigned int)__builtin_popcountll(perf->sample_id);
	struct perf_gap gap = { .cpu = -1, .tid = -1 };
	const uint8_t *end = record->data + record->size;

	if (record->size < 32 + 8 * fields)
		return too_short();
	if (!(perf_get64(record->data + 24) &
	      (PERF_AUX_FLAG_TRUNCATED | PERF_AUX_FLAG_PARTIAL)))
		return NULL;
	if (__builtin_add_overflow(perf_get64(record->data + 8),
				   perf_get64(record->data + 16), &gap.offset))
		return xenpt_error_create(XENPT_ERROR_FORMAT, "impossible offset");
	/* The sample_id of perf_event_open(2): TID comes first, CPU nearly last. */
	if (perf->sample_id & PERF_SAMPLE_TID)
		gap.tid = (int32_t)perf_get32(end - 8 * fields + 4);
	if (perf->sample_id & PERF_SAMPLE_CPU)
		gap.cpu = (int32_t)perf_get32(
			end - (perf->sample_id & PERF_SAMPLE_IDENTIFIER ? 16 : 8));
	return perf_trace_add_gap(&perf->trace, &gap);
}

static struct xenpt_error *lost_read(struct perf *perf, const struct record *record)
{
	if (record->size < 24)
		return too_short();
	perf->lost += perf_get64(record->data + 16);
	return NULL;
}

static struct xenpt_error *describe(struct perf *perf, const struct record *record)
{
	struct perf_piece piece;

	switch (record->type) {
	case PERF_RECORD_MMAP:
	case PERF_RECORD_MMAP2:
		return mmap_read(perf, record);
	case PERF_RECORD_AUX:
		return aux_read(perf, record);
	case PERF_RECORD_LOST:
		return lost_read(perf, record);
	case RECORD_AUXTRACE_INFO:
		return info_read(perf, record);
	case RECORD_TIME_CONV:
		return time_conv_read(perf, record);
	case RECORD_AUXTRACE:
		XENPT_TRY(piece_read(perf, record, &piece));
		return perf_trace_add_piece(&perf->trace, &piece);
	case RECORD_COMPRESSED:
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
					  "is compressed: unpack it with "
					  "\"perf inject -i FILE -o OUTPUT\"");
	default:
		return NULL;
	}
}

/* ---- second reading: the trace ------------------------------------------- */

static struct xenpt_error *copy(struct perf *perf, const struct record *record)
{
	struct perf_piece piece;

	if (record->type != RECORD_AUXTRACE)
		return NULL;
	XENPT_TRY(piece_read(perf, record, &piece));
	import_progress(perf->import, perf->path, record->at, perf->end);
	return perf_trace_write(&perf->trace, perf->writer, &perf->file, &piece);
}

/* ---- all together -------------------------------------------------------- */

static void cpu_set(struct perf *perf)
{
	const uint64_t *priv = perf->priv;
	uint64_t bits = priv[PRIV_MTC_FREQ_BITS];

	if (priv[PRIV_CAP_TIME_ZERO])
		time_set(perf, priv[PRIV_TIME_SHIFT], priv[PRIV_TIME_MULT],
			 priv[PRIV_TIME_ZERO]);
	if (bits && (perf->config & priv[PRIV_MTC_BIT]))
		perf->cpu.mtc_freq =
			(uint8_t)((perf->config & bits) >> __builtin_ctzll(bits) & 15);
	if (priv[PRIV_TSC_CTC_N] <= UINT32_MAX && priv[PRIV_TSC_CTC_D] <= UINT32_MAX) {
		perf->cpu.cpuid_15_eax = (uint32_t)priv[PRIV_TSC_CTC_D];
		perf->cpu.cpuid_15_ebx = (uint32_t)priv[PRIV_TSC_CTC_N];
	}
	if (priv[PRIV_MAX_NONTURBO_RATIO] <= UINT8_MAX)
		perf->cpu.nom_freq = (uint8_t)priv[PRIV_MAX_NONTURBO_RATIO];
	perf->trace.snapshot = priv[PRIV_SNAPSHOT_MODE] != 0;
}

/* What the file says of the trace, and what a user should know of that. */
static struct xenpt_error *describe_all(struct perf *perf)
{
	XENPT_TRY(perf_header_read(perf));
	XENPT_TRY(perf_attrs_read(perf));
	XENPT_TRY(records_do(perf, describe));
	if (!perf->has_info || !perf->trace.queues.count)
		return xenpt_error_create(XENPT_ERROR_NOT_FOUND,
					  "has no Intel PT trace: was it recorded with "
					  "\"-e intel_pt//\"?");
	XENPT_TRY(perf_attrs_read(perf)); /* now that the event of PT is known */
	XENPT_TRY(import_images_choose(&perf->images, perf->import));
	XENPT_TRY(perf_features_read(perf));
	cpu_set(perf);
	if (!perf->images.count)
		import_warn(perf->import, "%s: names no code: give it with --elf",
			    perf->path);
	if (perf->kernel)
		import_warn(perf->import,
			    "%s: the kernel was traced, too, but its code is not in it: "
			    "give it with --elf",
			    perf->path);
	if (perf->lost)
		import_warn(perf->import,
			    "%s: perf lost %" PRIu64 " records: images, or marks of "
			    "missing trace, may be among them",
			    perf->path, perf->lost);
	return NULL;
}

static struct xenpt_error *import_perf(struct perf *perf, struct xenpt_cpu *ret)
{
	struct xenpt_cpu cpu;

	XENPT_TRY(import_file_open(perf->path, &perf->file));
	XENPT_TRY(describe_all(perf));
	XENPT_TRY(import_cpu(perf->writer, perf->import, &perf->cpu, &cpu));
	XENPT_TRY(import_images_write(&perf->images, perf->writer, perf->import));
	XENPT_TRY(perf_trace_announce(&perf->trace, perf->writer, perf->import));
	XENPT_TRY(records_do(perf, copy));
	import_progress(perf->import, perf->path, perf->end, perf->end);
	XENPT_TRY(perf_trace_finish(&perf->trace, perf->writer));
	*ret = cpu;
	return NULL;
}

struct xenpt_error *xenpt_import_perf(struct xenpt_writer *writer,
				      const struct xenpt_import *import, const char *path,
				      struct xenpt_cpu *ret)
{
	struct perf perf = { .import = import,
			     .writer = writer,
			     .path = path,
			     .file = IMPORT_FILE_CLOSED };
	struct xenpt_error *err = import_perf(&perf, ret);

	import_file_close(&perf.file);
	import_images_deinit(&perf.images);
	perf_trace_deinit(&perf.trace);
	return xenpt_error_prepend(err, "%s", path);
}
