/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What KVM counts and keeps of a vCPU and of a VM, by the kernel's own names. No kernel has
 * all of them: what it has is asked by name (kvm_state.bpf.h), and the rest is absent.
 */
#ifndef KVM_WATCHER_KVM_STATS_H
#define KVM_WATCHER_KVM_STATS_H

/* Counters of struct kvm_vcpu_stat. */
#define KVM_VCPU_COUNTERS(_)         \
	_(exits)                     \
	_(io_exits)                  \
	_(mmio_exits)                \
	_(signal_exits)              \
	_(irq_window_exits)          \
	_(nmi_window_exits)          \
	_(halt_exits)                \
	_(request_irq_exits)         \
	_(irq_exits)                 \
	_(notify_window_exits)       \
	_(insn_emulation)            \
	_(insn_emulation_fail)       \
	_(hypercalls)                \
	_(irq_injections)            \
	_(nmi_injections)            \
	_(req_event)                 \
	_(host_state_reload)         \
	_(fpu_reload)                \
	_(l1d_flush)                 \
	_(tlb_flush)                 \
	_(invlpg)                    \
	_(pf_taken)                  \
	_(pf_fixed)                  \
	_(pf_emulate)                \
	_(pf_spurious)               \
	_(pf_fast)                   \
	_(pf_guest)                  \
	_(nested_run)                \
	_(directed_yield_attempted)  \
	_(directed_yield_successful) \
	_(preemption_reported)       \
	_(preemption_other)

/* Of struct kvm_vm_stat: what only grows, and what goes both ways. */
#define KVM_VM_COUNTERS(_)   \
	_(mmu_shadow_zapped) \
	_(mmu_pte_write)     \
	_(mmu_pde_zapped)    \
	_(mmu_flooded)       \
	_(mmu_recycled)      \
	_(mmu_cache_miss)    \
	_(remote_tlb_flush)  \
	_(remote_tlb_flush_requests)

#define KVM_VM_GAUGES(_) \
	_(mmu_unsync)    \
	_(pages_4k)      \
	_(pages_2m)      \
	_(pages_1g)      \
	_(lpages)        \
	_(nx_lpage_splits)

/*
 * Why a VM's APICs are not the processor's (APICV_INHIBIT_REASON_* of the kernel, whose
 * numbers change): in this order the bits of kvm_apicv_inhibits().
 */
#define KVM_APICV_INHIBITS(_)  \
	_(DISABLED)            \
	_(HYPERV)              \
	_(ABSENT)              \
	_(BLOCKIRQ)            \
	_(PHYSICAL_ID_ALIASED) \
	_(LOGICAL_ID_ALIASED)  \
	_(PHYSICAL_ID_TOO_BIG) \
	_(APIC_ID_MODIFIED)    \
	_(APIC_BASE_MODIFIED)  \
	_(NESTED)              \
	_(IRQWIN)              \
	_(PIT_REINJ)           \
	_(SEV)                 \
	_(X2APIC)

/* Further bits of the kernel's, by its own number, stand from here on. */
enum { APICV_UNKNOWN_SHIFT = 32 };

/* Exits that the VMM has switched off: KVM_X86_DISABLE_EXITS_* of the uapi, in its order. */
#define KVM_DISABLED_EXITS(_) \
	_(MWAIT)              \
	_(HLT)                \
	_(PAUSE)              \
	_(CSTATE)             \
	_(APERFMPERF)

#endif
