// SPDX-License-Identifier: GPL-2.0-only
#include "summary.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <json-c/json.h>

#include "../compat/host.h"
#include "attach.h"
#include "broker.h"
#include "clock.h"
#include "grace.h"
#include "events.h"
#include "log.h"
#include "memory.h"
#include "monitor.h"
#include "report.h"
#include "sink.h"
#include "vcpus.h"

static struct json_object *hook_object(const char *monitor, const char *need, const char *hook,
				       const char *state, const char *why)
{
	struct json_object *obj = json_object_new_object();

	json_object_object_add(obj, "monitor", json_object_new_string(monitor));
	json_object_object_add(obj, "need", json_object_new_string(need));
	json_object_object_add(obj, "hook", json_object_new_string(hook));
	json_object_object_add(obj, "state", json_object_new_string(state));
	json_object_object_add(obj, "why", json_object_new_string(why));
	return obj;
}

static void add_runs(struct json_object *obj, uint64_t runs, uint64_t run_ns)
{
	json_object_object_add(obj, "runs", json_object_new_uint64(runs));
	json_object_object_add(obj, "run_ns", json_object_new_uint64(run_ns));
}

static struct json_object *need_object(const struct attachment *at, const struct need_state *need)
{
	const struct hook *hook = need->hook ? need->hook : need->first;
	char text[128];

	snprintf(text, sizeof(text), "%s/%s", hook_kind__name(hook->kind), hook->target);
	return hook_object(at->monitor->name, need->first->need, text, need_state__word(need),
			   need->why);
}

/* What every need of every monitor has; with_runs: and how often its program ran. */
static struct json_object *hooks_array(const struct summary *s, bool with_runs)
{
	struct json_object *hooks = json_object_new_array();

	for (size_t i = 0; i < s->attached->nr; i++)
		for (size_t j = 0; j < s->attached->list[i]->nr_needs; j++) {
			const struct need_state *need = &s->attached->list[i]->needs[j];
			struct json_object *obj = need_object(s->attached->list[i], need);

			if (with_runs && !(need->hook ? need->hook : need->first)->called_at)
				add_runs(obj, need->runs, need->run_ns);
			json_object_array_add(hooks, obj);
		}
	return hooks;
}

static void add_time(struct json_object *obj, const char *key, int64_t real_ns)
{
	char text[OUTPUT_TIME_LEN];

	output__write_time(text, real_ns);
	json_object_object_add(obj, key, json_object_new_string(text));
}

static struct json_object *host_object(void)
{
	struct json_object *host = json_object_new_object();
	struct utsname names;

	uname(&names);
	json_object_object_add(host, "hostname", json_object_new_string(names.nodename));
	json_object_object_add(host, "kernel", json_object_new_string(names.release));
	json_object_object_add(host, "vendor", json_object_new_string(host__vendor_name()));
	json_object_object_add(host, "cpus", json_object_new_int64(sysconf(_SC_NPROCESSORS_ONLN)));
	return host;
}

/* One moment by both clocks: what rows have as ts_ns, and the host's time. */
static struct json_object *clock_object(uint64_t mono_ns, int64_t real_ns)
{
	struct json_object *clock = json_object_new_object();

	json_object_object_add(clock, "mono_ns", json_object_new_uint64(mono_ns));
	json_object_object_add(clock, "real_ns", json_object_new_int64(real_ns));
	add_time(clock, "real_time", real_ns);
	return clock;
}

/* All members have a value: one without is one that there was no memory for. */
static void check_head(const struct json_object *obj)
{
	if (!obj)
		return;
	json_object_object_foreach(obj, key, value)
	{
		(void)key;
		if (!value)
			memory__is_short();
	}
}

struct json_object *summary__head(const struct about *about)
{
	struct json_object *obj = json_object_new_object(), *options = json_object_new_array();
	uint64_t now_ns = clock__ns();
	int64_t real_ns = now_ns + clock__real_offset_ns();

	for (char *const *option = about->options; *option; option++)
		json_object_array_add(options, json_object_new_string(*option));
	json_object_object_add(obj, "monitor", json_object_new_string("kvm_watcher"));
	json_object_object_add(obj, "scope", json_object_new_string("start"));
	json_object_object_add(obj, "schema", json_object_new_int(OUTPUT_SCHEMA));
	json_object_object_add(obj, "version", json_object_new_string(about->version));
	json_object_object_add(obj, "ts_ns", json_object_new_uint64(now_ns));
	add_time(obj, "time", real_ns);
	json_object_object_add(obj, "host", host_object());
	json_object_object_add(obj, "options", options);
	json_object_object_add(obj, "clock", clock_object(now_ns, real_ns));
	check_head(obj);
	return obj;
}

void summary__write_start(const struct summary *s, const struct about *about, uint64_t sinks)
{
	struct json_object *obj = summary__head(about);

	/* Of all sinks the same moment; a member keeps its place when it gets another value. */
	json_object_object_add(obj, "interval_ns", NULL);
	json_object_object_add(obj, "hooks", hooks_array(s, false));
	for (size_t i = 0; i < s->env->nr_sinks; i++) {
		uint64_t interval_ns = s->env->sinks[i].interval_ns;

		if (!s->env->sinks[i].out || !(sinks >> i & 1))
			continue;
		json_object_object_add(obj, "interval_ns",
				       interval_ns ? json_object_new_uint64(interval_ns) : NULL);
		output__object(s->env->sinks[i].out, json_object_get(obj));
	}
	json_object_put(obj);
}

static void add_text(struct json_object *obj, const char *key, const char *text)
{
	json_object_object_add(obj, key, text && *text ? json_object_new_string(text) : NULL);
}

static void write_vm(void *ctx, const struct vm_ref *vm)
{
	struct json_object *obj = json_object_new_object();
	struct sink *sink = ctx;

	json_object_object_add(obj, "monitor", json_object_new_string("kvm_watcher"));
	json_object_object_add(obj, "scope", json_object_new_string("vm"));
	json_object_object_add(obj, "ts_ns", json_object_new_uint64(vm->told_ns));
	add_time(obj, "time", vm->told_ns + clock__real_offset_ns());
	json_object_object_add(obj, "vm", json_object_new_string(vm->label));
	json_object_object_add(obj, "vm_id", json_object_new_string(vm->id));
	json_object_object_add(obj, "pid", json_object_new_uint64(vm->tgid));
	add_text(obj, "vmm", vm->vmm);
	add_text(obj, "vmm_version", vm->who.vmm_version);
	add_text(obj, "uuid", vm->who.uuid);
	add_text(obj, "libvirt_name", vm->who.libvirt_name);
	add_text(obj, "kube_namespace", vm->who.kube_namespace);
	add_text(obj, "kube_vmi", vm->who.kube_vmi);
	add_text(obj, "pod_uid", vm->who.pod_uid);
	add_text(obj, "cgroup", vm->who.cgroup);
	add_text(obj, "confidential", vm->confidential);
	output__object(sink->out, obj);
}

void summary__write_vms(const struct attach_env *env, struct sink *sink)
{
	if (env->vcpus)
		vcpus__tell_new(env->vcpus, &sink->told_vms, write_vm, sink);
}

/* The programs that call others. */
static const struct {
	const char *need, *hook, *whom;
} callers[NR_HEADS] = {
	[HEAD_ENTRY] = { "kvm_entry", "raw_tp/kvm_entry", "for all programs at entries" },
	[HEAD_RUN] = { "kvm_fpu", "raw_tp/kvm_fpu",
		       "for all programs that need to know each vCPU" },
	[HEAD_RUN_CLASSIC] = { "kvm_fpu", "tracepoint/kvm_fpu",
			       "for all programs that need to know each vCPU" },
	[HEAD_EXIT] = { "kvm_exit", "raw_tp/kvm_exit", "for all programs at exits" },
};

/* What the hooks that it calls cost together. */
static struct json_object *caller_object(const struct summary *s, enum head h)
{
	struct json_object *obj =
		hook_object("kvm_watcher", callers[h].need, callers[h].hook, "attached", "");

	add_runs(obj, s->entries[h].runs, s->entries[h].run_ns);
	return obj;
}

static uint64_t self_cpu_ns(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NSEC_PER_SEC +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

/* Takes what the kernel knows of programs that call others. Returns the runs that it skipped. */
static uint64_t read_entries(struct summary *s)
{
	struct bpf_prog_info info;
	uint64_t skipped = 0;

	for (enum head h = 0; h < NR_HEADS; h++) {
		if (!attach__entry_info(s->env, h, &info))
			continue;
		s->entries[h].attached = true;
		s->entries[h].runs = info.run_cnt;
		s->entries[h].run_ns = info.run_time_ns;
		skipped += info.recursion_misses;
	}
	return skipped;
}

/* Whoever found no room has none in the window either: that always counts. */
static bool lasts(enum lost what)
{
	return what == LOST_VCPUS_FULL || what == LOST_RECORDS_FULL || what == LOST_PAGES_FULL;
}

/* What a monitor has lost in the window. */
static void read_losses(const struct attachment *at, uint64_t lost[NR_LOST])
{
	uint64_t sums[NR_LOST] = {};

	losses__add(&at->losses, sums);
	sums[LOST_SKIPPED] += attach__skipped(at);
	sums[LOST_HOOKS_GONE] += at->nr_gone;
	for (int i = 0; i < NR_LOST; i++)
		lost[i] = sums[i] - at->losses.early[i];
}

/* What found no room until the hooks were detached. */
static void settle(struct losses *losses)
{
	uint64_t sums[NR_LOST] = {};

	losses__add(losses, sums);
	for (int i = 0; i < NR_LOST; i++)
		if (lasts(i) || i == LOST_EVENTS)
			losses->lost[i] = sums[i] - losses->early[i];
}

void summary__add(struct attachment *at)
{
	uint64_t *early = at->losses.early;

	memset(early, 0, sizeof(at->losses.early));
	read_losses(at, early);
	for (int what = 0; what < NR_LOST; what++)
		if (lasts(what))
			early[what] = 0;
}

void summary__remove(struct summary *s, const struct attachment *at)
{
	uint64_t lost[NR_LOST];

	read_losses(at, lost);
	for (int what = 0; what < NR_LOST; what++)
		s->lost_before[what] += lost[what];
}

void summary__losses(const struct summary *s, uint64_t lost[NR_LOST])
{
	memcpy(lost, s->lost_before, sizeof(s->lost_before));
	for (size_t i = 0; i < s->attached->nr; i++) {
		uint64_t of[NR_LOST];

		read_losses(s->attached->list[i], of);
		for (int what = 0; what < NR_LOST; what++)
			lost[what] += of[what];
	}
}

void summary__begin(struct summary *s, uint64_t start_ns)
{
	/* From now on the kernel takes the time of every run of a BPF program. */
	s->stats_fd = s->self_cost ? broker__enable_stats(s->env->broker) : -1;
	if (s->self_cost && s->stats_fd < 0)
		say("--self-cost: the times of the BPF programs are missing, because the kernel's "
		    "BPF statistics can't be enabled: %s",
		    strerror(-s->stats_fd));
	s->start_cpu_ns = self_cpu_ns();
	s->start_ns = start_ns;
	for (size_t i = 0; i < s->attached->nr; i++)
		summary__add(s->attached->list[i]);
	s->early_skipped = read_entries(s);
}

void summary__take(struct summary *s)
{
	for (size_t i = 0; i < s->attached->nr; i++) {
		read_losses(s->attached->list[i], s->attached->list[i]->losses.lost);
		attach__read_runs(s->attached->list[i]);
	}
	s->entry_skipped = read_entries(s) - s->early_skipped;
}

/*
 * Programs may still be running on other CPUs: waits for these. Then what found
 * no room is final: until the very end it is either shown or counted here.
 */
void summary__settle(struct summary *s)
{
	int err = broker__settle(s->env->broker, &s->broker_cpu_ns);

	if (err)
		err = grace__wait(grace_ways);
	if (err)
		say("can't wait for BPF programs that still run (%s): the last events may be "
		    "missing",
		    strerror(-err));
	for (size_t i = 0; i < s->attached->nr; i++)
		settle(&s->attached->list[i]->losses);
}

static void say_self_cost(const struct summary *s, uint64_t wall_ns, uint64_t cpu_ns)
{
	uint64_t runs = 0, ns = 0;

	for (size_t i = 0; i < s->attached->nr && s->stats_fd >= 0; i++) {
		const struct attachment *at = s->attached->list[i];

		for (size_t j = 0; j < at->nr_needs; j++) {
			const struct need_state *need = &at->needs[j];

			if (!need->runs)
				continue;
			runs += need->runs;
			ns += need->run_ns;
			say("self-cost: %s: %s/%s: %" PRIu64 " events, %.0f ns each",
			    at->monitor->name, hook_kind__name(need->hook->kind),
			    need->hook->target, need->runs, (double)need->run_ns / need->runs);
		}
	}
	for (enum head h = 0; h < NR_HEADS; h++) {
		if (!s->entries[h].runs)
			continue;
		runs += s->entries[h].runs;
		ns += s->entries[h].run_ns;
		say("self-cost: kvm_watcher: %s, %s: %" PRIu64 " events, %.0f ns each",
		    callers[h].hook, callers[h].whom, s->entries[h].runs,
		    (double)s->entries[h].run_ns / s->entries[h].runs);
	}
	if (s->stats_fd >= 0)
		say("self-cost: BPF programs: %" PRIu64 " events, %.3f ms (%.2f %% of one CPU)",
		    runs, ns / 1e6, 100.0 * ns / wall_ns);
	say("self-cost: user space: %.3f ms of CPU (%.2f %% of one CPU)", cpu_ns / 1e6,
	    100.0 * cpu_ns / wall_ns);
}

/* What the user can do against a loss; nothing against most. */
static void advise(const struct summary *s, enum lost what, char *text, size_t size)
{
	size_t max = vcpus__max(s->env->vcpus);

	text[0] = '\0';
	if (what == LOST_EVENTS)
		snprintf(text, size, "; raise --ring-size above %" PRIu32 " MiB",
			 events__ring_mib(s->env->ring_mib));
	else if ((what == LOST_VCPUS_FULL || what == LOST_RECORDS_FULL) && max < MAX_VCPU_SLOTS - 1)
		snprintf(text, size, "; raise --max-vcpus above %zu", max);
}

/* A sentence that grows; what has no room is cut. */
struct sentence {
	char text[2048];
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct sentence *s, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(s->text + s->len, sizeof(s->text) - s->len, format, args);
	va_end(args);
	s->len += len < 0 ? 0 : len;
	if (s->len >= sizeof(s->text))
		s->len = sizeof(s->text) - 1;
}

/* A part of what was lost: of one monitor, and of one VM as far as that is known. */
struct part {
	enum lost what;
	const char *monitor;
	const struct vm_ref *vm;
	uint32_t pid; /* 0: not known */
	uint64_t count;
};

static struct part *add_part(struct part *to, const struct part *part)
{
	if (part->count)
		*to++ = *part;
	return to;
}

/* The parts of a monitor's losses. Returns the place behind them. */
static struct part *list_parts(const struct attachment *at, struct part *to)
{
	const struct losses *losses = &at->losses;

	for (int what = 0; what < NR_LOST; what++) {
		struct part part = { .what = what, .monitor = at->monitor->name };
		uint64_t left = losses->lost[what];

		for (size_t i = 0; i < losses->nr_of; i++) {
			const struct lost_of *of = &losses->of[i];

			if (of->loser.what != part.what)
				continue;
			part.vm = of->vm;
			part.pid = of->loser.tgid;
			/* It may have lost more since the summary was taken. */
			part.count = of->count < left ? of->count : left;
			left -= part.count;
			to = add_part(to, &part);
		}
		part = (struct part){ what, at->monitor->name, NULL, 0, left };
		to = add_part(to, &part);
	}
	return to;
}

/* By kind, then the most first. */
static int compare_parts(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	if (x->what != y->what)
		return x->what < y->what ? -1 : 1;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return 0;
}

/* All parts of all losses; to be freed. NULL: out of memory. */
static struct part *all_parts(const struct summary *s, size_t *nr)
{
	size_t room = 1;
	struct part *parts, *end;

	*nr = 0;
	room += NR_LOST;
	for (size_t i = 0; i < s->attached->nr; i++) {
		losses__learn(&s->attached->list[i]->losses, s->env->vcpus);
		room += s->attached->list[i]->losses.nr_of + NR_LOST;
	}
	parts = end = calloc(room, sizeof(*parts));
	if (!parts)
		return NULL;
	for (size_t i = 0; i < s->attached->nr; i++)
		end = list_parts(s->attached->list[i], end);
	for (int what = 0; what < NR_LOST; what++)
		end = add_part(
			end, &(struct part){ what, "kvm_watcher", NULL, 0, s->lost_before[what] });
	end = add_part(end,
		       &(struct part){ LOST_SKIPPED, "kvm_watcher", NULL, 0, s->entry_skipped });
	*nr = end - parts;
	qsort(parts, *nr, sizeof(*parts), compare_parts);
	return parts;
}

static struct json_object *part_object(const struct part *part)
{
	const struct vm_ref *vm = part->vm;
	struct json_object *obj = json_object_new_object();

	json_object_object_add(obj, "kind", json_object_new_string(lost__name(part->what)));
	json_object_object_add(obj, "monitor", json_object_new_string(part->monitor));
	json_object_object_add(obj, "vm", vm ? json_object_new_string(vm->label) : NULL);
	json_object_object_add(obj, "vm_id", vm ? json_object_new_string(vm->id) : NULL);
	json_object_object_add(obj, "pid", part->pid ? json_object_new_int64(part->pid) : NULL);
	json_object_object_add(obj, "count", json_object_new_uint64(part->count));
	return obj;
}

static void add_whose(struct sentence *out, const struct part *part)
{
	add(out, "%s", part->monitor);
	if (part->vm)
		add(out, " of %s (pid %" PRIu32 ")", part->vm->label, part->pid);
	else if (part->pid)
		add(out, " of pid %" PRIu32, part->pid);
}

/* Whose it was: the parts of one kind, of which the greatest are named. */
static void add_parts(struct sentence *out, const struct part *parts, size_t nr)
{
	enum { MOST = 3 };

	if (nr == 1) {
		add(out, ", all in ");
		add_whose(out, parts);
		return;
	}
	for (size_t i = 0; i < nr && i < MOST; i++) {
		add(out, ", %" PRIu64 " in ", parts[i].count);
		add_whose(out, &parts[i]);
	}
	if (nr > MOST)
		add(out, ", and others");
}

static void say_losses(const struct summary *s, const struct part *parts, size_t nr)
{
	char advice[128];

	for (size_t i = 0, next; i < nr; i = next) {
		enum lost what = parts[i].what;
		struct sentence whose = {};
		uint64_t sum = 0;

		for (next = i; next < nr && parts[next].what == what; next++)
			sum += parts[next].count;
		add_parts(&whose, &parts[i], next - i);
		advise(s, what, advice, sizeof(advice));
		say("lost: %" PRIu64 " %s (%s)%s%s", sum, lost__name(what), lost__help(what),
		    whose.text, advice);
	}
}

void summary__count_left_out(struct summary *s)
{
	for (size_t i = 0; i < s->attached->nr; i++)
		s->attached->list[i]->losses.lost[LOST_EVENTS] += s->attached->list[i]->nr_left_out;
}

static void write_summary(const struct summary *s, uint64_t now_ns, uint64_t sinks, bool says)
{
	uint64_t cpu_ns = self_cpu_ns() - s->start_cpu_ns;
	struct json_object *obj = json_object_new_object(), *lost = json_object_new_object();
	struct json_object *hooks = hooks_array(s, s->stats_fd >= 0);
	struct json_object *lost_by = json_object_new_array();
	uint64_t sums[NR_LOST] = {};
	size_t nr_parts;
	struct part *parts = all_parts(s, &nr_parts);

	for (size_t i = 0; i < nr_parts; i++) {
		sums[parts[i].what] += parts[i].count;
		json_object_array_add(lost_by, part_object(&parts[i]));
	}
	for (int i = 0; i < NR_LOST; i++)
		json_object_object_add(lost, lost__name(i), json_object_new_uint64(sums[i]));
	for (enum head h = 0; h < NR_HEADS; h++)
		if (s->stats_fd >= 0 && s->entries[h].attached)
			json_object_array_add(hooks, caller_object(s, h));
	json_object_object_add(obj, "monitor", json_object_new_string("kvm_watcher"));
	json_object_object_add(obj, "scope", json_object_new_string("summary"));
	json_object_object_add(obj, "ts_ns", json_object_new_uint64(now_ns));
	add_time(obj, "time", now_ns + clock__real_offset_ns());
	json_object_object_add(obj, "duration_ns", json_object_new_uint64(now_ns - s->start_ns));
	json_object_object_add(obj, "lost", lost);
	json_object_object_add(obj, "lost_by", lost_by);
	json_object_object_add(obj, "hooks", hooks);
	json_object_object_add(obj, "self_cpu_ns",
			       json_object_new_uint64(self_cpu_ns() + s->broker_cpu_ns));
	json_object_object_add(obj, "watching_cpu_ns", json_object_new_uint64(cpu_ns));
	for (size_t i = 0; i < s->env->nr_sinks; i++)
		if (s->env->sinks[i].out && (sinks >> i & 1))
			output__object(s->env->sinks[i].out, json_object_get(obj));
	json_object_put(obj);
	if (says && !s->quiet)
		say_losses(s, parts, nr_parts);
	free(parts);
	if (says && s->self_cost)
		say_self_cost(s, now_ns - s->start_ns, cpu_ns);
}

void summary__write(const struct summary *s, uint64_t now_ns)
{
	write_summary(s, now_ns, UINT64_MAX, true);
}

void summary__write_so_far(struct summary *s, uint64_t now_ns, uint64_t sinks)
{
	for (size_t i = 0; i < s->attached->nr; i++)
		read_losses(s->attached->list[i], s->attached->list[i]->losses.lost);
	write_summary(s, now_ns, sinks, false);
}

/* One need of a monitor that is missing; those with one cause are said together. */
struct missing {
	const struct attachment *at;
	const struct need_state *need;
	bool said;
};

/* A function's begin and end, of which both are needed, give one thing. */
static size_t list_missing(const struct attachment *at, struct missing *list)
{
	const char *gives = "";
	size_t nr = 0;

	for (size_t i = 0; i < at->nr_needs; i++) {
		const struct need_state *need = &at->needs[i];

		if (need->hook || !strcmp(need->first->gives, gives))
			continue;
		gives = need->first->gives;
		list[nr++] = (struct missing){ at, need };
	}
	return nr;
}

static const char *cause(const struct need_state *need)
{
	return need->why + need->cause_at;
}

/* "A, B (vm_exit), C (hypercall)": what is missing, with whose it is behind the last one. */
static void add_missing(struct sentence *out, const struct missing *first,
			const struct missing *end)
{
	const struct attachment *at = first->at;
	const char *comma = "";

	for (const struct missing *m = first; m < end; m++) {
		if (m->said || strcmp(cause(m->need), cause(first->need)))
			continue;
		if (m->at != at)
			add(out, " (%s)", at->monitor->name);
		add(out, "%s%s", comma, m->need->first->gives);
		at = m->at;
		comma = ", ";
	}
	add(out, " (%s)", at->monitor->name);
}

/* The hooks with that cause, each once, then the cause; these are said then. */
static void add_cause(struct sentence *out, struct missing *first, struct missing *end)
{
	const char *comma = "";

	for (struct missing *m = first; m < end; m++) {
		bool again = false;

		if (m->said || strcmp(cause(m->need), cause(first->need)))
			continue;
		m->said = true;
		for (struct missing *other = first; other < m; other++)
			again |= !strcmp(other->need->why, m->need->why);
		if (again || !m->need->cause_at)
			continue;
		/* Without the ": " between hook and cause. */
		add(out, "%s%.*s", comma, (int)m->need->cause_at - 2, m->need->why);
		comma = ", ";
	}
	add(out, "%s%s", *comma ? ": " : "", cause(first->need));
}

void summary__say_missing(const struct attachment *all, size_t nr)
{
	struct missing list[MAX_MONITORS * MAX_NEEDS];
	size_t nr_missing = 0;

	for (size_t i = 0; i < nr && i < MAX_MONITORS; i++)
		nr_missing += list_missing(&all[i], &list[nr_missing]);
	for (size_t i = 0; i < nr_missing; i++) {
		struct sentence out = {};

		if (list[i].said)
			continue;
		add_missing(&out, &list[i], &list[nr_missing]);
		add(&out, ", because ");
		add_cause(&out, &list[i], &list[nr_missing]);
		say("missing: %s", out.text);
	}
}

void summary__end(struct summary *s)
{
	if (s->stats_fd >= 0)
		close(s->stats_fd);
}
