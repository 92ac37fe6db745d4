// SPDX-License-Identifier: GPL-2.0-only
#include "tables.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "options.h"

size_t tables__add(struct table_ref refs[MAX_TABLES], size_t nr, const struct view *views,
		   const struct column *columns)
{
	for (size_t i = 0; views && views[i].title && nr < MAX_TABLES; i++)
		if (!views[i].apart)
			refs[nr++] = (struct table_ref){
				.view = &views[i],
				.columns = columns,
				.view_bit = 1U << i,
			};
	return nr;
}

/* What people alone see is no table of a file for programs. */
static bool has_rows(const struct options *opts, const struct table_ref *ref)
{
	return !ref->view->again || opts->format == FORMAT_TABLE;
}

static const struct table_ref *find(const struct options *opts, const struct table_ref *refs,
				    size_t nr, const char *name, size_t len)
{
	for (size_t i = 0; i < nr; i++)
		if (has_rows(opts, &refs[i]) && strlen(refs[i].view->name) == len &&
		    !strncasecmp(refs[i].view->name, name, len))
			return &refs[i];
	return NULL;
}

static const char *list_names(const struct options *opts, const struct table_ref *refs, size_t nr,
			      char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < nr && used < size; i++)
		if (has_rows(opts, &refs[i]))
			used += snprintf(text + used, size - used, "%s%s", used ? ", " : "",
					 refs[i].view->name);
	return text;
}

static void take(const struct table_ref **taken, size_t *nr, const struct table_ref *ref)
{
	for (size_t i = 0; i < *nr; i++)
		if (taken[i] == ref)
			return;
	taken[(*nr)++] = ref;
}

static int take_named(const struct options *opts, const struct table_ref *refs, size_t nr,
		      const struct table_ref **taken, size_t *nr_taken)
{
	const struct table_ref *ref;
	char names[768];
	size_t len;

	for (const char *s = opts->table_names;; s += len + 1) {
		len = strcspn(s, ",");
		ref = find(opts, refs, nr, s, len);
		if (!ref)
			return usage_error("--table: \"%.*s\" is not a table here; choose from %s",
					   (int)len, s,
					   list_names(opts, refs, nr, names, sizeof(names)));
		if (ref->without)
			return usage_error("--table: %s %s", ref->view->name, ref->without);
		take(taken, nr_taken, ref);
		if (!s[len])
			return 0;
	}
}

static int check_csv(const struct table_ref *const *taken, size_t nr)
{
	for (size_t i = 1; i < nr; i++)
		if (!view__same_data(taken[0]->columns, taken[0]->view_bit, taken[i]->columns,
				     taken[i]->view_bit))
			return usage_error(
				"--format=csv: %s and %s have different columns; choose one with "
				"--table=NAME, or write a file per table with --output=DIR/",
				taken[0]->view->name, taken[i]->view->name);
	return 0;
}

bool is_directory(const char *path)
{
	return path && path[strlen(path) - 1] == '/';
}

/* A monitor has a table of which there is something in that format. */
static bool can_show(const struct options *opts, const struct monitor *m)
{
	for (unsigned int view = 0; m->views[view].title; view++)
		if (format__has_rows(opts->format, m->columns, &m->views[view], 1U << view))
			return true;
	return false;
}

static int nothing_to_draw(const struct options *opts)
{
	const struct command *command = opts->command;
	size_t nr = command->monitors ? *command->nr_monitors : 0;
	char names[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < nr && used < sizeof(names); i++) {
		const struct monitor *m = command->monitors[i];

		if (can_show(opts, m))
			used += snprintf(names + used, sizeof(names) - used, "%s--%s",
					 used ? " or " : "; choose ", m->name);
	}
	return usage_error("--format=%s needs a table of where vCPU time goes%s",
			   format__name(opts->format), names);
}

/* A picture is one file, of what has something to be drawn; a binary one is not for a terminal. */
static int check_picture(const struct options *opts, const struct table_ref *const *taken,
			 size_t nr)
{
	const char *name = format__name(opts->format);
	size_t i = 0;

	if (is_directory(opts->output))
		return usage_error(
			"--format=%s writes all tables to one file; give --output a file", name);
	while (i < nr && !format__has_rows(opts->format, taken[i]->columns, taken[i]->view,
					   taken[i]->view_bit))
		i++;
	if (i == nr)
		return nothing_to_draw(opts);
	if (format__is_binary(opts->format) && !opts->output && isatty(STDOUT_FILENO))
		return usage_error("--format=%s is binary; write it to a file with --output=FILE, "
				   "or to a pipe",
				   name);
	return 0;
}

int tables__choose(struct options *opts, const struct table_ref *refs, size_t nr)
{
	const struct table_ref *taken[MAX_TABLES];
	size_t nr_taken = 0;
	int err = 0;

	if (opts->format == FORMAT_HTML && !opts->output && isatty(STDOUT_FILENO))
		return usage_error("--format=html is a page for a browser; write it to a file with "
				   "--output=report.html");
	if (opts->table_names)
		err = take_named(opts, refs, nr, taken, &nr_taken);
	for (size_t i = 0; i < nr && !opts->table_names; i++)
		if (has_rows(opts, &refs[i]) && !refs[i].without)
			take(taken, &nr_taken, &refs[i]);
	if (!err && opts->format == FORMAT_CSV && !is_directory(opts->output))
		err = check_csv(taken, nr_taken);
	if (!err && format__is_picture(opts->format))
		err = check_picture(opts, taken, nr_taken);
	for (size_t i = 0; !err && i < nr_taken; i++)
		opts->tables[i] = taken[i]->view->name;
	return err;
}
