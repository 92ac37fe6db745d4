// SPDX-License-Identifier: GPL-2.0-only
#include "run.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <json-c/json.h>

#include "../compat/host.h"
#include "entry.h"
#include "grace.h"
#include "log.h"
#include "monitor.h"
#include "vcpus.h"
#include "vm.h"

enum { NSEC_PER_MSEC = 1000000, PAUSE_NS = 5 * NSEC_PER_MSEC, STDOUT_BUFFER = 1 << 16 };

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

struct loop {
	int epoll;
	int fds[NR_OWN_SOURCES];
	bool pausing;
};

uint64_t clock__ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}

uint32_t run__ring_mib(const struct run *run)
{
	enum { LEAST = 4, MOST = 64, CPUS_PER_MIB = 2 };
	uint32_t want = sysconf(_SC_NPROCESSORS_CONF) / CPUS_PER_MIB, mib = LEAST;

	if (run->opts->ring_mib)
		want = run->opts->ring_mib, mib = 1;
	else if (want > MOST)
		want = MOST;
	while (mib < want)
		mib *= 2;
	return mib;
}

void run__begin(struct run *run, const struct monitor *m, enum scope scope, unsigned int view)
{
	const struct section section = {
		.monitor = m->name,
		.columns = m->columns,
		.view = &m->views[view],
		.view_bit = 1U << view,
		.scope = scope,
		.seconds = scope == SCOPE_EVENT ?
				   0 :
				   (double)(run->now_ns - run->since_ns) / NSEC_PER_SEC,
	};

	output__begin(run->out, &section);
}

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

/* From the very start: what is asked for while hooks are attached waits for the loop. */
static void block_signals(sigset_t *set)
{
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigprocmask(SIG_BLOCK, set, NULL);
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

static int loop__open(struct loop *loop, const struct run *run, const sigset_t *signals)
{
	const struct options *opts = run->opts;
	int err;

	memset(loop, 0, sizeof(*loop));
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0)
		return -errno;
	err = loop__add(loop, SOURCE_SIGNAL, signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK));
	if (!err)
		err = loop__add(loop, SOURCE_INTERVAL,
				open_timer(run->start_ns + opts->interval_ns, opts->interval_ns));
	if (!err && opts->time_ns)
		err = loop__add(loop, SOURCE_END, open_timer(run->start_ns + opts->time_ns, 0));
	if (!err)
		err = loop__add(loop, SOURCE_PAUSE,
				timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	if (!err)
		err = loop__add(loop, SOURCE_VCPUS, vcpus__fd(run->vcpus));
	for (size_t i = 0; !err && i < run->nr_attached; i++)
		if (run->attached[i]->events)
			err = loop__add(loop, SOURCE_EVENTS + i,
					ring_buffer__epoll_fd(run->attached[i]->events));
	/* Where there is no pidfd, -p's end shows as silence only. */
	if (!err && opts->pid) {
		int fd = syscall(SYS_pidfd_open, opts->pid, 0);

		if (fd >= 0)
			err = loop__add(loop, SOURCE_VMM, fd);
	}
	return err;
}

/* One interval has ended: new vCPUs first, then events and rows, then the slots of the ended. */
static void report_interval(struct run *run)
{
	vcpus__refresh(run->vcpus);
	for (size_t i = 0; i < run->nr_attached; i++)
		attach__read_events(run->attached[i]);
	run->now_ns = clock__ns();
	for (size_t i = 0; i < run->nr_attached; i++) {
		struct attachment *at = run->attached[i];

		attach__next_epoch(at);
		at->monitor->report(run, at, SCOPE_INTERVAL);
	}
	vcpus__release_ended(run->vcpus);
	run->since_ns = run->now_ns;
}

static void report_total(struct run *run)
{
	run->since_ns = run->start_ns;
	for (size_t i = 0; i < run->nr_attached; i++)
		run->attached[i]->monitor->report(run, run->attached[i], SCOPE_TOTAL);
}

static bool ends_with_interval(const struct run *run)
{
	return run->opts->time_ns &&
	       clock__ns() + NSEC_PER_MSEC >= run->start_ns + run->opts->time_ns;
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
			vcpus__learn(run->vcpus);
			attach__read_events(run->attached[event.data.u32 - SOURCE_EVENTS]);
			err = output__flush(run->out);
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
			say("the VM with pid %d has ended", run->opts->pid);
			return 0;
		case SOURCE_VCPUS:
			vcpus__learn(run->vcpus);
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
			err = output__flush(run->out);
			if (err)
				return -err;
		}
	}
}

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
	struct json_object *obj;
	char text[128];

	snprintf(text, sizeof(text), "%s/%s", hook_kind__name(hook->kind), hook->target);
	obj = hook_object(at->monitor->name, need->first->need, text, need_state__word(need),
			  need->why);
	if (at->run->stats_fd >= 0 && !hook->at_entry)
		add_runs(obj, need->runs, need->run_ns);
	return obj;
}

/* The program at entries: what the hooks that it calls cost together. */
static struct json_object *entry_object(const struct run *run)
{
	struct json_object *obj =
		hook_object("kvm_watcher", "kvm_entry", "raw_tp/kvm_entry", "attached", "");

	add_runs(obj, run->entry_runs, run->entry_run_ns);
	return obj;
}

static uint64_t self_cpu_ns(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NSEC_PER_SEC +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

/* --self-cost: from now on the kernel takes the time of every run of a BPF program. */
static void enable_stats(struct run *run)
{
	run->stats_fd = run->opts->self_cost ? bpf_enable_stats(BPF_STATS_RUN_TIME) : -1;
	if (run->opts->self_cost && run->stats_fd < 0)
		say("--self-cost: the times of the BPF programs are missing, because the kernel's "
		    "statistics of them can't be enabled: %s",
		    strerror(errno));
}

static void say_self_cost(const struct run *run, uint64_t cpu_ns)
{
	double wall_ns = run->now_ns - run->start_ns;
	uint64_t runs = 0, ns = 0;

	for (size_t i = 0; i < run->nr_attached && run->stats_fd >= 0; i++) {
		const struct attachment *at = run->attached[i];

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
	if (run->entry_runs) {
		runs += run->entry_runs;
		ns += run->entry_run_ns;
		say("self-cost: kvm_watcher: raw_tp/kvm_entry, for all that wait for an entry: "
		    "%" PRIu64 " events, %.0f ns each",
		    run->entry_runs, (double)run->entry_run_ns / run->entry_runs);
	}
	if (run->stats_fd >= 0)
		say("self-cost: BPF programs: %" PRIu64 " events, %.3f ms (%.2f %% of one CPU)",
		    runs, ns / 1e6, 100.0 * ns / wall_ns);
	say("self-cost: user space: %.3f ms of CPU (%.2f %% of one CPU)", cpu_ns / 1e6,
	    100.0 * cpu_ns / wall_ns);
}

/* What the user can do against a loss; nothing against most. */
static void advise(const struct run *run, enum lost what, char *text, size_t size)
{
	size_t max = vcpus__max(run->vcpus);

	text[0] = '\0';
	if (what == LOST_EVENTS)
		snprintf(text, size,
			 "; --ring-size=MIB gives the ring more than its %" PRIu32 " MiB",
			 run__ring_mib(run));
	else if ((what == LOST_VCPUS_FULL || what == LOST_RECORDS_FULL) && max < MAX_VCPU_SLOTS - 1)
		snprintf(text, size, "; --max-vcpus=N makes room for more vCPUs than %zu", max);
}

static void say_losses(const struct run *run)
{
	char advice[128];

	for (int i = 0; i < NR_LOST; i++) {
		if (!run->lost[i])
			continue;
		advise(run, i, advice, sizeof(advice));
		say("lost: %" PRIu64 " %s (%s)%s", run->lost[i], lost__name(i), lost__help(i),
		    advice);
	}
}

static void write_summary(struct run *run)
{
	uint64_t cpu_ns = self_cpu_ns() - run->start_cpu_ns;
	struct json_object *obj = json_object_new_object(), *lost = json_object_new_object();
	struct json_object *hooks = json_object_new_array();

	for (int i = 0; i < NR_LOST; i++)
		json_object_object_add(lost, lost__name(i), json_object_new_uint64(run->lost[i]));
	for (size_t i = 0; i < run->nr_attached; i++)
		for (size_t j = 0; j < run->attached[i]->nr_needs; j++)
			json_object_array_add(
				hooks, need_object(run->attached[i], &run->attached[i]->needs[j]));
	if (run->stats_fd >= 0 && run->entry_attached)
		json_object_array_add(hooks, entry_object(run));
	json_object_object_add(obj, "monitor", json_object_new_string("kvm_watcher"));
	json_object_object_add(obj, "scope", json_object_new_string("summary"));
	json_object_object_add(obj, "ts_ns", json_object_new_uint64(run->now_ns));
	json_object_object_add(obj, "duration_ns",
			       json_object_new_uint64(run->now_ns - run->start_ns));
	json_object_object_add(obj, "lost", lost);
	json_object_object_add(obj, "hooks", hooks);
	json_object_object_add(obj, "self_cpu_ns", json_object_new_uint64(self_cpu_ns()));
	json_object_object_add(obj, "watching_cpu_ns", json_object_new_uint64(cpu_ns));
	output__object(run->out, obj);
	say_losses(run);
	if (run->opts->self_cost)
		say_self_cost(run, cpu_ns);
}

static void say_what_is_missing(const struct attachment *at)
{
	const char *said = "";

	for (size_t i = 0; i < at->nr_needs; i++) {
		const struct need_state *need = &at->needs[i];

		/* A function's begin and end, of which both are needed, give one thing. */
		if (need->hook || !strcmp(need->first->gives, said))
			continue;
		said = need->first->gives;
		say("%s: missing: %s, because %s", at->monitor->name, said, need->why);
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
	for (size_t i = 0; i < nr_monitors; i++) {
		struct attachment *at = &run->attachments[run->nr_attached];
		int err;

		if (!(run->opts->monitors & (1ULL << i)) || !monitor__measures(monitors[i]))
			continue;
		err = attach__load(run, monitors[i], at);
		if (err)
			say_what_is_missing(at);
		if (started(at, err))
			run->attached[run->nr_attached++] = at;
	}
}

/* All are loaded before the first one is attached: loading takes long, and they count from the same moment on. */
static int attach_all(struct run *run)
{
	size_t nr_loaded;

	load_all(run);
	nr_loaded = run->nr_attached;
	run->nr_attached = 0;
	for (size_t i = 0; i < nr_loaded; i++) {
		struct attachment *at = run->attached[i];
		int err = attach__attach(at);

		say_what_is_missing(at);
		if (started(at, err))
			run->attached[run->nr_attached++] = at;
	}
	return run->nr_attached ? 0 : -EOPNOTSUPP;
}

/* -p: a clear word when that process is none or no VM. */
static int check_pid(const struct options *opts)
{
	struct vm vm;
	int err;

	if (!opts->pid)
		return 0;
	err = vm__probe("/proc", opts->pid, &vm);
	if (err == -ESRCH)
		say("-p %d: there is no such process (--list shows the VMs)", opts->pid);
	else if (err == -ENXIO)
		say("-p %d: %s is not a VM, it holds no KVM VM descriptor (--list shows the VMs)",
		    opts->pid, vm.name);
	else if (err)
		say("-p %d: its descriptors can't be read: run as root", opts->pid);
	return err;
}

int terminal__width(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		return 80;
	return size.ws_col;
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

/*
 * The hooks are detached. Programs may still be running on other CPUs: waits for
 * these. Then what found no room is final: until the very end it is either
 * shown or counted here.
 */
static void settle(struct run *run)
{
	static const enum lost no_room[] = {
		LOST_VCPUS_FULL,
		LOST_RECORDS_FULL,
		LOST_PAGES_FULL,
		LOST_EVENTS,
	};
	uint64_t lost[NR_LOST];
	int err = grace__wait(grace_ways);

	if (err)
		say("the kernel refuses to wait for the BPF programs (%s): the last events may be "
		    "missing",
		    strerror(-err));
	vcpus__losses(run->vcpus, lost);
	for (size_t i = 0; i < sizeof(no_room) / sizeof(*no_room); i++)
		run->lost[no_room[i]] = lost[no_room[i]];
}

/* Takes what the kernel knows of the program at entries. Returns the runs that it skipped. */
static uint64_t read_entry(struct run *run)
{
	struct bpf_prog_info info;

	if (entry__info(run->entry, &info))
		return 0;
	run->entry_attached = true;
	run->entry_runs = info.run_cnt;
	run->entry_run_ns = info.run_time_ns;
	return info.recursion_misses;
}

/* After everything is attached: the loop, then the rest of the data. */
static int measure(struct run *run, const sigset_t *signals)
{
	struct loop loop;
	int err;

	enable_stats(run);
	run->start_cpu_ns = self_cpu_ns();
	run->start_ns = run->since_ns = run->now_ns = clock__ns();
	err = loop__open(&loop, run, signals);
	if (err) {
		say("can't wait for events: %s", strerror(-err));
		goto cleanup;
	}
	say_ready(run);
	err = loop__run(&loop, run);
	/* While the hooks still are complete: half a pair is no loss after that. */
	vcpus__losses(run->vcpus, run->lost);
	for (size_t i = 0; i < run->nr_attached; i++)
		if (run->attached[i]->monitor->ending)
			run->attached[i]->monitor->ending(run, run->attached[i]);
	for (size_t i = 0; i < run->nr_attached; i++) {
		run->lost[LOST_SKIPPED] += attach__skipped(run->attached[i]);
		attach__read_runs(run->attached[i]);
	}
	run->lost[LOST_SKIPPED] += read_entry(run);
	for (size_t i = 0; i < run->nr_attached; i++)
		attach__detach(run->attached[i]);
	settle(run);
	if (err != -EPIPE) {
		report_interval(run);
		report_total(run);
		write_summary(run);
	}
	if (!err)
		err = -output__flush(run->out);
	if (err && err != -EPIPE)
		say("can't write the output: %s", strerror(-err));
cleanup:
	loop__close(&loop);
	if (run->stats_fd >= 0)
		close(run->stats_fd);
	return err && err != -EPIPE ? EXIT_NOT_MEASURED : EXIT_MEASURED;
}

int run__watch(const struct options *opts)
{
	struct run run = { .opts = opts };
	int code = EXIT_NOT_MEASURED;
	sigset_t signals;

	block_signals(&signals);
	if (check_pid(opts))
		return EXIT_USAGE;
	if (!host__has_kvm()) {
		say("this kernel has no KVM now: load kvm_intel or kvm_amd (modprobe)");
		return EXIT_NOT_MEASURED;
	}
	if (opts->pid && !host__initial_pid_namespace()) {
		say("-p needs the host's PID namespace; this is another one");
		return EXIT_NOT_MEASURED;
	}
	if (vcpus__open(opts, &run.vcpus))
		return EXIT_NOT_MEASURED;
	/* Every table and every batch of events is flushed, and not each of many lines. */
	setvbuf(stdout, NULL, _IOFBF, STDOUT_BUFFER);
	run.out = output__new(opts->format, stdout, terminal__width());
	if (!run.out)
		say("out of memory");
	else if (!attach_all(&run))
		code = measure(&run, &signals);
	for (size_t i = 0; i < run.nr_attached; i++)
		attach__close(&run, run.attached[i]);
	output__free(run.out);
	entry__close(run.entry);
	vcpus__close(run.vcpus);
	return code;
}
