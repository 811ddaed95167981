/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <elf.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/dump-core.h"

#define CONTEXT_SIZE 5168 /* struct vcpu_guest_context of x86-64 */

static const char names[] = "\0.shstrtab\0.xen_prstatus\0.xen_pages\0.xen_pfn\0.xen_p2m";

static bool write_at(int fd, uint64_t offset, const void *data, size_t size)
{
	return pwrite(fd, data, size, offset) == (ssize_t)size;
}

static uint32_t name_of(const char *name)
{
	return (const char *)memmem(names, sizeof(names), name, strlen(name) + 1) - names;
}

static void put(uint8_t *context, size_t offset, uint64_t value)
{
	value = htole64(value);
	memcpy(context + offset, &value, sizeof(value));
}

static bool write_context(int fd, uint64_t offset, const struct xenpt_registers *regs)
{
	/* RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 … R15, as Xen puts them. */
	static const uint16_t gprs[] = { 600, 608, 616, 560, 672, 552, 624, 632,
					 592, 584, 576, 568, 544, 536, 528, 520 };
	uint8_t context[CONTEXT_SIZE] = {};
	bool user = regs->cpl;

	put(context, 512, regs->cr0 ? 1 << 5 : 0); /* VGCF_online */
	for (size_t i = 0; i < 16; i++)
		put(context, gprs[i], regs->gpr[i]);
	put(context, 648, regs->rip);
	put(context, 656, regs->cs);
	put(context, 664, regs->rflags);
	put(context, 680, regs->ss);
	put(context, 4984, regs->cr0);
	put(context, 5000, regs->cr2);
	put(context, 5008, regs->cr3);
	put(context, 5016, regs->cr4);
	put(context, 5144, regs->fs_base);
	put(context, 5152, user ? regs->shadow_gs_base : regs->gs_base);
	put(context, 5160, user ? regs->gs_base : regs->shadow_gs_base);
	return write_at(fd, offset, context, sizeof(context));
}

static bool write_pages(int fd, const struct dump_core *core, struct xenpt_mem *mem,
			const struct dump_core_layout *layout)
{
	for (uint64_t i = 0; i < core->pages; i++) {
		uint8_t page[XENPT_PAGE_SIZE] = {};
		uint64_t entry[2] = { htole64(core->pfns[i]), htole64(~core->pfns[i]) };
		size_t size = core->pv ? 16 : 8;

		if (core->pfns[i] != UINT64_MAX)
			xenpt_mem_read(mem, core->pfns[i] * XENPT_PAGE_SIZE, page,
				       sizeof(page));
		if (!write_at(fd, layout->pages + i * sizeof(page), page, sizeof(page)) ||
		    !write_at(fd, layout->table + i * size, entry, size))
			return false;
	}
	return true;
}

static bool write_headers(int fd, const struct dump_core *core,
			  const struct dump_core_layout *layout)
{
	uint64_t entry = core->pv ? 16 : 8;
	Elf64_Ehdr ehdr = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_shoff = layout->headers,
		.e_ehsize = sizeof(ehdr),
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = DUMP_CORE_SECTIONS,
		.e_shstrndx = DUMP_CORE_NAMES,
	};
	Elf64_Shdr shdrs[DUMP_CORE_SECTIONS] = {
		[DUMP_CORE_NAMES] = { name_of(".shstrtab"), SHT_STRTAB,
				      .sh_offset = layout->names,
				      .sh_size = sizeof(names) },
		[DUMP_CORE_CONTEXTS] = { name_of(".xen_prstatus"), SHT_PROGBITS,
					 .sh_offset = layout->contexts,
					 .sh_size = CONTEXT_SIZE * core->vcpus,
					 .sh_entsize = CONTEXT_SIZE },
		[DUMP_CORE_PAGES] = { name_of(".xen_pages"), SHT_PROGBITS,
				      .sh_offset = layout->pages,
				      .sh_size = core->pages * XENPT_PAGE_SIZE,
				      .sh_entsize = XENPT_PAGE_SIZE },
		[DUMP_CORE_TABLE] = { name_of(core->pv ? ".xen_p2m" : ".xen_pfn"),
				      SHT_PROGBITS, .sh_offset = layout->table,
				      .sh_size = core->pages * entry,
				      .sh_entsize = entry },
	};

	return write_at(fd, 0, &ehdr, sizeof(ehdr)) &&
	       write_at(fd, layout->headers, shdrs, sizeof(shdrs));
}

bool dump_core_write(int fd, const struct dump_core *core, struct xenpt_mem *mem,
		     struct dump_core_layout *ret)
{
	struct dump_core_layout layout = { .headers = sizeof(Elf64_Ehdr) };

	layout.contexts = layout.headers + DUMP_CORE_SECTIONS * sizeof(Elf64_Shdr);
	layout.pages = layout.contexts + (uint64_t)CONTEXT_SIZE * core->vcpus;
	layout.pages = (layout.pages + XENPT_PAGE_SIZE - 1) & ~(XENPT_PAGE_SIZE - 1ull);
	layout.table = layout.pages + core->pages * XENPT_PAGE_SIZE;
	layout.names = layout.table + core->pages * (core->pv ? 16 : 8);
	layout.size = layout.names + sizeof(names);
	for (uint32_t i = 0; i < core->vcpus; i++) {
		if (!write_context(fd, layout.contexts + (uint64_t)i * CONTEXT_SIZE,
				   &core->regs[i]))
			return false;
	}
	if (!write_headers(fd, core, &layout) || !write_pages(fd, core, mem, &layout) ||
	    !write_at(fd, layout.names, names, sizeof(names)))
		return false;
	*ret = layout;
	return true;
}
