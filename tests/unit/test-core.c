/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Core dumps of "xl dump-core": pages, registers, and dumps that are not what they say.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libxenpt/mem-core-xen.h"
#include "libxenpt/mem-core.h"
#include "tests/dump-core.h"
#include "tests/trace.h"

#ifdef HAVE_XEN
#include <xen/xen.h>

#define CHECK_CONTEXT(name, member)                                   \
	_Static_assert(offsetof(struct vcpu_guest_context, member) == \
			       XEN_CONTEXT_##name,                    \
		       #member)
#define CHECK_USER(NAME, member)                                                       \
	_Static_assert(offsetof(struct cpu_user_regs, member) == XEN_USER_REGS_##NAME, \
		       #member)
_Static_assert(sizeof(struct vcpu_guest_context) == XEN_CONTEXT_SIZE, "size");
_Static_assert(VGCF_online == XEN_VGCF_ONLINE, "online");
CHECK_CONTEXT(FLAGS, flags);
CHECK_CONTEXT(USER_REGS, user_regs);
CHECK_CONTEXT(CTRLREG, ctrlreg);
CHECK_CONTEXT(FS_BASE, fs_base);
CHECK_CONTEXT(GS_BASE_KERNEL, gs_base_kernel);
CHECK_CONTEXT(GS_BASE_USER, gs_base_user);
CHECK_USER(R15, r15);
CHECK_USER(R14, r14);
CHECK_USER(R13, r13);
CHECK_USER(R12, r12);
CHECK_USER(RBP, rbp);
CHECK_USER(RBX, rbx);
CHECK_USER(R11, r11);
CHECK_USER(R10, r10);
CHECK_USER(R9, r9);
CHECK_USER(R8, r8);
CHECK_USER(RAX, rax);
CHECK_USER(RCX, rcx);
CHECK_USER(RDX, rdx);
CHECK_USER(RSI, rsi);
CHECK_USER(RDI, rdi);
CHECK_USER(RIP, rip);
CHECK_USER(CS, cs);
CHECK_USER(RFLAGS, rflags);
CHECK_USER(RSP, rsp);
CHECK_USER(SS, ss);
#endif

/* Memory each page of which says at which address it is. */
static bool say_address(struct xenpt_mem *mem, uint64_t gpa, void *buf, size_t size)
{
	uint64_t *words = buf;

	assert_int_equal(size, XENPT_PAGE_SIZE);
	for (size_t i = 0; i < XENPT_PAGE_SIZE / 8; i++)
		words[i] = gpa + 8 * i;
	return true;
}

static struct xenpt_mem memory = { say_address };

/* A dump in memory. */
struct fixture {
	int fd;
	char path[64];
	struct dump_core_layout layout;
};

static void fixture_init(struct fixture *fixture, const struct dump_core *core)
{
	fixture->fd = memfd_create("core", 0);
	assert_true(fixture->fd >= 0);
	snprintf(fixture->path, sizeof(fixture->path), "/proc/self/fd/%d", fixture->fd);
	assert_true(dump_core_write(fixture->fd, core, &memory, &fixture->layout));
}

static void write_word(struct fixture *fixture, uint64_t offset, uint64_t value)
{
	assert_int_equal(pwrite(fixture->fd, &value, 8, offset), 8);
}

/* A member of a section header. */
static void set_section(struct fixture *fixture, unsigned int section, size_t member,
			uint64_t value)
{
	write_word(fixture,
		   fixture->layout.headers + section * sizeof(Elf64_Shdr) + member,
		   value);
}

#define SET_SECTION(fixture, section, member, value) \
	set_section(fixture, section, offsetof(Elf64_Shdr, member), value)

static struct xenpt_core *fixture_open(struct fixture *fixture)
{
	struct xenpt_core *core;

	check_error(xenpt_core_open(fixture->path, &core));
	return core;
}

/* It says what is wrong, and of what file. */
static void assert_refused(struct fixture *fixture, const char *why)
{
	struct xenpt_core *core = NULL;
	struct xenpt_error *err = xenpt_core_open(fixture->path, &core);

	assert_non_null(err);
	assert_null(core);
	if (!strstr(err->message, why) ||
	    strncmp(err->message, fixture->path, strlen(fixture->path)) != 0)
		fail_msg("\"%s\" does not say \"%s\"", err->message, why);
	xenpt_error_destroy(err);
	close(fixture->fd);
}

static void assert_page(struct xenpt_core *core, uint64_t pfn)
{
	uint64_t word = 0, gpa = pfn * XENPT_PAGE_SIZE;
	uint8_t page[XENPT_PAGE_SIZE];

	assert_true(xenpt_mem_read(xenpt_core_mem(core), gpa, page, sizeof(page)));
	memcpy(&word, page + sizeof(page) - 8, 8);
	assert_int_equal(word, gpa + sizeof(page) - 8);
	assert_true(xenpt_mem_read(xenpt_core_mem(core), gpa + 0x128, &word, 8));
	assert_int_equal(word, gpa + 0x128);
}

static void assert_no_page(struct xenpt_core *core, uint64_t pfn)
{
	uint64_t word = 42;

	assert_false(
		xenpt_mem_read(xenpt_core_mem(core), pfn * XENPT_PAGE_SIZE, &word, 8));
	assert_int_equal(word, 42);
}

/* ---- what is there ------------------------------------------------------- */

static const uint64_t holes[] = { 3, 4, 9, 0x100000, UINT64_MAX, UINT64_MAX };

static void test_holes(void **state)
{
	for (int pv = 0; pv < 2; pv++) {
		struct dump_core dump = { .pfns = holes, .pages = 6, .pv = pv };
		struct xenpt_core *core;
		struct fixture fixture;
		uint64_t word;

		fixture_init(&fixture, &dump);
		core = fixture_open(&fixture);
		assert_string_equal(xenpt_core_format(core), "xl dump-core");
		assert_int_equal(xenpt_core_pages(core), 4);
		assert_int_equal(xenpt_core_missing(core), 0);
		assert_int_equal(xenpt_core_vcpus(core), 0);
		for (size_t i = 0; i < 4; i++)
			assert_page(core, holes[i]);
		assert_no_page(core, 0);
		assert_no_page(core, 2);
		assert_no_page(core, 5);
		assert_no_page(core, 0x100001);
		assert_no_page(core, UINT64_MAX / XENPT_PAGE_SIZE);
		/* Not over the end of a page. */
		assert_false(xenpt_mem_read(xenpt_core_mem(core), 0x3ffc, &word, 8));
		xenpt_core_close(core);
		close(fixture.fd);
	}
}

/* More than a block of the table, and not a whole number of them. */
static void test_many(void **state)
{
	for (int pv = 0; pv < 2; pv++) {
		uint64_t pfns[1500];
		struct dump_core dump = { .pfns = pfns, .pages = 1500, .pv = pv };
		struct xenpt_core *core;
		struct fixture fixture;

		for (size_t i = 0; i < 1500; i++)
			pfns[i] = 7 + 3 * i;
		fixture_init(&fixture, &dump);
		core = fixture_open(&fixture);
		assert_int_equal(xenpt_core_pages(core), 1500);
		for (uint64_t pfn = 0; pfn < 7 + 3 * 1502; pfn++) {
			if (pfn >= 7 && pfn <= pfns[1499] && (pfn - 7) % 3 == 0)
				assert_page(core, pfn);
			else
				assert_no_page(core, pfn);
		}
		/* Back and forth between blocks. */
		assert_page(core, pfns[0]);
		assert_page(core, pfns[1024]);
		assert_page(core, pfns[511]);
		assert_page(core, pfns[512]);
		xenpt_core_close(core);
		close(fixture.fd);
	}
}

static void test_registers(void **state)
{
	struct xenpt_registers regs[3] = {
		{ .rip = 0xffffffff81000000,
		  .rflags = 0x246,
		  .cr0 = 0x80050033,
		  .cr2 = 0x123,
		  .cr3 = 0x1234000,
		  .cr4 = 0x3506f0,
		  .fs_base = 0x7f0000000000,
		  .gs_base = 0xffff888000000000,
		  .shadow_gs_base = 0x42,
		  .cs = 0x10,
		  .ss = 0x18 },
		{},
		/* PAE, in user mode. */
		{ .rip = 0x8048000,
		  .cr0 = 0x80000011,
		  .cr3 = 0x5020,
		  .cr4 = 0x20,
		  .gs_base = 0x33,
		  .shadow_gs_base = 0x44,
		  .cs = 0x73,
		  .ss = 0x7b,
		  .cpl = 3 },
	};
	struct dump_core dump = { .regs = regs, .vcpus = 3, .pfns = holes, .pages = 6 };
	struct xenpt_registers got;
	struct xenpt_core *core;
	struct fixture fixture;

	for (size_t i = 0; i < 16; i++)
		regs[0].gpr[i] = 0x1000 + i;
	fixture_init(&fixture, &dump);
	core = fixture_open(&fixture);
	assert_int_equal(xenpt_core_vcpus(core), 3);
	assert_true(xenpt_core_registers(core, 0, &got));
	regs[0].efer = 0x400;
	regs[0].mode = 64;
	assert_memory_equal(&got, &regs[0], sizeof(got));
	/* Switched off: it is in nothing. */
	assert_false(xenpt_core_registers(core, 1, &got));
	assert_true(xenpt_core_registers(core, 2, &got));
	regs[2].mode = 32;
	assert_memory_equal(&got, &regs[2], sizeof(got));
	assert_false(xenpt_core_registers(core, 3, &got));
	assert_false(xenpt_core_registers(core, UINT32_MAX, &got));
	xenpt_core_close(core);
	/* Contexts of another size are not understood, but counted. */
	SET_SECTION(&fixture, DUMP_CORE_CONTEXTS, sh_entsize, 2800);
	SET_SECTION(&fixture, DUMP_CORE_CONTEXTS, sh_size, 5600);
	core = fixture_open(&fixture);
	assert_int_equal(xenpt_core_vcpus(core), 2);
	assert_false(xenpt_core_registers(core, 0, &got));
	xenpt_core_close(core);
	close(fixture.fd);
}

/* ---- what is not --------------------------------------------------------- */

static const struct dump_core plain = { .pfns = holes, .pages = 6 };

/* Pages behind the end are not there, and counted. */
static void test_cut(void **state)
{
	struct fixture fixture;
	struct xenpt_core *core;

	/* As a guest that says where its pages are, or an old Xen, may have it. */
	fixture_init(&fixture, &plain);
	SET_SECTION(&fixture, DUMP_CORE_PAGES, sh_offset,
		    fixture.layout.size - 2 * XENPT_PAGE_SIZE - 100);
	core = fixture_open(&fixture);
	assert_int_equal(xenpt_core_pages(core), 2);
	assert_int_equal(xenpt_core_missing(core), 2);
	assert_no_page(core, holes[2]);
	xenpt_core_close(core);
	SET_SECTION(&fixture, DUMP_CORE_PAGES, sh_offset, INT64_MAX);
	core = fixture_open(&fixture);
	assert_int_equal(xenpt_core_pages(core), 0);
	assert_int_equal(xenpt_core_missing(core), 4);
	assert_no_page(core, holes[0]);
	xenpt_core_close(core);
	SET_SECTION(&fixture, DUMP_CORE_PAGES, sh_offset, UINT64_MAX - 100);
	core = fixture_open(&fixture);
	assert_no_page(core, holes[0]);
	xenpt_core_close(core);
	/* The table itself. */
	SET_SECTION(&fixture, DUMP_CORE_PAGES, sh_offset, fixture.layout.pages);
	SET_SECTION(&fixture, DUMP_CORE_TABLE, sh_offset, fixture.layout.size);
	write_word(&fixture, fixture.layout.size, 1);
	write_word(&fixture, fixture.layout.size + 8, 2);
	core = fixture_open(&fixture);
	assert_int_equal(xenpt_core_pages(core), 2);
	assert_int_equal(xenpt_core_missing(core), 4);
	xenpt_core_close(core);
	close(fixture.fd);

	/* What a full disk leaves. */
	fixture_init(&fixture, &plain);
	assert_int_equal(ftruncate(fixture.fd, fixture.layout.table), 0);
	assert_refused(&fixture, "cut short: it ends at byte");
}

/* It gets shorter while it is open. */
static void test_shrinks(void **state)
{
	struct fixture fixture;
	struct xenpt_core *core;

	fixture_init(&fixture, &plain);
	core = fixture_open(&fixture);
	assert_int_equal(
		ftruncate(fixture.fd, fixture.layout.pages + XENPT_PAGE_SIZE + 8), 0);
	assert_no_page(core, holes[0]);
	assert_no_page(core, holes[1]);
	xenpt_core_close(core);
	close(fixture.fd);
}

static void test_order(void **state)
{
	static const uint64_t unsorted[] = { 3, 9, 4 }, same[] = { 3, 4, 4 },
			      huge[] = { 3, 4, UINT64_C(1) << 52 },
			      behind[] = { 3, UINT64_MAX, 9 };
	struct fixture fixture;
	struct xenpt_core *core;

	fixture_init(&fixture, &(struct dump_core){ .pfns = unsorted, .pages = 3 });
	assert_refused(&fixture, "page 2 is out of order: frame 0x4 after 0x9");
	fixture_init(&fixture, &(struct dump_core){ .pfns = same, .pages = 3 });
	assert_refused(&fixture, "out of order");
	fixture_init(&fixture, &(struct dump_core){ .pfns = huge, .pages = 3 });
	assert_refused(&fixture, "out of order");
	/* The first without a number is the end. */
	fixture_init(&fixture, &(struct dump_core){ .pfns = behind, .pages = 3 });
	core = fixture_open(&fixture);
	assert_int_equal(xenpt_core_pages(core), 1);
	assert_no_page(core, 9);
	xenpt_core_close(core);
	close(fixture.fd);
}

static void test_headers(void **state)
{
	static const struct {
		unsigned int section;
		size_t member;
		uint64_t value;
		const char *why;
	} cases[] = {
		{ DUMP_CORE_PAGES, offsetof(Elf64_Shdr, sh_size), 0, "no pages" },
		{ DUMP_CORE_TABLE, offsetof(Elf64_Shdr, sh_size), 0, "no table" },
		{ DUMP_CORE_PAGES, offsetof(Elf64_Shdr, sh_size), UINT64_MAX, "pages" },
		{ DUMP_CORE_TABLE, offsetof(Elf64_Shdr, sh_size), 40, "a table of 5" },
		{ DUMP_CORE_PAGES, offsetof(Elf64_Shdr, sh_entsize), 1 << 21, "size" },
		{ DUMP_CORE_PAGES, offsetof(Elf64_Shdr, sh_entsize), 0, "size" },
		{ DUMP_CORE_TABLE, offsetof(Elf64_Shdr, sh_entsize), 0, "size" },
		{ DUMP_CORE_TABLE, offsetof(Elf64_Shdr, sh_entsize), 7, "size" },
		{ DUMP_CORE_NAMES, offsetof(Elf64_Shdr, sh_offset), UINT64_MAX, "names" },
		{ DUMP_CORE_NAMES, offsetof(Elf64_Shdr, sh_offset), 1 << 30, "cut" },
	};
	struct fixture fixture;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fixture_init(&fixture, &plain);
		set_section(&fixture, cases[i].section, cases[i].member, cases[i].value);
		assert_refused(&fixture, cases[i].why);
	}
	fixture_init(&fixture, &plain);
	write_word(&fixture, offsetof(Elf64_Ehdr, e_shoff), UINT64_MAX - 63);
	assert_refused(&fixture, "not where");
	fixture_init(&fixture, &plain);
	assert_int_equal(pwrite(fixture.fd, "\xff\xff", 2, offsetof(Elf64_Ehdr, e_shnum)),
			 2);
	assert_refused(&fixture, "not where");
	fixture_init(&fixture, &plain);
	assert_int_equal(
		pwrite(fixture.fd, "\xff\x00", 2, offsetof(Elf64_Ehdr, e_shstrndx)), 2);
	assert_refused(&fixture, "names");
	fixture_init(&fixture, &plain);
	assert_int_equal(
		pwrite(fixture.fd, "\xb7\x00", 2, offsetof(Elf64_Ehdr, e_machine)), 2);
	assert_refused(&fixture, "another machine");
}

/* Sections may lie over each other: nothing is written to them. */
static void test_overlap(void **state)
{
	struct fixture fixture;
	struct xenpt_core *core;
	uint64_t word;

	fixture_init(&fixture, &plain);
	SET_SECTION(&fixture, DUMP_CORE_PAGES, sh_offset, fixture.layout.table);
	assert_int_equal(ftruncate(fixture.fd, 1 << 20), 0);
	core = fixture_open(&fixture);
	assert_true(xenpt_mem_read(xenpt_core_mem(core), 0x3000, &word, 8));
	assert_int_equal(word, 3);
	xenpt_core_close(core);
	close(fixture.fd);
}

/* ---- other dumps --------------------------------------------------------- */

/* What kdump writes: one vCPU's registers (NT_PRSTATUS), and two pages from 0x5000 on. */
static void kdump_init(struct fixture *fixture)
{
	static uint8_t pages[2 * XENPT_PAGE_SIZE];
	Elf64_Ehdr ehdr = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(ehdr),
		.e_ehsize = sizeof(ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 2,
	};
	struct __attribute__((packed)) {
		Elf64_Nhdr header;
		char name[8];
		uint64_t prstatus[42];
	} note = { { 5, sizeof(note.prstatus), NT_PRSTATUS }, "CORE", {} };
	Elf64_Phdr phdrs[2] = {
		{ .p_type = PT_NOTE,
		  .p_offset = 0x1000,
		  .p_filesz = sizeof(note),
		  .p_memsz = sizeof(note) },
		{ .p_type = PT_LOAD,
		  .p_offset = 0x2000,
		  .p_filesz = sizeof(pages),
		  .p_memsz = sizeof(pages),
		  .p_paddr = 0x5000,
		  .p_vaddr = 0xffff888000005000 },
	};

	/* struct elf_prstatus: the registers come after 112 bytes, R15 first. */
	note.prstatus[14 + 10] = 0x1111;             /* RAX */
	note.prstatus[14 + 16] = 0xffffffff81000000; /* RIP */
	note.prstatus[14 + 17] = 0x10;               /* CS */
	say_address(&memory, 0x5000, pages, XENPT_PAGE_SIZE);
	say_address(&memory, 0x6000, pages + XENPT_PAGE_SIZE, XENPT_PAGE_SIZE);
	fixture->fd = memfd_create("core", 0);
	snprintf(fixture->path, sizeof(fixture->path), "/proc/self/fd/%d", fixture->fd);
	assert_int_equal(pwrite(fixture->fd, &ehdr, sizeof(ehdr), 0), sizeof(ehdr));
	assert_int_equal(pwrite(fixture->fd, phdrs, sizeof(phdrs), sizeof(ehdr)),
			 sizeof(phdrs));
	assert_int_equal(pwrite(fixture->fd, &note, sizeof(note), 0x1000), sizeof(note));
	assert_int_equal(pwrite(fixture->fd, pages, sizeof(pages), 0x2000),
			 sizeof(pages));
}

static void test_kdump(void **state)
{
	struct fixture fixture;

	kdump_init(&fixture);
#ifdef HAVE_KDUMPFILE
	struct xenpt_core *core = fixture_open(&fixture);
	struct xenpt_registers regs;

	assert_page(core, 5);
	assert_page(core, 6);
	assert_no_page(core, 4);
	assert_no_page(core, 7);
	assert_string_equal(xenpt_core_format(core), "kdump (elf)");
	assert_int_equal(xenpt_core_pages(core), 2);
	assert_int_equal(xenpt_core_vcpus(core), 1);
	assert_true(xenpt_core_registers(core, 0, &regs));
	assert_int_equal(regs.gpr[0], 0x1111);
	assert_int_equal(regs.rip, 0xffffffff81000000);
	assert_int_equal(regs.cs, 0x10);
	assert_false(xenpt_core_registers(core, 1, &regs));
	xenpt_core_close(core);
	close(fixture.fd);
#else
	assert_refused(&fixture, "libkdumpfile-dev");
#endif
}

static void test_no_dump(void **state)
{
	struct fixture fixture = { .fd = memfd_create("core", 0) };

	snprintf(fixture.path, sizeof(fixture.path), "/proc/self/fd/%d", fixture.fd);
	assert_refused(&fixture, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holes),     cmocka_unit_test(test_many),
		cmocka_unit_test(test_registers), cmocka_unit_test(test_cut),
		cmocka_unit_test(test_shrinks),   cmocka_unit_test(test_order),
		cmocka_unit_test(test_headers),   cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_kdump),     cmocka_unit_test(test_no_dump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
