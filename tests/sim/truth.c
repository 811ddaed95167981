/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "hv/sim/truth.h"
#include "libxenpt/cleanup.h"
#include "truth.h"

static struct xenpt_error *add_spoilt(struct truth *truth,
				      const struct truth_record *record)
{
	struct truth_spoilt *spoilt;

	if (truth->starts != 1)
		return NULL;
	spoilt = array_add(&truth->spoilt);
	if (!spoilt)
		return xenpt_error_no_memory();
	*spoilt = (struct truth_spoilt){ record->ip, record->last };
	return NULL;
}

/* The guest's kernel has the upper half of all address spaces. */
static bool is_part(const struct part *part, const struct truth_record *record)
{
	bool kernel = record->ip >> 63;

	if (part->kernel != part->user && part->kernel != kernel)
		return false;
	return part->cr3 == XENPT_CR3_ANY || part->cr3 == record->cr3;
}

static struct xenpt_error *add_record(struct truth *truth, const struct part *part,
				      const struct truth_record *record)
{
	struct truth_psb *psb;
	struct run *run;

	switch (record->type) {
	case TRUTH_BLOCK:
		if (!record->traced || !is_part(part, record))
			return NULL;
		run = array_add(&truth->runs);
		if (!run)
			return xenpt_error_no_memory();
		*run = (struct run){
			.ip = record->ip,
			.last = record->last,
			.cr3 = record->cr3,
			.insns = record->insns,
		};
		return NULL;
	case TRUTH_START:
		truth->starts++;
		return NULL;
	case TRUTH_STOP:
		return NULL;
	case TRUTH_SPOILT:
		return add_spoilt(truth, record);
	case TRUTH_PSB:
		psb = array_add(&truth->psbs);
		if (!psb)
			return xenpt_error_no_memory();
		*psb = (struct truth_psb){
			.offset = record->ip,
			.start = truth->starts,
			.run = truth->runs.count,
		};
		return NULL;
	default:
		return xenpt_error_create(XENPT_ERROR_FORMAT, "a record of type %u",
					  record->type);
	}
}

struct xenpt_error *truth_read(const char *path, uint32_t vcpu, const struct part *part,
			       struct truth *ret)
{
	_cleanup_fclose_ FILE *fp = fopen(path, "r");
	struct truth_record record;

	if (!fp)
		return xenpt_error_os(errno, "%s", path);
	*ret = (struct truth){};
	while (fread(&record, sizeof(record), 1, fp) == 1) {
		if (record.vcpu == vcpu)
			XENPT_TRY(xenpt_error_prepend(add_record(ret, part, &record),
						      "%s", path));
	}
	if (ferror(fp))
		return xenpt_error_os(errno, "%s", path);
	return NULL;
}

void truth_deinit(struct truth *truth)
{
	array_deinit(&truth->runs);
	array_deinit(&truth->psbs);
	array_deinit(&truth->spoilt);
}
