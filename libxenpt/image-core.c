/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "cleanup.h"
#include "image-core.h"
#include "mem-file.h"
#include "paging.h"

/* 256 MiB of code; what is more is looked up each time. */
#define PAGES_MAX (1u << 16)
#define BUCKETS (1u << 14)

#define CR0_PG (1u << 31)

/* CR3 without PCID and bit 63: SDM volume 3, "Control Registers". */
#define CR3_MASK UINT64_C(0x000ffffffffff000)

/* One that was looked for. It is never changed, nor freed before the end. */
struct page {
	struct page *next;
	uint64_t cr3, address;
	uint32_t epoch;
	bool there;
	uint8_t bytes[]; /* if it is there */
};

/* The file's memory as of its time, then the core's. */
struct chain {
	struct xenpt_mem mem;
	struct xenpt_mem *file, *core;
};

struct image_core {
	pthread_mutex_t mutex; /* over the reading of memory, and adding */
	struct chain chain;
	bool has_epochs;
	enum xenpt_paging paging;
	size_t count;
	_Atomic(struct page *) buckets[BUCKETS];
};

static bool chain_read(struct xenpt_mem *mem, uint64_t gpa, void *buf, size_t size)
{
	struct chain *chain = (struct chain *)mem;

	return xenpt_mem_read(chain->file, gpa, buf, size) ||
	       xenpt_mem_read(chain->core, gpa, buf, size);
}

/* ---- life ---------------------------------------------------------------- */

static bool look_at(struct image_core *image, const struct xenpt_registers *regs)
{
	if (!(regs->cr0 & CR0_PG))
		return false;
	image->paging = xenpt_paging_of(regs);
	return true;
}

/* How the guest translates: as a vCPU did, the last time that it is known. */
static void find_paging(struct image_core *image, const struct xenpt_file *file,
			const struct xenpt_core *core)
{
	const struct xenpt_file_info *info = xenpt_file_info(file);
	struct xenpt_registers regs;

	image->paging = XENPT_PAGING_4_LEVEL;
	for (size_t i = info->sample_count; i-- > 0;) {
		if (look_at(image, &info->samples[i].regs))
			return;
	}
	for (uint32_t i = 0; i < xenpt_core_vcpus(core); i++) {
		if (xenpt_core_registers(core, i, &regs) && look_at(image, &regs))
			return;
	}
}

XENPT_DEFINE_CLEANUP(struct image_core, image_core, image_core_destroy)

struct xenpt_error *image_core_create(const struct xenpt_file *file,
				      struct xenpt_core *core, struct image_core **ret)
{
	_cleanup_(image_core_cleanup) struct image_core *image =
		calloc(1, sizeof(*image));

	if (!image)
		return xenpt_error_no_memory();
	pthread_mutex_init(&image->mutex, NULL);
	image->chain.mem.read = chain_read;
	image->chain.core = xenpt_core_mem(core);
	image->has_epochs = xenpt_file_info(file)->pages > 0;
	find_paging(image, file, core);
	XENPT_TRY(xenpt_mem_file_create(file, XENPT_EPOCH_NEWEST, &image->chain.file));
	*ret = no_cleanup_ptr(image);
	return NULL;
}

void image_core_destroy(struct image_core *image)
{
	if (!image)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		struct page *page = atomic_load(&image->buckets[i]), *next;

		for (; page; page = next) {
			next = page->next;
			free(page);
		}
	}
	xenpt_mem_file_destroy(image->chain.file);
	pthread_mutex_destroy(&image->mutex);
	free(image);
}

/* ---- pages --------------------------------------------------------------- */

static _Atomic(struct page *) *bucket_of(struct image_core *image, uint32_t epoch,
					 uint64_t cr3, uint64_t address)
{
	uint64_t hash = (address >> 12) * UINT64_C(0x9e3779b97f4a7c15);

	hash = (hash ^ hash >> 32 ^ cr3 >> 12 ^ (uint64_t)epoch << 40) *
	       UINT64_C(0xd6e8feb86659fd93);
	return &image->buckets[hash >> 32 & (BUCKETS - 1)];
}

static const struct page *find_page(struct image_core *image, uint32_t epoch,
				    uint64_t cr3, uint64_t address)
{
	const struct page *page = atomic_load_explicit(
		bucket_of(image, epoch, cr3, address), memory_order_acquire);

	while (page &&
	       (page->address != address || page->cr3 != cr3 || page->epoch != epoch))
		page = page->next;
	return page;
}

/* Read the page of an address space, by the tables of that time. Locked. */
static bool load(struct image_core *image, uint32_t epoch, uint64_t cr3, uint64_t address,
		 uint8_t *ret)
{
	struct xenpt_mem *mem = &image->chain.mem;
	struct xenpt_translation translation;
	/* Until a guest sets CR3, it has paging off. */
	enum xenpt_paging paging = cr3 & CR3_MASK ? image->paging : XENPT_PAGING_NONE;

	xenpt_mem_file_set_epoch(image->chain.file, epoch);
	if (!xenpt_paging_walk(mem, paging, cr3, address, &translation))
		return false;
	return xenpt_mem_read(mem, translation.gpa, ret, XENPT_PAGE_SIZE);
}

/* Look it up, and keep what was found, or that nothing was. */
static bool add_page(struct image_core *image, uint32_t epoch, uint64_t cr3,
		     uint64_t address, uint8_t *ret)
{
	_Atomic(struct page *) *bucket = bucket_of(image, epoch, cr3, address);
	bool there = load(image, epoch, cr3, address, ret);
	struct page *page = NULL;

	/* Another thread may have been faster: then one of the two is never found. */
	if (image->count < PAGES_MAX)
		page = malloc(sizeof(*page) + (there ? XENPT_PAGE_SIZE : 0));
	if (!page)
		return there;
	image->count++;
	page->cr3 = cr3;
	page->address = address;
	page->epoch = epoch;
	page->there = there;
	if (there)
		memcpy(page->bytes, ret, XENPT_PAGE_SIZE);
	page->next = atomic_load_explicit(bucket, memory_order_relaxed);
	atomic_store_explicit(bucket, page, memory_order_release);
	return there;
}

size_t image_core_read(struct image_core *image, uint32_t epoch, uint64_t cr3,
		       uint64_t address, void *buf, size_t size)
{
	uint64_t offset = address % XENPT_PAGE_SIZE;
	uint8_t bytes[XENPT_PAGE_SIZE];
	const uint8_t *from = bytes;
	const struct page *page;
	bool there;

	if (cr3 == XENPT_CR3_ANY)
		return 0;
	if (!image->has_epochs)
		epoch = 0;
	page = find_page(image, epoch, cr3, address - offset);
	if (page) {
		there = page->there;
		from = page->bytes;
	} else {
		pthread_mutex_lock(&image->mutex);
		there = add_page(image, epoch, cr3, address - offset, bytes);
		pthread_mutex_unlock(&image->mutex);
	}
	if (!there)
		return 0;
	if (size > XENPT_PAGE_SIZE - offset)
		size = XENPT_PAGE_SIZE - offset;
	memcpy(buf, from + offset, size);
	return size;
}
