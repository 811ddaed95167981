/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An open file, and how its chunks are indexed: for file-read.c alone. */
#ifndef XENPT_FILE_INDEX_H
#define XENPT_FILE_INDEX_H

#include "array.h"
#include "file.h"
#include "section.h"

struct vcpu {
	struct xenpt_vcpu_info info;
	char *name;
	uint64_t next; /* offset of the byte of trace that follows */
	uint32_t gaps; /* those of the file before it */
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
	ARRAY(struct xenpt_chunk) code, symbols;
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

#endif
