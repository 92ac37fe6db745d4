/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest that has a guest, on AMD: L1 is the vCPU's code, L2 a few instructions beside it in
 * the same memory, with the same page tables. No operating system is in either.
 */
#include <stdlib.h>
#include <string.h>

#include "code.h"

enum {
	EFER_LME = 1 << 8,
	EFER_LMA = 1 << 10,
	EFER_SVME = 1 << 12,
	MSR_EFER = 0xc0000080,
	MSR_VM_HSAVE_PA = 0xc0010117,
	CPUID_SVM = 1 << 2, /* of ecx of leaf 0x80000001 */
	MAX_CPUID = 256,
};

/* The VMCB, by the processor's manual: offsets, and bits of the two words of intercepts. */
enum {
	VMCB_INTERCEPTS = 0x00c,
	VMCB_INTERCEPTS2 = 0x010,
	VMCB_ASID = 0x058,
	VMCB_EXIT_CODE = 0x070,
	VMCB_ES = 0x400,
	VMCB_CS = 0x410,
	VMCB_SS = 0x420,
	VMCB_DS = 0x430,
	VMCB_EFER = 0x4d0,
	VMCB_CR4 = 0x548,
	VMCB_CR3 = 0x550,
	VMCB_CR0 = 0x558,
	VMCB_DR7 = 0x560,
	VMCB_DR6 = 0x568,
	VMCB_RFLAGS = 0x570,
	VMCB_RIP = 0x578,
	INTERCEPT_CPUID = 1 << 18,
	INTERCEPT_SHUTDOWN = 1U << 31,
	INTERCEPT2_VMRUN = 1 << 0,
	INTERCEPT2_VMMCALL = 1 << 1,
	EXIT_CPUID = 0x72,
	CODE_64 = 0xa9b,
	DATA = 0xc93,
};

static uint64_t vmcb_gpa(const struct vcpu *vcpu)
{
	return GPA_NESTED + (uint64_t)vcpu->id * NESTED_AREA;
}

static void set32(uint8_t *vmcb, size_t at, uint32_t value)
{
	memcpy(vmcb + at, &value, sizeof(value));
}

static void set64(uint8_t *vmcb, size_t at, uint64_t value)
{
	memcpy(vmcb + at, &value, sizeof(value));
}

static void set_segment(uint8_t *vmcb, size_t at, uint16_t selector, uint16_t attributes)
{
	set32(vmcb, at, selector | (uint32_t)attributes << 16);
	set32(vmcb, at + 4, 0xffffffff);
}

/* All that L1's code does not write itself: L2 is as L1 was at its begin (cpu.c). */
static void write_vmcb(struct vcpu *vcpu)
{
	uint8_t *vmcb = vm__ram(vcpu->vm, vmcb_gpa(vcpu));

	memset(vmcb, 0, PAGE);
	set32(vmcb, VMCB_INTERCEPTS2, INTERCEPT2_VMRUN | INTERCEPT2_VMMCALL);
	set32(vmcb, VMCB_ASID, 1);
	set_segment(vmcb, VMCB_CS, 0x8, CODE_64);
	set_segment(vmcb, VMCB_DS, 0x10, DATA);
	set_segment(vmcb, VMCB_ES, 0x10, DATA);
	set_segment(vmcb, VMCB_SS, 0x10, DATA);
	set64(vmcb, VMCB_EFER, EFER_LME | EFER_LMA | EFER_SVME);
	set64(vmcb, VMCB_CR0, 0x80010033);
	set64(vmcb, VMCB_CR3, GPA_PML4);
	set64(vmcb, VMCB_CR4, 0x20);
	set64(vmcb, VMCB_DR6, 0xffff0ff0);
	set64(vmcb, VMCB_DR7, 0x400);
	set64(vmcb, VMCB_RFLAGS, 2);
}

static void emit_wrmsr(struct code *c, uint32_t msr, uint32_t value)
{
	code__mov(c, ECX, msr);
	code__mov(c, EAX, value);
	code__mov(c, EDX, 0);
	code__raw(c, 0x0f, 0x30);
}

static void emit_u32(struct code *c, uint32_t value)
{
	code__raw(c, value, value >> 8, value >> 16, value >> 24);
}

/* K CPUIDs and a VMMCALL; L1's code jumps over it. Where it is. */
static uint64_t emit_l2(struct code *c, const struct vcpu *vcpu, uint32_t cpuids)
{
	size_t begin, loop;

	code__raw(c, 0xeb, 0); /* jmp to the end */
	begin = code__label(c);
	if (cpuids) {
		code__mov(c, EDI, cpuids);
		loop = code__label(c);
		code__raw(c, 0x31, 0xc0, 0x31, 0xc9, 0x0f, 0xa2); /* eax = ecx = 0; cpuid */
		code__raw(c, 0xff, 0xcf, 0x75,
			  (uint8_t)(loop - (code__label(c) + 4))); /* dec edi; jnz */
	}
	code__raw(c, 0x0f, 0x01, 0xd9); /* vmmcall */
	if (!c->overflow)
		c->buf[begin - 1] = code__label(c) - begin;
	return vcpu__code_gpa(vcpu) + begin;
}

/* The loop of L1: L2 from its begin; with cpuid, CPUIDs are L1's, too. */
static void emit_nested(struct code *c, struct vcpu *vcpu, const struct op_use *use, bool cpuid)
{
	uint32_t vmcb = vmcb_gpa(vcpu);
	size_t loop, again;
	uint64_t rip;

	write_vmcb(vcpu);
	rip = emit_l2(c, vcpu, use->arg);
	code__mov(c, ECX, MSR_EFER);
	code__raw(c, 0x0f, 0x32, 0x80, 0xcc, EFER_SVME >> 8, 0x0f, 0x30); /* rdmsr; or ah; wrmsr */
	emit_wrmsr(c, MSR_VM_HSAVE_PA, vmcb + PAGE);
	code__mov(c, ESI, use->count);
	loop = code__label(c);
	code__turn(c);
	code__mov(c, EAX, vmcb);
	code__raw(c, 0xc7, 0x40, VMCB_INTERCEPTS); /* mov dword [rax + ..] */
	emit_u32(c, INTERCEPT_SHUTDOWN | (cpuid ? INTERCEPT_CPUID : 0));
	code__raw(c, 0x48, 0xc7, 0x80); /* mov qword [rax + ..] */
	emit_u32(c, VMCB_RIP);
	emit_u32(c, rip);
	again = code__label(c);
	code__raw(c, 0x0f, 0x01, 0xd8); /* vmrun; rax is what it was when L2 has left */
	if (cpuid) {
		code__raw(c, 0x81, 0x78, VMCB_EXIT_CODE); /* cmp dword [rax + ..] */
		emit_u32(c, EXIT_CPUID);
		code__raw(c, 0x75, 10, 0x48, 0x83, 0x80); /* jne + 10; add qword [rax + ..], 2 */
		emit_u32(c, VMCB_RIP);
		code__raw(c, 2, 0xeb, (uint8_t)(again - (code__label(c) + 3))); /* jmp */
	}
	code__loop_esi(c, loop);
	code__raw(c, 0x0f, 0x01, 0xdc); /* stgi: an exit of L2 has cleared it */
}

void nested__emit(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	emit_nested(c, vcpu, use, false);
}

void nested__emit_cpuid(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	emit_nested(c, vcpu, use, true);
}

int nested__check(struct vcpu *vcpu, const struct op_use *use)
{
	struct kvm_cpuid2 *cpuid;
	bool svm = false;

	(void)use;
	cpuid = calloc(1, sizeof(*cpuid) + MAX_CPUID * sizeof(cpuid->entries[0]));
	if (!cpuid)
		return vm__failed(vcpu->vm, "CPUID table");
	cpuid->nent = MAX_CPUID;
	if (!ioctl(vcpu->vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid))
		for (unsigned int i = 0; i < cpuid->nent; i++)
			if (cpuid->entries[i].function == 0x80000001)
				svm = cpuid->entries[i].ecx & CPUID_SVM;
	free(cpuid);
	if (svm)
		return 0;
	fprintf(stderr, "kvm_guest: this KVM gives its guests no SVM\n");
	return -1;
}
