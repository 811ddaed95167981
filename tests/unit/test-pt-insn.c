/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_decoder_agrees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
