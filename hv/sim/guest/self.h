/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * scenario=self: where the traces are that the guest made of itself, by its own Processor
 * Trace, and which entries of its log (path.h) were made meanwhile. All is in the log's 2
 * MiB: this behind struct path_log, tables and regions behind the entries.
 */
#ifndef HV_SIM_GUEST_SELF_H
#define HV_SIM_GUEST_SELF_H

#include "path.h"

#define SELF_BASE (PATH_BASE + 0x800)      /* guest-physical: struct self_log */
#define SELF_MEMORY (PATH_BASE + 0x110000) /* tables and regions */

#define SELF_MAGIC 0x63617274666c6573 /* "selftrac" */

enum self_trace_id {
	SELF_HELD, /* of user mode alone, while dom0 looks at it: next to nothing */
	SELF_STOP, /* of the kernel, until a region with STOP is full */
	SELF_WAYS, /* of the rounds of all processes */
	SELF_TRACES,
};

struct self_log {
	uint64_t magic;
	uint32_t go; /* the guest is at step N until this is at least N: dom0 writes it */
	uint32_t reserved;
	struct self_trace {
		uint64_t table;          /* guest-physical: the first ToPA table */
		uint64_t base, pointers; /* OUTPUT_BASE and MASK_PTRS at its end */
		uint32_t first,
			last; /* entries of the log; last 0: it is not at its end */
	} traces[SELF_TRACES];
};

#endif
