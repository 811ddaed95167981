/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands that this program has. */
#ifndef XENPT_COMMAND_H
#define XENPT_COMMAND_H

#include "cmd/cmd.h"

/* In the order of "xenpt --help"; the last is NULL. */
extern const struct xenpt_cmd *const commands[];

extern const struct xenpt_cmd xenpt_cmd_help;
extern const struct xenpt_cmd xenpt_cmd_shell;

/* NULL: there is none. */
const struct xenpt_cmd *command_find(const char *name);

/* The command that a mistyped @name may have meant; NULL: none comes close. */
const struct xenpt_cmd *command_nearest(const char *name);

/* Call @fn with each option that --help shows. */
void command_options(const struct argp *argp,
		     void (*fn)(void *arg, const struct argp_option *option), void *arg);

#endif
