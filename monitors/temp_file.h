/* SPDX-License-Identifier: GPL-2.0-only */
/* A new file that a monitor leaves behind. */
#ifndef KVM_WATCHER_TEMP_FILE_H
#define KVM_WATCHER_TEMP_FILE_H

#include <limits.h>
#include <stdio.h>

#include "../output/output.h"

struct temp_file {
	FILE *stream;
	char path[PATH_MAX];	/* also set on error: what could not be made */
};

/*
 * Makes a new file "NAME-DATE-PID.txt" (.json, .csv) for this user alone in dir,
 * NULL: temp/ below the current directory; dir itself is made when it is not
 * there (0700). Never follows a link at dir's or the file's place, and never
 * opens a file that is there. 0 or -errno.
 */
int temp_file__open(struct temp_file *file, const char *dir, const char *name, enum format format);

#endif
