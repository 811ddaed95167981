/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which conditional branches count as taken, by the code that they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "libxenpt/export/taken.h"

static const struct {
	uint8_t mode, size;
	uint8_t code[8];
} jumps[] = {
	{ 64, 2, { 0x74, 0x00 } },
	{ 64, 2, { 0xe2, 0x00 } },       /* LOOP */
	{ 64, 3, { 0x67, 0xe3, 0x00 } }, /* JECXZ */
	{ 64, 3, { 0x2e, 0x75, 0x00 } }, /* hint: not taken */
	{ 64, 6, { 0x0f, 0x84, 0, 0, 0, 0 } },
	{ 64, 7, { 0xf2, 0x0f, 0x85, 0, 0, 0, 0 } }, /* BND */
	{ 64, 7, { 0x66, 0x0f, 0x85, 0, 0, 0, 0 } }, /* 66 is ignored */
	{ 64, 3, { 0x48, 0x74, 0x00 } },             /* REX */
	{ 32, 6, { 0x0f, 0x84, 0, 0, 0, 0 } },
	{ 32, 5, { 0x66, 0x0f, 0x84, 0, 0 } },
	{ 32, 2, { 0x70, 0x00 } },
	{ 16, 4, { 0x0f, 0x84, 0, 0 } },
	{ 16, 7, { 0x66, 0x0f, 0x84, 0, 0, 0, 0 } },
	{ 16, 2, { 0x7f, 0x00 } },
};

#define JUMPS (sizeof(jumps) / sizeof(jumps[0]))
#define BASE 0x1000UL
#define ADDR(i) (BASE + 16 * (i))

static struct xenpt_taken *taken;
static struct xenpt_file *file;
static struct xenpt_image *image;

static int setup(void **state)
{
	int fd = memfd_create("taken", 0);
	struct xenpt_writer *writer;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_null(xenpt_writer_create(fd, "taken", &writer));
	assert_null(xenpt_writer_image(
		writer, &(struct xenpt_image_info){
				.name = "", .build_id = "", .cr3 = XENPT_CR3_ANY }));
	for (size_t i = 0; i < JUMPS; i++)
		assert_null(xenpt_writer_code(writer, 0, XENPT_CR3_ANY, ADDR(i),
					      jumps[i].code, sizeof(jumps[i].code)));
	assert_null(xenpt_writer_finish(writer));
	xenpt_writer_destroy(writer);
	assert_null(xenpt_file_open(path, &file));
	assert_null(xenpt_image_create(file, &image));
	close(fd);
	taken = calloc(1, sizeof(*taken));
	taken->image = image;
	return 0;
}

static int teardown(void **state)
{
	free(taken);
	xenpt_image_destroy(image);
	xenpt_file_close(file);
	return 0;
}

static bool ask(uint64_t last, uint8_t mode, uint64_t to)
{
	struct xenpt_event event = {
		.type = XENPT_EVENT_BLOCK,
		.branch = XENPT_BRANCH_COND,
		.last = last,
		.to = to,
		.mode = mode,
		.cr3 = XENPT_CR3_ANY,
	};

	return xenpt_taken(taken, 0, &event);
}

static void test_sizes(void **state)
{
	for (size_t i = 0; i < JUMPS; i++) {
		for (uint64_t size = 1; size < 16; size++)
			assert_int_equal(ask(ADDR(i), jumps[i].mode, ADDR(i) + size),
					 size != jumps[i].size);
		assert_true(ask(ADDR(i), jumps[i].mode, ADDR(i)));
		assert_true(ask(ADDR(i), jumps[i].mode, ADDR(i) - 2));
	}
}

static void test_no_code(void **state)
{
	assert_false(ask(0x9000, 64, 0x9002));
	assert_false(ask(0x9000, 64, 0x9006));
	assert_true(ask(0x9000, 64, 0x9005));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_no_code),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
