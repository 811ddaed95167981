/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the importers share: bounded reading of files, images, the CPU. */
#ifndef XENPT_IMPORT_H
#define XENPT_IMPORT_H

#include <stddef.h>
#include <stdint.h>

#include "libxenpt/cleanup.h"
#include "libxenpt/xenpt.h"

/* ---- files --------------------------------------------------------------- */

/* What one peek may ask for: more than any record or line of a format. */
#define IMPORT_WINDOW (256 * 1024u)

/* A regular file, read anywhere below the size that it had when it was opened. */
struct import_file {
	int fd;
	uint64_t size;
	uint8_t *window; /* of the file, from start on */
	uint64_t start;
	size_t filled;
};

#define IMPORT_FILE_CLOSED \
	{                  \
		.fd = -1   \
	}

/* Messages do not name the file: the caller prepends it. */
struct xenpt_error *import_file_open(const char *path, struct import_file *ret);
void import_file_close(struct import_file *file);
#define _cleanup_import_file_ _cleanup_(import_file_close)

/* Look at [@offset, @offset + @size), up to IMPORT_WINDOW; until the next call. */
struct xenpt_error *import_file_peek(struct import_file *file, uint64_t offset,
				     size_t size, const void **ret);

/* The whole of a file of up to @max bytes, with a 0 after it. */
struct xenpt_error *import_file_load(const char *path, uint64_t max, char **ret,
				     size_t *size_ret);

/* "DIR/NAME"; NULL: no memory. */
char *import_join(const char *dir, const char *name);

/* ---- talk ---------------------------------------------------------------- */

void import_warn(const struct xenpt_import *import, const char *fmt, ...)
	XENPT_PRINTF(2, 3);

/* Turn a failure into a warning, "PATH: …": @err is consumed. */
void import_warn_error(const struct xenpt_import *import, const char *path,
		       struct xenpt_error *err);

void import_progress(const struct xenpt_import *import, const char *path, uint64_t done,
		     uint64_t total);

/* ---- what goes into the .xpt ---------------------------------------------- */

/* Merge what the input says of the CPU with what the user says, and write it. */
struct xenpt_error *import_cpu(struct xenpt_writer *writer,
			       const struct xenpt_import *import,
			       const struct xenpt_cpu *found, struct xenpt_cpu *ret);

/* Copy [@begin, @end) of @file as code at @address. */
struct xenpt_error *import_code(struct xenpt_writer *writer,
				const struct xenpt_import *import, uint32_t image,
				struct import_file *file, uint64_t begin, uint64_t end,
				uint64_t address);

/* Copy a file or pipe of raw PT as vCPU @vcpu, called @name: pt.c. */
struct xenpt_error *import_pt(struct xenpt_writer *writer,
			      const struct xenpt_import *import, uint32_t vcpu,
			      const char *name, const char *path);

/* ---- ELF files: elf.c ------------------------------------------------------ */

#define IMPORT_BUILD_ID_MAX 64 /* bytes; sha1: 20 */

/* An ELF file of x86. */
struct import_elf;

struct xenpt_error *import_elf_open(const char *path, struct import_elf **ret);
void import_elf_close(struct import_elf *elf);
XENPT_DEFINE_CLEANUP(struct import_elf, import_elf, import_elf_close)
#define _cleanup_import_elf_ _cleanup_(import_elf_cleanup)

uint64_t import_elf_size(const struct import_elf *elf);

/* Fails if its build-id is not @build_id, in hex digits. */
struct xenpt_error *import_elf_check(const struct import_elf *elf, const char *build_id);

/* Announce it as @image, called @name. */
struct xenpt_error *import_elf_announce(const struct import_elf *elf,
					struct xenpt_writer *writer,
					const struct xenpt_import *import, uint32_t image,
					const char *name);

/* How far from the addresses in the file it is, if its lowest page is at @base. */
uint64_t import_elf_bias(const struct import_elf *elf, uint64_t base);

/* Its executable segments, and its functions. */
struct xenpt_error *import_elf_code(struct import_elf *elf, struct xenpt_writer *writer,
				    const struct xenpt_import *import, uint32_t image,
				    uint64_t bias);
struct xenpt_error *import_elf_symbols(struct import_elf *elf,
				       struct xenpt_writer *writer, uint32_t image,
				       uint64_t bias);

/*
 * The code of one mapping: @length bytes from @offset of the file at @address,
 * no more of it than the pages of executable segments. @bias is that of the
 * mapping before, and stays if it explains this one: two segments may share a
 * page, and a process may have its data executable.
 */
struct xenpt_error *import_elf_mapping(struct import_elf *elf,
				       struct xenpt_writer *writer,
				       const struct xenpt_import *import, uint32_t image,
				       uint64_t address, uint64_t length, uint64_t offset,
				       uint64_t *bias);

/* ---- images of processes: images.c ----------------------------------------- */

/* Where a process had an image. */
struct import_mapping {
	uint32_t pid;
	uint32_t image;  /* by path and build-id; set when written */
	uint64_t length; /* 0: all of the image, its lowest page at address */
	uint64_t address, offset;
	char *path;     /* where it was when it was recorded */
	char *file;     /* where it is now; NULL: to be found */
	char *build_id; /* hex digits; NULL: unknown */
};

struct import_images {
	struct import_mapping *data;
	size_t count, capacity;
};

void import_images_deinit(struct import_images *images);
#define _cleanup_import_images_ _cleanup_(import_images_deinit)

/* Add a mapping; the strings of @mapping are taken, also on failure. */
struct xenpt_error *import_images_add(struct import_images *images,
				      struct import_mapping *mapping);

/* Keep the mappings of the process that the user asked for, or of the only one. */
struct xenpt_error *import_images_choose(struct import_images *images,
					 const struct xenpt_import *import);

/* Write them as images 0, 1, …. What cannot be had is a warning. */
struct xenpt_error *import_images_write(struct import_images *images,
					struct xenpt_writer *writer,
					const struct xenpt_import *import);

#endif
