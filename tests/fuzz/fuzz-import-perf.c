/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuzz-import.h"

static struct xenpt_error *import_perf(struct xenpt_writer *writer,
				       const struct xenpt_import *import,
				       const char *path)
{
	struct xenpt_cpu cpu;

	return xenpt_import_perf(writer, import, path, &cpu);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_bytes(data, size, import_perf);
}
