/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef KVM_WATCHER_EXIT_DETAIL_KINDS_H
#define KVM_WATCHER_EXIT_DETAIL_KINDS_H

/*
 * What a guest asked for when it left. The kind is the low byte of a type, which
 * says more than that: the direction, and what stands behind DETAIL_MORE.
 */
enum exit_detail_kind {
	DETAIL_NONE,
	DETAIL_MSR,	  /* value: its number */
	DETAIL_PIO,	  /* the port; more: bytes */
	DETAIL_MMIO,	  /* the guest-physical address */
	DETAIL_CPUID,	  /* the leaf, above it the subleaf where it has some */
	DETAIL_CR,	  /* the register */
	DETAIL_DR,	  /* the register */
	DETAIL_EXCEPTION, /* the vector */
	DETAIL_HYPERCALL, /* the number; more: enum hypercall_abi */
	DETAIL_OTHERS,	  /* those that found no place of their own */
};

enum { DETAIL_KIND = 0xff, DETAIL_WRITE = 1 << 8, DETAIL_MORE = 16 };

#endif
