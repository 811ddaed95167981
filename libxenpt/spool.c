/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "spool.h"

/* Not a memfd: what comes through a pipe may be larger than memory. */
static struct xenpt_error *create_nameless(const char *dir, int *ret)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	/* File systems without O_TMPFILE. */
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
		_cleanup_free_ char *path = NULL;

		if (asprintf(&path, "%s/xenpt-XXXXXX", dir) < 0)
			return xenpt_error_no_memory();
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			unlink(path);
	}
	if (fd < 0)
		return xenpt_error_os(errno, "%s: cannot create a temporary file", dir);
	*ret = fd;
	return NULL;
}

static struct xenpt_error *write_all(int fd, const char *buf, size_t size,
				     const char *dir)
{
	while (size) {
		ssize_t written = write(fd, buf, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return xenpt_error_os(errno, "%s: cannot write a temporary file",
					      dir);
		buf += written;
		size -= written;
	}
	return NULL;
}

static struct xenpt_error *spool(int from, const char *path, int *fd_ret)
{
	enum {
		SIZE = 256 * 1024
	};
	const char *dir = secure_getenv("TMPDIR");
	_cleanup_free_ char *buf = malloc(SIZE);
	_cleanup_close_ int fd = -1;
	ssize_t got;

	if (!buf)
		return xenpt_error_no_memory();
	if (!dir || !*dir)
		dir = "/var/tmp";
	XENPT_TRY(create_nameless(dir, &fd));
	while ((got = read(from, buf, SIZE))) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return xenpt_error_os(errno, "%s: cannot read", path);
		XENPT_TRY(write_all(fd, buf, got, dir));
	}
	*fd_ret = fd;
	fd = -1;
	return NULL;
}

struct xenpt_error *xenpt_spool_open(const char *path, int *fd_ret, uint64_t *size_ret)
{
	bool is_stdin = !strcmp(path, "-");
	_cleanup_close_ int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
					  : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return xenpt_error_os(errno, "%s", path);
	if (S_ISDIR(st.st_mode))
		return xenpt_error_create(XENPT_ERROR_FORMAT, "%s: is a directory", path);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "%s: is a device, not a file", path);
	/* A standard input that was read from begins where it now stands. */
	if (!S_ISREG(st.st_mode) || (is_stdin && lseek(fd, 0, SEEK_CUR) != 0)) {
		int spooled = -1;

		XENPT_TRY(spool(fd, path, &spooled));
		close(fd);
		fd = spooled;
		if (fstat(fd, &st) < 0)
			return xenpt_error_os(errno, "%s", path);
	}
	if (st.st_size == 0)
		return xenpt_error_create(XENPT_ERROR_FORMAT, "%s: is empty", path);
	*size_ret = st.st_size;
	*fd_ret = fd;
	fd = -1;
	return NULL;
}
