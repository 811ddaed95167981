/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A core dump of "xl dump-core": opening it, its registers, and reading all of it. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libxenpt/mem-core-format.h"
#include "tests/dump-core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed);

static void look_at(struct xenpt_core *core)
{
	struct xenpt_registers regs;
	uint8_t page[XENPT_PAGE_SIZE];
	uint64_t found = 0;

	for (uint32_t i = 0; i < xenpt_core_vcpus(core) && i < 8; i++)
		xenpt_core_registers(core, i, &regs);
	for (uint64_t pfn = 0; pfn < 64; pfn++)
		found += xenpt_mem_read(xenpt_core_mem(core), pfn * XENPT_PAGE_SIZE, page,
					sizeof(page));
	if (found > xenpt_core_pages(core))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct xenpt_core *core;
	struct xenpt_error *err;
	int fd = memfd_create("core", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	/* What it is not, libkdumpfile would be asked for. */
	err = core_xen_open(fd, &core);
	if (err) {
		xenpt_error_destroy(err);
		close(fd);
		return 0;
	}
	look_at(core);
	xenpt_core_close(core);
	return 0;
}

static bool no_memory(struct xenpt_mem *mem, uint64_t gpa, void *buf, size_t size)
{
	return false;
}

/* A dump to begin with, without its pages: they are nothing to a parser. */
static size_t make_dump(uint8_t *data, size_t max_size)
{
	static const uint64_t pfns[] = { 0, 1, 5, UINT64_MAX };
	const struct xenpt_registers regs = { .cr0 = 0x80000001, .cr3 = 0x1000 };
	const struct dump_core dump = { &regs, 1, pfns, 4, false };
	struct xenpt_mem mem = { no_memory };
	int fd = memfd_create("core", MFD_CLOEXEC);
	struct dump_core_layout layout;
	uint64_t table, names;
	ssize_t size;

	if (fd < 0 || !dump_core_write(fd, &dump, &mem, &layout))
		abort();
	size = pread(fd, data, max_size < layout.pages ? max_size : layout.pages, 0);
	if (size == (ssize_t)layout.pages &&
	    max_size >= layout.pages + layout.size - layout.table) {
		size += pread(fd, data + size, layout.size - layout.table, layout.table);
		table = layout.pages;
		names = table + layout.names - layout.table;
		memcpy(data + layout.headers + DUMP_CORE_TABLE * sizeof(Elf64_Shdr) +
			       offsetof(Elf64_Shdr, sh_offset),
		       &table, 8);
		memcpy(data + layout.headers + DUMP_CORE_NAMES * sizeof(Elf64_Shdr) +
			       offsetof(Elf64_Shdr, sh_offset),
		       &names, 8);
	}
	close(fd);
	if (size < 0)
		abort();
	return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed)
{
	/* Without these, nothing is looked at. */
	if (size < sizeof(Elf64_Ehdr) || memcmp(data, ELFMAG, SELFMAG) != 0)
		size = make_dump(data, max_size);
	return LLVMFuzzerMutate(data, size, max_size);
}
