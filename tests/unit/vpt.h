/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest of the scripted Xen with hv/xen. */
#ifndef TEST_VPT_H
#define TEST_VPT_H

#include "hv/pt/msr.h"
#include "hv/vpt.h"
#include "tests/unit/vmtrace.h"

#define VPT_SIZE 16384
/* What VPT_SIZE takes: a table, and its regions. */
#define VPT_PAGES 5

#define VPT_CAPS                                                                    \
	(XENPT_CAP_EPT | XENPT_CAP_PIP | XENPT_CAP_CR3_FILTER | XENPT_CAP_MTC |     \
	 XENPT_CAP_CYC | XENPT_CAP_PTWRITE | XENPT_CAP_TOPA_MULTI | XENPT_CAP_INT | \
	 2u << XENPT_CAP_RANGES_SHIFT)

/* … of a CPU that has no PT. */
#define VPT_CAPS_SOFT \
	((VPT_CAPS & ~XENPT_CAP_EPT) | XENPT_CAP_SOFT | XENPT_CAP_STOCK_SOFT)

#define VPT_ALL                                                              \
	{                                                                    \
		.size = VPT_SIZE, .cr3 = XENPT_CR3_ANY, .mtc = -1, .cyc = -1 \
	}

/* No domain is created for it: it has no buffers. */
static inline void vpt_rig_init(struct rig *rig, uint32_t vcpus)
{
	rig_init(rig, vcpus, 0);
	rig->script->vpt_caps = VPT_CAPS;
	xen_script_add_spares(rig->script, rig->guest, 512);
}

static inline struct hv_domain *vpt_rig_open(struct rig *rig)
{
	struct hv_domain *domain;

	check_error(hv_xen_ops.open("guest", NULL, &domain));
	assert_string_equal("vpt", domain->ops->name);
	return domain;
}

/* The guest writes to its own memory. */
static inline uint64_t *vpt_table(struct rig *rig, uint32_t vcpu)
{
	uint64_t base = rig->guest->vcpus[vcpu].vpt.base;

	return (uint64_t *)xen_script_page(rig->guest, base / BUFFER_PAGE);
}

#endif
