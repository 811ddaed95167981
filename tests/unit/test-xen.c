/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which Xen domains there are, what they are called, and why one is refused. */
#include <errno.h>
#include <unistd.h>

#include "hv/backend.h"
#include "tests/unit/xen-domain.h"

#define UUID "abababab-abab-abab-abab-abababab0007"

/* ---- Listing --------------------------------------------------------------- */

struct listed {
	unsigned int count;
	struct hv_info infos[16];
	char names[16][64], whys[16][256];
	unsigned int stop_at; /* fail there; 0: nowhere */
};

static struct xenpt_error *take(void *arg, const struct hv_info *info)
{
	struct listed *listed = arg;
	unsigned int i = listed->count++;

	if (listed->count == listed->stop_at)
		return xenpt_error_create(XENPT_ERROR_CANCELLED, "enough");
	if (i >= 16)
		return NULL;
	listed->infos[i] = *info;
	snprintf(listed->names[i], sizeof(listed->names[i]), "%s", info->name);
	snprintf(listed->whys[i], sizeof(listed->whys[i]), "%s",
		 info->why ? info->why : "");
	return NULL;
}

static void list_all(struct listed *ret)
{
	*ret = (struct listed){};
	check_error(hv_xen_ops.list(take, ret));
}

static void test_list(void **state)
{
	struct xen_script *script = xen_script_create();
	struct script_domain *domain;
	struct listed listed;

	start_guest(script);
	domain = xen_script_add(script, 9, "pvh");
	xen_script_make_pvh(domain);
	domain->flags &= ~XEN_DOMINF_hap;
	domain->pauses = domain->pauses_before = 1;
	domain = xen_script_add(script, 12, "");
	xen_script_make_pv(domain);
	domain->flags |= XEN_DOMINF_shutdown;
	domain->code = 4;
	domain = xen_script_add(script, 13, "off");
	domain->flags |= XEN_DOMINF_shutdown;
	domain = xen_script_add(script, 14, "odd");
	domain->flags |= XEN_DOMINF_shutdown;
	domain->code = 200;
	domain = xen_script_add(script, 15, "");
	domain->flags |= XEN_DOMINF_shutdown | XEN_DOMINF_dying;
	domain->code = 3;
	list_all(&listed);
	assert_int_equal(listed.count, 7);

	assert_string_equal(listed.names[0], "Domain-0");
	assert_string_equal(listed.infos[0].type, "PV");
	assert_null(listed.infos[0].backend);
	assert_non_null(strstr(listed.whys[0], "xenpt runs in it"));

	assert_string_equal(listed.names[1], "guest");
	assert_string_equal(listed.infos[1].type, "HVM");
	assert_int_equal(listed.infos[1].vcpus, 2);
	assert_int_equal(listed.infos[1].memory, 4 << 20);
	assert_int_equal(listed.infos[1].state, HV_RUNNING);
	assert_string_equal(listed.infos[1].backend, "test");

	assert_string_equal(listed.infos[2].type, "PVH");
	assert_int_equal(listed.infos[2].state, HV_PAUSED);
	assert_null(listed.infos[2].backend);
	assert_string_equal(listed.whys[2], "put hap=1 into its xl.cfg");

	assert_string_equal(listed.names[3], "domain 12");
	assert_string_equal(listed.infos[3].type, "PV");
	assert_int_equal(listed.infos[3].state, HV_CRASHED);
	assert_string_equal(listed.infos[3].reason, "watchdog");

	assert_int_equal(listed.infos[4].state, HV_ENDED);
	assert_string_equal(listed.infos[4].reason, "poweroff");
	assert_int_equal(listed.infos[5].state, HV_ENDED);
	assert_string_equal(listed.infos[5].reason, "unknown");

	assert_int_equal(listed.infos[6].state, HV_ENDED);
	assert_string_equal(listed.infos[6].reason, "crash, then destroyed");
	assert_non_null(strstr(listed.whys[6], "destroyed"));
	end_script(script);
}

/* More than one call of the hypervisor gives. */
static void test_list_many(void **state)
{
	struct xen_script *script = xen_script_create();
	struct listed listed;
	char name[16];

	for (uint32_t i = 1; i < 290; i++) {
		snprintf(name, sizeof(name), "guest-%u", i);
		xen_script_add(script, i * 100, name);
	}
	list_all(&listed);
	assert_int_equal(listed.count, 290);
	close_domain(open_domain("guest-289"));
	close_domain(open_domain("28900"));
	end_script(script);
}

static void test_list_stopped(void **state)
{
	struct xen_script *script = xen_script_create();
	struct listed listed = { .stop_at = 1 };

	start_guest(script);
	check_says(hv_xen_ops.list(take, &listed), "enough");
	assert_int_equal(listed.count, 1);
	end_script(script);
}

/* Without xenstored there are ids, and they can be opened. */
static void test_no_xenstored(void **state)
{
	struct xen_script *script = xen_script_create();
	struct hv_domain *domain;
	struct listed listed;

	start_guest(script);
	script->no_xenstored = true;
	list_all(&listed);
	assert_int_equal(listed.count, 2);
	assert_string_equal(listed.names[1], "domain 7");
	check_refused("guest", "by its id, for there is no xenstored");
	domain = open_domain("7");
	assert_string_equal(domain->info->name, "domain 7");
	assert_int_equal(domain->ops->fd(domain), -1);
	close_domain(domain);
	end_script(script);
}

/* ---- The host -------------------------------------------------------------- */

static void hide(struct xen_script *script, const char *name, bool away)
{
	char path[128], aside[160];

	snprintf(path, sizeof(path), "%s%s", script->root, name);
	snprintf(aside, sizeof(aside), "%s.aside", path);
	assert_return_code(away ? rename(path, aside) : rename(aside, path), errno);
}

static void write_file(struct xen_script *script, const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s%s", script->root, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* Nothing is wrong with a host that has no Xen, until a domain of it is asked for. */
static void test_not_xen(void **state)
{
	struct xen_script *script = xen_script_create();
	struct listed listed;

	hide(script, "/dev/xen/privcmd", true);
	list_all(&listed);
	assert_int_equal(listed.count, 0);
	check_refused("guest", "there is no domain 'guest': this machine does not run on "
			       "Xen");
	hide(script, "/dev/xen/privcmd", false);
	assert_int_equal(script->calls, 0);

	write_file(script, "/proc/xen/capabilities", "");
	list_all(&listed);
	assert_int_equal(listed.count, 0);
	check_refused("guest", "this is a guest of Xen: run xenpt in the control domain");
	assert_int_equal(script->calls, 0);

	/* Not mounted: it may be one. */
	hide(script, "/proc/xen/capabilities", true);
	list_all(&listed);
	assert_int_equal(listed.count, 1);
	hide(script, "/proc/xen/capabilities", false);
	end_script(script);
}

/* A host that does not answer is a line of the list, not the end of it. */
static void test_not_allowed(void **state)
{
	static const struct {
		int errnum;
		const char *says;
	} cases[] = {
		{ EPERM, "only root in Xen's control domain (dom0)" },
		{ EACCES, "the hypervisor is Xen 4.17.7, but this xenpt was built for "
			  "libxenctrl " },
		{ ENOSYS, "too old" },
	};
	struct xen_script *script = xen_script_create();
	struct listed listed;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		script->domctl_errno = cases[i].errnum;
		list_all(&listed);
		assert_int_equal(listed.count, 1);
		assert_int_equal(listed.infos[0].state, HV_OFFERED);
		assert_non_null(strstr(listed.whys[0], cases[i].says));
		check_refused("7", cases[i].says);
	}
	script->domctl_errno = 0;
	/* The device itself is root's. */
	script->fail_at = script->calls + 1;
	script->fail_errno = EACCES;
	check_refused("7", "run xenpt as root");
	end_script(script);
}

/* What a library says of its failure is in the error, and not on the terminal. */
static void test_library_words(void **state)
{
	struct xen_script *script = xen_script_create();

	script->fail_at = 2;
	script->fail_errno = EIO;
	check_refused("7", "the hypervisor does not answer: Input/output error (libxc: "
			   "getdomaininfolist failed)");
	end_script(script);
}

/* ---- Names ------------------------------------------------------------------- */

static void check_opens(const char *name, uint32_t domid)
{
	struct hv_domain *domain = open_domain(name);

	assert_int_equal(xen_domain_of(domain)->domid, domid);
	close_domain(domain);
}

static void test_names(void **state)
{
	struct xen_script *script = xen_script_create();

	start_guest(script);
	xen_script_add(script, 8, "7");
	xen_script_add(script, 10, "77");
	xen_script_add(script, 11, UUID);
	xen_script_add(script, 12, "a b/\x1b[31m'%s");
	xen_script_add(script, 13, "-");
	check_opens("guest", 7);
	check_opens("7", 7); /* the id, whoever is called so */
	check_opens("007", 7);
	check_opens("77", 10);
	check_opens(UUID, 7);
	check_opens("ABABABAB-ABAB-abab-abab-abababab0007", 7);
	check_opens("abababababababababababababab0007", 7);
	check_opens("a b/\x1b[31m'%s", 12);
	check_opens("-", 13);
	check_refused("gues", "there is no domain 'gues'");
	check_refused("guest ", "there is no domain 'guest '");
	check_refused("", "there is no domain ''");
	check_refused("9", "there is no domain '9'");
	check_refused("32752", "there is no domain");
	check_refused("4294967303", "there is no domain"); /* 7, in 32 bits */
	check_refused("abababab-ababababababababababab0007", "there is no domain");
	check_refused("abababab-abab-abab-abab-abababab000", "there is no domain");
	check_refused("abababab-abab-abab-abab-abababab00071", "there is no domain");
	end_script(script);
}

static void test_ambiguous(void **state)
{
	struct xen_script *script = xen_script_create();
	struct script_domain *other;

	start_guest(script);
	xen_script_add(script, 20, "guest");
	check_refused("guest", "there are 2 domains 'guest' (7, 20): name one by its id");
	xen_script_add(script, 21, "guest");
	check_refused("guest", "3 domains 'guest' (7, 20, …)");
	check_opens("20", 20);
	/* One that is on its way out counts no more. */
	xen_script_end(script, xen_script_find(script, 21), SCRIPT_DESTROY);
	xen_script_find(script, 20)->flags |= XEN_DOMINF_dying;
	check_opens("guest", 7);
	/* Of two with one UUID, as while one is copied. */
	other = xen_script_add(script, 22, "copy");
	memcpy(other->handle, xen_script_find(script, 7)->handle, sizeof(other->handle));
	check_refused(UUID, "2 domains '" UUID "' (7, 22)");
	end_script(script);
}

/* ---- Opening ----------------------------------------------------------------- */

static void test_open(void **state)
{
	struct xen_script *script = xen_script_create();
	struct hv_domain *domain;

	start_guest(script);
	domain = open_domain("guest");
	assert_string_equal(domain->ops->name, "test");
	assert_string_equal(domain->info->name, "guest");
	assert_string_equal(domain->info->uuid, UUID);
	assert_string_equal(domain->info->type, "HVM");
	assert_string_equal(domain->info->backend, "test");
	assert_int_equal(domain->info->vcpus, 2);
	assert_int_equal(domain->info->memory, 4 << 20);
	assert_int_equal(domain->info->state, HV_RUNNING);
	assert_null(domain->info->kernel);
	close_domain(domain);
	end_script(script);
}

static void test_refused(void **state)
{
	struct xen_script *script = xen_script_create();
	struct script_domain *pv = xen_script_add(script, 3, "pv");

	xen_script_make_pv(pv);
	check_refused("pv", "pv: cannot be traced: put hap=1 into its xl.cfg");
	check_refused("0", "xenpt runs in this domain");
	check_refused("Domain-0", "xenpt runs in this domain");
	script->self = 3;
	check_refused("pv", "xenpt runs in this domain");
	end_script(script);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),          cmocka_unit_test(test_list_many),
		cmocka_unit_test(test_list_stopped),  cmocka_unit_test(test_no_xenstored),
		cmocka_unit_test(test_not_xen),       cmocka_unit_test(test_not_allowed),
		cmocka_unit_test(test_library_words), cmocka_unit_test(test_names),
		cmocka_unit_test(test_ambiguous),     cmocka_unit_test(test_open),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
