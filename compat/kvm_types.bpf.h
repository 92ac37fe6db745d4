/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel types that the BPF programs touch, trimmed to the members they
 * read. Offsets are not ours: preserve_access_index makes libbpf relocate each
 * access to the running kernel's BTF (vmlinux, then the KVM modules), so the
 * build needs no kernel at all. Members that moved between kernels live in
 * flavours (___suffix) and are reached through compat.bpf.h only.
 */
#ifndef KVM_WATCHER_KVM_TYPES_BPF_H
#define KVM_WATCHER_KVM_TYPES_BPF_H

#include <stdbool.h>
#include <linux/types.h>

typedef __u64 u64;
typedef __u32 u32;
typedef __u16 u16;
typedef __u8 u8;
typedef __s16 s16;
typedef __s64 s64;
typedef __s32 s32;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct rb_node {
	struct rb_node *rb_right;
	struct rb_node *rb_left;
};

struct rb_root {
	struct rb_node *rb_node;
};

struct preempt_notifier {
	struct hlist_node link;
};

struct rcuwait {
	struct task_struct *task;
};

struct upid {
	int nr;
};

struct pid {
	struct hlist_head tasks[1]; /* of more; PIDTYPE_PID is the first */
	struct upid numbers[1];
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct qstr d_name;
};

struct path {
	struct dentry *dentry;
};

struct super_block {
	unsigned long s_magic;
};

struct inode {
	u16 i_mode;
	u32 i_rdev;
	struct super_block *i_sb;
};

struct counter {
	s64 counter;
};

struct file_ref {
	struct counter refcnt;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	const void *f_op;
	void *private_data;
	struct file_ref f_ref; /* since 6.13 */
};

/* up to 6.12 */
struct file___count {
	struct counter f_count;
};

struct fdtable {
	u32 max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct mm_struct {
	unsigned long arg_start, arg_end;
};

/* With the times of threads that have ended. */
struct signal_struct {
	int nr_threads;
	u64 utime;
	u64 stime;
	u64 gtime;
	unsigned long maj_flt;
	unsigned long long sum_sched_runtime;
};

struct sched_entity {
	u64 sum_exec_runtime;
};

struct sched_info {
	unsigned long long run_delay;
};

struct cpumask {
	unsigned long bits[1]; /* of more */
};

struct thread_info {
	u32 status;
	u32 cpu; /* since 5.16 */
};

struct task_struct {
	int pid;
	int tgid;
	int exit_state;
	u64 start_boottime;
	struct task_struct *group_leader;
	char comm[16];
	struct hlist_head preempt_notifiers;
	struct mm_struct *mm;
	struct signal_struct *signal;
	struct files_struct *files;
	void *stack;
	struct thread_info thread_info;
	struct hlist_node pid_links[1]; /* of more */
	int on_cpu;
	u32 __state; /* since 5.14 */
	u32 flags;
	u64 utime;
	u64 stime;
	u64 gtime;
	unsigned long maj_flt;
	struct sched_entity se;
	struct sched_info sched_info;
	struct cpumask *cpus_ptr;
	u16 migration_disabled; /* since 5.11; before, preemption was off instead */
};

struct task_struct___cpu {
	unsigned int cpu;
};

/* up to 5.13 */
struct task_struct___state {
	long state;
};

struct kvm_memory_slot {
	struct hlist_node id_node[2]; /* since 5.17 */
	struct rb_node gfn_node[2];   /* since 5.17 */
	u64 base_gfn;
	unsigned long npages;
	unsigned long *dirty_bitmap;
	unsigned long userspace_addr;
	u32 flags;
	s16 id;
	u16 as_id;
};

/* since 5.17: a hash by slot number, threaded through id_node[node_idx] */
struct kvm_memslots {
	struct rb_root gfn_tree;
	struct hlist_head id_hash[128];
	int node_idx;
};

/* until 5.16: an array, sorted by falling base_gfn */
struct kvm_memslots___array {
	struct kvm_memory_slot memslots[1];
	short used_slots;
};

struct kvm_arch {
	struct kvm_pic *vpic;
	struct kvm_ioapic *vioapic;
};

struct kvm_pic {
	struct kvm *kvm;
};

struct kvm_ioapic {
	struct kvm *kvm;
};

struct kvm {
	struct mm_struct *mm; /* of the process that has made it: nobody else may use it */
	struct kvm_arch arch;
	struct kvm_memslots *memslots[2]; /* by address space: 0 normal, 1 SMM */
	int userspace_pid;
	u32 dirty_ring_size; /* since 5.11 */
};

/* Since 5.16, in the BTF of kvm. */
struct kvm_page_fault {
	u64 addr;
	struct kvm_memory_slot *slot;
	u64 pfn;
	u8 goal_level;
};

struct kvm_run {
	u32 exit_reason;
};

struct timerqueue_node {
	s64 expires;
};

struct hrtimer {
	struct timerqueue_node node;
};

struct kvm_timer {
	struct hrtimer timer;
	s64 target_expiration;
	u32 timer_mode;
	u64 tscdeadline;
	u64 expired_tscdeadline;
	u32 timer_advance_ns;
	bool hv_timer_in_use;
};

/* In the BTF of kvm, which 5.10 has not. */
struct kvm_lapic {
	struct kvm_timer lapic_timer;
	struct kvm_vcpu *vcpu;
	void *regs;
	bool apicv_active; /* since 5.17 */
};

struct kvm_vcpu_stat {
	u64 exits;
	u64 hypercalls;
	u64 irq_injections;
};

struct kvm_queued_interrupt {
	bool soft;
};

struct kvm_vcpu_arch {
	unsigned long regs[17];
	u32 regs_avail;
	bool guest_state_protected;
	u64 efer;
	u32 hflags;
	struct kvm_lapic *apic;
	struct kvm_queued_interrupt interrupt;
	u32 virtual_tsc_khz;
	int mp_state;
};

/* Until 5.16, then in the APIC. */
struct kvm_vcpu_arch___apicv {
	bool apicv_active;
};

struct kvm_vcpu___apicv {
	struct kvm_vcpu_arch___apicv arch;
};

/* In 7.2. */
struct kvm_vcpu_arch___bitmap {
	unsigned long rip;
	unsigned long regs_avail[1];
};

struct kvm_vcpu___bitmap {
	struct kvm_vcpu_arch___bitmap arch;
};

struct kvm_vcpu {
	struct kvm *kvm;
	struct preempt_notifier preempt_notifier;
	int vcpu_id;
	int mode;
	struct rcuwait wait;
	unsigned int halt_poll_ns;
	struct kvm_run *run;
	struct pid *pid;
	struct kvm_vcpu_stat stat;
	struct kvm_vcpu_arch arch;
	bool wants_to_run; /* since 6.10, and in stable trees */
};

/* The halt counters are in stat.generic since 5.14, before that in stat itself. */
struct kvm_vcpu_halt_stat {
	u64 halt_successful_poll;
	u64 halt_attempted_poll;
	u64 halt_poll_success_ns;
	u64 halt_poll_fail_ns;
};

struct kvm_vcpu___flat {
	struct kvm_vcpu_halt_stat stat;
};

struct kvm_vcpu_stat___generic {
	struct kvm_vcpu_halt_stat generic;
};

struct kvm_vcpu___generic {
	struct kvm_vcpu_stat___generic stat;
};

/* Since 5.14. */
struct kvm_vcpu_stat___nested {
	u64 guest_mode;
};

struct kvm_vcpu___nested {
	struct kvm_vcpu_stat___nested stat;
};

union vmx_exit_reason {
	u32 full;
};

/* kvm_intel up to 6.15 */
struct vcpu_vmx {
	union vmx_exit_reason exit_reason;
	u32 exit_intr_info;
};

/* kvm_intel since 6.16: shared with TDX */
struct vcpu_vt {
	union vmx_exit_reason exit_reason;
	u32 exit_intr_info;
};

struct vcpu_vmx___vt {
	struct vcpu_vt vt;
};

struct vmcb_control_area {
	u32 exit_code; /* u64 since 7.0; the low half is at the same offset */
};

struct vmcb {
	struct vmcb_control_area control;
};

struct vcpu_svm {
	struct vmcb *vmcb;
};

/* Arguments and return value of a probed function, x86-64. */
struct pt_regs {
	unsigned long cx;
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long ax;
	unsigned long orig_ax;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	u32 fd;
	struct file *file;
};

#pragma clang attribute pop

#endif
