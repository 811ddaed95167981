/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <string.h>

#include "xenpt/command.h"

/* clang-format off */
const struct xenpt_cmd *const commands[] = {
	&xenpt_cmd_check,
	&xenpt_cmd_decode,
	&xenpt_cmd_import,
	&xenpt_cmd_info,
	&xenpt_cmd_list,
	&xenpt_cmd_record,
#ifdef HAVE_READLINE
	&xenpt_cmd_shell,
#endif
	&xenpt_cmd_help,
	NULL,
};
/* clang-format on */

const struct xenpt_cmd *command_find(const char *name)
{
	size_t i;

	for (i = 0; commands[i]; i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}

#define NAME_MAX_LENGTH 32

/* Levenshtein's: how many letters to insert, delete or replace. */
static size_t distance(const char *a, const char *b)
{
	size_t row[NAME_MAX_LENGTH + 1], i, j, diagonal, above, best;
	size_t a_length = strlen(a), b_length = strlen(b);

	if (a_length > NAME_MAX_LENGTH || b_length > NAME_MAX_LENGTH)
		return SIZE_MAX;
	for (j = 0; j <= b_length; j++)
		row[j] = j;
	for (i = 1; i <= a_length; i++) {
		diagonal = row[0];
		row[0] = i;
		for (j = 1; j <= b_length; j++) {
			above = row[j];
			best = diagonal + (a[i - 1] != b[j - 1]);
			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = above;
		}
	}
	return row[b_length];
}

const struct xenpt_cmd *command_nearest(const char *name)
{
	const struct xenpt_cmd *nearest = NULL;
	size_t best = 3, d, i;

	for (i = 0; commands[i]; i++) {
		d = distance(name, commands[i]->name);
		if (d < best && d < strlen(commands[i]->name) - 1) {
			best = d;
			nearest = commands[i];
		}
	}
	return nearest;
}

void command_options(const struct argp *argp,
		     void (*fn)(void *arg, const struct argp_option *option), void *arg)
{
	const struct argp_option *o = argp->options;
	const struct argp_child *child = argp->children;

	for (; o && (o->name || o->key || o->doc || o->group); o++) {
		if ((o->name || o->key) && !(o->flags & (OPTION_HIDDEN | OPTION_DOC)))
			fn(arg, o);
	}
	for (; child && child->argp; child++)
		command_options(child->argp, fn, arg);
}
