// SPDX-License-Identifier: GPL-2.0-only
/* What processes ask for: user/user.h has their side. */
#include "kernel.h"
#include "syscall.h"

/* The text may be where no page is yet; the fault brings it. */
static bool copy_text(char *to, size_t size, uint64_t from)
{
	const char *text = (const char *)from;

	for (size_t i = 0; i < size; i++) {
		to[i] = text[i];
		if (!to[i])
			return true;
	}
	return false;
}

static bool is_user(uint64_t address)
{
	return address >= USER_IMAGE && address < USER_STACK_END;
}

static int64_t do_exit(uint64_t status, uint64_t unused)
{
	struct process *process = this_cpu()->current;

	print("%s[%u]: exit %u\n", process->name, (uint64_t)process->id, status);
	process_exit();
	return 0;
}

static int64_t do_report(uint64_t from, uint64_t value)
{
	struct process *process = this_cpu()->current;
	char text[64];

	if (!is_user(from) || !copy_text(text, sizeof(text), from))
		return -1;
	print("%s[%u]: %s %u\n", process->name, (uint64_t)process->id, text, value);
	return 0;
}

static int64_t do_yield(uint64_t unused, uint64_t unused_too)
{
	yield();
	return 0;
}

static int64_t do_grow(uint64_t size, uint64_t unused)
{
	struct process *process = this_cpu()->current;
	uint64_t start = process->heap_end;

	if (size > USER_HEAP_END - start)
		return -1;
	process->heap_end = start + size;
	return start;
}

static int64_t do_replace(uint64_t to, uint64_t from)
{
	return page_replace(this_cpu()->current, to, from) ? 0 : -1;
}

static int64_t do_round(uint64_t round, uint64_t unused)
{
	return path_round(this_cpu()->current, round);
}

static int64_t do_hide(uint64_t address, uint64_t unused)
{
	path_point();
	if (!path_is_on || address < USER_HEAP || address >= USER_HEAP_END)
		return -1;
	page_hide(this_cpu()->current->cr3, address);
	return 0;
}

static int64_t (*const calls[])(uint64_t, uint64_t) = {
	[SYS_EXIT] = do_exit, [SYS_REPORT] = do_report,   [SYS_YIELD] = do_yield,
	[SYS_GROW] = do_grow, [SYS_REPLACE] = do_replace, [SYS_ROUND] = do_round,
	[SYS_HIDE] = do_hide,
};

static int64_t dispatch(uint64_t number, uint64_t a, uint64_t b)
{
	int64_t result;

	if (number >= ARRAY_SIZE(calls))
		return -1;
	path_point();
	interrupts_on();
	result = calls[number](a, b);
	interrupts_off();
	path_point();
	return result;
}

void syscall_64(struct frame *frame)
{
	frame->rax = dispatch(frame->rax, frame->rdi, frame->rsi);
}

void syscall_32(struct frame *frame)
{
	frame->rax = dispatch((uint32_t)frame->rax, (uint32_t)frame->rbx,
			      (uint32_t)frame->rcx);
}
