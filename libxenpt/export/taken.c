/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "taken.h"

#define CODE_MAX 15

/* The size of a conditional branch, without its prefixes; 0: it is none. */
static size_t jump_size(const uint8_t *code, size_t size, uint8_t mode, bool prefix_66)
{
	if (size >= 1 && (code[0] >> 4 == 7 || code[0] >> 2 == 0xe0 >> 2))
		return 2; /* Jcc rel8; LOOPNE, LOOPE, LOOP, JCXZ */
	if (size >= 2 && code[0] == 0x0f && code[1] >> 4 == 8)
		/* Intel CPUs ignore 66 in 64-bit mode: SDM volume 2, Jcc. */
		return mode == 64 || (mode == 32) != prefix_66 ? 6 : 4;
	return 0;
}

static bool is_prefix(uint8_t byte, uint8_t mode)
{
	switch (byte) {
	case 0x26: /* segments; on a Jcc, hints */
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65:
	case 0x66:
	case 0x67:
	case 0xf0:
	case 0xf2: /* BND */
	case 0xf3:
		return true;
	default:
		return mode == 64 && byte >> 4 == 4; /* REX */
	}
}

static size_t branch_size(const struct xenpt_image *image, uint32_t epoch,
			  const struct xenpt_event *event, uint8_t mode)
{
	uint8_t code[CODE_MAX];
	size_t size = 0, used = 0, rest;
	bool prefix_66 = false;

	if (image)
		size = xenpt_image_read(image, epoch, event->cr3, event->last, code,
					CODE_MAX);
	for (; used < size && is_prefix(code[used], mode); used++)
		prefix_66 |= code[used] == 0x66;
	rest = jump_size(code + used, size - used, mode, prefix_66);
	return rest ? used + rest : 0;
}

bool xenpt_taken(struct xenpt_taken *taken, uint32_t epoch,
		 const struct xenpt_event *event)
{
	uint64_t hash = (event->last ^ event->cr3 >> 5) * 0x9e3779b97f4a7c15;
	uint8_t mode = event->mode ? event->mode : 64;
	size_t i = hash >> 52;

	_Static_assert(XENPT_TAKEN_CACHE == 1 << (64 - 52), "the hash covers the table");
	if (taken->cache[i].ip != event->last || taken->cache[i].cr3 != event->cr3 ||
	    taken->cache[i].mode != (mode | 1) || taken->cache[i].epoch != epoch) {
		taken->cache[i].ip = event->last;
		taken->cache[i].cr3 = event->cr3;
		taken->cache[i].epoch = epoch;
		taken->cache[i].mode = mode | 1;
		taken->cache[i].size = branch_size(taken->image, epoch, event, mode);
	}
	/* Without the code, which is rare, a guess: short jumps are the rule. */
	if (!taken->cache[i].size)
		return event->to != event->last + 2 && event->to != event->last + 6;
	return event->to != event->last + taken->cache[i].size;
}
