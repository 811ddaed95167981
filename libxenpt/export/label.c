/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "label.h"

#define LABELS 8192        /* a power of two */
#define NAME_SIZE_MAX 1024 /* longer names are cut */

struct xenpt_labels {
	const struct xenpt_symtab *symtab;
	struct xenpt_label labels[LABELS];
};

struct xenpt_error *xenpt_labels_create(const struct xenpt_symtab *symtab,
					struct xenpt_labels **ret)
{
	struct xenpt_labels *labels = calloc(1, sizeof(*labels));

	if (!labels)
		return xenpt_error_no_memory();
	labels->symtab = symtab;
	*ret = labels;
	return NULL;
}

void xenpt_labels_destroy(struct xenpt_labels *labels)
{
	if (!labels)
		return;
	for (size_t i = 0; i < LABELS; i++)
		free(labels->labels[i].owned);
	free(labels);
}

/* Printable ASCII without what JSON or a terminal takes for something else. */
static bool is_plain(const char *s, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (s[i] < ' ' || s[i] > '~' || s[i] == '\\' || s[i] == '"')
			return false;
	}
	return true;
}

/* The escaped string and its size; *@room is where it goes if it must change. */
static const char *escape(const char *s, char **room, uint32_t *size_ret)
{
	size_t size = strnlen(s, NAME_SIZE_MAX);
	char *escaped = *room;

	if (is_plain(s, size)) {
		*size_ret = size;
		return s;
	}
	*size_ret = xenpt_escape(s, size, escaped, 4 * NAME_SIZE_MAX + 1);
	*room += *size_ret + 1;
	return escaped;
}

static void fill(struct xenpt_label *label, const struct xenpt_symbol *symbol)
{
	const char *image = symbol->image ? symbol->image : "";
	char *room = NULL;

	label->offset = label->address - symbol->address;
	if (!is_plain(symbol->name, strnlen(symbol->name, NAME_SIZE_MAX)) ||
	    !is_plain(image, strnlen(image, NAME_SIZE_MAX))) {
		room = label->owned = malloc(2 * (4 * NAME_SIZE_MAX + 1));
		if (!room)
			return; /* no symbol is better than a raw one */
	}
	label->name = escape(symbol->name, &room, &label->name_size);
	label->image = escape(image, &room, &label->image_size);
}

const struct xenpt_label *xenpt_labels_find(struct xenpt_labels *labels, uint64_t cr3,
					    uint64_t address)
{
	uint64_t hash = (address ^ cr3 >> 5) * 0x9e3779b97f4a7c15;
	struct xenpt_label *label = &labels->labels[hash >> 51];
	struct xenpt_symbol symbol;

	_Static_assert(LABELS == 1 << (64 - 51), "the hash covers the table");
	if (label->used && label->address == address && label->cr3 == cr3)
		return label;
	free(label->owned);
	*label = (struct xenpt_label){ .used = true, .cr3 = cr3, .address = address };
	if (labels->symtab && xenpt_symtab_find(labels->symtab, cr3, address, &symbol))
		fill(label, &symbol);
	return label;
}
