/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The packets of one vCPU, for listings: the stream through the packet decoder. */
#include <string.h>

#include "packet.h"
#include "stream.h"

#define BATCH 4096

struct xenpt_packets {
	struct stream *stream;
	struct packet_state state;
	struct xenpt_packet batch[BATCH];
	/*
	 * A piece of the stream, behind what the decoder wants to see again of
	 * those before it:
	 *
	 *	buf       pos        size      capacity
	 *	 | decoded | to decode | …         |
	 */
	uint8_t *buf;
	size_t pos, size, capacity;
};

struct xenpt_error *xenpt_packets_create(const struct xenpt_file *file, uint32_t vcpu,
					 struct xenpt_packets **ret)
{
	struct xenpt_packets *packets = calloc(1, sizeof(*packets));
	struct xenpt_error *err;

	if (!packets)
		return xenpt_error_no_memory();
	err = stream_create(file, vcpu, &packets->stream);
	if (err) {
		xenpt_packets_destroy(packets);
		return err;
	}
	packet_reset(&packets->state, stream_offset(packets->stream));
	*ret = packets;
	return NULL;
}

void xenpt_packets_destroy(struct xenpt_packets *packets)
{
	if (!packets)
		return;
	stream_destroy(packets->stream);
	free(packets->buf);
	free(packets);
}

/* Append the next piece, which the file's format keeps at 16 MiB or less. */
static struct xenpt_error *fill(struct xenpt_packets *packets)
{
	size_t left = packets->size - packets->pos, got;
	size_t wanted = left + stream_next_size(packets->stream);

	if (wanted > packets->capacity) {
		uint8_t *buf = malloc(wanted);

		if (!buf)
			return xenpt_error_no_memory();
		if (left)
			memcpy(buf, packets->buf + packets->pos, left);
		free(packets->buf);
		packets->buf = buf;
		packets->capacity = wanted;
	} else if (left) {
		memmove(packets->buf, packets->buf + packets->pos, left);
	}
	packets->pos = 0;
	packets->size = left;
	XENPT_TRY(stream_read(packets->stream, packets->buf + left, &got));
	packets->size += got;
	return NULL;
}

static size_t decode(struct xenpt_packets *packets)
{
	bool last = !stream_next_size(packets->stream);
	size_t used, count;

	count = packet_decode(&packets->state, packets->buf + packets->pos,
			      packets->size - packets->pos, last, packets->batch, BATCH,
			      &used);
	packets->pos += used;
	return count;
}

/* The gap that is next as a packet; nothing before it helps after it. */
static size_t take_gap(struct xenpt_packets *packets)
{
	struct stream_gap gap;

	if (!stream_gap(packets->stream, &gap))
		return 0;
	packets->batch[0] = (struct xenpt_packet){
		.type = XENPT_PACKET_GAP,
		.offset = gap.offset,
		.payload = gap.lost,
		.aux = gap.reason,
	};
	packet_reset(&packets->state, stream_offset(packets->stream));
	return 1;
}

struct xenpt_error *xenpt_packets_next(struct xenpt_packets *packets,
				       const struct xenpt_packet **ret, size_t *count_ret)
{
	size_t count = packets->buf ? decode(packets) : 0;

	while (!count && stream_next_size(packets->stream)) {
		XENPT_TRY(fill(packets));
		count = decode(packets);
	}
	if (!count)
		count = take_gap(packets);
	*ret = packets->batch;
	*count_ret = count;
	return NULL;
}
