/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pages.h"

static int compare(const void *a, const void *b)
{
	const struct page_version *x = a, *y = b;

	if (x->gpa != y->gpa)
		return x->gpa < y->gpa ? -1 : 1;
	if (x->epoch != y->epoch)
		return x->epoch < y->epoch ? -1 : 1;
	return x->chunk < y->chunk ? -1 : x->chunk > y->chunk;
}

static struct xenpt_error *add_chunk(struct page_versions *versions,
				     const struct xenpt_chunk *chunk, uint32_t index)
{
	for (uint32_t i = 0; i < chunk->size / XENPT_PAGE_SIZE; i++) {
		struct page_version *version = array_add(&versions->all);

		if (!version)
			return xenpt_error_no_memory();
		*version = (struct page_version){
			.gpa = chunk->offset + (uint64_t)i * XENPT_PAGE_SIZE,
			.epoch = chunk->epoch,
			.chunk = index,
			.page = i,
		};
	}
	return NULL;
}

/* Of the same page in the same epoch the later one wins. */
static void drop_overwritten(struct page_versions *versions)
{
	struct page_version *all = versions->all.data;
	size_t kept = 0;

	for (size_t i = 0; i < versions->all.count; i++) {
		if (kept && all[kept - 1].gpa == all[i].gpa &&
		    all[kept - 1].epoch == all[i].epoch)
			kept--;
		all[kept++] = all[i];
	}
	versions->all.count = kept;
}

struct xenpt_error *page_versions_create(const struct xenpt_file *file,
					 struct page_versions **ret)
{
	_cleanup_(page_versions_cleanup) struct page_versions *versions =
		calloc(1, sizeof(*versions));
	const struct xenpt_chunk *chunks;
	size_t count;

	if (!versions)
		return xenpt_error_no_memory();
	if (xenpt_file_info(file)->pages > XENPT_PAGES_MAX)
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "%s: more than %u pages of memory",
					  xenpt_file_info(file)->path, XENPT_PAGES_MAX);
	chunks = xenpt_file_pages(file, &count);
	for (size_t i = 0; i < count; i++)
		XENPT_TRY(add_chunk(versions, &chunks[i], i));
	if (versions->all.count)
		qsort(versions->all.data, versions->all.count,
		      sizeof(*versions->all.data), compare);
	drop_overwritten(versions);
	*ret = no_cleanup_ptr(versions);
	return NULL;
}

void page_versions_destroy(struct page_versions *versions)
{
	if (!versions)
		return;
	array_deinit(&versions->all);
	free(versions);
}

/* The first version of a later page, or of that page after @epoch. */
static size_t after(const struct page_versions *versions, uint64_t gpa, uint32_t epoch)
{
	size_t lo = 0, hi = versions->all.count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct page_version *version = &versions->all.data[mid];

		if (version->gpa < gpa ||
		    (version->gpa == gpa && version->epoch <= epoch))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

size_t page_versions_begin(const struct page_versions *versions, uint64_t gpa)
{
	return gpa ? after(versions, gpa - 1, UINT32_MAX) : 0;
}

const struct page_version *page_versions_find(const struct page_versions *versions,
					      uint64_t gpa, uint32_t epoch)
{
	size_t next = after(versions, gpa, epoch);

	if (!next || versions->all.data[next - 1].gpa != gpa)
		return NULL;
	return &versions->all.data[next - 1];
}
