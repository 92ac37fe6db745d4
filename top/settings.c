// SPDX-License-Identifier: GPL-2.0-only
#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../core/caller.h"
#include "../core/clock.h"

static const char head[] = "# kvm_watcher top: written when it ends; --no-config leaves it alone\n";

const struct sort_setting *settings__sort(const struct settings *s, const char *tab)
{
	for (size_t i = 0; i < s->nr_sorts; i++)
		if (!strcmp(s->sorts[i].tab, tab))
			return &s->sorts[i];
	return NULL;
}

void settings__set_sort(struct settings *s, const char *tab, const char *column, bool inverted)
{
	struct sort_setting *sort = (struct sort_setting *)settings__sort(s, tab);

	if (strlen(tab) >= TAB_LEN || strlen(column) >= COLUMN_LEN || strpbrk(tab, "=\n"))
		return;
	if (!sort && s->nr_sorts < MAX_SORTS)
		sort = &s->sorts[s->nr_sorts++];
	if (!sort)
		return;
	snprintf(sort->tab, sizeof(sort->tab), "%s", tab);
	snprintf(sort->column, sizeof(sort->column), "%s", column);
	sort->inverted = inverted;
	s->changed = true;
}

/* A name of a column: nothing else gets into a file. */
static bool is_name(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr("_.", *text))
			return false;
	return true;
}

static void parse_line(struct settings *s, char *line)
{
	char *value = strchr(line, '='), *end;
	double seconds;

	if (*line == '#' || !value)
		return;
	*value++ = '\0';
	if (!strcmp(line, "interval")) {
		seconds = strtod(value, &end);
		if (end != value && !*end && seconds >= 0.1 && seconds <= 3600)
			s->interval_ns = llround(seconds * NSEC_PER_SEC);
	} else if (!strncmp(line, "sort ", 5)) {
		bool inverted = *value == '-';

		if (is_name(value + inverted))
			settings__set_sort(s, line + 5, value + inverted, inverted);
	}
}

void settings__parse(struct settings *s, const char *text)
{
	char line[256];

	while (*text) {
		size_t len = strcspn(text, "\n");

		if (len < sizeof(line)) {
			memcpy(line, text, len);
			line[len] = '\0';
			parse_line(s, line);
		}
		text += len + (text[len] == '\n');
	}
	s->changed = false;
}

size_t settings__write(const struct settings *s, char *text, size_t size)
{
	size_t len = snprintf(text, size, "%s", head);

	if (s->interval_ns)
		len += snprintf(text + len, size - len, "interval=%g\n",
				(double)s->interval_ns / NSEC_PER_SEC);
	for (size_t i = 0; i < s->nr_sorts && len + 2UL * (TAB_LEN + COLUMN_LEN) < size; i++)
		len += snprintf(text + len, size - len, "sort %s=%s%s\n", s->sorts[i].tab,
				s->sorts[i].inverted ? "-" : "", s->sorts[i].column);
	return len;
}

/* The file */

/* Each part of the path with the user's rights, so a link leads only where the user may go. */
static int open_file(void *ctx)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char path[PATH_MAX];
	struct stat is;
	int len, fd;

	(void)ctx;
	if (config && *config == '/')
		len = snprintf(path, sizeof(path), "%s", config);
	else if (home && *home == '/')
		len = snprintf(path, sizeof(path), "%s/.config", home);
	else
		return -1;
	if (len < 0 || len > PATH_MAX - 32)
		return -1;
	mkdir(path, 0700);
	len += snprintf(path + len, sizeof(path) - len, "/kvm_watcher");
	mkdir(path, 0700);
	snprintf(path + len, sizeof(path) - len, "/toprc");
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
	/* As root, no file that somebody else may have made is written to. */
	if (fd >= 0 && (fstat(fd, &is) || !S_ISREG(is.st_mode) || is.st_uid != geteuid() ||
			is.st_nlink != 1)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int settings__load(struct settings *s)
{
	int fd = caller__open(open_file, NULL);
	char text[SETTINGS_LEN];
	ssize_t len;

	if (fd < 0)
		return -1;
	len = read(fd, text, sizeof(text) - 1);
	text[len > 0 ? len : 0] = '\0';
	settings__parse(s, text);
	return fd;
}

void settings__save(const struct settings *s, int fd)
{
	char text[SETTINGS_LEN];
	size_t len;

	if (fd < 0 || !s->changed)
		return;
	len = settings__write(s, text, sizeof(text));
	/* Overwritten before it is cut: a full disk leaves old settings at worst. */
	if (lseek(fd, 0, SEEK_SET) || write(fd, text, len) != (ssize_t)len)
		return;
	(void)!ftruncate(fd, len);
}
