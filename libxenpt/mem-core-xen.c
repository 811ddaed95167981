/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What "xl dump-core" writes: Xen's docs/misc/dump-core-format.txt and xg_core.c. An ELF
 * file that has sections only, the two tables of which go together:
 *
 *	.xen_pages	| page | page | page | …
 *	.xen_pfn	| 0    | 1    | 9    | … | ~0 | ~0	where each was; HVM
 *	.xen_p2m	| 0, m | 1, m | 9, m | …		the same, PV
 *
 * The numbers ascend. Of each block of them the first one is kept in memory; what they
 * are is looked up in the file. Sections may overlap, for they are only read.
 */
#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <gelf.h>
#include <inttypes.h>
#include <string.h>

#include "array.h"
#include "cleanup.h"
#include "mem-core-format.h"
#include "mem-core-xen.h"

/* The ELF header, and the section headers, which Xen writes right behind it. */
#define HEAD_SIZE (64u << 10)
#define SECTIONS_MAX 64

/* 16 TiB of memory, whose index takes 64 MiB. */
#define PAGES_MAX (UINT64_C(1) << 32)

#define BLOCK_ENTRIES 512u
#define ENTRY_SIZE_MAX 16u
#define PFN_NONE UINT64_MAX
#define PFN_MAX (UINT64_C(1) << 40) /* addresses have 52 bits */

#define CR0_PE (1u << 0)
#define CR0_PG (1u << 31)
#define CR4_PAE (1u << 5)
#define EFER_LMA (1u << 10)

struct section {
	uint64_t offset, size, entry_size; /* no size: there is none */
};

struct core_xen {
	struct xenpt_core core;
	int fd;
	uint64_t size; /* of the file */
	struct section contexts, pages, table;

	uint64_t entries;      /* of the table that name a page which is there */
	ARRAY(uint64_t) index; /* the first number of each block */
	uint64_t block_number; /* of block; UINT64_MAX: none */
	uint64_t block[BLOCK_ENTRIES];
};

/* ---- reading ------------------------------------------------------------- */

/* As many bytes as there are, up to @size. */
static size_t read_at(int fd, uint64_t offset, void *buf, size_t size)
{
	size_t done = 0;

	if (offset > INT64_MAX - size)
		return 0;
	while (done < size) {
		ssize_t n = pread(fd, (uint8_t *)buf + done, size - done, offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += n;
	}
	return done;
}

/* The same of entries of a section, whose size has been checked. */
static size_t read_section(const struct core_xen *core, const struct section *section,
			   uint64_t offset, void *buf, size_t size)
{
	uint64_t at;

	if (offset >= section->size ||
	    __builtin_add_overflow(section->offset, offset, &at))
		return 0;
	if (size > section->size - offset)
		size = section->size - offset;
	return read_at(core->fd, at, buf, size);
}

/* ---- headers ------------------------------------------------------------- */

static struct xenpt_error *bad(const char *what)
{
	return xenpt_error_create(XENPT_ERROR_FORMAT, "%s", what);
}

bool core_xen_is(int fd)
{
	Elf64_Ehdr ehdr;

	/* Only 64-bit ones are written, also of 32-bit guests. */
	return read_at(fd, 0, &ehdr, sizeof(ehdr)) == sizeof(ehdr) &&
	       memcmp(ehdr.e_ident, ELFMAG, SELFMAG) == 0 &&
	       ehdr.e_ident[EI_CLASS] == ELFCLASS64 &&
	       ehdr.e_ident[EI_DATA] == ELFDATA2LSB && le16toh(ehdr.e_type) == ET_CORE &&
	       !le16toh(ehdr.e_phnum) && le16toh(ehdr.e_shnum);
}

/* What a section is, by its name. NULL: it is not wanted. */
static struct section *by_name(struct core_xen *core, const char *name)
{
	if (strcmp(name, ".xen_prstatus") == 0)
		return &core->contexts;
	if (strcmp(name, ".xen_pages") == 0)
		return &core->pages;
	if (strcmp(name, ".xen_pfn") == 0 || strcmp(name, ".xen_p2m") == 0)
		return &core->table;
	return NULL;
}

static struct xenpt_error *take_section(struct core_xen *core, const GElf_Shdr *shdr,
					const GElf_Shdr *names)
{
	struct section *section;
	char name[16] = "";
	uint64_t at;

	if (__builtin_add_overflow(names->sh_offset, shdr->sh_name, &at))
		return bad("the names of its sections are nowhere");
	/* The last thing in the file: behind the pages. */
	if (at >= core->size)
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "it is cut short: it ends at byte %" PRIu64
					  ", before the table of its pages is complete",
					  core->size);
	read_at(core->fd, at, name, sizeof(name) - 1);
	section = by_name(core, name);
	if (section && !section->size)
		*section = (struct section){ shdr->sh_offset, shdr->sh_size,
					     shdr->sh_entsize };
	return NULL;
}

static struct xenpt_error *take_sections(struct core_xen *core, Elf *elf, size_t size)
{
	GElf_Shdr names, shdr;
	GElf_Ehdr ehdr;

	if (!gelf_getehdr(elf, &ehdr))
		return bad("it has no ELF header");
	if (ehdr.e_machine != EM_X86_64 && ehdr.e_machine != EM_386)
		return bad("it is of another machine than x86");
	if (ehdr.e_shnum > SECTIONS_MAX || ehdr.e_shentsize != sizeof(Elf64_Shdr) ||
	    ehdr.e_shoff > size ||
	    ehdr.e_shnum * sizeof(Elf64_Shdr) > size - ehdr.e_shoff)
		return bad("its section headers are not where Xen writes them");
	if (!gelf_getshdr(elf_getscn(elf, ehdr.e_shstrndx), &names))
		return bad("the names of its sections are nowhere");
	for (size_t i = 1; i < ehdr.e_shnum; i++) {
		if (!gelf_getshdr(elf_getscn(elf, i), &shdr))
			return bad("a section header cannot be read");
		XENPT_TRY(take_section(core, &shdr, &names));
	}
	return NULL;
}

static struct xenpt_error *read_headers(struct core_xen *core)
{
	_cleanup_free_ char *head = malloc(HEAD_SIZE);
	struct xenpt_error *err;
	size_t size;
	Elf *elf;

	if (!head)
		return xenpt_error_no_memory();
	size = read_at(core->fd, 0, head, HEAD_SIZE);
	elf_version(EV_CURRENT);
	elf = elf_memory(head, size);
	if (!elf)
		return bad("it is no ELF file");
	err = take_sections(core, elf, size);
	elf_end(elf);
	return err;
}

/* ---- pages --------------------------------------------------------------- */

/* A block of numbers; returns how many there are. */
static size_t read_block(const struct core_xen *core, uint64_t number,
			 uint64_t ret[BLOCK_ENTRIES])
{
	uint8_t raw[BLOCK_ENTRIES * ENTRY_SIZE_MAX];
	size_t entry = core->table.entry_size, size = BLOCK_ENTRIES * entry, count;

	count = read_section(core, &core->table, number * size, raw, size) / entry;
	for (size_t i = 0; i < count; i++) {
		uint64_t pfn;

		memcpy(&pfn, raw + i * entry, sizeof(pfn));
		ret[i] = le64toh(pfn);
	}
	return count;
}

static struct xenpt_error *add_block(struct core_xen *core, const uint64_t *pfns,
				     size_t count, uint64_t *last)
{
	uint64_t *first = array_add(&core->index);

	if (!first)
		return xenpt_error_no_memory();
	*first = pfns[0];
	for (size_t i = 0; i < count; i++) {
		/* A search in a table that does not ascend would miss pages. */
		if (pfns[i] >= PFN_MAX || (core->entries && pfns[i] <= *last))
			return xenpt_error_create(
				XENPT_ERROR_FORMAT,
				"page %" PRIu64 " is out of order: frame 0x%" PRIx64
				" after 0x%" PRIx64,
				core->entries, pfns[i], core->entries ? *last : 0);
		*last = pfns[i];
		core->entries++;
	}
	return NULL;
}

/* Look at the whole table, once; what is left at its end has no number. */
static struct xenpt_error *read_table(struct core_xen *core, uint64_t total)
{
	uint64_t last = 0, read = 0;
	size_t count, used;

	for (uint64_t number = 0; read < total; number++) {
		count = read_block(core, number, core->block);
		for (used = 0; used < count && core->block[used] != PFN_NONE; used++)
			;
		if (used)
			XENPT_TRY(add_block(core, core->block, used, &last));
		read += used;
		if (count < BLOCK_ENTRIES && used == count && read < total)
			core->core.missing = total - read; /* the table is cut */
		if (used < BLOCK_ENTRIES)
			break;
	}
	return NULL;
}

/* Those that the file still has. */
static void count_pages(struct core_xen *core)
{
	uint64_t there = 0;

	if (core->pages.offset < core->size)
		there = (core->size - core->pages.offset) / XENPT_PAGE_SIZE;
	core->core.pages = core->entries < there ? core->entries : there;
	core->core.missing += core->entries - core->core.pages;
}

static struct xenpt_error *check_pages(struct core_xen *core)
{
	uint64_t entry = core->table.entry_size, total;

	if (!core->pages.size || !core->table.size)
		return bad("it has no pages, or no table of them");
	if (core->pages.entry_size != XENPT_PAGE_SIZE ||
	    (entry != sizeof(uint64_t) && entry != 2 * sizeof(uint64_t)))
		return bad("its pages, or entries of their table, have no size that is "
			   "known");
	total = core->table.size / entry;
	if (total != core->pages.size / XENPT_PAGE_SIZE || total > PAGES_MAX)
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "it has %" PRIu64 " pages, and a table of "
					  "%" PRIu64,
					  core->pages.size / XENPT_PAGE_SIZE, total);
	XENPT_TRY(read_table(core, total));
	count_pages(core);
	core->block_number = UINT64_MAX;
	return NULL;
}

/* The last of @pfns that is not above @pfn, which the first one is not. */
static size_t search(const uint64_t *pfns, size_t count, uint64_t pfn)
{
	size_t lo = 0, hi = count;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (pfns[mid] <= pfn)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

static bool find_page(struct core_xen *core, uint64_t pfn, uint64_t *ret)
{
	uint64_t number, left;
	size_t at, count;

	if (!core->index.count || core->index.data[0] > pfn)
		return false;
	number = search(core->index.data, core->index.count, pfn);
	left = core->entries - number * BLOCK_ENTRIES;
	count = left < BLOCK_ENTRIES ? left : BLOCK_ENTRIES;
	if (core->block_number != number) {
		core->block_number = UINT64_MAX;
		if (read_block(core, number, core->block) < count)
			return false;
		core->block_number = number;
	}
	at = search(core->block, count, pfn);
	*ret = number * BLOCK_ENTRIES + at;
	return core->block[at] == pfn;
}

static bool core_read(struct xenpt_mem *mem, uint64_t gpa, void *buf, size_t size)
{
	struct core_xen *core = (struct core_xen *)mem;
	uint64_t offset = gpa % XENPT_PAGE_SIZE, page;
	uint8_t bytes[XENPT_PAGE_SIZE];

	if (size > XENPT_PAGE_SIZE - offset ||
	    !find_page(core, gpa / XENPT_PAGE_SIZE, &page) || page >= core->core.pages)
		return false;
	if (read_section(core, &core->pages, page * XENPT_PAGE_SIZE + offset, bytes,
			 size) < size)
		return false;
	memcpy(buf, bytes, size);
	return true;
}

/* ---- registers ----------------------------------------------------------- */

static uint64_t context_word(const uint8_t *context, size_t offset)
{
	uint64_t value;

	memcpy(&value, context + offset, sizeof(value));
	return le64toh(value);
}

static void take_general(const uint8_t *context, struct xenpt_registers *ret)
{
	static const uint8_t offsets[16] = {
		XEN_USER_REGS_RAX, XEN_USER_REGS_RCX, XEN_USER_REGS_RDX,
		XEN_USER_REGS_RBX, XEN_USER_REGS_RSP, XEN_USER_REGS_RBP,
		XEN_USER_REGS_RSI, XEN_USER_REGS_RDI, XEN_USER_REGS_R8,
		XEN_USER_REGS_R9,  XEN_USER_REGS_R10, XEN_USER_REGS_R11,
		XEN_USER_REGS_R12, XEN_USER_REGS_R13, XEN_USER_REGS_R14,
		XEN_USER_REGS_R15,
	};
	const uint8_t *user = context + XEN_CONTEXT_USER_REGS;

	for (size_t i = 0; i < 16; i++)
		ret->gpr[i] = context_word(user, offsets[i]);
	ret->rip = context_word(user, XEN_USER_REGS_RIP);
	ret->rflags = context_word(user, XEN_USER_REGS_RFLAGS);
	ret->cs = (uint16_t)context_word(user, XEN_USER_REGS_CS);
	ret->ss = (uint16_t)context_word(user, XEN_USER_REGS_SS);
}

static void take_system(const uint8_t *context, struct xenpt_registers *ret)
{
	const uint8_t *control = context + XEN_CONTEXT_CTRLREG;
	uint64_t kernel = context_word(context, XEN_CONTEXT_GS_BASE_KERNEL);
	uint64_t user = context_word(context, XEN_CONTEXT_GS_BASE_USER);

	ret->cr0 = context_word(control, 0);
	ret->cr2 = context_word(control, 16);
	ret->cr3 = context_word(control, 24);
	ret->cr4 = context_word(control, 32);
	ret->cpl = ret->cs & 3;
	ret->fs_base = context_word(context, XEN_CONTEXT_FS_BASE);
	/* Xen tells which is which by the CPL, as the guest's SWAPGS does. */
	ret->gs_base = ret->cpl ? user : kernel;
	ret->shadow_gs_base = ret->cpl ? kernel : user;
}

/*
 * EFER is missing. A kernel of 64 bits has addresses in the upper half, in one GS base
 * at least; one of 32 bits has none of these.
 */
static bool is_long(const struct xenpt_registers *regs)
{
	uint64_t high = regs->rip | regs->fs_base | regs->gs_base | regs->shadow_gs_base |
			regs->cr3;

	for (size_t i = 0; i < 16; i++)
		high |= regs->gpr[i];
	return (regs->cr0 & CR0_PG) && (regs->cr4 & CR4_PAE) && high >> 32;
}

static bool core_registers(const struct xenpt_core *base, uint32_t vcpu,
			   struct xenpt_registers *ret)
{
	const struct core_xen *core = (const struct core_xen *)base;
	struct xenpt_registers regs = {};
	uint8_t context[XEN_CONTEXT_SIZE];

	/* Those of 32-bit PV guests are others. */
	if (core->contexts.entry_size != XEN_CONTEXT_SIZE ||
	    read_section(core, &core->contexts, vcpu * (uint64_t)XEN_CONTEXT_SIZE,
			 context, sizeof(context)) < sizeof(context) ||
	    !(context_word(context, XEN_CONTEXT_FLAGS) & XEN_VGCF_ONLINE))
		return false;
	take_general(context, &regs);
	take_system(context, &regs);
	regs.mode = regs.cr0 & CR0_PE ? 32 : 16;
	if (is_long(&regs)) {
		regs.efer = EFER_LMA;
		regs.mode = 64;
	}
	*ret = regs;
	return true;
}

static void count_vcpus(struct core_xen *core)
{
	uint64_t count = 0;

	if (core->contexts.entry_size)
		count = core->contexts.size / core->contexts.entry_size;
	core->core.vcpus = count < XENPT_VCPUS_MAX ? count : XENPT_VCPUS_MAX;
}

/* ---- life ---------------------------------------------------------------- */

static void core_destroy(struct core_xen *core)
{
	if (!core)
		return;
	if (core->fd >= 0)
		close(core->fd);
	array_deinit(&core->index);
	free(core);
}

XENPT_DEFINE_CLEANUP(struct core_xen, core, core_destroy)

static void core_close(struct xenpt_core *core)
{
	core_destroy((struct core_xen *)core);
}

struct xenpt_error *core_xen_open(int fd, struct xenpt_core **ret)
{
	_cleanup_(core_cleanup) struct core_xen *core = calloc(1, sizeof(*core));
	struct xenpt_error *err;
	off_t end;

	if (!core)
		return xenpt_error_no_memory();
	core->fd = -1;
	core->core = (struct xenpt_core){
		.mem.read = core_read,
		.format = "xl dump-core",
		.registers = core_registers,
		.close = core_close,
	};
	end = lseek(fd, 0, SEEK_END);
	if (end < 0)
		return xenpt_error_os(errno, "cannot find its end");
	core->size = end;
	core->fd = fd;
	err = read_headers(core);
	if (!err)
		err = check_pages(core);
	if (err) {
		core->fd = -1; /* the caller's */
		return err;
	}
	count_vcpus(core);
	*ret = &no_cleanup_ptr(core)->core;
	return NULL;
}
