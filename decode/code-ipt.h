/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The code of all address spaces, as libipt's decoders read it. */
#ifndef DECODE_CODE_IPT_H
#define DECODE_CODE_IPT_H

#include <intel-pt.h>

#include "flow.h"
#include "libxenpt/array.h"

/* Addresses at which an address space has code of its own. */
struct code_range {
	uint64_t begin, end;
};

struct flow_code {
	struct pt_image_section_cache *cache;
	struct pt_image *sections;
	const struct xenpt_image *image;
	ARRAY(struct code_range) own; /* of any space; in order, apart */
};

struct xenpt_error *code_ipt_create(const struct xenpt_image *image,
				    struct flow_code **ret);
void code_ipt_destroy(struct flow_code *code);

/*
 * Whether which code is at @address depends on the address space. While libipt
 * knows of none, it takes the code of the space that comes first.
 */
bool code_ipt_is_own(const struct flow_code *code, uint64_t address);

#endif
