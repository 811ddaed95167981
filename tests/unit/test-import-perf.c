/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Importing a perf.data, made here byte by byte. */
#include "import.h"

#include <linux/perf_event.h>

/* ---- a perf.data ---------------------------------------------------------- */

enum {
	HEADER = 104,
	ATTR = 64 + 16, /* the oldest attribute, and where its ids are */
	FIRST = HEADER + ATTR,
	INTEL_PT = 8, /* type of the PMU */
};

struct data {
	uint8_t bytes[64 * 1024];
	size_t size, end; /* end: of the records, once known */
};

static struct data perf;

static void put(uint64_t value, unsigned int size)
{
	assert_true(perf.size + size <= sizeof(perf.bytes));
	for (; size; size--, value >>= 8)
		perf.bytes[perf.size++] = (uint8_t)value;
}

static void put64(uint64_t value)
{
	put(value, 8);
}

static void set64(size_t at, uint64_t value)
{
	for (int i = 0; i < 8; i++, value >>= 8)
		perf.bytes[at + i] = (uint8_t)value;
}

/* A string in @room bytes. */
static void put_text(const char *text, size_t room)
{
	assert_true(strlen(text) < room);
	for (size_t i = 0; i < room; i++)
		put(i < strlen(text) ? (uint8_t)text[i] : 0, 1);
}

/* The size of a record is known once it is there. */
static size_t record_begin(uint32_t type, uint16_t misc)
{
	size_t at = perf.size;

	put(type, 4);
	put(misc, 2);
	put(0, 2);
	return at;
}

static void record_end(size_t at)
{
	perf.bytes[at + 6] = (uint8_t)(perf.size - at);
	perf.bytes[at + 7] = (uint8_t)((perf.size - at) >> 8);
}

/* sample_id: TID, TIME, CPU, IDENTIFIER. */
static void put_sample_id(uint32_t pid, uint32_t tid, uint32_t cpu)
{
	put(pid, 4);
	put(tid, 4);
	put64(0);
	put(cpu, 4);
	put(0, 4);
	put64(77);
}

static void perf_begin(void)
{
	perf.size = perf.end = 0;
	put_text("PERFILE", 8);
	perf.bytes[7] = '2';
	put64(HEADER);
	put64(ATTR);
	put64(HEADER); /* attributes */
	put64(ATTR);
	put64(FIRST); /* records; their size is set at the end */
	put64(0);
	put64(0);
	put64(0);
	put64(1 << 2 | 1 << 9); /* build-ids, CPUID */
	put64(0);
	put64(0);
	put64(0);

	put(INTEL_PT, 4);
	put(64, 4);
	put64(0x300e601); /* MTC, its frequency 3 */
	put64(1);
	put64(PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_CPU |
	      PERF_SAMPLE_IDENTIFIER);
	put64(0);
	put64(1 << 5 | 1 << 18); /* exclude_kernel, sample_id_all */
	put64(0);
	put64(0);
	put64(0);
	put64(0);
	assert_int_equal(perf.size, FIRST);
}

static void put_info(bool snapshot)
{
	const uint64_t priv[] = { INTEL_PT, 31,    672770566, UINT64_MAX - 7,
				  1,        0x400, 0x800,     3,
				  snapshot, 1,     0x200,     0x3c000,
				  266,      2,     2,         32,
				  0 };
	size_t at = record_begin(70, 0);

	put64(1);
	for (size_t i = 0; i < sizeof(priv) / sizeof(*priv); i++)
		put64(priv[i]);
	record_end(at);
}

static void put_mmap2(uint32_t pid, uint64_t address, uint64_t offset, const char *path,
		      const uint8_t *build_id)
{
	size_t at = record_begin(PERF_RECORD_MMAP2,
				 PERF_RECORD_MISC_USER |
					 (build_id ? PERF_RECORD_MISC_MMAP_BUILD_ID : 0));

	put(pid, 4);
	put(pid, 4);
	put64(address);
	put64(0x1000);
	put64(offset);
	put(build_id ? 20 : 0, 4);
	for (int i = 0; i < 20; i++)
		put(build_id ? build_id[i] : 0, 1);
	put(5, 4); /* PROT_READ | PROT_EXEC */
	put(2, 4);
	put_text(path, (strlen(path) | 7) + 1);
	put_sample_id(pid, pid, 0);
	record_end(at);
}

static void put_aux(uint32_t cpu, uint64_t offset, uint64_t size, uint64_t flags)
{
	size_t at = record_begin(PERF_RECORD_AUX, 0);

	put64(offset);
	put64(size);
	put64(flags);
	put_sample_id(1, 1, cpu);
	record_end(at);
}

/* The nth byte of a trace: never 0. */
static uint8_t trace_byte(uint32_t index, uint64_t n)
{
	return (uint8_t)(n % 200 + 1 + index);
}

/* @size bytes of trace, padded as perf does. */
static void put_piece(uint32_t index, int32_t cpu, uint32_t tid, uint64_t offset,
		      uint64_t size)
{
	size_t at = record_begin(71, 0);

	put64((size + 7) & ~7ull);
	put64(offset);
	put64(0);
	put(index, 4);
	put(tid, 4);
	put((uint32_t)cpu, 4);
	put(0, 4);
	record_end(at);
	for (uint64_t i = 0; i < size; i++)
		put(trace_byte(index, offset + i), 1);
	while (size++ % 8)
		put(0, 1);
}

/* The features, and what the header had to wait for. */
static void perf_end(const char *path)
{
	size_t table = perf.end = perf.size;

	set64(48, perf.size - FIRST);
	perf.size += 32;
	set64(table, perf.size);
	set64(table + 8, 36 + 64);
	put(0, 6);
	put(36 + 64, 2);
	put(0, 4);
	put(0xc0ffee, 24);
	put_text(path, 64);
	set64(table + 16, perf.size);
	set64(table + 24, 4 + 64);
	put(64, 4);
	put_text("GenuineIntel,6,94,3", 64);
}

static struct xenpt_error *import_perf(struct bench *bench, struct xenpt_cpu *cpu)
{
	return xenpt_import_perf(bench->writer, &bench->import,
				 bench_write(bench, "perf.data", perf.bytes, perf.size),
				 cpu);
}

/* A recording of two CPUs, one process, one image. */
static void perf_make(const char *path)
{
	perf_begin();
	put_info(false);
	put_mmap2(12, 0x7f0000001000, ELF_CODE, path, NULL);
	put_piece(0, 4, 1, 0, 13);
	put_piece(1, 9, 1, 0x100, 16);
	put_piece(0, 4, 1, 13, 24);
	perf_end("/none");
}

static struct elf_file elf;

static const char *write_image(const struct bench *bench)
{
	elf_make(&elf, 0);
	return bench_write(bench, "image", &elf, sizeof(elf));
}

/* ---- tests ---------------------------------------------------------------- */

static void whole_recording(void **state)
{
	const struct xenpt_file_info *info;
	uint8_t trace[37];
	struct xenpt_cpu cpu;
	struct bench bench;

	bench_init(&bench);
	perf_make(write_image(&bench));
	assert_success(import_perf(&bench, &cpu));
	info = bench_result(&bench);
	assert_string_equal(bench.warnings, "");
	assert_memory_equal(&cpu, &info->cpu, sizeof(cpu));
	assert_int_equal(cpu.family, 6);
	assert_int_equal(cpu.model, 94);
	assert_int_equal(cpu.stepping, 3);
	assert_true(cpu.intel);
	assert_int_equal(cpu.nom_freq, 32);
	assert_int_equal(cpu.mtc_freq, 3);
	assert_int_equal(cpu.cpuid_15_eax, 2);
	assert_int_equal(cpu.cpuid_15_ebx, 266);
	assert_int_equal(cpu.time_shift, 31);
	assert_int_equal(cpu.time_mult, 672770566);
	assert_true(cpu.time_zero == UINT64_MAX - 7);
	/* The padding of the first piece is no trace. */
	assert_int_equal(info->vcpu_count, 2);
	assert_int_equal(info->vcpus[0].vcpu.id, 4);
	assert_string_equal(info->vcpus[1].vcpu.name, "cpu 9");
	assert_int_equal(info->vcpus[0].gaps, 0);
	for (size_t i = 0; i < sizeof(trace); i++)
		trace[i] = trace_byte(0, i);
	assert_trace(&bench, 4, trace, 37);
	for (size_t i = 0; i < 16; i++)
		trace[i] = trace_byte(1, 0x100 + i);
	assert_trace(&bench, 9, trace, 16);
	/* A whole page was mapped, more than the segment has. */
	assert_int_equal(code_at(&bench, XENPT_CR3_ANY, 0x7f0000001000, elf.code, 0x1000),
			 0x1000);
	assert_int_equal(symbol_at(&bench, "main"), 0x7f0000001000);
	assert_string_equal(info->images[0].build_id, ELF_BUILD_ID);
	bench_deinit(&bench);
}

static void images_below_symfs(void **state)
{
	const char *const paths[] = { "/opt/image", "/somewhere/else/image" };
	struct xenpt_cpu cpu;
	struct bench bench;

	for (int i = 0; i < 2; i++) {
		bench_init(&bench);
		assert_int_equal(mkdir(bench_path(&bench, "opt"), 0777), 0);
		write_image(&bench);
		if (i == 0)
			rename(bench_path(&bench, "image"),
			       bench_path(&bench, "opt/image"));
		bench.import.symfs = bench.dir;
		perf_make(paths[i]);
		assert_success(import_perf(&bench, &cpu));
		assert_string_equal(bench_result(&bench)->images[0].name, paths[i]);
		assert_int_equal(xenpt_file_info(bench.file)->code_size, 0x1000);
		bench_deinit(&bench);
	}
}

/* The recording's maker does not choose files outside. */
static void images_above_symfs(void **state)
{
	struct xenpt_cpu cpu;
	struct bench bench;

	bench_init(&bench);
	assert_int_equal(mkdir(bench_path(&bench, "opt"), 0777), 0);
	write_image(&bench);
	bench.import.symfs = strdup(bench_path(&bench, "opt"));
	perf_make("/../image");
	assert_success(import_perf(&bench, &cpu));
	assert_int_equal(bench_result(&bench)->code_size, 0);
	assert_non_null(strstr(bench.warnings, "/../image: not found"));
	free((char *)bench.import.symfs);
	bench_deinit(&bench);
}

static void images_that_cannot_be_had(void **state)
{
	static const uint8_t other[20] = { 1, 2, 3 };
	struct xenpt_cpu cpu;
	struct bench bench;
	const char *path;

	bench_init(&bench);
	path = write_image(&bench);
	perf_begin();
	put_info(false);
	put_mmap2(12, 0x1000, 0, "[vdso]", NULL);
	put_mmap2(12, 0x10000, 0, "/nowhere/to/be/found", NULL);
	put_mmap2(12, 0x20000, ELF_CODE, path, other);
	put_mmap2(12, 0x30000, 0, bench_write(&bench, "secret", "root:x:0", 8), NULL);
	put_piece(0, 4, 1, 0, 8);
	perf_end("/none");
	assert_success(import_perf(&bench, &cpu));
	assert_int_equal(bench_result(&bench)->code_size, 0);
	assert_non_null(strstr(bench.warnings, "[vdso]: is no file"));
	assert_non_null(strstr(bench.warnings, "/nowhere/to/be/found: not found"));
	assert_non_null(strstr(bench.warnings, "not 010203000000"));
	assert_non_null(strstr(bench.warnings, "secret: is no ELF file"));
	bench_deinit(&bench);
}

/* Many segments on one page do not make much code of a small file. */
static void overlapping_segments(void **state)
{
	struct xenpt_cpu cpu;
	struct bench bench;

	bench_init(&bench);
	elf_make(&elf, 0);
	elf.phdrs[0] = elf.phdrs[2] = elf.phdrs[1];
	perf_make(bench_write(&bench, "image", &elf, sizeof(elf)));
	assert_success(import_perf(&bench, &cpu));
	assert_in_range(bench_result(&bench)->code_size, 0, 0x2000);
	assert_non_null(strstr(bench.warnings, "its segments overlap"));
	bench_deinit(&bench);
}

static void build_id_of_the_feature(void **state)
{
	struct xenpt_cpu cpu;
	struct bench bench;
	const char *path;

	bench_init(&bench);
	path = write_image(&bench);
	perf_make(path);
	perf.size = perf.end;
	perf_end(path);
	assert_success(import_perf(&bench, &cpu));
	bench_result(&bench);
	assert_non_null(strstr(bench.warnings, "image: is another build: its build-id "
					       "is " ELF_BUILD_ID ", not eeffc0"));
	bench_deinit(&bench);
}

static void several_processes(void **state)
{
	struct xenpt_cpu cpu;
	struct bench bench;

	bench_init(&bench);
	perf_begin();
	put_info(false);
	put_mmap2(12, 0x1000, ELF_CODE, write_image(&bench), NULL);
	put_mmap2(34, 0x1000, 0, "/bin/other", NULL);
	put_piece(0, 4, 1, 0, 8);
	perf_end("/none");
	assert_error(import_perf(&bench, &cpu), XENPT_ERROR_INVALID, "34 (/bin/other)");
	bench.import.pid = 56;
	assert_error(import_perf(&bench, &cpu), XENPT_ERROR_INVALID,
		     "no code of process 56, but of: 12 (");
	bench.import.pid = 12;
	assert_success(import_perf(&bench, &cpu));
	bench_result(&bench);
	assert_string_equal(bench.warnings, "");
	assert_int_equal(code_at(&bench, XENPT_CR3_ANY, 0x1000, elf.code, 1), 1);
	bench_deinit(&bench);
}

/* The gap of a vCPU, its size, and how much trace comes before it. */
static void assert_gap(const struct bench *bench, uint32_t vcpu, size_t which,
		       uint64_t offset, uint8_t reason, uint64_t lost)
{
	size_t count;
	const struct xenpt_chunk *trace = xenpt_file_trace(bench->file, vcpu, &count);

	for (size_t i = 0; i < count; i++) {
		if (trace[i].type != XENPT_SECTION_GAP || which--)
			continue;
		assert_int_equal(trace[i].offset, offset);
		assert_int_equal(trace[i].gap, reason);
		assert_int_equal(trace[i].lost, lost);
		return;
	}
	fail_msg("no such gap");
}

static void missing_trace(void **state)
{
	struct xenpt_cpu cpu;
	struct bench bench;
	size_t lost;

	bench_init(&bench);
	perf_begin();
	put_info(false);
	put_aux(4, 60, 20, PERF_AUX_FLAG_TRUNCATED);
	put_aux(9, 0, 16, PERF_AUX_FLAG_TRUNCATED);
	put_aux(4, 0, 8, 0);
	put_aux(4, 8, 2, PERF_AUX_FLAG_PARTIAL);
	put_piece(0, 4, 1, 0, 16);
	put_piece(1, 9, 1, 0, 16);
	put_piece(0, 4, 1, 48, 16);
	put_piece(0, 4, 1, 32, 16);
	lost = record_begin(PERF_RECORD_LOST, 0);
	put64(0);
	put64(5);
	put_sample_id(1, 1, 4);
	record_end(lost);
	perf_end("/none");
	assert_success(import_perf(&bench, &cpu));
	assert_int_equal(bench_result(&bench)->vcpus[0].gaps, 4);
	assert_gap(&bench, 4, 0, 10, XENPT_GAP_DROPPED, 0);
	assert_gap(&bench, 4, 1, 16, XENPT_GAP_LAPPED, 32);
	assert_gap(&bench, 4, 2, 32, XENPT_GAP_SEAM, 0);
	assert_gap(&bench, 4, 3, 48, XENPT_GAP_DROPPED, 0);
	assert_gap(&bench, 9, 0, 16, XENPT_GAP_DROPPED, 0);
	assert_non_null(strstr(bench.warnings, "perf lost 5 records"));
	bench_deinit(&bench);
}

static void snapshots_and_threads(void **state)
{
	const struct xenpt_file_info *info;
	struct xenpt_cpu cpu;
	struct bench bench;

	bench_init(&bench);
	perf_begin();
	put_info(true);
	put_piece(0, -1, 70000, 0, 16);
	put_piece(1, -1, 70001, 0, 16);
	put_piece(0, -1, 70000, 16, 16);
	perf_end("/none");
	assert_success(import_perf(&bench, &cpu));
	info = bench_result(&bench);
	assert_int_equal(info->vcpus[0].vcpu.id, 0);
	assert_string_equal(info->vcpus[0].vcpu.name, "thread 70000");
	assert_string_equal(info->vcpus[1].vcpu.name, "thread 70001");
	assert_gap(&bench, 0, 0, 16, XENPT_GAP_SEAM, 0);
	assert_non_null(strstr(bench.warnings, "names no code"));
	bench_deinit(&bench);
}

static void what_the_user_says_of_the_cpu(void **state)
{
	struct xenpt_cpu cpu;
	struct bench bench;

	bench_init(&bench);
	perf_make("/none");
	bench.import.cpu = (struct xenpt_cpu){ .family = 6, .model = 85, .intel = 1 };
	assert_success(import_perf(&bench, &cpu));
	assert_int_equal(cpu.model, 85);
	assert_int_equal(cpu.stepping, 0);
	assert_int_equal(cpu.nom_freq, 32);
	bench_deinit(&bench);
}

/* That the import fails and says @text, whatever has been done to the bytes. */
static void assert_fails(enum xenpt_error_code code, const char *text)
{
	struct xenpt_cpu cpu;
	struct bench bench;

	bench_init(&bench);
	assert_error(import_perf(&bench, &cpu), code, text);
	bench_deinit(&bench);
}

static void bad_files(void **state)
{
	size_t at;

	perf_make("/none");
	perf.bytes[7] = 'X';
	assert_fails(XENPT_ERROR_FORMAT, "perf.data: is no perf.data file");
	perf_make("/none");
	perf.bytes[8] = 16;
	assert_fails(XENPT_ERROR_UNSUPPORTED, "pipe");
	perf_make("/none");
	set64(16, 8);
	assert_fails(XENPT_ERROR_FORMAT, "header: 8 is no size of an event attribute");
	perf_make("/none");
	set64(32, UINT64_MAX);
	assert_fails(XENPT_ERROR_FORMAT, "event attribute");
	perf_make("/none");
	set64(40, UINT64_MAX);
	assert_fails(XENPT_ERROR_FORMAT, "header: no records at 0xffffffffffffffff");
	perf_make("/none");
	perf.bytes[FIRST + 6] = perf.bytes[FIRST + 7] = 0;
	assert_fails(XENPT_ERROR_FORMAT, "record at 0xb8: impossible size 0");
	perf_make("/none");
	set64(FIRST, UINT64_MAX);
	assert_fails(XENPT_ERROR_FORMAT, "record at 0xb8: is past the end");
	perf_make("/none");
	perf.bytes[FIRST + 8] = 3;
	assert_fails(XENPT_ERROR_UNSUPPORTED, "not Intel PT, but of type 3");
	perf_make("/none");
	perf.size = FIRST;
	put_mmap2(12, 0x1000, 0, "/none", NULL);
	perf_end("/none");
	assert_fails(XENPT_ERROR_NOT_FOUND, "no Intel PT trace");
	perf_make("/none");
	perf.size = perf.end;
	at = record_begin(81, 0);
	record_end(at);
	perf_end("/none");
	assert_fails(XENPT_ERROR_UNSUPPORTED, "perf inject");
	perf_begin();
	put_info(false);
	at = record_begin(71, 0);
	put64(0);
	record_end(at);
	perf_end("/none");
	assert_fails(XENPT_ERROR_FORMAT, "is too short for its type");
}

/* The end of the file is cut: the trace is there. */
static void bad_features(void **state)
{
	struct xenpt_cpu cpu = {};
	struct bench bench;

	bench_init(&bench);
	perf_make("/none");
	set64(perf.end, UINT64_MAX);
	assert_success(import_perf(&bench, &cpu));
	assert_int_equal(cpu.model, 94);
	assert_non_null(strstr(bench.warnings, "perf.data: feature BUILD_ID: its place"));
	set64(perf.end + 16, UINT64_MAX);
	bench_deinit(&bench);
	bench_init(&bench);
	assert_success(import_perf(&bench, &cpu));
	assert_int_equal(cpu.model, 0);
	assert_non_null(strstr(bench.warnings, "perf.data: feature CPUID: its place"));
	bench_deinit(&bench);
}

/* Sizes that no trace has: an error, whatever other fields say. */
static void impossible_pieces(void **state)
{
	static const uint64_t sizes[] = { 1 << 20, 1ull << 32, 1ull << 63, UINT64_MAX };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		size_t at;

		perf_begin();
		put_info(false);
		at = perf.size;
		put_piece(0, 4, 1, 0, 16);
		perf_end("/none");
		set64(at + 8, sizes[i]);
		assert_fails(XENPT_ERROR_FORMAT, "bytes of trace are past the end");
		set64(at + 8, 16);
		set64(at + 16, UINT64_MAX - 8);
		assert_fails(XENPT_ERROR_FORMAT, "impossible offset");
	}
}

/* Cut anywhere: what is left is imported, or an error tells why not. */
static void cut_files(void **state)
{
	size_t whole, opened = 0;
	struct bench bench;

	perf_make("/none");
	whole = perf.end;
	bench_init(&bench);
	for (size_t size = 0; size < whole; size += 8) {
		struct xenpt_error *err;
		struct xenpt_cpu cpu;

		perf.size = size;
		err = import_perf(&bench, &cpu);
		if (!err) {
			assert_non_null(strstr(bench.warnings, "is not complete"));
			assert_true(bench_result(&bench)->vcpu_count > 0);
			opened++;
		}
		xenpt_error_destroy(err);
		bench_again(&bench);
	}
	assert_true(opened > 10);
	bench_deinit(&bench);
}

/* perf fills in the size when it ends; if it is killed, it does not. */
static void perf_was_killed(void **state)
{
	struct xenpt_cpu cpu;
	struct bench bench;

	bench_init(&bench);
	perf_make("/none");
	perf.size = perf.end;
	set64(48, 0);
	assert_success(import_perf(&bench, &cpu));
	assert_int_equal(cpu.family, 0);
	assert_int_equal(bench_result(&bench)->vcpu_count, 2);
	assert_non_null(strstr(bench.warnings, "is not complete"));
	bench_deinit(&bench);
}

static void piece_that_is_cut(void **state)
{
	struct xenpt_cpu cpu;
	struct bench bench;

	bench_init(&bench);
	perf_begin();
	put_info(false);
	put_piece(0, 4, 1, 0, 64);
	perf.size -= 48;
	assert_success(import_perf(&bench, &cpu));
	assert_int_equal(bench_result(&bench)->vcpus[0].size, 16);
	assert_gap(&bench, 4, 0, 16, XENPT_GAP_DROPPED, 48);
	bench_deinit(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_recording),
		cmocka_unit_test(images_below_symfs),
		cmocka_unit_test(images_above_symfs),
		cmocka_unit_test(images_that_cannot_be_had),
		cmocka_unit_test(build_id_of_the_feature),
		cmocka_unit_test(several_processes),
		cmocka_unit_test(missing_trace),
		cmocka_unit_test(snapshots_and_threads),
		cmocka_unit_test(what_the_user_says_of_the_cpu),
		cmocka_unit_test(bad_files),
		cmocka_unit_test(bad_features),
		cmocka_unit_test(overlapping_segments),
		cmocka_unit_test(impossible_pieces),
		cmocka_unit_test(cut_files),
		cmocka_unit_test(perf_was_killed),
		cmocka_unit_test(piece_that_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
