/* SPDX-License-Identifier: GPL-2.0-only */
/* The user-space half of bpf/lapics.bpf.h: which vCPU a local APIC is of. */
#ifndef KVM_WATCHER_CORE_LAPICS_H
#define KVM_WATCHER_CORE_LAPICS_H

#include <stddef.h>
#include <stdint.h>

#include "../bpf/lapics.h"

struct bpf_map;
struct vcpus;

/* Those that bpf/lapics.bpf.h declares. */
struct lapic_maps {
	struct bpf_map *lapics, *states;
};

struct lapics {
	struct lapic_maps maps;
	struct lapic_state *states; /* the kernel's, mapped; by slot */
	size_t size;
};

#define LAPIC_MAPS(_skel)                                        \
	&(const struct lapic_maps)                               \
	{                                                        \
		(_skel)->maps.lapics, (_skel)->maps.lapic_states \
	}

/* Before they are loaded; slots includes slot 0. 0 or -errno. */
int lapics__prepare(const struct lapic_maps *maps, size_t slots);
/* They are loaded. 0 or -errno. */
int lapics__open(struct lapics *lapics, const struct lapic_maps *maps);
void lapics__close(struct lapics *lapics);

/* Those of vCPUs that have ended. */
void lapics__forget_ended(struct lapics *lapics, const struct vcpus *vcpus);

/* The rows of a monitor's hooks that enter vCPUs; the iterator's has to be the last of all. */
#define LAPICS_RUN_HOOKS(_gives)                                                              \
	{ "kvm_fpu",	   HOOK_TRACEPOINT,    "kvm_fpu", PROG(run_tracepoint),               \
	  .gives = _gives, .called_at = AT_RUN },                                             \
		{ "kvm_fpu", HOOK_RAW_TP, "kvm_fpu", PROG(run_raw_tp), .called_at = AT_RUN }, \
	{                                                                                     \
		"kvm_fpu", HOOK_TP_BTF, "kvm_fpu", PROG(run_tp_btf)                           \
	}
#define LAPICS_ITER_HOOK                                                                        \
	{                                                                                       \
		"task_file", HOOK_ITER, "task_file", PROG(existing),                            \
			.gives = "what happens to vCPUs that are in KVM when watching starts, " \
				 "until they enter it anew"                                     \
	}

#endif
