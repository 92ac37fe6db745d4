// SPDX-License-Identifier: GPL-2.0-only
#include "loop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "attach.h"
#include "clock.h"
#include "events.h"
#include "filter.h"
#include "log.h"
#include "monitor.h"
#include "summary.h"
#include "vcpus.h"
#include "window.h"

enum { PAUSE_NS = 5 * NSEC_PER_MSEC };

/* What the loop waits for; epoll's data. */
enum source {
	SOURCE_SIGNAL,
	SOURCE_INTERVAL,
	SOURCE_END,
	SOURCE_VMM,
	SOURCE_PAUSE, /* of the events */
	NR_OWN_SOURCES,
	SOURCE_VCPUS = NR_OWN_SOURCES,
	SOURCE_EVENTS, /* of attached[0], and so on */
};

struct run {
	struct attach_env *env;
	const struct watch_options *opts;
	struct attachment attachments[MAX_MONITORS];
	struct attachment *attached[MAX_MONITORS]; /* those that run */
	size_t nr_attached;
	struct window window;
	struct summary summary;
};

struct loop {
	int epoll;
	int fds[NR_OWN_SOURCES];
	bool pausing;
};

static int open_timer(uint64_t at_ns, uint64_t every_ns)
{
	struct itimerspec when = {
		.it_value = { at_ns / NSEC_PER_SEC, at_ns % NSEC_PER_SEC },
		.it_interval = { every_ns / NSEC_PER_SEC, every_ns % NSEC_PER_SEC },
	};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0 && timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL)) {
		close(fd);
		return -1;
	}
	return fd;
}

static sigset_t signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	return set;
}

void loop__block_signals(void)
{
	const sigset_t set = signals();

	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
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

static void loop__want(struct loop *loop, const struct run *run, size_t i, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u32 = SOURCE_EVENTS + i };

	epoll_ctl(loop->epoll, EPOLL_CTL_MOD, ring_buffer__epoll_fd(run->attached[i]->events),
		  &event);
}

/*
 * Events have been read: the next ones wait for their like. The kernel wakes
 * us for an event that finds the ring empty, which costs the guest that makes
 * it as much as us; so that happens a few hundred times a second at most.
 */
static void loop__pause_events(struct loop *loop, const struct run *run, size_t i)
{
	const struct itimerspec when = { .it_value.tv_nsec = PAUSE_NS };

	if (!loop->pausing)
		loop->pausing = !timerfd_settime(loop->fds[SOURCE_PAUSE], 0, &when, NULL);
	if (loop->pausing)
		loop__want(loop, run, i, 0);
}

static void loop__resume_events(struct loop *loop, const struct run *run)
{
	uint64_t expired;

	if (read(loop->fds[SOURCE_PAUSE], &expired, sizeof(expired)) < 0)
		return;
	loop->pausing = false;
	for (size_t i = 0; i < run->nr_attached; i++)
		if (run->attached[i]->events)
			loop__want(loop, run, i, EPOLLIN);
}

static void loop__close(struct loop *loop)
{
	for (int i = 0; i < NR_OWN_SOURCES; i++)
		if (loop->fds[i] > 0)
			close(loop->fds[i]);
	if (loop->epoll > 0)
		close(loop->epoll);
}

static int loop__open(struct loop *loop, const struct run *run)
{
	uint64_t start_ns = run->summary.start_ns, interval_ns = run->opts->interval_ns;
	pid_t pid = run->env->filter->pid;
	const sigset_t set = signals();
	int err;

	memset(loop, 0, sizeof(*loop));
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0)
		return -errno;
	err = loop__add(loop, SOURCE_SIGNAL, signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
	if (!err)
		err = loop__add(loop, SOURCE_INTERVAL,
				open_timer(start_ns + interval_ns, interval_ns));
	if (!err && run->opts->time_ns)
		err = loop__add(loop, SOURCE_END, open_timer(start_ns + run->opts->time_ns, 0));
	if (!err)
		err = loop__add(loop, SOURCE_PAUSE,
				timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	if (!err)
		err = loop__add(loop, SOURCE_VCPUS, vcpus__fd(run->env->vcpus));
	for (size_t i = 0; !err && i < run->nr_attached; i++)
		if (run->attached[i]->events)
			err = loop__add(loop, SOURCE_EVENTS + i,
					ring_buffer__epoll_fd(run->attached[i]->events));
	/* Where there is no pidfd, -p's end shows as silence only. */
	if (!err && pid) {
		int fd = syscall(SYS_pidfd_open, pid, 0);

		if (fd >= 0)
			err = loop__add(loop, SOURCE_VMM, fd);
	}
	return err;
}

/* One interval has ended: new vCPUs first, then events and rows, then the slots of the ended. */
static void report_interval(struct run *run)
{
	vcpus__refresh(run->env->vcpus);
	for (size_t i = 0; i < run->nr_attached; i++)
		events__read(run->attached[i]);
	run->window.now_ns = clock__ns();
	for (size_t i = 0; i < run->nr_attached; i++) {
		struct attachment *at = run->attached[i];

		attach__next_epoch(at);
		at->monitor->report(at, &run->window);
	}
	vcpus__release_ended(run->env->vcpus);
	run->window.since_ns = run->window.now_ns;
}

static void report_total(struct run *run)
{
	run->window.scope = SCOPE_TOTAL;
	run->window.since_ns = run->summary.start_ns;
	for (size_t i = 0; i < run->nr_attached; i++)
		run->attached[i]->monitor->report(run->attached[i], &run->window);
}

static bool ends_with_interval(const struct run *run)
{
	return run->opts->time_ns &&
	       clock__ns() + NSEC_PER_MSEC >= run->summary.start_ns + run->opts->time_ns;
}

/* Until a signal, -t, the end of -p's process or of the output. 0 or -errno. */
static int loop__run(struct loop *loop, struct run *run)
{
	struct epoll_event event;
	uint64_t expired;
	int err;

	for (;;) {
		err = epoll_wait(loop->epoll, &event, 1, -1);
		if (err < 0 && errno == EINTR)
			continue;
		if (err < 0)
			return -errno;
		if (event.data.u32 >= SOURCE_EVENTS) {
			vcpus__learn(run->env->vcpus);
			events__read(run->attached[event.data.u32 - SOURCE_EVENTS]);
			err = output__flush(run->env->out);
			if (err)
				return -err;
			loop__pause_events(loop, run, event.data.u32 - SOURCE_EVENTS);
			continue;
		}
		switch (event.data.u32) {
		case SOURCE_SIGNAL:
		case SOURCE_END:
			return 0;
		case SOURCE_VMM:
			say("the VM with pid %d has ended", run->env->filter->pid);
			return 0;
		case SOURCE_VCPUS:
			vcpus__learn(run->env->vcpus);
			continue;
		case SOURCE_PAUSE:
			loop__resume_events(loop, run);
			continue;
		case SOURCE_INTERVAL:
			if (read(loop->fds[SOURCE_INTERVAL], &expired, sizeof(expired)) < 0)
				continue;
			if (ends_with_interval(run))
				return 0;
			report_interval(run);
			err = output__flush(run->env->out);
			if (err)
				return -err;
		}
	}
}

/* err is how its start ended: is there something to watch? A word if not. */
static bool started(const struct attachment *at, int err)
{
	if (err == -EOPNOTSUPP)
		say("%s: nothing of it can be measured on this host (see --check)",
		    at->monitor->name);
	else if (err)
		say("%s: can't be started: %s (-v shows libbpf's messages)", at->monitor->name,
		    strerror(-err));
	return !err;
}

static void load_all(struct run *run)
{
	for (size_t i = 0; i < run->opts->nr_chosen; i++) {
		struct attachment *at = &run->attachments[run->nr_attached];
		int err = attach__load(run->env, &run->opts->chosen[i], at);

		if (err)
			summary__say_missing(at);
		if (started(at, err))
			run->attached[run->nr_attached++] = at;
	}
}

/* Loads all before the first is attached: loading takes long, and all count from one moment on. */
static int attach_all(struct run *run)
{
	size_t nr_loaded;

	load_all(run);
	nr_loaded = run->nr_attached;
	run->nr_attached = 0;
	for (size_t i = 0; i < nr_loaded; i++) {
		struct attachment *at = run->attached[i];
		int err = attach__attach(at);

		summary__say_missing(at);
		if (started(at, err))
			run->attached[run->nr_attached++] = at;
	}
	return run->nr_attached ? 0 : -EOPNOTSUPP;
}

static void say_ready(const struct run *run)
{
	char names[256] = "", until[64];
	size_t used = 0;

	for (size_t i = 0; i < run->nr_attached && used < sizeof(names); i++)
		used += snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "",
				 run->attached[i]->monitor->name);
	if (run->opts->time_ns)
		snprintf(until, sizeof(until), "for %g s",
			 (double)run->opts->time_ns / NSEC_PER_SEC);
	else
		snprintf(until, sizeof(until), "until Ctrl-C");
	say("watching %s %s", names, until);
}

/* After everything is attached: the loop, then the rest of the data. */
static int measure(struct run *run)
{
	struct loop loop;
	int err;

	summary__begin(&run->summary);
	run->window.since_ns = run->window.now_ns = run->summary.start_ns;
	err = loop__open(&loop, run);
	if (err) {
		say("can't wait for events: %s", strerror(-err));
		goto cleanup;
	}
	say_ready(run);
	err = loop__run(&loop, run);
	for (size_t i = 0; i < run->nr_attached; i++)
		if (run->attached[i]->monitor->ending)
			run->attached[i]->monitor->ending(run->attached[i]);
	summary__take(&run->summary);
	for (size_t i = 0; i < run->nr_attached; i++)
		attach__detach(run->attached[i]);
	summary__settle(&run->summary);
	if (err != -EPIPE) {
		report_interval(run);
		report_total(run);
		summary__write(&run->summary, run->window.now_ns);
	}
	if (!err)
		err = -output__flush(run->env->out);
	if (err && err != -EPIPE)
		say("can't write the output: %s", strerror(-err));
cleanup:
	loop__close(&loop);
	summary__end(&run->summary);
	return err == -EPIPE ? 0 : err;
}

int loop__watch(struct attach_env *env, const struct watch_options *opts)
{
	struct run run = {
		.env = env,
		.opts = opts,
		.window = { .out = env->out, .scope = SCOPE_INTERVAL },
	};
	int err = attach_all(&run);

	run.summary = (struct summary){
		.env = env,
		.attached = run.attached,
		.nr_attached = run.nr_attached,
		.self_cost = opts->self_cost,
	};
	if (!err)
		err = measure(&run);
	for (size_t i = 0; i < run.nr_attached; i++)
		attach__close(run.attached[i]);
	return err;
}
