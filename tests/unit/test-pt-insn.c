/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#ifdef HAVE_ZYDIS
#include <Zydis/Zydis.h>
#endif

#include "decode/insn.h"
#include "hv/pt/insn.h"
#include "tests/unit/random.h"

static const struct {
	enum xpt_insn_class class64, class32;
	uint8_t size, bytes[8];
} known[] = {
	{ XPT_INSN_OTHER, XPT_INSN_OTHER, 1, { 0x90 } },
	{ XPT_INSN_COND, XPT_INSN_COND, 2, { 0x74, 0 } },
	{ XPT_INSN_COND, XPT_INSN_COND, 6, { 0x0f, 0x8f } },
	{ XPT_INSN_COND, XPT_INSN_COND, 2, { 0xe3, 0 } },
	{ XPT_INSN_JUMP, XPT_INSN_JUMP, 6, { 0xf2, 0xe9 } }, /* BND */
	{ XPT_INSN_CALL, XPT_INSN_CALL, 5, { 0xe8 } },
	{ XPT_INSN_JUMP_INDIRECT, XPT_INSN_JUMP_INDIRECT, 3, { 0x3e, 0xff, 0xe0 } },
	{ XPT_INSN_CALL_INDIRECT, XPT_INSN_OTHER, 3, { 0x41, 0xff, 0xd3 } },
	{ XPT_INSN_OTHER, XPT_INSN_OTHER, 2, { 0xff, 0x30 } }, /* PUSH */
	{ XPT_INSN_RET, XPT_INSN_RET, 2, { 0xf3, 0xc3 } },
	{ XPT_INSN_FAR, XPT_INSN_OTHER, 2, { 0x48, 0xcf } },
	{ XPT_INSN_FAR, XPT_INSN_FAR, 2, { 0x0f, 0x05 } },
	{ XPT_INSN_OTHER, XPT_INSN_FAR, 7, { 0xea } },
	{ XPT_INSN_INT, XPT_INSN_INT, 2, { 0xcd, 0x80 } },
	{ XPT_INSN_OTHER, XPT_INSN_INT, 1, { 0xce } },
	{ XPT_INSN_MOV_CR3, XPT_INSN_MOV_CR3, 3, { 0x0f, 0x22, 0xd8 } },
	{ XPT_INSN_MOV_CR3, XPT_INSN_OTHER, 4, { 0x41, 0x0f, 0x22, 0xdf } },
	{ XPT_INSN_OTHER, XPT_INSN_OTHER, 4, { 0x44, 0x0f, 0x22, 0xd8 } },
	{ XPT_INSN_MOV_CR3, XPT_INSN_OTHER, 5, { 0x44, 0x66, 0x0f, 0x22, 0xd8 } },
	{ XPT_INSN_OTHER, XPT_INSN_OTHER, 3, { 0x0f, 0x20, 0xd8 } },
	{ XPT_INSN_PTWRITE, XPT_INSN_PTWRITE, 4, { 0xf3, 0x0f, 0xae, 0x20 } },
	{ XPT_INSN_PTWRITE, XPT_INSN_OTHER, 5, { 0xf3, 0x48, 0x0f, 0xae, 0xe0 } },
	{ XPT_INSN_OTHER, XPT_INSN_OTHER, 3, { 0x0f, 0xae, 0x20 } }, /* XSAVE */
	{ XPT_INSN_OTHER, XPT_INSN_OTHER, 3, { 0x0f, 0x01, 0xd9 } }, /* VMMCALL */
	{ XPT_INSN_FAR, XPT_INSN_FAR, 3, { 0x0f, 0x01, 0xc1 } },
	/* Cut short. */
	{ XPT_INSN_OTHER, XPT_INSN_OTHER, 0, {} },
	{ XPT_INSN_OTHER, XPT_INSN_OTHER, 1, { 0x0f } },
	{ XPT_INSN_OTHER, XPT_INSN_OTHER, 1, { 0xff } },
	{ XPT_INSN_OTHER, XPT_INSN_OTHER, 2, { 0xf3, 0x66 } },
};

static void test_known(void **state)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		assert_int_equal(xpt_insn_class(known[i].bytes, known[i].size, true),
				 known[i].class64);
		assert_int_equal(xpt_insn_class(known[i].bytes, known[i].size, false),
				 known[i].class32);
	}
}

/* As the decoder's classifier has it, which was written apart. */
static bool same(enum xpt_insn_class class, enum xenpt_branch branch)
{
	switch (class) {
	case XPT_INSN_COND:
		return branch == XENPT_BRANCH_COND;
	case XPT_INSN_JUMP:
	case XPT_INSN_JUMP_INDIRECT:
		return branch == XENPT_BRANCH_JUMP;
	case XPT_INSN_CALL:
	case XPT_INSN_CALL_INDIRECT:
		return branch == XENPT_BRANCH_CALL;
	case XPT_INSN_RET:
		return branch == XENPT_BRANCH_RETURN;
	case XPT_INSN_FAR:
		return branch == XENPT_BRANCH_FAR_CALL ||
		       branch == XENPT_BRANCH_FAR_JUMP ||
		       branch == XENPT_BRANCH_FAR_RETURN ||
		       branch == XENPT_BRANCH_SYSCALL;
	case XPT_INSN_INT:
		return branch == XENPT_BRANCH_SYSCALL;
	default:
		return branch == XENPT_BRANCH_NONE;
	}
}

static void test_decoder_agrees(void **state)
{
	struct random random = { 42 };
	uint8_t bytes[15];

	for (unsigned int i = 0; i < 500000; i++) {
		for (size_t j = 0; j < sizeof(bytes); j++)
			bytes[j] = random_below(&random, 256);
		if (i % 4 == 0)
			bytes[0] = 0x0f;
		if (memchr(bytes, 0xce, 4)) /* the decoder takes INTO in 64-bit mode */
			continue;
		if (!same(xpt_insn_class(bytes, 15, i % 2),
			  insn_branch(bytes, 15, i % 2 ? 64 : 32)))
			fail_msg("%02x %02x %02x", bytes[0], bytes[1], bytes[2]);
	}
}

/* ---- sizes ---------------------------------------------------------------- */

static void test_sizes(void **state)
{
	static const struct {
		uint8_t size64, size32, size16, bytes[15];
	} sizes[] = {
		{ 2, 2, 2, { 0x74, 0x10 } },
		{ 6, 6, 4, { 0x0f, 0x84 } },
		{ 7, 5, 7, { 0x66, 0x0f, 0x84 } },
		{ 5, 5, 3, { 0xe8 } },
		{ 2, 2, 2, { 0xcd, 0x80 } },
		{ 1, 1, 1, { 0xcc } },
		{ 2, 2, 2, { 0xff, 0xd0 } },       /* call *%rax */
		{ 3, 0, 0, { 0x41, 0xff, 0xd3 } }, /* 41 is inc, elsewhere */
		{ 0, 0, 0, { 0xff, 0xc0 } },       /* inc %eax */
		{ 0, 0, 0, { 0xff, 0x18 } },       /* lcall *(%rax) */
		{ 0, 0, 0, { 0xff, 0xe0 } },       /* jmp *%rax */
		{ 0, 0, 0, { 0xff, 0x30 } },       /* push (%rax) */
		{ 6, 6, 2, { 0xff, 0x15 } },       /* call *disp(%rip); (%di) */
		{ 3, 3, 2, { 0xff, 0x14, 0xc0 } }, /* call *(%rax,%rax,8); (%si) */
		{ 7, 7, 2, { 0xff, 0x14, 0xc5 } }, /* … no base: disp32 */
		{ 7, 7, 4, { 0xff, 0x94, 0xc0 } }, /* … disp32; (%si) disp16 */
		{ 2, 2, 2, { 0x8e, 0xd0 } },       /* mov %eax, %ss */
		{ 0, 0, 0, { 0x8e, 0xc0 } },       /* … %es */
		{ 0, 1, 1, { 0x17 } },             /* pop %ss */
		{ 0, 1, 1, { 0xce } },             /* into */
		{ 3, 3, 5, { 0x0f, 0xb2, 0x06 } }, /* lss (%rsi); (disp16) */
		{ 0, 0, 0, { 0x90 } },
		{ 0, 0, 0, { 0xc3 } },
		{ 0, 0, 0, { 0x0f, 0xb3 } },
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		const uint8_t *bytes = sizes[i].bytes;

		assert_int_equal(xpt_insn_size(bytes, 15, true, false), sizes[i].size64);
		assert_int_equal(xpt_insn_size(bytes, 15, false, true), sizes[i].size32);
		assert_int_equal(xpt_insn_size(bytes, 15, false, false), sizes[i].size16);
		/* Cut short. */
		for (size_t size = 0; size < sizes[i].size64; size++)
			assert_int_equal(xpt_insn_size(bytes, size, true, false), 0);
	}
}

#define LEADS(to, size, ...)                                                             \
	xpt_insn_leads_to((const uint8_t[15]){ __VA_ARGS__ }, size, true, false, 0x1000, \
			  to)
#define LEADS16(to, size, ...)                                                    \
	xpt_insn_leads_to((const uint8_t[15]){ __VA_ARGS__ }, size, false, false, \
			  0xfff0, to)

static void test_leads_to(void **state)
{
	assert_true(LEADS(0x1002, 2, 0x74, 0x10));
	assert_true(LEADS(0x1012, 2, 0x74, 0x10));
	assert_false(LEADS(0x1000, 2, 0x74, 0x10));
	assert_true(LEADS(0xff2, 2, 0x74, 0xf0));
	assert_false(LEADS(0x1002, 2, 0xeb, 0x10));
	assert_true(LEADS(0x1012, 2, 0xeb, 0x10));
	assert_true(LEADS(0xfff, 5, 0xe8, 0xfa, 0xff, 0xff, 0xff));
	assert_false(LEADS(0x1005, 5, 0xe8, 0xfa, 0xff, 0xff, 0xff));
	/* How long is not known, but not this long. */
	assert_true(LEADS(0x1001, 15, 0x90));
	assert_true(LEADS(0x1000, 15, 0xf3, 0xa4));
	assert_false(LEADS(0x1010, 15, 0x90));
	assert_false(LEADS(0xfff, 15, 0x90));
	assert_true(LEADS(0x77777, 1, 0xc3));
	assert_true(LEADS(0x77777, 2, 0xff, 0xe0));
	/* Half of one explains nothing. */
	assert_false(LEADS(0x1001, 1, 0xe8));
	/* Around the end of a segment. */
	assert_true(LEADS16(0x0012, 2, 0xeb, 0x20));
}

static void test_opcode(void **state)
{
	assert_int_equal(xpt_insn_opcode((const uint8_t[]){ 0x66, 0x9c }, 2, true), 0x9c);
	assert_int_equal(xpt_insn_opcode((const uint8_t[]){ 0x48, 0xcf }, 2, true), 0xcf);
	assert_int_equal(xpt_insn_opcode((const uint8_t[]){ 0x48, 0xcf }, 2, false),
			 0x48);
	assert_int_equal(xpt_insn_opcode((const uint8_t[]){ 0x0f, 0x05 }, 2, true),
			 0x0f05);
	assert_int_equal(xpt_insn_opcode((const uint8_t[]){ 0x0f }, 1, true), 0);
	assert_int_equal(xpt_insn_opcode((const uint8_t[]){ 0x66, 0x48 }, 2, true), 0);
}

#ifdef HAVE_ZYDIS
/* Whether xpt_insn_size() is to know it. */
static bool is_listed(const ZydisDecodedInstruction *insn)
{
	bool near = insn->meta.branch_type == ZYDIS_BRANCH_TYPE_SHORT ||
		    insn->meta.branch_type == ZYDIS_BRANCH_TYPE_NEAR;

	if (insn->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return false;
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_CALL:
		return near;
	case ZYDIS_MNEMONIC_JMP:
		return near && insn->raw.imm[0].is_relative;
	case ZYDIS_MNEMONIC_INT:
	case ZYDIS_MNEMONIC_INT1:
	case ZYDIS_MNEMONIC_INT3:
	case ZYDIS_MNEMONIC_INTO:
	case ZYDIS_MNEMONIC_LSS:
		return true;
	case ZYDIS_MNEMONIC_POP:
		return insn->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
		       insn->opcode == 0x17;
	case ZYDIS_MNEMONIC_MOV: /* to SS */
		return insn->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
		       insn->opcode == 0x8e && insn->raw.modrm.reg == 2;
	default:
		return insn->meta.category == ZYDIS_CATEGORY_COND_BR && near;
	}
}
#endif

/* As another disassembler has them, for any bytes. */
static void test_zydis_agrees(void **state)
{
#ifdef HAVE_ZYDIS
	static const uint8_t opcodes[] = { 0x0f, 0x70, 0x8e, 0xe3, 0xe8, 0xe9,
					   0xff, 0x66, 0x67, 0x48, 0xcd, 0xcc,
					   0x17, 0xeb, 0xb2, 0xce, 0xf1, 0x84 };
	static const struct {
		ZydisMachineMode mode;
		ZydisStackWidth width;
	} modes[] = {
		{ ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
		{ ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
		{ ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
	};
	struct random random = { 7 };
	ZydisDecodedInstruction insn;
	unsigned int listed = 0, others = 0;
	ZydisDecoder decoder;
	uint8_t bytes[15];
	size_t size, want;

	for (unsigned int i = 0; i < 600000; i++) {
		ZydisDecoderInit(&decoder, modes[i % 3].mode, modes[i % 3].width);
		for (size_t j = 0; j < sizeof(bytes); j++)
			bytes[j] = random_below(&random, 256);
		for (size_t j = 0; j < 2; j++)
			if (random_below(&random, 2))
				bytes[j] =
					opcodes[random_below(&random, sizeof(opcodes))];
		size = xpt_insn_size(bytes, 15, i % 3 == 2, i % 3 == 1);
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, bytes,
								sizeof(bytes), &insn)))
			continue;
		want = is_listed(&insn) ? insn.length : 0;
		listed += want != 0;
		others += !want;
		if (want != size)
			fail_msg("%02x %02x %02x %02x (%s): %zu, not %zu", bytes[0],
				 bytes[1], bytes[2], bytes[3],
				 ZydisMnemonicGetString(insn.mnemonic), size, want);
	}
	assert_true(listed > 50000 && others > 50000);
#else
	skip();
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),  cmocka_unit_test(test_leads_to),
		cmocka_unit_test(test_opcode), cmocka_unit_test(test_zydis_agrees),
		cmocka_unit_test(test_known),  cmocka_unit_test(test_decoder_agrees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
