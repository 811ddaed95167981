/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_HVM_VMX_VMX_H
#define ASM_HVM_VMX_VMX_H

#include <asm/processor.h>
#include <xen/sched.h>

/* IA32_VMX_MISC, and the controls of a VMCS: SDM volume 3, appendices A and B. */
#define VMX_MISC_PROC_TRACE 0x00004000
#define SECONDARY_EXEC_ENABLE_EPT 0x00000002
#define SECONDARY_EXEC_DESCRIPTOR_TABLE_EXITING 0x00000004
#define SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY 0x00000200
#define SECONDARY_EXEC_ENABLE_VM_FUNCTIONS 0x00002000
#define SECONDARY_EXEC_CONCEAL_FROM_PT 0x00080000
#define SECONDARY_EXEC_PT_USE_GPA 0x01000000
#define PIN_BASED_VIRTUAL_NMIS 0x00000020
#define CPU_BASED_VIRTUAL_INTR_PENDING 0x00000004
#define CPU_BASED_CR3_LOAD_EXITING 0x00008000
#define CPU_BASED_VIRTUAL_NMI_PENDING 0x00400000
#define CPU_BASED_MONITOR_TRAP_FLAG 0x08000000
#define VM_EXIT_CONCEAL_FROM_PT 0x01000000
#define VM_EXIT_CLEAR_RTIT_CTL 0x02000000
#define VM_ENTRY_LOAD_GUEST_EFER 0x00008000
#define VM_ENTRY_CONCEAL_FROM_PT 0x00020000
#define VM_ENTRY_LOAD_RTIT_CTL 0x00040000

#define INTR_INFO_VECTOR_MASK 0xff
#define INTR_INFO_INTR_TYPE_MASK 0x700
#define INTR_INFO_DELIVER_CODE_MASK 0x800
#define INTR_INFO_VALID_MASK 0x80000000

#define VMX_INTR_SHADOW_STI 0x1
#define VMX_INTR_SHADOW_MOV_SS 0x2
#define VMX_INTR_SHADOW_NMI 0x8

/* SDM volume 3, appendix C. */
#define VMX_EXIT_REASONS_FAILED_VMENTRY 0x80000000
#define VMX_EXIT_REASONS_BUS_LOCK (1u << 26)
#define EXIT_REASON_EXCEPTION_NMI 0
#define EXIT_REASON_EXTERNAL_INTERRUPT 1
#define EXIT_REASON_PENDING_VIRT_INTR 7
#define EXIT_REASON_PENDING_VIRT_NMI 8
#define EXIT_REASON_CPUID 10
#define EXIT_REASON_HLT 12
#define EXIT_REASON_CR_ACCESS 28
#define EXIT_REASON_MSR_READ 31
#define EXIT_REASON_MSR_WRITE 32
#define EXIT_REASON_MONITOR_TRAP_FLAG 37
#define EXIT_REASON_APIC_ACCESS 44
#define EXIT_REASON_ACCESS_GDTR_OR_IDTR 46
#define EXIT_REASON_ACCESS_LDTR_OR_TR 47
#define EXIT_REASON_EPT_VIOLATION 48
#define EXIT_REASON_VMFUNC 59

enum vmcs_field {
	GUEST_EFER = 0x2806,
	GUEST_IA32_RTIT_CTL = 0x2814,
	CPU_BASED_VM_EXEC_CONTROL = 0x4002,
	EXCEPTION_BITMAP = 0x4004,
	VM_EXIT_CONTROLS = 0x400c,
	VM_ENTRY_CONTROLS = 0x4012,
	VM_ENTRY_INTR_INFO = 0x4016,
	VM_ENTRY_EXCEPTION_ERROR_CODE = 0x4018,
	VM_ENTRY_INSTRUCTION_LEN = 0x401a,
	SECONDARY_VM_EXEC_CONTROL = 0x401e,
	VM_EXIT_REASON = 0x4402,
	VM_EXIT_INTR_INFO = 0x4404,
	VM_EXIT_INTR_ERROR_CODE = 0x4406,
	IDT_VECTORING_INFO = 0x4408,
	IDT_VECTORING_ERROR_CODE = 0x440a,
	VM_EXIT_INSTRUCTION_LEN = 0x440c,
	GUEST_IDTR_LIMIT = 0x4812,
	GUEST_CS_AR_BYTES = 0x4816,
	GUEST_SS_AR_BYTES = 0x4818,
	GUEST_INTERRUPTIBILITY_INFO = 0x4824,
	GUEST_SYSENTER_CS = 0x482a,
	EXIT_QUALIFICATION = 0x6400,
	GUEST_CR3 = 0x6802,
	GUEST_CS_BASE = 0x6808,
	GUEST_SS_BASE = 0x680a,
	GUEST_RSP = 0x681c,
	GUEST_RIP = 0x681e,
	GUEST_RFLAGS = 0x6820,
	GUEST_PENDING_DBG_EXCEPTIONS = 0x6822,
};

/* Of the VMCS that is loaded. */
void __vmread(unsigned long field, unsigned long *value);
void __vmwrite(unsigned long field, unsigned long value);
/* Load that of a vCPU which does not run. */
void vmx_vmcs_enter(struct vcpu *v);
void vmx_vmcs_exit(struct vcpu *v);
void vmx_update_secondary_exec_control(struct vcpu *v);
void vmx_update_cpu_exec_control(struct vcpu *v);
void vmx_update_exception_bitmap(struct vcpu *v);

/* Which MSRs exit. */
enum vmx_msr_intercept_type {
	VMX_MSR_R = 1,
	VMX_MSR_W = 2,
	VMX_MSR_RW = VMX_MSR_R | VMX_MSR_W,
};
void vmx_set_msr_intercept(struct vcpu *v, unsigned int msr,
			   enum vmx_msr_intercept_type type);
void vmx_clear_msr_intercept(struct vcpu *v, unsigned int msr,
			     enum vmx_msr_intercept_type type);
bool vmx_msr_is_intercepted(struct vmx_msr_bitmap *bitmap, unsigned int msr,
			    bool is_write);

/* As Xen keeps it: what the first CPU has. */
bool host_has_primary(uint32_t controls);
bool host_has_secondary(uint32_t controls);
bool host_has_vnmi(void);
bool host_has_entry(uint32_t controls);
#define cpu_has_monitor_trap_flag (host_has_primary(CPU_BASED_MONITOR_TRAP_FLAG))
#define cpu_has_vmx_ept (host_has_secondary(SECONDARY_EXEC_ENABLE_EPT))
#define cpu_has_vmx_efer (host_has_entry(VM_ENTRY_LOAD_GUEST_EFER))
#define cpu_has_vmx_dt_exiting \
	(host_has_secondary(SECONDARY_EXEC_DESCRIPTOR_TABLE_EXITING))
#define cpu_has_vmx_virtual_intr_delivery \
	(host_has_secondary(SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY))
#define cpu_has_vmx_vnmi (host_has_vnmi())

#endif
