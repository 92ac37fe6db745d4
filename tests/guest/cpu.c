/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "guest.h"

enum {
	CR0_PE = 1 << 0,
	CR0_MP = 1 << 1,
	CR0_ET = 1 << 4,
	CR0_NE = 1 << 5,
	CR0_WP = 1 << 16,
	CR4_PAE = 1 << 5,
	EFER_LME = 1 << 8,
	EFER_LMA = 1 << 10,
	PTE_PRESENT = 1 << 0,
	PTE_WRITE = 1 << 1,
	PTE_ACCESSED = 1 << 5,
	PTE_DIRTY = 1 << 6,
	PTE_LARGE = 1 << 7,
};

#define CR0_PG 0x80000000U
#define MB2 0x200000ULL

/* Accessed and dirty are set from the start: the CPU has nothing to write. */
enum {
	TABLE = PTE_PRESENT | PTE_WRITE | PTE_ACCESSED,
	LEAF = TABLE | PTE_DIRTY | PTE_LARGE,
};

static uint64_t *table(struct vm *vm, uint64_t gpa)
{
	return (uint64_t *)vm__ram(vm, gpa);
}

void cpu__page_tables(struct vm *vm)
{
	uint64_t i;

	table(vm, GPA_PML4)[0] = GPA_PDPT | TABLE;
	for (i = 0; i < 4; i++)
		table(vm, GPA_PDPT)[i] = (GPA_PD + i * PAGE) | TABLE;
	for (i = 0; i < 4 * 512ULL; i++)
		table(vm, GPA_PD)[i] = i * MB2 | LEAF;
}

/* The table below an entry; made where there is none yet. 0: no room. */
static uint64_t next_table(struct vm *vm, uint64_t *entry)
{
	uint64_t gpa = GPA_TABLES + (uint64_t)vm->nr_tables * PAGE;

	if (*entry & PTE_PRESENT)
		return *entry & ~(uint64_t)(PAGE - 1);
	if (gpa >= GPA_HANDLER)
		return 0;
	vm->nr_tables++;
	*entry = gpa | TABLE;
	return gpa;
}

int cpu__map(struct vm *vm, uint64_t gpa)
{
	uint64_t pdpt, pd;

	if (gpa >> 32 == 0)
		return 0;
	pdpt = next_table(vm, table(vm, GPA_PML4) + (gpa >> 39));
	pd = pdpt ? next_table(vm, table(vm, pdpt) + ((gpa >> 30) & 511)) : 0;
	if (!pd) {
		fprintf(stderr, "kvm_guest: too many different MMIO addresses above 4 GiB\n");
		return -1;
	}
	table(vm, pd)[(gpa >> 21) & 511] = (gpa & ~(MB2 - 1)) | LEAF;
	return 0;
}

static struct kvm_segment segment(uint64_t base, uint32_t limit, uint8_t type)
{
	return (struct kvm_segment){
		.base = base,
		.selector = base >> 4,
		.limit = limit,
		.type = type,
		.present = 1,
		.s = 1,
		.g = limit > 0xfffff,
	};
}

static void set_real(struct kvm_sregs *s, uint64_t code, uint64_t data)
{
	s->cs = segment(code, 0xffff, 0xb);
	s->ss = segment(data, 0xffff, 0x3);
	/* More than real mode gives: 32-bit addresses reach everything. */
	s->ds = segment(0, 0xffffffff, 0x3);
	s->cr0 = CR0_ET | CR0_NE;
}

static void set_long(struct kvm_sregs *s)
{
	s->cs = segment(0, 0xffffffff, 0xb);
	s->cs.selector = 0x8;
	s->cs.l = 1;
	s->ds = segment(0, 0xffffffff, 0x3);
	s->ds.selector = 0x10;
	s->ds.db = 1;
	s->ss = s->ds;
	s->cr3 = GPA_PML4;
	s->cr4 = CR4_PAE;
	s->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	s->efer = EFER_LME | EFER_LMA;
}

/* No interrupt table for most guests: whatever faults ends in KVM_EXIT_SHUTDOWN. */
int cpu__setup(struct vcpu *vcpu)
{
	uint64_t code = vcpu__code_gpa(vcpu), data = vcpu__data_gpa(vcpu);
	bool real = vcpu->vm->plan->mode == MODE_REAL;
	struct kvm_regs regs = {
		.rflags = 2, .rip = real ? 0 : code, .rbp = data, .rsp = real ? PAGE : data + PAGE
	};
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		goto error;
	if (real)
		set_real(&sregs, code, data);
	else
		set_long(&sregs);
	sregs.es = sregs.fs = sregs.gs = sregs.ds;
	sregs.idt.base = 0;
	sregs.idt.limit = 0;
	if (plan__flags(vcpu->vm->plan) & OP_TAKES) {
		sregs.idt.base = GPA_IDT;
		sregs.idt.limit = PAGE - 1;
		sregs.gdt.base = GPA_GDT;
		sregs.gdt.limit = 3 * 8 - 1;
	}
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		goto error;
	return 0;
error:
	fprintf(stderr, "kvm_guest: vm %u vcpu %u: setting registers: %s\n", vcpu->vm->id, vcpu->id,
		strerror(errno));
	return -1;
}
