// SPDX-License-Identifier: GPL-2.0-only
/* What holds of every output, whatever went in. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "../../output/output.h"
#include "../../output/text.h"
#include "fuzz.h"

static void wrong(const char *what, const char *text, size_t len)
{
	fprintf(stderr, "%s: %.*s\n", what, (int)(len < 2000 ? len : 2000), text);
	abort();
}

char *fuzz_text_of(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (text) {
		memcpy(text, data, size);
		text[size] = '\0';
	}
	return text;
}

void check_ends(const char *text, size_t size)
{
	if (!memchr(text, '\0', size))
		wrong("text that does not end", text, size);
}

void check_line(const char *text, size_t len)
{
	struct text_char c = {};

	for (size_t at = 0; at < len; at += c.len) {
		text__read(&c, text + at, len - at);
		if (!c.valid || !c.shown)
			wrong("text that is not shown as it is", text, len);
	}
}

/* One value and nothing behind it; numbers that JSON does not have are none. */
static void check_json(const char *text, size_t len)
{
	struct json_tokener *tok = json_tokener_new_ex(64);
	struct json_object *obj;

	if (!tok)
		return;
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	obj = json_tokener_parse_ex(tok, text, len);
	if (json_tokener_get_error(tok) != json_tokener_success &&
	    json_tokener_get_error(tok) != json_tokener_continue)
		wrong("no JSON", text, len);
	if (!obj || json_tokener_get_parse_end(tok) != len)
		wrong("not one object of JSON", text, len);
	json_object_put(obj);
	json_tokener_free(tok);
}

void check_object(struct json_object *obj)
{
	const char *text = obj ? json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PLAIN) : NULL;

	if (text)
		check_json(text, strlen(text));
	json_object_put(obj);
}

static void check_lines(const char *text, size_t size, void (*check)(const char *, size_t))
{
	const char *end = text + size;

	while (text < end) {
		const char *stop = memchr(text, '\n', end - text);

		if (!stop)
			wrong("a line without its end", text, end - text);
		check(text, stop - text);
		text = stop + 1;
	}
}

/* The field at *at, which then is behind it and what ends it. True: the record goes on. */
static bool read_field(const char *text, size_t size, size_t *at)
{
	size_t i = *at;

	if (i < size && text[i] == '"') {
		for (i++; i < size && (text[i] != '"' || (i + 1 < size && text[i + 1] == '"')); i++)
			i += text[i] == '"';
		if (i++ >= size)
			wrong("CSV: a quote that does not end", text + *at, size - *at);
	} else {
		while (i < size && !strchr(",\r\n\"", text[i]))
			i++;
	}
	if (i < size && text[i] == ',') {
		*at = i + 1;
		return true;
	}
	if (i + 1 >= size || text[i] != '\r' || text[i + 1] != '\n')
		wrong("CSV: a field that ends wrong", text + *at, size - *at);
	*at = i + 2;
	return false;
}

/* RFC 4180. A record has as many fields as a header: several tables may be in one file. */
static void check_csv(const char *text, size_t size)
{
	static const char header[] = "monitor,table,";
	size_t known[64], nr_known = 0;

	for (size_t at = 0, begin = 0, nr; at < size; begin = at) {
		bool is_known = false;

		for (nr = 1; read_field(text, size, &at); nr++)
			;
		if (size - begin > sizeof(header) &&
		    !strncmp(text + begin, header, sizeof(header) - 1) && nr_known < 64)
			known[nr_known++] = nr;
		for (size_t i = 0; i < nr_known; i++)
			is_known |= known[i] == nr;
		if (!is_known)
			wrong("CSV: more or fewer fields than a header", text + begin, at - begin);
	}
}

static int most_columns;

static bool takes(const char **text, size_t *len, const char *word, bool at_end)
{
	size_t part = strlen(word);

	if (*len < part || memcmp(*text + (at_end ? *len - part : 0), word, part))
		return false;
	*text += at_end ? 0 : part;
	*len -= part;
	return true;
}

static void check_width(const char *text, size_t len)
{
	char *line;

	/* Whole lines are bold or underlined, and nothing else steers the terminal. */
	if ((takes(&text, &len, "\033[1m", false) || takes(&text, &len, "\033[4m", false)) &&
	    !takes(&text, &len, "\033[0m", true))
		wrong("a line that stays bold", text, len);
	line = fuzz_text_of((const uint8_t *)text, len);

	if (line && text__width(line) > most_columns)
		wrong("a line that is too wide", text, len);
	check_line(text, len);
	free(line);
}

/* [a-zA-Z_:][a-zA-Z0-9_:]*: its length. */
static size_t name_length(const char *text)
{
	static const char names[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:0123456789";

	return *text >= '0' && *text <= '9' ? 0 : strspn(text, names);
}

/* {name="text",...}, in which \\, \" and \n are escapes: its length, or 0. */
static size_t labels_length(const char *text)
{
	const char *at = text;

	do {
		size_t len = name_length(++at);

		if (!len || at[len] != '=' || at[len + 1] != '"')
			return 0;
		for (at += len + 2; *at && *at != '"'; at++)
			if (*at == '\\' && (!*++at || !strchr("\\\"n", *at)))
				return 0;
		if (*at++ != '"')
			return 0;
	} while (*at == ',');
	return *at == '}' ? at + 1 - text : 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A series of that family, "NAME{LABELS} NUMBER", which becomes "NAME{LABELS}". */
static void check_sample(char *line, const char *family, size_t family_len)
{
	size_t name = name_length(line), len = name;
	char *end;

	if (!name || strncmp(line, family, family_len) != 0 ||
	    (name > family_len && line[family_len] != '_'))
		wrong("a series that is not of its family", line, strlen(line));
	if (line[len] == '{')
		len += labels_length(line + len);
	if (len == name && line[len] == '{')
		wrong("labels that do not parse", line, strlen(line));
	if (line[len] != ' ' || strchr("\t\n ", line[len + 1]) || !line[len + 1] ||
	    (strtod(line + len + 1, &end), *end))
		wrong("a series without a number", line, strlen(line));
	line[len] = '\0';
	check_line(line, len);
}

/*
 * The text that Prometheus reads: a head for each family and then its series, each of which is
 * there once; OpenMetrics ends with # EOF.
 */
void check_series(const char *data, size_t size, bool openmetrics)
{
	char *text = fuzz_text_of((const uint8_t *)data, size), *line, *rest = text, *end = text;
	char family[128] = "", type[16];
	size_t nr = 0, room = 0;
	char **list = NULL;

	for (size_t i = 0; text && i < size; i++)
		room += text[i] == '\n';
	list = calloc(room + 1, sizeof(*list));
	while (text && list && (line = strsep(&rest, "\n")) && rest) {
		end = line;
		if (!strncmp(line, "# TYPE ", 7)) {
			if (sscanf(line, "# TYPE %127s %15s", family, type) != 2)
				wrong("a family without a type", line, strlen(line));
		} else if (*line != '#') {
			check_sample(line, family, strlen(family));
			list[nr++] = line;
		} else if (strncmp(line, "# HELP ", 7) != 0 && strncmp(line, "# UNIT ", 7) != 0 &&
			   (!openmetrics || strcmp(line, "# EOF") != 0)) {
			wrong("a line that is no series", line, strlen(line));
		}
	}
	if (text && list && openmetrics && strcmp(end, "# EOF") != 0)
		wrong("OpenMetrics without its end", text, size);
	if (list)
		qsort(list, nr, sizeof(*list), by_text);
	for (size_t i = 1; list && i < nr; i++)
		if (!strcmp(list[i], list[i - 1]))
			wrong("a series that is there twice", list[i], strlen(list[i]));
	free(list);
	free(text);
}

int written__open(struct written *w, int format, int width)
{
	*w = (struct written){ .format = format, .width = width };
	w->stream = open_memstream(&w->text, &w->size);
	w->out = w->stream ? output__new(format, w->stream, width) : NULL;
	return w->out ? 0 : -1;
}

void written__check(struct written *w)
{
	if (w->out)
		output__flush(w->out);
	output__free(w->out);
	if (w->stream)
		fclose(w->stream);
	most_columns = w->width;
	if (w->out && w->text && w->format == FORMAT_JSON)
		check_lines(w->text, w->size, check_json);
	else if (w->out && w->text && w->format == FORMAT_CSV)
		check_csv(w->text, w->size);
	else if (w->out && w->text && w->format == FORMAT_TABLE && w->width)
		check_lines(w->text, w->size, check_width);
	free(w->text);
}
