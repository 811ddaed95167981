/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file being written, and what writes its chunks: for file-write*.c alone. */
#ifndef XENPT_FILE_WRITE_H
#define XENPT_FILE_WRITE_H

#include "config.h"

#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#include "section.h"
#include "xenpt.h"

struct xenpt_writer {
	int fd;
	char *name;
	uint64_t file;     /* id */
	uint64_t sequence; /* of the next chunk */
	uint64_t size;     /* of those before it */
	int errnum;        /* what the file failed with, 0: it has not */
	bool finished;
	bool cpu, domain, trace, outcome; /* were written */
	uint32_t epoch;
	struct {
		uint64_t offset; /* of its next byte of trace */
		uint32_t gaps;   /* before it */
		bool known;
	} vcpus[XENPT_VCPUS_MAX];
	bool images[XENPT_IMAGES_MAX];
#ifdef HAVE_ZSTD
	ZSTD_CCtx *zstd;
	uint8_t packed[SECTION_CODE_MAX];
#endif
};

/* A name longer than this is not a name. */
#define XENPT_NAME_SIZE_MAX 4096

/* Whether chunks can still be written. */
struct xenpt_error *xenpt_writer_check(struct xenpt_writer *writer);

/* … of this vCPU, which must have been announced. */
struct xenpt_error *xenpt_writer_check_vcpu(struct xenpt_writer *writer, uint32_t vcpu);

/* Write a chunk; the caller has set what places it in the header. */
struct xenpt_error *xenpt_writer_put(struct xenpt_writer *writer,
				     struct section_header header, const void *data,
				     size_t size);

#endif
