/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vCPU whose every step is told to the software generator, and what that says. */
#ifndef TEST_SOFT_H
#define TEST_SOFT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "hv/pt/soft.h"
#include "tests/ipt-packet.h"
#include "tests/unit/pt-trace.h"

#define TEXT_MAX 4096

static struct pt_trace trace;
static struct xpt_soft soft;
static struct xpt_cpu_state cpu;
static uint64_t seen; /* bytes of the trace that were looked at */
static uint64_t last_ip;

/* ---- packets as text ------------------------------------------------------------ */

static size_t show_ip(char *ret, const char *name, const struct pt_packet_ip *ip)
{
	if (ip->ipc == pt_ipc_suppressed)
		return sprintf(ret, " %s:-", name);
	return sprintf(ret, " %s:%jx", name, (uintmax_t)ipt_ip(ip, &last_ip));
}

static size_t show_tnt(char *ret, const struct pt_packet_tnt *tnt)
{
	size_t n = sprintf(ret, " TNT:");

	for (unsigned int i = tnt->bit_size; i; i--)
		ret[n++] = tnt->payload >> (i - 1) & 1 ? '1' : '0';
	ret[n] = '\0';
	return n;
}

static size_t show(char *ret, const struct pt_packet *packet)
{
	switch (packet->type) {
	case ppt_psb:
		last_ip = 0;
		return sprintf(ret, " PSB");
	case ppt_psbend:
		return sprintf(ret, " PSBEND");
	case ppt_ovf:
		return sprintf(ret, " OVF");
	case ppt_stop:
		return sprintf(ret, " STOP");
	case ppt_fup:
		return show_ip(ret, "FUP", &packet->payload.ip);
	case ppt_tip:
		return show_ip(ret, "TIP", &packet->payload.ip);
	case ppt_tip_pge:
		return show_ip(ret, "PGE", &packet->payload.ip);
	case ppt_tip_pgd:
		return show_ip(ret, "PGD", &packet->payload.ip);
	case ppt_tnt_8:
	case ppt_tnt_64:
		return show_tnt(ret, &packet->payload.tnt);
	case ppt_pip:
		return sprintf(ret, " PIP:%jx%s", (uintmax_t)packet->payload.pip.cr3,
			       packet->payload.pip.nr ? ",nr" : "");
	case ppt_mode:
		if (packet->payload.mode.leaf == pt_mol_tsx)
			return sprintf(ret, " TSX");
		return sprintf(ret, " MODE:%d",
			       packet->payload.mode.bits.exec.csl   ? 64
			       : packet->payload.mode.bits.exec.csd ? 32
								    : 16);
	case ppt_tsc:
		return sprintf(ret, " TSC:%ju", (uintmax_t)packet->payload.tsc.tsc);
	case ppt_tma:
		return sprintf(ret, " TMA:%u,%u", packet->payload.tma.ctc,
			       packet->payload.tma.fc);
	case ppt_mtc:
		return sprintf(ret, " MTC:%u", packet->payload.mtc.ctc);
	case ppt_cyc:
		return sprintf(ret, " CYC:%ju", (uintmax_t)packet->payload.cyc.value);
	case ppt_cbr:
		return sprintf(ret, " CBR:%u", packet->payload.cbr.ratio);
	case ppt_ptw:
		return sprintf(ret, " PTW%d:%jx", packet->payload.ptw.plc ? 8 : 4,
			       (uintmax_t)packet->payload.ptw.payload);
	default:
		return sprintf(ret, " ?");
	}
}

/* What was put out since the last look, from offset @from of the memory. */
static void expect_from(uint64_t from, const char *text)
{
	struct pt_packet_decoder *decoder;
	struct pt_packet packet;
	struct pt_config config;
	char all[TEXT_MAX];
	size_t n = 0;

	pt_config_init(&config);
	config.begin = trace.data + from;
	config.end = trace.data + trace.topa.written;
	all[0] = '\0';
	seen = trace.topa.written;
	if (config.begin == config.end) {
		assert_string_equal("", text);
		return;
	}
	decoder = pt_pkt_alloc_decoder(&config);
	assert_non_null(decoder);
	assert_int_equal(pt_pkt_sync_set(decoder, 0), 0);
	while (pt_pkt_next(decoder, &packet, sizeof(packet)) > 0) {
		assert_true(n < TEXT_MAX - 64);
		n += show(all + n, &packet);
	}
	pt_pkt_free_decoder(decoder);
	assert_string_equal(all + 1, text);
}

static void expect(const char *text)
{
	xpt_soft_flush(&soft);
	expect_from(seen, text);
}

/* ---- a vCPU ---------------------------------------------------------------------- */

#define ALL (XPT_CTL_BRANCH_EN | XPT_CTL_OS | XPT_CTL_USER)
#define STARTED "PSB CBR:20 PIP:7000,nr TSX PSBEND MODE:64 PGE:1000"
#define RANGE(n, kind) ((uint64_t)(kind) << XPT_CTL_ADDR_CFG_SHIFT(n))

/* In the kernel at 0x1000, not started. */
static void init(uint64_t ctl)
{
	pt_trace_init(&trace, ctl);
	xpt_soft_init(&soft, &trace.topa, &trace.msrs, 20, 5, true);
	cpu = (struct xpt_cpu_state){ .ip = 0x1000, .cr3 = 0x7000, .csl = true };
	seen = 0;
	last_ip = 0;
}

static void start(uint64_t ctl, const char *text)
{
	init(ctl);
	xpt_soft_start(&soft, &cpu);
	expect(text);
}

static void retire(const char *bytes, size_t size, uint64_t to)
{
	struct xpt_insn insn = { .ip = cpu.ip, .size = size, .ptwrite = 0x123456789a };

	memcpy(insn.bytes, bytes, size);
	cpu.ip = to;
	xpt_soft_retire(&soft, &insn, &cpu);
}

/* An instruction of these bytes, which goes to @to; 0: on to the next. */
#define RUN(bytes, to) \
	retire(bytes, sizeof(bytes) - 1, (to) ? (to) : cpu.ip + sizeof(bytes) - 1)
#define NOP() RUN("\x90", 0)
#define JCC(to) RUN("\x75\x10", to)
#define JMP(to) RUN("\xeb\x10", to)
#define JMP_RAX(to) RUN("\xff\xe0", to)
#define CALL(to) RUN("\xe8\x10\x00\x00\x00", to)
#define RET(to) RUN("\xc3", to)
#define MOV_CR3() RUN("\x0f\x22\xd8", 0)

static void event(uint64_t to)
{
	uint64_t from = cpu.ip;

	cpu.ip = to;
	xpt_soft_event(&soft, from, &cpu);
}

#endif
