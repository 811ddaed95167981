/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "out.h"

/* ---- rows --------------------------------------------------------------- */

struct xenpt_error *xenpt_out_init(struct xenpt_out *out, FILE *file, uint64_t skip,
				   uint64_t last)
{
	if (last > XENPT_LAST_MAX)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "at most %d last rows can be kept",
					  XENPT_LAST_MAX);
	out->file = file;
	out->skip = skip;
	out->last = last;
	out->data = malloc(XENPT_OUT_SIZE);
	if (last)
		out->sizes = calloc(last, sizeof(*out->sizes));
	if (!out->data || (last && !out->sizes))
		return xenpt_error_no_memory();
	return NULL;
}

void xenpt_out_deinit(struct xenpt_out *out)
{
	free(out->data);
	free(out->sizes);
	array_deinit(&out->text);
}

static void put(struct xenpt_out *out, const char *data, size_t size)
{
	if (out->errnum || !size)
		return;
	errno = 0;
	if (fwrite(data, 1, size, out->file) != size)
		out->errnum = errno ? errno : EIO;
}

void xenpt_out_flush(struct xenpt_out *out)
{
	put(out, out->data, out->size);
	out->size = out->row = 0;
}

static void forget_first(struct xenpt_out *out)
{
	out->text_begin += out->sizes[out->first];
	out->first = (out->first + 1) % out->last;
	out->kept--;
}

/* Keep the row instead of the oldest one. */
static void keep(struct xenpt_out *out, const char *row, size_t size)
{
	if (out->kept == out->last)
		forget_first(out);
	while (out->kept &&
	       out->text.count - out->text_begin + size > XENPT_OUT_LAST_TEXT) {
		forget_first(out);
		out->dropped++;
	}
	/* Half of it is rows forgotten: each byte is moved once for each written. */
	if (out->text_begin > out->text.count / 2) {
		out->text.count -= out->text_begin;
		memmove(out->text.data, out->text.data + out->text_begin,
			out->text.count);
		out->text_begin = 0;
	}
	if (!array_reserve(&out->text, out->text.count + size)) {
		out->errnum = ENOMEM;
		return;
	}
	memcpy(out->text.data + out->text.count, row, size);
	out->text.count += size;
	out->sizes[(out->first + out->kept++) % out->last] = size;
}

void xenpt_out_end(struct xenpt_out *out)
{
	out->data[out->size++] = '\n';
	if (out->skip) {
		out->skip--;
		out->size = out->row;
	} else if (out->last) {
		keep(out, out->data + out->row, out->size - out->row);
		out->size = out->row;
	}
}

void xenpt_out_end_header(struct xenpt_out *out)
{
	out->data[out->size++] = '\n';
}

struct xenpt_error *xenpt_out_error(const struct xenpt_out *out)
{
	if (!out->errnum)
		return NULL;
	if (out->errnum == ENOMEM)
		return xenpt_error_no_memory();
	return xenpt_error_os(out->errnum, "cannot write the output");
}

struct xenpt_error *xenpt_out_finish(struct xenpt_out *out)
{
	xenpt_out_flush(out);
	if (out->kept)
		put(out, out->text.data + out->text_begin,
		    out->text.count - out->text_begin);
	out->kept = 0;
	if (!out->errnum && fflush(out->file) != 0)
		out->errnum = errno;
	return xenpt_out_error(out);
}

/* ---- numbers ------------------------------------------------------------ */

#define NUMBER_MAX 32

static char *hex_digits(char *end, uint64_t value)
{
	do {
		*--end = "0123456789abcdef"[value & 15];
		value >>= 4;
	} while (value);
	return end;
}

static char *dec_digits(char *end, uint64_t value)
{
	do {
		*--end = '0' + value % 10;
		value /= 10;
	} while (value);
	return end;
}

/* The digits from @begin up to the end of @buf. */
static void column(struct xenpt_out *out, const char *begin, const char *end,
		   size_t width)
{
	size_t size = end - begin;

	if (size < width)
		out_fill(out, width - size);
	out_text(out, begin, size);
}

void out_hex(struct xenpt_out *out, uint64_t value)
{
	out_hex_column(out, value, 0);
}

void out_dec(struct xenpt_out *out, uint64_t value)
{
	out_dec_column(out, value, 0);
}

void out_hex_column(struct xenpt_out *out, uint64_t value, size_t width)
{
	char buf[NUMBER_MAX], *end = buf + sizeof(buf);

	column(out, hex_digits(end, value), end, width);
}

void out_dec_column(struct xenpt_out *out, uint64_t value, size_t width)
{
	char buf[NUMBER_MAX], *end = buf + sizeof(buf);

	column(out, dec_digits(end, value), end, width);
}

void out_grouped(struct xenpt_out *out, uint64_t value)
{
	char buf[NUMBER_MAX], *end = buf + sizeof(buf), *p = end;
	unsigned int digits = 0;

	do {
		if (digits && digits % 3 == 0)
			*--p = ',';
		*--p = '0' + value % 10;
		value /= 10;
		digits++;
	} while (value);
	column(out, p, end, 0);
}

void out_thousandths(struct xenpt_out *out, int64_t value, size_t width)
{
	char buf[NUMBER_MAX], *end = buf + sizeof(buf), *p = end;
	uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;

	for (int i = 0; i < 3; i++) {
		*--p = '0' + size % 10;
		size /= 10;
	}
	*--p = '.';
	p = dec_digits(p, size);
	if (value < 0)
		*--p = '-';
	column(out, p, end, width);
}

void out_bytes(struct xenpt_out *out, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		char digits[2] = { "0123456789abcdef"[bytes[i] >> 4],
				   "0123456789abcdef"[bytes[i] & 15] };

		out_text(out, digits, 2);
	}
}
