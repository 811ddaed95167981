/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Boot and end, Xen's heap, and what is always so. */
#include <stdarg.h>
#include <stdio.h>

#include "tests/xen-host/host.h"

#include <asm/hvm/vmx/xenpt.h>
#include <asm/nmi.h>
#include <asm/vpmu.h>
#include <xen/param.h>
#include <xen/sort.h>
#include <xen/vmap.h>

#include "xenpt-private.h"

#define PT_CONTROLS (SECONDARY_EXEC_CONCEAL_FROM_PT | SECONDARY_EXEC_PT_USE_GPA)

struct host host;
bool opt_watchdog, vmtrace_available;
unsigned long cpu_khz = 2400000;
unsigned int nmi_watchdog, vpmu_mode, paddr_bits;

const struct host_model host_model = {
	.vmx = true,
	.proc_trace = true,
	.vnmi = true,
	.caps = {
		.ebx0 = XPT_CAP0_EBX_CR3_FILTER | XPT_CAP0_EBX_PSB_CYC |
			XPT_CAP0_EBX_IP_FILTER | XPT_CAP0_EBX_MTC |
			XPT_CAP0_EBX_PTWRITE,
		.ecx0 = XPT_CAP0_ECX_TOPA | XPT_CAP0_ECX_TOPA_MULTI |
			XPT_CAP0_ECX_SINGLE_RANGE,
		.eax1 = 0x02490002,
		.ebx1 = 0x003f3fff,
		.maxphyaddr = 39,
	},
	.misc = VMX_MISC_PROC_TRACE,
	.primary = CPU_BASED_VIRTUAL_INTR_PENDING | CPU_BASED_CR3_LOAD_EXITING |
		   CPU_BASED_VIRTUAL_NMI_PENDING | CPU_BASED_MONITOR_TRAP_FLAG,
	.secondary = SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_ENABLE_VM_FUNCTIONS |
		     SECONDARY_EXEC_CONCEAL_FROM_PT | SECONDARY_EXEC_PT_USE_GPA |
		     SECONDARY_EXEC_DESCRIPTOR_TABLE_EXITING,
	.exit = 0x00ffffff | VM_EXIT_CONCEAL_FROM_PT | VM_EXIT_CLEAR_RTIT_CTL,
	.entry = 0x0001ffff | VM_ENTRY_CONCEAL_FROM_PT | VM_ENTRY_LOAD_RTIT_CTL,
};

/* What is __read_mostly: as it is in Xen's image. */
extern char __start_host_read_mostly[], __stop_host_read_mostly[];

static void reset_variables(void)
{
	static char *image;
	const size_t size = __stop_host_read_mostly - __start_host_read_mostly;

	if (!image) {
		image = malloc(size);
		if (!image)
			abort();
		memcpy(image, __start_host_read_mostly, size);
	}
	memcpy(__start_host_read_mostly, image, size);
	opt_watchdog = false;
	nmi_watchdog = NMI_NONE;
	vpmu_mode = XENPMU_MODE_OFF;
	vmtrace_available = false;
}

void host_power_on(const struct host_model *model, bool opt_xenpt)
{
	static struct domain idle_domain;
	static struct vcpu idle[HOST_CPUS];

	reset_variables();
	memset(&host, 0, sizeof(host));
	HOST_BUG_ON(host_param_parse_xenpt(!opt_xenpt        ? "no"
					   : model->guest_pt ? "yes,guest"
							     : "yes"));
	host_memory_init();
	host.skid = 64;
	host.successes = HOST_ALL_SUCCEED;
	paddr_bits = model->caps.maxphyaddr;
	for (unsigned int i = 0; i < HOST_CPUS; i++) {
		idle[i].domain = &idle_domain;
		host.cpus[i].model = *model;
		host.cpus[i].idle = host.cpus[i].vcpu = &idle[i];
		host.cpus[i].lvtpc = APIC_LVT_MASKED;
		pt_clobber(&host.cpus[i]);
	}
	host.dom0 = host_domain_create(1);
	host.cpus[0].vcpu = host.dom0->vcpu[0];
}

int host_cpu_init(unsigned int cpu)
{
	const struct host_model *model = &host.cpus[cpu].model;
	int rc;

	host.cpu = cpu;
	/* Xen keeps what it would give to all vCPUs: PT is not in it. */
	rc = xenpt_cpu_init(!cpu, model->secondary & ~PT_CONTROLS, model->misc);
	host.cpu = 0;
	return rc;
}

void host_boot(const struct host_model *model, bool opt_xenpt)
{
	host_power_on(model, opt_xenpt);
	for (unsigned int i = 0; i < HOST_CPUS; i++)
		HOST_BUG_ON(host_cpu_init(i));
	HOST_BUG_ON(host_init_soft_init());
}

void host_end(void)
{
	for (unsigned int i = 0; i < HOST_DOMAINS; i++)
		if (host.domains[i])
			host_domain_kill(host.domains[i]);
	host_memory_check();
	HOST_BUG_ON(host.heap_pages || host.blocks || host.maps || host.page_maps);
}

void host_bug(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("xen-host: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	abort();
}

/* ---- Xen's library ---- */

int parse_bool(const char *s, const char *e)
{
	const size_t size = e - s;

	if (size == 3 && !memcmp(s, "yes", 3))
		return 1;
	if (size == 2 && !memcmp(s, "no", 2))
		return 0;
	return -1;
}

int parse_boolean(const char *name, const char *s, const char *e)
{
	const size_t size = strlen(name);

	return (size_t)(e - s) == size && !memcmp(s, name, size) ? 1 : -1;
}

void sort(void *base, size_t num, size_t size, int (*cmp)(const void *a, const void *b),
	  void (*swap)(void *a, void *b, size_t size))
{
	uint8_t *bytes = base;
	size_t largest, child;

	/* A heap, as there. */
	for (size_t n = num / 2, end = num; end > 1;) {
		if (n)
			n--;
		else
			swap(bytes, bytes + --end * size, size);
		for (size_t at = n; (child = 2 * at + 1) < end; at = largest) {
			largest = child;
			if (child + 1 < end &&
			    cmp(bytes + child * size, bytes + (child + 1) * size) < 0)
				largest = child + 1;
			if (cmp(bytes + at * size, bytes + largest * size) >= 0)
				break;
			swap(bytes + at * size, bytes + largest * size, size);
		}
	}
}

/* ---- what is always so ---- */

static void check_vcpu(const struct vcpu *v)
{
	const struct xenpt_vcpu *xp = v->arch.hvm.vmx.xenpt;
	uint32_t size;

	HOST_BUG_ON(v->pause_count != v->held + (xp && xp->waits));
	HOST_BUG_ON(host_runs(v) && v->pause_count);
	if (!xp)
		return;
	HOST_BUG_ON(xp->waits && !xp->enabled);
	HOST_BUG_ON(xp->consumed > xp->total);
	if (xp->flags & (XENPT_SETUP_SOFT | XENPT_SETUP_GUEST))
		return;
	size = xenpt_output_size(&xp->out);
	if (xp->out.ring)
		HOST_BUG_ON(xp->position != xp->total % size);
	else
		HOST_BUG_ON(xp->position != xp->total || xp->position > size);
}

bool host_is_stepped(const struct domain *d)
{
	const struct vcpu *v;

	for_each_vcpu(d, v)
	{
		const struct xenpt_vcpu *xp = v->arch.hvm.vmx.xenpt;

		if (xp && xp->flags & (XENPT_SETUP_SOFT | XENPT_SETUP_GUEST))
			return true;
	}
	return false;
}

/* References are the p2m's and what is pinned; types are what is pinned. */
static void check_pins(void)
{
	for (unsigned int i = 0; i < HOST_DOMAINS; i++) {
		const struct vcpu *v;

		if (!host.domains[i])
			continue;
		for_each_vcpu(host.domains[i], v)
		{
			const struct xenpt_vcpu *xp = v->arch.hvm.vmx.xenpt;

			for (unsigned int n = 0; xp && n < xp->out.nr_pages; n++) {
				const struct page_info *pg = xp->out.pages[n].pg;

				HOST_BUG_ON(!pg->refs || !pg->types);
				HOST_BUG_ON(pg->owner != v->domain);
				HOST_BUG_ON(pg->type != PGT_writable_page);
			}
		}
	}
}

void host_check(void)
{
	if (host.asked)
		return;
	HOST_BUG_ON(host.irqs_off || host.gfns || host.page_maps);
	for (unsigned int i = 0; i < HOST_DOMAINS; i++) {
		const struct vcpu *v;

		if (!host.domains[i])
			continue;
		HOST_BUG_ON(host.domains[i]->locked);
		for_each_vcpu(host.domains[i], v) check_vcpu(v);
	}
	check_pins();
}

/* ---- Xen's heap ---- */

bool host_succeed(void)
{
	HOST_BUG_ON(host.irqs_off);
	if (host.successes == HOST_ALL_SUCCEED)
		return true;
	if (!host.successes)
		return false;
	host.successes--;
	return true;
}

/* With something in it that Xen must not take for its own. */
static void *allocate(size_t align, size_t size, unsigned int *count)
{
	void *memory;

	if (!host_succeed())
		return NULL;
	if (posix_memalign(&memory, align, size))
		abort();
	memset(memory, 0xa5, size);
	++*count;
	return memory;
}

static void release(void *memory, unsigned int *count)
{
	if (!memory)
		return;
	HOST_BUG_ON(!*count);
	--*count;
	free(memory);
}

void *alloc_xenheap_page(void)
{
	return allocate(PAGE_SIZE, PAGE_SIZE, &host.heap_pages);
}

void free_xenheap_page(void *page)
{
	release(page, &host.heap_pages);
}

void *vmalloc(size_t size)
{
	return allocate(64, size, &host.blocks);
}

void *vzalloc(size_t size)
{
	void *memory = vmalloc(size);

	if (memory)
		memset(memory, 0, size);
	return memory;
}

void vfree(void *memory)
{
	release(memory, &host.blocks);
}

void printk(const char *format, ...)
{
	host.messages++;
}
