/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef XEN_PARAM_H
#define XEN_PARAM_H

/* What Xen's start looks at: host_power_on() and host_boot() call it. */
#define custom_param(name, function) \
	int (*const host_param_##function)(const char *s) = (function)
#define __initcall(function) int (*const host_init_##function)(void) = (function)

extern int (*const host_param_parse_xenpt)(const char *s);
extern int (*const host_init_soft_init)(void);

#endif
