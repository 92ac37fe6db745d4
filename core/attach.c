// SPDX-License-Identifier: GPL-2.0-only
#include "attach.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../compat/host.h"
#include "../compat/probes.h"
#include "entry.h"
#include "iter.h"
#include "log.h"
#include "map.h"
#include "monitor.h"
#include "run.h"
#include "vcpus.h"

static const char *const kind_names[NR_HOOK_KINDS] = {
	[HOOK_RAW_TP] = "raw_tp", [HOOK_TP_BTF] = "tp_btf",	    [HOOK_FENTRY] = "fentry",
	[HOOK_KPROBE] = "kprobe", [HOOK_TRACEPOINT] = "tracepoint", [HOOK_ITER] = "iter",
};

const char *hook_kind__name(enum hook_kind kind)
{
	return kind_names[kind];
}

int hook_kind__parse(const char *name)
{
	for (int i = 0; i < NR_HOOK_KINDS; i++)
		if (!strcmp(name, kind_names[i]))
			return i;
	return -1;
}

const char *hook_kind__names(void)
{
	return "raw_tp, tp_btf, fentry, kprobe, tracepoint, iter";
}

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

bool attach__loads(const struct bpf_object *obj, const char *name)
{
	const struct bpf_program *prog = bpf_object__find_program_by_name(obj, name);

	return prog && bpf_program__autoload(prog);
}

/* The first reason is the one that counts: it is about the preferred hook. */
__attribute__((format(printf, 2, 3))) static void set_why(struct need_state *need,
							  const char *format, ...)
{
	va_list args;

	if (need->why[0])
		return;
	va_start(args, format);
	vsnprintf(need->why, sizeof(need->why), format, args);
	va_end(args);
}

static const char *refusal_text(const struct hook *hook, int err)
{
	switch (-err) {
	case EPERM:
	case EACCES:
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
		return strerror(-err);
	}
}

static void refuse(struct need_state *need, const struct hook *hook, int err)
{
	set_why(need, "%s %s: %s", kind_names[hook->kind], hook->target, refusal_text(hook, err));
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
		snprintf(text, sizeof(text), "it needs the BTF of %s, which this kernel %s",
			 host__vendor_name(),
			 host__has_btf(host__vendor_name()) ? "shows with CAP_SYS_ADMIN only" :
							      "does not have");
		return text;
	}
	if (hook->kind == HOOK_TRACEPOINT && !host__tracefs())
		return "tracefs is not mounted (mount -t tracefs tracefs /sys/kernel/tracing)";
	return NULL;
}

/* Chooses one alternative per need; at->needs[].hook is NULL where none is left. */
static void choose_hooks(struct run *run, struct attachment *at)
{
	const struct hook *hooks = at->monitor->hooks;
	struct need_state *need = NULL;

	at->nr_needs = 0;
	for (size_t i = 0; hooks[i].need; i++) {
		const char *why;

		if (hooks[i].applies && !hooks[i].applies())
			continue;
		if (hooks[i].asked && !hooks[i].asked(run->opts))
			continue;
		if (!need || strcmp(need->first->need, hooks[i].need)) {
			need = &at->needs[at->nr_needs++];
			need->first = &hooks[i];
			need->hook = NULL;
		}
		if (need->hook || at->refused[i])
			continue;
		if (run->opts->hooks && !(run->opts->hooks & (1U << hooks[i].kind)))
			continue;
		/* The other vendor's function is no alternative here, nor news to anybody. */
		if (hooks[i].vendors && host__vendors() && !(hooks[i].vendors & host__vendors()))
			continue;
		why = not_applicable(&hooks[i]);
		if (why)
			set_why(need, "%s %s: %s", kind_names[hooks[i].kind], hooks[i].target, why);
		else
			need->hook = &hooks[i];
	}
}

/* The ring of single events: as large as was asked for, else as the host's CPUs suggest. */
static int size_ring(const struct run *run, struct bpf_object *obj)
{
	struct bpf_map *ring = bpf_object__find_map_by_name(obj, "events");

	return ring ? bpf_map__set_max_entries(ring, run__ring_mib(run) << 20) : 0;
}

static int share_entry(struct run *run, struct bpf_object *obj, struct attachment *at)
{
	if (!run->entry)
		run->entry = entry__open();
	return run->entry ? entry__share(run->entry, obj, &at->entry_place) : -errno;
}

/* only: the one program to load, or NULL for those of the chosen hooks. */
static struct bpf_object *open_object(struct run *run, struct attachment *at,
				      const struct hook *only)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = at->monitor->name,
		    .btf_custom_path = host__btf_path());
	bool at_entry = false;
	struct bpf_object *obj;
	const void *elf;
	size_t size;
	int err;

	elf = at->monitor->elf(&size);
	obj = bpf_object__open_mem(elf, size, &opts);
	if (!obj)
		return NULL;
	for (size_t i = 0; i < at->nr_needs; i++) {
		const struct hook *hook = at->needs[i].hook;
		struct bpf_program *prog;

		if (!hook || (only && hook != only))
			continue;
		prog = bpf_object__find_program_by_name(obj, hook->prog);
		if (!prog || bpf_program__set_autoload(prog, true)) {
			err = -ENOENT;
			goto cleanup;
		}
		at_entry |= hook->at_entry;
	}
	map__set_const(obj, "no_events", run->opts->summary);
	err = vcpus__share(run->vcpus, obj);
	if (!err && at_entry)
		err = share_entry(run, obj, at);
	if (!err)
		err = size_ring(run, obj);
	if (!err && at->monitor->prepare)
		err = at->monitor->prepare(run, obj);
	if (!err)
		return obj;
cleanup:
	bpf_object__close(obj);
	errno = -err;
	return NULL;
}

/*
 * Loading the chosen programs together failed: tries each alone, and marks
 * those that the kernel refuses. 0 when at least one was found.
 */
static int find_refused(struct run *run, struct attachment *at, int load_err)
{
	int found = 0;

	for (size_t i = 0; i < at->nr_needs; i++) {
		const struct hook *hook = at->needs[i].hook;
		struct bpf_object *obj;
		int err;

		if (!hook || is_refused(at, hook))
			continue;
		obj = open_object(run, at, hook);
		err = obj ? bpf_object__load(obj) : -errno;
		bpf_object__close(obj);
		if (!err)
			continue;
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
		return entry__attach(at->run->entry, prog, at->entry_place);
	*link = attach_program(prog, hook);
	if (!*link)
		return -errno;
	/* An iterator runs once, when the hooks before it in the table are attached. */
	return hook->kind == HOOK_ITER ? iter__read(*link, NULL, NULL) : 0;
}

/* Attaches what was loaded; marks those that are refused. -EAGAIN then. */
static int attach_chosen(struct attachment *at)
{
	int err = 0;

	for (size_t i = 0; i < at->nr_needs; i++) {
		struct need_state *need = &at->needs[i];
		struct bpf_program *prog;
		int refused;

		if (!need->hook || is_refused(at, need->hook))
			continue;
		/* It would be for nothing. */
		if (err && need->hook->kind == HOOK_ITER)
			continue;
		prog = bpf_object__find_program_by_name(at->obj, need->hook->prog);
		refused = attach_hook(at, prog, need->hook, &at->links[i]);
		if (!refused)
			continue;
		refuse_for(at, need, refused);
		err = -EAGAIN;
	}
	return err;
}

static int map_epoch(struct attachment *at)
{
	struct bpf_map *map;
	long offset = map__find_variable(at->obj, ".data", "epoch", &map);
	char *data;

	if (offset < 0)
		return 0;
	data = map__mmap(map, &at->data_size);
	if (!data)
		return -errno;
	at->data = data;
	at->epoch = (uint64_t *)(data + offset);
	return 0;
}

static int on_event(void *ctx, void *data, size_t size)
{
	struct attachment *at = ctx;
	const struct event *event = data;

	at->monitor->event(at->run, at, data, size);
	/* Negative: enough for now. */
	return event->ts_ns > at->read_until_ns ? -EAGAIN : 0;
}

static int open_events(struct attachment *at)
{
	int fd = map__fd(at->obj, "events");

	if (fd < 0 || !at->monitor->event || at->run->opts->summary)
		return 0;
	at->events = ring_buffer__new(fd, on_event, at, NULL);
	return at->events ? 0 : -errno;
}

void attach__read_events(struct attachment *at)
{
	if (!at->events)
		return;
	/* Where they come faster than they are shown, reading would not end by itself. */
	at->read_until_ns = clock__ns();
	run__begin(at->run, at->monitor, SCOPE_EVENT, at->monitor->event_view);
	ring_buffer__consume(at->events);
	output__end(at->run->out);
}

void attach__next_epoch(struct attachment *at)
{
	if (at->epoch)
		at->ended_epoch = __atomic_fetch_add(at->epoch, EPOCH_STEP, __ATOMIC_SEQ_CST);
}

/* One attempt with the alternatives that are left. -EAGAIN: one more was refused. */
static int try_load(struct run *run, struct attachment *at)
{
	bool worth = false;
	int err;

	choose_hooks(run, at);
	for (size_t i = 0; i < at->nr_needs; i++)
		worth |= at->needs[i].hook && at->needs[i].first->primary;
	if (!worth)
		return -EOPNOTSUPP;
	at->obj = open_object(run, at, NULL);
	if (!at->obj)
		return -errno;
	err = bpf_object__load(at->obj);
	if (err) {
		bpf_object__close(at->obj);
		at->obj = NULL;
		err = find_refused(run, at, err);
		return err ? err : -EAGAIN;
	}
	err = map_epoch(at);
	if (!err)
		err = open_events(at);
	if (!err)
		err = at->monitor->start(run, at);
	if (err)
		attach__close(run, at);
	return err;
}

/* Until nothing more is refused. */
static int load(struct attachment *at)
{
	int err;

	do {
		err = try_load(at->run, at);
	} while (err == -EAGAIN);
	for (size_t i = 0; i < at->nr_needs; i++)
		if (at->needs[i].hook != at->needs[i].first)
			set_why(&at->needs[i], "%s is not among --hooks",
				kind_names[at->needs[i].first->kind]);
	return err;
}

int attach__load(struct run *run, const struct monitor *m, struct attachment *at)
{
	memset(at, 0, sizeof(*at));
	at->monitor = m;
	at->run = run;
	return load(at);
}

int attach__attach(struct attachment *at)
{
	int err;

	/* What is refused only now takes another object. */
	while ((err = attach_chosen(at)) == -EAGAIN) {
		attach__close(at->run, at);
		err = load(at);
		if (err)
			return err;
	}
	if (err)
		attach__close(at->run, at);
	else if (at->monitor->attached)
		at->monitor->attached(at->run, at);
	return err;
}

/* What the kernel says of the program of a need; false when there is none. */
static bool program_info(const struct attachment *at, const struct need_state *need,
			 struct bpf_prog_info *info)
{
	__u32 size = sizeof(*info);
	struct bpf_program *prog;

	memset(info, 0, sizeof(*info));
	/* The kernel counts runs of the program that calls others. */
	if (!need->hook || need->hook->at_entry)
		return false;
	prog = bpf_object__find_program_by_name(at->obj, need->hook->prog);
	return !bpf_obj_get_info_by_fd(bpf_program__fd(prog), info, &size);
}

void attach__read_runs(struct attachment *at)
{
	for (size_t i = 0; i < at->nr_needs; i++) {
		struct bpf_prog_info info;

		if (!program_info(at, &at->needs[i], &info))
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

		if (!program_info(at, &at->needs[i], &info))
			continue;
		skipped += info.recursion_misses;
		if (at->run->opts->verbose && info.recursion_misses)
			say("%s: the kernel skipped %s on %s %llu times", at->monitor->name,
			    info.name, at->needs[i].hook->target,
			    (unsigned long long)info.recursion_misses);
	}
	return skipped;
}

void attach__detach(struct attachment *at)
{
	/* Backwards: tables list first what later hooks lean on. */
	for (size_t i = at->nr_needs; i-- > 0;) {
		const struct hook *hook = at->needs[i].hook;

		if (hook && hook->at_entry)
			entry__detach(at->run->entry, at->entry_place);
		bpf_link__destroy(at->links[i]);
		at->links[i] = NULL;
	}
}

void attach__close(struct run *run, struct attachment *at)
{
	if (!at->obj)
		return;
	attach__detach(at);
	at->monitor->stop(run, at);
	ring_buffer__free(at->events);
	at->events = NULL;
	if (at->data)
		munmap(at->data, at->data_size);
	bpf_object__close(at->obj);
	at->obj = NULL;
	at->data = NULL;
	at->epoch = NULL;
}
