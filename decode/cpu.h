/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What libipt must know of the CPU. */
#ifndef DECODE_CPU_H
#define DECODE_CPU_H

#include <intel-pt.h>

#include "libxenpt/xenpt.h"

/* A libipt configuration for @cpu, without a buffer. */
void cpu_config(const struct xenpt_cpu *cpu, struct pt_config *ret);

#endif
