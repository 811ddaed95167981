/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records a domain: moves trace from its vCPUs' rings to a file, and the code that it
 * reaches.
 *
 *	recorder_create() ─▶ recorder_run() ─▶ recorder_finish() ─▶ recorder_destroy()
 */
#ifndef XENPT_RECORDER_H
#define XENPT_RECORDER_H

#include "cmd/cmd.h"
#include "cmd/record-pages.h"
#include "hv/hv.h"
#include "hv/ring.h"
#include "libxenpt/array.h"
#include "libxenpt/cleanup.h"

/* What ends a recording, besides a signal. */
enum recorder_until {
	RECORDER_UNTIL_EXIT,   /* the guest's end, however it ends */
	RECORDER_UNTIL_CRASH,  /* the same; it is to be a crash */
	RECORDER_UNTIL_SIGNAL, /* nothing else */
};

struct recorder_options {
	struct hv_trace trace;
	bool flight; /* write but what is in the rings at the end */
	bool image;  /* write code and page tables, too */
	enum recorder_until until;
	int64_t duration;  /* ms; 0: any */
	uint64_t max_size; /* bytes of the file; 0: any */
	int signals;       /* a signalfd */
	bool size_given;   /* trace.size is the user's, not the default */
};

/* Why a recording ended. */
enum recorder_end {
	RECORDER_END_NONE,
	RECORDER_END_CRASHED,
	RECORDER_END_ENDED,
	RECORDER_END_SIGNAL,
	RECORDER_END_DURATION,
	RECORDER_END_SIZE,
	RECORDER_END_GIVEN_UP,
	RECORDER_END_INSNS,
	RECORDER_END_ERROR,
};

#define RECORDER_REASONS 16

struct recorder_vcpu {
	uint32_t id;
	struct ring ring;
	unsigned int troubles; /* tables rewritten, faults: too many end its trace */
	bool given_up;
	bool gone;    /* its domain was destroyed, and the file says so */
	bool done;    /* as many instructions as were asked for have run */
	bool offline; /* when its registers were last asked for */
	unsigned int
		broken; /* --flight: why what was there before is lost; 0: it is not */

	uint64_t bytes; /* of trace, read */
	uint64_t shown; /* … when the user last saw it */
	uint64_t gaps[RECORDER_REASONS];

	/* Read, but not written: its code is not all known. */
	ARRAY(uint8_t) held;
	uint64_t held_from; /* bytes that were written before, of those fed */
	int64_t held_since; /* ms */
};

struct recorder {
	struct recorder_options options;
	struct hv_domain *domain;
	struct xenpt_writer *writer;
	struct xenpt_ui *ui;
	struct xenpt_capture *capture; /* NULL: no image */
	struct record_pages *pages;
	ARRAY(struct recorder_vcpu) vcpus;
	uint8_t *staging;
	bool tracing;
	enum recorder_end end;
	const char *reason; /* END_CRASHED, END_ENDED: the domain's; may be NULL */
	int64_t started;    /* ms */
	int64_t shown;      /* when the user last saw how far it is: ms */
	int64_t looked;     /* when all rings were looked at: ms */
	int period;         /* ms between two looks at all rings */
};

/* All must outlive it. */
struct xenpt_error *recorder_create(struct hv_domain *domain, struct xenpt_writer *writer,
				    const struct recorder_options *options,
				    struct xenpt_ui *ui, struct recorder **ret);
void recorder_destroy(struct recorder *recorder);
XENPT_DEFINE_CLEANUP(struct recorder, recorder, recorder_destroy)

/* Trace until something ends it: recorder->end. */
struct xenpt_error *recorder_run(struct recorder *recorder);

/*
 * Stop the trace, and write what is left, also after an error: @err, which is returned,
 * or the first one of finishing.
 */
struct xenpt_error *recorder_finish(struct recorder *recorder, struct xenpt_error *err);

/* Why it ended, "the domain crashed: watchdog", …: @buf. */
#define RECORDER_WHY_MAX 96
const char *recorder_why(const struct recorder *recorder, char buf[RECORDER_WHY_MAX]);

/* Milliseconds, of a clock that is not set. */
int64_t recorder_now(void);

#endif
