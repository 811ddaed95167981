/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hv/xl-config.h"
#include "libxenpt/cleanup.h"

#define FILE_MAX (1 << 20) /* one with hundreds of devices has some 100 kB */

/* ---- The file ------------------------------------------------------------ */

static struct xenpt_error *read_file(const char *path, char **ret)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *text = NULL;
	size_t size;

	if (!file)
		return xenpt_error_os(errno, "%s", path);
	text = malloc(FILE_MAX + 1);
	if (!text)
		return xenpt_error_no_memory();
	size = fread(text, 1, FILE_MAX, file);
	if (ferror(file))
		return xenpt_error_os(errno, "%s", path);
	text[size] = '\0';
	*ret = no_cleanup_ptr(text);
	return NULL;
}

/* libxl__userdata_path() in Xen's libxl_dom.c says what it is called. */
struct xenpt_error *xl_config_read(const char *root, uint32_t domid,
				   const uint8_t uuid[16], char **ret)
{
	_cleanup_free_ char *path = NULL;
	char text[37], *p = text;
	struct xenpt_error *err;

	for (size_t i = 0; i < 16; i++)
		p += sprintf(p, "%s%02x",
			     i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
	if (asprintf(&path, "%s/var/lib/xen/userdata-d.%u.%s.libxl-json", root, domid,
		     text) < 0) {
		path = NULL;
		return xenpt_error_no_memory();
	}
	err = read_file(path, ret);
	if (err && err->errnum == ENOENT) {
		xenpt_error_destroy(err);
		*ret = NULL;
		return NULL;
	}
	return err;
}

/* ---- JSON ---------------------------------------------------------------- */

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* From after its first quote to its last; NULL: it has none. */
static const char *string_end(const char *p)
{
	for (; *p && *p != '"'; p++) {
		if (*p == '\\' && p[1])
			p++;
	}
	return *p ? p : NULL;
}

static bool take(const char *begin, size_t length, char *ret, size_t size)
{
	if (!length || length >= size)
		return false;
	memcpy(ret, begin, length);
	ret[length] = '\0';
	return true;
}

static bool get_value(const char *p, char *ret, size_t size)
{
	const char *end;

	if (*p != '"')
		return take(p, strcspn(p, " \t\r\n,:{}[]\""), ret, size);
	end = string_end(p + 1);
	return end && take(p + 1, (size_t)(end - p - 1), ret, size);
}

/* A string is a key if a colon follows it; outside of strings nothing has quotes. */
bool xl_config_get(const char *json, const char *key, char *ret, size_t size)
{
	const char *p = json, *end, *after;
	size_t length = strlen(key);

	while ((p = strchr(p, '"'))) {
		p++;
		end = string_end(p);
		if (!end)
			return false;
		after = skip_blanks(end + 1);
		if (*after == ':' && (size_t)(end - p) == length &&
		    memcmp(p, key, length) == 0)
			return get_value(skip_blanks(after + 1), ret, size);
		p = end + 1;
	}
	return false;
}
