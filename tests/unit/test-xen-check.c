/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What xenpt check finds on a scripted Xen, good and bad. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "hv/xen-check.h"
#include "hv/xen/xen/include/public/xenpt.h"
#include "tests/unit/xen-script.h"

#include <xen/hvm/params.h>
#include <xen/version.h>

#define FINDINGS 32

struct finding {
	enum hv_level level;
	char what[32], found[256], remedy[1024];
};

struct findings {
	struct finding list[FINDINGS];
	unsigned int count, bad, notes;
	unsigned int fail_at; /* from 1: an error of whoever is told */
};

static struct xenpt_error *take(void *arg, const struct hv_finding *finding)
{
	struct findings *findings = arg;
	struct finding *f = &findings->list[findings->count];

	assert_true(findings->count < FINDINGS);
	findings->count++;
	if (findings->count == findings->fail_at)
		return xenpt_error_create(XENPT_ERROR_INVALID, "enough");
	f->level = finding->level;
	snprintf(f->what, sizeof(f->what), "%s", finding->what);
	snprintf(f->found, sizeof(f->found), "%s", finding->found);
	snprintf(f->remedy, sizeof(f->remedy), "%s", finding->remedy ?: "");
	findings->bad += f->level == HV_BAD;
	findings->notes += f->level == HV_NOTE;
	/* Whatever is not good has a remedy, and what is has none. */
	assert_int_equal(f->level != HV_GOOD, *f->remedy != '\0');
	return NULL;
}

/* The last check's. */
static struct findings findings;

static void check(const char *domain)
{
	memset(&findings, 0, sizeof(findings));
	assert_null(xen_check(domain, take, &findings));
}

static const struct finding *find(const char *what)
{
	for (unsigned int i = 0; i < findings.count; i++) {
		if (strcmp(findings.list[i].what, what) == 0)
			return &findings.list[i];
	}
	return NULL;
}

static void print(void)
{
	for (unsigned int i = 0; i < findings.count; i++)
		fprintf(stderr, "%d %s: %s\n\t%s\n", findings.list[i].level,
			findings.list[i].what, findings.list[i].found,
			findings.list[i].remedy);
}

/* It was found, with these words, and a remedy that has those; NULL: any, or none. */
static void found(enum hv_level level, const char *what, const char *words,
		  const char *remedy)
{
	const struct finding *f = find(what);
	bool ok = f && f->level == level && (!words || strstr(f->found, words)) &&
		  (!remedy || strstr(f->remedy, remedy));

	if (!ok) {
		fprintf(stderr, "not found: %s '%s' '%s'\n", what, words ?: "",
			remedy ?: "");
		print();
	}
	assert_true(ok);
}

/* All was looked at, and nothing is in the way. */
static void all_good(unsigned int notes)
{
	if (findings.bad || findings.notes != notes)
		print();
	assert_int_equal(findings.bad, 0);
	assert_int_equal(findings.notes, notes);
}

/* ---- A host and its guest ------------------------------------------------ */

static struct xen_script *script;
static struct script_domain *guest;
static char config_path[256];

#define UUID "abababab-abab-abab-abab-abababab0007"

static void make_directories(bool make)
{
	static const char *const names[] = { "/var", "/var/lib", "/var/lib/xen" };
	char path[128];

	for (unsigned int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s%s", script->root,
			 names[make ? i : 2 - i]);
		assert_int_equal(make ? mkdir(path, 0700) : rmdir(path), 0);
	}
}

static void write_config(const char *text)
{
	FILE *file = fopen(config_path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void begin(void)
{
	script = xen_script_create();
	guest = xen_script_add(script, 7, "guest");
	guest->vcpu_count = 2;
	xen_script_add_memory(script, guest, 16);
	xen_script_add_rings(script, guest, 1 << 20);
	make_directories(true);
	snprintf(config_path, sizeof(config_path),
		 "%s/var/lib/xen/userdata-d.7." UUID ".libxl-json", script->root);
	write_config("{ \"b_info\": { \"nested_hvm\": \"False\" },\n"
		     "  \"on_crash\": \"preserve\" }\n");
}

static void end(void)
{
	bool clean = xen_script_is_clean(script);

	remove(config_path);
	make_directories(false);
	xen_script_destroy(script);
	assert_true(clean);
}

/* ---- Good ---------------------------------------------------------------- */

static void test_good(void **state)
{
	begin();
	check(NULL);
	all_good(0);
	found(HV_GOOD, "hypervisor", "Xen 4.17.7", NULL);
	found(HV_GOOD, "control domain", "", NULL);
	found(HV_GOOD, "processor", "Xen says that it can trace", NULL);
	found(HV_GOOD, "HAP", "", NULL);
	found(HV_GOOD, "dom0 kernel", "Linux ", NULL);
	found(HV_GOOD, "xenpt's patch", "not there", NULL);
	assert_int_equal(findings.count, 6);
	script->vpt_caps = XENPT_CAP_EPT;
	check(NULL);
	all_good(0);
	found(HV_GOOD, "xenpt's patch", "there, version 1: the CPU traces", NULL);
	script->vpt_caps = XENPT_CAP_SOFT | XENPT_CAP_STOCK_SOFT;
	check(NULL);
	found(HV_NOTE, "xenpt's patch", "software mode: ", NULL);
	found(HV_NOTE, "xenpt's patch", "by RFLAGS.TF", NULL);
	found(HV_NOTE, "processor", "software mode also for vmtrace", "nothing, to try");
	script->vpt_caps |= XENPT_CAP_MTF;
	check(NULL);
	found(HV_NOTE, "xenpt's patch", "by the monitor trap flag", NULL);
	script->vpt_caps = 0;

	check("guest");
	all_good(0);
	found(HV_GOOD, "domain", "number 7, HVM, vCPUs: 2, running", NULL);
	found(HV_GOOD, "trace buffer", "1024 KiB for each vCPU", NULL);
	found(HV_GOOD, "other tracer", "none", NULL);
	found(HV_GOOD, "on_crash", "preserve", NULL);
	found(HV_GOOD, "back-end", "vmtrace", NULL);
	/* By number, and by UUID; a PVH guest as well. */
	xen_script_make_pvh(guest);
	check("7");
	all_good(0);
	found(HV_GOOD, "domain", "number 7, PVH,", NULL);
	check(UUID);
	all_good(0);
	write_config("{ \"on_crash\": \"restart_rename\" }");
	check("guest");
	all_good(0);
	end();
}

/* ---- Hosts --------------------------------------------------------------- */

static void test_no_xen(void **state)
{
	char path[128];

	begin();
	snprintf(path, sizeof(path), "%s/proc/xen/capabilities", script->root);
	assert_int_equal(truncate(path, 0), 0);
	check("guest");
	found(HV_BAD, "control domain", "guest of Xen", "dom0");
	assert_int_equal(findings.count, 1);
	snprintf(path, sizeof(path), "%s/dev/xen/privcmd", script->root);
	assert_int_equal(remove(path), 0);
	check(NULL);
	found(HV_BAD, "control domain", "does not run on Xen",
	      "only embedded guests can be recorded here");
	assert_int_equal(findings.count, 1);
	assert_int_equal(script->calls, 0);
	end();
}

static void test_not_allowed(void **state)
{
	begin();
	script->domctl_errno = EACCES;
	check(NULL);
	found(HV_BAD, "control domain", NULL, "libxenctrl");
	assert_int_equal(findings.count, 1);
	script->domctl_errno = EPERM;
	check("guest");
	found(HV_BAD, "control domain", NULL, "root");
	assert_int_equal(findings.count, 1);
	end();
}

static struct xen_calls changed;
static int version;

static int old_version(xc_interface *xc, int cmd, void *arg)
{
	if (cmd == XENVER_version)
		return version;
	/* As long as there is room for, without an end. */
	memset(arg, 'x', sizeof(xen_extraversion_t));
	return 0;
}

static void test_old_xen(void **state)
{
	begin();
	changed = xen_script_calls;
	changed.xc_version = old_version;
	xen_calls = &changed;
	version = 4 << 16 | 14;
	check(NULL);
	found(HV_BAD, "hypervisor", "Xen 4.14xxx", "4.15");
	version = 4 << 16 | 15;
	check(NULL);
	found(HV_GOOD, "hypervisor", "Xen 4.15xxx", NULL);
	version = 5 << 16;
	check(NULL);
	found(HV_GOOD, "hypervisor", "Xen 5.0xxx", NULL);
	end();
}

static void test_machine(void **state)
{
	begin();
	script->capabilities &= ~XEN_SYSCTL_PHYSCAP_vmtrace;
	check("guest");
	found(HV_BAD, "processor", "cannot trace", "Intel PT");
	found(HV_GOOD, "HAP", "", NULL);
	/* One thing that is wrong is said once. */
	assert_int_equal(findings.bad, 1);
	assert_null(find("trace buffer"));
	assert_null(find("other tracer"));
	assert_null(find("back-end"));
	script->capabilities = XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_vmtrace;
	check(NULL);
	found(HV_BAD, "HAP", "none", "EPT");
	assert_int_equal(findings.bad, 1);
	end();
}

static int resource_errno;

static int no_resource(xenforeignmemory_handle *fm, domid_t domid, unsigned int type,
		       unsigned int id, size_t *size)
{
	errno = resource_errno;
	return -1;
}

static void test_old_kernel(void **state)
{
	begin();
	script->old_kernel = true;
	check("guest");
	found(HV_BAD, "dom0 kernel", "Linux ", "5.11");
	assert_int_equal(findings.bad, 1);
	assert_null(find("trace buffer"));
	/* Before 5.11 the question was a mapping at address 0, which is none. */
	changed = xen_script_calls;
	changed.fm_resource_size = no_resource;
	xen_calls = &changed;
	resource_errno = EINVAL;
	check(NULL);
	found(HV_BAD, "dom0 kernel", "Linux ", "5.11");
	end();
}

static void test_no_xenstored(void **state)
{
	begin();
	script->no_xenstored = true;
	check("7");
	all_good(1);
	found(HV_NOTE, "xenstored", "cannot be reached", "xenstored");
	check("guest");
	found(HV_BAD, "domain", "not found", "no xenstored");
	end();
}

/* ---- Domains ------------------------------------------------------------- */

static void test_no_domain(void **state)
{
	begin();
	check("gues");
	found(HV_BAD, "domain", "not found", "xenpt list");
	assert_int_equal(findings.bad, 1);
	check("0");
	found(HV_BAD, "domain", "number 0, PV", "xenpt runs in it");
	assert_int_equal(findings.bad, 1);
	xen_script_make_pv(guest);
	check("guest");
	found(HV_BAD, "domain", "number 7, PV", "type=\"pvh\"");
	assert_int_equal(findings.bad, 1);
	end();
}

static void test_state(void **state)
{
	static const struct {
		enum script_end how;
		const char *words;
	} ends[] = {
		{ SCRIPT_CRASH, "crashed" },
		{ SCRIPT_WATCHDOG, "crashed" },
		{ SCRIPT_POWEROFF, "ended" },
	};

	begin();
	guest->flags |= XEN_DOMINF_paused;
	check("guest");
	all_good(1);
	found(HV_NOTE, "domain", "paused", "xl unpause");
	end();
	for (unsigned int i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		begin();
		xen_script_end(script, guest, ends[i].how);
		check("guest");
		found(HV_BAD, "domain", ends[i].words, "create it anew");
		end();
	}
}

static void test_hap(void **state)
{
	begin();
	guest->flags &= ~XEN_DOMINF_hap;
	check("guest");
	assert_int_equal(findings.bad, 1);
	assert_string_equal(find("HAP")->found, "the CPU's second page tables are used");
	assert_int_equal(findings.list[7].level, HV_BAD);
	assert_string_equal(findings.list[7].what, "HAP");
	assert_non_null(strstr(findings.list[7].remedy, "hap=0"));
	end();
}

/* Only the second vCPU has something in the way. */
static size_t second_size;

static int size_of_two(xenforeignmemory_handle *fm, domid_t domid, unsigned int type,
		       unsigned int id, size_t *size)
{
	if (xen_script_calls.fm_resource_size(fm, domid, type, id, size) < 0)
		return -1;
	if (id == 1)
		*size = second_size;
	return 0;
}

static void test_buffer(void **state)
{
	begin();
	guest->ring_size = 0;
	check("guest");
	found(HV_BAD, "trace buffer", "none", "vmtrace_buf_kb=");
	assert_int_equal(findings.bad, 1);
	assert_null(find("other tracer"));
	guest->ring_size = 1 << 20;

	changed = xen_script_calls;
	changed.fm_resource_size = size_of_two;
	xen_calls = &changed;
	second_size = 0;
	check("guest");
	found(HV_BAD, "trace buffer", "none", "vmtrace_buf_kb=");
	second_size = 4096;
	check("guest");
	all_good(1);
	found(HV_NOTE, "trace buffer", "4 KiB", "vmtrace_buf_kb=");
	end();
}

/* No guest is stepped on a CPU with PT that Xen cannot send through EPT. */
static void test_pt_not_through_ept(void **state)
{
	begin();
	script->vpt_caps = XENPT_CAP_SOFT | XENPT_CAP_MTF;
	check("guest");
	all_good(1);
	found(HV_NOTE, "xenpt's patch", "there, version 1, but this CPU cannot",
	      "watchdog");
	found(HV_NOTE, "xenpt's patch", NULL, "vmtrace_buf_kb");
	found(HV_GOOD, "processor", "can trace", NULL);
	found(HV_GOOD, "back-end", "vmtrace", NULL);
	guest->ring_size = 0;
	check("guest");
	found(HV_BAD, "trace buffer", "none", "vmtrace_buf_kb=");
	assert_int_equal(findings.bad, 1);
	guest->ring_size = 1 << 20;
	/* PT that does not run in VMX operation is none. */
	script->capabilities &= ~XEN_SYSCTL_PHYSCAP_vmtrace;
	check("guest");
	found(HV_NOTE, "xenpt's patch", "software mode: ", NULL);
	found(HV_NOTE, "processor", "but software mode", "nothing, to try");
	assert_int_equal(findings.bad, 0);
	found(HV_GOOD, "back-end", "vpt", NULL);
	end();
}

/* The usual server: no PT, but APICv. What helps depends on whose CPU it is. */
static void test_patch_without_cpu(void **state)
{
	struct xenpt_cpu cpu;
	const char *helps;

	begin();
	xen_host_cpu(&cpu);
	helps = cpu.intel ? "\"apicv=0\"" : "on another host";
	script->vpt_caps = XENPT_CAP_PIP; /* none that makes it trace */
	script->capabilities &= ~XEN_SYSCTL_PHYSCAP_vmtrace;
	check("guest");
	found(HV_NOTE, "xenpt's patch", "there, version 1, but this CPU cannot trace",
	      helps);
	found(HV_BAD, "processor", "cannot trace", helps);
	assert_int_equal(findings.bad, 1);
	/* Where nothing helps: without EPT nothing is stepped. */
	script->capabilities &= ~XEN_SYSCTL_PHYSCAP_hap;
	check(NULL);
	assert_null(strstr(find("processor")->remedy, "apicv"));
	end();
}

/* On a Xen with hv/xen no domain needs buffers of its own. */
static void test_patched_xen(void **state)
{
	begin();
	script->vpt_caps = XENPT_CAP_EPT;
	guest->ring_size = 0;
	check("guest");
	all_good(0);
	assert_null(find("trace buffer"));
	found(HV_GOOD, "back-end", "vpt", NULL);
	guest->ring_size = 1 << 20;
	end();
}

static void test_other_tracer(void **state)
{
	begin();
	guest->vcpus[1].ctl = 1 << 13 | 1;
	guest->vcpus[1].active = true;
	check("guest");
	found(HV_BAD, "other tracer", "vCPU 1 is traced already", "xen-vmtrace");
	assert_int_equal(findings.bad, 1);
	assert_true(guest->vcpus[1].active);
	guest->vcpus[1].active = false;
	/* What it has set remains, and is no trace. */
	guest->vcpus[1].ctl = 1 << 13;
	check("guest");
	all_good(0);
	assert_int_equal(guest->vcpus[1].ctl, 1 << 13);
	guest->vcpus[1].ctl = 0;
	end();
}

static void test_config(void **state)
{
	begin();
	write_config("{ \"c_info\": { \"name\": \"\\\"on_crash\\\"\" } }");
	check("guest");
	all_good(1);
	found(HV_NOTE, "on_crash", "destroy", "on_crash=\"preserve\"");
	write_config("{ \"on_crash\": \"coredump_restart\",\n"
		     "  \"b_info\": { \"nested_hvm\": \"True\" } }");
	check("guest");
	all_good(2);
	found(HV_NOTE, "on_crash", "coredump_restart", "on_crash=\"preserve\"");
	found(HV_NOTE, "nested", "", "nestedhvm");
	remove(config_path);
	check("guest");
	all_good(1);
	found(HV_NOTE, "on_crash", "not known", "on_crash=\"preserve\"");
	assert_int_equal(mkdir(config_path, 0700), 0);
	check("guest");
	all_good(1);
	found(HV_NOTE, "on_crash", "not known", "libxl-json");
	end();
}

static void set_param(unsigned int param, uint64_t value)
{
	guest->params[param] = guest->params_before[param] = value;
}

static void test_introspection(void **state)
{
	begin();
	/* There is a page for a ring, and nobody has taken it. */
	set_param(HVM_PARAM_MONITOR_RING_PFN, 5);
	check("guest");
	all_good(0);
	guest->absent[5] = 1;
	set_param(HVM_PARAM_ALTP2M, XEN_ALTP2M_external);
	check("guest");
	all_good(2);
	found(HV_NOTE, "introspection", "a monitor", "CR3");
	found(HV_NOTE, "altp2m", "external", "altp2m=");
	set_param(HVM_PARAM_ALTP2M, UINT64_MAX);
	check("guest");
	found(HV_NOTE, "altp2m", "?", "altp2m=");
	set_param(HVM_PARAM_ALTP2M, XEN_ALTP2M_disabled);
	/* With hv/xen nothing is missed, but not by vmtrace. */
	script->vpt_caps = XENPT_CAP_EPT | XENPT_CAP_PIP;
	check("guest");
	all_good(0);
	found(HV_GOOD, "introspection", "a monitor", NULL);
	script->vpt_caps = XENPT_CAP_PIP;
	check("guest");
	found(HV_GOOD, "back-end", "vmtrace", NULL);
	found(HV_NOTE, "introspection", "a monitor", "CR3");
	end();
}

/* ---- Failures ------------------------------------------------------------ */

/* Nothing is changed, not even for a moment. */
static void harmless(struct xen_script *s, const char *name, void *arg)
{
	static const char *const harmful[] = { "pause",           "_set",
					       "enable",          "disable",
					       "readconsolering", "map_resource" };

	if (strstr(name, "unmap"))
		return;
	for (unsigned int i = 0; i < sizeof(harmful) / sizeof(harmful[0]); i++)
		assert_null(strstr(name, harmful[i]));
}

static void begin_watched(void)
{
	begin();
	set_param(HVM_PARAM_MONITOR_RING_PFN, 5);
	script->on_call = harmless;
}

/* What can fail without anybody's knowing less. */
static bool does_not_matter(const char *name)
{
	return strstr(name, "close") || strstr(name, "unmap") ||
	       strcmp(name, "xc_version") == 0 || strcmp(name, "xs_read") == 0;
}

static void test_failures(void **state)
{
	static const int errors[] = { EPERM, EIO, EACCES, EINVAL, EOPNOTSUPP, 0 };

	for (unsigned int i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		for (unsigned int n = 1;; n++) {
			unsigned int calls;

			begin_watched();
			script->fail_at = n;
			script->fail_errno = errors[i];
			check(n % 2 ? "guest" : "7");
			calls = script->calls;
			/*
			 * That oneself cannot be asked is good: it was asked. And a Xen
			 * that says nothing of the patch is used as stock Xen.
			 */
			if (calls >= n && !does_not_matter(script->failed_call) &&
			    !strstr(script->failed_call, "xenpt_caps") &&
			    !(strstr(script->failed_call, "resource_size") &&
			      errors[i] != EINVAL && errors[i] != EOPNOTSUPP))
				assert_true(findings.bad + findings.notes > 0);
			end();
			if (calls < n)
				break;
		}
	}
}

static void test_all_fail(void **state)
{
	for (unsigned int n = 1; n < 30; n++) {
		begin_watched();
		script->fail_at = n;
		script->fail_count = 1000;
		script->fail_errno = EIO;
		check("guest");
		end();
	}
}

/* The domain goes away before any of the calls. */
static void test_gone(void **state)
{
	static const enum script_end ends[] = { SCRIPT_CRASH, SCRIPT_DESTROY,
						SCRIPT_REUSE };

	for (unsigned int i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		for (unsigned int n = 1;; n++) {
			unsigned int calls;

			begin_watched();
			script->end_at = n;
			script->end_how = ends[i];
			script->end_domain = guest;
			check("guest");
			calls = script->calls;
			end();
			if (calls < n)
				break;
		}
	}
}

static void test_caller_ends_it(void **state)
{
	struct xenpt_error *err;

	for (unsigned int n = 1;; n++) {
		unsigned int count;

		begin_watched();
		memset(&findings, 0, sizeof(findings));
		findings.fail_at = n;
		err = xen_check("guest", take, &findings);
		count = findings.count;
		end();
		if (count < n) {
			assert_null(err);
			break;
		}
		assert_non_null(err);
		assert_string_equal(err->message, "enough");
		assert_int_equal(count, n);
		xenpt_error_destroy(err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_no_xen),
		cmocka_unit_test(test_not_allowed),
		cmocka_unit_test(test_old_xen),
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_old_kernel),
		cmocka_unit_test(test_no_xenstored),
		cmocka_unit_test(test_no_domain),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_hap),
		cmocka_unit_test(test_buffer),
		cmocka_unit_test(test_patched_xen),
		cmocka_unit_test(test_pt_not_through_ept),
		cmocka_unit_test(test_patch_without_cpu),
		cmocka_unit_test(test_other_tracer),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_introspection),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_all_fail),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_caller_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
