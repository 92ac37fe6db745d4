// SPDX-License-Identifier: GPL-2.0-only
/* top: a live screen of the VMs, or of recordings. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "../core/attach.h"
#include "../core/broker.h"
#include "../core/clock.h"
#include "../core/limits.h"
#include "../core/log.h"
#include "../core/loop.h"
#include "../core/memory.h"
#include "../core/record.h"
#include "../core/replay.h"
#include "../core/sandbox.h"
#include "../diagnose/rolling.h"
#include "../monitors/monitors.h"
#include "../output/format.h"
#include "../output/text.h"
#include "../top/run.h"
#include "commands.h"

enum {
	MOST_FRAMES = 2000, /* of a recording: longer ones are shown in longer intervals */
	MOST_MISSING = 64,
	PIPE_COLS = 100,
	SLOWER_NS = NSEC_PER_MSEC,
	BPF_EVERY = 30, /* seconds between two samples of what the programs take */
	SINK_SCREEN = 0,
	SINK_RECORD,
	NR_SINKS,
};

static const struct option_row top_own_options[] = {
	{ "max-vcpus", 0, "N", "track up to N vCPUs at a time", GROUP_SELECTION, parse_max_vcpus },
	{ "slower-than", 0, "TIME",
	  "on a vCPU's screen, list single events that took longer (default 1ms)", GROUP_OUTPUT,
	  parse_slower },
	{ "once", 0, NULL, "print the first screen as text and exit", GROUP_OUTPUT,
	  .flag = offsetof(struct options, top.once) },
	{ "no-config", 0, NULL, "neither read nor write ${XDG_CONFIG_HOME}/kvm_watcher/toprc",
	  GROUP_OUTPUT, .flag = offsetof(struct options, top.no_config) },
	{ "no-sandbox", 0, NULL, "keep full privileges in the process that reads and shows",
	  GROUP_OUTPUT, .flag = offsetof(struct options, no_sandbox) },
	{},
};

/* All that can be shown; exits a second time, with what they were for. */
struct measured {
	struct chosen chosen[MAX_MONITORS];
	struct monitor_config configs[MAX_MONITORS];
	struct given_option given[MAX_MONITORS];
	size_t nr;
	size_t exits, detailed;	   /* places of both; nr: there is none */
	size_t slow[MAX_MONITORS]; /* by monitor: with slow events too; 0: it has none */
};

struct session {
	const struct options *opts;
	struct model *model;
	struct settings settings;
	int settings_fd;
	struct term *term; /* NULL: tables */
	struct top *top;
	struct ui *ui; /* of the tables */
	struct ui_options ui_opts;
	char about[128];
	bool once;

	/* Of a run. */
	struct measured measured;
	struct sink sinks[NR_SINKS];
	struct attach_env env;
	struct driver driver;
	uint32_t mask;
	struct ui_status status;
	uint64_t cpu_ns, at_ns; /* of user space, at the last report */
	int timer;		/* ends a sample of the programs' time */
	int stats;		/* the kernel's statistics are on; -1: off */
	uint64_t stats_ns, stats_began, stats_last;
	unsigned int record_keys; /* that were answered */
	bool has_given;		  /* the file of --record waits for the first */
	char recording[PATH_MAX]; /* the file that is recorded into, or was last */
	struct rolling *rules;
	struct output *rules_out;
};

static bool is_terminal(void)
{
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

/* -p N, --vm_pid, --vm, in all their forms. */
bool top__is_meant(int argc, char **argv)
{
	if (!is_terminal())
		return false;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-p") || !strcmp(argv[i], "--vm") ||
		    !strcmp(argv[i], "--vm_pid"))
			i++;
		else if (strncmp(argv[i], "-p", 2) != 0 && strncmp(argv[i], "--vm=", 5) != 0 &&
			 strncmp(argv[i], "--vm_pid=", 9) != 0)
			return false;
	}
	return true;
}

/* Tables, where there is no screen */

static int terminal_cols(const struct session *s)
{
	int cols = terminal__width();

	if (s->opts->width)
		return (int)s->opts->width;
	return cols > 0 ? cols : PIPE_COLS;
}

static bool print_frame(struct session *s, struct frame *frame)
{
	const struct canvas *c = ui__draw_once(s->ui, terminal_cols(s), frame);

	canvas__print(c, stdout);
	if (!s->once)
		text__print(stdout, "", "%s", "");
	return !fflush(stdout) && !ferror(stdout);
}

/* Of a run: the newest; of a recording: all of it. */
static bool print_newest(struct session *s, bool total)
{
	struct frame *frame;
	bool ok;

	model__lock(s->model);
	frame = total ? model__take_total(s->model) : NULL;
	if (!frame)
		frame = frame__get(model__frame(s->model, model__nr_frames(s->model) - 1));
	model__unlock(s->model);
	ok = print_frame(s, frame);
	model__lock(s->model);
	model__put(s->model, frame);
	model__unlock(s->model);
	return ok;
}

/* The session */

static bool open_screen(struct session *s)
{
	const struct term_options options = {};
	char why[128];

	if (s->once)
		return true;
	s->term = term__open(&options, why, sizeof(why));
	if (!s->term)
		say("can't open a screen, because %s (TERM=%s): printing tables instead", why,
		    getenv("TERM") ?: "");
	return true;
}

/* What it costs comes first: names of rules are long. */
static unsigned int find_finding(void *ctx, uint32_t pid, const char *id, char *text, size_t size)
{
	struct rolling_vm vm;

	if (!rolling__find(ctx, pid, id, &vm) || !vm.nr_findings)
		return SEVERITY_NONE;
	snprintf(text, size, "%s %.0f%%", vm.first.rule->id, 100 * vm.first.share);
	return vm.first.severity;
}

static int open_session(struct session *s, const struct options *opts)
{
	*s = (struct session){
		.opts = opts,
		.once = opts->top.once,
		.settings_fd = -1,
		.timer = -1,
		.stats = -1,
		.status = { NAN, NAN },
	};
	s->model = model__new(monitors, nr_monitors, HISTORY_BYTES);
	if (!s->model) {
		memory__is_short();
		return -ENOMEM;
	}
	s->rules = rolling__new();
	s->rules_out = s->rules ? rolling__output(s->rules) : NULL;
	if (s->rules_out) {
		const struct model_rules rules = { s->rules_out, find_finding, s->rules };

		model__set_rules(s->model, &rules);
	}
	if (!opts->top.no_config && !s->once)
		s->settings_fd = settings__load(&s->settings);
	s->ui_opts = (struct ui_options){
		.model = s->model,
		.settings = &s->settings,
		.about = "",
		.interval_ns = opts->interval_ns != NO_INTERVAL ? opts->interval_ns :
			       s->settings.interval_ns		?:
								  2ULL * NSEC_PER_SEC,
	};
	open_screen(s);
	if (s->term)
		return 0;
	s->ui = ui__new(&s->ui_opts);
	return s->ui ? 0 : -ENOMEM;
}

static void close_session(struct session *s)
{
	top__stop(s->top);
	settings__save(&s->settings, s->settings_fd);
	if (s->settings_fd >= 0)
		close(s->settings_fd);
	ui__free(s->ui);
	output__free(s->rules_out);
	rolling__free(s->rules);
	model__free(s->model);
	term__close(s->term);
	top__release_messages();
}

static void on_frame(void *ctx)
{
	const struct session *s = ctx;

	if (s->top)
		top__wake(s->top);
}

static int start_screen(void *ctx)
{
	struct session *s = ctx;
	const struct top_options options = {
		.ui = s->ui_opts,
		.term = s->term,
		.has_signals = s->ui_opts.replays,
	};

	if (!s->term)
		return 0;
	s->top = top__start(&options);
	return s->top ? 0 : -ENOMEM;
}

/* A recording */

static const char *name_of(const struct options *opts, char *text, size_t size)
{
	const char *slash = strrchr(opts->operands[0], '/');

	if (opts->nr_operands > 1)
		snprintf(text, size, "%s and %zu more", slash ? slash + 1 : opts->operands[0],
			 opts->nr_operands - 1);
	else
		snprintf(text, size, "%s", slash ? slash + 1 : opts->operands[0]);
	return text;
}

static int show_recording(struct session *s)
{
	const struct options *opts = s->opts;
	struct replay *r = replay__open(opts->operands, opts->nr_operands, monitors, nr_monitors);
	struct replay_options options = { .filter = &opts->filter, .events = true };
	struct chosen chosen[MAX_MONITORS];
	struct sink sink = {};
	uint64_t intervals;
	size_t nr_chosen;
	int err = -ENOMEM;

	if (!r)
		return -EINVAL;
	replay__start(r);
	nr_chosen = replay__chosen(r, chosen);
	for (size_t i = 0; s->rules && i < nr_chosen; i++)
		rolling__add_monitor(s->rules, chosen[i].monitor->name, chosen[i].monitor->hooks);
	intervals = replay__count(r, 0, 0);
	if (intervals > MOST_FRAMES)
		options.interval_ns =
			(intervals + MOST_FRAMES - 1) / MOST_FRAMES * replay__interval_ns(r);
	s->ui_opts.replays = true;
	s->ui_opts.about = name_of(opts, s->about, sizeof(s->about));
	if (opts->interval_ns == NO_INTERVAL && !s->settings.interval_ns)
		s->ui_opts.interval_ns = NSEC_PER_SEC;
	sink.out = model__output(s->model);
	if (s->ui) {
		ui__free(s->ui);
		s->ui = ui__new(&s->ui_opts);
	}
	if (!sink.out || (!s->term && !s->ui)) {
		memory__is_short();
	} else if (!s->term) {
		err = replay__run(r, &options, &sink);
		if (!err && model__nr_frames(s->model))
			print_newest(s, true);
		else if (!err)
			say("the recording has no complete interval");
	} else {
		top__block_signals();
		err = top__catch_messages();
		model__on_frame(s->model, on_frame, s);
		if (!err)
			err = start_screen(s);
		if (!err)
			err = replay__run(r, &options, &sink);
		if (s->top)
			top__wait(s->top);
		top__stop(s->top);
		s->top = NULL;
	}
	output__free(sink.out);
	replay__close(r);
	return err == -EPIPE ? 0 : err;
}

/* A run */

static void choose(struct measured *to)
{
	to->exits = to->detailed = MAX_MONITORS;
	for (size_t i = 0; i < nr_monitors && to->nr < MAX_MONITORS; i++) {
		to->chosen[to->nr] =
			(struct chosen){ .monitor = monitors[i], .config = &to->configs[to->nr] };
		to->nr++;
	}
	for (size_t i = 0; i < nr_monitors && to->nr < MAX_MONITORS; i++)
		for (const struct monitor_option *o = monitors[i]->options; o && o->name; o++) {
			if (strcmp(o->name, "detail") != 0)
				continue;
			o->set(&to->configs[to->nr], NULL);
			to->given[to->nr] = (struct given_option){ o, NULL };
			to->chosen[to->nr] = (struct chosen){
				.monitor = monitors[i],
				.config = &to->configs[to->nr],
				.given = &to->given[to->nr],
				.nr_given = 1,
			};
			to->exits = i;
			to->detailed = to->nr++;
			return;
		}
}

/* Once more those that have slow events, exits with their details. */
static void choose_slow(struct measured *to, uint64_t slower_ns)
{
	for (size_t i = 0; i < nr_monitors && to->nr < MAX_MONITORS; i++) {
		if (!monitors[i]->event || !monitors[i]->event_ns_at)
			continue;
		to->chosen[to->nr] = to->chosen[i == to->exits ? to->detailed : i];
		to->chosen[to->nr].slower_ns = slower_ns;
		to->slow[i] = to->nr++;
	}
}

static uint32_t mask_of(const struct session *s, const struct wanted *wanted)
{
	uint32_t mask = 0;

	for (size_t i = 0; i < nr_monitors; i++) {
		const struct measured *m = &s->measured;

		if (wanted->monitors >> i & 1)
			mask |= 1U << (wanted->slow && m->slow[i]      ? m->slow[i] :
				       wanted->detail && i == m->exits ? m->detailed :
									 i);
	}
	return mask;
}

/* What is attached now, and what of it this host has. */
static void tell_rules(struct session *s, const struct run *run)
{
	if (!s->rules)
		return;
	rolling__forget_needs(s->rules);
	for (size_t i = 0; i < s->measured.nr; i++) {
		const struct monitor *m = s->measured.chosen[i].monitor;
		const struct attachment *at = run__attachment(run, i);

		if (!(run__measured(run) >> i & 1) || !at)
			continue;
		rolling__add_monitor(s->rules, m->name, m->hooks);
		for (size_t j = 0; j < at->nr_needs; j++)
			rolling__set_need(s->rules, m->name, at->needs[j].first->need,
					  !at->needs[j].hook, at->needs[j].why);
	}
}

static void note_missing(struct session *s, const struct run *run)
{
	struct missing list[MOST_MISSING];
	uint64_t lost[NR_LOST] = {}, all = 0;
	size_t nr = 0;

	for (size_t i = 0; i < s->measured.nr; i++) {
		const struct attachment *at = s->mask >> i & 1 ? run__attachment(run, i) : NULL;

		for (size_t j = 0; at && j < at->nr_needs && nr < MOST_MISSING; j++) {
			const struct need_state *need = &at->needs[j];

			if (need->hook || !need->first)
				continue;
			memset(&list[nr], 0, sizeof(list[nr]));
			snprintf(list[nr].monitor, sizeof(list[nr].monitor), "%s",
				 s->measured.chosen[i].monitor->name);
			snprintf(list[nr].need, sizeof(list[nr].need), "%s", need->first->need);
			snprintf(list[nr].gives, sizeof(list[nr].gives), "%s",
				 need->first->gives ?: "");
			snprintf(list[nr].why, sizeof(list[nr].why), "%s", need->why);
			nr++;
		}
	}
	run__losses(run, lost);
	for (int i = 0; i < NR_LOST; i++)
		all += lost[i];
	if (s->rules)
		rolling__set_lost(s->rules, all);
	model__lock(s->model);
	model__set_missing(s->model, list, nr);
	model__set_lost(s->model, all);
	model__unlock(s->model);
}

static uint64_t cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * NSEC_PER_SEC + used.tv_nsec;
}

/* What the programs have taken while the statistics were on. */
static uint64_t runs_ns(const struct session *s, const struct run *run)
{
	struct bpf_prog_info entry = {};
	uint64_t sum = 0;

	for (size_t i = 0; i < s->measured.nr; i++) {
		const struct attachment *at = s->mask >> i & 1 ? run__attachment(run, i) : NULL;

		for (size_t j = 0; at && j < at->nr_needs; j++) {
			struct bpf_prog_info info = {};
			uint32_t size = sizeof(info);

			if (at->progs[j] > 0 && !bpf_obj_get_info_by_fd(at->progs[j], &info, &size))
				sum += info.run_time_ns;
		}
	}
	for (enum head h = 0; h < NR_HEADS; h++)
		if (attach__entry_info(&s->env, h, &entry))
			sum += entry.run_time_ns;
	return sum;
}

static void begin_sample(struct session *s, const struct run *run)
{
	uint64_t now = clock__ns();

	if (s->stats >= 0 ||
	    (s->stats_last && now - s->stats_last < BPF_EVERY * (uint64_t)NSEC_PER_SEC))
		return;
	s->stats = broker__enable_stats(s->env.broker);
	s->stats_last = s->stats_began = now;
	s->stats_ns = runs_ns(s, run);
	if (s->stats >= 0)
		clock__set_timer(s->timer, now + NSEC_PER_SEC);
}

static void drop_sample(struct session *s)
{
	if (s->stats >= 0)
		close(s->stats);
	s->stats = -1;
}

static void end_sample(struct session *s, const struct run *run)
{
	uint64_t expired, now = clock__ns(), ns;

	if (read(s->timer, &expired, sizeof(expired)) != sizeof(expired) || s->stats < 0)
		return;
	ns = runs_ns(s, run);
	drop_sample(s);
	if (now > s->stats_began && ns >= s->stats_ns)
		s->status.bpf_cpu = (double)(ns - s->stats_ns) / (now - s->stats_began);
}

static void note_cpu(struct session *s)
{
	uint64_t now = clock__ns(), used = cpu_ns();

	if (s->at_ns && now > s->at_ns)
		s->status.user_cpu = (double)(used - s->cpu_ns) / (now - s->at_ns);
	s->at_ns = now;
	s->cpu_ns = used;
}

static void tell(struct session *s, struct run *run)
{
	note_missing(s, run);
	if (s->top)
		top__set_status(s->top, &s->status);
}

static int on_began(void *ctx, struct run *run)
{
	struct session *s = ctx;

	note_cpu(s);
	tell_rules(s, run);
	tell(s, run);
	return 0;
}

static int on_reported(void *ctx, struct run *run)
{
	struct session *s = ctx;

	note_cpu(s);
	tell(s, run);
	if (s->top) {
		begin_sample(s, run);
		return 0;
	}
	return print_newest(s, false) && !s->once ? 0 : RUN_END;
}

static int measure(struct session *s, struct run *run, uint32_t mask, bool reset)
{
	int err;

	drop_sample(s);
	s->stats_last = 0;
	s->mask = mask;
	s->status.loading = true;
	top__set_status(s->top, &s->status);
	err = reset ? run__restart(run, mask) : run__measure(run, mask);
	s->status.loading = false;
	tell_rules(s, run);
	if (reset)
		model__clear(s->model);
	return err;
}

/* Recordings */

static struct record_options recording_of(const struct session *s, const int *fds)
{
	return (struct record_options){
		.path = s->recording,
		.fds = fds,
		.limit = s->opts->record.limit,
		.mask = s->opts->record.mask,
		.force = s->opts->record.force,
		.chosen = s->measured.chosen,
		.nr_chosen = s->measured.nr,
		.env = &s->env,
	};
}

/* False, after a message: nothing has changed. */
static bool make_recording(struct session *s)
{
	size_t nr = record__nr_files(s->opts->record.limit), made = 0;
	int fds[RECORDING_SEGMENTS], err = 0;
	char name[sizeof(s->recording)] = "";

	for (; made < nr; made++) {
		fds[made] = broker__new_recording(s->env.broker, (int)made, name, sizeof(name));
		if (fds[made] < 0) {
			err = fds[made];
			break;
		}
	}
	if (err) {
		say("not recording: can't create %s in the directory where top was started: %s",
		    name, limits__reason(err));
	} else {
		const struct record_options options = recording_of(s, fds);

		snprintf(s->recording, sizeof(s->recording), "%s", name);
		err = record__open(&options, &s->sinks[SINK_RECORD]);
	}
	for (size_t i = 0; err && i < made; i++)
		close(fds[i]);
	return !err;
}

/* All counts from now on, of the screen and of the file. */
static int begin_recording(struct session *s, struct run *run, uint32_t mask)
{
	struct sink *sink = &s->sinks[SINK_RECORD];
	struct output *out;
	const char *slash;
	int err;

	if (!s->has_given && !make_recording(s))
		return 0;
	/* Nobody is to be told of what was before. */
	out = sink->out;
	sink->out = NULL;
	err = measure(s, run, mask, true);
	sink->out = out;
	if (err)
		return err;
	sink->interval_ns = s->opts->record.interval_ns;
	if (s->has_given)
		sink->due_ns = run__start_ns(run) + sink->interval_ns;
	else
		run__begin_sink(run, SINK_RECORD);
	s->has_given = false;
	slash = strrchr(s->recording, '/');
	snprintf(s->status.recording, sizeof(s->status.recording), "%.*s", RECORDING_LEN - 1,
		 slash ? slash + 1 : s->recording);
	say("recording into %s; press w to end", s->recording);
	return 0;
}

static int end_recording(struct session *s, struct run *run)
{
	int err = run__end_sink(run, SINK_RECORD);

	*s->status.recording = '\0';
	say("recorded into %s", s->recording);
	return err;
}

/* What a recording has is not to be forgotten: what is on the screen alone. */
static void forget_screen(struct session *s, struct run *run)
{
	run__look(run);
	run__report(run, 1ULL << SINK_SCREEN, SCOPE_INTERVAL);
	model__clear(s->model);
}

static int on_ready(void *ctx, struct run *run)
{
	struct session *s = ctx;
	struct ui_requests wants;
	uint64_t count;
	uint32_t mask;
	int err = 0;

	if (read(top__fd(s->top), &count, sizeof(count)) < 0 && errno != EAGAIN)
		return -errno;
	end_sample(s, run);
	wants = top__requests(s->top);
	if (wants.quits)
		return RUN_END;
	mask = mask_of(s, &wants.wanted);
	s->sinks[SINK_SCREEN].interval_ns = wants.interval_ns;
	for (; !err && s->record_keys != wants.record_keys; s->record_keys++)
		err = *s->status.recording ? end_recording(s, run) : begin_recording(s, run, mask);
	if (wants.reset && *s->status.recording) {
		forget_screen(s, run);
		wants.reset = false;
	}
	if (!err && (wants.reset || mask != s->mask))
		err = measure(s, run, mask, wants.reset);
	tell(s, run);
	return err;
}

static int settled(void *ctx)
{
	struct session *s = ctx;
	struct epoll_event event = { .events = EPOLLIN };
	int err = start_screen(s);

	if (err || !s->top)
		return err;
	/* Two reasons to be called. */
	s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	s->driver.fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->timer < 0 || s->driver.fd < 0 ||
	    epoll_ctl(s->driver.fd, EPOLL_CTL_ADD, top__fd(s->top), &event) ||
	    epoll_ctl(s->driver.fd, EPOLL_CTL_ADD, s->timer, &event))
		return -errno;
	return 0;
}

static int open_sinks(struct session *s)
{
	struct record_options record;

	s->sinks[SINK_SCREEN].interval_ns = s->ui_opts.interval_ns;
	/* Nor has a screen. */
	s->sinks[SINK_SCREEN].least_share = ROLLING_LEAST_SHARE;
	s->sinks[SINK_SCREEN].out = model__output(s->model);
	if (!s->sinks[SINK_SCREEN].out) {
		memory__is_short();
		return -ENOMEM;
	}
	/* The place of a recording, which w may begin at any time. */
	s->env.nr_sinks = s->term || s->opts->record.path ? NR_SINKS : 1;
	if (!s->opts->record.path)
		return 0;
	snprintf(s->recording, sizeof(s->recording), "%s", s->opts->record.path);
	record = recording_of(s, NULL);
	s->has_given = true;
	return record__open(&record, &s->sinks[SINK_RECORD]);
}

static int show_run(struct session *s)
{
	const struct options *opts = s->opts;
	struct wanted wanted;
	struct watch_options watched = {
		.chosen = s->measured.chosen,
		.about = { program_version, opts->given },
		.driver = &s->driver,
		.records = s->term,
		.quiet = true,
	};
	struct ui *ui;
	int err;

	s->env = (struct attach_env){
		.sinks = s->sinks,
		.filter = &opts->filter,
		.kinds = opts->kinds,
		.summary = true,
		.verbose = opts->verbose,
	};
	s->driver = (struct driver){
		.ctx = s,
		.fd = -1,
		.began = on_began,
		.reported = on_reported,
		.ready = on_ready,
	};
	choose(&s->measured);
	choose_slow(&s->measured, opts->slower_ns ?: SLOWER_NS);
	watched.nr_chosen = s->measured.nr;
	/* What the first screen shows. */
	ui = s->ui ?: ui__new(&s->ui_opts);
	if (!ui)
		return -ENOMEM;
	wanted = ui__requests(ui).wanted;
	if (!s->ui)
		ui__free(ui);
	watched.measured = s->mask = mask_of(s, &wanted);
	err = open_sinks(s);
	if (err)
		return err;
	if (s->term) {
		sandbox__allow_screen();
		top__block_signals();
		err = top__catch_messages();
		model__on_frame(s->model, on_frame, s);
	}
	if (!err)
		err = watch__measure_with(opts, &s->env, &watched, settled, s);
	top__stop(s->top);
	s->top = NULL;
	drop_sample(s);
	watch__close(&s->env);
	return err;
}

static int run(const struct options *opts)
{
	struct session s;
	int code = opts->nr_operands ? 0 : watch__can(opts), err;

	if (code)
		return code;
	err = open_session(&s, opts);
	if (!err)
		err = opts->nr_operands ? show_recording(&s) : show_run(&s);
	close_session(&s);
	return err || log__has_failed() ? EXIT_NOT_MEASURED : EXIT_MEASURED;
}

static int check_options(struct options *opts)
{
	if (!opts->top.once && !is_terminal())
		return usage_error("top needs a terminal; --once prints its first screen as text");
	if (opts->nr_operands && opts->record.path)
		return usage_error(
			"--record works only in a live run; leave out --record or the recording");
	if (!opts->record.path && opts->record.force)
		return usage_error("--force works only with --record=FILE; give both");
	return 0;
}

static const struct option_row *const tables[] = {
	filter_options, hooks_options,	top_own_options, interval_options,
	width_options,	record_options, file_options,	 NULL,
};

const struct command top_command = {
	.name = "top",
	.doc = "Show the VMs on a live screen: those with the most pain first; also from "
	       "recordings.",
	.epilogue = "F1 lists the keys; docs/top.md explains them. On a terminal, kvm_watcher "
		    "without arguments also opens top.",
	.operands = "[FILE...]",
	.most_operands = MAX_OPERANDS,
	.interval_ns = NO_INTERVAL,
	.tables = tables,
	.check = check_options,
	.run = run,
};
