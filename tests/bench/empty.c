// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attaches empty programs until SIGINT or SIGTERM: one for each KIND/TARGET, as raw_tp/kvm_exit or
 * kretprobe/kvm_ioapic_set_irq; without any, one to kvm_exit and one to kvm_entry.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "empty.skel.h"

static struct bpf_program *program_of(const struct empty_bpf *skel, const char *kind)
{
	if (!strcmp(kind, "kretprobe"))
		return skel->progs.kprobe;
	if (!strcmp(kind, "kprobe.multi") || !strcmp(kind, "kretprobe.multi"))
		return skel->progs.kprobe_multi;
	return bpf_object__find_program_by_name(skel->obj, kind);
}

static struct bpf_link *attach(const struct bpf_program *prog, const char *kind, const char *target)
{
	bool returns = !strncmp(kind, "kret", 4);
	LIBBPF_OPTS(bpf_kprobe_multi_opts, multi, .retprobe = returns, .syms = &target, .cnt = 1);

	struct bpf_link *link;

	switch (bpf_program__type(prog)) {
	case BPF_PROG_TYPE_RAW_TRACEPOINT:
		return bpf_program__attach_raw_tracepoint(prog, target);
	case BPF_PROG_TYPE_TRACEPOINT:
		if (!strncmp(target, "sys_", 4))
			return bpf_program__attach_tracepoint(prog, "syscalls", target);
		link = bpf_program__attach_tracepoint(prog, "kvm", target);
		return link ? link : bpf_program__attach_tracepoint(prog, "kvmmmu", target);
	case BPF_PROG_TYPE_KPROBE:
		if (strstr(kind, ".multi"))
			return bpf_program__attach_kprobe_multi_opts(prog, NULL, &multi);
		return bpf_program__attach_kprobe(prog, returns, target);
	default:
		return bpf_program__attach(prog);
	}
}

/* It stays attached as long as this process lives. */
static int attach_one(const char *hook)
{
	struct empty_bpf *skel = empty_bpf__open();
	const char *target = strchr(hook, '/');
	struct bpf_program *prog = NULL;
	char kind[32];
	int err = 0;

	if (skel && target) {
		snprintf(kind, sizeof(kind), "%.*s", (int)(target++ - hook), hook);
		prog = program_of(skel, kind);
	}
	if (!prog)
		return -EINVAL;
	bpf_program__set_autoload(prog, true);
	if (bpf_program__type(prog) == BPF_PROG_TYPE_TRACING)
		err = bpf_program__set_attach_target(prog, 0, target);
	if (!err)
		err = empty_bpf__load(skel);
	if (!err && !attach(prog, kind, target))
		err = -errno;
	return err;
}

static int attach_all(const char *const *hooks)
{
	int err = 0;

	while (!err && *hooks) {
		err = attach_one(*hooks);
		if (err)
			fprintf(stderr, "empty_programs: %s: %s\n", *hooks, strerror(-err));
		hooks++;
	}
	return err;
}

int main(int argc, char **argv)
{
	/* tp_btf costs the same, and not all kernels have it. */
	const char *const pair[] = { "raw_tp/kvm_exit", "raw_tp/kvm_entry", NULL };
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (attach_all(argc > 1 ? (const char *const *)argv + 1 : pair))
		return 1;
	fprintf(stderr, "empty programs, watching\n");
	sigwait(&set, &sig);
	return 0;
}
