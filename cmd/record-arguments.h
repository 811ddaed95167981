/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of xenpt record. */
#ifndef XENPT_RECORD_ARGUMENTS_H
#define XENPT_RECORD_ARGUMENTS_H

#include "cmd/recorder.h"
#include "cmd/select.h"

struct record_arguments {
	const char *domain, *backend, *output;
	vcpu_array vcpus; /* the caller's to free */
	struct recorder_options recorder;
	bool stream, no_image;
};

#define RECORD_ARGUMENTS_DEFAULT              \
	{                                     \
		.recorder.trace = {           \
			.size = 4 << 20,      \
			.cr3 = XENPT_CR3_ANY, \
			.mtc = -1,            \
			.cyc = -1,            \
		},                            \
	}

/* Its input is one of those. */
extern const struct argp record_argp;

#endif
