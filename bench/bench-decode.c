/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control flow: a bare loop of libipt's block decoder over bytes in memory, and
 * what "xenpt decode --stats" does with a .xpt file, by one thread and by two. The
 * first loop gets the blocks that xenpt counts: they end at calls and jumps, too.
 */
#include <inttypes.h>
#include <intel-pt.h>

#include "bench/bench.h"
#include "decode/cpu.h"

static const struct xenpt_cpu cpu = { .family = 6, .model = 85, .intel = 1 };

/* Bytes [begin, end) of the image's file were at that address. */
struct mapping {
	uint64_t begin, end, address;
};

struct input {
	struct bench_bytes trace;
	char *img;
	struct mapping maps[16];
	size_t map_count;
	int fd; /* of the .xpt */
};

struct job {
	const struct input *input;
	unsigned int threads; /* of xenpt */
	bool cached;          /* libipt: sections in a section cache, as its tools do */
	bool merged;          /* libipt: blocks go on across calls and direct jumps */
};

static void read_maps(const char *path, struct input *input)
{
	_cleanup_fclose_ FILE *file = fopen(path, "r");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	if (!file)
		err(1, "%s", path);
	while (getline(&line, &size, file) >= 0) {
		struct mapping *map = &input->maps[input->map_count];

		if (sscanf(line, "%" SCNx64 " %" SCNx64 " %" SCNx64, &map->begin,
			   &map->end, &map->address) != 3)
			continue;
		if (map->begin >= map->end ||
		    ++input->map_count == sizeof(input->maps) / sizeof(*map))
			errx(1, "%s: not a page map for this", path);
	}
}

static void write_code(struct xenpt_writer *writer, const struct input *input)
{
	const struct xenpt_image_info image = {
		.id = 1, .name = "img", .build_id = "", .cr3 = XENPT_CR3_ANY
	};
	_cleanup_fclose_ FILE *file = fopen(input->img, "rb");

	if (!file)
		err(1, "%s", input->img);
	bench_try(xenpt_writer_image(writer, &image));
	for (size_t i = 0; i < input->map_count; i++) {
		const struct mapping *map = &input->maps[i];
		size_t size = map->end - map->begin;
		_cleanup_free_ uint8_t *code = malloc(size);

		if (!code || fseek(file, map->begin, SEEK_SET) < 0 ||
		    fread(code, 1, size, file) != size)
			err(1, "%s", input->img);
		bench_try(xenpt_writer_code(writer, image.id, XENPT_CR3_ANY, map->address,
					    code, size));
	}
}

/* Blocks from a PSB to where the trace ends or makes no sense. */
static int blocks(struct pt_block_decoder *decoder, int status, uint64_t *insns)
{
	struct pt_block block;
	struct pt_event event;

	for (;;) {
		while (status >= 0 && status & pts_event_pending)
			status = pt_blk_event(decoder, &event, sizeof(event));
		if (status < 0)
			return status;
		if (status & pts_eos)
			return -pte_eos;
		block.ninsn = 0;
		status = pt_blk_next(decoder, &block, sizeof(block));
		*insns += block.ninsn;
	}
}

/* The code, by file sections; @cache may be NULL. */
static void add_image(struct pt_image *image, struct pt_image_section_cache *cache,
		      const struct input *input)
{
	for (size_t i = 0; i < input->map_count; i++) {
		const struct mapping *map = &input->maps[i];
		uint64_t size = map->end - map->begin;
		int status;

		if (cache) {
			status = pt_iscache_add_file(cache, input->img, map->begin, size,
						     map->address);
			if (status >= 0)
				status = pt_image_add_cached(image, cache, status, NULL);
		} else {
			status = pt_image_add_file(image, input->img, map->begin, size,
						   NULL, map->address);
		}
		if (status < 0)
			errx(1, "%s: %s", input->img, pt_errstr(pt_errcode(status)));
	}
}

static double run_libipt(void *arg, uint64_t *count_ret)
{
	const struct job *job = arg;
	const struct input *input = job->input;
	struct pt_image_section_cache *cache = NULL;
	struct pt_block_decoder *decoder;
	double start = bench_now();
	struct pt_config config;
	uint64_t insns = 0;
	int status;

	cpu_config(&cpu, &config);
	config.begin = input->trace.data;
	config.end = input->trace.data + input->trace.size;
	config.flags.variant.block.end_on_call = !job->merged;
	config.flags.variant.block.end_on_jump = !job->merged;
	decoder = pt_blk_alloc_decoder(&config);
	if (!decoder)
		errx(1, "pt_blk_alloc_decoder");
	if (job->cached)
		cache = pt_iscache_alloc(NULL);
	add_image(pt_blk_get_image(decoder), cache, input);
	do {
		status = pt_blk_sync_forward(decoder);
		if (status >= 0)
			status = blocks(decoder, status, &insns);
	} while (status != -pte_eos);
	pt_blk_free_decoder(decoder);
	pt_iscache_free(cache);
	*count_ret = insns;
	return bench_now() - start;
}

static double run_xenpt(void *arg, uint64_t *count_ret)
{
	const struct job *job = arg;
	const struct xenpt_decoder_options options = {
		.threads = job->threads,
		.count_blocks = true,
	};
	double start = bench_now();
	struct xenpt_file *file = bench_open(job->input->fd);
	struct xenpt_decoder *decoder;
	struct xenpt_stats stats = {};
	struct xenpt_batch batch;

	bench_try(xenpt_decoder_create(file, &options, &decoder));
	do {
		bench_try(xenpt_decoder_next(decoder, &batch));
		xenpt_stats_add(&stats, batch.events, batch.count);
	} while (batch.count);
	xenpt_decoder_add_counts(decoder, 0, &stats);
	xenpt_decoder_destroy(decoder);
	xenpt_file_close(file);
	*count_ret = stats.insns;
	return bench_now() - start;
}

int main(void)
{
	_cleanup_free_ char *trace = bench_path("mruby/trace");
	_cleanup_free_ char *img = bench_path("mruby/img");
	_cleanup_free_ char *map = bench_path("mruby/pages.map");
	struct input input = { .trace = bench_repeat(trace), .img = img };
	struct job one = { &input, 1, false }, two = { &input, 2, false };
	struct job cached = { &input, 1, .cached = true };
	struct job merged = { &input, 1, .merged = true };
	struct bench_contestant contestants[] = {
		{ "libipt pt_blk_next", run_libipt, &one },
		{ "the same, section cache", run_libipt, &cached },
		{ "the same, calls and jumps within", run_libipt, &merged },
		{ "xenpt decode --stats -j1", run_xenpt, &one },
		{ "xenpt decode --stats -j2", run_xenpt, &two },
	};
	enum {
		COUNT = sizeof(contestants) / sizeof(contestants[0])
	};
	struct xenpt_writer *writer;

	read_maps(map, &input);
	writer = bench_writer(&cpu, input.trace, &input.fd);
	write_code(writer, &input);
	bench_try(xenpt_writer_finish(writer));
	xenpt_writer_destroy(writer);
	bench_run(contestants, COUNT);
	printf("control flow: %zu bytes, %d rounds, medians\n", input.trace.size,
	       BENCH_ROUNDS);
	bench_print(contestants, COUNT, input.trace.size, "insns/s");
	printf("-j2 is %.2f times as fast as -j1\n",
	       bench_median(&contestants[COUNT - 2]) /
		       bench_median(&contestants[COUNT - 1]));
	for (size_t i = 1; i < COUNT; i++) {
		if (contestants[i].count != contestants[0].count)
			errx(1, "%s: %ju instructions, not %ju", contestants[i].name,
			     (uintmax_t)contestants[i].count,
			     (uintmax_t)contestants[0].count);
	}
	close(input.fd);
	free(input.trace.data);
	return 0;
}
