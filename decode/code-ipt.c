/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>

#include "code-ipt.h"
#include "cpu.h"
#include "libxenpt/array.h"
#include "libxenpt/cleanup.h"
#include "libxenpt/image.h"

/*
 * A decoder that has read an instruction of a section keeps the section mapped,
 * and what libipt caches of its blocks with it. Without one, all is thrown away
 * when a span ends, or when the code that runs changes sections. (libipt's section
 * cache does the same, but takes two locks more at every map.)
 */
struct pin {
	struct pt_block_decoder *decoder;
	uint8_t trace[48];
};

/* A pin is a mapping, of which a process may have 65,530 in all. */
#define PINS_MAX 512

/* Addresses at which an address space has code of its own. */
struct code_range {
	uint64_t begin, end;
};

struct flow_code {
	const struct xenpt_image *image;
	struct pt_image *sections;
	ARRAY(struct code_range) own; /* of any space; in order, apart */
	struct pin pins[PINS_MAX];
	size_t pin_count;
};

void code_destroy(struct flow_code *code)
{
	if (!code)
		return;
	for (size_t i = 0; i < code->pin_count; i++)
		pt_blk_free_decoder(code->pins[i].decoder);
	pt_image_free(code->sections);
	array_deinit(&code->own);
	free(code);
}

XENPT_DEFINE_CLEANUP(struct flow_code, flow_code, code_destroy)

struct pt_image *code_sections(const struct flow_code *code)
{
	return code->sections;
}

const struct xenpt_image *code_image(const struct flow_code *code)
{
	return code->image;
}

/* ---- what is an address space's own ---- */

static int compare_ranges(const void *a, const void *b)
{
	const struct code_range *x = a, *y = b;

	return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static struct xenpt_error *find_own(struct flow_code *code,
				    const struct image_section *sections, size_t count)
{
	struct code_range *own;
	size_t merged = 0;

	for (size_t i = 0; i < count; i++) {
		if (sections[i].cr3 == XENPT_CR3_ANY)
			continue;
		own = array_add(&code->own);
		if (!own)
			return xenpt_error_no_memory();
		own->begin = sections[i].address;
		own->end = sections[i].address + sections[i].size;
	}
	own = code->own.data;
	if (code->own.count)
		qsort(own, code->own.count, sizeof(*own), compare_ranges);
	for (size_t i = 0; i < code->own.count; i++) {
		if (merged && own[i].begin <= own[merged - 1].end) {
			if (own[i].end > own[merged - 1].end)
				own[merged - 1].end = own[i].end;
		} else {
			own[merged++] = own[i];
		}
	}
	code->own.count = merged;
	return NULL;
}

/* The first range that ends after @address; one past the last: none. */
static const struct code_range *own_after(const struct flow_code *code, uint64_t address)
{
	size_t lo = 0, hi = code->own.count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (code->own.data[mid].end <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return code->own.data + lo;
}

bool code_is_own(const struct flow_code *code, uint64_t address)
{
	const struct code_range *own;

	if (!code->own.count)
		return false;
	own = own_after(code, address);
	return own != code->own.data + code->own.count && own->begin <= address;
}

/* ---- pins ---- */

/* A PSB+ that says: here runs this section's first instruction. */
static int write_psb_plus(const struct image_section *section, struct pt_config *config)
{
	struct pt_packet packets[] = {
		{ .type = ppt_psb },
		{ .type = ppt_pad },
		{ .type = ppt_mode, .payload.mode = { .leaf = pt_mol_exec } },
		{ .type = ppt_fup, .payload.ip = { pt_ipc_full, section->address } },
		{ .type = ppt_psbend },
	};
	struct pt_encoder *encoder = pt_alloc_encoder(config);
	int status = 0;

	if (!encoder)
		return -pte_nomem;
	packets[2].payload.mode.bits.exec.csl = 1;
	if (section->cr3 != XENPT_CR3_ANY) {
		packets[1].type = ppt_pip;
		packets[1].payload.pip.cr3 = section->cr3;
	}
	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]) && status >= 0; i++)
		status = pt_enc_next(encoder, &packets[i]);
	pt_free_encoder(encoder);
	return status;
}

/* It does not matter what the instruction is, or whether it is one. */
static int pin_section(struct flow_code *code, const struct image_section *section)
{
	struct pin *pin = &code->pins[code->pin_count];
	struct pt_config config;
	struct pt_event event;
	struct pt_block block;
	int status;

	pt_config_init(&config);
	config.begin = pin->trace;
	config.end = pin->trace + sizeof(pin->trace);
	status = write_psb_plus(section, &config);
	if (status < 0)
		return status;
	pin->decoder = pt_blk_alloc_decoder(&config);
	if (!pin->decoder)
		return -pte_nomem;
	code->pin_count++;
	status = pt_blk_set_image(pin->decoder, code->sections);
	if (status < 0)
		return status;
	status = pt_blk_sync_set(pin->decoder, 0);
	while (status >= 0 && status & pts_event_pending)
		status = pt_blk_event(pin->decoder, &event, sizeof(event));
	if (status >= 0)
		pt_blk_next(pin->decoder, &block, sizeof(block));
	return 0;
}

/* ---- sections ---- */

/* Bytes [begin, end) of a section; the memory is that of the image's file, @path. */
static int add_part(struct flow_code *code, const char *path,
		    struct image_section section, uint64_t begin, uint64_t end)
{
	struct pt_asid asid;
	int status;

	section.offset += begin - section.address;
	section.address = begin;
	section.size = end - begin;
	pt_asid_init(&asid);
	asid.cr3 = section.cr3 == XENPT_CR3_ANY ? pt_asid_no_cr3 : section.cr3;
	status = pt_image_add_file(code->sections, path, section.offset, section.size,
				   &asid, section.address);
	if (status >= 0 && code->pin_count < PINS_MAX)
		status = pin_section(code, &section);
	return status;
}

/*
 * Where sections overlap, libipt keeps only the one added last, and one without a
 * CR3 overlaps with those of each. So what is in all address spaces is left out
 * where one of them has its own; there, read_memory() tells.
 */
static int add_section(struct flow_code *code, const char *path,
		       const struct image_section *section)
{
	uint64_t begin = section->address, end = begin + section->size;
	const struct code_range *own, *last;

	if (section->cr3 != XENPT_CR3_ANY || !code->own.count)
		return add_part(code, path, *section, begin, end);
	last = code->own.data + code->own.count;
	for (own = own_after(code, begin); own != last && own->begin < end; own++) {
		int status = 0;

		if (begin < own->begin)
			status = add_part(code, path, *section, begin, own->begin);
		if (status < 0)
			return status;
		begin = own->end;
	}
	return begin < end ? add_part(code, path, *section, begin, end) : 0;
}

static int read_memory(uint8_t *buf, size_t size, const struct pt_asid *asid, uint64_t ip,
		       void *arg)
{
	const struct flow_code *code = arg;
	uint64_t cr3 = asid->cr3 == pt_asid_no_cr3 ? XENPT_CR3_ANY : asid->cr3;
	size_t read = xenpt_image_read(code->image, cr3, ip, buf, size);

	return read ? (int)read : -pte_nomap;
}

/*
 * Sections are backed by a file: libipt's block cache hangs on such sections, and
 * with the callback alone decoding takes three to five times as long. Each
 * thread has its own, for their locks are taken at every block.
 */
struct xenpt_error *code_create(const struct xenpt_image *image, struct flow_code **ret)
{
	_cleanup_(flow_code_cleanup) struct flow_code *code = calloc(1, sizeof(*code));
	const struct image_section *sections;
	char path[64];
	size_t count;

	if (!code)
		return xenpt_error_no_memory();
	code->image = image;
	code->sections = pt_image_alloc(NULL);
	if (!code->sections ||
	    pt_image_set_callback(code->sections, read_memory, code) < 0)
		return xenpt_error_no_memory();

	sections = xenpt_image_sections(image, &count);
	XENPT_TRY(find_own(code, sections, count));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", xenpt_image_fd(image));
	/* From the last one on: those of all address spaces are the most used. */
	for (size_t i = count; i-- > 0;) {
		int status = add_section(code, path, &sections[i]);

		if (status == -pte_nomem)
			return xenpt_error_no_memory();
		if (status < 0)
			return xenpt_error_create(
				XENPT_ERROR_INVALID, "code at 0x%" PRIx64 ": %s",
				sections[i].address, pt_errstr(pt_errcode(status)));
	}
	*ret = no_cleanup_ptr(code);
	return NULL;
}
