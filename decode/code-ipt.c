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

ARRAY_TYPE(code_ranges, struct image_range);

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
	struct code_ranges own; /* where any space has code of its own; in order, apart */
	struct code_ranges cuts; /* what sections for all spaces leave out; the same */
	bool shared_only;        /* there are no sections but those */
	struct pt_image *plain;  /* no sections, no cache: slow, but knows all modes */
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
	array_deinit(&code->cuts);
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
	const struct image_range *x = a, *y = b;

	return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static void merge_ranges(struct code_ranges *ranges)
{
	struct image_range *all = ranges->data;
	size_t merged = 0;

	if (ranges->count)
		qsort(all, ranges->count, sizeof(*all), compare_ranges);
	for (size_t i = 0; i < ranges->count; i++) {
		if (merged && all[i].begin <= all[merged - 1].end) {
			if (all[i].end > all[merged - 1].end)
				all[merged - 1].end = all[i].end;
		} else {
			all[merged++] = all[i];
		}
	}
	ranges->count = merged;
}

static struct xenpt_error *find_own(struct flow_code *code,
				    const struct image_section *sections, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct image_range *own;

		if (sections[i].cr3 == XENPT_CR3_ANY)
			continue;
		own = array_add(&code->own);
		if (!own)
			return xenpt_error_no_memory();
		own->begin = sections[i].address;
		own->end = sections[i].address + sections[i].size;
	}
	merge_ranges(&code->own);
	return NULL;
}

/*
 * What depends on the epoch must come through the callback; so must what is an address
 * space's own, where that has no section.
 */
static struct xenpt_error *find_cuts(struct flow_code *code)
{
	const struct image_range *varying;
	size_t own = code->shared_only ? code->own.count : 0, count;

	varying = xenpt_image_varying(code->image, &count);
	if (!array_reserve(&code->cuts, count + own))
		return xenpt_error_no_memory();
	for (size_t i = 0; i < count; i++)
		code->cuts.data[code->cuts.count++] = varying[i];
	for (size_t i = 0; i < own; i++)
		code->cuts.data[code->cuts.count++] = code->own.data[i];
	merge_ranges(&code->cuts);
	return NULL;
}

/* The first range that ends after @address; one past the last: none. */
static const struct image_range *own_after(const struct flow_code *code, uint64_t address)
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
	const struct image_range *own;

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

/* A section of all address spaces, without what must come through the callback. */
static int add_shared(struct mode_code *mode, const char *path,
		      const struct image_section *section, unsigned int bits,
		      const struct code_ranges *cuts)
{
	uint64_t address = section->address, end = address + section->size;
	int status = 0;

	for (size_t i = 0; address < end && status >= 0; i++) {
		bool cut = i < cuts->count && cuts->data[i].begin < end;
		uint64_t stop = cut ? cuts->data[i].begin : end;
		struct image_section piece = *section;

		if (stop > address) {
			piece.address = address;
			piece.size = stop - address;
			piece.offset += address - section->address;
			status = add_section(mode, path, &piece, bits);
			address = stop;
		}
		if (cut && cuts->data[i].end > address)
			address = cuts->data[i].end;
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
	char path[64];
	size_t count;

	if (!mode)
		return xenpt_error_no_memory();
	mode->sections = image_alloc(code);
	if (!mode->sections)
		return xenpt_error_no_memory();
	sections = xenpt_image_sections(code->image, &count);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", xenpt_image_fd(code->image));
	for (size_t i = count; i-- > 0;) {
		int status = 0;

		if (sections[i].cr3 == XENPT_CR3_ANY)
			status = add_shared(mode, path, &sections[i], bits, &code->cuts);
		else if (!code->shared_only)
			status = add_section(mode, path, &sections[i], bits);
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

/* How many there are of all address spaces: they come last. */
static size_t count_shared(const struct image_section *sections, size_t count)
{
	size_t shared = 0;

	while (shared < count && sections[count - 1 - shared].cr3 == XENPT_CR3_ANY)
		shared++;
	return shared;
}

/* As many as libipt takes: all, or those of all address spaces, or none. */
static struct xenpt_error *choose_sections(struct flow_code *code)
{
	const struct image_section *sections;
	size_t count;

	sections = xenpt_image_sections(code->image, &count);
	XENPT_TRY(find_own(code, sections, count));
	code->shared_only = count > SECTIONS_MAX;
	XENPT_TRY(find_cuts(code));
	if (code->shared_only)
		count = count_shared(sections, count);
	if (count <= SECTIONS_MAX && code->cuts.count <= SECTIONS_MAX - count)
		return mode_create(code, 64, &code->modes[MODE_64].code);
	for (size_t i = 0; i < MODES; i++)
		code->modes[i].failed = true;
	return NULL;
}

struct xenpt_error *code_create(const struct xenpt_image *image, struct flow_code **ret)
{
	_cleanup_(flow_code_cleanup) struct flow_code *code = calloc(1, sizeof(*code));

	if (!code)
		return xenpt_error_no_memory();
	code->image = image;
	code->plain = image_alloc(code);
	if (!code->plain)
		return xenpt_error_no_memory();
	XENPT_TRY(choose_sections(code));
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
