/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "cmd/quote.h"
#include "libxenpt/cleanup.h"

void quote_text(FILE *out, const char *text)
{
	size_t size = strlen(text), room = 4 * size + 1;
	_cleanup_free_ char *buf = malloc(room);

	if (!buf) {
		fputs("(out of memory)", out);
		return;
	}
	xenpt_escape(text, size, buf, room);
	fputs(buf, out);
}

/* xenpt_escape() leaves UTF-8; then what JSON is particular about. */
void quote_json(FILE *out, const char *text)
{
	size_t size = strlen(text), room = 4 * size + 1;
	_cleanup_free_ char *buf = malloc(room);
	const char *p;

	fputc('"', out);
	if (buf) {
		xenpt_escape(text, size, buf, room);
		for (p = buf; *p; p++) {
			if (*p == '"' || *p == '\\')
				fputc('\\', out);
			fputc(*p, out);
		}
	}
	fputc('"', out);
}

void quote_member(FILE *out, const char *name, const char *text)
{
	fprintf(out, ",\"%s\":", name);
	quote_json(out, text);
}
