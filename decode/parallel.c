/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "flow.h"
#include "host-pip.h"
#include "parallel.h"
#include "segment.h"
#include "trust.h"

#define BATCH_EVENTS 1024

/* Batches that a job may hold: what a usual span makes. */
#define JOB_BATCHES 32

/* Trace in all jobs beyond which only a lane that has no job gets one. */
#define JOBS_SIZE_MAX (32 << 20)

struct batch {
	struct batch *next;
	size_t count;
	struct xenpt_event events[BATCH_EVENTS];
};

/* A worker: a thread, the first one the reader's, and the code for its engine. */
struct worker {
	struct lanes *lanes;
	struct flow_code *code;
	pthread_t thread;
	bool started;
};

struct job {
	struct job *next;
	struct segment segment;
	struct worker *worker; /* whose code the flow uses; NULL: not begun */
	struct flow *flow;
	struct flow_state state; /* at the end, once done */
	struct xenpt_stats counts;
	bool running;
	bool done;
	bool read; /* the reader has had its first batch */
	struct batch *first, **last;
	size_t batches;
	struct xenpt_error *err; /* after the events */
};

struct lane {
	struct segmenter *segmenter;
	struct job *first, **last;
	size_t jobs;
	bool cutting; /* somebody is in the segmenter */
	bool ended;   /* no jobs will come any more */
	struct xenpt_error *err;
	struct trust_verdict verdict;
	struct flow_state known; /* at the end of the job before the first */
	struct batch *current;   /* the reader's */
	uint64_t read;           /* bytes of trace */
	uint64_t end;            /* offset of those that were read */
	struct xenpt_stats counts;
};

struct lanes {
	const struct flow_ops *ops;
	const struct xenpt_cpu *cpu;
	struct worker *workers;
	size_t worker_count;
	bool count_blocks;

	pthread_mutex_t mutex; /* over all below */
	pthread_cond_t work;   /* there may be something to do */
	pthread_cond_t ready;  /* there may be something to read */
	bool stop;
	struct lane *lanes;
	size_t lane_count;
	size_t wanted;    /* the lane that was read last */
	size_t jobs;      /* in all lanes */
	size_t jobs_size; /* bytes of trace in them */
	uint64_t done;
	struct batch *unused;
};

/* ---- jobs ---- */

static void job_destroy(const struct lanes *lanes, struct job *job)
{
	struct batch *batch, *next;

	if (!job)
		return;
	for (batch = job->first; batch; batch = next) {
		next = batch->next;
		free(batch);
	}
	lanes->ops->destroy(job->flow);
	segment_deinit(&job->segment);
	xenpt_error_destroy(job->err);
	free(job);
}

/* A batch for a job to fill. Unlocks for the allocation. */
static struct batch *batch_get(struct lanes *lanes)
{
	struct batch *batch = lanes->unused;

	if (batch) {
		lanes->unused = batch->next;
		return batch;
	}
	pthread_mutex_unlock(&lanes->mutex);
	batch = malloc(sizeof(*batch));
	pthread_mutex_lock(&lanes->mutex);
	return batch;
}

static void batch_put(struct lanes *lanes, struct batch *batch)
{
	if (!batch)
		return;
	batch->next = lanes->unused;
	lanes->unused = batch;
}

/* Fill @batch with the job's next events. False: the job is done. No lock is held. */
static bool job_step(struct lanes *lanes, struct job *job, struct batch *batch)
{
	size_t count;
	bool more;

	batch->count = 0;
	if (!job->flow) {
		batch->count = job->segment.note_count;
		memcpy(batch->events, job->segment.notes,
		       batch->count * sizeof(*batch->events));
		if (!job->segment.span.size)
			return false;
		host_pips_hide(job->segment.data, job->segment.span.size);
		job->err = lanes->ops->create(
			lanes->cpu, job->worker->code, &job->segment.span,
			lanes->count_blocks ? &job->counts : NULL, &job->flow);
		if (job->err)
			return false;
	}
	more = lanes->ops->next(job->flow, batch->events + batch->count,
				BATCH_EVENTS - batch->count, &count);
	batch->count += count;
	if (!more)
		job->state = *lanes->ops->state(job->flow);
	return more;
}

/* ---- work ---- */

static bool job_can_run(const struct job *job, const struct worker *worker)
{
	return !job->done && !job->running && job->batches < JOB_BATCHES &&
	       (!job->worker || job->worker == worker);
}

/* The job whose events are needed soonest: the nearest to the front of its lane. */
static struct job *pick_job(struct lanes *lanes, const struct worker *worker)
{
	struct job *best = NULL;
	size_t best_depth = SIZE_MAX;

	for (size_t i = 0; i < lanes->lane_count && best_depth > 0; i++) {
		struct job *job = lanes->lanes[i].first;

		for (size_t depth = 0; job && depth < best_depth; depth++) {
			if (job_can_run(job, worker)) {
				best = job;
				best_depth = depth;
				break;
			}
			job = job->next;
		}
	}
	return best;
}

static bool lane_can_grow(const struct lane *lane)
{
	return !lane->cutting && !lane->ended;
}

/* The lane that should get a job: one that has none, or the one being read. */
static struct lane *pick_lane(struct lanes *lanes)
{
	struct lane *wanted = &lanes->lanes[lanes->wanted];

	if (!lanes->lane_count)
		return NULL;
	if (!wanted->jobs && lane_can_grow(wanted))
		return wanted;
	for (size_t i = 0; i < lanes->lane_count; i++) {
		if (!lanes->lanes[i].jobs && lane_can_grow(&lanes->lanes[i]))
			return &lanes->lanes[i];
	}
	if (lanes->jobs >= 2 * lanes->worker_count + lanes->lane_count ||
	    lanes->jobs_size >= JOBS_SIZE_MAX || lanes->worker_count == 1)
		return NULL;
	return lane_can_grow(wanted) ? wanted : NULL;
}

static void run_job(struct lanes *lanes, struct worker *worker, struct job *job)
{
	struct batch *batch;
	bool more = false;

	job->running = true;
	job->worker = worker;
	batch = batch_get(lanes);
	if (batch) {
		pthread_mutex_unlock(&lanes->mutex);
		more = job_step(lanes, job, batch);
		pthread_mutex_lock(&lanes->mutex);
	} else {
		job->err = xenpt_error_no_memory();
	}
	job->running = false;
	job->done = !more;
	if (batch && batch->count) {
		batch->next = NULL;
		*job->last = batch;
		job->last = &batch->next;
		job->batches++;
	} else {
		batch_put(lanes, batch);
	}
	pthread_cond_signal(&lanes->ready);
}

static void cut_job(struct lanes *lanes, struct lane *lane)
{
	struct xenpt_error *err;
	struct job *job;
	bool end = false;

	lane->cutting = true;
	pthread_mutex_unlock(&lanes->mutex);
	job = calloc(1, sizeof(*job));
	err = job ? segmenter_next(lane->segmenter, &job->segment, &end)
		  : xenpt_error_no_memory();
	pthread_mutex_lock(&lanes->mutex);
	lane->cutting = false;
	if (err || end) {
		lane->err = err;
		lane->ended = true;
		free(job);
	} else {
		job->last = &job->first;
		*lane->last = job;
		lane->last = &job->next;
		lane->jobs++;
		lanes->jobs++;
		lanes->jobs_size += job->segment.span.size;
		pthread_cond_signal(&lanes->work);
	}
	pthread_cond_signal(&lanes->ready);
}

/* Do the most urgent piece of work. False: there is none. Locked. */
static bool work_once(struct lanes *lanes, struct worker *worker)
{
	struct job *job = pick_job(lanes, worker);
	struct lane *lane;

	/* Others shall find something to do, too: cut before the last job is taken. */
	lane = pick_lane(lanes);
	if (lane && (!job || lanes->worker_count > 1)) {
		cut_job(lanes, lane);
		return true;
	}
	if (!job)
		return false;
	run_job(lanes, worker, job);
	return true;
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct lanes *lanes = worker->lanes;

	pthread_mutex_lock(&lanes->mutex);
	while (!lanes->stop) {
		if (!work_once(lanes, worker))
			pthread_cond_wait(&lanes->work, &lanes->mutex);
	}
	pthread_mutex_unlock(&lanes->mutex);
	return NULL;
}

/* ---- reading ---- */

/* Whether a state that a PSB+ tells is what was known before it. */
static bool is_known(const struct flow_state *known, const struct xenpt_event *event)
{
	switch (event->type) {
	case XENPT_EVENT_CR3:
		return event->value == known->cr3;
	case XENPT_EVENT_VMCS:
		return event->value == known->vmcs;
	case XENPT_EVENT_MODE:
		return event->mode == known->mode;
	case XENPT_EVENT_TSX:
		return event->value == known->tsx;
	case XENPT_EVENT_CBR:
		return event->value == known->cbr;
	case XENPT_EVENT_DOUBT:
		return true;
	default:
		return false;
	}
}

/* Whether a span's first event makes a doubt, as those that go before it may. */
static bool is_doubt(const struct flow_state *known, struct xenpt_event *event)
{
	if (event->type != XENPT_EVENT_DOUBT || !trust_join(&known->trust, event))
		return false;
	event->time = known->time;
	event->mode = known->mode;
	return true;
}

/*
 * A span begins with all of its PSB+, after the notes: leave out what is no news. Nothing
 * is known of what goes before one that is not joined, but that it makes no doubt.
 */
static void drop_known(const struct flow_state *known, const struct segment *segment,
		       struct batch *batch)
{
	struct xenpt_event *events = batch->events;
	size_t kept = segment->note_count, i;

	for (i = kept; i < batch->count && events[i].status; i++) {
		bool news = segment->joined ? !is_known(known, &events[i])
					    : events[i].type != XENPT_EVENT_DOUBT;

		if (news || (segment->joined && is_doubt(known, &events[i])))
			events[kept++] = events[i];
	}
	if (kept == i)
		return;
	memmove(events + kept, events + i, (batch->count - i) * sizeof(*events));
	batch->count -= i - kept;
}

/* What the segmenter notes of a change of code, it notes without what it comes in. */
static void place_notes(const struct flow_state *known, const struct job *job,
			struct batch *batch)
{
	for (size_t i = 0; i < job->segment.note_count; i++) {
		struct xenpt_event *event = &batch->events[i];

		if (event->type != XENPT_EVENT_CODE)
			continue;
		event->time = known->time;
		if (!job->segment.joined)
			continue;
		event->cr3 = known->cr3;
		event->mode = known->mode;
	}
}

static void judge(struct lane *lane, struct batch *batch)
{
	size_t kept = 0;

	for (size_t i = 0; i < batch->count; i++) {
		struct xenpt_event *event = &batch->events[i];

		if (event->type == XENPT_EVENT_DOUBT &&
		    !trust_judge(&lane->verdict, event))
			continue;
		if (kept < i)
			batch->events[kept] = *event;
		kept++;
	}
	batch->count = kept;
}

/* The first job has been read to its end. */
static struct xenpt_error *end_job(struct lanes *lanes, struct lane *lane)
{
	struct job *job = lane->first;
	struct xenpt_error *err = no_cleanup_ptr(job->err);

	lane->first = job->next;
	if (!lane->first)
		lane->last = &lane->first;
	if (job->flow)
		lane->known = job->state;
	xenpt_stats_merge(&lane->counts, &job->counts);
	lane->jobs--;
	lanes->jobs--;
	lanes->jobs_size -= job->segment.span.size;
	lanes->done += job->segment.read - lane->read;
	lane->read = job->segment.read;
	if (job->segment.span.size)
		lane->end = job->segment.span.offset + job->segment.span.size;
	job_destroy(lanes, job);
	pthread_cond_broadcast(&lanes->work);
	return err;
}

/* The first batch of a job: what was known before it is known here. */
static void begin_job(const struct lane *lane, const struct job *job, struct batch *batch)
{
	place_notes(&lane->known, job, batch);
	drop_known(&lane->known, &job->segment, batch);
}

/* The end of the lane, or what is to be said there. */
static struct xenpt_error *close_lane(struct lanes *lanes, struct lane *lane,
				      struct batch **ret)
{
	struct xenpt_event event;
	struct batch *batch;

	if (lane->err)
		return no_cleanup_ptr(lane->err);
	*ret = NULL;
	if (!trust_close(&lane->verdict, &lane->known, lane->end, &event))
		return NULL;
	batch = batch_get(lanes);
	if (!batch)
		return xenpt_error_no_memory();
	batch->events[0] = event;
	batch->count = 1;
	*ret = batch;
	return NULL;
}

/* The lane's next batch, NULL at its end. Locked. */
static struct xenpt_error *take_batch(struct lanes *lanes, struct lane *lane,
				      struct batch **ret)
{
	for (;;) {
		struct job *job = lane->first;

		if (job && job->first) {
			struct batch *batch = job->first;

			job->first = batch->next;
			if (!job->first)
				job->last = &job->first;
			if (job->batches-- == JOB_BATCHES)
				pthread_cond_broadcast(&lanes->work);
			if (!job->read)
				begin_job(lane, job, batch);
			job->read = true;
			judge(lane, batch);
			*ret = batch;
			return NULL;
		}
		if (job && job->done) {
			XENPT_TRY(end_job(lanes, lane));
			continue;
		}
		if (!job && lane->ended)
			return close_lane(lanes, lane, ret);
		if (!work_once(lanes, &lanes->workers[0]))
			pthread_cond_wait(&lanes->ready, &lanes->mutex);
	}
}

struct xenpt_error *lanes_next(struct lanes *lanes, size_t index,
			       const struct xenpt_event **ret, size_t *count_ret)
{
	struct lane *lane = &lanes->lanes[index];
	struct xenpt_error *err;
	struct batch *batch;

	pthread_mutex_lock(&lanes->mutex);
	if (lanes->wanted != index) {
		lanes->wanted = index;
		pthread_cond_broadcast(&lanes->work);
	}
	do {
		batch_put(lanes, lane->current);
		lane->current = NULL;
		err = take_batch(lanes, lane, &batch);
		if (!err)
			lane->current = batch;
	} while (!err && batch && !batch->count);
	pthread_mutex_unlock(&lanes->mutex);
	if (err)
		return err;
	*ret = batch ? batch->events : NULL;
	*count_ret = batch ? batch->count : 0;
	return NULL;
}

void lanes_add_counts(const struct lanes *lanes, size_t lane, struct xenpt_stats *stats)
{
	xenpt_stats_merge(stats, &lanes->lanes[lane].counts);
}

uint64_t lanes_done(const struct lanes *lanes)
{
	return lanes->done;
}

/* ---- life ---- */

void lanes_destroy(struct lanes *lanes)
{
	struct batch *batch, *next_batch;
	struct job *job, *next_job;

	if (!lanes)
		return;
	pthread_mutex_lock(&lanes->mutex);
	lanes->stop = true;
	pthread_cond_broadcast(&lanes->work);
	pthread_mutex_unlock(&lanes->mutex);
	for (size_t i = 0; i < lanes->worker_count; i++) {
		if (lanes->workers[i].started)
			pthread_join(lanes->workers[i].thread, NULL);
	}
	for (size_t i = 0; i < lanes->lane_count; i++) {
		struct lane *lane = &lanes->lanes[i];

		for (job = lane->first; job; job = next_job) {
			next_job = job->next;
			job_destroy(lanes, job);
		}
		segmenter_destroy(lane->segmenter);
		xenpt_error_destroy(lane->err);
		free(lane->current);
	}
	for (size_t i = 0; i < lanes->worker_count; i++)
		lanes->ops->code_destroy(lanes->workers[i].code);
	for (batch = lanes->unused; batch; batch = next_batch) {
		next_batch = batch->next;
		free(batch);
	}
	pthread_cond_destroy(&lanes->ready);
	pthread_cond_destroy(&lanes->work);
	pthread_mutex_destroy(&lanes->mutex);
	free(lanes->workers);
	free(lanes->lanes);
	free(lanes);
}

static struct xenpt_error *
start_workers(struct lanes *lanes, const struct xenpt_image *image, unsigned int threads)
{
	lanes->workers = calloc(threads, sizeof(*lanes->workers));
	if (!lanes->workers)
		return xenpt_error_no_memory();
	lanes->worker_count = threads;
	for (size_t i = 0; i < threads; i++) {
		lanes->workers[i].lanes = lanes;
		XENPT_TRY(lanes->ops->code_create(image, &lanes->workers[i].code));
	}
	for (size_t i = 1; i < threads; i++) {
		struct worker *worker = &lanes->workers[i];
		int errnum = pthread_create(&worker->thread, NULL, worker_main, worker);

		if (errnum)
			return xenpt_error_os(errnum, "cannot start a thread");
		worker->started = true;
	}
	return NULL;
}

struct xenpt_error *lanes_create(const struct xenpt_file *file,
				 const struct xenpt_image *image, const uint32_t *vcpus,
				 size_t count, unsigned int threads, bool count_blocks,
				 struct lanes **ret)
{
	_cleanup_(lanes_cleanup) struct lanes *lanes = calloc(1, sizeof(*lanes));

	if (!lanes)
		return xenpt_error_no_memory();
	pthread_mutex_init(&lanes->mutex, NULL);
	pthread_cond_init(&lanes->work, NULL);
	pthread_cond_init(&lanes->ready, NULL);
	lanes->ops = &flow_ipt;
	lanes->count_blocks = count_blocks;
	lanes->cpu = &xenpt_file_info(file)->cpu;
	lanes->lanes = calloc(count ? count : 1, sizeof(*lanes->lanes));
	if (!lanes->lanes)
		return xenpt_error_no_memory();
	for (size_t i = 0; i < count; i++) {
		struct lane *lane = &lanes->lanes[i];

		lane->last = &lane->first;
		lane->verdict.suspect = UINT64_MAX;
		lanes->lane_count++;
		XENPT_TRY(segmenter_create(file, vcpus[i], &lane->segmenter));
	}
	XENPT_TRY(start_workers(lanes, image, threads));
	*ret = no_cleanup_ptr(lanes);
	return NULL;
}
