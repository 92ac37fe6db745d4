// SPDX-License-Identifier: GPL-2.0-only
#include "protobuf.h"

#include <string.h>

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2 };

enum { MAX_VARINT = 10 };

/* Seven bits a byte, the lowest first; all but the last have the eighth. Returns its length. */
static size_t write_varint(unsigned char bytes[MAX_VARINT], uint64_t value)
{
	size_t len = 0;

	for (; value >= 0x80; value >>= 7)
		bytes[len++] = (unsigned char)(value | 0x80);
	bytes[len++] = (unsigned char)value;
	return len;
}

static void add_varint(struct buf *buf, uint64_t value)
{
	unsigned char bytes[MAX_VARINT];

	buf__add(buf, bytes, write_varint(bytes, value));
}

static void add_tag(struct buf *buf, unsigned int field, enum wire_type type)
{
	add_varint(buf, field << 3 | type);
}

void proto__number(struct buf *buf, unsigned int field, uint64_t value)
{
	add_tag(buf, field, WIRE_VARINT);
	add_varint(buf, value);
}

void proto__signed(struct buf *buf, unsigned int field, int64_t value)
{
	proto__number(buf, field, (uint64_t)value);
}

void proto__double(struct buf *buf, unsigned int field, double value)
{
	unsigned char bytes[8];
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	for (size_t i = 0; i < sizeof(bytes); i++, bits >>= 8)
		bytes[i] = (unsigned char)bits;
	add_tag(buf, field, WIRE_64);
	buf__add(buf, bytes, sizeof(bytes));
}

void proto__string(struct buf *buf, unsigned int field, const char *s)
{
	size_t begin = proto__begin(buf, field), from = buf->len;

	buf__puts(buf, s);
	buf__neutralise(buf, from);
	proto__end(buf, begin);
}

/* Nearly all messages are of less than 128 bytes: their length takes one. */
size_t proto__begin(struct buf *buf, unsigned int field)
{
	add_tag(buf, field, WIRE_BYTES);
	buf__putc(buf, 0);
	return buf->len;
}

void proto__end(struct buf *buf, size_t begin)
{
	static const unsigned char room[MAX_VARINT];
	unsigned char bytes[MAX_VARINT];
	size_t size, len;

	if (buf->failed)
		return;
	size = buf->len - begin;
	len = write_varint(bytes, size);
	buf__add(buf, room, len - 1);
	if (buf->failed)
		return;
	memmove(buf->data + begin + len - 1, buf->data + begin, size);
	memcpy(buf->data + begin - 1, bytes, len);
}
