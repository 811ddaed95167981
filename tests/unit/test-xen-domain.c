/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An open Xen domain: registers, pauses, its end, the console, triple faults. */
#include <errno.h>
#include <poll.h>

#include "tests/unit/xen-domain.h"

#include <xen/hvm/params.h>
#include <xen/sched.h>

struct setup {
	struct xen_script *script;
	struct script_domain *guest;
	struct hv_domain *domain;
};

static struct setup set_up(void)
{
	struct setup setup = { .script = xen_script_create() };

	setup.guest = start_guest(setup.script);
	setup.domain = open_domain("guest");
	return setup;
}

static void tear_down(struct setup *setup)
{
	close_domain(setup->domain);
	end_script(setup->script);
}

/* ---- Registers --------------------------------------------------------------- */

static struct xenpt_registers registers_of(struct setup *setup, uint32_t vcpu)
{
	struct xenpt_registers regs;

	memset(&regs, 0xff, sizeof(regs));
	check_error(setup->domain->ops->registers(setup->domain, vcpu, &regs));
	return regs;
}

static void test_registers(void **state)
{
	struct setup setup = set_up();
	struct hvm_hw_cpu *cpu = &setup.guest->vcpus[1].cpu;
	struct xenpt_registers regs;

	*cpu = (struct hvm_hw_cpu){
		.rax = 100,
		.rcx = 101,
		.rdx = 102,
		.rbx = 103,
		.rsp = 104,
		.rbp = 105,
		.rsi = 106,
		.rdi = 107,
		.r8 = 108,
		.r9 = 109,
		.r10 = 110,
		.r11 = 111,
		.r12 = 112,
		.r13 = 113,
		.r14 = 114,
		.r15 = 115,
		.rip = UINT64_C(0xffffffff81234567),
		.rflags = 0x246,
		.cr0 = 0x80050033,
		.cr2 = 0xdead,
		.cr3 = 0x1234005,
		.cr4 = 0x3606f0,
		.fs_base = 1,
		.gs_base = 2,
		.shadow_gs = 3,
		.idtr_base = 4,
		.gdtr_base = 5,
		.msr_lstar = 6,
		.msr_efer = 0xd01,
		.tsc = 7,
		.cs_sel = 0x33,
		.ss_sel = 0x2b,
		.cs_arbytes = 0xafb,
		.ss_arbytes = 0xcf3,
	};
	regs = registers_of(&setup, 1);
	for (size_t i = 0; i < 16; i++)
		assert_int_equal(regs.gpr[i], 100 + i);
	assert_true(regs.rip == UINT64_C(0xffffffff81234567));
	assert_int_equal(regs.rflags, 0x246);
	assert_int_equal(regs.cr0, 0x80050033);
	assert_int_equal(regs.cr2, 0xdead);
	assert_int_equal(regs.cr3, 0x1234005);
	assert_int_equal(regs.cr4, 0x3606f0);
	assert_int_equal(regs.efer, 0xd01);
	assert_int_equal(regs.fs_base, 1);
	assert_int_equal(regs.gs_base, 2);
	assert_int_equal(regs.shadow_gs_base, 3);
	assert_int_equal(regs.idt_base, 4);
	assert_int_equal(regs.gdt_base, 5);
	assert_int_equal(regs.lstar, 6);
	assert_int_equal(regs.tsc, 7);
	assert_int_equal(regs.cs, 0x33);
	assert_int_equal(regs.ss, 0x2b);
	assert_int_equal(regs.cpl, 3);
	assert_int_equal(regs.mode, 64);
	check_says(setup.domain->ops->registers(setup.domain, 2, &regs), "no vCPU 2");
	tear_down(&setup);
}

static void test_modes(void **state)
{
	static const struct {
		uint64_t cr0, rflags, efer;
		uint32_t cs_ar, ss_ar;
		uint8_t mode, cpl;
	} cases[] = {
		{ 0x80000011, 2, 0x500, 0xa9b, 0xc93, 64, 0 },
		{ 0x80000011, 2, 0x500, 0xafb, 0xcf3, 64, 3 },
		{ 0x80000011, 2, 0x500, 0xcfb, 0xcf3, 32, 3 }, /* compatibility mode */
		{ 0x80000011, 2, 0x500, 0x0fb, 0xcf3, 16, 3 },
		{ 0x80000011, 2, 0, 0xc9b, 0xc93, 32, 0 },
		{ 0x11, 2, 0, 0x09b, 0x093, 16, 0 },
		{ 0x11, 2, 0, 0x29b, 0x093, 16, 0 }, /* L says nothing without LMA */
		{ 0x10, 2, 0, 0x09b, 0x0f3, 16, 0 }, /* real mode */
		{ 0x11, 0x20002, 0, 0x0f3, 0x093, 16, 3 }, /* virtual 8086 */
	};
	struct setup setup = set_up();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvm_hw_cpu *cpu = &setup.guest->vcpus[0].cpu;
		struct xenpt_registers regs;

		cpu->cr0 = cases[i].cr0;
		cpu->rflags = cases[i].rflags;
		cpu->msr_efer = cases[i].efer;
		cpu->cs_arbytes = cases[i].cs_ar;
		cpu->ss_arbytes = cases[i].ss_ar;
		regs = registers_of(&setup, 0);
		assert_int_equal(regs.mode, cases[i].mode);
		assert_int_equal(regs.cpl, cases[i].cpl);
	}
	tear_down(&setup);
}

static const struct xenpt_registers no_registers;

/* One that is offline has none, which is no reason not to record the others. */
static void test_offline(void **state)
{
	struct setup setup = set_up();
	struct xenpt_registers regs;

	setup.guest->vcpus[1].offline = true;
	regs = registers_of(&setup, 1);
	assert_memory_equal(&regs, &no_registers, sizeof(regs));
	assert_int_equal(registers_of(&setup, 0).mode, 64);
	tear_down(&setup);
}

/* ---- Pauses ------------------------------------------------------------------ */

static void test_pause(void **state)
{
	struct setup setup = set_up();
	const struct hv_ops *ops = setup.domain->ops;
	struct hv_event event;

	setup.guest->pauses = setup.guest->pauses_before = 1; /* somebody's */
	check_error(ops->pause(setup.domain));
	check_error(ops->pause(setup.domain));
	assert_int_equal(setup.guest->pauses, 3);
	check_error(ops->resume(setup.domain));
	assert_int_equal(setup.guest->pauses, 2);
	/* That it is paused by us is no change of its state. */
	check_error(ops->event(setup.domain, &event));
	assert_int_equal(event.type, HV_EVENT_NONE);
	assert_int_equal(setup.domain->info->state, HV_RUNNING);
	/* What is left of ours close() undoes, and nothing more. */
	tear_down(&setup);
}

static void test_resume_too_often(void **state)
{
	struct setup setup = set_up();

	setup.guest->pauses = setup.guest->pauses_before = 1;
	check_error(setup.domain->ops->resume(setup.domain));
	assert_int_equal(setup.guest->pauses, 1);
	tear_down(&setup);
}

/* ---- Its end ----------------------------------------------------------------- */

static bool is_readable(struct hv_domain *domain)
{
	struct pollfd fd = { .fd = domain->ops->fd(domain), .events = POLLIN };

	return poll(&fd, 1, 0) == 1;
}

static enum hv_event_type next_event(struct hv_domain *domain)
{
	struct hv_event event = {};

	check_error(domain->ops->event(domain, &event));
	return event.type;
}

static void check_end(enum script_end how, enum hv_state wanted, const char *reason,
		      bool gone)
{
	struct setup setup = set_up();
	struct hv_domain *domain = setup.domain;
	struct xenpt_registers regs;

	assert_int_equal(next_event(domain), HV_EVENT_NONE);
	assert_false(is_readable(domain));
	/* Another domain's end is not ours. */
	xen_script_end(setup.script, xen_script_add(setup.script, 99, "other"),
		       SCRIPT_CRASH);
	assert_true(is_readable(domain));
	assert_int_equal(next_event(domain), HV_EVENT_NONE);
	assert_false(is_readable(domain));

	check_error(domain->ops->pause(domain));
	xen_script_end(setup.script, setup.guest, how);
	assert_true(is_readable(domain));
	assert_int_equal(next_event(domain), HV_EVENT_STATE);
	assert_int_equal(domain->info->state, wanted);
	assert_string_equal(domain->info->reason, reason);
	assert_int_equal(xen_domain_of(domain)->gone, gone);
	assert_int_equal(next_event(domain), HV_EVENT_NONE);
	assert_false(is_readable(domain));

	regs = registers_of(&setup, 0);
	assert_int_equal(regs.mode, gone ? 0 : 64);
	check_error(domain->ops->resume(domain));
	check_error(domain->ops->pause(domain));
	tear_down(&setup);
}

static void test_ends(void **state)
{
	check_end(SCRIPT_CRASH, HV_CRASHED, "crash", false);
	check_end(SCRIPT_WATCHDOG, HV_CRASHED, "watchdog", false);
	check_end(SCRIPT_POWEROFF, HV_ENDED, "poweroff", false);
	check_end(SCRIPT_REBOOT, HV_ENDED, "reboot", false);
	check_end(SCRIPT_DESTROY, HV_ENDED, "destroyed", true);
	check_end(SCRIPT_REUSE, HV_ENDED, "destroyed", true);
}

/* It crashed, and whoever manages it destroyed it at once. */
static void test_crash_and_destroy(void **state)
{
	struct setup setup = set_up();
	uint8_t byte;

	/* As long as its memory is mapped it is dying, and says of what. */
	assert_true(xenpt_mem_read(setup.domain->mem, 0, &byte, 1));
	xen_script_end(setup.script, setup.guest, SCRIPT_CRASH);
	xen_script_end(setup.script, setup.guest, SCRIPT_DESTROY);
	assert_int_equal(next_event(setup.domain), HV_EVENT_STATE);
	assert_int_equal(setup.domain->info->state, HV_ENDED);
	assert_string_equal(setup.domain->info->reason, "crash, then destroyed");
	tear_down(&setup);
}

/* The call that finds out is no error, and the event is told all the same. */
static void test_found_gone(void **state)
{
	struct setup setup = set_up();

	setup.script->end_at = setup.script->calls + 1;
	setup.script->end_domain = setup.guest;
	setup.script->end_how = SCRIPT_DESTROY;
	check_error(setup.domain->ops->pause(setup.domain));
	assert_int_equal(setup.domain->info->state, HV_ENDED);
	assert_int_equal(next_event(setup.domain), HV_EVENT_STATE);
	assert_int_equal(next_event(setup.domain), HV_EVENT_NONE);
	tear_down(&setup);
}

/* Without xenstored each look asks the hypervisor. */
static void test_no_watch(void **state)
{
	struct xen_script *script = xen_script_create();
	struct script_domain *guest = start_guest(script);
	struct hv_domain *domain;

	script->no_xenstored = true;
	domain = open_domain("7");
	assert_int_equal(next_event(domain), HV_EVENT_NONE);
	xen_script_end(script, guest, SCRIPT_CRASH);
	assert_int_equal(next_event(domain), HV_EVENT_STATE);
	assert_int_equal(next_event(domain), HV_EVENT_NONE);
	close_domain(domain);
	end_script(script);
}

/* xenstored ends: its descriptor, readable for ever, is not waited for any more. */
static void test_lost_watch(void **state)
{
	struct setup setup = set_up();

	assert_true(setup.domain->ops->fd(setup.domain) >= 0);
	setup.script->fail_at = setup.script->calls + 1;
	setup.script->fail_errno = EBADF;
	assert_int_equal(next_event(setup.domain), HV_EVENT_NONE);
	assert_int_equal(setup.domain->ops->fd(setup.domain), -1);
	xen_script_end(setup.script, setup.guest, SCRIPT_CRASH);
	assert_int_equal(next_event(setup.domain), HV_EVENT_STATE);
	tear_down(&setup);
}

/* ---- Console ----------------------------------------------------------------- */

static char *console_of(struct setup *setup, const char *text, size_t size)
{
	char *console = NULL;

	setup->script->console = text;
	setup->script->console_size = size;
	check_error(setup->domain->ops->console(setup->domain, &console));
	assert_non_null(console);
	return console;
}

static void test_console(void **state)
{
	static char text[100000];
	struct setup setup = set_up();
	char *console;
	size_t length;

	console = console_of(&setup, "", 0);
	assert_string_equal(console, "");
	free(console);
	console = console_of(&setup, "(XEN) a\0b\n", 10);
	assert_string_equal(console, "(XEN) a b\n");
	free(console);

	/* Of much the tail, in whole lines. */
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = "0123 line\n"[i % 10];
	for (size_t i = 0; i < 10; i++)
		text[sizeof(text) - 10 + i] = "the last\n\n"[i];
	console = console_of(&setup, text, sizeof(text));
	length = strlen(console);
	assert_true(length > 16000 && length <= 16384);
	assert_memory_equal(console, "0123 line\n", 10);
	assert_string_equal(console + length - 10, "the last\n\n");
	free(console);

	/* One that is just as large as what is read at once; one that has no lines. */
	console = console_of(&setup, text, 16384);
	assert_int_equal(strlen(console), 16384);
	free(console);
	memset(text, 'x', sizeof(text));
	console = console_of(&setup, text, sizeof(text));
	assert_int_equal(strlen(console), 16384);
	free(console);
	tear_down(&setup);
}

/* ---- Triple faults ----------------------------------------------------------- */

static void test_triple_fault(void **state)
{
	struct setup setup = set_up(); /* opening catches them */
	struct xen_domain *xen = xen_domain_of(setup.domain);
	uint64_t *param = &setup.guest->params[HVM_PARAM_TRIPLE_FAULT_REASON];

	assert_int_equal(*param, SHUTDOWN_crash);
	check_error(xen_triple_fault_catch(xen));
	check_error(xen_triple_fault_restore(xen));
	assert_int_equal(*param, SHUTDOWN_reboot);
	check_error(xen_triple_fault_restore(xen));
	check_error(xen_triple_fault_catch(xen));
	assert_int_equal(*param, SHUTDOWN_crash);
	tear_down(&setup);
	/* end_script() has seen that closing put it back. */
}

/* Where it is a crash already, it stays one. */
static void test_triple_fault_kept(void **state)
{
	struct xen_script *script = xen_script_create();
	struct script_domain *guest = start_guest(script);

	guest->params[HVM_PARAM_TRIPLE_FAULT_REASON] = SHUTDOWN_crash;
	guest->params_before[HVM_PARAM_TRIPLE_FAULT_REASON] = SHUTDOWN_crash;
	close_domain(open_domain("guest"));
	end_script(script);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_offline),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_resume_too_often),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_crash_and_destroy),
		cmocka_unit_test(test_found_gone),
		cmocka_unit_test(test_no_watch),
		cmocka_unit_test(test_lost_watch),
		cmocka_unit_test(test_console),
		cmocka_unit_test(test_triple_fault),
		cmocka_unit_test(test_triple_fault_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
