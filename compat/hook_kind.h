/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_WATCHER_HOOK_KIND_H
#define KVM_WATCHER_HOOK_KIND_H

/*
 * The kernel skips a program that is already active on a CPU. Since Linux 7.0
 * raw_tp and tp_btf programs, and fentry ones on every preemptible kernel, can
 * be preempted while active; the events of other threads on that CPU then are
 * skipped (and counted: LOST_SKIPPED). Classic tracepoint programs and kprobes
 * run with preemption off. So tables list raw_tp first where the event fires with
 * interrupts or preemption off, the classic tracepoint first elsewhere; of these
 * core/hooks.c takes the raw one all the same where this kernel does not preempt it.
 */
enum hook_kind {
	HOOK_RAW_TP,
	HOOK_TP_BTF,
	HOOK_FENTRY,	 /* fentry and fexit */
	HOOK_KPROBE,	 /* kprobe and kretprobe */
	HOOK_TRACEPOINT, /* classic: its record is needed */
	HOOK_ITER,
	NR_HOOK_KINDS,
};

const char *hook_kind__name(enum hook_kind kind);
/* Index of the kind, or -1. */
int hook_kind__parse(const char *name);
/* All names, comma separated, for messages. */
const char *hook_kind__names(void);

#endif
