/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Raw PT: what the CPU wrote into its output regions, as it is. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "import.h"

/* As many bytes as a chunk takes, though a pipe gives fewer at once. */
static struct xenpt_error *fill(int fd, uint8_t *buf, size_t *ret)
{
	size_t filled = 0;

	while (filled < IMPORT_WINDOW) {
		ssize_t n = read(fd, buf + filled, IMPORT_WINDOW - filled);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return xenpt_error_os(errno, "cannot read it");
		if (n == 0)
			break;
		filled += (size_t)n;
	}
	*ret = filled;
	return NULL;
}

static struct xenpt_error *copy(struct xenpt_writer *writer,
				const struct xenpt_import *import, uint32_t vcpu,
				const char *path, int fd)
{
	_cleanup_free_ uint8_t *buf = malloc(IMPORT_WINDOW);
	uint64_t done = 0;
	struct stat st;
	size_t n;

	if (!buf)
		return xenpt_error_no_memory();
	if (fstat(fd, &st) < 0)
		return xenpt_error_os(errno, "cannot stat it");
	for (;; done += n) {
		/* A pipe has no size to tell progress by. */
		if (S_ISREG(st.st_mode))
			import_progress(import, path, done, (uint64_t)st.st_size);
		XENPT_TRY(fill(fd, buf, &n));
		if (!n)
			break;
		XENPT_TRY(xenpt_writer_trace(writer, vcpu, buf, n));
	}
	if (!done)
		import_warn(import, "%s: is empty: no trace", path);
	return NULL;
}

struct xenpt_error *import_pt(struct xenpt_writer *writer,
			      const struct xenpt_import *import, uint32_t vcpu,
			      const char *name, const char *path)
{
	_cleanup_close_ int fd = strcmp(path, "-") == 0
					 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
					 : open(path, O_RDONLY | O_CLOEXEC);
	struct xenpt_vcpu info = { .id = vcpu, .name = name };

	if (fd < 0)
		return xenpt_error_os(errno, "%s: cannot open it", path);
	XENPT_TRY(xenpt_writer_vcpu(writer, &info));
	return xenpt_error_prepend(copy(writer, import, vcpu, path, fd), "%s", path);
}

struct xenpt_error *xenpt_import_pt(struct xenpt_writer *writer,
				    const struct xenpt_import *import, uint32_t vcpu,
				    const char *path)
{
	const char *slash = strrchr(path, '/');

	return import_pt(writer, import, vcpu, slash ? slash + 1 : path, path);
}
