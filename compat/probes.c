// SPDX-License-Identifier: GPL-2.0-only
#include "probes.h"

#include <errno.h>
#include <sys/prctl.h>

#include <bpf/libbpf.h>

#include "picked_types.h"
#include "probes.skel.h"

static struct bpf_program *program_of(const struct probes_bpf *skel, enum hook_kind kind)
{
	switch (kind) {
	case HOOK_RAW_TP:
		return skel->progs.probe_raw_tp;
	case HOOK_TP_BTF:
		return skel->progs.probe_tp_btf;
	case HOOK_FENTRY:
		return skel->progs.probe_fentry;
	case HOOK_KPROBE:
		return skel->progs.probe_kprobe;
	case HOOK_TRACEPOINT:
		return skel->progs.probe_tracepoint;
	case HOOK_ITER:
	case NR_HOOK_KINDS:
		break;
	}
	return skel->progs.probe_iter;
}

int probe__hook_kind(enum hook_kind kind)
{
	struct probes_bpf *skel = probes_bpf__open();
	struct bpf_program *prog;
	struct bpf_link *link;
	int err;

	if (!skel)
		return -errno;
	prog = program_of(skel, kind);
	bpf_program__set_autoload(prog, true);
	err = probes_bpf__load(skel);
	if (!err) {
		link = bpf_program__attach(prog);
		err = link ? 0 : -errno;
		bpf_link__destroy(link);
	}
	probes_bpf__destroy(skel);
	return err;
}

/* The event happens: this thread gets the name that it has. */
static void rename_thread(void)
{
	char name[16] = "";

	if (!prctl(PR_GET_NAME, name))
		prctl(PR_SET_NAME, name);
}

static bool try_preemption(void)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .btf_custom_path = picked_types__path());
	struct probes_bpf *skel = probes_bpf__open_opts(&opts);
	bool preempted = true;

	if (!skel)
		return true;
	bpf_program__set_autoload(skel->progs.probe_preemption, true);
	if (!probes_bpf__load(skel)) {
		skel->links.probe_preemption = bpf_program__attach(skel->progs.probe_preemption);
		rename_thread();
		preempted = !skel->bss->tried || skel->bss->preempted;
	}
	probes_bpf__destroy(skel);
	return preempted;
}

bool probe__raw_tp_is_preempted(void)
{
	static int known = -1;

	if (known < 0)
		known = try_preemption();
	return known;
}
