/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A recording of a guest of stock Xen decodes, with the code that was in its memory. */
#include "tests/unit/vmtrace-record.h"

#include "decode.h"

#define SIZE 16384
#define CODE_GPA 0x8000
#define ROUNDS 600 /* of the loop at 0x1000, a byte each three */

static void set_entry(struct rig *rig, uint64_t table, unsigned int index, uint64_t entry)
{
	memcpy(rig->guest->memory + table + 8 * index, &entry, 8);
}

/* 0x1000 -> CODE_GPA */
static void load_code(struct rig *rig)
{
	set_entry(rig, CR3, 0, 0x6000 | 7);
	set_entry(rig, 0x6000, 0, 0x7000 | 7);
	set_entry(rig, 0x7000, 0, 0x9000 | 7);
	set_entry(rig, 0x9000, 1, CODE_GPA | 7);
	memcpy(rig->guest->memory + CODE_GPA, code, sizeof(code));
	for (uint32_t i = 0; i < rig->guest->vcpu_count; i++)
		rig->guest->vcpus[i].cpu.cr3 = CR3;
}

static unsigned int loops; /* that were traced, by all vCPUs */

static void run_loops(struct xen_script *script, const char *name, void *arg)
{
	struct recording *r = arg;
	struct trace trace = {};

	if (strcmp(name, "xc_vmtrace_output_position") != 0)
		return;
	trace_psb_plus(&trace, &psb_1000);
	trace_loops(&trace, ROUNDS);
	for (uint32_t i = 0; i < r->rig.guest->vcpu_count; i++) {
		if (xen_script_trace(r->rig.guest, i, trace.data, trace.size))
			loops += ROUNDS;
	}
	trace_deinit(&trace);
	if (++r->steps == r->end_at)
		xen_script_end(script, r->rig.guest, r->end_how);
}

static void start(struct recording *r, uint32_t vcpus)
{
	recording_init(r, vcpus, SIZE);
	r->options.image = true;
	r->rig.script->on_call = run_loops;
	load_code(&r->rig);
	loops = 0;
}

/* How often the function at 0x1010 was called. */
static size_t count_calls(struct recording *r, size_t *errors_ret)
{
	struct xenpt_decoder_options options = { .threads = 1 };
	struct xenpt_decoder *decoder;
	struct xenpt_batch batch;
	struct xenpt_file *file;
	size_t count = 0;

	*errors_ret = 0;
	check_error(xenpt_file_open(r->file.path, &file));
	check_error(xenpt_decoder_create(file, &options, &decoder));
	for (;;) {
		check_error(xenpt_decoder_next(decoder, &batch));
		if (!batch.count)
			break;
		for (size_t i = 0; i < batch.count; i++) {
			count += batch.events[i].type == XENPT_EVENT_BLOCK &&
				 batch.events[i].ip == 0x1010;
			*errors_ret += batch.events[i].type == XENPT_EVENT_ERROR;
		}
	}
	xenpt_decoder_destroy(decoder);
	xenpt_file_close(file);
	return count;
}

static void test_decodes(void **state)
{
	static const uint32_t counts[] = { 1, 4 };

	for (size_t i = 0; i < 2; i++) {
		struct recording r;
		size_t calls, errors;

		start(&r, counts[i]);
		record(&r);
		check_error(r.err);
		calls = count_calls(&r, &errors);
		assert_int_equal(0, errors);
		assert_true(loops >= 10 * ROUNDS);
		/* What is before each PSB+ is not finished. */
		assert_in_range(calls, loops, loops + loops / ROUNDS);
		recording_deinit(&r);
	}
}

/* Memory that cannot be mapped is missing, and nothing else. */
static void test_failing_calls(void **state)
{
	for (unsigned int n = 1;; n++) {
		struct recording r;
		unsigned int calls;
		size_t errors;

		start(&r, 1);
		r.end_at = 4;
		r.rig.script->fail_at = n;
		r.rig.script->fail_errno = EINVAL;
		record(&r);
		calls = r.rig.script->calls;
		if (!r.err)
			assert_true(count_calls(&r, &errors) || errors);
		recording_deinit(&r);
		if (calls < n)
			break;
	}
}

static void test_destroyed_at_each_call(void **state)
{
	for (unsigned int n = 1;; n++) {
		struct recording r;
		unsigned int calls;
		size_t errors;

		start(&r, 1);
		r.end_at = 4;
		r.rig.script->end_at = n;
		r.rig.script->end_how = SCRIPT_DESTROY;
		r.rig.script->end_domain = r.rig.guest;
		record(&r);
		calls = r.rig.script->calls;
		if (r.err)
			assert_false(r.began);
		else
			count_calls(&r, &errors);
		recording_deinit(&r);
		if (calls < n)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decodes),
		cmocka_unit_test(test_failing_calls),
		cmocka_unit_test(test_destroyed_at_each_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
