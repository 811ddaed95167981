// SPDX-License-Identifier: GPL-2.0-only
/* Text for whoever listens at the console's port. */
#include <stdarg.h>

#include "kernel.h"

static struct spinlock console_lock;

static void put_char(char c)
{
	outb(GUEST_PORT_CONSOLE, c);
}

static void put_string(const char *s)
{
	for (; *s; s++)
		put_char(*s);
}

static void put_number(uint64_t value, uint32_t base)
{
	if (value >= base)
		put_number(value / base, base);
	put_char("0123456789abcdef"[value % base]);
}

void print(const char *format, ...)
{
	va_list args;

	spin_lock(&console_lock);
	va_start(args, format);
	for (const char *f = format; *f; f++) {
		if (*f != '%') {
			put_char(*f);
			continue;
		}
		switch (*++f) {
		case 's':
			put_string(va_arg(args, const char *));
			break;
		case 'u':
			put_number(va_arg(args, uint64_t), 10);
			break;
		case 'x':
			put_string("0x");
			put_number(va_arg(args, uint64_t), 16);
			break;
		}
	}
	va_end(args);
	spin_unlock(&console_lock);
}
