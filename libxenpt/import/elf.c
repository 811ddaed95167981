/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ELF files: their executable segments are code, their functions symbols. */
#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "import.h"
#include "libxenpt/array.h"

#define PAGE_SIZE 4096u
#define NOTES_MAX (1u << 20) /* bytes of notes that are looked through … */
#define NOTES_COUNT 64       /* … in so many places */
#define SYMTAB_MAX (1u << 30)

/* A loaded segment, cut to what the file has of it. */
struct segment {
	uint64_t offset, size, address;
	bool code;
};

struct import_elf {
	struct import_file file;
	Elf *elf;
	ARRAY(struct segment) segments;
	uint64_t lowest; /* loaded byte, as an address in the file */
	bool debug;      /* code is not in it: made by objcopy --only-keep-debug */
	char build_id[2 * IMPORT_BUILD_ID_MAX + 1];
};

static struct xenpt_error *elf_error(const char *what)
{
	return xenpt_error_create(XENPT_ERROR_FORMAT, "%s: %s", what, elf_errmsg(-1));
}

void import_elf_close(struct import_elf *elf)
{
	if (!elf)
		return;
	elf_end(elf->elf);
	array_deinit(&elf->segments);
	import_file_close(&elf->file);
	free(elf);
}

/* ---- build-id ------------------------------------------------------------ */

static bool notes_find(struct import_elf *elf, Elf_Data *notes)
{
	size_t at = 0, name, desc, next;
	GElf_Nhdr nhdr;

	while (notes && (next = gelf_getnote(notes, at, &nhdr, &name, &desc)) > 0) {
		const uint8_t *bytes = (const uint8_t *)notes->d_buf;

		at = next;
		if (nhdr.n_type != NT_GNU_BUILD_ID || nhdr.n_namesz != 4 ||
		    memcmp(bytes + name, "GNU", 4) != 0 || nhdr.n_descsz == 0 ||
		    nhdr.n_descsz > IMPORT_BUILD_ID_MAX)
			continue;
		for (size_t i = 0; i < nhdr.n_descsz; i++)
			sprintf(elf->build_id + 2 * i, "%02x", bytes[desc + i]);
		return true;
	}
	return false;
}

/* Sections go first: objcopy moves them, but leaves the segments as they were. */
static void build_id_find(struct import_elf *elf, size_t segment_count)
{
	unsigned int tried = 0;
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;
	GElf_Phdr phdr;

	while (tried < NOTES_COUNT && (scn = elf_nextscn(elf->elf, scn))) {
		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_NOTE ||
		    shdr.sh_size > NOTES_MAX)
			continue;
		tried++;
		if (notes_find(elf, elf_getdata(scn, NULL)))
			return;
	}
	tried = 0;
	for (size_t i = 0; i < segment_count && tried < NOTES_COUNT; i++) {
		if (!gelf_getphdr(elf->elf, (int)i, &phdr) || phdr.p_type != PT_NOTE ||
		    phdr.p_filesz > NOTES_MAX || phdr.p_offset > elf->file.size)
			continue;
		tried++;
		if (notes_find(elf, elf_getdata_rawchunk(elf->elf, (int64_t)phdr.p_offset,
							 phdr.p_filesz,
							 phdr.p_align == 8 ? ELF_T_NHDR8
									   : ELF_T_NHDR)))
			return;
	}
}

/* ---- opening ------------------------------------------------------------- */

/* In a debug file the code sections take no room, whatever the segments say. */
static bool is_debug(Elf *elf)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while ((scn = elf_nextscn(elf, scn))) {
		if (gelf_getshdr(scn, &shdr) && shdr.sh_type == SHT_NOBITS &&
		    (shdr.sh_flags & SHF_EXECINSTR) && shdr.sh_size)
			return true;
	}
	return false;
}

static struct xenpt_error *segments_find(struct import_elf *elf, size_t count)
{
	uint64_t size = elf->file.size, total = 0;

	elf->lowest = UINT64_MAX;
	for (size_t i = 0; i < count; i++) {
		struct segment *segment;
		GElf_Phdr phdr;

		if (!gelf_getphdr(elf->elf, (int)i, &phdr))
			return elf_error("program header");
		if (phdr.p_type != PT_LOAD)
			continue;
		if (phdr.p_vaddr < elf->lowest)
			elf->lowest = phdr.p_vaddr;
		if (phdr.p_offset >= size || !phdr.p_filesz)
			continue;
		segment = array_add(&elf->segments);
		if (!segment)
			return xenpt_error_no_memory();
		*segment = (struct segment){ phdr.p_offset, phdr.p_filesz, phdr.p_vaddr,
					     phdr.p_flags & PF_X };
		if (segment->size > size - segment->offset)
			segment->size = size - segment->offset;
		/* Else a small file with many headers gives code without end. */
		total += segment->code ? segment->size : 0;
		if (total > 2 * size)
			return xenpt_error_create(XENPT_ERROR_FORMAT,
						  "its segments overlap");
	}
	return NULL;
}

static struct xenpt_error *machine_check(Elf *elf)
{
	GElf_Ehdr ehdr;

	if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &ehdr))
		return xenpt_error_create(XENPT_ERROR_FORMAT, "is no ELF file");
	if ((ehdr.e_machine != EM_X86_64 && ehdr.e_machine != EM_386) ||
	    ehdr.e_ident[EI_DATA] != ELFDATA2LSB)
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "is an ELF file, but not of x86");
	return NULL;
}

struct xenpt_error *import_elf_open(const char *path, struct import_elf **ret)
{
	_cleanup_import_elf_ struct import_elf *elf = calloc(1, sizeof(*elf));
	size_t count;

	if (!elf)
		return xenpt_error_no_memory();
	elf->file.fd = -1;
	XENPT_TRY(import_file_open(path, &elf->file));
	elf_version(EV_CURRENT);
	/* Not mapped: a file that shrinks meanwhile must not kill us. */
	elf->elf = elf_begin(elf->file.fd, ELF_C_READ, NULL);
	if (!elf->elf)
		return elf_error("is no ELF file");
	XENPT_TRY(machine_check(elf->elf));
	if (elf_getphdrnum(elf->elf, &count) < 0)
		return elf_error("program headers");
	XENPT_TRY(segments_find(elf, count));
	elf->debug = is_debug(elf->elf);
	build_id_find(elf, count);
	*ret = no_cleanup_ptr(elf);
	return NULL;
}

/* ---- what goes into the .xpt ---------------------------------------------- */

uint64_t import_elf_size(const struct import_elf *elf)
{
	return elf->file.size;
}

struct xenpt_error *import_elf_check(const struct import_elf *elf, const char *build_id)
{
	if (strcasecmp(build_id, elf->build_id) == 0)
		return NULL;
	return xenpt_error_create(XENPT_ERROR_INVALID,
				  "is another build: its build-id is %s, not %s",
				  *elf->build_id ? elf->build_id : "missing", build_id);
}

struct xenpt_error *import_elf_announce(const struct import_elf *elf,
					struct xenpt_writer *writer,
					const struct xenpt_import *import, uint32_t image,
					const char *name)
{
	struct xenpt_image_info info = {
		.id = image, .name = name, .build_id = elf->build_id, .cr3 = import->cr3
	};

	return xenpt_writer_image(writer, &info);
}

uint64_t import_elf_bias(const struct import_elf *elf, uint64_t base)
{
	return base == UINT64_MAX ? 0 : base - elf->lowest / PAGE_SIZE * PAGE_SIZE;
}

struct xenpt_error *import_elf_code(struct import_elf *elf, struct xenpt_writer *writer,
				    const struct xenpt_import *import, uint32_t image,
				    uint64_t bias)
{
	bool found = elf->debug;

	for (size_t i = 0; !elf->debug && i < elf->segments.count; i++) {
		const struct segment *segment = &elf->segments.data[i];

		if (!segment->code)
			continue;
		found = true;
		XENPT_TRY(import_code(writer, import, image, &elf->file, segment->offset,
				      segment->offset + segment->size,
				      segment->address + bias));
	}
	return found ? NULL
		     : xenpt_error_create(XENPT_ERROR_FORMAT,
					  "has no executable segment");
}

/* The part of [*from, *to) in the file that is of pages of @segment. */
static bool segment_clip(const struct segment *segment, uint64_t *from, uint64_t *to)
{
	uint64_t begin = segment->offset / PAGE_SIZE * PAGE_SIZE;
	uint64_t end =
		(segment->offset + segment->size + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;

	if (*from < begin)
		*from = begin;
	if (*to > end)
		*to = end;
	return *from < *to;
}

struct xenpt_error *import_elf_mapping(struct import_elf *elf,
				       struct xenpt_writer *writer,
				       const struct xenpt_import *import, uint32_t image,
				       uint64_t address, uint64_t length, uint64_t offset,
				       uint64_t *bias)
{
	uint64_t end, new_bias = 0, copied = 0;
	bool found = false, known = false;

	if (__builtin_add_overflow(offset, length, &end) || end > elf->file.size)
		end = elf->file.size;
	for (size_t i = 0; !elf->debug && i < elf->segments.count; i++) {
		const struct segment *segment = &elf->segments.data[i];
		uint64_t from = offset, to = end, segment_bias;

		if (!segment_clip(segment, &from, &to))
			continue;
		segment_bias = address - offset - (segment->address - segment->offset);
		known |= segment_bias == *bias;
		if (!segment->code)
			continue;
		if (!found)
			new_bias = segment_bias;
		found = true;
		/* Pages that two share are theirs; more share them to keep us busy. */
		copied += to - from;
		if (copied > 2 * (end - offset))
			return xenpt_error_create(XENPT_ERROR_FORMAT,
						  "its segments overlap");
		XENPT_TRY(import_code(writer, import, image, &elf->file, from, to,
				      address + (from - offset)));
	}
	if (!found)
		return xenpt_error_create(XENPT_ERROR_NOT_FOUND,
					  "has no executable segment at 0x%" PRIx64,
					  offset);
	if (!known)
		*bias = new_bias;
	return NULL;
}

/* ---- symbols ------------------------------------------------------------- */

struct symbols {
	ARRAY(struct xenpt_symbol) all;
};

/* Labels of assembly have no type; only those in code are of use. */
static bool is_function(Elf *elf, const GElf_Sym *sym, const char *name)
{
	GElf_Shdr shdr;
	Elf_Scn *scn;

	if (sym->st_shndx == SHN_UNDEF || !name || !*name)
		return false;
	switch (GELF_ST_TYPE(sym->st_info)) {
	case STT_FUNC:
	case STT_GNU_IFUNC:
		return true;
	case STT_NOTYPE:
		/* ".L1", ".annobin_…": marks of tools, in front of functions. */
		if (sym->st_shndx >= SHN_LORESERVE || *name == '.')
			return false;
		scn = elf_getscn(elf, sym->st_shndx);
		return scn && gelf_getshdr(scn, &shdr) && (shdr.sh_flags & SHF_EXECINSTR);
	default:
		return false;
	}
}

static struct xenpt_error *symbols_read(Elf *elf, Elf_Scn *scn, const GElf_Shdr *shdr,
					uint64_t bias, struct symbols *ret)
{
	Elf_Data *data = shdr->sh_size <= SYMTAB_MAX ? elf_getdata(scn, NULL) : NULL;
	GElf_Sym sym;

	for (int i = 0; data && gelf_getsym(data, i, &sym); i++) {
		const char *name = elf_strptr(elf, shdr->sh_link, sym.st_name);
		struct xenpt_symbol *symbol;

		if (!is_function(elf, &sym, name))
			continue;
		symbol = array_add(&ret->all);
		if (!symbol)
			return xenpt_error_no_memory();
		*symbol = (struct xenpt_symbol){ .address = sym.st_value + bias,
						 .size = sym.st_size,
						 .name = name };
	}
	return NULL;
}

static int symbol_compare(const void *a, const void *b)
{
	const struct xenpt_symbol *x = a, *y = b;

	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* What .dynsym repeats of .symtab is left out. Returns the new count. */
static size_t symbols_unique(struct xenpt_symbol *all, size_t count)
{
	size_t kept = 0;

	if (!count)
		return 0;
	qsort(all, count, sizeof(*all), symbol_compare);
	for (size_t i = 1; i < count; i++) {
		if (symbol_compare(&all[kept], &all[i]) != 0)
			all[++kept] = all[i];
		else if (all[i].size > all[kept].size)
			all[kept].size = all[i].size;
	}
	return kept + 1;
}

static struct xenpt_error *symbols_collect(Elf *elf, uint64_t bias, struct symbols *ret)
{
	bool seen[2] = {};
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while ((scn = elf_nextscn(elf, scn))) {
		bool dynamic;

		if (!gelf_getshdr(scn, &shdr) ||
		    (shdr.sh_type != SHT_SYMTAB && shdr.sh_type != SHT_DYNSYM))
			continue;
		/* There is one of each; more of them are made to keep us busy. */
		dynamic = shdr.sh_type == SHT_DYNSYM;
		if (seen[dynamic])
			continue;
		seen[dynamic] = true;
		XENPT_TRY(symbols_read(elf, scn, &shdr, bias, ret));
	}
	return NULL;
}

/* What is not the kernel's is of one process or another: at addresses that many have. */
static void symbols_keep_kernel(struct symbols *symbols)
{
	size_t kept = 0;

	for (size_t i = 0; i < symbols->all.count; i++) {
		if (xenpt_address_is_kernel(symbols->all.data[i].address))
			symbols->all.data[kept++] = symbols->all.data[i];
	}
	symbols->all.count = kept;
}

static struct xenpt_error *import_kernel(struct xenpt_writer *writer, uint32_t image,
					 const char *path, const char *name)
{
	const struct xenpt_import import = XENPT_IMPORT_DEFAULTS;
	_cleanup_import_elf_ struct import_elf *elf = NULL;
	struct symbols symbols = {};
	struct xenpt_error *err;
	size_t count;

	XENPT_TRY(import_elf_open(path, &elf));
	XENPT_TRY(import_elf_announce(elf, writer, &import, image, name));
	err = symbols_collect(elf->elf, 0, &symbols);
	symbols_keep_kernel(&symbols);
	count = symbols_unique(symbols.all.data, symbols.all.count);
	if (!err && count)
		err = xenpt_writer_symbols(writer, image, symbols.all.data, count);
	array_deinit(&symbols.all);
	return err;
}

struct xenpt_error *xenpt_import_kernel(struct xenpt_writer *writer, uint32_t image,
					const char *path, const char *name)
{
	return xenpt_error_prepend(import_kernel(writer, image, path, name), "%s", path);
}

struct xenpt_error *import_elf_symbols(struct import_elf *elf,
				       struct xenpt_writer *writer, uint32_t image,
				       uint64_t bias)
{
	struct symbols symbols = {};
	struct xenpt_error *err = symbols_collect(elf->elf, bias, &symbols);
	size_t count = symbols_unique(symbols.all.data, err ? 0 : symbols.all.count);

	if (!err && count)
		err = xenpt_writer_symbols(writer, image, symbols.all.data, count);
	array_deinit(&symbols.all);
	return err;
}

static struct xenpt_error *import_whole(struct xenpt_writer *writer,
					const struct xenpt_import *import, uint32_t image,
					const char *path, uint64_t base,
					const char *build_id)
{
	_cleanup_import_elf_ struct import_elf *elf = NULL;
	uint64_t bias;

	XENPT_TRY(import_elf_open(path, &elf));
	bias = import_elf_bias(elf, base);
	if (build_id)
		XENPT_TRY(import_elf_check(elf, build_id));
	XENPT_TRY(import_elf_announce(elf, writer, import, image, path));
	XENPT_TRY(import_elf_code(elf, writer, import, image, bias));
	return import_elf_symbols(elf, writer, image, bias);
}

struct xenpt_error *xenpt_import_elf(struct xenpt_writer *writer,
				     const struct xenpt_import *import, uint32_t image,
				     const char *path, uint64_t base,
				     const char *build_id)
{
	return xenpt_error_prepend(
		import_whole(writer, import, image, path, base, build_id), "%s", path);
}
