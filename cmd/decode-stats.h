/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What "xenpt decode --stats" prints, and what it says of holes. */
#ifndef XENPT_DECODE_STATS_H
#define XENPT_DECODE_STATS_H

#include "cmd/cmd.h"

struct vcpu_stats {
	uint32_t vcpu;
	uint64_t bytes;
	struct xenpt_stats events;
	uint64_t packets[XENPT_PACKET_TYPES];
	uint64_t lost, bad; /* packets: bytes of gaps, and that are no packets */
};

struct decode_stats {
	struct vcpu_stats *vcpus;
	size_t count;
	struct vcpu_stats total;
	bool of_packets;
	double seconds;
};

/* Of the vCPUs @ids, or all in the file. */
struct xenpt_error *decode_stats_init(struct decode_stats *stats,
				      const struct xenpt_file_info *info,
				      const uint32_t *ids, size_t count);
void decode_stats_deinit(struct decode_stats *stats);

/* Those of a vCPU that is among them. */
struct vcpu_stats *decode_stats_find(struct decode_stats *stats, uint32_t vcpu);

/* Add up the vCPUs. */
void decode_stats_total(struct decode_stats *stats);

void decode_stats_print(const struct decode_stats *stats, FILE *out, bool json);

/* Whether the decoded trace has holes; if so, warn of them. */
bool decode_stats_holes(const struct decode_stats *stats, struct xenpt_ui *ui);

#endif
