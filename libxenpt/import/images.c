/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The images of a process, by the mappings that a recording tells of. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "import.h"
#include "libxenpt/array.h"

#define MAPPINGS_MAX (1u << 20)
/* More code than any process has: mappings without end of a large file. */
#define BYTES_MAX (4ull << 30)

static void mapping_deinit(struct import_mapping *mapping)
{
	free(mapping->path);
	free(mapping->file);
	free(mapping->build_id);
}

void import_images_deinit(struct import_images *images)
{
	for (size_t i = 0; i < images->count; i++)
		mapping_deinit(&images->data[i]);
	array_deinit(images);
}

struct xenpt_error *import_images_add(struct import_images *images,
				      struct import_mapping *mapping)
{
	struct import_mapping *added =
		images->count < MAPPINGS_MAX ? array_add(images) : NULL;

	if (added) {
		*added = *mapping;
		return NULL;
	}
	mapping_deinit(mapping);
	if (images->count == MAPPINGS_MAX)
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
					  "more than %u mappings of code", MAPPINGS_MAX);
	return xenpt_error_no_memory();
}

/* Not a path: "[vdso]", "//anon". */
static bool is_path(const char *path)
{
	return path[0] != '[' && strncmp(path, "//", 2) != 0;
}

/* ---- whose --------------------------------------------------------------- */

/* "12 (/bin/sh), 34 (/usr/bin/env)": the processes, each by its first image. */
static struct xenpt_error *several(const struct import_images *images, const char *why)
{
	enum {
		SHOWN = 8
	};
	_cleanup_free_ char *list = NULL;
	_cleanup_fclose_ FILE *out = NULL;
	uint32_t pids[SHOWN];
	size_t size, shown = 0, i, k;

	out = open_memstream(&list, &size);
	if (!out)
		return xenpt_error_no_memory();
	for (i = 0; i < images->count; i++) {
		const struct import_mapping *mapping = &images->data[i];

		for (k = 0; k < shown && pids[k] != mapping->pid; k++)
			;
		if (k < shown || !is_path(mapping->path))
			continue;
		if (shown == SHOWN)
			break;
		pids[shown++] = mapping->pid;
		fprintf(out, "%s%" PRIu32 " (%s)", k ? ", " : "", mapping->pid,
			mapping->path);
	}
	fputs(i < images->count ? ", …" : "", out);
	if (fflush(out) == EOF)
		return xenpt_error_no_memory();
	return xenpt_error_create(XENPT_ERROR_INVALID, "%s: %s", why, list);
}

struct xenpt_error *import_images_choose(struct import_images *images,
					 const struct xenpt_import *import)
{
	_cleanup_free_ char *why = NULL;
	size_t kept = 0, of_pid = 0;
	bool one = true;

	for (size_t i = 0; i < images->count; i++) {
		of_pid += images->data[i].pid == import->pid;
		one &= images->data[i].pid == images->data[0].pid;
	}
	if (!images->count)
		return NULL;
	if (import->pid < 0)
		return one ? NULL
			   : several(images, "has the code of several processes: "
					     "choose one by its pid");
	if (!of_pid) {
		if (asprintf(&why, "has no code of process %" PRId64 ", but of",
			     import->pid) < 0) {
			why = NULL;
			return xenpt_error_no_memory();
		}
		return several(images, why);
	}
	for (size_t i = 0; i < images->count; i++) {
		if (images->data[i].pid == import->pid)
			images->data[kept++] = images->data[i];
		else
			mapping_deinit(&images->data[i]);
	}
	images->count = kept;
	return NULL;
}

/* ---- which --------------------------------------------------------------- */

static int string_compare(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

static int image_compare(const struct import_mapping *a, const struct import_mapping *b)
{
	int order = strcmp(a->path, b->path);

	if (!order)
		order = string_compare(a->file, b->file);
	return order ? order : string_compare(a->build_id, b->build_id);
}

#define COMPARE(a, b) ((a) < (b) ? -1 : (a) > (b))

static int mapping_compare(const struct import_mapping *a, const struct import_mapping *b)
{
	int order = image_compare(a, b);

	if (!order)
		order = COMPARE(a->address, b->address);
	if (!order)
		order = COMPARE(a->length, b->length);
	return order ? order : COMPARE(a->offset, b->offset);
}

static int pointer_compare(const void *a, const void *b)
{
	const struct import_mapping *const *x = a, *const *y = b;
	int order = mapping_compare(*x, *y);

	return order ? order : COMPARE(*x, *y);
}

#define REPEATED UINT32_MAX

/* Number the images; of mappings told twice, the last one counts. */
static struct xenpt_error *images_number(struct import_images *images, size_t *ret)
{
	_cleanup_free_ struct import_mapping **order = NULL;
	uint32_t next = 0;

	order = calloc(images->count + 1, sizeof(struct import_mapping *));
	if (!order)
		return xenpt_error_no_memory();
	for (size_t i = 0; i < images->count; i++)
		order[i] = &images->data[i];
	qsort(order, images->count, sizeof(struct import_mapping *), pointer_compare);
	for (size_t i = 0; i < images->count; i++) {
		bool last = i + 1 == images->count;

		order[i]->image = next;
		if (last || image_compare(order[i], order[i + 1]) != 0)
			next++;
		else if (mapping_compare(order[i], order[i + 1]) == 0)
			order[i]->image = REPEATED;
	}
	*ret = next;
	return NULL;
}

/* ---- writing ------------------------------------------------------------- */

struct image {
	enum {
		UNTOUCHED,
		MISSING,
		ANNOUNCED,
		NAMED
	} state;
	uint32_t id;
	uint64_t bias; /* of the symbols that were written, if NAMED; else 0 */
};

struct writing {
	struct xenpt_writer *writer;
	const struct xenpt_import *import;
	struct image *images;
	uint32_t next_id;
	uint64_t bytes;
	struct import_elf *elf; /* of the mapping before: often the same */
	uint32_t elf_image;
};

static void writing_deinit(struct writing *writing)
{
	import_elf_close(writing->elf);
	free(writing->images);
}

static bool is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* It leads out of where it is looked for. */
static bool climbs(const char *path)
{
	return strncmp(path, "../", 3) == 0 || strstr(path, "/../");
}

static struct xenpt_error *find_image(const struct xenpt_import *import, const char *path,
				      char **ret)
{
	_cleanup_free_ char *full = NULL, *flat = NULL;
	const char *slash = strrchr(path, '/');

	*ret = NULL;
	if (!import->symfs) {
		full = strdup(path);
		if (!full)
			return xenpt_error_no_memory();
		if (*full == '/' && is_file(full))
			*ret = no_cleanup_ptr(full);
		return NULL;
	}
	/* A whole root file system, or a folder that the images were put into. */
	full = import_join(import->symfs, path);
	flat = import_join(import->symfs, slash ? slash + 1 : path);
	if (!full || !flat)
		return xenpt_error_no_memory();
	if (!climbs(path) && is_file(full))
		*ret = no_cleanup_ptr(full);
	else if (is_file(flat))
		*ret = no_cleanup_ptr(flat);
	return NULL;
}

/* Open the ELF file of a mapping. Still NULL: a warning has told why not. */
static struct xenpt_error *writing_open(struct writing *writing,
					const struct import_mapping *mapping)
{
	_cleanup_import_elf_ struct import_elf *elf = NULL;
	_cleanup_free_ char *found = NULL;
	const char *path = mapping->file;
	struct xenpt_error *err;

	if (writing->elf && writing->elf_image == mapping->image)
		return NULL;
	import_elf_close(writing->elf);
	writing->elf = NULL;
	if (!path && is_path(mapping->path)) {
		XENPT_TRY(find_image(writing->import, mapping->path, &found));
		path = found;
	}
	if (!path) {
		import_warn(writing->import, "%s: %s: its code is missing", mapping->path,
			    is_path(mapping->path) ? "not found (see --symfs)"
						   : "is no file");
		return NULL;
	}
	err = import_elf_open(path, &elf);
	if (!err && mapping->build_id)
		err = import_elf_check(elf, mapping->build_id);
	if (err) {
		import_warn_error(writing->import, path, err);
		return NULL;
	}
	writing->elf = no_cleanup_ptr(elf);
	writing->elf_image = mapping->image;
	return NULL;
}

/* Code, and once for each place where the image was, symbols. */
static struct xenpt_error *writing_copy(struct writing *writing,
					const struct import_mapping *mapping)
{
	struct image *image = &writing->images[mapping->image];
	uint64_t size = import_elf_size(writing->elf), bias = image->bias;

	writing->bytes +=
		mapping->length && mapping->length < size ? mapping->length : size;
	if (writing->bytes > BYTES_MAX)
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
					  "more than %llu bytes of code", BYTES_MAX);
	if (mapping->length) {
		XENPT_TRY(import_elf_mapping(writing->elf, writing->writer,
					     writing->import, image->id, mapping->address,
					     mapping->length, mapping->offset, &bias));
	} else {
		bias = import_elf_bias(writing->elf, mapping->address);
		XENPT_TRY(import_elf_code(writing->elf, writing->writer, writing->import,
					  image->id, bias));
	}
	if (image->state == NAMED && image->bias == bias)
		return NULL;
	if (image->state == NAMED)
		writing->bytes += size;
	image->state = NAMED;
	image->bias = bias;
	return import_elf_symbols(writing->elf, writing->writer, image->id, bias);
}

static struct xenpt_error *writing_mapping(struct writing *writing,
					   const struct import_mapping *mapping)
{
	struct image *image = &writing->images[mapping->image];
	struct xenpt_error *err;

	if (image->state == MISSING)
		return NULL;
	XENPT_TRY(writing_open(writing, mapping));
	if (!writing->elf) {
		image->state = MISSING;
		return NULL;
	}
	if (image->state == UNTOUCHED) {
		image->id = writing->next_id++;
		image->state = ANNOUNCED;
		XENPT_TRY(import_elf_announce(writing->elf, writing->writer,
					      writing->import, image->id, mapping->path));
	}
	err = writing_copy(writing, mapping);
	if (!err ||
	    (err->code != XENPT_ERROR_FORMAT && err->code != XENPT_ERROR_INVALID &&
	     err->code != XENPT_ERROR_NOT_FOUND))
		return err;
	import_warn_error(writing->import, mapping->path, err);
	return NULL;
}

struct xenpt_error *import_images_write(struct import_images *images,
					struct xenpt_writer *writer,
					const struct xenpt_import *import)
{
	_cleanup_(writing_deinit) struct writing writing = {
		.writer = writer,
		.import = import,
	};
	size_t count = 0;

	XENPT_TRY(images_number(images, &count));
	writing.images = calloc(count + 1, sizeof(*writing.images));
	if (!writing.images)
		return xenpt_error_no_memory();
	for (size_t i = 0; i < images->count; i++) {
		if (images->data[i].image != REPEATED)
			XENPT_TRY(writing_mapping(&writing, &images->data[i]));
	}
	return NULL;
}
