/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vCPU's state is read and later written back, as a VMM does that takes a snapshot and goes
 * back to it. The guest's clock is set back with it.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

enum { MSR_TSC = 0x10 };

struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp_state;
	struct kvm_lapic_state apic;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry tsc;
	} msrs;
	bool loaded;
};

/* The exit that asks for it is over when KVM_RUN has begun again. */
static int end_exit(struct vcpu *vcpu)
{
	int err;

	vcpu->run->immediate_exit = 1;
	vcpu->runs++;
	err = ioctl(vcpu->fd, KVM_RUN, 0);
	if (!atomic_load(&vcpu->vm->stop))
		vcpu->run->immediate_exit = 0;
	if (err >= 0 || errno != EINTR)
		return -1;
	vcpu->user_exits[USER_EXIT_INTR]++;
	return 0;
}

/* In the order in which they are written: what is later may depend on what is earlier. */
static const struct {
	unsigned long get, set;
	size_t at; /* in struct vcpu_state */
	int least; /* that the ioctl() returns */
	bool of_apic;
} parts[] = {
	{ KVM_GET_SREGS, KVM_SET_SREGS, offsetof(struct vcpu_state, sregs) },
	{ KVM_GET_REGS, KVM_SET_REGS, offsetof(struct vcpu_state, regs) },
	{ KVM_GET_FPU, KVM_SET_FPU, offsetof(struct vcpu_state, fpu) },
	{ KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, offsetof(struct vcpu_state, events) },
	{ KVM_GET_MSRS, KVM_SET_MSRS, offsetof(struct vcpu_state, msrs), .least = 1 },
	{ KVM_GET_LAPIC, KVM_SET_LAPIC, offsetof(struct vcpu_state, apic), .of_apic = true },
	{ KVM_GET_MP_STATE, KVM_SET_MP_STATE, offsetof(struct vcpu_state, mp_state),
	  .of_apic = true },
};

static int transfer(struct vcpu *vcpu, bool load)
{
	bool has_apic = plan__flags(vcpu->vm->plan) & OP_IRQCHIP;
	size_t i;

	if (end_exit(vcpu))
		return -1;
	for (i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		if ((has_apic || !parts[i].of_apic) &&
		    ioctl(vcpu->fd, load ? parts[i].set : parts[i].get,
			  (char *)vcpu->state + parts[i].at) < parts[i].least)
			return -1;
	return 0;
}

int state__save(struct vcpu *vcpu)
{
	struct vcpu_state *s = calloc(1, sizeof(*s));

	if (!s)
		return -1;
	state__free(vcpu);
	vcpu->state = s;
	s->msrs.head.nmsrs = 1;
	s->msrs.tsc.index = MSR_TSC;
	return transfer(vcpu, false);
}

int state__load(struct vcpu *vcpu)
{
	struct vcpu_state *s = vcpu->state;

	if (!s) {
		errno = ENOENT;
		return -1;
	}
	if (s->loaded)
		return 0;
	s->loaded = true;
	return transfer(vcpu, true);
}

void state__free(struct vcpu *vcpu)
{
	free(vcpu->state);
	vcpu->state = NULL;
}
