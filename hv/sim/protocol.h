/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What xenpt and xenpt-sim say to each other, over a Unix socket of type
 * SOCK_SEQPACKET: a message is one packet. Both ends are of one build: the layout is
 * the host's.
 *
 * The socket is DIR/NAME.sock, with DIR $XDG_RUNTIME_DIR/xenpt-sim or
 * /tmp/xenpt-sim-UID, mode 0700. One client at a time: others are told EBUSY, and by
 * whom. When the client goes, all that it set up is undone, and the domain runs on.
 *
 * xenpt-sim ends when its guest has ended and nobody is attached; when the client goes
 * to whom the guest crashed; and when who started it goes, or never comes, before it
 * was let run (SIM_RESUME).
 *
 *	client                          xenpt-sim
 *	SIM_HELLO ───────────────────▶
 *	◀────────────── reply, with the memfd of guest memory: offset = address
 *	request … ───────────────────▶
 *	◀─────────────────── SIM_EVENT … at any time, then the reply
 */
#ifndef HV_SIM_PROTOCOL_H
#define HV_SIM_PROTOCOL_H

#include <sys/socket.h>
#include <sys/un.h>

#include "libxenpt/xenpt.h"

#define SIM_PROTOCOL_VERSION 1
#define SIM_NAME_MAX 64
#define SIM_TEXT_MAX 4096

enum sim_op {
	/* a: version; b: 1 to look only, not to attach. reply: struct sim_hello, which
	 * also comes with EBUSY. */
	SIM_HELLO = 1,
	SIM_POPULATE,   /* a: first gfn, b: pages; of the window: they are the buffer's */
	SIM_DEPOPULATE, /* the same */
	/* vcpu; a: OUTPUT_BASE (a ToPA table), b: RTIT_CTL without TraceEn, c: CR3_MATCH,
	 * d: flags, e: size of the ring; ranges[]. The vCPU's PT is the client's. */
	SIM_SETUP,
	SIM_ENABLE,   /* vcpu: TraceEn */
	SIM_DISABLE,  /* vcpu: what is held back is put out */
	SIM_TEARDOWN, /* vcpu: as before SETUP */
	SIM_POSITION, /* vcpu; reply a: total, b: OUTPUT_BASE, c: MASK_PTRS, d: STATUS, e:
			 1: fault */
	SIM_CONSUME,  /* vcpu; a: total */
	SIM_RESET,    /* vcpu, disabled: STATUS, pointers and total as after SETUP */
	SIM_PAUSE,    /* all vCPUs, trace in memory */
	SIM_RESUME,   /* after SIM_PAUSE or SIM_EVENT_CODE */
	SIM_REGISTERS, /* vcpu, paused; reply: struct xenpt_registers */
	SIM_CONSOLE,   /* reply: text */
	SIM_EVENT =
		64, /* from xenpt-sim: a: enum hv_event_type, vcpu, b: enum hv_state */
	SIM_REPLY,  /* from xenpt-sim; status 0, or an errno, and text says why */
};

enum sim_setup_flags {
	SIM_SETUP_LOSSLESS = 1 << 0,
	SIM_SETUP_WATCH_CODE = 1 << 1,
};

struct sim_hello {
	uint32_t version, vcpus;
	uint64_t ram_size;
	uint64_t window_base, window_size; /* where buffers may be populated */
	struct xenpt_cpu cpu;
	int64_t pid;
	int64_t client; /* who is attached; 0: nobody */
	uint32_t state; /* enum hv_state */
	uint32_t held;  /* not started yet: SIM_RESUME starts it */
	/* What the scenario asks of the buffer; 0: as the client likes. */
	uint32_t want_tiny, want_stop;
	char topa[128];  /* sizes of the regions: "4k,64k,4k"; "": as the client likes */
	char kernel[64]; /* a path to the guest's ELF file */
	char name[SIM_NAME_MAX], scenario[128];
};

struct sim_message {
	uint32_t op; /* enum sim_op */
	uint32_t vcpu;
	int32_t status;
	uint32_t size; /* of what follows in the packet */
	uint64_t a, b, c, d, e;
	uint64_t ranges[8]; /* ADDRn_A, ADDRn_B */
};

/* A packet: the message, and what follows it. */
struct sim_packet {
	struct sim_message message;
	union {
		struct sim_hello hello;
		struct xenpt_registers registers;
		char text[SIM_TEXT_MAX]; /* NUL-terminated */
	};
};

/* How long it waits, held, for who started it. */
#define SIM_HELD_SECONDS 10

/* The directory of the sockets, which is made if it is not there; the user's alone. */
struct xenpt_error *sim_directory(char **ret);

/* Whether a domain can be called so: letters, digits, '-', '_', '.', not first. */
bool sim_name_is_valid(const char *name);

/* Where a domain's socket is. The name must be valid. */
struct xenpt_error *sim_address(const char *name, struct sockaddr_un *ret);

#endif
