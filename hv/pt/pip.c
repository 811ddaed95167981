/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "msr.h"
#include "packet.h"
#include "pip.h"

static uint64_t masked(uint64_t cr3, bool pae)
{
	return cr3 & (pae ? XPT_CR3_MASK_PAE : XPT_CR3_MASK);
}

/* The whole packet, or what the CPU would leave of it, or nothing. */
static bool put(struct xpt_topa *topa, const uint8_t *packet, size_t size)
{
	const uint64_t base = topa->output_base, ptrs = topa->output_mask_ptrs;
	const uint64_t status = topa->status, written = topa->written;
	const uint64_t wraps = topa->wraps;
	const bool interrupt = topa->interrupt;
	enum xpt_topa_result result;
	size_t done;

	result = xpt_topa_write(topa, packet, size, &done);
	if (result == XPT_TOPA_FAULT) {
		/* Back: it is said again from its first byte, where it began. */
		topa->output_base = base;
		topa->output_mask_ptrs = ptrs;
		topa->status = status;
		topa->written = written;
		topa->wraps = wraps;
		topa->interrupt = interrupt;
	}
	return done == size;
}

/*
 * Whether the reader of the stream can be told of a CR3. With PacketByteCnt 0 the entry
 * makes a PSB+; but if ContextEn is clear then, that has no PIP.
 */
static bool is_told(const struct xpt_topa *topa, uint64_t ctl)
{
	return ctl & XPT_CTL_TRACE_EN && ctl & XPT_CTL_OS &&
	       !(topa->status & (XPT_STATUS_ERROR | XPT_STATUS_STOPPED)) &&
	       topa->status >> XPT_STATUS_BYTES_SHIFT & XPT_STATUS_BYTES_MASK;
}

enum xpt_pip_result xpt_pip_inject(struct xpt_pip *pip, struct xpt_topa *topa,
				   uint64_t ctl, uint64_t cr3, bool pae, bool non_root)
{
	uint8_t packet[XPT_PACKET_MAX];

	cr3 = masked(cr3, pae);
	pip->entry_cr3 = cr3;
	if (is_told(topa, ctl) && cr3 == pip->stream_cr3)
		return XPT_PIP_NONE;
	/* Until it is told: the guest may write CR3, unheard of, before the next entry.
	 */
	pip->stream_cr3 = XPT_CR3_UNKNOWN;
	if (!is_told(topa, ctl))
		return XPT_PIP_NONE;
	if (!put(topa, packet, xpt_packet_pip(cr3, pae, non_root, packet)))
		return XPT_PIP_FAILED;
	pip->stream_cr3 = cr3;
	return XPT_PIP_WRITTEN;
}

void xpt_pip_exit(struct xpt_pip *pip, uint64_t ctl, uint64_t cr3, bool pae)
{
	bool announced =
		ctl & XPT_CTL_TRACE_EN && ctl & XPT_CTL_OS && !(ctl & XPT_CTL_CR3_FILTER);

	cr3 = masked(cr3, pae);
	if (cr3 != pip->entry_cr3)
		pip->stream_cr3 = announced ? cr3 : XPT_CR3_UNKNOWN;
}
