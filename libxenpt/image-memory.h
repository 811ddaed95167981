/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The code in a file's guest memory: mappings say which page was where, in which address
 * space and from which epoch on; pages have versions.
 *
 *	(cr3, address, epoch) -> gpa		mappings
 *	(gpa, epoch) -> bytes			versions of pages
 *
 * Pages that are the same in all epochs are sections of the image, and those that are
 * the same in all address spaces, too, sections for any: they are nearly all. The others
 * are looked up at each read.
 */
#ifndef XENPT_IMAGE_MEMORY_H
#define XENPT_IMAGE_MEMORY_H

#include "array.h"
#include "cleanup.h"
#include "image.h"

struct image_memory;

/* Reads all code pages, at most @max bytes. NULL: the file has no mappings. */
struct xenpt_error *image_memory_create(const struct xenpt_file *file, uint64_t max,
					struct image_memory **ret);
void image_memory_destroy(struct image_memory *memory);
XENPT_DEFINE_CLEANUP(struct image_memory, image_memory, image_memory_destroy)

ARRAY_TYPE(image_sections, struct image_section);

/*
 * Give each page its place in the image's file, from *@size on, which has room for
 * @max bytes; and add the sections, in the order of sections.
 */
struct xenpt_error *image_memory_lay_out(struct image_memory *memory, uint64_t max,
					 struct image_sections *sections, uint64_t *size);

/* What has no room for other code: @pages, which it laid out, and all that varies. */
struct xenpt_error *image_memory_cutters(const struct image_memory *memory,
					 const struct image_sections *pages,
					 struct image_sections *ret);

/* Copy the pages to their places in @code, and forget them. */
void image_memory_copy(struct image_memory *memory, uint8_t *code);

enum image_found {
	IMAGE_NOT_HERE, /* nothing at this address of @cr3 changes */
	IMAGE_NO_CODE,  /* none could be read in this epoch */
	IMAGE_CODE,
};

/* What changes: the page at @address, as it was in @epoch, is at *@offset_ret. */
enum image_found image_memory_find(const struct image_memory *memory, uint32_t epoch,
				   uint64_t cr3, uint64_t address, uint64_t *offset_ret);

/* The addresses of all that changes: in order, apart. */
const struct image_range *image_memory_varying(const struct image_memory *memory,
					       size_t *count_ret);

#endif
