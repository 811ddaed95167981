// SPDX-License-Identifier: GPL-2.0-only
/* From boot to the scenario that the command line asks for. */
#include "kernel.h"

struct options options = { .scenario = "demo", .seed = 1 };
static uint64_t tick;

/* Behind "KEY=", or NULL. */
static const char *option_find(const char *line, const char *key)
{
	while (*line) {
		size_t i = 0;

		while (key[i] && line[i] == key[i])
			i++;
		if (!key[i])
			return line + i;
		while (*line && *line != ' ')
			line++;
		while (*line == ' ')
			line++;
	}
	return NULL;
}

static uint64_t parse_number(const char *text)
{
	uint64_t value = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (*text - '0');
	return value;
}

static void parse_word(char *to, size_t size, const char *text)
{
	size_t i;

	for (i = 0; i + 1 < size && text[i] && text[i] != ' '; i++)
		to[i] = text[i];
	to[i] = '\0';
}

static bool is_equal(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static enum cr3_way parse_cr3_way(const char *text)
{
	char word[8];

	parse_word(word, sizeof(word), text);
	if (is_equal(word, "fep"))
		return CR3_FEP;
	if (is_equal(word, "deny"))
		return CR3_DENY;
	if (!is_equal(word, "mov"))
		panic("cr3= is mov, fep or deny", NULL);
	return CR3_MOV;
}

static void options_parse(const char *line)
{
	const char *value;

	value = option_find(line, "scenario=");
	if (value)
		parse_word(options.scenario, sizeof(options.scenario), value);
	value = option_find(line, "seed=");
	if (value)
		options.seed = parse_number(value);
	value = option_find(line, "tick=");
	if (value)
		options.tick = parse_number(value);
	value = option_find(line, "rounds=");
	if (value)
		options.rounds = parse_number(value);
	value = option_find(line, "cr3=");
	if (value)
		options.cr3 = parse_cr3_way(value);
	options.stays = option_find(line, "stay");
}

static void demo_start(void)
{
	process_new(&program_sort);
	process_new(&program_primes);
	process_new(&program_compat);
}

static void crash_start(void)
{
	demo_start();
	thread_new("driver", driver_thread);
}

static void smp_start(void)
{
	demo_start();
	process_new(&program_sort);
	if (!xen_vcpu_start(1, start_secondary))
		print("guest: one CPU only\n");
}

static void jit_start(void)
{
	process_new(&program_jit);
	process_new(&program_compat);
}

static void hostile_start(void)
{
	process_new(&program_sort);
	process_new(&program_primes);
	thread_new("hostile", hostile_thread);
}

static void introspect_start(void)
{
	demo_start();
	thread_new("introspect", introspect_thread);
}

static void paths_start(void)
{
	path_init();
	process_new(&program_left);
	process_new(&program_right);
	process_new(&program_narrow);
}

static const struct scenario {
	const char *name;
	void (*start)(void);
	uint64_t tick; /* about so many instructions */
} scenarios[] = {
	{ "demo", demo_start, 6000 },       { "crash", crash_start, 6000 },
	{ "smp", smp_start, 6000 },         { "jit", jit_start, 6000 },
	{ "hostile", hostile_start, 6000 }, { "introspect", introspect_start, 2000 },
	{ "paths", paths_start, 3000 },     { "self", self_start, 3000 },
};

static const struct scenario *scenario_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++)
		if (is_equal(scenarios[i].name, name))
			return &scenarios[i];
	return NULL;
}

void kernel_main(uint64_t start_info)
{
	const struct start_info *info = at_physical(start_info);
	const struct scenario *scenario;
	uint64_t random;

	boot_pml4[0] = 0;
	cpu_init(0);
	xen_init();
	options_parse(at_physical(info->command_line));
	print("guest: scenario=%s seed=%u\n", options.scenario, options.seed);
	scenario = scenario_find(options.scenario);
	if (!scenario)
		panic("no such scenario", NULL);
	random = random_start(options.seed, 't');
	tick = random_between(&random, scenario->tick / 2, scenario->tick * 2);
	if (options.tick)
		tick = options.tick;
	scenario->start();
	timer_start(tick);
	idle();
}

void secondary_main(uint64_t id)
{
	cpu_init(id);
	print("guest: CPU %u is up\n", id);
	timer_start(tick);
	idle();
}
