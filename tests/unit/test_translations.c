// SPDX-License-Identifier: GPL-2.0-only
/*
 * The English and the Chinese pages have the same parts: sections, code
 * blocks byte by byte, rows of tables with their options and columns, and all
 * words of code in the text. Links lead to pages and sections that are there.
 * Run from the project's root, where the documents are.
 */
#include <dirent.h>
#include <unistd.h>

#include "page.h"

/* What is between backquotes. */
static void find_words(const char *text, size_t len, struct parts *words)
{
	const char *end = text + len, *close;

	for (; text < end; text = close + 1) {
		text = memchr(text, '`', end - text);
		close = text ? memchr(text + 1, '`', end - text - 1) : NULL;
		if (!close)
			return;
		parts__add(words, text + 1, close - text - 1);
	}
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void check_words(const struct doc_page *page, const struct doc_page *other)
{
	static struct parts words, others;

	find_words(page->text, strlen(page->text), &words);
	find_words(other->text, strlen(other->text), &others);
	for (size_t i = 0; i < words.nr; i++)
		if (!parts__has(&others, words.of[i]))
			wrong("%s: `%s` is not in %s", page->path, words.of[i], other->path);
	parts__free(&words);
	parts__free(&others);
}

static void take_cells(const char *row, struct parts *cells)
{
	for (row++; *row; row += strcspn(row, "|") + 1) {
		size_t len = strcspn(row, "|");

		while (row[len] && row[len - 1] == '\\') /* "\|" is no border */
			len += 1 + strcspn(row + len + 1, "|");
		if (!row[len])
			break;
		parts__add(cells, row, len);
		row += len - strcspn(row, "|");
	}
}

/* No prose: capitals, signs, and words of code. */
static bool is_title(const char *cell)
{
	bool code = false;

	for (; *cell; cell++) {
		if (*cell == '`')
			code = !code;
		else if (!code && (islower((unsigned char)*cell) || (unsigned char)*cell > 127))
			return false;
	}
	return true;
}

/* Words of code and of capitals, in their order: punctuation may differ. */
static void take_tokens(const char *cell, char *tokens, size_t size)
{
	size_t len = 0;
	bool code = false;

	for (; *cell && len < size - 2; cell++) {
		if (*cell == '`')
			code = !code;
		if (code || isalnum((unsigned char)*cell) || strchr("_%?/", *cell))
			tokens[len++] = *cell;
		else if (len && tokens[len - 1] != ' ')
			tokens[len++] = ' ';
	}
	while (len && tokens[len - 1] == ' ')
		len--;
	tokens[len] = '\0';
}

/* Test machines, such as 6.12-svm, which tables name without backquotes. */
static void find_machines(const char *row, struct parts *machines)
{
	const char *name;

	for (name = row; *name; name++) {
		size_t len = strspn(name, "0123456789.");

		if (len && (!strncmp(name + len, "-svm", 4) || !strncmp(name + len, "-vmx", 4)))
			parts__add(machines, name, len + 4);
		name += len ? len - 1 : 0;
	}
}

static void check_row(const struct doc_page *page, const struct doc_page *zh, size_t row)
{
	static struct parts cells, zh_cells, words, zh_words;
	char tokens[1024], zh_tokens[1024];
	bool same;

	take_cells(page->rows.of[row], &cells);
	take_cells(zh->rows.of[row], &zh_cells);
	if (cells.nr != zh_cells.nr)
		wrong("%s: a row has %zu cells, in %s %zu: %s", zh->path, zh_cells.nr, page->path,
		      cells.nr, zh->rows.of[row]);
	for (size_t i = 0; i < cells.nr && i < zh_cells.nr; i++) {
		if (!is_title(cells.of[i]))
			continue;
		take_tokens(cells.of[i], tokens, sizeof(tokens));
		take_tokens(zh_cells.of[i], zh_tokens, sizeof(zh_tokens));
		if (strcmp(tokens, zh_tokens))
			wrong("%s has \"%s\" where %s has \"%s\"", zh->path, zh_cells.of[i],
			      page->path, cells.of[i]);
	}
	find_words(page->rows.of[row], strlen(page->rows.of[row]), &words);
	find_words(zh->rows.of[row], strlen(zh->rows.of[row]), &zh_words);
	find_machines(page->rows.of[row], &words);
	find_machines(zh->rows.of[row], &zh_words);
	qsort(words.of, words.nr, sizeof(*words.of), compare);
	qsort(zh_words.of, zh_words.nr, sizeof(*zh_words.of), compare);
	same = words.nr == zh_words.nr;
	for (size_t i = 0; same && i < words.nr; i++)
		same = !strcmp(words.of[i], zh_words.of[i]);
	if (!same)
		wrong("%s has other words of code, or other machines, than %s in the row %s",
		      zh->path, page->path, zh->rows.of[row]);
	parts__free(&cells);
	parts__free(&zh_cells);
	parts__free(&words);
	parts__free(&zh_words);
}

static void check_pair(const char *path, const char *zh_path)
{
	struct doc_page *page = doc_page__read(path), *zh = doc_page__read(zh_path);

	if (page->headings.nr != zh->headings.nr)
		wrong("%s has %zu sections, %s %zu", zh_path, zh->headings.nr, path,
		      page->headings.nr);
	for (size_t i = 0; i < page->headings.nr && i < zh->headings.nr; i++)
		if (strspn(page->headings.of[i], "#") != strspn(zh->headings.of[i], "#") ||
		    strcmp(page->anchors.of[i], zh->anchors.of[i]))
			wrong("%s: \"%s\" is not the section \"%s\" (scripts/zh.sh)", zh_path,
			      zh->headings.of[i], page->headings.of[i]);
	if (page->blocks.nr != zh->blocks.nr)
		wrong("%s has %zu blocks of code, %s %zu", zh_path, zh->blocks.nr, path,
		      page->blocks.nr);
	for (size_t i = 0; i < page->blocks.nr && i < zh->blocks.nr; i++) {
		if (strcmp(page->blocks.of[i], zh->blocks.of[i]))
			wrong("%s has another block than %s (scripts/zh.sh):\n%s", zh_path, path,
			      page->blocks.of[i]);
		if (!strncmp(page->before.of[i], "<!-- ", 5) &&
		    strcmp(page->before.of[i], zh->before.of[i]))
			wrong("%s does not have %s", zh_path, page->before.of[i]);
	}
	if (page->rows.nr != zh->rows.nr)
		wrong("%s has %zu rows in its tables, %s %zu", zh_path, zh->rows.nr, path,
		      page->rows.nr);
	for (size_t i = 0; i < page->rows.nr && i < zh->rows.nr; i++)
		check_row(page, zh, i);
	check_words(page, zh);
	check_words(zh, page);
	doc_page__free(page);
	doc_page__free(zh);
}

/* Calls each() with every page below dir. */
static size_t for_pages(const char *dir, void (*each)(const char *path))
{
	DIR *open = opendir(dir);
	struct dirent *entry;
	char path[300];
	size_t nr = 0;

	if (!open)
		return 0;
	while ((entry = readdir(open))) {
		size_t len = strlen(entry->d_name);

		if (len < 4 || strcmp(entry->d_name + len - 3, ".md"))
			continue;
		snprintf(path, sizeof(path), "%s%s", dir, entry->d_name);
		each(path);
		nr++;
	}
	closedir(open);
	return nr;
}

static void check_translation(const char *zh_path)
{
	char path[300];

	snprintf(path, sizeof(path), "docs/%s", zh_path + strlen("docs/zh/"));
	check_pair(path, zh_path);
}

static void test_pages(void **state)
{
	(void)state;
	nr_wrong = 0;
	assert_true(for_pages("docs/zh/", check_translation) > 0);
	assert_true(for_pages("docs/zh/kvm/", check_translation) == 8);
	assert_int_equal(nr_wrong, 0);
}

static void test_readme(void **state)
{
	(void)state;
	nr_wrong = 0;
	check_pair("README.md", "README.zh.md");
	assert_int_equal(nr_wrong, 0);
}

/*
 * Each user page has its translation; those for developers don't. The glossary is in both
 * languages.
 */
static void check_translated(const char *path)
{
	static const char *const english[] = { "design.md", "glossary.md", "test-machines.md" };
	char zh[320];

	for (size_t i = 0; i < sizeof(english) / sizeof(*english); i++)
		if (!strcmp(path + strlen("docs/"), english[i]))
			return;
	snprintf(zh, sizeof(zh), "docs/zh/%s", path + strlen("docs/"));
	if (access(zh, F_OK))
		wrong("%s has no translation", path);
}

static void test_all_are_translated(void **state)
{
	(void)state;
	nr_wrong = 0;
	assert_true(for_pages("docs/", check_translated) > 0);
	assert_true(for_pages("docs/kvm/", check_translated) == 8);
	assert_int_equal(nr_wrong, 0);
}

static void check_link(const struct doc_page *page, const char *link, size_t len)
{
	char path[1024], dir[300];
	const char *anchor = memchr(link, '#', len);
	size_t file_len = anchor ? (size_t)(anchor - link) : len;
	struct doc_page *target;

	snprintf(dir, sizeof(dir), "%s", page->path);
	if (strrchr(dir, '/'))
		strrchr(dir, '/')[1] = '\0';
	else
		*dir = '\0';
	snprintf(path, sizeof(path), "%s%.*s", dir, (int)file_len, link);
	if (!file_len)
		snprintf(path, sizeof(path), "%s", page->path);
	if (access(path, F_OK)) {
		wrong("%s: the link %.*s leads to no file", page->path, (int)len, link);
		return;
	}
	if (!anchor || strcmp(path + strlen(path) - 3, ".md"))
		return;
	target = doc_page__read(path);
	snprintf(path, sizeof(path), "%.*s", (int)(len - file_len - 1), anchor + 1);
	if (!parts__has(&target->anchors, path))
		wrong("%s: the link %.*s leads to no section", page->path, (int)len, link);
	doc_page__free(target);
}

static void check_links(const char *path)
{
	struct doc_page *page = doc_page__read(path);
	const char *link = page->text;

	while ((link = strstr(link, "]("))) {
		link += 2;
		if (strncmp(link, "http", 4))
			check_link(page, link, strcspn(link, ")"));
	}
	doc_page__free(page);
}

static void test_links(void **state)
{
	(void)state;
	nr_wrong = 0;
	assert_true(for_pages("docs/", check_links) > 0);
	assert_true(for_pages("docs/kvm/", check_links) > 0);
	for_pages("docs/zh/", check_links);
	for_pages("docs/zh/kvm/", check_links);
	check_links("README.md");
	check_links("CONTRIBUTING.md");
	check_links("README.zh.md");
	assert_int_equal(nr_wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_readme),
		cmocka_unit_test(test_all_are_translated),
		cmocka_unit_test(test_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
