/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Address -> symbol and back, and ticks -> nanoseconds. */
#include "xpt.h"

#include "libxenpt/crc32c.h"

enum {
	ANY_IMAGE,
	KERNEL,
	PROGRAM
};

static const struct xenpt_image_info images[] = {
	{ ANY_IMAGE, "any", "", XENPT_CR3_ANY },
	{ KERNEL, "vmlinux", "", 0x1000 },
	{ PROGRAM, "program", "", 0x2000 },
};

struct fixture {
	struct xenpt_file *file;
	struct xenpt_symtab *symtab;
};

static struct fixture load(const struct xenpt_symbol *symbols, size_t count,
			   uint32_t image)
{
	struct xenpt_symbol any = { 0x100, 0x1000, "everywhere", "" };
	struct xenpt_writer *writer;
	struct bytes bytes;
	struct fixture ret;
	int fd;

	writer = writer_open(&fd);
	for (size_t i = 0; i < 3; i++)
		assert_success(xenpt_writer_image(writer, &images[i]));
	assert_success(xenpt_writer_symbols(writer, ANY_IMAGE, &any, 1));
	assert_success(xenpt_writer_symbols(writer, image, symbols, count));
	bytes = writer_close(writer, fd);
	assert_success(open_bytes(bytes.data, bytes.size, &ret.file));
	assert_success(xenpt_symtab_create(ret.file, &ret.symtab));
	free(bytes.data);
	return ret;
}

static void end(struct fixture *f)
{
	xenpt_symtab_destroy(f->symtab);
	xenpt_file_close(f->file);
}

/* That the symbol at @address is @name; NULL: none. */
static void check(const struct fixture *f, uint64_t cr3, uint64_t address,
		  const char *name)
{
	struct xenpt_symbol symbol = {};

	assert_int_equal(xenpt_symtab_find(f->symtab, cr3, address, &symbol), !!name);
	if (name)
		assert_string_equal(symbol.name, name);
}

static void test_find(void **state)
{
	const struct xenpt_symbol symbols[] = {
		{ 0x300, 0x10, "second", "" },
		{ 0x200, 0x10, "first", "" },
		{ 0x9000, 0x10, "third", "" },
	};
	struct fixture f = load(symbols, 3, KERNEL);
	struct xenpt_symbol symbol;

	assert_true(xenpt_symtab_find(f.symtab, 0x1000, 0x20f, &symbol));
	assert_string_equal(symbol.name, "first");
	assert_string_equal(symbol.image, "vmlinux");
	assert_int_equal(symbol.address, 0x200);
	assert_int_equal(symbol.size, 0x10);
	check(&f, 0x1000, 0x200, "first");
	check(&f, 0x1000, 0x30f, "second");
	/* Others see what is everywhere, and so does the kernel in between. */
	check(&f, 0x2000, 0x200, "everywhere");
	check(&f, XENPT_CR3_ANY, 0x200, "everywhere");
	check(&f, 0x1000, 0x210, "everywhere");
	check(&f, 0x1000, 0xff, NULL);
	check(&f, 0x1000, 0x8fff, NULL);
	check(&f, 0x1000, 0x9010, NULL);
	check(&f, 0x1000, UINT64_MAX, NULL);
	end(&f);
}

static void test_find_name(void **state)
{
	const struct xenpt_symbol symbols[] = {
		{ 0x300, 0x10, "twice", "" },
		{ 0x200, 0x10, "twice", "" },
	};
	struct fixture f = load(symbols, 2, PROGRAM);
	struct xenpt_symbol symbol;

	assert_true(xenpt_symtab_find_name(f.symtab, XENPT_CR3_ANY, "twice", &symbol));
	assert_int_equal(symbol.address, 0x200);
	assert_string_equal(symbol.image, "program");
	assert_int_equal(symbol.cr3, 0x2000);
	assert_true(xenpt_symtab_find_name(f.symtab, 0x2000, "twice", &symbol));
	assert_int_equal(symbol.address, 0x200);
	assert_false(xenpt_symtab_find_name(f.symtab, 0x1000, "twice", &symbol));
	assert_true(xenpt_symtab_find_name(f.symtab, 0x1000, "everywhere", &symbol));
	assert_int_equal(symbol.cr3, XENPT_CR3_ANY);
	assert_false(xenpt_symtab_find_name(f.symtab, XENPT_CR3_ANY, "twic", &symbol));
	end(&f);
}

static void test_nested(void **state)
{
	const struct xenpt_symbol symbols[] = {
		{ 0x10000, 0x1000, "outer", "" },   { 0x10100, 0x100, "inner", "" },
		{ 0x10140, 0x10, "innermost", "" }, { 0x10300, 0x2000, "across", "" },
		{ 0x10400, 0, "label", "" },        { 0x10500, 8, "alias", "" },
		{ 0x10500, 8, "other", "" },        { 0x10500, 0, "bare", "" },
		{ 0x10500, 16, "longer", "" },
	};
	struct fixture f = load(symbols, 9, KERNEL);

	check(&f, 0x1000, 0x10000, "outer");
	check(&f, 0x1000, 0x10100, "inner");
	check(&f, 0x1000, 0x10145, "innermost");
	check(&f, 0x1000, 0x10150, "inner");
	check(&f, 0x1000, 0x10200, "outer");
	check(&f, 0x1000, 0x10300, "across");
	check(&f, 0x1000, 0x10450, "label");
	check(&f, 0x1000, 0x10507, "alias");
	check(&f, 0x1000, 0x10508, "longer");
	check(&f, 0x1000, 0x10510, "across");
	check(&f, 0x1000, 0x12000, "across");
	check(&f, 0x1000, 0x12300, NULL);
	end(&f);
}

/* Past any number of symbols inside it, the one around them is found. */
static void test_siblings(void **state)
{
	enum {
		COUNT = 1000
	};
	struct xenpt_symbol symbols[COUNT];
	struct fixture f;

	symbols[0] = (struct xenpt_symbol){ 0x10000, 16 * COUNT + 16, "outer", "" };
	for (size_t i = 1; i < COUNT; i++)
		symbols[i] = (struct xenpt_symbol){ 0x10000 + i * 16, 24, "inner", "" };
	f = load(symbols, COUNT, KERNEL);
	check(&f, 0x1000, 0x10000 + 16 * COUNT + 7, "inner");
	check(&f, 0x1000, 0x10000 + 16 * COUNT + 8, "outer");
	check(&f, 0x1000, 0x10000 + 16 * COUNT + 16, NULL);
	end(&f);
}

static void test_unsized(void **state)
{
	const struct xenpt_symbol symbols[] = {
		{ 0x10000, 0, "a", "" },      { 0x10000, 0, "b", "" },
		{ 0x10080, 0, "c", "" },      { 0x50000, 0x100, "function", "" },
		{ 0x50080, 0, "inside", "" }, { UINT64_MAX - 1, 0, "last", "" },
	};
	struct fixture f = load(symbols, 6, KERNEL);
	struct xenpt_symbol symbol;

	check(&f, 0x1000, 0x1007f, "a");
	check(&f, 0x1000, 0x10080, "c");
	check(&f, 0x1000, 0x2007f, "c");
	check(&f, 0x1000, 0x20080, NULL);
	check(&f, 0x1000, 0x500ff, "inside");
	check(&f, 0x1000, 0x50100, NULL);
	check(&f, 0x1000, UINT64_MAX - 1, "last");
	assert_true(xenpt_symtab_find(f.symtab, 0x1000, 0x10000, &symbol));
	assert_int_equal(symbol.size, 0);
	end(&f);
}

/* More symbols than one chunk takes, and a name that is none. */
static void test_many(void **state)
{
	enum {
		COUNT = 100000,
		LONG = 70000
	};
	struct xenpt_symbol *symbols = calloc(COUNT, sizeof(*symbols)), symbol;
	char(*names)[16] = calloc(COUNT, sizeof(*names));
	char *name = malloc(LONG + 1);
	struct fixture f;
	size_t chunks;

	assert_true(symbols && names && name);
	memset(name, 'n', LONG);
	name[LONG] = '\0';
	for (size_t i = 0; i < COUNT; i++) {
		snprintf(names[i], sizeof(names[i]), "symbol %zu", i);
		symbols[i] = (struct xenpt_symbol){ i * 32, 16, names[i], "" };
	}
	symbols[77].name = name;
	f = load(symbols, COUNT, PROGRAM);
	xenpt_file_symbols(f.file, &chunks);
	assert_in_range(chunks, 3, 10);
	for (size_t i = 0; i < COUNT; i++) {
		assert_true(xenpt_symtab_find(f.symtab, 0x2000, i * 32 + 15, &symbol));
		assert_int_equal(symbol.address, i * 32);
		if (i != 77)
			assert_string_equal(symbol.name, names[i]);
	}
	assert_true(xenpt_symtab_find(f.symtab, 0x2000, 77 * 32, &symbol));
	assert_int_equal(strlen(symbol.name), 0xffff);
	end(&f);
	free(name);
	free(names);
	free(symbols);
}

/* Symbols that a file says are in a chunk, and are not. */
static void test_hostile(void **state)
{
	struct xenpt_symbol symbol = { 0x1000, 16, "symbol", "" };
	static const struct {
		size_t at;
		uint8_t byte;
		const char *text;
	} lies[] = {
		{ 0, 2, "more symbols than its size allows" },
		{ 3, 0x80, "more symbols than its size allows" },
		{ 8 + 16, 7, "a symbol's name is not in the chunk" },
		{ 8 + 19, 0xff, "a symbol's name is not in the chunk" },
		{ 8 + 24 + 6, 'x', "a symbol's name does not end" },
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct xenpt_symtab *symtab = NULL;
		struct section_header header;
		struct xenpt_writer *writer;
		struct xenpt_file *file;
		struct bytes bytes;
		size_t at[8];
		uint8_t *payload;
		int fd;

		writer = writer_open(&fd);
		assert_success(xenpt_writer_image(writer, &images[KERNEL]));
		assert_success(xenpt_writer_symbols(writer, KERNEL, &symbol, 1));
		bytes = writer_close(writer, fd);
		assert_int_equal(find_chunks(bytes, at, 8), 3);
		header = header_at(bytes, at[2]);
		payload = bytes.data + at[2] + sizeof(header);
		payload[lies[i].at] = lies[i].byte;
		header.payload_crc = xenpt_crc32c(0, payload, header.size);
		reseal(bytes, at[2], header);
		assert_success(open_bytes(bytes.data, bytes.size, &file));
		assert_error(xenpt_symtab_create(file, &symtab), XENPT_ERROR_FORMAT,
			     lies[i].text);
		assert_null(symtab);
		xenpt_file_close(file);
		free(bytes.data);
	}
}

static void check_clock(struct xenpt_cpu cpu, double hz)
{
	struct xenpt_clock clock = xenpt_clock_from_cpu(&cpu);

	if (hz == 0)
		assert_true(clock.ns_per_tick == 0);
	else
		assert_float_equal(clock.ns_per_tick * hz, 1e9, 1);
}

static void test_clock(void **state)
{
	check_clock((struct xenpt_cpu){}, 0);
	check_clock((struct xenpt_cpu){ .nom_freq = 24 }, 2.4e9);
	/* Skylake: 24 MHz; Xeon: 25 MHz; Goldmont: 19.2 MHz. */
	check_clock((struct xenpt_cpu){ .nom_freq = 26,
					.cpuid_15_eax = 2,
					.cpuid_15_ebx = 216 },
		    2.592e9);
	check_clock((struct xenpt_cpu){ .nom_freq = 21,
					.cpuid_15_eax = 2,
					.cpuid_15_ebx = 168 },
		    2.1e9);
	check_clock((struct xenpt_cpu){ .nom_freq = 11,
					.cpuid_15_eax = 3,
					.cpuid_15_ebx = 171 },
		    1.0944e9);
	/* Numbers that fit no crystal, or nothing. */
	check_clock((struct xenpt_cpu){ .nom_freq = 26,
					.cpuid_15_eax = 1,
					.cpuid_15_ebx = 1 },
		    2.6e9);
	check_clock((struct xenpt_cpu){ .cpuid_15_eax = 2, .cpuid_15_ebx = 216 }, 0);
	/* perf's numbers are measured: they go first. */
	check_clock((struct xenpt_cpu){ .nom_freq = 26,
					.time_mult = 1 << 30,
					.time_shift = 31 },
		    2e9);
	check_clock(
		(struct xenpt_cpu){ .nom_freq = 26, .time_mult = 1, .time_shift = 64 },
		2.6e9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),    cmocka_unit_test(test_find_name),
		cmocka_unit_test(test_nested),  cmocka_unit_test(test_siblings),
		cmocka_unit_test(test_unsized), cmocka_unit_test(test_many),
		cmocka_unit_test(test_hostile), cmocka_unit_test(test_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
