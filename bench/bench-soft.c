/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software packet generator, fed what a random guest executed: that has more
 * branches than compiled code, about every second instruction.
 */
#include "bench/bench.h"
#include "tests/unit/guest.h"
#include "tests/unit/pt-trace.h"

#define STEPS 400000
#define REPEAT 10

struct recorded {
	struct xpt_insn insn; /* size 0: an event before it */
	struct xpt_cpu_state after;
};

static struct recorded recorded[STEPS];
static struct xpt_cpu_state first;
static struct pt_trace trace;
static size_t written;

static void record(void)
{
	static struct guest guest;

	guest_init(&guest, 1, false);
	first = guest.cpu;
	for (size_t i = 0; i < STEPS; i++) {
		const struct guest_insn *insn = guest_insn(&guest);
		struct recorded *r = &recorded[i];

		r->insn.ip = guest.cpu.ip;
		if (random_below(&guest.random, 10000)) {
			r->insn.size = insn->size;
			memcpy(r->insn.bytes, guest.code->bytes + insn->offset,
			       insn->size);
			guest_step(&guest);
		} else {
			guest_interrupt(&guest);
		}
		r->after = guest.cpu;
	}
}

/* @arg: IA32_RTIT_CTL. */
static double run(void *arg, uint64_t *count_ret)
{
	const uint64_t *ctl = arg;
	double start = bench_now();
	struct xpt_soft soft;

	for (unsigned int n = 0; n < REPEAT; n++) {
		pt_trace_init(&trace, *ctl);
		xpt_soft_init(&soft, &trace.topa, &trace.msrs, 20, 5, true);
		xpt_soft_start(&soft, &first);
		for (size_t i = 0; i < STEPS; i++) {
			const struct recorded *r = &recorded[i];

			if (r->insn.size)
				xpt_soft_retire(&soft, &r->insn, &r->after);
			else
				xpt_soft_event(&soft, r->insn.ip, &r->after);
		}
		xpt_soft_stop(&soft, recorded[STEPS - 1].after.ip);
	}
	written = REPEAT * trace.topa.written;
	*count_ret = (uint64_t)STEPS * REPEAT;
	return bench_now() - start;
}

int main(void)
{
	enum {
		ALL = XPT_CTL_BRANCH_EN | XPT_CTL_OS | XPT_CTL_USER
	};
	static uint64_t branches = ALL, timed = ALL | XPT_CTL_TSC_EN | XPT_CTL_MTC_EN,
			cycles = ALL | XPT_CTL_TSC_EN | XPT_CTL_CYC_EN,
			user = XPT_CTL_BRANCH_EN | XPT_CTL_USER;
	struct bench_contestant contestants[] = {
		{ "xpt_soft_retire", run, &branches },
		{ "xpt_soft_retire, TSC and MTC", run, &timed },
		{ "xpt_soft_retire, TSC and CYC", run, &cycles },
		{ "xpt_soft_retire, user only", run, &user },
	};
	enum {
		COUNT = sizeof(contestants) / sizeof(contestants[0])
	};

	record();
	bench_run(contestants, COUNT);
	run(&branches, &contestants[0].count);
	printf("generator: %zu bytes of trace, %d rounds, medians\n", written,
	       BENCH_ROUNDS);
	bench_print(contestants, COUNT, written, "insns/s");
	return 0;
}
