/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The user's terminal: colour, pager, progress meter, warnings. */
#ifndef XENPT_TERM_H
#define XENPT_TERM_H

#include "cmd/cmd.h"

enum term_color {
	TERM_COLOR_AUTO,
	TERM_COLOR_ALWAYS,
	TERM_COLOR_NEVER,
};

/* Call before any file is opened: it sees to it that 0, 1 and 2 are. */
void term_init(struct xenpt_ui *ui);

void term_set_color(struct xenpt_ui *ui, enum term_color color);
void term_set_pager(bool on);

/* A line on standard error: "xenpt: MESSAGE", escaped. */
void term_error(const char *message);

/* Whether an error is only that the user has left the pager. */
bool term_pager_left(const struct xenpt_error *err);

/* Write out and close what went to the user, and wait for the pager. */
struct xenpt_error *term_close(struct xenpt_ui *ui);

#endif
