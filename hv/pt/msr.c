/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "msr.h"
#include "topa.h"

/* What every CPU with PT has; the rest of CTL hangs on CPUID. */
#define CTL_ALWAYS                                                       \
	(XPT_CTL_TRACE_EN | XPT_CTL_OS | XPT_CTL_USER | XPT_CTL_TSC_EN | \
	 XPT_CTL_DIS_RETC | XPT_CTL_BRANCH_EN)

#define STATUS_IGNORED \
	(XPT_STATUS_FILTER_EN | XPT_STATUS_CONTEXT_EN | XPT_STATUS_TRIGGER_EN)
#define STATUS_BYTES (XPT_STATUS_BYTES_MASK << XPT_STATUS_BYTES_SHIFT)

#define LINEAR_BITS 48 /* no Xen gives a guest five-level paging */

static unsigned int address_ranges(const struct xpt_caps *caps)
{
	unsigned int count = caps->eax1 & 7;

	if (!(caps->ebx0 & XPT_CAP0_EBX_IP_FILTER))
		return 0;
	return count < XPT_ADDR_RANGES_MAX ? count : XPT_ADDR_RANGES_MAX;
}

static uint64_t field(uint64_t value, unsigned int shift)
{
	return value >> shift & 0xf;
}

/* The bits of CTL that are not reserved. */
static uint64_t ctl_bits(const struct xpt_caps *caps)
{
	uint64_t bits = CTL_ALWAYS;

	if (caps->ebx0 & XPT_CAP0_EBX_CR3_FILTER)
		bits |= XPT_CTL_CR3_FILTER;
	if (caps->ebx0 & XPT_CAP0_EBX_PSB_CYC)
		bits |= XPT_CTL_CYC_EN | 0xfull << XPT_CTL_CYC_THRESH_SHIFT |
			0xfull << XPT_CTL_PSB_FREQ_SHIFT;
	if (caps->ebx0 & XPT_CAP0_EBX_MTC)
		bits |= XPT_CTL_MTC_EN | 0xfull << XPT_CTL_MTC_FREQ_SHIFT;
	if (caps->ebx0 & XPT_CAP0_EBX_PTWRITE)
		bits |= XPT_CTL_PTW_EN | XPT_CTL_FUP_ON_PTW;
	if (caps->ebx0 & XPT_CAP0_EBX_POWER)
		bits |= XPT_CTL_PWR_EVT_EN;
	if (caps->ecx0 & XPT_CAP0_ECX_TOPA)
		bits |= XPT_CTL_TOPA;
	if (caps->ecx0 & XPT_CAP0_ECX_FABRIC)
		bits |= XPT_CTL_FABRIC_EN;
	for (unsigned int n = 0; n < address_ranges(caps); n++)
		bits |= 0xfull << XPT_CTL_ADDR_CFG_SHIFT(n);
	return bits;
}

/* 0, the field's reset value, is never refused. */
static bool encoding_known(uint32_t bitmap, uint64_t value)
{
	return !value || bitmap >> value & 1;
}

static bool ctl_valid(const struct xpt_msrs *msrs, const struct xpt_caps *caps,
		      uint64_t value)
{
	if (value & ~ctl_bits(caps))
		return false;
	/* "Other Writes to IA32_RTIT_CTL": a write that leaves the trace on. */
	if (msrs->ctl & value & XPT_CTL_TRACE_EN && value != msrs->ctl)
		return false;
	if (value & XPT_CTL_TRACE_EN && !(value & (XPT_CTL_TOPA | XPT_CTL_FABRIC_EN)) &&
	    !(caps->ecx0 & XPT_CAP0_ECX_SINGLE_RANGE))
		return false;
	for (unsigned int n = 0; n < XPT_ADDR_RANGES_MAX; n++)
		if (field(value, XPT_CTL_ADDR_CFG_SHIFT(n)) > XPT_ADDR_STOP)
			return false;
	return encoding_known(caps->eax1 >> 16, field(value, XPT_CTL_MTC_FREQ_SHIFT)) &&
	       encoding_known(caps->ebx1 & 0xffff,
			      field(value, XPT_CTL_CYC_THRESH_SHIFT)) &&
	       encoding_known(caps->ebx1 >> 16, field(value, XPT_CTL_PSB_FREQ_SHIFT));
}

static bool status_valid(const struct xpt_caps *caps, uint64_t value)
{
	uint64_t bits = STATUS_IGNORED | XPT_STATUS_ERROR | XPT_STATUS_STOPPED;

	if (caps->ebx0 & XPT_CAP0_EBX_PSB_CYC)
		bits |= STATUS_BYTES;
	return !(value & ~bits);
}

/* 6:0 and what is above MAXPHYADDR are reserved; 11:7 are an error later, for ToPA. */
static bool output_base_valid(const struct xpt_caps *caps, uint64_t value)
{
	uint8_t bits = caps->maxphyaddr < 52 ? caps->maxphyaddr : 52;

	return !(value & 0x7f) && !(value >> bits);
}

static bool canonical(uint64_t address)
{
	uint64_t top = address >> (LINEAR_BITS - 1);

	return !top || top == UINT64_MAX >> (LINEAR_BITS - 1);
}

/* Where @msr is kept, or NULL: this CPU has no such MSR. */
static uint64_t *find(struct xpt_msrs *msrs, const struct xpt_caps *caps, uint32_t msr)
{
	bool memory = caps->ecx0 & (XPT_CAP0_ECX_TOPA | XPT_CAP0_ECX_SINGLE_RANGE);

	switch (msr) {
	case XPT_MSR_OUTPUT_BASE:
		return memory ? &msrs->output_base : NULL;
	case XPT_MSR_OUTPUT_MASK_PTRS:
		return memory ? &msrs->output_mask_ptrs : NULL;
	case XPT_MSR_CTL:
		return &msrs->ctl;
	case XPT_MSR_STATUS:
		return &msrs->status;
	case XPT_MSR_CR3_MATCH:
		return caps->ebx0 & XPT_CAP0_EBX_CR3_FILTER ? &msrs->cr3_match : NULL;
	default:
		if (msr < XPT_MSR_ADDR0_A ||
		    msr - XPT_MSR_ADDR0_A >= 2 * address_ranges(caps))
			return NULL;
		return &msrs->addr[msr - XPT_MSR_ADDR0_A];
	}
}

bool xpt_msr_write(struct xpt_msrs *msrs, const struct xpt_caps *caps, uint32_t msr,
		   uint64_t value)
{
	uint64_t *where = find(msrs, caps, msr);

	/* While TraceEn is set only CTL can be written. */
	if (!where || (msrs->ctl & XPT_CTL_TRACE_EN && msr != XPT_MSR_CTL))
		return false;

	switch (msr) {
	case XPT_MSR_OUTPUT_BASE:
		if (!output_base_valid(caps, value))
			return false;
		break;
	case XPT_MSR_OUTPUT_MASK_PTRS:
		value |= XPT_MASK_PTRS_LOW;
		break;
	case XPT_MSR_CTL:
		if (!ctl_valid(msrs, caps, value))
			return false;
		break;
	case XPT_MSR_STATUS:
		if (!status_valid(caps, value))
			return false;
		value = (value & ~STATUS_IGNORED) | (msrs->status & STATUS_IGNORED);
		break;
	case XPT_MSR_CR3_MATCH:
		if (value & 0x1f)
			return false;
		break;
	default:
		if (!canonical(value))
			return false;
		break;
	}
	*where = value;
	return true;
}

bool xpt_msr_read(const struct xpt_msrs *msrs, const struct xpt_caps *caps, uint32_t msr,
		  uint64_t *ret)
{
	struct xpt_msrs *unchanged = (struct xpt_msrs *)msrs;
	const uint64_t *where = find(unchanged, caps, msr);

	if (!where)
		return false;
	*ret = *where;
	if (msr == XPT_MSR_OUTPUT_MASK_PTRS)
		*ret |= XPT_MASK_PTRS_LOW;
	/* Reserved where the PSB's period cannot be chosen. */
	if (msr == XPT_MSR_STATUS && !(caps->ebx0 & XPT_CAP0_EBX_PSB_CYC))
		*ret &= ~STATUS_BYTES;
	return true;
}
