// SPDX-License-Identifier: GPL-2.0-only
/* Interrupts: how they reach the guest. */
#include <string.h>

#include "devices.h"
#include "families.h"

static enum opinion irqchip_in_vmm(const struct look *l, struct finding *f)
{
	const struct fact *state = look__vm_state(l);
	const char *chip = state ? fact__get_text(state, "irqchip") : NULL;

	if (!chip || strcmp(chip, "none"))
		return OPINION_NO;
	f->rate = (look__sum(l, "KVM_USERSPACE_EXIT", "count", WHERE({ "class", "halt" })) +
		   look__sum(l, "KVM_USERSPACE_EXIT", "count", WHERE({ "class", "window" }))) /
		  l->seconds;
	finding__word(f, "in-kernel interrupt chip", chip);
	finding__claim(f, SLICE_VMM, look__vmm_ns(l, "window") + look__vmm_ns(l, "halt"));
	return OPINION_CERTAIN;
}

/*
 * What exits an APIC in hardware would spare: until an interrupt may be taken, and the guest's
 * priority and ends of interrupts, by memory or by MSR.
 */
static double apic_ns(const struct look *l)
{
	struct devices memory = { .class = "fault|mmio", .first = 0xfee00080, .last = 0xfee000bf },
		       msrs = { .class = "msr", .first = 0x808, .last = 0x80b };

	devices__count(&memory, l);
	devices__count(&msrs, l);
	return look__kvm_ns(l, "window") + look__kvm_ns(l, "apic") + look__kvm_ns(l, "eoi") +
	       memory.kvm_ns + msrs.kvm_ns;
}

static enum opinion apicv_off(const struct look *l, struct finding *f)
{
	const struct fact *state = look__vm_state(l);
	const char *inhibits = state ? fact__get_text(state, "apicv_inhibits") : NULL;
	const char *intel = look__host_text(l, "kvm_intel.enable_apicv"),
		   *amd = look__host_text(l, "kvm_amd.avic");

	if (!inhibits || !strcmp(inhibits, "none"))
		return OPINION_NO;
	if (!(intel && *intel == 'Y') && !(amd && *amd == 'Y'))
		return finding__na(f, "neither APICv nor AVIC is enabled");
	f->rate = look__sum(l, "VCPU_STATE", "irq_injections", NULL) / l->seconds;
	finding__word(f, "inhibited by", inhibits);
	finding__claim(f, SLICE_KVM, apic_ns(l));
	return OPINION_CERTAIN;
}

static enum opinion xapic(const struct look *l, struct finding *f)
{
	struct devices tpr = { .class = "fault|mmio|apic",
			       .first = 0xfee00000,
			       .last = 0xfee00fff },
		       x2apic = { .class = "msr", .first = 0x800, .last = 0x8ff };

	devices__count(&tpr, l);
	devices__count(&x2apic, l);
	if (look__max(l, "VCPU_STATE", "apicv_active", NULL) > 0)
		return finding__na(f, "the processor accelerates the APIC");
	f->rate = tpr.count / l->seconds;
	finding__object(f, "the local APIC");
	finding__claim(f, SLICE_KVM, tpr.kvm_ns);
	return tpr.count > 0 && finding__most(f, "MSR accesses relative to MMIO accesses",
					      x2apic.count / tpr.count, UNIT_SHARE, 0.05, NULL) ?
		       OPINION_LIKELY :
		       OPINION_NO;
}

/* To several vCPUs at a time or to one is not known: an exit for each is dear either way. */
static enum opinion ipi_storm(const struct look *l, struct finding *f)
{
	struct devices x2apic = { .class = "msr", .first = 0x830, .last = 0x830 }, low = {
		.class = "fault|mmio|apic", .first = 0xfee00300, .last = 0xfee00303
	};
	double pv = look__sum(l, "KVM_EXIT", "count", WHERE({ "class", "hypercall" }));

	devices__count(&x2apic, l);
	devices__count(&low, l);
	f->rate = (x2apic.writes + low.writes) / l->seconds;
	finding__claim(f, SLICE_KVM, x2apic.kvm_ns + low.kvm_ns);
	return finding__most(f, "hypercalls", pv / l->seconds, UNIT_PER_S, 100, NULL) ?
		       OPINION_POSSIBLE :
		       OPINION_NO;
}

static enum opinion intx_eoi(const struct look *l, struct finding *f)
{
	f->rate = look__sum(l, "KVM_EXIT", "count", WHERE({ "class", "eoi" })) / l->seconds;
	finding__claim(f, SLICE_KVM, look__kvm_ns(l, "eoi"));
	return OPINION_LIKELY;
}

const struct rule irq_rules[] = {
	{ .id = "irqchip-in-vmm",
	  .seen = true,
	  .family = "interrupts",
	  .title = "The VMM emulates the interrupt controllers",
	  .not_what = "a slow VMM: KVM itself reports that it has no interrupt chip",
	  .slices = IN(VMM),
	  .rate = 100,
	  .cost = 0.05,
	  .needs = { "vm_state:kvm_state", NEED_USER, "vcpu_load:kvm_fpu" },
	  .judge = irqchip_in_vmm,
	  .remedies = { { "VM restart", "-machine kernel-irqchip=on, or split", NULL },
			{ "VM restart", "libvirt: <features><ioapic driver='kvm'/></features>",
			  NULL } },
	  .verify = "IRQCHIP in --vm_state is not none" },
	{ .id = "apicv-not-used",
	  .seen = true,
	  .family = "interrupts",
	  .title = "The processor could deliver interrupts itself, but KVM inhibits it",
	  .not_what = "a host without APICv or AVIC: it is enabled",
	  .slices = IN(KVM),
	  .rate = 1000,
	  .cost = 0.05,
	  .needs = { "vm_state:kvm_state", "host", NEED_EXITS, "vm_exit:kvm_mmio",
		     "vm_exit:kvm_msr" },
	  .judge = apicv_off,
	  .remedies = { { "VM restart", "HYPERV: -cpu ...,hv-apicv (QEMU: hv-avic)", NULL },
			{ "VM restart",
			  "PIT_REINJ: -machine kernel-irqchip=split, or -global "
			  "kvm-pit.lost_tick_policy=discard",
			  "old guests may lose ticks" } },
	  .verify = "APICV in --vm_state is yes" },
	{ .id = "xapic",
	  .seen = true,
	  .family = "interrupts",
	  .title = "The guest accesses its APIC by MMIO: each access is an exit that KVM decodes",
	  .not_what = "x2APIC: there are hardly any MSR accesses",
	  .slices = IN(KVM),
	  .per_vm = true,
	  .storm = true,
	  .rate = 500,
	  .cost = 0.02,
	  .needs = { NEED_EXITS, "vm_exit:kvm_mmio", "vm_state:kvm_state" },
	  .judge = xapic,
	  .remedies = { { "VM restart", "-cpu ...,+x2apic", "old guests do not use it" } },
	  .verify = "fewer than 500 exits a second for 0xfee00000" },
	{ .id = "ipi-storm",
	  .seen = true,
	  .family = "interrupts",
	  .title = "vCPUs send each other very many interrupts, each with an exit",
	  .not_what = "the number of targets of an IPI is not visible, so this is only a note",
	  .slices = IN(KVM),
	  .per_vm = true,
	  .storm = true,
	  .rate = 5000,
	  .cost = 0.05,
	  .needs = { NEED_EXITS, "vm_exit:kvm_msr" },
	  .judge = ipi_storm,
	  .remedies = { { "VM restart", "Linux: -cpu ...,kvm-pv-ipi=on,kvm-pv-tlb-flush=on", NULL },
			{ "VM restart", "Windows: -cpu ...,hv-ipi,hv-tlbflush", NULL },
			{ "VM restart", "fewer vCPUs", "less CPU for the guest" } },
	  .verify = "fewer than 5000 such exits a second" },
	{ .id = "intx-eoi",
	  .seen = true,
	  .family = "interrupts",
	  .title = "Level-triggered interrupts cost an exit at each EOI",
	  .not_what = "MSIs: they cause no such exit",
	  .slices = IN(KVM),
	  .per_vm = true,
	  .rate = 1000,
	  .cost = 0.02,
	  .needs = { NEED_EXITS },
	  .judge = intx_eoi,
	  .remedies = { { "guest reboot", "let the driver use MSI; -device ...,vectors=N", NULL } },
	  .verify = "fewer than 1000 such exits a second" },
	{},
};
