/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Call stacks from synthetic branches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "libxenpt/xenpt.h"

#define KERNEL 0xffffffff81000000
#define USER_CR3 0x1000
#define KERNEL_CR3 0x2000 /* of the same process: KPTI */
#define OTHER_CR3 0x8000

static struct xenpt_stack *stack;
static struct xenpt_stack_change change;
static uint64_t cr3;

static int setup(void **state)
{
	cr3 = XENPT_CR3_ANY;
	return xenpt_stack_create(&stack) ? -1 : 0;
}

static int teardown(void **state)
{
	xenpt_stack_destroy(stack);
	return 0;
}

static void feed(struct xenpt_event event)
{
	event.cr3 = cr3;
	assert_null(xenpt_stack_update(stack, &event, &change));
}

/* A block @ip..@last that ends by @branch to @to. */
static void block(uint64_t ip, uint64_t last, enum xenpt_branch branch, uint64_t to)
{
	feed((struct xenpt_event){
		.type = XENPT_EVENT_BLOCK,
		.ip = ip,
		.last = last,
		.to = to,
		.branch = branch,
		.has_ip = 1,
		.has_to = 1,
	});
}

static void call(uint64_t last, uint64_t to)
{
	block(last - 4, last, XENPT_BRANCH_CALL, to);
}

static void ret(uint64_t last, uint64_t to)
{
	block(last - 4, last, XENPT_BRANCH_RETURN, to);
}

static void iret(uint64_t last, uint64_t to)
{
	block(last - 4, last, XENPT_BRANCH_FAR_RETURN, to);
}

static void syscall(uint64_t last, uint64_t to)
{
	block(last - 4, last, XENPT_BRANCH_SYSCALL, to);
}

static void interrupt(uint64_t ip, uint64_t to)
{
	feed((struct xenpt_event){
		.type = XENPT_EVENT_INTERRUPT,
		.ip = ip,
		.to = to,
		.has_ip = 1,
		.has_to = 1,
	});
}

static void other(enum xenpt_event_type type, uint64_t ip, uint64_t value)
{
	feed((struct xenpt_event){
		.type = type, .ip = ip, .value = value, .has_ip = ip != 0 });
}

static size_t depth(void)
{
	size_t count;

	xenpt_stack_frames(stack, &count);
	return count;
}

static const struct xenpt_frame *frame(size_t index)
{
	size_t count;
	const struct xenpt_frame *frames = xenpt_stack_frames(stack, &count);

	assert_true(index < count);
	return &frames[index];
}

static void test_calls(void **state)
{
	call(0x1010, 0x2000);
	assert_int_equal(change.pushed, 2); /* where it began, and the call */
	assert_int_equal(depth(), 2);
	assert_int_equal(frame(0)->kind, XENPT_FRAME_ROOT);
	assert_int_equal(frame(0)->entry, 0x100c);
	assert_int_equal(frame(1)->kind, XENPT_FRAME_CALL);
	assert_int_equal(frame(1)->entry, 0x2000);
	assert_int_equal(frame(1)->from, 0x1010);
	call(0x2010, 0x3000);
	assert_int_equal(change.pushed, 1);
	ret(0x3010, 0x2015);
	assert_int_equal(change.popped, 1);
	assert_int_equal(depth(), 2);
	ret(0x2020, 0x1015);
	assert_int_equal(depth(), 1);
	assert_int_equal(frame(0)->entry, 0x100c);
}

static void test_deep(void **state)
{
	for (int i = 0; i < 200000; i++)
		call(0x1010, 0x1000);
	assert_int_equal(depth(), 65536);
	assert_int_equal(frame(0)->kind, XENPT_FRAME_CALL);
	for (int i = 0; i < 65536; i++) {
		ret(0x1020, 0x1015);
		assert_int_equal(change.popped, 1);
		assert_false(change.inferred);
	}
	/* The outermost ones were forgotten: an unseen caller from here. */
	assert_int_equal(depth(), 0);
	ret(0x1020, 0x1015);
	assert_true(change.inferred);
	assert_int_equal(depth(), 1);
}

static void test_longjmp(void **state)
{
	for (uint64_t i = 1; i <= 20; i++)
		call(i * 0x1000 + 0x10, (i + 1) * 0x1000);
	ret(0x15010, 0x5015); /* to the caller of frame 5 */
	assert_int_equal(change.popped, 16);
	assert_int_equal(depth(), 5);
	assert_int_equal(frame(4)->entry, 0x5000);
	assert_false(change.inferred);
}

static void test_unseen_callers(void **state)
{
	ret(0x5000, 0x4005);
	assert_int_equal(change.popped, 1);
	assert_true(change.inferred);
	assert_int_equal(depth(), 1);
	assert_true(frame(0)->inferred);
	assert_int_equal(frame(0)->entry, 0x4005);
	ret(0x4020, 0x3005);
	assert_int_equal(depth(), 1);
	assert_int_equal(frame(0)->entry, 0x3005);
	call(0x3010, 0x6000);
	assert_int_equal(depth(), 2);
}

static void test_call_sizes(void **state)
{
	call(0x1010, 0x2000);
	ret(0x2010, 0x1010 + 15);
	assert_int_equal(depth(), 1);
	assert_false(change.inferred);
	call(0x1010, 0x2000);
	ret(0x2010, 0x1010 + 16); /* no call is so long */
	assert_true(change.inferred);
	call(0x1010, 0x2000);
	ret(0x2010, 0x1010); /* the call itself: not behind it */
	assert_true(change.inferred);
}

static void test_pic(void **state)
{
	call(0x1010, 0x2000);
	call(0x2005, 0x200a); /* call +0; pop */
	assert_int_equal(change.pushed, 0);
	assert_int_equal(depth(), 2);
	ret(0x2020, 0x1015);
	assert_int_equal(depth(), 1);
	assert_false(change.inferred);
}

static void test_short_call(void **state)
{
	call(0x1010, 0x2000);
	call(0x2005, 0x2010); /* a function right behind the call */
	ret(0x2014, 0x200a);
	assert_false(change.inferred);
	assert_int_equal(depth(), 2);
	ret(0x200e, 0x1015);
	assert_int_equal(depth(), 1);
	assert_false(change.inferred);
}

static void test_retpoline(void **state)
{
	call(KERNEL + 0x10, KERNEL + 0x2000); /* call the thunk */
	call(KERNEL + 0x2000, KERNEL + 0x200c);
	block(KERNEL + 0x200c, KERNEL + 0x2010, XENPT_BRANCH_RETURN, KERNEL + 0x5000);
	assert_int_equal(change.popped, 1);
	assert_int_equal(change.pushed, 1);
	assert_int_equal(depth(), 2);
	assert_int_equal(frame(1)->entry, KERNEL + 0x5000);
	ret(KERNEL + 0x5010, KERNEL + 0x15);
	assert_int_equal(depth(), 1);
	assert_false(change.inferred);
}

static void test_rsb_stuffing(void **state)
{
	call(0x1010, 0x2000);
	for (uint64_t i = 0; i < 32; i++)
		call(0x2005 + i * 6, 0x2005 + (i + 1) * 6);
	assert_int_equal(depth(), 2);
	ret(0x2200, 0x1015);
	assert_int_equal(depth(), 1);
	assert_false(change.inferred);
}

static void test_interrupts(void **state)
{
	call(KERNEL + 0x10, KERNEL + 0x2000);
	interrupt(KERNEL + 0x2004, KERNEL + 0x9000);
	assert_int_equal(frame(2)->kind, XENPT_FRAME_INTERRUPT);
	assert_int_equal(frame(2)->from, KERNEL + 0x2004);
	call(KERNEL + 0x9010, KERNEL + 0xa000);
	interrupt(KERNEL + 0xa004, KERNEL + 0xb000); /* NMI */
	call(KERNEL + 0xb010, KERNEL + 0xc000);
	ret(KERNEL + 0xc010, KERNEL + 0xb015);
	iret(KERNEL + 0xb020, KERNEL + 0xa004);
	assert_int_equal(depth(), 4);
	ret(KERNEL + 0xa010, KERNEL + 0x9015);
	iret(KERNEL + 0x9020, KERNEL + 0x2004);
	assert_int_equal(depth(), 2);
	ret(KERNEL + 0x2010, KERNEL + 0x15);
	assert_int_equal(depth(), 1);
	assert_false(change.inferred);
}

static void test_return_below_interrupt(void **state)
{
	/* The same call site is active below and above the interrupt. */
	call(KERNEL + 0x10, KERNEL + 0x2000);
	interrupt(KERNEL + 0x2004, KERNEL + 0x9000);
	call(KERNEL + 0x9010, KERNEL);
	call(KERNEL + 0x10, KERNEL + 0x2000);
	ret(KERNEL + 0x2010, KERNEL + 0x15);
	assert_int_equal(change.popped, 1);
	assert_int_equal(depth(), 4);
	/* Nothing above fits: only then the interrupt is left. */
	ret(KERNEL + 0x30, KERNEL + 0x15);
	assert_int_equal(depth(), 1);
	assert_false(change.inferred);
}

static void test_fixup(void **state)
{
	call(KERNEL + 0x10, KERNEL + 0x2000);
	interrupt(KERNEL + 0x2004, KERNEL + 0x9000); /* page fault */
	iret(KERNEL + 0x9020, KERNEL + 0x7000);      /* the exception table */
	assert_int_equal(depth(), 2);
	assert_false(change.inferred);
}

static void test_sync_core(void **state)
{
	call(KERNEL + 0x10, KERNEL + 0x2000);
	iret(KERNEL + 0x2010, KERNEL + 0x2012);
	assert_int_equal(depth(), 2);
	assert_int_equal(change.popped, 0);
}

static void test_syscall(void **state)
{
	cr3 = USER_CR3;
	call(0x1010, 0x2000);
	syscall(0x2010, KERNEL);
	assert_int_equal(frame(2)->kind, XENPT_FRAME_SYSCALL);
	assert_int_equal(frame(2)->cr3, USER_CR3);
	cr3 = KERNEL_CR3;
	call(KERNEL + 0x10, KERNEL + 0x2000);
	ret(KERNEL + 0x2010, KERNEL + 0x15);
	cr3 = USER_CR3;
	iret(KERNEL + 0x20, 0x2012);
	assert_int_equal(depth(), 2);
	assert_false(change.inferred);
	ret(0x2020, 0x1015);
	assert_int_equal(depth(), 1);
}

static void test_kernel_keeps_user_frames(void **state)
{
	call(0x1010, 0x2000);
	syscall(0x2010, KERNEL);
	/* A kernel return that fits nothing leaves the user's frames aside … */
	ret(KERNEL + 0x2010, KERNEL + 0x5005);
	assert_true(change.inferred);
	assert_int_equal(depth(), 1);
	/* … for when they are returned to. */
	iret(KERNEL + 0x20, 0x2012);
	assert_true(change.switched);
	assert_int_equal(depth(), 2);
	assert_int_equal(frame(1)->entry, 0x2000);
}

static void test_process_switch(void **state)
{
	cr3 = USER_CR3;
	call(0x1010, 0x2000);
	syscall(0x2010, KERNEL);
	cr3 = KERNEL_CR3;
	call(KERNEL + 0x10, KERNEL + 0x2000);
	cr3 = OTHER_CR3; /* it runs at the same addresses: a fork */
	iret(KERNEL + 0x20, 0x2012);
	assert_true(change.inferred);
	assert_int_equal(change.popped, 4);
	assert_int_equal(depth(), 1);
	call(0x5010, 0x6000);
	call(0x6010, 0x7000);
	interrupt(0x7004, KERNEL + 0x100);
	cr3 = KERNEL_CR3;
	call(KERNEL + 0x110, KERNEL + 0x3000);
	cr3 = USER_CR3;
	iret(KERNEL + 0x20, 0x2012);
	assert_true(change.switched);
	assert_false(change.inferred);
	assert_int_equal(depth(), 2);
	assert_int_equal(frame(1)->entry, 0x2000);
	ret(0x2020, 0x1015);
	assert_int_equal(depth(), 1);
	syscall(0x1030, KERNEL);
	cr3 = OTHER_CR3;
	iret(KERNEL + 0x20, 0x7004);
	assert_true(change.switched);
	assert_int_equal(depth(), 3);
	assert_int_equal(frame(2)->entry, 0x7000);
}

static void test_signal(void **state)
{
	cr3 = USER_CR3;
	call(0x1010, 0x2000);
	interrupt(0x2004, KERNEL);
	iret(KERNEL + 0x20, 0x9000); /* the signal handler */
	assert_true(change.inferred);
	syscall(0x9010, KERNEL); /* sigreturn */
	iret(KERNEL + 0x20, 0x2004);
	assert_true(change.switched);
	assert_int_equal(depth(), 2);
	ret(0x2020, 0x1015);
	assert_int_equal(depth(), 1);
}

static void test_many_processes(void **state)
{
	/* 70 processes, of which the 64 latest are kept. */
	for (uint64_t i = 1; i <= 70; i++) {
		cr3 = i << 12;
		if (i > 1)
			iret(KERNEL + 0x20, 0x1000);
		call(0x1010, 0x2000);
		syscall(0x2010, KERNEL);
	}
	cr3 = 1 << 12;
	iret(KERNEL + 0x20, 0x2012);
	assert_true(change.inferred);
	syscall(0x2030, KERNEL);
	cr3 = 69 << 12;
	iret(KERNEL + 0x20, 0x2012);
	assert_true(change.switched);
	assert_int_equal(depth(), 2);
}

static void test_same_system_call(void **state)
{
	/* Two threads wait in the same system call: the later one is likelier. */
	cr3 = USER_CR3;
	call(0x1010, 0x2000);
	syscall(0x2010, KERNEL);
	iret(KERNEL + 0x20, 0x5000);
	call(0x5010, 0x6000);
	call(0x6010, 0x2000);
	syscall(0x2010, KERNEL);
	iret(KERNEL + 0x20, 0x7000);
	syscall(0x7010, KERNEL);
	iret(KERNEL + 0x20, 0x2012);
	assert_true(change.switched);
	assert_int_equal(depth(), 3);
	syscall(0x2040, KERNEL);
	iret(KERNEL + 0x20, 0x2012);
	assert_true(change.switched);
	assert_int_equal(depth(), 2);
}

static void test_deep_user(void **state)
{
	for (int i = 0; i < 65600; i++)
		call(0x1010, 0x1000);
	syscall(0x1020, KERNEL);
	for (int i = 0; i < 10; i++)
		call(KERNEL + 0x10, KERNEL);
	assert_int_equal(depth(), 65536);
	iret(KERNEL + 0x20, 0x1022);
	assert_false(change.inferred);
	assert_int_equal(change.popped, 11);
	assert_int_equal(depth(), 65525);
}

static void test_lost_threads(void **state)
{
	call(0x1010, 0x2000);
	syscall(0x2010, KERNEL);
	iret(KERNEL + 0x20, 0x5000);
	/* While events are lost, other threads may have run on. */
	other(XENPT_EVENT_GAP, 0, 0);
	block(KERNEL, KERNEL + 4, XENPT_BRANCH_NONE, 0);
	iret(KERNEL + 0x20, 0x2012);
	assert_false(change.switched);
	assert_int_equal(depth(), 1);
}

static void test_lost(void **state)
{
	static const enum xenpt_event_type types[] = { XENPT_EVENT_GAP, XENPT_EVENT_ERROR,
						       XENPT_EVENT_OVERFLOW };

	for (size_t i = 0; i < 3; i++) {
		call(0x1010, 0x2000);
		other(types[i], 0, 0);
		assert_true(change.lost);
		assert_int_equal(change.popped, 2);
		assert_int_equal(depth(), 0);
		block(0x5000, 0x5010, XENPT_BRANCH_JUMP, 0x5020);
		assert_int_equal(change.pushed, 1);
		assert_int_equal(frame(0)->kind, XENPT_FRAME_ROOT);
		assert_int_equal(frame(0)->entry, 0x5000);
		other(types[i], 0, 0);
	}
}

static void test_off_on(void **state)
{
	cr3 = USER_CR3;
	call(0x1010, 0x2000);
	other(XENPT_EVENT_OFF, 0x2004, 0);
	other(XENPT_EVENT_ON, 0x2100, 0);
	assert_int_equal(depth(), 2);
	/* User code only is traced, and another process goes on … */
	other(XENPT_EVENT_OFF, 0x2104, 0);
	cr3 = OTHER_CR3;
	other(XENPT_EVENT_ON, 0x8000, 0);
	assert_true(change.inferred);
	assert_int_equal(depth(), 1);
	call(0x8010, 0x9000);
	other(XENPT_EVENT_OFF, 0x9004, 0);
	/* … and then the first one. */
	cr3 = USER_CR3;
	other(XENPT_EVENT_ON, 0x2104, 0);
	assert_true(change.switched);
	assert_int_equal(depth(), 2);
	ret(0x2120, 0x1015);
	assert_int_equal(depth(), 1);
}

static void test_transaction(void **state)
{
	call(0x1010, 0x2000);
	other(XENPT_EVENT_TSX, 0x2004, 1);
	call(0x2010, 0x3000);
	call(0x3010, 0x4000);
	other(XENPT_EVENT_TSX, 0x4004, 2);
	assert_int_equal(change.popped, 2);
	assert_int_equal(depth(), 2);
	interrupt(0x4004, 0x2030); /* to the fallback: no interrupt */
	assert_int_equal(change.pushed, 0);
	interrupt(0x2030, KERNEL); /* a real one */
	assert_int_equal(change.pushed, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(test_calls),
		TEST(test_deep),
		TEST(test_longjmp),
		TEST(test_unseen_callers),
		TEST(test_call_sizes),
		TEST(test_pic),
		TEST(test_short_call),
		TEST(test_retpoline),
		TEST(test_rsb_stuffing),
		TEST(test_interrupts),
		TEST(test_return_below_interrupt),
		TEST(test_fixup),
		TEST(test_sync_core),
		TEST(test_syscall),
		TEST(test_kernel_keeps_user_frames),
		TEST(test_process_switch),
		TEST(test_signal),
		TEST(test_many_processes),
		TEST(test_same_system_call),
		TEST(test_deep_user),
		TEST(test_lost_threads),
		TEST(test_lost),
		TEST(test_off_on),
		TEST(test_transaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
