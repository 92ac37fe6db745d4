// SPDX-License-Identifier: GPL-2.0-only
/*
 * The families, in the order in which their rules claim time: what kills a VM, then who takes its
 * CPUs, its memory, devices and interrupts, what the guest does, and last what is only known to be
 * slow.
 */
#include "families.h"

const struct rule *const families[] = {
	error_rules, cpu_rules,	    memory_rules, idle_rules, device_rules,
	irq_rules,   feature_rules, last_rules,	  host_rules, NULL,
};
