/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code in guest memory: the same address in several address spaces and epochs. */
#include "xpt.h"

#include "libxenpt/image.h"
#include "libxenpt/mem-file.h"

#define PAGE XENPT_PAGE_SIZE
#define ANY XENPT_CR3_ANY
#define NONE XENPT_GPA_NONE

struct fixture {
	struct xenpt_writer *writer;
	int fd;
	struct bytes bytes;
	struct xenpt_file *file;
	struct xenpt_image *image;
};

static struct fixture begin(void)
{
	struct xenpt_image_info info = { 0, "", "", ANY };
	struct fixture ret = {};

	ret.writer = writer_open(&ret.fd);
	assert_success(xenpt_writer_image(ret.writer, &info));
	return ret;
}

static void page(struct fixture *f, uint64_t gpa, char c)
{
	uint8_t data[PAGE];

	memset(data, c, sizeof(data));
	assert_success(xenpt_writer_pages(f->writer, gpa, data, sizeof(data)));
}

static void map(struct fixture *f, uint64_t cr3, uint64_t address, uint64_t gpa)
{
	struct xenpt_mapping mapping = { address, gpa };

	assert_success(xenpt_writer_map(f->writer, cr3, &mapping, 1));
}

static void epoch(struct fixture *f)
{
	assert_success(xenpt_writer_epoch(f->writer));
}

static void code(struct fixture *f, uint64_t cr3, uint64_t address, char c, size_t size)
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

/* The byte at @address; 0: there is none. */
static char at(const struct fixture *f, uint32_t when, uint64_t cr3, uint64_t address)
{
	char ret = 0;

	xenpt_image_read(f->image, when, cr3, address, &ret, 1);
	return ret;
}

static size_t count_varying(const struct fixture *f)
{
	size_t count;

	xenpt_image_varying(f->image, &count);
	return count;
}

static const struct image_section *sections(const struct fixture *f, size_t *count_ret)
{
	return xenpt_image_sections(f->image, count_ret);
}

/* What all address spaces have is everybody's; what they do not is their own. */
static void test_spaces(void **state)
{
	const struct image_section *section;
	struct fixture f = begin();
	size_t count;

	page(&f, 0x1000, 'k');
	page(&f, 0x2000, 'l');
	page(&f, 0x3000, 'a');
	page(&f, 0x4000, 'b');
	page(&f, 0x5000, 'a');
	for (uint64_t cr3 = 0x10000; cr3 <= 0x20000; cr3 += 0x10000) {
		map(&f, cr3, 0xffffffff81000000, 0x1000);
		map(&f, cr3, 0xffffffff81001000, 0x2000);
		map(&f, cr3, 0x400000, cr3 == 0x10000 ? 0x3000 : 0x4000);
		/* Other pages, the same bytes. */
		map(&f, cr3, 0x500000, cr3 == 0x10000 ? 0x3000 : 0x5000);
	}
	load(&f);
	assert_int_equal(at(&f, 0, 0x10000, 0xffffffff81000fff), 'k');
	assert_int_equal(at(&f, 0, 0x30000, 0xffffffff81001000), 'l');
	assert_int_equal(at(&f, 7, ANY, 0xffffffff81001000), 'l');
	assert_int_equal(at(&f, 0, 0x10000, 0x400000), 'a');
	assert_int_equal(at(&f, 0, 0x20000, 0x400000), 'b');
	assert_int_equal(at(&f, 0, 0x30000, 0x400000), 0);
	assert_int_equal(at(&f, 0, ANY, 0x400000), 0);
	assert_int_equal(at(&f, 0, ANY, 0x500000), 'a');
	assert_int_equal(count_varying(&f), 0);
	section = sections(&f, &count);
	assert_int_equal(count, 4);
	assert_int_equal(section[0].cr3, 0x10000);
	assert_int_equal(section[1].cr3, 0x20000);
	assert_int_equal(section[2].cr3, ANY);
	assert_int_equal(section[2].size, PAGE);
	assert_int_equal(section[3].address, 0xffffffff81000000);
	assert_int_equal(section[3].size, 2 * PAGE);
	end(&f);
}

/* A page that is written over, one that is mapped elsewhere, one that goes away. */
static void test_epochs(void **state)
{
	struct fixture f = begin();

	page(&f, 0x1000, 'a');
	page(&f, 0x2000, 'x');
	map(&f, 0x10000, 0x400000, 0x1000);
	map(&f, 0x10000, 0x401000, 0x2000);
	map(&f, 0x10000, 0x402000, 0x2000);
	epoch(&f);
	page(&f, 0x1000, 'b');
	page(&f, 0x3000, 'y');
	map(&f, 0x10000, 0x401000, 0x3000);
	map(&f, 0x10000, 0x402000, NONE);
	epoch(&f);
	epoch(&f);
	page(&f, 0x1000, 'x'); /* in the same epoch, the later wins */
	page(&f, 0x1000, 'c');
	map(&f, 0x10000, 0x401000, 0x3000);
	map(&f, 0x10000, 0x401000, 0x2000);
	load(&f);
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(at(&f, i, 0x10000, 0x400000), "abbcc"[i]);
		assert_int_equal(at(&f, i, 0x10000, 0x401123), "xyyxx"[i]);
		assert_int_equal(at(&f, i, 0x10000, 0x402fff), i ? 0 : 'x');
		assert_int_equal(at(&f, i, ANY, 0x400000), 0);
	}
	assert_int_equal(count_varying(&f), 1);
	assert_int_equal(xenpt_image_varying(f.image, &(size_t){ 0 })->begin, 0x400000);
	assert_int_equal(xenpt_image_varying(f.image, &(size_t){ 0 })->end, 0x403000);
	end(&f);
}

/* Pages that are recorded again and again without a change are as fast as others. */
static void test_no_change(void **state)
{
	const struct image_section *section;
	struct fixture f = begin();
	size_t count;

	for (unsigned int i = 0; i < 5; i++) {
		page(&f, 0x1000, 'a');
		page(&f, 0x2000, 'b');
		map(&f, 0x10000, 0x400000, 0x1000);
		if (i > 2) {
			map(&f, 0x10000, 0x401000, 0x2000);
			map(&f, 0x20000, 0x400000, 0x1000);
		}
		epoch(&f);
	}
	load(&f);
	assert_int_equal(count_varying(&f), 0);
	section = sections(&f, &count);
	assert_int_equal(count, 1);
	assert_int_equal(section->cr3, ANY);
	assert_int_equal(section->size, 2 * PAGE);
	end(&f);
}

/* One address space's page changes: the others' do not suffer. */
static void test_one_varies(void **state)
{
	struct fixture f = begin();

	page(&f, 0x1000, 'a');
	page(&f, 0x2000, 'b');
	map(&f, 0x10000, 0x400000, 0x1000);
	map(&f, 0x20000, 0x400000, 0x1000);
	map(&f, 0x30000, 0x400000, NONE);
	epoch(&f);
	map(&f, 0x10000, 0x400000, 0x2000);
	load(&f);
	assert_int_equal(at(&f, 0, 0x10000, 0x400000), 'a');
	assert_int_equal(at(&f, 1, 0x10000, 0x400000), 'b');
	assert_int_equal(at(&f, 1, 0x20000, 0x400000), 'a');
	assert_int_equal(at(&f, 1, 0x40000, 0x400000), 'a');
	assert_int_equal(at(&f, 0, 0x30000, 0x400000), 0);
	assert_int_equal(at(&f, 1, ANY, 0x400000), 'a');
	assert_int_equal(count_varying(&f), 1);
	end(&f);
}

/* Memory goes before code of the same address space, to the byte. */
static void test_code(void **state)
{
	struct fixture f = begin();

	code(&f, ANY, 0x3ffffe, '*', 3 * PAGE);
	code(&f, 0x10000, 0x401ffe, 'o', 4);
	page(&f, 0x1000, 'a');
	page(&f, 0x2000, 'b');
	map(&f, 0x10000, 0x400000, 0x1000);
	map(&f, 0x20000, 0x401000, 0x1000);
	epoch(&f);
	map(&f, 0x20000, 0x401000, 0x2000);
	map(&f, 0x10000, 0x402000, NONE);
	load(&f);
	assert_int_equal(at(&f, 0, ANY, 0x3fffff), '*');
	assert_int_equal(at(&f, 0, ANY, 0x400000), 'a');
	assert_int_equal(at(&f, 0, 0x10000, 0x401000), '*');
	assert_int_equal(at(&f, 0, 0x10000, 0x401ffd), '*');
	assert_int_equal(at(&f, 0, 0x10000, 0x401ffe), 'o');
	assert_int_equal(at(&f, 0, 0x10000, 0x402000), 0);
	assert_int_equal(at(&f, 0, 0x20000, 0x401ffe), 'a');
	assert_int_equal(at(&f, 1, 0x20000, 0x401ffe), 'b');
	assert_int_equal(at(&f, 0, 0x20000, 0x402000), '*');
	assert_int_equal(at(&f, 0, ANY, 0x402ffd), '*');
	assert_int_equal(at(&f, 0, ANY, 0x402ffe), 0);
	end(&f);
}

/* The last byte of all has no address after it: it is left out everywhere. */
static void test_last_page(void **state)
{
	struct fixture f = begin();
	size_t count;

	page(&f, 0x1000, 'a');
	page(&f, 0x2000, 'b');
	map(&f, 0x10000, -(uint64_t)PAGE, 0x1000);
	map(&f, 0x20000, -(uint64_t)PAGE, 0x1000);
	epoch(&f);
	map(&f, 0x20000, -(uint64_t)PAGE, 0x2000);
	load(&f);
	for (uint64_t cr3 = 0x10000; cr3 <= 0x20000; cr3 += 0x10000) {
		assert_int_equal(at(&f, 0, cr3, UINT64_MAX - 1), 'a');
		assert_int_equal(at(&f, 0, cr3, UINT64_MAX), 0);
	}
	assert_int_equal(at(&f, 1, 0x20000, UINT64_MAX - 1), 'b');
	assert_int_equal(sections(&f, &count)->size, PAGE - 1);
	end(&f);
}

/* Reads that go over from what varies to what does not, and back. */
static void test_across(void **state)
{
	struct fixture f = begin();
	char buf[3 * PAGE];

	page(&f, 0x1000, 'a');
	page(&f, 0x2000, 'b');
	page(&f, 0x3000, 'c');
	map(&f, 0x10000, 0x400000, 0x1000);
	map(&f, 0x10000, 0x401000, 0x2000);
	map(&f, 0x10000, 0x402000, 0x3000);
	epoch(&f);
	map(&f, 0x10000, 0x401000, 0x1000);
	load(&f);
	assert_int_equal(
		xenpt_image_read(f.image, 0, 0x10000, 0x400800, buf, sizeof(buf)),
		sizeof(buf) - 0x800);
	assert_int_equal(buf[0], 'a');
	assert_int_equal(buf[0x800], 'b');
	assert_int_equal(buf[0x17ff], 'b');
	assert_int_equal(buf[0x1800], 'c');
	end(&f);
}

/* Mappings of pages that the file does not have. */
static void test_no_pages(void **state)
{
	struct fixture f = begin();
	size_t count;

	map(&f, 0x10000, 0x400000, 0x1000);
	load(&f);
	assert_int_equal(at(&f, 0, 0x10000, 0x400000), 0);
	sections(&f, &count);
	assert_int_equal(count, 0);
	end(&f);
}

/* As many address spaces as there are processes: shared pages are stored once. */
static void test_many_spaces(void **state)
{
	struct fixture f = begin();
	struct stat st;

	for (uint64_t i = 0; i < 16; i++)
		page(&f, i * PAGE, 'a' + i);
	for (uint64_t cr3 = 0; cr3 < 200; cr3++) {
		/* Libraries, at addresses of its own, in some order. */
		for (uint64_t i = 0; i < 16; i++)
			map(&f, cr3 << 12, 0x7f0000000000 + (cr3 << 24) + i * PAGE,
			    i * PAGE);
		/* Its program, where the others have theirs. */
		map(&f, cr3 << 12, 0x400000, cr3 % 16 * PAGE);
	}
	load(&f);
	for (uint64_t cr3 = 0; cr3 < 200; cr3++) {
		for (uint64_t i = 0; i < 16; i++)
			assert_int_equal(at(&f, 0, cr3 << 12,
					    0x7f0000000000 + (cr3 << 24) + i * PAGE),
					 'a' + i);
		assert_int_equal(at(&f, 0, cr3 << 12, 0x400000), 'a' + cr3 % 16);
	}
	assert_int_equal(fstat(xenpt_image_fd(f.image), &st), 0);
	assert_in_range(st.st_size, 16 * PAGE, 64 * PAGE);
	end(&f);
}

enum {
	SPACES = 4,
	ADDRESSES = 4,
	GPAS = 5,
	EPOCHS = 5
};

/* What was said of each in each epoch; UINT8_MAX, 0: nothing. */
struct model {
	uint8_t maps[EPOCHS][SPACES][ADDRESSES]; /* GPAS: NONE */
	char pages[EPOCHS][GPAS];
};

/* The rule, one step at a time: '?' where nothing is known, 0 where there is none. */
static char model_at(const struct model *model, uint32_t when, size_t space,
		     size_t address)
{
	uint8_t gpa = UINT8_MAX;
	char c = '?';

	for (uint32_t i = 0; i <= when; i++) {
		if (model->maps[i][space][address] != UINT8_MAX)
			gpa = model->maps[i][space][address];
	}
	if (gpa == UINT8_MAX)
		return '?';
	if (gpa == GPAS)
		return 0;
	for (uint32_t i = 0; i <= when; i++) {
		if (model->pages[i][gpa])
			c = model->pages[i][gpa];
	}
	return c;
}

static struct fixture make_random(uint64_t seed, struct model *model)
{
	struct fixture f = begin();

	memset(model->maps, UINT8_MAX, sizeof(model->maps));
	memset(model->pages, 0, sizeof(model->pages));
	for (uint32_t i = 0; i < EPOCHS; i++) {
		for (unsigned int j = 0; j < 4 + seed % 5; j++) {
			uint64_t n = noise(seed * 1000 + i * 100 + j);
			size_t gpa = n % GPAS, space = n >> 8 & 3, address = n >> 10 & 3;

			if (n >> 20 & 1) {
				model->pages[i][gpa] = 'a' + (n >> 32) % 3;
				page(&f, gpa * PAGE, model->pages[i][gpa]);
				continue;
			}
			gpa = (n >> 40) % 7 == 0 ? GPAS : gpa;
			model->maps[i][space][address] = gpa;
			map(&f, (space + 1) << 12, address * PAGE,
			    gpa == GPAS ? NONE : gpa * PAGE);
		}
		epoch(&f);
	}
	load(&f);
	return f;
}

/* Whatever is known to be there is, and what is known not to be is not. */
static void check_reads(const struct fixture *f, const struct model *model)
{
	for (uint32_t i = 0; i < EPOCHS; i++) {
		for (size_t space = 0; space < SPACES; space++) {
			for (size_t j = 0; j < ADDRESSES; j++) {
				char c = model_at(model, i, space, j);

				if (c == '?')
					continue;
				assert_int_equal(
					at(f, i, (space + 1) << 12, j * PAGE + 1), c);
			}
		}
	}
}

/* Sections are what is read there in any epoch, by those who have none of their own. */
static void check_sections(const struct fixture *f)
{
	const struct image_range *varying;
	const struct image_section *s;
	size_t count, varying_count;

	varying = xenpt_image_varying(f->image, &varying_count);
	s = sections(f, &count);
	for (size_t i = 0; i < count; i++) {
		for (uint64_t a = s[i].address; a < s[i].address + s[i].size; a += PAGE) {
			bool varies = false;
			char c;

			assert_int_equal(pread(xenpt_image_fd(f->image), &c, 1,
					       s[i].offset + (a - s[i].address)),
					 1);
			for (uint32_t when = 0; when < EPOCHS; when++)
				assert_int_equal(at(f, when, s[i].cr3, a), c);
			for (size_t j = 0; j < varying_count; j++)
				varies |= varying[j].begin <= a && a < varying[j].end;
			if (varies || s[i].cr3 != ANY)
				continue;
			for (uint64_t space = 1; space <= SPACES; space++)
				assert_int_equal(at(f, 1, space << 12, a), c);
		}
	}
}

static void test_random(void **state)
{
	for (uint64_t seed = 0; seed < 2000; seed++) {
		struct model model;
		struct fixture f = make_random(seed, &model);

		check_reads(&f, &model);
		check_sections(&f);
		end(&f);
	}
}

/* The same pages as memory. */
static void test_mem_file(void **state)
{
	struct fixture f = begin();
	struct xenpt_mem *mem;
	uint8_t data[2 * PAGE];
	char c = 0;

	memset(data, 'a', PAGE);
	memset(data + PAGE, 'b', PAGE);
	assert_success(xenpt_writer_pages(f.writer, 0x1000, data, sizeof(data)));
	epoch(&f);
	page(&f, 0x2000, 'c');
	page(&f, 0x2000 + 64 * PAGE, 'd');
	load(&f);
	for (uint32_t i = 0; i < 2; i++) {
		assert_success(
			xenpt_mem_file_create(f.file, i ? XENPT_EPOCH_NEWEST : 0, &mem));
		assert_true(xenpt_mem_read(mem, 0x1fff, &c, 1));
		assert_int_equal(c, 'a');
		assert_true(xenpt_mem_read(mem, 0x2123, &c, 1));
		assert_int_equal(c, i ? 'c' : 'b');
		assert_int_equal(xenpt_mem_read(mem, 0x2000 + 64 * PAGE, &c, 1), i);
		assert_true(xenpt_mem_read(mem, 0x2fff, &c, 1));
		assert_int_equal(c, i ? 'c' : 'b');
		c = '#';
		assert_false(xenpt_mem_read(mem, 0x3000, &c, 1));
		assert_false(xenpt_mem_read(mem, 0, &c, 1));
		assert_false(xenpt_mem_read(mem, 0x1fff, data, 2));
		assert_int_equal(c, '#');
		xenpt_mem_file_destroy(mem);
	}
	end(&f);
}

/* Mappings without end in a small file. */
static void test_too_many(void **state)
{
	size_t count = SECTION_PAGES_MAX / sizeof(struct section_mapping);
	struct xenpt_mapping *mappings;
	struct fixture f;

	if (!xenpt_features()[0].version)
		skip(); /* it would not be small */
	f = begin();
	mappings = calloc(count, sizeof(*mappings));
	assert_non_null(mappings);
	for (size_t i = 0; i <= (1 << 24) / count; i++)
		assert_success(xenpt_writer_map(f.writer, 0x1000, mappings, count));
	f.bytes = writer_close(f.writer, f.fd);
	assert_success(open_bytes(f.bytes.data, f.bytes.size, &f.file));
	assert_error(xenpt_image_create(f.file, &f.image), XENPT_ERROR_FORMAT,
		     "more than 16777216 mappings");
	xenpt_file_close(f.file);
	free(f.bytes.data);
	free(mappings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spaces),      cmocka_unit_test(test_epochs),
		cmocka_unit_test(test_no_change),   cmocka_unit_test(test_one_varies),
		cmocka_unit_test(test_code),        cmocka_unit_test(test_last_page),
		cmocka_unit_test(test_across),      cmocka_unit_test(test_no_pages),
		cmocka_unit_test(test_many_spaces), cmocka_unit_test(test_random),
		cmocka_unit_test(test_mem_file),    cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
