/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xenpt import: a .xpt file from traces that others recorded. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd/cmd.h"
#include "cmd/output.h"
#include "libxenpt/array.h"
#include "libxenpt/cleanup.h"

enum {
	KEY_PT = 0x100,
	KEY_ELF,
	KEY_RAW,
	KEY_MAP,
	KEY_CR3,
	KEY_LLDB,
	KEY_PERF,
	KEY_SYMFS,
	KEY_PID,
	KEY_CPU,
	KEY_NOM_FREQ,
	KEY_MTC_FREQ,
	KEY_CPUID_15,
};

enum {
	GROUP_TRACE = 1,
	GROUP_CODE,
	GROUP_IMAGES,
	GROUP_CPU,
	GROUP_OUTPUT,
};

static const struct argp_option options[] = {
	{ NULL, 0, NULL, 0, "The trace:", GROUP_TRACE },
	{ "pt", KEY_PT, "FILE", 0, "Raw PT; one FILE for each CPU" },
	{ "perf", KEY_PERF, "FILE", 0, "A perf.data with Intel PT" },
	{ "lldb", KEY_LLDB, "FILE", 0, "The trace.json of a bundle of LLDB" },
	{ NULL, 0, NULL, 0, "Code, in addition to that of a recording:", GROUP_CODE },
	{ "elf", KEY_ELF, "FILE[@BASE]", 0,
	  "Code and symbols of an ELF file, its lowest page at BASE" },
	{ "raw", KEY_RAW, "FILE:BEGIN-END:ADDR", 0,
	  "Code: the bytes of FILE from BEGIN up to END, at ADDR" },
	{ "map", KEY_MAP, "MAP:FILE", 0,
	  "Code: bytes of FILE, by the lines \"BEGIN END ADDR\" of MAP" },
	{ "cr3", KEY_CR3, "CR3", 0,
	  "The address space of the code that follows, or any" },
	{ NULL, 0, NULL, 0, "The code of a recording:", GROUP_IMAGES },
	{ "symfs", KEY_SYMFS, "DIR", 0, "Find images below DIR, or in DIR itself" },
	{ "pid", KEY_PID, "PID", 0, "The process whose code it is" },
	{ NULL, 0, NULL, 0,
	  "The CPU, where the input does not tell, or is wrong:", GROUP_CPU },
	{ "cpu", KEY_CPU, "FAMILY/MODEL[/STEPPING]", 0, "As in /proc/cpuinfo: 6/85/7" },
	{ "nom-freq", KEY_NOM_FREQ, "RATIO", 0,
	  "Nominal frequency in 100 MHz: MSR_PLATFORM_INFO[15:8]" },
	{ "mtc-freq", KEY_MTC_FREQ, "N", 0, "IA32_RTIT_CTL.MTCFreq" },
	{ "cpuid-15", KEY_CPUID_15, "EAX,EBX", 0,
	  "CPUID leaf 15H: TSC and crystal clock" },
	{ NULL, 0, NULL, 0, "Output:", GROUP_OUTPUT },
	{ "output", 'o', "FILE", 0,
	  "Write to FILE, \"-\" for standard output [trace.xpt]" },
	{}
};

/* What an option names. */
struct part {
	int key;
	const char *path, *data_path;
	uint64_t cr3, begin, end, address;
};

struct arguments {
	struct xenpt_import import;
	ARRAY(struct part) parts; /* in their order */
	unsigned int pts, wholes; /* of them; recordings and bundles are whole */
	const char *output;
};

/* ---- options ------------------------------------------------------------- */

/* In decimal, or in hex with 0x. False: it is not, or larger than @max. */
static bool number(const char *text, uint64_t max, uint64_t *ret)
{
	int base = text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10;
	uint64_t value;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, base);
	if (errno || *end || value > max)
		return false;
	*ret = value;
	return true;
}

static uint64_t need_number(struct argp_state *state, const char *option,
			    const char *text, uint64_t min, uint64_t max)
{
	uint64_t value = 0;

	if (!number(text, max, &value) || value < min)
		argp_error(state,
			   "--%s: a number from %" PRIu64 " to %" PRIu64
			   " was expected, not '%s'",
			   option, min, max, text);
	return value;
}

static void part_add(struct argp_state *state, struct part part)
{
	struct arguments *arguments = state->input;
	struct part *added = array_add(&arguments->parts);

	if (!added)
		argp_failure(state, XENPT_EXIT_FAILED, ENOMEM, "options");
	part.cr3 = arguments->import.cr3;
	*added = part;
}

/* A name may have an @ in it: what follows the last one is a base if it is a number. */
static void add_elf(struct argp_state *state, char *arg)
{
	struct part part = { .key = KEY_ELF, .path = arg, .address = UINT64_MAX };
	char *at = strrchr(arg, '@');

	if (at && at[1] >= '0' && at[1] <= '9') {
		if (!number(at + 1, UINT64_MAX - 1, &part.address))
			argp_error(state, "--elf: '%s' is no address", at + 1);
		*at = '\0';
	}
	part_add(state, part);
}

static void add_raw(struct argp_state *state, char *arg)
{
	struct part part = { .key = KEY_RAW, .path = arg };
	char *address = strrchr(arg, ':'), *begin = NULL, *end = NULL;

	if (address) {
		*address++ = '\0';
		begin = strrchr(arg, ':');
	}
	if (begin) {
		*begin++ = '\0';
		end = strchr(begin, '-');
	}
	if (end)
		*end++ = '\0';
	if (!end || !*arg || !number(begin, UINT64_MAX, &part.begin) ||
	    !number(end, UINT64_MAX, &part.end) ||
	    !number(address, UINT64_MAX, &part.address))
		argp_error(state, "--raw: FILE:BEGIN-END:ADDR was expected, as in "
				  "code.bin:0-0x1000:0x400000");
	if (part.begin >= part.end)
		argp_error(state, "--raw: BEGIN must be below END");
	part_add(state, part);
}

static void add_map(struct argp_state *state, char *arg)
{
	struct part part = { .key = KEY_MAP, .path = arg };
	char *colon = strchr(arg, ':');

	if (!colon || colon == arg || !colon[1])
		argp_error(state, "--map: MAP:FILE was expected, not '%s'", arg);
	*colon = '\0';
	part.data_path = colon + 1;
	part_add(state, part);
}

static void set_cr3(struct argp_state *state, const char *arg)
{
	struct arguments *arguments = state->input;

	arguments->import.cr3 = XENPT_CR3_ANY;
	if (strcmp(arg, "any") != 0 &&
	    !number(arg, XENPT_CR3_ANY - 1, &arguments->import.cr3))
		argp_error(state, "--cr3: a number or 'any' was expected, not '%s'", arg);
}

static void set_cpu(struct argp_state *state, char *arg)
{
	struct xenpt_cpu *cpu = &((struct arguments *)state->input)->import.cpu;
	uint64_t family = 0, model = 0, stepping = 0;
	const char *family_text, *model_text, *stepping_text;
	char *rest = arg;

	family_text = strsep(&rest, "/");
	model_text = strsep(&rest, "/");
	stepping_text = strsep(&rest, "/");
	if (rest || !model_text || !number(family_text, 0xfff, &family) || !family ||
	    !number(model_text, UINT8_MAX, &model) ||
	    (stepping_text && !number(stepping_text, 15, &stepping)))
		argp_error(state, "--cpu: FAMILY/MODEL[/STEPPING] was expected, as in "
				  "6/85/7");
	cpu->intel = 1;
	cpu->family = (uint16_t)family;
	cpu->model = (uint8_t)model;
	cpu->stepping = (uint8_t)stepping;
}

static void set_cpuid_15(struct argp_state *state, char *arg)
{
	struct xenpt_cpu *cpu = &((struct arguments *)state->input)->import.cpu;
	char *comma = strchr(arg, ',');
	uint64_t eax = 0, ebx = 0;

	if (comma)
		*comma++ = '\0';
	if (!comma || !number(arg, UINT32_MAX, &eax) ||
	    !number(comma, UINT32_MAX, &ebx) || !eax || !ebx)
		argp_error(state, "--cpuid-15: EAX,EBX was expected, two numbers above "
				  "0, as in 2,308");
	cpu->cpuid_15_eax = (uint32_t)eax;
	cpu->cpuid_15_ebx = (uint32_t)ebx;
}

static void check(struct argp_state *state)
{
	struct arguments *arguments = state->input;

	if (arguments->wholes + (arguments->pts > 0) > 1)
		argp_error(state, "--pt, --perf and --lldb exclude each other");
	if (!arguments->wholes && !arguments->pts)
		argp_error(state, arguments->parts.count
					  ? "there is no trace: give it by --pt"
					  : "there is nothing to import: give --pt, "
					    "--perf or --lldb");
	if (!arguments->wholes && (arguments->import.symfs || arguments->import.pid >= 0))
		argp_error(state, "--symfs and --pid go with --perf and --lldb");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *arguments = state->input;
	struct xenpt_import *import = &arguments->import;

	switch (key) {
	case KEY_PT:
		arguments->pts++;
		part_add(state, (struct part){ .key = key, .path = arg });
		return 0;
	case KEY_PERF:
	case KEY_LLDB:
		arguments->wholes++;
		part_add(state, (struct part){ .key = key, .path = arg });
		return 0;
	case KEY_ELF:
		add_elf(state, arg);
		return 0;
	case KEY_RAW:
		add_raw(state, arg);
		return 0;
	case KEY_MAP:
		add_map(state, arg);
		return 0;
	case KEY_CR3:
		set_cr3(state, arg);
		return 0;
	case KEY_SYMFS:
		import->symfs = arg;
		return 0;
	case KEY_PID:
		import->pid = (int64_t)need_number(state, "pid", arg, 0, UINT32_MAX - 1);
		return 0;
	case KEY_CPU:
		set_cpu(state, arg);
		return 0;
	case KEY_NOM_FREQ:
		import->cpu.nom_freq =
			(uint8_t)need_number(state, "nom-freq", arg, 1, UINT8_MAX);
		return 0;
	case KEY_MTC_FREQ:
		import->cpu.mtc_freq =
			(uint8_t)need_number(state, "mtc-freq", arg, 0, 15);
		return 0;
	case KEY_CPUID_15:
		set_cpuid_15(state, arg);
		return 0;
	case 'o':
		arguments->output = arg;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state,
			   "what is '%s'? Inputs are named by --pt, --perf, --lldb, …",
			   arg);
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
	.doc = "Make a .xpt file from a trace that another tool recorded. It holds all "
	       "that decoding needs: the inputs may go afterwards.",
};

/* ---- output -------------------------------------------------------------- */

/*
 * A file grows as NAME.part, and gets its name when it is whole: a failure leaves
 * what was there before.
 */
struct output {
	const char *name;
	char *part; /* NULL: written in place, as into a pipe */
	int fd;
};

static struct xenpt_error *output_open(const char *name, struct output *ret)
{
	_cleanup_free_ char *part = NULL;
	const char *path = name;
	struct stat st;
	int fd;

	if (strcmp(name, "-") == 0) {
		XENPT_TRY(output_check_stdout());
		*ret = (struct output){ .name = "standard output", .fd = STDOUT_FILENO };
		return NULL;
	}
	if (stat(name, &st) < 0 || S_ISREG(st.st_mode)) {
		XENPT_TRY(output_check(name));
		if (asprintf(&part, "%s.part", name) < 0) {
			part = NULL;
			return xenpt_error_no_memory();
		}
		XENPT_TRY(output_check(part));
		path = part;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return xenpt_error_os(errno, "%s: cannot create it", path);
	*ret = (struct output){ .name = name, .part = no_cleanup_ptr(part), .fd = fd };
	return NULL;
}

/* Give it its name, or remove it if there was an error: @err, which is returned. */
static struct xenpt_error *output_close(struct output *output, struct xenpt_error *err)
{
	/* A network's file system may tell only here that it is full. */
	if (output->fd != STDOUT_FILENO && close(output->fd) < 0 && !err)
		err = xenpt_error_os(errno, "%s: cannot write", output->name);
	if (output->part && !err && rename(output->part, output->name) < 0)
		err = xenpt_error_os(errno, "%s: cannot rename %s to it", output->name,
				     output->part);
	if (output->part && err)
		unlink(output->part);
	free(output->part);
	return err;
}

/* ---- importing ----------------------------------------------------------- */

static void warn(void *arg, const char *message)
{
	const struct xenpt_ui *ui = arg;

	ui->warn("%s", message);
}

static void progress(void *arg, const char *path, uint64_t done, uint64_t total)
{
	const struct xenpt_ui *ui = arg;

	ui->progress("importing", (struct xenpt_progress){ done, total });
}

static void warn_cpu(const struct xenpt_ui *ui, const struct xenpt_cpu *cpu)
{
	if (xenpt_cpu_is_known(cpu))
		return;
	if (cpu->family)
		ui->warn("CPU %u/%u/%u is not known to the decoder: it will work around "
			 "the errata of all Intel Cores; --cpu can name a similar one",
			 cpu->family, cpu->model, cpu->stepping);
	else
		ui->warn("the input does not tell which CPU recorded it: give "
			 "--cpu FAMILY/MODEL[/STEPPING]");
}

/* The next free numbers. */
struct ids {
	uint32_t vcpu, image;
	int step; /* to the next image */
};

static struct xenpt_error *import_part(struct xenpt_writer *writer,
				       const struct xenpt_import *common,
				       const struct part *part, struct ids *ids,
				       struct xenpt_cpu *cpu)
{
	struct xenpt_import import = *common;
	uint32_t image = ids->image;

	import.cr3 = part->cr3;
	switch (part->key) {
	case KEY_PERF:
		return xenpt_import_perf(writer, &import, part->path, cpu);
	case KEY_LLDB:
		return xenpt_import_lldb(writer, &import, part->path, cpu);
	case KEY_PT:
		return xenpt_import_pt(writer, &import, ids->vcpu++, part->path);
	}
	ids->image += ids->step;
	switch (part->key) {
	case KEY_ELF:
		return xenpt_import_elf(writer, &import, image, part->path, part->address,
					NULL);
	case KEY_RAW:
		return xenpt_import_raw(writer, &import, image, part->path, part->begin,
					part->end, part->address);
	default:
		return xenpt_import_map(writer, &import, image, part->path,
					part->data_path);
	}
}

static struct xenpt_error *import_all(struct xenpt_writer *writer,
				      const struct arguments *arguments,
				      const struct xenpt_ui *ui)
{
	struct xenpt_cpu cpu = arguments->import.cpu;
	struct ids ids = { 0, 0, 1 };

	/* A recording numbers its images from 0 on: ours go from the other end. */
	if (arguments->wholes)
		ids = (struct ids){ 0, XENPT_IMAGES_MAX - 1, -1 };
	else
		XENPT_TRY(xenpt_writer_cpu(writer, &cpu));
	for (size_t i = 0; i < arguments->parts.count; i++)
		XENPT_TRY(import_part(writer, &arguments->import,
				      &arguments->parts.data[i], &ids, &cpu));
	warn_cpu(ui, &cpu);
	return xenpt_writer_finish(writer);
}

static struct xenpt_error *import_to(const struct arguments *arguments,
				     const struct xenpt_ui *ui)
{
	struct xenpt_writer *writer = NULL;
	struct output output;
	struct xenpt_error *err;

	XENPT_TRY(output_open(arguments->output, &output));
	err = xenpt_writer_create(output.fd, output.name, &writer);
	if (!err)
		err = import_all(writer, arguments, ui);
	xenpt_writer_destroy(writer);
	return output_close(&output, err);
}

static struct xenpt_error *run(struct xenpt_ui *ui, int argc, char **argv,
			       enum xenpt_exit *ret)
{
	struct arguments arguments = { .import = XENPT_IMPORT_DEFAULTS,
				       .output = "trace.xpt" };
	struct xenpt_error *err;

	arguments.import.warn = warn;
	arguments.import.progress = progress;
	arguments.import.arg = ui;
	err = argp_parse(&argp, argc, argv, 0, NULL, &arguments)
		      ? xenpt_error_no_memory()
		      : import_to(&arguments, ui);
	array_deinit(&arguments.parts);
	return err;
}

const struct xenpt_cmd xenpt_cmd_import = {
	.name = "import",
	.summary = "make a .xpt file from traces that others recorded",
	.argp = &argp,
	.run = run,
};
