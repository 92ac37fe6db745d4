/* SPDX-License-Identifier: GPL-2.0-only */
/* The screens, as data: what a place shows of a frame, and which monitors it takes. */
#ifndef KVM_WATCHER_TOP_SCREENS_H
#define KVM_WATCHER_TOP_SCREENS_H

#include "grid.h"
#include "model.h"

enum screen { SCREEN_VMS, SCREEN_VM, SCREEN_VCPU, SCREEN_ITEM };

enum { NAME_LEN = 128, MAX_TABS = MODEL_TABLES + 4 };

/* Where one is. */
struct spot {
	enum screen screen;
	uint64_t vm; /* key */
	char vm_name[NAME_LEN];
	uint32_t tid, vcpu;
	const struct table *table; /* of an item: a row's labels, such as an exit's reason */
	uint64_t labels;
	char label[NAME_LEN];
	bool split; /* rows by vCPU */
	size_t tab;
	struct grid_state *states[MAX_TABS];
};

struct scene {
	struct model *model;
	struct arena *arena;
	const struct frame *frame;
	bool ascii, blocks; /* see term.h */
	bool replays;
};

size_t spot__nr_tabs(const struct scene *s, const struct spot *spot);
const char *spot__tab(const struct scene *s, const struct spot *spot, size_t tab);
/* NULL: no memory. */
struct grid_state *spot__state(struct spot *spot);
void spot__free(struct spot *spot);

/* The table of a spot, and what is above it: returns how many lines that took. */
void screen__fill(const struct scene *s, struct spot *spot, struct grid *grid);
int screen__head(const struct scene *s, const struct spot *spot, struct canvas *c, int y, int most);
/* Where Enter leads. False: nowhere. */
bool screen__enter(const struct scene *s, const struct spot *from, const struct grid_row *row,
		   struct spot *to);

/* By the places of model__new(); detail: exits with what they were for. */
struct wanted {
	uint64_t monitors;
	bool detail;
	bool slow; /* single events that took long */
};
struct wanted screen__wants(const struct scene *s, const struct spot *spot);

#endif
