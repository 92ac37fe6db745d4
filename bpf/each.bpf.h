/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For monitors that have something to do at each exit of a vCPU, or at each entry. Where several
 * are to be called, one of bpf/entry.bpf.c's programs is on the event for all of them. Theirs take
 * the places of functions that it calls (freplace), and what it knows is handed over in registers.
 * It has looked at -p, too.
 */
#ifndef KVM_WATCHER_EACH_BPF_H
#define KVM_WATCHER_EACH_BPF_H

#include "hooks.bpf.h"

/* In place of the reason, where the event does not tell it. */
#define REASON_NOT_TOLD (~0ULL)

/* isa: as the event has it, for exit_isa(). now: before any of them was called. */
#define EACH_EXIT(_name, _call)                           \
	SEC("?freplace")                                  \
	int _name(u64 vcpu, u64 isa, u64 reason, u64 now) \
	{                                                 \
		return _call;                             \
	}
#define EACH_ENTRY(_name, _call)     \
	SEC("?freplace")             \
	int _name(u64 vcpu, u64 now) \
	{                            \
		return _call;        \
	}

#endif
