/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A trace buffer in guest-physical space: ToPA tables and the regions that they name,
 * which together are one ring. SDM volume 3, "Table of Physical Addresses (ToPA)".
 *
 *	gfn                                                        end_gfn
 *	| table | table | ... | region 0 | region 1 | .. | region n |
 *	    │ ▲   END ──┐        ▲ 0        ▲ offset in the ring
 *	    │ └─────────┘        │          │
 *	    └────────────────────┴──────────┘
 *
 * A region is aligned to its size: between them there may be pages that nobody uses.
 * Here is arithmetic only: who maps guest memory copies the tables there.
 */
#ifndef HV_BUFFER_H
#define HV_BUFFER_H

#include "libxenpt/xenpt.h"

#define BUFFER_PAGE 4096u
#define BUFFER_REGION_MAX (UINT64_C(128) << 20)
#define BUFFER_REGIONS_MAX 4096
#define BUFFER_TABLE_ENTRIES 512 /* in one page; the last that is used is END */

struct buffer_region {
	uint64_t gpa, size;
	uint64_t offset; /* in the ring */
	bool stop;
};

struct buffer {
	uint64_t size; /* of the ring */
	struct buffer_region *regions;
	size_t region_count;
	uint64_t table_gpa; /* OUTPUT_BASE at the start */
	uint64_t *tables;   /* what they should hold, in the guest's byte order */
	size_t table_pages; /* each a table of its own, linked to the next */
	uint64_t end_gfn;   /* past the last page */
};

struct buffer_layout {
	uint64_t gfn;          /* where it may begin */
	uint64_t size;         /* of the ring, at least; not used if there are sizes */
	const uint64_t *sizes; /* of the regions: 4 KiB << 0 … 15, or NULL */
	size_t size_count;
	bool stop;           /* the last region stops the trace */
	bool interrupt;      /* when half of the ring is full, and all of it, … */
	bool interrupt_each; /* … or when each region is */
};

struct xenpt_error *buffer_create(const struct buffer_layout *layout,
				  struct buffer **ret);
void buffer_destroy(struct buffer *buffer);

/* Sizes of regions, "4k+64k+1m"; at most BUFFER_REGIONS_MAX. *@ret is to be freed. */
struct xenpt_error *buffer_parse_sizes(const char *text, uint64_t **ret,
				       size_t *count_ret);

/* Where in the ring the MSRs point, 0 … size. False: not into this buffer. */
bool buffer_offset(const struct buffer *buffer, uint64_t output_base,
		   uint64_t output_mask_ptrs, uint64_t *ret);

/* The MSRs for an offset below the size. */
void buffer_pointers(const struct buffer *buffer, uint64_t offset,
		     uint64_t *output_base_ret, uint64_t *output_mask_ptrs_ret);

/* Whether @tables, guest memory that is mapped, still are what they should be. */
bool buffer_is_intact(const struct buffer *buffer, const void *tables);

#endif
