// SPDX-License-Identifier: GPL-2.0-only
#include "iter.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <bpf/bpf.h>

enum { LEAST_ROOM = 4096 };

/*
 * The end is a read of 0 bytes. EAGAIN is none: the kernel has gone past a
 * million objects of which the program wrote nothing, and goes on when it is
 * asked again (bpf_seq_read() in kernel/bpf/bpf_iter.c).
 */
int iter__read_fd(int fd, void **data, size_t *size)
{
	size_t used = 0, room = 0;
	char *list = NULL, *more;
	ssize_t got;

	for (;;) {
		if (room - used < LEAST_ROOM / 2) {
			room = room ? room * 2 : LEAST_ROOM;
			more = realloc(list, room);
			if (!more) {
				free(list);
				return -ENOMEM;
			}
			list = more;
		}
		got = read(fd, list + used, room - used);
		if (!got)
			break;
		if (got > 0)
			used += data ? got : 0;
		else if (errno != EAGAIN && errno != EINTR) {
			got = -errno;
			free(list);
			return got;
		}
	}
	if (!data) {
		free(list);
		return 0;
	}
	*data = list;
	*size = used;
	return 0;
}

int iter__read(int link, void **data, size_t *size)
{
	int fd = bpf_iter_create(link), err;

	if (fd < 0)
		return -errno;
	err = iter__read_fd(fd, data, size);
	close(fd);
	return err;
}
