/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cleanup.h"
#include "crc32c.h"
#include "file-index.h"
#include "scan.h"

#define DAMAGES_MAX 1024
#define BAD_PAYLOAD "bad checksum of a chunk's data"

struct xenpt_error *xenpt_index_damage(void *arg, const struct xenpt_damage *damage)
{
	struct xenpt_file *file = arg;
	struct xenpt_damage *added;

	file->damaged = true;
	if (file->damages.count == DAMAGES_MAX)
		return NULL;
	added = array_add(&file->damages);
	if (!added)
		return xenpt_error_no_memory();
	*added = *damage;
	return NULL;
}

struct xenpt_error *xenpt_index_payload(const struct xenpt_file *file, uint64_t position,
					const struct section_header *header, void *buf,
					const char **why_ret)
{
	*why_ret = NULL;
	if (!xenpt_pread(file->fd, buf, header->size, position + sizeof(*header))) {
		if (errno)
			return xenpt_error_os(errno, "%s: cannot read", file->path);
		*why_ret = "chunk is cut";
	} else if (xenpt_crc32c(0, buf, header->size) != header->payload_crc) {
		*why_ret = BAD_PAYLOAD;
	}
	return NULL;
}

struct xenpt_error *xenpt_index_reject(const struct source *source, const char *why)
{
	struct xenpt_damage damage = {
		source->position,
		sizeof(struct section_header) + source->header->size,
		why,
	};

	return xenpt_index_damage(source->file, &damage);
}

static struct xenpt_error *too_many(const struct source *source, const char *what,
				    uint32_t number, uint32_t limit)
{
	return xenpt_error_create(XENPT_ERROR_FORMAT,
				  "%s: chunk at offset %" PRIu64
				  ": %s %u is more than the %u that a file may have",
				  source->file->path, source->position, what, number,
				  limit);
}

struct xenpt_error *xenpt_index_text(const struct source *source, size_t min, char **ret)
{
	const struct section_header *header = source->header;
	_cleanup_free_ char *buf = NULL;
	const char *why;

	*ret = NULL;
	if (header->flags || header->size > SECTION_TEXT_MAX || header->size < min)
		return xenpt_index_reject(source, "chunk of an impossible size");
	buf = calloc(1, header->size + 1);
	if (!buf)
		return xenpt_error_no_memory();
	XENPT_TRY(xenpt_index_payload(source->file, source->position, header, buf, &why));
	if (why)
		return xenpt_index_reject(source, why);
	*ret = no_cleanup_ptr(buf);
	return NULL;
}

static struct xenpt_error *index_file(const struct source *source)
{
	struct xenpt_file *file = source->file;
	_cleanup_free_ char *text = NULL;
	struct section_file fixed;

	XENPT_TRY(xenpt_index_text(source, sizeof(fixed), &text));
	if (!text)
		return NULL;
	memcpy(&fixed, text, sizeof(fixed));
	file->info.major = le16toh(fixed.major);
	file->info.minor = le16toh(fixed.minor);
	if (file->info.major != SECTION_MAJOR)
		return xenpt_error_create(
			XENPT_ERROR_UNSUPPORTED,
			"%s: has format %u.%u; this version of xenpt reads format %u",
			file->path, file->info.major, file->info.minor, SECTION_MAJOR);
	free(file->creator);
	file->creator = strdup(text + sizeof(fixed));
	return file->creator ? NULL : xenpt_error_no_memory();
}

static struct xenpt_error *index_cpu(const struct source *source)
{
	_cleanup_free_ char *text = NULL;
	struct section_cpu cpu;

	XENPT_TRY(xenpt_index_text(source, sizeof(cpu), &text));
	if (!text)
		return NULL;
	memcpy(&cpu, text, sizeof(cpu));
	source->file->info.cpu = (struct xenpt_cpu){
		.family = le16toh(cpu.family),
		.model = cpu.model,
		.stepping = cpu.stepping,
		.intel = cpu.intel,
		.nom_freq = cpu.nom_freq,
		.mtc_freq = cpu.mtc_freq,
		.cpuid_15_eax = le32toh(cpu.cpuid_15_eax),
		.cpuid_15_ebx = le32toh(cpu.cpuid_15_ebx),
		.time_shift = le16toh(cpu.time_shift),
		.time_mult = le32toh(cpu.time_mult),
		.time_zero = le64toh(cpu.time_zero),
	};
	return NULL;
}

struct xenpt_error *xenpt_index_vcpu(const struct source *source, struct vcpu **ret)
{
	uint32_t id = source->header->owner;
	struct vcpu *vcpu;

	if (id >= XENPT_VCPUS_MAX)
		return too_many(source, "vCPU", id, XENPT_VCPUS_MAX);
	vcpu = source->file->vcpus[id];
	if (!vcpu) {
		vcpu = calloc(1, sizeof(*vcpu));
		if (!vcpu)
			return xenpt_error_no_memory();
		vcpu->info.vcpu.id = id;
		source->file->vcpus[id] = vcpu;
	}
	*ret = vcpu;
	return NULL;
}

static struct xenpt_error *index_vcpu(const struct source *source)
{
	_cleanup_free_ char *text = NULL;
	struct vcpu *vcpu;

	XENPT_TRY(xenpt_index_vcpu(source, &vcpu));
	XENPT_TRY(xenpt_index_text(source, 0, &text));
	if (text && !vcpu->name)
		vcpu->name = no_cleanup_ptr(text);
	return NULL;
}

static struct xenpt_error *add_gap(struct vcpu *vcpu, uint64_t position, uint64_t offset,
				   unsigned int reason, uint64_t lost)
{
	struct xenpt_chunk *chunk = array_add(&vcpu->chunks);

	if (!chunk)
		return xenpt_error_no_memory();
	*chunk = (struct xenpt_chunk){
		.position = position,
		.offset = offset,
		.lost = lost,
		.type = XENPT_SECTION_GAP,
		.gap = reason,
	};
	vcpu->info.gaps++;
	if (__builtin_add_overflow(vcpu->info.lost, lost, &vcpu->info.lost))
		vcpu->info.lost = UINT64_MAX;
	return NULL;
}

/* TRACE and GAP: what a vCPU's trace is made of, in order. */
static struct xenpt_error *index_trace(const struct source *source)
{
	const struct section_header *header = source->header;
	struct xenpt_chunk *chunk;
	struct vcpu *vcpu;
	uint64_t next;

	XENPT_TRY(xenpt_index_vcpu(source, &vcpu));
	if (header->place < vcpu->next)
		return xenpt_index_reject(source, "trace goes back");
	if (__builtin_add_overflow(header->place, header->data_size, &next))
		return xenpt_index_reject(source, "trace of an impossible size");
	if (header->type == XENPT_SECTION_TRACE &&
	    (header->value < vcpu->epoch || header->value >= SECTION_EPOCHS_MAX))
		return xenpt_index_reject(source, XENPT_INDEX_EPOCH);
	/* What was between is lost, a gap without bytes perhaps. */
	if (header->place > vcpu->next ||
	    (header->type == XENPT_SECTION_TRACE && header->detail != vcpu->gaps)) {
		XENPT_TRY(add_gap(vcpu, source->position, vcpu->next, XENPT_GAP_DAMAGED,
				  header->place - vcpu->next));
		vcpu->next = header->place;
	}
	if (header->type == XENPT_SECTION_GAP) {
		vcpu->gaps++;
		return add_gap(vcpu, source->position, header->place,
			       header->detail <= UINT8_MAX ? header->detail : 0,
			       header->value);
	}
	vcpu->gaps = header->detail;
	if (!header->data_size)
		return NULL;
	chunk = array_add(&vcpu->chunks);
	if (!chunk)
		return xenpt_error_no_memory();
	*chunk = (struct xenpt_chunk){
		.position = source->position,
		.offset = header->place,
		.size = header->data_size,
		.epoch = header->value,
		.type = XENPT_SECTION_TRACE,
	};
	vcpu->epoch = header->value;
	xenpt_index_epoch(source->file, vcpu->epoch);
	vcpu->info.size += header->data_size;
	vcpu->next = next;
	return NULL;
}

static struct xenpt_error *index_image(const struct source *source)
{
	uint32_t id = source->header->owner, name_size, id_size;
	struct xenpt_file *file = source->file;
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char *name = NULL;
	_cleanup_free_ char *build_id = NULL;
	struct xenpt_image_info *image;
	struct section_image fixed;

	if (id >= XENPT_IMAGES_MAX)
		return too_many(source, "image", id, XENPT_IMAGES_MAX);
	XENPT_TRY(xenpt_index_text(source, sizeof(fixed), &text));
	if (!text)
		return NULL;
	memcpy(&fixed, text, sizeof(fixed));
	name_size = le32toh(fixed.name_size);
	id_size = le32toh(fixed.build_id_size);
	if ((uint64_t)name_size + id_size > source->header->size - sizeof(fixed))
		return xenpt_index_reject(source, XENPT_INDEX_NAMES);
	if (file->image_slots[id])
		return xenpt_index_reject(source, "image described twice");
	name = strndup(text + sizeof(fixed), name_size);
	build_id = strndup(text + sizeof(fixed) + name_size, id_size);
	if (!name || !build_id)
		return xenpt_error_no_memory();
	image = array_add(&file->images);
	if (!image)
		return xenpt_error_no_memory();
	*image = (struct xenpt_image_info){
		.id = id,
		.name = no_cleanup_ptr(name),
		.build_id = no_cleanup_ptr(build_id),
		.cr3 = source->header->value,
	};
	file->image_slots[id] = file->images.count;
	return NULL;
}

struct xenpt_error *xenpt_index_check(const struct source *source, bool *good_ret)
{
	const struct section_header *header = source->header;
	uint64_t position = source->position + sizeof(*header), left = header->size;
	uint32_t crc = 0;
	char buf[16384];

	while (left) {
		size_t size = left < sizeof(buf) ? left : sizeof(buf);

		if (!xenpt_pread(source->file->fd, buf, size, position))
			return xenpt_pread_error(source->file->path);
		crc = xenpt_crc32c(crc, buf, size);
		position += size;
		left -= size;
	}
	*good_ret = crc == header->payload_crc;
	return *good_ret ? NULL : xenpt_index_reject(source, BAD_PAYLOAD);
}

static struct xenpt_error *index_code(const struct source *source)
{
	const struct section_header *header = source->header;
	struct xenpt_file *file = source->file;
	struct xenpt_chunk *chunk;
	uint32_t slot;
	bool good;

	XENPT_TRY(xenpt_index_check(source, &good));
	if (!good || !header->data_size)
		return NULL;
	if (header->place > UINT64_MAX - (header->data_size - 1))
		return xenpt_index_reject(source, "code past the last address");
	chunk = array_add(&file->code);
	if (!chunk)
		return xenpt_error_no_memory();
	*chunk = (struct xenpt_chunk){
		.position = source->position,
		.offset = header->place,
		.cr3 = header->value,
		.size = header->data_size,
		.image = header->owner,
		.type = XENPT_SECTION_CODE,
	};
	file->info.code_size += header->data_size;
	slot = header->owner < XENPT_IMAGES_MAX ? file->image_slots[header->owner] : 0;
	if (slot)
		file->images.data[slot - 1].code_size += header->data_size;
	return NULL;
}

static struct xenpt_error *index_symbols(const struct source *source)
{
	struct xenpt_chunk *chunk;
	bool good;

	XENPT_TRY(xenpt_index_check(source, &good));
	if (!good)
		return NULL;
	chunk = array_add(&source->file->symbols);
	if (!chunk)
		return xenpt_error_no_memory();
	*chunk = (struct xenpt_chunk){
		.position = source->position,
		.size = source->header->data_size,
		.image = source->header->owner,
		.type = XENPT_SECTION_SYMBOLS,
	};
	return NULL;
}

struct xenpt_error *xenpt_index_chunk(void *arg, uint64_t position,
				      const struct section_header *header)
{
	struct xenpt_file *file = arg;
	struct source source = { file, position, header };

	if (++file->info.chunks > SECTION_CHUNKS_MAX)
		return xenpt_error_create(XENPT_ERROR_FORMAT, "%s: more than %u chunks",
					  file->path, SECTION_CHUNKS_MAX);
	switch (header->type) {
	case XENPT_SECTION_FILE:
		return index_file(&source);
	case XENPT_SECTION_END:
		file->ended = true;
		return NULL;
	case XENPT_SECTION_CPU:
		return index_cpu(&source);
	case XENPT_SECTION_VCPU:
		return index_vcpu(&source);
	case XENPT_SECTION_DOMAIN:
		return xenpt_index_domain(&source);
	case XENPT_SECTION_OUTCOME:
		return xenpt_index_outcome(&source);
	case XENPT_SECTION_TRACE:
	case XENPT_SECTION_GAP:
		return index_trace(&source);
	case XENPT_SECTION_REGISTERS:
		return xenpt_index_registers(&source);
	case XENPT_SECTION_IMAGE:
		return index_image(&source);
	case XENPT_SECTION_CODE:
		return index_code(&source);
	case XENPT_SECTION_SYMBOLS:
		return index_symbols(&source);
	case XENPT_SECTION_PAGES:
		return xenpt_index_pages(&source);
	case XENPT_SECTION_MAP:
		return xenpt_index_map(&source);
	default:
		return NULL; /* of a later minor version */
	}
}
