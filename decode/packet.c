/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <endian.h>
#include <string.h>

#include "packet.h"

#define PACKET_SIZE_MAX PSB_SIZE
#define BAD_SIZE_MAX (1U << 30)

static const uint8_t psb[PSB_SIZE] = { 2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82,
				       2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82 };

/*
 * Most packets are told by their first byte: a table gives their size and says
 * how to make the payload of the bytes after it, so that nothing of it has to
 * be branched upon, which the CPU could not predict.
 */
struct head {
	uint8_t type;
	uint8_t size; /* 0: more than the first byte is needed */
	uint8_t aux;
	uint8_t value; /* payload that is in the first byte */
	uint8_t tail;  /* enum tail: payload that follows */
} __attribute__((aligned(8)));

/* The first seven are IPBytes: SDM, table "IP Packet Definition". */
enum tail {
	TAIL_NONE,
	TAIL_IP_16,
	TAIL_IP_32,
	TAIL_IP_SIGNED_48,
	TAIL_IP_48,
	TAIL_RESERVED,
	TAIL_IP_64,
	TAIL_MTC,
	TAIL_TSC,
};

static const struct {
	uint64_t take; /* bits of the packet */
	uint64_t keep; /* bits of the last IP */
	uint64_t ip;   /* all ones: this is the last IP now */
	unsigned int sign;
} tails[] = {
	[TAIL_NONE] = {},
	[TAIL_IP_16] = { 0xffff, ~0xffffULL, UINT64_MAX, 0 },
	[TAIL_IP_32] = { 0xffffffff, ~0xffffffffULL, UINT64_MAX, 0 },
	[TAIL_IP_SIGNED_48] = { 0xffffffffffff, 0, UINT64_MAX, 16 },
	[TAIL_IP_48] = { 0xffffffffffff, ~0xffffffffffffULL, UINT64_MAX, 0 },
	[TAIL_IP_64] = { UINT64_MAX, 0, UINT64_MAX, 0 },
	[TAIL_MTC] = { .take = 0xff },
	[TAIL_TSC] = { .take = 0xffffffffffffff },
};

#define IS_TNT(b) ((b) >= 4 && !((b)&1))
#define TNT_STOP(b)      \
	((b) >= 128  ? 7 \
	 : (b) >= 64 ? 6 \
	 : (b) >= 32 ? 5 \
	 : (b) >= 16 ? 4 \
	 : (b) >= 8  ? 3 \
		     : 2)
#define IP_TYPE(b)                                   \
	(((b)&0x1f) == 0x0d   ? XENPT_PACKET_TIP     \
	 : ((b)&0x1f) == 0x11 ? XENPT_PACKET_TIP_PGE \
	 : ((b)&0x1f) == 0x01 ? XENPT_PACKET_TIP_PGD \
	 : ((b)&0x1f) == 0x1d ? XENPT_PACKET_FUP     \
			      : XENPT_PACKET_BAD)
#define IP_BYTES(b) ((b) >> 5)
#define IP_SIZE(n) ((n) == 0 ? 0 : (n) == 1 ? 2 : (n) == 2 ? 4 : (n) == 6 ? 8 : 6)
#define IS_IP(b)                                                           \
	(IP_TYPE(b) != XENPT_PACKET_BAD && IP_BYTES(b) != TAIL_RESERVED && \
	 IP_BYTES(b) != 7)
#define IS_CYC_1(b) (((b)&7) == 3)

#define HEAD(b)                                                          \
	{                                                                \
		.type = (b) == 0      ? XENPT_PACKET_PAD                 \
			: IS_TNT(b)   ? XENPT_PACKET_TNT_8               \
			: IS_IP(b)    ? IP_TYPE(b)                       \
			: IS_CYC_1(b) ? XENPT_PACKET_CYC                 \
			: (b) == 0x59 ? XENPT_PACKET_MTC                 \
			: (b) == 0x19 ? XENPT_PACKET_TSC                 \
				      : XENPT_PACKET_BAD,                \
		.size = (b) == 0      ? 1                                \
			: IS_TNT(b)   ? 1                                \
			: IS_IP(b)    ? 1 + IP_SIZE(IP_BYTES(b))         \
			: IS_CYC_1(b) ? 1                                \
			: (b) == 0x59 ? 2                                \
			: (b) == 0x19 ? 8                                \
				      : 0,                               \
		.aux = IS_TNT(b)  ? TNT_STOP(b) - 1                      \
		       : IS_IP(b) ? IP_BYTES(b)                          \
				  : 0,                                   \
		.value = IS_TNT(b)     ? ((b) ^ (1 << TNT_STOP(b))) >> 1 \
			 : IS_CYC_1(b) ? (b) >> 3                        \
				       : 0,                              \
		.tail = IS_IP(b)      ? IP_BYTES(b)                      \
			: (b) == 0x59 ? TAIL_MTC                         \
			: (b) == 0x19 ? TAIL_TSC                         \
				      : TAIL_NONE,                       \
	}
#define HEADS_4(b) HEAD(b), HEAD((b) + 1), HEAD((b) + 2), HEAD((b) + 3)
#define HEADS_16(b) HEADS_4(b), HEADS_4((b) + 4), HEADS_4((b) + 8), HEADS_4((b) + 12)
#define HEADS_64(b) \
	HEADS_16(b), HEADS_16((b) + 16), HEADS_16((b) + 32), HEADS_16((b) + 48)

static const struct head heads[256] = { HEADS_64(0), HEADS_64(64), HEADS_64(128),
					HEADS_64(192) };

/* Packets that end the group which a BBP began; BEP does, others cut it short. */
#define BIT(type) (1ULL << XENPT_PACKET_##type)
static const uint64_t ends_block =
	BIT(PSB) | BIT(PSBEND) | BIT(TNT_8) | BIT(TNT_64) | BIT(TIP) | BIT(TIP_PGE) |
	BIT(TIP_PGD) | BIT(PIP) | BIT(VMCS) | BIT(MODE_EXEC) | BIT(MODE_TSX) | BIT(OVF) |
	BIT(STOP) | BIT(PTW) | BIT(MWAIT) | BIT(BEP) | BIT(CFE) | BIT(EVD);

static inline uint64_t load(const uint8_t *p, unsigned int bytes)
{
	uint64_t value;

	memcpy(&value, p, sizeof(value));
	return le64toh(value) & (UINT64_MAX >> (64 - 8 * bytes));
}

static inline void set(struct xenpt_packet *ret, enum xenpt_packet_type type,
		       uint32_t size, uint64_t payload, uint16_t aux)
{
	ret->type = type;
	ret->size = size;
	ret->payload = payload;
	ret->aux = aux;
}

/*
 * These want PACKET_SIZE_MAX readable bytes, whether of the trace or not, and
 * do not set the offset. No packet is BAD, its size being how many bytes had
 * to be seen to know.
 */

static inline void decode_head(const struct head *head, const uint8_t *p,
			       uint64_t *last_ip, struct xenpt_packet *ret)
{
	unsigned int sign = tails[head->tail].sign;
	uint64_t ip = tails[head->tail].ip;
	uint64_t value = (load(p + 1, 8) & tails[head->tail].take) |
			 (*last_ip & tails[head->tail].keep) | head->value;

	value = (uint64_t)((int64_t)(value << sign) >> sign);
	*last_ip = (value & ip) | (*last_ip & ~ip);
	set(ret, head->type, head->size, value, head->aux);
}

static void decode_psb(struct packet_state *state, const uint8_t *p,
		       struct xenpt_packet *ret)
{
	unsigned int same = 2;

	while (same < PSB_SIZE && p[same] == psb[same])
		same++;
	if (same < PSB_SIZE) {
		set(ret, XENPT_PACKET_BAD, same + 1, 0, 0);
		return;
	}
	set(ret, XENPT_PACKET_PSB, PSB_SIZE, 0, 0);
	state->last_ip = 0;
}

static void decode_tnt_64(const uint8_t *p, struct xenpt_packet *ret)
{
	uint64_t bits = load(p + 2, 6);
	unsigned int count;

	if (bits < 2) {
		set(ret, XENPT_PACKET_BAD, 8, 0, 0);
		return;
	}
	count = 63 - __builtin_clzll(bits);
	set(ret, XENPT_PACKET_TNT_64, 8, bits ^ (1ULL << count), count);
}

static void decode_mode(uint8_t mode, struct xenpt_packet *ret)
{
	static const uint8_t bits[] = { 16, 64, 32, 0 }; /* by CS.D << 1 | CS.L */

	switch (mode >> 5) {
	case 0:
		set(ret, XENPT_PACKET_MODE_EXEC, 2, mode >> 2 & 1, bits[mode & 3]);
		break;
	case 1:
		set(ret, XENPT_PACKET_MODE_TSX, 2, mode & 3, 0);
		break;
	default:
		set(ret, XENPT_PACKET_BAD, 2, 0, 0);
	}
}

/* A byte's lowest bits say whether another follows, with seven bits more. */
static void decode_cyc(const uint8_t *p, struct xenpt_packet *ret)
{
	uint64_t cycles = p[0] >> 3;
	unsigned int size = 1, shift = 5;
	bool more = p[0] & 4;

	for (; more && shift + 7 <= 64; shift += 7, size++) {
		cycles |= (uint64_t)(p[size] >> 1) << shift;
		more = p[size] & 1;
	}
	set(ret, more ? XENPT_PACKET_BAD : XENPT_PACKET_CYC, size, cycles, 0);
}

/* Packets of first byte 02. */
static void decode_ext(struct packet_state *state, const uint8_t *p,
		       struct xenpt_packet *ret)
{
	unsigned int ip = p[1] >> 7;

	switch (p[1]) {
	case 0x82:
		return decode_psb(state, p, ret);
	case 0x23:
		return set(ret, XENPT_PACKET_PSBEND, 2, 0, 0);
	case 0xa3:
		return decode_tnt_64(p, ret);
	case 0x43: /* bit 0 is NR, the others CR3[51:5] */
		return set(ret, XENPT_PACKET_PIP, 8, load(p + 2, 6) >> 1 << 5, p[2] & 1);
	case 0xc8:
		return set(ret, XENPT_PACKET_VMCS, 7, load(p + 2, 5) << 12, 0);
	case 0x73:
		return set(ret, XENPT_PACKET_TMA, 7, load(p + 2, 2),
			   load(p + 5, 2) & 0x1ff);
	case 0x03:
		return set(ret, XENPT_PACKET_CBR, 4, p[2], 0);
	case 0xf3:
		return set(ret, XENPT_PACKET_OVF, 2, 0, 0);
	case 0x83:
		return set(ret, XENPT_PACKET_STOP, 2, 0, 0);
	case 0x12:
	case 0x92:
		return set(ret, XENPT_PACKET_PTW, 6, load(p + 2, 4), 4 | ip << 8);
	case 0x32:
	case 0xb2:
		return set(ret, XENPT_PACKET_PTW, 10, load(p + 2, 8), 8 | ip << 8);
	case 0x62:
	case 0xe2:
		return set(ret, XENPT_PACKET_EXSTOP, 2, 0, ip);
	case 0xc2:
		return set(ret, XENPT_PACKET_MWAIT, 10, load(p + 2, 8), 0);
	case 0x22:
		return set(ret, XENPT_PACKET_PWRE, 4, load(p + 2, 2), 0);
	case 0xa2:
		return set(ret, XENPT_PACKET_PWRX, 7, load(p + 2, 5), 0);
	case 0xc3:
		if (p[2] != 0x88)
			return set(ret, XENPT_PACKET_BAD, 3, 0, 0);
		return set(ret, XENPT_PACKET_MNT, 11, load(p + 3, 8), 0);
	case 0x63:
		state->block = p[2] & 0x80 ? 4 : 8;
		return set(ret, XENPT_PACKET_BBP, 3, p[2] & 0x1f, p[2] >> 7);
	case 0x33:
	case 0xb3:
		return set(ret, XENPT_PACKET_BEP, 2, 0, ip);
	case 0x13:
		return set(ret, XENPT_PACKET_CFE, 4, p[3],
			   (p[2] & 0x1f) | (unsigned int)(p[2] >> 7) << 8);
	case 0x53:
		return set(ret, XENPT_PACKET_EVD, 11, load(p + 3, 8), p[2] & 0x3f);
	default:
		return set(ret, XENPT_PACKET_BAD, 2, 0, 0);
	}
}

static void decode_any(struct packet_state *state, const uint8_t *p,
		       struct xenpt_packet *ret)
{
	const struct head *head = &heads[p[0]];

	/* A BIP looks like a TNT: only the BBP before it tells. */
	if (state->block && (p[0] & 7) == 4)
		set(ret, XENPT_PACKET_BIP, 1 + state->block, load(p + 1, state->block),
		    p[0] >> 3);
	else if (head->size)
		decode_head(head, p, &state->last_ip, ret);
	else if (p[0] == 0x02)
		decode_ext(state, p, ret);
	else if (p[0] == 0x99)
		decode_mode(p[1], ret);
	else if ((p[0] & 3) == 3)
		decode_cyc(p, ret);
	else
		set(ret, XENPT_PACKET_BAD, 1, 0, 0);
	if (ends_block >> ret->type & 1)
		state->block = 0;
}

void packet_reset(struct packet_state *state, uint64_t offset)
{
	*state = (struct packet_state){ .offset = offset };
}

/* From a byte that is no packet on, search for a PSB. */
static void lose(struct packet_state *state)
{
	packet_reset(state, state->offset);
}

/* All that need not look out for the end. */
static const uint8_t *decode_inner(struct packet_state *state, const uint8_t *p,
				   const uint8_t *end, struct xenpt_packet **ret,
				   const struct xenpt_packet *ret_end)
{
	struct xenpt_packet *out = *ret;
	uint64_t base = state->offset - (uintptr_t)p;
	uint64_t last_ip = state->last_ip;
	const uint8_t *stop = end - PACKET_SIZE_MAX;

	while (p <= stop && out < ret_end) {
		const struct head *head = &heads[p[0]];

		out->offset = base + (uintptr_t)p;
		if (__builtin_expect(head->size && !state->block, true)) {
			decode_head(head, p, &last_ip, out++);
			p += head->size;
			continue;
		}
		state->last_ip = last_ip;
		decode_any(state, p, out);
		last_ip = state->last_ip;
		if (out->type == XENPT_PACKET_BAD) {
			state->offset = out->offset;
			lose(state);
			*ret = out;
			return p;
		}
		p += out++->size;
	}
	state->offset = base + (uintptr_t)p;
	state->last_ip = last_ip;
	*ret = out;
	return p;
}

/* One packet of the last few bytes; false: it is cut. */
static bool decode_tail(struct packet_state *state, const uint8_t **pos,
			const uint8_t *end, struct xenpt_packet **ret)
{
	uint8_t bytes[PACKET_SIZE_MAX] = {};
	struct packet_state after = *state;
	struct xenpt_packet *out = *ret;
	size_t size = end - *pos;

	memcpy(bytes, *pos, size);
	decode_any(&after, bytes, out);
	if (out->size > size)
		return false;
	if (out->type == XENPT_PACKET_BAD) {
		lose(state);
		return true;
	}
	*state = after;
	out->offset = state->offset;
	state->offset += out->size;
	*pos += out->size;
	++*ret;
	return true;
}

static void put_bad(struct packet_state *state, struct xenpt_packet **ret)
{
	if (!state->skipped)
		return;
	set(*ret, XENPT_PACKET_BAD, state->skipped, 0, 0);
	(*ret)->offset = state->offset - state->skipped;
	state->skipped = 0;
	++*ret;
}

/*
 * Whether the bytes to come may show that the PSB at @p is but the payload
 * before the real one: see psb_find().
 */
static bool may_go_on(const uint8_t *p, const uint8_t *end)
{
	p += PSB_SIZE;
	return p == end || (end - p == 1 && *p == psb[0]);
}

/* Skip up to a PSB, making at most one BAD. False: more bytes are wanted. */
static bool resync(struct packet_state *state, const uint8_t **pos, const uint8_t *end,
		   bool last, struct xenpt_packet **ret)
{
	size_t size = end - *pos, skip = size;
	const uint8_t *found = psb_find(*pos, size);
	bool more = false;

	if (found) {
		skip = found - *pos;
		more = !last && may_go_on(found, end);
	} else if (!last) {
		skip = size < PSB_SIZE ? 0 : size - (PSB_SIZE - 1);
		more = true;
	}
	if (skip >= BAD_SIZE_MAX - state->skipped) {
		skip = BAD_SIZE_MAX - state->skipped;
		found = NULL;
		more = false;
	}
	*pos += skip;
	state->offset += skip;
	state->skipped += skip;
	if (more)
		return false;
	put_bad(state, ret);
	state->synced = found;
	return true;
}

size_t packet_decode(struct packet_state *state, const uint8_t *data, size_t size,
		     bool last, struct xenpt_packet *ret, size_t max, size_t *used_ret)
{
	const struct xenpt_packet *ret_end = ret + max;
	const uint8_t *p = data, *end = data + size;
	struct xenpt_packet *out = ret;

	while (out < ret_end) {
		if (!state->synced) {
			if (!resync(state, &p, end, last, &out) || p == end)
				break;
		} else if (end - p >= PACKET_SIZE_MAX) {
			p = decode_inner(state, p, end, &out, ret_end);
		} else if (p == end) {
			break;
		} else if (!decode_tail(state, &p, end, &out)) {
			if (!last)
				break;
			lose(state);
		}
	}
	*used_ret = p - data;
	return out - ret;
}

const uint8_t *psb_find(const uint8_t *data, size_t size)
{
	const uint8_t *end, *found;

	if (!size)
		return NULL; /* data may be NULL, too */
	end = data + size;
	found = memmem(data, size, psb, PSB_SIZE);
	while (found && end - found >= PSB_SIZE + 2 &&
	       memcmp(found + PSB_SIZE, psb, 2) == 0)
		found += 2;
	return found;
}
