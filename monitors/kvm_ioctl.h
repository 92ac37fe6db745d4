/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What kvm_ioctl.bpf.c records and kvm_ioctl.c reads. */
#ifndef KVM_WATCHER_KVM_IOCTL_H
#define KVM_WATCHER_KVM_IOCTL_H

#include "../bpf/place.h"
#include "../bpf/records.h"

enum { NO_VCPU = 0xffff };

/* _IO(KVMIO, 0x01) and _IO(KVMIO, 0x80), _IOWR(KVMIO, 0x67, struct kvm_irq_level) */
#define IOCTL_CREATE_VM 0xae01
#define IOCTL_RUN 0xae80
#define IOCTL_IRQ_LINE_STATUS 0xc008ae67
#define IOCTL_SET_GSI_ROUTING 0x4008ae6a

/*
 * Whom a call belongs to: a VM, or for the system descriptor the process. A VM
 * at the address of an earlier one is a new owner.
 */
struct ioctl_owner {
	__u64 kvm;	 /* struct kvm *, or 0 */
	__u64 start_ns;	 /* task start_boottime of the process seen first */
	__u32 tgid;	 /* that process */
	__u32 in_use;	 /* written last */
	__u32 replaced;	 /* its address is another VM's now */
	__u32 creator;	 /* the thread that made the VM, as KVM has it */
	__u32 kept_args; /* as in struct vcpu_info */
	__u32 pad;
	char comm[16];
};

struct owner_key {
	__u64 kvm;
	__u64 tgid; /* only with kvm == 0 */
};

struct ioctl_key {
	__u32 owner;
	__u32 tid; /* so that a record has one writer; 0: all that is beyond the VM's share */
	__u32 cmd;
	__u16 kind; /* enum fd_kind */
	__u16 vcpu; /* with FD_VCPU, else NO_VCPU */
};

/* Kinds of error a thread gets from one command. The last one is all that have no own place. */
enum { IOCTL_ERRORS = 8 };

struct ioctl_error {
	__u32 error; /* errno; 0 in the last one */
	__u32 pad;
	__u64 count;
};

struct ioctl_record {
	struct ioctl_key key;
	__u64 in_use;
	__u64 since; /* the call that has not returned; 0: none */
	__u64 count;
	struct ioctl_error errors[IOCTL_ERRORS];
	struct timing stat;
};

/* A call that has not returned, per thread. */
struct ioctl_call {
	__u64 start_ns;
	__u64 kvm;
	__u64 arg;
	__u64 in; /* IOCTL_IRQ_LINE_STATUS: what the kernel will overwrite */
	__u32 cmd;
	__u32 fd;
	__u16 kind;
	__u16 vcpu;
	__u32 owner, record; /* 0: none */
	__u32 pad;
};

enum { PLACE_BITS = 14 };

struct ioctl_place {
	struct place place;
	struct ioctl_call call;
};

enum { IOCTL_SMALL_DATA = 64, IOCTL_DATA = 512, IOCTL_ROUTES = 8 };

/* One call, or with cmd == 0 the note that owner is new. */
struct ioctl_event {
	struct event head;
	__u64 arg;
	__u64 in;
	__u64 ns;
	__s64 ret;
	__u32 cmd;
	__u32 fd;
	__u32 owner;
	__u16 kind;
	__u16 vcpu;
	__u32 len; /* bytes of data: what arg points to, after the call */
	__u32 pad;
	unsigned char data[];
};

#endif
