/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a sub-command is, and what the program lends it. */
#ifndef XENPT_CMD_H
#define XENPT_CMD_H

#include <argp.h>
#include <stdbool.h>
#include <stdio.h>

#include "libxenpt/xenpt.h"

/* Exit statuses: xenpt(1). */
enum xenpt_exit {
	XENPT_EXIT_DONE = 0,
	XENPT_EXIT_FAILED = 1,
	XENPT_EXIT_USAGE = 2,
	XENPT_EXIT_INCOMPLETE = 3, /* --strict: the trace has holes */
};

/* The user's side: data goes to out, talk through the functions. */
struct xenpt_ui {
	FILE *out;  /* standard output, or a pager */
	bool color; /* out takes escape sequences */
	/* A line on standard error: "xenpt: warning: …". Escaped here. */
	void (*warn)(const char *fmt, ...) XENPT_PRINTF(1, 2);
	/* The same without "warning: ". */
	void (*say)(const char *fmt, ...) XENPT_PRINTF(1, 2);
	/* A line in the place of the last one, if there is a terminal; NULL: none. */
	void (*status)(const char *line);
	/*
	 * Work goes on: show "WHAT 12 % …" if it takes over a second and
	 * standard error is a terminal. Cheap: call at will.
	 */
	void (*progress)(const char *what, struct xenpt_progress progress);
	/* Out may go through a pager from here on; call before writing. */
	void (*page)(struct xenpt_ui *ui);
};

/*
 * One per file in cmd/; the options are in the argp, from which help,
 * completion and the manual-page check come. run() gets argv[0] "xenpt NAME".
 */
struct xenpt_cmd {
	const char *name;
	const char *summary; /* one line for "xenpt --help" */
	const struct argp *argp;
	struct xenpt_error *(*run)(struct xenpt_ui *ui, int argc, char **argv,
				   enum xenpt_exit *ret);
};

extern const struct xenpt_cmd xenpt_cmd_check;
extern const struct xenpt_cmd xenpt_cmd_import;
extern const struct xenpt_cmd xenpt_cmd_decode;
extern const struct xenpt_cmd xenpt_cmd_info;
extern const struct xenpt_cmd xenpt_cmd_list;
extern const struct xenpt_cmd xenpt_cmd_record;

#endif
