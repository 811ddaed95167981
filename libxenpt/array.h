/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A growing array: struct { TYPE *data; size_t count, capacity; }.
 *
 *	ARRAY(struct frame) frames = {};
 *	struct frame *frame = array_add(&frames);	NULL: no memory
 *	array_deinit(&frames);
 */
#ifndef XENPT_ARRAY_H
#define XENPT_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#define ARRAY(type)                     \
	struct {                        \
		type *data;             \
		size_t count, capacity; \
	}

/* The same with a name, to be handed to functions. */
#define ARRAY_TYPE(name, type)          \
	struct name {                   \
		type *data;             \
		size_t count, capacity; \
	}

static inline bool array_reserve_bytes(void *data, size_t *capacity, size_t count,
				       size_t size)
{
	size_t wanted = *capacity ? *capacity : 8;
	void *grown;

	if (count <= *capacity)
		return true;
	while (wanted < count) {
		if (__builtin_mul_overflow(wanted, (size_t)2, &wanted))
			return false;
	}
	grown = reallocarray(*(void **)data, wanted, size);
	if (!grown)
		return false;
	*(void **)data = grown;
	*capacity = wanted;
	return true;
}

/* Room for @n elements in all; false: no memory. */
#define array_reserve(a, n) \
	array_reserve_bytes(&(a)->data, &(a)->capacity, (n), sizeof(*(a)->data))

/* A new element at the end, not initialised; NULL: no memory. */
#define array_add(a) \
	(array_reserve((a), (a)->count + 1) ? &(a)->data[(a)->count++] : NULL)

#define array_deinit(a)                         \
	do {                                    \
		free((a)->data);                \
		(a)->data = NULL;               \
		(a)->count = (a)->capacity = 0; \
	} while (0)

#endif
