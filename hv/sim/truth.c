/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>

#include "hv/pt/packet.h"
#include "hv/sim/machine.h"

struct xenpt_error *truth_open(struct sim *sim)
{
	if (!*sim->scenario.truth)
		return NULL;
	sim->truth = fopen(sim->scenario.truth, "we");
	if (!sim->truth)
		return xenpt_error_os(errno, "%s", sim->scenario.truth);
	return NULL;
}

void truth_close(struct sim *sim)
{
	if (!sim->truth)
		return;
	for (uint32_t i = 0; i < sim->vcpu_count; i++)
		truth_end_block(&sim->vcpus[i]);
	fclose(sim->truth);
	sim->truth = NULL;
}

void truth_flush(struct sim *sim)
{
	if (sim->truth)
		fflush(sim->truth);
}

/* What cannot be written is missed by who reads it. */
static void put(struct sim *sim, const struct truth_record *record)
{
	if (sim->truth)
		fwrite(record, sizeof(*record), 1, sim->truth);
}

void truth_end_block(struct vcpu *vcpu)
{
	if (vcpu->block.insns)
		put(vcpu->sim, &vcpu->block);
	vcpu->block.insns = 0;
}

void truth_retire(struct vcpu *vcpu, bool ends)
{
	struct truth_record *block = &vcpu->block;

	if (!vcpu->sim->truth)
		return;
	if (!block->insns)
		*block = (struct truth_record){
			.type = TRUTH_BLOCK,
			.traced = vcpu->trace.enabled,
			.vcpu = vcpu->id,
			.cr3 = vcpu->insn_cr3 & XPT_CR3_MASK,
			.ip = vcpu->insn.ip,
		};
	block->last = vcpu->insn.ip;
	block->insns++;
	if (ends)
		truth_end_block(vcpu);
}

void truth_mark(struct vcpu *vcpu, enum truth_type type, uint64_t offset)
{
	const struct truth_record record = {
		.type = type,
		.traced = vcpu->trace.enabled,
		.vcpu = vcpu->id,
		.cr3 = vcpu->now.cr3 & XPT_CR3_MASK,
		.ip = offset,
	};

	truth_end_block(vcpu);
	put(vcpu->sim, &record);
}

void truth_spoil(struct vcpu *vcpu, uint64_t offset, uint8_t byte)
{
	const struct truth_record record = {
		.type = TRUTH_SPOILT,
		.vcpu = vcpu->id,
		.ip = offset,
		.last = byte,
	};

	put(vcpu->sim, &record);
}
