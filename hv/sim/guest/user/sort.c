// SPDX-License-Identifier: GPL-2.0-only
/* Sorts numbers, in three ways and two orders. */
#include "user.h"

void sort_start(uint64_t seed);

typedef int (*sort_order)(uint32_t a, uint32_t b);

struct sort_array {
	uint32_t *items;
	size_t count;
	uint64_t random;
};

static int sort_ascending(uint32_t a, uint32_t b)
{
	return a < b;
}

static int sort_by_low_bits(uint32_t a, uint32_t b)
{
	return (a & 0xffff) < (b & 0xffff);
}

static void sort_swap(uint32_t *a, uint32_t *b)
{
	uint32_t old = *a;

	*a = *b;
	*b = old;
}

static void sort_insertion(uint32_t *items, size_t count, sort_order before)
{
	for (size_t i = 1; i < count; i++)
		for (size_t j = i; j && before(items[j], items[j - 1]); j--)
			sort_swap(&items[j], &items[j - 1]);
}

static size_t sort_partition(uint32_t *items, size_t count, sort_order before)
{
	size_t store = 0;

	sort_swap(&items[count / 2], &items[count - 1]);
	for (size_t i = 0; i + 1 < count; i++)
		if (before(items[i], items[count - 1]))
			sort_swap(&items[i], &items[store++]);
	sort_swap(&items[store], &items[count - 1]);
	return store;
}

static void sort_quick(uint32_t *items, size_t count, sort_order before)
{
	size_t middle;

	if (count < 2)
		return;
	middle = sort_partition(items, count, before);
	sort_quick(items, middle, before);
	sort_quick(items + middle + 1, count - middle - 1, before);
}

static void sort_sift(uint32_t *items, size_t root, size_t count, sort_order before)
{
	size_t child = 2 * root + 1;

	if (child >= count)
		return;
	if (child + 1 < count && before(items[child], items[child + 1]))
		child++;
	if (!before(items[root], items[child]))
		return;
	sort_swap(&items[root], &items[child]);
	sort_sift(items, child, count, before);
}

static void sort_heap(uint32_t *items, size_t count, sort_order before)
{
	for (size_t i = count / 2; i--;)
		sort_sift(items, i, count, before);
	for (size_t end = count; end-- > 1;) {
		sort_swap(&items[0], &items[end]);
		sort_sift(items, 0, end, before);
	}
}

static const struct sort_way {
	const char *name;
	void (*sort)(uint32_t *items, size_t count, sort_order before);
	size_t count;
} sort_ways[] = {
	{ "insertion sort", sort_insertion, 24 },
	{ "quick sort", sort_quick, 96 },
	{ "heap sort", sort_heap, 64 },
};

static const sort_order sort_orders[] = { sort_ascending, sort_by_low_bits };

static void sort_fill(struct sort_array *array, size_t count)
{
	array->count = count;
	for (size_t i = 0; i < count; i++)
		array->items[i] = random_next(&array->random);
}

static uint64_t sort_count_wrong(const struct sort_array *array, sort_order before)
{
	uint64_t wrong = 0;

	for (size_t i = 1; i < array->count; i++)
		wrong += before(array->items[i], array->items[i - 1]);
	return wrong;
}

static uint64_t sort_round(struct sort_array *array, const struct sort_way *way)
{
	sort_order before = sort_orders[random_next(&array->random) % 2];

	sort_fill(array, random_between(&array->random, way->count / 2, way->count));
	way->sort(array->items, array->count, before);
	return sort_count_wrong(array, before);
}

ENTRY sort_start(uint64_t seed)
{
	struct sort_array array = { .items = grow(4 * PAGE_SIZE),
				    .random = random_start(seed, 's') };
	uint64_t wrong = 0;

	for (uint64_t round = 0; round < 6; round++) {
		const struct sort_way *way = &sort_ways[random_next(&array.random) % 3];

		wrong += sort_round(&array, way);
		report(way->name, array.items[0]);
		array.items += PAGE_SIZE / 2 / sizeof(*array.items);
		syscall(SYS_YIELD, 0, 0);
	}
	syscall(SYS_EXIT, wrong, 0);
	__builtin_unreachable();
}
