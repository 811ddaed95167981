/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Imports in a directory of their own, and what the .xpt then holds. */
#ifndef TEST_IMPORT_H
#define TEST_IMPORT_H

#include "xpt.h"

#include <elf.h>
#include <stdio.h>

#include "libxenpt/cleanup.h"

/* One import, from its files to the open result. */
struct bench {
	char dir[64];
	struct xenpt_import import;
	struct xenpt_writer *writer;
	struct xenpt_file *file;
	int fd;
	char warnings[8192]; /* each with a newline */
};

static inline void bench_warn(void *arg, const char *message)
{
	struct bench *bench = arg;
	size_t used = strlen(bench->warnings);

	snprintf(bench->warnings + used, sizeof(bench->warnings) - used, "%s\n", message);
}

static inline void bench_init(struct bench *bench)
{
	*bench = (struct bench){ .import = XENPT_IMPORT_DEFAULTS };
	strcpy(bench->dir, "/tmp/test-import-XXXXXX");
	assert_non_null(mkdtemp(bench->dir));
	bench->import.warn = bench_warn;
	bench->import.arg = bench;
	bench->writer = writer_open(&bench->fd);
}

/* Close the writer and open what it has written. */
static inline const struct xenpt_file_info *bench_result(struct bench *bench)
{
	struct bytes bytes;

	assert_success(xenpt_writer_finish(bench->writer));
	bytes = writer_close(bench->writer, bench->fd);
	bench->writer = NULL;
	assert_success(open_bytes(bytes.data, bytes.size, &bench->file));
	free(bytes.data);
	assert_true(xenpt_file_info(bench->file)->complete);
	return xenpt_file_info(bench->file);
}

/* Close what is open. */
static inline void bench_close(struct bench *bench)
{
	if (bench->writer) {
		xenpt_writer_destroy(bench->writer);
		close(bench->fd);
	}
	xenpt_file_close(bench->file);
	bench->writer = NULL;
	bench->file = NULL;
	bench->warnings[0] = '\0';
}

/* Start another import in the same directory. */
static inline void bench_again(struct bench *bench)
{
	bench_close(bench);
	bench->writer = writer_open(&bench->fd);
}

static inline void bench_deinit(struct bench *bench)
{
	char command[128];

	bench_close(bench);
	snprintf(command, sizeof(command), "rm -r %s", bench->dir);
	assert_int_equal(system(command), 0);
}

/* A path in the directory; the last four stay valid. */
static inline const char *bench_path(const struct bench *bench, const char *name)
{
	static char paths[4][256];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", bench->dir, name);
	return path;
}

static inline const char *bench_write(const struct bench *bench, const char *name,
				      const void *data, size_t size)
{
	const char *path = bench_path(bench, name);
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
	return path;
}

/* How many bytes from @address on are code of @cr3 and equal @data; -1: none. */
static inline ssize_t code_at(const struct bench *bench, uint64_t cr3, uint64_t address,
			      const void *data, size_t size)
{
	size_t count;
	const struct xenpt_chunk *code = xenpt_file_code(bench->file, &count);

	for (size_t i = count; i-- > 0;) {
		_cleanup_free_ uint8_t *bytes = malloc(code[i].size);
		size_t at = address - code[i].offset, n = 0;

		assert_non_null(bytes);
		if (code[i].cr3 != cr3 || address < code[i].offset || at >= code[i].size)
			continue;
		assert_success(xenpt_file_read(bench->file, &code[i], bytes));
		while (n < size && at + n < code[i].size &&
		       bytes[at + n] == ((const uint8_t *)data)[n])
			n++;
		return (ssize_t)n;
	}
	return -1;
}

/* The address of a symbol; 0: none, or not just one. */
static inline uint64_t symbol_at(const struct bench *bench, const char *name)
{
	size_t count;
	const struct xenpt_chunk *chunks = xenpt_file_symbols(bench->file, &count);
	uint64_t address = 0;
	unsigned int found = 0;

	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ struct section_symbols *table = malloc(chunks[i].size);
		const struct section_symbol *symbols;

		assert_non_null(table);
		assert_success(xenpt_file_read(bench->file, &chunks[i], table));
		symbols = (const void *)(table + 1);
		for (size_t k = 0; k < table->count; k++) {
			const char *names = (const char *)(symbols + table->count);

			if (strcmp(names + symbols[k].name, name) != 0)
				continue;
			address = symbols[k].address;
			found++;
		}
	}
	return found == 1 ? address : 0;
}

/* The trace of a vCPU equals @data, gaps aside. */
static inline void assert_trace(const struct bench *bench, uint32_t vcpu,
				const void *data, size_t size)
{
	size_t count, at = 0;
	const struct xenpt_chunk *trace = xenpt_file_trace(bench->file, vcpu, &count);

	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ uint8_t *bytes = malloc(trace[i].size + 1);

		if (trace[i].type == XENPT_SECTION_GAP)
			continue;
		assert_non_null(bytes);
		assert_success(xenpt_file_read(bench->file, &trace[i], bytes));
		assert_true(trace[i].size <= size - at);
		assert_memory_equal(bytes, (const uint8_t *)data + at, trace[i].size);
		at += trace[i].size;
	}
	assert_int_equal(at, size);
}

/* ---- a small ELF file ----------------------------------------------------- */

#define ELF_BUILD_ID "6aa9a4e26f282f33377d59fece874c715b41261a"

static const char elf_strings[] = "\0main\0helper\0label\0.mark\0table\0outside";

/* Offsets in it. */
enum {
	STR_MAIN = 1,
	STR_HELPER = 6,
	STR_LABEL = 13,
	STR_MARK = 19,
	STR_TABLE = 25,
	STR_OUTSIDE = 31,
};

enum {
	ELF_CODE = 0x1000, /* where its code is, in the file and in memory */
	ELF_CODE_SIZE = 0x40,
};

/* A test that wants another one changes its members. */
struct elf_file {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdrs[3]; /* headers, code, note */
	struct {
		Elf64_Nhdr header;
		char name[4];
		uint8_t build_id[20];
	} note;
	char strings[sizeof(elf_strings)];
	Elf64_Sym symtab[7], dynsym[2];
	Elf64_Shdr shdrs[6]; /* none, .text, .symtab, strings, .dynsym, note */
	uint8_t code[0x1000] __attribute__((aligned(4096)));
};
static_assert(offsetof(struct elf_file, code) == ELF_CODE, "");

#define ELF_PLACE(member)                               \
	.sh_offset = offsetof(struct elf_file, member), \
	.sh_size = sizeof(((struct elf_file *)NULL)->member)

static inline Elf64_Sym elf_symbol(uint32_t name, unsigned char type, uint16_t section,
				   uint64_t value)
{
	return (Elf64_Sym){ .st_name = name,
			    .st_info = ELF64_ST_INFO(STB_GLOBAL, type),
			    .st_shndx = section,
			    .st_value = value,
			    .st_size = 8 };
}

static inline void elf_add_sections(struct elf_file *elf, uint64_t base)
{
	const Elf64_Shdr shdrs[6] = {
		{},
		{ .sh_type = SHT_PROGBITS,
		  .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
		  .sh_addr = base + ELF_CODE,
		  .sh_offset = ELF_CODE,
		  .sh_size = ELF_CODE_SIZE },
		{ .sh_type = SHT_SYMTAB,
		  .sh_link = 3,
		  .sh_entsize = sizeof(Elf64_Sym),
		  ELF_PLACE(symtab) },
		{ .sh_type = SHT_STRTAB, ELF_PLACE(strings) },
		{ .sh_type = SHT_DYNSYM,
		  .sh_link = 3,
		  .sh_entsize = sizeof(Elf64_Sym),
		  ELF_PLACE(dynsym) },
		{ .sh_type = SHT_NOTE, .sh_addralign = 4, ELF_PLACE(note) },
	};

	memcpy(elf->shdrs, shdrs, sizeof(shdrs));
	elf->ehdr.e_shoff = offsetof(struct elf_file, shdrs);
	elf->ehdr.e_shentsize = sizeof(Elf64_Shdr);
	elf->ehdr.e_shnum = 6;
}

/* A file that is linked to @base. */
static inline void elf_make(struct elf_file *elf, uint64_t base)
{
	static const uint8_t build_id[] = { 0x6a, 0xa9, 0xa4, 0xe2, 0x6f, 0x28, 0x2f,
					    0x33, 0x37, 0x7d, 0x59, 0xfe, 0xce, 0x87,
					    0x4c, 0x71, 0x5b, 0x41, 0x26, 0x1a };
	uint64_t code = base + ELF_CODE;

	*elf = (struct elf_file){
		.ehdr = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
			  .e_type = ET_DYN,
			  .e_machine = EM_X86_64,
			  .e_version = EV_CURRENT,
			  .e_phoff = offsetof(struct elf_file, phdrs),
			  .e_ehsize = sizeof(Elf64_Ehdr),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 3 },
		.phdrs = { { PT_LOAD, PF_R, 0, base, base, ELF_CODE, ELF_CODE, 0x1000 },
			   { PT_LOAD, PF_R | PF_X, ELF_CODE, code, code, ELF_CODE_SIZE,
			     ELF_CODE_SIZE, 0x1000 },
			   { PT_NOTE, PF_R, offsetof(struct elf_file, note), 0, 0,
			     sizeof(elf->note), sizeof(elf->note), 4 } },
		.note = { { 4, 20, NT_GNU_BUILD_ID }, "GNU", {} },
		.symtab = { {},
			    elf_symbol(STR_MAIN, STT_FUNC, 1, code),
			    elf_symbol(STR_HELPER, STT_GNU_IFUNC, 1, code + 8),
			    elf_symbol(STR_LABEL, STT_NOTYPE, 1, code + 16),
			    elf_symbol(STR_MARK, STT_NOTYPE, 1, code + 16),
			    elf_symbol(STR_TABLE, STT_OBJECT, 1, code + 32),
			    elf_symbol(STR_OUTSIDE, STT_FUNC, SHN_UNDEF, 0) },
		.dynsym = { {}, elf_symbol(STR_MAIN, STT_FUNC, 1, code) },
	};
	elf_add_sections(elf, base);
	memcpy(elf->note.build_id, build_id, sizeof(build_id));
	memcpy(elf->strings, elf_strings, sizeof(elf_strings));
	for (size_t i = 0; i < sizeof(elf->code); i++)
		elf->code[i] = (uint8_t)noise(i);
}

#endif
