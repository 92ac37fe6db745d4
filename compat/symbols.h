/* SPDX-License-Identifier: GPL-2.0-only */
/* Where functions of KVM's modules are, for kernels that take long to find one by its name. */
#ifndef KVM_WATCHER_SYMBOLS_H
#define KVM_WATCHER_SYMBOLS_H

#include <stdint.h>

/*
 * The address of a function of one of KVM's modules, from /proc/kallsyms, which is read
 * once for each time that the modules are loaded. 0: the kernel is to look for the name,
 * because it does so quickly, has no such function in a module, or hides its addresses.
 */
uint64_t symbols__address(const char *function);

#endif
