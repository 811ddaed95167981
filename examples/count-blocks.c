/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * count-blocks FILE: how many basic blocks ran in each function, by the public
 * header alone. Build it as any program that uses the library:
 *
 *	cc count-blocks.c $(pkg-config --cflags --libs libxenpt)
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenpt.h>

#define SLOTS 65536

/* Names live as long as the symbol table: the pointer tells functions apart. */
struct function {
	const char *name;
	uint64_t blocks;
};

static struct function functions[SLOTS];

static void count(const char *name)
{
	size_t i = (uintptr_t)name * UINT64_C(0x9e3779b97f4a7c15) >> 48, tries;

	for (tries = 0; tries < SLOTS; tries++, i = (i + 1) % SLOTS) {
		if (!functions[i].name)
			functions[i].name = name;
		if (functions[i].name == name) {
			functions[i].blocks++;
			return;
		}
	}
}

static int compare(const void *a, const void *b)
{
	const struct function *x = a, *y = b;

	if (x->blocks != y->blocks)
		return x->blocks < y->blocks ? 1 : -1;
	return x->name && y->name ? strcmp(x->name, y->name) : 0;
}

static void print(void)
{
	char name[256];
	size_t i;

	qsort(functions, SLOTS, sizeof(functions[0]), compare);
	for (i = 0; i < SLOTS && functions[i].blocks; i++) {
		/* The guest may have chosen the name. */
		xenpt_escape(functions[i].name, strlen(functions[i].name), name,
			     sizeof(name));
		printf("%10" PRIu64 "  %s\n", functions[i].blocks, name);
	}
}

static struct xenpt_error *decode(struct xenpt_decoder *decoder,
				  const struct xenpt_symtab *symtab)
{
	struct xenpt_batch batch;
	struct xenpt_symbol symbol;
	struct xenpt_error *err;
	size_t i;

	for (;;) {
		err = xenpt_decoder_next(decoder, &batch);
		if (err || !batch.count)
			return err;
		for (i = 0; i < batch.count; i++) {
			const struct xenpt_event *event = &batch.events[i];

			if (event->type == XENPT_EVENT_GAP ||
			    event->type == XENPT_EVENT_ERROR)
				count("(trace is missing)");
			if (event->type != XENPT_EVENT_BLOCK)
				continue;
			if (xenpt_symtab_find(symtab, event->cr3, event->ip, &symbol))
				count(symbol.name);
			else
				count("(no symbol)");
		}
	}
}

static struct xenpt_error *run(const char *path)
{
	struct xenpt_decoder_options options = { .threads = 0 };
	struct xenpt_decoder *decoder = NULL;
	struct xenpt_symtab *symtab = NULL;
	struct xenpt_file *file = NULL;
	struct xenpt_error *err;

	err = xenpt_file_open(path, &file);
	if (!err)
		err = xenpt_symtab_create(file, &symtab);
	if (!err)
		err = xenpt_decoder_create(file, &options, &decoder);
	if (!err)
		err = decode(decoder, symtab);
	if (!err)
		print();
	xenpt_decoder_destroy(decoder);
	xenpt_symtab_destroy(symtab);
	xenpt_file_close(file);
	return err;
}

int main(int argc, char **argv)
{
	struct xenpt_error *err;

	if (argc != 2) {
		fputs("usage: count-blocks FILE\n", stderr);
		return 2;
	}
	err = run(argv[1]);
	if (err) {
		fprintf(stderr, "count-blocks: %s\n", err->message);
		xenpt_error_destroy(err);
		return 1;
	}
	return 0;
}
