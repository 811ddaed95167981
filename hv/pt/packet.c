/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "packet.h"

/* @size bytes of @value, the lowest first. */
static size_t put(uint64_t value, unsigned int size, uint8_t *ret)
{
	for (unsigned int i = 0; i < size; i++)
		ret[i] = value >> 8 * i;
	return size;
}

/* A two-byte opcode, then @size bytes of @payload. */
static size_t put_extended(uint8_t opcode, uint64_t payload, unsigned int size,
			   uint8_t *ret)
{
	ret[0] = 0x02;
	ret[1] = opcode;
	return 2 + put(payload, size, ret + 2);
}

static uint64_t low_bits(unsigned int count)
{
	return (1ull << count) - 1;
}

size_t xpt_packet_pad(uint8_t *ret)
{
	ret[0] = 0;
	return 1;
}

size_t xpt_packet_psb(uint8_t *ret)
{
	for (unsigned int i = 0; i < 16; i += 2)
		put_extended(0x82, 0, 0, ret + i);
	return 16;
}

size_t xpt_packet_psbend(uint8_t *ret)
{
	return put_extended(0x23, 0, 0, ret);
}

/* The branches below a stop bit: the payload of both kinds of TNT. */
static uint64_t tnt(uint64_t bits, unsigned int count, unsigned int max)
{
	/* None would be another packet, or no packet at all. */
	if (count < 1)
		count = 1;
	if (count > max)
		count = max;
	return 1ull << count | (bits & low_bits(count));
}

size_t xpt_packet_tnt_short(uint64_t bits, unsigned int count, uint8_t *ret)
{
	return put(tnt(bits, count, 6) << 1, 1, ret);
}

size_t xpt_packet_tnt_long(uint64_t bits, unsigned int count, uint8_t *ret)
{
	return put_extended(0xa3, tnt(bits, count, 47), 6, ret);
}

size_t xpt_packet_ip_bytes(enum xpt_ip_packet type, enum xpt_ip_bytes bytes, uint64_t ip,
			   uint8_t *ret)
{
	static const uint8_t size[8] = {
		[XPT_IP_16] = 2, [XPT_IP_32] = 4,   [XPT_IP_SEXT48] = 6,
		[XPT_IP_48] = 6, [XPT_IP_FULL] = 8,
	};

	ret[0] = (bytes & 7) << 5 | (type & 0x1f);
	return 1 + put(ip, size[bytes & 7], ret + 1);
}

/* Of two that are as short, the one that needs no last IP. */
static enum xpt_ip_bytes compress(uint64_t ip, uint64_t last)
{
	if (ip >> 16 == last >> 16)
		return XPT_IP_16;
	if (ip >> 32 == last >> 32)
		return XPT_IP_32;
	if (ip >> 47 == 0 || ip >> 47 == low_bits(17))
		return XPT_IP_SEXT48;
	if (ip >> 48 == last >> 48)
		return XPT_IP_48;
	return XPT_IP_FULL;
}

size_t xpt_packet_ip(enum xpt_ip_packet type, uint64_t ip, uint64_t *last, uint8_t *ret)
{
	size_t size = xpt_packet_ip_bytes(type, compress(ip, *last), ip, ret);

	*last = ip;
	return size;
}

size_t xpt_packet_pip(uint64_t cr3, bool pae, bool non_root, uint8_t *ret)
{
	cr3 &= pae ? XPT_CR3_MASK_PAE : XPT_CR3_MASK;
	return put_extended(0x43, cr3 >> 5 << 1 | non_root, 6, ret);
}

size_t xpt_packet_vmcs(uint64_t base, uint8_t *ret)
{
	return put_extended(0xc8, base >> 12, 5, ret);
}

static size_t mode(unsigned int leaf, bool bit0, bool bit1, uint8_t *ret)
{
	ret[0] = 0x99;
	ret[1] = leaf << 5 | bit1 << 1 | bit0;
	return 2;
}

size_t xpt_packet_mode_exec(bool csl, bool csd, uint8_t *ret)
{
	return mode(0, csl, csd, ret);
}

size_t xpt_packet_mode_tsx(bool in_tx, bool abort, uint8_t *ret)
{
	return mode(1, in_tx, abort, ret);
}

size_t xpt_packet_tsc(uint64_t tsc, uint8_t *ret)
{
	ret[0] = 0x19;
	return 1 + put(tsc, 7, ret + 1);
}

size_t xpt_packet_mtc(uint8_t ctc, uint8_t *ret)
{
	ret[0] = 0x59;
	ret[1] = ctc;
	return 2;
}

size_t xpt_packet_tma(uint16_t ctc, uint16_t fast_counter, uint8_t *ret)
{
	/* A reserved byte lies between them; the counter has nine bits. */
	return put_extended(0x73, (uint64_t)(fast_counter & 0x1ff) << 24 | ctc, 5, ret);
}

size_t xpt_packet_cyc(uint64_t cycles, uint8_t *ret)
{
	size_t size = 1;

	cycles &= low_bits(61);
	/* Bits 1:0 the opcode, bit 2 whether more follows, five bits of the count. */
	ret[0] = (cycles & 0x1f) << 3 | (cycles > 0x1f) << 2 | 3;
	/* Then bit 0 whether more follows, seven bits. */
	for (cycles >>= 5; cycles; cycles >>= 7)
		ret[size++] = (cycles & 0x7f) << 1 | (cycles > 0x7f);
	return size;
}

size_t xpt_packet_cbr(uint8_t ratio, uint8_t *ret)
{
	return put_extended(0x03, ratio, 2, ret);
}

size_t xpt_packet_ovf(uint8_t *ret)
{
	return put_extended(0xf3, 0, 0, ret);
}

size_t xpt_packet_stop(uint8_t *ret)
{
	return put_extended(0x83, 0, 0, ret);
}

size_t xpt_packet_ptwrite(uint64_t payload, unsigned int size, bool fup, uint8_t *ret)
{
	bool wide = size > 4;

	return put_extended(fup << 7 | wide << 5 | 0x12, payload, wide ? 8 : 4, ret);
}
