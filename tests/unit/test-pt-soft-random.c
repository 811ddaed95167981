/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What random guests executed is what libipt decodes from the generator's packets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <intel-pt.h>

#include "hv/pt/pip.h"
#include "tests/unit/guest.h"
#include "tests/unit/pt-trace.h"

#define STEPS 4000
#define TRACED_MAX (2 * STEPS)
#define RATIO 20
#define SEEDS 10 /* for each set of options */
#define LOSSES_MAX 200
#define PSBS_MAX 4096

struct executed {
	uint64_t ip;
	uint8_t wide;
	uint8_t process; /* 0 or 1; 0 for the kernel */
};

#define CR3_1 (guest_cr3(1) & XPT_CR3_MASK)

static struct guest guest;
static struct pt_trace trace;
static struct xpt_soft soft;

static struct executed expected[TRACED_MAX], decoded[TRACED_MAX];
static size_t expected_count, decoded_count;

/* How many instructions came before each OVF: of @expected, and as decoded. */
static size_t expected_losses[LOSSES_MAX], decoded_losses[LOSSES_MAX];
static unsigned int expected_loss_count, decoded_loss_count;
static bool pages_go; /* now and then the output's pages are missing */

/* ---- what should be traced ---------------------------------------------------- */

static struct {
	bool context, filter, on, stopped;
} model;

static bool in_ranges(unsigned int kind, bool none)
{
	bool any = false, in = false;

	for (unsigned int i = 0; i < XPT_ADDR_RANGES_MAX; i++) {
		if ((trace.msrs.ctl >> XPT_CTL_ADDR_CFG_SHIFT(i) & 0xf) != kind)
			continue;
		any = true;
		in |= guest.cpu.ip >= trace.msrs.addr[2 * i] &&
		      guest.cpu.ip <= trace.msrs.addr[2 * i + 1];
	}
	return any ? in : none;
}

static void model_move(bool landed)
{
	bool context = trace.msrs.ctl & (guest.cpu.cpl ? XPT_CTL_USER : XPT_CTL_OS);

	if (trace.msrs.ctl & XPT_CTL_CR3_FILTER)
		context &= trace.msrs.cr3_match == (guest.cpu.cr3 & XPT_CR3_MASK);
	if (model.stopped)
		return;
	if (context && (landed || !model.context)) {
		model.filter = in_ranges(XPT_ADDR_FILTER, true);
		model.stopped = in_ranges(XPT_ADDR_STOP, false);
	}
	model.context = context;
	model.on = context && model.filter && !model.stopped;
}

static void model_start(void)
{
	memset(&model, 0, sizeof(model));
	model_move(true);
	/* TraceStop is for branches and events. */
	model.stopped = false;
	model.on = model.context && model.filter;
}

static void expect(void)
{
	if (!model.on)
		return;
	assert_true(expected_count < TRACED_MAX);
	expected[expected_count++] = (struct executed){
		.ip = guest.cpu.ip,
		.wide = guest.code->wide,
		.process = guest.code->kernel ? 0 : guest.process,
	};
}

/* ---- running ------------------------------------------------------------------ */

/* Where the generator says that PSBs are. */
static uint64_t told_psbs[PSBS_MAX];
static size_t told_psb_count;

static void note_psb(void)
{
	uint64_t at = xpt_soft_psb_at(&soft);

	if (at == (told_psb_count ? told_psbs[told_psb_count - 1] : XPT_SOFT_NO_PSB))
		return;
	assert_true(told_psb_count < PSBS_MAX);
	told_psbs[told_psb_count++] = at;
}

/* After each call of the generator. */
static void note(bool lost_before)
{
	note_psb();
	if (!lost_before || soft.s.overflow)
		return;
	assert_true(expected_loss_count < LOSSES_MAX);
	expected_losses[expected_loss_count++] = expected_count;
}

static void start(void)
{
	struct xpt_pip pip = { .stream_cr3 = XPT_CR3_UNKNOWN };
	bool lost = soft.s.overflow;

	soft.topa->status &= ~XPT_STATUS_STOPPED;
	xpt_pip_inject(&pip, &trace.topa, trace.msrs.ctl, guest.cpu.cr3, false, true);
	model_start();
	xpt_soft_start(&soft, &guest.cpu);
	note(lost);
}

/* A VM exit; now and then the vCPU runs on without being traced. */
static void leave(void)
{
	bool lost = soft.s.overflow;

	xpt_soft_stop(&soft, guest.cpu.ip);
	model.on = false;
	lost |= soft.s.overflow;
	trace.missing = false; /* the hypervisor sees to it */
	assert_int_equal(xpt_soft_flush(&soft), XPT_TOPA_OK);
	note(lost);
	if (random_below(&guest.random, 2)) {
		for (unsigned int n = random_below(&guest.random, 20); n; n--)
			guest_step(&guest);
		if (guest.code->kernel)
			guest_switch(&guest, random_below(&guest.random, 2));
	}
	start();
}

static void step(void)
{
	const struct guest_insn *one = guest_insn(&guest);
	const uint8_t *bytes = guest.code->bytes + one->offset;
	bool lost = soft.s.overflow;
	struct xpt_insn insn = {
		.ip = guest.cpu.ip,
		.size = one->size,
		.ptwrite = random_next(&guest.random),
	};

	memcpy(insn.bytes, bytes, one->size);
	/* INT n is an event at the instruction, which does not retire. */
	if (bytes[0] != 0xcc && bytes[0] != 0xcd)
		expect();
	model_move(guest_step(&guest));
	xpt_soft_retire(&soft, &insn, &guest.cpu);
	note(lost);
}

static void interrupt(void)
{
	bool lost = soft.s.overflow;
	uint64_t from = guest.cpu.ip;

	guest_interrupt(&guest);
	model_move(true);
	xpt_soft_event(&soft, from, &guest.cpu);
	note(lost);
}

static void run(uint64_t seed)
{
	/* Without OS no PIP tells processes apart, unless only one is traced. */
	guest_init(&guest, seed, !(trace.msrs.ctl & (XPT_CTL_OS | XPT_CTL_CR3_FILTER)));
	expected_count = 0;
	expected_loss_count = 0;
	told_psb_count = 0;
	xpt_soft_init(&soft, &trace.topa, &trace.msrs, RATIO, 5, true);
	start();
	for (unsigned int i = 0; i < STEPS; i++) {
		switch (random_below(&guest.random, 200)) {
		case 0 ... 3:
			interrupt();
			break;
		case 4:
			leave();
			break;
		}
		if (pages_go &&
		    random_below(&guest.random, trace.missing ? 400 : 200) == 0)
			trace.missing = !trace.missing;
		step();
		if (model.stopped && random_below(&guest.random, 10) == 0)
			leave();
	}
	leave(); /* and tell of what was lost at last */
	xpt_soft_stop(&soft, guest.cpu.ip);
	assert_true(trace.topa.written < TRACE_SIZE);
}

/* ---- decoding ----------------------------------------------------------------- */

static uint64_t cr3_at(const struct pt_asid *asid)
{
	return trace.msrs.ctl & XPT_CTL_OS ? asid->cr3 : CR3_1;
}

static int read_code(uint8_t *ret, size_t size, const struct pt_asid *asid, uint64_t ip,
		     void *arg)
{
	int n = guest_read(&guest, cr3_at(asid), ip, ret, size);

	return n < 0 ? -pte_nomap : n;
}

static void failed(struct pt_insn_decoder *decoder, int status)
{
	uint64_t offset = 0;

	pt_insn_get_offset(decoder, &offset);
	fail_msg("offset %#jx, instruction %zu: %s", (uintmax_t)offset, decoded_count,
		 pt_errstr(pt_errcode(status)));
}

static int events(struct pt_insn_decoder *decoder, int status)
{
	struct pt_event event;

	while (status >= 0 && status & pts_event_pending) {
		status = pt_insn_event(decoder, &event, sizeof(event));
		if (status < 0 || event.type != ptev_overflow)
			continue;
		assert_true(decoded_loss_count < LOSSES_MAX);
		decoded_losses[decoded_loss_count++] = decoded_count;
	}
	return status;
}

/* All from the PSB to which @status says that @decoder has come. */
static void decode_all(struct pt_insn_decoder *decoder, int status)
{
	struct pt_asid asid;
	struct pt_insn insn;

	decoded_count = 0;
	decoded_loss_count = 0;
	for (;;) {
		status = events(decoder, status);
		if (status < 0 && status != -pte_eos)
			failed(decoder, status);
		if (status < 0 || status & pts_eos)
			break;
		pt_asid_init(&asid);
		pt_insn_asid(decoder, &asid, sizeof(asid));
		status = pt_insn_next(decoder, &insn, sizeof(insn));
		if (status == -pte_eos)
			break;
		if (status < 0)
			failed(decoder, status);
		assert_true(decoded_count < TRACED_MAX);
		decoded[decoded_count++] = (struct executed){
			.ip = insn.ip,
			.wide = insn.mode == ptem_64bit,
			.process = insn.ip < KERNEL && cr3_at(&asid) == CR3_1,
		};
	}
}

static void check_one(size_t at, size_t of)
{
	const struct executed *d = &decoded[at], *e = &expected[of];

	if (d->ip != e->ip || d->wide != e->wide || d->process != e->process)
		fail_msg("%zu of %zu: %#jx %d %d, not %#jx %d %d", at, decoded_count,
			 (uintmax_t)d->ip, d->wide, d->process, (uintmax_t)e->ip, e->wide,
			 e->process);
}

/* All that was executed was decoded, but for something before each loss. */
static void check_whole(void)
{
	unsigned int loss = 0;
	size_t of = 0;

	assert_int_equal(decoded_loss_count, expected_loss_count);
	for (size_t at = 0; at <= decoded_count; at++, of++) {
		while (loss < decoded_loss_count && decoded_losses[loss] == at) {
			assert_true(of <= expected_losses[loss]);
			of = expected_losses[loss++];
		}
		if (at < decoded_count) {
			assert_true(of < expected_count);
			check_one(at, of);
		} else {
			assert_int_equal(of, expected_count);
		}
	}
}

/* No payload of the trace looks like a PSB. */
static void check_psbs(void)
{
	const uint8_t *end = trace.data + trace.topa.written, *at = trace.data;
	uint8_t psb[XPT_PACKET_MAX];
	size_t size = xpt_packet_psb(psb), count = 0;

	while ((at = memmem(at, end - at, psb, size))) {
		assert_true(count < told_psb_count);
		assert_int_equal(told_psbs[count++], at - trace.data);
		at += size;
	}
	assert_int_equal(count, told_psb_count);
}

/* The whole trace, and then from each PSB if nothing is lost, gives what was executed. */
static void check(void)
{
	struct pt_image *image = pt_image_alloc("guest");
	struct pt_insn_decoder *decoder;
	struct pt_config config;
	unsigned int psbs = 0;
	int status;

	pt_config_init(&config);
	config.begin = trace.data;
	config.end = trace.data + trace.topa.written;
	config.nom_freq = RATIO;
	config.mtc_freq = trace.msrs.ctl >> XPT_CTL_MTC_FREQ_SHIFT & 0xf;
	config.cpuid_0x15_eax = 1;
	config.cpuid_0x15_ebx = 32;
	config.flags.variant.insn.enable_tick_events = 0;
	decoder = pt_insn_alloc_decoder(&config);
	assert_non_null(decoder);
	pt_image_set_callback(image, read_code, NULL);
	pt_insn_set_image(decoder, image);
	while ((status = pt_insn_sync_forward(decoder)) >= 0) {
		uint64_t offset;

		pt_insn_get_sync_offset(decoder, &offset);
		decode_all(decoder, status);
		if (!psbs++)
			check_whole();
		if (expected_loss_count)
			break;
		assert_true(decoded_count <= expected_count);
		for (size_t i = 0; i < decoded_count; i++)
			check_one(i, expected_count - decoded_count + i);
		status = pt_insn_sync_set(decoder, offset);
		assert_true(status >= 0);
	}
	assert_true(psbs >= 1);
	pt_insn_free_decoder(decoder);
	pt_image_free(image);
}

/* ---- options ------------------------------------------------------------------ */

#define BASE (XPT_CTL_BRANCH_EN | XPT_CTL_OS | XPT_CTL_USER)
#define RANGE(n, kind) ((uint64_t)(kind) << XPT_CTL_ADDR_CFG_SHIFT(n))
#define MTC(freq) (XPT_CTL_MTC_EN | (uint64_t)(freq) << XPT_CTL_MTC_FREQ_SHIFT)
#define CYC(threshold) \
	(XPT_CTL_CYC_EN | (uint64_t)(threshold) << XPT_CTL_CYC_THRESH_SHIFT)

static void check_options(uint64_t ctl)
{
	static uint64_t seed;

	for (unsigned int i = 0; i < SEEDS; i++) {
		pt_trace_init(&trace, ctl);
		trace.msrs.cr3_match = CR3_1;
		/* A part of each code, and of the kernel a part that stops the trace. */
		trace.msrs.addr[0] = USER64 + 100;
		trace.msrs.addr[1] = USER64 + 600;
		trace.msrs.addr[2] = KERNEL + 200;
		trace.msrs.addr[3] = KERNEL + 800;
		trace.msrs.addr[4] = USER32 + 200;
		trace.msrs.addr[5] = USER32 + 260;
		trace.msrs.addr[6] = KERNEL + 300;
		trace.msrs.addr[7] = KERNEL + 310;
		run(++seed * 7919);
		check_psbs();
		check();
	}
}

/* With and without compressed returns and each kind of time. */
static void check_filter(uint64_t ctl)
{
	static const uint64_t times[] = {
		0,
		XPT_CTL_TSC_EN,
		XPT_CTL_TSC_EN | MTC(3),
		XPT_CTL_TSC_EN | MTC(0) | CYC(0),
		CYC(5),
		XPT_CTL_TSC_EN | CYC(1) | XPT_CTL_PTW_EN,
		XPT_CTL_PTW_EN | XPT_CTL_FUP_ON_PTW | MTC(9),
	};

	for (unsigned int i = 0; i < sizeof(times) / sizeof(*times); i++) {
		check_options(ctl | times[i]);
		check_options(ctl | times[i] | XPT_CTL_DIS_RETC);
	}
}

static void test_everything(void **state)
{
	check_filter(BASE);
	check_filter(BASE | 1ull << XPT_CTL_PSB_FREQ_SHIFT);
}

static void test_privilege(void **state)
{
	check_filter(XPT_CTL_BRANCH_EN | XPT_CTL_USER);
	check_filter(XPT_CTL_BRANCH_EN | XPT_CTL_OS);
}

static void test_cr3(void **state)
{
	check_filter(BASE | XPT_CTL_CR3_FILTER);
	check_filter(XPT_CTL_BRANCH_EN | XPT_CTL_USER | XPT_CTL_CR3_FILTER);
}

static void test_ranges(void **state)
{
	check_filter(BASE | RANGE(0, XPT_ADDR_FILTER) | RANGE(1, XPT_ADDR_FILTER) |
		     RANGE(2, XPT_ADDR_FILTER));
	check_filter(BASE | RANGE(2, XPT_ADDR_STOP) | RANGE(3, XPT_ADDR_STOP));
	check_filter(BASE | XPT_CTL_CR3_FILTER | RANGE(0, XPT_ADDR_FILTER) |
		     RANGE(1, XPT_ADDR_FILTER) | RANGE(3, XPT_ADDR_STOP));
}

static void test_missing_pages(void **state)
{
	pages_go = true;
	check_filter(BASE);
	check_filter(XPT_CTL_BRANCH_EN | XPT_CTL_USER | XPT_CTL_CR3_FILTER);
	check_filter(BASE | XPT_CTL_CR3_FILTER | RANGE(0, XPT_ADDR_FILTER) |
		     RANGE(1, XPT_ADDR_FILTER) | RANGE(3, XPT_ADDR_STOP));
	pages_go = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),    cmocka_unit_test(test_privilege),
		cmocka_unit_test(test_cr3),           cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_missing_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
