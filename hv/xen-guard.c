/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "hv/pt/msr.h"
#include "hv/vpt-op.h"
#include "hv/xen-frames.h"
#include "libxenpt/cleanup.h"

/* ---- What it does -------------------------------------------------------- */

/* Whether the domain that is meant still has that id. */
static bool is_there(xc_interface *xc, const struct xen_guard_list *list)
{
	xc_domaininfo_t info = {};

	return xen_calls->xc_domain_getinfolist(xc, list->domid, 1, &info) == 1 &&
	       info.domain == list->domid &&
	       memcmp(info.handle, list->handle, sizeof(info.handle)) == 0;
}

static void undo_vcpu(xc_interface *xc, struct xen_guard_list *list, uint32_t vcpu)
{
	uint64_t now = 0;

	if (list->traced[vcpu])
		xen_calls->xc_vmtrace_disable(xc, list->domid, vcpu);
	list->traced[vcpu] = false;
	/* An option is never set while somebody, another program too, traces the vCPU. */
	if (list->ctl_set[vcpu] &&
	    xen_calls->xc_vmtrace_get_option(xc, list->domid, vcpu, XPT_MSR_CTL, &now) ==
		    0 &&
	    !(now & XPT_CTL_TRACE_EN))
		xen_calls->xc_vmtrace_set_option(xc, list->domid, vcpu, XPT_MSR_CTL,
						 list->ctl[vcpu]);
	list->ctl_set[vcpu] = false;
	if (list->set_up[vcpu])
		vpt_op(xc, list->domid, vcpu, XEN_DOMCTL_vmtrace_xenpt_teardown, NULL,
		       NULL);
	list->set_up[vcpu] = false;
}

/* There is nobody to tell of a failure: what can be undone is. */
void xen_guard_undo(xc_interface *xc, struct xen_guard_list *list)
{
	if (!is_there(xc, list))
		return;
	for (uint32_t i = 0; i < XEN_GUARD_VCPUS; i++)
		undo_vcpu(xc, list, i);
	xen_frames_give_back(xc, list);
	xen_frames_restore_limit(xc, list);
	if (list->param_set)
		xen_calls->xc_hvm_param_set(xc, list->domid,
					    HVM_PARAM_TRIPLE_FAULT_REASON, list->param);
	list->param_set = false;
	for (; list->pauses; list->pauses--)
		xen_calls->xc_domain_unpause(xc, list->domid);
}

static bool is_empty(const struct xen_guard_list *list)
{
	for (uint32_t i = 0; i < XEN_GUARD_VCPUS; i++) {
		if (list->traced[i] || list->ctl_set[i] || list->set_up[i])
			return false;
	}
	for (size_t i = 0; i < XEN_GUARD_RUNS; i++) {
		if (list->runs[i].count)
			return false;
	}
	return !list->pauses && !list->param_set && !list->limit_set;
}

/* ---- The second process -------------------------------------------------- */

/* Nothing of the program's is kept open: a pipe, a terminal, a file system. */
static void let_go(int *fd)
{
	int null = open("/dev/null", O_RDWR);

	if (*fd != STDIN_FILENO)
		dup2(*fd, STDIN_FILENO);
	*fd = STDIN_FILENO;
	if (null >= 0) {
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
	}
	close_range(STDERR_FILENO + 1, ~0u, 0);
	if (chdir("/") < 0)
		return;
}

/* A Ctrl-C is for the program, and what it leaves undone is for the guard. */
static void ignore_signals(void)
{
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		sigaction(ignored[i], &ignore, NULL);
}

static void wait_for_end(int fd)
{
	char byte;

	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		;
}

static void guard_domain(struct xen_guard_list *list, int fd)
{
	xc_interface *xc;

	setsid();
	ignore_signals();
	prctl(PR_SET_NAME, "xenpt-guard");
	let_go(&fd);
	wait_for_end(fd);
	if (is_empty(list))
		return;
	xc = xen_calls->xc_open(NULL);
	if (!xc)
		return;
	xen_guard_undo(xc, list);
	xen_calls->xc_close(xc);
}

/* ---- Its life ------------------------------------------------------------ */

static void destroy_unstarted(struct xen_guard **guard)
{
	if (!*guard)
		return;
	if ((*guard)->list)
		munmap((*guard)->list, sizeof(*(*guard)->list));
	free(*guard);
}

static struct xenpt_error *start(struct xen_guard *guard)
{
	_cleanup_close_ int in = -1;
	_cleanup_close_ int out = -1;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return xenpt_error_os(errno, "pipe");
	in = ends[0];
	out = ends[1];
	guard->pid = fork();
	if (guard->pid < 0)
		return xenpt_error_os(errno, "cannot start the guard of the domain");
	if (!guard->pid) {
		guard_domain(guard->list, in);
		/* All else in this process is the program's. */
		_exit(0);
	}
	guard->pipe = out;
	out = -1;
	return NULL;
}

struct xenpt_error *xen_guard_create(uint32_t domid, const xen_domain_handle_t handle,
				     struct xen_guard **ret)
{
	_cleanup_(destroy_unstarted) struct xen_guard *guard = calloc(1, sizeof(*guard));
	void *list;

	if (!guard)
		return xenpt_error_no_memory();
	list = mmap(NULL, sizeof(*guard->list), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (list == MAP_FAILED)
		return xenpt_error_os(errno, "cannot start the guard of the domain");
	guard->list = list;
	guard->list->domid = domid;
	memcpy(guard->list->handle, handle, sizeof(guard->list->handle));
	XENPT_TRY(start(guard));
	*ret = no_cleanup_ptr(guard);
	return NULL;
}

void xen_guard_destroy(struct xen_guard *guard)
{
	if (!guard)
		return;
	close(guard->pipe);
	while (waitpid(guard->pid, NULL, 0) < 0 && errno == EINTR)
		;
	destroy_unstarted(&guard);
}
