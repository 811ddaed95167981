/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a recording of a domain has besides the trace: written, read back, damaged. */
#include "xpt.h"

#include "libxenpt/crc32c.h"
#include "libxenpt/mem.h"

#define PAGE XENPT_PAGE_SIZE

static const struct xenpt_domain domain = {
	.name = "guest",
	.uuid = "0-1-2",
	.type = "PVH",
	.backend = "sim",
	.vcpus = 2,
	.memory = 256 << 20,
};

static struct xenpt_registers some_registers(unsigned int seed)
{
	struct xenpt_registers regs = { .cs = 0x10 + seed, .ss = 0x18, .cpl = 3 };

	for (unsigned int i = 0; i < 16; i++)
		regs.gpr[i] = noise(seed + i);
	regs.rip = 0xffffffff81000000 + seed;
	regs.cr3 = 0x1000 * seed;
	regs.tsc = 99;
	regs.mode = 64;
	return regs;
}

/* Two epochs: memory, mappings, registers, and trace of vCPU 1 in the second alone. */
static struct bytes make_file(void)
{
	static const struct xenpt_mapping first[] = { { 0x400000, 0x5000 },
						      { 0x401000, XENPT_GPA_NONE } };
	static const struct xenpt_mapping second[] = { { 0x401000, 0x6000 } };
	static const struct xenpt_outcome outcome = { "it crashed", "panic\x1b[0m\n",
						      true };
	struct xenpt_vcpu zero = { 0, "" }, one = { 1, "" };
	static uint8_t pages[3 * PAGE];
	struct xenpt_registers regs;
	struct xenpt_writer *writer;
	int fd;

	for (size_t i = 0; i < sizeof(pages); i++)
		pages[i] = i / 7;
	writer = writer_open(&fd);
	assert_success(xenpt_writer_domain(writer, &domain));
	assert_success(xenpt_writer_vcpu(writer, &zero));
	assert_success(xenpt_writer_vcpu(writer, &one));
	assert_success(xenpt_writer_trace(writer, 0, "abc", 3));
	assert_success(xenpt_writer_pages(writer, 0x5000, pages, PAGE));
	assert_success(xenpt_writer_map(writer, 0x1000, first, 2));
	regs = some_registers(1);
	assert_success(xenpt_writer_registers(writer, 1, &regs));
	assert_success(xenpt_writer_epoch(writer));
	assert_success(xenpt_writer_trace(writer, 1, "de", 2));
	regs = some_registers(2);
	assert_success(xenpt_writer_registers(writer, 1, &regs));
	regs = some_registers(3);
	assert_success(xenpt_writer_registers(writer, 0, &regs));
	assert_success(xenpt_writer_pages(writer, 0x5000, pages, sizeof(pages)));
	assert_success(xenpt_writer_map(writer, 0x1000, second, 1));
	assert_success(xenpt_writer_outcome(writer, &outcome));
	assert_success(xenpt_writer_finish(writer));
	return writer_close(writer, fd);
}

static void check_sample(const struct xenpt_sample *sample, uint32_t vcpu,
			 uint64_t offset, unsigned int seed)
{
	struct xenpt_registers regs = some_registers(seed);

	assert_int_equal(sample->vcpu, vcpu);
	assert_int_equal(sample->offset, offset);
	assert_memory_equal(&sample->regs, &regs, sizeof(regs));
}

static void check_memory(const struct xenpt_file *file)
{
	const struct section_mapping *mapping;
	const struct xenpt_chunk *chunks;
	uint8_t buf[3 * PAGE];
	size_t count;

	chunks = xenpt_file_pages(file, &count);
	assert_int_equal(count, 2);
	assert_int_equal(chunks[0].offset, 0x5000);
	assert_int_equal(chunks[0].epoch, 0);
	assert_int_equal(chunks[1].epoch, 1);
	assert_int_equal(chunks[1].size, sizeof(buf));
	assert_success(xenpt_file_read(file, &chunks[1], buf));
	for (size_t i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], i / 7 & 0xff);

	chunks = xenpt_file_maps(file, &count);
	assert_int_equal(count, 2);
	assert_int_equal(chunks[0].cr3, 0x1000);
	assert_int_equal(chunks[0].epoch, 0);
	assert_int_equal(chunks[0].size, 2 * sizeof(*mapping));
	assert_success(xenpt_file_read(file, &chunks[0], buf));
	mapping = (const void *)buf;
	assert_int_equal(mapping[0].gpa, 0x5000);
	assert_int_equal(mapping[1].address, 0x401000);
	assert_int_equal(mapping[1].gpa, XENPT_GPA_NONE);
	assert_int_equal(chunks[1].epoch, 1);
}

static void test_round_trip(void **state)
{
	struct bytes bytes = make_file();
	const struct xenpt_file_info *info;
	const struct xenpt_chunk *chunks;
	struct xenpt_file *file;
	size_t count;

	assert_success(open_bytes(bytes.data, bytes.size, &file));
	info = xenpt_file_info(file);
	assert_true(info->complete);
	assert_string_equal(info->domain->name, "guest");
	assert_string_equal(info->domain->uuid, "0-1-2");
	assert_string_equal(info->domain->type, "PVH");
	assert_string_equal(info->domain->backend, "sim");
	assert_int_equal(info->domain->vcpus, 2);
	assert_int_equal(info->domain->memory, 256 << 20);
	assert_string_equal(info->outcome->why, "it crashed");
	assert_string_equal(info->outcome->console, "panic\x1b[0m\n");
	assert_true(info->outcome->crashed);
	assert_int_equal(info->sample_count, 3);
	check_sample(&info->samples[0], 0, 3, 3);
	check_sample(&info->samples[1], 1, 0, 1);
	check_sample(&info->samples[2], 1, 2, 2);
	assert_int_equal(info->pages, 4);
	assert_int_equal(info->epochs, 2);
	check_memory(file);
	chunks = xenpt_file_trace(file, 0, &count);
	assert_int_equal(chunks[0].epoch, 0);
	chunks = xenpt_file_trace(file, 1, &count);
	assert_int_equal(chunks[0].epoch, 1);
	xenpt_file_close(file);
	free(bytes.data);
}

/* A file without any of it says so. */
static void test_none(void **state)
{
	const struct xenpt_file_info *info;
	struct xenpt_writer *writer;
	struct xenpt_file *file;
	struct bytes bytes;
	int fd;

	writer = writer_open(&fd);
	assert_success(xenpt_writer_finish(writer));
	bytes = writer_close(writer, fd);
	assert_success(open_bytes(bytes.data, bytes.size, &file));
	info = xenpt_file_info(file);
	assert_null(info->domain);
	assert_null(info->outcome);
	assert_int_equal(info->sample_count, 0);
	assert_int_equal(info->pages, 0);
	assert_int_equal(info->epochs, 1);
	xenpt_file_close(file);
	free(bytes.data);
}

/* What the writer does not take. */
static void test_misuse(void **state)
{
	static const struct xenpt_mapping odd[] = { { 0x1001, 0x1000 } };
	static const struct xenpt_mapping odd_gpa[] = { { 0x1000, 0x1800 } };
	struct xenpt_outcome outcome = { "", "", false };
	struct xenpt_registers regs = {};
	struct xenpt_vcpu zero = { 0, "" };
	static uint8_t page[PAGE];
	struct xenpt_writer *writer;
	struct bytes bytes;
	int fd;

	writer = writer_open(&fd);
	assert_error(xenpt_writer_registers(writer, 0, &regs), XENPT_ERROR_INVALID,
		     "not announced");
	assert_error(xenpt_writer_pages(writer, 0x1001, page, PAGE), XENPT_ERROR_INVALID,
		     "whole pages");
	assert_error(xenpt_writer_pages(writer, 0x1000, page, 1), XENPT_ERROR_INVALID,
		     "whole pages");
	assert_error(xenpt_writer_pages(writer, -(uint64_t)PAGE, page, 2 * PAGE),
		     XENPT_ERROR_INVALID, "past the last address");
	assert_error(xenpt_writer_map(writer, 0, odd, 1), XENPT_ERROR_INVALID, "pages");
	assert_error(xenpt_writer_map(writer, 0, odd_gpa, 1), XENPT_ERROR_INVALID,
		     "pages");
	assert_success(xenpt_writer_outcome(writer, &outcome));
	assert_error(xenpt_writer_outcome(writer, &outcome), XENPT_ERROR_INVALID,
		     "one outcome");
	assert_success(xenpt_writer_domain(writer, &domain));
	assert_error(xenpt_writer_domain(writer, &domain), XENPT_ERROR_INVALID, "once");
	assert_success(xenpt_writer_vcpu(writer, &zero));
	assert_success(xenpt_writer_trace(writer, 0, "x", 1));
	bytes = writer_close(writer, fd);
	free(bytes.data);
}

/* Of a long console the end is kept. */
static void test_console(void **state)
{
	struct xenpt_outcome outcome = { "why", NULL, false };
	size_t size = 1 << 20, kept;
	char *console = malloc(size);
	struct xenpt_writer *writer;
	struct xenpt_file *file;
	struct bytes bytes;
	int fd;

	assert_non_null(console);
	memset(console, '.', size - 1);
	memcpy(console + size - 4, "end", 4);
	outcome.console = console;
	writer = writer_open(&fd);
	assert_success(xenpt_writer_outcome(writer, &outcome));
	bytes = writer_close(writer, fd);
	free(console);
	assert_success(open_bytes(bytes.data, bytes.size, &file));
	console = (char *)xenpt_file_info(file)->outcome->console;
	kept = strlen(console);
	assert_in_range(kept, 10000, SECTION_TEXT_MAX);
	assert_string_equal(console + kept - 4, ".end");
	xenpt_file_close(file);
	free(bytes.data);
}

/* Change the header of the first chunk of @type, and open. */
static struct xenpt_file *open_changed(enum xenpt_section_type type,
				       void (*change)(struct section_header *header))
{
	struct bytes bytes = make_file();
	struct section_header header;
	struct xenpt_file *file;
	size_t at[32], i = 0;

	find_chunks(bytes, at, 32);
	while (header_at(bytes, at[i]).type != type)
		i++;
	header = header_at(bytes, at[i]);
	change(&header);
	reseal(bytes, at[i], header);
	assert_success(open_bytes(bytes.data, bytes.size, &file));
	free(bytes.data);
	return file;
}

static void place_odd(struct section_header *header)
{
	header->place++;
}

static void place_last(struct section_header *header)
{
	header->place = UINT64_MAX - PAGE + 1;
	header->data_size = 2 * PAGE;
	header->flags |= XENPT_SECTION_ZSTD;
}

static void epoch_high(struct section_header *header)
{
	header->detail = SECTION_EPOCHS_MAX;
}

static void trace_epoch_high(struct section_header *header)
{
	header->value = SECTION_EPOCHS_MAX;
}

static void size_odd(struct section_header *header)
{
	header->data_size++;
	header->flags |= XENPT_SECTION_ZSTD;
}

static void payload_bad(struct section_header *header)
{
	header->payload_crc++;
}

/* A chunk that cannot be is left out and told, and all others are read. */
static void test_damaged(void **state)
{
	static const struct {
		enum xenpt_section_type type;
		void (*change)(struct section_header *header);
		const char *why;
	} cases[] = {
		{ XENPT_SECTION_PAGES, place_odd, "whole pages" },
		{ XENPT_SECTION_PAGES, size_odd, "whole pages" },
		{ XENPT_SECTION_PAGES, place_last, "past the last address" },
		{ XENPT_SECTION_PAGES, epoch_high, "epoch" },
		{ XENPT_SECTION_PAGES, payload_bad, "checksum" },
		{ XENPT_SECTION_MAP, size_odd, "not whole" },
		{ XENPT_SECTION_MAP, epoch_high, "epoch" },
		{ XENPT_SECTION_MAP, payload_bad, "checksum" },
		{ XENPT_SECTION_TRACE, trace_epoch_high, "epoch" },
		{ XENPT_SECTION_REGISTERS, payload_bad, "checksum" },
		{ XENPT_SECTION_REGISTERS, size_odd, "size" },
		{ XENPT_SECTION_DOMAIN, payload_bad, "checksum" },
		{ XENPT_SECTION_OUTCOME, payload_bad, "checksum" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct xenpt_file *file = open_changed(cases[i].type, cases[i].change);
		const struct xenpt_file_info *info = xenpt_file_info(file);
		enum xenpt_section_type type = cases[i].type;

		assert_int_equal(info->damage_count, 1);
		assert_non_null(strstr(info->damages[0].why, cases[i].why));
		assert_false(info->complete);
		assert_int_equal(info->pages, type == XENPT_SECTION_PAGES ? 3 : 4);
		assert_int_equal(info->sample_count,
				 type == XENPT_SECTION_REGISTERS ? 2 : 3);
		assert_int_equal(!info->domain, type == XENPT_SECTION_DOMAIN);
		assert_int_equal(!info->outcome, type == XENPT_SECTION_OUTCOME);
		assert_int_equal(info->epochs, 2);
		xenpt_file_close(file);
	}
}

/* Sizes of names that do not fit their chunk. */
static void test_hostile_names(void **state)
{
	enum xenpt_section_type types[] = { XENPT_SECTION_DOMAIN, XENPT_SECTION_OUTCOME };

	for (size_t i = 0; i < 2; i++) {
		struct bytes bytes = make_file();
		struct section_header header;
		struct xenpt_file *file;
		size_t at[32], j = 0;

		find_chunks(bytes, at, 32);
		while (header_at(bytes, at[j]).type != types[i])
			j++;
		header = header_at(bytes, at[j]);
		memset(bytes.data + at[j] + sizeof(header), 0xff, 8);
		header.payload_crc =
			xenpt_crc32c(0, bytes.data + at[j] + sizeof(header), header.size);
		reseal(bytes, at[j], header);
		assert_success(open_bytes(bytes.data, bytes.size, &file));
		assert_int_equal(xenpt_file_info(file)->damage_count, 1);
		assert_non_null(
			strstr(xenpt_file_info(file)->damages[0].why, "past the end"));
		xenpt_file_close(file);
		free(bytes.data);
	}
}

/* Each whole chunk before a cut is read, and nothing that is none. */
static void test_cut(void **state)
{
	struct bytes bytes = make_file();
	size_t at[32], count = find_chunks(bytes, at, 32);

	for (size_t size = at[1]; size < bytes.size; size += 7) {
		const struct xenpt_file_info *info;
		struct xenpt_file *file;
		size_t pages = 0, samples = 0;

		for (size_t i = 0; i < count; i++) {
			struct section_header header = header_at(bytes, at[i]);

			if (at[i] + sizeof(header) + header.size > size)
				break;
			if (header.type == XENPT_SECTION_PAGES)
				pages += header.data_size / PAGE;
			samples += header.type == XENPT_SECTION_REGISTERS;
		}
		assert_success(open_bytes(bytes.data, size, &file));
		info = xenpt_file_info(file);
		assert_false(info->complete);
		assert_int_equal(info->pages, pages);
		assert_int_equal(info->sample_count, samples);
		xenpt_file_close(file);
	}
	free(bytes.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_none),
		cmocka_unit_test(test_misuse),     cmocka_unit_test(test_console),
		cmocka_unit_test(test_damaged),    cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
