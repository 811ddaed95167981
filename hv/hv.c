/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hv/backend.h"

const struct hv_ops *const hv_backends[] = { &hv_sim_ops, NULL };

struct xenpt_error *hv_open(const char *domain, struct hv_domain **ret)
{
	size_t i;

	for (i = 0; hv_backends[i]; i++) {
		if (hv_backends[i]->claims(domain))
			return hv_backends[i]->open(domain, ret);
	}
	return xenpt_error_create(XENPT_ERROR_NOT_FOUND,
				  "there is no domain '%s': name a Xen domain, or "
				  "sim:SCENARIO; 'xenpt list' shows which there are",
				  domain);
}
