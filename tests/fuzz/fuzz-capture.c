/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Trace as a guest may have written it, in pieces, over code that is the input, too. */
#include <stdlib.h>
#include <string.h>

#include "libxenpt/xenpt.h"

struct input {
	const uint8_t *data;
	size_t size;
};

static bool page(void *arg, uint64_t cr3, uint64_t address, uint8_t data[4096])
{
	const struct input *input = arg;

	/* Every eighth page is missing. */
	if (!input->size || (address >> 12 & 7) == 7)
		return false;
	for (size_t i = 0; i < 4096; i++)
		data[i] = input->data[(address + cr3 + i) % input->size];
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct xenpt_cpu cpu = { .intel = 1, .family = 6, .model = 0x55 };
	struct input input = { data, size < 64 ? size : 64 };
	struct xenpt_capture *capture;
	uint64_t fed[2] = {}, done[2] = {}, now;

	if (xenpt_capture_create(&cpu, page, &input, &capture))
		abort();
	data += input.size;
	size -= input.size;
	while (size) {
		uint32_t vcpu = data[0] & 1;
		size_t piece = 1 + data[0] / 2;

		/* What comes next also says what to do. */
		switch (data[0] & 0x3f) {
		case 0x3c:
			if (xenpt_capture_gap(capture, vcpu))
				abort();
			break;
		case 0x3d:
			if (xenpt_capture_peek(capture, vcpu))
				abort();
			break;
		case 0x3e:
			if (xenpt_capture_flush(capture))
				abort();
			xenpt_capture_forget(capture);
			break;
		}
		data++;
		size--;
		if (piece > size)
			piece = size;
		if (xenpt_capture_feed(capture, vcpu, data, piece))
			abort();
		fed[vcpu] += piece;
		now = xenpt_capture_done(capture, vcpu);
		if (now < done[vcpu] || now > fed[vcpu])
			abort();
		done[vcpu] = now;
		data += piece;
		size -= piece;
	}
	if (xenpt_capture_flush(capture))
		abort();
	for (uint32_t i = 0; i < 2; i++) {
		if (xenpt_capture_done(capture, i) != fed[i])
			abort();
	}
	xenpt_capture_destroy(capture);
	return 0;
}
