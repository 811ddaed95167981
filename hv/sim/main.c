/* SPDX-License-Identifier: GPL-2.0-only */
/* xenpt-sim: starts embedded domains. See xenpt-sim(1). */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "hv/sim-link.h"
#include "hv/sim/server.h"
#include "libxenpt/cleanup.h"

XENPT_DEFINE_CLEANUP(struct server, server, server_destroy)
XENPT_DEFINE_CLEANUP(struct sim_link, sim_link, sim_link_close)

/* Exit statuses as those of xenpt(1). */
enum {
	EXIT_WRONG_USAGE = 2
};

/* ---- Options ----------------------------------------------------------- */

struct arguments {
	const char *command, *what, *name;
	bool foreground, held;
};

enum {
	KEY_NAME = 0x100,
	KEY_FOREGROUND,
	KEY_HELD,
};

static const struct argp_option options[] = {
	{ "name", KEY_NAME, "NAME", 0,
	  "run: What to call the domain, instead of SCENARIO-PID" },
	{ "foreground", KEY_FOREGROUND, NULL, 0, "run: Stay until the domain ends" },
	{ "held", KEY_HELD, NULL, 0,
	  "run: Wait for a client, and let it start the domain" },
	{},
};

static void check_arguments(struct argp_state *state, const struct arguments *arguments)
{
	const char *command = arguments->command;

	if (!command)
		argp_error(state, "no command given: run, end or list");
	else if (strcmp(command, "list") == 0 && arguments->what)
		argp_error(state, "not understood: '%s'", arguments->what);
	else if (strcmp(command, "run") == 0 && !arguments->what)
		argp_error(state, "no SCENARIO given: 'xenpt-sim list' has them");
	else if (strcmp(command, "end") == 0 && !arguments->what)
		argp_error(state, "no NAME given: 'xenpt list' has them");
	else if (strcmp(command, "list") != 0 && strcmp(command, "run") != 0 &&
		 strcmp(command, "end") != 0)
		argp_error(state, "no command '%s': run, end or list", command);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case KEY_NAME:
		arguments->name = arg;
		return 0;
	case KEY_FOREGROUND:
		arguments->foreground = true;
		return 0;
	case KEY_HELD:
		arguments->held = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num == 0)
			arguments->command = arg;
		else if (state->arg_num == 1)
			arguments->what = arg;
		else
			argp_error(state, "not understood: '%s'", arg);
		return 0;
	case ARGP_KEY_END:
		check_arguments(state, arguments);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "run SCENARIO[,OPTION...]\nend NAME\nlist",
	.doc = "The embedded hypervisor of xenpt: runs a small guest that can be traced "
	       "with 'xenpt record -d sim:NAME'.\v"
	       "'list' prints a line for each scenario: its name, a tab, what it is.",
};

static void print_version(FILE *out, struct argp_state *state)
{
	fprintf(out, "xenpt-sim %s\n", xenpt_version());
}

/* ---- Commands ---------------------------------------------------------- */

static struct xenpt_error *list(void)
{
	const struct sim_scenario *scenario;

	for (scenario = sim_scenarios; scenario->name; scenario++)
		printf("%s\t%s\n", scenario->name, scenario->about);
	return fflush(stdout) ? xenpt_error_os(errno, "standard output") : NULL;
}

/* Whoever is attached to it sees it end. */
static struct xenpt_error *end(const char *name)
{
	_cleanup_(sim_link_cleanup) struct sim_link *link = NULL;

	if (strncmp(name, SIM_PREFIX, strlen(SIM_PREFIX)) == 0)
		name += strlen(SIM_PREFIX);
	XENPT_TRY(sim_link_open(name, true, &link));
	if (kill(link->hello.pid, SIGTERM) < 0)
		return xenpt_error_os(errno, "process %jd", (intmax_t)link->hello.pid);
	return NULL;
}

static struct xenpt_error *open_signals(int *ret)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return xenpt_error_os(errno, "sigprocmask");
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0)
		return xenpt_error_os(errno, "signalfd");
	*ret = fd;
	return NULL;
}

/*
 * What was started in the background belongs to no terminal and no directory. Standard
 * input is a pipe to the parent, which is told that all went well.
 */
static struct xenpt_error *detach(void)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return xenpt_error_os(errno, "/dev/null");
	if (write(STDIN_FILENO, "", 1) < 0)
		return xenpt_error_os(errno, "pipe");
	if (chdir("/") < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		return xenpt_error_os(errno, "/dev/null");
	return NULL;
}

static struct xenpt_error *serve(const struct arguments *arguments)
{
	_cleanup_(server_cleanup) struct server *server = NULL;
	_cleanup_close_ int signals = -1;
	struct sim_scenario scenario;
	char name[SIM_NAME_MAX];

	XENPT_TRY(sim_scenario_parse(arguments->what, &scenario));
	snprintf(name, sizeof(name), "%s-%d", scenario.name, (int)getpid());
	XENPT_TRY(open_signals(&signals));
	XENPT_TRY(server_create(&scenario, arguments->name ? arguments->name : name,
				arguments->held, &server));
	/* Who started it reads this, and attaches. */
	printf("%s\n", arguments->name ? arguments->name : name);
	if (fflush(stdout))
		return xenpt_error_os(errno, "standard output");
	if (!arguments->foreground)
		XENPT_TRY(detach());
	return server_run(server, signals);
}

static int report(struct xenpt_error *err)
{
	char text[4 * SIM_TEXT_MAX];

	if (!err)
		return EXIT_SUCCESS;
	xenpt_escape(err->message, strlen(err->message), text, sizeof(text));
	fprintf(stderr, "xenpt-sim: %s\n", text);
	xenpt_error_destroy(err);
	return EXIT_FAILURE;
}

/*
 * In a session of its own, so that no terminal's Ctrl-C and no shell's end reaches it.
 * The parent ends when the child has its socket, or has failed.
 */
static int serve_in_background(const struct arguments *arguments)
{
	int ends[2], status;
	ssize_t size;
	char byte;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return report(xenpt_error_os(errno, "pipe"));
	pid = fork();
	if (pid < 0)
		return report(xenpt_error_os(errno, "fork"));
	if (!pid) {
		setsid();
		dup2(ends[1], STDIN_FILENO);
		close(ends[0]);
		close(ends[1]);
		return report(serve(arguments));
	}
	close(ends[1]);
	do {
		size = read(ends[0], &byte, 1);
	} while (size < 0 && errno == EINTR);
	close(ends[0]);
	if (size == 1)
		return EXIT_SUCCESS;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return EXIT_FAILURE;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct arguments arguments = {};

	argp_err_exit_status = EXIT_WRONG_USAGE;
	argp_program_version_hook = print_version;
	argp_parse(&argp, argc, argv, 0, NULL, &arguments);
	signal(SIGPIPE, SIG_IGN);
	if (*arguments.command == 'l')
		return report(list());
	if (*arguments.command == 'e')
		return report(end(arguments.what));
	if (arguments.foreground)
		return report(serve(&arguments));
	return serve_in_background(&arguments);
}
