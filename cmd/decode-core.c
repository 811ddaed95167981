/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>

#include "cmd/decode-core.h"
#include "libxenpt/cleanup.h"

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

static void say_what_it_is(struct xenpt_ui *ui, const char *path,
			   const struct xenpt_core *core)
{
	uint64_t pages = xenpt_core_pages(core), missing = xenpt_core_missing(core);
	uint32_t vcpus = xenpt_core_vcpus(core);

	if (pages)
		ui->say("%s: %s, %" PRIu64 " page%s, %" PRIu32 " vCPU%s", path,
			xenpt_core_format(core), pages, plural(pages), vcpus,
			plural(vcpus));
	else
		ui->say("%s: %s, %" PRIu32 " vCPU%s", path, xenpt_core_format(core),
			vcpus, plural(vcpus));
	if (missing)
		ui->warn("%s: is cut short: %" PRIu64 " page%s are behind its end", path,
			 missing, plural(missing));
}

/* Another guest's memory has other code. */
static void compare(struct xenpt_ui *ui, const char *path, const struct xenpt_core *core,
		    const struct xenpt_file_info *info)
{
	uint32_t here = xenpt_core_vcpus(core);
	/* Perhaps not all were traced. */
	uint64_t there = info->domain ? info->domain->vcpus : info->vcpu_count;

	if (here && there && here != there)
		ui->warn("%s has %" PRIu32 " vCPU%s, the guest of %s %" PRIu64
			 ": is it the same one?",
			 path, here, plural(here), info->path, there);
}

struct xenpt_error *decode_core_open(struct xenpt_ui *ui, const char *path,
				     const struct xenpt_file_info *info,
				     struct xenpt_core **ret)
{
	struct xenpt_core *core;

	XENPT_TRY(xenpt_core_open(path, &core));
	say_what_it_is(ui, path, core);
	compare(ui, path, core, info);
	*ret = core;
	return NULL;
}
