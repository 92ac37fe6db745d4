/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What irq_inject.bpf.c records and irq_inject.c reads. */
#ifndef KVM_WATCHER_IRQ_INJECT_H
#define KVM_WATCHER_IRQ_INJECT_H

#include "../bpf/records.h"

enum { FLAG_NO, FLAG_YES, FLAG_UNKNOWN };

struct irq_key {
	__u32 slot;
	__u32 vector;
};

/* Counters of raises are written by any CPU, the rest by the vCPU's thread. */
struct irq_record {
	struct irq_key key;
	__u64 in_use;
	__u64 raised_ns;  /* accepted by the APIC and not injected yet; 0: none */
	__u64 serving_ns; /* injected, or posted, and not ended yet; 0: none */
	__u64 raised;
	__u64 merged; /* of them: raised while it was pending already */
	__u64 posted; /* of them: for the CPU to deliver */
	__u64 count;  /* injections */
	__u64 reinjected;
	__u64 soft;
	__u64 eois;
	__u64 pv_eois;	      /* of them: seen at the next exit */
	struct timing inject; /* from raised to injected */
	struct timing eoi;    /* from injected, or posted, to the EOI */
};

/* Per slot, written in the vCPU's thread. */
struct irq_state {
	__u64 injections; /* KVM's own count */
};

struct irq_event {
	struct event head;
	__u64 delay_ns; /* since it was raised; ~0: not known */
	__u64 injections;
	__u32 vector;
	__u8 soft;
	__u8 reinjected; /* FLAG_... */
	__u16 pad;
};

#endif
