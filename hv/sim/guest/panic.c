// SPDX-License-Identifier: GPL-2.0-only
/* The end, told on the console before the hypervisor is told. */
#include "kernel.h"

static void show_registers(const struct frame *frame)
{
	print("RIP %x RSP %x CR2 %x CR3 %x\n", frame->rip, frame->rsp, read_cr2(),
	      read_cr3());
}

/* By frame pointers, while they stay on this stack. */
static void show_callers(uint64_t rbp)
{
	for (int depth = 0; depth < 8; depth++) {
		const uint64_t *pointer = (const uint64_t *)rbp;

		if (rbp < KERNEL_BASE || pointer[0] <= rbp)
			return;
		print("  called by %x\n", pointer[1]);
		rbp = pointer[0];
	}
}

static void notify_console(void)
{
	print("panic: CPU %u after %u ticks\n", (uint64_t)this_cpu()->id,
	      this_cpu()->ticks);
}

static void notify_hypervisor(void)
{
	print("guest: crash shutdown\n");
	machine_shutdown(SHUTDOWN_CRASH);
}

static void (*const panic_notifiers[])(void) = { notify_console, notify_hypervisor };

static void notify_panic(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(panic_notifiers); i++)
		panic_notifiers[i]();
}

_Noreturn void panic(const char *why, const struct frame *frame)
{
	print("panic: %s in %s\n", why, this_cpu()->current->name);
	if (frame) {
		show_registers(frame);
		show_callers(frame->rbp);
	}
	notify_panic();
	__builtin_unreachable();
}
