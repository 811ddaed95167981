/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <endian.h>
#include <inttypes.h>
#include <string.h>

#include "array.h"
#include "cleanup.h"
#include "file.h"
#include "section.h"

/* A small file of compressed zeros must not take all memory. */
#define SYMBOLS_SIZE_MAX (UINT64_C(512) << 20)

/* How far a symbol without a size reaches, if no other comes before. */
#define UNSIZED_MAX 0x10000

/* Steps out of nested symbols: real ones are few deep. */
#define NESTED_MAX 256

#define NO_ENTRY UINT32_MAX

struct entry {
	uint64_t address;
	uint64_t end;   /* the first address that is not its own */
	uint32_t table; /* that it came in */
	uint32_t name;  /* offset in the table's names */
	/*
	 * The nearest entry before that ends later: if an address is past the
	 * end of this one, none in between has it either.
	 */
	uint32_t outer;
	bool sized;
};

/* One chunk of symbols. */
struct table {
	char *data;
	const char *names; /* in data */
	char *image;
	uint64_t cr3;
};

/* The entries of one address space. */
struct space {
	uint64_t cr3;
	size_t begin, count;
};

struct xenpt_symtab {
	ARRAY(struct table) tables;
	ARRAY(struct entry) entries;
	ARRAY(struct space) spaces; /* by CR3 */
};

static struct xenpt_error *bad_chunk(const struct xenpt_file *file,
				     const struct xenpt_chunk *chunk, const char *why)
{
	return xenpt_error_create(XENPT_ERROR_FORMAT,
				  "%s: chunk at offset %" PRIu64 ": %s",
				  xenpt_file_info(file)->path, chunk->position, why);
}

/* Check a chunk of symbols, and point to its parts. */
static const char *parse_chunk(const char *data, size_t size,
			       const struct section_symbol **symbols_ret,
			       uint32_t *count_ret, const char **names_ret)
{
	struct section_symbols fixed;
	const struct section_symbol *symbols;
	const char *names;
	size_t room;
	uint32_t count;

	if (size < sizeof(fixed))
		return "too short for symbols";
	memcpy(&fixed, data, sizeof(fixed));
	count = le32toh(fixed.count);
	room = size - sizeof(fixed);
	if (count > room / sizeof(*symbols))
		return "more symbols than its size allows";
	symbols = (const void *)(data + sizeof(fixed));
	names = (const char *)(symbols + count);
	room -= count * sizeof(*symbols);
	if (count && (!room || names[room - 1]))
		return "a symbol's name does not end";
	for (uint32_t i = 0; i < count; i++) {
		if (le32toh(symbols[i].name) >= room)
			return "a symbol's name is not in the chunk";
	}
	*symbols_ret = symbols;
	*count_ret = count;
	*names_ret = names;
	return NULL;
}

static struct xenpt_error *add_chunk(struct xenpt_symtab *symtab,
				     const struct xenpt_file *file,
				     const struct xenpt_chunk *chunk)
{
	const struct xenpt_image_info *image = xenpt_file_image(file, chunk->image);
	_cleanup_free_ char *data = malloc(chunk->size + 1);
	_cleanup_free_ char *name = strdup(image ? image->name : "");
	size_t base = symtab->entries.count;
	const struct section_symbol *symbols;
	struct table *table;
	const char *names, *why;
	uint32_t count;

	if (!data || !name)
		return xenpt_error_no_memory();
	XENPT_TRY(xenpt_file_read(file, chunk, data));
	why = parse_chunk(data, chunk->size, &symbols, &count, &names);
	if (why)
		return bad_chunk(file, chunk, why);
	if (!array_reserve(&symtab->entries, base + count))
		return xenpt_error_no_memory();
	for (uint32_t i = 0; i < count; i++) {
		uint64_t address = le64toh(symbols[i].address);
		uint64_t size = le64toh(symbols[i].size), end;

		if (__builtin_add_overflow(address, size, &end))
			end = UINT64_MAX;
		symtab->entries.data[base + i] = (struct entry){
			.address = address,
			.end = end,
			.table = symtab->tables.count,
			.name = le32toh(symbols[i].name),
			.sized = size > 0,
		};
	}
	symtab->entries.count = base + count;
	table = array_add(&symtab->tables);
	if (!table)
		return xenpt_error_no_memory();
	*table = (struct table){
		.data = no_cleanup_ptr(data),
		.names = names,
		.image = no_cleanup_ptr(name),
		.cr3 = image ? image->cr3 : XENPT_CR3_ANY,
	};
	return NULL;
}

/*
 * By address space and address. Of those at one address the shortest is last,
 * where a search meets it first, but one without a size is first; of equal ones
 * the first of the file is last.
 */
static int compare_entries(const void *a, const void *b, void *arg)
{
	const struct xenpt_symtab *symtab = arg;
	const struct entry *x = a, *y = b;
	uint64_t x_cr3 = symtab->tables.data[x->table].cr3;
	uint64_t y_cr3 = symtab->tables.data[y->table].cr3;

	if (x_cr3 != y_cr3)
		return x_cr3 < y_cr3 ? -1 : 1;
	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	if (x->sized != y->sized)
		return x->sized ? 1 : -1;
	if (x->end != y->end)
		return x->end > y->end ? -1 : 1;
	if (x->table != y->table)
		return x->table > y->table ? -1 : 1;
	return x->name > y->name ? -1 : x->name < y->name;
}

/* Let entries without a size end at the next address that has a symbol. */
static void end_unsized(struct entry *entries, size_t count)
{
	uint64_t next = UINT64_MAX; /* address after that of the entry */
	uint64_t longest = 0;       /* end of sized ones at its address */

	for (size_t i = count; i-- > 0;) {
		struct entry *entry = &entries[i];

		if (i + 1 < count && entries[i + 1].address != entry->address) {
			next = entries[i + 1].address;
			longest = 0;
		}
		if (entry->sized) {
			longest = entry->end;
		} else if (longest) {
			entry->end = longest;
		} else {
			entry->end = next;
			if (next - entry->address > UNSIZED_MAX)
				entry->end = entry->address + UNSIZED_MAX;
		}
	}
}

/* Link each entry to the one around it; an unsized one ends with that. */
static void link_outer(struct entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct entry *entry = &entries[i];
		uint32_t outer = i ? i - 1 : NO_ENTRY;

		while (outer != NO_ENTRY && entries[outer].end <= entry->address)
			outer = entries[outer].outer;
		if (!entry->sized && outer != NO_ENTRY && entries[outer].end < entry->end)
			entry->end = entries[outer].end;
		while (outer != NO_ENTRY && entries[outer].end <= entry->end)
			outer = entries[outer].outer;
		entry->outer = outer;
	}
}

static struct xenpt_error *make_spaces(struct xenpt_symtab *symtab)
{
	struct entry *entries = symtab->entries.data;
	size_t count = symtab->entries.count;

	if (!count)
		return NULL;
	qsort_r(entries, count, sizeof(*entries), compare_entries, symtab);
	for (size_t begin = 0, end; begin < count; begin = end) {
		uint64_t cr3 = symtab->tables.data[entries[begin].table].cr3;
		struct space *space = array_add(&symtab->spaces);

		if (!space)
			return xenpt_error_no_memory();
		end = begin;
		while (end < count && symtab->tables.data[entries[end].table].cr3 == cr3)
			end++;
		*space = (struct space){ cr3, begin, end - begin };
		end_unsized(entries + begin, end - begin);
		link_outer(entries + begin, end - begin);
	}
	return NULL;
}

XENPT_DEFINE_CLEANUP(struct xenpt_symtab, symtab, xenpt_symtab_destroy)

struct xenpt_error *xenpt_symtab_create(const struct xenpt_file *file,
					struct xenpt_symtab **ret)
{
	_cleanup_(symtab_cleanup) struct xenpt_symtab *symtab =
		calloc(1, sizeof(*symtab));
	const struct xenpt_chunk *chunks;
	uint64_t size = 0;
	size_t count;

	if (!symtab)
		return xenpt_error_no_memory();
	chunks = xenpt_file_symbols(file, &count);
	for (size_t i = 0; i < count; i++) {
		size += chunks[i].size;
		if (size > SYMBOLS_SIZE_MAX)
			return bad_chunk(file, &chunks[i],
					 "more than 512 MiB of symbols");
		XENPT_TRY(add_chunk(symtab, file, &chunks[i]));
	}
	XENPT_TRY(make_spaces(symtab));
	*ret = no_cleanup_ptr(symtab);
	return NULL;
}

void xenpt_symtab_destroy(struct xenpt_symtab *symtab)
{
	if (!symtab)
		return;
	for (size_t i = 0; i < symtab->tables.count; i++) {
		free(symtab->tables.data[i].data);
		free(symtab->tables.data[i].image);
	}
	array_deinit(&symtab->tables);
	array_deinit(&symtab->entries);
	array_deinit(&symtab->spaces);
	free(symtab);
}

static const struct space *find_space(const struct xenpt_symtab *symtab, uint64_t cr3)
{
	size_t lo = 0, hi = symtab->spaces.count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (symtab->spaces.data[mid].cr3 < cr3)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == symtab->spaces.count || symtab->spaces.data[lo].cr3 != cr3)
		return NULL;
	return &symtab->spaces.data[lo];
}

/* Of the entries that have @address, the one that begins last. */
static const struct entry *find_entry(const struct xenpt_symtab *symtab, uint64_t cr3,
				      uint64_t address)
{
	const struct space *space = find_space(symtab, cr3);
	const struct entry *entries;
	size_t lo = 0, hi;
	uint32_t at;

	if (!space)
		return NULL;
	entries = symtab->entries.data + space->begin;
	hi = space->count;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (entries[mid].address <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	at = lo ? lo - 1 : NO_ENTRY;
	for (unsigned int i = 0; at != NO_ENTRY && i < NESTED_MAX; i++) {
		if (address < entries[at].end)
			return &entries[at];
		at = entries[at].outer;
	}
	return NULL;
}

static void fill_symbol(const struct xenpt_symtab *symtab, const struct entry *entry,
			struct xenpt_symbol *ret)
{
	const struct table *table = &symtab->tables.data[entry->table];

	*ret = (struct xenpt_symbol){
		.address = entry->address,
		.size = entry->sized ? entry->end - entry->address : 0,
		.name = table->names + entry->name,
		.image = table->image,
		.cr3 = table->cr3,
	};
}

bool xenpt_symtab_find(const struct xenpt_symtab *symtab, uint64_t cr3, uint64_t address,
		       struct xenpt_symbol *ret)
{
	const struct entry *entry = find_entry(symtab, cr3, address);

	if (!entry && cr3 != XENPT_CR3_ANY)
		entry = find_entry(symtab, XENPT_CR3_ANY, address);
	if (!entry)
		return false;
	fill_symbol(symtab, entry, ret);
	return true;
}

/* Entries stand by CR3: those of XENPT_CR3_ANY, the highest, come last. */
bool xenpt_symtab_find_name(const struct xenpt_symtab *symtab, uint64_t cr3,
			    const char *name, struct xenpt_symbol *ret)
{
	for (size_t i = 0; i < symtab->entries.count; i++) {
		const struct entry *entry = &symtab->entries.data[i];
		const struct table *table = &symtab->tables.data[entry->table];

		if ((cr3 != XENPT_CR3_ANY && table->cr3 != cr3 &&
		     table->cr3 != XENPT_CR3_ANY) ||
		    strcmp(table->names + entry->name, name) != 0)
			continue;
		fill_symbol(symtab, entry, ret);
		return true;
	}
	return false;
}
