/* SPDX-License-Identifier: GPL-2.0-only */
/* The time zone, as text that another host understands. */
#ifndef KVM_WATCHER_ZONE_H
#define KVM_WATCHER_ZONE_H

enum { ZONE_LEN = 128 };

/*
 * The rule of this process's zone as POSIX has it in TZ, "CET-1CEST,M3.5.0,M10.5.0/3": the last
 * line of its file. "UTC0" where there is none.
 */
void zone__read(char zone[ZONE_LEN]);

/* From now on local times are of that zone. */
void zone__set(const char *zone);

#endif
