/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/info-guest.h"
#include "cmd/quote.h"
#include "libxenpt/cleanup.h"

XENPT_DEFINE_CLEANUP(struct xenpt_file, file, xenpt_file_close)
XENPT_DEFINE_CLEANUP(struct xenpt_packets, packets, xenpt_packets_destroy)

/* A guest may switch to as many as it likes. */
#define SPACES_BITS 13
#define SPACES_SLOTS (1u << SPACES_BITS)
#define SPACES_MAX (SPACES_SLOTS / 2)
#define SPACES_SHOWN 32

/* An address space that the trace names. */
struct space {
	uint64_t cr3;
	uint64_t packets; /* 0: no address space */
	bool non_root;
};

struct spaces {
	struct space slots[SPACES_SLOTS]; /* by hash; at the end sorted */
	size_t count;
	uint64_t other; /* packets of those for which there was no room */
};

/* ---- Options ----------------------------------------------------------- */

struct arguments {
	const char *path;
	bool json;
};

enum {
	KEY_JSON = 0x100
};

static const struct argp_option options[] = {
	{ "json", KEY_JSON, NULL, 0, "Print one JSON object" },
	{},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case KEY_JSON:
		arguments->json = true;
		return 0;
	case ARGP_KEY_ARG:
		if (arguments->path)
			argp_error(state, "more than one FILE");
		arguments->path = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "no FILE given");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "FILE",
	.doc = "Show what a trace file holds: CPU, domain, vCPUs, gaps, images, "
	       "address spaces, damage. FILE - is standard input.",
};

/* ---- Address spaces ---------------------------------------------------- */

static void count_space(struct spaces *spaces, uint64_t cr3, bool non_root)
{
	uint64_t hash = (cr3 | non_root) * UINT64_C(0x9e3779b97f4a7c15);
	size_t i = hash >> (64 - SPACES_BITS);
	struct space *space;

	for (;; i = (i + 1) % SPACES_SLOTS) {
		space = &spaces->slots[i];
		if (!space->packets)
			break;
		if (space->cr3 == cr3 && space->non_root == non_root) {
			space->packets++;
			return;
		}
	}
	if (spaces->count == SPACES_MAX) {
		spaces->other++;
		return;
	}
	*space = (struct space){ .cr3 = cr3, .packets = 1, .non_root = non_root };
	spaces->count++;
}

static struct xenpt_error *find_spaces_of(struct xenpt_ui *ui,
					  const struct xenpt_file *file, uint32_t vcpu,
					  struct xenpt_progress progress,
					  struct spaces *ret)
{
	_cleanup_(packets_cleanup) struct xenpt_packets *packets = NULL;
	const struct xenpt_packet *batch;
	uint64_t before = progress.done;
	size_t count, i;

	XENPT_TRY(xenpt_packets_create(file, vcpu, &packets));
	for (;;) {
		XENPT_TRY(xenpt_packets_next(packets, &batch, &count));
		if (!count)
			return NULL;
		for (i = 0; i < count; i++) {
			if (batch[i].type == XENPT_PACKET_PIP)
				count_space(ret, batch[i].payload, batch[i].aux);
		}
		progress.done = before + batch[count - 1].offset;
		ui->progress("reading", progress);
	}
}

static int compare_spaces(const void *a, const void *b)
{
	const struct space *x = a, *y = b;

	if (x->packets != y->packets)
		return x->packets < y->packets ? 1 : -1;
	if (x->cr3 != y->cr3)
		return x->cr3 > y->cr3 ? 1 : -1;
	return (int)x->non_root - (int)y->non_root;
}

/* Most frequent first. */
static struct xenpt_error *find_spaces(struct xenpt_ui *ui, const struct xenpt_file *file,
				       struct spaces *ret)
{
	const struct xenpt_file_info *info = xenpt_file_info(file);
	struct xenpt_progress progress = {};
	size_t i;

	for (i = 0; i < info->vcpu_count; i++)
		progress.total += info->vcpus[i].size;
	for (i = 0; i < info->vcpu_count; i++) {
		XENPT_TRY(
			find_spaces_of(ui, file, info->vcpus[i].vcpu.id, progress, ret));
		progress.done += info->vcpus[i].size;
	}
	ui->progress("reading", progress);
	qsort(ret->slots, SPACES_SLOTS, sizeof(ret->slots[0]), compare_spaces);
	return NULL;
}

/* ---- Text -------------------------------------------------------------- */

static void text_file(FILE *out, const struct xenpt_file_info *info)
{
	fputs("file      ", out);
	quote_text(out, info->path);
	fprintf(out, "\nformat    %u.%u", info->major, info->minor);
	if (*info->creator) {
		fputs(", by ", out);
		quote_text(out, info->creator);
	}
	fprintf(out, "\nsize      %" PRIu64 " bytes, %" PRIu64 " chunks\n", info->size,
		info->chunks);
	if (info->complete)
		fputs("state     complete\n", out);
	else if (info->damage_count)
		fputs("state     damaged: see below\n", out);
	else
		fputs("state     cut short: it has no end mark\n", out);
}

static void text_cpu(FILE *out, const struct xenpt_cpu *cpu)
{
	struct xenpt_clock clock = xenpt_clock_from_cpu(cpu);

	if (cpu->family)
		fprintf(out, "CPU       %s family %u model %u stepping %u%s\n",
			cpu->intel ? "Intel" : "other", cpu->family, cpu->model,
			cpu->stepping,
			xenpt_cpu_is_known(cpu)
				? ""
				: ", not known: the errata of all are applied");
	else
		fputs("CPU       unknown: the errata of all are applied\n", out);
	if (clock.ns_per_tick > 0)
		fprintf(out, "clock     TSC at %.3f MHz\n", 1e3 / clock.ns_per_tick);
	else
		fputs("clock     unknown: time is in TSC ticks\n", out);
}

static void text_vcpus(FILE *out, const struct xenpt_file_info *info)
{
	size_t i;

	fprintf(out, "\nvCPUs     %zu\n", info->vcpu_count);
	if (info->vcpu_count)
		fprintf(out, "%6s %15s %8s %15s  %s\n", "id", "trace bytes", "gaps",
			"bytes lost", "name");
	for (i = 0; i < info->vcpu_count; i++) {
		const struct xenpt_vcpu_info *vcpu = &info->vcpus[i];

		fprintf(out, "%6u %15" PRIu64 " %8" PRIu64 " %15" PRIu64 "  ",
			vcpu->vcpu.id, vcpu->size, vcpu->gaps, vcpu->lost);
		quote_text(out, vcpu->vcpu.name);
		fputc('\n', out);
	}
}

static void text_images(FILE *out, const struct xenpt_file_info *info)
{
	size_t i;

	fprintf(out, "\nimages    %zu, %" PRIu64 " bytes of code in all\n",
		info->image_count, info->code_size);
	if (info->image_count)
		fprintf(out, "%6s %15s %18s  %s\n", "id", "code bytes", "address space",
			"name");
	for (i = 0; i < info->image_count; i++) {
		const struct xenpt_image_info *image = &info->images[i];

		fprintf(out, "%6u %15" PRIu64, image->id, image->code_size);
		if (image->cr3 == XENPT_CR3_ANY)
			fprintf(out, " %18s  ", "any");
		else
			fprintf(out, " %#18" PRIx64 "  ", image->cr3);
		quote_text(out, image->name);
		if (*image->build_id) {
			fputs(", build id ", out);
			quote_text(out, image->build_id);
		}
		fputc('\n', out);
	}
}

static void text_spaces(FILE *out, const struct spaces *spaces)
{
	size_t i;

	fprintf(out, "\naddress spaces seen  %s%zu\n", spaces->other ? "more than " : "",
		spaces->count);
	if (spaces->count)
		fprintf(out, "%18s %15s\n", "CR3", "PIP packets");
	for (i = 0; i < spaces->count && i < SPACES_SHOWN; i++) {
		const struct space *space = &spaces->slots[i];

		fprintf(out, "%#18" PRIx64 " %15" PRIu64 "%s\n", space->cr3,
			space->packets, space->non_root ? "  NR: non-root" : "");
	}
	if (i < spaces->count)
		fprintf(out, "%18s and %zu more\n", "", spaces->count - i);
}

static void text_damages(FILE *out, const struct xenpt_file_info *info)
{
	size_t i;

	if (!info->damage_count)
		return;
	fputs("\ndamage\n", out);
	for (i = 0; i < info->damage_count; i++) {
		const struct xenpt_damage *damage = &info->damages[i];

		fprintf(out, "  at offset %" PRIu64 ", %" PRIu64 " bytes: %s\n",
			damage->offset, damage->size, damage->why);
	}
}

static void show_text(FILE *out, const struct xenpt_file_info *info,
		      const struct spaces *spaces)
{
	text_file(out, info);
	text_cpu(out, &info->cpu);
	info_guest_text(out, info);
	text_vcpus(out, info);
	text_images(out, info);
	text_spaces(out, spaces);
	text_damages(out, info);
}

/* ---- JSON -------------------------------------------------------------- */

static void json_cpu(FILE *out, const struct xenpt_cpu *cpu)
{
	struct xenpt_clock clock = xenpt_clock_from_cpu(cpu);

	fprintf(out,
		",\"cpu\":{\"intel\":%s,\"family\":%u,\"model\":%u,\"stepping\":%u,"
		"\"known\":%s,\"nom_freq\":%u,\"mtc_freq\":%u,"
		"\"cpuid_15_eax\":%u,\"cpuid_15_ebx\":%u}",
		cpu->intel ? "true" : "false", cpu->family, cpu->model, cpu->stepping,
		xenpt_cpu_is_known(cpu) ? "true" : "false", cpu->nom_freq, cpu->mtc_freq,
		cpu->cpuid_15_eax, cpu->cpuid_15_ebx);
	if (clock.ns_per_tick > 0)
		fprintf(out, ",\"ns_per_tick\":%.9g", clock.ns_per_tick);
	else
		fputs(",\"ns_per_tick\":null", out);
}

static void json_vcpus(FILE *out, const struct xenpt_file_info *info)
{
	size_t i;

	fputs(",\"vcpus\":[", out);
	for (i = 0; i < info->vcpu_count; i++) {
		const struct xenpt_vcpu_info *vcpu = &info->vcpus[i];

		fprintf(out, "%s{\"id\":%u", i ? "," : "", vcpu->vcpu.id);
		quote_member(out, "name", vcpu->vcpu.name);
		fprintf(out,
			",\"size\":%" PRIu64 ",\"gaps\":%" PRIu64 ",\"lost\":%" PRIu64
			"}",
			vcpu->size, vcpu->gaps, vcpu->lost);
	}
	fputc(']', out);
}

static void json_images(FILE *out, const struct xenpt_file_info *info)
{
	size_t i;

	fputs(",\"images\":[", out);
	for (i = 0; i < info->image_count; i++) {
		const struct xenpt_image_info *image = &info->images[i];

		fprintf(out, "%s{\"id\":%u", i ? "," : "", image->id);
		quote_member(out, "name", image->name);
		quote_member(out, "build_id", image->build_id);
		if (image->cr3 == XENPT_CR3_ANY)
			fputs(",\"cr3\":null", out);
		else
			fprintf(out, ",\"cr3\":\"0x%" PRIx64 "\"", image->cr3);
		fprintf(out, ",\"code_size\":%" PRIu64 "}", image->code_size);
	}
	fputc(']', out);
}

static void json_spaces(FILE *out, const struct spaces *spaces)
{
	size_t i;

	fputs(",\"address_spaces\":[", out);
	for (i = 0; i < spaces->count; i++) {
		const struct space *space = &spaces->slots[i];

		fprintf(out,
			"%s{\"cr3\":\"0x%" PRIx64 "\",\"non_root\":%s,"
			"\"packets\":%" PRIu64 "}",
			i ? "," : "", space->cr3, space->non_root ? "true" : "false",
			space->packets);
	}
	fprintf(out, "],\"address_spaces_other\":%" PRIu64, spaces->other);
}

static void json_damages(FILE *out, const struct xenpt_file_info *info)
{
	size_t i;

	fputs(",\"damages\":[", out);
	for (i = 0; i < info->damage_count; i++) {
		const struct xenpt_damage *damage = &info->damages[i];

		fprintf(out, "%s{\"offset\":%" PRIu64 ",\"size\":%" PRIu64, i ? "," : "",
			damage->offset, damage->size);
		quote_member(out, "why", damage->why);
		fputc('}', out);
	}
	fputc(']', out);
}

static void show_json(FILE *out, const struct xenpt_file_info *info,
		      const struct spaces *spaces)
{
	fputs("{\"path\":", out);
	quote_json(out, info->path);
	fprintf(out,
		",\"size\":%" PRIu64 ",\"chunks\":%" PRIu64
		",\"major\":%u,\"minor\":%u,\"complete\":%s",
		info->size, info->chunks, info->major, info->minor,
		info->complete ? "true" : "false");
	quote_member(out, "creator", info->creator);
	json_cpu(out, &info->cpu);
	info_guest_json(out, info);
	fprintf(out, ",\"code_size\":%" PRIu64, info->code_size);
	json_vcpus(out, info);
	json_images(out, info);
	json_spaces(out, spaces);
	json_damages(out, info);
	fputs("}\n", out);
}

/* ---- The command ------------------------------------------------------- */

static struct xenpt_error *run(struct xenpt_ui *ui, int argc, char **argv,
			       enum xenpt_exit *ret)
{
	_cleanup_(file_cleanup) struct xenpt_file *file = NULL;
	_cleanup_free_ struct spaces *spaces = NULL;
	struct arguments arguments = {};

	if (argp_parse(&argp, argc, argv, 0, NULL, &arguments))
		return xenpt_error_no_memory();
	spaces = calloc(1, sizeof(*spaces));
	if (!spaces)
		return xenpt_error_no_memory();
	XENPT_TRY(xenpt_file_open(arguments.path, &file));
	XENPT_TRY(find_spaces(ui, file, spaces));
	ui->page(ui);
	(arguments.json ? show_json : show_text)(ui->out, xenpt_file_info(file), spaces);
	/* Told here, while it is known why. */
	return fflush(ui->out) ? xenpt_error_os(errno, "standard output") : NULL;
}

const struct xenpt_cmd xenpt_cmd_info = {
	.name = "info",
	.summary = "show what a trace file holds",
	.argp = &argp,
	.run = run,
};
