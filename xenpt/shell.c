/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands without "xenpt" before them, with completion and history. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <readline/history.h>
#include <readline/readline.h>

#include "libxenpt/cleanup.h"
#include "xenpt/command.h"
#include "xenpt/main.h"

static const struct argp argp = {
	.doc = "Read commands, and complete and remember them. 'help' lists them, 'quit' "
	       "or the end of the input ends it.",
};

/* ---- Completion: readline's interface is made of globals ------------------ */

/* Readline frees what it is given: one name, or none. */
static char *complete_command(const char *text, int again)
{
	static size_t i;
	const char *name;

	if (!again)
		i = 0;
	while ((name = commands[i] ? commands[i]->name : NULL)) {
		i++;
		if (strncmp(name, text, strlen(text)) == 0)
			return strdup(name);
	}
	return NULL;
}

/* The options of the command that the line begins with. */
static struct {
	char *names[128];
	size_t count;
} found;

static void find_option(void *arg, const struct argp_option *option)
{
	const char *text = arg;
	char *name;

	if (!option->name ||
	    found.count == sizeof(found.names) / sizeof(found.names[0]) ||
	    asprintf(&name, "--%s", option->name) < 0)
		return;
	if (strncmp(name, text, strlen(text)) == 0)
		found.names[found.count++] = name;
	else
		free(name);
}

static char *complete_option(const char *text, int again)
{
	const struct xenpt_cmd *cmd = NULL;
	char *line;

	if (!again) {
		found.count = 0;
		line = strdup(rl_line_buffer);
		if (line)
			cmd = command_find(strtok(line, " \t") ?: "");
		if (cmd)
			command_options(cmd->argp, find_option, (void *)text);
		free(line);
	}
	return found.count ? found.names[--found.count] : NULL;
}

static char **complete(const char *text, int start, int end)
{
	if (start == 0) {
		rl_attempted_completion_over = 1;
		return rl_completion_matches(text, complete_command);
	}
	if (text[0] == '-') {
		rl_attempted_completion_over = 1;
		return rl_completion_matches(text, complete_option);
	}
	return NULL; /* readline goes on with file names */
}

/* ---- Lines ------------------------------------------------------------- */

/* ^C forgets the line, not the session. */
static int drop_line(void)
{
	rl_crlf();
	rl_replace_line("", 0);
	rl_on_new_line();
	rl_redisplay();
	return 0;
}

static void on_interrupt(int sig)
{
}

/* NULL at the end. */
static char *read_line(bool interactive)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	ssize_t length;

	if (interactive)
		return readline("xenpt> ");
	length = getline(&line, &size, stdin);
	if (length < 0)
		return NULL;
	if (length && line[length - 1] == '\n')
		line[length - 1] = '\0';
	return_ptr(line);
}

/*
 * In a process of its own: what a command leaves behind, and argp's way to exit
 * from it, end there.
 */
static struct xenpt_error *run_command(struct xenpt_ui *ui, int argc, char **argv,
				       enum xenpt_exit *ret)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return xenpt_error_os(errno, "fork");
	if (!pid) {
		signal(SIGINT, SIG_DFL);
		exit(main_command(ui, argc, argv));
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return xenpt_error_os(errno, "wait");
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGINT &&
	    WTERMSIG(status) != SIGPIPE)
		ui->warn("'%s' was ended by signal %d", argv[0], WTERMSIG(status));
	*ret = WIFEXITED(status) ? (enum xenpt_exit)WEXITSTATUS(status)
				 : XENPT_EXIT_FAILED;
	return NULL;
}

/*
 * Split @line in place; quotes and \ as in sh(1), and nothing else of it.
 * False: a quote is left open, or there are too many words.
 */
static bool split(char *line, char **words, int max, int *ret)
{
	char *in = line, *out = line, quote;
	int count = 0;

	for (;;) {
		in += strspn(in, " \t");
		if (!*in)
			break;
		if (count == max - 1)
			return false;
		words[count++] = out;
		for (quote = '\0'; *in && (quote || !strchr(" \t", *in)); in++) {
			if (*in == quote)
				quote = '\0';
			else if (!quote && strchr("'\"", *in))
				quote = *in;
			else if (*in == '\\' && quote != '\'' && in[1])
				*out++ = *++in;
			else
				*out++ = *in;
		}
		if (quote)
			return false;
		if (*in)
			in++;
		*out++ = '\0';
	}
	words[count] = NULL;
	*ret = count;
	return true;
}

static struct xenpt_error *run_line(struct xenpt_ui *ui, char *line, bool *quit,
				    enum xenpt_exit *ret)
{
	char *words[256];
	int count;

	if (!split(line, words, sizeof(words) / sizeof(words[0]), &count)) {
		ui->warn("not understood: a quote is left open, or too many words");
		*ret = XENPT_EXIT_USAGE;
		return NULL;
	}
	if (!count)
		return NULL;
	*quit = strcmp(words[0], "quit") == 0;
	return *quit ? NULL : run_command(ui, count, words, ret);
}

static struct xenpt_error *run(struct xenpt_ui *ui, int argc, char **argv,
			       enum xenpt_exit *ret)
{
	struct sigaction interrupt = { .sa_handler = on_interrupt };
	bool interactive = isatty(STDIN_FILENO), quit = false;

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	rl_readline_name = "xenpt";
	rl_variable_bind("expand-tilde", "on");
	rl_outstream = stderr; /* standard output is for data */
	rl_attempted_completion_function = complete;
	rl_signal_event_hook = drop_line;
	if (interactive)
		sigaction(SIGINT, &interrupt, NULL);
	else
		setvbuf(stdin, NULL, _IONBF, 0); /* a child must not read ahead */
	while (!quit) {
		_cleanup_free_ char *line = read_line(interactive);

		if (!line)
			break;
		if (interactive && *line)
			add_history(line);
		XENPT_TRY(run_line(ui, line, &quit, ret));
	}
	return NULL;
}

const struct xenpt_cmd xenpt_cmd_shell = {
	.name = "shell",
	.summary = "read commands from a prompt",
	.argp = &argp,
	.run = run,
};
