// SPDX-License-Identifier: GPL-2.0-only
#include "probes.h"

#include <errno.h>

#include <bpf/libbpf.h>

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
