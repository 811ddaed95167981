/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "tests/rig/path.h"

#define SHOWN 3   /* differences */
#define CONTEXT 4 /* entries before and after them */

struct comparison {
	const struct path_text *text;
	const struct path_decoded *decoded;
	uint64_t base; /* of the piece: number of seen[i] = i + base */
	uint64_t next; /* no number of a later piece is below */
	struct path_count count;
	struct path_result *ret;
};

/* ---- what differs -------------------------------------------------------- */

static const char *name_of(const struct comparison *cmp, uint64_t cr3)
{
	const struct path_space *space = path_text_space(cmp->text, cr3);

	return space ? space->name : "nobody";
}

static void put_place(const struct comparison *cmp, const char *side, uint64_t cr3,
		      uint64_t address)
{
	printf("  %s %#" PRIx64 " in %#" PRIx64 " (%s)", side, address, cr3,
	       name_of(cmp, cr3));
}

static void put_around(const struct comparison *cmp, const struct path_piece *piece,
		       size_t at)
{
	size_t end = piece->first + piece->count;
	size_t i = at - piece->first > CONTEXT ? at - CONTEXT : piece->first;

	for (; i < end && i <= at + CONTEXT; i++) {
		const struct path_seen *seen = &cmp->decoded->seen.data[i];
		const struct path_entry *entry = path_text_find(cmp->text, i + cmp->base);

		printf("%c %10" PRIu64, i == at ? '>' : ' ', i + cmp->base);
		put_place(cmp, "decoded", seen->cr3, seen->address);
		if (entry)
			put_place(cmp, "logged", (uint64_t)entry->space << 12,
				  entry->address);
		putchar('\n');
	}
}

static bool is_doubted(const struct comparison *cmp, uint64_t offset)
{
	for (size_t i = 0; i < cmp->decoded->doubts.count; i++) {
		const struct path_doubt *doubt = &cmp->decoded->doubts.data[i];

		if (doubt->since <= offset && offset <= doubt->to)
			return true;
	}
	return false;
}

static void differs(struct comparison *cmp, const struct path_piece *piece, size_t at,
		    const char *what)
{
	const struct path_seen *seen = &cmp->decoded->seen.data[at];

	if (!is_doubted(cmp, seen->offset))
		cmp->ret->undoubted++;
	if (cmp->ret->differences++ >= SHOWN)
		return;
	printf("%s, about trace offset %#" PRIx64 ":\n", what, seen->offset);
	put_around(cmp, piece, at);
}

/* ---- entries ------------------------------------------------------------- */

void path_count_add(struct path_count *count, const struct path_seen *seen,
		    uint64_t number)
{
	const struct path_space *space = path_text_space(count->text, seen->cr3);
	struct path_result *ret = count->ret;

	ret->compared++;
	ret->kernel += xenpt_address_is_kernel(seen->address);
	if (!ret->first)
		ret->first = number;
	else if (count->last_cr3 != seen->cr3)
		ret->changes++;
	ret->last = number;
	count->last_cr3 = seen->cr3;
	/* Before the first process there is a space that has none. */
	if (space && !count->spaces[space - count->text->header.spaces]) {
		count->spaces[space - count->text->header.spaces] = true;
		ret->spaces++;
	}
}

/* False: what follows in the piece has no number that could be known. */
static bool compare_entry(struct comparison *cmp, const struct path_piece *piece,
			  size_t at)
{
	const struct path_seen *seen = &cmp->decoded->seen.data[at];
	uint64_t number = at + cmp->base, end = cmp->text->header.count;
	const struct path_entry *entry = path_text_find(cmp->text, number);

	if (number >= end) {
		cmp->ret->newer += at - piece->first < piece->certain;
	} else if (number + PATH_SLOTS < end) {
		cmp->ret->older++;
	} else if (!entry || !seen->address) {
		cmp->ret->unknown++;
	} else if (entry->address != seen->address) {
		differs(cmp, piece, at, "another address");
		return false;
	} else if ((uint64_t)entry->space << 12 != seen->cr3) {
		differs(cmp, piece, at, "another address space");
	} else {
		path_count_add(&cmp->count, seen, number);
	}
	return true;
}

/* ---- pieces -------------------------------------------------------------- */

static bool read_beacon(const struct comparison *cmp, const struct path_piece *piece,
			size_t at, uint64_t *ret)
{
	const struct path_log *log = &cmp->text->header;
	const struct path_seen *seen = &cmp->decoded->seen.data[at];
	uint64_t number = 0;

	if (seen->address != log->beacon ||
	    piece->first + piece->count - at <= PATH_DIGITS)
		return false;
	for (size_t i = 1; i <= PATH_DIGITS; i++) {
		uint64_t digit = seen[i].address - log->digits;

		if (digit >> PATH_DIGIT_SHIFT > 15)
			return false;
		number = number << 4 | digit >> PATH_DIGIT_SHIFT;
	}
	*ret = number;
	return true;
}

static bool find_base(struct comparison *cmp, const struct path_piece *piece)
{
	uint64_t number;

	for (size_t i = piece->first; i < piece->first + piece->count; i++) {
		if (!read_beacon(cmp, piece, i, &number))
			continue;
		cmp->base = number - i;
		return true;
	}
	return false;
}

static void compare_piece(struct comparison *cmp, const struct path_piece *piece)
{
	size_t end = piece->first + (piece->open ? piece->certain : piece->count);

	if (!find_base(cmp, piece)) {
		cmp->ret->lost += piece->count;
		return;
	}
	if (piece->first + cmp->base < cmp->next || !(piece->first + cmp->base)) {
		differs(cmp, piece, piece->first, "numbers that cannot be");
		return;
	}
	for (size_t i = piece->first; i < end; i++)
		if (!compare_entry(cmp, piece, i))
			break;
	cmp->next = end + cmp->base;
}

static void count_undoubted_errors(struct comparison *cmp)
{
	for (size_t i = 0; i < cmp->decoded->errors.count; i++) {
		const struct path_error *error = &cmp->decoded->errors.data[i];

		if (!error->code || !is_doubted(cmp, error->offset))
			cmp->ret->undoubted++;
	}
}

void path_compare(const struct path_text *text, const struct path_decoded *decoded,
		  struct path_result *ret)
{
	struct comparison cmp = { .text = text,
				  .decoded = decoded,
				  .count = { .text = text, .ret = ret },
				  .ret = ret };

	*ret = (struct path_result){};
	for (size_t i = 0; i < decoded->pieces.count; i++)
		compare_piece(&cmp, &decoded->pieces.data[i]);
	count_undoubted_errors(&cmp);
}
