/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <string.h>

#include "cmd/info-guest.h"
#include "cmd/quote.h"
#include "libxenpt/cleanup.h"

/* ---- Text -------------------------------------------------------------- */

static void text_domain(FILE *out, const struct xenpt_domain *domain)
{
	fputs("domain    ", out);
	quote_text(out, *domain->name ? domain->name : "(no name)");
	if (*domain->uuid) {
		fputs(", UUID ", out);
		quote_text(out, domain->uuid);
	}
	fputs("\n          ", out);
	quote_text(out, *domain->type ? domain->type : "unknown type");
	fprintf(out, ", %u vCPUs, %" PRIu64 " MiB", domain->vcpus, domain->memory >> 20);
	if (*domain->backend) {
		fputs(", recorded by ", out);
		quote_text(out, domain->backend);
	}
	fputc('\n', out);
}

/* Its lines are the guest's: a mark shows what is its and what is ours. */
static void text_console(FILE *out, const char *console)
{
	while (*console) {
		size_t size = strcspn(console, "\n");
		_cleanup_free_ char *line = strndup(console, size);

		fputs("  | ", out);
		quote_text(out, line ? line : "(out of memory)");
		fputc('\n', out);
		console += size + (console[size] == '\n');
	}
}

static void text_outcome(FILE *out, const struct xenpt_outcome *outcome)
{
	fputs("outcome   ", out);
	quote_text(out, *outcome->why ? outcome->why : "unknown");
	fputs(outcome->crashed ? " (crash)\n" : "\n", out);
	if (*outcome->console) {
		fputs("console\n", out);
		text_console(out, outcome->console);
	}
}

void info_guest_text(FILE *out, const struct xenpt_file_info *info)
{
	if (info->domain)
		text_domain(out, info->domain);
	if (info->pages || info->sample_count || info->epochs > 1) {
		fprintf(out, "memory    %" PRIu64 " pages, in %u epoch%s\n", info->pages,
			info->epochs, info->epochs == 1 ? "" : "s");
		fprintf(out, "registers %zu samples\n", info->sample_count);
	}
	if (info->outcome)
		text_outcome(out, info->outcome);
}

/* ---- JSON -------------------------------------------------------------- */

void info_guest_json(FILE *out, const struct xenpt_file_info *info)
{
	const struct xenpt_outcome *outcome = info->outcome;
	const struct xenpt_domain *domain = info->domain;

	if (domain) {
		fputs(",\"domain\":{\"name\":", out);
		quote_json(out, domain->name);
		quote_member(out, "uuid", domain->uuid);
		quote_member(out, "type", domain->type);
		quote_member(out, "backend", domain->backend);
		fprintf(out, ",\"vcpus\":%u,\"memory\":%" PRIu64 "}", domain->vcpus,
			domain->memory);
	} else {
		fputs(",\"domain\":null", out);
	}
	if (outcome) {
		fputs(",\"outcome\":{\"why\":", out);
		quote_json(out, outcome->why);
		fprintf(out, ",\"crashed\":%s", outcome->crashed ? "true" : "false");
		quote_member(out, "console", outcome->console);
		fputc('}', out);
	} else {
		fputs(",\"outcome\":null", out);
	}
	fprintf(out, ",\"pages\":%" PRIu64 ",\"epochs\":%u,\"samples\":%zu", info->pages,
		info->epochs, info->sample_count);
}
