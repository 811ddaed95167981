/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Find the whole chunks of a .xpt file, whatever happened to it. */
#ifndef XENPT_SCAN_H
#define XENPT_SCAN_H

#include "section.h"
#include "xenpt.h"

struct scan_visitor {
	/*
	 * A whole chunk, and where its header is; in file order. An error ends
	 * the scan.
	 */
	struct xenpt_error *(*chunk)(void *arg, uint64_t position,
				     const struct section_header *header);
	/* A part that cannot be read; in file order. */
	struct xenpt_error *(*damage)(void *arg, const struct xenpt_damage *damage);
	void *arg;
};

/*
 * Visit the first @size bytes of @fd, called @path. Takes time and reads in
 * proportion to the size, and constant memory, also for a hostile file.
 */
struct xenpt_error *xenpt_scan(int fd, uint64_t size, const char *path,
			       const struct scan_visitor *visitor);

/* pread() all: false with errno, 0 where the file ends before. */
bool xenpt_pread(int fd, void *buf, size_t size, uint64_t offset);

/* Why it failed in the file called @path, whose size had been known. */
struct xenpt_error *xenpt_pread_error(const char *path);

#endif
