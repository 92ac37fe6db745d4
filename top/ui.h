/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a user sees and does: keys change where one is, a canvas shows it. It knows no terminal and
 * no kernel; what somebody else has to do is in its requests.
 */
#ifndef KVM_WATCHER_TOP_UI_H
#define KVM_WATCHER_TOP_UI_H

#include "keys.h"
#include "screens.h"
#include "settings.h"

struct ui;

struct ui_options {
	struct model *model;
	struct settings *settings;
	bool replays; /* of recordings */
	bool ascii, blocks;
	const char *about; /* of what: recordings' names; or "" */
	uint64_t interval_ns;
};

/* What it wants of who measures; taken with ui__requests(). */
struct ui_requests {
	struct wanted wanted;
	bool reset;
	unsigned int record_keys; /* so often w was pressed */
	uint64_t interval_ns;
	bool quits;
};

enum { RECORDING_LEN = 64 };

/* What it is told. */
struct ui_status {
	double user_cpu, bpf_cpu;      /* shares of a CPU; NAN: not known */
	bool loading;		       /* monitors are being attached */
	char recording[RECORDING_LEN]; /* into this file; "": there is none */
};

struct ui *ui__new(const struct ui_options *opts);
void ui__free(struct ui *ui);

/* Frames have come, or have been forgotten. */
void ui__update(struct ui *ui);
/* Of a recording: the next interval is due. */
void ui__tick(struct ui *ui);
bool ui__plays(const struct ui *ui);
void ui__set_status(struct ui *ui, const struct ui_status *status);
void ui__say(struct ui *ui, const char *text);

void ui__key(struct ui *ui, const struct key *key);
struct ui_requests ui__requests(struct ui *ui);

void ui__resize(struct ui *ui, int rows, int cols);
const struct canvas *ui__draw(struct ui *ui);
/* The first screen alone, with all its rows. */
const struct canvas *ui__draw_once(struct ui *ui, int cols, struct frame *frame);

#endif
