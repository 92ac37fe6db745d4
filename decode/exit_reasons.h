/* SPDX-License-Identifier: GPL-2.0-only */
/* Names of why a guest left: to KVM, and from KVM to user space. */
#ifndef KVM_WATCHER_EXIT_REASONS_H
#define KVM_WATCHER_EXIT_REASONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* isa of the kvm_exit event. Anything else has numbers of its own. */
enum { EXIT_ISA_VMX = 1, EXIT_ISA_SVM = 2 };

enum { VMX_REASON_HLT = 12, SVM_REASON_HLT = 0x78 };

/* VMX: the reason proper, and the bit of an entry that failed. */
#define VMX_REASON_MASK 0xffffU
#define VMX_REASON_FAILED_VMENTRY 0x80000000U

/* Long enough for every name, with flags. */
enum { EXIT_REASON_NAME_LEN = 48 };

/*
 * The name as the kernel's trace output prints it: the basic reason, with
 * " FAILED_VMENTRY" (and other bits in hex) behind it on VMX; npf, io, msr, ...
 * on SVM. Unknown ones are UNKNOWN(0x..). Returns buf, always NUL-terminated
 * unless size is 0.
 */
const char *exit_reason__name(unsigned int isa, uint64_t code, char *buf, size_t size);

/* Kernels differ in the width of SVM's: negative codes come with and without sign. */
uint64_t svm_reason__code(uint64_t code);

/*
 * What kind of thing the exit was for, in one word for both vendors: io, msr,
 * halt, ... and "other". NULL: a reason that this version does not know.
 */
const char *exit_reason__class(unsigned int isa, uint64_t code);

/* The guest executed HLT: the time until it runs again is its own, not cost. */
bool exit_reason__is_halt(unsigned int isa, uint64_t code);

/* KVM_EXIT_* of kvm_run.exit_reason, without the prefix. */
const char *userspace_reason__name(uint32_t code, char *buf, size_t size);

/* The class of that; the words are those of exit_reason__class(). */
const char *userspace_reason__class(uint32_t code);

#endif
