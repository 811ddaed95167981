/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the rest of the library reads of an open .xpt file: its chunks. */
#ifndef XENPT_FILE_H
#define XENPT_FILE_H

#include "xenpt.h"

/* A whole chunk of the file, or a place where trace is missing. */
struct xenpt_chunk {
	uint64_t position; /* of its header in the file */
	uint64_t offset;   /* TRACE: in the vCPU's trace; CODE, PAGES: address */
	union {
		uint64_t cr3;  /* CODE, MAP */
		uint64_t lost; /* GAP: bytes, 0 unknown */
	};
	uint32_t size; /* of its data: bytes of trace, code, symbols, … */
	union {
		uint32_t image; /* CODE, SYMBOLS */
		uint32_t epoch; /* TRACE, PAGES, MAP; never goes back in a trace */
	};
	uint8_t type; /* enum xenpt_section_type: TRACE or GAP for trace */
	uint8_t gap;  /* GAP: enum xenpt_gap_reason */
};

/*
 * The trace of one vCPU, in order. Where stored chunks do not follow each other
 * (the file was damaged), the reader has put a GAP of reason DAMAGED.
 * NULL and 0: no such vCPU.
 */
const struct xenpt_chunk *xenpt_file_trace(const struct xenpt_file *file, uint32_t vcpu,
					   size_t *count_ret);

/* The code, in file order: later ones win. */
const struct xenpt_chunk *xenpt_file_code(const struct xenpt_file *file,
					  size_t *count_ret);

/* The symbol tables, in file order. */
const struct xenpt_chunk *xenpt_file_symbols(const struct xenpt_file *file,
					     size_t *count_ret);

/*
 * Guest memory, whole pages; and mappings, whole ones, at least one. Both in file order:
 * of the same in the same epoch a later one wins.
 */
const struct xenpt_chunk *xenpt_file_pages(const struct xenpt_file *file,
					   size_t *count_ret);
const struct xenpt_chunk *xenpt_file_maps(const struct xenpt_file *file,
					  size_t *count_ret);

/* The image of that id; NULL: it was not described. */
const struct xenpt_image_info *xenpt_file_image(const struct xenpt_file *file,
						uint32_t id);

/*
 * Read a chunk's data (@chunk->size bytes, decompressed) into @buf. Any number
 * of threads may. XENPT_ERROR_FORMAT: damaged.
 */
struct xenpt_error *xenpt_file_read(const struct xenpt_file *file,
				    const struct xenpt_chunk *chunk, void *buf);

#endif
