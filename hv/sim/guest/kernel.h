/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef HV_SIM_GUEST_KERNEL_H
#define HV_SIM_GUEST_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"
#include "random.h"
#include "x86.h"

#define MAX_CPUS 2
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* What a trap leaves on the kernel's stack: entry.S. */
struct frame {
	uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
	uint64_t rax, rcx, rdx, rsi, rdi;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

struct program {
	const char *name;
	uint8_t *image, *image_end; /* physical */
	bool is_32bit;
};

struct process {
	const char *name;
	const struct program *program; /* NULL: a thread of the kernel */
	uint64_t *stack;               /* where switch_to left it */
	uint64_t stack_top;
	uint64_t cr3;
	uint64_t heap_end;
	uint32_t id;
	bool alive;
	bool is_running; /* on some CPU */
};

/* By GS in the kernel; the first three are entry.S's. */
struct cpu {
	uint64_t kernel_rsp;
	uint64_t user_rsp;
	struct cpu *self;
	uint32_t id;
	bool needs_schedule; /* the timer came while the kernel ran */
	uint64_t ticks;
	struct process *current;
	struct process idle;
};

struct spinlock {
	uint32_t is_held;
};

INSN struct cpu *this_cpu(void)
{
	struct cpu *cpu;

	asm volatile("mov %%gs:%c1, %0" : "=r"(cpu) : "i"(CPU_SELF));
	return cpu;
}

INSN void *at_physical(uint64_t address)
{
	return (void *)(KERNEL_BASE + address);
}

INSN uint64_t physical(const void *pointer)
{
	return (uint64_t)pointer - KERNEL_BASE;
}

/* start.S, entry.S */
extern uint64_t boot_pml4[512];
extern uint8_t idle_stacks[MAX_CPUS][PAGE_SIZE];
extern const uint64_t trap_stubs[VECTOR_PMI + 1];
void trap_128(void);
void trap_255(void);
void trap_return(void);
void syscall_entry(void);
void start_secondary(void);
void process_begin(void);
void thread_begin(void);
void switch_to(uint64_t **save, uint64_t *load);

/* console.c: %s, %u (64 bits), %x (64 bits) */
void print(const char *format, ...);

/* kernel.c */
enum cr3_way {
	CR3_MOV,
	CR3_FEP,  /* Xen's forced emulation prefix before it */
	CR3_DENY, /* again and again, until it is done */
};
extern struct options {
	char scenario[16];
	uint64_t seed;
	uint64_t tick;    /* 0: the scenario's */
	uint64_t rounds;  /* paths; 0: for ever */
	enum cr3_way cr3; /* how CR3 is written when another process' turn comes */
	bool stays;       /* when all have exited, do not power off */
} options;
void kernel_main(uint64_t start_info);
void secondary_main(uint64_t id);

/* cpu.c */
struct cpu *cpu_init(uint32_t id);
void cpu_set_stack(struct cpu *cpu, uint64_t top);
void timer_start(uint32_t count);
void pmi_arm(void);
bool pmi_is_armed(void);
void interrupt_done(void);

/* xen.c */
void xen_init(void);
bool xen_vcpu_start(uint32_t id, void (*entry)(void));
bool xen_give_back(uint64_t frame);
_Noreturn void machine_shutdown(uint32_t reason);

/* memory.c */
uint64_t page_alloc(void);
void page_map(uint64_t cr3, uint64_t address, uint64_t entry);
void page_map_2m(uint64_t cr3, uint64_t address, uint64_t entry);
void page_unmap(uint64_t cr3, uint64_t address);
void page_hide(uint64_t cr3, uint64_t address);
uint64_t address_space_new(void);
bool demand_page(struct process *process, uint64_t address);
bool page_replace(struct process *process, uint64_t to, uint64_t from);

/* process.c */
extern struct process processes[8];
extern const struct program program_sort, program_primes, program_jit, program_compat;
extern const struct program program_left, program_right, program_narrow;
void spin_lock(struct spinlock *lock);
void spin_unlock(struct spinlock *lock);
void process_new(const struct program *program);
void thread_new(const char *name, void (*function)(void));
void process_exit(void);
void schedule(void);
void schedule_done(void);
void yield(void);
_Noreturn void idle(void);

/* path.c: scenario=paths */
extern bool path_is_on;
void path_init(void);
void path_process_new(struct process *process);
void path_beacon(void); /* path-log.S */
bool path_round(const struct process *process, uint64_t round);
/* spoil.c: what path.h lets others ask for */
struct path_log;
void spoil(const struct process *process, struct path_log *log);

/* self.c: scenario=self */
void self_start(void);
void self_end(void);
void self_pmi(void);
bool self_fault(struct frame *frame);

/* That this ran is logged: path.h. */
INSN void path_point(void)
{
	if (__builtin_expect(path_is_on, 0))
		asm volatile("call path_log" : : : "rax", "rcx", "rdx", "cc", "memory");
}

/* trap.c, syscall.c */
void trap(struct frame *frame);
void syscall_64(struct frame *frame);
void syscall_32(struct frame *frame);
_Noreturn void panic(const char *why, const struct frame *frame);

/* What a scenario adds to the processes. */
void driver_thread(void);
void hostile_thread(void);
void introspect_thread(void);

#endif
