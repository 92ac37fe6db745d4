// SPDX-License-Identifier: GPL-2.0-only
/* replay: recordings shown as a run is. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../core/clock.h"
#include "../core/limits.h"
#include "../core/log.h"
#include "../core/replay.h"
#include "../core/zone.h"
#include "../monitors/monitors.h"
#include "commands.h"

static int parse_interval(struct options *opts, const char *arg)
{
	return parse_duration("--interval", arg, 10ULL * NSEC_PER_MSEC, &opts->interval_ns);
}

static int parse_from(struct options *opts, const char *arg)
{
	opts->from = arg;
	return 0;
}

static int parse_to(struct options *opts, const char *arg)
{
	opts->to = arg;
	return 0;
}

static const struct option_row replay_options[] = {
	{ "interval", 0, "TIME", "time between tables (default: as recorded)", GROUP_OUTPUT,
	  parse_interval },
	{ "from", 0, "TIME", "begin at this time: 2026-11-29T03:10, 03:10:30, or @SECONDS",
	  GROUP_SELECTION, parse_from },
	{ "to", 0, "TIME", "end at this time", GROUP_SELECTION, parse_to },
	{ "events", 0, NULL, "also show single events, if they were recorded", GROUP_OUTPUT,
	  .flag = offsetof(struct options, events) },
	{},
};

static int check_options(struct options *opts)
{
	if (!opts->nr_operands)
		return usage_error("replay needs the name of a recording: kvm_watcher replay FILE");
	return 0;
}

/* A time of day is that of the day on which the first recording begins. */
static bool parse_local(const char *arg, int64_t start_ns, time_t *second)
{
	static const char *const formats[] = { "%Y-%m-%dT%H:%M:%S",
					       "%Y-%m-%dT%H:%M",
					       "%Y-%m-%d %H:%M:%S",
					       "%Y-%m-%d %H:%M",
					       "%Y-%m-%d",
					       "%H:%M:%S",
					       "%H:%M" };
	time_t start = start_ns / NSEC_PER_SEC;

	for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
		struct tm tm;
		const char *end;

		localtime_r(&start, &tm);
		tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
		end = strptime(arg, formats[i], &tm);
		if (!end || *end)
			continue;
		tm.tm_isdst = -1;
		*second = mktime(&tm);
		return true;
	}
	return false;
}

int parse_moment(const char *option, const char *arg, int64_t start_ns, int64_t *ns)
{
	double seconds;
	time_t second;
	char *end;

	*ns = 0;
	if (!arg)
		return 0;
	if (*arg == '@') {
		seconds = strtod(arg + 1, &end);
		if (end > arg + 1 && !*end && seconds > 0 && seconds < 1e10) {
			*ns = seconds * NSEC_PER_SEC;
			return 0;
		}
	} else if (parse_local(arg, start_ns, &second)) {
		*ns = (int64_t)second * NSEC_PER_SEC;
		return 0;
	}
	return usage_error("%s: \"%s\" is not a time; give one such as 2026-11-29T03:10:30 or "
			   "03:10, or seconds since 1970, such as @1796007600",
			   option, arg);
}

static int choose_tables(struct options *opts, const struct replay *r, const struct chosen *chosen,
			 size_t nr_chosen)
{
	struct table_ref refs[MAX_TABLES];
	size_t nr = 0;

	for (size_t i = 0; i < nr_chosen; i++) {
		const struct monitor *m = chosen[i].monitor;
		size_t first = nr;

		nr = tables__add(refs, nr, m->views, m->columns);
		for (size_t j = first; j < nr; j++) {
			unsigned int view = refs[j].view - m->views;
			bool of_events = is_of_events(m, view);

			if (of_events && !replay__had_events(r, m))
				refs[j].without = "shows single events, and none were recorded";
			else if (of_events && !opts->events)
				refs[j].without = "shows single events; add --events";
			else if (!of_events && m->without)
				refs[j].without = m->without(chosen[i].config, view);
		}
	}
	return tables__choose(opts, refs, nr);
}

static int check_interval(const struct options *opts, const struct replay *r)
{
	uint64_t recorded_ns = replay__interval_ns(r);

	if (!opts->interval_ns || opts->interval_ns >= recorded_ns)
		return 0;
	return usage_error("--interval: the recording has intervals of %g s; give that or more",
			   (double)recorded_ns / NSEC_PER_SEC);
}

/* Everything that depends on what the files are. 0, or EXIT_USAGE after a message. */
static int settle(struct options *opts, const struct replay *r, struct replay_options *to)
{
	struct chosen chosen[MAX_MONITORS];
	size_t nr = replay__chosen(r, chosen);
	int64_t start_ns = replay__start(r);
	int err = choose_tables(opts, r, chosen, nr);

	if (!err)
		err = selection__check(opts, chosen, nr);
	if (!err)
		err = check_interval(opts, r);
	if (!err)
		err = parse_moment("--from", opts->from, start_ns, &to->from_ns);
	if (!err)
		err = parse_moment("--to", opts->to, start_ns, &to->to_ns);
	if (!err && to->from_ns && to->to_ns && to->from_ns >= to->to_ns)
		err = usage_error("--to: \"%s\" is not after --from", opts->to);
	if (!err)
		selection__explain(&opts->selection, chosen, nr);
	return err;
}

static int run(const struct options *given)
{
	struct options opts = *given;
	struct replay_options options = {
		.filter = &opts.filter,
		.interval_ns = opts.interval_ns == NO_INTERVAL ? 0 : opts.interval_ns,
		.events = opts.events,
		.by_file = opts.by_file,
	};
	struct sink sink = { .selection = &opts.selection };
	struct replay *r = replay__open(opts.operands, opts.nr_operands, monitors, nr_monitors);
	int err;

	if (!r)
		return EXIT_NOT_MEASURED;
	opts.interval_ns = options.interval_ns;
	if (settle(&opts, r, &options)) {
		replay__close(r);
		return EXIT_USAGE;
	}
	sink.out = options__open_output(&opts);
	err = sink.out ? replay__run(r, &options, &sink) : -EIO;
	if (err && err != -EPIPE && sink.out)
		say("can't write the output: %s", limits__reason(err));
	output__free(sink.out);
	replay__close(r);
	return (err && err != -EPIPE) || log__has_failed() ? EXIT_NOT_MEASURED : EXIT_MEASURED;
}

static const struct option_row *const tables[] = {
	filter_options,	   grouping_options, top_options,
	selection_options, format_options,   width_options,
	table_options,	   replay_options,   NULL,
};

const struct command replay_command = {
	.name = "replay",
	.doc = "Show recordings as if they were measured now.",
	.epilogue = "Several files form one timeline; --by=file puts them side by side.",
	.operands = "FILE...",
	.most_operands = MAX_OPERANDS,
	.reads_files = true,
	.interval_ns = NO_INTERVAL,
	.tables = tables,
	.check = check_options,
	.run = run,
};
