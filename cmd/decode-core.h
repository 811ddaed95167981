/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "xenpt decode --core": the dump that memory is taken from. */
#ifndef XENPT_DECODE_CORE_H
#define XENPT_DECODE_CORE_H

#include "cmd/cmd.h"
#include "libxenpt/mem-core.h"

/* Open it, and say what it is, beside the trace that @info is about. */
struct xenpt_error *decode_core_open(struct xenpt_ui *ui, const char *path,
				     const struct xenpt_file_info *info,
				     struct xenpt_core **ret);

#endif
