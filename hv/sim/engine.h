/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Unicorn, as a CPU with paging.
 *
 * Unicorn 2.0.1 walks the guest's page tables, but then takes the virtual for the
 * physical address. Its functions are exported and call each other by their symbols, so
 * that engine.c puts its own in the place of two, and translation is what it should
 * be. What it needs beyond the API is in the image of the CPU that uc_context_save()
 * makes: struct engine_state is its start. engine_create() finds out whether
 * the Unicorn at hand is of that kind.
 */
#ifndef HV_SIM_ENGINE_H
#define HV_SIM_ENGINE_H

#include <unicorn/unicorn.h>

#include "libxenpt/xenpt.h"

struct engine_segment {
	uint32_t selector;
	uint64_t base;
	uint32_t limit;
	uint32_t flags; /* the descriptor's second word */
};

enum engine_segment_index {
	ENGINE_ES,
	ENGINE_CS,
	ENGINE_SS,
	ENGINE_DS,
	ENGINE_FS,
	ENGINE_GS,
	ENGINE_LDTR,
	ENGINE_TR,
	ENGINE_GDTR,
	ENGINE_IDTR,
	ENGINE_SEGMENTS
};

/* The start of what uc_context_save() saves of an x86 CPU. */
struct engine_state {
	uint64_t gpr[16]; /* in the order of encodings */
	uint64_t rip;
	uint64_t rflags_part; /* without what is computed late: engine_flags() */
	uint64_t cc_dst, cc_src, cc_src2;
	uint32_t cc_op;
	int32_t df;
	uint32_t hflags, hflags2;
	struct engine_segment segments[ENGINE_SEGMENTS];
	uint64_t cr[5];
};

#define ENGINE_CPL_MASK 3u          /* hflags */
#define ENGINE_CS32 (1u << 4)       /* hflags */
#define ENGINE_SS32 (1u << 5)       /* hflags */
#define ENGINE_ADDSEG (1u << 6)     /* hflags */
#define ENGINE_CS64 (1u << 15)      /* hflags */
#define ENGINE_SHADOW (1u << 3)     /* hflags: after STI, MOV SS */
#define ENGINE_DESC_DB (1u << 22)   /* segment flags */
#define ENGINE_DESC_LONG (1u << 21) /* segment flags */

/* Where guest memory is, for translation. */
struct engine_memory {
	uint8_t *ram;
	uint64_t ram_size;
	uint8_t *window;
	uint64_t window_base, window_size;
};

struct engine;

/* The engine's hooks are the caller's; @arg goes to them. */
struct engine_hooks {
	void (*code)(uc_engine *uc, uint64_t address, uint32_t size, void *arg);
	void (*interrupt)(uc_engine *uc, uint32_t number, void *arg);
	void (*write)(uc_engine *uc, uc_mem_type type, uint64_t address, int size,
		      int64_t value, void *arg);
	void *arg;
};

struct xenpt_error *engine_create(const struct engine_memory *memory,
				  const struct engine_hooks *hooks, struct engine **ret);
void engine_destroy(struct engine *engine);

/* A CPU that does not run: a copy of the engine's at its creation. */
struct xenpt_error *engine_context_create(struct engine *engine, uc_context **ret);
struct engine_state *engine_context_state(uc_context *context);
void engine_context_set_efer(struct engine *engine, uc_context *context, uint64_t efer);
uint64_t engine_context_efer(const struct engine *engine, uc_context *context);

/* Put a CPU in; get its state out again. engine_load() forgets all translations. */
void engine_load(struct engine *engine, uc_context *context);
void engine_save(struct engine *engine, uc_context *context);
/* The same after a change that leaves translations as they are. */
void engine_update(struct engine *engine, uc_context *context);

/* Of the CPU that is in. */
uint64_t engine_flags(struct engine *engine);
void engine_set_flags(struct engine *engine, uint64_t flags);
uint64_t engine_reg(struct engine *engine, int reg);
void engine_set_reg(struct engine *engine, int reg, uint64_t value);
uint64_t engine_msr(struct engine *engine, uint32_t msr);

/* Run at @ip until a hook calls engine_stop(). */
uc_err engine_run(struct engine *engine, uint64_t ip);
void engine_stop(struct engine *engine);
/* Guest memory was changed from outside: forget what was translated of its code. */
void engine_forget_code(struct engine *engine);

/*
 * Translate @va by the guest's tables at @cr3. Permissions are not looked at. If @visit
 * is not NULL, it is told the address of each entry that was used.
 */
bool engine_walk(const struct engine_memory *memory, uint64_t cr3, uint64_t va,
		 void (*visit)(void *arg, uint64_t entry_gpa), void *arg, uint64_t *ret,
		 uint64_t *entry_and_ret);
/* @size bytes at @gpa, which do not leave it; NULL: no memory is there. */
uint8_t *engine_at(const struct engine_memory *memory, uint64_t gpa, uint64_t size);

#endif
