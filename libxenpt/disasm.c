/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "disasm.h"

#ifdef HAVE_ZYDIS

#include <Zydis/Zydis.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

#define INSNS 8192 /* a power of two: a trace runs the same ones over and over */

struct xenpt_disasm {
	const struct xenpt_image *image;
	ZydisFormatter formatter;
	ZydisDecoder decoders[3]; /* 16, 32, 64 bits */
	struct xenpt_insn insns[INSNS];
};

struct xenpt_error *xenpt_disasm_create(const struct xenpt_image *image,
					struct xenpt_disasm **ret)
{
	static const struct {
		ZydisMachineMode mode;
		ZydisStackWidth width;
	} modes[] = {
		{ ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
		{ ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
		{ ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
	};
	_cleanup_free_ struct xenpt_disasm *disasm = calloc(1, sizeof(*disasm));

	if (!disasm)
		return xenpt_error_no_memory();
	disasm->image = image;
	for (size_t i = 0; i < 3; i++) {
		if (!ZYAN_SUCCESS(ZydisDecoderInit(&disasm->decoders[i], modes[i].mode,
						   modes[i].width)))
			return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
						  "Zydis is not built to decode");
	}
	if (!ZYAN_SUCCESS(
		    ZydisFormatterInit(&disasm->formatter, ZYDIS_FORMATTER_STYLE_INTEL)))
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
					  "Zydis is not built to format");
	ZydisFormatterSetProperty(&disasm->formatter, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE,
				  ZYAN_FALSE);
	ZydisFormatterSetProperty(&disasm->formatter,
				  ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE,
				  ZYDIS_PADDING_DISABLED);
	ZydisFormatterSetProperty(&disasm->formatter, ZYDIS_FORMATTER_PROP_DISP_PADDING,
				  ZYDIS_PADDING_DISABLED);
	ZydisFormatterSetProperty(&disasm->formatter, ZYDIS_FORMATTER_PROP_IMM_PADDING,
				  ZYDIS_PADDING_DISABLED);
	*ret = no_cleanup_ptr(disasm);
	return NULL;
}

void xenpt_disasm_destroy(struct xenpt_disasm *disasm)
{
	free(disasm);
}

/* Blocks run on through direct jumps and, where a call only reads the IP, calls. */
static void follow(struct xenpt_insn *insn, const ZydisDecodedInstruction *decoded,
		   const ZydisDecodedOperand *operand)
{
	bool jumps = decoded->meta.category == ZYDIS_CATEGORY_UNCOND_BR ||
		     decoded->meta.category == ZYDIS_CATEGORY_CALL;
	ZyanU64 target;

	if (jumps && decoded->operand_count &&
	    operand->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && operand->imm.is_relative &&
	    ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(decoded, operand, insn->ip, &target)))
		insn->next = target;
}

static void decode(struct xenpt_disasm *disasm, struct xenpt_insn *insn)
{
	const ZydisDecoder *decoder = &disasm->decoders[insn->mode == 16   ? 0
							: insn->mode == 32 ? 1
									   : 2];
	ZydisDecodedInstruction decoded;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	size_t size;

	size = xenpt_image_read(disasm->image, insn->epoch, insn->cr3, insn->ip,
				insn->bytes, sizeof(insn->bytes));
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder, insn->bytes, size, &decoded,
						 operands)))
		return;
	insn->size = decoded.length;
	insn->next = insn->ip + decoded.length;
	follow(insn, &decoded, &operands[0]);
	if (!ZYAN_SUCCESS(ZydisFormatterFormatInstruction(
		    &disasm->formatter, &decoded, operands, decoded.operand_count_visible,
		    insn->text, sizeof(insn->text), insn->ip, ZYAN_NULL)))
		insn->text[0] = '\0';
	insn->text_size = strlen(insn->text);
}

const struct xenpt_insn *xenpt_disasm_at(struct xenpt_disasm *disasm, uint32_t epoch,
					 uint64_t cr3, uint8_t mode, uint64_t ip)
{
	uint64_t hash = (ip ^ cr3 >> 5) * 0x9e3779b97f4a7c15;
	struct xenpt_insn *insn = &disasm->insns[hash >> 51];

	_Static_assert(INSNS == 1 << (64 - 51), "the hash covers the table");
	if (!mode)
		mode = 64;
	if (insn->mode == mode && insn->ip == ip && insn->cr3 == cr3 &&
	    insn->epoch == epoch)
		return insn;
	*insn = (struct xenpt_insn){ .cr3 = cr3, .ip = ip, .epoch = epoch, .mode = mode };
	decode(disasm, insn);
	return insn;
}

#else

struct xenpt_error *xenpt_disasm_create(const struct xenpt_image *image,
					struct xenpt_disasm **ret)
{
	return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
				  "instructions need a disassembler: this build was "
				  "configured without --with-zydis");
}

void xenpt_disasm_destroy(struct xenpt_disasm *disasm)
{
}

const struct xenpt_insn *xenpt_disasm_at(struct xenpt_disasm *disasm, uint32_t epoch,
					 uint64_t cr3, uint8_t mode, uint64_t ip)
{
	static const struct xenpt_insn none;

	return &none;
}

#endif
