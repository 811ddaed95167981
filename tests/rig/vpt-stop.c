/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables of several pages, in no order, with regions of several sizes, in none either;
 * the last of them stops the trace:
 *
 *	table 0: | 4k INT | 8k | END ─▶
 *	table 2: | 4k | END ─▶
 *	table 1: | 4k INT | 4k STOP |
 *
 * A running guest gets frames for them, and loses them again, without the trace.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>

#include "hv/backend.h"
#include "hv/pt/msr.h"
#include "hv/pt/topa.h"
#include "hv/vpt.h"
#include "hv/xen-frames.h"
#include "tests/rig/rig-vpt.h"

#define PAGE BUFFER_PAGE
#define PATIENCE 100000 /* ms */

#define FRAMES 8 /* tables and regions, all in a row */

/* By frames from the first one; in the order of the stream. */
static const struct region {
	uint64_t frame, pages, flags;
} regions[] = {
	{ 7, 1, XPT_TOPA_INT },
	{ 4, 2, 0 },
	{ 6, 1, XPT_TOPA_INT },
	{ 3, 1, XPT_TOPA_STOP },
};
#define REGIONS (sizeof(regions) / sizeof(regions[0]))

static const struct table {
	size_t frame, first, count, next; /* next: its frame; a STOP comes before it */
} tables[] = { { 0, 0, 1, 2 }, { 2, 1, 1, 1 }, { 1, 2, 2, 0 } };
#define TABLES (sizeof(tables) / sizeof(tables[0]))

/* In the stream: behind the first INT, behind the next region, and so on. */
#define AT_INT (1 * PAGE)
#define AFTER_INT (3 * PAGE)
#define AT_INT_2 (4 * PAGE)
#define AT_STOP (5 * PAGE)

/* A RET is a packet, and not a bit: so they are full sooner. */
#define CTL                                                               \
	(XPT_CTL_BRANCH_EN | XPT_CTL_OS | XPT_CTL_USER | XPT_CTL_TSC_EN | \
	 XPT_CTL_DIS_RETC)

struct stop {
	struct xen_domain *xen;
	struct vpt_events events;
	uint64_t gfn;
	uint8_t *at; /* all frames */
};

XENPT_DEFINE_CLEANUP(struct buffer, buffer, buffer_destroy)
XENPT_DEFINE_CLEANUP(struct xenpt_writer, writer, xenpt_writer_destroy)
XENPT_DEFINE_CLEANUP(struct xenpt_file, file, xenpt_file_close)
XENPT_DEFINE_CLEANUP(struct xenpt_packets, packets, xenpt_packets_destroy)

static struct xenpt_error *wrong(const char *what, uint64_t got)
{
	return xenpt_error_create(XENPT_ERROR_FORMAT, "%s: %" PRIu64 " (%#" PRIx64 ")",
				  what, got, got);
}

static int op(struct stop *stop, uint32_t cmd, uint64_t *key, uint64_t *value)
{
	return vpt_op(stop->xen->host->xc, stop->xen->domid, 0, cmd, key, value);
}

/* @errnum: what it has to fail with; 0: not at all. */
static struct xenpt_error *expect(struct stop *stop, const char *what, int errnum,
				  uint32_t cmd, uint64_t key, uint64_t value)
{
	int got = op(stop, cmd, &key, &value) < 0 ? errno : 0;

	if (got != errnum)
		return xenpt_error_os(got, "%s: error %d, not %d", what, got, errnum);
	return NULL;
}

static struct xenpt_error *see(struct stop *stop, struct vpt_seen *ret)
{
	*ret = (struct vpt_seen){};
	return vpt_see(stop->xen->host->xc, stop->xen->domid, ret);
}

/* ---- The buffer ---------------------------------------------------------- */

/* Where there is room: for one region, as large as all. */
static struct xenpt_error *place(struct xen_domain *xen, uint64_t *ret)
{
	_cleanup_(buffer_cleanup) struct buffer *buffer = NULL;
	const uint64_t size = 16 * PAGE;
	const struct buffer_layout layout = { .sizes = &size, .size_count = 1 };
	struct vpt_place places;

	XENPT_TRY(vpt_place_init(xen, &places));
	XENPT_TRY(vpt_place_buffer(xen, &places, &layout, &buffer));
	*ret = buffer->regions[0].gpa / PAGE;
	return NULL;
}

static struct xenpt_error *map_frames(struct stop *stop)
{
	xenforeignmemory_handle *fm = stop->xen->host->fm;
	xen_pfn_t gfns[FRAMES];
	int errs[FRAMES];

	for (size_t i = 0; i < FRAMES; i++)
		gfns[i] = stop->gfn + i;
	stop->at = xen_calls->fm_map(fm, stop->xen->domid, PROT_READ | PROT_WRITE, FRAMES,
				     gfns, errs);
	for (size_t i = 0; i < FRAMES && stop->at; i++) {
		if (errs[i])
			return wrong("a frame is not there", i);
	}
	return stop->at ? NULL : xenpt_error_os(errno, "fm_map");
}

static void write_tables(struct stop *stop)
{
	for (size_t i = 0; i < TABLES; i++) {
		const struct table *table = &tables[i];
		uint64_t *entry = (uint64_t *)(stop->at + table->frame * PAGE);

		for (size_t j = table->first; j < table->first + table->count; j++)
			*entry++ = (stop->gfn + regions[j].frame) * PAGE |
				   (regions[j].pages / 2) << XPT_TOPA_SIZE_SHIFT |
				   regions[j].flags;
		*entry = (stop->gfn + table->next) * PAGE | XPT_TOPA_END;
	}
}

static void copy_trace(const struct stop *stop, uint8_t trace[AT_STOP])
{
	for (size_t i = 0; i < REGIONS; i++) {
		memcpy(trace, stop->at + regions[i].frame * PAGE,
		       regions[i].pages * PAGE);
		trace += regions[i].pages * PAGE;
	}
}

/* Listed for the guard, and ended here, only if it is ours to end. */
static struct xenpt_error *begin(struct stop *stop)
{
	volatile bool *ours = &stop->xen->guard->list->set_up[0];
	uint64_t table = stop->gfn * PAGE, flags = XENPT_SETUP_SOFT;
	uint64_t base = 0, pointers = 0;
	int errnum;

	if (op(stop, XEN_DOMCTL_vmtrace_xenpt_position, &base, &pointers) == 0)
		return xenpt_error_os(EBUSY, "setup");
	*ours = true;
	if (op(stop, XEN_DOMCTL_vmtrace_xenpt_setup, &table, &flags) == 0)
		return NULL;
	errnum = errno;
	if (errnum == EBUSY)
		*ours = false;
	return xenpt_error_os(errnum, "setup");
}

static struct xenpt_error *set_up(struct stop *stop)
{
	struct xen_domain *xen = stop->xen;
	uint64_t port = 0;

	XENPT_TRY(place(xen, &stop->gfn));
	XENPT_TRY(xen_frames_raise_limit(xen, FRAMES));
	XENPT_TRY(xen_frames_add(xen, stop->gfn, FRAMES));
	XENPT_TRY(map_frames(stop));
	write_tables(stop);
	XENPT_TRY(begin(stop));
	if (op(stop, XEN_DOMCTL_vmtrace_xenpt_evtchn, NULL, &port) < 0)
		return xenpt_error_os(errno, "evtchn");
	return vpt_events_open(xen, &stop->events, (uint32_t)port);
}

/* Whatever fails here, the guard does again. */
static void tear_down(struct stop *stop)
{
	struct xen_domain *xen = stop->xen;

	vpt_events_close(&stop->events);
	if (xen->guard->list->set_up[0] &&
	    op(stop, XEN_DOMCTL_vmtrace_xenpt_teardown, NULL, NULL) < 0)
		return;
	xen->guard->list->set_up[0] = false;
	if (stop->at)
		xen_calls->fm_unmap(xen->host->fm, stop->at, FRAMES);
	if (xen_frames_give_back(xen->host->xc, xen->guard->list))
		xen_frames_restore_limit(xen->host->xc, xen->guard->list);
}

/* ---- Its trace ----------------------------------------------------------- */

/* False: not in this time. */
static struct xenpt_error *wait_event(struct stop *stop, int ms, bool *ret)
{
	struct pollfd fd = { vpt_events_fd(stop->xen, &stop->events), POLLIN, 0 };
	struct hv_event event;
	int ready;

	*ret = false;
	do {
		ready = poll(&fd, 1, ms);
		if (ready < 0)
			return xenpt_error_os(errno, "poll");
		if (!ready)
			return NULL;
		XENPT_TRY(vpt_events_take(stop->xen, &stop->events, ret));
		/* Or xenstored said something. */
		XENPT_TRY(xen_event(&stop->xen->domain, &event));
	} while (!*ret);
	return NULL;
}

/* The next event, and the total in [@lo, @hi) then. */
static struct xenpt_error *wait_total(struct stop *stop, const char *what, uint64_t lo,
				      uint64_t hi, struct vpt_seen *ret)
{
	bool told;

	XENPT_TRY(wait_event(stop, PATIENCE, &told));
	XENPT_TRY(see(stop, ret));
	printf("%s: total %" PRIu64 " status %#" PRIx64 "\n", what, ret->total,
	       ret->status);
	if (!told)
		return wrong("no event came", ret->total);
	if (ret->total < lo || ret->total >= hi)
		return wrong("an event at another place", ret->total);
	if (!(ret->status & XENPT_STATUS_TOTAL))
		return wrong("no total", ret->status);
	return NULL;
}

static struct xenpt_error *enable(struct stop *stop)
{
	return expect(stop, "enable", 0, XEN_DOMCTL_vmtrace_xenpt_enable, 0, CTL);
}

/* To its end: two regions interrupt, and one stops. */
static struct xenpt_error *fill(struct stop *stop)
{
	const uint64_t end = (stop->gfn + tables[TABLES - 1].frame) * PAGE;
	const uint64_t pointers = (uint64_t)PAGE << 32 | 1 << 7 | XPT_MASK_PTRS_LOW;
	struct vpt_seen seen;
	bool told;

	/* A channel that is bound has one to begin with. */
	do
		XENPT_TRY(wait_event(stop, 0, &told));
	while (told);
	XENPT_TRY(enable(stop));
	XENPT_TRY(wait_total(stop, "first INT", AT_INT, AFTER_INT, &seen));
	if (!(seen.status & XENPT_STATUS_ON))
		return wrong("off after the first INT", seen.status);
	XENPT_TRY(wait_total(stop, "second INT", AT_INT_2, AT_STOP, &seen));
	if (!(seen.status & XENPT_STATUS_ON))
		return wrong("off after the second INT", seen.status);
	XENPT_TRY(wait_total(stop, "STOP", AT_STOP, AT_STOP + 1, &seen));
	if (!(seen.status & XPT_STATUS_STOPPED) ||
	    seen.status & (XENPT_STATUS_ON | XPT_STATUS_ERROR | XENPT_STATUS_FAULT))
		return wrong("not stopped", seen.status);
	if (seen.base != end || seen.pointers != pointers)
		return wrong("OUTPUT_BASE", seen.base);
	XENPT_TRY(wait_event(stop, 0, &told));
	return told ? wrong("one event more", seen.total) : NULL;
}

/* Once stopped, it takes a reset. */
static struct xenpt_error *check_end(struct stop *stop)
{
	struct vpt_seen seen;

	XENPT_TRY(expect(stop, "enable while enabled", EBUSY,
			 XEN_DOMCTL_vmtrace_xenpt_enable, 0, CTL));
	XENPT_TRY(expect(stop, "reset while enabled", EBUSY,
			 XEN_DOMCTL_vmtrace_xenpt_reset, 0, 0));
	XENPT_TRY(expect(stop, "disable", 0, XEN_DOMCTL_vmtrace_xenpt_disable, 0, 0));
	XENPT_TRY(expect(stop, "enable at the end", EIO, XEN_DOMCTL_vmtrace_xenpt_enable,
			 0, CTL));
	XENPT_TRY(see(stop, &seen));
	return seen.total == AT_STOP ? NULL : wrong("total, later", seen.total);
}

static struct xenpt_error *fill_again(struct stop *stop, uint64_t *total_ret)
{
	struct vpt_seen seen;

	for (size_t i = 0; i < REGIONS; i++)
		memset(stop->at + regions[i].frame * PAGE, 0, regions[i].pages * PAGE);
	XENPT_TRY(expect(stop, "reset", 0, XEN_DOMCTL_vmtrace_xenpt_reset, 0, 0));
	XENPT_TRY(see(stop, &seen));
	if (seen.total || seen.status & XPT_STATUS_STOPPED)
		return wrong("after a reset", seen.total);
	XENPT_TRY(enable(stop));
	XENPT_TRY(wait_total(stop, "first INT again", AT_INT, AFTER_INT, &seen));
	XENPT_TRY(expect(stop, "disable", 0, XEN_DOMCTL_vmtrace_xenpt_disable, 0, 0));
	XENPT_TRY(see(stop, &seen));
	*total_ret = seen.total;
	return NULL;
}

/* ---- Its packets --------------------------------------------------------- */

static struct xenpt_error *write_file(const char *path, const uint8_t *trace, size_t size)
{
	_cleanup_(writer_cleanup) struct xenpt_writer *writer = NULL;
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	const struct xenpt_vcpu vcpu = { .name = "" };
	struct xenpt_cpu cpu;

	if (fd < 0)
		return xenpt_error_os(errno, "%s", path);
	xen_host_cpu(&cpu);
	XENPT_TRY(xenpt_writer_create(fd, path, &writer));
	XENPT_TRY(xenpt_writer_cpu(writer, &cpu));
	XENPT_TRY(xenpt_writer_vcpu(writer, &vcpu));
	XENPT_TRY(xenpt_writer_trace(writer, 0, trace, size));
	return xenpt_writer_finish(writer);
}

struct counts {
	uint64_t packets, psbs, bad, size;
	uint64_t cut; /* bytes of a bad one at the end */
	unsigned int first;
};

static struct xenpt_error *count_packets(const char *path, struct counts *ret)
{
	_cleanup_(packets_cleanup) struct xenpt_packets *list = NULL;
	_cleanup_(file_cleanup) struct xenpt_file *file = NULL;
	const struct xenpt_packet *packets;
	size_t count;

	*ret = (struct counts){};
	XENPT_TRY(xenpt_file_open(path, &file));
	XENPT_TRY(xenpt_packets_create(file, 0, &list));
	for (;;) {
		XENPT_TRY(xenpt_packets_next(list, &packets, &count));
		if (!count)
			return NULL;
		for (size_t i = 0; i < count; i++) {
			bool bad = packets[i].type == XENPT_PACKET_BAD;

			if (!ret->packets++)
				ret->first = packets[i].type;
			ret->psbs += packets[i].type == XENPT_PACKET_PSB;
			ret->bad += bad;
			ret->cut = bad ? packets[i].size : 0;
			ret->size += packets[i].size;
		}
	}
}

/* One stream from its PSB on; where it was @stopped its last packet may be cut. */
static struct xenpt_error *check_packets(const char *path, const uint8_t *trace,
					 size_t size, bool stopped)
{
	struct counts counts;

	XENPT_TRY(write_file(path, trace, size));
	XENPT_TRY(count_packets(path, &counts));
	printf("%" PRIu64 " packets, %" PRIu64 " PSBs, %" PRIu64 " bad, %" PRIu64
	       " bytes cut\n",
	       counts.packets, counts.psbs, counts.bad, counts.cut);
	if (counts.first != XENPT_PACKET_PSB)
		return wrong("the first packet", counts.first);
	if (counts.size != size)
		return wrong("bytes of packets", counts.size);
	if (counts.bad > (stopped && counts.cut && counts.cut < 16))
		return wrong("bad packets", counts.bad);
	/* Each 2 KiB or a little later: IA32_RTIT_CTL.PSBFreq is 0. */
	if (counts.psbs < size / (PAGE - PAGE / 4))
		return wrong("too few PSBs", counts.psbs);
	return NULL;
}

/* Who gets the frames next finds no trace in them. */
static struct xenpt_error *check_cleared(struct stop *stop)
{
	static uint8_t trace[AT_STOP];

	XENPT_TRY(expect(stop, "teardown", 0, XEN_DOMCTL_vmtrace_xenpt_teardown, 0, 0));
	copy_trace(stop, trace);
	for (size_t i = 0; i < sizeof(trace); i++) {
		if (trace[i])
			return wrong("trace after the teardown", i);
	}
	for (size_t i = 0; i < TABLES; i++) {
		if (!*(const uint64_t *)(stop->at + tables[i].frame * PAGE))
			return wrong("a table was cleared", i);
	}
	return NULL;
}

static struct xenpt_error *trace_twice(struct stop *stop, const char *path)
{
	static uint8_t trace[AT_STOP];
	uint64_t total;

	XENPT_TRY(set_up(stop));
	XENPT_TRY(fill(stop));
	XENPT_TRY(check_end(stop));
	copy_trace(stop, trace);
	XENPT_TRY(check_packets(path, trace, sizeof(trace), true));
	XENPT_TRY(fill_again(stop, &total));
	copy_trace(stop, trace);
	for (size_t i = total; i < sizeof(trace); i++) {
		if (trace[i])
			return wrong("trace behind its end", i);
	}
	XENPT_TRY(check_packets(path, trace, total, false));
	return check_cleared(stop);
}

struct xenpt_error *vpt_stop_run(const char *name, const char *path)
{
	struct hv_domain *domain = NULL;
	struct xenpt_error *err;
	struct stop stop = {};

	XENPT_TRY(hv_xen_ops.open(name, NULL, &domain));
	stop.xen = xen_domain_of(domain);
	vpt_events_init(&stop.events);
	err = trace_twice(&stop, path);
	tear_down(&stop);
	domain->ops->close(domain);
	return err;
}
