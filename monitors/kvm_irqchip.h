/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What kvm_irqchip.bpf.c records and kvm_irqchip.c reads. */
#ifndef KVM_WATCHER_KVM_IRQCHIP_H
#define KVM_WATCHER_KVM_IRQCHIP_H

#include "../bpf/records.h"

/* KVM_IRQCHIP_PIC_MASTER, _SLAVE, _IOAPIC of linux/kvm.h, and messages. */
enum irq_chip { CHIP_PIC_MASTER, CHIP_PIC_SLAVE, CHIP_IOAPIC, CHIP_MSI };

/* What a level is that nobody told, and a message that may have been merged. */
enum { FLAG_NO, FLAG_YES, FLAG_UNKNOWN };

/* The pin of what is beyond a VM's share of the records. */
enum { PIN_OTHER = 0xffff };

/*
 * What is counted together: a pin as it is set up, or a message. where: the
 * redirection entry without the bits that change by themselves, or the address.
 */
struct irqchip_key {
	__u64 kvm; /* 0: the VM is not known */
	__u64 where;
	__u64 data;  /* of a message */
	__u32 owner; /* kvm->userspace_pid: VMs use addresses again */
	__u16 chip;
	__u16 pin;
};

/* Any CPU counts. */
struct irqchip_record {
	struct irqchip_key key;
	__u64 in_use;
	__u64 count;
	__u64 coalesced;
	__u64 masked;
	__u64 lowered;
	struct timing delay;
};

struct irqchip_event {
	struct event head;
	__u64 entry; /* the I/O APIC's redirection entry, or the message's address */
	__u64 data;
	__u64 delay_ns; /* ~0: not known */
	__u32 record;	/* 0: none */
	__u16 chip;
	__u16 pin;
	__u8 level; /* PIC: triggered by level */
	__u8 masked;
	__u8 coalesced; /* FLAG_... */
	__u8 asserted;	/* FLAG_... */
	__u32 pad;
};

#endif
