/* SPDX-License-Identifier: GPL-2.0-or-later */
/* .xpt files in memory, for tests that make them and break them. */
#ifndef TEST_XPT_H
#define TEST_XPT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libxenpt/file.h"
#include "libxenpt/section.h"
#include "libxenpt/xenpt.h"

#define assert_success(call)                                      \
	do {                                                      \
		struct xenpt_error *err_ = (call);                \
		if (err_)                                         \
			fail_msg("%s: %s", #call, err_->message); \
	} while (0)

/* That @call fails with that code and says @text. */
#define assert_error(call, error_code, text)                                      \
	do {                                                                      \
		struct xenpt_error *err_ = (call);                                \
		if (!err_)                                                        \
			fail_msg("%s: no error", #call);                          \
		if (err_->code != (error_code) || !strstr(err_->message, (text))) \
			fail_msg("%s: %d: %s", #call, err_->code, err_->message); \
		xenpt_error_destroy(err_);                                        \
	} while (0)

struct bytes {
	uint8_t *data;
	size_t size;
};

/* The nth number of a sequence that looks random: SplitMix64. */
static inline uint64_t noise(uint64_t n)
{
	n = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
	n = (n ^ n >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	n = (n ^ n >> 27) * UINT64_C(0x94d049bb133111eb);
	return n ^ n >> 31;
}

/* A writer into memory, and what it has written. */
static inline struct xenpt_writer *writer_open(int *fd_ret)
{
	struct xenpt_writer *writer;

	*fd_ret = memfd_create("xpt", MFD_CLOEXEC);
	assert_true(*fd_ret >= 0);
	assert_success(xenpt_writer_create(*fd_ret, "test.xpt", &writer));
	return writer;
}

static inline struct bytes writer_close(struct xenpt_writer *writer, int fd)
{
	struct bytes ret;
	struct stat st;

	xenpt_writer_destroy(writer);
	assert_int_equal(fstat(fd, &st), 0);
	ret.size = st.st_size;
	ret.data = malloc(ret.size);
	assert_non_null(ret.data);
	assert_int_equal(pread(fd, ret.data, ret.size, 0), ret.size);
	close(fd);
	return ret;
}

static inline struct xenpt_error *open_bytes(const void *data, size_t size,
					     struct xenpt_file **ret)
{
	int fd = memfd_create("xpt", MFD_CLOEXEC);
	struct xenpt_error *err;
	char path[64];

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = xenpt_file_open(path, ret);
	close(fd);
	return err;
}

/* Where each chunk of a whole file begins; then its end. Returns the count. */
static inline size_t find_chunks(struct bytes bytes, size_t *at, size_t room)
{
	struct section_header header;
	size_t count = 0;

	at[0] = 0;
	while (at[count] < bytes.size) {
		assert_true(count + 1 < room);
		assert_null(xenpt_section_open(bytes.data + at[count], &header));
		at[count + 1] = at[count] + sizeof(header) + section_padded(header.size);
		count++;
	}
	assert_int_equal(at[count], bytes.size);
	return count;
}

static inline struct section_header header_at(struct bytes bytes, size_t at)
{
	struct section_header header;

	assert_null(xenpt_section_open(bytes.data + at, &header));
	return header;
}

/* Put a changed header back, with a CRC that is right. */
static inline void reseal(struct bytes bytes, size_t at, struct section_header header)
{
	xenpt_section_seal(&header);
	memcpy(bytes.data + at, &header, sizeof(header));
}

#endif
