/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenpt-sim is a program of its own, for its licence cannot be that of all who use
 * the library.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "hv/sim-link.h"
#include "libxenpt/cleanup.h"

extern char **environ;

#define OUTPUT_MAX 65536

/* Beside this program; then where a build has it, for a program or one of libtool's. */
static const char *const places[] = { "", "../hv/sim/", "../../hv/sim/",
				      "../../../hv/sim/" };

static struct xenpt_error *find_program(char **ret)
{
	const char *given = getenv("XENPT_SIM");
	char self[4096], *slash, *path;
	ssize_t size;

	if (given && *given) {
		if (access(given, X_OK) < 0)
			return xenpt_error_os(errno, "XENPT_SIM: %s", given);
		path = strdup(given);
		if (!path)
			return xenpt_error_no_memory();
		*ret = path;
		return NULL;
	}
	size = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[size < 0 ? 0 : size] = '\0';
	slash = strrchr(self, '/');
	for (size_t i = 0; slash && i < sizeof(places) / sizeof(places[0]); i++) {
		if (asprintf(&path, "%.*s/%sxenpt-sim", (int)(slash - self), self,
			     places[i]) < 0)
			return xenpt_error_no_memory();
		if (access(path, X_OK) == 0) {
			*ret = path;
			return NULL;
		}
		free(path);
	}
	if (access(XENPT_SIM_PATH, X_OK) < 0)
		return xenpt_error_create(
			XENPT_ERROR_NOT_FOUND,
			"no program xenpt-sim, neither beside this one nor as %s: "
			"build xenpt with Unicorn (libunicorn-dev; configure "
			"--with-unicorn), or say where it is with XENPT_SIM",
			XENPT_SIM_PATH);
	path = strdup(XENPT_SIM_PATH);
	if (!path)
		return xenpt_error_no_memory();
	*ret = path;
	return NULL;
}

/* Start it with @fd as its output and errors. */
static struct xenpt_error *spawn(const char *path, char *const argv[], int fd, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	int errnum;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY,
					 0);
	posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, fd, STDERR_FILENO);
	posix_spawnattr_init(&attr);
	/* A program that waits for signals may have blocked them. */
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	errnum = posix_spawn(ret, path, &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return errnum ? xenpt_error_os(errnum, "%s", path) : NULL;
}

static struct xenpt_error *read_all(int fd, char **ret)
{
	_cleanup_free_ char *text = malloc(OUTPUT_MAX);
	size_t length = 0;
	ssize_t size = 1;

	if (!text)
		return xenpt_error_no_memory();
	while (size && length < OUTPUT_MAX - 1) {
		size = read(fd, text + length, OUTPUT_MAX - 1 - length);
		if (size < 0 && errno != EINTR)
			return xenpt_error_os(errno, "xenpt-sim");
		if (size > 0)
			length += size;
	}
	text[length] = '\0';
	*ret = no_cleanup_ptr(text);
	return NULL;
}

struct xenpt_error *sim_program_run(char *const argv[], char **output_ret)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char *output = NULL;
	_cleanup_close_ int in = -1;
	struct xenpt_error *err;
	int ends[2], status = 0;
	pid_t pid;

	XENPT_TRY(find_program(&path));
	if (pipe2(ends, O_CLOEXEC) < 0)
		return xenpt_error_os(errno, "pipe");
	in = ends[0];
	err = spawn(path, argv, ends[1], &pid);
	close(ends[1]);
	if (err)
		return err;
	err = read_all(in, &output);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return err ?: xenpt_error_os(errno, "%s", path);
	}
	if (err)
		return err;
	if (*output && output[strlen(output) - 1] == '\n')
		output[strlen(output) - 1] = '\0';
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return xenpt_error_create(XENPT_ERROR_INVALID, "%s",
					  *output ? output : "xenpt-sim failed");
	*output_ret = no_cleanup_ptr(output);
	return NULL;
}
