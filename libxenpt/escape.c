/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strings from a guest, made fit for a terminal. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "xenpt.h"

/*
 * The code point at @s and its length; 0: not UTF-8. Overlong forms,
 * surrogates and what is past U+10FFFF are not (Unicode, table 3-7).
 */
static size_t utf8_decode(const unsigned char *s, size_t size, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c = s[0];
	size_t length, i;

	if (c < 0x80)
		length = 1;
	else if (c >= 0xc2 && c < 0xe0)
		length = 2;
	else if (c >= 0xe0 && c < 0xf0)
		length = 3;
	else if (c >= 0xf0 && c < 0xf5)
		length = 4;
	else
		return 0;
	if (length > size)
		return 0;
	if (length > 1)
		c &= 0xff >> (length + 1);
	for (i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*ret = c;
	return length;
}

/* Terminals obey C0 and, some of them, C1, also when encoded. */
static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

/* These reorder what follows: a name could pose as another (UAX #9, 2). */
static bool is_bidi(uint32_t c)
{
	return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

size_t xenpt_escape(const char *s, size_t size, char *buf, size_t buf_size)
{
	const unsigned char *in = (const unsigned char *)s;
	size_t i = 0, used = 0;

	if (!buf_size)
		return 0;
	while (i < size) {
		uint32_t c = 0;
		size_t length = utf8_decode(in + i, size - i, &c), n;
		char piece[16];

		if (!length || is_control(c)) {
			/* A C1 of two bytes comes out as two: the next is not UTF-8. */
			length = 1;
			n = snprintf(piece, sizeof(piece), "\\x%02x", in[i]);
		} else if (is_bidi(c)) {
			n = snprintf(piece, sizeof(piece), "\\u{%x}", c);
		} else if (c == '\\') {
			n = snprintf(piece, sizeof(piece), "\\\\");
		} else {
			n = length;
			memcpy(piece, in + i, n);
		}
		if (n >= buf_size - used)
			break;
		memcpy(buf + used, piece, n);
		used += n;
		i += length;
	}
	buf[used] = '\0';
	return used;
}
