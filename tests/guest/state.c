/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vCPU's state is read and later written back, as a VMM does that takes a snapshot and goes
 * back to it. The guest's clock is set back with it.
 */
#include <errno.h>
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

static bool has_apic(const struct vcpu *vcpu)
{
	return plan__flags(vcpu->vm->plan) & OP_IRQCHIP;
}

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

int state__save(struct vcpu *vcpu)
{
	struct vcpu_state *s = calloc(1, sizeof(*s));

	if (!s)
		return -1;
	state__free(vcpu);
	vcpu->state = s;
	s->msrs.head.nmsrs = 1;
	s->msrs.tsc.index = MSR_TSC;
	if (end_exit(vcpu) || ioctl(vcpu->fd, KVM_GET_REGS, &s->regs) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_SREGS, &s->sregs) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_FPU, &s->fpu) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &s->events) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_MSRS, &s->msrs) != 1)
		return -1;
	if (has_apic(vcpu) && (ioctl(vcpu->fd, KVM_GET_MP_STATE, &s->mp_state) < 0 ||
			       ioctl(vcpu->fd, KVM_GET_LAPIC, &s->apic) < 0))
		return -1;
	return 0;
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
	if (end_exit(vcpu) || ioctl(vcpu->fd, KVM_SET_SREGS, &s->sregs) < 0 ||
	    ioctl(vcpu->fd, KVM_SET_REGS, &s->regs) < 0 ||
	    ioctl(vcpu->fd, KVM_SET_FPU, &s->fpu) < 0 ||
	    ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &s->events) < 0 ||
	    ioctl(vcpu->fd, KVM_SET_MSRS, &s->msrs) != 1)
		return -1;
	if (has_apic(vcpu) && (ioctl(vcpu->fd, KVM_SET_LAPIC, &s->apic) < 0 ||
			       ioctl(vcpu->fd, KVM_SET_MP_STATE, &s->mp_state) < 0))
		return -1;
	return 0;
}

void state__free(struct vcpu *vcpu)
{
	free(vcpu->state);
	vcpu->state = NULL;
}
