/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kvm_watcher serve: a driver of a run that takes a sample when somebody scrapes, renders it, and
 * hands it to the server's thread.
 */
#ifndef KVM_WATCHER_SERVICE_H
#define KVM_WATCHER_SERVICE_H

#include "exporter.h"

struct driver;
struct service;

/*
 * Serves on sockets that listen, which are its own from now on. sink: the index of the first one
 * of service__open(). options->taken, more and ctx are its own. NULL after a message.
 */
struct service *service__new(const struct exporter_options *options, const int *fds, size_t nr_fds,
			     unsigned int sink);
/* After the run. */
void service__free(struct service *s);

/* exporter__open() */
bool service__open(struct service *s, struct sink *sinks);
const struct driver *service__driver(const struct service *s);

#endif
