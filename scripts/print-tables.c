// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tables of commands and options as text: what completions and manual
 * pages are made of. Lines of fields with tabs between them: those of
 * options__put(), and "values", an option's name, what it can be given.
 * Linked with the program's own objects, and not installed.
 */
#include <stdio.h>
#include <string.h>

#include "../cli/commands.h"
#include "../compat/hook_kind.h"
#include "../diagnose/diagnose.h"
#include "../monitors/monitors.h"
#include "../output/format.h"

/* "raw_tp, tp_btf": a word each, with a tab between them. */
static void print_list(const char *option, const char *list)
{
	printf("values\t%s", option);
	for (size_t len; *list; list += len + strspn(list + len, ", ")) {
		len = strcspn(list, ", ");
		printf("\t%.*s", (int)len, list);
	}
	putchar('\n');
}

static void print_tables(void)
{
	printf("values\ttable");
	for (size_t i = 0; i < nr_monitors; i++)
		for (const struct view *v = monitors[i]->views; v->title; v++)
			if (!v->again && !v->apart)
				printf("\t%s", v->name);
	putchar('\n');
}

/* Several monitors have the same ones. */
static bool had_column(size_t monitor, const struct column *col)
{
	for (size_t i = 0; i < monitor; i++)
		for (const struct column *c = monitors[i]->columns; c->name; c++)
			if (!strcmp(c->name, col->name))
				return true;
	return false;
}

static void print_columns(const char *option)
{
	printf("values\t%s", option);
	for (size_t i = 0; i < nr_monitors; i++)
		for (const struct column *c = monitors[i]->columns; c->name; c++)
			if (column__is_shown(c) && !had_column(i, c))
				printf("\t%s", c->name);
	putchar('\n');
}

static void print_rules(const char *option, const char *more)
{
	const struct rule *rule;

	printf("values\t%s%s", option, more);
	for (size_t i = 0; (rule = rule__at(i)); i++)
		printf("\t%s", rule->id);
	putchar('\n');
}

int main(void)
{
	struct buf options = {};

	options__put(&options, &watch_command);
	for (const struct command *const *word = watch_command.words; *word; word++)
		options__put(&options, *word);
	fwrite(options.data, 1, options.len, stdout);
	buf__free(&options);
	print_list("hooks", hook_kind__names());
	print_tables();
	print_columns("where");
	print_columns("sort");
	print_rules("ignore", "");
	print_rules("fail-on", "\twarning\tcritical");
	return fflush(stdout) ? 1 : 0;
}
