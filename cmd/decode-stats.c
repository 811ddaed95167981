/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/decode-stats.h"

struct xenpt_error *decode_stats_init(struct decode_stats *stats,
				      const struct xenpt_file_info *info,
				      const uint32_t *ids, size_t count)
{
	stats->vcpus = calloc(info->vcpu_count + 1, sizeof(*stats->vcpus));
	if (!stats->vcpus)
		return xenpt_error_no_memory();
	for (size_t i = 0; i < info->vcpu_count; i++) {
		const struct xenpt_vcpu_info *vcpu = &info->vcpus[i];
		bool wanted = !ids;

		for (size_t j = 0; j < count; j++)
			wanted |= ids[j] == vcpu->vcpu.id;
		if (wanted)
			stats->vcpus[stats->count++] = (struct vcpu_stats){
				.vcpu = vcpu->vcpu.id,
				.bytes = vcpu->size,
			};
	}
	return NULL;
}

void decode_stats_deinit(struct decode_stats *stats)
{
	free(stats->vcpus);
}

struct vcpu_stats *decode_stats_find(struct decode_stats *stats, uint32_t vcpu)
{
	for (size_t i = 0; i < stats->count; i++) {
		if (stats->vcpus[i].vcpu == vcpu)
			return &stats->vcpus[i];
	}
	return &stats->total; /* which is set anew by decode_stats_total() */
}

void decode_stats_total(struct decode_stats *stats)
{
	struct vcpu_stats total = {};

	for (size_t i = 0; i < stats->count; i++) {
		const struct vcpu_stats *vcpu = &stats->vcpus[i];

		total.bytes += vcpu->bytes;
		xenpt_stats_merge(&total.events, &vcpu->events);
		for (size_t j = 0; j < XENPT_PACKET_TYPES; j++)
			total.packets[j] += vcpu->packets[j];
		total.lost += vcpu->lost;
		total.bad += vcpu->bad;
	}
	stats->total = total;
}

/* ---- printing ----------------------------------------------------------- */

struct printer {
	FILE *out;
	bool json;
	const char *prefix; /* text: before each key */
};

static void put(const struct printer *printer, const char *key, uint64_t value)
{
	if (printer->json)
		fprintf(printer->out, ",\"%s\":%" PRIu64, key, value);
	else
		fprintf(printer->out, "%s%s %" PRIu64 "\n", printer->prefix, key, value);
}

static void put_rate(const struct printer *printer, const char *key, double value)
{
	if (printer->json)
		fprintf(printer->out, ",\"%s\":%.3f", key, value);
	else
		fprintf(printer->out, "%s%s %.3f\n", printer->prefix, key, value);
}

static void print_events(const struct printer *printer, const struct xenpt_stats *stats)
{
	static const struct {
		enum xenpt_branch branch;
		const char *key;
	} branches[] = {
		{ XENPT_BRANCH_COND, "conditionals" }, /* taken or not */
		{ XENPT_BRANCH_JUMP, "jumps" },
		{ XENPT_BRANCH_CALL, "calls" },
		{ XENPT_BRANCH_RETURN, "returns" },
		{ XENPT_BRANCH_SYSCALL, "system_calls" },
		{ XENPT_BRANCH_FAR_CALL, "far_calls" },
		{ XENPT_BRANCH_FAR_RETURN, "far_returns" },
		{ XENPT_BRANCH_FAR_JUMP, "far_jumps" },
	};

	put(printer, "insns", stats->insns);
	put(printer, "blocks", stats->blocks);
	for (size_t i = 0; i < sizeof(branches) / sizeof(branches[0]); i++)
		put(printer, branches[i].key, stats->branches[branches[i].branch]);
	put(printer, "interrupts", stats->events[XENPT_EVENT_INTERRUPT]);
	put(printer, "cr3_changes", stats->events[XENPT_EVENT_CR3]);
	put(printer, "overflows", stats->events[XENPT_EVENT_OVERFLOW]);
	put(printer, "gaps", stats->events[XENPT_EVENT_GAP]);
	put(printer, "lost_bytes", stats->lost);
	put(printer, "errors", stats->events[XENPT_EVENT_ERROR]);
	put(printer, "skipped_bytes", stats->skipped);
	put(printer, "doubts", stats->events[XENPT_EVENT_DOUBT]);
	put(printer, "doubtful_bytes", stats->doubtful);
	if (stats->first_time) {
		put(printer, "first_time", stats->first_time);
		put(printer, "last_time", stats->last_time);
	}
}

static uint64_t count_packets(const struct vcpu_stats *stats)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < XENPT_PACKET_TYPES; i++) {
		if (i != XENPT_PACKET_GAP && i != XENPT_PACKET_BAD)
			sum += stats->packets[i];
	}
	return sum;
}

static void print_packets(const struct printer *printer, const struct vcpu_stats *stats)
{
	put(printer, "packets", count_packets(stats));
	for (size_t i = 0; i < XENPT_PACKET_TYPES; i++) {
		if (stats->packets[i])
			put(printer, xenpt_packet_type_name(i), stats->packets[i]);
	}
	put(printer, "lost_bytes", stats->lost);
	put(printer, "bad_bytes", stats->bad);
}

static void print_vcpu(const struct decode_stats *all, const struct vcpu_stats *stats,
		       const struct printer *printer)
{
	put(printer, "bytes", stats->bytes);
	if (all->of_packets)
		print_packets(printer, stats);
	else
		print_events(printer, &stats->events);
}

static void print_rates(const struct decode_stats *stats, const struct printer *printer)
{
	double seconds = stats->seconds > 1e-9 ? stats->seconds : 1e-9;

	put_rate(printer, "seconds", stats->seconds);
	put_rate(printer, "mb_per_s", stats->total.bytes / seconds / 1e6);
	if (stats->of_packets)
		put_rate(printer, "mpackets_per_s",
			 count_packets(&stats->total) / seconds / 1e6);
	else
		put_rate(printer, "minsn_per_s",
			 stats->total.events.insns / seconds / 1e6);
}

static void print_json(const struct decode_stats *stats, FILE *out)
{
	struct printer printer = { .out = out, .json = true };

	fprintf(out, "{\"type\":\"header\",\"schema\":1,\"creator\":\"xenpt %s\"}\n",
		xenpt_version());
	for (size_t i = 0; i < stats->count; i++) {
		fprintf(out, "{\"type\":\"stats\",\"vcpu\":%" PRIu32,
			stats->vcpus[i].vcpu);
		print_vcpu(stats, &stats->vcpus[i], &printer);
		fputs("}\n", out);
	}
	fprintf(out, "{\"type\":\"stats\",\"vcpus\":%zu", stats->count);
	print_vcpu(stats, &stats->total, &printer);
	print_rates(stats, &printer);
	fputs("}\n", out);
}

static void print_text(const struct decode_stats *stats, FILE *out)
{
	struct printer printer = { .out = out, .prefix = "" };
	char prefix[32];

	if (stats->count > 1) {
		printer.prefix = prefix;
		for (size_t i = 0; i < stats->count; i++) {
			snprintf(prefix, sizeof(prefix), "vcpu%" PRIu32 ".",
				 stats->vcpus[i].vcpu);
			print_vcpu(stats, &stats->vcpus[i], &printer);
		}
		printer.prefix = "";
	}
	put(&printer, "vcpus", stats->count);
	print_vcpu(stats, &stats->total, &printer);
	print_rates(stats, &printer);
}

void decode_stats_print(const struct decode_stats *stats, FILE *out, bool json)
{
	(json ? print_json : print_text)(stats, out);
}

/* ---- holes -------------------------------------------------------------- */

/* "3 errors" */
static void put_holes(FILE *fp, uint64_t count, const char *what)
{
	if (!count)
		return;
	fprintf(fp, "%s%" PRIu64 " %s%s", ftell(fp) > 0 ? ", " : "", count, what,
		count == 1 ? "" : "s");
}

/* ": 5,120 bytes of trace skipped" */
static void put_bytes(FILE *fp, const char *before, uint64_t bytes, const char *fate)
{
	char digits[32];
	size_t size;

	if (!bytes)
		return;
	fputs(before, fp);
	size = snprintf(digits, sizeof(digits), "%" PRIu64, bytes);
	for (size_t i = 0; i < size; i++) {
		if (i && (size - i) % 3 == 0)
			fputc(',', fp);
		fputc(digits[i], fp);
	}
	fprintf(fp, " byte%s of trace %s", bytes == 1 ? "" : "s", fate);
}

/* Where a hypervisor keeps PIPs out, the trace is whole, and yet not right. */
static bool warn_doubts(const struct xenpt_stats *events, struct xenpt_ui *ui)
{
	char text[128] = "";
	uint64_t doubts = events->events[XENPT_EVENT_DOUBT];
	FILE *fp;

	if (!doubts)
		return false;
	fp = fmemopen(text, sizeof(text), "w");
	if (fp) {
		put_holes(fp, doubts, "place");
		put_bytes(fp, ": ", events->doubtful, "in doubt");
		fclose(fp);
	}
	ui->warn("address spaces cannot be trusted in %s; PIPs are missing: record with "
		 "the hypervisor patch that writes them, or switch introspection off",
		 text);
	return true;
}

bool decode_stats_holes(const struct decode_stats *stats, struct xenpt_ui *ui)
{
	const struct xenpt_stats *events = &stats->total.events;
	const uint64_t *packets = stats->total.packets;
	uint64_t skipped, lost;
	char text[256] = "";
	FILE *fp = fmemopen(text, sizeof(text), "w");

	if (!fp)
		return true;
	if (stats->of_packets) {
		put_holes(fp, packets[XENPT_PACKET_BAD], "bad place");
		put_holes(fp, packets[XENPT_PACKET_GAP], "gap");
		put_holes(fp, packets[XENPT_PACKET_OVF], "overflow");
		skipped = stats->total.bad;
		lost = stats->total.lost;
	} else {
		put_holes(fp, events->events[XENPT_EVENT_ERROR], "error");
		put_holes(fp, events->events[XENPT_EVENT_GAP], "gap");
		put_holes(fp, events->events[XENPT_EVENT_OVERFLOW], "overflow");
		skipped = events->skipped;
		lost = events->lost;
	}
	put_bytes(fp, ": ", skipped, "skipped");
	put_bytes(fp, skipped ? ", " : ": ", lost, "lost");
	fclose(fp);
	if (text[0])
		ui->warn("this is not all that ran: %s", text);
	return warn_doubts(events, ui) || text[0];
}
