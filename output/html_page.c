/* SPDX-License-Identifier: GPL-2.0-only */
/* Writing the page: its data as JSON, between what output/html has before and behind it. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "html.h"
#include "page.h"

enum {
	SHARP = 32, /* groups of a kind that are not thinned further */
	SHOWN = 12, /* groups of a kind whose lines are more than a stack */
	COARSE = 4, /* intervals that are one for the others */
};

static const char *const by_names[] = {
	[BY_ALL] = "all",
	[BY_VM] = "vm",
	[BY_VCPU] = "vcpu",
	[BY_LABELS] = "labels",
};
/* To so many digits, in as few letters as JSON allows: 1235e3. */
static void put_value(struct buf *buf, double value, int digits)
{
	char text[32], *e;
	int exponent;

	if (value < pow(10, digits) && value == floor(value)) {
		buf__printf(buf, "%.0f", value);
		return;
	}
	snprintf(text, sizeof(text), "%.*e", digits - 1, value);
	/* "1.235e+06" */
	e = text + digits + 1;
	exponent = atoi(e + 1) - (digits - 1);
	*e = '\0';
	memmove(text + 1, text + 2, digits);
	for (int i = digits - 1; i > 0 && text[i] == '0'; i--, exponent++)
		text[i] = '\0';
	if (exponent)
		buf__printf(buf, "%se%d", text, exponent);
	else
		buf__puts(buf, text);
}

static void put_values(const struct page *p, struct buf *buf, const float *values, size_t every)
{
	const char *comma = "[";

	for (size_t i = 0; i < p->nr_moments; i += every, comma = ",") {
		double sum = 0;

		for (size_t j = i; j < i + every && j < p->nr_moments; j++)
			sum += values[j];
		buf__puts(buf, comma);
		put_value(buf, sum, every > 1 ? 3 : 5);
	}
	buf__putc(buf, ']');
}

/* Of each moment that has any: its number, the lowest bucket, counts from there on. */
static void put_cells(const struct page *p, struct buf *buf, const struct cell *cells)
{
	const char *comma = "";

	buf__putc(buf, '[');
	for (size_t i = 0; i < p->nr_moments; i++) {
		if (!cells[i].nr)
			continue;
		buf__printf(buf, "%s[%zu,%u", comma, i, cells[i].low);
		for (unsigned int j = 0; j < cells[i].nr; j++) {
			buf__putc(buf, ',');
			put_value(buf, cells[i].counts[j], 5);
		}
		buf__putc(buf, ']');
		comma = ",";
	}
	buf__putc(buf, ']');
}

/* A group and its place among those of its kind in its table. */
struct place {
	struct table *table;
	struct group *group;
	size_t nr;
	int class;
};

static void put_sums(struct buf *buf, const struct table *t, const struct group *g)
{
	const char *comma = "";

	buf__puts(buf, ",\"sums\":{");
	for (size_t i = 0; i < t->nr_lines; i++) {
		if (!g->values[i])
			continue;
		buf__printf(buf, "%s\"%s\":%.0f", comma, t->lines[i]->name, g->sums[i]);
		comma = ",";
	}
	buf__putc(buf, '}');
}

static void put_group(const struct page *p, struct buf *buf, const struct place *place)
{
	const struct table *t = place->table;
	const struct group *g = place->group;
	size_t every = place->nr < SHARP && g->by != BY_VCPU ? 1 : COARSE;
	bool all = place->nr < SHOWN && g->by != BY_VCPU;
	const char *comma = "";

	buf__printf(buf, "{\"by\":\"%s\",\"every\":%zu", by_names[g->by], every);
	buf__printf(buf, ",\"of\":{%s}", g->name);
	put_sums(buf, t, g);
	buf__puts(buf, ",\"values\":{");
	for (size_t i = 0; i < t->nr_lines; i++) {
		if (!g->values[i] || (!all && !(t->lines[i]->flags & COL_STACK)))
			continue;
		buf__printf(buf, "%s\"%s\":", comma, t->lines[i]->name);
		put_values(p, buf, g->values[i], every);
		comma = ",";
	}
	buf__puts(buf, "},\"heat\":{");
	comma = "";
	for (size_t i = 0; all && i < t->nr_times; i++) {
		if (!g->cells[i])
			continue;
		buf__printf(buf, "%s\"%s\":", comma, t->times[i]);
		put_cells(p, buf, g->cells[i]);
		comma = ",";
	}
	buf__puts(buf, "}}");
}

static int costliest_first(const void *a, const void *b)
{
	const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;

	if (x->by != y->by)
		return (int)x->by - (int)y->by;
	if (x->cost != y->cost)
		return x->cost < y->cost ? 1 : -1;
	return strcmp(x->key, y->key);
}

static int by_class(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->class != y->class)
		return x->class - y->class;
	return (x->nr > y->nr) - (x->nr < y->nr);
}

static int class_of(const struct table *t, const struct group *g)
{
	if (g->by == BY_ALL)
		return 0;
	if (g->by == BY_VCPU)
		return 3;
	return t->has_stack ? 1 : 2;
}

/* All groups, those first that are to be there before others. NULL: out of memory. */
static struct place *places_of(const struct page *p, size_t *nr)
{
	struct place *places;
	size_t all = 0;

	for (const struct table *t = p->tables; t; t = t->next)
		all += t->nr_groups;
	*nr = 0;
	places = calloc(all + 1, sizeof(*places));
	if (!places)
		return NULL;
	for (struct table *t = p->tables; t; t = t->next) {
		size_t at[NR_BY] = {};

		if (t->nr_groups)
			qsort(t->groups, t->nr_groups, sizeof(*t->groups), costliest_first);
		for (size_t i = 0; i < t->nr_groups; i++) {
			struct group *g = t->groups[i];

			places[*nr] = (struct place){ t, g, at[g->by]++, class_of(t, g) };
			(*nr)++;
		}
	}
	qsort(places, *nr, sizeof(*places), by_class);
	return places;
}

size_t html__length(const char *text, size_t len)
{
	size_t length = len;

	for (size_t i = 0; i < len; i++)
		length += text[i] == '<' ? 5 : 0;
	return length;
}

/* Groups as long as there is room; what is left out is counted. */
static void write_groups(struct page *p, size_t room)
{
	struct buf text = {};
	struct place *places;
	size_t nr, len;

	places = places_of(p, &nr);
	p->failed |= !places;
	for (size_t i = 0; places && i < nr; i++) {
		const struct group *g = places[i].group;
		struct table *t = places[i].table;
		bool small = !t->has_stack && places[i].nr >= SHOWN;

		buf__reset(&text);
		if (!small)
			put_group(p, &text, &places[i]);
		len = html__length(text.data, text.len) + 1;
		if (small || text.failed || len > room) {
			t->nr_gone[g->by]++;
			p->failed |= text.failed;
			continue;
		}
		room -= len;
		if (t->written.len)
			buf__putc(&t->written, ',');
		buf__add(&t->written, text.data, text.len);
		p->failed |= t->written.failed;
	}
	free(places);
	buf__free(&text);
}

static const char *type_of(const struct column *col)
{
	static const char *const names[] = {
		[COL_STRING] = "string", [COL_U32] = "number",	  [COL_U64] = "number",
		[COL_HEX] = "hex",	 [COL_NSEC] = "ns",	  [COL_PERCENT] = "percent",
		[COL_DOUBLE] = "number", [COL_BOOL] = "bool",	  [COL_STRINGS] = "strings",
		[COL_S64] = "number",	 [COL_OBJECT] = "object",
	};

	return names[col->type];
}

static void put_column(struct buf *buf, const struct column *col, const char *comma)
{
	static const char *const roles[] = {
		[ROLE_LABEL] = "label",
		[ROLE_COUNTER] = "counter",
		[ROLE_GAUGE] = "gauge",
	};

	buf__printf(buf, "%s{\"name\":\"%s\",\"type\":\"%s\",\"role\":\"%s\"", comma, col->name,
		    type_of(col), roles[col->role]);
	if (col->title) {
		buf__puts(buf, ",\"title\":");
		buf__json_string(buf, col->title);
	}
	if (col->help) {
		buf__puts(buf, ",\"help\":");
		buf__json_string(buf, col->help);
	}
	if (col->flags & COL_STACK)
		buf__puts(buf, ",\"stack\":true");
	if (col->flags & COL_COST)
		buf__puts(buf, ",\"cost\":true");
	if (col->flags & COL_WORSE)
		buf__puts(buf, ",\"worse\":true");
	buf__putc(buf, '}');
}

static void put_columns(struct buf *buf, const struct table *t)
{
	const struct section section = { .view_bit = t->view_bit };
	const char *comma = "";

	buf__puts(buf, ",\"columns\":[");
	for (const struct column *col = leading_columns; col->name; col++, comma = ",")
		put_column(buf, col, comma);
	for (const struct column *col = t->columns; col->name; col++)
		if (section__has_data(&section, col))
			put_column(buf, col, ",");
	buf__putc(buf, ']');
}

static int highest_first(const void *a, const void *b)
{
	const struct shown_row *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? 1 : -1;
	return (x->nr > y->nr) - (x->nr < y->nr);
}

static void put_rows(struct buf *buf, struct table *t)
{
	const char *comma = "";

	qsort(t->rows, t->nr_rows, sizeof(*t->rows), highest_first);
	buf__puts(buf, ",\"rows\":[");
	for (size_t i = 0; i < t->nr_rows; i++) {
		if (!t->rows[i].text)
			continue;
		buf__puts(buf, comma);
		buf__puts(buf, t->rows[i].text);
		comma = ",";
	}
	buf__printf(buf, "],\"more_rows\":%zu", t->nr_left_out);
}

static void put_table(struct buf *buf, struct table *t)
{
	buf__puts(buf, "{\"monitor\":");
	buf__json_string(buf, t->monitor);
	buf__puts(buf, ",\"table\":");
	buf__json_string(buf, t->name);
	buf__puts(buf, ",\"title\":");
	buf__json_string(buf, t->title);
	buf__printf(buf, ",\"events\":%s", t->events ? "true" : "false");
	put_columns(buf, t);
	put_rows(buf, t);
	buf__puts(buf, ",\"more_groups\":{");
	for (enum by by = BY_ALL; by < NR_BY; by++)
		buf__printf(buf, "%s\"%s\":%zu", by ? "," : "", by_names[by], t->nr_gone[by]);
	buf__puts(buf, "},\"groups\":[");
	if (t->written.len)
		buf__add(buf, t->written.data, t->written.len);
	buf__puts(buf, "]}\n");
}

static void put_array(struct buf *buf, const char *name, const struct buf *items)
{
	buf__printf(buf, ",\"%s\":[", name);
	buf__add(buf, items->data, items->len);
	buf__puts(buf, "]\n");
}

/* Milliseconds since 1970. */
static long long real_ms(const struct moment *m, uint64_t ns)
{
	enum { NSEC_PER_MSEC = 1000000 };

	return ((int64_t)ns + m->real_offset_ns) / NSEC_PER_MSEC;
}

/* Charts go from left to right, also when somebody has set the clock back. */
static void put_moments(const struct page *p, struct buf *buf)
{
	long long last = 0;

	buf__printf(buf, ",\"intervals_each\":%u,\"moments\":[", p->per_moment);
	for (size_t i = 0; i < p->nr_moments; i++) {
		const struct moment *m = &p->moments[i];
		long long since = real_ms(m, m->since_ns), now = real_ms(m, m->now_ns);

		since = since < last ? last : since;
		last = now < since ? since : now;
		buf__printf(buf, "%s[%lld,%lld]", i ? "," : "", since, last);
	}
	buf__puts(buf, "]\n");
}

static void put_data(struct page *p, struct buf *buf)
{
	const char *comma = "";

	buf__puts(buf, "{\"page\":1");
	put_array(buf, "starts", &p->starts);
	put_array(buf, "vms", &p->vms);
	buf__printf(buf, ",\"more_vms\":%zu", p->nr_vms_left_out);
	put_array(buf, "summaries", &p->summaries);
	put_array(buf, "diffs", &p->diffs);
	put_moments(p, buf);
	buf__puts(buf, ",\"tables\":[");
	for (struct table *t = p->tables; t; t = t->next, comma = ",") {
		buf__puts(buf, comma);
		put_table(buf, t);
	}
	buf__puts(buf, "]}\n");
}

/* Nothing in it ends the element that it stands in. */
static void write_escaped(struct output *out, const struct buf *buf)
{
	size_t from = 0;

	for (size_t i = 0; i < buf->len; i++) {
		if (buf->data[i] != '<')
			continue;
		output__write(out, buf->data + from, i - from);
		output__write(out, "\\u003c", 6);
		from = i + 1;
	}
	output__write(out, buf->data + from, buf->len - from);
}

void html__finish(struct output *out)
{
	struct page *p = out->state;
	size_t used = sizeof(page_head) + sizeof(page_tail);
	struct buf data = {};

	/* What there is without groups, then groups as far as they fit. */
	put_data(p, &data);
	used += data.failed ? 0 : html__length(data.data, data.len);
	write_groups(p, used < HTML_LIMIT ? HTML_LIMIT - used : 0);
	buf__reset(&data);
	put_data(p, &data);
	if (data.failed || p->failed)
		out->err = out->err ? out->err : ENOMEM;
	output__write(out, (const char *)page_head, sizeof(page_head));
	if (!data.failed)
		write_escaped(out, &data);
	output__write(out, (const char *)page_tail, sizeof(page_tail));
	buf__free(&data);
}
