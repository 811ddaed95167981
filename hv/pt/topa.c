/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "topa.h"

#define PAGE 4096u
#define INDEX_SHIFT 7
#define INDEX_MASK 0x1ffffffull /* 31:7: a table has at most 2^25 entries */
#define OFFSET_SHIFT 32

/* Bits 1, 3, 5, 11:10 of an entry; those from MAXPHYADDR up as well. */
#define ENTRY_RESERVED 0xc2aull

/* Where the next byte goes: the region at the index, or the single range. */
struct region {
	uint64_t base, size, offset;
	uint64_t entry; /* 0: the single range */
};

static uint64_t address_mask(const struct xpt_topa *topa)
{
	/* An entry has no room for more than 52 bits. */
	return (1ull << (topa->maxphyaddr < 52 ? topa->maxphyaddr : 52)) - 1;
}

static uint64_t table_index(const struct xpt_topa *topa)
{
	return topa->output_mask_ptrs >> INDEX_SHIFT & INDEX_MASK;
}

static void set_offset(struct xpt_topa *topa, uint64_t offset)
{
	topa->output_mask_ptrs = offset << OFFSET_SHIFT |
				 (topa->output_mask_ptrs & 0xffffffffull) |
				 XPT_MASK_PTRS_LOW;
}

/* To the first byte of entry @index of the table at @base. */
static void set_entry(struct xpt_topa *topa, uint64_t base, uint64_t index)
{
	topa->output_base = base;
	topa->output_mask_ptrs = (index & INDEX_MASK) << INDEX_SHIFT | XPT_MASK_PTRS_LOW;
	if (base == topa->first_base && !(index & INDEX_MASK))
		topa->wraps++;
}

/* Where the entry at the index is. */
static uint64_t entry_address(const struct xpt_topa *topa)
{
	return topa->output_base + 8 * table_index(topa);
}

/* The entry at the index, checked for all that does not depend on its kind. */
static enum xpt_topa_result read_entry(const struct xpt_topa *topa, uint64_t *ret)
{
	uint64_t address = entry_address(topa), entry = 0;
	uint8_t bytes[8];

	if (topa->output_base & (PAGE - 1) || address & ~address_mask(topa))
		return XPT_TOPA_ERROR;
	if (!topa->ops->read(topa->arg, address, bytes, sizeof(bytes)))
		return XPT_TOPA_FAULT;
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		entry |= (uint64_t)bytes[i] << 8 * i;
	if (entry & (ENTRY_RESERVED | ~address_mask(topa)))
		return XPT_TOPA_ERROR;
	*ret = entry;
	return XPT_TOPA_OK;
}

/* Follow @end, the END entry at the index, to its table. */
static enum xpt_topa_result follow(struct xpt_topa *topa, uint64_t end)
{
	uint64_t base = end & ~(uint64_t)(PAGE - 1);

	if (end & (XPT_TOPA_INT | XPT_TOPA_STOP) || !table_index(topa))
		return XPT_TOPA_ERROR;
	if (topa->single_entry_tables && base != topa->output_base)
		return XPT_TOPA_ERROR;
	set_entry(topa, base, 0);
	return XPT_TOPA_OK;
}

static enum xpt_topa_result find_region(struct xpt_topa *topa, struct region *ret)
{
	enum xpt_topa_result result;
	uint64_t entry;

	result = read_entry(topa, &entry);
	if (result == XPT_TOPA_OK && entry & XPT_TOPA_END) {
		result = follow(topa, entry);
		if (result == XPT_TOPA_OK)
			result = read_entry(topa, &entry);
		/* Entry 0 may not be END: no tables can send us round and round. */
		if (result == XPT_TOPA_OK && entry & XPT_TOPA_END)
			result = XPT_TOPA_ERROR;
	}
	if (result != XPT_TOPA_OK)
		return result;

	ret->entry = entry;
	ret->base = entry & ~(uint64_t)(PAGE - 1);
	ret->size = (uint64_t)PAGE << (entry >> XPT_TOPA_SIZE_SHIFT & XPT_TOPA_SIZE_MASK);
	ret->offset = topa->output_mask_ptrs >> OFFSET_SHIFT;
	if (ret->base & (ret->size - 1) || ret->offset >= ret->size)
		return XPT_TOPA_ERROR;
	if (topa->single_entry_tables && table_index(topa))
		return XPT_TOPA_ERROR;
	return XPT_TOPA_OK;
}

/* "Single Range Output": MASK_PTRS is a mask of low ones, and an offset in it. */
static enum xpt_topa_result find_range(const struct xpt_topa *topa, struct region *ret)
{
	uint64_t mask = (topa->output_mask_ptrs & 0xffffffffull) | XPT_MASK_PTRS_LOW;

	ret->entry = 0;
	ret->base = topa->output_base;
	ret->size = mask + 1;
	ret->offset = topa->output_mask_ptrs >> OFFSET_SHIFT;
	if (mask & (mask + 1) || ret->base & mask || ret->offset > mask ||
	    ret->base & ~address_mask(topa))
		return XPT_TOPA_ERROR;
	return XPT_TOPA_OK;
}

static enum xpt_topa_result find(struct xpt_topa *topa, struct region *ret)
{
	enum xpt_topa_result result;

	if (topa->status & XPT_STATUS_ERROR)
		return XPT_TOPA_ERROR;
	if (topa->status & XPT_STATUS_STOPPED)
		return XPT_TOPA_STOPPED;
	result = topa->single_range ? find_range(topa, ret) : find_region(topa, ret);
	if (result == XPT_TOPA_FAULT)
		topa->fault = entry_address(topa);
	if (result == XPT_TOPA_ERROR) {
		/* "Operational Errors": off, until software clears the bit. */
		topa->status |= XPT_STATUS_ERROR;
		topa->status &= ~XPT_STATUS_TRIGGER_EN;
	}
	return result;
}

/* The last byte of @region is written. */
static enum xpt_topa_result fill(struct xpt_topa *topa, const struct region *region)
{
	uint64_t entry;

	if (topa->single_range) {
		set_offset(topa, 0);
		topa->wraps++;
		return XPT_TOPA_OK;
	}
	if (region->entry & XPT_TOPA_INT)
		topa->interrupt = true;
	if (region->entry & XPT_TOPA_STOP) {
		/* "ToPA STOP": the offset is the size, one past the last byte. */
		set_offset(topa, region->size);
		topa->status |= XPT_STATUS_STOPPED;
		topa->status &= ~XPT_STATUS_TRIGGER_EN;
		return XPT_TOPA_STOPPED;
	}
	set_entry(topa, topa->output_base, table_index(topa) + 1);
	/* An END is followed now; what is wrong with it is told with the next byte. */
	if (read_entry(topa, &entry) == XPT_TOPA_OK && entry & XPT_TOPA_END)
		follow(topa, entry);
	return XPT_TOPA_OK;
}

static void count(struct xpt_topa *topa, uint64_t size)
{
	uint64_t bytes = topa->status >> XPT_STATUS_BYTES_SHIFT & XPT_STATUS_BYTES_MASK;

	topa->written += size;
	bytes += size;
	if (bytes > XPT_STATUS_BYTES_MASK)
		bytes = XPT_STATUS_BYTES_MASK;
	topa->status &= ~(XPT_STATUS_BYTES_MASK << XPT_STATUS_BYTES_SHIFT);
	topa->status |= bytes << XPT_STATUS_BYTES_SHIFT;
}

void xpt_topa_init(struct xpt_topa *topa, const struct xpt_mem_ops *ops, void *arg,
		   uint64_t output_base, uint64_t output_mask_ptrs, uint64_t status,
		   bool single_range, uint8_t maxphyaddr, bool single_entry_tables)
{
	topa->output_base = output_base;
	topa->output_mask_ptrs = output_mask_ptrs | XPT_MASK_PTRS_LOW;
	topa->status = status;
	topa->single_range = single_range;
	topa->maxphyaddr = maxphyaddr;
	topa->single_entry_tables = single_entry_tables;
	topa->written = 0;
	topa->wraps = 0;
	topa->interrupt = false;
	topa->fault = 0;
	topa->ops = ops;
	topa->arg = arg;
	topa->first_base = output_base;
}

enum xpt_topa_result xpt_topa_check(struct xpt_topa *topa)
{
	struct region region;

	return find(topa, &region);
}

enum xpt_topa_result xpt_topa_write(struct xpt_topa *topa, const void *data, size_t size,
				    size_t *done_ret)
{
	enum xpt_topa_result result = XPT_TOPA_OK;
	const uint8_t *bytes = data;
	struct region region;
	uint64_t part, gpa;
	size_t done = 0;

	while (done < size) {
		result = find(topa, &region);
		if (result != XPT_TOPA_OK)
			break;
		gpa = region.base + region.offset;
		part = PAGE - (gpa & (PAGE - 1));
		if (part > region.size - region.offset)
			part = region.size - region.offset;
		if (part > size - done)
			part = size - done;
		if (!topa->ops->write(topa->arg, gpa, bytes + done, part)) {
			topa->fault = gpa;
			result = XPT_TOPA_FAULT;
			break;
		}
		done += part;
		count(topa, part);
		region.offset += part;
		if (region.offset < region.size)
			set_offset(topa, region.offset);
		else
			result = fill(topa, &region);
	}
	*done_ret = done;
	return result;
}
