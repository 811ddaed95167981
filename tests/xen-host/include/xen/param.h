/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef XEN_PARAM_H
#define XEN_PARAM_H

/* An option of Xen's command line: host_boot() sets it. */
#define boolean_param(name, variable) bool *const host_param_##variable = &(variable)

extern bool *const host_param_opt_xenpt;

#endif
