/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writing Protocol Buffers: fields, one after the other. A message within one is what is added
 * between proto__begin() and proto__end().
 */
#ifndef KVM_WATCHER_PROTOBUF_H
#define KVM_WATCHER_PROTOBUF_H

#include "format.h"

void proto__number(struct buf *buf, unsigned int field, uint64_t value);
void proto__signed(struct buf *buf, unsigned int field, int64_t value);
void proto__double(struct buf *buf, unsigned int field, double value);
/* Neutralised, as tables have it: always UTF-8. */
void proto__string(struct buf *buf, unsigned int field, const char *s);

/* Returns what proto__end() wants. */
size_t proto__begin(struct buf *buf, unsigned int field);
void proto__end(struct buf *buf, size_t begin);

#endif
