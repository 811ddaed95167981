/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hv/vpt-op.h"

int vpt_op(xc_interface *xc, uint32_t domid, uint32_t vcpu, uint32_t cmd, uint64_t *key,
	   uint64_t *value)
{
	struct xen_domctl domctl = {
		.cmd = XEN_DOMCTL_vmtrace_op,
		.domain = (domid_t)domid,
		.u.vmtrace_op = {
			.cmd = cmd,
			.vcpu = vcpu,
			.key = key ? *key : 0,
			.value = value ? *value : 0,
		},
	};

	if (xen_calls->xc_domctl(xc, &domctl) < 0)
		return -1;
	if (key)
		*key = domctl.u.vmtrace_op.key;
	if (value)
		*value = domctl.u.vmtrace_op.value;
	return 0;
}
