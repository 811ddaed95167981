/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>

#include "hv/sim/guest/abi.h"
#include "hv/sim/server.h"
#include "hv/sim/session.h"
#include "libxenpt/cleanup.h"

#define SLICE 20000    /* instructions between two looks at the sockets */
#define VISITORS_MAX 8 /* connections that have not said yet what they want */
#define BACKLOG 8

/* Events that the client was not told of yet; of each kind one will do. */
struct pending {
	bool data[SESSION_VCPUS_MAX], full[SESSION_VCPUS_MAX];
	bool code, state;
	uint32_t code_vcpu;
	bool any;
};

struct server {
	const struct sim_scenario *scenario;
	char name[SIM_NAME_MAX];
	struct session session;
	struct sockaddr_un address;
	int listener, client;
	int visitors[VISITORS_MAX]; /* the oldest first, then -1 */
	bool bound;
	bool over;     /* nobody needs the domain any more */
	bool runnable; /* sim_run() may have something to do */
	struct pending pending;
};

XENPT_DEFINE_CLEANUP(struct server, server, server_destroy)

/* ---- Messages ---------------------------------------------------------- */

/*
 * A client that does not read what it asked for is broken: then this fails. @fd, if
 * not -1, goes along.
 */
static bool put(int to, const struct sim_packet *packet, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct iovec iov = {
		.iov_base = (void *)packet,
		.iov_len = sizeof(packet->message) + packet->message.size,
	};
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	return sendmsg(to, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)iov.iov_len;
}

enum got {
	GOT_REQUEST,
	GOT_NOTHING,
	GOT_END, /* it is gone, or is no client of ours */
};

static enum got get(int from, struct sim_message *ret)
{
	ssize_t size = recv(from, ret, sizeof(*ret), MSG_DONTWAIT | MSG_TRUNC);

	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return GOT_NOTHING;
	return size == sizeof(*ret) && !ret->size ? GOT_REQUEST : GOT_END;
}

static void notify(void *arg, enum hv_event_type type, uint32_t vcpu)
{
	struct server *server = arg;
	struct pending *pending = &server->pending;

	if (vcpu >= SESSION_VCPUS_MAX)
		return;
	if (type == HV_EVENT_DATA)
		pending->data[vcpu] = true;
	else if (type == HV_EVENT_FULL)
		pending->full[vcpu] = true;
	else if (type == HV_EVENT_STATE)
		pending->state = true;
	if (type == HV_EVENT_CODE) {
		server->session.code = pending->code = true;
		pending->code_vcpu = vcpu;
	}
	pending->any = true;
}

/* Whether the client reads: of its queue three quarters are left for replies. */
static bool has_room(const struct server *server)
{
	struct pollfd pollfd = { server->client, POLLOUT, 0 };

	return poll(&pollfd, 1, 0) == 1 && pollfd.revents == POLLOUT;
}

static void put_event(struct server *server, enum hv_event_type type, uint32_t vcpu,
		      bool *pending)
{
	struct sim_packet packet;

	if (!*pending)
		return;
	packet.message = (struct sim_message){
		.op = SIM_EVENT,
		.vcpu = vcpu,
		.a = type,
		.b = sim_state(server->session.sim),
	};
	if (has_room(server) && put(server->client, &packet, -1))
		*pending = false;
	else
		server->pending.any = true;
}

static void put_events(struct server *server)
{
	struct pending *pending = &server->pending;

	if (!pending->any || server->client < 0)
		return;
	pending->any = false;
	for (uint32_t i = 0; i < SESSION_VCPUS_MAX; i++) {
		put_event(server, HV_EVENT_DATA, i, &pending->data[i]);
		put_event(server, HV_EVENT_FULL, i, &pending->full[i]);
	}
	put_event(server, HV_EVENT_CODE, pending->code_vcpu, &pending->code);
	put_event(server, HV_EVENT_STATE, 0, &pending->state);
}

/* ---- Clients ----------------------------------------------------------- */

static bool has_ended(const struct server *server)
{
	return sim_state(server->session.sim) == HV_ENDED;
}

static void drop_client(struct server *server)
{
	close(server->client);
	server->client = -1;
	session_undo(&server->session);
	memset(&server->pending, 0, sizeof(server->pending));
	server->runnable = true;
	if (server->session.held || has_ended(server) ||
	    sim_state(server->session.sim) == HV_CRASHED)
		server->over = true;
}

static int64_t peer_pid(int fd)
{
	socklen_t size = sizeof(struct ucred);
	struct ucred peer;

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return 0;
	return peer.pid;
}

static void serve_client(struct server *server)
{
	struct sim_message request;
	struct sim_packet reply;

	switch (get(server->client, &request)) {
	case GOT_NOTHING:
		return;
	case GOT_END:
		drop_client(server);
		return;
	case GOT_REQUEST:
		break;
	}
	server->runnable = true;
	session_request(&server->session, &request, &reply);
	/* What happened goes first, so that who waits for the reply knows it all. */
	put_events(server);
	if (!put(server->client, &reply, -1))
		drop_client(server);
}

static void describe(const struct server *server, struct sim_hello *ret)
{
	const struct sim *sim = server->session.sim;
	const struct sim_scenario *scenario = server->scenario;

	memset(ret, 0, sizeof(*ret));
	ret->version = SIM_PROTOCOL_VERSION;
	ret->vcpus = sim_vcpus(sim);
	ret->ram_size = GUEST_RAM_SIZE;
	ret->window_base = GUEST_WINDOW_BASE;
	ret->window_size = GUEST_WINDOW_SIZE;
	sim_cpu(sim, &ret->cpu);
	ret->pid = getpid();
	ret->client = peer_pid(server->client);
	ret->state = sim_state(sim);
	ret->held = server->session.held;
	ret->want_tiny = scenario->tiny;
	ret->want_stop = scenario->stop;
	snprintf(ret->topa, sizeof(ret->topa), "%s", scenario->topa);
	snprintf(ret->name, sizeof(ret->name), "%s", server->name);
	snprintf(ret->kernel, sizeof(ret->kernel), "/proc/%d/fd/%d", (int)getpid(),
		 sim_guest_fd(sim));
	snprintf(ret->scenario, sizeof(ret->scenario), "%s", scenario->name);
}

/* A visitor says what it wants. Returns whether it is one no more. */
static bool serve_visitor(struct server *server, int fd)
{
	struct sim_message request;
	struct sim_packet reply;
	enum got got = get(fd, &request);
	bool attach;

	if (got == GOT_NOTHING)
		return false;
	if (got == GOT_END || request.op != SIM_HELLO) {
		close(fd);
		return true;
	}
	reply.message =
		(struct sim_message){ .op = SIM_REPLY, .size = sizeof(reply.hello) };
	describe(server, &reply.hello);
	if (request.a != SIM_PROTOCOL_VERSION)
		reply.message.status = EPROTO;
	else if (!request.b && server->client >= 0)
		reply.message.status = EBUSY;
	attach = !request.b && !reply.message.status;
	if (put(fd, &reply, attach ? sim_memory_fd(server->session.sim) : -1) && attach)
		server->client = fd;
	else
		close(fd);
	return true;
}

static void remove_visitor(struct server *server, size_t i)
{
	memmove(server->visitors + i, server->visitors + i + 1,
		(VISITORS_MAX - 1 - i) * sizeof(server->visitors[0]));
	server->visitors[VISITORS_MAX - 1] = -1;
}

static void accept_visitor(struct server *server)
{
	int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	size_t i;

	if (fd < 0)
		return;
	if (server->visitors[VISITORS_MAX - 1] >= 0) {
		close(server->visitors[0]);
		remove_visitor(server, 0);
	}
	for (i = 0; server->visitors[i] >= 0; i++)
		continue;
	server->visitors[i] = fd;
}

/* ---- The socket -------------------------------------------------------- */

/* Nobody listens at a socket that a xenpt-sim left which was killed. */
static struct xenpt_error *remove_stale(const struct server *server)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return xenpt_error_os(errno, "socket");
	if (connect(fd, (const struct sockaddr *)&server->address,
		    sizeof(server->address)) == 0 ||
	    errno == EAGAIN)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "a domain '%s' is running already: choose "
					  "another --name",
					  server->name);
	if (errno == ECONNREFUSED && unlink(server->address.sun_path) < 0 &&
	    errno != ENOENT)
		return xenpt_error_os(errno, "%s", server->address.sun_path);
	return NULL;
}

static struct xenpt_error *listen_at_socket(struct server *server)
{
	_cleanup_free_ char *directory = NULL;
	_cleanup_close_ int lock = -1;

	XENPT_TRY(sim_address(server->name, &server->address));
	XENPT_TRY(sim_directory(&directory));
	/* Or two of one name take each other's new socket for a stale one. */
	lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return xenpt_error_os(errno, "%s", directory);
	XENPT_TRY(remove_stale(server));
	server->listener =
		socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->listener < 0)
		return xenpt_error_os(errno, "socket");
	if (bind(server->listener, (const struct sockaddr *)&server->address,
		 sizeof(server->address)) < 0)
		return xenpt_error_os(errno, "%s", server->address.sun_path);
	server->bound = true;
	if (listen(server->listener, BACKLOG) < 0)
		return xenpt_error_os(errno, "%s", server->address.sun_path);
	return NULL;
}

struct xenpt_error *server_create(const struct sim_scenario *scenario, const char *name,
				  bool held, struct server **ret)
{
	_cleanup_(server_cleanup) struct server *server = calloc(1, sizeof(*server));

	if (!server)
		return xenpt_error_no_memory();
	server->scenario = scenario;
	server->listener = server->client = -1;
	for (size_t i = 0; i < VISITORS_MAX; i++)
		server->visitors[i] = -1;
	if (!sim_name_is_valid(name))
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "'%s' is no name of a domain: letters, digits, "
					  "'-', '_' and '.', at most %d",
					  name, SIM_NAME_MAX - 1);
	memcpy(server->name, name, strlen(name) + 1);
	server->session.held = held;
	server->runnable = true;
	XENPT_TRY(sim_create(scenario, notify, server, &server->session.sim));
	XENPT_TRY(listen_at_socket(server));
	*ret = no_cleanup_ptr(server);
	return NULL;
}

void server_destroy(struct server *server)
{
	if (!server)
		return;
	if (server->bound)
		unlink(server->address.sun_path);
	if (server->listener >= 0)
		close(server->listener);
	if (server->client >= 0)
		close(server->client);
	for (size_t i = 0; i < VISITORS_MAX; i++) {
		if (server->visitors[i] >= 0)
			close(server->visitors[i]);
	}
	sim_destroy(server->session.sim);
	free(server);
}

/* ---- The loop ---------------------------------------------------------- */

static int timeout(const struct server *server)
{
	if (!server->session.held)
		return server->runnable ? 0 : -1;
	return server->client < 0 ? SIM_HELD_SECONDS * 1000 : -1;
}

/* Look at all sockets once. False: a signal came. */
static bool serve(struct server *server, int signal_fd)
{
	enum {
		SIGNAL,
		LISTENER,
		CLIENT,
		VISITORS
	};
	struct pollfd fds[VISITORS + VISITORS_MAX];
	int count;

	fds[SIGNAL] = (struct pollfd){ signal_fd, POLLIN, 0 };
	fds[LISTENER] = (struct pollfd){ server->listener, POLLIN, 0 };
	fds[CLIENT] = (struct pollfd){ server->client, POLLIN, 0 };
	if (server->pending.any)
		fds[CLIENT].events |= POLLOUT;
	for (size_t i = 0; i < VISITORS_MAX; i++)
		fds[VISITORS + i] = (struct pollfd){ server->visitors[i], POLLIN, 0 };
	count = poll(fds, sizeof(fds) / sizeof(fds[0]), timeout(server));
	if (count == 0 && server->session.held && server->client < 0)
		server->over = true; /* who started it did not come */
	if (count <= 0)
		return true;
	if (fds[SIGNAL].revents)
		return false;
	/* A client that goes makes room for one that comes. */
	if (fds[CLIENT].revents & ~POLLOUT)
		serve_client(server);
	for (size_t i = VISITORS_MAX; i-- > 0;) {
		if (fds[VISITORS + i].revents &&
		    serve_visitor(server, server->visitors[i]))
			remove_visitor(server, i);
	}
	if (fds[LISTENER].revents)
		accept_visitor(server);
	return true;
}

struct xenpt_error *server_run(struct server *server, int signal_fd)
{
	while (!server->over) {
		if (!serve(server, signal_fd))
			return NULL;
		if (!server->session.held && server->runnable)
			XENPT_TRY(sim_run(server->session.sim, SLICE, &server->runnable));
		put_events(server);
		if (server->client < 0 && has_ended(server))
			server->over = true;
	}
	return NULL;
}
