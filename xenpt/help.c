/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "xenpt/command.h"
#include "xenpt/main.h"

static error_t parse(int key, char *arg, struct argp_state *state)
{
	const char **ret = state->input;

	if (key != ARGP_KEY_ARG || state->arg_num > 0)
		return ARGP_ERR_UNKNOWN;
	*ret = arg;
	return 0;
}

static const struct argp argp = {
	.parser = parse,
	.args_doc = "[COMMAND]",
	.doc = "Show what a command does and which options it has, or list the commands.",
};

static struct xenpt_error *run(struct xenpt_ui *ui, int argc, char **argv,
			       enum xenpt_exit *ret)
{
	const char *name = NULL;
	char *help[] = { NULL, (char *)"--help", NULL };

	argp_parse(&argp, argc, argv, 0, NULL, &name);
	if (!name)
		main_help();
	help[0] = (char *)name;
	*ret = main_command(ui, 2, help);
	return NULL;
}

const struct xenpt_cmd xenpt_cmd_help = {
	.name = "help",
	.summary = "show help on a command",
	.argp = &argp,
	.run = run,
};
