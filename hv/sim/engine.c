/* SPDX-License-Identifier: GPL-2.0-only */
#include <dlfcn.h>
#include <string.h>

#include "hv/sim/engine.h"
#include "libxenpt/cleanup.h"

#define PAGE 4096ull
#define ENTRY_ADDRESS 0x000ffffffffff000ull
#define ENTRY_PRESENT 1ull
#define ENTRY_LARGE 0x80ull

#define CR0_PG (1ull << 31)
#define EFER_START 0x500ull /* LMA, LME: what uc_open() makes of UC_MODE_64 */

/* Of struct uc_context: its size, mode and architecture. */
#define CONTEXT_HEADER 16

/* Nothing is at these guest-physical addresses: a page that reads as ones. */
#define NOWHERE (1ull << 40)

struct engine {
	uc_engine *uc;
	void *cpu; /* Unicorn's CPUState, once it is known */
	const struct engine_memory *memory;
	uint8_t *nowhere;
	uc_context *start, *scratch;
	size_t efer_at, exception_at; /* in the context */
	bool running;
};

/* The engine that runs. Unicorn gives its functions no room for an argument. */
static struct engine *active;

XENPT_DEFINE_CLEANUP(struct engine, engine, engine_destroy)

/* ---- Memory ------------------------------------------------------------ */

uint8_t *engine_at(const struct engine_memory *memory, uint64_t gpa, uint64_t size)
{
	if (gpa < memory->ram_size && size <= memory->ram_size - gpa)
		return memory->ram + gpa;
	gpa -= memory->window_base;
	if (gpa < memory->window_size && size <= memory->window_size - gpa)
		return memory->window + gpa;
	return NULL;
}

bool engine_walk(const struct engine_memory *memory, uint64_t cr3, uint64_t va,
		 void (*visit)(void *arg, uint64_t entry_gpa), void *arg, uint64_t *ret,
		 uint64_t *entry_and_ret)
{
	uint64_t entry = cr3, all = UINT64_MAX, gpa, size;
	const uint8_t *at;

	for (unsigned int shift = 39; shift >= 12; shift -= 9) {
		gpa = (entry & ENTRY_ADDRESS) + (va >> shift & 511) * 8;
		at = engine_at(memory, gpa, 8);
		if (!at)
			return false;
		memcpy(&entry, at, sizeof(entry));
		if (!(entry & ENTRY_PRESENT))
			return false;
		if (visit)
			visit(arg, gpa);
		all &= entry;
		if (shift == 12 || (shift < 39 && entry & ENTRY_LARGE)) {
			size = 1ull << shift;
			*ret = (entry & ENTRY_ADDRESS & ~(size - 1)) | (va & (size - 1));
			if (entry_and_ret)
				*entry_and_ret = all;
			return true;
		}
	}
	return false;
}

/* ---- In the place of Unicorn's ----------------------------------------- */

/*
 * As libunicorn.so exports them: softmmu's, of QEMU 5.0. The attributes of an access are
 * a struct of bits in a register.
 */
typedef void *memory_mapping_fn(uc_engine *uc, uint64_t address);
typedef void tlb_set_page_fn(void *cpu, uint64_t va, uint64_t pa, uint32_t attrs,
			     int prot, int mmu_idx, uint64_t size);

__attribute__((visibility("default"))) memory_mapping_fn memory_mapping;
__attribute__((visibility("default"))) tlb_set_page_fn tlb_set_page_with_attrs_x86_64;
void tlb_flush_x86_64(void *cpu);

static memory_mapping_fn *real_memory_mapping;
static tlb_set_page_fn *real_tlb_set_page;

/*
 * Which of the API's regions is at an address. It is asked with virtual ones before each
 * access; all regions allow all, so that any will do.
 */
void *memory_mapping(uc_engine *uc, uint64_t address)
{
	return real_memory_mapping(uc, active && active->running ? 0 : address);
}

void tlb_set_page_with_attrs_x86_64(void *cpu, uint64_t va, uint64_t pa, uint32_t attrs,
				    int prot, int mmu_idx, uint64_t size)
{
	struct engine *engine = active;

	if (engine && engine->running) {
		engine->cpu = cpu;
		if (engine_reg(engine, UC_X86_REG_CR0) & CR0_PG &&
		    !engine_walk(engine->memory, engine_reg(engine, UC_X86_REG_CR3), va,
				 NULL, NULL, &pa, NULL))
			pa = NOWHERE;
		if (!engine_at(engine->memory, pa & ~(PAGE - 1), PAGE)) {
			pa = NOWHERE;
			memset(engine->nowhere, 0xff, PAGE);
		}
	}
	real_tlb_set_page(cpu, va, pa & ~(PAGE - 1), attrs, prot, mmu_idx, size);
}

static struct xenpt_error *find_functions(void)
{
	*(void **)&real_memory_mapping = dlsym(RTLD_NEXT, "memory_mapping");
	*(void **)&real_tlb_set_page = dlsym(RTLD_NEXT, "tlb_set_page_with_attrs_x86_64");
	if (real_memory_mapping && real_tlb_set_page)
		return NULL;
	return xenpt_error_create(XENPT_ERROR_UNSUPPORTED, "libunicorn: not version 2.0");
}

/* ---- State ------------------------------------------------------------- */

struct engine_state *engine_context_state(uc_context *context)
{
	return (struct engine_state *)((uint8_t *)context + CONTEXT_HEADER);
}

static void *context_at(uc_context *context, size_t offset)
{
	return (uint8_t *)context + offset;
}

void engine_context_set_efer(struct engine *engine, uc_context *context, uint64_t efer)
{
	memcpy(context_at(context, engine->efer_at), &efer, sizeof(efer));
}

uint64_t engine_context_efer(const struct engine *engine, uc_context *context)
{
	uint64_t efer;

	memcpy(&efer, context_at(context, engine->efer_at), sizeof(efer));
	return efer;
}

uint64_t engine_reg(struct engine *engine, int reg)
{
	uint64_t value = 0;

	uc_reg_read(engine->uc, reg, &value);
	return value;
}

void engine_set_reg(struct engine *engine, int reg, uint64_t value)
{
	uc_reg_write(engine->uc, reg, &value);
}

uint64_t engine_msr(struct engine *engine, uint32_t msr)
{
	uc_x86_msr value = { .rid = msr };

	uc_reg_read(engine->uc, UC_X86_REG_MSR, &value);
	return value.value;
}

uint64_t engine_flags(struct engine *engine)
{
	return engine_reg(engine, UC_X86_REG_EFLAGS) & 0xffffffff;
}

void engine_set_flags(struct engine *engine, uint64_t flags)
{
	engine_set_reg(engine, UC_X86_REG_EFLAGS, flags);
}

void engine_save(struct engine *engine, uc_context *context)
{
	uc_context_save(engine->uc, context);
}

void engine_update(struct engine *engine, uc_context *context)
{
	const int32_t none = -1;

	/* Or the second fault is taken for one within the delivery of the first. */
	memcpy(context_at(context, engine->exception_at), &none, sizeof(none));
	uc_context_restore(engine->uc, context);
}

void engine_load(struct engine *engine, uc_context *context)
{
	engine_update(engine, context);
	if (engine->cpu)
		tlb_flush_x86_64(engine->cpu);
}

/* ---- Running ----------------------------------------------------------- */

uc_err engine_run(struct engine *engine, uint64_t ip)
{
	uc_err err;

	active = engine;
	engine->running = true;
	err = uc_emu_start(engine->uc, ip, 0, 0, 0);
	engine->running = false;
	active = NULL;
	return err;
}

void engine_stop(struct engine *engine)
{
	uc_emu_stop(engine->uc);
}

void engine_forget_code(struct engine *engine)
{
	uc_ctl_flush_tlb(engine->uc);
}

/* ---- Is this the Unicorn that we know? --------------------------------- */

static struct xenpt_error *unknown(const char *what)
{
	unsigned int major, minor;

	uc_version(&major, &minor);
	return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
				  "libunicorn %u.%u is not one that can be used: %s",
				  major, minor, what);
}

static bool find_bytes(uc_context *context, size_t size, const void *what, size_t length,
		       size_t *ret)
{
	for (size_t at = CONTEXT_HEADER + sizeof(struct engine_state);
	     at + length <= size; at += length) {
		if (memcmp(context_at(context, at), what, length) == 0) {
			*ret = at;
			return true;
		}
	}
	return false;
}

/* Set by the API, seen in the context. */
static struct xenpt_error *check_layout(struct engine *engine)
{
	static const int gprs[] = { UC_X86_REG_RAX, UC_X86_REG_RSP, UC_X86_REG_R15 };
	static const int numbers[] = { 0, 4, 15 };
	const struct engine_state *state = engine_context_state(engine->scratch);
	uc_x86_mmr idtr = { .base = 0x1122334455667788, .limit = 0x345 };
	const uint64_t efer = EFER_START;
	bool good = true;

	for (size_t i = 0; i < 3; i++)
		engine_set_reg(engine, gprs[i], 0xabcdef0012345600 + i);
	engine_set_reg(engine, UC_X86_REG_RIP, 0x1234567890);
	engine_set_reg(engine, UC_X86_REG_GS_BASE, 0x8877665544332211);
	engine_set_reg(engine, UC_X86_REG_CR3, 0x7654000);
	engine_set_flags(engine, 0x246);
	uc_reg_write(engine->uc, UC_X86_REG_IDTR, &idtr);
	engine_save(engine, engine->scratch);
	for (size_t i = 0; i < 3; i++)
		good &= state->gpr[numbers[i]] == 0xabcdef0012345600 + i;
	good &= state->rip == 0x1234567890 && state->cr[3] == 0x7654000 &&
		state->segments[ENGINE_GS].base == 0x8877665544332211 &&
		state->segments[ENGINE_IDTR].base == idtr.base &&
		state->segments[ENGINE_IDTR].limit == idtr.limit &&
		state->hflags & ENGINE_CS64 && !(state->hflags & ENGINE_CPL_MASK);
	if (!good || !find_bytes(engine->scratch, uc_context_size(engine->uc), &efer,
				 sizeof(efer), &engine->efer_at))
		return unknown("its CPU is laid out otherwise");
	uc_context_restore(engine->uc, engine->start);
	return NULL;
}

static void stop_at_fault(uc_engine *uc, uint32_t number, void *arg)
{
	uc_emu_stop(uc);
}

/*
 * Divide by zero, and see what is not -1 any more then, but 0. This is also the first
 * time that it runs: its CPU comes by.
 */
static struct xenpt_error *check_fault(struct engine *engine)
{
	static const uint8_t div_esi[] = { 0xf7, 0xf6 };
	const size_t size = uc_context_size(engine->uc);
	const int32_t none = -1, divide = 0;
	size_t at = CONTEXT_HEADER + sizeof(struct engine_state);
	uc_hook hook;

	memcpy(engine->memory->ram, div_esi, sizeof(div_esi));
	if (uc_hook_add(engine->uc, &hook, UC_HOOK_INTR, stop_at_fault, NULL, 1, 0))
		return unknown("it takes no hooks");
	engine_run(engine, 0);
	uc_hook_del(engine->uc, hook);
	memset(engine->memory->ram, 0, sizeof(div_esi));
	engine_save(engine, engine->scratch);
	for (; at + sizeof(none) <= size; at += sizeof(none)) {
		if (memcmp(context_at(engine->start, at), &none, sizeof(none)) == 0 &&
		    memcmp(context_at(engine->scratch, at), &divide, sizeof(none)) == 0)
			break;
	}
	if (at + sizeof(none) > size)
		return unknown("it tells no fault");
	engine->exception_at = at;
	if (!engine->cpu)
		return unknown("its translation of addresses cannot be corrected");
	engine_load(engine, engine->start);
	return NULL;
}

#ifdef __SANITIZE_ADDRESS__
/* uc_close() forgets a few pages' worth of bookkeeping. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libunicorn.so\n";
}
#endif

/* ---- Life -------------------------------------------------------------- */

static struct xenpt_error *check(uc_err err, const char *what)
{
	if (!err)
		return NULL;
	return xenpt_error_create(XENPT_ERROR_OS, "libunicorn: %s: %s", what,
				  uc_strerror(err));
}

static struct xenpt_error *map(struct engine *engine)
{
	const struct engine_memory *memory = engine->memory;

	XENPT_TRY(check(
		uc_mem_map_ptr(engine->uc, 0, memory->ram_size, UC_PROT_ALL, memory->ram),
		"memory"));
	XENPT_TRY(check(uc_mem_map_ptr(engine->uc, memory->window_base,
				       memory->window_size, UC_PROT_ALL, memory->window),
			"memory"));
	engine->nowhere = aligned_alloc(PAGE, PAGE);
	if (!engine->nowhere)
		return xenpt_error_no_memory();
	return check(
		uc_mem_map_ptr(engine->uc, NOWHERE, PAGE, UC_PROT_ALL, engine->nowhere),
		"memory");
}

static struct xenpt_error *add_hooks(struct engine *engine,
				     const struct engine_hooks *hooks)
{
	uc_hook hook;

	XENPT_TRY(check(uc_hook_add(engine->uc, &hook, UC_HOOK_CODE, hooks->code,
				    hooks->arg, 1, 0),
			"code hook"));
	XENPT_TRY(check(uc_hook_add(engine->uc, &hook, UC_HOOK_INTR, hooks->interrupt,
				    hooks->arg, 1, 0),
			"interrupt hook"));
	return check(uc_hook_add(engine->uc, &hook, UC_HOOK_MEM_WRITE, hooks->write,
				 hooks->arg, 1, 0),
		     "write hook");
}

struct xenpt_error *engine_context_create(struct engine *engine, uc_context **ret)
{
	XENPT_TRY(check(uc_context_alloc(engine->uc, ret), "context"));
	return check(uc_context_save(engine->uc, *ret), "context");
}

struct xenpt_error *engine_create(const struct engine_memory *memory,
				  const struct engine_hooks *hooks, struct engine **ret)
{
	_cleanup_(engine_cleanup) struct engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return xenpt_error_no_memory();
	engine->memory = memory;
	XENPT_TRY(find_functions());
	XENPT_TRY(check(uc_open(UC_ARCH_X86, UC_MODE_64, &engine->uc), "open"));
	/* An Intel CPU: it has SYSENTER in 64-bit mode, no SYSCALL in 32-bit mode. */
	XENPT_TRY(check(uc_ctl_set_cpu_model(engine->uc, UC_CPU_X86_SKYLAKE_CLIENT),
			"CPU model"));
	XENPT_TRY(map(engine));
	/* uc_emu_start()'s end: there is none. */
	XENPT_TRY(check(uc_ctl_exits_enable(engine->uc), "exits"));
	XENPT_TRY(engine_context_create(engine, &engine->start));
	XENPT_TRY(engine_context_create(engine, &engine->scratch));
	XENPT_TRY(check_layout(engine));
	XENPT_TRY(check_fault(engine));
	XENPT_TRY(add_hooks(engine, hooks));
	*ret = no_cleanup_ptr(engine);
	return NULL;
}

void engine_destroy(struct engine *engine)
{
	if (!engine)
		return;
	if (engine->start)
		uc_context_free(engine->start);
	if (engine->scratch)
		uc_context_free(engine->scratch);
	if (engine->uc)
		uc_close(engine->uc);
	free(engine->nowhere);
	free(engine);
}
