/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_WATCHER_FUZZ_REQUEST_H
#define KVM_WATCHER_FUZZ_REQUEST_H

#include <stddef.h>
#include <stdint.h>

/* The first byte is not 'C': a client's bytes; else a file of options. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
