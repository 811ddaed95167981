/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What others chose, fit to be shown: xenpt_escape(). */
#ifndef CMD_QUOTE_H
#define CMD_QUOTE_H

#include <stdio.h>

/* For a terminal. */
void quote_text(FILE *out, const char *text);

/* As a JSON string, with its quotes. */
void quote_json(FILE *out, const char *text);

/* The same as a member after another, with its comma. */
void quote_member(FILE *out, const char *name, const char *text);

#endif
