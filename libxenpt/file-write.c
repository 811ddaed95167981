/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/uio.h>

#include "cleanup.h"
#include "crc32c.h"
#include "file-write.h"

#define SYMBOL_SIZE_MAX 0xffff

static struct xenpt_error *write_failed(struct xenpt_writer *writer, int errnum)
{
	writer->errnum = errnum;
	return xenpt_error_os(errnum, "%s: cannot write", writer->name);
}

static struct xenpt_error *invalid(const struct xenpt_writer *writer, const char *what,
				   uint32_t id)
{
	return xenpt_error_create(XENPT_ERROR_INVALID, "%s: %s %u", writer->name, what,
				  id);
}

struct xenpt_error *xenpt_writer_check(struct xenpt_writer *writer)
{
	if (writer->errnum)
		return write_failed(writer, writer->errnum);
	if (writer->finished)
		return xenpt_error_create(XENPT_ERROR_INVALID, "%s: already finished",
					  writer->name);
	return NULL;
}

/* Take @size written bytes off the front. */
static void iov_advance(struct iovec **iov, int *count, size_t size)
{
	while (*count && size >= (*iov)->iov_len) {
		size -= (*iov)->iov_len;
		(*iov)++;
		(*count)--;
	}
	if (*count) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + size;
		(*iov)->iov_len -= size;
	}
}

static struct xenpt_error *write_all(struct xenpt_writer *writer, struct iovec *iov,
				     int count)
{
	while (count) {
		ssize_t written = writev(writer->fd, iov, count);

		if (written >= 0) {
			iov_advance(&iov, &count, written);
		} else if (errno == EAGAIN) {
			struct pollfd pollfd = { writer->fd, POLLOUT, 0 };

			poll(&pollfd, 1, -1);
		} else if (errno != EINTR) {
			return write_failed(writer, errno);
		}
	}
	return NULL;
}

/* Compress if that saves a sixteenth; less is not worth a reader's time. */
static const void *pack(struct xenpt_writer *writer, struct section_header *header,
			const void *data)
{
#ifdef HAVE_ZSTD
	size_t size = header->size, room = size - size / 16;

	if (size < 256 || room > sizeof(writer->packed))
		return data;
	size = ZSTD_compressCCtx(writer->zstd, writer->packed, room, data, size, 1);
	if (!ZSTD_isError(size)) {
		header->size = size;
		header->flags |= XENPT_SECTION_ZSTD;
		return writer->packed;
	}
#endif
	return data;
}

/* Chunks that describe stay legible to builds without zstd. */
static bool is_packed(unsigned int type)
{
	switch (type) {
	case XENPT_SECTION_TRACE:
	case XENPT_SECTION_CODE:
	case XENPT_SECTION_SYMBOLS:
	case XENPT_SECTION_PAGES:
	case XENPT_SECTION_MAP:
		return true;
	default:
		return false;
	}
}

struct xenpt_error *xenpt_writer_put(struct xenpt_writer *writer,
				     struct section_header header, const void *data,
				     size_t size)
{
	static const uint8_t zeros[8];
	struct iovec iov[3];

	/* The last one that a reader takes is kept for the end mark. */
	if (writer->sequence >= SECTION_CHUNKS_MAX - 1 &&
	    header.type != XENPT_SECTION_END)
		return xenpt_error_create(XENPT_ERROR_INVALID, "%s: more than %u chunks",
					  writer->name, SECTION_CHUNKS_MAX);
	header.file = writer->file;
	header.sequence = writer->sequence;
	header.size = header.data_size = size;
	if (is_packed(header.type))
		data = pack(writer, &header, data);
	header.payload_crc = xenpt_crc32c(0, data, header.size);
	iov[1] = (struct iovec){ (void *)data, header.size };
	iov[2] = (struct iovec){ (void *)zeros,
				 section_padded(header.size) - header.size };
	xenpt_section_seal(&header);
	iov[0] = (struct iovec){ &header, sizeof(header) };
	XENPT_TRY(write_all(writer, iov, 3));
	writer->sequence++;
	writer->size += sizeof(header) + section_padded(header.size);
	return NULL;
}

static struct xenpt_error *put_file(struct xenpt_writer *writer)
{
	struct {
		struct section_file fixed;
		char creator[sizeof(PACKAGE_STRING) - 1];
	} payload = { { htole16(SECTION_MAJOR), htole16(SECTION_MINOR), 0 }, "" };

	memcpy(payload.creator, PACKAGE_STRING, sizeof(payload.creator));
	return xenpt_writer_put(
		writer, (struct section_header){ .type = XENPT_SECTION_FILE }, &payload,
		offsetof(typeof(payload), creator) + sizeof(payload.creator));
}

XENPT_DEFINE_CLEANUP(struct xenpt_writer, writer, xenpt_writer_destroy)

struct xenpt_error *xenpt_writer_create(int fd, const char *name,
					struct xenpt_writer **ret)
{
	_cleanup_(writer_cleanup) struct xenpt_writer *writer =
		calloc(1, sizeof(*writer));

	if (!writer)
		return xenpt_error_no_memory();
	writer->fd = fd;
	writer->name = strdup(name);
	if (!writer->name)
		return xenpt_error_no_memory();
#ifdef HAVE_ZSTD
	writer->zstd = ZSTD_createCCtx();
	if (!writer->zstd)
		return xenpt_error_no_memory();
#endif
	if (getrandom(&writer->file, sizeof(writer->file), 0) < 0)
		return xenpt_error_os(errno, "%s: no random number", name);
	XENPT_TRY(put_file(writer));
	*ret = no_cleanup_ptr(writer);
	return NULL;
}

void xenpt_writer_destroy(struct xenpt_writer *writer)
{
	if (!writer)
		return;
#ifdef HAVE_ZSTD
	ZSTD_freeCCtx(writer->zstd);
#endif
	free(writer->name);
	free(writer);
}

struct xenpt_error *xenpt_writer_cpu(struct xenpt_writer *writer,
				     const struct xenpt_cpu *cpu)
{
	struct section_cpu payload = {
		.family = htole16(cpu->family),
		.model = cpu->model,
		.stepping = cpu->stepping,
		.intel = cpu->intel,
		.nom_freq = cpu->nom_freq,
		.mtc_freq = cpu->mtc_freq,
		.cpuid_15_eax = htole32(cpu->cpuid_15_eax),
		.cpuid_15_ebx = htole32(cpu->cpuid_15_ebx),
		.time_mult = htole32(cpu->time_mult),
		.time_shift = htole16(cpu->time_shift),
		.time_zero = htole64(cpu->time_zero),
	};

	XENPT_TRY(xenpt_writer_check(writer));
	if (writer->cpu || writer->trace)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "%s: the CPU is described once, first",
					  writer->name);
	XENPT_TRY(xenpt_writer_put(writer,
				   (struct section_header){ .type = XENPT_SECTION_CPU },
				   &payload, sizeof(payload)));
	writer->cpu = true;
	return NULL;
}

struct xenpt_error *xenpt_writer_vcpu(struct xenpt_writer *writer,
				      const struct xenpt_vcpu *vcpu)
{
	struct section_header header = { .type = XENPT_SECTION_VCPU, .owner = vcpu->id };

	XENPT_TRY(xenpt_writer_check(writer));
	if (vcpu->id >= XENPT_VCPUS_MAX)
		return invalid(writer, "too high a number: vCPU", vcpu->id);
	if (writer->vcpus[vcpu->id].known)
		return invalid(writer, "announced twice: vCPU", vcpu->id);
	if (strlen(vcpu->name) > XENPT_NAME_SIZE_MAX)
		return invalid(writer, "too long a name: vCPU", vcpu->id);
	XENPT_TRY(xenpt_writer_put(writer, header, vcpu->name, strlen(vcpu->name)));
	writer->vcpus[vcpu->id].known = true;
	return NULL;
}

struct xenpt_error *xenpt_writer_check_vcpu(struct xenpt_writer *writer, uint32_t vcpu)
{
	XENPT_TRY(xenpt_writer_check(writer));
	if (vcpu >= XENPT_VCPUS_MAX || !writer->vcpus[vcpu].known)
		return invalid(writer, "not announced: vCPU", vcpu);
	writer->trace = true;
	return NULL;
}

struct xenpt_error *xenpt_writer_trace(struct xenpt_writer *writer, uint32_t vcpu,
				       const void *data, size_t size)
{
	const uint8_t *p = data;

	XENPT_TRY(xenpt_writer_check_vcpu(writer, vcpu));
	while (size) {
		size_t piece = size < SECTION_TRACE_MAX ? size : SECTION_TRACE_MAX;
		struct section_header header = {
			.type = XENPT_SECTION_TRACE,
			.owner = vcpu,
			.detail = writer->vcpus[vcpu].gaps,
			.place = writer->vcpus[vcpu].offset,
			.value = writer->epoch,
		};

		XENPT_TRY(xenpt_writer_put(writer, header, p, piece));
		writer->vcpus[vcpu].offset += piece;
		p += piece;
		size -= piece;
	}
	return NULL;
}

struct xenpt_error *xenpt_writer_gap(struct xenpt_writer *writer, uint32_t vcpu,
				     enum xenpt_gap_reason reason, uint64_t lost)
{
	struct section_header header = {
		.type = XENPT_SECTION_GAP,
		.owner = vcpu,
		.detail = reason,
		.value = lost,
	};

	XENPT_TRY(xenpt_writer_check_vcpu(writer, vcpu));
	header.place = writer->vcpus[vcpu].offset;
	XENPT_TRY(xenpt_writer_put(writer, header, NULL, 0));
	writer->vcpus[vcpu].gaps++;
	return NULL;
}

struct xenpt_error *xenpt_writer_image(struct xenpt_writer *writer,
				       const struct xenpt_image_info *image)
{
	size_t name_size = strlen(image->name), id_size = strlen(image->build_id);
	struct section_header header = {
		.type = XENPT_SECTION_IMAGE,
		.owner = image->id,
		.value = image->cr3,
	};
	struct {
		struct section_image fixed;
		char text[2 * XENPT_NAME_SIZE_MAX];
	} payload = { .fixed = { htole32(name_size), htole32(id_size) } };

	XENPT_TRY(xenpt_writer_check(writer));
	if (image->id >= XENPT_IMAGES_MAX)
		return invalid(writer, "too high a number: image", image->id);
	if (writer->images[image->id])
		return invalid(writer, "described twice: image", image->id);
	if (name_size > XENPT_NAME_SIZE_MAX || id_size > XENPT_NAME_SIZE_MAX)
		return invalid(writer, "too long a name: image", image->id);
	memcpy(payload.text, image->name, name_size);
	memcpy(payload.text + name_size, image->build_id, id_size);
	XENPT_TRY(xenpt_writer_put(writer, header, &payload,
				   sizeof(payload.fixed) + name_size + id_size));
	writer->images[image->id] = true;
	return NULL;
}

static struct xenpt_error *check_image(struct xenpt_writer *writer, uint32_t image)
{
	XENPT_TRY(xenpt_writer_check(writer));
	if (image >= XENPT_IMAGES_MAX || !writer->images[image])
		return invalid(writer, "not described: image", image);
	return NULL;
}

struct xenpt_error *xenpt_writer_code(struct xenpt_writer *writer, uint32_t image,
				      uint64_t cr3, uint64_t address, const void *data,
				      size_t size)
{
	const uint8_t *p = data;

	XENPT_TRY(check_image(writer, image));
	if (size && address > UINT64_MAX - (size - 1))
		return invalid(writer, "code past the last address: image", image);
	while (size) {
		size_t piece = size < SECTION_CODE_MAX ? size : SECTION_CODE_MAX;
		struct section_header header = {
			.type = XENPT_SECTION_CODE,
			.owner = image,
			.place = address,
			.value = cr3,
		};

		XENPT_TRY(xenpt_writer_put(writer, header, p, piece));
		p += piece;
		address += piece;
		size -= piece;
	}
	return NULL;
}

/*
 * How many of @symbols fit a chunk: at least one, as a name is cut to
 * SYMBOL_SIZE_MAX. @names_ret: bytes that their names need.
 */
static size_t count_fitting(const struct xenpt_symbol *symbols, size_t count,
			    size_t *names_ret)
{
	size_t size = sizeof(struct section_symbols), names = 0, i;

	for (i = 0; i < count; i++) {
		size_t name = strnlen(symbols[i].name, SYMBOL_SIZE_MAX) + 1;

		size += sizeof(struct section_symbol) + name;
		if (size > SECTION_CODE_MAX)
			break;
		names += name;
	}
	*names_ret = names;
	return i;
}

static struct xenpt_error *put_symbols(struct xenpt_writer *writer, uint32_t image,
				       const struct xenpt_symbol *symbols, size_t count,
				       size_t names_size)
{
	struct section_header header = { .type = XENPT_SECTION_SYMBOLS, .owner = image };
	size_t size = sizeof(struct section_symbols) +
		      count * sizeof(struct section_symbol) + names_size;
	_cleanup_free_ struct section_symbols *payload = calloc(1, size);
	struct section_symbol *entry = (void *)(payload + 1);
	char *names = (char *)(entry + count);
	uint32_t name = 0;

	if (!payload)
		return xenpt_error_no_memory();
	payload->count = htole32(count);
	for (size_t i = 0; i < count; i++) {
		size_t len = strnlen(symbols[i].name, SYMBOL_SIZE_MAX);

		entry[i].address = htole64(symbols[i].address);
		entry[i].size = htole64(symbols[i].size);
		entry[i].name = htole32(name);
		memcpy(names + name, symbols[i].name, len);
		name += len + 1;
	}
	return xenpt_writer_put(writer, header, payload, size);
}

struct xenpt_error *xenpt_writer_symbols(struct xenpt_writer *writer, uint32_t image,
					 const struct xenpt_symbol *symbols, size_t count)
{
	XENPT_TRY(check_image(writer, image));
	while (count) {
		size_t names, fitting = count_fitting(symbols, count, &names);

		XENPT_TRY(put_symbols(writer, image, symbols, fitting, names));
		symbols += fitting;
		count -= fitting;
	}
	return NULL;
}

uint64_t xenpt_writer_size(const struct xenpt_writer *writer)
{
	return writer->size;
}

struct xenpt_error *xenpt_writer_finish(struct xenpt_writer *writer)
{
	XENPT_TRY(xenpt_writer_check(writer));
	XENPT_TRY(xenpt_writer_put(
		writer, (struct section_header){ .type = XENPT_SECTION_END }, NULL, 0));
	writer->finished = true;
	return NULL;
}
