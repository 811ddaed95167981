/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* perf.data around its records: header, event attributes, features. */
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>

#include "perf.h"

/* Feature bits of the header: tools/perf/util/header.h. */
enum {
	FEATURE_BUILD_ID = 2,
	FEATURE_CPUID = 9,
	FEATURE_COUNT = 256
};

#define HEADER_SIZE 104u
#define PIPE_HEADER_SIZE 16u
#define ATTR_IDS_SIZE 16u /* a place in the file after each attribute */

/* ---- the header ---------------------------------------------------------- */

static struct perf_place get_place(const uint8_t *data)
{
	return (struct perf_place){ perf_get64(data), perf_get64(data + 8) };
}

struct xenpt_error *perf_header_read(struct perf *perf)
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
	if (perf_get64((const uint8_t *)data + 8) == PIPE_HEADER_SIZE)
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
					  "was written into a pipe: record it with "
					  "\"perf record -o FILE\"");
	XENPT_TRY(xenpt_error_prepend(
		import_file_peek(&perf->file, 0, HEADER_SIZE, &data), "header"));
	header = data;
	perf->attr_size = perf_get64(header + 16);
	perf->attrs = get_place(header + 24);
	perf->data = get_place(header + 40);
	for (size_t i = 0; i < FEATURE_COUNT / 64; i++)
		perf->features[i] = perf_get64(header + 72 + 8 * i);

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

/* ---- event attributes ---------------------------------------------------- */

#define SAMPLE_ID_BITS                                                                 \
	(PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_ID | PERF_SAMPLE_STREAM_ID | \
	 PERF_SAMPLE_CPU | PERF_SAMPLE_IDENTIFIER)

struct xenpt_error *perf_attrs_read(struct perf *perf)
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
		flags = perf_get64(attr + FLAGS);
		id = flags >> SAMPLE_ID_ALL & 1
			     ? perf_get64(attr +
					  offsetof(struct perf_event_attr, sample_type)) &
				       SAMPLE_ID_BITS
			     : 0;
		if (i == 0)
			perf->sample_id = id;
		else if (perf->sample_id != id)
			perf->sample_id = 0;
		if (!perf->has_info ||
		    perf_get32(attr + offsetof(struct perf_event_attr, type)) !=
			    perf->priv[PRIV_PMU_TYPE])
			continue;
		perf->config =
			perf_get64(attr + offsetof(struct perf_event_attr, config));
		perf->kernel |= !(flags >> EXCLUDE_KERNEL & 1);
	}
	return NULL;
}

/* ---- features ------------------------------------------------------------ */

/* Where a feature is, size 0: nowhere. The table has a place for each bit. */
static struct xenpt_error *feature_find(struct perf *perf, unsigned int feature,
					struct perf_place *ret)
{
	uint64_t at = perf->end;
	const void *data;

	*ret = (struct perf_place){};
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
	struct perf_place place;
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

char *perf_hex(const uint8_t *bytes, size_t size)
{
	char *text = malloc(2 * size + 1);

	for (size_t i = 0; text && i < size; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
	return text;
}

/* A mapping's own build-id is nearer to the truth than the list at the end. */
static struct xenpt_error *build_id_set(struct import_images *images, const char *path,
					const uint8_t *build_id, size_t size)
{
	for (size_t i = 0; i < images->count; i++) {
		struct import_mapping *mapping = &images->data[i];

		if (mapping->build_id || strcmp(mapping->path, path) != 0)
			continue;
		mapping->build_id = perf_hex(build_id, size);
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
		MISC_SIZE = 1 << 15,
		COMPARED_MAX = 1 << 28 /* seconds; recordings need a thousandth */
	};
	struct perf_place place;
	uint64_t compared = 0;
	uint16_t size;

	XENPT_TRY(feature_find(perf, FEATURE_BUILD_ID, &place));
	for (; place.size > PATH; place.offset += size, place.size -= size) {
		const uint8_t *entry;
		const void *data;
		size_t id_size;

		XENPT_TRY(import_file_peek(&perf->file, place.offset, 8, &data));
		size = perf_get16((const uint8_t *)data + 6);
		if (size <= PATH || size > place.size)
			return xenpt_error_create(XENPT_ERROR_FORMAT,
						  "bad size %u at 0x%" PRIx64, size,
						  place.offset);
		XENPT_TRY(import_file_peek(&perf->file, place.offset, size, &data));
		entry = data;
		id_size = perf_get16(entry + 4) & MISC_SIZE ? entry[ID_SIZE]
							    : PERF_BUILD_ID_SIZE;
		if (entry[PATH] != '/' || entry[size - 1] != '\0' || !id_size ||
		    id_size > PERF_BUILD_ID_SIZE)
			continue;
		compared += perf->images.count;
		if (compared > COMPARED_MAX)
			return xenpt_error_create(
				XENPT_ERROR_FORMAT,
				"too many of them for so many mappings");
		XENPT_TRY(build_id_set(&perf->images, (const char *)entry + PATH,
				       entry + ID, id_size));
	}
	return NULL;
}

/* The trace is worth having without the feature, as where the file's end is cut. */
static struct xenpt_error *feature_warn(const struct perf *perf, const char *feature,
					struct xenpt_error *err)
{
	if (!err || err->code != XENPT_ERROR_FORMAT)
		return err;
	import_warn_error(perf->import, perf->path,
			  xenpt_error_prepend(err, "feature %s", feature));
	return NULL;
}

struct xenpt_error *perf_features_read(struct perf *perf)
{
	XENPT_TRY(feature_warn(perf, "CPUID", cpuid_read(perf)));
	return feature_warn(perf, "BUILD_ID", build_ids_read(perf));
}
