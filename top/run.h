/* SPDX-License-Identifier: GPL-2.0-only */
/* The thread of the screen: keys, signals and drawing. Whoever measures is never waited for. */
#ifndef KVM_WATCHER_TOP_RUN_H
#define KVM_WATCHER_TOP_RUN_H

#include "term.h"
#include "ui.h"

struct top;

struct top_options {
	struct ui_options ui; /* ascii and blocks are the terminal's */
	struct term *term;
	bool has_signals; /* it sees to those that end the program */
};

/*
 * What is said on stderr is kept from here on, shown as a message, and said again at the end. 0 or
 * -errno.
 */
int top__catch_messages(void);
/* After top__stop(). */
void top__release_messages(void);

/* Blocks the signals that the screen sees to: before any thread is started. */
void top__block_signals(void);

/* Starts the thread. NULL after a message. */
struct top *top__start(const struct top_options *opts);
/* Ends it, and restores the terminal. */
void top__stop(struct top *top);
/* Waits until the user has enough. */
void top__wait(struct top *top);

/* Readable when there are other requests. */
int top__fd(const struct top *top);
struct ui_requests top__requests(struct top *top);
void top__set_status(struct top *top, const struct ui_status *status);
/* There are new frames; of any thread. */
void top__wake(struct top *top);

#endif
