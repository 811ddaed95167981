/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef XEN_DOMAIN_PAGE_H
#define XEN_DOMAIN_PAGE_H

#include <xen/mm.h>

void *__map_domain_page(const struct page_info *pg);
void unmap_domain_page(const void *map);
void clear_domain_page(mfn_t mfn);

#endif
