// SPDX-License-Identifier: GPL-2.0-only
#include "lapics.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/libbpf.h>

#include "map.h"
#include "vcpus.h"

int lapics__prepare(const struct lapic_maps *maps, size_t slots)
{
	int err = bpf_map__set_max_entries(maps->lapics, 2 * slots);

	return err ? err : bpf_map__set_max_entries(maps->states, slots);
}

int lapics__open(struct lapics *lapics, const struct lapic_maps *maps)
{
	lapics->maps = *maps;
	lapics->states = map__mmap(maps->states, &lapics->size);
	return lapics->states ? 0 : -errno;
}

void lapics__close(struct lapics *lapics)
{
	if (lapics->states)
		munmap(lapics->states, lapics->size);
	memset(lapics, 0, sizeof(*lapics));
}

static void forget(struct lapics *lapics, uint32_t slot)
{
	struct lapic_state *state = &lapics->states[slot];
	struct lapic_key key = { .object = state->lapic, .id = LAPIC_OBJECT };

	if (!state->lapic)
		return;
	map__forget(lapics->maps.lapics, &key, slot);
	key.object = state->kvm;
	key.id = state->vcpu_id;
	map__forget(lapics->maps.lapics, &key, slot);
	memset(state, 0, sizeof(*state));
}

void lapics__forget_ended(struct lapics *lapics, const struct vcpus *vcpus)
{
	for (size_t slot = 1; slot <= vcpus__max(vcpus); slot++) {
		const struct vcpu_ref *ref = vcpus__get(vcpus, slot);

		if (ref && ref->ended)
			forget(lapics, slot);
	}
}
