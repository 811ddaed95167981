/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the decoder needs of the code: a file, and what of it lies where. */
#ifndef XENPT_IMAGE_H
#define XENPT_IMAGE_H

#include "xenpt.h"

/*
 * Code at [address, address + size) of an address space, which never reaches
 * 2^64: @size bytes at @offset of the image's file.
 */
struct image_section {
	uint64_t cr3; /* or XENPT_CR3_ANY */
	uint64_t address, size;
	uint64_t offset;
};

/* By CR3, then by address; those of one CR3 do not overlap. */
const struct image_section *xenpt_image_sections(const struct xenpt_image *image,
						 size_t *count_ret);

/*
 * Addresses at which some address space has code that depends on the epoch: it is in no
 * section, only xenpt_image_read() knows it. Others may have sections there, those for
 * any among them.
 */
struct image_range {
	uint64_t begin, end;
};
/* In order, apart. */
const struct image_range *xenpt_image_varying(const struct xenpt_image *image,
					      size_t *count_ret);

/*
 * An image without sections, which asks @read for each byte: as many as there are, up to
 * @size, at @address of @cr3. For one thread at a time. Epochs are not looked at: what
 * is there is what there is now.
 */
typedef size_t xenpt_image_read_fn(void *arg, uint64_t cr3, uint64_t address, void *buf,
				   size_t size);
struct xenpt_error *xenpt_image_create_live(xenpt_image_read_fn *read, void *arg,
					    struct xenpt_image **ret);

/* A memfd with the code, as large as it will ever be; the image's. -1: no sections. */
int xenpt_image_fd(const struct xenpt_image *image);

#endif
