/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tells the client before code changes that ran while it was traced, or the tables
 * through which that code was found; and before code runs that was written since it was
 * last told. So what runs between two holds is in memory as it was at the first: the
 * client may read it at any time, and read more of a page than what ran.
 *
 * Unicorn says of a write only when it cannot be stopped any more. So the page is copied
 * first, the instruction is let finish, and as long as the client looks, the copy is in
 * the place of the page.
 */
#include <string.h>

#include "hv/sim/machine.h"

#define ENTRY_PRESENT 1ull
/* What a walk sets by itself, and what no walk looks at. */
#define ENTRY_IGNORED 0xe60ull

void watch_update(struct sim *sim)
{
	const bool before = sim->watching;

	sim->watching = false;
	for (uint32_t i = 0; i < sim->vcpu_count; i++) {
		const struct sim_trace *trace = &sim->vcpus[i].trace;

		sim->watching |= trace->set_up && trace->setup.watch_code;
	}
	/*
	 * While a trace is but interrupted, the client still has what it read. What ran
	 * before has nobody who was to be told of it.
	 */
	if (before || !sim->watching)
		return;
	memset(sim->code_lines, 0, sizeof(sim->code_lines));
	memset(sim->table_lines, 0, sizeof(sim->table_lines));
	memset(sim->written_lines, 0, sizeof(sim->written_lines));
	sim->watch_round++;
}

/* A bit for each line of a page. */
static uint64_t lines(uint64_t offset, uint64_t size)
{
	uint64_t first = offset / SIM_LINE, last = (offset + size - 1) / SIM_LINE;

	return (UINT64_MAX >> (63 - last)) & (UINT64_MAX << first);
}

static void mark_table(void *arg, uint64_t entry_gpa)
{
	struct sim *sim = arg;

	sim->table_lines[entry_gpa / SIM_PAGE] |= lines(entry_gpa % SIM_PAGE, 8);
}

void watch_code(struct vcpu *vcpu, struct code_page *page, uint64_t offset, uint64_t size)
{
	const uint64_t run = lines(offset, size);
	struct sim *sim = vcpu->sim;
	uint64_t gpa;

	if (!vcpu->trace.setup.watch_code)
		return;
	if (sim->written_lines[page->gfn] & run) {
		sim->changer = vcpu;
		return;
	}
	sim->code_lines[page->gfn] |= run;
	if (page->watched == sim->watch_round)
		return;
	engine_walk(&sim->memory, vcpu->now.cr3, page->va, mark_table, sim, &gpa, NULL);
	page->watched = sim->watch_round;
}

/* Whether the write to a table leaves all walks as they were. */
static bool is_harmless(const uint8_t *page, uint64_t offset, uint64_t size,
			uint64_t value)
{
	uint64_t old, new;

	memcpy(&old, page + (offset & ~7ull), sizeof(old));
	if (offset % 8 + size > 8)
		return false;
	new = old;
	memcpy((uint8_t *)&new + offset % 8, &value, size);
	return !(old & ENTRY_PRESENT) || !((old ^ new) & ~ENTRY_IGNORED);
}

static bool is_same(const uint8_t *page, uint64_t offset, uint64_t size, uint64_t value)
{
	return size <= 8 && memcmp(page + offset, &value, size) == 0;
}

static void write_page(struct vcpu *vcpu, uint64_t va, uint64_t size, uint64_t value,
		       bool known)
{
	struct sim *sim = vcpu->sim;
	const uint64_t offset = va % SIM_PAGE;
	struct changed_page *changed;
	uint64_t gpa, gfn, written;
	uint8_t *page;

	if (!engine_walk(&sim->memory, vcpu->now.cr3, va, NULL, NULL, &gpa, NULL))
		return;
	page = engine_at(&sim->memory, gpa - offset, SIM_PAGE);
	if (!page)
		return;
	gfn = gpa / SIM_PAGE;
	if (sim->page_flags[gfn] & SIM_PAGE_BUFFER && sim->truth)
		trace_spoil(sim, gpa, size);
	written = lines(offset, size);
	sim->written_lines[gfn] |= written;
	if (!(sim->code_lines[gfn] & written) &&
	    (!(sim->table_lines[gfn] & written) ||
	     (known && is_harmless(page, offset, size, value))))
		return;
	if ((known && is_same(page, offset, size, value)) ||
	    sim->changed_count == CHANGED_PAGES)
		return;
	/* The client reads all of the page now; next time when it has run again. */
	sim->code_lines[gfn] = sim->table_lines[gfn] = 0;
	changed = &sim->changed[sim->changed_count++];
	changed->host = page;
	memcpy(changed->before, page, SIM_PAGE);
	sim->changer = vcpu;
}

void watch_write(struct vcpu *vcpu, uint64_t va, uint64_t size, uint64_t value)
{
	const uint64_t first = SIM_PAGE - va % SIM_PAGE;
	const bool known = size <= 8;

	if (size <= first) {
		write_page(vcpu, va, size, value, known);
		return;
	}
	write_page(vcpu, va, first, value, known);
	write_page(vcpu, va + first, size - first, known ? value >> 8 * first : 0, known);
}

void watch_hold(struct sim *sim)
{
	struct vcpu *changer = sim->changer;

	sim->changer = NULL;
	for (size_t i = 0; i < sim->changed_count; i++) {
		struct changed_page *changed = &sim->changed[i];

		memcpy(changed->after, changed->host, SIM_PAGE);
		memcpy(changed->host, changed->before, SIM_PAGE);
	}
	for (uint32_t i = 0; i < sim->vcpu_count; i++) {
		trace_exit(&sim->vcpus[i]);
		sim->vcpus[i].trace.fresh = true;
	}
	sim->code_held = true;
	memset(sim->written_lines, 0, sizeof(sim->written_lines));
	sim->watch_round++;
	truth_flush(sim);
	if (sim->notify)
		sim->notify(sim->notify_arg, HV_EVENT_CODE, changer->id);
}

void watch_release(struct sim *sim)
{
	for (size_t i = 0; i < sim->changed_count; i++)
		memcpy(sim->changed[i].host, sim->changed[i].after, SIM_PAGE);
	sim->changed_count = 0;
	sim->code_held = false;
}
