/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <string.h>

#include "hv/sim/machine.h"
#include "libxenpt/cleanup.h"

const struct sim_scenario sim_scenarios[] = {
	{
		.name = "demo",
		.about = "processes whose same addresses hold different code; then the "
			 "end",
		.guest = "demo",
		.vcpus = 1,
		.seed = 1,
	},
	{
		.name = "crash",
		.about = "a null pointer four functions deep, and a panic",
		.guest = "crash",
		.vcpus = 1,
		.seed = 1,
	},
	{
		.name = "smp",
		.about = "the same as demo, on two vCPUs",
		.guest = "smp",
		.vcpus = 2,
		.seed = 1,
	},
	{
		.name = "introspect",
		.about = "the hypervisor emulates every write of CR3",
		.guest = "introspect",
		.vcpus = 1,
		.cr3_exits = true,
		.seed = 1,
	},
	{
		.name = "jit",
		.about = "code that changes while it is used",
		.guest = "jit",
		.vcpus = 1,
		.seed = 1,
	},
	{
		.name = "hostile",
		.about = "a guest that rewrites its own trace and ToPA tables",
		.guest = "hostile",
		.vcpus = 1,
		.seed = 1,
	},
	{
		.name = "paths",
		.about = "processes and a kernel that log where they go; 20 rounds",
		.guest = "paths",
		.vcpus = 1,
		.seed = 1,
		.more = " rounds=20",
	},
	{},
};

static struct xenpt_error *unknown_scenario(const char *name)
{
	char names[256] = "";
	size_t used = 0;

	for (const struct sim_scenario *s = sim_scenarios; s->name; s++)
		used += snprintf(names + used, sizeof(names) - used, "%s%s",
				 used ? ", " : "", s->name);
	return xenpt_error_create(XENPT_ERROR_NOT_FOUND,
				  "there is no scenario '%s': choose one of %s", name,
				  names);
}

static bool parse_text(const char *value, char *ret, size_t size)
{
	return *value && (size_t)snprintf(ret, size, "%s", value) < size;
}

/* "A+B+C": what they are is for who makes the buffer to say. */
static bool parse_topa(const char *value, char *ret, size_t size)
{
	return value[strspn(value, "0123456789kKmM+")] == '\0' &&
	       parse_text(value, ret, size);
}

static bool parse_number(const char *value, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(value, &end, 10);
	return !errno && *value >= '0' && *value <= '9' && !*end;
}

/* To the front of the guest's command line, where what comes first counts. */
static bool put_guest(struct sim_scenario *scenario, const char *option,
		      const char *value)
{
	_cleanup_free_ char *rest = strdup(scenario->more);

	return rest &&
	       (size_t)snprintf(scenario->more, sizeof(scenario->more), " %s=%s%s",
				option, value, rest) < sizeof(scenario->more);
}

/* What the guest makes of it: guest/README.md. */
static bool parse_guest(const char *option, const char *value,
			struct sim_scenario *scenario)
{
	uint64_t number;

	if (!value)
		return strcmp(option, "stay") == 0 && put_guest(scenario, option, "1");
	if (strcmp(option, "rounds") == 0)
		return parse_number(value, &number) && put_guest(scenario, option, value);
	return strcmp(option, "cr3") == 0 &&
	       (strcmp(value, "mov") == 0 || strcmp(value, "fep") == 0 ||
		strcmp(value, "deny") == 0) &&
	       put_guest(scenario, option, value);
}

/* By 1 no write would be done, and the guest would get nowhere. */
static bool parse_deny(const char *value, struct sim_scenario *scenario)
{
	scenario->cr3_exits = true;
	return parse_number(value, &scenario->deny) && scenario->deny > 1;
}

static bool parse_option(char *option, struct sim_scenario *scenario)
{
	char *value = strchr(option, '=');

	if (value)
		*value++ = '\0';
	if (!value && strcmp(option, "no-pip") == 0)
		return scenario->no_pip = true;
	if (!value && strcmp(option, "tiny") == 0)
		return scenario->tiny = true;
	if (!value && strcmp(option, "stop") == 0)
		return scenario->stop = true;
	if (!value && strcmp(option, "cr3-exits") == 0)
		return scenario->cr3_exits = true;
	if (value && strcmp(option, "deny") == 0)
		return parse_deny(value, scenario);
	if (value && strcmp(option, "topa") == 0)
		return parse_topa(value, scenario->topa, sizeof(scenario->topa));
	if (value && strcmp(option, "seed") == 0)
		return parse_number(value, &scenario->seed);
	if (value && strcmp(option, "truth") == 0)
		return parse_text(value, scenario->truth, sizeof(scenario->truth));
	return parse_guest(option, value, scenario);
}

struct xenpt_error *sim_scenario_parse(const char *text, struct sim_scenario *ret)
{
	_cleanup_free_ char *copy = strdup(text);
	const struct sim_scenario *found = sim_scenarios;
	struct sim_scenario scenario;
	char *rest = copy, *option;

	if (!copy)
		return xenpt_error_no_memory();
	option = strsep(&rest, ",");
	while (found->name && strcmp(found->name, option) != 0)
		found++;
	if (!found->name)
		return unknown_scenario(option);
	scenario = *found;
	while ((option = strsep(&rest, ","))) {
		if (!parse_option(option, &scenario))
			return xenpt_error_create(
				XENPT_ERROR_INVALID,
				"scenario '%s': not understood: '%s'; there are no-pip, "
				"cr3-exits, deny=NUMBER, topa=SIZE+SIZE..., stop, tiny, "
				"seed=NUMBER, truth=FILE; of paths also rounds=NUMBER, "
				"cr3=mov|fep|deny, stay",
				scenario.name, option);
	}
	*ret = scenario;
	return NULL;
}
