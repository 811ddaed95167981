/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text from a file, of which a guest may have chosen any, as a person may see it. */
#ifndef XENPT_CMD_ESCAPED_H
#define XENPT_CMD_ESCAPED_H

#include <stdio.h>

void escaped_text(FILE *out, const char *text);

/* A JSON string; and a member after another, with its comma. */
void escaped_json(FILE *out, const char *text);
void escaped_member(FILE *out, const char *name, const char *text);

#endif
