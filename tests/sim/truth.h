/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What xenpt-sim says really ran (hv/sim/truth.h), and what a recording of it decodes to,
 * compared instruction by instruction with address spaces.
 *
 * Both are runs of straight-line code, cut at different places: the one at branches and
 * events, the other at packets, too. So they are walked side by side.
 *
 *	truth	 |-------- A --------|--- B ---|	PSB records say where a trace
 *	decoded	      |--- a --|- a -|--- b ---|	that starts in the middle belongs
 */
#ifndef TESTS_SIM_TRUTH_H
#define TESTS_SIM_TRUTH_H

#include "libxenpt/array.h"
#include "libxenpt/xenpt.h"

/* Instructions ip..last, one after the other in memory. */
struct run {
	uint64_t ip, last, cr3;
	uint64_t offset; /* decoded: about where in the trace, not before it */
	uint32_t insns;
	bool unseen; /* decoded: no PSB+ tells, before a gap, whether it was right */
};

struct truth_psb {
	uint64_t offset; /* in the trace since the start */
	size_t start;    /* how many starts were before it */
	size_t run;      /* the first that ended after it */
};

/* A byte of trace that the guest wrote over, as it was; of the first start. */
struct truth_spoilt {
	uint64_t offset;
	uint8_t byte;
};

/* Of one vCPU; only what was traced. */
struct truth {
	ARRAY(struct run) runs;
	ARRAY(struct truth_psb) psbs;
	ARRAY(struct truth_spoilt) spoilt;
	size_t starts;
};

/* What of all that ran was to be traced. */
struct part {
	uint64_t cr3;      /* XENPT_CR3_ANY: all address spaces */
	bool kernel, user; /* neither: both */
};

struct xenpt_error *truth_read(const char *path, uint32_t vcpu, const struct part *part,
			       struct truth *ret);
void truth_deinit(struct truth *truth);

/* Why a segment starts where it does. */
enum segment_start {
	SEGMENT_FIRST,
	SEGMENT_HOLE,     /* a gap, or an error: it starts at a PSB */
	SEGMENT_OVERFLOW, /* it starts anywhere */
	SEGMENT_CR3,      /* a PSB+ told another CR3 than the trace had */
};

#define NO_PSB UINT64_MAX

/* Decoded without a hole. */
struct segment {
	enum segment_start start;
	size_t first, count; /* runs */
	/*
	 * How many of them packets told. What comes after is where the code leads to
	 * by itself, if nothing happens: before a hole, something may have.
	 */
	size_t certain;
	uint64_t psb;     /* in the file's trace, or NO_PSB */
	uint64_t lost;    /* bytes before it and after the segment before it … */
	size_t restarts;  /* … unless that is not known: the trace may have been started
			     anew */
	uint64_t restart; /* offset in the file's trace, of the last time */
};

struct doubt {
	uint64_t since, offset;
	size_t run; /* the first after it */
};

struct decoded {
	ARRAY(struct run) runs;
	ARRAY(struct segment) segments;
	ARRAY(struct doubt) doubts;
	uint64_t gaps, errors, overflows;
	bool open; /* a hole follows the last segment */
};

struct xenpt_error *decoded_read(const struct xenpt_file *file, uint32_t vcpu,
				 struct decoded *ret);
/*
 * Leave out what may come of bytes of the first piece of trace that the guest wrote
 * over before they were read: that is anything.
 */
struct xenpt_error *decoded_trim(struct decoded *decoded, const struct xenpt_file *file,
				 uint32_t vcpu, const struct truth *truth);
void decoded_deinit(struct decoded *decoded);

/* ---- the comparison ---- */

enum compare_flags {
	COMPARE_WHOLE = 1 << 0, /* no holes, and all that ran */
	COMPARE_PREFIX =
		1 << 1, /* from the first instruction on; the end may be missing */
	COMPARE_HOSTILE = 1 << 2,  /* … up to the first hole */
	COMPARE_DOUBTS = 1 << 3,   /* it must be wrong, and said to be where it is */
	COMPARE_NAMELESS = 1 << 4, /* the trace may not say in which address space */
};

struct difference {
	const char *what; /* NULL: there is none */
	struct run decoded, truth;
	size_t decoded_run, truth_run; /* numbers */
};

struct compared {
	uint64_t runs, insns; /* decoded, that were found to be right */
	uint64_t wrong;       /* COMPARE_DOUBTS: decoded, that were not, but doubted */
	uint64_t unseen;      /* … that were not, and nothing could tell */
	struct difference difference;
};

/* ret->difference.what: the first one. */
void compare(const struct truth *truth, const struct decoded *decoded, unsigned int flags,
	     struct compared *ret);

#endif
