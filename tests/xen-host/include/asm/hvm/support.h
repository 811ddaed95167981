/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_HVM_SUPPORT_H
#define ASM_HVM_SUPPORT_H

#include <asm/processor.h>

typedef struct {
	unsigned long linear;
	int ec;
} pagefault_info_t;

enum hvm_translation_result {
	HVMTRANS_okay,
	HVMTRANS_bad_linear_to_gfn,
	HVMTRANS_bad_gfn_to_mfn
};

/* Of the vCPU that is current. */
enum hvm_translation_result hvm_copy_from_guest_linear(void *buf, unsigned long address,
						       unsigned int size, uint32_t pfec,
						       pagefault_info_t *info);
enum hvm_translation_result hvm_copy_to_guest_linear(unsigned long address,
						     const void *buf, unsigned int size,
						     uint32_t pfec,
						     pagefault_info_t *info);

#endif
