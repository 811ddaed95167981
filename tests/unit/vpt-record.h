/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole recordings of a guest of the scripted Xen with hv/xen. */
#ifndef TEST_VPT_RECORD_H
#define TEST_VPT_RECORD_H

#include "tests/unit/vmtrace-record.h"
#include "tests/unit/vpt.h"

static inline void vpt_recording_init(struct recording *r, uint32_t vcpus)
{
	recording_init(r, vcpus, 0);
	r->rig.script->vpt_caps = VPT_CAPS;
	xen_script_add_spares(r->rig.script, r->rig.guest, 512);
	r->options.trace.size = VPT_SIZE;
	/* It runs on twice for each look at it: before each position. */
	r->end_at = 30;
}

#endif
