/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The scripted Xen's calls: each does what that of Xen's library and Xen 4.17 do. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/xen-script-calls.h"

#include <xen/version.h>

#define CAPABILITIES "xen-3.0-x86_64 hvm-3.0-x86_64 "

/* What a handle points to. */
struct handle {
	xentoollog_logger *log;
	int pid;
};

static bool is_ours(void)
{
	return getpid() == xen_script->pid;
}

bool script_fails(const char *name)
{
	struct xen_script *script = xen_script;
	unsigned int count = script->fail_count ? script->fail_count : 1;

	if (!is_ours())
		return false;
	script->calls++;
	script->last_call = name;
	if (script->on_call)
		script->on_call(script, name, script->arg);
	if (script->calls == script->end_at)
		xen_script_end(script, script->end_domain, script->end_how);
	if (!script->fail_at || script->calls < script->fail_at ||
	    script->calls - script->fail_at >= count)
		return false;
	script->failed_call = name;
	errno = script->fail_errno;
	return true;
}

int script_fail(int errnum)
{
	errno = errnum;
	return -1;
}

void *script_fail_null(int errnum)
{
	errno = errnum;
	return NULL;
}

/* As libxenctrl does, before it returns. */
static int say_failed(void *handle, const char *name)
{
	xentoollog_logger *log = ((struct handle *)handle)->log;
	int errnum = errno;

	if (log)
		xtl_log(log, XTL_ERROR, errnum, "xc", "%s failed", name);
	return script_fail(errnum);
}

/* ---- Handles --------------------------------------------------------------- */

static void *open_handle(const char *name, xentoollog_logger *log, unsigned int *count)
{
	struct handle *handle;

	if (script_fails(name))
		return NULL;
	handle = malloc(sizeof(*handle));
	if (!handle)
		return NULL;
	handle->log = log;
	handle->pid = getpid();
	if (is_ours())
		++*count;
	return handle;
}

/* As with close(2), what failed is closed all the same. */
static int close_handle(const char *name, void *pointer, unsigned int *count)
{
	bool failed = script_fails(name);
	struct handle *handle = pointer;

	if (!handle)
		return 0;
	if (handle->pid == xen_script->pid && is_ours()) {
		if (!*count)
			xen_script->unbalanced++;
		else
			--*count;
	}
	free(handle);
	return failed ? -1 : 0;
}

static xc_interface *script_xc_open(xentoollog_logger *log)
{
	return open_handle("xc_interface_open", log, &xen_script->xc_handles);
}

static int script_xc_close(xc_interface *xc)
{
	return close_handle("xc_interface_close", xc, &xen_script->xc_handles);
}

static xenforeignmemory_handle *script_fm_open(xentoollog_logger *log, unsigned int flags)
{
	return open_handle("xenforeignmemory_open", log, &xen_script->fm_handles);
}

static int script_fm_close(xenforeignmemory_handle *fm)
{
	return close_handle("xenforeignmemory_close", fm, &xen_script->fm_handles);
}

static xenevtchn_handle *script_evtchn_open(xentoollog_logger *log, unsigned int flags)
{
	return open_handle("xenevtchn_open", log, &xen_script->evtchn_handles);
}

/* With all that is bound to it. */
static int script_evtchn_close(xenevtchn_handle *handle)
{
	if (is_ours())
		script_evtchn_close_all();
	return close_handle("xenevtchn_close", handle, &xen_script->evtchn_handles);
}

static struct xs_handle *script_xs_open(unsigned long flags)
{
	if (xen_script->no_xenstored && is_ours())
		return script_fail_null(ENOENT);
	return open_handle("xs_open", NULL, &xen_script->xs_handles);
}

static void script_xs_close(struct xs_handle *xs)
{
	if (!xs)
		return;
	/* Its watches end with the connection. */
	if (is_ours())
		memset(xen_script->watches, 0, sizeof(xen_script->watches));
	close_handle("xs_close", xs, &xen_script->xs_handles);
}

/* ---- The hypervisor -------------------------------------------------------- */

static int script_version(xc_interface *xc, int cmd, void *arg)
{
	if (script_fails("xc_version"))
		return -1;
	switch (cmd) {
	case XENVER_version:
		return 4 << 16 | 17;
	case XENVER_extraversion:
		memcpy(arg, ".7", sizeof(".7"));
		return 0;
	case XENVER_capabilities:
		memcpy(arg, CAPABILITIES, sizeof(CAPABILITIES));
		return 0;
	case XENVER_commandline:
		memcpy(arg, "", 1);
		return 0;
	default:
		return script_fail(ENOSYS);
	}
}

static int script_physinfo(xc_interface *xc, xc_physinfo_t *info)
{
	if (script_fails("xc_physinfo"))
		return say_failed(xc, "physinfo");
	if (xen_script->domctl_errno)
		return script_fail(xen_script->domctl_errno);
	*info = (xc_physinfo_t){
		.nr_cpus = 4,
		.cpu_khz = 2400000,
		.free_pages = xen_script->free_pages,
		.capabilities = xen_script->capabilities,
	};
	return 0;
}

static void get_info(const struct script_domain *domain, xc_domaininfo_t *ret)
{
	*ret = (xc_domaininfo_t){
		.domain = (domid_t)domain->domid,
		.flags = domain->flags | (uint32_t)domain->code
						 << XEN_DOMINF_shutdownshift,
		.tot_pages = domain->page_count + xen_script_spares(domain),
		.max_pages = domain->max_pages,
		.nr_online_vcpus = domain->vcpu_count,
		.max_vcpu_id = domain->vcpu_count - 1,
	};
	if (domain->pauses)
		ret->flags |= XEN_DOMINF_paused;
	ret->arch_config.emulation_flags = domain->emulation_flags;
	memcpy(ret->handle, domain->handle, sizeof(ret->handle));
}

/* Those from @first on, in the order of their ids. */
static int script_getinfolist(xc_interface *xc, uint32_t first, unsigned int max,
			      xc_domaininfo_t *info)
{
	uint64_t next = first;
	unsigned int count;

	if (script_fails("xc_domain_getinfolist"))
		return say_failed(xc, "getdomaininfolist");
	if (xen_script->domctl_errno)
		return script_fail(xen_script->domctl_errno);
	for (count = 0; count < max; count++) {
		const struct script_domain *found = NULL;

		for (size_t i = 0; i < xen_script->domain_count; i++) {
			const struct script_domain *domain = &xen_script->domains[i];

			if (domain->used && domain->domid >= next &&
			    (!found || domain->domid < found->domid))
				found = domain;
		}
		if (!found)
			break;
		get_info(found, &info[count]);
		next = (uint64_t)found->domid + 1;
	}
	return (int)count;
}

struct script_domain *script_domctl(xc_interface *xc, const char *name, uint32_t domid)
{
	struct script_domain *domain;

	if (script_fails(name)) {
		say_failed(xc, name);
		return NULL;
	}
	if (xen_script->domctl_errno)
		return script_fail_null(xen_script->domctl_errno);
	domain = xen_script_find(xen_script, domid);
	return domain ? domain : script_fail_null(ESRCH);
}

static int script_pause(xc_interface *xc, uint32_t domid)
{
	struct script_domain *domain = script_domctl(xc, "xc_domain_pause", domid);

	if (!domain)
		return -1;
	if (!domid)
		return script_fail(EINVAL);
	domain->pauses++;
	return 0;
}

static int script_unpause(xc_interface *xc, uint32_t domid)
{
	struct script_domain *domain = script_domctl(xc, "xc_domain_unpause", domid);

	if (!domain)
		return -1;
	if (!domain->pauses) {
		xen_script->unbalanced++;
		return script_fail(EINVAL);
	}
	domain->pauses--;
	return 0;
}

static int script_getcontext(xc_interface *xc, uint32_t domid, uint16_t typecode,
			     uint16_t instance, void *buf, uint32_t size)
{
	struct script_domain *domain =
		script_domctl(xc, "xc_domain_hvm_getcontext_partial", domid);

	if (!domain)
		return -1;
	if (!domid || domain->flags & XEN_DOMINF_dying ||
	    !(domain->flags & XEN_DOMINF_hvm_guest) || typecode != HVM_SAVE_CODE(CPU) ||
	    size < sizeof(struct hvm_hw_cpu))
		return script_fail(EINVAL);
	if (instance >= domain->vcpu_count)
		return script_fail(ENOENT);
	if (domain->vcpus[instance].offline)
		return script_fail(ENODATA);
	memcpy(buf, &domain->vcpus[instance].cpu, sizeof(struct hvm_hw_cpu));
	return 0;
}

static struct script_domain *param(xc_interface *xc, const char *name, uint32_t domid,
				   uint32_t number)
{
	struct script_domain *domain = script_domctl(xc, name, domid);

	if (domain &&
	    (number >= SCRIPT_PARAMS || !(domain->flags & XEN_DOMINF_hvm_guest)))
		return script_fail_null(EINVAL);
	return domain;
}

static int script_param_get(xc_interface *xc, uint32_t domid, uint32_t number,
			    uint64_t *value)
{
	struct script_domain *domain = param(xc, "xc_hvm_param_get", domid, number);

	if (!domain)
		return -1;
	*value = domain->params[number];
	return 0;
}

static int script_param_set(xc_interface *xc, uint32_t domid, uint32_t number,
			    uint64_t value)
{
	struct script_domain *domain = param(xc, "xc_hvm_param_set", domid, number);

	if (!domain)
		return -1;
	domain->params[number] = value;
	return 0;
}

/* The newest that fits, after the oldest. */
static int script_readconsolering(xc_interface *xc, char *buf, unsigned int *size,
				  int clear, int incremental, uint32_t *index)
{
	size_t start = incremental ? *index : 0, count = *size;

	if (script_fails("xc_readconsolering"))
		return say_failed(xc, "readconsole");
	if (xen_script->domctl_errno)
		return script_fail(xen_script->domctl_errno);
	if (clear)
		xen_script->console_clears++;
	if (start > xen_script->console_size)
		start = xen_script->console_size;
	if (count > xen_script->console_size - start)
		count = xen_script->console_size - start;
	memcpy(buf, xen_script->console + start, count);
	*size = (unsigned int)count;
	if (index)
		*index = (uint32_t)(start + count);
	return 0;
}

/* ---- xenstored ----------------------------------------------------------------- */

static void *script_xs_read(struct xs_handle *xs, xs_transaction_t t, const char *path,
			    unsigned int *size)
{
	const struct script_domain *domain;
	unsigned int domid;
	char wanted[64];

	if (script_fails("xs_read"))
		return NULL;
	if (strcmp(path, "domid") == 0) {
		snprintf(wanted, sizeof(wanted), "%u", xen_script->self);
		return strdup(wanted);
	}
	if (sscanf(path, "/local/domain/%u/", &domid) != 1)
		return script_fail_null(ENOENT);
	snprintf(wanted, sizeof(wanted), "/local/domain/%u/name", domid);
	domain = xen_script_find(xen_script, domid);
	if (!domain || !*domain->name || strcmp(path, wanted) != 0)
		return script_fail_null(ENOENT);
	if (size)
		*size = (unsigned int)strlen(domain->name);
	return strdup(domain->name);
}

/* A watch fires once when it is set. */
static bool script_xs_watch(struct xs_handle *xs, const char *path, const char *token)
{
	struct xen_script *script = xen_script;

	if (script_fails("xs_watch"))
		return false;
	for (uint8_t i = 0; i < SCRIPT_WATCHES; i++) {
		if (script->watches[i].used)
			continue;
		script->watches[i].used = true;
		snprintf(script->watches[i].path, sizeof(script->watches[i].path), "%s",
			 path);
		snprintf(script->watches[i].token, sizeof(script->watches[i].token), "%s",
			 token);
		return write(script->watch_pipe[1], &i, 1) == 1;
	}
	errno = E2BIG;
	return false;
}

static bool script_xs_unwatch(struct xs_handle *xs, const char *path, const char *token)
{
	struct xen_script *script = xen_script;

	if (script_fails("xs_unwatch"))
		return false;
	for (size_t i = 0; i < SCRIPT_WATCHES; i++) {
		if (script->watches[i].used &&
		    strcmp(script->watches[i].path, path) == 0 &&
		    strcmp(script->watches[i].token, token) == 0) {
			script->watches[i].used = false;
			return true;
		}
	}
	script->unbalanced++;
	errno = ENOENT;
	return false;
}

static int script_xs_fileno(struct xs_handle *xs)
{
	return script_fails("xs_fileno") ? -1 : xen_script->watch_pipe[0];
}

static char **script_xs_check_watch(struct xs_handle *xs)
{
	struct xen_script *script = xen_script;
	uint8_t i;
	char **strings;

	if (script_fails("xs_check_watch"))
		return NULL;
	do {
		if (read(script->watch_pipe[0], &i, 1) != 1)
			return script_fail_null(EAGAIN);
	} while (i >= SCRIPT_WATCHES || !script->watches[i].used);
	/* One block, as the library's. */
	strings = malloc(2 * sizeof(*strings) + sizeof(script->watches[i].path) +
			 sizeof(script->watches[i].token));
	if (!strings)
		return NULL;
	strings[XS_WATCH_PATH] = (char *)(strings + 2);
	strings[XS_WATCH_TOKEN] =
		strings[XS_WATCH_PATH] + sizeof(script->watches[i].path);
	memcpy(strings[XS_WATCH_PATH], script->watches[i].path,
	       sizeof(script->watches[i].path));
	memcpy(strings[XS_WATCH_TOKEN], script->watches[i].token,
	       sizeof(script->watches[i].token));
	return strings;
}

const struct xen_calls xen_script_calls = {
	.xc_open = script_xc_open,
	.xc_close = script_xc_close,
	.xc_version = script_version,
	.xc_physinfo = script_physinfo,
	.xc_domain_getinfolist = script_getinfolist,
	.xc_domain_pause = script_pause,
	.xc_domain_unpause = script_unpause,
	.xc_domain_hvm_getcontext_partial = script_getcontext,
	.xc_domain_maximum_gpfn = script_maximum_gpfn,
	.xc_domain_setmaxmem = script_setmaxmem,
	.xc_domain_populate_physmap = script_populate,
	.xc_domain_decrease_reservation = script_decrease,
	.xc_domctl = script_vmtrace_op,
	.xc_hvm_param_get = script_param_get,
	.xc_hvm_param_set = script_param_set,
	.xc_readconsolering = script_readconsolering,
	.xc_vmtrace_enable = script_enable,
	.xc_vmtrace_disable = script_disable,
	.xc_vmtrace_reset_and_enable = script_reset_and_enable,
	.xc_vmtrace_output_position = script_output_position,
	.xc_vmtrace_get_option = script_get_option,
	.xc_vmtrace_set_option = script_set_option,
	.fm_open = script_fm_open,
	.fm_close = script_fm_close,
	.fm_map = script_map,
	.fm_map2 = script_map2,
	.fm_unmap = script_unmap,
	.fm_resource_size = script_resource_size,
	.fm_map_resource = script_map_resource,
	.fm_unmap_resource = script_unmap_resource,
	.evtchn_open = script_evtchn_open,
	.evtchn_close = script_evtchn_close,
	.evtchn_fd = script_evtchn_fd,
	.evtchn_bind_interdomain = script_evtchn_bind,
	.evtchn_pending = script_evtchn_pending,
	.evtchn_unmask = script_evtchn_unmask,
	.evtchn_unbind = script_evtchn_unbind,
	.xs_open = script_xs_open,
	.xs_close = script_xs_close,
	.xs_read = script_xs_read,
	.xs_watch = script_xs_watch,
	.xs_unwatch = script_xs_unwatch,
	.xs_fileno = script_xs_fileno,
	.xs_check_watch = script_xs_check_watch,
};
