/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that traces itself, scenario=self (hv/sim/guest/self.h):
 *
 *	rig-self go DOMAIN STEP		it may go on behind that step
 *	rig-self file DOMAIN TRACE FILE	its trace of that number, by its own tables, with
 *					the code that ran, as a .xpt file
 *
 * Exit status: 0, or 99: trouble.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hv/backend.h"
#include "hv/pt/topa.h"
#include "hv/sim/guest/self.h"
#include "hv/xen-list.h"
#include "libxenpt/cleanup.h"
#include "libxenpt/paging.h"

#define STATUS_TROUBLE 99
#define PAGE XENPT_PAGE_SIZE
#define TRACE_MAX (1u << 20)
#define REGIONS_MAX 64

XENPT_DEFINE_CLEANUP(struct xenpt_writer, writer, xenpt_writer_destroy)
XENPT_DEFINE_CLEANUP(struct xenpt_capture, capture, xenpt_capture_destroy)

static void domain_cleanup(struct hv_domain **domain)
{
	if (*domain)
		(*domain)->ops->close(*domain);
}

/* ---- Its steps ----------------------------------------------------------- */

static struct xenpt_error *go(const char *name, uint32_t step)
{
	_cleanup_(xen_host_cleanup) struct xen_host *host = NULL;
	xen_pfn_t gfn = SELF_BASE / PAGE;
	xc_domaininfo_t info;
	struct self_log *log;
	uint8_t *at;
	int err = 0;

	XENPT_TRY(xen_host_create(&host));
	XENPT_TRY(xen_find(host, name, &info));
	at = xen_calls->fm_map(host->fm, info.domain, PROT_READ | PROT_WRITE, 1, &gfn,
			       &err);
	if (!at)
		return xenpt_error_os(errno, "fm_map");
	log = (struct self_log *)(at + SELF_BASE % PAGE);
	if (!err && log->magic == SELF_MAGIC)
		__atomic_store_n(&log->go, step, __ATOMIC_RELEASE);
	else
		err = err ?: -ENODATA;
	xen_calls->fm_unmap(host->fm, at, 1);
	return err ? xenpt_error_os(-err, "%s: is it scenario=self?", name) : NULL;
}

/* ---- Its trace ----------------------------------------------------------- */

struct trace {
	struct xenpt_mem *mem;
	struct self_trace said;
	uint8_t *bytes; /* TRACE_MAX */
	size_t size;
	struct xenpt_writer *writer;
	struct xenpt_error *error;
};

static struct xenpt_error *missing(uint64_t gpa)
{
	return xenpt_error_create(XENPT_ERROR_NOT_FOUND, "no memory at %#" PRIx64, gpa);
}

static struct xenpt_error *take_bytes(struct trace *trace, uint64_t gpa, uint64_t size)
{
	while (size) {
		uint64_t part = size < PAGE ? size : PAGE;

		if (part > TRACE_MAX - trace->size)
			return xenpt_error_create(XENPT_ERROR_FORMAT, "too much trace");
		if (!xenpt_mem_read(trace->mem, gpa, trace->bytes + trace->size, part))
			return missing(gpa);
		trace->size += part;
		gpa += part;
		size -= part;
	}
	return NULL;
}

/* From the first region to the position; none of them was written to twice. */
static struct xenpt_error *take_trace(struct trace *trace)
{
	uint64_t table = trace->said.table, index = 0, entry;
	uint64_t last = trace->said.pointers >> 7 & 0x1ffffff;

	for (size_t i = 0; i < REGIONS_MAX; i++) {
		bool here = table == trace->said.base && index == last;

		if (!xenpt_mem_read(trace->mem, table + 8 * index, &entry, sizeof(entry)))
			return missing(table);
		if (entry & XPT_TOPA_END && !here) {
			table = entry & ~(uint64_t)(PAGE - 1);
			index = 0;
			continue;
		}
		if (here)
			return take_bytes(trace, entry & ~(uint64_t)(PAGE - 1),
					  trace->said.pointers >> 32);
		XENPT_TRY(take_bytes(
			trace, entry & ~(uint64_t)(PAGE - 1),
			PAGE << (entry >> XPT_TOPA_SIZE_SHIFT & XPT_TOPA_SIZE_MASK)));
		index++;
	}
	return xenpt_error_create(XENPT_ERROR_FORMAT,
				  "its tables do not lead to the end");
}

/* Its pages stay where and what they were. */
static bool take_page(void *arg, uint64_t cr3, uint64_t address,
		      uint8_t page[XENPT_PAGE_SIZE])
{
	struct trace *trace = arg;
	struct xenpt_mapping mapping = { .address = address };
	struct xenpt_translation translation;

	if (trace->error || !xenpt_paging_walk(trace->mem, XENPT_PAGING_4_LEVEL, cr3,
					       address, &translation))
		return false;
	mapping.gpa = translation.gpa & ~(uint64_t)(PAGE - 1);
	if (!xenpt_mem_read(trace->mem, mapping.gpa, page, PAGE))
		return false;
	trace->error = xenpt_writer_pages(trace->writer, mapping.gpa, page, PAGE);
	if (!trace->error)
		trace->error = xenpt_writer_map(trace->writer, cr3, &mapping, 1);
	return !trace->error;
}

static struct xenpt_error *write_file(struct trace *trace, const char *path)
{
	_cleanup_(writer_cleanup) struct xenpt_writer *writer = NULL;
	_cleanup_(capture_cleanup) struct xenpt_capture *capture = NULL;
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	const struct xenpt_vcpu vcpu = { .name = "" };
	struct xenpt_cpu cpu;

	if (fd < 0)
		return xenpt_error_os(errno, "%s", path);
	xen_host_cpu(&cpu);
	XENPT_TRY(xenpt_writer_create(fd, path, &writer));
	trace->writer = writer;
	XENPT_TRY(xenpt_writer_cpu(writer, &cpu));
	XENPT_TRY(xenpt_writer_vcpu(writer, &vcpu));
	XENPT_TRY(xenpt_writer_trace(writer, 0, trace->bytes, trace->size));
	XENPT_TRY(xenpt_capture_create(&cpu, take_page, trace, &capture));
	XENPT_TRY(xenpt_capture_feed(capture, 0, trace->bytes, trace->size));
	XENPT_TRY(xenpt_capture_flush(capture));
	XENPT_TRY(no_cleanup_ptr(trace->error));
	return xenpt_writer_finish(writer);
}

static struct xenpt_error *file(const char *name, uint32_t id, const char *path)
{
	_cleanup_(domain_cleanup) struct hv_domain *domain = NULL;
	_cleanup_free_ uint8_t *bytes = malloc(TRACE_MAX);
	struct trace trace = { .bytes = bytes };
	struct self_log log;

	if (!bytes)
		return xenpt_error_no_memory();
	XENPT_TRY(hv_open(name, NULL, &domain));
	XENPT_TRY(domain->ops->pause(domain));
	trace.mem = domain->mem;
	if (!xenpt_mem_read(trace.mem, SELF_BASE, &log, sizeof(log)))
		return missing(SELF_BASE);
	if (log.magic != SELF_MAGIC || id >= SELF_TRACES || !log.traces[id].last)
		return xenpt_error_create(XENPT_ERROR_NOT_FOUND, "%s: no such trace",
					  name);
	trace.said = log.traces[id];
	XENPT_TRY(take_trace(&trace));
	printf("%zu bytes, entries %" PRIu32 " to %" PRIu32 "\n", trace.size,
	       trace.said.first, trace.said.last);
	return write_file(&trace, path);
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct xenpt_error *err = NULL;

	if (argc == 4 && !strcmp(argv[1], "go"))
		err = go(argv[2], (uint32_t)strtoul(argv[3], NULL, 10));
	else if (argc == 5 && !strcmp(argv[1], "file"))
		err = file(argv[2], (uint32_t)strtoul(argv[3], NULL, 10), argv[4]);
	else
		err = xenpt_error_create(XENPT_ERROR_INVALID,
					 "go DOMAIN STEP, or file DOMAIN TRACE FILE");
	if (err) {
		fprintf(stderr, "rig-self: %s\n", err->message);
		return STATUS_TROUBLE;
	}
	return 0;
}
