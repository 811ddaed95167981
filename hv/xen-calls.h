/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every call that hv/ makes to Xen's libraries, by their names and with their results
 * (-1 or NULL and errno): one table, so that a test can be the hypervisor.
 */
#ifndef HV_XEN_CALLS_H
#define HV_XEN_CALLS_H

#include <xenctrl.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xenstore.h>
#include <xentoollog.h>

struct xen_calls {
	/* libxenctrl */
	xc_interface *(*xc_open)(xentoollog_logger *log);
	int (*xc_close)(xc_interface *xc);
	int (*xc_version)(xc_interface *xc, int cmd, void *arg);
	int (*xc_physinfo)(xc_interface *xc, xc_physinfo_t *info);
	int (*xc_domain_getinfolist)(xc_interface *xc, uint32_t first, unsigned int max,
				     xc_domaininfo_t *info);
	int (*xc_domain_pause)(xc_interface *xc, uint32_t domid);
	int (*xc_domain_unpause)(xc_interface *xc, uint32_t domid);
	int (*xc_domain_hvm_getcontext_partial)(xc_interface *xc, uint32_t domid,
						uint16_t typecode, uint16_t instance,
						void *buf, uint32_t size);
	int (*xc_domain_maximum_gpfn)(xc_interface *xc, uint32_t domid, xen_pfn_t *gpfn);
	int (*xc_domain_setmaxmem)(xc_interface *xc, uint32_t domid, uint64_t kb);
	/* Of frames in this order: how many were, which may be fewer. */
	int (*xc_domain_populate_physmap)(xc_interface *xc, uint32_t domid,
					  unsigned long count, unsigned int order,
					  unsigned int flags, xen_pfn_t *gfns);
	int (*xc_domain_decrease_reservation)(xc_interface *xc, uint32_t domid,
					      unsigned long count, unsigned int order,
					      xen_pfn_t *gfns);
	int (*xc_domctl)(xc_interface *xc, struct xen_domctl *domctl);
	int (*xc_hvm_param_get)(xc_interface *xc, uint32_t domid, uint32_t param,
				uint64_t *value);
	int (*xc_hvm_param_set)(xc_interface *xc, uint32_t domid, uint32_t param,
				uint64_t value);
	int (*xc_readconsolering)(xc_interface *xc, char *buf, unsigned int *size,
				  int clear, int incremental, uint32_t *index);
	int (*xc_vmtrace_enable)(xc_interface *xc, uint32_t domid, uint32_t vcpu);
	int (*xc_vmtrace_disable)(xc_interface *xc, uint32_t domid, uint32_t vcpu);
	int (*xc_vmtrace_reset_and_enable)(xc_interface *xc, uint32_t domid,
					   uint32_t vcpu);
	int (*xc_vmtrace_output_position)(xc_interface *xc, uint32_t domid, uint32_t vcpu,
					  uint64_t *pos);
	int (*xc_vmtrace_get_option)(xc_interface *xc, uint32_t domid, uint32_t vcpu,
				     uint64_t key, uint64_t *value);
	int (*xc_vmtrace_set_option)(xc_interface *xc, uint32_t domid, uint32_t vcpu,
				     uint64_t key, uint64_t value);

	/* libxenforeignmemory */
	xenforeignmemory_handle *(*fm_open)(xentoollog_logger *log, unsigned int flags);
	int (*fm_close)(xenforeignmemory_handle *fm);
	void *(*fm_map)(xenforeignmemory_handle *fm, uint32_t domid, int prot,
			size_t pages, const xen_pfn_t gfns[], int errs[]);
	void *(*fm_map2)(xenforeignmemory_handle *fm, uint32_t domid, void *at, int prot,
			 int flags, size_t pages, const xen_pfn_t gfns[], int errs[]);
	int (*fm_unmap)(xenforeignmemory_handle *fm, void *at, size_t pages);
	int (*fm_resource_size)(xenforeignmemory_handle *fm, domid_t domid,
				unsigned int type, unsigned int id, size_t *size);
	xenforeignmemory_resource_handle *(*fm_map_resource)(
		xenforeignmemory_handle *fm, domid_t domid, unsigned int type,
		unsigned int id, unsigned long frame, unsigned long frames, void **at,
		int prot, int flags);
	int (*fm_unmap_resource)(xenforeignmemory_handle *fm,
				 xenforeignmemory_resource_handle *resource);

	/* libxenevtchn */
	xenevtchn_handle *(*evtchn_open)(xentoollog_logger *log, unsigned int flags);
	int (*evtchn_close)(xenevtchn_handle *evtchn);
	int (*evtchn_fd)(xenevtchn_handle *evtchn);
	int (*evtchn_bind_interdomain)(xenevtchn_handle *evtchn, uint32_t domid,
				       evtchn_port_t port);
	int (*evtchn_pending)(xenevtchn_handle *evtchn); /* waits for one */
	int (*evtchn_unmask)(xenevtchn_handle *evtchn, evtchn_port_t port);
	int (*evtchn_unbind)(xenevtchn_handle *evtchn, evtchn_port_t port);

	/* libxenstore */
	struct xs_handle *(*xs_open)(unsigned long flags);
	void (*xs_close)(struct xs_handle *xs);
	void *(*xs_read)(struct xs_handle *xs, xs_transaction_t t, const char *path,
			 unsigned int *size);
	bool (*xs_watch)(struct xs_handle *xs, const char *path, const char *token);
	bool (*xs_unwatch)(struct xs_handle *xs, const char *path, const char *token);
	int (*xs_fileno)(struct xs_handle *xs);
	char **(*xs_check_watch)(struct xs_handle *xs); /* to be freed; EAGAIN: none */
};

/* The libraries' own. */
extern const struct xen_calls xen_calls_real;
/* What hv/ uses: the real ones, but in tests. */
extern const struct xen_calls *xen_calls;
/* Before "/dev" and "/proc": "", but in tests. */
extern const char *xen_calls_root;

#endif
