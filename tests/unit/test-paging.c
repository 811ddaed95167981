/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page-table walks: each mode and page size, by tables made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "libxenpt/paging.h"

#define PAGES 16
#define P 0x1u
#define RW 0x2u
#define US 0x4u
#define PS 0x80u
#define XD (UINT64_C(1) << 63)

/* The first pages of memory; the rest is not there. */
struct guest {
	struct xenpt_mem mem;
	uint8_t bytes[PAGES * XENPT_PAGE_SIZE];
};

static bool guest_read(struct xenpt_mem *mem, uint64_t gpa, void *buf, size_t size)
{
	struct guest *guest = (struct guest *)mem;

	assert_in_range(size, 4, 8);
	assert_true(gpa % XENPT_PAGE_SIZE + size <= XENPT_PAGE_SIZE);
	if (gpa > sizeof(guest->bytes) - size)
		return false;
	memcpy(buf, guest->bytes + gpa, size);
	return true;
}

static struct guest *guest_create(void)
{
	struct guest *guest = calloc(1, sizeof(*guest));

	assert_non_null(guest);
	guest->mem.read = guest_read;
	return guest;
}

static void set64(struct guest *guest, uint64_t table, unsigned int index, uint64_t entry)
{
	memcpy(guest->bytes + table + 8 * index, &entry, 8);
}

static void set32(struct guest *guest, uint64_t table, unsigned int index, uint32_t entry)
{
	memcpy(guest->bytes + table + 4 * index, &entry, 4);
}

static struct xenpt_translation walk(struct guest *guest, enum xenpt_paging paging,
				     uint64_t cr3, uint64_t address)
{
	struct xenpt_translation ret;

	if (!xenpt_paging_walk(&guest->mem, paging, cr3, address, &ret))
		fail_msg("%#lx is not mapped, levels %u", address, ret.levels);
	return ret;
}

static unsigned int walk_fails(struct guest *guest, enum xenpt_paging paging,
			       uint64_t cr3, uint64_t address)
{
	struct xenpt_translation ret;

	assert_false(xenpt_paging_walk(&guest->mem, paging, cr3, address, &ret));
	return ret.levels;
}

static void test_modes(void **state)
{
	struct xenpt_registers regs = {};

	assert_int_equal(xenpt_paging_of(&regs), XENPT_PAGING_NONE);
	regs.cr0 = 0x80000001;
	assert_int_equal(xenpt_paging_of(&regs), XENPT_PAGING_32);
	regs.cr4 = 0x10;
	assert_int_equal(xenpt_paging_of(&regs), XENPT_PAGING_32_PSE);
	regs.cr4 = 0x20;
	assert_int_equal(xenpt_paging_of(&regs), XENPT_PAGING_PAE);
	regs.efer = 0x500;
	assert_int_equal(xenpt_paging_of(&regs), XENPT_PAGING_4_LEVEL);
	regs.cr4 |= 0x1000;
	assert_int_equal(xenpt_paging_of(&regs), XENPT_PAGING_5_LEVEL);
}

static void test_none(void **state)
{
	struct guest *guest = guest_create();

	assert_int_equal(walk(guest, XENPT_PAGING_NONE, 0x123000, 0xfffff123).gpa,
			 0xfffff123);
	walk_fails(guest, XENPT_PAGING_NONE, 0, UINT64_C(1) << 32);
	free(guest);
}

/* Tables at 0x1000 (PML4), 0x2000, 0x3000, 0x4000: a page of each size. */
static void make_4_level(struct guest *guest)
{
	set64(guest, 0x1000, 0x1ff, 0x2000 | P | RW | US);
	set64(guest, 0x2000, 0x1fe, 0x3000 | P | RW | US);
	set64(guest, 0x2000, 3, UINT64_C(0xabcd40000000) | P | PS | RW | 0x1000);
	set64(guest, 0x3000, 8, 0x4000 | P | RW);
	set64(guest, 0x3000, 9, 0x12200000 | P | PS | US | XD);
	set64(guest, 0x4000, 0, UINT64_C(0xf234567890000) | P | US);
}

static void test_4_level(void **state)
{
	struct guest *guest = guest_create();
	struct xenpt_translation t;

	make_4_level(guest);
	/* PCID and bit 63 are no part of the address. */
	t = walk(guest, XENPT_PAGING_4_LEVEL, 0x8000000000001fff, 0xffffffff81000123);
	assert_int_equal(t.gpa, 0xf234567890123);
	assert_int_equal(t.page_size, 4096);
	assert_int_equal(t.levels, 4);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(t.tables[i], 0x1000 * (i + 1));
	assert_false(t.writable);
	assert_false(t.user);
	assert_true(t.executable);
	t = walk(guest, XENPT_PAGING_4_LEVEL, 0x1000, 0xffffffff81234567);
	assert_int_equal(t.gpa, 0x12234567);
	assert_int_equal(t.page_size, 2 << 20);
	assert_int_equal(t.levels, 3);
	assert_false(t.writable);
	assert_true(t.user);
	assert_false(t.executable);
	t = walk(guest, XENPT_PAGING_4_LEVEL, 0x1000, 0xffffff80f2345678);
	assert_int_equal(t.gpa, 0xabcd72345678);
	assert_int_equal(t.page_size, 1 << 30);
	assert_int_equal(t.levels, 2);
	assert_true(t.writable);
	/* Protection keys and what software keeps are no part of the address. */
	set64(guest, 0x4000, 0, UINT64_C(0x7ffe234567890e00) | P | US);
	t = walk(guest, XENPT_PAGING_4_LEVEL, 0x1000, 0xffffffff81000fff);
	assert_int_equal(t.gpa, 0xe234567890fff);
	free(guest);
}

static void test_5_level(void **state)
{
	struct guest *guest = guest_create();
	struct xenpt_translation t;

	make_4_level(guest);
	set64(guest, 0x5000, 0x123, 0x1000 | P | RW | US);
	t = walk(guest, XENPT_PAGING_5_LEVEL, 0x5000, 0xff23ffff81000123);
	assert_int_equal(t.gpa, 0xf234567890123);
	assert_int_equal(t.levels, 5);
	assert_int_equal(t.tables[0], 0x5000);
	assert_int_equal(t.tables[4], 0x4000);
	/* Canonical in 57 bits, not in 48. */
	walk_fails(guest, XENPT_PAGING_4_LEVEL, 0x5000, 0xff23ffff81000123);
	walk_fails(guest, XENPT_PAGING_5_LEVEL, 0x5000, 0xef23ffff81000123);
	/* CR3's PCID, LAM bits and NOFLUSH. */
	t = walk(guest, XENPT_PAGING_5_LEVEL, 0xe000000000005fff, 0xff23ffff81000123);
	assert_int_equal(t.tables[0], 0x5000);
	/* There is no page of 256 TiB. */
	set64(guest, 0x5000, 0x123, 0x1000 | P | RW | US | PS);
	assert_int_equal(
		walk_fails(guest, XENPT_PAGING_5_LEVEL, 0x5000, 0xff23ffff81000123), 1);
	free(guest);
}

/* How far a walk comes that must not go on. */
static void test_not_mapped(void **state)
{
	struct guest *guest = guest_create();

	make_4_level(guest);
	assert_int_equal(walk_fails(guest, XENPT_PAGING_4_LEVEL, 0x1000, 0x1000), 1);
	assert_int_equal(
		walk_fails(guest, XENPT_PAGING_4_LEVEL, 0x1000, 0xffffffff81001000), 4);
	assert_int_equal(
		walk_fails(guest, XENPT_PAGING_4_LEVEL, 0x1000, 0xffffffff81400000), 3);
	/* Not canonical. */
	assert_int_equal(
		walk_fails(guest, XENPT_PAGING_4_LEVEL, 0x1000, 0xffff7fff81000000), 0);
	assert_int_equal(walk_fails(guest, XENPT_PAGING_4_LEVEL, 0x1000, 0x800000000000),
			 0);
	/* No root; a table past the end of memory. */
	assert_int_equal(walk_fails(guest, XENPT_PAGING_4_LEVEL, 0x100000, 0), 1);
	set64(guest, 0x1000, 0, UINT64_C(0xffffffffff000) | P);
	assert_int_equal(walk_fails(guest, XENPT_PAGING_4_LEVEL, 0x1000, 0), 2);
	free(guest);
}

static void test_reserved(void **state)
{
	static const struct {
		unsigned int table, index;
		uint64_t bits, address;
	} cases[] = {
		{ 0x1000, 0x1ff, PS, 0xffffffff81000000 },
		{ 0x2000, 3, 0x2000, 0xffffff80f2345678 },
		{ 0x2000, 3, 0x20000000, 0xffffff80f2345678 },
		{ 0x3000, 9, 0x2000, 0xffffffff81234567 },
		{ 0x3000, 9, 0x100000, 0xffffffff81234567 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct guest *guest = guest_create();
		uint64_t entry;

		make_4_level(guest);
		walk(guest, XENPT_PAGING_4_LEVEL, 0x1000, cases[i].address);
		memcpy(&entry, guest->bytes + cases[i].table + 8 * cases[i].index, 8);
		set64(guest, cases[i].table, cases[i].index, entry | cases[i].bits);
		walk_fails(guest, XENPT_PAGING_4_LEVEL, 0x1000, cases[i].address);
		free(guest);
	}
}

static void test_pae(void **state)
{
	struct guest *guest = guest_create();
	struct xenpt_translation t;

	/* The root is one of 32 bytes, not of a page. */
	set64(guest, 0x1fe0, 3, 0x2000 | P);
	set64(guest, 0x2000, 0x1ff, 0x3000 | P | RW | US);
	set64(guest, 0x2000, 0x1fe, UINT64_C(0x700200000) | P | PS | XD);
	set64(guest, 0x3000, 0x1ff, UINT64_C(0x812345000) | P | RW | US);
	t = walk(guest, XENPT_PAGING_PAE, 0x1fe0, 0xfffff678);
	assert_int_equal(t.gpa, 0x812345678);
	assert_int_equal(t.page_size, 4096);
	assert_int_equal(t.levels, 3);
	assert_int_equal(t.tables[0], 0x1fe0);
	assert_true(t.writable);
	assert_true(t.user);
	assert_true(t.executable);
	t = walk(guest, XENPT_PAGING_PAE, 0x1fe0, 0xffdfffff);
	assert_int_equal(t.gpa, 0x7003fffff);
	assert_int_equal(t.page_size, 2 << 20);
	assert_false(t.executable);
	assert_int_equal(
		walk_fails(guest, XENPT_PAGING_PAE, 0x1fe0, 0xfffff678 - (1u << 30)), 1);
	assert_int_equal(walk_fails(guest, XENPT_PAGING_PAE, 0x1fe0, 0xffffffff81000000),
			 0);
	/* RW is reserved in a PDPTE, and bit 52 everywhere. */
	set64(guest, 0x1fe0, 3, 0x2000 | P | RW);
	assert_int_equal(walk_fails(guest, XENPT_PAGING_PAE, 0x1fe0, 0xfffff678), 1);
	set64(guest, 0x1fe0, 3, 0x2000 | P);
	set64(guest, 0x3000, 0x1ff, UINT64_C(0x10000000005000) | P);
	assert_int_equal(walk_fails(guest, XENPT_PAGING_PAE, 0x1fe0, 0xfffff678), 3);
	set64(guest, 0x2000, 0x1fe, UINT64_C(0x700202000) | P | PS);
	assert_int_equal(walk_fails(guest, XENPT_PAGING_PAE, 0x1fe0, 0xffdfffff), 2);
	/* A PDPTE has no XD, and no page of 1 GiB: its bit 7 is reserved. */
	set64(guest, 0x1fe0, 3, 0x2000 | P | XD);
	assert_int_equal(walk_fails(guest, XENPT_PAGING_PAE, 0x1fe0, 0xfffff678), 1);
	set64(guest, 0x1fe0, 3, 0x40000000 | P | PS);
	assert_int_equal(walk_fails(guest, XENPT_PAGING_PAE, 0x1fe0, 0xfffff678), 1);
	free(guest);
}

static void test_32(void **state)
{
	struct guest *guest = guest_create();
	struct xenpt_translation t;

	set32(guest, 0x1000, 0x300, 0x2000 | P | RW | US);
	set32(guest, 0x1000, 0x301, 0x2000 | P | RW | US | PS);
	set32(guest, 0x2000, 5, 0xfedcb000 | P | US);
	t = walk(guest, XENPT_PAGING_32, 0x1fff, 0xc0005123);
	assert_int_equal(t.gpa, 0xfedcb123);
	assert_int_equal(t.levels, 2);
	assert_int_equal(t.tables[1], 0x2000);
	assert_false(t.writable);
	assert_true(t.executable);
	/* Without PSE the bit means nothing. */
	t = walk(guest, XENPT_PAGING_32, 0x1000, 0xc0405123);
	assert_int_equal(t.gpa, 0xfedcb123);
	assert_int_equal(walk_fails(guest, XENPT_PAGING_32, 0x1000, 0xc0006000), 2);
	/* With it, bits 20:13 are bits 39:32 of the address, and bit 21 is reserved. */
	set32(guest, 0x1000, 0x301, 0xffc00000 | 0xa5 << 13 | P | PS);
	t = walk(guest, XENPT_PAGING_32_PSE, 0x1000, 0xc0605123);
	assert_int_equal(t.gpa, UINT64_C(0xa5ffe05123));
	assert_int_equal(t.page_size, 4 << 20);
	assert_int_equal(t.levels, 1);
	t = walk(guest, XENPT_PAGING_32_PSE, 0x1000, 0xc0005123);
	assert_int_equal(t.gpa, 0xfedcb123);
	set32(guest, 0x1000, 0x301, 0x200000 | P | PS);
	walk_fails(guest, XENPT_PAGING_32_PSE, 0x1000, 0xc0605123);
	free(guest);
}

/* Tables that point to themselves are tables all the same: the walk ends. */
static void test_loops(void **state)
{
	struct guest *guest = guest_create();
	struct xenpt_translation t;

	for (unsigned int i = 0; i < 512; i++)
		set64(guest, 0x1000, i, 0x1000 | P | RW);
	t = walk(guest, XENPT_PAGING_4_LEVEL, 0x1000, 0x7fffffffffff);
	assert_int_equal(t.gpa, 0x1fff);
	assert_int_equal(t.levels, 4);
	t = walk(guest, XENPT_PAGING_5_LEVEL, 0x1000, 0xffffffffffffff);
	assert_int_equal(t.levels, 5);
	for (unsigned int i = 0; i < 1024; i++)
		set32(guest, 0x2000, i, 0x2000 | P);
	assert_int_equal(walk(guest, XENPT_PAGING_32, 0x2000, 0).gpa, 0x2000);
	free(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modes),      cmocka_unit_test(test_none),
		cmocka_unit_test(test_4_level),    cmocka_unit_test(test_5_level),
		cmocka_unit_test(test_not_mapped), cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_pae),        cmocka_unit_test(test_32),
		cmocka_unit_test(test_loops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
