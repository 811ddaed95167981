/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a domain is configured, as libxl keeps it in a file while the domain is there:
 * JSON, in which members that have their default are left out.
 */
#ifndef HV_XL_CONFIG_H
#define HV_XL_CONFIG_H

#include <stdbool.h>

#include "libxenpt/xenpt.h"

/*
 * The file's text, to be freed; *@ret is NULL if there is none, for the domain was not
 * created by libxl. @root is what stands before /var.
 */
struct xenpt_error *xl_config_read(const char *root, uint32_t domid,
				   const uint8_t uuid[16], char **ret);

/*
 * The value of the first member @key, in whatever object: a string without its quotes
 * (and with its escapes), a number, true. False: there is none, or it is no such value
 * or does not fit.
 */
bool xl_config_get(const char *json, const char *key, char *ret, size_t size);

#endif
