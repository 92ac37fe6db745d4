// SPDX-License-Identifier: GPL-2.0-only
#include "keys.h"

#include <stdlib.h>
#include <string.h>

const struct binding bindings[] = {
	{ ACT_HELP, { KEY_F0 + 1, 'h', '?' }, "F1 h ?", "help on keys and columns" },
	{ ACT_QUIT, { 'q', KEY_CTRL_C, KEY_F0 + 10 }, "q F10 ^C", "quit" },
	{ ACT_ENTER, { KEY_ENTER, '\n', KEY_RIGHT }, "Enter Right", "open the selected row" },
	{ ACT_BACK, { KEY_ESC, KEY_LEFT, KEY_BACKSPACE }, "Esc Left", "back" },
	{ ACT_UP, { KEY_UP, 'k', KEY_WHEEL_UP }, "Up k", "row above" },
	{ ACT_DOWN, { KEY_DOWN, 'j', KEY_WHEEL_DOWN }, "Down j", "row below" },
	{ ACT_PAGE_UP, { KEY_PAGE_UP }, "PgUp", "page up" },
	{ ACT_PAGE_DOWN, { KEY_PAGE_DOWN }, "PgDn", "page down" },
	{ ACT_HOME, { KEY_HOME, 'g' }, "Home g", "first row" },
	{ ACT_END, { KEY_END, 'G' }, "End G", "last row" },
	{ ACT_TAB, { KEY_TAB }, "Tab", "next table of this VM or vCPU" },
	{ ACT_BACKTAB, { KEY_BACKTAB }, "Shift-Tab", "previous table" },
	{ ACT_SPLIT, { 'v' }, "v", "rows by vCPU, or by VM" },
	{ ACT_FILTER, { '/', '\\', 'f', KEY_F0 + 4 }, "/ f F4", "only rows that contain a text" },
	{ ACT_SORT_LEFT, { '<', ',' }, "<", "sort by the column to the left" },
	{ ACT_SORT_RIGHT,
	  { '>', '.', 'o', KEY_F0 + 6 },
	  "> o F6",
	  "sort by the column to the right" },
	{ ACT_INVERT, { 'I' }, "I", "reverse the order" },
	{ ACT_FREEZE, { 'F' }, "F", "keep rows in place" },
	{ ACT_PAUSE, { ' ', 'x' }, "Space", "pause; measuring goes on" },
	{ ACT_OLDER, { '[' }, "[", "one interval back" },
	{ ACT_NEWER, { ']' }, "]", "one interval forward" },
	{ ACT_OLDEST, { '{' }, "{", "oldest interval" },
	{ ACT_NEWEST, { '}' }, "}", "newest interval, and follow new ones" },
	{ ACT_JUMP, { 't' }, "t", "go to a time of day: 03:10:30" },
	{ ACT_BASELINE, { 'd' }, "d", "show differences from now on; again: stop" },
	{ ACT_RESET, { 'r' }, "r", "discard everything measured so far" },
	{ ACT_INTERVAL, { 's' }, "s", "set the interval, in seconds" },
	{ ACT_RECORD, { 'w' }, "w", "start recording into a file; again: end it" },
	{ ACT_MISSING, { 'm' }, "m", "what this host can't show, and why; messages" },
	{ ACT_REDRAW, { KEY_CTRL_L }, "^L", "redraw the screen" },
	{},
};

enum action key__action(uint32_t code)
{
	for (const struct binding *b = bindings; b->action; b++)
		for (size_t i = 0; i < sizeof(b->codes) / sizeof(*b->codes); i++)
			if (b->codes[i] && b->codes[i] == code)
				return b->action;
	return ACT_NONE;
}

/* Behind ESC [ or ESC O: parameters, then the final byte. */
static const struct {
	char final;
	uint32_t code;
} finals[] = {
	{ 'A', KEY_UP },     { 'B', KEY_DOWN },	  { 'C', KEY_RIGHT },	{ 'D', KEY_LEFT },
	{ 'H', KEY_HOME },   { 'F', KEY_END },	  { 'Z', KEY_BACKTAB }, { 'P', KEY_F0 + 1 },
	{ 'Q', KEY_F0 + 2 }, { 'R', KEY_F0 + 3 }, { 'S', KEY_F0 + 4 },	{ 'M', KEY_ENTER },
};

/* ESC [ NUMBER ~ */
static const struct {
	int number;
	uint32_t code;
} numbers[] = {
	{ 1, KEY_HOME },    { 2, KEY_INSERT },	  { 3, KEY_DELETE },   { 4, KEY_END },
	{ 5, KEY_PAGE_UP }, { 6, KEY_PAGE_DOWN }, { 7, KEY_HOME },     { 8, KEY_END },
	{ 11, KEY_F0 + 1 }, { 12, KEY_F0 + 2 },	  { 13, KEY_F0 + 3 },  { 14, KEY_F0 + 4 },
	{ 15, KEY_F0 + 5 }, { 17, KEY_F0 + 6 },	  { 18, KEY_F0 + 7 },  { 19, KEY_F0 + 8 },
	{ 20, KEY_F0 + 9 }, { 21, KEY_F0 + 10 },  { 23, KEY_F0 + 11 }, { 24, KEY_F0 + 12 },
};

#define NR(_list) (sizeof(_list) / sizeof(*(_list)))

static uint32_t of_final(char final, int number)
{
	if (final == '~') {
		for (size_t i = 0; i < NR(numbers); i++)
			if (numbers[i].number == number)
				return numbers[i].code;
		return KEY_OTHER;
	}
	for (size_t i = 0; i < NR(finals); i++)
		if (finals[i].final == final)
			return finals[i].code;
	return KEY_OTHER;
}

/* ESC [ < BUTTON ; X ; Y and M or m: SGR 1006. */
static void read_mouse(const char *text, char final, struct key *key)
{
	enum { MOVED = 32, WHEEL = 64 };
	char *end;
	long button = strtol(text, &end, 10), x = 0, y = 0;

	key->code = KEY_OTHER;
	if (*end == ';')
		x = strtol(end + 1, &end, 10);
	if (*end == ';')
		y = strtol(end + 1, &end, 10);
	if (final != 'M' || x < 1 || y < 1 || x > 10000 || y > 10000)
		return;
	key->x = x - 1;
	key->y = y - 1;
	if (button == WHEEL || button == WHEEL + 1)
		key->code = button == WHEEL ? KEY_WHEEL_UP : KEY_WHEEL_DOWN;
	else if (!(button & (MOVED | WHEEL)) && (button & 3) == 0)
		key->code = KEY_CLICK;
}

static size_t read_sequence(const unsigned char *data, size_t len, bool final, struct key *key)
{
	enum { MOST = 32 };
	char text[MOST] = "";
	size_t i;

	/* The linux console: ESC [ [ A is F1. */
	if (data[1] == '[' && len > 2 && data[2] == '[') {
		if (len < 4)
			return final ? len : 0;
		if (data[3] >= 'A' && data[3] <= 'E')
			key->code = KEY_F0 + 1 + data[3] - 'A';
		return 4;
	}
	for (i = 2; i < len && i < MOST; i++) {
		if (data[i] >= 0x40 && data[i] <= 0x7e)
			break;
		/* No sequence: what is there is dropped, and the rest is read again. */
		if (data[i] < 0x20 || data[i] > 0x7e)
			return i;
		text[i - 2] = data[i];
	}
	if (i == len && i < MOST)
		return final ? len : 0;
	if (i == MOST)
		return i;
	if (*text == '<')
		read_mouse(text + 1, data[i], key);
	else
		key->code = of_final(data[i], atoi(text));
	return i + 1;
}

static size_t read_character(const unsigned char *data, size_t len, bool final, struct key *key)
{
	size_t need = data[0] < 0xc2 ? 1 :
		      data[0] < 0xe0 ? 2 :
		      data[0] < 0xf0 ? 3 :
		      data[0] < 0xf5 ? 4 :
				       1;
	uint32_t code = data[0] & (0x7f >> need);

	for (size_t i = 1; i < need; i++) {
		if (i == len)
			return final ? len : 0;
		if ((data[i] & 0xc0) != 0x80)
			return i;
		code = code << 6 | (data[i] & 0x3f);
	}
	if (need > 1 && code < 0x110000)
		key->code = code;
	return need;
}

size_t key__decode(const unsigned char *data, size_t len, bool final, struct key *key)
{
	*key = (struct key){ .code = KEY_OTHER };
	if (!len)
		return 0;
	if (data[0] >= 0x80)
		return read_character(data, len, final, key);
	if (data[0] != KEY_ESC) {
		key->code = data[0] == '\b' ? (uint32_t)KEY_BACKSPACE : data[0];
		return 1;
	}
	if (len == 1) {
		key->code = KEY_ESC;
		return final ? 1 : 0;
	}
	if (data[1] == '[' || data[1] == 'O') {
		if (len == 2 && !final)
			return 0;
		return read_sequence(data, len, final, key);
	}
	key->code = KEY_ESC;
	return 1;
}
