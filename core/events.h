/* SPDX-License-Identifier: GPL-2.0-only */
/* The rings of single events, one per monitor: the user half of bpf/events.bpf.h. */
#ifndef KVM_WATCHER_EVENTS_H
#define KVM_WATCHER_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct attach_env;
struct attachment;
struct bpf_object;
struct monitor;
struct row;
struct chosen;
struct sink;

/* A monitor has some, of the kind that is asked for. */
bool events__are_there(const struct attach_env *env, const struct chosen *c);

/*
 * The user sees them: of the only monitor where they are its rule, as --events asks, or those
 * that are slow.
 */
bool events__are_shown(const struct attach_env *env, const struct chosen *c);

/* The view that they are rows of. */
unsigned int events__view(const struct attach_env *env, const struct chosen *c);

/* They go into a file of the monitor's instead. */
bool events__are_kept(const struct attach_env *env, const struct monitor *m);

/* Room in each ring, a power of 2: what was asked for at least; 0: what the host suggests. */
uint32_t events__ring_mib(uint32_t asked_mib);

/* Before obj is loaded: the size of its ring, if it has one. 0 or -errno. */
int events__prepare(const struct attachment *at, struct bpf_object *obj);

/* It is loaded: reading can begin, if it has a ring. 0 or -errno. */
int events__open(struct attachment *at);
void events__close(struct attachment *at);

/*
 * Hands all events of the window that wait in the ring to the monitor, but not
 * what comes meanwhile. One without a time is no event, but a note to the monitor.
 */
void events__read(struct attachment *at);

/* The same with one that has been read. Negative: enough for now. */
int events__hand(struct attachment *at, const void *data, size_t size);

/* In a monitor's event(): shows the row to all sinks, or keeps it for the end. */
void events__row(const struct attachment *at, const struct row *row);

/* At the end: those that were kept, to one sink. */
void events__show_kept(struct attachment *at, const struct sink *sink);

#endif
