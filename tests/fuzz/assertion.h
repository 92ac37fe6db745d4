/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_WATCHER_FUZZ_ASSERTION_H
#define KVM_WATCHER_FUZZ_ASSERTION_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
