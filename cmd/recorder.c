/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>

#include "cmd/record-drain.h"
#include "cmd/record-meter.h"
#include "cmd/record-period.h"
#include "cmd/recorder.h"

/* Trace that waits so long for its next PSB is written without: ms. */
#define HELD_MAX 500

int64_t recorder_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static const char *end_name(enum recorder_end end)
{
	static const char *const names[] = {
		[RECORDER_END_NONE] = "",
		[RECORDER_END_CRASHED] = "the domain crashed",
		[RECORDER_END_ENDED] = "the domain ended",
		[RECORDER_END_SIGNAL] = "interrupted",
		[RECORDER_END_DURATION] = "the time was over",
		[RECORDER_END_SIZE] = "the file was as large as asked for",
		[RECORDER_END_GIVEN_UP] = "no vCPU could be traced any more",
		[RECORDER_END_INSNS] = "as many instructions ran as were asked for",
		[RECORDER_END_ERROR] = "the recorder failed",
	};

	return names[end];
}

const char *recorder_why(const struct recorder *recorder, char buf[RECORDER_WHY_MAX])
{
	const char *reason = recorder->reason;

	snprintf(buf, RECORDER_WHY_MAX, "%s%s%s", end_name(recorder->end),
		 reason ? ": " : "", reason ? reason : "");
	return buf;
}

/* ---- life ---------------------------------------------------------------- */

static bool add_vcpu(struct recorder *recorder, uint32_t id)
{
	struct recorder_vcpu *vcpu = array_add(&recorder->vcpus);

	if (vcpu)
		*vcpu = (struct recorder_vcpu){ .id = id };
	return vcpu;
}

static struct xenpt_error *add_vcpus(struct recorder *recorder)
{
	const struct hv_trace *trace = &recorder->options.trace;
	size_t count = trace->vcpus ? trace->vcpu_count : recorder->domain->info->vcpus;

	for (size_t i = 0; i < count; i++) {
		if (!add_vcpu(recorder, trace->vcpus ? trace->vcpus[i] : (uint32_t)i))
			return xenpt_error_no_memory();
	}
	return NULL;
}

struct xenpt_error *recorder_create(struct hv_domain *domain, struct xenpt_writer *writer,
				    const struct recorder_options *options,
				    struct xenpt_ui *ui, struct recorder **ret)
{
	_cleanup_(recorder_cleanup) struct recorder *recorder =
		calloc(1, sizeof(*recorder));

	if (!recorder)
		return xenpt_error_no_memory();
	recorder->options = *options;
	recorder->domain = domain;
	recorder->writer = writer;
	recorder->ui = ui;
	recorder->period = RECORD_PERIOD_MIN;
	recorder->staging = malloc(DRAIN_STAGING);
	if (!recorder->staging)
		return xenpt_error_no_memory();
	XENPT_TRY(add_vcpus(recorder));
	XENPT_TRY(record_pages_create(domain->mem, writer, options->trace.cr3,
				      &recorder->pages));
	if (options->image)
		XENPT_TRY(xenpt_capture_create(&domain->info->cpu, record_pages_take,
					       recorder->pages, &recorder->capture));
	*ret = no_cleanup_ptr(recorder);
	return NULL;
}

void recorder_destroy(struct recorder *recorder)
{
	if (!recorder)
		return;
	xenpt_capture_destroy(recorder->capture);
	record_pages_destroy(recorder->pages);
	for (size_t i = 0; i < recorder->vcpus.count; i++)
		array_deinit(&recorder->vcpus.data[i].held);
	array_deinit(&recorder->vcpus);
	free(recorder->staging);
	free(recorder);
}

/* ---- beginning ----------------------------------------------------------- */

static struct xenpt_error *describe(struct recorder *recorder)
{
	const struct hv_info *info = recorder->domain->info;
	const char *mode = recorder->domain->mode;
	_cleanup_free_ char *backend = NULL;
	struct xenpt_domain domain = {
		.name = info->name ? info->name : "",
		.uuid = info->uuid ? info->uuid : "",
		.type = info->type,
		.vcpus = info->vcpus,
		.memory = info->memory,
	};
	struct xenpt_cpu cpu = info->cpu;

	if (asprintf(&backend, "%s%s%s%s", recorder->domain->ops->name, mode ? " (" : "",
		     mode ? mode : "", mode ? ")" : "") < 0)
		return xenpt_error_no_memory();
	domain.backend = backend;
	if (recorder->options.trace.mtc >= 0)
		cpu.mtc_freq = (uint8_t)recorder->options.trace.mtc;
	XENPT_TRY(xenpt_writer_cpu(recorder->writer, &cpu));
	XENPT_TRY(xenpt_writer_domain(recorder->writer, &domain));
	/* A guest without names is still a guest; a writer that failed says so again. */
	if (info->kernel)
		xenpt_error_destroy(
			xenpt_import_kernel(recorder->writer, 1, info->kernel, "kernel"));
	for (size_t i = 0; i < recorder->vcpus.count; i++) {
		struct xenpt_vcpu vcpu = { .id = recorder->vcpus.data[i].id, .name = "" };

		XENPT_TRY(xenpt_writer_vcpu(recorder->writer, &vcpu));
	}
	return NULL;
}

/* What fails because the domain has ended meanwhile is no failure of the recording. */
static struct xenpt_error *unless_ended(const struct recorder *recorder,
					struct xenpt_error *err)
{
	if (!err || recorder->domain->info->state != HV_ENDED)
		return err;
	xenpt_error_destroy(err);
	return NULL;
}

/* What the vCPUs, which are held, are in: it is where their written trace ends. */
static struct xenpt_error *sample(struct recorder *recorder)
{
	static const struct xenpt_registers none;
	struct hv_domain *domain = recorder->domain;

	for (size_t i = 0; i < recorder->vcpus.count; i++) {
		struct recorder_vcpu *vcpu = &recorder->vcpus.data[i];
		struct xenpt_registers regs = {};
		uint32_t id = vcpu->id;

		XENPT_TRY(xenpt_error_prepend(domain->ops->registers(domain, id, &regs),
					      "vCPU %u", id));
		/* One that is offline has none. */
		vcpu->offline = memcmp(&regs, &none, sizeof(regs)) == 0;
		if (vcpu->offline)
			continue;
		record_pages_hint(recorder->pages, &regs);
		XENPT_TRY(xenpt_writer_registers(recorder->writer, id, &regs));
	}
	return NULL;
}

static struct xenpt_error *find_rings(struct recorder *recorder)
{
	struct hv_domain *domain = recorder->domain;

	for (size_t i = 0; i < recorder->vcpus.count; i++) {
		struct recorder_vcpu *vcpu = &recorder->vcpus.data[i];
		const uint8_t *data;
		size_t size = 0;

		data = domain->ops->buffer(domain, vcpu->id, &size);
		if (!data)
			return xenpt_error_create(XENPT_ERROR_INVALID,
						  "vCPU %u has no buffer", vcpu->id);
		ring_init(&vcpu->ring, data, size);
	}
	return NULL;
}

static struct xenpt_error *begin(struct recorder *recorder)
{
	struct hv_domain *domain = recorder->domain;

	XENPT_TRY(describe(recorder));
	XENPT_TRY(domain->ops->pause(domain));
	XENPT_TRY(sample(recorder));
	XENPT_TRY(domain->ops->trace_start(domain, &recorder->options.trace));
	recorder->tracing = true;
	if (recorder->options.size_given && domain->size_note)
		recorder->ui->warn("-b: %s", domain->size_note);
	if (domain->mode)
		recorder->ui->warn("%s: %s is run one instruction at a time, and is very "
				   "slow until the end",
				   domain->mode, domain->info->name);
	XENPT_TRY(find_rings(recorder));
	return unless_ended(recorder, domain->ops->resume(domain));
}

/* ---- while it runs ------------------------------------------------------- */

static struct recorder_vcpu *find_vcpu(struct recorder *recorder, uint32_t id)
{
	for (size_t i = 0; i < recorder->vcpus.count; i++) {
		if (recorder->vcpus.data[i].id == id)
			return &recorder->vcpus.data[i];
	}
	return NULL;
}

/* Something else that happens is no reason to hold the vCPUs once more. */
static bool may_look(const struct recorder *recorder)
{
	uint64_t cost = recorder->domain->position_cost;

	return !cost || recorder_now() - recorder->looked >=
				record_period_least(cost, recorder->vcpus.count);
}

/* Look at all rings. How soon again depends on the one that was filled most since. */
static struct xenpt_error *look(struct recorder *recorder)
{
	int64_t now = recorder->looked = recorder_now();
	uint64_t most = 0;

	for (size_t i = 0; i < recorder->vcpus.count; i++) {
		struct recorder_vcpu *vcpu = &recorder->vcpus.data[i];
		uint64_t before = vcpu->ring.last, share;

		XENPT_TRY(recorder->options.flight ? drain_check(recorder, vcpu)
						   : drain_vcpu(recorder, vcpu, false));
		share = record_period_share(vcpu->ring.last - before, vcpu->ring.size);
		if (vcpu->ring.last > before && share > most)
			most = share;
		if (vcpu->held.count && now - vcpu->held_since >= HELD_MAX)
			XENPT_TRY(drain_settle(recorder, vcpu));
	}
	recorder->period = record_period_next(recorder->period, most,
					      recorder->domain->position_cost,
					      recorder->vcpus.count);
	return NULL;
}

/* Code is about to change: what ran until now ran with the old. */
static struct xenpt_error *begin_epoch(struct recorder *recorder)
{
	struct hv_domain *domain = recorder->domain;

	for (size_t i = 0; i < recorder->vcpus.count; i++)
		XENPT_TRY(drain_vcpu(recorder, &recorder->vcpus.data[i], true));
	XENPT_TRY(drain_flush(recorder));
	/*
	 * The next PSB+ comes with tracing off: it proves no missing PIP, but registers
	 * do.
	 */
	XENPT_TRY(sample(recorder));
	XENPT_TRY(xenpt_writer_epoch(recorder->writer));
	if (recorder->capture)
		xenpt_capture_forget(recorder->capture);
	return domain->ops->resume(domain);
}

/* Nobody will read the trace of one that was given up, but it waits for that. */
static struct xenpt_error *let_go(struct recorder *recorder, struct recorder_vcpu *vcpu)
{
	struct hv_domain *domain = recorder->domain;
	struct hv_position position;

	XENPT_TRY(domain->ops->position(domain, vcpu->id, &position));
	return domain->ops->consume(domain, vcpu->id, position.total);
}

static void note_state(struct recorder *recorder)
{
	if (recorder->end || recorder->options.until == RECORDER_UNTIL_SIGNAL)
		return;
	if (recorder->domain->info->state == HV_CRASHED)
		recorder->end = RECORDER_END_CRASHED;
	else if (recorder->domain->info->state == HV_ENDED)
		recorder->end = RECORDER_END_ENDED;
	if (recorder->end)
		recorder->reason = recorder->domain->info->reason;
}

static struct xenpt_error *take_event(struct recorder *recorder,
				      const struct hv_event *event)
{
	struct recorder_vcpu *vcpu;

	switch (event->type) {
	case HV_EVENT_DATA:
	case HV_EVENT_FULL:
		vcpu = find_vcpu(recorder, event->vcpu);
		if (!vcpu || recorder->options.flight)
			return NULL;
		if (vcpu->given_up)
			return let_go(recorder, vcpu);
		return drain_vcpu(recorder, vcpu, false);
	case HV_EVENT_CODE:
		return begin_epoch(recorder);
	case HV_EVENT_STATE:
		note_state(recorder);
		return NULL;
	default:
		return NULL;
	}
}

/* As many as there were, so that a guest that makes more cannot hold us up here. */
static struct xenpt_error *take_events(struct recorder *recorder)
{
	struct hv_domain *domain = recorder->domain;
	struct hv_event event;

	for (unsigned int i = 0; i < 64; i++) {
		XENPT_TRY(domain->ops->event(domain, &event));
		if (event.type == HV_EVENT_NONE)
			return NULL;
		XENPT_TRY(take_event(recorder, &event));
	}
	return NULL;
}

static void take_signal(struct recorder *recorder)
{
	struct signalfd_siginfo info;

	if (read(recorder->options.signals, &info, sizeof(info)) == sizeof(info))
		recorder->end = RECORDER_END_SIGNAL;
}

/* One that was offline, and did nothing since, is not waited for. */
static bool idles(const struct recorder *recorder, const struct recorder_vcpu *vcpu)
{
	return recorder->options.trace.insns && vcpu->offline && !vcpu->ring.last &&
	       !vcpu->troubles;
}

/* None is traced any more; *@done_ret: of one at least that was to be so. */
static bool all_ended(const struct recorder *recorder, bool *done_ret)
{
	bool any = false;

	*done_ret = false;
	for (size_t i = 0; i < recorder->vcpus.count; i++) {
		const struct recorder_vcpu *vcpu = &recorder->vcpus.data[i];

		if (!vcpu->given_up && !vcpu->done && !idles(recorder, vcpu))
			return false;
		any |= vcpu->given_up || vcpu->done;
		*done_ret |= vcpu->done;
	}
	return any;
}

/* Limits of the recording itself. */
static void check_limits(struct recorder *recorder)
{
	const struct recorder_options *options = &recorder->options;
	bool done;

	if (recorder->end)
		return;
	if (all_ended(recorder, &done))
		recorder->end = done ? RECORDER_END_INSNS : RECORDER_END_GIVEN_UP;
	else if (options->duration &&
		 recorder_now() - recorder->started >= options->duration)
		recorder->end = RECORDER_END_DURATION;
	else if (options->max_size &&
		 xenpt_writer_size(recorder->writer) >= options->max_size)
		recorder->end = RECORDER_END_SIZE;
}

/* ms until something is to be done though nothing was heard of. */
static int time_to_wait(const struct recorder *recorder)
{
	int64_t left = recorder->period;

	if (recorder->options.duration) {
		left = recorder->started + recorder->options.duration - recorder_now();
		if (left < 0)
			left = 0;
	}
	return left < recorder->period ? (int)left : recorder->period;
}

struct xenpt_error *recorder_run(struct recorder *recorder)
{
	struct hv_domain *domain = recorder->domain;
	struct pollfd fds[] = {
		{ .fd = recorder->options.signals, .events = POLLIN },
		{ .fd = -1, .events = POLLIN },
	};

	recorder->started = recorder->shown = recorder_now();
	XENPT_TRY(begin(recorder));
	note_state(recorder);
	while (!recorder->end) {
		fds[1].fd = domain->ops->fd(domain);
		if (poll(fds, 2, time_to_wait(recorder)) < 0 && errno != EINTR)
			return xenpt_error_os(errno, "poll");
		if (fds[0].revents)
			take_signal(recorder);
		XENPT_TRY(take_events(recorder));
		if (may_look(recorder))
			XENPT_TRY(look(recorder));
		/* Looking finds a domain that is gone before any event tells of it. */
		note_state(recorder);
		check_limits(recorder);
		record_meter_show(recorder);
	}
	return NULL;
}

/* ---- ending -------------------------------------------------------------- */

static struct xenpt_error *drain_all(struct recorder *recorder)
{
	for (size_t i = 0; i < recorder->vcpus.count; i++) {
		struct recorder_vcpu *vcpu = &recorder->vcpus.data[i];

		XENPT_TRY(recorder->options.flight ? drain_flight(recorder, vcpu)
						   : drain_vcpu(recorder, vcpu, true));
	}
	return NULL;
}

static struct xenpt_error *write_outcome(struct recorder *recorder)
{
	struct hv_domain *domain = recorder->domain;
	_cleanup_free_ char *console = NULL;
	char why[RECORDER_WHY_MAX];
	struct xenpt_outcome outcome = {
		.why = recorder_why(recorder, why),
		/* What crashed and was destroyed since has crashed. */
		.crashed = domain->info->state == HV_CRASHED ||
			   recorder->end == RECORDER_END_CRASHED,
	};

	/* One that is gone has none. */
	xenpt_error_destroy(domain->ops->console(domain, &console));
	outcome.console = console ? console : "";
	return xenpt_writer_outcome(recorder->writer, &outcome);
}

/* The first error counts. */
static void keep_first(struct xenpt_error **err, struct xenpt_error *next)
{
	if (*err)
		xenpt_error_destroy(next);
	else
		*err = next;
}

/* Held, the guest changes nothing of what its last trace needs. */
static struct xenpt_error *write_rest(struct recorder *recorder)
{
	struct hv_domain *domain = recorder->domain;
	bool alive =
		domain->info->state == HV_RUNNING || domain->info->state == HV_PAUSED;
	struct xenpt_error *err = NULL;

	if (alive)
		keep_first(&err, unless_ended(recorder, domain->ops->pause(domain)));
	keep_first(&err, domain->ops->trace_stop(domain));
	recorder->tracing = false;
	keep_first(&err, drain_all(recorder));
	/* What was read before, if no more can be. */
	keep_first(&err, drain_flush(recorder));
	if (domain->info->state != HV_ENDED)
		keep_first(&err, unless_ended(recorder, sample(recorder)));
	if (alive)
		keep_first(&err, unless_ended(recorder, domain->ops->resume(domain)));
	return err;
}

struct xenpt_error *recorder_finish(struct recorder *recorder, struct xenpt_error *err)
{
	if (err) {
		recorder->end = RECORDER_END_ERROR;
		recorder->reason = NULL;
	}
	if (recorder->tracing)
		keep_first(&err, write_rest(recorder));
	record_meter_hide(recorder);
	keep_first(&err, write_outcome(recorder));
	keep_first(&err, xenpt_writer_finish(recorder->writer));
	return err;
}
