/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Walks page tables that are any bytes, in each mode. */
#include <stdlib.h>
#include <string.h>

#include "libxenpt/paging.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Pages whose numbers are taken modulo what the input is long enough for. */
struct guest {
	struct xenpt_mem mem;
	const uint8_t *data;
	size_t size;
	unsigned int reads;
};

static void must(bool condition)
{
	if (!condition)
		abort();
}

static bool guest_read(struct xenpt_mem *mem, uint64_t gpa, void *buf, size_t size)
{
	struct guest *guest = (struct guest *)mem;
	size_t pages = guest->size / 64; /* of each the first bytes, again and again */

	guest->reads++;
	must(size && size <= 8 && gpa % XENPT_PAGE_SIZE + size <= XENPT_PAGE_SIZE);
	must(gpa < UINT64_C(1) << 52);
	if (!pages || gpa / XENPT_PAGE_SIZE % (pages + 1) == pages)
		return false;
	memcpy(buf, guest->data + gpa / XENPT_PAGE_SIZE % (pages + 1) * 64 + gpa % 64,
	       size);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest guest = { .mem.read = guest_read };
	uint64_t cr3, address;

	if (size < 16)
		return 0;
	memcpy(&cr3, data, 8);
	memcpy(&address, data + 8, 8);
	guest.data = data + 16;
	guest.size = size - 16;
	for (unsigned int i = XENPT_PAGING_NONE; i <= XENPT_PAGING_5_LEVEL; i++) {
		struct xenpt_translation t;
		bool mapped;

		guest.reads = 0;
		mapped = xenpt_paging_walk(&guest.mem, i, cr3, address, &t);
		must(t.levels <= 5 && guest.reads == t.levels);
		if (!mapped)
			continue;
		must(t.page_size >= XENPT_PAGE_SIZE && t.page_size <= 1 << 30);
		must((t.gpa ^ address) % XENPT_PAGE_SIZE == 0);
		must(((t.gpa ^ address) & (t.page_size - 1)) == 0);
		must(t.gpa < UINT64_C(1) << 52);
	}
	return 0;
}
