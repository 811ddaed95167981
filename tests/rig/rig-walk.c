/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libxenpt/cleanup.h"
#include "libxenpt/paging.h"
#include "tests/rig/report.h"
#include "tests/rig/rig-walk.h"

#define SHOWN 20
/* Linux' page-table isolation: the user's root is the second page of a pair. */
#define CR3_USER_BIT 0x1000ull
#define CR3_ADDRESS 0x000ffffffffff000ull

struct check {
	struct xenpt_mem *mem;
	enum xenpt_paging paging;
	uint64_t user_cr3, kernel_cr3;
	struct rig_tally tally;
};

void rig_differs(struct rig_tally *tally, const char *what, uint64_t address,
		 uint64_t got, uint64_t want)
{
	if (tally->differences++ < SHOWN)
		printf("%s of %#" PRIx64 ": %#" PRIx64 ", not %#" PRIx64 "\n", what,
		       address, got, want);
}

struct xenpt_error *rig_conclude(const struct rig_tally *tally, const char *what)
{
	printf("%" PRIu64 " %s, %" PRIu64 " differences\n", tally->compared, what,
	       tally->differences);
	return tally->differences
		       ? xenpt_error_create(XENPT_ERROR_FORMAT, "%s differ", what)
		       : NULL;
}

static void differs(struct check *check, const char *what, uint64_t address, uint64_t got,
		    uint64_t want)
{
	rig_differs(&check->tally, what, address, got, want);
}

static bool read_linear(struct check *check, uint64_t address, void *buf, size_t size)
{
	uint8_t *to = buf;

	while (size) {
		struct xenpt_translation t;
		size_t part = XENPT_PAGE_SIZE - address % XENPT_PAGE_SIZE;

		if (part > size)
			part = size;
		if (!xenpt_paging_walk(check->mem, check->paging, check->user_cr3,
				       address, &t) ||
		    !xenpt_mem_read(check->mem, t.gpa, to, part))
			return false;
		address += part;
		to += part;
		size -= part;
	}
	return true;
}

/* The report, found by what it is to test. */
static struct xenpt_error *check_init(struct check *check, struct xenpt_mem *mem,
				      const struct xenpt_registers *regs,
				      struct report **ret)
{
	_cleanup_free_ struct report *report = malloc(sizeof(*report));

	if (!report)
		return xenpt_error_no_memory();
	*check = (struct check){
		.mem = mem,
		.paging = xenpt_paging_of(regs),
		.user_cr3 = regs->cr3,
		.kernel_cr3 = regs->cr3 & CR3_ADDRESS & ~CR3_USER_BIT,
	};
	if (!read_linear(check, REPORT_ADDRESS, report, sizeof(*report)) ||
	    report->magic != REPORT_MAGIC || report->count > REPORT_MAX)
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "no report: RIP %#" PRIx64 " CR3 %#" PRIx64,
					  regs->rip, regs->cr3);
	*ret = no_cleanup_ptr(report);
	return NULL;
}

static void compare_contents(struct check *check, const struct report_entry *entry,
			     uint64_t gpa)
{
	uint64_t page[XENPT_PAGE_SIZE / 8];

	if (!xenpt_mem_read(check->mem, gpa & -(uint64_t)XENPT_PAGE_SIZE, page,
			    sizeof(page)))
		differs(check, "no page", entry->address, gpa, entry->gpa);
	else if (report_hash(page) != entry->hash)
		differs(check, "contents", entry->address, report_hash(page),
			entry->hash);
}

static void compare_walk(struct check *check, uint64_t cr3,
			 const struct report_entry *entry)
{
	struct xenpt_translation t;
	bool kernel = xenpt_address_is_kernel(entry->address);
	bool found =
		xenpt_paging_walk(check->mem, check->paging, cr3, entry->address, &t);

	if (!found) {
		/* The user's tables have little of the kernel. */
		if (entry->gpa != REPORT_NOT_MAPPED &&
		    !(kernel && cr3 != check->kernel_cr3))
			differs(check, "no walk", entry->address, REPORT_NOT_MAPPED,
				entry->gpa);
		return;
	}
	if (entry->gpa == REPORT_NOT_MAPPED) {
		differs(check, "walk", entry->address, t.gpa, entry->gpa);
		return;
	}
	if (entry->gpa != REPORT_UNKNOWN && t.gpa != entry->gpa)
		differs(check, "walk", entry->address, t.gpa, entry->gpa);
	if (t.user == kernel)
		differs(check, "user bit", entry->address, t.user, !kernel);
	compare_contents(check, entry, t.gpa);
}

struct xenpt_error *rig_walk(struct xenpt_mem *mem, const struct xenpt_registers *regs)
{
	_cleanup_free_ struct report *report = NULL;
	uint64_t kernel = 0;
	struct check check;

	XENPT_TRY(check_init(&check, mem, regs, &report));
	if (!(check.user_cr3 & CR3_USER_BIT))
		differs(&check, "page-table isolation", 0, check.user_cr3, CR3_USER_BIT);
	for (uint64_t i = 0; i < report->count; i++) {
		const struct report_entry *entry = &report->entries[i];

		compare_walk(&check, check.kernel_cr3, entry);
		compare_walk(&check, check.user_cr3, entry);
		kernel += xenpt_address_is_kernel(entry->address);
		check.tally.compared++;
	}
	printf("%" PRIu64 " of them in the kernel\n", kernel);
	return rig_conclude(&check.tally, "addresses");
}

static void compare(struct check *check, const char *what, uint64_t got, uint64_t want)
{
	check->tally.compared++;
	if (got != want)
		differs(check, what, 0, got, want);
}

struct xenpt_error *rig_registers(struct xenpt_mem *mem,
				  const struct xenpt_registers *regs)
{
	_cleanup_free_ struct report *report = NULL;
	struct check check;

	XENPT_TRY(check_init(&check, mem, regs, &report));
	for (size_t i = 0; i < 16; i++)
		compare(&check, "a general register", regs->gpr[i], report->gpr[i]);
	compare(&check, "RIP", regs->rip, report->spin);
	compare(&check, "FS.base", regs->fs_base, report->fs_base);
	compare(&check, "GS.base", regs->gs_base, report->gs_base);
	compare(&check, "KERNEL_GS_BASE", regs->shadow_gs_base, report->per_cpu_base);
	compare(&check, "LSTAR", regs->lstar, report->lstar);
	compare(&check, "CPL", regs->cpl, 3);
	compare(&check, "mode", regs->mode, 64);
	/* Linux' selectors: arch/x86/include/asm/segment.h. */
	compare(&check, "CS", regs->cs, 0x33);
	compare(&check, "SS", regs->ss, 0x2b);
	compare(&check, "paging", check.paging, XENPT_PAGING_4_LEVEL);
	return rig_conclude(&check.tally, "registers");
}
