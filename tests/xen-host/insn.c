/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The few instructions that the CPU has, by their bytes; others are #UD. */
#include "tests/xen-host/host.h"

#include <asm/hvm/hvm.h>
#include <asm/msr.h>

#define USER_FLAGS 0x3c7fd7ull /* that SYSRET, IRET and POPF load */

struct insn {
	struct vcpu *v;
	struct cpu_user_regs *regs;
	const uint8_t *bytes;
	uint64_t ip, next, flags;
	struct host_exit *exit;
};

static uint64_t get(const struct vcpu *v, unsigned long field)
{
	return host_vmcs_read(v, field);
}

unsigned int host_cpl(const struct vcpu *v)
{
	return (get(v, GUEST_SS_AR_BYTES) & X86_SEG_AR_DPL) >> 5;
}

void host_cpl_set(struct vcpu *v, unsigned int cpl)
{
	const uint64_t ss = get(v, GUEST_SS_AR_BYTES) & ~(uint64_t)X86_SEG_AR_DPL;

	host_vmcs_write(v, GUEST_SS_AR_BYTES, ss | (cpl & 3) << 5);
}

void host_push(struct vcpu *v, uint64_t value)
{
	const uint64_t rsp = get(v, GUEST_RSP) - 8;

	host_vmcs_write(v, GUEST_RSP, rsp);
	host_write(v->domain, rsp, &value, 8);
}

uint64_t host_pop(struct vcpu *v)
{
	const uint64_t rsp = get(v, GUEST_RSP);
	uint64_t value = 0;

	host_read(v->domain, rsp, &value, 8);
	host_vmcs_write(v, GUEST_RSP, rsp + 8);
	return value;
}

uint64_t host_msr(const struct vcpu *v, uint32_t msr)
{
	return get(v, msr == MSR_EFER ? GUEST_EFER : GUEST_SYSENTER_CS);
}

unsigned int host_opcode(const uint8_t *bytes)
{
	if (bytes[0] == 0x48 || bytes[0] == 0xf3)
		bytes++;
	return bytes[0] == 0x0f ? 0x0f00u | bytes[1] : bytes[0];
}

/* ---- what an instruction comes to ---- */

static enum host_ran goes_to(const struct insn *insn, uint64_t to)
{
	host_retire(insn->v, to);
	return HOST_RAN;
}

static enum host_ran fault(const struct insn *insn, unsigned int vector, bool has_error,
			   uint32_t error, uint64_t address)
{
	*insn->exit = (struct host_exit){
		.info = HOST_EXCEPTION(vector) |
			(has_error ? INTR_INFO_DELIVER_CODE_MASK : 0),
		.error = error,
		.qualification = address,
	};
	return HOST_RAISED;
}

static enum host_ran privileged(const struct insn *insn)
{
	return fault(insn, TRAP_gp_fault, true, 0, 0);
}

static enum host_ran software(const struct insn *insn, unsigned int type,
			      unsigned int vector)
{
	*insn->exit = (struct host_exit){
		.info = INTR_INFO_VALID_MASK | vector |
			MASK_INSR(type, INTR_INFO_INTR_TYPE_MASK),
		.length = insn->next - insn->ip,
	};
	return HOST_RAISED;
}

static enum host_ran leaves(const struct insn *insn, unsigned int reason)
{
	*insn->exit = (struct host_exit){
		.reason = reason,
		.length = insn->next - insn->ip,
		/* MOV to CR3 from RAX */
		.qualification = reason == EXIT_REASON_CR_ACCESS ? 3 : 0,
	};
	return HOST_EXITED;
}

/* ---- instructions that are more than a branch ---- */

static enum host_ran shadowed(const struct insn *insn, unsigned int shadow)
{
	struct vcpu *v = insn->v;

	host_retire(v, insn->next);
	host_vmcs_write(v, GUEST_INTERRUPTIBILITY_INFO,
			get(v, GUEST_INTERRUPTIBILITY_INFO) | shadow);
	return HOST_RAN;
}

static enum host_ran flag_if(const struct insn *insn, bool on)
{
	if (host_cpl(insn->v))
		return privileged(insn);
	host_vmcs_write(insn->v, GUEST_RFLAGS,
			(insn->flags & ~(uint64_t)X86_EFLAGS_IF) |
				(on ? X86_EFLAGS_IF : 0));
	return on && !(insn->flags & X86_EFLAGS_IF) ? shadowed(insn, VMX_INTR_SHADOW_STI)
						    : goes_to(insn, insn->next);
}

static void load_flags(struct vcpu *v, uint64_t old, uint64_t flags)
{
	uint64_t mask = USER_FLAGS;

	if (host_cpl(v))
		mask &= ~(uint64_t)X86_EFLAGS_IF;
	host_vmcs_write(v, GUEST_RFLAGS, (old & ~mask) | (flags & mask) | X86_EFLAGS_MBS);
}

static enum host_ran popf(const struct insn *insn)
{
	load_flags(insn->v, insn->flags, host_pop(insn->v));
	return goes_to(insn, insn->next);
}

static enum host_ran iret(const struct insn *insn)
{
	struct vcpu *v = insn->v;
	const uint64_t ip = host_pop(v), cs = host_pop(v), flags = host_pop(v);
	const uint64_t rsp = host_pop(v);

	host_retire(v, ip);
	load_flags(v, insn->flags, flags);
	host_vmcs_write(v, GUEST_RSP, rsp);
	host_cpl_set(v, cs & 3 ? 3 : 0);
	host_vmcs_write(v, GUEST_INTERRUPTIBILITY_INFO,
			get(v, GUEST_INTERRUPTIBILITY_INFO) &
				~(uint64_t)VMX_INTR_SHADOW_NMI);
	return HOST_RAN;
}

static enum host_ran syscall(const struct insn *insn)
{
	struct vcpu *v = insn->v;

	if (!(get(v, GUEST_EFER) & EFER_SCE))
		return fault(insn, TRAP_invalid_op, false, 0, 0);
	insn->regs->rcx = insn->next;
	insn->regs->r11 = insn->flags;
	host_vmcs_write(v, GUEST_RFLAGS,
			(insn->flags & ~host.cpus[v->processor].fmask) | X86_EFLAGS_MBS);
	host_retire(v, v->code.lstar);
	host_cpl_set(v, 0);
	return HOST_RAN;
}

static enum host_ran sysret(const struct insn *insn)
{
	struct vcpu *v = insn->v;

	if (!(get(v, GUEST_EFER) & EFER_SCE))
		return fault(insn, TRAP_invalid_op, false, 0, 0);
	if (host_cpl(v))
		return privileged(insn);
	load_flags(v, insn->flags, insn->regs->r11);
	host_retire(v, insn->regs->rcx);
	host_cpl_set(v, 3);
	return HOST_RAN;
}

static enum host_ran sysenter(const struct insn *insn)
{
	struct vcpu *v = insn->v;

	if (!(get(v, GUEST_SYSENTER_CS) & 0xfffc))
		return privileged(insn);
	host_vmcs_write(v, GUEST_RFLAGS, insn->flags & ~(uint64_t)X86_EFLAGS_IF);
	host_vmcs_write(v, GUEST_RSP, v->code.kernel_stack);
	host_retire(v, v->code.lstar);
	host_cpl_set(v, 0);
	return HOST_RAN;
}

static enum host_ran sysexit(const struct insn *insn)
{
	struct vcpu *v = insn->v;

	if (host_cpl(v) || !(get(v, GUEST_SYSENTER_CS) & 0xfffc))
		return privileged(insn);
	host_vmcs_write(v, GUEST_RSP, insn->regs->rcx);
	host_retire(v, insn->regs->rdx);
	host_cpl_set(v, 3);
	return HOST_RAN;
}

static enum host_ran mov_cr3(const struct insn *insn)
{
	if (host_cpl(insn->v))
		return privileged(insn);
	if (get(insn->v, CPU_BASED_VM_EXEC_CONTROL) & CPU_BASED_CR3_LOAD_EXITING)
		return leaves(insn, EXIT_REASON_CR_ACCESS);
	host_retire(insn->v, insn->next);
	host_guest_cr3(insn->v, insn->regs->rax);
	return HOST_RAN;
}

/* MOV AL, [RAX]. */
static enum host_ran load(const struct insn *insn)
{
	const uint64_t address = insn->regs->rax;
	uint8_t byte;

	if (!host_read(insn->v->domain, address, &byte, 1))
		return fault(insn, TRAP_page_fault, true, host_cpl(insn->v) ? 4 : 0,
			     address);
	return goes_to(insn, insn->next);
}

/* Into RAX. */
static enum host_ran rdmsr(const struct insn *insn)
{
	struct vmx_msr_bitmap *bitmap = insn->v->arch.hvm.vmx.msr_bitmap;
	const uint32_t msr = insn->regs->rcx;

	if (host_cpl(insn->v) || (msr != MSR_EFER && msr != MSR_IA32_SYSENTER_CS))
		return privileged(insn);
	if (!bitmap || vmx_msr_is_intercepted(bitmap, msr, false)) {
		leaves(insn, EXIT_REASON_MSR_READ);
		insn->exit->msr = msr;
		return HOST_EXITED;
	}
	insn->regs->rax = host_msr(insn->v, msr);
	return goes_to(insn, insn->next);
}

/* SIDT, but the limit comes into RAX. */
static enum host_ran sidt(const struct insn *insn)
{
	if (get(insn->v, SECONDARY_VM_EXEC_CONTROL) &
	    SECONDARY_EXEC_DESCRIPTOR_TABLE_EXITING)
		return leaves(insn, EXIT_REASON_ACCESS_GDTR_OR_IDTR);
	insn->regs->rax = get(insn->v, GUEST_IDTR_LIMIT);
	return goes_to(insn, insn->next);
}

/* ---- by opcode ---- */

static uint64_t relative(const struct insn *insn, size_t bytes)
{
	int32_t offset;

	if (bytes == 1)
		return insn->next + (int8_t)insn->bytes[1];
	memcpy(&offset, insn->bytes + 1, 4);
	return insn->next + offset;
}

static enum host_ran short_insn(const struct insn *insn)
{
	struct cpu_user_regs *regs = insn->regs;
	struct vcpu *v = insn->v;

	switch (insn->bytes[0]) {
	case 0x50:
		host_push(v, regs->rax);
		return goes_to(insn, insn->next);
	case 0x58:
		regs->rax = host_pop(v);
		return goes_to(insn, insn->next);
	case 0x90:
		return goes_to(insn, insn->next);
	case 0x9c:
		host_push(v, insn->flags);
		return goes_to(insn, insn->next);
	case 0x9d:
		return popf(insn);
	case 0xc3:
		return goes_to(insn, host_pop(v));
	case 0xcc:
		return software(insn, X86_EVENTTYPE_SW_EXCEPTION, TRAP_int3);
	case 0xcf:
		return iret(insn);
	case 0xf4:
		return host_cpl(v) ? privileged(insn) : leaves(insn, EXIT_REASON_HLT);
	case 0xfa:
	case 0xfb:
		return flag_if(insn, insn->bytes[0] == 0xfb);
	}
	return fault(insn, TRAP_invalid_op, false, 0, 0);
}

static enum host_ran branch(const struct insn *insn)
{
	struct vcpu *v = insn->v;
	bool taken = !(insn->flags & 0x40);

	switch (insn->bytes[0]) {
	case 0x74:
		taken = !taken;
		break;
	case 0xe2:
		taken = --insn->regs->rcx;
		break;
	case 0xe8:
		host_push(v, insn->next);
		return goes_to(insn, relative(insn, 4));
	case 0xe9:
		return goes_to(insn, relative(insn, 4));
	case 0xeb:
		taken = true;
		break;
	case 0xff:
		if (insn->bytes[1] == 0xd0)
			host_push(v, insn->next);
		return goes_to(insn, insn->regs->rax);
	}
	return goes_to(insn, taken ? relative(insn, 1) : insn->next);
}

static enum host_ran immediate(const struct insn *insn)
{
	memcpy(insn->bytes[1] == 0xb8 ? &insn->regs->rax : &insn->regs->rcx,
	       insn->bytes + 2, 8);
	return goes_to(insn, insn->next);
}

/* ADD RSP, imm8. */
static enum host_ran add_rsp(const struct insn *insn)
{
	host_vmcs_write(insn->v, GUEST_RSP,
			get(insn->v, GUEST_RSP) + (int8_t)insn->bytes[3]);
	return goes_to(insn, insn->next);
}

static enum host_ran two_bytes(const struct insn *insn)
{
	switch (insn->bytes[0] << 8 | insn->bytes[1]) {
	case 0x0f05:
		return syscall(insn);
	case 0x0f32:
		return rdmsr(insn);
	case 0x0f34:
		return sysenter(insn);
	case 0x0fa2:
		return leaves(insn, EXIT_REASON_CPUID);
	case 0x48cf:
		return iret(insn);
	case 0x8a00:
		return load(insn);
	case 0x8ed0:
		return shadowed(insn, VMX_INTR_SHADOW_MOV_SS);
	case 0xf3a4:
		insn->regs->rcx = 0;
		return goes_to(insn, insn->next);
	}
	return fault(insn, TRAP_invalid_op, false, 0, 0);
}

enum host_ran host_insn(struct vcpu *v, const uint8_t *bytes, size_t size,
			struct host_exit *exit)
{
	static const struct {
		const char *start;
		uint8_t match, size;
		enum host_ran (*run)(const struct insn *insn);
	} kinds[] = {
		{ "\x74", 1, 2, branch },          { "\x75", 1, 2, branch },
		{ "\xe2", 1, 2, branch },          { "\xe8", 1, 5, branch },
		{ "\xe9", 1, 5, branch },          { "\xeb", 1, 2, branch },
		{ "\xff\xd0", 2, 2, branch },      { "\xff\xe0", 2, 2, branch },
		{ "\x48\xb8", 2, 10, immediate },  { "\x48\xb9", 2, 10, immediate },
		{ "\x48\x83\xc4", 3, 4, add_rsp }, { "\x0f\x22\xd8", 3, 3, mov_cr3 },
		{ "\x48\x0f\x07", 3, 3, sysret },  { "\x48\x0f\x35", 3, 3, sysexit },
		{ "\x0f\x05", 2, 2, two_bytes },   { "\x0f\x32", 2, 2, two_bytes },
		{ "\x0f\x34", 2, 2, two_bytes },   { "\x0f\x01\x08", 3, 3, sidt },
		{ "\x0f\xa2", 2, 2, two_bytes },   { "\x48\xcf", 2, 2, two_bytes },
		{ "\x8a", 1, 2, two_bytes },       { "\x8e", 1, 2, two_bytes },
		{ "\xf3", 1, 2, two_bytes },
	};
	struct insn insn = { v, &v->arch.user_regs,   bytes, get(v, GUEST_RIP),
			     0, get(v, GUEST_RFLAGS), exit };

	if (!size)
		return fault(&insn, TRAP_page_fault, true, host_cpl(v) ? 0x14 : 0x10,
			     insn.ip);
	if (bytes[0] == 0xcd && size == 1)
		return fault(&insn, TRAP_page_fault, true, host_cpl(v) ? 0x14 : 0x10,
			     insn.ip + 1);
	if (bytes[0] == 0xcd) {
		insn.next = insn.ip + 2;
		return software(&insn, X86_EVENTTYPE_SW_INTERRUPT, bytes[1]);
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (size < kinds[i].size || memcmp(bytes, kinds[i].start, kinds[i].match))
			continue;
		insn.next = insn.ip + kinds[i].size;
		return kinds[i].run(&insn);
	}
	insn.next = insn.ip + 1;
	return short_insn(&insn);
}
