/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "cmd/record-arguments.h"
#include "cmd/select.h"
#include "libxenpt/cleanup.h"

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
	{ "ptw", KEY_PTW, NULL, 0, "Also what programs put into the trace by PTWRITE" },
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
	struct hv_trace *trace =
		&((struct record_arguments *)state->input)->recorder.trace;

	if (!select_address(arg, &trace->cr3) || trace->cr3 == XENPT_CR3_ANY)
		argp_error(state, "--cr3: a hexadecimal number was expected, not '%s'",
			   arg);
}

static void set_vcpus(struct argp_state *state, const char *arg)
{
	struct record_arguments *arguments = state->input;
	_cleanup_error_ struct xenpt_error *err = NULL;

	array_deinit(&arguments->vcpus);
	err = select_vcpus(arg, &arguments->vcpus);
	if (err)
		argp_error(state, "--vcpu: %s", err->message);
}

static void add_filter(struct argp_state *state, const char *arg)
{
	struct hv_trace *trace =
		&((struct record_arguments *)state->input)->recorder.trace;
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
	struct record_arguments *arguments = state->input;

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
	const struct record_arguments *arguments = state->input;
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

static void set_insns(struct argp_state *state, const char *arg)
{
	struct hv_trace *trace =
		&((struct record_arguments *)state->input)->recorder.trace;

	if (!select_number(arg, &trace->insns) || !trace->insns)
		argp_error(state, "--insns: a number was expected, not '%s'", arg);
}

/* What takes no argument; NULL: another. */
static bool *find_flag(struct record_arguments *arguments, int key)
{
	struct recorder_options *recorder = &arguments->recorder;

	switch (key) {
	case KEY_STREAM:
		return &arguments->stream;
	case KEY_FLIGHT:
		return &recorder->flight;
	case KEY_LOSSLESS:
		return &recorder->trace.lossless;
	case KEY_KERNEL:
		return &recorder->trace.kernel;
	case KEY_USER:
		return &recorder->trace.user;
	case KEY_PTW:
		return &recorder->trace.ptw;
	case KEY_TSC:
		return &recorder->trace.tsc;
	case KEY_NO_IMAGE:
		return &arguments->no_image;
	case KEY_NO_PIP:
		return &recorder->trace.no_pip;
	case KEY_TRIPLE_FAULT:
		return &recorder->trace.catch_triple_fault;
	default:
		return NULL;
	}
}

/* What is traced, and how; false: @key is another. */
static bool set_trace(struct argp_state *state, int key, char *arg)
{
	struct recorder_options *recorder =
		&((struct record_arguments *)state->input)->recorder;

	switch (key) {
	case 'b':
		recorder->trace.size = need_size(state, "buffer", arg);
		recorder->size_given = true;
		return true;
	case KEY_VCPU:
		set_vcpus(state, arg);
		return true;
	case KEY_CR3:
		set_cr3(state, arg);
		return true;
	case KEY_FILTER:
		add_filter(state, arg);
		return true;
	case KEY_MTC:
		recorder->trace.mtc = need_level(state, "mtc", arg);
		recorder->trace.tsc = true;
		return true;
	case KEY_CYC:
		recorder->trace.cyc = need_level(state, "cyc", arg);
		return true;
	default:
		return false;
	}
}

/* When it is to end; false: @key is another. */
static bool set_end(struct argp_state *state, int key, char *arg)
{
	struct recorder_options *recorder =
		&((struct record_arguments *)state->input)->recorder;

	switch (key) {
	case KEY_UNTIL:
		set_until(state, arg);
		return true;
	case KEY_DURATION:
		recorder->duration = need_duration(state, arg);
		return true;
	case KEY_INSNS:
		set_insns(state, arg);
		return true;
	case KEY_MAX_SIZE:
		recorder->max_size = need_size(state, "max-size", arg);
		return true;
	default:
		return false;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct record_arguments *arguments = state->input;
	bool *flag = find_flag(arguments, key);

	if (flag) {
		*flag = true;
		return 0;
	}
	if (set_trace(state, key, arg) || set_end(state, key, arg))
		return 0;
	switch (key) {
	case 'd':
		arguments->domain = arg;
		return 0;
	case 'o':
		arguments->output = arg;
		return 0;
	case KEY_BACKEND:
		arguments->backend = arg;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "what is '%s'? A domain is named by -d", arg);
		return 0;
	case ARGP_KEY_END:
		arguments->recorder.image = !arguments->no_image;
		check(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp record_argp = {
	.options = options,
	.parser = parse,
	.doc = "Record what a domain executes, and the code that it runs, into a .xpt "
	       "file.",
};
