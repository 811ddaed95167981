/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "hv/sim/session.h"

#define WINDOW_FIRST (GUEST_WINDOW_BASE / 4096)

static XENPT_PRINTF(2, 3) void refuse(struct sim_packet *reply, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reply->text, sizeof(reply->text), fmt, ap);
	va_end(ap);
	reply->message.status = EINVAL;
	reply->message.size = strlen(reply->text) + 1;
}

static void fail_with(struct sim_packet *reply, struct xenpt_error *err)
{
	refuse(reply, "%s", err->message);
	xenpt_error_destroy(err);
}

/* ---- Memory ------------------------------------------------------------ */

static void mark(struct session *session, uint64_t page, bool populated)
{
	uint8_t bit = 1 << page % 8;

	if (populated)
		session->populated[page / 8] |= bit;
	else
		session->populated[page / 8] &= ~bit;
}

static bool is_marked(const struct session *session, uint64_t page)
{
	return session->populated[page / 8] >> page % 8 & 1;
}

static void populate(struct session *session, uint64_t gfn, uint64_t count,
		     bool populated, struct sim_packet *reply)
{
	if (gfn < WINDOW_FIRST || gfn - WINDOW_FIRST > SESSION_WINDOW_PAGES ||
	    count > SESSION_WINDOW_PAGES - (gfn - WINDOW_FIRST) ||
	    !sim_populate(session->sim, gfn, count, populated)) {
		refuse(reply, "pages %#jx+%#jx are not in the window for buffers",
		       (uintmax_t)gfn, (uintmax_t)count);
		return;
	}
	for (uint64_t i = 0; i < count; i++)
		mark(session, gfn - WINDOW_FIRST + i, populated);
}

static void depopulate_all(struct session *session)
{
	uint64_t page = 0, first;

	while (page < SESSION_WINDOW_PAGES) {
		first = page;
		while (page < SESSION_WINDOW_PAGES && is_marked(session, page))
			page++;
		if (page > first)
			sim_populate(session->sim, WINDOW_FIRST + first, page - first,
				     false);
		page++;
	}
	memset(session->populated, 0, sizeof(session->populated));
}

/* ---- Trace ------------------------------------------------------------- */

static void set_up(struct session *session, const struct sim_message *request,
		   struct sim_packet *reply)
{
	struct sim_trace_setup setup = {
		.output_base = request->a,
		.ctl = request->b,
		.cr3_match = request->c,
		.ring = request->e,
		.lossless = request->d & SIM_SETUP_LOSSLESS,
		.watch_code = request->d & SIM_SETUP_WATCH_CODE,
	};
	struct xenpt_error *err;

	if (session->set_up[request->vcpu]) {
		refuse(reply, "vCPU %u is traced already", request->vcpu);
		return;
	}
	memcpy(setup.addr, request->ranges, sizeof(setup.addr));
	err = sim_trace_setup(session->sim, request->vcpu, &setup);
	if (err)
		fail_with(reply, err);
	else
		session->set_up[request->vcpu] = true;
}

static void get_position(struct session *session, const struct sim_message *request,
			 struct sim_packet *reply)
{
	struct sim_trace_position position;

	sim_trace_position(session->sim, request->vcpu, &position);
	reply->message.a = position.total;
	reply->message.b = position.output_base;
	reply->message.c = position.mask_ptrs;
	reply->message.d = position.status;
	reply->message.e = position.fault;
}

static void request_traced(struct session *session, const struct sim_message *request,
			   struct sim_packet *reply)
{
	struct sim *sim = session->sim;
	uint32_t vcpu = request->vcpu;
	struct xenpt_error *err;

	if (!session->set_up[vcpu]) {
		refuse(reply, "vCPU %u is not set up for a trace", vcpu);
		return;
	}
	switch (request->op) {
	case SIM_ENABLE:
		err = sim_trace_enable(sim, vcpu);
		if (err)
			fail_with(reply, err);
		break;
	case SIM_DISABLE:
		sim_trace_disable(sim, vcpu);
		break;
	case SIM_TEARDOWN:
		sim_trace_disable(sim, vcpu);
		sim_trace_teardown(sim, vcpu);
		session->set_up[vcpu] = false;
		break;
	case SIM_POSITION:
		get_position(session, request, reply);
		break;
	case SIM_CONSUME:
		sim_trace_consume(sim, vcpu, request->a);
		break;
	case SIM_RESET:
		sim_trace_reset(sim, vcpu);
		break;
	}
}

/* ---- The domain -------------------------------------------------------- */

static void pause_domain(struct session *session)
{
	sim_pause(session->sim);
	session->paused = true;
}

static void resume_domain(struct session *session)
{
	if (session->paused || session->code)
		sim_resume(session->sim);
	session->paused = session->code = session->held = false;
}

static void get_registers(struct session *session, const struct sim_message *request,
			  struct sim_packet *reply)
{
	if (!session->paused && !session->code && !session->held &&
	    sim_state(session->sim) == HV_RUNNING) {
		refuse(reply, "registers of a vCPU that runs");
		return;
	}
	memset(&reply->registers, 0, sizeof(reply->registers));
	sim_registers(session->sim, request->vcpu, &reply->registers);
	reply->message.size = sizeof(reply->registers);
}

/* The end of it is what matters. */
static void get_console(struct session *session, struct sim_packet *reply)
{
	const char *text = sim_console(session->sim);
	size_t length = strlen(text);

	if (length > sizeof(reply->text) - 1)
		text += length - (sizeof(reply->text) - 1);
	length = strlen(text);
	memcpy(reply->text, text, length + 1);
	reply->message.size = length + 1;
}

void session_request(struct session *session, const struct sim_message *request,
		     struct sim_packet *ret)
{
	uint32_t vcpus = sim_vcpus(session->sim);

	ret->message = (struct sim_message){ .op = SIM_REPLY, .vcpu = request->vcpu };
	if (request->vcpu >= vcpus || request->vcpu >= SESSION_VCPUS_MAX) {
		refuse(ret, "there is no vCPU %u: it has %u", request->vcpu, vcpus);
		return;
	}
	switch (request->op) {
	case SIM_POPULATE:
		populate(session, request->a, request->b, true, ret);
		break;
	case SIM_DEPOPULATE:
		populate(session, request->a, request->b, false, ret);
		break;
	case SIM_SETUP:
		set_up(session, request, ret);
		break;
	case SIM_ENABLE:
	case SIM_DISABLE:
	case SIM_TEARDOWN:
	case SIM_POSITION:
	case SIM_CONSUME:
	case SIM_RESET:
		request_traced(session, request, ret);
		break;
	case SIM_PAUSE:
		pause_domain(session);
		break;
	case SIM_RESUME:
		resume_domain(session);
		break;
	case SIM_REGISTERS:
		get_registers(session, request, ret);
		break;
	case SIM_CONSOLE:
		get_console(session, ret);
		break;
	default:
		refuse(ret, "there is no request %u", request->op);
	}
}

void session_undo(struct session *session)
{
	uint32_t vcpus = sim_vcpus(session->sim);

	for (uint32_t i = 0; i < vcpus && i < SESSION_VCPUS_MAX; i++) {
		if (!session->set_up[i])
			continue;
		sim_trace_disable(session->sim, i);
		sim_trace_teardown(session->sim, i);
		session->set_up[i] = false;
	}
	depopulate_all(session);
	if (session->paused || session->code)
		sim_resume(session->sim);
	session->paused = session->code = false;
}
