/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "hv/xen-list.h"

/* Of one call: each is 144 bytes. */
#define BATCH 128

/* ---- All of them --------------------------------------------------------- */

typedef struct xenpt_error *each_fn(struct xen_host *host, const xc_domaininfo_t *info,
				    void *arg);

/* In the order of their ids, which is Xen's: xen/common/domain.c, domain_create(). */
static struct xenpt_error *for_each(struct xen_host *host, each_fn *fn, void *arg)
{
	_cleanup_free_ xc_domaininfo_t *infos = calloc(BATCH, sizeof(*infos));
	uint32_t first = 0;
	int count = BATCH;

	if (!infos)
		return xenpt_error_no_memory();
	while (count == BATCH && first < DOMID_FIRST_RESERVED) {
		count = xen_calls->xc_domain_getinfolist(host->xc, first, BATCH, infos);
		if (count < 0)
			return xen_host_error(host, errno, "cannot list domains");
		for (int i = 0; i < count && i < BATCH; i++) {
			if (infos[i].domain < first)
				return NULL;
			first = infos[i].domain + UINT32_C(1);
			XENPT_TRY(fn(host, &infos[i], arg));
		}
	}
	return NULL;
}

/* ---- What they are ------------------------------------------------------- */

/* NULL: it has none, or nobody knows it. */
static char *name_of(struct xen_host *host, uint32_t domid)
{
	char path[64], *name;

	if (!host->xs)
		return NULL;
	snprintf(path, sizeof(path), "/local/domain/%" PRIu32 "/name", domid);
	name = xen_calls->xs_read(host->xs, XBT_NULL, path, NULL);
	if (name && !*name) {
		free(name);
		return NULL;
	}
	return name;
}

static char *format_uuid(const xen_domain_handle_t handle)
{
	const uint8_t *h = handle;
	char *text;

	if (asprintf(&text,
		     "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x"
		     "%02x",
		     h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9], h[10],
		     h[11], h[12], h[13], h[14], h[15]) < 0)
		return NULL;
	return text;
}

/*
 * A PVH guest is an HVM guest that has a local APIC emulated, but none of a PC's
 * devices: xen/arch-x86/xen.h, XEN_X86_EMU_*; Domain-0's I/O APIC and PCI do not count.
 */
const char *xen_type(const xc_domaininfo_t *info)
{
	const uint32_t pc = XEN_X86_EMU_PIC | XEN_X86_EMU_PIT | XEN_X86_EMU_RTC |
			    XEN_X86_EMU_PM | XEN_X86_EMU_VGA | XEN_X86_EMU_HPET;

	if (!(info->flags & XEN_DOMINF_hvm_guest))
		return "PV";
	return info->arch_config.emulation_flags & pc ? "HVM" : "PVH";
}

static uint32_t count_vcpus(const xc_domaininfo_t *info)
{
	if (info->max_vcpu_id >= XENPT_VCPUS_MAX) /* XEN_INVALID_MAX_VCPU_ID, too */
		return 0;
	return info->max_vcpu_id + 1;
}

struct xenpt_error *xen_info_init(struct xen_host *host, const xc_domaininfo_t *info,
				  struct hv_info *ret)
{
	struct xen_state state;

	xen_state_of(info, &state);
	*ret = (struct hv_info){
		.name = name_of(host, info->domain),
		.uuid = format_uuid(info->handle),
		.type = xen_type(info),
		.vcpus = count_vcpus(info),
		.memory = info->tot_pages * XENPT_PAGE_SIZE,
		.state = state.state,
		.reason = state.reason,
	};
	xen_host_cpu(&ret->cpu);
	if (!ret->name && asprintf(&ret->name, "domain %u", info->domain) < 0)
		ret->name = NULL;
	return ret->name && ret->uuid ? NULL : xenpt_error_no_memory();
}

void xen_info_deinit(struct hv_info *info)
{
	free(info->name);
	free(info->uuid);
	free(info->why);
	*info = (struct hv_info){};
}

bool xen_is_self(struct xen_host *host, uint32_t domid)
{
	_cleanup_free_ char *self =
		host->xs ? xen_calls->xs_read(host->xs, XBT_NULL, "domid", NULL) : NULL;

	return !domid || (self && strtoul(self, NULL, 10) == domid);
}

/* ---- What they are called ------------------------------------------------ */

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* 32 digits; dashes after the 8th, 12th, 16th and 20th, all of them or none. */
static bool parse_uuid(const char *text, xen_domain_handle_t ret)
{
	bool dashes = strchr(text, '-');
	xen_domain_handle_t handle = {};

	for (unsigned int i = 0; i < 32; i++) {
		bool dash = i == 8 || i == 12 || i == 16 || i == 20;
		int digit;

		if (dashes && dash && *text++ != '-')
			return false;
		digit = digit_of(*text++);
		if (digit < 0)
			return false;
		handle[i / 2] = (uint8_t)(handle[i / 2] << 4 | digit);
	}
	if (*text)
		return false;
	memcpy(ret, handle, sizeof(handle));
	return true;
}

static bool parse_id(const char *text, uint32_t *ret)
{
	uint32_t id = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		id = id * 10 + (uint32_t)(*text - '0');
		if (id >= DOMID_FIRST_RESERVED)
			return false;
	}
	*ret = id;
	return true;
}

struct search {
	const char *name;
	bool has_id, has_handle;
	uint32_t id;
	xen_domain_handle_t handle;
	/* What was found, by the best of the three ways. */
	enum {
		NOTHING,
		BY_NAME,
		BY_UUID,
		BY_ID
	} how;
	unsigned int count; /* by that */
	uint32_t ids[2];
	xc_domaininfo_t info;
};

static struct xenpt_error *look(struct xen_host *host, const xc_domaininfo_t *info,
				void *arg)
{
	_cleanup_free_ char *name = NULL;
	struct search *search = arg;
	unsigned int how = NOTHING;

	if (info->flags & XEN_DOMINF_dying)
		return NULL;
	if (search->has_id && info->domain == search->id) {
		how = BY_ID;
	} else if (search->has_handle &&
		   memcmp(info->handle, search->handle, sizeof(info->handle)) == 0) {
		how = BY_UUID;
	} else {
		name = name_of(host, info->domain);
		if (name && strcmp(name, search->name) == 0)
			how = BY_NAME;
	}
	if (how == NOTHING || how < search->how)
		return NULL;
	if (how > search->how)
		search->count = 0;
	search->how = how;
	if (search->count < 2)
		search->ids[search->count] = info->domain;
	search->count++;
	search->info = *info;
	return NULL;
}

struct xenpt_error *xen_find(struct xen_host *host, const char *text,
			     xc_domaininfo_t *ret)
{
	struct search search = { .name = text };

	search.has_id = parse_id(text, &search.id);
	search.has_handle = parse_uuid(text, search.handle);
	XENPT_TRY(for_each(host, look, &search));
	if (!search.count)
		return xenpt_error_create(
			XENPT_ERROR_NOT_FOUND,
			"there is no domain '%s': name a Xen domain%s, or sim:SCENARIO; "
			"'xenpt list' shows which there are",
			text, host->xs ? "" : " by its id, for there is no xenstored");
	if (search.count > 1)
		return xenpt_error_create(
			XENPT_ERROR_INVALID,
			"there are %u domains '%s' (%u, %u%s): name one "
			"by its id",
			search.count, text, search.ids[0], search.ids[1],
			search.count > 2 ? ", …" : "");
	*ret = search.info;
	return NULL;
}

/* ---- Listing ------------------------------------------------------------- */

struct listing {
	hv_list_fn *fn;
	void *arg;
};

static struct xenpt_error *judge(struct xen_host *host, const xc_domaininfo_t *info,
				 struct hv_info *ret)
{
	const struct xen_tracer *tracer;
	const char *why = NULL;

	if (xen_is_self(host, info->domain))
		why = "xenpt runs in it: Xen traces no domain that asks for itself";
	else if (info->flags & XEN_DOMINF_dying)
		why = "it is being destroyed";
	if (why) {
		ret->why = strdup(why);
		return ret->why ? NULL : xenpt_error_no_memory();
	}
	tracer = xen_tracer_find(host, info, &ret->why);
	if (tracer)
		ret->backend = tracer->ops->name;
	return NULL;
}

static struct xenpt_error *list_one(struct xen_host *host, const xc_domaininfo_t *info,
				    void *arg)
{
	const struct listing *listing = arg;
	struct xenpt_error *err;
	struct hv_info shown;

	err = xen_info_init(host, info, &shown);
	if (!err)
		err = judge(host, info, &shown);
	if (!err)
		err = listing->fn(listing->arg, &shown);
	xen_info_deinit(&shown);
	return err;
}

/* Domains of a host that does not let us see them: one line that says so. */
static struct xenpt_error *list_none(struct xenpt_error *why, hv_list_fn *fn, void *arg)
{
	_cleanup_error_ struct xenpt_error *cause = why;
	const struct hv_info info = {
		.name = (char *)"DOMAIN",
		.uuid = (char *)"",
		.type = "Xen",
		.state = HV_OFFERED,
		.why = cause->message,
		.about = "domains of this Xen host",
	};

	return fn(arg, &info);
}

/*
 * Domain-0 is listed too, as by xl: whoever looks for it is told why it cannot be
 * traced.
 */
struct xenpt_error *xen_list(hv_list_fn *fn, void *arg)
{
	_cleanup_(xen_host_cleanup) struct xen_host *host = NULL;
	struct listing listing = { fn, arg };
	struct xenpt_error *err;
	const char *why;

	if (!xen_host_is_there(&why))
		return NULL;
	err = xen_host_create(&host);
	if (err)
		return list_none(err, fn, arg);
	return for_each(host, list_one, &listing);
}
