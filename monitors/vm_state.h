/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What vm_state.bpf.c writes and vm_state.c reads. An absent value is ~0. */
#ifndef KVM_WATCHER_VM_STATE_H
#define KVM_WATCHER_VM_STATE_H

#include <linux/types.h>

#include "../compat/kvm_stats.h"

#define STATE_MEMBER(_name) __u64 _name;

/* Of each descriptor: whose it is; then a state_of_vcpu, or with ENTRY_OF_VM a state_of_vm. */
struct state_head {
	__u64 kvm;
	__u64 start_ns; /* task start_boottime of the VM's process */
	__u32 tgid;
	__u32 tid; /* the thread that last ran it; 0: none yet */
	__u32 vcpu_id;
	__u32 pad;
};

#define VCPU_STATE_MEMBERS              \
	KVM_VCPU_COUNTERS(STATE_MEMBER) \
	__u64 apicv;                    \
	__u64 in_nested;                \
	__u64 blocking;                 \
	__u64 debugged;

struct state_of_vcpu {
	VCPU_STATE_MEMBERS
};

#define VM_STATE_MEMBERS              \
	KVM_VM_COUNTERS(STATE_MEMBER) \
	KVM_VM_GAUGES(STATE_MEMBER)   \
	__u64 vcpus;                  \
	__u64 memory_pages;           \
	__u64 logged_slots;           \
	__u64 irqchip_mode;           \
	__u64 inhibit_bits;           \
	__u64 disabled_bits;          \
	__u64 master_clock_bit;       \
	__u64 guest_os_id;            \
	__u64 confidential_bits;

struct state_of_vm {
	VM_STATE_MEMBERS
};

#endif
