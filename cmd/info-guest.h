/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What "xenpt info" shows of a recording of a domain; of other files, nothing. */
#ifndef XENPT_CMD_INFO_GUEST_H
#define XENPT_CMD_INFO_GUEST_H

#include <stdio.h>

#include "libxenpt/xenpt.h"

void info_guest_text(FILE *out, const struct xenpt_file_info *info);

/* Members of an object that has some already. */
void info_guest_json(FILE *out, const struct xenpt_file_info *info);

#endif
