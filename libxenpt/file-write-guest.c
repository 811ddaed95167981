/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a recording of a domain has besides the trace: memory, registers, its end. */
#include <endian.h>
#include <string.h>

#include "cleanup.h"
#include "file-write.h"
#include "mem.h"

/* What a console said last; the payload must not be above SECTION_TEXT_MAX. */
#define CONSOLE_SIZE_MAX (32u << 10)

static struct xenpt_error *invalid(const struct xenpt_writer *writer, const char *what)
{
	return xenpt_error_create(XENPT_ERROR_INVALID, "%s: %s", writer->name, what);
}

struct xenpt_error *xenpt_writer_domain(struct xenpt_writer *writer,
					const struct xenpt_domain *domain)
{
	const char *const texts[] = { domain->name, domain->uuid, domain->type,
				      domain->backend };
	struct {
		struct section_domain fixed;
		char text[4 * XENPT_NAME_SIZE_MAX];
	} payload = { .fixed = {
			      .name_size = htole32(strlen(domain->name)),
			      .uuid_size = htole32(strlen(domain->uuid)),
			      .type_size = htole32(strlen(domain->type)),
			      .backend_size = htole32(strlen(domain->backend)),
			      .vcpus = htole32(domain->vcpus),
			      .memory = htole64(domain->memory),
		      } };
	size_t size = 0;

	XENPT_TRY(xenpt_writer_check(writer));
	if (writer->domain || writer->trace)
		return invalid(writer, "the domain is described once, first");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		size_t len = strlen(texts[i]);

		if (len > XENPT_NAME_SIZE_MAX)
			return invalid(writer, "too long a name of a domain");
		memcpy(payload.text + size, texts[i], len);
		size += len;
	}
	XENPT_TRY(xenpt_writer_put(
		writer, (struct section_header){ .type = XENPT_SECTION_DOMAIN }, &payload,
		sizeof(payload.fixed) + size));
	writer->domain = true;
	return NULL;
}

struct xenpt_error *xenpt_writer_outcome(struct xenpt_writer *writer,
					 const struct xenpt_outcome *outcome)
{
	size_t why_size = strlen(outcome->why), console_size = strlen(outcome->console);
	const char *console = outcome->console;
	struct {
		struct section_outcome fixed;
		char text[XENPT_NAME_SIZE_MAX + CONSOLE_SIZE_MAX];
	} payload = {};

	XENPT_TRY(xenpt_writer_check(writer));
	if (writer->outcome)
		return invalid(writer, "there is one outcome");
	if (why_size > XENPT_NAME_SIZE_MAX)
		return invalid(writer, "too long a reason");
	/* What came last tells most. */
	if (console_size > CONSOLE_SIZE_MAX) {
		console += console_size - CONSOLE_SIZE_MAX;
		console_size = CONSOLE_SIZE_MAX;
	}
	payload.fixed.why_size = htole32(why_size);
	payload.fixed.console_size = htole32(console_size);
	payload.fixed.crashed = outcome->crashed;
	memcpy(payload.text, outcome->why, why_size);
	memcpy(payload.text + why_size, console, console_size);
	XENPT_TRY(xenpt_writer_put(
		writer, (struct section_header){ .type = XENPT_SECTION_OUTCOME },
		&payload, sizeof(payload.fixed) + why_size + console_size));
	writer->outcome = true;
	return NULL;
}

struct xenpt_error *xenpt_writer_registers(struct xenpt_writer *writer, uint32_t vcpu,
					   const struct xenpt_registers *regs)
{
	struct section_header header = { .type = XENPT_SECTION_REGISTERS, .owner = vcpu };
	struct section_registers payload;

	_Static_assert(offsetof(struct xenpt_registers, cs) == sizeof(payload.numbers),
		       "the numbers of the file");
	XENPT_TRY(xenpt_writer_check_vcpu(writer, vcpu));
	header.place = writer->vcpus[vcpu].offset;
	memcpy(payload.numbers, regs, sizeof(payload.numbers));
	for (size_t i = 0; i < sizeof(payload.numbers) / sizeof(payload.numbers[0]); i++)
		payload.numbers[i] = htole64(payload.numbers[i]);
	payload.cs = htole16(regs->cs);
	payload.ss = htole16(regs->ss);
	payload.cpl = regs->cpl;
	payload.mode = regs->mode;
	payload.reserved[0] = payload.reserved[1] = 0;
	return xenpt_writer_put(writer, header, &payload, sizeof(payload));
}

struct xenpt_error *xenpt_writer_epoch(struct xenpt_writer *writer)
{
	XENPT_TRY(xenpt_writer_check(writer));
	if (writer->epoch == SECTION_EPOCHS_MAX - 1)
		return invalid(writer, "too many epochs");
	writer->epoch++;
	return NULL;
}

struct xenpt_error *xenpt_writer_pages(struct xenpt_writer *writer, uint64_t gpa,
				       const void *data, size_t size)
{
	const uint8_t *p = data;

	XENPT_TRY(xenpt_writer_check(writer));
	if (gpa % XENPT_PAGE_SIZE || size % XENPT_PAGE_SIZE)
		return invalid(writer, "memory is written in whole pages");
	if (size && gpa > UINT64_MAX - (size - 1))
		return invalid(writer, "memory past the last address");
	while (size) {
		size_t piece = size < SECTION_PAGES_MAX ? size : SECTION_PAGES_MAX;
		struct section_header header = {
			.type = XENPT_SECTION_PAGES,
			.detail = writer->epoch,
			.place = gpa,
		};

		XENPT_TRY(xenpt_writer_put(writer, header, p, piece));
		p += piece;
		gpa += piece;
		size -= piece;
	}
	return NULL;
}

static struct xenpt_error *put_map(struct xenpt_writer *writer, uint64_t cr3,
				   const struct xenpt_mapping *mappings, size_t count)
{
	_cleanup_free_ struct section_mapping *payload =
		reallocarray(NULL, count, sizeof(*payload));
	struct section_header header = {
		.type = XENPT_SECTION_MAP,
		.detail = writer->epoch,
		.value = cr3,
	};

	if (!payload)
		return xenpt_error_no_memory();
	for (size_t i = 0; i < count; i++) {
		uint64_t gpa = mappings[i].gpa;

		if (mappings[i].address % XENPT_PAGE_SIZE ||
		    (gpa != XENPT_GPA_NONE && gpa % XENPT_PAGE_SIZE))
			return invalid(writer, "a mapping is one of pages");
		payload[i].address = htole64(mappings[i].address);
		payload[i].gpa = htole64(gpa);
	}
	return xenpt_writer_put(writer, header, payload, count * sizeof(*payload));
}

struct xenpt_error *xenpt_writer_map(struct xenpt_writer *writer, uint64_t cr3,
				     const struct xenpt_mapping *mappings, size_t count)
{
	const size_t max = SECTION_PAGES_MAX / sizeof(struct section_mapping);

	XENPT_TRY(xenpt_writer_check(writer));
	while (count) {
		size_t piece = count < max ? count : max;

		XENPT_TRY(put_map(writer, cr3, mappings, piece));
		mappings += piece;
		count -= piece;
	}
	return NULL;
}
