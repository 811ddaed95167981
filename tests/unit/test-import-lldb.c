/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Importing a bundle of LLDB. */
#include "import.h"

#define UUID "6AA9A4E2-6F28-2F33-377D-59FECE874C71-5B41261A"
#define CPU_INFO                                                              \
	"\"cpuInfo\":{\"vendor\":\"GenuineIntel\",\"family\":6,\"model\":85," \
	"\"stepping\":4}"
#define BUNDLE(rest) "{\"type\":\"intel-pt\"," CPU_INFO "," rest "}"
#define MODULE(fields) \
	"\"processes\":[{\"pid\":7,\"threads\":[],\"modules\":[{" fields "}]}]"
#define CPUS "\"cpus\":[{\"id\":45,\"iptTrace\":\"45.pt\"}]"

static struct elf_file elf;
static struct xenpt_cpu cpu;

/* A directory with an image, two traces, and a link to outside. */
static void bundle_init(struct bench *bench)
{
	bench_init(bench);
	elf_make(&elf, 0x400000);
	bench_write(bench, "image", &elf, sizeof(elf));
	bench_write(bench, "45.pt", "fortyfive", 9);
	bench_write(bench, "51.pt", "fiftyone", 8);
	assert_int_equal(symlink("/etc/passwd", bench_path(bench, "link")), 0);
	assert_int_equal(symlink("45.pt", bench_path(bench, "inner")), 0);
	assert_int_equal(mkfifo(bench_path(bench, "fifo"), 0600), 0);
}

static struct xenpt_error *import_lldb(struct bench *bench, const char *json)
{
	return xenpt_import_lldb(bench->writer, &bench->import,
				 bench_write(bench, "trace.json", json, strlen(json)),
				 &cpu);
}

static void traces_of_cpus(void **state)
{
	const struct xenpt_file_info *info;
	struct bench bench;

	bundle_init(&bench);
	assert_success(import_lldb(
		&bench,
		BUNDLE("\"tscPerfZeroConversion\":{\"timeMult\":1076264588,"
		       "\"timeShift\":31,\"timeZero\":18433473881008870804},"
		       "\"cpus\":[{\"id\":45,\"iptTrace\":\"45.pt\"},"
		       "{\"id\":51,\"iptTrace\":\"./51.pt\"}]," MODULE(
			       "\"systemPath\":\"/tmp/image\",\"file\":\"image\","
			       "\"loadAddress\":4194304,\"uuid\":\"" UUID "\""))));
	info = bench_result(&bench);
	assert_string_equal(bench.warnings, "");
	assert_memory_equal(&cpu, &info->cpu, sizeof(cpu));
	assert_int_equal(cpu.family, 6);
	assert_int_equal(cpu.model, 85);
	assert_int_equal(cpu.stepping, 4);
	assert_true(cpu.intel);
	assert_int_equal(cpu.time_shift, 31);
	assert_int_equal(cpu.time_mult, 1076264588);
	assert_true(cpu.time_zero == UINT64_C(18433473881008870804));
	assert_int_equal(info->vcpu_count, 2);
	assert_string_equal(info->vcpus[1].vcpu.name, "cpu 51");
	assert_trace(&bench, 45, "fortyfive", 9);
	assert_trace(&bench, 51, "fiftyone", 8);
	assert_string_equal(info->images[0].name, "/tmp/image");
	assert_string_equal(info->images[0].build_id, ELF_BUILD_ID);
	assert_int_equal(symbol_at(&bench, "main"), 0x401000);
	bench_deinit(&bench);
}

static void traces_of_threads(void **state)
{
	const struct xenpt_file_info *info;
	struct bench bench;

	bundle_init(&bench);
	assert_success(import_lldb(
		&bench,
		BUNDLE("\"processes\":[{\"pid\":7,\"threads\":["
		       "{\"tid\":3842849,\"iptTrace\":\"inner\"},{\"tid\":8}]}]")));
	info = bench_result(&bench);
	assert_int_equal(info->vcpu_count, 1);
	assert_int_equal(info->vcpus[0].vcpu.id, 0);
	assert_string_equal(info->vcpus[0].vcpu.name, "thread 3842849");
	assert_trace(&bench, 0, "fortyfive", 9);
	assert_non_null(strstr(bench.warnings, "names no code"));
	bench_deinit(&bench);
}

/* Addresses above 2^63, as numbers and as strings; CPUs with high numbers. */
static void kernel(void **state)
{
	static const char *const addresses[] = { "18446744071578845184",
						 "\"0xffffffff81000000\"" };
	char json[1024];
	struct bench bench;

	for (int i = 0; i < 2; i++) {
		bundle_init(&bench);
		snprintf(json, sizeof(json),
			 BUNDLE("\"cpus\":[{\"id\":4096,\"iptTrace\":\"45.pt\"}],"
				"\"kernel\":{\"file\":\"image\",\"loadAddress\":%s}"),
			 addresses[i]);
		assert_success(import_lldb(&bench, json));
		assert_int_equal(bench_result(&bench)->vcpus[0].vcpu.id, 0);
		assert_int_equal(symbol_at(&bench, "main"), 0xffffffff81001000);
		bench_deinit(&bench);
	}
}

static void modules_that_cannot_be_had(void **state)
{
	static const struct {
		const char *module, *warning;
	} cases[] = {
		{ "\"systemPath\":\"/tmp/image\",\"file\":\"image\",\"loadAddress\":0,"
		  "\"uuid\":\"01020304-0506\"",
		  "is another build" },
		{ "\"systemPath\":\"/nowhere\",\"file\":\"none\",\"loadAddress\":0",
		  "/nowhere: not found" },
		{ "\"systemPath\":\"[vdso]\",\"loadAddress\":0", "[vdso]: is no file" },
		{ "\"systemPath\":\"relative\",\"loadAddress\":0",
		  "relative: not found" },
		{ "\"systemPath\":\"/x\",\"file\":\"45.pt\",\"loadAddress\":0",
		  "45.pt: is no ELF file" },
	};
	char json[1024];
	struct bench bench;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		bundle_init(&bench);
		snprintf(json, sizeof(json), BUNDLE(CPUS "," MODULE("%s")),
			 cases[i].module);
		assert_success(import_lldb(&bench, json));
		assert_int_equal(bench_result(&bench)->code_size, 0);
		if (!strstr(bench.warnings, cases[i].warning))
			fail_msg("%s: %s", cases[i].warning, bench.warnings);
		bench_deinit(&bench);
	}
}

/* Whoever made the bundle must not get at other files of the user's. */
static void paths_out_of_the_bundle(void **state)
{
	static const char *const names[] = { "/etc/passwd", "../../etc/passwd", "link",
					     "..", "x/../../../etc/passwd" };
	char json[1024];
	struct bench bench;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		bundle_init(&bench);
		assert_int_equal(mkdir(bench_path(&bench, "x"), 0777), 0);
		snprintf(json, sizeof(json),
			 BUNDLE("\"cpus\":[{\"id\":0,\"iptTrace\":\"%s\"}]"), names[i]);
		assert_error(import_lldb(&bench, json), XENPT_ERROR_INVALID,
			     "leads out of the bundle");
		snprintf(json, sizeof(json),
			 BUNDLE(CPUS "," MODULE("\"systemPath\":\"/x\",\"file\":\"%s\","
						"\"loadAddress\":0")),
			 names[i]);
		assert_error(import_lldb(&bench, json), XENPT_ERROR_INVALID,
			     "modules[0]: ");
		bench_deinit(&bench);
	}
}

/* Directories beside the bundle, with names that are nearly its own. */
static void paths_into_a_sibling(void **state)
{
	char sibling[80], json[1024];
	struct bench bench;

	for (int i = 0; i < 2; i++) {
		struct bench other;

		bundle_init(&bench);
		snprintf(sibling, sizeof(sibling), "%s%s", bench.dir, i ? "x" : "");
		if (!i)
			sibling[strlen(sibling) - 1] ^= 1;
		assert_int_equal(mkdir(sibling, 0777), 0);
		strcpy(other.dir, sibling);
		bench_write(&other, "secret", "secret", 6);
		snprintf(json, sizeof(json),
			 BUNDLE("\"cpus\":[{\"id\":0,\"iptTrace\":\"..%s/secret\"}]"),
			 strrchr(sibling, '/'));
		assert_error(import_lldb(&bench, json), XENPT_ERROR_INVALID,
			     "leads out of the bundle");
		unlink(bench_path(&other, "secret"));
		rmdir(sibling);
		bench_deinit(&bench);
	}
}

static void json_of_the_wrong_kind(void **state)
{
	static const struct {
		const char *json, *text;
	} cases[] = {
		{ "", "trace.json: line 1: " },
		{ "{\n\n\"type\" 1", "trace.json: line 3: " },
		{ "[]", "no bundle" },
		{ "{}", "\"type\" should be a string" },
		{ "{\"type\":\"arm\"}", "\"type\" should be \"intel-pt\"" },
		{ BUNDLE("\"x\":1"), "names no trace" },
		{ BUNDLE("\"cpus\":{}"), "\"cpus\" should be an array" },
		{ BUNDLE("\"cpus\":[7]"), "\"cpus\" should be an array of objects" },
		{ BUNDLE("\"cpus\":[{}]"), "cpus[0]: \"id\" should be a number" },
		{ BUNDLE("\"cpus\":[{\"id\":-1}]"),
		  "cpus[0]: \"id\" should be a number" },
		{ BUNDLE("\"cpus\":[{\"id\":\"7x\"}]"), "\"id\" should be a number" },
		{ BUNDLE("\"cpus\":[{\"id\":1}]"), "\"iptTrace\" should be a string" },
		{ BUNDLE("\"cpus\":[{\"id\":1,\"iptTrace\":\"fifo\"}]"),
		  "fifo is no regular file" },
		{ BUNDLE("\"cpus\":[{\"id\":1,\"iptTrace\":\"none\"}]"),
		  "cpus[0]: none: No such file" },
		{ BUNDLE("\"cpus\":[{\"id\":1,\"iptTrace\":\"45.pt\"},"
			 "{\"id\":1,\"iptTrace\":\"45.pt\"}]"),
		  "announced twice: vCPU 1" },
		{ BUNDLE("\"processes\":[{\"pid\":4294967295}]"),
		  "processes[0]: \"pid\" is too large" },
		{ BUNDLE(MODULE("\"systemPath\":1")),
		  "processes[0]: modules[0]: \"systemPath\" should be a string" },
		{ BUNDLE(MODULE("\"systemPath\":\"/x\",\"loadAddress\":1.5")),
		  "\"loadAddress\" should be a number" },
		{ BUNDLE(MODULE("\"systemPath\":\"/x\",\"loadAddress\":"
				"99999999999999999999")),
		  "\"loadAddress\" should be a number" },
		{ BUNDLE(MODULE("\"systemPath\":\"/x\",\"loadAddress\":1,"
				"\"uuid\":\"what\"")),
		  "\"uuid\" should be hex digits" },
		{ "{\"type\":\"intel-pt\",\"cpuInfo\":7}", "\"cpuInfo\" should be an" },
		{ "{\"type\":\"intel-pt\",\"cpuInfo\":{\"vendor\":\"x\",\"family\":70000}"
		  "}",
		  "\"family\" is too large" },
		{ BUNDLE("\"tscPerfZeroConversion\":{\"timeShift\":64}"),
		  "\"timeShift\" is too large" },
	};
	struct bench bench;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct xenpt_error *err;

		bundle_init(&bench);
		err = import_lldb(&bench, cases[i].json);
		if (!err || !strstr(err->message, cases[i].text))
			fail_msg("%s: %s", cases[i].json, err ? err->message : "done");
		xenpt_error_destroy(err);
		bench_deinit(&bench);
	}
}

static void several_processes(void **state)
{
	static const char json[] = BUNDLE(
		CPUS ",\"processes\":[{\"pid\":7,\"modules\":[{\"systemPath\":\"/bin/a\","
		     "\"file\":\"image\",\"loadAddress\":0}]},"
		     "{\"pid\":8,\"modules\":[{\"systemPath\":\"/bin/b\","
		     "\"file\":\"image\",\"loadAddress\":4096}]}]");
	struct bench bench;

	bundle_init(&bench);
	assert_error(import_lldb(&bench, json), XENPT_ERROR_INVALID,
		     "by its pid: 7 (/bin/a), 8 (/bin/b)");
	bench.import.pid = 8;
	assert_success(import_lldb(&bench, json));
	assert_string_equal(bench_result(&bench)->images[0].name, "/bin/b");
	assert_int_equal(symbol_at(&bench, "main"), 0x2000);
	bench_deinit(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(traces_of_cpus),
		cmocka_unit_test(traces_of_threads),
		cmocka_unit_test(kernel),
		cmocka_unit_test(modules_that_cannot_be_had),
		cmocka_unit_test(paths_out_of_the_bundle),
		cmocka_unit_test(paths_into_a_sibling),
		cmocka_unit_test(json_of_the_wrong_kind),
		cmocka_unit_test(several_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
