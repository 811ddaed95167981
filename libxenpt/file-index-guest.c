/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The index of what a recording of a domain has besides the trace. */
#include <endian.h>
#include <string.h>

#include "cleanup.h"
#include "file-index.h"
#include "mem.h"

/* @count texts that follow each other at the end of a payload; false: no memory. */
static bool copy_texts(const char *text, const uint32_t *sizes, const char ***texts,
		       size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *copy = strndup(text, sizes[i]);

		if (!copy)
			return false;
		*texts[i] = copy;
		text += sizes[i];
	}
	return true;
}

/* Whether the texts are in a payload of @left bytes more. */
static bool sizes_fit(const uint32_t *sizes, size_t count, uint64_t left)
{
	for (size_t i = 0; i < count; i++) {
		if (sizes[i] > left)
			return false;
		left -= sizes[i];
	}
	return true;
}

struct xenpt_error *xenpt_index_domain(const struct source *source)
{
	struct xenpt_domain *domain = &source->file->domain;
	const char **texts[] = { &domain->name, &domain->uuid, &domain->type,
				 &domain->backend };
	_cleanup_free_ char *text = NULL;
	struct section_domain fixed;
	uint32_t sizes[4];

	XENPT_TRY(xenpt_index_text(source, sizeof(fixed), &text));
	if (!text)
		return NULL;
	if (source->file->info.domain)
		return xenpt_index_reject(source, "domain described twice");
	memcpy(&fixed, text, sizeof(fixed));
	sizes[0] = le32toh(fixed.name_size);
	sizes[1] = le32toh(fixed.uuid_size);
	sizes[2] = le32toh(fixed.type_size);
	sizes[3] = le32toh(fixed.backend_size);
	if (!sizes_fit(sizes, 4, source->header->size - sizeof(fixed)))
		return xenpt_index_reject(source, XENPT_INDEX_NAMES);
	domain->vcpus = le32toh(fixed.vcpus);
	domain->memory = le64toh(fixed.memory);
	source->file->info.domain = domain;
	if (!copy_texts(text + sizeof(fixed), sizes, texts, 4))
		return xenpt_error_no_memory();
	return NULL;
}

struct xenpt_error *xenpt_index_outcome(const struct source *source)
{
	struct xenpt_outcome *outcome = &source->file->outcome;
	const char **texts[] = { &outcome->why, &outcome->console };
	_cleanup_free_ char *text = NULL;
	struct section_outcome fixed;
	uint32_t sizes[2];

	XENPT_TRY(xenpt_index_text(source, sizeof(fixed), &text));
	if (!text)
		return NULL;
	if (source->file->info.outcome)
		return xenpt_index_reject(source, "a second outcome");
	memcpy(&fixed, text, sizeof(fixed));
	sizes[0] = le32toh(fixed.why_size);
	sizes[1] = le32toh(fixed.console_size);
	if (!sizes_fit(sizes, 2, source->header->size - sizeof(fixed)))
		return xenpt_index_reject(source, XENPT_INDEX_NAMES);
	outcome->crashed = fixed.crashed;
	source->file->info.outcome = outcome;
	if (!copy_texts(text + sizeof(fixed), sizes, texts, 2))
		return xenpt_error_no_memory();
	return NULL;
}

struct xenpt_error *xenpt_index_registers(const struct source *source)
{
	_cleanup_free_ char *text = NULL;
	struct section_registers fixed;
	struct xenpt_sample *sample;
	struct vcpu *vcpu;

	XENPT_TRY(xenpt_index_vcpu(source, &vcpu));
	XENPT_TRY(xenpt_index_text(source, sizeof(fixed), &text));
	if (!text)
		return NULL;
	memcpy(&fixed, text, sizeof(fixed));
	for (size_t i = 0; i < sizeof(fixed.numbers) / sizeof(fixed.numbers[0]); i++)
		fixed.numbers[i] = le64toh(fixed.numbers[i]);
	sample = array_add(&source->file->samples);
	if (!sample)
		return xenpt_error_no_memory();
	*sample = (struct xenpt_sample){
		.vcpu = source->header->owner,
		.offset = source->header->place,
		.regs = {
			.cs = le16toh(fixed.cs),
			.ss = le16toh(fixed.ss),
			.cpl = fixed.cpl,
			.mode = fixed.mode,
		},
	};
	memcpy(&sample->regs, fixed.numbers, sizeof(fixed.numbers));
	return NULL;
}

void xenpt_index_epoch(struct xenpt_file *file, uint32_t epoch)
{
	if (file->info.epochs <= epoch)
		file->info.epochs = epoch + 1;
}

struct xenpt_error *xenpt_index_pages(const struct source *source)
{
	const struct section_header *header = source->header;
	struct xenpt_file *file = source->file;
	struct xenpt_chunk *chunk;
	bool good;

	XENPT_TRY(xenpt_index_check(source, &good));
	if (!good || !header->data_size)
		return NULL;
	if (header->place % XENPT_PAGE_SIZE || header->data_size % XENPT_PAGE_SIZE)
		return xenpt_index_reject(source, "memory that is not of whole pages");
	if (header->place > UINT64_MAX - (header->data_size - 1))
		return xenpt_index_reject(source, "memory past the last address");
	if (header->detail >= SECTION_EPOCHS_MAX)
		return xenpt_index_reject(source, XENPT_INDEX_EPOCH);
	chunk = array_add(&file->pages);
	if (!chunk)
		return xenpt_error_no_memory();
	*chunk = (struct xenpt_chunk){
		.position = source->position,
		.offset = header->place,
		.size = header->data_size,
		.epoch = header->detail,
		.type = XENPT_SECTION_PAGES,
	};
	file->info.pages += header->data_size / XENPT_PAGE_SIZE;
	xenpt_index_epoch(file, header->detail);
	return NULL;
}

struct xenpt_error *xenpt_index_map(const struct source *source)
{
	const struct section_header *header = source->header;
	struct xenpt_chunk *chunk;
	bool good;

	XENPT_TRY(xenpt_index_check(source, &good));
	if (!good || !header->data_size)
		return NULL;
	if (header->data_size % sizeof(struct section_mapping))
		return xenpt_index_reject(source, "mappings that are not whole");
	if (header->detail >= SECTION_EPOCHS_MAX)
		return xenpt_index_reject(source, XENPT_INDEX_EPOCH);
	chunk = array_add(&source->file->maps);
	if (!chunk)
		return xenpt_error_no_memory();
	*chunk = (struct xenpt_chunk){
		.position = source->position,
		.cr3 = header->value,
		.size = header->data_size,
		.epoch = header->detail,
		.type = XENPT_SECTION_MAP,
	};
	xenpt_index_epoch(source->file, header->detail);
	return NULL;
}
