/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is left of a trace, when its pages are the guest's again. */
#include "tests/unit/stepped.h"

#define LARGE 200 /* pages: more than are let go of at once */

static bool is_clear(const struct page_info *pg)
{
	const uint8_t *bytes = host_bytes(pg);

	return !bytes[0] && !memcmp(bytes, bytes + 1, PAGE - 1);
}

static bool ring_is_clear(struct guest *guest, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		if (!is_clear(host_page(guest->d, REGION / PAGE + i)))
			return false;
	return true;
}

/* A ring that has been filled. */
static void fill(struct guest *guest, unsigned int nr)
{
	add_ring(guest, nr, INT);
	start(guest, 0);
	run(guest, nr * PAGE);
	host_stop(guest->v);
	for (unsigned int i = 0; i < nr; i++)
		assert_false(is_clear(host_page(guest->d, REGION / PAGE + i)));
}

/* The regions, and nothing else: tables stay, and what is beside them. */
static void test_clear(void **state)
{
	struct guest *guest = *state;
	uint64_t value;

	add_pages(guest, REGION + 4 * PAGE, PAGE);
	entry(guest, REGION + 4 * PAGE, 0, 1);
	fill(guest, 4);
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_false(ring_is_clear(guest, 4));
	assert_int_equal(op(guest, OP(teardown), 0, 0), 0);
	assert_true(ring_is_clear(guest, 4));
	assert_int_equal(host.dirtied, 4);
	assert_true(host_read(guest->d, TABLE, &value, 8));
	assert_int_equal(value, REGION | INT);
	assert_true(host_read(guest->d, REGION + 4 * PAGE, &value, 8));
	assert_int_equal(value, 1);
}

/* As the guard of a reader that was killed does. */
static void test_clear_enabled(void **state)
{
	struct guest *guest = *state;

	fill(guest, 4);
	assert_true(host_run(guest->v, 1));
	assert_int_equal(op(guest, OP(teardown), 0, 0), 0);
	assert_true(ring_is_clear(guest, 4));
}

static void test_clear_stepped(void **state)
{
	struct guest guest;

	stepped(&guest, true);
	ENTER(&guest, "\x90\x90\x90");
	assert_true(host_step_to(guest.v, CODE + 3, 10));
	host_stop(guest.v);
	assert_false(ring_is_clear(&guest, 1));
	assert_int_equal(op(&guest, OP(teardown), 0, 0), 0);
	assert_true(ring_is_clear(&guest, 1));
}

/* What the guest has given back meanwhile is Xen's only: nobody else can clear it. */
static void test_page_taken(void **state)
{
	struct guest *guest = *state;
	struct page_info *pg;
	uint64_t value = 1;

	fill(guest, 4);
	pg = host_page(guest->d, REGION / PAGE + 1);
	host_page_take(guest->d, REGION / PAGE + 1);
	/* The one that is there instead is the guest's own. */
	add_pages(guest, REGION + PAGE, PAGE);
	assert_true(host_write(guest->d, REGION + PAGE, &value, 8));
	assert_int_equal(op(guest, OP(teardown), 0, 0), 0);
	assert_int_equal(pg->refs, 0);
	assert_true(is_clear(pg));
	assert_true(host_read(guest->d, REGION + PAGE, &value, 8));
	assert_int_equal(value, 1);
}

/* What is refused has changed nothing. */
static void test_refused(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	entry(guest, REGION + 2 * PAGE, 0, 1);
	entry(guest, TABLE, 3, (REGION + 4 * PAGE) | INT);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), -ERANGE);
	entry(guest, TABLE, 3, (REGION + 3 * PAGE));
	assert_int_equal(op(guest, OP(setup), TABLE, XENPT_SETUP_LOSSLESS), -EINVAL);
	assert_false(ring_is_clear(guest, 4));
}

/* Xen clears what a domain had that dies; who has it mapped may read it until then. */
static void test_death(void **state)
{
	struct guest *guest = *state;
	const struct page_info *pg;

	fill(guest, 4);
	pg = host_page(guest->d, REGION / PAGE);
	host_domain_kill(guest->d);
	assert_int_equal(pg->refs, 0);
	assert_false(is_clear(pg));
}

/* ---- in parts ---- */

/* There is no trace any more, and none to be had yet. */
static void in_between(struct domain *d)
{
	void (*const self)(struct domain * d) = host.between;
	struct guest guest = { d, d->vcpu[0] };
	uint64_t key = TABLE, value = CTL;

	host.between = NULL;
	host.preempt = false;
	assert_int_equal(host_op(d, OP(setup), 0, &key, &value), -EINVAL);
	value = XENPT_SETUP_SOFT;
	assert_int_equal(host_op(d, OP(setup), 0, &key, &value), -EBUSY);
	assert_int_equal(op(&guest, OP(disable), 0, 0), 0);
	for (uint32_t cmd = OP(enable); cmd <= OP(budget); cmd++)
		if (cmd != OP(disable) && cmd != OP(evtchn) && cmd != OP(teardown))
			assert_int_equal(op(&guest, cmd, 0, CTL), -ENODATA);
	assert_true(host_run(guest.v, 1));
	assert_true(host_cycle(guest.v));
	run(&guest, 100);
	host.preempt = true;
	host.between = self;
}

static void test_preempted(void **state)
{
	struct guest *guest = *state;

	fill(guest, LARGE);
	host.preempt = true;
	host.between = in_between;
	assert_int_equal(op(guest, OP(teardown), 0, 0), 0);
	assert_in_range(host.restarts, 3, 5);
	assert_true(ring_is_clear(guest, LARGE));
	assert_null(guest->v->arch.hvm.vmx.xenpt);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
}

static void test_preempted_stepped(void **state)
{
	struct guest guest;

	stepped_boot(&guest, false);
	add_ring(&guest, LARGE, INT);
	stepped_enable(&guest, 0, CTL);
	ENTER(&guest, "\x90\x90\x90\xeb\xfe");
	assert_true(host_step_to(guest.v, CODE + 3, 10));
	host.preempt = true;
	host.between = in_between;
	assert_int_equal(op(&guest, OP(teardown), 0, 0), 0);
	assert_in_range(host.restarts, 3, 5);
	assert_true(ring_is_clear(&guest, LARGE));
}

static void kill_it(struct domain *d)
{
	d->is_dying = 1;
}

/* The domain's end sees to the rest. */
static void test_dies_preempted(void **state)
{
	struct guest *guest = *state;

	fill(guest, LARGE);
	host.preempt = true;
	host.between = kill_it;
	assert_int_equal(op(guest, OP(teardown), 0, 0), -ESRCH);
	assert_non_null(guest->v->arch.hvm.vmx.xenpt);
	host_domain_kill(guest->d);
}

/* Without a word of it to Xen's scheduler, many vCPUs' pages would take seconds. */
static void test_death_preempted(void **state)
{
	struct guest *guest = *state;

	fill(guest, LARGE);
	host.preempt = true;
	host_domain_kill(guest->d);
	assert_in_range(host.restarts, 3, 5);
}

/* What a domain has that VMX knows nothing of is not to be touched. */
static void test_death_of_others(void **state)
{
	struct guest *guest = *state;

	guest->d->arch.hvm.vmx.xenpt_port = 1;
	host.cpus[0].model.vmx = false;
	assert_int_equal(xenpt_domain_relinquish(guest->d), 0);
	assert_int_equal(guest->d->arch.hvm.vmx.xenpt_port, 1);
	host.cpus[0].model.vmx = true;
	guest->d->hvm = false;
	assert_int_equal(xenpt_domain_relinquish(guest->d), 0);
	assert_int_equal(guest->d->arch.hvm.vmx.xenpt_port, 1);
	guest->d->hvm = true;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, guest_setup, guest_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_clear),
		TEST(test_clear_enabled),
		cmocka_unit_test_teardown(test_clear_stepped, guest_teardown),
		TEST(test_page_taken),
		TEST(test_refused),
		TEST(test_death),
		TEST(test_preempted),
		cmocka_unit_test_teardown(test_preempted_stepped, guest_teardown),
		TEST(test_dies_preempted),
		TEST(test_death_preempted),
		TEST(test_death_of_others),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
