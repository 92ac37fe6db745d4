// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../compat/host.h"
#include "../core/clock.h"
#include "../core/confidential.h"
#include "../core/log.h"
#include "../core/summary.h"
#include "../core/vcpus.h"
#include "../core/vm.h"
#include "../output/output.h"
#include "commands.h"

enum { VIEW_VMS, VIEW_VCPUS };
enum { IN_VMS = 1 << VIEW_VMS, IN_VCPUS = 1 << VIEW_VCPUS };

struct list_row {
	struct row row;
	const char *kind;
	const char *vmm;
	const char *confidential;
	const char *vmm_version;
	const char *uuid;
	const char *libvirt_name;
	const char *kube_namespace;
	const char *kube_vmi;
	const char *pod_uid;
	const char *cgroup;
	uint32_t vcpus;
	uint64_t memory_bytes;
	uint64_t rss_bytes;
	double memory_mib;
	double rss_mib;
	uint64_t exits;
};

const struct view list_views[] = {
	[VIEW_VMS] = { .title = "VM", .name = "VMS" },
	[VIEW_VCPUS] = { .title = "VCPU", .name = "VCPUS", .per_vcpu = true },
	{},
};

#define COL(...) COLUMN(struct list_row, __VA_ARGS__)

const struct column list_columns[] = {
	COL(kind, NULL, COL_STRING, ROLE_LABEL, .flags = COL_DATA_ONLY, .help = "vm or vcpu"),
	COL(vmm, "VMM", COL_STRING, ROLE_LABEL, .views = IN_VMS, .help = "VMM that runs the VM"),
	COL(vcpus, "VCPUS", COL_U32, ROLE_GAUGE, .views = IN_VMS, .help = "vCPU descriptors"),
	COL(confidential, "CONFIDENTIAL", COL_STRING, ROLE_LABEL, .views = IN_VMS,
	    .drop = DROP_FIRST,
	    .help = "sev, sev-es, sev-snp or tdx; absent: not a confidential VM"),
	COL(memory_bytes, NULL, COL_U64, ROLE_GAUGE, .views = IN_VMS, .flags = COL_DATA_ONLY,
	    .help = "guest memory: KVM's memory slots"),
	COL(rss_bytes, NULL, COL_U64, ROLE_GAUGE, .views = IN_VMS, .flags = COL_DATA_ONLY,
	    .help = "resident memory of the VMM's process"),
	COL(memory_mib, "MEMORY(MiB)", COL_DOUBLE, ROLE_GAUGE, .views = IN_VMS,
	    .flags = COL_TABLE_ONLY, .help = "guest memory: KVM's memory slots"),
	COL(rss_mib, "RSS(MiB)", COL_DOUBLE, ROLE_GAUGE, .views = IN_VMS, .flags = COL_TABLE_ONLY,
	    .help = "resident memory of the VMM's process"),
	COL(exits, "EXITS", COL_U64, ROLE_COUNTER, .views = IN_VCPUS,
	    .help = "KVM's own count since the vCPU was created"),
	COL(vmm_version, "VERSION", COL_STRING, ROLE_LABEL, .views = IN_VMS, .flags = COL_WIDE,
	    .help = "version of the VMM, if the path of its executable has it"),
	COL(uuid, "UUID", COL_STRING, ROLE_LABEL, .views = IN_VMS, .flags = COL_WIDE,
	    .help = "UUID that the VMM gives the guest"),
	COL(libvirt_name, "LIBVIRT", COL_STRING, ROLE_LABEL, .views = IN_VMS, .flags = COL_WIDE,
	    .help = "libvirt's name of the VM, from its scope in machine.slice"),
	COL(kube_namespace, "NAMESPACE", COL_STRING, ROLE_LABEL, .views = IN_VMS, .flags = COL_WIDE,
	    .help = "Kubernetes namespace of a KubeVirt VM"),
	COL(kube_vmi, "VMI", COL_STRING, ROLE_LABEL, .views = IN_VMS, .flags = COL_WIDE,
	    .help = "VirtualMachineInstance of a KubeVirt VM"),
	COL(pod_uid, "POD_UID", COL_STRING, ROLE_LABEL, .views = IN_VMS, .flags = COL_WIDE,
	    .help = "UID of the VMM's Kubernetes pod, from its cgroup"),
	COL(cgroup, "CGROUP", COL_STRING, ROLE_LABEL, .views = IN_VMS, .flags = COL_WIDE,
	    .help = "path of the VMM's cgroup"),
	{},
};

/* One VM: what its process shows, and what the kernel knows of this VM of it. */
struct listed_vm {
	const struct vm *process;
	uint64_t kvm; /* 0: the kernel was not asked */
	uint64_t mem_pages;
	uint32_t vcpus;
	uint32_t confidential;
	char id[VM_ID_LEN];
	char label[VM_NAME_LEN + 16]; /* "#2" etc. behind the name, as the monitors label them */
};

struct listed {
	struct listed_vm *vms;
	size_t nr;
};

static struct listed_vm *add_vm(struct listed *list, const struct vm *process, unsigned int nth)
{
	struct listed_vm *more = realloc(list->vms, (list->nr + 1) * sizeof(*more));
	struct listed_vm *vm;

	if (!more)
		return NULL;
	list->vms = more;
	vm = &more[list->nr++];
	memset(vm, 0, sizeof(*vm));
	vm->process = process;
	vm__write_id(vm->id, process->pid, process->start_time, nth);
	if (nth > 1)
		snprintf(vm->label, sizeof(vm->label), "%s#%u", process->name, nth);
	else
		snprintf(vm->label, sizeof(vm->label), "%s", process->name);
	return vm;
}

/*
 * The VMs of one process, told apart by the kernel's struct kvm. Where the kernel
 * was asked (knows), a process without any holds descriptors of another one's.
 */
static int list_process(struct listed *list, const struct vm *process, bool knows,
			const struct vcpu_entry *entries, size_t nr)
{
	size_t first = list->nr;
	struct listed_vm *vm;

	for (size_t i = 0; i < nr; i++) {
		if (entries[i].tgid != (uint32_t)process->pid)
			continue;
		vm = NULL;
		for (size_t j = first; j < list->nr; j++)
			if (list->vms[j].kvm == entries[i].kvm)
				vm = &list->vms[j];
		if (!vm)
			vm = add_vm(list, process, list->nr - first + 1);
		if (!vm)
			return -ENOMEM;
		vm->kvm = entries[i].kvm;
		vm->mem_pages = entries[i].mem_pages;
		vm->confidential = entries[i].confidential;
		vm->vcpus += entries[i].vcpu_id != ENTRY_OF_VM;
	}
	if (list->nr > first || knows)
		return 0;
	vm = add_vm(list, process, 1);
	if (!vm)
		return -ENOMEM;
	vm->vcpus = process->nr_vcpus;
	return 0;
}

static const char *or_null(const char *text)
{
	return *text ? text : NULL;
}

static double to_mib(uint64_t bytes)
{
	return bytes == UINT64_MAX ? NAN : bytes / 1048576.0;
}

static bool chosen(const struct filter *filter, const struct listed_vm *vm)
{
	return filter__has_vm(filter, vm->process->pid, vm->label, &vm->process->who);
}

static void begin(struct output *out, int view)
{
	const struct section section = {
		.monitor = "list",
		.columns = list_columns,
		.view = &list_views[view],
		.view_bit = 1U << view,
		.scope = SCOPE_TOTAL,
	};

	output__begin(out, &section);
}

static void write_vms(struct output *out, const struct filter *filter, const struct listed *list)
{
	begin(out, VIEW_VMS);
	for (size_t i = 0; i < list->nr; i++) {
		const struct listed_vm *vm = &list->vms[i];
		const struct identity *who = &vm->process->who;
		uint64_t rss = vm->process->rss_bytes;
		uint64_t memory =
			vm->mem_pages ? vm->mem_pages * sysconf(_SC_PAGESIZE) : UINT64_MAX;
		struct list_row row = {
			.row = { .ts_ns = clock__ns(),
				 .vm = vm->label,
				 .vm_id = vm->id,
				 .pid = vm->process->pid },
			.kind = "vm",
			.vmm = vm->process->vmm,
			.vmm_version = or_null(who->vmm_version),
			.uuid = or_null(who->uuid),
			.libvirt_name = or_null(who->libvirt_name),
			.kube_namespace = or_null(who->kube_namespace),
			.kube_vmi = or_null(who->kube_vmi),
			.pod_uid = or_null(who->pod_uid),
			.cgroup = or_null(who->cgroup),
			.vcpus = vm->vcpus,
			.confidential =
				confidential__name(vm->confidential, host__vendors() & VENDOR_SVM),
			.memory_bytes = memory,
			.memory_mib = to_mib(memory),
			.rss_bytes = rss,
			.rss_mib = to_mib(rss),
		};

		if (chosen(filter, vm))
			output__row(out, &row.row, 0);
	}
	output__end(out);
}

static void write_vcpus(struct output *out, const struct filter *filter, const struct listed *list,
			const struct vcpu_entry *entries, size_t nr)
{
	begin(out, VIEW_VCPUS);
	for (size_t i = 0; i < list->nr; i++)
		for (size_t j = 0; j < nr && chosen(filter, &list->vms[i]); j++) {
			const struct vcpu_entry *e = &entries[j];
			struct list_row row = {
				.row = { .ts_ns = clock__ns(),
					 .vm = list->vms[i].label,
					 .vm_id = list->vms[i].id,
					 .pid = e->tgid,
					 .tid = e->tid ?: UINT32_MAX,
					 .vcpu = e->vcpu_id },
				.kind = "vcpu",
				.exits = e->exits,
			};

			if (e->kvm == list->vms[i].kvm && e->vcpu_id != ENTRY_OF_VM &&
			    filter__has_vcpu(filter, e->vcpu_id))
				output__row(out, &row.row, 0);
		}
	output__end(out);
}

int list__options(struct options *opts)
{
	struct table_ref refs[MAX_TABLES];

	if (opts->format == FORMAT_HTML)
		return usage_error("--list has no HTML output; use --format=table, json or csv");
	if (format__is_picture(opts->format))
		return usage_error(
			"--list has no trace or stack output; use --format=table, json or csv");
	return tables__choose(opts, refs, tables__add(refs, 0, list_views, list_columns));
}

static int write_list(const struct options *opts, const struct listed *list,
		      const struct vcpu_entry *entries, size_t nr)
{
	struct output *out = options__open_output(opts);
	int err;

	if (!out)
		return -ECANCELED;
	output__set_clock(out, clock__real_offset_ns());
	output__object(out, summary__head(&(struct about){ program_version, opts->given }));
	write_vms(out, &opts->filter, list);
	write_vcpus(out, &opts->filter, list, entries, nr);
	err = -output__flush(out);
	output__free(out);
	return err == -EPIPE ? 0 : err;
}

int list__run(const struct options *opts)
{
	struct vcpu_entry *entries = NULL;
	size_t nr_vms = 0, nr = 0;
	struct listed list = {};
	struct vm *vms = NULL;
	bool knows;
	int err;

	signal(SIGPIPE, SIG_IGN);
	err = vm__scan("/proc", &vms, &nr_vms);
	if (err) {
		say("can't read the processes in /proc: %s", strerror(-err));
		return EXIT_NOT_MEASURED;
	}
	err = vcpus__list(&entries, &nr);
	if (err)
		say("the threads of vCPUs and the memory of VMs are unknown: %s",
		    host__bpf_refusal() ?: strerror(-err));
	/* Entries have the host's pids. */
	knows = !err && host__initial_pid_namespace();
	err = 0;
	for (size_t i = 0; i < nr_vms && !err; i++)
		err = list_process(&list, &vms[i], knows, entries, knows ? nr : 0);
	if (!err)
		err = write_list(opts, &list, entries, nr);
	if (err && err != -ECANCELED)
		say("can't write the list: %s", strerror(-err));
	else if (!err && !nr_vms && geteuid())
		say("none of your VMs is running: run it as root to see all VMs");
	else if (!err && !nr_vms)
		say("no VM is running");
	free(list.vms);
	free(entries);
	free(vms);
	return err || (!nr_vms && geteuid()) ? EXIT_NOT_MEASURED : EXIT_MEASURED;
}

static const struct option_row *const tables[] = {
	filter_options, format_options, width_options, table_options, NULL,
};

const struct command list_command = {
	.name = "list",
	.doc = "List the running VMs.",
	.tables = tables,
	.check = list__options,
	.run = list__run,
};
