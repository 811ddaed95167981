// SPDX-License-Identifier: GPL-2.0-only
/* scenario=paths: the log that path.h tells of, and the rounds. */
#include "kernel.h"
#include "path.h"

bool path_is_on;

static struct path_log *const path_log_header = (void *)(KERNEL_BASE + PATH_BASE);

/* path-log.S */
extern uint8_t path_log_point[], path_beacon_begin[], path_digits[];
void path_log(void);

#define LOGGED(id) extern uint8_t id##_log[], id##_log_point[]
LOGGED(left);
LOGGED(right);
LOGGED(narrow);

static const struct {
	const struct program *program;
	const uint8_t *log, *point;
} logged[] = {
	{ &program_left, left_log, left_log_point },
	{ &program_right, right_log, right_log_point },
	{ &program_narrow, narrow_log, narrow_log_point },
};

/* No number is 0. */
void path_init(void)
{
	struct path_log *log = path_log_header;

	zero_words(log, (PATH_ENTRIES + PATH_SLOTS * sizeof(struct path_entry)) / 8);
	log->magic = PATH_MAGIC;
	log->count = 1;
	log->slots = PATH_SLOTS;
	log->log = (uint64_t)path_log;
	log->point = (uint64_t)path_log_point;
	log->beacon = (uint64_t)path_beacon_begin;
	log->digits = (uint64_t)path_digits + PATH_CALL_SIZE;
	path_is_on = true;
}

static void name_copy(char *to, const char *from)
{
	while ((*to++ = *from++))
		;
}

static void space_add(const struct process *process, const uint8_t *log,
		      const uint8_t *point)
{
	struct path_space *space =
		&path_log_header->spaces[path_log_header->space_count++];

	space->cr3 = process->cr3;
	space->log = (uint64_t)log;
	space->point = (uint64_t)point;
	name_copy(space->name, process->name);
}

/* What its log function needs: the log, and a page that tells whose it is. */
void path_process_new(struct process *process)
{
	uint64_t self = page_alloc();

	for (size_t i = 0; i < ARRAY_SIZE(logged); i++)
		if (logged[i].program == process->program)
			space_add(process, logged[i].log, logged[i].point);
	*(uint32_t *)at_physical(self) = process->cr3 / PAGE_SIZE;
	page_map(process->cr3, USER_SELF, self | PTE_USER | PTE_NX);
	page_map_2m(process->cr3, USER_LOG, PATH_BASE | PTE_WRITE | PTE_USER | PTE_NX);
}

/* A process is at the end of its round of that number: whether there is another. */
bool path_round(const struct process *process, uint64_t round)
{
	path_beacon();
	spoil(process, path_log_header);
	if (path_log_header->count >= PATH_LAST)
		panic("the path log has no number left", NULL);
	/* Ever more rarely. */
	if (process->id == 1 && !(round & (round - 1)))
		print("paths: round %u, entry %u\n", round,
		      (uint64_t)path_log_header->count);
	return !options.rounds || round < options.rounds;
}
