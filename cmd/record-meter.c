/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "cmd/record-meter.h"
#include "cmd/recorder.h"

#define PERIOD 500 /* ms */

/* More would not fit a line: those that follow are but part of the sum. */
#define VCPUS_MAX 6

/* A line that is put together; what does not fit is cut. */
struct line {
	char text[512];
	size_t size;
};

static XENPT_PRINTF(2, 3) void add(struct line *line, const char *fmt, ...)
{
	size_t room = sizeof(line->text) - line->size;
	va_list ap;
	int size;

	va_start(ap, fmt);
	size = vsnprintf(line->text + line->size, room, fmt, ap);
	va_end(ap);
	if (size > 0)
		line->size += (size_t)size < room ? (size_t)size : room - 1;
}

static void add_bytes(struct line *line, uint64_t bytes)
{
	static const char *const units[] = { "kB", "MB", "GB", "TB" };
	double value = (double)bytes / 1000;
	size_t i = 0;

	if (bytes < 1000) {
		add(line, "%" PRIu64 " B", bytes);
		return;
	}
	while (value >= 999.5 && i < sizeof(units) / sizeof(units[0]) - 1) {
		value /= 1000;
		i++;
	}
	add(line, "%.*f %s", value < 9.95 ? 1 : 0, value, units[i]);
}

static uint64_t sum_bytes(const struct recorder *recorder)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < recorder->vcpus.count; i++)
		sum += recorder->vcpus.data[i].bytes;
	return sum;
}

static uint64_t count_gaps(const struct recorder *recorder, unsigned int reason)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < recorder->vcpus.count; i++)
		sum += recorder->vcpus.data[i].gaps[reason];
	return sum;
}

static uint64_t count_all_gaps(const struct recorder *recorder)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < RECORDER_REASONS; i++)
		sum += count_gaps(recorder, i);
	return sum;
}

/* ---- while it runs ------------------------------------------------------- */

static void add_rates(struct line *line, struct recorder *recorder, int64_t ms)
{
	for (size_t i = 0; i < recorder->vcpus.count; i++) {
		struct recorder_vcpu *vcpu = &recorder->vcpus.data[i];
		uint64_t rate = (vcpu->bytes - vcpu->shown) * 1000 / (uint64_t)ms;

		vcpu->shown = vcpu->bytes;
		if (i >= VCPUS_MAX)
			continue;
		add(line, "%s vCPU %u ", i ? "," : ":", vcpu->id);
		add_bytes(line, vcpu->bytes);
		add(line, " ");
		add_bytes(line, rate);
		add(line, "/s");
	}
	if (recorder->vcpus.count > VCPUS_MAX)
		add(line, ", ...");
}

void record_meter_show(struct recorder *recorder)
{
	int64_t now = recorder_now(), ms = now - recorder->shown;
	struct line line = {};
	uint64_t gaps;

	if (ms < PERIOD)
		return;
	recorder->shown = now;
	add(&line, "%s %" PRId64 " s", recorder->options.flight ? "waiting" : "recording",
	    (now - recorder->started) / 1000);
	if (!recorder->options.flight)
		add_rates(&line, recorder, ms);
	gaps = count_all_gaps(recorder);
	if (gaps)
		add(&line, "; %" PRIu64 " %s", gaps, gaps == 1 ? "gap" : "gaps");
	recorder->ui->status(line.text);
}

void record_meter_hide(struct recorder *recorder)
{
	recorder->ui->status(NULL);
}

/* ---- at its end ---------------------------------------------------------- */

static void add_gaps(struct line *line, const struct recorder *recorder)
{
	uint64_t gaps = count_all_gaps(recorder);
	const char *between = " (";

	if (!gaps) {
		add(line, ", no gaps");
		return;
	}
	add(line, ", %" PRIu64 " %s", gaps, gaps == 1 ? "gap" : "gaps");
	for (unsigned int i = 0; i < RECORDER_REASONS; i++) {
		if (!count_gaps(recorder, i))
			continue;
		add(line, "%s%" PRIu64 " %s", between, count_gaps(recorder, i),
		    xenpt_gap_reason_name(i));
		between = ", ";
	}
	add(line, ")");
}

void record_meter_sum_up(struct recorder *recorder, const char *path)
{
	struct record_pages_counts pages = record_pages_counts(recorder->pages);
	const struct hv_info *info = recorder->domain->info;
	char why[RECORDER_WHY_MAX];
	struct line line = {};

	add_bytes(&line, sum_bytes(recorder));
	add(&line, " of trace in %.1f s",
	    (double)(recorder_now() - recorder->started) / 1000);
	add_gaps(&line, recorder);
	if (recorder->capture)
		add(&line, ", %" PRIu64 " pages", pages.written);
	if (pages.missing)
		add(&line, " (%" PRIu64 " could not be read)", pages.missing);
	recorder->ui->say("%s: %s", recorder_why(recorder, why), line.text);
	if (path)
		recorder->ui->say("now: xenpt decode %s", path);
	if (info->state == HV_RUNNING || info->state == HV_PAUSED)
		recorder->ui->say("%s runs on", info->name);
}
