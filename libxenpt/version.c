/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "xenpt.h"

#ifndef HAVE_ZSTD
#define VERSION_ZSTD NULL
#endif
#ifndef HAVE_JANSSON
#define VERSION_JANSSON NULL
#endif
#ifndef HAVE_KDUMPFILE
#define VERSION_KDUMPFILE NULL
#endif
#ifndef HAVE_ZYDIS
#define VERSION_ZYDIS NULL
#endif

const char *xenpt_version(void)
{
	return PACKAGE_VERSION;
}

const struct xenpt_feature *xenpt_features(void)
{
	static const struct xenpt_feature features[] = {
		{ "zstd", VERSION_ZSTD, "compressed chunks" },
		{ "jansson", VERSION_JANSSON, "import of LLDB bundles" },
		{ "kdumpfile", VERSION_KDUMPFILE,
		  "core dumps of kdump and makedumpfile" },
		{ "zydis", VERSION_ZYDIS, "disassembly" },
		{},
	};

	return features;
}
