/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Importing bytes: no crash, no leak, and an error that says something. */
#ifndef FUZZ_IMPORT_H
#define FUZZ_IMPORT_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libxenpt/xenpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct xenpt_error *fuzz_fn(struct xenpt_writer *writer,
				    const struct xenpt_import *import, const char *path);

static void fuzz_warn(void *arg, const char *message)
{
	if (!*message)
		abort();
}

/* Give @fn a file with these bytes. */
static int fuzz_file(const char *path, fuzz_fn *fn)
{
	struct xenpt_import import = XENPT_IMPORT_DEFAULTS;
	struct xenpt_writer *writer;
	struct xenpt_error *err;
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	/* The names in the input must not lead to files of this machine. */
	import.symfs = "/dev/null";
	import.warn = fuzz_warn;
	if (fd < 0 || xenpt_writer_create(fd, "/dev/null", &writer))
		abort();
	err = fn(writer, &import, path);
	if (err && !*err->message)
		abort();
	xenpt_error_destroy(err);
	xenpt_writer_destroy(writer);
	close(fd);
	return 0;
}

static inline int fuzz_bytes(const uint8_t *data, size_t size, fuzz_fn *fn)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	char path[64];

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fuzz_file(path, fn);
	close(fd);
	return 0;
}

#endif
