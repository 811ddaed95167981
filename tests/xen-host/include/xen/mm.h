/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef XEN_MM_H
#define XEN_MM_H

#include <xen/sched.h>

#define PGT_writable_page 1u

struct page_info {
	struct domain *owner;
	unsigned int refs; /* 0: free */
	unsigned int type, types;
	bool xenheap;
};

#define paddr_to_pfn(address) ((unsigned long)((address) >> PAGE_SHIFT))

mfn_t page_to_mfn(const struct page_info *pg);
bool mfn_valid(mfn_t mfn);
struct page_info *mfn_to_page(mfn_t mfn);
/* False: it is not @d's. */
bool get_page(struct page_info *pg, const struct domain *d);
void put_page(struct page_info *pg);
bool get_page_type(struct page_info *pg, unsigned int type);
void put_page_and_type(struct page_info *pg);

static inline struct domain *page_get_owner(const struct page_info *pg)
{
	return pg->owner;
}

static inline bool is_xen_heap_page(const struct page_info *pg)
{
	return pg->xenheap;
}

void *alloc_xenheap_page(void);
void free_xenheap_page(void *page);

#endif
