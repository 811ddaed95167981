/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What main.c alone does: print errors, decide on exit statuses. */
#ifndef XENPT_MAIN_H
#define XENPT_MAIN_H

#include "cmd/cmd.h"

/*
 * Run the command argv[0] to its end: errors are printed, standard output is
 * closed. Returns the exit status, or exits.
 */
int main_command(struct xenpt_ui *ui, int argc, char **argv);

/* "xenpt --help", which exits. */
void main_help(void);

#endif
