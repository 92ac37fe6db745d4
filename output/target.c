// SPDX-License-Identifier: GPL-2.0-only
/* Where an output goes: the terminal or pipe on stdout, a file, or a file per table. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "format.h"

static int open_file(enum format format, const char *path, struct output **out)
{
	FILE *stream = fopen(path, "we");

	if (!stream)
		return -errno;
	*out = output__new(format, stream, 0);
	if (!*out) {
		fclose(stream);
		return -ENOMEM;
	}
	(*out)->owns_stream = true;
	return 0;
}

/* All of them now: what can't be created is known before anything is measured. */
static int open_files(const struct output_target *target, struct output *out, char failed[PATH_MAX])
{
	size_t nr = 0;
	int err = 0;

	while (target->tables[nr])
		nr++;
	out->nr_files = 0;
	out->files = calloc(nr + 1, sizeof(*out->files));
	if (!out->files)
		return -ENOMEM;
	if (mkdir(target->path, 0777) && errno != EEXIST)
		return -errno;
	for (size_t i = 0; !err && i < nr; i++) {
		if (snprintf(failed, PATH_MAX, "%s%s.%s", target->path, target->tables[i],
			     format__suffix(target->format)) >= PATH_MAX)
			return -ENAMETOOLONG;
		err = open_file(target->format, failed, &out->files[i]);
		if (!err)
			out->nr_files++;
	}
	return err;
}

int output__open(const struct output_target *target, struct output **out, char failed[PATH_MAX])
{
	const char *path = target->path;
	bool dir = path && path[strlen(path) - 1] == '/';
	int err = 0;

	*out = NULL;
	snprintf(failed, PATH_MAX, "%s", path ? path : "stdout");
	if (path && !dir)
		err = open_file(target->format, path, out);
	else
		*out = output__new(target->format, stdout, dir ? 0 : terminal__width());
	if (!err && !*out)
		err = -ENOMEM;
	if (!err)
		(*out)->tables = target->tables;
	if (!err && dir)
		err = open_files(target, *out, failed);
	if (err) {
		output__free(*out);
		*out = NULL;
	}
	return err;
}
