// SPDX-License-Identifier: GPL-2.0-only
#include "loop.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "attach.h"
#include "clock.h"
#include "events.h"
#include "filter.h"
#include "limits.h"
#include "log.h"
#include "modules.h"
#include "monitor.h"
#include "report.h"
#include "stop.h"
#include "summary.h"
#include "times.h"
#include "vcpus.h"

enum {
	PAUSE_NS = 5 * NSEC_PER_MSEC,
	MODULES_NS = 500 * NSEC_PER_MSEC, /* hooks that have gone with a module are noticed */
};

/* What the loop waits for; epoll's data. */
enum loop_source {
	SOURCE_STOP,
	SOURCE_INTERVAL,
	SOURCE_END,
	SOURCE_VMM,
	SOURCE_PAUSE, /* of the events */
	SOURCE_ROOM,  /* for new vCPUs */
	SOURCE_MODULES,
	NR_OWN_SOURCES,
	SOURCE_VCPUS = NR_OWN_SOURCES,
	SOURCE_DRIVER,
	SOURCE_EVENTS, /* of attachments[0], and so on */
};

struct loop {
	int epoll;
	int fds[NR_OWN_SOURCES];
	bool pausing;
};

struct run {
	struct attach_env *env;
	const struct watch_options *opts;
	struct attachment attachments[MAX_MONITORS]; /* by chosen[] */
	struct attachments attached;		     /* those that run, in that order */
	struct loop loop;
	uint64_t now_ns;   /* of the last look */
	int vmm;	   /* pidfd of -p's process, from before anything is loaded; or -1 */
	uint64_t room_ns;  /* not to be made before then */
	uint64_t added_ns; /* since when counts what was attached last */
	struct modules modules;
	struct summary summary;
};

static int open_timer(uint64_t at_ns)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0 && clock__set_timer(fd, at_ns)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Time and again; or -1. */
static int open_ticks(uint64_t every_ns)
{
	const struct timespec every = {
		.tv_sec = every_ns / NSEC_PER_SEC,
		.tv_nsec = every_ns % NSEC_PER_SEC,
	};
	const struct itimerspec when = { .it_interval = every, .it_value = every };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0 && timerfd_settime(fd, 0, &when, NULL)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int loop__add(struct loop *loop, unsigned int source, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = source };

	if (fd < 0)
		return -errno;
	if (source < NR_OWN_SOURCES)
		loop->fds[source] = fd;
	return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static size_t place_of(const struct run *run, const struct attachment *at)
{
	return at - run->attachments;
}

static void loop__want(struct loop *loop, const struct run *run, const struct attachment *at,
		       uint32_t events)
{
	struct epoll_event event = {
		.events = events,
		.data.u32 = SOURCE_EVENTS + place_of(run, at),
	};

	epoll_ctl(loop->epoll, EPOLL_CTL_MOD, ring_buffer__epoll_fd(at->events), &event);
}

static int loop__add_events(struct loop *loop, const struct run *run, const struct attachment *at)
{
	return at->events ? loop__add(loop, SOURCE_EVENTS + place_of(run, at),
				      ring_buffer__epoll_fd(at->events)) :
			    0;
}

/*
 * Events have been read: the next ones are batched. The kernel wakes
 * us for an event that finds the ring empty, which costs the guest that makes
 * it as much as us; so that happens a few hundred times a second at most.
 */
static void loop__pause_events(struct loop *loop, const struct run *run,
			       const struct attachment *at)
{
	const struct itimerspec when = { .it_value.tv_nsec = PAUSE_NS };

	if (!loop->pausing)
		loop->pausing = !timerfd_settime(loop->fds[SOURCE_PAUSE], 0, &when, NULL);
	if (loop->pausing)
		loop__want(loop, run, at, 0);
}

static void loop__resume_events(struct loop *loop, const struct run *run)
{
	uint64_t expired;

	if (read(loop->fds[SOURCE_PAUSE], &expired, sizeof(expired)) < 0)
		return;
	loop->pausing = false;
	for (size_t i = 0; i < run->attached.nr; i++)
		if (run->attached.list[i]->events)
			loop__want(loop, run, run->attached.list[i], EPOLLIN);
}

static void loop__close(struct loop *loop)
{
	for (int i = 0; i < NR_OWN_SOURCES; i++)
		/* The VMM's is the run's. */
		if (i != SOURCE_VMM && loop->fds[i] > 0)
			close(loop->fds[i]);
	if (loop->epoll > 0)
		close(loop->epoll);
}

/* Until the first of the sinks wants its interval, or a monitor a look. */
static void loop__set_timer(const struct loop *loop, const struct run *run)
{
	const struct attach_env *env = run->env;
	/* A minute without a look is too long for the kernel's counters. */
	uint64_t due_ns = run->now_ns + TIMES_LOOK_NS;

	for (size_t i = 0; i < env->nr_sinks; i++)
		if (env->sinks[i].interval_ns && env->sinks[i].due_ns < due_ns)
			due_ns = env->sinks[i].due_ns;
	for (size_t i = 0; i < run->attached.nr; i++) {
		uint64_t look_ns = run->attached.list[i]->monitor->look_ns;

		if (look_ns && run->now_ns + look_ns < due_ns)
			due_ns = run->now_ns + look_ns;
	}
	clock__set_timer(loop->fds[SOURCE_INTERVAL], due_ns);
}

static int loop__open(struct loop *loop, const struct run *run)
{
	uint64_t start_ns = run->summary.start_ns;
	int err;

	memset(loop, 0, sizeof(*loop));
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0)
		return -errno;
	err = loop__add(loop, SOURCE_STOP, dup(stop__fd()));
	if (!err)
		err = loop__add(loop, SOURCE_INTERVAL,
				timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	if (!err && run->opts->time_ns)
		err = loop__add(loop, SOURCE_END, open_timer(start_ns + run->opts->time_ns));
	if (!err)
		err = loop__add(loop, SOURCE_PAUSE,
				timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	if (!err)
		err = loop__add(loop, SOURCE_ROOM,
				timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	if (!err)
		err = loop__add(loop, SOURCE_VCPUS, vcpus__fd(run->env->vcpus));
	for (size_t i = 0; !err && i < run->attached.nr; i++)
		err = loop__add_events(loop, run, run->attached.list[i]);
	if (!err && run->opts->driver && run->opts->driver->fd >= 0)
		err = loop__add(loop, SOURCE_DRIVER, run->opts->driver->fd);
	if (!err && (run->opts->driver || modules__matter(&run->attached)))
		err = loop__add(loop, SOURCE_MODULES, open_ticks(MODULES_NS));
	if (!err && run->vmm >= 0)
		err = loop__add(loop, SOURCE_VMM, run->vmm);
	if (!err)
		loop__set_timer(loop, run);
	return err;
}

static void start_intervals(const struct attach_env *env, uint64_t now_ns)
{
	for (size_t i = 0; i < env->nr_sinks; i++) {
		env->sinks[i].since_ns = now_ns;
		env->sinks[i].due_ns = now_ns + env->sinks[i].interval_ns;
	}
}

/* For all sinks whose interval is over, or for all of them at the end. */
static void report_intervals(struct run *run, bool all)
{
	struct attach_env *env = run->env;

	uint64_t due = 0, total_follows = 0;

	for (size_t i = 0; i < env->nr_sinks; i++) {
		struct sink *sink = &env->sinks[i];

		if (!sink->interval_ns || (!all && sink->due_ns > run->now_ns))
			continue;
		due |= 1ULL << i;
		if (all && sink->since_ns == run->summary.start_ns)
			total_follows |= 1ULL << i;
		/* What was slept through is one interval. */
		while (sink->due_ns <= run->now_ns)
			sink->due_ns += sink->interval_ns;
	}
	if (due)
		report__intervals(env, &run->attached, due, run->now_ns, total_follows);
}

static void report_totals(struct run *run)
{
	report__totals(run->env, &run->attached, UINT64_MAX, run->summary.start_ns, run->now_ns);
}

/* 0, or the errno of the first one that can't be written to. */
static int flush(const struct attach_env *env)
{
	int err = 0;

	for (size_t i = 0; i < env->nr_sinks; i++) {
		int failed = env->sinks[i].out ? output__flush(env->sinks[i].out) : 0;

		err = err ? err : failed;
	}
	return err;
}

static int finish(const struct attach_env *env)
{
	int err = 0;

	for (size_t i = 0; i < env->nr_sinks; i++) {
		int failed = env->sinks[i].out ? output__finish(env->sinks[i].out) : 0;

		err = err ? err : failed;
	}
	return err;
}

/*
 * VMs come and go faster than sinks have their intervals: a look lets go of what
 * has ended. Nobody is shown anything but single events now; sinks see it all in
 * their time. While no slot is left nobody new is announced: it is tried again.
 * This takes a tenth of the time, or is done ten times a second. 0 or an errno.
 */
static int make_room(struct loop *loop, struct run *run)
{
	enum { MOST_PAUSE_NS = 100 * NSEC_PER_MSEC };
	uint64_t now = clock__ns(), pause_ns, expired;
	bool early = now < run->room_ns;

	if (read(loop->fds[SOURCE_ROOM], &expired, sizeof(expired)) < 0 && errno != EAGAIN)
		return errno;
	if (!vcpus__is_crowded(run->env->vcpus))
		return 0;
	if (!early) {
		if (vcpus__refresh(run->env->vcpus))
			run->now_ns = report__look(run->env, &run->attached);
		pause_ns = 9 * (clock__ns() - now) + NSEC_PER_MSEC;
		run->room_ns = clock__ns() + (pause_ns < MOST_PAUSE_NS ? pause_ns : MOST_PAUSE_NS);
	}
	if (early || vcpus__is_full(run->env->vcpus))
		clock__set_timer(loop->fds[SOURCE_ROOM], run->room_ns);
	return flush(run->env);
}

static bool ends_with_interval(const struct run *run)
{
	return run->opts->time_ns &&
	       clock__ns() + NSEC_PER_MSEC >= run->summary.start_ns + run->opts->time_ns;
}

static void say_vm_ended(const struct run *run)
{
	say("the VM with pid %d has ended", run->env->filter->pid);
}

static int drive(struct run *run, int (*step)(void *ctx, struct run *run))
{
	return step ? step(run->opts->driver->ctx, run) : 0;
}

/* Sinks whose interval is over get it. 0, RUN_END or -errno. */
static int end_interval(struct loop *loop, struct run *run)
{
	int err;

	run->now_ns = report__look(run->env, &run->attached);
	report_intervals(run, false);
	err = -flush(run->env);
	if (!err && run->opts->driver)
		err = drive(run, run->opts->driver->reported);
	loop__set_timer(loop, run);
	return err;
}

/* 0, RUN_END or -errno. */
static int loop__step_driver(struct loop *loop, struct run *run)
{
	const struct driver *driver = run->opts->driver;
	int err = driver ? drive(run, driver->ready) : 0;

	/* Intervals may be other ones. */
	loop__set_timer(loop, run);
	return err ? err : -flush(run->env);
}

/* Until a signal, -t, the end of -p's process or of the output, or the driver's word. 0 or -errno.
 */
static int loop__run(struct loop *loop, struct run *run)
{
	struct epoll_event event;
	uint64_t expired;
	int err = run->opts->driver ? drive(run, run->opts->driver->began) : 0;

	if (err)
		return err == RUN_END ? 0 : err;
	loop__set_timer(loop, run);

	for (;;) {
		err = epoll_wait(loop->epoll, &event, 1, -1);
		if (err < 0 && errno == EINTR)
			continue;
		if (err < 0)
			return -errno;
		if (event.data.u32 >= SOURCE_EVENTS) {
			struct attachment *at = &run->attachments[event.data.u32 - SOURCE_EVENTS];

			vcpus__learn(run->env->vcpus);
			events__read(at);
			err = flush(run->env);
			if (err)
				return -err;
			loop__pause_events(loop, run, at);
			continue;
		}
		switch (event.data.u32) {
		case SOURCE_STOP:
		case SOURCE_END:
			return 0;
		case SOURCE_VMM:
			say_vm_ended(run);
			return 0;
		case SOURCE_VCPUS:
			vcpus__learn(run->env->vcpus);
			/* fallthrough */
		case SOURCE_ROOM:
			err = make_room(loop, run);
			if (err)
				return -err;
			continue;
		case SOURCE_MODULES:
			if (read(loop->fds[SOURCE_MODULES], &expired, sizeof(expired)) > 0)
				modules__look(&run->modules, &run->attached);
			continue;
		case SOURCE_PAUSE:
			loop__resume_events(loop, run);
			continue;
		case SOURCE_INTERVAL:
			if (read(loop->fds[SOURCE_INTERVAL], &expired, sizeof(expired)) < 0)
				continue;
			if (ends_with_interval(run))
				return 0;
			err = end_interval(loop, run);
			if (err)
				return err == RUN_END ? 0 : err;
			continue;
		case SOURCE_DRIVER:
			err = loop__step_driver(loop, run);
			if (err)
				return err == RUN_END ? 0 : err;
		}
	}
}

/* err is how its start ended: is there something to watch? A word if not. */
static bool started(const struct run *run, const struct attachment *at, int err)
{
	if (err == -EOPNOTSUPP && run->opts->quiet)
		return false;
	if (err == -EOPNOTSUPP)
		say("%s: nothing can be measured on this host (--check tells why)",
		    at->monitor->name);
	else if (limits__is_shortage(err))
		say("%s: can't be started: %s", at->monitor->name, limits__reason(err));
	else if (err)
		say_failed("%s: can't be started: %s (-v shows libbpf's messages)",
			   at->monitor->name, limits__reason(err));
	return !err;
}

/* 0, or -errno of a shortage: what is missing is not the host's fault, and nothing is measured. */
static int load_all(struct run *run, uint32_t chosen, struct attachments *loaded)
{
	for (size_t i = 0; i < run->opts->nr_chosen && !stop__is_wanted(); i++) {
		struct attachment *at = &run->attachments[i];
		int err;

		if (!(chosen >> i & 1))
			continue;
		err = attach__load(run->env, &run->opts->chosen[i], at);
		if (started(run, at, err))
			loaded->list[loaded->nr++] = at;
		else if (limits__is_shortage(err))
			return err;
	}
	return 0;
}

/*
 * Loads all of a mask before the first is attached: loading takes long, and all count from one
 * moment on. 0, or -errno of a shortage.
 */
static int attach_chosen(struct run *run, uint32_t chosen, struct attachments *attached)
{
	struct attachments loaded = {};
	int short_of = load_all(run, chosen, &loaded);

	attached->nr = 0;
	for (size_t i = 0; i < loaded.nr; i++) {
		struct attachment *at = loaded.list[i];
		int err;

		if (short_of || stop__is_wanted()) {
			attach__close(at);
			continue;
		}
		err = attach__attach(at);
		if (started(run, at, err))
			attached->list[attached->nr++] = at;
		else if (limits__is_shortage(err))
			short_of = err;
	}
	return short_of;
}

/* 0 or -errno, after a message. */
static int attach_first(struct run *run)
{
	int short_of;

	modules__init(&run->modules);
	short_of = attach_chosen(run, run->opts->measured ?: UINT32_MAX, &run->attached);
	if (short_of)
		return short_of;
	if (stop__is_wanted()) {
		say("stopped before watching began");
		return -EINTR;
	}
	if (!run->opts->quiet)
		summary__say_missing(run->attachments, run->opts->nr_chosen);
	return run->attached.nr ? 0 : -EOPNOTSUPP;
}

/* What is not in the mask is over; what it has measured, the sinks have. */
static void detach_others(struct run *run, uint32_t chosen)
{
	size_t nr = 0;

	for (size_t i = 0; i < run->attached.nr; i++) {
		struct attachment *at = run->attached.list[i];

		if (chosen >> place_of(run, at) & 1) {
			run->attached.list[nr++] = at;
			continue;
		}
		summary__remove(&run->summary, at);
		attach__detach(at);
		attach__close(at);
	}
	run->attached.nr = nr;
}

/* Those that are new begin now, and are put in the places that they have in chosen[]. */
static int add_attached(struct run *run, const struct attachments *added)
{
	uint32_t all = run__measured(run);
	int err = 0;

	for (size_t i = 0; i < added->nr; i++)
		all |= 1U << place_of(run, added->list[i]);
	run->added_ns = report__begin(run->env, added);
	run->attached.nr = 0;
	for (size_t i = 0; i < run->opts->nr_chosen; i++)
		if (all >> i & 1)
			run->attached.list[run->attached.nr++] = &run->attachments[i];
	for (size_t i = 0; i < added->nr; i++) {
		int failed;

		summary__add(added->list[i]);
		failed = loop__add_events(&run->loop, run, added->list[i]);
		err = err ? err : failed;
	}
	return err;
}

uint32_t run__measured(const struct run *run)
{
	uint32_t chosen = 0;

	for (size_t i = 0; i < run->attached.nr; i++)
		chosen |= 1U << place_of(run, run->attached.list[i]);
	return chosen;
}

/* Those that have an interval: a mask. */
static uint64_t sinks_by_time(const struct attach_env *env)
{
	uint64_t sinks = 0;

	for (size_t i = 0; i < env->nr_sinks; i++)
		sinks |= env->sinks[i].interval_ns ? 1ULL << i : 0;
	return sinks;
}

int run__measure(struct run *run, uint32_t chosen)
{
	struct attachments added;
	uint32_t is = run__measured(run);
	int err;

	chosen &= (1ULL << run->opts->nr_chosen) - 1;
	if (chosen == is)
		return 0;
	if (run->attached.nr) {
		run__look(run);
		run__report(run, sinks_by_time(run->env), SCOPE_INTERVAL);
	}
	for (size_t i = 0; i < run->env->nr_sinks; i++)
		run->env->sinks[i].no_total = true;
	detach_others(run, chosen);
	err = attach_chosen(run, chosen & ~is, &added);
	if (!err)
		err = add_attached(run, &added);
	for (size_t i = 0; i < run->env->nr_sinks; i++)
		run->env->sinks[i].due_ns = clock__ns() + run->env->sinks[i].interval_ns;
	return err;
}

int run__restart(struct run *run, uint32_t chosen)
{
	int err = run__measure(run, 0);

	if (err)
		return err;
	memset(run->summary.lost_before, 0, sizeof(run->summary.lost_before));
	run->added_ns = clock__ns();
	err = run__measure(run, chosen);
	/* To attach takes its time, which is nobody's. */
	run->summary.start_ns = run->added_ns;
	for (size_t i = 0; i < run->env->nr_sinks; i++) {
		run->env->sinks[i].no_total = false;
		run->env->sinks[i].since_ns = run->added_ns;
		run->env->sinks[i].due_ns = run->added_ns + run->env->sinks[i].interval_ns;
	}
	return err;
}

uint64_t run__look(struct run *run)
{
	run->now_ns = report__look(run->env, &run->attached);
	return run->now_ns;
}

void run__report(struct run *run, uint64_t sinks, enum scope scope)
{
	if (scope == SCOPE_TOTAL)
		report__totals(run->env, &run->attached, sinks, run->summary.start_ns, run->now_ns);
	else
		report__intervals(run->env, &run->attached, sinks, run->now_ns, 0);
}

void run__begin_sink(struct run *run, size_t sink)
{
	struct sink *to = &run->env->sinks[sink];

	to->told_vms = 0;
	to->no_total = false;
	to->since_ns = run->summary.start_ns;
	to->due_ns = run->summary.start_ns + to->interval_ns;
	summary__write_start(&run->summary, &run->opts->about, 1ULL << sink);
}

int run__end_sink(struct run *run, size_t sink)
{
	struct sink *to = &run->env->sinks[sink];
	int err;

	run__look(run);
	report__intervals(run->env, &run->attached, 1ULL << sink, run->now_ns, 0);
	run__report(run, 1ULL << sink, SCOPE_TOTAL);
	summary__write_so_far(&run->summary, run->now_ns, 1ULL << sink);
	err = -output__finish(to->out);
	output__free(to->out);
	to->out = NULL;
	to->interval_ns = 0;
	return err;
}

const struct attachment *run__attachment(const struct run *run, size_t i)
{
	return &run->attachments[i];
}

void run__losses(const struct run *run, uint64_t lost[NR_LOST])
{
	summary__losses(&run->summary, lost);
}

uint64_t run__start_ns(const struct run *run)
{
	return run->summary.start_ns;
}

static void say_ready(const struct run *run)
{
	char names[256] = "", until[64];
	size_t used = 0;

	for (size_t i = 0; i < run->attached.nr && used < sizeof(names); i++)
		used += snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "",
				 run->attached.list[i]->monitor->name);
	if (run->opts->time_ns)
		snprintf(until, sizeof(until), "for %g s",
			 (double)run->opts->time_ns / NSEC_PER_SEC);
	else
		snprintf(until, sizeof(until), "until Ctrl-C");
	say("watching %s %s", names, until);
}

/* What is lost when the run is given up: in stop.h's thread. */
static void last_words(void *ctx, char *text, size_t size)
{
	const char *between = "; lost until then: ";
	const struct run *run = ctx;
	uint64_t lost[NR_LOST] = {};
	size_t len = 0;

	for (size_t i = 0; i < run->attached.nr; i++)
		losses__add(&run->attached.list[i]->losses, lost);
	for (int i = 0; i < NR_LOST && len < size; i++) {
		if (!lost[i])
			continue;
		len += snprintf(text + len, size - len, "%s%" PRIu64 " %s", between, lost[i],
				lost__name(i));
		between = ", ";
	}
}

/* After everything is attached: the loop, then the rest of the data. */
static int measure(struct run *run)
{
	struct loop *loop = &run->loop;
	int err;

	run->now_ns = report__begin(run->env, &run->attached);
	summary__begin(&run->summary, run->now_ns);
	start_intervals(run->env, run->now_ns);
	err = loop__open(loop, run);
	if (err) {
		say("can't wait for events: %s", limits__reason(err));
		goto cleanup;
	}
	summary__write_start(&run->summary, &run->opts->about, UINT64_MAX);
	err = -flush(run->env);
	if (!err) {
		if (!run->opts->quiet)
			say_ready(run);
		stop__set_last_words(last_words, run);
		if (run->opts->time_ns)
			stop__due(run->summary.start_ns + run->opts->time_ns);
		err = loop__run(loop, run);
	}
	stop__due(clock__ns());
	if (loop->fds[SOURCE_MODULES] > 0)
		modules__look(&run->modules, &run->attached);
	run->now_ns = report__end(run->env, &run->attached);
	summary__take(&run->summary);
	summary__settle(&run->summary);
	stop__goes_on();
	/* Those that were still being written. */
	report__events(&run->attached);
	summary__count_left_out(&run->summary);
	if (err != -EPIPE) {
		report_intervals(run, true);
		report_totals(run);
		summary__write(&run->summary, run->now_ns);
	}
	if (!err)
		err = -finish(run->env);
	if (err && err != -EPIPE)
		say("can't write the output: %s", limits__reason(err));
	/* Nothing more can be lost; but the kernel may take its time to detach. */
	stop__is_safe();
	for (size_t i = 0; i < run->attached.nr; i++)
		attach__detach(run->attached.list[i]);
cleanup:
	stop__set_last_words(NULL, NULL);
	loop__close(loop);
	summary__end(&run->summary);
	return err == -EPIPE ? 0 : err;
}

/* The process may end while monitors are loaded, which takes long. 0, or -errno after a message. */
static int open_vmm(struct run *run)
{
	pid_t pid = run->env->filter->pid;

	run->vmm = pid ? syscall(SYS_pidfd_open, pid, 0) : -1;
	/* Without pidfds, which Linux 5.3 brought, its end shows as silence only. */
	if (!pid || run->vmm >= 0 || errno != ESRCH)
		return 0;
	say_vm_ended(run);
	return -ESRCH;
}

int loop__watch(struct attach_env *env, const struct watch_options *opts)
{
	struct run run = {
		.env = env,
		.opts = opts,
	};
	int err = open_vmm(&run);

	env->quiet = opts->quiet;

	if (!err)
		err = attach_first(&run);
	run.summary = (struct summary){
		.env = env,
		.attached = &run.attached,
		.quiet = opts->quiet,
		.self_cost = opts->self_cost,
	};
	if (!err)
		err = measure(&run);
	for (size_t i = 0; i < run.attached.nr; i++)
		attach__close(run.attached.list[i]);
	if (run.vmm >= 0)
		close(run.vmm);
	return err;
}
