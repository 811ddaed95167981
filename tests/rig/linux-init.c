/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Linux guest's first process. What it does is said by "rig=" on the kernel's command
 * line, which Linux hands on in the environment. It says when it is there on its console.
 *
 *	idle		wait
 *	busy		say where the kernel's code is, then have all CPUs run, each of
 *			which says so each second of its time
 *	look		put down what it knows of its memory (report.h), then spin
 *	panic		have Linux panic
 *	poweroff, reboot
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/rig/linux-look.h"

static void say(const char *what)
{
	/* One line, one write: lines do not mix with Linux' own. */
	dprintf(STDOUT_FILENO, "rig: %s\n", what);
}

void die(const char *what)
{
	dprintf(STDOUT_FILENO, "rig: %s: %s\n", what, strerror(errno));
	for (;;)
		pause();
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(path);
	close(fd);
}

/* Bound to it: all of them run, whatever Linux thinks. Most calls are to the kernel. */
static void busy_cpu(int cpu)
{
	struct timespec now;
	time_t said = 0;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
	for (unsigned long round = 0;; round++) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec != said)
			dprintf(STDOUT_FILENO, "rig: CPU %d: %lu\n", cpu, round);
		said = now.tv_sec;
		getppid();
	}
}

static void busy(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	dprintf(STDOUT_FILENO, "rig: code %016" PRIx64 " %016" PRIx64 "\n",
		symbol("_stext"), symbol("_etext"));
	for (int cpu = 1; cpu < cpus; cpu++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (!pid)
			busy_cpu(cpu);
	}
	busy_cpu(0);
}

int main(void)
{
	const char *what = getenv("rig");

	if (!what)
		what = "idle";
	mkdir("/proc", 0755);
	if (mount("proc", "/proc", "proc", 0, NULL))
		die("mount /proc");
	say("Linux is up");
	if (!strcmp(what, "look"))
		look(say);
	if (!strcmp(what, "busy"))
		busy();
	if (!strcmp(what, "panic"))
		write_file("/proc/sysrq-trigger", "c");
	if (!strcmp(what, "poweroff"))
		reboot(RB_POWER_OFF);
	if (!strcmp(what, "reboot"))
		reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}
