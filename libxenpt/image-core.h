/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The code in a core dump, which is there as of the dump: found by the page tables, of
 * the file's own memory first. For any number of threads.
 */
#ifndef XENPT_IMAGE_CORE_H
#define XENPT_IMAGE_CORE_H

#include "mem-core.h"

struct image_core;

/* @file and @core must outlive it; nobody else may read from @core. */
struct xenpt_error *image_core_create(const struct xenpt_file *file,
				      struct xenpt_core *core, struct image_core **ret);
void image_core_destroy(struct image_core *core);

/* As xenpt_image_read(), but no further than the page of @address. */
size_t image_core_read(struct image_core *core, uint32_t epoch, uint64_t cr3,
		       uint64_t address, void *buf, size_t size);

#endif
