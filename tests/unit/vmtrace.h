/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest of the scripted Xen with trace buffers, whose every byte of trace is known. */
#ifndef TEST_VMTRACE_H
#define TEST_VMTRACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/backend.h"
#include "hv/xen.h"
#include "tests/trace.h"
#include "tests/unit/xen-script.h"

#include <xen/hvm/params.h>
#include <xen/sched.h>

#define GUEST 7
#define BEFORE 0x2800 /* IA32_RTIT_CTL: what somebody has set and left */

struct rig {
	struct xen_script *script;
	struct script_domain *guest;
	size_t size;                    /* of a ring */
	uint64_t written[SCRIPT_VCPUS]; /* bytes, by each vCPU */
};

static inline void rig_init(struct rig *rig, uint32_t vcpus, size_t size)
{
	*rig = (struct rig){ .script = xen_script_create(), .size = size };
	rig->guest = xen_script_add(rig->script, GUEST, "guest");
	rig->guest->vcpu_count = vcpus;
	xen_script_add_memory(rig->script, rig->guest, 16);
	if (size)
		xen_script_add_rings(rig->script, rig->guest, size);
	for (uint32_t i = 0; i < vcpus; i++)
		rig->guest->vcpus[i].ctl = rig->guest->vcpus[i].ctl_before = BEFORE;
}

static inline void rig_deinit(struct rig *rig)
{
	assert_true(xen_script_is_clean(rig->script));
	xen_script_destroy(rig->script);
}

/* Just those vCPUs are traced, a bit each. */
static inline void rig_check_traced(const struct rig *rig, uint32_t vcpus)
{
	for (uint32_t i = 0; i < rig->guest->vcpu_count; i++)
		assert_int_equal(vcpus >> i & 1, rig->guest->vcpus[i].active);
}

/* The byte that a vCPU writes as its @total-th. */
static inline uint8_t rig_byte(uint32_t vcpu, uint64_t total)
{
	uint64_t x = (total + 1 + vcpu * 1000003ull) * UINT64_C(0x9e3779b97f4a7c15);

	return (x ^ x >> 29) >> 32;
}

/* A vCPU runs: @size bytes, if it is neither held nor ended. */
static inline void rig_run(struct rig *rig, uint32_t vcpu, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint8_t byte = rig_byte(vcpu, rig->written[vcpu]);

		rig->written[vcpu] += xen_script_trace(rig->guest, vcpu, &byte, 1);
	}
}

static inline struct hv_domain *rig_open(struct rig *rig)
{
	struct hv_domain *domain;

	check_error(hv_xen_ops.open("guest", NULL, &domain));
	assert_string_equal("vmtrace", domain->ops->name);
	return domain;
}

#define TRACE_ALL                                                        \
	{                                                                \
		.size = 4096, .cr3 = XENPT_CR3_ANY, .mtc = -1, .cyc = -1 \
	}

/* Whoever reads the message knows. */
static inline void check_says(struct xenpt_error *err, const char *what)
{
	if (!err)
		fail_msg("no error, but '%s' was expected", what);
	if (!strstr(err->message, what))
		fail_msg("'%s' lacks '%s'", err->message, what);
	xenpt_error_destroy(err);
}

#endif
