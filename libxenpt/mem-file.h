/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest memory that a file has. */
#ifndef XENPT_MEM_FILE_H
#define XENPT_MEM_FILE_H

#include "mem.h"

#define XENPT_EPOCH_NEWEST UINT32_MAX

/* As it was in @epoch. @file must outlive it. For one thread. */
struct xenpt_error *xenpt_mem_file_create(const struct xenpt_file *file, uint32_t epoch,
					  struct xenpt_mem **ret);
void xenpt_mem_file_destroy(struct xenpt_mem *mem);

/* From here on, as it was in another epoch. */
void xenpt_mem_file_set_epoch(struct xenpt_mem *mem, uint32_t epoch);

#endif
