/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "array.h"
#include "cleanup.h"
#include "file.h"
#include "image-core.h"
#include "image-memory.h"
#include "mem.h"

/* A small file of compressed zeros must not take all memory. */
#define CODE_SIZE_MAX (UINT64_C(4) << 30)

struct xenpt_image {
	xenpt_image_read_fn *live; /* NULL: of a file */
	void *live_arg;
	int fd;
	uint8_t *code; /* the memfd, mapped; NULL: there is none */
	uint64_t size;
	struct image_sections sections;
	struct image_memory *memory; /* NULL: the file has none */
	bool varies;                 /* some of it */
	struct image_core *core;     /* NULL: there is no dump */
};

static int compare_sections(const void *a, const void *b)
{
	const struct image_section *x = a, *y = b;

	if (x->cr3 != y->cr3)
		return x->cr3 < y->cr3 ? -1 : 1;
	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	return 0;
}

/* The first section of @cr3 that ends after @address, or NULL. */
static const struct image_section *find_section(const struct image_sections *sections,
						uint64_t cr3, uint64_t address)
{
	size_t lo = 0, hi = sections->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct image_section *section = &sections->data[mid];

		if (section->cr3 < cr3 ||
		    (section->cr3 == cr3 && section->address + section->size <= address))
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == sections->count || sections->data[lo].cr3 != cr3)
		return NULL;
	return &sections->data[lo];
}

/* ---- code that was written as such ---- */

/*
 * Sections of all chunks, where those that overlap or touch are one. Their
 * bytes stand in the memfd in the order of addresses, so that thousands of
 * pages become few sections.
 */
static struct xenpt_error *merge_sections(struct xenpt_image *image,
					  struct image_sections *code)
{
	struct image_section *sections = code->data;
	size_t count = code->count, merged = 0;

	qsort(sections, count, sizeof(*sections), compare_sections);
	for (size_t i = 0; i < count; i++) {
		struct image_section *last = merged ? &sections[merged - 1] : NULL;
		uint64_t end = sections[i].address + sections[i].size;

		if (last && last->cr3 == sections[i].cr3 &&
		    sections[i].address <= last->address + last->size) {
			if (end > last->address + last->size)
				last->size = end - last->address;
		} else {
			sections[merged++] = sections[i];
		}
	}
	code->count = merged;
	for (size_t i = 0; i < merged; i++) {
		sections[i].offset = image->size;
		if (sections[i].size > CODE_SIZE_MAX - image->size)
			return xenpt_error_create(XENPT_ERROR_FORMAT,
						  "more than %u GiB of code",
						  (unsigned int)(CODE_SIZE_MAX >> 30));
		image->size += sections[i].size;
	}
	return NULL;
}

/* An address past the end would be 0: the last byte of all is left out. */
static uint64_t chunk_size(const struct xenpt_chunk *chunk)
{
	return chunk->size - (chunk->offset + chunk->size == 0);
}

static struct xenpt_error *lay_out_code(struct xenpt_image *image,
					const struct xenpt_file *file,
					struct image_sections *code)
{
	const struct xenpt_chunk *chunks;
	size_t count;

	chunks = xenpt_file_code(file, &count);
	if (!array_reserve(code, count))
		return xenpt_error_no_memory();
	for (size_t i = 0; i < count; i++) {
		struct image_section section = {
			.cr3 = chunks[i].cr3,
			.address = chunks[i].offset,
			.size = chunk_size(&chunks[i]),
		};

		if (section.size)
			code->data[code->count++] = section;
	}
	return code->count ? merge_sections(image, code) : NULL;
}

/* In file order: where chunks overlap, the later one wins. */
static struct xenpt_error *copy_code(struct xenpt_image *image,
				     const struct xenpt_file *file,
				     const struct image_sections *code)
{
	_cleanup_free_ uint8_t *buf = NULL;
	const struct xenpt_chunk *chunks;
	size_t room = 0, count;

	chunks = xenpt_file_code(file, &count);
	for (size_t i = 0; i < count; i++) {
		const struct image_section *section;

		if (!chunk_size(&chunks[i]))
			continue;
		if (chunks[i].size > room) {
			free(buf);
			room = chunks[i].size;
			buf = malloc(room);
			if (!buf)
				return xenpt_error_no_memory();
		}
		XENPT_TRY(xenpt_file_read(file, &chunks[i], buf));
		section = find_section(code, chunks[i].cr3, chunks[i].offset);
		memcpy(image->code + section->offset +
			       (chunks[i].offset - section->address),
		       buf, chunk_size(&chunks[i]));
	}
	return NULL;
}

/* ---- code in guest memory ---- */

/* Add what is left of @section where @cutters, from *@next on, are taken out. */
static struct xenpt_error *add_rest(struct image_sections *sections,
				    const struct image_section *section,
				    const struct image_sections *cutters, size_t *next)
{
	uint64_t address = section->address, end = address + section->size;

	while (address < end) {
		const struct image_section *cutter =
			*next < cutters->count ? &cutters->data[*next] : NULL;
		struct image_section *piece;
		uint64_t stop = end;

		if (cutter && (cutter->cr3 < section->cr3 ||
			       (cutter->cr3 == section->cr3 &&
				cutter->address + cutter->size <= address))) {
			(*next)++;
			continue;
		}
		if (cutter && cutter->cr3 == section->cr3 && cutter->address < end) {
			stop = cutter->address;
			if (stop <= address) {
				address = cutter->address + cutter->size;
				continue;
			}
		}
		piece = array_add(sections);
		if (!piece)
			return xenpt_error_no_memory();
		*piece = *section;
		piece->address = address;
		piece->size = stop - address;
		piece->offset += address - section->address;
		address = stop;
	}
	return NULL;
}

/* Memory goes before code that was written as such. */
static struct xenpt_error *add_code(struct xenpt_image *image,
				    const struct image_sections *code)
{
	struct image_sections cutters = {};
	struct xenpt_error *err = NULL;
	size_t next = 0;

	if (image->memory)
		err = image_memory_cutters(image->memory, &image->sections, &cutters);
	if (cutters.count)
		qsort(cutters.data, cutters.count, sizeof(*cutters.data),
		      compare_sections);
	for (size_t i = 0; i < code->count && !err; i++)
		err = add_rest(&image->sections, &code->data[i], &cutters, &next);
	array_deinit(&cutters);
	if (image->sections.count)
		qsort(image->sections.data, image->sections.count,
		      sizeof(*image->sections.data), compare_sections);
	return err;
}

/* ---- life ---- */

static struct xenpt_error *create_memfd(struct xenpt_image *image)
{
	void *code;

	image->fd = memfd_create("xenpt-code", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (image->fd < 0)
		return xenpt_error_os(errno, "memory for code");
	if (!image->size)
		return NULL;
	/* Not only sized: running out of memory is an error here, later a signal. */
	if (fallocate(image->fd, 0, 0, image->size) < 0)
		return xenpt_error_os(errno, "memory for code");
	code = mmap(NULL, image->size, PROT_READ | PROT_WRITE, MAP_SHARED, image->fd, 0);
	if (code == MAP_FAILED)
		return xenpt_error_os(errno, "memory for code");
	image->code = code;
	return NULL;
}

/* Who maps it can rely on it. */
static struct xenpt_error *seal_memfd(struct xenpt_image *image)
{
	if (fcntl(image->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) <
		    0 ||
	    (image->code && mprotect(image->code, image->size, PROT_READ) < 0))
		return xenpt_error_os(errno, "memory for code");
	return NULL;
}

static struct xenpt_error *fill(struct xenpt_image *image, const struct xenpt_file *file,
				struct image_sections *code)
{
	XENPT_TRY(lay_out_code(image, file, code));
	XENPT_TRY(image_memory_create(file, CODE_SIZE_MAX, &image->memory));
	if (image->memory) {
		size_t count;

		XENPT_TRY(image_memory_lay_out(image->memory, CODE_SIZE_MAX,
					       &image->sections, &image->size));
		image_memory_varying(image->memory, &count);
		image->varies = count > 0;
	}
	XENPT_TRY(add_code(image, code));
	XENPT_TRY(create_memfd(image));
	XENPT_TRY(copy_code(image, file, code));
	if (image->memory)
		image_memory_copy(image->memory, image->code);
	return seal_memfd(image);
}

XENPT_DEFINE_CLEANUP(struct xenpt_image, image, xenpt_image_destroy)

struct xenpt_error *xenpt_image_create(const struct xenpt_file *file,
				       struct xenpt_image **ret)
{
	_cleanup_(image_cleanup) struct xenpt_image *image = calloc(1, sizeof(*image));
	const char *path = xenpt_file_info(file)->path;
	struct image_sections code = {};
	struct xenpt_error *err;

	if (!image)
		return xenpt_error_no_memory();
	image->fd = -1;
	err = fill(image, file, &code);
	array_deinit(&code);
	if (err)
		return xenpt_error_prepend(err, "%s", path);
	*ret = no_cleanup_ptr(image);
	return NULL;
}

struct xenpt_error *xenpt_image_create_live(xenpt_image_read_fn *read, void *arg,
					    struct xenpt_image **ret)
{
	struct xenpt_image *image = calloc(1, sizeof(*image));

	if (!image)
		return xenpt_error_no_memory();
	image->fd = -1;
	image->live = read;
	image->live_arg = arg;
	*ret = image;
	return NULL;
}

struct xenpt_error *xenpt_image_add_core(struct xenpt_image *image,
					 const struct xenpt_file *file,
					 struct xenpt_core *core)
{
	return image_core_create(file, core, &image->core);
}

void xenpt_image_destroy(struct xenpt_image *image)
{
	if (!image)
		return;
	if (image->code)
		munmap(image->code, image->size);
	if (image->fd >= 0)
		close(image->fd);
	array_deinit(&image->sections);
	image_memory_destroy(image->memory);
	image_core_destroy(image->core);
	free(image);
}

const struct image_section *xenpt_image_sections(const struct xenpt_image *image,
						 size_t *count_ret)
{
	*count_ret = image->sections.count;
	return image->sections.data;
}

int xenpt_image_fd(const struct xenpt_image *image)
{
	return image->fd;
}

const struct image_range *xenpt_image_varying(const struct xenpt_image *image,
					      size_t *count_ret)
{
	*count_ret = 0;
	return image->memory ? image_memory_varying(image->memory, count_ret) : NULL;
}

/* ---- reading ---- */

/*
 * The code at @address, and at most how far it goes; NULL: none. Not what varies: that
 * must have been looked for.
 */
static const uint8_t *find_fixed(const struct xenpt_image *image, uint64_t cr3,
				 uint64_t address, bool own_only, uint64_t *size_ret)
{
	const struct image_section *own = find_section(&image->sections, cr3, address);
	const struct image_section *section = own;
	uint64_t end;

	if ((!own || own->address > address) && cr3 != XENPT_CR3_ANY && !own_only)
		section = find_section(&image->sections, XENPT_CR3_ANY, address);
	if (!section || section->address > address)
		return NULL;
	end = section->address + section->size;
	if (section != own && own && own->address < end)
		end = own->address;
	*size_ret = end - address;
	return image->code + section->offset + (address - section->address);
}

/* The rest of a page, without the last byte of all. */
static uint64_t page_rest(uint64_t address)
{
	uint64_t rest = XENPT_PAGE_SIZE - address % XENPT_PAGE_SIZE;

	return rest - (address + rest == 0);
}

/* The same where some of the code varies: page by page. */
static const uint8_t *find_varying(const struct xenpt_image *image, uint32_t epoch,
				   uint64_t cr3, uint64_t address, uint64_t *size_ret)
{
	const uint64_t spaces[] = { cr3, XENPT_CR3_ANY };
	const struct image_section *own = find_section(&image->sections, cr3, address);
	uint64_t rest = page_rest(address), offset;
	const uint8_t *code;

	if (own && own->address > address && own->address - address < rest)
		rest = own->address - address;

	for (size_t i = 0; i < 2; i++) {
		switch (image_memory_find(image->memory, epoch, spaces[i], address,
					  &offset)) {
		case IMAGE_NO_CODE:
			return NULL;
		case IMAGE_CODE:
			*size_ret = rest;
			return rest ? image->code + offset + address % XENPT_PAGE_SIZE
				    : NULL;
		case IMAGE_NOT_HERE:
			break;
		}
		code = find_fixed(image, spaces[i], address, true, size_ret);
		if (code) {
			if (*size_ret > rest)
				*size_ret = rest;
			return code;
		}
	}
	return NULL;
}

/* What there is of them without a gap at one place; 0: no code. */
static size_t read_some(const struct xenpt_image *image, uint32_t epoch, uint64_t cr3,
			uint64_t address, void *buf, size_t size)
{
	const uint8_t *code;
	uint64_t here;

	code = image->varies ? find_varying(image, epoch, cr3, address, &here)
			     : find_fixed(image, cr3, address, false, &here);
	if (!code)
		return image->core ? image_core_read(image->core, epoch, cr3, address,
						     buf, size)
				   : 0;
	if (here > size)
		here = size;
	memcpy(buf, code, here);
	return here;
}

size_t xenpt_image_read(const struct xenpt_image *image, uint32_t epoch, uint64_t cr3,
			uint64_t address, void *buf, size_t size)
{
	size_t done = 0, here = 1;

	if (image->live)
		return image->live(image->live_arg, cr3, address, buf, size);
	while (done < size && here) {
		here = read_some(image, epoch, cr3, address + done, (uint8_t *)buf + done,
				 size - done);
		done += here;
	}
	return done;
}
