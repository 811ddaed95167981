/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* XEN_DOMCTL_vmtrace_op, as a Xen with hv/xen has it. */
#ifndef HV_VPT_OP_H
#define HV_VPT_OP_H

#include "hv/xen-calls.h"
#include "hv/xen/xen/include/public/xenpt.h"

/*
 * @cmd: XEN_DOMCTL_vmtrace_xenpt_*. *@key and *@value go in, and, unless it fails, out.
 * NULL: 0. -1 and errno: it fails.
 */
int vpt_op(xc_interface *xc, uint32_t domid, uint32_t vcpu, uint32_t cmd, uint64_t *key,
	   uint64_t *value);

#endif
