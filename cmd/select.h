/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a trace the user asked for: the values of --vcpu, --time, --ip, … */
#ifndef XENPT_SELECT_H
#define XENPT_SELECT_H

#include "libxenpt/array.h"
#include "libxenpt/xenpt.h"

/* Decimal digits and nothing else. */
bool select_number(const char *arg, uint64_t *ret);

/* Hexadecimal digits, with or without 0x, and nothing else. */
bool select_address(const char *arg, uint64_t *ret);

typedef ARRAY(uint32_t) vcpu_array;

/* "0,2-3" -> sorted ids without repetition. */
struct xenpt_error *select_vcpus(const char *arg, vcpu_array *ret);

struct time_bound {
	bool given;
	bool relative; /* nanoseconds since the first time in the trace */
	uint64_t value;
};

/* "A..B": TSC ticks, or since the first time with a unit: ns, us, ms, s. */
struct xenpt_error *select_time(const char *arg, struct time_bound ret[2]);

/* Ticks in @ns nanoseconds, of a clock that is known; at most UINT64_MAX. */
uint64_t select_ticks(uint64_t ns, const struct xenpt_clock *clock);

/* Set the ends of @filter's time. @first: the first time in the trace. */
struct xenpt_error *select_time_apply(const struct time_bound bounds[2], uint64_t first,
				      const struct xenpt_clock *clock,
				      struct xenpt_filter *filter);

/* "LO..HI" -> the ends, inclusive, of @filter's addresses. False: it is none. */
bool select_range(const char *arg, struct xenpt_filter *filter);

/* The same for the code of a function that @filter's address space has. */
struct xenpt_error *select_symbol(const char *name, const struct xenpt_symtab *symtab,
				  struct xenpt_filter *filter);

#endif
