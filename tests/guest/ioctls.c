/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The op ioctls: what a monitor of ioctls decodes, called with values that a
 * test knows, and calls that fail. What each returned is in the tally; whether
 * a kernel has a command at all does not matter here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"

/* Newer than some headers this is built with. */
#define SET_USER_MEMORY_REGION2 0x40a0ae49UL
#define UNKNOWN_COMMAND 0x1234aeffUL /* of KVM's type, but nobody's */
#define FOREIGN_COMMAND 0x5451UL     /* FIOCLEX: not KVM's, on a descriptor of KVM's */

enum { SLOT_GPA = 0x80000000, SLOT_SIZE = 16 * PAGE, SLOT_FIRST = 8, SCRATCH_VCPU = 3 };

struct region2 {
	uint32_t slot, flags;
	uint64_t gpa, size, addr, guest_memfd_offset;
	uint32_t guest_memfd, pad1;
	uint64_t pad2[14];
};

static void call_slot(struct vcpu *vcpu, void *mem)
{
	uint64_t gpa = SLOT_GPA + (uint64_t)vcpu->id * SLOT_SIZE;
	struct kvm_userspace_memory_region region = {
		.slot = SLOT_FIRST + vcpu->id,
		.flags = KVM_MEM_LOG_DIRTY_PAGES,
		.guest_phys_addr = gpa,
		.memory_size = SLOT_SIZE,
		.userspace_addr = (uintptr_t)mem,
	};
	struct region2 region2 = {
		.slot = region.slot, .gpa = gpa, .size = SLOT_SIZE, .addr = (uintptr_t)mem
	};
	uint64_t bitmap = 0;
	struct kvm_dirty_log log = { .slot = region.slot, .dirty_bitmap = &bitmap };
	int fd = vcpu->vm->fd;

	ioctl(fd, KVM_SET_USER_MEMORY_REGION, &region);
	ioctl(fd, KVM_GET_DIRTY_LOG, &log);
	region.memory_size = 0;
	ioctl(fd, KVM_SET_USER_MEMORY_REGION, &region);
	ioctl(fd, KVM_GET_DIRTY_LOG, &log); /* ENOENT: it is gone */
	region.memory_size = PAGE + 1;
	ioctl(fd, KVM_SET_USER_MEMORY_REGION, &region); /* EINVAL */
	ioctl(fd, SET_USER_MEMORY_REGION2, &region2);
	region2.size = 0;
	ioctl(fd, SET_USER_MEMORY_REGION2, &region2);
}

static void call_vm(int kvm_fd)
{
	int vm = ioctl(kvm_fd, KVM_CREATE_VM, 0), vcpu;

	ioctl(kvm_fd, KVM_CREATE_VM, 0x1234); /* EINVAL */
	ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP);
	if (vm < 0)
		return;
	ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
	vcpu = ioctl(vm, KVM_CREATE_VCPU, SCRATCH_VCPU);
	ioctl(vm, KVM_CREATE_VCPU, SCRATCH_VCPU); /* EEXIST */
	ioctl(vm, KVM_CREATE_VCPU, 0x7fffffff);	  /* EINVAL */
	if (vcpu >= 0)
		close(vcpu);
	close(vm);
}

static void call_vcpu(struct vcpu *vcpu)
{
	struct kvm_translation translation = { .linear_address = vcpu__code_gpa(vcpu) };
	struct kvm_interrupt interrupt = { .irq = 33 };
	struct kvm_vcpu_events events;

	if (!ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events))
		ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	ioctl(vcpu->fd, KVM_TRANSLATE, &translation);
	ioctl(vcpu->fd, KVM_INTERRUPT, &interrupt); /* ENXIO: KVM has the irqchip */
}

/* An MSI to nobody, a line nobody listens to. */
static void call_irqs(struct vm *vm)
{
	struct kvm_msi msi = { .address_lo = 0xfee20000, .data = 0x31 };
	struct kvm_irq_level line = { .irq = 5, .level = 1 };
	struct kvm_irq_level status = { .irq = 6, .level = 1 };
	struct kvm_enable_cap cap = { .cap = 9999, .flags = 0, .args = { 1, 2, 3, 4 } };
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entries[3];
	} routes = {
		.head.nr = 3,
		.entries = {
			{ .gsi = 5, .type = KVM_IRQ_ROUTING_IRQCHIP,
			  .u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = 5 } },
			{ .gsi = 6, .type = KVM_IRQ_ROUTING_IRQCHIP,
			  .u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = 6 } },
			{ .gsi = 24, .type = KVM_IRQ_ROUTING_MSI,
			  .u.msi = { .address_lo = 0xfee20000, .data = 0x32 } },
		},
	};

	ioctl(vm->fd, KVM_IRQ_LINE, &line);
	line.level = 0;
	ioctl(vm->fd, KVM_IRQ_LINE, &line);
	ioctl(vm->fd, KVM_IRQ_LINE_STATUS, &status);
	status = (struct kvm_irq_level){ .irq = 6, .level = 0 };
	ioctl(vm->fd, KVM_IRQ_LINE_STATUS, &status);
	ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
	ioctl(vm->fd, KVM_SET_GSI_ROUTING, &routes);
	ioctl(vm->fd, KVM_ENABLE_CAP, &cap); /* EINVAL */
}

static void call_eventfds(struct vcpu *vcpu)
{
	int fd = eventfd(0, EFD_CLOEXEC), vm = vcpu->vm->fd;
	struct kvm_irqfd irqfd = { .fd = fd, .gsi = 5 };
	struct kvm_ioeventfd io = { .datamatch = 7,
				    .addr = 0x1230 + vcpu->id * 2,
				    .len = 2,
				    .fd = fd,
				    .flags =
					    KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH };

	if (fd < 0)
		return;
	ioctl(vm, KVM_IRQFD, &irqfd);
	irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	ioctl(vm, KVM_IRQFD, &irqfd);
	irqfd = (struct kvm_irqfd){ .fd = -1, .gsi = 5 };
	ioctl(vm, KVM_IRQFD, &irqfd); /* EBADF */
	ioctl(vm, KVM_IOEVENTFD, &io);
	io.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	ioctl(vm, KVM_IOEVENTFD, &io);
	io.flags = KVM_IOEVENTFD_FLAG_PIO;
	io.len = 3;
	ioctl(vm, KVM_IOEVENTFD, &io); /* EINVAL */
	/* KVM's number on another's descriptor: not KVM's, so not in the tally. */
	syscall(SYS_ioctl, fd, KVM_GET_REGS, &irqfd);
	close(fd);
}

static void call_others(struct vm *vm)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_VFIO };
	struct kvm_device_attr attr = { .group = 99 };

	ioctl(vm->fd, UNKNOWN_COMMAND, 0);
	ioctl(vm->fd, FOREIGN_COMMAND, 0);
	/* A VM has one at most: closed, so that the next round may have it. */
	if (!ioctl(vm->fd, KVM_CREATE_DEVICE, &device)) {
		ioctl(device.fd, KVM_HAS_DEVICE_ATTR, &attr); /* ENXIO */
		close(device.fd);
	}
}

int ioctls__call(struct vcpu *vcpu, uint64_t count)
{
	void *mem;

	if (!count)
		return 0;
	mem = mmap(NULL, SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED) {
		vcpu__error(vcpu, "memory for ioctls: %s", strerror(errno));
		return -1;
	}
	while (count--) {
		call_vm(vcpu->vm->kvm_fd);
		call_slot(vcpu, mem);
		call_vcpu(vcpu);
		call_irqs(vcpu->vm);
		call_eventfds(vcpu);
		call_others(vcpu->vm);
	}
	munmap(mem, SLOT_SIZE);
	return 0;
}

int ioctls__call_each(struct vcpu *vcpu, const struct op_use *use)
{
	/* Of no type that anybody has, and past the tally, which has no room for so many. */
	for (unsigned long nr = 0; nr < use->count; nr++)
		syscall(SYS_ioctl, vcpu->vm->fd, 0x5a000000UL + nr, 0);
	return 0;
}
