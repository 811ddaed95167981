/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The output: ToPA tables and regions in the guest's memory.
 *
 * The CPU walks the guest's own tables, through EPT: whatever the guest writes
 * into them, the trace can only go to the guest's memory.  What Xen itself puts
 * there goes by a copy of the tables that Xen took at set-up, to pages that it
 * has pinned and mapped.  Nothing that the guest does to its tables or its
 * physical memory changes where Xen writes.
 */
#include <xen/domain_page.h>
#include <xen/event.h> /* hypercall_preempt_check() */
#include <xen/lib.h>
#include <xen/mm.h>
#include <xen/sort.h>
#include <xen/vmap.h>
#include <xen/xmalloc.h>

#include <asm/cache.h>
#include <asm/p2m.h>
#include <asm/paging.h>

#include "xenpt-private.h"

/* Pages that are let go of before it is looked whether something else is to run. */
#define UNPIN_BATCH 64

/* Reserved bits below the address: SDM, "ToPA Table Entry". */
#define ENTRY_RESERVED 0xc2aull

static uint64_t entry_size(uint64_t entry)
{
    return PAGE_SIZE <<
           ((entry >> XPT_TOPA_SIZE_SHIFT) & XPT_TOPA_SIZE_MASK);
}

static bool address_valid(uint64_t address)
{
    return !(address >> min_t(unsigned int, paddr_bits, 52));
}

/* A reference and a type: the page stays the domain's, and writable. */
static int pin(struct domain *d, unsigned long gfn, struct page_info **ret)
{
    struct page_info *pg;
    p2m_access_t a;
    p2m_type_t t;

    pg = p2m_get_page_from_gfn(p2m_get_hostp2m(d), _gfn(gfn), &t, &a,
                               P2M_ALLOC | P2M_UNSHARE);
    if ( !pg )
        return -EFAULT;

    if ( t != p2m_ram_rw || (a != p2m_access_rwx && a != p2m_access_rw) ||
         page_get_owner(pg) != d || is_xen_heap_page(pg) ||
         !get_page_type(pg, PGT_writable_page) )
    {
        put_page(pg);
        return -EFAULT;
    }

    *ret = pg;

    return 0;
}

static int add_page(struct xenpt_output *out, struct domain *d,
                    unsigned long gfn, const uint64_t *table)
{
    struct xenpt_page *page = &out->pages[out->nr_pages];
    int rc;

    if ( out->nr_pages == XENPT_PAGES_MAX + XENPT_TABLES_MAX )
        return -E2BIG;

    rc = pin(d, gfn, &page->pg);
    if ( rc )
        return rc;

    page->gfn = gfn;
    page->table = table;
    out->nr_pages++;

    return 0;
}

static int add_table(struct xenpt_output *out, struct domain *d, uint64_t base)
{
    struct xenpt_table *table = &out->tables[out->nr_tables];
    const void *map;
    unsigned int i;
    int rc;

    for ( i = 0; i < out->nr_tables; i++ )
        if ( out->tables[i].base == base )
            return -EDOM;
    if ( out->nr_tables == XENPT_TABLES_MAX )
        return -E2BIG;
    if ( (base & ~PAGE_MASK) || !address_valid(base) )
        return -EDOM;

    table->entries = alloc_xenheap_page();
    if ( !table->entries )
        return -ENOMEM;
    table->base = base;
    table->first = out->nr_regions;
    table->nr = 0;
    out->nr_tables++;

    rc = add_page(out, d, paddr_to_pfn(base), table->entries);
    if ( rc )
        return rc;

    map = __map_domain_page(out->pages[out->nr_pages - 1].pg);
    memcpy(table->entries, map, PAGE_SIZE);
    unmap_domain_page(map);

    return 0;
}

static int add_region(struct xenpt_output *out, struct domain *d,
                      uint64_t entry)
{
    uint64_t size = entry_size(entry), base = entry & PAGE_MASK, end;
    uint32_t start = out->start[out->nr_regions];
    int rc;

    if ( (base & (size - 1)) || !address_valid(base) )
        return -EDOM;
    if ( start + size > (uint64_t)XENPT_PAGES_MAX << PAGE_SHIFT )
        return -E2BIG;

    for ( end = base + size; base < end; base += PAGE_SIZE )
    {
        rc = add_page(out, d, paddr_to_pfn(base), NULL);
        if ( rc )
            return rc;
    }

    out->start[++out->nr_regions] = start + size;
    out->largest = max_t(uint32_t, out->largest, size);
    if ( !(entry & XPT_TOPA_INT) )
        out->each_int = false;

    return 0;
}

/* 1: the table ends the output.  0: *@base is the next one. */
static int add_entries(struct xenpt_output *out, struct domain *d, bool single,
                       struct xenpt_table *table, uint64_t *base)
{
    unsigned int i;

    for ( i = 0; i < XENPT_TABLE_ENTRIES; i++ )
    {
        uint64_t entry = table->entries[i];
        int rc;

        if ( entry & ENTRY_RESERVED )
            return -EDOM;

        if ( entry & XPT_TOPA_END )
        {
            if ( !i || (entry & (XPT_TOPA_INT | XPT_TOPA_STOP)) )
                return -EDOM;
            *base = entry & PAGE_MASK;
            out->ring = *base == out->tables[0].base;

            return out->ring;
        }

        if ( single && i )
            return -EDOM;

        rc = add_region(out, d, entry);
        if ( rc )
            return rc;
        table->nr++;

        if ( entry & XPT_TOPA_STOP )
            return 1;
    }

    return -EDOM;
}

static int walk(struct xenpt_output *out, struct domain *d, bool single,
                uint64_t base)
{
    int rc;

    do {
        rc = add_table(out, d, base);
        if ( !rc )
            rc = add_entries(out, d, single, &out->tables[out->nr_tables - 1],
                             &base);
        if ( !rc && single )
            rc = -EDOM;
    } while ( !rc );

    return rc < 0 ? rc : 0;
}

static int cf_check compare(const void *a, const void *b)
{
    const struct xenpt_page *x = a, *y = b;

    return x->gfn < y->gfn ? -1 : x->gfn > y->gfn;
}

static void cf_check swap_pages(void *a, void *b, size_t size)
{
    struct xenpt_page *x = a, *y = b, z = *x;

    *x = *y;
    *y = z;
}

static int map(struct xenpt_output *out)
{
    mfn_t *mfns;
    unsigned int i;

    sort(out->pages, out->nr_pages, sizeof(*out->pages), compare, swap_pages);
    for ( i = 1; i < out->nr_pages; i++ )
        if ( out->pages[i - 1].gfn == out->pages[i].gfn )
            return -EDOM;

    mfns = vmalloc(out->nr_pages * sizeof(*mfns));
    if ( !mfns )
        return -ENOMEM;
    for ( i = 0; i < out->nr_pages; i++ )
        mfns[i] = page_to_mfn(out->pages[i].pg);
    out->map = vmap(mfns, out->nr_pages);
    vfree(mfns);

    return out->map ? 0 : -ENOMEM;
}

int xenpt_output_init(struct xenpt_output *out, struct domain *d,
                      const struct xpt_caps *caps, uint64_t base)
{
    int rc = -ENOMEM;

    memset(out, 0, sizeof(*out));
    out->each_int = true;
    out->pages = vzalloc((XENPT_PAGES_MAX + XENPT_TABLES_MAX) *
                         sizeof(*out->pages));
    out->start = vzalloc((XENPT_PAGES_MAX + 1) * sizeof(*out->start));
    if ( out->pages && out->start )
        rc = walk(out, d, xenpt_single_entry(caps), base);
    /* What is not there is told from what leads there. */
    if ( rc == -EFAULT && out->nr_pages )
        rc = -ERANGE;
    if ( !rc )
        rc = map(out);
    if ( rc )
        xenpt_output_free(out);

    return rc;
}

/* Xen does not scrub what a domain that lives gives back: free_domheap_pages(). */
static void clear(const struct xenpt_page *page)
{
    mfn_t mfn = page_to_mfn(page->pg);

    if ( page->table )
        return;
    clear_domain_page(mfn);
    paging_mark_dirty(page_get_owner(page->pg), mfn);
}

int xenpt_output_unpin(struct xenpt_output *out, bool scrub)
{
    if ( out->map )
        vunmap(out->map);
    out->map = NULL;

    while ( out->nr_pages )
    {
        const struct xenpt_page *page = &out->pages[--out->nr_pages];

        if ( scrub )
            clear(page);
        put_page_and_type(page->pg);
        if ( !(out->nr_pages % UNPIN_BATCH) && hypercall_preempt_check() )
            return -ERESTART;
    }

    return 0;
}

void xenpt_output_free(struct xenpt_output *out)
{
    unsigned int i;

    while ( xenpt_output_unpin(out, false) )
        ;
    for ( i = 0; i < out->nr_tables; i++ )
        free_xenheap_page(out->tables[i].entries);
    vfree(out->pages);
    vfree(out->start);
    memset(out, 0, sizeof(*out));
}

static const struct xenpt_page *find(const struct xenpt_output *out,
                                     uint64_t gpa)
{
    const struct xenpt_page key = { .gfn = paddr_to_pfn(gpa) };

    return bsearch(&key, out->pages, out->nr_pages, sizeof(key), compare);
}

static bool cf_check output_read(void *arg, uint64_t gpa, void *buf,
                                 size_t size)
{
    const struct xenpt_page *page = find(arg, gpa);

    if ( !page || !page->table || (gpa & ~PAGE_MASK) + size > PAGE_SIZE )
        return false;
    memcpy(buf, (const char *)page->table + (gpa & ~PAGE_MASK), size);

    return true;
}

static bool cf_check output_write(void *arg, uint64_t gpa, const void *buf,
                                  size_t size)
{
    const struct xenpt_output *out = arg;
    const struct xenpt_page *page = find(out, gpa);
    char *to;

    if ( !page || page->table || (gpa & ~PAGE_MASK) + size > PAGE_SIZE )
        return false;
    to = (char *)out->map + (page - out->pages) * PAGE_SIZE +
         (gpa & ~PAGE_MASK);
    memcpy(to, buf, size);
    /* The CPU's own stores do not go through this cache line. */
    cache_flush(to, size);

    return true;
}

const struct xpt_mem_ops xenpt_output_ops = {
    .read = output_read,
    .write = output_write,
};

/* In a ring the end is the start. */
static uint32_t wrapped(const struct xenpt_output *out, uint32_t pos)
{
    return out->ring && pos == xenpt_output_size(out) ? 0 : pos;
}

bool xenpt_output_position(const struct xenpt_output *out,
                           const struct xpt_topa *topa, uint32_t *pos)
{
    uint64_t index = (topa->output_mask_ptrs & 0xffffffffu) >> 7;
    uint64_t offset = topa->output_mask_ptrs >> 32;
    const struct xenpt_table *table;
    unsigned int i;

    for ( i = 0; i < out->nr_tables; i++ )
        if ( out->tables[i].base == topa->output_base )
            break;
    if ( i == out->nr_tables )
        return false;
    table = &out->tables[i];

    /* At the END entry, which is not followed yet: where it leads. */
    if ( index == table->nr && !offset && index )
    {
        *pos = wrapped(out, out->start[table->first + index]);
        return true;
    }

    if ( index >= table->nr )
        return false;
    index += table->first;
    if ( offset > out->start[index + 1] - out->start[index] )
        return false;
    /* The region's end, if the guest has put a STOP there. */
    *pos = wrapped(out, out->start[index] + offset);

    return true;
}
