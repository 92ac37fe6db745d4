// SPDX-License-Identifier: GPL-2.0-only
#include "hooks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../compat/other_kernel.h"
#include "../compat/picked_types.h"
#include "../compat/probes.h"
#include "../compat/symbols.h"
#include "events.h"
#include "iter.h"
#include "limits.h"
#include "log.h"
#include "map.h"
#include "monitor.h"
#include "tracepoint.h"
#include "vcpus.h"

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
			return "the kernel shows the types of its modules only with CAP_SYS_ADMIN: "
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

/* An event is the same for these: one that is not there needs no second attempt. */
static bool is_of_event(const struct hook *hook)
{
	return hook->kind == HOOK_TRACEPOINT || hook->kind == HOOK_RAW_TP ||
	       hook->kind == HOOK_TP_BTF;
}

static void refuse_same_event(struct attachment *at, const struct hook *gone)
{
	const struct hook *hooks = at->monitor->hooks;

	for (size_t i = 0; hooks[i].need; i++)
		at->refused[i] |= is_of_event(&hooks[i]) && !strcmp(hooks[i].target, gone->target);
}

static void refuse(struct need_state *need, const struct hook *hook, int err)
{
	set_why(need, hook, refusal_text(hook, err));
}

/* What the host says to that kind of hook, whatever it is: 0, also where nothing is known yet. */
static int kind_error(const struct attach_env *env, enum hook_kind kind)
{
	if (kind == HOOK_KPROBE && !host__has_kprobes())
		return -ENOENT;
	return env->kind_errors[kind];
}

/* Asks it, once: each hook of that kind to be tried for nothing costs another object. */
static void learn_kind(struct attach_env *env, enum hook_kind kind)
{
	int err;

	if (env->kinds_asked & 1U << kind)
		return;
	err = probe__hook_kind(kind);
	if (limits__is_shortage(err))
		return;
	env->kinds_asked |= 1U << kind;
	env->kind_errors[kind] = err;
}

bool hook__is_each(const struct hook *hook)
{
	return hook->called_at == AT_EACH_EXIT || hook->called_at == AT_EACH_ENTRY;
}

/* The host refused the hook of a need. */
static void refuse_for(struct attachment *at, struct need_state *need, int err)
{
	const struct hook *hooks = at->monitor->hooks;
	enum hook_kind kind = need->hook->kind;

	at->refused[need->hook - hooks] = true;
	/* That it can't be called is no news: it is attached then. */
	if (hook__is_each(need->hook))
		return;
	/* Another program for the same event will do: no news, if only its arguments are others. */
	if (err != -EINVAL || kind != HOOK_RAW_TP || need->first->kind != HOOK_TRACEPOINT)
		refuse(need, need->hook, err);
	/* To a kernel without the BTF of modules tp_btf says the same of events that are there. */
	if (err == -ENOENT && is_of_event(need->hook) && kind != HOOK_TP_BTF)
		refuse_same_event(at, need->hook);
	learn_kind(at->env, kind);
}

static bool is_refused(const struct attachment *at, const struct hook *hook)
{
	return at->refused[hook - at->monitor->hooks];
}

/* NULL when the hook may be tried, else why not. */
static const char *not_applicable(const struct attach_env *env, const struct hook *hook)
{
	static char text[WHY_LEN];
	int err;

	if (hook->vendors && !host__vendors() && other_kernel__is_open())
		return "only kvm_intel and kvm_amd have it, and that kernel's KVM vendor module is "
		       "neither";
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
	if (hook->kind == HOOK_TRACEPOINT && !other_kernel__is_open() && !host__tracefs())
		return "tracefs is not mounted (mount -t tracefs tracefs /sys/kernel/tracing)";
	err = kind_error(env, hook->kind);
	return err ? refusal_text(hook, err) : NULL;
}

static bool is_allowed(const struct attachment *at, const struct hook *hook)
{
	return !is_refused(at, hook) && (!at->env->kinds || at->env->kinds & (1U << hook->kind));
}

/* The row is there: on this host, with what the user asks for. */
static bool is_there(const struct attachment *at, const struct hook *hook)
{
	return host__is_one_of(hook->archs) && !(hook->applies && !hook->applies()) &&
	       !(hook->asked && !hook->asked(at));
}

/*
 * Instead of a classic tracepoint the raw one that is among its alternatives, which costs less
 * than half: where the kernel does not preempt its programs, it misses nothing either.
 */
static const struct hook *cheaper(const struct attachment *at, const struct hook *hook)
{
	/* Classic events' records have the guest's RIP, which KVM reads for them: rows show it. */
	if (hook->kind != HOOK_TRACEPOINT || at->slower_ns || other_kernel__is_open())
		return hook;
	for (const struct hook *h = hook + 1; h->need && !strcmp(h->need, hook->need); h++)
		if (h->kind == HOOK_RAW_TP && !strcmp(h->target, hook->target) &&
		    is_allowed(at, h) && is_there(at, h) && !not_applicable(at->env, h))
			return probe__raw_tp_is_preempted() ? hook : h;
	return hook;
}

/* The hook is one of AT_EACH_*. */
static bool can_call(const struct attachment *at, const struct hook *hook)
{
	enum moment moment = hook__moment(hook);

	return entry__pays(&at->env->plan, hook->called_at) &&
	       (at->places[moment] || entry__has_place(at->env->entry, moment, at->monitor));
}

/* Chooses one alternative per need; at->needs[].hook is NULL where none is left. */
static void choose_hooks(struct attachment *at)
{
	const struct hook *hooks = at->monitor->hooks;
	struct need_state *need = NULL;

	at->nr_needs = 0;
	for (size_t i = 0; hooks && hooks[i].need; i++) {
		const struct hook *hook;
		const char *why;

		if (!is_there(at, &hooks[i]))
			continue;
		if (hook__is_each(&hooks[i]) && !can_call(at, &hooks[i]))
			continue;
		if (!need || strcmp(need->first->need, hooks[i].need)) {
			need = &at->needs[at->nr_needs++];
			need->first = &hooks[i];
			need->hook = NULL;
		}
		if (need->hook || !is_allowed(at, &hooks[i]))
			continue;
		/* The other vendor's function is no alternative here, nor news to anybody. */
		if (hooks[i].vendors && host__vendors() && !(hooks[i].vendors & host__vendors()))
			continue;
		hook = cheaper(at, &hooks[i]);
		why = not_applicable(at->env, hook);
		if (why)
			set_why(need, hook, why);
		else
			need->hook = hook;
	}
}

static bool is_called_at(const struct attachment *at, enum called_at moment)
{
	const struct hook *hooks = at->monitor->hooks;

	for (size_t i = 0; hooks && hooks[i].need; i++)
		if (hooks[i].called_at == moment && is_there(at, &hooks[i]) &&
		    is_allowed(at, &hooks[i]) && !not_applicable(at->env, &hooks[i]))
			return true;
	return false;
}

void hooks__plan(struct attach_env *env, const struct attachment *all, size_t nr)
{
	memset(&env->plan, 0, sizeof(env->plan));
	for (enum called_at at = 0; at < NR_CALLED_AT; at++)
		for (size_t i = 0; i < nr; i++) {
			bool again = false;

			/* One that is there twice has one place. */
			for (size_t j = 0; j < i; j++)
				again |= all[j].monitor == all[i].monitor &&
					 is_called_at(&all[j], at);
			env->plan.called[at] += !again && is_called_at(&all[i], at);
		}
}

enum moment hook__moment(const struct hook *hook)
{
	switch (hook->called_at) {
	case AT_ENTRY:
		return MOMENT_ENTRY;
	case AT_RUN:
		return hook->kind == HOOK_TRACEPOINT ? MOMENT_RUN_CLASSIC : MOMENT_RUN;
	case AT_EACH_EXIT:
		return MOMENT_EACH_EXIT;
	case AT_EACH_ENTRY:
		return MOMENT_EACH_ENTRY;
	case NOT_CALLED:
	case NR_CALLED_AT:
		break;
	}
	return NR_MOMENTS;
}

/*
 * The hook's program is called. -EAGAIN: it can't be, choose again. Whoever may load it may not
 * know the functions of another program, which takes CAP_SYS_ADMIN.
 */
static int share_call(struct attachment *at, struct skeleton *skel, const struct hook *hook)
{
	enum moment moment = hook__moment(hook);
	struct attach_env *env = at->env;
	int err = 0;

	if (!env->entry)
		env->entry = entry__open(env->vcpus, &env->plan);
	if (!env->entry)
		err = -errno;
	if (!err)
		err = entry__share(env->entry, moment, skel->obj, skeleton__prog(skel, hook->prog),
				   at->monitor, &at->places[moment]);
	if (!err || !hook__is_each(hook) || limits__is_shortage(err))
		return err;
	at->refused[hook - at->monitor->hooks] = true;
	return -EAGAIN;
}

/* only: the one program to load, or NULL for those of the chosen hooks. */
struct skeleton *hooks__open_skeleton(struct attachment *at, const struct hook *only)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts,
		    .btf_custom_path = at->env->broker ? NULL : picked_types__path());
	struct skeleton *skel = at->monitor->open_skeleton(&opts);
	bool loads = !at->env->broker;
	int err = 0;

	if (!skel)
		return NULL;
	for (size_t i = 0; !err && i < at->nr_needs; i++) {
		const struct hook *hook = at->needs[i].hook;

		if (!hook || (only && hook != only))
			continue;
		err = bpf_program__set_autoload(skeleton__prog(skel, hook->prog), true);
		if (!err && loads && hook->called_at)
			err = share_call(at, skel, hook);
	}
	map__set_const(skel->obj, "no_events",
		       !at->shows_events && !events__are_kept(at->env, at->monitor));
	map__set_const64(skel->obj, "slower_than_ns", at->slower_ns);
	/* The constant is the broker's, who loads. */
	map__set_const(skel->obj, "casts", picked_types__can_cast());
	if (!err && loads)
		err = vcpus__share(at->env->vcpus, skel->obj);
	if (!err)
		err = events__prepare(at, skel->obj);
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

/* Free indices are in such a map, and nothing else is. */
static bool has_indices(const struct bpf_map *map)
{
	return bpf_map__type(map) == BPF_MAP_TYPE_STACK;
}

/* It is loaded only to see whether that works: without its tables, which take the most time. */
static void make_small(struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj)
	{
		enum bpf_map_type type = bpf_map__type(map);

		/* Those that are shared stay as they are: bpf_map__set_max_entries() refuses. */
		if (!bpf_map__is_internal(map) &&
		    (type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_HASH || has_indices(map)))
			bpf_map__set_max_entries(map, 1);
	}
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

		if (!hook || is_refused(at, hook) || kind_error(at->env, hook->kind))
			continue;
		skel = hooks__open_skeleton(at, hook);
		if (skel)
			make_small(skeleton__object(skel));
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

static bool is_kretprobe(const struct bpf_program *prog)
{
	const char *section = bpf_program__section_name(prog);

	return !strncmp(section + (section[0] == '?'), "kret", 4);
}

static struct bpf_link *attach_kprobe(const struct bpf_program *prog, const struct hook *hook)
{
	LIBBPF_OPTS(bpf_kprobe_opts, opts, .retprobe = is_kretprobe(prog),
		    .offset = symbols__address(hook->target));

	/* Without a name the offset is an address. */
	return opts.offset ? bpf_program__attach_kprobe_opts(prog, NULL, &opts) :
			     bpf_program__attach(prog);
}

static struct bpf_link *attach_program(const struct bpf_program *prog, const struct hook *hook)
{
	LIBBPF_OPTS(bpf_kprobe_multi_opts, opts, .retprobe = is_kretprobe(prog),
		    .syms = (const char **)&hook->target, .cnt = 1);

	/* By name: libbpf would look through all of the kernel's symbols for a pattern. */
	if (bpf_program__expected_attach_type(prog) == BPF_TRACE_KPROBE_MULTI)
		return bpf_program__attach_kprobe_multi_opts(prog, NULL, &opts);
	if (hook->kind == HOOK_TRACEPOINT)
		return tracepoint__attach(prog);
	return hook->kind == HOOK_KPROBE ? attach_kprobe(prog, hook) : bpf_program__attach(prog);
}

static int attach_hook(struct attachment *at, const struct bpf_program *prog,
		       const struct hook *hook, struct bpf_link **link)
{
	enum moment moment = hook__moment(hook);

	if (hook->called_at)
		return entry__attach(at->env->entry, moment, prog, at->places[moment]);
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

		if (!need->hook || is_refused(at, need->hook) ||
		    kind_error(at->env, need->hook->kind))
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

static int fill_stacks(const struct attachment *at)
{
	struct bpf_map *map;
	int err = 0;

	bpf_object__for_each_map(map, skeleton__object(at->skel))
	{
		if (!err && has_indices(map) && !vcpus__has_map(at->env->vcpus, map))
			err = map__fill(map);
	}
	return err;
}

/* What is attached makes the monitor worth running. */
static bool is_worth(const struct attachment *at)
{
	bool worth = !at->monitor->hooks;

	for (size_t i = 0; i < at->nr_needs; i++)
		worth |= at->needs[i].hook && at->needs[i].first->primary;
	return worth;
}

/* Asks for each chosen hook; false: all are there. */
static bool refuse_foreseen(struct attachment *at, bool unknown[MAX_NEEDS])
{
	bool any = false;

	for (size_t i = 0; i < at->nr_needs; i++) {
		struct need_state *need = &at->needs[i];
		enum knowledge known;
		const char *why;

		if (!need->hook)
			continue;
		known = other_kernel__has(need->hook->kind, need->hook->target, &why);
		if (known == IS_THERE)
			continue;
		unknown[i] |= known == IS_NOT_KNOWN;
		set_why(need, need->hook, why);
		at->refused[need->hook - at->monitor->hooks] = true;
		any = true;
	}
	return any;
}

bool hooks__foresee(struct attachment *at)
{
	bool unknown[MAX_NEEDS] = {};

	do {
		choose_hooks(at);
	} while (refuse_foreseen(at, unknown));
	for (size_t i = 0; i < at->nr_needs; i++)
		at->needs[i].is_unknown = unknown[i] && !at->needs[i].hook;
	return is_worth(at);
}

/* One attempt with the alternatives that are left. -EAGAIN: one more was refused. */
static int try_load(struct attachment *at)
{
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
	if (!is_worth(at))
		return -EOPNOTSUPP;
	if (!at->monitor->open_skeleton)
		return 0;
	err = limits__check_memory();
	if (err)
		return err;
	at->skel = hooks__open_skeleton(at, NULL);
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
	return fill_stacks(at);
}

void hooks__init(struct attachment *at, struct attach_env *env, const struct chosen *chosen)
{
	memset(at, 0, sizeof(*at));
	at->env = env;
	at->chosen = chosen;
	at->monitor = chosen->monitor;
	at->config = chosen->config;
	at->shows_events = events__are_shown(env, chosen);
	at->slower_ns = chosen->slower_ns ?: env->slower_ns;
	at->since_ns = at->events_since_ns = UINT64_MAX;
	for (size_t i = 0; i < MAX_NEEDS; i++)
		at->progs[i] = at->link_fds[i] = at->caller_fds[i] = -1;
}

/* Until nothing more is refused. */
int hooks__load(struct attachment *at)
{
	int err;

	do {
		err = try_load(at);
	} while (err == -EAGAIN);
	for (size_t i = 0; i < at->nr_needs; i++)
		if (at->env->kinds && !(at->env->kinds & (1U << at->needs[i].first->kind)) &&
		    !at->needs[i].why[0])
			snprintf(at->needs[i].why, WHY_LEN, "--hooks leaves out %s",
				 hook_kind__name(at->needs[i].first->kind));
	if (err)
		hooks__unload(at);
	return err;
}

int hooks__attach(struct attachment *at)
{
	int err = attach_chosen(at);

	/* What is refused only now takes another object. */
	if (err)
		hooks__unload(at);
	return err;
}

/* The module that a hook goes with, as 1 << enum host_module; 0: none. */
static unsigned int module_of(const struct hook *hook)
{
	/* The kernel counts the users of what all others are attached to. */
	if (hook->kind != HOOK_KPROBE || hook->called_at ||
	    !strncmp(hook->target, "__x64_sys_", 10))
		return 0;
	if (hook->vendors)
		return 1U << (hook->vendors & VENDOR_VMX ? MODULE_KVM_INTEL : MODULE_KVM_AMD);
	return 1U << MODULE_KVM;
}

bool hooks__goes_with(const struct need_state *need, unsigned int modules)
{
	return need->hook && module_of(need->hook) & modules;
}

size_t hooks__count_in(const struct attachment *at, unsigned int modules)
{
	size_t nr = 0;

	for (size_t i = 0; i < at->nr_needs; i++)
		nr += hooks__goes_with(&at->needs[i], modules);
	return nr;
}

void hooks__reattach(struct attachment *at, unsigned int modules)
{
	for (size_t i = 0; i < at->nr_needs; i++) {
		struct need_state *need = &at->needs[i];
		int err;

		if (!hooks__goes_with(need, modules))
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

void hooks__drop_gone(struct attachment *at)
{
	for (size_t i = 0; i < MAX_NEEDS; i++) {
		bpf_link__destroy(at->gone[i]);
		at->gone[i] = NULL;
	}
}

void hooks__detach(struct attachment *at)
{
	/* Backwards: tables list first what later hooks lean on. */
	for (size_t i = at->nr_needs; i-- > 0;) {
		const struct hook *hook = at->needs[i].hook;
		enum moment moment = hook ? hook__moment(hook) : NR_MOMENTS;

		if (moment < NR_MOMENTS)
			entry__detach(at->env->entry, moment, at->places[moment]);
		bpf_link__destroy(at->links[i]);
		at->links[i] = NULL;
	}
}

void hooks__unload(struct attachment *at)
{
	hooks__detach(at);
	skeleton__destroy(at->skel);
	free(at->state);
	at->skel = NULL;
	at->state = NULL;
}
