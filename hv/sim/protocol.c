/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "hv/sim/protocol.h"
#include "libxenpt/cleanup.h"

struct xenpt_error *sim_directory(char **ret)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	_cleanup_free_ char *path = NULL;
	struct stat st;

	if (runtime && *runtime == '/') {
		if (asprintf(&path, "%s/xenpt-sim", runtime) < 0)
			path = NULL;
	} else if (asprintf(&path, "/tmp/xenpt-sim-%u", (unsigned int)geteuid()) < 0) {
		path = NULL;
	}
	if (!path)
		return xenpt_error_no_memory();
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return xenpt_error_os(errno, "%s", path);
	/* In /tmp anybody could have made it first, to listen to what is said. */
	if (lstat(path, &st) < 0)
		return xenpt_error_os(errno, "%s", path);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 077)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "%s is not a directory of yours alone (mode "
					  "0700): remove it, or set XDG_RUNTIME_DIR",
					  path);
	*ret = no_cleanup_ptr(path);
	return NULL;
}

bool sim_name_is_valid(const char *name)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	size_t length = strlen(name);

	return length && length < SIM_NAME_MAX && *name != '.' && *name != '-' &&
	       strspn(name, good) == length;
}

struct xenpt_error *sim_address(const char *name, struct sockaddr_un *ret)
{
	_cleanup_free_ char *directory = NULL;
	int length;

	XENPT_TRY(sim_directory(&directory));
	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	length = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/%s.sock", directory,
			  name);
	if (length < 0 || (size_t)length >= sizeof(ret->sun_path))
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "%s/%s.sock is too long for a socket: set "
					  "XDG_RUNTIME_DIR to a shorter directory",
					  directory, name);
	return NULL;
}
