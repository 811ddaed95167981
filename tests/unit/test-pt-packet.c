/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hv/pt/packet.h"
#include "tests/ipt-packet.h"
#include "tests/unit/random.h"

#define ALL(array) (sizeof(array) / sizeof((array)[0]))

enum {
	ROUNDS = 200,
	PACKETS = 500 /* of a round */
};

/* What libipt reads at @bytes, of which there are @size. */
static struct pt_packet decoded(const uint8_t *bytes, size_t size)
{
	struct pt_packet_decoder *decoder;
	struct pt_packet packet;
	struct pt_config config;

	pt_config_init(&config);
	config.begin = (uint8_t *)bytes;
	config.end = (uint8_t *)bytes + size;
	decoder = pt_pkt_alloc_decoder(&config);
	assert_non_null(decoder);
	assert_int_equal(pt_pkt_sync_set(decoder, 0), 0);
	assert_int_equal(pt_pkt_next(decoder, &packet, sizeof(packet)), size);
	pt_pkt_free_decoder(decoder);
	return packet;
}

/* What the SDM's figures show, byte by byte. */
static void test_bytes(void **unused)
{
	uint8_t bytes[XPT_PACKET_MAX];
	uint64_t last = 0xffffffff81000000;

#define BYTES(call, ...)                                              \
	do {                                                          \
		static const uint8_t want[] = { __VA_ARGS__ };        \
		memset(bytes, 0x5a, sizeof(bytes));                   \
		assert_int_equal(xpt_packet_##call, sizeof(want));    \
		assert_memory_equal(bytes, want, sizeof(want));       \
		for (size_t i = sizeof(want); i < sizeof(bytes); i++) \
			assert_int_equal(bytes[i], 0x5a);             \
	} while (0)
	BYTES(pad(bytes), 0);
	BYTES(psb(bytes), 2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82,
	      2, 0x82);
	BYTES(psbend(bytes), 2, 0x23);
	BYTES(tnt_short(1, 1, bytes), 0x06);
	BYTES(tnt_short(0, 1, bytes), 0x04);
	BYTES(tnt_short(0x2a, 6, bytes), 0xd4);
	BYTES(tnt_long(0, 1, bytes), 2, 0xa3, 2, 0, 0, 0, 0, 0);
	BYTES(tnt_long(UINT64_MAX, 47, bytes), 2, 0xa3, 0xff, 0xff, 0xff, 0xff, 0xff,
	      0xff);
	BYTES(ip_bytes(XPT_TIP_PGD, XPT_IP_NONE, 0x1234, bytes), 0x01);
	BYTES(ip_bytes(XPT_FUP, XPT_IP_48, 0x123456789abc, bytes), 0x9d, 0xbc, 0x9a, 0x78,
	      0x56, 0x34, 0x12);
	BYTES(ip(XPT_TIP, 0xffffffff81234567, &last, bytes), 0x4d, 0x67, 0x45, 0x23,
	      0x81);
	assert_int_equal(last, 0xffffffff81234567);
	BYTES(ip(XPT_TIP_PGE, 0x7f0012345678, &last, bytes), 0x71, 0x78, 0x56, 0x34, 0x12,
	      0x00, 0x7f);
	BYTES(pip(0x8000000123456fff, false, true, bytes), 2, 0x43, 1, 0x56, 0x34, 0x12,
	      0, 0);
	BYTES(pip(0x12345ffff, true, false, bytes), 2, 0x43, 0xfe, 0x5f, 0x34, 0x12, 0,
	      0);
	BYTES(vmcs(0x000fedcba9876000, bytes), 2, 0xc8, 0x76, 0x98, 0xba, 0xdc, 0xfe);
	BYTES(mode_exec(true, false, bytes), 0x99, 0x01);
	BYTES(mode_exec(false, true, bytes), 0x99, 0x02);
	BYTES(mode_tsx(true, false, bytes), 0x99, 0x21);
	BYTES(mode_tsx(false, true, bytes), 0x99, 0x22);
	BYTES(tsc(0xff01234567890abc, bytes), 0x19, 0xbc, 0x0a, 0x89, 0x67, 0x45, 0x23,
	      0x01);
	BYTES(mtc(0xa5, bytes), 0x59, 0xa5);
	BYTES(tma(0x1234, 0xffff, bytes), 2, 0x73, 0x34, 0x12, 0, 0xff, 0x01);
	BYTES(cyc(0x1f, bytes), 0xfb);
	BYTES(cyc(0x20, bytes), 0x07, 0x02);
	BYTES(cyc(0xfff, bytes), 0xff, 0xfe);
	BYTES(cyc(0x1000, bytes), 0x07, 0x01, 0x02);
	BYTES(cbr(0x24, bytes), 2, 0x03, 0x24, 0);
	BYTES(ovf(bytes), 2, 0xf3);
	BYTES(stop(bytes), 2, 0x83);
	BYTES(ptwrite(0x1122334455667788, 4, true, bytes), 2, 0x92, 0x88, 0x77, 0x66,
	      0x55);
	BYTES(ptwrite(0x1122334455667788, 8, false, bytes), 2, 0x32, 0x88, 0x77, 0x66,
	      0x55, 0x44, 0x33, 0x22, 0x11);
#undef BYTES
}

/* Counts that no packet has do not become another packet. */
static void test_tnt_counts(void **unused)
{
	uint8_t bytes[XPT_PACKET_MAX];
	struct pt_packet packet;

	for (unsigned int count = 0; count <= 64; count++) {
		unsigned int few = count < 1 ? 1 : count > 6 ? 6 : count;
		unsigned int many = count < 1 ? 1 : count > 47 ? 47 : count;

		packet = decoded(bytes, xpt_packet_tnt_short(UINT64_MAX, count, bytes));
		assert_int_equal(packet.type, ppt_tnt_8);
		assert_int_equal(packet.payload.tnt.bit_size, few);
		packet = decoded(bytes, xpt_packet_tnt_long(UINT64_MAX, count, bytes));
		assert_int_equal(packet.type, ppt_tnt_64);
		assert_int_equal(packet.payload.tnt.bit_size, many);
		assert_int_equal(packet.payload.tnt.payload, (1ull << many) - 1);
	}
}

/* An IP as code has them: near the last one, or kernel, or user, or no address. */
static uint64_t random_ip(struct random *random, uint64_t last)
{
	uint64_t any = random_next(random);

	switch (random_below(random, 7)) {
	case 0:
		return last;
	case 1:
		return (last >> 16 << 16) | (any & 0xffff);
	case 2:
		return (last >> 32 << 32) | (any & 0xffffffff);
	case 3:
		return (last >> 48 << 48) | any >> 16;
	case 4:
		return 0xffff800000000000 | any >> 17;
	case 5:
		return any >> 17;
	default:
		return any;
	}
}

static const enum xpt_ip_packet ip_packets[] = { XPT_TIP, XPT_TIP_PGE, XPT_TIP_PGD,
						 XPT_FUP };
static const enum pt_packet_type ip_types[] = { ppt_tip, ppt_tip_pge, ppt_tip_pgd,
						ppt_fup };

/* No shorter packet would say the same IP to a reader. */
static void test_ip_shortest(void **unused)
{
	static const enum xpt_ip_bytes all[] = { XPT_IP_16, XPT_IP_32, XPT_IP_SEXT48,
						 XPT_IP_48, XPT_IP_FULL };
	struct random random = { 1 };
	uint64_t last = 0;

	for (int i = 0; i < 100000; i++) {
		uint64_t ip = random_ip(&random, last), ours = last, reader = last;
		uint8_t bytes[XPT_PACKET_MAX], other[XPT_PACKET_MAX];
		size_t size = xpt_packet_ip(XPT_TIP, ip, &ours, bytes);
		struct pt_packet packet = decoded(bytes, size);

		assert_int_equal(ours, ip);
		assert_int_equal(ipt_ip(&packet.payload.ip, &reader), ip);
		for (size_t k = 0; k < ALL(all); k++) {
			size_t length = xpt_packet_ip_bytes(XPT_TIP, all[k], ip, other);

			packet = decoded(other, length);
			reader = last;
			if (ipt_ip(&packet.payload.ip, &reader) == ip)
				assert_true(length >= size);
		}
		last = ip;
	}
}

/* A random packet at @ret and what libipt is to say of it. */
static size_t random_packet(struct random *random, uint64_t *last, uint64_t *ip_ret,
			    struct pt_packet *want, uint8_t *ret)
{
	uint64_t any = random_next(random);
	unsigned int count, kind;

	*want = (struct pt_packet){};
#define WANT(t, call) (want->type = ppt_##t, xpt_packet_##call)
#define SET(member, value) (want->payload.member = (value))
	switch (random_below(random, 20)) {
	case 0:
		return WANT(pad, pad(ret));
	case 1:
		*last = 0;
		return WANT(psb, psb(ret));
	case 2:
		return WANT(psbend, psbend(ret));
	case 3:
		count = 1 + random_below(random, 6);
		SET(tnt.bit_size, count);
		SET(tnt.payload, any & ((1ull << count) - 1));
		return WANT(tnt_8, tnt_short(any, count, ret));
	case 4:
		count = 1 + random_below(random, 47);
		SET(tnt.bit_size, count);
		SET(tnt.payload, any & ((1ull << count) - 1));
		return WANT(tnt_64, tnt_long(any, count, ret));
	case 5:
		SET(pip.cr3, any & 0x000fffffffffffe0);
		SET(pip.nr, any & 1);
		return WANT(pip, pip(any, true, any & 1, ret));
	case 6:
		SET(pip.cr3, any & 0x000ffffffffff000);
		SET(pip.nr, any >> 63);
		return WANT(pip, pip(any, false, any >> 63, ret));
	case 7:
		SET(vmcs.base, any & 0x000ffffffffff000);
		return WANT(vmcs, vmcs(any, ret));
	case 8:
		SET(mode.leaf, pt_mol_exec);
		SET(mode.bits.exec.csl, any & 1);
		SET(mode.bits.exec.csd, any >> 1 & 1);
		return WANT(mode, mode_exec(any & 1, any & 2, ret));
	case 9:
		SET(mode.leaf, pt_mol_tsx);
		SET(mode.bits.tsx.intx, any & 1);
		SET(mode.bits.tsx.abrt, any >> 1 & 1);
		return WANT(mode, mode_tsx(any & 1, any & 2, ret));
	case 10:
		SET(tsc.tsc, any << 8 >> 8);
		return WANT(tsc, tsc(any, ret));
	case 11:
		SET(mtc.ctc, any & 0xff);
		return WANT(mtc, mtc(any, ret));
	case 12:
		SET(tma.ctc, any & 0xffff);
		SET(tma.fc, any >> 16 & 0x1ff);
		return WANT(tma, tma(any, any >> 16, ret));
	case 13:
		any >>= random_below(random, 64);
		SET(cyc.value, any << 3 >> 3);
		return WANT(cyc, cyc(any, ret));
	case 14:
		SET(cbr.ratio, any & 0xff);
		return WANT(cbr, cbr(any, ret));
	case 15:
		return any & 1 ? WANT(ovf, ovf(ret)) : WANT(stop, stop(ret));
	case 16:
		SET(ptw.plc, any >> 62 & 1);
		SET(ptw.ip, any >> 63);
		SET(ptw.payload, any >> 62 & 1 ? any : any & 0xffffffff);
		return WANT(ptw, ptwrite(any, any >> 62 & 1 ? 8 : 4, any >> 63, ret));
	case 17:
		kind = any % ALL(ip_packets);
		want->type = ip_types[kind];
		*ip_ret = 0;
		return xpt_packet_ip_bytes(ip_packets[kind], XPT_IP_NONE, any, ret);
	default:
		kind = any % ALL(ip_packets);
		want->type = ip_types[kind];
		*ip_ret = random_ip(random, *last);
		return xpt_packet_ip(ip_packets[kind], *ip_ret, last, ret);
	}
#undef SET
#undef WANT
}

static bool is_ip(const struct pt_packet *packet)
{
	for (size_t i = 0; i < ALL(ip_types); i++)
		if (packet->type == ip_types[i])
			return true;
	return false;
}

/* libipt's payload has padding; compare what it says. */
static void assert_same(const struct pt_packet *got, const struct pt_packet *want)
{
	uint64_t unused = 0;
	struct xenpt_packet a = ipt_packet(got, &unused), b = ipt_packet(want, &unused);

	assert_int_equal(got->type, want->type);
	assert_int_equal(a.payload, b.payload);
	assert_int_equal(a.aux, b.aux);
}

/* A reader of the whole stream gets each packet that was written, and each IP. */
static void test_random_streams(void **unused)
{
	static uint8_t trace[PACKETS * XPT_PACKET_MAX];
	static struct pt_packet want[PACKETS];
	static uint64_t ips[PACKETS];

	for (int round = 1; round <= ROUNDS; round++) {
		struct random random = { round };
		uint64_t last = 0, reader = 0;
		struct pt_packet_decoder *decoder;
		struct pt_config config;
		struct pt_packet got;
		size_t size = 0;

		for (size_t i = 0; i < PACKETS; i++) {
			size_t n = random_packet(&random, &last, &ips[i], &want[i],
						 trace + size);

			assert_in_range(n, 1, XPT_PACKET_MAX);
			want[i].size = n;
			size += n;
		}
		pt_config_init(&config);
		config.begin = trace;
		config.end = trace + size;
		decoder = pt_pkt_alloc_decoder(&config);
		assert_non_null(decoder);
		assert_int_equal(pt_pkt_sync_set(decoder, 0), 0);
		for (size_t i = 0; i < PACKETS; i++) {
			assert_int_equal(pt_pkt_next(decoder, &got, sizeof(got)),
					 want[i].size);
			if (got.type == ppt_psb)
				reader = 0;
			if (is_ip(&want[i])) {
				assert_int_equal(got.type, want[i].type);
				assert_int_equal(ipt_ip(&got.payload.ip, &reader),
						 ips[i]);
				continue;
			}
			assert_same(&got, &want[i]);
		}
		assert_int_equal(pt_pkt_next(decoder, &got, sizeof(got)), -pte_eos);
		pt_pkt_free_decoder(decoder);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_tnt_counts),
		cmocka_unit_test(test_ip_shortest),
		cmocka_unit_test(test_random_streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
