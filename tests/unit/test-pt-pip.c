/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hv/pt/msr.h"
#include "hv/pt/packet.h"
#include "hv/pt/pip.h"
#include "tests/unit/guest-memory.h"

#define CTL (XPT_CTL_TRACE_EN | XPT_CTL_TOPA | XPT_CTL_OS | XPT_CTL_BRANCH_EN)
#define RUNNING (XPT_STATUS_TRIGGER_EN | 100ull << XPT_STATUS_BYTES_SHIFT)
#define A 0x12345000
#define B 0x67890000

enum {
	TABLE = 0x10000,
	TABLE_2 = 0x11000,
	REGION = 0x20000,
	REGION_2 = 0x30000,
	PIP = 8
};

struct fixture {
	struct memory memory;
	struct xpt_topa topa;
	struct xpt_pip pip;
};

/* A vCPU that has told the stream of A, at @offset of a region. */
static void start(struct fixture *fixture, uint64_t offset)
{
	memory_entry(&fixture->memory, TABLE, 0, REGION);
	memory_entry(&fixture->memory, TABLE, 1, REGION_2);
	xpt_topa_init(&fixture->topa, &memory_ops, &fixture->memory, TABLE,
		      mask_ptrs(0, offset), RUNNING, false, 36, false);
	fixture->pip = (struct xpt_pip){ .stream_cr3 = A };
}

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	start(*state, 0);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	memory_deinit(&fixture->memory);
	free(fixture);
	return 0;
}

static enum xpt_pip_result inject(struct fixture *fixture, uint64_t cr3)
{
	return xpt_pip_inject(&fixture->pip, &fixture->topa, CTL, cr3, false, true);
}

/* The packet at @offset of the region says this. */
static void assert_pip(struct fixture *fixture, uint64_t offset, uint64_t cr3, bool pae,
		       bool non_root)
{
	uint8_t want[XPT_PACKET_MAX];

	assert_int_equal(xpt_packet_pip(cr3, pae, non_root, want), PIP);
	assert_memory_equal(memory_at(&fixture->memory, REGION + offset, PIP), want, PIP);
}

static void test_changed(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(inject(fixture, A), XPT_PIP_NONE);
	assert_int_equal(inject(fixture, B), XPT_PIP_WRITTEN);
	assert_pip(fixture, 0, B, false, true);
	assert_int_equal(inject(fixture, B), XPT_PIP_NONE);
	assert_int_equal(
		xpt_pip_inject(&fixture->pip, &fixture->topa, CTL, A, false, false),
		XPT_PIP_WRITTEN);
	assert_pip(fixture, PIP, A, false, false);
	assert_int_equal(fixture->topa.written, 2 * PIP);
	assert_int_equal(fixture->topa.output_mask_ptrs, mask_ptrs(0, 2 * PIP));
	assert_int_equal(fixture->topa.status, RUNNING + (2ull * PIP << 32));
}

/* PCID, NOFLUSH, PWT and PCD are no other address space; with PAE, 11:5 are. */
static void test_masks(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(inject(fixture, A | 0xfff | 1ull << 63), XPT_PIP_NONE);
	assert_int_equal(
		xpt_pip_inject(&fixture->pip, &fixture->topa, CTL, A | 0x18, true, true),
		XPT_PIP_NONE);
	assert_int_equal(
		xpt_pip_inject(&fixture->pip, &fixture->topa, CTL, A | 0x20, true, true),
		XPT_PIP_WRITTEN);
	assert_pip(fixture, 0, A | 0x20, true, true);
	assert_int_equal(fixture->pip.stream_cr3, A | 0x20);
}

static void test_unknown(void **state)
{
	struct fixture *fixture = *state;

	fixture->pip.stream_cr3 = XPT_CR3_UNKNOWN;
	assert_int_equal(inject(fixture, A), XPT_PIP_WRITTEN);
	assert_int_equal(inject(fixture, A), XPT_PIP_NONE);
}

/* Nobody to tell: nothing is written, and it is told as soon as there is somebody. */
static void test_not_traced(void **state)
{
	static const struct {
		uint64_t ctl, status;
	} off[] = {
		{ CTL & ~XPT_CTL_TRACE_EN, RUNNING },
		{ (CTL & ~XPT_CTL_OS) | XPT_CTL_USER, RUNNING },
		{ CTL, RUNNING | XPT_STATUS_STOPPED },
		{ CTL, RUNNING | XPT_STATUS_ERROR },
		{ CTL, XPT_STATUS_TRIGGER_EN }, /* PSB+ is due */
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		start(fixture, 0);
		fixture->topa.status = off[i].status;
		assert_int_equal(xpt_pip_inject(&fixture->pip, &fixture->topa, off[i].ctl,
						B, false, true),
				 XPT_PIP_NONE);
		assert_int_equal(fixture->topa.written, 0);
		assert_int_equal(fixture->topa.status, off[i].status);
		fixture->topa.status = RUNNING;
		assert_int_equal(inject(fixture, B), XPT_PIP_WRITTEN);
	}
}

/* That PSB+ may have had no PIP: what was told before it does not count. */
static void test_after_psb(void **state)
{
	struct fixture *fixture = *state;

	fixture->topa.status = XPT_STATUS_TRIGGER_EN;
	assert_int_equal(inject(fixture, B), XPT_PIP_NONE);
	fixture->topa.status = RUNNING;
	assert_int_equal(inject(fixture, A), XPT_PIP_WRITTEN);
}

static void test_cr3_filter(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(xpt_pip_inject(&fixture->pip, &fixture->topa,
					CTL | XPT_CTL_CR3_FILTER, B, false, true),
			 XPT_PIP_WRITTEN);
}

/* What the guest wrote while it ran, the CPU announced, unless a filter kept it from. */
static void test_exit(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(inject(fixture, A), XPT_PIP_NONE);
	xpt_pip_exit(&fixture->pip, CTL, B | 0x5, false);
	assert_int_equal(inject(fixture, B), XPT_PIP_NONE);
	xpt_pip_exit(&fixture->pip, CTL, B, false);
	assert_int_equal(inject(fixture, A), XPT_PIP_WRITTEN);

	xpt_pip_exit(&fixture->pip, CTL | XPT_CTL_CR3_FILTER, B, false);
	assert_int_equal(inject(fixture, B), XPT_PIP_WRITTEN);
	xpt_pip_exit(&fixture->pip, CTL & ~XPT_CTL_OS, A, false);
	assert_int_equal(inject(fixture, A), XPT_PIP_WRITTEN);
}

/* What the guest wrote while nobody was told, the stream does not say. */
static void test_exit_untold(void **state)
{
	struct fixture *fixture = *state;
	const uint64_t off = CTL & ~XPT_CTL_TRACE_EN;

	xpt_pip_inject(&fixture->pip, &fixture->topa, off, A, false, true);
	xpt_pip_exit(&fixture->pip, off, B, false);
	assert_int_equal(inject(fixture, B), XPT_PIP_WRITTEN);

	/* Where the output stopped, the last PIP may be what was cut off. */
	assert_int_equal(inject(fixture, A), XPT_PIP_WRITTEN);
	fixture->topa.status |= XPT_STATUS_STOPPED;
	assert_int_equal(inject(fixture, B), XPT_PIP_NONE);
	xpt_pip_exit(&fixture->pip, CTL, B, false);
	fixture->topa.status = RUNNING;
	assert_int_equal(inject(fixture, A), XPT_PIP_WRITTEN);
}

/*
 * A guest that has written no other CR3 since its entry has told nothing: what the stream
 * knew before, it knows still, and what it did not know, it does not know.
 */
static void test_exit_unchanged(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(inject(fixture, B), XPT_PIP_WRITTEN);
	xpt_pip_exit(&fixture->pip, CTL, B | 0x7, false);
	assert_int_equal(inject(fixture, B), XPT_PIP_NONE);

	fixture->pip.stream_cr3 = XPT_CR3_UNKNOWN; /* bytes of the trace were lost */
	xpt_pip_exit(&fixture->pip, CTL, B, false);
	assert_int_equal(inject(fixture, B), XPT_PIP_WRITTEN);
	assert_int_equal(fixture->topa.written, 2 * PIP);
}

/* A page of the output is missing: not a byte of the packet counts. */
static void test_fault(void **state)
{
	struct fixture *fixture = *state;
	struct memory_page *page = memory_page(&fixture->memory, REGION_2);

	start(fixture, 4096 - 3);
	memory_entry(&fixture->memory, TABLE, 0, REGION | XPT_TOPA_INT);
	page->absent = true;
	assert_int_equal(inject(fixture, B), XPT_PIP_FAILED);
	assert_int_equal(fixture->topa.fault, REGION_2);
	assert_int_equal(fixture->topa.output_mask_ptrs, mask_ptrs(0, 4096 - 3));
	assert_int_equal(fixture->topa.status, RUNNING);
	assert_int_equal(fixture->topa.written, 0);
	assert_false(fixture->topa.interrupt);
	/* The guest runs, does not touch CR3, and comes back: it is still to be told. */
	xpt_pip_exit(&fixture->pip, CTL, B, false);
	page->absent = false;
	assert_int_equal(inject(fixture, B), XPT_PIP_WRITTEN);
	assert_int_equal(fixture->topa.written, PIP);
	assert_true(fixture->topa.interrupt);
	assert_int_equal(fixture->topa.output_mask_ptrs, mask_ptrs(1, 5));
	assert_memory_equal(memory_at(&fixture->memory, REGION + 4096 - 3, 3), "\2\x43\1",
			    3);
}

/* The CR3 that was told before the one that could not be is news again. */
static void test_fault_then_back(void **state)
{
	struct fixture *fixture = *state;
	struct memory_page *page = memory_page(&fixture->memory, REGION);

	page->absent = true;
	assert_int_equal(inject(fixture, B), XPT_PIP_FAILED);
	page->absent = false;
	/* The guest writes another CR3 and B again, which the CPU tells. */
	xpt_pip_exit(&fixture->pip, CTL, B, false);
	assert_int_equal(inject(fixture, A), XPT_PIP_WRITTEN);
}

/* Back over the links that the first bytes took, too. */
static void test_fault_behind_end(void **state)
{
	struct fixture *fixture = *state;
	struct memory *memory = &fixture->memory;

	start(fixture, 4096 - 3);
	memory_entry(memory, TABLE, 1, TABLE_2 | XPT_TOPA_END);
	memory_entry(memory, TABLE_2, 0, REGION_2);
	memory_page(memory, REGION_2)->absent = true;
	assert_int_equal(inject(fixture, B), XPT_PIP_FAILED);
	assert_int_equal(fixture->topa.output_base, TABLE);
	memory_page(memory, REGION_2)->absent = false;
	assert_int_equal(inject(fixture, B), XPT_PIP_WRITTEN);
	assert_int_equal(fixture->topa.output_base, TABLE_2);

	start(fixture, 8192 - 3);
	memory_entry(memory, TABLE, 0, REGION | 1 << XPT_TOPA_SIZE_SHIFT);
	memory_entry(memory, TABLE, 1, TABLE | XPT_TOPA_END);
	memory_page(memory, REGION)->absent = true;
	assert_int_equal(inject(fixture, B), XPT_PIP_FAILED);
	assert_int_equal(fixture->topa.wraps, 0);
	memory_page(memory, REGION)->absent = false;
	assert_int_equal(inject(fixture, B), XPT_PIP_WRITTEN);
	assert_int_equal(fixture->topa.wraps, 1);
}

/* A STOP region has room for a part: it is cut, as the CPU's own packets are. */
static void test_stop(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, 4096 - 3);
	memory_entry(&fixture->memory, TABLE, 0, REGION | XPT_TOPA_STOP);
	assert_int_equal(inject(fixture, B), XPT_PIP_FAILED);
	assert_int_equal(fixture->topa.written, 3);
	assert_true(fixture->topa.status & XPT_STATUS_STOPPED);
	assert_int_equal(inject(fixture, B), XPT_PIP_NONE);

	/* Room for just all of it. */
	start(fixture, 4096 - PIP);
	memory_entry(&fixture->memory, TABLE, 0, REGION | XPT_TOPA_STOP);
	assert_int_equal(inject(fixture, B), XPT_PIP_WRITTEN);
	assert_true(fixture->topa.status & XPT_STATUS_STOPPED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_changed),
		TEST(test_masks),
		TEST(test_unknown),
		TEST(test_not_traced),
		TEST(test_after_psb),
		TEST(test_cr3_filter),
		TEST(test_exit),
		TEST(test_exit_untold),
		TEST(test_exit_unchanged),
		TEST(test_fault),
		TEST(test_fault_then_back),
		TEST(test_fault_behind_end),
		TEST(test_stop),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
