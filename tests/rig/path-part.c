/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Of one privilege level no numbers are seen, for what is between two of its entries is
 * not. So a piece is where it is most like that part of the log.
 */
#include <inttypes.h>
#include <stdio.h>

#include "tests/rig/path.h"

#define SHOWN 3

struct part {
	ARRAY(struct path_entry) entries;
	size_t next; /* no piece begins before */
	struct path_count count;
	const struct path_decoded *decoded;
	struct path_result *ret;
};

static struct xenpt_error *part_init(struct part *part, const struct path_text *text,
				     const struct path_space *only)
{
	const uint64_t end = text->header.count;

	for (uint64_t i = end > PATH_SLOTS ? end - PATH_SLOTS : 1; i < end; i++) {
		const struct path_entry *entry = path_text_find(text, i);
		struct path_entry *kept;

		if (!entry || xenpt_address_is_kernel(entry->address) != !only ||
		    (only && (uint64_t)entry->space << 12 != only->cr3))
			continue;
		kept = array_add(&part->entries);
		if (!kept)
			return xenpt_error_no_memory();
		*kept = *entry;
	}
	return NULL;
}

/* The call may have been before the piece, or the first PIP is not there yet. */
static bool is_known(const struct path_seen *seen)
{
	return seen->address && seen->cr3 != XENPT_CR3_ANY;
}

static bool is_same(const struct path_seen *seen, const struct path_entry *entry)
{
	return seen->address == entry->address && seen->cr3 == (uint64_t)entry->space
								       << 12;
}

/* What is being written is not in the log: there may be one for each process. */
static size_t differences_at(const struct part *part, const struct path_piece *piece,
			     size_t at)
{
	const struct path_seen *seen = &part->decoded->seen.data[piece->first];
	size_t n = 0;

	for (size_t i = 0; i < piece->certain && at + i < part->entries.count; i++)
		n += is_known(&seen[i]) &&
		     !is_same(&seen[i], &part->entries.data[at + i]);
	return n;
}

/* Where the fewest differ. False: that is at more than one place. */
static bool find_place(const struct part *part, const struct path_piece *piece,
		       size_t *ret)
{
	const size_t end = part->entries.count + part->count.text->header.space_count;
	size_t least = SIZE_MAX, found = 0;

	for (size_t at = part->next; at + piece->certain <= end; at++) {
		const size_t n = differences_at(part, piece, at);

		if (n < least) {
			least = n;
			found = 0;
			*ret = at;
		}
		found += n == least;
	}
	return found == 1;
}

static void compare_piece(struct part *part, const struct path_piece *piece)
{
	const struct path_seen *seen = &part->decoded->seen.data[piece->first];
	size_t at;

	if (!find_place(part, piece, &at)) {
		part->ret->lost += piece->count;
		return;
	}
	for (size_t i = 0; i < piece->certain; i++) {
		const struct path_entry *entry;

		if (!is_known(&seen[i]) || at + i >= part->entries.count) {
			part->ret->unknown++;
			continue;
		}
		entry = &part->entries.data[at + i];
		if (is_same(&seen[i], entry))
			path_count_add(&part->count, &seen[i], entry->number);
		else if (part->ret->differences++ < SHOWN)
			printf("%" PRIu32 ": decoded %#" PRIx64 " of %#" PRIx64
			       ", logged %#" PRIx64 " of %#" PRIx64 "\n",
			       entry->number, seen[i].address, seen[i].cr3,
			       entry->address, (uint64_t)entry->space << 12);
	}
	part->next = at + piece->certain;
}

struct xenpt_error *path_compare_part(const struct path_text *text,
				      const struct path_space *only,
				      const struct path_decoded *decoded,
				      struct path_result *ret)
{
	struct part part = { .count = { .text = text, .ret = ret },
			     .decoded = decoded,
			     .ret = ret };
	struct xenpt_error *err = part_init(&part, text, only);

	*ret = (struct path_result){};
	if (!err)
		for (size_t i = 0; i < decoded->pieces.count; i++)
			compare_piece(&part, &decoded->pieces.data[i]);
	array_deinit(&part.entries);
	return err;
}
