/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytes of pages, each once: versions of a page, and pages, may be the same. */
#ifndef XENPT_PAGE_CONTENTS_H
#define XENPT_PAGE_CONTENTS_H

#include "array.h"
#include "pages.h"

struct page_content {
	uint32_t id;
	uint8_t bytes[XENPT_PAGE_SIZE];
};

struct page_contents {
	ARRAY(struct page_content *) all; /* by id */
	void *tree; /* of all, by their bytes: no enemy makes it slow */
};

/* page_version.content, until it is a number. */
#define PAGE_UNWANTED UINT32_MAX
#define PAGE_WANTED (UINT32_MAX - 1)

/* Number the contents of all versions that are wanted; at most @max bytes. */
struct xenpt_error *page_contents_read(struct page_contents *contents,
				       const struct xenpt_file *file,
				       struct page_versions *versions, uint64_t max);
void page_contents_deinit(struct page_contents *contents);

/* What to say of more bytes than there may be. */
struct xenpt_error *page_contents_too_much(void);

#endif
