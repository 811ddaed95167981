/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>

#include "code-ipt.h"
#include "cpu.h"
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

struct flow_code {
	const struct xenpt_image *image;
	struct pt_image *sections;
	struct pin *pins;
	size_t pin_count;
};

void code_destroy(struct flow_code *code)
{
	if (!code)
		return;
	for (size_t i = 0; i < code->pin_count; i++)
		pt_blk_free_decoder(code->pins[i].decoder);
	free(code->pins);
	pt_image_free(code->sections);
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
static int pin_section(struct flow_code *code, const struct image_section *section,
		       struct pin *pin)
{
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

/* One range of the code; its memory is that of the image's file, @path. */
static int add_section(struct flow_code *code, const char *path,
		       const struct image_section *section)
{
	struct pt_asid asid;

	pt_asid_init(&asid);
	asid.cr3 = section->cr3 == XENPT_CR3_ANY ? pt_asid_no_cr3 : section->cr3;
	return pt_image_add_file(code->sections, path, section->offset, section->size,
				 &asid, section->address);
}

/*
 * Sections are backed by a file: libipt's block cache hangs on such sections, and
 * with a callback for memory decoding takes three to five times as long. Each
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
	sections = xenpt_image_sections(image, &count);
	code->image = image;
	code->sections = pt_image_alloc(NULL);
	code->pins = calloc(count + 1, sizeof(*code->pins));
	if (!code->sections || !code->pins)
		return xenpt_error_no_memory();

	snprintf(path, sizeof(path), "/proc/self/fd/%d", xenpt_image_fd(image));
	for (size_t i = 0; i < count; i++) {
		int status = add_section(code, path, &sections[i]);

		if (status >= 0)
			status = pin_section(code, &sections[i], &code->pins[i]);
		if (status < 0)
			return xenpt_error_create(
				XENPT_ERROR_INVALID, "code at 0x%" PRIx64 ": %s",
				sections[i].address, pt_errstr(pt_errcode(status)));
	}
	*ret = no_cleanup_ptr(code);
	return NULL;
}
