/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The PIP that hardware could not write: where the hypervisor emulates a CR3 write,
 * the VMM "should emulate the missing PIP by writing it into the guest output
 * buffer" (SDM volume 3, "Emulation of Intel PT Traced State").
 *
 * Compare at entry: whatever changed CR3 while the vCPU was out of the guest, it has
 * changed when the vCPU enters again. One place covers MOV CR3 exits, emulated
 * instructions, task switches, writes that were deferred, and those that were denied.
 */
#ifndef HV_PT_PIP_H
#define HV_PT_PIP_H

#include "topa.h"

/* What the stream of a vCPU has told its reader. */
struct xpt_pip {
	uint64_t stream_cr3; /* masked, or XPT_CR3_UNKNOWN: any PIP is news */
	uint64_t entry_cr3;  /* masked, of the last entry: xpt_pip_inject() sets it */
};

enum xpt_pip_result {
	XPT_PIP_NONE,    /* nothing to tell, or nobody to tell it to */
	XPT_PIP_WRITTEN, /* the output engine took it whole */
	XPT_PIP_FAILED,  /* it could not be written: topa says why; the next entry will */
};

/*
 * At VM entry, when the trace is off and will go on: write a PIP if @cr3 is not what
 * the stream announced. @ctl is IA32_RTIT_CTL as the guest will run with it.
 * Nothing is written without TraceEn or OS, with Stopped or Error, or with
 * PacketByteCnt 0, where the PSB+ of the entry tells. With CR3Filter a PIP is written
 * for a CR3 that does not match as well: it ends what the decoder thinks of.
 *
 * After an output fault (FAILED, no STATUS bit) the position is where it was, before
 * the packet; a region with STOP may have cut it, as the CPU would.
 */
enum xpt_pip_result xpt_pip_inject(struct xpt_pip *pip, struct xpt_topa *topa,
				   uint64_t ctl, uint64_t cr3, bool pae, bool non_root);

/*
 * At VM exit, before anything changes @cr3: if the guest wrote it since the entry, the
 * CPU told the stream. For who has lost bytes of the trace: set stream_cr3 to
 * XPT_CR3_UNKNOWN.
 */
void xpt_pip_exit(struct xpt_pip *pip, uint64_t ctl, uint64_t cr3, bool pae);

#endif
