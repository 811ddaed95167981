/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reader of a trace knows in which address space the guest is, whoever has written
 * CR3: each PIP is there once, right before the guest goes on.
 */
#include "tests/unit/xenpt.h"

static void test_first_entry(void **state)
{
	struct guest *guest = *state;
	uint64_t from = 0;

	add_ring(guest, 4, INT);
	start(guest, 0);
	run(guest, 5);
	assert_stream(guest, &from, "psb pip:12345000 psbend pge tnt pgd");
	assert_int_equal(host.injected, 0);
	/* The stream may not have been told of CR3: it is, once more. */
	assert_true(host_run(guest->v, 1));
	run(guest, 5);
	host_cycle(guest->v);
	assert_stream(guest, &from, "pip:12345000 pge tnt pgd pge pgd");
}

/* The guest's own MOV CR3, which does not exit: the CPU tells. */
static void test_guest_writes(void **state)
{
	struct guest *guest = *state;
	uint64_t from;

	add_ring(guest, 4, INT);
	start(guest, 0);
	host_cycle(guest->v);
	from = guest->v->traced + 8;
	host_guest_cr3(guest->v, B | 0x5);
	run(guest, 3);
	host_cycle(guest->v);
	host_guest_cr3(guest->v, A);
	host_guest_cr3(guest->v, B);
	host_cycle(guest->v);
	host_cycle(guest->v);
	assert_stream(guest, &from,
		      "pip:67890000 tnt pgd pge pip:12345000 pip:67890000 pgd pge pgd "
		      "pge pgd");
}

/* Xen writes it: an instruction that it emulates, a task switch, a domctl. */
static void test_xen_writes(void **state)
{
	struct guest *guest = *state;
	uint64_t from;

	add_ring(guest, 4, INT);
	start(guest, 0);
	host_cycle(guest->v);
	host_stop(guest->v);
	from = total(guest);

	host_xen_cr3(guest->v, B);
	assert_true(host_run(guest->v, 1));
	run(guest, 1);
	assert_stream(guest, &from, "pip:67890000 pge tnt pgd");
	/* Twice, while the guest is out: only the last one counts. */
	host_xen_cr3(guest->v, A);
	host_xen_cr3(guest->v, B + PAGE);
	assert_true(host_run(guest->v, 1));
	host_cycle(guest->v);
	assert_stream(guest, &from, "pip:67891000 pge pgd pge pgd");
	/* And back: nothing has changed for the guest. */
	host_xen_cr3(guest->v, A);
	host_xen_cr3(guest->v, B + PAGE);
	assert_true(host_run(guest->v, 1));
	assert_stream(guest, &from, "pge pgd");
	/* Other bits are no other address space. */
	host_xen_cr3(guest->v, (B + PAGE) | 0x1f);
	assert_true(host_run(guest->v, 1));
	assert_stream(guest, &from, "pge pgd");
}

/*
 * A write that a monitor has put off: while it waits the guest is out. Denied, the guest
 * goes on with what it had; allowed, with the new one.
 */
static void test_deferred(void **state)
{
	struct guest *guest = *state;
	uint64_t from;

	add_ring(guest, 4, INT);
	start(guest, 0);
	host_cycle(guest->v);
	host_pause(guest->v);
	from = total(guest);
	assert_false(host_run(guest->v, 1));
	host_unpause(guest->v); /* denied */
	assert_true(host_run(guest->v, 1));
	run(guest, 1);
	host_pause(guest->v);
	assert_stream(guest, &from, "pge tnt pgd");
	host_xen_cr3(guest->v, B); /* as hvm_do_resume() does it */
	host_unpause(guest->v);
	assert_true(host_run(guest->v, 1));
	assert_stream(guest, &from, "pip:67890000 pge pgd");
}

static void test_no_pip(void **state)
{
	struct guest *guest = *state;
	uint64_t from = 0;

	add_ring(guest, 4, INT);
	start(guest, XENPT_SETUP_NO_PIP);
	host_stop(guest->v);
	host_xen_cr3(guest->v, B);
	assert_true(host_run(guest->v, 1));
	assert_stream(guest, &from, "psb pip:12345000 psbend pge pgd pge pgd");
	assert_int_equal(host.injected, 0);
}

/* Bytes as the CPU would have put them out: of PAE paging, bits 11:5 count. */
static void test_encoding(void **state)
{
	struct guest *guest = *state;
	uint8_t want[XPT_PACKET_MAX], got[8];
	uint64_t from;

	add_ring(guest, 4, INT);
	start(guest, 0);
	guest->v->arch.hvm.guest_efer = 0;
	host_stop(guest->v);
	from = total(guest);
	host_xen_cr3(guest->v, B | 0xfe0);
	assert_true(host_run(guest->v, 1));
	assert_int_equal(total(guest), from + 8 + 2);
	assert_int_equal(xpt_packet_pip(B | 0xfe0, true, true, want), 8);
	assert_true(host_read(guest->d, REGION + from, got, 8));
	assert_memory_equal(got, want, 8);
	assert_int_equal(got[2] & 1, 1); /* NR */
	assert_at(guest, TABLE, 0, from + 8 + 2);
}

/* Where exits are not concealed, the CPU tells of Xen's CR3 at each of them. */
static void test_not_concealed(void **state)
{
	struct host_model model = host_model;
	struct guest *guest = *state;
	uint64_t from;

	host_end();
	model.exit &= ~VM_EXIT_CONCEAL_FROM_PT;
	model.entry &= ~VM_ENTRY_CONCEAL_FROM_PT;
	boot(guest, &model);
	add_ring(guest, 4, INT);
	start(guest, 0);
	from = guest->v->traced;
	run(guest, 1);
	host_cycle(guest->v);
	host_cycle(guest->v);
	assert_stream(guest, &from,
		      "tnt hostpip:7ffff000 pgd pip:12345000 pge hostpip:7ffff000 pgd "
		      "pip:12345000 pge hostpip:7ffff000 pgd");
}

/* A PSB+ has a PIP: no other is put before it. */
static void test_psb_tells(void **state)
{
	struct host_model model = host_model;
	struct guest *guest = *state;
	uint64_t from = 0;

	host_end();
	/* No PacketByteCnt: a PSB+ at each entry. */
	model.caps.ebx0 &= ~XPT_CAP0_EBX_PSB_CYC;
	model.caps.ebx1 = 0;
	boot(guest, &model);
	add_ring(guest, 4, INT);
	start(guest, 0);
	host_stop(guest->v);
	host_xen_cr3(guest->v, B);
	assert_true(host_run(guest->v, 1));
	assert_stream(guest, &from,
		      "psb pip:12345000 psbend pge pgd psb pip:67890000 psbend pge pgd");
	assert_int_equal(host.injected, 0);
}

/* User code only: there are no PIPs. */
static void test_without_os(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
	enable(guest, CTL & ~XPT_CTL_OS);
	assert_true(host_run(guest->v, 1));
	run(guest, 10);
	host_stop(guest->v);
	host_xen_cr3(guest->v, B);
	assert_true(host_run(guest->v, 1));
	assert_int_equal(host.injected, 0);
}

/* Of another address space than that which is traced: a PIP ends what was thought. */
static void test_cr3_filter(void **state)
{
	struct guest *guest = *state;
	uint64_t from;

	add_ring(guest, 4, INT);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
	assert_int_equal(op(guest, OP(filter), XPT_MSR_CR3_MATCH, A), 0);
	enable(guest, CTL | XPT_CTL_CR3_FILTER);
	assert_true(host_run(guest->v, 1));
	host_cycle(guest->v);
	host_stop(guest->v);
	from = total(guest);
	host_xen_cr3(guest->v, B);
	assert_true(host_run(guest->v, 1));
	assert_stream(guest, &from, "pip:67890000");
	/* The guest goes back by itself, which the CPU tells. */
	assert_true(host_run(guest->v, 1));
	host_guest_cr3(guest->v, A);
	host_stop(guest->v);
	host_xen_cr3(guest->v, B);
	assert_true(host_run(guest->v, 1));
	assert_stream(guest, &from, "pip:12345000 pgd pip:67890000");
}

/* What the guest did while nobody traced: it is told anew. */
static void test_disabled_meanwhile(void **state)
{
	struct guest *guest = *state;
	uint64_t from;

	add_ring(guest, 4, INT);
	start(guest, 0);
	host_cycle(guest->v);
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	from = total(guest);
	assert_true(host_run(guest->v, 1));
	host_guest_cr3(guest->v, B);
	host_cycle(guest->v);
	run(guest, 100);
	enable(guest, CTL);
	assert_stream(guest, &from, "");
	assert_true(host_run(guest->v, 1));
	assert_stream(guest, &from, "pip:67890000 pge pgd");
}

/* It lies over the end of a region, of a table, of the ring. */
static void test_straddles(void **state)
{
	struct guest *guest = *state;
	uint8_t bytes[8];

	add_ring(guest, 1, 0);
	entry(guest, TABLE, 1, TABLE_2 | END);
	add_pages(guest, TABLE_2, PAGE);
	add_pages(guest, REGION + PAGE, PAGE);
	entry(guest, TABLE_2, 0, (REGION + PAGE) | INT);
	entry(guest, TABLE_2, 1, TABLE | END);
	start(guest, 0);
	run(guest, PAGE - guest->v->traced - 4);
	host_stop(guest->v); /* TIP.PGD */
	host_xen_cr3(guest->v, B);
	assert_true(host_run(guest->v, 1));
	assert_true(host_read(guest->d, REGION + PAGE - 3, bytes, 8));
	assert_int_equal(cr3_of(bytes), B);
	assert_at(guest, TABLE_2, 0, 5 + 2);

	assert_true(host_run(guest->v, 1));
	run(guest, PAGE - 5 - 2 - 2);
	host_stop(guest->v); /* the last byte of all */
	open_port(guest);
	calls(guest);
	host_xen_cr3(guest->v, A);
	assert_true(host_run(guest->v, 1));
	assert_true(host_read(guest->d, REGION, bytes, 8));
	assert_int_equal(cr3_of(bytes), A);
}

/* The PIP has filled a region with INT: the reader is called as for the CPU's bytes. */
static void test_fills_region(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	start(guest, 0);
	open_port(guest);
	run(guest, PAGE - guest->v->traced - 5);
	host_stop(guest->v);
	assert_int_equal(calls(guest), 0);
	host_xen_cr3(guest->v, B);
	assert_true(host_run(guest->v, 1));
	host_cycle(guest->v);
	assert_int_equal(calls(guest), 1);
	assert_at(guest, TABLE, 1, 8 - 4 + 4);
}

/* A region with STOP has no room for it: the trace ends there. */
static void test_stop(void **state)
{
	struct guest *guest = *state;

	add_table(guest, 1, STOP);
	start(guest, 0);
	open_port(guest);
	run(guest, PAGE - guest->v->traced - 5);
	host_stop(guest->v);
	host_xen_cr3(guest->v, B);
	calls(guest);
	assert_true(host_run(guest->v, 1));
	host_cycle(guest->v);
	assert_int_equal(calls(guest), 1);
	assert_true(status(guest) & XPT_STATUS_STOPPED);
	assert_false(status(guest) & XENPT_STATUS_ON);
	assert_int_equal(total(guest), PAGE);
	assert_at(guest, TABLE, 0, PAGE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, guest_setup, guest_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_first_entry),
		TEST(test_guest_writes),
		TEST(test_xen_writes),
		TEST(test_deferred),
		TEST(test_no_pip),
		TEST(test_encoding),
		TEST(test_not_concealed),
		TEST(test_psb_tells),
		TEST(test_without_os),
		TEST(test_cr3_filter),
		TEST(test_disabled_meanwhile),
		TEST(test_straddles),
		TEST(test_fills_region),
		TEST(test_stop),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
