/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Open an input that can be read at any place. */
#ifndef XENPT_SPOOL_H
#define XENPT_SPOOL_H

#include "xenpt.h"

/*
 * Open @path, "-" for standard input. A pipe or socket is copied to a nameless
 * file in $TMPDIR or /var/tmp first.
 */
struct xenpt_error *xenpt_spool_open(const char *path, int *fd_ret, uint64_t *size_ret);

#endif
