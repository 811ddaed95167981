/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/mman.h>

#include "hv/xen-mem.h"

/*
 * Code and page tables lie in heaps of a few pages, and a batch costs about what a page
 * does: two system calls.
 */
#define BATCH_PAGES 16
#define BATCHES_MAX 512 /* 32 MiB */
#define BUCKETS 1024
#define NONE UINT16_MAX

/* No guest has more: SDM volume 3, MAXPHYADDR is at most 52. */
#define GPA_MAX (UINT64_C(1) << 52)

/*
 * After so many reads all is mapped anew, for a recording that never pauses its domain:
 * what is not there may be by then.
 */
#define READS_MAX (1 << 16)

/* Guest frames from a multiple of BATCH_PAGES on. */
struct batch {
	uint64_t number; /* first frame / BATCH_PAGES */
	uint8_t *at;     /* NULL: not used */
	uint16_t there;  /* a bit for each page that may be touched */
	uint16_t next;   /* in its bucket */
	uint64_t used;   /* when, in reads */
};

struct xen_mem {
	struct xenpt_mem mem; /* first */
	struct xen_host *host;
	uint32_t domid;
	bool frozen;
	uint64_t reads, fresh; /* in all; when all was forgotten */
	struct batch batches[BATCHES_MAX];
	uint16_t buckets[BUCKETS];
};

static uint16_t *bucket_of(struct xen_mem *mem, uint64_t number)
{
	/* Fibonacci's hash: neighbours go apart. */
	return &mem->buckets[number * UINT64_C(0x9e3779b97f4a7c15) >> 54];
}

static struct batch *find(struct xen_mem *mem, uint64_t number)
{
	for (uint16_t i = *bucket_of(mem, number); i != NONE; i = mem->batches[i].next) {
		if (mem->batches[i].number == number)
			return &mem->batches[i];
	}
	return NULL;
}

static void unmap(struct xen_mem *mem, struct batch *batch)
{
	uint16_t *link = bucket_of(mem, batch->number);

	while (&mem->batches[*link] != batch)
		link = &mem->batches[*link].next;
	*link = batch->next;
	xen_calls->fm_unmap(mem->host->fm, batch->at, BATCH_PAGES);
	batch->at = NULL;
}

/* One that is free, or the one not used for longest. */
static struct batch *make_room(struct xen_mem *mem)
{
	struct batch *oldest = &mem->batches[0];

	for (size_t i = 0; i < BATCHES_MAX; i++) {
		struct batch *batch = &mem->batches[i];

		if (!batch->at)
			return batch;
		if (batch->used < oldest->used)
			oldest = batch;
	}
	unmap(mem, oldest);
	return oldest;
}

/* NULL: it cannot be. */
static struct batch *map(struct xen_mem *mem, uint64_t number)
{
	struct batch *batch = make_room(mem);
	uint16_t *bucket = bucket_of(mem, number);
	xen_pfn_t gfns[BATCH_PAGES];
	int errs[BATCH_PAGES] = {};

	for (size_t i = 0; i < BATCH_PAGES; i++)
		gfns[i] = number * BATCH_PAGES + i;
	batch->at = xen_calls->fm_map(mem->host->fm, mem->domid, PROT_READ, BATCH_PAGES,
				      gfns, errs);
	if (!batch->at)
		return NULL;
	batch->there = 0;
	for (size_t i = 0; i < BATCH_PAGES; i++)
		batch->there |= (uint16_t)(!errs[i] << i);
	batch->number = number;
	batch->next = *bucket;
	*bucket = (uint16_t)(batch - mem->batches);
	return batch;
}

static bool read_memory(struct xenpt_mem *base, uint64_t gpa, void *buf, size_t size)
{
	struct xen_mem *mem = (struct xen_mem *)base;
	uint64_t frame = gpa / XENPT_PAGE_SIZE, offset = gpa % XENPT_PAGE_SIZE;
	size_t page = frame % BATCH_PAGES;
	struct batch *batch;

	if (gpa >= GPA_MAX || size > XENPT_PAGE_SIZE - offset)
		return false;
	if (++mem->reads - mem->fresh >= READS_MAX)
		xen_mem_forget(mem);
	batch = find(mem, frame / BATCH_PAGES);
	if (!batch && !mem->frozen)
		batch = map(mem, frame / BATCH_PAGES);
	if (!batch)
		return false;
	batch->used = mem->reads;
	if (!(batch->there >> page & 1))
		return false;
	memcpy(buf, batch->at + page * XENPT_PAGE_SIZE + offset, size);
	return true;
}

struct xenpt_error *xen_mem_create(struct xen_host *host, uint32_t domid,
				   struct xen_mem **ret)
{
	struct xen_mem *mem = calloc(1, sizeof(*mem));

	if (!mem)
		return xenpt_error_no_memory();
	mem->mem.read = read_memory;
	mem->host = host;
	mem->domid = domid;
	for (size_t i = 0; i < BUCKETS; i++)
		mem->buckets[i] = NONE;
	*ret = mem;
	return NULL;
}

static void unmap_all(struct xen_mem *mem)
{
	for (size_t i = 0; i < BATCHES_MAX; i++) {
		if (mem->batches[i].at)
			unmap(mem, &mem->batches[i]);
	}
}

void xen_mem_destroy(struct xen_mem *mem)
{
	if (!mem)
		return;
	unmap_all(mem);
	free(mem);
}

struct xenpt_mem *xen_mem_reader(struct xen_mem *mem)
{
	return &mem->mem;
}

void xen_mem_forget(struct xen_mem *mem)
{
	mem->fresh = mem->reads;
	if (!mem->frozen)
		unmap_all(mem);
}

void xen_mem_freeze(struct xen_mem *mem)
{
	mem->frozen = true;
}
