/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The .xpt file, broken: what is whole is read, what is not is told. */
#include "xpt.h"

enum {
	PIECES = 6,
	PIECE = 1000,
	TRACE = PIECES * PIECE,
	CHUNKS_ROOM = 32,
};

struct sample {
	struct bytes bytes;
	size_t at[CHUNKS_ROOM];
	size_t count; /* chunks */
};

static uint8_t trace[TRACE];

static struct sample make_sample(void)
{
	struct xenpt_image_info image = { 1, "image", "", XENPT_CR3_ANY };
	struct xenpt_symbol symbol = { 0x1000, 16, "symbol", "" };
	struct xenpt_cpu cpu = { .family = 6 };
	struct xenpt_vcpu vcpu = { 3, "three" };
	struct xenpt_writer *writer;
	struct sample ret;
	int fd;

	for (size_t i = 0; i < TRACE; i++)
		trace[i] = noise(i);
	writer = writer_open(&fd);
	assert_success(xenpt_writer_cpu(writer, &cpu));
	assert_success(xenpt_writer_vcpu(writer, &vcpu));
	for (size_t i = 0; i < PIECES; i++) {
		assert_success(
			xenpt_writer_trace(writer, 3, trace + i * PIECE, PIECE - i));
		assert_success(
			xenpt_writer_trace(writer, 3, trace + (i + 1) * PIECE - i, i));
		if (i == 1)
			assert_success(xenpt_writer_gap(writer, 3, XENPT_GAP_STOPPED, 0));
	}
	assert_success(xenpt_writer_image(writer, &image));
	assert_success(xenpt_writer_code(writer, 1, 0, 0x1000, trace, 99));
	assert_success(xenpt_writer_symbols(writer, 1, &symbol, 1));
	assert_success(xenpt_writer_finish(writer));
	ret.bytes = writer_close(writer, fd);
	ret.count = find_chunks(ret.bytes, ret.at, CHUNKS_ROOM);
	return ret;
}

static bool is_type(const struct sample *sample, size_t chunk,
		    enum xenpt_section_type type)
{
	return header_at(sample->bytes, sample->at[chunk]).type == type;
}

/*
 * Every byte that is told to be trace is trace, where it belongs, and each
 * missing one is in a gap. Returns how many bytes there are, gaps and all.
 */
static uint64_t check_trace(const struct xenpt_file *file)
{
	const struct xenpt_chunk *chunks;
	uint64_t next = 0;
	size_t count;

	chunks = xenpt_file_trace(file, 3, &count);
	for (size_t i = 0; i < count; i++) {
		uint8_t data[PIECE];

		assert_int_equal(chunks[i].offset, next);
		if (chunks[i].type == XENPT_SECTION_GAP) {
			next += chunks[i].lost;
			continue;
		}
		assert_in_range(chunks[i].size, 1, PIECE);
		assert_in_range(next + chunks[i].size, 1, TRACE);
		assert_success(xenpt_file_read(file, &chunks[i], data));
		assert_memory_equal(data, trace + next, chunks[i].size);
		next += chunks[i].size;
	}
	return next;
}

static void check_cut(const struct sample *sample, size_t size)
{
	const struct xenpt_file_info *info;
	struct xenpt_file *file = NULL;
	struct xenpt_error *err;
	size_t whole = 0;

	while (whole < sample->count) {
		struct section_header header =
			header_at(sample->bytes, sample->at[whole]);

		if (sample->at[whole] + sizeof(header) + header.size > size)
			break;
		whole++;
	}
	err = open_bytes(sample->bytes.data, size, &file);
	if (!whole) {
		assert_non_null(err);
		assert_int_equal(err->code, XENPT_ERROR_FORMAT);
		xenpt_error_destroy(err);
		return;
	}
	assert_success(err);
	info = xenpt_file_info(file);
	assert_int_equal(info->chunks, whole);
	assert_false(info->complete);
	check_trace(file);
	xenpt_file_close(file);
}

static void test_cut(void **state)
{
	struct sample sample = make_sample();

	for (size_t i = 0; i < sample.count; i++) {
		check_cut(&sample, sample.at[i]);
		check_cut(&sample, sample.at[i] + 1);
		check_cut(&sample, sample.at[i + 1] - 1);
	}
	for (size_t i = 0; i < 1000; i++)
		check_cut(&sample, noise(i) % sample.bytes.size);
	free(sample.bytes.data);
}

/* Each header in turn is spoilt in each of its bytes: only its chunk is lost. */
static void test_flipped_header(void **state)
{
	struct sample sample = make_sample();

	for (size_t i = 0; i < sample.count * sizeof(struct section_header); i++) {
		size_t chunk = i / sizeof(struct section_header);
		uint8_t *byte = sample.bytes.data + sample.at[chunk] +
				i % sizeof(struct section_header);
		const struct xenpt_file_info *info;
		struct xenpt_file *file;

		*byte ^= 1 << i % 8;
		assert_success(open_bytes(sample.bytes.data, sample.bytes.size, &file));
		info = xenpt_file_info(file);
		assert_false(info->complete);
		assert_int_equal(info->chunks, sample.count - 1);
		assert_int_equal(info->damage_count, 1);
		assert_int_equal(info->damages[0].offset, sample.at[chunk]);
		assert_int_equal(info->damages[0].size,
				 sample.at[chunk + 1] - sample.at[chunk]);
		check_trace(file);
		xenpt_file_close(file);
		*byte ^= 1 << i % 8;
	}
	free(sample.bytes.data);
}

/* The trace is known to be damaged when it is read, all else at once. */
static void test_flipped_payload(void **state)
{
	struct sample sample = make_sample();

	for (size_t i = 0; i < sample.count; i++) {
		uint8_t *byte =
			sample.bytes.data + sample.at[i] + sizeof(struct section_header);
		bool is_trace = is_type(&sample, i, XENPT_SECTION_TRACE);
		const struct xenpt_chunk *chunks;
		struct xenpt_file *file;
		uint8_t data[PIECE];
		size_t count, bad = 0;

		if (!header_at(sample.bytes, sample.at[i]).size)
			continue;
		*byte ^= 4;
		assert_success(open_bytes(sample.bytes.data, sample.bytes.size, &file));
		assert_int_equal(xenpt_file_info(file)->complete, is_trace);
		assert_int_equal(xenpt_file_info(file)->damage_count, !is_trace);
		chunks = xenpt_file_trace(file, 3, &count);
		for (size_t j = 0; j < count; j++) {
			if (chunks[j].position == sample.at[i]) {
				assert_error(xenpt_file_read(file, &chunks[j], data),
					     XENPT_ERROR_FORMAT, "bad checksum");
				bad++;
			} else {
				assert_success(xenpt_file_read(file, &chunks[j], data));
			}
		}
		assert_int_equal(bad, is_trace);
		xenpt_file_close(file);
		*byte ^= 4;
	}
	free(sample.bytes.data);
}

static struct bytes without(struct bytes bytes, size_t begin, size_t end)
{
	struct bytes ret = { malloc(bytes.size), bytes.size - (end - begin) };

	assert_non_null(ret.data);
	memcpy(ret.data, bytes.data, begin);
	memcpy(ret.data + begin, bytes.data + end, bytes.size - end);
	return ret;
}

/* A chunk is missing without a trace: its number tells. */
static void test_missing(void **state)
{
	struct sample sample = make_sample();

	for (size_t i = 1; i < sample.count; i++) {
		struct bytes rest = without(sample.bytes, sample.at[i], sample.at[i + 1]);
		bool last = i == sample.count - 1;
		const struct xenpt_file_info *info;
		struct xenpt_file *file;

		assert_success(open_bytes(rest.data, rest.size, &file));
		info = xenpt_file_info(file);
		assert_false(info->complete);
		assert_int_equal(info->chunks, sample.count - 1);
		assert_int_equal(info->damage_count, !last);
		if (!last) {
			assert_int_equal(info->damages[0].offset, sample.at[i]);
			assert_int_equal(info->damages[0].size, 0);
		}
		if (is_type(&sample, i, XENPT_SECTION_VCPU))
			assert_string_equal(info->vcpus[0].vcpu.name, "");
		/* Trace or gap, the seam shows if there is trace after it. */
		if (is_type(&sample, i, XENPT_SECTION_GAP))
			assert_int_equal(info->vcpus[0].gaps, 1);
		if (is_type(&sample, i, XENPT_SECTION_TRACE) &&
		    !is_type(&sample, i + 1, XENPT_SECTION_IMAGE))
			assert_int_equal(info->vcpus[0].gaps, 2);
		assert_in_range(check_trace(file), TRACE - PIECE, TRACE);
		xenpt_file_close(file);
		free(rest.data);
	}
	free(sample.bytes.data);
}

/* Bytes went missing inside a chunk: those that follow it are found. */
static void test_shifted(void **state)
{
	struct sample sample = make_sample();
	size_t hole = sample.at[4] + sizeof(struct section_header) + 100;
	struct bytes rest = without(sample.bytes, hole, hole + 13);
	const struct xenpt_file_info *info;
	struct xenpt_file *file;

	assert_success(open_bytes(rest.data, rest.size, &file));
	info = xenpt_file_info(file);
	assert_false(info->complete);
	assert_int_equal(info->chunks, sample.count - 1);
	assert_int_equal(info->damage_count, 1);
	assert_int_equal(info->damages[0].offset, sample.at[4]);
	assert_int_equal(info->damages[0].size, sample.at[5] - 13 - sample.at[4]);
	assert_int_equal(check_trace(file), TRACE);
	xenpt_file_close(file);
	free(rest.data);
	free(sample.bytes.data);
}

/* What a chunk says of itself is not believed, right checksums or not. */
static void test_lies(void **state)
{
	static const uint64_t sizes[] = {
		UINT64_C(1) << 60,
		SECTION_DATA_MAX + 1,
		SECTION_DATA_MAX,
		UINT64_MAX,
	};
	struct sample sample = make_sample();

	for (size_t i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct section_header good = header_at(sample.bytes, sample.at[4]);
		struct section_header bad = good;
		struct xenpt_file *file;

		bad.size = sizes[i / 2];
		if (i % 2)
			bad.data_size = bad.size;
		reseal(sample.bytes, sample.at[4], bad);
		assert_success(open_bytes(sample.bytes.data, sample.bytes.size, &file));
		assert_false(xenpt_file_info(file)->complete);
		assert_in_range(xenpt_file_info(file)->damage_count, 1, 2);
		assert_int_equal(xenpt_file_info(file)->damages[0].offset, sample.at[4]);
		assert_int_equal(check_trace(file), TRACE);
		xenpt_file_close(file);
		reseal(sample.bytes, sample.at[4], good);
	}
	free(sample.bytes.data);
}

/* What is compressed is not believed either. */
static void test_bad_zstd(void **state)
{
	bool has_zstd = xenpt_features()[0].version;
	struct sample sample = make_sample();
	struct section_header header = header_at(sample.bytes, sample.at[3]);
	const struct xenpt_chunk *chunks;
	struct xenpt_file *file;
	uint8_t data[PIECE];
	size_t count;

	header.flags = XENPT_SECTION_ZSTD;
	reseal(sample.bytes, sample.at[3], header);
	assert_success(open_bytes(sample.bytes.data, sample.bytes.size, &file));
	chunks = xenpt_file_trace(file, 3, &count);
	assert_error(xenpt_file_read(file, &chunks[0], data),
		     has_zstd ? XENPT_ERROR_FORMAT : XENPT_ERROR_UNSUPPORTED,
		     has_zstd ? "bad compressed data" : "no zstd");
	xenpt_file_close(file);
	free(sample.bytes.data);
}

/* Alone, such a chunk is an error that says so. */
static void test_lying_file(void **state)
{
	struct sample sample = make_sample();
	struct section_header header = header_at(sample.bytes, 0);
	struct xenpt_file *file;

	header.size = UINT64_C(1) << 60;
	reseal(sample.bytes, 0, header);
	assert_error(open_bytes(sample.bytes.data, sample.at[1], &file),
		     XENPT_ERROR_FORMAT, "at offset 0: chunk of an impossible size");
	free(sample.bytes.data);
}

static void test_too_many(void **state)
{
	struct sample sample = make_sample();
	struct section_header good = header_at(sample.bytes, sample.at[2]), bad = good;
	struct xenpt_file *file;

	bad.owner = XENPT_VCPUS_MAX;
	reseal(sample.bytes, sample.at[2], bad);
	assert_error(open_bytes(sample.bytes.data, sample.bytes.size, &file),
		     XENPT_ERROR_FORMAT, "vCPU 4096");
	bad.type = XENPT_SECTION_IMAGE;
	bad.owner = XENPT_IMAGES_MAX;
	reseal(sample.bytes, sample.at[2], bad);
	assert_error(open_bytes(sample.bytes.data, sample.bytes.size, &file),
		     XENPT_ERROR_FORMAT, "image 65536");
	free(sample.bytes.data);
}

/* A trace that goes back would be decoded twice. */
static void test_backward(void **state)
{
	struct sample sample = make_sample();
	struct section_header header = header_at(sample.bytes, sample.at[5]);
	const struct xenpt_file_info *info;
	struct xenpt_file *file;

	assert_int_equal(header.type, XENPT_SECTION_TRACE);
	header.place -= 10;
	reseal(sample.bytes, sample.at[5], header);
	assert_success(open_bytes(sample.bytes.data, sample.bytes.size, &file));
	info = xenpt_file_info(file);
	assert_false(info->complete);
	assert_int_equal(info->damage_count, 1);
	assert_string_equal(info->damages[0].why, "trace goes back");
	assert_int_equal(check_trace(file), TRACE);
	xenpt_file_close(file);
	free(sample.bytes.data);
}

static struct bytes joined(const void *a, size_t a_size, const void *b, size_t b_size)
{
	struct bytes ret = { malloc(a_size + b_size), a_size + b_size };

	assert_non_null(ret.data);
	memcpy(ret.data, a, a_size);
	memcpy(ret.data + a_size, b, b_size);
	return ret;
}

/* Twice the same file, or another one behind it: told, and not read. */
static void test_appended(void **state)
{
	struct sample sample = make_sample(), other = make_sample();
	const size_t end = sample.at[sample.count - 1]; /* before the end mark */
	const struct bytes files[] = {
		joined(sample.bytes.data, sample.bytes.size, sample.bytes.data, end),
		joined(sample.bytes.data, end, sample.bytes.data, end),
		joined(sample.bytes.data, end, other.bytes.data, other.bytes.size),
	};

	for (size_t i = 0; i < 3; i++) {
		struct xenpt_file *file;

		assert_success(open_bytes(files[i].data, files[i].size, &file));
		assert_false(xenpt_file_info(file)->complete);
		assert_int_equal(xenpt_file_info(file)->damage_count, 1);
		assert_int_equal(xenpt_file_info(file)->chunks, sample.count - (i > 0));
		assert_int_equal(check_trace(file), TRACE);
		xenpt_file_close(file);
		free(files[i].data);
	}
	free(sample.bytes.data);
	free(other.bytes.data);
}

/*
 * A guest can put a chunk into its trace, but not one with the id of the file:
 * the search after damage does not take it.
 */
static void test_forged(void **state)
{
	struct sample forged = make_sample();
	struct xenpt_vcpu vcpu = { 0, "" };
	struct xenpt_writer *writer;
	struct xenpt_file *file;
	size_t at[CHUNKS_ROOM];
	struct bytes bytes;
	int fd;

	writer = writer_open(&fd);
	assert_success(xenpt_writer_vcpu(writer, &vcpu));
	assert_success(
		xenpt_writer_trace(writer, 0, forged.bytes.data, forged.bytes.size));
	assert_success(xenpt_writer_finish(writer));
	bytes = writer_close(writer, fd);
	find_chunks(bytes, at, CHUNKS_ROOM);
	bytes.data[at[2]] ^= 1; /* the header of the trace */
	assert_success(open_bytes(bytes.data, bytes.size, &file));
	assert_int_equal(xenpt_file_info(file)->chunks, 3);
	assert_int_equal(xenpt_file_info(file)->vcpu_count, 1);
	assert_int_equal(xenpt_file_info(file)->damage_count, 1);
	xenpt_file_close(file);
	free(bytes.data);
	free(forged.bytes.data);
}

/* A search of a megabyte of magic numbers ends as soon as any other. */
static void test_many_magics(void **state)
{
	struct sample sample = make_sample();
	struct bytes hostile = { malloc(1 << 20), 1 << 20 }, bytes;
	struct xenpt_file *file;

	for (size_t i = 0; i < hostile.size; i++)
		hostile.data[i] = SECTION_MAGIC[i % 8];
	bytes = joined(sample.bytes.data, sample.at[3], hostile.data, hostile.size);
	assert_success(open_bytes(bytes.data, bytes.size, &file));
	assert_int_equal(xenpt_file_info(file)->chunks, 3);
	assert_int_equal(xenpt_file_info(file)->damages[0].size, hostile.size);
	xenpt_file_close(file);
	free(bytes.data);
	bytes = joined(hostile.data, hostile.size, sample.bytes.data, sample.bytes.size);
	assert_success(open_bytes(bytes.data, bytes.size, &file));
	assert_int_equal(xenpt_file_info(file)->chunks, sample.count);
	assert_int_equal(check_trace(file), TRACE);
	xenpt_file_close(file);
	free(bytes.data);
	free(hostile.data);
	free(sample.bytes.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_flipped_header),
		cmocka_unit_test(test_flipped_payload),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_shifted),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_bad_zstd),
		cmocka_unit_test(test_lying_file),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_backward),
		cmocka_unit_test(test_appended),
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_many_magics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
