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

void budget__settle(uint64_t *kvm, uint64_t *poll)
{
	if ((int64_t)*kvm < 0) {
		*poll += *kvm;
		*kvm = 0;
	}
}

const char *cpu_list__write(const uint64_t bits[CPU_WORDS], char text[CPU_LIST_LEN])
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned int cpu = 0; cpu < MAX_CPUS && used + 12 < CPU_LIST_LEN; cpu++) {
		unsigned int last = cpu;

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
