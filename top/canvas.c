// SPDX-License-Identifier: GPL-2.0-only
#include "canvas.h"

#include <stdlib.h>
#include <string.h>

#include "../output/text.h"

enum { MOST_SIZE = 2000 };

bool canvas__resize(struct canvas *c, int rows, int cols)
{
	struct glyph *glyphs;

	rows = rows < 1 ? 1 : rows > MOST_SIZE ? MOST_SIZE : rows;
	cols = cols < 1 ? 1 : cols > MOST_SIZE ? MOST_SIZE : cols;
	glyphs = calloc((size_t)rows * cols, sizeof(*glyphs));
	if (!glyphs)
		return false;
	free(c->glyphs);
	c->glyphs = glyphs;
	c->rows = rows;
	c->cols = cols;
	canvas__clear(c);
	return true;
}

void canvas__free(struct canvas *c)
{
	free(c->glyphs);
	*c = (struct canvas){};
}

static void set(struct glyph *glyph, const char *text, size_t len, unsigned int style)
{
	memset(glyph, 0, sizeof(*glyph));
	memcpy(glyph->text, text, len);
	glyph->style = style;
}

void canvas__clear(struct canvas *c)
{
	for (int row = 0; row < c->rows; row++)
		canvas__fill(c, row, 0, c->cols, STYLE_NORMAL);
}

void canvas__fill(struct canvas *c, int row, int col, int cols, unsigned int style)
{
	if (row < 0 || row >= c->rows)
		return;
	for (int i = col < 0 ? 0 : col; i < col + cols && i < c->cols; i++)
		set(canvas__at(c, row, i), " ", 1, style);
}

void canvas__add_style(struct canvas *c, int row, int col, int cols, unsigned int style)
{
	if (row < 0 || row >= c->rows)
		return;
	for (int i = col < 0 ? 0 : col; i < col + cols && i < c->cols; i++)
		canvas__at(c, row, i)->style |= style;
}

/* A mark is put on the character before it. */
static void add_mark(struct glyph *glyph, const char *text, size_t len)
{
	size_t used = strlen(glyph->text);

	if (used && used + len < sizeof(glyph->text))
		memcpy(glyph->text + used, text, len);
}

int canvas__put(struct canvas *c, int row, int col, int most, unsigned int style, const char *text)
{
	struct text_char ch = {};
	struct glyph *last = NULL;
	int used = 0;

	if (row < 0 || row >= c->rows || col < 0)
		return 0;
	if (most > c->cols - col)
		most = c->cols - col;
	for (size_t left = strlen(text); left; text += ch.len, left -= ch.len) {
		bool plain;

		text__read(&ch, text, left);
		plain = ch.shown && (!c->ascii || ch.cp < 0x7f);
		if (!ch.columns && plain) {
			if (last)
				add_mark(last, text, ch.len);
			continue;
		}
		if (!ch.columns && ch.shown)
			continue;
		/* What is hidden takes one column, as a '?'. */
		if (used + (plain ? ch.columns : 1) > most)
			break;
		last = canvas__at(c, row, col + used);
		set(last, plain ? text : "?", plain ? ch.len : 1, style);
		if (plain && ch.columns == 2)
			set(canvas__at(c, row, col + used + 1), "", 0, style);
		used += plain ? ch.columns : 1;
	}
	return used;
}

static int length(const struct canvas *c, int row)
{
	int cols = c->cols;

	while (cols && !strcmp(canvas__at(c, row, cols - 1)->text, " "))
		cols--;
	return cols;
}

void canvas__print(const struct canvas *c, FILE *stream)
{
	for (int row = 0; row < c->rows; row++) {
		for (int col = 0, cols = length(c, row); col < cols; col++)
			fputs(canvas__at(c, row, col)->text, stream);
		fputc('\n', stream);
	}
}

void canvas__print_styles(const struct canvas *c, FILE *stream)
{
	static const char names[] = { ' ', '.', 's', 'h', 'w', 'C' };

	canvas__print(c, stream);
	for (int row = 0; row < c->rows; row++) {
		int cols = c->cols;

		while (cols && !canvas__at(c, row, cols - 1)->style)
			cols--;
		for (int col = 0; col < cols; col++) {
			unsigned int style = canvas__at(c, row, col)->style;

			fputc(style & STYLE_SELECTED ? '#' : names[style], stream);
		}
		fputc('\n', stream);
	}
}
