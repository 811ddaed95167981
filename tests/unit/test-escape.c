/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libxenpt/xenpt.h"

/* Escape a literal, which may contain NUL bytes, with room to spare. */
#define assert_escaped(in, out)                                                      \
	do {                                                                         \
		char buf__[256];                                                     \
		size_t n__ = xenpt_escape(in, sizeof(in) - 1, buf__, sizeof(buf__)); \
		assert_string_equal(buf__, out);                                     \
		assert_int_equal(n__, strlen(out));                                  \
	} while (0)

static void test_plain(void **state)
{
	assert_escaped("", "");
	assert_escaped("/usr/bin/a b~", "/usr/bin/a b~");
	assert_escaped("h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
		       "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
	/* The ends of what UTF-8 can say. */
	assert_escaped("\xc2\xa0\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf",
		       "\xc2\xa0\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf");
}

static void test_control(void **state)
{
	assert_escaped("\x1b[2J", "\\x1b[2J");
	assert_escaped("a\nb\tc\rd\0e", "a\\x0ab\\x09c\\x0dd\\x00e");
	assert_escaped("\x7f", "\\x7f");
	assert_escaped("\xc2\x9b"
		       "31m",
		       "\\xc2\\x9b31m");
	assert_escaped("a\\x1b", "a\\\\x1b");
}

static void test_invalid(void **state)
{
	assert_escaped("\xff\xfe", "\\xff\\xfe");
	assert_escaped("\x9b", "\\x9b");
	assert_escaped("\xc0\xaf", "\\xc0\\xaf");                   /* overlong */
	assert_escaped("\xe0\x80\xaf", "\\xe0\\x80\\xaf");          /* overlong */
	assert_escaped("\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"); /* overlong */
	assert_escaped("\xed\xa0\x80", "\\xed\\xa0\\x80");          /* surrogate */
	assert_escaped("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* past the end */
	assert_escaped("\xe2\x82", "\\xe2\\x82");                   /* cut */
	assert_escaped("\xe2\x82z", "\\xe2\\x82z");                 /* broken off */
	assert_escaped("\xf0\x9f\x98\xc3\xa9", "\\xf0\\x9f\\x98\xc3\xa9"); /* resumes */
}

static void test_bidi(void **state)
{
	assert_escaped("a\xe2\x80\xae"
		       "b",
		       "a\\u{202e}b");
	assert_escaped("\xe2\x80\xaa\xe2\x81\xa6\xe2\x81\xa9",
		       "\\u{202a}\\u{2066}\\u{2069}");
	assert_escaped("\xe2\x80\xa9\xe2\x80\xaf\xe2\x81\xaa",
		       "\xe2\x80\xa9\xe2\x80\xaf\xe2\x81\xaa");
}

/* Never half an escape or character, whatever the room. */
static void test_truncate(void **state)
{
	static const char in[] = "ab\x1b\xe2\x82\xac\\";
	static const char *const out[] = {
		NULL,
		"",
		"a",
		"ab",
		"ab",
		"ab",
		"ab",
		"ab\\x1b",
		"ab\\x1b",
		"ab\\x1b",
		"ab\\x1b\xe2\x82\xac",
		"ab\\x1b\xe2\x82\xac",
		"ab\\x1b\xe2\x82\xac\\\\",
	};
	size_t room;

	assert_int_equal(xenpt_escape(in, sizeof(in) - 1, NULL, 0), 0);
	for (room = 1; room < sizeof(out) / sizeof(out[0]); room++) {
		char *buf = malloc(room); /* exact, for the address sanitizer */

		assert_non_null(buf);
		assert_int_equal(xenpt_escape(in, sizeof(in) - 1, buf, room),
				 strlen(out[room]));
		assert_string_equal(buf, out[room]);
		free(buf);
	}
}

/* Whatever the bytes, 4 times their number is room enough. */
static void test_room(void **state)
{
	unsigned int a, b;

	for (a = 0; a < 256; a++) {
		for (b = 0; b < 256; b++) {
			const char in[] = { 'x', (char)a, (char)b };
			char small[sizeof(in) * 4 + 1], large[64];
			size_t n, i;

			n = xenpt_escape(in, sizeof(in), small, sizeof(small));
			assert_int_equal(
				xenpt_escape(in, sizeof(in), large, sizeof(large)), n);
			for (i = 0; i < n; i++)
				assert_true((unsigned char)small[i] >= 0x20 &&
					    small[i] != 0x7f);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),    cmocka_unit_test(test_control),
		cmocka_unit_test(test_invalid),  cmocka_unit_test(test_bidi),
		cmocka_unit_test(test_truncate), cmocka_unit_test(test_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
