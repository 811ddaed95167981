/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether there is a xenpt-sim, and the domain or scenario that is asked for. */
#include <string.h>

#include "hv/sim-link.h"
#include "libxenpt/cleanup.h"

struct search {
	const char *name; /* "sim:NAME"; NULL: none in particular */
	size_t offers;
	bool found, runs;
	char *program_why; /* there is no xenpt-sim */
	char *domain_why;  /* it runs, and cannot be recorded */
};

static void free_search(struct search *search)
{
	free(search->program_why);
	free(search->domain_why);
}

static struct xenpt_error *keep(const char *text, char **ret)
{
	char *copy = strdup(text);

	if (!copy)
		return xenpt_error_no_memory();
	free(*ret);
	*ret = copy;
	return NULL;
}

/* A scenario's name may be followed by options, which only xenpt-sim knows. */
static bool is_named(const struct search *search, const struct hv_info *info)
{
	size_t length = strlen(info->name);

	return search->name && strncmp(search->name, info->name, length) == 0 &&
	       (search->name[length] == '\0' ||
		(info->state == HV_OFFERED && search->name[length] == ','));
}

static struct xenpt_error *look(void *arg, const struct hv_info *info)
{
	struct search *search = arg;

	if (info->state == HV_OFFERED && !info->backend)
		return keep(info->why, &search->program_why);
	search->offers += info->state == HV_OFFERED;
	if (!is_named(search, info) || search->found)
		return NULL;
	search->found = true;
	search->runs = info->state != HV_OFFERED;
	return info->why ? keep(info->why, &search->domain_why) : NULL;
}

/* Without it, what runs can be recorded, and nothing can be started. */
static struct xenpt_error *say_program(const struct search *search, hv_finding_fn *fn,
				       void *arg)
{
	struct hv_finding finding = { .what = "xenpt-sim" };
	char found[80];

	if (search->program_why) {
		finding.level = search->name && !search->runs ? HV_BAD : HV_NOTE;
		finding.found = "does not start";
		finding.remedy = search->program_why;
		return fn(arg, &finding);
	}
	snprintf(found, sizeof(found), "starts; embedded guests to record: %zu",
		 search->offers);
	finding.found = found;
	return fn(arg, &finding);
}

static struct xenpt_error *say_domain(const struct search *search, hv_finding_fn *fn,
				      void *arg)
{
	struct hv_finding finding = { .what = "domain" };

	if (!search->found) {
		finding.level = HV_BAD;
		finding.found = "neither runs, nor can be started";
		finding.remedy = "'xenpt list' shows the names that there are";
	} else if (search->domain_why) {
		finding.level = HV_BAD;
		finding.found = "cannot be recorded";
		finding.remedy = search->domain_why;
	} else {
		finding.found = search->runs ? "runs" : "can be started";
	}
	return fn(arg, &finding);
}

struct xenpt_error *sim_check(const char *domain, hv_finding_fn *fn, void *arg)
{
	_cleanup_(free_search) struct search search = { .name = domain };
	_cleanup_error_ struct xenpt_error *err = sim_list(look, &search);

	if (err)
		return fn(arg,
			  &(const struct hv_finding){ .level = domain ? HV_BAD : HV_NOTE,
						      .what = "domains",
						      .found = "cannot be listed",
						      .remedy = err->message });
	XENPT_TRY(say_program(&search, fn, arg));
	if (!domain || (search.program_why && !search.found))
		return NULL;
	return say_domain(&search, fn, arg);
}
