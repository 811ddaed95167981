/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The dumps that libkdumpfile reads: what a guest's kdump or makedumpfile wrote. */
#include "config.h"

#include "cleanup.h"
#include "mem-core-format.h"

#ifndef HAVE_KDUMPFILE

struct xenpt_error *core_kdump_open(int fd, struct xenpt_core **ret)
{
	return xenpt_error_create(
		XENPT_ERROR_UNSUPPORTED,
		"it is not of 'xl dump-core', and this xenpt was built "
		"without libkdumpfile (Debian: libkdumpfile-dev), which "
		"reads other dumps");
}

#else

#include <libkdumpfile/kdumpfile.h>
#include <string.h>

/* Of a bitmap of pages, runs of them that are counted. */
#define RUNS_MAX (1 << 20)

struct core_kdump {
	struct xenpt_core core;
	kdump_ctx_t *ctx;
	kdump_bmp_t *map; /* pages in the file; NULL: the format has none */
	int fd;
	char *format;
};

static struct xenpt_error *failure(kdump_ctx_t *ctx)
{
	const char *why = kdump_get_err(ctx);

	return xenpt_error_create(
		XENPT_ERROR_FORMAT,
		"no dump of \"xl dump-core\", and libkdumpfile does not "
		"read it: %s",
		why ? why : "it does not say why");
}

static bool core_read(struct xenpt_mem *mem, uint64_t gpa, void *buf, size_t size)
{
	struct core_kdump *core = (struct core_kdump *)mem;
	uint8_t bytes[XENPT_PAGE_SIZE];
	kdump_addr_t page = gpa / XENPT_PAGE_SIZE;
	size_t done = size;

	if (size > XENPT_PAGE_SIZE - gpa % XENPT_PAGE_SIZE)
		return false;
	/* Between those of an ELF file, libkdumpfile has pages of zeros. */
	if (core->map && (kdump_bmp_find_set(core->map, &page) != KDUMP_OK ||
			  page != gpa / XENPT_PAGE_SIZE))
		return false;
	if (kdump_read(core->ctx, KDUMP_MACHPHYSADDR, gpa, bytes, &done) != KDUMP_OK ||
	    done != size)
		return false;
	memcpy(buf, bytes, size);
	return true;
}

/* ---- registers ----------------------------------------------------------- */

static bool get_register(const struct core_kdump *core, uint32_t vcpu, const char *name,
			 uint64_t *ret)
{
	kdump_num_t value;
	char key[64];

	snprintf(key, sizeof(key), "cpu.%u.reg.%s", (unsigned int)vcpu, name);
	if (kdump_get_number_attr(core->ctx, key, &value) != KDUMP_OK)
		return false;
	*ret = value;
	return true;
}

static bool core_registers(const struct xenpt_core *base, uint32_t vcpu,
			   struct xenpt_registers *ret)
{
	static const char *const names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp",
					       "rsi", "rdi", "r8",  "r9",  "r10", "r11",
					       "r12", "r13", "r14", "r15" };
	const struct core_kdump *core = (const struct core_kdump *)base;
	struct xenpt_registers regs = { .mode = 64 };
	uint64_t cs = 0, ss = 0;

	if (!get_register(core, vcpu, "rip", &regs.rip))
		return false;
	for (size_t i = 0; i < 16; i++)
		get_register(core, vcpu, names[i], &regs.gpr[i]);
	get_register(core, vcpu, "rflags", &regs.rflags);
	get_register(core, vcpu, "fs_base", &regs.fs_base);
	get_register(core, vcpu, "gs_base", &regs.gs_base);
	get_register(core, vcpu, "cs", &cs);
	get_register(core, vcpu, "ss", &ss);
	regs.cs = (uint16_t)cs;
	regs.ss = (uint16_t)ss;
	regs.cpl = cs & 3;
	*ret = regs;
	return true;
}

/* ---- life ---------------------------------------------------------------- */

static void core_destroy(struct core_kdump *core)
{
	if (!core)
		return;
	if (core->map)
		kdump_bmp_decref(core->map);
	if (core->ctx)
		kdump_free(core->ctx);
	if (core->fd >= 0)
		close(core->fd);
	free(core->format);
	free(core);
}

XENPT_DEFINE_CLEANUP(struct core_kdump, core, core_destroy)

static void core_close(struct xenpt_core *core)
{
	core_destroy((struct core_kdump *)core);
}

static void take_map(struct core_kdump *core)
{
	kdump_attr_t attr = { .type = KDUMP_BITMAP };

	if (kdump_get_typed_attr(core->ctx, KDUMP_ATTR_FILE_PAGEMAP, &attr) != KDUMP_OK)
		return;
	core->map = attr.val.bitmap;
	kdump_bmp_incref(core->map);
}

/* Pages in the file; 0 where that is not known. */
static uint64_t count_pages(kdump_bmp_t *map)
{
	kdump_addr_t begin = 0, end;
	uint64_t count = 0;

	for (unsigned int i = 0; map && i < RUNS_MAX; i++) {
		if (kdump_bmp_find_set(map, &begin) != KDUMP_OK)
			return count;
		end = begin;
		if (kdump_bmp_find_clear(map, &end) != KDUMP_OK || end <= begin)
			return 0;
		count += end - begin;
		begin = end;
	}
	return 0;
}

static struct xenpt_error *describe(struct core_kdump *core)
{
	const char *arch, *format;
	kdump_num_t vcpus;

	if (kdump_get_string_attr(core->ctx, KDUMP_ATTR_ARCH_NAME, &arch) == KDUMP_OK &&
	    strcmp(arch, KDUMP_ARCH_X86_64) != 0)
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
					  "it is of a machine called %s, not x86_64",
					  arch);
	if (kdump_get_string_attr(core->ctx, KDUMP_ATTR_FILE_FORMAT, &format) != KDUMP_OK)
		format = "?";
	if (asprintf(&core->format, "kdump (%s)", format) < 0) {
		core->format = NULL;
		return xenpt_error_no_memory();
	}
	if (kdump_get_number_attr(core->ctx, KDUMP_ATTR_NUM_CPUS, &vcpus) == KDUMP_OK)
		core->core.vcpus = vcpus < XENPT_VCPUS_MAX ? vcpus : XENPT_VCPUS_MAX;
	core->core.format = core->format;
	take_map(core);
	core->core.pages = count_pages(core->map);
	return NULL;
}

struct xenpt_error *core_kdump_open(int fd, struct xenpt_core **ret)
{
	_cleanup_(core_cleanup) struct core_kdump *core = calloc(1, sizeof(*core));

	if (!core)
		return xenpt_error_no_memory();
	core->fd = -1;
	core->core.mem.read = core_read;
	core->core.registers = core_registers;
	core->core.close = core_close;
	core->ctx = kdump_new();
	if (!core->ctx)
		return xenpt_error_no_memory();
	if (kdump_open_fd(core->ctx, fd) != KDUMP_OK)
		return failure(core->ctx);
	XENPT_TRY(describe(core));
	core->fd = fd;
	*ret = &no_cleanup_ptr(core)->core;
	return NULL;
}

#endif
