/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hv/pt/topa.h"
#include "tests/unit/guest-memory.h"

#define ALL(array) (sizeof(array) / sizeof((array)[0]))
#define SIZE(n) ((uint64_t)(n) << XPT_TOPA_SIZE_SHIFT)
#define TRIGGER XPT_STATUS_TRIGGER_EN

enum {
	TABLE = 0x10000,
	TABLE_2 = 0x20000,
	REGION = 0x100000,
	REGION_2 = 0x200000,
	MAXPHYADDR = 39
};

struct fixture {
	struct memory memory;
	struct xpt_topa topa;
};

/* At entry @index of TABLE, @offset bytes into its region. */
static void start(struct fixture *fixture, uint64_t index, uint64_t offset)
{
	xpt_topa_init(&fixture->topa, &memory_ops, &fixture->memory, TABLE,
		      mask_ptrs(index, offset), TRIGGER, false, MAXPHYADDR, false);
}

static void entry(struct fixture *fixture, uint64_t index, uint64_t value)
{
	memory_entry(&fixture->memory, TABLE, index, value);
}

static enum xpt_topa_result put(struct fixture *fixture, const char *bytes, size_t want)
{
	enum xpt_topa_result result;
	size_t done = SIZE_MAX;

	result = xpt_topa_write(&fixture->topa, bytes, strlen(bytes), &done);
	assert_int_equal(done, want);
	return result;
}

static void assert_bytes(struct fixture *fixture, uint64_t gpa, const char *bytes)
{
	assert_memory_equal(memory_at(&fixture->memory, gpa, strlen(bytes)), bytes,
			    strlen(bytes));
}

static void assert_at(struct fixture *fixture, uint64_t base, uint64_t index,
		      uint64_t offset)
{
	assert_int_equal(fixture->topa.output_base, base);
	assert_int_equal(fixture->topa.output_mask_ptrs, mask_ptrs(index, offset));
}

static uint64_t status_bits(const struct fixture *fixture)
{
	return fixture->topa.status & 0xffffffff;
}

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	memory_deinit(&fixture->memory);
	free(fixture);
	return 0;
}

/* Every size: the last bytes of a region, then the first of the next one. */
static void test_region_sizes(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned int n = 0; n <= 15; n++) {
		uint64_t size = 4096ull << n, region = size;

		entry(fixture, 0, region | SIZE(n));
		entry(fixture, 1, 0x3000000000 | SIZE(0));
		start(fixture, 0, size - 3);
		assert_int_equal(put(fixture, "abcdefg", 7), XPT_TOPA_OK);
		assert_bytes(fixture, region + size - 3, "abc");
		assert_bytes(fixture, 0x3000000000, "defg");
		assert_at(fixture, TABLE, 1, 4);
		start(fixture, 0, size - 3);
		assert_int_equal(put(fixture, "xyz", 3), XPT_TOPA_OK);
		assert_at(fixture, TABLE, 1, 0);
		assert_int_equal(fixture->topa.written, 3);
		assert_int_equal(status_bits(fixture), TRIGGER);
	}
}

static void test_page_straddled(void **state)
{
	struct fixture *fixture = *state;

	entry(fixture, 0, REGION | SIZE(1));
	start(fixture, 0, 4094);
	assert_int_equal(put(fixture, "abcd", 4), XPT_TOPA_OK);
	assert_bytes(fixture, REGION + 4094, "ab");
	assert_bytes(fixture, REGION + 4096, "cd");
	assert_at(fixture, TABLE, 0, 4098);
}

/* END is followed once the region before it is full: software never sees it current. */
static void test_end(void **state)
{
	struct fixture *fixture = *state;

	entry(fixture, 0, REGION | SIZE(0));
	entry(fixture, 1, TABLE_2 | XPT_TOPA_END | SIZE(7)); /* size is ignored */
	memory_entry(&fixture->memory, TABLE_2, 0, REGION_2 | SIZE(0));
	memory_entry(&fixture->memory, TABLE_2, 1, TABLE | XPT_TOPA_END);
	start(fixture, 0, 4095);
	assert_int_equal(put(fixture, "a", 1), XPT_TOPA_OK);
	assert_at(fixture, TABLE_2, 0, 0);
	assert_int_equal(fixture->topa.wraps, 0);
	assert_int_equal(put(fixture, "bc", 2), XPT_TOPA_OK);
	assert_bytes(fixture, REGION_2, "bc");
	fixture->topa.output_mask_ptrs = mask_ptrs(0, 4094);
	assert_int_equal(put(fixture, "def", 3), XPT_TOPA_OK);
	assert_at(fixture, TABLE, 0, 1);
	assert_bytes(fixture, REGION, "f");
	assert_int_equal(fixture->topa.wraps, 1);

	/* The MSRs may say that an END is current. */
	start(fixture, 1, 77);
	assert_int_equal(put(fixture, "g", 1), XPT_TOPA_OK);
	assert_at(fixture, TABLE_2, 0, 1);
	assert_bytes(fixture, REGION_2, "g");
}

static void test_self_link(void **state)
{
	struct fixture *fixture = *state;
	char lap[4097];

	memset(lap, 'x', 4096);
	lap[4096] = 0;
	entry(fixture, 0, REGION | SIZE(0));
	entry(fixture, 1, TABLE | XPT_TOPA_END);
	start(fixture, 0, 0);
	fixture->topa.single_entry_tables = true;
	for (unsigned int i = 1; i <= 40; i++) {
		assert_int_equal(put(fixture, lap, 4096), XPT_TOPA_OK);
		assert_at(fixture, TABLE, 0, 0);
		assert_int_equal(fixture->topa.wraps, i);
		assert_int_equal(fixture->topa.written, 4096 * i);
		assert_int_equal(fixture->topa.status >> XPT_STATUS_BYTES_SHIFT,
				 i < 32 ? 4096 * i : XPT_STATUS_BYTES_MASK);
	}
}

/* A table without END goes on at its start after the last entry there can be. */
static void test_table_wraps(void **state)
{
	struct fixture *fixture = *state;

	entry(fixture, 0, REGION | SIZE(0));
	entry(fixture, 0x1ffffff, REGION_2 | SIZE(0));
	start(fixture, 0x1ffffff, 4095);
	assert_int_equal(put(fixture, "ab", 2), XPT_TOPA_OK);
	assert_bytes(fixture, REGION_2 + 4095, "a");
	assert_bytes(fixture, REGION, "b");
	assert_at(fixture, TABLE, 0, 1);
	assert_int_equal(fixture->topa.wraps, 1);
}

static void test_interrupt(void **state)
{
	struct fixture *fixture = *state;

	entry(fixture, 0, REGION | SIZE(0) | XPT_TOPA_INT);
	entry(fixture, 1, REGION_2 | SIZE(0));
	start(fixture, 0, 4094);
	assert_int_equal(put(fixture, "a", 1), XPT_TOPA_OK);
	assert_false(fixture->topa.interrupt);
	assert_int_equal(put(fixture, "bc", 2), XPT_TOPA_OK);
	assert_true(fixture->topa.interrupt);
	assert_int_equal(status_bits(fixture), TRIGGER);
}

static void test_stop(void **state)
{
	struct fixture *fixture = *state;

	for (int with_int = 0; with_int <= 1; with_int++) {
		entry(fixture, 0,
		      REGION | SIZE(1) | XPT_TOPA_STOP | (with_int ? XPT_TOPA_INT : 0));
		entry(fixture, 1, REGION_2 | SIZE(0));
		start(fixture, 0, 8190);
		assert_int_equal(put(fixture, "abc", 2), XPT_TOPA_STOPPED);
		assert_bytes(fixture, REGION + 8190, "ab");
		assert_at(fixture, TABLE, 0, 8192);
		assert_int_equal(status_bits(fixture), XPT_STATUS_STOPPED);
		assert_int_equal(fixture->topa.interrupt, with_int);
		assert_int_equal(put(fixture, "c", 0), XPT_TOPA_STOPPED);
		assert_int_equal(xpt_topa_check(&fixture->topa), XPT_TOPA_STOPPED);
		assert_at(fixture, TABLE, 0, 8192);
		assert_int_equal(fixture->topa.written, 2);

		/* Software that only clears Stopped: the offset is out of the region. */
		fixture->topa.status = TRIGGER;
		assert_int_equal(put(fixture, "c", 0), XPT_TOPA_ERROR);
		assert_int_equal(status_bits(fixture), XPT_STATUS_ERROR);
	}
}

static void test_single_range(void **state)
{
	struct fixture *fixture = *state;
	struct xpt_topa *topa = &fixture->topa;

	xpt_topa_init(topa, &memory_ops, &fixture->memory, REGION,
		      0x1fffull | 0x1ffeull << 32, TRIGGER, true, MAXPHYADDR, false);
	assert_int_equal(put(fixture, "abc", 3), XPT_TOPA_OK);
	assert_bytes(fixture, REGION + 0x1ffe, "ab");
	assert_bytes(fixture, REGION, "c");
	assert_int_equal(topa->output_base, REGION);
	assert_int_equal(topa->output_mask_ptrs, 0x1fffull | 1ull << 32);
	assert_int_equal(topa->wraps, 1);

	/* The smallest: 128 bytes, and no page of its own. */
	xpt_topa_init(topa, &memory_ops, &fixture->memory, REGION + 0x80,
		      0x7full | 0x7eull << 32, TRIGGER, true, MAXPHYADDR, false);
	assert_int_equal(put(fixture, "def", 3), XPT_TOPA_OK);
	assert_bytes(fixture, REGION + 0xfe, "de");
	assert_bytes(fixture, REGION + 0x80, "f");
	assert_bytes(fixture, REGION, "c");

	/* The biggest: 4 GiB. */
	xpt_topa_init(topa, &memory_ops, &fixture->memory, 1ull << 32,
		      0xffffffffull | 0xffffffffull << 32, TRIGGER, true, MAXPHYADDR,
		      false);
	assert_int_equal(put(fixture, "gh", 2), XPT_TOPA_OK);
	assert_bytes(fixture, 0x1ffffffff, "g");
	assert_bytes(fixture, 0x100000000, "h");
	assert_int_equal(topa->output_mask_ptrs, 0xffffffffull | 1ull << 32);
}

static void test_single_range_errors(void **state)
{
	static const struct {
		uint64_t base, mask_ptrs;
	} bad[] = {
		{ REGION, 0x2fff },                      /* holes in the mask */
		{ REGION, 0x1fff | 0x2000ull << 32 },    /* offset not in it */
		{ REGION + 0x1000, 0x1fff },             /* base not aligned to it */
		{ 1ull << MAXPHYADDR | REGION, 0x1fff }, /* no such address */
	};
	struct fixture *fixture = *state;
	struct xpt_topa *topa = &fixture->topa;

	for (size_t i = 0; i < ALL(bad); i++) {
		xpt_topa_init(topa, &memory_ops, &fixture->memory, bad[i].base,
			      bad[i].mask_ptrs, TRIGGER, true, MAXPHYADDR, false);
		assert_int_equal(put(fixture, "a", 0), XPT_TOPA_ERROR);
		assert_int_equal(status_bits(fixture), XPT_STATUS_ERROR);
		assert_int_equal(topa->output_base, bad[i].base);
		assert_int_equal(topa->output_mask_ptrs, bad[i].mask_ptrs | 0x7f);
		assert_int_equal(fixture->memory.count, 0);
	}
}

/* Entries that "ToPA Errors" names, at index 0 or 1. */
static const struct bad_entry {
	uint64_t entry, index, offset;
	bool single;
} bad_entries[] = {
	{ .entry = REGION | 1 << 1 },
	{ .entry = REGION | 1 << 3 },
	{ .entry = REGION | 1 << 5 },
	{ .entry = REGION | 1 << 10 },
	{ .entry = REGION | 1 << 11 },
	{ .entry = REGION | 1ull << MAXPHYADDR },
	{ .entry = REGION | 1ull << 63 },
	{ .entry = TABLE_2 | XPT_TOPA_END | 1 << 3, .index = 1 },
	{ .entry = TABLE_2 | XPT_TOPA_END | 1ull << 52, .index = 1 },
	{ .entry = (REGION + 0x1000) | SIZE(1) },
	{ .entry = REGION | SIZE(9) },
	{ .entry = 0x4000000 | SIZE(15) },
	{ .entry = REGION, .offset = 4096 },
	{ .entry = REGION | SIZE(1), .offset = 0xffffffff },
	{ .entry = TABLE_2 | XPT_TOPA_END | XPT_TOPA_INT, .index = 1 },
	{ .entry = TABLE_2 | XPT_TOPA_END | XPT_TOPA_STOP, .index = 1 },
	{ .entry = TABLE_2 | XPT_TOPA_END, .index = 0 },
	{ .entry = REGION, .index = 1, .single = true },
	{ .entry = TABLE_2 | XPT_TOPA_END, .index = 1, .single = true },
};

/* Found when the MSRs point there, and by the check that setting TraceEn makes. */
static void test_errors(void **state)
{
	struct fixture *fixture = *state;

	memory_entry(&fixture->memory, TABLE_2, 0, REGION_2);
	for (size_t i = 0; i < ALL(bad_entries); i++) {
		const struct bad_entry *bad = &bad_entries[i];

		for (int check = 0; check <= 1; check++) {
			entry(fixture, bad->index, bad->entry);
			start(fixture, bad->index, bad->offset);
			fixture->topa.single_entry_tables = bad->single;
			if (check)
				assert_int_equal(xpt_topa_check(&fixture->topa),
						 XPT_TOPA_ERROR);
			assert_int_equal(put(fixture, "a", 0), XPT_TOPA_ERROR);
			assert_int_equal(fixture->topa.status, XPT_STATUS_ERROR);
			assert_at(fixture, TABLE, bad->index, bad->offset);
		}
	}
}

/* Found behind a region: all that had room is written, the position is at the entry. */
static void test_errors_later(void **state)
{
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ALL(bad_entries); i++) {
		const struct bad_entry *bad = &bad_entries[i];

		if (bad->offset || !bad->index)
			continue;
		entry(fixture, 0, REGION);
		entry(fixture, bad->index, bad->entry);
		start(fixture, 0, 4094);
		fixture->topa.single_entry_tables = bad->single;
		assert_int_equal(put(fixture, "ab", 2), XPT_TOPA_OK);
		assert_at(fixture, TABLE, 1, 0);
		assert_int_equal(status_bits(fixture), TRIGGER);
		assert_int_equal(put(fixture, "c", 0), XPT_TOPA_ERROR);
		assert_at(fixture, TABLE, 1, 0);

		start(fixture, 0, 4094);
		fixture->topa.single_entry_tables = bad->single;
		assert_int_equal(put(fixture, "abc", 2), XPT_TOPA_ERROR);
		assert_bytes(fixture, REGION + 4094, "ab");
		assert_at(fixture, TABLE, 1, 0);
	}
}

static void test_bad_tables(void **state)
{
	struct fixture *fixture = *state;
	struct xpt_topa *topa = &fixture->topa;
	static const struct {
		uint64_t base, index;
	} bad[] = {
		{ TABLE + 0x80, 0 },
		{ TABLE + 0x800, 0 },
		{ 1ull << MAXPHYADDR, 0 },
		{ (1ull << MAXPHYADDR) - 4096, 512 }, /* runs out of memory's end */
	};

	for (size_t i = 0; i < ALL(bad); i++) {
		xpt_topa_init(topa, &memory_ops, &fixture->memory, bad[i].base,
			      mask_ptrs(bad[i].index, 0), TRIGGER, false, MAXPHYADDR,
			      false);
		assert_int_equal(put(fixture, "a", 0), XPT_TOPA_ERROR);
		assert_int_equal(topa->status, XPT_STATUS_ERROR);
		assert_int_equal(fixture->memory.count, 0);
	}
}

/* Tables of nothing but END, that link to each other or themselves. */
static void test_end_loop(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned int i = 0; i < 512; i++) {
		entry(fixture, i, (i % 2 ? TABLE : TABLE_2) | XPT_TOPA_END);
		memory_entry(&fixture->memory, TABLE_2, i, TABLE | XPT_TOPA_END);
	}
	for (unsigned int i = 0; i < 512; i++) {
		start(fixture, i, 0);
		assert_int_equal(put(fixture, "a", 0), XPT_TOPA_ERROR);
		assert_int_equal(fixture->topa.status, XPT_STATUS_ERROR);
	}
}

/* An absent page: what was before it is written, and the rest goes where it should. */
static void test_fault(void **state)
{
	struct fixture *fixture = *state;
	struct memory *memory = &fixture->memory;

	entry(fixture, 0, REGION | SIZE(1));
	entry(fixture, 1, REGION_2);
	start(fixture, 0, 4094);
	memory_page(memory, REGION + 4096)->absent = true;
	assert_int_equal(put(fixture, "abcd", 2), XPT_TOPA_FAULT);
	assert_int_equal(fixture->topa.fault, REGION + 4096);
	assert_at(fixture, TABLE, 0, 4096);
	assert_int_equal(status_bits(fixture), TRIGGER);
	assert_int_equal(put(fixture, "cd", 0), XPT_TOPA_FAULT);
	memory_page(memory, REGION + 4096)->absent = false;
	assert_int_equal(put(fixture, "cd", 2), XPT_TOPA_OK);
	assert_bytes(fixture, REGION + 4094, "ab");
	assert_bytes(fixture, REGION + 4096, "cd");
	assert_int_equal(fixture->topa.written, 4);

	memory_page(memory, TABLE)->absent = true;
	assert_int_equal(put(fixture, "e", 0), XPT_TOPA_FAULT);
	assert_int_equal(fixture->topa.fault, TABLE);
	assert_int_equal(xpt_topa_check(&fixture->topa), XPT_TOPA_FAULT);
	memory_page(memory, TABLE)->absent = false;
	assert_int_equal(xpt_topa_check(&fixture->topa), XPT_TOPA_OK);
	assert_int_equal(put(fixture, "e", 1), XPT_TOPA_OK);
	assert_bytes(fixture, REGION + 4098, "e");
}

/* The END is on a page that is not there, and so is the table that it links to. */
static void test_fault_of_tables(void **state)
{
	struct fixture *fixture = *state;
	struct memory *memory = &fixture->memory;

	entry(fixture, 511, REGION);
	entry(fixture, 512, TABLE_2 | XPT_TOPA_END);
	memory_entry(memory, TABLE_2, 0, REGION_2);
	memory_page(memory, TABLE + 4096)->absent = true;
	memory_page(memory, TABLE_2)->absent = true;
	start(fixture, 511, 4095);
	assert_int_equal(put(fixture, "a", 1), XPT_TOPA_OK);
	assert_at(fixture, TABLE, 512, 0);
	assert_int_equal(put(fixture, "b", 0), XPT_TOPA_FAULT);
	assert_int_equal(fixture->topa.fault, TABLE + 4096);
	memory_page(memory, TABLE + 4096)->absent = false;
	assert_int_equal(put(fixture, "b", 0), XPT_TOPA_FAULT);
	assert_int_equal(fixture->topa.fault, TABLE_2);
	memory_page(memory, TABLE_2)->absent = false;
	assert_int_equal(put(fixture, "b", 1), XPT_TOPA_OK);
	assert_at(fixture, TABLE_2, 0, 1);
	assert_bytes(fixture, REGION_2, "b");
}

/* Tables are the guest's at any time: a rewritten entry is checked again. */
static void test_rewritten_entry(void **state)
{
	struct fixture *fixture = *state;

	entry(fixture, 0, REGION | SIZE(1));
	start(fixture, 0, 5000);
	assert_int_equal(put(fixture, "a", 1), XPT_TOPA_OK);
	entry(fixture, 0, REGION);
	assert_int_equal(put(fixture, "b", 0), XPT_TOPA_ERROR);
}

static void test_nothing_to_write(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, 0, 0);
	assert_int_equal(put(fixture, "", 0), XPT_TOPA_OK);
	assert_int_equal(fixture->topa.status, TRIGGER);
	assert_int_equal(fixture->memory.count, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_region_sizes),
		TEST(test_page_straddled),
		TEST(test_end),
		TEST(test_self_link),
		TEST(test_table_wraps),
		TEST(test_interrupt),
		TEST(test_stop),
		TEST(test_single_range),
		TEST(test_single_range_errors),
		TEST(test_errors),
		TEST(test_errors_later),
		TEST(test_bad_tables),
		TEST(test_end_loop),
		TEST(test_fault),
		TEST(test_fault_of_tables),
		TEST(test_rewritten_entry),
		TEST(test_nothing_to_write),

	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
