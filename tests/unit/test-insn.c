/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which branch an instruction is: by example, and as Zydis sees all opcodes. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifdef HAVE_ZYDIS
#include <Zydis/Zydis.h>
#endif

#include "decode/insn.h"

enum {
	IN_16 = 1,
	IN_32 = 2,
	IN_64 = 4,
	IN_ALL = IN_16 | IN_32 | IN_64,
};

static const struct {
	unsigned int modes;
	enum xenpt_branch branch;
	size_t size;
	const char *bytes;
} examples[] = {
	{ IN_ALL, XENPT_BRANCH_COND, 2, "\x75\xf9" },
	{ IN_ALL, XENPT_BRANCH_COND, 3, "\x2e\x74\x00" }, /* with a hint */
	{ IN_ALL, XENPT_BRANCH_COND, 6, "\x0f\x84\x00\x00\x00\x00" },
	{ IN_ALL, XENPT_BRANCH_COND, 7, "\xf2\x0f\x8f\x00\x00\x00\x00" }, /* bnd */
	{ IN_ALL, XENPT_BRANCH_COND, 2, "\xe3\x00" },                     /* jrcxz */
	{ IN_ALL, XENPT_BRANCH_COND, 3, "\x67\xe2\x00" },                 /* loop */
	{ IN_ALL, XENPT_BRANCH_JUMP, 2, "\xeb\xfe" },
	{ IN_ALL, XENPT_BRANCH_JUMP, 5, "\xe9\x00\x00\x00\x00" },
	{ IN_ALL, XENPT_BRANCH_JUMP, 2, "\xff\xe0" },
	{ IN_ALL, XENPT_BRANCH_JUMP, 3, "\x3e\xff\xe0" }, /* notrack */
	{ IN_64, XENPT_BRANCH_JUMP, 3, "\x41\xff\xe3" },
	{ IN_ALL, XENPT_BRANCH_CALL, 5, "\xe8\x00\x00\x00\x00" },
	{ IN_ALL, XENPT_BRANCH_CALL, 2, "\xff\x13" },
	{ IN_64, XENPT_BRANCH_CALL, 3, "\x41\xff\xd3" },
	{ IN_ALL, XENPT_BRANCH_RETURN, 1, "\xc3" },
	{ IN_ALL, XENPT_BRANCH_RETURN, 2, "\xf3\xc3" },
	{ IN_ALL, XENPT_BRANCH_RETURN, 3, "\xc2\x08\x00" },
	{ IN_ALL, XENPT_BRANCH_SYSCALL, 2, "\x0f\x05" },
	{ IN_ALL, XENPT_BRANCH_SYSCALL, 2, "\x0f\x34" },
	{ IN_ALL, XENPT_BRANCH_SYSCALL, 2, "\xcd\x80" },
	{ IN_ALL, XENPT_BRANCH_SYSCALL, 1, "\xcc" },
	{ IN_16 | IN_32, XENPT_BRANCH_SYSCALL, 1, "\xce" },
	{ IN_ALL, XENPT_BRANCH_FAR_CALL, 2, "\xff\x1b" },
	{ IN_16 | IN_32, XENPT_BRANCH_FAR_CALL, 7, "\x9a\x00\x00\x00\x00\x08\x00" },
	{ IN_ALL, XENPT_BRANCH_FAR_CALL, 3, "\x0f\x01\xc1" },
	{ IN_ALL, XENPT_BRANCH_FAR_RETURN, 1, "\xcf" },
	{ IN_64, XENPT_BRANCH_FAR_RETURN, 2, "\x48\xcf" },
	{ IN_ALL, XENPT_BRANCH_FAR_RETURN, 1, "\xcb" },
	{ IN_64, XENPT_BRANCH_FAR_RETURN, 3, "\x48\x0f\x07" },
	{ IN_ALL, XENPT_BRANCH_FAR_RETURN, 2, "\x0f\x35" },
	{ IN_ALL, XENPT_BRANCH_FAR_RETURN, 3, "\x0f\x01\xc3" },
	{ IN_ALL, XENPT_BRANCH_FAR_JUMP, 2, "\xff\x2b" },
	{ IN_16 | IN_32, XENPT_BRANCH_FAR_JUMP, 7, "\xea\x00\x00\x00\x00\x08\x00" },
	/* Prefixes of one mode are instructions of another. */
	{ IN_16 | IN_32, XENPT_BRANCH_NONE, 2, "\x48\xcf" },
	{ IN_64, XENPT_BRANCH_NONE, 1, "\xea" },
	{ IN_64, XENPT_BRANCH_NONE, 1, "\x9a" },
	/* No branches, for all they look like. */
	{ IN_ALL, XENPT_BRANCH_NONE, 2, "\x89\xc3" },
	{ IN_ALL, XENPT_BRANCH_NONE, 2, "\xff\xc3" }, /* inc */
	{ IN_ALL, XENPT_BRANCH_NONE, 2, "\xff\xf0" }, /* push */
	{ IN_ALL, XENPT_BRANCH_NONE, 3, "\x0f\x94\xc0" },
	{ IN_ALL, XENPT_BRANCH_NONE, 3, "\x0f\x01\xd0" }, /* xgetbv */
	/* Cut. */
	{ IN_ALL, XENPT_BRANCH_NONE, 0, "" },
	{ IN_ALL, XENPT_BRANCH_NONE, 1, "\x66" },
	{ IN_ALL, XENPT_BRANCH_NONE, 1, "\x0f" },
	{ IN_ALL, XENPT_BRANCH_NONE, 1, "\xff" },
	{ IN_ALL, XENPT_BRANCH_NONE, 2, "\x0f\x01" },
};

static void test_examples(void **state)
{
	for (size_t i = 0; i < sizeof(examples) / sizeof(*examples); i++) {
		for (unsigned int bit = 0; bit < 3; bit++) {
			/* So that a sanitizer sees a read too far. */
			size_t size = examples[i].size;
			uint8_t *insn = malloc(size + !size);

			assert_non_null(insn);
			memcpy(insn, examples[i].bytes, size);
			if (examples[i].modes >> bit & 1 &&
			    insn_branch(insn, size, 16 << bit) != examples[i].branch)
				fail_msg("example %zu in %u bits: %s", i, 16 << bit,
					 xenpt_branch_name(
						 insn_branch(insn, size, 16 << bit)));
			free(insn);
		}
	}
}

#ifdef HAVE_ZYDIS
static enum xenpt_branch by_distance(const ZydisDecodedInstruction *insn,
				     enum xenpt_branch near, enum xenpt_branch far)
{
	return insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ? far : near;
}

static enum xenpt_branch zydis_branch(const ZydisDecodedInstruction *insn)
{
	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_XBEGIN: /* go on to the next one, unless they abort */
	case ZYDIS_MNEMONIC_XABORT:
	case ZYDIS_MNEMONIC_XEND:
	case ZYDIS_MNEMONIC_BOUND: /* … or raise an exception */
	case ZYDIS_MNEMONIC_RSM:   /* what is SMM's is not traced */
	case ZYDIS_MNEMONIC_UIRET: /* libipt does not know it */
		return XENPT_BRANCH_NONE;
	case ZYDIS_MNEMONIC_VMCALL:
		return XENPT_BRANCH_FAR_CALL;
	case ZYDIS_MNEMONIC_VMLAUNCH:
	case ZYDIS_MNEMONIC_VMRESUME:
		return XENPT_BRANCH_FAR_RETURN;
	default:
		break;
	}
	switch (insn->meta.category) {
	case ZYDIS_CATEGORY_COND_BR:
		return XENPT_BRANCH_COND;
	case ZYDIS_CATEGORY_UNCOND_BR:
		return by_distance(insn, XENPT_BRANCH_JUMP, XENPT_BRANCH_FAR_JUMP);
	case ZYDIS_CATEGORY_CALL:
		return by_distance(insn, XENPT_BRANCH_CALL, XENPT_BRANCH_FAR_CALL);
	case ZYDIS_CATEGORY_RET:
		if (insn->mnemonic != ZYDIS_MNEMONIC_RET)
			return XENPT_BRANCH_FAR_RETURN;
		return by_distance(insn, XENPT_BRANCH_RETURN, XENPT_BRANCH_FAR_RETURN);
	case ZYDIS_CATEGORY_SYSRET:
		return XENPT_BRANCH_FAR_RETURN;
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_INTERRUPT:
		return XENPT_BRANCH_SYSCALL;
	default:
		return XENPT_BRANCH_NONE;
	}
}

/* What Zydis cannot decode does not run: what it is does not matter. */
static void compare(const ZydisDecoder *decoder, const uint8_t *bytes, unsigned int mode)
{
	enum xenpt_branch ours = insn_branch(bytes, INSN_SIZE_MAX, mode);
	ZydisDecodedInstruction insn;

	if (ZYAN_FAILED(ZydisDecoderDecodeInstruction(decoder, NULL, bytes, INSN_SIZE_MAX,
						      &insn)))
		return;
	if (ours != zydis_branch(&insn))
		fail_msg("%02x %02x %02x %02x %02x in %u bits, %s: %s", bytes[0],
			 bytes[1], bytes[2], bytes[3], bytes[4], mode,
			 ZydisMnemonicGetString(insn.mnemonic), xenpt_branch_name(ours));
}

static void compare_all(const ZydisDecoder *decoder, unsigned int mode,
			const char *prefixes)
{
	uint8_t bytes[INSN_SIZE_MAX] = {};
	size_t at = strlen(prefixes);

	memcpy(bytes, prefixes, at);
	for (unsigned int i = 0; i < 0x10000; i++) {
		bytes[at] = i >> 8;
		bytes[at + 1] = i;
		bytes[at + 2] = 0;
		compare(decoder, bytes, mode);
		bytes[at] = 0x0f;
		bytes[at + 1] = i >> 8;
		bytes[at + 2] = i;
		compare(decoder, bytes, mode);
	}
}

static void test_all_opcodes(void **state)
{
	static const char *const prefixes[] = {
		"",     "\x66",     "\x67",     "\xf2",     "\xf3", "\x2e",
		"\x3e", "\x64",     "\xf0",     "\x66\xf3", "\x48", "\x41",
		"\x4f", "\x66\x48", "\xf3\x48", "\xf2\x41"
	};
	static const struct {
		unsigned int mode;
		ZydisMachineMode machine;
		ZydisStackWidth stack;
	} modes[] = {
		{ 16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
		{ 32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
		{ 64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
	};

	for (size_t i = 0; i < 3; i++) {
		ZydisDecoder decoder;

		assert_true(ZYAN_SUCCESS(
			ZydisDecoderInit(&decoder, modes[i].machine, modes[i].stack)));
		for (size_t j = 0; j < sizeof(prefixes) / sizeof(*prefixes); j++)
			compare_all(&decoder, modes[i].mode, prefixes[j]);
	}
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples),
#ifdef HAVE_ZYDIS
		cmocka_unit_test(test_all_opcodes),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
