// SPDX-License-Identifier: GPL-2.0-only
#include "clock.h"

#include <time.h>

uint64_t clock__ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}

static int64_t to_ns(const struct timespec *time)
{
	return (int64_t)time->tv_sec * NSEC_PER_SEC + time->tv_nsec;
}

int64_t clock__real_offset_ns(void)
{
	struct timespec before, real, after;

	clock_gettime(CLOCK_MONOTONIC, &before);
	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_MONOTONIC, &after);
	return to_ns(&real) - (to_ns(&before) + to_ns(&after)) / 2;
}
