/* SPDX-License-Identifier: GPL-2.0-only */
/* --helper: threads of the VMM that do something beside the vCPUs, again and again. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"

enum { MSI_BASE = 0xfee00000, HELPER_VECTOR = 0x62, MANY = 16 };

/* A pulse of a pin. */
static int pulse(struct vm *vm, uint32_t pin)
{
	struct kvm_irq_level line = { .irq = pin, .level = 1 };
	int err = ioctl(vm->fd, KVM_IRQ_LINE, &line);

	line.level = 0;
	return err < 0 ? err : ioctl(vm->fd, KVM_IRQ_LINE, &line);
}

static int send_msi(struct vm *vm)
{
	struct kvm_msi msi = { .address_lo = MSI_BASE, .data = HELPER_VECTOR };

	return ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
}

static void spin(uint64_t us)
{
	uint64_t since = now_ns();

	while (now_ns() - since < us * 1000)
		;
}

static int write_event(int fd)
{
	uint64_t one = 1;

	return write(fd, &one, sizeof(one)) == sizeof(one) ? 0 : -1;
}

static int act(struct vm *vm, const struct helper *helper)
{
	const struct helper_use *use = helper->use;

	switch (use->what) {
	case HELPER_LINE:
		return pulse(vm, use->arg);
	case HELPER_LINES:
		for (int i = 0; i < MANY; i++)
			if (pulse(vm, use->arg) < 0)
				return -1;
		return 0;
	case HELPER_VHOST:
		spin(use->arg);
		return 0;
	case HELPER_IRQFD:
		return write_event(helper->event_fd);
	case HELPER_MSI:
		return send_msi(vm);
	case HELPER_ROUTES:
		return irqs__write_routes(vm);
	case HELPER_KICK:
		/* It may have ended. */
		syscall(SYS_tgkill, getpid(), vm->vcpus[0].tid, SIGUSR1);
		return 0;
	}
	return -1;
}

static void name_thread(const struct helper_use *use)
{
	char name[16];

	/* As the kernel names the one that serves a network device. */
	if (use->what == HELPER_VHOST)
		snprintf(name, sizeof(name), "vhost-%d", getpid());
	else
		snprintf(name, sizeof(name), "helper");
	prctl(PR_SET_NAME, name);
}

static void *run_helper(void *arg)
{
	struct helper *helper = arg;
	const struct helper_use *use = helper->use;
	struct vm *vm = helper->vm;
	const struct sched_param first = { .sched_priority = 1 };
	cpu_set_t set;

	name_thread(use);
	if (use->rt && sched_setscheduler(0, SCHED_FIFO, &first))
		fprintf(stderr, "kvm_guest: SCHED_FIFO: %s\n", strerror(errno));
	prctl(PR_SET_TIMERSLACK, 1UL);
	CPU_ZERO(&set);
	CPU_SET(use->cpu < 0 ? 0 : use->cpu, &set);
	if (use->cpu >= 0 && sched_setaffinity(0, sizeof(set), &set))
		fprintf(stderr, "kvm_guest: a helper on CPU %d: %s\n", use->cpu, strerror(errno));
	while (!atomic_load(&vm->ended)) {
		if (act(vm, helper) < 0) {
			fprintf(stderr, "kvm_guest: a helper: %s\n", strerror(errno));
			break;
		}
		if (use->us)
			sleep_us(use->us);
	}
	return NULL;
}

/* The vCPUs' threads are there. */
int helpers__start(struct vm *vm)
{
	for (size_t i = 0; i < vm->plan->nr_helpers; i++) {
		struct helper *helper = &vm->helpers[i];

		helper->vm = vm;
		helper->use = &vm->plan->helpers[i];
		if (helper->use->what == HELPER_IRQFD) {
			helper->event_fd = helper->use->arg ? irqs__open_pin(vm, helper->use->arg) :
							      irqs__open_fd(vm, HELPER_VECTOR);
			if (helper->event_fd < 0)
				return vm__failed(vm, "an irqfd");
		}
		if (pthread_create(&helper->thread, NULL, run_helper, helper))
			return -1;
		vm->nr_helpers++;
	}
	return 0;
}

/* vm->ended says that they are to go. */
void helpers__end(struct vm *vm)
{
	while (vm->nr_helpers)
		pthread_join(vm->helpers[--vm->nr_helpers].thread, NULL);
}
