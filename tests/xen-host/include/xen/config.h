/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * As in Xen's own build, each file is compiled with this included first.
 *
 * These headers are not Xen's: they declare what the files of hv/xen use, for
 * tests/xen-host to define.
 */
#ifndef XEN_CONFIG_H
#define XEN_CONFIG_H

#define __XEN__ 1
#define CONFIG_HVM 1

#define PAGE_SHIFT 12
#define PAGE_SIZE (1L << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define cf_check
#define __init

/*
 * What Xen finds out once, when it boots: here it boots many times, and host_boot() puts
 * this section back. The linker names its ends, as the name is one of C's.
 */
#define __read_mostly __attribute__((__section__("host_read_mostly")))

#endif
