/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages, who has them, and where guests see them. */
#include <sys/mman.h>
#include <unistd.h>

#include "tests/xen-host/host.h"

#include <asm/cache.h>
#include <asm/hvm/io.h>
#include <xen/domain_page.h>
#include <xen/vmap.h>

#define LEAF 512
#define MFN_FIRST 0x4000
#define WATCHED 1024 /* pages */
#define PIP_SIZE 8
#define MAPS 16

struct entry {
	struct page_info *pg; /* NULL: as p2m_invalid and others */
	p2m_type_t type;
	p2m_access_t access;
	bool known; /* of a view: copied, or set */
};

struct p2m_leaf {
	struct p2m_leaf *next;
	unsigned long first;
	struct entry entries[LEAF];
};

static struct page_info pages[HOST_PAGES];
static unsigned int used;    /* pages that may have been given out */
static int memory_fd = -1;   /* their bytes */
static uint8_t *memory_base; /* and where the machine itself sees them */
static uint8_t shadow[WATCHED * PAGE_SIZE];
static struct {
	uint8_t *at;
	size_t size;
} maps[MAPS];

void host_memory_init(void)
{
	const size_t size = HOST_PAGES * PAGE_SIZE;

	if (memory_fd < 0) {
		memory_fd = memfd_create("xen-host", MFD_CLOEXEC);
		if (memory_fd < 0 || ftruncate(memory_fd, size))
			abort();
		memory_base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
				   memory_fd, 0);
		if (memory_base == MAP_FAILED)
			abort();
	}
	memset(pages, 0, used * sizeof(*pages));
	used = 0;
}

void host_memory_check(void)
{
	for (unsigned int i = 0; i < used; i++)
		if (pages[i].refs || pages[i].types)
			host_bug("page %u: %u references, %u types", i, pages[i].refs,
				 pages[i].types);
}

uint8_t *host_bytes(const struct page_info *pg)
{
	return memory_base + (pg - pages) * PAGE_SIZE;
}

/* ---- references ---- */

bool mfn_valid(mfn_t mfn)
{
	return mfn_x(mfn) - MFN_FIRST < used;
}

struct page_info *mfn_to_page(mfn_t mfn)
{
	HOST_BUG_ON(!mfn_valid(mfn));
	return &pages[mfn_x(mfn) - MFN_FIRST];
}

bool get_page(struct page_info *pg, const struct domain *d)
{
	if (!pg->refs || pg->owner != d)
		return false;
	pg->refs++;
	return true;
}

void put_page(struct page_info *pg)
{
	HOST_BUG_ON(!pg->refs);
	if (--pg->refs)
		return;
	HOST_BUG_ON(pg->types);
	pg->owner = NULL;
}

bool get_page_type(struct page_info *pg, unsigned int type)
{
	HOST_BUG_ON(!pg->refs);
	if (pg->types && pg->type != type)
		return false;
	pg->type = type;
	pg->types++;
	return true;
}

void put_page_and_type(struct page_info *pg)
{
	HOST_BUG_ON(!pg->types);
	pg->types--;
	put_page(pg);
}

mfn_t page_to_mfn(const struct page_info *pg)
{
	return _mfn(MFN_FIRST + (pg - pages));
}

/* ---- p2m ---- */

/* NULL: there is none, and @make is not wanted. */
static struct entry *entry(struct p2m_domain *p2m, unsigned long gfn, bool make)
{
	const unsigned long first = gfn - gfn % LEAF;
	struct p2m_leaf *leaf;

	for (leaf = p2m->leaves; leaf; leaf = leaf->next)
		if (leaf->first == first)
			return &leaf->entries[gfn % LEAF];
	if (!make)
		return NULL;
	leaf = calloc(1, sizeof(*leaf));
	if (!leaf)
		abort();
	leaf->first = first;
	leaf->next = p2m->leaves;
	p2m->leaves = leaf;
	return &leaf->entries[gfn % LEAF];
}

static struct entry look_up(struct p2m_domain *p2m, unsigned long gfn)
{
	const struct entry *found = entry(p2m, gfn, false);

	return found ? *found : (struct entry){ .type = p2m_invalid };
}

struct p2m_domain *host_p2m_create(struct domain *d)
{
	struct p2m_domain *p2m = calloc(1, sizeof(*p2m));

	if (!p2m)
		abort();
	p2m->domain = d;
	return p2m;
}

void host_p2m_free(struct p2m_domain *p2m)
{
	struct p2m_leaf *leaf, *next;

	for (leaf = p2m ? p2m->leaves : NULL; leaf; leaf = next) {
		next = leaf->next;
		free(leaf);
	}
	free(p2m);
}

/* Views of altp2m forget what was copied from there: Xen's p2m_altp2m_propagate_change().
 */
static void changed(struct domain *d, unsigned long gfn)
{
	for (unsigned int i = 0; i < HOST_VIEWS; i++) {
		struct entry *copy = entry(d->views[i], gfn, false);

		if (copy)
			*copy = (struct entry){ .type = p2m_invalid };
	}
}

struct page_info *host_page_add(struct domain *d, unsigned long gfn)
{
	struct page_info *pg = pages;

	host_page_take(d, gfn);
	while (pg < pages + used && pg->refs)
		pg++;
	if (pg == pages + HOST_PAGES)
		host_bug("no page is left for the guest");
	if (pg == pages + used)
		used++;
	*pg = (struct page_info){ .owner = d, .refs = 1 };
	memset(host_bytes(pg), 0, PAGE_SIZE);
	*entry(d->p2m, gfn, true) =
		(struct entry){ pg, p2m_ram_rw, p2m_access_rwx, true };
	changed(d, gfn);
	return pg;
}

struct page_info *host_pages_alloc(struct domain *d, unsigned int nr)
{
	unsigned int run = 0;

	for (unsigned int i = 0; i < HOST_PAGES; i++) {
		run = pages[i].refs ? 0 : run + 1;
		if (run < nr)
			continue;
		if (used < i + 1)
			used = i + 1;
		for (unsigned int n = i + 1 - nr; n <= i; n++) {
			pages[n] = (struct page_info){ .owner = d, .refs = 1 };
			memset(host_bytes(&pages[n]), 0, PAGE_SIZE);
		}
		return &pages[i + 1 - nr];
	}
	host_bug("no %u pages are left", nr);
}

static void take(struct entry *from)
{
	struct page_info *pg = from->pg;

	*from = (struct entry){ .type = p2m_invalid };
	if (pg)
		put_page(pg);
}

void host_page_take(struct domain *d, unsigned long gfn)
{
	struct entry *from = entry(d->p2m, gfn, false);

	if (from)
		take(from);
	changed(d, gfn);
}

void host_p2m_take_all(struct domain *d)
{
	struct p2m_leaf *leaf;

	for (leaf = d->p2m->leaves; leaf; leaf = leaf->next)
		for (unsigned int i = 0; i < LEAF; i++)
			take(&leaf->entries[i]);
}

struct page_info *host_page(struct domain *d, unsigned long gfn)
{
	return look_up(d->p2m, gfn).pg;
}

p2m_type_t host_page_type(struct domain *d, unsigned long gfn)
{
	return look_up(d->p2m, gfn).type;
}

void host_page_set(struct domain *d, unsigned long gfn, p2m_type_t type,
		   p2m_access_t access)
{
	struct entry *to = entry(d->p2m, gfn, true);

	to->type = type;
	to->access = access;
	changed(d, gfn);
}

void host_page_map(struct domain *d, unsigned long gfn, struct page_info *pg)
{
	host_page_take(d, gfn);
	HOST_BUG_ON(!get_page(pg, pg->owner));
	*entry(d->p2m, gfn, true) =
		(struct entry){ pg, p2m_map_foreign, p2m_access_rw, true };
}

void host_view_set(struct domain *d, unsigned int view, unsigned long gfn,
		   p2m_access_t access)
{
	const struct entry from = look_up(d->p2m, gfn);
	struct entry *to = entry(d->views[view], gfn, true);

	*to = from;
	to->access = access;
	to->known = true;
}

struct p2m_domain *p2m_get_hostp2m(struct domain *d)
{
	return d->p2m;
}

struct p2m_domain *p2m_get_altp2m(struct vcpu *v)
{
	return v->domain->views[v->view];
}

bool p2m_switch_vcpu_altp2m_by_id(struct vcpu *v, unsigned int index)
{
	HOST_BUG_ON(host.irqs_off);
	if (index >= HOST_VIEWS)
		return false;
	v->view = index;
	return true;
}

/* A page of RAM that is the domain's, or one that it has mapped. */
struct page_info *p2m_get_page_from_gfn(struct p2m_domain *p2m, gfn_t gfn,
					p2m_type_t *type, p2m_access_t *access,
					p2m_query_t query)
{
	struct entry *found = entry(p2m, gfn_x(gfn), false);

	/* In a view, Xen's may let go of another's lock. */
	HOST_BUG_ON(host.irqs_off || p2m != p2m->domain->p2m);
	*type = found ? found->type : p2m_invalid;
	*access = found ? found->access : p2m_access_n;
	if (!found || !found->pg)
		return NULL;
	if (*type == p2m_ram_shared && query & P2M_UNSHARE) {
		if (!host_succeed())
			return NULL;
		*type = found->type = p2m_ram_rw;
	}
	if (!p2m_is_ram(*type) && *type != p2m_map_foreign)
		return NULL;
	HOST_BUG_ON(!get_page(found->pg, found->pg->owner));
	return found->pg;
}

mfn_t get_gfn_type_access(struct p2m_domain *p2m, unsigned long gfn, p2m_type_t *type,
			  p2m_access_t *access, p2m_query_t query, unsigned int *order)
{
	const struct entry found = look_up(p2m, gfn);

	HOST_BUG_ON(host.irqs_off);
	host.gfns++;
	*type = found.type;
	*access = found.access;
	return found.pg ? page_to_mfn(found.pg) : INVALID_MFN;
}

void p2m_put_gfn(struct p2m_domain *p2m, gfn_t gfn)
{
	HOST_BUG_ON(!host.gfns);
	host.gfns--;
}

/* ---- as guests and CPUs see it ---- */

bool hvm_mmio_internal(paddr_t gpa)
{
	return gpa >> PAGE_SHIFT == 0xfee00;
}

static bool allows(const struct entry *entry, bool write)
{
	if (entry->access == p2m_access_n || entry->type == p2m_invalid ||
	    entry->type == p2m_mmio_dm || entry->type == p2m_ram_paged)
		return false;
	return !write || (entry->access <= p2m_access_rw &&
			  (entry->type == p2m_ram_rw || entry->type == p2m_map_foreign));
}

static uint8_t *at(const struct entry *entry, uint64_t gpa, bool write)
{
	if (!entry->pg || !allows(entry, write))
		return NULL;
	return host_bytes(entry->pg) + gpa % PAGE_SIZE;
}

uint8_t *host_ept(struct vcpu *v, uint64_t gpa, bool write)
{
	struct domain *d = v->domain;
	struct p2m_domain *p2m = d->altp2m ? d->views[v->view] : d->p2m;
	const struct entry found = look_up(p2m, paddr_to_pfn(gpa));

	return at(&found, gpa, write);
}

static bool copy(struct domain *d, uint64_t gpa, void *to, const void *from, size_t size)
{
	size_t part;

	for (size_t done = 0; done < size; done += part, gpa += part) {
		const struct entry found = look_up(d->p2m, paddr_to_pfn(gpa));
		uint8_t *bytes = at(&found, gpa, from);

		part = PAGE_SIZE - gpa % PAGE_SIZE;
		if (part > size - done)
			part = size - done;
		if (!bytes)
			return false;
		if (to)
			memcpy((uint8_t *)to + done, bytes, part);
		else
			memcpy(bytes, (const uint8_t *)from + done, part);
	}
	return true;
}

bool host_read(struct domain *d, uint64_t gpa, void *buf, size_t size)
{
	return copy(d, gpa, buf, NULL, size);
}

bool host_write(struct domain *d, uint64_t gpa, const void *buf, size_t size)
{
	return copy(d, gpa, NULL, buf, size);
}

/* Xen's hvm_hap_nested_page_fault(), for a write. */
bool host_paging(struct vcpu *v, uint64_t gpa)
{
	struct domain *d = v->domain;
	const unsigned long gfn = paddr_to_pfn(gpa);
	struct entry *found = entry(d->p2m, gfn, false);

	if (hvm_mmio_internal(gpa) || !found)
		return false;
	if (d->altp2m) {
		struct entry *copy = entry(d->views[v->view], gfn, true);

		if (!copy->known && found->pg) {
			*copy = *found;
			return true;
		}
		if (copy->access > p2m_access_rw)
			return false;
		changed(d, gfn);
	}
	if (found->access > p2m_access_rw || found->type != p2m_ram_logdirty)
		return false;
	found->type = p2m_ram_rw;
	return true;
}

/* ---- as Xen sees it ---- */

void *__map_domain_page(const struct page_info *pg)
{
	HOST_BUG_ON(!pg->refs);
	host.page_maps++;
	return host_bytes(pg);
}

void unmap_domain_page(const void *map)
{
	HOST_BUG_ON(!host.page_maps);
	host.page_maps--;
}

/* No trace of Xen's: it does not count as one. */
void clear_domain_page(mfn_t mfn)
{
	const unsigned int i = mfn_x(mfn) - MFN_FIRST;

	HOST_BUG_ON(host.irqs_off || !pages[i].types || pages[i].owner->is_dying);
	memset(host_bytes(&pages[i]), 0, PAGE_SIZE);
	if (i < WATCHED)
		memset(shadow + i * PAGE_SIZE, 0, PAGE_SIZE);
}

/* Pages side by side, with nothing around them. */
void *vmap(const mfn_t *mfns, unsigned int nr)
{
	const size_t size = (nr + 2) * PAGE_SIZE;
	unsigned int map = 0, run;
	uint8_t *base;

	if (!host_succeed())
		return NULL;
	while (map < MAPS && maps[map].at)
		map++;
	HOST_BUG_ON(map == MAPS);
	base = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		abort();
	for (unsigned int i = 0; i < nr; i += run) {
		for (run = 1; i + run < nr; run++)
			if (mfn_x(mfns[i + run]) != mfn_x(mfns[i]) + run)
				break;
		if (mmap(base + (i + 1) * PAGE_SIZE, run * PAGE_SIZE,
			 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory_fd,
			 (mfn_x(mfns[i]) - MFN_FIRST) * PAGE_SIZE) == MAP_FAILED)
			abort();
	}
	maps[map].at = base;
	maps[map].size = size;
	host.maps++;
	return base + PAGE_SIZE;
}

void vunmap(const void *at)
{
	unsigned int map = 0;

	while (map < MAPS && (!maps[map].at || maps[map].at + PAGE_SIZE != at))
		map++;
	HOST_BUG_ON(map == MAPS);
	munmap(maps[map].at, maps[map].size);
	maps[map].at = NULL;
	host.maps--;
}

void cache_flush(const void *memory, unsigned int size)
{
	for (unsigned int i = 0; i < MAPS; i++)
		if (maps[i].at && (const uint8_t *)memory >= maps[i].at &&
		    (const uint8_t *)memory + size <= maps[i].at + maps[i].size)
			return;
	host_bug("cache_flush(): not of a guest's page");
}

void host_watch(void)
{
	for (unsigned int i = 0; i < HOST_DOMAINS; i++)
		if (host.domains[i])
			host.domains[i]->stepped = host_is_stepped(host.domains[i]);
	if (used <= WATCHED)
		memcpy(shadow, memory_base, used * PAGE_SIZE);
}

void host_unwatch(struct domain *d, uint64_t gpa)
{
	const struct page_info *pg = host_page(d, paddr_to_pfn(gpa));

	if (pg && pg - pages < WATCHED)
		memcpy(shadow + (pg - pages) * PAGE_SIZE, host_bytes(pg), PAGE_SIZE);
}

/* What Xen has written is a PIP at most, where a vCPU has pinned its output. */
void host_watched(const struct vcpu *v)
{
	size_t bytes = 0;

	if (used > WATCHED)
		return;
	for (unsigned int i = 0; i < used; i++) {
		const uint8_t *now = host_bytes(&pages[i]);
		const uint8_t *before = shadow + i * PAGE_SIZE;

		if (!memcmp(now, before, PAGE_SIZE))
			continue;
		/* Stepped: where the guest says, which is its own memory. */
		if (pages[i].owner && pages[i].owner->stepped)
			continue;
		HOST_BUG_ON(!v || pages[i].owner != v->domain || !pages[i].types);
		for (unsigned int n = 0; n < PAGE_SIZE; n++)
			bytes += now[n] != before[n];
	}
	HOST_BUG_ON(bytes > PIP_SIZE);
	host.injected += bytes;
}
