// SPDX-License-Identifier: GPL-2.0-only
#include "clock.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>

/* What this process's clocks are ahead of the initial time namespace's; it never changes. */
struct offsets {
	bool known;
	int64_t monotonic_ns, boot_ns;
};

/* A process may have unshared the namespace for its children only: the file has theirs. */
static bool is_childrens_own(void)
{
	struct stat own, childrens;

	return !stat("/proc/self/ns/time", &own) &&
	       !stat("/proc/self/ns/time_for_children", &childrens) &&
	       own.st_ino == childrens.st_ino;
}

/* /proc/self/timens_offsets, since 5.6: "monotonic 1000 0", seconds and nanoseconds. */
static struct offsets read_offsets(void)
{
	struct offsets offsets = { .known = true };
	FILE *f = is_childrens_own() ? fopen("/proc/self/timens_offsets", "re") : NULL;
	long long sec, nsec;
	char name[16];

	while (f && fscanf(f, "%15s %lld %lld", name, &sec, &nsec) == 3) {
		if (!strcmp(name, "monotonic"))
			offsets.monotonic_ns = sec * NSEC_PER_SEC + nsec;
		if (!strcmp(name, "boottime"))
			offsets.boot_ns = sec * NSEC_PER_SEC + nsec;
	}
	if (f)
		fclose(f);
	return offsets;
}

static const struct offsets *own_offsets(void)
{
	static struct offsets offsets;

	if (!offsets.known)
		offsets = read_offsets();
	return &offsets;
}

int64_t clock__boot_offset_ns(void)
{
	return own_offsets()->boot_ns;
}

static int64_t to_ns(const struct timespec *time)
{
	return (int64_t)time->tv_sec * NSEC_PER_SEC + time->tv_nsec;
}

uint64_t clock__ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return to_ns(&now) - own_offsets()->monotonic_ns;
}

int clock__set_timer(int fd, uint64_t at_ns)
{
	uint64_t own_ns = at_ns + own_offsets()->monotonic_ns;
	const struct itimerspec when = {
		.it_value = { own_ns / NSEC_PER_SEC, own_ns % NSEC_PER_SEC },
	};

	return timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL) ? -errno : 0;
}

static int64_t measure_real_offset(void)
{
	uint64_t before = clock__ns();
	struct timespec real;

	clock_gettime(CLOCK_REALTIME, &real);
	return to_ns(&real) - (int64_t)(before + (clock__ns() - before) / 2);
}

/* A recording's; else 0. */
static int64_t recorded_offset_ns;

void clock__set_real_offset(int64_t offset_ns)
{
	recorded_offset_ns = offset_ns;
}

int64_t clock__real_offset_ns(void)
{
	enum { STEP_NS = NSEC_PER_MSEC };
	static int64_t offset_ns;
	int64_t now_ns;

	if (recorded_offset_ns)
		return recorded_offset_ns;
	now_ns = measure_real_offset();
	if (llabs(now_ns - offset_ns) >= STEP_NS)
		offset_ns = now_ns;
	return offset_ns;
}
