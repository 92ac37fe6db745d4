/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "guest.h"

static const char *const exit_names[NR_USER_EXITS] = {
	[KVM_EXIT_UNKNOWN] = "UNKNOWN",
	[KVM_EXIT_EXCEPTION] = "EXCEPTION",
	[KVM_EXIT_IO] = "IO",
	[KVM_EXIT_HYPERCALL] = "HYPERCALL",
	[KVM_EXIT_DEBUG] = "DEBUG",
	[KVM_EXIT_HLT] = "HLT",
	[KVM_EXIT_MMIO] = "MMIO",
	[KVM_EXIT_IRQ_WINDOW_OPEN] = "IRQ_WINDOW_OPEN",
	[KVM_EXIT_SHUTDOWN] = "SHUTDOWN",
	[KVM_EXIT_FAIL_ENTRY] = "FAIL_ENTRY",
	[KVM_EXIT_INTR] = "INTR",
	[KVM_EXIT_SET_TPR] = "SET_TPR",
	[KVM_EXIT_INTERNAL_ERROR] = "INTERNAL_ERROR",
	[KVM_EXIT_SYSTEM_EVENT] = "SYSTEM_EVENT",
	[KVM_EXIT_X86_RDMSR] = "X86_RDMSR",
	[KVM_EXIT_X86_WRMSR] = "X86_WRMSR",
	[KVM_EXIT_XEN] = "XEN",
	[USER_EXIT_INTR] = "INTR",
};

const char *user_exit__name(unsigned int reason, char *buf, size_t size)
{
	if (reason < NR_USER_EXITS && exit_names[reason])
		snprintf(buf, size, "%s", exit_names[reason]);
	else
		snprintf(buf, size, "%u", reason);
	return buf;
}

static void print_exits(const char *key, const uint64_t exits[NR_USER_EXITS])
{
	const char *comma = "";
	char name[32];
	unsigned int i;

	printf(",\"%s\":{", key);
	for (i = 0; i < NR_USER_EXITS; i++) {
		if (!exits[i])
			continue;
		printf("%s\"%s\":%llu", comma, user_exit__name(i, name, sizeof(name)),
		       (unsigned long long)exits[i]);
		comma = ",";
	}
	printf("}");
}

/* An op given several times is one number. */
static void print_ops(const struct plan *plan)
{
	const char *comma = "";
	size_t i, use;

	printf(",\"ops\":{");
	for (i = 0; i < nr_ops; i++) {
		uint64_t count = 0;

		for (use = 0; use < plan->nr_uses; use++)
			if (plan->uses[use].op == &ops[i])
				count += plan->uses[use].count;
		if (!count)
			continue;
		printf("%s\"%s\":%llu", comma, ops[i].name, (unsigned long long)count);
		comma = ",";
	}
	printf("}");
}

static int by_value(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* What the guest measured itself: ticks of the TSC from the beginning to the end of each turn. */
static void print_times(const struct vcpu *vcpu)
{
	uint32_t *times =
		(uint32_t *)((char *)vcpu->vm->times + (vcpu__times_gpa(vcpu) - GPA_TIMES));
	size_t nr = 0, most = plan__times(vcpu->vm->plan);
	uint64_t sum = 0;

	while (nr < most && times[nr])
		sum += times[nr++];
	if (!nr)
		return;
	qsort(times, nr, sizeof(*times), by_value);
	printf(",\"ticks\":{\"turns\":%zu,\"min\":%u,\"p10\":%u,\"median\":%u,\"p90\":%u,\"mean\":%"
	       ".1f}",
	       nr, times[0], times[nr / 10], times[nr / 2], times[nr * 9 / 10], (double)sum / nr);
}

void report__vcpu(const struct vcpu *vcpu)
{
	const struct vm *vm = vcpu->vm;
	uint64_t expect[NR_USER_EXITS] = { 0 };

	plan__expect(vm->plan, expect);
	printf("{\"what\":\"vcpu\",\"round\":%u,\"vm\":%u,\"pid\":%d,\"tid\":%d,\"vcpu\":%u",
	       vm->round, vm->id, getpid(), vcpu->tid, vcpu__id(vcpu));
	print_ops(vm->plan);
	print_exits("user_exits", vcpu->user_exits);
	print_exits("expect", expect);
	printf(",\"runs\":%llu,\"slept_ns\":%llu,\"run_delay_ns\":%llu",
	       (unsigned long long)vcpu->runs, (unsigned long long)vcpu->slept_ns,
	       (unsigned long long)vcpu->run_delay_ns);
	printf(",\"irqs_taken\":%u", *(uint32_t *)vm__ram(vm, vcpu__data_gpa(vcpu) + IRQ_COUNT_AT));
	print_times(vcpu);
	printf("}\n");
	fflush(stdout);
}

/* Where a slot of the guest is: what a monitor says of it can be compared. */
static void print_slot(const char *key, int slot, uint64_t gpa, const void *mem, size_t size)
{
	if (size)
		printf(",\"%s\":{\"slot\":%d,\"gpa\":%llu,\"hva\":%llu,\"pages\":%zu}", key, slot,
		       (unsigned long long)gpa, (unsigned long long)(uintptr_t)mem, size / PAGE);
}

void report__vm(const struct vm *vm)
{
	printf("{\"what\":\"vm\",\"round\":%u,\"vm\":%u,\"pid\":%d,\"vcpus\":%u,\"stats\":",
	       vm->round, vm->id, getpid(), vm->plan->nr_vcpus);
	stats__print(stdout, vm);
	print_slot("ram_slot", 0, 0, vm->ram, RAM_SIZE);
	print_slot("touch_slot", 1, GPA_TOUCH, vm->touch, vm->touch_size);
	print_slot("taken_slot", 4, GPA_TAKEN, vm->taken, vm->taken ? TAKEN_PAGES * PAGE : 0);
	print_slot("log_slot", 2, GPA_LOG, vm->log, vm->log_size);
	printf(",\"slow_ns\":%llu", (unsigned long long)vm->slow_ns);
	printf(",\"log\":{\"reads\":%llu,\"pages\":%llu}", (unsigned long long)vm->log_reads,
	       (unsigned long long)vm->log_pages);
	printf("}\n");
	fflush(stdout);
}

/* To be called from the vCPU's own thread, or when that has ended. */
void vcpu__error(struct vcpu *vcpu, const char *fmt, ...)
{
	struct kvm_regs regs = { 0 };
	char what[128];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	ioctl(vcpu->fd, KVM_GET_REGS, &regs);
	fprintf(stderr, "kvm_guest: vm %u vcpu %u: %s (rip 0x%llx)\n", vcpu->vm->id, vcpu->id, what,
		(unsigned long long)regs.rip);
}
