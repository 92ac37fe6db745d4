// SPDX-License-Identifier: GPL-2.0-only
#include "list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../output/output.h"
#include "log.h"
#include "options.h"
#include "run.h"
#include "vcpus.h"
#include "vm.h"

enum { VIEW_VMS, VIEW_VCPUS };
enum { IN_VMS = 1 << VIEW_VMS, IN_VCPUS = 1 << VIEW_VCPUS };

struct list_row {
	struct row row;
	const char *kind;
	const char *vmm;
	uint32_t vcpus;
	uint64_t memory_bytes;
	uint64_t rss_bytes;
	double memory_mib;
	double rss_mib;
	uint64_t exits;
	const char *name;
};

static const struct view views[] = {
	[VIEW_VMS] = { .title = "VM" },
	[VIEW_VCPUS] = { .title = "VCPU", .per_vcpu = true },
	{}
};

#define COL(...) COLUMN(struct list_row, __VA_ARGS__)

static const struct column columns[] = {
	COL(kind, NULL, COL_STRING, ROLE_LABEL, .flags = COL_DATA_ONLY, .help = "vm or vcpu"),
	COL(vmm, "VMM", COL_STRING, ROLE_LABEL, .views = IN_VMS, .help = "what runs it"),
	COL(vcpus, "VCPUS", COL_U32, ROLE_GAUGE, .views = IN_VMS, .help = "vCPU descriptors"),
	COL(memory_bytes, NULL, COL_U64, ROLE_GAUGE, .views = IN_VMS, .flags = COL_DATA_ONLY,
	    .help = "guest memory: KVM's memory slots"),
	COL(rss_bytes, NULL, COL_U64, ROLE_GAUGE, .views = IN_VMS, .flags = COL_DATA_ONLY,
	    .help = "resident memory of the VMM's process"),
	COL(memory_mib, "MEMORY(MiB)", COL_DOUBLE, ROLE_GAUGE, .views = IN_VMS,
	    .flags = COL_TABLE_ONLY, .help = "guest memory: KVM's memory slots"),
	COL(rss_mib, "RSS(MiB)", COL_DOUBLE, ROLE_GAUGE, .views = IN_VMS,
	    .flags = COL_TABLE_ONLY, .help = "resident memory of the VMM's process"),
	COL(exits, "EXITS", COL_U64, ROLE_COUNTER, .views = IN_VCPUS,
	    .help = "KVM's own count since the vCPU was made"),
	COL(name, "NAME", COL_STRING, ROLE_LABEL, .flags = COL_TABLE_ONLY, .help = "the VM's name"),
	{}
};

static double to_mib(uint64_t bytes)
{
	return bytes == UINT64_MAX ? NAN : bytes / 1048576.0;
}

/* Guest memory of all the VMs that one process holds. */
static uint64_t memory_of(pid_t pid, const struct vcpu_entry *entries, size_t nr)
{
	uint64_t pages = 0, seen[16];
	size_t nr_seen = 0;

	for (size_t i = 0; i < nr; i++) {
		bool new = entries[i].tgid == (uint32_t)pid && entries[i].mem_pages;

		for (size_t j = 0; new && j < nr_seen; j++)
			new = seen[j] != entries[i].kvm;
		if (!new)
			continue;
		pages += entries[i].mem_pages;
		if (nr_seen < sizeof(seen) / sizeof(*seen))
			seen[nr_seen++] = entries[i].kvm;
	}
	return pages ? pages * sysconf(_SC_PAGESIZE) : UINT64_MAX;
}

static bool chosen(const struct options *opts, const struct vm *vm)
{
	return (!opts->pid || opts->pid == vm->pid) && vm__match(opts->vm, vm->name);
}

static void begin(struct output *out, int view)
{
	const struct section section = {
		.monitor = "list", .columns = columns, .view = &views[view],
		.view_bit = 1U << view, .scope = SCOPE_TOTAL,
	};

	output__begin(out, &section);
}

static void write_vms(struct output *out, const struct options *opts, const struct vm *vms,
		      size_t nr_vms, const struct vcpu_entry *entries, size_t nr)
{
	begin(out, VIEW_VMS);
	for (size_t i = 0; i < nr_vms; i++) {
		uint64_t memory = memory_of(vms[i].pid, entries, nr);
		struct list_row row = {
			.row = { .ts_ns = clock__ns(), .vm = vms[i].name, .pid = vms[i].pid },
			.kind = "vm", .vmm = vms[i].vmm, .vcpus = vms[i].nr_vcpus,
			.memory_bytes = memory, .memory_mib = to_mib(memory),
			.rss_bytes = vms[i].rss_bytes, .rss_mib = to_mib(vms[i].rss_bytes),
			.name = vms[i].name,
		};

		if (chosen(opts, &vms[i]))
			output__row(out, &row.row, 0);
	}
	output__end(out);
}

static void write_vcpus(struct output *out, const struct options *opts, const struct vm *vms,
			size_t nr_vms, const struct vcpu_entry *entries, size_t nr)
{
	begin(out, VIEW_VCPUS);
	for (size_t i = 0; i < nr_vms; i++)
		for (size_t j = 0; j < nr && chosen(opts, &vms[i]); j++) {
			const struct vcpu_entry *e = &entries[j];
			struct list_row row = {
				.row = { .ts_ns = clock__ns(), .vm = vms[i].name,
					 .pid = e->tgid, .tid = e->tid ?: UINT32_MAX, .vcpu = e->vcpu_id },
				.kind = "vcpu", .exits = e->exits, .name = vms[i].name,
			};

			if (e->tgid == (uint32_t)vms[i].pid && options__has_vcpu(opts, e->vcpu_id))
				output__row(out, &row.row, 0);
		}
	output__end(out);
}

int list__print(const struct options *opts)
{
	struct vcpu_entry *entries = NULL;
	size_t nr_vms = 0, nr = 0;
	struct vm *vms = NULL;
	struct output *out;
	int err;

	err = vm__scan("/proc", &vms, &nr_vms);
	if (err) {
		say("the processes in /proc can't be read: %s", strerror(-err));
		return EXIT_NOT_MEASURED;
	}
	err = vcpus__list(&entries, &nr);
	if (err)
		say("threads and memory of the vCPUs are not known: the BPF iterator is refused (%s%s)",
		    strerror(-err), geteuid() ? "; run as root" : "");
	out = output__new(opts->format, stdout, isatty(STDOUT_FILENO) ? 100 : 0);
	if (out) {
		write_vms(out, opts, vms, nr_vms, entries, nr);
		write_vcpus(out, opts, vms, nr_vms, entries, nr);
		err = output__flush(out);
	}
	if (!nr_vms)
		say("no VM runs now%s", geteuid() ? ", or none of yours: run as root to see all" : "");
	output__free(out);
	free(entries);
	free(vms);
	return EXIT_MEASURED;
}
