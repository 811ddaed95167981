/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What Xen writes in the place of the CPU goes where the CPU's stores could: software
 * mode, and PIPs in the trace that the guest makes of itself.
 */
#include "tests/unit/stepped.h"

static const struct {
	p2m_type_t type;
	p2m_access_t access;
	bool reads, writes;
} kinds[] = {
	{ p2m_ram_rw, p2m_access_rwx, true, true },
	{ p2m_ram_rw, p2m_access_rw, true, true },
	{ p2m_ram_logdirty, p2m_access_rwx, true, true },
	{ p2m_ram_rw, p2m_access_rx, true, false },
	{ p2m_ram_rw, p2m_access_r, true, false },
	{ p2m_ram_rw, p2m_access_rx2rw, true, false },
	{ p2m_ram_rw, p2m_access_n, false, false },
	{ p2m_ram_logdirty, p2m_access_r, true, false },
	{ p2m_ram_ro, p2m_access_rwx, true, false },
	{ p2m_ioreq_server, p2m_access_rwx, true, false },
	{ p2m_mmio_dm, p2m_access_rwx, false, false },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* From an empty buffer on: whether the trace goes on. */
static bool traces(struct guest *guest)
{
	bool on;

	PUT(guest, CODE, "\x90\x90\x90\xeb\xfb");
	host_code_start(guest->v, CODE, STACK);
	enable(guest, CTL);
	assert_true(host_run(guest->v, 1));
	for (unsigned int i = 0; i < 8; i++)
		assert_true(host_step(guest->v));
	on = status(guest) & XENPT_STATUS_ON;
	assert_int_equal(!(status(guest) & XENPT_STATUS_FAULT), on);
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_int_equal(op(guest, OP(reset), 0, 0), 0);
	return on;
}

static bool is_zero(struct guest *guest, uint64_t gpa)
{
	const uint8_t *bytes = host_bytes(host_page(guest->d, gpa / PAGE));

	return !bytes[0] && !memcmp(bytes, bytes + 1, PAGE - 1);
}

static void regions(struct guest *guest, bool mtf)
{
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	for (size_t i = 0; i < KINDS; i++) {
		memset(host_bytes(host_page(guest->d, REGION / PAGE)), 0, PAGE);
		host_page_set(guest->d, REGION / PAGE, kinds[i].type, kinds[i].access);
		assert_int_equal(traces(guest), kinds[i].writes);
		assert_int_equal(is_zero(guest, REGION), !kinds[i].writes);
	}
}
STEPPED_TESTS(regions)

static void tables(struct guest *guest, bool mtf)
{
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	for (size_t i = 0; i < KINDS; i++) {
		host_page_set(guest->d, TABLE / PAGE, kinds[i].type, kinds[i].access);
		assert_int_equal(traces(guest), kinds[i].reads);
	}
}
STEPPED_TESTS(tables)

/* A page that the guest has put into its table, and that is not its to write. */
static void elsewhere(struct guest *guest, bool mtf)
{
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	add_pages(guest, MISSING, PAGE);
	host_page_set(guest->d, MISSING / PAGE, p2m_ram_rw, p2m_access_rx);
	entry(guest, TABLE, 0, MISSING | INT);
	assert_false(traces(guest));
	assert_true(is_zero(guest, MISSING));
}
STEPPED_TESTS(elsewhere)

/* The view that the vCPU runs with says more than what the domain has. */
static void views(struct guest *guest, bool mtf)
{
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	guest->d->altp2m = true;
	guest->v->view = 1;
	/* Not copied yet. */
	assert_true(traces(guest));
	host_view_set(guest->d, 1, REGION / PAGE, p2m_access_rx);
	assert_false(traces(guest));
	host_view_set(guest->d, 1, REGION / PAGE, p2m_access_rw);
	assert_true(traces(guest));
	host_view_set(guest->d, 1, TABLE / PAGE, p2m_access_n);
	assert_false(traces(guest));
	guest->v->view = 2;
	assert_true(traces(guest));
	host_page_set(guest->d, REGION / PAGE, p2m_ram_rw, p2m_access_r);
	assert_false(traces(guest));
}
STEPPED_TESTS(views)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STEPPED_CASES(regions),
		STEPPED_CASES(tables),
		STEPPED_CASES(elsewhere),
		STEPPED_CASES(views),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
