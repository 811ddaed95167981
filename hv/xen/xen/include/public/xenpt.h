/* SPDX-License-Identifier: MIT */
/*
 * What a Xen with hv/xen offers: sub-operations of XEN_DOMCTL_vmtrace_op, from 0x100 on,
 * for stock libxenctrl's xc_domctl(). Stock Xen answers them with EOPNOTSUPP, or with
 * EINVAL for a domain that has no vmtrace buffer.
 *
 *    caps --> setup --> [filter] --> enable --> position, status, consume ... -->
 *    disable --> teardown
 *
 * Each is about one vCPU, which is paused meanwhile, unless it says otherwise. key and
 * value are those of struct xen_domctl_vmtrace_op.
 *
 * Errors of all but caps and evtchn:
 *    ENOENT      no such vCPU
 *    EDEADLK     the caller's own domain
 *    ESRCH       a dying domain
 *    EOPNOTSUPP  not HVM or PVH; an operation that this Xen does not have
 *    ENXIO       without HAP
 *    EXDEV       nested virtualization
 *    ENODATA     no setup (teardown and disable then do nothing)
 */
#ifndef XEN_PUBLIC_XENPT_H
#define XEN_PUBLIC_XENPT_H

#define XENPT_INTERFACE_VERSION 1

/* All of this interface's operations are at and above. */
#define XEN_DOMCTL_vmtrace_xenpt_base     0x100

/*
 * out: key = XENPT_INTERFACE_VERSION, value = XENPT_CAP_*. Changes nothing, looks at no
 * vCPU, works for any domain.
 */
#define XEN_DOMCTL_vmtrace_xenpt_caps     0x100
/*
 * in: key = guest-physical address of the first ToPA table, value = XENPT_SETUP_*. All
 * tables and regions that can be reached are pinned: up to the END entry that leads back
 * to the first table (a ring), or up to the first STOP.
 *    EBUSY   the vCPU is traced already, by whomever
 *    EEXIST  it is by the guest itself; so say all operations of a vCPU then
 *    EFAULT  the first table is no RAM of the guest's that it may write
 *    ERANGE  ... another table, or a page of a region
 *    EDOM    no ToPA: reserved bits, alignment, an END in the first entry, an END to
 *            another table than the first that was met already, a table without END in
 *            its page, a page in it twice
 *    E2BIG   more than XENPT_PAGES_MAX pages, or XENPT_TABLES_MAX tables
 *    ENODEV  what the flags ask for is not in XENPT_CAP_*
 *    EINVAL  unknown flags; LOSSLESS without a ring that has INT in each region and is
 *            at least four times as large as its largest one
 *    ENOMEM
 */
#define XEN_DOMCTL_vmtrace_xenpt_setup    0x101
/*
 * in: value = IA32_RTIT_CTL without TraceEn, FabricEn, ToPA: those are Xen's.
 *    EINVAL  a bit or an encoding that the CPU does not have
 *    EBUSY   enabled already
 *    EIO     the output has ended (Stopped, Error, FAULT): reset first; the budget is
 *            spent: set another one
 */
#define XEN_DOMCTL_vmtrace_xenpt_enable   0x102
/* A vCPU that waits goes on. */
#define XEN_DOMCTL_vmtrace_xenpt_disable  0x103
/* out: key = IA32_RTIT_OUTPUT_BASE, value = IA32_RTIT_OUTPUT_MASK_PTRS. */
#define XEN_DOMCTL_vmtrace_xenpt_position 0x104
/*
 * out: value = IA32_RTIT_STATUS | XENPT_STATUS_*; key = bytes put out since setup or
 * reset, where Xen knows them (XENPT_STATUS_TOTAL: it does for a table that ends in
 * STOP, for a ring with INT in each region that is more than twice as large as its
 * largest one, and in software mode).
 */
#define XEN_DOMCTL_vmtrace_xenpt_status   0x105
/* To an empty buffer; the next entry begins with a PSB+. While disabled (else EBUSY). */
#define XEN_DOMCTL_vmtrace_xenpt_reset    0x106
/*
 * in: key = an MSR (IA32_RTIT_CR3_MATCH, IA32_RTIT_ADDRn_A/B), value. While disabled
 * (else EBUSY). EINVAL: the CPU has no such MSR, or not with this value.
 */
#define XEN_DOMCTL_vmtrace_xenpt_filter   0x107
/*
 * out: value = the domain's port, for xenevtchn_bind_interdomain(): INT, STOP, faults,
 * a vCPU that waits. One of each domain; the vCPU is not looked at. It is there from
 * the first time that it is asked for until the last vCPU that is set up is torn down.
 *    ENODATA  none is set up
 */
#define XEN_DOMCTL_vmtrace_xenpt_evtchn   0x108
/*
 * in: value = how many bytes since setup or reset were read: of a lossless buffer, that
 * many may be written over, and a vCPU that waits goes on. EINVAL: not lossless, fewer
 * than before, or more than were put out.
 */
#define XEN_DOMCTL_vmtrace_xenpt_consume  0x109
/*
 * Unpins all; whatever was not disabled is. Regions are cleared first, for Xen gives away
 * the pages of a domain that lives as they are: what is to be read is to be read before.
 * That goes for the pages that were pinned, also if the domain has given them back since;
 * what it has put there instead is its own to clear.
 *
 * Also done when the domain dies, but for the clearing, which Xen itself does when nobody
 * has a page any more.
 */
#define XEN_DOMCTL_vmtrace_xenpt_teardown 0x10a
/*
 * Software mode. in: value = after so many instructions more the trace ends; 0: never.
 * Of the address space and the privilege levels that are traced. A reset does not change
 * it. EINVAL: not software mode.
 */
#define XEN_DOMCTL_vmtrace_xenpt_budget   0x10b

/*
 * PT whose output goes through EPT. Not while something else has the interrupt that PT
 * shares with the performance counters: Xen's watchdog, vPMU.
 */
#define XENPT_CAP_EPT          (1u << 0)
/*
 * Software mode: the hypervisor steps the vCPU, and writes the packets. Not where the CPU
 * delivers virtual interrupts itself (APICv). Without XENPT_CAP_EPT the following are
 * those of software mode.
 */
#define XENPT_CAP_SOFT         (1u << 1)
#define XENPT_CAP_PIP          (1u << 2) /* PIPs are injected */
#define XENPT_CAP_CR3_FILTER   (1u << 3)
#define XENPT_CAP_MTC          (1u << 4)
#define XENPT_CAP_CYC          (1u << 5)
#define XENPT_CAP_PTWRITE      (1u << 6)
#define XENPT_CAP_TOPA_MULTI   (1u << 7) /* more than one region a table */
#define XENPT_CAP_INT          (1u << 8) /* INT in an entry interrupts */
#define XENPT_CAP_MTF          (1u << 9) /* software mode steps by it, else by TF */
#define XENPT_CAP_STOCK_SOFT   (1u << 10) /* the stock interface is software mode */
#define XENPT_CAP_RANGES_SHIFT 16        /* 3 bits: address ranges */

#define XENPT_SETUP_SOFT     (1u << 0) /* step, although the CPU could trace */
#define XENPT_SETUP_LOSSLESS (1u << 1) /* a vCPU whose buffer is full waits */
#define XENPT_SETUP_NO_PIP   (1u << 2) /* inject none: to show what is wrong then */

#define XENPT_STATUS_SPENT (1ull << 59) /* the budget is */
#define XENPT_STATUS_TOTAL (1ull << 60) /* key is valid */
#define XENPT_STATUS_WAITS (1ull << 61) /* lossless: the buffer is full */
#define XENPT_STATUS_FAULT (1ull << 62) /* a page of the output is not there */
#define XENPT_STATUS_ON    (1ull << 63) /* enabled, and not ended by itself */

#define XENPT_PAGES_MAX  16384 /* of all regions of a vCPU: 64 MiB */
#define XENPT_TABLES_MAX 64

#endif /* XEN_PUBLIC_XENPT_H */
