/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Traces that hardware recorded: packet by packet what libipt makes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "decode/packet.h"
#include "libxenpt/cleanup.h"
#include "tests/ipt-packet.h"

static const char *const traces[] = {
	"avscript_32/trace",
	"dynamorio/pt.bin",
	"hase-loopy/loopy-20180404T162955.perf.aux-cpu2.pt",
	"icelake_tip/trace",
	"linux_loop/trace",
	"lldb-multicore/cores/45.intelpt_trace",
	"lldb-multicore/cores/51.intelpt_trace",
	"lldb-single/3842849.trace",
	"mruby/trace",
};

static char *data_path(const char *name)
{
	const char *data = getenv("XENPT_DATA"), *srcdir = getenv("srcdir");
	char *path;

	if (data)
		assert_true(asprintf(&path, "%s/real/%s", data, name) >= 0);
	else
		assert_true(asprintf(&path, "%s/../shared/data/real/%s",
				     srcdir ? srcdir : ".", name) >= 0);
	return path;
}

static uint8_t *read_all(const char *path, size_t *size_ret)
{
	_cleanup_fclose_ FILE *file = fopen(path, "rb");
	uint8_t *data;
	long size;

	if (!file)
		fail_msg("%s: cannot be opened", path);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	size = ftell(file);
	assert_true(size > 0);
	rewind(file);
	data = malloc(size);
	assert_non_null(data);
	assert_int_equal(fread(data, 1, size, file), size);
	*size_ret = size;
	return data;
}

/* What libipt says is next; what it skips is one BAD. Size 0: the end. */
static struct xenpt_packet next(struct pt_packet_decoder *decoder, uint64_t size,
				uint64_t *offset, uint64_t *last_ip)
{
	struct xenpt_packet ret = {};
	struct pt_packet packet;

	if (*offset < size && pt_pkt_next(decoder, &packet, sizeof(packet)) >= 0) {
		ret = ipt_packet(&packet, last_ip);
	} else if (*offset < size) {
		uint64_t sync = size;

		if (pt_pkt_sync_forward(decoder) >= 0)
			assert_int_equal(pt_pkt_get_offset(decoder, &sync), 0);
		ret.type = XENPT_PACKET_BAD;
		ret.size = sync - *offset;
		if (!ret.size)
			return next(decoder, size, offset, last_ip);
	}
	ret.offset = *offset;
	*offset += ret.size;
	return ret;
}

static void compare(const uint8_t *data, size_t size, size_t piece)
{
	uint64_t offset = 0, last_ip = 0;
	struct pt_packet_decoder *decoder;
	struct xenpt_packet batch[256], want;
	struct packet_state state;
	size_t pos = 0, have = 0, n, used;
	struct pt_config config;

	pt_config_init(&config);
	config.begin = (uint8_t *)data;
	config.end = (uint8_t *)data + size;
	decoder = pt_pkt_alloc_decoder(&config);
	assert_non_null(decoder);
	packet_reset(&state, 0);
	do {
		n = packet_decode(&state, data + pos, have - pos, have == size, batch,
				  256, &used);
		pos += used;
		for (size_t i = 0; i < n; i++) {
			want = next(decoder, size, &offset, &last_ip);
			if (batch[i].offset != want.offset || !ipt_same(&batch[i], &want))
				fail_msg("at %#jx: %s, not %s", (uintmax_t)want.offset,
					 xenpt_packet_type_name(batch[i].type),
					 xenpt_packet_type_name(want.type));
		}
		if (!n && have < size) {
			have = size - have < piece ? size : have + piece;
			n = 1;
		}
	} while (n);
	assert_int_equal(next(decoder, size, &offset, &last_ip).size, 0);
	assert_int_equal(pos, size);
	pt_pkt_free_decoder(decoder);
}

static void test_trace(void **state)
{
	_cleanup_free_ char *path = data_path(*state);
	size_t size;
	_cleanup_free_ uint8_t *data = read_all(path, &size);

	compare(data, size, size);
	compare(data, size, 4093);
	compare(data, size, 1);
}

int main(void)
{
	enum {
		COUNT = sizeof(traces) / sizeof(traces[0])
	};
	_cleanup_free_ char *directory = data_path("");
	struct CMUnitTest tests[COUNT];

	if (access(directory, F_OK) < 0) {
		printf("SKIP: no real traces: %s is missing\n", directory);
		return 77;
	}
	for (size_t i = 0; i < COUNT; i++)
		tests[i] = (struct CMUnitTest){ traces[i], test_trace, NULL, NULL,
						(void *)traces[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
