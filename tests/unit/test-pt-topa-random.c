/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random tables, regions, packets and absent pages, against a model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hv/pt/topa.h"
#include "tests/unit/guest-memory.h"
#include "tests/unit/random.h"

/*
 * The model: regions are one flat array, in the order in which
 * they fill, and byte n of the stream is at n modulo its size.
 */
enum {
	TABLES = 4,
	REGIONS = 6, /* of a table */
	SIZES = 4,   /* 4K..32K */
	TABLE = 0x10000,
	MAXPHYADDR = 39
};

struct layout {
	size_t count, stop; /* regions; which of them has STOP, or count */
	uint64_t total;
	struct layout_region {
		uint64_t table, index, gpa, size, at; /* at: in the flat array */
		bool intr;
	} regions[TABLES * REGIONS];
};

/* A place for @size bytes, aligned to it, anywhere between those used already. */
static uint64_t place(struct random *random, uint64_t *next, uint64_t size)
{
	uint64_t gpa = (*next + size - 1) / size * size;

	gpa += random_below(random, 4) * size;
	*next = gpa + size;
	return gpa;
}

static void make_layout(struct random *random, struct memory *memory, bool single,
			struct layout *ret)
{
	size_t tables = single ? 1 : 1 + random_below(random, TABLES);
	uint64_t next = TABLE, bases[TABLES];
	bool stop = !random_below(random, 3);

	for (size_t t = 0; t < tables; t++)
		bases[t] = place(random, &next, 4096);
	for (size_t t = 0; t < tables; t++) {
		size_t regions = single ? 1 : 1 + random_below(random, REGIONS);

		for (size_t i = 0; i < regions; i++) {
			struct layout_region *region = &ret->regions[ret->count++];
			unsigned int n = random_below(random, SIZES);

			region->table = bases[t];
			region->index = i;
			region->size = 4096ull << n;
			region->gpa = place(random, &next, region->size);
			region->at = ret->total;
			region->intr = !random_below(random, 4);
			ret->total += region->size;
			memory_entry(memory, bases[t], i,
				     region->gpa | n << XPT_TOPA_SIZE_SHIFT |
					     (region->intr ? XPT_TOPA_INT : 0));
		}
		memory_entry(memory, bases[t], regions,
			     bases[(t + 1) % tables] | XPT_TOPA_END);
	}
	ret->stop = ret->count;
	if (stop) {
		struct layout_region *region;

		ret->stop = random_below(random, ret->count);
		region = &ret->regions[ret->stop];
		*memory_at(memory, region->table + 8 * region->index, 1) |= XPT_TOPA_STOP;
	}
}

/* Which region holds flat position @at. */
static const struct layout_region *region_at(const struct layout *layout, uint64_t at)
{
	const struct layout_region *region = layout->regions;

	while (at >= region->at + region->size)
		region++;
	return region;
}

static void assert_position(const struct xpt_topa *topa, const struct layout *layout,
			    uint64_t written, bool stopped)
{
	uint64_t at = written % layout->total, offset;
	const struct layout_region *region = region_at(layout, at);

	offset = at - region->at;
	if (stopped) {
		region = &layout->regions[layout->stop];
		offset = region->size;
	}
	assert_int_equal(topa->output_base, region->table);
	assert_int_equal(topa->output_mask_ptrs, mask_ptrs(region->index, offset));
	assert_int_equal(topa->written, written);
	assert_int_equal(topa->wraps, stopped ? 0 : written / layout->total);
	assert_int_equal(topa->status & 0xffffffff,
			 stopped ? XPT_STATUS_STOPPED : XPT_STATUS_TRIGGER_EN);
	assert_int_equal(topa->status >> XPT_STATUS_BYTES_SHIFT,
			 written < XPT_STATUS_BYTES_MASK ? written
							 : XPT_STATUS_BYTES_MASK);
}

/* Whether a region with INT became full between these many bytes written. */
static bool interrupts(const struct layout *layout, uint64_t from, uint64_t to)
{
	for (size_t i = 0; i < layout->count; i++) {
		uint64_t end = layout->regions[i].at + layout->regions[i].size;
		uint64_t total = layout->total;

		/* Times its last byte was written: before @to, before @from. */
		if (layout->regions[i].intr &&
		    (to + total - end) / total > (from + total - end) / total)
			return true;
	}
	return false;
}

static void some_absent(struct random *random, struct memory *memory,
			const struct layout *layout)
{
	for (size_t n = random_below(random, 6); n; n--) {
		const struct layout_region *region =
			&layout->regions[random_below(random, layout->count)];
		uint64_t gpa = region->gpa + random_below(random, region->size);

		memory_page(memory, n % 3 ? gpa : region->table)->absent = true;
	}
}

static void random_layout(struct memory *memory, uint64_t seed)
{
	struct random random = { seed };
	bool single = !random_below(&random, 8), stopped = false;
	struct layout layout = {};
	struct xpt_topa topa;
	uint64_t written = 0, end, todo;
	uint8_t *want, bytes[9000];

	make_layout(&random, memory, single, &layout);
	some_absent(&random, memory, &layout);
	want = calloc(1, layout.total);
	assert_non_null(want);
	end = layout.total;
	if (layout.stop < layout.count)
		end = layout.regions[layout.stop].at + layout.regions[layout.stop].size;
	todo = random_below(&random, 3 * layout.total);
	xpt_topa_init(&topa, &memory_ops, memory, layout.regions[0].table,
		      mask_ptrs(0, 0), XPT_STATUS_TRIGGER_EN, false, MAXPHYADDR, single);
	while (written < todo && !stopped) {
		size_t size =
			1 + random_below(&random,
					 random_below(&random, 50) ? 16 : sizeof(bytes));
		size_t done = 0, part;
		enum xpt_topa_result result;

		for (size_t i = 0; i < size; i++)
			bytes[i] = random_next(&random);
		topa.interrupt = false;
		while ((result = xpt_topa_write(&topa, bytes + done, size - done,
						&part)) == XPT_TOPA_FAULT) {
			struct memory_page *page = memory_page(memory, topa.fault);

			assert_true(page->absent);
			page->absent = false;
			done += part;
			assert_position(&topa, &layout, written + done, false);
		}
		done += part;
		stopped = layout.stop < layout.count && written + size >= end;
		assert_int_equal(result, stopped ? XPT_TOPA_STOPPED : XPT_TOPA_OK);
		assert_int_equal(done, stopped ? end - written : size);
		for (size_t i = 0; i < done; i++)
			want[(written + i) % layout.total] = bytes[i];
		assert_position(&topa, &layout, written + done, stopped);
		assert_int_equal(topa.interrupt,
				 interrupts(&layout, written, written + done));
		written += done;
	}
	for (size_t i = 0; i < layout.count; i++)
		for (uint64_t at = 0; at < layout.regions[i].size; at += 4096)
			assert_memory_equal(
				memory_page(memory, layout.regions[i].gpa + at)->bytes,
				want + layout.regions[i].at + at, 4096);
	free(want);
	memory_deinit(memory);
}

static void test_random_layouts(void **unused)
{
	static struct memory memory;

	for (uint64_t seed = 1; seed <= 300; seed++)
		random_layout(&memory, seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_layouts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
