/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * make-core DOMAIN FILE: traces the domain until it has crashed, and makes a core dump of
 * it in the format of "xl dump-core".
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "hv/hv.h"
#include "tests/dump-core.h"
#include "tests/trace.h"

static void run(struct hv_domain *domain)
{
	struct hv_trace trace = {
		.size = 4 << 20, .cr3 = XENPT_CR3_ANY, .mtc = -1, .cyc = -1
	};
	struct hv_event event;

	check_error(domain->ops->trace_start(domain, &trace));
	while (domain->info->state != HV_CRASHED && domain->info->state != HV_ENDED) {
		struct pollfd pollfd = { domain->ops->fd(domain), POLLIN, 0 };

		poll(&pollfd, 1, -1);
		check_error(domain->ops->event(domain, &event));
	}
}

static bool dump(struct hv_domain *domain, int fd)
{
	struct xenpt_registers regs[16] = {};
	struct dump_core core = { .regs = regs, .vcpus = domain->info->vcpus };
	struct dump_core_layout layout;
	uint64_t *pfns;
	bool done;

	if (core.vcpus > 16)
		return false;
	core.pages = domain->info->memory / XENPT_PAGE_SIZE;
	pfns = calloc(core.pages, sizeof(*pfns));
	core.pfns = pfns;
	for (uint32_t i = 0; i < core.vcpus; i++)
		check_error(domain->ops->registers(domain, i, &regs[i]));
	for (uint64_t i = 0; pfns && i < core.pages; i++)
		pfns[i] = i;
	done = pfns && dump_core_write(fd, &core, domain->mem, &layout);
	free(pfns);
	return done;
}

int main(int argc, char **argv)
{
	struct hv_domain *domain;
	bool done;
	int fd;

	if (argc != 3)
		return 2;
	fd = open(argv[2], O_CREAT | O_TRUNC | O_WRONLY, 0666);
	if (fd < 0)
		return 1;
	check_error(hv_open(argv[1], NULL, &domain));
	run(domain);
	done = domain->info->state == HV_CRASHED && dump(domain, fd);
	domain->ops->close(domain);
	return close(fd) == 0 && done ? 0 : 1;
}
