// SPDX-License-Identifier: GPL-2.0-only
/* diff: what changed from one recording to another, or at a moment of one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../core/diff.h"
#include "../core/limits.h"
#include "../core/log.h"
#include "../core/memory.h"
#include "../monitors/monitors.h"
#include "commands.h"

static int parse_at(struct options *opts, const char *arg)
{
	opts->from = arg;
	return 0;
}

static int parse_fail_above(struct options *opts, const char *arg)
{
	char *end;

	opts->fail_above = strtod(arg, &end);
	if (end > arg && !*end && opts->fail_above >= 0 && opts->fail_above <= 1e6) {
		opts->fails = true;
		return 0;
	}
	return usage_error("--fail-above: \"%s\" is not a percentage; give a number such as 20",
			   arg);
}

static const struct option_row diff_options[] = {
	{ "at", 0, "TIME",
	  "compare one file before and after 2026-11-29T03:10, 03:10:30, or @SECONDS",
	  GROUP_SELECTION, parse_at },
	{ "fail-above", 0, "PERCENT", "exit with 3 if something got worse by more", GROUP_OUTPUT,
	  parse_fail_above },
	{ "all", 0, NULL, "show rows without a difference, too", GROUP_OUTPUT,
	  .flag = offsetof(struct options, all) },
	{},
};

static int check_options(struct options *opts)
{
	if (opts->nr_operands == 2 && opts->from)
		return usage_error("--at splits one recording; give one file");
	if (opts->nr_operands == 1 && !opts->from)
		return usage_error(
			"diff needs two recordings, or one and --at=TIME: kvm_watcher diff "
			"A B");
	if (!opts->nr_operands)
		return usage_error("diff needs the names of two recordings: kvm_watcher diff A B");
	if (format__is_picture(opts->format))
		return usage_error(
			"diff has no trace or stack output; use --format=table, json, csv or html");
	return 0;
}

/* 0, or the code to exit with, after a message. */
static int read_sides(struct options *opts, struct replay *const sides[2], struct diff *d)
{
	int64_t at_ns = 0;
	int err;

	err = parse_moment("--at", opts->from, replay__start(sides[0]), &at_ns);
	if (err)
		return err;
	err = diff__read(d, DIFF_A, sides[0], 0, at_ns);
	if (!err)
		err = diff__read(d, DIFF_B, sides[1], at_ns, 0);
	if (!err)
		err = diff__compare(d);
	if (err)
		say("diff: can't compare: %s", limits__reason(err));
	return err ? EXIT_NOT_MEASURED : 0;
}

static int write_diff(const struct options *opts, struct diff *d)
{
	struct output *out = options__open_output(opts);
	int err = out ? 0 : -EIO;

	if (out) {
		diff__write(d, out, opts->all, opts->selection.top);
		err = -output__flush(out);
		if (err && err != -EPIPE)
			say("can't write the output: %s", limits__reason(err));
		output__free(out);
	}
	if ((err && err != -EPIPE) || log__has_failed())
		return EXIT_NOT_MEASURED;
	return opts->fails && diff__is_worse(d, opts->fail_above) ? EXIT_WORSE : EXIT_MEASURED;
}

/* --table and --where are of the recordings' tables; a reader of both sides has to know them. */
static int choose(struct options *opts, const struct replay *r)
{
	struct chosen chosen[MAX_MONITORS];
	size_t nr = replay__chosen(r, chosen), nr_refs = 0;
	struct table_ref refs[MAX_TABLES];
	enum format format = opts->format;
	int err;

	for (size_t i = 0; i < nr; i++)
		nr_refs = tables__add(refs, nr_refs, chosen[i].monitor->views,
				      chosen[i].monitor->columns);
	/* They are compared, whatever the format: a file has one table. */
	opts->format = FORMAT_JSON;
	err = tables__choose(opts, refs, nr_refs);
	opts->format = format;
	return err ? err : selection__check(opts, chosen, nr);
}

static int run(const struct options *given)
{
	static const char *const diff_table[] = { "DIFF", NULL };
	struct options opts = *given;
	struct replay *sides[2] = {
		replay__open(&opts.operands[0], 1, monitors, nr_monitors),
	};
	const char *tables[MAX_TABLES + 1];
	struct diff *d = NULL;
	int code = EXIT_NOT_MEASURED;

	/* With --at the same file once more. */
	if (sides[0])
		sides[1] = replay__open(&opts.operands[opts.nr_operands - 1], 1, monitors,
					nr_monitors);
	if (!sides[0] || !sides[1])
		goto cleanup;
	code = choose(&opts, sides[0]);
	if (code)
		goto cleanup;
	memcpy(tables, opts.tables, sizeof(tables));
	memcpy(opts.tables, diff_table, sizeof(diff_table));
	d = diff__new(&opts.filter, &opts.selection, tables);
	code = d ? read_sides(&opts, sides, d) : EXIT_NOT_MEASURED;
	if (!d)
		memory__is_short();
	else if (!code)
		code = write_diff(&opts, d);
cleanup:
	diff__free(d);
	replay__close(sides[1]);
	replay__close(sides[0]);
	return code;
}

static const struct option_row *const tables[] = {
	filter_options, grouping_options, top_options,	format_options,
	width_options,	table_options,	  diff_options, NULL,
};

const struct command diff_command = {
	.name = "diff",
	.doc = "Compare two recordings: what rose, fell or got worse.",
	.epilogue = "Shows only differences that are statistically significant and large; --all "
		    "shows all rows. Exit code 3: something got worse by more than --fail-above.",
	.operands = "A [B]",
	.most_operands = 2,
	.by = BY_VM,
	.tables = tables,
	.check = check_options,
	.run = run,
};
