/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring's reader: each byte that it vouches for is the one that was written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/ring.h"

#define SIZE_MAX_TESTED 1024

/* The byte that is written as the @total-th: unlike its neighbours. */
static uint8_t byte_at(uint64_t total)
{
	uint64_t x = (total + 1) * UINT64_C(0x9e3779b97f4a7c15);

	x ^= x >> 29;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	return x >> 56;
}

static uint64_t random_state;

static uint64_t random_below(uint64_t limit)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (random_state >> 33) % limit;
}

struct writer {
	uint8_t *data; /* on the heap, so that a sanitizer sees reads past it */
	uint64_t size, total;
	bool has_total;
};

static void writer_init(struct writer *writer, uint64_t size, bool has_total)
{
	*writer = (struct writer){ .data = calloc(1, size),
				   .size = size,
				   .has_total = has_total };
	assert_non_null(writer->data);
}

static void writer_write(struct writer *writer, uint64_t n)
{
	for (; n; n--, writer->total++)
		writer->data[writer->total % writer->size] = byte_at(writer->total);
}

static struct hv_position writer_position(const struct writer *writer)
{
	return (struct hv_position){
		.total = writer->has_total ? writer->total : writer->total % writer->size,
		.has_total = writer->has_total,
	};
}

static uint64_t spans_size(const struct ring_spans *spans)
{
	return spans->spans[0].size + spans->spans[1].size;
}

static uint64_t copy(const struct ring_spans *spans, uint8_t *ret)
{
	memcpy(ret, spans->spans[0].data, spans->spans[0].size);
	memcpy(ret + spans->spans[0].size, spans->spans[1].data, spans->spans[1].size);
	return spans_size(spans);
}

static void check_bytes(const uint8_t *data, uint64_t size, uint64_t total)
{
	for (uint64_t i = 0; i < size; i++)
		assert_int_equal(data[i], byte_at(total + i));
}

/* Each way from one total to the next, with each size of a read. */
static void test_all_small(void **state)
{
	enum {
		SIZE = 6
	};
	uint8_t bytes[SIZE];

	for (uint64_t before = 0; before <= 2 * SIZE; before++) {
		for (uint64_t more = 0; more <= 3 * SIZE; more++) {
			for (uint64_t max = 1; max <= SIZE + 1; max++) {
				struct hv_position position;
				struct ring_spans spans;
				struct writer writer;
				struct ring ring;
				uint64_t n;

				writer_init(&writer, SIZE, true);
				ring_init(&ring, writer.data, SIZE);
				ring.read = before;
				writer_write(&writer, before + more);
				position = writer_position(&writer);
				ring_read(&ring, &position, max, &spans);
				assert_int_equal(spans.lapped, more > SIZE);
				assert_false(spans.unknown);
				assert_int_equal(spans.from, before + spans.lost);
				n = copy(&spans, bytes);
				if (more <= SIZE)
					assert_int_equal(spans.lost, 0);
				else
					assert_int_equal(spans.from,
							 before + more - SIZE / 2);
				more = writer.total - before;
				assert_int_equal(n, before + more - spans.from < max
							    ? before + more - spans.from
							    : max);
				check_bytes(bytes, n, spans.from);
				assert_int_equal(ring_check(&ring, &spans, &position), 0);
				assert_int_equal(ring.read, spans.from + n);
				free(writer.data);
			}
		}
	}
}

/* The writer goes on between the read and the check: by each number of bytes. */
static void test_overtaken(void **state)
{
	enum {
		SIZE = 8
	};
	uint8_t bytes[SIZE];

	for (uint64_t before = 0; before <= SIZE; before++) {
		for (uint64_t more = 0; more <= 3 * SIZE; more++) {
			struct hv_position position;
			struct ring_spans spans;
			struct writer writer;
			struct ring ring;
			uint64_t n, lost;

			writer_init(&writer, SIZE, true);
			ring_init(&ring, writer.data, SIZE);
			writer_write(&writer, before);
			position = writer_position(&writer);
			ring_read(&ring, &position, SIZE, &spans);
			writer_write(&writer, more);
			n = copy(&spans, bytes); /* the worst moment to copy */
			position = writer_position(&writer);
			lost = ring_check(&ring, &spans, &position);
			assert_true(lost <= n);
			check_bytes(bytes + lost, n - lost, lost);
			if (before + more > SIZE)
				assert_int_equal(lost, before + more - SIZE < n
							       ? before + more - SIZE
							       : n);
			else
				assert_int_equal(lost, 0);
			free(writer.data);
		}
	}
}

/* One random run: whatever happens, what is vouched for is right, and all is told. */
static void run_random(uint64_t seed, bool has_total)
{
	uint64_t sizes[] = { 1, 7, 64, 256, 1000, 1024 };
	uint64_t size, real, n, lost;
	uint8_t bytes[SIZE_MAX_TESTED];
	struct hv_position position;
	struct ring_spans spans;
	struct writer writer;
	struct ring ring;

	random_state = seed;
	/* The tail needs room; without laps told a small ring is not to be trusted. */
	size = sizes[has_total ? random_below(6) : 3 + random_below(3)];
	writer_init(&writer, size, has_total);
	ring_init(&ring, writer.data, size);
	for (int i = 0; i < 50; i++) {
		uint64_t read = ring.read;

		writer_write(&writer, random_below(random_below(4) ? size : 4 * size));
		position = writer_position(&writer);
		ring_read(&ring, &position, 1 + random_below(size), &spans);
		assert_int_equal(spans.from, read + spans.lost);
		assert_int_equal(ring.read, spans.from);
		if (!random_below(3))
			writer_write(&writer, random_below(2 * size));
		n = copy(&spans, bytes);
		position = writer_position(&writer);
		lost = ring_check(&ring, &spans, &position);
		assert_true(lost <= n);
		assert_int_equal(ring.read, spans.from + n);
		if (lost == n)
			continue;
		/* Where no laps are told, ours and the real totals differ by some. */
		real = writer.total - n;
		real -= (real % size + size - spans.from % size) % size;
		check_bytes(bytes + lost, n - lost,
			    (has_total ? spans.from : real) + lost);
	}
	free(writer.data);
}

static void test_random(void **state)
{
	for (uint64_t seed = 0; seed < 3000; seed++) {
		run_random(seed, true);
		run_random(seed, false);
	}
}

/* A lap that ends where the reader is, or just before it, is found. */
static void test_tail(void **state)
{
	enum {
		SIZE = 1024
	};

	for (uint64_t laps = 1; laps <= 3; laps++) {
		for (uint64_t more = 0; more < SIZE - SIZE / 16; more += 16) {
			struct hv_position position;
			struct ring_spans spans;
			struct writer writer;
			struct ring ring;

			writer_init(&writer, SIZE, false);
			ring_init(&ring, writer.data, SIZE);
			writer_write(&writer, 100);
			position = writer_position(&writer);
			ring_read(&ring, &position, SIZE, &spans);
			assert_int_equal(spans_size(&spans), 100);
			assert_int_equal(ring_check(&ring, &spans, &position), 0);
			writer_write(&writer, laps * SIZE + more);
			position = writer_position(&writer);
			ring_read(&ring, &position, SIZE, &spans);
			assert_true(spans.lapped);
			assert_true(spans.unknown);
			assert_true(spans.lost <= writer.total - 100 - SIZE / 2);
			assert_int_equal(spans_size(&spans), SIZE / 2);
			assert_int_equal(ring_check(&ring, &spans, &position), 0);
			free(writer.data);
		}
	}
}

/* The same while a copy is made: all of it is in doubt. */
static void test_tail_overtaken(void **state)
{
	enum {
		SIZE = 1024
	};

	for (uint64_t more = 0; more < SIZE - 100 - SIZE / 16; more += 16) {
		struct hv_position position;
		struct ring_spans spans;
		struct writer writer;
		struct ring ring;

		writer_init(&writer, SIZE, false);
		ring_init(&ring, writer.data, SIZE);
		writer_write(&writer, 100);
		position = writer_position(&writer);
		ring_read(&ring, &position, SIZE, &spans);
		writer_write(&writer, SIZE + more);
		position = writer_position(&writer);
		assert_int_equal(ring_check(&ring, &spans, &position), 100);
		free(writer.data);
	}
}

/* What a hypervisor says may be anything: no byte outside, and no trust. */
static void test_nonsense(void **state)
{
	static const uint64_t totals[] = { 0,          1,          63,
					   64,         65,         1000,
					   1ull << 32, 1ull << 63, UINT64_MAX - 64,
					   UINT64_MAX };
	uint8_t bytes[64];

	random_state = 7;
	for (int i = 0; i < 20000; i++) {
		struct hv_position position = {};
		struct ring_spans spans;
		struct writer writer;
		struct ring ring;

		writer_init(&writer, 64, true);
		ring_init(&ring, writer.data, 64);
		for (int j = 0; j < 6; j++) {
			uint64_t read = ring.read;

			position.total = totals[random_below(10)] + random_below(3);
			position.has_total = random_below(2);
			ring_read(&ring, &position, 1 + random_below(100), &spans);
			assert_true(copy(&spans, bytes) <= 64);
			if (position.has_total && position.total < read) {
				assert_true(spans.lapped && spans.unknown);
				assert_int_equal(spans_size(&spans), 0);
			}
			position.total = totals[random_below(10)] + random_below(3);
			if (position.has_total && position.total < spans.from) {
				assert_int_equal(ring_check(&ring, &spans, &position),
						 spans_size(&spans));
			} else {
				assert_true(ring_check(&ring, &spans, &position) <=
					    spans_size(&spans));
			}
			ring_read_all(&ring, &position, &spans);
			assert_true(copy(&spans, bytes) <= 64);
		}
		free(writer.data);
	}
}

static void test_all_at_the_end(void **state)
{
	static const uint64_t totals[] = { 0, 1, 192, 256, 257, 700, 1024, 5000 };
	uint8_t bytes[256];

	for (size_t i = 0; i < 16; i++) {
		struct hv_position position;
		struct ring_spans spans;
		struct writer writer;
		struct ring ring;
		uint64_t n, total = totals[i / 2];
		uint64_t from = total > 256 ? total - 256 : 0;

		writer_init(&writer, 256, i % 2);
		ring_init(&ring, writer.data, 256);
		writer_write(&writer, total);
		position = writer_position(&writer);
		ring_read_all(&ring, &position, &spans);
		n = copy(&spans, bytes);
		/* Exactly a lap cannot be told from nothing but by the tail. */
		if (i % 2) {
			assert_int_equal(spans.lost, from);
			assert_int_equal(spans.lapped, total > 256);
			assert_int_equal(spans.from, from);
		} else {
			assert_int_equal(spans.unknown, total >= 256);
		}
		assert_int_equal(n, total - from);
		check_bytes(bytes, n, from);
		ring_read_all(&ring, &position, &spans);
		assert_int_equal(spans_size(&spans), 0);
		free(writer.data);
	}
}

/* A guest that does the same over and over: TNT, and a PSB each 2 KiB and some. */
static uint8_t loop_at(uint64_t total)
{
	return total % 2069 < 16 ? (total % 2069 % 2 ? 0x82 : 0x02) : 0xfe;
}

static void write_loop(struct writer *writer, uint64_t n)
{
	for (; n; n--, writer->total++)
		writer->data[writer->total % writer->size] = loop_at(writer->total);
}

static void test_lap_of_a_loop(void **state)
{
	enum {
		SIZE = 65536
	};

	for (uint64_t before = 10000; before < 20000; before += 999) {
		for (uint64_t more = 0; more < SIZE - RING_TAIL; more += 5000) {
			struct hv_position position;
			struct ring_spans spans;
			struct writer writer;
			struct ring ring;

			writer_init(&writer, SIZE, false);
			ring_init(&ring, writer.data, SIZE);
			write_loop(&writer, before);
			position = writer_position(&writer);
			ring_read(&ring, &position, SIZE, &spans);
			assert_false(spans.lapped);
			assert_int_equal(ring_check(&ring, &spans, &position), 0);
			write_loop(&writer, more);
			position = writer_position(&writer);
			ring_read(&ring, &position, SIZE, &spans);
			assert_false(spans.lapped);
			assert_int_equal(spans_size(&spans), more);
			/* While it is copied, and with no position since. */
			write_loop(&writer, SIZE);
			assert_int_equal(ring_check(&ring, &spans, &position), more);
			write_loop(&writer, SIZE);
			position = writer_position(&writer);
			ring_read(&ring, &position, SIZE, &spans);
			assert_true(spans.lapped);
			free(writer.data);
		}
	}
}

/* A ring so full that nothing tells of a lap any more counts as one. */
static void test_nearly_full(void **state)
{
	enum {
		SIZE = 65536
	};

	for (int full = 0; full < 2; full++) {
		struct hv_position position;
		struct ring_spans spans;
		struct writer writer;
		struct ring ring;

		writer_init(&writer, SIZE, false);
		ring_init(&ring, writer.data, SIZE);
		writer_write(&writer, SIZE - RING_TAIL / 2 + full);
		position = writer_position(&writer);
		ring_read(&ring, &position, SIZE, &spans);
		assert_int_equal(spans.lapped, full);
		free(writer.data);
	}
}

/* --flight: nothing is read, but wraps are seen, whatever comes last. */
static void test_follow(void **state)
{
	enum {
		SIZE = 65536
	};
	uint8_t bytes[SIZE];

	for (uint64_t steps = 0; steps < 20; steps++) {
		struct hv_position position;
		struct ring_spans spans;
		struct writer writer;
		struct ring ring;
		uint64_t n, from;

		writer_init(&writer, SIZE, false);
		ring_init(&ring, writer.data, SIZE);
		for (uint64_t i = 0; i < steps; i++) {
			write_loop(&writer, 10007);
			position = writer_position(&writer);
			ring_follow(&ring, &position);
			assert_int_equal(ring.last, writer.total);
			assert_int_equal(ring.read, 0);
		}
		position = writer_position(&writer);
		ring_read_all(&ring, &position, &spans);
		n = copy(&spans, bytes);
		from = writer.total > SIZE ? writer.total - SIZE : 0;
		assert_int_equal(n, writer.total - from);
		for (uint64_t i = 0; i < n; i++)
			assert_int_equal(bytes[i], loop_at(from + i));
		free(writer.data);
	}
}

/* What it wrote after it was last seen, in the older half, is not taken for old. */
static void test_gone(void **state)
{
	enum {
		SIZE = 65536
	};
	uint8_t bytes[SIZE];

	for (int has_total = 0; has_total < 2; has_total++) {
		for (uint64_t more = 0; more < SIZE; more += SIZE / 8) {
			struct hv_position position;
			struct ring_spans spans;
			struct writer writer;
			struct ring ring;
			uint64_t n;

			writer_init(&writer, SIZE, has_total);
			ring_init(&ring, writer.data, SIZE);
			for (int i = 0; i < 5; i++) {
				writer_write(&writer, SIZE / 4 + 1);
				position = writer_position(&writer);
				ring_follow(&ring, &position);
			}
			writer_write(&writer, more);
			position.gone = true;
			ring_read_all(&ring, &position, &spans);
			n = copy(&spans, bytes);
			assert_int_equal(n, SIZE / 2);
			if (more <= SIZE / 2)
				check_bytes(bytes, n, writer.total - more - n);
			free(writer.data);
		}
	}
}

static void test_gone_after_a_lap(void **state)
{
	enum {
		SIZE = 65536
	};
	struct hv_position position;
	struct ring_spans spans;
	struct writer writer;
	struct ring ring;

	writer_init(&writer, SIZE, false);
	ring_init(&ring, writer.data, SIZE);
	writer_write(&writer, 1000);
	position = writer_position(&writer);
	ring_follow(&ring, &position);
	writer_write(&writer, SIZE + 1000);
	position.gone = true;
	ring_read(&ring, &position, SIZE, &spans);
	assert_true(spans.lapped);
	assert_true(spans.unknown);
	assert_int_equal(spans_size(&spans), 0);
	free(writer.data);
}

static void test_empty(void **state)
{
	struct hv_position position = { .total = 5, .has_total = true };
	struct ring_spans spans;
	struct ring ring;

	ring_init(&ring, NULL, 0);
	ring_read(&ring, &position, 10, &spans);
	assert_int_equal(spans_size(&spans), 0);
	assert_int_equal(ring_check(&ring, &spans, &position), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_small),
		cmocka_unit_test(test_overtaken),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_tail),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_all_at_the_end),
		cmocka_unit_test(test_tail_overtaken),
		cmocka_unit_test(test_lap_of_a_loop),
		cmocka_unit_test(test_nearly_full),
		cmocka_unit_test(test_follow),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_gone_after_a_lap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
