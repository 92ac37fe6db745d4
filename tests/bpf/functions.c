// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls functions of the BPF programs by BPF_PROG_TEST_RUN. A line for each of what has to hold:
 * "holds: what", or "broken: what", or "absent: what", where the kernel lacks what it is about.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../../bpf/records.h"
#include "../../compat/confidential.h"
#include "../../monitors/kvm_ioctl.h"
#include "../../monitors/vcpu_load.h"
#include "confidential.skel.h"
#include "ioctl_errors.skel.h"
#include "load_gap.skel.h"
#include "vcpu_slots.skel.h"

enum { NR_SLOTS = 8 }; /* slot 0 included */

static void holds(const char *what, bool is)
{
	printf("%s: %s\n", is ? "holds" : "broken", what);
}

static int run(const struct bpf_program *prog, uint64_t first, uint64_t second)
{
	uint64_t args[2] = { first, second };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = sizeof(args));

	return bpf_prog_test_run_opts(bpf_program__fd(prog), &opts);
}

static int load_slots(struct vcpu_slots_bpf *skel)
{
	int err;

	bpf_map__set_max_entries(skel->maps.vcpus, NR_SLOTS);
	bpf_map__set_max_entries(skel->maps.vcpu_slots, NR_SLOTS);
	bpf_map__set_max_entries(skel->maps.thread_slots, NR_SLOTS);
	bpf_map__set_max_entries(skel->maps.free_slots, NR_SLOTS);
	err = vcpu_slots_bpf__load(skel);
	for (uint32_t slot = 1; !err && slot < NR_SLOTS; slot++)
		err = bpf_map_update_elem(bpf_map__fd(skel->maps.free_slots), NULL, &slot, BPF_ANY);
	return err;
}

/* The slots that are free, a bit each. */
static uint32_t free_slots(const struct vcpu_slots_bpf *skel)
{
	uint32_t slot, slots = 0;

	while (!bpf_map_lookup_and_delete_elem(bpf_map__fd(skel->maps.free_slots), NULL, &slot))
		slots |= 1U << slot;
	return slots;
}

static uint32_t ready_slots(const struct vcpu_slots_bpf *skel)
{
	struct vcpu_info info;
	uint32_t slots = 0;

	for (uint32_t slot = 0; slot < NR_SLOTS; slot++)
		if (!bpf_map_lookup_elem(bpf_map__fd(skel->maps.vcpus), &slot, &info) && info.state)
			slots |= 1U << slot;
	return slots;
}

/* Two that see a new vCPU at the same moment. */
static int two_new_slots(void)
{
	struct vcpu_slots_bpf *skel = vcpu_slots_bpf__open();
	int err = skel ? load_slots(skel) : -1;
	uint32_t first;

	if (!err)
		err = run(skel->progs.two_new_slots, 0xffff888000000000, 0);
	if (!err) {
		first = skel->bss->first;
		holds("a new vCPU has a slot", first);
		holds("two that ask for it at once are given the same one",
		      skel->bss->second == first);
		holds("who looks later finds that one", skel->bss->known == first);
		holds("one slot is in use", ready_slots(skel) == 1U << first);
		err = run(skel->progs.old_address, 0xffff888000000000, 0);
	}
	if (!err) {
		holds("a new vCPU at an old address does not find the old one's slot",
		      !skel->bss->old);
		holds("and is given one of its own",
		      skel->bss->later && skel->bss->later != skel->bss->first);
		holds("all other slots are free",
		      free_slots(skel) ==
			      (((1U << NR_SLOTS) - 2) & ~(1U << first | 1U << skel->bss->later)));
	}
	vcpu_slots_bpf__destroy(skel);
	return err;
}

/* Where births are told the count of exits, which is 0 all the time here, does not matter. */
static int births(void)
{
	struct vcpu_slots_bpf *skel = vcpu_slots_bpf__open();
	const uint64_t vcpu = 0xffff888000001000, other = vcpu + (1ULL << 28);
	uint32_t first;
	int err = -1;

	if (skel) {
		skel->rodata->births_told = 1;
		err = load_slots(skel);
	}
	if (!err)
		err = run(skel->progs.birth, vcpu, 0);
	if (!err) {
		first = skel->bss->first;
		holds("without a birth a vCPU keeps its slot",
		      first && skel->bss->known == first && skel->bss->later == first);
		err = run(skel->progs.birth, vcpu, other);
	}
	if (!err) {
		holds("nor does it lose it by the birth of another one with its place",
		      skel->bss->known == first && skel->bss->later == first);
		err = run(skel->progs.birth, vcpu, vcpu);
	}
	if (!err) {
		holds("one that is born at its address does not find it", !skel->bss->known);
		holds("but is given one of its own", skel->bss->later && skel->bss->later != first);
	}
	vcpu_slots_bpf__destroy(skel);
	return err;
}

/* More kinds of error than there is room for. A count that was read under one name keeps it. */
static int many_errors(void)
{
	struct ioctl_errors_bpf *skel = ioctl_errors_bpf__open();
	struct ioctl_error before[IOCTL_ERRORS], *now;
	int err = skel ? ioctl_errors_bpf__load(skel) : -1;
	uint64_t sum = 0;
	bool same = true;

	if (!err)
		err = run(skel->progs.fail, 1, IOCTL_ERRORS);
	if (!err) {
		now = skel->bss->record.errors;
		memcpy(before, now, sizeof(before));
		err = run(skel->progs.fail, 1, 20);
		for (int i = 0; i < IOCTL_ERRORS; i++) {
			same &= now[i].error == before[i].error;
			sum += now[i].count;
		}
		holds("a count of errors keeps its name", same);
		holds("all errors are counted", sum == 20 + IOCTL_ERRORS);
		holds("the last count is that of all others",
		      !now[IOCTL_ERRORS - 1].error &&
			      now[IOCTL_ERRORS - 1].count == 20 - (IOCTL_ERRORS - 1) + 1);
		holds("the first error has a count of its own",
		      now[0].error == 1 && now[0].count == 2);
	}
	ioctl_errors_bpf__destroy(skel);
	return err;
}

/* What is told of a VM with these bits and of this type, where the kernel has both. */
static int told(struct confidential_bpf *skel, const char *what, bool there, uint32_t bits,
		uint32_t type)
{
	int err = there ? run(skel->progs.tell, bits, type) : 0;

	if (!there)
		printf("absent: %s\n", what);
	else if (!err)
		holds(what, skel->bss->found == (bits | type << CONFIDENTIAL_TYPE_SHIFT));
	return err;
}

static int confidential(void)
{
	const uint32_t sev = CONFIDENTIAL_SEV, es = sev | CONFIDENTIAL_SEV_ES;
	struct confidential_bpf *skel = confidential_bpf__open();
	int err = skel ? confidential_bpf__load(skel) : -1;
	bool has_sev = false, has_type = false, has_snp = false;

	/* What the kernel has is known after the first one. */
	if (!err)
		err = run(skel->progs.tell, 0, 0);
	if (!err) {
		has_sev = skel->bss->has_sev;
		has_snp = has_sev && skel->bss->has_features;
		has_type = skel->bss->has_type;
		holds("an ordinary VM hides nothing", !skel->bss->found);
	}
	if (!err)
		err = told(skel, "SEV, by kvm_amd's structure", has_sev, sev, 0);
	if (!err)
		err = told(skel, "SEV-ES", has_sev, es, 0);
	if (!err)
		err = told(skel, "SEV-SNP, by the features of its VMSA", has_snp,
			   es | CONFIDENTIAL_SEV_SNP, 0);
	for (uint32_t type = KVM_TYPE_SW_PROTECTED; !err && type <= KVM_TYPE_TDX; type++) {
		char what[64];

		snprintf(what, sizeof(what), "the type of VM %u", type);
		err = told(skel, what, has_type, 0, type);
	}
	if (!err)
		err = told(skel, "SEV-SNP, by both", has_snp && has_type, es | CONFIDENTIAL_SEV_SNP,
			   KVM_TYPE_SNP);
	confidential_bpf__destroy(skel);
	return err;
}

/* Whose the 2000 ns are that a vCPU was off its CPU, when the switch back was not traced. */
static int gap(uint32_t off, uint64_t woken_ns, uint64_t *off_ns, uint64_t *unknown_ns)
{
	struct load_gap_bpf *skel = load_gap_bpf__open();
	int err = skel ? load_gap_bpf__load(skel) : -1;

	if (!err)
		err = run(skel->progs.seen_again, off, woken_ns);
	if (!err) {
		*off_ns = skel->bss->record.ns[off];
		*unknown_ns = skel->bss->record.ns[IN_UNKNOWN];
	}
	load_gap_bpf__destroy(skel);
	return err;
}

static int gaps(void)
{
	uint64_t off = 0, unknown = 0;
	int err = gap(IN_VMM, 2500, &off, &unknown);

	if (!err) {
		holds("a sleep without a traced switch ends when its thread is woken", off == 1500);
		holds("what came after that is not accounted for", unknown == 500);
		err = gap(IN_VMM, 0, &off, &unknown);
	}
	if (!err) {
		holds("a sleep whose end was not traced at all is a sleep",
		      off == 2000 && !unknown);
		err = gap(IN_STEAL, 0, &off, &unknown);
	}
	if (!err)
		holds("of a wait for a CPU it is not known when it ended", !off && unknown == 2000);
	return err;
}

int main(void)
{
	int err = two_new_slots() ?: births();

	if (!err)
		err = many_errors();
	if (!err)
		err = gaps();
	if (!err)
		err = confidential();
	if (err)
		fprintf(stderr, "bpf_functions: this kernel does not run them: %s\n",
			strerror(-err));
	return !!err;
}
