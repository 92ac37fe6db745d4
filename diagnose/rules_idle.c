// SPDX-License-Identifier: GPL-2.0-only
/* Idling and clocks. */
#include <string.h>

#include "families.h"
#include "devices.h"

static enum opinion halt_poll(const struct look *l, struct finding *f)
{
	double ok = look__sum(l, "HALT_POLLING", "poll_ok_ns", NULL),
	       failed = look__sum(l, "HALT_POLLING", "poll_failed_ns", NULL);
	bool free_cpu = finding__most(f, "steal", look__share(l, l->slices[SLICE_STEAL]),
				      UNIT_SHARE, 0.05, NULL);

	finding__claim(f, SLICE_POLL, l->slices[SLICE_POLL]);
	if (ok + failed > 0)
		finding__show(f, "share that ended with a wake-up", ok / (ok + failed), UNIT_SHARE);
	if (!free_cpu)
		return OPINION_NO;
	/* It does what it is for. */
	return ok > 0.9 * (ok + failed) ? OPINION_POSSIBLE : OPINION_CERTAIN;
}

/*
 * The CPU itself has to wake up, too: until it has, the thread waits for it, and that is steal. So
 * what counts against it is who ran instead.
 */
static enum opinion slow_wakeup(const struct look *l, struct finding *f)
{
	double count = look__sum(l, "HALTS", "count", NULL),
	       polled = look__sum(l, "HALTS", "polled", NULL),
	       p50 = look__max(l, "HALTS", "p50_ns", NULL),
	       wake = look__max(l, "HALTS", "wake_p50_ns", NULL),
	       taken = look__sum(l, "VCPU_LOAD", "thieves_ns", NULL),
	       woken = wake > 0 ? look__sum(l, "HALTS", "wake_count", NULL) * wake : 0,
	       waited = fmin(woken, fmax(0, l->slices[SLICE_STEAL] - taken));
	bool is;

	f->rate = count / l->seconds;
	is = finding__most(f, "median halt", p50, UNIT_NSEC, 200e3, NULL);
	is &= finding__most(f, "share ended by polling", count > 0 ? polled / count : 0, UNIT_SHARE,
			    0.5, NULL);
	is &= finding__most(f, "time taken by other tasks", look__share(l, taken), UNIT_SHARE, 0.01,
			    NULL);
	finding__show(f, "median wake-up latency", wake, UNIT_NSEC);
	finding__claim(f, SLICE_STEAL, waited);
	finding__claim(f, SLICE_KVM, woken - waited);
	if (is && host_is_slow(l, NULL))
		return finding__na(f, "exits are too slow here to judge wake-ups");
	return is ? OPINION_LIKELY : OPINION_NO;
}

static enum opinion idle_hidden(const struct look *l, struct finding *f)
{
	const struct fact *state = look__vm_state(l);
	const char *disabled = state ? fact__get_text(state, "disabled_exits") : NULL;
	double busy = l->slices[SLICE_GUEST] + (l->guest_is_known ? 0 : l->slices[SLICE_KVM]);

	if (!disabled)
		return l->window == &l->facts->total ?
			       finding__unknown(f,
						"this kernel does not report which exits are off") :
			       OPINION_NO;
	finding__word(f, "exits that are off", disabled);
	return finding__least(f, "time in the guest", look__share(l, busy), UNIT_SHARE, 0.95,
			      NULL) &&
			       strstr(disabled, "HLT") ?
		       OPINION_CERTAIN :
		       OPINION_NO;
}

static enum opinion clock_unstable(const struct look *l, struct finding *f)
{
	const struct fact *state = look__vm_state(l);
	double master = state ? fact__get(state, "master_clock") : NAN;
	const char *source = look__host_text(l, "clocksource");

	if (isnan(master))
		return l->window == &l->facts->total ?
			       finding__unknown(f, "this kernel does not report the master clock") :
			       OPINION_NO;
	finding__word(f, "the host's clocksource", source ?: "-");
	finding__word(f, "kvmclock",
		      master > 0 ? "the same on all vCPUs" : "differs between vCPUs");
	return master > 0 ? OPINION_NO : OPINION_CERTAIN;
}

/* The RTC's ports, or the HPET's page, asked as often as an interrupt wants it. */
static enum opinion emulated_tick(const struct look *l, struct finding *f)
{
	struct devices rtc = { .class = "io", .first = 0x70, .last = 0x71 },
		       hpet = { .class = "fault|mmio", .first = 0xfed00000, .last = 0xfed003ff };
	double exits, irqs = 0, pins;
	const struct fact *pin = NULL;
	bool is;

	devices__count(&rtc, l);
	devices__count(&hpet, l);
	exits = look__sum(l, "KVM_EXIT", "count", NULL);
	while ((pin = look__next(l, "IRQCHIP_PINS", pin))) {
		double nr = fact__get(pin, "pin");

		if (nr == 0 || nr == 2 || nr == 8)
			irqs += fact__get(pin, "count");
	}
	pins = irqs / l->seconds;
	f->rate = (rtc.count + hpet.count) / l->seconds;
	is = finding__least(f, "clock chip's share of all exits",
			    exits > 0 ? (rtc.count + hpet.count) / exits : 0, UNIT_SHARE, 0.30,
			    NULL);
	is &= finding__least(f, "timer interrupts", pins, UNIT_PER_S, 100, NULL);
	finding__claim(f, SLICE_KVM, rtc.kvm_ns + hpet.kvm_ns);
	finding__claim(f, SLICE_VMM, rtc.vmm_ns + hpet.vmm_ns);
	finding__object(f, "%s", rtc.count > hpet.count ? "the RTC" : "the HPET");
	return is ? OPINION_LIKELY : OPINION_NO;
}

static enum opinion clock_reads(const struct look *l, struct finding *f)
{
	struct devices clocks[] = {
		{ .class = "io",
		  .first = 0x608,
		  .last = 0x608,
		  .name = "the ACPI timer, port 0x608" },
		{ .class = "io",
		  .first = 0xb008,
		  .last = 0xb008,
		  .name = "the ACPI timer, port 0xb008" },
		{ .class = "fault|mmio",
		  .first = 0xfed000f0,
		  .last = 0xfed000f7,
		  .name = "the HPET's counter" },
		{ .class = "msr",
		  .first = 0x40000020,
		  .last = 0x40000020,
		  .name = "Hyper-V's reference counter" },
	};
	const struct devices *most = &clocks[0];

	for (size_t i = 0; i < sizeof(clocks) / sizeof(*clocks); i++) {
		devices__count(&clocks[i], l);
		if (clocks[i].count > most->count)
			most = &clocks[i];
	}
	f->rate = most->count / l->seconds;
	finding__object(f, "%s", most->name);
	finding__claim(f, SLICE_KVM, most->kvm_ns);
	finding__claim(f, SLICE_VMM, most->vmm_ns);
	return finding__most(f, "share of writes", most->count > 0 ? most->writes / most->count : 0,
			     UNIT_SHARE, 0.05, NULL) ?
		       OPINION_LIKELY :
		       OPINION_NO;
}

/* Local APIC timers that fire all the time while the vCPU has nothing to do. */
static enum opinion tick_while_idle(const struct look *l, struct finding *f)
{
	double exits = look__sum(l, "KVM_EXIT", "count", NULL),
	       of_it = look__sum(l, "KVM_EXIT", "count", WHERE({ "class", "halt" })) +
		       look__sum(l, "KVM_EXIT", "count", WHERE({ "class", "msr" })) +
		       look__sum(l, "KVM_EXIT", "count", WHERE({ "class", "timer" })) +
		       look__sum(l, "KVM_EXIT", "count", WHERE({ "class", "interrupt" }));
	/* Armed and ended in memory, where the guest has no x2APIC. */
	struct devices apic = { .class = "fault|mmio|apic",
				.first = 0xfee00000,
				.last = 0xfee00fff };
	bool is;

	devices__count(&apic, l);
	of_it += apic.count;
	f->rate = look__sum(l, "KVM_TIMER", "fired", NULL) / l->seconds;
	is = finding__least(f, "time halted", look__share(l, l->slices[SLICE_HALT]), UNIT_SHARE,
			    0.80, NULL);
	is &= finding__least(f, "share of halt, timer and MSR exits", exits > 0 ? of_it / exits : 0,
			     UNIT_SHARE, 0.80, NULL);
	finding__claim(f, SLICE_KVM, l->slices[SLICE_KVM]);
	finding__claim(f, SLICE_POLL, l->slices[SLICE_POLL]);
	return is ? OPINION_LIKELY : OPINION_NO;
}

const struct rule idle_rules[] = {
	{ .id = "emulated-tick",
	  .seen = true,
	  .family = "idle",
	  .title = "The guest's tick comes from an emulated clock chip",
	  .not_what = "a guest that only reads the time: timer interrupts come with the accesses",
	  .slices = IN(KVM) | IN(VMM),
	  .per_vm = true,
	  .storm = true,
	  .rate = 200,
	  .cost = 0.02,
	  .needs = { NEED_EXITS, NEED_USER, "vm_exit:kvm_pio", "kvm_irqchip:kvm_fpu" },
	  .judge = emulated_tick,
	  .remedies = { { "VM restart",
			  "Windows: -cpu "
			  "...,hv-time,hv-relaxed,hv-vapic,hv-vpindex,hv-synic,hv-stimer",
			  NULL },
			{ "VM restart",
			  "libvirt: <hyperv><vpindex state='on'/><synic state='on'/><stimer "
			  "state='on'/></hyperv>",
			  NULL },
			{ "VM restart", "only after that: <timer name='hpet' present='no'/>",
			  "without stimer Windows then uses the RTC, which is slower" },
			{ "guest reboot", "Linux: clocksource=tsc, or kvm-clock", NULL } },
	  .verify = "-e --detail shows fewer than 200 such exits a second" },
	{ .id = "clock-reads-exit",
	  .seen = true,
	  .family = "idle",
	  .title = "Each clock read in the guest causes an exit",
	  .not_what = "a tick: nearly all accesses are reads of a counter",
	  .slices = IN(KVM) | IN(VMM),
	  .per_vm = true,
	  .rate = 1000,
	  .cost = 0.02,
	  .needs = { NEED_EXITS, NEED_USER, "vm_exit:kvm_pio", "vm_exit:kvm_msr" },
	  .judge = clock_reads,
	  .remedies = { { "VM restart", "-cpu host,+invtsc; Windows: also hv-time",
			  "+invtsc prevents migration to hosts with another TSC frequency" },
			{ "live",
			  "in the guest: echo tsc > "
			  "/sys/devices/system/clocksource/clocksource0/current_clocksource",
			  "only if the TSC is stable" } },
	  .verify = "-e --detail shows fewer than 1000 such exits a second" },
	{ .id = "tick-while-idle",
	  .seen = true,
	  .family = "idle",
	  .title = "A timer keeps waking vCPUs that have nothing to do",
	  .not_what =
		  "a 250 Hz tick: it fires more often; an application: the vCPU does nothing else",
	  .slices = IN(KVM) | IN(POLL),
	  .storm = true,
	  .rate = 600,
	  .cost = 0.05,
	  .needs = { NEED_EXITS, "kvm_timer:apic_timer_expired", "vcpu_load:kvm_vcpu_wakeup" },
	  .judge = tick_while_idle,
	  .remedies = { { "guest reboot", "Linux: nohz=on, CONFIG_HZ=250 or less", NULL },
			{ "live", "Windows: powercfg /energy names what requested a 1 ms timer",
			  NULL } },
	  .verify = "FIRED in -T is below 600 a second while the vCPU halts" },
	{ .id = "halt-poll-burns",
	  .seen = true,
	  .family = "idle",
	  .title = "KVM polls for wake-ups that come too late",
	  .not_what = "polling that pays off: over 10 % of its time ends without a wake-up",
	  .slices = IN(POLL),
	  .cost = 0.10,
	  .cost_by = "s390's halt_poll_max_steal",
	  .needs = { "vcpu_load:kvm_vcpu_wakeup", NEED_STEAL, "halt_poll_ns:kvm_vcpu_wakeup" },
	  .judge = halt_poll,
	  .remedies = { { "live", "echo 50000 > /sys/module/kvm/parameters/halt_poll_ns",
			  "affects all VMs of the host; slower wake-ups" },
			{ "VM restart", "KVM_CAP_HALT_POLL in the VMM, for this VM only", NULL } },
	  .verify = "POLL% in -o is below 10" },
	{ .id = "slow-wakeup",
	  .seen = true,
	  .family = "idle",
	  .title = "Wake-ups take a large part of many short halts",
	  .not_what = "steal: no other task ran meanwhile",
	  .slices = IN(KVM) | IN(STEAL),
	  .rate = 2000,
	  .cost = 0.05,
	  .needs = { "vcpu_wakeup:kvm_vcpu_wakeup", "vcpu_wakeup:kvm_entry", NEED_STEAL,
		     "vcpu_load:sched_wakeup", NEED_EXITS },
	  .judge = slow_wakeup,
	  .remedies = { { "live", "echo 200000 > /sys/module/kvm/parameters/halt_poll_ns",
			  "host CPUs are busy while vCPUs are halted" },
			{ "live", "tuned-adm profile latency-performance", "uses more power" } },
	  .verify = "WAKE_P50 in -w is shorter" },
	{ .id = "idle-is-hidden",
	  .seen = true,
	  .family = "idle",
	  .title = "HLT does not exit: the host CPU is busy even if the guest idles",
	  .not_what = "a busy guest looks the same, so this is only a note",
	  .note = true,
	  .needs = { "vm_state:kvm_state", "vcpu_load:kvm_fpu" },
	  .judge = idle_hidden,
	  .remedies = { { "VM restart",
			  "drop -overcommit cpu-pm=on, unless the VM has dedicated CPUs",
			  "slower wake-ups" } },
	  .verify = "NO_EXITS in --vm_state does not list HLT" },
	{ .id = "kvmclock-unstable",
	  .seen = true,
	  .family = "idle",
	  .title = "Guests cannot read kvmclock without a system call",
	  .not_what = "anything else: KVM itself reports it",
	  .note = true,
	  .per_vm = true,
	  .needs = { "vm_state:kvm_state", "host" },
	  .judge = clock_unstable,
	  .remedies = { { "live", "dmesg | grep -i tsc: shows why the host does not trust its TSC",
			  NULL },
			{ "live",
			  "echo tsc > "
			  "/sys/devices/system/clocksource/clocksource0/current_clocksource",
			  "an unstable TSC gives wrong time; running VMs change only when "
			  "restarted" } },
	  .verify = "MASTERCLOCK in --vm_state is yes" },
	{},
};
