// SPDX-License-Identifier: GPL-2.0-only
/* diagnose: which VM is sick, of what, what that costs and what to do; now, or from recordings. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "../core/attach.h"
#include "../core/clock.h"
#include "../core/limits.h"
#include "../core/log.h"
#include "../core/loop.h"
#include "../core/memory.h"
#include "../core/record.h"
#include "../core/replay.h"
#include "../core/summary.h"
#include "../diagnose/report.h"
#include "../monitors/monitors.h"
#include "commands.h"

enum { MOST_WINDOWS = 300, LIVE_WINDOWS = 5, DEFAULT_SECONDS = 10, DEFAULT_AGE = 60, NO_AGE = 1 };

static int parse_time(struct options *opts, const char *arg)
{
	return parse_duration("-t, --monitoring_time", arg, NSEC_PER_MSEC, &opts->time_ns);
}

/* --after=0 is every VM: 0 is the default's mark, too. */
static int parse_after(struct options *opts, const char *arg)
{
	if (!strcmp(arg, "0")) {
		opts->diagnose.after_ns = NO_AGE;
		return 0;
	}
	return parse_duration("--after", arg, NSEC_PER_MSEC, &opts->diagnose.after_ns);
}

static int parse_assert(struct options *opts, const char *arg)
{
	struct assertion a;
	const char *wrong = assertion__parse(&a, arg);

	if (wrong)
		return usage_error("--assert: \"%s\": %s", arg, wrong);
	if (opts->diagnose.nr_asserted == MAX_REPEATED)
		return usage_error("--assert: give at most %d", MAX_REPEATED);
	opts->diagnose.asserted[opts->diagnose.nr_asserted++] = arg;
	return 0;
}

/* The id up to a colon or the end. */
static bool is_rule(const char *arg, size_t len)
{
	const struct rule *rule;

	for (size_t i = 0; (rule = rule__at(i)); i++)
		if (strlen(rule->id) == len && !strncmp(rule->id, arg, len))
			return true;
	return false;
}

static int parse_ignore(struct options *opts, const char *arg)
{
	if (!is_rule(arg, strcspn(arg, ":")))
		return usage_error("--ignore: \"%s\" is not a rule; give ID or ID:VM (diagnose "
				   "--verbose lists the rules)",
				   arg);
	if (opts->diagnose.nr_ignored == MAX_REPEATED)
		return usage_error("--ignore: give at most %d", MAX_REPEATED);
	opts->diagnose.ignored[opts->diagnose.nr_ignored++] = arg;
	return 0;
}

static int parse_fail_on(struct options *opts, const char *arg)
{
	for (const char *p = arg; *p; p += strcspn(p, ",") + (p[strcspn(p, ",")] == ',')) {
		size_t len = strcspn(p, ",");

		if ((len == 7 && !strncmp(p, "warning", len)) ||
		    (len == 8 && !strncmp(p, "critical", len)) || is_rule(p, len))
			continue;
		return usage_error(
			"--fail-on: \"%s\" is not a severity or a rule; give warning, critical, or "
			"rules separated by commas (diagnose --verbose lists the rules)",
			arg);
	}
	if (!*arg)
		return usage_error(
			"--fail-on: the value is empty; give warning, critical, or rules");
	opts->diagnose.fail_on = arg;
	return 0;
}

static int parse_baseline(struct options *opts, const char *arg)
{
	opts->diagnose.baseline = arg;
	return 0;
}

/* What exits were for, and what a migration may send: options of the monitors that have them. */
static const char detail[] = "detail", bandwidth[] = "migration-bandwidth";

static const struct monitor_option *find_option(const struct monitor *m, const char *name)
{
	for (const struct monitor_option *o = m->options; o && o->name; o++)
		if (!strcmp(o->name, name))
			return o;
	return NULL;
}

static int parse_bandwidth(struct options *opts, const char *arg)
{
	for (size_t i = 0; i < nr_monitors; i++) {
		const struct monitor_option *o = find_option(monitors[i], bandwidth);
		struct monitor_config config = {};
		const char *wrong = o ? o->set(&config, arg) : NULL;

		if (wrong)
			return usage_error("--%s: \"%s\" %s", bandwidth, arg, wrong);
	}
	opts->diagnose.bandwidth = arg;
	return 0;
}

static int parse_undecided(struct options *opts, const char *arg)
{
	if (strcmp(arg, "pass") && strcmp(arg, "fail"))
		return usage_error("--undecided: \"%s\" is not a verdict; give pass or fail", arg);
	opts->diagnose.undecided_passes = !strcmp(arg, "pass");
	return 0;
}

static const struct option_row diagnose_options[] = {
	{ "monitoring_time", 't', "TIME", "length of each pass (default 10 seconds)",
	  GROUP_SELECTION, parse_time },
	{ "all", 0, NULL, "measure everything in one pass", GROUP_SELECTION,
	  .flag = offsetof(struct options, all) },
	{ "after", 0, "TIME",
	  "in VMs younger than this, ignore what any booting guest does (default 60 seconds)",
	  GROUP_SELECTION, parse_after },
	{ "max-vcpus", 0, "N", "track up to N vCPUs at a time", GROUP_SELECTION, parse_max_vcpus,
	  .rare = true },
	{ "no-sandbox", 0, NULL, "keep full privileges in the process that reads and prints",
	  GROUP_OUTPUT, .flag = offsetof(struct options, no_sandbox), .rare = true },
	{ "self-cost", 0, NULL, "report the cost of the BPF programs, which adds slightly to it",
	  GROUP_OUTPUT, .flag = offsetof(struct options, self_cost), .rare = true },
	{ "assert", 0, "TEXT",
	  "exit with 3 unless this holds: 'p99 of IO_INSTRUCTION < 200us for 30s' (repeatable)",
	  GROUP_OUTPUT, parse_assert },
	{ "fail-on", 0, "WHAT",
	  "exit with 3 on these findings: warning, critical, or rules separated by commas",
	  GROUP_OUTPUT, parse_fail_on },
	{ "baseline", 0, "FILE",
	  "findings that are in this recording, too, fail the run only if they cost a fifth more",
	  GROUP_OUTPUT, parse_baseline },
	{ "migration-bandwidth", 0, "MiB/s",
	  "bandwidth of a live migration, to tell whether it converges", GROUP_SELECTION,
	  parse_bandwidth },
	{ "ignore", 0, "ID[:VM]", "do not fail the run on this known finding (repeatable)",
	  GROUP_OUTPUT, parse_ignore },
	{ "undecided", 0, "pass|fail", "pass: exit with 0 if undecided; fail: with 4 (the default)",
	  GROUP_OUTPUT, parse_undecided },
	{},
};

/* What was measured: by one pass, or by two. */
struct measured {
	struct facts first, second, baseline;
	bool has_second, broken_off; /* the second one: what it saw stands, or was too little */
	unsigned int above; /* IN(...): slices that were over the least share in the first pass */
	bool in_passes;
	uint64_t pass_ns, began_ns;
};

static const struct facts *facts_of(const struct measured *m)
{
	return m->has_second ? &m->second : &m->first;
}

/* Which monitors the rules and the assertions need, in the order of the table. */
struct needed {
	struct chosen chosen[MAX_MONITORS];
	struct monitor_config configs[MAX_MONITORS];
	struct given_option given[MAX_MONITORS];
	size_t nr;
	size_t plain;	/* where vm_exit is a second time, without details; 0: it is not */
	uint32_t first; /* those of the first pass */
};

static bool is_of(const char *need, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(need, name, len) && (!need[len] || need[len] == ':');
}

static bool needs_monitor(const struct rule *rule, const char *name)
{
	for (size_t i = 0; i < MAX_RULE_NEEDS && rule->needs[i]; i++)
		if (is_of(rule->needs[i], name))
			return true;
	return false;
}

static bool is_asserted(const struct monitor *m, const struct assertion *assertions, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		for (unsigned int view = 0; m->views[view].title; view++)
			if (!strcmp(m->views[view].name, assertions[i].table))
				return true;
	return false;
}

static bool is_needed(const struct monitor *m, const struct assertion *assertions, size_t nr)
{
	const struct rule *rule;

	for (size_t i = 0; (rule = rule__at(i)); i++)
		if (needs_monitor(rule, m->name))
			return true;
	return is_asserted(m, assertions, nr);
}

static void choose_option(struct needed *to, size_t at, const char *name, const char *arg)
{
	const struct monitor_option *o = find_option(to->chosen[at].monitor, name);

	if (!o)
		return;
	o->set(&to->configs[at], arg);
	to->given[at] = (struct given_option){ o, arg };
	to->chosen[at].given = &to->given[at];
	to->chosen[at].nr_given = 1;
}

static bool has_option(const struct chosen *chosen, const char *name)
{
	return chosen->nr_given && !strcmp(chosen->given->option->name, name);
}

static void choose(struct needed *to, const struct options *opts,
		   const struct assertion *assertions, size_t nr)
{
	for (size_t i = 0; i < nr_monitors; i++) {
		if (!is_needed(monitors[i], assertions, nr))
			continue;
		to->chosen[to->nr] =
			(struct chosen){ .monitor = monitors[i], .config = &to->configs[to->nr] };
		choose_option(to, to->nr, detail, NULL);
		if (opts->diagnose.bandwidth)
			choose_option(to, to->nr, bandwidth, opts->diagnose.bandwidth);
		to->nr++;
	}
}

/* Needs that only details have. */
static bool is_detail(const char *need)
{
	static const char *const details[] = { "vm_exit:kvm_pio", "vm_exit:kvm_mmio",
					       "vm_exit:kvm_msr" };

	for (size_t i = 0; i < sizeof(details) / sizeof(*details); i++)
		if (!strcmp(need, details[i]))
			return true;
	return false;
}

/* These cost little: where the time goes, and what is only asked for. */
static bool is_cheap(const char *name)
{
	static const char *const cheap[] = { "vcpu_load", "vcpu_wakeup", "halt_poll_ns",
					     "vm_state",  "vmm_threads", "host" };

	for (size_t i = 0; i < sizeof(cheap) / sizeof(*cheap); i++)
		if (!strcmp(name, cheap[i]))
			return true;
	return false;
}

/* After choose(): what the first pass has; exits without details. */
static void choose_first(struct needed *to, const struct assertion *assertions, size_t nr)
{
	size_t all = to->nr;

	for (size_t i = 0; i < all; i++) {
		const struct monitor *m = to->chosen[i].monitor;

		if (is_cheap(m->name) || is_asserted(m, assertions, nr)) {
			to->first |= 1U << i;
		} else if (has_option(&to->chosen[i], detail) && to->nr < MAX_MONITORS) {
			to->plain = to->nr++;
			to->chosen[to->plain] = (struct chosen){
				.monitor = m,
				.config = &to->configs[to->plain],
			};
			to->first |= 1U << to->plain;
		}
	}
}

static size_t find_chosen(const struct needed *needed, const char *need)
{
	for (size_t i = 0; i < needed->nr; i++)
		if (i != needed->plain && is_of(need, needed->chosen[i].monitor->name))
			return i;
	return needed->nr;
}

/* Two passes */

struct passes {
	struct measured *m;
	struct needed *needed;
	const struct diagnose_options *options;
	struct output *out;
};

/*
 * Which monitors a rule has to have before it can be judged, beyond those that there are; 0: none,
 * or it can't be judged on this host.
 */
static uint32_t wants(const struct passes *p, const struct rule *rule)
{
	const struct needed *needed = p->needed;
	uint32_t wanted = 0;

	for (size_t i = 0; i < MAX_RULE_NEEDS && rule->needs[i]; i++) {
		const char *need = rule->needs[i], *colon = strchr(need, ':');
		size_t at = find_chosen(needed, need);
		bool is_first = needed->first >> at & 1;

		if (needed->plain && is_of(need, needed->chosen[needed->plain].monitor->name) &&
		    !is_first) {
			if (is_detail(need))
				wanted |= 1U << at;
			is_first = !is_detail(need);
		}
		if (is_first && colon &&
		    facts__missing(&p->m->first, needed->chosen[at].monitor->name, colon + 1))
			return 0;
		if (!is_first)
			wanted |= 1U << at;
	}
	return wanted;
}

/* What the first pass has left open; and which slices were over the least share. */
static uint32_t left_open(struct passes *p)
{
	static const double LEAST = 0.05;
	struct measured *m = p->m;
	struct diagnosis d;
	uint32_t wanted = 0;

	facts__sort(&m->first);
	diagnosis__make(&d, &m->first, p->options);
	for (size_t i = 0; i < d.nr_results; i++)
		if (d.results[i].state == STATE_UNKNOWN)
			wanted |= wants(p, d.results[i].rule);
	for (size_t i = 0; i < d.nr_accounts; i++)
		for (int s = SLICE_KVM; s < NR_SLICES; s++) {
			const struct account *a = &d.accounts[i];

			if (s != SLICE_HALT && s != SLICE_UNACC &&
			    (s != SLICE_KVM || a->guest_is_known) &&
			    a->slices[s] >= LEAST * a->wall_ns)
				m->above |= 1U << s;
		}
	diagnosis__free(&d);
	return wanted;
}

static double seconds_of(const struct measured *m)
{
	return (double)m->pass_ns / NSEC_PER_SEC;
}

static int passes_began(void *ctx, struct run *run)
{
	const struct passes *p = ctx;

	(void)run;
	p->m->began_ns = clock__ns();
	say("first pass, %g s", seconds_of(p->m));
	return 0;
}

static uint64_t lost_by(const struct run *run)
{
	uint64_t lost[NR_LOST], sum = 0;

	run__losses(run, lost);
	for (int i = 0; i < NR_LOST; i++)
		sum += lost[i];
	return sum;
}

static void copy_cgroups(struct facts *to, const struct facts *from)
{
	for (size_t i = 1; i < from->nr_vms; i++)
		facts__set_cgroup(to, from->vms[i].name, from->vms[i].id, from->vms[i].pid,
				  from->vms[i].cgroup);
}

static int begin_second(struct passes *p, struct run *run, uint32_t wanted)
{
	struct needed *needed = p->needed;
	uint32_t chosen = needed->first | wanted;
	char above[160];
	int err;

	/* With details, instead of without. */
	if (needed->plain && wanted >> find_chosen(needed, "vm_exit") & 1)
		chosen &= ~(1U << needed->plain);
	slices__name(p->m->above, above, sizeof(above));
	say("first pass, %g s: %s%s; second pass, %g s", seconds_of(p->m),
	    *above ? above : "something needs a closer look",
	    !*above			    ? "" :
	    p->m->above & (p->m->above - 1) ? " are above 5 %" :
					      " is above 5 %",
	    seconds_of(p->m));
	err = run__restart(run, chosen);
	if (err)
		return err;
	p->m->has_second = true;
	copy_cgroups(&p->m->second, &p->m->first);
	facts__take_attached(&p->m->second, run, needed->chosen, needed->nr);
	p->m->second.vendor = facts__keep(&p->m->second, p->m->first.vendor);
	p->m->second.cpus = p->m->first.cpus;
	facts__fill(p->out, &p->m->second);
	return 0;
}

static int passes_reported(void *ctx, struct run *run)
{
	struct passes *p = ctx;
	uint32_t wanted;

	/* Some monitors look between intervals, too. */
	if (facts_of(p->m)->nr_windows < LIVE_WINDOWS)
		return 0;
	if (p->m->has_second)
		return RUN_END;
	run__report(run, 1, SCOPE_TOTAL);
	p->m->first.lost = lost_by(run);
	wanted = left_open(p);
	if (wanted)
		return begin_second(p, run, wanted);
	/* The end tells of it once more. */
	p->m->first.lost = 0;
	say("first pass, %g s: nothing needs a second pass", seconds_of(p->m));
	return RUN_END;
}

static void end_passes(struct measured *m)
{
	/* It was broken off: the first one stays. */
	if (m->has_second && m->second.nr_windows < LIVE_WINDOWS) {
		say("the second pass was interrupted: the report covers the first pass only");
		m->has_second = false;
		m->broken_off = true;
		m->first.self_cpu_ns = m->second.self_cpu_ns;
	}
	(m->has_second ? &m->second : &m->first)->watched_ns = clock__ns() - m->began_ns;
}

static int measure_live(const struct options *opts, const struct diagnose_options *judging,
			struct measured *m, const struct assertion *assertions, size_t nr)
{
	struct sink sinks[2] = {};
	struct attach_env env = {
		.sinks = sinks,
		.nr_sinks = 1,
		.filter = &opts->filter,
		.kinds = opts->kinds,
		.summary = true,
		.verbose = opts->verbose,
	};
	struct needed needed = {};
	struct passes passes = { .m = m, .needed = &needed, .options = judging };
	const struct driver driver = {
		.ctx = &passes,
		.fd = -1,
		.began = passes_began,
		.reported = passes_reported,
	};
	struct watch_options watched = {
		.chosen = needed.chosen,
		.self_cost = opts->self_cost,
		.about = { program_version, opts->given },
	};
	int err = watch__can(opts);

	if (err)
		return err;
	m->pass_ns = opts->time_ns ?: (uint64_t)DEFAULT_SECONDS * NSEC_PER_SEC;
	for (size_t i = 0; i < nr; i++)
		if (assertions[i].for_ns > m->pass_ns)
			m->pass_ns = assertions[i].for_ns;
	choose(&needed, opts, assertions, nr);
	/* A recording has one set of tables. */
	m->in_passes = !opts->all && !opts->record.path;
	if (m->in_passes) {
		choose_first(&needed, assertions, nr);
		watched.driver = &driver;
		watched.measured = needed.first;
		watched.quiet = true;
	} else {
		watched.time_ns = m->pass_ns;
	}
	watched.nr_chosen = needed.nr;
	for (size_t i = 0; i < needed.nr; i++)
		if (!m->in_passes || needed.first >> i & 1)
			facts__add_monitor(&m->first, needed.chosen[i].monitor->name,
					   needed.chosen[i].monitor->hooks);
	sinks[0].interval_ns = m->pass_ns / LIVE_WINDOWS;
	sinks[0].out = passes.out = facts__output(&m->first);
	if (!sinks[0].out)
		memory__is_short();
	err = sinks[0].out ? 0 : -ENOMEM;
	if (!err && opts->record.path) {
		const struct record_options record = {
			.path = opts->record.path,
			.limit = opts->record.limit,
			.mask = opts->record.mask,
			.force = opts->record.force,
			.chosen = needed.chosen,
			.nr_chosen = needed.nr,
			.env = &env,
		};

		sinks[1].interval_ns = sinks[0].interval_ns;
		err = record__open(&record, &sinks[1]);
		env.nr_sinks = 2;
	}
	if (!err)
		err = watch__measure(opts, &env, &watched);
	if (m->in_passes && m->began_ns)
		end_passes(m);
	env.nr_sinks = 2;
	watch__close(&env);
	return err ? EXIT_NOT_MEASURED : EXIT_MEASURED;
}

static int read_recordings(const char *const *paths, size_t nr_paths, const struct filter *filter,
			   bool quiet, struct facts *facts)
{
	struct replay *r = replay__open(paths, nr_paths, monitors, nr_monitors);
	struct chosen chosen[MAX_MONITORS];
	struct replay_options options = { .filter = filter, .quiet = quiet };
	struct sink sink = {};
	uint64_t intervals;
	size_t nr;
	int err = -ENOMEM;

	if (!r)
		return EXIT_NOT_MEASURED;
	nr = replay__chosen(r, chosen);
	for (size_t i = 0; i < nr; i++)
		facts__add_monitor(facts, chosen[i].monitor->name, chosen[i].monitor->hooks);
	intervals = replay__count(r, 0, 0);
	if (intervals > MOST_WINDOWS)
		options.interval_ns =
			(intervals + MOST_WINDOWS - 1) / MOST_WINDOWS * replay__interval_ns(r);
	sink.out = facts__output(facts);
	if (sink.out)
		err = replay__run(r, &options, &sink);
	else
		memory__is_short();
	output__free(sink.out);
	replay__close(r);
	return err ? EXIT_NOT_MEASURED : EXIT_MEASURED;
}

/* Processes are other ones by now: VMs are the same by their names. */
static int read_baseline(const struct options *opts, struct facts *facts)
{
	struct filter filter = opts->filter;

	if (!opts->diagnose.baseline)
		return 0;
	filter.pid = 0;
	return read_recordings(&opts->diagnose.baseline, 1, &filter, false, facts);
}

/* The result is asked for by --fail-on. */
static bool is_asked_for(const struct options *opts, const struct result *r, bool undecided)
{
	size_t len;

	for (const char *p = opts->diagnose.fail_on; p && *p; p += len + (p[len] == ',')) {
		len = strcspn(p, ",");
		if (len == 7 && !strncmp(p, "warning", len)) {
			if (undecided ? !r->rule->note : r->severity >= SEVERITY_WARNING)
				return true;
		} else if (len == 8 && !strncmp(p, "critical", len)) {
			if (undecided ? !r->rule->note : r->severity == SEVERITY_CRITICAL)
				return true;
		} else if (strlen(r->rule->id) == len && !strncmp(r->rule->id, p, len)) {
			return true;
		}
	}
	return false;
}

static int code_of(const struct options *opts, const struct diagnosis *d,
		   const struct assertion *assertions, size_t nr)
{
	bool failed = false, undecided = opts->diagnose.fail_on && !d->nr_vms;

	for (size_t i = 0; i < d->nr_results; i++) {
		const struct result *r = &d->results[i];

		if (r->ignored || r->known)
			continue;
		if (r->state == STATE_UNKNOWN || r->state == STATE_TOO_LITTLE)
			undecided |= is_asked_for(opts, r, true);
		else if (r->state == STATE_FINDING || r->state == STATE_NOTE)
			failed |= is_asked_for(opts, r, false);
	}
	for (size_t i = 0; i < nr; i++) {
		failed |= assertions[i].state == ASSERTION_FAILED;
		undecided |= assertions[i].state == ASSERTION_UNDECIDED;
	}
	if (failed)
		return EXIT_WORSE;
	return undecided && !opts->diagnose.undecided_passes ? EXIT_UNDECIDED : EXIT_MEASURED;
}

static double least_age_s(const struct options *opts)
{
	if (opts->diagnose.after_ns == NO_AGE)
		return 0;
	return opts->diagnose.after_ns ? opts->diagnose.after_ns / 1e9 : DEFAULT_AGE;
}

/* How it was measured, for people. */
static void say_passes(const struct measured *m, char *text, size_t size)
{
	char above[160];

	slices__name(m->above, above, sizeof(above));
	if (m->has_second)
		snprintf(text, size, "two passes of %g s; the first saw %s%s", seconds_of(m),
			 *above ? above : "something that needs a closer look",
			 *above ? " above 5 % of the time" : "");
	else if (m->broken_off)
		snprintf(text, size, "one pass of %g s; the second pass was interrupted",
			 seconds_of(m));
	else
		snprintf(text, size, "one pass of %g s; a second pass was not needed",
			 seconds_of(m));
}

static struct json_object *head(const struct options *opts, const struct measured *m)
{
	const struct about about = { program_version, opts->given };
	struct json_object *obj = summary__head(&about);

	if (m->in_passes)
		json_object_object_add(obj, "passes", json_object_new_int(1 + m->has_second));
	return obj;
}

static void make(struct diagnosis *d, const struct measured *m,
		 const struct diagnose_options *judging)
{
	struct diagnose_options options = *judging;

	if (m->has_second)
		options.before = &m->first;
	diagnosis__make(d, facts_of(m), &options);
	if (m->has_second) {
		struct diagnosis first;

		diagnosis__make(&first, &m->first, judging);
		diagnosis__add_before(d, &first);
		diagnosis__free(&first);
	}
	if (m->baseline.has_total) {
		struct diagnosis known;

		diagnosis__make(&known, &m->baseline, judging);
		diagnosis__compare(d, &known);
		diagnosis__free(&known);
	}
}

/* What did not hold in the first pass did not hold. */
static void judge(struct assertion *a, const struct measured *m)
{
	struct assertion first = *a;

	assertion__judge(a, facts_of(m));
	if (!m->has_second)
		return;
	assertion__judge(&first, &m->first);
	if (first.state == ASSERTION_FAILED && a->state != ASSERTION_FAILED)
		*a = first;
}

static int report(const struct options *opts, const struct measured *m,
		  const struct diagnose_options *judging, struct assertion *assertions, size_t nr)
{
	struct output *out = options__open_output(opts);
	char passes[256];
	struct diagnosis d;
	int code, err;

	if (!out)
		return EXIT_NOT_MEASURED;
	make(&d, m, judging);
	if (m->in_passes) {
		say_passes(m, passes, sizeof(passes));
		d.passes = passes;
	}
	for (size_t i = 0; i < nr; i++)
		judge(&assertions[i], m);
	output__object(out, head(opts, m));
	diagnosis__write(&d, assertions, nr, out, opts->verbose);
	err = output__flush(out);
	if (err && err != EPIPE)
		say("can't write the output: %s", limits__reason(-err));
	output__free(out);
	code = code_of(opts, &d, assertions, nr);
	if (d.failed)
		memory__is_short();
	diagnosis__free(&d);
	return (err && err != EPIPE) || log__has_failed() ? EXIT_NOT_MEASURED : code;
}

/* After the colon: of which VMs. */
static void read_ignored(const struct options *opts, struct ignored *ignored)
{
	for (size_t i = 0; i < opts->diagnose.nr_ignored; i++) {
		const char *arg = opts->diagnose.ignored[i], *colon = strchr(arg, ':');

		ignored[i] = (struct ignored){
			.id = strndup(arg, strcspn(arg, ":")),
			.vm = colon ? colon + 1 : NULL,
		};
	}
}

static int run(const struct options *opts)
{
	struct ignored ignored[MAX_REPEATED];
	struct diagnose_options judging = {
		.least_age_s = least_age_s(opts),
		.ignored = ignored,
		.nr_ignored = opts->diagnose.nr_ignored,
	};
	struct assertion assertions[MAX_REPEATED];
	size_t nr = opts->diagnose.nr_asserted;
	struct measured m = {};
	int code;

	for (size_t i = 0; i < nr; i++)
		assertion__parse(&assertions[i], opts->diagnose.asserted[i]);
	read_ignored(opts, ignored);
	facts__init(&m.first);
	facts__init(&m.second);
	facts__init(&m.baseline);
	code = read_baseline(opts, &m.baseline);
	if (!code)
		code = opts->nr_operands ? read_recordings(opts->operands, opts->nr_operands,
							   &opts->filter, false, &m.first) :
					   measure_live(opts, &judging, &m, assertions, nr);
	facts__sort(&m.baseline);
	facts__sort(&m.first);
	facts__sort(&m.second);
	if (!code && !facts_of(&m)->has_total) {
		say("diagnose: nothing was measured");
		code = EXIT_NOT_MEASURED;
	}
	if (!code)
		code = report(opts, &m, &judging, assertions, nr);
	facts__free(&m.first);
	facts__free(&m.second);
	facts__free(&m.baseline);
	for (size_t i = 0; i < judging.nr_ignored; i++)
		free((char *)ignored[i].id);
	return code;
}

static int check_options(struct options *opts)
{
	struct table_ref refs[MAX_TABLES];

	if (opts->nr_operands && opts->record.path)
		return usage_error(
			"--record works only in a live run; leave out --record or the recording");
	if (opts->nr_operands && opts->all)
		return usage_error(
			"--all works only in a live run; leave out --all or the recording");
	if (opts->nr_operands && opts->time_ns)
		return usage_error("-t works only in a live run; leave out -t or the recording");
	return tables__choose(opts, refs, tables__add(refs, 0, diagnose_views, diagnose_columns));
}

static const struct option_row *const tables[] = {
	filter_options, hooks_options,	diagnose_options, format_options, width_options,
	table_options,	record_options, file_options,	  NULL,
};

const struct command diagnose_command = {
	.name = "diagnose",
	.doc = "Report each VM's problems: what they cost and how to fix them, from where vCPU "
	       "time goes, live or in recordings.",
	.epilogue = "Exit codes: 0 data was measured, 1 nothing could be measured, 2 the command "
		    "line is wrong, 3 a finding of --fail-on or a failed --assert, 4 undecided: "
		    "this host reveals too little, or the run was too short.",
	.operands = "[FILE...]",
	.most_operands = MAX_OPERANDS,
	.reads_files = false,
	.tables = tables,
	.check = check_options,
	.run = run,
};
