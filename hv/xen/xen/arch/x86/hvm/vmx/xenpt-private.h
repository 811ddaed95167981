/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __XENPT_PRIVATE_H__
#define __XENPT_PRIVATE_H__

#include <xen/sched.h>

#include <asm/hvm/vmx/xenpt.h>

#include <public/xenpt.h>

#include "pt/msr.h"
#include "pt/pip.h"
#include "pt/topa.h"

#define XENPT_TABLE_ENTRIES (PAGE_SIZE / sizeof(uint64_t))

/* A page of the guest's that the output can reach, by GFN. */
struct xenpt_page {
    unsigned long gfn;
    struct page_info *pg;
    const uint64_t *table; /* Xen's copy of a table; NULL: a region's page */
};

struct xenpt_table {
    uint64_t base;
    uint64_t *entries;  /* Xen's copy */
    unsigned int first; /* its first region, of all */
    unsigned int nr;
};

/* Tables and regions, as they were at set-up. */
struct xenpt_output {
    struct xenpt_page *pages; /* sorted */
    unsigned int nr_pages;
    void *map; /* pages[], in their order */

    struct xenpt_table tables[XENPT_TABLES_MAX];
    unsigned int nr_tables;

    uint32_t *start; /* of each region, in the stream; then the end of all */
    unsigned int nr_regions;
    uint32_t largest;

    bool ring;     /* leads back to its start; else ends in STOP */
    bool each_int;
};

struct xenpt_vcpu {
    unsigned int flags; /* XENPT_SETUP_* */
    bool enabled;
    bool fault;  /* the output was found missing, or not as it was */
    bool reload; /* the CPU has none of these MSRs */
    bool moved;  /* nor where the output is */
    bool waits;
    bool notify;

    struct xpt_msrs msrs; /* CTL and the filters */
    struct xpt_topa topa; /* OUTPUT_BASE, MASK_PTRS, STATUS */
    struct xpt_pip pip;

    uint64_t total;    /* bytes put out */
    uint64_t consumed; /* of these */
    uint32_t position; /* in the stream, at the last look */

    /* An output fault that the guest's paging may see to. */
    uint64_t fault_gpa, fault_total;
    unsigned int fault_count;

    struct xenpt_output out;
};

/* The CPUs: xenpt.c. */
struct xenpt_cpu {
    struct xpt_caps caps;
    bool available;
    bool conceal_exit, conceal_entry;
};
extern struct xenpt_cpu xenpt_cpu;

static inline bool xenpt_single_entry(void)
{
    return !(xenpt_cpu.caps.ecx0 & XPT_CAP0_ECX_TOPA_MULTI);
}

/* The output: xenpt-output.c. */
int xenpt_output_init(struct xenpt_output *out, struct domain *d,
                      uint64_t base);
void xenpt_output_free(struct xenpt_output *out);
extern const struct xpt_mem_ops xenpt_output_ops;
/* Where OUTPUT_BASE and MASK_PTRS are in the stream. */
bool xenpt_output_position(const struct xenpt_output *out,
                           const struct xpt_topa *topa, uint32_t *pos);

/* VM entry and exit: xenpt-entry.c. */
bool xenpt_may_int(void);
bool xenpt_is_full(const struct xenpt_vcpu *xp);
void xenpt_reset(struct xenpt_vcpu *xp);

static inline uint32_t xenpt_output_size(const struct xenpt_output *out)
{
    return out->start[out->nr_regions];
}

#endif /* __XENPT_PRIVATE_H__ */
