/* SPDX-License-Identifier: GPL-2.0-only */
/* Which text a client wants, and how: what the headers of its request say. */
#ifndef KVM_WATCHER_NEGOTIATE_H
#define KVM_WATCHER_NEGOTIATE_H

#include <stdbool.h>

/* How much each is liked, in thousandths. */
struct wishes {
	int openmetrics, classic, gzip;
};

/* One header more; those of no interest change nothing. */
void wishes__hear(struct wishes *w, const char *header, const char *value);
/* OpenMetrics, rather than the classic text. */
bool wishes__openmetrics(const struct wishes *w);

#endif
