/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which versions of which pages of guest memory a file has, and where. */
#ifndef XENPT_PAGES_H
#define XENPT_PAGES_H

#include "array.h"
#include "cleanup.h"
#include "file.h"
#include "mem.h"

/* Memory of a file that is looked at; the rest of a small one may be as large. */
#define XENPT_PAGES_MAX (1u << 24)

struct page_version {
	uint64_t gpa;
	uint32_t epoch;   /* from which on it holds */
	uint32_t chunk;   /* of xenpt_file_pages() */
	uint32_t page;    /* of the chunk */
	uint32_t content; /* whoever looks at them may number them */
};

/* By gpa, then by epoch: one for each epoch that a page was recorded in. */
struct page_versions {
	ARRAY(struct page_version) all;
};

struct xenpt_error *page_versions_create(const struct xenpt_file *file,
					 struct page_versions **ret);
void page_versions_destroy(struct page_versions *versions);
XENPT_DEFINE_CLEANUP(struct page_versions, page_versions, page_versions_destroy)

/* Where the versions of @gpa, a page, begin; or those of the next page there is. */
size_t page_versions_begin(const struct page_versions *versions, uint64_t gpa);

/* The newest not after @epoch; NULL: none. */
const struct page_version *page_versions_find(const struct page_versions *versions,
					      uint64_t gpa, uint32_t epoch);

#endif
