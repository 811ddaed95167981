/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hv/pt/msr.h"
#include "hv/pt/topa.h"

#define ALL(array) (sizeof(array) / sizeof((array)[0]))
#define ON (XPT_CTL_TRACE_EN | XPT_CTL_TOPA)

/* As an Ice Lake has it, but for one address range more, and MTC and CYC gaps. */
static const struct xpt_caps full = {
	.ebx0 = 0x3f,
	.ecx0 = 0xf,
	.eax1 = 0x02490003, /* three ranges; MTC 0, 3, 6, 9 */
	.ebx1 = 0x003f1fff, /* PSB 0..5; CYC 0..12 */
	.maxphyaddr = 39,
};
/* PT, and nothing that CPUID would have to say. */
static const struct xpt_caps bare = { .ecx0 = XPT_CAP0_ECX_TOPA, .maxphyaddr = 36 };

static bool writes(const struct xpt_caps *caps, uint32_t msr, uint64_t value)
{
	struct xpt_msrs msrs = {}, before = msrs;
	uint64_t got;

	if (!xpt_msr_write(&msrs, caps, msr, value)) {
		assert_memory_equal(&msrs, &before, sizeof(msrs));
		return false;
	}
	assert_true(xpt_msr_read(&msrs, caps, msr, &got));
	return true;
}

/* Bit by bit: what is reserved, with all features and with none. */
static void test_ctl_bits(void **unused)
{
	uint64_t all = 0, none = 0;

	for (unsigned int bit = 0; bit < 64; bit++) {
		uint64_t value = 1ull << bit;

		if (value == XPT_CTL_TRACE_EN)
			continue;
		if (writes(&full, XPT_MSR_CTL, value))
			all |= value;
		if (writes(&bare, XPT_MSR_CTL, value))
			none |= value;
	}
	assert_int_equal(none, XPT_CTL_OS | XPT_CTL_USER | XPT_CTL_TOPA | XPT_CTL_TSC_EN |
				       XPT_CTL_DIS_RETC | XPT_CTL_BRANCH_EN);
	/* No one bit is an encoding of MTCFreq; the highest of PSBFreq is none. */
	assert_int_equal(all, 0x3ffe | 0xfull << XPT_CTL_CYC_THRESH_SHIFT |
				      7ull << XPT_CTL_PSB_FREQ_SHIFT | 0x333ull << 32);
}

/* Each feature of CPUID brings its bits and no others. */
static void test_ctl_features(void **unused)
{
	static const struct {
		uint32_t ebx0, ecx0;
		uint64_t bits;
	} features[] = {
		{ XPT_CAP0_EBX_CR3_FILTER, 0, XPT_CTL_CR3_FILTER },
		{ XPT_CAP0_EBX_PSB_CYC, 0, XPT_CTL_CYC_EN },
		{ XPT_CAP0_EBX_PSB_CYC, 0, 5ull << XPT_CTL_PSB_FREQ_SHIFT },
		{ XPT_CAP0_EBX_PSB_CYC, 0, 12ull << XPT_CTL_CYC_THRESH_SHIFT },
		{ XPT_CAP0_EBX_IP_FILTER, 0, 2ull << XPT_CTL_ADDR_CFG_SHIFT(2) },
		{ XPT_CAP0_EBX_MTC, 0, XPT_CTL_MTC_EN },
		{ XPT_CAP0_EBX_MTC, 0, 9ull << XPT_CTL_MTC_FREQ_SHIFT },
		{ XPT_CAP0_EBX_PTWRITE, 0, XPT_CTL_PTW_EN | XPT_CTL_FUP_ON_PTW },
		{ XPT_CAP0_EBX_POWER, 0, XPT_CTL_PWR_EVT_EN },
		{ 0, XPT_CAP0_ECX_TOPA, XPT_CTL_TOPA },
		{ 0, XPT_CAP0_ECX_FABRIC, XPT_CTL_FABRIC_EN },
	};

	for (size_t i = 0; i < ALL(features); i++) {
		struct xpt_caps with = full, without = full;

		with.ebx0 = features[i].ebx0;
		with.ecx0 = features[i].ecx0;
		without.ebx0 &= ~features[i].ebx0;
		without.ecx0 &= ~features[i].ecx0;
		assert_true(writes(&with, XPT_MSR_CTL, features[i].bits));
		assert_false(writes(&without, XPT_MSR_CTL, features[i].bits));
	}
}

static void test_ctl_encodings(void **unused)
{
	for (uint64_t value = 0; value < 16; value++) {
		assert_int_equal(
			writes(&full, XPT_MSR_CTL, value << XPT_CTL_MTC_FREQ_SHIFT),
			value < 10 && value % 3 == 0);
		assert_int_equal(
			writes(&full, XPT_MSR_CTL, value << XPT_CTL_CYC_THRESH_SHIFT),
			value <= 12);
		assert_int_equal(
			writes(&full, XPT_MSR_CTL, value << XPT_CTL_PSB_FREQ_SHIFT),
			value <= 5);
		for (unsigned int n = 0; n < 4; n++)
			assert_int_equal(writes(&full, XPT_MSR_CTL,
						value << XPT_CTL_ADDR_CFG_SHIFT(n)),
					 !value || (n < 3 && value <= 2));
	}
}

static void test_ctl_output(void **unused)
{
	struct xpt_caps caps = full;

	caps.ecx0 = XPT_CAP0_ECX_TOPA;
	assert_true(writes(&caps, XPT_MSR_CTL, ON));
	assert_false(writes(&caps, XPT_MSR_CTL, XPT_CTL_TRACE_EN));
	assert_true(writes(&caps, XPT_MSR_CTL, XPT_CTL_OS)); /* not on yet */
	caps.ecx0 = XPT_CAP0_ECX_SINGLE_RANGE;
	assert_true(writes(&caps, XPT_MSR_CTL, XPT_CTL_TRACE_EN));
	assert_false(writes(&caps, XPT_MSR_CTL, ON));
	caps.ecx0 = XPT_CAP0_ECX_FABRIC;
	assert_true(writes(&caps, XPT_MSR_CTL, XPT_CTL_TRACE_EN | XPT_CTL_FABRIC_EN));
	assert_false(writes(&caps, XPT_MSR_CTL, XPT_CTL_TRACE_EN));
}

/* While the trace is on: CTL to turn it off, or as it is; nothing else. */
static void test_trace_en(void **unused)
{
	static const uint32_t others[] = {
		XPT_MSR_OUTPUT_BASE, XPT_MSR_OUTPUT_MASK_PTRS, XPT_MSR_STATUS,
		XPT_MSR_CR3_MATCH,   XPT_MSR_ADDR0_A,          XPT_MSR_ADDR0_A + 5,
	};
	const uint64_t on = ON | XPT_CTL_OS | XPT_CTL_BRANCH_EN;
	struct xpt_msrs msrs = {};
	uint64_t got;

	assert_true(xpt_msr_write(&msrs, &full, XPT_MSR_CTL, XPT_CTL_USER));
	/* TraceEn with anything else that changes. */
	assert_true(xpt_msr_write(&msrs, &full, XPT_MSR_CTL, on));
	assert_true(xpt_msr_write(&msrs, &full, XPT_MSR_CTL, on));
	assert_false(xpt_msr_write(&msrs, &full, XPT_MSR_CTL, on | XPT_CTL_USER));
	assert_false(xpt_msr_write(&msrs, &full, XPT_MSR_CTL, on & ~XPT_CTL_OS));
	assert_int_equal(msrs.ctl, on);
	for (size_t i = 0; i < ALL(others); i++) {
		assert_true(xpt_msr_read(&msrs, &full, others[i], &got));
		assert_false(xpt_msr_write(&msrs, &full, others[i], got));
	}
	/* Off, and changed by the same write; reserved bits still fault. */
	assert_false(xpt_msr_write(&msrs, &full, XPT_MSR_CTL, 1ull << 18));
	assert_true(xpt_msr_write(&msrs, &full, XPT_MSR_CTL, XPT_CTL_USER));
	assert_int_equal(msrs.ctl, XPT_CTL_USER);
	for (size_t i = 0; i < ALL(others); i++)
		assert_true(xpt_msr_write(&msrs, &full, others[i], 0));
}

static void test_status(void **unused)
{
	const uint64_t bytes = XPT_STATUS_BYTES_MASK << XPT_STATUS_BYTES_SHIFT;
	struct xpt_msrs msrs = { .status = XPT_STATUS_TRIGGER_EN | XPT_STATUS_STOPPED };
	uint64_t accepted = 0, got;

	for (unsigned int bit = 0; bit < 64; bit++)
		if (writes(&full, XPT_MSR_STATUS, 1ull << bit))
			accepted |= 1ull << bit;
	assert_int_equal(accepted, 0x37 | bytes);
	assert_false(writes(&bare, XPT_MSR_STATUS, 1ull << XPT_STATUS_BYTES_SHIFT));

	/* FilterEn, ContextEn, TriggerEn are the CPU's. */
	assert_true(xpt_msr_write(&msrs, &full, XPT_MSR_STATUS,
				  XPT_STATUS_ERROR | XPT_STATUS_FILTER_EN |
					  XPT_STATUS_CONTEXT_EN | 5ull << 32));
	assert_int_equal(msrs.status,
			 XPT_STATUS_TRIGGER_EN | XPT_STATUS_ERROR | 5ull << 32);
	assert_true(xpt_msr_write(&msrs, &full, XPT_MSR_STATUS, 0));
	assert_int_equal(msrs.status, XPT_STATUS_TRIGGER_EN);

	/* PacketByteCnt is not to be seen where it is reserved. */
	msrs.status |= bytes;
	assert_true(xpt_msr_read(&msrs, &bare, XPT_MSR_STATUS, &got));
	assert_int_equal(got, XPT_STATUS_TRIGGER_EN);
}

static void test_output_msrs(void **unused)
{
	static const struct xpt_caps fabric = { .ecx0 = XPT_CAP0_ECX_FABRIC,
						.maxphyaddr = 39 };
	struct xpt_msrs msrs = {};
	uint64_t got;

	for (unsigned int bit = 0; bit < 64; bit++)
		assert_int_equal(writes(&full, XPT_MSR_OUTPUT_BASE, 1ull << bit),
				 bit >= 7 && bit < 39);
	assert_true(xpt_msr_read(&msrs, &full, XPT_MSR_OUTPUT_MASK_PTRS, &got));
	assert_int_equal(got, 0x7f); /* from reset */
	assert_true(xpt_msr_write(&msrs, &full, XPT_MSR_OUTPUT_MASK_PTRS, 0));
	assert_int_equal(msrs.output_mask_ptrs, 0x7f);
	assert_true(xpt_msr_write(&msrs, &full, XPT_MSR_OUTPUT_MASK_PTRS, ~0x7full));
	assert_int_equal(msrs.output_mask_ptrs, UINT64_MAX);
	assert_false(writes(&fabric, XPT_MSR_OUTPUT_BASE, 0));
	assert_false(writes(&fabric, XPT_MSR_OUTPUT_MASK_PTRS, 0));
	assert_false(xpt_msr_read(&msrs, &fabric, XPT_MSR_OUTPUT_BASE, &got));
}

static void test_cr3_match(void **unused)
{
	struct xpt_msrs msrs = {};
	uint64_t got;

	for (unsigned int bit = 0; bit < 64; bit++)
		assert_int_equal(writes(&full, XPT_MSR_CR3_MATCH, 1ull << bit), bit >= 5);
	assert_false(writes(&bare, XPT_MSR_CR3_MATCH, 0));
	assert_false(xpt_msr_read(&msrs, &bare, XPT_MSR_CR3_MATCH, &got));
}

static void test_addresses(void **unused)
{
	static const uint64_t good[] = { 0, 0x7fffffffffff, 0xffff800000000000,
					 UINT64_MAX };
	static const uint64_t bad[] = { 0x800000000000, 0xffff7fffffffffff, 1ull << 63,
					0x00ff800000000000 };
	struct xpt_caps caps = full;
	struct xpt_msrs msrs = {};
	uint64_t got;

	for (size_t i = 0; i < ALL(good); i++)
		assert_true(writes(&full, XPT_MSR_ADDR0_A + i, good[i]));
	for (size_t i = 0; i < ALL(bad); i++)
		assert_false(writes(&full, XPT_MSR_ADDR0_A + i, bad[i]));
	assert_true(xpt_msr_write(&msrs, &full, XPT_MSR_ADDR0_A + 5, 0x1234));
	assert_int_equal(msrs.addr[5], 0x1234);
	assert_true(xpt_msr_read(&msrs, &full, XPT_MSR_ADDR0_A + 5, &got));
	assert_int_equal(got, 0x1234);

	/* As many pairs as there are ranges, and four at most. */
	for (unsigned int ranges = 0; ranges <= 7; ranges++) {
		unsigned int count = ranges < 4 ? ranges : 4;

		caps.eax1 = ranges;
		for (unsigned int i = 0; i < 16; i++)
			assert_int_equal(writes(&caps, XPT_MSR_ADDR0_A + i, 0),
					 i < 2 * count);
	}
	caps.ebx0 &= ~XPT_CAP0_EBX_IP_FILTER;
	assert_false(writes(&caps, XPT_MSR_ADDR0_A, 0));
}

static void test_no_such_msr(void **unused)
{
	static const uint32_t others[] = { 0,     0x55f, 0x562, 0x56f,
					   0x573, 0x57f, 0x586, UINT32_MAX };
	struct xpt_msrs msrs = {};
	uint64_t got = 0x5a;

	for (size_t i = 0; i < ALL(others); i++) {
		assert_false(writes(&full, others[i], 0));
		assert_false(xpt_msr_read(&msrs, &full, others[i], &got));
		assert_int_equal(got, 0x5a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ctl_bits),      cmocka_unit_test(test_ctl_features),
		cmocka_unit_test(test_ctl_encodings), cmocka_unit_test(test_ctl_output),
		cmocka_unit_test(test_trace_en),      cmocka_unit_test(test_status),
		cmocka_unit_test(test_output_msrs),   cmocka_unit_test(test_cr3_match),
		cmocka_unit_test(test_addresses),     cmocka_unit_test(test_no_such_msr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
