// SPDX-License-Identifier: GPL-2.0-only
/* What is asked of the hypervisor; without one, of QEMU or nobody. */
#include "kernel.h"

enum hypervisor {
	HYPERVISOR_NONE,
	HYPERVISOR_XEN_INTEL,
	HYPERVISOR_XEN_AMD,
};

static enum hypervisor hypervisor;

static bool is_xen(void)
{
	struct cpuid r = cpuid(0x40000000);

	/* "XenVMMXenVMM" */
	return r.ebx == 0x566e6558 && r.ecx == 0x65584d4d && r.edx == 0x4d4d566e;
}

static int64_t hypercall(uint64_t number, uint64_t a, uint64_t b, uint64_t c)
{
	int64_t result = -1;

	switch (hypervisor) {
	case HYPERVISOR_NONE:
		break;
	case HYPERVISOR_XEN_INTEL:
		asm volatile("vmcall"
			     : "=a"(result), "+D"(a), "+S"(b), "+d"(c)
			     : "0"(number)
			     : "memory");
		break;
	case HYPERVISOR_XEN_AMD:
		asm volatile("vmmcall"
			     : "=a"(result), "+D"(a), "+S"(b), "+d"(c)
			     : "0"(number)
			     : "memory");
		break;
	}
	return result;
}

void xen_init(void)
{
	if (!is_xen()) {
		/* A PC's interrupt controllers would come in at exceptions' vectors. */
		outb(0x21, 0xff);
		outb(0xa1, 0xff);
		return;
	}
	/* "Auth"enticAMD */
	hypervisor =
		cpuid(0).ebx == 0x68747541 ? HYPERVISOR_XEN_AMD : HYPERVISOR_XEN_INTEL;
}

bool xen_vcpu_start(uint32_t id, void (*entry)(void))
{
	struct vcpu_context context = {
		.mode = VCPU_HVM_MODE_64B,
		.rsp = (uint64_t)idle_stacks[id] + PAGE_SIZE,
		.rdi = id,
		.rip = (uint64_t)entry,
		.rflags = 2,
		.cr0 = BOOT_CR0,
		.cr3 = physical(boot_pml4),
		.cr4 = CR4_PAE,
		.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE,
	};

	return !hypercall(HYPERVISOR_VCPU_OP, VCPUOP_INITIALISE, id,
			  (uint64_t)&context) &&
	       !hypercall(HYPERVISOR_VCPU_OP, VCPUOP_UP, id, 0);
}

/* A page of its own is not the guest's any more. */
bool xen_give_back(uint64_t frame)
{
	struct memory_reservation reservation = {
		.frames = (uint64_t)&frame,
		.count = 1,
		.domain = DOMID_SELF,
	};

	return hypercall(HYPERVISOR_MEMORY_OP, XENMEM_DECREASE_RESERVATION,
			 (uint64_t)&reservation, 0) == 1;
}

_Noreturn void machine_shutdown(uint32_t reason)
{
	uint32_t argument = reason;

	hypercall(HYPERVISOR_SCHED_OP, SCHEDOP_SHUTDOWN, (uint64_t)&argument, 0);
	outb(GUEST_PORT_QEMU_EXIT, reason);
	interrupts_off();
	for (;;)
		asm volatile("hlt");
}
