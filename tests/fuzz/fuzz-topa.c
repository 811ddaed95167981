/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables, MSRs and absent pages as the guest likes: the output engine ends, writes
 * only where memory is, says how much, and what it says does not hang on the pieces
 * in which it gets the bytes.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hv/pt/topa.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	PAGE = 4096,
	PAGES = 64,
	STREAM = 3 * PAGE,
	CALLS = 4 * STREAM /* of the callbacks: many more than the bytes need */
};

struct memory {
	uint8_t bytes[PAGES][PAGE];
	uint64_t absent;          /* a bit for each page */
	uint64_t tables, regions; /* pages read, and written */
	uint64_t stored;          /* bytes */
	unsigned int calls;
};

static uint8_t *at(struct memory *memory, uint64_t gpa, size_t size)
{
	if (!size || gpa % PAGE + size > PAGE || memory->calls++ > CALLS)
		abort();
	if (gpa / PAGE >= PAGES || memory->absent >> gpa / PAGE & 1)
		return NULL;
	return &memory->bytes[gpa / PAGE][gpa % PAGE];
}

static bool mem_read(void *arg, uint64_t gpa, void *buf, size_t size)
{
	struct memory *memory = arg;
	const uint8_t *from = at(memory, gpa, size);

	if (from) {
		memcpy(buf, from, size);
		memory->tables |= 1ull << gpa / PAGE;
	}
	return from;
}

static bool mem_write(void *arg, uint64_t gpa, const void *buf, size_t size)
{
	struct memory *memory = arg;
	uint8_t *to = at(memory, gpa, size);

	if (to) {
		memcpy(to, buf, size);
		memory->regions |= 1ull << gpa / PAGE;
		memory->stored += size;
	}
	return to;
}

static const struct xpt_mem_ops ops = { mem_read, mem_write };

struct input {
	const uint8_t *data;
	size_t size;
};

static uint64_t take(struct input *input, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size && input->size; i++, input->size--)
		value |= (uint64_t)*input->data++ << 8 * i;
	return value;
}

/* Entries that are nearly right, in the first entries of the first pages. */
static void make_tables(struct input *input, struct memory *memory)
{
	unsigned int entries = take(input, 1) % 32;

	while (entries--) {
		unsigned int where = take(input, 1);
		uint64_t entry = take(input, 2);
		unsigned int bit = take(input, 1);

		/* Bits 11:0 are flags, then the page's number. */
		if (bit < 64)
			entry ^= 1ull << bit;
		for (unsigned int i = 0; i < 8; i++)
			memory->bytes[where / 8 % PAGES][where % 8 * 8 + i] =
				entry >> 8 * i;
	}
	memory->absent = take(input, 8);
}

static void make_msrs(struct input *input, struct memory *memory, struct xpt_topa *topa)
{
	unsigned int flags = take(input, 1);
	uint64_t base, ptrs;

	base = flags & 1 ? take(input, 8) : take(input, 1) * PAGE;
	ptrs = flags & 2 ? take(input, 8) : take(input, 1) << 7 | take(input, 2) << 32;
	xpt_topa_init(topa, &ops, memory, base, ptrs, flags & 4 ? take(input, 8) : 0,
		      flags & 8, flags & 16 ? take(input, 1) : 36, flags & 32);
}

/* As much as goes, pages coming when they are missed. */
static size_t put(struct memory *memory, struct xpt_topa *topa, const uint8_t *stream,
		  size_t size, enum xpt_topa_result *ret)
{
	size_t done = 0, part;

	for (;;) {
		uint64_t written = topa->written, stored = memory->stored;

		*ret = xpt_topa_write(topa, stream + done, size - done, &part);
		if (part > size - done || topa->written - written != part ||
		    memory->stored - stored != part)
			abort();
		done += part;
		if (*ret != XPT_TOPA_FAULT)
			break;
		if (topa->fault / PAGE < PAGES &&
		    !(memory->absent >> topa->fault / PAGE & 1))
			abort(); /* it is there */
		if (topa->fault / PAGE >= PAGES)
			break;
		memory->absent &= ~(1ull << topa->fault / PAGE);
	}
	if (*ret == XPT_TOPA_OK && done != size)
		abort();
	if ((*ret == XPT_TOPA_ERROR) != !!(topa->status & XPT_STATUS_ERROR) && size)
		abort();
	return done;
}

static void same(const struct xpt_topa *a, const struct xpt_topa *b)
{
	if (a->output_base != b->output_base ||
	    a->output_mask_ptrs != b->output_mask_ptrs || a->status != b->status ||
	    a->written != b->written || a->wraps != b->wraps ||
	    a->interrupt != b->interrupt)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct memory whole, pieces;
	static uint8_t stream[STREAM];
	struct input input = { data, size };
	enum xpt_topa_result result = XPT_TOPA_OK, last = XPT_TOPA_OK;
	struct xpt_topa one, many;
	size_t total, done, sum = 0, piece;

	memset(&whole, 0, sizeof(whole));
	make_tables(&input, &whole);
	make_msrs(&input, &whole, &one);
	total = take(&input, 2) % STREAM;
	piece = 1 + take(&input, 1);
	/* Trace that looks like entries, too: regions may lie over tables. */
	for (size_t i = 0; i < STREAM; i++)
		stream[i] = i < input.size ? input.data[i] : i / 8;

	pieces = whole;
	many = one;
	many.arg = &pieces;
	done = put(&whole, &one, stream, total, &result);
	while (sum < total) {
		size_t part = piece < total - sum ? piece : total - sum;
		size_t n = put(&pieces, &many, stream + sum, part, &last);

		sum += n;
		if (n < part || last != XPT_TOPA_OK)
			break;
	}
	/* A trace that rewrites its table: it matters when the table is read. */
	if (whole.tables & whole.regions || pieces.tables & pieces.regions)
		return 0;
	if (sum != done || last != result)
		abort();
	same(&one, &many);
	if (memcmp(whole.bytes, pieces.bytes, sizeof(whole.bytes)))
		abort();
	return 0;
}
