/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <endian.h>
#include <string.h>

#include "image-memory.h"
#include "page-contents.h"
#include "section.h"

#define MAPPINGS_MAX (1u << 24)

/* Pages that are stored once more, so that those next to each other are one section. */
#define COPIES_MAX ((256u << 20) / XENPT_PAGE_SIZE)

/* Of a virtual page: its content is not the same in all epochs. */
#define VARIES (UINT32_MAX - 2)
#define UNPLACED UINT64_MAX

struct mapping {
	uint64_t cr3, address, gpa;
	uint32_t epoch;
	uint32_t order; /* in the file */
};

/* A virtual page that has the same bytes in all epochs. */
struct fixed_page {
	uint64_t cr3, address;
	uint32_t content;
};

struct placement {
	uint64_t offset;
	uint32_t content;
};

struct image_memory {
	struct page_versions *versions;
	/* While it is made: all, by address, CR3, epoch. Then: what varies, by CR3 first.
	 */
	ARRAY(struct mapping) mappings;
	ARRAY(struct image_range) varying;
	uint64_t *places; /* of each content; UNPLACED: none yet */

	/* Only while it is made: */
	ARRAY(struct fixed_page) fixed;
	struct page_contents contents;
	ARRAY(struct placement) placements;
	size_t copies;
};

/* What is needed no more once all is in its place. */
static void forget(struct image_memory *memory)
{
	page_contents_deinit(&memory->contents);
	array_deinit(&memory->fixed);
	array_deinit(&memory->placements);
}

void image_memory_destroy(struct image_memory *memory)
{
	if (!memory)
		return;
	forget(memory);
	page_versions_destroy(memory->versions);
	array_deinit(&memory->mappings);
	array_deinit(&memory->varying);
	free(memory->places);
	free(memory);
}

/* ---- mappings ---- */

static int compare_mappings(const void *a, const void *b)
{
	const struct mapping *x = a, *y = b;

	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	if (x->cr3 != y->cr3)
		return x->cr3 < y->cr3 ? -1 : 1;
	if (x->epoch != y->epoch)
		return x->epoch < y->epoch ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static bool is_same_page(const struct mapping *a, const struct mapping *b)
{
	return a->address == b->address && a->cr3 == b->cr3;
}

static struct xenpt_error *add_mappings(struct image_memory *memory,
					const struct xenpt_file *file,
					const struct xenpt_chunk *chunk)
{
	_cleanup_free_ struct section_mapping *entries = malloc(chunk->size);
	size_t count = chunk->size / sizeof(*entries);

	if (count > MAPPINGS_MAX - memory->mappings.count)
		return xenpt_error_create(XENPT_ERROR_FORMAT, "more than %u mappings",
					  MAPPINGS_MAX);
	if (!entries || !array_reserve(&memory->mappings, memory->mappings.count + count))
		return xenpt_error_no_memory();
	XENPT_TRY(xenpt_file_read(file, chunk, entries));
	for (size_t i = 0; i < count; i++) {
		struct mapping *mapping = array_add(&memory->mappings);
		uint64_t gpa = le64toh(entries[i].gpa), offset = XENPT_PAGE_SIZE - 1;

		*mapping = (struct mapping){
			.cr3 = chunk->cr3,
			.address = le64toh(entries[i].address) & ~offset,
			.gpa = gpa == XENPT_GPA_NONE ? gpa : gpa & ~offset,
			.epoch = chunk->epoch,
			.order = memory->mappings.count,
		};
	}
	return NULL;
}

/* In the same epoch a later one wins; and what repeats the one before says nothing. */
static void drop_mappings(struct image_memory *memory)
{
	struct mapping *all = memory->mappings.data;
	size_t kept = 0;

	for (size_t i = 0; i < memory->mappings.count; i++) {
		if (kept && is_same_page(&all[kept - 1], &all[i]) &&
		    all[kept - 1].epoch == all[i].epoch)
			kept--;
		if (kept && is_same_page(&all[kept - 1], &all[i]) &&
		    all[kept - 1].gpa == all[i].gpa)
			continue;
		all[kept++] = all[i];
	}
	memory->mappings.count = kept;
}

static struct xenpt_error *read_mappings(struct image_memory *memory,
					 const struct xenpt_file *file)
{
	const struct xenpt_chunk *chunks;
	size_t count;

	chunks = xenpt_file_maps(file, &count);
	for (size_t i = 0; i < count; i++)
		XENPT_TRY(add_mappings(memory, file, &chunks[i]));
	qsort(memory->mappings.data, memory->mappings.count,
	      sizeof(*memory->mappings.data), compare_mappings);
	drop_mappings(memory);
	return NULL;
}

/* ---- contents of pages ---- */

static void mark_wanted(struct image_memory *memory)
{
	struct page_version *all = memory->versions->all.data;
	size_t count = memory->versions->all.count;

	for (size_t i = 0; i < count; i++)
		all[i].content = PAGE_UNWANTED;
	for (size_t i = 0; i < memory->mappings.count; i++) {
		uint64_t gpa = memory->mappings.data[i].gpa;
		size_t begin = page_versions_begin(memory->versions, gpa);

		if (begin < count && all[begin].gpa == gpa)
			all[begin].content = PAGE_WANTED;
	}
	for (size_t i = 1; i < count; i++) {
		if (all[i].gpa == all[i - 1].gpa)
			all[i].content = all[i - 1].content;
	}
}

/* Versions that nobody asks for, or that are what the one before is, say nothing. */
static void drop_versions(struct image_memory *memory)
{
	struct page_version *all = memory->versions->all.data;
	size_t kept = 0;

	for (size_t i = 0; i < memory->versions->all.count; i++) {
		if (all[i].content == PAGE_UNWANTED ||
		    (kept && all[kept - 1].gpa == all[i].gpa &&
		     all[kept - 1].content == all[i].content))
			continue;
		all[kept++] = all[i];
	}
	memory->versions->all.count = kept;
}

static struct xenpt_error *read_contents(struct image_memory *memory,
					 const struct xenpt_file *file, uint64_t max)
{
	mark_wanted(memory);
	XENPT_TRY(page_contents_read(&memory->contents, file, memory->versions, max));
	drop_versions(memory);
	return NULL;
}

/* ---- what varies ---- */

/*
 * What a mapping that holds up to @end showed all the time: a page whose first version
 * came later was not looked at before.
 */
static uint32_t mapping_content(const struct image_memory *memory,
				const struct mapping *mapping, uint32_t end)
{
	const struct page_versions *versions = memory->versions;
	const struct page_version *version, *last;

	if (mapping->gpa == XENPT_GPA_NONE)
		return VARIES;
	version = page_versions_find(versions, mapping->gpa, mapping->epoch);
	if (!version) {
		size_t begin = page_versions_begin(versions, mapping->gpa);

		if (begin == versions->all.count)
			return VARIES;
		version = &versions->all.data[begin];
		if (version->gpa != mapping->gpa || version->epoch >= end)
			return VARIES;
	}
	last = page_versions_find(versions, mapping->gpa, end - 1);
	return version == last ? version->content : VARIES;
}

/* What the mappings of one page of one address space, in order, show in all epochs. */
static uint32_t page_content(const struct image_memory *memory,
			     const struct mapping *mappings, size_t count)
{
	uint32_t content = VARIES;

	for (size_t i = 0; i < count; i++) {
		uint32_t end = i + 1 < count ? mappings[i + 1].epoch : UINT32_MAX;
		uint32_t here = mapping_content(memory, &mappings[i], end);

		if (here == VARIES || (i && here != content))
			return VARIES;
		content = here;
	}
	return content;
}

static struct xenpt_error *add_fixed(struct image_memory *memory, uint64_t cr3,
				     uint64_t address, uint32_t content)
{
	struct fixed_page *page = array_add(&memory->fixed);

	if (!page)
		return xenpt_error_no_memory();
	*page = (struct fixed_page){ cr3, address, content };
	return NULL;
}

static struct xenpt_error *add_varying(struct image_memory *memory, uint64_t address)
{
	struct image_range *last = NULL;
	uint64_t end = address + XENPT_PAGE_SIZE;

	if (memory->varying.count)
		last = &memory->varying.data[memory->varying.count - 1];
	if (!end)
		end = UINT64_MAX;
	if (last && address <= last->end) {
		last->end = end;
		return NULL;
	}
	last = array_add(&memory->varying);
	if (!last)
		return xenpt_error_no_memory();
	*last = (struct image_range){ address, end };
	return NULL;
}

/* Where the mappings of the page that @begin is of end. */
static size_t page_end(const struct image_memory *memory, size_t begin, size_t end)
{
	const struct mapping *all = memory->mappings.data;
	size_t i = begin;

	while (i < end && is_same_page(&all[begin], &all[i]))
		i++;
	return i;
}

/*
 * All mappings of one address, [@begin, @end): pages that do not vary are told by @fixed,
 * the mappings of the others are moved to *@kept.
 */
static struct xenpt_error *classify_address(struct image_memory *memory, size_t begin,
					    size_t end, size_t *kept)
{
	struct mapping *all = memory->mappings.data;
	uint64_t address = all[begin].address;
	uint32_t common = VARIES, here;
	bool shared = true;
	size_t next;

	for (size_t i = begin; i < end; i = next) {
		next = page_end(memory, i, end);
		here = page_content(memory, &all[i], next - i);
		if (here == VARIES)
			continue;
		shared &= common == VARIES || common == here;
		common = here;
	}
	if (shared && common != VARIES)
		XENPT_TRY(add_fixed(memory, XENPT_CR3_ANY, address, common));
	for (size_t i = begin; i < end; i = next) {
		next = page_end(memory, i, end);
		here = page_content(memory, &all[i], next - i);
		if (here != VARIES) {
			if (!shared)
				XENPT_TRY(add_fixed(memory, all[i].cr3, address, here));
			continue;
		}
		XENPT_TRY(add_varying(memory, address));
		memmove(&all[*kept], &all[i], (next - i) * sizeof(*all));
		*kept += next - i;
	}
	return NULL;
}

static int compare_varying(const void *a, const void *b)
{
	const struct mapping *x = a, *y = b;

	if (x->cr3 != y->cr3)
		return x->cr3 < y->cr3 ? -1 : 1;
	return compare_mappings(a, b);
}

static struct xenpt_error *classify(struct image_memory *memory)
{
	struct mapping *all = memory->mappings.data;
	size_t count = memory->mappings.count, kept = 0, end;

	for (size_t begin = 0; begin < count; begin = end) {
		for (end = begin; end < count; end++) {
			if (all[end].address != all[begin].address)
				break;
		}
		XENPT_TRY(classify_address(memory, begin, end, &kept));
	}
	memory->mappings.count = kept;
	qsort(all, kept, sizeof(*all), compare_varying);
	return NULL;
}

struct xenpt_error *image_memory_create(const struct xenpt_file *file, uint64_t max,
					struct image_memory **ret)
{
	_cleanup_(image_memory_cleanup) struct image_memory *memory = NULL;
	size_t count;

	xenpt_file_maps(file, &count);
	if (!count) {
		*ret = NULL;
		return NULL;
	}
	memory = calloc(1, sizeof(*memory));
	if (!memory)
		return xenpt_error_no_memory();
	XENPT_TRY(page_versions_create(file, &memory->versions));
	XENPT_TRY(read_mappings(memory, file));
	XENPT_TRY(read_contents(memory, file, max));
	XENPT_TRY(classify(memory));
	memory->places =
		malloc((memory->contents.all.count + 1) * sizeof(*memory->places));
	if (!memory->places)
		return xenpt_error_no_memory();
	for (size_t i = 0; i < memory->contents.all.count; i++)
		memory->places[i] = UNPLACED;
	*ret = no_cleanup_ptr(memory);
	return NULL;
}

/* ---- layout ---- */

struct layout {
	struct image_memory *memory;
	struct image_sections *sections;
	uint64_t *size, max;
};

static struct xenpt_error *place(struct layout *layout, uint32_t content)
{
	struct image_memory *memory = layout->memory;
	struct placement *placement;

	if (layout->max - *layout->size < XENPT_PAGE_SIZE)
		return page_contents_too_much();
	placement = array_add(&memory->placements);
	if (!placement)
		return xenpt_error_no_memory();
	*placement = (struct placement){ *layout->size, content };
	if (memory->places[content] == UNPLACED)
		memory->places[content] = *layout->size;
	*layout->size += XENPT_PAGE_SIZE;
	return NULL;
}

/* An address past the end would be 0: the last byte of all is left out. */
static uint64_t section_size(uint64_t address, size_t pages)
{
	uint64_t size = pages * XENPT_PAGE_SIZE;

	return size - (address + size == 0);
}

static struct xenpt_error *add_section(struct layout *layout,
				       const struct fixed_page *first, size_t pages,
				       uint64_t offset)
{
	struct image_section *section = array_add(layout->sections);

	if (!section)
		return xenpt_error_no_memory();
	*section = (struct image_section){
		.cr3 = first->cr3,
		.address = first->address,
		.size = section_size(first->address, pages),
		.offset = offset,
	};
	return NULL;
}

/* How many of the pages are stored one after the other already; at least one. */
static size_t count_stored(const struct image_memory *memory,
			   const struct fixed_page *pages, size_t count)
{
	uint64_t first = memory->places[pages[0].content];
	size_t i = 1;

	while (i < count &&
	       memory->places[pages[i].content] == first + i * XENPT_PAGE_SIZE)
		i++;
	return i;
}

/*
 * Pages that follow each other. They become one section if they are stored like that,
 * or can be: what another address space has in another order is stored once more.
 */
static struct xenpt_error *lay_out_run(struct layout *layout,
				       const struct fixed_page *pages, size_t count)
{
	struct image_memory *memory = layout->memory;
	uint64_t begin = *layout->size;
	size_t stored = 0;

	for (size_t i = 0; i < count; i++)
		stored += memory->places[pages[i].content] != UNPLACED;
	if (stored == count && count_stored(memory, pages, count) == count)
		return add_section(layout, pages, count, memory->places[pages->content]);
	if (stored <= COPIES_MAX - memory->copies) {
		memory->copies += stored;
		for (size_t i = 0; i < count; i++)
			XENPT_TRY(place(layout, pages[i].content));
		return add_section(layout, pages, count, begin);
	}
	for (size_t i = 0, size; i < count; i += size) {
		for (size_t j = i; j < count; j++) {
			if (memory->places[pages[j].content] != UNPLACED)
				break;
			XENPT_TRY(place(layout, pages[j].content));
		}
		size = count_stored(memory, pages + i, count - i);
		XENPT_TRY(add_section(layout, pages + i, size,
				      memory->places[pages[i].content]));
	}
	return NULL;
}

static int compare_fixed(const void *a, const void *b)
{
	const struct fixed_page *x = a, *y = b;

	if (x->cr3 != y->cr3)
		return x->cr3 < y->cr3 ? -1 : 1;
	return x->address < y->address ? -1 : x->address > y->address;
}

struct xenpt_error *image_memory_lay_out(struct image_memory *memory, uint64_t max,
					 struct image_sections *sections, uint64_t *size)
{
	struct layout layout = { memory, sections, size, max };
	const struct fixed_page *pages = memory->fixed.data;
	size_t count = memory->fixed.count, end;

	if (count)
		qsort(memory->fixed.data, count, sizeof(*pages), compare_fixed);
	for (size_t begin = 0; begin < count; begin = end) {
		for (end = begin + 1; end < count; end++) {
			if (pages[end].cr3 != pages[begin].cr3 ||
			    pages[end].address !=
				    pages[end - 1].address + XENPT_PAGE_SIZE)
				break;
		}
		XENPT_TRY(lay_out_run(&layout, pages + begin, end - begin));
	}
	for (size_t i = 0; i < memory->contents.all.count; i++) {
		if (memory->places[i] == UNPLACED)
			XENPT_TRY(place(&layout, i));
	}
	return NULL;
}

struct xenpt_error *image_memory_cutters(const struct image_memory *memory,
					 const struct image_sections *pages,
					 struct image_sections *ret)
{
	const struct mapping *all = memory->mappings.data;

	for (size_t i = 0; i < pages->count; i++) {
		struct image_section *cutter = array_add(ret);

		if (!cutter)
			return xenpt_error_no_memory();
		*cutter = pages->data[i];
	}
	for (size_t i = 0; i < memory->mappings.count; i++) {
		struct image_section *cutter;

		if (i && is_same_page(&all[i], &all[i - 1]))
			continue;
		cutter = array_add(ret);
		if (!cutter)
			return xenpt_error_no_memory();
		*cutter = (struct image_section){
			.cr3 = all[i].cr3,
			.address = all[i].address,
			.size = section_size(all[i].address, 1),
		};
	}
	return NULL;
}

void image_memory_copy(struct image_memory *memory, uint8_t *code)
{
	for (size_t i = 0; i < memory->placements.count; i++) {
		const struct placement *placement = &memory->placements.data[i];

		memcpy(code + placement->offset,
		       memory->contents.all.data[placement->content]->bytes,
		       XENPT_PAGE_SIZE);
	}
	forget(memory);
}

/* ---- reading ---- */

/* The first mapping of a later page, or of that page after @epoch. */
static size_t mapping_after(const struct image_memory *memory, uint32_t epoch,
			    uint64_t cr3, uint64_t address)
{
	const struct mapping wanted = { cr3, address, 0, epoch, UINT32_MAX };
	size_t lo = 0, hi = memory->mappings.count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (compare_varying(&memory->mappings.data[mid], &wanted) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

enum image_found image_memory_find(const struct image_memory *memory, uint32_t epoch,
				   uint64_t cr3, uint64_t address, uint64_t *offset_ret)
{
	const struct mapping *all = memory->mappings.data;
	uint64_t page = address - address % XENPT_PAGE_SIZE;
	const struct mapping wanted = { .cr3 = cr3, .address = page };
	size_t next = mapping_after(memory, epoch, cr3, page);
	const struct page_version *version;

	if (!next || !is_same_page(&all[next - 1], &wanted)) {
		bool later = next < memory->mappings.count &&
			     is_same_page(&all[next], &wanted);

		return later ? IMAGE_NO_CODE : IMAGE_NOT_HERE;
	}
	if (all[next - 1].gpa == XENPT_GPA_NONE)
		return IMAGE_NO_CODE;
	version = page_versions_find(memory->versions, all[next - 1].gpa, epoch);
	if (!version)
		return IMAGE_NO_CODE;
	*offset_ret = memory->places[version->content];
	return IMAGE_CODE;
}

const struct image_range *image_memory_varying(const struct image_memory *memory,
					       size_t *count_ret)
{
	*count_ret = memory->varying.count;
	return memory->varying.data;
}
