/* SPDX-License-Identifier: GPL-2.0-only */
#include <string.h>

#include "code.h"

enum { OPERAND_SIZE = 0x66, ADDRESS_SIZE = 0x67 };

void code__bytes(struct code *c, const uint8_t *bytes, size_t len)
{
	if (len > c->size - c->len) {
		c->overflow = true;
		return;
	}
	memcpy(c->buf + c->len, bytes, len);
	c->len += len;
}

static void u32(struct code *c, uint32_t value)
{
	code__raw(c, value, value >> 8, value >> 16, value >> 24);
}

/* Real mode needs a prefix for 32-bit operands and one for 32-bit addresses. */
static void prefix(struct code *c, uint8_t byte)
{
	if (c->mode == MODE_REAL)
		code__raw(c, byte);
}

void code__mov(struct code *c, enum reg reg, uint32_t value)
{
	prefix(c, OPERAND_SIZE);
	code__raw(c, 0xb8 + reg);
	u32(c, value);
}

void code__mov_edi_addr(struct code *c, uint64_t addr)
{
	if (addr >> 32 == 0) {
		code__mov(c, EDI, addr);
		return;
	}
	code__raw(c, 0x48, 0xb8 + EDI);
	u32(c, addr);
	u32(c, addr >> 32);
}

void code__add_edi(struct code *c, uint32_t value)
{
	prefix(c, OPERAND_SIZE);
	code__raw(c, 0x81, 0xc7);
	u32(c, value);
}

void code__mov_edi_esi(struct code *c)
{
	prefix(c, OPERAND_SIZE);
	code__raw(c, 0x89, 0xf7);
}

void code__mov_esi_edi(struct code *c)
{
	prefix(c, OPERAND_SIZE);
	code__raw(c, 0x89, 0xfe);
}

void code__mov_ebx_eax(struct code *c)
{
	prefix(c, OPERAND_SIZE);
	code__raw(c, 0x89, 0xc3);
}

void code__sub_eax_ebx(struct code *c)
{
	prefix(c, OPERAND_SIZE);
	code__raw(c, 0x29, 0xd8);
}

void code__cmp_eax(struct code *c, uint32_t value)
{
	prefix(c, OPERAND_SIZE);
	code__raw(c, 0x3d);
	u32(c, value);
}

void code__load_al(struct code *c)
{
	prefix(c, ADDRESS_SIZE);
	code__raw(c, 0x8a, 0x07);
}

void code__store_al(struct code *c)
{
	prefix(c, ADDRESS_SIZE);
	code__raw(c, 0x88, 0x07);
}

void code__inc_mem(struct code *c)
{
	prefix(c, ADDRESS_SIZE);
	prefix(c, OPERAND_SIZE);
	code__raw(c, 0xff, 0x07);
}

void code__set_mem(struct code *c, uint8_t offset, uint32_t value)
{
	prefix(c, ADDRESS_SIZE);
	prefix(c, OPERAND_SIZE);
	code__raw(c, 0xc7, 0x47, offset);
	u32(c, value);
}

void code__load_eax(struct code *c)
{
	prefix(c, ADDRESS_SIZE);
	prefix(c, OPERAND_SIZE);
	code__raw(c, 0x8b, 0x07);
}

void code__cmp_eax_ebx(struct code *c)
{
	prefix(c, OPERAND_SIZE);
	code__raw(c, 0x39, 0xd8);
}

void code__out_eax(struct code *c, uint8_t port)
{
	prefix(c, OPERAND_SIZE);
	code__raw(c, 0xe7, port);
}

size_t code__label(const struct code *c)
{
	return c->len;
}

/* Every loop is far shorter than the 128 bytes that a short jump reaches. */
static void jump(struct code *c, uint8_t opcode, size_t label)
{
	code__raw(c, opcode, (uint8_t)(label - (c->len + 2)));
}

void code__jb(struct code *c, size_t label)
{
	jump(c, 0x72, label);
}

void code__je(struct code *c, size_t label)
{
	jump(c, 0x74, label);
}

void code__loop_ecx(struct code *c, size_t label)
{
	prefix(c, OPERAND_SIZE);
	code__raw(c, 0xff, 0xc8 + ECX);
	jump(c, 0x75, label);
}

void code__jump_to_start(struct code *c)
{
	code__raw(c, 0xe9);
	u32(c, -(uint32_t)(c->len + 4));
}

void code__times_at(struct code *c, uint64_t addr)
{
	code__raw(c, 0x49, 0xbc);
	u32(c, addr);
	u32(c, addr >> 32);
}

/* r14, r15 = rax, rdx; edx:eax = the counter */
static void read_counter(struct code *c)
{
	code__raw(c, 0x49, 0x89, 0xc6, 0x49, 0x89, 0xd7, 0x0f, 0x31);
}

/* rax, rdx = r14, r15 */
static void restore(struct code *c)
{
	code__raw(c, 0x4c, 0x89, 0xf0, 0x4c, 0x89, 0xfa);
}

void code__turn(struct code *c)
{
	if (!c->timed)
		return;
	read_counter(c);
	code__raw(c, 0x41, 0x89, 0xc5); /* r13d = eax */
	restore(c);
}

/* The word at r12 = what the counter grew by; r12 += 4. */
static void end_turn(struct code *c)
{
	if (!c->timed)
		return;
	read_counter(c);
	code__raw(c, 0x44, 0x29, 0xe8, 0x41, 0x89, 0x04, 0x24, 0x49, 0x83, 0xc4, 0x04);
	restore(c);
}

void code__loop_esi(struct code *c, size_t label)
{
	end_turn(c);
	prefix(c, OPERAND_SIZE);
	code__raw(c, 0xff, 0xc8 + ESI);
	jump(c, 0x75, label);
}
