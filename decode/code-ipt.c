/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "code-ipt.h"
#include "libxenpt/cleanup.h"
#include "libxenpt/image.h"

void code_ipt_destroy(struct flow_code *code)
{
	if (!code)
		return;
	pt_image_free(code->sections);
	pt_iscache_free(code->cache);
	array_deinit(&code->own);
	free(code);
}

XENPT_DEFINE_CLEANUP(struct flow_code, flow_code, code_ipt_destroy)

/* ---- what is an address space's own ---- */

static int compare_ranges(const void *a, const void *b)
{
	const struct code_range *x = a, *y = b;

	return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static struct xenpt_error *find_own(struct flow_code *code,
				    const struct image_section *sections, size_t count)
{
	struct code_range *own;
	size_t merged = 0;

	for (size_t i = 0; i < count; i++) {
		if (sections[i].cr3 == XENPT_CR3_ANY)
			continue;
		own = array_add(&code->own);
		if (!own)
			return xenpt_error_no_memory();
		own->begin = sections[i].address;
		own->end = sections[i].address + sections[i].size;
	}
	own = code->own.data;
	if (code->own.count)
		qsort(own, code->own.count, sizeof(*own), compare_ranges);
	for (size_t i = 0; i < code->own.count; i++) {
		if (merged && own[i].begin <= own[merged - 1].end) {
			if (own[i].end > own[merged - 1].end)
				own[merged - 1].end = own[i].end;
		} else {
			own[merged++] = own[i];
		}
	}
	code->own.count = merged;
	return NULL;
}

/* The first range that ends after @address; one past the last: none. */
static const struct code_range *own_after(const struct flow_code *code, uint64_t address)
{
	size_t lo = 0, hi = code->own.count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (code->own.data[mid].end <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return code->own.data + lo;
}

bool code_ipt_is_own(const struct flow_code *code, uint64_t address)
{
	const struct code_range *own;

	if (!code->own.count)
		return false;
	own = own_after(code, address);
	return own != code->own.data + code->own.count && own->begin <= address;
}

/* ---- sections ---- */

/* Bytes [begin, end) of a section; the memory is that of the image's file, @path. */
static int add_part(struct flow_code *code, const char *path,
		    const struct image_section *section, uint64_t begin, uint64_t end)
{
	struct pt_asid asid;
	int isid;

	isid = pt_iscache_add_file(code->cache, path,
				   section->offset + (begin - section->address),
				   end - begin, begin);
	if (isid < 0)
		return isid;
	pt_asid_init(&asid);
	asid.cr3 = section->cr3 == XENPT_CR3_ANY ? pt_asid_no_cr3 : section->cr3;
	return pt_image_add_cached(code->sections, code->cache, isid, &asid);
}

/*
 * Where sections overlap, libipt keeps only the one added last, and one without a
 * CR3 overlaps with those of each. So what is in all address spaces is left out
 * where one of them has its own; there, read_memory() tells.
 */
static int add_section(struct flow_code *code, const char *path,
		       const struct image_section *section)
{
	uint64_t begin = section->address, end = begin + section->size;
	const struct code_range *own, *last;

	if (section->cr3 != XENPT_CR3_ANY || !code->own.count)
		return add_part(code, path, section, begin, end);
	last = code->own.data + code->own.count;
	for (own = own_after(code, begin); own != last && own->begin < end; own++) {
		int status = 0;

		if (begin < own->begin)
			status = add_part(code, path, section, begin, own->begin);
		if (status < 0)
			return status;
		begin = own->end;
	}
	return begin < end ? add_part(code, path, section, begin, end) : 0;
}

static int read_memory(uint8_t *buf, size_t size, const struct pt_asid *asid, uint64_t ip,
		       void *arg)
{
	const struct flow_code *code = arg;
	uint64_t cr3 = asid->cr3 == pt_asid_no_cr3 ? XENPT_CR3_ANY : asid->cr3;
	size_t read = xenpt_image_read(code->image, cr3, ip, buf, size);

	return read ? (int)read : -pte_nomap;
}

/*
 * Sections are backed by a file: libipt's block cache hangs on such sections, and
 * with the callback alone decoding takes three to five times as long. They are
 * in a section cache, which keeps them, and what was cached with them, from one
 * span to the next. Each thread has its own, for their locks are taken at every
 * block.
 */
struct xenpt_error *code_ipt_create(const struct xenpt_image *image,
				    struct flow_code **ret)
{
	_cleanup_(flow_code_cleanup) struct flow_code *code = calloc(1, sizeof(*code));
	const struct image_section *sections;
	char path[64];
	size_t count;

	if (!code)
		return xenpt_error_no_memory();
	code->image = image;
	code->cache = pt_iscache_alloc(NULL);
	code->sections = pt_image_alloc(NULL);
	if (!code->cache || !code->sections ||
	    pt_image_set_callback(code->sections, read_memory, code) < 0)
		return xenpt_error_no_memory();

	sections = xenpt_image_sections(image, &count);
	XENPT_TRY(find_own(code, sections, count));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", xenpt_image_fd(image));
	for (size_t i = 0; i < count; i++) {
		int status = add_section(code, path, &sections[i]);

		if (status == -pte_nomem)
			return xenpt_error_no_memory();
		if (status < 0)
			return xenpt_error_create(
				XENPT_ERROR_INVALID, "code at 0x%" PRIx64 ": %s",
				sections[i].address, pt_errstr(pt_errcode(status)));
	}
	*ret = no_cleanup_ptr(code);
	return NULL;
}
