/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hv/xen-calls.h"

static xc_interface *open_xc(xentoollog_logger *log)
{
	return xc_interface_open(log, NULL, 0);
}

const struct xen_calls xen_calls_real = {
	.xc_open = open_xc,
	.xc_close = xc_interface_close,
	.xc_version = xc_version,
	.xc_physinfo = xc_physinfo,
	.xc_domain_getinfolist = xc_domain_getinfolist,
	.xc_domain_pause = xc_domain_pause,
	.xc_domain_unpause = xc_domain_unpause,
	.xc_domain_hvm_getcontext_partial = xc_domain_hvm_getcontext_partial,
	.xc_domain_maximum_gpfn = xc_domain_maximum_gpfn,
	.xc_domain_setmaxmem = xc_domain_setmaxmem,
	.xc_domain_populate_physmap = xc_domain_populate_physmap,
	.xc_domain_decrease_reservation = xc_domain_decrease_reservation,
	.xc_domctl = xc_domctl,
	.xc_hvm_param_get = xc_hvm_param_get,
	.xc_hvm_param_set = xc_hvm_param_set,
	.xc_readconsolering = xc_readconsolering,
	.xc_vmtrace_enable = xc_vmtrace_enable,
	.xc_vmtrace_disable = xc_vmtrace_disable,
	.xc_vmtrace_reset_and_enable = xc_vmtrace_reset_and_enable,
	.xc_vmtrace_output_position = xc_vmtrace_output_position,
	.xc_vmtrace_get_option = xc_vmtrace_get_option,
	.xc_vmtrace_set_option = xc_vmtrace_set_option,
	.fm_open = xenforeignmemory_open,
	.fm_close = xenforeignmemory_close,
	.fm_map = xenforeignmemory_map,
	.fm_map2 = xenforeignmemory_map2,
	.fm_unmap = xenforeignmemory_unmap,
	.fm_resource_size = xenforeignmemory_resource_size,
	.fm_map_resource = xenforeignmemory_map_resource,
	.fm_unmap_resource = xenforeignmemory_unmap_resource,
	.evtchn_open = xenevtchn_open,
	.evtchn_close = xenevtchn_close,
	.evtchn_fd = xenevtchn_fd,
	.evtchn_bind_interdomain = xenevtchn_bind_interdomain,
	.evtchn_pending = xenevtchn_pending,
	.evtchn_unmask = xenevtchn_unmask,
	.evtchn_unbind = xenevtchn_unbind,
	.xs_open = xs_open,
	.xs_close = xs_close,
	.xs_read = xs_read,
	.xs_watch = xs_watch,
	.xs_unwatch = xs_unwatch,
	.xs_fileno = xs_fileno,
	.xs_check_watch = xs_check_watch,
};

const struct xen_calls *xen_calls = &xen_calls_real;
const char *xen_calls_root = "";
