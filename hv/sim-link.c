/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "hv/sim-link.h"
#include "libxenpt/cleanup.h"

XENPT_DEFINE_CLEANUP(struct sim_link, sim_link, sim_link_close)

/* ---- Messages ---------------------------------------------------------- */

static struct xenpt_error *is_gone(struct sim_link *link)
{
	if (!link->gone)
		link->state = true;
	link->gone = true;
	link->hello.state = HV_ENDED;
	return xenpt_error_create(XENPT_ERROR_NOT_FOUND,
				  "sim:%s: xenpt-sim (process %jd) has ended", link->name,
				  (intmax_t)link->hello.pid);
}

static struct xenpt_error *is_nonsense(const struct sim_link *link)
{
	return xenpt_error_create(XENPT_ERROR_FORMAT,
				  "sim:%s: its xenpt-sim is of another version: end it "
				  "(kill %jd) and start it again",
				  link->name, (intmax_t)link->hello.pid);
}

static struct xenpt_error *is_silent(const struct sim_link *link)
{
	return xenpt_error_create(XENPT_ERROR_INVALID,
				  "sim:%s: its xenpt-sim does not answer: is the process "
				  "stopped? (kill -CONT)",
				  link->name);
}

static void take_event(struct sim_link *link, const struct sim_message *message)
{
	uint64_t one = 1;

	if (message->vcpu >= link->hello.vcpus)
		return;
	switch (message->a) {
	case HV_EVENT_DATA:
		link->data[message->vcpu] = true;
		break;
	case HV_EVENT_FULL:
		link->full[message->vcpu] = true;
		break;
	case HV_EVENT_CODE:
		link->code = true;
		link->code_vcpu = message->vcpu;
		break;
	case HV_EVENT_STATE:
		if (message->b > HV_ENDED)
			return;
		link->state = true;
		link->hello.state = message->b;
		break;
	default:
		return;
	}
	/* It can only fail if it is readable already. */
	if (write(link->wake_fd, &one, sizeof(one)) < 0)
		return;
}

/* The file that came along replaces @link's. */
static void take_fd(struct sim_link *link, struct msghdr *msg)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(msg);

	if (!header || header->cmsg_level != SOL_SOCKET ||
	    header->cmsg_type != SCM_RIGHTS || header->cmsg_len < CMSG_LEN(sizeof(int)))
		return;
	if (link->memory_fd >= 0)
		close(link->memory_fd);
	memcpy(&link->memory_fd, CMSG_DATA(header), sizeof(int));
}

/* The next packet, whose size is that of the message and what it says follows it. */
static struct xenpt_error *receive(struct sim_link *link, int flags,
				   struct sim_packet *ret, bool *got_ret)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = ret, .iov_len = sizeof(*ret) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t size;

	*got_ret = false;
	do {
		size = recvmsg(link->fd, &msg, flags | MSG_CMSG_CLOEXEC);
	} while (size < 0 && errno == EINTR);
	if (size < 0 && errno == EAGAIN)
		return NULL;
	if (size <= 0)
		return is_gone(link);
	take_fd(link, &msg);
	if ((size_t)size < sizeof(ret->message) || msg.msg_flags & MSG_TRUNC ||
	    size - sizeof(ret->message) != ret->message.size)
		return is_nonsense(link);
	/* A reader of text finds its end, whatever was sent. */
	if ((size_t)size < sizeof(*ret))
		memset((char *)ret + size, 0, sizeof(*ret) - size);
	else
		ret->text[sizeof(ret->text) - 1] = '\0';
	*got_ret = true;
	return NULL;
}

/* Send, and read up to the reply. */
static struct xenpt_error *converse(struct sim_link *link, struct sim_packet *packet)
{
	bool got;

	if (link->gone)
		return is_gone(link);
	packet->message.size = 0;
	if (send(link->fd, &packet->message, sizeof(packet->message), MSG_NOSIGNAL) < 0)
		return is_gone(link);
	for (;;) {
		XENPT_TRY(receive(link, 0, packet, &got));
		if (!got || packet->message.op == SIM_REPLY)
			return got ? NULL : is_silent(link);
		if (packet->message.op == SIM_EVENT)
			take_event(link, &packet->message);
	}
}

struct xenpt_error *sim_link_ask(struct sim_link *link, struct sim_packet *packet)
{
	XENPT_TRY(converse(link, packet));
	if (packet->message.status)
		return xenpt_error_create(XENPT_ERROR_INVALID, "sim:%s: %s", link->name,
					  packet->message.size ? packet->text
							       : "xenpt-sim failed");
	return NULL;
}

/* ---- Events ------------------------------------------------------------ */

static bool next_event(struct sim_link *link, struct hv_event *ret)
{
	for (uint32_t i = 0; i < link->hello.vcpus; i++) {
		bool *flag = link->full[i] ? &link->full[i] : &link->data[i];

		if (!*flag)
			continue;
		ret->type = flag == &link->full[i] ? HV_EVENT_FULL : HV_EVENT_DATA;
		ret->vcpu = i;
		*flag = false;
		return true;
	}
	if (link->code) {
		*ret = (struct hv_event){ HV_EVENT_CODE, link->code_vcpu };
		link->code = false;
		return true;
	}
	if (link->state) {
		*ret = (struct hv_event){ HV_EVENT_STATE, 0 };
		link->state = false;
		return true;
	}
	return false;
}

struct xenpt_error *sim_link_event(struct sim_link *link, struct hv_event *ret)
{
	struct sim_packet packet;
	struct hv_event event;
	uint64_t count;
	bool got = true;

	while (got && !link->gone) {
		struct xenpt_error *err = receive(link, MSG_DONTWAIT, &packet, &got);

		/* That it is gone is an event, too. */
		if (err && !link->gone)
			return err;
		xenpt_error_destroy(err);
		if (!err && got && packet.message.op == SIM_EVENT)
			take_event(link, &packet.message);
	}
	if (next_event(link, &event)) {
		*ret = event;
		return NULL;
	}
	*ret = (struct hv_event){ .type = HV_EVENT_NONE };
	/* Readable no more, also not because the socket is at its end. */
	if (read(link->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return xenpt_error_os(errno, "eventfd");
	if (link->gone)
		epoll_ctl(link->poll_fd, EPOLL_CTL_DEL, link->fd, NULL);
	return NULL;
}

/* ---- Attaching --------------------------------------------------------- */

static struct xenpt_error *connect_to(struct sim_link *link)
{
	/* It answers at once; with one that was stopped, a Ctrl-C would wait for ever. */
	static const struct timeval patience = { .tv_sec = 10 };
	struct sockaddr_un address;

	if (!sim_name_is_valid(link->name))
		return xenpt_error_create(XENPT_ERROR_NOT_FOUND, "sim:%s: no such domain",
					  link->name);
	XENPT_TRY(sim_address(link->name, &address));
	link->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (link->fd < 0)
		return xenpt_error_os(errno, "socket");
	if (setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) <
	    0)
		return xenpt_error_os(errno, "socket");
	if (connect(link->fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return NULL;
	if (errno == ENOENT || errno == ECONNREFUSED)
		return xenpt_error_create(XENPT_ERROR_NOT_FOUND,
					  "sim:%s: no such domain; 'xenpt list' shows "
					  "which there are",
					  link->name);
	return xenpt_error_os(errno, "sim:%s", link->name);
}

static struct xenpt_error *say_hello(struct sim_link *link, bool look)
{
	struct sim_packet packet = {
		.message = { .op = SIM_HELLO, .a = SIM_PROTOCOL_VERSION, .b = look }
	};
	struct sim_hello *hello = &link->hello;

	XENPT_TRY(converse(link, &packet));
	if (packet.message.size == sizeof(*hello))
		*hello = packet.hello;
	hello->topa[sizeof(hello->topa) - 1] = '\0';
	hello->name[sizeof(hello->name) - 1] = '\0';
	hello->scenario[sizeof(hello->scenario) - 1] = '\0';
	if (packet.message.size != sizeof(*hello) ||
	    hello->version != SIM_PROTOCOL_VERSION || hello->state > HV_ENDED ||
	    !hello->vcpus || hello->vcpus > SIM_LINK_VCPUS_MAX)
		return is_nonsense(link);
	if (packet.message.status == EBUSY && !look)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "sim:%s: process %jd is attached to it; only "
					  "one can be",
					  link->name, (intmax_t)hello->client);
	if (packet.message.status && packet.message.status != EBUSY)
		return is_nonsense(link);
	if (!look && link->memory_fd < 0)
		return is_nonsense(link);
	return NULL;
}

static struct xenpt_error *watch(struct sim_link *link)
{
	struct epoll_event event = { .events = EPOLLIN };

	link->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	link->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (link->wake_fd < 0 || link->poll_fd < 0 ||
	    epoll_ctl(link->poll_fd, EPOLL_CTL_ADD, link->fd, &event) < 0 ||
	    epoll_ctl(link->poll_fd, EPOLL_CTL_ADD, link->wake_fd, &event) < 0)
		return xenpt_error_os(errno, "epoll");
	return NULL;
}

struct xenpt_error *sim_link_open(const char *name, bool look, struct sim_link **ret)
{
	_cleanup_(sim_link_cleanup) struct sim_link *link = calloc(1, sizeof(*link));

	if (!link)
		return xenpt_error_no_memory();
	link->fd = link->memory_fd = link->wake_fd = link->poll_fd = -1;
	snprintf(link->name, sizeof(link->name), "%s", name);
	XENPT_TRY(connect_to(link));
	XENPT_TRY(watch(link));
	XENPT_TRY(say_hello(link, look));
	*ret = no_cleanup_ptr(link);
	return NULL;
}

void sim_link_close(struct sim_link *link)
{
	if (!link)
		return;
	for (int i = 0; i < 4; i++) {
		int fd = (int[]){ link->fd, link->memory_fd, link->wake_fd,
				  link->poll_fd }[i];

		if (fd >= 0)
			close(fd);
	}
	free(link);
}
