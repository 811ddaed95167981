/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/cmd.h"
#include "cmd/decode-core.h"
#include "cmd/decode-stats.h"
#include "cmd/itrace.h"
#include "cmd/select.h"
#include "libxenpt/cleanup.h"

XENPT_DEFINE_CLEANUP(struct xenpt_file, file, xenpt_file_close)
XENPT_DEFINE_CLEANUP(struct xenpt_core, core, xenpt_core_close)
XENPT_DEFINE_CLEANUP(struct xenpt_image, image, xenpt_image_destroy)
XENPT_DEFINE_CLEANUP(struct xenpt_symtab, symtab, xenpt_symtab_destroy)
XENPT_DEFINE_CLEANUP(struct xenpt_decoder, decoder, xenpt_decoder_destroy)
XENPT_DEFINE_CLEANUP(struct xenpt_packets, packets, xenpt_packets_destroy)
XENPT_DEFINE_CLEANUP(struct xenpt_sink, sink, xenpt_sink_destroy)

/* ---- options ------------------------------------------------------------ */

static const struct format {
	const char *name;
	unsigned int rows; /* 0: packets */
} formats[] = {
	{ "calls", XENPT_ROW_TREE | XENPT_ROW_TROUBLE }, /* the default */
	{ "packets", 0 },
	{ "insns", XENPT_ROW_INSN | XENPT_ROW_TROUBLE },
	{ "blocks", XENPT_ROW_BLOCK | XENPT_ROW_TROUBLE },
	{ "branches", XENPT_ROW_BRANCH | XENPT_ROW_TROUBLE },
	{ "events", XENPT_ROW_BLOCK | XENPT_ROW_TSX | XENPT_ROW_PTWRITE |
			    XENPT_ROW_POWER | XENPT_ROW_STATE | XENPT_ROW_TROUBLE },
	{},
};

enum {
	KEY_CORE = 0x100,
	KEY_JSON,
	KEY_VCPU,
	KEY_CR3,
	KEY_TIME,
	KEY_IP,
	KEY_LAST,
	KEY_KERNEL,
	KEY_USER,
	KEY_ITRACE,
	KEY_STATS,
	KEY_STRICT,
};

struct arguments {
	const char *path;
	const char *core;            /* NULL: none */
	const struct format *format; /* NULL: not given */
	bool json, stats, strict;
	bool selects; /* an option that packets do not know was given */
	struct xenpt_filter filter;
	const char *ip; /* a symbol, if it is no range */
	struct time_bound time[2];
	vcpu_array vcpus;
	uint64_t last, threads;
	bool has_itrace;
	struct itrace itrace;
};

static void arguments_deinit(struct arguments *arguments)
{
	array_deinit(&arguments->vcpus);
}

static const struct argp_option options[] = {
	{ "format", 'F', "WHAT", 0,
	  "List calls (default), packets, insns, blocks, branches or events" },
	{ "itrace", KEY_ITRACE, "LETTERS", 0,
	  "List what perf's letters say, instead of -F" },
	{ "stats", KEY_STATS, NULL, 0, "Print counts and rates only" },
	{ "json", KEY_JSON, NULL, 0, "Print one JSON object a line" },
	{ "core", KEY_CORE, "DUMP", 0,
	  "Look for code that FILE lacks in this core dump of the guest" },
	{ "vcpu", KEY_VCPU, "LIST", 0, "Only these vCPUs: 0,2-3" },
	{ "cr3", KEY_CR3, "CR3", 0, "Only this address space" },
	{ "time", KEY_TIME, "A..B", 0,
	  "Only this time: TSC ticks, or since the first time with ns, us, ms or s" },
	{ "ip", KEY_IP, "LO..HI|SYMBOL", 0, "Only code at these addresses" },
	{ "kernel", KEY_KERNEL, NULL, 0, "Only the kernel's code" },
	{ "user", KEY_USER, NULL, 0, "Only user code" },
	{ "last", KEY_LAST, "N", 0, "Only the last N rows" },
	{ "jobs", 'j', "N", 0, "Decode with N threads (default: one per CPU)" },
	{ "strict", KEY_STRICT, NULL, 0,
	  "Exit with status 3 if the trace has holes, or is in doubt" },
	{},
};

static void check(struct argp_state *state, const char *option, struct xenpt_error *err)
{
	if (err)
		argp_error(state, "--%s: %s", option, err->message);
	xenpt_error_destroy(err);
}

static const struct format *parse_format(struct argp_state *state, const char *arg)
{
	for (const struct format *format = formats; format->name; format++) {
		if (strcmp(format->name, arg) == 0)
			return format;
	}
	argp_error(state,
		   "-F: there is no format '%s': give calls, packets, insns, blocks, "
		   "branches or events",
		   arg);
	return NULL;
}

static void parse_count(struct argp_state *state, const char *option, const char *arg,
			uint64_t *ret)
{
	if (!select_number(arg, ret) || *ret == 0)
		argp_error(state, "%s: '%s' is no number above 0", option, arg);
}

static void check_arguments(struct argp_state *state, const struct arguments *arguments)
{
	bool packets = arguments->format && !arguments->format->rows;

	if (!arguments->path)
		argp_error(state, "no FILE given");
	if (arguments->has_itrace && arguments->format)
		argp_error(state, "-F and --itrace exclude each other");
	if (arguments->has_itrace && arguments->stats)
		argp_error(state, "--stats and --itrace exclude each other");
	if (packets && arguments->selects)
		argp_error(state, "packets can be selected by --vcpu and --last only");
	if (packets && arguments->core)
		argp_error(state, "packets need no --core");
	if (arguments->stats && arguments->last)
		argp_error(state, "--stats and --last exclude each other");
}

static error_t parse_selection(int key, char *arg, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case KEY_CR3:
		if (!select_address(arg, &arguments->filter.cr3))
			argp_error(state, "--cr3: '%s' is no hexadecimal number", arg);
		break;
	case KEY_TIME:
		check(state, "time", select_time(arg, arguments->time));
		break;
	case KEY_IP:
		arguments->ip = select_range(arg, &arguments->filter) ? NULL : arg;
		break;
	case KEY_KERNEL:
		arguments->filter.kernel = true;
		break;
	case KEY_USER:
		arguments->filter.user = true;
		break;
	case KEY_ITRACE:
		check(state, "itrace", itrace_parse(arg, &arguments->itrace));
		arguments->has_itrace = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	arguments->selects = true;
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case 'F':
		arguments->format = parse_format(state, arg);
		return 0;
	case 'j':
		parse_count(state, "-j", arg, &arguments->threads);
		if (arguments->threads > 4096)
			argp_error(state, "-j: so many threads are of no use");
		return 0;
	case KEY_CORE:
		arguments->core = arg;
		return 0;
	case KEY_JSON:
		arguments->json = true;
		return 0;
	case KEY_LAST:
		parse_count(state, "--last", arg, &arguments->last);
		if (arguments->last > XENPT_LAST_MAX)
			argp_error(state, "--last: at most %d rows can be kept",
				   XENPT_LAST_MAX);
		return 0;
	case KEY_STATS:
		arguments->stats = true;
		return 0;
	case KEY_STRICT:
		arguments->strict = true;
		return 0;
	case KEY_VCPU:
		array_deinit(&arguments->vcpus);
		check(state, "vcpu", select_vcpus(arg, &arguments->vcpus));
		return 0;
	case ARGP_KEY_ARG:
		if (arguments->path)
			argp_error(state, "more than one FILE given");
		arguments->path = arg;
		return 0;
	case ARGP_KEY_END:
		check_arguments(state, arguments);
		return 0;
	default:
		return parse_selection(key, arg, state);
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "FILE",
	.doc = "Show what a trace says: as calls, branches, instructions or packets.",
};

/* ---- what all of it needs ----------------------------------------------- */

struct job {
	struct xenpt_ui *ui;
	const struct arguments *arguments;
	const struct xenpt_file *file;
	const struct xenpt_file_info *info;
	const struct xenpt_image *image;
	const struct xenpt_symtab *symtab;
	struct xenpt_clock clock;
	struct xenpt_filter filter;
	struct decode_stats stats;
};

static bool has_trace(const struct job *job)
{
	for (size_t i = 0; i < job->stats.count; i++) {
		if (job->stats.vcpus[i].bytes)
			return true;
	}
	return false;
}

static void warn(const struct job *job, bool packets)
{
	const struct xenpt_file_info *info = job->info;

	if (info->damage_count)
		job->ui->warn("%s: damaged in %zu place%s: see 'xenpt info'", info->path,
			      info->damage_count, info->damage_count == 1 ? "" : "s");
	else if (!info->complete)
		job->ui->warn("%s: the file was not finished: its end may be missing",
			      info->path);
	if (!has_trace(job)) {
		job->ui->warn("%s: holds no trace%s", info->path,
			      job->arguments->vcpus.count ? " of these vCPUs" : "");
		return;
	}
	if (packets)
		return;
	if (!xenpt_cpu_is_known(&info->cpu))
		job->ui->warn("%s: the CPU is not known: the errata of all Core CPUs are "
			      "worked around",
			      info->path);
	if (!info->code_size && !info->pages && !job->arguments->core)
		job->ui->warn("%s: holds no code: only its packets can be listed; code "
			      "is imported with --elf or --raw, or found with --core",
			      info->path);
	if (job->arguments->itrace.unused[0])
		job->ui->warn("--itrace: without effect here: %s",
			      job->arguments->itrace.unused);
}

static struct xenpt_error *check_vcpus(const struct job *job)
{
	const vcpu_array *vcpus = &job->arguments->vcpus;

	for (size_t i = 0; i < vcpus->count; i++) {
		bool found = false;

		for (size_t j = 0; j < job->info->vcpu_count; j++)
			found |= job->info->vcpus[j].vcpu.id == vcpus->data[i];
		if (!found)
			return xenpt_error_create(
				XENPT_ERROR_NOT_FOUND, "%s: there is no vCPU %u",
				job->info->path, (unsigned int)vcpus->data[i]);
	}
	return NULL;
}

/* Whether nobody looks at single blocks. */
static bool counts_only(const struct arguments *arguments)
{
	return arguments->stats && !arguments->selects;
}

static struct xenpt_error *create_decoder(const struct job *job, unsigned int threads,
					  struct xenpt_decoder **ret)
{
	const struct arguments *arguments = job->arguments;
	struct xenpt_decoder_options decoder_options = {
		.image = job->image,
		.threads = threads,
		.vcpus = arguments->vcpus.count ? arguments->vcpus.data : NULL,
		.vcpu_count = arguments->vcpus.count,
		.timeless = arguments->itrace.timeless,
		.count_blocks = counts_only(arguments),
	};

	return xenpt_decoder_create(job->file, &decoder_options, ret);
}

static struct xenpt_error *create_sink(struct job *job, unsigned int rows,
				       struct xenpt_sink **ret)
{
	const struct itrace *itrace = &job->arguments->itrace;
	struct xenpt_sink_options sink_options = {
		.rows = rows,
		.filter = job->filter,
		.clock = job->clock,
		.image = job->image,
		.symtab = job->symtab,
		.vcpu_count = job->info->vcpu_count,
		.skip = itrace->skip,
		.last = job->arguments->last,
	};

	if (itrace->period && itrace->unit == ITRACE_INSNS) {
		sink_options.period = itrace->period;
	} else if (itrace->period && itrace->unit == ITRACE_TICKS) {
		sink_options.period_ticks = itrace->period;
	} else if (itrace->period) {
		if (!(job->clock.ns_per_tick > 0))
			return xenpt_error_create(XENPT_ERROR_INVALID,
						  "--itrace: the clock of this trace is "
						  "not known: give the period of 'i' in "
						  "i or t");
		sink_options.period_ticks = select_ticks(itrace->period, &job->clock);
		if (!sink_options.period_ticks)
			sink_options.period_ticks = 1;
	}
	job->ui->page(job->ui);
	sink_options.out = job->ui->out;
	sink_options.color = job->ui->color;
	return (job->arguments->json ? xenpt_sink_create_json
				     : xenpt_sink_create_text)(&sink_options, ret);
}

/* ---- packets ------------------------------------------------------------ */

static void count_packets(struct vcpu_stats *stats, const struct xenpt_packet *packets,
			  size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (packets[i].type < XENPT_PACKET_TYPES)
			stats->packets[packets[i].type]++;
		if (packets[i].type == XENPT_PACKET_GAP)
			stats->lost += packets[i].payload;
		else if (packets[i].type == XENPT_PACKET_BAD)
			stats->bad += packets[i].size;
	}
}

static struct xenpt_error *list_vcpu(struct job *job, struct xenpt_sink *sink,
				     struct vcpu_stats *stats,
				     struct xenpt_progress *progress)
{
	_cleanup_(packets_cleanup) struct xenpt_packets *packets = NULL;
	uint64_t before = progress->done;

	XENPT_TRY(xenpt_packets_create(job->file, stats->vcpu, &packets));
	for (;;) {
		const struct xenpt_packet *list;
		size_t count;

		XENPT_TRY(xenpt_packets_next(packets, &list, &count));
		if (!count)
			break;
		count_packets(stats, list, count);
		if (sink)
			XENPT_TRY(xenpt_sink_packets(sink, stats->vcpu, list, count));
		progress->done = before + list[count - 1].offset;
		job->ui->progress("listing", *progress);
	}
	progress->done = before + stats->bytes;
	return NULL;
}

static struct xenpt_error *list_packets(struct job *job)
{
	_cleanup_(sink_cleanup) struct xenpt_sink *sink = NULL;
	struct xenpt_progress progress = {};

	job->stats.of_packets = true;
	if (!job->arguments->stats)
		XENPT_TRY(create_sink(job, 0, &sink));
	for (size_t i = 0; i < job->stats.count; i++)
		progress.total += job->stats.vcpus[i].bytes;
	for (size_t i = 0; i < job->stats.count; i++)
		XENPT_TRY(list_vcpu(job, sink, &job->stats.vcpus[i], &progress));
	return sink ? xenpt_sink_finish(sink) : NULL;
}

/* ---- events ------------------------------------------------------------- */

/* The first time in the trace, 0 if it has none. */
static struct xenpt_error *find_first_time(const struct job *job, uint64_t *ret)
{
	_cleanup_(decoder_cleanup) struct xenpt_decoder *decoder = NULL;
	struct xenpt_batch batch;

	XENPT_TRY(create_decoder(job, 1, &decoder));
	do {
		XENPT_TRY(xenpt_decoder_next(decoder, &batch));
		for (size_t i = 0; i < batch.count; i++) {
			if (batch.events[i].time) {
				*ret = batch.events[i].time;
				return NULL;
			}
		}
	} while (batch.count);
	return xenpt_error_create(XENPT_ERROR_NOT_FOUND, "%s: the trace has no time",
				  job->info->path);
}

static struct xenpt_error *make_filter(struct job *job)
{
	const struct arguments *arguments = job->arguments;
	const struct time_bound *bounds = arguments->time;
	uint64_t first = 0;

	job->filter = arguments->filter;
	if (arguments->ip)
		XENPT_TRY(xenpt_error_prepend(
			select_symbol(arguments->ip, job->symtab, &job->filter),
			"%s: --ip", job->info->path));
	/* Without a clock the first time is not needed to fail. */
	if ((bounds[0].relative || bounds[1].relative) && job->clock.ns_per_tick > 0)
		XENPT_TRY(find_first_time(job, &first));
	return xenpt_error_prepend(
		select_time_apply(bounds, first, &job->clock, &job->filter), "%s: --time",
		job->info->path);
}

static void count_events(struct job *job, const struct xenpt_batch *batch)
{
	struct xenpt_stats *stats = &decode_stats_find(&job->stats, batch->vcpu)->events;

	/* Listings count all of it: holes do not close when they are not looked at. */
	if (!job->arguments->stats || !job->arguments->selects) {
		xenpt_stats_add(stats, batch->events, batch->count);
		return;
	}
	for (size_t i = 0; i < batch->count; i++) {
		if (xenpt_filter_match(&job->filter, &batch->events[i]))
			xenpt_stats_add(stats, &batch->events[i], 1);
	}
}

static struct xenpt_error *decode_events(struct job *job)
{
	_cleanup_(decoder_cleanup) struct xenpt_decoder *decoder = NULL;
	_cleanup_(sink_cleanup) struct xenpt_sink *sink = NULL;
	const struct arguments *arguments = job->arguments;
	struct xenpt_batch batch;

	XENPT_TRY(make_filter(job));
	XENPT_TRY(create_decoder(job, arguments->threads, &decoder));
	if (!arguments->stats) {
		const struct format *format =
			arguments->format ? arguments->format : formats;

		XENPT_TRY(create_sink(job,
				      arguments->has_itrace ? arguments->itrace.rows
							    : format->rows,
				      &sink));
	}
	for (;;) {
		XENPT_TRY(xenpt_decoder_next(decoder, &batch));
		if (!batch.count)
			break;
		count_events(job, &batch);
		if (sink)
			XENPT_TRY(xenpt_sink_events(sink, &batch));
		job->ui->progress("decoding", xenpt_decoder_progress(decoder));
	}
	for (size_t i = 0; i < job->stats.count; i++)
		xenpt_decoder_add_counts(decoder, job->stats.vcpus[i].vcpu,
					 &job->stats.vcpus[i].events);
	return sink ? xenpt_sink_finish(sink) : NULL;
}

/* ---- the command -------------------------------------------------------- */

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static struct xenpt_error *print_stats(struct job *job)
{
	job->ui->page(job->ui);
	decode_stats_print(&job->stats, job->ui->out, job->arguments->json);
	if (fflush(job->ui->out) != 0)
		return xenpt_error_os(errno, "cannot write the output");
	return NULL;
}

static struct xenpt_error *run_job(struct job *job, bool packets, enum xenpt_exit *ret)
{
	double start;
	bool holes;

	warn(job, packets);
	start = now();
	XENPT_TRY(packets ? list_packets(job) : decode_events(job));
	job->stats.seconds = now() - start;
	decode_stats_total(&job->stats);
	if (job->arguments->stats)
		XENPT_TRY(print_stats(job));
	holes = decode_stats_holes(&job->stats, job->ui);
	if (job->arguments->strict && (holes || !job->info->complete))
		*ret = XENPT_EXIT_INCOMPLETE;
	return NULL;
}

static struct xenpt_error *run(struct xenpt_ui *ui, int argc, char **argv,
			       enum xenpt_exit *ret)
{
	_cleanup_(arguments_deinit) struct arguments arguments = {
		.filter = XENPT_FILTER_ALL,
	};
	_cleanup_(file_cleanup) struct xenpt_file *file = NULL;
	_cleanup_(core_cleanup) struct xenpt_core *core = NULL;
	_cleanup_(image_cleanup) struct xenpt_image *image = NULL;
	_cleanup_(symtab_cleanup) struct xenpt_symtab *symtab = NULL;
	struct job job = { .ui = ui, .arguments = &arguments };
	struct xenpt_error *err;
	bool packets;

	if (argp_parse(&argp, argc, argv, 0, NULL, &arguments))
		return xenpt_error_no_memory();
	packets = arguments.format && !arguments.format->rows;
	XENPT_TRY(xenpt_file_open(arguments.path, &file));
	job.file = file;
	job.info = xenpt_file_info(file);
	job.clock = xenpt_clock_from_cpu(&job.info->cpu);
	XENPT_TRY(check_vcpus(&job));
	if (!packets) {
		XENPT_TRY(xenpt_image_create(file, &image));
		if (arguments.core) {
			XENPT_TRY(decode_core_open(ui, arguments.core, job.info, &core));
			XENPT_TRY(xenpt_image_add_core(image, file, core));
		}
		XENPT_TRY(xenpt_symtab_create(file, &symtab));
	}
	job.image = image;
	job.symtab = symtab;
	XENPT_TRY(decode_stats_init(&job.stats, job.info, arguments.vcpus.data,
				    arguments.vcpus.count));
	err = run_job(&job, packets, ret);
	decode_stats_deinit(&job.stats);
	return err;
}

const struct xenpt_cmd xenpt_cmd_decode = {
	.name = "decode",
	.summary = "show what a trace says",
	.argp = &argp,
	.run = run,
};
