/* SPDX-License-Identifier: GPL-2.0-only */
/* Hypercalls of the three kinds of guest: their names and their arguments. */
#ifndef KVM_WATCHER_HYPERCALLS_H
#define KVM_WATCHER_HYPERCALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/types.h>

#include "hypercall_abi.h"

enum { HYPERCALL_NAME_LEN = 48 };

struct json_object;

/* "kvm", "hyperv" or "xen" */
const char *hypercall__abi(uint32_t abi);

/* Writes into buf and returns it: "KICK_CPU", or "UNKNOWN(1000)". */
const char *hypercall__name(uint32_t abi, uint64_t nr, char *buf, size_t size);

/* How many arguments an ABI's hypercalls have. */
size_t hypercall__nr_args(uint32_t abi);

/*
 * What the arguments mean: an object to be freed, empty where there is nothing
 * to say. long_mode: the caller's registers have 64 bits.
 */
struct json_object *hypercall__decode(uint32_t abi, uint64_t nr, const __u64 args[HYPERCALL_ARGS],
				      bool long_mode);

#endif
