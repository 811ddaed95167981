/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which embedded domains there are, and which there could be. */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "hv/sim-link.h"
#include "libxenpt/cleanup.h"

XENPT_DEFINE_CLEANUP(struct sim_link, sim_link, sim_link_close)

#define SUFFIX ".sock"

struct xenpt_error *sim_link_info(const struct sim_link *link, struct hv_info *ret)
{
	const struct sim_hello *hello = &link->hello;

	*ret = (struct hv_info){
		.uuid = strdup(""),
		.type = "sim",
		.vcpus = hello->vcpus,
		.memory = hello->ram_size,
		.state = hello->held ? HV_PAUSED : (enum hv_state)hello->state,
		.backend = "sim",
		.cpu = hello->cpu,
	};
	if (*hello->kernel && memchr(hello->kernel, 0, sizeof(hello->kernel)))
		ret->kernel = strdup(hello->kernel);
	if (asprintf(&ret->name, SIM_PREFIX "%s", link->name) < 0)
		ret->name = NULL;
	return ret->name && ret->uuid ? NULL : xenpt_error_no_memory();
}

void sim_info_deinit(struct hv_info *info)
{
	free(info->name);
	free(info->uuid);
	free(info->why);
	free(info->kernel);
}

/* ---- Those that run ---------------------------------------------------- */

static struct xenpt_error *show(const struct sim_link *link, struct hv_info *info,
				hv_list_fn *fn, void *arg)
{
	XENPT_TRY(sim_link_info(link, info));
	if (link->hello.client) {
		if (asprintf(&info->why, "process %jd is attached to it: end that first",
			     (intmax_t)link->hello.client) < 0) {
			info->why = NULL;
			return xenpt_error_no_memory();
		}
		info->backend = NULL;
	}
	return fn(arg, info);
}

static struct xenpt_error *list_one(const char *name, hv_list_fn *fn, void *arg)
{
	_cleanup_(sim_link_cleanup) struct sim_link *link = NULL;
	struct hv_info info = {};
	struct xenpt_error *err;

	err = sim_link_open(name, true, &link);
	if (err) {
		/* One that has just ended, or was killed, is not there. */
		xenpt_error_destroy(err);
		return NULL;
	}
	err = show(link, &info, fn, arg);
	sim_info_deinit(&info);
	return err;
}

static int is_socket(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length > strlen(SUFFIX) &&
	       strcmp(entry->d_name + length - strlen(SUFFIX), SUFFIX) == 0;
}

static struct xenpt_error *list_running(hv_list_fn *fn, void *arg)
{
	_cleanup_free_ struct dirent **entries = NULL;
	_cleanup_free_ char *directory = NULL;
	struct xenpt_error *err = NULL;
	int count;

	XENPT_TRY(sim_directory(&directory));
	count = scandir(directory, &entries, is_socket, alphasort);
	if (count < 0)
		return xenpt_error_os(errno, "%s", directory);
	for (int i = 0; i < count; i++) {
		char *name = entries[i]->d_name;

		name[strlen(name) - strlen(SUFFIX)] = '\0';
		if (!err)
			err = list_one(name, fn, arg);
		free(entries[i]);
	}
	return err;
}

/* ---- Those that could -------------------------------------------------- */

static struct xenpt_error *offer(char *line, hv_list_fn *fn, void *arg)
{
	struct hv_info info = {
		.type = "sim", .uuid = (char *)"", .state = HV_OFFERED, .backend = "sim"
	};
	_cleanup_free_ char *name = NULL;
	char *tab = strchr(line, '\t');

	if (!tab)
		return NULL;
	if (asprintf(&name, SIM_PREFIX "%.*s", (int)(tab - line), line) < 0) {
		name = NULL;
		return xenpt_error_no_memory();
	}
	info.name = name;
	info.about = tab + 1;
	return fn(arg, &info);
}

/* Without a xenpt-sim there is one line that says so. */
static struct xenpt_error *offer_none(struct xenpt_error *why, hv_list_fn *fn, void *arg)
{
	_cleanup_error_ struct xenpt_error *cause = why;
	const struct hv_info info = {
		.name = (char *)SIM_PREFIX "SCENARIO",
		.uuid = (char *)"",
		.type = "sim",
		.state = HV_OFFERED,
		.why = cause->message,
		.about = "guests in an embedded CPU",
	};

	return fn(arg, &info);
}

static struct xenpt_error *list_offers(hv_list_fn *fn, void *arg)
{
	char *argv[] = { (char *)"xenpt-sim", (char *)"list", NULL };
	_cleanup_free_ char *output = NULL;
	char *line, *rest = NULL;
	struct xenpt_error *err;

	err = sim_program_run(argv, &output);
	if (err)
		return offer_none(err, fn, arg);
	for (line = strtok_r(output, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest))
		XENPT_TRY(offer(line, fn, arg));
	return NULL;
}

struct xenpt_error *sim_list(hv_list_fn *fn, void *arg)
{
	XENPT_TRY(list_running(fn, arg));
	return list_offers(fn, arg);
}
