/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes: the packet decoder accounts for each of them, however they come in
 * pieces, and where libipt knows a packet, it is the same one.
 */
#include <stdlib.h>
#include <string.h>

#include "decode/packet.h"
#include "tests/ipt-packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	MAX = 4096
};

/* Two ways in which libipt 2.0 falls short of the SDM. */
static bool libipt_errs(const struct xenpt_packet *packet)
{
	return packet->type == XENPT_PACKET_TMA || /* wants reserved bits to be 0 */
	       packet->type >= XENPT_PACKET_BBP;   /* does not know these */
}

static void compare(const uint8_t *data, size_t size, const struct xenpt_packet *packets,
		    size_t count)
{
	struct pt_packet_decoder *decoder;
	struct pt_config config;
	bool block = false;
	uint64_t last_ip = 0;

	pt_config_init(&config);
	config.begin = (uint8_t *)data;
	config.end = (uint8_t *)data + size;
	decoder = pt_pkt_alloc_decoder(&config);
	if (!decoder)
		abort();
	for (size_t i = 0; i < count; i++) {
		struct pt_packet packet;
		struct xenpt_packet want;

		if (pt_pkt_sync_set(decoder, packets[i].offset) < 0)
			abort();
		if (packets[i].type == XENPT_PACKET_BBP)
			block = true;
		if (packets[i].type == XENPT_PACKET_BIP && !block)
			abort();
		if (packets[i].type == XENPT_PACKET_BAD) {
			/*
			 * Where a packet had been due: libipt knows none either,
			 * unless it takes a cut BIP for a TNT.
			 */
			if (i && !block &&
			    pt_pkt_next(decoder, &packet, sizeof(packet)) >= 0)
				abort();
			last_ip = 0;
			continue;
		}
		if (pt_pkt_next(decoder, &packet, sizeof(packet)) < 0) {
			if (!libipt_errs(&packets[i]))
				abort();
			continue;
		}
		want = ipt_packet(&packet, &last_ip);
		if (packets[i].type != XENPT_PACKET_BIP && !ipt_same(&packets[i], &want))
			abort();
	}
	pt_pkt_free_decoder(decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct xenpt_packet whole[MAX + 1], part;
	struct packet_state state;
	size_t count, used, pos = 0, have, i = 0;

	if (size > MAX)
		return 0;
	packet_reset(&state, 0);
	count = packet_decode(&state, data, size, true, whole, MAX + 1, &used);
	if (count > MAX || used != size)
		abort();
	for (size_t k = 0; k < count; k++) {
		if (whole[k].offset != pos || !whole[k].size)
			abort();
		pos += whole[k].size;
	}
	if (pos != size)
		abort();
	compare(data, size, whole, count);

	/* In pieces, their size taken from the data. */
	packet_reset(&state, 0);
	pos = have = 0;
	for (;;) {
		if (packet_decode(&state, data + pos, have - pos, have == size, &part, 1,
				  &used)) {
			if (i >= count || part.offset != whole[i].offset ||
			    part.size != whole[i].size || part.type != whole[i].type ||
			    part.payload != whole[i].payload || part.aux != whole[i].aux)
				abort();
			i++;
			pos += used;
			continue;
		}
		pos += used;
		if (have == size)
			break;
		have += 1 + data[have] % 32;
		if (have > size)
			have = size;
	}
	if (i != count || pos != size)
		abort();
	return 0;
}
