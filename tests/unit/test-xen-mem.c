/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory of a live domain: what is there, what is not, and how much stays mapped. */
#include <errno.h>

#include "tests/unit/xen-domain.h"

#define PAGE 4096u

struct setup {
	struct xen_script *script;
	struct script_domain *guest;
	struct hv_domain *domain;
};

static struct setup set_up(void)
{
	struct setup setup = { .script = xen_script_create() };

	setup.guest = start_guest(setup.script);
	setup.domain = open_domain("guest");
	return setup;
}

static void tear_down(struct setup *setup)
{
	close_domain(setup->domain);
	end_script(setup->script);
}

static bool read_at(struct setup *setup, uint64_t gpa, void *buf, size_t size)
{
	return xenpt_mem_read(setup->domain->mem, gpa, buf, size);
}

static unsigned int count_mappings(const struct xen_script *script)
{
	unsigned int count = 0;

	for (size_t i = 0; i < SCRIPT_MAPPINGS; i++)
		count += script->mappings[i].at != NULL;
	return count;
}

static void test_read(void **state)
{
	struct setup setup = set_up();
	uint8_t buf[PAGE], byte;

	for (uint64_t i = 0; i < 1024; i++) {
		assert_true(read_at(&setup, i * PAGE, buf, PAGE));
		assert_memory_equal(buf, setup.guest->memory + i * PAGE, PAGE);
	}
	/* Live: it is not a copy. */
	setup.guest->memory[5 * PAGE + 17] = 0x77;
	assert_true(read_at(&setup, 5 * PAGE + 17, &byte, 1));
	assert_int_equal(byte, 0x77);
	assert_true(read_at(&setup, 6 * PAGE - 1, &byte, 1));
	assert_int_equal(byte, 5);
	tear_down(&setup);
}

static void test_outside(void **state)
{
	struct setup setup = set_up();
	uint8_t buf[2 * PAGE] = { 0x55 };

	assert_false(read_at(&setup, 1024 * PAGE, buf, 1));
	assert_false(read_at(&setup, UINT64_C(1) << 51, buf, 1));
	assert_false(read_at(&setup, UINT64_C(1) << 52, buf, 1));
	assert_false(read_at(&setup, UINT64_MAX, buf, 1));
	/* Over a page's end. */
	assert_false(read_at(&setup, PAGE - 1, buf, 2));
	assert_false(read_at(&setup, 0, buf, PAGE + 1));
	assert_false(read_at(&setup, 1, buf, SIZE_MAX));
	assert_int_equal(buf[0], 0x55);
	tear_down(&setup);
}

/* A page that is not there is its own loss, not that of those around it. */
static void test_absent(void **state)
{
	struct setup setup = set_up();
	uint8_t byte = 0x55;

	setup.guest->absent[3] = 1;
	setup.guest->absent[15] = 1;
	for (uint64_t i = 0; i < 32; i++) {
		assert_int_equal(read_at(&setup, i * PAGE, &byte, 1), i != 3 && i != 15);
		assert_int_equal(byte, i == 3 || i == 15 ? i - 1 : i);
	}
	/* It may come back while the guest runs; whoever pauses it sees it. */
	setup.guest->absent[3] = 0;
	check_error(setup.domain->ops->pause(setup.domain));
	assert_true(read_at(&setup, 3 * PAGE, &byte, 1));
	assert_int_equal(byte, 3);
	check_error(setup.domain->ops->resume(setup.domain));
	tear_down(&setup);
}

/* … and whoever never pauses, later. */
static void test_fresh(void **state)
{
	struct setup setup = set_up();
	unsigned int reads = 0;
	uint8_t byte;

	setup.guest->absent[3] = 1;
	assert_false(read_at(&setup, 3 * PAGE, &byte, 1));
	setup.guest->absent[3] = 0;
	while (!read_at(&setup, 3 * PAGE, &byte, 1))
		assert_true(reads++ < 100000);
	tear_down(&setup);
}

/* However far a guest's tables lead, what is mapped is bounded, and calls are few. */
static void test_bounds(void **state)
{
	struct setup setup = set_up();
	unsigned int calls;
	uint8_t byte;

	for (uint64_t i = 0; i < 4096; i++)
		read_at(&setup, (i * 0x9e3779b9 & 0xffffffff) * PAGE, &byte, 1);
	assert_int_equal(count_mappings(setup.script), 512);
	/* Those used last are still there, … */
	calls = setup.script->calls;
	for (uint64_t i = 4096 - 512; i < 4096; i++)
		read_at(&setup, (i * 0x9e3779b9 & 0xffffffff) * PAGE, &byte, 1);
	assert_int_equal(setup.script->calls, calls);
	/* … and one more costs one of them: that not used for longest. */
	assert_true(read_at(&setup, 100 * PAGE, &byte, 1));
	assert_int_equal(byte, 100);
	assert_int_equal(setup.script->calls, calls + 2);
	assert_int_equal(count_mappings(setup.script), 512);
	calls = setup.script->calls;
	read_at(&setup, ((4096 - 511) * UINT64_C(0x9e3779b9) & 0xffffffff) * PAGE, &byte,
		1);
	assert_int_equal(setup.script->calls, calls);
	read_at(&setup, ((4096 - 512) * UINT64_C(0x9e3779b9) & 0xffffffff) * PAGE, &byte,
		1);
	assert_int_equal(setup.script->calls, calls + 2);
	/* A pause gives all back. */
	check_error(setup.domain->ops->pause(setup.domain));
	assert_int_equal(count_mappings(setup.script), 0);
	assert_true(read_at(&setup, 100 * PAGE, &byte, 1));
	check_error(setup.domain->ops->resume(setup.domain));
	tear_down(&setup);
}

/* A mapping that fails is a page that is not there, and is tried again. */
static void test_failing(void **state)
{
	struct setup setup = set_up();
	uint8_t byte;

	setup.script->fail_at = setup.script->calls + 1;
	setup.script->fail_errno = ENOMEM;
	assert_false(read_at(&setup, 0, &byte, 1));
	assert_true(read_at(&setup, 0, &byte, 1));
	tear_down(&setup);
}

/* What was mapped outlives the domain; another one of its id is none of ours. */
static void test_reused(void **state)
{
	struct setup setup = set_up();
	struct hv_event event;
	uint8_t byte = 0;

	assert_true(read_at(&setup, 20 * PAGE, &byte, 1));
	xen_script_end(setup.script, setup.guest, SCRIPT_REUSE);
	check_error(setup.domain->ops->event(setup.domain, &event));
	assert_int_equal(event.type, HV_EVENT_STATE);
	assert_true(read_at(&setup, 21 * PAGE, &byte, 1));
	assert_int_equal(byte, 21);
	assert_false(read_at(&setup, 0, &byte, 1));
	tear_down(&setup);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),   cmocka_unit_test(test_outside),
		cmocka_unit_test(test_absent), cmocka_unit_test(test_fresh),
		cmocka_unit_test(test_bounds), cmocka_unit_test(test_failing),
		cmocka_unit_test(test_reused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
