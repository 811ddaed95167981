// SPDX-License-Identifier: GPL-2.0-only
/* Exceptions, interrupts and system calls, as entry.S hands them over. */
#include "kernel.h"

static bool is_from_user(const struct frame *frame)
{
	return frame->cs & 3;
}

static void kill_or_panic(struct frame *frame, const char *why)
{
	struct process *process = this_cpu()->current;

	if (!is_from_user(frame))
		panic(why, frame);
	print("%s[%u]: killed at %x: %s\n", process->name, (uint64_t)process->id,
	      frame->rip, why);
	process_exit();
}

static void on_timer(struct frame *frame)
{
	struct cpu *cpu = this_cpu();

	path_point();
	cpu->ticks++;
	cpu->needs_schedule = true;
	interrupt_done();
}

static void on_page_fault(struct frame *frame)
{
	uint64_t address = read_cr2();

	path_point();
	if (!(frame->error & PTE_PRESENT) && demand_page(this_cpu()->current, address))
		return;
	kill_or_panic(frame, address < PAGE_SIZE ? "null pointer" : "page fault");
}

/* UD2 is our way to say "look here": go on behind it. */
static void on_invalid_opcode(struct frame *frame)
{
	const struct process *process = this_cpu()->current;
	const uint8_t *code = (const uint8_t *)frame->rip;

	path_point();
	if (code[0] != 0x0f || code[1] != 0x0b)
		kill_or_panic(frame, "invalid opcode");
	if (code[2] == 'x' && code[3] == 'e' && code[4] == 'n')
		kill_or_panic(frame, "no forced emulation: Xen's hvm_fep");
	if (!path_is_on)
		print("%s[%u]: ud2 at %x\n", process->name, (uint64_t)process->id,
		      frame->rip);
	frame->rip += 2;
}

static void on_breakpoint(struct frame *frame)
{
	const struct process *process = this_cpu()->current;

	path_point();
	if (!path_is_on)
		print("%s[%u]: int3 before %x\n", process->name, (uint64_t)process->id,
		      frame->rip);
}

static void on_protection(struct frame *frame)
{
	path_point();
	if (!self_fault(frame))
		kill_or_panic(frame, "general protection");
}

static void on_pmi(struct frame *frame)
{
	path_point();
	self_pmi();
	interrupt_done();
}

static void on_spurious(struct frame *frame)
{
}

static void on_unexpected(struct frame *frame)
{
	kill_or_panic(frame, "unexpected exception");
}

static void (*handler_of(uint64_t vector))(struct frame *frame)
{
	switch (vector) {
	case VECTOR_BP:
		return on_breakpoint;
	case VECTOR_UD:
		return on_invalid_opcode;
	case VECTOR_PF:
		return on_page_fault;
	case VECTOR_GP:
		return on_protection;
	case VECTOR_PMI:
		return on_pmi;
	case VECTOR_TIMER:
		return on_timer;
	case VECTOR_INT80:
		return syscall_32;
	case VECTOR_SYSCALL:
		return syscall_64;
	case VECTOR_SPURIOUS:
		return on_spurious;
	default:
		return on_unexpected;
	}
}

/* Back to user mode: is it another's turn? The kernel itself is not preempted. */
static void leave(struct frame *frame)
{
	if (is_from_user(frame) && this_cpu()->needs_schedule) {
		path_point();
		schedule();
	}
	path_point();
}

void trap(struct frame *frame)
{
	path_point();
	handler_of(frame->vector)(frame);
	leave(frame);
}
