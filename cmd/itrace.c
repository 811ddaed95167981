/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/itrace.h"

#define SIZE_LIMIT 1024 /* of call chains and last branches, in perf */

static void skip_blanks(const char **p)
{
	while (**p == ' ' || **p == ',')
		++*p;
}

/* False: there is no number that fits. */
static bool parse_number(const char **p, uint64_t *ret)
{
	unsigned long long value;
	char *end;

	if (!isdigit((unsigned char)**p))
		return false;
	errno = 0;
	value = strtoull(*p, &end, 10);
	if (errno)
		return false;
	*p = end;
	*ret = value;
	return true;
}

static struct xenpt_error *parse_unit(const char **p, struct itrace *itrace)
{
	uint64_t ns = 1;

	switch (**p) {
	case 'i':
		itrace->unit = ITRACE_INSNS;
		++*p;
		return NULL;
	case 't':
		itrace->unit = ITRACE_TICKS;
		++*p;
		return NULL;
	case 'm':
		ns = 1000000;
		break;
	case 'u':
		ns = 1000;
		break;
	case 'n':
		break;
	case '\0': /* perf's default */
		itrace->unit = ITRACE_NS;
		return NULL;
	default:
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "the period of 'i' is in i, t, ms, us or ns");
	}
	if ((*p)[1] != 's')
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "the period of 'i' is in i, t, ms, us or ns");
	*p += 2;
	itrace->unit = ITRACE_NS;
	if (__builtin_mul_overflow(itrace->period, ns, &itrace->period))
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "the period of 'i' is too long");
	return NULL;
}

static struct xenpt_error *parse_period(const char **p, struct itrace *itrace)
{
	skip_blanks(p);
	if (!isdigit((unsigned char)**p))
		return NULL;
	if (!parse_number(p, &itrace->period))
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "the period of 'i' is too long");
	skip_blanks(p);
	return parse_unit(p, itrace);
}

/* The size of a call chain or of the last branches: it may be left out. */
static struct xenpt_error *parse_size(const char **p, char letter)
{
	uint64_t size;

	skip_blanks(p);
	if (!isdigit((unsigned char)**p))
		return NULL;
	if (!parse_number(p, &size) || size == 0 || size > SIZE_LIMIT)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "the size of '%c' is 1 to %d", letter,
					  SIZE_LIMIT);
	return NULL;
}

/* Any number of "+x" and "-x". */
static struct xenpt_error *parse_flags(const char **p, char letter)
{
	for (;; ++*p) {
		if (**p == ' ')
			continue;
		if (**p != '+' && **p != '-')
			return NULL;
		do
			++*p;
		while (**p == ' ');
		if (**p < 'a' || **p > 'z')
			return xenpt_error_create(XENPT_ERROR_INVALID,
						  "a flag of '%c' is + or - and a "
						  "lower-case letter",
						  letter);
	}
}

static void note_unused(struct itrace *itrace, char letter)
{
	size_t used = strlen(itrace->unused);

	if (!strchr(itrace->unused, letter) && used + 1 < sizeof(itrace->unused))
		itrace->unused[used] = letter;
}

static struct xenpt_error *parse_letter(const char **p, struct itrace *itrace)
{
	char letter = *(*p)++;

	switch (letter) {
	case ' ':
	case ',':
		return NULL;
	case 'i':
		itrace->rows |= XENPT_ROW_INSN;
		return parse_period(p, itrace);
	case 'b':
		itrace->rows |= XENPT_ROW_BRANCH;
		return NULL;
	case 'c':
		itrace->rows |= XENPT_ROW_CALL;
		return NULL;
	case 'r':
		itrace->rows |= XENPT_ROW_RETURN;
		return NULL;
	case 'x':
		itrace->rows |= XENPT_ROW_TSX;
		return NULL;
	case 'w':
		itrace->rows |= XENPT_ROW_PTWRITE;
		return NULL;
	case 'p':
		itrace->rows |= XENPT_ROW_POWER;
		return NULL;
	case 'e':
		itrace->rows |= XENPT_ROW_TROUBLE;
		return parse_flags(p, letter);
	case 's':
		if (!parse_number(p, &itrace->skip))
			return xenpt_error_create(XENPT_ERROR_INVALID,
						  "'s' wants a number of rows");
		return NULL;
	case 'Z':
		itrace->timeless = true;
		return NULL;
	case 'd':
		note_unused(itrace, letter);
		return parse_flags(p, letter);
	case 'g':
	case 'G':
	case 'l':
	case 'L':
		note_unused(itrace, letter);
		return parse_size(p, letter);
	case 'o':
	case 'I':
	case 'q':
	case 'A':
		note_unused(itrace, letter);
		return NULL;
	default:
		return xenpt_error_create(XENPT_ERROR_INVALID, "there is no letter '%c'",
					  isprint((unsigned char)letter) ? letter : '?');
	}
}

struct xenpt_error *itrace_parse(const char *options, struct itrace *ret)
{
	struct itrace itrace = {};

	while (*options) {
		struct xenpt_error *err = parse_letter(&options, &itrace);

		if (err)
			return err;
	}
	/* "bc" is what "c" is: these choose among the branches. */
	if (itrace.rows & (XENPT_ROW_CALL | XENPT_ROW_RETURN))
		itrace.rows &= ~XENPT_ROW_BRANCH;
	if (!itrace.rows)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "nothing to show: give one of i, b, c, r, x, "
					  "w, p, e");
	*ret = itrace;
	return NULL;
}
