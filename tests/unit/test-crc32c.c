/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "xpt.h"

#include "libxenpt/crc32c.h"

/* The check value that catalogues of CRCs give for CRC-32C. */
static void test_check_value(void **state)
{
	assert_int_equal(xenpt_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(xenpt_crc32c_table(0, "123456789", 9), 0xe3069283);
	assert_int_equal(xenpt_crc32c(0, NULL, 0), 0);
}

/* All sizes and alignments around the words of the fast one, in two parts. */
static void test_same(void **state)
{
	uint8_t data[128];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = noise(i);
	for (size_t begin = 0; begin < 9; begin++) {
		for (size_t end = begin; end < sizeof(data); end++) {
			size_t mid = begin + (end - begin) / 3;
			uint32_t sum = xenpt_crc32c_table(0, data + begin, end - begin);
			uint32_t part = xenpt_crc32c(0, data + begin, mid - begin);

			assert_int_equal(xenpt_crc32c(0, data + begin, end - begin), sum);
			assert_int_equal(xenpt_crc32c(part, data + mid, end - mid), sum);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check_value),
		cmocka_unit_test(test_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
