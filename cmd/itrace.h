/* SPDX-License-Identifier: GPL-2.0-or-later */
/* perf's letters for what to show: "perf script --itrace=…". */
#ifndef XENPT_ITRACE_H
#define XENPT_ITRACE_H

#include "libxenpt/xenpt.h"

enum itrace_unit {
	ITRACE_INSNS,
	ITRACE_TICKS,
	ITRACE_NS,
};

struct itrace {
	unsigned int rows; /* enum xenpt_row */
	uint64_t period;   /* of instructions; 0: all */
	enum itrace_unit unit;
	uint64_t skip;
	bool timeless;
	char unused[16]; /* letters given that have no effect, each once */
};

/* Parse and check @options. XENPT_ERROR_INVALID: perf would refuse them, too. */
struct xenpt_error *itrace_parse(const char *options, struct itrace *ret);

#endif
