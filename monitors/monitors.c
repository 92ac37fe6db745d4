// SPDX-License-Identifier: GPL-2.0-only
/* The table of monitors, in the order of --help. The help text here is the option's. */
#include "monitors.h"

/* In this version: one file of that name in monitors/ each. */
extern const struct monitor vm_exit_monitor;
extern const struct monitor hypercall_monitor;
extern const struct monitor kvm_ioctl_monitor;
extern const struct monitor mark_page_dirty_monitor;
extern const struct monitor kvmmmu_page_fault_monitor;
extern const struct monitor vcpu_load_monitor;
extern const struct monitor vcpu_wakeup_monitor;
extern const struct monitor halt_poll_ns_monitor;
extern const struct monitor irq_inject_monitor;
extern const struct monitor kvm_timer_monitor;
extern const struct monitor kvm_irqchip_monitor;
extern const struct monitor nested_monitor;
extern const struct monitor vm_state_monitor;
extern const struct monitor vmm_threads_monitor;
extern const struct monitor unmaps_monitor;
extern const struct monitor host_monitor;

const struct monitor *const monitors[] = {
	&vm_exit_monitor,     &kvmmmu_page_fault_monitor, &mark_page_dirty_monitor,
	&vcpu_wakeup_monitor, &halt_poll_ns_monitor,	  &vcpu_load_monitor,
	&kvm_irqchip_monitor, &irq_inject_monitor,	  &hypercall_monitor,
	&kvm_ioctl_monitor,   &kvm_timer_monitor,	  &nested_monitor,
	&vm_state_monitor,    &vmm_threads_monitor,	  &unmaps_monitor,
	&host_monitor,
};

const size_t nr_monitors = sizeof(monitors) / sizeof(*monitors);
