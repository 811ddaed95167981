/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code by address space and address. */
#include "xpt.h"

#include "libxenpt/image.h"

enum {
	PAGE = 4096
};

struct fixture {
	struct xenpt_writer *writer;
	int fd;
	struct bytes bytes;
	struct xenpt_file *file;
	struct xenpt_image *image;
};

static struct fixture begin(void)
{
	struct xenpt_image_info info = { 0, "", "", XENPT_CR3_ANY };
	struct fixture ret = {};

	ret.writer = writer_open(&ret.fd);
	assert_success(xenpt_writer_image(ret.writer, &info));
	return ret;
}

/* @size bytes, all of them @c. */
static void add(struct fixture *f, uint64_t cr3, uint64_t address, char c, size_t size)
{
	char *data = malloc(size);

	assert_non_null(data);
	memset(data, c, size);
	assert_success(xenpt_writer_code(f->writer, 0, cr3, address, data, size));
	free(data);
}

static void load(struct fixture *f)
{
	f->bytes = writer_close(f->writer, f->fd);
	assert_success(open_bytes(f->bytes.data, f->bytes.size, &f->file));
	assert_success(xenpt_image_create(f->file, &f->image));
}

static void end(struct fixture *f)
{
	xenpt_image_destroy(f->image);
	xenpt_file_close(f->file);
	free(f->bytes.data);
}

/* That exactly @text can be read at @address, and no more. */
static void check(struct fixture *f, uint64_t cr3, uint64_t address, const char *text)
{
	char buf[64];
	size_t size;

	memset(buf, '#', sizeof(buf));
	size = xenpt_image_read(f->image, 0, cr3, address, buf, sizeof(buf) - 1);
	assert_int_equal(size, strlen(text));
	assert_int_equal(buf[size], '#');
	assert_memory_equal(buf, text, size);
}

static size_t count_sections(const struct fixture *f)
{
	size_t count;

	xenpt_image_sections(f->image, &count);
	return count;
}

static void test_spaces(void **state)
{
	struct fixture f = begin();

	add(&f, XENPT_CR3_ANY, 0x1000, '*', 10);
	add(&f, 0x5000, 0x1004, 'a', 2);
	add(&f, 0x6000, 0x0ffe, 'b', 4);
	load(&f);
	check(&f, XENPT_CR3_ANY, 0x1000, "**********");
	check(&f, 0x7000, 0x1008, "**");
	check(&f, 0x5000, 0x1000, "****aa****");
	check(&f, 0x5000, 0x1005, "a****");
	check(&f, 0x6000, 0x0ffe, "bbbb********");
	check(&f, XENPT_CR3_ANY, 0x0ffe, "");
	check(&f, 0x5000, 0x100a, "");
	check(&f, 0x5000, 0, "");
	check(&f, 0x5000, UINT64_MAX, "");
	end(&f);
}

/* Later code replaces, byte by byte, what was there. */
static void test_overlap(void **state)
{
	struct fixture f = begin();

	add(&f, 1, 100, 'a', 10);
	add(&f, 1, 102, 'b', 3);
	add(&f, 1, 98, 'c', 4);
	add(&f, 1, 109, 'd', 3);
	add(&f, 1, 113, 'e', 1);
	load(&f);
	check(&f, 1, 98, "ccccbbbaaaaddd");
	check(&f, 1, 112, "");
	check(&f, 1, 113, "e");
	assert_int_equal(count_sections(&f), 2);
	end(&f);
}

/* Pages in any order are one section, and the memfd has their bytes. */
static void test_pages(void **state)
{
	struct fixture f = begin();
	const struct image_section *sections;
	uint8_t buf[PAGE + 1];
	size_t count;

	for (uint64_t i = 0; i < 1024; i++)
		add(&f, 0x9000, (i * 757 % 1024) * PAGE, i * 757 % 1024 % 251, PAGE);
	add(&f, 0x9000, 1025 * PAGE, 'z', 1);
	add(&f, 0x8000, 1024 * PAGE, 'y', 3);
	load(&f);
	sections = xenpt_image_sections(f.image, &count);
	assert_int_equal(count, 3);
	assert_int_equal(sections[0].cr3, 0x8000);
	assert_int_equal(sections[1].address, 0);
	assert_int_equal(sections[1].size, 1024 * PAGE);
	assert_int_equal(sections[2].address, 1025 * PAGE);
	for (uint64_t i = 0; i < 1024; i++) {
		assert_int_equal(pread(xenpt_image_fd(f.image), buf, 1,
				       sections[1].offset + i * PAGE),
				 1);
		assert_int_equal(buf[0], i % 251);
		assert_int_equal(
			xenpt_image_read(f.image, 0, 0x9000, i * PAGE, buf, sizeof(buf)),
			i < 1023 ? PAGE + 1 : PAGE);
		assert_int_equal(buf[PAGE - 1], i % 251);
	}
	/* Who has mapped it is not left with a mapping of nothing. */
	assert_int_equal(ftruncate(xenpt_image_fd(f.image), 0), -1);
	end(&f);
}

static void test_last_address(void **state)
{
	struct fixture f = begin();
	const struct image_section *sections;
	size_t count;

	add(&f, 1, UINT64_MAX - 3, 'x', 4);
	add(&f, 2, UINT64_MAX, 'y', 1);
	load(&f);
	sections = xenpt_image_sections(f.image, &count);
	assert_int_equal(count, 1);
	assert_int_equal(sections[0].address + sections[0].size, UINT64_MAX);
	check(&f, 1, UINT64_MAX - 3, "xxx");
	end(&f);
}

static void test_none(void **state)
{
	struct fixture f = begin();

	load(&f);
	check(&f, 0, 0, "");
	assert_int_equal(count_sections(&f), 0);
	end(&f);
}

/* Damaged code is no code: what it would have replaced is seen instead. */
static void test_damaged(void **state)
{
	struct fixture f = begin();
	size_t at[8];

	add(&f, 1, 100, 'a', 4);
	add(&f, 1, 102, 'b', 4);
	f.bytes = writer_close(f.writer, f.fd);
	assert_int_equal(find_chunks(f.bytes, at, 8), 4);
	f.bytes.data[at[3] + sizeof(struct section_header)] ^= 1;
	assert_success(open_bytes(f.bytes.data, f.bytes.size, &f.file));
	assert_int_equal(xenpt_file_info(f.file)->damage_count, 1);
	assert_int_equal(xenpt_file_info(f.file)->code_size, 4);
	assert_success(xenpt_image_create(f.file, &f.image));
	check(&f, 1, 100, "aaaa");
	end(&f);
}

static size_t read_live(void *arg, uint64_t cr3, uint64_t address, void *buf, size_t size)
{
	assert_string_equal(arg, "arg");
	memset(buf, cr3 == 0x5000 ? 'x' : 'y', size);
	return address < 0x1000 ? 0 : size / 2;
}

/* No sections; what is read is what is there. */
static void test_live(void **state)
{
	struct xenpt_image *image;
	uint8_t buf[4];
	size_t count;

	assert_success(xenpt_image_create_live(read_live, "arg", &image));
	xenpt_image_sections(image, &count);
	assert_int_equal(count, 0);
	assert_int_equal(xenpt_image_read(image, 7, 0x5000, 0x1000, buf, 4), 2);
	assert_memory_equal(buf, "xx", 2);
	assert_int_equal(xenpt_image_read(image, 0, 1, 0, buf, 4), 0);
	xenpt_image_destroy(image);
}

/* A small file cannot ask for all memory. */
static void test_too_large(void **state)
{
	struct xenpt_file *file;
	struct fixture f;
	char *zeros;

	if (!xenpt_features()[0].version)
		skip(); /* it would not be small */
	f = begin();
	zeros = calloc(1, SECTION_CODE_MAX);
	assert_non_null(zeros);
	for (uint64_t i = 0; i <= 4096; i++)
		assert_success(xenpt_writer_code(f.writer, 0, 1, i * SECTION_CODE_MAX,
						 zeros, SECTION_CODE_MAX));
	f.bytes = writer_close(f.writer, f.fd);
	assert_success(open_bytes(f.bytes.data, f.bytes.size, &file));
	assert_error(xenpt_image_create(file, &f.image), XENPT_ERROR_FORMAT,
		     "more than 4 GiB of code");
	xenpt_file_close(file);
	free(f.bytes.data);
	free(zeros);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spaces),    cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_pages),     cmocka_unit_test(test_last_address),
		cmocka_unit_test(test_none),      cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_too_large), cmocka_unit_test(test_live),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
