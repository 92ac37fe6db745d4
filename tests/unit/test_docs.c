// SPDX-License-Identifier: GPL-2.0-only
/*
 * The documents and the program say the same: every option, need, loss and
 * column is documented, and no option is documented that there is none of.
 * Run from the project's root, where the documents are.
 */
#include <ctype.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../cli/commands.h"
#include "../../core/attach.h"
#include "../../core/vcpus.h"
#include "../../monitors/monitors.h"

enum { MAX_OPTIONS = 64, MAX_PAGES = 64 };

struct option_name {
	char key;      /* 0: none */
	char name[32]; /* "": none */
	bool value;
};

/* -H is not in the help; it prints it. */
static struct option_name options[MAX_OPTIONS] = { { .key = 'H' } };
static size_t nr_options = 1;

static struct {
	char path[128];
	char *text;
} pages[MAX_PAGES];
static size_t nr_pages;

static char *read_stream(FILE *file)
{
	char *text = NULL;
	size_t size = 0;
	FILE *copy = open_memstream(&text, &size);
	int c;

	assert_non_null(copy);
	while ((c = fgetc(file)) != EOF)
		fputc(c, copy);
	fclose(copy);
	return text;
}

static void add_page(const char *path)
{
	FILE *file = fopen(path, "re");

	if (!file)
		fail_msg("%s can't be read: run this from the project's root", path);
	assert_true(nr_pages < MAX_PAGES);
	snprintf(pages[nr_pages].path, sizeof(pages[nr_pages].path), "%s", path);
	pages[nr_pages++].text = read_stream(file);
	fclose(file);
}

static const char *page(const char *path)
{
	for (size_t i = 0; i < nr_pages; i++)
		if (!strcmp(pages[i].path, path))
			return pages[i].text;
	fail_msg("there is no %s", path);
	return NULL;
}

static char *read_help(void)
{
	char *argv[] = { "kvm_watcher", "--help=all", NULL }, *text;
	struct options opts;
	FILE *file = tmpfile();
	int saved = dup(STDOUT_FILENO), code;

	assert_non_null(file);
	assert_true(saved >= 0);
	fflush(stdout);
	dup2(fileno(file), STDOUT_FILENO);
	code = options__parse(&watch_command, 2, argv, &opts);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	assert_int_equal(code, 0);
	rewind(file);
	text = read_stream(file);
	fclose(file);
	return text;
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-';
}

/* "  -e, --vm_exit   text", "      --check   text" */
static void add_option(const char *line)
{
	struct option_name *option = &options[nr_options];
	const char *p = line + strspn(line, " ");

	if (*p != '-')
		return;
	assert_true(nr_options < MAX_OPTIONS);
	if (p[1] != '-') {
		option->key = p[1];
		p += 2 + strspn(p + 2, ", ");
	}
	if (!strncmp(p, "--", 2)) {
		size_t len = 0;

		for (p += 2; is_name(p[len]); len++)
			;
		assert_in_range(len, 1, sizeof(option->name) - 1);
		memcpy(option->name, p, len);
		option->value = p[len] == '=';
	}
	nr_options++;
}

static int setup(void **state)
{
	char path[300], *help, *line, *rest;
	struct dirent *entry;
	DIR *dir;

	(void)state;
	add_page("README.md");
	add_page("CONTRIBUTING.md");
	dir = opendir("docs");
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);

		snprintf(path, sizeof(path), "docs/%s", entry->d_name);
		if (len > 3 && (!strcmp(entry->d_name + len - 3, ".md") ||
				!strcmp(entry->d_name + len - 2, ".8")))
			add_page(path);
	}
	closedir(dir);
	rest = help = read_help();
	while ((line = strsep(&rest, "\n")))
		if (!strncmp(line, "  -", 3) || !strncmp(line, "      --", 8))
			add_option(line);
	free(help);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_pages; i++)
		free(pages[i].text);
	return 0;
}

static const struct option_name *find_key(char key)
{
	for (size_t i = 0; i < nr_options; i++)
		if (key && options[i].key == key)
			return &options[i];
	return NULL;
}

/* An option that only a command with a word has. */
static const struct option_name *find_in_words(const char *name, size_t len)
{
	static struct option_name found;

	for (const struct command *const *word = watch_command.words; *word; word++)
		for (size_t i = 0; (*word)->tables[i]; i++)
			for (const struct option_row *row = (*word)->tables[i]; row->name; row++) {
				if (strlen(row->name) != len || strncmp(row->name, name, len))
					continue;
				found = (struct option_name){ .value = row->arg };
				return &found;
			}
	return NULL;
}

static const struct option_name *find_name(const char *name)
{
	size_t len = 0;

	while (is_name(name[len]))
		len++;
	for (size_t i = 0; i < nr_options; i++)
		if (len && strlen(options[i].name) == len && !strncmp(options[i].name, name, len))
			return &options[i];
	return len ? find_in_words(name, len) : NULL;
}

/* text holds word with nothing before and behind it that could be part of a name. */
static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = strstr(text, word); p; p = strstr(p + 1, word))
		if ((p == text || !is_name(p[-1])) && !is_name(p[len]))
			return true;
	return false;
}

static bool any_page_has(const char *word)
{
	for (size_t i = 0; i < nr_pages; i++)
		if (!strncmp(pages[i].path, "docs/", 5) && strstr(pages[i].path, ".md") &&
		    has_word(pages[i].text, word))
			return true;
	return false;
}

static void test_help_is_understood(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_monitors; i++) {
		const struct option_name *option = find_name(monitors[i]->name);

		assert_non_null(option);
		assert_ptr_equal(monitors[i]->key ? find_key(monitors[i]->key) : option, option);
	}
	assert_true(find_name("format") && find_name("format")->value);
	assert_true(find_name("list") && !find_name("list")->value);
	assert_null(find_name("form"));
}

/* "| `-p`, `--vm_pid=PID` | only ... |": the first cell of such a row. Returns its end. */
static const char *next_row(const char **row)
{
	const char *end;

	*row = strstr(*row, "\n| `-");
	if (!*row)
		return NULL;
	*row += 3;
	end = strstr(*row, " | ");
	assert_non_null(end);
	return end;
}

static bool readme_has(const char *text)
{
	const char *row = page("README.md"), *end, *found;

	while ((end = next_row(&row))) {
		found = strstr(row, text);
		if (found && found < end)
			return true;
	}
	return false;
}

static void test_readme_has_all_options(void **state)
{
	char text[64];

	(void)state;
	for (size_t i = 0; i < nr_options; i++) {
		const struct option_name *option = &options[i];

		snprintf(text, sizeof(text), "`-%c`", option->key);
		if (option->key && !readme_has(text))
			fail_msg("-%c is not in README.md", option->key);
		snprintf(text, sizeof(text), "`--%s%c", option->name, option->value ? '=' : '`');
		if (option->name[0] && !readme_has(text))
			fail_msg("--%s is not in README.md", option->name);
	}
}

static void test_readme_has_no_others(void **state)
{
	const char *row = page("README.md"), *end;
	size_t rows = 0;

	(void)state;
	while ((end = next_row(&row))) {
		rows++;
		for (const char *p = strstr(row, "`-"); p && p < end; p = strstr(p + 1, "`-"))
			if (p[2] == '-' ? !find_name(p + 3) : !find_key(p[2]))
				fail_msg("README.md has an option that there is none of: %.20s", p);
	}
	/* All but -H have a row of their own. */
	assert_int_equal(rows, nr_options - 1);
}

static void test_manual_has_all_options(void **state)
{
	char text[64];

	(void)state;
	for (size_t i = 0; i < nr_options; i++) {
		const struct option_name *option = &options[i];

		snprintf(text, sizeof(text), "Fl %s%c", option->key == '?' ? "\\&" : "",
			 option->key);
		if (option->key && !has_word(page("docs/kvm_watcher.8"), text))
			fail_msg("-%c is not in docs/kvm_watcher.8", option->key);
		snprintf(text, sizeof(text), "Fl -%s", option->name);
		if (option->name[0] && !has_word(page("docs/kvm_watcher.8"), text))
			fail_msg("--%s is not in docs/kvm_watcher.8", option->name);
	}
}

static void test_manual_has_no_others(void **state)
{
	const char *text = page("docs/kvm_watcher.8");

	(void)state;
	for (const char *p = strstr(text, "Fl "); p; p = strstr(p + 1, "Fl ")) {
		const char *name = p + 3 + (strncmp(p + 3, "\\&", 2) ? 0 : 2);

		if (*name == '-' ? !find_name(name + 1) : !find_key(*name) || is_name(name[1]))
			fail_msg("the manual has an option that there is none of: %.20s", p);
	}
}

static void check_argument(const char *path, const char *word)
{
	char first[40];

	snprintf(first, sizeof(first), "%.*s", (int)strcspn(word, " \t\n`"), word);
	if (!strncmp(first, "--", 2)) {
		if (!find_name(first + 2))
			fail_msg("%s: kvm_watcher has no option %s", path, first);
		return;
	}
	for (const char *p = first + 1; *p; p++) {
		const struct option_name *option = find_key(*p);

		if (!option)
			fail_msg("%s: kvm_watcher has no option -%c (%s)", path, *p, first);
		if (option->value)
			return;
	}
}

/* Commands in the documents: "kvm_watcher -e -t 10", up to the end of the line or command. */
static void test_examples(void **state)
{
	size_t found = 0;

	(void)state;
	for (size_t i = 0; i < nr_pages; i++) {
		const char *p = pages[i].text;

		while ((p = strstr(p, "kvm_watcher -"))) {
			p += strlen("kvm_watcher");
			for (; *p == ' '; p += strcspn(p, " \t\n`|;&)>")) {
				p += strspn(p, " ");
				if (*p == '-' && p[1] != ' ')
					check_argument(pages[i].path, p);
				found += *p == '-';
			}
		}
	}
	assert_true(found > 10);
}

static void test_needs(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_monitors; i++)
		for (const struct hook *hook = monitors[i]->hooks; hook && hook->need; hook++)
			if (!any_page_has(hook->need))
				fail_msg("the need %s is in no page", hook->need);
	for (int kind = 0; kind < NR_HOOK_KINDS; kind++)
		assert_true(has_word(page("README.md"), hook_kind__name(kind)));
}

static void test_losses(void **state)
{
	char text[64];

	(void)state;
	for (int what = 0; what < NR_LOST; what++) {
		assert_non_null(lost__help(what));
		snprintf(text, sizeof(text), "| `%s` |", lost__name(what));
		if (!strstr(page("docs/output.md"), text))
			fail_msg("the loss %s is not in docs/output.md", lost__name(what));
		if (!has_word(page("docs/kvm_watcher.8"), lost__name(what)))
			fail_msg("the loss %s is not in docs/kvm_watcher.8", lost__name(what));
	}
}

/* scripts/deps.sh: build="gcc make", tests="jq", tests="$tests xorriso". */
static void test_packages(void **state)
{
	FILE *file = fopen("scripts/deps.sh", "re");
	char *text, *line, *rest, *name;
	size_t found = 0;

	(void)state;
	assert_non_null(file);
	rest = text = read_stream(file);
	fclose(file);
	while ((line = strsep(&rest, "\n"))) {
		if (strncmp(line, "build=\"", 7) && strncmp(line, "tests=\"", 7))
			continue;
		line += 7;
		line[strcspn(line, "\"")] = '\0';
		while ((name = strsep(&line, " "))) {
			if (*name == '$')
				continue;
			if (!has_word(page("README.md"), name))
				fail_msg("the package %s is not in README.md", name);
			found++;
		}
	}
	assert_true(found > 10);
	free(text);
}

static void check_column(const struct monitor *m, const struct column *col)
{
	char text[64];

	snprintf(text, sizeof(text), "| `%s` |", col->name);
	if (!any_page_has(text))
		fail_msg("the column %s of %s is in no page", col->name, m->name);
	if (col->title && !any_page_has(col->title))
		fail_msg("the column %s of %s is in no page", col->title, m->name);
}

static void test_columns(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_monitors; i++) {
		for (const struct column *col = monitors[i]->columns; col->name; col++)
			if (column__is_shown(col))
				check_column(monitors[i], col);
		for (const struct view *view = monitors[i]->views; view->title; view++)
			assert_true(any_page_has(view->title) &&
				    (view->apart || has_word(page("docs/output.md"), view->name)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_help_is_understood),
		cmocka_unit_test(test_readme_has_all_options),
		cmocka_unit_test(test_readme_has_no_others),
		cmocka_unit_test(test_manual_has_all_options),
		cmocka_unit_test(test_manual_has_no_others),
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_needs),
		cmocka_unit_test(test_losses),
		cmocka_unit_test(test_packages),
		cmocka_unit_test(test_columns),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
