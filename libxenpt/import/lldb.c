/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * LLDB's bundle, as "process trace save" writes it: a trace.json that names the
 * trace files (of CPUs, or of threads) and the modules of the processes. The
 * schema is what "trace schema intel-pt" of lldb prints.
 */
#include "config.h"

#include "import.h"

#ifdef HAVE_JANSSON
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "libxenpt/array.h"

#define JSON_SIZE_MAX (64u << 20)

struct trace {
	uint32_t id;
	char name[32];
	char *path;
};

struct lldb {
	const struct xenpt_import *import;
	const char *path;
	json_t *root;
	char *dir; /* of the bundle, resolved */
	struct xenpt_cpu cpu;
	struct import_images images;
	ARRAY(struct trace) traces;
};

/* ---- JSON ---------------------------------------------------------------- */

static struct xenpt_error *unexpected(const char *key, const char *what)
{
	return xenpt_error_create(XENPT_ERROR_FORMAT, "\"%s\" should be %s", key, what);
}

/* NULL where there is none, unless it is required. */
static struct xenpt_error *get_string(const json_t *object, const char *key,
				      bool required, const char **ret)
{
	const json_t *value = json_object_get(object, key);

	if (value ? !json_is_string(value) || json_string_length(value) >= PATH_MAX
		  : required)
		return unexpected(key, "a string");
	*ret = json_string_value(value);
	return NULL;
}

/* A number, or a string that holds one in decimal or in hex. */
static struct xenpt_error *get_number(const json_t *object, const char *key,
				      bool required, uint64_t max, uint64_t *ret)
{
	const json_t *value = json_object_get(object, key);
	const char *text = json_string_value(value);
	uint64_t number;
	char *end;

	if (!value && !required)
		return NULL;
	if (json_is_integer(value) && json_integer_value(value) >= 0) {
		number = (uint64_t)json_integer_value(value);
	} else if (text && isdigit((unsigned char)*text)) {
		errno = 0;
		number = strtoull(text, &end, 0);
		if (errno || *end)
			return unexpected(key, "a number");
	} else {
		return unexpected(key, "a number");
	}
	if (number > max)
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "\"%s\" is too large: %" PRIu64, key, number);
	*ret = number;
	return NULL;
}

typedef struct xenpt_error *each_fn(struct lldb *lldb, const json_t *object, void *arg);

/* Call @fn for each object of an array; none if there is no array. */
static struct xenpt_error *each(struct lldb *lldb, const json_t *object, const char *key,
				each_fn *fn, void *arg)
{
	const json_t *array = json_object_get(object, key), *element;
	size_t i;

	if (array && !json_is_array(array))
		return unexpected(key, "an array");
	json_array_foreach(array, i, element)
	{
		if (!json_is_object(element))
			return unexpected(key, "an array of objects");
		XENPT_TRY(xenpt_error_prepend(fn(lldb, element, arg), "%s[%zu]", key, i));
	}
	return NULL;
}

static struct xenpt_error *get_object(const json_t *object, const char *key,
				      const json_t **ret)
{
	*ret = json_object_get(object, key);
	return *ret && !json_is_object(*ret) ? unexpected(key, "an object") : NULL;
}

/*
 * Jansson has no unsigned 64-bit numbers, but LLDB writes them: timeZero, and
 * addresses of the kernel. Numbers of 19 digits and more become strings.
 */
static char *quote_numbers(const char *text, size_t size)
{
	enum {
		DIGITS = 19
	};
	char *quoted = malloc(size + 2 * (size / DIGITS) + 1), *out = quoted;
	bool string = false;

	for (size_t i = 0, n; quoted && i < size; i += n) {
		n = 1;
		if (string && text[i] == '\\' && i + 1 < size) {
			n = 2;
		} else if (text[i] == '"') {
			string = !string;
		} else if (!string) {
			while (i + n < size && isdigit((unsigned char)text[i]) &&
			       isdigit((unsigned char)text[i + n]))
				n++;
		}
		if (!string && n >= DIGITS)
			*out++ = '"';
		memcpy(out, text + i, n);
		out += n;
		if (!string && n >= DIGITS)
			*out++ = '"';
	}
	if (quoted)
		*out = '\0';
	return quoted;
}

static struct xenpt_error *json_read(struct lldb *lldb)
{
	_cleanup_free_ char *text = NULL, *quoted = NULL;
	const char *type;
	json_error_t error;
	size_t size;

	XENPT_TRY(import_file_load(lldb->path, JSON_SIZE_MAX, &text, &size));
	quoted = quote_numbers(text, size);
	if (!quoted)
		return xenpt_error_no_memory();
	lldb->root = json_loadb(quoted, strlen(quoted), JSON_REJECT_DUPLICATES, &error);
	if (!lldb->root)
		return xenpt_error_create(XENPT_ERROR_FORMAT, "line %d: %s", error.line,
					  error.text);
	if (!json_is_object(lldb->root))
		return xenpt_error_create(XENPT_ERROR_FORMAT, "is no bundle of LLDB");
	XENPT_TRY(get_string(lldb->root, "type", true, &type));
	if (strcmp(type, "intel-pt") != 0)
		return unexpected("type", "\"intel-pt\"");
	return NULL;
}

/* ---- files of the bundle --------------------------------------------------- */

static struct xenpt_error *dir_find(struct lldb *lldb)
{
	_cleanup_free_ char *real = realpath(lldb->path, NULL);

	if (!real)
		return xenpt_error_os(errno, "cannot resolve it");
	*strrchr(real, '/') = '\0';
	lldb->dir = no_cleanup_ptr(real);
	return NULL;
}

/*
 * A file of the bundle. Whoever made the bundle chose the name: it must not
 * lead to other files of the user's, be it by "..", from "/", or by a link.
 * *@ret is NULL if there is no such file.
 */
static struct xenpt_error *inside(const struct lldb *lldb, const char *name, char **ret)
{
	_cleanup_free_ char *path = NULL, *real = NULL;
	size_t size = strlen(lldb->dir);
	struct stat st;

	*ret = NULL;
	path = *name == '/' ? strdup(name) : import_join(lldb->dir, name);
	if (!path)
		return xenpt_error_no_memory();
	real = realpath(path, NULL);
	if (!real && errno != ENOENT)
		return xenpt_error_os(errno, "%s", name);
	if (*name == '/' ||
	    (real && (strncmp(real, lldb->dir, size) != 0 || real[size] != '/')))
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "%s leads out of the bundle", name);
	/* Nor is it a device, or a pipe that nobody writes into. */
	if (real && (stat(real, &st) < 0 || !S_ISREG(st.st_mode)))
		return xenpt_error_create(XENPT_ERROR_INVALID, "%s is no regular file",
					  name);
	*ret = no_cleanup_ptr(real);
	return NULL;
}

/* ---- what it describes ------------------------------------------------------ */

static struct xenpt_error *cpu_read(struct lldb *lldb)
{
	uint64_t family = 0, model = 0, stepping = 0, shift = 0, mult = 0, zero = 0;
	const json_t *info, *time;
	const char *vendor = NULL;

	XENPT_TRY(get_object(lldb->root, "cpuInfo", &info));
	XENPT_TRY(get_string(info, "vendor", info, &vendor));
	XENPT_TRY(get_number(info, "family", info, UINT16_MAX, &family));
	XENPT_TRY(get_number(info, "model", info, UINT8_MAX, &model));
	XENPT_TRY(get_number(info, "stepping", info, UINT8_MAX, &stepping));
	XENPT_TRY(get_object(lldb->root, "tscPerfZeroConversion", &time));
	XENPT_TRY(get_number(time, "timeShift", time, 63, &shift));
	XENPT_TRY(get_number(time, "timeMult", time, UINT32_MAX, &mult));
	XENPT_TRY(get_number(time, "timeZero", time, UINT64_MAX, &zero));
	lldb->cpu = (struct xenpt_cpu){
		.intel = vendor && (strcmp(vendor, "GenuineIntel") == 0 ||
				    strcmp(vendor, "intel") == 0),
		.family = (uint16_t)family,
		.model = (uint8_t)model,
		.stepping = (uint8_t)stepping,
		.time_shift = (uint16_t)shift,
		.time_mult = (uint32_t)mult,
		.time_zero = zero,
	};
	return NULL;
}

/*
 * LLDB's UUID of an ELF file is its build-id, "6AA9A4E2-6F28-…-5B41261A"; or, of
 * one that has none, a CRC of 4 bytes, which tells us nothing: NULL.
 */
static struct xenpt_error *uuid_parse(const char *uuid, char **ret)
{
	_cleanup_free_ char *hex = malloc(strlen(uuid) + 1);
	size_t n = 0;

	if (!hex)
		return xenpt_error_no_memory();
	for (; *uuid; uuid++) {
		if (isxdigit((unsigned char)*uuid))
			hex[n++] = (char)tolower((unsigned char)*uuid);
		else if (*uuid != '-')
			return unexpected("uuid", "hex digits and dashes");
	}
	hex[n] = '\0';
	*ret = n <= 8 ? NULL : no_cleanup_ptr(hex);
	return NULL;
}

static struct xenpt_error *module_add(struct lldb *lldb, uint32_t pid, const char *name,
				      const char *file, const char *uuid,
				      uint64_t address)
{
	_cleanup_free_ char *path = NULL, *real = NULL, *build_id = NULL;
	struct import_mapping mapping = { .pid = pid, .address = address };

	if (file)
		XENPT_TRY(inside(lldb, file, &real));
	if (uuid)
		XENPT_TRY(uuid_parse(uuid, &build_id));
	path = strdup(name);
	if (!path)
		return xenpt_error_no_memory();
	mapping.path = no_cleanup_ptr(path);
	mapping.file = no_cleanup_ptr(real);
	mapping.build_id = no_cleanup_ptr(build_id);
	return import_images_add(&lldb->images, &mapping);
}

static struct xenpt_error *module_read(struct lldb *lldb, const json_t *module, void *arg)
{
	const char *system, *file, *uuid;
	uint64_t address;

	XENPT_TRY(get_string(module, "systemPath", true, &system));
	XENPT_TRY(get_string(module, "file", false, &file));
	XENPT_TRY(get_string(module, "uuid", false, &uuid));
	XENPT_TRY(get_number(module, "loadAddress", true, UINT64_MAX, &address));
	return module_add(lldb, *(uint32_t *)arg, system, file, uuid, address);
}

static struct xenpt_error *process_read(struct lldb *lldb, const json_t *process,
					void *arg)
{
	uint64_t pid;
	uint32_t id;

	XENPT_TRY(get_number(process, "pid", true, UINT32_MAX - 1, &pid));
	id = (uint32_t)pid;
	return each(lldb, process, "modules", module_read, &id);
}

/* The kernel is in all processes; without an address, it is where it was linked. */
static struct xenpt_error *kernel_read(struct lldb *lldb)
{
	uint64_t address = UINT64_MAX;
	const json_t *kernel;
	const char *file;

	XENPT_TRY(get_object(lldb->root, "kernel", &kernel));
	if (!kernel)
		return NULL;
	XENPT_TRY(get_string(kernel, "file", true, &file));
	XENPT_TRY(get_number(kernel, "loadAddress", false, UINT64_MAX, &address));
	return module_add(lldb, 0, file, file, NULL, address);
}

/* ---- the trace ------------------------------------------------------------- */

static struct xenpt_error *trace_add(struct lldb *lldb, uint64_t id, const char *what,
				     uint64_t number, const char *file)
{
	_cleanup_free_ char *real = NULL;
	struct trace *trace;

	XENPT_TRY(inside(lldb, file, &real));
	if (!real)
		return xenpt_error_os(ENOENT, "%s", file);
	trace = array_add(&lldb->traces);
	if (!trace)
		return xenpt_error_no_memory();
	trace->id = id < UINT32_MAX ? (uint32_t)id : UINT32_MAX;
	snprintf(trace->name, sizeof(trace->name), "%s %" PRIu64, what, number);
	trace->path = no_cleanup_ptr(real);
	return NULL;
}

static struct xenpt_error *cpu_trace_read(struct lldb *lldb, const json_t *cpu, void *arg)
{
	const char *file;
	uint64_t id;

	XENPT_TRY(get_number(cpu, "id", true, UINT64_MAX, &id));
	XENPT_TRY(get_string(cpu, "iptTrace", true, &file));
	return trace_add(lldb, id, "cpu", id, file);
}

static struct xenpt_error *thread_read(struct lldb *lldb, const json_t *thread, void *arg)
{
	const char *file;
	uint64_t tid;

	XENPT_TRY(get_number(thread, "tid", true, UINT64_MAX, &tid));
	XENPT_TRY(get_string(thread, "iptTrace", false, &file));
	return file ? trace_add(lldb, lldb->traces.count, "thread", tid, file) : NULL;
}

static struct xenpt_error *threads_read(struct lldb *lldb, const json_t *process,
					void *arg)
{
	uint64_t pid;

	XENPT_TRY(get_number(process, "pid", true, UINT32_MAX - 1, &pid));
	if (lldb->import->pid >= 0 && (uint64_t)lldb->import->pid != pid)
		return NULL;
	return each(lldb, process, "threads", thread_read, NULL);
}

/* Of CPUs, or else of threads. vCPUs are numbered as the CPUs, if that is possible. */
static struct xenpt_error *traces_read(struct lldb *lldb)
{
	bool possible = true;

	XENPT_TRY(each(lldb, lldb->root, "cpus", cpu_trace_read, NULL));
	if (!lldb->traces.count)
		XENPT_TRY(each(lldb, lldb->root, "processes", threads_read, NULL));
	if (!lldb->traces.count)
		return xenpt_error_create(XENPT_ERROR_NOT_FOUND, "names no trace");
	for (size_t i = 0; i < lldb->traces.count; i++)
		possible &= lldb->traces.data[i].id < XENPT_VCPUS_MAX;
	for (size_t i = 0; !possible && i < lldb->traces.count; i++)
		lldb->traces.data[i].id = (uint32_t)i;
	return NULL;
}

/* ---- all together ---------------------------------------------------------- */

static struct xenpt_error *import_lldb(struct lldb *lldb, struct xenpt_writer *writer,
				       struct xenpt_cpu *ret)
{
	struct xenpt_cpu cpu;

	XENPT_TRY(json_read(lldb));
	XENPT_TRY(dir_find(lldb));
	XENPT_TRY(cpu_read(lldb));
	XENPT_TRY(each(lldb, lldb->root, "processes", process_read, NULL));
	XENPT_TRY(import_images_choose(&lldb->images, lldb->import));
	XENPT_TRY(xenpt_error_prepend(kernel_read(lldb), "kernel"));
	XENPT_TRY(traces_read(lldb));
	if (!lldb->images.count)
		import_warn(lldb->import, "%s: names no code", lldb->path);
	XENPT_TRY(import_cpu(writer, lldb->import, &lldb->cpu, &cpu));
	XENPT_TRY(import_images_write(&lldb->images, writer, lldb->import));
	for (size_t i = 0; i < lldb->traces.count; i++) {
		const struct trace *trace = &lldb->traces.data[i];

		XENPT_TRY(import_pt(writer, lldb->import, trace->id, trace->name,
				    trace->path));
	}
	*ret = cpu;
	return NULL;
}

struct xenpt_error *xenpt_import_lldb(struct xenpt_writer *writer,
				      const struct xenpt_import *import, const char *path,
				      struct xenpt_cpu *ret)
{
	struct lldb lldb = { .import = import, .path = path };
	struct xenpt_error *err = import_lldb(&lldb, writer, ret);

	for (size_t i = 0; i < lldb.traces.count; i++)
		free(lldb.traces.data[i].path);
	array_deinit(&lldb.traces);
	import_images_deinit(&lldb.images);
	json_decref(lldb.root);
	free(lldb.dir);
	return xenpt_error_prepend(err, "%s", path);
}

#else

struct xenpt_error *xenpt_import_lldb(struct xenpt_writer *writer,
				      const struct xenpt_import *import, const char *path,
				      struct xenpt_cpu *ret)
{
	return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
				  "%s: this xenpt was built without jansson, which reads "
				  "bundles of LLDB",
				  path);
}

#endif
