/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scripted Xen with hv/xen: its calls, as xenpt.h has them, with guest frames that
 * come and go, and the event channel. The CPU is hv/pt/topa.c, which writes to guest
 * memory as the tables there say.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hv/pt/msr.h"
#include "hv/xen/xen/include/public/xenpt.h"
#include "tests/unit/xen-script-calls.h"

#define PAGE 4096u
#define REMOTE_PORT 9
#define LOCAL_PORT 33
#define TABLES_MAX 64

static const char *const names[] = {
	"xenpt_caps",     "xenpt_setup",   "xenpt_enable",   "xenpt_disable",
	"xenpt_position", "xenpt_status",  "xenpt_reset",    "xenpt_filter",
	"xenpt_evtchn",   "xenpt_consume", "xenpt_teardown", "xenpt_budget",
};

/* ---- Guest frames -------------------------------------------------------- */

static struct script_spare *find_spare(struct script_domain *domain, uint64_t gfn)
{
	for (size_t i = 0; i < domain->spare_count; i++) {
		if (domain->spares[i].there && domain->spares[i].gfn == gfn)
			return &domain->spares[i];
	}
	return NULL;
}

uint8_t *xen_script_page(struct script_domain *domain, uint64_t gfn)
{
	struct script_spare *spare = find_spare(domain, gfn);

	if (spare)
		return domain->spare + (spare - domain->spares) * PAGE;
	if (gfn < domain->page_count && !domain->absent[gfn])
		return domain->memory + gfn * PAGE;
	return NULL;
}

void xen_script_take_away(struct script_domain *domain, uint64_t gfn)
{
	struct script_spare *spare = find_spare(domain, gfn);

	if (spare)
		spare->there = false;
}

size_t xen_script_spares(const struct script_domain *domain)
{
	size_t count = 0;

	for (size_t i = 0; i < domain->spare_count; i++)
		count += domain->spares[i].there;
	return count;
}

static bool is_mapped(const struct script_domain *domain, size_t spare)
{
	for (size_t i = 0; i < SCRIPT_MAPPINGS; i++) {
		const struct script_mapping *mapping = &xen_script->mappings[i];

		if (mapping->at && mapping->domain == domain &&
		    mapping->spares[spare / 64] >> spare % 64 & 1)
			return true;
	}
	return false;
}

size_t xen_script_held(const struct script_domain *domain)
{
	size_t count = 0;

	for (size_t i = 0; i < domain->spare_count; i++)
		count += domain->spares[i].used && !domain->spares[i].there &&
			 is_mapped(domain, i);
	return count;
}

int script_maximum_gpfn(xc_interface *xc, uint32_t domid, xen_pfn_t *gpfn)
{
	struct script_domain *domain = script_domctl(xc, "xc_domain_maximum_gpfn", domid);

	if (!domain)
		return -1;
	*gpfn = domain->highest;
	if (domain->page_count && domain->page_count - 1 > domain->highest)
		*gpfn = domain->page_count - 1;
	return 0;
}

int script_setmaxmem(xc_interface *xc, uint32_t domid, uint64_t kb)
{
	struct script_domain *domain = script_domctl(xc, "xc_domain_setmaxmem", domid);

	if (!domain)
		return -1;
	domain->max_pages = kb / 4;
	return 0;
}

/* As the hypervisor: from the first on, up to the one that does not go. */
int script_populate(xc_interface *xc, uint32_t domid, unsigned long count,
		    unsigned int order, unsigned int flags, xen_pfn_t *gfns)
{
	struct script_domain *domain =
		script_domctl(xc, "xc_domain_populate_physmap", domid);
	unsigned long done;
	size_t i = 0, held;

	if (!domain)
		return -1;
	if (domain->flags & XEN_DOMINF_dying)
		return script_fail(EINVAL);
	held = xen_script_held(domain);
	for (done = 0; done < count; done++) {
		while (i < domain->spare_count && domain->spares[i].used)
			i++;
		if (i == domain->spare_count || xen_script->free_pages == 0 ||
		    domain->page_count + xen_script_spares(domain) + held >=
			    domain->max_pages)
			break;
		/* What was there is lost. */
		if (xen_script_page(domain, gfns[done]))
			xen_script->unbalanced++;
		domain->spares[i] = (struct script_spare){ gfns[done], true, true };
		memset(domain->spare + i * PAGE, 0, PAGE);
		xen_script->free_pages--;
		if (gfns[done] > domain->highest)
			domain->highest = gfns[done];
	}
	return (int)done;
}

int script_decrease(xc_interface *xc, uint32_t domid, unsigned long count,
		    unsigned int order, xen_pfn_t *gfns)
{
	struct script_domain *domain =
		script_domctl(xc, "xc_domain_decrease_reservation", domid);
	unsigned long done;

	if (!domain)
		return -1;
	if (domain->flags & XEN_DOMINF_dying)
		return script_fail(EINVAL);
	for (done = 0; done < count; done++) {
		struct script_spare *spare = find_spare(domain, gfns[done]);

		/* The guest's own. */
		if (!spare && xen_script_page(domain, gfns[done]))
			xen_script->unbalanced++;
		if (!spare)
			break;
		for (uint32_t i = 0; i < domain->vcpu_count; i++)
			xen_script->taken_while_traced +=
				domain->vcpus[i].vpt.set_up &&
				domain->vcpus[i].vpt.base / PAGE == gfns[done];
		spare->there = false;
		xen_script->free_pages++;
	}
	return (int)done;
}

/* ---- The event channel --------------------------------------------------- */

static void notify(struct script_domain *domain)
{
	struct script_evtchn *evtchn = &xen_script->evtchn;

	if (!domain->has_port || evtchn->domain != domain)
		return;
	if (evtchn->masked)
		evtchn->again = true;
	else if (write(evtchn->pipe[1], "", 1) == 1)
		evtchn->masked = true;
}

int script_evtchn_bind(xenevtchn_handle *handle, uint32_t domid, evtchn_port_t port)
{
	struct script_domain *domain;

	if (script_fails("xenevtchn_bind_interdomain"))
		return -1;
	domain = xen_script_find(xen_script, domid);
	if (!domain)
		return script_fail(ESRCH);
	if (!domain->has_port || port != REMOTE_PORT || xen_script->evtchn.domain)
		return script_fail(EINVAL);
	xen_script->evtchn.domain = domain;
	xen_script->evtchn.masked = xen_script->evtchn.again = false;
	return LOCAL_PORT;
}

int script_evtchn_fd(xenevtchn_handle *handle)
{
	return script_fails("xenevtchn_fd") ? -1 : xen_script->evtchn.pipe[0];
}

int script_evtchn_pending(xenevtchn_handle *handle)
{
	char byte;

	if (script_fails("xenevtchn_pending"))
		return -1;
	if (read(xen_script->evtchn.pipe[0], &byte, 1) != 1)
		return script_fail(EAGAIN);
	return LOCAL_PORT;
}

int script_evtchn_unmask(xenevtchn_handle *handle, evtchn_port_t port)
{
	struct script_evtchn *evtchn = &xen_script->evtchn;

	if (script_fails("xenevtchn_unmask"))
		return -1;
	if (port != LOCAL_PORT || !evtchn->domain)
		return script_fail(EINVAL);
	evtchn->masked = false;
	if (evtchn->again)
		notify(evtchn->domain);
	evtchn->again = false;
	return 0;
}

void script_evtchn_close_all(void)
{
	char byte;

	xen_script->evtchn.domain = NULL;
	while (read(xen_script->evtchn.pipe[0], &byte, 1) == 1)
		;
}

int script_evtchn_unbind(xenevtchn_handle *handle, evtchn_port_t port)
{
	if (script_fails("xenevtchn_unbind"))
		return -1;
	if (port != LOCAL_PORT || !xen_script->evtchn.domain) {
		xen_script->unbalanced++;
		return script_fail(EINVAL);
	}
	script_evtchn_close_all();
	return 0;
}

/* ---- The CPU ------------------------------------------------------------- */

static bool read_guest(void *arg, uint64_t gpa, void *buf, size_t size)
{
	const uint8_t *page = xen_script_page(arg, gpa / PAGE);

	if (page)
		memcpy(buf, page + gpa % PAGE, size);
	return page;
}

static bool write_guest(void *arg, uint64_t gpa, const void *buf, size_t size)
{
	uint8_t *page = xen_script_page(arg, gpa / PAGE);

	if (page)
		memcpy(page + gpa % PAGE, buf, size);
	return page;
}

static const struct xpt_mem_ops mem_ops = { read_guest, write_guest };

static void start(struct script_domain *domain, struct script_vpt *vpt)
{
	xpt_topa_init(&vpt->topa, &mem_ops, domain, vpt->base, XPT_MASK_PTRS_LOW, 0,
		      false, 46, !(xen_script->vpt_caps & XENPT_CAP_TOPA_MULTI));
	vpt->consumed = 0;
	vpt->waits = vpt->fault = false;
}

static bool ended(const struct script_vpt *vpt)
{
	return vpt->fault || vpt->spent ||
	       vpt->topa.status & (XPT_STATUS_STOPPED | XPT_STATUS_ERROR);
}

/* One byte. False: the vCPU waits, or its trace has ended. */
static bool put(struct script_domain *domain, struct script_vpt *vpt, uint8_t byte)
{
	enum xpt_topa_result result;
	size_t done;

	if (!vpt->enabled || ended(vpt))
		return false;
	if (vpt->flags & XENPT_SETUP_LOSSLESS &&
	    vpt->topa.written - vpt->consumed >= vpt->size) {
		if (!vpt->waits)
			notify(domain);
		vpt->waits = true;
		return false;
	}
	result = xpt_topa_write(&vpt->topa, &byte, 1, &done);
	if (result == XPT_TOPA_FAULT)
		vpt->fault = true;
	if (result != XPT_TOPA_OK || vpt->topa.interrupt)
		notify(domain);
	vpt->topa.interrupt = false;
	if (done && vpt->insns && !--vpt->insns) {
		vpt->spent = true;
		notify(domain);
	}
	return done == 1;
}

size_t script_vpt_trace(struct script_domain *domain, uint32_t vcpu, const uint8_t *bytes,
			size_t size)
{
	size_t done = 0;

	while (done < size && put(domain, &domain->vcpus[vcpu].vpt, bytes[done]))
		done++;
	return done;
}

/* ---- XEN_DOMCTL_vmtrace_op ----------------------------------------------- */

/* All pages of a region. */
static int check_region(struct script_domain *domain, uint64_t entry, uint64_t *size)
{
	uint64_t base = entry & ~(uint64_t)(PAGE - 1);
	uint64_t length = (uint64_t)PAGE
			  << (entry >> XPT_TOPA_SIZE_SHIFT & XPT_TOPA_SIZE_MASK);

	if (base & (length - 1))
		return EDOM;
	for (uint64_t i = 0; i < length; i += PAGE) {
		if (!xen_script_page(domain, (base + i) / PAGE))
			return ERANGE;
	}
	*size += length;
	return 0;
}

/* From the first table to the one that links back to it. */
static int walk(struct script_domain *domain, uint64_t first, struct script_vpt *ret)
{
	uint64_t table = first, entry, *size_ret = &ret->size;
	unsigned int tables = 0;
	int errnum = 0;

	*size_ret = 0;
	ret->counts = xen_script->vpt_caps & XENPT_CAP_INT;
	do {
		if (table % PAGE || ++tables > TABLES_MAX)
			return EDOM;
		for (size_t i = 0; i < PAGE / 8 && !errnum; i++) {
			if (!read_guest(domain, table + 8 * i, &entry, 8))
				return table == first ? EFAULT : ERANGE;
			if (entry & XPT_TOPA_END)
				break;
			errnum = check_region(domain, entry, size_ret);
			ret->counts &= (entry & XPT_TOPA_INT) != 0;
			ret->largest |= entry >> XPT_TOPA_SIZE_SHIFT & XPT_TOPA_SIZE_MASK;
		}
		if (errnum || !(entry & XPT_TOPA_END))
			return errnum ? errnum : EDOM;
		table = entry & ~(uint64_t)(PAGE - 1);
	} while (table != first);
	return 0;
}

static int set_up(struct script_domain *domain, struct script_vcpu *vcpu, uint64_t gpa,
		  uint64_t flags)
{
	struct script_vpt *vpt = &vcpu->vpt;
	bool soft = flags & XENPT_SETUP_SOFT, lossless = flags & XENPT_SETUP_LOSSLESS;
	struct script_vpt new = { .set_up = true, .flags = flags, .base = gpa };
	int errnum;

	if (!(domain->flags & XEN_DOMINF_hap))
		return ENXIO;
	if (domain->nested)
		return EXDEV;
	if (vcpu->active || vpt->set_up)
		return EBUSY;
	if (!(xen_script->vpt_caps & (soft ? XENPT_CAP_SOFT : XENPT_CAP_EPT)))
		return ENODEV;
	errnum = walk(domain, gpa, &new);
	if (errnum)
		return errnum;
	if (new.size > (uint64_t)XENPT_PAGES_MAX * PAGE)
		return E2BIG;
	/* Several parts at least, and all are of one size here. */
	if (lossless && (!new.counts || new.size < 4 * (uint64_t)PAGE << new.largest))
		return EINVAL;
	*vpt = new;
	domain->has_port = true;
	start(domain, vpt);
	return 0;
}

static void tear_down(struct script_domain *domain, struct script_vpt *vpt)
{
	*vpt = (struct script_vpt){};
	for (uint32_t i = 0; i < domain->vcpu_count; i++) {
		if (domain->vcpus[i].vpt.set_up)
			return;
	}
	domain->has_port = false;
	/* Xen clears the regions: nobody may have left something to read there. */
	memset(domain->spare, 0, domain->spare_count * PAGE);
}

static bool ctl_is_known(uint64_t ctl)
{
	uint64_t known = XPT_CTL_OS | XPT_CTL_USER | XPT_CTL_TSC_EN | XPT_CTL_BRANCH_EN;
	uint64_t caps = xen_script->vpt_caps;

	if (caps & XENPT_CAP_CR3_FILTER)
		known |= XPT_CTL_CR3_FILTER;
	if (caps & XENPT_CAP_MTC)
		known |= XPT_CTL_MTC_EN | 15ull << XPT_CTL_MTC_FREQ_SHIFT;
	if (caps & XENPT_CAP_CYC)
		known |= XPT_CTL_CYC_EN | 15ull << XPT_CTL_CYC_THRESH_SHIFT;
	if (caps & XENPT_CAP_PTWRITE)
		known |= XPT_CTL_PTW_EN | XPT_CTL_FUP_ON_PTW;
	for (unsigned int i = 0; i < (caps >> XENPT_CAP_RANGES_SHIFT & 7); i++)
		known |= 15ull << XPT_CTL_ADDR_CFG_SHIFT(i);
	return !(ctl & ~known);
}

static int enable(struct script_vpt *vpt, uint64_t ctl)
{
	if (vpt->enabled)
		return EBUSY;
	if (!ctl_is_known(ctl))
		return EINVAL;
	if (ended(vpt))
		return EIO;
	vpt->ctl = ctl;
	vpt->enabled = true;
	return 0;
}

static int set_filter(struct script_vpt *vpt, uint64_t msr, uint64_t value)
{
	if (vpt->enabled)
		return EBUSY;
	if (msr == XPT_MSR_CR3_MATCH && !(value & 31))
		vpt->cr3_match = value;
	else if (msr >= XPT_MSR_ADDR0_A && msr < XPT_MSR_ADDR0_A + 8)
		vpt->addr[msr - XPT_MSR_ADDR0_A] = value;
	else
		return EINVAL;
	return 0;
}

static void tell_status(const struct script_vpt *vpt, uint64_t *key, uint64_t *value)
{
	*value = vpt->topa.status & ~(XPT_STATUS_BYTES_MASK << XPT_STATUS_BYTES_SHIFT);
	if (vpt->counts && !xen_script->vpt_counts_not) {
		*value |= XENPT_STATUS_TOTAL;
		*key = vpt->topa.written;
	}
	if (vpt->waits)
		*value |= XENPT_STATUS_WAITS;
	if (vpt->fault)
		*value |= XENPT_STATUS_FAULT;
	if (vpt->spent)
		*value |= XENPT_STATUS_SPENT;
	if (vpt->enabled && !ended(vpt))
		*value |= XENPT_STATUS_ON;
}

static int consume(struct script_vpt *vpt, uint64_t total)
{
	if (!(vpt->flags & XENPT_SETUP_LOSSLESS) || total < vpt->consumed ||
	    total > vpt->topa.written)
		return EINVAL;
	vpt->consumed = total;
	vpt->waits = false;
	return 0;
}

/* On a vCPU that is set up. */
static int control(struct script_domain *domain, struct script_vpt *vpt, uint32_t cmd,
		   uint64_t *key, uint64_t *value)
{
	switch (cmd) {
	case XEN_DOMCTL_vmtrace_xenpt_enable:
		return enable(vpt, *value);
	case XEN_DOMCTL_vmtrace_xenpt_disable:
		vpt->enabled = false;
		return 0;
	case XEN_DOMCTL_vmtrace_xenpt_position:
		*key = vpt->topa.output_base;
		*value = vpt->topa.output_mask_ptrs;
		return 0;
	case XEN_DOMCTL_vmtrace_xenpt_status:
		tell_status(vpt, key, value);
		return 0;
	case XEN_DOMCTL_vmtrace_xenpt_reset:
		if (vpt->enabled)
			return EBUSY;
		start(domain, vpt);
		return 0;
	case XEN_DOMCTL_vmtrace_xenpt_filter:
		return set_filter(vpt, *key, *value);
	case XEN_DOMCTL_vmtrace_xenpt_consume:
		return consume(vpt, *value);
	case XEN_DOMCTL_vmtrace_xenpt_budget:
		if (!(vpt->flags & XENPT_SETUP_SOFT))
			return EINVAL;
		vpt->insns = *value;
		vpt->spent = false;
		return 0;
	case XEN_DOMCTL_vmtrace_xenpt_teardown:
		tear_down(domain, vpt);
		return 0;
	default:
		return EOPNOTSUPP;
	}
}

static int dispatch(struct script_domain *domain, struct script_vcpu *vcpu, uint32_t cmd,
		    uint64_t *key, uint64_t *value)
{
	if (vcpu->self && cmd != XEN_DOMCTL_vmtrace_xenpt_evtchn)
		return EEXIST;
	switch (cmd) {
	case XEN_DOMCTL_vmtrace_xenpt_setup:
		return set_up(domain, vcpu, *key, *value);
	case XEN_DOMCTL_vmtrace_xenpt_evtchn:
		*value = REMOTE_PORT;
		return domain->has_port ? 0 : ENODATA;
	case XEN_DOMCTL_vmtrace_xenpt_disable:
	case XEN_DOMCTL_vmtrace_xenpt_teardown:
		if (!vcpu->vpt.set_up)
			return 0;
		break;
	default:
		break;
	}
	return vcpu->vpt.set_up ? control(domain, &vcpu->vpt, cmd, key, value) : ENODATA;
}

int script_vmtrace_op(xc_interface *xc, struct xen_domctl *domctl)
{
	struct xen_domctl_vmtrace_op *op = &domctl->u.vmtrace_op;
	uint32_t n = op->cmd - XEN_DOMCTL_vmtrace_xenpt_caps;
	bool known = domctl->cmd == XEN_DOMCTL_vmtrace_op &&
		     n < sizeof(names) / sizeof(names[0]);
	uint64_t key = op->key, value = op->value;
	struct script_domain *domain =
		script_domctl(xc, known ? names[n] : "xc_domctl", domctl->domain);
	int errnum;

	if (!domain)
		return -1;
	/* Stock Xen. */
	if (!known || !xen_script->vpt_caps)
		return script_fail(domain->ring_size ? EOPNOTSUPP : EINVAL);
	if (op->cmd == XEN_DOMCTL_vmtrace_xenpt_caps) {
		op->key = xen_script->vpt_version;
		op->value = xen_script->vpt_caps;
		return 0;
	}
	if (!domctl->domain)
		return script_fail(EDEADLK);
	if (domain->flags & XEN_DOMINF_dying)
		return script_fail(ESRCH);
	if (op->vcpu >= domain->vcpu_count)
		return script_fail(ENOENT);
	errnum = dispatch(domain, &domain->vcpus[op->vcpu], op->cmd, &key, &value);
	if (errnum)
		return script_fail(errnum);
	op->key = key;
	op->value = value;
	return 0;
}
