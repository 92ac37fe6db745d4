// SPDX-License-Identifier: GPL-2.0-only
#include "textfile.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "../core/attach.h"
#include "../core/broker.h"
#include "../core/limits.h"
#include "../core/log.h"
#include "../core/loop.h"
#include "../core/memory.h"

struct textfile {
	struct exporter *exporter;
	const struct attach_env *env;
	const char *path;
	struct driver driver;
	struct buf text;
	int err; /* of the last try: it is said when it changes */
};

static int write_all(int fd, const struct buf *text)
{
	size_t done = 0;

	while (done < text->len) {
		ssize_t nr = write(fd, text->data + done, text->len - done);

		if (nr < 0 && errno == EINTR)
			continue;
		if (nr < 0)
			return -errno;
		done += nr;
	}
	/* A rename after a crash would be of an empty file. */
	return fsync(fd) ? -errno : 0;
}

static int replace(struct textfile *t)
{
	int fd = broker__new_file(t->env->broker), err;

	if (fd < 0)
		return fd;
	err = write_all(fd, &t->text);
	if (close(fd) && !err)
		err = -errno;
	return err ? err : broker__replace_file(t->env->broker);
}

static void taken(void *ctx, struct metrics *m)
{
	struct textfile *t = ctx;
	int err;

	if (!metrics__render(m, TEXT_CLASSIC, &t->text)) {
		memory__is_short();
		return;
	}
	err = replace(t);
	if (err && err != t->err)
		say_failed("--output: %s can't be replaced: %s; the next interval tries again",
			   t->path, limits__reason(err));
	t->err = err;
}

static int began(void *ctx, struct run *run)
{
	struct textfile *t = ctx;

	exporter__began(t->exporter, run);
	return 0;
}

struct textfile *textfile__new(const char *path, const struct exporter_options *options)
{
	struct textfile *t = calloc(1, sizeof(*t));
	struct exporter_options mine = *options;

	if (!t) {
		memory__is_short();
		return NULL;
	}
	t->path = path;
	t->env = options->env;
	t->driver = (struct driver){ .ctx = t, .fd = -1, .began = began };
	mine.taken = taken;
	mine.ctx = t;
	t->exporter = exporter__new(&mine);
	if (t->exporter)
		return t;
	free(t);
	return NULL;
}

void textfile__free(struct textfile *t)
{
	if (!t)
		return;
	exporter__free(t->exporter);
	buf__free(&t->text);
	free(t);
}

bool textfile__open(struct textfile *t, struct sink *sinks)
{
	return exporter__open(t->exporter, sinks);
}

const struct driver *textfile__driver(const struct textfile *t)
{
	return t ? &t->driver : NULL;
}
