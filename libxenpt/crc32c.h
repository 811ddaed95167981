/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CRC-32C (Castagnoli), the checksum of .xpt files. */
#ifndef XENPT_CRC32C_H
#define XENPT_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The CRC of what @crc (0: nothing) is the CRC of, followed by @data. */
uint32_t xenpt_crc32c(uint32_t crc, const void *data, size_t size);

/* The same on any CPU. */
uint32_t xenpt_crc32c_table(uint32_t crc, const void *data, size_t size);

#endif
