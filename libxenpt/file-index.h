/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An open file, and how its chunks are indexed: for file-read.c and file-index*.c. */
#ifndef XENPT_FILE_INDEX_H
#define XENPT_FILE_INDEX_H

#include "array.h"
#include "file.h"
#include "section.h"

struct vcpu {
	struct xenpt_vcpu_info info;
	char *name;
	uint64_t next;  /* offset of the byte of trace that follows */
	uint32_t gaps;  /* those of the file before it */
	uint32_t epoch; /* of the trace before it */
	ARRAY(struct xenpt_chunk) chunks;
};

struct xenpt_file {
	int fd;
	char *path, *creator;
	struct xenpt_file_info info;
	bool damaged, ended;
	struct vcpu *vcpus[XENPT_VCPUS_MAX]; /* by id */
	ARRAY(struct xenpt_image_info) images;
	uint32_t image_slots[XENPT_IMAGES_MAX]; /* by id: index in images + 1 */
	ARRAY(struct xenpt_chunk) code, symbols, pages, maps;
	struct xenpt_domain domain;
	struct xenpt_outcome outcome;
	ARRAY(struct xenpt_sample) samples;
	ARRAY(struct xenpt_vcpu_info) vcpu_infos;
	ARRAY(struct xenpt_damage) damages;
};

/* Visitors of xenpt_scan(); @arg is the file. */
struct xenpt_error *xenpt_index_chunk(void *arg, uint64_t position,
				      const struct section_header *header);
struct xenpt_error *xenpt_index_damage(void *arg, const struct xenpt_damage *damage);

/*
 * Read the payload of a chunk as it is stored. @why_ret: NULL, or what is wrong
 * with it.
 */
struct xenpt_error *xenpt_index_payload(const struct xenpt_file *file, uint64_t position,
					const struct section_header *header, void *buf,
					const char **why_ret);

/* ---- between file-index.c and file-index-guest.c ---- */

/* The chunk that is being indexed. */
struct source {
	struct xenpt_file *file;
	uint64_t position;
	const struct section_header *header;
};

#define XENPT_INDEX_NAMES "names past the end of a chunk"
#define XENPT_INDEX_EPOCH "an impossible epoch"

/* All of the chunk is of no use. */
struct xenpt_error *xenpt_index_reject(const struct source *source, const char *why);

/*
 * The payload of a chunk that describes, and a zero byte. NULL: it has less
 * than @min bytes or is damaged, which has been noted.
 */
struct xenpt_error *xenpt_index_text(const struct source *source, size_t min, char **ret);

/* Other payloads are checked now, so that the list of damage is whole. */
struct xenpt_error *xenpt_index_check(const struct source *source, bool *good_ret);

/* The vCPU of a chunk; its announcement may have been lost. */
struct xenpt_error *xenpt_index_vcpu(const struct source *source, struct vcpu **ret);

/* Note that the file has this epoch. */
void xenpt_index_epoch(struct xenpt_file *file, uint32_t epoch);

struct xenpt_error *xenpt_index_domain(const struct source *source);
struct xenpt_error *xenpt_index_outcome(const struct source *source);
struct xenpt_error *xenpt_index_registers(const struct source *source);
struct xenpt_error *xenpt_index_pages(const struct source *source);
struct xenpt_error *xenpt_index_map(const struct source *source);

#endif
