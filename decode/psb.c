/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "psb.h"

void psb_walk_init(struct psb_walk *walk, const uint8_t *data, size_t pos, size_t end)
{
	packet_reset(&walk->state, pos);
	walk->state.synced = true;
	walk->data = data;
	walk->pos = pos;
	walk->end = end;
	walk->next = walk->count = 0;
}

const struct xenpt_packet *psb_walk_next(struct psb_walk *walk)
{
	if (walk->next == walk->count) {
		size_t used;

		walk->next = 0;
		walk->count = packet_decode(&walk->state, walk->data + walk->pos,
					    walk->end - walk->pos, false, walk->packets,
					    64, &used);
		walk->pos += used;
		if (!walk->count)
			return NULL;
	}
	return &walk->packets[walk->next++];
}

bool psb_is_reached(const uint8_t *data, size_t before, size_t psb, unsigned int enough)
{
	const struct xenpt_packet *packet;
	unsigned int branches = 0;
	uint64_t end = before;
	struct psb_walk walk;

	psb_walk_init(&walk, data, before, psb);
	while ((packet = psb_walk_next(&walk))) {
		end = packet->offset + packet->size;
		switch (packet->type) {
		case XENPT_PACKET_TNT_8:
		case XENPT_PACKET_TNT_64:
		case XENPT_PACKET_TIP:
		case XENPT_PACKET_TIP_PGE:
			branches++;
			break;
		}
	}
	return end == psb && branches >= enough;
}

void psb_plus_read(const uint8_t *data, size_t psb, size_t size, struct psb_plus *ret)
{
	const struct xenpt_packet *packet;
	bool ended = false, fup = false;
	struct psb_walk walk;

	*ret = (struct psb_plus){};
	if (size - psb > PSB_PLUS_MAX)
		size = psb + PSB_PLUS_MAX;
	psb_walk_init(&walk, data, psb, size);
	while ((packet = psb_walk_next(&walk))) {
		switch (packet->type) {
		case XENPT_PACKET_PSB:
			if (packet->offset != psb)
				return;
			break;
		case XENPT_PACKET_PIP:
			ret->pip = true;
			break;
		case XENPT_PACKET_MODE_EXEC:
			ret->mode = true;
			break;
		case XENPT_PACKET_FUP:
			fup = true;
			if (ended)
				return;
			ret->ip = packet->payload;
			break;
		case XENPT_PACKET_PSBEND:
			ret->end = packet->offset + packet->size;
			ended = true;
			/* With an IP, the code runs on from here. */
			if (fup) {
				ret->complete = true;
				return;
			}
			break;
		case XENPT_PACKET_TIP_PGE:
			ret->complete = ended;
			return;
		case XENPT_PACKET_TNT_8:
		case XENPT_PACKET_TNT_64:
		case XENPT_PACKET_TIP:
		case XENPT_PACKET_TIP_PGD:
		case XENPT_PACKET_OVF:
		case XENPT_PACKET_BAD:
			return;
		}
	}
}

bool psb_is_quiet(const uint8_t *data, size_t from, size_t to)
{
	const struct xenpt_packet *packet;
	struct psb_walk walk;

	psb_walk_init(&walk, data, from, to);
	while ((packet = psb_walk_next(&walk))) {
		switch (packet->type) {
		case XENPT_PACKET_PAD:
		case XENPT_PACKET_TSC:
		case XENPT_PACKET_TMA:
		case XENPT_PACKET_MTC:
		case XENPT_PACKET_CYC:
		case XENPT_PACKET_CBR:
			break;
		default:
			return false;
		}
	}
	return true;
}
