/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole recordings of a guest of the scripted Xen: each time that a position is asked
 * for its vCPUs have run on, and at some of them it ends.
 */
#ifndef TEST_VMTRACE_RECORD_H
#define TEST_VMTRACE_RECORD_H

#include "tests/unit/vmtrace.h"

#include <errno.h>

#include "cmd/recorder.h"
#include "libxenpt/file.h"
#include "libxenpt/section.h"

#define NEVER UINT_MAX

/* More than a sixteenth of a ring of 16 KiB: or else the recorder waits longer. */
#define STEP 2000

struct recording {
	struct rig rig;
	struct recorder_options options;

	/* The guest. */
	unsigned int steps; /* positions that were asked for */
	size_t step;        /* bytes that each vCPU writes before each of them, … */
	unsigned int big_at;
	size_t big; /* … but before that one */
	unsigned int end_at;
	enum script_end end_how;
	unsigned int then_at; /* and then */
	enum script_end then_how;
	/* Positions since xenstored was last asked, most, while it runs. */
	unsigned int positions, positions_max;

	/* What came of it. */
	struct test_file file;
	struct xenpt_error *err;
	enum recorder_end end;
	bool began; /* all vCPUs were traced */
	unsigned int warned;
	char warning[256];
};

static struct recording *recording; /* whose terminal it is */

static XENPT_PRINTF(1, 2) void warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(recording->warning, sizeof(recording->warning), fmt, ap);
	va_end(ap);
	recording->warned++;
}

static XENPT_PRINTF(1, 2) void say(const char *fmt, ...)
{
}

static void show_status(const char *line)
{
}

static void run_guest(struct xen_script *script, const char *name, void *arg)
{
	struct recording *r = arg;
	struct rig *rig = &r->rig;
	bool ended;

	if (strcmp(name, "xs_check_watch") == 0)
		r->positions = 0;
	if (strcmp(name, "xc_vmtrace_output_position") != 0 &&
	    strcmp(name, "xenpt_position") != 0)
		return;
	r->steps++;
	ended = !rig->guest->used ||
		rig->guest->flags & (XEN_DOMINF_shutdown | XEN_DOMINF_dying);
	if (!ended && !rig->guest->pauses && ++r->positions > r->positions_max)
		r->positions_max = r->positions;
	for (uint32_t i = 0; i < rig->guest->vcpu_count; i++)
		rig_run(rig, i, r->steps == r->big_at ? r->big : r->step);
	if (r->steps == r->end_at)
		xen_script_end(script, rig->guest, r->end_how);
	if (r->steps == r->then_at)
		xen_script_end(script, rig->guest, r->then_how);
}

static inline void recording_init(struct recording *r, uint32_t vcpus, size_t size)
{
	*r = (struct recording){
		.options = { .trace = TRACE_ALL, .signals = -1 },
		.step = STEP,
		.end_at = 20,
		.end_how = SCRIPT_CRASH,
		.then_at = NEVER,
	};
	rig_init(&r->rig, vcpus, size);
	r->rig.script->on_call = run_guest;
	r->rig.script->arg = r;
	r->rig.script->console = "(XEN) d7v0 Triple fault\n";
	r->rig.script->console_size = 24;
	test_file_init(&r->file);
	recording = r;
}

static struct xenpt_error *record_domain(struct recording *r, struct hv_domain *domain)
{
	struct xenpt_ui ui = { .warn = warn, .say = say, .status = show_status };
	struct recorder *recorder;
	struct xenpt_error *err;

	XENPT_TRY(recorder_create(domain, r->file.writer, &r->options, &ui, &recorder));
	err = recorder_run(recorder);
	r->began = recorder->tracing;
	err = recorder_finish(recorder, err);
	r->end = recorder->end;
	recorder_destroy(recorder);
	return err;
}

/* As "xenpt record -d guest" does. */
static inline void record(struct recording *r)
{
	struct hv_domain *domain;

	r->err = hv_xen_ops.open("guest", NULL, &domain);
	if (r->err)
		return;
	r->err = record_domain(r, domain);
	domain->ops->close(domain);
}

static inline void recording_deinit(struct recording *r)
{
	xenpt_error_destroy(r->err);
	test_file_deinit(&r->file);
	rig_deinit(&r->rig);
}

/* ---- What is in the file --------------------------------------------------- */

#define GAPS_MAX 16

struct recorded {
	uint8_t *bytes;
	size_t size;
	struct {
		size_t at;
		uint8_t reason;
		uint64_t lost;
	} gaps[GAPS_MAX];
	size_t gap_count;
};

static inline void read_trace(struct xenpt_file *file, uint32_t vcpu,
			      struct recorded *ret)
{
	const struct xenpt_chunk *chunks;
	size_t count;

	*ret = (struct recorded){};
	chunks = xenpt_file_trace(file, vcpu, &count);
	for (size_t i = 0; i < count; i++) {
		if (chunks[i].type == XENPT_SECTION_GAP) {
			assert_true(ret->gap_count < GAPS_MAX);
			ret->gaps[ret->gap_count].at = ret->size;
			ret->gaps[ret->gap_count].reason = chunks[i].gap;
			ret->gaps[ret->gap_count++].lost = chunks[i].lost;
			continue;
		}
		ret->bytes = realloc(ret->bytes, ret->size + chunks[i].size);
		assert_non_null(ret->bytes);
		check_error(xenpt_file_read(file, &chunks[i], ret->bytes + ret->size));
		ret->size += chunks[i].size;
	}
}

/* Bytes [@at, @at + @size) of the file are those from @total on. */
static inline void check_bytes(const struct recorded *recorded, uint32_t vcpu, size_t at,
			       size_t size, uint64_t total)
{
	assert_true(at + size <= recorded->size);
	for (size_t i = 0; i < size; i++) {
		if (recorded->bytes[at + i] != rig_byte(vcpu, total + i))
			fail_msg("vCPU %u: byte %zu of the file is not number %zu", vcpu,
				 at + i, (size_t)total + i);
	}
}

/* All that was written, and nothing else. */
static inline void check_whole(struct recording *r, struct xenpt_file *file)
{
	for (uint32_t i = 0; i < r->rig.guest->vcpu_count; i++) {
		struct recorded recorded;

		read_trace(file, i, &recorded);
		assert_int_equal(0, recorded.gap_count);
		assert_int_equal(r->rig.written[i], recorded.size);
		check_bytes(&recorded, i, 0, recorded.size, 0);
		free(recorded.bytes);
	}
}

#endif
