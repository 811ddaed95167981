/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "hv/backend.h"
#include "libxenpt/cleanup.h"

const struct hv_ops *const hv_backends[] = {
	&hv_sim_ops,
#ifdef HAVE_XEN
	&hv_xen_ops, /* last: it claims what is left */
#endif
	NULL,
};

struct xenpt_error *hv_find(const char *domain, const struct hv_ops **ret)
{
	size_t i;

	for (i = 0; hv_backends[i]; i++) {
		if (hv_backends[i]->claims(domain)) {
			*ret = hv_backends[i];
			return NULL;
		}
	}
	return xenpt_error_create(XENPT_ERROR_NOT_FOUND,
				  "there is no domain '%s': this xenpt was built without "
				  "Xen support (install libxen-dev and build it again), "
				  "so name sim:SCENARIO; 'xenpt list' shows which there "
				  "are",
				  domain);
}

struct xenpt_error *hv_open(const char *domain, const char *backend,
			    struct hv_domain **ret)
{
	const struct hv_ops *ops;

	XENPT_TRY(hv_find(domain, &ops));
	return ops->open(domain, backend, ret);
}
