// SPDX-License-Identifier: GPL-2.0-only
/*
 * scenario=paths: what a guest can do to the buffers of its trace. Where they are it is
 * told: it is not about finding them.
 */
#include "kernel.h"
#include "path.h"

static bool swap(const struct process *process, uint64_t frame, uint32_t a, uint32_t b)
{
	uint64_t *words = (void *)USER_SPOILED, word;

	if (a >= PAGE_SIZE / 8 || b >= PAGE_SIZE / 8)
		return false;
	page_map(process->cr3, USER_SPOILED, frame * PAGE_SIZE | PTE_WRITE | PTE_NX);
	word = words[a];
	words[a] = words[b];
	words[b] = word;
	page_unmap(process->cr3, USER_SPOILED);
	return true;
}

/* In the address space of @process. */
void spoil(const struct process *process, struct path_log *log)
{
	volatile uint32_t *request = &log->request;
	bool done;

	switch (*request) {
	case PATH_TAKE:
		done = xen_give_back(log->frame);
		break;
	case PATH_SWAP:
		done = swap(process, log->frame, log->words[0], log->words[1]);
		break;
	default:
		return;
	}
	*request = done ? PATH_DONE : PATH_FAILED;
}
