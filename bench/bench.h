/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What benchmarks share: a clock, medians, the trace, and dying of any error. */
#ifndef BENCH_H
#define BENCH_H

#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "libxenpt/cleanup.h"
#include "libxenpt/xenpt.h"

#define BENCH_ROUNDS 7
#define BENCH_SIZE (20u << 20) /* bytes of trace, about */

struct bench_bytes {
	uint8_t *data;
	size_t size;
};

/* One of the things that are compared: what it took, round by round. */
struct bench_contestant {
	const char *name;
	double (*run)(void *arg, uint64_t *count_ret); /* seconds */
	void *arg;
	double seconds[BENCH_ROUNDS];
	uint64_t count;
};

static inline double bench_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static inline void bench_try(struct xenpt_error *error)
{
	if (error)
		errx(1, "%s", error->message);
}

static inline int bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/*
 * All of them in turn, round after round, so that what else the machine does
 * meets all alike. Their seconds are sorted then: the median is in the middle.
 */
static inline void bench_run(struct bench_contestant *contestants, size_t count)
{
	for (size_t round = 0; round < BENCH_ROUNDS; round++) {
		for (size_t i = 0; i < count; i++)
			contestants[i].seconds[round] = contestants[i].run(
				contestants[i].arg, &contestants[i].count);
	}
	for (size_t i = 0; i < count; i++)
		qsort(contestants[i].seconds, BENCH_ROUNDS, sizeof(double),
		      bench_compare);
}

static inline double bench_median(const struct bench_contestant *contestant)
{
	return contestant->seconds[BENCH_ROUNDS / 2];
}

/* A line for each: how fast, and how many times as fast as the first. */
static inline void bench_print(const struct bench_contestant *contestants, size_t count,
			       size_t size, const char *unit)
{
	printf("%-34s %9s %9s %12s %7s  %s\n", "", "seconds", "MB/s", unit, "ratio",
	       "min..max");
	for (size_t i = 0; i < count; i++) {
		const struct bench_contestant *c = &contestants[i];
		double median = bench_median(c);

		printf("%-34s %9.4f %9.1f %10.1f M %7.2f  %.4f..%.4f\n", c->name, median,
		       size / median / 1e6, c->count / median / 1e6,
		       bench_median(&contestants[0]) / median, c->seconds[0],
		       c->seconds[BENCH_ROUNDS - 1]);
	}
}

/* A file of data/real; the benchmark ends, visibly, where that is missing. */
static inline char *bench_path(const char *name)
{
	const char *data = getenv("XENPT_DATA"), *srcdir = getenv("srcdir");
	char *path;

	if (asprintf(&path, "%s%s/real/%s",
		     data     ? data
		     : srcdir ? srcdir
			      : ".",
		     data ? "" : "/../shared/data", name) < 0)
		err(1, NULL);
	if (access(path, R_OK) < 0) {
		printf("SKIP: %s is missing\n", path);
		exit(0);
	}
	return path;
}

/* A file, over and over until there are BENCH_SIZE bytes. */
static inline struct bench_bytes bench_repeat(const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "rb");
	struct bench_bytes ret = {};
	size_t size, times;

	if (!file || fseek(file, 0, SEEK_END) < 0 || ftell(file) <= 0)
		err(1, "%s", path);
	size = ftell(file);
	times = (BENCH_SIZE + size / 2) / size;
	ret.size = (times ? times : 1) * size;
	ret.data = malloc(ret.size);
	rewind(file);
	if (!ret.data || fread(ret.data, 1, size, file) != size)
		err(1, "%s", path);
	for (size_t pos = size; pos < ret.size; pos += size)
		memcpy(ret.data + pos, ret.data, size);
	return ret;
}

/* Open what has been written to @fd, a memfd. */
static inline struct xenpt_file *bench_open(int fd)
{
	struct xenpt_file *ret;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	bench_try(xenpt_file_open(path, &ret));
	return ret;
}

/* Start a .xpt with that CPU and one vCPU of that trace, in a memfd. */
static inline struct xenpt_writer *bench_writer(const struct xenpt_cpu *cpu,
						struct bench_bytes trace, int *fd_ret)
{
	const struct xenpt_vcpu vcpu = { .name = "bench" };
	struct xenpt_writer *ret;
	int fd = memfd_create("bench", MFD_CLOEXEC);

	if (fd < 0)
		err(1, "memfd_create");
	bench_try(xenpt_writer_create(fd, "bench.xpt", &ret));
	bench_try(xenpt_writer_cpu(ret, cpu));
	bench_try(xenpt_writer_vcpu(ret, &vcpu));
	bench_try(xenpt_writer_trace(ret, vcpu.id, trace.data, trace.size));
	*fd_ret = fd;
	return ret;
}

#endif
