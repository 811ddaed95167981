/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Linux guest's first process. What it does is said by "rig=" on the kernel's command
 * line, which Linux hands on in the environment. It says when it is there on its console.
 *
 *	idle		wait
 *	look		put down what it knows of its memory (report.h), then spin
 *	panic		have Linux panic
 *	poweroff, reboot
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
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
	if (!strcmp(what, "panic"))
		write_file("/proc/sysrq-trigger", "c");
	if (!strcmp(what, "poweroff"))
		reboot(RB_POWER_OFF);
	if (!strcmp(what, "reboot"))
		reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}
