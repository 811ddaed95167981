// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that knows where its trace goes, and spoils it: the tables that say
 * where the next byte is written (SDM 33.2.7.2), and the bytes themselves.
 */
#include "kernel.h"

#define TOPA_END 0x001
#define TOPA_SIZE_SHIFT 6
#define TOPA_ADDRESS 0x000ffffffffff000ull
#define TABLE_ENTRIES 512

static uint64_t random;
static uint64_t nr_tables, nr_pages; /* spoilt */

static bool is_in_window(uint64_t address)
{
	return address - GUEST_WINDOW_BASE < GUEST_WINDOW_SIZE;
}

/* How many entries it has, up to the one that ends it; 0: not a table. */
static uint64_t table_length(const uint64_t *page)
{
	for (uint64_t i = 0; i < TABLE_ENTRIES; i++) {
		if (!is_in_window(page[i] & TOPA_ADDRESS))
			return 0;
		if (page[i] & TOPA_END)
			return i + 1;
	}
	return 0;
}

static uint64_t entry_bad_size(uint64_t entry, uint64_t table)
{
	return (entry & ~(15ull << TOPA_SIZE_SHIFT)) | random_next(&random) % 16
							       << TOPA_SIZE_SHIFT;
}

static uint64_t entry_reserved(uint64_t entry, uint64_t table)
{
	return entry | 1ull << random_between(&random, 1, 12) | 1ull << 63;
}

static uint64_t entry_elsewhere(uint64_t entry, uint64_t table)
{
	return (entry & ~TOPA_ADDRESS) |
	       random_between(&random, FREE_BASE / 2, 2ull * GUEST_RAM_SIZE) / PAGE_SIZE *
		       PAGE_SIZE;
}

static uint64_t entry_loop(uint64_t entry, uint64_t table)
{
	return table | TOPA_END;
}

static uint64_t entry_nothing(uint64_t entry, uint64_t table)
{
	return 0;
}

static uint64_t (*const entry_spoilers[])(uint64_t, uint64_t) = {
	entry_bad_size, entry_reserved, entry_elsewhere, entry_loop, entry_nothing,
};

static void spoil_table(uint64_t *page, uint64_t length)
{
	uint64_t i = random_next(&random) % length;
	uint64_t how = random_next(&random) % ARRAY_SIZE(entry_spoilers);

	page[i] = entry_spoilers[how](page[i], physical(page));
	nr_tables++;
}

static void bytes_random(uint8_t *to, uint64_t count)
{
	for (; count; count--)
		*to++ = random_next(&random);
}

static void bytes_ones(uint8_t *to, uint64_t count)
{
	for (; count; count--)
		*to++ = 0xff;
}

static void bytes_psb(uint8_t *to, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		to[i] = i & 1 ? 0x82 : 0x02;
}

/* Valid packets, of a way that nobody went. */
static void bytes_forged(uint8_t *to, uint64_t count)
{
	static const char forged[] = "\x02\x82\x02\x82\x02\x82\x02\x82"
				     "\x02\x82\x02\x82\x02\x82\x02\x82" /* PSB */
				     "\x02\x43\x00\x10\x40\x00\x00\x00" /* PIP */
				     "\x99\x01\x02\x23" /* MODE.Exec, PSBEND */
				     "\x71\x00\x00\x40\x00\x00\x00" /* TIP.PGE */
				     "\x06"                         /* TNT */
				     "\x6d\x00\x00\x10\x80\xff\xff" /* TIP */;

	for (uint64_t i = 0; i < count; i++)
		to[i] = forged[i % (sizeof(forged) - 1)];
}

static void (*const byte_spoilers[])(uint8_t *, uint64_t) = {
	bytes_random,
	bytes_ones,
	bytes_psb,
	bytes_forged,
};

static void spoil_trace(uint8_t *page)
{
	uint64_t start = random_next(&random) % PAGE_SIZE;
	uint64_t count = random_between(&random, 1, 256);
	uint64_t how = random_next(&random) % ARRAY_SIZE(byte_spoilers);

	if (count > PAGE_SIZE - start)
		count = PAGE_SIZE - start;
	byte_spoilers[how](page + start, count);
	nr_pages++;
}

static void spoil_page(uint64_t *page)
{
	uint64_t length;

	if (!page[0])
		return;
	length = table_length(page);
	if (length)
		spoil_table(page, length);
	else if (random_next(&random) % 4 == 0)
		spoil_trace((uint8_t *)page);
}

static void spoil_window(uint64_t size)
{
	for (uint64_t offset = 0; offset < size; offset += PAGE_SIZE)
		spoil_page(at_physical(GUEST_WINDOW_BASE + offset));
}

void hostile_thread(void)
{
	uint64_t size, times;

	random = random_start(options.seed, 'h');
	size = random_between(&random, 1, 5) << 20;
	times = random_between(&random, 2, 6);
	print("hostile: looks at %u KiB, %u times\n", size >> 10, times);
	for (; times; times--) {
		for (uint64_t wait = random_between(&random, 1, 16); wait; wait--)
			yield();
		spoil_window(size);
	}
	print("hostile: spoilt %u tables, %u pages\n", nr_tables, nr_pages);
}
