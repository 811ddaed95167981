/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xenpt record: a .xpt file of what a domain executes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include "cmd/cmd.h"
#include "cmd/output.h"
#include "cmd/record-arguments.h"
#include "cmd/record-meter.h"

/* ---- output -------------------------------------------------------------- */

/*
 * A recording is written in place, for what is there when it breaks off counts. An older
 * one is kept under another name: it cannot be made again.
 */
struct output {
	char *path; /* NULL: standard output */
	const char *name;
	int fd;
};

/* After "sim:" or the like; names are whatever who made the domain liked. */
static struct xenpt_error *default_path(const struct hv_info *info, char **ret)
{
	const char *name = info->name && *info->name ? info->name : "trace";
	const char *colon = strrchr(name, ':');
	char *path;

	if (asprintf(&path, "%s.xpt", colon ? colon + 1 : name) < 0)
		return xenpt_error_no_memory();
	for (char *p = path; *p; p++) {
		if (*p == '/' || (unsigned char)*p < ' ')
			*p = '_';
	}
	if (*path == '-' || *path == '.')
		*path = '_';
	*ret = path;
	return NULL;
}

static struct xenpt_error *keep_older(const char *path)
{
	_cleanup_free_ char *older = NULL;
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || !st.st_size)
		return NULL;
	XENPT_TRY(output_check(path));
	if (asprintf(&older, "%s.old", path) < 0) {
		older = NULL;
		return xenpt_error_no_memory();
	}
	XENPT_TRY(output_check(older));
	if (rename(path, older) < 0)
		return xenpt_error_os(errno, "%s: cannot rename it to %s", path, older);
	return NULL;
}

static struct xenpt_error *output_open(const struct record_arguments *arguments,
				       const struct hv_info *info, struct output *ret)
{
	struct output output = { .fd = STDOUT_FILENO, .name = "standard output" };
	_cleanup_free_ char *path = NULL;

	if (arguments->output && strcmp(arguments->output, "-") == 0) {
		XENPT_TRY(output_check_stdout());
		*ret = output;
		return NULL;
	}
	if (arguments->output) {
		path = strdup(arguments->output);
		if (!path)
			return xenpt_error_no_memory();
	} else {
		XENPT_TRY(default_path(info, &path));
	}
	XENPT_TRY(keep_older(path));
	output.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (output.fd < 0)
		return xenpt_error_os(errno, "%s: cannot create it", path);
	output.name = output.path = no_cleanup_ptr(path);
	*ret = output;
	return NULL;
}

static struct xenpt_error *output_close(struct output *output, struct xenpt_error *err)
{
	/* A network's file system may tell only here that it is full. */
	if (output->path && close(output->fd) < 0 && !err)
		err = xenpt_error_os(errno, "%s: cannot write", output->name);
	free(output->path);
	return err;
}

/* ---- signals ------------------------------------------------------------- */

/* What the process was like before. */
struct signals {
	sigset_t mask;
	struct sigaction pipe, too_large;
	int fd;
};

/*
 * Those that end a recording are read from a descriptor, but those that are ignored
 * (nohup, a shell's background) stay so. Those of a failing write are an
 * error of the write.
 */
static struct xenpt_error *signals_init(struct signals *ret)
{
	static const int ending[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction ignore = { .sa_handler = SIG_IGN }, now;
	sigset_t mask;

	sigemptyset(&mask);
	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++) {
		if (sigaction(ending[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
			sigaddset(&mask, ending[i]);
	}
	ret->fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (ret->fd < 0)
		return xenpt_error_os(errno, "signals");
	sigprocmask(SIG_BLOCK, &mask, &ret->mask);
	sigaction(SIGPIPE, &ignore, &ret->pipe);
	sigaction(SIGXFSZ, &ignore, &ret->too_large);
	return NULL;
}

static void signals_deinit(struct signals *signals)
{
	struct signalfd_siginfo info;

	/* A second Ctrl-C has come too late to end anything else. */
	while (read(signals->fd, &info, sizeof(info)) > 0)
		;
	close(signals->fd);
	sigaction(SIGPIPE, &signals->pipe, NULL);
	sigaction(SIGXFSZ, &signals->too_large, NULL);
	sigprocmask(SIG_SETMASK, &signals->mask, NULL);
}

/* ---- recording ----------------------------------------------------------- */

static void close_domain(struct hv_domain **domain)
{
	if (*domain)
		(*domain)->ops->close(*domain);
}

XENPT_DEFINE_CLEANUP(struct xenpt_writer, writer, xenpt_writer_destroy)

static struct xenpt_error *record_to(const struct record_arguments *arguments,
				     struct hv_domain *domain, struct output *output,
				     struct xenpt_ui *ui)
{
	_cleanup_(writer_cleanup) struct xenpt_writer *writer = NULL;
	_cleanup_(recorder_cleanup) struct recorder *recorder = NULL;
	struct xenpt_error *err;

	XENPT_TRY(xenpt_writer_create(output->fd, output->name, &writer));
	XENPT_TRY(recorder_create(domain, writer, &arguments->recorder, ui, &recorder));
	err = recorder_finish(recorder, recorder_run(recorder));
	record_meter_sum_up(recorder, output->path);
	if (!err && arguments->recorder.until == RECORDER_UNTIL_CRASH &&
	    recorder->end == RECORDER_END_ENDED)
		err = xenpt_error_create(XENPT_ERROR_NOT_FOUND,
					 "%s: the domain has ended, but not crashed",
					 arguments->domain);
	return err;
}

/* Before anything is written over. */
static struct xenpt_error *check_domain(const struct record_arguments *arguments,
					const struct hv_info *info)
{
	const vcpu_array *vcpus = &arguments->vcpus;

	if (info->state == HV_CRASHED || info->state == HV_ENDED)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "%s has already %s: there is nothing to record",
					  arguments->domain,
					  info->state == HV_CRASHED ? "crashed"
								    : "ended");
	if (vcpus->count && vcpus->data[vcpus->count - 1] >= info->vcpus)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "%s has no vCPU %u: it has 0 to %u",
					  arguments->domain,
					  vcpus->data[vcpus->count - 1], info->vcpus - 1);
	return NULL;
}

static struct xenpt_error *record(struct record_arguments *arguments, struct xenpt_ui *ui)
{
	_cleanup_(close_domain) struct hv_domain *domain = NULL;
	struct hv_trace *trace = &arguments->recorder.trace;
	struct output output;

	trace->vcpus = arguments->vcpus.data;
	trace->vcpu_count = arguments->vcpus.count;
	trace->watch_code = arguments->recorder.image && !arguments->recorder.flight;
	XENPT_TRY(hv_open(arguments->domain, arguments->backend, &domain));
	XENPT_TRY(check_domain(arguments, domain->info));
	XENPT_TRY(output_open(arguments, domain->info, &output));
	return output_close(&output, record_to(arguments, domain, &output, ui));
}

static struct xenpt_error *run(struct xenpt_ui *ui, int argc, char **argv,
			       enum xenpt_exit *ret)
{
	struct record_arguments arguments = RECORD_ARGUMENTS_DEFAULT;
	struct xenpt_error *err = NULL;
	struct signals signals;

	if (argp_parse(&record_argp, argc, argv, 0, NULL, &arguments))
		err = xenpt_error_no_memory();
	if (!err)
		err = signals_init(&signals);
	if (!err) {
		arguments.recorder.signals = signals.fd;
		err = record(&arguments, ui);
		signals_deinit(&signals);
	}
	array_deinit(&arguments.vcpus);
	return err;
}

const struct xenpt_cmd xenpt_cmd_record = {
	.name = "record",
	.summary = "record what a domain executes",
	.argp = &record_argp,
	.run = run,
};
