/* SPDX-License-Identifier: GPL-2.0-only */
/* Exceptions as the guest sees them, one a domain; and guests that go wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "hv/sim/machine.h"

#define CODE 0x300000ull /* what runs; all guest-physical */
#define STUBS 0x301000ull
#define COMMON 0x303000ull
#define IDT 0x304000ull
#define GDT 0x305000ull
#define TSS 0x306000ull
#define STACK_TOP 0x308000ull
#define RSP0_TOP 0x30a000ull
#define IST_TOP 0x30c000ull
#define SAVED_RSP 0x30d000ull
#define USER 0x310000ull /* the only pages of user mode: code, and a stack */
#define UNMAPPED 0x7f0000000000ull
#define VIRTUAL(gpa) (KERNEL_BASE + (gpa))

#define USER_FLAGS 0x00affb00u

struct machine {
	struct sim *sim;
	struct vcpu *vcpu;
	unsigned int states;
};

static void on_notify(void *arg, enum hv_event_type type, uint32_t vcpu)
{
	((struct machine *)arg)->states += type == HV_EVENT_STATE;
}

static uint8_t *at(struct machine *machine, uint64_t gpa)
{
	return machine->sim->memory.ram + gpa;
}

static void allow_user(void *arg, uint64_t entry_gpa)
{
	struct machine *machine = arg;

	*at(machine, entry_gpa) |= 4;
}

/* push VECTOR; jmp COMMON */
static void write_stub(struct machine *machine, uint8_t vector)
{
	uint8_t *stub = at(machine, STUBS + 16 * vector);
	int32_t distance = COMMON - (STUBS + 16 * vector + 10);

	stub[0] = 0x68;
	memset(stub + 1, 0, 4);
	stub[1] = vector;
	stub[5] = 0xe9;
	memcpy(stub + 6, &distance, 4);
}

static void write_gate(struct machine *machine, uint8_t vector, uint8_t type, uint8_t ist)
{
	uint64_t handler = VIRTUAL(STUBS + 16 * vector);
	uint16_t words[8] = {
		handler, 8, ist | type << 8, handler >> 16, handler >> 32, handler >> 48,
	};

	memcpy(at(machine, IDT + 16 * vector), words, sizeof(words));
}

/* Keep RSP, and shut down. */
static void write_common(struct machine *machine)
{
	static const uint8_t code[] = {
		0x48, 0x89, 0x24, 0x25, 0x00, 0xd0, 0x30, 0x80, /* mov %rsp, SAVED_RSP */
		0xb8, 29,   0,    0,    0,                      /* sched_op */
		0xbf, 2,    0,    0,    0,                      /* shutdown */
		0x48, 0xc7, 0xc6, 0x08, 0xd0, 0x30, 0x80, /* mov $SAVED_RSP + 8, %rsi */
		0x0f, 0x01, 0xc1,                         /* vmcall */
		0xf4,
	};

	memcpy(at(machine, COMMON), code, sizeof(code));
}

static void set_up(struct machine *machine)
{
	const uint64_t gdt[] = { 0, 0x00af9b000000ffff, 0x00cf93000000ffff };
	const uint64_t rsp0 = VIRTUAL(RSP0_TOP), ist = VIRTUAL(IST_TOP);
	struct sim_scenario scenario;
	struct engine_state *state;

	memset(machine, 0, sizeof(*machine));
	assert_null(sim_scenario_parse("demo", &scenario));
	assert_null(sim_create(&scenario, on_notify, machine, &machine->sim));
	machine->vcpu = &machine->sim->vcpus[0];
	state = machine->vcpu->state;
	write_common(machine);
	for (unsigned int i = 0; i < 256; i++) {
		write_stub(machine, i);
		write_gate(machine, i, 0x8e, 0);
	}
	memcpy(at(machine, GDT), gdt, sizeof(gdt));
	memcpy(at(machine, TSS + 4), &rsp0, sizeof(rsp0));
	memcpy(at(machine, TSS + 0x24), &ist, sizeof(ist));
	state->segments[ENGINE_GDTR].base = VIRTUAL(GDT);
	state->segments[ENGINE_GDTR].limit = sizeof(gdt) - 1;
	state->segments[ENGINE_IDTR].base = VIRTUAL(IDT);
	state->segments[ENGINE_IDTR].limit = 0xfff;
	state->segments[ENGINE_TR].base = VIRTUAL(TSS);
	state->segments[ENGINE_TR].limit = 0x67;
	state->gpr[4] = VIRTUAL(STACK_TOP);
	machine->vcpu->now.ip = VIRTUAL(CODE);
}

static void write_code(struct machine *machine, const char *code, size_t size)
{
	memcpy(at(machine, CODE), code, size);
	memcpy(at(machine, USER), code, size);
}
#define CODE_IS(machine, text) write_code(machine, text, sizeof(text) - 1)

/* In user mode, which has one page of 2 MiB; COMMON's stack is not in it. */
static void enter_user(struct machine *machine)
{
	struct engine_state *state = machine->vcpu->state;
	uint64_t gpa;

	assert_true(engine_walk(&machine->sim->memory, state->cr[3], VIRTUAL(USER),
				allow_user, machine, &gpa, NULL));
	state->segments[ENGINE_CS].selector = 0x2b;
	state->segments[ENGINE_CS].flags = USER_FLAGS;
	state->segments[ENGINE_SS].selector = 0x23;
	state->segments[ENGINE_SS].flags = 0x00cff300;
	state->hflags |= 3;
	cpu_refresh(machine->vcpu);
	machine->vcpu->now.ip = VIRTUAL(USER);
}

/* Until it shuts down; false: it is still running. */
static bool run(struct machine *machine)
{
	bool more;

	for (unsigned int i = 0; i < 10; i++) {
		assert_null(sim_run(machine->sim, 10000, &more));
		if (sim_state(machine->sim) != HV_RUNNING)
			return true;
	}
	return false;
}

/* From where COMMON found RSP: the vector, an error code for some, RIP … */
static const uint64_t *run_to_handler(struct machine *machine)
{
	uint64_t rsp;

	assert_true(run(machine));
	assert_int_equal(machine->states, 1);
	memcpy(&rsp, at(machine, SAVED_RSP), sizeof(rsp));
	assert_true(rsp > KERNEL_BASE);
	return (const uint64_t *)at(machine, rsp - KERNEL_BASE);
}

static void tear_down(struct machine *machine)
{
	sim_destroy(machine->sim);
}

/* ---- Exceptions -------------------------------------------------------- */

static void test_divide(void **state)
{
	struct machine m;
	const uint64_t *frame;

	set_up(&m);
	CODE_IS(&m, "\x31\xf6\xf7\xf6"); /* xor %esi, %esi; div %esi */
	frame = run_to_handler(&m);
	assert_int_equal(frame[0], 0);
	assert_int_equal(frame[1], VIRTUAL(CODE) + 2);
	assert_int_equal(frame[2], 8);
	assert_int_equal(frame[4], VIRTUAL(STACK_TOP));
	assert_int_equal(frame[5], 0x10);
	tear_down(&m);
}

static void test_breakpoint(void **state)
{
	struct machine m;
	const uint64_t *frame;

	set_up(&m);
	CODE_IS(&m, "\x90\xcc");
	frame = run_to_handler(&m);
	assert_int_equal(frame[0], 3);
	assert_int_equal(frame[1], VIRTUAL(CODE) + 2);
	tear_down(&m);
}

static void test_undefined(void **state)
{
	struct machine m;
	const uint64_t *frame;

	set_up(&m);
	CODE_IS(&m, "\x90\x0f\x0b");
	frame = run_to_handler(&m);
	assert_int_equal(frame[0], 6);
	assert_int_equal(frame[1], VIRTUAL(CODE) + 1);
	tear_down(&m);
}

static void test_page_fault(void **state)
{
	struct machine m;
	const uint64_t *frame;

	set_up(&m);
	enter_user(&m);
	m.vcpu->state->gpr[0] = UNMAPPED + 0x123;
	CODE_IS(&m, "\x89\x08"); /* mov %ecx, (%rax) */
	frame = run_to_handler(&m);
	assert_int_equal(frame[0], 14);
	assert_int_equal(frame[1], 6); /* user, write */
	assert_int_equal(frame[2], VIRTUAL(USER));
	assert_int_equal(frame[3], 0x2b);
	assert_int_equal(frame[5], VIRTUAL(STACK_TOP));
	assert_int_equal(frame[6], 0x23);
	/* On the stack that the TSS has for the kernel. */
	assert_ptr_equal(frame + 7, at(&m, RSP0_TOP));
	assert_int_equal(m.vcpu->cr2, UNMAPPED + 0x123);
	tear_down(&m);
}

static void test_page_fault_privilege(void **state)
{
	struct machine m;
	const uint64_t *frame;

	set_up(&m);
	enter_user(&m);
	m.vcpu->state->gpr[0] = VIRTUAL(0x600000);
	CODE_IS(&m, "\x8b\x08"); /* mov (%rax), %ecx */
	frame = run_to_handler(&m);
	assert_int_equal(frame[0], 14);
	assert_int_equal(frame[1], 5); /* user, present */
	tear_down(&m);
}

static void test_page_fault_fetch(void **state)
{
	struct machine m;
	const uint64_t *frame;

	set_up(&m);
	m.vcpu->state->gpr[0] = UNMAPPED;
	CODE_IS(&m, "\xff\xe0"); /* jmp *%rax */
	frame = run_to_handler(&m);
	assert_int_equal(frame[0], 14);
	assert_int_equal(frame[1], 0x10);
	assert_int_equal(frame[2], UNMAPPED);
	tear_down(&m);
}

static void test_not_canonical(void **state)
{
	struct machine m;
	const uint64_t *frame;

	set_up(&m);
	m.vcpu->state->gpr[0] = 0x1234000000000000;
	CODE_IS(&m, "\x8b\x08");
	frame = run_to_handler(&m);
	assert_int_equal(frame[0], 13);
	assert_int_equal(frame[1], 0);
	tear_down(&m);
}

static void test_gate_privilege(void **state)
{
	struct machine m;
	const uint64_t *frame;

	set_up(&m);
	enter_user(&m);
	CODE_IS(&m, "\xcd\x80"); /* int $0x80, whose gate is the kernel's */
	frame = run_to_handler(&m);
	assert_int_equal(frame[0], 13);
	assert_int_equal(frame[1], 0x80 << 3 | 2);
	assert_int_equal(frame[2], VIRTUAL(USER));
	tear_down(&m);
}

static void test_privileged(void **state)
{
	struct machine m;
	const uint64_t *frame;

	set_up(&m);
	enter_user(&m);
	CODE_IS(&m, "\xf4"); /* hlt: a fault, before it can be an exit */
	frame = run_to_handler(&m);
	assert_int_equal(frame[0], 13);
	tear_down(&m);
}

static void test_rtit_msr(void **state)
{
	struct machine m;
	const uint64_t *frame;

	set_up(&m);
	m.vcpu->state->gpr[1] = XPT_MSR_CTL;
	CODE_IS(&m, "\x0f\x32"); /* rdmsr */
	frame = run_to_handler(&m);
	assert_int_equal(frame[0], 13);
	assert_int_equal(frame[2], VIRTUAL(CODE));
	tear_down(&m);
}

/* ---- Guests that go wrong ---------------------------------------------- */

static void test_double_fault(void **state)
{
	struct machine m;
	const uint64_t *frame;

	set_up(&m);
	write_gate(&m, 14, 0x0e, 0); /* not present */
	write_gate(&m, 8, 0x8e, 1);
	m.vcpu->state->gpr[0] = UNMAPPED;
	CODE_IS(&m, "\x8b\x08");
	frame = run_to_handler(&m);
	assert_int_equal(frame[0], 8);
	assert_int_equal(frame[1], 0);
	assert_int_equal(frame[2], VIRTUAL(CODE));
	assert_ptr_equal(frame + 7, at(&m, IST_TOP));
	tear_down(&m);
}

static void test_triple_fault(void **state)
{
	struct machine m;

	set_up(&m);
	m.vcpu->state->segments[ENGINE_IDTR].limit = 0;
	CODE_IS(&m, "\x0f\x0b");
	assert_true(run(&m));
	assert_int_equal(sim_state(m.sim), HV_CRASHED);
	assert_non_null(strstr(sim_console(m.sim), "triple fault"));
	assert_int_equal(m.states, 1);
	tear_down(&m);
}

static void test_tables_nowhere(void **state)
{
	struct machine m;

	set_up(&m);
	m.vcpu->state->gpr[0] = 0xffffff000000;
	CODE_IS(&m, "\x0f\x22\xd8"); /* mov %rax, %cr3 */
	assert_true(run(&m));
	assert_int_equal(sim_state(m.sim), HV_CRASHED);
	tear_down(&m);
}

static void test_memory_nowhere(void **state)
{
	const uint64_t large = 0x7000000000ull | 0x83; /* 2 MiB, far from RAM */
	const uint64_t *frame;
	struct machine m;
	uint64_t gpa;

	set_up(&m);
	memcpy(&gpa, at(&m, m.vcpu->state->cr[3] + 511 * 8), 8); /* PML4E */
	memcpy(&gpa, at(&m, (gpa & ~0xfffull) + 510 * 8), 8);    /* PDPTE */
	memcpy(at(&m, (gpa & ~0xfffull) + 500 * 8), &large, 8);
	m.vcpu->state->gpr[0] = KERNEL_BASE + 500 * (2ull << 20);
	/* mov (%rax), %ecx; mov %ecx, (%rax); ud2 */
	CODE_IS(&m, "\x8b\x08\x89\x08\x0f\x0b");
	frame = run_to_handler(&m);
	assert_int_equal(frame[0], 6);
	assert_int_equal((uint32_t)m.vcpu->state->gpr[1], 0xffffffff);
	tear_down(&m);
}

/* Instructions that never end do not hold the client up. */
static void test_endless(void **state)
{
	struct machine m;

	set_up(&m);
	CODE_IS(&m, "\xeb\xfe"); /* jmp . */
	assert_false(run(&m));
	tear_down(&m);
	set_up(&m);
	m.vcpu->state->gpr[1] = UINT64_MAX;
	m.vcpu->state->gpr[6] = VIRTUAL(0x400000);
	CODE_IS(&m, "\xf3\xac"); /* rep lodsb */
	m.sim->memory.ram[IDT] = 0;
	run(&m);
	tear_down(&m);
	/* The handler of a page fault, which is not there, either. */
	set_up(&m);
	m.vcpu->state->gpr[4] = UNMAPPED;
	m.vcpu->state->segments[ENGINE_TR].limit = 0;
	CODE_IS(&m, "\x50");
	assert_true(run(&m));
	assert_int_equal(sim_state(m.sim), HV_CRASHED);
	tear_down(&m);
}

/* ---- The API ----------------------------------------------------------- */

static void test_registers(void **state)
{
	struct xenpt_registers registers;
	struct machine m;

	set_up(&m);
	m.vcpu->state->gpr[15] = 0x1234567890;
	sim_registers(m.sim, 0, &registers);
	assert_int_equal(registers.rip, VIRTUAL(CODE));
	assert_int_equal(registers.gpr[15], 0x1234567890);
	assert_int_equal(registers.mode, 64);
	assert_int_equal(registers.efer, 0xd01);
	CODE_IS(&m, "\xfc\xeb\xfe"); /* cld; jmp . */
	run(&m);
	sim_registers(m.sim, 0, &registers);
	assert_int_equal(registers.rip, VIRTUAL(CODE) + 1);
	assert_int_equal(registers.gpr[15], 0x1234567890);
	assert_int_equal(registers.cr3, m.vcpu->now.cr3);
	assert_int_equal(registers.idt_base, VIRTUAL(IDT));
	tear_down(&m);
}

static void expect_refusal(const char *text, const char *says)
{
	struct sim_scenario scenario = {};
	struct xenpt_error *err = sim_scenario_parse(text, &scenario);

	assert_non_null(err);
	assert_non_null(strstr(err->message, says));
	assert_null(scenario.name);
	xenpt_error_destroy(err);
}

static void test_scenarios(void **state)
{
	struct sim_scenario scenario;

	assert_null(sim_scenario_parse("introspect,no-pip,topa=4k+64k,seed=7,tiny,stop,"
				       "truth=/tmp/t",
				       &scenario));
	assert_string_equal(scenario.name, "introspect");
	assert_true(scenario.cr3_exits && scenario.no_pip);
	assert_true(scenario.tiny && scenario.stop);
	assert_string_equal(scenario.topa, "4k+64k");
	assert_string_equal(scenario.truth, "/tmp/t");
	assert_int_equal(scenario.seed, 7);
	assert_null(sim_scenario_parse("paths,cr3=fep,rounds=3,deny=2,stay", &scenario));
	assert_string_equal(scenario.more, " stay=1 rounds=3 cr3=fep rounds=20");
	assert_true(scenario.cr3_exits && scenario.deny == 2);
	expect_refusal("paths,rounds=3x", "rounds");
	expect_refusal("paths,rounds= 3", "rounds");
	expect_refusal("paths,cr3=pop", "cr3");
	expect_refusal("paths,deny=1", "deny");
	expect_refusal("paths,stay=1", "stay");
	expect_refusal("paths,rounds=99999999999999999999", "rounds");
	expect_refusal("paths,cr3=deny,cr3=deny,cr3=deny,cr3=deny,cr3=deny,cr3=deny",
		       "cr3");
	expect_refusal("", "demo");
	expect_refusal("nothing", "introspect");
	expect_refusal("demo,", "not understood: ''");
	expect_refusal("demo,seed=", "seed");
	expect_refusal("demo,seed=-1", "seed");
	expect_refusal("demo,topa=4k,x", "'x'");
	expect_refusal("demo,topa=/", "topa");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_divide),
		cmocka_unit_test(test_breakpoint),
		cmocka_unit_test(test_undefined),
		cmocka_unit_test(test_page_fault),
		cmocka_unit_test(test_page_fault_privilege),
		cmocka_unit_test(test_page_fault_fetch),
		cmocka_unit_test(test_not_canonical),
		cmocka_unit_test(test_gate_privilege),
		cmocka_unit_test(test_privileged),
		cmocka_unit_test(test_rtit_msr),
		cmocka_unit_test(test_double_fault),
		cmocka_unit_test(test_triple_fault),
		cmocka_unit_test(test_tables_nowhere),
		cmocka_unit_test(test_memory_nowhere),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_scenarios),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
