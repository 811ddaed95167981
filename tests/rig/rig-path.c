/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that logs its own way, scenario=paths, and a recording of it:
 *
 *	rig-path log DOMAIN		its log, out of its memory; it is held meanwhile
 *	rig-path compare [OPTION...] FILE.xpt LOG
 *
 * Options: --min=N	at least so many entries have to be compared: 1000
 *	--changes=N	… with so many changes of the address space between them: 10
 *	--spaces=N	… of so many processes: 2
 *	--whole		from the guest's first entry to its last
 *	--holes		gaps, errors and overflows are no failure
 *	--part=kernel	what was recorded is all of the kernel, and nothing else
 *	--part=NAME	… of that process in user mode
 *	--wrong		it has to differ, or its code not to fit, and the recording to
 *			doubt each place where that is so
 *
 * Exit status: 0 as it should be, 1 not, 2 wrong usage, 99 other trouble.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libxenpt/cleanup.h"
#include "tests/rig/path.h"

XENPT_DEFINE_CLEANUP(struct xenpt_file, file, xenpt_file_close)

enum {
	STATUS_GOOD,
	STATUS_BAD,
	STATUS_USAGE,
	STATUS_TROUBLE = 99,
};

struct options {
	uint64_t min, changes, spaces;
	bool whole, holes, wrong;
	const char *part;
};

static void domain_cleanup(struct hv_domain **domain)
{
	if (*domain)
		(*domain)->ops->close(*domain);
}

static struct xenpt_error *log_command(const char *name)
{
	_cleanup_(domain_cleanup) struct hv_domain *domain = NULL;

	XENPT_TRY(hv_open(name, NULL, &domain));
	XENPT_TRY(domain->ops->pause(domain));
	return xenpt_error_prepend(path_log_copy(domain->mem, stdout), "%s", name);
}

/* ---- compare ------------------------------------------------------------- */

static void put_result(const struct path_text *text, const struct path_decoded *decoded,
		       const struct path_result *result)
{
	printf("%" PRIu64 " entries (%" PRIu64 " to %" PRIu64 ", %" PRIu64
	       " of the kernel), %" PRIu64 " address spaces, %" PRIu64
	       " changes between them, %" PRIu64 " differences\n",
	       result->compared, result->first, result->last, result->kernel,
	       result->spaces, result->changes, result->differences);
	printf("not compared: %" PRIu64 " older, %" PRIu64 " newer, %" PRIu64
	       " unknown, %" PRIu64 " without a beacon\n",
	       result->older, result->newer, result->unknown, result->lost);
	printf("%" PRIu64 " instructions, %zu pieces, %" PRIu64
	       " gaps, %zu errors, %" PRIu64
	       " overflows, %zu doubts; the log ends at %" PRIu32 "\n",
	       decoded->insns, decoded->pieces.count, decoded->gaps,
	       decoded->errors.count, decoded->overflows, decoded->doubts.count,
	       text->header.count - 1);
}

static bool require(bool good, const char *what)
{
	if (!good)
		printf("FAILED: %s\n", what);
	return good;
}

static bool is_enough(const struct options *options, const struct path_result *result)
{
	bool good = require(result->compared >= options->min, "too few entries");

	good &= require(result->changes >= options->changes,
			"too few changes of the address space");
	good &= require(result->spaces >= options->spaces, "too few address spaces");
	return good;
}

/* Where a piece begins, and where the log ends, each process may be in its log. */
static bool is_unknown_fair(const struct path_text *text,
			    const struct path_decoded *decoded,
			    const struct path_result *result)
{
	return result->unknown <=
	       (decoded->pieces.count + 1) * (text->header.space_count + 1);
}

static bool is_exact(const struct options *options, const struct path_text *text,
		     const struct path_decoded *decoded, const struct path_result *result)
{
	bool good = is_enough(options, result);

	good &= require(!result->differences, "differences");
	good &= require(!decoded->doubts.count, "address spaces are doubted");
	good &= require(!result->newer, "entries that the log does not have yet");
	good &= require(is_unknown_fair(text, decoded, result), "too much is unknown");
	good &= require(options->holes || (!decoded->gaps && !decoded->errors.count &&
					   !decoded->overflows && !result->lost),
			"holes");
	if (options->whole) {
		good &= require(result->first == 1 && !result->older, "the beginning");
		good &= require(result->last + 1 == text->header.count && !result->newer,
				"the end");
		good &= require(!result->unknown, "something is unknown");
	}
	return good;
}

static bool is_wrong(const struct path_decoded *decoded, const struct path_result *result)
{
	bool good =
		require(result->differences || decoded->errors.count, "nothing differs");

	printf("wrong: %" PRIu64 " differences and %zu errors, %" PRIu64
	       " of them not doubted\n",
	       result->differences, decoded->errors.count, result->undoubted);
	good &= require(decoded->doubts.count, "nothing is doubted");
	good &= require(!result->undoubted, "something is wrong that is not doubted");
	return good;
}

static struct xenpt_error *find_part(const struct options *options,
				     const struct path_text *text,
				     const struct path_space **ret)
{
	*ret = NULL;
	if (!options->part || !strcmp(options->part, "kernel"))
		return NULL;
	for (uint32_t i = 0; i < text->header.space_count; i++)
		if (!strcmp(text->header.spaces[i].name, options->part))
			*ret = &text->header.spaces[i];
	return *ret ? NULL
		    : xenpt_error_create(XENPT_ERROR_NOT_FOUND, "no process '%s'",
					 options->part);
}

static struct xenpt_error *compare_command(const struct options *options,
					   const char *path, const char *log, bool *ret)
{
	_cleanup_(file_cleanup) struct xenpt_file *file = NULL;
	_cleanup_(path_text_deinit) struct path_text text = {};
	_cleanup_(path_decoded_deinit) struct path_decoded decoded = {};
	const struct path_space *only;
	struct path_result result;

	XENPT_TRY(path_log_read(log, &text));
	XENPT_TRY(xenpt_file_open(path, &file));
	XENPT_TRY(find_part(options, &text, &only));
	XENPT_TRY(path_decode(file, &text, only, &decoded));
	if (options->part)
		XENPT_TRY(path_compare_part(&text, only, &decoded, &result));
	else
		path_compare(&text, &decoded, &result);
	put_result(&text, &decoded, &result);
	*ret = options->wrong ? is_wrong(&decoded, &result)
			      : is_exact(options, &text, &decoded, &result);
	return NULL;
}

/* ---- the command line ---------------------------------------------------- */

static bool take_number(const char *option, const char *name, uint64_t *ret)
{
	size_t length = strlen(name);
	char *end;

	if (strncmp(option, name, length) != 0 || option[length] < '0' ||
	    option[length] > '9')
		return false;
	*ret = strtoull(option + length, &end, 10);
	return !*end;
}

static bool take_option(const char *option, struct options *options)
{
	if (!strcmp(option, "--whole"))
		return options->whole = true;
	if (!strcmp(option, "--holes"))
		return options->holes = true;
	if (!strcmp(option, "--wrong"))
		return options->wrong = true;
	if (!strncmp(option, "--part=", 7)) {
		options->part = option + 7;
		return true;
	}
	return take_number(option, "--min=", &options->min) ||
	       take_number(option, "--changes=", &options->changes) ||
	       take_number(option, "--spaces=", &options->spaces);
}

int main(int argc, char **argv)
{
	struct options options = { .min = 1000, .changes = 10, .spaces = 2 };
	_cleanup_error_ struct xenpt_error *err = NULL;
	bool good = true;
	int i = 2;

	if (argc == 3 && !strcmp(argv[1], "log")) {
		err = log_command(argv[2]);
	} else {
		while (i < argc && take_option(argv[i], &options))
			i++;
		if (argc != i + 2 || strcmp(argv[1], "compare") != 0 ||
		    (options.part && (options.whole || options.wrong))) {
			fprintf(stderr,
				"rig-path log DOMAIN, or "
				"compare [--min=N] [--changes=N] [--spaces=N] "
				"[--whole] [--holes] [--part=kernel|NAME] [--wrong] "
				"FILE.xpt LOG\n");
			return STATUS_USAGE;
		}
		err = compare_command(&options, argv[i], argv[i + 1], &good);
	}
	if (err) {
		fprintf(stderr, "rig-path: %s\n", err->message);
		return STATUS_TROUBLE;
	}
	return good ? STATUS_GOOD : STATUS_BAD;
}
