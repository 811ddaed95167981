/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test-sim-truth [--whole|--prefix|--hostile|--doubts] [PART...] FILE.xpt TRUTH: whether
 * the recording decodes to what ran. Prints a line for each vCPU; status 0: it does.
 * PARTs are the options of "xenpt record" that say what to trace: --cr3, --kernel,
 * --user.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libxenpt/cleanup.h"
#include "truth.h"

XENPT_DEFINE_CLEANUP(struct xenpt_file, file, xenpt_file_close)
XENPT_DEFINE_CLEANUP(struct xenpt_symtab, symtab, xenpt_symtab_destroy)

static void put_run(const char *side, size_t number, const struct run *run,
		    const struct xenpt_symtab *symtab)
{
	struct xenpt_symbol symbol;

	printf("#   %-8s %8zu  cr3 %#" PRIx64 "  %#" PRIx64 "..%#" PRIx64 " (%" PRIu32
	       " insns)",
	       side, number, run->cr3, run->ip, run->last, run->insns);
	if (xenpt_symtab_find(symtab, run->cr3, run->ip, &symbol))
		printf("  %.60s+%#" PRIx64, symbol.name, run->ip - symbol.address);
	if (run->offset)
		printf("  after trace offset %#" PRIx64, run->offset);
	putchar('\n');
}

static void put_difference(const struct difference *difference,
			   const struct xenpt_symtab *symtab)
{
	printf("#   %s\n", difference->what);
	if (difference->decoded.insns)
		put_run("decoded", difference->decoded_run, &difference->decoded, symtab);
	if (difference->truth.insns)
		put_run("ran", difference->truth_run, &difference->truth, symtab);
}

static struct xenpt_error *compare_vcpu(const struct xenpt_file *file, const char *path,
					uint32_t vcpu, unsigned int flags,
					const struct part *part,
					const struct xenpt_symtab *symtab, bool *ret)
{
	_cleanup_(decoded_deinit) struct decoded decoded = {};
	_cleanup_(truth_deinit) struct truth truth = {};
	struct compared compared;

	XENPT_TRY(truth_read(path, vcpu, part, &truth));
	XENPT_TRY(decoded_read(file, vcpu, &decoded));
	if (flags & COMPARE_HOSTILE)
		XENPT_TRY(decoded_trim(&decoded, file, vcpu, &truth));
	compare(&truth, &decoded, flags, &compared);
	printf("# vCPU %" PRIu32 ": %s: %" PRIu64 " of %zu blocks, %" PRIu64
	       " instructions, %zu ran; %zu segments, %" PRIu64 " gaps, %" PRIu64
	       " errors, %" PRIu64 " overflows, %zu doubts, %" PRIu64
	       " wrong and doubted, %" PRIu64 " wrong and unseen\n",
	       vcpu, compared.difference.what ? "different" : "the same", compared.runs,
	       decoded.runs.count, compared.insns, truth.runs.count,
	       decoded.segments.count, decoded.gaps, decoded.errors, decoded.overflows,
	       decoded.doubts.count, compared.wrong, compared.unseen);
	if (compared.difference.what)
		put_difference(&compared.difference, symtab);
	*ret = !compared.difference.what;
	return NULL;
}

static struct xenpt_error *compare_file(const char *path, const char *truth,
					unsigned int flags, const struct part *part,
					bool *ret)
{
	_cleanup_(file_cleanup) struct xenpt_file *file = NULL;
	_cleanup_(symtab_cleanup) struct xenpt_symtab *symtab = NULL;
	const struct xenpt_file_info *info;
	bool all = true;

	XENPT_TRY(xenpt_file_open(path, &file));
	XENPT_TRY(xenpt_symtab_create(file, &symtab));
	info = xenpt_file_info(file);
	for (size_t i = 0; i < info->vcpu_count; i++) {
		bool same = false;

		XENPT_TRY(compare_vcpu(file, truth, info->vcpus[i].vcpu.id, flags, part,
				       symtab, &same));
		all &= same;
	}
	*ret = all;
	return NULL;
}

static bool take_option(const char *option, unsigned int *flags, struct part *part)
{
	static const struct {
		const char *name;
		unsigned int flag;
	} modes[] = {
		{ "--whole", COMPARE_WHOLE },
		{ "--prefix", COMPARE_PREFIX },
		{ "--hostile", COMPARE_HOSTILE },
		{ "--doubts", COMPARE_DOUBTS },
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(option, modes[i].name) == 0) {
			*flags |= modes[i].flag;
			return true;
		}
	}
	if (strncmp(option, "--cr3=", 6) == 0)
		part->cr3 = strtoull(option + 6, NULL, 16);
	else if (strcmp(option, "--kernel") == 0)
		part->kernel = true;
	else if (strcmp(option, "--user") == 0)
		part->user = true;
	else
		return false;
	/* Where a PSB+ is put out while what runs is not traced, it has no PIP. */
	*flags |= COMPARE_NAMELESS;
	return true;
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct xenpt_error *err = NULL;
	struct part part = { .cr3 = XENPT_CR3_ANY };
	unsigned int flags = 0;
	bool same = false;
	int i = 1;

	while (i < argc && take_option(argv[i], &flags, &part))
		i++;
	if (argc - i != 2) {
		fprintf(stderr,
			"usage: test-sim-truth [MODE] [PART...] FILE.xpt TRUTH\n");
		return 99;
	}
	err = compare_file(argv[i], argv[i + 1], flags, &part, &same);
	if (err)
		printf("# %s\n", err->message);
	return same ? 0 : 1;
}
