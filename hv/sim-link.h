/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The connection to a xenpt-sim: finds or starts one, asks it, hears its events. */
#ifndef HV_SIM_LINK_H
#define HV_SIM_LINK_H

#include "hv/hv.h"
#include "hv/sim/protocol.h"

#define SIM_PREFIX "sim:" /* of what a user calls a domain; its name follows */
#define SIM_LINK_VCPUS_MAX 64

struct sim_link {
	char name[SIM_NAME_MAX];
	struct sim_hello hello; /* all strings end in it */
	int fd, memory_fd;
	bool gone; /* xenpt-sim has ended: nothing can be asked any more */
	/* Events that event() did not take yet: those of a kind are one. */
	bool data[SIM_LINK_VCPUS_MAX], full[SIM_LINK_VCPUS_MAX];
	bool code, state;
	uint32_t code_vcpu;
	int wake_fd; /* an eventfd: readable while there are some */
	int poll_fd; /* an epoll of fd and wake_fd */
};

/* Attach to the domain of that name, or only look at its hello, with EBUSY as well. */
struct xenpt_error *sim_link_open(const char *name, bool look, struct sim_link **ret);
void sim_link_close(struct sim_link *link);

/*
 * Ask and wait for the reply, which replaces @packet. An error is what xenpt-sim
 * says; once it is gone, that it is.
 */
struct xenpt_error *sim_link_ask(struct sim_link *link, struct sim_packet *packet);

/* The next event; HV_EVENT_NONE. */
struct xenpt_error *sim_link_event(struct sim_link *link, struct hv_event *ret);

/* What the hello says of the domain. Deinit frees what @ret points to, also of an error.
 */
struct xenpt_error *sim_link_info(const struct sim_link *link, struct hv_info *ret);
void sim_info_deinit(struct hv_info *info);

/* struct hv_ops's. */
struct xenpt_error *sim_list(hv_list_fn *fn, void *arg);
struct xenpt_error *sim_check(const char *domain, hv_finding_fn *fn, void *arg);

/* Run xenpt-sim with these arguments (NULL-terminated, the first for its name). */
struct xenpt_error *sim_program_run(char *const argv[], char **output_ret);

#endif
