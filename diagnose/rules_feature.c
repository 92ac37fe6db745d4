// SPDX-License-Identifier: GPL-2.0-only
/* What the guest does that is dear, errors, and the host itself. */
#include <string.h>

#include "devices.h"
#include "families.h"

static enum opinion by_class(const struct look *l, struct finding *f, const char *class)
{
	f->rate = look__sum(l, "KVM_EXIT", "count", WHERE({ "class", class })) / l->seconds;
	finding__claim(f, SLICE_KVM, look__kvm_ns(l, class));
	return OPINION_LIKELY;
}

static enum opinion cpuid_loop(const struct look *l, struct finding *f)
{
	return by_class(l, f, "cpuid");
}

static enum opinion wbinvd(const struct look *l, struct finding *f)
{
	return by_class(l, f, "cache");
}

static enum opinion pmu(const struct look *l, struct finding *f)
{
	static const double ranges[][2] = {
		{ 0xc1, 0xc8 },
		{ 0x186, 0x18d },
		{ 0x309, 0x30c },
		{ 0x38d, 0x391 },
		{ 0x4c1, 0x4c8 },
		{ 0xc0000300, 0xc0000303 },
		{ 0xc0010000, 0xc0010007 },
		{ 0xc0010200, 0xc001020b },
	};
	double count = 0, kvm_ns = 0;

	for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
		struct devices msrs = { .class = "msr",
					.first = ranges[i][0],
					.last = ranges[i][1] };

		devices__count(&msrs, l);
		count += msrs.count;
		kvm_ns += msrs.kvm_ns;
	}
	f->rate = count / l->seconds;
	finding__claim(f, SLICE_KVM, kvm_ns);
	return OPINION_LIKELY;
}

static enum opinion debugger(const struct look *l, struct finding *f)
{
	if (!(look__max(l, "VCPU_STATE", "guest_debug", NULL) > 0))
		return OPINION_NO;
	f->rate = (look__sum(l, "KVM_EXIT", "count", WHERE({ "class", "dr" })) +
		   look__sum(l, "KVM_EXIT", "count", WHERE({ "class", "exception" })) +
		   look__sum(l, "KVM_USERSPACE_EXIT", "count", WHERE({ "class", "debug" }))) /
		  l->seconds;
	finding__claim(f, SLICE_KVM, look__kvm_ns(l, "dr") + look__kvm_ns(l, "exception"));
	finding__claim(f, SLICE_VMM, look__vmm_ns(l, "debug"));
	return OPINION_CERTAIN;
}

static enum opinion split_lock(const struct look *l, struct finding *f)
{
	double count = look__sum(l, "KVM_EXIT", "count", WHERE({ "class", "exception" })),
	       p50 = look__max(l, "KVM_EXIT", "p50_ns", WHERE({ "class", "exception" }));

	f->rate = count / l->seconds;
	finding__claim(f, SLICE_BLOCK, l->slices[SLICE_BLOCK]);
	return finding__least(f, "median time of an exception", isnan(p50) ? 0 : p50, UNIT_NSEC,
			      10e6, "the kernel's msleep(10)") ?
		       OPINION_LIKELY :
		       OPINION_NO;
}

static enum opinion nested(const struct look *l, struct finding *f)
{
	double l2 = look__sum(l, "NESTED_EXIT", "count", NULL),
	       l0 = look__sum(l, "KVM_EXIT", "count", WHERE({ "class", "nested" }));

	f->rate = l0 / l->seconds;
	finding__claim(f, SLICE_KVM, look__kvm_ns(l, "nested"));
	return finding__least(f, "exits per nested exit", l2 > 0 ? l0 / l2 : 0, UNIT_NUMBER, 3,
			      NULL) ?
		       OPINION_LIKELY :
		       OPINION_NO;
}

/* One reason, far more often than any device would be asked. */
static enum opinion spins(const struct look *l, struct finding *f)
{
	const struct fact *row = NULL;
	double most = 0;
	bool is;

	while ((row = look__next(l, "KVM_EXIT", row)))
		if (fact__get(row, "count") > most) {
			most = fact__get(row, "count");
			finding__object(f, "%s", fact__get_text(row, "reason") ?: "-");
		}
	f->rate = most / l->seconds;
	is = finding__most(f, "time in the guest", look__share(l, l->slices[SLICE_GUEST]),
			   UNIT_SHARE, 0.20, NULL);
	is &= finding__most(f, "time halted", look__share(l, l->slices[SLICE_HALT]), UNIT_SHARE,
			    0.01, NULL);
	finding__claim(f, SLICE_KVM, l->slices[SLICE_KVM]);
	return is ? OPINION_LIKELY : OPINION_NO;
}

static enum opinion crashes(const struct look *l, struct finding *f)
{
	double errors = 0, resets = 0;
	const struct fact *row = NULL;

	while ((row = look__next(l, "KVM_USERSPACE_EXIT", row))) {
		const char *reason = fact__get_text(row, "reason");
		double count = fact__get(row, "count");

		if (!reason)
			continue;
		if (!strcmp(reason, "INTERNAL_ERROR") || !strcmp(reason, "FAIL_ENTRY")) {
			errors += count;
			finding__object(f, "%s", reason);
		} else if (!strcmp(reason, "SHUTDOWN")) {
			resets += count;
		}
	}
	if (finding__least(f, "KVM errors", errors, UNIT_NUMBER, 1, NULL))
		return OPINION_CERTAIN;
	/* A guest that reboots by a triple fault does it once. */
	if (!finding__least(f, "triple faults", resets, UNIT_NUMBER, 4, NULL))
		return OPINION_NO;
	finding__object(f, "SHUTDOWN");
	return OPINION_CERTAIN;
}

static enum opinion slow_host(const struct look *l, struct finding *f)
{
	double p50;
	bool slow = host_is_slow(l, &p50);

	if (isnan(p50))
		return finding__unknown(f, "too few CPUID, MSR and interrupt exits to judge by");
	return finding__least(f, "median time of the cheapest exit", p50, UNIT_NSEC, 15e3,
			      "hardware takes about 1500 ns") &&
			       slow ?
		       OPINION_CERTAIN :
		       OPINION_NO;
}

static enum opinion ksm(const struct look *l, struct finding *f)
{
	double run = look__host_number(l, "ksm.run"),
	       total = look__host_number(l, "memory.MemTotal"),
	       available = look__host_number(l, "memory.MemAvailable");

	if (run != 1)
		return OPINION_NO;
	return finding__least(f, "share of memory available", total > 0 ? available / total : 0,
			      UNIT_SHARE, 0.30, NULL) ?
		       OPINION_LIKELY :
		       OPINION_NO;
}

/*
 * Where a flush is due only after others have run, a vCPU that sleeps between exits has one at
 * each, too.
 */
static enum opinion l1d_flush(const struct look *l, struct finding *f)
{
	const char *when = look__host_text(l, "kvm_intel.vmentry_l1d_flush");
	double exits = 0, flushes = 0;

	for (size_t vm = 1; vm < l->facts->nr_vms; vm++) {
		struct look of = *l;

		of.vm_at = vm;
		of.vcpu = UINT32_MAX;
		exits += look__sum(&of, "VCPU_STATE", "exits", NULL);
		flushes += look__sum(&of, "VCPU_STATE", "l1d_flush", NULL);
	}
	if (!when || strcmp(when, "always") != 0)
		return OPINION_NO;
	finding__word(f, "kvm_intel.vmentry_l1d_flush", when);
	return exits > 0 && finding__least(f, "flushes per exit", flushes / exits, UNIT_NUMBER, 0.9,
					   NULL) ?
		       OPINION_CERTAIN :
		       OPINION_NO;
}

static enum opinion governor(const struct look *l, struct finding *f)
{
	const char *is = look__host_text(l, "cpufreq.governor"),
		   *driver = look__host_text(l, "cpufreq.driver");

	if (!is || !driver)
		return finding__na(f, "the host does not scale CPU frequencies");
	finding__word(f, "governor", is);
	/* Where the processor chooses itself the name says little. */
	return strstr(is, "powersave") && !strstr(driver, "pstate") ? OPINION_CERTAIN : OPINION_NO;
}

const struct rule error_rules[] = {
	{ .id = "vm-crashes",
	  .seen = true,
	  .family = "errors",
	  .title = "KVM gives up on the guest, or the guest keeps resetting itself",
	  .not_what = "a single reboot: that is one triple fault",
	  .error = true,
	  .per_vm = true,
	  .needs = { NEED_USER },
	  .judge = crashes,
	  .remedies = { { "live", "dmesg | tail -50, and the VMM's log", NULL },
			{ "live", "kvm_watcher -e -p {pid} --events", NULL } },
	  .verify = "no such exits to user space (-e)" },
	{},
};

const struct rule feature_rules[] = {
	{ .id = "debugger-left-on",
	  .seen = true,
	  .family = "features",
	  .title = "A debugger is attached to the guest and keeps stopping it",
	  .not_what = "a debugger inside the guest: the VMM has turned on debugging in KVM",
	  .slices = IN(KVM) | IN(VMM),
	  .rate = 100,
	  .cost = 0.02,
	  .needs = { "vm_state:kvm_state", NEED_EXITS, NEED_USER },
	  .judge = debugger,
	  .remedies = { { "live", "detach gdb (QEMU: -s, -gdb), delete watchpoints", NULL } },
	  .verify = "DEBUGGED in --vm_state is no" },
	{ .id = "split-lock",
	  .family = "features",
	  .title = "The guest locks across cache lines, and the host delays each lock by 10 ms",
	  .not_what = "other exceptions: the median is 10 ms or longer",
	  .slices = IN(BLOCK),
	  .rate = 1,
	  .cost = 0.02,
	  .needs = { NEED_EXITS, NEED_STEAL },
	  .judge = split_lock,
	  .remedies = { { "guest reboot", "fix the program in the guest: align the data it locks",
			  NULL },
			{ "live", "sysctl kernel.split_lock_mitigate=0",
			  "its bus locks then slow down all VMs on the host" } },
	  .verify = "P50 of EXCEPTION_NMI is below 1 ms" },
	{ .id = "nested-amplification",
	  .seen = true,
	  .family = "features",
	  .title = "The guest is a hypervisor, and each exit of its guests causes several more",
	  .not_what = "an idle hypervisor: its guests do exit",
	  .slices = IN(KVM),
	  .cost = 0.10,
	  .needs = { NEED_EXITS, "nested" },
	  .judge = nested,
	  .remedies = { { "VM restart", "Windows: -cpu ...,hv-evmcs, or turn VBS off",
			  "less protection in the guest" },
			{ "module reload", "kvm_intel.enable_shadow_vmcs=Y",
			  "all VMs must be stopped" } },
	  .verify = "fewer exits per nested exit (--nested)" },
	{ .id = "cpuid-loop",
	  .seen = true,
	  .family = "features",
	  .title = "A program in the guest keeps executing CPUID",
	  .not_what = "a boot: this does not end",
	  .slices = IN(KVM),
	  .storm = true,
	  .rate = 1000,
	  .cost = 0.02,
	  .needs = { NEED_EXITS },
	  .judge = cpuid_loop,
	  .remedies = { { "live", "fix the program: LFENCE or SERIALIZE instead of CPUID", NULL } },
	  .verify = "fewer than 1000 CPUID exits a second" },
	{ .id = "pmu-msrs",
	  .seen = true,
	  .family = "features",
	  .title = "A profiler in the guest uses performance counters; each access exits",
	  .not_what = "the NMI watchdog: that causes about one exit a second",
	  .slices = IN(KVM),
	  .storm = true,
	  .rate = 2000,
	  .cost = 0.03,
	  .needs = { NEED_EXITS, "vm_exit:kvm_msr" },
	  .judge = pmu,
	  .remedies = { { "live", "stop perf in the guest, or lower its sampling rate", NULL },
			{ "VM restart", "-cpu ...,pmu=off", "no profiling in the guest" } },
	  .verify = "fewer than 2000 such exits a second" },
	{ .id = "wbinvd",
	  .seen = true,
	  .family = "features",
	  .title = "The guest flushes all CPU caches",
	  .not_what = "a host that ignores the flushes: these exits take long",
	  .slices = IN(KVM),
	  .rate = 1,
	  .cost = 0.01,
	  .needs = { NEED_EXITS },
	  .judge = wbinvd,
	  .remedies = { { "guest reboot", "update the driver that does it", NULL },
			{ "VM restart", "devices behind an IOMMU with snoop control", NULL } },
	  .verify = "no WBINVD exits" },
	{ .id = "spins-without-progress",
	  .seen = true,
	  .family = "features",
	  .title = "The guest exits for one reason over and over, without progress",
	  .not_what = "a busy device: none causes so many exits",
	  .slices = IN(KVM),
	  .rate = 100000,
	  .cost = 0.50,
	  .needs = { NEED_EXITS, "vcpu_load:kvm_entry" },
	  .judge = spins,
	  .remedies = { { "host reboot", "a newer kernel", NULL } },
	  .verify = "GUEST% in -o is above 20" },
	{},
};

const struct rule host_rules[] = {
	{ .id = "host-is-slow",
	  .seen = true,
	  .family = "host",
	  .title = "Exits take far longer than on bare metal: this host is a VM or emulated",
	  .not_what = "steal: it hardly changes a median",
	  .note = true,
	  .of_host = true,
	  .needs = { NEED_EXITS },
	  .judge = slow_host,
	  .remedies = { { "host reboot", "run VMs on bare metal", NULL } },
	  .verify = "P50 of the cheapest exits is below 15 us" },
	{ .id = "ksm-without-need",
	  .seen = true,
	  .family = "host",
	  .title = "KSM scans for identical pages although memory is not short",
	  .not_what = "memory overcommit: at least 30 % is available",
	  .note = true,
	  .of_host = true,
	  .needs = { "host" },
	  .judge = ksm,
	  .remedies = { { "live", "echo 2 > /sys/kernel/mm/ksm/run",
			  "unmerged pages take memory again" } },
	  .verify = "ksm.run in --host is not 1" },
	{ .id = "l1d-flush",
	  .seen = true,
	  .family = "host",
	  .title = "Nearly every VM entry flushes the L1 data cache (L1TF mitigation)",
	  .not_what = "conditional flushes: the parameter says always",
	  .note = true,
	  .of_host = true,
	  .needs = { "vm_state:kvm_state", "host" },
	  .judge = l1d_flush,
	  .remedies = { { "live", "echo cond > /sys/module/kvm_intel/parameters/vmentry_l1d_flush",
			  "weaker protection against untrusted guests" } },
	  .verify = "l1d_flush in --vm_state is far below exits" },
	{ .id = "cpu-powersave",
	  .seen = true,
	  .family = "host",
	  .title = "The host's CPUs stay at their lowest frequency",
	  .not_what = "intel_pstate or amd_pstate: their powersave governor scales",
	  .note = true,
	  .of_host = true,
	  .needs = { "host" },
	  .judge = governor,
	  .remedies = { { "live", "cpupower frequency-set -g schedutil", "uses more power" } },
	  .verify = "cpufreq.governor in --host is not powersave" },
	{},
};
