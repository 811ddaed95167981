/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The back-ends, for hv.c: a file each. */
#ifndef HV_BACKEND_H
#define HV_BACKEND_H

#include "hv/hv.h"

extern const struct hv_ops hv_sim_ops;
extern const struct hv_ops hv_xen_ops; /* claims whatever the others do not */

#endif
