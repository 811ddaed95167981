/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "import.h"

struct xenpt_error *import_file_open(const char *path, struct import_file *ret)
{
	struct import_file file = { .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) };
	struct xenpt_error *err = NULL;
	struct stat st;

	if (file.fd < 0)
		return xenpt_error_os(errno, "cannot open it");
	if (fstat(file.fd, &st) < 0)
		err = xenpt_error_os(errno, "cannot stat it");
	else if (S_ISDIR(st.st_mode))
		err = xenpt_error_os(EISDIR, "cannot read it");
	else if (!S_ISREG(st.st_mode))
		err = xenpt_error_create(XENPT_ERROR_INVALID, "is no regular file");
	else if (!(file.window = malloc(IMPORT_WINDOW)))
		err = xenpt_error_no_memory();
	if (err) {
		import_file_close(&file);
		return err;
	}
	file.size = (uint64_t)st.st_size;
	*ret = file;
	return NULL;
}

void import_file_close(struct import_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	free(file->window);
	*file = (struct import_file)IMPORT_FILE_CLOSED;
}

/* Fill the window from @offset on, as far as the file goes. */
static struct xenpt_error *window_fill(struct import_file *file, uint64_t offset)
{
	file->start = offset;
	file->filled = 0;
	while (file->filled < IMPORT_WINDOW) {
		ssize_t n = pread(file->fd, file->window + file->filled,
				  IMPORT_WINDOW - file->filled,
				  (off_t)(offset + file->filled));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return xenpt_error_os(errno, "cannot read it at 0x%" PRIx64,
					      offset + file->filled);
		if (n == 0)
			break;
		file->filled += (size_t)n;
	}
	return NULL;
}

struct xenpt_error *import_file_peek(struct import_file *file, uint64_t offset,
				     size_t size, const void **ret)
{
	if (size > IMPORT_WINDOW || offset > file->size || size > file->size - offset)
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "%zu bytes at 0x%" PRIx64
					  " are past its end at 0x%" PRIx64,
					  size, offset, file->size);
	if (offset < file->start || offset - file->start > file->filled ||
	    size > file->filled - (size_t)(offset - file->start)) {
		XENPT_TRY(window_fill(file, offset));
		/* It may have been cut since it was opened. */
		if (file->filled < size)
			return xenpt_error_create(XENPT_ERROR_FORMAT,
						  "ends early, at 0x%" PRIx64,
						  offset + file->filled);
	}
	*ret = file->window + (offset - file->start);
	return NULL;
}

struct xenpt_error *import_file_load(const char *path, uint64_t max, char **ret,
				     size_t *size_ret)
{
	_cleanup_import_file_ struct import_file file = IMPORT_FILE_CLOSED;
	_cleanup_free_ char *text = NULL;
	const void *piece;
	size_t n;

	XENPT_TRY(import_file_open(path, &file));
	if (file.size > max)
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "is too large: %" PRIu64 " bytes", file.size);
	text = malloc(file.size + 1);
	if (!text)
		return xenpt_error_no_memory();
	for (size_t at = 0; at < file.size; at += n) {
		n = file.size - at < IMPORT_WINDOW ? file.size - at : IMPORT_WINDOW;
		XENPT_TRY(import_file_peek(&file, at, n, &piece));
		memcpy(text + at, piece, n);
	}
	text[file.size] = '\0';
	*size_ret = file.size;
	*ret = no_cleanup_ptr(text);
	return NULL;
}

void import_warn(const struct xenpt_import *import, const char *fmt, ...)
{
	_cleanup_free_ char *message = NULL;
	va_list ap;
	int len;

	if (!import->warn)
		return;
	va_start(ap, fmt);
	len = vasprintf(&message, fmt, ap);
	va_end(ap);
	if (len < 0)
		message = NULL;
	import->warn(import->arg, message ? message : "out of memory for a warning");
}

void import_warn_error(const struct xenpt_import *import, const char *path,
		       struct xenpt_error *err)
{
	import_warn(import, "%s: %s", path, err->message);
	xenpt_error_destroy(err);
}

void import_progress(const struct xenpt_import *import, const char *path, uint64_t done,
		     uint64_t total)
{
	if (import->progress)
		import->progress(import->arg, path, done, total);
}

struct xenpt_error *import_cpu(struct xenpt_writer *writer,
			       const struct xenpt_import *import,
			       const struct xenpt_cpu *found, struct xenpt_cpu *ret)
{
	const struct xenpt_cpu *given = &import->cpu;
	struct xenpt_cpu cpu = *found;

	if (given->family) {
		cpu.family = given->family;
		cpu.model = given->model;
		cpu.stepping = given->stepping;
		cpu.intel = given->intel;
	}
	if (given->nom_freq)
		cpu.nom_freq = given->nom_freq;
	if (given->mtc_freq)
		cpu.mtc_freq = given->mtc_freq;
	if (given->cpuid_15_eax) {
		cpu.cpuid_15_eax = given->cpuid_15_eax;
		cpu.cpuid_15_ebx = given->cpuid_15_ebx;
	}
	if (given->time_mult) {
		cpu.time_shift = given->time_shift;
		cpu.time_mult = given->time_mult;
		cpu.time_zero = given->time_zero;
	}
	XENPT_TRY(xenpt_writer_cpu(writer, &cpu));
	*ret = cpu;
	return NULL;
}

struct xenpt_error *import_code(struct xenpt_writer *writer,
				const struct xenpt_import *import, uint32_t image,
				struct import_file *file, uint64_t begin, uint64_t end,
				uint64_t address)
{
	const void *piece;
	uint64_t last;
	size_t n;

	if (begin >= end)
		return NULL;
	if (__builtin_add_overflow(address, end - begin - 1, &last))
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "0x%" PRIx64 " bytes at 0x%" PRIx64
					  " are past the end of the address space",
					  end - begin, address);
	for (; begin < end; begin += n, address += n) {
		n = end - begin < IMPORT_WINDOW ? end - begin : IMPORT_WINDOW;
		XENPT_TRY(import_file_peek(file, begin, n, &piece));
		XENPT_TRY(
			xenpt_writer_code(writer, image, import->cr3, address, piece, n));
	}
	return NULL;
}

char *import_join(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}
