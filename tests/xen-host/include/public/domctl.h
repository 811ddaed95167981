/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef XEN_PUBLIC_DOMCTL_H
#define XEN_PUBLIC_DOMCTL_H

#include <xen/types.h>

struct xen_domctl_vmtrace_op {
	uint32_t cmd, vcpu;
	uint64_t key, value;
};

#endif
