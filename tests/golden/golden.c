/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tells the same little story to a sink: golden FORMAT ROWS [OPTION...], where
 * FORMAT is text or json, ROWS is as in "xenpt decode -F", and the options are
 * color, raw (no clock), smp (two vCPUs), last=N, skip=N, period=N, clock=NS and user.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libxenpt/cleanup.h"

#define CR3 0x1234000
#define KERNEL 0xffffffff81000000
#define NO_TIME 1 /* skip the time of the first events */

static struct xenpt_event story[128];
static size_t told;

static struct xenpt_event *tell(enum xenpt_event_type type)
{
	struct xenpt_event *event = &story[told];

	event->type = type;
	event->cr3 = CR3;
	event->mode = 64;
	event->time = told < NO_TIME ? 0 : 1000000 + 123 * told;
	event->offset = 16 * told;
	told++;
	return event;
}

static void at(struct xenpt_event *event, uint64_t ip)
{
	event->ip = ip;
	event->has_ip = 1;
}

static void block(uint64_t ip, uint64_t last, unsigned int insns,
		  enum xenpt_branch branch, uint64_t to)
{
	struct xenpt_event *event = tell(XENPT_EVENT_BLOCK);

	at(event, ip);
	event->last = last;
	event->insns = insns;
	event->branch = branch;
	event->to = to;
	event->has_to = to != 0;
}

static void value(enum xenpt_event_type type, uint64_t number)
{
	tell(type)->value = number;
}

static void trouble(enum xenpt_event_type type, uint64_t number, unsigned int reason,
		    uint64_t ip)
{
	struct xenpt_event *event = tell(type);

	event->value = number;
	event->reason = reason;
	if (ip)
		at(event, ip);
}

static void tell_start(void)
{
	struct xenpt_event *event;

	value(XENPT_EVENT_CBR, 27);
	event = tell(XENPT_EVENT_CR3);
	event->value = CR3;
	event->non_root = 1;
	value(XENPT_EVENT_VMCS, 0x5678000);
	at(tell(XENPT_EVENT_MODE), 0x401000);
	at(tell(XENPT_EVENT_ON), 0x401000);
}

static void tell_program(void)
{
	struct xenpt_event *event;

	block(0x401000, 0x401004, 3, XENPT_BRANCH_CALL, 0x401100);
	for (int i = 0; i < 3; i++) {
		block(0x401100, 0x401101, 2, XENPT_BRANCH_RETURN, 0x401009);
		block(0x401009, 0x40100b, 2, XENPT_BRANCH_COND, 0x401004);
		block(0x401004, 0x401004, 1, XENPT_BRANCH_CALL, 0x401100);
	}
	block(0x401100, 0x401100, 1, XENPT_BRANCH_NONE, 0);
	event = tell(XENPT_EVENT_INTERRUPT);
	at(event, 0x401101);
	event->to = KERNEL + 0x200;
	event->has_to = 1;
	block(KERNEL + 0x200, KERNEL + 0x201, 2, XENPT_BRANCH_FAR_RETURN, 0x401101);
	block(0x401101, 0x401101, 1, XENPT_BRANCH_RETURN, 0x401009);
	block(0x401009, 0x40100b, 2, XENPT_BRANCH_COND, 0x40100d);
	block(0x40100d, 0x40100d, 1, XENPT_BRANCH_CALL, 0x401200);
	block(0x401200, 0x401200, 1, XENPT_BRANCH_SYSCALL, KERNEL);
	block(KERNEL, KERNEL, 1, XENPT_BRANCH_CALL, KERNEL + 0x100);
	block(KERNEL + 0x100, KERNEL + 0x102, 3, XENPT_BRANCH_RETURN, KERNEL + 5);
	block(KERNEL + 5, KERNEL + 5, 1, XENPT_BRANCH_FAR_RETURN, 0x401202);
	block(0x401202, 0x401202, 1, XENPT_BRANCH_COND, 0x401208);
	block(0x401208, 0x401208, 1, XENPT_BRANCH_JUMP, 0x40120a);
	block(0x40120a, 0x40120a, 1, XENPT_BRANCH_RETURN, 0x401012);
	block(0x401012, 0x401012, 1, XENPT_BRANCH_RETURN, 0x402003);
	block(0x402003, 0x402003, 1, XENPT_BRANCH_CALL, 0x7fff12345678);
}

static void tell_rest(void)
{
	struct xenpt_event *event;

	at(tell(XENPT_EVENT_PTWRITE), 0x401000);
	story[told - 1].value = 0xc0ffee;
	for (unsigned int i = 1; i < 4; i++)
		value(XENPT_EVENT_TSX, i == 3 ? 0 : i);
	value(XENPT_EVENT_MWAIT, 0x100000020);
	value(XENPT_EVENT_PWRE, 0x10602);
	at(tell(XENPT_EVENT_EXSTOP), 0x401000);
	value(XENPT_EVENT_PWRX, 0x10206);
	trouble(XENPT_EVENT_OVERFLOW, 0, 0, 0x401000);
	block(0x401000, 0x401004, 3, XENPT_BRANCH_CALL, 0x401100);
	for (unsigned int i = 1; i < 12; i++)
		trouble(XENPT_EVENT_GAP, i == 2 ? 1234567 : i == 4 ? 1 : 0, i, 0);
	trouble(XENPT_EVENT_ERROR, 4096, XENPT_TROUBLE_NO_CODE, 0x7fff12345678);
	trouble(XENPT_EVENT_ERROR, 1, XENPT_TROUBLE_BAD_PACKET, 0);
	trouble(XENPT_EVENT_ERROR, 16, XENPT_TROUBLE_BAD_FLOW, 0x401101);
	for (unsigned int i = 1; i < 5; i++) {
		trouble(XENPT_EVENT_DOUBT, 0x1230, i, 0);
		story[told - 1].offset = 0x1a30 + i;
		story[told - 1].named = 0x7777000;
		story[told - 1].misfit = i == 2;
		if (i >= 3)
			story[told - 1].cr3 = XENPT_CR3_ANY;
	}
	value(XENPT_EVENT_CODE, 7);
	event = tell(XENPT_EVENT_OFF);
	at(event, 0x401009);
	event->async = 1;
	event->to = KERNEL;
	event->has_to = 1;
	tell(XENPT_EVENT_STOP);
}

/* ---- packets ------------------------------------------------------------ */

static struct xenpt_packet packets[64];
static size_t packet_count;

static void packet(enum xenpt_packet_type type, uint64_t payload, unsigned int aux)
{
	packets[packet_count] = (struct xenpt_packet){
		.offset = 8 * packet_count,
		.payload = payload,
		.size = type == XENPT_PACKET_BAD ? 5000 : 8,
		.aux = aux,
		.type = type,
	};
	packet_count++;
}

static void tell_packets(void)
{
	packet(XENPT_PACKET_BAD, 0, 0);
	packet(XENPT_PACKET_PSB, 0, 0);
	packet(XENPT_PACKET_PAD, 0, 0);
	packet(XENPT_PACKET_PSBEND, 0, 0);
	packet(XENPT_PACKET_TNT_8, 0x2c, 6);
	packet(XENPT_PACKET_TNT_64, 0x5555, 47);
	packet(XENPT_PACKET_TIP, KERNEL, 3);
	packet(XENPT_PACKET_TIP_PGE, 0x401000, 6);
	packet(XENPT_PACKET_TIP_PGD, 0, 0);
	packet(XENPT_PACKET_FUP, 0x401009, 1);
	packet(XENPT_PACKET_PIP, CR3, 1);
	packet(XENPT_PACKET_VMCS, 0x5678000, 0);
	packet(XENPT_PACKET_MODE_EXEC, 1, 64);
	packet(XENPT_PACKET_MODE_TSX, 0, 0);
	packet(XENPT_PACKET_MODE_TSX, 1, 0);
	packet(XENPT_PACKET_MODE_TSX, 2, 0);
	packet(XENPT_PACKET_TSC, 1000000, 0);
	packet(XENPT_PACKET_MTC, 0x7f, 0);
	packet(XENPT_PACKET_TMA, 0x1234, 0x56);
	packet(XENPT_PACKET_CYC, 77, 0);
	packet(XENPT_PACKET_CBR, 27, 0);
	packet(XENPT_PACKET_OVF, 0, 0);
	packet(XENPT_PACKET_STOP, 0, 0);
	packet(XENPT_PACKET_PTW, 0xc0ffee, 0x104);
	packet(XENPT_PACKET_EXSTOP, 0, 1);
	packet(XENPT_PACKET_EXSTOP, 0, 0);
	packet(XENPT_PACKET_MWAIT, 0x100000020, 0);
	packet(XENPT_PACKET_PWRE, 0x8030, 0);
	packet(XENPT_PACKET_PWRX, 0x162, 0);
	packet(XENPT_PACKET_MNT, 0xabcd, 0);
	packet(XENPT_PACKET_BBP, 4, 1);
	packet(XENPT_PACKET_BIP, 0x1122, 3);
	packet(XENPT_PACKET_BEP, 0, 1);
	packet(XENPT_PACKET_CFE, 14, 0x102);
	packet(XENPT_PACKET_EVD, 0xdead, 1);
	packet(XENPT_PACKET_GAP, 4096, XENPT_GAP_LAPPED);
	packet(XENPT_PACKET_GAP, 0, XENPT_GAP_SEAM);
}

/* ---- the guest ---------------------------------------------------------- */

static const uint8_t program[] = {
	0x55,                         /* 401000: push rbp */
	0x48, 0x89, 0xe5,             /* 401001: mov rbp, rsp */
	0xe8, 0xf7, 0x00, 0x00, 0x00, /* 401004: call leaf */
	0xff, 0xc8,                   /* 401009: dec eax */
	0x75, 0xf7,                   /* 40100b: jnz 401004 */
	0xe8, 0xee, 0x01, 0x00, 0x00, /* 40100d: call helper */
	0xc3,                         /* 401012: ret */
};
static const uint8_t leaf[] = { 0x90, 0xc3 };
static const uint8_t helper[] = {
	0x0f, 0x05,                         /* 401200: syscall */
	0x0f, 0x84, 0x02, 0x00, 0x00, 0x00, /* 401202: jz 40120a */
	0xeb, 0x00,                         /* 401208: jmp 40120a */
	0xc3,                               /* 40120a: ret */
};
static const uint8_t evil[] = { 0x90, 0x90, 0x90, 0xff, 0xd0, 0xc3 };
static const uint8_t kernel[] = { 0xe8, 0xfb, 0x00, 0x00, 0x00, 0x48, 0x0f, 0x07 };
static const uint8_t call[] = { 0x90, 0x90, 0xc3 };
static const uint8_t irq[] = { 0x90, 0x48, 0xcf };

static struct xenpt_error *add_code(struct xenpt_writer *writer)
{
	XENPT_TRY(xenpt_writer_code(writer, 1, CR3, 0x401000, program, sizeof(program)));
	XENPT_TRY(xenpt_writer_code(writer, 1, CR3, 0x401100, leaf, sizeof(leaf)));
	XENPT_TRY(xenpt_writer_code(writer, 1, CR3, 0x401200, helper, sizeof(helper)));
	XENPT_TRY(xenpt_writer_code(writer, 1, CR3, 0x402000, evil, sizeof(evil)));
	XENPT_TRY(xenpt_writer_code(writer, 2, XENPT_CR3_ANY, KERNEL, kernel,
				    sizeof(kernel)));
	XENPT_TRY(xenpt_writer_code(writer, 2, XENPT_CR3_ANY, KERNEL + 0x100, call,
				    sizeof(call)));
	return xenpt_writer_code(writer, 2, XENPT_CR3_ANY, KERNEL + 0x200, irq,
				 sizeof(irq));
}

static struct xenpt_error *write_guest(int fd)
{
	static const struct xenpt_symbol user_symbols[] = {
		{ 0x401000, sizeof(program), "main", NULL },
		{ 0x401100, sizeof(leaf), "leaf", NULL },
		{ 0x401200, sizeof(helper), "helper", NULL },
		{ 0x402000, sizeof(evil), "\33[2J\"evil\\\xff\xc3\xa9\n", NULL },
	};
	static const struct xenpt_symbol kernel_symbols[] = {
		{ KERNEL, sizeof(kernel), "entry_SYSCALL_64", NULL },
		{ KERNEL + 0x100, sizeof(call), "do_syscall_64", NULL },
		{ KERNEL + 0x200, sizeof(irq), "asm_sysvec_apic_timer_interrupt", NULL },
	};
	struct xenpt_writer *writer;
	struct xenpt_error *err;

	XENPT_TRY(xenpt_writer_create(fd, "golden", &writer));
	err = xenpt_writer_cpu(writer, &(struct xenpt_cpu){ .family = 6, .model = 85 });
	if (!err)
		err = xenpt_writer_image(writer, &(struct xenpt_image_info){
							 .id = 1,
							 .name = "/usr/bin/demo\33",
							 .build_id = "",
							 .cr3 = CR3,
						 });
	if (!err)
		err = xenpt_writer_image(writer, &(struct xenpt_image_info){
							 .id = 2,
							 .name = "vmlinux",
							 .build_id = "",
							 .cr3 = XENPT_CR3_ANY,
						 });
	if (!err)
		err = add_code(writer);
	if (!err)
		err = xenpt_writer_symbols(writer, 1, user_symbols, 4);
	if (!err)
		err = xenpt_writer_symbols(writer, 2, kernel_symbols, 3);
	if (!err)
		err = xenpt_writer_finish(writer);
	xenpt_writer_destroy(writer);
	return err;
}

/* ---- the program -------------------------------------------------------- */

static struct xenpt_error *feed(struct xenpt_sink *sink, bool is_packets, bool smp)
{
	if (is_packets) {
		tell_packets();
		XENPT_TRY(xenpt_sink_packets(sink, 3, packets, packet_count));
		return xenpt_sink_finish(sink);
	}
	tell_start();
	tell_program();
	tell_rest();
	/* In pieces, so that nothing hangs on how the batches are cut. */
	for (size_t i = 0; i < told; i += 7) {
		struct xenpt_batch batch = {
			.events = &story[i],
			.count = told - i < 7 ? told - i : 7,
			.vcpu = smp && i / 7 % 2 ? 12 : 3,
		};

		XENPT_TRY(xenpt_sink_events(sink, &batch));
	}
	return xenpt_sink_finish(sink);
}

static void parse(struct xenpt_sink_options *options, const char *arg)
{
	if (strcmp(arg, "color") == 0)
		options->color = true;
	else if (strcmp(arg, "raw") == 0)
		options->clock.ns_per_tick = 0;
	else if (strcmp(arg, "smp") == 0)
		options->vcpu_count = 2;
	else if (strcmp(arg, "user") == 0)
		options->filter.user = true;
	else if (strncmp(arg, "last=", 5) == 0)
		options->last = atoi(arg + 5);
	else if (strncmp(arg, "skip=", 5) == 0)
		options->skip = atoi(arg + 5);
	else if (strncmp(arg, "period=", 7) == 0)
		options->period = atoi(arg + 7);
	else if (strncmp(arg, "clock=", 6) == 0)
		options->clock.ns_per_tick = atof(arg + 6);
}

static unsigned int rows_of(const char *name)
{
	static const struct {
		const char *name;
		unsigned int rows;
	} rows[] = {
		{ "calls", XENPT_ROW_TREE | XENPT_ROW_TROUBLE },
		{ "insns", XENPT_ROW_INSN | XENPT_ROW_TROUBLE },
		{ "blocks", XENPT_ROW_BLOCK | XENPT_ROW_TROUBLE },
		{ "branches", XENPT_ROW_BRANCH },
		{ "callret", XENPT_ROW_CALL | XENPT_ROW_RETURN },
		{ "events", XENPT_ROW_BLOCK | XENPT_ROW_TSX | XENPT_ROW_PTWRITE |
				    XENPT_ROW_POWER | XENPT_ROW_STATE |
				    XENPT_ROW_TROUBLE },
		{ "packets", 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].name, name) == 0)
			return rows[i].rows;
	}
	return 0;
}

static struct xenpt_error *run(int argc, char **argv)
{
	struct xenpt_sink_options options = {
		.out = stdout,
		.rows = rows_of(argv[2]),
		.filter = XENPT_FILTER_ALL,
		.clock.ns_per_tick = 0.5,
		.vcpu_count = 1,
	};
	struct xenpt_symtab *symtab = NULL;
	struct xenpt_image *image = NULL;
	struct xenpt_sink *sink = NULL;
	struct xenpt_file *file = NULL;
	struct xenpt_error *err;
	int fd = memfd_create("golden", 0);
	char path[32];

	for (int i = 3; i < argc; i++)
		parse(&options, argv[i]);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = write_guest(fd);
	if (!err)
		err = xenpt_file_open(path, &file);
	if (!err)
		err = xenpt_image_create(file, &image);
	if (!err)
		err = xenpt_symtab_create(file, &symtab);
	options.image = image;
	options.symtab = symtab;
	if (!err)
		err = (strcmp(argv[1], "json") == 0
			       ? xenpt_sink_create_json
			       : xenpt_sink_create_text)(&options, &sink);
	if (!err)
		err = feed(sink, strcmp(argv[2], "packets") == 0, options.vcpu_count > 1);
	xenpt_sink_destroy(sink);
	xenpt_symtab_destroy(symtab);
	xenpt_image_destroy(image);
	xenpt_file_close(file);
	close(fd);
	return err;
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct xenpt_error *err = NULL;

	if (argc < 3)
		return 99;
	err = run(argc, argv);
	if (!err)
		return 0;
	fprintf(stderr, "%s\n", err->message);
	return err->code == XENPT_ERROR_UNSUPPORTED ? 77 : 1;
}
