/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the trace is, and what happens when the guest changes what it goes to. */
#include "tests/unit/xenpt.h"

/* Each byte that was put out counts, lap after lap. */
static void test_laps(void **state)
{
	struct guest *guest = *state;
	uint64_t was = 0;

	add_ring(guest, 4, INT);
	start(guest, XENPT_SETUP_NO_PIP);
	for (unsigned int i = 0; i < 100; i++) {
		assert_int_equal(run(guest, 3001), 3001);
		assert_counted(guest);
		assert_true(total(guest) > was);
		was = total(guest);
		assert_at(guest, TABLE, was / PAGE % 4, was % PAGE);
		assert_true(host_run(guest->v, 1 + i % 2));
	}
	assert_true(status(guest) & XENPT_STATUS_ON);
}

/* To the last byte of a region, of the ring, and over it. */
static void test_ends_of_regions(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 3, INT);
	start(guest, XENPT_SETUP_NO_PIP);
	run(guest, PAGE - guest->v->traced - 1);
	assert_at(guest, TABLE, 1, 0); /* TIP.PGD is the last */
	assert_int_equal(total(guest), PAGE);
	assert_true(host_run(guest->v, 1));
	run(guest, PAGE);
	assert_true(host_run(guest->v, 1));
	run(guest, 3 * PAGE - guest->v->traced - 1);
	assert_at(guest, TABLE, 0, 0);
	assert_int_equal(total(guest), 3 * PAGE);
	assert_true(host_run(guest->v, 1));
	assert_at(guest, TABLE, 0, 2);
	assert_int_equal(total(guest), 3 * PAGE + 2);
}

/* Regions of several sizes, in three tables, which are anywhere. */
static void test_tables(void **state)
{
	struct guest *guest = *state;
	const uint64_t table_3 = 0x50000000;

	add_pages(guest, TABLE, 2 * PAGE);
	add_pages(guest, table_3, PAGE);
	add_pages(guest, REGION, 16 * PAGE);
	entry(guest, TABLE, 0, REGION | SIZE(2) | INT);
	entry(guest, TABLE, 1, (REGION + 4 * PAGE) | INT);
	entry(guest, TABLE, 2, table_3 | END);
	entry(guest, table_3, 0, (REGION + 5 * PAGE) | INT);
	entry(guest, table_3, 1, TABLE_2 | END);
	entry(guest, TABLE_2, 0, (REGION + 8 * PAGE) | SIZE(3) | INT);
	entry(guest, TABLE_2, 1, TABLE | END);
	start(guest, XENPT_SETUP_NO_PIP);
	run(guest, 3 * PAGE);
	host_stop(guest->v);
	assert_at(guest, TABLE, 0, total(guest));
	assert_true(host_run(guest->v, 1));
	run(guest, 2 * PAGE);
	assert_at(guest, table_3, 0, total(guest) - 5 * PAGE);
	assert_true(host_run(guest->v, 1));
	run(guest, PAGE);
	assert_at(guest, TABLE_2, 0, total(guest) - 6 * PAGE);
	assert_true(host_run(guest->v, 1));
	run(guest, 8 * PAGE);
	assert_at(guest, TABLE, 0, total(guest) - 14 * PAGE);
	assert_counted(guest);
	assert_true(status(guest) & XENPT_STATUS_ON);
}

/* CPUs whose tables have one entry: laps are not seen. */
static void test_single_entry(void **state)
{
	struct host_model model = host_model;
	struct guest *guest = *state;

	host_end();
	model.caps.ecx0 &= ~XPT_CAP0_ECX_TOPA_MULTI;
	boot(guest, &model);
	add_pages(guest, TABLE, PAGE);
	add_pages(guest, REGION, 4 * PAGE);
	entry(guest, TABLE, 0, REGION | SIZE(2) | INT);
	entry(guest, TABLE, 1, TABLE | END);
	start(guest, XENPT_SETUP_NO_PIP);
	run(guest, 6 * PAGE);
	assert_false(status(guest) & XENPT_STATUS_TOTAL);
	assert_at(guest, TABLE, 0, guest->v->traced % (4 * PAGE));
}

/* ---- pages that go ---- */

static void assert_fault(struct guest *guest)
{
	assert_true(status(guest) & XENPT_STATUS_FAULT);
	assert_false(status(guest) & XENPT_STATUS_ON);
	assert_false(host_vmcs_read(guest->v, GUEST_IA32_RTIT_CTL) & XPT_CTL_TRACE_EN);
	assert_int_equal(guest->d->strays, 0);
	/* The guest runs on, and nothing more is traced. */
	assert_true(host_run(guest->v, 1));
	assert_int_equal(run(guest, 100), 0);
	host_cycle(guest->v);
	assert_true(host_runs(guest->v));
}

static void test_page_taken(void **state)
{
	struct guest *guest = *state;
	struct page_info *pg;
	uint64_t at;

	add_ring(guest, 4, INT);
	start(guest, 0);
	open_port(guest);
	pg = host_page(guest->d, REGION / PAGE + 2);
	host_page_take(guest->d, REGION / PAGE + 2);
	assert_int_equal(pg->refs, 1); /* Xen's */
	run(guest, 2 * PAGE - 200);
	assert_true(status(guest) & XENPT_STATUS_ON);
	calls(guest);
	assert_true(host_run(guest->v, 1));
	run(guest, 2 * PAGE);
	assert_fault(guest);
	assert_int_equal(calls(guest), 1);
	at = total(guest);
	assert_in_range(at, 2 * PAGE - 64, 2 * PAGE);
	assert_int_equal(op(guest, OP(teardown), 0, 0), 0);
	assert_int_equal(pg->refs, 0);
}

/* The page under the position itself: found at the next entry. */
static void test_current_page_taken(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	start(guest, 0);
	host_stop(guest->v);
	host_page_take(guest->d, REGION / PAGE);
	assert_true(host_run(guest->v, 1));
	assert_fault(guest);
}

/* Xen's PIP goes to the page that it has pinned, or nowhere. */
static void test_pip_to_taken_page(void **state)
{
	struct guest *guest = *state;
	const struct page_info *pg;
	uint8_t bytes[8];
	uint64_t at;

	add_ring(guest, 4, INT);
	start(guest, 0);
	host_stop(guest->v);
	at = total(guest);
	pg = host_page(guest->d, REGION / PAGE);
	host_page_take(guest->d, REGION / PAGE);
	add_pages(guest, REGION, PAGE);
	host_xen_cr3(guest->v, B);
	assert_true(host_run(guest->v, 1));
	assert_int_equal(cr3_of(host_bytes(pg) + at), B);
	assert_true(host_read(guest->d, REGION + at, bytes, 8));
	assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0", 8);
}

static void test_table_taken(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	start(guest, 0);
	host_stop(guest->v);
	host_page_take(guest->d, TABLE / PAGE);
	assert_true(host_run(guest->v, 1));
	assert_fault(guest);
}

static void test_page_protected(void **state)
{
	static const struct {
		p2m_type_t type;
		p2m_access_t access;
	} kinds[] = {
		{ p2m_ram_ro, p2m_access_rwx }, { p2m_ram_paged, p2m_access_rwx },
		{ p2m_ram_rw, p2m_access_rx },  { p2m_ram_rw, p2m_access_r },
		{ p2m_ram_rw, p2m_access_n },   { p2m_ram_logdirty, p2m_access_rx },
	};
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		enable(guest, CTL);
		assert_true(host_run(guest->v, 1));
		host_page_set(guest->d, REGION / PAGE + 1, kinds[i].type,
			      kinds[i].access);
		run(guest, 2 * PAGE);
		assert_fault(guest);
		host_page_set(guest->d, REGION / PAGE + 1, p2m_ram_rw, p2m_access_rwx);
		assert_int_equal(op(guest, OP(disable), 0, 0), 0);
		assert_int_equal(op(guest, OP(reset), 0, 0), 0);
	}
}

/* The guest has made its output a device: no instruction of its is to be emulated. */
static void test_device(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	start(guest, 0);
	entry(guest, TABLE, 1, 0xfee00000 | INT);
	/* There is memory below it, which does not make it one that paging brings. */
	add_pages(guest, 0xfee00000, PAGE);
	host_page_set(guest->d, 0xfee00, p2m_ram_logdirty, p2m_access_rwx);
	run(guest, 2 * PAGE);
	assert_fault(guest);
}

/* ---- what the guest's paging brings ---- */

static void test_logdirty(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	start(guest, XENPT_SETUP_NO_PIP);
	for (unsigned int lap = 0; lap < 10; lap++) {
		for (unsigned int i = 0; i < 4; i++)
			host_page_set(guest->d, REGION / PAGE + i, p2m_ram_logdirty,
				      p2m_access_rwx);
		assert_int_equal(run(guest, 4 * PAGE), 4 * PAGE);
	}
	assert_counted(guest);
	assert_true(status(guest) & XENPT_STATUS_ON);
	assert_int_equal(guest->d->strays, 0);
}

/* The same after each reset: it is another fault, although it looks like the last one. */
static void test_logdirty_after_reset(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
	for (unsigned int i = 0; i < 20; i++) {
		host_page_set(guest->d, REGION / PAGE, p2m_ram_logdirty, p2m_access_rwx);
		enable(guest, CTL);
		assert_true(host_run(guest->v, 1));
		assert_true(status(guest) & XENPT_STATUS_ON);
		assert_int_equal(op(guest, OP(disable), 0, 0), 0);
		assert_int_equal(op(guest, OP(reset), 0, 0), 0);
	}
}

/* What does not come, although it should: the vCPU does not go round for ever. */
static void test_stuck(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	start(guest, 0);
	host_page_set(guest->d, REGION / PAGE + 1, p2m_ram_logdirty, p2m_access_rwx);
	guest->d->stuck = true;
	run(guest, 2 * PAGE);
	assert_fault(guest);
}

/* The same where each entry has a PIP: those do not go on filling the ring. */
static void test_stuck_with_pips(void **state)
{
	struct host_model model = host_model;
	struct guest *guest = *state;

	host_end();
	model.exit &= ~VM_EXIT_CONCEAL_FROM_PT;
	boot(guest, &model);
	add_ring(guest, 4, INT);
	start(guest, 0);
	host_cycle(guest->v);
	host_page_set(guest->d, REGION / PAGE, p2m_ram_logdirty, p2m_access_rwx);
	guest->d->stuck = true;
	host_cycle(guest->v);
	assert_in_range(total(guest), 0, 200);
	assert_fault(guest);
}

/* A view of altp2m gets its pages when they are missed. */
static void test_altp2m(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	guest->d->altp2m = true;
	start(guest, XENPT_SETUP_NO_PIP);
	run(guest, 5 * PAGE);
	assert_counted(guest);
	assert_true(host_run(guest->v, 1));
	guest->v->view = 1;
	run(guest, 5 * PAGE);
	assert_counted(guest);
	assert_true(status(guest) & XENPT_STATUS_ON);
	/* Which forbids a page. */
	host_view_set(guest->d, 1, REGION / PAGE + 1, p2m_access_r);
	assert_true(host_run(guest->v, 1));
	run(guest, 5 * PAGE);
	assert_fault(guest);
}

/* An access to the local APIC's page by the output, and by an instruction. */
static void test_apic_access(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	start(guest, 0);
	assert_false(host_apic_access(guest->v, false));
	assert_true(status(guest) & XENPT_STATUS_ON);
	assert_true(host_run(guest->v, 1));
	assert_true(host_apic_access(guest->v, true));
	assert_fault(guest);
	/* Of a vCPU that has nothing to do with it. */
	assert_true(host_run(guest->d->vcpu[1], 2));
	assert_false(host_apic_access(guest->d->vcpu[1], true));
}

/* PEBS has such exits as well: what is not traced has nothing to do with them. */
static void test_not_of_pt(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
	enable(guest, CTL);
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_true(host_run(guest->v, 1));
	assert_false(host_apic_access(guest->v, true));
	host.cpu = 1;
	assert_false(xenpt_output_fault(1ul << 16, REGION));
	host.cpu = 0;
	assert_int_equal(host_vmcs_read(guest->v, GUEST_IA32_RTIT_CTL), 0);
	assert_false(status(guest) & XENPT_STATUS_FAULT);
	enable(guest, CTL);
}

/* ---- tables that are rewritten ---- */

/* To pages that Xen does not know: the CPU goes there, and Xen says where it is lost. */
static void test_region_elsewhere(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	start(guest, 0);
	add_pages(guest, REGION + 8 * PAGE, PAGE);
	entry(guest, TABLE, 1, REGION + 8 * PAGE);
	run(guest, PAGE + 100);
	/* The position is that of the copy: Xen cannot see it. */
	assert_true(status(guest) & XENPT_STATUS_ON);
	host_xen_cr3(guest->v, B);
	assert_true(host_run(guest->v, 1));
	assert_int_equal(guest->d->strays, 0);
}

static void test_table_elsewhere(void **state)
{
	struct guest *guest = *state;
	const uint64_t own = 0x200000;

	add_ring(guest, 2, INT);
	start(guest, 0);
	add_pages(guest, own, PAGE);
	add_pages(guest, REGION + 8 * PAGE, PAGE);
	entry(guest, own, 0, REGION + 8 * PAGE);
	entry(guest, own, 1, TABLE | END);
	entry(guest, TABLE, 2, own | END);
	run(guest, 2 * PAGE + 10);
	assert_fault(guest);
}

/* A larger region than Xen knows: the offset is out of it. */
static void test_region_larger(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 2, 0);
	start(guest, 0);
	entry(guest, TABLE, 0, REGION | SIZE(1));
	run(guest, PAGE + 10);
	host_cycle(guest->v);
	assert_fault(guest);
}

/* An entry more than Xen knows. */
static void test_more_regions(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 2, 0);
	add_pages(guest, REGION + 2 * PAGE, PAGE);
	start(guest, 0);
	entry(guest, TABLE, 2, REGION + 2 * PAGE);
	entry(guest, TABLE, 3, TABLE | END);
	run(guest, 2 * PAGE + 100);
	host_cycle(guest->v);
	assert_fault(guest);
}

/* A STOP in what was a ring: what was put out is what was put out. */
static void test_stop_in_ring(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	start(guest, XENPT_SETUP_NO_PIP);
	entry(guest, TABLE, 3, (REGION + 3 * PAGE) | STOP);
	run(guest, 5 * PAGE);
	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(total(guest), 4 * PAGE);
		assert_true(host_run(guest->v, 1));
	}
	assert_true(status(guest) & XPT_STATUS_STOPPED);
}

/* The output leads back, or past its end, where Xen knows of a STOP. */
static void test_no_stop(void **state)
{
	struct guest *guest = *state;

	add_table(guest, 2, 0);
	entry(guest, TABLE, 1, (REGION + PAGE) | STOP);
	start(guest, 0);
	entry(guest, TABLE, 1, REGION + PAGE);
	entry(guest, TABLE, 2, TABLE | END);
	run(guest, PAGE + 100);
	host_cycle(guest->v);
	run(guest, PAGE + 100);
	host_cycle(guest->v);
	assert_fault(guest);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, guest_setup, guest_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_laps),
		TEST(test_ends_of_regions),
		TEST(test_tables),
		TEST(test_single_entry),
		TEST(test_page_taken),
		TEST(test_current_page_taken),
		TEST(test_pip_to_taken_page),
		TEST(test_table_taken),
		TEST(test_page_protected),
		TEST(test_device),
		TEST(test_logdirty),
		TEST(test_logdirty_after_reset),
		TEST(test_stuck),
		TEST(test_stuck_with_pips),
		TEST(test_altp2m),
		TEST(test_apic_access),
		TEST(test_not_of_pt),
		TEST(test_region_elsewhere),
		TEST(test_table_elsewhere),
		TEST(test_region_larger),
		TEST(test_more_regions),
		TEST(test_stop_in_ring),
		TEST(test_no_stop),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
