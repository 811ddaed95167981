/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>

#include "cmd/cmd.h"
#include "cmd/quote.h"
#include "hv/hv.h"
#include "libxenpt/cleanup.h"

/* ---- Options ----------------------------------------------------------- */

enum {
	KEY_JSON = 0x100
};

static const struct argp_option options[] = {
	{ "json", KEY_JSON, NULL, 0, "Print one JSON object" },
	{},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	bool *json = state->input;

	if (key != KEY_JSON)
		return ARGP_ERR_UNKNOWN;
	*json = true;
	return 0;
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.doc = "List the domains that run, and the embedded guests that can be started: "
	       "all that 'xenpt record -d' takes.",
};

static const char *state_name(enum hv_state state)
{
	static const char *const names[] = {
		[HV_RUNNING] = "running", [HV_PAUSED] = "paused",
		[HV_CRASHED] = "crashed", [HV_ENDED] = "ended",
		[HV_OFFERED] = "offered",
	};

	return names[state];
}

/* ---- Text -------------------------------------------------------------- */

struct listing {
	FILE *out;
	bool offers;        /* is one of those; else of what runs */
	unsigned int count; /* shown */
};

static void text_running(FILE *out, const struct hv_info *info)
{
	fprintf(out, "%-7s %5u %6" PRIu64 " MiB  %-7s  %-8s ", info->type, info->vcpus,
		info->memory >> 20, state_name(info->state),
		info->backend ? info->backend : "no");
	quote_text(out, info->name);
	fputc('\n', out);
}

static void text_offer(FILE *out, const struct hv_info *info)
{
	fputs("  ", out);
	quote_text(out, info->name);
	fputs("  ", out);
	if (info->about)
		quote_text(out, info->about);
	fputc('\n', out);
}

static struct xenpt_error *text_one(void *arg, const struct hv_info *info)
{
	struct listing *listing = arg;

	if ((info->state == HV_OFFERED) != listing->offers)
		return NULL;
	if (!listing->count++)
		fputs(listing->offers ? "\nto start:\n"
				      : "type    vCPUs     memory  state    traced   "
					"name\n",
		      listing->out);
	(listing->offers ? text_offer : text_running)(listing->out, info);
	if (info->why) {
		fputs("        ", listing->out);
		quote_text(listing->out, info->why);
		fputc('\n', listing->out);
	}
	return NULL;
}

static struct xenpt_error *for_all(hv_list_fn *fn, void *arg)
{
	size_t i;

	for (i = 0; hv_backends[i]; i++)
		XENPT_TRY(hv_backends[i]->list(fn, arg));
	return NULL;
}

static struct xenpt_error *show_text(FILE *out)
{
	struct listing running = { .out = out };
	struct listing offers = { .out = out, .offers = true };

	XENPT_TRY(for_all(text_one, &running));
	if (!running.count)
		fputs("no domain runs\n", out);
	return for_all(text_one, &offers);
}

/* ---- JSON -------------------------------------------------------------- */

static void json_member(FILE *out, const char *name, const char *value)
{
	fprintf(out, ",\"%s\":", name);
	if (value)
		quote_json(out, value);
	else
		fputs("null", out);
}

static struct xenpt_error *json_one(void *arg, const struct hv_info *info)
{
	struct listing *listing = arg;
	FILE *out = listing->out;

	fprintf(out, "%s{\"name\":", listing->count++ ? "," : "");
	quote_json(out, info->name);
	json_member(out, "type", info->type);
	json_member(out, "state", state_name(info->state));
	json_member(out, "backend", info->backend);
	json_member(out, "why", info->why);
	if (info->state == HV_OFFERED) {
		json_member(out, "about", info->about);
	} else {
		json_member(out, "uuid", info->uuid);
		fprintf(out, ",\"vcpus\":%u,\"memory\":%" PRIu64, info->vcpus,
			info->memory);
	}
	fputc('}', out);
	return NULL;
}

static struct xenpt_error *show_json(FILE *out)
{
	struct listing all = { .out = out };

	fputs("{\"domains\":[", out);
	XENPT_TRY(for_all(json_one, &all));
	fputs("]}\n", out);
	return NULL;
}

/* ---- The command ------------------------------------------------------- */

static struct xenpt_error *run(struct xenpt_ui *ui, int argc, char **argv,
			       enum xenpt_exit *ret)
{
	bool json = false;

	if (argp_parse(&argp, argc, argv, 0, NULL, &json))
		return xenpt_error_no_memory();
	XENPT_TRY((json ? show_json : show_text)(ui->out));
	return fflush(ui->out) ? xenpt_error_os(errno, "standard output") : NULL;
}

const struct xenpt_cmd xenpt_cmd_list = {
	.name = "list",
	.summary = "list domains, and embedded guests to start",
	.argp = &argp,
	.run = run,
};
