/* SPDX-License-Identifier: GPL-2.0-only */
/* Makes VMs ready to run, and takes them down. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "code.h"

/* VMX keeps a task state segment and a page table of its own in the guest. */
enum { TSS_ADDR = 0xfffbd000, IDENTITY_MAP_ADDR = 0xfffbc000 };
enum { HUGE = 2 << 20, FIRST_SLOT = 5 };
enum { MAX_CPUID = 256, APIC_SPIV = 0xf0 };

int vm__failed(const struct vm *vm, const char *what)
{
	fprintf(stderr, "kvm_guest: vm %u: %s: %s\n", vm->id, what, strerror(errno));
	return -1;
}

uint8_t *vm__ram(const struct vm *vm, uint64_t gpa)
{
	return vm->ram + gpa;
}

uint64_t vcpu__code_gpa(const struct vcpu *vcpu)
{
	return GPA_VCPUS + (uint64_t)vcpu->id * VCPU_AREA;
}

uint64_t vcpu__data_gpa(const struct vcpu *vcpu)
{
	return vcpu__code_gpa(vcpu) + PAGE;
}

uint64_t vcpu__times_gpa(const struct vcpu *vcpu)
{
	return GPA_TIMES + vcpu->id * plan__times(vcpu->vm->plan) * sizeof(uint32_t);
}

/* 0 for an MSR that KVM does not have. */
uint64_t vcpu__get_msr(const struct vcpu *vcpu, uint32_t index)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { .head.nmsrs = 1, .entry.index = index };

	if (ioctl(vcpu->fd, KVM_GET_MSRS, &msr) != 1)
		return 0;
	return msr.entry.data;
}

uint32_t vcpu__tsc_khz(const struct vcpu *vcpu)
{
	int khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ);

	return khz > 0 ? khz : 1000000;
}

/* Small pages only: N touched pages are N faults on every machine. */
void *vm__alloc(size_t size)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		return NULL;
	madvise(mem, size, MADV_NOHUGEPAGE);
	return mem;
}

int vm__add_slot(struct vm *vm, uint32_t slot, uint64_t gpa, void *mem, size_t size, uint32_t flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)mem,
	};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return vm__failed(vm, "KVM_SET_USER_MEMORY_REGION");
	return 0;
}

/*
 * The same with 2 MiB pages, as far as the host gives them: aligned, so that
 * KVM can map them as such, and there before the guest asks, or not.
 */
static void *alloc_huge(size_t size, bool now)
{
	char *room = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t skip = -(uintptr_t)room & (HUGE - 1);
	char *mem = room + skip;

	if (room == MAP_FAILED)
		return NULL;
	if (skip)
		munmap(room, skip);
	if (HUGE - skip)
		munmap(mem + size, HUGE - skip);
	madvise(mem, size, MADV_HUGEPAGE);
	if (now)
		memset(mem, 0, size);
	return mem;
}

static int setup_times(struct vm *vm)
{
	vm->times_size = plan__times(vm->plan) * vm->plan->nr_vcpus * sizeof(uint32_t);
	if (!vm->times_size)
		return 0;
	vm->times = vm__alloc(vm->times_size);
	if (!vm->times)
		return vm__failed(vm, "guest RAM for times");
	return vm__add_slot(vm, 3, GPA_TIMES, vm->times, vm->times_size, 0);
}

static int setup_memory(struct vm *vm)
{
	vm->ram = vm__alloc(RAM_SIZE);
	if (!vm->ram)
		return vm__failed(vm, "guest RAM");
	if (vm__add_slot(vm, 0, 0, vm->ram, RAM_SIZE, 0))
		return -1;
	cpu__page_tables(vm);
	if (plan__flags(vm->plan) & OP_TAKES)
		irqs__tables(vm);
	vm->touch_size = plan__touch_pages(vm->plan) * PAGE;
	if (!vm->touch_size)
		return 0;
	vm->touch = vm->plan->huge || vm->plan->thp ? alloc_huge(vm->touch_size, vm->plan->huge) :
						      vm__alloc(vm->touch_size);
	if (!vm->touch)
		return vm__failed(vm, "guest RAM to touch");
	if (slow__setup(vm))
		return -1;
	return vm__add_slot(vm, 1, GPA_TOUCH, vm->touch, vm->touch_size, 0);
}

/* Which of the 128 lists of KVM's table has the slot of that number: the kernel's hash_min(). */
static uint32_t slot_list(uint32_t slot)
{
	return slot * 0x61c88647U >> 25;
}

/* The lists one after the other, and the logged slot's first: it then is as long as it can be. */
static int setup_slots(struct vm *vm)
{
	unsigned int nr = 0;
	int most;

	if (!vm->plan->nr_slots)
		return 0;
	most = ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
	for (unsigned int list = 0; list < 128; list++)
		for (int slot = FIRST_SLOT; slot < most && nr < vm->plan->nr_slots; slot++) {
			if (slot_list(slot) != (slot_list(LOG_SLOT) + list) % 128)
				continue;
			if (vm__add_slot(vm, slot, GPA_SLOTS + 2ULL * PAGE * nr++, vm->ram, PAGE,
					 0))
				return -1;
		}
	if (nr == vm->plan->nr_slots)
		return 0;
	fprintf(stderr, "kvm_guest: this KVM has room for %u further slots\n", nr);
	return -1;
}

static int map_mmio(struct vm *vm)
{
	const struct op_use *use = vm->plan->uses;
	size_t i;

	for (i = 0; i < vm->plan->nr_uses; i++)
		if (use[i].op->flags & OP_GPA && cpu__map(vm, use[i].arg))
			return -1;
	return 0;
}

/* KVM_GET_SUPPORTED_CPUID leaves this one to KVM_CAP_TSC_DEADLINE_TIMER. */
static int add_tsc_timer(struct vcpu *vcpu, struct kvm_cpuid2 *cpuid)
{
	enum { ECX_TSC_DEADLINE = 1 << 24 };

	if (ioctl(vcpu->vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) <= 0) {
		fprintf(stderr, "kvm_guest: this KVM lacks KVM_CAP_TSC_DEADLINE_TIMER\n");
		return -1;
	}
	for (unsigned int i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == 1)
			cpuid->entries[i].ecx |= ECX_TSC_DEADLINE;
	return 0;
}

/* Puts Hyper-V's leaves in the place of KVM's; the guest's id turns its hypercalls on. */
static int become_hyperv(struct vcpu *vcpu, struct kvm_cpuid2 *cpuid)
{
	enum { FIRST_LEAF = 0x40000000, LAST_LEAF = 0x400000ff, GUEST_OS_ID = 0x40000000 };
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { .head.nmsrs = 1, .entry = { .index = GUEST_OS_ID, .data = 1 } };
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[32];
	} hv = { .head.nent = 32 };
	unsigned int kept = 0;

	if (ioctl(vcpu->fd, KVM_GET_SUPPORTED_HV_CPUID, &hv) < 0)
		return vm__failed(vcpu->vm, "KVM_GET_SUPPORTED_HV_CPUID");
	for (unsigned int i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function < FIRST_LEAF ||
		    cpuid->entries[i].function > LAST_LEAF)
			cpuid->entries[kept++] = cpuid->entries[i];
	for (unsigned int i = 0; i < hv.head.nent && kept < MAX_CPUID; i++)
		cpuid->entries[kept++] = hv.entries[i];
	cpuid->nent = kept;
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid) < 0)
		return vm__failed(vcpu->vm, "KVM_SET_CPUID2");
	if (ioctl(vcpu->fd, KVM_SET_MSRS, &msr) != 1)
		return vm__failed(vcpu->vm, "KVM_SET_MSRS of HV_X64_MSR_GUEST_OS_ID");
	return 0;
}

static int set_cpuid(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid;
	int err = -1;

	cpuid = calloc(1, sizeof(*cpuid) + MAX_CPUID * sizeof(cpuid->entries[0]));
	if (!cpuid)
		return vm__failed(vcpu->vm, "CPUID table");
	cpuid->nent = MAX_CPUID;
	if (ioctl(vcpu->vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
		vm__failed(vcpu->vm, "KVM_GET_SUPPORTED_CPUID");
	else if (plan__flags(vcpu->vm->plan) & OP_TSC_TIMER && add_tsc_timer(vcpu, cpuid))
		err = -1;
	else if (plan__flags(vcpu->vm->plan) & OP_HYPERV)
		err = become_hyperv(vcpu, cpuid);
	else if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid) < 0)
		vm__failed(vcpu->vm, "KVM_SET_CPUID2");
	else
		err = 0;
	free(cpuid);
	return err;
}

/*
 * Enables the APIC by its spurious-interrupt register. Writing its state also
 * makes KVM enter the vCPU into its table of interrupt destinations, which
 * creating a vCPU alone does not.
 */
static int enable_apic(struct vcpu *vcpu)
{
	static const uint32_t enabled = 0x1ff;
	struct kvm_lapic_state apic;

	if (ioctl(vcpu->fd, KVM_GET_LAPIC, &apic) < 0)
		return vm__failed(vcpu->vm, "KVM_GET_LAPIC");
	memcpy(apic.regs + APIC_SPIV, &enabled, sizeof(enabled));
	if (ioctl(vcpu->fd, KVM_SET_LAPIC, &apic) < 0)
		return vm__failed(vcpu->vm, "KVM_SET_LAPIC");
	return 0;
}

/* With an in-kernel APIC all but the first vCPU wait for a start-up IPI. */
static int setup_irqchip(struct vcpu *vcpu)
{
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_RUNNABLE };

	if (!(plan__flags(vcpu->vm->plan) & OP_IRQCHIP))
		return 0;
	if (ioctl(vcpu->fd, KVM_SET_MP_STATE, &state) < 0)
		return vm__failed(vcpu->vm, "KVM_SET_MP_STATE");
	return enable_apic(vcpu);
}

static int emit_code(struct vcpu *vcpu)
{
	const struct plan *plan = vcpu->vm->plan;
	struct code code = { .buf = vm__ram(vcpu->vm, vcpu__code_gpa(vcpu)),
			     .size = PAGE,
			     .mode = plan->mode,
			     .timed = plan->time };
	size_t i;

	/* Written from the start, or the waker's reading first costs another fault. */
	memset(vm__ram(vcpu->vm, vcpu__data_gpa(vcpu)), 0, PAGE);
	vcpu->touch_gpa = GPA_TOUCH + vcpu->id * plan__vcpu_touch_pages(plan) * PAGE;
	if (plan->time)
		code__times_at(&code, vcpu__times_gpa(vcpu));
	for (i = 0; i < plan->nr_uses; i++)
		if (plan->uses[i].count && plan->uses[i].op->emit)
			plan->uses[i].op->emit(&code, vcpu, &plan->uses[i]);
	if (plan->forever)
		code__jump_to_start(&code);
	code__out_eax(&code, PORT_END);
	if (!code.overflow)
		return 0;
	fprintf(stderr, "kvm_guest: the OPs do not fit into a page of code\n");
	return -1;
}

static int step(struct vcpu *vcpu)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };

	if (ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug) < 0)
		return vm__failed(vcpu->vm, "KVM_SET_GUEST_DEBUG");
	return 0;
}

/*
 * A source of Hyper-V's synthetic interrupts whose interrupts end by themselves, as Windows sets
 * it up where it is not told that this is slow.
 */
static int add_auto_eoi(struct vcpu *vcpu)
{
	enum { SINT0 = 0x40000090, AUTO_EOI = 1 << 17, SYNIC_VECTOR = 0x63 };
	struct kvm_enable_cap synic = { .cap = KVM_CAP_HYPERV_SYNIC };
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { .head.nmsrs = 1, .entry = { .index = SINT0, .data = AUTO_EOI | SYNIC_VECTOR } };

	if (ioctl(vcpu->fd, KVM_ENABLE_CAP, &synic) < 0)
		return vm__failed(vcpu->vm, "KVM_CAP_HYPERV_SYNIC");
	return ioctl(vcpu->fd, KVM_SET_MSRS, &msr) == 1 ?
		       0 :
		       vm__failed(vcpu->vm, "KVM_SET_MSRS of HV_X64_MSR_SINT0");
}

unsigned int vcpu__id(const struct vcpu *vcpu)
{
	unsigned int step = vcpu->vm->plan->id_step;

	/* The last one of each step: with 1024 these are 1023, 2047 and so on. */
	return (vcpu->id + 1) * step - 1;
}

int vm__open_vcpu(struct vm *vm, unsigned int id)
{
	struct vcpu *vcpu = &vm->vcpus[id];

	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, vcpu__id(vcpu));
	if (vcpu->fd < 0)
		return vm__failed(vm, "KVM_CREATE_VCPU");
	vcpu->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		vcpu->run = NULL;
		return vm__failed(vm, "mapping kvm_run");
	}
	if (log__setup_vcpu(vcpu) || set_cpuid(vcpu) || cpu__setup(vcpu) || setup_irqchip(vcpu))
		return -1;
	if (vm->plan->step && step(vcpu))
		return -1;
	if (vm->plan->auto_eoi && add_auto_eoi(vcpu))
		return -1;
	return emit_code(vcpu);
}

static int open_kvm(struct vm *vm)
{
	int size;

	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd < 0)
		return vm__failed(vm, "/dev/kvm");
	if (ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) <= 0) {
		fprintf(stderr, "kvm_guest: this KVM lacks KVM_CAP_IMMEDIATE_EXIT\n");
		return -1;
	}
	size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < 0)
		return vm__failed(vm, "KVM_GET_VCPU_MMAP_SIZE");
	vm->run_size = size;
	vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		return vm__failed(vm, "KVM_CREATE_VM");
	return 0;
}

static int enable(struct vm *vm, uint32_t cap, uint64_t arg, const char *name)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { arg } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &enable) < 0 ? vm__failed(vm, name) : 0;
}

/* Reads of these MSRs go to user space. */
static int filter_msrs(struct vm *vm)
{
	struct kvm_msr_filter filter = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };
	uint8_t denied[KVM_MSR_FILTER_MAX_RANGES] = { 0 };
	unsigned int nr = 0;

	if (!(plan__flags(vm->plan) & OP_USER_MSR))
		return 0;
	if (enable(vm, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER,
		   "KVM_CAP_X86_USER_SPACE_MSR"))
		return -1;
	for (size_t i = 0; i < vm->plan->nr_uses && nr < KVM_MSR_FILTER_MAX_RANGES; i++) {
		if (!(vm->plan->uses[i].op->flags & OP_USER_MSR))
			continue;
		filter.ranges[nr] = (struct kvm_msr_filter_range){
			.flags = KVM_MSR_FILTER_READ,
			.nmsrs = 1,
			.base = vm->plan->uses[i].arg,
			.bitmap = &denied[nr],
		};
		nr++;
	}
	if (ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &filter) < 0)
		return vm__failed(vm, "KVM_X86_SET_MSR_FILTER");
	return 0;
}

/* KVM takes the port's writes, as a virtio device has it. */
static int set_ioeventfd(struct vm *vm)
{
	struct kvm_ioeventfd event = {
		.addr = vm->plan->ioeventfd,
		.len = 2,
		.flags = KVM_IOEVENTFD_FLAG_PIO,
	};

	if (vm->plan->ioeventfd < 0)
		return 0;
	vm->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	event.fd = vm->event_fd;
	if (vm->event_fd < 0 || ioctl(vm->fd, KVM_IOEVENTFD, &event) < 0)
		return vm__failed(vm, "KVM_IOEVENTFD");
	return 0;
}

/* All of it has to precede the first vCPU. */
static int setup_vm(struct vm *vm)
{
	struct kvm_enable_cap poll = { .cap = KVM_CAP_HALT_POLL };
	uint64_t identity = IDENTITY_MAP_ADDR;
	struct kvm_pit_config pit = {};

	if (vm->plan->halt_poll_us >= 0) {
		poll.args[0] = vm->plan->halt_poll_us * 1000ULL;
		if (ioctl(vm->fd, KVM_ENABLE_CAP, &poll) < 0)
			return vm__failed(vm, "KVM_CAP_HALT_POLL");
	}
	if (ioctl(vm->fd, KVM_SET_TSS_ADDR, TSS_ADDR) < 0)
		return vm__failed(vm, "KVM_SET_TSS_ADDR");
	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
		return vm__failed(vm, "KVM_SET_IDENTITY_MAP_ADDR");
	if (plan__flags(vm->plan) & OP_IRQCHIP && ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return vm__failed(vm, "KVM_CREATE_IRQCHIP");
	if (vm->plan->pit && ioctl(vm->fd, KVM_CREATE_PIT2, &pit) < 0)
		return vm__failed(vm, "KVM_CREATE_PIT2 (an OP has to need the irqchip)");
	if (irqs__route(vm) || filter_msrs(vm) || set_ioeventfd(vm))
		return -1;
	if (vm->plan->no_hlt_exits &&
	    enable(vm, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_HLT,
		   "KVM_CAP_X86_DISABLE_EXITS"))
		return -1;
	if (plan__flags(vm->plan) & OP_XEN) {
		/* KVM takes hypercalls for Xen's only when there is an MSR to set up their page. */
		struct kvm_xen_hvm_config xen = {
			.flags = KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL,
			.msr = 0x40000200,
		};

		if (ioctl(vm->fd, KVM_XEN_HVM_CONFIG, &xen) < 0)
			return vm__failed(vm, "KVM_XEN_HVM_CONFIG");
	}
	return 0;
}

int vm__open(struct vm *vm, const struct plan *plan, unsigned int id, unsigned int round)
{
	unsigned int i;

	memset(vm, 0, sizeof(*vm));
	vm->plan = plan;
	vm->id = id;
	vm->round = round;
	vm->kvm_fd = vm->fd = vm->slow_fd = vm->taken_fd = vm->event_fd = -1;
	for (i = 0; i < MAX_VCPUS; i++)
		vm->vcpus[i] = (struct vcpu){ .vm = vm, .id = i, .fd = -1 };
	if (open_kvm(vm) || setup_vm(vm) || setup_memory(vm) || setup_times(vm) ||
	    taken__setup(vm) || log__setup_vm(vm) || setup_slots(vm) || map_mmio(vm))
		return -1;
	for (i = 0; i < (plan->late_ms ? 1 : plan->nr_vcpus); i++)
		if (vm__open_vcpu(vm, i))
			return -1;
	return 0;
}

void vm__close(struct vm *vm)
{
	unsigned int i;

	atomic_store(&vm->ended, true);
	slow__close(vm);
	for (i = 0; i < MAX_VCPUS; i++) {
		state__free(&vm->vcpus[i]);
		if (vm->vcpus[i].run)
			munmap(vm->vcpus[i].run, vm->run_size);
		if (vm->vcpus[i].ring)
			munmap(vm->vcpus[i].ring, LOG_RING_BYTES);
		if (vm->vcpus[i].fd >= 0)
			close(vm->vcpus[i].fd);
	}
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm_fd >= 0)
		close(vm->kvm_fd);
	if (vm->ram)
		munmap(vm->ram, RAM_SIZE);
	if (vm->touch)
		munmap(vm->touch, vm->touch_size);
	if (vm->times)
		munmap(vm->times, vm->times_size);
	if (vm->event_fd >= 0)
		close(vm->event_fd);
	taken__close(vm);
	log__close(vm);
}
