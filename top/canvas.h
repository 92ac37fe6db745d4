/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A screen in memory: what a terminal is to show, a test compares and --once prints. Text is
 * neutralised here, whoever puts it.
 */
#ifndef KVM_WATCHER_TOP_CANVAS_H
#define KVM_WATCHER_TOP_CANVAS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum style {
	STYLE_NORMAL,
	STYLE_DIM,	/* what is beside the matter */
	STYLE_STRONG,	/* where one is */
	STYLE_HEAD,	/* names of columns */
	STYLE_WARNING,	/* by diagnose's thresholds */
	STYLE_CRITICAL, /* the same */
	NR_STYLES,
	STYLE_SELECTED = 1 << 4, /* on top of one of these */
};

struct glyph {
	char text[15]; /* UTF-8; "" right of a wide one */
	uint8_t style;
};

struct canvas {
	int rows, cols;
	bool ascii; /* the terminal has nothing else */
	struct glyph *glyphs;
};

/* False: no memory. What is on it is lost. */
bool canvas__resize(struct canvas *c, int rows, int cols);
void canvas__free(struct canvas *c);
void canvas__clear(struct canvas *c);

static inline struct glyph *canvas__at(const struct canvas *c, int row, int col)
{
	return &c->glyphs[row * c->cols + col];
}

/* Of text what fits into most columns. Returns the columns that it takes. */
int canvas__put(struct canvas *c, int row, int col, int most, unsigned int style, const char *text);
/* Spaces in that style. */
void canvas__fill(struct canvas *c, int row, int col, int cols, unsigned int style);
/* The same glyphs in another style. */
void canvas__add_style(struct canvas *c, int row, int col, int cols, unsigned int style);

/* Lines of text, without spaces at their ends. */
void canvas__print(const struct canvas *c, FILE *stream);
/* The same, then which columns are in which style, for tests. */
void canvas__print_styles(const struct canvas *c, FILE *stream);

#endif
