/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vCPU whose reader is behind waits: no byte is written over before it was read. */
#include "tests/unit/random.h"
#include "tests/unit/xenpt.h"

#define REGIONS 8
#define SIZE_ALL (REGIONS * PAGE)

static void begin(struct guest *guest, uint64_t flags)
{
	add_ring(guest, REGIONS, INT);
	start(guest, XENPT_SETUP_LOSSLESS | flags);
	open_port(guest);
}

static int consume(struct guest *guest, uint64_t bytes)
{
	return op(guest, OP(consume), 0, bytes);
}

static void assert_waits(struct guest *guest, bool waits)
{
	assert_int_equal(!!(status(guest) & XENPT_STATUS_WAITS), waits);
	assert_int_equal(guest->v->pause_count, waits);
	assert_int_equal(host_run(guest->v, 1), !waits);
}

static void test_waits(void **state)
{
	struct guest *guest = *state;
	uint64_t said;

	begin(guest, 0);
	/* Two regions must be free, as the interrupt may come that late. */
	assert_int_equal(run(guest, SIZE_ALL - 3 * PAGE), SIZE_ALL - 3 * PAGE);
	assert_waits(guest, false);
	calls(guest);
	assert_true(run(guest, SIZE_ALL) < 2 * PAGE);
	assert_waits(guest, true);
	assert_int_equal(calls(guest), 1);
	said = total(guest);
	assert_in_range(said, SIZE_ALL - 2 * PAGE, SIZE_ALL - 2 * PAGE + 200);
	assert_true(status(guest) & XENPT_STATUS_ON);

	/* Too little, then enough. */
	assert_int_equal(consume(guest, said - (SIZE_ALL - 2 * PAGE) - 1), 0);
	assert_waits(guest, true);
	assert_int_equal(consume(guest, said - (SIZE_ALL - 2 * PAGE)), 0);
	assert_int_equal(guest->v->pause_count, 0);
	/* Each entry puts something out: it is full again. */
	host_run(guest->v, 1);
	host_cycle(guest->v);
	assert_waits(guest, true);
	assert_int_equal(consume(guest, total(guest)), 0);
	assert_waits(guest, false);
	assert_true(run(guest, SIZE_ALL) > SIZE_ALL - 3 * PAGE);
	assert_waits(guest, true);
}

static void test_consume_refuses(void **state)
{
	struct guest *guest = *state;
	uint64_t said;

	begin(guest, 0);
	run(guest, PAGE);
	said = total(guest);
	assert_int_equal(consume(guest, said + 1), -EINVAL);
	assert_int_equal(consume(guest, ~0ull), -EINVAL);
	assert_int_equal(consume(guest, said - 10), 0);
	assert_int_equal(consume(guest, said - 11), -EINVAL);
	assert_int_equal(consume(guest, said - 10), 0);
	assert_int_equal(consume(guest, said), 0);
	/* Afresh. */
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_int_equal(op(guest, OP(reset), 0, 0), 0);
	assert_int_equal(consume(guest, 1), -EINVAL);
	assert_int_equal(consume(guest, 0), 0);
	assert_int_equal(op(guest, OP(teardown), 0, 0), 0);
	start(guest, 0);
	assert_int_equal(consume(guest, 0), -EINVAL);
}

/* Not lossless: nobody waits. */
static void test_lossy(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, REGIONS, INT);
	start(guest, 0);
	assert_int_equal(run(guest, 10 * SIZE_ALL), 10 * SIZE_ALL);
	assert_false(status(guest) & XENPT_STATUS_WAITS);
}

static void fill(struct guest *guest)
{
	run(guest, SIZE_ALL);
	assert_waits(guest, true);
}

/* What ends the trace ends the wait. */
static void test_let_go(void **state)
{
	struct guest *guest = *state;

	begin(guest, 0);
	fill(guest);
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_waits(guest, false);
	assert_int_equal(run(guest, 10), 0);
	/* Enabled again, it is still full. */
	enable(guest, CTL);
	assert_false(host_run(guest->v, 1));
	assert_waits(guest, true);
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_int_equal(op(guest, OP(reset), 0, 0), 0);
	enable(guest, CTL);
	assert_waits(guest, false);
	fill(guest);
	assert_int_equal(op(guest, OP(teardown), 0, 0), 0);
	assert_int_equal(guest->v->pause_count, 0);
	assert_true(host_run(guest->v, 1));
}

/* Paused by somebody else as well: each lets go of its own. */
static void test_paused_too(void **state)
{
	struct guest *guest = *state;

	begin(guest, 0);
	fill(guest);
	host_pause(guest->v);
	assert_int_equal(consume(guest, total(guest)), 0);
	assert_int_equal(guest->v->pause_count, 1);
	assert_false(host_run(guest->v, 1));
	host_unpause(guest->v);
	assert_true(host_run(guest->v, 1));

	fill(guest);
	host_pause(guest->v);
	host_unpause(guest->v);
	assert_waits(guest, true);
}

/* The domain dies while its vCPU waits: host_domain_kill() looks at what is left. */
static void test_dies(void **state)
{
	struct guest *guest = *state;

	begin(guest, 0);
	fill(guest);
	host_domain_kill(guest->d);
	assert_int_equal(host.heap_pages + host.blocks + host.maps, 0);
}

/* A fault ends the trace; the vCPU does not wait for a reader any more. */
static void test_fault(void **state)
{
	struct guest *guest = *state;

	begin(guest, 0);
	run(guest, 2 * PAGE);
	host_page_take(guest->d, REGION / PAGE + 3);
	host_run(guest->v, 1);
	run(guest, SIZE_ALL);
	assert_true(status(guest) & XENPT_STATUS_FAULT);
	assert_waits(guest, false);
}

/* Copies what was put out since, and says so. */
static size_t reader(struct guest *guest, uint64_t *at, uint8_t *to)
{
	const uint64_t end = total(guest);
	size_t size = 0;

	assert_true(end - *at <= SIZE_ALL);
	for (; *at < end; ++*at)
		assert_true(host_read(guest->d, REGION + *at % SIZE_ALL, &to[size++], 1));
	assert_int_equal(consume(guest, end), 0);
	return size;
}

/*
 * All that the guest's code made is read, in order and once, however late interrupts
 * come, up to a region, and whenever the reader looks.
 */
static void test_all_is_read(void **state)
{
	const size_t skids[] = { 1, 64, 1000, PAGE - 40 };
	struct guest *guest = *state;
	struct random random = { 1 };
	uint8_t *got = malloc(SIZE_ALL);
	uint64_t at = 0;
	uint8_t next = 0x20, want = 0x20;

	assert_non_null(got);
	begin(guest, XENPT_SETUP_NO_PIP);
	for (unsigned int i = 0; i < 400; i++) {
		uint8_t bytes[3000];
		size_t size = 1 + random_below(&random, sizeof(bytes)), done;

		host.skid = skids[i % 4];
		for (size_t n = 0; n < size; n++)
			bytes[n] = next + n % 0xe0 < 0x100 ? next + n % 0xe0
							   : next + n % 0xe0 - 0xe0;
		host_run(guest->v, 1 + i % 2);
		done = host_trace(guest->v, bytes, size);
		next = (next - 0x20 + done) % 0xe0 + 0x20;
		if (done == size && random_below(&random, 4))
			continue;
		size = reader(guest, &at, got);
		for (size_t n = at == size ? 26 : 0; n < size; n++) {
			/* TIP.PGE, TIP.PGD */
			if (got[n] < 0x20)
				continue;
			assert_int_equal(got[n], want);
			want = (want - 0x20 + 1) % 0xe0 + 0x20;
		}
		assert_int_equal(want, next);
	}
	assert_true(at > 10 * SIZE_ALL);
	free(got);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, guest_setup, guest_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_waits),  TEST(test_consume_refuses), TEST(test_lossy),
		TEST(test_let_go), TEST(test_paused_too),      TEST(test_dies),
		TEST(test_fault),  TEST(test_all_is_read),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
