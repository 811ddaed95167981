/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <endian.h>
#include <stdbool.h>
#include <string.h>

#include "crc32c.h"
#include "section.h"

static uint32_t header_crc(const struct section_header *header)
{
	return xenpt_crc32c(0, header, offsetof(struct section_header, header_crc));
}

void xenpt_section_seal(struct section_header *header)
{
	memcpy(header->magic, SECTION_MAGIC, sizeof(header->magic));
	header->file = htole64(header->file);
	header->sequence = htole64(header->sequence);
	header->type = htole16(header->type);
	header->flags = htole16(header->flags);
	header->data_size = htole32(header->data_size);
	header->size = htole64(header->size);
	header->owner = htole32(header->owner);
	header->detail = htole32(header->detail);
	header->place = htole64(header->place);
	header->value = htole64(header->value);
	header->payload_crc = htole32(header->payload_crc);
	header->header_crc = htole32(header_crc(header));
}

/* Both sizes are capped here, so that sums with them cannot overflow. */
static bool size_is_possible(const struct section_header *header)
{
	if (header->data_size > SECTION_DATA_MAX || header->size > SECTION_DATA_MAX)
		return false;
	return header->flags & XENPT_SECTION_ZSTD || header->size == header->data_size;
}

const char *xenpt_section_open(const void *bytes, struct section_header *ret)
{
	struct section_header header;

	memcpy(&header, bytes, sizeof(header));
	if (memcmp(header.magic, SECTION_MAGIC, sizeof(header.magic)))
		return "not the header of a chunk";
	if (le32toh(header.header_crc) != header_crc(&header))
		return "bad checksum of a chunk's header";
	header.file = le64toh(header.file);
	header.sequence = le64toh(header.sequence);
	header.type = le16toh(header.type);
	header.flags = le16toh(header.flags);
	header.data_size = le32toh(header.data_size);
	header.size = le64toh(header.size);
	header.owner = le32toh(header.owner);
	header.detail = le32toh(header.detail);
	header.place = le64toh(header.place);
	header.value = le64toh(header.value);
	header.payload_crc = le32toh(header.payload_crc);
	header.header_crc = le32toh(header.header_crc);
	if (!size_is_possible(&header))
		return "chunk of an impossible size";
	*ret = header;
	return NULL;
}
