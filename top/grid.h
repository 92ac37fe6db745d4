/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A table on the screen, whatever is in it: it knows declared columns and cells. Rows are told
 * apart by keys, so that the one that is selected stays selected wherever it moves.
 */
#ifndef KVM_WATCHER_TOP_GRID_H
#define KVM_WATCHER_TOP_GRID_H

#include "canvas.h"
#include "model.h"

enum { GRID_COLUMNS = TABLE_COLUMNS + 4, SORT_LEN = 40, FILTER_LEN = 80 };

struct grid_row {
	uint64_t key;
	const struct cell *cells;
	const void *of; /* what the screen knows the row by */
};

struct grid {
	const struct column *columns[GRID_COLUMNS]; /* the first one is the rows' name */
	size_t nr_columns;
	struct grid_row *rows;
	size_t nr_rows;
	const char *sort;  /* the column that it is sorted by if nobody chose one */
	const char *empty; /* what to say without a row */
	bool differs;	   /* numbers are differences */
	/* What a value means, by diagnose's thresholds: STYLE_WARNING, STYLE_CRITICAL; or NULL. */
	enum style (*level)(const struct grid *grid, const struct grid_row *row, size_t column);
	struct grid_row **shown; /* after grid__arrange(): those that are to be shown, in order */
	size_t nr_shown;
};

/* What a user chose, and where rows stood. */
struct grid_state {
	char sort[SORT_LEN]; /* name of the column; "": the grid's own */
	bool inverted;
	char filter[FILTER_LEN];
	bool frozen;
	uint64_t selected; /* key; 0: the first row, whichever that is */
	size_t at, top;	   /* of it in what is shown; the first one on the screen */
	size_t page;	   /* rows on the screen */
	uint64_t frame;	   /* the one that it was arranged for */
	struct rank {
		uint64_t key;
		unsigned int differs; /* intervals for which its rank has been another one */
	} * ranks;
	size_t nr_ranks, room;
	char ranks_sort[SORT_LEN + FILTER_LEN + 8]; /* what they were made by */
	int widths[GRID_COLUMNS];		    /* of texts, which only grow */
	/* Where columns were drawn, for the mouse and the keys. */
	struct place {
		int x, width;
		size_t column;
	} places[GRID_COLUMNS];
	size_t nr_places;
	int header_y;
};

void grid_state__free(struct grid_state *s);
/* Widths and ranks are of other rows from now on; what was chosen stays. */
void grid_state__forget(struct grid_state *s);

/*
 * Filters and sorts. A row moves when its rank has been another one for two frames. frame: which
 * one the rows are of.
 */
void grid__arrange(struct grid *g, struct grid_state *s, uint64_t frame, struct arena *arena);
/* Names, and as many rows as there is room for. */
void grid__draw(struct grid *g, struct grid_state *s, struct canvas *c, int y, int rows);

/* Among what is shown; NULL: nothing is. */
const struct grid_row *grid__selected(const struct grid *g, const struct grid_state *s);
void grid__move(const struct grid *g, struct grid_state *s, long by);
void grid__sort_by_next(const struct grid *g, struct grid_state *s, int by);
const char *grid__sort(const struct grid *g, const struct grid_state *s);

/* Numbers become differences to those of the other grid's rows of the same key. */
void grid__subtract(struct grid *g, const struct grid *base, struct arena *arena);

enum { CELL_LEN = 512 };
const char *column__title(const struct column *col, char text[SORT_LEN]);
/* As a cell shows it. */
void cell__format(const struct column *col, const struct cell *cell, bool differs,
		  char text[CELL_LEN]);
void format_count(double value, char text[32]);
void format_time(double ns, char text[32]);

#endif
