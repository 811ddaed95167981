/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Trace buffers: tables that a CPU takes, and positions there and back. */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/buffer.h"
#include "hv/pt/topa.h"
#include "tests/trace.h"

/* Walk the tables as a CPU does, from the first region once around. */
static void check_walk(const struct buffer *buffer, bool stop, bool interrupt)
{
	uint64_t table = buffer->table_gpa, index = 0, filled = 0, entry, size, offset;
	unsigned int interrupts = 0;
	size_t count = 0;

	for (;;) {
		size_t page = (table - buffer->table_gpa) / BUFFER_PAGE;

		assert_true(page < buffer->table_pages);
		assert_true(index < BUFFER_TABLE_ENTRIES);
		entry = le64toh(buffer->tables[page * BUFFER_TABLE_ENTRIES + index]);
		if (entry & XPT_TOPA_END) {
			assert_true(index > 0);
			assert_false(entry & (XPT_TOPA_INT | XPT_TOPA_STOP));
			/* Between the last region and the next table. */
			assert_true(
				buffer_offset(buffer, table, index << 7 | 0x7f, &offset));
			assert_int_equal(offset, filled % buffer->size);
			assert_false(buffer_offset(
				buffer, table, 1ull << 32 | index << 7 | 0x7f, &offset));
			table = entry & ~0xfffull;
			index = 0;
			if (table == buffer->table_gpa)
				break;
			continue;
		}
		size = 4096ull << (entry >> XPT_TOPA_SIZE_SHIFT & XPT_TOPA_SIZE_MASK);
		assert_int_equal((entry & ~0xfffull) % size, 0);
		assert_int_equal(entry & ~0xfffull, buffer->regions[count].gpa);
		assert_int_equal(filled, buffer->regions[count].offset);
		assert_int_equal(size, buffer->regions[count].size);
		assert_true(buffer_offset(buffer, table,
					  (size - 1) << 32 | index << 7 | 0x7f, &offset));
		assert_int_equal(offset, filled + size - 1);
		filled += size;
		index++;
		count++;
		assert_int_equal(!!(entry & XPT_TOPA_STOP),
				 stop && count == buffer->region_count);
		if (entry & XPT_TOPA_INT)
			interrupts++;
		if (count == buffer->region_count && interrupt)
			assert_true(entry & XPT_TOPA_INT);
	}
	assert_int_equal(count, buffer->region_count);
	assert_int_equal(filled, buffer->size);
	assert_true(interrupts <= (interrupt ? 2 : 0));
	assert_true(!interrupt || count == 1 || interrupts == 2);
}

/* Nothing of it overlaps, and all is between its first page and its end. */
static void check_places(const struct buffer *buffer, uint64_t gfn)
{
	uint64_t end = buffer->table_gpa + buffer->table_pages * BUFFER_PAGE;

	assert_int_equal(buffer->table_gpa, gfn * BUFFER_PAGE);
	for (size_t i = 0; i < buffer->region_count; i++) {
		assert_true(buffer->regions[i].gpa >= end);
		end = buffer->regions[i].gpa + buffer->regions[i].size;
	}
	assert_int_equal(end, buffer->end_gfn * BUFFER_PAGE);
}

static void check_pointers(const struct buffer *buffer, uint64_t offset)
{
	uint64_t base, pointers, back;

	buffer_pointers(buffer, offset, &base, &pointers);
	assert_true(buffer_offset(buffer, base, pointers, &back));
	assert_int_equal(back, offset);
}

static void check_layout(const struct buffer_layout *layout)
{
	struct buffer *buffer;

	check_error(buffer_create(layout, &buffer));
	check_walk(buffer, layout->stop, layout->interrupt);
	check_places(buffer, layout->gfn);
	for (size_t i = 0; i < buffer->region_count; i++) {
		const struct buffer_region *r = &buffer->regions[i];

		check_pointers(buffer, r->offset);
		check_pointers(buffer, r->offset + r->size / 2);
		check_pointers(buffer, r->offset + r->size - 1);
	}
	if (!layout->sizes) {
		assert_true(buffer->size >= layout->size);
		assert_true(buffer->size - layout->size < layout->size / 4 + 4096);
	}
	buffer_destroy(buffer);
}

static void test_by_size(void **state)
{
	static const uint64_t sizes[] = { 1,         4096,     4097,      12288,
					  1 << 16,   100000,   1 << 20,   3 << 20,
					  8 << 20,   64 << 20, 100 << 20, 1ull << 30,
					  5ull << 30 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (int flags = 0; flags < 4; flags++) {
			struct buffer_layout layout = {
				.gfn = 0x4001 + i,
				.size = sizes[i],
				.stop = flags & 1,
				.interrupt = flags & 2,
			};

			check_layout(&layout);
		}
	}
}

static void test_by_regions(void **state)
{
	uint64_t sizes[BUFFER_REGIONS_MAX], seed = 1;
	static const size_t counts[] = { 1, 2, 3, 510, 511, 512, 1022, 1023, 4096 };

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		for (size_t j = 0; j < counts[i]; j++) {
			seed = seed * UINT64_C(6364136223846793005) + 1;
			sizes[j] = 4096ull << (seed >> 60);
		}
		for (int flags = 0; flags < 4; flags++) {
			struct buffer_layout layout = {
				.gfn = 0x4001,
				.sizes = sizes,
				.size_count = counts[i],
				.stop = flags & 1,
				.interrupt = flags & 2,
			};

			check_layout(&layout);
		}
	}
}

static void test_bad_pointers(void **state)
{
	static const uint64_t sizes[] = { 4096, 8192 };
	struct buffer_layout layout = { .gfn = 16, .sizes = sizes, .size_count = 2 };
	struct buffer *buffer;
	uint64_t offset = 77;

	check_error(buffer_create(&layout, &buffer));
	assert_false(buffer_offset(buffer, 0, 0x7f, &offset));
	assert_false(buffer_offset(buffer, 15 << 12, 0x7f, &offset));
	assert_false(buffer_offset(buffer, 17 << 12, 0x7f, &offset));
	assert_false(buffer_offset(buffer, (16 << 12) + 8, 0x7f, &offset));
	assert_false(buffer_offset(buffer, UINT64_MAX, 0x7f, &offset));
	assert_false(buffer_offset(buffer, 16 << 12, 0, &offset));
	assert_false(buffer_offset(buffer, 16 << 12, 4096ull << 32 | 0x7f, &offset));
	assert_false(buffer_offset(buffer, 16 << 12, 3 << 7 | 0x7f, &offset));
	assert_false(buffer_offset(buffer, 16 << 12, UINT64_MAX, &offset));
	assert_int_equal(offset, 77);
	buffer_destroy(buffer);

	layout.stop = true;
	check_error(buffer_create(&layout, &buffer));
	assert_false(buffer_offset(buffer, 16 << 12, 4096ull << 32 | 0x7f, &offset));
	assert_true(
		buffer_offset(buffer, 16 << 12, 8192ull << 32 | 1 << 7 | 0x7f, &offset));
	assert_int_equal(offset, buffer->size);
	buffer_destroy(buffer);
}

static void test_tampering(void **state)
{
	struct buffer_layout layout = { .gfn = 16, .size = 1 << 20 };
	uint8_t tables[BUFFER_PAGE];
	struct buffer *buffer;

	check_error(buffer_create(&layout, &buffer));
	memcpy(tables, buffer->tables, sizeof(tables));
	assert_true(buffer_is_intact(buffer, tables));
	for (size_t i = 0; i < sizeof(tables); i++) {
		tables[i] ^= 0x10;
		assert_false(buffer_is_intact(buffer, tables));
		tables[i] ^= 0x10;
	}
	buffer_destroy(buffer);
}

static void check_refused(const struct buffer_layout *layout)
{
	struct buffer *buffer = NULL;
	struct xenpt_error *err = buffer_create(layout, &buffer);

	assert_non_null(err);
	assert_int_equal(err->code, XENPT_ERROR_INVALID);
	assert_null(buffer);
	xenpt_error_destroy(err);
}

static void test_bad_layouts(void **state)
{
	static const uint64_t odd[] = { 4096, 12288 }, large[] = { 256 << 20 },
			      none[] = { 0 };

	check_refused(&(struct buffer_layout){ .gfn = 1 });
	check_refused(&(struct buffer_layout){ .gfn = 1, .size = UINT64_MAX });
	check_refused(&(struct buffer_layout){ .gfn = 1ull << 52, .size = 4096 });
	check_refused(&(struct buffer_layout){ .sizes = odd, .size_count = 2 });
	check_refused(&(struct buffer_layout){ .sizes = large, .size_count = 1 });
	check_refused(&(struct buffer_layout){ .sizes = none, .size_count = 1 });
	check_refused(&(struct buffer_layout){ .sizes = odd });
}

static void test_parse(void **state)
{
	static const char *const bad[] = { "",       "4",    "4k+",
					   "3k",     "4k4k", "99999999999k",
					   "4k++4k", "256m", "-4k",
					   "4k;4k",  "0k" };
	struct xenpt_error *err;
	uint64_t *sizes;
	size_t count;

	check_error(buffer_parse_sizes("4k+64K,128m", &sizes, &count));
	assert_int_equal(count, 3);
	assert_int_equal(sizes[0], 4096);
	assert_int_equal(sizes[1], 65536);
	assert_int_equal(sizes[2], 128 << 20);
	free(sizes);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err = buffer_parse_sizes(bad[i], &sizes, &count);
		assert_non_null(err);
		xenpt_error_destroy(err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_size),      cmocka_unit_test(test_by_regions),
		cmocka_unit_test(test_bad_pointers), cmocka_unit_test(test_tampering),
		cmocka_unit_test(test_bad_layouts),  cmocka_unit_test(test_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
