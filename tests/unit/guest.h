/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A random guest: machine code of a kernel and of two processes, in 64-bit and in
 * compatibility mode, and a vCPU that wanders through it. What it computes is chance;
 * where it goes is what the code allows.
 *
 *	0xffffffff81000000  kernel, the same in both address spaces
 *	0x400000            64-bit code, another in each
 *	0x8000000           32-bit code, another in each
 *
 * Direct jumps and calls only go forward: as on a CPU, where nothing in the trace tells
 * one round of a loop from the next, an event in it could belong to any. A branch
 * follows each MOV CR3: libipt takes a TIP.PGD of an instruction further on for one of
 * MOV CR3 where no packet is between.
 */
#ifndef TEST_GUEST_H
#define TEST_GUEST_H

#include <stdbool.h>
#include <string.h>

#include "hv/pt/soft.h"
#include "tests/unit/random.h"

#define KERNEL 0xffffffff81000000
#define USER64 0x400000
#define USER32 0x8000000
#define CODE_INSNS 300
#define CODE_SIZE (CODE_INSNS * 12)
#define GUEST_RETURNS 100

enum insn_kind {
	INSN_NOP,
	INSN_COND,
	INSN_JUMP,
	INSN_CALL,
	INSN_JUMP_INDIRECT,
	INSN_CALL_INDIRECT,
	INSN_RET,
	INSN_LEAVE, /* SYSCALL, INT n; SYSRET, IRET */
	INSN_FAR,   /* to where it is, in the same mode */
	INSN_MOV_CR3,
	INSN_PTWRITE,
};

struct guest_insn {
	enum insn_kind kind;
	uint16_t offset, size;
	uint16_t target; /* index */
};

/* Code that runs in one mode. */
struct guest_code {
	uint64_t base;
	bool wide, kernel;
	struct guest_insn insns[CODE_INSNS];
	uint8_t bytes[CODE_SIZE];
};

struct guest {
	struct random random;
	struct guest_code kernel, user64[2], user32[2];

	struct guest_code *code; /* where it is */
	unsigned int at;
	unsigned int process;
	bool alone; /* process 1, and no other */
	struct xpt_cpu_state cpu;
	uint64_t returns[GUEST_RETURNS];
	unsigned int depth;
};

static inline uint64_t guest_cr3(unsigned int process)
{
	return process ? 0x8000000000123456 & ~0xfffull : 0x7000;
}

/* One of the @count strings of up to 8 bytes, the first of which is the size. */
static inline unsigned int guest_pick(struct random *random, const uint8_t (*from)[9],
				      unsigned int count, uint8_t *ret)
{
	const uint8_t *one = from[random_below(random, count)];

	memcpy(ret, one + 1, one[0]);
	return one[0];
}

static inline unsigned int guest_encode(struct random *random, struct guest_code *code,
					struct guest_insn *insn, uint8_t *ret)
{
	static const uint8_t nops64[][9] = {
		{ 1, 0x90 },
		{ 2, 0x66, 0x90 },
		{ 3, 0x48, 0x89, 0xc0 },
		{ 4, 0x0f, 0x1f, 0x40, 0x00 },
		{ 5, 0xb8, 0xe8, 0xff, 0xc3, 0xcb },
		{ 7, 0x0f, 0x1f, 0x80, 0x74, 0x75, 0x76, 0x77 },
		{ 8, 0x48, 0x8d, 0x84, 0x24, 0xc3, 0xc3, 0xc3, 0xc3 },
	};
	static const uint8_t nops32[][9] = {
		{ 1, 0x90 },
		{ 1, 0x40 },
		{ 1, 0x4f },
		{ 2, 0x89, 0xc0 },
		{ 5, 0xb8, 0xe8, 0xff, 0xc3, 0xcb },
		{ 2, 0xc5, 0x00 },
	};
	static const uint8_t jumps[][9] = { { 2, 0xff, 0xe0 }, { 2, 0xff, 0x23 } };
	static const uint8_t calls[][9] = { { 2, 0xff, 0xd0 }, { 2, 0xff, 0x13 } };
	static const uint8_t rets[][9] = { { 1, 0xc3 },
					   { 2, 0xf3, 0xc3 },
					   { 3, 0xc2, 8, 0 } };
	static const uint8_t enter64[][9] = { { 2, 0x0f, 0x05 },
					      { 2, 0xcd, 0x80 },
					      { 1, 0xcc } };
	static const uint8_t enter32[][9] = { { 2, 0x0f, 0x34 },
					      { 2, 0xcd, 0x80 },
					      { 1, 0xcc } };
	static const uint8_t leave[][9] = { { 3, 0x48, 0x0f, 0x07 }, { 2, 0x48, 0xcf } };
	static const uint8_t far[][9] = { { 1, 0xcb },
					  { 2, 0xff, 0x2b },
					  { 2, 0xff, 0x1b } };
	static const uint8_t cr3[][9] = { { 3, 0x0f, 0x22, 0xd8 } };
	static const uint8_t ptw[][9] = { { 4, 0xf3, 0x0f, 0xae, 0xe0 },
					  { 5, 0xf3, 0x48, 0x0f, 0xae, 0xe0 } };

#define PICK(array) guest_pick(random, array, sizeof(array) / sizeof(*array), ret)
	switch (insn->kind) {
	case INSN_NOP:
		return code->wide ? PICK(nops64) : PICK(nops32);
	case INSN_JUMP_INDIRECT:
		return PICK(jumps);
	case INSN_CALL_INDIRECT:
		return PICK(calls);
	case INSN_RET:
		return PICK(rets);
	case INSN_LEAVE:
		if (code->kernel)
			return PICK(leave);
		return code->wide ? PICK(enter64) : PICK(enter32);
	case INSN_FAR:
		return PICK(far);
	case INSN_MOV_CR3:
		return PICK(cr3);
	case INSN_PTWRITE:
		return PICK(ptw);
	/* Displacements come when targets are known. */
	case INSN_CALL:
		ret[0] = 0xe8;
		return 5;
	case INSN_JUMP:
		ret[0] = random_below(random, 2) ? 0xeb : 0xe9;
		return ret[0] == 0xeb ? 2 : 5;
	case INSN_COND:
		ret[0] = random_below(random, 8) ? 0x70 | random_below(random, 16)
						 : 0xe0 | random_below(random, 4);
		if (ret[0] < 0x80 && random_below(random, 3) == 0) {
			ret[1] = 0x80 | (ret[0] & 15);
			ret[0] = 0x0f;
			return 6;
		}
		return 2;
	}
	return 0;
}
#undef PICK

static inline enum insn_kind guest_kind(struct random *random,
					const struct guest_code *code)
{
	switch (random_below(random, 40)) {
	case 0 ... 7:
		return INSN_COND;
	case 8:
		return INSN_JUMP;
	case 9:
	case 10:
		return INSN_CALL;
	case 11:
		return INSN_JUMP_INDIRECT;
	case 12:
		return INSN_CALL_INDIRECT;
	case 13 ... 15:
		return INSN_RET;
	case 16:
		return INSN_LEAVE;
	case 17:
		return INSN_FAR;
	case 18:
		return code->kernel ? INSN_MOV_CR3 : INSN_NOP;
	case 19:
		return code->wide ? INSN_PTWRITE : INSN_NOP;
	default:
		return INSN_NOP;
	}
}

/* Give a direct branch its target, in reach of its displacement. */
static inline void guest_link(struct random *random, struct guest_code *code,
			      unsigned int i)
{
	struct guest_insn *insn = &code->insns[i];
	unsigned int first = insn->kind == INSN_COND ? 0 : i + 1, end = CODE_INSNS;
	uint8_t *bytes = code->bytes + insn->offset;
	int32_t displacement;

	if (insn->size == 2) {
		first = insn->kind == INSN_COND && i > 8 ? i - 8 : first;
		end = i + 9 < CODE_INSNS ? i + 9 : CODE_INSNS;
	}
	insn->target = first + random_below(random, end - first);
	displacement = code->insns[insn->target].offset - insn->offset - insn->size;
	if (insn->size == 2)
		bytes[1] = displacement;
	else
		memcpy(bytes + insn->size - 4, &displacement, 4);
}

static inline void guest_code_init(struct guest_code *code, struct random *random,
				   uint64_t base, bool wide, bool kernel)
{
	unsigned int offset = 0;

	code->base = base;
	code->wide = wide;
	code->kernel = kernel;
	for (unsigned int i = 0; i < CODE_INSNS; i++) {
		struct guest_insn *insn = &code->insns[i];

		if (i == CODE_INSNS - 1)
			insn->kind = INSN_JUMP_INDIRECT;
		else if (i && insn[-1].kind == INSN_MOV_CR3)
			insn->kind = INSN_COND;
		else
			insn->kind = guest_kind(random, code);
		insn->offset = offset;
		insn->size = guest_encode(random, code, insn, code->bytes + offset);
		offset += insn->size;
	}
	for (unsigned int i = 0; i < CODE_INSNS; i++) {
		if (code->insns[i].kind == INSN_COND ||
		    code->insns[i].kind == INSN_JUMP || code->insns[i].kind == INSN_CALL)
			guest_link(random, code, i);
	}
}

/* Be at instruction @at of @code. */
static inline void guest_go(struct guest *guest, struct guest_code *code, unsigned int at)
{
	guest->code = code;
	guest->at = at;
	guest->cpu.ip = code->base + code->insns[at].offset;
	guest->cpu.cpl = code->kernel ? 0 : 3;
	guest->cpu.csl = code->wide;
	guest->cpu.csd = !code->wide;
}

static inline void guest_go_anywhere(struct guest *guest, struct guest_code *code)
{
	guest_go(guest, code, random_below(&guest->random, CODE_INSNS));
}

/* To user mode, or to the kernel. */
static inline void guest_cross(struct guest *guest)
{
	unsigned int p = guest->process;

	if (!guest->code->kernel)
		guest_go_anywhere(guest, &guest->kernel);
	else
		guest_go_anywhere(guest, random_below(&guest->random, 3)
						 ? &guest->user64[p]
						 : &guest->user32[p]);
}

static inline void guest_switch(struct guest *guest, unsigned int process)
{
	guest->process = guest->alone ? 1 : process;
	guest->cpu.cr3 = guest_cr3(guest->process);
}

static inline void guest_init(struct guest *guest, uint64_t seed, bool alone)
{
	memset(guest, 0, sizeof(*guest));
	guest->alone = alone;
	guest->random.state = seed;
	guest_code_init(&guest->kernel, &guest->random, KERNEL, true, true);
	for (unsigned int i = 0; i < 2; i++) {
		guest_code_init(&guest->user64[i], &guest->random, USER64, true, false);
		guest_code_init(&guest->user32[i], &guest->random, USER32, false, false);
	}
	guest->cpu.tsc = 1000;
	guest_switch(guest, 0);
	guest_go(guest, &guest->kernel, 0);
}

static inline const struct guest_insn *guest_insn(const struct guest *guest)
{
	return &guest->code->insns[guest->at];
}

static inline void guest_return(struct guest *guest)
{
	const struct guest_code *code = guest->code;
	uint64_t ip;

	if (guest->depth && random_below(&guest->random, 12)) {
		ip = guest->returns[--guest->depth];
		for (unsigned int i = 0; i < CODE_INSNS; i++) {
			if (code->base + code->insns[i].offset == ip) {
				guest_go(guest, guest->code, i);
				return;
			}
		}
	}
	guest_go_anywhere(guest, guest->code);
}

static inline void guest_call(struct guest *guest)
{
	const struct guest_insn *insn = guest_insn(guest);

	if (guest->depth == GUEST_RETURNS) /* the oldest is forgotten */
		memmove(guest->returns, guest->returns + 1,
			--guest->depth * sizeof(*guest->returns));
	guest->returns[guest->depth++] = guest->cpu.ip + insn->size;
}

/* Execute an instruction. Whether it is a taken branch. */
static inline bool guest_step(struct guest *guest)
{
	const struct guest_insn *insn = guest_insn(guest);

	guest->cpu.tsc += 1 + random_below(&guest->random, 4);
	switch (insn->kind) {
	case INSN_COND:
		if (random_below(&guest->random, 2))
			break;
		guest_go(guest, guest->code, insn->target);
		return insn->target != insn - guest->code->insns + 1;
	case INSN_CALL:
		guest_call(guest);
		guest_go(guest, guest->code, insn->target);
		return true;
	case INSN_JUMP:
		guest_go(guest, guest->code, insn->target);
		return true;
	case INSN_CALL_INDIRECT:
		guest_call(guest);
		guest_go_anywhere(guest, guest->code);
		return true;
	case INSN_JUMP_INDIRECT:
	case INSN_FAR:
		guest_go_anywhere(guest, guest->code);
		return true;
	case INSN_RET:
		guest_return(guest);
		return true;
	case INSN_LEAVE:
		guest_cross(guest);
		return true;
	case INSN_MOV_CR3:
		guest_switch(guest, random_below(&guest->random, 2));
		break;
	case INSN_NOP:
	case INSN_PTWRITE:
		break;
	}
	guest_go(guest, guest->code, guest->at + 1);
	return false;
}

/* An interrupt or a fault: at a handler. */
static inline void guest_interrupt(struct guest *guest)
{
	guest->cpu.tsc += 20 + random_below(&guest->random, 5000);
	guest_go_anywhere(guest, &guest->kernel);
}

/* Bytes of code as libipt asks for them; how many there are. */
static inline int guest_read(const struct guest *guest, uint64_t cr3, uint64_t ip,
			     uint8_t *ret, size_t size)
{
	unsigned int process = cr3 == (guest_cr3(1) & XPT_CR3_MASK);
	const struct guest_code *code = ip >= KERNEL   ? &guest->kernel
					: ip >= USER32 ? &guest->user32[process]
						       : &guest->user64[process];

	if (ip < code->base || ip >= code->base + CODE_SIZE)
		return -1;
	if (size > code->base + CODE_SIZE - ip)
		size = code->base + CODE_SIZE - ip;
	memcpy(ret, code->bytes + (ip - code->base), size);
	return size;
}

#endif
