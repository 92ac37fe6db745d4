// SPDX-License-Identifier: GPL-2.0-only
#include "attach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../compat/picked_types.h"
#include "../compat/probes.h"
#include "broker.h"
#include "entry.h"
#include "events.h"
#include "iter.h"
#include "limits.h"
#include "log.h"
#include "histogram.h"
#include "map.h"
#include "monitor.h"
#include "samples.h"
#include "vcpus.h"

const char *need_state__word(const struct need_state *need)
{
	if (!need->hook)
		return "missing";
	/* Another program for the same hook is no other hook. */
	if (need->hook->kind == need->first->kind && need->hook->target == need->first->target)
		return "attached";
	return "replaced";
}

bool attach__has(const struct attachment *at, const char *need)
{
	for (size_t i = 0; i < at->nr_needs; i++)
		if (!strcmp(at->needs[i].first->need, need))
			return at->needs[i].hook;
	return false;
}

/* The first reason is the one that counts: it is about the preferred hook. */
static void set_why(struct need_state *need, const struct hook *hook, const char *cause)
{
	int len;

	if (need->why[0])
		return;
	len = snprintf(need->why, sizeof(need->why), "%s %s: ", hook_kind__name(hook->kind),
		       hook->target);
	need->cause_at = len;
	snprintf(need->why + len, sizeof(need->why) - len, "%s", cause);
}

static const char *refusal_text(const struct hook *hook, int err)
{
	switch (-err) {
	case EPERM:
	case EACCES:
		if (limits__is_shortage(err))
			return limits__reason(err);
		if (host__sees_module_types())
			return "this kernel refuses it (EPERM)";
		if ((hook->kind == HOOK_FENTRY || hook->kind == HOOK_TP_BTF) &&
		    !host__knows_target(hook->target))
			return "the kernel shows the types of its modules with CAP_SYS_ADMIN only: "
			       "run it as root";
		return "not permitted: run it as root";
	case ENOENT:
	case ESRCH:
		return "this kernel does not have it";
	case EOPNOTSUPP:
		return "this kernel does not support it";
	case EINVAL:
		return "this kernel rejects it (EINVAL)";
	default:
		return limits__reason(err);
	}
}

static void refuse(struct need_state *need, const struct hook *hook, int err)
{
	set_why(need, hook, refusal_text(hook, err));
}

/*
 * The host refused the hook of a need. When it refuses that kind for whatever
 * it is, all of its hooks are: each more to try costs another object.
 */
static void refuse_for(struct attachment *at, struct need_state *need, int err)
{
	const struct hook *hooks = at->monitor->hooks;
	enum hook_kind kind = need->hook->kind;

	refuse(need, need->hook, err);
	at->refused[need->hook - hooks] = true;
	if (at->probed[kind])
		return;
	at->probed[kind] = true;
	err = probe__hook_kind(kind);
	if (!err)
		return;
	for (size_t i = 0; hooks[i].need; i++)
		at->refused[i] |= hooks[i].kind == kind;
	for (size_t i = 0; i < at->nr_needs; i++)
		if (at->needs[i].hook && at->needs[i].hook->kind == kind)
			refuse(&at->needs[i], at->needs[i].hook, err);
}

static bool is_refused(const struct attachment *at, const struct hook *hook)
{
	return at->refused[hook - at->monitor->hooks];
}

/* NULL when the hook may be tried, else why not. */
static const char *not_applicable(const struct hook *hook)
{
	static char text[WHY_LEN];

	if (hook->vendors && !host__vendors()) {
		snprintf(text, sizeof(text),
			 "this host's KVM vendor module is %s; only kvm_intel and kvm_amd have "
			 "this event",
			 host__vendor_name());
		return text;
	}
	if (hook->vendor_types && !host__has_vendor_types()) {
		snprintf(text, sizeof(text),
			 "it needs the BTF of %s, which this kernel does not have",
			 host__vendor_name());
		return text;
	}
	if (hook->kind == HOOK_TRACEPOINT && !host__tracefs())
		return "tracefs is not mounted (mount -t tracefs tracefs /sys/kernel/tracing)";
	return NULL;
}

/* Chooses one alternative per need; at->needs[].hook is NULL where none is left. */
static void choose_hooks(struct attachment *at)
{
	const struct hook *hooks = at->monitor->hooks;
	struct need_state *need = NULL;

	at->nr_needs = 0;
	for (size_t i = 0; hooks && hooks[i].need; i++) {
		const char *why;

		if (!host__is_one_of(hooks[i].archs))
			continue;
		if (hooks[i].applies && !hooks[i].applies())
			continue;
		if (hooks[i].asked && !hooks[i].asked(at))
			continue;
		if (!need || strcmp(need->first->need, hooks[i].need)) {
			need = &at->needs[at->nr_needs++];
			need->first = &hooks[i];
			need->hook = NULL;
		}
		if (need->hook || at->refused[i])
			continue;
		if (at->env->kinds && !(at->env->kinds & (1U << hooks[i].kind)))
			continue;
		/* The other vendor's function is no alternative here, nor news to anybody. */
		if (hooks[i].vendors && host__vendors() && !(hooks[i].vendors & host__vendors()))
			continue;
		why = not_applicable(&hooks[i]);
		if (why)
			set_why(need, &hooks[i], why);
		else
			need->hook = &hooks[i];
	}
}

/* The maps that are not the object's own. */
static int share(struct attachment *at, struct bpf_object *obj, bool at_entry)
{
	struct attach_env *env = at->env;
	int err = vcpus__share(env->vcpus, obj);

	if (err || !at_entry)
		return err;
	if (!env->entry)
		env->entry = entry__open();
	return env->entry ? entry__share(env->entry, obj, &at->entry_place) : -errno;
}

/* only: the one program to load, or NULL for those of the chosen hooks. */
static struct skeleton *open_skeleton(struct attachment *at, const struct hook *only)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts,
		    .btf_custom_path = at->env->broker ? NULL : picked_types__path());
	struct skeleton *skel = at->monitor->open_skeleton(&opts);
	bool at_entry = false;
	int err = 0;

	if (!skel)
		return NULL;
	for (size_t i = 0; !err && i < at->nr_needs; i++) {
		const struct hook *hook = at->needs[i].hook;

		if (!hook || (only && hook != only))
			continue;
		err = bpf_program__set_autoload(skeleton__prog(skel, hook->prog), true);
		at_entry |= hook->at_entry;
	}
	map__set_const(skel->obj, "no_events",
		       !at->shows_events && !events__are_kept(at->env, at->monitor));
	if (!err && !at->env->broker)
		err = share(at, skel->obj, at_entry);
	if (!err)
		err = events__prepare(skel->obj, at->env->ring_mib);
	if (!err && at->monitor->records)
		err = records__prepare(&at->records, at->monitor->records, skel,
				       vcpus__max(at->env->vcpus) + 1);
	if (!err && at->monitor->prepare)
		err = at->monitor->prepare(at, skel);
	if (!err)
		return skel;
	skeleton__destroy(skel);
	errno = -err;
	return NULL;
}

/*
 * Loading the chosen programs together failed: tries each alone, and marks
 * those that the kernel refuses. 0 when at least one was found.
 */
static int find_refused(struct attachment *at, int load_err)
{
	int found = 0;

	for (size_t i = 0; i < at->nr_needs; i++) {
		const struct hook *hook = at->needs[i].hook;
		struct skeleton *skel;
		int err;

		if (!hook || is_refused(at, hook))
			continue;
		skel = open_skeleton(at, hook);
		err = skel ? skeleton__load(skel) : -errno;
		skeleton__destroy(skel);
		if (!err)
			continue;
		if (limits__is_shortage(err))
			return err;
		refuse_for(at, &at->needs[i], err);
		found++;
	}
	return found ? 0 : load_err;
}

static struct bpf_link *attach_program(const struct bpf_program *prog, const struct hook *hook)
{
	LIBBPF_OPTS(bpf_kprobe_multi_opts, opts, .syms = (const char **)&hook->target, .cnt = 1);

	if (bpf_program__expected_attach_type(prog) != BPF_TRACE_KPROBE_MULTI)
		return bpf_program__attach(prog);
	/* By name: libbpf would look through all of the kernel's symbols for a pattern. */
	opts.retprobe = !strncmp(bpf_program__section_name(prog), "?kret", 5) ||
			!strncmp(bpf_program__section_name(prog), "kret", 4);
	return bpf_program__attach_kprobe_multi_opts(prog, NULL, &opts);
}

static int attach_hook(struct attachment *at, const struct bpf_program *prog,
		       const struct hook *hook, struct bpf_link **link)
{
	if (hook->at_entry)
		return entry__attach(at->env->entry, prog, at->entry_place);
	if (!*link)
		*link = attach_program(prog, hook);
	if (!*link)
		return -errno;
	/* An iterator runs once, when the hooks before it in the table are attached. */
	return hook->kind == HOOK_ITER ? iter__read(bpf_link__fd(*link), NULL, NULL) : 0;
}

/* They run when they are read. One that is refused is so again when all are attached. */
static void attach_iterators(struct attachment *at)
{
	for (size_t i = 0; i < at->nr_needs; i++) {
		const struct hook *hook = at->needs[i].hook;

		if (hook && hook->kind == HOOK_ITER)
			at->links[i] = attach_program(skeleton__prog(at->skel, hook->prog), hook);
	}
}

/* Attaches what was loaded; marks those that are refused. -EAGAIN then. */
static int attach_chosen(struct attachment *at)
{
	int err = 0;

	for (size_t i = 0; i < at->nr_needs; i++) {
		struct need_state *need = &at->needs[i];
		int refused;

		if (!need->hook || is_refused(at, need->hook))
			continue;
		/* It would be for nothing. */
		if (err && need->hook->kind == HOOK_ITER)
			continue;
		refused = attach_hook(at, skeleton__prog(at->skel, need->hook->prog), need->hook,
				      &at->links[i]);
		if (!refused)
			continue;
		if (limits__is_shortage(refused))
			return refused;
		refuse_for(at, need, refused);
		err = -EAGAIN;
	}
	return err;
}

/* Words of the programs' that are written while they run. */
static int map_words(struct attachment *at)
{
	const struct {
		const char *name;
		uint64_t **word;
	} words[] = {
		{ "epoch", &at->epoch },
		{ "go_ns", &at->go },
		{ "events_until_ns", &at->events_until },
	};
	const struct bpf_object *obj = skeleton__object(at->skel);

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		struct bpf_map *map;
		long place = map__find_variable(obj, ".data", words[i].name, &map);

		if (place < 0)
			continue;
		if (!at->data)
			at->data = map__mmap(map, &at->data_size);
		if (!at->data)
			return -errno;
		*words[i].word = (uint64_t *)(at->data + place);
	}
	return 0;
}

/* Extremes of what ends from now on are those of the next interval: bpf/stat.bpf.h. */
static void next_epoch(struct attachment *at)
{
	if (at->epoch)
		at->ended_epoch = __atomic_fetch_add(at->epoch, EPOCH_STEP, __ATOMIC_SEQ_CST);
}

void attach__begin(struct attachment *at, uint64_t now_ns)
{
	const struct monitor *m = at->monitor;

	at->since_ns = at->before_ns = at->now_ns = now_ns;
	at->until_ns = UINT64_MAX;
	at->begins = true;
	if (at->go)
		__atomic_store_n(at->go, now_ns, __ATOMIC_SEQ_CST);
	if (m->records)
		records__cut(at);
	next_epoch(at);
	if (m->records)
		records__look(at);
	at->begins = false;
}

void attach__forget(struct attachment *at)
{
	at->begins = true;
	if (at->monitor->look)
		at->monitor->look(at);
	at->begins = false;
}

void attach__look(struct attachment *at, uint64_t now_ns)
{
	const struct monitor *m = at->monitor;

	at->before_ns = at->now_ns;
	at->now_ns = now_ns;
	next_epoch(at);
	if (m->look)
		m->look(at);
	if (m->records) {
		records__look(at);
		records__retire_ended(at);
	}
	if (m->looked)
		m->looked(at);
	losses__learn(&at->losses, at->env->vcpus);
}

void attach__end(struct attachment *at, uint64_t now_ns)
{
	at->is_last = true;
	at->until_ns = now_ns;
	if (at->events_until)
		__atomic_store_n(at->events_until, now_ns, __ATOMIC_SEQ_CST);
	attach__look(at, now_ns);
}

/* Everything but the hooks. */
static int start(struct attachment *at)
{
	const struct monitor *m = at->monitor;
	int err = at->skel ? map_words(at) : 0;

	at->samples = samples__new(m->columns, m->row_size, at->env->nr_sinks, KEEP_ENDED_VMS);
	if (!err && !at->samples)
		err = -ENOMEM;
	if (!err && at->skel)
		err = losses__open(&at->losses, skeleton__object(at->skel));
	if (!err && at->skel)
		err = events__open(at);
	if (!err && m->records)
		err = records__open(&at->records, at->skel, m->row_size);
	if (!err && m->start)
		err = m->start(at);
	return err;
}

/* Those of free indices; nothing else is in a queue. */
static int fill_queues(const struct attachment *at)
{
	struct bpf_map *map;
	int err = 0;

	bpf_object__for_each_map(map, skeleton__object(at->skel))
	{
		if (!err && bpf_map__type(map) == BPF_MAP_TYPE_QUEUE &&
		    !vcpus__has_map(at->env->vcpus, map))
			err = map__fill_queue(map, at->first_free ?: 1);
	}
	return err;
}

/* One attempt with the alternatives that are left. -EAGAIN: one more was refused. */
static int try_load(struct attachment *at)
{
	bool worth = !at->monitor->hooks;
	int err;

	if (!at->state)
		at->state = calloc(1, at->monitor->state_size + 1);
	if (!at->state)
		return -ENOMEM;
	choose_hooks(at);
	if (!host__is_one_of(at->monitor->archs)) {
		say("%s: this monitor does not support %s", at->monitor->name, host__arch_name());
		return -EOPNOTSUPP;
	}
	for (size_t i = 0; i < at->nr_needs; i++)
		worth |= at->needs[i].hook && at->needs[i].first->primary;
	if (!worth)
		return -EOPNOTSUPP;
	if (!at->monitor->open_skeleton)
		return 0;
	err = limits__check_memory();
	if (err)
		return err;
	at->skel = open_skeleton(at, NULL);
	if (!at->skel)
		return -errno;
	err = skeleton__load(at->skel);
	if (err) {
		skeleton__destroy(at->skel);
		at->skel = NULL;
		/* Others would be refused for the same reason, which is not theirs. */
		if (limits__is_shortage(err))
			return err;
		err = find_refused(at, err);
		return err ? err : -EAGAIN;
	}
	attach_iterators(at);
	return fill_queues(at);
}

void attach__init(struct attachment *at, struct attach_env *env, const struct chosen *chosen)
{
	memset(at, 0, sizeof(*at));
	at->env = env;
	at->monitor = chosen->monitor;
	at->config = chosen->config;
	at->shows_events = events__are_shown(env, at->monitor);
	at->since_ns = UINT64_MAX;
	for (size_t i = 0; i < MAX_NEEDS; i++)
		at->progs[i] = at->link_fds[i] = -1;
}

/* Until nothing more is refused. */
int attach__load_hooks(struct attachment *at)
{
	int err;

	do {
		err = try_load(at);
	} while (err == -EAGAIN);
	for (size_t i = 0; i < at->nr_needs; i++)
		if (at->needs[i].hook != at->needs[i].first && !at->needs[i].why[0])
			snprintf(at->needs[i].why, WHY_LEN, "%s is not among --hooks",
				 hook_kind__name(at->needs[i].first->kind));
	if (err)
		attach__unload_hooks(at);
	return err;
}

int attach__attach_hooks(struct attachment *at)
{
	int err = attach_chosen(at);

	/* What is refused only now takes another object. */
	if (err)
		attach__unload_hooks(at);
	return err;
}

/* The module that a hook goes with, as 1 << enum host_module; 0: none. */
static unsigned int module_of(const struct hook *hook)
{
	/* The kernel counts the users of what all others are attached to. */
	if (hook->kind != HOOK_KPROBE || hook->at_entry || !strncmp(hook->target, "__x64_sys_", 10))
		return 0;
	if (hook->vendors)
		return 1U << (hook->vendors & VENDOR_VMX ? MODULE_KVM_INTEL : MODULE_KVM_AMD);
	return 1U << MODULE_KVM;
}

static bool goes_with(const struct need_state *need, unsigned int modules)
{
	return need->hook && module_of(need->hook) & modules;
}

size_t attach__count_in(const struct attachment *at, unsigned int modules)
{
	size_t nr = 0;

	for (size_t i = 0; i < at->nr_needs; i++)
		nr += goes_with(&at->needs[i], modules);
	return nr;
}

void attach__reattach_hooks(struct attachment *at, unsigned int modules)
{
	for (size_t i = 0; i < at->nr_needs; i++) {
		struct need_state *need = &at->needs[i];
		int err;

		if (!goes_with(need, modules))
			continue;
		at->gone[i] = at->links[i];
		at->links[i] = NULL;
		err = attach_hook(at, skeleton__prog(at->skel, need->hook->prog), need->hook,
				  &at->links[i]);
		if (!err)
			continue;
		need->why[0] = '\0';
		refuse(need, need->hook, err);
		need->hook = NULL;
	}
}

void attach__drop_gone(struct attachment *at)
{
	for (size_t i = 0; i < MAX_NEEDS; i++) {
		bpf_link__destroy(at->gone[i]);
		at->gone[i] = NULL;
	}
}

void attach__detach_hooks(struct attachment *at)
{
	/* Backwards: tables list first what later hooks lean on. */
	for (size_t i = at->nr_needs; i-- > 0;) {
		const struct hook *hook = at->needs[i].hook;

		if (hook && hook->at_entry)
			entry__detach(at->env->entry, at->entry_place);
		bpf_link__destroy(at->links[i]);
		at->links[i] = NULL;
	}
}

void attach__unload_hooks(struct attachment *at)
{
	attach__detach_hooks(at);
	skeleton__destroy(at->skel);
	free(at->state);
	at->skel = NULL;
	at->state = NULL;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* What the needs are met by: descriptors that are handed over take the place of those before. */
static void take_hooks(struct attachment *at, struct handed *handed)
{
	at->nr_needs = handed->nr_needs;
	memcpy(at->needs, handed->needs, sizeof(at->needs));
	for (size_t i = 0; i < at->nr_needs; i++) {
		int prog = handed__take(handed, FDS_PROGS + i);
		int link = handed__take(handed, FDS_LINKS + i);

		if (prog >= 0) {
			close_fd(&at->progs[i]);
			at->progs[i] = prog;
		}
		if (link >= 0) {
			close_fd(&at->link_fds[i]);
			at->link_fds[i] = link;
		}
	}
	if (handed->fds[FDS_OTHER] >= 0 && !at->env->entry_prog)
		at->env->entry_prog = handed__take(handed, FDS_OTHER);
}

/* The hooks are the broker's work, what they write to is read here. */
static int load(struct attachment *at, bool again)
{
	struct handed handed;
	int err = broker__load(at->env->broker, at->monitor, again, &handed);

	take_hooks(at, &handed);
	if (!err)
		err = limits__check_memory();
	if (!err) {
		at->state = calloc(1, at->monitor->state_size + 1);
		err = at->state ? 0 : -ENOMEM;
	}
	if (!err && at->monitor->open_skeleton) {
		at->skel = open_skeleton(at, NULL);
		err = at->skel ? 0 : -errno;
	}
	if (!err && at->skel)
		err = skeleton__take_maps(at->skel, &handed.fds[FDS_MAPS], MAX_MAPS);
	if (!err)
		err = start(at);
	handed__close(&handed);
	return err;
}

int attach__load(struct attach_env *env, const struct chosen *chosen, struct attachment *at)
{
	int err;

	attach__init(at, env, chosen);
	err = load(at, false);
	if (err)
		attach__close(at);
	return err;
}

static void end(struct attachment *at);

int attach__attach(struct attachment *at)
{
	struct handed handed;
	int err;

	for (;;) {
		err = broker__attach(at->env->broker, at->monitor, &handed);
		if (err != -EPIPE)
			take_hooks(at, &handed);
		handed__close(&handed);
		if (err != -EAGAIN)
			break;
		end(at);
		err = load(at, true);
		if (err)
			break;
	}
	if (err)
		attach__close(at);
	else if (at->monitor->attached)
		at->monitor->attached(at);
	return err;
}

size_t attach__again(struct attachment *at, unsigned int modules)
{
	struct handed handed;
	int err;

	if (!attach__count_in(at, modules))
		return 0;
	/* Whoever closes the last descriptor waits for the kernel: not this process. */
	for (size_t i = 0; i < at->nr_needs; i++)
		if (goes_with(&at->needs[i], modules))
			close_fd(&at->link_fds[i]);
	err = broker__reattach(at->env->broker, at->monitor, modules, &handed);
	if (!err)
		take_hooks(at, &handed);
	handed__close(&handed);
	return err ? 0 : attach__count_in(at, modules);
}

int attach__open_file(const struct attachment *at, struct tempfile *file)
{
	int err = broker__open_file(at->env->broker, at->monitor, file);

	/* The other process has said why. */
	if (err)
		log__fail();
	return err;
}

int attach__iterator(const struct attachment *at, const char *need)
{
	for (size_t i = 0; i < at->nr_needs; i++)
		if (!strcmp(at->needs[i].first->need, need))
			return at->link_fds[i];
	return -1;
}

bool attach__entry_info(const struct attach_env *env, struct bpf_prog_info *info)
{
	__u32 size = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return env->entry_prog > 0 && !bpf_obj_get_info_by_fd(env->entry_prog, info, &size);
}

/* What the kernel says of the program of a need; false when there is none. */
static bool program_info(const struct attachment *at, size_t need, struct bpf_prog_info *info)
{
	__u32 size = sizeof(*info);

	memset(info, 0, sizeof(*info));
	/* The kernel counts runs of the program that calls others. */
	return at->progs[need] >= 0 && !bpf_obj_get_info_by_fd(at->progs[need], info, &size);
}

void attach__read_runs(struct attachment *at)
{
	for (size_t i = 0; i < at->nr_needs; i++) {
		struct bpf_prog_info info;

		if (!program_info(at, i, &info))
			continue;
		at->needs[i].runs = info.run_cnt;
		at->needs[i].run_ns = info.run_time_ns;
	}
}

uint64_t attach__skipped(const struct attachment *at)
{
	uint64_t skipped = 0;

	for (size_t i = 0; i < at->nr_needs; i++) {
		struct bpf_prog_info info;

		if (!program_info(at, i, &info))
			continue;
		skipped += info.recursion_misses;
		if (at->env->verbose && info.recursion_misses)
			say("%s: the kernel skipped %s on %s %llu times", at->monitor->name,
			    info.name, at->needs[i].hook->target,
			    (unsigned long long)info.recursion_misses);
	}
	return skipped;
}

void attach__detach(struct attachment *at)
{
	/* Each process has a descriptor of a link: it is attached as long as one is open. */
	if (at->env->broker)
		broker__detach(at->env->broker, at->monitor);
	for (size_t i = at->nr_needs; i-- > 0;) {
		const struct hook *hook = at->needs[i].hook;

		/* An iterator does nothing by itself. */
		if (hook && hook->kind != HOOK_ITER)
			close_fd(&at->link_fds[i]);
	}
}

/* The hooks are the broker's still. */
static void end(struct attachment *at)
{
	if (at->samples) {
		if (at->monitor->stop)
			at->monitor->stop(at);
		records__close(&at->records, at->samples);
		events__close(at);
		losses__close(&at->losses);
		if (at->data)
			munmap(at->data, at->data_size);
	}
	histogram__free(at);
	for (size_t i = at->nr_needs; i-- > 0;) {
		close_fd(&at->link_fds[i]);
		close_fd(&at->progs[i]);
	}
	samples__free(at->samples);
	skeleton__destroy(at->skel);
	free(at->state);
	at->samples = NULL;
	at->state = NULL;
	at->skel = NULL;
	at->data = NULL;
	at->epoch = at->go = at->events_until = NULL;
}

void attach__close(struct attachment *at)
{
	if (!at->env)
		return;
	broker__unload(at->env->broker, at->monitor);
	end(at);
}
