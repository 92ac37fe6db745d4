// SPDX-License-Identifier: GPL-2.0-only
#include "presence.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../compat/host.h"
#include "../core/filter.h"
#include "../core/log.h"
#include "../core/vcpus.h"
#include "../core/vm.h"

enum { MOST_NAMED = 5 };

/* The process has a VM that is asked for; its second one is labelled "name#2". */
static bool is_chosen(const struct filter *filter, const struct vm *vm)
{
	char label[VM_NAME_LEN + 16];

	if (filter__has_vm(filter, vm->pid, vm->name, &vm->who))
		return true;
	for (unsigned int nth = 2; nth <= vm->nr_vms; nth++) {
		snprintf(label, sizeof(label), "%s#%u", vm->name, nth);
		if (filter__has_vm(filter, vm->pid, label, &vm->who))
			return true;
	}
	return false;
}

/* Drops the processes that are not asked for. */
static size_t keep_chosen(const struct filter *filter, struct vm *vms, size_t nr)
{
	size_t kept = 0;

	for (size_t i = 0; i < nr; i++)
		if (is_chosen(filter, &vms[i]))
			vms[kept++] = vms[i];
	return kept;
}

static bool is_one_of(const struct vm *vms, size_t nr, uint32_t pid)
{
	for (size_t i = 0; i < nr; i++)
		if ((uint32_t)vms[i].pid == pid)
			return true;
	return false;
}

/* True when nothing is known of them, too. */
static bool has_vcpu(const struct filter *filter, const struct vm *vms, size_t nr)
{
	struct vcpu_entry *entries = NULL;
	size_t nr_entries = 0;
	bool has = false;

	if (vcpus__list(&entries, &nr_entries))
		return true;
	for (size_t i = 0; i < nr_entries && !has; i++)
		has = filter__has_vcpu(filter, entries[i].vcpu_id) &&
		      is_one_of(vms, nr, entries[i].tgid);
	free(entries);
	return has;
}

/* "db1, db2 and 3 more", with the number of vCPUs behind each or without. */
static const char *name_all(const struct vm *vms, size_t nr, bool vcpus, char *text, size_t size)
{
	size_t used = 0;

	*text = '\0';
	for (size_t i = 0; i < nr && i < MOST_NAMED && used < size; i++) {
		used += snprintf(text + used, size - used, "%s%s", i ? ", " : "", vms[i].name);
		if (vcpus && used < size)
			used += snprintf(text + used, size - used, " with %u vCPU%s",
					 vms[i].nr_vcpus, vms[i].nr_vcpus == 1 ? "" : "s");
	}
	if (nr > MOST_NAMED && used < size)
		snprintf(text + used, size - used, ", and %zu more", nr - MOST_NAMED);
	return text;
}

void presence__say(const struct filter *filter)
{
	struct vm *vms = NULL;
	size_t nr = 0, nr_chosen;
	char names[1024];

	/* Who does not see all processes does not know. */
	if (geteuid() || !host__initial_pid_namespace() || vm__scan("/proc", &vms, &nr))
		return;
	name_all(vms, nr, false, names, sizeof(names));
	nr_chosen = keep_chosen(filter, vms, nr);
	if (!nr)
		say("no VM is running; waiting");
	else if (!nr_chosen && filter->vm)
		say("no VM matches '%s' now (running: %s); waiting", filter->vm, names);
	else if (filter->chooses_vcpu && nr_chosen && !has_vcpu(filter, vms, nr_chosen))
		say("no VM has a vCPU that --vcpu selects (running: %s); waiting",
		    name_all(vms, nr_chosen, true, names, sizeof(names)));
	free(vms);
}
