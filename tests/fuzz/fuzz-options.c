/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any strings as the values of options. */
#include <stdlib.h>
#include <string.h>

#include "cmd/itrace.h"
#include "cmd/select.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct xenpt_filter filter = XENPT_FILTER_ALL;
	struct xenpt_clock clock = { .ns_per_tick = 0.4 };
	char *arg = strndup((const char *)data, size);
	struct time_bound bounds[2];
	struct xenpt_error *err;
	struct itrace itrace;
	vcpu_array ids = {};

	xenpt_error_destroy(itrace_parse(arg, &itrace));
	xenpt_error_destroy(select_vcpus(arg, &ids));
	if (ids.count > XENPT_VCPUS_MAX)
		abort();
	array_deinit(&ids);
	if (select_range(arg, &filter) && filter.ip_lo > filter.ip_hi)
		abort();
	err = select_time(arg, bounds);
	xenpt_error_destroy(err);
	if (!err)
		xenpt_error_destroy(select_time_apply(bounds, 1000, &clock, &filter));
	free(arg);
	return 0;
}
