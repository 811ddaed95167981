/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moves trace from a vCPU's ring to the file. */
#ifndef XENPT_RECORD_DRAIN_H
#define XENPT_RECORD_DRAIN_H

#include "cmd/recorder.h"

/* Bytes that are copied at once. */
#define DRAIN_STAGING (256u << 10)

/* What is new; with @all until there is nothing, for the vCPU is held. */
struct xenpt_error *drain_vcpu(struct recorder *recorder, struct recorder_vcpu *vcpu,
			       bool all);

/* What is there, of a vCPU that is not traced any more: --flight. */
struct xenpt_error *drain_flight(struct recorder *recorder, struct recorder_vcpu *vcpu);

/* While nobody reads it: begin anew where the trace has stopped by itself. */
struct xenpt_error *drain_check(struct recorder *recorder, struct recorder_vcpu *vcpu);

/* Write what is held back, with its code. */
struct xenpt_error *drain_settle(struct recorder *recorder, struct recorder_vcpu *vcpu);

/* The same for all vCPUs, and what follows starts with a PSB. */
struct xenpt_error *drain_flush(struct recorder *recorder);

#endif
