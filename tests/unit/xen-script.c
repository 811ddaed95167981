/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The scripted Xen's model: domains, and what a test does to them. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hv/xen/xen/include/public/xenpt.h"
#include "tests/unit/xen-script-calls.h"

#include <xen/hvm/params.h>
#include <xen/sched.h>

#define PAGE 4096u
#define TRACE_EN 1u

struct xen_script *xen_script;

/* A test whose hypervisor cannot be had proves nothing. */
static void need(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(99);
}

static void *share(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	need(memory != MAP_FAILED, "mmap");
	return memory;
}

/* More of the file that all guest memory is in. */
static uint8_t *grow(struct xen_script *script, size_t size)
{
	void *memory;

	need(ftruncate(script->fd, script->size + (off_t)size) == 0, "ftruncate");
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, script->fd,
		      script->size);
	need(memory != MAP_FAILED, "mmap");
	script->size += (off_t)size;
	return memory;
}

/* ---- The host ------------------------------------------------------------ */

static void put_file(const struct xen_script *script, const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s%s", script->root, name);
	file = fopen(path, "w");
	need(file && fputs(text, file) >= 0 && fclose(file) == 0, path);
}

static const char *const directories[] = { "/dev", "/dev/xen", "/proc", "/proc/xen" };
static const char *const files[] = { "/dev/xen/privcmd", "/proc/xen/capabilities" };

static void make_root(struct xen_script *script)
{
	char path[128];

	snprintf(script->root, sizeof(script->root), "/tmp/xen-script.XXXXXX");
	need(mkdtemp(script->root), "mkdtemp");
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", script->root, directories[i]);
		need(mkdir(path, 0700) == 0, path);
	}
	put_file(script, files[0], "");
	put_file(script, files[1], "control_d\n");
}

static void remove_root(struct xen_script *script)
{
	char path[128];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", script->root, files[i]);
		unlink(path);
	}
	for (size_t i = sizeof(directories) / sizeof(directories[0]); i-- > 0;) {
		snprintf(path, sizeof(path), "%s%s", script->root, directories[i]);
		rmdir(path);
	}
	rmdir(script->root);
}

struct xen_script *xen_script_create(void)
{
	struct xen_script *script = share(sizeof(*script));
	struct script_domain *dom0;

	script->pid = getpid();
	script->fd = memfd_create("xen-script", MFD_CLOEXEC);
	need(script->fd >= 0, "memfd_create");
	need(pipe2(script->watch_pipe, O_NONBLOCK | O_CLOEXEC) == 0, "pipe");
	need(pipe2(script->evtchn.pipe, O_NONBLOCK | O_CLOEXEC) == 0, "pipe");
	script->vpt_version = XENPT_INTERFACE_VERSION;
	script->free_pages = 1 << 20;
	script->capabilities = XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_pv |
			       XEN_SYSCTL_PHYSCAP_hap | XEN_SYSCTL_PHYSCAP_vmtrace;
	script->console = "";
	make_root(script);
	dom0 = xen_script_add(script, 0, "Domain-0");
	xen_script_make_pv(dom0);
	memset(dom0->handle, 0, sizeof(dom0->handle));
	xen_script = script;
	xen_calls = &xen_script_calls;
	xen_calls_root = script->root;
	return script;
}

static void free_domain(struct script_domain *domain)
{
	if (domain->memory)
		munmap(domain->memory, domain->page_count * PAGE);
	if (domain->absent)
		munmap(domain->absent, domain->page_count);
	if (domain->spare)
		munmap(domain->spare, domain->spare_count * PAGE);
	for (uint32_t i = 0; i < SCRIPT_VCPUS; i++) {
		if (domain->vcpus[i].ring)
			munmap(domain->vcpus[i].ring, domain->ring_size);
	}
}

void xen_script_destroy(struct xen_script *script)
{
	xen_calls = &xen_calls_real;
	xen_calls_root = "";
	xen_script = NULL;
	for (size_t i = 0; i < SCRIPT_MAPPINGS; i++) {
		if (script->mappings[i].at)
			munmap(script->mappings[i].at, script->mappings[i].pages * PAGE);
	}
	for (size_t i = 0; i < script->domain_count; i++)
		free_domain(&script->domains[i]);
	remove_root(script);
	close(script->fd);
	close(script->watch_pipe[0]);
	close(script->watch_pipe[1]);
	close(script->evtchn.pipe[0]);
	close(script->evtchn.pipe[1]);
	munmap(script, sizeof(*script));
}

/* ---- Domains ------------------------------------------------------------- */

struct script_domain *xen_script_find(struct xen_script *script, uint32_t domid)
{
	for (size_t i = 0; i < script->domain_count; i++) {
		if (script->domains[i].used && script->domains[i].domid == domid)
			return &script->domains[i];
	}
	return NULL;
}

/* In long mode, in the kernel. */
static void start_vcpu(struct hvm_hw_cpu *cpu)
{
	*cpu = (struct hvm_hw_cpu){
		.rip = 0xffffffff81000000,
		.rflags = 2,
		.cr0 = 0x80050033,
		.cr3 = 0x1000,
		.cr4 = 0x20,
		.cs_sel = 0x10,
		.ss_sel = 0x18,
		.cs_arbytes = 0xa9b,
		.ss_arbytes = 0xc93,
		.msr_efer = 0xd01,
	};
}

struct script_domain *xen_script_add(struct xen_script *script, uint32_t domid,
				     const char *name)
{
	struct script_domain *domain;

	need(script->domain_count < SCRIPT_DOMAINS, "too many scripted domains");
	domain = &script->domains[script->domain_count++];
	*domain = (struct script_domain){
		.used = true,
		.domid = domid,
		.flags = XEN_DOMINF_hvm_guest | XEN_DOMINF_hap | XEN_DOMINF_running,
		.emulation_flags = XEN_X86_EMU_ALL & ~XEN_X86_EMU_VPCI,
		.vcpu_count = 1,
	};
	memset(domain->handle, 0xab, sizeof(domain->handle));
	domain->handle[14] = (uint8_t)(domid >> 8);
	domain->handle[15] = (uint8_t)domid;
	snprintf(domain->name, sizeof(domain->name), "%s", name);
	domain->params[HVM_PARAM_TRIPLE_FAULT_REASON] = SHUTDOWN_reboot;
	memcpy(domain->params_before, domain->params, sizeof(domain->params));
	for (uint32_t i = 0; i < SCRIPT_VCPUS; i++)
		start_vcpu(&domain->vcpus[i].cpu);
	return domain;
}

void xen_script_make_pvh(struct script_domain *domain)
{
	domain->emulation_flags = XEN_X86_EMU_LAPIC;
}

void xen_script_make_pv(struct script_domain *domain)
{
	domain->emulation_flags = 0;
	domain->flags &= ~(XEN_DOMINF_hvm_guest | XEN_DOMINF_hap);
}

void xen_script_add_memory(struct xen_script *script, struct script_domain *domain,
			   uint64_t pages)
{
	need(!domain->memory && pages && pages <= SCRIPT_PAGES, "scripted memory");
	domain->memory = grow(script, pages * PAGE);
	domain->absent = share(pages);
	domain->page_count = pages;
	domain->max_pages = domain->max_pages_before = pages;
}

void xen_script_add_spares(struct xen_script *script, struct script_domain *domain,
			   size_t pages)
{
	need(!domain->spare && pages && pages <= SCRIPT_SPARES, "scripted spares");
	domain->spare = grow(script, pages * PAGE);
	domain->spare_count = pages;
}

void xen_script_add_rings(struct xen_script *script, struct script_domain *domain,
			  size_t size)
{
	need(!domain->ring_size && size % PAGE == 0 && size <= SCRIPT_RING_MAX,
	     "scripted rings");
	domain->ring_size = size;
	for (uint32_t i = 0; i < domain->vcpu_count; i++)
		domain->vcpus[i].ring = grow(script, size);
}

size_t xen_script_trace(struct script_domain *domain, uint32_t vcpu, const void *data,
			size_t size)
{
	struct script_vcpu *cpu = &domain->vcpus[vcpu];
	const uint8_t *bytes = data;
	bool held = domain->pauses || cpu->offline ||
		    domain->flags & (XEN_DOMINF_shutdown | XEN_DOMINF_dying);

	if (domain->used && !held && cpu->vpt.set_up)
		return script_vpt_trace(domain, vcpu, bytes, size);
	if (!domain->used || held || !cpu->ring || !cpu->active || !(cpu->ctl & TRACE_EN))
		return 0;
	for (size_t i = 0; i < size; i++) {
		cpu->ring[cpu->offset] = bytes[i];
		cpu->offset = (uint32_t)((cpu->offset + 1) % domain->ring_size);
	}
	return size;
}

/* ---- Ends ---------------------------------------------------------------- */

void xen_script_fire(struct xen_script *script)
{
	for (uint8_t i = 0; i < SCRIPT_WATCHES; i++) {
		if (script->watches[i].used &&
		    strcmp(script->watches[i].path, "@releaseDomain") == 0)
			need(write(script->watch_pipe[1], &i, 1) == 1, "watch");
	}
}

static void destroy_domain(struct script_domain *domain)
{
	domain->flags |= XEN_DOMINF_dying;
	*domain->name = '\0';
	/* Whoever maps its pages keeps them, and so it. */
	if (!domain->mappings)
		domain->used = false;
}

void xen_script_end(struct xen_script *script, struct script_domain *domain,
		    enum script_end how)
{
	static const uint8_t codes[] = {
		[SCRIPT_CRASH] = SHUTDOWN_crash,
		[SCRIPT_WATCHDOG] = SHUTDOWN_watchdog,
		[SCRIPT_POWEROFF] = SHUTDOWN_poweroff,
		[SCRIPT_REBOOT] = SHUTDOWN_reboot,
	};
	struct script_domain *other;

	domain->flags &= ~XEN_DOMINF_running;
	if (how == SCRIPT_REUSE) {
		/* That pages of the old are mapped does not keep its id for long. */
		destroy_domain(domain);
		domain->used = false;
		other = xen_script_add(script, domain->domid, "other");
		memset(other->handle, 0xcd, sizeof(other->handle));
		xen_script_add_memory(script, other, 16);
	} else if (how == SCRIPT_DESTROY) {
		destroy_domain(domain);
	} else {
		domain->flags |= XEN_DOMINF_shutdown;
		domain->code = codes[how];
	}
	xen_script_fire(script);
}

/* ---- What is left -------------------------------------------------------- */

static void left(bool *clean, unsigned int count, const char *what, unsigned int domid)
{
	if (!count)
		return;
	fprintf(stderr, "left by domain %u: %u %s\n", domid, count, what);
	*clean = false;
}

static void check_domain(const struct script_domain *domain, bool *clean)
{
	if (!domain->used || domain->flags & XEN_DOMINF_dying)
		return;
	left(clean, domain->pauses != domain->pauses_before, "pauses", domain->domid);
	left(clean, domain->max_pages != domain->max_pages_before, "changed limit",
	     domain->domid);
	left(clean, (unsigned int)xen_script_spares(domain), "pages", domain->domid);
	for (unsigned int i = 0; i < SCRIPT_PARAMS; i++)
		left(clean, domain->params[i] != domain->params_before[i],
		     "changed parameter", domain->domid);
	for (unsigned int i = 0; i < domain->vcpu_count; i++) {
		const struct script_vcpu *vcpu = &domain->vcpus[i];

		left(clean, vcpu->active, "traced vCPU", domain->domid);
		left(clean, vcpu->vpt.set_up, "vCPU set up", domain->domid);
		left(clean, vcpu->ctl != vcpu->ctl_before, "changed RTIT_CTL",
		     domain->domid);
	}
}

bool xen_script_is_clean(struct xen_script *script)
{
	unsigned int mappings = 0, resources = 0, watches = 0;
	bool clean = true;

	for (size_t i = 0; i < SCRIPT_MAPPINGS; i++) {
		if (script->mappings[i].at)
			(*(script->mappings[i].resource ? &resources : &mappings))++;
	}
	for (size_t i = 0; i < SCRIPT_WATCHES; i++)
		watches += script->watches[i].used;
	left(&clean, mappings, "mappings", 0);
	left(&clean, resources, "resources", 0);
	left(&clean, watches, "watches", 0);
	left(&clean, script->xc_handles, "handles of libxenctrl", 0);
	left(&clean, script->fm_handles, "handles of libxenforeignmemory", 0);
	left(&clean, script->xs_handles, "handles of libxenstore", 0);
	left(&clean, script->evtchn_handles, "handles of libxenevtchn", 0);
	left(&clean, script->evtchn.domain != NULL, "event channels", 0);
	left(&clean, script->taken_while_traced, "tables taken while in use", 0);
	left(&clean, script->unbalanced, "calls to undo what was not done", 0);
	left(&clean, script->traced_while_set, "options set while tracing", 0);
	left(&clean, script->console_clears, "console rings taken from others", 0);
	for (size_t i = 0; i < script->domain_count; i++)
		check_domain(&script->domains[i], &clean);
	return clean;
}
