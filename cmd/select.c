/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/select.h"
#include "libxenpt/cleanup.h"

static bool parse_digits(const char *s, int base, char **end, uint64_t *ret)
{
	unsigned char first = *s;
	unsigned long long value;

	/* strtoull() takes blanks and signs as well. */
	if (base == 16 ? !isxdigit(first) : !isdigit(first))
		return false;
	errno = 0;
	value = strtoull(s, end, base);
	if (errno)
		return false;
	*ret = value;
	return true;
}

bool select_number(const char *arg, uint64_t *ret)
{
	uint64_t value;
	char *end;

	if (!parse_digits(arg, 10, &end, &value) || *end)
		return false;
	*ret = value;
	return true;
}

bool select_address(const char *arg, uint64_t *ret)
{
	uint64_t value;
	char *end;

	if (!parse_digits(arg, 16, &end, &value) || *end)
		return false;
	*ret = value;
	return true;
}

/* ---- vCPUs -------------------------------------------------------------- */

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static struct xenpt_error *bad_vcpus(const char *arg)
{
	return xenpt_error_create(XENPT_ERROR_INVALID,
				  "'%s' is no list of vCPUs: give one like 0,2-3", arg);
}

static struct xenpt_error *add_vcpus(vcpu_array *ids, uint32_t lo, uint32_t hi)
{
	for (uint32_t id = lo; id <= hi; id++) {
		uint32_t *slot = array_add(ids);

		if (!slot)
			return xenpt_error_no_memory();
		*slot = id;
	}
	return NULL;
}

struct xenpt_error *select_vcpus(const char *arg, vcpu_array *ret)
{
	_cleanup_free_ uint32_t *data = NULL;
	vcpu_array ids = {};
	const char *p = arg;
	size_t unique = 0;
	bool more = true;

	while (more) {
		struct xenpt_error *err;
		uint64_t lo, hi;
		char *end;

		if (!parse_digits(p, 10, &end, &lo))
			return bad_vcpus(arg);
		hi = lo;
		if (*end == '-' && !parse_digits(end + 1, 10, &end, &hi))
			return bad_vcpus(arg);
		if (lo > hi || hi >= XENPT_VCPUS_MAX || (*end && *end != ',') ||
		    ids.count > XENPT_VCPUS_MAX)
			return bad_vcpus(arg);
		err = add_vcpus(&ids, lo, hi);
		data = ids.data;
		if (err)
			return err;
		more = *end == ',';
		p = end + 1;
	}
	qsort(ids.data, ids.count, sizeof(*ids.data), compare_ids);
	for (size_t i = 0; i < ids.count; i++) {
		if (!unique || ids.data[unique - 1] != ids.data[i])
			ids.data[unique++] = ids.data[i];
	}
	ids.count = unique;
	*ret = ids;
	data = NULL;
	return NULL;
}

/* ---- time --------------------------------------------------------------- */

/* The digits behind a point, in units of @ns; past a nanosecond they are cut. */
static uint64_t fraction_of(const char *digits, uint64_t ns)
{
	uint64_t sum = 0;

	for (; isdigit((unsigned char)*digits); digits++) {
		ns /= 10;
		sum += ns * (*digits - '0');
	}
	return sum;
}

static bool parse_bound(const char *s, struct time_bound *ret)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "ns", 1 }, { "us", 1000 }, { "ms", 1000000 }, { "s", 1000000000 }
	};
	struct time_bound bound = { .given = true };
	const char *fraction = NULL;
	const char *p;
	char *end;

	if (!*s)
		return true;
	if (!parse_digits(s, 10, &end, &bound.value))
		return false;
	p = end;
	if (*p == '.' && isdigit((unsigned char)p[1])) {
		fraction = ++p;
		p += strspn(p, "0123456789");
	}
	if (!*p && !fraction) {
		*ret = bound;
		return true;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		uint64_t part = fraction ? fraction_of(fraction, units[i].ns) : 0;

		if (strcmp(p, units[i].name) != 0)
			continue;
		bound.relative = true;
		if (__builtin_mul_overflow(bound.value, units[i].ns, &bound.value) ||
		    __builtin_add_overflow(bound.value, part, &bound.value))
			return false;
		*ret = bound;
		return true;
	}
	return false;
}

struct xenpt_error *select_time(const char *arg, struct time_bound ret[2])
{
	const char *dots = strstr(arg, "..");
	struct time_bound bounds[2] = {};
	_cleanup_free_ char *first = NULL;

	if (dots) {
		first = strndup(arg, dots - arg);
		if (!first)
			return xenpt_error_no_memory();
	}
	if (!dots || !parse_bound(first, &bounds[0]) ||
	    !parse_bound(dots + 2, &bounds[1]))
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "'%s' is no range of time: give A..B, each in "
					  "TSC ticks, or in ns, us, ms or s since the "
					  "first time of the trace",
					  arg);
	memcpy(ret, bounds, sizeof(bounds));
	return NULL;
}

uint64_t select_ticks(uint64_t ns, const struct xenpt_clock *clock)
{
	double ticks = ns / clock->ns_per_tick;

	return ticks >= 0x1p64 ? UINT64_MAX : (uint64_t)ticks;
}

static uint64_t ticks_of(const struct time_bound *bound, uint64_t first,
			 const struct xenpt_clock *clock)
{
	uint64_t ticks;

	if (!bound->relative)
		return bound->value;
	if (__builtin_add_overflow(first, select_ticks(bound->value, clock), &ticks))
		return UINT64_MAX;
	return ticks;
}

struct xenpt_error *select_time_apply(const struct time_bound bounds[2], uint64_t first,
				      const struct xenpt_clock *clock,
				      struct xenpt_filter *filter)
{
	if ((bounds[0].relative || bounds[1].relative) && !(clock->ns_per_tick > 0))
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "the clock of this trace is not known: give "
					  "times in TSC ticks");
	if (bounds[0].given)
		filter->time_lo = ticks_of(&bounds[0], first, clock);
	if (bounds[1].given)
		filter->time_hi = ticks_of(&bounds[1], first, clock);
	if (filter->time_lo > filter->time_hi)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "the range of time ends before it begins");
	return NULL;
}

/* ---- addresses ---------------------------------------------------------- */

bool select_range(const char *arg, struct xenpt_filter *filter)
{
	const char *dots = strstr(arg, "..");
	_cleanup_free_ char *first = NULL;
	uint64_t lo = 0, hi = UINT64_MAX;

	if (!dots)
		return false;
	first = strndup(arg, dots - arg);
	if (!first || (*first && !select_address(first, &lo)) ||
	    (dots[2] && !select_address(dots + 2, &hi)) || lo > hi)
		return false;
	filter->ip_lo = lo;
	filter->ip_hi = hi;
	return true;
}

/* Where a symbol without a size ends: at the next one. */
static uint64_t symbol_end(const struct xenpt_symtab *symtab, uint64_t cr3,
			   uint64_t address)
{
	uint64_t inside = 0, step;
	struct xenpt_symbol symbol;

	for (step = 1; step < 1U << 30; step *= 2) {
		if (!xenpt_symtab_find(symtab, cr3, address + step, &symbol) ||
		    symbol.address != address)
			break;
		inside = step;
	}
	while (step - inside > 1) {
		uint64_t middle = inside + (step - inside) / 2;

		if (xenpt_symtab_find(symtab, cr3, address + middle, &symbol) &&
		    symbol.address == address)
			inside = middle;
		else
			step = middle;
	}
	return address + inside;
}

struct xenpt_error *select_symbol(const char *name, const struct xenpt_symtab *symtab,
				  struct xenpt_filter *filter)
{
	struct xenpt_symbol symbol;

	if (!xenpt_symtab_find_name(symtab, filter->cr3, name, &symbol))
		return xenpt_error_create(XENPT_ERROR_NOT_FOUND,
					  "there is no symbol '%s', nor is this a range "
					  "LO..HI of hexadecimal addresses",
					  name);
	filter->ip_lo = symbol.address;
	filter->ip_hi = symbol.size ? symbol.address + symbol.size - 1
				    : symbol_end(symtab, symbol.cr3, symbol.address);
	/* Others have other code there. */
	if (filter->cr3 == XENPT_CR3_ANY)
		filter->cr3 = symbol.cr3;
	return NULL;
}
