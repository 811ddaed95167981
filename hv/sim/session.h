/* SPDX-License-Identifier: GPL-2.0-only */
/* What a client asks for, and what it has set up, which is undone when it goes. */
#ifndef HV_SIM_SESSION_H
#define HV_SIM_SESSION_H

#include "hv/sim/guest/abi.h"
#include "hv/sim/protocol.h"
#include "hv/sim/sim.h"

#define SESSION_VCPUS_MAX 64
#define SESSION_WINDOW_PAGES (GUEST_WINDOW_SIZE / 4096)

struct session {
	struct sim *sim;
	bool held;         /* the domain was not let run yet */
	bool paused, code; /* by the client; by HV_EVENT_CODE, for the client */
	bool set_up[SESSION_VCPUS_MAX];
	uint8_t populated[SESSION_WINDOW_PAGES / 8]; /* a bit for each page */
};

/*
 * Do what @request says; @ret gets the reply. Nothing of the request is trusted.
 */
void session_request(struct session *session, const struct sim_message *request,
		     struct sim_packet *ret);

/* The client is gone. */
void session_undo(struct session *session);

#endif
