/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The scripted Xen's calls that trace vCPUs and map memory and trace buffers. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tests/unit/xen-script-calls.h"

#define PAGE 4096u

/* xen/arch/x86/hvm/vmx/vmx.c: RTIT_CTL_MASK, RTIT_STATUS_MASK */
#define MSR_RTIT_CTL 0x570
#define MSR_RTIT_STATUS 0x571
#define TRACE_EN 1u
#define CTL_MASK UINT64_C(0x2c0d)
#define STATUS_MASK UINT64_C(0x37)

/* ---- vmtrace: xen/arch/x86/domctl.c, do_vmtrace_op() ------------------------- */

/* It holds the vCPU meanwhile. */
static struct script_vcpu *vmtrace(xc_interface *xc, const char *name, uint32_t domid,
				   uint32_t vcpu)
{
	struct script_domain *domain = script_domctl(xc, name, domid);

	if (!domain)
		return NULL;
	if (!domid || !domain->ring_size)
		return script_fail_null(EINVAL);
	if (vcpu >= domain->vcpu_count)
		return script_fail_null(ENOENT);
	if (xen_script->no_vmtrace)
		return script_fail_null(EOPNOTSUPP);
	domain->vcpus[vcpu].pauses++;
	return &domain->vcpus[vcpu];
}

static int control(struct script_vcpu *vcpu, bool enable, bool reset)
{
	if (!vcpu)
		return -1;
	if (vcpu->active == enable)
		return script_fail(EINVAL);
	if (reset) {
		vcpu->status = 0;
		vcpu->offset = 0;
	}
	vcpu->ctl = enable ? vcpu->ctl | TRACE_EN : vcpu->ctl & ~(uint64_t)TRACE_EN;
	vcpu->active = enable;
	return 0;
}

int script_enable(xc_interface *xc, uint32_t domid, uint32_t vcpu)
{
	return control(vmtrace(xc, "xc_vmtrace_enable", domid, vcpu), true, false);
}

int script_disable(xc_interface *xc, uint32_t domid, uint32_t vcpu)
{
	return control(vmtrace(xc, "xc_vmtrace_disable", domid, vcpu), false, false);
}

int script_reset_and_enable(xc_interface *xc, uint32_t domid, uint32_t vcpu)
{
	return control(vmtrace(xc, "xc_vmtrace_reset_and_enable", domid, vcpu), true,
		       true);
}

int script_output_position(xc_interface *xc, uint32_t domid, uint32_t vcpu, uint64_t *pos)
{
	struct script_vcpu *cpu = vmtrace(xc, "xc_vmtrace_output_position", domid, vcpu);

	if (!cpu)
		return -1;
	*pos = cpu->offset;
	return 0;
}

int script_get_option(xc_interface *xc, uint32_t domid, uint32_t vcpu, uint64_t key,
		      uint64_t *value)
{
	struct script_vcpu *cpu = vmtrace(xc, "xc_vmtrace_get_option", domid, vcpu);

	if (!cpu)
		return -1;
	if (key == MSR_RTIT_CTL)
		*value = cpu->ctl & CTL_MASK;
	else if (key == MSR_RTIT_STATUS)
		*value = cpu->status & STATUS_MASK;
	else
		return script_fail(EINVAL);
	return 0;
}

/*
 * What goes wrong in Xen goes wrong here: while enabled, a value without TRACE_EN ends
 * the trace, and Xen still thinks that it is on; while disabled, one with TRACE_EN has
 * the CPU write who knows where.
 */
int script_set_option(xc_interface *xc, uint32_t domid, uint32_t vcpu, uint64_t key,
		      uint64_t value)
{
	struct script_vcpu *cpu = vmtrace(xc, "xc_vmtrace_set_option", domid, vcpu);

	if (!cpu)
		return -1;
	if (key == MSR_RTIT_STATUS) {
		if (value & ~STATUS_MASK)
			return script_fail(EINVAL);
		cpu->status = value;
		return 0;
	}
	if (key != MSR_RTIT_CTL || value & ~CTL_MASK)
		return script_fail(EINVAL);
	if (cpu->active || value & TRACE_EN)
		xen_script->traced_while_set++;
	cpu->ctl = value;
	return 0;
}

/* ---- Memory ------------------------------------------------------------------ */

static struct script_mapping *find_mapping(const void *at)
{
	for (size_t i = 0; i < SCRIPT_MAPPINGS; i++) {
		if (xen_script->mappings[i].at == at)
			return &xen_script->mappings[i];
	}
	return NULL;
}

static void *reserve_at(void *at, int flags, struct script_domain *domain, size_t pages,
			bool resource)
{
	struct script_mapping *mapping = find_mapping(NULL);

	if (!mapping)
		return script_fail_null(ENOMEM);
	at = mmap(at, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1,
		  0);
	if (at == MAP_FAILED)
		return NULL;
	*mapping = (struct script_mapping){
		.at = at, .pages = pages, .resource = resource, .domain = domain
	};
	if (domain)
		domain->mappings++;
	return at;
}

static void *reserve(struct script_domain *domain, size_t pages, bool resource)
{
	return reserve_at(NULL, 0, domain, pages, resource);
}

static int release(void *at, bool resource)
{
	struct script_mapping *mapping = at ? find_mapping(at) : NULL;
	struct script_domain *domain;

	if (!mapping || mapping->resource != resource) {
		xen_script->unbalanced++;
		return script_fail(EINVAL);
	}
	domain = mapping->domain;
	munmap(at, mapping->pages * PAGE);
	mapping->at = NULL;
	if (domain && !--domain->mappings && domain->used &&
	    domain->flags & XEN_DOMINF_dying) {
		domain->used = false;
		xen_script_fire(xen_script);
	}
	return 0;
}

/* Put what is at @from, of the file, there. */
static void show(uint8_t *at, size_t offset, int prot, const uint8_t *from, size_t size)
{
	void *shared =
		mremap((void *)from, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, at + offset);

	if (shared == MAP_FAILED || mprotect(shared, size, prot) < 0)
		abort();
}

static void note_spare(struct script_mapping *mapping, const uint8_t *page)
{
	const struct script_domain *domain = mapping->domain;
	size_t spare;

	if (!domain->spare || page < domain->spare ||
	    page >= domain->spare + domain->spare_count * PAGE)
		return;
	spare = (size_t)(page - domain->spare) / PAGE;
	mapping->spares[spare / 64] |= UINT64_C(1) << spare % 64;
}

/* A page that is not there is its own error; touching it is a signal. */
static void show_pages(uint8_t *at, int prot, size_t pages, const xen_pfn_t gfns[],
		       int errs[])
{
	struct script_mapping *mapping = find_mapping(at);
	struct script_domain *domain = mapping->domain;
	const uint8_t *page;

	for (size_t i = 0; i < pages; i++) {
		errs[i] = domain ? -EINVAL : -ESRCH;
		if (!domain || domain->flags & XEN_DOMINF_dying)
			continue;
		page = xen_script_page(domain, gfns[i]);
		if (!page)
			continue;
		errs[i] = 0;
		show(at, i * PAGE, prot, page, PAGE);
		note_spare(mapping, page);
	}
}

void *script_map(xenforeignmemory_handle *fm, uint32_t domid, int prot, size_t pages,
		 const xen_pfn_t gfns[], int errs[])
{
	uint8_t *at;

	if (script_fails("xenforeignmemory_map"))
		return NULL;
	at = reserve(xen_script_find(xen_script, domid), pages, false);
	if (at)
		show_pages(at, prot, pages, gfns, errs);
	return at;
}

/* What was there before, of a guest or not, is unmapped, also by what fails. */
void *script_map2(xenforeignmemory_handle *fm, uint32_t domid, void *at, int prot,
		  int flags, size_t pages, const xen_pfn_t gfns[], int errs[])
{
	bool failed = script_fails("xenforeignmemory_map2");
	int errnum = errno;

	if (flags & MAP_FIXED && find_mapping(at))
		release(at, false);
	else if (flags & MAP_FIXED)
		munmap(at, pages * PAGE);
	if (failed)
		return script_fail_null(errnum);
	at = reserve_at(at, flags & MAP_FIXED, xen_script_find(xen_script, domid), pages,
			false);
	if (at)
		show_pages(at, prot, pages, gfns, errs);
	return at;
}

int script_unmap(xenforeignmemory_handle *fm, void *at, size_t pages)
{
	bool failed = script_fails("xenforeignmemory_unmap");
	int result = release(at, false);

	return failed ? script_fail(xen_script->fail_errno) : result;
}

/* Xen does not look at the id here: xen/common/memory.c, resource_max_frames(). */
int script_resource_size(xenforeignmemory_handle *fm, domid_t domid, unsigned int type,
			 unsigned int id, size_t *size)
{
	struct script_domain *domain;

	if (script_fails("xenforeignmemory_resource_size"))
		return -1;
	if (xen_script->old_kernel)
		return script_fail(EOPNOTSUPP);
	domain = xen_script_find(xen_script, domid);
	if (!domain)
		return script_fail(ESRCH);
	/* Of oneself: xen/common/memory.c, rcu_lock_remote_domain_by_id(). */
	if (!domid)
		return script_fail(EPERM);
	if (type != XENMEM_resource_vmtrace_buf || !domain->ring_size)
		return script_fail(EINVAL);
	*size = domain->ring_size;
	return 0;
}

xenforeignmemory_resource_handle *
script_map_resource(xenforeignmemory_handle *fm, domid_t domid, unsigned int type,
		    unsigned int id, unsigned long frame, unsigned long frames, void **at,
		    int prot, int flags)
{
	size_t size = frames * (size_t)PAGE, offset = frame * (size_t)PAGE;
	struct script_domain *domain;
	void *mapped;

	if (script_fails("xenforeignmemory_map_resource"))
		return NULL;
	domain = xen_script_find(xen_script, domid);
	if (!domain)
		return script_fail_null(ESRCH);
	if (type != XENMEM_resource_vmtrace_buf || !domain->ring_size || !frames ||
	    offset > domain->ring_size || size > domain->ring_size - offset)
		return script_fail_null(EINVAL);
	if (id >= domain->vcpu_count)
		return script_fail_null(ENOENT);
	mapped = reserve(domain, frames, true);
	if (!mapped)
		return NULL;
	show(mapped, 0, prot, domain->vcpus[id].ring + offset, size);
	*at = mapped;
	return mapped;
}

int script_unmap_resource(xenforeignmemory_handle *fm,
			  xenforeignmemory_resource_handle *resource)
{
	bool failed = script_fails("xenforeignmemory_unmap_resource");
	int result = release(resource, true);

	return failed ? script_fail(xen_script->fail_errno) : result;
}
