/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ring that is mapped, to a .xpt file in memory, as a recorder moves it. */
#include "bench/bench.h"
#include "hv/ring.h"

#define RING_SIZE (4u << 20)
#define STEP (1u << 20) /* what the CPU writes between two reads */
#define TOTAL (256u << 20)

/* A trace, or bytes in which zstd finds nothing. */
struct source {
	const uint8_t *ring;
};

static uint64_t read_ring(const struct source *source,
			  void (*take)(void *arg, const void *data, size_t size),
			  void *arg)
{
	struct hv_position position = { .has_total = true };
	struct ring_spans spans;
	struct ring ring;
	uint64_t good = 0;

	ring_init(&ring, source->ring, RING_SIZE);
	while (good < TOTAL) {
		position.total += STEP;
		ring_read(&ring, &position, STEP, &spans);
		for (int i = 0; i < 2; i++)
			take(arg, spans.spans[i].data, spans.spans[i].size);
		good += spans.spans[0].size + spans.spans[1].size;
		if (ring_check(&ring, &spans, &position))
			errx(1, "lapped");
	}
	return good;
}

static uint8_t copied[STEP];

static double run_memcpy(void *arg, uint64_t *count_ret)
{
	const struct source *source = arg;
	double start = bench_now();

	for (size_t done = 0; done < TOTAL; done += STEP) {
		memcpy(copied, source->ring + done % RING_SIZE, STEP);
		__asm__ volatile("" ::: "memory");
	}
	*count_ret = TOTAL;
	return bench_now() - start;
}

static void take_copy(void *arg, const void *data, size_t size)
{
	if (size)
		memcpy(copied, data, size);
	__asm__ volatile("" ::: "memory");
}

static double run_copy(void *arg, uint64_t *count_ret)
{
	double start = bench_now();

	*count_ret = read_ring(arg, take_copy, NULL);
	return bench_now() - start;
}

static void take_write(void *arg, const void *data, size_t size)
{
	int fd = *(int *)arg;

	/* The same place each time: what new memory costs, the .xpt files show. */
	if (size && pwrite(fd, data, size, 0) != (ssize_t)size)
		err(1, "pwrite");
}

static double run_write(void *arg, uint64_t *count_ret)
{
	int fd = memfd_create("bench", MFD_CLOEXEC);
	double start = bench_now(), seconds;

	*count_ret = read_ring(arg, take_write, &fd);
	seconds = bench_now() - start;
	close(fd);
	return seconds;
}

static void take_trace(void *arg, const void *data, size_t size)
{
	if (size)
		bench_try(xenpt_writer_trace(arg, 0, data, size));
}

static double run_writer(void *arg, uint64_t *count_ret)
{
	const struct xenpt_vcpu vcpu = { .name = "bench" };
	int fd = memfd_create("bench", MFD_CLOEXEC);
	struct xenpt_writer *writer;
	double start, seconds;

	bench_try(xenpt_writer_create(fd, "bench.xpt", &writer));
	bench_try(xenpt_writer_vcpu(writer, &vcpu));
	start = bench_now();
	*count_ret = read_ring(arg, take_trace, writer);
	bench_try(xenpt_writer_finish(writer));
	seconds = bench_now() - start;
	xenpt_writer_destroy(writer);
	close(fd);
	return seconds;
}

/* Guest memory is shared with who writes it: a memfd. */
static uint8_t *map_ring(void)
{
	int fd = memfd_create("ring", MFD_CLOEXEC);
	uint8_t *ring;

	if (fd < 0 || ftruncate(fd, RING_SIZE) < 0)
		err(1, "memfd");
	ring = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED)
		err(1, "mmap");
	close(fd);
	return ring;
}

int main(void)
{
	_cleanup_free_ char *path = bench_path("mruby/trace");
	struct bench_bytes trace = bench_repeat(path);
	struct source noise = { .ring = map_ring() };
	struct source real = { .ring = map_ring() };
	struct bench_contestant contestants[] = {
		{ "memcpy", run_memcpy, &real },
		{ "ring to memory", run_copy, &real },
		{ "ring to a file in memory", run_write, &real },
		{ "ring to a .xpt, trace (zstd)", run_writer, &real },
		{ "ring to a .xpt, noise (stored)", run_writer, &noise },
	};
	enum {
		COUNT = sizeof(contestants) / sizeof(contestants[0])
	};
	uint64_t random = 1;

	memcpy((void *)real.ring, trace.data, RING_SIZE);
	for (size_t i = 0; i < RING_SIZE; i++) {
		random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
		((uint8_t *)noise.ring)[i] = random >> 56;
	}
	bench_run(contestants, COUNT);
	printf("ring: %u bytes through %u, %d rounds, medians\n", TOTAL, RING_SIZE,
	       BENCH_ROUNDS);
	bench_print(contestants, COUNT, TOTAL, "bytes/s");
	free(trace.data);
	return 0;
}
