/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts: the ops that raise them from user space before the guest runs,
 * each told as a line of what a monitor of the interrupt chips must say of it
 * (what KVM reported is its return value, an answer of its own), and what a
 * guest needs that takes interrupts.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "code.h"

enum { PIC_PINS = 16, IOAPIC_PINS = 24, MSI_BASE = 0xfee00000, APIC_IRR = 0x200 };
enum { ROUTE_MSI = ROUTE_IOAPIC + IOAPIC_PINS };
/* Nobody's APIC ids: those of vCPUs are below, 0xff is everybody. */
enum { NOBODY = 0x60, NOBODY_HIGH = 0x12345600 };
/* The vectors that stay pending: the guest has interrupts off, or takes them as any other. */
enum { MSI_VECTOR = 0x51, IRQFD_VECTOR = 0x52, BROADCAST_VECTOR = 0x80 };

static const uint8_t pic_level = 0xcc, pic_masked = 0xaa;

/* What a line says of an interrupt; negative: null. */
struct told {
	const char *chip;
	int pin;
	int64_t dest;
	int vector, delivery, logical, level, masked, hint, coalesced, asserted;
	const char *raiser_comm;
	int raiser;
};

static void print_bool(const char *key, int value)
{
	printf(",\"%s\":%s", key, value < 0 ? "null" : value ? "true" : "false");
}

static void print_word(const char *key, int value, const char *const *words)
{
	if (value < 0)
		printf(",\"%s\":null", key);
	else
		printf(",\"%s\":\"%s\"", key, words[value]);
}

static void print_number(const char *key, int64_t value)
{
	if (value < 0)
		printf(",\"%s\":null", key);
	else
		printf(",\"%s\":%lld", key, (long long)value);
}

static void tell(const struct told *t)
{
	static const char *const deliveries[] = {
		"Fixed", "LowPrio", "SMI", "Res3", "NMI", "INIT", "SIPI", "ExtINT",
	};
	static const char *const modes[] = { "physical", "logical" }, *const triggers[] = {
		"edge", "level"
	};

	/* VMs do this at the same time: a line is one's. */
	flockfile(stdout);
	printf("{\"what\":\"irq\",\"pid\":%d,\"chip\":\"%s\"", getpid(), t->chip);
	print_number("pin", t->pin);
	print_number("dest", t->dest);
	print_number("vector", t->vector);
	print_word("delivery", t->delivery, deliveries);
	print_word("dest_mode", t->logical, modes);
	print_word("trigger", t->level, triggers);
	print_bool("masked", t->masked);
	print_bool("redirection_hint", t->hint);
	print_bool("coalesced", t->coalesced);
	print_bool("asserted", t->asserted);
	if (t->raiser_comm)
		printf(",\"raiser_comm\":\"%s\",\"raiser_tid\":%d", t->raiser_comm, t->raiser);
	printf("}\n");
	funlockfile(stdout);
}

/* KVM's answer: above 0 so many got it, 0 it was pending already, below 0 masked or nobody. */
static int set_line(struct vcpu *vcpu, uint32_t gsi, uint32_t level)
{
	struct kvm_irq_level irq = { .irq = gsi, .level = level };

	if (ioctl(vcpu->vm->fd, KVM_IRQ_LINE_STATUS, &irq) < 0)
		vcpu__error(vcpu, "KVM_IRQ_LINE_STATUS: %s", strerror(errno));
	return irq.status;
}

static struct kvm_msi message(const struct told *t)
{
	return (struct kvm_msi){
		.address_lo = MSI_BASE | (t->dest & 0xff) << 12 | t->logical << 2 | t->hint << 3,
		.address_hi = t->dest & ~0xffULL,
		.data = t->level << 15 | 1 << 14 | t->delivery << 8 | t->vector,
	};
}

/* Each pin of one chip for itself, and a message unless it is NULL. 0 or -1. */
static int set_routes(struct vm *vm, const struct told *msi)
{
	unsigned int nr = ROUTE_MSI + !!msi, i;
	struct kvm_irq_routing *table;
	int err;

	table = calloc(1, sizeof(*table) + nr * sizeof(table->entries[0]));
	if (!table)
		return -1;
	table->nr = nr;
	for (i = 0; i < ROUTE_MSI; i++) {
		table->entries[i].gsi = i;
		table->entries[i].type = KVM_IRQ_ROUTING_IRQCHIP;
		table->entries[i].u.irqchip.irqchip = i < PIC_PINS ? i / 8 : KVM_IRQCHIP_IOAPIC;
		table->entries[i].u.irqchip.pin = i < PIC_PINS ? i % 8 : i - ROUTE_IOAPIC;
	}
	if (msi) {
		struct kvm_msi m = message(msi);

		table->entries[i].gsi = ROUTE_MSI;
		table->entries[i].type = KVM_IRQ_ROUTING_MSI;
		table->entries[i].u.msi.address_lo = m.address_lo;
		table->entries[i].u.msi.address_hi = m.address_hi;
		table->entries[i].u.msi.data = m.data;
	}
	err = ioctl(vm->fd, KVM_SET_GSI_ROUTING, table);
	free(table);
	return err < 0 ? -1 : 0;
}

int irqs__route(struct vm *vm)
{
	if (!(plan__flags(vm->plan) & OP_IRQS) || !set_routes(vm, NULL))
		return 0;
	return vm__failed(vm, "KVM_SET_GSI_ROUTING");
}

/* As a VMM does whose guest masks and unmasks a device's vector: with an irqfd and without. */
int irqs__write_routes(struct vm *vm)
{
	int fd = irqs__open_fd(vm, IRQFD_VECTOR);
	struct kvm_irqfd irqfd = { .fd = fd, .gsi = ROUTE_MSI, .flags = KVM_IRQFD_FLAG_DEASSIGN };
	int err = fd < 0 ? -1 : set_routes(vm, NULL);

	if (!err)
		err = ioctl(vm->fd, KVM_IRQFD, &irqfd);
	if (fd >= 0)
		close(fd);
	return err;
}

int irqs__open_fd(struct vm *vm, uint8_t vector)
{
	const struct told t = { .chip = "MSI", .vector = vector };
	struct kvm_irqfd irqfd = { .fd = eventfd(0, EFD_CLOEXEC), .gsi = ROUTE_MSI };

	if (set_routes(vm, &t) || ioctl(vm->fd, KVM_IRQFD, &irqfd) < 0)
		return -1;
	return irqfd.fd;
}

int irqs__open_pin(struct vm *vm, uint32_t gsi)
{
	struct kvm_irqfd irqfd = { .fd = eventfd(0, EFD_CLOEXEC), .gsi = gsi };

	return ioctl(vm->fd, KVM_IRQFD, &irqfd) < 0 ? -1 : (int)irqfd.fd;
}

static int set_pics(struct vcpu *vcpu)
{
	for (unsigned int i = KVM_IRQCHIP_PIC_MASTER; i <= KVM_IRQCHIP_PIC_SLAVE; i++) {
		struct kvm_irqchip chip = { .chip_id = i };

		if (ioctl(vcpu->vm->fd, KVM_GET_IRQCHIP, &chip) < 0)
			return -1;
		chip.chip.pic.elcr = pic_level;
		chip.chip.pic.imr = pic_masked;
		if (ioctl(vcpu->vm->fd, KVM_SET_IRQCHIP, &chip) < 0)
			return -1;
	}
	return 0;
}

/* How each pin of the I/O APIC is set up: every mode of delivery, to nobody. */
static struct told pin_setup(int pin)
{
	static const int deliveries[] = { 0, 1, 2, 4, 5, 7 };

	return (struct told){
		.chip = "IOAPIC",
		.pin = pin,
		.dest = NOBODY + pin,
		.vector = 0x40 + pin,
		.delivery = deliveries[pin % 6],
		.logical = pin / 6 % 2,
		.level = pin / 12,
		.masked = pin % 5 == 4,
		.hint = -1,
	};
}

static int set_ioapic(struct vcpu *vcpu)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	if (ioctl(vcpu->vm->fd, KVM_GET_IRQCHIP, &chip) < 0)
		return -1;
	for (int pin = 0; pin < IOAPIC_PINS; pin++) {
		struct told t = pin_setup(pin);

		chip.chip.ioapic.redirtbl[pin].bits = (uint64_t)t.dest << 56 | t.masked << 16 |
						      t.level << 15 | t.logical << 11 |
						      t.delivery << 8 | t.vector;
	}
	return ioctl(vcpu->vm->fd, KVM_SET_IRQCHIP, &chip);
}

/* Raised, raised again, lowered, raised, lowered. */
static void move_line(struct vcpu *vcpu, uint32_t gsi, struct told *t)
{
	static const int levels[] = { 1, 1, 0, 1, 0 };

	t->raiser_comm = "kvm_guest";
	t->raiser = vcpu->tid;
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		t->asserted = levels[i];
		t->coalesced = !set_line(vcpu, gsi, levels[i]);
		tell(t);
	}
}

int irqs__lines(struct vcpu *vcpu, const struct op_use *use)
{
	if (vcpu->id)
		return 0;
	for (uint64_t round = 0; round < use->count; round++) {
		if (set_pics(vcpu) || set_ioapic(vcpu)) {
			vcpu__error(vcpu, "KVM_SET_IRQCHIP: %s", strerror(errno));
			return -1;
		}
		for (int gsi = 0; gsi < PIC_PINS; gsi++) {
			struct told t = {
				.chip = gsi < 8 ? "PIC master" : "PIC slave",
				.pin = gsi % 8,
				.dest = -1,
				.vector = -1,
				.delivery = -1,
				.logical = -1,
				.hint = -1,
				.level = pic_level >> gsi % 8 & 1,
				.masked = pic_masked >> gsi % 8 & 1,
			};

			move_line(vcpu, gsi, &t);
		}
		for (int pin = 0; pin < IOAPIC_PINS; pin++) {
			struct told t = pin_setup(pin);

			move_line(vcpu, ROUTE_IOAPIC + pin, &t);
		}
	}
	fflush(stdout);
	return 0;
}

static void send_msi(struct vcpu *vcpu, struct told *t)
{
	struct kvm_msi msi = message(t);
	int ret = ioctl(vcpu->vm->fd, KVM_SIGNAL_MSI, &msi);

	t->coalesced = !ret;
	tell(t);
}

/* With an argument: ids of 32 bits, as guests with more than 255 vCPUs need them. */
int irqs__msis(struct vcpu *vcpu, const struct op_use *use)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X2APIC_API,
				      .args = { KVM_X2APIC_API_USE_32BIT_IDS } };

	if (vcpu->id)
		return 0;
	if (use->arg && ioctl(vcpu->vm->fd, KVM_ENABLE_CAP, &cap) < 0) {
		vcpu__error(vcpu, "KVM_CAP_X2APIC_API: %s", strerror(errno));
		return -1;
	}
	for (uint64_t round = 0; round < use->count; round++) {
		struct told t = { .chip = "MSI",
				  .pin = -1,
				  .masked = -1,
				  .asserted = 1,
				  .raiser_comm = "kvm_guest",
				  .raiser = vcpu->tid };

		for (int i = 0; i < 64; i++) {
			t.dest = (NOBODY | i / 8) + (use->arg ? NOBODY_HIGH : 0);
			t.vector = 0x20 + i;
			t.delivery = i / 8;
			t.logical = i & 1;
			t.level = i >> 1 & 1;
			t.hint = i >> 2 & 1;
			send_msi(vcpu, &t);
		}
		/* To this vCPU: delivered, and again while it is pending. */
		t.dest = t.logical = t.level = t.hint = t.delivery = 0;
		t.vector = MSI_VECTOR;
		send_msi(vcpu, &t);
		send_msi(vcpu, &t);
	}
	fflush(stdout);
	return 0;
}

/* One write of another process. Returns its pid, or -1. */
static pid_t raise_elsewhere(int event, uint64_t count)
{
	uint64_t one = 1;
	int status;
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_NAME, "irq_raiser");
		while (count--)
			if (write(event, &one, sizeof(one)) != sizeof(one))
				_exit(1);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		return -1;
	return pid;
}

/* Until the vector is pending in the vCPU's APIC; false: it never was. */
static bool wait_pending(struct vcpu *vcpu, unsigned int vector)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	struct kvm_lapic_state apic;

	for (int i = 0; i < 5000; i++) {
		uint32_t irr;

		if (ioctl(vcpu->fd, KVM_GET_LAPIC, &apic) < 0)
			return false;
		memcpy(&irr, apic.regs + APIC_IRR + vector / 32 * 16UL, sizeof(irr));
		if (irr >> vector % 32 & 1)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

/*
 * All to one vector, which two messages have made pending before: what KVM
 * answered to the second one holds for the others.
 */
static int raise_fast(struct vcpu *vcpu, int event, uint64_t count, struct told *t)
{
	t->vector = IRQFD_VECTOR;
	if (set_routes(vcpu->vm, t))
		return -1;
	t->raiser_comm = "kvm_guest";
	t->raiser = vcpu->tid;
	send_msi(vcpu, t);
	send_msi(vcpu, t);
	t->raiser_comm = "irq_raiser";
	t->raiser = raise_elsewhere(event, count);
	while (count--)
		tell(t);
	return t->raiser < 0 ? -1 : 0;
}

/* A broadcast is too much for the waker's context: a kernel thread delivers it. */
static int raise_slowly(struct vcpu *vcpu, int event, uint64_t count, struct told *t)
{
	t->dest = 0xff;
	for (uint64_t i = 0; i < count; i++) {
		t->vector = BROADCAST_VECTOR + i;
		if (set_routes(vcpu->vm, t) || raise_elsewhere(event, 1) < 0 ||
		    !wait_pending(vcpu, t->vector))
			return -1;
		tell(t);
	}
	return 0;
}

/* With an argument: broadcasts. */
int irqs__irqfd(struct vcpu *vcpu, const struct op_use *use)
{
	struct told t = { .chip = "MSI", .pin = -1, .masked = -1, .asserted = 1 };
	struct kvm_irqfd irqfd = { .fd = eventfd(0, EFD_CLOEXEC), .gsi = ROUTE_MSI };
	int err;

	if (vcpu->id || !use->count)
		return 0;
	err = set_routes(vcpu->vm, &t);
	if (!err)
		err = ioctl(vcpu->vm->fd, KVM_IRQFD, &irqfd);
	if (!err)
		err = use->arg ? raise_slowly(vcpu, irqfd.fd, use->count, &t) :
				 raise_fast(vcpu, irqfd.fd, use->count, &t);
	if (err)
		vcpu__error(vcpu, "irqfd: %s", strerror(errno));
	irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	ioctl(vcpu->vm->fd, KVM_IRQFD, &irqfd);
	close(irqfd.fd);
	fflush(stdout);
	return err ? -1 : 0;
}

/* A guest that takes interrupts asks for one. */
int irqs__ask(struct vcpu *vcpu, uint32_t what)
{
	struct kvm_interrupt irq = { .irq = what };

	if (plan__flags(vcpu->vm->plan) & OP_IRQCHIP) {
		set_line(vcpu, what, 1);
		set_line(vcpu, what, 0);
		return 0;
	}
	return ioctl(vcpu->fd, KVM_INTERRUPT, &irq);
}

enum { UD_GATE = 2 * 6, UD_HANDLER = GPA_HANDLER + 0x40 };

/*
 * One handler for all vectors but that of UD2, which is stepped over (or not): it counts at
 * rbp, where the vCPU's data are, and tells the local APIC. The table of segments is
 * behind it.
 */
void irqs__tables(struct vm *vm)
{
	static const uint64_t segments[] = { 0, 0x00af9b000000ffff, 0x00cf93000000ffff };
	struct code code = { .buf = vm__ram(vm, GPA_HANDLER),
			     .size = GPA_GDT - GPA_HANDLER,
			     .mode = MODE_LONG };
	uint64_t *gate = (uint64_t *)vm__ram(vm, GPA_IDT);

	code__raw(&code, 0xff, 0x45, IRQ_COUNT_AT); /* inc dword [rbp + ..] */
	if (plan__flags(vm->plan) & OP_IRQCHIP) {
		code__raw(&code, 0x50); /* push rax */
		code__mov(&code, EAX, APIC_EOI);
		code__raw(&code, 0xc7, 0x00, 0, 0, 0, 0); /* mov dword [rax], 0 */
		code__raw(&code, 0x58);			  /* pop rax */
	}
	code__raw(&code, 0x48, 0xcf); /* iretq */
	memcpy(vm__ram(vm, GPA_GDT), segments, sizeof(segments));
	for (size_t i = 0; i < 256; i++) {
		gate[2 * i] = GPA_HANDLER | 8 << 16 | 0x8eULL << 40;
		gate[2 * i + 1] = 0;
	}
	code.buf = vm__ram(vm, UD_HANDLER);
	code.len = 0;
	if (!(plan__flags(vm->plan) & OP_STUCK))
		code__raw(&code, 0x48, 0x83, 0x04, 0x24, 2); /* add qword [rsp], 2 */
	code__raw(&code, 0x48, 0xcf);			     /* iretq */
	gate[UD_GATE] = UD_HANDLER | 8 << 16 | 0x8eULL << 40;
}
