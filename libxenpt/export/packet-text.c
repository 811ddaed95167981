/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "packet-text.h"

static void put_hex(struct xenpt_out *out, const char *what, uint64_t value)
{
	out_str(out, what);
	out_str(out, "0x");
	out_hex(out, value);
}

static void put_dec(struct xenpt_out *out, const char *what, uint64_t value)
{
	out_str(out, what);
	out_dec(out, value);
}

void xenpt_packet_tnt(struct xenpt_out *out, const struct xenpt_packet *packet)
{
	unsigned int count = packet->aux < 64 ? packet->aux : 64;

	while (count--)
		out_char(out, packet->payload >> count & 1 ? 'T' : 'N');
}

static void put_flow(struct xenpt_out *out, const struct xenpt_packet *packet)
{
	switch (packet->type) {
	case XENPT_PACKET_TNT_8:
	case XENPT_PACKET_TNT_64:
		xenpt_packet_tnt(out, packet);
		break;
	case XENPT_PACKET_PIP:
		put_hex(out, "cr3 ", packet->payload);
		put_dec(out, " nr ", packet->aux);
		break;
	case XENPT_PACKET_VMCS:
		put_hex(out, "", packet->payload);
		break;
	case XENPT_PACKET_MODE_EXEC:
		put_dec(out, "", packet->aux);
		put_dec(out, "-bit if ", packet->payload);
		break;
	case XENPT_PACKET_MODE_TSX:
		out_str(out, packet->payload & 2   ? "aborted"
			     : packet->payload & 1 ? "in a transaction"
						   : "in no transaction");
		break;
	default: /* those with an IP */
		if (!packet->aux) {
			out_str(out, "(no IP)");
			break;
		}
		put_hex(out, "", packet->payload);
		put_dec(out, " ipbytes ", packet->aux);
	}
}

static void put_log(struct xenpt_out *out, const struct xenpt_packet *packet)
{
	uint64_t payload = packet->payload;

	switch (packet->type) {
	case XENPT_PACKET_PTW:
		put_hex(out, "", payload);
		put_dec(out, " bytes ", packet->aux & 0xff);
		break;
	case XENPT_PACKET_MWAIT:
		put_hex(out, "hints ", payload & 0xffffffff);
		put_hex(out, " extensions ", payload >> 32);
		break;
	case XENPT_PACKET_BBP:
		put_dec(out, "type ", payload);
		put_dec(out, " bytes ", packet->aux ? 4 : 8);
		break;
	case XENPT_PACKET_BIP:
		put_dec(out, "id ", packet->aux);
		put_hex(out, " ", payload);
		break;
	case XENPT_PACKET_CFE:
		put_dec(out, "type ", packet->aux & 0xff);
		put_dec(out, " vector ", payload);
		break;
	case XENPT_PACKET_EVD:
		put_dec(out, "type ", packet->aux);
		put_hex(out, " ", payload);
		break;
	case XENPT_PACKET_EXSTOP:
	case XENPT_PACKET_BEP:
		break;
	default: /* PWRE, PWRX, MNT */
		put_hex(out, "", payload);
	}
}

static bool has_ip_bit(const struct xenpt_packet *packet)
{
	switch (packet->type) {
	case XENPT_PACKET_PTW:
	case XENPT_PACKET_CFE:
		return packet->aux >> 8;
	case XENPT_PACKET_EXSTOP:
	case XENPT_PACKET_BEP:
		return packet->aux;
	default:
		return false;
	}
}

void xenpt_packet_text(struct xenpt_out *out, const struct xenpt_packet *packet,
		       size_t column)
{
	size_t begin = out->size;

	if (begin < column)
		out_fill(out, column - begin);
	out_char(out, ' ');
	column = out->size;
	switch (packet->type) {
	case XENPT_PACKET_BAD:
		out_grouped(out, packet->size);
		out_str(out, packet->size == 1 ? " byte that is no packet"
					       : " bytes that are no packets");
		break;
	case XENPT_PACKET_GAP:
		out_str(out, xenpt_gap_reason_name(packet->aux));
		if (packet->payload) {
			out_str(out, ", bytes lost: ");
			out_grouped(out, packet->payload);
		}
		break;
	case XENPT_PACKET_TSC:
	case XENPT_PACKET_CYC:
	case XENPT_PACKET_CBR:
		out_dec(out, packet->payload);
		break;
	case XENPT_PACKET_MTC:
		put_hex(out, "ctc ", packet->payload);
		break;
	case XENPT_PACKET_TMA:
		put_hex(out, "ctc ", packet->payload);
		put_hex(out, " fast ", packet->aux);
		break;
	case XENPT_PACKET_PAD:
	case XENPT_PACKET_PSB:
	case XENPT_PACKET_PSBEND:
	case XENPT_PACKET_OVF:
	case XENPT_PACKET_STOP:
		break;
	default:
		if (packet->type < XENPT_PACKET_TSC)
			put_flow(out, packet);
		else
			put_log(out, packet);
	}
	if (has_ip_bit(packet))
		out_str(out, out->size > column ? " (an IP follows)" : "(an IP follows)");
	if (out->size == column)
		out->size = begin; /* no payload: no blanks at the line's end */
}
