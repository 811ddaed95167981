/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What set-up takes for an output, and that a refusal leaves nothing behind. */
#include "tests/unit/xenpt.h"

#define ALL(array) (sizeof(array) / sizeof((array)[0]))

static int set_up(struct guest *guest, uint64_t flags)
{
	return op(guest, OP(setup), TABLE, flags);
}

/* Not a reference is held, and no memory. */
static void refused(struct guest *guest, int error, uint64_t flags)
{
	assert_int_equal(set_up(guest, flags), error);
	assert_int_equal(host.heap_pages + host.blocks + host.maps, 0);
	for (unsigned long gfn = TABLE / PAGE; gfn < TABLE / PAGE + 80; gfn++) {
		const struct page_info *pg = host_page(guest->d, gfn);

		assert_true(!pg || (pg->refs == 1 && !pg->types));
	}
	for (unsigned long gfn = REGION / PAGE; gfn < REGION / PAGE + 600; gfn++) {
		const struct page_info *pg = host_page(guest->d, gfn);

		assert_true(!pg || pg->refs == 1);
	}
	assert_int_equal(op(guest, OP(status), 0, 0), -ENODATA);
}

/* It is taken, and let go of. */
static void taken(struct guest *guest, uint64_t flags)
{
	assert_int_equal(set_up(guest, flags), 0);
	assert_int_equal(op(guest, OP(teardown), 0, 0), 0);
}

static void test_pinned(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	add_pages(guest, REGION + 4 * PAGE, PAGE);
	assert_int_equal(set_up(guest, 0), 0);
	assert_int_equal(host_page(guest->d, TABLE / PAGE)->types, 1);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(host_page(guest->d, REGION / PAGE + i)->refs, 2);
		assert_int_equal(host_page(guest->d, REGION / PAGE + i)->types, 1);
	}
	assert_int_equal(host_page(guest->d, REGION / PAGE + 4)->types, 0);
	assert_at(guest, TABLE, 0, 0);
	assert_int_equal(host_vmcs_read(guest->v, GUEST_IA32_RTIT_CTL), 0);
}

/* Up to the first STOP: what is behind it does not matter. */
static void test_stop(void **state)
{
	struct guest *guest = *state;

	add_table(guest, 2, INT);
	entry(guest, TABLE, 1, (REGION + PAGE) | STOP | INT);
	entry(guest, TABLE, 2, ~0ull);
	taken(guest, 0);
}

static void test_flags(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	refused(guest, -EINVAL, 1u << 3);
	refused(guest, -EINVAL, 1ull << 63);
	refused(guest, -EINVAL, ~0ull);
	taken(guest, XENPT_SETUP_NO_PIP);
	taken(guest, XENPT_SETUP_NO_PIP | XENPT_SETUP_LOSSLESS);
}

/* By this interface, or by the stock one: enabled, or armed without that. */
static void test_busy(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	guest->v->arch.hvm.vmx.ipt_active = true;
	refused(guest, -EBUSY, 0);
	guest->v->arch.hvm.vmx.ipt_active = false;
	guest->v->arch.msrs->rtit.ctl = XPT_CTL_TRACE_EN | XPT_CTL_OS;
	refused(guest, -EBUSY, 0);
	guest->v->arch.msrs->rtit.ctl = XPT_CTL_OS;
	assert_int_equal(set_up(guest, 0), 0);
	assert_int_equal(set_up(guest, 0), -EBUSY);
	assert_int_equal(status(guest), XENPT_STATUS_TOTAL);
}

/* ---- EFAULT, ERANGE ---- */

static void test_absent(void **state)
{
	struct guest *guest = *state;

	refused(guest, -EFAULT, 0);
	add_ring(guest, 4, INT);
	host_page_take(guest->d, REGION / PAGE + 3);
	refused(guest, -ERANGE, 0);
	/* A table that leads out of the guest. */
	add_ring(guest, 4, INT);
	entry(guest, TABLE, 2, TABLE_2 | END);
	refused(guest, -ERANGE, 0);
	/* A large region whose last page is not there. */
	add_pages(guest, REGION, 7 * PAGE);
	entry(guest, TABLE, 0, REGION | SIZE(3));
	entry(guest, TABLE, 1, TABLE | END);
	refused(guest, -ERANGE, 0);
	add_pages(guest, REGION + 7 * PAGE, PAGE);
	taken(guest, 0);
}

static void test_kinds_of_pages(void **state)
{
	static const p2m_type_t kinds[] = {
		p2m_invalid,      p2m_ram_ro,    p2m_ram_logdirty,
		p2m_ioreq_server, p2m_ram_paged, p2m_mmio_dm,
	};
	static const p2m_access_t accesses[] = {
		p2m_access_rx,
		p2m_access_r,
		p2m_access_rx2rw,
		p2m_access_n,
	};
	static const uint64_t where[] = { TABLE, REGION, REGION + 3 * PAGE };
	struct guest *guest = *state;

	for (size_t i = 0; i < ALL(where); i++) {
		const unsigned long gfn = where[i] / PAGE;
		const int want = i ? -ERANGE : -EFAULT;

		add_ring(guest, 4, INT);
		for (size_t k = 0; k < ALL(kinds); k++) {
			host_page_set(guest->d, gfn, kinds[k], p2m_access_rwx);
			refused(guest, want, 0);
		}
		for (size_t k = 0; k < ALL(accesses); k++) {
			host_page_set(guest->d, gfn, p2m_ram_rw, accesses[k]);
			refused(guest, want, 0);
		}
		host_page_set(guest->d, gfn, p2m_ram_rw, p2m_access_rwx);
		/* Xen's own, which the guest sees: shared info, grant tables. */
		host_page(guest->d, gfn)->xenheap = true;
		refused(guest, want, 0);
		host_page(guest->d, gfn)->xenheap = false;
		taken(guest, 0);
	}
}

/* A page with another use: the guest may not write to it. */
static void test_type_taken(void **state)
{
	struct guest *guest = *state;
	struct page_info *pg;

	add_ring(guest, 4, INT);
	pg = host_page(guest->d, REGION / PAGE);
	pg->type = PGT_writable_page + 1;
	pg->types = 1;
	assert_int_equal(set_up(guest, 0), -ERANGE);
	assert_int_equal(pg->refs, 1);
	assert_int_equal(pg->types, 1);
	pg->types = 0;
	taken(guest, 0);
}

static void test_foreign(void **state)
{
	struct guest *guest = *state;
	struct domain *other = host_domain_create(1);
	struct page_info *pg = host_page_add(other, 5);

	add_ring(guest, 4, INT);
	host_page_map(guest->d, REGION / PAGE + 1, pg);
	assert_int_equal(set_up(guest, 0), -ERANGE);
	assert_int_equal(pg->refs, 2);
	assert_int_equal(pg->types, 0);
	host_page_take(guest->d, REGION / PAGE + 1);
}

/* A page that is shared gets a copy of its own, if there is memory for it. */
static void test_shared(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	host_page_set(guest->d, REGION / PAGE, p2m_ram_shared, p2m_access_rwx);
	host.successes = 4; /* the vCPU's, two tables, the copy of the ToPA table */
	refused(guest, -ERANGE, 0);
	host.successes = HOST_ALL_SUCCEED;
	taken(guest, 0);
	assert_int_equal(host_page_type(guest->d, REGION / PAGE), p2m_ram_rw);
}

/* ---- EDOM ---- */

static void test_no_topa(void **state)
{
	static const uint64_t bad[] = {
		REGION | 1ull << 1, /* reserved */
		REGION | 1ull << 3,
		REGION | 1ull << 5,
		REGION | 1ull << 10,
		REGION | 1ull << 11,
		REGION | 1ull << 39, /* no such address */
		REGION | 1ull << 63,
		(REGION + PAGE) | SIZE(1), /* alignment */
		(REGION + 2 * PAGE) | SIZE(2),
		TABLE | END | INT,
		TABLE | END | STOP,
		TABLE | END | 1ull << 10,
		TABLE | END | 1ull << 39,
		TABLE_2 | END | 1ull << 63,
	};
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	for (size_t i = 0; i < ALL(bad); i++) {
		entry(guest, TABLE, 1, bad[i]);
		refused(guest, -EDOM, 0);
	}
	entry(guest, TABLE, 1, REGION + PAGE);
	taken(guest, 0);
	/* END in the first entry, of the first table and of another. */
	entry(guest, TABLE, 0, TABLE | END);
	refused(guest, -EDOM, 0);
	entry(guest, TABLE, 0, REGION);
	entry(guest, TABLE, 1, TABLE_2 | END);
	add_pages(guest, TABLE_2, PAGE);
	entry(guest, TABLE_2, 0, TABLE | END);
	refused(guest, -EDOM, 0);
}

static void test_table_addresses(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	for (unsigned int bit = 0; bit < 12; bit++)
		assert_int_equal(op(guest, OP(setup), TABLE | 1ull << bit, 0), -EDOM);
	for (unsigned int bit = 39; bit < 64; bit++)
		assert_int_equal(op(guest, OP(setup), TABLE | 1ull << bit, 0), -EDOM);
	assert_int_equal(op(guest, OP(setup), ~0ull, 0), -EDOM);
	taken(guest, 0);
}

/* An END to another table than the first: the output would not come to its start. */
static void test_knots(void **state)
{
	struct guest *guest = *state;
	const uint64_t table_3 = TABLE + 2 * PAGE;

	add_ring(guest, 1, INT);
	entry(guest, TABLE, 1, TABLE_2 | END);
	add_pages(guest, TABLE_2, 2 * PAGE);
	add_pages(guest, REGION + PAGE, 2 * PAGE);
	entry(guest, TABLE_2, 0, REGION + PAGE);
	entry(guest, TABLE_2, 1, TABLE_2 | END);
	refused(guest, -EDOM, 0);
	entry(guest, TABLE_2, 1, table_3 | END);
	entry(guest, table_3, 0, REGION + 2 * PAGE);
	entry(guest, table_3, 1, TABLE_2 | END);
	refused(guest, -EDOM, 0);
	entry(guest, table_3, 1, TABLE | END);
	taken(guest, 0);
}

static void test_no_end(void **state)
{
	struct guest *guest = *state;

	add_table(guest, 512, INT);
	refused(guest, -EDOM, 0);
	entry(guest, TABLE, 511, TABLE | END);
	taken(guest, 0);
	entry(guest, TABLE, 511, (REGION + 511 * PAGE) | STOP);
	taken(guest, 0);
}

static void test_twice(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	entry(guest, TABLE, 3, REGION | INT);
	refused(guest, -EDOM, 0);
	/* A table that the trace would be written over. */
	entry(guest, TABLE, 3, TABLE | INT);
	refused(guest, -EDOM, 0);
	/* Inside a larger one. */
	entry(guest, TABLE, 0, REGION | SIZE(2) | INT);
	entry(guest, TABLE, 1, (REGION + 2 * PAGE) | INT);
	entry(guest, TABLE, 2, TABLE | END);
	refused(guest, -EDOM, 0);
	entry(guest, TABLE, 1, TABLE | END);
	taken(guest, 0);
}

/* CPUs whose tables have one entry, and an END that leads back. */
static void test_single_entry(void **state)
{
	struct host_model model = host_model;
	struct guest *guest = *state;

	host_end();
	model.caps.ecx0 &= ~XPT_CAP0_ECX_TOPA_MULTI;
	boot(guest, &model);
	add_ring(guest, 2, INT);
	refused(guest, -EDOM, 0);
	add_ring(guest, 1, INT);
	taken(guest, 0);
	entry(guest, TABLE, 1, TABLE_2 | END);
	add_pages(guest, TABLE_2, PAGE);
	add_pages(guest, REGION + PAGE, PAGE);
	entry(guest, TABLE_2, 0, REGION + PAGE);
	entry(guest, TABLE_2, 1, TABLE | END);
	refused(guest, -EDOM, 0);
	entry(guest, TABLE, 0, REGION | STOP);
	taken(guest, 0);
}

/* ---- E2BIG, ENOMEM ---- */

static void test_pages_max(void **state)
{
	struct guest *guest = *state;
	const uint64_t size = XENPT_PAGES_MAX * PAGE;

	add_pages(guest, TABLE, PAGE);
	add_pages(guest, REGION, size + PAGE);
	entry(guest, TABLE, 0, REGION | SIZE(14));
	entry(guest, TABLE, 1, TABLE | END);
	taken(guest, 0);
	entry(guest, TABLE, 1, (REGION + size) | INT);
	entry(guest, TABLE, 2, TABLE | END);
	refused(guest, -E2BIG, 0);
	entry(guest, TABLE, 0, REGION | SIZE(15));
	refused(guest, -E2BIG, 0);
}

static void test_tables_max(void **state)
{
	struct guest *guest = *state;

	for (unsigned int i = 0; i <= XENPT_TABLES_MAX; i++) {
		const uint64_t table = TABLE + i * PAGE;

		add_pages(guest, table, PAGE);
		add_pages(guest, REGION + i * PAGE, PAGE);
		entry(guest, table, 0, (REGION + i * PAGE) | INT);
		entry(guest, table, 1, (table + PAGE) | END);
	}
	entry(guest, TABLE + XENPT_TABLES_MAX * PAGE, 1, TABLE | END);
	refused(guest, -E2BIG, 0);
	entry(guest, TABLE + (XENPT_TABLES_MAX - 1) * PAGE, 1, TABLE | END);
	taken(guest, 0);
}

static void test_no_memory(void **state)
{
	struct guest *guest = *state;
	unsigned int failures;

	add_ring(guest, 4, INT);
	entry(guest, TABLE, 4, TABLE_2 | END);
	add_pages(guest, TABLE_2, PAGE);
	add_pages(guest, REGION + 4 * PAGE, PAGE);
	entry(guest, TABLE_2, 0, REGION + 4 * PAGE);
	entry(guest, TABLE_2, 1, TABLE | END);
	for (failures = 0;; failures++) {
		host.successes = failures;
		if (!set_up(guest, 0))
			break;
		refused(guest, -ENOMEM, 0);
	}
	assert_int_equal(failures, 7);
	host.successes = HOST_ALL_SUCCEED;
}

/* ---- LOSSLESS ---- */

static void test_lossless(void **state)
{
	const uint64_t lossless = XENPT_SETUP_LOSSLESS;
	struct guest *guest = *state;

	add_ring(guest, 3, INT);
	refused(guest, -EINVAL, lossless);
	taken(guest, 0);
	add_ring(guest, 4, INT);
	taken(guest, lossless);
	/* No INT in one of them. */
	entry(guest, TABLE, 3, REGION + 3 * PAGE);
	refused(guest, -EINVAL, lossless);
	/* One that is larger than the others. */
	add_pages(guest, REGION, 8 * PAGE);
	entry(guest, TABLE, 3, (REGION + 4 * PAGE) | SIZE(1) | INT);
	refused(guest, -EINVAL, lossless);
	/* No ring. */
	entry(guest, TABLE, 3, (REGION + 3 * PAGE) | INT | STOP);
	refused(guest, -EINVAL, lossless);
	taken(guest, 0);
}

/* ---- what the guest does meanwhile ---- */

/* Xen has a copy: what the guest writes later does not lead Xen anywhere. */
static void test_copy(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	assert_int_equal(set_up(guest, 0), 0);
	for (unsigned int i = 0; i < 512; i++)
		entry(guest, TABLE, i, 0xdead000 + i * PAGE);
	enable(guest, CTL);
	assert_true(host_run(guest->v, 1));
	assert_int_equal(op(guest, OP(teardown), 0, 0), 0);
	assert_int_equal(host_page(guest->d, REGION / PAGE)->types, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, guest_setup, guest_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_pinned),          TEST(test_stop),
		TEST(test_flags),           TEST(test_busy),
		TEST(test_absent),          TEST(test_kinds_of_pages),
		TEST(test_type_taken),      TEST(test_foreign),
		TEST(test_shared),          TEST(test_no_topa),
		TEST(test_table_addresses), TEST(test_knots),
		TEST(test_no_end),          TEST(test_twice),
		TEST(test_single_entry),    TEST(test_pages_max),
		TEST(test_tables_max),      TEST(test_no_memory),
		TEST(test_lossless),        TEST(test_copy),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
