/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_HVM_IO_H
#define ASM_HVM_IO_H

#include <xen/types.h>

/* A device that Xen itself is. */
bool hvm_mmio_internal(paddr_t gpa);

#endif
