/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#ifdef HAVE_ZSTD
#include <zstd.h>
#include <zstd_errors.h>
#endif

#include "cleanup.h"
#include "file-index.h"
#include "scan.h"
#include "spool.h"

/* By vCPU, by offset; those of one place in file order, which is that of addresses. */
static int compare_samples(const void *a, const void *b)
{
	const struct xenpt_sample *const *x = a, *const *y = b;

	if ((*x)->vcpu != (*y)->vcpu)
		return (*x)->vcpu < (*y)->vcpu ? -1 : 1;
	if ((*x)->offset != (*y)->offset)
		return (*x)->offset < (*y)->offset ? -1 : 1;
	return *x < *y ? -1 : *x > *y;
}

static struct xenpt_error *sort_samples(struct xenpt_file *file)
{
	_cleanup_free_ const struct xenpt_sample **order = NULL;
	struct xenpt_sample *sorted;
	size_t count = file->samples.count;

	if (!count)
		return NULL;
	order = reallocarray(NULL, count, sizeof(*order));
	sorted = reallocarray(NULL, count, sizeof(*sorted));
	if (!order || !sorted) {
		free(sorted);
		return xenpt_error_no_memory();
	}
	for (size_t i = 0; i < count; i++)
		order[i] = &file->samples.data[i];
	qsort(order, count, sizeof(*order), compare_samples);
	for (size_t i = 0; i < count; i++)
		sorted[i] = *order[i];
	free(file->samples.data);
	file->samples.data = sorted;
	file->samples.capacity = count;
	return NULL;
}

/* Say what was found the way users get to see it. */
static struct xenpt_error *fill_info(struct xenpt_file *file)
{
	struct xenpt_file_info *info = &file->info;

	for (size_t id = 0; id < XENPT_VCPUS_MAX; id++) {
		struct vcpu *vcpu = file->vcpus[id];
		struct xenpt_vcpu_info *added;

		if (!vcpu)
			continue;
		added = array_add(&file->vcpu_infos);
		if (!added)
			return xenpt_error_no_memory();
		*added = vcpu->info;
		added->vcpu.name = vcpu->name ? vcpu->name : "";
	}
	XENPT_TRY(sort_samples(file));
	info->samples = file->samples.data;
	info->sample_count = file->samples.count;
	info->path = file->path;
	info->creator = file->creator ? file->creator : "";
	info->complete = file->ended && !file->damaged;
	info->vcpus = file->vcpu_infos.data;
	info->vcpu_count = file->vcpu_infos.count;
	info->images = file->images.data;
	info->image_count = file->images.count;
	info->damages = file->damages.data;
	info->damage_count = file->damages.count;
	return NULL;
}

XENPT_DEFINE_CLEANUP(struct xenpt_file, file, xenpt_file_close)

struct xenpt_error *xenpt_file_open(const char *path, struct xenpt_file **ret)
{
	_cleanup_(file_cleanup) struct xenpt_file *file = calloc(1, sizeof(*file));
	struct scan_visitor visitor = { xenpt_index_chunk, xenpt_index_damage, file };

	if (!file)
		return xenpt_error_no_memory();
	file->fd = -1;
	file->path = strdup(path);
	if (!file->path)
		return xenpt_error_no_memory();
	file->info.major = SECTION_MAJOR;
	file->info.epochs = 1;
	XENPT_TRY(xenpt_spool_open(path, &file->fd, &file->info.size));
	XENPT_TRY(xenpt_scan(file->fd, file->info.size, path, &visitor));
	if (!file->info.chunks)
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "%s: no whole chunk is left: %s", path,
					  file->damages.data[0].why);
	XENPT_TRY(fill_info(file));
	*ret = no_cleanup_ptr(file);
	return NULL;
}

void xenpt_file_close(struct xenpt_file *file)
{
	if (!file)
		return;
	for (size_t id = 0; id < XENPT_VCPUS_MAX; id++) {
		if (!file->vcpus[id])
			continue;
		free(file->vcpus[id]->name);
		array_deinit(&file->vcpus[id]->chunks);
		free(file->vcpus[id]);
	}
	for (size_t i = 0; i < file->images.count; i++) {
		free((char *)file->images.data[i].name);
		free((char *)file->images.data[i].build_id);
	}
	array_deinit(&file->images);
	array_deinit(&file->code);
	array_deinit(&file->symbols);
	array_deinit(&file->pages);
	array_deinit(&file->maps);
	array_deinit(&file->samples);
	free((char *)file->domain.name);
	free((char *)file->domain.uuid);
	free((char *)file->domain.type);
	free((char *)file->domain.backend);
	free((char *)file->outcome.why);
	free((char *)file->outcome.console);
	array_deinit(&file->vcpu_infos);
	array_deinit(&file->damages);
	free(file->creator);
	free(file->path);
	if (file->fd >= 0)
		close(file->fd);
	free(file);
}

const struct xenpt_file_info *xenpt_file_info(const struct xenpt_file *file)
{
	return &file->info;
}

const struct xenpt_image_info *xenpt_file_image(const struct xenpt_file *file,
						uint32_t id)
{
	if (id >= XENPT_IMAGES_MAX || !file->image_slots[id])
		return NULL;
	return &file->images.data[file->image_slots[id] - 1];
}

const struct xenpt_chunk *xenpt_file_trace(const struct xenpt_file *file, uint32_t vcpu,
					   size_t *count_ret)
{
	const struct vcpu *found = vcpu < XENPT_VCPUS_MAX ? file->vcpus[vcpu] : NULL;

	*count_ret = found ? found->chunks.count : 0;
	return found ? found->chunks.data : NULL;
}

const struct xenpt_chunk *xenpt_file_code(const struct xenpt_file *file,
					  size_t *count_ret)
{
	*count_ret = file->code.count;
	return file->code.data;
}

const struct xenpt_chunk *xenpt_file_symbols(const struct xenpt_file *file,
					     size_t *count_ret)
{
	*count_ret = file->symbols.count;
	return file->symbols.data;
}

const struct xenpt_chunk *xenpt_file_pages(const struct xenpt_file *file,
					   size_t *count_ret)
{
	*count_ret = file->pages.count;
	return file->pages.data;
}

const struct xenpt_chunk *xenpt_file_maps(const struct xenpt_file *file,
					  size_t *count_ret)
{
	*count_ret = file->maps.count;
	return file->maps.data;
}

/* Contexts of zstd belong to one thread: one per call, chunks being large. */
static struct xenpt_error *unpack(const void *packed, size_t packed_size, void *buf,
				  size_t size)
{
#ifdef HAVE_ZSTD
	size_t got = ZSTD_decompress(buf, size, packed, packed_size);

	if (ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation)
		return xenpt_error_no_memory();
	if (ZSTD_isError(got) || got != size)
		return xenpt_error_create(XENPT_ERROR_FORMAT, "bad compressed data");
	return NULL;
#else
	return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
				  "is compressed: this build has no zstd");
#endif
}

static struct xenpt_error *read_data(const struct xenpt_file *file,
				     const struct xenpt_chunk *chunk, void *buf)
{
	uint8_t bytes[sizeof(struct section_header)];
	_cleanup_free_ void *packed = NULL;
	struct section_header header;
	const char *why;
	bool is_packed;

	/* Read once more, not kept: an index of small chunks stays small. */
	if (!xenpt_pread(file->fd, bytes, sizeof(bytes), chunk->position))
		return errno ? xenpt_error_os(errno, "cannot read")
			     : xenpt_error_create(XENPT_ERROR_FORMAT, "is cut");
	if (xenpt_section_open(bytes, &header) || header.type != chunk->type ||
	    header.data_size != chunk->size)
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "changed since the file was opened");
	if (header.flags & ~XENPT_SECTION_ZSTD)
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED, "unknown flags 0x%x",
					  header.flags);
	is_packed = header.flags & XENPT_SECTION_ZSTD;
	if (is_packed) {
		packed = malloc(header.size);
		if (!packed)
			return xenpt_error_no_memory();
	}
	XENPT_TRY(xenpt_index_payload(file, chunk->position, &header,
				      is_packed ? packed : buf, &why));
	if (why)
		return xenpt_error_create(XENPT_ERROR_FORMAT, "%s", why);
	if (is_packed)
		return unpack(packed, header.size, buf, chunk->size);
	return NULL;
}

struct xenpt_error *xenpt_file_read(const struct xenpt_file *file,
				    const struct xenpt_chunk *chunk, void *buf)
{
	/* A gap has no data, and a damaged file's may have no chunk. */
	if (chunk->type == XENPT_SECTION_GAP)
		return NULL;
	return xenpt_error_prepend(read_data(file, chunk, buf),
				   "%s: chunk at offset %" PRIu64, file->path,
				   chunk->position);
}
