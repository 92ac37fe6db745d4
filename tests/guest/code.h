/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A tiny assembler. All arithmetic is 32 bits wide in both modes; real mode
 * reaches 4 GiB because its data segments are set up with that limit.
 */
#ifndef KVM_GUEST_CODE_H
#define KVM_GUEST_CODE_H

#include "guest.h"

enum reg { EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI };

struct code {
	uint8_t *buf;
	size_t len;
	size_t size;
	enum mode mode;
	bool overflow;
	bool timed;
};

/* Raw instruction bytes that are the same in both modes. */
#define code__raw(c, ...) \
	code__bytes(c, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

void code__bytes(struct code *c, const uint8_t *bytes, size_t len);
void code__mov(struct code *c, enum reg reg, uint32_t value);
/* edi (rdi) = an address; above 4 GiB in long mode only. */
void code__mov_edi_addr(struct code *c, uint64_t addr);
void code__add_edi(struct code *c, uint32_t value);
void code__mov_edi_esi(struct code *c);
void code__mov_esi_edi(struct code *c);
void code__mov_ebx_eax(struct code *c);
void code__sub_eax_ebx(struct code *c);
void code__cmp_eax(struct code *c, uint32_t value);
void code__load_al(struct code *c);				    /* al = byte at edi */
void code__store_al(struct code *c);				    /* byte at edi = al */
void code__inc_mem(struct code *c);				    /* ++ the 32-bit word at edi */
void code__set_mem(struct code *c, uint8_t offset, uint32_t value); /* word at edi + offset */
void code__load_eax(struct code *c);				    /* eax = the word at edi */
void code__cmp_eax_ebx(struct code *c);
void code__je(struct code *c, size_t label);
void code__loop_ecx(struct code *c, size_t label);
void code__out_eax(struct code *c, uint8_t port);

/* Where the next instruction will be. */
size_t code__label(const struct code *c);
void code__jb(struct code *c, size_t label);
/* jmp to the first instruction; long mode */
void code__jump_to_start(struct code *c);
/* Where the times of timed loops go: r12 = addr, and r13 to r15 are taken from then on. */
void code__times_at(struct code *c, uint64_t addr);
/* Begins a turn: reads the time stamp counter, if the code is timed. */
void code__turn(struct code *c);
/* --esi, and back to label unless it became 0: the end of each op's loop. */
void code__loop_esi(struct code *c, size_t label);

#endif
