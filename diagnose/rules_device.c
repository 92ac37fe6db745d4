// SPDX-License-Identifier: GPL-2.0-only
/* Devices that the VMM emulates, and the VMM's threads: the slice VMM, and host CPU time. */
#include <string.h>

#include "devices.h"
#include "families.h"

/* What other rules know better, or is no device's. */
static bool is_clock(const struct devices *d)
{
	return d->name && (strstr(d->name, "(RTC)") || strstr(d->name, "ACPI timer") ||
			   strstr(d->name, "HPET") || strstr(d->name, "APIC"));
}

/* Virtio before 1.0: the queue's number goes to offset 16 of the ports. */
static bool is_doorbell(const struct fact *row)
{
	enum { LEAST_PORT = 0x1000, NOTIFY = 0x10, BAR = 0x20 };
	double port = fact__get(row, "number"), bytes = fact__get(row, "more");

	return port >= LEAST_PORT && (uint64_t)port % BAR == NOTIFY && !(bytes > 2);
}

static enum opinion doorbell(const struct look *l, struct finding *f)
{
	double all;
	const struct devices most = devices__worst(l, "io", is_doorbell, &all);

	if (!most.to_vmm)
		return OPINION_NO;
	f->rate = most.to_vmm / l->seconds;
	finding__object(f, "port 0x%llx", (unsigned long long)most.first);
	finding__claim(f, SLICE_KVM, most.kvm_ns);
	finding__claim(f, SLICE_VMM, most.vmm_ns);
	return finding__most(f, "share of reads", (most.count - most.writes) / most.count,
			     UNIT_SHARE, 0.01, NULL) ?
		       OPINION_LIKELY :
		       OPINION_NO;
}

static enum opinion device(const struct look *l, struct finding *f, const char *class)
{
	double all;
	struct devices worst = devices__worst(l, class, NULL, &all);
	bool is = worst.to_vmm > 0 && !is_clock(&worst);

	if (!is)
		return OPINION_NO;
	f->rate = worst.to_vmm / l->seconds;
	is = finding__least(f,
			    *class == 'i' ? "share of port exits to the VMM" :
					    "share of MMIO exits to the VMM",
			    worst.to_vmm / all, UNIT_SHARE, 0.50, NULL);
	if (worst.name)
		finding__object(f, "%s", worst.name);
	else
		finding__object(f, "%s 0x%llx", *class == 'i' ? "port" : "address",
				(unsigned long long)worst.first);
	finding__show(f, "share of writes", worst.writes / worst.count, UNIT_SHARE);
	finding__show(f, "mean time in the VMM", worst.vmm_ns / worst.to_vmm, UNIT_NSEC);
	finding__claim(f, SLICE_KVM, worst.kvm_ns);
	finding__claim(f, SLICE_VMM, worst.vmm_ns);
	return is ? OPINION_LIKELY : OPINION_NO;
}

static enum opinion pio_device(const struct look *l, struct finding *f)
{
	return device(l, f, "io");
}

static enum opinion mmio_device(const struct look *l, struct finding *f)
{
	return device(l, f, "fault|mmio");
}

static enum opinion vmm_slow(const struct look *l, struct finding *f)
{
	const struct fact *row = NULL;
	double total = 0, most = 0, p99 = 0, share;
	bool is;

	while ((row = look__next(l, "KVM_USERSPACE_EXIT", row))) {
		const char *class = fact__get_text(row, "class"),
			   *reason = fact__get_text(row, "reason");
		double ns = fact__get(row, "total_ns");

		/* A halt in the VMM is one; who is called back by a signal does something else. */
		if (!class || !strcmp(class, "halt") || !strcmp(class, "interrupt"))
			continue;
		total += ns;
		if (fact__get(row, "p99_ns") > p99)
			p99 = fact__get(row, "p99_ns");
		if (ns > most) {
			most = ns;
			finding__object(f, "%s", reason ?: class);
		}
	}
	share = look__share(l, total);
	finding__show(f, "p99 time in the VMM", p99, UNIT_NSEC);
	/* Long stays are worse than many; in an emulated machine all are long. */
	is = finding__least(f, "time in the VMM", share, UNIT_SHARE,
			    p99 > 1e6 && !host_is_slow(l, NULL) ? 0.05 : 0.20, NULL);
	finding__claim(f, SLICE_VMM, total);
	return is ? OPINION_LIKELY : OPINION_NO;
}

static enum opinion kicks(const struct look *l, struct finding *f)
{
	double readers = 0;
	const struct where kicked[] = { { "class", "interrupt" }, {} };
	struct look vm = *l;
	const struct fact *row = NULL;

	vm.vcpu = UINT32_MAX;
	while ((row = look__next(&vm, "KVM_IOCTL", row))) {
		const char *name = fact__get_text(row, "name");

		if (name && strstr(name, "DIRTY"))
			readers += fact__get(row, "count");
	}
	f->rate = look__sum(l, "KVM_USERSPACE_EXIT", "count", kicked) / l->seconds;
	finding__claim(f, SLICE_VMM, look__vmm_ns(l, "interrupt"));
	finding__claim(f, SLICE_KVM, look__kvm_ns(l, "interrupt"));
	return finding__most(f, "reads of the dirty log", readers, UNIT_NUMBER, 1, NULL) ?
		       OPINION_LIKELY :
		       OPINION_NO;
}

static enum opinion msr_to_vmm(const struct look *l, struct finding *f)
{
	f->rate =
		look__sum(l, "KVM_USERSPACE_EXIT", "count", WHERE({ "class", "msr" })) / l->seconds;
	finding__claim(f, SLICE_VMM, look__vmm_ns(l, "msr"));
	return OPINION_CERTAIN;
}

/* One pin is raised again and again, and nobody listens. */
static enum opinion masked_line(const struct look *l, struct finding *f)
{
	const struct fact *pin = NULL;
	double count = 0, masked = 0;

	while ((pin = look__next(l, "IRQCHIP_PINS", pin))) {
		if (!(fact__get(pin, "masked_count") > masked))
			continue;
		masked = fact__get(pin, "masked_count");
		count = fact__get(pin, "count");
		finding__object(f, "pin %.0f of the %s", fact__get(pin, "pin"),
				fact__get_text(pin, "chip") ?: "chip");
	}
	f->rate = masked / l->seconds;
	finding__claim(f, SLICE_HELPERS, l->slices[SLICE_HELPERS]);
	return count > 0 && finding__least(f, "share of masked interrupts", masked / count,
					   UNIT_SHARE, 0.90, NULL) ?
		       OPINION_LIKELY :
		       OPINION_NO;
}

static double ioctls(const struct look *l, const char *const *names, double *ns)
{
	double count = 0;

	*ns = 0;
	for (; *names; names++) {
		count += look__sum(l, "KVM_IOCTL", "count", WHERE({ "name", *names }));
		*ns += look__sum(l, "KVM_IOCTL", "total_ns", WHERE({ "name", *names }));
	}
	return count;
}

static enum opinion irq_by_ioctl(const struct look *l, struct finding *f)
{
	static const char *const messages[] = { "KVM_SIGNAL_MSI", NULL }, *const lines[] = {
		"KVM_IRQ_LINE", "KVM_IRQ_LINE_STATUS", NULL
	};
	double ns, line_ns, count = ioctls(l, messages, &ns), calls = ioctls(l, lines, &line_ns),
			    raised = look__sum(l, "IRQCHIP_PINS", "count", NULL) -
				     look__sum(l, "IRQCHIP_PINS", "masked_count", NULL);

	/* A line is raised and lowered: two calls for one interrupt, none if it is masked. */
	raised = fmax(0, fmin(raised, calls / 2));
	if (calls > 0)
		ns += line_ns * 2 * raised / calls;
	count += raised;
	f->rate = count / l->seconds;
	finding__show(f, "mean time per interrupt", count > 0 ? ns / count : 0, UNIT_NSEC);
	/* Who calls may sleep in it. */
	finding__claim(f, SLICE_HELPERS, fmin(ns, l->slices[SLICE_HELPERS]));
	return OPINION_CERTAIN;
}

static enum opinion route_churn(const struct look *l, struct finding *f)
{
	static const char *const names[] = { "KVM_SET_GSI_ROUTING", "KVM_IRQFD", NULL };
	double ns, count = ioctls(l, names, &ns);

	f->rate = count / l->seconds;
	finding__show(f, "mean time per call", count > 0 ? ns / count : 0, UNIT_NSEC);
	finding__claim(f, SLICE_HELPERS, fmin(ns, l->slices[SLICE_HELPERS]));
	return OPINION_LIKELY;
}

static const struct fact *worst_helper(const struct look *l, const char *column)
{
	const struct fact *row = NULL, *worst = NULL;

	while ((row = look__next(l, "VMM_THREADS", row))) {
		const char *role = fact__get_text(row, "role");

		if (!role ||
		    (strcmp(role, "vhost") && strcmp(role, "iothread") && strcmp(role, "main")))
			continue;
		if (!worst || fact__get(row, column) > fact__get(worst, column))
			worst = row;
	}
	return worst;
}

static enum opinion starved(const struct look *l, struct finding *f)
{
	const struct fact *helper = worst_helper(l, "delay_ns");
	double delay, cpu;

	if (!helper)
		return OPINION_NO;
	delay = fact__get(helper, "delay_ns");
	cpu = fact__get(helper, "cpu_ns");
	finding__object(f, "%s", fact__get_text(helper, "comm") ?: "-");
	finding__show(f, "time running", cpu / 1e9 / l->seconds, UNIT_SHARE);
	finding__claim(f, SLICE_DELAYS, delay);
	/* What hardly runs hardly matters. */
	return finding__least(f, "time running or waiting for a CPU",
			      (cpu + delay) / 1e9 / l->seconds, UNIT_SHARE, 0.20, NULL) ?
		       OPINION_LIKELY :
		       OPINION_NO;
}

static enum opinion saturated(const struct look *l, struct finding *f)
{
	const struct fact *helper = worst_helper(l, "cpu_ns");
	const char *role;

	if (!helper)
		return OPINION_NO;
	role = fact__get_text(helper, "role");
	finding__object(f, "%s", fact__get_text(helper, "comm") ?: "-");
	finding__claim(f, SLICE_HELPERS, fact__get(helper, "cpu_ns"));
	/* What a main loop does beside I/O is not known. */
	return role && !strcmp(role, "main") ? OPINION_POSSIBLE : OPINION_LIKELY;
}

#define OF_DEVICE                                                                        \
	.family = "devices", .slices = IN(KVM) | IN(VMM), .per_vm = true, .storm = true, \
	.needs = { NEED_EXITS, NEED_USER, "vm_exit:kvm_pio", "vm_exit:kvm_mmio" }

const struct rule device_rules[] = {
	{ .id = "doorbell-in-vmm",
	  .seen = true,
	  .title = "Virtio doorbells exit to the VMM instead of signalling an ioeventfd",
	  .not_what = "an emulated device: only one port is used, and only for writes",
	  OF_DEVICE,
	  .rate = 100,
	  .cost = 0.02,
	  .judge = doorbell,
	  .remedies = { { "VM restart", "-device virtio-...,ioeventfd=on", NULL },
			{ "VM restart", "network: vhost=on; libvirt: <driver name='vhost'/>",
			  NULL },
			{ "VM restart", "-device virtio-...,disable-legacy=on",
			  "a guest without virtio 1.0 support loses the device" } },
	  .verify = "exits to the VMM for that port are below 100 a second" },
	{ .id = "pio-device",
	  .seen = true,
	  .title = "Each access to an emulated device's ports costs an exit to the VMM",
	  .not_what = "a virtio doorbell or a clock: their own rules come first",
	  OF_DEVICE,
	  .rate = 2000,
	  .cost = 0.05,
	  .judge = pio_device,
	  .remedies = { { "VM restart", "disks: virtio-blk or virtio-scsi instead of IDE",
			  "needs guest drivers" },
			{ "guest reboot", "serial console: loglevel=4, or hvc0 of virtio-console",
			  "fewer messages" },
			{ "VM restart", "remove unused devices: vmport=off, no floppy, no VGA",
			  NULL } },
	  .verify = "-e --detail shows fewer than 2000 such exits a second" },
	{ .id = "mmio-device",
	  .seen = true,
	  .title = "Each access to an emulated device's registers costs an exit to the VMM",
	  .not_what = "the local APIC or the HPET: their addresses are excluded",
	  OF_DEVICE,
	  .rate = 2000,
	  .cost = 0.05,
	  .judge = mmio_device,
	  .remedies = { { "VM restart", "virtio-net with vhost=on instead of e1000",
			  "needs guest drivers" },
			{ "VM restart", "virtio-blk instead of an emulated controller",
			  "needs guest drivers" },
			{ "VM restart", "for virtio devices: -device virtio-...,ioeventfd=on",
			  NULL } },
	  .verify = "-e --detail shows fewer than 2000 such exits a second" },
	{ .id = "msr-to-vmm",
	  .seen = true,
	  .family = "devices",
	  .title = "MSR accesses exit to the VMM",
	  .not_what = "MSRs that KVM handles: these exits reach user space",
	  .slices = IN(VMM),
	  .storm = true,
	  .rate = 100,
	  .cost = 0.02,
	  .needs = { NEED_USER, "vcpu_load:kvm_fpu" },
	  .judge = msr_to_vmm,
	  .remedies = { { "VM restart",
			  "allow that MSR in the VMM's MSR filter (-e --detail shows it)", NULL } },
	  .verify = "fewer than 100 such exits a second" },
	{ .id = "kick-storm",
	  .seen = true,
	  .family = "devices",
	  .title = "Signals keep forcing vCPUs out of the guest",
	  .not_what = "a migration: nothing reads the dirty log",
	  .slices = IN(VMM) | IN(KVM),
	  .rate = 500,
	  .cost = 0.02,
	  .needs = { NEED_USER, "vcpu_load:kvm_fpu", "kvm_ioctl:ioctl_enter" },
	  .judge = kicks,
	  .remedies = { { "live",
			  "bpftrace -e 'tracepoint:signal:signal_generate /args.pid == TID/ { "
			  "@[comm] = count(); }'",
			  NULL },
			{ "live",
			  "query the VMM less often: poll fewer statistics, detach debuggers",
			  NULL } },
	  .verify = "fewer than 500 INTR exits a second" },
	{ .id = "masked-timer-line",
	  .seen = true,
	  .family = "devices",
	  .title = "The VMM keeps raising an interrupt line that the guest has masked",
	  .not_what = "delivered interrupts: nearly all are masked",
	  .slices = IN(HELPERS),
	  .per_vm = true,
	  .rate = 200,
	  .cost = 0.03,
	  .needs = { "kvm_irqchip:kvm_fpu", "vmm_threads:threads" },
	  .judge = masked_line,
	  .remedies = { { "VM restart", "-machine hpet=off",
			  "Windows without hv-stimer then uses the RTC" },
			{ "VM restart", "libvirt: <timer name='hpet' present='no'/>", NULL } },
	  .verify = "MASKED in -c is below 200 a second" },
	{ .id = "irq-by-ioctl",
	  .seen = true,
	  .family = "devices",
	  .title = "The VMM injects each interrupt with a system call",
	  .not_what = "masked lines: they are not counted",
	  .slices = IN(HELPERS),
	  .per_vm = true,
	  .storm = true,
	  .rate = 1000,
	  .cost = 0.02,
	  .needs = { "kvm_ioctl:ioctl_enter", "kvm_ioctl:ioctl_return", "kvm_irqchip:kvm_fpu",
		     "vmm_threads:threads" },
	  .judge = irq_by_ioctl,
	  .remedies = { { "VM restart", "network: vhost=on; disks: an iothread with irqfd", NULL },
			{ "VM restart", "a VMM that uses KVM_IRQFD", NULL } },
	  .verify = "fewer than 1000 such ioctls a second (-l)" },
	{ .id = "route-churn",
	  .seen = true,
	  .family = "devices",
	  .title = "The VMM keeps rewriting interrupt routes",
	  .not_what = "a hotplug: this does not end",
	  .slices = IN(HELPERS) | IN(VMM),
	  .gate = 0.005,
	  .per_vm = true,
	  .storm = true,
	  .rate = 50,
	  .needs = { "kvm_ioctl:ioctl_enter", "kvm_ioctl:ioctl_return", "vmm_threads:threads" },
	  .judge = route_churn,
	  .remedies = { { "guest reboot", "a guest driver that does not mask at each interrupt",
			  NULL },
			{ "host reboot", "a newer kernel, which updates routes faster", NULL } },
	  .verify = "fewer than 50 such ioctls a second (-l)" },
	{ .id = "helper-starved",
	  .seen = true,
	  .family = "devices",
	  .title = "A thread that serves the VM's devices waits for a CPU",
	  .not_what = "a mostly idle thread: it ran or waited at least 20 % of the time",
	  .slices = IN(DELAYS),
	  .per_vm = true,
	  .cost = 0.10,
	  .needs = { "vmm_threads:threads" },
	  .judge = starved,
	  .remedies = { { "live", "virsh iothreadpin {vm} IOTHREAD CPULIST", NULL },
			{ "live", "virsh emulatorpin {vm} CPULIST", NULL },
			{ "live", "taskset -p -c CPULIST TID", NULL } },
	  .verify = "RUN_DELAY in --vmm_threads is below 10 % of the time" },
	{ .id = "helper-saturated",
	  .seen = true,
	  .family = "devices",
	  .title = "A thread that serves the VM's devices saturates its CPU",
	  .not_what = "a thread that waits for a CPU: this one runs",
	  .slices = IN(HELPERS),
	  .per_vm = true,
	  .cost = 0.90,
	  .critical = 0.98,
	  .needs = { "vmm_threads:threads" },
	  .judge = saturated,
	  .remedies = { { "VM restart", "libvirt: <driver queues='N'/>, an iothread for each disk",
			  NULL } },
	  .verify = "CPU% in --vmm_threads is below 90" },
	{},
};

const struct rule last_rules[] = {
	{ .id = "vmm-slow",
	  .seen = true,
	  .family = "devices",
	  .title = "vCPUs wait for the VMM",
	  .rest = true,
	  .not_what = "one device or MSR: their rules come first; halts and signals are excluded",
	  .slices = IN(VMM),
	  .cost = 0.05,
	  .needs = { NEED_USER, "vcpu_load:kvm_fpu" },
	  .judge = vmm_slow,
	  .remedies = { { "VM restart", "disks: iothread, aio=io_uring, cache=none", NULL },
			{ "VM restart", "network: vhost=on", NULL },
			{ "live", "fewer QMP queries; --slower-than=1ms -e shows each slow exit",
			  NULL } },
	  .verify = "VMM% in -o is below 20, and the p99 of exits to the VMM below 1 ms" },
	{},
};
