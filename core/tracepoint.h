/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_WATCHER_TRACEPOINT_H
#define KVM_WATCHER_TRACEPOINT_H

struct bpf_link;
struct bpf_program;

/*
 * Attaches a program to the classic tracepoint that its section names, as
 * bpf_program__attach() does, and switches the perf event off that it is attached by: the
 * program runs all the same, and the kernel has no event of ours to look at after it.
 * NULL with errno.
 */
struct bpf_link *tracepoint__attach(const struct bpf_program *prog);

#endif
