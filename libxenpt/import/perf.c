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

/* Feature bits of the header: tools/perf/util/header.h. */
enum {
	FEATURE_BUILD_ID = 2,
	FEATURE_CPUID = 9,
	FEATURE_COUNT = 256
};

#define HEADER_SIZE 104u
#define PIPE_HEADER_SIZE 16u
#define ATTR_IDS_SIZE 16u /* a place in the file after each attribute */

struct place {
	uint64_t offset, size;
};

struct perf {
	struct xenpt_writer *writer;
	const struct xenpt_import *import;
	const char *path;
	struct import_file file;
	uint64_t attr_size, features[FEATURE_COUNT / 64];
	struct place attrs, data;
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

static uint64_t get(const uint8_t *data, size_t size)
{
	uint64_t value = 0;

	for (size_t i = size; i > 0; i--)
		value = value << 8 | data[i - 1];
	return value;
}

static uint64_t get64(const uint8_t *data)
{
	return get(data, 8);
}

static uint32_t get32(const uint8_t *data)
{
	return (uint32_t)get(data, 4);
}

static uint16_t get16(const uint8_t *data)
{
	return (uint16_t)get(data, 2);
}

/* ---- the header ---------------------------------------------------------- */

static struct place get_place(const uint8_t *data)
{
	return (struct place){ get64(data), get64(data + 8) };
}

static struct xenpt_error *header_read(struct perf *perf)
{
	const uint8_t *header;
	const void *data;
	uint64_t end;

	if (perf->file.size < PIPE_HEADER_SIZE)
		return xenpt_error_create(XENPT_ERROR_FORMAT, "is no perf.data file");
	XENPT_TRY(import_file_peek(&perf->file, 0, PIPE_HEADER_SIZE, &data));
	if (memcmp(data, "PERFILE2", 8) != 0)
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "is no perf.data file, or one of a perf older "
					  "than Intel PT or of a big-endian machine");
	if (get64((const uint8_t *)data + 8) == PIPE_HEADER_SIZE)
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
					  "was written into a pipe: record it with "
					  "\"perf record -o FILE\"");
	XENPT_TRY(xenpt_error_prepend(
		import_file_peek(&perf->file, 0, HEADER_SIZE, &data), "header"));
	header = data;
	perf->attr_size = get64(header + 16);
	perf->attrs = get_place(header + 24);
	perf->data = get_place(header + 40);
	for (size_t i = 0; i < FEATURE_COUNT / 64; i++)
		perf->features[i] = get64(header + 72 + 8 * i);

	if (perf->data.offset < HEADER_SIZE || perf->data.offset > perf->file.size)
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "header: no records at 0x%" PRIx64,
					  perf->data.offset);
	/* A perf that was killed leaves a size of 0. */
	if (!perf->data.size ||
	    __builtin_add_overflow(perf->data.offset, perf->data.size, &end) ||
	    end > perf->file.size) {
		import_warn(perf->import, "%s: is not complete: importing what is there",
			    perf->path);
		perf->cut = true;
		end = perf->file.size;
	}
	perf->end = end;
	return NULL;
}

/* Where a feature is, size 0: nowhere. The table has a place for each bit. */
static struct xenpt_error *feature_find(struct perf *perf, unsigned int feature,
					struct place *ret)
{
	uint64_t at = perf->end;
	const void *data;

	*ret = (struct place){};
	if (perf->cut || !(perf->features[feature / 64] >> feature % 64 & 1))
		return NULL;
	for (unsigned int i = 0; i < feature; i++)
		at += perf->features[i / 64] >> i % 64 & 1 ? 16 : 0;
	XENPT_TRY(import_file_peek(&perf->file, at, 16, &data));
	*ret = get_place(data);
	if (ret->offset > perf->file.size || ret->size > perf->file.size - ret->offset)
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "its place is past the end of the file");
	return NULL;
}

/* "GenuineIntel,6,94,3", after its length. */
static struct xenpt_error *cpuid_read(struct perf *perf)
{
	unsigned int family, model, stepping;
	char text[64] = {}, vendor[32];
	struct place place;
	const void *data;

	XENPT_TRY(feature_find(perf, FEATURE_CPUID, &place));
	if (place.size <= 4)
		return NULL;
	place.size -= 4;
	if (place.size > sizeof(text) - 1)
		place.size = sizeof(text) - 1;
	XENPT_TRY(import_file_peek(&perf->file, place.offset + 4, place.size, &data));
	memcpy(text, data, place.size);
	if (sscanf(text, "%31[^,],%5u,%5u,%5u", vendor, &family, &model, &stepping) !=
		    4 ||
	    family > UINT16_MAX || model > UINT8_MAX || stepping > UINT8_MAX)
		return xenpt_error_create(XENPT_ERROR_FORMAT, "\"%s\" is no CPU of Intel",
					  text);
	perf->cpu.intel = strcmp(vendor, "GenuineIntel") == 0;
	perf->cpu.family = (uint16_t)family;
	perf->cpu.model = (uint8_t)model;
	perf->cpu.stepping = (uint8_t)stepping;
	return NULL;
}

static char *hex(const uint8_t *bytes, size_t size)
{
	char *text = malloc(2 * size + 1);

	for (size_t i = 0; text && i < size; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
	return text;
}

#define BUILD_ID_SIZE 20u

/* A mapping's own build-id is nearer to the truth than the list at the end. */
static struct xenpt_error *build_id_set(struct import_images *images, const char *path,
					const uint8_t *build_id, size_t size)
{
	for (size_t i = 0; i < images->count; i++) {
		struct import_mapping *mapping = &images->data[i];

		if (mapping->build_id || strcmp(mapping->path, path) != 0)
			continue;
		mapping->build_id = hex(build_id, size);
		if (!mapping->build_id)
			return xenpt_error_no_memory();
	}
	return NULL;
}

/* Each: header, pid, build-id padded to 24 bytes (its size in the 21st), path. */
static struct xenpt_error *build_ids_read(struct perf *perf)
{
	enum {
		PID = 8,
		ID = 12,
		ID_SIZE = 32,
		PATH = 36,
		MISC_SIZE = 1 << 15
	};
	struct place place;
	uint16_t size;

	XENPT_TRY(feature_find(perf, FEATURE_BUILD_ID, &place));
	for (; place.size > PATH; place.offset += size, place.size -= size) {
		const uint8_t *entry;
		const void *data;
		size_t id_size;

		XENPT_TRY(import_file_peek(&perf->file, place.offset, 8, &data));
		size = get16((const uint8_t *)data + 6);
		if (size <= PATH || size > place.size)
			return xenpt_error_create(XENPT_ERROR_FORMAT,
						  "bad size %u at 0x%" PRIx64, size,
						  place.offset);
		XENPT_TRY(import_file_peek(&perf->file, place.offset, size, &data));
		entry = data;
		id_size = get16(entry + 4) & MISC_SIZE ? entry[ID_SIZE] : BUILD_ID_SIZE;
		if (entry[PATH] != '/' || entry[size - 1] != '\0' || !id_size ||
		    id_size > BUILD_ID_SIZE)
			continue;
		XENPT_TRY(build_id_set(&perf->images, (const char *)entry + PATH,
				       entry + ID, id_size));
	}
	return NULL;
}

/* ---- event attributes ---------------------------------------------------- */

#define SAMPLE_ID_BITS                                                                 \
	(PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_ID | PERF_SAMPLE_STREAM_ID | \
	 PERF_SAMPLE_CPU | PERF_SAMPLE_IDENTIFIER)

/* What all attributes say of the end of records, and that of PT, once known. */
static struct xenpt_error *attrs_read(struct perf *perf)
{
	/* Of the bit field behind read_format: perf_event_open(2). */
	enum {
		FLAGS = 40,
		EXCLUDE_KERNEL = 5,
		SAMPLE_ID_ALL = 18
	};
	uint64_t at = perf->attrs.offset, count;

	if (perf->attr_size < PERF_ATTR_SIZE_VER0 + ATTR_IDS_SIZE ||
	    perf->attr_size > IMPORT_WINDOW)
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "header: %" PRIu64
					  " is no size of an event attribute",
					  perf->attr_size);
	count = perf->attrs.size / perf->attr_size;
	for (uint64_t i = 0; i < count; i++, at += perf->attr_size) {
		const uint8_t *attr;
		const void *data;
		uint64_t flags, id;

		XENPT_TRY(xenpt_error_prepend(
			import_file_peek(&perf->file, at, perf->attr_size, &data),
			"event attribute %" PRIu64, i));
		attr = data;
		flags = get64(attr + FLAGS);
		id = flags >> SAMPLE_ID_ALL & 1
			     ? get64(attr +
				     offsetof(struct perf_event_attr, sample_type)) &
				       SAMPLE_ID_BITS
			     : 0;
		if (i == 0)
			perf->sample_id = id;
		else if (perf->sample_id != id)
			perf->sample_id = 0;
		if (!perf->has_info ||
		    get32(attr + offsetof(struct perf_event_attr, type)) !=
			    perf->priv[PRIV_PMU_TYPE])
			continue;
		perf->config = get64(attr + offsetof(struct perf_event_attr, config));
		perf->kernel |= !(flags >> EXCLUDE_KERNEL & 1);
	}
	return NULL;
}

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
	size = get64(record->data + 8);
	if (size > left && !perf->cut)
		return xenpt_error_create(
			XENPT_ERROR_FORMAT,
			"0x%" PRIx64 " bytes of trace are past the end of the records",
			size);
	*ret = (struct perf_piece){
		.size = size < left ? size : left,
		.missing = size < left ? 0 : size - left,
		.offset = get64(record->data + 16),
		.index = get32(record->data + 32),
		.tid = (int32_t)get32(record->data + 36),
		.cpu = (int32_t)get32(record->data + 40),
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
	record.type = get32(data);
	record.misc = get16((const uint8_t *)data + 4);
	record.size = get16((const uint8_t *)data + 6);
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
	if (get32(record->data + 8) != AUXTRACE_INTEL_PT)
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
					  "the AUX data are not Intel PT, but of type %u",
					  get32(record->data + 8));
	perf->has_info = true;
	for (size_t i = 0; i < PRIV_COUNT && 16 + 8 * (i + 1) <= record->size; i++)
		perf->priv[i] = get64(record->data + 16 + 8 * i);
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
	time_set(perf, get64(record->data + 8), get64(record->data + 16),
		 get64(record->data + 24));
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
	if (two ? !(get32(data + MMAP2_PROT) & EXEC)
		: record->misc & PERF_RECORD_MISC_MMAP_DATA)
		return NULL;
	mapping.pid = get32(data + 8);
	mapping.address = get64(data + 16);
	mapping.length = get64(data + 24);
	mapping.offset = get64(data + 32);
	if (mapping.pid == UINT32_MAX || !mapping.length ||
	    (mode != PERF_RECORD_MISC_USER && mode != PERF_RECORD_MISC_CPUMODE_UNKNOWN))
		return NULL;
	if (two && (record->misc & PERF_RECORD_MISC_MMAP_BUILD_ID) && data[MMAP2_ID] &&
	    data[MMAP2_ID] <= BUILD_ID_SIZE) {
		mapping.build_id = hex(data + MMAP2_ID + 4, data[MMAP2_ID]);
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
	if (!(get64(record->data + 24) &
	      (PERF_AUX_FLAG_TRUNCATED | PERF_AUX_FLAG_PARTIAL)))
		return NULL;
	if (__builtin_add_overflow(get64(record->data + 8), get64(record->data + 16),
				   &gap.offset))
		return xenpt_error_create(XENPT_ERROR_FORMAT, "impossible offset");
	/* The sample_id of perf_event_open(2): TID comes first, CPU nearly last. */
	if (perf->sample_id & PERF_SAMPLE_TID)
		gap.tid = (int32_t)get32(end - 8 * fields + 4);
	if (perf->sample_id & PERF_SAMPLE_CPU)
		gap.cpu = (int32_t)get32(
			end - (perf->sample_id & PERF_SAMPLE_IDENTIFIER ? 16 : 8));
	return perf_trace_add_gap(&perf->trace, &gap);
}

static struct xenpt_error *lost_read(struct perf *perf, const struct record *record)
{
	if (record->size < 24)
		return too_short();
	perf->lost += get64(record->data + 16);
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
	XENPT_TRY(header_read(perf));
	XENPT_TRY(attrs_read(perf));
	XENPT_TRY(records_do(perf, describe));
	if (!perf->has_info || !perf->trace.queues.count)
		return xenpt_error_create(XENPT_ERROR_NOT_FOUND,
					  "has no Intel PT trace: was it recorded with "
					  "\"-e intel_pt//\"?");
	XENPT_TRY(attrs_read(perf)); /* now that the event of PT is known */
	XENPT_TRY(import_images_choose(&perf->images, perf->import));
	XENPT_TRY(xenpt_error_prepend(cpuid_read(perf), "feature CPUID"));
	XENPT_TRY(xenpt_error_prepend(build_ids_read(perf), "feature BUILD_ID"));
	cpu_set(perf);
	if (!perf->images.count)
		import_warn(perf->import, "%s: names no code: give it with --elf",
			    perf->path);
	if (perf->kernel)
		import_warn(
			perf->import,
			"%s: the kernel was traced, too, but its code is not imported",
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
