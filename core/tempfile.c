// SPDX-License-Identifier: GPL-2.0-only
#include "tempfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "limits.h"
#include "log.h"

enum { MAX_TRIES = 100 };

/* One step down, never through a link; the last one may have to be made. */
static int open_below(int at, const char *name, bool make)
{
	int fd;

	if (make && mkdirat(at, name, 0700) && errno != EEXIST)
		return -errno;
	fd = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fd;
}

/*
 * The directory as a descriptor, so that what happens to the path later does
 * not matter. Each part is opened below the one before it: O_NOFOLLOW is about
 * the last part of a path only. The last part is made when it is not there, or (make is false) the
 * one before it is returned.
 */
static int open_dir(const char *path, bool make)
{
	char part[256];
	int fd, next;
	size_t len;
	bool last;

	fd = open(*path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (path += strspn(path, "/"); *path; path += strspn(path, "/")) {
		len = strcspn(path, "/");
		if (len >= sizeof(part)) {
			close(fd);
			return -ENAMETOOLONG;
		}
		memcpy(part, path, len);
		part[len] = '\0';
		path += len;
		last = !path[strspn(path, "/")];
		next = open_below(fd, part, make && last);
		/* It would be made in this one. */
		if (next == -ENOENT && last && !make)
			return fd;
		close(fd);
		if (next < 0)
			return next;
		fd = next;
	}
	return fd;
}

/* A name that nothing has yet; O_EXCL refuses files and links alike. */
static int create(int dir, const char *monitor, enum format format, pid_t pid, char *name,
		  size_t size)
{
	time_t now = time(NULL);
	char stamp[32], nth[8];
	struct tm tm;
	int fd = -1;

	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	for (int i = 1; fd < 0 && i <= MAX_TRIES; i++) {
		snprintf(nth, sizeof(nth), i > 1 ? "-%d" : "", i);
		snprintf(name, size, "%s-%s-%d%s.%s", monitor, stamp, pid, nth,
			 format__suffix(format));
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	return fd < 0 ? -errno : fd;
}

static int refuse(const char *monitor, const char *dir, int err)
{
	if (err == -ENOTDIR || err == -ELOOP)
		say("%s: can't write into \"%s\": a part of it is a symbolic link or not a "
		    "directory (--temp-dir=DIR names another)",
		    monitor, dir);
	else
		say("%s: can't write into \"%s\": %s (--temp-dir=DIR names another)", monitor, dir,
		    limits__reason(err));
	return err;
}

int tempfile__create(const char *dir, const char *monitor, enum format format, pid_t pid,
		     char *path, size_t size)
{
	char name[256];
	int at, fd;

	dir = dir ? dir : "temp";
	at = open_dir(dir, true);
	if (at < 0)
		return refuse(monitor, dir, at);
	fd = create(at, monitor, format, pid, name, sizeof(name));
	close(at);
	if (fd < 0)
		return refuse(monitor, dir, fd);
	snprintf(path, size, "%s%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/", name);
	return fd;
}

int tempfile__open(struct tempfile *file, const char *monitor, int fd)
{
	file->stream = fdopen(fd, "w");
	if (!file->stream) {
		int err = -errno;

		close(fd);
		say_failed("%s: can't write to %s: %s", monitor, file->path, limits__reason(err));
		return err;
	}
	say("%s: writing to %s", monitor, file->path);
	return 0;
}

int tempfile__probe(const char *dir)
{
	int fd = open_dir(dir, false), err = 0;

	if (fd < 0)
		return fd == -ELOOP ? -ENOTDIR : fd;
	if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS))
		err = -errno;
	close(fd);
	return err;
}

int tempfile__close(struct tempfile *file, int err)
{
	bool failed;

	if (!file->stream)
		return 0;
	errno = 0;
	failed = ferror(file->stream);
	failed |= fclose(file->stream) != 0;
	file->stream = NULL;
	if (failed && !err)
		err = errno ? errno : EIO;
	if (err)
		say_failed("%s is not complete: %s (--temp-dir=DIR names another directory)",
			   file->path, limits__reason(-err));
	return -err;
}
