/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hv/xen, asked anything by a toolstack, for a guest that does what it likes with its
 * memory and its tables while it is traced. tests/xen-host ends the program where Xen
 * does what it may not: a fault, a livelock, a page that is not let go of, a pause that
 * does not match, a write to what is not pinned. Here is looked, too, whether Xen counts
 * the trace of a guest that does nothing of that.
 */
#include <stdint.h>
#include <stdlib.h>

#include "tests/xen-host/host.h"

#include <asm/hvm/vmx/xenpt.h>
#include <asm/vpmu.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ALL(array) (sizeof(array) / sizeof((array)[0]))
#define PAGE 4096u

enum {
	STEPS = 300,
	TABLE = 16, /* the first GFNs of what is there at the start */
	TABLES = 4,
	REGION = 32,
	REGIONS = 16,
	VCPUS = 2,
	TRACE = 6 * PAGE
};

struct input {
	const uint8_t *data;
	size_t size;
};

struct machine {
	struct input *input;
	struct domain *d;
	struct vcpu *v; /* of the last step */
	/* Only if nobody has touched what the trace goes to. */
	struct {
		bool known;
		uint64_t traced; /* at the start */
	} count[VCPUS];
};

static uint64_t take(struct input *input, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size && input->size; i++, input->size--)
		value |= (uint64_t)*input->data++ << 8 * i;
	return value;
}

static void forget(struct machine *m)
{
	for (unsigned int i = 0; i < VCPUS; i++)
		m->count[i].known = false;
}

/* ---- the guest's memory ---- */

static uint64_t gfn(struct machine *m)
{
	const unsigned int n = take(m->input, 1) % 64;

	if (n == 63)
		return take(m->input, 8) >> 12;
	return n < 8 ? TABLE + n % TABLES : REGION + n % (REGIONS + 1);
}

/* Nearly right. */
static uint64_t table_entry(struct machine *m)
{
	const unsigned int kind = take(m->input, 1);
	const uint64_t size = kind & 8 ? (uint64_t)(kind >> 4 & 3) : 0;
	uint64_t value = gfn(m) << PAGE_SHIFT | size << XPT_TOPA_SIZE_SHIFT;

	switch (kind & 7) {
	case 0:
		return value | XPT_TOPA_END;
	case 1:
		return value | XPT_TOPA_STOP;
	case 2:
		return value;
	case 3:
		return value ^ 1ull << (take(m->input, 1) & 63);
	}
	return value | XPT_TOPA_INT;
}

static void write_entry(struct machine *m)
{
	const uint64_t table = TABLE + take(m->input, 1) % TABLES;
	const uint64_t index = take(m->input, 1) % 8;
	const uint64_t value = table_entry(m);

	host_write(m->d, table << PAGE_SHIFT | index * 8, &value, sizeof(value));
}

/* A ring over all the regions, in as many tables as @tables says. */
static void make_ring(struct machine *m, unsigned int nr, unsigned int tables)
{
	const unsigned int each = nr / tables;

	for (unsigned int i = 0; i < tables; i++) {
		const uint64_t base = (uint64_t)(TABLE + i) << PAGE_SHIFT;
		const uint64_t next = (uint64_t)(TABLE + (i + 1) % tables) << PAGE_SHIFT;
		uint64_t value;

		for (unsigned int n = 0; n < each; n++) {
			value = (uint64_t)(REGION + i * each + n) << PAGE_SHIFT |
				XPT_TOPA_INT;
			host_write(m->d, base + n * 8, &value, sizeof(value));
		}
		value = next | XPT_TOPA_END;
		host_write(m->d, base + each * 8, &value, sizeof(value));
	}
}

static void new_domain(struct machine *m)
{
	const unsigned int kind = take(m->input, 1);

	forget(m);
	m->d = host_domain_create(VCPUS);
	m->v = m->d->vcpu[0];
	for (unsigned int i = 0; i < TABLES; i++)
		host_page_add(m->d, TABLE + i);
	for (unsigned int i = 0; i < REGIONS; i++)
		host_page_add(m->d, REGION + i);
	make_ring(m, 1 + kind % REGIONS, kind >> 4 ? 1 : 1 + (kind & 1));
}

static void change_page(struct machine *m)
{
	static const p2m_type_t types[] = {
		p2m_ram_rw,    p2m_ram_ro,  p2m_ram_logdirty, p2m_ram_shared,
		p2m_ram_paged, p2m_mmio_dm, p2m_ioreq_server,
	};
	const unsigned long where = gfn(m) & 0xffff;
	struct page_info *pg = host_page(m->d, where);
	const unsigned int kind = take(m->input, 1);

	forget(m);
	switch (kind & 7) {
	case 0:
		host_page_take(m->d, where);
		break;
	case 1:
		host_page_add(m->d, where);
		break;
	case 2:
		if (pg && !pg->types)
			pg->xenheap = kind & 8;
		break;
	case 3:
		host_view_set(m->d, 1, where, kind >> 3 & 3);
		break;
	case 4:
		m->d->altp2m = kind & 8;
		break;
	default:
		if (pg && host_page_type(m->d, where) != p2m_map_foreign)
			host_page_set(m->d, where, types[(kind >> 5) % ALL(types)],
				      kind >> 3 & 3);
		break;
	}
}

static void write_memory(struct machine *m)
{
	const uint64_t where = gfn(m) << PAGE_SHIFT | (take(m->input, 2) & 0xfff);
	uint8_t bytes[32];

	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = take(m->input, 1);
	host_write(m->d, where, bytes, sizeof(bytes));
}

/* ---- operations ---- */

static uint64_t argument(struct machine *m)
{
	static const uint64_t good[] = {
		(uint64_t)TABLE << PAGE_SHIFT,
		XPT_CTL_OS | XPT_CTL_USER | XPT_CTL_BRANCH_EN,
		XPT_CTL_OS | XPT_CTL_BRANCH_EN | XPT_CTL_CR3_FILTER,
		XPT_CTL_USER | XPT_CTL_BRANCH_EN,
		XENPT_SETUP_LOSSLESS,
		XENPT_SETUP_NO_PIP,
		XENPT_SETUP_SOFT,
		XENPT_SETUP_SOFT | XENPT_SETUP_LOSSLESS,
		XPT_MSR_CR3_MATCH,
		XPT_MSR_ADDR0_A,
		0,
		3 * PAGE,
		(uint64_t)(TABLE + 1) << PAGE_SHIFT,
	};
	const unsigned int kind = take(m->input, 1);

	if (kind < 128)
		return good[kind % ALL(good)];
	return kind < 192 ? take(m->input, 2) : take(m->input, 8);
}

static uint64_t ask(struct machine *m, unsigned int vcpu, uint32_t cmd, uint64_t *key)
{
	uint64_t value = 0;

	*key = 0;
	return host_op(m->d, cmd, vcpu, key, &value) ? 0 : value;
}

/* What the CPU has put out and Xen's PIPs are what Xen says. */
static void check_count(struct machine *m, unsigned int vcpu)
{
	uint64_t total, status, put;

	if (!m->count[vcpu].known)
		return;
	status = ask(m, vcpu, XEN_DOMCTL_vmtrace_xenpt_status, &total);
	put = m->d->vcpu[vcpu]->traced - m->count[vcpu].traced;
	if (!(status & XENPT_STATUS_TOTAL))
		return;
	if (total < put || status & (XENPT_STATUS_FAULT | XPT_STATUS_ERROR))
		host_bug("%#lx bytes are said, %#lx were put", total, put);
	if ((total - put) % 8 && !(status & XPT_STATUS_STOPPED))
		host_bug("%#lx bytes are not PIPs", total - put);
}

static void operate(struct machine *m)
{
	const unsigned int kind = take(m->input, 1);
	const uint32_t cmd = kind == 255 ? take(m->input, 4)
					 : XEN_DOMCTL_vmtrace_xenpt_base + kind % 14;
	const uint64_t key_in = argument(m), value_in = argument(m);
	const unsigned int vcpu = m->v->vcpu_id, odd = take(m->input, 1);
	uint64_t key = key_in, value = value_in;
	int rc;

	if (odd >= 240)
		host.successes = odd & 15;
	m->d->hap = odd != 1;
	m->d->nested = odd == 2;
	m->d->is_dying = odd == 3;
	m->d->hvm = odd != 4;
	rc = host_op(odd == 5 ? host.dom0 : m->d, cmd, odd == 6 ? 77 : vcpu, &key,
		     &value);
	host.successes = HOST_ALL_SUCCEED;
	m->d->hap = m->d->hvm = true;
	m->d->nested = false;
	m->d->is_dying = 0;

	if (rc && (key != key_in || value != value_in))
		host_bug("a refusal that answers");
	if (!rc && cmd == XEN_DOMCTL_vmtrace_xenpt_setup && odd != 5) {
		/* One that writes over the other's tables is possible. */
		forget(m);
		m->count[vcpu].known = !(value_in & XENPT_SETUP_SOFT) &&
				       !m->d->vcpu[!vcpu]->arch.hvm.vmx.xenpt &&
				       !m->d->altp2m;
		m->count[vcpu].traced = m->v->traced;
	}
	if (!rc && cmd == XEN_DOMCTL_vmtrace_xenpt_reset)
		m->count[vcpu].traced = m->v->traced;
	if (!rc && cmd == XEN_DOMCTL_vmtrace_xenpt_teardown)
		m->count[vcpu].known = false;
}

/* ---- what runs ---- */

static void trace(struct machine *m)
{
	static uint8_t bytes[TRACE];

	host_trace(m->v, bytes, take(m->input, 2) % sizeof(bytes));
}

/* Any bytes as code, with interrupts, and exits where they may be. */
static void run_code(struct machine *m)
{
	const unsigned int kind = take(m->input, 1), steps = take(m->input, 1);
	struct host_code *code = &m->v->code;
	const uint64_t ip = gfn(m) << PAGE_SHIFT;

	if (!host_runs(m->v) && kind & 1) {
		host_code_start(m->v, ip, (uint64_t)(REGION + REGIONS) << PAGE_SHIFT);
		code->idt = (uint64_t)(REGION + 3) << PAGE_SHIFT;
		code->lstar = ip + 8;
		host_cpl_set(m->v, kind & 2 ? 3 : 0);
		forget(m);
	}
	host_run(m->v, 1 + (kind >> 2 & 1));
	code->deny_cr3 = kind & 8;
	code->hold_traps = kind & 16;
	code->late_events = kind >> 5 & 3;
	for (unsigned int i = 0; i < steps && host_step(m->v); i++) {
		if (code->nr > HOST_RAN_MAX / 2)
			code->nr = 0;
		if (i == 3 && kind & 128)
			code->irq = 0x20 + (steps & 31);
		if (i == 7 && steps & 1)
			code->nmi = true;
	}
	if (code->ran)
		forget(m);
}

/* The guest's own PT. */
static void guest_msr(struct machine *m)
{
	static const uint32_t msrs[] = {
		XPT_MSR_OUTPUT_BASE, XPT_MSR_OUTPUT_MASK_PTRS, XPT_MSR_CTL, XPT_MSR_CTL,
		XPT_MSR_STATUS,      XPT_MSR_CR3_MATCH,        0x390,       0x580,
	};
	const unsigned int kind = take(m->input, 1);
	const uint32_t msr = msrs[kind % ALL(msrs)];
	uint64_t value = argument(m);

	host_run(m->v, 1);
	if (!host_runs(m->v))
		return;
	forget(m);
	if (kind & 128)
		host_rdmsr_guest(m->v, msr, &value);
	else
		host_wrmsr_guest(m->v, msr, value | (kind & 64 ? 0x101 : 0));
}

static void stock(struct machine *m)
{
	const unsigned int kind = take(m->input, 1);
	uint64_t pos;

	if (!m->v->vmtrace.pg && !m->d->vmtrace_size)
		host_stock_add(m->v, 1 + kind % 4);
	host_stock(m->v, kind & 16, kind & 32);
	if (kind & 64)
		host_stock_position(m->v, &pos);
}

static void run(struct machine *m)
{
	const unsigned int kind = take(m->input, 1);

	switch (kind & 15) {
	case 0:
	case 1:
	case 2:
		host_run(m->v, 1 + (kind >> 4 & 1));
		break;
	case 3:
	case 4:
	case 5:
	case 6:
		host_run(m->v, m->v->processor ? m->v->processor : 1);
		trace(m);
		break;
	case 7:
		host_stop(m->v);
		break;
	case 8:
		host_cycle(m->v);
		break;
	case 9:
		if (host_runs(m->v))
			host_guest_cr3(m->v, take(m->input, 8));
		break;
	case 10:
		if (!host_runs(m->v))
			host_xen_cr3(m->v, take(m->input, 8));
		break;
	case 11:
		if (m->v->held)
			host_unpause(m->v);
		else
			host_pause(m->v);
		break;
	case 12:
		if (host_runs(m->v))
			host_apic_access(m->v, kind & 16);
		break;
	case 13:
		if (host_runs(m->v))
			host_vmfunc(m->v, kind >> 7, kind >> 4 & 3);
		break;
	case 14:
		if (host_runs(m->v))
			host_counter(m->v);
		break;
	case 15:
		host_stop(m->v);
		m->v->arch.hvm.guest_efer = kind & 16 ? EFER_LMA : 0;
		break;
	}
}

/* While a vCPU waits in the middle of Xen, the others, and the toolstack, do not. */
static struct machine *awake;

static void while_asleep(struct vcpu *v)
{
	struct vcpu *was = awake->v;

	awake->v = v;
	operate(awake);
	operate(awake);
	awake->v = was;
}

/* What Xen, its other parts and the CPU may be up to. */
static void circumstances(struct machine *m)
{
	const unsigned int kind = take(m->input, 1);

	vpmu_mode = kind & 1 ? XENPMU_MODE_SELF : XENPMU_MODE_OFF;
	host.preempt = kind & 2;
	if (!host_runs(m->v)) {
		m->v->arch.hvm.vmx.vmx_realmode = !!(kind & 4);
		host_vmcs_write(m->v, EXCEPTION_BITMAP,
				kind & 4 ? ~0u : m->v->arch.hvm.vmx.exception_bitmap);
	}
	m->v->code.bus_locks = kind & 8;
	awake = m;
	host.asleep = kind & 16 ? while_asleep : NULL;
	host.place = kind & 32 ? HOST_IN_COPY : HOST_IN_EXIT;
}

static void odd_things(struct machine *m)
{
	const unsigned int kind = take(m->input, 1);

	switch (kind & 3) {
	case 0:
		if (kind >> 4)
			break;
		host_domain_kill(m->d);
		new_domain(m);
		break;
	case 1:
		m->d->stuck = kind & 16;
		break;
	case 2:
		/* A region less what comes at entries and exits. */
		host.skid = 1 + take(m->input, 2) % (PAGE - 128);
		break;
	case 3:
		circumstances(m);
		break;
	}
}

static void step(struct machine *m)
{
	const unsigned int kind = take(m->input, 1);

	m->v = m->d->vcpu[kind >> 7];
	switch (kind & 15) {
	case 0:
	case 1:
	case 2:
	case 3:
		operate(m);
		break;
	case 4:
		forget(m);
		write_entry(m);
		break;
	case 5:
		change_page(m);
		break;
	case 6:
		forget(m);
		write_memory(m);
		break;
	case 7:
		odd_things(m);
		break;
	case 8:
	case 9:
		run_code(m);
		break;
	case 10:
		guest_msr(m);
		break;
	case 11:
		stock(m);
		break;
	default:
		run(m);
		break;
	}
	host_check();
	for (unsigned int i = 0; i < VCPUS; i++)
		check_count(m, i);
}

static struct host_model model_of(unsigned int kind)
{
	struct host_model model = host_model;

	if (kind & 1)
		model.exit &= ~VM_EXIT_CONCEAL_FROM_PT;
	if (kind & 2)
		model.caps.ebx0 &= ~XPT_CAP0_EBX_PSB_CYC;
	if ((kind & 12) == 12)
		model.caps.ecx0 &= ~XPT_CAP0_ECX_TOPA_MULTI;
	if ((kind & 48) == 48)
		model.caps.ebx0 &= ~(XPT_CAP0_EBX_CR3_FILTER | XPT_CAP0_EBX_IP_FILTER);
	model.proc_trace = !(kind & 64);
	if (kind & 128)
		model.primary &= ~CPU_BASED_MONITOR_TRAP_FLAG;
	model.guest_pt = kind & 1;
	if (kind == 255)
		model.caps.ecx0 = 0;
	return model;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct machine machine = { &input };
	struct host_model model;

	model = model_of(take(&input, 1));
	host_boot(&model, true);
	new_domain(&machine);
	/* Most of what can happen does so in a vCPU that is traced. */
	if (take(&input, 1) & 1) {
		uint64_t key = (uint64_t)TABLE << PAGE_SHIFT, value = take(&input, 1) & 7;

		host_op(machine.d, XEN_DOMCTL_vmtrace_xenpt_setup, 0, &key, &value);
		machine.count[0].known = !(value & XENPT_SETUP_SOFT);
		value = XPT_CTL_OS | XPT_CTL_BRANCH_EN;
		host_op(machine.d, XEN_DOMCTL_vmtrace_xenpt_enable, 0, &key, &value);
	}
	for (unsigned int i = 0; i < STEPS && input.size; i++)
		step(&machine);
	host_end();
	return 0;
}
