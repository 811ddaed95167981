/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef XEN_SCHED_H
#define XEN_SCHED_H

#include <asm/processor.h>
#include <xen/errno.h>
#include <xen/lib.h>
#include <xen/types.h>

struct domain;
struct page_info;
struct xenpt_guest;
struct xenpt_vcpu;

/* The machine's: the VMCS of a vCPU, where all fields that were not written are 0. */
#define HOST_VMCS_FIELDS 48
struct host_vmcs {
	struct {
		unsigned long field, value;
	} fields[HOST_VMCS_FIELDS];
	unsigned int nr;
};

struct vcpu_msrs {
	struct {
		uint64_t ctl, status;
		union {
			uint64_t output_mask;
			struct {
				uint32_t output_limit, output_offset;
			};
		};
	} rtit;
};

/* The machine's: of the two MSRs that are asked for. */
struct vmx_msr_bitmap {
	uint8_t efer, sysenter_cs; /* VMX_MSR_* */
};

struct vmx_vcpu {
	struct xenpt_vcpu *xenpt;
	struct xenpt_guest *xenpt_guest;
	uint32_t exec_control, exception_bitmap;
	uint8_t vmx_realmode, vmx_emulate;
	uint32_t secondary_exec_control;
	uint64_t sfmask;
	struct vmx_msr_bitmap *msr_bitmap, bitmap; /* NULL: all MSRs exit */
	bool ipt_active;
	struct host_vmcs vmcs;
};

struct vlapic {
	uint32_t lvtpc;
	uint8_t vector; /* the last one that it was given */
	unsigned int irqs;
};

struct hvm_vcpu {
	unsigned long guest_cr[5], hw_cr[5];
	uint64_t guest_efer;
	bool single_step;
	struct vlapic vlapic;
	struct vmx_vcpu vmx;
};

/* The machine's: what a vCPU has that runs code. */
#define HOST_RAN_MAX 65536
struct host_code {
	uint64_t idt;                 /* handlers, of 16 bytes each */
	uint64_t lstar, kernel_stack; /* also of SYSENTER */
	unsigned long idt_limit;      /* that the guest has set */
	bool deny_cr3;                /* a monitor of the toolstack's does */
	unsigned int irq;             /* a vector that waits; 0: none */
	bool nmi;                     /* one waits */
	unsigned int
		late_events; /* so many are not delivered at once: an EPT violation */
	bool bad_idt;        /* … and a #GP */
	bool hold_traps;     /* something comes in place of a #DB */
	uint8_t efer_exits;  /* RDMSR of it does, for Xen */
	bool bus_locks;      /* each exit says that there was one */
	/* Of the CPU. */
	bool mtf, late;
	uint32_t vectoring, vectoring_error, vectoring_length;
	/* What it ran. */
	unsigned int nr, exits;
	struct {
		uint64_t ip, cr3;
	} * ran;
};

struct vcpu {
	unsigned int vcpu_id;
	unsigned int processor;
	struct domain *domain;
	struct vcpu *next_in_list;
	struct {
		struct hvm_vcpu hvm;
		struct vcpu_msrs *msrs;
		struct cpu_user_regs user_regs;
		bool nmi_pending;
	} arch;
	struct {
		struct page_info *pg;
	} vmtrace;

	/* The machine's. */
	int pause_count;
	int held;          /* of these, by who tests */
	unsigned int view; /* of altp2m */
	uint64_t traced;   /* bytes that the CPU has put out */
	struct vcpu_msrs msrs;
	struct host_code code;
};

struct vmx_domain {
	unsigned int xenpt_port;
};

/* Of the machine. */
struct p2m_domain;
#define HOST_PORTS 8
#define HOST_VIEWS 3
#define HOST_VCPUS 4
struct host_port {
	bool open;
	uint16_t remote;
	unsigned int notified;
};

struct cpu_policy {
	struct {
		uint8_t maxphysaddr;
	} extd;
};

struct domain {
	uint16_t domain_id;
	int is_dying;
	unsigned int vmtrace_size;
	struct {
		struct cpu_policy *cpu_policy;
		struct {
			struct vmx_domain vmx;
		} hvm;
	} arch;

	/* The machine's. */
	struct cpu_policy policy;
	bool hvm, hap, nested, altp2m, locked;
	unsigned int max_vcpus;
	struct vcpu *vcpu[HOST_VCPUS];
	struct p2m_domain *p2m, *views[HOST_VIEWS];
	struct host_port ports[HOST_PORTS];
	unsigned int strays; /* faults that no instruction of the guest's made */
	bool stepped;        /* or was, when Xen began with what it does */
	bool stuck;          /* what its paging should bring does not come */
};

#define for_each_vcpu(d, v) for ((v) = (d)->vcpu[0]; (v); (v) = (v)->next_in_list)

struct vcpu *host_current(void);
#define current (host_current())
unsigned int smp_processor_id(void);

struct vcpu *domain_vcpu(const struct domain *d, unsigned int id);
void vcpu_pause(struct vcpu *v);
void vcpu_pause_nosync(struct vcpu *v);
void vcpu_unpause(struct vcpu *v);
void domain_lock(struct domain *d);
void domain_unlock(struct domain *d);

static inline bool is_hvm_domain(const struct domain *d)
{
	return d->hvm;
}

static inline bool is_hvm_vcpu(const struct vcpu *v)
{
	return is_hvm_domain(v->domain);
}

#endif
