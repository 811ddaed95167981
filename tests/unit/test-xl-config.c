/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What libxl says of a domain's configuration. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "hv/xl-config.h"
#include "libxenpt/cleanup.h"

/* As libxl 4.17 writes it, with little in it. */
static const char example[] = "{\n"
			      "    \"c_info\": {\n"
			      "        \"type\": \"pvh\",\n"
			      "        \"name\": \"a \\\"on_crash\\\": \\\\\",\n"
			      "        \"run_hotplug_scripts\": \"True\"\n"
			      "    },\n"
			      "    \"b_info\": {\n"
			      "        \"max_vcpus\": 2,\n"
			      "        \"avail_vcpus\": [ 0, 1 ],\n"
			      "        \"nested_hvm\": \"False\",\n"
			      "        \"cmdline\": \"on_crash\",\n"
			      "        \"type.pvh\": { }\n"
			      "    },\n"
			      "    \"on_crash\": \"preserve\",\n"
			      "    \"on_reboot\": \"restart\"\n"
			      "}\n";

static void test_get(void **state)
{
	char value[32];

	assert_true(xl_config_get(example, "on_crash", value, sizeof(value)));
	assert_string_equal(value, "preserve");
	assert_true(xl_config_get(example, "nested_hvm", value, sizeof(value)));
	assert_string_equal(value, "False");
	assert_true(xl_config_get(example, "max_vcpus", value, sizeof(value)));
	assert_string_equal(value, "2");
	assert_true(xl_config_get(example, "name", value, sizeof(value)));
	assert_string_equal(value, "a \\\"on_crash\\\": \\\\");
	assert_false(xl_config_get(example, "on_poweroff", value, sizeof(value)));
	assert_false(xl_config_get(example, "crash", value, sizeof(value)));
	assert_false(xl_config_get(example, "b_info", value, sizeof(value)));
	assert_false(xl_config_get(example, "avail_vcpus", value, sizeof(value)));
	/* It fits, with its end; or not. */
	assert_true(xl_config_get(example, "on_crash", value, sizeof("preserve")));
	assert_false(xl_config_get(example, "on_crash", value, sizeof("preserve") - 1));
}

/* Cut anywhere, it is still not read beyond its end. */
static void test_cut(void **state)
{
	char value[32];

	for (size_t i = 0; i < sizeof(example); i++) {
		_cleanup_free_ char *cut = strndup(example, i);

		assert_non_null(cut);
		if (xl_config_get(cut, "on_crash", value, sizeof(value)))
			assert_string_equal(value, "preserve");
	}
	assert_false(xl_config_get("\"on_crash\\", "on_crash", value, sizeof(value)));
	assert_false(xl_config_get("\"on_crash\":", "on_crash", value, sizeof(value)));
	assert_false(xl_config_get("\"on_crash\":\"", "on_crash", value, sizeof(value)));
}

static void test_read(void **state)
{
	static const uint8_t uuid[16] = {
		0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
		0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77
	};
	char root[] = "/tmp/test-xl-config.XXXXXX", path[256], *text = NULL;
	struct xenpt_error *err;
	const char *const directories[] = { "/var", "/var/lib", "/var/lib/xen" };
	FILE *file;

	assert_non_null(mkdtemp(root));
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s%s", root, directories[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	text = (char *)"untouched";
	assert_null(xl_config_read(root, 7, uuid, &text));
	assert_null(text);
	snprintf(path, sizeof(path),
		 "%s/var/lib/xen/userdata-d.7.01234567-89ab-cdef-0011-223344556677."
		 "libxl-json",
		 root);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(example, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_null(xl_config_read(root, 7, uuid, &text));
	assert_string_equal(text, example);
	free(text);
	assert_null(xl_config_read(root, 8, uuid, &text));
	assert_null(text);

	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	text = (char *)"untouched";
	err = xl_config_read(root, 7, uuid, &text);
	assert_non_null(err);
	assert_int_equal(err->errnum, EISDIR);
	assert_string_equal(text, "untouched");
	xenpt_error_destroy(err);
	rmdir(path);
	for (size_t i = 3; i-- > 0;) {
		snprintf(path, sizeof(path), "%s%s", root, directories[i]);
		rmdir(path);
	}
	rmdir(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
