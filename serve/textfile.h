/* SPDX-License-Identifier: GPL-2.0-only */
/* --format=prometheus: a file for node_exporter's textfile collector, replaced at each interval. */
#ifndef KVM_WATCHER_TEXTFILE_H
#define KVM_WATCHER_TEXTFILE_H

#include "exporter.h"

struct textfile;

/* options->taken and ctx are its own. NULL after a message. */
struct textfile *textfile__new(const char *path, const struct exporter_options *options);
void textfile__free(struct textfile *t);

/* exporter__open() */
bool textfile__open(struct textfile *t, struct sink *sinks);

/* What a run needs of it; NULL for NULL. */
const struct driver *textfile__driver(const struct textfile *t);

#endif
