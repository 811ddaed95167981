/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
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

/* Each is looked at when one is added, and when code moves on; more are slower than none.
 */
#define SECTIONS_MAX (1 << 14)

/* A pin is a mapping, of which a process may have 65,530 in all. */
#define PINS_MAX 512

/* Addresses at which an address space has code of its own. */
struct code_range {
	uint64_t begin, end;
};

/*
 * The sections for one execution mode. libipt's cache of blocks does not ask for the
 * mode: code that runs in two would be taken for what it was in the first.
 */
struct mode_code {
	struct pt_image *sections;
	struct pin pins[PINS_MAX];
	size_t pin_count;
};

enum {
	MODE_16,
	MODE_32,
	MODE_64,
	MODES
};

struct flow_code {
	const struct xenpt_image *image;
	uint32_t epoch;
	ARRAY(struct code_range) own; /* of any space; in order, apart */
	struct pt_image *plain; /* no sections, no cache: slow, but knows all modes */
	struct code_mode {
		struct mode_code *code; /* NULL: not made */
		bool failed;            /* … and cannot be */
	} modes[MODES];
};

static void mode_destroy(struct mode_code *mode)
{
	if (!mode)
		return;
	for (size_t i = 0; i < mode->pin_count; i++)
		pt_blk_free_decoder(mode->pins[i].decoder);
	pt_image_free(mode->sections);
	free(mode);
}

XENPT_DEFINE_CLEANUP(struct mode_code, mode_code, mode_destroy)

void code_destroy(struct flow_code *code)
{
	if (!code)
		return;
	for (size_t i = 0; i < MODES; i++)
		mode_destroy(code->modes[i].code);
	pt_image_free(code->plain);
	array_deinit(&code->own);
	free(code);
}

XENPT_DEFINE_CLEANUP(struct flow_code, flow_code, code_destroy)

void code_config(struct pt_config *config)
{
	config->flags.variant.block.end_on_call = 1;
	config->flags.variant.block.end_on_jump = 1;
}

void code_set_epoch(struct flow_code *code, uint32_t epoch)
{
	code->epoch = epoch;
}

size_t code_read(const struct flow_code *code, uint64_t cr3, uint64_t address, void *buf,
		 size_t size)
{
	return xenpt_image_read(code->image, code->epoch, cr3, address, buf, size);
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

bool code_has_own(const struct flow_code *code)
{
	return code->own.count > 0;
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

/* A PSB+ that says: here runs this section's first instruction, in @mode. */
static int write_psb_plus(const struct image_section *section, unsigned int mode,
			  struct pt_config *config)
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
	packets[2].payload.mode.bits.exec.csl = mode == 64;
	packets[2].payload.mode.bits.exec.csd = mode == 32;
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
static int pin_section(struct mode_code *code, const struct image_section *section,
		       unsigned int mode)
{
	struct pin *pin = &code->pins[code->pin_count];
	struct pt_config config;
	struct pt_event event;
	struct pt_block block;
	int status;

	pt_config_init(&config);
	config.begin = pin->trace;
	config.end = pin->trace + sizeof(pin->trace);
	code_config(&config);
	status = write_psb_plus(section, mode, &config);
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

/* One range of the code; its memory is that of the image's file, @path. */
static int add_section(struct mode_code *code, const char *path,
		       const struct image_section *section, unsigned int mode)
{
	struct pt_asid asid;
	int status;

	pt_asid_init(&asid);
	asid.cr3 = section->cr3 == XENPT_CR3_ANY ? pt_asid_no_cr3 : section->cr3;
	status = pt_image_add_file(code->sections, path, section->offset, section->size,
				   &asid, section->address);
	if (status >= 0 && code->pin_count < PINS_MAX)
		status = pin_section(code, section, mode);
	return status;
}

static int read_memory(uint8_t *buf, size_t size, const struct pt_asid *asid, uint64_t ip,
		       void *arg)
{
	const struct flow_code *code = arg;
	uint64_t cr3 = asid->cr3 == pt_asid_no_cr3 ? XENPT_CR3_ANY : asid->cr3;
	size_t read = code_read(code, cr3, ip, buf, size);

	return read ? (int)read : -pte_nomap;
}

static struct pt_image *image_alloc(struct flow_code *code)
{
	struct pt_image *image = pt_image_alloc(NULL);

	if (image)
		pt_image_set_callback(image, read_memory, code);
	return image;
}

/*
 * A section of all address spaces, without what is some space's own and depends on the
 * epoch: that must come through the callback. Others' sections have nothing of it.
 */
static int add_around_varying(struct mode_code *code, const char *path,
			      const struct image_section *section, unsigned int mode,
			      const struct image_range *varying, size_t count)
{
	uint64_t address = section->address, end = address + section->size;
	int status = 0;

	for (size_t i = 0; address < end && status >= 0; i++) {
		struct image_section piece = *section;
		uint64_t stop =
			i < count && varying[i].begin < end ? varying[i].begin : end;

		if (stop > address) {
			piece.address = address;
			piece.size = stop - address;
			piece.offset += address - section->address;
			status = add_section(code, path, &piece, mode);
		}
		if (stop == end)
			break;
		if (varying[i].end > address)
			address = varying[i].end;
	}
	return status;
}

/*
 * Sections are backed by a file: libipt's block cache hangs on such sections, and
 * with the callback alone decoding takes three to five times as long.
 *
 * They are added from the last one on. Those of all address spaces are used most,
 * and get the pins. Where an address space has its own they must make room, for one
 * without a CR3 overlaps with those of each, and of sections that overlap libipt
 * keeps the one added last; then the callback tells.
 */
static struct xenpt_error *mode_create(struct flow_code *code, unsigned int bits,
				       struct mode_code **ret)
{
	_cleanup_(mode_code_cleanup) struct mode_code *mode = calloc(1, sizeof(*mode));
	const struct image_section *sections;
	const struct image_range *varying;
	size_t count, varying_count;
	char path[64];

	if (!mode)
		return xenpt_error_no_memory();
	mode->sections = image_alloc(code);
	if (!mode->sections)
		return xenpt_error_no_memory();
	sections = xenpt_image_sections(code->image, &count);
	varying = xenpt_image_varying(code->image, &varying_count);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", xenpt_image_fd(code->image));
	for (size_t i = count; i-- > 0;) {
		bool any = sections[i].cr3 == XENPT_CR3_ANY;
		int status = add_around_varying(mode, path, &sections[i], bits, varying,
						any ? varying_count : 0);

		/* libipt calls both invalid: no memory, and no file. */
		if (status < 0 && access(path, R_OK) < 0)
			return xenpt_error_os(errno, "%s", path);
		if (status == -pte_nomem || status == -pte_invalid)
			return xenpt_error_no_memory();
		if (status < 0)
			return xenpt_error_create(
				XENPT_ERROR_INVALID, "code at 0x%" PRIx64 ": %s",
				sections[i].address, pt_errstr(pt_errcode(status)));
	}
	*ret = no_cleanup_ptr(mode);
	return NULL;
}

struct xenpt_error *code_create(const struct xenpt_image *image, struct flow_code **ret)
{
	_cleanup_(flow_code_cleanup) struct flow_code *code = calloc(1, sizeof(*code));
	const struct image_section *sections;
	size_t count, varying_count;

	if (!code)
		return xenpt_error_no_memory();
	code->image = image;
	code->plain = image_alloc(code);
	if (!code->plain)
		return xenpt_error_no_memory();
	sections = xenpt_image_sections(image, &count);
	XENPT_TRY(find_own(code, sections, count));
	xenpt_image_varying(image, &varying_count);
	if (count <= SECTIONS_MAX && varying_count <= SECTIONS_MAX - count) {
		XENPT_TRY(mode_create(code, 64, &code->modes[MODE_64].code));
	} else {
		for (size_t i = 0; i < MODES; i++)
			code->modes[i].failed = true;
	}
	*ret = no_cleanup_ptr(code);
	return NULL;
}

struct pt_image *code_sections(struct flow_code *code, unsigned int bits)
{
	struct code_mode *mode;

	switch (bits) {
	case 16:
		mode = &code->modes[MODE_16];
		break;
	case 32:
		mode = &code->modes[MODE_32];
		break;
	case 64:
		mode = &code->modes[MODE_64];
		break;
	default:
		return code->plain;
	}
	if (!mode->code && !mode->failed) {
		/* What is slow is better than nothing. */
		_cleanup_error_ struct xenpt_error *err =
			mode_create(code, bits, &mode->code);

		mode->failed = err != NULL;
	}
	return mode->code ? mode->code->sections : code->plain;
}
