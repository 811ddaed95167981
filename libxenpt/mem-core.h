/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guest-physical memory out of a core dump: "xl dump-core" (ELF without program headers;
 * Xen's docs/misc/dump-core-format.txt), and with libkdumpfile the dumps of kdump and
 * makedumpfile. The dump is a guest's: nothing in it is believed.
 */
#ifndef XENPT_MEM_CORE_H
#define XENPT_MEM_CORE_H

#include "mem.h"

struct xenpt_core;

/* An error names @path and what is wrong with it. */
XENPT_API struct xenpt_error *xenpt_core_open(const char *path, struct xenpt_core **ret);
XENPT_API void xenpt_core_close(struct xenpt_core *core);
/* Valid until close(). For one thread at a time. */
XENPT_API struct xenpt_mem *xenpt_core_mem(struct xenpt_core *core);

/* "xl dump-core", "kdump (elf)", …. Valid until close(). */
XENPT_API const char *xenpt_core_format(const struct xenpt_core *core);
XENPT_API uint32_t xenpt_core_vcpus(const struct xenpt_core *core);
/* Pages that are there; 0: the format does not tell. */
XENPT_API uint64_t xenpt_core_pages(const struct xenpt_core *core);
/* Pages that should be there, but are behind the end of the file. */
XENPT_API uint64_t xenpt_core_missing(const struct xenpt_core *core);
/*
 * Of a vCPU, as far as the format has them (a dump-core has no EFER, whose LMA is
 * concluded from the other registers; a kdump has no control registers, either). False:
 * it has none.
 */
XENPT_API bool xenpt_core_registers(const struct xenpt_core *core, uint32_t vcpu,
				    struct xenpt_registers *ret);

/*
 * What @image has no code for is looked for in @core, too, and by the page tables in
 * @file, which both must outlive it. Once, before anybody reads from @image; then nobody
 * else may read from @core.
 */
XENPT_API struct xenpt_error *xenpt_image_add_core(struct xenpt_image *image,
						   const struct xenpt_file *file,
						   struct xenpt_core *core);

#endif
