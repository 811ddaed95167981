/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the guest and others do to a trace by hv/vpt.c while it runs. */
#include "tests/unit/vpt.h"

static void check_restarts(struct rig *rig, struct hv_domain *domain)
{
	struct hv_position position;
	const uint8_t *ring;
	size_t size;

	ring = domain->ops->buffer(domain, 0, &size);
	check_error(domain->ops->restart(domain, 0));
	assert_ptr_equal(ring, domain->ops->buffer(domain, 0, &size));
	check_error(domain->ops->position(domain, 0, &position));
	assert_int_equal(0, position.total);
	assert_false(position.tampered || position.fault || position.error ||
		     position.stopped);
	rig->written[0] = 0;
	rig_run(rig, 0, VPT_SIZE);
	assert_int_equal(VPT_SIZE, rig->written[0]);
	check_error(domain->ops->position(domain, 0, &position));
	assert_int_equal(VPT_SIZE, position.total);
	for (size_t i = 0; i < size; i++)
		assert_int_equal(rig_byte(0, i), ring[i]);
}

/* What the guest can do to its tables. */
static void write_stop(uint64_t *table)
{
	table[1] |= XPT_TOPA_STOP;
}

static void write_reserved(uint64_t *table)
{
	table[1] |= 2;
}

static void write_elsewhere(uint64_t *table)
{
	table[1] = table[0];
}

static void test_tampered(void **state)
{
	static void (*const changes[])(uint64_t * table) = { write_stop, write_reserved,
							     write_elsewhere };

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct hv_trace trace = VPT_ALL;
		struct hv_position position;
		struct hv_domain *domain;
		struct rig rig;

		vpt_rig_init(&rig, 1);
		domain = vpt_rig_open(&rig);
		check_error(domain->ops->trace_start(domain, &trace));
		rig_run(&rig, 0, 100);
		changes[i](vpt_table(&rig, 0));
		rig_run(&rig, 0, 10000);
		check_error(domain->ops->position(domain, 0, &position));
		assert_true(position.tampered);
		assert_int_equal(i == 0, position.stopped);
		assert_int_equal(i == 1, position.error);
		/* It stays so, also when they are as they were. */
		check_restarts(&rig, domain);
		domain->ops->close(domain);
		rig_deinit(&rig);
	}
}

/* Rewritten, and put back before anybody looked: but the bytes are elsewhere. */
static void test_tampered_and_put_back(void **state)
{
	struct hv_trace trace = VPT_ALL;
	struct hv_position position;
	struct hv_domain *domain;
	uint64_t table[8];
	struct rig rig;

	vpt_rig_init(&rig, 1);
	domain = vpt_rig_open(&rig);
	check_error(domain->ops->trace_start(domain, &trace));
	memcpy(table, vpt_table(&rig, 0), sizeof(table));
	/* Back to the first one early. */
	vpt_table(&rig, 0)[1] = table[4];
	rig_run(&rig, 0, 4096 + 100);
	memcpy(vpt_table(&rig, 0), table, sizeof(table));
	check_error(domain->ops->position(domain, 0, &position));
	assert_true(position.tampered);
	check_restarts(&rig, domain);
	domain->ops->close(domain);
	rig_deinit(&rig);
}

/* The guest gives a page of the buffer back: a region's, or the table. */
static void test_fault(void **state)
{
	static const unsigned int pages[] = { 0, 1, 2, 4 };

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		struct hv_trace trace = VPT_ALL;
		struct hv_position position;
		struct hv_domain *domain;
		struct rig rig;
		uint64_t gfn;

		vpt_rig_init(&rig, 1);
		domain = vpt_rig_open(&rig);
		check_error(domain->ops->trace_start(domain, &trace));
		gfn = rig.guest->vcpus[0].vpt.base / BUFFER_PAGE;
		rig_run(&rig, 0, 100);
		xen_script_take_away(rig.guest, gfn + pages[i]);
		rig_run(&rig, 0, VPT_SIZE);
		check_error(domain->ops->position(domain, 0, &position));
		assert_true(position.fault);
		check_restarts(&rig, domain);
		assert_int_equal(VPT_PAGES, xen_script_spares(rig.guest));
		/* Once more, and nobody begins anew. */
		xen_script_take_away(rig.guest, gfn + pages[i]);
		domain->ops->close(domain);
		rig_deinit(&rig);
	}
}

/* Each call of beginning anew fails: the ring can be read all the same. */
static void test_fault_fails(void **state)
{
	for (unsigned int n = 1;; n++) {
		struct hv_trace trace = VPT_ALL;
		struct hv_position position;
		struct hv_domain *domain;
		struct xenpt_error *err;
		const uint8_t *ring;
		unsigned int first;
		struct rig rig;
		size_t size;
		int sum = 0;
		bool all;

		vpt_rig_init(&rig, 1);
		domain = vpt_rig_open(&rig);
		check_error(domain->ops->trace_start(domain, &trace));
		xen_script_take_away(rig.guest,
				     rig.guest->vcpus[0].vpt.base / BUFFER_PAGE + 2);
		rig_run(&rig, 0, VPT_SIZE);
		check_error(domain->ops->position(domain, 0, &position));
		assert_true(position.fault);
		first = rig.script->calls + n;
		rig.script->fail_at = first;
		rig.script->fail_errno = ENXIO;
		err = domain->ops->restart(domain, 0);
		all = rig.script->calls < first;
		if (all)
			check_error(err);
		xenpt_error_destroy(err);
		ring = domain->ops->buffer(domain, 0, &size);
		for (size_t i = 0; ring && i < size; i++)
			sum += ring[i];
		assert_true(sum >= 0);
		domain->ops->close(domain);
		rig_deinit(&rig);
		if (all)
			break;
	}
}

static void test_switched_off_by_another(void **state)
{
	struct hv_trace trace = VPT_ALL;
	struct hv_position position;
	struct hv_domain *domain;
	struct rig rig;

	vpt_rig_init(&rig, 2);
	domain = vpt_rig_open(&rig);
	check_error(domain->ops->trace_start(domain, &trace));
	rig_run(&rig, 1, 1000);
	rig.guest->vcpus[1].vpt.enabled = false;
	check_says(domain->ops->trace_stop(domain),
		   "vCPU 1: another program has switched its trace off");
	check_error(domain->ops->position(domain, 1, &position));
	assert_int_equal(1000, position.total);
	domain->ops->close(domain);
	rig_deinit(&rig);
}

/* Whoever sets the limit meanwhile knows better. */
static void test_limit_set_by_another(void **state)
{
	struct hv_trace trace = VPT_ALL;
	struct hv_domain *domain;
	struct rig rig;

	vpt_rig_init(&rig, 1);
	domain = vpt_rig_open(&rig);
	check_error(domain->ops->trace_start(domain, &trace));
	assert_int_equal(16 + VPT_PAGES, rig.guest->max_pages);
	rig.guest->max_pages = rig.guest->max_pages_before = 1000;
	domain->ops->close(domain);
	assert_int_equal(1000, rig.guest->max_pages);
	rig_deinit(&rig);
}

static void test_destroyed(void **state)
{
	struct hv_trace trace = VPT_ALL;
	struct hv_position position;
	struct hv_domain *domain;
	const uint8_t *ring;
	struct rig rig;
	size_t size;

	vpt_rig_init(&rig, 1);
	domain = vpt_rig_open(&rig);
	check_error(domain->ops->trace_start(domain, &trace));
	rig_run(&rig, 0, 500);
	check_error(domain->ops->position(domain, 0, &position));
	xen_script_end(rig.script, rig.guest, SCRIPT_REUSE);
	check_error(domain->ops->position(domain, 0, &position));
	assert_int_equal(500, position.total);
	assert_true(position.gone);
	ring = domain->ops->buffer(domain, 0, &size);
	for (size_t i = 0; i < 500; i++)
		assert_int_equal(rig_byte(0, i), ring[i]);
	check_error(domain->ops->restart(domain, 0));
	check_error(domain->ops->consume(domain, 0, 500));
	check_error(domain->ops->trace_stop(domain));
	domain->ops->close(domain);
	rig_deinit(&rig);
}
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tampered),
		cmocka_unit_test(test_tampered_and_put_back),
		cmocka_unit_test(test_fault),
		cmocka_unit_test(test_fault_fails),
		cmocka_unit_test(test_switched_off_by_another),
		cmocka_unit_test(test_limit_set_by_another),
		cmocka_unit_test(test_destroyed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
