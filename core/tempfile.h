/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files that a monitor writes beside its output: lists that are too long for
 * a terminal. They are in one directory, temp/ below the current one or that
 * of --temp-dir.
 */
#ifndef KVM_WATCHER_TEMPFILE_H
#define KVM_WATCHER_TEMPFILE_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "../output/output.h"

struct tempfile {
	FILE *stream;
	char path[4096]; /* as the user would type it */
};

/*
 * Makes a new file for a monitor; its name is made of the monitor's, the time
 * and the pid, and ends as the format suggests. dir: --temp-dir, or NULL for
 * "temp". The directory is made (0700) when it is not there; its parent has to
 * be. Nothing is written through a symbolic link, at no place of the path, and
 * no file that exists is touched. Returns a descriptor and the path, or -errno after
 * a message. Done by the broker (attach__open_file()), with the rights of who started it.
 */
int tempfile__create(const char *dir, const char *monitor, enum format format, pid_t pid,
		     char *path, size_t size);

/* Opens what was made for writing: file->path and fd, which is the file's now. Says the path. */
int tempfile__open(struct tempfile *file, const char *monitor, int fd);

/*
 * Could a file be opened there? Makes nothing. 0, or -errno: -ENOTDIR when a part of the path is
 * a symbolic link or no directory.
 */
int tempfile__probe(const char *dir);

/*
 * Writes out what is buffered. err: the errno of what could not be written before, or 0.
 * 0 or -errno, after a message.
 */
int tempfile__close(struct tempfile *file, int err);

#endif
