/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where sinks write rows: a buffer, filled by hand-written appends and emptied
 * in big pieces. A row is drawn between xenpt_out_begin() and xenpt_out_end(),
 * which leaves it out, keeps it, or writes it. It may have any number of lines.
 */
#ifndef XENPT_EXPORT_OUT_H
#define XENPT_EXPORT_OUT_H

#include <string.h>

#include "../array.h"
#include "../xenpt.h"

#define XENPT_OUT_SIZE (256 * 1024)
#define XENPT_OUT_ROW_MAX (64 * 1024) /* what does not fit is cut */

/* Of the last rows, of which there are at most XENPT_LAST_MAX. */
#define XENPT_OUT_LAST_TEXT (256UL * 1024 * 1024)

struct xenpt_out {
	FILE *file;
	char *data; /* XENPT_OUT_SIZE */
	size_t size, row;
	size_t limit; /* of the row being drawn */
	uint64_t skip, last;
	/* The kept rows' text, from text_begin on, and the end of each of them. */
	ARRAY(char) text;
	size_t text_begin;
	uint32_t *sizes; /* a ring */
	size_t first, kept;
	uint64_t dropped; /* kept rows given up for memory */
	int errnum;
};

struct xenpt_error *xenpt_out_init(struct xenpt_out *out, FILE *file, uint64_t skip,
				   uint64_t last);
void xenpt_out_deinit(struct xenpt_out *out);

void xenpt_out_flush(struct xenpt_out *out);
void xenpt_out_end(struct xenpt_out *out);

/* A line that is no row: it is never left out, nor counted. */
void xenpt_out_end_header(struct xenpt_out *out);

/* What went wrong so far. */
struct xenpt_error *xenpt_out_error(const struct xenpt_out *out);

/* Write all that was kept or is in the buffer. */
struct xenpt_error *xenpt_out_finish(struct xenpt_out *out);

static inline void xenpt_out_begin(struct xenpt_out *out)
{
	if (out->size > XENPT_OUT_SIZE - XENPT_OUT_ROW_MAX)
		xenpt_out_flush(out);
	out->row = out->size;
	out->limit = out->size + XENPT_OUT_ROW_MAX - 1; /* room for the line's end */
}

static inline void out_text(struct xenpt_out *out, const char *text, size_t size)
{
	if (size > out->limit - out->size)
		size = out->limit - out->size;
	memcpy(out->data + out->size, text, size);
	out->size += size;
}

static inline void out_str(struct xenpt_out *out, const char *text)
{
	out_text(out, text, strlen(text));
}

static inline void out_char(struct xenpt_out *out, char c)
{
	out_text(out, &c, 1);
}

static inline void out_fill(struct xenpt_out *out, size_t size)
{
	if (size > out->limit - out->size)
		size = out->limit - out->size;
	memset(out->data + out->size, ' ', size);
	out->size += size;
}

/* Fill up with blanks a column of @width that began at @begin (out->size). */
static inline void out_pad(struct xenpt_out *out, size_t begin, size_t width)
{
	size_t used = out->size - begin;

	if (used < width)
		out_fill(out, width - used);
}

void out_hex(struct xenpt_out *out, uint64_t value);
void out_dec(struct xenpt_out *out, uint64_t value);
/* Right-aligned. */
void out_hex_column(struct xenpt_out *out, uint64_t value, size_t width);
void out_dec_column(struct xenpt_out *out, uint64_t value, size_t width);
/* 1,234,567 */
void out_grouped(struct xenpt_out *out, uint64_t value);
/* @value / 1000 with three decimals, right-aligned. */
void out_thousandths(struct xenpt_out *out, int64_t value, size_t width);
void out_bytes(struct xenpt_out *out, const uint8_t *bytes, size_t size);

#endif
