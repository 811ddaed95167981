/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "libxenpt/cleanup.h"
#include "tests/rig/path.h"

#define FIRST_LINE "path log 1\n"

/* ---- from the guest ------------------------------------------------------ */

/* Up to a page. */
static struct xenpt_error *read_guest(struct xenpt_mem *mem, uint64_t gpa, void *buf,
				      size_t size)
{
	if (xenpt_mem_read(mem, gpa, buf, size))
		return NULL;
	return xenpt_error_create(XENPT_ERROR_NOT_FOUND, "no memory at %#" PRIx64, gpa);
}

static void put_header(const struct path_log *log, FILE *out)
{
	fprintf(out, FIRST_LINE "count %" PRIu32 "\n", log->count);
	fprintf(out, "kernel %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 "\n", log->log,
		log->point, log->beacon, log->digits);
	for (uint32_t i = 0; i < log->space_count; i++) {
		const struct path_space *space = &log->spaces[i];

		fprintf(out, "space %" PRIx64 " %" PRIx64 " %" PRIx64 " %.15s\n",
			space->cr3, space->log, space->point, space->name);
	}
}

/* The slot's entry, unless it is an older one, or not written yet. */
static void put_entry(const struct path_log *log, uint32_t slot,
		      const struct path_entry *entry, FILE *out)
{
	uint32_t number = entry->number;

	if (number == 0 || number % PATH_SLOTS != slot || number >= log->count ||
	    log->count - number > PATH_SLOTS)
		return;
	fprintf(out, "entry %" PRIu32 " %" PRIx64 " %" PRIx64 "\n", number,
		(uint64_t)entry->space << 12, entry->address);
}

struct xenpt_error *path_log_copy(struct xenpt_mem *mem, FILE *out)
{
	const uint32_t per_page = XENPT_PAGE_SIZE / sizeof(struct path_entry);
	struct path_entry page[XENPT_PAGE_SIZE / sizeof(struct path_entry)];
	struct path_log log;

	XENPT_TRY(read_guest(mem, PATH_BASE, &log, sizeof(log)));
	if (log.magic != PATH_MAGIC || log.slots != PATH_SLOTS ||
	    log.space_count > PATH_SPACES)
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "no path log: is it scenario=paths?");
	put_header(&log, out);
	for (uint32_t slot = 0; slot < PATH_SLOTS; slot += per_page) {
		XENPT_TRY(read_guest(mem, PATH_BASE + PATH_ENTRIES + slot * sizeof(*page),
				     page, sizeof(page)));
		for (uint32_t i = 0; i < per_page; i++)
			put_entry(&log, slot + i, &page[i], out);
	}
	return fflush(out) ? xenpt_error_os(errno, "standard output") : NULL;
}

/* ---- from the file ------------------------------------------------------- */

static bool take_space(struct path_log *log, const char *line)
{
	struct path_space *space = &log->spaces[log->space_count];

	if (log->space_count == PATH_SPACES ||
	    sscanf(line, "space %" SCNx64 " %" SCNx64 " %" SCNx64 " %15s", &space->cr3,
		   &space->log, &space->point, space->name) != 4)
		return false;
	log->space_count++;
	return true;
}

static bool take_entry(struct path_text *text, const char *line)
{
	uint64_t cr3, address;
	uint32_t number;

	if (sscanf(line, "entry %" SCNu32 " %" SCNx64 " %" SCNx64, &number, &cr3,
		   &address) != 3 ||
	    !number)
		return false;
	text->entries[number % PATH_SLOTS] = (struct path_entry){
		.address = address,
		.space = cr3 >> 12,
		.number = number,
	};
	return true;
}

static bool take_line(struct path_text *text, const char *line)
{
	struct path_log *log = &text->header;

	switch (*line) {
	case 'c':
		return sscanf(line, "count %" SCNu32, &log->count) == 1;
	case 'k':
		return sscanf(line, "kernel %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64,
			      &log->log, &log->point, &log->beacon, &log->digits) == 4;
	case 's':
		return take_space(log, line);
	default:
		return take_entry(text, line);
	}
}

struct xenpt_error *path_log_read(const char *path, struct path_text *ret)
{
	_cleanup_fclose_ FILE *in = fopen(path, "r");
	char line[256];

	if (!in)
		return xenpt_error_os(errno, "%s", path);
	ret->entries = calloc(PATH_SLOTS, sizeof(*ret->entries));
	if (!ret->entries)
		return xenpt_error_no_memory();
	if (!fgets(line, sizeof(line), in) || strcmp(line, FIRST_LINE))
		return xenpt_error_create(XENPT_ERROR_FORMAT, "%s: not a path log", path);
	while (fgets(line, sizeof(line), in)) {
		if (!take_line(ret, line))
			return xenpt_error_create(XENPT_ERROR_FORMAT, "%s: %s", path,
						  line);
	}
	if (ferror(in))
		return xenpt_error_os(errno, "%s", path);
	if (!ret->header.point || !ret->header.space_count)
		return xenpt_error_create(XENPT_ERROR_FORMAT, "%s: cut off", path);
	return NULL;
}

void path_text_deinit(struct path_text *text)
{
	free(text->entries);
	text->entries = NULL;
}

const struct path_entry *path_text_find(const struct path_text *text, uint64_t number)
{
	const struct path_entry *entry = &text->entries[number % PATH_SLOTS];

	return number && entry->number == number ? entry : NULL;
}

const struct path_space *path_text_space(const struct path_text *text, uint64_t cr3)
{
	for (uint32_t i = 0; i < text->header.space_count; i++)
		if (text->header.spaces[i].cr3 == cr3)
			return &text->header.spaces[i];
	return NULL;
}
