/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <endian.h>

#include "paging.h"

#define BITS(hi, lo) ((UINT64_MAX >> (63 - (hi))) & (UINT64_MAX << (lo)))

#define CR0_PG BITS(31, 31)
#define CR4_PSE BITS(4, 4)
#define CR4_PAE BITS(5, 5)
#define CR4_LA57 BITS(12, 12)
#define EFER_LMA BITS(10, 10)

#define ENTRY_P BITS(0, 0)
#define ENTRY_RW BITS(1, 1)
#define ENTRY_US BITS(2, 2)
#define ENTRY_PS BITS(7, 7)
#define ENTRY_XD BITS(63, 63)
#define ENTRY_ADDRESS BITS(51, 12)

enum xenpt_paging xenpt_paging_of(const struct xenpt_registers *regs)
{
	if (!(regs->cr0 & CR0_PG))
		return XENPT_PAGING_NONE;
	if (!(regs->cr4 & CR4_PAE))
		return regs->cr4 & CR4_PSE ? XENPT_PAGING_32_PSE : XENPT_PAGING_32;
	if (!(regs->efer & EFER_LMA) && regs->mode != 64)
		return XENPT_PAGING_PAE;
	return regs->cr4 & CR4_LA57 ? XENPT_PAGING_5_LEVEL : XENPT_PAGING_4_LEVEL;
}

/* How a mode looks its tables up; level 0 is the one of 4-KiB pages. */
struct format {
	unsigned int levels;
	unsigned int address_bits; /* of linear addresses */
	unsigned int index_bits;   /* … that each level but the root translates */
	size_t entry_size;
	uint64_t root; /* bits of CR3 */
};

static const struct format formats[] = {
	[XENPT_PAGING_32] = { 2, 32, 10, 4, BITS(31, 12) },
	[XENPT_PAGING_32_PSE] = { 2, 32, 10, 4, BITS(31, 12) },
	[XENPT_PAGING_PAE] = { 3, 32, 9, 8, BITS(31, 5) },
	[XENPT_PAGING_4_LEVEL] = { 4, 48, 9, 8, BITS(51, 12) },
	[XENPT_PAGING_5_LEVEL] = { 5, 57, 9, 8, BITS(51, 12) },
};

static bool is_canonical(uint64_t address, unsigned int bits)
{
	int64_t high = (int64_t)address >> (bits - 1);

	return bits == 32 ? address <= UINT32_MAX : high == 0 || high == -1;
}

static bool is_large(enum xenpt_paging paging, unsigned int level, uint64_t entry)
{
	if (!(entry & ENTRY_PS))
		return false;
	switch (paging) {
	case XENPT_PAGING_32_PSE:
	case XENPT_PAGING_PAE:
		return level == 1;
	case XENPT_PAGING_4_LEVEL:
	case XENPT_PAGING_5_LEVEL:
		return level == 1 || level == 2;
	default:
		return false;
	}
}

/*
 * Bits that an entry must not have: SDM volume 3, "Paging", the tables of each format.
 * Those past the CPU's physical-address width are not known; XD is taken as enabled.
 */
static uint64_t reserved_bits(enum xenpt_paging paging, unsigned int level, bool large)
{
	switch (paging) {
	case XENPT_PAGING_32_PSE:
		return large ? BITS(21, 21) : 0;
	case XENPT_PAGING_PAE:
		if (level == 2)
			return BITS(63, 52) | BITS(8, 5) | BITS(2, 1);
		return BITS(62, 52) | (large ? BITS(20, 13) : 0);
	case XENPT_PAGING_4_LEVEL:
	case XENPT_PAGING_5_LEVEL:
		if (level >= 3)
			return ENTRY_PS;
		if (large)
			return level == 2 ? BITS(29, 13) : BITS(20, 13);
		return 0;
	default:
		return 0;
	}
}

static bool read_entry(struct xenpt_mem *mem, const struct format *format, uint64_t gpa,
		       uint64_t *ret)
{
	uint64_t entry64;
	uint32_t entry32;

	if (format->entry_size == 4) {
		if (!xenpt_mem_read(mem, gpa, &entry32, sizeof(entry32)))
			return false;
		*ret = le32toh(entry32);
		return true;
	}
	if (!xenpt_mem_read(mem, gpa, &entry64, sizeof(entry64)))
		return false;
	*ret = le64toh(entry64);
	return true;
}

static uint64_t page_base(enum xenpt_paging paging, uint64_t entry, uint64_t size)
{
	/* PSE-36: a 32-bit entry of a large page has bits 39:32 in its 20:13. */
	if (paging == XENPT_PAGING_32_PSE && size > XENPT_PAGE_SIZE)
		return (entry & BITS(31, 22)) | (entry & BITS(20, 13)) << 19;
	return entry & ENTRY_ADDRESS & ~(size - 1);
}

static bool walk(struct xenpt_mem *mem, enum xenpt_paging paging, uint64_t cr3,
		 uint64_t address, struct xenpt_translation *ret)
{
	const struct format *format = &formats[paging];
	uint64_t table = cr3 & format->root, entry;

	for (unsigned int level = format->levels; level-- > 0;) {
		unsigned int shift = 12 + format->index_bits * level;
		uint64_t size = UINT64_C(1) << shift;
		uint64_t index =
			address >> shift & ((UINT64_C(1) << format->index_bits) - 1);
		bool large;

		ret->tables[ret->levels++] = table;
		if (!read_entry(mem, format, table + index * format->entry_size, &entry))
			return false;
		large = is_large(paging, level, entry);
		if (!(entry & ENTRY_P) || entry & reserved_bits(paging, level, large))
			return false;
		/* PDPTEs of PAE have no permissions. */
		if (paging != XENPT_PAGING_PAE || level != 2) {
			ret->writable &= !!(entry & ENTRY_RW);
			ret->user &= !!(entry & ENTRY_US);
			ret->executable &= !(entry & ENTRY_XD);
		}
		if (large || level == 0) {
			ret->page_size = size;
			ret->gpa =
				page_base(paging, entry, size) | (address & (size - 1));
			return true;
		}
		table = entry & ENTRY_ADDRESS;
	}
	return false;
}

bool xenpt_paging_walk(struct xenpt_mem *mem, enum xenpt_paging paging, uint64_t cr3,
		       uint64_t address, struct xenpt_translation *ret)
{
	*ret = (struct xenpt_translation){ .writable = true,
					   .user = true,
					   .executable = true };
	if (paging == XENPT_PAGING_NONE) {
		ret->gpa = address;
		ret->page_size = XENPT_PAGE_SIZE;
		return address <= UINT32_MAX;
	}
	if (!is_canonical(address, formats[paging].address_bits))
		return false;
	return walk(mem, paging, cr3, address, ret);
}
