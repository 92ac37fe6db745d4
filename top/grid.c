// SPDX-License-Identifier: GPL-2.0-only
#include "grid.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../output/text.h"

enum {
	LEAST_NAME = 8,
	WIDE = 100,
	STABLE_FRAMES = 2,
};

void grid_state__free(struct grid_state *s)
{
	free(s->ranks);
	*s = (struct grid_state){};
}

void grid_state__forget(struct grid_state *s)
{
	s->nr_ranks = 0;
	s->ranks_sort[0] = '\0';
	memset(s->widths, 0, sizeof(s->widths));
}

/* Values in words */

void format_count(double value, char text[32])
{
	static const char units[] = " kMGTPE";
	double size = fabs(value);
	int unit = 0;

	if (size < 99999.5) {
		snprintf(text, 32,
			 size < 9.995 && size != rint(size) ? "%.2f" :
			 size < 99.95 && size != rint(size) ? "%.1f" :
							      "%.0f",
			 value);
		return;
	}
	for (; size >= 999.5 && units[unit + 1]; unit++) {
		size /= 1000;
		value /= 1000;
	}
	snprintf(text, 32,
		 size < 9.995 ? "%.2f%c" :
		 size < 99.95 ? "%.1f%c" :
				"%.0f%c",
		 value, units[unit]);
}

void format_time(double ns, char text[32])
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	double size = fabs(ns);
	int unit = 0;

	for (; size >= 999.5 && unit < 3; unit++) {
		size /= 1000;
		ns /= 1000;
	}
	if (size >= 9999.5)
		snprintf(text, 32, "%.0fm", ns / 60);
	else if (!unit || size >= 99.95)
		snprintf(text, 32, "%.0f%s", ns, units[unit]);
	else
		snprintf(text, 32, size < 9.995 ? "%.2f%s" : "%.1f%s", ns, units[unit]);
}

void cell__format(const struct column *col, const struct cell *cell, bool differs,
		  char text[CELL_LEN])
{
	double value = cell__value(cell);
	char number[32];

	if (cell->kind == CELL_TEXT) {
		snprintf(text, CELL_LEN, "%s", cell->text);
		return;
	}
	if (cell->kind == CELL_NONE || isnan(value)) {
		snprintf(text, CELL_LEN, "-");
		return;
	}
	if (col->type == COL_BOOL) {
		snprintf(text, CELL_LEN, "%s", value != 0 ? "yes" : "no");
		return;
	}
	if (col->type == COL_HEX) {
		snprintf(text, CELL_LEN, "%#" PRIx64, cell->u);
		return;
	}
	if (col->type == COL_NSEC)
		format_time(value, number);
	else if (col->type == COL_PERCENT)
		snprintf(number, sizeof(number), "%.1f", value);
	else if (col->role == ROLE_LABEL || col->type == COL_U32)
		snprintf(number, sizeof(number), "%.0f", value);
	else
		format_count(value, number);
	snprintf(text, CELL_LEN, "%s%s", differs && value > 0 && col->role != ROLE_LABEL ? "+" : "",
		 number);
}

const char *column__title(const struct column *col, char text[SORT_LEN])
{
	size_t i;

	if (col->title)
		return col->title;
	for (i = 0; i < SORT_LEN - 1 && col->name[i]; i++)
		text[i] = toupper((unsigned char)col->name[i]);
	text[i] = '\0';
	if (i > 3 && !strcmp(text + i - 3, "_NS"))
		text[i - 3] = '\0';
	return text;
}

static bool is_text(const struct column *col)
{
	return col->type == COL_STRING || col->type == COL_STRINGS || col->type == COL_OBJECT;
}

/* Order */

static size_t find_column(const struct grid *g, const char *name)
{
	for (size_t i = 0; name && i < g->nr_columns; i++)
		if (!strcmp(g->columns[i]->name, name))
			return i;
	return g->nr_columns;
}

const char *grid__sort(const struct grid *g, const struct grid_state *s)
{
	return *s->sort && find_column(g, s->sort) < g->nr_columns ? s->sort : g->sort;
}

static int compare_cells(const struct column *col, const struct cell *a, const struct cell *b,
			 bool inverted)
{
	double x = cell__value(a), y = cell__value(b);
	int order;

	if (a->kind == CELL_TEXT && b->kind == CELL_TEXT) {
		order = strcmp(a->text, b->text);
	} else {
		/* What is absent is last, however it is sorted. */
		if (isnan(x) || isnan(y))
			return isnan(x) - isnan(y);
		order = (x > y) - (x < y);
		if (!order && a->kind == CELL_U64 && b->kind == CELL_U64)
			order = (a->u > b->u) - (a->u < b->u);
	}
	return (col->role == ROLE_LABEL) == inverted ? -order : order;
}

struct sorting {
	const struct grid *g;
	size_t column;
	bool inverted;
};

static int by_column(const void *a, const void *b, void *sorting)
{
	const struct grid_row *x = *(struct grid_row *const *)a, *y = *(struct grid_row *const *)b;
	const struct sorting *by = sorting;
	int order = 0;

	if (by->column < by->g->nr_columns)
		order = compare_cells(by->g->columns[by->column], &x->cells[by->column],
				      &y->cells[by->column], by->inverted);
	if (!order)
		order = compare_cells(by->g->columns[0], &x->cells[0], &y->cells[0], false);
	return order ? order : (x->key > y->key) - (x->key < y->key);
}

static bool holds(const struct grid *g, const struct grid_row *row, const char *filter)
{
	char text[CELL_LEN];

	for (size_t i = 0; i < g->nr_columns; i++) {
		if (!is_text(g->columns[i]) && g->columns[i]->role != ROLE_LABEL)
			continue;
		cell__format(g->columns[i], &row->cells[i], false, text);
		if (strcasestr(text, filter))
			return true;
	}
	return false;
}

/* Keys to places: open addressing. */
struct places {
	struct {
		uint64_t key;
		size_t at; /* + 1 */
	} * list;
	size_t nr;
};

static struct places new_places(size_t nr, struct arena *arena)
{
	struct places p = { .nr = 16 };

	while (p.nr < 2 * nr + 2)
		p.nr *= 2;
	p.list = arena__get(arena, p.nr * sizeof(*p.list));
	return p;
}

static size_t *place_of(struct places *p, uint64_t key)
{
	size_t i = (key ^ key >> 32) & (p->nr - 1);

	while (p->list[i].at && p->list[i].key != key)
		i = (i + 1) & (p->nr - 1);
	p->list[i].key = key;
	return &p->list[i].at;
}

/* What has moved for long enough, or is new, goes where it belongs; the others fill the rest. */
static void settle(struct grid *g, struct grid_state *s, bool counts, struct arena *arena)
{
	struct places sorted = new_places(g->nr_shown, arena);
	struct grid_row **order = arena__get(arena, (g->nr_shown + 1) * sizeof(*order));
	bool *stays = arena__get(arena, g->nr_shown + 1);
	size_t nr = 0, next = 0;

	for (size_t i = 0; i < g->nr_shown; i++)
		*place_of(&sorted, g->shown[i]->key) = i + 1;
	/* Those that are still there, in the order in which they stood. */
	for (size_t i = 0; i < s->nr_ranks; i++)
		if (*place_of(&sorted, s->ranks[i].key))
			s->ranks[nr++] = s->ranks[i];
	s->nr_ranks = nr;
	nr = 0;
	for (size_t i = 0; i < s->nr_ranks; i++) {
		struct rank *rank = &s->ranks[i];
		size_t is = *place_of(&sorted, rank->key) - 1;

		if (counts)
			rank->differs = is != i ? rank->differs + 1 : 0;
		if (s->frozen || rank->differs < STABLE_FRAMES) {
			stays[is] = true;
			s->ranks[nr++] = *rank;
		}
	}
	s->nr_ranks = nr;
	for (size_t i = 0; i < g->nr_shown; i++)
		order[i] = g->shown[i];
	/* In a frozen order new ones come last. */
	if (s->frozen) {
		size_t last = 0;

		for (size_t i = 0; i < s->nr_ranks; i++)
			order[last++] = g->shown[*place_of(&sorted, s->ranks[i].key) - 1];
		for (size_t i = 0; i < g->nr_shown; i++)
			if (!stays[i])
				order[last++] = g->shown[i];
	} else {
		for (size_t i = 0; i < g->nr_shown; i++)
			if (stays[i])
				order[i] = g->shown[*place_of(&sorted, s->ranks[next++].key) - 1];
	}
	g->shown = order;
}

static void keep_ranks(const struct grid *g, struct grid_state *s, struct arena *arena)
{
	struct places old = new_places(s->nr_ranks, arena);
	unsigned int *differs = arena__get(arena, (s->nr_ranks + 1) * sizeof(*differs));

	for (size_t i = 0; i < s->nr_ranks; i++) {
		*place_of(&old, s->ranks[i].key) = i + 1;
		differs[i] = s->ranks[i].differs;
	}
	if (s->room < g->nr_shown) {
		struct rank *ranks = reallocarray(s->ranks, g->nr_shown, sizeof(*ranks));

		if (!ranks) {
			s->nr_ranks = 0;
			return;
		}
		s->ranks = ranks;
		s->room = g->nr_shown;
	}
	s->nr_ranks = g->nr_shown;
	for (size_t i = 0; i < g->nr_shown; i++) {
		size_t was = *place_of(&old, g->shown[i]->key);

		s->ranks[i] = (struct rank){ g->shown[i]->key, was ? differs[was - 1] : 0 };
	}
}

static void find_selected(const struct grid *g, struct grid_state *s)
{
	if (!s->selected) {
		s->at = 0;
		return;
	}
	for (size_t i = 0; i < g->nr_shown; i++)
		if (g->shown[i]->key == s->selected) {
			s->at = i;
			return;
		}
	/* It is gone, perhaps for now: the line stays. */
	if (s->at >= g->nr_shown)
		s->at = g->nr_shown ? g->nr_shown - 1 : 0;
}

void grid__arrange(struct grid *g, struct grid_state *s, uint64_t frame, struct arena *arena)
{
	const char *sort = grid__sort(g, s);
	struct sorting by = { g, find_column(g, sort), s->inverted };
	char made_by[sizeof(s->ranks_sort)];

	g->shown = arena__get(arena, (g->nr_rows + 1) * sizeof(*g->shown));
	g->nr_shown = 0;
	for (size_t i = 0; i < g->nr_rows; i++)
		if (!*s->filter || holds(g, &g->rows[i], s->filter))
			g->shown[g->nr_shown++] = &g->rows[i];
	qsort_r(g->shown, g->nr_shown, sizeof(*g->shown), by_column, &by);
	snprintf(made_by, sizeof(made_by), "%s%c%s", sort ?: "", s->inverted ? '-' : '+',
		 s->filter);
	if (!strcmp(made_by, s->ranks_sort))
		settle(g, s, frame != s->frame, arena);
	else
		s->nr_ranks = 0;
	keep_ranks(g, s, arena);
	memcpy(s->ranks_sort, made_by, sizeof(made_by));
	s->frame = frame;
	find_selected(g, s);
}

const struct grid_row *grid__selected(const struct grid *g, const struct grid_state *s)
{
	return s->at < g->nr_shown ? g->shown[s->at] : NULL;
}

void grid__move(const struct grid *g, struct grid_state *s, long by)
{
	long at = (long)s->at + by;

	if (!g->nr_shown)
		return;
	if (at >= (long)g->nr_shown)
		at = g->nr_shown - 1;
	s->at = at < 0 ? 0 : at;
	s->selected = g->shown[s->at]->key;
}

void grid__sort_by_next(const struct grid *g, struct grid_state *s, int by)
{
	const char *sort = grid__sort(g, s);
	size_t at = 0;

	/* They are of what was drawn: another table may be here by now. */
	for (size_t i = 0; i < s->nr_places; i++)
		if (s->places[i].column >= g->nr_columns)
			s->nr_places = i;
	if (!s->nr_places)
		return;
	while (at < s->nr_places && sort &&
	       strcmp(g->columns[s->places[at].column]->name, sort) != 0)
		at++;
	at = (at + s->nr_places + by) % s->nr_places;
	snprintf(s->sort, sizeof(s->sort), "%s", g->columns[s->places[at].column]->name);
}

/* Drawing */

static int width_of(const struct column *col)
{
	char text[SORT_LEN];
	int title = text__width(column__title(col, text));
	int least = is_text(col)	     ? 4 :
		    col->type == COL_PERCENT ? 5 :
		    col->type == COL_BOOL    ? 3 :
		    col->type == COL_HEX     ? 10 :
		    col->role == ROLE_LABEL  ? 4 :
					       6;

	return title > least ? title : least;
}

/* Less than 0: it is only there where there is room for all. */
static int priority(const struct grid *g, size_t i, size_t sorted)
{
	static const int drops[] = {
		[DROP_FIRST] = 1,
		[DROP_SECOND] = 2,
		[DROP_THIRD] = 3,
		[DROP_LAST] = 4,
	};
	const struct column *col = g->columns[i];

	if (!i || i == sorted)
		return 9;
	if (col->flags & COL_DATA_ONLY)
		return 0;
	if ((is_text(col) || col->role == ROLE_LABEL) && col->drop == DROP_LAST)
		return 8;
	return drops[col->drop];
}

static bool is_wanted(const struct grid *g, size_t i, int cols)
{
	const struct column *col = g->columns[i];

	if (col->flags & COL_KEY_ONLY)
		return false;
	/* Texts that data has are there for people in another way. */
	if ((col->flags & COL_DATA_ONLY) && (is_text(col) || col->role == ROLE_LABEL))
		return false;
	return !(col->flags & COL_WIDE) || cols > WIDE;
}

static void measure(const struct grid *g, struct grid_state *s, int *widths)
{
	char text[CELL_LEN];

	for (size_t i = 0; i < g->nr_columns; i++) {
		bool dynamic = is_text(g->columns[i]) || g->columns[i]->role == ROLE_LABEL ||
			       g->columns[i]->type == COL_HEX;

		widths[i] = width_of(g->columns[i]) + (g->differs && !dynamic);
		for (size_t row = s->top; dynamic && row < g->nr_shown && row < s->top + s->page;
		     row++) {
			int width;

			cell__format(g->columns[i], &g->shown[row]->cells[i], false, text);
			width = text__width(text);
			if (width > widths[i])
				widths[i] = width;
		}
		if (!dynamic)
			continue;
		if (widths[i] > s->widths[i])
			s->widths[i] = widths[i];
		widths[i] = s->widths[i];
	}
}

static void lay_out(const struct grid *g, struct grid_state *s, int cols)
{
	size_t sorted = find_column(g, grid__sort(g, s));
	bool shown[GRID_COLUMNS] = {};
	static const int steps[] = { 36, 24, 16 };
	int widths[GRID_COLUMNS] = {}, total = -1, x = 0;

	measure(g, s, widths);
	for (size_t i = 0; i < g->nr_columns; i++) {
		shown[i] = is_wanted(g, i, cols);
		if (shown[i])
			total += widths[i] + 1;
	}
	/* Long texts give way to numbers, step by step. */
	for (size_t step = 0; step < sizeof(steps) / sizeof(*steps); step++)
		for (size_t i = g->nr_columns; total > cols && i-- > 0;) {
			int over = total - cols, most = widths[i] - over;

			if (!shown[i] || !is_text(g->columns[i]) || widths[i] <= steps[step])
				continue;
			if (most < steps[step])
				most = steps[step];
			total -= widths[i] - most;
			widths[i] = most;
		}
	while (total > cols) {
		size_t drop = 0;

		for (size_t i = 1; i < g->nr_columns; i++)
			if (shown[i] &&
			    (!drop || priority(g, i, sorted) <= priority(g, drop, sorted)))
				drop = i;
		if (!drop)
			break;
		shown[drop] = false;
		total -= widths[drop] + 1;
	}
	if (total > cols && total - cols < widths[0])
		widths[0] = widths[0] - (total - cols) > LEAST_NAME ? widths[0] - (total - cols) :
								      LEAST_NAME;
	s->nr_places = 0;
	for (size_t i = 0; i < g->nr_columns; i++) {
		if (!shown[i])
			continue;
		s->places[s->nr_places++] = (struct place){ x, widths[i], i };
		x += widths[i] + 1;
	}
}

static void draw_text(struct canvas *c, int y, const struct place *place, bool right,
		      unsigned int style, const char *text)
{
	int width = text__width(text), x = place->x;

	if (right && width < place->width)
		x += place->width - width;
	canvas__put(c, y, x, place->width - (x - place->x), style, text);
	/* What is cut says so. */
	if (width > place->width && place->width > 1 && place->x + place->width <= c->cols)
		canvas__put(c, y, place->x + place->width - 1, 1, style, c->ascii ? "~" : "\u2026");
}

static void draw_row(const struct grid *g, const struct grid_state *s, struct canvas *c, int y,
		     const struct grid_row *row, bool selected)
{
	char text[CELL_LEN];

	for (size_t i = 0; i < s->nr_places; i++) {
		size_t at = s->places[i].column;
		const struct column *col = g->columns[at];
		unsigned int style = g->level && !g->differs ? g->level(g, row, at) : STYLE_NORMAL;

		cell__format(col, &row->cells[at], g->differs, text);
		draw_text(c, y, &s->places[i], !is_text(col), style, text);
	}
	if (selected)
		canvas__add_style(c, y, 0, c->cols, STYLE_SELECTED);
}

void grid__draw(struct grid *g, struct grid_state *s, struct canvas *c, int y, int rows)
{
	const char *sort = grid__sort(g, s);

	s->page = rows > 1 ? rows - 1 : 1;
	if (s->at < s->top)
		s->top = s->at;
	if (s->at >= s->top + s->page)
		s->top = s->at - s->page + 1;
	if (s->top + s->page > g->nr_shown)
		s->top = g->nr_shown > s->page ? g->nr_shown - s->page : 0;
	lay_out(g, s, c->cols);
	s->header_y = y;
	canvas__fill(c, y, 0, c->cols, STYLE_HEAD);
	for (size_t i = 0; i < s->nr_places; i++) {
		const struct column *col = g->columns[s->places[i].column];
		char text[SORT_LEN];

		draw_text(c, y, &s->places[i], !is_text(col),
			  sort && !strcmp(col->name, sort) ? STYLE_STRONG : STYLE_HEAD,
			  column__title(col, text));
	}
	if (!g->nr_shown)
		canvas__put(c, y + 1, 0, c->cols, STYLE_DIM,
			    *s->filter && g->nr_rows ? "nothing holds that text" :
			    g->empty		     ?:
						       "nothing");
	for (size_t i = s->top; i < g->nr_shown && i < s->top + s->page; i++)
		draw_row(g, s, c, y + 1 + (int)(i - s->top), g->shown[i], i == s->at);
}

/* Differences */

void grid__subtract(struct grid *g, const struct grid *base, struct arena *arena)
{
	struct places places = new_places(base->nr_rows, arena);

	for (size_t i = 0; i < base->nr_rows; i++)
		*place_of(&places, base->rows[i].key) = i + 1;
	g->differs = true;
	for (size_t i = 0; i < g->nr_rows; i++) {
		size_t was = *place_of(&places, g->rows[i].key);
		struct cell *cells = arena__get(arena, (g->nr_columns + 1) * sizeof(*cells));

		memcpy(cells, g->rows[i].cells, g->nr_columns * sizeof(*cells));
		for (size_t j = 0; j < g->nr_columns; j++) {
			double a = cell__value(&cells[j]), b;

			if (g->columns[j]->role == ROLE_LABEL || isnan(a))
				continue;
			b = was && j < base->nr_columns ?
				    cell__value(&base->rows[was - 1].cells[j]) :
				    0;
			cells[j] = (struct cell){ CELL_REAL, .real = a - (isnan(b) ? 0 : b) };
		}
		g->rows[i].cells = cells;
	}
}
