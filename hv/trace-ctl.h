/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is to be traced, as IA32_RTIT_CTL says it. */
#ifndef HV_TRACE_CTL_H
#define HV_TRACE_CTL_H

#include "hv/hv.h"
#include "hv/pt/msr.h"

/* Without TraceEn and ToPA, which are for who has a buffer. */
static inline uint64_t hv_trace_ctl(const struct hv_trace *trace)
{
	uint64_t ctl = XPT_CTL_BRANCH_EN;

	if (trace->kernel || !trace->user)
		ctl |= XPT_CTL_OS;
	if (trace->user || !trace->kernel)
		ctl |= XPT_CTL_USER;
	if (trace->cr3 != XENPT_CR3_ANY)
		ctl |= XPT_CTL_CR3_FILTER;
	if (trace->tsc)
		ctl |= XPT_CTL_TSC_EN;
	if (trace->mtc >= 0)
		ctl |= XPT_CTL_MTC_EN | (uint64_t)(trace->mtc & 15)
						<< XPT_CTL_MTC_FREQ_SHIFT;
	if (trace->cyc >= 0)
		ctl |= XPT_CTL_CYC_EN | (uint64_t)(trace->cyc & 15)
						<< XPT_CTL_CYC_THRESH_SHIFT;
	/* With a FUP, which says where the instruction was, code or no code. */
	if (trace->ptw)
		ctl |= XPT_CTL_PTW_EN | XPT_CTL_FUP_ON_PTW;
	for (size_t i = 0; i < trace->range_count && i < HV_RANGES_MAX; i++)
		ctl |= (uint64_t)XPT_ADDR_FILTER << XPT_CTL_ADDR_CFG_SHIFT(i);
	return ctl;
}

#endif
