// SPDX-License-Identifier: GPL-2.0-only
/* Physical pages, page tables, and what a process finds where. */
#include "kernel.h"

static struct spinlock page_lock;
static uint64_t next_page = FREE_BASE;

/* No page is ever given back: what ran stays where it was, for those who look later. */
uint64_t page_alloc(void)
{
	uint64_t page;

	spin_lock(&page_lock);
	page = next_page;
	next_page += PAGE_SIZE;
	spin_unlock(&page_lock);
	if (page >= FREE_END)
		panic("out of memory", NULL);
	zero_words(at_physical(page), PAGE_SIZE / 8);
	return page;
}

/* In the table of level @leaf; those above it are made. */
static uint64_t *page_entry(uint64_t table, uint64_t address, int level, int leaf)
{
	uint64_t *entry = at_physical(table & PTE_ADDRESS);

	entry += address >> (12 + 9 * level) & 511;
	if (level == leaf)
		return entry;
	if (!(*entry & PTE_PRESENT))
		*entry = page_alloc() | PTE_USER | PTE_WRITE | PTE_PRESENT;
	return page_entry(*entry, address, level - 1, leaf);
}

void page_map(uint64_t cr3, uint64_t address, uint64_t entry)
{
	*page_entry(cr3, address, 3, 0) = entry | PTE_PRESENT;
}

void page_map_2m(uint64_t cr3, uint64_t address, uint64_t entry)
{
	*page_entry(cr3, address, 3, 1) = entry | PTE_LARGE | PTE_PRESENT;
}

void page_unmap(uint64_t cr3, uint64_t address)
{
	*page_entry(cr3, address, 3, 0) = 0;
	invlpg(address);
}

/* It stays what it was, but the next access is a fault. */
void page_hide(uint64_t cr3, uint64_t address)
{
	*page_entry(cr3, address, 3, 0) &= ~(uint64_t)PTE_PRESENT;
	invlpg(address);
}

static bool page_reveal(uint64_t cr3, uint64_t address)
{
	uint64_t *entry = page_entry(cr3, address, 3, 0);

	if (*entry & PTE_ADDRESS)
		*entry |= PTE_PRESENT;
	return *entry & PTE_PRESENT;
}

/* Nothing but the kernel, which all share. */
uint64_t address_space_new(void)
{
	uint64_t cr3 = page_alloc();
	uint64_t *pml4 = at_physical(cr3);

	pml4[511] = boot_pml4[511];
	return cr3;
}

static void fill_image(struct process *process, uint64_t page, uint64_t address)
{
	uint64_t image = (uint64_t)process->program->image;

	copy_words(at_physical(page), at_physical(image + address - USER_IMAGE),
		   PAGE_SIZE / 8);
}

static void fill_zero(struct process *process, uint64_t page, uint64_t address)
{
	/* As it came from page_alloc. */
}

struct region {
	uint64_t start, end;
	uint64_t flags;
	void (*fill)(struct process *process, uint64_t page, uint64_t address);
};

static const struct region regions[] = {
	{ USER_IMAGE, USER_HEAP, PTE_WRITE | PTE_USER, fill_image },
	{ USER_HEAP, USER_HEAP_END, PTE_WRITE | PTE_USER | PTE_NX, fill_zero },
	{ USER_CODE, USER_CODE_END, PTE_WRITE | PTE_USER, fill_zero },
	{ USER_STACK, USER_STACK_END, PTE_WRITE | PTE_USER | PTE_NX, fill_zero },
};

static uint64_t region_end(const struct region *region, const struct process *process)
{
	const struct program *program = process->program;

	if (region->start == USER_IMAGE)
		return USER_IMAGE + (program->image_end - program->image);
	if (region->start == USER_HEAP)
		return process->heap_end;
	return region->end;
}

static const struct region *region_find(const struct process *process, uint64_t address)
{
	for (size_t i = 0; i < ARRAY_SIZE(regions); i++)
		if (address >= regions[i].start &&
		    address < region_end(&regions[i], process))
			return &regions[i];
	return NULL;
}

/* A page that is not there yet: make it, or say that none belongs there. */
bool demand_page(struct process *process, uint64_t address)
{
	const struct region *region;
	uint64_t page;

	if (!process->program)
		return false;
	region = region_find(process, address);
	if (!region)
		return false;
	if (path_is_on && page_reveal(process->cr3, address))
		return true;
	address &= ~(PAGE_SIZE - 1ull);
	page = page_alloc();
	region->fill(process, page, address);
	page_map(process->cr3, address, page | region->flags);
	return true;
}

/* Another page, with a copy of what is at FROM, takes the place of that at TO. */
bool page_replace(struct process *process, uint64_t to, uint64_t from)
{
	const struct region *region = region_find(process, to);
	uint64_t page;

	if (!region || !region_find(process, from))
		return false;
	to &= ~(PAGE_SIZE - 1ull);
	from &= ~(PAGE_SIZE - 1ull);
	page = page_alloc();
	copy_words(at_physical(page), (const void *)from, PAGE_SIZE / 8);
	page_unmap(process->cr3, to);
	page_map(process->cr3, to, page | region->flags);
	return true;
}
