/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that a PT engine writes its trace to: a single range, or tables in it. */
#ifndef TEST_PT_TRACE_H
#define TEST_PT_TRACE_H

#include <string.h>

#include "hv/pt/msr.h"
#include "hv/pt/topa.h"

#define TRACE_BASE 0x10000000u
#define TRACE_SIZE (4u << 20)

struct pt_trace {
	struct xpt_topa topa;
	struct xpt_msrs msrs;
	bool missing; /* the pages are not there */
	uint8_t data[TRACE_SIZE];
};

static bool pt_trace_read(void *arg, uint64_t gpa, void *buf, size_t size)
{
	const struct pt_trace *trace = arg;

	memcpy(buf, trace->data + (gpa - TRACE_BASE), size);
	return true;
}

static bool pt_trace_write(void *arg, uint64_t gpa, const void *buf, size_t size)
{
	struct pt_trace *trace = arg;

	if (trace->missing)
		return false;
	memcpy(trace->data + (gpa - TRACE_BASE), buf, size);
	return true;
}

static inline void pt_trace_init(struct pt_trace *trace, uint64_t ctl)
{
	static const struct xpt_mem_ops ops = { pt_trace_read, pt_trace_write };

	trace->missing = false;
	trace->msrs = (struct xpt_msrs){ .ctl = ctl | XPT_CTL_TRACE_EN };
	xpt_topa_init(&trace->topa, &ops, trace, TRACE_BASE, TRACE_SIZE - 1, 0, true, 39,
		      false);
}

#endif
