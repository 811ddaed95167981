/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linux says where its memory is in /proc: of a process in pagemap, of the kernel's text
 * and of all RAM in kcore's program headers; kcore has all contents.
 */
#include <asm/prctl.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/rig/linux-look.h"
#include "tests/rig/report.h"

#define PAGE 4096ul
#define PAGEMAP_FRAME ((1ull << 55) - 1)
#define PAGEMAP_PRESENT (1ull << 63)

static struct report *report;
static uint64_t seed = 1;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Any address within the page. */
static void add(uint64_t page, uint64_t frame, uint64_t hash)
{
	uint64_t offset = next_random() % PAGE;

	if (report->count == REPORT_MAX) {
		errno = ENOSPC;
		die("report");
	}
	report->entries[report->count++] = (struct report_entry){
		page + offset, frame < REPORT_UNKNOWN ? frame + offset : frame, hash
	};
}

/* ---- Its own memory ------------------------------------------------------ */

static int pagemap = -1;

/* Where a page is, or REPORT_NOT_MAPPED. */
static uint64_t frame_of(const void *page)
{
	uint64_t word;

	if (pread(pagemap, &word, sizeof(word), (uintptr_t)page / PAGE * 8) !=
	    sizeof(word))
		die("pagemap");
	if (!(word & PAGEMAP_PRESENT))
		return REPORT_NOT_MAPPED;
	return (word & PAGEMAP_FRAME) * PAGE;
}

static uint8_t *map(size_t pages, int prot, int flags)
{
	uint8_t *at = mmap(NULL, pages * PAGE, prot, flags | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		die("mmap");
	return at;
}

static void fill(uint8_t *page)
{
	for (size_t i = 0; i < PAGE / 8; i++)
		((uint64_t *)page)[i] = next_random();
}

static void add_pages(const uint8_t *at, size_t pages)
{
	for (size_t i = 0; i < pages; i++, at += PAGE)
		add((uintptr_t)at, frame_of(at), report_hash(at));
}

static void add_unmapped(const uint8_t *at, size_t pages)
{
	for (size_t i = 0; i < pages; i++, at += PAGE)
		add((uintptr_t)at, REPORT_NOT_MAPPED, 0);
}

/* Private or shared memory; every eighth page was not touched. */
static uint8_t *add_anonymous(size_t pages, int flags)
{
	uint8_t *at = map(pages, PROT_READ | PROT_WRITE, flags);

	madvise(at, pages * PAGE, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < pages; i++)
		if (i % 8)
			fill(at + i * PAGE);
	for (size_t i = 0; i < pages; i++)
		if (i % 8)
			add_pages(at + i * PAGE, 1);
		else
			add_unmapped(at + i * PAGE, 1);
	return at;
}

/* Pages of 2 MiB, as far as Linux has them; some 4-KiB pages of each. */
static void add_huge(size_t count)
{
	const size_t huge = 2ul << 20;
	uint8_t *at = map((count + 1) * huge / PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	at = (uint8_t *)(((uintptr_t)at + huge - 1) & -huge);
	madvise(at, count * huge, MADV_HUGEPAGE);
	for (size_t i = 0; i < count * huge; i += PAGE)
		fill(at + i);
	for (size_t i = 0; i < count * huge; i += 3 * PAGE)
		add_pages(at + i, 1);
}

static void add_special(void)
{
	uint8_t *zero = map(200, PROT_READ, MAP_PRIVATE);
	uint8_t *none = map(100, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	volatile uint8_t touch = 0;

	/* All are the one page of zeroes, as they were only read. */
	for (size_t i = 0; i < 200; i++)
		touch += zero[i * PAGE];
	add_pages(zero, 200);
	/* Linux keeps these pages; the CPU may not go there. */
	for (size_t i = 0; i < 100; i++)
		none[i * PAGE] = touch + 1;
	mprotect(none, 100 * PAGE, PROT_NONE);
	add_unmapped(none, 100);
	munmap(none, 50 * PAGE);
}

static void add_program(void)
{
	extern const uint8_t __executable_start[], etext[];
	const uint8_t *at = __executable_start;

	for (; at < etext; at += PAGE) {
		volatile uint8_t touch = *at;

		(void)touch;
		add_pages(at, 1);
	}
}

/* ---- The kernel's memory ------------------------------------------------- */

static int kcore = -1;
static Elf64_Phdr segments[64];
static size_t segment_count;

static void kcore_open(void)
{
	Elf64_Ehdr header;
	ssize_t size;

	kcore = open("/proc/kcore", O_RDONLY);
	if (kcore < 0 || read(kcore, &header, sizeof(header)) != sizeof(header))
		die("kcore");
	segment_count = header.e_phnum < 64 ? header.e_phnum : 64;
	size = segment_count * sizeof(*segments);
	if (pread(kcore, segments, size, header.e_phoff) != size)
		die("kcore");
}

static const Elf64_Phdr *segment_of(uint64_t address)
{
	for (size_t i = 0; i < segment_count; i++)
		if (segments[i].p_type == PT_LOAD && address >= segments[i].p_vaddr &&
		    address - segments[i].p_vaddr < segments[i].p_memsz)
			return &segments[i];
	return NULL;
}

static bool kcore_read(uint64_t address, void *buf, size_t size)
{
	const Elf64_Phdr *segment = segment_of(address);

	return segment &&
	       pread(kcore, buf, size, segment->p_offset + address - segment->p_vaddr) ==
		       (ssize_t)size;
}

uint64_t symbol(const char *name)
{
	static const char path[] = "/proc/kallsyms";
	FILE *file = fopen(path, "r");
	char line[256], found[200];
	uint64_t address = 0;

	if (!file)
		die(path);
	while (!address && fgets(line, sizeof(line), file)) {
		uint64_t at;

		if (sscanf(line, "%" SCNx64 " %*c %199s", &at, found) == 2 &&
		    !strcmp(found, name))
			address = at;
	}
	fclose(file);
	if (!address) {
		errno = ENOENT;
		die(name);
	}
	return address;
}

static void add_kernel(uint64_t page)
{
	const Elf64_Phdr *segment = segment_of(page);
	uint64_t frame = REPORT_UNKNOWN;
	uint8_t contents[PAGE];

	if (!kcore_read(page, contents, PAGE)) {
		add(page, REPORT_NOT_MAPPED, 0);
		return;
	}
	if (segment->p_paddr != UINT64_MAX)
		frame = segment->p_paddr + (page - segment->p_vaddr);
	add(page, frame, report_hash(contents));
}

/* Of what is never written after boot; without its ends, which share pages. */
static void add_kernel_range(const char *from, const char *to, uint64_t step)
{
	uint64_t page = (symbol(from) + PAGE - 1) & -PAGE;
	uint64_t end = symbol(to) & -PAGE;

	for (; page < end; page += step * PAGE)
		add_kernel(page);
}

/* Pages of this process in the kernel's map of all RAM. */
static void add_direct_map(const uint8_t *at, size_t pages)
{
	uint64_t base;

	if (!kcore_read(symbol("page_offset_base"), &base, sizeof(base)))
		die("page_offset_base");
	for (size_t i = 0; i < pages; i++, at += PAGE) {
		uint64_t frame = frame_of(at);

		if (frame != REPORT_NOT_MAPPED)
			add(base + frame, frame, report_hash(at));
	}
	/* Where no guest of less than 16 GiB has RAM. */
	for (uint64_t i = 0; i < 250; i++)
		add(base + (16ull << 30) + i * (PAGE << 12), REPORT_NOT_MAPPED, 0);
}

/* Modules: mapped page by page. */
static void add_modules(void)
{
	FILE *file = fopen("/proc/modules", "r");
	char line[512];

	if (!file)
		die("/proc/modules");
	while (fgets(line, sizeof(line), file)) {
		uint64_t size, at;

		if (sscanf(line, "%*s %" SCNu64 " %*s %*s %*s %" SCNx64, &size, &at) == 2)
			for (uint64_t i = 0; i < size; i += PAGE)
				add_kernel(at + i);
	}
	fclose(file);
}

static void load_module(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
		die(path);
	close(fd);
}

/* ---- Registers ----------------------------------------------------------- */

extern const uint8_t spin_here[];

static void registers_plan(void)
{
	uint64_t offset;

	report->lstar = symbol("entry_SYSCALL_64");
	if (!kcore_read(symbol("__per_cpu_offset"), &offset, sizeof(offset)))
		die("__per_cpu_offset");
	report->per_cpu_base = offset;
	for (size_t i = 0; i < 16; i++)
		report->gpr[i] = 0x1111111111111111 * i + 0x8000000000000abc;
	report->fs_base = 0x123456789000;
	report->gs_base = 0x7edcba987000;
	report->spin = (uintptr_t)spin_here;
}

/* No stack and no thread-local variable is there from here on. */
static _Noreturn void spin(const struct report *with)
{
	asm volatile("mov %[with], %%r15\n\t"
		     "mov %[prctl], %%eax\n\t"
		     "mov %[set_fs], %%edi\n\t"
		     "mov %c[fs](%%r15), %%rsi\n\t"
		     "syscall\n\t"
		     "mov %[prctl], %%eax\n\t"
		     "mov %[set_gs], %%edi\n\t"
		     "mov %c[gs](%%r15), %%rsi\n\t"
		     "syscall\n\t"
		     "lea %c[gpr](%%r15), %%r15\n\t"
		     "mov 0(%%r15), %%rax\n\t"
		     "mov 8(%%r15), %%rcx\n\t"
		     "mov 16(%%r15), %%rdx\n\t"
		     "mov 24(%%r15), %%rbx\n\t"
		     "mov 32(%%r15), %%rsp\n\t"
		     "mov 40(%%r15), %%rbp\n\t"
		     "mov 48(%%r15), %%rsi\n\t"
		     "mov 56(%%r15), %%rdi\n\t"
		     "mov 64(%%r15), %%r8\n\t"
		     "mov 72(%%r15), %%r9\n\t"
		     "mov 80(%%r15), %%r10\n\t"
		     "mov 88(%%r15), %%r11\n\t"
		     "mov 96(%%r15), %%r12\n\t"
		     "mov 104(%%r15), %%r13\n\t"
		     "mov 112(%%r15), %%r14\n\t"
		     "mov 120(%%r15), %%r15\n"
		     ".global spin_here\n"
		     "spin_here:\n\t"
		     "jmp spin_here"
		     :
		     : [with] "r"(with), [prctl] "i"(SYS_arch_prctl),
		       [set_fs] "i"(ARCH_SET_FS), [set_gs] "i"(ARCH_SET_GS),
		       [fs] "i"(offsetof(struct report, fs_base)),
		       [gs] "i"(offsetof(struct report, gs_base)),
		       [gpr] "i"(offsetof(struct report, gpr))
		     : "memory");
	__builtin_unreachable();
}

void look(void (*say)(const char *what))
{
	const uint8_t *own;
	char text[64];

	report = mmap((void *)REPORT_ADDRESS, sizeof(*report), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE,
		      -1, 0);
	if (report == MAP_FAILED)
		die("report");
	pagemap = open("/proc/self/pagemap", O_RDONLY);
	if (pagemap < 0)
		die("pagemap");
	load_module("/netfs.ko");
	load_module("/fscache.ko");
	kcore_open();
	registers_plan();

	add_huge(4); /* first, for Linux may have to move pages */
	own = add_anonymous(3000, MAP_PRIVATE);
	add_anonymous(800, MAP_SHARED);
	add_special();
	add_program();
	add_direct_map(own, 2400);
	add_kernel_range("_stext", "_etext", 2);
	add_kernel_range("__start_rodata", "__end_rodata", 2);
	add_modules();
	report->magic = REPORT_MAGIC;
	snprintf(text, sizeof(text), "ready: %" PRIu64 " addresses", report->count);
	say(text);
	spin(report);
}
