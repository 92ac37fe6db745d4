// SPDX-License-Identifier: GPL-2.0-only
#include "vcpus.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../compat/host.h"
#include "../compat/picked_types.h"
#include "broker.h"
#include "clock.h"
#include "confidential.h"
#include "filter.h"
#include "iter.h"
#include "limits.h"
#include "log.h"
#include "map.h"
#include "shares.h"
#include "skeleton.h"
#include "vcpus.skel.h"
#include "vm.h"

enum {
	LEAST_SLOTS = 256,
	MOST_SLOTS = 4096, /* without --max-vcpus, unless more vCPUs run */
	SLOTS_PER_CPU = 16,
	NSEC_PER_TICK = 10000000, /* /proc counts in USER_HZ, 100 on x86 */
};

struct vcpus {
	const struct filter *filter;
	struct broker *broker;
	int lister; /* the iterator over all vCPUs' descriptors, once it was needed; or -1 */
	struct vcpus_bpf *skel;
	struct ring_buffer *news;
	int find_end, ask_process; /* these programs, where they are loaded; or -1 */
	struct bpf_link *births;   /* where births are told; the broker's */
	int births_fd;		   /* the same link, this process' */
	struct vm_ref *vms;
	uint64_t nr_vms;    /* so far */
	size_t forget_from; /* unused VMs */
	struct vcpu_ref *refs;
	size_t nr_slots;	 /* slot 0 included */
	size_t nr_known;	 /* slots in use, as far as is known */
	bool any_ended;		 /* of these */
	struct vcpu_info *infos; /* the kernel's, mapped */
	struct slot_place *cache;
	uint64_t *threads;
	size_t infos_size, cache_size, threads_size;
	struct shares shares;
	uint32_t share_seed;
};

/*
 * Room for two and a half times what the host runs now, and for what its CPUs suggest; with slot 0.
 * All of it is resident: the kernel maps an array as a whole.
 */
static size_t choose_slots(uint32_t max_vcpus)
{
	size_t want = LEAST_SLOTS, vcpus = 0, nr = 0, slots = LEAST_SLOTS;
	struct vm *vms = NULL;

	if (max_vcpus)
		return max_vcpus + 1;
	if (!vm__scan("/proc", &vms, &nr))
		for (size_t i = 0; i < nr; i++)
			vcpus += vms[i].nr_vcpus;
	free(vms);
	if (vcpus * 5 / 2 > want)
		want = vcpus * 5 / 2;
	if (sysconf(_SC_NPROCESSORS_CONF) * (size_t)SLOTS_PER_CPU > want)
		want = sysconf(_SC_NPROCESSORS_CONF) * (size_t)SLOTS_PER_CPU;
	if (want > MOST_SLOTS)
		want = vcpus + vcpus / 4 > MOST_SLOTS ? vcpus + vcpus / 4 : MOST_SLOTS;
	while (slots < want && slots < MAX_VCPU_SLOTS)
		slots += LEAST_SLOTS;
	return slots;
}

static struct vcpus_bpf *open_vcpus(bool to_load)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts,
		    .btf_custom_path = to_load ? picked_types__path() : NULL);

	return vcpus_bpf__open_opts(&opts);
}

static void resolve(struct vcpus *v, uint32_t slot);

static int on_new_vcpu(void *ctx, void *data, size_t size)
{
	uint32_t slot;

	if (size < sizeof(slot))
		return 0;
	memcpy(&slot, data, sizeof(slot));
	resolve(ctx, slot);
	return 0;
}

static int try_load(struct vcpus *v, bool ask_kernel, bool tell_births)
{
	int err;

	vcpus_bpf__destroy(v->skel);
	v->skel = open_vcpus(true);
	if (!v->skel)
		return -errno;
	err = bpf_map__set_max_entries(v->skel->maps.vcpus, v->nr_slots);
	if (!err)
		err = bpf_map__set_max_entries(v->skel->maps.vcpu_slots, v->nr_slots);
	if (!err)
		err = bpf_map__set_max_entries(v->skel->maps.thread_slots, v->nr_slots);
	if (!err)
		err = bpf_map__set_max_entries(v->skel->maps.free_slots, v->nr_slots);
	bpf_program__set_autoload(v->skel->progs.find_end, ask_kernel);
	bpf_program__set_autoload(v->skel->progs.ask_process, ask_kernel);
	bpf_program__set_autoload(v->skel->progs.born, tell_births);
	map__set_const(v->skel->obj, "births_told", tell_births);
	if (!err)
		err = shares__prepare(v->skel->maps.vcpu_shares, v->nr_slots);
	if (!err)
		err = vcpus_bpf__load(v->skel);
	if (!err)
		err = map__fill(v->skel->maps.free_slots);
	return err;
}

static int load(struct vcpus *v)
{
	/* Where a read needs no helper a look at each vCPU costs less than this would save. */
	bool tell_births = !picked_types__can_cast();
	int err = try_load(v, true, tell_births);

	if (!err && tell_births) {
		v->births = bpf_program__attach(v->skel->progs.born);
		if (!v->births)
			err = -errno;
	}
	if (err && tell_births)
		err = try_load(v, true, false);
	return err ? try_load(v, false, false) : 0;
}

static int map_tables(struct vcpus *v)
{
	int err;

	v->infos = map__mmap(v->skel->maps.vcpus, &v->infos_size);
	if (!v->infos)
		return -errno;
	v->cache = map__mmap(v->skel->maps.slot_cache, &v->cache_size);
	if (!v->cache)
		return -errno;
	v->threads = map__mmap(v->skel->maps.thread_cache, &v->threads_size);
	if (!v->threads)
		return -errno;
	err = shares__open(&v->shares, v->skel->maps.vcpu_shares, v->nr_slots - 1);
	if (err)
		return err;
	v->news = ring_buffer__new(bpf_map__fd(v->skel->maps.new_vcpus), on_new_vcpu, v, NULL);
	return v->news ? 0 : -errno;
}

static struct vcpus *new_vcpus(const struct filter *filter)
{
	struct vcpus *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->filter = filter;
	v->lister = v->find_end = v->ask_process = v->births_fd = -1;
	v->skel = open_vcpus(false);
	if (v->skel)
		return v;
	free(v);
	return NULL;
}

static void say_refused(int err)
{
	bool shortage = limits__is_shortage(err) && host__initial_user_namespace();
	const char *why = err == -EPERM || err == -ESRCH ? host__bpf_refusal() : NULL;

	if (why && !shortage)
		say("%s", why);
	else if (shortage)
		say("can't create the tables of vCPUs: %s", limits__reason(err));
	else
		say("the kernel refused to create the BPF maps: %s (-v shows libbpf's messages)",
		    limits__reason(err));
}

int vcpus__load(const struct filter *filter, uint32_t max_vcpus, struct vcpus **vcpus)
{
	int err = limits__check_memory();
	struct vcpus *v = err ? NULL : new_vcpus(filter);

	if (!err && !v)
		err = -errno;
	if (!err) {
		if (getrandom(&v->share_seed, sizeof(v->share_seed), GRND_NONBLOCK) < 0)
			v->share_seed = clock__ns();
		v->nr_slots = choose_slots(max_vcpus);
		err = load(v);
	}
	if (!err) {
		*vcpus = v;
		return 0;
	}
	say_refused(err);
	vcpus__close(v);
	return err;
}

struct skeleton *vcpus__skeleton(const struct vcpus *v)
{
	return (struct skeleton *)v->skel;
}

void vcpus__progs(const struct vcpus *v, int progs[NR_VCPUS_PROGS])
{
	progs[0] = bpf_program__fd(v->skel->progs.find_end);
	progs[1] = bpf_program__fd(v->skel->progs.ask_process);
	progs[2] = v->births ? bpf_link__fd(v->births) : -1;
	for (int i = 0; i < NR_VCPUS_PROGS; i++)
		if (progs[i] < 0)
			progs[i] = -1;
}

static int take_loaded(struct vcpus *v)
{
	struct handed handed;
	int err = broker__vcpus(v->broker, &handed);

	if (!err)
		err = skeleton__take_maps(vcpus__skeleton(v), &handed.fds[FDS_MAPS], MAX_MAPS);
	v->find_end = handed__take(&handed, FDS_OTHER);
	v->ask_process = handed__take(&handed, FDS_OTHER + 1);
	v->births_fd = handed__take(&handed, FDS_OTHER + 2);
	handed__close(&handed);
	if (err)
		return err;
	v->nr_slots = bpf_map__max_entries(v->skel->maps.vcpus);
	v->refs = calloc(v->nr_slots, sizeof(*v->refs));
	return v->refs ? map_tables(v) : -ENOMEM;
}

int vcpus__open(const struct filter *filter, struct broker *broker, struct vcpus **vcpus)
{
	struct vcpus *v = new_vcpus(filter);
	int err = v ? 0 : -errno;

	if (!err) {
		v->broker = broker;
		err = take_loaded(v);
	}
	if (!err) {
		*vcpus = v;
		return 0;
	}
	say("the tables of vCPUs can't be read: %s", limits__reason(err));
	vcpus__close(v);
	return err;
}

static void free_vm(struct vm_ref *vm)
{
	free(vm->past);
	free(vm);
}

void vcpus__close(struct vcpus *v)
{
	if (!v)
		return;
	while (v->vms) {
		struct vm_ref *vm = v->vms;

		v->vms = vm->next;
		free_vm(vm);
	}
	if (v->lister >= 0)
		close(v->lister);
	if (v->find_end >= 0)
		close(v->find_end);
	if (v->ask_process >= 0)
		close(v->ask_process);
	if (v->births_fd >= 0)
		close(v->births_fd);
	bpf_link__destroy(v->births);
	ring_buffer__free(v->news);
	if (v->infos)
		munmap(v->infos, v->infos_size);
	if (v->cache)
		munmap(v->cache, v->cache_size);
	if (v->threads)
		munmap(v->threads, v->threads_size);
	shares__close(&v->shares);
	vcpus_bpf__destroy(v->skel);
	free(v->refs);
	free(v);
}

/* Losses are each monitor's own. */
static bool is_of_monitor(const char *name)
{
	return !strcmp(name, "losses") || !strcmp(name, "losers");
}

int vcpus__share(const struct vcpus *v, struct bpf_object *obj)
{
	struct bpf_map *map, *own;
	int err;

	bpf_object__for_each_map(map, obj)
	{
		if (bpf_map__is_internal(map))
			continue;
		own = bpf_object__find_map_by_name(v->skel->obj, bpf_map__name(map));
		if (!own || is_of_monitor(bpf_map__name(map)))
			continue;
		err = bpf_map__reuse_fd(map, bpf_map__fd(own));
		if (err)
			return err;
	}
	err = map__set_const(obj, "share_seed", v->share_seed);
	map__set_const(obj, "births_told", !!v->births);
	return err ? err : map__set_const(obj, "only_tgid", v->filter->pid);
}

bool vcpus__has_map(const struct vcpus *v, const struct bpf_map *map)
{
	return bpf_object__find_map_by_name(v->skel->obj, bpf_map__name(map));
}

int vcpus__fd(const struct vcpus *v)
{
	return ring_buffer__epoll_fd(v->news);
}

size_t vcpus__max(const struct vcpus *v)
{
	return v->nr_slots - 1;
}

const struct vcpu_ref *vcpus__get(const struct vcpus *v, uint32_t slot)
{
	return slot && slot < v->nr_slots && v->refs[slot].known ? &v->refs[slot] : NULL;
}

size_t vcpus__next(const struct vcpus *v, size_t slot, size_t end)
{
	return shares__next(&v->shares, slot, end);
}

bool vcpus__any_ended(const struct vcpus *v)
{
	return v->any_ended;
}

const struct vcpu_ref *vcpus__get_new(struct vcpus *v, uint32_t slot)
{
	const struct vcpu_ref *ref = vcpus__get(v, slot);

	if (ref || !slot || slot >= v->nr_slots)
		return ref;
	vcpus__learn(v);
	/* Thousands at once are more than the announcements have room for. */
	resolve(v, slot);
	return vcpus__get(v, slot);
}

/* In another PID namespace /proc has other processes with these pids. */
static int ask_proc(const struct vcpus *v, const struct vcpu_info *info, struct vm *found)
{
	struct process_files files;
	int err = host__initial_pid_namespace() ?
			  broker__open_process(v->broker, info->tgid, &files) :
			  -ESRCH;

	if (!err)
		err = vm__name_process(&files, info->tgid, found);
	if (!err && (found->start_time + 1 < info->start_ns / NSEC_PER_TICK ||
		     found->start_time > info->start_ns / NSEC_PER_TICK + 1))
		err = -ESRCH;
	return err;
}

static struct process_key process_key(const struct vcpu_info *info)
{
	return (struct process_key){ .start_ns = info->start_ns, .tgid = info->tgid };
}

/* By the command line that the kernel has kept. */
static int ask_kernel(const struct vcpus *v, const struct vcpu_info *info, struct vm *found)
{
	struct process_key key = process_key(info);
	char comm[sizeof(info->comm) + 1] = "";
	struct process_args args;

	if (map__lookup(v->skel->maps.new_processes, &key, &args) || !args.len ||
	    args.len > sizeof(args.text))
		return -ESRCH;
	memcpy(comm, info->comm, sizeof(info->comm));
	*found = (struct vm){ .pid = info->tgid };
	return vm__name_args(comm, args.text, args.len, sizeof(args.text), found);
}

void vcpus__forget_args(const struct vcpus *v, const struct vcpu_info *info)
{
	struct process_key key = process_key(info);

	if (info->kept_args)
		map__delete(v->skel->maps.new_processes, &key);
}

/* One that ends is in /proc until its parent has waited for it, but without its command line. */
static bool find_process(const struct vcpus *v, const struct vcpu_info *info, struct vm *found)
{
	bool is_there = !ask_proc(v, info, found);
	struct vm kept;

	if (is_there && found->has_args)
		return true;
	if (ask_kernel(v, info, &kept))
		return is_there;
	*found = kept;
	return true;
}

/* The process's name, also when it has ended; as far as nobody knows it, its comm. */
static void name_process(const struct vcpus *v, struct vm_ref *vm, const struct vcpu_info *info)
{
	struct vm found;

	if (!find_process(v, info, &found)) {
		snprintf(vm->name, sizeof(vm->name), "%.15s", info->comm);
		return;
	}
	snprintf(vm->name, sizeof(vm->name), "%s", found.name);
	snprintf(vm->vmm, sizeof(vm->vmm), "%s", found.vmm);
	vm->who = found.who;
}

static void name_vm(const struct vcpus *v, struct vm_ref *vm, const struct vcpu_info *info)
{
	const struct vm_ref *sibling = NULL;

	for (const struct vm_ref *other = vm->next; other; other = other->next) {
		if (other->tgid != vm->tgid || other->start_ns != vm->start_ns)
			continue;
		sibling = other;
		if (vm->kvm && other->kvm && other->nth > vm->nth)
			vm->nth = other->nth;
	}
	vm->nth++;
	/* Looking at a process with hundreds of VMs takes long: once is enough. */
	if (sibling) {
		memcpy(vm->name, sibling->name, sizeof(vm->name));
		memcpy(vm->vmm, sibling->vmm, sizeof(vm->vmm));
		vm->who = sibling->who;
	} else {
		name_process(v, vm, info);
	}
	if (vm->nth == 1)
		snprintf(vm->label, sizeof(vm->label), "%s", vm->name);
	else
		snprintf(vm->label, sizeof(vm->label), "%s#%u", vm->name, vm->nth);
	vm__write_id(vm->id, vm->tgid, vm->start_ns / NSEC_PER_TICK, vm->nth);
}

/* It may be seen before it is encrypted, and by what tells neither that nor who has made it. */
static void note_more(struct vm_ref *vm, const struct vcpu_info *info)
{
	if (!vm->creator)
		vm->creator = info->creator;
	if (!vm->confidential && info->confidential)
		vm->confidential =
			confidential__name(info->confidential, host__vendors() & VENDOR_SVM);
}

struct vm_ref *vcpus__new_vm(struct vcpus *v, const struct vcpu_info *info)
{
	struct vm_ref *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return NULL;
	vm->nr = ++v->nr_vms;
	vm->kvm = info->kvm;
	vm->tgid = info->tgid;
	vm->start_ns = info->start_ns;
	vm->leader = info->leader;
	vm->next = v->vms;
	note_more(vm, info);
	name_vm(v, vm, info);
	v->vms = vm;
	vm->chosen = filter__has_vm(v->filter, vm->tgid, vm->label, &vm->who);
	return vm;
}

static struct vm_ref *get_or_add_vm(struct vcpus *v, const struct vcpu_info *info)
{
	for (struct vm_ref *vm = v->vms; vm; vm = vm->next)
		if (vm->kvm == info->kvm && vm->tgid == info->tgid &&
		    vm->start_ns == info->start_ns) {
			note_more(vm, info);
			return vm;
		}
	return vcpus__new_vm(v, info);
}

/* A process and its first VM have one id. */
static bool has_older_twin(const struct vm_ref *vm)
{
	for (const struct vm_ref *other = vm->next; other; other = other->next)
		if (!strcmp(other->id, vm->id))
			return true;
	return false;
}

void vcpus__tell_new(const struct vcpus *v, uint64_t *told,
		     void (*tell)(void *ctx, const struct vm_ref *vm), void *ctx)
{
	/* The latest is the first of them. */
	for (struct vm_ref *vm = v->vms; vm && vm->nr > *told; vm = vm->next) {
		if (!vm->chosen || has_older_twin(vm))
			continue;
		if (!vm->told_ns)
			vm->told_ns = clock__ns();
		tell(ctx, vm);
	}
	*told = v->nr_vms;
}

static struct past_vcpu past_of(const struct vcpu_info *info)
{
	return (struct past_vcpu){ info->vcpu, info->exits, info->birth };
}

/* Exits: as far as they were looked at, or EXITS_ENDED. */
static bool is_later(const struct vcpu_info *now, struct past_vcpu before)
{
	return now->vcpu != before.vcpu || now->first_exits < before.exits ||
	       (now->birth != before.birth && birth__is_of(now->birth, now->vcpu));
}

/*
 * The kernel likes to use the address of a VM again. A VM has one vCPU of a
 * number, and keeps it until it ends: another one of that number is another
 * VM's, also at the same address, where its exits are counted from zero, or its
 * birth was told. A thread that takes a vCPU over goes on counting.
 */
static bool is_another_vm(const struct vcpus *v, const struct vm_ref *vm,
			  const struct vcpu_info *info)
{
	for (size_t slot = 1; slot < v->nr_slots; slot++) {
		const struct vcpu_ref *ref = &v->refs[slot];

		if (ref->known && ref->vm == vm && ref->info.vcpu_id == info->vcpu_id &&
		    (ref->info.tid == info->tid || is_later(info, past_of(&v->infos[slot]))))
			return true;
	}
	return info->vcpu_id < vm->nr_past && vm->past[info->vcpu_id].vcpu &&
	       is_later(info, vm->past[info->vcpu_id]);
}

/* A vCPU has ended: what it was stays known to its VM. */
static void note_past(struct vm_ref *vm, const struct vcpu_info *info)
{
	size_t nr = info->vcpu_id + 1;
	struct past_vcpu *more;

	if (nr > vm->nr_past && info->vcpu_id < MAX_VCPU_SLOTS) {
		more = reallocarray(vm->past, nr, sizeof(*more));
		if (!more)
			return;
		memset(more + vm->nr_past, 0, (nr - vm->nr_past) * sizeof(*more));
		vm->past = more;
		vm->nr_past = nr;
	}
	if (nr <= vm->nr_past)
		vm->past[info->vcpu_id] = past_of(info);
}

const struct vm_ref *vcpus__add_vm(struct vcpus *v, const struct vcpu_info *info)
{
	return get_or_add_vm(v, info);
}

const struct vm_ref *vcpus__vm_of_process(struct vcpus *v, uint32_t tgid)
{
	struct vcpu_info info = { .tgid = tgid };
	const struct vm_ref *found = NULL;

	for (const struct vm_ref *vm = v->vms; vm; vm = vm->next)
		if (vm->tgid == tgid &&
		    (!found || (vm->start_ns == found->start_ns && vm->nth <= found->nth)))
			found = vm;
	if (found || !host__initial_pid_namespace())
		return found;
	info.start_ns = vm__task_start("/proc", tgid, tgid) * NSEC_PER_TICK;
	return info.start_ns ? get_or_add_vm(v, &info) : NULL;
}

int vcpus__open_lister(void)
{
	struct vcpus_bpf *skel = open_vcpus(true);
	struct bpf_link *link = NULL;
	int fd = -1, err;

	if (!skel)
		return -errno;
	bpf_program__set_autoload(skel->progs.list_vcpus, true);
	err = vcpus_bpf__load(skel);
	if (!err) {
		link = bpf_program__attach_iter(skel->progs.list_vcpus, NULL);
		err = link ? 0 : -errno;
	}
	if (!err) {
		fd = fcntl(bpf_link__fd(link), F_DUPFD_CLOEXEC, 0);
		err = fd < 0 ? -errno : 0;
	}
	bpf_link__destroy(link);
	vcpus_bpf__destroy(skel);
	return err ? err : fd;
}

static int by_place(const void *a, const void *b)
{
	const struct vcpu_entry *x = a, *y = b;

	if (x->kvm != y->kvm)
		return x->kvm < y->kvm ? -1 : 1;
	if (x->vcpu_id != y->vcpu_id)
		return x->vcpu_id < y->vcpu_id ? -1 : 1;
	return x->nth < y->nth ? -1 : x->nth > y->nth;
}

static int by_order(const void *a, const void *b)
{
	const struct vcpu_entry *x = a, *y = b;

	return x->nth < y->nth ? -1 : x->nth > y->nth;
}

/* Of descriptors that were duplicated the first one stays. How many are left, in the same order. */
static size_t drop_same(struct vcpu_entry *entries, size_t nr)
{
	size_t kept = 0;

	for (size_t i = 0; i < nr; i++)
		entries[i].nth = i;
	if (nr)
		qsort(entries, nr, sizeof(*entries), by_place);
	for (size_t i = 0; i < nr; i++)
		if (!kept || entries[kept - 1].kvm != entries[i].kvm ||
		    entries[kept - 1].vcpu_id != entries[i].vcpu_id)
			entries[kept++] = entries[i];
	if (kept)
		qsort(entries, kept, sizeof(*entries), by_order);
	return kept;
}

static int read_lister(int lister, struct vcpu_entry **entries, size_t *nr)
{
	size_t size = 0;
	int err = iter__read(lister, (void **)entries, &size);

	if (err)
		return err;
	*nr = drop_same(*entries, size / sizeof(**entries));
	return 0;
}

int vcpus__list(struct vcpu_entry **entries, size_t *nr)
{
	int lister = vcpus__open_lister(), err;

	if (lister < 0)
		return lister;
	err = read_lister(lister, entries, nr);
	close(lister);
	return err;
}

/* Made when it is needed first: a VM may not live long enough for another time. */
static bool has_lister(struct vcpus *v)
{
	if (v->lister < 0)
		v->lister = broker__lister(v->broker);
	return v->lister >= 0;
}

void vcpus__prepare_finding(struct vcpus *v)
{
	has_lister(v);
}

int vcpus__entries(struct vcpus *v, struct vcpu_entry **entries, size_t *nr)
{
	return has_lister(v) ? read_lister(v->lister, entries, nr) : v->lister;
}

static bool may_be(const struct vm_ref *vm, uint64_t kvm, uint32_t creator)
{
	return vm->kvm == kvm && (!creator || !vm->creator || vm->creator == creator);
}

void vcpus__learn(struct vcpus *v)
{
	ring_buffer__consume(v->news);
}

/* The newest comes first: an address that is used again means the new VM. */
static const struct vm_ref *find_known(const struct vcpus *v, uint64_t kvm, uint32_t creator)
{
	const struct vm_ref *vm = v->vms;

	while (vm && !may_be(vm, kvm, creator))
		vm = vm->next;
	return vm;
}

const struct vm_ref *vcpus__find_vm(struct vcpus *v, uint64_t kvm, uint32_t creator)
{
	const struct vm_ref *vm = find_known(v, kvm, creator);
	struct vcpu_entry *entries = NULL;
	size_t nr = 0;

	/* It may have come since the last look, and be gone by now. */
	if (!vm) {
		vcpus__learn(v);
		vm = find_known(v, kvm, creator);
	}
	if (vm || !has_lister(v) || read_lister(v->lister, &entries, &nr))
		return vm;
	/* All that there are: looking through the descriptors takes long where there are many. */
	for (size_t i = 0; i < nr; i++) {
		struct vcpu_info info = {
			.kvm = entries[i].kvm,
			.tgid = entries[i].tgid,
			.start_ns = entries[i].start_ns,
			.confidential = entries[i].confidential,
			.creator = entries[i].creator,
		};
		const struct vm_ref *one = get_or_add_vm(v, &info);

		if (one && may_be(one, kvm, creator))
			vm = one;
	}
	free(entries);
	return vm;
}

static void resolve(struct vcpus *v, uint32_t slot)
{
	struct vcpu_ref *ref = slot < v->nr_slots ? &v->refs[slot] : NULL;
	struct vm_ref *vm;

	if (!ref || ref->known || !__atomic_load_n(&v->infos[slot].state, __ATOMIC_ACQUIRE))
		return;
	ref->info = v->infos[slot];
	vm = get_or_add_vm(v, &ref->info);
	if (vm && is_another_vm(v, vm, &ref->info))
		vm = vcpus__new_vm(v, &ref->info);
	vcpus__forget_args(v, &ref->info);
	if (!vm)
		return;
	vm->leader = ref->info.leader;
	ref->vm = vcpus__get_vm(vm);
	ref->chosen = vm->chosen && filter__has_vcpu(v->filter, ref->info.vcpu_id);
	ref->ended = false;
	ref->known = true;
	v->nr_known++;
}

/* Marks those of these slots from which nothing more will come. */
static void find_ends(const struct vcpus *v, uint32_t first, uint32_t last)
{
	uint64_t args[] = { first, last };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = sizeof(args));

	bpf_prog_test_run_opts(v->find_end, &opts);
}

/* Its descriptor is gone, or the thread that has run it. */
static bool has_ended(const struct vcpus *v, uint32_t slot)
{
	const struct vcpu_info *info = &v->infos[slot];

	if (v->find_end < 0 && syscall(SYS_tgkill, info->tgid, info->tid, 0) && errno == ESRCH)
		return host__initial_pid_namespace();
	return __atomic_load_n(&info->state, __ATOMIC_ACQUIRE) == VCPU_ENDED;
}

/* A round of slots at a time. */
static bool refresh_round(struct vcpus *v, size_t first, size_t end)
{
	bool known = false, ended = false;

	for (size_t slot = first; slot < end; slot = vcpus__next(v, slot + 1, end)) {
		if (!v->refs[slot].known)
			resolve(v, slot);
		known |= v->refs[slot].known;
	}
	if (known && v->find_end >= 0)
		find_ends(v, first, end - 1);
	for (size_t slot = first; known && slot < end; slot = vcpus__next(v, slot + 1, end)) {
		struct vcpu_ref *ref = &v->refs[slot];

		if (ref->known)
			ref->ended = has_ended(v, slot);
		ended |= ref->ended;
	}
	return ended;
}

bool vcpus__refresh(struct vcpus *v)
{
	size_t first = 1, end;

	vcpus__learn(v);
	v->any_ended = false;
	while ((first = vcpus__next(v, first, v->nr_slots)) < v->nr_slots) {
		end = first + END_ROUND < v->nr_slots ? first + END_ROUND : v->nr_slots;
		v->any_ended |= refresh_round(v, first, end);
		first = end;
	}
	return v->any_ended;
}

/* Slot's vCPU is gone, or its thread: nobody else writes what is cleared here. */
static void release(struct vcpus *v, uint32_t slot)
{
	struct vcpu_ref *ref = &v->refs[slot];
	struct vcpu_key key = { .vcpu = ref->info.vcpu, .tid = ref->info.tid };

	map__forget(v->skel->maps.vcpu_slots, &key, slot);
	map__forget(v->skel->maps.thread_slots, &key.tid, slot);
	if (v->threads[thread_cache__index(key.tid)] == thread_cache__word(key.tid, slot))
		v->threads[thread_cache__index(key.tid)] = THREAD_CACHE_SPOILT;
	if (v->cache[slot_cache__index(key.vcpu)].slot == slot)
		v->cache[slot_cache__index(key.vcpu)].slot = 0;
	note_past((struct vm_ref *)ref->vm, &v->infos[slot]);
	memset(&v->infos[slot], 0, sizeof(v->infos[slot]));
	vcpus__put_vm(ref->vm);
	memset(ref, 0, sizeof(*ref));
	v->nr_known--;
	shares__give_back(&v->shares, slot);
	map__give_back(v->skel->maps.free_slots, slot);
}

static bool has_process_ended(const struct vcpus *v, uint32_t tgid)
{
	const struct vm_ref *vm = v->vms;

	while (vm && (vm->tgid != tgid || !vm->leader))
		vm = vm->next;
	if (vm && v->ask_process >= 0) {
		uint64_t args[] = { vm->leader, tgid, vm->start_ns };
		LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = sizeof(args));

		return !bpf_prog_test_run_opts(v->ask_process, &opts) && !opts.retval;
	}
	return kill(tgid, 0) && errno == ESRCH && host__initial_pid_namespace();
}

bool vcpus__process_ended(const struct vcpus *v, struct ended_asked *asked, uint32_t tgid)
{
	size_t place = tgid % (sizeof(asked->list) / sizeof(asked->list[0]));

	if (asked->list[place].tgid != tgid) {
		asked->list[place].tgid = tgid;
		asked->list[place].ended = has_process_ended(v, tgid);
	}
	return asked->list[place].ended;
}

/* Of a process the latest VM stays: the next one's number goes on from it. */
static bool has_later(const struct vcpus *v, const struct vm_ref *vm)
{
	for (const struct vm_ref *other = v->vms; other != vm; other = other->next)
		if (other->tgid == vm->tgid && other->start_ns == vm->start_ns &&
		    (other->kvm || !vm->kvm))
			return true;
	return false;
}

static bool is_listed(const struct vm_ref *vm, const struct vcpu_entry *entries, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (entries[i].kvm == vm->kvm && entries[i].tgid == vm->tgid)
			return true;
	return false;
}

static bool has_vcpu(const struct vcpus *v, const struct vm_ref *vm)
{
	for (size_t slot = 1; vm->users && slot < v->nr_slots; slot++)
		if (v->refs[slot].known && v->refs[slot].vm == vm && !v->refs[slot].ended)
			return true;
	return false;
}

/* What is known of one without vCPUs: the list of all descriptors, made once when it is needed. */
struct alive {
	struct vcpu_entry *entries;
	size_t nr;
	bool asked, knows;
	struct ended_asked ended;
};

static void list_alive(struct vcpus *v, struct alive *alive)
{
	alive->asked = true;
	alive->knows = host__initial_pid_namespace() && has_lister(v) &&
		       !read_lister(v->lister, &alive->entries, &alive->nr);
}

static bool is_alive(struct vcpus *v, const struct vm_ref *vm, struct alive *alive)
{
	if (has_vcpu(v, vm))
		return true;
	if (vcpus__process_ended(v, &alive->ended, vm->tgid))
		return false;
	if (!alive->asked)
		list_alive(v, alive);
	return !alive->knows || is_listed(vm, alive->entries, alive->nr);
}

size_t vcpus__tell_alive(struct vcpus *v, void (*tell)(void *ctx, const struct vm_ref *vm),
			 void *ctx)
{
	struct alive alive = {};

	for (struct vm_ref *vm = v->vms; vm; vm = vm->next)
		/* The process itself is no VM, and has the id of its first one. */
		if (vm->chosen && vm->kvm && is_alive(v, vm, &alive))
			tell(ctx, vm);
	free(alive.entries);
	return v->nr_known;
}

static size_t count_unused(const struct vcpus *v)
{
	size_t unused = 0;

	for (const struct vm_ref *vm = v->vms; vm; vm = vm->next)
		unused += !vm->users;
	return unused;
}

/* Nobody refers to it, and it is gone: its process is, or that has others since. */
static bool is_past(struct vcpus *v, const struct vm_ref *vm, struct alive *alive)
{
	if (vm->users)
		return false;
	return vcpus__process_ended(v, &alive->ended, vm->tgid) ||
	       (alive->knows && has_later(v, vm) && !is_listed(vm, alive->entries, alive->nr));
}

/* Looking takes time, and so waits until there are many. */
static void forget_vms(struct vcpus *v)
{
	enum { LEAST_UNUSED = 64 };
	struct vm_ref **at = &v->vms;
	struct alive alive = {};

	if (v->forget_from < LEAST_UNUSED)
		v->forget_from = LEAST_UNUSED;
	if (count_unused(v) < v->forget_from)
		return;
	list_alive(v, &alive);
	while (*at) {
		struct vm_ref *vm = *at;

		if (!is_past(v, vm, &alive)) {
			at = &vm->next;
			continue;
		}
		*at = vm->next;
		free_vm(vm);
	}
	free(alive.entries);
	v->forget_from = 2 * count_unused(v);
}

void vcpus__release_ended(struct vcpus *v)
{
	for (size_t slot = 1; v->any_ended && slot < v->nr_slots; slot++)
		if (v->refs[slot].known && v->refs[slot].ended)
			release(v, slot);
	v->any_ended = false;
	forget_vms(v);
}

bool vcpus__is_crowded(const struct vcpus *v)
{
	return v->nr_known > v->nr_slots / 2;
}

bool vcpus__is_full(const struct vcpus *v)
{
	return v->nr_known == v->nr_slots - 1;
}

const struct vm_ref *vcpus__get_vm(const struct vm_ref *vm)
{
	if (vm)
		((struct vm_ref *)vm)->users++;
	return vm;
}

void vcpus__put_vm(const struct vm_ref *vm)
{
	if (vm)
		((struct vm_ref *)vm)->users--;
}

void vcpu_ref__row(const struct vcpu_ref *ref, uint64_t ts_ns, struct row *row)
{
	row->ts_ns = ts_ns;
	row->vm = ref->vm->label;
	row->vm_id = ref->vm->id;
	row->vm_nr = ref->vm->nr;
	row->pid = ref->info.tgid;
	row->tid = ref->info.tid;
	row->vcpu = ref->info.vcpu_id;
}

void vm_ref__row(const struct vm_ref *vm, uint64_t ts_ns, struct row *row)
{
	row->ts_ns = ts_ns;
	row->vm = vm ? vm->label : NULL;
	row->vm_id = vm ? vm->id : NULL;
	row->vm_nr = vm ? vm->nr : 0;
	row->pid = vm ? vm->tgid : UINT32_MAX;
	row->tid = UINT32_MAX;
	row->vcpu = UINT32_MAX;
}
