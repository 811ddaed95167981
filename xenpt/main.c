/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libxenpt/cleanup.h"
#include "xenpt/command.h"
#include "xenpt/main.h"
#include "xenpt/term.h"

static struct xenpt_ui ui;
static bool closed;

/* ---- Commands ---------------------------------------------------------- */

static struct xenpt_error *close_once(void)
{
	if (closed)
		return NULL;
	closed = true;
	return term_close(&ui);
}

/* argp exits by itself: "xenpt --help >/dev/full" has failed nevertheless. */
static void at_exit(void)
{
	struct xenpt_error *err = close_once();

	if (!err)
		return;
	term_error(err->message);
	_exit(XENPT_EXIT_FAILED);
}

static void report_unknown(const char *name)
{
	const struct xenpt_cmd *nearest = command_nearest(name);
	_cleanup_free_ char *message = NULL;
	int length;

	if (nearest)
		length =
			asprintf(&message, "there is no command '%s'; did you mean '%s'?",
				 name, nearest->name);
	else
		length = asprintf(&message,
				  "there is no command '%s'; see 'xenpt --help'", name);
	if (length < 0)
		message = NULL;
	term_error(message ? message : "out of memory");
}

int main_command(struct xenpt_ui *command_ui, int argc, char **argv)
{
	const struct xenpt_cmd *cmd = command_find(argv[0]);
	_cleanup_error_ struct xenpt_error *err = NULL;
	_cleanup_error_ struct xenpt_error *close_err = NULL;
	enum xenpt_exit status = XENPT_EXIT_DONE;
	char name[64];

	if (!cmd) {
		report_unknown(argv[0]);
		return XENPT_EXIT_USAGE;
	}
	snprintf(name, sizeof(name), "xenpt %s", cmd->name);
	argv[0] = name;
	err = cmd->run(command_ui, argc, argv, &status);
	if (err && term_pager_left(err)) {
		xenpt_error_destroy(err);
		err = NULL;
	}
	close_err = close_once();
	if (!err)
		err = no_cleanup_ptr(close_err);
	if (!err)
		return status;
	term_error(err->message);
	return XENPT_EXIT_FAILED;
}

/* ---- Options ----------------------------------------------------------- */

enum {
	KEY_COLOR = 0x100,
	KEY_NO_PAGER,
	KEY_LIST_CMDS,
	KEY_LIST_OPTS,
};

enum action {
	ACTION_COMMAND,
	ACTION_LIST_CMDS,
	ACTION_LIST_OPTS,
};

struct arguments {
	enum action action;
	int first; /* the command's index in argv; 0: none */
};

static const struct argp_option options[] = {
	{ "color", KEY_COLOR, "WHEN", 0,
	  "Use colour: always, never, or auto, on a terminal (default)" },
	{ "no-pager", KEY_NO_PAGER, NULL, 0, "Do not show long output in a pager" },
	{ "list-cmds", KEY_LIST_CMDS, NULL, OPTION_HIDDEN, NULL },
	{ "list-opts", KEY_LIST_OPTS, NULL, OPTION_HIDDEN, NULL },
	{},
};

static enum term_color parse_color(struct argp_state *state, const char *arg)
{
	if (strcmp(arg, "auto") == 0)
		return TERM_COLOR_AUTO;
	if (strcmp(arg, "always") == 0)
		return TERM_COLOR_ALWAYS;
	if (strcmp(arg, "never") != 0)
		argp_error(state, "--color is auto, always or never, not '%s'", arg);
	return TERM_COLOR_NEVER;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case KEY_COLOR:
		term_set_color(&ui, parse_color(state, arg));
		return 0;
	case KEY_NO_PAGER:
		term_set_pager(false);
		return 0;
	case KEY_LIST_CMDS:
		arguments->action = ACTION_LIST_CMDS;
		return 0;
	case KEY_LIST_OPTS:
		arguments->action = ACTION_LIST_OPTS;
		return 0;
	case ARGP_KEY_ARG:
		/* The rest is the command's. */
		arguments->first = state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (!arguments->first && arguments->action == ACTION_COMMAND)
			argp_error(state, "no command given");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The commands stand below the options. */
static char *filter_help(int key, const char *text, void *input)
{
	char *list = NULL;
	size_t size, i;
	FILE *fp;

	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	fp = open_memstream(&list, &size);
	if (!fp)
		return (char *)text;
	fputs("Commands:\n", fp);
	for (i = 0; commands[i]; i++)
		fprintf(fp, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\n'xenpt help COMMAND' shows the options of one, xenpt-COMMAND(1) tells "
	      "all of it.",
	      fp);
	fclose(fp);
	return list;
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "COMMAND [ARG...]",
	.doc = "Intel Processor Trace of Xen guests: what a guest executed.\v",
	.help_filter = filter_help,
};

void main_help(void)
{
	struct arguments arguments = {};
	char *argv[] = { (char *)"xenpt", (char *)"--help", NULL };

	argp_parse(&argp, 2, argv, 0, NULL, &arguments);
}

static void print_version(FILE *out, struct argp_state *state)
{
	const struct xenpt_feature *feature;

	fprintf(out, "xenpt %s\n", xenpt_version());
	for (feature = xenpt_features(); feature->name; feature++)
		fprintf(out, "  %-9s %-8s %s\n", feature->name,
			feature->version ? feature->version : "no", feature->purpose);
#ifndef HAVE_READLINE
#define VERSION_READLINE "no"
#endif
#ifndef HAVE_XEN
#define VERSION_XEN "no"
#endif
	fprintf(out, "  %-9s %-8s %s\n", "readline", VERSION_READLINE, "xenpt shell");
	fprintf(out, "  %-9s %-8s %s\n", "xen", VERSION_XEN, "recording guests of Xen");
}

/* ---- For completion and tests ------------------------------------------ */

static void print_option(void *arg, const struct argp_option *option)
{
	const char *value = option->arg ? "=" : "";

	if (option->name)
		fprintf(ui.out, "--%s%s\n", option->name, value);
	if (option->key > ' ' && option->key < 0x7f)
		fprintf(ui.out, "-%c%s\n", option->key, value);
}

static int list_commands(void)
{
	size_t i;

	for (i = 0; commands[i]; i++)
		fprintf(ui.out, "%s\n", commands[i]->name);
	return XENPT_EXIT_DONE;
}

static int list_options(const char *name)
{
	const struct xenpt_cmd *cmd = name ? command_find(name) : NULL;

	if (name && !cmd) {
		report_unknown(name);
		return XENPT_EXIT_USAGE;
	}
	command_options(cmd ? cmd->argp : &argp, print_option, NULL);
	return XENPT_EXIT_DONE;
}

int main(int argc, char **argv)
{
	struct arguments arguments = {};

	term_init(&ui);
	atexit(at_exit);
	argp_err_exit_status = XENPT_EXIT_USAGE;
	argp_program_version_hook = print_version;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &arguments);
	switch (arguments.action) {
	case ACTION_LIST_CMDS:
		return list_commands();
	case ACTION_LIST_OPTS:
		return list_options(arguments.first ? argv[arguments.first] : NULL);
	default:
		return main_command(&ui, argc - arguments.first, argv + arguments.first);
	}
}
