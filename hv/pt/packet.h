/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Encodes packets: SDM volume 3, "Intel Processor Trace", "Trace Packets and Data
 * Types".
 *
 * Each function writes one packet at @ret, which has XPT_PACKET_MAX bytes of room,
 * and returns its size. None fails: what does not fit a field is cut to it. Any
 * thread may call any of them.
 */
#ifndef HV_PT_PACKET_H
#define HV_PT_PACKET_H

#include "types.h"

#define XPT_PACKET_MAX 16

/* How the rest of the model names a CR3: without PCID and NOFLUSH (bit 63). */
#define XPT_CR3_MASK 0x000ffffffffff000ull     /* 4- and 5-level, 32-bit paging */
#define XPT_CR3_MASK_PAE 0x000fffffffffffe0ull /* PAE: the PDPT is 32-byte aligned */
#define XPT_CR3_UNKNOWN UINT64_MAX

/* Which IP packet; the value is its opcode (the low five bits). */
enum xpt_ip_packet {
	XPT_TIP = 0x0d,
	XPT_TIP_PGE = 0x11,
	XPT_TIP_PGD = 0x01,
	XPT_FUP = 0x1d,
};

/* IPBytes: how an IP is compressed against the last one in the stream. */
enum xpt_ip_bytes {
	XPT_IP_NONE = 0, /* suppressed */
	XPT_IP_16 = 1,
	XPT_IP_32 = 2,
	XPT_IP_SEXT48 = 3,
	XPT_IP_48 = 4,
	XPT_IP_FULL = 6,
};

size_t xpt_packet_pad(uint8_t *ret);
size_t xpt_packet_psb(uint8_t *ret);
size_t xpt_packet_psbend(uint8_t *ret);

/* The @count (1..6) branches of @bits, the oldest highest: short TNT. */
size_t xpt_packet_tnt_short(uint64_t bits, unsigned int count, uint8_t *ret);
/* The same, @count 1..47: long TNT. */
size_t xpt_packet_tnt_long(uint64_t bits, unsigned int count, uint8_t *ret);

/* With as many bytes of @ip as @bytes says. */
size_t xpt_packet_ip_bytes(enum xpt_ip_packet type, enum xpt_ip_bytes bytes, uint64_t ip,
			   uint8_t *ret);
/*
 * @ip with the shortest compression against *@last (0 after a PSB, "Compressed IP
 * packets"), which becomes @ip.
 */
size_t xpt_packet_ip(enum xpt_ip_packet type, uint64_t ip, uint64_t *last, uint8_t *ret);

/* @pae: CR3 of PAE paging, whose bits 11:5 count. */
size_t xpt_packet_pip(uint64_t cr3, bool pae, bool non_root, uint8_t *ret);
size_t xpt_packet_vmcs(uint64_t base, uint8_t *ret);
size_t xpt_packet_mode_exec(bool csl, bool csd, uint8_t *ret);
size_t xpt_packet_mode_tsx(bool in_tx, bool abort, uint8_t *ret);
size_t xpt_packet_tsc(uint64_t tsc, uint8_t *ret);
size_t xpt_packet_mtc(uint8_t ctc, uint8_t *ret);
size_t xpt_packet_tma(uint16_t ctc, uint16_t fast_counter, uint8_t *ret);
/* Cycles since the last CYC, 61 bits: libipt reads no more. */
size_t xpt_packet_cyc(uint64_t cycles, uint8_t *ret);
size_t xpt_packet_cbr(uint8_t ratio, uint8_t *ret);
size_t xpt_packet_ovf(uint8_t *ret);
size_t xpt_packet_stop(uint8_t *ret); /* TraceStop */
/* @size 4 or 8; @fup: a FUP with the IP follows. */
size_t xpt_packet_ptwrite(uint64_t payload, unsigned int size, bool fup, uint8_t *ret);

#endif
