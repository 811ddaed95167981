/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/output.h"
#include "libxenpt/cleanup.h"

struct xenpt_error *output_check(const char *path)
{
	_cleanup_error_ struct xenpt_error *err = NULL;
	struct xenpt_file *file;
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
		return NULL;
	err = xenpt_file_open(path, &file);
	if (err)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "%s: exists and is no .xpt file: choose "
					  "another output, or remove it",
					  path);
	xenpt_file_close(file);
	return NULL;
}

struct xenpt_error *output_check_stdout(void)
{
	if (!isatty(STDOUT_FILENO))
		return NULL;
	return xenpt_error_create(XENPT_ERROR_INVALID,
				  "standard output is a terminal, which cannot take a "
				  ".xpt file");
}
