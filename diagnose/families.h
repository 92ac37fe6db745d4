/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_WATCHER_FAMILIES_H
#define KVM_WATCHER_FAMILIES_H

#include "rule.h"

extern const struct rule error_rules[], cpu_rules[], memory_rules[], idle_rules[], device_rules[],
	irq_rules[], feature_rules[], last_rules[], host_rules[];

/* Needs of many rules. */
#define NEED_EXITS "vm_exit:kvm_exit", "vm_exit:kvm_entry"
#define NEED_USER "vm_exit:kvm_userspace_exit", "vm_exit:kvm_run"
#define NEED_STEAL "vcpu_load:sched_switch", "vcpu_load:kvm_fpu"

#endif
