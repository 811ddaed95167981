// SPDX-License-Identifier: GPL-2.0-only
/* Processes and threads of the kernel, and whose turn it is. */
#include "kernel.h"

struct process processes[8];
uint8_t idle_stacks[MAX_CPUS][PAGE_SIZE] __attribute__((aligned(16)));
static uint32_t nr_processes;
static struct spinlock
	run_lock; /* held from schedule's choice to the end of the switch */

/* guest.ld; physical. */
#define PROGRAM(id, is_32bit)                                              \
	extern uint8_t __load_start_user_##id[], __load_stop_user_##id[];  \
	const struct program program_##id = { #id, __load_start_user_##id, \
					      __load_stop_user_##id, is_32bit }
PROGRAM(sort, false);
PROGRAM(primes, false);
PROGRAM(jit, false);
PROGRAM(compat, true);
PROGRAM(left, false);
PROGRAM(right, false);
PROGRAM(narrow, true);

void spin_lock(struct spinlock *lock)
{
	while (__atomic_exchange_n(&lock->is_held, 1, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(&lock->is_held, __ATOMIC_RELAXED))
			asm volatile("pause");
}

void spin_unlock(struct spinlock *lock)
{
	__atomic_store_n(&lock->is_held, 0, __ATOMIC_RELEASE);
}

/* What switch_to will pop: six registers, of which RBX is the fifth, and where to. */
static void stack_prepare(struct process *process, void (*begin)(void), uint64_t rbx)
{
	*--process->stack = (uint64_t)begin;
	*--process->stack = 0;
	*--process->stack = rbx;
	process->stack -= 4;
}

static struct process *process_alloc(const char *name, uint64_t cr3)
{
	struct process *process = &processes[nr_processes++];

	process->name = name;
	process->id = nr_processes;
	process->cr3 = cr3;
	process->stack_top = (uint64_t)at_physical(page_alloc()) + PAGE_SIZE;
	process->stack = (uint64_t *)process->stack_top;
	return process;
}

void process_new(const struct program *program)
{
	struct process *process = process_alloc(program->name, address_space_new());
	struct frame *frame = (struct frame *)process->stack_top - 1;

	process->program = program;
	process->heap_end = USER_HEAP;
	*frame = (struct frame){
		.rdi = options.seed + process->id, /* the program's argument */
		.rip = USER_IMAGE,
		.cs = program->is_32bit ? USER_CS32 : USER_CS,
		.rflags = RFLAGS_IF | 2,
		.rsp = USER_STACK_END - 8,
		.ss = USER_DS,
	};
	process->stack = (uint64_t *)frame;
	stack_prepare(process, process_begin, 0);
	if (path_is_on)
		path_process_new(process);
	process->alive = true;
}

void thread_new(const char *name, void (*function)(void))
{
	struct process *process = process_alloc(name, physical(boot_pml4));

	stack_prepare(process, thread_begin, (uint64_t)function);
	process->alive = true;
}

static bool is_ready(const struct process *process)
{
	return process->alive && !process->is_running;
}

/* The next after the one that runs, round and round. */
static struct process *pick_next(struct cpu *cpu)
{
	struct process *current = cpu->current;
	uint32_t start = current->id;

	for (uint32_t i = 0; i < nr_processes; i++) {
		struct process *process = &processes[(start + i) % nr_processes];

		if (is_ready(process))
			return process;
	}
	return current->alive ? current : &cpu->idle;
}

static void cr3_load(uint64_t cr3)
{
	switch (options.cr3) {
	case CR3_MOV:
		write_cr3(cr3);
		break;
	case CR3_FEP:
		write_cr3_forced(cr3);
		break;
	case CR3_DENY:
		/* The kernel is the same in all of them: it can go on in any. */
		do {
			write_cr3(cr3);
			path_point();
		} while (read_cr3() != cr3);
		break;
	}
}

static void activate(struct cpu *cpu, struct process *process)
{
	process->is_running = true;
	cpu->current = process;
	cpu_set_stack(cpu, process->stack_top);
	path_point();
	cr3_load(process->cr3);
	path_point();
}

/* Interrupts are off. */
void schedule(void)
{
	struct cpu *cpu = this_cpu();
	struct process *previous = cpu->current, *next;

	path_point();
	spin_lock(&run_lock);
	cpu->needs_schedule = false;
	next = pick_next(cpu);
	if (next != previous) {
		previous->is_running = false;
		activate(cpu, next);
		switch_to(&previous->stack, next->stack);
		path_point();
	}
	schedule_done();
}

void schedule_done(void)
{
	spin_unlock(&run_lock);
}

void yield(void)
{
	interrupts_off();
	schedule();
	interrupts_on();
}

void process_exit(void)
{
	interrupts_off();
	this_cpu()->current->alive = false;
	schedule();
	panic("a process that has exited runs", NULL);
}

static bool is_anyone_alive(void)
{
	for (uint32_t i = 0; i < nr_processes; i++)
		if (processes[i].alive)
			return true;
	return false;
}

static void end(void)
{
	self_end();
	if (!options.stays) {
		print("guest: all processes have exited: power off\n");
		machine_shutdown(SHUTDOWN_POWEROFF);
	}
	print("guest: all processes have exited\n");
	timer_start(0);
	for (;;)
		wait_for_interrupt();
}

_Noreturn void idle(void)
{
	for (;;) {
		interrupts_off();
		schedule();
		if (!is_anyone_alive())
			end();
		wait_for_interrupt();
	}
}
