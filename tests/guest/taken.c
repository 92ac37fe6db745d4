/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory that user space takes away from the guest again and again: a page of each vCPU. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/userfaultfd.h>

#include "guest.h"

enum { TAKEN_SLOT = 4, TAKEN_SIZE = TAKEN_PAGES * PAGE };

/* (ioctl)() is not counted: these are not KVM's. */

static int open_userfaultfd(struct vm *vm)
{
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)vm->taken, .len = TAKEN_SIZE },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };

	if (!(plan__flags(vm->plan) & OP_UFFD_WP))
		return 0;
	vm->taken_fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (vm->taken_fd < 0)
		return vm__failed(vm, "userfaultfd");
	if ((ioctl)(vm->taken_fd, UFFDIO_API, &api) < 0 ||
	    (ioctl)(vm->taken_fd, UFFDIO_REGISTER, &range) < 0)
		return vm__failed(vm, "userfaultfd's range to write-protect");
	return 0;
}

static int add_taken(struct vm *vm)
{
	return vm__add_slot(vm, TAKEN_SLOT, GPA_TAKEN, vm->taken, TAKEN_SIZE, 0);
}

int taken__setup(struct vm *vm)
{
	if (!(plan__flags(vm->plan) & OP_TAKEN) && !vm->plan->ksm)
		return 0;
	vm->taken = vm__alloc(TAKEN_SIZE);
	if (!vm->taken)
		return vm__failed(vm, "guest RAM to take away");
	if (vm->plan->ksm) {
		memset(vm->taken, 0xa5, TAKEN_SIZE);
		if (madvise(vm->taken, TAKEN_SIZE, MADV_MERGEABLE))
			return vm__failed(vm, "MADV_MERGEABLE");
	}
	if (open_userfaultfd(vm))
		return -1;
	return add_taken(vm);
}

static int write_protect(const struct vm *vm, char *page, uint64_t mode)
{
	struct uffdio_writeprotect range = {
		.range = { .start = (uintptr_t)page, .len = PAGE },
		.mode = mode,
	};

	return (ioctl)(vm->taken_fd, UFFDIO_WRITEPROTECT, &range);
}

/* 0, or -1 and errno. */
int taken__take(struct vcpu *vcpu, uint32_t how)
{
	struct vm *vm = vcpu->vm;
	char *page = (char *)vm->taken + (size_t)vcpu->id * PAGE;
	int err;

	switch (how) {
	case TAKE_DONTNEED:
		return madvise(page, PAGE, MADV_DONTNEED);
	case TAKE_PROTECT:
		err = mprotect(page, PAGE, PROT_READ);
		return err ? err : mprotect(page, PAGE, PROT_READ | PROT_WRITE);
	case TAKE_PAGEOUT:
		return madvise(page, PAGE, MADV_PAGEOUT);
	case TAKE_UFFD_WP:
		err = write_protect(vm, page, UFFDIO_WRITEPROTECT_MODE_WP);
		return err ? err : write_protect(vm, page, 0);
	case TAKE_SLOT:
		err = vm__add_slot(vm, TAKEN_SLOT, GPA_TAKEN, vm->taken, 0, 0);
		return err ? err : add_taken(vm);
	default:
		errno = EINVAL;
		return -1;
	}
}

void taken__close(struct vm *vm)
{
	if (vm->taken_fd >= 0)
		close(vm->taken_fd);
	if (vm->taken)
		munmap(vm->taken, TAKEN_SIZE);
}
