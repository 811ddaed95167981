/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which address space a page is taken from where the trace names none. */
#include "decode.h"

#include "cmd/record-pages.h"

#define PAGES 32
#define OTHER_CR3 0xc000

/* At 0x1000 there is a page of 0x55 in CR3, and one of 0xaa in OTHER_CR3. */
struct domain {
	struct xenpt_mem mem;
	struct test_file file;
	struct record_pages *pages;
	uint8_t bytes[PAGES * XENPT_PAGE_SIZE];
};

static bool read_memory(struct xenpt_mem *mem, uint64_t gpa, void *buf, size_t size)
{
	struct domain *domain = (struct domain *)mem;

	if (gpa > sizeof(domain->bytes) - size)
		return false;
	memcpy(buf, domain->bytes + gpa, size);
	return true;
}

/* The tables of a space are the page at its CR3 and those after it; then its code. */
static void make_space(struct domain *domain, uint64_t cr3, uint8_t byte)
{
	for (unsigned int level = 0; level < 4; level++) {
		uint64_t entry = (cr3 + (level + 1) * XENPT_PAGE_SIZE) | 7;
		size_t index = level == 3;

		memcpy(domain->bytes + cr3 + level * XENPT_PAGE_SIZE + 8 * index, &entry,
		       sizeof(entry));
	}
	memset(domain->bytes + cr3 + 4 * XENPT_PAGE_SIZE, byte, XENPT_PAGE_SIZE);
}

/* Only @cr3 is traced, or XENPT_CR3_ANY. */
static struct domain *create(uint64_t cr3)
{
	struct domain *domain = calloc(1, sizeof(*domain));

	assert_non_null(domain);
	test_file_init(&domain->file);
	domain->mem.read = read_memory;
	make_space(domain, CR3, 0x55);
	make_space(domain, OTHER_CR3, 0xaa);
	check_error(record_pages_create(&domain->mem, domain->file.writer, cr3,
					&domain->pages));
	return domain;
}

static void destroy(struct domain *domain)
{
	assert_null(record_pages_error(domain->pages));
	record_pages_destroy(domain->pages);
	test_file_deinit(&domain->file);
	free(domain);
}

static void hint(struct domain *domain, uint64_t cr0, uint64_t cr3)
{
	const struct xenpt_registers regs = {
		.cr0 = cr0, .cr3 = cr3, .cr4 = 0x20, .efer = 0x500
	};

	record_pages_hint(domain->pages, &regs);
}

/* The first byte of the page at 0x1000; 0: there is none. */
static uint8_t take(struct domain *domain, uint64_t cr3)
{
	uint8_t page[XENPT_PAGE_SIZE];

	return record_pages_take(domain->pages, cr3, 0x1000, page) ? *page : 0;
}

static void test_as_a_vcpu_was(void **state)
{
	struct domain *domain = create(XENPT_CR3_ANY);

	hint(domain, 0x80000001, CR3);
	assert_int_equal(0x55, take(domain, XENPT_CR3_ANY));
	assert_int_equal(0xaa, take(domain, OTHER_CR3));
	hint(domain, 0x80000001, OTHER_CR3);
	assert_int_equal(0xaa, take(domain, XENPT_CR3_ANY));
	destroy(domain);
}

/* A vCPU that is yet to start has no address space to look at. */
static void test_not_as_one_without_paging(void **state)
{
	struct domain *domain = create(XENPT_CR3_ANY);

	hint(domain, 0x80000001, CR3);
	hint(domain, 0x10, 0);
	assert_int_equal(0x55, take(domain, XENPT_CR3_ANY));
	assert_int_equal(0, record_pages_counts(domain->pages).missing);
	destroy(domain);
}

/* A trace of one address space without its kernel does not name it. */
static void test_the_one_that_is_traced(void **state)
{
	struct domain *domain = create(OTHER_CR3);

	hint(domain, 0x80000001, CR3);
	assert_int_equal(0xaa, take(domain, XENPT_CR3_ANY));
	destroy(domain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_a_vcpu_was),
		cmocka_unit_test(test_not_as_one_without_paging),
		cmocka_unit_test(test_the_one_that_is_traced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
