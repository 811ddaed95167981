/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host: is it Xen, may we, and can it trace? A call that fails is a finding as well.
 * Nothing is changed.
 */
#include <cpuid.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/utsname.h>

#include "hv/vpt.h"
#include "hv/xen-check.h"
#include "hv/xen-list.h"

#include <xen/memory.h>
#include <xen/version.h>

struct xenpt_error *xen_check_say(struct xen_check *check, enum hv_level level,
				  const char *what, const char *remedy, const char *found,
				  ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;
	int length;

	va_start(ap, found);
	length = vasprintf(&text, found, ap);
	va_end(ap);
	if (length < 0) {
		text = NULL;
		return xenpt_error_no_memory();
	}
	check->bad |= level == HV_BAD;
	return check->fn(check->arg, &(const struct hv_finding){
					     .level = level,
					     .what = what,
					     .found = text,
					     .remedy = level == HV_GOOD ? NULL : remedy,
				     });
}

struct xenpt_error *xen_check_failed(struct xen_check *check, enum hv_level level,
				     const char *what, int errnum, const char *tried)
{
	_cleanup_error_ struct xenpt_error *err =
		xen_host_error(check->host, errnum, "%s", tried);

	return xen_check_say(check, level, what, err->message, "not known");
}

/* ---- The hypervisor ------------------------------------------------------ */

#define VMTRACE_SINCE (4 << 16 | 15) /* Xen's commit 45ba9a7d76 and those around it */

static struct xenpt_error *check_hypervisor(struct xen_check *check)
{
	xc_interface *xc = check->host->xc;
	char extra[XEN_EXTRAVERSION_LEN + 1] = "";
	int version = xen_calls->xc_version(xc, XENVER_version, NULL);

	if (version < 0)
		return xen_check_failed(check, HV_BAD, "hypervisor", errno,
					"its version");
	if (xen_calls->xc_version(xc, XENVER_extraversion, extra) < 0)
		*extra = '\0';
	extra[XEN_EXTRAVERSION_LEN] = '\0';
	return xen_check_say(check, version < VMTRACE_SINCE ? HV_BAD : HV_GOOD,
			     "hypervisor",
			     "install Xen 4.15 or later: older ones cannot trace domains",
			     "Xen %d.%d%s", version >> 16, version & 0xffff, extra);
}

static struct xenpt_error *no_patch(struct xen_check *check, int errnum)
{
	/* Stock Xen takes it for one about a domain that it cannot trace, or for none. */
	if (errnum != EINVAL && errnum != EOPNOTSUPP)
		return xen_check_failed(check, HV_NOTE, "xenpt's patch", errnum,
					"whether Xen has it");
	return xen_check_say(check, HV_GOOD, "xenpt's patch", NULL,
			     "not there: domains are recorded by what stock Xen has, "
			     "within its limits: xenpt-record(1)");
}

/* ---- The machine --------------------------------------------------------- */

/*
 * CPUID 7.0:EBX[25], as it is here: Xen hides it from a dom0 whose CPUID it can filter,
 * so that only its being there says something.
 */
static bool has_pt_here(void)
{
	unsigned int eax, ebx, ecx, edx;

	return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && ebx & 1u << 25;
}

/* For a CPU that Xen cannot have trace guests, as it was started. */
static const char *no_pt_remedy(const struct xen_check *check,
				const struct xenpt_cpu *cpu)
{
	if (!cpu->intel)
		return "Intel PT is of Intel's CPUs alone: record on another host; "
		       "embedded guests can be recorded here";
	/* Of an Intel CPU: VMX with EPT, which software mode takes. */
	if (check->patched && check->capabilities & XEN_SYSCTL_PHYSCAP_hap)
		return "for software mode, to try things out, put \"apicv=0\" on Xen's "
		       "command line, and no \"xenpt=0\"; to record at speed it takes "
		       "Intel PT in VMX operation, in a Xen on the bare machine";
	if (has_pt_here())
		return "the CPU has Intel PT, but it does not run in VMX operation (as "
		       "before Skylake), or Xen was built without CONFIG_VMTRACE";
	return "it takes Intel PT in VMX operation: Skylake or later, with Xen on the "
	       "bare "
	       "machine and not in another hypervisor, and Intel PT not disabled in the "
	       "firmware ('xl info' has vmtrace in virt_caps then)";
}

/* What there is to do about being slow. */
#define SOFT_REMEDY                                                                  \
	"nothing, to try things out; to record at speed it takes an Intel CPU with " \
	"Processor Trace in VMX operation, through EPT"

static struct xenpt_error *say_patch(struct xen_check *check, const struct xenpt_cpu *cpu,
				     uint64_t version)
{
	const char *why = vpt_why_no_cpu(check->caps, check->capabilities);
	bool pt = check->capabilities & XEN_SYSCTL_PHYSCAP_vmtrace;

	if (why)
		return xen_check_say(check, HV_NOTE, "xenpt's patch",
				     pt ? why : no_pt_remedy(check, cpu),
				     "there, version %" PRIu64
				     ", but this CPU cannot trace guests%s",
				     version, pt ? " by it" : "");
	if (check->caps & XENPT_CAP_EPT)
		return xen_check_say(check, HV_GOOD, "xenpt's patch", NULL,
				     "there, version %" PRIu64
				     ": the CPU traces, through EPT",
				     version);
	check->soft = true;
	return xen_check_say(check, HV_NOTE, "xenpt's patch", SOFT_REMEDY,
			     "there, version %" PRIu64 ": software mode: the hypervisor "
			     "runs what is traced one instruction at a time, by %s",
			     version,
			     check->caps & XENPT_CAP_MTF ? "the monitor trap flag"
							 : "RFLAGS.TF");
}

static struct xenpt_error *check_patch(struct xen_check *check,
				       const struct xenpt_cpu *cpu)
{
	uint64_t version = 0;

	if (vpt_op(check->host->xc, 0, 0, XEN_DOMCTL_vmtrace_xenpt_caps, &version,
		   &check->caps) < 0)
		return no_patch(check, errno);
	check->patched = true;
	return say_patch(check, cpu, version);
}

static struct xenpt_error *check_processor(struct xen_check *check,
					   const struct xenpt_cpu *cpu)
{
	bool can = check->capabilities & XEN_SYSCTL_PHYSCAP_vmtrace;
	const char *vendor = cpu->intel ? "Intel" : "not Intel,";

	check->no_vmtrace = !can;
	if (check->soft)
		return xen_check_say(check, HV_NOTE, "processor", SOFT_REMEDY,
				     "%s family %u model %u: no Processor Trace for "
				     "guests, but software mode%s",
				     vendor, cpu->family, cpu->model,
				     can ? " also for vmtrace" : "");
	return xen_check_say(check, can ? HV_GOOD : HV_BAD, "processor",
			     no_pt_remedy(check, cpu),
			     "%s family %u model %u: Xen says that it %s", vendor,
			     cpu->family, cpu->model, can ? "can trace" : "cannot trace");
}

static struct xenpt_error *check_hap(struct xen_check *check)
{
	if (check->capabilities & XEN_SYSCTL_PHYSCAP_hap)
		return xen_check_say(check, HV_GOOD, "HAP", NULL,
				     "the CPU's second page tables are used");
	return xen_check_say(check, HV_BAD, "HAP",
			     "enable VT-x with EPT in the firmware, and take hap=0 off "
			     "Xen's command line: with shadow page tables a trace names "
			     "Xen's page tables, not the guest's",
			     "none");
}

static struct xenpt_error *check_machine(struct xen_check *check)
{
	struct xenpt_cpu cpu = {};
	xc_physinfo_t info = {};
	int errnum = 0;

	xen_host_cpu(&cpu);
	if (xen_calls->xc_physinfo(check->host->xc, &info) < 0)
		errnum = errno;
	else
		check->capabilities = info.capabilities;
	XENPT_TRY(check_patch(check, &cpu));
	if (errnum) {
		check->no_vmtrace = true;
		return xen_check_failed(check, HV_BAD, "processor", errnum,
					"what the machine can do");
	}
	XENPT_TRY(check_processor(check, &cpu));
	return check_hap(check);
}

/* ---- dom0 ---------------------------------------------------------------- */

/*
 * Without a domain that has a trace buffer: Xen refuses all that is asked of oneself
 * with EPERM (rcu_lock_remote_domain_by_id()), but a kernel that knows no sizes takes it
 * for a mapping to nowhere (EINVAL), or does not know resources at all.
 */
static struct xenpt_error *check_kernel(struct xen_check *check)
{
	struct utsname name = {};
	size_t size;

	uname(&name);
	if (xen_calls->fm_resource_size(check->host->fm, 0, XENMEM_resource_grant_table,
					XENMEM_resource_grant_table_id_shared,
					&size) == 0 ||
	    (errno != EINVAL && errno != EOPNOTSUPP && errno != ENOTTY))
		return xen_check_say(check, HV_GOOD, "dom0 kernel", NULL,
				     "Linux %s, maps trace buffers", name.release);
	check->no_sizes = true;
	return xen_check_say(check, HV_BAD, "dom0 kernel",
			     "run Linux 5.11 or later in dom0 (Debian 12's "
			     "linux-image-amd64 is)",
			     "Linux %s, does not map trace buffers: %s", name.release,
			     strerror(errno));
}

static struct xenpt_error *check_xenstored(struct xen_check *check)
{
	if (check->host->xs)
		return NULL;
	return xen_check_say(
		check, HV_NOTE, "xenstored",
		"start it, as with 'systemctl start xen' or xenstored.service: "
		"without it domains have numbers and no names, and their end "
		"is noticed late",
		"cannot be reached");
}

static struct xenpt_error *check_host(struct xen_check *check)
{
	XENPT_TRY(check_hypervisor(check));
	XENPT_TRY(xen_check_say(check, HV_GOOD, "control domain", NULL,
				"this is it, with a libxenctrl that fits"));
	XENPT_TRY(check_machine(check));
	XENPT_TRY(check_kernel(check));
	return check_xenstored(check);
}

/* ---- All of it ----------------------------------------------------------- */

struct xenpt_error *xen_check(const char *domain, hv_finding_fn *fn, void *arg)
{
	_cleanup_(xen_host_cleanup) struct xen_host *host = NULL;
	_cleanup_error_ struct xenpt_error *err = NULL;
	struct xen_check check = { .fn = fn, .arg = arg };
	xc_domaininfo_t info;
	const char *why;

	if (!xen_host_is_there(&why))
		return xen_check_say(&check, HV_BAD, "control domain",
				     "Xen domains are recorded in the control domain "
				     "(dom0) of a Xen host; only embedded guests can be "
				     "recorded here: 'xenpt list' shows them",
				     "this is none: %s", why);
	err = xen_host_create(&host);
	if (err)
		return xen_check_say(&check, HV_BAD, "control domain", err->message,
				     "the hypervisor cannot be asked");
	check.host = host;
	XENPT_TRY(check_host(&check));
	if (!domain)
		return NULL;
	err = xen_find(host, domain, &info);
	if (err)
		return xen_check_say(&check, HV_BAD, "domain", err->message, "not found");
	return xen_check_domain(&check, &info);
}
