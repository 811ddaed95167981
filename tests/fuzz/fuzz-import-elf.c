/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuzz-import.h"

static struct xenpt_error *import_elf(struct xenpt_writer *writer,
				      const struct xenpt_import *import, const char *path)
{
	return xenpt_import_elf(writer, import, 0, path, 0x10000, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_bytes(data, size, import_elf);
}
