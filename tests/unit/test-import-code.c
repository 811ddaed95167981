/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Importing code: ELF files, parts of files, page maps; and raw PT. */
#include "import.h"

static struct elf_file elf;

static struct xenpt_error *import_elf(struct bench *bench, uint64_t base,
				      const char *build_id)
{
	return xenpt_import_elf(bench->writer, &bench->import, 0,
				bench_write(bench, "image", &elf, sizeof(elf)), base,
				build_id);
}

static void elf_at_its_addresses(void **state)
{
	struct bench bench;

	bench_init(&bench);
	elf_make(&elf, 0x400000);
	bench.import.cr3 = 0x1000;
	assert_success(import_elf(&bench, UINT64_MAX, ELF_BUILD_ID));
	assert_string_equal(bench_result(&bench)->images[0].build_id, ELF_BUILD_ID);
	assert_int_equal(xenpt_file_info(bench.file)->images[0].cr3, 0x1000);
	assert_int_equal(code_at(&bench, 0x1000, 0x401000, elf.code, 0x1000),
			 ELF_CODE_SIZE);
	assert_int_equal(code_at(&bench, 0x1000, 0x400000, elf.code, 1), -1);
	assert_int_equal(symbol_at(&bench, "main"), 0x401000);
	assert_string_equal(bench.warnings, "");
	bench_deinit(&bench);
}

static void elf_elsewhere(void **state)
{
	struct bench bench;

	bench_init(&bench);
	elf_make(&elf, 0x400000);
	assert_success(import_elf(&bench, 0x7f0000000000, NULL));
	bench_result(&bench);
	assert_int_equal(
		code_at(&bench, XENPT_CR3_ANY, 0x7f0000001000, elf.code, ELF_CODE_SIZE),
		ELF_CODE_SIZE);
	assert_int_equal(symbol_at(&bench, "main"), 0x7f0000001000);
	assert_int_equal(symbol_at(&bench, "helper"), 0x7f0000001008);
	assert_int_equal(symbol_at(&bench, "label"), 0x7f0000001010);
	/* What is no function of it. */
	assert_int_equal(symbol_at(&bench, ".mark"), 0);
	assert_int_equal(symbol_at(&bench, "table"), 0);
	assert_int_equal(symbol_at(&bench, "outside"), 0);
	bench_deinit(&bench);
}

/* The kernel maps whole pages: that is the base which users see. */
static void elf_that_begins_inside_a_page(void **state)
{
	struct bench bench;

	bench_init(&bench);
	elf_make(&elf, 0x400000);
	elf.phdrs[0].p_offset = 0x40;
	elf.phdrs[0].p_vaddr = 0x400040;
	assert_success(import_elf(&bench, 0x10000, NULL));
	bench_result(&bench);
	assert_int_equal(symbol_at(&bench, "main"), 0x11000);
	bench_deinit(&bench);
}

static void elf_without_sections(void **state)
{
	struct bench bench;

	bench_init(&bench);
	elf_make(&elf, 0);
	elf.ehdr.e_shoff = elf.ehdr.e_shnum = elf.ehdr.e_shentsize = 0;
	assert_success(import_elf(&bench, 0x10000, ELF_BUILD_ID));
	bench_result(&bench);
	assert_int_equal(code_at(&bench, XENPT_CR3_ANY, 0x11000, elf.code, 1), 1);
	bench_deinit(&bench);
}

/* Its segments are where code was, not where there is some now. */
static void elf_of_debug_information(void **state)
{
	struct bench bench;

	bench_init(&bench);
	elf_make(&elf, 0);
	elf.shdrs[1].sh_type = SHT_NOBITS;
	assert_success(import_elf(&bench, 0x10000, NULL));
	assert_int_equal(bench_result(&bench)->code_size, 0);
	assert_int_equal(symbol_at(&bench, "main"), 0x11000);
	bench_deinit(&bench);
}

static void elf_of_another_build(void **state)
{
	struct bench bench;

	bench_init(&bench);
	elf_make(&elf, 0);
	assert_error(import_elf(&bench, 0, "c0ffee"), XENPT_ERROR_INVALID,
		     "its build-id is " ELF_BUILD_ID ", not c0ffee");
	elf.note.header.n_type = 0;
	assert_error(import_elf(&bench, 0, "c0ffee"), XENPT_ERROR_INVALID,
		     "its build-id is missing, not c0ffee");
	bench_deinit(&bench);
}

static void elf_of_another_machine(void **state)
{
	struct bench bench;

	bench_init(&bench);
	elf_make(&elf, 0);
	elf.ehdr.e_machine = EM_AARCH64;
	assert_error(import_elf(&bench, 0, NULL), XENPT_ERROR_FORMAT,
		     "image: is an ELF file, but not of x86");
	elf.ehdr.e_ident[0] = 0;
	assert_error(import_elf(&bench, 0, NULL), XENPT_ERROR_FORMAT, "no ELF file");
	elf_make(&elf, 0);
	elf.phdrs[1].p_flags = PF_R;
	assert_error(import_elf(&bench, 0, NULL), XENPT_ERROR_FORMAT,
		     "no executable segment");
	bench_deinit(&bench);
}

/* Headers that lie: what the file has of a segment is imported, or nothing. */
static void elf_with_impossible_segments(void **state)
{
	struct bench bench;

	bench_init(&bench);
	elf_make(&elf, 0);
	elf.phdrs[1].p_filesz = UINT64_C(1) << 63;
	elf.phdrs[2].p_filesz = UINT64_MAX;
	assert_success(import_elf(&bench, 0, NULL));
	assert_int_equal(bench_result(&bench)->code_size, sizeof(elf.code));
	bench_deinit(&bench);

	bench_init(&bench);
	elf.phdrs[1].p_offset = UINT64_MAX - 4096;
	assert_error(import_elf(&bench, 0, NULL), XENPT_ERROR_FORMAT,
		     "no executable segment");
	for (int i = 0; i < 3; i++)
		elf.phdrs[i] = (Elf64_Phdr){ .p_type = PT_LOAD,
					     .p_flags = PF_X,
					     .p_filesz = UINT64_MAX };
	assert_error(import_elf(&bench, 0, NULL), XENPT_ERROR_FORMAT, "overlap");
	bench_deinit(&bench);

	bench_init(&bench);
	elf_make(&elf, 0);
	elf.phdrs[1].p_vaddr = UINT64_MAX - 8;
	assert_error(import_elf(&bench, UINT64_MAX, NULL), XENPT_ERROR_INVALID,
		     "past the end of the address space");
	bench_deinit(&bench);
}

/* ---- parts of files ------------------------------------------------------- */

static void raw_parts(void **state)
{
	_cleanup_free_ uint8_t *data = malloc(600000);
	struct bench bench;
	const char *path;

	assert_non_null(data);
	for (size_t i = 0; i < 600000; i++)
		data[i] = (uint8_t)noise(i);
	bench_init(&bench);
	path = bench_write(&bench, "data", data, 600000);
	/* More than is read at once. */
	assert_success(xenpt_import_raw(bench.writer, &bench.import, 3, path, 1, 600000,
					0xffffffff81000000));
	assert_error(xenpt_import_raw(bench.writer, &bench.import, 4, path, 0, 600001, 0),
		     XENPT_ERROR_INVALID, "data: 0x0 to 0x927c1 is past the end");
	assert_error(xenpt_import_raw(bench.writer, &bench.import, 4, path, 8, 8, 0),
		     XENPT_ERROR_INVALID, "0x8 to 0x8 is not a range");
	assert_error(xenpt_import_raw(bench.writer, &bench.import, 4, bench.dir, 0, 8, 0),
		     XENPT_ERROR_OS, "Is a directory");
	assert_error(xenpt_import_raw(bench.writer, &bench.import, 4,
				      bench_path(&bench, "none"), 0, 8, 0),
		     XENPT_ERROR_OS, "none: cannot open it: No such file");
	bench_result(&bench);
	for (size_t i = 1; i < 600000;) {
		ssize_t n = code_at(&bench, XENPT_CR3_ANY, 0xffffffff81000000 + i - 1,
				    data + i, 600000 - i);

		assert_true(n > 0);
		i += (size_t)n;
	}
	bench_deinit(&bench);
}

static struct xenpt_error *import_map(struct bench *bench, const char *map)
{
	const char *path = bench_write(bench, "map", map, strlen(map));

	elf_make(&elf, 0);
	return xenpt_import_map(bench->writer, &bench->import, 0, path,
				bench_write(bench, "data", elf.code, 0x1000));
}

static void page_map(void **state)
{
	struct bench bench;
	size_t count;

	bench_init(&bench);
	assert_success(import_map(&bench, "# begin end address\n\n"
					  "0x0 0x100 0x400000\n"
					  "100 200 400100\n"
					  " 200 300 ffffffff81000000"));
	bench_result(&bench);
	assert_int_equal(code_at(&bench, XENPT_CR3_ANY, 0x400000, elf.code, 0x1000),
			 0x200);
	assert_int_equal(code_at(&bench, XENPT_CR3_ANY, 0xffffffff81000000,
				 elf.code + 0x200, 0x1000),
			 0x100);
	/* What belongs together is one piece. */
	xenpt_file_code(bench.file, &count);
	assert_int_equal(count, 2);
	bench_deinit(&bench);
}

static void page_map_that_is_wrong(void **state)
{
	struct bench bench;

	bench_init(&bench);
	assert_error(import_map(&bench, "0 100 0\n0 100\n"), XENPT_ERROR_FORMAT,
		     "map: line 2: \"BEGIN END ADDRESS\"");
	bench_deinit(&bench);
	bench_init(&bench);
	assert_error(import_map(&bench, "0 1001 0\n"), XENPT_ERROR_INVALID,
		     "map: line 1: 0x0 to 0x1001 is past the end");
	bench_deinit(&bench);
	bench_init(&bench);
	assert_error(import_map(&bench, "0 -1 0\n"), XENPT_ERROR_FORMAT, "line 1");
	bench_deinit(&bench);
	bench_init(&bench);
	assert_error(import_map(&bench, "0 11111111111111111 0\n"), XENPT_ERROR_FORMAT,
		     "line 1");
	bench_deinit(&bench);
	bench_init(&bench);
	assert_error(import_map(&bench, "0 9 fffffffffffffff8\n"), XENPT_ERROR_INVALID,
		     "past the end of the address space");
	bench_deinit(&bench);
}

/* ---- raw PT ---------------------------------------------------------------- */

static void raw_pt(void **state)
{
	_cleanup_free_ uint8_t *data = malloc(600000);
	struct bench bench;

	assert_non_null(data);
	for (size_t i = 0; i < 600000; i++)
		data[i] = (uint8_t)noise(i);
	bench_init(&bench);
	assert_success(xenpt_import_pt(bench.writer, &bench.import, 5,
				       bench_write(&bench, "cpu5.pt", data, 600000)));
	assert_success(xenpt_import_pt(bench.writer, &bench.import, 6,
				       bench_write(&bench, "empty", data, 0)));
	assert_error(xenpt_import_pt(bench.writer, &bench.import, 7, bench.dir),
		     XENPT_ERROR_OS, "Is a directory");
	assert_string_equal(bench_result(&bench)->vcpus[0].vcpu.name, "cpu5.pt");
	assert_non_null(strstr(bench.warnings, "empty: is empty"));
	assert_trace(&bench, 5, data, 600000);
	bench_deinit(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elf_at_its_addresses),
		cmocka_unit_test(elf_elsewhere),
		cmocka_unit_test(elf_that_begins_inside_a_page),
		cmocka_unit_test(elf_without_sections),
		cmocka_unit_test(elf_of_debug_information),
		cmocka_unit_test(elf_of_another_build),
		cmocka_unit_test(elf_of_another_machine),
		cmocka_unit_test(elf_with_impossible_segments),
		cmocka_unit_test(raw_parts),
		cmocka_unit_test(page_map),
		cmocka_unit_test(page_map_that_is_wrong),
		cmocka_unit_test(raw_pt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
