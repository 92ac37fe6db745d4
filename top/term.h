/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The terminal: drawn on by terminfo's sequences, which ncurses' library looks up. Its windows
 * are not used: a static binary has no locales, so they would not know how wide a name is; and
 * what restores a terminal has to be there as it is when the program crashes.
 */
#ifndef KVM_WATCHER_TOP_TERM_H
#define KVM_WATCHER_TOP_TERM_H

#include <stdbool.h>
#include <stddef.h>

#include "canvas.h"
#include "keys.h"

struct term;

struct term_options {
	bool no_colour;
	bool no_mouse;
};

/*
 * While there is one thread, and before rights are given up. Starts a process that restores the
 * terminal when this one is killed. NULL: why has a sentence.
 */
struct term *term__open(const struct term_options *opts, char *why, size_t size);
/* Restores it, too. */
void term__close(struct term *t);

/* From now on it is a screen, until term__stop() or the end of the process, whatever that is. */
bool term__start(struct term *t);
void term__stop(struct term *t);

bool term__is_ascii(const struct term *t);
/* Its font has blocks for bars. */
bool term__has_blocks(const struct term *t);
void term__size(const struct term *t, int *rows, int *cols);
/* What is on it is not what was drawn. */
void term__forget(struct term *t);
/* False: it is gone. */
bool term__draw(struct term *t, const struct canvas *c);

/* To wait for. */
int term__fd(const struct term *t);
/* Reads what is there. False: it is gone. */
bool term__read(struct term *t);
/* The next key of what was read. more: something may follow soon. */
bool term__key(struct term *t, bool more, struct key *key);
/* What was read is not a whole key yet: wait so many ms for the rest; -1: there is none. */
int term__wait_ms(const struct term *t);

#endif
