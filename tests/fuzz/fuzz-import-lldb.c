/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "fuzz-import.h"

static struct xenpt_error *import_lldb(struct xenpt_writer *writer,
				       const struct xenpt_import *import,
				       const char *path)
{
	struct xenpt_cpu cpu;

	return xenpt_import_lldb(writer, import, path, &cpu);
}

/* In a directory of its own: it may name itself as a trace or a module. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[64];
	int fd;

	if (!*path) {
		strcpy(path, "/tmp/fuzz-import-XXXXXX");
		if (!mkdtemp(path))
			abort();
		strcat(path, "/trace.json");
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
	return fuzz_file(path, import_lldb);
}
