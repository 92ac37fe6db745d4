// SPDX-License-Identifier: GPL-2.0-only
#include "records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/libbpf.h>

#include "attach.h"
#include "map.h"
#include "memory.h"
#include "monitor.h"
#include "samples.h"
#include "skeleton.h"
#include "times.h"
#include "vcpus.h"

/* Records that are shared out on demand: few vCPUs may need as many as these have. */
enum { LEAST_SLOTS = 256 };

/* In a section of variables, which has the size that it has. */
static bool are_variables(const struct bpf_map *states)
{
	return bpf_map__is_internal(states);
}

/* The maps of records have that many. */
static int set_nr(struct record_set *set, const struct skeleton *skel, size_t nr)
{
	const struct record_kind *kind = set->kind;
	int err;

	set->nr = nr;
	err = bpf_map__set_max_entries(skeleton__map(skel, kind->records), set->nr);
	if (!err && kind->index)
		err = bpf_map__set_max_entries(skeleton__map(skel, kind->index), set->nr);
	if (!err && kind->index)
		err = bpf_map__set_max_entries(skeleton__map(skel, kind->free_records), set->nr);
	if (!err && kind->shares)
		err = shares__prepare(skeleton__map(skel, kind->shares), set->nr);
	return err;
}

int records__prepare(struct record_set *set, const struct record_kind *kind,
		     const struct skeleton *skel, size_t nr_slots)
{
	size_t nr = kind->index && nr_slots < LEAST_SLOTS ? LEAST_SLOTS : nr_slots;
	struct bpf_map *states = kind->states ? skeleton__map(skel, kind->states) : NULL;
	int err;

	nr *= kind->per_slot;
	set->kind = kind;
	err = set_nr(set, skel, nr < kind->least ? kind->least : nr);
	if (!err && states && !are_variables(states))
		err = bpf_map__set_max_entries(states, nr_slots);
	return err;
}

int records__add(struct record_set *set, const struct skeleton *skel, unsigned int per_slot)
{
	return set_nr(set, skel, set->nr + set->nr / set->kind->per_slot * per_slot);
}

int records__open(struct record_set *set, struct skeleton *skel, size_t row_size)
{
	const struct record_kind *kind = set->kind;

	set->skel = skel;
	set->records = map__mmap(skeleton__map(skel, kind->records), &set->records_size);
	if (!set->records)
		return -errno;
	if (kind->states) {
		set->variables = map__mmap(skeleton__map(skel, kind->states), &set->variables_size);
		if (!set->variables)
			return -errno;
		set->states = (char *)set->variables + kind->states_at;
	}
	if (kind->shares) {
		int err =
			shares__open(&set->shares, skeleton__map(skel, kind->shares), set->nr - 1);

		if (err)
			return err;
	}
	set->owners = calloc(set->nr, sizeof(*set->owners));
	set->row = calloc(1, row_size);
	set->sampled = calloc(1, row_size);
	return set->owners && set->row && set->sampled ? 0 : -ENOMEM;
}

static void free_high(struct record_owner *owner)
{
	while (owner->high) {
		struct times_high *next = owner->high->next;

		free(owner->high);
		owner->high = next;
	}
}

void records__close(struct record_set *set, struct samples *samples)
{
	for (size_t i = 0; set->owners && i < set->nr; i++) {
		free_high(&set->owners[i]);
		samples__close(samples, set->owners[i].source);
		samples__close(samples, set->owners[i].also);
	}
	if (set->records)
		munmap(set->records, set->records_size);
	if (set->variables)
		munmap(set->variables, set->variables_size);
	shares__close(&set->shares);
	free(set->owners);
	free(set->row);
	free(set->sampled);
	memset(set, 0, sizeof(*set));
}

static uint32_t slot_of(const struct record_set *set, uint32_t index)
{
	uint32_t slot = index;

	if (set->kind->index)
		memcpy(&slot, (char *)records__get(set, index) + set->kind->slot_at, sizeof(slot));
	return slot;
}

/* The head of the row, unless label() fills it in. 0 or what label() returns. */
static int fill_head(struct attachment *at, uint32_t index)
{
	const struct vcpu_ref *ref;

	memset(at->records.row, 0, at->monitor->row_size);
	if (at->records.kind->of_vm)
		return 0;
	/* The vCPU may be a moment old: what a record has of this epoch is read now or never. */
	ref = vcpus__get_new(at->env->vcpus, slot_of(&at->records, index));
	if (!ref)
		return -EAGAIN;
	vcpu_ref__row(ref, 0, at->records.row);
	return ref->chosen ? 0 : -ENOENT;
}

static struct source *source_of(struct attachment *at, uint32_t index)
{
	struct record_set *set = &at->records;
	struct record_owner *owner = &set->owners[index];
	int view;

	if (owner->source || owner->unwanted)
		return owner->source;
	view = fill_head(at, index);
	if (!view)
		view = set->kind->label(at, index, set->row);
	owner->unwanted = view == -ENOENT;
	owner->tgid = set->row->pid;
	if (view >= 0) {
		owner->source = samples__open(at->samples, view, set->row);
		if (!owner->source)
			memory__is_short();
	}
	return owner->source;
}

/* Takes a sample; the other view is asked for with it, and may want the labels again. */
static void sample(struct attachment *at, uint32_t index)
{
	struct record_set *set = &at->records;
	struct record_owner *owner = &set->owners[index];
	int view;

	set->kind->sample(at, index, set->row);
	if (!set->kind->also || owner->also)
		return;
	view = set->kind->also(at, index, set->row);
	if (view < 0)
		return;
	/* A record is read once: its extremes are gone then. */
	memcpy(set->sampled, set->row, at->monitor->row_size);
	if (!fill_head(at, index) && set->kind->label(at, index, set->row) >= 0)
		owner->also = samples__open(at->samples, view, set->row);
	memcpy(set->row, set->sampled, at->monitor->row_size);
}

/*
 * A program may write the word at the same time: then what it wrote stays. One
 * that has taken the old time already ends before the window does begin; what it
 * counts is in the record when that is read, and the base of what comes. Where
 * its clock had stood just before this moment, and it reads the begin after this,
 * it would see an end before the begin. Programs that can afford it make that 0;
 * those at entries have a few instructions between both, with interrupts off, and
 * this moment was taken before the first begin is cut.
 */
static void cut(void *word, uint64_t now_ns)
{
	uint64_t begin = __atomic_load_n((uint64_t *)word, __ATOMIC_RELAXED);

	if (begin && begin < now_ns)
		__atomic_compare_exchange_n((uint64_t *)word, &begin, now_ns, false,
					    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* The first one from index on that may be in use; or set->nr. */
static size_t next(const struct attachment *at, size_t index)
{
	const struct record_set *set = &at->records;

	return set->kind->shares ? shares__next(&set->shares, index, set->nr) :
				   vcpus__next(at->env->vcpus, index, set->nr);
}

void records__cut(struct attachment *at)
{
	struct record_set *set = &at->records;
	const struct record_kind *kind = set->kind;

	for (size_t slot = 1; slot <= vcpus__max(at->env->vcpus); slot++)
		for (size_t i = 0; i < 2 && kind->begins_in_state[i]; i++)
			if (vcpus__get(at->env->vcpus, slot))
				cut((char *)records__state(set, slot) + kind->begins_in_state[i],
				    at->now_ns);
	for (size_t i = next(at, 1); kind->begins_in_record && i < set->nr; i = next(at, i + 1))
		if (records__in_use(set, i))
			cut((char *)records__get(set, i) + kind->begins_in_record, at->now_ns);
}

/* There is no later interval for what is left. */
static bool is_last_look(const struct attachment *at, uint32_t index)
{
	const struct vcpu_ref *ref = NULL;

	if (!at->records.kind->of_vm)
		ref = vcpus__get(at->env->vcpus, slot_of(&at->records, index));
	return at->is_last || (ref && ref->ended);
}

uint64_t records__passed(struct attachment *at, uint32_t index, uint64_t total_ns)
{
	struct record_owner *owner = &at->records.owners[index];
	uint64_t most = owner->passed_ns + (at->now_ns - at->before_ns);

	if (owner->early)
		owner->early_ns = most = total_ns;
	else if (is_last_look(at, index))
		most = owner->early_ns + (at->now_ns - at->since_ns);
	if (total_ns < most)
		most = total_ns;
	if (most > owner->passed_ns)
		owner->passed_ns = most;
	return owner->passed_ns;
}

void records__times(struct attachment *at, uint32_t index, struct times *t, struct timing *timing)
{
	struct times_high **high = &at->records.owners[index].high;

	while (*high && (*high)->of != timing)
		high = &(*high)->next;
	times__read(t, timing, at->ended_epoch, high);
}

/* One sample, for both views: what they show of it agrees. */
static void take(struct attachment *at, const struct record_owner *owner)
{
	samples__take(at->samples, owner->source, at->records.row);
	if (owner->also)
		samples__take(at->samples, owner->also, at->records.row);
}

static bool begin(struct attachment *at, const struct record_owner *owner)
{
	bool begun = samples__begin(at->samples, owner->source, at->records.row);

	return (!owner->also || samples__begin(at->samples, owner->also, at->records.row)) && begun;
}

void records__look(struct attachment *at)
{
	struct record_set *set = &at->records;

	for (size_t i = next(at, 1); i < set->nr; i = next(at, i + 1)) {
		struct record_owner *owner = &set->owners[i];

		if (!records__in_use(set, i))
			continue;
		owner->early |= at->begins;
		if (!source_of(at, i))
			continue;
		sample(at, i);
		if (!owner->early)
			take(at, owner);
		else if (begin(at, owner))
			owner->early = false;
	}
}

void records__retire(struct attachment *at, uint32_t index)
{
	struct record_set *set = &at->records;
	const struct record_kind *kind = set->kind;
	void *record = records__get(set, index);

	if (kind->index)
		map__forget(skeleton__map(set->skel, kind->index), (char *)record + kind->key_at,
			    index);
	if (kind->forget)
		kind->forget(at, index);
	samples__close(at->samples, set->owners[index].source);
	samples__close(at->samples, set->owners[index].also);
	free_high(&set->owners[index]);
	memset(&set->owners[index], 0, sizeof(set->owners[index]));
	memset(record, 0, kind->record_size);
	if (kind->shares)
		shares__give_back(&set->shares, index);
	if (kind->index)
		map__give_back(skeleton__map(set->skel, kind->free_records), index);
}

/* A look after the process has ended: by now all that it did is shown, and counted. */
static void retire_ended_vms(struct attachment *at)
{
	struct record_set *set = &at->records;
	struct ended_asked asked = {};

	for (size_t i = next(at, 1); i < set->nr; i = next(at, i + 1)) {
		struct record_owner *owner = &set->owners[i];

		if (owner->ended)
			records__retire(at, i);
		else if (owner->tgid && owner->tgid != UINT32_MAX)
			owner->ended = vcpus__process_ended(at->env->vcpus, &asked, owner->tgid);
	}
}

static void retire_ended_vcpus(struct attachment *at)
{
	struct record_set *set = &at->records;
	const struct record_kind *kind = set->kind;
	const struct vcpu_ref *ref;

	if (!vcpus__any_ended(at->env->vcpus))
		return;
	for (size_t i = next(at, 1); i < set->nr; i = next(at, i + 1)) {
		/* A slot may have things in its record before it has a source. */
		if (kind->index && !set->owners[i].source && !set->owners[i].unwanted)
			continue;
		ref = vcpus__get(at->env->vcpus, slot_of(set, i));
		if (ref && ref->ended)
			records__retire(at, i);
	}
	for (size_t slot = 1; kind->states && slot <= vcpus__max(at->env->vcpus); slot++) {
		ref = vcpus__get(at->env->vcpus, slot);
		if (ref && ref->ended)
			memset(records__state(set, slot), 0, kind->state_size);
	}
}

void records__retire_ended(struct attachment *at)
{
	const struct record_kind *kind = at->records.kind;

	if (kind->retire)
		kind->retire(at);
	else if (kind->of_vm)
		retire_ended_vms(at);
	else
		retire_ended_vcpus(at);
}
