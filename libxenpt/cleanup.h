/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Scope guards: a resource is declared with its guard, and leaves the scope
 * freed on every way out. return_ptr() hands it to the caller instead.
 */
#ifndef XENPT_CLEANUP_H
#define XENPT_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "xenpt.h"

#define _cleanup_(fn) __attribute__((cleanup(fn)))

/* A guard _cleanup_NAME_ for pointers, by a destructor that takes NULL. */
#define XENPT_DEFINE_CLEANUP(type, name, destroy)   \
	static inline void name##_cleanup(type **p) \
	{                                           \
		destroy(*p);                        \
	}

static inline void xenpt_free_cleanup(void *p)
{
	free(*(void **)p);
}
#define _cleanup_free_ _cleanup_(xenpt_free_cleanup)

static inline void xenpt_close_cleanup(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define _cleanup_close_ _cleanup_(xenpt_close_cleanup)

static inline void xenpt_fclose_cleanup(FILE **fp)
{
	if (*fp)
		fclose(*fp);
}
#define _cleanup_fclose_ _cleanup_(xenpt_fclose_cleanup)

XENPT_DEFINE_CLEANUP(struct xenpt_error, xenpt_error, xenpt_error_destroy)
#define _cleanup_error_ _cleanup_(xenpt_error_cleanup)

/* Take a guarded pointer out of its guard. */
#define no_cleanup_ptr(p)              \
	({                             \
		__auto_type p__ = (p); \
		(p) = NULL;            \
		p__;                   \
	})
#define return_ptr(p) return no_cleanup_ptr(p)

/* Return early with an error. */
#define XENPT_TRY(call)                             \
	do {                                        \
		struct xenpt_error *err__ = (call); \
		if (err__)                          \
			return err__;               \
	} while (0)

#endif
