/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The .xpt file on disk: xenpt-file(5) is the specification of what is here.
 *
 *	+--------+---------+---+--------+---------+---+--
 *	| header | payload | 0 | header | payload | 0 | …
 *	+--------+---------+---+--------+---------+---+--
 *	  72 bytes           up to a multiple of 8
 *
 * What places a chunk (whose trace, which address) is in the header, under the
 * header's CRC: an index of the file is made without reading any trace.
 */
#ifndef XENPT_SECTION_H
#define XENPT_SECTION_H

#include <assert.h>
#include <stdint.h>

/* Not text: a transfer that rewrites line ends or the eighth bit spoils it. */
#define SECTION_MAGIC "\x89XPT\r\n\x1a\n"

#define SECTION_MAJOR 1
#define SECTION_MINOR 1

#define SECTION_DATA_MAX (16u << 20)   /* bytes of data in a chunk */
#define SECTION_TRACE_MAX (256u << 10) /* the writer's chunks of trace */
#define SECTION_CODE_MAX (1u << 20)    /* … of code and symbols */
#define SECTION_PAGES_MAX (256u << 10) /* … of memory and mappings */
#define SECTION_TEXT_MAX (64u << 10)   /* payload of a chunk that describes */
#define SECTION_CHUNKS_MAX (1u << 22)
#define SECTION_EPOCHS_MAX (1u << 31)

/* Free numbers are left for what a later recorder knows. */
enum xenpt_section_type {
	XENPT_SECTION_FILE = 1,
	XENPT_SECTION_END = 2,
	XENPT_SECTION_CPU = 16,
	XENPT_SECTION_VCPU = 17,
	XENPT_SECTION_DOMAIN = 18,
	XENPT_SECTION_OUTCOME = 19,
	XENPT_SECTION_TRACE = 32,
	XENPT_SECTION_GAP = 33,
	XENPT_SECTION_REGISTERS = 34,
	XENPT_SECTION_IMAGE = 48,
	XENPT_SECTION_CODE = 49,
	XENPT_SECTION_SYMBOLS = 50,
	XENPT_SECTION_PAGES = 64,
	XENPT_SECTION_MAP = 65,
};

enum xenpt_section_flags {
	XENPT_SECTION_ZSTD = 1 << 0, /* the payload is one zstd frame */
};

/* All numbers are little-endian. */
struct section_header {
	uint8_t magic[8];
	uint64_t file;     /* random, the same in all chunks of a file */
	uint64_t sequence; /* 0, 1, 2, … */
	uint16_t type;
	uint16_t flags;
	uint32_t data_size; /* of the payload when decompressed */
	uint64_t size;      /* of the payload as stored, without padding */
	uint32_t owner;     /* VCPU, TRACE, GAP, REGISTERS: vCPU; others: image */
	uint32_t detail;    /* GAP: reason; TRACE: gaps before it; PAGES, MAP: epoch */
	uint64_t place;     /* offset in the trace; CODE, PAGES: address */
	uint64_t value;     /* GAP: bytes lost; TRACE: epoch; others: CR3 */
	uint32_t payload_crc;
	uint32_t header_crc; /* of all before it */
};
static_assert(sizeof(struct section_header) == 72, "on disk");

/* FILE, then the creator's name. */
struct section_file {
	uint16_t major, minor;
	uint32_t reserved;
};
static_assert(sizeof(struct section_file) == 8, "on disk");

/* CPU. */
struct section_cpu {
	uint16_t family;
	uint8_t model, stepping;
	uint8_t intel, nom_freq, mtc_freq, reserved;
	uint32_t cpuid_15_eax, cpuid_15_ebx;
	uint32_t time_mult;
	uint16_t time_shift, reserved2;
	uint64_t time_zero;
};
static_assert(sizeof(struct section_cpu) == 32, "on disk");

/* DOMAIN, then the name, the UUID, the type, and the back-end. */
struct section_domain {
	uint32_t name_size, uuid_size, type_size, backend_size;
	uint32_t vcpus, reserved;
	uint64_t memory;
};
static_assert(sizeof(struct section_domain) == 32, "on disk");

/* OUTCOME, then why, then what the console last said. */
struct section_outcome {
	uint32_t why_size, console_size;
	uint8_t crashed, reserved[7];
};
static_assert(sizeof(struct section_outcome) == 16, "on disk");

/* REGISTERS: as struct xenpt_registers has them. */
struct section_registers {
	uint64_t numbers[30];
	uint16_t cs, ss;
	uint8_t cpl, mode, reserved[2];
};
static_assert(sizeof(struct section_registers) == 248, "on disk");

/* MAP: so many of them. */
struct section_mapping {
	uint64_t address, gpa; /* of pages; gpa of all ones: none could be read */
};
static_assert(sizeof(struct section_mapping) == 16, "on disk");

/* IMAGE, then the name, then the build id. */
struct section_image {
	uint32_t name_size, build_id_size;
};
static_assert(sizeof(struct section_image) == 8, "on disk");

/* SYMBOLS, then the symbols, then their names, each ended by a zero byte. */
struct section_symbols {
	uint32_t count, reserved;
};
static_assert(sizeof(struct section_symbols) == 8, "on disk");

struct section_symbol {
	uint64_t address, size;
	uint32_t name; /* offset from the first name */
	uint32_t reserved;
};
static_assert(sizeof(struct section_symbol) == 24, "on disk");

/* A payload's size with its padding. */
static inline uint64_t section_padded(uint64_t size)
{
	return (size + 7) & ~UINT64_C(7);
}

/*
 * Fill in the magic, byte order and CRC: @header's members are the host's
 * before, and the file's after.
 */
void xenpt_section_seal(struct section_header *header);

/*
 * The way back, from bytes of a file. NULL, or why this is no header of a chunk
 * that can be read: a static text. @ret is left alone then.
 */
const char *xenpt_section_open(const void *bytes, struct section_header *ret);

#endif
