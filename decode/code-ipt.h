/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The code as libipt wants it. */
#ifndef DECODE_CODE_IPT_H
#define DECODE_CODE_IPT_H

#include <intel-pt.h>

#include "flow.h"

/* For one thread; @image must outlive it. */
struct xenpt_error *code_create(const struct xenpt_image *image, struct flow_code **ret);
void code_destroy(struct flow_code *code);

/* How all decoders of the code cut blocks, for they share what libipt caches. */
void code_config(struct pt_config *config);

/* The epoch of what is decoded next: to be said again whenever that may have changed. */
void code_set_epoch(struct flow_code *code, uint32_t epoch);

/* Copy code of an address space, as it is in that epoch; how many bytes there were. */
size_t code_read(const struct flow_code *code, uint64_t cr3, uint64_t address, void *buf,
		 size_t size);

/* For code that runs in 16, 32 or 64 bits; 0: it is not known. */
struct pt_image *code_sections(struct flow_code *code, unsigned int bits);

/*
 * Whether an address space has code of its own at @address. While libipt knows no
 * CR3, it takes that of any.
 */
bool code_has_own(const struct flow_code *code);
bool code_is_own(const struct flow_code *code, uint64_t address);

#endif
