// SPDX-License-Identifier: GPL-2.0-only
/* Memory: faults, dirty logging, page sizes. */
#include <stdio.h>
#include <string.h>

#include "families.h"

enum { PAGE_4K = 4096, PAGE_2M = 2 << 20, PAGE_1G = 1 << 30 };

/* Faults are counted by VM: what of it was a vCPU's, its times in KVM and asleep tell about. */
static double fault_ns(const struct look *l)
{
	double here = l->slices[SLICE_KVM] + l->slices[SLICE_BLOCK], all;
	struct look vm = *l;

	vm.vcpu = UINT32_MAX;
	all = look__sum(&vm, "VCPU_LOAD", "kvm_ns", NULL) +
	      look__sum(&vm, "VCPU_LOAD", "blocked_ns", NULL);
	return look__sum(&vm, "PAGE_FAULTS", "total_ns", NULL) * (l->vcpu == UINT32_MAX ? 1 :
								  all > 0 ? here / all :
									    0);
}

static double longest_fault_ns(const struct look *l)
{
	struct look vm = *l;

	vm.vcpu = UINT32_MAX;
	return look__max(&vm, "PAGE_FAULTS", "p99_ns", NULL);
}

static double major_faults(const struct look *l)
{
	return look__sum(l, "VMM_THREADS", "major_faults", WHERE({ "role", "vcpu" }));
}

/*
 * The kernel calls every fault major that is tried again, userfaultfd's, too: those that read are
 * counted for the whole host.
 */
static double disk_faults(const struct look *l)
{
	struct look host = *l;
	double count;

	host.vm_at = 0;
	host.vm = &l->facts->vms[0];
	host.vcpu = UINT32_MAX;
	count = look__host_count(&host, "vmstat.pgmajfault");
	return fmin(major_faults(l), isnan(count) ? 0 : count);
}

static enum opinion from_disk(const struct look *l, struct finding *f)
{
	double blocked = l->slices[SLICE_BLOCK], in_kvm = fault_ns(l) - blocked,
	       major = major_faults(l);
	bool is;

	f->rate = disk_faults(l) / l->seconds;
	is = finding__least(f, "share of major faults that read a disk",
			    major > 0 ? disk_faults(l) / major : 0, UNIT_SHARE, 0.50, NULL);
	finding__show(f, "time asleep in KVM", look__share(l, blocked), UNIT_SHARE);
	finding__show(f, "p99 time of a fault", longest_fault_ns(l), UNIT_NSEC);
	finding__claim(f, SLICE_BLOCK, blocked);
	/* With zram or zswap a page comes back without sleep. */
	finding__claim(f, SLICE_KVM, in_kvm < l->slices[SLICE_KVM] ? in_kvm : l->slices[SLICE_KVM]);
	return is ? OPINION_LIKELY : OPINION_NO;
}

static enum opinion userfault(const struct look *l, struct finding *f)
{
	double blocked = l->slices[SLICE_BLOCK], faults = fault_ns(l);
	double major = major_faults(l);
	bool is = finding__most(f, "share of major faults that read a disk",
				major > 0 ? disk_faults(l) / major : 0, UNIT_SHARE, 0.50, NULL);

	is &= finding__least(f, "share of sleep in page faults",
			     blocked > 0 ? (faults > blocked ? 1 : faults / blocked) : 0,
			     UNIT_SHARE, 0.50, NULL);
	finding__claim(f, SLICE_BLOCK, faults < blocked ? faults : blocked);
	return is ? OPINION_LIKELY : OPINION_NO;
}

static double readers_of_log(const struct look *l)
{
	const struct fact *row = NULL;
	double count = 0;

	while ((row = look__next(l, "KVM_IOCTL", row))) {
		const char *name = fact__get_text(row, "name");

		if (name && strstr(name, "DIRTY"))
			count += fact__get(row, "count");
	}
	return count;
}

/* Some kernels do not tell. */
static bool is_logged(const struct look *l)
{
	double slots = look__max(l, "VM_STATE", "logged_slots", NULL);

	return !(slots < 2);
}

static enum opinion log_left_on(const struct look *l, struct finding *f)
{
	double slots = look__max(l, "VM_STATE", "logged_slots", NULL);

	/* A screen has one, in memory of its own. */
	if (!finding__least(f, "memory slots with dirty logging", slots, UNIT_NUMBER, 2, NULL))
		return OPINION_NO;
	return finding__most(f, "reads of the log", readers_of_log(l), UNIT_NUMBER, 1, NULL) ?
		       OPINION_LIKELY :
		       OPINION_NO;
}

/* It is told of intervals alone: the last one says how it ends. */
static double prediction(const struct look *l, const char *column)
{
	double value = look__max(l, "MIGRATION", column, NULL);

	return isnan(value) && l->window == &l->facts->total ? look__last(l, "MIGRATION", column) :
							       value;
}

static enum opinion diverges(const struct look *l, struct finding *f)
{
	const struct look whole =
		look__at(l->facts, &l->facts->total, l->vm_at, UINT32_MAX, l->rule);
	bool is_read =
		finding__least(f, "reads of the log", readers_of_log(&whole), UNIT_NUMBER, 1, NULL);

	if (is_read && isnan(prediction(l, "converges")))
		return finding__unknown(
			f, "the migration's bandwidth is not known: set --migration-bandwidth");
	finding__show(f, "rounds until they stop shrinking", prediction(l, "rounds"), UNIT_NUMBER);
	return is_read && prediction(l, "converges") == 0 ? OPINION_LIKELY : OPINION_NO;
}

static enum opinion memslots(const struct look *l, struct finding *f)
{
	static const char *const name[] = { "KVM_SET_USER_MEMORY_REGION",
					    "KVM_SET_USER_MEMORY_REGION2" };
	double count = 0, ns = 0, faults = fault_ns(l);

	for (int i = 0; i < 2; i++) {
		count += look__sum(l, "KVM_IOCTL", "count", WHERE({ "name", name[i] }));
		ns += look__sum(l, "KVM_IOCTL", "total_ns", WHERE({ "name", name[i] }));
	}
	f->rate = count / l->seconds;
	finding__show(f, "mean time per call", count > 0 ? ns / count : 0, UNIT_NSEC);
	finding__claim(f, SLICE_KVM, faults < l->slices[SLICE_KVM] ? faults : l->slices[SLICE_KVM]);
	finding__claim(f, SLICE_VMM, ns < l->slices[SLICE_VMM] ? ns : l->slices[SLICE_VMM]);
	return OPINION_LIKELY;
}

/*
 * What a group and those above it have: the deepest one is the VM's. The root has all of the
 * host's.
 */
static const char *deepest_group(const struct facts_of_vm *of)
{
	const char *deepest = NULL;

	for (size_t i = 0; i < of->nr; i++) {
		const char *name = fact__get_text(of->list[i], "name"),
			   *group = fact__get_text(of->list[i], "cgroup");

		if (name && group && strcmp(group, "/") != 0 &&
		    !strncmp(name, "memory.numa_stat.", 17) &&
		    (!deepest || strlen(group) > strlen(deepest)))
			deepest = group;
	}
	return deepest;
}

/* A vCPU ran on one of the node's CPUs. */
static bool runs_on(const struct look *l, long node)
{
	const struct fact *row = NULL;
	const char *cpus;
	char name[48];

	snprintf(name, sizeof(name), "numa.node%ld.cpus", node);
	cpus = look__host_text(l, name);
	while ((row = look__next(l, "VCPU_LOAD", row)))
		if (cpus__meet(fact__get_text(row, "pcpus"), cpus))
			return true;
	return false;
}

/* As it is in the window; what did not change is told of in the whole. */
static double in_window(const struct look *l, const struct fact *row)
{
	const char *name = fact__get_text(row, "name"), *group = fact__get_text(row, "cgroup");
	const struct fact *here = NULL;

	while ((here = look__next_of_none(l, "VM_CGROUP", here)))
		if (fact__is(here, WHERE({ "name", name }, { "cgroup", group })))
			return fact__get(here, "number");
	return fact__get(row, "number");
}

/* Bytes of the VM by node: all, and those of nodes where no vCPU runs. */
static double remote_bytes(const struct look *l, double *all, long *worst)
{
	static const struct facts_of_vm none;
	const struct facts_window *total = &l->facts->total;
	const struct facts_of_vm *of = l->vm_at < total->nr_of ? &total->of[l->vm_at] : &none;
	const char *group = deepest_group(of);
	double remote = 0, most = 0;

	*all = 0;
	for (size_t i = 0; group && i < of->nr; i++) {
		const char *name = fact__get_text(of->list[i], "name"),
			   *is = fact__get_text(of->list[i], "cgroup");
		double bytes;
		char kind[24];
		long node;

		/* Huge pages of anonymous memory are in it. */
		if (!name || !is || strcmp(is, group) ||
		    sscanf(name, "memory.numa_stat.%15[a-z_].N%ld", kind, &node) != 2 ||
		    (strcmp(kind, "anon") && strcmp(kind, "shmem")))
			continue;
		bytes = in_window(l, of->list[i]);
		if (isnan(bytes))
			continue;
		*all += bytes;
		if (runs_on(l, node))
			continue;
		remote += bytes;
		if (bytes > most) {
			most = bytes;
			*worst = node;
		}
	}
	return remote;
}

static enum opinion numa_remote(const struct look *l, struct finding *f)
{
	enum { LEAST_BYTES = 256 << 20 };
	const char *nodes = look__host_text(l, "numa.online");
	double moves = look__sum(l, "VCPU_LOAD", "node_migrations", NULL) / l->seconds, all, remote;
	long worst = 0;
	bool far;

	if (!nodes || cpus__single(nodes) >= 0)
		return finding__na(f, "the host has one NUMA node");
	remote = remote_bytes(l, &all, &worst);
	if (!(all > 0) && l->window == &l->facts->total)
		return finding__unknown(f, "the VM's cgroup has no memory.numa_stat");
	far = finding__least(f, "share of its memory where no vCPU runs",
			     all > 0 ? remote / all : 0, UNIT_SHARE, 0.20, NULL);
	finding__show(f, "bytes there", remote, UNIT_NUMBER);
	finding__show(f, "vCPU moves between nodes", moves, UNIT_PER_S);
	finding__object(f, "node %ld", worst);
	return far && all >= LEAST_BYTES ? OPINION_LIKELY : OPINION_NO;
}

/*
 * Faults that a range which was taken away may have brought: of pages that become a large one or
 * move one, however many they are.
 */
static double refaults_of(const struct fact *row)
{
	const char *actor = fact__get_text(row, "actor");

	return fact__get(row, actor && !strcmp(actor, "khugepaged") ? "guest_count" : "pages");
}

static enum opinion refaults(const struct look *l, struct finding *f)
{
	double faults = look__sum(l, "PAGE_FAULTS", "count", NULL), back = 0, most = 0,
	       ns = fault_ns(l);
	const struct fact *row = NULL;
	bool is;

	while ((row = look__next(l, "UNMAPS", row))) {
		const char *actor = fact__get_text(row, "actor"),
			   *event = fact__get_text(row, "event");
		double of = refaults_of(row);

		if (!(of > 0))
			continue;
		back += of;
		if (of > most) {
			most = of;
			finding__object(f, "%s (%s)", actor ?: "-", event ?: "-");
		}
	}
	f->rate = faults / l->seconds;
	is = finding__least(f, "share of faults on pages taken away",
			    faults > 0 ? fmin(1, back / faults) : 0, UNIT_SHARE, 0.30, NULL);
	finding__claim(f, SLICE_KVM,
		       fmin(ns, l->slices[SLICE_KVM]) * (faults > 0 ? fmin(1, back / faults) : 0));
	return is ? OPINION_LIKELY : OPINION_NO;
}

static double gauge(const struct look *l, const char *name)
{
	double value = look__max(l, "VM_STATE", name, NULL);

	return isnan(value) ? 0 : value;
}

static enum opinion small_pages(const struct look *l, struct finding *f)
{
	double small = gauge(l, "pages_4k") * PAGE_4K,
	       large = gauge(l, "pages_2m") * PAGE_2M + gauge(l, "pages_1g") * PAGE_1G;
	const char *thp = look__host_text(l, "thp.enabled");
	bool is;

	if (isnan(look__max(l, "VM_STATE", "pages_4k", NULL)))
		return l->window == &l->facts->total ?
			       finding__unknown(f, "this kernel does not count pages by size") :
			       OPINION_NO;
	if (gauge(l, "logged_slots") > 1)
		return finding__na(f, "dirty logging splits pages");
	is = finding__least(f, "bytes in small pages", small, UNIT_NUMBER, PAGE_1G, NULL);
	is &= finding__least(f, "share of all mapped memory",
			     small + large > 0 ? small / (small + large) : 0, UNIT_SHARE, 0.50,
			     NULL);
	finding__word(f, "transparent huge pages", thp ?: "-");
	return is ? OPINION_LIKELY : OPINION_NO;
}

static enum opinion nx_splits(const struct look *l, struct finding *f)
{
	double first = look__first(l, "VM_STATE", "nx_lpage_splits"),
	       last = look__last(l, "VM_STATE", "nx_lpage_splits"), large = gauge(l, "pages_2m"),
	       whole = (l->facts->total.now_ns - l->facts->total.since_ns) / 1e9;
	const char *bug = look__host_text(l, "vulnerability.itlb_multihit");
	bool grows, many;

	if (isnan(last))
		return OPINION_NO;
	grows = finding__least(f, "new splits", (last - first) / whole, UNIT_PER_S, 100, NULL);
	many = finding__least(f, "share of all large pages",
			      last + large > 0 ? last / (last + large) : 0, UNIT_SHARE, 0.25, NULL);
	finding__word(f, "iTLB multihit", bug ?: "-");
	return last > 0 && (grows || many) && bug && !strncmp(bug, "Not affected", 12) ?
		       OPINION_CERTAIN :
		       OPINION_NO;
}

static enum opinion no_tdp(const struct look *l, struct finding *f)
{
	const char *ept = look__host_text(l, "kvm_intel.ept"),
		   *npt = look__host_text(l, "kvm_amd.npt");
	double off_as_number = look__host_number(l, "kvm_amd.npt");

	if (!(ept && *ept == 'N') && !(npt && *npt == 'N') && off_as_number != 0)
		return OPINION_NO;
	finding__word(f, "EPT or NPT", "off");
	finding__claim(f, SLICE_KVM,
		       look__kvm_ns(l, "exception") + look__kvm_ns(l, "cr") +
			       look__kvm_ns(l, "tlb"));
	return OPINION_CERTAIN;
}

const struct rule memory_rules[] = {
	{ .id = "memory-from-disk",
	  .seen = true,
	  .family = "memory",
	  .title = "The guest's memory has to be read back from disk or compressed swap",
	  .not_what = "first-touch faults: these faults read from a device",
	  .slices = IN(KVM) | IN(BLOCK),
	  .rate = 10,
	  .cost = 0.05,
	  .needs = { NEED_STEAL, "vmm_threads:threads", "kvmmmu_page_fault:kvm_page_fault",
		     "vm_exit:kvm_exit", "host" },
	  .judge = from_disk,
	  .remedies = { { "live", "echo max > /sys/fs/cgroup{cgroup}/memory.max",
			  "less memory for others" },
			{ "VM restart", "libvirt: <memoryBacking><locked/></memoryBacking>",
			  "takes all of its memory at once" },
			{ "live", "fewer VMs on this host: virsh migrate --live {vm} ...",
			  "needs a migration" } },
	  .verify = "MAJFLT in --vmm_threads is below 10 a second" },
	{ .id = "userfault-wait",
	  .seen = true,
	  .family = "memory",
	  .title = "The guest waits for pages that a user-space process supplies",
	  .not_what = "swap: most major faults do not read a disk",
	  .slices = IN(BLOCK),
	  .cost = 0.05,
	  .needs = { NEED_STEAL, "vmm_threads:threads", "kvmmmu_page_fault:kvm_page_fault",
		     "kvmmmu_page_fault:kvm_entry", "host" },
	  .judge = userfault,
	  .remedies = { { "live", "post-copy or a lazy restore ends by itself: wait for it", NULL },
			{ "live", "virsh migrate ... --parallel: more bandwidth", NULL } },
	  .verify = "BLOCK% in -o is below 5" },
	{ .id = "memslot-churn",
	  .seen = true,
	  .family = "memory",
	  .title = "Memory slots keep changing, which drops all of the guest's mappings each time",
	  .not_what = "a boot or a hotplug: this does not end",
	  .slices = IN(KVM) | IN(VMM),
	  .per_vm = true,
	  .storm = true,
	  .rate = 5,
	  .cost = 0.05,
	  .needs = { "kvm_ioctl:ioctl_enter", "kvm_ioctl:ioctl_return", "vcpu_load:kvm_fpu" },
	  .judge = memslots,
	  .remedies = { { "guest reboot",
			  "stop what toggles ROMs or BARs: firmware options, drivers", NULL } },
	  .verify = "fewer than 5 KVM_SET_USER_MEMORY_REGION a second (-l)" },
	{ .id = "refault-churn",
	  .seen = true,
	  .family = "memory",
	  .title = "The host keeps taking away pages that the guest uses",
	  .not_what =
		  "first-touch faults: these pages were taken away before; swap: no disk is read",
	  .slices = IN(KVM),
	  .per_vm = true,
	  .storm = true,
	  .rate = 100,
	  .cost = 0.02,
	  .needs = { "unmaps:kvm_mmu_notifier_invalidate_range_start", NEED_EXITS,
		     "kvmmmu_page_fault:kvm_page_fault" },
	  .judge = refaults,
	  .remedies = { { "live", "ksm: echo 2 > /sys/kernel/mm/ksm/run",
			  "unmerged pages take memory again" },
			{ "live", "numa: sysctl kernel.numa_balancing=0, and virsh numatune {vm}",
			  "memory stays where it is" },
			{ "live", "vmm: virsh dommemstat {vm} --period 0; no free-page-reporting",
			  "memory that the guest frees stays allocated" },
			{ "live", "reclaim: more memory for the VM's cgroup (memory.high, .max)",
			  "less memory for others" } },
	  .verify = "COUNT in -f or GUEST in --unmaps is below 100 a second" },
	{ .id = "no-tdp",
	  .seen = true,
	  .family = "memory",
	  .title = "KVM shadows the guest's page tables because EPT or NPT is off",
	  .not_what = "the guest's own faults: the module parameter is off",
	  .slices = IN(KVM),
	  .cost = 0.05,
	  .needs = { "host", NEED_EXITS },
	  .judge = no_tdp,
	  .remedies = { { "module reload", "modprobe -r kvm_amd && modprobe kvm_amd npt=1",
			  "all VMs must be stopped" },
			{ "module reload", "modprobe -r kvm_intel && modprobe kvm_intel ept=1",
			  "all VMs must be stopped" } },
	  .verify = "kvm_amd.npt or kvm_intel.ept in --host is Y" },
	{ .id = "dirty-log-left-on",
	  .seen = true,
	  .family = "memory",
	  .title = "The guest's writes are logged, but nothing reads the log",
	  .not_what = "a migration: that reads the log; a display: that logs only one slot",
	  .note = true,
	  .per_vm = true,
	  .storm = true,
	  .needs = { "vm_state:kvm_state", "kvm_ioctl:ioctl_enter" },
	  .judge = log_left_on,
	  .may = is_logged,
	  .may_needs = "vm_state:kvm_state",
	  .remedies = { { "live", "virsh domjobabort {vm}", "aborts a running migration" },
			{ "live", "virsh qemu-monitor-command {vm} --hmp 'cancel_vcpu_dirty_limit'",
			  NULL },
			{ "VM restart", "virsh shutdown {vm}, then virsh start {vm}", NULL } },
	  .verify = "LOGGED in --vm_state is 0" },
	{ .id = "migration-diverges",
	  .seen = true,
	  .family = "memory",
	  .title = "The guest dirties memory faster than the migration can send it",
	  .not_what = "an abandoned log: this one is read",
	  .note = true,
	  .per_vm = true,
	  .needs = { "mark_page_dirty", "kvm_ioctl:ioctl_enter" },
	  .judge = diverges,
	  .may = is_logged,
	  .may_needs = "vm_state:kvm_state",
	  .remedies = { { "live", "virsh migrate-setspeed {vm} MIB", "more network traffic" },
			{ "live", "virsh migrate ... --auto-converge", "slows the guest down" },
			{ "live", "virsh migrate-postcopy {vm}",
			  "a network failure ends the VM" } },
	  .verify = "CONVERGES in -d is yes" },
	{ .id = "small-pages",
	  .seen = true,
	  .family = "memory",
	  .title = "Most of the guest's memory is mapped with small pages",
	  .not_what = "dirty logging, which also splits pages: it is off",
	  .note = true,
	  .per_vm = true,
	  .storm = true,
	  .needs = { "vm_state:kvm_state", "host" },
	  .judge = small_pages,
	  .remedies = { { "live", "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
			  "khugepaged uses CPU time" },
			{ "VM restart", "libvirt: <memoryBacking><hugepages/></memoryBacking>",
			  "reserves host memory" } },
	  .verify = "4K in --vm_state falls" },
	{ .id = "nx-huge-page-splits",
	  .seen = true,
	  .family = "memory",
	  .title = "Large pages are split to avoid a bug that this processor does not have",
	  .not_what = "a processor with iTLB multihit: the kernel reports that it is not affected",
	  .note = true,
	  .per_vm = true,
	  .needs = { "vm_state:kvm_state", "host" },
	  .judge = nx_splits,
	  .remedies = { { "live", "echo off > /sys/module/kvm/parameters/nx_huge_pages",
			  "only if the processor is not affected" } },
	  .verify = "NX_SPLITS in --vm_state falls" },
	{ .id = "numa-remote",
	  .seen = true,
	  .family = "memory",
	  .title = "Much of the guest's memory is on NUMA nodes where none of its vCPUs run",
	  .not_what = "a VM with vCPUs on all nodes: none runs on that node",
	  .note = true,
	  .per_vm = true,
	  .storm = true,
	  .needs = { "host", "vcpu_load:sched_switch", "vcpu_load:kvm_fpu" },
	  .judge = numa_remote,
	  .remedies = { { "live", "virsh numatune {vm} --nodeset N --live",
			  "moving memory takes time" },
			{ "live", "migratepages {pid} FROM TO", "moving memory takes time" },
			{ "live", "virsh vcpupin {vm} VCPU CPULIST",
			  "pinned vCPUs cannot move to an idle CPU" } },
	  .verify = "memory.numa_stat in --host: nearly all memory is on nodes where vCPUs run" },
	{},
};
