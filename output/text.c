// SPDX-License-Identifier: GPL-2.0-only
#include "text.h"

#include <string.h>

enum {
	MOST_MARKS = 2, /* on one character: Vietnamese has two */
	MOST_LINE = 8192,
};

struct range {
	uint32_t first, last;
};

/*
 * Unicode's controls, format characters (Cf) and line ends, fillers that look like nothing,
 * variation selectors, surrogates, noncharacters; private use, because it looks like
 * anything. Above plane 3 there is nothing else.
 */
static const struct range hidden[] = {
	{ 0x00, 0x1f },	      { 0x7f, 0x9f },	    { 0xad, 0xad },	  { 0x34f, 0x34f },
	{ 0x600, 0x605 },     { 0x61c, 0x61c },	    { 0x6dd, 0x6dd },	  { 0x70f, 0x70f },
	{ 0x890, 0x891 },     { 0x8e2, 0x8e2 },	    { 0x115f, 0x1160 },	  { 0x17b4, 0x17b5 },
	{ 0x180b, 0x180f },   { 0x200b, 0x200f },   { 0x2028, 0x202e },	  { 0x2060, 0x206f },
	{ 0x3164, 0x3164 },   { 0xd800, 0xf8ff },   { 0xfdd0, 0xfdef },	  { 0xfe00, 0xfe0f },
	{ 0xfeff, 0xfeff },   { 0xffa0, 0xffa0 },   { 0xfff0, 0xfffb },	  { 0xfffe, 0xffff },
	{ 0x110bd, 0x110bd }, { 0x110cd, 0x110cd }, { 0x13430, 0x1343f }, { 0x1bca0, 0x1bca3 },
	{ 0x1d173, 0x1d17a }, { 0x1fffe, 0x1ffff }, { 0x2fffe, 0x2ffff }, { 0x3fffe, 0x10ffff },
};

/* Marks that stand on or below the character before them, and pile up over other lines. */
static const struct range marks[] = {
	{ 0x300, 0x36f },   { 0x483, 0x489 },	{ 0x591, 0x5c7 },   { 0x610, 0x61a },
	{ 0x64b, 0x65f },   { 0x670, 0x670 },	{ 0x6d6, 0x6dc },   { 0x6df, 0x6e8 },
	{ 0x6ea, 0x6ed },   { 0x711, 0x711 },	{ 0x730, 0x74a },   { 0x7a6, 0x7b0 },
	{ 0x7eb, 0x7f3 },   { 0x816, 0x82d },	{ 0x859, 0x85b },   { 0x898, 0x89f },
	{ 0x8ca, 0x8e1 },   { 0x8e3, 0x902 },	{ 0x93a, 0x93a },   { 0x93c, 0x93c },
	{ 0x941, 0x948 },   { 0x94d, 0x94d },	{ 0x951, 0x957 },   { 0xe31, 0xe31 },
	{ 0xe34, 0xe3a },   { 0xe47, 0xe4e },	{ 0xeb1, 0xeb1 },   { 0xeb4, 0xebc },
	{ 0xec8, 0xece },   { 0xf71, 0xf84 },	{ 0xf8d, 0xfbc },   { 0x1ab0, 0x1ace },
	{ 0x1cd0, 0x1ce8 }, { 0x1dc0, 0x1dff }, { 0x20d0, 0x20f0 }, { 0x2cef, 0x2cf1 },
	{ 0x2de0, 0x2dff }, { 0x302a, 0x302f }, { 0x3099, 0x309a }, { 0xa66f, 0xa67d },
	{ 0xa8e0, 0xa8f1 }, { 0xfe20, 0xfe2f },
};

/* East_Asian_Width W and F of Unicode 16: two columns. Gaps that no character fills are in. */
static const struct range wide[] = {
	{ 0x1100, 0x115f },   { 0x231a, 0x231b },   { 0x2329, 0x232a },	  { 0x23e9, 0x23ec },
	{ 0x23f0, 0x23f0 },   { 0x23f3, 0x23f3 },   { 0x25fd, 0x25fe },	  { 0x2614, 0x2615 },
	{ 0x2630, 0x2637 },   { 0x2648, 0x2653 },   { 0x267f, 0x267f },	  { 0x268a, 0x268f },
	{ 0x2693, 0x2693 },   { 0x26a1, 0x26a1 },   { 0x26aa, 0x26ab },	  { 0x26bd, 0x26be },
	{ 0x26c4, 0x26c5 },   { 0x26ce, 0x26ce },   { 0x26d4, 0x26d4 },	  { 0x26ea, 0x26ea },
	{ 0x26f2, 0x26f3 },   { 0x26f5, 0x26f5 },   { 0x26fa, 0x26fa },	  { 0x26fd, 0x26fd },
	{ 0x2705, 0x2705 },   { 0x270a, 0x270b },   { 0x2728, 0x2728 },	  { 0x274c, 0x274c },
	{ 0x274e, 0x274e },   { 0x2753, 0x2755 },   { 0x2757, 0x2757 },	  { 0x2795, 0x2797 },
	{ 0x27b0, 0x27b0 },   { 0x27bf, 0x27bf },   { 0x2b1b, 0x2b1c },	  { 0x2b50, 0x2b50 },
	{ 0x2b55, 0x2b55 },   { 0x2e80, 0x303e },   { 0x3041, 0xa4cf },	  { 0xa960, 0xa97f },
	{ 0xac00, 0xd7a3 },   { 0xf900, 0xfaff },   { 0xfe10, 0xfe19 },	  { 0xfe30, 0xfe6f },
	{ 0xff01, 0xff60 },   { 0xffe0, 0xffe6 },   { 0x16fe0, 0x1b2ff }, { 0x1d300, 0x1d376 },
	{ 0x1f004, 0x1f004 }, { 0x1f0cf, 0x1f0cf }, { 0x1f18e, 0x1f18e }, { 0x1f191, 0x1f19a },
	{ 0x1f200, 0x1f320 }, { 0x1f32d, 0x1f335 }, { 0x1f337, 0x1f37c }, { 0x1f37e, 0x1f393 },
	{ 0x1f3a0, 0x1f3ca }, { 0x1f3cf, 0x1f3d3 }, { 0x1f3e0, 0x1f3f0 }, { 0x1f3f4, 0x1f3f4 },
	{ 0x1f3f8, 0x1f43e }, { 0x1f440, 0x1f440 }, { 0x1f442, 0x1f4fc }, { 0x1f4ff, 0x1f53d },
	{ 0x1f54b, 0x1f54e }, { 0x1f550, 0x1f567 }, { 0x1f57a, 0x1f57a }, { 0x1f595, 0x1f596 },
	{ 0x1f5a4, 0x1f5a4 }, { 0x1f5fb, 0x1f64f }, { 0x1f680, 0x1f6c5 }, { 0x1f6cc, 0x1f6cc },
	{ 0x1f6d0, 0x1f6d2 }, { 0x1f6d5, 0x1f6df }, { 0x1f6eb, 0x1f6ec }, { 0x1f6f4, 0x1f6fc },
	{ 0x1f7e0, 0x1f7f0 }, { 0x1f90c, 0x1f93a }, { 0x1f93c, 0x1f945 }, { 0x1f947, 0x1f9ff },
	{ 0x1fa70, 0x1faff }, { 0x20000, 0x3fffd },
};

#define IS_IN(_ranges, _cp) is_in(_ranges, sizeof(_ranges) / sizeof(*(_ranges)), _cp)

static bool is_in(const struct range *ranges, size_t nr, uint32_t cp)
{
	for (size_t i = 0; i < nr && ranges[i].first <= cp; i++)
		if (cp <= ranges[i].last)
			return true;
	return false;
}

/* Bytes of the character at s, or 0 when it isn't UTF-8. */
static size_t decode(const char *s, size_t len, uint32_t *cp)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)s;
	size_t i, n;

	if (p[0] < 0x80) {
		*cp = p[0];
		return 1;
	}
	n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n > len)
		return 0;
	*cp = p[0] & (0x7f >> n);
	for (i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*cp = *cp << 6 | (p[i] & 0x3f);
	}
	if (*cp < least[n] || *cp > 0x10ffff || (*cp >= 0xd800 && *cp < 0xe000))
		return 0;
	return n;
}

void text__read(struct text_char *c, const char *s, size_t len)
{
	c->len = decode(s, len, &c->cp);
	c->valid = c->len;
	if (!c->valid) {
		c->cp = 0xfffd;
		c->len = 1;
		c->columns = 1;
		c->shown = false;
	} else if (c->cp >= ' ' && c->cp < 0x7f) {
		c->columns = 1;
		c->shown = true;
	} else if (IS_IN(marks, c->cp)) {
		c->columns = 0;
		c->shown = c->marks_left;
		c->marks_left -= c->shown;
		return;
	} else {
		c->columns = 1 + IS_IN(wide, c->cp);
		c->shown = !IS_IN(hidden, c->cp);
	}
	c->marks_left = MOST_MARKS;
}

bool text__is_plain(const char *s, size_t len)
{
	static const uint64_t high = 0x8080808080808080, ones = 0x0101010101010101;
	uint64_t word;

	for (; len >= sizeof(word); s += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, s, sizeof(word));
		/* Below a space, DEL and one, above: each sets the byte's highest bit. */
		if ((word | (word + ones) | (((word | high) - ones * ' ') ^ high)) & high)
			return false;
	}
	for (; len; s++, len--)
		if ((unsigned char)*s < ' ' || (unsigned char)*s >= 0x7f)
			return false;
	return true;
}

size_t text__neutralise(char *s, size_t len)
{
	struct text_char c = {};
	char *from = s, *to = s;

	if (text__is_plain(s, len))
		return len;
	for (; len; from += c.len, len -= c.len) {
		text__read(&c, from, len);
		if (c.shown) {
			memmove(to, from, c.len);
			to += c.len;
		} else {
			*to++ = '?';
		}
	}
	return to - s;
}

int text__width(const char *s)
{
	struct text_char c = {};
	size_t len = strlen(s);
	int columns = 0;

	if (text__is_plain(s, len))
		return len;
	for (; len; s += c.len, len -= c.len) {
		text__read(&c, s, len);
		columns += c.columns;
	}
	return columns;
}

size_t text__prefix(const char *s, int columns)
{
	size_t at = 0, len = strlen(s);
	struct text_char c = {};

	if (columns >= 0 && text__is_plain(s, len))
		return len < (size_t)columns ? len : (size_t)columns;
	for (; at < len; at += c.len) {
		text__read(&c, s + at, len - at);
		columns -= c.columns;
		if (columns < 0)
			break;
	}
	return at;
}

static bool continues(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

size_t text__cut(const char *s, size_t len, size_t most)
{
	size_t end = most;

	if (len <= most)
		return len;
	while (end && most - end < 3 && continues(s[end]))
		end--;
	/* So many of them are no character's. */
	return continues(s[end]) ? most : end;
}

void text__vprint(FILE *stream, const char *lead, const char *format, va_list args)
{
	char line[MOST_LINE + 8];
	size_t start, len;
	int n;

	start = strlen(lead);
	memcpy(line, lead, start);
	n = vsnprintf(line + start, MOST_LINE - start, format, args);
	len = n < 0 ? 0 : strnlen(line + start, MOST_LINE - start);
	if (n > 0 && (size_t)n > len) {
		len = text__cut(line + start, len, len - 3);
		len += snprintf(line + start + len, sizeof("..."), "...");
	}
	len = start + text__neutralise(line + start, len);
	line[len++] = '\n';
	fwrite(line, 1, len, stream);
}

void text__print(FILE *stream, const char *lead, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	text__vprint(stream, lead, format, args);
	va_end(args);
}
