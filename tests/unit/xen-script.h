/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A scripted Xen: what hv/ calls (struct xen_calls), over a model in memory. It does
 * what Xen 4.17 does, its traps included, keeps account of all that is open or
 * changed, and fails whichever call a test likes.
 *
 *	struct xen_script *script = xen_script_create();	sets xen_calls
 *	struct script_domain *guest = xen_script_add(script, 7, "guest");
 *	...
 *	assert_true(xen_script_is_clean(script));
 *	xen_script_destroy(script);				puts xen_calls back
 *
 * All calls of a run, each failing in turn:
 *
 *	for (unsigned int n = 1;; n++) {
 *		script = xen_script_create(); ...
 *		script->fail_at = n;
 *		script->fail_errno = EIO;
 *		run();
 *		if (script->calls < n)
 *			break;		(the run makes fewer)
 *	}
 *
 * The model is in memory that child processes share: what a guard process undoes is
 * undone here, too. Only calls of the process that made the script count and fail.
 */
#ifndef XEN_SCRIPT_H
#define XEN_SCRIPT_H

#include "hv/pt/topa.h"
#include "hv/xen-calls.h"

#include <xen/hvm/save.h>

#define SCRIPT_DOMAINS 300
#define SCRIPT_VCPUS 16
#define SCRIPT_PAGES 4096 /* 16 MiB a domain, not touched if not used */
#define SCRIPT_RING_MAX (1 << 20)
#define SCRIPT_PARAMS 64
#define SCRIPT_MAPPINGS 1024
#define SCRIPT_WATCHES 8
#define SCRIPT_SPARES 1024

/* Of a vCPU, on a Xen with hv/xen. */
struct script_vpt {
	bool set_up, enabled;
	bool waits, fault;
	bool counts; /* INT in each region */
	uint64_t flags, ctl, base, size, consumed;
	uint64_t insns; /* left; each byte of trace is one's. 0: any */
	bool spent;
	uint64_t largest; /* of the regions: 4 KiB << */
	uint64_t cr3_match, addr[8];
	struct xpt_topa topa;
};

/* A page that a domain can get. One that it had is not used again. */
struct script_spare {
	uint64_t gfn;
	bool there, used;
};

struct script_vcpu {
	struct hvm_hw_cpu cpu;
	bool offline; /* VPF_down: no context */
	/* vmtrace */
	uint8_t *ring;       /* here, writable */
	uint64_t ctl;        /* RTIT_CTL; TRACE_EN: the CPU traces */
	uint64_t ctl_before; /* … before the test: is_clean() wants it back */
	uint64_t status;     /* RTIT_STATUS */
	uint32_t offset;     /* RTIT_OUTPUT_MASK's upper half */
	bool active;         /* Xen's ipt_active */
	bool self;           /* the guest traces itself */
	unsigned int pauses; /* by vmtrace calls, each of which holds the vCPU */
	struct script_vpt vpt;
};

struct script_domain {
	bool used; /* it exists, be it dying */
	uint32_t domid;
	xen_domain_handle_t handle;
	char name[512]; /* in xenstored; "": none */
	uint32_t flags; /* XEN_DOMINF_*, without the shutdown code */
	uint8_t code;   /* SHUTDOWN_* */
	uint32_t emulation_flags;
	uint32_t vcpu_count;
	uint64_t page_count;
	uint8_t *memory;            /* here, writable, page_count pages */
	uint8_t *absent;            /* a page each: not to be mapped */
	size_t ring_size;           /* vmtrace_buf_kb; 0: none */
	unsigned int pauses;        /* by xc_domain_pause() */
	unsigned int pauses_before; /* … before the test: is_clean() wants them back */
	uint64_t params[SCRIPT_PARAMS], params_before[SCRIPT_PARAMS];
	struct script_vcpu vcpus[SCRIPT_VCPUS];
	unsigned int mappings; /* that somebody has of it */
	uint64_t max_pages, max_pages_before;
	uint64_t highest; /* guest frame that ever was, but for memory */
	uint8_t *spare;   /* what it can get more, … */
	struct script_spare spares[SCRIPT_SPARES]; /* … and where it is */
	size_t spare_count;
	bool nested;   /* it may run guests of its own */
	bool has_port; /* of the event channel */
};

/* How a domain ends. */
enum script_end {
	SCRIPT_CRASH, /* it stays, to be looked at */
	SCRIPT_WATCHDOG,
	SCRIPT_POWEROFF, /* no toolstack: it stays as well */
	SCRIPT_REBOOT,
	SCRIPT_DESTROY, /* dying as long as it is mapped, then not there */
	SCRIPT_REUSE,   /* destroyed, and another domain has its id */
};

struct script_mapping {
	void *at; /* NULL: free */
	size_t pages;
	bool resource;
	struct script_domain *domain;
	uint64_t spares[SCRIPT_SPARES / 64]; /* bit i: shows domain->spares[i] */
};

/* dom0's end of an event channel. */
struct script_evtchn {
	struct script_domain *domain; /* NULL: not bound */
	bool masked, again;
	int pipe[2];
};

struct xen_script {
	/* ---- For the test to set -------------------------------------------- */
	unsigned int fail_at;    /* the call, from 1, that fails; 0: none */
	unsigned int fail_count; /* … and how many from there on; 0: that one */
	int fail_errno;
	unsigned int end_at; /* before this call end_domain ends */
	enum script_end end_how;
	struct script_domain *end_domain;
	/* Before each call of this process; may write trace, end domains … */
	void (*on_call)(struct xen_script *script, const char *name, void *arg);
	void *arg;
	bool no_xenstored;     /* xs_open() fails */
	bool old_kernel;       /* dom0's privcmd knows no resource sizes: EOPNOTSUPP */
	bool no_vmtrace;       /* an AMD machine: EOPNOTSUPP */
	uint32_t self;         /* the domain that the calls come from */
	int domctl_errno;      /* all domctls fail so: EACCES, EPERM */
	uint32_t capabilities; /* XEN_SYSCTL_PHYSCAP_* */
	uint64_t vpt_caps;     /* XENPT_CAP_*; 0: stock Xen */
	uint64_t vpt_version;  /* XENPT_INTERFACE_VERSION */
	bool vpt_counts_not;   /* no XENPT_STATUS_TOTAL */
	uint64_t free_pages;   /* of the host */
	const char *console;   /* the console ring's text */
	size_t console_size;

	/* ---- For the test to read ------------------------------------------- */
	unsigned int calls;            /* so far */
	const char *last_call;         /* its name */
	const char *failed_call;       /* that was made to fail; NULL: none yet */
	unsigned int console_clears;   /* somebody took the ring from others */
	unsigned int traced_while_set; /* set_option() while enabled, or with TRACE_EN */
	unsigned int taken_while_traced; /* tables were, from a domain */
	unsigned int unbalanced; /* unpaused or disabled what was not, closed twice … */

	/* ---- Its own --------------------------------------------------------- */
	int pid;
	int fd; /* the memory of all domains */
	off_t size;
	int watch_pipe[2];
	struct {
		bool used;
		char path[64], token[64];
	} watches[SCRIPT_WATCHES];
	unsigned int xc_handles, fm_handles, xs_handles, evtchn_handles;
	struct script_evtchn evtchn;
	struct script_mapping mappings[SCRIPT_MAPPINGS];
	struct script_domain domains[SCRIPT_DOMAINS];
	size_t domain_count; /* of them, some of which are gone */
	char root[64];
};

/* One with only Domain-0, which all calls go to from now on. Never NULL. */
struct xen_script *xen_script_create(void);
void xen_script_destroy(struct xen_script *script);

/*
 * A domain: HVM with HAP, one vCPU in 64-bit mode, no memory, no trace buffer, a handle
 * made of its id. The test changes what it likes.
 */
struct script_domain *xen_script_add(struct xen_script *script, uint32_t domid,
				     const char *name);
struct script_domain *xen_script_find(struct xen_script *script, uint32_t domid);
void xen_script_make_pvh(struct script_domain *domain);
void xen_script_make_pv(struct script_domain *domain);
/* Memory of @pages at 0. */
void xen_script_add_memory(struct xen_script *script, struct script_domain *domain,
			   uint64_t pages);
/* vmtrace_buf_kb: a ring of @size for all of its vCPUs. */
void xen_script_add_rings(struct xen_script *script, struct script_domain *domain,
			  size_t size);

/* @pages that it can get more. */
void xen_script_add_spares(struct xen_script *script, struct script_domain *domain,
			   size_t pages);
/* How many of them it has. */
size_t xen_script_spares(const struct script_domain *domain);
/* … that it has given back: one that is mapped is not free, and counts for its limit. */
size_t xen_script_held(const struct script_domain *domain);
/* A guest frame's memory; NULL: there is none. */
uint8_t *xen_script_page(struct script_domain *domain, uint64_t gfn);
/* The guest gives one of the spares back. */
void xen_script_take_away(struct script_domain *domain, uint64_t gfn);

/*
 * The CPU writes trace: over what is there, with nothing that tells of a wrap, or where
 * its tables say. How much: nothing if the vCPU is held or not traced.
 */
size_t xen_script_trace(struct script_domain *domain, uint32_t vcpu, const void *data,
			size_t size);

/* It ends, and watches of "@releaseDomain" fire. */
void xen_script_end(struct xen_script *script, struct script_domain *domain,
		    enum script_end how);
/* Watches fire, whatever happened. */
void xen_script_fire(struct xen_script *script);

/*
 * Nothing is left open, mapped, paused, traced, changed: a domain that is gone counts
 * no more. What is left is named on standard error.
 */
bool xen_script_is_clean(struct xen_script *script);

/* The calls: xen-script-calls.c. */
extern const struct xen_calls xen_script_calls;
extern struct xen_script *xen_script;

#endif
