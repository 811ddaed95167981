/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef XEN_ERRNO_H
#define XEN_ERRNO_H

#include <errno.h>

#endif
