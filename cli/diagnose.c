// SPDX-License-Identifier: GPL-2.0-only
/* diagnose: which VM is sick, of what, what that costs and what to do; now, or from recordings. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
		return usage_error("--assert: %d at most", MAX_REPEATED);
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
		return usage_error(
			"--ignore: \"%s\" names no rule (diagnose --verbose lists them); "
			"give ID or ID:VM",
			arg);
	if (opts->diagnose.nr_ignored == MAX_REPEATED)
		return usage_error("--ignore: %d at most", MAX_REPEATED);
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
		return usage_error("--fail-on: \"%s\": give warning, critical, or rules with "
				   "commas between them (diagnose --verbose lists them)",
				   arg);
	}
	if (!*arg)
		return usage_error("--fail-on: give warning, critical, or the name of a rule");
	opts->diagnose.fail_on = arg;
	return 0;
}

static int parse_undecided(struct options *opts, const char *arg)
{
	if (strcmp(arg, "pass") && strcmp(arg, "fail"))
		return usage_error("--undecided: \"%s\"; give pass or fail", arg);
	opts->diagnose.undecided_passes = !strcmp(arg, "pass");
	return 0;
}

static const struct option_row diagnose_options[] = {
	{ "monitoring_time", 't', "TIME", "measure that long (default 10 seconds)", GROUP_SELECTION,
	  parse_time },
	{ "after", 0, "TIME",
	  "how old a VM has to be for what also a booting guest does (default 60 seconds)",
	  GROUP_SELECTION, parse_after },
	{ "max-vcpus", 0, "N", "room for N vCPUs at a time", GROUP_SELECTION, parse_max_vcpus },
	{ "no-sandbox", 0, NULL, "keep all rights in the process that reads and prints",
	  GROUP_OUTPUT, .flag = offsetof(struct options, no_sandbox) },
	{ "assert", 0, "TEXT",
	  "exit with 3 unless 'p99 of IO_INSTRUCTION < 200us for 30s'; several", GROUP_OUTPUT,
	  parse_assert },
	{ "fail-on", 0, "WHAT", "exit with 3 on findings: warning, critical, or rules, with commas",
	  GROUP_OUTPUT, parse_fail_on },
	{ "ignore", 0, "ID[:VM]", "a finding that is known does not fail the run; several",
	  GROUP_OUTPUT, parse_ignore },
	{ "undecided", 0, "HOW", "pass or fail (default: exit with 4) what could not be judged",
	  GROUP_OUTPUT, parse_undecided },
	{},
};

/* Which monitors the rules and the assertions need, in the order of the table. */
struct needed {
	struct chosen chosen[MAX_MONITORS];
	struct monitor_config configs[MAX_MONITORS];
	struct given_option given[MAX_MONITORS];
	size_t nr;
};

static bool needs_monitor(const struct rule *rule, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < MAX_RULE_NEEDS && rule->needs[i]; i++)
		if (!strncmp(rule->needs[i], name, len) &&
		    (!rule->needs[i][len] || rule->needs[i][len] == ':'))
			return true;
	return false;
}

static bool is_needed(const struct monitor *m, const struct assertion *assertions, size_t nr)
{
	const struct rule *rule;

	for (size_t i = 0; (rule = rule__at(i)); i++)
		if (needs_monitor(rule, m->name))
			return true;
	for (size_t i = 0; i < nr; i++)
		for (unsigned int view = 0; m->views[view].title; view++)
			if (!strcmp(m->views[view].name, assertions[i].table))
				return true;
	return false;
}

static void choose(struct needed *to, const struct assertion *assertions, size_t nr)
{
	for (size_t i = 0; i < nr_monitors; i++) {
		const struct monitor *m = monitors[i];
		struct chosen *chosen = &to->chosen[to->nr];

		if (!is_needed(m, assertions, nr))
			continue;
		*chosen = (struct chosen){ .monitor = m, .config = &to->configs[to->nr] };
		/* What exits were for. */
		for (const struct monitor_option *o = m->options; o && o->name; o++)
			if (!strcmp(o->name, "detail")) {
				o->set(&to->configs[to->nr], NULL);
				to->given[to->nr] = (struct given_option){ o, NULL };
				chosen->given = &to->given[to->nr];
				chosen->nr_given = 1;
			}
		to->nr++;
	}
}

static int measure_live(const struct options *opts, struct facts *facts,
			const struct assertion *assertions, size_t nr)
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
	struct watch_options watched = {
		.chosen = needed.chosen,
		.time_ns = opts->time_ns ?: (uint64_t)DEFAULT_SECONDS * NSEC_PER_SEC,
		.about = { program_version, opts->given },
	};
	int err = watch__can(opts);

	if (err)
		return err;
	for (size_t i = 0; i < nr; i++)
		if (assertions[i].for_ns > watched.time_ns)
			watched.time_ns = assertions[i].for_ns;
	choose(&needed, assertions, nr);
	watched.nr_chosen = needed.nr;
	for (size_t i = 0; i < needed.nr; i++)
		facts__add_monitor(facts, needed.chosen[i].monitor->name,
				   needed.chosen[i].monitor->hooks);
	sinks[0].interval_ns = watched.time_ns / LIVE_WINDOWS;
	sinks[0].out = facts__output(facts);
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
	env.nr_sinks = 2;
	watch__close(&env);
	return err ? EXIT_NOT_MEASURED : EXIT_MEASURED;
}

static int read_recordings(const struct options *opts, struct facts *facts)
{
	struct replay *r = replay__open(opts->operands, opts->nr_operands, monitors, nr_monitors);
	struct chosen chosen[MAX_MONITORS];
	struct replay_options options = { .filter = &opts->filter, .quiet = false };
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

		if (r->ignored)
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

static int report(const struct options *opts, const struct facts *facts,
		  struct assertion *assertions, size_t nr)
{
	struct ignored ignored[MAX_REPEATED];
	const struct diagnose_options options = {
		.least_age_s = least_age_s(opts),
		.ignored = ignored,
		.nr_ignored = opts->diagnose.nr_ignored,
	};
	const struct about about = { program_version, opts->given };
	struct output *out = options__open_output(opts);
	struct diagnosis d;
	int code, err;

	if (!out)
		return EXIT_NOT_MEASURED;
	for (size_t i = 0; i < options.nr_ignored; i++) {
		const char *arg = opts->diagnose.ignored[i], *colon = strchr(arg, ':');

		ignored[i] = (struct ignored){
			.id = strndup(arg, strcspn(arg, ":")),
			.vm = colon ? colon + 1 : NULL,
		};
	}
	diagnosis__make(&d, facts, &options);
	for (size_t i = 0; i < nr; i++)
		assertion__judge(&assertions[i], facts);
	output__object(out, summary__head(&about));
	diagnosis__write(&d, assertions, nr, out, opts->verbose);
	err = output__flush(out);
	if (err && err != EPIPE)
		say("can't write the output: %s", limits__reason(-err));
	output__free(out);
	code = code_of(opts, &d, assertions, nr);
	if (d.failed)
		memory__is_short();
	diagnosis__free(&d);
	for (size_t i = 0; i < options.nr_ignored; i++)
		free((char *)ignored[i].id);
	return (err && err != EPIPE) || log__has_failed() ? EXIT_NOT_MEASURED : code;
}

static int run(const struct options *opts)
{
	struct assertion assertions[MAX_REPEATED];
	size_t nr = opts->diagnose.nr_asserted;
	struct facts facts;
	int code;

	for (size_t i = 0; i < nr; i++)
		assertion__parse(&assertions[i], opts->diagnose.asserted[i]);
	facts__init(&facts);
	code = opts->nr_operands ? read_recordings(opts, &facts) :
				   measure_live(opts, &facts, assertions, nr);
	if (!code && !facts.has_total) {
		say("diagnose: nothing was measured");
		code = EXIT_NOT_MEASURED;
	}
	facts__sort(&facts);
	if (!code)
		code = report(opts, &facts, assertions, nr);
	facts__free(&facts);
	return code;
}

static int check_options(struct options *opts)
{
	struct table_ref refs[MAX_TABLES];

	if (opts->nr_operands && opts->record.path)
		return usage_error("--record records what is measured now; a recording is there");
	if (opts->nr_operands && opts->time_ns)
		return usage_error("-t is the time to measure; a recording has its own");
	return tables__choose(opts, refs, tables__add(refs, 0, diagnose_views, diagnose_columns));
}

static const struct option_row *const tables[] = {
	filter_options, hooks_options,	diagnose_options, format_options, width_options,
	table_options,	record_options, file_options,	  NULL,
};

const struct command diagnose_command = {
	.name = "diagnose",
	.doc = "Say which VM is sick, of what, what that costs, and what to do: by the account of "
	       "where each vCPU's time goes, now or in recordings.",
	.epilogue =
		"Exit codes: 0 it was measured, 1 it could not be, 2 the command line is wrong, "
		"3 a finding of --fail-on, or an --assert that does not hold, 4 undecided: this "
		"host lets us see too little, or it took too short.",
	.operands = "[FILE...]",
	.most_operands = MAX_OPERANDS,
	.reads_files = false,
	.tables = tables,
	.check = check_options,
	.run = run,
};
