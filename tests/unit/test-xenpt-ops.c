/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The operations of public/xenpt.h, one by one: what they say, and when they refuse. */
#include "tests/unit/xenpt.h"

#define ALL(array) (sizeof(array) / sizeof((array)[0]))

/* All but caps say this of a domain, or of a vCPU that there is not. */
static void refuse_all(struct guest *guest, struct domain *d, int error)
{
	for (uint32_t cmd = OP(setup); cmd <= OP(budget) + 1; cmd++) {
		uint64_t key = TABLE, value = 0;

		assert_int_equal(host_op(d, cmd, 0, &key, &value), error);
		assert_int_equal(key, TABLE);
		assert_int_equal(value, 0);
	}
}

static void test_domains(void **state)
{
	struct guest *guest = *state;
	struct domain *d = guest->d;

	add_ring(guest, 4, INT);
	refuse_all(guest, host.dom0, -EDEADLK);
	d->is_dying = 1;
	refuse_all(guest, d, -ESRCH);
	d->is_dying = 0;
	d->hap = false;
	refuse_all(guest, d, -ENXIO);
	d->hap = true;
	d->hvm = false;
	refuse_all(guest, d, -EOPNOTSUPP);
	d->hvm = true;
	d->nested = true;
	refuse_all(guest, d, -EXDEV);
	d->nested = false;
	host.cpus[0].model.vmx = false;
	refuse_all(guest, d, -EOPNOTSUPP);
	host.cpus[0].model.vmx = true;
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
}

static void test_no_vcpu(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	for (uint32_t cmd = OP(setup); cmd <= OP(budget) + 1; cmd++) {
		uint64_t key = TABLE, value = 0;
		const int want = cmd == OP(evtchn) ? -ENODATA : -ENOENT;

		assert_int_equal(host_op(guest->d, cmd, 2, &key, &value), want);
		value = 0;
		assert_int_equal(host_op(guest->d, cmd, UINT32_MAX, &key, &value), want);
	}
}

static void test_no_setup(void **state)
{
	struct guest *guest = *state;

	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_int_equal(op(guest, OP(teardown), 0, 0), 0);
	assert_int_equal(op(guest, OP(enable), 0, CTL), -ENODATA);
	assert_int_equal(op(guest, OP(position), 0, 0), -ENODATA);
	assert_int_equal(op(guest, OP(status), 0, 0), -ENODATA);
	assert_int_equal(op(guest, OP(reset), 0, 0), -ENODATA);
	assert_int_equal(op(guest, OP(filter), XPT_MSR_CR3_MATCH, 0), -ENODATA);
	assert_int_equal(op(guest, OP(consume), 0, 0), -ENODATA);
	assert_int_equal(op(guest, OP(evtchn), 0, 0), -ENODATA);
	add_ring(guest, 4, INT);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
	assert_int_equal(op(guest, OP(budget) + 1, 0, 0), -EOPNOTSUPP);
	assert_int_equal(op(guest, UINT32_MAX, 0, 0), -EOPNOTSUPP);
	/* It is one vCPU that was. */
	for (uint32_t cmd = OP(enable); cmd <= OP(consume); cmd++) {
		uint64_t key = 0, value = CTL;

		if (cmd != OP(disable) && cmd != OP(evtchn))
			assert_int_equal(host_op(guest->d, cmd, 1, &key, &value),
					 -ENODATA);
	}
}

/* ---- enable, disable ---- */

static void test_enable_refuses(void **state)
{
	static const uint64_t bad[] = {
		CTL | XPT_CTL_TRACE_EN,
		CTL | XPT_CTL_FABRIC_EN,
		CTL | XPT_CTL_TOPA,
		CTL | XPT_CTL_PWR_EVT_EN,                              /* not in CPUID */
		CTL | 1ull << 63,                                      /* reserved */
		CTL | 3ull << XPT_CTL_ADDR_CFG_SHIFT(0),               /* no such use */
		CTL | 1ull << XPT_CTL_ADDR_CFG_SHIFT(2),               /* no such range */
		CTL | XPT_CTL_MTC_EN | 1ull << XPT_CTL_MTC_FREQ_SHIFT, /* encoding */
		CTL | 15ull << XPT_CTL_PSB_FREQ_SHIFT,
	};
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
	for (size_t i = 0; i < ALL(bad); i++) {
		assert_int_equal(op(guest, OP(enable), 0, bad[i]), -EINVAL);
		assert_int_equal(host_vmcs_read(guest->v, GUEST_IA32_RTIT_CTL), 0);
	}
	enable(guest, CTL);
	assert_int_equal(op(guest, OP(enable), 0, CTL), -EBUSY);
	assert_true(host_run(guest->v, 1));
}

/* For a traced vCPU the controls are set, and afterwards as they were. */
static void test_controls(void **state)
{
	struct guest *guest = *state;
	const unsigned long entry_was = host_vmcs_read(guest->v, VM_ENTRY_CONTROLS);
	const unsigned long exit_was = host_vmcs_read(guest->v, VM_EXIT_CONTROLS);
	const unsigned long was = host_vmcs_read(guest->v, SECONDARY_VM_EXEC_CONTROL);

	add_ring(guest, 4, INT);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
	assert_int_equal(host_vmcs_read(guest->v, VM_ENTRY_CONTROLS), entry_was);
	enable(guest, CTL | XPT_CTL_TSC_EN);
	assert_int_equal(host_vmcs_read(guest->v, VM_ENTRY_CONTROLS),
			 entry_was | VM_ENTRY_LOAD_RTIT_CTL | VM_ENTRY_CONCEAL_FROM_PT);
	assert_int_equal(host_vmcs_read(guest->v, VM_EXIT_CONTROLS),
			 exit_was | VM_EXIT_CLEAR_RTIT_CTL | VM_EXIT_CONCEAL_FROM_PT);
	assert_int_equal(host_vmcs_read(guest->v, SECONDARY_VM_EXEC_CONTROL),
			 was | SECONDARY_EXEC_PT_USE_GPA);
	assert_int_equal(host_vmcs_read(guest->v, GUEST_IA32_RTIT_CTL),
			 CTL | XPT_CTL_TSC_EN | XPT_CTL_TRACE_EN | XPT_CTL_TOPA);
	assert_true(host_run(guest->v, 1));
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_int_equal(host_vmcs_read(guest->v, VM_ENTRY_CONTROLS), entry_was);
	assert_int_equal(host_vmcs_read(guest->v, VM_EXIT_CONTROLS), exit_was);
	assert_int_equal(host_vmcs_read(guest->v, SECONDARY_VM_EXEC_CONTROL), was);
	assert_int_equal(host_vmcs_read(guest->v, GUEST_IA32_RTIT_CTL), 0);
	/* The other vCPU was never touched. */
	assert_int_equal(host_vmcs_read(guest->d->vcpu[1], VM_ENTRY_CONTROLS), entry_was);
}

/* What is put out goes on where it was, with the rest of the bits that are asked for. */
static void test_disable(void **state)
{
	struct guest *guest = *state;
	uint64_t at;

	add_ring(guest, 4, INT);
	start(guest, 0);
	assert_true(status(guest) & XENPT_STATUS_ON);
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_false(status(guest) & XENPT_STATUS_ON);
	at = total(guest);
	assert_true(host_run(guest->v, 1));
	run(guest, 100);
	assert_int_equal(total(guest), at);
	enable(guest, CTL);
	assert_true(status(guest) & XENPT_STATUS_ON);
	assert_true(host_run(guest->v, 2));
	run(guest, 100);
	assert_int_equal(total(guest), at + 8 + 100 + 2);
	assert_at(guest, TABLE, 0, at + 8 + 100 + 2);
}

/* ---- the end of the output ---- */

static void ended(struct guest *guest, uint64_t bit)
{
	assert_true(status(guest) & bit);
	assert_false(status(guest) & XENPT_STATUS_ON);
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_int_equal(op(guest, OP(enable), 0, CTL), -EIO);
	assert_int_equal(op(guest, OP(reset), 0, 0), 0);
	assert_false(status(guest) & bit);
	enable(guest, CTL);
	assert_true(status(guest) & XENPT_STATUS_ON);
	assert_true(host_run(guest->v, 1));
	run(guest, 10);
	assert_int_equal(total(guest), 16 + 8 + 2 + 1 + 10 + 1);
}

static void test_stopped(void **state)
{
	struct guest *guest = *state;

	add_table(guest, 2, INT);
	entry(guest, TABLE, 1, (REGION + PAGE) | STOP);
	start(guest, 0);
	run(guest, 3 * PAGE);
	assert_int_equal(total(guest), 2 * PAGE);
	assert_at(guest, TABLE, 1, PAGE);
	ended(guest, XPT_STATUS_STOPPED);
}

static void test_error(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	start(guest, 0);
	entry(guest, TABLE, 1, (REGION + PAGE) | 2); /* reserved */
	run(guest, 2 * PAGE);
	assert_int_equal(total(guest), PAGE);
	assert_true(status(guest) & XPT_STATUS_ERROR);
	entry(guest, TABLE, 1, (REGION + PAGE) | INT);
	ended(guest, XPT_STATUS_ERROR);
}

static void test_fault(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	start(guest, 0);
	host_page_take(guest->d, REGION / PAGE + 1);
	run(guest, 2 * PAGE);
	assert_true(status(guest) & XENPT_STATUS_FAULT);
	add_pages(guest, REGION + PAGE, PAGE);
	ended(guest, XENPT_STATUS_FAULT);
}

/* ---- position, status, reset ---- */

static void test_reset(void **state)
{
	struct guest *guest = *state;
	uint64_t from = 0;

	add_ring(guest, 4, INT);
	start(guest, 0);
	assert_at(guest, TABLE, 0, 16 + 8 + 2 + 2);
	assert_true(host_run(guest->v, 1));
	run(guest, 5000);
	assert_int_equal(op(guest, OP(reset), 0, 0), -EBUSY);
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_int_equal(op(guest, OP(reset), 0, 0), 0);
	assert_at(guest, TABLE, 0, 0);
	assert_int_equal(status(guest), XENPT_STATUS_TOTAL);
	assert_int_equal(total(guest), 0);
	enable(guest, CTL);
	assert_true(host_run(guest->v, 1));
	assert_stream(guest, &from, "psb pip:12345000 psbend pge pgd");
}

/* Xen knows how much was put out where it cannot miss a lap. */
static void test_status_total(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
	assert_int_equal(status(guest), XENPT_STATUS_TOTAL);
	assert_int_equal(op(guest, OP(teardown), 0, 0), 0);
	entry(guest, TABLE, 2, REGION + 2 * PAGE);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
	assert_int_equal(status(guest), 0);
	assert_int_equal(op(guest, OP(teardown), 0, 0), 0);
	/* An interrupt that comes late would be a lap too late. */
	add_ring(guest, 2, INT);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
	assert_int_equal(status(guest), 0);
	assert_int_equal(op(guest, OP(teardown), 0, 0), 0);
	add_ring(guest, 3, INT);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
	assert_int_equal(status(guest), XENPT_STATUS_TOTAL);
	assert_int_equal(op(guest, OP(teardown), 0, 0), 0);
	add_table(guest, 4, 0);
	entry(guest, TABLE, 3, (REGION + 3 * PAGE) | STOP);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
	assert_int_equal(status(guest), XENPT_STATUS_TOTAL);
}

/* ---- filter ---- */

static void test_filter(void **state)
{
	struct guest *guest = *state;
	struct xpt_msrs *msrs = &host.cpus[1].pt;
	const uint64_t high = 0xffffffff81000000;

	add_ring(guest, 4, INT);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
	assert_int_equal(op(guest, OP(filter), XPT_MSR_CR3_MATCH, B), 0);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(op(guest, OP(filter), XPT_MSR_ADDR0_A + i, high + i), 0);
	/* No such MSR, or not to be written by this. */
	assert_int_equal(op(guest, OP(filter), XPT_MSR_ADDR0_A + 4, high), -EINVAL);
	assert_int_equal(op(guest, OP(filter), XPT_MSR_ADDR0_A + 8, high), -EINVAL);
	assert_int_equal(op(guest, OP(filter), XPT_MSR_CTL, 0), -EINVAL);
	assert_int_equal(op(guest, OP(filter), XPT_MSR_OUTPUT_BASE, 0), -EINVAL);
	assert_int_equal(op(guest, OP(filter), XPT_MSR_STATUS, 0), -EINVAL);
	assert_int_equal(op(guest, OP(filter), 1ull << 32 | XPT_MSR_CR3_MATCH, 0),
			 -EINVAL);
	/* Not with this value. */
	assert_int_equal(op(guest, OP(filter), XPT_MSR_CR3_MATCH, B | 1), -EINVAL);
	assert_int_equal(op(guest, OP(filter), XPT_MSR_ADDR0_A, 1ull << 47), -EINVAL);
	enable(guest, CTL | 1ull << XPT_CTL_ADDR_CFG_SHIFT(1));
	assert_int_equal(op(guest, OP(filter), XPT_MSR_CR3_MATCH, A), -EBUSY);
	assert_true(host_run(guest->v, 1));
	assert_int_equal(msrs->cr3_match, B);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(msrs->addr[i], high + i);
	/* They outlive disable and reset. */
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_int_equal(op(guest, OP(reset), 0, 0), 0);
	enable(guest, CTL);
	assert_true(host_run(guest->v, 1));
	assert_int_equal(msrs->cr3_match, B);
}

static void test_no_filter(void **state)
{
	struct host_model model = host_model;
	struct guest *guest = *state;

	host_end();
	model.caps.ebx0 &= ~(XPT_CAP0_EBX_CR3_FILTER | XPT_CAP0_EBX_IP_FILTER);
	boot(guest, &model);
	add_ring(guest, 4, INT);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
	assert_int_equal(op(guest, OP(filter), XPT_MSR_CR3_MATCH, B), -EINVAL);
	assert_int_equal(op(guest, OP(filter), XPT_MSR_ADDR0_A, 0), -EINVAL);
	enable(guest, CTL);
	assert_true(host_run(guest->v, 1));
	assert_true(status(guest) & XENPT_STATUS_ON);
}

/* ---- evtchn ---- */

static void test_evtchn(void **state)
{
	struct guest *guest = *state;
	uint64_t key = TABLE, value = 0;
	unsigned int port;

	/* It would be there until the domain dies. */
	assert_int_equal(op(guest, OP(evtchn), 0, 0), -ENODATA);
	add_ring(guest, 4, INT);
	assert_int_equal(host_op(guest->d, OP(setup), 0, &key, &value), 0);

	host.successes = 0;
	assert_int_equal(op(guest, OP(evtchn), 0, 0), -ENOSPC);
	host.successes = HOST_ALL_SUCCEED;
	port = open_port(guest);
	assert_int_equal(open_port(guest), port);
	assert_true(guest->d->ports[port].open);
	assert_int_equal(guest->d->ports[port].remote, host.dom0->domain_id);

	/* Until the last vCPU is torn down. */
	assert_int_equal(host_op(guest->d, OP(setup), 1, &key, &value), 0);
	assert_int_equal(host_op(guest->d, OP(teardown), 0, &key, &value), 0);
	assert_true(guest->d->ports[port].open);
	assert_int_equal(host_op(guest->d, OP(teardown), 1, &key, &value), 0);
	assert_false(guest->d->ports[port].open);
	assert_int_equal(op(guest, OP(evtchn), 0, 0), -ENODATA);
	/* And again. */
	assert_int_equal(host_op(guest->d, OP(setup), 1, &key, &value), 0);
	port = open_port(guest);
	assert_true(guest->d->ports[port].open);
}

/* Nobody has asked for a port: nobody is called. */
static void test_no_evtchn(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	start(guest, 0);
	run(guest, 6 * PAGE);
	assert_in_range(total(guest), 6 * PAGE, 6 * PAGE + 1000);
	assert_int_equal((total(guest) - guest->v->traced) % 8, 0);
	for (unsigned int i = 0; i < HOST_PORTS; i++)
		assert_false(guest->d->ports[i].open);
}

/* ---- teardown ---- */

static void test_teardown(void **state)
{
	struct guest *guest = *state;
	struct page_info *pg;

	add_ring(guest, 4, INT);
	start(guest, 0);
	pg = host_page(guest->d, REGION / PAGE);
	assert_int_equal(pg->types, 1);
	assert_int_equal(pg->refs, 2);
	assert_int_equal(op(guest, OP(teardown), 0, 0), 0);
	assert_int_equal(pg->types, 0);
	assert_int_equal(pg->refs, 1);
	assert_int_equal(host.heap_pages + host.blocks + host.maps, 0);
	assert_int_equal(host_vmcs_read(guest->v, GUEST_IA32_RTIT_CTL), 0);
	assert_int_equal(op(guest, OP(status), 0, 0), -ENODATA);
	assert_true(host_run(guest->v, 1));
	run(guest, 100);
	host_cycle(guest->v);
	start(guest, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, guest_setup, guest_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_domains),        TEST(test_no_vcpu),      TEST(test_no_setup),
		TEST(test_enable_refuses), TEST(test_controls),     TEST(test_disable),
		TEST(test_stopped),        TEST(test_error),        TEST(test_fault),
		TEST(test_reset),          TEST(test_status_total), TEST(test_filter),
		TEST(test_no_filter),      TEST(test_evtchn),       TEST(test_no_evtchn),
		TEST(test_teardown),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
