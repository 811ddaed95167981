/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The output engine: puts bytes where IA32_RTIT_OUTPUT_BASE and _MASK_PTRS say, by
 * guest-physical address, and keeps the MSRs as the CPU keeps them. SDM volume 3,
 * "Trace Output": "Single Range Output", "Table of Physical Addresses (ToPA)".
 *
 *	OUTPUT_BASE ──▶ table            regions
 *	                | entry 0 |────▶ | trace … |
 *	   MASK_PTRS:   | entry 1 |────▶ | … trace | ◀─ offset (63:32) of the entry
 *	   index 31:7   | END     |──┐                  at the index
 *	                     ▲───────┘ (or another table)
 *
 * Tables and regions are the guest's, which may rewrite them at any time: an entry
 * is checked each time it is used.
 */
#ifndef HV_PT_TOPA_H
#define HV_PT_TOPA_H

#include "types.h"

/* A ToPA table entry. */
#define XPT_TOPA_END (1ull << 0)
#define XPT_TOPA_INT (1ull << 2)
#define XPT_TOPA_STOP (1ull << 4)
#define XPT_TOPA_SIZE_SHIFT 6 /* 4 KiB << size */
#define XPT_TOPA_SIZE_MASK 0xfull

#define XPT_MASK_PTRS_LOW 0x7full /* IA32_RTIT_OUTPUT_MASK_PTRS 6:0: always 1 */

/* IA32_RTIT_STATUS. */
#define XPT_STATUS_FILTER_EN (1ull << 0)
#define XPT_STATUS_CONTEXT_EN (1ull << 1)
#define XPT_STATUS_TRIGGER_EN (1ull << 2)
#define XPT_STATUS_ERROR (1ull << 4)
#define XPT_STATUS_STOPPED (1ull << 5)
#define XPT_STATUS_BYTES_SHIFT 32 /* PacketByteCnt, 48:32 */
#define XPT_STATUS_BYTES_MASK 0x1ffffull

/*
 * Guest-physical memory. @gpa .. @gpa + @size lie within one 4-KiB page. False: the
 * page is not there, or is not RAM. They are called with @arg only; a read that
 * fails leaves @buf alone.
 */
struct xpt_mem_ops {
	bool (*read)(void *arg, uint64_t gpa, void *buf, size_t size);
	bool (*write)(void *arg, uint64_t gpa, const void *buf, size_t size);
};

struct xpt_topa {
	/* The MSRs. */
	uint64_t output_base;
	uint64_t output_mask_ptrs;
	uint64_t status; /* IA32_RTIT_STATUS */

	bool single_range;        /* RTIT_CTL.ToPA clear */
	uint8_t maxphyaddr;       /* bits of a physical address: above is reserved */
	bool single_entry_tables; /* CPUID.14H.0:ECX[1] clear */

	uint64_t written; /* bytes put out since the engine was initialised */
	/*
	 * Times the position came to the first byte of the first table's first
	 * region again, however many tables are between: laps of a ring.
	 */
	uint64_t wraps;
	bool interrupt; /* an INT region has filled; who sees to it clears it */
	uint64_t fault; /* guest-physical address of the last XPT_TOPA_FAULT */

	const struct xpt_mem_ops *ops;
	void *arg;
	uint64_t first_base; /* where wraps are counted: OUTPUT_BASE at the start */
};

enum xpt_topa_result {
	XPT_TOPA_OK,
	XPT_TOPA_STOPPED, /* a STOP region has filled: STATUS.Stopped */
	XPT_TOPA_ERROR,   /* STATUS.Error: an entry, or MASK_PTRS, is bad */
	/*
	 * topa->fault is not there: an EPT violation of the output. Nothing
	 * of the bytes at and after it was written; once the page is there, put the rest.
	 */
	XPT_TOPA_FAULT,
};

/* From the values of the MSRs; checks nothing before the first byte. */
void xpt_topa_init(struct xpt_topa *topa, const struct xpt_mem_ops *ops, void *arg,
		   uint64_t output_base, uint64_t output_mask_ptrs, uint64_t status,
		   bool single_range, uint8_t maxphyaddr, bool single_entry_tables);

/*
 * Put out @size bytes; *@done_ret gets how many were. Bytes straddle regions and
 * tables as they must. With STATUS.Stopped or .Error set nothing is written.
 * STOPPED with all of them done: they were the last that the region had room for.
 * An END entry is followed as soon as the region before it is full; an error or a
 * fault in what comes next is told when the next byte is put.
 *
 * Each byte counts in STATUS.PacketByteCnt, which saturates: 0 says only that a PSB+
 * is due. Who puts a PSB clears the field just before it.
 */
enum xpt_topa_result xpt_topa_write(struct xpt_topa *topa, const void *data, size_t size,
				    size_t *done_ret);

/*
 * Check what the CPU checks when TraceEn is set ("ToPA Errors"): the entry that the
 * next byte needs, after an END if there is one. OK, STOPPED, ERROR, or FAULT.
 */
enum xpt_topa_result xpt_topa_check(struct xpt_topa *topa);

#endif
