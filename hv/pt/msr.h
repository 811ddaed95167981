/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The RTIT MSRs: which writes fault. SDM volume 3, "Intel Processor Trace",
 * "Enabling and Configuration MSRs"; CPUID leaf 14H says what a CPU has.
 */
#ifndef HV_PT_MSR_H
#define HV_PT_MSR_H

#include "types.h"

#define XPT_MSR_OUTPUT_BASE 0x560
#define XPT_MSR_OUTPUT_MASK_PTRS 0x561
#define XPT_MSR_CTL 0x570
#define XPT_MSR_STATUS 0x571
#define XPT_MSR_CR3_MATCH 0x572
#define XPT_MSR_ADDR0_A 0x580 /* ADDR0_A, ADDR0_B, … ADDR3_B 0x587 */

/* IA32_RTIT_CTL. */
#define XPT_CTL_TRACE_EN (1ull << 0)
#define XPT_CTL_CYC_EN (1ull << 1)
#define XPT_CTL_OS (1ull << 2)
#define XPT_CTL_USER (1ull << 3)
#define XPT_CTL_PWR_EVT_EN (1ull << 4)
#define XPT_CTL_FUP_ON_PTW (1ull << 5)
#define XPT_CTL_FABRIC_EN (1ull << 6)
#define XPT_CTL_CR3_FILTER (1ull << 7)
#define XPT_CTL_TOPA (1ull << 8)
#define XPT_CTL_MTC_EN (1ull << 9)
#define XPT_CTL_TSC_EN (1ull << 10)
#define XPT_CTL_DIS_RETC (1ull << 11)
#define XPT_CTL_PTW_EN (1ull << 12)
#define XPT_CTL_BRANCH_EN (1ull << 13)
#define XPT_CTL_MTC_FREQ_SHIFT 14   /* 17:14 */
#define XPT_CTL_CYC_THRESH_SHIFT 19 /* 22:19 */
#define XPT_CTL_PSB_FREQ_SHIFT 24   /* 27:24 */
#define XPT_CTL_ADDR_CFG_SHIFT(n) (32 + 4 * (n))
enum xpt_addr_cfg {
	XPT_ADDR_UNUSED = 0,
	XPT_ADDR_FILTER = 1,
	XPT_ADDR_STOP = 2, /* TraceStop */
};

/* CPUID leaf 14H as the vCPU has it: subleaf 0 EBX, ECX and subleaf 1 EAX, EBX. */
struct xpt_caps {
	uint32_t ebx0, ecx0;
	uint32_t eax1, ebx1;
	uint8_t maxphyaddr;
};
#define XPT_CAP0_EBX_CR3_FILTER (1u << 0)
#define XPT_CAP0_EBX_PSB_CYC (1u << 1) /* configurable PSB, cycle-accurate mode */
#define XPT_CAP0_EBX_IP_FILTER (1u << 2)
#define XPT_CAP0_EBX_MTC (1u << 3)
#define XPT_CAP0_EBX_PTWRITE (1u << 4)
#define XPT_CAP0_EBX_POWER (1u << 5)
#define XPT_CAP0_ECX_TOPA (1u << 0)
#define XPT_CAP0_ECX_TOPA_MULTI (1u << 1)
#define XPT_CAP0_ECX_SINGLE_RANGE (1u << 2)
#define XPT_CAP0_ECX_FABRIC (1u << 3)

#define XPT_ADDR_RANGES_MAX 4

struct xpt_msrs {
	uint64_t ctl, status, output_base, output_mask_ptrs, cr3_match;
	uint64_t addr[2 * XPT_ADDR_RANGES_MAX]; /* A and B of each range */
};

/*
 * WRMSR of @msr: true and the new value is in @msrs (read-only and forced bits as the
 * CPU keeps them), or false: #GP, and @msrs is as it was. Setting TraceEn starts
 * nothing: that is the caller's.
 */
bool xpt_msr_write(struct xpt_msrs *msrs, const struct xpt_caps *caps, uint32_t msr,
		   uint64_t value);

/* RDMSR. False: #GP, there is no such MSR. */
bool xpt_msr_read(const struct xpt_msrs *msrs, const struct xpt_caps *caps, uint32_t msr,
		  uint64_t *ret);

#endif
