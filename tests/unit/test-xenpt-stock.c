/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Software mode into the buffer of the stock interface. */
#include "tests/unit/stepped.h"

static void start_stock(struct guest *guest, unsigned int pages)
{
	stepped_boot(guest, true);
	host_stock_add(guest->v, pages);
	assert_int_equal(host_stock(guest->v, true, true), 0);
	PUT(guest, CODE, "\x48\xb8\0\0\x20\0\0\0\0\0\xff\xe0");
}

static void steps(struct guest *guest, unsigned int nr)
{
	assert_true(host_run(guest->v, 1));
	while (nr--)
		assert_true(host_step(guest->v));
}

static uint64_t position(struct guest *guest)
{
	uint64_t pos;

	assert_true(host_stock_position(guest->v, &pos));
	return pos;
}

/* At each pause all is there; what a CPU puts out at exits, too: Xen's CR3, NR=0. */
static void test_trace(void **state)
{
	struct guest guest;
	uint8_t *bytes;

	start_stock(&guest, 4);
	steps(&guest, 100);
	bytes = host_bytes(guest.v->vmtrace.pg);
	assert_int_equal(compare_bytes(&guest, bytes, position(&guest), 0), 0);
	assert_int_equal(bytes[0], 2);
	assert_int_equal(bytes[1], 0x82);
	steps(&guest, 10);
	assert_non_null(
		memmem(bytes, position(&guest), "\x02\x43\x00\xff\xff\x07\0\0", 8));
	assert_int_equal(host_stock(guest.v, true, false), -EINVAL);
	assert_int_equal(host_stock(guest.v, false, false), 0);
	assert_null(guest.v->arch.hvm.vmx.xenpt);
	assert_int_equal(host_vmcs_read(guest.v, CPU_BASED_VM_EXEC_CONTROL),
			 HOST_CONTROLS);
}

/* A monitor's answer resets the buffer of a vCPU that is not out of its guest yet. */
static void test_settle_running(void **state)
{
	struct guest guest;

	start_stock(&guest, 4);
	steps(&guest, 10);
	assert_true(host_runs(guest.v));
	host.asked = true;
	host_watch();
	xenpt_stock_settle(guest.v);
	host_watched(NULL);
	host.asked = false;
	assert_false(host_runs(guest.v));
	assert_int_equal(guest.v->pause_count, 0);
	assert_int_equal(compare_bytes(&guest, host_bytes(guest.v->vmtrace.pg),
				       position(&guest), 0),
			 0);
	steps(&guest, 10);
}

/* The buffer is a ring of its own; a reset begins it with a PSB+. */
static void test_wraps(void **state)
{
	struct guest guest;
	uint64_t pos, last = 0;
	bool wrapped = false;

	start_stock(&guest, 1);
	for (unsigned int i = 0; i < 600; i++) {
		guest.v->code.nr = 0;
		steps(&guest, 10);
		pos = position(&guest);
		assert_true(pos < PAGE);
		wrapped |= pos < last;
		last = pos;
	}
	assert_true(wrapped);
	assert_int_equal(host_stock(guest.v, false, false), 0);
	memset(host_bytes(guest.v->vmtrace.pg), 0, PAGE);
	assert_int_equal(host_stock(guest.v, true, true), 0);
	guest.v->code.nr = 0;
	steps(&guest, 20);
	pos = position(&guest);
	assert_int_equal(compare_bytes(&guest, host_bytes(guest.v->vmtrace.pg), pos, 0),
			 0);
}

/* One owner at a time. */
static void test_owners(void **state)
{
	struct guest guest;
	uint64_t pos;

	start_stock(&guest, 4);
	assert_int_equal(op(&guest, OP(setup), TABLE, XENPT_SETUP_SOFT), -EBUSY);
	assert_int_equal(op(&guest, OP(teardown), 0, 0), -EBUSY);
	assert_int_equal(host_stock(guest.v, false, false), 0);
	assert_int_equal(op(&guest, OP(setup), TABLE, XENPT_SETUP_SOFT), 0);
	assert_int_equal(host_stock(guest.v, true, false), -EBUSY);
	assert_false(host_stock_position(guest.v, &pos));
}

/* The end frees the buffer before what traces into it. */
static void test_dies(void **state)
{
	struct guest guest;

	start_stock(&guest, 4);
	steps(&guest, 5);
	host_domain_kill(guest.d);
}

/* No memory: it is as if nobody had asked. */
static void test_no_memory(void **state)
{
	struct guest guest;

	stepped_boot(&guest, true);
	host_stock_add(guest.v, 4);
	host.successes = 0;
	assert_int_equal(host_stock(guest.v, true, true), -ENOMEM);
	host.successes = HOST_ALL_SUCCEED;
	assert_int_equal(host_stock(guest.v, true, true), 0);
	steps(&guest, 5);
	assert_true(position(&guest) > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, guest_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_trace), TEST(test_wraps),     TEST(test_owners),
		TEST(test_dies),  TEST(test_no_memory), TEST(test_settle_running),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
