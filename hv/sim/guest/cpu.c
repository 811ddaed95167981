// SPDX-License-Identifier: GPL-2.0-only
/* The tables and registers of a CPU, and its local APIC. */
#include "kernel.h"

#define APIC_BASE_X2APIC (3u << 10)
#define APIC_LVT_MASKED (1u << 16)
#define APIC_PAGE 0xfffffffffee00000 /* start.S maps it there */

enum apic_register {
	APIC_EOI = 0x0b,
	APIC_SPURIOUS = 0x0f,
	APIC_LVT_TIMER = 0x32,
	APIC_LVT_PC = 0x34,
	APIC_INITIAL_COUNT = 0x38,
	APIC_DIVIDE = 0x3e,
};

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};

struct tss {
	uint32_t reserved;
	uint32_t rsp0_low, rsp0_high; /* not aligned to 8 */
	uint32_t unused[22];
	uint16_t unused_too, io_map;
};

struct __attribute__((packed)) table_register {
	uint16_t limit;
	uint64_t base;
};

static uint64_t gdt[6 + 2 * MAX_CPUS] = {
	[KERNEL_CS / 8] = 0x00af9b000000ffff, [KERNEL_DS / 8] = 0x00cf93000000ffff,
	[USER_CS32 / 8] = 0x00cffb000000ffff, [USER_DS / 8] = 0x00cff3000000ffff,
	[USER_CS / 8] = 0x00affb000000ffff,
};
static struct gate idt[256];
static struct tss tss[MAX_CPUS];
static struct cpu cpus[MAX_CPUS];
static bool is_x2apic;

static void gate_set(uint32_t vector, uint64_t address, uint32_t privilege)
{
	idt[vector] = (struct gate){
		.offset_low = address,
		.selector = KERNEL_CS,
		.type = 0x8e | privilege << 5, /* interrupts off */
		.offset_middle = address >> 16,
		.offset_high = address >> 32,
	};
}

static void idt_init(void)
{
	for (uint32_t vector = 0; vector < ARRAY_SIZE(trap_stubs); vector++)
		gate_set(vector, trap_stubs[vector], vector == VECTOR_BP ? 3 : 0);
	gate_set(VECTOR_INT80, (uint64_t)trap_128, 3);
	gate_set(VECTOR_SPURIOUS, (uint64_t)trap_255, 0);
}

static void tss_init(uint32_t id)
{
	uint64_t base = (uint64_t)&tss[id];
	uint64_t *descriptor = &gdt[TSS_SELECTOR / 8 + 2 * id];

	tss[id].io_map = sizeof(tss[id]);
	descriptor[0] = (sizeof(tss[id]) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 |
			(base >> 24 & 0xff) << 56;
	descriptor[1] = base >> 32;
}

static void tables_load(uint32_t id)
{
	struct table_register gdtr = { sizeof(gdt) - 1, (uint64_t)gdt };
	struct table_register idtr = { sizeof(idt) - 1, (uint64_t)idt };

	asm volatile("lgdt %0; lidt %1" : : "m"(gdtr), "m"(idtr));
	asm volatile("push %0; lea 1f(%%rip), %%rax; push %%rax; lretq; 1:"
		     :
		     : "i"(KERNEL_CS)
		     : "rax", "memory");
	/* IRET to user mode takes away what that may not have; 32-bit code needs it. */
	asm volatile("mov %0, %%ds; mov %0, %%es" : : "r"(USER_DS));
	asm volatile("mov %0, %%ss" : : "r"(KERNEL_DS));
	asm volatile("mov %0, %%fs; mov %0, %%gs" : : "r"(0));
	asm volatile("ltr %w0" : : "r"(TSS_SELECTOR + 16 * id));
}

static void syscall_init(void)
{
	wrmsr(MSR_STAR, (uint64_t)USER_CS32 << 48 | (uint64_t)KERNEL_CS << 32);
	wrmsr(MSR_LSTAR, (uint64_t)syscall_entry);
	wrmsr(MSR_SFMASK, RFLAGS_IF);
}

static void apic_write(enum apic_register reg, uint32_t value)
{
	if (is_x2apic)
		wrmsr(0x800 + reg, value);
	else
		*(volatile uint32_t *)(APIC_PAGE + reg * 16) = value;
}

static uint32_t apic_read(enum apic_register reg)
{
	if (is_x2apic)
		return rdmsr(0x800 + reg);
	return *(volatile uint32_t *)(APIC_PAGE + reg * 16);
}

static void apic_init(void)
{
	is_x2apic = cpuid(1).ecx & 1u << 21;
	if (is_x2apic)
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
	apic_write(APIC_SPURIOUS, 0x100 | VECTOR_SPURIOUS);
}

void timer_start(uint32_t count)
{
	apic_write(APIC_DIVIDE, 0xb); /* by 1 */
	apic_write(APIC_LVT_TIMER, 1u << 17 | VECTOR_TIMER);
	apic_write(APIC_INITIAL_COUNT, count);
}

/* What comes by LVTPC, once: the interrupt masks it. */
void pmi_arm(void)
{
	apic_write(APIC_LVT_PC, VECTOR_PMI);
}

bool pmi_is_armed(void)
{
	return !(apic_read(APIC_LVT_PC) & APIC_LVT_MASKED);
}

void interrupt_done(void)
{
	apic_write(APIC_EOI, 0);
}

/* Where this CPU's traps from user mode put their frame. */
void cpu_set_stack(struct cpu *cpu, uint64_t top)
{
	cpu->kernel_rsp = top;
	tss[cpu->id].rsp0_low = top;
	tss[cpu->id].rsp0_high = top >> 32;
}

struct cpu *cpu_init(uint32_t id)
{
	struct cpu *cpu = &cpus[id];

	cpu->self = cpu;
	cpu->id = id;
	cpu->idle.name = "idle";
	cpu->idle.cr3 = physical(boot_pml4);
	cpu->current = &cpu->idle;
	if (id == 0)
		idt_init();
	tss_init(id);
	tables_load(id);
	wrmsr(MSR_GS_BASE, (uint64_t)cpu);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
	syscall_init();
	apic_init();
	/* Drops what the TLB knows of the low half too. */
	write_cr4(read_cr4() | CR4_PGE);
	return cpu;
}
