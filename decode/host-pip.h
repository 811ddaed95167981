/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PIPs of the host in a guest's trace.
 *
 * Where VMX is not concealed from PT, as on stock Xen, a VM exit that ends tracing writes
 * a PIP with the host's CR3 and NR clear, and the VM entry after it writes none (SDM
 * volume 3, "Packet Generation Scenarios", VM exit with TraceEn cleared by the MSR-load
 * list, VM entry with TraceEn set by it; not seen on hardware):
 *
 *	PSB+ (A, NR) … FUP, PIP (host), TIP.PGD    TIP.PGE … MOV CR3: PIP (B, NR) …
 *	`------------ A ----------------------' off `----- A -----------' `-- B --
 *
 * A decoder that believes it would look for the guest's code in the host. So between
 * PIPs with NR, one without is not looked at, unless code ran right after it: then the
 * trace is of host and guest. Where all are without NR, they are concealed, or there is
 * no guest, and each one counts.
 */
#ifndef DECODE_HOST_PIP_H
#define DECODE_HOST_PIP_H

#include <stddef.h>
#include <stdint.h>

/*
 * Make PADs of the host's PIPs in a span, which starts with a PSB. What is done depends
 * on the span alone: its PSB+ has a PIP if one came before (segment.h).
 */
void host_pips_hide(uint8_t *data, size_t size);

#endif
