/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PT packets out of bytes, after the SDM, volume 3, "Intel Processor Trace",
 * section "Packet Definitions". Pure: no allocation, no file, no libipt.
 */
#ifndef DECODE_PACKET_H
#define DECODE_PACKET_H

#include "libxenpt/xenpt.h"

#define PSB_SIZE 16

/* What one packet needs to know of those before it. */
struct packet_state {
	uint64_t offset;  /* of the next byte in the vCPU's trace */
	uint64_t last_ip; /* for IP compression; 0 after a PSB */
	uint32_t skipped; /* !synced: bytes before the next one that are BAD */
	uint8_t block;    /* after a BBP: bytes of value in a BIP, 4 or 8; else 0 */
	bool synced;      /* the next byte starts a packet */
};

/* Start at @offset, searching for a PSB. */
void packet_reset(struct packet_state *state, uint64_t offset);

/*
 * Decode the packets of @data, up to @max; returns how many, and in *@used_ret
 * how many bytes can be forgotten.
 *
 * Bytes that are no packet are one BAD up to the next PSB, or several if they
 * pass 1 GiB. Unless these bytes are the @last ones before a gap or the end, it
 * stops at what more bytes may complete, and wants to see that again: at most
 * 17 bytes. With @last it uses up everything, a cut packet being BAD. So the sizes
 * of all packets add up to the size of the trace. Fewer than @max: there are no more.
 */
size_t packet_decode(struct packet_state *state, const uint8_t *data, size_t size,
		     bool last, struct xenpt_packet *ret, size_t max, size_t *used_ret);

/*
 * The first PSB, or NULL. "02 82" over more than 16 bytes is a payload that
 * happens to end like that, before a PSB: it is the last 16 bytes of them.
 */
const uint8_t *psb_find(const uint8_t *data, size_t size);

#endif
