/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which events a filter shows, and what the counts say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "libxenpt/xenpt.h"

static const struct xenpt_event user_block = {
	.type = XENPT_EVENT_BLOCK,
	.ip = 0x1000,
	.last = 0x1010,
	.to = 0x2000,
	.time = 100,
	.cr3 = 0x5000,
	.insns = 4,
	.branch = XENPT_BRANCH_JUMP,
	.has_ip = 1,
	.has_to = 1,
};
static const struct xenpt_event kernel_block = {
	.type = XENPT_EVENT_BLOCK,
	.ip = 0xffffffff81000000,
	.last = 0xffffffff81000010,
	.time = 200,
	.cr3 = 0x6000,
	.insns = 3,
	.branch = XENPT_BRANCH_RETURN,
	.has_ip = 1,
};
static const struct xenpt_event gap = {
	.type = XENPT_EVENT_GAP,
	.cr3 = XENPT_CR3_ANY,
	.value = 4096,
};

static void test_all(void **state)
{
	struct xenpt_filter filter = XENPT_FILTER_ALL;

	assert_true(xenpt_filter_match(&filter, &user_block));
	assert_true(xenpt_filter_match(&filter, &kernel_block));
	assert_true(xenpt_filter_match(&filter, &gap));
}

static void test_cr3(void **state)
{
	struct xenpt_filter filter = XENPT_FILTER_ALL;
	struct xenpt_event event = gap;

	filter.cr3 = 0x5000;
	assert_true(xenpt_filter_match(&filter, &user_block));
	assert_false(xenpt_filter_match(&filter, &kernel_block));
	assert_true(xenpt_filter_match(&filter, &gap));
	event.cr3 = 0x6000; /* known to be outside */
	assert_false(xenpt_filter_match(&filter, &event));
	event = (struct xenpt_event){ .type = XENPT_EVENT_CR3, .value = 0x5000 };
	assert_true(xenpt_filter_match(&filter, &event));
}

static void test_time(void **state)
{
	struct xenpt_filter filter = XENPT_FILTER_ALL;
	struct xenpt_event event = user_block;

	filter.time_lo = 100;
	filter.time_hi = 150;
	assert_true(xenpt_filter_match(&filter, &user_block));
	assert_false(xenpt_filter_match(&filter, &kernel_block));
	filter.time_lo = 101;
	assert_false(xenpt_filter_match(&filter, &user_block));
	event.time = 0;
	assert_false(xenpt_filter_match(&filter, &event));
	assert_true(xenpt_filter_match(&filter, &gap));
	event = gap;
	event.time = 99;
	assert_false(xenpt_filter_match(&filter, &event));
}

static void test_ip(void **state)
{
	struct xenpt_filter filter = XENPT_FILTER_ALL;
	struct xenpt_event event = user_block;

	filter.ip_lo = 0x1008;
	filter.ip_hi = 0x100b;
	assert_true(xenpt_filter_match(&filter, &user_block));
	assert_false(xenpt_filter_match(&filter, &kernel_block));
	assert_true(xenpt_filter_match(&filter, &gap));
	filter.ip_lo = filter.ip_hi = 0x1010;
	assert_true(xenpt_filter_match(&filter, &user_block));
	filter.ip_lo = filter.ip_hi = 0x1011;
	assert_false(xenpt_filter_match(&filter, &user_block));
	/* A block that jumped back: only its two ends are known. */
	event.last = 0x800;
	filter.ip_lo = 0x7ff;
	filter.ip_hi = 0x801;
	assert_true(xenpt_filter_match(&filter, &event));
	filter.ip_lo = filter.ip_hi = 0x900;
	assert_false(xenpt_filter_match(&filter, &event));
	event = (struct xenpt_event){ .type = XENPT_EVENT_ERROR, .ip = 1, .has_ip = 1 };
	assert_true(xenpt_filter_match(&filter, &event));
}

static void test_mode(void **state)
{
	struct xenpt_filter filter = XENPT_FILTER_ALL;

	filter.kernel = true;
	assert_false(xenpt_filter_match(&filter, &user_block));
	assert_true(xenpt_filter_match(&filter, &kernel_block));
	assert_true(xenpt_filter_match(&filter, &gap));
	filter.user = true;
	assert_true(xenpt_filter_match(&filter, &user_block));
	filter.kernel = false;
	assert_true(xenpt_filter_match(&filter, &user_block));
	assert_false(xenpt_filter_match(&filter, &kernel_block));
}

static void test_stats(void **state)
{
	struct xenpt_event events[] = {
		user_block,
		gap,
		kernel_block,
		{ .type = XENPT_EVENT_ERROR, .value = 100, .time = 50 },
		{ .type = XENPT_EVENT_TYPES },
		{ .type = XENPT_EVENT_INTERRUPT },
	};
	struct xenpt_stats stats = {};

	xenpt_stats_add(&stats, events, 2);
	xenpt_stats_add(&stats, events + 2, 4);
	assert_int_equal(stats.insns, 7);
	assert_int_equal(stats.blocks, 2);
	assert_int_equal(stats.branches[XENPT_BRANCH_JUMP], 1);
	assert_int_equal(stats.branches[XENPT_BRANCH_RETURN], 1);
	assert_int_equal(stats.branches[XENPT_BRANCH_CALL], 0);
	assert_int_equal(stats.events[XENPT_EVENT_BLOCK], 2);
	assert_int_equal(stats.events[XENPT_EVENT_INTERRUPT], 1);
	assert_int_equal(stats.events[XENPT_EVENT_GAP], 1);
	assert_int_equal(stats.events[XENPT_EVENT_ERROR], 1);
	assert_int_equal(stats.lost, 4096);
	assert_int_equal(stats.skipped, 100);
	assert_int_equal(stats.first_time, 50);
	assert_int_equal(stats.last_time, 200);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),  cmocka_unit_test(test_cr3),
		cmocka_unit_test(test_time), cmocka_unit_test(test_ip),
		cmocka_unit_test(test_mode), cmocka_unit_test(test_stats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
