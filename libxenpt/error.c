/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "xenpt.h"

/* Reporting that memory ran out must not need memory. */
static struct xenpt_error no_memory = {
	.code = XENPT_ERROR_NO_MEMORY,
	.message = (char *)"out of memory",
};

struct xenpt_error *xenpt_error_no_memory(void)
{
	return &no_memory;
}

static XENPT_PRINTF(3, 0) struct xenpt_error *create(enum xenpt_error_code code,
						     int errnum, const char *fmt,
						     va_list ap)
{
	struct xenpt_error *err = malloc(sizeof(*err));

	if (!err)
		return &no_memory;
	err->code = code;
	err->errnum = errnum;
	if (vasprintf(&err->message, fmt, ap) < 0) {
		free(err);
		return &no_memory;
	}
	return err;
}

struct xenpt_error *xenpt_error_create(enum xenpt_error_code code, const char *fmt, ...)
{
	struct xenpt_error *err;
	va_list ap;

	va_start(ap, fmt);
	err = create(code, 0, fmt, ap);
	va_end(ap);
	return err;
}

struct xenpt_error *xenpt_error_os(int errnum, const char *fmt, ...)
{
	struct xenpt_error *err;
	char *message;
	va_list ap;

	va_start(ap, fmt);
	err = create(XENPT_ERROR_OS, errnum, fmt, ap);
	va_end(ap);
	if (err == &no_memory)
		return err;
	if (asprintf(&message, "%s: %s", err->message, strerror(errnum)) < 0) {
		xenpt_error_destroy(err);
		return &no_memory;
	}
	free(err->message);
	err->message = message;
	return err;
}

struct xenpt_error *xenpt_error_prepend(struct xenpt_error *err, const char *fmt, ...)
{
	char *context, *message;
	va_list ap;
	int len;

	if (!err || err == &no_memory)
		return err;
	va_start(ap, fmt);
	len = vasprintf(&context, fmt, ap);
	va_end(ap);
	if (len < 0)
		return err; /* the message without its context is better than none */
	if (asprintf(&message, "%s: %s", context, err->message) >= 0) {
		free(err->message);
		err->message = message;
	}
	free(context);
	return err;
}

void xenpt_error_destroy(struct xenpt_error *err)
{
	if (!err || err == &no_memory)
		return;
	free(err->message);
	free(err);
}
