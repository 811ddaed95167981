/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where commands write a .xpt file to. */
#ifndef XENPT_OUTPUT_H
#define XENPT_OUTPUT_H

#include "libxenpt/xenpt.h"

/* Whether @path may be written over: nothing, an empty file, or an older .xpt file. */
struct xenpt_error *output_check(const char *path);

/* Whether standard output can take a .xpt file: a terminal cannot. */
struct xenpt_error *output_check_stdout(void);

#endif
