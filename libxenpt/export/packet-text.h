/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets' payloads for people. */
#ifndef XENPT_EXPORT_PACKET_TEXT_H
#define XENPT_EXPORT_PACKET_TEXT_H

#include "out.h"

/* Append the payload, if there is any, at the @column (an offset in @out). */
void xenpt_packet_text(struct xenpt_out *out, const struct xenpt_packet *packet,
		       size_t column);

/* Append the bits of a TNT: "TNNT", the oldest first. */
void xenpt_packet_tnt(struct xenpt_out *out, const struct xenpt_packet *packet);

#endif
