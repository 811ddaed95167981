/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What really ran: a file that xenpt-sim writes and tests read. Records in the order
 * in which things happened, of all vCPUs.
 */
#ifndef HV_SIM_TRUTH_H
#define HV_SIM_TRUTH_H

#include <stdint.h>

enum truth_type {
	/*
	 * Instructions ip..last retired, one after the other in memory, in cr3; they end
	 * at a branch (taken or not), a change of CR3, an event, a VM exit, or where one
	 * of the records below comes between. What the hypervisor emulates (CPUID, HLT,
	 * I/O, hypercalls, CR3 writes that exit) does not retire, and INT n is an event.
	 * REP is one instruction.
	 */
	TRUTH_BLOCK = 1,
	/* The trace is started anew: setup or reset. Offsets count from here. */
	TRUTH_START,
	/* A PSB was put out at offset (of the vCPU's bytes since TRUTH_START). */
	TRUTH_PSB,
	/* Tracing of the vCPU was switched off for good. */
	TRUTH_STOP,
	/*
	 * The guest wrote over a byte of the trace, at offset, which was last. Told only
	 * while code is watched, and of the regions that the table had at TRUTH_START.
	 */
	TRUTH_SPOILT,
};

struct truth_record {
	uint8_t type;
	uint8_t traced; /* BLOCK: TraceEn was set, by the client */
	uint16_t vcpu;
	uint32_t insns;
	uint64_t cr3; /* masked */
	uint64_t ip;  /* PSB, SPOILT: offset */
	uint64_t last;
};

#endif
