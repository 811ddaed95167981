/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <endian.h>
#include <string.h>

#include "hv/buffer.h"
#include "hv/pt/topa.h"
#include "libxenpt/array.h"
#include "libxenpt/cleanup.h"

#define REGIONS_PER_TABLE (BUFFER_TABLE_ENTRIES - 1)

/* IA32_RTIT_OUTPUT_MASK_PTRS: 6:0 are ones, 31:7 the entry, 63:32 the offset in it. */
#define POINTERS_INDEX_SHIFT 7
#define POINTERS_OFFSET_SHIFT 32

XENPT_DEFINE_CLEANUP(struct buffer, buffer, buffer_destroy)

static bool is_region_size(uint64_t size)
{
	return size >= BUFFER_PAGE && size <= BUFFER_REGION_MAX && !(size & (size - 1));
}

/*
 * Four to eight regions of one size where that goes, so that an interrupt can be had
 * near the half, and few addresses are spent on alignment.
 */
static uint64_t choose_region_size(uint64_t size)
{
	uint64_t region = BUFFER_PAGE;

	while (region < BUFFER_REGION_MAX && region * 8 <= size)
		region *= 2;
	return region;
}

static struct xenpt_error *set_sizes(struct buffer *buffer,
				     const struct buffer_layout *layout)
{
	uint64_t region = choose_region_size(layout->size), size, end;
	size_t count = layout->size_count;

	if (!layout->sizes) {
		if (!layout->size ||
		    layout->size > BUFFER_REGIONS_MAX * BUFFER_REGION_MAX)
			return xenpt_error_create(XENPT_ERROR_INVALID,
						  "a trace buffer of %ju bytes",
						  (uintmax_t)layout->size);
		count = (layout->size + region - 1) / region;
	}
	if (!count || count > BUFFER_REGIONS_MAX)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "a trace buffer of %zu regions: 1 to %d", count,
					  BUFFER_REGIONS_MAX);
	buffer->regions = calloc(count, sizeof(*buffer->regions));
	if (!buffer->regions)
		return xenpt_error_no_memory();
	buffer->region_count = count;
	buffer->table_pages = (count + REGIONS_PER_TABLE - 1) / REGIONS_PER_TABLE;
	buffer->table_gpa = layout->gfn * BUFFER_PAGE;
	end = buffer->table_gpa + buffer->table_pages * BUFFER_PAGE;
	for (size_t i = 0; i < count; i++) {
		struct buffer_region *r = &buffer->regions[i];

		size = layout->sizes ? layout->sizes[i] : region;
		if (!is_region_size(size))
			return xenpt_error_create(XENPT_ERROR_INVALID,
						  "a region of %ju bytes: they have "
						  "4k, 8k, 16k, ... 128m",
						  (uintmax_t)size);
		r->gpa = (end + size - 1) & ~(size - 1);
		r->size = size;
		r->offset = buffer->size;
		r->stop = layout->stop && i == count - 1;
		end = r->gpa + size;
		buffer->size += size;
	}
	buffer->end_gfn = end / BUFFER_PAGE;
	return NULL;
}

static struct xenpt_error *set_tables(struct buffer *buffer,
				      const struct buffer_layout *layout)
{
	uint64_t next, entry, *table = NULL;
	bool half_told = false;

	buffer->tables = calloc(buffer->table_pages, BUFFER_PAGE);
	if (!buffer->tables)
		return xenpt_error_no_memory();
	for (size_t i = 0; i < buffer->region_count; i++) {
		const struct buffer_region *r = &buffer->regions[i];
		uint64_t end = r->offset + r->size;
		size_t page = i / REGIONS_PER_TABLE, at = i % REGIONS_PER_TABLE;

		table = buffer->tables + page * BUFFER_TABLE_ENTRIES;
		entry = r->gpa | (uint64_t)__builtin_ctzll(r->size / BUFFER_PAGE)
					 << XPT_TOPA_SIZE_SHIFT;
		if (r->stop)
			entry |= XPT_TOPA_STOP;
		if (layout->interrupt &&
		    (end == buffer->size || (!half_told && end >= buffer->size / 2))) {
			entry |= XPT_TOPA_INT;
			half_told = true;
		}
		if (layout->interrupt_each)
			entry |= XPT_TOPA_INT;
		table[at] = htole64(entry);
		next = (page + 1) % buffer->table_pages;
		table[at + 1] =
			htole64((buffer->table_gpa + next * BUFFER_PAGE) | XPT_TOPA_END);
	}
	return NULL;
}

struct xenpt_error *buffer_create(const struct buffer_layout *layout, struct buffer **ret)
{
	_cleanup_(buffer_cleanup) struct buffer *buffer = calloc(1, sizeof(*buffer));

	/* Addresses have at most 52 bits: no sum of them below overflows. */
	if (layout->gfn >> 40)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "no trace buffer at page %#jx",
					  (uintmax_t)layout->gfn);
	if (!buffer)
		return xenpt_error_no_memory();
	XENPT_TRY(set_sizes(buffer, layout));
	XENPT_TRY(set_tables(buffer, layout));
	*ret = no_cleanup_ptr(buffer);
	return NULL;
}

void buffer_destroy(struct buffer *buffer)
{
	if (!buffer)
		return;
	free(buffer->regions);
	free(buffer->tables);
	free(buffer);
}

struct xenpt_error *buffer_parse_sizes(const char *text, uint64_t **ret,
				       size_t *count_ret)
{
	_cleanup_free_ uint64_t *sizes = NULL;
	const char *p = text;
	uint64_t size;
	size_t count;

	sizes = calloc(BUFFER_REGIONS_MAX, sizeof(*sizes));
	if (!sizes)
		return xenpt_error_no_memory();
	for (count = 0; count < BUFFER_REGIONS_MAX; count++) {
		for (size = 0; *p >= '0' && *p <= '9' && size < 1 << 20; p++)
			size = size * 10 + (*p - '0');
		if (*p == 'k' || *p == 'K')
			size <<= 10;
		else if (*p == 'm' || *p == 'M')
			size <<= 20;
		else
			break;
		sizes[count] = size;
		p++;
		if (!is_region_size(size) || !*p)
			break;
		if (*p != '+' && *p != ',')
			break;
		p++;
	}
	if (count == BUFFER_REGIONS_MAX || *p || !is_region_size(sizes[count]))
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "'%s' are no sizes of regions: they are like "
					  "4k+64k+4k, of 4k, 8k, 16k, ... 128m",
					  text);
	*ret = no_cleanup_ptr(sizes);
	*count_ret = count + 1;
	return NULL;
}

bool buffer_offset(const struct buffer *buffer, uint64_t output_base,
		   uint64_t output_mask_ptrs, uint64_t *ret)
{
	uint64_t index = output_mask_ptrs >> POINTERS_INDEX_SHIFT & 0x1ffffff;
	uint64_t offset = output_mask_ptrs >> POINTERS_OFFSET_SHIFT;
	uint64_t page = (output_base - buffer->table_gpa) / BUFFER_PAGE;
	const struct buffer_region *r;
	uint64_t first, count;

	if ((output_mask_ptrs & XPT_MASK_PTRS_LOW) != XPT_MASK_PTRS_LOW ||
	    output_base < buffer->table_gpa || output_base % BUFFER_PAGE ||
	    page >= buffer->table_pages)
		return false;
	first = page * REGIONS_PER_TABLE;
	count = buffer->region_count - first;
	if (count > REGIONS_PER_TABLE)
		count = REGIONS_PER_TABLE;
	if (index > count)
		return false;
	if (index == count) {
		/* At the END entry: the next byte goes where it links to. */
		if (offset)
			return false;
		first += count;
		*ret = first == buffer->region_count ? 0 : buffer->regions[first].offset;
		return true;
	}
	r = &buffer->regions[first + index];
	/* A region that is full stays named only if it stopped the trace. */
	if (offset > r->size || (offset == r->size && !r->stop))
		return false;
	*ret = r->offset + offset;
	return true;
}

void buffer_pointers(const struct buffer *buffer, uint64_t offset,
		     uint64_t *output_base_ret, uint64_t *output_mask_ptrs_ret)
{
	size_t low = 0, high = buffer->region_count - 1, middle;

	while (low < high) {
		middle = high - (high - low) / 2;
		if (buffer->regions[middle].offset <= offset)
			low = middle;
		else
			high = middle - 1;
	}
	*output_base_ret = buffer->table_gpa + low / REGIONS_PER_TABLE * BUFFER_PAGE;
	*output_mask_ptrs_ret =
		(offset - buffer->regions[low].offset) << POINTERS_OFFSET_SHIFT |
		(uint64_t)(low % REGIONS_PER_TABLE) << POINTERS_INDEX_SHIFT |
		XPT_MASK_PTRS_LOW;
}

bool buffer_is_intact(const struct buffer *buffer, const void *tables)
{
	return memcmp(buffer->tables, tables, buffer->table_pages * BUFFER_PAGE) == 0;
}
