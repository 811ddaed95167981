/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guest-physical space that a guest makes no use of.
 *
 *	0            4 GiB                top          gap
 *	| RAM … | h  | RAM …, PCI BARs … |    1…2 GiB | buffers … │ 2^bits
 *
 * h: an HVM guest's e820 has all from 0xfc000000 to 4 GiB as reserved (hvmloader's
 * e820.c), and in two parts of it hvmloader and the device models put nothing
 * (hvmloader's config.h). Small buffers go there, for what lies above the top makes
 * whatever walks all of a domain's frames, as xl dump-core, slower from then on.
 *
 * The gap is for a guest that adds memory at its top itself: Linux maps foreign pages
 * so (drivers/xen/unpopulated-alloc.c), a memory section at a time.
 */
#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "hv/vpt.h"

#define HOLE_0 (UINT64_C(0xfe000000) / BUFFER_PAGE)
#define HOLE_0_END (UINT64_C(0xfe700000) / BUFFER_PAGE) /* GUEST_RESERVED begins */
#define HOLE_1 (UINT64_C(0xfe800000) / BUFFER_PAGE)
#define HOLE_1_END (UINT64_C(0xfec00000) / BUFFER_PAGE) /* the I/O APIC's page */

#define GAP (UINT64_C(1) << 18) /* 1 GiB */

/* Of one mapping. */
#define BATCH 512
/* Frames without memory below the highest ever used that are looked at: 16 GiB. */
#define LOOK_MAX (UINT64_C(4) << 20)

/* A guest-physical address has so many with EPT of four levels. */
#define EPT_BITS 48

/* SDM volume 2, CPUID.80000008H: of 36 and more, where it says nothing. */
static unsigned int address_bits(void)
{
	unsigned int eax, ebx, ecx, edx, bits = 36;

	if (__get_cpuid(0x80000008, &eax, &ebx, &ecx, &edx) && (eax & 255) >= bits)
		bits = eax & 255;
	return bits < EPT_BITS ? bits : EPT_BITS;
}

/* Of up to BATCH frames from @gfn on, a past-the-end index of the last there; 0: none. */
static struct xenpt_error *find_last(struct xen_domain *xen, uint64_t gfn, size_t count,
				     size_t *ret)
{
	xenforeignmemory_handle *fm = xen->host->fm;
	xen_pfn_t gfns[BATCH];
	int errs[BATCH] = {};
	void *at;

	for (size_t i = 0; i < count; i++)
		gfns[i] = gfn + i;
	at = xen_calls->fm_map(fm, xen->domid, PROT_READ, count, gfns, errs);
	if (!at)
		return vpt_failed(xen, 0, errno, "cannot tell what memory it has");
	xen_calls->fm_unmap(fm, at, count);
	while (count && errs[count - 1])
		count--;
	*ret = count;
	return NULL;
}

/*
 * Past the highest frame that there is. Xen says the highest there ever was, which a
 * recording before this one has raised.
 */
static struct xenpt_error *find_top(struct xen_domain *xen, uint64_t *ret)
{
	uint64_t end, least;
	xen_pfn_t highest;
	size_t count, last;

	if (xen_calls->xc_domain_maximum_gpfn(xen->host->xc, xen->domid, &highest) < 0)
		return vpt_failed(xen, 0, errno, "cannot tell where its memory ends");
	if (highest >> (EPT_BITS - 12)) {
		*ret = highest;
		return NULL;
	}
	end = highest + 1;
	least = end > LOOK_MAX ? end - LOOK_MAX : 0;
	while (end > least) {
		count = end - least < BATCH ? end - least : BATCH;
		XENPT_TRY(find_last(xen, end - count, count, &last));
		if (last) {
			*ret = end - count + last;
			return NULL;
		}
		end -= count;
	}
	*ret = least ? highest + 1 : 0;
	return NULL;
}

static void add_area(struct vpt_place *place, uint64_t gfn, uint64_t end, bool check)
{
	place->areas[place->count].gfn = gfn;
	place->areas[place->count].end = end;
	place->areas[place->count++].check = check;
}

struct xenpt_error *vpt_place_init(struct xen_domain *xen, struct vpt_place *ret)
{
	struct vpt_place place = { .bits = address_bits() };
	uint64_t top;

	XENPT_TRY(find_top(xen, &top));
	if (strcmp(xen->info.type, "HVM") == 0) {
		add_area(&place, HOLE_0, HOLE_0_END, true);
		add_area(&place, HOLE_1, HOLE_1_END, true);
	}
	add_area(&place, (top + GAP - 1) / GAP * GAP + GAP,
		 UINT64_C(1) << (place.bits - 12), false);
	*ret = place;
	return NULL;
}

static struct xenpt_error *is_empty(struct xen_domain *xen, uint64_t gfn, uint64_t end,
				    bool *ret)
{
	size_t count, last = 0;

	for (; gfn < end && !last; gfn += count) {
		count = end - gfn < BATCH ? end - gfn : BATCH;
		XENPT_TRY(find_last(xen, gfn, count, &last));
	}
	*ret = !last;
	return NULL;
}

struct xenpt_error *vpt_place_buffer(struct xen_domain *xen, struct vpt_place *place,
				     const struct buffer_layout *wanted,
				     struct buffer **ret)
{
	struct buffer_layout layout = *wanted;
	struct buffer *buffer;
	bool empty;

	for (size_t i = 0; i < place->count; i++) {
		struct xenpt_error *err;

		layout.gfn = place->areas[i].gfn;
		if (layout.gfn >= place->areas[i].end)
			continue;
		XENPT_TRY(buffer_create(&layout, &buffer));
		empty = buffer->end_gfn <= place->areas[i].end;
		err = NULL;
		if (empty && place->areas[i].check)
			err = is_empty(xen, layout.gfn, buffer->end_gfn, &empty);
		if (!err && empty) {
			place->areas[i].gfn = buffer->end_gfn;
			*ret = buffer;
			return NULL;
		}
		buffer_destroy(buffer);
		if (err)
			return err;
	}
	return xenpt_error_create(XENPT_ERROR_INVALID,
				  "no room for the trace buffers: they are to lie above "
				  "the guest's memory, and its addresses have %u bits",
				  place->bits);
}
