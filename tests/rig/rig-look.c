/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In the rig's dom0: hv/'s own functions against a real Xen, on a machine where no CPU
 * has PT. A tracer that takes every domain and traces none is what it opens them by; all
 * else is what "xenpt record" does.
 *
 *	rig-look walk DOMAIN		rig-walk.c
 *	rig-look registers DOMAIN	against the Linux guest's report; as walk, if it
 *					spins: not in the handler of an interrupt
 *	rig-look core DOMAIN FILE
 *	rig-look watch DOMAIN [FILE]	attach, then wait for its end; make FILE before
 *	rig-look hold DOMAIN FILE	attach, pause, make FILE, wait to be killed
 *	rig-look params DOMAIN		all that Xen says of it, without attaching
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hv/backend.h"
#include "hv/xen-list.h"
#include "libxenpt/cleanup.h"
#include "tests/rig/report.h"
#include "tests/rig/rig-walk.h"

#include <xen/hvm/params.h>

#define RAM 0x100000 /* all guests have some there */

/* ---- Commands ------------------------------------------------------------ */

static void domain_cleanup(struct hv_domain **domain)
{
	if (*domain)
		(*domain)->ops->close(*domain);
}

static struct xenpt_error *make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	if (fd < 0)
		return xenpt_error_os(errno, "%s", path);
	close(fd);
	return NULL;
}

static struct xenpt_error *look(const char *what, const char *name, const char *file)
{
	_cleanup_(domain_cleanup) struct hv_domain *domain = NULL;
	struct xenpt_registers regs;

	XENPT_TRY(hv_xen_ops.open(name, NULL, &domain));
	XENPT_TRY(domain->ops->pause(domain));
	XENPT_TRY(domain->ops->registers(domain, 0, &regs));
	if (!strcmp(what, "core"))
		return rig_core(domain, file);
	if (regs.cpl == 0)
		return xenpt_error_create(XENPT_ERROR_NOT_FOUND, "it is in its kernel");
	if (!strcmp(what, "registers"))
		return rig_registers(domain->mem, &regs);
	return rig_walk(domain->mem, &regs);
}

static struct xenpt_error *hold(const char *name, const char *file)
{
	_cleanup_(domain_cleanup) struct hv_domain *domain = NULL;

	XENPT_TRY(hv_xen_ops.open(name, NULL, &domain));
	XENPT_TRY(xen_triple_fault_catch(xen_domain_of(domain)));
	XENPT_TRY(domain->ops->pause(domain));
	XENPT_TRY(make_file(file));
	for (;;)
		pause();
}

static const char *state_name(enum hv_state state)
{
	static const char *const names[] = {
		[HV_RUNNING] = "running",
		[HV_PAUSED] = "paused",
		[HV_CRASHED] = "crashed",
		[HV_ENDED] = "ended",
	};

	return names[state];
}

/*
 * What it dies of, and that what is asked of it from then on is no error: with a page
 * mapped, which keeps Xen from freeing it before this ends.
 */
static struct xenpt_error *watch(const char *name, const char *file)
{
	_cleanup_(domain_cleanup) struct hv_domain *domain = NULL;
	struct hv_event event = {};
	struct xenpt_registers regs;
	uint64_t word;

	XENPT_TRY(hv_xen_ops.open(name, NULL, &domain));
	XENPT_TRY(xen_triple_fault_catch(xen_domain_of(domain)));
	if (!xenpt_mem_read(domain->mem, RAM, &word, sizeof(word)))
		return xenpt_error_create(XENPT_ERROR_NOT_FOUND, "no memory");
	if (file)
		XENPT_TRY(make_file(file));
	while (domain->info->state != HV_CRASHED && domain->info->state != HV_ENDED) {
		struct pollfd fd = { domain->ops->fd(domain), POLLIN, 0 };

		if (poll(&fd, 1, -1) < 0)
			return xenpt_error_os(errno, "poll");
		XENPT_TRY(domain->ops->event(domain, &event));
	}
	XENPT_TRY(domain->ops->pause(domain));
	XENPT_TRY(domain->ops->registers(domain, 0, &regs));
	xenpt_mem_read(domain->mem, RAM, &word, sizeof(word));
	printf("%s: %s%s, mode %u\n", state_name(domain->info->state),
	       domain->info->reason ? domain->info->reason : "-",
	       xen_domain_of(domain)->gone ? ", gone" : "", regs.mode);
	return NULL;
}

/* In the order of their numbers, so that two can be compared by diff. */
static struct xenpt_error *params(const char *name)
{
	_cleanup_(xen_host_cleanup) struct xen_host *host = NULL;
	xc_domaininfo_t info;

	XENPT_TRY(xen_host_create(&host));
	XENPT_TRY(xen_find(host, name, &info));
	printf("flags %#x pages %" PRIu64 " max %" PRIu64 " paged %" PRIu64
	       " shared %" PRIu64 " vcpus %u\n",
	       info.flags & (XEN_DOMINF_dying | XEN_DOMINF_shutdown | XEN_DOMINF_paused),
	       (uint64_t)info.tot_pages, (uint64_t)info.max_pages,
	       (uint64_t)info.paged_pages, (uint64_t)info.shr_pages,
	       info.nr_online_vcpus);
	for (uint32_t i = 0; i < HVM_NR_PARAMS; i++) {
		uint64_t value;

		if (xen_calls->xc_hvm_param_get(host->xc, info.domain, i, &value) == 0)
			printf("param %u %#" PRIx64 "\n", i, value);
	}
	return NULL;
}

static struct xenpt_error *run(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	const char *file = argc > 3 ? argv[3] : NULL;

	if (!strcmp(what, "walk") || !strcmp(what, "registers") ||
	    (!strcmp(what, "core") && file))
		return look(what, argv[2], file);
	if (!strcmp(what, "hold") && file)
		return hold(argv[2], file);
	if (!strcmp(what, "watch"))
		return watch(argv[2], file);
	if (!strcmp(what, "params"))
		return params(argv[2]);
	return xenpt_error_create(XENPT_ERROR_INVALID,
				  "walk|registers|core|watch|hold|params DOMAIN [FILE]");
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct xenpt_error *err = run(argc, argv);

	if (err)
		fprintf(stderr, "rig-look: %s\n", err->message);
	return err != NULL;
}
