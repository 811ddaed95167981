/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef XEN_EVENT_H
#define XEN_EVENT_H

#include <xen/sched.h>

bool hypercall_preempt_check(void);

typedef void (*xen_event_channel_notification_t)(struct vcpu *v, unsigned int port);

/* The port, or an error. */
int alloc_unbound_xen_event_channel(struct domain *d, unsigned int vcpu, uint16_t remote,
				    xen_event_channel_notification_t notify);
void free_xen_event_channel(struct domain *d, int port);
void notify_via_xen_event_channel(struct domain *d, int port);

#endif
