/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Code as plain bytes: parts of a file, named one by one or in a page map. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "import.h"

static struct xenpt_error *announce(struct xenpt_writer *writer,
				    const struct xenpt_import *import, uint32_t image,
				    const char *path)
{
	struct xenpt_image_info info = {
		.id = image, .name = path, .build_id = "", .cr3 = import->cr3
	};

	return xenpt_writer_image(writer, &info);
}

/* Some bytes of the data file, and where they were in memory. */
struct range {
	uint64_t begin, end, address;
};

static struct xenpt_error *range_check(const struct range *range,
				       const struct import_file *file)
{
	if (range->begin >= range->end)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "0x%" PRIx64 " to 0x%" PRIx64
					  " is not a range of bytes",
					  range->begin, range->end);
	if (range->end > file->size)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "0x%" PRIx64 " to 0x%" PRIx64
					  " is past the end of the data at 0x%" PRIx64,
					  range->begin, range->end, file->size);
	return NULL;
}

static struct xenpt_error *raw(struct xenpt_writer *writer,
			       const struct xenpt_import *import, uint32_t image,
			       const char *path, const struct range *range)
{
	_cleanup_import_file_ struct import_file file = IMPORT_FILE_CLOSED;

	XENPT_TRY(import_file_open(path, &file));
	XENPT_TRY(range_check(range, &file));
	XENPT_TRY(announce(writer, import, image, path));
	return import_code(writer, import, image, &file, range->begin, range->end,
			   range->address);
}

struct xenpt_error *xenpt_import_raw(struct xenpt_writer *writer,
				     const struct xenpt_import *import, uint32_t image,
				     const char *path, uint64_t begin, uint64_t end,
				     uint64_t address)
{
	struct range range = { begin, end, address };

	return xenpt_error_prepend(raw(writer, import, image, path, &range), "%s", path);
}

/* One number of a line, in hex, with or without 0x. */
static bool hex(const char **text, uint64_t *ret)
{
	char *end;

	*text += strspn(*text, " \t");
	if (!strchr("0123456789abcdefABCDEF", **text) || !**text)
		return false;
	errno = 0;
	*ret = strtoull(*text, &end, 16);
	*text = end;
	return errno == 0;
}

/* False: blank, or a comment. */
static struct xenpt_error *line_parse(const char *line, struct range *ret, bool *found)
{
	*found = false;
	line += strspn(line, " \t\r\n");
	if (*line == '\0' || *line == '#')
		return NULL;
	if (!hex(&line, &ret->begin) || !hex(&line, &ret->end) ||
	    !hex(&line, &ret->address) || line[strspn(line, " \t\r\n")] != '\0')
		return xenpt_error_create(
			XENPT_ERROR_FORMAT,
			"\"BEGIN END ADDRESS\", three hex numbers, was expected");
	*found = true;
	return NULL;
}

/* Pages that follow each other in the file and in memory are one piece. */
static bool range_extend(struct range *range, const struct range *next)
{
	if (range->end != next->begin ||
	    range->address + (range->end - range->begin) != next->address)
		return false;
	range->end = next->end;
	return true;
}

static struct xenpt_error *map_lines(struct xenpt_writer *writer,
				     const struct xenpt_import *import, uint32_t image,
				     FILE *map, const char *map_path,
				     struct import_file *data)
{
	struct range pending = {}, range;
	struct xenpt_error *err;
	char line[512];
	bool found = false;

	for (uint64_t number = 1; fgets(line, sizeof(line), map); number++) {
		if (!strchr(line, '\n') && strlen(line) == sizeof(line) - 1)
			err = xenpt_error_create(XENPT_ERROR_FORMAT, "is too long");
		else
			err = line_parse(line, &range, &found);
		if (!err && found)
			err = range_check(&range, data);
		if (err)
			return xenpt_error_prepend(err, "%s: line %" PRIu64, map_path,
						   number);
		if (!found || range_extend(&pending, &range))
			continue;
		XENPT_TRY(import_code(writer, import, image, data, pending.begin,
				      pending.end, pending.address));
		pending = range;
	}
	if (ferror(map))
		return xenpt_error_os(errno, "%s: cannot read it", map_path);
	return import_code(writer, import, image, data, pending.begin, pending.end,
			   pending.address);
}

struct xenpt_error *xenpt_import_map(struct xenpt_writer *writer,
				     const struct xenpt_import *import, uint32_t image,
				     const char *map_path, const char *data_path)
{
	_cleanup_import_file_ struct import_file data = IMPORT_FILE_CLOSED;
	_cleanup_fclose_ FILE *map = fopen(map_path, "re");

	if (!map)
		return xenpt_error_os(errno, "%s: cannot open it", map_path);
	XENPT_TRY(
		xenpt_error_prepend(import_file_open(data_path, &data), "%s", data_path));
	XENPT_TRY(announce(writer, import, image, data_path));
	return map_lines(writer, import, image, map, map_path, &data);
}
