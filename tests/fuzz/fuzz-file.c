/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opens any bytes as a .xpt file, and reads all that is in it. Checksums would
 * keep a fuzzer out: the mutator repairs them most of the time.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libxenpt/crc32c.h"
#include "libxenpt/file.h"
#include "libxenpt/image.h"
#include "libxenpt/mem-file.h"
#include "libxenpt/section.h"
#include "libxenpt/xenpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed);

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void read_chunks(const struct xenpt_file *file, const struct xenpt_chunk *chunks,
			size_t count)
{
	for (size_t i = 0; i < count; i++) {
		void *buf;

		must(chunks[i].size <= SECTION_DATA_MAX);
		buf = malloc(chunks[i].size);
		xenpt_error_destroy(xenpt_file_read(file, &chunks[i], buf));
		free(buf);
	}
}

/* What a decoder relies on. */
static void check_trace(const struct xenpt_file *file)
{
	const struct xenpt_file_info *info = xenpt_file_info(file);

	for (size_t i = 0; i < info->vcpu_count; i++) {
		const struct xenpt_chunk *chunks;
		uint64_t next = 0, lost = 0;
		size_t count;

		chunks = xenpt_file_trace(file, info->vcpus[i].vcpu.id, &count);
		for (size_t j = 0; j < count; j++) {
			/* A recorder may have written that reason, too. */
			must(chunks[j].offset == next || chunks[j].offset == next + lost);
			next = chunks[j].offset + chunks[j].size;
			lost = chunks[j].gap == XENPT_GAP_DAMAGED ? chunks[j].lost : 0;
		}
		read_chunks(file, chunks, count);
	}
	for (size_t i = 0; i < info->damage_count; i++)
		must(info->damages[i].size <= info->size - info->damages[i].offset);
	must(!info->complete || !info->damage_count);
}

/* In order, apart, and in the image's file; they are what is read. */
static void check_sections(const struct xenpt_image *image)
{
	const struct image_section *sections;
	const struct image_range *varying;
	size_t count;

	sections = xenpt_image_sections(image, &count);
	for (size_t i = 0; i < count; i++) {
		const struct image_section *s = &sections[i];
		uint8_t bytes[2];

		must(s->size && s->address <= UINT64_MAX - s->size);
		must(!i || s[-1].cr3 < s->cr3 ||
		     (s[-1].cr3 == s->cr3 && s[-1].address + s[-1].size <= s->address));
		must(pread(xenpt_image_fd(image), bytes, 1, s->offset) == 1);
		must(xenpt_image_read(image, 0, s->cr3, s->address, bytes + 1, 1));
		must(bytes[0] == bytes[1]);
		must(pread(xenpt_image_fd(image), bytes, 1, s->offset + s->size - 1) ==
		     1);
	}
	varying = xenpt_image_varying(image, &count);
	for (size_t i = 0; i < count; i++) {
		must(varying[i].begin < varying[i].end);
		must(!i || varying[i - 1].end < varying[i].begin);
	}
}

static void check_image(const struct xenpt_file *file)
{
	const struct xenpt_chunk *chunks;
	struct xenpt_image *image;
	struct xenpt_error *err;
	uint8_t buf[4096];
	size_t count, maps;

	chunks = xenpt_file_code(file, &count);
	read_chunks(file, chunks, count);
	err = xenpt_image_create(file, &image);
	if (err) {
		xenpt_error_destroy(err);
		return;
	}
	xenpt_file_maps(file, &maps);
	for (size_t i = 0; i < count; i++) {
		size_t size = xenpt_image_read(image, 0, chunks[i].cr3, chunks[i].offset,
					       buf, sizeof(buf));

		/* Memory may go before it. */
		must(maps || size >= (chunks[i].size < sizeof(buf) ? chunks[i].size - 1
								   : sizeof(buf) - 1));
	}
	check_sections(image);
	xenpt_image_destroy(image);
}

static void check_memory(const struct xenpt_file *file)
{
	const struct xenpt_chunk *chunks;
	struct xenpt_error *err;
	struct xenpt_mem *mem;
	size_t count;
	uint8_t byte;

	chunks = xenpt_file_maps(file, &count);
	read_chunks(file, chunks, count);
	chunks = xenpt_file_pages(file, &count);
	read_chunks(file, chunks, count);
	err = xenpt_mem_file_create(file, XENPT_EPOCH_NEWEST, &mem);
	if (err) {
		xenpt_error_destroy(err);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		must(chunks[i].epoch < xenpt_file_info(file)->epochs);
		xenpt_mem_read(mem, chunks[i].offset, &byte, 1);
	}
	xenpt_mem_file_destroy(mem);
}

static void check_symtab(const struct xenpt_file *file, const uint8_t *data, size_t size)
{
	struct xenpt_symtab *symtab;
	struct xenpt_symbol symbol;
	struct xenpt_error *err;
	uint64_t address;

	err = xenpt_symtab_create(file, &symtab);
	if (err) {
		xenpt_error_destroy(err);
		return;
	}
	xenpt_symtab_find_name(symtab, XENPT_CR3_ANY, "no such symbol", &symbol);
	for (size_t i = 0; i + sizeof(address) <= size && i < 65536; i += 8) {
		memcpy(&address, data + i, sizeof(address));
		if (xenpt_symtab_find(symtab, XENPT_CR3_ANY, address, &symbol)) {
			must(symbol.address <= address);
			must(!symbol.size || address - symbol.address < symbol.size);
			must(strlen(symbol.name) < SECTION_DATA_MAX);
		}
	}
	xenpt_symtab_destroy(symtab);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", 0);
	struct xenpt_file *file;
	struct xenpt_error *err;
	char path[64];

	must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = xenpt_file_open(path, &file);
	if (err) {
		xenpt_error_destroy(err);
	} else {
		check_trace(file);
		check_image(file);
		check_memory(file);
		check_symtab(file, data, size);
		xenpt_file_close(file);
	}
	close(fd);
	return 0;
}

/* A small file to begin with, if it fits. */
static size_t make_file(uint8_t *data, size_t max_size)
{
	const struct xenpt_image_info image = { 1, "image", "c0de", XENPT_CR3_ANY };
	const struct xenpt_symbol symbols[] = {
		{ 0x1000, 16, "sized", "" },
		{ 0x1008, 0, "unsized", "" },
	};
	const struct xenpt_vcpu vcpu = { 1, "vcpu" };
	const struct xenpt_cpu cpu = { .family = 6 };
	int fd = memfd_create("fuzz", 0);
	const struct xenpt_domain domain = { "d", "u", "t", "b", 1, 4096 };
	const struct xenpt_mapping maps[] = { { 0x1000, 0 }, { 0x2000, 0x1000 } };
	const struct xenpt_outcome outcome = { "why", "console", true };
	const struct xenpt_registers regs = { .cr3 = 0x1000 };
	static uint8_t trace[4096];
	struct xenpt_writer *writer;
	ssize_t size;

	must(!xenpt_writer_create(fd, "fuzz", &writer));
	must(!xenpt_writer_cpu(writer, &cpu));
	must(!xenpt_writer_vcpu(writer, &vcpu));
	must(!xenpt_writer_domain(writer, &domain));
	must(!xenpt_writer_trace(writer, 1, trace, 300));
	must(!xenpt_writer_pages(writer, 0, trace, sizeof(trace)));
	must(!xenpt_writer_map(writer, 0x1000, maps, 2));
	must(!xenpt_writer_epoch(writer));
	must(!xenpt_writer_map(writer, 0x2000, maps, 2));
	trace[0] = 1;
	must(!xenpt_writer_pages(writer, 0x1000, trace, sizeof(trace)));
	must(!xenpt_writer_registers(writer, 1, &regs));
	must(!xenpt_writer_gap(writer, 1, XENPT_GAP_LAPPED, 64));
	must(!xenpt_writer_trace(writer, 1, "trace", 5));
	must(!xenpt_writer_image(writer, &image));
	must(!xenpt_writer_code(writer, 1, 0x1000, 0x1000, trace, 64));
	must(!xenpt_writer_code(writer, 1, XENPT_CR3_ANY, 0x1020, trace, 64));
	must(!xenpt_writer_symbols(writer, 1, symbols, 2));
	must(!xenpt_writer_outcome(writer, &outcome));
	must(!xenpt_writer_finish(writer));
	xenpt_writer_destroy(writer);
	size = pread(fd, data, max_size, 0);
	close(fd);
	must(size > 0);
	return size;
}

/* Give what looks like a chunk checksums that are right, and the first's id. */
static void repair(uint8_t *data, size_t size)
{
	struct section_header header;
	uint8_t *at = data;

	while ((at = memmem(at, size - (at - data), SECTION_MAGIC, 8))) {
		size_t room = size - (at - data), payload;

		if (room < sizeof(header))
			return;
		memcpy(&header, at, sizeof(header));
		if (size >= 16)
			memcpy(&header.file, data + 8, sizeof(header.file));
		payload = le64toh(header.size);
		if (payload <= room - sizeof(header))
			header.payload_crc =
				htole32(xenpt_crc32c(0, at + sizeof(header), payload));
		header.header_crc = htole32(xenpt_crc32c(
			0, &header, offsetof(struct section_header, header_crc)));
		memcpy(at, &header, sizeof(header));
		at += 8;
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed)
{
	if (!memmem(data, size, SECTION_MAGIC, 8))
		size = make_file(data, max_size);
	size = LLVMFuzzerMutate(data, size, max_size);
	if (seed % 8)
		repair(data, size);
	return size;
}
