/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libxl's JSON: whatever it holds, a value is a string that fits. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hv/xl-config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	char value[8];

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (xl_config_get(text, "a", value, sizeof(value)) &&
	    strnlen(value, sizeof(value)) == sizeof(value))
		abort();
	if (xl_config_get(text, "on_crash", value, 1))
		abort();
	free(text);
	return 0;
}
