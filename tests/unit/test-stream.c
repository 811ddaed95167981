/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One vCPU's trace out of a file: its bytes, its gaps, its packets. */
#include "xpt.h"

#include "decode/stream.h"

static const uint8_t psb[16] = { 2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82,
				 2, 0x82, 2, 0x82, 2, 0x82, 2, 0x82 };

/* PSB, a TIP that needs nothing before it, one that does: 16 + 7 + 3 bytes. */
enum {
	UNIT = 26
};
static const uint8_t tips[] = { 0x6d, 1, 2, 3, 4, 5, 0x80, 0x2d, 0xfe, 0xff };

static void unit(uint8_t *ret)
{
	memcpy(ret, psb, 16);
	memcpy(ret + 16, tips, sizeof(tips));
}

static void announce(struct xenpt_writer *writer, uint32_t id)
{
	const struct xenpt_vcpu vcpu = { .id = id, .name = "" };

	assert_success(xenpt_writer_vcpu(writer, &vcpu));
}

static struct xenpt_file *reopen(struct xenpt_writer *writer, int fd)
{
	struct xenpt_file *file;
	struct bytes bytes;

	assert_success(xenpt_writer_finish(writer));
	bytes = writer_close(writer, fd);
	assert_success(open_bytes(bytes.data, bytes.size, &file));
	free(bytes.data);
	return file;
}

static void test_pieces_and_gaps(void **state)
{
	static const char text[] = "0123456789abcdefghij";
	struct stream_gap gap;
	struct xenpt_writer *writer;
	struct xenpt_file *file;
	struct stream *stream;
	char got[64];
	size_t pos = 0, size;
	int fd;

	writer = writer_open(&fd);
	announce(writer, 3);
	announce(writer, 7);
	announce(writer, 8);
	assert_success(xenpt_writer_trace(writer, 3, text, 4));
	assert_success(xenpt_writer_trace(writer, 7, "other", 5));
	assert_success(xenpt_writer_trace(writer, 3, text + 4, 6));
	assert_success(xenpt_writer_gap(writer, 3, XENPT_GAP_LAPPED, 100));
	assert_success(xenpt_writer_gap(writer, 3, XENPT_GAP_SEAM, 0));
	assert_success(xenpt_writer_trace(writer, 3, text + 10, 10));
	file = reopen(writer, fd);

	assert_error(stream_create(file, 4, &stream), XENPT_ERROR_NOT_FOUND, "no vCPU 4");
	assert_success(stream_create(file, 3, &stream));
	while (stream_next_size(stream)) {
		assert_false(stream_gap(stream, &gap));
		assert_int_equal(stream_offset(stream), pos);
		assert_success(stream_read(stream, got + pos, &size));
		pos += size;
	}
	assert_int_equal(pos, 10);
	assert_memory_equal(got, text, 10);
	assert_false(stream_end(stream));
	assert_true(stream_gap(stream, &gap));
	assert_int_equal(gap.reason, XENPT_GAP_LAPPED);
	assert_int_equal(gap.lost, 100);
	assert_int_equal(gap.offset, 10);
	assert_true(stream_gap(stream, &gap));
	assert_int_equal(gap.reason, XENPT_GAP_SEAM);
	assert_int_equal(stream_offset(stream), 10);
	while (stream_next_size(stream)) {
		assert_success(stream_read(stream, got + pos, &size));
		pos += size;
	}
	assert_int_equal(pos, 20);
	assert_memory_equal(got, text, 20);
	assert_true(stream_end(stream));
	assert_false(stream_gap(stream, &gap));
	assert_int_equal(stream_offset(stream), 20);
	stream_destroy(stream);

	/* Announced, but nothing was recorded. */
	assert_success(stream_create(file, 8, &stream));
	assert_true(stream_end(stream));
	assert_int_equal(stream_next_size(stream), 0);
	assert_false(stream_gap(stream, &gap));
	stream_destroy(stream);
	xenpt_file_close(file);
}

/* All packets; returns how many. */
static size_t list(const struct xenpt_file *file, uint32_t vcpu, struct xenpt_packet *ret,
		   size_t max)
{
	struct xenpt_packets *packets;
	const struct xenpt_packet *batch;
	size_t total = 0, count;

	assert_success(xenpt_packets_create(file, vcpu, &packets));
	do {
		assert_success(xenpt_packets_next(packets, &batch, &count));
		assert_true(total + count <= max);
		memcpy(ret + total, batch, count * sizeof(*batch));
		total += count;
	} while (count);
	assert_success(xenpt_packets_next(packets, &batch, &count));
	assert_int_equal(count, 0);
	xenpt_packets_destroy(packets);
	return total;
}

/* @packet and the two after it are a unit at @offset. */
static void assert_unit(const struct xenpt_packet *packet, uint64_t offset)
{
	assert_int_equal(packet[0].type, XENPT_PACKET_PSB);
	assert_int_equal(packet[0].offset, offset);
	assert_int_equal(packet[1].type, XENPT_PACKET_TIP);
	assert_int_equal(packet[1].offset, offset + 16);
	assert_int_equal(packet[1].payload, 0xffff800504030201);
	assert_int_equal(packet[2].type, XENPT_PACKET_TIP);
	assert_int_equal(packet[2].offset, offset + 23);
	assert_int_equal(packet[2].payload, 0xffff80050403fffe);
	assert_int_equal(packet[2].size, 3);
}

/* The chunks' ends cannot be seen in the packets, wherever they are. */
static void test_packets_across_chunks(void **state)
{
	uint8_t trace[3 * UNIT + 3] = { 0xff, 0x0d, 0x02 };
	struct xenpt_packet got[16];

	for (size_t i = 0; i < 3; i++)
		unit(trace + 3 + i * UNIT);
	for (size_t piece = 1; piece <= sizeof(trace); piece++) {
		struct xenpt_writer *writer;
		struct xenpt_file *file;
		int fd;

		writer = writer_open(&fd);
		announce(writer, 0);
		for (size_t pos = 0, size; pos < sizeof(trace); pos += size) {
			size = sizeof(trace) - pos < piece ? sizeof(trace) - pos : piece;
			assert_success(xenpt_writer_trace(writer, 0, trace + pos, size));
		}
		file = reopen(writer, fd);
		assert_int_equal(list(file, 0, got, 16), 10);
		assert_int_equal(got[0].type, XENPT_PACKET_BAD);
		assert_int_equal(got[0].offset, 0);
		assert_int_equal(got[0].size, 3);
		for (size_t i = 0; i < 3; i++)
			assert_unit(&got[1 + 3 * i], 3 + i * UNIT);
		xenpt_file_close(file);
	}
}

/* A gap cuts a packet; what follows is not taken for its rest. */
static void test_packets_across_gap(void **state)
{
	struct xenpt_packet got[16];
	struct xenpt_packets *packets;
	struct xenpt_writer *writer;
	struct xenpt_file *file;
	uint8_t trace[UNIT];
	int fd;

	unit(trace);
	writer = writer_open(&fd);
	announce(writer, 0);
	assert_success(xenpt_writer_gap(writer, 0, XENPT_GAP_SEAM, 0));
	assert_success(xenpt_writer_trace(writer, 0, trace, UNIT - 1));
	assert_success(xenpt_writer_gap(writer, 0, XENPT_GAP_DROPPED, 1));
	assert_success(xenpt_writer_trace(writer, 0, trace + UNIT - 3, 3));
	assert_success(xenpt_writer_trace(writer, 0, trace, UNIT));
	assert_success(xenpt_writer_gap(writer, 0, XENPT_GAP_STOPPED, 0));
	file = reopen(writer, fd);

	assert_error(xenpt_packets_create(file, 1, &packets), XENPT_ERROR_NOT_FOUND,
		     "no vCPU 1");
	assert_int_equal(list(file, 0, got, 16), 10);
	assert_int_equal(got[0].type, XENPT_PACKET_GAP);
	assert_int_equal(got[0].aux, XENPT_GAP_SEAM);
	assert_int_equal(got[1].type, XENPT_PACKET_PSB);
	assert_int_equal(got[2].type, XENPT_PACKET_TIP);
	assert_int_equal(got[3].type, XENPT_PACKET_BAD);
	assert_int_equal(got[3].offset, 23);
	assert_int_equal(got[3].size, 2);
	assert_int_equal(got[4].type, XENPT_PACKET_GAP);
	assert_int_equal(got[4].offset, 25);
	assert_int_equal(got[4].size, 0);
	assert_int_equal(got[4].payload, 1);
	assert_int_equal(got[4].aux, XENPT_GAP_DROPPED);
	assert_int_equal(got[5].type, XENPT_PACKET_BAD);
	assert_int_equal(got[5].offset, 25);
	assert_int_equal(got[5].size, 3);
	assert_unit(&got[6], 28);
	assert_int_equal(got[9].type, XENPT_PACKET_GAP);
	assert_int_equal(got[9].aux, XENPT_GAP_STOPPED);
	xenpt_file_close(file);
}

/* Bytes that the disk has changed are a gap of their size, not an error. */
static void test_damaged_piece(void **state)
{
	struct xenpt_packet got[16];
	struct xenpt_writer *writer;
	struct xenpt_file *file;
	struct bytes bytes;
	uint8_t trace[UNIT];
	size_t at[32], count, seen = 0;
	int fd;

	unit(trace);
	writer = writer_open(&fd);
	announce(writer, 0);
	for (size_t i = 0; i < 3; i++)
		assert_success(xenpt_writer_trace(writer, 0, trace, UNIT));
	assert_success(xenpt_writer_finish(writer));
	bytes = writer_close(writer, fd);
	count = find_chunks(bytes, at, 32);
	for (size_t i = 0; i < count; i++) {
		if (header_at(bytes, at[i]).type == XENPT_SECTION_TRACE && seen++ == 1)
			bytes.data[at[i] + sizeof(struct section_header) + 5] ^= 1;
	}
	assert_int_equal(seen, 3);
	assert_success(open_bytes(bytes.data, bytes.size, &file));
	free(bytes.data);

	assert_int_equal(list(file, 0, got, 16), 7);
	assert_unit(&got[0], 0);
	assert_int_equal(got[3].type, XENPT_PACKET_GAP);
	assert_int_equal(got[3].offset, UNIT);
	assert_int_equal(got[3].payload, UNIT);
	assert_int_equal(got[3].aux, XENPT_GAP_DAMAGED);
	assert_unit(&got[4], 2 * UNIT);
	xenpt_file_close(file);
}

/* More than one batch, and more than one of the writer's chunks. */
static void test_long_trace(void **state)
{
	enum {
		UNITS = 30000
	};
	struct xenpt_packet *got = calloc(3 * UNITS + 1, sizeof(*got));
	uint8_t *trace = malloc(UNITS * UNIT);
	struct xenpt_writer *writer;
	struct xenpt_file *file;
	int fd;

	assert_non_null(got);
	assert_non_null(trace);
	for (size_t i = 0; i < UNITS; i++)
		unit(trace + i * UNIT);
	writer = writer_open(&fd);
	announce(writer, 0);
	assert_success(xenpt_writer_trace(writer, 0, trace, UNITS * UNIT));
	file = reopen(writer, fd);
	assert_int_equal(list(file, 0, got, 3 * UNITS + 1), 3 * UNITS);
	for (size_t i = 0; i < UNITS; i++)
		assert_unit(&got[3 * i], i * UNIT);
	xenpt_file_close(file);
	free(trace);
	free(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces_and_gaps),
		cmocka_unit_test(test_packets_across_chunks),
		cmocka_unit_test(test_packets_across_gap),
		cmocka_unit_test(test_damaged_piece),
		cmocka_unit_test(test_long_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
