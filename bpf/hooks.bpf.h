/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Thin programs, one per kind of hook, around one function. _call is what a
 * program returns: an expression in which ctx is what it is given.
 */
#ifndef KVM_WATCHER_HOOKS_BPF_H
#define KVM_WATCHER_HOOKS_BPF_H

#include "../compat/compat.bpf.h"

#define PROGRAM(_name, _section, _ctx, _call) \
	SEC("?" _section)                     \
	int _name(_ctx)                       \
	{                                     \
		return _call;                 \
	}

/* ctx->args[n] */
#define RAW_TP(_name, _event, _call) \
	PROGRAM(_name, "raw_tp/" #_event, struct bpf_raw_tracepoint_args *ctx, _call)
/* ctx[n] for numbers, untyped_arg(ctx, n) for pointers */
#define TP_BTF(_name, _event, _call) PROGRAM(_name, "tp_btf/" #_event, u64 *ctx, _call)
#define FENTRY(_name, _function, _call) PROGRAM(_name, "fentry/" #_function, u64 *ctx, _call)
#define FEXIT(_name, _function, _call) PROGRAM(_name, "fexit/" #_function, u64 *ctx, _call)
/* ctx->di, ctx->si, ... */
#define KPROBE(_name, _function, _call) \
	PROGRAM(_name, "kprobe/" #_function, struct pt_regs *ctx, _call)
#define KRETPROBE(_name, _function, _call) \
	PROGRAM(_name, "kretprobe/" #_function, struct pt_regs *ctx, _call)
/* args: the fields of the event's record that come first, which are the same on all kernels. */
#define TRACEPOINT(_name, _event, _fields, _call)                    \
	SEC("?tp/" _event)                                           \
	int _name(void *ctx)                                         \
	{                                                            \
		struct _fields args = {};                            \
                                                                     \
		bpf_probe_read_kernel(&args, sizeof(args), ctx + 8); \
		_call;                                               \
		return LEAVE_TO_PERF;                                \
	}

#endif
