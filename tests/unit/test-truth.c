/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The comparison of recordings with what ran: of traces of known programs, that what is
 * right is found right, and each thing that is wrong is found.
 */
#include "decode.h"

#include <unistd.h>

#include "hv/sim/truth.h"
#include "tests/sim/truth.h"

#define OTHER 0x6000

/* A trace, and beside it what it is of. */
struct world {
	struct fixture fixture;
	struct trace trace;
	struct truth truth;
	struct decoded decoded;
	struct compared compared;
	uint64_t lost; /* bytes that are not in the file */
	uint64_t cr3;  /* the true one */
};

static void world_init(struct world *world)
{
	*world = (struct world){ .cr3 = CR3 };
	fixture_init(&world->fixture);
	world->truth.starts = 1;
}

static void world_deinit(struct world *world)
{
	decoded_deinit(&world->decoded);
	truth_deinit(&world->truth);
	fixture_deinit(&world->fixture);
}

static struct run *ran(struct world *world, uint64_t ip, uint64_t last, uint32_t insns)
{
	struct run *run = array_add(&world->truth.runs);

	assert_non_null(run);
	*run = (struct run){ .ip = ip, .last = last, .cr3 = world->cr3, .insns = insns };
	return run;
}

static uint64_t written; /* before what is in world->trace now */

static void psb(struct world *world, const struct psb *plus)
{
	struct truth_psb *psb = array_add(&world->truth.psbs);

	assert_non_null(psb);
	*psb = (struct truth_psb){
		.offset = written + world->trace.size + world->lost,
		.start = world->truth.starts,
		.run = world->truth.runs.count,
	};
	trace_psb_plus(&world->trace, plus);
}

/* The loop @n times, and then once with a jump at its end, so that places differ. */
static void loops(struct world *world, size_t n)
{
	for (size_t i = 0; i <= n; i++) {
		ran(world, 0x1000, 0x1000, 1);
		ran(world, 0x1010, 0x1011, 2);
		ran(world, 0x1005, 0x1005, 1);
		trace_tnt(&world->trace, i < n ? "11" : "10");
	}
	ran(world, 0x1007, 0x1007, 1);
}

/* Tracing goes off by an exit at the loop's begin. */
static void off(struct world *world)
{
	trace_ip(&world->trace, ppt_fup, 0x1000);
	trace_no_ip(&world->trace, ppt_tip_pgd);
}

static void on(struct world *world)
{
	trace_ip(&world->trace, ppt_tip_pge, 0x1000);
}

static void flush(struct world *world)
{
	written += world->trace.size;
	fixture_trace(&world->fixture, 0, &world->trace);
}

static void gap(struct world *world, enum xenpt_gap_reason reason, uint64_t lost)
{
	flush(world);
	check_error(xenpt_writer_gap(world->fixture.file.writer, 0, reason, lost));
}

static const char *judge(struct world *world, unsigned int flags)
{
	if (world->trace.size)
		flush(world);
	fixture_open(&world->fixture);
	decoded_deinit(&world->decoded);
	check_error(decoded_read(world->fixture.opened, 0, &world->decoded));
	compare(&world->truth, &world->decoded, flags, &world->compared);
	return world->compared.difference.what;
}

static void assert_same(struct world *world, unsigned int flags)
{
	const char *what = judge(world, flags);

	if (what)
		fail_msg("%s: decoded %zu, truth %zu", what,
			 world->compared.difference.decoded_run,
			 world->compared.difference.truth_run);
	if (!(flags & COMPARE_HOSTILE))
		assert_int_equal(world->compared.runs, world->decoded.runs.count);
}

static void world_whole(struct world *world)
{
	written = 0;
	world_init(world);
	psb(world, &psb_1000);
	loops(world, 5);
	loops(world, 3);
	psb(world, &psb_1000);
	loops(world, 7);
	off(world);
}

static void test_same(void **state)
{
	struct world world;
	uint64_t insns = 0;

	world_whole(&world);
	assert_same(&world, COMPARE_WHOLE);
	for (size_t i = 0; i < world.truth.runs.count; i++)
		insns += world.truth.runs.data[i].insns;
	assert_int_equal(world.compared.insns, insns);
	assert_same(&world, COMPARE_PREFIX);
	assert_same(&world, COMPARE_HOSTILE);
	assert_same(&world, 0);
	world_deinit(&world);
}

/* The truth is cut elsewhere: that is no difference. */
static void test_cuts(void **state)
{
	struct world world;
	struct run *runs;

	world_whole(&world);
	runs = malloc(2 * world.truth.runs.count * sizeof(*runs));
	assert_non_null(runs);
	for (size_t i = 0, n = 0; i <= world.truth.runs.count; i++) {
		if (i == world.truth.runs.count) {
			free(world.truth.runs.data);
			world.truth.runs.data = runs;
			world.truth.runs.count = n;
			break;
		}
		runs[n++] = world.truth.runs.data[i];
		if (runs[n - 1].ip != 0x1010)
			continue;
		runs[n] = runs[n - 1];
		runs[n - 1].last = 0x1010; /* nop */
		runs[n].ip = 0x1011;       /* ret */
		runs[n - 1].insns = runs[n].insns = 1;
		n++;
	}
	for (size_t i = 0; i < world.truth.psbs.count; i++)
		world.truth.psbs.data[i].run = world.truth.psbs.data[i].run / 13 * 17;
	assert_same(&world, COMPARE_WHOLE);
	world_deinit(&world);
}

/* Each run of the truth in turn is another one. */
static void test_each_wrong(void **state)
{
	struct world world;

	world_whole(&world);
	assert_same(&world, COMPARE_WHOLE);
	for (size_t i = 0; i < world.truth.runs.count; i++) {
		struct run *run = &world.truth.runs.data[i], right = *run;

		for (int kind = 0; kind < 4; kind++) {
			switch (kind) {
			case 0:
				run->ip += 0x100;
				run->last += 0x100;
				break;
			case 1:
				run->cr3 = OTHER;
				break;
			case 2:
				run->insns++;
				break;
			case 3:
				run->last -= run->last - run->ip ? 1 : 0x100;
				break;
			}
			assert_non_null(judge(&world, COMPARE_WHOLE));
			assert_in_range(world.compared.difference.truth_run, i, i + 1);
			assert_in_range(world.compared.difference.decoded_run, i, i + 2);
			*run = right;
		}
	}
	world_deinit(&world);
}

static void test_ends(void **state)
{
	struct world world;

	world_whole(&world);
	ran(&world, 0x1000, 0x1000, 1); /* that no trace tells of */
	assert_string_equal(judge(&world, COMPARE_WHOLE), "the end is missing");
	assert_string_equal(judge(&world, 0), "the end is missing");
	assert_same(&world, COMPARE_PREFIX);
	world.truth.runs.count -= 2;
	assert_string_equal(judge(&world, COMPARE_PREFIX), "more than ran");
	assert_int_equal(world.compared.difference.decoded_run, world.decoded.runs.count);
	world_deinit(&world);

	/* A beginning that is left out is no prefix. */
	world_whole(&world);
	memmove(world.truth.runs.data + 1, world.truth.runs.data,
		--world.truth.runs.count * sizeof(struct run));
	assert_non_null(judge(&world, COMPARE_PREFIX));
	world_deinit(&world);
}

/* Bytes that are known to be lost: it must go on where they say. */
static void world_lapped(struct world *world, uint64_t told)
{
	written = 0;
	world_init(world);
	psb(world, &psb_1000);
	loops(world, 5);
	gap(world, XENPT_GAP_LAPPED, told);
	world->lost += 1000;
	for (size_t i = 0; i < 50; i++)
		ran(world, 0x2000 + 16 * i, 0x2003 + 16 * i, 2); /* and nothing tells */
	psb(world, &psb_1000);
	loops(world, 5);
	off(world);
}

static void test_lapped(void **state)
{
	struct world world;

	world_lapped(&world, 1000);
	assert_same(&world, 0);
	assert_string_equal(judge(&world, COMPARE_WHOLE), "gaps");
	assert_string_equal(judge(&world, COMPARE_PREFIX), "gaps");
	assert_same(&world, COMPARE_HOSTILE);
	world_deinit(&world);

	world_lapped(&world, 999);
	assert_string_equal(judge(&world, 0), "a PSB that was put out elsewhere");
	world_deinit(&world);
}

/* Unknown how much: what fits, in the order in which it ran. */
static void test_unknown(void **state)
{
	struct world world;

	written = 0;
	world_init(&world);
	psb(&world, &psb_1000);
	loops(&world, 5);
	gap(&world, XENPT_GAP_STOPPED, 0);
	world.truth.starts++;
	world.lost -= written;
	for (size_t i = 4; i < 9; i++) {
		struct trace kept = world.trace;

		/* Of five pieces, the file has the last but one. */
		psb(&world, &psb_1000);
		loops(&world, i);
		off(&world);
		if (i == 7)
			continue;
		world.lost += world.trace.size - kept.size;
		world.trace.size = kept.size;
	}
	gap(&world, XENPT_GAP_STOPPED, 0);
	assert_same(&world, 0);

	for (size_t i = 0; i < world.truth.runs.count; i++) {
		if (world.truth.runs.data[i].ip == 0x1007)
			world.truth.runs.data[i].ip--;
	}
	assert_non_null(judge(&world, 0));
	world_deinit(&world);
}

/* A missing PIP: decoded in an address space that was left. */
static void world_no_pip(struct world *world, bool seen)
{
	struct psb other = psb_1000;

	written = 0;
	other.cr3 = OTHER;
	world_init(world);
	psb(world, &psb_1000);
	loops(world, 5);
	psb(world, &psb_1000);
	loops(world, 5);
	off(world);
	on(world);
	world->cr3 = OTHER;
	loops(world, 5);
	if (seen) {
		psb(world, &other);
		loops(world, 5);
	}
	off(world);
}

static void test_doubts(void **state)
{
	struct world world;

	world_no_pip(&world, true);
	assert_string_equal(judge(&world, 0), "doubts");
	assert_null(judge(&world, COMPARE_DOUBTS));
	/* The loop's 19 runs and one that is cut by the PSB. */
	assert_in_range(world.compared.wrong, 19, 20);
	/* Had it begun earlier, more would be wrong than is in doubt. */
	world.truth.runs.data[0].cr3 = OTHER;
	assert_string_equal(judge(&world, COMPARE_DOUBTS), "wrong, and not in doubt");
	assert_int_equal(world.compared.difference.decoded_run, 0);
	world_deinit(&world);

	world_no_pip(&world, false);
	assert_string_equal(judge(&world, COMPARE_DOUBTS), "wrong, and not in doubt");
	assert_string_equal(judge(&world, COMPARE_WHOLE), "another address space");
	world_deinit(&world);

	world_whole(&world);
	assert_string_equal(judge(&world, COMPARE_DOUBTS), "nothing is wrong");
	world_deinit(&world);
}

/* Where the trace names no address space any will do; but another is another. */
static void test_nameless(void **state)
{
	struct psb nameless = psb_1000;
	struct world world;

	nameless.cr3 = 0;
	written = 0;
	world_init(&world);
	psb(&world, &nameless);
	loops(&world, 5);
	off(&world);
	assert_same(&world, COMPARE_WHOLE | COMPARE_NAMELESS);
	assert_string_equal(judge(&world, COMPARE_WHOLE), "another address space");
	world_deinit(&world);

	world_whole(&world);
	world.truth.runs.data[2].cr3 = OTHER;
	assert_string_equal(judge(&world, COMPARE_WHOLE | COMPARE_NAMELESS),
			    "another address space");
	world_deinit(&world);
}

/* How many blocks of a guest are to be in a trace of that part of it. */
static void test_parts(void **state)
{
	static const struct {
		struct part part;
		size_t runs;
	} parts[] = {
		{ { .cr3 = XENPT_CR3_ANY }, 4 },
		{ { .cr3 = XENPT_CR3_ANY, .kernel = true, .user = true }, 4 },
		{ { .cr3 = XENPT_CR3_ANY, .kernel = true }, 1 },
		{ { .cr3 = XENPT_CR3_ANY, .user = true }, 3 },
		{ { .cr3 = CR3 }, 3 },
		{ { .cr3 = CR3, .user = true }, 2 },
		{ { .cr3 = OTHER, .kernel = true }, 0 },
	};
	const uint64_t kernel = 0xffffffff80000000;
	const struct truth_record records[] = {
		{ TRUTH_BLOCK, 1, 0, 1, CR3, 0x1000, 0x1000 },
		{ TRUTH_BLOCK, 1, 0, 1, CR3, kernel, kernel },
		{ TRUTH_BLOCK, 1, 0, 1, OTHER, 0x1000, 0x1000 },
		{ TRUTH_BLOCK, 1, 0, 1, CR3, 0x2000, 0x2000 },
	};
	struct test_file file;
	struct truth truth;

	test_file_init(&file);
	assert_int_equal(pwrite(file.fd, records, sizeof(records), 0), sizeof(records));
	assert_int_equal(ftruncate(file.fd, sizeof(records)), 0);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		check_error(truth_read(file.path, 0, &parts[i].part, &truth));
		assert_int_equal(truth.runs.count, parts[i].runs);
		truth_deinit(&truth);
	}
	test_file_deinit(&file);
}

static void test_records(void **state)
{
	const struct part all = { .cr3 = XENPT_CR3_ANY };
	const struct truth_record records[] = {
		{ .type = TRUTH_BLOCK, .ip = 1, .last = 1, .insns = 1 },
		{ .type = TRUTH_START },
		{ .type = TRUTH_PSB, .ip = 16 },
		{ .type = TRUTH_BLOCK, .ip = 2, .last = 3, .insns = 2, .traced = 1 },
		{ .type = TRUTH_BLOCK,
		  .ip = 9,
		  .last = 9,
		  .insns = 1,
		  .vcpu = 1,
		  .traced = 1 },
		{ .type = TRUTH_PSB, .ip = 99 },
		{ .type = TRUTH_STOP },
	};
	struct test_file file;
	struct truth truth;

	test_file_init(&file);
	assert_int_equal(pwrite(file.fd, records, sizeof(records), 0), sizeof(records));
	assert_int_equal(ftruncate(file.fd, sizeof(records)), 0);
	check_error(truth_read(file.path, 0, &all, &truth));
	assert_int_equal(truth.runs.count, 1);
	assert_int_equal(truth.runs.data[0].ip, 2);
	assert_int_equal(truth.psbs.count, 2);
	assert_int_equal(truth.psbs.data[0].run, 0);
	assert_int_equal(truth.psbs.data[1].run, 1);
	assert_int_equal(truth.psbs.data[1].offset, 99);
	truth_deinit(&truth);
	test_file_deinit(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),       cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_each_wrong), cmocka_unit_test(test_ends),
		cmocka_unit_test(test_lapped),     cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_doubts),     cmocka_unit_test(test_records),
		cmocka_unit_test(test_nameless),   cmocka_unit_test(test_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
