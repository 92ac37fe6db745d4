// SPDX-License-Identifier: GPL-2.0-only
/*
 * The samples in the documents are of the program as it is: their tables have
 * the columns that the monitors declare, in their order, and none is missing
 * without the sample saying so; rows of JSON have the members of their table.
 * Numbers may differ. Each sample says how it was made, and `make
 * docs-samples` makes it again. Run from the project's root.
 */
#include <dirent.h>

#include <json-c/json.h>

#include "../../core/attach.h"
#include "../../monitors/monitors.h"
#include "../../output/column.h"
#include "page.h"

static size_t nr_tables, nr_rows;

/* Title without what is in parentheses, as units. */
static size_t base_len(const char *title)
{
	const char *paren = strstr(title, " (");

	return paren ? (size_t)(paren - title) : strlen(title);
}

static const struct view *find_view(const char *line, const struct monitor **of, unsigned int *bit)
{
	for (size_t i = 0; i < nr_monitors; i++)
		for (const struct view *view = monitors[i]->views; view->title; view++) {
			size_t len = base_len(view->title);

			if (base_len(line) != len || strncmp(line, view->title, len))
				continue;
			*of = monitors[i];
			*bit = 1u << (view - monitors[i]->views);
			return view;
		}
	return NULL;
}

static bool in_table(const struct column *col, unsigned int bit)
{
	return column__is_shown(col) && col->title && !(col->flags & COL_DATA_ONLY) &&
	       (!col->views || col->views & bit);
}

static bool in_data(const struct column *col, unsigned int bit)
{
	return column__is_shown(col) && !(col->flags & COL_TABLE_ONLY) &&
	       (!col->views || col->views & bit);
}

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = strstr(text, word); p; p = strstr(p + 1, word))
		if ((p == text || strchr(" ,\n", p[-1])) && (!p[len] || strchr(" ,\n", p[len])))
			return true;
	return false;
}

/* "no room for MIN_TIME, TID": anywhere in the page, since it is said once in a run. */
static bool has_no_room(const struct doc_page *page, const char *title)
{
	for (size_t i = 0; i < page->blocks.nr; i++)
		for (const char *p = strstr(page->blocks.of[i], "no room for "); p;
		     p = strstr(p + 1, "no room for ")) {
			char line[300];

			snprintf(line, sizeof(line), "%.*s", (int)strcspn(p, "\n"), p);
			if (has_word(line, title))
				return true;
		}
	return false;
}

/* A heading: its words are titles of the view, in the order of the columns. */
static void check_heading(const struct doc_page *page, const char *heading, const struct monitor *m,
			  const struct view *view, unsigned int bit, bool whole)
{
	static const char *const common[] = { "TIME", "VM", "PID", "TID", "VCPU", NULL };
	const struct column *col = m->columns;
	const char *const *next = common;
	const char *p = heading;
	char word[64];

	nr_tables++;
	while (*(p += strspn(p, " "))) {
		size_t len = strcspn(p, " ");

		snprintf(word, sizeof(word), "%.*s", (int)len, p);
		p += len;
		while (*next && strcmp(*next, word))
			next++;
		if (*next) {
			next++;
			continue;
		}
		/* Behind the common ones, also where a column of the monitor has such a name. */
		next = common + 5;
		while (col->name && (!in_table(col, bit) || strcmp(col->title, word)))
			col++;
		if (!col->name) {
			wrong("%s: %s has no column %s, or it stands elsewhere: %s", page->path,
			      view->title, word, heading);
			return;
		}
		col++;
	}
	for (col = m->columns; whole && col->name; col++)
		if (in_table(col, bit) && !(col->flags & COL_WIDE) &&
		    !has_word(heading, col->title) && !has_no_room(page, col->title))
			wrong("%s: the sample of %s lacks %s: %s", page->path, view->title,
			      col->title, heading);
}

static bool ends_with(const char *line, const char *end)
{
	size_t len = strlen(line), end_len = strlen(end);

	return len >= end_len && !strcmp(line + len - end_len, end);
}

static void check_tables(const struct doc_page *page, const char *block, const char *before)
{
	const struct monitor *m = NULL;
	const struct view *view = NULL;
	char line[1024];
	unsigned int bit = 0;
	bool said = !strncmp(before, "<!-- sample ", 12), shows = !said || !*block;

	for (; *block; block += strcspn(block, "\n") + (block[strcspn(block, "\n")] == '\n')) {
		snprintf(line, sizeof(line), "%.*s", (int)strcspn(block, "\n"), block);
		memmove(line, line + strspn(line, " "), strlen(line + strspn(line, " ")) + 1);
		shows = shows || (*line && *line != '`' && !ends_with(line, ": none"));
		if (view && !strncmp(line, "no room for ", 12))
			continue;
		if (view && !view->apart &&
		    (!strncmp(line, "VM ", 3) || !strncmp(line, "TIME ", 5))) {
			check_heading(page, line, m, view, bit,
				      strncmp(before, "<!-- sample hand: ", 18));
			if (!said)
				wrong("%s: no comment says how the sample of %s was made",
				      page->path, view->title);
			said = true;
		}
		view = find_view(line, &m, &bit);
	}
	if (!shows)
		wrong("%s: a sample that shows nothing: %s", page->path, before);
}

static void check_row(const struct doc_page *page, struct json_object *row)
{
	static const char *const common[] = { "monitor", "table", "scope", "ts_ns", "time", "vm",
					      "vm_id",	 "pid",	  "tid",   "vcpu",  NULL };
	const char *name = json_object_get_string(json_object_object_get(row, "table"));
	const struct monitor *m = NULL;
	const struct view *view = NULL;
	unsigned int bit = 0;

	for (size_t i = 0; i < nr_monitors && !view; i++)
		for (const struct view *v = monitors[i]->views; v->title && !view; v++)
			if (!v->again && name && !strcmp(v->name, name)) {
				m = monitors[i];
				view = v;
				bit = 1u << (v - m->views);
			}
	if (!view) {
		wrong("%s: a row of no table: %s", page->path, name ?: "-");
		return;
	}
	nr_rows++;
	for (const char *const *key = common; *key; key++)
		if (!json_object_object_get_ex(row, *key, NULL))
			wrong("%s: a row of %s has no %s", page->path, name, *key);
	for (const struct column *col = m->columns; col->name; col++)
		if (in_data(col, bit) && !json_object_object_get_ex(row, col->name, NULL))
			wrong("%s: a row of %s has no %s", page->path, name, col->name);
	json_object_object_foreach(row, key, value)
	{
		const struct column *col = m->columns;

		(void)value;
		for (const char *const *p = common; *p; p++)
			if (!strcmp(*p, key))
				goto next;
		if (!strcmp(key, "interval_ns"))
			goto next;
		while (col->name && (!in_data(col, bit) || strcmp(col->name, key)))
			col++;
		if (!col->name)
			wrong("%s: a row of %s has %s, which is none of it", page->path, name, key);
	next:;
	}
}

/* Objects, one after the other; the page breaks their lines at commas. */
static void check_json(const struct doc_page *page, const char *block)
{
	struct json_tokener *tok = json_tokener_new();
	size_t len = strlen(block);
	struct json_object *object;

	while (len && (object = json_tokener_parse_ex(tok, block, (int)len))) {
		struct json_object *table;
		size_t used = json_tokener_get_parse_end(tok);

		if (json_object_object_get_ex(object, "monitor", NULL) &&
		    json_object_object_get_ex(object, "table", &table))
			check_row(page, object);
		json_object_put(object);
		block += used;
		len -= used;
	}
	json_tokener_free(tok);
}

static void check_page(const char *path)
{
	struct doc_page *page = doc_page__read(path);

	for (size_t i = 0; i < page->blocks.nr; i++) {
		check_tables(page, page->blocks.of[i], page->before.of[i]);
		if (strstr(page->blocks.of[i], "{\"monitor\":\""))
			check_json(page, strchr(page->blocks.of[i], '{'));
	}
	doc_page__free(page);
}

static void check_pages(const char *dir)
{
	DIR *open = opendir(dir);
	struct dirent *entry;
	char path[300];

	assert_non_null(open);
	while ((entry = readdir(open))) {
		size_t len = strlen(entry->d_name);

		/* The report of diagnose is no monitor's. */
		if (len < 4 || strcmp(entry->d_name + len - 3, ".md") ||
		    !strcmp(entry->d_name, "diagnose.md"))
			continue;
		snprintf(path, sizeof(path), "%s%s", dir, entry->d_name);
		check_page(path);
	}
	closedir(open);
}

static void test_samples(void **state)
{
	(void)state;
	check_page("README.md");
	check_pages("docs/");
	check_pages("docs/kvm/");
	assert_int_equal(nr_wrong, 0);
	assert_true(nr_tables > 40 && nr_rows > 0);
}

/* docs/kvm/ is about these monitors: each of their needs is in one of its pages. */
static void test_hooks(void **state)
{
	static const char *const about[] = { "exits", "mmu",	    "vcpu",  "interrupts",
					     "dirty", "hypercalls", "ioctls" };
	static const char *const others[] = { "nested", "vm_state", "vmm_threads", "host" };
	enum { NR = sizeof(about) / sizeof(*about) };
	struct doc_page *pages[NR];
	char path[64], word[64];
	size_t found = 0;

	(void)state;
	nr_wrong = 0;
	for (size_t i = 0; i < NR; i++) {
		snprintf(path, sizeof(path), "docs/kvm/%s.md", about[i]);
		pages[i] = doc_page__read(path);
	}
	for (size_t i = 0; i < nr_monitors; i++) {
		bool told = false;

		for (size_t k = 0; k < sizeof(others) / sizeof(*others); k++)
			told |= !strcmp(monitors[i]->name, others[k]);
		for (const struct hook *h = monitors[i]->hooks; !told && h && h->need; h++) {
			bool has = false;

			snprintf(word, sizeof(word), "`%s`", h->need);
			for (size_t k = 0; k < NR; k++)
				has |= strstr(pages[k]->text, word) != NULL;
			found += has;
			if (!has)
				wrong("the need %s of %s is in no page of docs/kvm", h->need,
				      monitors[i]->name);
		}
	}
	for (size_t i = 0; i < NR; i++)
		doc_page__free(pages[i]);
	assert_int_equal(nr_wrong, 0);
	assert_true(found > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_hooks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
