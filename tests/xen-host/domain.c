/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Domains and their vCPUs, event channels, and how dom0 asks. */
#include "tests/xen-host/host.h"

#include <asm/hvm/vmx/xenpt.h>
#include <asm/msr.h>
#include <xen/event.h>

struct domain *host_domain_create(unsigned int vcpus)
{
	struct domain *d = calloc(1, sizeof(*d));
	unsigned int id = 0;

	if (!d)
		abort();
	while (host.domains[id])
		HOST_BUG_ON(++id == HOST_DOMAINS);
	host.domains[id] = d;
	d->domain_id = id;
	d->hvm = d->hap = true;
	d->policy.extd.maxphysaddr = paddr_bits;
	d->arch.cpu_policy = &d->policy;
	d->p2m = host_p2m_create(d);
	for (unsigned int i = 0; i < HOST_VIEWS; i++)
		d->views[i] = host_p2m_create(d);
	d->max_vcpus = vcpus;
	for (unsigned int i = 0; i < vcpus; i++) {
		struct vcpu *v = calloc(1, sizeof(*v));

		if (!v)
			abort();
		v->vcpu_id = i;
		v->domain = d;
		v->processor = i % HOST_CPUS;
		v->arch.msrs = &v->msrs;
		v->arch.hvm.guest_efer = EFER_LMA;
		v->arch.hvm.guest_cr[0] = X86_CR0_PG;
		v->arch.hvm.guest_cr[4] = X86_CR4_PAE;
		v->arch.hvm.vmx.secondary_exec_control =
			SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_ENABLE_VM_FUNCTIONS;
		/* Some that are none of PT's. */
		host_vmcs_write(v, VM_ENTRY_CONTROLS, host.cpus[0].model.entry & 0xd1ff);
		v->arch.hvm.vmx.exec_control = HOST_CONTROLS;
		v->arch.hvm.vmx.exception_bitmap =
			1u << TRAP_debug | 1u << TRAP_nmi | 1u << TRAP_machine_check;
		host_vmcs_write(v, CPU_BASED_VM_EXEC_CONTROL,
				v->arch.hvm.vmx.exec_control);
		host_vmcs_write(v, EXCEPTION_BITMAP, v->arch.hvm.vmx.exception_bitmap);
		host_vmcs_write(v, VM_EXIT_CONTROLS, 0x3fefff);
		v->arch.hvm.vmx.msr_bitmap = &v->arch.hvm.vmx.bitmap;
		host_vmcs_write(v, GUEST_EFER, HOST_EFER);
		host_vmcs_write(v, GUEST_SYSENTER_CS, HOST_SYSENTER_CS);
		host_vmcs_write(v, GUEST_IDTR_LIMIT, HOST_IDT_LIMIT);
		host_vmcs_write(v, SECONDARY_VM_EXEC_CONTROL,
				v->arch.hvm.vmx.secondary_exec_control);
		d->vcpu[i] = v;
		if (i)
			d->vcpu[i - 1]->next_in_list = v;
	}
	return d;
}

static void domain_free(struct domain *d)
{
	for (unsigned int i = 0; i < d->max_vcpus; i++) {
		free(d->vcpu[i]->code.ran);
		free(d->vcpu[i]);
	}
	for (unsigned int i = 0; i < HOST_VIEWS; i++)
		host_p2m_free(d->views[i]);
	host_p2m_free(d->p2m);
	host.domains[d->domain_id] = NULL;
	free(d);
}

/* ---- the stock interface ---- */

void host_stock_add(struct vcpu *v, unsigned int nr_pages)
{
	HOST_BUG_ON(v->vmtrace.pg);
	v->vmtrace.pg = host_pages_alloc(v->domain, nr_pages);
	v->domain->vmtrace_size = nr_pages * PAGE_SIZE;
	v->arch.msrs->rtit.output_limit = nr_pages * PAGE_SIZE - 1;
}

/* vmtrace_free_buffer(). */
static void free_buffer(struct vcpu *v)
{
	struct page_info *pg = v->vmtrace.pg;

	v->vmtrace.pg = NULL;
	for (unsigned int i = 0; pg && i < v->domain->vmtrace_size / PAGE_SIZE; i++)
		put_page(&pg[i]);
}

/* vmtrace_set_option(), of IA32_RTIT_CTL. */
static int set_ctl(struct vcpu *v, bool enable)
{
	uint64_t *ctl = &v->arch.msrs->rtit.ctl;
	const bool old = *ctl & RTIT_CTL_TRACE_EN;

	if (xenpt_held(v))
		return xenpt_held(v);
	*ctl = XPT_CTL_OS | XPT_CTL_USER | XPT_CTL_BRANCH_EN | XPT_CTL_DIS_RETC;
	if (enable)
		*ctl |= RTIT_CTL_TRACE_EN;
	return old != enable ? xenpt_stock_enable(v, enable) : 0;
}

/* vmtrace_control(). */
static int control(struct vcpu *v, bool enable, bool reset)
{
	int rc;

	if (v->arch.hvm.vmx.ipt_active == enable)
		return -EINVAL;
	if (reset)
		v->arch.msrs->rtit.status = v->arch.msrs->rtit.output_offset = 0;
	rc = set_ctl(v, enable);
	if (!rc)
		v->arch.hvm.vmx.ipt_active = enable;
	return rc;
}

int host_stock(struct vcpu *v, bool enable, bool reset)
{
	int rc;

	if (!v->vmtrace.pg || cpu_has_proc_trace)
		return -ENODEV;
	host.cpu = 0;
	host.asked = true;
	host_watch();
	vcpu_pause(v);
	rc = control(v, enable, reset);
	vcpu_unpause(v);
	host_watched(NULL);
	host.asked = false;
	host_check();
	return rc;
}

bool host_stock_position(struct vcpu *v, uint64_t *pos)
{
	host.cpu = 0;
	host.asked = true;
	host_watch();
	vcpu_pause(v);
	xenpt_stock_settle(v);
	*pos = v->arch.msrs->rtit.output_offset;
	vcpu_unpause(v);
	host_watched(NULL);
	host.asked = false;
	return v->arch.hvm.vmx.ipt_active;
}

static void relinquish(struct domain *d)
{
	int rc;

	do {
		host_watch();
		rc = xenpt_domain_relinquish(d);
		host_watched(NULL);
		HOST_BUG_ON(rc && rc != -ERESTART);
		host.restarts += !!rc;
	} while (rc);
}

/* Xen's domain_kill() and what it calls, in that order. */
void host_domain_kill(struct domain *d)
{
	struct vcpu *v;

	host.cpu = 0;
	if (d == host.dom0)
		host.cpus[0].vcpu = host.cpus[0].idle;
	for_each_vcpu(d, v) host_pause(v);
	domain_lock(d);
	d->is_dying = 1;
	memset(d->ports, 0, sizeof(d->ports));
	domain_unlock(d);
	for_each_vcpu(d, v) free_buffer(v);
	relinquish(d);
	host_p2m_take_all(d);
	host_check();

	for_each_vcpu(d, v)
	{
		HOST_BUG_ON(v->arch.hvm.vmx.xenpt);
		/* Or the hypervisor would trace into memory that is not there. */
		HOST_BUG_ON(host_vmcs_read(v, GUEST_IA32_RTIT_CTL));
		HOST_BUG_ON(v->pause_count != v->held);
	}
	HOST_BUG_ON(d->arch.hvm.vmx.xenpt_port);
	domain_free(d);
}

static int call(struct domain *d, struct xen_domctl_vmtrace_op *op)
{
	int rc;

	host.cpu = 0;
	host.asked = true;
	host_watch();
	rc = xenpt_domctl(d, op);
	host_watched(NULL);
	host.asked = false;
	host_check();
	return rc;
}

int host_op(struct domain *d, uint32_t cmd, uint32_t vcpu, uint64_t *key, uint64_t *value)
{
	struct xen_domctl_vmtrace_op op = { cmd, vcpu, *key, *value };
	int rc;

	/* The hypercall's continuation begins with what the caller has. */
	while ((rc = call(d, &op)) == -ERESTART) {
		op = (struct xen_domctl_vmtrace_op){ cmd, vcpu, *key, *value };
		host.restarts++;
		if (host.between)
			host.between(d);
	}
	/* do_domctl() copies back what succeeded. */
	if (!rc) {
		*key = op.key;
		*value = op.value;
	}
	return rc;
}

/* ---- what keeps vCPUs from running ---- */

struct vcpu *host_current(void)
{
	return host.cpus[host.cpu].vcpu;
}

unsigned int smp_processor_id(void)
{
	return host.cpu;
}

struct vcpu *domain_vcpu(const struct domain *d, unsigned int id)
{
	return id < d->max_vcpus ? d->vcpu[id] : NULL;
}

/* Waits until it has come out, and no CPU has anything of it. */
void vcpu_pause(struct vcpu *v)
{
	HOST_BUG_ON(host.irqs_off || v == current || v->domain->locked);
	v->pause_count++;
	host_watched(NULL);
	host_stop(v);
	host_sync(v);
	host_watch();
}

void vcpu_pause_nosync(struct vcpu *v)
{
	HOST_BUG_ON(host.irqs_off);
	v->pause_count++;
}

void vcpu_unpause(struct vcpu *v)
{
	HOST_BUG_ON(!v->pause_count);
	v->pause_count--;
}

void host_pause(struct vcpu *v)
{
	v->held++;
	host_watch();
	vcpu_pause(v);
}

void host_unpause(struct vcpu *v)
{
	HOST_BUG_ON(!v->held);
	v->held--;
	vcpu_unpause(v);
}

void domain_lock(struct domain *d)
{
	HOST_BUG_ON(host.irqs_off || d->locked);
	d->locked = true;
}

void domain_unlock(struct domain *d)
{
	HOST_BUG_ON(!d->locked);
	d->locked = false;
}

bool hypercall_preempt_check(void)
{
	HOST_BUG_ON(host.irqs_off);
	return host.preempt;
}

/* ---- event channels ---- */

int alloc_unbound_xen_event_channel(struct domain *d, unsigned int vcpu, uint16_t remote,
				    xen_event_channel_notification_t notify)
{
	HOST_BUG_ON(!domain_vcpu(d, vcpu));
	if (!host_succeed())
		return -ENOSPC;
	for (int port = 1; port < HOST_PORTS; port++)
		if (!d->ports[port].open) {
			d->ports[port] =
				(struct host_port){ .open = true, .remote = remote };
			return port;
		}
	return -ENOSPC;
}

/* The port of a dying domain is closed already. */
static struct host_port *port_of(struct domain *d, int port)
{
	HOST_BUG_ON(port <= 0 || port >= HOST_PORTS);
	HOST_BUG_ON(!d->ports[port].open && !d->is_dying);
	return &d->ports[port];
}

void free_xen_event_channel(struct domain *d, int port)
{
	*port_of(d, port) = (struct host_port){ 0 };
}

void notify_via_xen_event_channel(struct domain *d, int port)
{
	port_of(d, port)->notified++;
}
