/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/quote.h"
#include "hv/hv.h"
#include "libxenpt/cleanup.h"

/* ---- Options ----------------------------------------------------------- */

enum {
	KEY_JSON = 0x100
};

struct options {
	const char *domain; /* NULL: this host */
	bool json;
};

static const struct argp_option options[] = {
	{ "domain", 'd', "DOMAIN", 0, "Check this domain, too" },
	{ "json", KEY_JSON, NULL, 0, "Print one JSON object" },
	{},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'd':
		o->domain = arg;
		return 0;
	case KEY_JSON:
		o->json = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.doc = "Say what stands in the way of recording on this host, and of recording a "
	       "domain, and what to change. The exit status is 0 if nothing does.",
};

/* ---- Text -------------------------------------------------------------- */

struct checking {
	FILE *out;
	const char *backend;
	bool json, bad;
	unsigned int count;
};

#define REMEDY_INDENT 6
#define REMEDY_WIDTH 72

/* At blanks; a word that is longer than a line has one of its own. */
static void text_wrapped(FILE *out, const char *text)
{
	size_t size = strlen(text), room = 4 * size + 1, column = 0;
	_cleanup_free_ char *buf = malloc(room);
	char *word, *rest = NULL;

	if (!buf)
		return quote_text(out, text);
	xenpt_escape(text, size, buf, room);
	for (word = strtok_r(buf, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		if (column && column + 1 + strlen(word) > REMEDY_WIDTH)
			column = 0;
		if (column)
			column += fprintf(out, " %s", word);
		else
			column = fprintf(out, "\n%*s%s", REMEDY_INDENT, "", word) -
				 REMEDY_INDENT - 1;
	}
}

static void text_one(const struct checking *checking, const struct hv_finding *finding)
{
	static const char *const levels[] = {
		[HV_GOOD] = "ok",
		[HV_NOTE] = "note",
		[HV_BAD] = "NO",
	};

	fprintf(checking->out, "%-4s  %-3s  %-15s  ", levels[finding->level],
		checking->backend, finding->what);
	quote_text(checking->out, finding->found);
	if (finding->remedy)
		text_wrapped(checking->out, finding->remedy);
	fputc('\n', checking->out);
}

/* ---- JSON -------------------------------------------------------------- */

static void json_one(const struct checking *checking, const struct hv_finding *finding)
{
	static const char *const levels[] = {
		[HV_GOOD] = "good",
		[HV_NOTE] = "note",
		[HV_BAD] = "bad",
	};
	FILE *out = checking->out;

	fprintf(out, "%s{\"backend\":", checking->count ? "," : "");
	quote_json(out, checking->backend);
	quote_member(out, "level", levels[finding->level]);
	quote_member(out, "what", finding->what);
	quote_member(out, "found", finding->found);
	if (finding->remedy)
		quote_member(out, "remedy", finding->remedy);
	else
		fputs(",\"remedy\":null", out);
	fputc('}', out);
}

/* ---- The command ------------------------------------------------------- */

static struct xenpt_error *show(void *arg, const struct hv_finding *finding)
{
	struct checking *checking = arg;

	(checking->json ? json_one : text_one)(checking, finding);
	checking->count++;
	checking->bad |= finding->level == HV_BAD;
	return NULL;
}

static struct xenpt_error *check_backend(struct checking *checking,
					 const struct hv_ops *ops, const char *domain)
{
	checking->backend = ops->name;
	return ops->check ? ops->check(domain, show, checking) : NULL;
}

static struct xenpt_error *check_host(struct checking *checking)
{
	size_t i;

	for (i = 0; hv_backends[i]; i++)
		XENPT_TRY(check_backend(checking, hv_backends[i], NULL));
#ifndef HAVE_XEN
	checking->backend = "xen";
	XENPT_TRY(show(checking,
		       &(const struct hv_finding){
			       .level = HV_BAD,
			       .what = "xenpt",
			       .found = "was built without Xen's libraries",
			       .remedy = "build it with them: Debian's libxen-dev, "
					 "configure --with-xen; until then, only "
					 "embedded guests can be recorded here",
		       }));
#endif
	return NULL;
}

static void json_begin(FILE *out, const char *domain)
{
	fputs("{\"domain\":", out);
	if (domain)
		quote_json(out, domain);
	else
		fputs("null", out);
	fputs(",\"findings\":[", out);
}

static struct xenpt_error *run(struct xenpt_ui *ui, int argc, char **argv,
			       enum xenpt_exit *ret)
{
	struct options o = {};
	struct checking checking = { .out = ui->out };
	const struct hv_ops *ops;

	if (argp_parse(&argp, argc, argv, 0, NULL, &o))
		return xenpt_error_no_memory();
	checking.json = o.json;
	if (o.domain)
		XENPT_TRY(hv_find(o.domain, &ops));
	if (o.json)
		json_begin(ui->out, o.domain);
	if (o.domain)
		XENPT_TRY(check_backend(&checking, ops, o.domain));
	else
		XENPT_TRY(check_host(&checking));
	if (o.json)
		fprintf(ui->out, "],\"works\":%s}\n", checking.bad ? "false" : "true");
	if (checking.bad)
		*ret = XENPT_EXIT_FAILED;
	return fflush(ui->out) ? xenpt_error_os(errno, "standard output") : NULL;
}

const struct xenpt_cmd xenpt_cmd_check = {
	.name = "check",
	.summary = "say what stands in the way of recording",
	.argp = &argp,
	.run = run,
};
