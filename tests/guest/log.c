/* SPDX-License-Identifier: GPL-2.0-only */
/* The slot with dirty logging on, and how user space reads the log. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

static int enable(struct vm *vm, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { arg } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &enable);
}

/* Before the first vCPU. The slot's memory is written, so that only the guest's faults count. */
int log__setup_vm(struct vm *vm)
{
	vm->log_size = plan__log_pages(vm->plan) * PAGE;
	pthread_mutex_init(&vm->log_lock, NULL);
	if (!vm->log_size)
		return 0;
	if (vm->plan->log == LOG_RING && enable(vm, KVM_CAP_DIRTY_LOG_RING, LOG_RING_BYTES))
		return vm__failed(vm, "KVM_CAP_DIRTY_LOG_RING");
	if (vm->plan->log == LOG_CLEAR &&
	    enable(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE))
		return vm__failed(vm, "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
	vm->log = vm__alloc(vm->log_size);
	if (!vm->log)
		return vm__failed(vm, "guest RAM with a dirty log");
	memset(vm->log, 0, vm->log_size);
	/* A log that is on for all of the guest's memory. */
	if (vm->plan->log == LOG_NONE &&
	    vm__add_slot(vm, 0, 0, vm->ram, RAM_SIZE, KVM_MEM_LOG_DIRTY_PAGES))
		return -1;
	return vm__add_slot(vm, LOG_SLOT, GPA_LOG, vm->log, vm->log_size, KVM_MEM_LOG_DIRTY_PAGES);
}

int log__setup_vcpu(struct vcpu *vcpu)
{
	void *ring;

	if (!vcpu->vm->log_size || vcpu->vm->plan->log != LOG_RING)
		return 0;
	ring = mmap(NULL, LOG_RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd,
		    KVM_DIRTY_LOG_PAGE_OFFSET * PAGE);
	if (ring == MAP_FAILED)
		return vm__failed(vcpu->vm, "mapping the dirty ring");
	vcpu->ring = ring;
	return 0;
}

void log__close(struct vm *vm)
{
	if (vm->log)
		munmap(vm->log, vm->log_size);
}

/* What the vCPU's ring holds, and makes the pages clean again. */
static int read_ring(struct vcpu *vcpu)
{
	static const size_t entries = LOG_RING_BYTES / sizeof(struct kvm_dirty_gfn);
	struct vm *vm = vcpu->vm;

	for (;;) {
		struct kvm_dirty_gfn *entry = &vcpu->ring[vcpu->ring_next % entries];

		if (!(__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY))
			break;
		vm->log_pages += entry->slot == LOG_SLOT;
		__atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
		vcpu->ring_next++;
	}
	return ioctl(vm->fd, KVM_RESET_DIRTY_RINGS) < 0 ? -1 : 0;
}

static int read_bitmap(struct vm *vm)
{
	size_t pages = vm->log_size / PAGE, words = (pages + 63) / 64;
	uint64_t *bits = calloc(words, sizeof(*bits));
	struct kvm_dirty_log log = { .slot = LOG_SLOT, .dirty_bitmap = bits };
	struct kvm_clear_dirty_log clear = {
		.slot = LOG_SLOT,
		.num_pages = pages,
		.dirty_bitmap = bits,
	};
	int err = -1;

	if (bits)
		err = ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
	if (!err && vm->plan->log == LOG_CLEAR)
		err = ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &clear);
	for (size_t i = 0; !err && i < words; i++)
		vm->log_pages += __builtin_popcountll(bits[i]);
	free(bits);
	return err;
}

int log__read(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	int err;

	pthread_mutex_lock(&vm->log_lock);
	if (vm->plan->log == LOG_NONE)
		err = 0;
	else
		err = vm->plan->log == LOG_RING ? read_ring(vcpu) : read_bitmap(vm);
	vm->log_reads++;
	pthread_mutex_unlock(&vm->log_lock);
	if (err)
		vcpu__error(vcpu, "reading the dirty log: %s", strerror(errno));
	return err;
}
