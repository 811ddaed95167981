/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Address -> symbol, fit to be shown: the same few are asked for again and again. */
#ifndef XENPT_EXPORT_LABEL_H
#define XENPT_EXPORT_LABEL_H

#include "../xenpt.h"

struct xenpt_label {
	uint64_t cr3, address;
	uint64_t offset;   /* of the address in the symbol */
	const char *name;  /* escaped; NULL: there is no symbol */
	const char *image; /* escaped; "": unknown */
	uint32_t name_size, image_size;
	char *owned; /* what had to be escaped */
	bool used;
};

struct xenpt_labels;

/* @symtab may be NULL; else it must outlive the labels. */
struct xenpt_error *xenpt_labels_create(const struct xenpt_symtab *symtab,
					struct xenpt_labels **ret);
void xenpt_labels_destroy(struct xenpt_labels *labels);

/* Valid until the next call. */
const struct xenpt_label *xenpt_labels_find(struct xenpt_labels *labels, uint64_t cr3,
					    uint64_t address);

#endif
