/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The back-end on a Xen with hv/xen, call by call. */
#include "tests/unit/vpt.h"

#include <errno.h>
#include <poll.h>

/* ---- Choosing -------------------------------------------------------------- */

static void check_chosen(struct rig *rig, const char *backend, const char *name)
{
	struct hv_domain *domain;

	check_error(hv_xen_ops.open("guest", backend, &domain));
	assert_string_equal(name, domain->ops->name);
	assert_string_equal(name, domain->info->backend);
	domain->ops->close(domain);
	rig_deinit(rig);
}

static void test_choice(void **state)
{
	struct rig rig;

	/* It is preferred, … */
	rig_init(&rig, 1, 4096);
	rig.script->vpt_caps = VPT_CAPS;
	check_chosen(&rig, NULL, "vpt");
	rig_init(&rig, 1, 4096);
	rig.script->vpt_caps = VPT_CAPS;
	check_chosen(&rig, "vmtrace", "vmtrace");
	rig_init(&rig, 1, 4096);
	rig.script->vpt_caps = VPT_CAPS_SOFT;
	check_chosen(&rig, "vpt", "vpt");
	/* … but stock Xen does without. */
	rig_init(&rig, 1, 4096);
	check_chosen(&rig, NULL, "vmtrace");
}

static void check_cannot(struct rig *rig, const char *backend, const char *what)
{
	struct hv_domain *domain = NULL;

	check_says(hv_xen_ops.open("guest", backend, &domain), what);
	assert_null(domain);
	rig_deinit(rig);
}

static void test_says_what_to_change(void **state)
{
	struct rig rig;

	rig_init(&rig, 1, 4096);
	check_cannot(&rig, "vpt", "by vpt: it takes a Xen with xenpt's patch (hv/xen)");
	rig_init(&rig, 1, 0);
	check_cannot(&rig, "vpt", "xenpt's patch");
	rig_init(&rig, 1, 4096);
	check_cannot(&rig, "lbr", "there is no back-end 'lbr'");
	rig_init(&rig, 1, 4096);
	check_cannot(&rig, "lbr", "there are vpt, vmtrace");
	/* What stock Xen lacks is not what to change there. */
	rig_init(&rig, 1, 0);
	check_cannot(&rig, NULL, "vmtrace_buf_kb = 16384");

	vpt_rig_init(&rig, 1);
	xen_script_make_pv(rig.guest);
	check_cannot(&rig, NULL, "type = \"pvh\"");
	vpt_rig_init(&rig, 1);
	rig.guest->flags &= ~XEN_DOMINF_hap;
	check_cannot(&rig, NULL, "hap = 1");
	vpt_rig_init(&rig, 1);
	rig.script->vpt_version++;
	check_cannot(&rig, NULL, "not of the same version");
	vpt_rig_init(&rig, 1);
	rig.script->vpt_caps = XENPT_CAP_PIP;
	rig.script->capabilities &= ~XEN_SYSCTL_PHYSCAP_vmtrace;
	check_cannot(&rig, NULL, "this CPU cannot trace guests");
}

/*
 * A CPU with PT steps nobody: one that cannot put its output through EPT, or whose
 * interrupt the watchdog or vPMU has. Nor where Xen could not step either, with APICv.
 */
static void test_steps_no_pt_cpu(void **state)
{
	static const uint64_t caps[] = { VPT_CAPS_SOFT & ~XENPT_CAP_STOCK_SOFT,
					 XENPT_CAP_PIP };
	static const char *const says[] = { "\"watchdog\"", "\"vpmu\"",
					    "vmtrace_buf_kb = 16384",
					    "--backend vmtrace" };
	struct rig rig;

	for (size_t i = 0; i < 2; i++) {
		rig_init(&rig, 1, 4096);
		rig.script->vpt_caps = caps[i];
		check_chosen(&rig, NULL, "vmtrace");
		for (size_t j = 0; j < sizeof(says) / sizeof(says[0]); j++) {
			rig_init(&rig, 1, j % 2 ? 4096 : 0);
			rig.script->vpt_caps = caps[i];
			check_cannot(&rig, j % 2 ? "vpt" : NULL, says[j]);
		}
	}
	/* But PT that does not run in VMX operation is none for guests. */
	rig_init(&rig, 1, 4096);
	rig.script->vpt_caps = caps[0];
	rig.script->capabilities &= ~XEN_SYSCTL_PHYSCAP_vmtrace;
	check_chosen(&rig, NULL, "vpt");
}

/* ---- Starting ---------------------------------------------------------------- */

static void check_refused(struct rig *rig, const struct hv_trace *trace, const char *what)
{
	struct hv_domain *domain = vpt_rig_open(rig);

	check_says(domain->ops->trace_start(domain, trace), what);
	domain->ops->close(domain);
	rig_deinit(rig);
}

static void test_refused(void **state)
{
	struct hv_trace trace = VPT_ALL;
	const uint32_t vcpus[] = { 0, 3 };
	struct rig rig;

	vpt_rig_init(&rig, 2);
	rig.guest->nested = true;
	check_refused(&rig, &trace, "nestedhvm = 1");
	/* By stock Xen's vmtrace. */
	vpt_rig_init(&rig, 2);
	rig.guest->vcpus[1].active = true;
	{
		struct hv_domain *domain = vpt_rig_open(&rig);

		check_says(domain->ops->trace_start(domain, &trace),
			   "vCPU 1: cannot set its trace up: it is traced already");
		domain->ops->close(domain);
		assert_true(rig.guest->vcpus[1].active);
		rig.guest->vcpus[1].active = false;
		rig_deinit(&rig);
	}
	vpt_rig_init(&rig, 2);
	rig.guest->vcpus[1].self = true;
	check_refused(&rig, &trace, "vCPU 1: cannot set its trace up: the guest traces");
	vpt_rig_init(&rig, 3);
	trace.vcpus = vcpus;
	trace.vcpu_count = 2;
	check_refused(&rig, &trace, "no vCPU 3");
	trace.vcpus = NULL;
	/* No memory in the host; and some, but the domain does not take it. */
	vpt_rig_init(&rig, 2);
	rig.script->free_pages = 7;
	check_refused(&rig, &trace, "xl mem-set");
	vpt_rig_init(&rig, 16);
	trace.size = 1 << 20;
	check_refused(&rig, &trace, "shadow_memory");
	trace.size = VPT_SIZE;
	/* Above its memory there is nothing more. */
	vpt_rig_init(&rig, 1);
	xen_script_make_pvh(rig.guest);
	rig.guest->highest = UINT64_C(1) << 52;
	check_refused(&rig, &trace, "its addresses have");
}

/* Another xenpt's trace goes on, and its guard's list is not ours. */
static void test_another_user(void **state)
{
	struct hv_trace trace = VPT_ALL;
	struct hv_domain *first, *second;
	struct hv_position position;
	struct rig rig;

	vpt_rig_init(&rig, 2);
	first = vpt_rig_open(&rig);
	check_error(first->ops->trace_start(first, &trace));
	assert_int_equal(2 * VPT_PAGES, xen_script_spares(rig.guest));
	second = vpt_rig_open(&rig);
	check_says(second->ops->trace_start(second, &trace), "is traced already");
	second->ops->close(second);
	assert_int_equal(2 * VPT_PAGES, xen_script_spares(rig.guest));
	rig_run(&rig, 1, 100);
	check_error(first->ops->position(first, 1, &position));
	assert_int_equal(100, position.total);
	assert_false(position.tampered);
	first->ops->close(first);
	/* The scripted xenstored has ended both one's watches with the second. */
	rig.script->unbalanced = 0;
	rig_deinit(&rig);
}

static void test_what_the_cpu_lacks(void **state)
{
	static const struct {
		uint64_t lacks;
		const char *what;
	} cases[] = {
		{ XENPT_CAP_CR3_FILTER, "--cr3: this CPU" },
		{ 7u << XENPT_CAP_RANGES_SHIFT, "--filter: this CPU cannot" },
		{ XENPT_CAP_MTC, "--mtc: this CPU" },
		{ XENPT_CAP_CYC, "--cyc: this CPU" },
		{ XENPT_CAP_PTWRITE, "--ptw: this CPU" },
		{ XENPT_CAP_INT, "--lossless: this CPU" },
		{ XENPT_CAP_TOPA_MULTI, "--lossless: this CPU" },
	};
	struct hv_trace trace = VPT_ALL;
	struct rig rig;

	trace.cr3 = 0x1234000;
	trace.range_count = 1;
	trace.mtc = 3;
	trace.cyc = 1;
	trace.ptw = true;
	trace.lossless = true;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		vpt_rig_init(&rig, 1);
		rig.script->vpt_caps &= ~cases[i].lacks;
		check_refused(&rig, &trace, cases[i].what);
	}
	trace.range_count = 3;
	vpt_rig_init(&rig, 1);
	check_refused(&rig, &trace, "this CPU has 2 address ranges, not 3");
}

static void test_filters(void **state)
{
	struct hv_trace trace = VPT_ALL;
	const struct script_vpt *vpt;
	struct hv_domain *domain;
	struct rig rig;

	vpt_rig_init(&rig, 2);
	vpt = &rig.guest->vcpus[1].vpt;
	domain = vpt_rig_open(&rig);
	check_error(domain->ops->trace_start(domain, &trace));
	assert_int_equal(XPT_CTL_BRANCH_EN | XPT_CTL_OS | XPT_CTL_USER, vpt->ctl);
	check_error(domain->ops->trace_stop(domain));
	assert_false(vpt->enabled);

	trace.cr3 = 0x1234fff;
	trace.user = true;
	trace.tsc = true;
	trace.mtc = 5;
	trace.cyc = 2;
	trace.ptw = true;
	trace.range_count = 2;
	trace.ranges[0].lo = 0x1000;
	trace.ranges[0].hi = 0x1fff;
	trace.ranges[1].lo = 0xffffffff81000000;
	trace.ranges[1].hi = 0xffffffff81ffffff;
	trace.lossless = true;
	check_error(domain->ops->trace_start(domain, &trace));
	assert_int_equal(XENPT_SETUP_LOSSLESS, vpt->flags);
	assert_int_equal(XPT_CTL_BRANCH_EN | XPT_CTL_USER | XPT_CTL_CR3_FILTER |
				 XPT_CTL_TSC_EN | XPT_CTL_MTC_EN |
				 5ull << XPT_CTL_MTC_FREQ_SHIFT | XPT_CTL_CYC_EN |
				 2ull << XPT_CTL_CYC_THRESH_SHIFT | XPT_CTL_PTW_EN |
				 XPT_CTL_FUP_ON_PTW | 1ull << XPT_CTL_ADDR_CFG_SHIFT(0) |
				 1ull << XPT_CTL_ADDR_CFG_SHIFT(1),
			 vpt->ctl);
	assert_int_equal(0x1234fe0, vpt->cr3_match);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(trace.ranges[i].lo, vpt->addr[2 * i]);
		assert_int_equal(trace.ranges[i].hi, vpt->addr[2 * i + 1]);
	}
	domain->ops->close(domain);
	rig_deinit(&rig);
}

/* ---- Where -------------------------------------------------------------------- */

static uint64_t base_of(struct rig *rig, size_t size)
{
	struct hv_trace trace = VPT_ALL;
	struct hv_domain *domain = vpt_rig_open(rig);
	uint64_t base;

	trace.size = size;
	check_error(domain->ops->trace_start(domain, &trace));
	base = rig->guest->vcpus[0].vpt.base;
	domain->ops->close(domain);
	assert_int_equal(0, xen_script_spares(rig->guest));
	assert_int_equal(rig->guest->max_pages_before, rig->guest->max_pages);
	return base;
}

static void test_place(void **state)
{
	struct rig rig;

	/* hvmloader's holes, unless somebody is there already. */
	vpt_rig_init(&rig, 1);
	assert_int_equal(0xfe000000, base_of(&rig, VPT_SIZE));
	assert_int_equal(0xfe000000, base_of(&rig, VPT_SIZE));
	rig.guest->spares[0].gfn = 0xfe003;
	rig.guest->spares[0].there = true;
	rig.guest->max_pages = rig.guest->max_pages_before = 17;
	{
		struct hv_trace trace = VPT_ALL;
		struct hv_domain *domain = vpt_rig_open(&rig);

		check_error(domain->ops->trace_start(domain, &trace));
		assert_int_equal(0xfe800000, rig.guest->vcpus[0].vpt.base);
		domain->ops->close(domain);
	}
	rig.guest->spares[0].there = false;
	rig_deinit(&rig);
	/* PVH: above all that there is, and there again the next time. */
	vpt_rig_init(&rig, 1);
	xen_script_make_pvh(rig.guest);
	assert_int_equal(UINT64_C(2) << 30, base_of(&rig, VPT_SIZE));
	assert_int_equal(UINT64_C(2) << 30, base_of(&rig, VPT_SIZE));
	rig_deinit(&rig);
}

/* Only one region a table: it is as large as a region can be. */
static void test_one_region(void **state)
{
	struct hv_trace trace = VPT_ALL;
	struct hv_domain *domain;
	struct rig rig;
	size_t size;

	vpt_rig_init(&rig, 1);
	rig.script->vpt_caps &= ~(uint64_t)XENPT_CAP_TOPA_MULTI;
	domain = vpt_rig_open(&rig);
	trace.size = 100000;
	check_error(domain->ops->trace_start(domain, &trace));
	assert_non_null(domain->ops->buffer(domain, 0, &size));
	assert_int_equal(131072, size);
	assert_null(domain->size_note);
	rig_run(&rig, 0, 200000);
	assert_int_equal(200000, rig.written[0]);
	domain->ops->close(domain);
	rig_deinit(&rig);

	vpt_rig_init(&rig, 1);
	rig.script->vpt_caps &= ~(uint64_t)XENPT_CAP_TOPA_MULTI;
	domain = vpt_rig_open(&rig);
	trace.size = UINT64_C(1) << 30;
	/* There is no such memory here; but what it would be is known. */
	check_says(domain->ops->trace_start(domain, &trace), "Xen does not map");
	assert_non_null(strstr(domain->size_note, "have 64 MiB each"));
	domain->ops->close(domain);
	rig_deinit(&rig);
}

/* ---- While it runs --------------------------------------------------------------- */

static void test_positions(void **state)
{
	struct hv_trace trace = VPT_ALL;
	struct hv_position position;
	struct hv_domain *domain;
	const uint8_t *ring;
	size_t size;

	for (int counts_not = 0; counts_not < 2; counts_not++) {
		struct rig rig;

		vpt_rig_init(&rig, 2);
		rig.script->vpt_counts_not = counts_not;
		domain = vpt_rig_open(&rig);
		check_error(domain->ops->trace_start(domain, &trace));
		rig_run(&rig, 1, VPT_SIZE + 5000);
		check_error(domain->ops->position(domain, 0, &position));
		assert_int_equal(0, position.total);
		check_error(domain->ops->position(domain, 1, &position));
		assert_int_equal(!counts_not, position.has_total);
		assert_int_equal(counts_not ? 5000 : VPT_SIZE + 5000, position.total);
		ring = domain->ops->buffer(domain, 1, &size);
		assert_int_equal(VPT_SIZE, size);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(rig_byte(1, i < 5000 ? VPT_SIZE + i : i),
					 ring[i]);
		check_error(domain->ops->trace_stop(domain));
		check_error(domain->ops->position(domain, 1, &position));
		assert_int_equal(counts_not ? 5000 : VPT_SIZE + 5000, position.total);
		domain->ops->close(domain);
		rig_deinit(&rig);
	}
}

static void test_not_traced(void **state)
{
	struct hv_trace trace = VPT_ALL;
	const uint32_t vcpus[] = { 1 };
	struct hv_position position;
	struct hv_domain *domain;
	struct rig rig;
	size_t size;

	vpt_rig_init(&rig, 2);
	domain = vpt_rig_open(&rig);
	trace.vcpus = vcpus;
	trace.vcpu_count = 1;
	check_error(domain->ops->trace_start(domain, &trace));
	assert_int_equal(VPT_PAGES, xen_script_spares(rig.guest));
	assert_null(domain->ops->buffer(domain, 0, &size));
	assert_null(domain->ops->buffer(domain, 9, &size));
	check_says(domain->ops->position(domain, 0, &position), "vCPU 0 is not traced");
	check_says(domain->ops->restart(domain, 9), "vCPU 9 is not traced");
	domain->ops->close(domain);
	rig_deinit(&rig);
}

static bool is_readable(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) > 0;
}

/* No more of them, and the descriptor says so. */
static void check_no_event(struct hv_domain *domain)
{
	struct hv_event event;

	check_error(domain->ops->event(domain, &event));
	assert_int_equal(HV_EVENT_NONE, event.type);
	assert_false(is_readable(domain->ops->fd(domain)));
}

/* Of each vCPU; what is told while an event waits to be taken is told after it. */
static void check_data(struct hv_domain *domain, uint32_t vcpus, unsigned int rounds)
{
	struct hv_event event;

	for (uint32_t i = 0; i < vcpus * rounds; i++) {
		assert_true(i % vcpus || is_readable(domain->ops->fd(domain)));
		check_error(domain->ops->event(domain, &event));
		assert_int_equal(HV_EVENT_DATA, event.type);
		assert_int_equal(i % vcpus, event.vcpu);
	}
	check_no_event(domain);
}

static void test_events(void **state)
{
	struct hv_trace trace = VPT_ALL;
	struct hv_domain *domain;
	struct hv_event event;
	struct rig rig;

	vpt_rig_init(&rig, 2);
	domain = vpt_rig_open(&rig);
	check_error(domain->ops->trace_start(domain, &trace));
	/* The watch of xenstored fires once when it is set. */
	check_error(domain->ops->event(domain, &event));
	check_no_event(domain);
	/* A part of a buffer, another one, and several before anybody looked. */
	rig_run(&rig, 1, VPT_SIZE / 4);
	check_data(domain, 2, 1);
	rig_run(&rig, 1, VPT_SIZE / 4);
	check_data(domain, 2, 1);
	rig_run(&rig, 0, VPT_SIZE);
	check_data(domain, 2, 2);
	rig_run(&rig, 0, 100);
	check_no_event(domain);
	/* Both descriptors in one. */
	xen_script_end(rig.script, rig.guest, SCRIPT_CRASH);
	assert_true(is_readable(domain->ops->fd(domain)));
	check_error(domain->ops->event(domain, &event));
	assert_int_equal(HV_EVENT_STATE, event.type);
	assert_int_equal(HV_CRASHED, domain->info->state);
	check_no_event(domain);
	domain->ops->close(domain);
	rig_deinit(&rig);
}

static void test_no_xenstored(void **state)
{
	struct hv_trace trace = VPT_ALL;
	struct hv_domain *domain;
	struct rig rig;

	vpt_rig_init(&rig, 1);
	rig.script->no_xenstored = true;
	check_error(hv_xen_ops.open("7", NULL, &domain));
	check_error(domain->ops->trace_start(domain, &trace));
	check_no_event(domain);
	rig_run(&rig, 0, VPT_SIZE);
	check_data(domain, 1, 2);
	domain->ops->close(domain);
	rig_deinit(&rig);
}

static void test_lossless(void **state)
{
	struct hv_trace trace = VPT_ALL;
	struct hv_position position;
	struct hv_domain *domain;
	struct hv_event event;
	struct rig rig;

	vpt_rig_init(&rig, 1);
	trace.lossless = true;
	domain = vpt_rig_open(&rig);
	check_error(domain->ops->trace_start(domain, &trace));
	check_error(domain->ops->event(domain, &event));
	rig_run(&rig, 0, 3 * VPT_SIZE);
	assert_int_equal(VPT_SIZE, rig.written[0]);
	check_data(domain, 1, 2);
	check_error(domain->ops->position(domain, 0, &position));
	assert_int_equal(VPT_SIZE, position.total);
	assert_false(position.tampered);
	check_error(domain->ops->consume(domain, 0, 1000));
	rig_run(&rig, 0, 3 * VPT_SIZE);
	assert_int_equal(VPT_SIZE + 1000, rig.written[0]);
	check_says(domain->ops->consume(domain, 0, 1 << 20), "vCPU 0: cannot have it go");
	/* Where Xen does not count, a full buffer looks like an empty one. */
	rig.script->vpt_counts_not = true;
	check_says(domain->ops->position(domain, 0, &position), "--lossless");
	domain->ops->close(domain);
	rig_deinit(&rig);
}

/* A small one is made as large as it must be; one that steps does so. */
static void test_flags(void **state)
{
	struct hv_trace trace = VPT_ALL;
	struct hv_domain *domain;
	struct rig rig;
	size_t size;

	vpt_rig_init(&rig, 1);
	rig.script->vpt_caps = VPT_CAPS_SOFT;
	trace.lossless = true;
	trace.size = 4096;
	domain = vpt_rig_open(&rig);
	check_error(domain->ops->trace_start(domain, &trace));
	assert_int_equal(XENPT_SETUP_LOSSLESS | XENPT_SETUP_SOFT,
			 rig.guest->vcpus[0].vpt.flags);
	assert_non_null(domain->ops->buffer(domain, 0, &size));
	assert_int_equal(4 * 4096, size);
	domain->ops->close(domain);
	rig_deinit(&rig);
}

/* Without it no call holds the vCPU for nothing. */
static void test_consume_is_free(void **state)
{
	struct hv_trace trace = VPT_ALL;
	struct hv_domain *domain;
	unsigned int calls;
	struct rig rig;

	vpt_rig_init(&rig, 1);
	domain = vpt_rig_open(&rig);
	check_error(domain->ops->trace_start(domain, &trace));
	rig_run(&rig, 0, 100);
	calls = rig.script->calls;
	check_error(domain->ops->consume(domain, 0, 100));
	assert_int_equal(calls, rig.script->calls);
	domain->ops->close(domain);
	rig_deinit(&rig);
}
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_says_what_to_change),
		cmocka_unit_test(test_steps_no_pt_cpu),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_another_user),
		cmocka_unit_test(test_what_the_cpu_lacks),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_place),
		cmocka_unit_test(test_one_region),
		cmocka_unit_test(test_positions),
		cmocka_unit_test(test_not_traced),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_no_xenstored),
		cmocka_unit_test(test_lossless),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_consume_is_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
