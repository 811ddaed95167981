/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest of tests/xen-host that is traced into its memory: tables, regions that lie one
 * behind the other, and what a reader finds in them.
 */
#ifndef TEST_XENPT_H
#define TEST_XENPT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hv/pt/packet.h"
#include "tests/xen-host/host.h"

#include <asm/hvm/vmx/xenpt.h>

#define PAGE 4096ull
#define TABLE 0x100000ull
#define TABLE_2 0x101000ull
#define REGION 0x10000000ull /* aligned for the largest of them */
#define SIZE(n) ((uint64_t)(n) << XPT_TOPA_SIZE_SHIFT)
#define INT XPT_TOPA_INT
#define STOP XPT_TOPA_STOP
#define END XPT_TOPA_END
#define CTL (XPT_CTL_OS | XPT_CTL_USER | XPT_CTL_BRANCH_EN | XPT_CTL_DIS_RETC)
#define A 0x12345000ull
#define B 0x67890000ull
#define TEXT 4096

#define OP(name) XEN_DOMCTL_vmtrace_xenpt_##name

struct guest {
	struct domain *d;
	struct vcpu *v;
};

static inline int op(struct guest *guest, uint32_t cmd, uint64_t key, uint64_t value)
{
	return host_op(guest->d, cmd, 0, &key, &value);
}

static inline void boot(struct guest *guest, const struct host_model *model)
{
	host_boot(model, true);
	guest->d = host_domain_create(2);
	guest->v = guest->d->vcpu[0];
	host_xen_cr3(guest->v, A);
}

static inline int guest_setup(void **state)
{
	static struct guest guest;

	boot(&guest, &host_model);
	*state = &guest;
	return 0;
}

static inline int guest_teardown(void **state)
{
	host_end();
	return 0;
}

static inline uint64_t ptrs(uint64_t index, uint64_t offset)
{
	return offset << 32 | index << 7 | 0x7f;
}

/* ---- tables ---- */

static inline void add_pages(struct guest *guest, uint64_t gpa, uint64_t size)
{
	for (uint64_t at = gpa; at < gpa + size; at += PAGE)
		host_page_add(guest->d, at / PAGE);
}

static inline void entry(struct guest *guest, uint64_t table, unsigned int index,
			 uint64_t value)
{
	assert_true(host_write(guest->d, table + 8ull * index, &value, 8));
}

/* A table of @nr regions of a page, from REGION on, with these flags. */
static inline void add_table(struct guest *guest, unsigned int nr, uint64_t flags)
{
	add_pages(guest, TABLE, PAGE);
	for (unsigned int i = 0; i < nr; i++) {
		add_pages(guest, REGION + i * PAGE, PAGE);
		entry(guest, TABLE, i, (REGION + i * PAGE) | flags);
	}
}

static inline void add_ring(struct guest *guest, unsigned int nr, uint64_t flags)
{
	add_table(guest, nr, flags);
	entry(guest, TABLE, nr, TABLE | END);
}

static inline void enable(struct guest *guest, uint64_t ctl)
{
	assert_int_equal(op(guest, OP(enable), 0, ctl), 0);
}

/* Set up for TABLE, and in the guest. */
static inline void start(struct guest *guest, uint64_t flags)
{
	assert_int_equal(op(guest, OP(setup), TABLE, flags), 0);
	enable(guest, CTL);
	assert_true(host_run(guest->v, 1));
}

/* ---- what a reader asks ---- */

static inline uint64_t status(struct guest *guest)
{
	uint64_t key = 0, value = 0;

	assert_int_equal(host_op(guest->d, OP(status), 0, &key, &value), 0);
	return value;
}

static inline uint64_t total(struct guest *guest)
{
	uint64_t key = 0, value = 0;

	assert_int_equal(host_op(guest->d, OP(status), 0, &key, &value), 0);
	return key;
}

/* Xen says how much the CPU has put out, if there were no PIPs of Xen's. */
static inline void assert_counted(struct guest *guest)
{
	const uint64_t said = total(guest);

	assert_int_equal(said, guest->v->traced);
}

static inline void assert_at(struct guest *guest, uint64_t base, uint64_t index,
			     uint64_t offset)
{
	uint64_t key = 0, value = 0;

	assert_int_equal(host_op(guest->d, OP(position), 0, &key, &value), 0);
	assert_int_equal(key, base);
	assert_int_equal(value, ptrs(index, offset));
}

static inline unsigned int open_port(struct guest *guest)
{
	uint64_t key = 0, port = 0;

	assert_int_equal(host_op(guest->d, OP(evtchn), 0, &key, &port), 0);
	return port;
}

/* How often the reader was called, since the last time. */
static inline unsigned int calls(struct guest *guest)
{
	unsigned int nr = guest->d->ports[1].notified;

	guest->d->ports[1].notified = 0;
	return nr;
}

/* The guest runs so many branches, six in each byte. */
static inline size_t run(struct guest *guest, size_t size)
{
	uint8_t *bytes = malloc(size);
	size_t done;

	assert_non_null(bytes);
	memset(bytes, 0xaa, size);
	done = host_trace(guest->v, bytes, size);
	free(bytes);
	return done;
}

/* ---- what is in the memory ---- */

static inline uint64_t cr3_of(const uint8_t *pip)
{
	uint64_t payload = 0;

	for (unsigned int i = 0; i < 6; i++)
		payload |= (uint64_t)pip[2 + i] << 8 * i;
	return payload >> 1 << 5;
}

/* The packet at @at, as a word in @word; its size. */
static inline size_t name_packet(const uint8_t *at, size_t size, char *word)
{
	if (size >= 16 && at[0] == 2 && at[1] == 0x82) {
		strcpy(word, "psb");
		return 16;
	}
	if (size >= 2 && at[0] == 2 && at[1] == 0x23) {
		strcpy(word, "psbend");
		return 2;
	}
	if (size >= 8 && at[0] == 2 && at[1] == 0x43) {
		sprintf(word, "%s:%llx", at[2] & 1 ? "pip" : "hostpip",
			(unsigned long long)cr3_of(at));
		return 8;
	}
	switch (at[0]) {
	case XPT_TIP_PGE:
		strcpy(word, "pge");
		return 1;
	case XPT_TIP_PGD:
		strcpy(word, "pgd");
		return 1;
	case 0xaa:
		strcpy(word, "tnt");
		return 1;
	}
	sprintf(word, "%02x", at[0]);
	return 1;
}

/* The packets from @from to @to of the stream, branches once each time. */
static inline void read_stream(struct guest *guest, uint64_t from, uint64_t to,
			       char text[TEXT])
{
	char word[64], last[64] = "";
	uint8_t *bytes = malloc(to - from + 1);
	size_t used = 0, at = 0;

	assert_non_null(bytes);
	assert_true(host_read(guest->d, REGION + from, bytes, to - from));
	text[0] = 0;
	while (at < to - from) {
		at += name_packet(bytes + at, to - from - at, word);
		if (!strcmp(word, "tnt") && !strcmp(last, "tnt"))
			continue;
		strcpy(last, word);
		used += snprintf(text + used, TEXT - used, "%s%s", used ? " " : "", word);
		assert_true(used < TEXT);
	}
	free(bytes);
}

/* From @*from, which moves on to the end of what was put out. */
static inline void assert_stream(struct guest *guest, uint64_t *from, const char *want)
{
	uint64_t to = total(guest);
	char text[TEXT];

	read_stream(guest, *from, to, text);
	assert_string_equal(text, want);
	*from = to;
}

#endif
