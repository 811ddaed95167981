/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest of tests/xen-host that runs code and is stepped, by MTF or by TF: what libipt
 * makes of its trace is what the CPU ran.
 */
#ifndef TEST_STEPPED_H
#define TEST_STEPPED_H

#include <intel-pt.h>

#include "tests/unit/xenpt.h"

#include <asm/hvm/hvm.h>

#define CODE 0x200000ull
#define USER 0x204000ull
#define IDT 0x210000ull
#define STACK 0x232000ull
#define USER_STACK 0x236000ull
#define SYSCALL_ENTRY 0x220000ull
#define MISSING 0x300000ull
#define PAGES 64
#define BIT_TF 0x100ull
#define NOP "\x90"

/* Bytes of code, anywhere. */
#define PUT(guest, at, bytes) \
	assert_true(host_write((guest)->d, at, bytes, sizeof(bytes) - 1))
/* At CODE, from where the vCPU runs … */
#define ENTER(guest, bytes)                           \
	do {                                          \
		PUT(guest, CODE, bytes);              \
		assert_true(host_run((guest)->v, 1)); \
	} while (0)
/* … to its end. */
#define RUN(guest, bytes)                                                              \
	do {                                                                           \
		ENTER(guest, bytes);                                                   \
		assert_true(host_step_to((guest)->v, CODE + sizeof(bytes) - 1, 4000)); \
	} while (0)

static inline struct cpu_user_regs *regs(struct guest *guest)
{
	return &guest->v->arch.user_regs;
}

/* Handlers that go back at once; those of #GP and #PF drop the error code. */
static inline void add_code(struct guest *guest)
{
	add_pages(guest, CODE, 8 * PAGE);
	add_pages(guest, IDT, 2 * PAGE);
	add_pages(guest, SYSCALL_ENTRY, PAGE);
	add_pages(guest, STACK - 2 * PAGE, 2 * PAGE);
	add_pages(guest, USER_STACK - 2 * PAGE, 2 * PAGE);
	for (unsigned int i = 0; i < 256; i++)
		if (i == TRAP_gp_fault || i == TRAP_page_fault)
			PUT(guest, IDT + i * 16, "\x48\x83\xc4\x08\x48\xcf");
		else
			PUT(guest, IDT + i * 16, "\x48\xcf");
	PUT(guest, SYSCALL_ENTRY, "\x90\x48\x0f\x07");
	guest->v->code.idt = IDT;
	guest->v->code.lstar = SYSCALL_ENTRY;
	host_code_start(guest->v, CODE, STACK);
}

/* That machine, but without PT. */
static inline void stepped_boot_as(struct guest *guest, struct host_model model)
{
	model.proc_trace = false;
	boot(guest, &model);
	add_ring(guest, PAGES, INT);
	add_code(guest);
}

/* A machine that steps by @mtf, or TF. */
static inline void stepped_boot(struct guest *guest, bool mtf)
{
	struct host_model model = host_model;

	if (!mtf)
		model.primary &= ~CPU_BASED_MONITOR_TRAP_FLAG;
	stepped_boot_as(guest, model);
}

static inline void stepped_enable(struct guest *guest, uint64_t flags, uint64_t ctl)
{
	assert_int_equal(op(guest, OP(setup), TABLE, XENPT_SETUP_SOFT | flags), 0);
	enable(guest, ctl);
}

static inline void stepped(struct guest *guest, bool mtf)
{
	stepped_boot(guest, mtf);
	stepped_enable(guest, 0, CTL);
}

/* ---- what libipt makes of it ---- */

static int read_code(uint8_t *buf, size_t size, const struct pt_asid *asid, uint64_t ip,
		     void *arg)
{
	struct domain *d = arg;
	size_t n = 0;

	while (n < size && host_read(d, ip + n, buf + n, 1))
		n++;
	return n ? (int)n : -pte_nomap;
}

static inline int drain_events(struct pt_insn_decoder *decoder, int status,
			       unsigned int *overflows)
{
	struct pt_event event;

	while (status >= 0 && status & pts_event_pending) {
		status = pt_insn_event(decoder, &event, sizeof(event));
		if (status >= 0 && event.type == ptev_overflow)
			++*overflows;
	}
	return status;
}

/* All of @size bytes is decoded, and is what the vCPU ran from @first on. */
static inline void compare(const struct vcpu *v, struct pt_insn_decoder *decoder,
			   unsigned int first, unsigned int *overflows)
{
	int status = pt_insn_sync_forward(decoder);
	unsigned int n = first;
	struct pt_insn insn;
	struct pt_asid asid;

	assert_true(status >= 0);
	for (;;) {
		status = drain_events(decoder, status, overflows);
		if (status < 0 || status & pts_eos)
			break;
		pt_asid_init(&asid);
		pt_insn_asid(decoder, &asid, sizeof(asid));
		status = pt_insn_next(decoder, &insn, sizeof(insn));
		if (status < 0)
			break;
		if (n == v->code.nr)
			fail_msg("decoded %lx, which did not run", insn.ip);
		if (insn.ip != v->code.ran[n].ip || asid.cr3 != v->code.ran[n].cr3)
			fail_msg("%u: decoded %lx of %lx, ran %lx of %lx", n, insn.ip,
				 asid.cr3, v->code.ran[n].ip, v->code.ran[n].cr3);
		n++;
	}
	if (status < 0 && status != -pte_eos)
		fail_msg("%u: %s", n, pt_errstr(pt_errcode(status)));
	if (n != v->code.nr)
		fail_msg("decoded %u of %u", n, v->code.nr);
}

static inline unsigned int compare_bytes(struct guest *guest, uint8_t *bytes, size_t size,
					 unsigned int first)
{
	struct pt_image *image = pt_image_alloc("guest");
	struct pt_insn_decoder *decoder;
	struct pt_config config;
	unsigned int overflows = 0;

	pt_config_init(&config);
	config.begin = bytes;
	config.end = bytes + size;
	decoder = pt_insn_alloc_decoder(&config);
	assert_non_null(decoder);
	pt_image_set_callback(image, read_code, guest->d);
	pt_insn_set_image(decoder, image);
	compare(guest->v, decoder, first, &overflows);
	pt_insn_free_decoder(decoder);
	pt_image_free(image);
	return overflows;
}

/* Nothing that was traced is missing, nor there twice. */
static inline void assert_ran(struct guest *guest)
{
	const size_t size = total(guest);
	uint8_t *bytes = malloc(size);

	assert_non_null(bytes);
	assert_true(host_read(guest->d, REGION, bytes, size));
	assert_int_equal(compare_bytes(guest, bytes, size, 0), 0);
	free(bytes);
}

/* It is stopped: that is all. */
static inline void check(struct guest *guest)
{
	host_stop(guest->v);
	assert_ran(guest);
}

/* How often @word is among the packets. */
static inline unsigned int count(struct guest *guest, const char *word)
{
	static uint8_t bytes[PAGES * PAGE];
	struct pt_packet_decoder *decoder;
	struct pt_packet packet;
	struct pt_config config;
	unsigned int nr = 0;
	const char *name;

	pt_config_init(&config);
	config.begin = bytes;
	config.end = bytes + total(guest);
	assert_true(host_read(guest->d, REGION, bytes, config.end - bytes));
	decoder = pt_pkt_alloc_decoder(&config);
	assert_non_null(decoder);
	assert_true(pt_pkt_sync_forward(decoder) >= 0);
	while (pt_pkt_next(decoder, &packet, sizeof(packet)) > 0) {
		name = packet.type == ppt_pip       ? "pip"
		       : packet.type == ppt_ovf     ? "ovf"
		       : packet.type == ppt_psb     ? "psb"
		       : packet.type == ppt_tip_pge ? "pge"
						    : "";
		nr += !strcmp(name, word);
	}
	pt_pkt_free_decoder(decoder);
	return nr;
}

/* Each test by MTF, and by TF. */
#define STEPPED_TESTS(name)                     \
	static void name##_by_mtf(void **state) \
	{                                       \
		struct guest guest;             \
                                                \
		stepped(&guest, true);          \
		name(&guest, true);             \
	}                                       \
	static void name##_by_tf(void **state)  \
	{                                       \
		struct guest guest;             \
                                                \
		stepped(&guest, false);         \
		name(&guest, false);            \
	}
#define STEPPED_CASES(name)                                       \
	cmocka_unit_test_teardown(name##_by_mtf, guest_teardown), \
		cmocka_unit_test_teardown(name##_by_tf, guest_teardown)

#endif
