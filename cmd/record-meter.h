/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a recording tells the user: a line while it runs, and one at its end. */
#ifndef XENPT_RECORD_METER_H
#define XENPT_RECORD_METER_H

struct recorder;

/* Time, bytes and rates, if that was not shown just now. */
void record_meter_show(struct recorder *recorder);
void record_meter_hide(struct recorder *recorder);

/* What was recorded to @path, NULL for a pipe, and what to do with it. */
void record_meter_sum_up(struct recorder *recorder, const char *path);

#endif
