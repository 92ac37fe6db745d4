// SPDX-License-Identifier: GPL-2.0-only
#include "host_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../core/identity.h"

const char *file__read(const char *path, char text[FILE_LEN])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t used = 0;
	ssize_t got = 0;

	if (fd < 0)
		return NULL;
	while (used < FILE_LEN - 1 && (got = read(fd, text + used, FILE_LEN - 1 - used)) > 0)
		used += got;
	close(fd);
	if (got < 0)
		return NULL;
	while (used && (text[used - 1] == '\n' || text[used - 1] == '\0'))
		used--;
	text[used] = '\0';
	return text;
}

const char *file__choice(char *text)
{
	char *from = strchr(text, '['), *to = from ? strchr(from, ']') : NULL;

	if (!to)
		return text;
	*to = '\0';
	return from + 1;
}

bool file__number(const char *text, uint64_t *number)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*number = strtoull(text, &end, 10);
	return !*end && !errno;
}

/* The rest of the line that begins with key, behind the space or colon after it. */
static const char *line_of(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, len) && (line[len] == ' ' || line[len] == ':'))
			return line + len + 1;
	}
	return NULL;
}

bool file__value(const char *text, const char *key, uint64_t *number)
{
	const char *at = line_of(text, key);
	char *end;

	if (!at)
		return false;
	at += strspn(at, " \t");
	if (*at < '0' || *at > '9')
		return false;
	*number = strtoull(at, &end, 10);
	if (!strncmp(end, " kB", 3))
		*number *= 1024;
	return true;
}

bool file__pressure(const char *text, const char *line, uint64_t *us)
{
	const char *at = line_of(text, line), *total = at ? strstr(at, "total=") : NULL;

	if (!total || (strchr(at, '\n') && strchr(at, '\n') < total))
		return false;
	*us = strtoull(total + strlen("total="), NULL, 10);
	return true;
}

/* "4:cpu,cpuacct:/path": a controller of the CPUs or of memory. */
static bool is_v1_line(const char *line)
{
	static const char *const names[] = { "cpu", "memory", "cpuset" };
	const char *from = strchr(line, ':'), *to = from ? strchr(from + 1, ':') : NULL;

	for (size_t i = 0; to && i < sizeof(names) / sizeof(*names); i++)
		if (identity__has_controller(from + 1, to - from - 1, names[i]))
			return true;
	return false;
}

const char *file__cgroup(const char *text, char path[FILE_PATH_LEN], bool *is_v1)
{
	const char *found = NULL;

	*is_v1 = false;
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		size_t len;

		line += *line == '\n';
		*is_v1 |= is_v1_line(line);
		if (strncmp(line, "0::/", 4))
			continue;
		len = strcspn(line + 3, "\n");
		if (len >= FILE_PATH_LEN)
			continue;
		memcpy(path, line + 3, len);
		path[len] = '\0';
		found = path;
	}
	return found && !strstr(found, "/..") ? found : NULL;
}

void file__each(const char *dir, void (*use)(void *ctx, const char *name), void *ctx)
{
	struct dirent **entries;
	int nr = scandir(dir, &entries, NULL, alphasort);

	for (int i = 0; i < nr; i++) {
		if (strcmp(entries[i]->d_name, ".") && strcmp(entries[i]->d_name, ".."))
			use(ctx, entries[i]->d_name);
		free(entries[i]);
	}
	if (nr >= 0)
		free(entries);
}
