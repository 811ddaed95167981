/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any trace over any code: decoding ends, its events are sane, and they are the
 * same for one thread and for several.
 *
 * Few bytes that a fuzzer makes up are a trace, so the input is a recipe for
 * one: each step appends a packet to the trace of one vCPU, or bytes that need
 * be none, or much of what is there already.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "decode/insn.h"
#include "libxenpt/xenpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	VCPUS = 3,
	TRACE_MAX = 200 << 10, /* several spans */
	CODE_MAX = 64,
	EVENTS_MAX = 1 << 17, /* what comes after is not looked at */
};

#define PSB "\x02\x82\x02\x82\x02\x82\x02\x82\x02\x82\x02\x82\x02\x82\x02\x82"

/*
 * 0x1000  e8 0b 00 00 00  call 0x1010
 * 0x1005  75 f9           jnz  0x1000
 * 0x1007  eb f7           jmp  0x1000
 * 0x1010  90 c3           nop; ret
 * 0x1020  0f 05           syscall
 * 0x1030  0f 22 d8 c3     mov  %rax,%cr3; ret
 * 0x1038  48 cf           iretq
 * 0x103c  ff e0           jmp  *%rax
 */
static const uint8_t base_code[] = {
	0xe8, 0x0b, 0,    0,    0, 0x75, 0xf9, 0xeb, 0xf7, 0,    0, 0, 0,    0,    0, 0,
	0x90, 0xc3, 0,    0,    0, 0,    0,    0,    0,    0,    0, 0, 0,    0,    0, 0,
	0x0f, 0x05, 0,    0,    0, 0,    0,    0,    0,    0,    0, 0, 0,    0,    0, 0,
	0x0f, 0x22, 0xd8, 0xc3, 0, 0,    0,    0,    0x48, 0xcf, 0, 0, 0xff, 0xe0,
};

static const uint64_t cr3s[] = { 0x5000, 0x7000, 0x9000, XENPT_CR3_ANY };
static const uint64_t ips[] = { 0x1000,
				0x1005,
				0x1007,
				0x1010,
				0x1020,
				0x1030,
				0x1038,
				0x103c,
				0x2000,
				0x2004,
				0x2010,
				0x3000,
				0x9000,
				0x203f,
				UINT64_C(0xffffffffffffffc0),
				UINT64_C(0xffffffffffffffff) };

struct input {
	const uint8_t *data;
	size_t size;
};

struct trace {
	uint8_t data[TRACE_MAX];
	size_t size;
	size_t seams[16]; /* gaps before these bytes */
	size_t seam_count;
};

static struct trace traces[VCPUS];
static uint32_t epochs;          /* begun in the file, after the first */
static uint32_t epoch_of[VCPUS]; /* that decoding has come to */

#define must(condition)                                              \
	do {                                                         \
		if (!(condition)) {                                  \
			fprintf(stderr, "not so: %s\n", #condition); \
			abort();                                     \
		}                                                    \
	} while (0)

static void must_succeed(struct xenpt_error *err)
{
	if (err)
		fprintf(stderr, "%s\n", err->message);
	must(!err);
}

static uint8_t take(struct input *input)
{
	if (!input->size)
		return 0;
	input->size--;
	return *input->data++;
}

/* ---- the trace ---- */

static void add(struct trace *trace, const void *data, size_t size)
{
	if (size > sizeof(trace->data) - trace->size)
		return;
	memcpy(trace->data + trace->size, data, size);
	trace->size += size;
}

/* An opcode and the lowest bytes of a payload. */
static void add_packet(struct trace *trace, const char *opcode, size_t opcode_size,
		       uint64_t payload, size_t size)
{
	add(trace, opcode, opcode_size);
	add(trace, &payload, size);
}
#define ADD(trace, opcode, payload, size) \
	add_packet((trace), (opcode), sizeof(opcode) - 1, (payload), (size))

static void add_ip(struct trace *trace, uint8_t opcode, uint8_t which)
{
	uint8_t head = opcode | 6 << 5;
	uint64_t ip = ips[which % 16];

	add(trace, &head, 1);
	add(trace, &ip, 8);
}

static void add_pip(struct trace *trace, uint8_t which)
{
	ADD(trace, "\x02\x43", cr3s[which % 4] >> 5 << 1 | (which >> 7), 6);
}

/* @what: a bit for each thing that it tells. */
static void add_psb_plus(struct trace *trace, uint8_t what, uint8_t where)
{
	static uint64_t tsc;

	if (!trace->size)
		tsc = 0x1000;
	add(trace, PSB, 16);
	if (what & 1)
		ADD(trace, "\x19", tsc += 16 + where, 7);
	if (what & 2)
		add_pip(trace, where >> 4);
	if (what & 4)
		ADD(trace, "\x02\x03", where, 2);
	if (what & 8)
		ADD(trace, "\x99", where & 0x80 ? 2 : 1, 1);
	if (what & 16)
		add_ip(trace, 0x1d, where);
	if (!(what & 32))
		add(trace, "\x02\x23", 2);
	if (what & 64) {
		ADD(trace, "\x99", 1, 1);
		add_ip(trace, 0x11, where);
	}
}

static void add_again(struct trace *trace, uint8_t bytes, uint8_t times)
{
	size_t size = bytes * 16;

	if (size > trace->size)
		size = trace->size;
	for (unsigned int i = 0; i < times * 16U; i++)
		add(trace, trace->data + trace->size - size, size);
}

static void add_raw(struct trace *trace, struct input *input, size_t size)
{
	while (size--) {
		uint8_t byte = take(input);

		add(trace, &byte, 1);
	}
}

static void add_step(struct trace *trace, struct input *input)
{
	uint8_t step = take(input), arg = take(input);

	switch (step % 18) {
	case 0:
	case 1:
		return add_psb_plus(trace, arg, take(input));
	case 2: /* a TNT, if it can be one */
		arg = (arg | 2) << 1;
		return add(trace, &arg, 1);
	case 3:
		return ADD(trace, "\x02\xa3", arg | UINT64_C(0x1fc30ffff100), 6);
	case 4:
		return add_ip(trace, 0x0d, arg);
	case 5:
		return add_ip(trace, 0x1d, arg);
	case 6:
		return add_ip(trace, 0x11, arg);
	case 7:
		return add_ip(trace, 0x01, arg);
	case 8:
		return add_pip(trace, arg);
	case 9:
		return ADD(trace, "\x99", arg & 0x23, 1);
	case 10:
		return ADD(trace, "\x02\xf3", 0, 0);
	case 11: /* with or without FUP */
		return ADD(trace, "\x02\x32", UINT64_C(0x8202820282028202), 8);
	case 12:
		return ADD(trace, "\x02\xb2", arg, 8);
	case 13:
		if (trace->seam_count < 16)
			trace->seams[trace->seam_count++] = trace->size;
		return;
	case 14:
	case 15:
		return add_again(trace, arg, take(input));
	case 16:
		return ADD(trace, "\x59", arg, 1);
	case 17:
		return add_raw(trace, input, arg % 32);
	}
}

static void add_steps(struct input *input, unsigned int vcpus)
{
	unsigned int vcpu = 0;

	for (unsigned int i = 0; i < vcpus; i++) {
		traces[i].size = traces[i].seam_count = 0;
		/* So that the first steps lead to something. */
		add_psb_plus(&traces[i], 0x1f, 0);
	}
	while (input->size) {
		if (input->data[0] >= 0xf0)
			vcpu = take(input) % vcpus;
		else
			add_step(&traces[vcpu], input);
	}
}

/* ---- the file ---- */

/* A page that is another in each epoch, and one address space's that comes and goes. */
static void write_memory(struct xenpt_writer *writer)
{
	struct xenpt_mapping mappings[] = { { 0x1000, 0x10000 }, { 0x3000, 0x10000 } };
	uint8_t page[4096];

	for (size_t i = 0; i < sizeof(page); i++)
		page[i] = base_code[i % sizeof(base_code)];
	page[4 + epochs % 8] = 0x90;
	must_succeed(xenpt_writer_pages(writer, 0x10000, page, sizeof(page)));
	mappings[1].gpa = epochs % 2 ? XENPT_GPA_NONE : 0x10000;
	must_succeed(xenpt_writer_map(writer, 0x7000, mappings, 2));
}

static void next_epoch(struct xenpt_writer *writer)
{
	must_succeed(xenpt_writer_epoch(writer));
	epochs++;
	write_memory(writer);
}

static void write_trace(struct xenpt_writer *writer, uint32_t vcpu, bool in_pieces)
{
	const struct trace *trace = &traces[vcpu];
	size_t pos = 0, seam = 0;

	while (pos < trace->size || seam < trace->seam_count) {
		size_t end = trace->size;

		if (seam < trace->seam_count && trace->seams[seam] == pos) {
			if (seam % 3 == 2)
				next_epoch(writer);
			else
				must_succeed(xenpt_writer_gap(writer, vcpu, 1 + seam % 5,
							      seam));
			seam++;
			continue;
		}
		if (seam < trace->seam_count)
			end = trace->seams[seam];
		if (in_pieces && end - pos > 1000)
			end = pos + 997;
		must_succeed(
			xenpt_writer_trace(writer, vcpu, trace->data + pos, end - pos));
		pos = end;
	}
}

static void write_code(struct xenpt_writer *writer, uint64_t cr3, uint64_t address,
		       const void *code, size_t size)
{
	if (size)
		must_succeed(xenpt_writer_code(writer, 0, cr3, address, code, size));
}

/* The fuzzer's own code stands in two address spaces, and over what is in all. */
static void write_codes(struct xenpt_writer *writer, struct input *input, uint8_t which)
{
	const struct xenpt_image_info image = { .name = "code",
						.build_id = "",
						.cr3 = XENPT_CR3_ANY };
	const uint8_t *code;
	size_t size = which % CODE_MAX;

	if (size > input->size)
		size = input->size;
	code = input->data;
	input->data += size;
	input->size -= size;
	must_succeed(xenpt_writer_image(writer, &image));
	write_code(writer, XENPT_CR3_ANY, 0x1000, base_code, sizeof(base_code));
	write_code(writer, XENPT_CR3_ANY, 0x2000, base_code, sizeof(base_code));
	write_code(writer, 0x5000, 0x2000, code, size / 2);
	write_code(writer, 0x7000, 0x2000 + size / 4, code + size / 2, size - size / 2);
	write_code(writer, 0x7000, -(uint64_t)size, code, size);
}

static struct xenpt_file *make_file(struct input *input)
{
	struct xenpt_cpu cpu = { .intel = 1, .family = 6, .model = 0x55 };
	uint8_t options = take(input), which = take(input);
	unsigned int vcpus = 1 + options % VCPUS;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct xenpt_writer *writer;
	struct xenpt_file *file = NULL;
	char path[64];

	if (options & 0x80)
		cpu.model = 0x3d;
	if (options & 0x20)
		cpu.intel = 0;
	cpu.mtc_freq = 3;
	cpu.cpuid_15_eax = 2;
	cpu.cpuid_15_ebx = 308;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must_succeed(xenpt_writer_create(fd, path, &writer));
	must_succeed(xenpt_writer_cpu(writer, &cpu));
	write_codes(writer, input, which);
	epochs = 0;
	memset(epoch_of, 0, sizeof(epoch_of));
	if (options & 0x08)
		write_memory(writer);
	add_steps(input, vcpus);
	for (uint32_t i = 0; i < vcpus; i++) {
		struct xenpt_vcpu vcpu = { .id = i, .name = "" };

		must_succeed(xenpt_writer_vcpu(writer, &vcpu));
		write_trace(writer, i, options & 0x40);
	}
	must_succeed(xenpt_writer_finish(writer));
	xenpt_writer_destroy(writer);
	must_succeed(xenpt_file_open(path, &file));
	close(fd);
	return file;
}

/* ---- decoding ---- */

static void check_block(const struct xenpt_event *event, uint32_t epoch,
			const struct xenpt_image *image)
{
	uint8_t insn[INSN_SIZE_MAX];
	size_t size;

	must(event->insns && event->has_ip);
	must(event->branch <= XENPT_BRANCH_FAR_JUMP);
	must(event->branch != XENPT_BRANCH_NONE || !event->has_to);
	size = xenpt_image_read(image, epoch, event->cr3, event->last, insn,
				sizeof(insn));
	must(size);
	/* libipt knows these two in 64-bit mode, too, where they are invalid. */
	if (event->mode == 64 && (memchr(insn, 0x9a, size) || memchr(insn, 0xea, size)))
		return;
	if (event->branch != XENPT_BRANCH_NONE)
		must(event->branch == insn_branch(insn, size, event->mode));
}

static void check_event(const struct xenpt_event *event, uint32_t vcpu,
			const struct xenpt_image *image)
{
	uint64_t size = traces[vcpu].size;

	must(event->type < XENPT_EVENT_TYPES);
	must(event->mode == 0 || event->mode == 16 || event->mode == 32 ||
	     event->mode == 64);
	if (event->type == XENPT_EVENT_BLOCK)
		return check_block(event, epoch_of[vcpu], image);
	must(!event->insns && event->offset <= size);
	if (event->type == XENPT_EVENT_CODE) {
		must(event->value > epoch_of[vcpu] && event->value <= epochs);
		epoch_of[vcpu] = event->value;
	}
	if (event->type == XENPT_EVENT_GAP)
		must(event->reason && event->reason <= XENPT_GAP_NO_PSB);
	if (event->type == XENPT_EVENT_ERROR) {
		must(event->reason && event->reason <= XENPT_TROUBLE_OTHER);
		must(event->value <= size - event->offset);
	}
	if (event->type == XENPT_EVENT_DOUBT) {
		must(!event->status && event->value < event->offset);
		must(event->named != XENPT_CR3_ANY ||
		     event->reason == XENPT_DOUBT_EARLIER);
		if (event->reason == XENPT_DOUBT_PSB)
			must(event->named != event->cr3);
	}
}

static uint64_t hash(uint64_t sum, const struct xenpt_event *event, uint32_t vcpu)
{
	uint64_t words[sizeof(*event) / sizeof(uint64_t)];

	memcpy(words, event, sizeof(words));
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		sum = (sum ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
		sum ^= sum >> 32;
	}
	return sum + vcpu;
}

static uint64_t decode(const struct xenpt_file *file, const struct xenpt_image *image,
		       unsigned int threads, bool timeless)
{
	struct xenpt_decoder_options options = {
		.image = image,
		.threads = threads,
		.timeless = timeless,
	};
	uint64_t sum = 0;
	struct xenpt_progress progress;
	struct xenpt_decoder *decoder;
	struct xenpt_batch batch;
	size_t events = 0;

	memset(epoch_of, 0, sizeof(epoch_of));
	must_succeed(xenpt_decoder_create(file, &options, &decoder));
	do {
		must_succeed(xenpt_decoder_next(decoder, &batch));
		progress = xenpt_decoder_progress(decoder);
		must(progress.done <= progress.total);
		for (size_t i = 0; i < batch.count && events < EVENTS_MAX; i++) {
			check_event(&batch.events[i], batch.vcpu, image);
			sum = hash(sum, &batch.events[i], batch.vcpu);
			events++;
		}
	} while (batch.count && events < EVENTS_MAX);
	must(batch.count || progress.done == progress.total);
	xenpt_decoder_destroy(decoder);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	bool timeless = size && data[0] & 0x10;
	struct xenpt_file *file = make_file(&input);
	struct xenpt_image *image;
	uint64_t sum;

	must_succeed(xenpt_image_create(file, &image));
	sum = decode(file, image, 1, timeless);
	must(sum == decode(file, image, 3, timeless));
	xenpt_image_destroy(image);
	xenpt_file_close(file);
	return 0;
}
