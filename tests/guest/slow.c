/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that user space fills in slowly: the vCPU that touches a page of it
 * sleeps inside KVM_RUN, and is not halted.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/userfaultfd.h>

#include "guest.h"

enum { POLL_MS = 100 };

/* (ioctl)() is not counted: these are not KVM's. */

static uint64_t delay_ms(const struct plan *plan)
{
	size_t i;

	for (i = 0; i < plan->nr_uses; i++)
		if (plan->uses[i].op->flags & OP_SLOW)
			return plan->uses[i].arg;
	return 0;
}

/* Every fault waits its time and then gets a page of zeroes. */
static void *pager(void *arg)
{
	struct vm *vm = arg;
	struct pollfd ready = { .fd = vm->slow_fd, .events = POLLIN };
	struct uffd_msg msg;

	while (!atomic_load(&vm->ended)) {
		struct uffdio_zeropage zero = { .range.len = PAGE };
		uint64_t since;

		if (poll(&ready, 1, POLL_MS) <= 0 || read(vm->slow_fd, &msg, sizeof(msg)) <= 0)
			continue;
		since = now_ns();
		sleep_us(delay_ms(vm->plan) * 1000);
		vm->slow_ns += now_ns() - since;
		zero.range.start = msg.arg.pagefault.address & ~(uint64_t)(PAGE - 1);
		if ((ioctl)(vm->slow_fd, UFFDIO_ZEROPAGE, &zero) < 0 && errno != EEXIST)
			perror("kvm_guest: UFFDIO_ZEROPAGE");
	}
	return NULL;
}

int slow__setup(struct vm *vm)
{
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)vm->touch, .len = vm->touch_size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_api api = { .api = UFFD_API };

	if (!(plan__flags(vm->plan) & OP_SLOW))
		return 0;
	vm->slow_fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (vm->slow_fd < 0)
		return vm__failed(vm, "userfaultfd");
	if ((ioctl)(vm->slow_fd, UFFDIO_API, &api) < 0 ||
	    (ioctl)(vm->slow_fd, UFFDIO_REGISTER, &range) < 0)
		return vm__failed(vm, "userfaultfd's range");
	vm->paging = !pthread_create(&vm->pager, NULL, pager, vm);
	return vm->paging ? 0 : vm__failed(vm, "a thread for userfaultfd");
}

/* The VM's vCPUs have ended, and vm->ended says so. */
void slow__close(struct vm *vm)
{
	if (vm->paging)
		pthread_join(vm->pager, NULL);
	if (vm->slow_fd >= 0)
		close(vm->slow_fd);
}
