/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The letters of --itrace, which perf's users know by heart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "cmd/itrace.h"

static struct itrace parse(const char *options)
{
	struct itrace itrace = {};

	assert_null(itrace_parse(options, &itrace));
	return itrace;
}

static void refuse(const char *options)
{
	struct itrace itrace = { .skip = 77 };
	struct xenpt_error *err = itrace_parse(options, &itrace);

	assert_non_null(err);
	assert_int_equal(err->code, XENPT_ERROR_INVALID);
	assert_int_equal(itrace.skip, 77);
	xenpt_error_destroy(err);
}

static void test_rows(void **state)
{
	assert_int_equal(parse("i").rows, XENPT_ROW_INSN);
	assert_int_equal(parse("b").rows, XENPT_ROW_BRANCH);
	assert_int_equal(parse("cr").rows, XENPT_ROW_CALL | XENPT_ROW_RETURN);
	assert_int_equal(parse("bc").rows, XENPT_ROW_CALL);
	assert_int_equal(parse("bxwpe").rows,
			 XENPT_ROW_BRANCH | XENPT_ROW_TSX | XENPT_ROW_PTWRITE |
				 XENPT_ROW_POWER | XENPT_ROW_TROUBLE);
	assert_int_equal(parse("b, e").rows, XENPT_ROW_BRANCH | XENPT_ROW_TROUBLE);
	refuse("");
	refuse("Z");
	refuse("k");
	refuse("b\n");
}

static void test_period(void **state)
{
	static const struct {
		const char *options;
		uint64_t period;
		enum itrace_unit unit;
	} good[] = {
		{ "i", 0, ITRACE_INSNS },         { "ib", 0, ITRACE_INSNS },
		{ "i1000i", 1000, ITRACE_INSNS }, { "i 5 i", 5, ITRACE_INSNS },
		{ "i10tb", 10, ITRACE_TICKS },    { "i7ns", 7, ITRACE_NS },
		{ "i100us", 100000, ITRACE_NS },  { "i,3,msb", 3000000, ITRACE_NS },
		{ "i42", 42, ITRACE_NS },         { "i0i", 0, ITRACE_INSNS },
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct itrace itrace = parse(good[i].options);

		assert_int_equal(itrace.period, good[i].period);
		assert_int_equal(itrace.unit, good[i].unit);
		assert_true(itrace.rows & XENPT_ROW_INSN);
	}
	refuse("i10x");
	refuse("i10m");
	refuse("i10u");
	refuse("i10n");
	refuse("i10b");
	refuse("i99999999999999999999i");
	refuse("i18446744073709551615ms");
}

static void test_arguments(void **state)
{
	assert_int_equal(parse("bs100").skip, 100);
	assert_true(parse("bZ").timeless);
	assert_false(parse("b").timeless);
	assert_string_equal(parse("bg").unused, "g");
	assert_string_equal(parse("bg1024l64G16L1").unused, "glGL");
	assert_string_equal(parse("bqqqAoI").unused, "qAoI");
	assert_string_equal(parse("bd+a-e").unused, "d");
	assert_string_equal(parse("e").unused, "");
	parse("e+o-l");
	parse("e +o - l b");
	refuse("bs");
	refuse("bsx");
	refuse("bg0");
	refuse("bg1025");
	refuse("bl0");
	refuse("bL4096");
	refuse("e+");
	refuse("e-L");
	refuse("bd+1");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_period),
		cmocka_unit_test(test_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
