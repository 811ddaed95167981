/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets: libipt's loop, our packet decoder, and a listing out of a .xpt file. */
#include <intel-pt.h>

#include "bench/bench.h"
#include "decode/packet.h"

static double run_libipt(void *arg, uint64_t *count_ret)
{
	const struct bench_bytes *trace = arg;
	struct pt_packet_decoder *decoder;
	double start = bench_now();
	struct pt_config config;
	uint64_t count = 0;

	pt_config_init(&config);
	config.begin = trace->data;
	config.end = trace->data + trace->size;
	decoder = pt_pkt_alloc_decoder(&config);
	if (!decoder)
		errx(1, "pt_pkt_alloc_decoder");
	while (pt_pkt_sync_forward(decoder) >= 0) {
		struct pt_packet packet;

		while (pt_pkt_next(decoder, &packet, sizeof(packet)) >= 0)
			count++;
	}
	pt_pkt_free_decoder(decoder);
	*count_ret = count;
	return bench_now() - start;
}

static double run_decode(void *arg, uint64_t *count_ret)
{
	static struct xenpt_packet batch[4096];
	const struct bench_bytes *trace = arg;
	double start = bench_now();
	struct packet_state state;
	size_t pos = 0, used, n;
	uint64_t count = 0;

	packet_reset(&state, 0);
	do {
		n = packet_decode(&state, trace->data + pos, trace->size - pos, true,
				  batch, 4096, &used);
		pos += used;
		count += n;
	} while (n);
	*count_ret = count;
	return bench_now() - start;
}

/* As "xenpt decode -F packets --stats" does: from opening the file to counts. */
static double run_file(void *arg, uint64_t *count_ret)
{
	uint64_t counts[XENPT_PACKET_TYPES] = {}, sum = 0;
	const struct xenpt_packet *batch;
	struct xenpt_packets *packets;
	double start = bench_now();
	struct xenpt_file *file = bench_open(*(int *)arg);
	size_t n;

	bench_try(xenpt_packets_create(file, 0, &packets));
	do {
		bench_try(xenpt_packets_next(packets, &batch, &n));
		for (size_t i = 0; i < n; i++)
			counts[batch[i].type]++;
	} while (n);
	xenpt_packets_destroy(packets);
	xenpt_file_close(file);
	for (size_t i = 0; i < XENPT_PACKET_TYPES; i++)
		sum += counts[i];
	*count_ret = sum;
	return bench_now() - start;
}

int main(void)
{
	const struct xenpt_cpu cpu = { .family = 6, .model = 85, .intel = 1 };
	_cleanup_free_ char *path = bench_path("mruby/trace");
	struct bench_bytes trace = bench_repeat(path);
	struct xenpt_writer *writer;
	int fd;
	struct bench_contestant contestants[] = {
		{ "libipt pt_pkt_next", run_libipt, &trace },
		{ "packet_decode, from memory", run_decode, &trace },
		{ "xenpt_packets_next, from a file", run_file, &fd },
	};
	enum {
		COUNT = sizeof(contestants) / sizeof(contestants[0])
	};

	writer = bench_writer(&cpu, trace, &fd);
	bench_try(xenpt_writer_finish(writer));
	xenpt_writer_destroy(writer);
	bench_run(contestants, COUNT);
	printf("packets: %zu bytes, %d rounds, medians\n", trace.size, BENCH_ROUNDS);
	bench_print(contestants, COUNT, trace.size, "packets/s");
	for (size_t i = 1; i < COUNT; i++) {
		if (contestants[i].count != contestants[0].count)
			errx(1, "%s: %ju packets, not %ju", contestants[i].name,
			     (uintmax_t)contestants[i].count,
			     (uintmax_t)contestants[0].count);
	}
	close(fd);
	free(trace.data);
	return 0;
}
