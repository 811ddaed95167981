/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A format of core dumps. */
#ifndef XENPT_MEM_CORE_FORMAT_H
#define XENPT_MEM_CORE_FORMAT_H

#include "mem-core.h"

/* The first member of what a format keeps. */
struct xenpt_core {
	struct xenpt_mem mem;
	const char *format;
	uint32_t vcpus;
	uint64_t pages, missing;
	bool (*registers)(const struct xenpt_core *core, uint32_t vcpu,
			  struct xenpt_registers *ret);
	void (*close)(struct xenpt_core *core);
};

/* Whether @fd is of "xl dump-core"; what it holds may still be wrong. */
bool core_xen_is(int fd);

/* @fd becomes the core's; on failure, it stays the caller's. Errors without the path. */
struct xenpt_error *core_xen_open(int fd, struct xenpt_core **ret);

/* All that libkdumpfile knows, if it was there when this was built. The same. */
struct xenpt_error *core_kdump_open(int fd, struct xenpt_core **ret);

#endif
