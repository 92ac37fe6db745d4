/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A monitor that is attached, in the process that reads what it counts: its hooks are
 * the broker's work (hooks.h, broker.h), its looks and its window are done here.
 */
#ifndef KVM_WATCHER_ATTACH_H
#define KVM_WATCHER_ATTACH_H

#include "hooks.h"

/*
 * Loads what a monitor needs as far as this host lets it, and starts its user
 * space: nothing is counted yet. 0 when at least one primary need is met, else
 * -errno; at->needs tells why in both cases.
 *
 * This and the next ones may be called at any time, also while others are attached,
 * and again after attach__close().
 */
int attach__load(struct attach_env *env, const struct chosen *chosen, struct attachment *at);

/* Attaches what was loaded, which takes little time. As attach__load(); on errors at is closed. */
int attach__attach(struct attachment *at);

/*
 * Modules (a mask of 1 << enum host_module) were unloaded and are there again: attaches anew the
 * hooks that went with them, whose programs and maps are as they were. The kernel lets no module
 * go that another kind of hook than a kprobe is in. Returns how many are attached again.
 */
size_t attach__again(struct attachment *at, unsigned int modules);

/* A file of the monitor's own, beside the output. 0, or -errno after a message. */
int attach__open_file(const struct attachment *at, struct tempfile *file);

/* A descriptor of the iterator that meets the need of that name, from loading on; or -1. */
int attach__iterator(const struct attachment *at, const char *need);

/* What the kernel says of the program that calls others then; false where there is none. */
bool attach__entry_info(const struct attach_env *env, enum head head, struct bpf_prog_info *info);

/* Fills in the needs' runs and run_ns, which begin when the statistics are enabled. */
void attach__read_runs(struct attachment *at);

/* Runs of this monitor's programs that the kernel skipped because one was active. */
uint64_t attach__skipped(const struct attachment *at);

/* Stops the programs; the object and its maps stay readable. */
void attach__detach(struct attachment *at);

/* Ends the monitor and frees the object. */
void attach__close(struct attachment *at);

/*
 * The window begins at now_ns: what was counted so far is not shown, and what is
 * open is cut here. The last of several counts: the first one takes long.
 */
void attach__begin(struct attachment *at, uint64_t now_ns);

/* The same for what a monitor counts elsewhere, which may take some milliseconds. */
void attach__forget(struct attachment *at);

/*
 * Takes a sample of all that the monitor counts, and lets go of what has ended.
 * now_ns is the moment that it is of, of all monitors the same.
 */
void attach__look(struct attachment *at, uint64_t now_ns);

/* The window ends at now_ns: the last look, while the hooks are complete. */
void attach__end(struct attachment *at, uint64_t now_ns);

/* True when the need of that name is attached. */
bool attach__has(const struct attachment *at, const char *need);

/* "attached", "replaced" or "missing". */
const char *need_state__word(const struct need_state *need);

#endif
