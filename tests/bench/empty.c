// SPDX-License-Identifier: GPL-2.0-only
/* Attaches an empty program to kvm_exit and one to kvm_entry, until SIGINT or SIGTERM. */
#include <signal.h>
#include <stdio.h>

#include <bpf/libbpf.h>

#include "empty.skel.h"

/* 0 when both programs of this kind of hook are attached. */
static int attach(struct bpf_program *first, struct bpf_program *second, struct empty_bpf *skel)
{
	bpf_program__set_autoload(first, true);
	bpf_program__set_autoload(second, true);
	return empty_bpf__load(skel) ?: empty_bpf__attach(skel);
}

int main(void)
{
	struct empty_bpf *skel = empty_bpf__open();
	const char *kind = "tp_btf";
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (skel && attach(skel->progs.exit_tp_btf, skel->progs.entry_tp_btf, skel)) {
		empty_bpf__destroy(skel);
		skel = empty_bpf__open();
		kind = "raw_tp";
		if (skel && attach(skel->progs.exit_raw_tp, skel->progs.entry_raw_tp, skel)) {
			empty_bpf__destroy(skel);
			skel = NULL;
		}
	}
	if (!skel) {
		fprintf(stderr,
			"empty_programs: this host has no kvm_exit and kvm_entry to attach to\n");
		return 1;
	}
	fprintf(stderr, "empty programs, watching by %s\n", kind);
	sigwait(&set, &sig);
	empty_bpf__destroy(skel);
	return 0;
}
