/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xenpt record: a .xpt file of what a domain executes. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include "cmd/cmd.h"
#include "cmd/output.h"
#include "cmd/record-meter.h"
#include "cmd/recorder.h"
#include "cmd/select.h"

#define BUFFER_DEFAULT (4 << 20)
#define BUFFER_MIN (4 << 10)
#define BUFFER_MAX (UINT64_C(64) << 30)

enum {
	KEY_VCPU = 0x100,
	KEY_BACKEND,
	KEY_STREAM,
	KEY_FLIGHT,
	KEY_LOSSLESS,
	KEY_KERNEL,
	KEY_USER,
	KEY_CR3,
	KEY_FILTER,
	KEY_TSC,
	KEY_MTC,
	KEY_CYC,
	KEY_PTW,
	KEY_DURATION,
	KEY_MAX_SIZE,
	KEY_NO_IMAGE,
	KEY_UNTIL,
	KEY_TRIPLE_FAULT,
	KEY_INSNS,
	KEY_NO_PIP,
};

enum {
	GROUP_DOMAIN = 1,
	GROUP_WHAT,
	GROUP_TIME,
	GROUP_HOW,
	GROUP_END,
	GROUP_OUTPUT,
};

static const struct argp_option options[] = {
	{ NULL, 0, NULL, 0, "The domain:", GROUP_DOMAIN },
	{ "domain", 'd', "DOMAIN", 0, "Its name; 'xenpt list' shows them" },
	{ "vcpu", KEY_VCPU, "LIST", 0, "Only these vCPUs, as in 0,2-3" },
	{ "backend", KEY_BACKEND, "NAME", 0,
	  "What is to trace it: sim, vmtrace, vpt [the best that can]" },
	{ NULL, 0, NULL, 0, "What to trace [all]:", GROUP_WHAT },
	{ "kernel", KEY_KERNEL, NULL, 0, "Code of the kernel (CPL 0)" },
	{ "user", KEY_USER, NULL, 0, "Code of user programs (CPL above 0)" },
	{ "cr3", KEY_CR3, "CR3", 0, "Only the address space with this CR3, in hex" },
	{ "filter", KEY_FILTER, "LO..HI", 0,
	  "Only code from LO to HI, in hex; up to four times" },
	{ "ptw", KEY_PTW, NULL, 0, "Also what programs put there by PTWRITE" },
	{ NULL, 0, NULL, 0, "Time in the trace [none]:", GROUP_TIME },
	{ "tsc", KEY_TSC, NULL, 0, "The TSC, now and then" },
	{ "mtc", KEY_MTC, "N", 0, "Each 2^N ticks of the crystal clock; with the TSC" },
	{ "cyc", KEY_CYC, "N", 0, "Cycles, no more often than threshold N says" },
	{ NULL, 0, NULL, 0, "How to record:", GROUP_HOW },
	{ "stream", KEY_STREAM, NULL, 0, "Write the trace as it comes (default)" },
	{ "flight", KEY_FLIGHT, NULL, 0,
	  "Write what the buffers hold when the recording ends" },
	{ "lossless", KEY_LOSSLESS, NULL, 0,
	  "A vCPU whose buffer is full waits until it was read" },
	{ "buffer", 'b', "SIZE", 0, "Of each vCPU, in bytes or with k, M, G [4M]" },
	{ "no-image", KEY_NO_IMAGE, NULL, 0, "Leave out code and page tables" },
	{ "no-pip", KEY_NO_PIP, NULL, 0,
	  "Have the hypervisor write no PIPs, to see what is wrong then" },
	{ NULL, 0, NULL, 0,
	  "When to end, besides SIGINT, SIGTERM and SIGHUP:", GROUP_END },
	{ "until", KEY_UNTIL, "WHAT", 0,
	  "exit: the guest's end (default); crash: the same, and it must be a crash; "
	  "signal: nothing else" },
	{ "catch-triple-fault", KEY_TRIPLE_FAULT, NULL, 0,
	  "A triple fault is a crash meanwhile, not a reboot; Xen only" },
	{ "duration", KEY_DURATION, "TIME", 0, "After so long: in s, or with ms, s" },
	{ "max-size", KEY_MAX_SIZE, "SIZE", 0, "When the file is so large" },
	{ "insns", KEY_INSNS, "N", 0,
	  "When each vCPU has run N instructions; only in software mode" },
	{ NULL, 0, NULL, 0, "Output:", GROUP_OUTPUT },
	{ "output", 'o', "FILE", 0,
	  "Write to FILE, \"-\" for standard output [the domain's name.xpt]" },
	{}
};

struct arguments {
	const char *domain, *backend, *output;
	vcpu_array vcpus;
	struct recorder_options recorder;
	bool stream;
};

/* ---- options ------------------------------------------------------------- */

static uint64_t need_size(struct argp_state *state, const char *option, char *arg)
{
	static const char suffixes[] = "kMGT";
	size_t length = strlen(arg);
	const char *suffix = length ? strchr(suffixes, arg[length - 1]) : NULL;
	uint64_t factor = 1, size = 0;
	bool ok;

	if (suffix) {
		factor = UINT64_C(1) << (10 * (suffix - suffixes + 1));
		arg[length - 1] = '\0';
	}
	ok = select_number(arg, &size) && !__builtin_mul_overflow(size, factor, &size);
	if (!ok || !size)
		argp_error(state, "--%s: a size was expected, as in 512k, 16M, 2G",
			   option);
	return size;
}

/* In ms. */
static int64_t need_duration(struct argp_state *state, char *arg)
{
	size_t length = strlen(arg);
	uint64_t factor = 1000, time = 0;

	if (length > 2 && strcmp(arg + length - 2, "ms") == 0) {
		factor = 1;
		arg[length - 2] = '\0';
	} else if (length > 1 && arg[length - 1] == 's') {
		arg[length - 1] = '\0';
	}
	if (!select_number(arg, &time) || !time || time > INT64_MAX / 1000)
		argp_error(state, "--duration: a time was expected, as in 500ms, 10s");
	return (int64_t)(time * factor);
}

static int need_level(struct argp_state *state, const char *option, const char *arg)
{
	uint64_t value = 0;

	if (!select_number(arg, &value) || value > 15)
		argp_error(state, "--%s: a number from 0 to 15 was expected, not '%s'",
			   option, arg);
	return (int)value;
}

static void set_cr3(struct argp_state *state, const char *arg)
{
	struct hv_trace *trace = &((struct arguments *)state->input)->recorder.trace;

	if (!select_address(arg, &trace->cr3) || trace->cr3 == XENPT_CR3_ANY)
		argp_error(state, "--cr3: a hexadecimal number was expected, not '%s'",
			   arg);
}

static void set_vcpus(struct argp_state *state, const char *arg)
{
	struct arguments *arguments = state->input;
	_cleanup_error_ struct xenpt_error *err = NULL;

	array_deinit(&arguments->vcpus);
	err = select_vcpus(arg, &arguments->vcpus);
	if (err)
		argp_error(state, "--vcpu: %s", err->message);
}

static void add_filter(struct argp_state *state, const char *arg)
{
	struct hv_trace *trace = &((struct arguments *)state->input)->recorder.trace;
	struct xenpt_filter range = XENPT_FILTER_ALL;

	if (!select_range(arg, &range))
		argp_error(state,
			   "--filter: '%s' is no range LO..HI of hexadecimal "
			   "addresses",
			   arg);
	if (trace->range_count == HV_RANGES_MAX)
		argp_error(state, "--filter: no more than %d ranges", HV_RANGES_MAX);
	trace->ranges[trace->range_count].lo = range.ip_lo;
	trace->ranges[trace->range_count++].hi = range.ip_hi;
}

static void set_until(struct argp_state *state, const char *arg)
{
	static const char *const names[] = {
		[RECORDER_UNTIL_EXIT] = "exit",
		[RECORDER_UNTIL_CRASH] = "crash",
		[RECORDER_UNTIL_SIGNAL] = "signal",
	};
	struct arguments *arguments = state->input;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(arg, names[i]) == 0) {
			arguments->recorder.until = (enum recorder_until)i;
			return;
		}
	}
	argp_error(state, "--until is crash, exit or signal, not '%s'", arg);
}

static void check(struct argp_state *state)
{
	const struct arguments *arguments = state->input;
	const struct recorder_options *recorder = &arguments->recorder;

	if (!arguments->domain)
		argp_error(state, "which domain? Give -d; 'xenpt list' shows them");
	if (recorder->flight && arguments->stream)
		argp_error(state, "--stream and --flight exclude each other");
	if (recorder->flight && recorder->trace.lossless)
		argp_error(state, "--flight keeps what came last: there is no --lossless "
				  "with it");
	if (recorder->flight && recorder->max_size)
		argp_error(state, "--max-size goes with --stream: with --flight, -b "
				  "bounds the file");
	if (recorder->trace.size < BUFFER_MIN || recorder->trace.size > BUFFER_MAX)
		argp_error(state, "--buffer: from 4k to 64G");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *arguments = state->input;
	struct recorder_options *recorder = &arguments->recorder;

	switch (key) {
	case 'd':
		arguments->domain = arg;
		return 0;
	case 'o':
		arguments->output = arg;
		return 0;
	case 'b':
		recorder->trace.size = need_size(state, "buffer", arg);
		recorder->size_given = true;
		return 0;
	case KEY_BACKEND:
		arguments->backend = arg;
		return 0;
	case KEY_VCPU:
		set_vcpus(state, arg);
		return 0;
	case KEY_STREAM:
		arguments->stream = true;
		return 0;
	case KEY_FLIGHT:
		recorder->flight = true;
		return 0;
	case KEY_LOSSLESS:
		recorder->trace.lossless = true;
		return 0;
	case KEY_KERNEL:
		recorder->trace.kernel = true;
		return 0;
	case KEY_USER:
		recorder->trace.user = true;
		return 0;
	case KEY_CR3:
		set_cr3(state, arg);
		return 0;
	case KEY_FILTER:
		add_filter(state, arg);
		return 0;
	case KEY_TSC:
		recorder->trace.tsc = true;
		return 0;
	case KEY_MTC:
		recorder->trace.mtc = need_level(state, "mtc", arg);
		recorder->trace.tsc = true;
		return 0;
	case KEY_CYC:
		recorder->trace.cyc = need_level(state, "cyc", arg);
		return 0;
	case KEY_PTW:
		recorder->trace.ptw = true;
		return 0;
	case KEY_DURATION:
		recorder->duration = need_duration(state, arg);
		return 0;
	case KEY_MAX_SIZE:
		recorder->max_size = need_size(state, "max-size", arg);
		return 0;
	case KEY_NO_IMAGE:
		recorder->image = false;
		return 0;
	case KEY_NO_PIP:
		recorder->trace.no_pip = true;
		return 0;
	case KEY_INSNS:
		if (!select_number(arg, &recorder->trace.insns) || !recorder->trace.insns)
			argp_error(state, "--insns: a number was expected, not '%s'",
				   arg);
		return 0;
	case KEY_UNTIL:
		set_until(state, arg);
		return 0;
	case KEY_TRIPLE_FAULT:
		recorder->trace.catch_triple_fault = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "what is '%s'? A domain is named by -d", arg);
		return 0;
	case ARGP_KEY_END:
		check(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.doc = "Record what a domain executes, and the code that it runs, into a .xpt "
	       "file.",
};

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

static struct xenpt_error *output_open(const struct arguments *arguments,
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

static struct xenpt_error *record_to(const struct arguments *arguments,
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
static struct xenpt_error *check_domain(const struct arguments *arguments,
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

static struct xenpt_error *record(struct arguments *arguments, struct xenpt_ui *ui)
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
	struct arguments arguments = {
		.recorder = {
			.trace = { .size = BUFFER_DEFAULT, .cr3 = XENPT_CR3_ANY,
				   .mtc = -1, .cyc = -1 },
			.image = true,
		},
	};
	struct xenpt_error *err = NULL;
	struct signals signals;

	if (argp_parse(&argp, argc, argv, 0, NULL, &arguments))
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
	.argp = &argp,
	.run = run,
};
