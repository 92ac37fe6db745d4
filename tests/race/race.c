// SPDX-License-Identifier: GPL-2.0-only
/* What two CPUs do to one new key of a table, by BPF_PROG_TEST_RUN. Prints a line for each thing that holds. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../../bpf/records.h"
#include "race.skel.h"

enum { NR_SLOTS = 8 }; /* slot 0 included */

static void holds(const char *what, bool is)
{
	printf("%s: %s\n", is ? "holds" : "broken", what);
}

static int load(struct race_bpf *skel)
{
	int err;

	bpf_map__set_max_entries(skel->maps.vcpus, NR_SLOTS);
	bpf_map__set_max_entries(skel->maps.vcpu_slots, NR_SLOTS);
	bpf_map__set_max_entries(skel->maps.thread_slots, NR_SLOTS);
	bpf_map__set_max_entries(skel->maps.free_slots, NR_SLOTS);
	err = race_bpf__load(skel);
	for (uint32_t slot = 1; !err && slot < NR_SLOTS; slot++)
		err = bpf_map_update_elem(bpf_map__fd(skel->maps.free_slots), NULL, &slot, BPF_ANY);
	return err;
}

/* The slots that are free, a bit each. */
static uint32_t free_slots(const struct race_bpf *skel)
{
	uint32_t slot, slots = 0;

	while (!bpf_map_lookup_and_delete_elem(bpf_map__fd(skel->maps.free_slots), NULL, &slot))
		slots |= 1U << slot;
	return slots;
}

static uint32_t ready_slots(const struct race_bpf *skel)
{
	struct vcpu_info info;
	uint32_t slots = 0;

	for (uint32_t slot = 0; slot < NR_SLOTS; slot++)
		if (!bpf_map_lookup_elem(bpf_map__fd(skel->maps.vcpus), &slot, &info) && info.ready)
			slots |= 1U << slot;
	return slots;
}

int main(void)
{
	struct race_bpf *skel = race_bpf__open();
	uint64_t args[2] = { 0xffff888000000000 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = sizeof(args));
	int err = skel ? load(skel) : -errno;
	uint32_t first;

	if (!err)
		err = bpf_prog_test_run_opts(bpf_program__fd(skel->progs.both), &opts);
	if (err) {
		fprintf(stderr, "race: this kernel does not run the program: %s\n", strerror(-err));
		race_bpf__destroy(skel);
		return 1;
	}
	first = skel->bss->first;
	holds("the vCPU has a slot", first);
	holds("both were given the same slot", skel->bss->second == first);
	holds("who looks later finds that one", skel->bss->known == first);
	holds("one slot is in use", ready_slots(skel) == 1U << first);
	holds("all others are free", free_slots(skel) == (((1U << NR_SLOTS) - 2) & ~(1U << first)));
	race_bpf__destroy(skel);
	return 0;
}
