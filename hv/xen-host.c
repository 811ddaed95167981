/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <cpuid.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "hv/xen-host.h"

#include <xen/version.h>

/* ---- What the libraries say ---------------------------------------------- */

/* Keeps what was said last: it belongs to the error, not on the terminal. */
struct logger {
	xentoollog_logger logger; /* first */
	char message[256];
};

static void keep_message(xentoollog_logger *base, xentoollog_level level, int errnum,
			 const char *context, const char *format, va_list ap)
{
	struct logger *logger = (struct logger *)base;

	if (level >= XTL_WARN)
		vsnprintf(logger->message, sizeof(logger->message), format, ap);
}

static void destroy_logger(xentoollog_logger *logger)
{
	free(logger);
}

static xentoollog_logger *create_logger(void)
{
	struct logger *logger = calloc(1, sizeof(*logger));

	if (!logger)
		return NULL;
	logger->logger.vmessage = keep_message;
	logger->logger.destroy = destroy_logger;
	return &logger->logger;
}

/* ---- What to do about an error ---------------------------------------------- */

/*
 * The numbers of domctl and sysctl calls change with Xen's version, and Xen refuses
 * those of another: xen/common/domctl.c, sysctl.c.
 */
static char *version_advice(struct xen_host *host)
{
	xen_extraversion_t extra = "";
	char *advice;
	int version;

	version = xen_calls->xc_version(host->xc, XENVER_version, NULL);
	if (version < 0)
		return NULL;
	if (xen_calls->xc_version(host->xc, XENVER_extraversion, extra) < 0)
		*extra = '\0';
	if (asprintf(&advice,
		     "the hypervisor is Xen %d.%d%.*s, but this xenpt was built for "
		     "libxenctrl " VERSION_XEN ": use one that was built on that Xen",
		     version >> 16, version & 0xffff, (int)sizeof(extra), extra) < 0)
		return NULL;
	return advice;
}

static char *find_advice(struct xen_host *host, int errnum)
{
	switch (errnum) {
	case EACCES:
		return host->xc ? version_advice(host) : strdup("run xenpt as root");
	case EPERM:
		return strdup("only root in Xen's control domain (dom0) may, and only if "
			      "Xen's security policy (XSM) lets it");
	case ESRCH:
		return strdup("the domain is not there any more");
	case ENOSYS:
		return strdup(
			"this Xen, or the kernel of its control domain, is too old");
	default:
		return NULL;
	}
}

/* Put what follows a message behind it. */
static void append(struct xenpt_error *err, const char *before, const char *text,
		   const char *after)
{
	char *message;

	if (!text || !*text || err->code == XENPT_ERROR_NO_MEMORY)
		return;
	if (asprintf(&message, "%s%s%s%s", err->message, before, text, after) < 0)
		return; /* the message without it is better than none */
	free(err->message);
	err->message = message;
}

struct xenpt_error *xen_host_error(struct xen_host *host, int errnum, const char *fmt,
				   ...)
{
	struct logger *logger = (struct logger *)host->log;
	_cleanup_free_ char *context = NULL;
	_cleanup_free_ char *advice = NULL;
	char said[sizeof(logger->message)] = "";
	struct xenpt_error *err;
	va_list ap;
	int length;

	/* A library that fails without a reason has failed all the same. */
	if (!errnum)
		errnum = EIO;
	if (logger) {
		memcpy(said, logger->message, sizeof(said));
		*logger->message = '\0';
	}
	va_start(ap, fmt);
	length = vasprintf(&context, fmt, ap);
	va_end(ap);
	if (length < 0) {
		context = NULL;
		return xenpt_error_no_memory();
	}
	err = xenpt_error_os(errnum, "%s", context);
	advice = find_advice(host, errnum);
	append(err, " (libxc: ", said, ")");
	append(err, ": ", advice, "");
	return err;
}

/* ---- Whether there is one ---------------------------------------------------- */

/* Whether the file's beginning has @text; *@there_ret: there is such a file. */
static bool file_has(const char *name, const char *text, bool *there_ret)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[256], buf[256];
	size_t size;

	*there_ret = false;
	if (snprintf(path, sizeof(path), "%s%s", xen_calls_root, name) >=
	    (int)sizeof(path))
		return false;
	file = fopen(path, "re");
	if (!file)
		return false;
	*there_ret = true;
	size = fread(buf, 1, sizeof(buf) - 1, file);
	buf[size] = '\0';
	return strstr(buf, text);
}

static bool is_file(const char *name)
{
	char path[256];

	return snprintf(path, sizeof(path), "%s%s", xen_calls_root, name) <
		       (int)sizeof(path) &&
	       access(path, F_OK) == 0;
}

bool xen_host_is_there(const char **why_ret)
{
	bool there, control;

	if (!is_file("/dev/xen/privcmd") && !is_file("/proc/xen/privcmd")) {
		*why_ret = file_has("/sys/hypervisor/type", "xen", &there)
				   ? "there is no /dev/xen/privcmd: modprobe xen-privcmd"
				   : "this machine does not run on Xen: boot it with "
				     "Xen's hypervisor";
		return false;
	}
	/* Without xenfs mounted there it is not known, and the calls will tell. */
	control = file_has("/proc/xen/capabilities", "control_d", &there);
	if (there && !control) {
		*why_ret = "this is a guest of Xen: run xenpt in the control domain "
			   "(dom0)";
		return false;
	}
	return true;
}

/* ---- Handles ----------------------------------------------------------------- */

static struct xenpt_error *open_handles(struct xen_host *host)
{
	xc_domaininfo_t info;

	host->log = create_logger();
	if (!host->log)
		return xenpt_error_no_memory();
	errno = 0;
	host->xc = xen_calls->xc_open(host->log);
	if (!host->xc)
		return xen_host_error(host, errno, "/dev/xen/privcmd");
	/* Whether it may be asked, and in these numbers, is known only once it is. */
	if (xen_calls->xc_domain_getinfolist(host->xc, 0, 1, &info) < 0)
		return xen_host_error(host, errno, "the hypervisor does not answer");
	errno = 0;
	host->fm = xen_calls->fm_open(host->log, 0);
	if (!host->fm)
		return xen_host_error(host, errno, "guest memory cannot be mapped");
	host->xs = xen_calls->xs_open(0);
	return NULL;
}

struct xenpt_error *xen_host_create(struct xen_host **ret)
{
	_cleanup_(xen_host_cleanup) struct xen_host *host = NULL;
	const char *why;

	if (!xen_host_is_there(&why))
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED, "%s", why);
	host = calloc(1, sizeof(*host));
	if (!host)
		return xenpt_error_no_memory();
	XENPT_TRY(open_handles(host));
	*ret = no_cleanup_ptr(host);
	return NULL;
}

void xen_host_destroy(struct xen_host *host)
{
	if (!host)
		return;
	if (host->xs)
		xen_calls->xs_close(host->xs);
	if (host->fm)
		xen_calls->fm_close(host->fm);
	if (host->xc)
		xen_calls->xc_close(host->xc);
	if (host->log)
		host->log->destroy(host->log);
	free(host);
}

/* ---- The CPU ------------------------------------------------------------------ */

/* SDM volume 2, CPUID: family and model have extensions for what did not fit. */
static void take_signature(uint32_t eax, struct xenpt_cpu *cpu)
{
	unsigned int family = eax >> 8 & 15, model = eax >> 4 & 15;

	if (family == 6 || family == 15)
		model |= (eax >> 16 & 15) << 4;
	if (family == 15)
		family += eax >> 20 & 255;
	cpu->family = (uint16_t)family;
	cpu->model = (uint8_t)model;
	cpu->stepping = eax & 15;
}

void xen_host_cpu(struct xenpt_cpu *ret)
{
	unsigned int eax, ebx, ecx, edx;
	struct xenpt_cpu cpu = {};

	if (__get_cpuid(0, &eax, &ebx, &ecx, &edx))
		cpu.intel = ebx == signature_INTEL_ebx && ecx == signature_INTEL_ecx &&
			    edx == signature_INTEL_edx;
	if (__get_cpuid(1, &eax, &ebx, &ecx, &edx))
		take_signature(eax, &cpu);
	if (cpu.intel && __get_cpuid(0x15, &eax, &ebx, &ecx, &edx)) {
		cpu.cpuid_15_eax = eax;
		cpu.cpuid_15_ebx = ebx;
	}
	/* The base frequency, MHz: the ratio that MSR_PLATFORM_INFO has, too. */
	if (cpu.intel && __get_cpuid(0x16, &eax, &ebx, &ecx, &edx))
		cpu.nom_freq = (uint8_t)((eax & 0xffff) / 100);
	*ret = cpu;
}
