/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How often a recorder looks: often enough, and never more than is fair to the guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/record-period.h"

static void test_costs_nothing(void **state)
{
	assert_int_equal(RECORD_PERIOD_MIN, record_period_least(0, 1));
	assert_int_equal(RECORD_PERIOD_MIN, record_period_least(0, 512));
}

/* Whatever a look takes and however many vCPUs there are: 2 % of the time at most. */
static void test_share(void **state)
{
	static const uint64_t costs[] = { 1, 500, 5000, 20000, 99999, 312500, 1000000 };
	static const size_t vcpus[] = { 1, 2, 16, 128 };

	for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++) {
		for (size_t j = 0; j < sizeof(vcpus) / sizeof(vcpus[0]); j++) {
			uint64_t held = costs[i] * vcpus[j];
			uint64_t ms = (uint64_t)record_period_least(costs[i], vcpus[j]);

			if (held * 50 > UINT64_C(2000) * 1000000)
				assert_int_equal(RECORD_PERIOD_LONGEST, ms);
			else
				assert_true(held <= ms * 1000000 / 50);
			/* And not longer than it must be. */
			if (ms > RECORD_PERIOD_MIN)
				assert_true(held > (ms - 1) * 1000000 / 50);
		}
	}
}

static void test_absurd(void **state)
{
	assert_int_equal(RECORD_PERIOD_LONGEST, record_period_least(UINT64_MAX, 1));
	assert_int_equal(RECORD_PERIOD_LONGEST, record_period_least(UINT64_MAX / 2, 3));
	assert_int_equal(RECORD_PERIOD_LONGEST, record_period_least(UINT64_MAX / 3, 1));
	assert_int_equal(RECORD_PERIOD_MIN, record_period_least(UINT64_MAX, 0));
}

static void test_fill(void **state)
{
	int period = RECORD_PERIOD_MIN;

	/* Nothing comes: slower, up to a bound. */
	for (int i = 0; i < 20; i++)
		period = record_period_next(period, 0, 0, 4);
	assert_int_equal(RECORD_PERIOD_MAX, period);
	assert_int_equal(RECORD_PERIOD_MAX, record_period_next(period, 3, 0, 4));
	/* A quarter is new: faster, down to one. */
	for (int i = 0; i < 20; i++)
		period = record_period_next(period, 4, 0, 4);
	assert_int_equal(RECORD_PERIOD_MIN, period);
	/* … that the guest can bear, however much comes. */
	assert_int_equal(20, record_period_next(period, 16, 100000, 4));
	assert_int_equal(400, record_period_next(RECORD_PERIOD_MAX, 0, 2000000, 4));
}

static void test_sixteenths(void **state)
{
	assert_int_equal(0, record_period_share(0, 4096));
	assert_int_equal(0, record_period_share(255, 4096));
	assert_int_equal(15, record_period_share(4096, 4096));
	assert_int_equal(4, record_period_share((1 << 20) / 4 + 4, 1 << 20));
	assert_int_equal(0, record_period_share(0, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_costs_nothing), cmocka_unit_test(test_share),
		cmocka_unit_test(test_absurd),        cmocka_unit_test(test_fill),
		cmocka_unit_test(test_sixteenths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
