/* SPDX-License-Identifier: GPL-2.0-only */
/* Puts the guest into its memory, as Xen does with a PVH kernel. */
#include <errno.h>
#include <gelf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hv/sim/machine.h"
#include "libxenpt/cleanup.h"

#define START_INFO 0x6000
#define COMMAND_LINE 0x7000
#define START_INFO_MAGIC 0x336ec578

/* guest-image.S */
extern const uint8_t sim_guest_image[], sim_guest_image_end[];

static void elf_cleanup(Elf **elf)
{
	elf_end(*elf);
}

static struct xenpt_error *bad_guest(const char *what)
{
	return xenpt_error_create(XENPT_ERROR_FORMAT, "the guest's ELF file: %s", what);
}

static struct xenpt_error *load_segments(struct sim *sim, Elf *elf)
{
	const size_t size = sim_guest_image_end - sim_guest_image;
	size_t count;
	GElf_Phdr segment;
	uint8_t *to;

	if (elf_getphdrnum(elf, &count) < 0)
		return bad_guest(elf_errmsg(-1));
	for (size_t i = 0; i < count; i++) {
		if (!gelf_getphdr(elf, i, &segment))
			return bad_guest(elf_errmsg(-1));
		if (segment.p_type != PT_LOAD || !segment.p_memsz)
			continue;
		to = engine_at(&sim->memory, segment.p_paddr, segment.p_memsz);
		if (!to || segment.p_filesz > segment.p_memsz ||
		    segment.p_offset > size || segment.p_filesz > size - segment.p_offset)
			return bad_guest("a segment is not in memory");
		memcpy(to, sim_guest_image + segment.p_offset, segment.p_filesz);
	}
	return NULL;
}

static bool find_symbol(Elf *elf, const char *name, uint64_t *ret)
{
	Elf_Scn *section = NULL;
	const char *found;
	Elf_Data *data;
	GElf_Shdr header;
	GElf_Sym symbol;

	while ((section = elf_nextscn(elf, section))) {
		if (!gelf_getshdr(section, &header) || header.sh_type != SHT_SYMTAB)
			continue;
		data = elf_getdata(section, NULL);
		for (int i = 0; data && gelf_getsym(data, i, &symbol); i++) {
			found = elf_strptr(elf, header.sh_link, symbol.st_name);
			if (found && strcmp(found, name) == 0) {
				*ret = symbol.st_value;
				return true;
			}
		}
	}
	return false;
}

static void put_start_info(struct sim *sim)
{
	const struct start_info info = {
		.magic = START_INFO_MAGIC,
		.version = 1,
		.command_line = COMMAND_LINE,
	};

	memcpy(sim->memory.ram + START_INFO, &info, sizeof(info));
	snprintf((char *)sim->memory.ram + COMMAND_LINE, SIM_PAGE,
		 "scenario=%s seed=%ju%s", sim->scenario.guest,
		 (uintmax_t)sim->scenario.seed, sim->scenario.more);
}

/* For who wants its symbols. */
static struct xenpt_error *put_file(struct sim *sim)
{
	const size_t size = sim_guest_image_end - sim_guest_image;

	sim->guest_fd = memfd_create("xenpt-guest", MFD_CLOEXEC);
	if (sim->guest_fd < 0 ||
	    write(sim->guest_fd, sim_guest_image, size) != (ssize_t)size)
		return xenpt_error_os(errno, "guest");
	return NULL;
}

struct xenpt_error *sim_load(struct sim *sim, struct sim_image *ret)
{
	_cleanup_(elf_cleanup) Elf *elf = NULL;
	GElf_Ehdr header;
	uint64_t tables;

	elf_version(EV_CURRENT);
	elf = elf_memory((char *)sim_guest_image, sim_guest_image_end - sim_guest_image);
	if (!elf || !gelf_getehdr(elf, &header))
		return bad_guest(elf_errmsg(-1));
	XENPT_TRY(load_segments(sim, elf));
	if (!find_symbol(elf, "boot_pml4", &tables))
		return bad_guest("it has no boot_pml4");
	put_start_info(sim);
	XENPT_TRY(put_file(sim));
	*ret = (struct sim_image){
		.entry = header.e_entry,
		.cr3 = tables - KERNEL_BASE,
		.start_info = START_INFO,
	};
	return NULL;
}
