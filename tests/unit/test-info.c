/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What "xenpt info" shows of a domain, which is all hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cmd/info-guest.h"

static char *show(void (*print)(FILE *out, const struct xenpt_file_info *info),
		  const struct xenpt_file_info *info)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	print(out, info);
	assert_int_equal(fclose(out), 0);
	return text;
}

static const struct xenpt_domain domain = {
	.name = "a\x1b[2J\"b",
	.uuid = "0-1",
	.type = "PVH",
	.backend = "vpt",
	.vcpus = 2,
	.memory = UINT64_C(3) << 20,
};

static const struct xenpt_outcome outcome = {
	.why = "the domain crashed",
	.console = "first\x07\n\nlast",
	.crashed = true,
};

static void test_text(void **state)
{
	struct xenpt_file_info info = { .domain = &domain, .outcome = &outcome };
	char *text;

	info.pages = 7;
	info.epochs = 3;
	info.sample_count = 4;
	text = show(info_guest_text, &info);
	assert_string_equal(text, "domain    a\\x1b[2J\"b, UUID 0-1\n"
				  "          PVH, 2 vCPUs, 3 MiB, recorded by vpt\n"
				  "memory    7 pages, in 3 epochs\n"
				  "registers 4 samples\n"
				  "outcome   the domain crashed (crash)\n"
				  "console\n"
				  "  | first\\x07\n"
				  "  | \n"
				  "  | last\n");
	free(text);
}

static void test_json(void **state)
{
	struct xenpt_file_info info = { .domain = &domain, .outcome = &outcome };
	char *text;

	info.epochs = 1;
	text = show(info_guest_json, &info);
	assert_string_equal(
		text, ",\"domain\":{\"name\":\"a\\\\x1b[2J\\\"b\",\"uuid\":\"0-1\","
		      "\"type\":\"PVH\",\"backend\":\"vpt\",\"vcpus\":2,"
		      "\"memory\":3145728},"
		      "\"outcome\":{\"why\":\"the domain crashed\",\"crashed\":true,"
		      "\"console\":\"first\\\\x07\\\\x0a\\\\x0alast\"},"
		      "\"pages\":0,\"epochs\":1,\"samples\":0");
	free(text);
}

/* A file that was not recorded from a domain: as it was without all that. */
static void test_none(void **state)
{
	struct xenpt_file_info info = { .epochs = 1 };
	char *text = show(info_guest_text, &info);

	assert_string_equal(text, "");
	free(text);
	text = show(info_guest_json, &info);
	assert_non_null(strstr(text, "\"domain\":null,\"outcome\":null"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
