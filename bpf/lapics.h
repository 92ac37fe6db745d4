/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which vCPU a local APIC is of: what both halves know of it. */
#ifndef KVM_WATCHER_LAPICS_H
#define KVM_WATCHER_LAPICS_H

#include <linux/types.h>

enum { LAPIC_OBJECT = ~0U };

/* { struct kvm_lapic *, LAPIC_OBJECT }, or { struct kvm *, vCPU id }; the value is the slot. */
struct lapic_key {
	__u64 object;
	__u64 id;
};

/* Per slot. */
struct lapic_state {
	__u64 lapic; /* 0: not entered yet */
	__u64 kvm;
	__u64 vcpu_id;
};

#endif
