/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Instructions as text, by Zydis. */
#ifndef XENPT_DISASM_H
#define XENPT_DISASM_H

#include "xenpt.h"

struct xenpt_insn {
	uint64_t cr3, ip;
	uint32_t epoch;
	uint64_t next; /* where it goes on, unless it is the last of its block */
	uint8_t mode;  /* bits; 0: not in use */
	uint8_t size;  /* 0: there is no code, or no instruction */
	uint8_t bytes[15];
	uint8_t text_size;
	char text[96];
};

struct xenpt_disasm;

/* XENPT_ERROR_UNSUPPORTED in a build without Zydis. @image must outlive it. */
struct xenpt_error *xenpt_disasm_create(const struct xenpt_image *image,
					struct xenpt_disasm **ret);
void xenpt_disasm_destroy(struct xenpt_disasm *disasm);

/* The instruction at @ip in @mode (0: 64) bits; valid until the next call. */
const struct xenpt_insn *xenpt_disasm_at(struct xenpt_disasm *disasm, uint32_t epoch,
					 uint64_t cr3, uint8_t mode, uint64_t ip);

#endif
