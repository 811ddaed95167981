/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * scenario=paths: the guest's own log of the way that it went, in its memory. It has an
 * entry for each time that a "point" ran: the instruction that takes the next number, in
 * the log function of the kernel or of a program. The numbers are so the order in which
 * the points ran, whatever came between a point and the writing of its entry.
 *
 * An entry is in slot number % PATH_SLOTS, and an older one is written over; one that
 * does not have the number that its slot should have is not there (yet). Numbers count
 * from 1, and the guest panics before they come around.
 *
 * A beacon is how the way itself tells the number: nine entries without any between them.
 * The first has the address path_log.beacon, and the others one of the 16 digits'
 * each: its own number, the highest digit first.
 */
#ifndef HV_SIM_GUEST_PATH_H
#define HV_SIM_GUEST_PATH_H

#define PATH_BASE 0x01e00000 /* guest-physical; 2 MiB */
#define PATH_ENTRIES 0x1000  /* from there on */
#define PATH_COUNT 8         /* struct path_log: count */
#define PATH_SLOTS_SHIFT 16  /* log functions count slots in 16 bits */
#define PATH_LAST 0xf0000000 /* about the last number */
#define PATH_DIGIT_SHIFT 3   /* from the address of a digit to the next one's */
#define PATH_CALL_SIZE 5     /* all calls of log functions are CALL rel32 */

#ifndef __ASSEMBLER__
#include <stdint.h>

#define PATH_MAGIC 0x676f6c2d68746170 /* "path-log" */
#define PATH_SLOTS (1u << PATH_SLOTS_SHIFT)
#define PATH_SPACES 8
#define PATH_DIGITS 8 /* of a beacon */

struct path_entry {
	uint64_t address; /* where the log function was called from: it returns there */
	uint32_t space;   /* CR3 / 4096: as the kernel reads it, or the process' own page
			     says */
	uint32_t number;
};

/* A process; its code is in the lower half, and the kernel's in the upper one. */
struct path_space {
	uint64_t cr3;
	uint64_t log, point; /* addresses of its log function, and of the point in it */
	char name[16];
};

/* What somebody outside asks of the kernel, who does it at the end of a round. */
enum path_request {
	PATH_DONE,
	PATH_FAILED,
	PATH_TAKE, /* give frame back to the hypervisor */
	PATH_SWAP, /* two of the 512 words of frame change places */
};

struct path_log {
	uint64_t magic;
	uint32_t count; /* the next entry's number */
	uint32_t slots;
	uint64_t log, point; /* the kernel's */
	uint64_t beacon, digits;
	uint32_t space_count, reserved;
	struct path_space spaces[PATH_SPACES];
	uint32_t request; /* enum path_request: written last, and by the kernel then */
	uint32_t words[2];
	uint32_t reserved2;
	uint64_t frame;
};
#endif

#endif
