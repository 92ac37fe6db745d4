/* SPDX-License-Identifier: GPL-2.0-only */
/* A page of the documents, taken apart: headings, code blocks, rows of tables, text. */
#ifndef PAGE_H
#define PAGE_H

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_PARTS = 1024 };

/* What is wrong is said all at once; the test fails in the end. */
static size_t nr_wrong;

#define wrong(...) (print_error(__VA_ARGS__), print_error("\n"), nr_wrong++)

struct parts {
	char *of[MAX_PARTS];
	size_t nr;
};

struct doc_page {
	char path[300];
	struct parts headings; /* with their "##" */
	struct parts anchors;  /* as GitHub makes them, or as <a id> says */
	struct parts blocks;
	struct parts before; /* the line in front of each block that is not empty */
	struct parts rows;
	char *text; /* what is in no block, the lines joined */
};

static inline void parts__add(struct parts *parts, const char *text, size_t len)
{
	assert_true(parts->nr < MAX_PARTS);
	parts->of[parts->nr] = strndup(text, len);
	assert_non_null(parts->of[parts->nr]);
	parts->nr++;
}

static inline bool parts__has(const struct parts *parts, const char *text)
{
	for (size_t i = 0; i < parts->nr; i++)
		if (!strcmp(parts->of[i], text))
			return true;
	return false;
}

static inline void parts__free(struct parts *parts)
{
	for (size_t i = 0; i < parts->nr; i++)
		free(parts->of[i]);
	parts->nr = 0;
}

static inline void doc_page__anchor(struct doc_page *page, const char *heading)
{
	const char *id = strstr(heading, "<a id=\"");
	char name[300], numbered[320];
	size_t len = 0;

	if (id) {
		id += strlen("<a id=\"");
		parts__add(&page->anchors, id, strcspn(id, "\""));
		return;
	}
	heading += strspn(heading, "# ");
	for (; *heading && len < sizeof(name) - 1; heading++) {
		/* Of a link the text is left. */
		if (*heading == ']' && heading[1] == '(')
			heading += strcspn(heading, ")");
		else if (*heading == ' ')
			name[len++] = '-';
		else if (isalnum((unsigned char)*heading) || *heading == '_' || *heading == '-')
			name[len++] = tolower((unsigned char)*heading);
		if (!*heading)
			break;
	}
	name[len] = '\0';
	snprintf(numbered, sizeof(numbered), "%s", name);
	for (int i = 1; parts__has(&page->anchors, numbered); i++)
		snprintf(numbered, sizeof(numbered), "%s-%d", name, i);
	parts__add(&page->anchors, numbered, strlen(numbered));
}

static inline void doc_page__line(struct doc_page *page, FILE *text, const char *line)
{
	if (*line == '#') {
		parts__add(&page->headings, line, strlen(line));
		doc_page__anchor(page, line);
	} else if (*line == '|') {
		parts__add(&page->rows, line, strlen(line));
	}
	fprintf(text, "%s%s", line, *line ? " " : "\n");
}

/* Fenced code, or code indented by four spaces behind an empty line, a comment, or more code. */
static inline struct doc_page *doc_page__read(const char *path)
{
	struct doc_page *page = calloc(1, sizeof(*page));
	bool fenced = false, indented = false, empty = true, is_code, was_fenced;
	char *line = NULL, *block = NULL, last[1024] = "";
	size_t room = 0, size = 0, block_size = 0, held = 0;
	FILE *file = fopen(path, "re"), *out = NULL, *text;
	ssize_t len;

	assert_non_null(page);
	if (!file)
		fail_msg("%s can't be read: run this from the project's root", path);
	snprintf(page->path, sizeof(page->path), "%s", path);
	text = open_memstream(&page->text, &size);
	while ((len = getline(&line, &room, file)) >= 0) {
		line[strcspn(line, "\n")] = '\0';
		was_fenced = fenced;
		is_code = fenced || !strncmp(line, "```", 3);
		if (!strncmp(line, "```", 3))
			fenced = !fenced;
		if (!is_code && !strncmp(line, "    ", 4) && (empty || indented))
			is_code = indented = true;
		else if (!is_code && *line)
			indented = false;
		if (is_code) {
			if (!out) {
				parts__add(&page->before, last, strlen(last));
				out = open_memstream(&block, &block_size);
			} else {
				for (; held; held--)
					fputc('\n', out);
			}
			held = 0;
			fprintf(out, "%s\n", line);
		} else if (!*line && out && indented) {
			held++;
		} else {
			doc_page__line(page, text, line);
		}
		if (out &&
		    ((was_fenced && !fenced) || (!is_code && *line) || (!is_code && !indented))) {
			fclose(out);
			parts__add(&page->blocks, block, strlen(block));
			free(block);
			out = NULL;
			held = 0;
		}
		if (*line && !is_code)
			snprintf(last, sizeof(last), "%s", line);
		empty = !*line || (!strncmp(line, "<!-- ", 5) && strstr(line, " -->"));
	}
	if (out) {
		fclose(out);
		parts__add(&page->blocks, block, strlen(block));
		free(block);
	}
	fclose(text);
	fclose(file);
	free(line);
	return page;
}

static inline void doc_page__free(struct doc_page *page)
{
	parts__free(&page->headings);
	parts__free(&page->anchors);
	parts__free(&page->blocks);
	parts__free(&page->before);
	parts__free(&page->rows);
	free(page->text);
	free(page);
}

#endif
