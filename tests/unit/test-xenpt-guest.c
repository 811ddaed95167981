/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "xenpt=guest": PT for the guest itself, in software mode and by the CPU. */
#include "tests/unit/stepped.h"

#include <asm/cpuid.h>
#include <asm/hvm/vlapic.h>
#include <asm/msr.h>
#include <asm/vpmu.h>
#include <asm/x86_emulate.h>

#define TOPA_PMI (1ull << 55)

static void boot_guest(struct guest *guest, bool proc_trace, bool guest_pt)
{
	struct host_model model = host_model;

	model.proc_trace = proc_trace;
	model.guest_pt = guest_pt;
	boot(guest, &model);
	add_ring(guest, 4, INT);
	add_code(guest);
	ENTER(guest, "\x48\xb8\0\0\x20\0\0\0\0\0\xff\xe0");
}

static struct cpuid_leaf leaf(struct guest *guest, uint32_t number, uint32_t subleaf)
{
	struct cpuid_leaf ret = { .a = number ? 0 : 0xd };

	xenpt_guest_cpuid(guest->d, number, subleaf, &ret);
	return ret;
}

static void test_cpuid(void **state)
{
	struct guest guest;

	boot_guest(&guest, false, true);
	assert_int_equal(leaf(&guest, 0, 0).a, 0x14);
	assert_int_equal(leaf(&guest, 7, 0).b, 1u << 25);
	assert_int_equal(leaf(&guest, 7, 1).b, 0);
	assert_int_equal(leaf(&guest, 0x14, 0).a, 1);
	assert_int_equal(leaf(&guest, 0x14, 0).c & 1, 1);
	assert_int_equal(leaf(&guest, 0x14, 1).a & 7, XPT_ADDR_RANGES_MAX);
	assert_int_equal(leaf(&guest, 0x14, 2).a, 0);
	guest.d->nested = true;
	assert_int_equal(leaf(&guest, 0x14, 0).a, 0);
	guest.d->nested = false;
	host_end();

	boot_guest(&guest, true, true);
	assert_int_equal(leaf(&guest, 0x14, 0).b, host_model.caps.ebx0);
	host_end();

	boot_guest(&guest, true, false);
	assert_int_equal(leaf(&guest, 0, 0).a, 0xd);
	assert_int_equal(leaf(&guest, 7, 0).b, 0);
	assert_int_equal(leaf(&guest, 0x14, 0).a, 0);
	assert_false(host_wrmsr_guest(guest.v, XPT_MSR_STATUS, 0));
}

static uint64_t msr(struct guest *guest, uint32_t number)
{
	uint64_t value = 0;

	assert_true(host_rdmsr_guest(guest->v, number, &value));
	return value;
}

/* What #GP is: hv/pt/msr.c's own tests say it all. */
static void test_msrs(void **state)
{
	struct guest guest;
	uint64_t value = 0;

	boot_guest(&guest, false, true);
	assert_false(host_wrmsr_guest(guest.v, XPT_MSR_CTL, XPT_CTL_MTC_EN));
	assert_false(host_wrmsr_guest(guest.v, XPT_MSR_CTL, XPT_CTL_FABRIC_EN));
	assert_false(host_wrmsr_guest(guest.v, XPT_MSR_OUTPUT_BASE, 0x81));
	assert_false(host_wrmsr_guest(guest.v, XPT_MSR_OUTPUT_BASE, 1ull << 39));
	assert_false(host_wrmsr_guest(guest.v, XPT_MSR_ADDR0_A, 1ull << 63));
	assert_false(host_wrmsr_guest(guest.v, XPT_MSR_ADDR0_A + 8, 0));
	assert_false(host_rdmsr_guest(guest.v, XPT_MSR_ADDR0_A + 8, &value));
	assert_false(host_wrmsr_guest(guest.v, MSR_CORE_PERF_GLOBAL_OVF_CTRL, 1));
	assert_true(host_wrmsr_guest(guest.v, XPT_MSR_OUTPUT_BASE, TABLE));
	assert_int_equal(msr(&guest, XPT_MSR_OUTPUT_BASE), TABLE);
	assert_true(host_wrmsr_guest(guest.v, XPT_MSR_ADDR0_A + 7, 0x1000));
	assert_int_equal(msr(&guest, XPT_MSR_ADDR0_A + 7), 0x1000);
}

static void trace_itself(struct guest *guest)
{
	assert_true(host_wrmsr_guest(guest->v, XPT_MSR_OUTPUT_BASE, TABLE));
	assert_true(host_wrmsr_guest(guest->v, XPT_MSR_OUTPUT_MASK_PTRS, 0x7f));
	assert_true(host_wrmsr_guest(guest->v, XPT_MSR_CTL,
				     CTL | XPT_CTL_TOPA | XPT_CTL_TRACE_EN));
}

static uint64_t put_out(struct guest *guest)
{
	return msr(guest, XPT_MSR_OUTPUT_MASK_PTRS) >> 32;
}

/* Its trace is what it ran; while it is on, the MSRs but CTL and STATUS are not for it.
 */
static void test_traces(void **state)
{
	static uint8_t bytes[PAGE];
	struct guest guest;
	uint64_t size;

	boot_guest(&guest, false, true);
	trace_itself(&guest);
	assert_int_equal(msr(&guest, XPT_MSR_CTL), CTL | XPT_CTL_TOPA | XPT_CTL_TRACE_EN);
	assert_false(host_wrmsr_guest(guest.v, XPT_MSR_OUTPUT_BASE, TABLE));
	guest.v->code.nr = 0;
	for (unsigned int i = 0; i < 100; i++)
		assert_true(host_step(guest.v));
	assert_true(host_wrmsr_guest(guest.v, XPT_MSR_CTL, 0));
	size = put_out(&guest);
	assert_in_range(size, 150, 400);
	assert_true(host_read(guest.d, REGION, bytes, size));
	assert_int_equal(compare_bytes(&guest, bytes, size, 0), 0);
	/* It is its own PIP: no hypervisor. */
	assert_null(guest.v->arch.hvm.vmx.xenpt);
	for (unsigned int i = 0; i < 10; i++)
		assert_true(host_step(guest.v));
	assert_int_equal(put_out(&guest), size);
}

/* The guest's memory that its tables do not find. */
static void test_missing(void **state)
{
	struct guest guest;

	boot_guest(&guest, false, true);
	entry(&guest, TABLE, 0, MISSING | INT);
	trace_itself(&guest);
	for (unsigned int i = 0; i < 200; i++)
		assert_true(host_step(guest.v));
	assert_true(msr(&guest, XPT_MSR_STATUS) & XPT_STATUS_ERROR);
}

static void test_owners(void **state)
{
	struct guest guest;
	uint64_t pos;

	boot_guest(&guest, false, true);
	host_stock_add(guest.v, 4);
	assert_true(host_run(guest.v, 1));
	trace_itself(&guest);
	assert_int_equal(op(&guest, OP(setup), TABLE, XENPT_SETUP_SOFT), -EEXIST);
	assert_int_equal(op(&guest, OP(teardown), 0, 0), -EEXIST);
	assert_int_equal(op(&guest, OP(disable), 0, 0), -EEXIST);
	assert_int_equal(host_stock(guest.v, true, true), -EEXIST);
	assert_false(host_stock_position(guest.v, &pos));
	assert_true(host_run(guest.v, 1));
	assert_true(host_wrmsr_guest(guest.v, XPT_MSR_CTL, 0));

	assert_int_equal(op(&guest, OP(setup), TABLE, XENPT_SETUP_SOFT), 0);
	assert_true(host_run(guest.v, 1));
	assert_int_equal(msr(&guest, XPT_MSR_CTL), XPT_CTL_TRACE_EN);
	assert_false(host_wrmsr_guest(guest.v, XPT_MSR_CTL,
				      CTL | XPT_CTL_TOPA | XPT_CTL_TRACE_EN));
	assert_int_equal(op(&guest, OP(teardown), 0, 0), 0);
	assert_true(host_run(guest.v, 1));
	assert_int_equal(msr(&guest, XPT_MSR_CTL), 0);
	trace_itself(&guest);
}

/* The toolstack's port is told of what it has set up, and there as long as that is. */
static void test_port(void **state)
{
	struct guest guest;
	struct vcpu *other;
	unsigned int port;

	boot_guest(&guest, false, true);
	other = guest.d->vcpu[1];
	host_xen_cr3(other, A);
	host_code_start(other, CODE, STACK - PAGE);
	assert_true(host_run(other, 2));
	guest.v = other;
	entry(&guest, TABLE, 0, MISSING | INT);
	trace_itself(&guest);
	assert_int_equal(op(&guest, OP(evtchn), 0, 0), -ENODATA);

	guest.v = guest.d->vcpu[0];
	add_pages(&guest, MISSING, PAGE);
	assert_int_equal(op(&guest, OP(setup), TABLE, XENPT_SETUP_SOFT), 0);
	host_page_take(guest.d, MISSING / PAGE);
	port = open_port(&guest);
	calls(&guest);
	for (unsigned int i = 0; i < 200; i++)
		assert_true(host_step(other));
	guest.v = other;
	assert_true(msr(&guest, XPT_MSR_STATUS) & XPT_STATUS_ERROR);
	assert_int_equal(calls(&guest), 0);
	assert_int_equal(op(&guest, OP(teardown), 0, 0), 0);
	assert_false(guest.d->ports[port].open);
	assert_int_equal(guest.d->arch.hvm.vmx.xenpt_port, 0);
}

/* By hardware, the stock interface has no struct xenpt_vcpu. */
static void test_stock(void **state)
{
	uint64_t ctl = CTL | XPT_CTL_TOPA | XPT_CTL_TRACE_EN;
	struct guest guest;

	boot_guest(&guest, true, true);
	guest.v->arch.hvm.vmx.ipt_active = true;
	assert_int_equal(msr(&guest, XPT_MSR_CTL), XPT_CTL_TRACE_EN);
	assert_false(host_wrmsr_guest(guest.v, XPT_MSR_CTL, ctl));
	guest.v->arch.hvm.vmx.ipt_active = false;
	/* Armed, and not enabled. */
	guest.v->arch.msrs->rtit.ctl = RTIT_CTL_TRACE_EN;
	assert_int_equal(msr(&guest, XPT_MSR_CTL), XPT_CTL_TRACE_EN);
	assert_false(host_wrmsr_guest(guest.v, XPT_MSR_CTL, ctl));
	guest.v->arch.msrs->rtit.ctl = 0;
	assert_int_equal(msr(&guest, XPT_MSR_CTL), 0);
	trace_itself(&guest);
}

static void test_interrupt(void **state)
{
	struct guest guest;

	boot_guest(&guest, false, true);
	guest.v->arch.hvm.vlapic.lvtpc = 0x42;
	assert_int_equal(msr(&guest, MSR_CORE_PERF_GLOBAL_STATUS), 0);
	trace_itself(&guest);
	for (unsigned int i = 0; i < 6000 && !guest.v->arch.hvm.vlapic.irqs; i++) {
		guest.v->code.nr = 0;
		assert_true(host_step(guest.v));
	}
	assert_int_equal(guest.v->arch.hvm.vlapic.irqs, 1);
	assert_int_equal(guest.v->arch.hvm.vlapic.vector, 0x42);
	/* SDM volume 3, "Local Vector Table": delivery masks it. */
	assert_int_equal(guest.v->arch.hvm.vlapic.lvtpc, 0x42 | APIC_LVT_MASKED);
	assert_int_equal(msr(&guest, MSR_CORE_PERF_GLOBAL_STATUS), TOPA_PMI);
	assert_true(host_wrmsr_guest(guest.v, MSR_CORE_PERF_GLOBAL_OVF_CTRL, 0));
	assert_int_equal(msr(&guest, MSR_CORE_PERF_GLOBAL_STATUS), TOPA_PMI);
	assert_true(host_wrmsr_guest(guest.v, MSR_CORE_PERF_GLOBAL_OVF_CTRL, TOPA_PMI));
	assert_int_equal(msr(&guest, MSR_CORE_PERF_GLOBAL_STATUS), 0);
}

/* A vPMU has these MSRs, and the interrupt. */
static void test_vpmu(void **state)
{
	uint64_t value = 0;
	struct guest guest;

	boot_guest(&guest, false, true);
	vpmu_mode = XENPMU_MODE_SELF;
	host.cpu = 1;
	assert_int_equal(xenpt_guest_rdmsr(guest.v, MSR_CORE_PERF_GLOBAL_STATUS, &value),
			 X86EMUL_UNHANDLEABLE);
	assert_int_equal(xenpt_guest_wrmsr(guest.v, MSR_CORE_PERF_GLOBAL_OVF_CTRL, 1),
			 X86EMUL_UNHANDLEABLE);
	host.cpu = 0;
	guest.v->arch.hvm.vlapic.lvtpc = 0x42;
	trace_itself(&guest);
	for (unsigned int i = 0; i < 6000; i++) {
		guest.v->code.nr = 0;
		assert_true(host_step(guest.v));
	}
	assert_true(msr(&guest, XPT_MSR_OUTPUT_MASK_PTRS) >> 7 & 0xff);
	assert_int_equal(guest.v->arch.hvm.vlapic.irqs, 0);
}

/*
 * The stock interface has set TraceEn, and not enabled it: what loads that at entry would
 * make the entry fail, if PT were on by then.
 */
static void test_armed(void **state)
{
	struct guest guest;

	boot_guest(&guest, true, true);
	guest.v->arch.msrs->rtit.ctl |= RTIT_CTL_TRACE_EN;
	assert_true(host_wrmsr_guest(guest.v, XPT_MSR_OUTPUT_BASE, TABLE));
	assert_false(host_wrmsr_guest(guest.v, XPT_MSR_CTL,
				      CTL | XPT_CTL_TOPA | XPT_CTL_TRACE_EN));
	guest.v->arch.msrs->rtit.ctl = 0;
	trace_itself(&guest);
}

/* With so much room left in its first region, which has INT. */
static void trace_from(struct guest *guest, unsigned int room)
{
	assert_true(host_wrmsr_guest(guest->v, XPT_MSR_STATUS, 0));
	assert_true(host_wrmsr_guest(guest->v, XPT_MSR_OUTPUT_BASE, TABLE));
	assert_true(host_wrmsr_guest(guest->v, XPT_MSR_OUTPUT_MASK_PTRS,
				     ptrs(0, PAGE - room)));
	assert_true(host_wrmsr_guest(guest->v, XPT_MSR_CTL,
				     CTL | XPT_CTL_TOPA | XPT_CTL_TRACE_EN));
}

/* The region may be full by what clearing TraceEn puts out. */
static void test_last_interrupt(void **state)
{
	unsigned int last = 0;
	struct guest guest;
	bool full, told;

	boot_guest(&guest, false, true);
	for (unsigned int room = 1; room < 64; room++) {
		trace_from(&guest, room);
		guest.v->code.nr = 0;
		assert_true(host_step(guest.v));
		told = msr(&guest, MSR_CORE_PERF_GLOBAL_STATUS);
		assert_true(host_wrmsr_guest(guest.v, XPT_MSR_CTL, 0));
		full = put_out(&guest) < PAGE - room;
		last += full && !told;
		assert_int_equal(msr(&guest, MSR_CORE_PERF_GLOBAL_STATUS),
				 full ? TOPA_PMI : 0);
		assert_true(host_wrmsr_guest(guest.v, MSR_CORE_PERF_GLOBAL_OVF_CTRL,
					     TOPA_PMI));
	}
	assert_true(last > 0);
}

/* By the CPU's own PT. */
static void test_by_cpu(void **state)
{
	struct guest guest;

	boot_guest(&guest, true, true);
	trace_itself(&guest);
	assert_true(host_vmcs_read(guest.v, SECONDARY_VM_EXEC_CONTROL) &
		    SECONDARY_EXEC_CONCEAL_FROM_PT);
	assert_int_equal(run(&guest, 100), 100);
	assert_true(put_out(&guest) > 100);
	assert_true(host_wrmsr_guest(guest.v, XPT_MSR_CTL, 0));
	assert_false(host_vmcs_read(guest.v, SECONDARY_VM_EXEC_CONTROL) &
		     SECONDARY_EXEC_CONCEAL_FROM_PT);
	assert_int_equal(host_vmcs_read(guest.v, GUEST_IA32_RTIT_CTL), 0);
}

/* guest_teardown() looks that nothing is left of it. */
static void test_dies(void **state)
{
	struct guest guest;

	boot_guest(&guest, false, true);
	trace_itself(&guest);
	host_step(guest.v);
	host_domain_kill(guest.d);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, guest_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_cpuid),   TEST(test_msrs),   TEST(test_traces),
		TEST(test_missing), TEST(test_owners), TEST(test_interrupt),
		TEST(test_by_cpu),  TEST(test_dies),   TEST(test_port),
		TEST(test_vpmu),    TEST(test_armed),  TEST(test_last_interrupt),
		TEST(test_stock),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
