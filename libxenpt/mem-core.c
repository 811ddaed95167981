/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>

#include "cleanup.h"
#include "mem-core-format.h"

struct xenpt_error *xenpt_core_open(const char *path, struct xenpt_core **ret)
{
	/* A pipe is no dump, and must not be waited for. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct xenpt_core *core;
	struct xenpt_error *err;

	if (fd < 0)
		return xenpt_error_os(errno, "%s", path);
	err = core_xen_is(fd) ? core_xen_open(fd, &core) : core_kdump_open(fd, &core);
	if (err)
		return xenpt_error_prepend(err, "%s", path);
	fd = -1;
	*ret = core;
	return NULL;
}

void xenpt_core_close(struct xenpt_core *core)
{
	if (core)
		core->close(core);
}

struct xenpt_mem *xenpt_core_mem(struct xenpt_core *core)
{
	return &core->mem;
}

const char *xenpt_core_format(const struct xenpt_core *core)
{
	return core->format;
}

uint32_t xenpt_core_vcpus(const struct xenpt_core *core)
{
	return core->vcpus;
}

uint64_t xenpt_core_pages(const struct xenpt_core *core)
{
	return core->pages;
}

uint64_t xenpt_core_missing(const struct xenpt_core *core)
{
	return core->missing;
}

bool xenpt_core_registers(const struct xenpt_core *core, uint32_t vcpu,
			  struct xenpt_registers *ret)
{
	return vcpu < core->vcpus && core->registers(core, vcpu, ret);
}
