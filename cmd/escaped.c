/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "cmd/escaped.h"
#include "libxenpt/cleanup.h"

/* NULL: out of memory. */
static char *escape(const char *text)
{
	size_t size = strlen(text), room = 4 * size + 1;
	char *buf = malloc(room);

	if (buf)
		xenpt_escape(text, size, buf, room);
	return buf;
}

void escaped_text(FILE *out, const char *text)
{
	_cleanup_free_ char *buf = escape(text);

	fputs(buf ? buf : "(out of memory)", out);
}

/* As on a terminal, which leaves UTF-8; then what JSON is particular about. */
void escaped_json(FILE *out, const char *text)
{
	_cleanup_free_ char *buf = escape(text);
	const char *p;

	fputc('"', out);
	for (p = buf; p && *p; p++) {
		if (*p == '"' || *p == '\\')
			fputc('\\', out);
		fputc(*p, out);
	}
	fputc('"', out);
}

void escaped_member(FILE *out, const char *name, const char *text)
{
	fprintf(out, ",\"%s\":", name);
	escaped_json(out, text);
}
