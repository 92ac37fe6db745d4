// SPDX-License-Identifier: GPL-2.0-only
/* Who takes the CPUs that a VM's vCPUs want: the slice STEAL. */
#include <stdio.h>
#include <string.h>

#include "families.h"

enum taker { BY_OTHER_VMS, BY_OWN_VM, BY_HOST, BY_US, NR_TAKERS };

struct thefts {
	double ns[NR_TAKERS], all;
	const char *worst[NR_TAKERS];
};

/* A process' threads, or a VM's: who it is. */
static enum taker taker_of(const struct look *l, const struct fact *thief)
{
	const char *vm = fact__get_text(thief, "vm"), *id = fact__get_text(thief, "vm_id"),
		   *comm = fact__get_text(thief, "comm");

	if (vm)
		return !strcmp(vm, l->vm->name) && (!id || !strcmp(id, l->vm->id)) ? BY_OWN_VM :
										     BY_OTHER_VMS;
	if (comm && !strcmp(comm, "kvm_watcher"))
		return BY_US;
	/* With -p others' VMs are not known; QEMU names its vCPUs' threads so. */
	return comm && !strncmp(comm, "CPU ", 4) && strstr(comm, "/KVM") ? BY_OTHER_VMS : BY_HOST;
}

static struct thefts thefts_of(const struct look *l)
{
	struct thefts t = { .all = look__sum(l, "VCPU_LOAD", "thieves_ns", NULL) };
	double most[NR_TAKERS] = {};
	const struct fact *thief = NULL;

	while ((thief = look__next(l, "VCPU_LOAD.thieves", thief))) {
		enum taker taker = taker_of(l, thief);
		double ns = fact__get(thief, "ns");

		t.ns[taker] += ns;
		if (ns > most[taker]) {
			most[taker] = ns;
			t.worst[taker] = fact__get_text(thief, "name");
		}
	}
	return t;
}

/*
 * A part of the run names three thieves of a vCPU. Whoever is not among them may have what nobody
 * is named for: as much as is its share of the whole run, which names VMs as a whole.
 */
static double unnamed(const struct look *l, const struct thefts *t, enum taker taker)
{
	const struct look whole = look__at(l->facts, &l->facts->total, l->vm_at, l->vcpu, l->rule);
	const struct thefts all = thefts_of(&whole);
	double steal = whole.slices[SLICE_STEAL], rest = t->all, expected;

	for (int i = 0; i < NR_TAKERS; i++)
		rest -= t->ns[i];
	expected = steal > 0 ? all.ns[taker] / steal * l->slices[SLICE_STEAL] - t->ns[taker] : 0;
	return fmax(0, fmin(rest, expected));
}

/* The taker has a tenth of what was stolen, at least: the cost is the other key. */
static enum opinion taken_by(const struct look *l, struct finding *f, enum taker taker)
{
	static const char *const whom[] = {
		[BY_OTHER_VMS] = "other VMs' share of the steal",
		[BY_OWN_VM] = "its own threads' share of the steal",
		[BY_HOST] = "host tasks' share of the steal",
		[BY_US] = "kvm_watcher's share of the steal",
	};
	struct thefts t = thefts_of(l);
	double steal = l->slices[SLICE_STEAL];
	bool most;

	if (l->window != &l->facts->total)
		t.ns[taker] += unnamed(l, &t, taker);
	finding__show(f, "steal", look__share(l, steal), UNIT_SHARE);
	most = finding__least(f, whom[taker], steal > 0 ? t.ns[taker] / steal : 0, UNIT_SHARE, 0.10,
			      NULL);
	for (int i = 0; i < NR_TAKERS; i++)
		if (i != (int)taker && steal > 0 && t.ns[i] > 0.01 * steal)
			finding__show(f, whom[i], t.ns[i] / steal, UNIT_SHARE);
	if (t.worst[taker])
		finding__object(f, "%s", t.worst[taker]);
	finding__claim(f, SLICE_STEAL, t.ns[taker]);
	return most ? OPINION_CERTAIN : OPINION_NO;
}

static enum opinion other_vms(const struct look *l, struct finding *f)
{
	return taken_by(l, f, BY_OTHER_VMS);
}

static enum opinion own_vm(const struct look *l, struct finding *f)
{
	return taken_by(l, f, BY_OWN_VM);
}

static enum opinion host_task(const struct look *l, struct finding *f)
{
	return taken_by(l, f, BY_HOST);
}

static enum opinion observer(const struct look *l, struct finding *f)
{
	return taken_by(l, f, BY_US);
}

/* Of one cgroup: a group and those above it count the same time. */
static double throttled_ns(const struct look *l, struct finding *f, bool *known)
{
	const struct fact *row = NULL;
	double most = 0;

	*known = false;
	while ((row = look__next_of_none(l, "VM_CGROUP", row))) {
		const char *name = fact__get_text(row, "name"),
			   *cgroup = fact__get_text(row, "cgroup");
		double ns = fact__get(row, "count") * 1000;

		*known = true;
		if (!name || strcmp(name, "cpu.stat.throttled_usec") || !(ns > most))
			continue;
		most = ns;
		if (cgroup)
			finding__object(f, "%s", cgroup);
	}
	return most;
}

static enum opinion quota(const struct look *l, struct finding *f)
{
	const struct thefts t = thefts_of(l);
	double steal = l->slices[SLICE_STEAL], throttled, all;
	struct look vm = *l;
	bool known, named, enough;

	vm.vcpu = UINT32_MAX;
	all = look__sum(&vm, "VCPU_LOAD", "steal_ns", NULL);
	throttled = throttled_ns(l, f, &known);
	if (!known && l->window == &l->facts->total)
		return finding__unknown(f, "the VM's cgroup is not known");
	finding__show(f, "steal", look__share(l, steal), UNIT_SHARE);
	named = finding__most(f, "other tasks' share of the steal", steal > 0 ? t.all / steal : 0,
			      UNIT_SHARE, 0.30, NULL);
	enough = finding__least(f, "throttled time relative to the steal",
				all > 0 ? throttled / all : 0, UNIT_SHARE, 0.50, NULL);
	finding__claim(f, SLICE_STEAL, steal - t.all);
	return named && enough ? OPINION_CERTAIN : OPINION_NO;
}

/*
 * What PAUSE loops took: windows that were filled are TSC cycles on Intel, and PAUSEs of some 40
 * cycles on AMD. Where the TSC's frequency is not told it is at least this: none is faster.
 */
static double spun_ns(const struct look *l)
{
	static const double MOST_KHZ = 4e6, CYCLES_OF_PAUSE = 40;
	double spun = look__sum(l, "PAUSE_LOOPS", "ple_spun", NULL),
	       khz = look__max(l, "PAUSE_LOOPS", "tsc_khz", NULL);

	return spun * 1e6 / (khz > 0 ? khz : MOST_KHZ) *
	       (strcmp(l->facts->vendor, "kvm_amd") ? 1 : CYCLES_OF_PAUSE);
}

static double most_stolen(const struct look *l)
{
	const struct fact *row = NULL;
	double most = 0;

	while ((row = look__next(l, "VCPU_LOAD", row)))
		most = fmax(most, fact__get(row, "steal_ns") / fact__get(row, "wall_ns"));
	return most;
}

static enum opinion lock_holder(const struct look *l, struct finding *f)
{
	finding__claim(f, SLICE_GUEST, spun_ns(l));
	return finding__least(f, "steal of the worst vCPU", most_stolen(l), UNIT_SHARE, 0.05,
			      "OpenShift's alert") ?
		       OPINION_LIKELY :
		       OPINION_NO;
}

static enum opinion ple_on_dedicated(const struct look *l, struct finding *f)
{
	double ns = spun_ns(l) + look__kvm_ns(l, "pause");
	long cpu = look__pinned_to(l);
	bool is;

	if (cpu < 0)
		return finding__na(f, "the vCPU is not pinned to one CPU");
	is = finding__least(f, "PAUSE loops and their exits", look__share(l, ns), UNIT_SHARE, 0.05,
			    NULL);
	is &= finding__most(f, "steal", look__share(l, l->slices[SLICE_STEAL]), UNIT_SHARE, 0.01,
			    NULL);
	finding__show(f, "pinned to CPU", cpu, UNIT_NUMBER);
	return is ? OPINION_LIKELY : OPINION_NO;
}

static enum opinion isolated(const struct look *l, struct finding *f)
{
	const char *kept = look__host_text(l, "cpu.isolated"),
		   *full = look__host_text(l, "cpu.nohz_full");
	long cpu = look__pinned_to(l);
	double own = 0,
	       interrupts = look__sum(l, "KVM_EXIT", "count", WHERE({ "class", "interrupt" })) /
			    l->seconds;
	char text[24];

	snprintf(text, sizeof(text), "%ld", cpu);
	if (cpu < 0 || (!cpus__meet(text, kept) && !cpus__meet(text, full)))
		return finding__na(f, "the vCPU is not pinned to an isolated CPU");
	/* On AMD the guest's timer is the host's: such an exit, and an interrupt of its own. */
	if (!strcmp(l->facts->vendor, "kvm_amd"))
		own = look__sum(l, "VCPU_STATE", "irq_injections", NULL) / l->seconds;
	f->rate = fmax(0, interrupts - own);
	finding__show(f, "the guest's own interrupts", own, UNIT_PER_S);
	finding__show(f, "steal", look__share(l, l->slices[SLICE_STEAL]), UNIT_SHARE);
	finding__claim(f, SLICE_KVM, look__kvm_ns(l, "interrupt"));
	finding__claim(f, SLICE_STEAL, l->slices[SLICE_STEAL]);
	finding__object(f, "CPU %ld", cpu);
	return OPINION_LIKELY;
}

#define NEED_PLE "halt_poll_ns:kvm_ple_window_update"

#define STEALS                                                                               \
	.slices = IN(STEAL), .cost = 0.05, .cost_by = "OpenShift's alert", .critical = 0.10, \
	.needs = { NEED_STEAL, "vcpu_load:sched_wakeup" }, .verify = "STEAL% in -o is below 5"

const struct rule cpu_rules[] = {
	{ .id = "quota-throttled",
	  .seen = true,
	  .family = "cpu",
	  .title = "A CPU quota throttles the VM",
	  .not_what = "neighbours: other tasks ran during less than 30 % of the steal",
	  .slices = IN(STEAL),
	  .cost = 0.05,
	  .cost_by = "OpenShift's alert",
	  .critical = 0.10,
	  .needs = { NEED_STEAL, "host" },
	  .judge = quota,
	  .remedies = { { "live", "virsh schedinfo {vm} --live --set vcpu_quota=-1",
			  "other VMs may get less CPU time" },
			{ "live", "echo max > /sys/fs/cgroup{object}/cpu.max",
			  "until its manager (systemd, libvirt) sets it again" } },
	  .verify = "STEAL% in -o is below 5, and throttled_usec in --host does not grow" },
	{ .id = "steal-other-vms",
	  .seen = true,
	  .family = "cpu",
	  .title = "Other VMs take CPU time that its vCPUs need",
	  .not_what = "a quota: other tasks ran meanwhile; host tasks: they are counted separately",
	  STEALS,
	  .judge = other_vms,
	  .remedies = { { "live", "virsh vcpupin {vm} VCPU CPULIST",
			  "pinned vCPUs cannot move to an idle CPU" },
			{ "live", "virsh schedinfo {vm} --live --set cpu_shares=N",
			  "other VMs get less CPU time" },
			{ "live", "virsh migrate --live {vm} qemu+ssh://HOST/system",
			  "needs a migration" } } },
	{ .id = "steal-own-vm",
	  .seen = true,
	  .family = "cpu",
	  .title = "The VM's own threads compete for too few CPUs",
	  .not_what = "neighbours: the threads that ran instead belong to this VM",
	  STEALS,
	  .storm = true,
	  .judge = own_vm,
	  .remedies = { { "live", "virsh vcpupin {vm} VCPU CPULIST", NULL },
			{ "live", "virsh emulatorpin {vm} CPULIST", NULL },
			{ "live", "virsh iothreadpin {vm} IOTHREAD CPULIST", NULL },
			{ "live", "taskset -p -c CPULIST TID", NULL } } },
	{ .id = "steal-host-task",
	  .seen = true,
	  .family = "cpu",
	  .title = "Host tasks take CPU time that its vCPUs need",
	  .not_what = "other VMs or a quota: the tasks that ran instead belong to no VM",
	  STEALS,
	  .judge = host_task,
	  .remedies = { { "live", "renice -n 19 -p $(pgrep -x {object})", "slows that task down" },
			{ "live", "systemctl set-property UNIT AllowedCPUs=CPULIST",
			  "the service gets fewer CPUs" } } },
	{ .id = "observer",
	  .seen = true,
	  .family = "cpu",
	  .title = "kvm_watcher itself takes CPU time that vCPUs need",
	  .not_what = "another task: each task's time is counted separately",
	  STEALS,
	  .judge = observer,
	  .remedies = { { "live", "kvm_watcher diagnose -p {pid}", NULL } } },
	{ .id = "lock-holder-preempted",
	  .seen = true,
	  .family = "cpu",
	  .title = "vCPUs spin on locks while other vCPUs of the VM wait for a CPU",
	  .not_what = "long critical sections in the guest: a vCPU of the VM has steal meanwhile",
	  .slices = IN(STEAL),
	  .per_vm = true,
	  .cost = 0.02,
	  .needs = { NEED_PLE, NEED_STEAL, "vcpu_load:sched_wakeup" },
	  .judge = lock_holder,
	  .remedies = { { "live", "first fix the cause of the steal: see the other findings",
			  NULL },
			{ "VM restart", "Linux: -cpu ...,kvm-pv-unhalt=on", NULL },
			{ "VM restart", "Windows: -cpu ...,hv-spinlocks=0x1fff", NULL },
			{ "VM restart", "fewer vCPUs", "less CPU for the guest" } },
	  .verify = "SPUN in -n grows by less than 2 % of a CPU's cycles" },
	{ .id = "ple-on-dedicated",
	  .seen = true,
	  .family = "cpu",
	  .title = "PAUSE loops cause exits, although no other task wants the CPU",
	  .not_what = "a preempted lock holder: there is no steal",
	  .note = true,
	  .needs = { NEED_PLE, NEED_STEAL, "vmm_threads:threads", NEED_EXITS },
	  .judge = ple_on_dedicated,
	  .remedies = { { "module reload", "modprobe -r kvm_intel && modprobe kvm_intel ple_gap=0",
			  "all VMs must be stopped; VMs that share CPUs wait longer for locks" },
			{ "VM restart", "-overcommit cpu-pm=on, -cpu host,kvm-hint-dedicated=on",
			  "the host CPU is busy even if the guest idles" } },
	  .verify = "GROWN in -n is 0" },
	{ .id = "isolated-cpu-disturbed",
	  .seen = true,
	  .family = "cpu",
	  .title = "The host interrupts a vCPU on an isolated CPU",
	  .not_what = "the guest's own timer: its interrupts are not counted",
	  .note = true,
	  .rate = 10,
	  .needs = { "host", "vmm_threads:threads", NEED_EXITS, NEED_STEAL, "vm_state:kvm_state" },
	  .judge = isolated,
	  .remedies = { { "live", "echo CPULIST > /proc/irq/N/smp_affinity_list",
			  "other CPUs handle these interrupts" },
			{ "host reboot", "isolcpus=, nohz_full= and rcu_nocbs= for that CPU",
			  NULL },
			{ "module reload", "kvm.kvmclock_periodic_sync=N", NULL } },
	  .verify = "fewer than 10 interrupt exits a second (-e)" },
	{},
};
