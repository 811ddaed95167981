/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Real traces: every instruction that libipt's own instruction decoder sees, in its
 * order, is in a block of ours, and the counts are those of the traces' README.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "decode/cpu.h"
#include "libxenpt/file.h"
#include "libxenpt/image.h"
#include "tests/trace.h"

static char data_dir[4096];

static const char *data_path(const char *name)
{
	static char paths[4][8192];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/real/%s", data_dir, name);
	return path;
}

static const struct xenpt_import import = {
	.cpu = { .intel = 1, .family = 6, .model = 85 },
	.pid = -1,
	.cr3 = XENPT_CR3_ANY,
};

static const struct xenpt_import whole = XENPT_IMPORT_DEFAULTS;

/* ---- the reference: pt_insn_next() over the same trace and code ---- */

struct reference {
	uint64_t *ips;
	size_t count, capacity;
	unsigned int errors;
};

static struct pt_image *reference_image(const struct xenpt_image *image)
{
	struct pt_image *sections = pt_image_alloc("reference");
	size_t count;
	const struct image_section *section = xenpt_image_sections(image, &count);
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", xenpt_image_fd(image));
	for (size_t i = 0; i < count; i++)
		assert_true(pt_image_add_file(sections, path, section[i].offset,
					      section[i].size, NULL,
					      section[i].address) >= 0);
	return sections;
}

static void reference_insn(struct reference *ref, uint64_t ip)
{
	if (ref->count == ref->capacity) {
		ref->capacity = ref->capacity ? 2 * ref->capacity : 1 << 20;
		ref->ips = realloc(ref->ips, ref->capacity * sizeof(*ref->ips));
		assert_non_null(ref->ips);
	}
	ref->ips[ref->count++] = ip;
}

/* All instructions from the PSB that the decoder is at up to an error or the end. */
static int reference_run(struct reference *ref, struct pt_insn_decoder *decoder,
			 int status)
{
	for (;;) {
		struct pt_insn insn;

		while (status & pts_event_pending) {
			struct pt_event event;

			status = pt_insn_event(decoder, &event, sizeof(event));
			if (status < 0)
				return status;
		}
		insn.iclass = ptic_error;
		status = pt_insn_next(decoder, &insn, sizeof(insn));
		if (insn.iclass != ptic_error)
			reference_insn(ref, insn.ip);
		if (status < 0)
			return status;
	}
}

static void reference_decode(struct reference *ref, const struct xenpt_file *file,
			     uint32_t vcpu, const struct xenpt_image *image)
{
	struct pt_image *sections = reference_image(image);
	struct pt_insn_decoder *decoder;
	const struct xenpt_chunk *chunks;
	struct trace trace = {};
	struct pt_config config;
	size_t count;
	int status;

	chunks = xenpt_file_trace(file, vcpu, &count);
	for (size_t i = 0; i < count; i++) {
		uint8_t *piece = malloc(chunks[i].size);

		check_error(xenpt_file_read(file, &chunks[i], piece));
		trace_bytes(&trace, piece, chunks[i].size);
		free(piece);
	}
	cpu_config(&xenpt_file_info(file)->cpu, &config);
	config.begin = trace.data;
	config.end = trace.data + trace.size;
	decoder = pt_insn_alloc_decoder(&config);
	assert_non_null(decoder);
	assert_int_equal(pt_insn_set_image(decoder, sections), 0);
	while ((status = pt_insn_sync_forward(decoder)) >= 0) {
		if (reference_run(ref, decoder, status) != -pte_eos)
			ref->errors++;
	}
	pt_insn_free_decoder(decoder);
	pt_image_free(sections);
	trace_deinit(&trace);
}

/* ---- ours against it ---- */

struct expected {
	uint32_t vcpu;
	uint64_t insns;
	uint64_t errors;
};

static void check_threads(const struct xenpt_file *file, const struct xenpt_image *image,
			  const struct expected *expected, const struct reference *ref,
			  unsigned int threads)
{
	struct xenpt_decoder_options options = {
		.image = image,
		.threads = threads,
		.vcpus = &expected->vcpu,
		.vcpu_count = 1,
	};
	struct xenpt_decoder *decoder;
	struct xenpt_batch batch;
	uint64_t insns = 0, errors = 0;

	/* Of what is traced like this, no PIP is missing: none shall be missed. */
	check_error(xenpt_decoder_create(file, &options, &decoder));
	for (;;) {
		check_error(xenpt_decoder_next(decoder, &batch));
		if (!batch.count)
			break;
		for (size_t i = 0; i < batch.count; i++) {
			const struct xenpt_event *event = &batch.events[i];

			errors += event->type == XENPT_EVENT_ERROR;
			assert_int_not_equal(event->type, XENPT_EVENT_DOUBT);
			if (event->type != XENPT_EVENT_BLOCK)
				continue;
			assert_true(insns + event->insns <= ref->count);
			assert_int_equal(ref->ips[insns], event->ip);
			insns += event->insns;
			assert_int_equal(ref->ips[insns - 1], event->last);
		}
	}
	assert_int_equal(insns, ref->count);
	assert_int_equal(insns, expected->insns);
	assert_int_equal(errors, ref->errors);
	assert_int_equal(errors, expected->errors);
	xenpt_decoder_destroy(decoder);
}

/* Blocks that are counted where they are decoded are those that are given. */
static void check_counts(const struct xenpt_file *file, const struct xenpt_image *image,
			 const struct expected *expected, unsigned int threads)
{
	struct xenpt_decoder_options options = {
		.image = image,
		.threads = threads,
		.vcpus = &expected->vcpu,
		.vcpu_count = 1,
	};
	struct xenpt_stats given = {}, counted = {};

	for (int i = 0; i < 2; i++) {
		struct xenpt_stats *stats = i ? &counted : &given;
		struct xenpt_decoder *decoder;
		struct xenpt_batch batch;

		options.count_blocks = i;
		check_error(xenpt_decoder_create(file, &options, &decoder));
		for (;;) {
			check_error(xenpt_decoder_next(decoder, &batch));
			if (!batch.count)
				break;
			xenpt_stats_add(stats, batch.events, batch.count);
		}
		xenpt_decoder_add_counts(decoder, expected->vcpu, stats);
		xenpt_decoder_destroy(decoder);
	}
	assert_int_equal(given.insns, expected->insns);
	assert_memory_equal(&given, &counted, sizeof(given));
}

static void check_vcpu(const struct xenpt_file *file, const struct xenpt_image *image,
		       const struct expected *expected)
{
	struct reference ref = {};

	reference_decode(&ref, file, expected->vcpu, image);
	check_threads(file, image, expected, &ref, 1);
	check_threads(file, image, expected, &ref, 3);
	check_counts(file, image, expected, 1);
	check_counts(file, image, expected, 3);
	free(ref.ips);
}

static void check_file(struct test_file *file, const struct expected *expected,
		       size_t count)
{
	struct xenpt_file *opened = test_file_open(file);
	struct xenpt_image *image;

	check_error(xenpt_image_create(opened, &image));
	for (size_t i = 0; i < count; i++)
		check_vcpu(opened, image, &expected[i]);
	xenpt_image_destroy(image);
	xenpt_file_close(opened);
	test_file_deinit(file);
}

static void check_guest(const char *name, uint64_t insns)
{
	struct expected expected = { .insns = insns };
	struct test_file file;
	char map[256], img[256], trace[256];

	snprintf(map, sizeof(map), "%s/pages.map", name);
	snprintf(img, sizeof(img), "%s/img", name);
	snprintf(trace, sizeof(trace), "%s/trace", name);
	test_file_init(&file);
	check_error(xenpt_writer_cpu(file.writer, &import.cpu));
	check_error(xenpt_import_map(file.writer, &import, 0, data_path(map),
				     data_path(img)));
	check_error(xenpt_import_pt(file.writer, &import, 0, data_path(trace)));
	check_file(&file, &expected, 1);
}

static void test_mruby(void **state)
{
	check_guest("mruby", 6334131);
}

static void test_avscript(void **state)
{
	check_guest("avscript_32", 1114194);
}

static void test_icelake(void **state)
{
	check_guest("icelake_tip", 15);
}

/* Bundles are read with jansson, which a build can do without. */
static void skip_without_jansson(void)
{
	const struct xenpt_feature *feature;

	for (feature = xenpt_features(); feature->name; feature++) {
		if (strcmp(feature->name, "jansson") == 0 && !feature->version)
			skip();
	}
}

static void test_lldb_single(void **state)
{
	static const struct expected expected = { .insns = 21 };
	struct test_file file;
	struct xenpt_cpu cpu;

	skip_without_jansson();
	test_file_init(&file);
	check_error(xenpt_import_lldb(file.writer, &whole,
				      data_path("lldb-single/trace.json"), &cpu));
	check_file(&file, &expected, 1);
}

static void test_lldb_multicore(void **state)
{
	static const struct expected expected[] = {
		{ .vcpu = 45, .insns = 61825, .errors = 1 },
		{ .vcpu = 51, .insns = 19521, .errors = 3 },
	};
	struct test_file file;
	struct xenpt_cpu cpu;

	skip_without_jansson();
	test_file_init(&file);
	check_error(xenpt_import_lldb(file.writer, &whole,
				      data_path("lldb-multicore/trace.json"), &cpu));
	check_file(&file, expected, 2);
}

static void test_perf(void **state)
{
	static const struct expected expected = { .vcpu = 2, .insns = 57 };
	struct xenpt_import symfs = whole;
	struct xenpt_cpu cpu;
	struct test_file file;

	test_file_init(&file);
	symfs.symfs = data_path("hase-loopy");
	check_error(xenpt_import_perf(file.writer, &symfs,
				      data_path("hase-loopy/"
						"loopy-20180404T162955.perf"),
				      &cpu));
	check_file(&file, &expected, 1);
}

static void test_dynamorio(void **state)
{
	static const struct expected expected = { .insns = 8 };
	struct xenpt_import pieces = import;
	struct test_file file;

	pieces.cpu.stepping = 4;
	pieces.cpu.mtc_freq = 3;
	pieces.cpu.nom_freq = 37;
	pieces.cpu.cpuid_15_eax = 2;
	pieces.cpu.cpuid_15_ebx = 308;
	test_file_init(&file);
	check_error(xenpt_writer_cpu(file.writer, &pieces.cpu));
	check_error(xenpt_import_elf(file.writer, &pieces, 0,
				     data_path("dynamorio/hello"), UINT64_MAX, NULL));
	check_error(
		xenpt_import_pt(file.writer, &pieces, 0, data_path("dynamorio/pt.bin")));
	check_file(&file, &expected, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mruby),          cmocka_unit_test(test_avscript),
		cmocka_unit_test(test_icelake),        cmocka_unit_test(test_lldb_single),
		cmocka_unit_test(test_lldb_multicore), cmocka_unit_test(test_perf),
		cmocka_unit_test(test_dynamorio),
	};
	const char *dir = getenv("XENPT_DATA"), *srcdir = getenv("srcdir");

	if (dir)
		snprintf(data_dir, sizeof(data_dir), "%s", dir);
	else
		snprintf(data_dir, sizeof(data_dir), "%s/../shared/data",
			 srcdir ? srcdir : ".");
	if (access(data_path("mruby/trace"), R_OK) < 0) {
		printf("no real traces in %s: skipped\n", data_dir);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
