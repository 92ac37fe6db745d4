// SPDX-License-Identifier: GPL-2.0-only
#include "replace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A name that the collector of textfiles does not read: it takes *.prom. */
static int new_name(const char *path, char *name, size_t size)
{
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	int len = snprintf(name, size, "%.*s.%s.new", (int)(file - path), path, file);

	return len < 0 || (size_t)len >= size ? -ENAMETOOLONG : 0;
}

int replace__open(const char *path)
{
	char name[PATH_MAX];
	int err = new_name(path, name, sizeof(name)), fd;

	if (err)
		return err;
	/* One that was left behind. */
	if (unlink(name) && errno != ENOENT)
		return -errno;
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd >= 0 && fchmod(fd, 0644)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd < 0 ? -errno : fd;
}

int replace__done(const char *path)
{
	char name[PATH_MAX];
	int err = new_name(path, name, sizeof(name));

	if (err)
		return err;
	return rename(name, path) ? -errno : 0;
}
