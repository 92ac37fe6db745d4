/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What guests can do. Every emitter leaves esi to its loop, and counts in it;
 * nothing survives from one op to the next but the stack.
 */
#include <cpuid.h>
#include <string.h>

#include "code.h"

/*
 * On in loops that go on for long without an exit: Bochs keeps the host's interrupts out of a guest
 * that has its own switched off, and such a vCPU has the CPU for ever.
 */
static void emit_interrupts(struct code *c, bool on)
{
	code__raw(c, on ? 0xfb : 0xfa);
}

static size_t loop_begin(struct code *c, const struct op_use *use)
{
	size_t label;

	code__mov(c, ESI, use->count);
	label = code__label(c);
	code__turn(c);
	return label;
}

static void emit_cpuid(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop = loop_begin(c, use);

	(void)vcpu;
	code__mov(c, EAX, use->arg);
	code__mov(c, ECX, 0);
	code__raw(c, 0x0f, 0xa2);
	code__loop_esi(c, loop);
}

static void emit_out(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	(void)vcpu;
	code__mov(c, EDX, use->arg);
	loop = loop_begin(c, use);
	code__raw(c, 0xee);
	code__loop_esi(c, loop);
}

static void emit_in(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	(void)vcpu;
	code__mov(c, EDX, use->arg);
	loop = loop_begin(c, use);
	code__raw(c, 0xec);
	code__loop_esi(c, loop);
}

/* Of 2 bytes with the prefix, else of 4. */
static void emit_wide(struct code *c, const struct op_use *use, uint8_t opcode, bool two)
{
	size_t loop;

	code__mov(c, EDX, use->arg);
	loop = loop_begin(c, use);
	if (two)
		code__raw(c, 0x66);
	code__raw(c, opcode);
	code__loop_esi(c, loop);
}

static void emit_out2(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	(void)vcpu;
	emit_wide(c, use, 0xef, true);
}

static void emit_out4(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	(void)vcpu;
	emit_wide(c, use, 0xef, false);
}

static void emit_in2(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	(void)vcpu;
	emit_wide(c, use, 0xed, true);
}

static void emit_in4(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	(void)vcpu;
	emit_wide(c, use, 0xed, false);
}

/* To where nothing else is in the vCPU's data. */
static void emit_insb(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	code__mov(c, EDX, use->arg);
	loop = loop_begin(c, use);
	code__mov_edi_addr(c, vcpu__data_gpa(vcpu) + 0x100);
	code__raw(c, 0x6c);
	code__loop_esi(c, loop);
}

static void emit_mmio_read(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	(void)vcpu;
	code__mov_edi_addr(c, use->arg);
	loop = loop_begin(c, use);
	code__load_al(c);
	code__loop_esi(c, loop);
}

static void emit_mmio_write(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	(void)vcpu;
	code__mov_edi_addr(c, use->arg);
	loop = loop_begin(c, use);
	code__store_al(c);
	code__loop_esi(c, loop);
}

static void emit_rdmsr(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	(void)vcpu;
	code__mov(c, ECX, use->arg);
	loop = loop_begin(c, use);
	code__raw(c, 0x0f, 0x32);
	code__loop_esi(c, loop);
}

static void emit_rdmsrs(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	(void)vcpu;
	code__mov(c, ECX, use->arg);
	loop = loop_begin(c, use);
	code__raw(c, 0x0f, 0x32, 0xff, 0xc1); /* rdmsr; inc ecx */
	code__loop_esi(c, loop);
}

/* Bit 4, PSE, means nothing in long mode, and the guest may not have it by itself. */
static void emit_wrcr4(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	(void)vcpu;
	code__mov(c, EAX, 0x20);
	loop = loop_begin(c, use);
	code__raw(c, 0x83, 0xf0, 0x10, 0x0f, 0x22, 0xe0); /* xor eax, 16; mov cr4, rax */
	code__loop_esi(c, loop);
}

/*
 * IPIs to itself by the x2APIC's MSR, which KVM has a fast path for; with interrupts off they
 * wait. Switches the x2APIC on: one read and one write of IA32_APIC_BASE.
 */
static void emit_x2apic_ipi(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	emit_interrupts(c, false);
	code__mov(c, ECX, 0x1b);
	code__raw(c, 0x0f, 0x32, 0x80, 0xcc, 0x0c, 0x0f, 0x30); /* rdmsr; or ah, 12; wrmsr */
	code__mov(c, ECX, 0x830);
	code__mov(c, EAX, use->arg);
	code__mov(c, EDX, vcpu->id);
	loop = loop_begin(c, use);
	code__raw(c, 0x0f, 0x30);
	code__loop_esi(c, loop);
}

/* The same with its timer, armed before it fires. */
static void emit_x2apic_timer(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	(void)vcpu;
	emit_interrupts(c, false);
	code__mov(c, ECX, 0x1b);
	code__raw(c, 0x0f, 0x32, 0x80, 0xcc, 0x0c, 0x0f, 0x30); /* rdmsr; or ah, 12; wrmsr */
	code__mov(c, ECX, 0x838);
	code__mov(c, EAX, UINT32_MAX);
	code__mov(c, EDX, 0);
	loop = loop_begin(c, use);
	code__raw(c, 0x0f, 0x30);
	code__loop_esi(c, loop);
}

static void emit_ud2(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop = loop_begin(c, use);

	(void)vcpu;
	code__raw(c, 0x0f, 0x0b);
	code__loop_esi(c, loop);
}

static void emit_wbinvd(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop = loop_begin(c, use);

	(void)vcpu;
	code__raw(c, 0x0f, 0x09);
	code__loop_esi(c, loop);
}

/* No KVM's emulator knows the x87's loads, and without memory nobody else can do one. */
static void emit_emulate_fail(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	(void)vcpu;
	code__mov_edi_addr(c, use->arg);
	loop = loop_begin(c, use);
	code__raw(c, UNEMULATED_0, UNEMULATED_1); /* fld dword [rdi] */
	code__loop_esi(c, loop);
}

/*
 * Where KVM shadows the guest's page tables each is an exit, and the write that follows another
 * one.
 */
static void emit_invlpg(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	code__mov_edi_addr(c, vcpu__data_gpa(vcpu) + 0x100);
	loop = loop_begin(c, use);
	code__raw(c, 0x0f, 0x01, 0x3f); /* invlpg [rdi] */
	code__store_al(c);
	code__loop_esi(c, loop);
}

/* An exception where no table says what to do: a triple fault. User space counts. */
static void emit_triple(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	vcpu->resets = use->count;
	code__raw(c, 0xcc);
	vcpu->after_resets = vcpu__code_gpa(vcpu) + code__label(c);
}

/* Writes back what the MSR holds, so that nothing changes but the count. */
static void emit_wrmsr(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	uint64_t value = vcpu__get_msr(vcpu, use->arg);
	size_t loop;

	code__mov(c, ECX, use->arg);
	code__mov(c, EAX, value);
	code__mov(c, EDX, value >> 32);
	loop = loop_begin(c, use);
	code__raw(c, 0x0f, 0x30);
	code__loop_esi(c, loop);
}

bool host_is_amd(void)
{
	unsigned int eax, ebx, ecx, edx;

	if (!__get_cpuid(0, &eax, &ebx, &ecx, &edx))
		return false;
	return ebx == signature_AMD_ebx || ebx == 0x6f677948; /* "Hygo" */
}

static void emit_vmcall(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop = loop_begin(c, use);

	(void)vcpu;
	code__mov(c, EAX, use->arg);
	if (host_is_amd())
		code__raw(c, 0x0f, 0x01, 0xd9);
	else
		code__raw(c, 0x0f, 0x01, 0xc1);
	code__loop_esi(c, loop);
}

static void emit_vmcall_insn(struct code *c)
{
	if (host_is_amd())
		code__raw(c, 0x0f, 0x01, 0xd9);
	else
		code__raw(c, 0x0f, 0x01, 0xc1);
}

/* mov eax, edi; the call; inc edi */
static void emit_vmcall_each(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	(void)vcpu;
	code__mov(c, EDI, use->arg);
	loop = loop_begin(c, use);
	code__raw(c, 0x89, 0xf8);
	emit_vmcall_insn(c);
	code__raw(c, 0xff, 0xc7);
	code__loop_esi(c, loop);
}

/* The same with a read; add edi, 16 */
static void emit_mmio_each(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	(void)vcpu;
	code__mov_edi_addr(c, use->arg);
	loop = loop_begin(c, use);
	code__load_al(c);
	code__raw(c, 0x83, 0xc7, 0x10);
	code__loop_esi(c, loop);
}

/*
 * A hypercall of KVM: number in eax, arguments in ebx, ecx, edx, esi; only eax
 * comes back changed. esi counts, so edi keeps it over the call.
 */
static void emit_hypercall(struct code *c, const struct op_use *use, uint32_t nr,
			   const uint32_t args[4])
{
	size_t loop = loop_begin(c, use);

	code__mov_edi_esi(c);
	code__mov(c, EAX, nr);
	code__mov(c, EBX, args[0]);
	code__mov(c, ECX, args[1]);
	code__mov(c, EDX, args[2]);
	code__mov(c, ESI, args[3]);
	emit_vmcall_insn(c);
	code__mov_esi_edi(c);
	code__loop_esi(c, loop);
}

static void emit_kick(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	(void)vcpu;
	emit_hypercall(c, use, 5, (const uint32_t[]){ 0, use->arg, 0x11, 0x22 });
}

static void emit_clock(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	uint32_t gpa = vcpu__data_gpa(vcpu) + PAGE / 2;

	emit_hypercall(c, use, 9, (const uint32_t[]){ gpa, use->arg, 0x11, 0x22 });
}

/* To ids that nobody has: lowest, lowest + 2, and the second of the upper bitmap. */
static void emit_ipi(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	(void)vcpu;
	emit_hypercall(c, use, 10, (const uint32_t[]){ 5, 2, use->arg, 0xfd });
}

static void emit_yield(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	(void)vcpu;
	emit_hypercall(c, use, 11, (const uint32_t[]){ use->arg, 0x11, 0x22, 0x33 });
}

/* 16 pages, encrypted; refused as long as user space does not ask for these. */
static void emit_map_gpa(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	(void)vcpu;
	emit_hypercall(c, use, 12, (const uint32_t[]){ use->arg, 16, 0x10, 0x33 });
}

/* Hyper-V's: control word in rcx, input in rdx, output in r8. */
static void emit_hv_call(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop = loop_begin(c, use);

	(void)vcpu;
	code__mov(c, ECX, use->arg);
	code__mov(c, EDX, 0x1234);
	code__raw(c, 0x41, 0xb8, 0x78, 0x56, 0, 0);
	emit_vmcall_insn(c);
	code__loop_esi(c, loop);
}

/* Xen's: number in rax, arguments in rdi, rsi, rdx, r10, r8, r9; ebx keeps the count. */
static void emit_xen_call(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop = loop_begin(c, use);

	(void)vcpu;
	code__raw(c, 0x89, 0xf3);
	code__mov(c, EAX, use->arg);
	code__mov(c, EDI, 1);
	code__mov(c, ESI, 2);
	code__mov(c, EDX, 3);
	code__raw(c, 0x41, 0xba, 4, 0, 0, 0);
	code__raw(c, 0x41, 0xb8, 5, 0, 0, 0);
	code__raw(c, 0x41, 0xb9, 6, 0, 0, 0);
	emit_vmcall_insn(c);
	code__raw(c, 0x89, 0xde);
	code__loop_esi(c, loop);
}

/* The waker sees the counter in the data page move and ends the HLT. */
static void emit_hlt(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	code__mov_edi_addr(c, vcpu__data_gpa(vcpu));
	code__set_mem(c, HLT_DELAY_AT, use->arg);
	loop = loop_begin(c, use);
	code__inc_mem(c);
	code__raw(c, 0xf4);
	code__loop_esi(c, loop);
}

static void emit_set(struct code *c, uint32_t addr, uint32_t value)
{
	code__mov_edi_addr(c, addr);
	code__set_mem(c, 0, value);
}

/* Ends each HLT of the vCPU before this one: remote read, which wakes up and is no interrupt. */
static void emit_send_ipi(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	const struct vcpu *target = vcpu - 1;
	size_t loop, wait, delay;

	emit_interrupts(c, true);
	code__mov(c, EAX, 0);
	code__mov_ebx_eax(c);
	loop = loop_begin(c, use);
	code__mov_edi_addr(c, vcpu__data_gpa(target) + HLT_IPI_AT);
	wait = code__label(c);
	code__load_eax(c);
	code__cmp_eax_ebx(c);
	code__je(c, wait);
	code__mov_ebx_eax(c);
	/* The target should be asleep by then; if not, the wake-up waits for its HLT. */
	code__mov(c, ECX, use->arg);
	delay = code__label(c);
	code__loop_ecx(c, delay);
	emit_set(c, APIC_ICR2, target->id << 24);
	emit_set(c, APIC_ICR, APIC_REMOTE_READ);
	code__loop_esi(c, loop);
	emit_interrupts(c, false);
}

/* vCPUs 0, 2, ... halt, each woken by the one after it. */
static void emit_hlt_ipi(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	if (vcpu->id % 2) {
		emit_send_ipi(c, vcpu, use);
		return;
	}
	code__mov_edi_addr(c, vcpu__data_gpa(vcpu) + HLT_IPI_AT);
	loop = loop_begin(c, use);
	code__inc_mem(c);
	code__raw(c, 0xf4);
	code__loop_esi(c, loop);
}

static void emit_hlt_user(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop = loop_begin(c, use);

	(void)vcpu;
	code__raw(c, 0xf4);
	code__loop_esi(c, loop);
}

static void emit_touch(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	code__mov_edi_addr(c, vcpu->touch_gpa);
	vcpu->touch_gpa += use->count * PAGE;
	loop = loop_begin(c, use);
	code__store_al(c);
	code__add_edi(c, PAGE);
	code__loop_esi(c, loop);
}

static void emit_touch_read(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	code__mov_edi_addr(c, vcpu->touch_gpa);
	vcpu->touch_gpa += use->count * PAGE;
	loop = loop_begin(c, use);
	code__load_al(c);
	code__add_edi(c, PAGE);
	code__loop_esi(c, loop);
}

/* Each page begins with a RET. Real mode can't call that far. */
static void emit_touch_exec(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	uint8_t *page = (uint8_t *)vcpu->vm->touch + (vcpu->touch_gpa - GPA_TOUCH);
	size_t loop;

	for (uint64_t i = 0; i < use->count; i++)
		page[i * PAGE] = 0xc3;
	code__mov_edi_addr(c, vcpu->touch_gpa);
	vcpu->touch_gpa += use->count * PAGE;
	loop = loop_begin(c, use);
	code__raw(c, 0xff, 0xd7);
	code__add_edi(c, PAGE);
	code__loop_esi(c, loop);
}

/* A round writes every page once and then has user space read the log. */
static void emit_dirty(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	uint64_t pages = plan__log_pages(vcpu->vm->plan) / vcpu->vm->plan->nr_vcpus;

	for (uint64_t round = 0; round < use->arg; round++) {
		size_t loop;

		code__mov_edi_addr(c, GPA_LOG + vcpu->id * pages * PAGE);
		loop = loop_begin(c, use);
		code__store_al(c);
		code__add_edi(c, PAGE);
		code__loop_esi(c, loop);
		code__out_eax(c, PORT_LOG);
	}
}

/* The page is not there: a read finds the host's page of zeroes, a write gets its own. */
static void emit_dontneed(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop = loop_begin(c, use);

	code__mov_edi_addr(c, GPA_TAKEN + (uint64_t)vcpu->id * PAGE);
	code__load_al(c);
	code__store_al(c);
	code__mov(c, EAX, TAKE_DONTNEED);
	code__out_eax(c, PORT_TAKE);
	code__loop_esi(c, loop);
}

static void emit_taken(struct code *c, struct vcpu *vcpu, const struct op_use *use, uint32_t how)
{
	size_t loop = loop_begin(c, use);

	code__mov_edi_addr(c, GPA_TAKEN + (uint64_t)vcpu->id * PAGE);
	code__store_al(c);
	code__mov(c, EAX, how);
	code__out_eax(c, PORT_TAKE);
	code__loop_esi(c, loop);
}

static void emit_protect(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	emit_taken(c, vcpu, use, TAKE_PROTECT);
}

static void emit_uffd_wp(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	emit_taken(c, vcpu, use, TAKE_UFFD_WP);
}

static void emit_pageout(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	emit_taken(c, vcpu, use, TAKE_PAGEOUT);
}

static void emit_spin_us(struct code *c, struct vcpu *vcpu, uint64_t us)
{
	size_t loop;

	code__raw(c, 0x0f, 0x31);
	code__mov_ebx_eax(c);
	loop = code__label(c);
	code__raw(c, 0x0f, 0x31);
	code__sub_eax_ebx(c);
	code__cmp_eax(c, vcpu__tsc_khz(vcpu) * us / 1000);
	code__jb(c, loop);
}

/* With the slot all mappings of the guest go. */
static void emit_memslot(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	emit_interrupts(c, true);
	loop = loop_begin(c, use);
	code__mov_edi_addr(c, GPA_TAKEN + (uint64_t)vcpu->id * PAGE);
	code__store_al(c);
	emit_spin_us(c, vcpu, use->arg);
	code__mov(c, EAX, TAKE_SLOT);
	code__out_eax(c, PORT_TAKE);
	code__loop_esi(c, loop);
	emit_interrupts(c, false);
}

/* One turn of the outer loop is a millisecond by the time stamp counter. */
static void emit_spin(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t msec, loop;

	emit_interrupts(c, true);
	msec = loop_begin(c, use);
	code__raw(c, 0x0f, 0x31);
	code__mov_ebx_eax(c);
	loop = code__label(c);
	code__raw(c, 0x0f, 0x31);
	code__sub_eax_ebx(c);
	code__cmp_eax(c, vcpu__tsc_khz(vcpu));
	code__jb(c, loop);
	code__loop_esi(c, msec);
	emit_interrupts(c, false);
}

/* In the kernel's mode: elsewhere PAUSE never leaves the guest. */
static void emit_pause(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	(void)vcpu;
	emit_interrupts(c, true);
	loop = loop_begin(c, use);
	code__raw(c, 0xf3, 0x90);
	code__loop_esi(c, loop);
	emit_interrupts(c, false);
}

static void emit_sleep(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	(void)vcpu;
	code__mov(c, EAX, use->count);
	code__out_eax(c, PORT_SLEEP);
}

static void emit_save(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	(void)vcpu;
	code__mov(c, EAX, !!(use->op->flags & OP_LOADS));
	code__out_eax(c, PORT_STATE);
}

/*
 * What a guest does that takes interrupts: the handler (irqs.c) counts them at
 * rbp + IRQ_COUNT_AT; ebx has what was seen so far.
 */
static void emit_irqs_on(struct code *c)
{
	code__raw(c, 0x8b, 0x5d, IRQ_COUNT_AT, 0xfb); /* mov ebx, [rbp + ..]; sti */
}

/* Halts until there is one more. */
static void emit_wait_irq(struct code *c)
{
	size_t again = code__label(c);

	code__raw(c, 0xfa, 0x8b, 0x45, IRQ_COUNT_AT); /* cli; mov eax, [rbp + ..] */
	code__cmp_eax_ebx(c);
	code__raw(c, 0x75, 4, 0xfb, 0xf4); /* jne + 4; sti; hlt */
	code__raw(c, 0xeb, (uint8_t)(again - (code__label(c) + 2)));
	code__mov_ebx_eax(c);
	code__raw(c, 0xfb); /* sti */
}

/* The same without halting. */
static void emit_spin_irq(struct code *c)
{
	size_t again = code__label(c);

	code__raw(c, 0x8b, 0x45, IRQ_COUNT_AT);
	code__cmp_eax_ebx(c);
	code__je(c, again);
	code__mov_ebx_eax(c);
}

/* Until the word at that address is not 0. Leaves interrupts on. */
static void emit_wait_word(struct code *c, uint32_t addr)
{
	size_t wait;

	emit_interrupts(c, true);
	code__mov_edi_addr(c, addr);
	wait = code__label(c);
	code__load_eax(c);
	code__cmp_eax(c, 0);
	code__je(c, wait);
}

/* The pin of a vCPU: those from 16 on are of the I/O APIC alone. */
static uint32_t own_pin(unsigned int id)
{
	return 16 + id % (MAX_IOAPIC_VCPUS);
}

/* The first vCPU programs the I/O APIC for all, as its two registers are for one at a time. */
static void emit_program_ioapic(struct code *c, struct vcpu *vcpu, uint32_t vector)
{
	if (vcpu->id) {
		emit_wait_word(c, vcpu__data_gpa(&vcpu->vm->vcpus[0]) + IRQ_READY_AT);
		return;
	}
	for (unsigned int id = 0; id < vcpu->vm->plan->nr_vcpus; id++) {
		emit_set(c, IOAPIC_SELECT, 0x11 + 2 * own_pin(id));
		emit_set(c, IOAPIC_WINDOW, id << 24);
		emit_set(c, IOAPIC_SELECT, 0x10 + 2 * own_pin(id));
		emit_set(c, IOAPIC_WINDOW, vector);
	}
	emit_set(c, vcpu__data_gpa(vcpu) + IRQ_READY_AT, 1);
}

/* Has user space move the pin: an interrupt and an EOI each. */
static void emit_ioapic_irq(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	emit_set(c, APIC_SPURIOUS, 0x1ff);
	emit_program_ioapic(c, vcpu, use->arg);
	emit_irqs_on(c);
	loop = loop_begin(c, use);
	code__mov(c, EAX, ROUTE_IOAPIC + own_pin(vcpu->id));
	code__out_eax(c, PORT_IRQ);
	emit_wait_irq(c);
	code__loop_esi(c, loop);
	emit_interrupts(c, false);
}

/* Level-triggered, as the pins of PCI devices are: --helper=irqfd:US:32 is the device of vCPU 0. */
static void emit_level_irq(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	enum { LEVEL = 1 << 15 };
	size_t loop;

	emit_set(c, APIC_SPURIOUS, 0x1ff);
	emit_program_ioapic(c, vcpu, LEVEL | use->arg);
	emit_irqs_on(c);
	loop = loop_begin(c, use);
	emit_wait_irq(c);
	code__loop_esi(c, loop);
	emit_interrupts(c, false);
}

/* Waits for the clock chip's interrupt, and asks the chip why: --helper=line:US:24 is the chip. */
static void emit_rtc_tick(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	enum { RTC_PIN = 8, INDEX = 0x70, DATA = 0x71 };
	size_t loop;

	emit_set(c, APIC_SPURIOUS, 0x1ff);
	emit_set(c, IOAPIC_SELECT, 0x11 + 2 * RTC_PIN);
	emit_set(c, IOAPIC_WINDOW, vcpu->id << 24);
	emit_set(c, IOAPIC_SELECT, 0x10 + 2 * RTC_PIN);
	emit_set(c, IOAPIC_WINDOW, use->arg);
	emit_irqs_on(c);
	loop = loop_begin(c, use);
	emit_wait_irq(c);
	code__mov(c, EAX, 0xc);
	code__raw(c, 0xe6, INDEX, 0xe4, DATA); /* out; in */
	code__loop_esi(c, loop);
	emit_interrupts(c, false);
}

/* No chips in the kernel: user space injects each with KVM_INTERRUPT. */
static void emit_interrupt(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	(void)vcpu;
	emit_irqs_on(c);
	loop = loop_begin(c, use);
	code__mov(c, EAX, use->arg);
	code__out_eax(c, PORT_IRQ);
	emit_spin_irq(c);
	code__loop_esi(c, loop);
	emit_interrupts(c, false);
}

/* Software interrupts. The first finds tables that are not mapped yet: an exit breaks it off. */
static void emit_int_n(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop = loop_begin(c, use);

	(void)vcpu;
	code__raw(c, 0xcd, use->arg);
	code__loop_esi(c, loop);
}

/*
 * Two vCPUs to and fro: the odd one begins, the even one answers. To come first:
 * one that is early would be taken for another op's interrupt.
 */
static void emit_pair_ipi(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	const struct vcpu *partner = vcpu->vm->vcpus + (vcpu->id ^ 1);
	size_t loop;

	emit_irqs_on(c);
	emit_set(c, vcpu__data_gpa(vcpu) + IRQ_RUNS_AT, 1);
	emit_wait_word(c, vcpu__data_gpa(partner) + IRQ_RUNS_AT);
	loop = loop_begin(c, use);
	if (vcpu->id % 2 == 0)
		emit_spin_irq(c);
	emit_set(c, APIC_ICR2, (vcpu->id ^ 1) << 24);
	emit_set(c, APIC_ICR, APIC_ASSERT | use->arg);
	if (vcpu->id % 2)
		emit_spin_irq(c);
	code__loop_esi(c, loop);
	emit_interrupts(c, false);
}

enum { TIMER_VECTOR = 0x61, LVTT_PERIODIC = 1 << 17, LVTT_TSC = 2 << 17, TDCR_BY_1 = 0xb };

static void emit_timer(struct code *c, uint32_t mode)
{
	emit_set(c, APIC_LVTT, mode | TIMER_VECTOR);
	emit_set(c, APIC_TDCR, TDCR_BY_1);
	emit_irqs_on(c);
}

static void emit_timer_oneshot(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	(void)vcpu;
	emit_timer(c, 0);
	loop = loop_begin(c, use);
	emit_set(c, APIC_TMICT, use->arg * 1000);
	emit_wait_irq(c);
	code__loop_esi(c, loop);
	emit_interrupts(c, false);
}

static void emit_timer_periodic(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	(void)vcpu;
	emit_timer(c, LVTT_PERIODIC);
	emit_set(c, APIC_TMICT, use->arg * 1000);
	loop = loop_begin(c, use);
	emit_wait_irq(c);
	code__loop_esi(c, loop);
	emit_set(c, APIC_TMICT, 0);
	emit_interrupts(c, false);
}

static void emit_timer_tsc(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	uint32_t ticks = (uint64_t)use->arg * vcpu__tsc_khz(vcpu) / 1000;
	size_t loop;

	emit_timer(c, LVTT_TSC);
	loop = loop_begin(c, use);
	code__raw(c, 0x0f, 0x31); /* rdtsc */
	code__raw(c, 0x05, ticks, ticks >> 8, ticks >> 16, ticks >> 24);
	code__raw(c, 0x83, 0xd2, 0); /* add eax; adc edx, 0 */
	code__mov(c, ECX, 0x6e0);
	code__raw(c, 0x0f, 0x30); /* wrmsr IA32_TSC_DEADLINE */
	emit_wait_irq(c);
	code__loop_esi(c, loop);
	emit_interrupts(c, false);
}

/* Each is armed before the last one could fire, and none ever does. */
static void emit_timer_dropped(struct code *c, struct vcpu *vcpu, const struct op_use *use)
{
	size_t loop;

	(void)vcpu;
	emit_timer(c, 0);
	emit_interrupts(c, false);
	loop = loop_begin(c, use);
	emit_set(c, APIC_TMICT, use->arg * 1000);
	code__loop_esi(c, loop);
	emit_set(c, APIC_TMICT, 0);
}

/*
 * The default MSRs leave the guest on every vendor and are handled inside KVM:
 * IA32_APIC_BASE is never passed through, nor is IA32_MTRR_DEF_TYPE.
 */
const struct op ops[] = {
	{ "cpuid", "CPUID instructions", "leaf", 0, UINT32_MAX, UINT32_MAX, 0, USER_EXIT_NONE,
	  emit_cpuid },
	{ "out", "1-byte OUTs, each an exit to user space", "port", 0x80, 0xffff, UINT32_MAX, 0,
	  KVM_EXIT_IO, emit_out },
	{ "in", "1-byte INs, each an exit to user space", "port", 0x80, 0xffff, UINT32_MAX, 0,
	  KVM_EXIT_IO, emit_in },
	{ "out2", "2-byte OUTs", "port", 0x80, 0xffff, UINT32_MAX, OP_LONG, KVM_EXIT_IO,
	  emit_out2 },
	{ "out4", "4-byte OUTs", "port", 0x80, 0xffff, UINT32_MAX, OP_LONG, KVM_EXIT_IO,
	  emit_out4 },
	{ "in2", "2-byte INs", "port", 0x80, 0xffff, UINT32_MAX, OP_LONG, KVM_EXIT_IO, emit_in2 },
	{ "in4", "4-byte INs", "port", 0x80, 0xffff, UINT32_MAX, OP_LONG, KVM_EXIT_IO, emit_in4 },
	{ "insb", "INSBs, string reads of 1 byte each", "port", 0x80, 0xffff, UINT32_MAX, OP_LONG,
	  KVM_EXIT_IO, emit_insb },
	{ "mmio_read", "1-byte reads of an address that has no memory", "gpa", GPA_MMIO, UINT64_MAX,
	  UINT32_MAX, OP_GPA, KVM_EXIT_MMIO, emit_mmio_read },
	{ "mmio_write", "1-byte writes to an address that has no memory", "gpa", GPA_MMIO,
	  UINT64_MAX, UINT32_MAX, OP_GPA, KVM_EXIT_MMIO, emit_mmio_write },
	{ "mmio_each", "1-byte reads without memory, each 16 bytes after the last one", "gpa",
	  GPA_MMIO, UINT32_MAX, 1000000, OP_GPA | OP_LONG, KVM_EXIT_MMIO, emit_mmio_each },
	{ "rdmsr", "RDMSRs, of IA32_APIC_BASE", "msr", 0x1b, UINT32_MAX, UINT32_MAX, 0,
	  USER_EXIT_NONE, emit_rdmsr },
	{ "rdmsrs", "RDMSRs of as many MSRs, one after the other", "first", 0x400, UINT32_MAX, 128,
	  OP_LONG, USER_EXIT_NONE, emit_rdmsrs },
	{ "x2apic_ipi", "IPIs of a vCPU to itself by an MSR of the x2APIC, not taken; the last OP",
	  "vector", 0x60, 0xff, UINT32_MAX, OP_IRQCHIP | OP_TAKES | OP_LONG, USER_EXIT_NONE,
	  emit_x2apic_ipi },
	{ "x2apic_timer", "timers armed by an MSR of the x2APIC, none of which fires; the last OP",
	  NULL, 0, 0, UINT32_MAX, OP_IRQCHIP | OP_TAKES | OP_LONG, USER_EXIT_NONE,
	  emit_x2apic_timer },
	{ "wrcr4", "writes of CR4, each other than the one before", NULL, 0, 0, UINT32_MAX, OP_LONG,
	  USER_EXIT_NONE, emit_wrcr4 },
	{ "ud2", "UD2s, each an exception that KVM injects", NULL, 0, 0, UINT32_MAX,
	  OP_TAKES | OP_LONG, USER_EXIT_NONE, emit_ud2 },
	{ "stuck", "one UD2 whose handler goes back to it, for ever; one such OP", NULL, 0, 0, 1,
	  OP_TAKES | OP_LONG | OP_STUCK | OP_ENDLESS, USER_EXIT_NONE, emit_ud2 },
	{ "invlpg", "INVLPGs, each followed by a write to that page", NULL, 0, 0, UINT32_MAX,
	  OP_LONG, USER_EXIT_NONE, emit_invlpg },
	{ "wrmsr", "WRMSRs of the value it has, of IA32_MTRR_DEF_TYPE", "msr", 0x2ff, UINT32_MAX,
	  UINT32_MAX, 0, USER_EXIT_NONE, emit_wrmsr },
	{ "wbinvd", "WBINVDs", NULL, 0, 0, UINT32_MAX, 0, USER_EXIT_NONE, emit_wbinvd },
	{ "usermsr", "RDMSRs that a filter sends to user space, of IA32_APIC_BASE", "msr", 0x1b,
	  UINT32_MAX, UINT32_MAX, OP_USER_MSR, KVM_EXIT_X86_RDMSR, emit_rdmsr },
	{ "emulate_fail",
	  "loads that KVM cannot emulate, of an address that has no memory; user space skips each",
	  "gpa", GPA_MMIO, UINT64_MAX, UINT32_MAX, OP_GPA | OP_SKIPPED | OP_LONG,
	  KVM_EXIT_INTERNAL_ERROR, emit_emulate_fail },
	{ "triple", "triple faults, after each of which all begins anew; one such OP", NULL, 0, 0,
	  UINT32_MAX, OP_RESETS | OP_LONG, KVM_EXIT_SHUTDOWN, emit_triple },
	{ "vmcall", "hypercalls (VMCALL or VMMCALL), of a number KVM has not", "nr", 1000,
	  UINT32_MAX, UINT32_MAX, 0, USER_EXIT_NONE, emit_vmcall },
	{ "vmcall_each", "hypercalls, each of the number after the last one's", "nr", 1000,
	  UINT32_MAX, UINT32_MAX, OP_LONG, USER_EXIT_NONE, emit_vmcall_each },
	{ "hc_kick", "hypercalls KICK_CPU", "apic id", 77, UINT32_MAX, UINT32_MAX, 0,
	  USER_EXIT_NONE, emit_kick },
	{ "hc_clock", "hypercalls CLOCK_PAIRING", "clock type", 0, UINT32_MAX, UINT32_MAX, 0,
	  USER_EXIT_NONE, emit_clock },
	{ "hc_ipi", "hypercalls SEND_IPI, bitmaps 5 and 2", "lowest apic id", 100, UINT32_MAX,
	  UINT32_MAX, 0, USER_EXIT_NONE, emit_ipi },
	{ "hc_yield", "hypercalls SCHED_YIELD", "apic id", 78, UINT32_MAX, UINT32_MAX, 0,
	  USER_EXIT_NONE, emit_yield },
	{ "hc_map_gpa", "hypercalls MAP_GPA_RANGE, 16 pages, encrypted", "gpa", 0x40000000,
	  UINT32_MAX, UINT32_MAX, 0, USER_EXIT_NONE, emit_map_gpa },
	{ "hv_call", "Hyper-V hypercalls, fast; NOTIFY_LONG_SPIN_WAIT", "control word", 0x10008,
	  UINT32_MAX, UINT32_MAX, OP_HYPERV | OP_LONG, USER_EXIT_NONE, emit_hv_call },
	{ "xen_call", "Xen hypercalls, which exit to user space; xen_version", "nr", 17, UINT32_MAX,
	  UINT32_MAX, OP_XEN | OP_LONG, KVM_EXIT_XEN, emit_xen_call },
	{ "ioctls", "rounds of ioctls with known arguments and failures", NULL, 0, 0, 1000000,
	  OP_IOCTLS | OP_IRQCHIP, USER_EXIT_NONE, NULL },
	{ "ioctl_each", "ioctls that fail, each of a number of its own; not in the tally", NULL, 0,
	  0, 10000000, 0, USER_EXIT_NONE, NULL, ioctls__call_each },
	{ "hlt",
	  "HLTs that KVM handles, each ended from another thread that many us after it is seen",
	  "us", 0, 60000000, UINT32_MAX, OP_IRQCHIP | OP_WAKER, USER_EXIT_NONE, emit_hlt },
	{ "hlt_ipi",
	  "HLTs of vCPUs 0, 2, ..., each ended by an IPI of the next vCPU, once per guest", "turns",
	  500, UINT32_MAX, UINT32_MAX, OP_IRQCHIP | OP_PAIRS, USER_EXIT_NONE, emit_hlt_ipi },
	{ "irq_lines", "rounds: each pin of PICs and IOAPIC is raised thrice and lowered twice",
	  NULL, 0, 0, 1000, OP_IRQCHIP | OP_IRQS, USER_EXIT_NONE, NULL, irqs__lines },
	{ "msi", "rounds of KVM_SIGNAL_MSI, 64 to nobody in all modes, 2 to vCPU 0",
	  "1: 32-bit ids", 0, 1, 1000, OP_IRQCHIP | OP_IRQS, USER_EXIT_NONE, NULL, irqs__msis },
	{ "irqfd",
	  "MSIs to vCPU 0 by an irqfd that another process writes, after two by KVM_SIGNAL_MSI",
	  "1: broadcasts", 0, 1, 32, OP_IRQCHIP | OP_IRQS, USER_EXIT_NONE, NULL, irqs__irqfd },
	{ "ioapic_irq",
	  "interrupts by a pin of the IOAPIC, each with an exit to ask for it, and an EOI (up to 8 "
	  "vCPUs)",
	  "vector", 0x55, 0xff, UINT32_MAX, OP_IRQCHIP | OP_IRQS | OP_TAKES | OP_LONG, KVM_EXIT_IO,
	  emit_ioapic_irq },
	{ "level_irq",
	  "level-triggered interrupts by a pin of the IOAPIC, each waited for (up to 8 vCPUs); the "
	  "device is --helper=irqfd:US:32, or line",
	  "vector", 0x59, 0xff, UINT32_MAX, OP_IRQCHIP | OP_IRQS | OP_TAKES | OP_LONG | OP_ENDLESS,
	  USER_EXIT_NONE, emit_level_irq },
	{ "rtc_tick",
	  "interrupts of a clock chip, each waited for, and asked for why by two exits; the chip "
	  "is --helper=line:US:24",
	  "vector", 0x58, 0xff, UINT32_MAX,
	  OP_IRQCHIP | OP_IRQS | OP_TAKES | OP_LONG | OP_ENDLESS | OP_TWICE, KVM_EXIT_IO,
	  emit_rtc_tick },
	{ "interrupt", "KVM_INTERRUPTs, each with an exit to ask for it (no irqchip)", "vector",
	  0x56, 0xff, UINT32_MAX, OP_NO_IRQCHIP | OP_TAKES | OP_LONG, KVM_EXIT_IO, emit_interrupt },
	{ "int_n", "software interrupts", "vector", 0x57, 0xff, UINT32_MAX,
	  OP_IRQCHIP | OP_TAKES | OP_LONG, USER_EXIT_NONE, emit_int_n },
	{ "ipi", "IPIs from each vCPU of a pair to the other one; the first OP", "vector", 0x60,
	  0xff, UINT32_MAX, OP_IRQCHIP | OP_PAIRS | OP_TAKES | OP_LONG, USER_EXIT_NONE,
	  emit_pair_ipi },
	{ "timer_oneshot", "APIC timers, each waited for", "us", 2000, 4000000, UINT32_MAX,
	  OP_IRQCHIP | OP_TAKES | OP_LONG, USER_EXIT_NONE, emit_timer_oneshot },
	{ "timer_periodic", "periods of one APIC timer", "us", 20000, 4000000, UINT32_MAX,
	  OP_IRQCHIP | OP_TAKES | OP_LONG, USER_EXIT_NONE, emit_timer_periodic },
	{ "timer_tsc", "TSC-deadline timers, each waited for", "us", 2000, 1000000, UINT32_MAX,
	  OP_IRQCHIP | OP_TAKES | OP_LONG | OP_TSC_TIMER, USER_EXIT_NONE, emit_timer_tsc },
	{ "timer_dropped", "APIC timers, each armed before the last one fires", "us", 4000000,
	  4000000, UINT32_MAX, OP_IRQCHIP | OP_TAKES | OP_LONG, USER_EXIT_NONE,
	  emit_timer_dropped },
	{ "hlt_user", "HLTs that exit to user space (no irqchip)", NULL, 0, 0, UINT32_MAX,
	  OP_NO_IRQCHIP, KVM_EXIT_HLT, emit_hlt_user },
	{ "touch", "1-byte writes, each to a fresh 4 KiB page of RAM", NULL, 0, 0, MAX_TOUCH_PAGES,
	  OP_TOUCH, USER_EXIT_NONE, emit_touch },
	{ "touch_read", "1-byte reads, each of a fresh 4 KiB page of RAM", NULL, 0, 0,
	  MAX_TOUCH_PAGES, OP_TOUCH, USER_EXIT_NONE, emit_touch_read },
	{ "touch_exec", "calls, each of code in a fresh 4 KiB page of RAM (long mode)", NULL, 0, 0,
	  MAX_TOUCH_PAGES, OP_TOUCH | OP_LONG, USER_EXIT_NONE, emit_touch_exec },
	{ "touch_slow", "1-byte writes, each to a page that user space fills in that many ms later",
	  "ms", 50, 60000, 1000, OP_TOUCH | OP_SLOW, USER_EXIT_NONE, emit_touch },
	{ "dirty", "1-byte writes, each to a page with dirty logging on; then the log is read",
	  "rounds", 1, LOG_ROUNDS, MAX_LOG_PAGES, OP_LOG, KVM_EXIT_IO, emit_dirty },
	{ "dontneed",
	  "a read and a write of a page, which user space then takes away with MADV_DONTNEED", NULL,
	  0, 0, UINT32_MAX, OP_TAKEN, KVM_EXIT_IO, emit_dontneed },
	{ "mprotect", "a write to a page, which user space then makes read-only and writable again",
	  NULL, 0, 0, UINT32_MAX, OP_TAKEN, KVM_EXIT_IO, emit_protect },
	{ "uffd_wp", "a write to a page, which a userfaultfd then write-protects and releases",
	  NULL, 0, 0, UINT32_MAX, OP_TAKEN | OP_UFFD_WP, KVM_EXIT_IO, emit_uffd_wp },
	{ "pageout", "a write to a page, which user space then swaps out with MADV_PAGEOUT", NULL,
	  0, 0, UINT32_MAX, OP_TAKEN, KVM_EXIT_IO, emit_pageout },
	{ "memslot",
	  "a write to a page, some spinning, and an exit to user space, which takes the page's "
	  "slot away and back",
	  "us", 0, 1000000, UINT32_MAX, OP_TAKEN | OP_LONG, KVM_EXIT_IO, emit_memslot },
	{ "spin", "a busy loop of about that many ms, without an exit", NULL, 0, 0, 86400000,
	  OP_MSEC, USER_EXIT_NONE, emit_spin },
	{ "pause", "PAUSEs in a loop", NULL, 0, 0, UINT32_MAX, 0, USER_EXIT_NONE, emit_pause },
	{ "nested",
	  "runs of a guest in the guest: RDMSRs, and a hypercall to the guest that ends it",
	  "rdmsrs", 1, UINT32_MAX, UINT32_MAX, OP_LONG, USER_EXIT_NONE, nested__emit,
	  nested__check },
	{ "nested_cpuid", "the same with CPUIDs, which the guest takes, too", "cpuids", 1,
	  UINT32_MAX, UINT32_MAX, OP_LONG, USER_EXIT_NONE, nested__emit_cpuid, nested__check },
	{ "intr_user", "KVM_RUNs that return EINTR, before the guest's first instruction", NULL, 0,
	  0, UINT32_MAX, OP_USER, USER_EXIT_INTR, NULL },
	{ "sleep", "one exit to user space, which sleeps that many ms", NULL, 0, 0, 86400000,
	  OP_MSEC, KVM_EXIT_IO, emit_sleep },
	{ "save", "user space saves the vCPU's state ...", NULL, 0, 0, 1, OP_SAVES, KVM_EXIT_IO,
	  emit_save },
	{ "load", "... and sets it back to that: what is between them is done twice", NULL, 0, 0, 1,
	  OP_LOADS, KVM_EXIT_IO, emit_save },
};
const size_t nr_ops = sizeof(ops) / sizeof(ops[0]);

const struct op *op__find(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < nr_ops; i++)
		if (strlen(ops[i].name) == len && !memcmp(ops[i].name, name, len))
			return &ops[i];
	return NULL;
}

unsigned int plan__flags(const struct plan *plan)
{
	unsigned int flags = 0;
	size_t i;

	for (i = 0; i < plan->nr_uses; i++)
		flags |= plan->uses[i].op->flags;
	return flags;
}

uint64_t plan__count(const struct plan *plan, unsigned int flag)
{
	uint64_t count = 0;
	size_t i;

	for (i = 0; i < plan->nr_uses; i++)
		if (plan->uses[i].op->flags & flag)
			count += plan->uses[i].count;
	return count;
}

uint64_t plan__vcpu_touch_pages(const struct plan *plan)
{
	return (plan__count(plan, OP_TOUCH) + PREFETCH - 1) / PREFETCH * PREFETCH;
}

uint64_t plan__touch_pages(const struct plan *plan)
{
	return plan__vcpu_touch_pages(plan) * plan->nr_vcpus;
}

uint64_t plan__log_pages(const struct plan *plan)
{
	uint64_t most = 0;
	size_t i;

	for (i = 0; i < plan->nr_uses; i++)
		if (plan->uses[i].op->flags & OP_LOG && plan->uses[i].count > most)
			most = plan->uses[i].count;
	return most * plan->nr_vcpus;
}

uint64_t plan__times(const struct plan *plan)
{
	uint64_t turns = 0, page = PAGE / sizeof(uint32_t);
	size_t i;

	if (!plan->time)
		return 0;
	for (i = 0; i < plan->nr_uses; i++)
		turns += plan->uses[i].count *
			 (plan->uses[i].op->flags & OP_LOG ? plan->uses[i].arg : 1);
	return (turns + page - 1) / page * page;
}

static uint64_t use__exits(const struct op_use *use)
{
	if (use->op->flags & OP_MSEC)
		return 1;
	if (use->op->flags & OP_TWICE)
		return 2 * use->count;
	return use->op->flags & OP_LOG ? use->arg : use->count;
}

void plan__expect(const struct plan *plan, uint64_t expect[NR_USER_EXITS])
{
	const struct op_use *use;
	bool twice = false;

	for (use = plan->uses; use < plan->uses + plan->nr_uses; use++) {
		if (use->count && use->op->user_exit != USER_EXIT_NONE)
			expect[use->op->user_exit] += use__exits(use) << twice;
		twice = (twice || use->op->flags & OP_SAVES) && !(use->op->flags & OP_LOADS);
	}
	expect[KVM_EXIT_IO]++; /* PORT_END */
}
