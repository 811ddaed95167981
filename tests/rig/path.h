/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest with scenario=paths logged of its own way (hv/sim/guest/path.h), and what
 * a recording of it decodes to, entry by entry.
 *
 * That an entry is seen takes code that calls the log function of the process whose CR3
 * the trace told: each program's is at another address, and other code is there in the
 * other programs. So what is seen was decoded with the right program's code.
 *
 *	log	 | … 4711 4712 4713 4714 … |	numbered; a beacon tells the number
 *	decoded	     |--piece--|  |-piece-|	where there is no hole
 */
#ifndef TESTS_RIG_PATH_H
#define TESTS_RIG_PATH_H

#include "hv/hv.h"
#include "hv/sim/guest/path.h"
#include "libxenpt/array.h"

/* ---- the log, as a file: path-log.c -------------------------------------- */

struct path_text {
	struct path_log header;
	struct path_entry *entries; /* by slot; number 0: not there */
};

struct xenpt_error *path_log_copy(struct xenpt_mem *mem, FILE *out);
struct xenpt_error *path_log_read(const char *path, struct path_text *ret);
void path_text_deinit(struct path_text *text);
/* NULL: it is not in the log, being too old, not yet, or just being written. */
const struct path_entry *path_text_find(const struct path_text *text, uint64_t number);
/* NULL: no process has it. */
const struct path_space *path_text_space(const struct path_text *text, uint64_t cr3);

/* ---- what was decoded: path-seen.c --------------------------------------- */

struct path_seen {
	uint64_t address; /* 0: the call was before the piece */
	uint64_t cr3;
	uint64_t offset; /* in the trace, or a little before it */
};

struct path_piece {
	size_t first, count;
	size_t certain; /* of them; the rest is where code leads to if nothing happens */
	bool open;      /* a hole follows */
};

struct path_doubt {
	uint64_t since, to; /* offsets */
};

struct path_error {
	uint64_t offset;
	bool code; /* what does not fit, as another process' does not */
};

struct path_decoded {
	ARRAY(struct path_seen) seen;
	ARRAY(struct path_piece) pieces;
	ARRAY(struct path_doubt) doubts;
	ARRAY(struct path_error) errors;
	uint64_t insns, gaps, overflows;
};

/* Of vCPU 0. @only: nothing else was traced, and no PIP tells whose it is; or NULL. */
struct xenpt_error *path_decode(const struct xenpt_file *file,
				const struct path_text *text,
				const struct path_space *only, struct path_decoded *ret);
void path_decoded_deinit(struct path_decoded *decoded);

/* ---- the comparison: path-compare.c --------------------------------------- */

struct path_result {
	uint64_t compared, spaces, changes;
	uint64_t kernel;      /* of those compared */
	uint64_t older;       /* decoded, but not in the log any more */
	uint64_t newer;       /* … not in the log yet, but certain */
	uint64_t unknown;     /* … in the log, but the call or the entry is missing */
	uint64_t lost;        /* … in pieces without a beacon */
	uint64_t first, last; /* numbers */
	uint64_t differences;
	/* Of them and of errors, those that no doubt of the recording explains. */
	uint64_t undoubted;
};

/* The entries that were compared, as they are counted. */
struct path_count {
	const struct path_text *text;
	uint64_t last_cr3;
	bool spaces[PATH_SPACES];
	struct path_result *ret;
};
void path_count_add(struct path_count *count, const struct path_seen *seen,
		    uint64_t number);

/* Prints the first differences. */
void path_compare(const struct path_text *text, const struct path_decoded *decoded,
		  struct path_result *ret);

/* ---- a part of the log: path-part.c --------------------------------------- */

/*
 * What was recorded of one privilege level: the entries of the kernel or, if @only is
 * given, of that process, one behind the other.
 */
struct xenpt_error *path_compare_part(const struct path_text *text,
				      const struct path_space *only,
				      const struct path_decoded *decoded,
				      struct path_result *ret);

#endif
