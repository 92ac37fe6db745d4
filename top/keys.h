/* SPDX-License-Identifier: GPL-2.0-only */
/* From what a terminal sends to keys, and from keys to what they do. */
#ifndef KVM_WATCHER_TOP_KEYS_H
#define KVM_WATCHER_TOP_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Below these: the character itself. */
enum key_code {
	KEY_OTHER = 0x200000, /* one that is not known: nothing */
	KEY_UP,
	KEY_DOWN,
	KEY_LEFT,
	KEY_RIGHT,
	KEY_HOME,
	KEY_END,
	KEY_PAGE_UP,
	KEY_PAGE_DOWN,
	KEY_INSERT,
	KEY_DELETE,
	KEY_BACKTAB,
	KEY_CLICK, /* at x, y */
	KEY_WHEEL_UP,
	KEY_WHEEL_DOWN,
	KEY_F0, /* F1 is KEY_F0 + 1 */
	KEY_F_LAST = KEY_F0 + 12,
	KEY_ESC = 0x1b,
	KEY_ENTER = '\r',
	KEY_TAB = '\t',
	KEY_BACKSPACE = 0x7f,
	KEY_CTRL_C = 3,
	KEY_CTRL_L = 12,
};

struct key {
	uint32_t code;
	int x, y; /* of the mouse, from 0 */
};

/*
 * The key that len bytes begin with. Returns its bytes; 0: more are needed, which is never so
 * when nothing more comes (final).
 */
size_t key__decode(const unsigned char *data, size_t len, bool final, struct key *key);

enum action {
	ACT_NONE,
	ACT_HELP,
	ACT_QUIT,
	ACT_BACK,
	ACT_ENTER,
	ACT_UP,
	ACT_DOWN,
	ACT_PAGE_UP,
	ACT_PAGE_DOWN,
	ACT_HOME,
	ACT_END,
	ACT_TAB,
	ACT_BACKTAB,
	ACT_SORT_LEFT,
	ACT_SORT_RIGHT,
	ACT_INVERT,
	ACT_FILTER,
	ACT_FREEZE,
	ACT_PAUSE,
	ACT_OLDER,
	ACT_NEWER,
	ACT_OLDEST,
	ACT_NEWEST,
	ACT_JUMP,
	ACT_BASELINE,
	ACT_RESET,
	ACT_INTERVAL,
	ACT_RECORD,
	ACT_SPLIT,
	ACT_MISSING,
	ACT_REDRAW,
	NR_ACTIONS,
};

struct binding {
	enum action action;
	uint32_t codes[4];
	const char *keys; /* as help names them */
	const char *help;
};

/* Ends with ACT_NONE. */
extern const struct binding bindings[];

enum action key__action(uint32_t code);

#endif
