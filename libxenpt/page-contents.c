/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <search.h>
#include <string.h>

#include "page-contents.h"

static void keep(void *node)
{
}

void page_contents_deinit(struct page_contents *contents)
{
	tdestroy(contents->tree, keep);
	contents->tree = NULL;
	for (size_t i = 0; i < contents->all.count; i++)
		free(contents->all.data[i]);
	array_deinit(&contents->all);
}

struct xenpt_error *page_contents_too_much(void)
{
	return xenpt_error_create(XENPT_ERROR_FORMAT, "too much code");
}

static int compare_chunks(const void *a, const void *b)
{
	const struct page_version *const *x = a, *const *y = b;

	if ((*x)->chunk != (*y)->chunk)
		return (*x)->chunk < (*y)->chunk ? -1 : 1;
	return (*x)->page < (*y)->page ? -1 : (*x)->page > (*y)->page;
}

static int compare_contents(const void *a, const void *b)
{
	const struct page_content *x = a, *y = b;

	return memcmp(x->bytes, y->bytes, sizeof(x->bytes));
}

/* Number the bytes of a page. */
static struct xenpt_error *add(struct page_contents *contents, const uint8_t *bytes,
			       uint32_t *ret)
{
	_cleanup_free_ struct page_content *content = malloc(sizeof(*content));
	struct page_content **found;

	if (!content || !array_reserve(&contents->all, contents->all.count + 1))
		return xenpt_error_no_memory();
	memcpy(content->bytes, bytes, sizeof(content->bytes));
	content->id = contents->all.count;
	found = tsearch(content, &contents->tree, compare_contents);
	if (!found)
		return xenpt_error_no_memory();
	*ret = (*found)->id;
	if (*found == content)
		contents->all.data[contents->all.count++] = no_cleanup_ptr(content);
	return NULL;
}

/* Read chunk by chunk, each once. */
static struct xenpt_error *read_versions(struct page_contents *contents,
					 const struct xenpt_file *file, uint64_t max,
					 struct page_version **order, size_t count)
{
	_cleanup_free_ uint8_t *data = NULL;
	const struct xenpt_chunk *chunks;
	size_t chunk_count;

	chunks = xenpt_file_pages(file, &chunk_count);
	for (size_t i = 0; i < count; i++) {
		const struct xenpt_chunk *chunk = &chunks[order[i]->chunk];

		if (!i || order[i]->chunk != order[i - 1]->chunk) {
			free(data);
			data = malloc(chunk->size);
			if (!data)
				return xenpt_error_no_memory();
			XENPT_TRY(xenpt_file_read(file, chunk, data));
		}
		XENPT_TRY(add(contents, data + (size_t)order[i]->page * XENPT_PAGE_SIZE,
			      &order[i]->content));
		if (contents->all.count > max / XENPT_PAGE_SIZE)
			return page_contents_too_much();
	}
	return NULL;
}

struct xenpt_error *page_contents_read(struct page_contents *contents,
				       const struct xenpt_file *file,
				       struct page_versions *versions, uint64_t max)
{
	_cleanup_free_ struct page_version **order = NULL;
	size_t count = 0;

	order = calloc(versions->all.count + 1, sizeof(*order));
	if (!order)
		return xenpt_error_no_memory();
	for (size_t i = 0; i < versions->all.count; i++) {
		if (versions->all.data[i].content == PAGE_WANTED)
			order[count++] = &versions->all.data[i];
	}
	qsort(order, count, sizeof(*order), compare_chunks);
	return read_versions(contents, file, max, order, count);
}
