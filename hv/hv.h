/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hypervisor, as xenpt needs one: find a domain, trace it, read its memory, hear
 * of its end. Each back-end is a file with one struct hv_ops; the command that
 * records knows no other thing of it.
 *
 *	hv_open() ─▶ trace_start() ─▶ position(), consume(), event() … ─▶
 *	trace_stop() ─▶ close()
 *
 * Attaching and detaching leave the domain as it was: close() undoes what is not
 * undone yet, also after an error, and when the program is killed the back-end's other
 * side does so where it can. All functions are for one thread.
 */
#ifndef HV_HV_H
#define HV_HV_H

#include "libxenpt/mem.h"
#include "libxenpt/xenpt.h"

/* Members of a domain that all back-ends have; each puts its own behind them. */
struct hv_domain {
	const struct hv_ops *ops;
	struct hv_info *info;  /* the domain's; valid until close() */
	struct xenpt_mem *mem; /* guest-physical memory, live; the domain's */
	/*
	 * How long a position() holds its vCPU, ns, of late; 0: not at all. It is asked
	 * no more often than is fair to the guest.
	 */
	uint64_t position_cost;
	/*
	 * After trace_start(): why the buffers are not of hv_trace.size, and what to
	 * change; NULL: they are, or nearly so. The domain's.
	 */
	char *size_note;
	/*
	 * How it is traced, where that is not by the CPU: "software mode"; NULL: it is.
	 * Static.
	 */
	const char *mode;
};

enum hv_state {
	HV_RUNNING,
	HV_PAUSED,
	HV_CRASHED, /* crash, watchdog, soft reset: it is still there, to be looked at */
	HV_ENDED,   /* powered off, rebooted, destroyed */
	HV_OFFERED, /* of a listing: not there, open() starts it */
};

struct hv_info {
	char *name; /* as the user names it: "guest", "sim:crash-4711" */
	char *uuid;
	const char *type; /* "sim", "HVM", "PVH", "PV"; static */
	uint32_t vcpus;
	uint64_t memory; /* bytes of RAM */
	enum hv_state state;
	const char *reason;  /* HV_CRASHED, HV_ENDED: "watchdog", "destroyed" …; static;
				may be NULL */
	const char *backend; /* that can trace it; NULL: none can */
	char *why;           /* of it: or why none can, and what to change; may be NULL */
	const char *about;   /* HV_OFFERED: what it is, a line; else NULL */
	char *kernel; /* an ELF file here that the guest was started from; may be NULL */
	struct xenpt_cpu cpu;
};

#define HV_RANGES_MAX 4

/* What to trace, and how. */
struct hv_trace {
	uint64_t size;         /* of each vCPU's buffer, bytes; the back-end rounds up */
	const uint32_t *vcpus; /* NULL: all */
	size_t vcpu_count;
	uint64_t cr3;      /* only this address space, or XENPT_CR3_ANY */
	bool kernel, user; /* neither: both */
	struct {
		uint64_t lo, hi; /* inclusive */
	} ranges[HV_RANGES_MAX];
	size_t range_count;
	bool tsc;
	int mtc, cyc;  /* RTIT_CTL.MTCFreq, CycThresh; -1: off */
	bool ptw;      /* what programs put there by PTWRITE */
	bool lossless; /* a vCPU waits while its buffer is full of what is not consumed */
	uint64_t insns; /* of each vCPU, then its trace ends; 0: any. Software mode */
	bool no_pip;    /* have the hypervisor write no PIP, to show what comes of that */
	/*
	 * Say HV_EVENT_CODE before code that ran is changed, where the back-end can:
	 * then the pages read at that time are those that ran.
	 */
	bool watch_code;
	bool catch_triple_fault; /* it is to be a crash, not a reboot: Xen only */
};

/* Where a vCPU's output is. The buffer is a ring; trace is where it was written last. */
struct hv_position {
	/*
	 * Bytes put out since trace_start() or restart(); the next one goes to
	 * total % size. Where the back-end does not know laps, has_total is not set, and
	 * total is less than size.
	 */
	uint64_t total;
	bool has_total;
	bool stopped;  /* nothing is written any more: a STOP region is full */
	bool fault;    /* … : a page of the buffer is not there */
	bool error;    /* … : STATUS.Error, the CPU did not like the ToPA table */
	bool tampered; /* the guest rewrote its ToPA table: bytes may be anything */
	bool gone;     /* the domain was destroyed: what came last was not to be had */
	bool done;     /* hv_trace.insns have run: nothing is written any more */
};

enum hv_event_type {
	HV_EVENT_NONE,
	HV_EVENT_DATA, /* trace to read: half of the buffer, INT, STOP, fault */
	HV_EVENT_FULL, /* lossless: the vCPU waits for consume() */
	/*
	 * A vCPU is about to change code that ran, or page tables that led to it: all
	 * vCPUs are held, with all trace in memory, until resume(); each vCPU's trace
	 * then goes on with a PSB+.
	 */
	HV_EVENT_CODE,
	HV_EVENT_STATE, /* info->state has changed: the domain crashed or ended */
};

struct hv_event {
	enum hv_event_type type;
	uint32_t vcpu;
};

/* Called for each domain of a listing. A result is an error that ends it. */
typedef struct xenpt_error *hv_list_fn(void *arg, const struct hv_info *info);

enum hv_level {
	HV_GOOD,
	HV_NOTE, /* recording works, but … */
	HV_BAD,  /* recording does not work */
};

/* hv_domain.mode: the hypervisor runs one instruction at a time. */
#define HV_MODE_SOFTWARE "software mode"

/* One thing that a host or domain can or cannot do. */
struct hv_finding {
	enum hv_level level;
	const char *what;   /* "hypervisor", "dom0 kernel", "trace buffer" … */
	const char *found;  /* "Xen 4.17.7", "none" */
	const char *remedy; /* what to change, for HV_NOTE and HV_BAD; else NULL */
};

/* Called for each finding, as it is found. A result is an error that ends it. */
typedef struct xenpt_error *hv_finding_fn(void *arg, const struct hv_finding *finding);

struct hv_ops {
	const char *name; /* "sim" */

	/* Whether @domain, as the user wrote it, is this back-end's to open. */
	bool (*claims)(const char *domain);
	/* All domains that it knows, and those that it could start. */
	struct xenpt_error *(*list)(hv_list_fn *fn, void *arg);
	/*
	 * Attach. What it starts is held until trace_start(). @backend: what is to trace
	 * it; NULL: whatever can, and does best. An error says which there are.
	 */
	struct xenpt_error *(*open)(const char *domain, const char *backend,
				    struct hv_domain **ret);
	/*
	 * What this host can do, and @domain, which may be NULL. Changes nothing. NULL:
	 * there is nothing to find.
	 */
	struct xenpt_error *(*check)(const char *domain, hv_finding_fn *fn, void *arg);
	void (*close)(struct hv_domain *domain);

	/* After pause() it stays held. */
	struct xenpt_error *(*trace_start)(struct hv_domain *domain,
					   const struct hv_trace *trace);
	/* All trace is in memory after it, and position() is the end. */
	struct xenpt_error *(*trace_stop)(struct hv_domain *domain);

	/* The ring of a vCPU that is traced, mapped; until close(). */
	const uint8_t *(*buffer)(struct hv_domain *domain, uint32_t vcpu,
				 size_t *size_ret);
	struct xenpt_error *(*position)(struct hv_domain *domain, uint32_t vcpu,
					struct hv_position *ret);
	/* Bytes before @total were read: a vCPU that waits for room may go on. */
	struct xenpt_error *(*consume)(struct hv_domain *domain, uint32_t vcpu,
				       uint64_t total);
	/*
	 * After stopped, fault, error or tampered: begin with an empty ring and a PSB+,
	 * unless it is done meanwhile.
	 */
	struct xenpt_error *(*restart)(struct hv_domain *domain, uint32_t vcpu);

	/* Hold all vCPUs, with all trace in memory, for registers() and reading. */
	struct xenpt_error *(*pause)(struct hv_domain *domain);
	/* After pause() or HV_EVENT_CODE. */
	struct xenpt_error *(*resume)(struct hv_domain *domain);
	/* Of a vCPU that is held, or whose domain crashed. */
	struct xenpt_error *(*registers)(struct hv_domain *domain, uint32_t vcpu,
					 struct xenpt_registers *ret);

	/* Readable when event() has something. */
	int (*fd)(struct hv_domain *domain);
	/* The next event, HV_EVENT_NONE if there is none. Does not wait. */
	struct xenpt_error *(*event)(struct hv_domain *domain, struct hv_event *ret);

	/* What the guest wrote to its console of late, and why it ended. */
	struct xenpt_error *(*console)(struct hv_domain *domain, char **ret);
};

/* All back-ends, the last NULL. */
extern const struct hv_ops *const hv_backends[];

/*
 * The back-end that claims the domain that the user names. An error says which names
 * there are.
 */
struct xenpt_error *hv_find(const char *domain, const struct hv_ops **ret);
/* Attach to it; @backend as for open(). */
struct xenpt_error *hv_open(const char *domain, const char *backend,
			    struct hv_domain **ret);

#endif
