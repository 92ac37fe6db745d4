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

#include "broker.h"
#include "clock.h"
#include "events.h"
#include "limits.h"
#include "log.h"
#include "histogram.h"
#include "map.h"
#include "monitor.h"
#include "samples.h"

const char *need_state__word(const struct need_state *need)
{
	if (!need->hook)
		return need->is_unknown ? "unknown" : "missing";
	/* Another program for the same hook is no other hook, nor is a cheaper kind (hooks.c). */
	if (!strcmp(need->hook->target, need->first->target) &&
	    (need->hook->kind == need->first->kind || !need->why[0]))
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
	at->events_since_ns = clock__ns();
}

void attach__forget(struct attachment *at)
{
	at->begins = true;
	if (at->monitor->look)
		at->monitor->look(at);
	at->begins = false;
	at->events_since_ns = clock__ns();
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

	at->samples = samples__new(m->columns, m->row_size, at->env->nr_sinks, KEEP_VMS_OF_RUN);
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
		int caller = handed__take(handed, FDS_CALLERS + i);

		if (prog >= 0) {
			close_fd(&at->progs[i]);
			at->progs[i] = prog;
		}
		if (link >= 0) {
			close_fd(&at->link_fds[i]);
			at->link_fds[i] = link;
		}
		if (caller >= 0) {
			close_fd(&at->caller_fds[i]);
			at->caller_fds[i] = caller;
		}
	}
	for (int h = 0; h < NR_HEADS; h++)
		if (handed->fds[FDS_OTHER + h] >= 0 && !at->env->entry_progs[h])
			at->env->entry_progs[h] = handed__take(handed, FDS_OTHER + h);
}

/* The hooks are the broker's work, what they write to is read here. */
static int load(struct attachment *at, bool again)
{
	struct handed handed;
	int err = broker__load(at->env->broker, at->chosen, again, &handed);

	take_hooks(at, &handed);
	if (!err)
		err = limits__check_memory();
	if (!err) {
		at->state = calloc(1, at->monitor->state_size + 1);
		err = at->state ? 0 : -ENOMEM;
	}
	if (!err && at->monitor->open_skeleton) {
		at->skel = hooks__open_skeleton(at, NULL);
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

	hooks__init(at, env, chosen);
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
		err = broker__attach(at->env->broker, at->chosen, &handed);
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

	if (!hooks__count_in(at, modules))
		return 0;
	/* Whoever closes the last descriptor waits for the kernel: not this process. */
	for (size_t i = 0; i < at->nr_needs; i++)
		if (hooks__goes_with(&at->needs[i], modules))
			close_fd(&at->link_fds[i]);
	err = broker__reattach(at->env->broker, at->chosen, modules, &handed);
	if (!err)
		take_hooks(at, &handed);
	handed__close(&handed);
	return err ? 0 : hooks__count_in(at, modules);
}

int attach__open_file(const struct attachment *at, struct tempfile *file)
{
	int err = broker__open_file(at->env->broker, at->chosen, file);

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

bool attach__entry_info(const struct attach_env *env, enum head head, struct bpf_prog_info *info)
{
	int prog = env->entry_progs[head];
	__u32 size = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return prog > 0 && !bpf_obj_get_info_by_fd(prog, info, &size);
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
		broker__detach(at->env->broker, at->chosen);
	for (size_t i = at->nr_needs; i-- > 0;) {
		const struct hook *hook = at->needs[i].hook;

		/* An iterator does nothing by itself. */
		if (hook && hook->kind != HOOK_ITER)
			close_fd(&at->link_fds[i]);
		close_fd(&at->caller_fds[i]);
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
		close_fd(&at->caller_fds[i]);
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
	broker__unload(at->env->broker, at->chosen);
	end(at);
}
