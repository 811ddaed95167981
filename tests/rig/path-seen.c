/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An entry is seen where a block has the point of a log function. Where that was called
 * from is what the block before it said, unless an interrupt came between: so it is kept,
 * for each process, and for the kernel, where interrupts nest, as a stack.
 */
#include <string.h>

#include "libxenpt/cleanup.h"
#include "tests/rig/path.h"

XENPT_DEFINE_CLEANUP(struct xenpt_decoder, decoder, xenpt_decoder_destroy)

#define NESTED 16

struct reader {
	const struct path_text *text;
	const struct path_space *only;
	struct path_decoded *decoded;
	struct path_piece *piece; /* NULL: the next entry begins one */
	uint64_t offset;
	uint64_t kernel[NESTED]; /* addresses behind calls */
	unsigned int depth;
	uint64_t user[PATH_SPACES]; /* 0: it is not in its log function */
};

static void piece_end(struct reader *reader)
{
	if (reader->piece)
		reader->piece->open = true;
	reader->piece = NULL;
	reader->depth = 0;
	memset(reader->user, 0, sizeof(reader->user));
}

static struct xenpt_error *add_seen(struct reader *reader, uint64_t cr3, uint64_t address)
{
	struct path_decoded *decoded = reader->decoded;
	struct path_seen *seen;

	if (!reader->piece) {
		reader->piece = array_add(&decoded->pieces);
		if (!reader->piece)
			return xenpt_error_no_memory();
		*reader->piece = (struct path_piece){ .first = decoded->seen.count };
	}
	seen = array_add(&decoded->seen);
	if (!seen)
		return xenpt_error_no_memory();
	*seen = (struct path_seen){
		.address = address,
		.cr3 = cr3,
		.offset = reader->offset,
	};
	reader->piece->count++;
	return NULL;
}

static bool holds(const struct xenpt_event *block, uint64_t address)
{
	return block->ip <= address && address <= block->last;
}

static bool calls(const struct xenpt_event *block, uint64_t address)
{
	return block->branch == XENPT_BRANCH_CALL && block->has_to &&
	       block->to == address;
}

static struct xenpt_error *kernel_block(struct reader *reader,
					const struct xenpt_event *block)
{
	const struct path_log *log = &reader->text->header;

	if (holds(block, log->point)) {
		uint64_t address = reader->depth ? reader->kernel[--reader->depth] : 0;

		XENPT_TRY(add_seen(reader, block->cr3, address));
	}
	if (!calls(block, log->log))
		return NULL;
	if (reader->depth == NESTED)
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "the kernel's log function calls itself");
	reader->kernel[reader->depth++] = block->last + PATH_CALL_SIZE;
	return NULL;
}

static struct xenpt_error *user_block(struct reader *reader,
				      const struct xenpt_event *block)
{
	const struct path_space *space =
		reader->only ? reader->only : path_text_space(reader->text, block->cr3);
	uint64_t *call;

	if (!space)
		return NULL;
	call = &reader->user[space - reader->text->header.spaces];
	if (holds(block, space->point)) {
		XENPT_TRY(add_seen(reader, space->cr3, *call));
		*call = 0;
	}
	if (calls(block, space->log))
		*call = block->last + PATH_CALL_SIZE;
	return NULL;
}

/* A packet told that all up to here was gone through. */
static void make_certain(struct reader *reader)
{
	if (reader->piece)
		reader->piece->certain = reader->piece->count;
}

static struct xenpt_error *take_block(struct reader *reader,
				      const struct xenpt_event *block)
{
	reader->decoded->insns += block->insns;
	if (xenpt_address_is_kernel(block->ip))
		XENPT_TRY(kernel_block(reader, block));
	else
		XENPT_TRY(user_block(reader, block));
	if (block->has_to && block->branch != XENPT_BRANCH_NONE &&
	    block->branch != XENPT_BRANCH_JUMP && block->branch != XENPT_BRANCH_CALL)
		make_certain(reader);
	return NULL;
}

static struct xenpt_error *take_doubt(struct reader *reader,
				      const struct xenpt_event *event)
{
	struct path_doubt *doubt = array_add(&reader->decoded->doubts);

	if (!doubt)
		return xenpt_error_no_memory();
	*doubt = (struct path_doubt){ event->value, event->offset };
	return NULL;
}

static struct xenpt_error *take_error(struct reader *reader,
				      const struct xenpt_event *event)
{
	struct path_error *error = array_add(&reader->decoded->errors);

	if (!error)
		return xenpt_error_no_memory();
	*error = (struct path_error){
		.offset = event->offset,
		.code = event->reason == XENPT_TROUBLE_NO_CODE ||
			event->reason == XENPT_TROUBLE_BAD_CODE ||
			event->reason == XENPT_TROUBLE_BAD_FLOW ||
			event->reason == XENPT_TROUBLE_ENDLESS,
	};
	piece_end(reader);
	return NULL;
}

static struct xenpt_error *take_event(struct reader *reader,
				      const struct xenpt_event *event)
{
	if (event->type == XENPT_EVENT_BLOCK)
		return take_block(reader, event);
	reader->offset = event->offset;
	switch (event->type) {
	case XENPT_EVENT_INTERRUPT:
	case XENPT_EVENT_OFF:
		make_certain(reader);
		break;
	case XENPT_EVENT_GAP:
		reader->decoded->gaps++;
		piece_end(reader);
		break;
	case XENPT_EVENT_ERROR:
		return take_error(reader, event);
	case XENPT_EVENT_OVERFLOW:
		reader->decoded->overflows++;
		piece_end(reader);
		break;
	case XENPT_EVENT_DOUBT:
		return take_doubt(reader, event);
	}
	return NULL;
}

struct xenpt_error *path_decode(const struct xenpt_file *file,
				const struct path_text *text,
				const struct path_space *only, struct path_decoded *ret)
{
	const uint32_t vcpu = 0;
	const struct xenpt_decoder_options options = {
		.threads = 1, .vcpus = &vcpu, .vcpu_count = 1, .timeless = true
	};
	_cleanup_(decoder_cleanup) struct xenpt_decoder *decoder = NULL;
	struct reader reader = { .text = text, .only = only, .decoded = ret };
	struct xenpt_batch batch;

	XENPT_TRY(xenpt_decoder_create(file, &options, &decoder));
	for (;;) {
		XENPT_TRY(xenpt_decoder_next(decoder, &batch));
		if (!batch.count)
			return NULL;
		for (size_t i = 0; i < batch.count; i++)
			XENPT_TRY(take_event(&reader, &batch.events[i]));
	}
}

void path_decoded_deinit(struct path_decoded *decoded)
{
	array_deinit(&decoded->seen);
	array_deinit(&decoded->pieces);
	array_deinit(&decoded->doubts);
	array_deinit(&decoded->errors);
}
