// SPDX-License-Identifier: GPL-2.0-only
#include "vcpu_budget.h"

#include <stdio.h>

void budget__close(uint64_t ns[NR_BUDGET], const struct load_record *r, uint64_t now)
{
	uint64_t since = r->since_ns;

	if (r->off && r->off != IN_STEAL && r->woken_ns >= since && r->woken_ns < now) {
		ns[r->off % NR_BUDGET] += r->woken_ns - since;
		ns[IN_STEAL] += now - r->woken_ns;
	} else {
		ns[(r->off ? r->off : r->state) % NR_BUDGET] += now - since;
	}
}

void budget__only_grow(uint64_t ns[NR_BUDGET], const uint64_t told[NR_BUDGET])
{
	uint64_t over = 0;

	for (int i = 0; i < NR_BUDGET; i++) {
		if (ns[i] >= told[i])
			continue;
		over += told[i] - ns[i];
		ns[i] = told[i];
	}
	for (int i = 0; over && i < NR_BUDGET; i++) {
		uint64_t grown = ns[i] - told[i], less = grown < over ? grown : over;

		ns[i] -= less;
		over -= less;
	}
}

void budget__split(struct kvm_split *split, uint64_t both, uint64_t polled)
{
	uint64_t grown = both - split->both, poll;

	if (polled > split->polled) {
		split->owed += polled - split->polled;
		split->polled = polled;
	}
	poll = split->owed < grown ? split->owed : grown;
	split->owed -= poll;
	split->poll += poll;
	split->kvm += grown - poll;
	split->both = both;
}

const char *cpu_list__write(const uint64_t bits[CPU_WORDS], char text[CPU_LIST_LEN])
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned int cpu = 0; cpu < MAX_CPUS && used + 12 < CPU_LIST_LEN; cpu++) {
		unsigned int last = cpu;

		if (!(bits[cpu / 64] >> cpu % 64)) {
			cpu |= 63;
			continue;
		}
		if (!(bits[cpu / 64] >> cpu % 64 & 1))
			continue;
		while (last + 1 < MAX_CPUS && bits[(last + 1) / 64] >> (last + 1) % 64 & 1)
			last++;
		used += snprintf(text + used, CPU_LIST_LEN - used, "%s%u", used ? "," : "", cpu);
		if (last > cpu)
			used += snprintf(text + used, CPU_LIST_LEN - used, "-%u", last);
		cpu = last;
	}
	return used ? text : NULL;
}
