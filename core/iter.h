/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading what an attached BPF iterator writes. */
#ifndef KVM_WATCHER_ITER_H
#define KVM_WATCHER_ITER_H

#include <stddef.h>

/*
 * Runs that of a link's descriptor once over everything. *data is to be freed; NULL for
 * data: what it writes is of no interest. 0 or -errno.
 */
int iter__read(int link, void **data, size_t *size);

/* The same from an open iterator, to its end. */
int iter__read_fd(int fd, void **data, size_t *size);

#endif
