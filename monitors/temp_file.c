// SPDX-License-Identifier: GPL-2.0-only
#include "temp_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *const suffixes[] = {
	[FORMAT_TABLE] = "txt", [FORMAT_JSON] = "json", [FORMAT_CSV] = "csv",
};

/* The directory itself, which must not be a link. A descriptor or -errno. */
static int open_directory(const char *dir)
{
	int fd;

	if (mkdir(dir, 0700) && errno != EEXIST)
		return -errno;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* A file of that name that was not there. A descriptor or -errno. */
static int create(int dir, const char *name)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

int temp_file__open(struct temp_file *file, const char *dir, const char *name, enum format format)
{
	char date[32], base[NAME_MAX + 1];
	time_t now = time(NULL);
	int fd, dir_fd, err = 0;
	struct tm tm;

	if (!dir)
		dir = "temp";
	file->stream = NULL;
	strftime(date, sizeof(date), "%Y%m%d-%H%M%S", localtime_r(&now, &tm));
	snprintf(base, sizeof(base), "%s-%s-%d.%s", name, date, getpid(), suffixes[format]);
	if (snprintf(file->path, sizeof(file->path), "%s", dir) >= (int)sizeof(file->path))
		return -ENAMETOOLONG;
	dir_fd = open_directory(dir);
	if (dir_fd < 0)
		return dir_fd;
	if (snprintf(file->path, sizeof(file->path), "%s/%s", dir, base) >= (int)sizeof(file->path))
		err = -ENAMETOOLONG;
	fd = err ? err : create(dir_fd, base);
	close(dir_fd);
	if (fd < 0)
		return fd;
	file->stream = fdopen(fd, "w");
	if (file->stream)
		return 0;
	err = -errno;
	close(fd);
	return err;
}
