// SPDX-License-Identifier: GPL-2.0-only
/* record: a run that goes into a file. Its options are those of --record, too. */
#include <stddef.h>

#include "../core/clock.h"
#include "../core/record.h"
#include "../monitors/monitors.h"
#include "commands.h"

static int parse_record(struct options *opts, const char *arg)
{
	if (!*arg)
		return usage_error("--record: the file name is empty; give one");
	opts->record.path = arg;
	return 0;
}

static int parse_interval(struct options *opts, const char *arg)
{
	return parse_duration("--record-interval", arg, 10ULL * NSEC_PER_MSEC,
			      &opts->record.interval_ns);
}

static int parse_limit(struct options *opts, const char *arg)
{
	return parse_size("--record-limit", arg, LEAST_RECORD_LIMIT, &opts->record.limit);
}

const struct option_row record_options[] = {
	{ "record", 0, "FILE", "also record into this file: see record --help", GROUP_OUTPUT,
	  parse_record },
	{ "record-interval", 0, "TIME",
	  "time between samples in the recording (default 10 seconds)", GROUP_OUTPUT,
	  parse_interval, .rare = true },
	{},
};

const struct option_row file_options[] = {
	{ "record-limit", 0, "SIZE",
	  "limit the total size of FILE and FILE.1 to FILE.3; the oldest is overwritten",
	  GROUP_OUTPUT, parse_limit, .rare = true },
	{ "mask", 0, NULL, "replace the names of VMs and processes by numbers", GROUP_OUTPUT,
	  .flag = offsetof(struct options, record.mask), .rare = true },
	{ "force", 0, NULL, "overwrite an existing recording", GROUP_OUTPUT,
	  .flag = offsetof(struct options, record.force), .rare = true },
	{},
};

static int check_options(struct options *opts)
{
	if (!opts->nr_operands)
		return usage_error("record needs a file: kvm_watcher record FILE -e");
	if (!*opts->operands[0])
		return usage_error("record: the file name is empty; give one");
	opts->record.path = opts->operands[0];
	return watch__check(opts);
}

static const struct option_row *const tables[] = {
	filter_options, hooks_options, watch_options, interval_options, file_options, NULL,
};

const struct command record_command = {
	.name = "record",
	.doc = "Record what the monitors measure into a file.",
	.epilogue = "Intervals are 10 seconds; zstdcat FILE | jq reads the file, replay shows it.",
	.operands = "FILE",
	.most_operands = 1,
	.interval_ns = 10ULL * NSEC_PER_SEC,
	.tables = tables,
	.monitors = monitors,
	.nr_monitors = &nr_monitors,
	.check = check_options,
	.run = watch__run,
};
