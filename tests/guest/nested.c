/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest that has a guest: L1 is the vCPU's code, L2 a few instructions beside it in the same
 * memory, with the same page tables. No operating system is in either.
 */
#include <stdlib.h>
#include <string.h>

#include "code.h"

enum {
	CR4_PAE = 1 << 5,
	CR4_VMXE = 1 << 13,
	EFER_LME = 1 << 8,
	EFER_LMA = 1 << 10,
	EFER_SVME = 1 << 12,
	CODE_SELECTOR = 0x8,
	DATA_SELECTOR = 0x10,
	TSS_SELECTOR = 0x18,
	MSR_APIC_BASE = 0x1b,
	MSR_FEATURE_CONTROL = 0x3a,
	MSR_EFER = 0xc0000080,
	MSR_VM_HSAVE_PA = 0xc0010117,
	CPUID_VMX = 1 << 5, /* of ecx of leaf 1 */
	CPUID_SVM = 1 << 2, /* of ecx of leaf 0x80000001 */
	MAX_CPUID = 256,
};

#define CR0 0x80010033U /* PG, WP, NE, ET, MP, PE */

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

/* Three pages: of SVM a VMCB and the host's state; of VMX its own, a VMCS and a bitmap of MSRs. */
static uint32_t area_gpa(const struct vcpu *vcpu)
{
	return GPA_NESTED + vcpu->id * NESTED_AREA;
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
	uint8_t *vmcb = vm__ram(vcpu->vm, area_gpa(vcpu));

	memset(vmcb, 0, PAGE);
	set32(vmcb, VMCB_INTERCEPTS2, INTERCEPT2_VMRUN | INTERCEPT2_VMMCALL);
	set32(vmcb, VMCB_ASID, 1);
	set_segment(vmcb, VMCB_CS, CODE_SELECTOR, CODE_64);
	set_segment(vmcb, VMCB_DS, DATA_SELECTOR, DATA);
	set_segment(vmcb, VMCB_ES, DATA_SELECTOR, DATA);
	set_segment(vmcb, VMCB_SS, DATA_SELECTOR, DATA);
	set64(vmcb, VMCB_EFER, EFER_LME | EFER_LMA | EFER_SVME);
	set64(vmcb, VMCB_CR0, CR0);
	set64(vmcb, VMCB_CR3, GPA_PML4);
	set64(vmcb, VMCB_CR4, CR4_PAE);
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

/* K CPUIDs, or RDMSRs that L1 does not want, and a hypercall; L1 jumps over it. Where it is. */
static uint32_t emit_l2(struct code *c, const struct vcpu *vcpu, uint32_t times, bool cpuid)
{
	size_t begin, loop;

	code__raw(c, 0xeb, 0); /* jmp to the end */
	begin = code__label(c);
	if (times) {
		code__mov(c, EDI, times);
		loop = code__label(c);
		code__mov(c, EAX, 0);
		code__mov(c, ECX, cpuid ? 0 : MSR_APIC_BASE);
		code__raw(c, 0x0f, cpuid ? 0xa2 : 0x32);
		code__raw(c, 0xff, 0xcf, 0x75,
			  (uint8_t)(loop - (code__label(c) + 4))); /* dec edi; jnz */
	}
	code__raw(c, 0x0f, 0x01, host_is_amd() ? 0xd9 : 0xc1);
	if (!c->overflow)
		c->buf[begin - 1] = code__label(c) - begin;
	return vcpu__code_gpa(vcpu) + begin;
}

/* The loop of L1: L2 from its begin; with cpuid it goes on after each CPUID, which is L1's. */
static void emit_svm(struct code *c, struct vcpu *vcpu, const struct op_use *use, bool cpuid,
		     uint32_t rip)
{
	uint32_t vmcb = area_gpa(vcpu);
	size_t loop, again;

	write_vmcb(vcpu);
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

/* Fields of a VMCS, by the processor's manual: those that are not 0 here. */
enum {
	VMCS_GUEST_ES = 0x800, /* cs, ss, ds, .. follow, two apart, as in the next ones */
	VMCS_GUEST_TR = 0x80e,
	VMCS_HOST_ES = 0xc00,
	VMCS_HOST_TR = 0xc0c,
	VMCS_MSR_BITMAP = 0x2004,
	VMCS_LINK = 0x2800,
	VMCS_PIN = 0x4000,
	VMCS_PROC = 0x4002,
	VMCS_EXIT = 0x400c,
	VMCS_ENTRY = 0x4012,
	VMCS_REASON = 0x4402,
	VMCS_GUEST_ES_LIMIT = 0x4800,
	VMCS_GUEST_TR_LIMIT = 0x480e,
	VMCS_GUEST_ES_RIGHTS = 0x4814,
	VMCS_GUEST_FS_RIGHTS = 0x481c,
	VMCS_GUEST_TR_RIGHTS = 0x4822,
	VMCS_GUEST_CR0 = 0x6800,
	VMCS_GUEST_CR3 = 0x6802,
	VMCS_GUEST_CR4 = 0x6804,
	VMCS_GUEST_DR7 = 0x681a,
	VMCS_GUEST_RIP = 0x681e,
	VMCS_GUEST_RFLAGS = 0x6820,
	VMCS_HOST_CR0 = 0x6c00,
	VMCS_HOST_CR3 = 0x6c02,
	VMCS_HOST_CR4 = 0x6c04,
	VMCS_HOST_RSP = 0x6c14,
	VMCS_HOST_RIP = 0x6c16,
	/* The least of each kind of controls; TRUE_: without those that once had to be set. */
	MSR_VMX_BASIC = 0x480,
	MSR_TRUE_PIN = 0x48d,
	MSR_TRUE_PROC = 0x48e,
	MSR_TRUE_EXIT = 0x48f,
	MSR_TRUE_ENTRY = 0x490,
	PROC_MSR_BITMAP = 1 << 28,
	LONG_MODE = 1 << 9, /* of the controls of exits L1's, of entries L2's */
	RIGHTS_CODE = 0xa09b,
	RIGHTS_DATA = 0xc093,
	RIGHTS_TSS = 0x8b,
	RIGHTS_NONE = 0x10000,
	REASON_CPUID = 10,
};

/* Field eax = value; KVM extends it with its sign where the field is wider. */
static void emit_vmwrite(struct code *c, uint32_t field, uint32_t value)
{
	code__mov(c, EAX, field);
	code__raw(c, 0x48, 0xc7, 0xc2); /* mov rdx, .. */
	emit_u32(c, value);
	code__raw(c, 0x0f, 0x79, 0xc2);
}

/* edx = field eax */
static void emit_vmread(struct code *c, uint32_t field)
{
	code__mov(c, EAX, field);
	code__raw(c, 0x0f, 0x78, 0xc2);
}

/* An instruction of one operand, the address that stands on the stack. */
static void emit_of_address(struct code *c, uint32_t address, const uint8_t *insn, size_t len)
{
	code__raw(c, 0x68); /* push */
	emit_u32(c, address);
	code__bytes(c, insn, len);
	code__raw(c, 0x58); /* pop rax */
}

#define EMIT_OF_ADDRESS(_c, _address, ...)                              \
	emit_of_address(_c, _address, (const uint8_t[]){ __VA_ARGS__ }, \
			sizeof((const uint8_t[]){ __VA_ARGS__ }))

static uint32_t least(const struct vcpu *vcpu, uint32_t msr)
{
	return vcpu__get_msr(vcpu, msr);
}

/* KVM makes a VMCS of what is in its page: what is not written here is 0. */
static void emit_vmcs(struct code *c, struct vcpu *vcpu)
{
	emit_vmwrite(c, VMCS_PIN, least(vcpu, MSR_TRUE_PIN));
	emit_vmwrite(c, VMCS_PROC, least(vcpu, MSR_TRUE_PROC) | PROC_MSR_BITMAP);
	emit_vmwrite(c, VMCS_EXIT, least(vcpu, MSR_TRUE_EXIT) | LONG_MODE);
	emit_vmwrite(c, VMCS_ENTRY, least(vcpu, MSR_TRUE_ENTRY) | LONG_MODE);
	emit_vmwrite(c, VMCS_MSR_BITMAP, area_gpa(vcpu) + 2 * PAGE);
	emit_vmwrite(c, VMCS_LINK, ~0U);
	for (unsigned int i = 0; i < 4; i++) { /* es, cs, ss, ds */
		emit_vmwrite(c, VMCS_GUEST_ES + 2 * i, i == 1 ? CODE_SELECTOR : DATA_SELECTOR);
		emit_vmwrite(c, VMCS_HOST_ES + 2 * i, i == 1 ? CODE_SELECTOR : DATA_SELECTOR);
		emit_vmwrite(c, VMCS_GUEST_ES_LIMIT + 2 * i, ~0U);
		emit_vmwrite(c, VMCS_GUEST_ES_RIGHTS + 2 * i, i == 1 ? RIGHTS_CODE : RIGHTS_DATA);
	}
	for (unsigned int i = 0; i < 3; i++) /* fs, gs, ldtr */
		emit_vmwrite(c, VMCS_GUEST_FS_RIGHTS + 2 * i, RIGHTS_NONE);
	emit_vmwrite(c, VMCS_GUEST_TR, TSS_SELECTOR);
	emit_vmwrite(c, VMCS_HOST_TR, TSS_SELECTOR);
	emit_vmwrite(c, VMCS_GUEST_TR_LIMIT, 0x67);
	emit_vmwrite(c, VMCS_GUEST_TR_RIGHTS, RIGHTS_TSS);
	emit_vmwrite(c, VMCS_GUEST_CR3, GPA_PML4);
	emit_vmwrite(c, VMCS_HOST_CR3, GPA_PML4);
	emit_vmwrite(c, VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE);
	emit_vmwrite(c, VMCS_HOST_CR4, CR4_PAE | CR4_VMXE);
	emit_vmwrite(c, VMCS_GUEST_DR7, 0x400);
	emit_vmwrite(c, VMCS_GUEST_RFLAGS, 2);
	emit_vmwrite(c, VMCS_HOST_RSP, vcpu__data_gpa(vcpu) + PAGE);
	/* The upper half is 0. */
	code__mov(c, EDX, CR0);
	code__mov(c, EAX, VMCS_GUEST_CR0);
	code__raw(c, 0x0f, 0x79, 0xc2);
	code__mov(c, EAX, VMCS_HOST_CR0);
	code__raw(c, 0x0f, 0x79, 0xc2);
}

/* L1 becomes a root of VMX, with a VMCS. */
static void emit_vmxon(struct code *c, struct vcpu *vcpu)
{
	uint32_t area = area_gpa(vcpu), revision = least(vcpu, MSR_VMX_BASIC) & 0x7fffffff;
	uint8_t *pages = vm__ram(vcpu->vm, area);

	memset(pages, 0, NESTED_AREA);
	set32(pages, 0, revision);
	set32(pages, PAGE, revision);
	code__mov(c, EAX, CR4_PAE | CR4_VMXE);
	code__raw(c, 0x0f, 0x22, 0xe0);				       /* mov cr4, rax */
	EMIT_OF_ADDRESS(c, area, 0xf3, 0x0f, 0xc7, 0x34, 0x24);	       /* vmxon */
	EMIT_OF_ADDRESS(c, area + PAGE, 0x66, 0x0f, 0xc7, 0x34, 0x24); /* vmclear */
	EMIT_OF_ADDRESS(c, area + PAGE, 0x0f, 0xc7, 0x34, 0x24);       /* vmptrld */
}

/* The same loop as on AMD. r8d: L2 was launched, and is resumed from then on. */
static void emit_vmx(struct code *c, struct vcpu *vcpu, const struct op_use *use, bool cpuid,
		     uint32_t rip)
{
	size_t loop, again, host_rip;

	emit_vmxon(c, vcpu);
	emit_vmcs(c, vcpu);
	emit_vmwrite(c, VMCS_HOST_RIP, 0);
	host_rip = code__label(c) - 3 - sizeof(uint32_t); /* set when it is known */
	code__raw(c, 0x45, 0x31, 0xc0);			  /* xor r8d, r8d */
	code__mov(c, ESI, use->count);
	loop = code__label(c);
	code__turn(c);
	emit_vmwrite(c, VMCS_GUEST_RIP, rip);
	again = code__label(c);
	code__raw(c, 0x45, 0x85, 0xc0, 0x75, 6);	  /* test r8d, r8d; jnz + 6 */
	code__raw(c, 0x41, 0xff, 0xc0, 0x0f, 0x01, 0xc2); /* inc r8d; vmlaunch */
	code__raw(c, 0x0f, 0x01, 0xc3, 0x0f, 0x0b);	  /* vmresume; ud2: no entry */
	if (!c->overflow)
		set32(c->buf, host_rip, vcpu__code_gpa(vcpu) + code__label(c));
	if (cpuid) {
		emit_vmread(c, VMCS_REASON);
		code__raw(c, 0x83, 0xfa, REASON_CPUID, 0x75, 16); /* cmp edx, ..; jne + 16 */
		emit_vmread(c, VMCS_GUEST_RIP);
		code__raw(c, 0x83, 0xc2, 2, 0x0f, 0x79, 0xc2); /* add edx, 2; vmwrite */
		code__raw(c, 0xeb, (uint8_t)(again - (code__label(c) + 2))); /* jmp */
	}
	code__loop_esi(c, loop);
	code__raw(c, 0x0f, 0x01, 0xc4); /* vmxoff */
}

static void emit_nested(struct code *c, struct vcpu *vcpu, const struct op_use *use, bool cpuid)
{
	uint32_t rip = emit_l2(c, vcpu, use->arg, cpuid);

	if (host_is_amd())
		emit_svm(c, vcpu, use, cpuid, rip);
	else
		emit_vmx(c, vcpu, use, cpuid, rip);
}

void nested__emit(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	emit_nested(c, vcpu, use, false);
}

void nested__emit_cpuid(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	emit_nested(c, vcpu, use, true);
}

static bool has_leaf(const struct kvm_cpuid2 *cpuid, uint32_t leaf, uint32_t ecx)
{
	for (unsigned int i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == leaf)
			return cpuid->entries[i].ecx & ecx;
	return false;
}

/* As the firmware does it, which locks the MSR: VMXON is allowed. */
static int allow_vmxon(struct vcpu *vcpu)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { .head.nmsrs = 1, .entry = { .index = MSR_FEATURE_CONTROL, .data = 5 } };

	return ioctl(vcpu->fd, KVM_SET_MSRS, &msr) == 1 ?
		       0 :
		       vm__failed(vcpu->vm, "KVM_SET_MSRS of IA32_FEATURE_CONTROL");
}

int nested__check(struct vcpu *vcpu, const struct op_use *use)
{
	struct kvm_cpuid2 *cpuid;
	bool can;

	(void)use;
	cpuid = calloc(1, sizeof(*cpuid) + MAX_CPUID * sizeof(cpuid->entries[0]));
	if (!cpuid)
		return vm__failed(vcpu->vm, "CPUID table");
	cpuid->nent = MAX_CPUID;
	if (ioctl(vcpu->vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
		cpuid->nent = 0;
	can = host_is_amd() ? has_leaf(cpuid, 0x80000001, CPUID_SVM) :
			      has_leaf(cpuid, 1, CPUID_VMX);
	free(cpuid);
	if (can)
		return host_is_amd() ? 0 : allow_vmxon(vcpu);
	fprintf(stderr, "kvm_guest: this KVM gives its guests no guests of their own\n");
	return -1;
}
