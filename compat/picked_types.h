/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's types are some hundred thousand, and libbpf looks at each of them for
 * each type that a program reads a field of: that was nine tenths of what a start
 * costs in user space. Here those that any program names are picked once.
 */
#ifndef KVM_WATCHER_PICKED_TYPES_H
#define KVM_WATCHER_PICKED_TYPES_H

/*
 * A file with these types, of the kernel and of the kvm modules that are loaded now, for
 * .btf_custom_path. It is made again when others are loaded, and is valid until then.
 * Reads /sys/kernel/btf/, which needs no capability. NULL and errno where it can't be
 * made, as where the kernel has no BTF.
 */
const char *picked_types__path(void);

#endif
