/* SPDX-License-Identifier: GPL-2.0-only */
/* KVM's ioctl commands: their names, and what their arguments mean. */
#ifndef KVM_WATCHER_IOCTLS_H
#define KVM_WATCHER_IOCTLS_H

#include <stddef.h>
#include <stdint.h>

enum { IOCTL_NAME_LEN = 40 };

struct json_object;

/* One call as it was seen. */
struct ioctl_seen {
	uint32_t cmd;
	uint64_t arg;
	uint64_t in; /* KVM_IRQ_LINE_STATUS: its structure before the call */
	int64_t ret;
	const unsigned char *data; /* what arg points to, after the call */
	size_t len;
};

/* Both write into buf and return it: "KVM_RUN", "UNKNOWN(0xae00)"; "IRQCHIP", "UNKNOWN(9999)". */
const char *ioctl__name(uint32_t cmd, char *buf, size_t size);
const char *kvm_cap__name(uint32_t cap, char *buf, size_t size);

/*
 * The argument in words: an object to be freed, empty for a command of which
 * nothing is decoded. What only a successful call writes is left out after a
 * failure.
 */
struct json_object *ioctl__decode(const struct ioctl_seen *seen);

#endif
