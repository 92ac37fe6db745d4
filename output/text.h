/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Text from outside: names of VMs, processes and files, command lines, messages of libraries.
 * It holds any byte, and a terminal, a log or a spreadsheet obeys some of them. What this
 * tool writes goes through here, whatever the sink.
 */
#ifndef KVM_WATCHER_TEXT_H
#define KVM_WATCHER_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* One character of a text, and what the next one has to know of it; begins with zeros. */
struct text_char {
	uint32_t cp;		 /* U+FFFD where it is no UTF-8 */
	size_t len;		 /* its bytes; 1 where it is no UTF-8 */
	bool valid;		 /* it is UTF-8 */
	bool shown;		 /* a terminal draws it where it stands, and does nothing else */
	int columns;		 /* of a terminal: a mark takes none, Chinese two */
	unsigned int marks_left; /* that may still be put on it */
};

/* The character at s, behind the one that *c was; len is not 0. */
void text__read(struct text_char *c, const char *s, size_t len);

/* Printable ASCII alone, as nearly always: a byte is a character, a column, and shown. */
bool text__is_plain(const char *s, size_t len);

/*
 * In place: each character that is not shown, and each byte that is no UTF-8, becomes '?'.
 * Returns the new length, which is not greater. What follows it is left as it was.
 */
size_t text__neutralise(char *s, size_t len);

/* Columns of a terminal that it takes. Not wcwidth(): a static binary has no locales. */
int text__width(const char *s);

/* Bytes of the first characters that take so many columns at most. */
size_t text__prefix(const char *s, int columns);

/* The most bytes of s, not more than most, that do not end within a character. */
size_t text__cut(const char *s, size_t len, size_t most);

/*
 * Writes one line at once: lead, then what is formatted, neutralised, then a newline. Lines
 * end with "..." after some thousand bytes.
 */
void text__print(FILE *stream, const char *lead, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void text__vprint(FILE *stream, const char *lead, const char *format, va_list args);

#endif
