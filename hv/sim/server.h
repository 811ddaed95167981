/* SPDX-License-Identifier: GPL-2.0-only */
/* Runs a domain, and does what the client that is attached to it asks for. */
#ifndef HV_SIM_SERVER_H
#define HV_SIM_SERVER_H

#include "hv/sim/sim.h"

struct server;

/* Make the domain and its socket. @held: it runs only once a client lets it. */
struct xenpt_error *server_create(const struct sim_scenario *scenario, const char *name,
				  bool held, struct server **ret);
void server_destroy(struct server *server);

/* Until the domain is of no use any more, or @signal_fd is readable. */
struct xenpt_error *server_run(struct server *server, int signal_fd);

#endif
