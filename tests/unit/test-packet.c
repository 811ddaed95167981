/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "decode/packet.h"
#include "tests/ipt-packet.h"

#define ALL(array) (sizeof(array) / sizeof((array)[0]))

static const uint8_t psb[16] = { 2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82,
				 2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82 };

/* What hardware or libipt's encoder would write for each kind of packet. */
static const struct pt_packet encoded[] = {
	{ .type = ppt_psb },
	{ .type = ppt_pad },
	{ .type = ppt_tsc, .payload.tsc.tsc = 0xf2345678abcdef },
	{ .type = ppt_tma, .payload.tma = { .ctc = 0xfedc, .fc = 0x1ff } },
	{ .type = ppt_cbr, .payload.cbr.ratio = 0xf5 },
	{ .type = ppt_pip, .payload.pip = { .cr3 = 0xfffffffffe0, .nr = 1 } },
	{ .type = ppt_pip, .payload.pip = { .cr3 = 0x123456000, .nr = 0 } },
	{ .type = ppt_vmcs, .payload.vmcs.base = 0xfedcba9876000 },
	{ .type = ppt_mode, .payload.mode = { pt_mol_exec, .bits.exec = { 0, 0 } } },
	{ .type = ppt_mode, .payload.mode = { pt_mol_exec, .bits.exec = { 0, 1 } } },
	{ .type = ppt_mode, .payload.mode = { pt_mol_exec, .bits.exec = { 1, 0 } } },
	{ .type = ppt_mode, .payload.mode = { pt_mol_tsx, .bits.tsx = { 1, 0 } } },
	{ .type = ppt_mode, .payload.mode = { pt_mol_tsx, .bits.tsx = { 0, 1 } } },
	{ .type = ppt_fup, .payload.ip = { pt_ipc_sext_48, 0xffff81234567 } },
	{ .type = ppt_psbend },
	{ .type = ppt_tip, .payload.ip = { pt_ipc_update_16, 0xfedc } },
	{ .type = ppt_tip, .payload.ip = { pt_ipc_suppressed, 0 } },
	{ .type = ppt_tip_pgd, .payload.ip = { pt_ipc_update_32, 0x89abcdef } },
	{ .type = ppt_tip_pge, .payload.ip = { pt_ipc_full, 0xfedcba9876543210 } },
	{ .type = ppt_tip, .payload.ip = { pt_ipc_update_48, 0x8123456789ab } },
	{ .type = ppt_fup, .payload.ip = { pt_ipc_update_16, 0x1 } },
	{ .type = ppt_tip_pge, .payload.ip = { pt_ipc_sext_48, 0x7fff81234567 } },
	{ .type = ppt_tip_pgd, .payload.ip = { pt_ipc_suppressed, 0 } },
	{ .type = ppt_tnt_8, .payload.tnt = { 1, 1 } },
	{ .type = ppt_tnt_8, .payload.tnt = { 1, 0 } },
	{ .type = ppt_tnt_8, .payload.tnt = { 6, 0x2a } },
	{ .type = ppt_tnt_64, .payload.tnt = { 47, 0x7fffffffffff } },
	{ .type = ppt_tnt_64, .payload.tnt = { 47, 0 } },
	{ .type = ppt_tnt_64, .payload.tnt = { 7, 0x55 } },
	{ .type = ppt_mtc, .payload.mtc.ctc = 0xfe },
	{ .type = ppt_cyc, .payload.cyc.value = 0 },
	{ .type = ppt_cyc, .payload.cyc.value = 31 },
	{ .type = ppt_cyc, .payload.cyc.value = 32 },
	{ .type = ppt_cyc, .payload.cyc.value = 4095 },
	{ .type = ppt_cyc, .payload.cyc.value = 4096 },
	{ .type = ppt_cyc, .payload.cyc.value = 0xffffffffff },
	{ .type = ppt_ovf },
	{ .type = ppt_stop },
	{ .type = ppt_mnt, .payload.mnt.payload = 0xfedcba9876543210 },
	{ .type = ppt_exstop, .payload.exstop.ip = 0 },
	{ .type = ppt_exstop, .payload.exstop.ip = 1 },
	{ .type = ppt_mwait, .payload.mwait = { .hints = 0xf0, .ext = 0x3 } },
	{ .type = ppt_pwre, .payload.pwre = { .state = 6, .sub_state = 9, .hw = 1 } },
	{ .type = ppt_pwrx, .payload.pwrx = { .last = 9, .deepest = 5, .store = 1 } },
	{ .type = ppt_ptw, .payload.ptw = { .payload = 0xfedcba98, .plc = 0, .ip = 1 } },
	{ .type = ppt_ptw, .payload.ptw = { .payload = 0xfedcba9876543210, .plc = 1 } },
	{ .type = ppt_psb },
	/* Last IP is 0 again. */
	{ .type = ppt_fup, .payload.ip = { pt_ipc_update_16, 0x8000 } },
};

/* What libipt's encoder does not know, and what is easily misread. */
static const struct {
	const char *bytes;
	struct xenpt_packet packet;
} by_hand[] = {
#define HAND(b, t, p, a)                                                               \
	{                                                                              \
		b,                                                                     \
		{                                                                      \
			.type = XENPT_PACKET_##t, .size = sizeof(b) - 1, .payload = p, \
			.aux = a                                                       \
		}                                                                      \
	}
	HAND("\x99\x05", MODE_EXEC, 1, 64), /* IF */
	HAND("\x99\x03", MODE_EXEC, 0, 0),  /* reserved: CS.L and CS.D */
	HAND("\x02\x03\x20\xff", CBR, 0x20, 0),
	HAND("\x02\x73\x34\x12\xff\xfe\xff", TMA, 0x1234, 0x1fe),
	HAND("\x02\x63\x01", BBP, 1, 0),
	HAND("\x04\xef\xcd\xab\x89\x67\x45\x23\x01", BIP, 0x123456789abcdef, 0),
	HAND("\xfc\x01\x02\x82\x02\x82\x02\x82\x82", BIP, 0x8282028202820201, 31),
	HAND("\x59\x12", MTC, 0x12, 0), /* does not end the block */
	HAND("\x0c\1\2\3\4\5\6\7\x08", BIP, 0x807060504030201, 1),
	HAND("\x02\xb3", BEP, 0, 1),
	HAND("\x04", TNT_8, 0, 1),
	HAND("\x02\x63\x9f", BBP, 0x1f, 1),
	HAND("\x14\x78\x56\x34\x82", BIP, 0x82345678, 2),
	HAND("\x06", TNT_8, 1, 1), /* ends the block */
	HAND("\x04", TNT_8, 0, 1),
	HAND("\x02\x63\x02", BBP, 2, 0),
	HAND("\x02\x33", BEP, 0, 0),
	HAND("\x02\x13\x81\x0e", CFE, 14, 0x101),
	HAND("\x02\x13\x1f\xff", CFE, 255, 0x1f),
	HAND("\x02\x53\x3f\x10\x32\x54\x76\x98\xba\xdc\xfe", EVD, 0xfedcba9876543210,
	     0x3f),
	HAND("\x02\x22\x80\x96", PWRE, 0x9680, 0),
	HAND("\x02\xa2\x95\x04\x01\x02\x03", PWRX, 0x302010495, 0),
	HAND("\x07\xff\xff\xff\xff\xff\xff\xff\xfe", CYC, 0x1fffffffffffffe0, 0),
#undef HAND
};

/* All packets of @data, given in pieces of @piece bytes, or first @piece of them. */
static size_t decode(const uint8_t *data, size_t size, size_t first, size_t piece,
		     struct xenpt_packet *ret, size_t max)
{
	struct packet_state state;
	size_t pos = 0, have = first, count = 0, n, used;

	packet_reset(&state, 0x100);
	for (;;) {
		/* An allocation of its own: nothing after it may be read. */
		uint8_t *copy = malloc(have - pos + 1);

		memcpy(copy, data + pos, have - pos);
		n = packet_decode(&state, copy, have - pos, have == size, ret + count,
				  max - count, &used);
		free(copy);
		count += n;
		pos += used;
		if (n)
			continue;
		if (have == size)
			break;
		assert_true(have - pos <= 17);
		have = piece < size - have ? have + piece : size;
	}
	assert_int_equal(pos, size);
	return count;
}

static void assert_same(const struct xenpt_packet *a, const struct xenpt_packet *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->offset, b->offset);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->payload, b->payload);
	assert_int_equal(a->aux, b->aux);
}

/* The trace that all packets of both tables make, and what it says. */
static size_t make(uint8_t *trace, size_t max, struct xenpt_packet *ret, size_t *size_ret)
{
	struct pt_config config;
	struct pt_encoder *encoder;
	uint64_t last_ip = 0, offset = 0;
	size_t count = 0;

	pt_config_init(&config);
	config.begin = trace;
	config.end = trace + max;
	encoder = pt_alloc_encoder(&config);
	assert_non_null(encoder);
	for (size_t i = 0; i < ALL(encoded); i++) {
		struct pt_packet packet = encoded[i];
		int size = pt_enc_next(encoder, &packet);

		assert_true(size > 0);
		packet.size = size;
		ret[count] = ipt_packet(&packet, &last_ip);
		ret[count++].offset = 0x100 + offset;
		offset += size;
	}
	pt_free_encoder(encoder);
	for (size_t i = 0; i < ALL(by_hand); i++) {
		size_t size = by_hand[i].packet.size;

		memcpy(trace + offset, by_hand[i].bytes, size);
		ret[count] = by_hand[i].packet;
		ret[count++].offset = 0x100 + offset;
		offset += size;
	}
	*size_ret = offset;
	return count;
}

static void test_every_packet(void **unused)
{
	struct xenpt_packet want[ALL(encoded) + ALL(by_hand)], got[ALL(want) + 1];
	uint8_t trace[1024];
	size_t size, count = make(trace, sizeof(trace), want, &size);

	assert_int_equal(count, ALL(want));
	assert_int_equal(decode(trace, size, size, 0, got, ALL(got)), count);
	for (size_t i = 0; i < count; i++)
		assert_same(&got[i], &want[i]);
}

static void test_split_anywhere(void **unused)
{
	struct xenpt_packet want[ALL(encoded) + ALL(by_hand)], got[ALL(want) + 1];
	uint8_t trace[1024];
	size_t size, count = make(trace, sizeof(trace), want, &size);

	for (size_t first = 0; first <= size; first++) {
		for (size_t piece = 1; piece <= size; piece += size - 1) {
			assert_int_equal(decode(trace, size, first, piece, got, ALL(got)),
					 count);
			for (size_t i = 0; i < count; i++)
				assert_same(&got[i], &want[i]);
		}
	}
}

/* Stopping for want of room loses nothing. */
static void test_room_for_one(void **unused)
{
	struct xenpt_packet want[ALL(encoded) + ALL(by_hand)], got;
	struct packet_state state;
	uint8_t trace[1024];
	size_t size, used, pos = 0, count = make(trace, sizeof(trace), want, &size);

	packet_reset(&state, 0x100);
	for (size_t i = 0; i < count; i++, pos += used) {
		assert_int_equal(packet_decode(&state, trace + pos, size - pos, true,
					       &got, 1, &used),
				 1);
		assert_same(&got, &want[i]);
	}
	assert_int_equal(pos, size);
}

/* Each first two bytes there are, before different bytes, against libipt. */
static void test_all_heads(void **unused)
{
	static const uint8_t fillers[] = { 0x00, 0x82, 0x88, 0xfe, 0xff };
	enum {
		SLOT = 32
	};
	size_t size = (size_t)SLOT << 16;
	uint8_t *trace = malloc(size);
	struct pt_packet_decoder *decoder;
	struct pt_config config;
	unsigned int good = 0;

	assert_non_null(trace);
	pt_config_init(&config);
	config.begin = trace;
	config.end = trace + size;
	for (size_t f = 0; f < ALL(fillers); f++) {
		memset(trace, fillers[f], size);
		for (unsigned int head = 0; head < 1 << 16; head++) {
			trace[head * SLOT] = head >> 8;
			trace[head * SLOT + 1] = head;
		}
		decoder = pt_pkt_alloc_decoder(&config);
		assert_non_null(decoder);
		for (size_t at = 0; at < size; at += SLOT) {
			struct packet_state state = { .synced = true,
						      .last_ip = 1ULL << 63 };
			uint64_t last_ip = state.last_ip;
			struct xenpt_packet got = {}, want;
			struct pt_packet packet;
			size_t used;

			assert_int_equal(packet_decode(&state, trace + at, SLOT, true,
						       &got, 1, &used),
					 1);
			assert_int_equal(pt_pkt_sync_set(decoder, at), 0);
			if (pt_pkt_next(decoder, &packet, sizeof(packet)) < 0) {
				/*
				 * libipt 2.0 wants reserved bits of a TMA to be
				 * 0, and does not know the last five types.
				 */
				assert_true(got.type == XENPT_PACKET_BAD ||
					    got.type == XENPT_PACKET_TMA ||
					    (got.type >= XENPT_PACKET_BBP &&
					     got.type <= XENPT_PACKET_EVD));
				continue;
			}
			want = ipt_packet(&packet, &last_ip);
			if (!ipt_same(&got, &want))
				fail_msg("%02x %02x %02x…: %s instead of %s", trace[at],
					 trace[at + 1], fillers[f],
					 xenpt_packet_type_name(got.type),
					 xenpt_packet_type_name(want.type));
			good++;
		}
		pt_pkt_free_decoder(decoder);
	}
	assert_true(good > ALL(fillers) * (200 << 8));
	free(trace);
}

static void test_no_packet(void **unused)
{
	static const struct {
		const char *bytes;
		size_t size;
	} bad[] = {
#define BAD(b) { b, sizeof(b) - 1 }
		BAD("\x05"),                   /* no such packet */
		BAD("\xad\1\2\3\4\5\6\7\x08"), /* reserved IPBytes */
		BAD("\xed\1\2\3\4\5\6\7\x08"),
		BAD("\x99\x40"), /* reserved leaf */
		BAD("\x02\x00"),
		BAD("\x02\xa3\0\0\0\0\0\0"), /* no stop bit */
		BAD("\x02\xa3\1\0\0\0\0\0"), /* no bit but that */
		BAD("\x02\xc3\x89"),
		BAD("\x02\x52\1\2\3\4\5\6\7\x08"), /* reserved PayloadBytes */
		BAD("\x02\x82\x02\x82\x02\x82\x02\x82\x02\x82\x02\x82\x02\x82\x02\x83"),
		BAD("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
#undef BAD
	};

	for (size_t i = 0; i < ALL(bad); i++) {
		size_t size = 17 + bad[i].size + 3 + 16 + 1;
		struct xenpt_packet got[8];
		uint8_t trace[128] = {};

		memcpy(trace, psb, 16);
		memcpy(trace + 17, bad[i].bytes, bad[i].size);
		memcpy(trace + size - 17, psb, 16);
		for (size_t first = 0; first <= size; first++) {
			assert_int_equal(decode(trace, size, first, 1, got, ALL(got)), 5);
			assert_int_equal(got[0].type, XENPT_PACKET_PSB);
			assert_int_equal(got[1].type, XENPT_PACKET_PAD);
			assert_int_equal(got[2].type, XENPT_PACKET_BAD);
			assert_int_equal(got[2].offset, 0x100 + 17);
			assert_int_equal(got[2].size, bad[i].size + 3);
			assert_int_equal(got[3].type, XENPT_PACKET_PSB);
			assert_int_equal(got[4].type, XENPT_PACKET_PAD);
		}
	}
}

/* What is before the first PSB and what is cut at the end is not lost sight of. */
static void test_ragged_ends(void **unused)
{
	uint8_t trace[7 + 16 + 4] = { 0x0d, 0x02, 0x82, 0x02, 0x82, 0x99, 0x99 };
	struct xenpt_packet got[4];

	memcpy(trace + 7, psb, 16);
	memcpy(trace + 23, "\x04\x19\x01\x02", 4); /* TNT, a TSC without its end */
	for (size_t first = 0; first <= sizeof(trace); first++) {
		assert_int_equal(decode(trace, sizeof(trace), first, 1, got, 4), 4);
		assert_int_equal(got[0].type, XENPT_PACKET_BAD);
		assert_int_equal(got[0].size, 7);
		assert_int_equal(got[1].type, XENPT_PACKET_PSB);
		assert_int_equal(got[2].type, XENPT_PACKET_TNT_8);
		assert_int_equal(got[3].type, XENPT_PACKET_BAD);
		assert_int_equal(got[3].offset, 0x100 + 24);
		assert_int_equal(got[3].size, 3);
	}
	/* Nothing but the beginning of a PSB. */
	assert_int_equal(decode(psb, 15, 3, 1, got, 4), 1);
	assert_int_equal(got[0].type, XENPT_PACKET_BAD);
	assert_int_equal(got[0].size, 15);
	assert_int_equal(decode(psb, 0, 0, 1, got, 4), 0);
}

/* A payload that ends in 02 82 must not shift the PSB after it. */
static void test_psb_after_payload(void **unused)
{
	uint8_t trace[3 + 4 + 16 + 2] = { 0x01, 0x82, 0x02, 2, 0x82, 2, 0x82 };
	struct xenpt_packet got[4];

	memcpy(trace + 7, psb, 16);
	memcpy(trace + 23, "\x02\x23", 2);
	assert_ptr_equal(psb_find(trace, sizeof(trace)), trace + 7);
	assert_null(psb_find(trace, 18));
	for (size_t first = 0; first <= sizeof(trace); first++) {
		assert_int_equal(decode(trace, sizeof(trace), first, 1, got, 4), 3);
		assert_int_equal(got[0].type, XENPT_PACKET_BAD);
		assert_int_equal(got[0].size, 7);
		assert_int_equal(got[1].type, XENPT_PACKET_PSB);
		assert_int_equal(got[2].type, XENPT_PACKET_PSBEND);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_packet),
		cmocka_unit_test(test_split_anywhere),
		cmocka_unit_test(test_room_for_one),
		cmocka_unit_test(test_all_heads),
		cmocka_unit_test(test_no_packet),
		cmocka_unit_test(test_ragged_ends),
		cmocka_unit_test(test_psb_after_payload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
