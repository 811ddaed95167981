/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdbool.h>
#include <string.h>

#include "host-pip.h"
#include "psb.h"

#define PIP_SIZE 8
#define PIP_NR 1 /* of its third byte: SDM, "PIP Packet" */
#define NO_PIP SIZE_MAX

/*
 * The next bytes that may be a PIP with that NR; NULL: there are none. Looking for the
 * second byte is several times as fast as for both.
 */
static const uint8_t *find(const uint8_t *from, const uint8_t *end, uint8_t nr)
{
	while (end - from >= PIP_SIZE) {
		const uint8_t *ext = memchr(from + 1, 0x43, end - from - PIP_SIZE + 1);

		if (!ext)
			return NULL;
		if (ext[-1] == 0x02 && (ext[1] & PIP_NR) == nr)
			return ext - 1;
		from = ext;
	}
	return NULL;
}

/* Most traces have none: packets are looked at in the others only. */
static bool may_have_host(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size, *guest = find(data, end, PIP_NR);

	return guest && find(guest, end, 0);
}

struct hider {
	uint8_t *data;
	bool in_psb;
	bool guest;  /* the last PIP that counts has NR */
	size_t host; /* a PIP that has not, after it; NO_PIP: none */
};

static void hide(struct hider *hider)
{
	if (hider->host != NO_PIP)
		memset(hider->data + hider->host, 0, PIP_SIZE);
	hider->host = NO_PIP;
}

static void take_pip(struct hider *hider, const struct xenpt_packet *packet)
{
	bool nr = packet->aux;

	hide(hider);
	if (hider->in_psb || nr)
		hider->guest = nr;
	else if (hider->guest)
		hider->host = packet->offset;
}

/* Code ran on in the host. */
static void take_code(struct hider *hider)
{
	if (hider->in_psb || hider->host == NO_PIP)
		return;
	hider->host = NO_PIP;
	hider->guest = false;
}

static void take(struct hider *hider, const struct xenpt_packet *packet)
{
	switch (packet->type) {
	case XENPT_PACKET_PIP:
		take_pip(hider, packet);
		break;
	case XENPT_PACKET_TNT_8:
	case XENPT_PACKET_TNT_64:
	case XENPT_PACKET_TIP:
	case XENPT_PACKET_FUP:
		take_code(hider);
		break;
	case XENPT_PACKET_PSB:
		hide(hider);
		hider->in_psb = true;
		break;
	case XENPT_PACKET_PSBEND:
		hider->in_psb = false;
		break;
	case XENPT_PACKET_TIP_PGE:
	case XENPT_PACKET_TIP_PGD:
	case XENPT_PACKET_OVF:
	case XENPT_PACKET_BAD:
		hide(hider);
		hider->in_psb = false;
		break;
	}
}

void host_pips_hide(uint8_t *data, size_t size)
{
	struct hider hider = { .data = data, .host = NO_PIP };
	const struct xenpt_packet *packet;
	struct psb_walk walk;

	if (!may_have_host(data, size))
		return;
	psb_walk_init(&walk, data, 0, size);
	while ((packet = psb_walk_next(&walk)))
		take(&hider, packet);
	hide(&hider);
}
