/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef XEN_DOMAIN_H
#define XEN_DOMAIN_H

#include <xen/sched.h>

#endif
