/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "scan.h"

enum {
	MAGIC_SIZE = sizeof(SECTION_MAGIC) - 1,
	HEADER_SIZE = sizeof(struct section_header),
	PROBE_SIZE = 4096,        /* read where a header should be */
	WINDOW_SIZE = 256 * 1024, /* read when searching for one */
};

/* Bytes [start, start + len) of the file. */
struct window {
	uint64_t start;
	size_t len;
	uint8_t *data;
};

struct scan {
	int fd;
	uint64_t size;
	const char *path;
	const struct scan_visitor *visitor;

	/* The next chunk. */
	bool found;
	uint64_t at;
	struct section_header header;

	bool has_file;
	uint64_t file;     /* id that all chunks have */
	uint64_t sequence; /* the lowest that the next chunk may have */
	bool damaged;      /* the last visit was one of damage */

	/* Two, so that a look elsewhere does not cost a search what it has read. */
	struct window probed, searched;
	uint8_t probe_data[PROBE_SIZE], search_data[WINDOW_SIZE];
};

bool xenpt_pread(int fd, void *buf, size_t size, uint64_t offset)
{
	while (size) {
		ssize_t got = pread(fd, buf, size, offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			errno = got < 0 ? errno : 0;
			return false;
		}
		buf = (char *)buf + got;
		offset += got;
		size -= got;
	}
	return true;
}

struct xenpt_error *xenpt_pread_error(const char *path)
{
	if (errno)
		return xenpt_error_os(errno, "%s: cannot read", path);
	return xenpt_error_create(XENPT_ERROR_FORMAT,
				  "%s: became shorter while it was read", path);
}

/*
 * Get the bytes of a header at @at, which ends in the file, and what follows
 * them; if they are not there yet, read @ahead.
 */
static struct xenpt_error *window_load(struct scan *scan, struct window *window,
				       uint64_t at, size_t ahead, const uint8_t **ret)
{
	if (at < window->start || at + HEADER_SIZE > window->start + window->len) {
		if (ahead > scan->size - at)
			ahead = scan->size - at;
		window->start = at;
		window->len = 0;
		if (!xenpt_pread(scan->fd, window->data, ahead, at))
			return xenpt_pread_error(scan->path);
		window->len = ahead;
	}
	*ret = window->data + (at - window->start);
	return NULL;
}

/* If @bytes, at @at, are a header of this file, take it; else say why not. */
static const char *take_header(struct scan *scan, uint64_t at, const uint8_t *bytes)
{
	struct section_header header;
	const char *why = xenpt_section_open(bytes, &header);

	if (why)
		return why;
	if (scan->has_file && header.file != scan->file)
		return "chunk of another file";
	if (header.sequence < scan->sequence)
		return "chunk out of order";
	scan->header = header;
	scan->file = header.file;
	scan->has_file = true;
	scan->at = at;
	scan->found = true;
	return NULL;
}

/* Look where a header should be. @why_ret: what is wrong there, NULL: found. */
static struct xenpt_error *probe(struct scan *scan, uint64_t at, const char **why_ret)
{
	const uint8_t *bytes;

	scan->found = false;
	if (scan->size - at < HEADER_SIZE) {
		*why_ret = "the header of a chunk is cut";
		return NULL;
	}
	/* Not far ahead where nothing is as it should be. */
	XENPT_TRY(window_load(scan, &scan->probed, at,
			      scan->damaged ? HEADER_SIZE : PROBE_SIZE, &bytes));
	*why_ret = take_header(scan, at, bytes);
	return NULL;
}

/*
 * Look for the next header from @at on. It always moves on, and the search for
 * one chunk begins after the header of the one before: each byte is searched
 * once however many false and true headers a file has.
 */
static struct xenpt_error *search(struct scan *scan, uint64_t at)
{
	struct window *window = &scan->searched;

	scan->found = false;
	while (scan->size - at >= HEADER_SIZE) {
		const uint8_t *bytes, *magic;
		size_t len;

		XENPT_TRY(window_load(scan, window, at, WINDOW_SIZE, &bytes));
		len = window->start + window->len - at;
		magic = memmem(bytes, len, SECTION_MAGIC, MAGIC_SIZE);
		if (!magic) {
			at += len - (MAGIC_SIZE - 1);
			continue;
		}
		at += magic - bytes;
		if (scan->size - at < HEADER_SIZE)
			break;
		XENPT_TRY(window_load(scan, window, at, WINDOW_SIZE, &bytes));
		if (!take_header(scan, at, bytes))
			break;
		at += MAGIC_SIZE;
	}
	return NULL;
}

static struct xenpt_error *visit_damage(struct scan *scan, uint64_t begin, uint64_t end,
					const char *why)
{
	struct xenpt_damage damage = { begin, end - begin, why };

	scan->damaged = true;
	return scan->visitor->damage(scan->visitor->arg, &damage);
}

/* Say what the file is, as far as its first bytes show it. */
static struct xenpt_error *not_a_file(struct scan *scan, const char *why)
{
	size_t len = 0, count = scan->size < MAGIC_SIZE ? scan->size : MAGIC_SIZE;
	char text[4 * MAGIC_SIZE + 1];
	uint8_t bytes[MAGIC_SIZE];

	if (!xenpt_pread(scan->fd, bytes, count, 0))
		return xenpt_pread_error(scan->path);
	if (!memcmp(bytes, SECTION_MAGIC, count))
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "%s: no whole chunk is left: at offset 0: %s",
					  scan->path, why);
	for (size_t i = 0; i < count; i++) {
		uint8_t c = bytes[i];
		bool plain = c >= ' ' && c <= '~' && c != '"' && c != '\\';

		len += sprintf(text + len, plain ? "%c" : "\\x%02x", c);
	}
	return xenpt_error_create(XENPT_ERROR_FORMAT,
				  "%s: not a .xpt file: it begins with \"%s\"",
				  scan->path, text);
}

static struct xenpt_error *find_first(struct scan *scan)
{
	const char *why;

	XENPT_TRY(probe(scan, 0, &why));
	if (!why)
		return NULL;
	XENPT_TRY(search(scan, 0));
	if (!scan->found)
		return not_a_file(scan, why);
	return visit_damage(scan, 0, scan->at, why);
}

static struct xenpt_error *visit_whole(struct scan *scan, uint64_t at,
				       const struct section_header *header)
{
	scan->damaged = false;
	return scan->visitor->chunk(scan->visitor->arg, at, header);
}

/*
 * Visit the chunk that was found, and find the next. A header proves a chunk
 * only up to the header of another one: if bytes are missing from a payload,
 * that comes too early.
 *
 *	at          end   next
 *	| header | payload | 0 | header ...
 *	         |<- searched if there is no header at next
 */
static struct xenpt_error *visit_chunk(struct scan *scan)
{
	uint64_t at = scan->at, end = at + HEADER_SIZE + scan->header.size, stop;
	uint64_t next = at + HEADER_SIZE + section_padded(scan->header.size);
	struct section_header header = scan->header;
	const char *why = "chunk is cut";

	scan->sequence = header.sequence + 1;
	scan->found = false;
	if (end <= scan->size) {
		if (next >= scan->size)
			return visit_whole(scan, at, &header);
		if (header.type == XENPT_SECTION_END) {
			XENPT_TRY(visit_whole(scan, at, &header));
			return visit_damage(scan, next, scan->size,
					    "data after the end mark");
		}
		XENPT_TRY(probe(scan, next, &why));
		if (!why)
			return visit_whole(scan, at, &header);
	}
	XENPT_TRY(search(scan, at + HEADER_SIZE));
	stop = scan->found ? scan->at : scan->size;
	if (stop < end)
		return visit_damage(scan, at, stop, "chunk is cut");
	XENPT_TRY(visit_whole(scan, at, &header));
	return visit_damage(scan, next < stop ? next : stop, stop, why);
}

struct xenpt_error *xenpt_scan(int fd, uint64_t size, const char *path,
			       const struct scan_visitor *visitor)
{
	_cleanup_free_ struct scan *scan = calloc(1, sizeof(*scan));

	if (!scan)
		return xenpt_error_no_memory();
	scan->fd = fd;
	scan->size = size;
	scan->path = path;
	scan->visitor = visitor;
	scan->probed.data = scan->probe_data;
	scan->searched.data = scan->search_data;
	XENPT_TRY(find_first(scan));
	while (scan->found) {
		/* Damage right before says so already. */
		if (scan->header.sequence > scan->sequence && !scan->damaged)
			XENPT_TRY(visit_damage(scan, scan->at, scan->at,
					       "chunks are missing"));
		XENPT_TRY(visit_chunk(scan));
	}
	return NULL;
}
