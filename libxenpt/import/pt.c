/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Raw PT: what the CPU wrote into its output regions, as it is. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "import.h"

/* Copy until the end; a pipe has no size to tell progress by. */
static struct xenpt_error *copy(struct xenpt_writer *writer,
				const struct xenpt_import *import, uint32_t vcpu,
				const char *path, int fd)
{
	_cleanup_free_ uint8_t *buf = malloc(IMPORT_WINDOW);
	uint64_t done = 0;
	struct stat st;

	if (!buf)
		return xenpt_error_no_memory();
	if (fstat(fd, &st) < 0)
		return xenpt_error_os(errno, "cannot stat it");
	for (;;) {
		ssize_t n = read(fd, buf, IMPORT_WINDOW);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return xenpt_error_os(errno, "cannot read it");
		if (n == 0)
			break;
		XENPT_TRY(xenpt_writer_trace(writer, vcpu, buf, (size_t)n));
		done += (uint64_t)n;
		if (S_ISREG(st.st_mode))
			import_progress(import, path, done, (uint64_t)st.st_size);
	}
	if (!done)
		import_warn(import, "%s: is empty: no trace", path);
	return NULL;
}

struct xenpt_error *xenpt_import_pt(struct xenpt_writer *writer,
				    const struct xenpt_import *import, uint32_t vcpu,
				    const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *slash = strrchr(path, '/');
	struct xenpt_vcpu info = { .id = vcpu, .name = slash ? slash + 1 : path };

	if (fd < 0)
		return xenpt_error_os(errno, "%s: cannot open it", path);
	XENPT_TRY(xenpt_writer_vcpu(writer, &info));
	return xenpt_error_prepend(copy(writer, import, vcpu, path, fd), "%s", path);
}
