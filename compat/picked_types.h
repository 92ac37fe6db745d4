/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's types are some hundred thousand, and libbpf looks at each of them for
 * each type that a program reads a field of: that was nine tenths of what a start
 * costs in user space. Here those that any program names are picked once.
 */
#ifndef KVM_WATCHER_PICKED_TYPES_H
#define KVM_WATCHER_PICKED_TYPES_H

#include <stdbool.h>

/*
 * For .btf_custom_path, when an object is opened that is to be loaded: a file with these
 * types, of the kernel and of the kvm modules that are loaded now. It is made again when
 * others are loaded, and is valid until then. Reads /sys/kernel/btf/, which needs no
 * capability. Where it can't be made: NULL, libbpf finds all by itself; or the kernel's
 * own file where libbpf can't see the types of modules, as it then gives up on a whole
 * object for one type that this kernel does not have.
 */
const char *picked_types__path(void);
/* Programs can cast: what the last path has was picked, with the numbers of types to cast to. */
bool picked_types__can_cast(void);

#endif
