/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A kernel that does not run here, as far as files tell of it: the types (BTF) of vmlinux and of
 * KVM's modules, and the symbols of modules whose files were given. While it is open, what
 * host.h says of types and vendors is said of it.
 */
#ifndef KVM_WATCHER_OTHER_KERNEL_H
#define KVM_WATCHER_OTHER_KERNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "hook_kind.h"

struct btf;

/* What its files tell of a thing. */
enum knowledge { IS_THERE, IS_NOT_THERE, IS_NOT_KNOWN };

/*
 * "vmlinux,kvm,kvm_intel", paths of BTF or of ELF files that have it, the kernel's own first;
 * or a directory with files of such names, as /sys/kernel/btf. Modules are known by the
 * files' names. 0, or -errno and what is wrong: a sentence without its end.
 */
int other_kernel__open(const char *files, char *wrong, size_t size);
void other_kernel__close(void);
bool other_kernel__is_open(void);

/* Its own types. */
const struct btf *other_kernel__types(void);
/* The types of one of its parts, "vmlinux" or a module, were given. */
bool other_kernel__has_btf(const char *part);
/* Its KVM is in the files: a part of vmlinux, or its module and one vendor's at least. */
bool other_kernel__has_kvm(void);
/* The vendors (enum hook_vendor) whose part of KVM is in the files; 0: none that hooks are for. */
unsigned int other_kernel__vendors(void);

/* Does it have the target of such a hook? *why: the cause where it has not, or is not known to. */
enum knowledge other_kernel__has(enum hook_kind kind, const char *target, const char **why);
/* Can it attach programs of that kind at all? */
bool other_kernel__has_kind(enum hook_kind kind);
/* NULL, or what it lacks that every monitor needs. */
const char *other_kernel__lacks(void);

#endif
