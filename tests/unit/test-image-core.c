/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code that a file lacks, out of a core dump: whose page tables, whose pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libxenpt/mem-core.h"
#include "tests/dump-core.h"
#include "tests/trace.h"

#define PAGES 16
#define PAGE XENPT_PAGE_SIZE
#define CR3 0x1000
#define CODE 0x400000
#define MISSING 0x401000
#define P 7

/* The guest when it was dumped; each page of code has its number in each byte. */
struct guest {
	struct xenpt_mem mem;
	uint8_t bytes[PAGES * PAGE];
};

struct fixture {
	struct guest *guest;
	struct test_file file;
	struct xenpt_file *opened;
	struct xenpt_image *image;
	struct xenpt_core *core;
	struct xenpt_registers regs;
	int fd;
};

static bool guest_read(struct xenpt_mem *mem, uint64_t gpa, void *buf, size_t size)
{
	memcpy(buf, ((struct guest *)mem)->bytes + gpa, size);
	return true;
}

static void set64(void *table, unsigned int index, uint64_t entry)
{
	memcpy((uint8_t *)table + 8 * index, &entry, 8);
}

/* CODE and the page after it at 0x8000 and 0x9000; tables at 0x1000 … 0x4000. */
static void fixture_init(struct fixture *fixture)
{
	uint8_t *bytes;

	*fixture = (struct fixture){ .guest = calloc(1, sizeof(*fixture->guest)) };
	assert_non_null(fixture->guest);
	fixture->guest->mem.read = guest_read;
	bytes = fixture->guest->bytes;
	for (size_t i = 5; i < PAGES; i++)
		memset(bytes + i * PAGE, (int)i, PAGE);
	set64(bytes + 0x1000, 0, 0x2000 | P);
	set64(bytes + 0x2000, 0, 0x3000 | P);
	set64(bytes + 0x3000, 2, 0x4000 | P);
	set64(bytes + 0x4000, 0, 0x8000 | P);
	set64(bytes + 0x4000, 1, 0x9000 | P);
	test_file_init(&fixture->file);
	describe_vcpu(fixture->file.writer, 0);
}

static void fixture_open(struct fixture *fixture)
{
	uint64_t pfns[PAGES];
	struct dump_core dump = { &fixture->regs, 1, pfns, PAGES, false };
	struct dump_core_layout layout;
	char path[64];

	for (size_t i = 0; i < PAGES; i++)
		pfns[i] = i;
	fixture->fd = memfd_create("core", 0);
	assert_true(dump_core_write(fixture->fd, &dump, &fixture->guest->mem, &layout));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fixture->fd);
	check_error(xenpt_core_open(path, &fixture->core));
	fixture->opened = test_file_open(&fixture->file);
	check_error(xenpt_image_create(fixture->opened, &fixture->image));
	check_error(xenpt_image_add_core(fixture->image, fixture->opened, fixture->core));
}

static void fixture_deinit(struct fixture *fixture)
{
	xenpt_image_destroy(fixture->image);
	xenpt_core_close(fixture->core);
	xenpt_file_close(fixture->opened);
	test_file_deinit(&fixture->file);
	close(fixture->fd);
	free(fixture->guest);
}

/* What is there, twice: the second time it is known. */
static void assert_byte(const struct fixture *fixture, uint32_t epoch, uint64_t cr3,
			uint64_t address, int wanted)
{
	for (int i = 0; i < 2; i++) {
		uint8_t byte = 0;
		size_t size =
			xenpt_image_read(fixture->image, epoch, cr3, address, &byte, 1);

		assert_int_equal(size, wanted >= 0);
		if (size)
			assert_int_equal(byte, wanted);
	}
}

/* A file without memory: all is the dump's. */
static void test_bare(void **state)
{
	struct fixture fixture;
	uint8_t bytes[20];

	fixture_init(&fixture);
	fixture_open(&fixture);
	assert_byte(&fixture, 0, CR3, CODE, 8);
	assert_byte(&fixture, 5, CR3, CODE + 0xfff, 8);
	/* PCID does not matter; another root does. */
	assert_byte(&fixture, 0, CR3 | 0x123, CODE, 8);
	assert_byte(&fixture, 0, 0x2000, CODE, -1);
	assert_byte(&fixture, 0, CR3, CODE + 2 * PAGE, -1);
	assert_byte(&fixture, 0, XENPT_CR3_ANY, CODE, -1);
	/* Paging is off. */
	assert_byte(&fixture, 0, 0, 0x7123, 7);
	/* Over the end of a page, and of what there is. */
	assert_int_equal(
		xenpt_image_read(fixture.image, 0, CR3, CODE + PAGE - 10, bytes, 20), 20);
	assert_int_equal(bytes[9], 8);
	assert_int_equal(bytes[10], 9);
	assert_int_equal(
		xenpt_image_read(fixture.image, 0, CR3, CODE + 2 * PAGE - 10, bytes, 20),
		10);
	fixture_deinit(&fixture);
}

/* What the file has of memory is of its time, and goes first, tables as well. */
static void test_file_first(void **state)
{
	struct xenpt_mapping maps[] = { { CODE, 0x6000 }, { MISSING, XENPT_GPA_NONE } };
	struct fixture fixture;
	uint8_t page[PAGE] = {};

	fixture_init(&fixture);
	memset(page, 0x42, PAGE);
	check_error(xenpt_writer_pages(fixture.file.writer, 0x6000, page, PAGE));
	check_error(xenpt_writer_map(fixture.file.writer, CR3, maps, 2));
	/* The last table led elsewhere; in the next epoch, to another place again. */
	memset(page, 0, PAGE);
	set64(page, 1, 0xa000 | P);
	set64(page, 2, 0x6000 | P);
	check_error(xenpt_writer_pages(fixture.file.writer, 0x4000, page, PAGE));
	check_error(xenpt_writer_epoch(fixture.file.writer));
	set64(page, 1, 0xb000 | P);
	check_error(xenpt_writer_pages(fixture.file.writer, 0x4000, page, PAGE));
	fixture_open(&fixture);
	assert_byte(&fixture, 0, CR3, CODE, 0x42);
	assert_byte(&fixture, 0, CR3, MISSING, 0xa);
	assert_byte(&fixture, 1, CR3, MISSING, 0xb);
	assert_byte(&fixture, 0, CR3, MISSING, 0xa);
	assert_byte(&fixture, 1, CR3, CODE + 2 * PAGE, 0x42);
	fixture_deinit(&fixture);
}

/* How the guest translates is what its registers say: the dump's, or the file's. */
static void test_paging(void **state)
{
	static const struct xenpt_registers flat = { .cr0 = 0x80000001, .cr4 = 0x10 };

	for (int of_file = 0; of_file < 2; of_file++) {
		struct fixture fixture;
		uint32_t entry = 0x80 | P;

		fixture_init(&fixture);
		/* One page of 4 MiB, which is past the end of memory but at its begin. */
		memcpy(fixture.guest->bytes + CR3 + 4, &entry, 4);
		if (of_file)
			check_error(
				xenpt_writer_registers(fixture.file.writer, 0, &flat));
		else
			fixture.regs = flat;
		fixture_open(&fixture);
		assert_byte(&fixture, 0, CR3, CODE + 0xc000, 0xc);
		assert_byte(&fixture, 0, CR3, CODE + 0x10000, -1);
		fixture_deinit(&fixture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bare),
		cmocka_unit_test(test_file_first),
		cmocka_unit_test(test_paging),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
