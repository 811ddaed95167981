/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In the rig's dom0, of a Xen with hv/xen: what becomes of a trace whose reader is late,
 * or whose buffer the guest spoils. Of vCPU 0:
 *
 *	total DOMAIN			prints the bytes put out
 *	past DOMAIN N [SECONDS]		it is on, and has put out so many; also of the
 *					stock interface
 *	below DOMAIN N [SECONDS]	… fewer: it was begun anew
 *	waits DOMAIN [SECONDS]		it waits for its reader
 *	has DOMAIN GFN [SECONDS]	there is such a frame
 *	moves DOMAIN [SECONDS]		the log of a guest with scenario=paths grows
 *	take DOMAIN			the frame that the trace comes to next is taken
 *					away, and printed
 *	forge DOMAIN			the table is rewritten: two regions change places
 *	tight DOMAIN			its limit is what it has: no frame is to spare
 *	stop DOMAIN FILE.xpt		vpt-stop.c
 *
 * SECONDS: it is waited for. take and forge are done by the guest's kernel, which is
 * asked for it: scenario=paths. Exit status: 0 yes, 1 no, 99 trouble.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "hv/pt/topa.h"
#include "hv/sim/guest/path.h"
#include "hv/vpt-op.h"
#include "hv/xen-list.h"
#include "tests/rig/rig-vpt.h"

#define PAGE 4096
#define TABLE_ENTRIES (PAGE / sizeof(uint64_t))
#define KB_PER_PAGE 4
#define STATUS_TROUBLE 99
#define LOOK_NS 100000000 /* the guest shall have the CPU */
#define ASK_LOOKS 600     /* a round takes a stepped guest some 10 s */

struct target {
	struct xen_host *host;
	xc_domaininfo_t info;
	uint64_t number; /* past, below, has; moves: what it was */
	bool yes;
};

static struct xenpt_error *failed(const char *what)
{
	return xenpt_error_os(errno, "%s", what);
}

struct xenpt_error *vpt_see(xc_interface *xc, uint32_t domid, struct vpt_seen *ret)
{
	if (vpt_op(xc, domid, 0, XEN_DOMCTL_vmtrace_xenpt_status, &ret->total,
		   &ret->status) < 0)
		return failed("status");
	if (vpt_op(xc, domid, 0, XEN_DOMCTL_vmtrace_xenpt_position, &ret->base,
		   &ret->pointers) < 0)
		return failed("position");
	return NULL;
}

static struct xenpt_error *see(struct target *target, struct vpt_seen *ret)
{
	*ret = (struct vpt_seen){};
	return vpt_see(target->host->xc, target->info.domain, ret);
}

/* To be unmapped. */
static struct xenpt_error *map_frame(struct target *target, uint64_t gpa, void **ret)
{
	xenforeignmemory_handle *fm = target->host->fm;
	xen_pfn_t gfn = gpa / PAGE;
	void *at;
	int err;

	at = xen_calls->fm_map(fm, target->info.domain, PROT_READ | PROT_WRITE, 1, &gfn,
			       &err);
	if (!at)
		return failed("fm_map");
	if (err) {
		xen_calls->fm_unmap(fm, at, 1);
		errno = -err;
		return failed("a frame of it");
	}
	*ret = at;
	return NULL;
}

/* ---- Questions ----------------------------------------------------------- */

static struct xenpt_error *total(struct target *target)
{
	struct vpt_seen seen;

	XENPT_TRY(see(target, &seen));
	printf("%" PRIu64 "\n", seen.total);
	return NULL;
}

/* Of the stock interface, whose ring goes not around here. */
static struct xenpt_error *past_stock(struct target *target)
{
	uint64_t at;

	if (xen_calls->xc_vmtrace_output_position(target->host->xc, target->info.domain,
						  0, &at) < 0)
		return failed("output_position");
	target->yes = at >= target->number;
	return NULL;
}

static struct xenpt_error *past(struct target *target)
{
	struct vpt_seen seen = {};
	struct xenpt_error *err;
	bool is_stock;

	err = see(target, &seen);
	is_stock = err && errno == EBUSY;
	if (is_stock) {
		xenpt_error_destroy(err);
		return past_stock(target);
	}
	XENPT_TRY(err);
	target->yes = seen.status & XENPT_STATUS_ON && seen.status & XENPT_STATUS_TOTAL &&
		      seen.total >= target->number;
	return NULL;
}

static struct xenpt_error *below(struct target *target)
{
	struct vpt_seen seen;

	XENPT_TRY(see(target, &seen));
	target->yes = seen.status & XENPT_STATUS_ON && seen.total < target->number;
	return NULL;
}

static struct xenpt_error *waits(struct target *target)
{
	struct vpt_seen seen;

	XENPT_TRY(see(target, &seen));
	target->yes = seen.status & XENPT_STATUS_WAITS;
	return NULL;
}

static struct xenpt_error *has(struct target *target)
{
	xenforeignmemory_handle *fm = target->host->fm;
	xen_pfn_t gfn = target->number;
	void *at;
	int err;

	at = xen_calls->fm_map(fm, target->info.domain, PROT_READ, 1, &gfn, &err);
	if (!at)
		return failed("fm_map");
	xen_calls->fm_unmap(fm, at, 1);
	target->yes = !err;
	return NULL;
}

/* The first time says no. */
static struct xenpt_error *moves(struct target *target)
{
	uint64_t before = target->number;
	void *log;

	XENPT_TRY(map_frame(target, PATH_BASE, &log));
	target->number = ((volatile struct path_log *)log)->count;
	xen_calls->fm_unmap(target->host->fm, log, 1);
	target->yes = before && target->number != before;
	return NULL;
}

/* ---- What a guest can do ------------------------------------------------- */

static size_t regions_of(const uint64_t *table)
{
	size_t count = 0;

	while (count < TABLE_ENTRIES - 1 && !(table[count] & XPT_TOPA_END))
		count++;
	return count;
}

/* The guest's kernel does it when a round ends. */
static struct xenpt_error *ask(struct target *target, enum path_request what,
			       uint64_t frame, size_t first, size_t second)
{
	const struct timespec wait = { .tv_nsec = LOOK_NS };
	struct path_log *log;
	void *page;
	uint32_t answer = what;

	XENPT_TRY(map_frame(target, PATH_BASE, &page));
	log = page;
	log->frame = frame;
	log->words[0] = (uint32_t)first;
	log->words[1] = (uint32_t)second;
	__atomic_store_n(&log->request, what, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < ASK_LOOKS; i++) {
		answer = __atomic_load_n(&log->request, __ATOMIC_ACQUIRE);
		if (answer != what)
			break;
		nanosleep(&wait, NULL);
	}
	xen_calls->fm_unmap(target->host->fm, page, 1);
	target->yes = answer == PATH_DONE;
	return NULL;
}

static struct xenpt_error *take_next(struct target *target, const uint64_t *table,
				     uint64_t pointers)
{
	size_t at = (pointers >> 7 & 0x1ffffff) + 1;
	uint64_t gfn = table[at < regions_of(table) ? at : 0] / PAGE;

	printf("%#" PRIx64 "\n", gfn);
	return ask(target, PATH_TAKE, gfn, 0, 0);
}

static struct xenpt_error *take(struct target *target)
{
	struct xenpt_error *err;
	struct vpt_seen seen;
	void *table;

	XENPT_TRY(see(target, &seen));
	XENPT_TRY(map_frame(target, seen.base, &table));
	err = take_next(target, table, seen.pointers);
	xen_calls->fm_unmap(target->host->fm, table, 1);
	return err;
}

/*
 * All entries are still good ones, and the trace goes on: nothing but a comparison of the
 * table tells.
 */
static struct xenpt_error *forge(struct target *target)
{
	struct vpt_seen seen;
	size_t count, at;
	void *table;

	XENPT_TRY(see(target, &seen));
	XENPT_TRY(map_frame(target, seen.base, &table));
	count = regions_of(table);
	xen_calls->fm_unmap(target->host->fm, table, 1);
	at = seen.pointers >> 7 & 0x1ffffff;
	target->yes = count >= 3;
	if (!target->yes)
		return NULL;
	return ask(target, PATH_SWAP, seen.base / PAGE, (at + 1) % count,
		   (at + 2) % count);
}

static struct xenpt_error *tight(struct target *target)
{
	if (xen_calls->xc_domain_setmaxmem(target->host->xc, target->info.domain,
					   target->info.tot_pages * KB_PER_PAGE) < 0)
		return failed("setmaxmem");
	return NULL;
}

/* ---- the command line ---------------------------------------------------- */

static const struct command {
	const char *name;
	struct xenpt_error *(*run)(struct target *target);
	bool number, waits; /* arguments that it has */
} commands[] = {
	{ "total", total, false, false }, { "past", past, true, true },
	{ "below", below, true, true },   { "waits", waits, false, true },
	{ "has", has, true, true },       { "moves", moves, false, true },
	{ "take", take, false, false },   { "forge", forge, false, false },
	{ "tight", tight, false, false },
};

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(name, commands[i].name))
			return &commands[i];
	}
	return NULL;
}

static struct xenpt_error *repeat(const struct command *command, struct target *target,
				  uint64_t seconds)
{
	const struct timespec wait = { .tv_nsec = LOOK_NS };
	struct timespec now, end;
	struct xenpt_error *err;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += (time_t)seconds;
	for (;;) {
		err = command->run(target);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if ((!err && target->yes) || now.tv_sec > end.tv_sec ||
		    (now.tv_sec == end.tv_sec && now.tv_nsec >= end.tv_nsec))
			return err;
		/* Before it is set up, or while it begins anew, nobody can be asked. */
		xenpt_error_destroy(err);
		nanosleep(&wait, NULL);
	}
}

static struct xenpt_error *run(int argc, char **argv, bool *yes_ret)
{
	const struct command *command = argc > 2 ? find(argv[1]) : NULL;
	_cleanup_(xen_host_cleanup) struct xen_host *host = NULL;
	struct target target = { .yes = true };
	struct xenpt_error *err;
	int last = 3;

	if (argc == 4 && !strcmp(argv[1], "stop"))
		return vpt_stop_run(argv[2], argv[3]);
	if (command)
		last += command->number;
	if (!command || argc < last || argc > last + command->waits)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "which command, of what: see rig-vpt.c");
	if (command->number)
		target.number = strtoull(argv[3], NULL, 0);
	XENPT_TRY(xen_host_create(&host));
	target.host = host;
	XENPT_TRY(xen_find(host, argv[2], &target.info));
	err = repeat(command, &target, argc > last ? strtoull(argv[last], NULL, 10) : 0);
	*yes_ret = target.yes;
	return err;
}

int main(int argc, char **argv)
{
	bool yes = true;
	_cleanup_error_ struct xenpt_error *err = run(argc, argv, &yes);

	if (err) {
		fprintf(stderr, "rig-vpt: %s\n", err->message);
		return STATUS_TROUBLE;
	}
	return !yes;
}
