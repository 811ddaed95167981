/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPUs that come up, vCPUs that go from one to another, interrupts, and the end. */
#include "tests/unit/xenpt.h"

#include <asm/hvm/hvm.h>
#include <asm/nmi.h>
#include <asm/vpmu.h>

#define ALL(array) (sizeof(array) / sizeof((array)[0]))
#define CAPS                                                                        \
	(XENPT_CAP_EPT | XENPT_CAP_PIP | XENPT_CAP_INT | XENPT_CAP_CR3_FILTER |     \
	 XENPT_CAP_MTC | XENPT_CAP_CYC | XENPT_CAP_PTWRITE | XENPT_CAP_TOPA_MULTI | \
	 2u << XENPT_CAP_RANGES_SHIFT | CAPS_SOFT)
#define CAPS_SOFT (XENPT_CAP_SOFT | XENPT_CAP_MTF)
/* Without PT: what software mode does is what there is. */
#define CAPS_SOFT_ONLY                                                      \
	(CAPS_SOFT | XENPT_CAP_PIP | XENPT_CAP_INT | XENPT_CAP_CR3_FILTER | \
	 XENPT_CAP_TOPA_MULTI | 4u << XENPT_CAP_RANGES_SHIFT)

#define TOPA_PMI (1ull << 55)

/* ---- bring-up ---- */

extern bool xenpt_cpu_used;

static void same(const struct host_model *model)
{
	const unsigned int printed = host.messages;

	host.cpus[1].model = *model;
	assert_int_equal(host_cpu_init(1), 0);
	assert_int_equal(host.messages, printed);
}

static uint64_t caps_of(struct domain *d)
{
	uint64_t key = 77, value = 77;

	assert_int_equal(host_op(d, OP(caps), 12345, &key, &value), 0);
	assert_int_equal(key, XENPT_INTERFACE_VERSION);
	return value;
}

/* It comes up, and no PT is used; or it is refused where some is. */
static void differs(const struct host_model *model, unsigned int cpu)
{
	for (unsigned int used = 0; used < 2; used++) {
		host_end();
		host_power_on(&host_model, true);
		assert_int_equal(host_cpu_init(0), 0);
		xenpt_cpu_used = used;
		host.cpus[cpu].model = *model;
		assert_int_equal(host_cpu_init(cpu), used ? -EINVAL : 0);
		assert_int_equal(host.messages, 1);
		assert_int_equal(caps_of(host.dom0) & XENPT_CAP_EPT,
				 used ? XENPT_CAP_EPT : 0);
	}
}

static void test_cpus_differ(void **state)
{
	struct host_model model = host_model;

	host_end();
	host_power_on(&model, true);
	assert_int_equal(host_cpu_init(0), 0);
	same(&model);
	/* Controls of which PT has none. */
	model.exit &= ~0xffu;
	same(&model);
	/* The first CPU, when it comes back from sleep. */
	assert_int_equal(host_cpu_init(0), 0);
	model = host_model;
	model.caps.ebx0 = 0;
	differs(&model, 0);
	model = host_model;
	model.caps.ebx0 &= ~XPT_CAP0_EBX_MTC;
	differs(&model, 1);
	model = host_model;
	model.caps.eax1 = 1;
	differs(&model, 1);
	model = host_model;
	model.exit &= ~VM_EXIT_CONCEAL_FROM_PT;
	differs(&model, 1);
	model = host_model;
	model.entry &= ~VM_ENTRY_CONCEAL_FROM_PT;
	differs(&model, 1);
	model = host_model;
	model.secondary &= ~SECONDARY_EXEC_PT_USE_GPA;
	differs(&model, 1);
	model = host_model;
	model.misc = 0;
	differs(&model, 1);
}

/* Whoever is set up uses it, enabled or not; by software nobody does. */
static void test_cpu_used(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	assert_false(xenpt_cpu_used);
	assert_int_equal(op(guest, OP(setup), TABLE, XENPT_SETUP_SOFT), 0);
	assert_int_equal(op(guest, OP(teardown), 0, 0), 0);
	assert_false(xenpt_cpu_used);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
	assert_true(xenpt_cpu_used);
}

/* The first one has no PT, or is told to have none: nothing is asked of the others. */
static void test_first_has_none(void **state)
{
	struct host_model none = host_model;

	host_end();
	none.proc_trace = false;
	host_power_on(&none, true);
	assert_int_equal(host_cpu_init(0), 0);
	same(&host_model);
	same(&none);
	host_end();
	host_power_on(&host_model, false);
	assert_int_equal(host_cpu_init(0), 0);
	same(&none);
}

/* ---- what Xen says that they have ---- */

/* For any domain, in any state. */
static void test_caps(void **state)
{
	struct guest *guest = *state;

	assert_int_equal(caps_of(guest->d), CAPS);
	assert_int_equal(caps_of(host.dom0), CAPS);
	guest->d->is_dying = 1;
	guest->d->hvm = guest->d->hap = false;
	assert_int_equal(caps_of(guest->d), CAPS);
}

static uint64_t caps_of_model(struct guest *guest, const struct host_model *model)
{
	host_end();
	boot(guest, model);
	return caps_of(guest->d);
}

static void test_caps_of_cpus(void **state)
{
	static const struct {
		uint32_t ebx0, cap;
	} bits[] = {
		{ XPT_CAP0_EBX_CR3_FILTER, XENPT_CAP_CR3_FILTER },
		{ XPT_CAP0_EBX_MTC, XENPT_CAP_MTC },
		{ XPT_CAP0_EBX_PSB_CYC, XENPT_CAP_CYC },
		{ XPT_CAP0_EBX_PTWRITE, XENPT_CAP_PTWRITE },
		{ XPT_CAP0_EBX_IP_FILTER, 7u << XENPT_CAP_RANGES_SHIFT },
	};
	struct host_model model;

	for (size_t i = 0; i < ALL(bits); i++) {
		model = host_model;
		model.caps.ebx0 &= ~bits[i].ebx0;
		assert_int_equal(caps_of_model(*state, &model), CAPS & ~bits[i].cap);
	}
	model = host_model;
	model.caps.ecx0 &= ~XPT_CAP0_ECX_TOPA_MULTI;
	assert_int_equal(caps_of_model(*state, &model), CAPS & ~XENPT_CAP_TOPA_MULTI);
}

static void no_pt(struct guest *guest, const struct host_model *model, uint64_t caps)
{
	assert_int_equal(caps_of_model(guest, model), caps);
	add_ring(guest, 4, INT);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), -ENODEV);
	assert_true(host_run(guest->v, 1));
	host_cycle(guest->v);
	host_counter(guest->v);
}

/* What makes PT useless here, each by itself. */
static void test_no_pt(void **state)
{
	struct host_model model = host_model;

	model.proc_trace = false;
	no_pt(*state, &model, CAPS_SOFT_ONLY | XENPT_CAP_STOCK_SOFT);
	assert_true(vmtrace_available);
	model = host_model;
	model.misc = 0;
	no_pt(*state, &model, CAPS_SOFT_ONLY);
	model = host_model;
	model.secondary &= ~SECONDARY_EXEC_PT_USE_GPA;
	no_pt(*state, &model, CAPS_SOFT_ONLY);
	model = host_model;
	model.exit &= ~VM_EXIT_CLEAR_RTIT_CTL;
	no_pt(*state, &model, CAPS_SOFT_ONLY);
	model = host_model;
	model.entry &= ~VM_ENTRY_LOAD_RTIT_CTL;
	no_pt(*state, &model, CAPS_SOFT_ONLY);
	model = host_model;
	model.caps.ecx0 = XPT_CAP0_ECX_SINGLE_RANGE;
	no_pt(*state, &model, CAPS_SOFT_ONLY);
}

/* Nor is stepping where exits would not be seen, or not be made. */
static void test_no_soft(void **state)
{
	struct host_model model = host_model;

	model.vnmi = false;
	assert_int_equal(caps_of_model(*state, &model), CAPS);
	model.primary &= ~CPU_BASED_MONITOR_TRAP_FLAG;
	assert_int_equal(caps_of_model(*state, &model), CAPS & ~CAPS_SOFT);
	model.vnmi = true;
	assert_int_equal(caps_of_model(*state, &model), CAPS & ~XENPT_CAP_MTF);
	model = host_model;
	model.secondary |= SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY;
	assert_int_equal(caps_of_model(*state, &model), CAPS & ~CAPS_SOFT);
	model.proc_trace = false;
	no_pt(*state, &model, 0);
	assert_false(vmtrace_available);
	model = host_model;
	model.secondary = 0;
	assert_int_equal(caps_of_model(*state, &model), 0);
}

static void test_switched_off(void **state)
{
	struct guest *guest = *state;

	host_end();
	host_boot(&host_model, false);
	guest->d = host_domain_create(1);
	assert_int_equal(caps_of(guest->d), 0);
	add_ring(guest, 4, INT);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), -ENODEV);
}

/* Something else has the interrupt. */
static void test_interrupt_taken(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	opt_watchdog = true;
	assert_int_equal(caps_of(guest->d), CAPS_SOFT_ONLY);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), -ENODEV);
	opt_watchdog = false;
	nmi_watchdog = NMI_LOCAL_APIC;
	assert_int_equal(caps_of(guest->d), CAPS_SOFT_ONLY);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), -ENODEV);
	nmi_watchdog = NMI_NONE;
	vpmu_mode = XENPMU_MODE_SELF;
	assert_int_equal(caps_of(guest->d), CAPS_SOFT_ONLY);
	assert_int_equal(op(guest, OP(setup), TABLE, 0), -ENODEV);
	vpmu_mode = XENPMU_MODE_OFF;
	assert_int_equal(op(guest, OP(setup), TABLE, 0), 0);
}

/* ---- from CPU to CPU ---- */

static void test_migrates(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	start(guest, XENPT_SETUP_NO_PIP);
	for (unsigned int i = 0; i < 50; i++) {
		run(guest, 333);
		host_stop(guest->v);
		assert_true(host_run(guest->v, 1 + i / 2 % 2));
		assert_int_equal(host.cpus[guest->v->processor].lvtpc, 0xf9);
	}
	host_stop(guest->v);
	assert_counted(guest);
	assert_in_range(total(guest), 50 * 333, 50 * 333 + 200);
	assert_at(guest, TABLE, total(guest) / PAGE % 4, total(guest) % PAGE);
}

/* It comes back to its CPU, where nobody else has been: the MSRs are still there. */
static void test_comes_back(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	start(guest, XENPT_SETUP_NO_PIP);
	for (unsigned int i = 0; i < 10; i++) {
		run(guest, 100);
		host_stop(guest->v);
		assert_ptr_equal(host.cpus[1].loaded, guest->v);
		assert_true(host_run(guest->v, 1));
	}
	host_stop(guest->v);
	assert_counted(guest);
}

/* Two that are traced, and a domain that is not, in turns on one CPU. */
static void test_take_turns(void **state)
{
	struct guest *guest = *state;
	struct guest second = { guest->d, guest->d->vcpu[1] };
	struct domain *other = host_domain_create(1);
	const uint64_t table = 0x300000, region = 0x400000;
	uint64_t key = table, value = 0, ctl = CTL;

	add_ring(guest, 4, INT);
	add_pages(guest, table, PAGE);
	add_pages(guest, region, PAGE);
	entry(guest, table, 0, region | STOP);
	host_xen_cr3(second.v, B);
	start(guest, 0);
	assert_int_equal(host_op(guest->d, OP(setup), 1, &key, &value), 0);
	assert_int_equal(host_op(guest->d, OP(enable), 1, &key, &ctl), 0);
	for (unsigned int i = 0; i < 20; i++) {
		assert_true(host_run(guest->v, 1));
		run(guest, 300);
		assert_true(host_run(second.v, 1));
		run(&second, 100);
		assert_true(host_run(other->vcpu[0], 1));
		host_cycle(other->vcpu[0]);
	}
	assert_in_range(total(guest), 20 * 300, 20 * 300 + 100);
	assert_int_equal(host_op(guest->d, OP(status), 1, &key, &value), 0);
	assert_in_range(key, 20 * 100, 20 * 100 + 100);
	assert_int_equal(other->vcpu[0]->traced, 0);
	assert_int_equal(host_vmcs_read(other->vcpu[0], GUEST_IA32_RTIT_CTL), 0);
}

/* ---- the interrupt ---- */

static void test_pmi(void **state)
{
	struct guest *guest = *state;
	struct host_cpu *cpu = &host.cpus[1];

	add_ring(guest, 4, 0);
	entry(guest, TABLE, 1, (REGION + PAGE) | INT);
	start(guest, 0);
	open_port(guest);
	assert_int_equal(cpu->lvtpc, 0xf9);
	run(guest, PAGE + 100);
	assert_int_equal(calls(guest), 0);
	for (unsigned int i = 0; i < 5; i++) {
		run(guest, PAGE);
		assert_int_equal(calls(guest), 1);
		run(guest, 3 * PAGE);
		assert_int_equal(calls(guest), 0);
		assert_int_equal(cpu->perf_status, 0);
		assert_int_equal(cpu->lvtpc, 0xf9); /* or the next one is lost */
	}
	assert_int_equal(host.vpmu_interrupts, 0);
}

/* Counters that a vPMU, which has come since, has to see. */
static void test_counters(void **state)
{
	struct guest *guest = *state;
	struct host_cpu *cpu = &host.cpus[1];

	add_ring(guest, 4, INT);
	start(guest, 0);
	open_port(guest);
	assert_true(host_counter(guest->v));
	assert_int_equal(cpu->perf_status, 1);
	vpmu_mode = XENPMU_MODE_SELF;
	cpu->perf_status |= TOPA_PMI;
	assert_true(host_counter(guest->v));
	assert_int_equal(cpu->perf_status, 1);
	assert_int_equal(calls(guest), 1);
	vpmu_mode = XENPMU_MODE_OFF;
	cpu->perf_status |= TOPA_PMI;
	assert_false(host_counter(guest->v));
}

/* It comes when another has the CPU: it is PT's, and nobody else's. */
static void test_late_pmi(void **state)
{
	struct guest *guest = *state;
	struct host_cpu *cpu = &host.cpus[1];

	add_ring(guest, 4, INT);
	start(guest, 0);
	assert_true(host_run(guest->d->vcpu[1], 1));
	cpu->perf_status = TOPA_PMI;
	cpu->pmi = true;
	host_cycle(guest->d->vcpu[1]);
	assert_int_equal(host.vpmu_interrupts, 0);
	assert_int_equal(cpu->perf_status, 0);
	/* No vCPU of a guest's. */
	host.cpu = 0;
	host.cpus[0].perf_status = TOPA_PMI;
	host.dom0->hvm = false;
	assert_true(xenpt_pmi());
	assert_false(xenpt_pmi());
}

/* ---- VMFUNC ---- */

static void test_vmfunc(void **state)
{
	struct guest *guest = *state;
	struct vmx_vcpu *vmx = &guest->v->arch.hvm.vmx;

	add_ring(guest, 4, INT);
	start(guest, 0);
	assert_false(host_vmfunc(guest->v, 0, 1)); /* no altp2m */
	guest->d->altp2m = true;
	assert_true(host_vmfunc(guest->v, 0, 1));
	assert_int_equal(guest->v->view, 1);
	assert_false(host_vmfunc(guest->v, 0, HOST_VIEWS));
	assert_false(host_vmfunc(guest->v, 1, 0)); /* another function */
	assert_int_equal(guest->v->view, 1);
	vmx->secondary_exec_control &= ~SECONDARY_EXEC_ENABLE_VM_FUNCTIONS;
	assert_false(host_vmfunc(guest->v, 0, 0));
	vmx->secondary_exec_control |= SECONDARY_EXEC_ENABLE_VM_FUNCTIONS;
	assert_true(status(guest) & XENPT_STATUS_ON);
	/* Not traced: the CPU does it without Xen, or Xen refuses it as before. */
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_true(host_run(guest->v, 1));
	assert_false(host_vmfunc(guest->v, 0, 0));
	assert_true(host_run(guest->d->vcpu[1], 2));
	assert_false(host_vmfunc(guest->d->vcpu[1], 0, 0));
}

/* ---- the end ---- */

/* host_domain_kill() looks at what is left. */
static void test_dies_traced(void **state)
{
	struct guest *guest = *state;
	uint64_t key = 0x300000, value = 0;

	add_ring(guest, 4, INT);
	add_pages(guest, key, PAGE);
	add_pages(guest, 0x400000, PAGE);
	entry(guest, key, 0, 0x400000 | STOP);
	start(guest, 0);
	open_port(guest);
	assert_int_equal(host_op(guest->d, OP(setup), 1, &key, &value), 0);
	run(guest, 3 * PAGE);
	host_page_take(guest->d, REGION / PAGE);
	host_domain_kill(guest->d);
	assert_int_equal(host.heap_pages + host.blocks + host.maps, 0);
}

/* Xen may be made to do it in parts. */
static void test_relinquish_twice(void **state)
{
	struct guest *guest = *state;

	add_ring(guest, 4, INT);
	start(guest, 0);
	host_pause(guest->v);
	xenpt_domain_relinquish(guest->d);
	xenpt_domain_relinquish(guest->d);
	host_unpause(guest->v);
	assert_int_equal(op(guest, OP(status), 0, 0), -ENODATA);
	assert_true(host_run(guest->v, 1));
}

/* What has never been set up notices nothing of it. */
static void test_untouched(void **state)
{
	struct guest *guest = *state;
	struct host_vmcs before = guest->v->arch.hvm.vmx.vmcs;

	add_ring(guest, 4, INT);
	assert_true(host_run(guest->v, 1));
	host_guest_cr3(guest->v, A);
	run(guest, 100);
	host_cycle(guest->v);
	host_stop(guest->v);
	assert_int_equal(op(guest, OP(disable), 0, 0), 0);
	assert_memory_equal(&before, &guest->v->arch.hvm.vmx.vmcs,
			    sizeof(before.fields[0]) * before.nr);
	assert_int_equal(host.cpus[1].lvtpc, APIC_LVT_MASKED);
	assert_int_equal(guest->v->traced, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, guest_setup, guest_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_cpus_differ),
		TEST(test_cpu_used),
		TEST(test_first_has_none),
		TEST(test_caps),
		TEST(test_caps_of_cpus),
		TEST(test_no_pt),
		TEST(test_no_soft),
		TEST(test_switched_off),
		TEST(test_interrupt_taken),
		TEST(test_migrates),
		TEST(test_comes_back),
		TEST(test_take_turns),
		TEST(test_pmi),
		TEST(test_counters),
		TEST(test_late_pmi),
		TEST(test_vmfunc),
		TEST(test_dies_traced),
		TEST(test_relinquish_twice),
		TEST(test_untouched),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
