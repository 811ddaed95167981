/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "trace.h"

static void die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(99);
}

void check_error(struct xenpt_error *err)
{
	if (err)
		die(err->message);
}

void trace_deinit(struct trace *trace)
{
	free(trace->data);
	*trace = (struct trace){};
}

void trace_bytes(struct trace *trace, const void *data, size_t size)
{
	if (trace->size + size > trace->capacity) {
		trace->capacity = 2 * (trace->size + size);
		trace->data = realloc(trace->data, trace->capacity);
		if (!trace->data)
			die("out of memory");
	}
	memcpy(trace->data + trace->size, data, size);
	trace->size += size;
}

void trace_packet(struct trace *trace, const struct pt_packet *packet)
{
	struct pt_encoder *encoder;
	struct pt_config config;
	uint8_t buf[32];
	int size;

	pt_config_init(&config);
	config.begin = buf;
	config.end = buf + sizeof(buf);
	encoder = pt_alloc_encoder(&config);
	if (!encoder)
		die("no encoder");
	size = pt_enc_next(encoder, packet);
	pt_free_encoder(encoder);
	if (size < 0)
		die(pt_errstr(pt_errcode(size)));
	trace_bytes(trace, buf, size);
}

void trace_type(struct trace *trace, enum pt_packet_type type)
{
	trace_packet(trace, &(struct pt_packet){ .type = type });
}

void trace_ip(struct trace *trace, enum pt_packet_type type, uint64_t ip)
{
	struct pt_packet packet = { .type = type };

	packet.payload.ip.ipc = pt_ipc_full;
	packet.payload.ip.ip = ip;
	trace_packet(trace, &packet);
}

void trace_no_ip(struct trace *trace, enum pt_packet_type type)
{
	trace_packet(trace, &(struct pt_packet){ .type = type });
}

void trace_tnt(struct trace *trace, const char *bits)
{
	struct pt_packet packet = { .type = ppt_tnt_8 };

	for (; *bits; bits++) {
		packet.payload.tnt.payload =
			packet.payload.tnt.payload << 1 | (*bits == '1');
		packet.payload.tnt.bit_size++;
	}
	if (packet.payload.tnt.bit_size > 6)
		packet.type = ppt_tnt_64;
	trace_packet(trace, &packet);
}

void trace_pip(struct trace *trace, uint64_t cr3, bool nr)
{
	struct pt_packet packet = { .type = ppt_pip };

	packet.payload.pip.cr3 = cr3;
	packet.payload.pip.nr = nr;
	trace_packet(trace, &packet);
}

void trace_mode_exec(struct trace *trace, int mode)
{
	struct pt_packet packet = { .type = ppt_mode };

	packet.payload.mode.leaf = pt_mol_exec;
	packet.payload.mode.bits.exec.csl = mode == 64;
	packet.payload.mode.bits.exec.csd = mode == 32;
	trace_packet(trace, &packet);
}

void trace_tsc(struct trace *trace, uint64_t tsc)
{
	struct pt_packet packet = { .type = ppt_tsc };

	packet.payload.tsc.tsc = tsc;
	trace_packet(trace, &packet);
}

/* In the order of SDM "PSB+". */
void trace_psb_plus(struct trace *trace, const struct psb *psb)
{
	struct pt_packet packet;

	trace_type(trace, ppt_psb);
	if (psb->tsc)
		trace_tsc(trace, psb->tsc);
	if (psb->cr3)
		trace_pip(trace, psb->cr3, true);
	if (psb->vmcs) {
		packet = (struct pt_packet){ .type = ppt_vmcs };
		packet.payload.vmcs.base = psb->vmcs;
		trace_packet(trace, &packet);
	}
	if (psb->cbr) {
		packet = (struct pt_packet){ .type = ppt_cbr };
		packet.payload.cbr.ratio = psb->cbr;
		trace_packet(trace, &packet);
	}
	if (psb->mode)
		trace_mode_exec(trace, psb->mode);
	if (psb->ip)
		trace_ip(trace, ppt_fup, psb->ip);
	if (!psb->no_end)
		trace_type(trace, ppt_psbend);
}

void test_file_init(struct test_file *file)
{
	file->fd = memfd_create("test", 0);
	if (file->fd < 0)
		die("no memfd");
	snprintf(file->path, sizeof(file->path), "/proc/self/fd/%d", file->fd);
	check_error(xenpt_writer_create(file->fd, "test", &file->writer));
}

void test_file_deinit(struct test_file *file)
{
	xenpt_writer_destroy(file->writer);
	close(file->fd);
}

struct xenpt_file *test_file_open(struct test_file *file)
{
	struct xenpt_file *opened = NULL;

	check_error(xenpt_writer_finish(file->writer));
	check_error(xenpt_file_open(file->path, &opened));
	return opened;
}

void describe_code(struct xenpt_writer *writer)
{
	struct xenpt_image_info image = { .name = "code", .build_id = "" };

	image.cr3 = XENPT_CR3_ANY;
	check_error(xenpt_writer_image(writer, &image));
}

void describe_vcpu(struct xenpt_writer *writer, uint32_t id)
{
	struct xenpt_vcpu vcpu = { .id = id, .name = "test" };

	check_error(xenpt_writer_vcpu(writer, &vcpu));
}
