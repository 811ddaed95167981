/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Importing what other tools have really written. */
#include "config.h"

#include "import.h"

static char real[4096];

/* A path in the data; the last four stay valid. */
static const char *data_path(const char *name)
{
	static char paths[4][8192];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", real, name);
	return path;
}

static void assert_trace_of(const struct bench *bench, uint32_t vcpu, const char *name)
{
	FILE *file = fopen(data_path(name), "rb");
	static uint8_t bytes[1 << 20];
	size_t size;

	assert_non_null(file);
	size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	assert_true(size > 0 && size < sizeof(bytes));
	assert_trace(bench, vcpu, bytes, size);
}

static void parts(void **state)
{
	struct bench bench;

	bench_init(&bench);
	assert_success(xenpt_import_pt(bench.writer, &bench.import, 0,
				       data_path("avscript_32/trace")));
	assert_success(xenpt_import_map(bench.writer, &bench.import, 0,
					data_path("avscript_32/pages.map"),
					data_path("avscript_32/img")));
	assert_success(xenpt_import_elf(bench.writer, &bench.import, 1,
					data_path("dynamorio/hello"), UINT64_MAX, NULL));
	assert_int_equal(bench_result(&bench)->code_size, 372736 + 0x27);
	assert_trace_of(&bench, 0, "avscript_32/trace");
	assert_int_equal(symbol_at(&bench, "_start"), 0x401000);
	assert_string_equal(bench.warnings, "");
	bench_deinit(&bench);
}

#ifdef HAVE_JANSSON
static void lldb_single(void **state)
{
	const struct xenpt_file_info *info;
	struct xenpt_cpu cpu;
	struct bench bench;

	bench_init(&bench);
	assert_success(xenpt_import_lldb(bench.writer, &bench.import,
					 data_path("lldb-single/trace.json"), &cpu));
	info = bench_result(&bench);
	assert_string_equal(bench.warnings, "");
	assert_int_equal(info->cpu.model, 79);
	assert_string_equal(info->images[0].build_id,
			    "6aa9a4e26f282f33377d59fece874c715b41261a");
	assert_int_equal(info->code_size, 0x6fc);
	assert_int_equal(symbol_at(&bench, "main"), 0x40050d);
	assert_string_equal(info->vcpus[0].vcpu.name, "thread 3842849");
	assert_trace_of(&bench, 0, "lldb-single/3842849.trace");
	bench_deinit(&bench);
}

static void lldb_multicore(void **state)
{
	const struct xenpt_file_info *info;
	struct xenpt_cpu cpu;
	struct bench bench;

	bench_init(&bench);
	assert_success(xenpt_import_lldb(bench.writer, &bench.import,
					 data_path("lldb-multicore/trace.json"), &cpu));
	info = bench_result(&bench);
	assert_string_equal(bench.warnings, "");
	assert_int_equal(info->cpu.stepping, 4);
	assert_true(info->cpu.time_zero == UINT64_C(18433473881008870804));
	assert_int_equal(info->vcpu_count, 2);
	assert_int_equal(info->vcpus[1].vcpu.id, 51);
	assert_int_equal(info->code_size, 0x1f82);
	assert_trace_of(&bench, 45, "lldb-multicore/cores/45.intelpt_trace");
	assert_trace_of(&bench, 51, "lldb-multicore/cores/51.intelpt_trace");
	bench_deinit(&bench);
}
#endif

static void perf(void **state)
{
	const char name[] = "hase-loopy/loopy-20180404T162955.perf";
	const struct xenpt_file_info *info;
	struct xenpt_cpu cpu;
	struct bench bench;

	bench_init(&bench);
	bench.import.symfs = data_path("hase-loopy");
	assert_success(
		xenpt_import_perf(bench.writer, &bench.import, data_path(name), &cpu));
	info = bench_result(&bench);
	/* Code on the stack, and what the kernel maps, is in no file. */
	assert_non_null(strstr(bench.warnings, "[vdso]: is no file"));
	assert_null(strstr(bench.warnings, "loopy"));
	assert_int_equal(info->cpu.model, 94);
	assert_int_equal(info->cpu.stepping, 3);
	assert_int_equal(info->cpu.nom_freq, 32);
	assert_int_equal(info->cpu.mtc_freq, 3);
	assert_int_equal(info->cpu.cpuid_15_eax, 2);
	assert_int_equal(info->cpu.cpuid_15_ebx, 266);
	assert_int_equal(info->vcpu_count, 1);
	assert_int_equal(info->vcpus[0].vcpu.id, 2);
	assert_int_equal(info->vcpus[0].gaps, 0);
	assert_int_equal(info->image_count, 1);
	assert_int_equal(symbol_at(&bench, "_start"), 0x4000e8);
	assert_trace_of(&bench, 2, "hase-loopy/loopy-20180404T162955.perf.aux-cpu2.pt");
	bench_deinit(&bench);
}

/* Cut anywhere, it is imported as far as it goes, or an error says why not. */
static void perf_that_is_cut(void **state)
{
	static uint8_t bytes[64 * 1024];
	FILE *file = fopen(data_path("hase-loopy/loopy-20180404T162955.perf"), "rb");
	struct bench bench;
	size_t size;

	assert_non_null(file);
	size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	assert_int_equal(size, 37756);
	bench_init(&bench);
	for (size_t cut = 0; cut < size; cut += 8) {
		struct xenpt_error *err;
		struct xenpt_cpu cpu;

		err = xenpt_import_perf(bench.writer, &bench.import,
					bench_write(&bench, "cut", bytes, cut), &cpu);
		if (!err)
			assert_int_equal(bench_result(&bench)->vcpu_count, 1);
		else
			assert_non_null(strstr(err->message, "/cut: "));
		xenpt_error_destroy(err);
		bench_again(&bench);
	}
	bench_deinit(&bench);
}

int main(void)
{
	const char *data = getenv("XENPT_DATA"), *srcdir = getenv("srcdir");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts),
#ifdef HAVE_JANSSON
		cmocka_unit_test(lldb_single), cmocka_unit_test(lldb_multicore),
#endif
		cmocka_unit_test(perf),        cmocka_unit_test(perf_that_is_cut),
	};

	if (data)
		snprintf(real, sizeof(real), "%s/real", data);
	else
		snprintf(real, sizeof(real), "%s/../shared/data/real",
			 srcdir ? srcdir : ".");
	if (access(real, R_OK) < 0) {
		fprintf(stderr, "%s is missing: skipped\n", real);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
