/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libipt's packets as ours: the reference of what a packet says. */
#ifndef TESTS_IPT_PACKET_H
#define TESTS_IPT_PACKET_H

#include <intel-pt.h>

#include "libxenpt/xenpt.h"

static inline uint64_t ipt_ip(const struct pt_packet_ip *ip, uint64_t *last)
{
	switch (ip->ipc) {
	case pt_ipc_suppressed:
		return 0;
	case pt_ipc_update_16:
		return *last = (*last >> 16 << 16) | ip->ip;
	case pt_ipc_update_32:
		return *last = (*last >> 32 << 32) | ip->ip;
	case pt_ipc_sext_48:
		return *last = ip->ip | (ip->ip >> 47 ? 0xffff000000000000 : 0);
	case pt_ipc_update_48:
		return *last = (*last >> 48 << 48) | ip->ip;
	case pt_ipc_full:
		return *last = ip->ip;
	}
	return 0;
}

/*
 * The packet that libipt has decoded to @packet. @last_ip goes from packet to
 * packet. Bits that libipt does not show are left out: see ipt_visible().
 */
static inline struct xenpt_packet ipt_packet(const struct pt_packet *packet,
					     uint64_t *last_ip)
{
	struct xenpt_packet ret = { .size = packet->size };

#define PACKET(t, p, a)                      \
	do {                                 \
		ret.type = XENPT_PACKET_##t; \
		ret.payload = (p);           \
		ret.aux = (a);               \
	} while (0)
#define IP_PACKET(t) \
	PACKET(t, ipt_ip(&packet->payload.ip, last_ip), packet->payload.ip.ipc)
#define PAYLOAD(name) const struct pt_packet_##name *name = &packet->payload.name
	switch (packet->type) {
	case ppt_pad:
		PACKET(PAD, 0, 0);
		break;
	case ppt_psb:
		PACKET(PSB, 0, 0);
		*last_ip = 0;
		break;
	case ppt_psbend:
		PACKET(PSBEND, 0, 0);
		break;
	case ppt_fup:
		IP_PACKET(FUP);
		break;
	case ppt_tip:
		IP_PACKET(TIP);
		break;
	case ppt_tip_pge:
		IP_PACKET(TIP_PGE);
		break;
	case ppt_tip_pgd:
		IP_PACKET(TIP_PGD);
		break;
	case ppt_tnt_8:
		PACKET(TNT_8, packet->payload.tnt.payload, packet->payload.tnt.bit_size);
		break;
	case ppt_tnt_64:
		PACKET(TNT_64, packet->payload.tnt.payload, packet->payload.tnt.bit_size);
		break;
	case ppt_mode: {
		PAYLOAD(mode);
		if (mode->leaf == pt_mol_tsx) {
			PACKET(MODE_TSX, mode->bits.tsx.intx | mode->bits.tsx.abrt << 1,
			       0);
			break;
		}
		switch (pt_get_exec_mode(&mode->bits.exec)) {
		case ptem_16bit:
			PACKET(MODE_EXEC, 0, 16);
			break;
		case ptem_32bit:
			PACKET(MODE_EXEC, 0, 32);
			break;
		case ptem_64bit:
			PACKET(MODE_EXEC, 0, 64);
			break;
		case ptem_unknown:
			PACKET(MODE_EXEC, 0, 0);
			break;
		}
		break;
	}
	case ppt_pip:
		PACKET(PIP, packet->payload.pip.cr3, packet->payload.pip.nr);
		break;
	case ppt_vmcs:
		PACKET(VMCS, packet->payload.vmcs.base, 0);
		break;
	case ppt_cbr:
		PACKET(CBR, packet->payload.cbr.ratio, 0);
		break;
	case ppt_tsc:
		PACKET(TSC, packet->payload.tsc.tsc, 0);
		break;
	case ppt_tma:
		PACKET(TMA, packet->payload.tma.ctc, packet->payload.tma.fc);
		break;
	case ppt_mtc:
		PACKET(MTC, packet->payload.mtc.ctc, 0);
		break;
	case ppt_cyc:
		PACKET(CYC, packet->payload.cyc.value, 0);
		break;
	case ppt_stop:
		PACKET(STOP, 0, 0);
		break;
	case ppt_ovf:
		PACKET(OVF, 0, 0);
		break;
	case ppt_mnt:
		PACKET(MNT, packet->payload.mnt.payload, 0);
		break;
	case ppt_exstop:
		PACKET(EXSTOP, 0, packet->payload.exstop.ip);
		break;
	case ppt_mwait: {
		PAYLOAD(mwait);
		PACKET(MWAIT, mwait->hints | (uint64_t)mwait->ext << 32, 0);
		break;
	}
	case ppt_pwre: {
		PAYLOAD(pwre);
		/* libipt takes bit 3 for HW; the SDM's table says bit 7. */
		PACKET(PWRE, pwre->hw << 3 | pwre->sub_state << 8 | pwre->state << 12, 0);
		break;
	}
	case ppt_pwrx: {
		PAYLOAD(pwrx);
		PACKET(PWRX,
		       pwrx->deepest | pwrx->last << 4 | pwrx->interrupt << 8 |
			       pwrx->store << 10 | pwrx->autonomous << 11,
		       0);
		break;
	}
	case ppt_ptw: {
		PAYLOAD(ptw);
		PACKET(PTW, ptw->payload, (ptw->plc ? 8 : 4) | ptw->ip << 8);
		break;
	}
	case ppt_invalid:
	case ppt_unknown:
		break;
	}
#undef PAYLOAD
#undef IP_PACKET
#undef PACKET
	return ret;
}

/* The bits of a packet's payload that libipt shows. */
static inline uint64_t ipt_visible(unsigned int type)
{
	switch (type) {
	case XENPT_PACKET_MODE_EXEC: /* not IF */
		return 0;
	case XENPT_PACKET_PWRE:
		return 0xff08;
	case XENPT_PACKET_PWRX:
		return 0xdff;
	default:
		return UINT64_MAX;
	}
}

/* Whether our packet says what libipt's does. */
static inline bool ipt_same(const struct xenpt_packet *ours,
			    const struct xenpt_packet *ipt)
{
	return ours->type == ipt->type && ours->size == ipt->size &&
	       ours->aux == ipt->aux &&
	       (ours->payload & ipt_visible(ours->type)) == ipt->payload;
}

#endif
