/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libxenpt/cleanup.h"
#include "xenpt/term.h"

#define METER_DELAY 1000 /* ms of work before the meter is worth showing */
#define METER_PERIOD 100

/* There is one terminal, and signal handlers know it by no argument. */
static struct {
	const char *pager; /* the command, for messages */
	volatile pid_t pager_pid;
	volatile int pager_fd;
	bool no_pager;
	bool talk_in_pager; /* stderr is the terminal that the pager fills */
	FILE *out;
	struct {
		bool off, shown;
		const char *what;
		int64_t start, drawn; /* ms */
	} meter;
} term;

/* ---- Talk -------------------------------------------------------------- */

static void meter_erase(void)
{
	if (!term.meter.shown)
		return;
	fputs("\r\033[K", stderr);
	term.meter.shown = false;
}

static void say(const char *kind, const char *message)
{
	FILE *out = term.talk_in_pager ? term.out : stderr;
	size_t size = strlen(message), room = 4 * size + 1;
	_cleanup_free_ char *line = malloc(room);

	meter_erase();
	if (line)
		xenpt_escape(message, size, line, room);
	fprintf(out, "xenpt: %s%s\n", kind, line ? line : "out of memory");
}

void term_error(const char *message)
{
	say("", message);
}

static XENPT_PRINTF(1, 2) void ui_warn(const char *fmt, ...)
{
	_cleanup_free_ char *message = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&message, fmt, ap) < 0)
		message = NULL;
	va_end(ap);
	say("warning: ", message ? message : "out of memory");
}

static XENPT_PRINTF(1, 2) void ui_say(const char *fmt, ...)
{
	_cleanup_free_ char *message = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&message, fmt, ap) < 0)
		message = NULL;
	va_end(ap);
	say("", message ? message : "out of memory");
}

/* ---- Progress meter ---------------------------------------------------- */

static int64_t now_ms(void)
{
	struct timespec now;

	/* Coarse, because it costs a few nanoseconds and is asked for often. */
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static void meter_draw(const char *what, struct xenpt_progress progress, int64_t elapsed)
{
	double part = (double)progress.done / (double)progress.total;

	fprintf(stderr, "\r%s %3.0f %%", what, part * 100);
	if (part > 0)
		fprintf(stderr, ", %.0f s left", (double)elapsed * (1 / part - 1) / 1000);
	fputs(" \033[K", stderr);
	fflush(stderr);
}

static void ui_progress(const char *what, struct xenpt_progress progress)
{
	int64_t now;

	if (term.meter.off)
		return;
	now = now_ms();
	if (what != term.meter.what) {
		term.meter.what = what;
		term.meter.start = now;
		term.meter.drawn = 0;
	}
	if (progress.done >= progress.total) {
		meter_erase();
		return;
	}
	if (now - term.meter.start < METER_DELAY || now - term.meter.drawn < METER_PERIOD)
		return;
	term.meter.drawn = now;
	term.meter.shown = true;
	meter_draw(what, progress, now - term.meter.start);
}

/* A line that is longer than the terminal's could not be erased. */
static void ui_status(const char *line)
{
	struct winsize size = {};
	int columns = 80;

	if (term.meter.off)
		return;
	if (!line) {
		meter_erase();
		return;
	}
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
		columns = size.ws_col;
	fprintf(stderr, "\r%.*s\033[K", columns - 1, line);
	fflush(stderr);
	term.meter.shown = true;
}

/* ---- Pager ------------------------------------------------------------- */

/* Else the pager would be left behind, fighting the shell for the terminal. */
static void on_signal(int sig)
{
	close(term.pager_fd);
	waitpid(term.pager_pid, NULL, 0);
	signal(sig, SIG_DFL);
	raise(sig);
}

/* The pager's process; 0 if there is none to be had. */
static pid_t pager_spawn(char *const argv[], int in)
{
	posix_spawn_file_actions_t actions;
	pid_t pid = 0;

	if (posix_spawn_file_actions_init(&actions))
		return 0;
	if (posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO) ||
	    posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ))
		pid = 0;
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

static void ui_page(struct xenpt_ui *ui)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	char *const less[] = { (char *)"less", (char *)"-FRX", NULL };
	const char *pager = getenv("PAGER");
	char *const shell[] = { (char *)"/bin/sh", (char *)"-c", (char *)pager, NULL };
	_cleanup_close_ int in = -1;
	_cleanup_close_ int out = -1;
	int fds[2];
	FILE *fp;
	size_t i;

	if (!isatty(STDOUT_FILENO))
		return;
	/* The data scrolls through where the meter would be. */
	meter_erase();
	term.meter.off = true;
	if (term.no_pager || term.pager_pid ||
	    (pager && (!*pager || strcmp(pager, "cat") == 0)))
		return;
	if (pipe2(fds, O_CLOEXEC))
		return;
	in = fds[0];
	out = fds[1];
	/* What less is told by default, for a PAGER that is less without a word. */
	setenv("LESS", "FRX", 0);
	fp = fdopen(out, "w");
	if (!fp)
		return;
	out = -1;
	term.pager = pager ? pager : less[0];
	term.pager_fd = fds[1];
	term.pager_pid = pager_spawn(pager ? shell : less, in);
	if (!term.pager_pid) {
		fclose(fp);
		return;
	}
	signal(SIGPIPE, SIG_IGN); /* term_pager_left() */
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], on_signal);
	ui->out = term.out = fp;
	term.talk_in_pager = isatty(STDERR_FILENO);
}

bool term_pager_left(const struct xenpt_error *err)
{
	return term.pager_pid && err->code == XENPT_ERROR_OS && err->errnum == EPIPE;
}

static struct xenpt_error *pager_close(struct xenpt_ui *ui)
{
	int status = 0, failed;

	term.talk_in_pager = false;
	failed = fclose(ui->out) ? errno : 0;
	ui->out = term.out = stdout;
	while (waitpid(term.pager_pid, &status, 0) < 0 && errno == EINTR)
		;
	term.pager_pid = 0;
	/* What sh(1) says of a command that cannot be run: nothing was shown. */
	if (WIFEXITED(status) && WEXITSTATUS(status) >= 126)
		return xenpt_error_create(XENPT_ERROR_NOT_FOUND,
					  "PAGER: '%s' cannot be run", term.pager);
	if (failed && failed != EPIPE)
		return xenpt_error_os(failed, "pager");
	return NULL;
}

/* ---- All of it --------------------------------------------------------- */

/*
 * A file opened as number 1 would get our output, were 1 closed. What stands in
 * for it cannot be used either, but says so.
 */
static void open_standard_fds(void)
{
	int fd;

	for (fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
		    open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0)
			_exit(XENPT_EXIT_FAILED);
	}
}

static bool is_dumb(void)
{
	const char *name = getenv("TERM");

	return !name || !*name || strcmp(name, "dumb") == 0;
}

void term_set_color(struct xenpt_ui *ui, enum term_color color)
{
	const char *no_color = getenv("NO_COLOR"); /* https://no-color.org */

	if (color == TERM_COLOR_AUTO)
		ui->color =
			!(no_color && *no_color) && !is_dumb() && isatty(STDOUT_FILENO);
	else
		ui->color = color == TERM_COLOR_ALWAYS;
}

void term_set_pager(bool on)
{
	term.no_pager = !on;
}

void term_init(struct xenpt_ui *ui)
{
	open_standard_fds();
	/* Also on a terminal: many short writes are slow, and the meter is there. */
	setvbuf(stdout, NULL, _IOFBF, 64 * 1024);
	term.out = stdout;
	term.meter.off = is_dumb() || !isatty(STDERR_FILENO);
	*ui = (struct xenpt_ui){
		.out = stdout,
		.warn = ui_warn,
		.say = ui_say,
		.status = ui_status,
		.progress = ui_progress,
		.page = ui_page,
	};
	term_set_color(ui, TERM_COLOR_AUTO);
}

struct xenpt_error *term_close(struct xenpt_ui *ui)
{
	_cleanup_error_ struct xenpt_error *err = NULL;
	bool failed;

	meter_erase();
	if (term.pager_pid)
		err = pager_close(ui);
	/* A disk may be full, or a server gone, only when the data gets there. */
	failed = ferror(stdout);
	errno = 0;
	if (fclose(stdout) || failed) {
		if (!err)
			err = errno ? xenpt_error_os(errno, "standard output")
				    : xenpt_error_create(XENPT_ERROR_OS,
							 "standard output: cannot write");
	}
	return_ptr(err);
}
