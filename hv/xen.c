/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Xen domains. What they have in common is here; what traces one is chosen when it is
 * opened, and the domain's ops are that tracer's from then on.
 */
#include <errno.h>
#include <string.h>

#include "hv/backend.h"
#include "hv/xen-check.h"
#include "hv/xen-frames.h"
#include "hv/xen-list.h"

#include <xen/hvm/params.h>
#include <xen/hvm/save.h>
#include <xen/sched.h>

#define CONSOLE_TAIL (16 << 10)
#define CONSOLE_READS 4096 /* a ring of 64 MiB, or one that is written meanwhile */

/* ---- State --------------------------------------------------------------- */

/* Nothing of what was done to it is left to undo. */
static void note_gone(struct xen_domain *xen)
{
	xen->gone = true;
	xen->pauses = 0;
	xen->has_param = false;
	xen->guard->list->pauses = 0;
	xen->guard->list->param_set = false;
	xen_frames_forget(xen->guard->list);
	xen_mem_freeze(xen->mem);
}

static struct xenpt_error *look_again(struct xen_domain *xen)
{
	struct xen_state state;

	XENPT_TRY(xen_state_read(xen->host, xen->domid, xen->handle, &state));
	/* Paused, where that is our doing, is running to whoever asked for it. */
	if (state.state == HV_PAUSED && xen->pauses)
		state.state = xen->info.state;
	if (state.state != xen->info.state)
		xen->news = true;
	xen->info.state = state.state;
	xen->info.reason = state.reason;
	if (state.gone)
		note_gone(xen);
	return NULL;
}

bool xen_domain_is_gone(struct xen_domain *xen)
{
	/* If it cannot be asked for, the failure of the call itself says more. */
	if (!xen->gone)
		xenpt_error_destroy(look_again(xen));
	return xen->gone;
}

/* The call failed: an error, unless it did because the domain is gone. */
static struct xenpt_error *failed(struct xen_domain *xen, int errnum, const char *what)
{
	_cleanup_error_ struct xenpt_error *err =
		xen_host_error(xen->host, errnum, "domain %u: %s", xen->domid, what);

	if (xen_domain_is_gone(xen))
		return NULL;
	return no_cleanup_ptr(err);
}

int xen_fd(struct hv_domain *domain)
{
	return xen_watch_fd(xen_domain_of(domain)->host);
}

struct xenpt_error *xen_event(struct hv_domain *domain, struct hv_event *ret)
{
	struct xen_domain *xen = xen_domain_of(domain);

	/* Taken in any case, or the descriptor would stay readable. */
	if (xen_watch_take(xen->host) && !xen->gone)
		XENPT_TRY(look_again(xen));
	*ret = (struct hv_event){ .type = xen->news ? HV_EVENT_STATE : HV_EVENT_NONE };
	xen->news = false;
	return NULL;
}

/* ---- Pausing ------------------------------------------------------------- */

struct xenpt_error *xen_pause(struct hv_domain *domain)
{
	struct xen_domain *xen = xen_domain_of(domain);

	if (xen->gone)
		return NULL;
	/* First, for it is to be undone also if this program ends in between. */
	xen->guard->list->pauses++;
	if (xen_calls->xc_domain_pause(xen->host->xc, xen->domid) < 0) {
		int errnum = errno;

		xen->guard->list->pauses--;
		return failed(xen, errnum, "cannot pause it");
	}
	xen->pauses++;
	xen_mem_forget(xen->mem);
	return NULL;
}

struct xenpt_error *xen_resume(struct hv_domain *domain)
{
	struct xen_domain *xen = xen_domain_of(domain);

	if (xen->gone || !xen->pauses)
		return NULL;
	if (xen_calls->xc_domain_unpause(xen->host->xc, xen->domid) < 0)
		return failed(xen, errno, "cannot resume it");
	xen->pauses--;
	xen->guard->list->pauses--;
	return NULL;
}

/* ---- Registers ----------------------------------------------------------- */

#define CR0_PE 1u
#define RFLAGS_VM (1u << 17)
#define EFER_LMA (1u << 10)

/*
 * Of Xen's attributes of a segment, which are not VMX's: bits 0-7 are those of the
 * descriptor, and AVL, L, D/B, G follow at once. asm/hvm/support.h and
 * asm/x86_emulate.h, struct segment_register.
 */
#define SEG_DPL(attr) ((attr) >> 5 & 3)
#define SEG_L (1u << 9)
#define SEG_D (1u << 10)

static uint8_t mode_of(const struct hvm_hw_cpu *cpu)
{
	if (cpu->msr_efer & EFER_LMA && cpu->cs_arbytes & SEG_L)
		return 64;
	return cpu->cs_arbytes & SEG_D ? 32 : 16;
}

/* SDM volume 3, "Guest Register State": it is SS's DPL, but in real and v8086 mode. */
static uint8_t cpl_of(const struct hvm_hw_cpu *cpu)
{
	if (!(cpu->cr0 & CR0_PE))
		return 0;
	if (cpu->rflags & RFLAGS_VM)
		return 3;
	return SEG_DPL(cpu->ss_arbytes);
}

static void translate(const struct hvm_hw_cpu *cpu, struct xenpt_registers *ret)
{
	*ret = (struct xenpt_registers){
		.gpr = { cpu->rax, cpu->rcx, cpu->rdx, cpu->rbx, cpu->rsp, cpu->rbp,
			 cpu->rsi, cpu->rdi, cpu->r8, cpu->r9, cpu->r10, cpu->r11,
			 cpu->r12, cpu->r13, cpu->r14, cpu->r15 },
		.rip = cpu->rip,
		.rflags = cpu->rflags,
		.cr0 = cpu->cr0,
		.cr2 = cpu->cr2,
		.cr3 = cpu->cr3,
		.cr4 = cpu->cr4,
		.efer = cpu->msr_efer,
		.fs_base = cpu->fs_base,
		.gs_base = cpu->gs_base,
		.shadow_gs_base = cpu->shadow_gs,
		.idt_base = cpu->idtr_base,
		.gdt_base = cpu->gdtr_base,
		.lstar = cpu->msr_lstar,
		.tsc = cpu->tsc,
		.cs = (uint16_t)cpu->cs_sel,
		.ss = (uint16_t)cpu->ss_sel,
		.cpl = cpl_of(cpu),
		.mode = mode_of(cpu),
	};
}

struct xenpt_error *xen_registers(struct hv_domain *domain, uint32_t vcpu,
				  struct xenpt_registers *ret)
{
	struct xen_domain *xen = xen_domain_of(domain);
	struct hvm_hw_cpu cpu = {};

	if (vcpu >= xen->info.vcpus)
		return xenpt_error_create(XENPT_ERROR_INVALID, "domain %u has no vCPU %u",
					  xen->domid, vcpu);
	if (xen->gone) {
		*ret = (struct xenpt_registers){};
		return NULL;
	}
	if (xen_calls->xc_domain_hvm_getcontext_partial(
		    xen->host->xc, xen->domid, HVM_SAVE_CODE(CPU), (uint16_t)vcpu, &cpu,
		    sizeof(cpu)) == 0) {
		translate(&cpu, ret);
		return NULL;
	}
	/* One that is offline has none: xen/arch/x86/hvm/save.c, hvm_save_one(). */
	if (errno != ENODATA)
		XENPT_TRY(failed(xen, errno, "cannot read its registers"));
	*ret = (struct xenpt_registers){};
	return NULL;
}

/* ---- Console ------------------------------------------------------------- */

/* What is in @buf, of @size bytes, as text: whole lines of it if it was @cut. */
static char *to_text(const char *buf, size_t size, bool cut)
{
	const char *line = cut ? memchr(buf, '\n', size) : NULL;
	size_t skip = line ? (size_t)(line - buf) + 1 : 0;
	char *text = malloc(size - skip + 1);

	if (!text)
		return NULL;
	for (size_t i = skip; i < size; i++)
		text[i - skip] = buf[i] ? buf[i] : ' ';
	text[size - skip] = '\0';
	return text;
}

/* Xen gives the oldest first, as much as asked for, and says where to go on. */
struct xenpt_error *xen_console(struct hv_domain *domain, char **ret)
{
	struct xen_host *host = xen_domain_of(domain)->host;
	_cleanup_free_ char *buf = malloc(2 * CONSOLE_TAIL);
	unsigned int size = CONSOLE_TAIL;
	uint32_t index = 0;
	size_t have = 0;
	bool cut = false;
	char *text;

	if (!buf)
		return xenpt_error_no_memory();
	for (unsigned int i = 0; i < CONSOLE_READS && size == CONSOLE_TAIL; i++) {
		if (xen_calls->xc_readconsolering(host->xc, buf + have, &size, 0, i > 0,
						  &index) < 0)
			return xen_host_error(host, errno, "Xen's console");
		if (size > CONSOLE_TAIL)
			break;
		have += size;
		if (have > CONSOLE_TAIL) {
			memmove(buf, buf + have - CONSOLE_TAIL, CONSOLE_TAIL);
			have = CONSOLE_TAIL;
			cut = true;
		}
	}
	text = to_text(buf, have, cut);
	if (!text)
		return xenpt_error_no_memory();
	*ret = text;
	return NULL;
}

/* ---- Triple faults ------------------------------------------------------- */

struct xenpt_error *xen_triple_fault_catch(struct xen_domain *xen)
{
	xc_interface *xc = xen->host->xc;
	uint64_t before;

	if (xen->gone || xen->has_param)
		return NULL;
	if (xen_calls->xc_hvm_param_get(xc, xen->domid, HVM_PARAM_TRIPLE_FAULT_REASON,
					&before) < 0)
		return failed(xen, errno, "what a triple fault does is not known");
	if (before == SHUTDOWN_crash)
		return NULL;
	xen->guard->list->param = xen->param = before;
	xen->guard->list->param_set = true;
	if (xen_calls->xc_hvm_param_set(xc, xen->domid, HVM_PARAM_TRIPLE_FAULT_REASON,
					SHUTDOWN_crash) < 0) {
		int errnum = errno;

		xen->guard->list->param_set = false;
		return failed(xen, errnum, "cannot have a triple fault be a crash");
	}
	xen->has_param = true;
	return NULL;
}

struct xenpt_error *xen_triple_fault_restore(struct xen_domain *xen)
{
	if (xen->gone || !xen->has_param)
		return NULL;
	if (xen_calls->xc_hvm_param_set(xen->host->xc, xen->domid,
					HVM_PARAM_TRIPLE_FAULT_REASON, xen->param) < 0)
		return failed(xen, errno, "cannot restore what a triple fault does");
	xen->has_param = false;
	xen->guard->list->param_set = false;
	return NULL;
}

/* ---- Opening ------------------------------------------------------------- */

const struct xen_tracer *xen_tracer_find(struct xen_host *host,
					 const xc_domaininfo_t *info, char **why_ret)
{
	char *first = NULL;

	for (size_t i = 0; xen_tracers[i]; i++) {
		char *why = NULL;

		if (xen_tracers[i]->can(host, info, &why)) {
			free(first);
			*why_ret = why;
			return xen_tracers[i];
		}
		/* What the preferred one needs is what to change. */
		if (first)
			free(why);
		else
			first = why;
	}
	*why_ret = first;
	return NULL;
}

static void cleanup_domain(struct xen_domain **xen)
{
	if (*xen)
		xen_close(&(*xen)->domain);
}

static bool xen_claims(const char *domain)
{
	return true;
}

static struct xenpt_error *no_such_tracer(const char *backend)
{
	char names[128] = "";

	for (size_t i = 0; xen_tracers[i]; i++) {
		size_t length = strlen(names);

		snprintf(names + length, sizeof(names) - length, "%s%s", i ? ", " : "",
			 xen_tracers[i]->ops->name);
	}
	return xenpt_error_create(XENPT_ERROR_INVALID,
				  "there is no back-end '%s' for Xen domains: there are "
				  "%s",
				  backend, names);
}

/* The one that is named, or whichever can. */
static struct xenpt_error *choose_tracer(struct xen_domain *xen, const char *name,
					 const char *backend, const xc_domaininfo_t *info)
{
	size_t i = 0;

	if (!backend) {
		xen->tracer = xen_tracer_find(xen->host, info, &xen->info.why);
		if (xen->tracer)
			return NULL;
		return xenpt_error_create(
			XENPT_ERROR_UNSUPPORTED, "%s: cannot be traced: %s", name,
			xen->info.why ? xen->info.why : "no back-end can");
	}
	while (xen_tracers[i] && strcmp(xen_tracers[i]->ops->name, backend) != 0)
		i++;
	if (!xen_tracers[i])
		return no_such_tracer(backend);
	if (!xen_tracers[i]->can(xen->host, info, &xen->info.why))
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
					  "%s: cannot be traced by %s: %s", name, backend,
					  xen->info.why ?: xen_tracers[i]->missing);
	xen->tracer = xen_tracers[i];
	return NULL;
}

/* The host's side: what goes wrong from here on is about the domain. */
static struct xenpt_error *find_domain(struct xen_domain *xen, const char *name,
				       const char *backend, xc_domaininfo_t *ret)
{
	XENPT_TRY(xen_find(xen->host, name, ret));
	xen->domid = ret->domain;
	memcpy(xen->handle, ret->handle, sizeof(xen->handle));
	if (xen_is_self(xen->host, xen->domid))
		return xenpt_error_create(
			XENPT_ERROR_INVALID,
			"%s: xenpt runs in this domain: Xen traces none "
			"that asks for itself",
			name);
	XENPT_TRY(xen_info_init(xen->host, ret, &xen->info));
	return choose_tracer(xen, name, backend, ret);
}

static struct xenpt_error *attach(struct xen_domain *xen)
{
	XENPT_TRY(xen_mem_create(xen->host, xen->domid, &xen->mem));
	XENPT_TRY(xen_guard_create(xen->domid, xen->handle, &xen->guard));
	XENPT_TRY(xen_watch_init(xen->host));
	xen->domain.ops = xen->tracer->ops;
	xen->domain.info = &xen->info;
	xen->domain.mem = xen_mem_reader(xen->mem);
	xen->info.backend = xen->tracer->ops->name;
	return xen->tracer->open(xen);
}

static struct xenpt_error *xen_open(const char *domain, const char *backend,
				    struct hv_domain **ret)
{
	_cleanup_(cleanup_domain) struct xen_domain *xen = calloc(1, sizeof(*xen));
	xc_domaininfo_t info;
	const char *why;

	if (!xen)
		return xenpt_error_no_memory();
	if (!xen_host_is_there(&why))
		return xenpt_error_create(
			XENPT_ERROR_NOT_FOUND,
			"there is no domain '%s': %s; or name "
			"sim:SCENARIO; 'xenpt list' shows which there are",
			domain, why);
	XENPT_TRY(xen_host_create(&xen->host));
	XENPT_TRY(find_domain(xen, domain, backend, &info));
	XENPT_TRY(xenpt_error_prepend(attach(xen), "%s", domain));
	*ret = &no_cleanup_ptr(xen)->domain;
	return NULL;
}

/*
 * In reverse, and all of it, whatever fails: what could not be undone here the guard
 * tries again, with handles of its own.
 */
void xen_close(struct hv_domain *domain)
{
	struct xen_domain *xen = xen_domain_of(domain);

	if (xen->trace)
		xen->tracer->close(xen);
	if (xen->guard) {
		xenpt_error_destroy(xen_triple_fault_restore(xen));
		for (unsigned int i = xen->pauses; i; i--)
			xenpt_error_destroy(xen_resume(domain));
		xen_watch_deinit(xen->host);
	}
	xen_guard_destroy(xen->guard);
	xen_mem_destroy(xen->mem);
	xen_host_destroy(xen->host);
	xen_info_deinit(&xen->info);
	free(xen);
}

const struct hv_ops hv_xen_ops = {
	.name = "xen",
	.claims = xen_claims,
	.list = xen_list,
	.open = xen_open,
	.check = xen_check,
	.close = xen_close,
};
