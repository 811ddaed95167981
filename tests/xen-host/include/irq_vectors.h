/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IRQ_VECTORS_H
#define IRQ_VECTORS_H

#define PMU_APIC_VECTOR 0xf9

#endif
