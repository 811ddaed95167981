/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_HVM_VMX_VMX_H
#define ASM_HVM_VMX_VMX_H

#include <asm/processor.h>
#include <xen/sched.h>

/* IA32_VMX_MISC, and the controls of a VMCS: SDM volume 3, appendices A and B. */
#define VMX_MISC_PROC_TRACE 0x00004000
#define SECONDARY_EXEC_ENABLE_EPT 0x00000002
#define SECONDARY_EXEC_ENABLE_VM_FUNCTIONS 0x00002000
#define SECONDARY_EXEC_PT_USE_GPA 0x01000000
#define VM_EXIT_CONCEAL_FROM_PT 0x01000000
#define VM_EXIT_CLEAR_RTIT_CTL 0x02000000
#define VM_ENTRY_CONCEAL_FROM_PT 0x00020000
#define VM_ENTRY_LOAD_RTIT_CTL 0x00040000

enum vmcs_field {
	GUEST_IA32_RTIT_CTL = 0x2814,
	VM_EXIT_CONTROLS = 0x400c,
	VM_ENTRY_CONTROLS = 0x4012,
	SECONDARY_VM_EXEC_CONTROL = 0x401e,
	EXIT_QUALIFICATION = 0x6400,
	GUEST_CR3 = 0x6802,
};

/* Of the VMCS that is loaded. */
void __vmread(unsigned long field, unsigned long *value);
void __vmwrite(unsigned long field, unsigned long value);
/* Load that of a vCPU which does not run. */
void vmx_vmcs_enter(struct vcpu *v);
void vmx_vmcs_exit(struct vcpu *v);
void vmx_update_secondary_exec_control(struct vcpu *v);

#endif
