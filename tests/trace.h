/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes PT packets with libipt's encoder, and .xpt files of them, for tests. */
#ifndef TESTS_TRACE_H
#define TESTS_TRACE_H

#include <intel-pt.h>
#include <stdint.h>

#include "libxenpt/xenpt.h"

struct trace {
	uint8_t *data;
	size_t size, capacity;
};

void trace_deinit(struct trace *trace);

/* Any packet. */
void trace_packet(struct trace *trace, const struct pt_packet *packet);

/* Bytes that need not be a packet. */
void trace_bytes(struct trace *trace, const void *data, size_t size);

/* What a PSB+ says; what is 0 is left out. */
struct psb {
	uint64_t tsc, cr3, vmcs, ip;
	uint8_t cbr;
	int mode;    /* 16, 32, 64 */
	bool no_end; /* leave out the PSBEND */
};
void trace_psb_plus(struct trace *trace, const struct psb *psb);

void trace_type(struct trace *trace, enum pt_packet_type type);
void trace_ip(struct trace *trace, enum pt_packet_type type, uint64_t ip);
void trace_no_ip(struct trace *trace, enum pt_packet_type type);
void trace_tnt(struct trace *trace, const char *bits); /* "110": the oldest first */
void trace_pip(struct trace *trace, uint64_t cr3, bool nr);
void trace_mode_exec(struct trace *trace, int mode);
void trace_tsc(struct trace *trace, uint64_t tsc);

/* A file in memory that is being written; path: to open it by. */
struct test_file {
	int fd;
	char path[64];
	struct xenpt_writer *writer;
};
void test_file_init(struct test_file *file);
void test_file_deinit(struct test_file *file);

/* Announce image 0 and a vCPU. */
void describe_code(struct xenpt_writer *writer);
void describe_vcpu(struct xenpt_writer *writer, uint32_t id);

/* Finish it and open it for reading. */
struct xenpt_file *test_file_open(struct test_file *file);

/* End the test program if @err is one, with its message. */
void check_error(struct xenpt_error *err);

#endif
