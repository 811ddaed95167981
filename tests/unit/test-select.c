/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The values of --vcpu, --time and --ip. */
#include "xpt.h"

#include "cmd/select.h"

static void refuse(struct xenpt_error *err)
{
	assert_non_null(err);
	assert_int_equal(err->code, XENPT_ERROR_INVALID);
	xenpt_error_destroy(err);
}

static void test_vcpus(void **state)
{
	static const char *const bad[] = {
		"",    "a",  "1-",   "-1",     "3-1",  "1,",  ",1",
		"1 2", "+1", "4096", "0-4096", "1--2", "0x1", "99999999999999999999"
	};
	static const uint32_t want[] = { 0, 2, 3, 4, 4095 };
	vcpu_array ids = {};

	assert_null(select_vcpus("4095,2-3,0,3-4", &ids));
	assert_int_equal(ids.count, 5);
	assert_memory_equal(ids.data, want, sizeof(want));
	array_deinit(&ids);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuse(select_vcpus(bad[i], &ids));
	assert_null(ids.data);
}

static void apply(const char *arg, struct xenpt_filter *ret)
{
	static const struct xenpt_clock clock = { .ns_per_tick = 0.5 };
	struct time_bound bounds[2];

	*ret = (struct xenpt_filter)XENPT_FILTER_ALL;
	assert_null(select_time(arg, bounds));
	assert_null(select_time_apply(bounds, 1000, &clock, ret));
}

static void test_time(void **state)
{
	static const char *const bad[] = { "",
					   "5",
					   "1.2.3",
					   "1..2..3",
					   "1.5..",
					   "..5min",
					   "-1..2",
					   "1us.5..",
					   "1..0x5",
					   "99999999999999999999..",
					   "99999999999999999s.." };
	const struct xenpt_clock none = {};
	struct xenpt_filter filter;
	struct time_bound bounds[2];

	apply("5..7", &filter);
	assert_int_equal(filter.time_lo, 5);
	assert_int_equal(filter.time_hi, 7);
	apply("..", &filter);
	assert_int_equal(filter.time_lo, 0);
	assert_int_equal(filter.time_hi, UINT64_MAX);
	apply("1us..2.5ms", &filter);
	assert_int_equal(filter.time_lo, 1000 + 2000);
	assert_int_equal(filter.time_hi, 1000 + 5000000);
	apply("1s..", &filter);
	assert_int_equal(filter.time_lo, 1000 + 2000000000);
	apply("..18000000000s", &filter);
	assert_int_equal(filter.time_hi, UINT64_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuse(select_time(bad[i], bounds));
	/* A unit needs a clock, ticks do not. */
	assert_null(select_time("5..7ns", bounds));
	refuse(select_time_apply(bounds, 0, &none, &filter));
	assert_null(select_time("5..7", bounds));
	assert_null(select_time_apply(bounds, 0, &none, &filter));
	assert_null(select_time("7..5", bounds));
	refuse(select_time_apply(bounds, 0, &none, &filter));
}

/* The clock of a hostile file: no number of ticks is out of range. */
static void test_ticks(void **state)
{
	struct xenpt_clock clock = { .ns_per_tick = 0.5 };

	assert_int_equal(select_ticks(3, &clock), 6);
	clock.ns_per_tick = 0x1p-63;
	assert_int_equal(select_ticks(1000, &clock), UINT64_MAX);
	clock.ns_per_tick = 0x1p32;
	assert_int_equal(select_ticks(1000, &clock), 0);
}

static void test_addresses(void **state)
{
	struct xenpt_filter filter = XENPT_FILTER_ALL;
	uint64_t value;

	assert_true(select_range("0x1000..ffffffff81000000", &filter));
	assert_int_equal(filter.ip_lo, 0x1000);
	assert_int_equal(filter.ip_hi, 0xffffffff81000000);
	assert_true(select_range("..10", &filter));
	assert_int_equal(filter.ip_lo, 0);
	assert_int_equal(filter.ip_hi, 0x10);
	assert_false(select_range("main", &filter));
	assert_false(select_range("2..1", &filter));
	assert_false(select_range("1..main", &filter));
	assert_int_equal(filter.ip_hi, 0x10);
	assert_true(select_address("ABCdef", &value));
	assert_int_equal(value, 0xabcdef);
	assert_false(select_address("", &value));
	assert_false(select_address(" 1", &value));
	assert_false(select_address("-1", &value));
	assert_false(select_address("1ffffffffffffffff", &value));
	assert_true(select_number("10", &value));
	assert_int_equal(value, 10);
	assert_false(select_number("0x10", &value));
}

/* Two processes with a function of the same name, without a size. */
static void test_symbol(void **state)
{
	static const struct {
		uint64_t asked, cr3, lo, hi;
	} wanted[] = {
		{ XENPT_CR3_ANY, 0x1000, 0x100, 0x17f },
		{ 0x1000, 0x1000, 0x100, 0x17f },
		{ 0x2000, 0x2000, 0x200, 0x27f },
	};
	struct xenpt_symtab *symtab;
	struct xenpt_writer *writer;
	struct xenpt_filter filter;
	struct xenpt_file *file;
	struct bytes bytes;
	int fd;

	writer = writer_open(&fd);
	for (uint32_t i = 0; i < 2; i++) {
		struct xenpt_image_info image = { i, "program", "", 0x1000 * (i + 1), 0 };
		struct xenpt_symbol symbols[] = {
			{ 0x100 * (i + 1), 0, "main", "", 0 },
			{ 0x100 * (i + 1) + 0x80, 0, "next", "", 0 },
		};

		assert_success(xenpt_writer_image(writer, &image));
		assert_success(xenpt_writer_symbols(writer, i, symbols, 2));
	}
	bytes = writer_close(writer, fd);
	assert_success(open_bytes(bytes.data, bytes.size, &file));
	assert_success(xenpt_symtab_create(file, &symtab));
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		filter = (struct xenpt_filter)XENPT_FILTER_ALL;
		filter.cr3 = wanted[i].asked;
		assert_success(select_symbol("main", symtab, &filter));
		assert_int_equal(filter.cr3, wanted[i].cr3);
		assert_int_equal(filter.ip_lo, wanted[i].lo);
		assert_int_equal(filter.ip_hi, wanted[i].hi);
	}
	xenpt_symtab_destroy(symtab);
	xenpt_file_close(file);
	free(bytes.data);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vcpus),  cmocka_unit_test(test_time),
		cmocka_unit_test(test_ticks),  cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_symbol),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
