// SPDX-License-Identifier: GPL-2.0-only
#include "ui.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../core/clock.h"
#include "../output/text.h"

enum { MAX_DEPTH = 4, MAX_MESSAGES = 50, MESSAGE_LEN = 256, PROMPT_LEN = 80, WHEEL_ROWS = 3 };

enum overlay { OVERLAY_NONE, OVERLAY_HELP, OVERLAY_MISSING };
enum prompt { PROMPT_NONE, PROMPT_FILTER, PROMPT_INTERVAL, PROMPT_JUMP };

struct ui {
	struct ui_options opts;
	struct canvas canvas;
	struct arena *arena;
	struct scene scene;
	struct spot spots[MAX_DEPTH];
	size_t depth;
	struct grid grid; /* as it was drawn */
	struct frame *frame, *base;
	bool drawn;  /* grid is of what is to be seen now */
	bool once;   /* it is text, and nobody presses a key */
	bool paused; /* of a run: the frame stays; of a recording: it does not play */
	enum overlay overlay;
	int overlay_top;
	enum prompt prompt;
	char text[PROMPT_LEN];
	size_t text_len;
	char messages[MAX_MESSAGES][MESSAGE_LEN];
	size_t nr_messages;
	bool says; /* the last one is to be seen */
	struct ui_status status;
	struct ui_requests requests;
};

struct ui *ui__new(const struct ui_options *opts)
{
	struct ui *ui = calloc(1, sizeof(*ui));

	if (!ui)
		return NULL;
	ui->opts = *opts;
	ui->arena = arena__new();
	ui->depth = 1;
	ui->requests.interval_ns = opts->interval_ns;
	ui->status = (struct ui_status){ NAN, NAN };
	ui->scene = (struct scene){
		.model = opts->model,
		.arena = ui->arena,
		.ascii = opts->ascii,
		.blocks = opts->blocks,
		.replays = opts->replays,
	};
	ui->canvas.ascii = opts->ascii;
	if (!ui->arena || !canvas__resize(&ui->canvas, 24, 80)) {
		ui__free(ui);
		return NULL;
	}
	return ui;
}

static void set_frame(struct ui *ui, struct frame **to, struct frame *frame)
{
	struct frame *old = *to;

	ui->drawn = false;
	*to = frame__get(frame);
	model__put(ui->opts.model, old);
}

void ui__free(struct ui *ui)
{
	if (!ui)
		return;
	for (size_t i = 0; i < MAX_DEPTH; i++)
		spot__free(&ui->spots[i]);
	model__lock(ui->opts.model);
	set_frame(ui, &ui->frame, NULL);
	set_frame(ui, &ui->base, NULL);
	model__unlock(ui->opts.model);
	canvas__free(&ui->canvas);
	arena__free(ui->arena);
	free(ui);
}

static struct spot *here(struct ui *ui)
{
	return &ui->spots[ui->depth - 1];
}

/* Sorted as it was the last time, or in the last run. */
static struct grid_state *state_of(struct ui *ui)
{
	static struct grid_state none;
	struct spot *spot = here(ui);
	bool is_new = spot->tab >= MAX_TABS || !spot->states[spot->tab];
	struct grid_state *state = spot__state(spot);
	const struct sort_setting *sort;

	if (!state)
		return &none;
	sort = is_new ? settings__sort(ui->opts.settings, spot__tab(&ui->scene, spot, spot->tab)) :
			NULL;
	if (sort) {
		snprintf(state->sort, sizeof(state->sort), "%s", sort->column);
		state->inverted = sort->inverted;
	}
	return state;
}

/* Frames */

static void show_at(struct ui *ui, size_t at)
{
	model__lock(ui->opts.model);
	if (model__nr_frames(ui->opts.model)) {
		if (at >= model__nr_frames(ui->opts.model))
			at = model__nr_frames(ui->opts.model) - 1;
		set_frame(ui, &ui->frame, model__frame(ui->opts.model, at));
	}
	model__unlock(ui->opts.model);
}

static size_t place(struct ui *ui, size_t *nr)
{
	size_t at;

	model__lock(ui->opts.model);
	*nr = model__nr_frames(ui->opts.model);
	at = ui->frame ? model__place(ui->opts.model, ui->frame->nr) : 0;
	model__unlock(ui->opts.model);
	return at;
}

void ui__update(struct ui *ui)
{
	size_t nr;

	place(ui, &nr);
	if (!nr) {
		model__lock(ui->opts.model);
		set_frame(ui, &ui->frame, NULL);
		model__unlock(ui->opts.model);
	} else if (!ui->frame) {
		show_at(ui, ui->opts.replays ? 0 : nr - 1);
	} else if (!ui->paused && !ui->opts.replays) {
		show_at(ui, nr - 1);
	}
}

bool ui__plays(const struct ui *ui)
{
	return ui->opts.replays && !ui->paused;
}

void ui__tick(struct ui *ui)
{
	size_t nr, at = place(ui, &nr);

	if (!ui__plays(ui))
		return;
	if (at + 1 < nr)
		show_at(ui, at + 1);
	else
		ui->paused = true;
}

static void step(struct ui *ui, long by)
{
	size_t nr, at = place(ui, &nr);

	ui->paused = true;
	if (by < 0)
		show_at(ui, at < (size_t)-by ? 0 : at + by);
	else
		show_at(ui, at + by);
}

static int64_t real_ns(const struct frame *f)
{
	return (int64_t)f->now_ns + f->real_offset_ns;
}

/* The first frame that ends at that time of day or after it, on the day that is shown. */
static void jump(struct ui *ui, const char *text)
{
	struct tm tm, asked = {};
	time_t second;
	size_t nr = 0;
	const char *end = strptime(text, "%H:%M:%S", &asked);

	if (!end || *end) {
		asked = (struct tm){};
		end = strptime(text, "%H:%M", &asked);
	}
	if (!end || *end || !ui->frame) {
		ui__say(ui, "give a time of day such as 03:10:30 or 03:10");
		return;
	}
	second = real_ns(ui->frame) / NSEC_PER_SEC;
	localtime_r(&second, &tm);
	tm.tm_hour = asked.tm_hour;
	tm.tm_min = asked.tm_min;
	tm.tm_sec = asked.tm_sec;
	second = mktime(&tm);
	model__lock(ui->opts.model);
	while (nr < model__nr_frames(ui->opts.model) &&
	       real_ns(model__frame(ui->opts.model, nr)) / NSEC_PER_SEC < second)
		nr++;
	model__unlock(ui->opts.model);
	ui->paused = true;
	show_at(ui, nr);
}

/* Told */

void ui__set_status(struct ui *ui, const struct ui_status *status)
{
	ui->status = *status;
}

void ui__say(struct ui *ui, const char *text)
{
	if (ui->nr_messages == MAX_MESSAGES) {
		memmove(ui->messages, ui->messages + 1, sizeof(ui->messages) - MESSAGE_LEN);
		ui->nr_messages--;
	}
	snprintf(ui->messages[ui->nr_messages++], MESSAGE_LEN, "%s", text);
	ui->says = true;
}

struct ui_requests ui__requests(struct ui *ui)
{
	struct ui_requests requests;

	ui->requests.wanted = screen__wants(&ui->scene, here(ui));
	requests = ui->requests;
	ui->requests.reset = false;
	return requests;
}

/* Keys */

static void note_sort(struct ui *ui, const struct grid_state *state)
{
	const struct spot *spot = here(ui);
	const char *sort = grid__sort(&ui->grid, state);

	if (sort)
		settings__set_sort(ui->opts.settings, spot__tab(&ui->scene, spot, spot->tab), sort,
				   state->inverted);
}

static void ask(struct ui *ui, enum prompt prompt, const char *text)
{
	ui->prompt = prompt;
	snprintf(ui->text, sizeof(ui->text), "%s", text);
	ui->text_len = strlen(ui->text);
}

static void answer(struct ui *ui)
{
	double seconds;
	char *end;

	switch (ui->prompt) {
	case PROMPT_INTERVAL:
		seconds = strtod(ui->text, &end);
		if (end == ui->text || *end || !(seconds >= 0.1) || seconds > 3600) {
			ui__say(ui, "give an interval of 0.1 to 3600 seconds");
			break;
		}
		ui->requests.interval_ns = llround(seconds * NSEC_PER_SEC);
		ui->opts.settings->interval_ns = ui->requests.interval_ns;
		ui->opts.settings->changed = true;
		break;
	case PROMPT_JUMP:
		jump(ui, ui->text);
		break;
	default:
		break;
	}
}

static size_t encode(uint32_t cp, char text[5])
{
	size_t len = 0;

	if (cp < 0x80) {
		text[len++] = cp;
	} else if (cp < 0x800) {
		text[len++] = 0xc0 | cp >> 6;
		text[len++] = 0x80 | (cp & 0x3f);
	} else if (cp < 0x10000) {
		text[len++] = 0xe0 | cp >> 12;
		text[len++] = 0x80 | (cp >> 6 & 0x3f);
		text[len++] = 0x80 | (cp & 0x3f);
	} else {
		text[len++] = 0xf0 | cp >> 18;
		text[len++] = 0x80 | (cp >> 12 & 0x3f);
		text[len++] = 0x80 | (cp >> 6 & 0x3f);
		text[len++] = 0x80 | (cp & 0x3f);
	}
	text[len] = '\0';
	return len;
}

static void take_text(struct ui *ui, uint32_t code)
{
	char text[5];
	size_t len;

	if (code == KEY_BACKSPACE) {
		while (ui->text_len && (ui->text[ui->text_len - 1] & 0xc0) == 0x80)
			ui->text_len--;
		ui->text_len -= ui->text_len > 0;
	} else if (code >= ' ' && code < KEY_OTHER) {
		len = encode(code, text);
		if (ui->text_len + len < sizeof(ui->text)) {
			memcpy(ui->text + ui->text_len, text, len);
			ui->text_len += len;
		}
	}
	ui->text[ui->text_len] = '\0';
}

static void prompt_key(struct ui *ui, uint32_t code)
{
	bool filters = ui->prompt == PROMPT_FILTER;
	struct grid_state *state = state_of(ui);

	if (code == KEY_ESC || code == KEY_CTRL_C) {
		ui->text_len = 0;
		ui->text[0] = '\0';
	} else if (code != KEY_ENTER && code != '\n') {
		take_text(ui, code);
		if (filters)
			snprintf(state->filter, sizeof(state->filter), "%s", ui->text);
		return;
	}
	if (filters)
		snprintf(state->filter, sizeof(state->filter), "%s", ui->text);
	else if (code == KEY_ENTER || code == '\n')
		answer(ui);
	ui->prompt = PROMPT_NONE;
}

static void overlay_key(struct ui *ui, enum action action)
{
	int page = ui->canvas.rows > 3 ? ui->canvas.rows - 3 : 1;

	switch (action) {
	case ACT_UP:
		ui->overlay_top--;
		break;
	case ACT_DOWN:
		ui->overlay_top++;
		break;
	case ACT_PAGE_UP:
		ui->overlay_top -= page;
		break;
	case ACT_PAGE_DOWN:
	case ACT_PAUSE:
		ui->overlay_top += page;
		break;
	case ACT_HOME:
		ui->overlay_top = 0;
		break;
	case ACT_NONE:
	case ACT_REDRAW:
		break;
	default:
		ui->overlay = OVERLAY_NONE;
	}
}

static void go_back(struct ui *ui)
{
	struct grid_state *state = state_of(ui);

	if (*state->filter) {
		state->filter[0] = '\0';
		return;
	}
	if (ui->depth == 1)
		return;
	spot__free(here(ui));
	*here(ui) = (struct spot){};
	ui->depth--;
}

static void go_on(struct ui *ui)
{
	const struct grid_row *row = grid__selected(&ui->grid, state_of(ui));
	struct spot to;

	if (ui->depth == MAX_DEPTH || !ui->frame || !row)
		return;
	if (!screen__enter(&ui->scene, here(ui), row, &to)) {
		ui__say(ui, "this row has no details to open");
		return;
	}
	grid__move(&ui->grid, state_of(ui), 0);
	ui->spots[ui->depth++] = to;
}

static void next_tab(struct ui *ui, int by)
{
	struct spot *spot = here(ui);
	size_t nr = spot__nr_tabs(&ui->scene, spot);

	spot->tab = (spot->tab + nr + by) % nr;
}

static void click(struct ui *ui, const struct key *key)
{
	struct grid_state *state = state_of(ui);
	size_t at;

	if (key->y == state->header_y) {
		for (size_t i = 0; i < state->nr_places; i++) {
			const struct place *place = &state->places[i];
			const char *name;

			if (key->x < place->x || key->x > place->x + place->width ||
			    place->column >= ui->grid.nr_columns)
				continue;
			name = ui->grid.columns[place->column]->name;
			state->inverted = grid__sort(&ui->grid, state) &&
					  !strcmp(grid__sort(&ui->grid, state), name) &&
					  !state->inverted;
			snprintf(state->sort, sizeof(state->sort), "%s", name);
			note_sort(ui, state);
			return;
		}
		return;
	}
	if (key->y <= state->header_y || key->y > state->header_y + (int)state->page)
		return;
	at = state->top + key->y - state->header_y - 1;
	if (at >= ui->grid.nr_shown)
		return;
	if (at == state->at && state->selected)
		go_on(ui);
	else
		grid__move(&ui->grid, state, (long)at - (long)state->at);
}

static void set_base(struct ui *ui)
{
	model__lock(ui->opts.model);
	set_frame(ui, &ui->base, ui->base ? NULL : ui->frame);
	model__unlock(ui->opts.model);
}

static void reset(struct ui *ui)
{
	if (ui->opts.replays) {
		ui__say(ui, "r does not work on a recording");
		return;
	}
	model__clear(ui->opts.model);
	if (ui->base)
		set_base(ui);
	ui->paused = false;
	ui->requests.reset = true;
	ui__update(ui);
}

static void record(struct ui *ui)
{
	if (ui->opts.replays)
		ui__say(ui, "w does not work on a recording");
	else
		ui->requests.record_keys++;
}

static void sort_key(struct ui *ui, enum action action)
{
	struct grid_state *state = state_of(ui);

	if (action == ACT_INVERT)
		state->inverted = !state->inverted;
	else
		grid__sort_by_next(&ui->grid, state, action == ACT_SORT_LEFT ? -1 : 1);
	note_sort(ui, state);
}

static void move_key(struct ui *ui, const struct key *key, enum action action)
{
	struct grid_state *state = state_of(ui);
	long page = state->page,
	     rows = key->code == KEY_WHEEL_UP || key->code == KEY_WHEEL_DOWN ? WHEEL_ROWS : 1;

	grid__move(&ui->grid, state,
		   action == ACT_UP	   ? -rows :
		   action == ACT_DOWN	   ? rows :
		   action == ACT_PAGE_UP   ? -page :
		   action == ACT_PAGE_DOWN ? page :
		   action == ACT_HOME	   ? -(long)state->at :
					     (long)ui->grid.nr_shown);
}

static void act(struct ui *ui, const struct key *key, enum action action)
{
	char text[32];

	switch (action) {
	case ACT_HELP:
	case ACT_MISSING:
		ui->overlay = action == ACT_HELP ? OVERLAY_HELP : OVERLAY_MISSING;
		ui->overlay_top = 0;
		break;
	case ACT_QUIT:
		ui->requests.quits = true;
		break;
	case ACT_BACK:
		go_back(ui);
		break;
	case ACT_ENTER:
		go_on(ui);
		break;
	case ACT_TAB:
	case ACT_BACKTAB:
		next_tab(ui, action == ACT_TAB ? 1 : -1);
		break;
	case ACT_SORT_LEFT:
	case ACT_SORT_RIGHT:
	case ACT_INVERT:
		sort_key(ui, action);
		break;
	case ACT_FILTER:
		ask(ui, PROMPT_FILTER, state_of(ui)->filter);
		break;
	case ACT_FREEZE:
		state_of(ui)->frozen = !state_of(ui)->frozen;
		break;
	case ACT_PAUSE:
		ui->paused = !ui->paused;
		ui__update(ui);
		break;
	case ACT_OLDER:
	case ACT_NEWER:
		step(ui, action == ACT_OLDER ? -1 : 1);
		break;
	case ACT_OLDEST:
		ui->paused = true;
		show_at(ui, 0);
		break;
	case ACT_NEWEST:
		ui->paused = ui->opts.replays;
		show_at(ui, SIZE_MAX);
		break;
	case ACT_JUMP:
		ask(ui, PROMPT_JUMP, "");
		break;
	case ACT_BASELINE:
		set_base(ui);
		break;
	case ACT_RESET:
		reset(ui);
		break;
	case ACT_INTERVAL:
		snprintf(text, sizeof(text), "%g", (double)ui->requests.interval_ns / NSEC_PER_SEC);
		ask(ui, PROMPT_INTERVAL, text);
		break;
	case ACT_RECORD:
		record(ui);
		break;
	case ACT_SPLIT:
		here(ui)->split = !here(ui)->split;
		grid_state__forget(state_of(ui));
		break;
	case ACT_UP:
	case ACT_DOWN:
	case ACT_PAGE_UP:
	case ACT_PAGE_DOWN:
	case ACT_HOME:
	case ACT_END:
		move_key(ui, key, action);
		break;
	default:
		break;
	}
}

void ui__key(struct ui *ui, const struct key *key)
{
	enum action action = key__action(key->code);

	if (key->code == KEY_OTHER)
		return;
	/* Each key acts on what the one before has made. */
	if (!ui->drawn)
		ui__draw(ui);
	ui->drawn = false;
	if (ui->prompt) {
		prompt_key(ui, key->code);
		return;
	}
	ui->says = false;
	if (ui->overlay)
		overlay_key(ui, key->code == KEY_CLICK ? ACT_BACK : action);
	else if (key->code == KEY_CLICK)
		click(ui, key);
	else
		act(ui, key, action);
}

/* Drawing */

void ui__resize(struct ui *ui, int rows, int cols)
{
	if (rows != ui->canvas.rows || cols != ui->canvas.cols)
		canvas__resize(&ui->canvas, rows, cols);
}

static const char *clock_text(struct ui *ui, int64_t ns, bool date)
{
	time_t second = ns / NSEC_PER_SEC;
	char text[64];
	struct tm tm;

	localtime_r(&second, &tm);
	strftime(text, sizeof(text), date ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &tm);
	return arena__copy(ui->arena, text);
}

static const char *where(struct ui *ui)
{
	const struct spot *spot = here(ui);
	const char *vm = spot->vm_name;

	switch (spot->screen) {
	case SCREEN_VM:
		return arena__printf(ui->arena, "VMs > %s", vm);
	case SCREEN_VCPU:
		return arena__printf(ui->arena, "VMs > %s > vCPU %u", vm, spot->vcpu);
	case SCREEN_ITEM:
		return arena__printf(ui->arena, "%s of %s", spot->label, vm);
	default:
		return *ui->opts.about ? arena__printf(ui->arena, "VMs of %s", ui->opts.about) :
					 "VMs";
	}
}

static void draw_title(struct ui *ui)
{
	const struct frame *f = ui->frame;
	struct canvas *c = &ui->canvas;
	const struct grid_state *state = state_of(ui);
	const struct model_vm *vm = f ? frame__vm(f, here(ui)->vm) : NULL;
	const char *right = "";
	int width;

	if (f)
		right = arena__printf(
			ui->arena, "%s%s%s%s%s %gs", state->frozen ? "FROZEN " : "",
			*ui->status.recording ? "REC " : "",
			ui->base ? arena__printf(ui->arena, "SINCE %s ",
						 clock_text(ui, real_ns(ui->base), false)) :
				   "",
			ui->once	 ? "" :
			ui->opts.replays ? (ui->paused ? "STOPPED " : "PLAYING ") :
			ui->paused	 ? "PAUSED " :
					   "",
			clock_text(ui, real_ns(f), ui->opts.replays && c->cols >= 100),
			rint((double)(f->now_ns - f->since_ns) / 1e7) / 100);
	width = text__width(right);
	canvas__put(c, 0, 0, c->cols - width - 1, STYLE_STRONG, where(ui));
	if (vm && vm->wall_ns && here(ui)->screen != SCREEN_VMS) {
		double pain = 100 * pain_of(vm->lost_ns, vm->work_ns, vm->wall_ns);
		const char *text = arena__printf(ui->arena, "  pain %.1f%%", pain);
		int x = text__width(where(ui));

		if (x + text__width(text) + width + 1 < c->cols)
			canvas__put(c, 0, x, text__width(text),
				    pain >= 20 ? STYLE_CRITICAL :
				    pain >= 5  ? STYLE_WARNING :
						 STYLE_NORMAL,
				    text);
	}
	if (width < c->cols)
		canvas__put(c, 0, c->cols - width, width, STYLE_NORMAL, right);
}

static int tab_width(struct ui *ui, size_t tab)
{
	return text__width(spot__tab(&ui->scene, here(ui), tab)) + 3;
}

/* As many as fit, with the one that is shown among them. */
static void draw_tabs(struct ui *ui, int y)
{
	const struct spot *spot = here(ui);
	size_t nr = spot__nr_tabs(&ui->scene, spot), first = spot->tab;
	int room = ui->canvas.cols - 4 - tab_width(ui, spot->tab), x = 0;

	while (first && room >= tab_width(ui, first - 1))
		room -= tab_width(ui, --first);
	x += canvas__put(&ui->canvas, y, x, 2, STYLE_DIM, first ? "< " : "  ");
	for (size_t i = first; i < nr; i++) {
		bool is_shown = i == spot->tab;
		const char *text = arena__printf(ui->arena, is_shown ? "[%s]" : " %s ",
						 spot__tab(&ui->scene, spot, i));

		if (x + tab_width(ui, i) > ui->canvas.cols - 2 && i != first) {
			canvas__put(&ui->canvas, y, ui->canvas.cols - 1, 1, STYLE_DIM, ">");
			break;
		}
		x += canvas__put(&ui->canvas, y, x, ui->canvas.cols - x,
				 is_shown ? STYLE_STRONG : STYLE_NORMAL, text);
		x++;
	}
}

static void draw_hint(struct ui *ui, int y)
{
	static const char *const questions[] = {
		[PROMPT_FILTER] = "only rows with: ",
		[PROMPT_INTERVAL] = "interval in seconds: ",
		[PROMPT_JUMP] = "to the time of day: ",
	};
	struct canvas *c = &ui->canvas;
	const struct grid_state *state = state_of(ui);

	if (ui->prompt) {
		int x = canvas__put(c, y, 0, c->cols, STYLE_STRONG, questions[ui->prompt]);

		x += canvas__put(c, y, x, c->cols - x, STYLE_NORMAL, ui->text);
		canvas__put(c, y, x, 1, STYLE_SELECTED, " ");
	} else if (ui->says) {
		canvas__put(c, y, 0, c->cols, STYLE_STRONG, ui->messages[ui->nr_messages - 1]);
	} else if (*state->filter) {
		canvas__put(c, y, 0, c->cols, STYLE_STRONG,
			    arena__printf(ui->arena, "%zu of %zu rows, with \"%s\" (Esc: all)",
					  ui->grid.nr_shown, ui->grid.nr_rows, state->filter));
	} else {
		canvas__put(c, y, 0, c->cols, STYLE_DIM,
			    "F1 help  Enter closer  Esc back  Tab table  / filter  < > sort  Space "
			    "pause  [ ] time  q quit");
	}
}

static void draw_status(struct ui *ui, int y)
{
	struct canvas *c = &ui->canvas;
	const struct missing *list;
	uint64_t lost;
	size_t missing, nr, bytes;
	const char *from = "";
	int x = 0;

	model__lock(ui->opts.model);
	lost = model__lost(ui->opts.model);
	missing = model__missing(ui->opts.model, &list);
	nr = model__nr_frames(ui->opts.model);
	bytes = model__bytes(ui->opts.model);
	if (nr)
		from = clock_text(ui, real_ns(model__frame(ui->opts.model, 0)), false);
	model__unlock(ui->opts.model);
	x += canvas__put(c, y, x, c->cols - x, lost ? STYLE_CRITICAL : STYLE_NORMAL,
			 arena__printf(ui->arena, "lost %" PRIu64, lost));
	x += canvas__put(c, y, x, c->cols - x, missing ? STYLE_WARNING : STYLE_NORMAL,
			 missing ? arena__printf(ui->arena, "  can't show %zu (m: why)", missing) :
				   "  all can be shown");
	/* Before what may be cut. */
	if (ui->status.loading)
		x += canvas__put(c, y, x, c->cols - x, STYLE_STRONG, "  attaching ...");
	if (*ui->status.recording)
		x += canvas__put(c, y, x, c->cols - x, STYLE_STRONG,
				 arena__printf(ui->arena, "  REC %s", ui->status.recording));
	if (!isnan(ui->status.user_cpu))
		x += canvas__put(
			c, y, x, c->cols - x, STYLE_NORMAL,
			arena__printf(ui->arena, "  CPU %.1f%%", 100 * ui->status.user_cpu));
	if (!isnan(ui->status.bpf_cpu))
		x += canvas__put(c, y, x, c->cols - x, STYLE_NORMAL,
				 arena__printf(ui->arena, " BPF %.2f%%", 100 * ui->status.bpf_cpu));
	if (nr)
		canvas__put(c, y, x, c->cols - x, STYLE_NORMAL,
			    arena__printf(ui->arena, "  since %s, %zu KiB", from, bytes >> 10));
}

static void fill(struct ui *ui)
{
	struct grid base;

	ui->scene.frame = ui->frame;
	screen__fill(&ui->scene, here(ui), &ui->grid);
	if (ui->base) {
		ui->scene.frame = ui->base;
		screen__fill(&ui->scene, here(ui), &base);
		ui->scene.frame = ui->frame;
		grid__subtract(&ui->grid, &base, ui->arena);
	}
	grid__arrange(&ui->grid, state_of(ui), ui->frame->nr, ui->arena);
}

/* Overlays: lines of text */

struct lines {
	struct ui *ui;
	int y, top, rows;
};

/* Broken between words; behind the first line they are set back. */
static void add_line(struct lines *to, unsigned int style, int indent, const char *text)
{
	int cols = to->ui->canvas.cols;

	for (bool first = true; first || *text; first = false) {
		int room = cols - (first ? 0 : indent);
		size_t len = text__prefix(text, room < 8 ? 8 : room), fit = len;
		bool is_cut = text[len] != '\0';
		int y = to->y++ - to->top;
		char *part;

		while (is_cut && fit > len / 2 && text[fit] != ' ')
			fit--;
		if (is_cut && text[fit] == ' ')
			len = fit;
		if (!len && *text)
			len = 1;
		part = arena__printf(to->ui->arena, "%.*s", (int)len, text);
		if (y >= 0 && y < to->rows)
			canvas__put(&to->ui->canvas, y + 1, first ? 0 : indent, cols, style, part);
		text += len;
		while (*text == ' ')
			text++;
	}
}

static void add_help(struct lines *to)
{
	struct ui *ui = to->ui;
	char title[SORT_LEN];

	for (const struct binding *b = bindings; b->action; b++)
		add_line(to, STYLE_NORMAL, 14,
			 arena__printf(ui->arena, "%-12s  %s", b->keys, b->help));
	add_line(to, STYLE_NORMAL, 0, "");
	add_line(to, STYLE_STRONG, 0,
		 arena__printf(ui->arena, "Columns of %s",
			       spot__tab(&ui->scene, here(ui), here(ui)->tab)));
	for (size_t i = 0; i < ui->grid.nr_columns; i++) {
		const struct column *col = ui->grid.columns[i];

		if (col->flags & COL_KEY_ONLY)
			continue;
		add_line(to, STYLE_NORMAL, 14,
			 arena__printf(ui->arena, "%-12s  %s", column__title(col, title),
				       col->help ?: ""));
	}
	add_line(to, STYLE_NORMAL, 0, "");
	add_line(to, STYLE_NORMAL, 0,
		 "Colours are diagnose's thresholds: 5 % of a vCPU's time warns, 20 % (of steal 10 "
		 "%) is critical.");
}

static void add_missing(struct lines *to)
{
	const struct missing *list;
	struct ui *ui = to->ui;
	size_t nr;

	model__lock(ui->opts.model);
	nr = model__missing(ui->opts.model, &list);
	if (!nr)
		add_line(to, STYLE_NORMAL, 0,
			 "This host can show everything that these monitors measure.");
	for (size_t i = 0; i < nr; i++)
		add_line(to, STYLE_NORMAL, 4,
			 arena__printf(ui->arena, "%s: missing: %s (%s: %s)", list[i].monitor,
				       list[i].gives, list[i].need, list[i].why));
	add_line(to, STYLE_NORMAL, 0, "");
	add_line(to, STYLE_NORMAL, 0,
		 arena__printf(ui->arena, "%" PRIu64 " events were lost.",
			       model__lost(ui->opts.model)));
	if (model__evicted(ui->opts.model))
		add_line(to, STYLE_NORMAL, 0,
			 arena__printf(
				 ui->arena,
				 "%" PRIu64
				 " intervals were discarded: the history is limited to %d MiB.",
				 model__evicted(ui->opts.model), HISTORY_BYTES >> 20));
	model__unlock(ui->opts.model);
	if (ui->nr_messages)
		add_line(to, STYLE_STRONG, 0, "Messages");
	for (size_t i = 0; i < ui->nr_messages; i++)
		add_line(to, STYLE_NORMAL, 4, ui->messages[i]);
}

static void draw_overlay(struct ui *ui)
{
	struct lines lines = { ui, 0, 0, ui->canvas.rows - 3 };
	bool is_help = ui->overlay == OVERLAY_HELP;

	/* Once to know how long it is. */
	lines.rows = 0;
	if (is_help)
		add_help(&lines);
	else
		add_missing(&lines);
	if (ui->overlay_top > lines.y - (ui->canvas.rows - 3))
		ui->overlay_top = lines.y - (ui->canvas.rows - 3);
	if (ui->overlay_top < 0)
		ui->overlay_top = 0;
	canvas__clear(&ui->canvas);
	canvas__put(&ui->canvas, 0, 0, ui->canvas.cols, STYLE_STRONG,
		    is_help ? "Help" : "What this host cannot show, and messages");
	lines = (struct lines){ ui, 0, ui->overlay_top, ui->canvas.rows - 3 };
	if (is_help)
		add_help(&lines);
	else
		add_missing(&lines);
	canvas__put(&ui->canvas, ui->canvas.rows - 2, 0, ui->canvas.cols, STYLE_DIM,
		    "Up, Down, PgUp, PgDn: scroll; Esc: back");
}

const struct canvas *ui__draw(struct ui *ui)
{
	struct canvas *c = &ui->canvas;
	int y = 0, bottom = c->rows - 2;

	arena__reset(ui->arena);
	ui->drawn = true;
	ui->grid = (struct grid){};
	canvas__clear(c);
	ui->scene.frame = ui->frame;
	draw_title(ui);
	if (ui->frame) {
		fill(ui);
		y = 1;
		if (here(ui)->screen != SCREEN_VMS && c->rows > 6)
			draw_tabs(ui, y++);
		y += screen__head(&ui->scene, here(ui), c, y, bottom - y - 5);
		grid__draw(&ui->grid, state_of(ui), c, y, bottom - y);
	} else {
		canvas__put(c, 2, 0, c->cols, STYLE_NORMAL,
			    ui->opts.replays ? "reading ..." :
					       "attaching, then measuring the first interval ...");
	}
	if (ui->overlay && c->rows > 4)
		draw_overlay(ui);
	else
		draw_hint(ui, c->rows - 2);
	canvas__fill(c, c->rows - 1, 0, c->cols, STYLE_NORMAL);
	draw_status(ui, c->rows - 1);
	return c;
}

const struct canvas *ui__draw_once(struct ui *ui, int cols, struct frame *frame)
{
	enum { AROUND = 4 };
	size_t rows;

	model__lock(ui->opts.model);
	set_frame(ui, &ui->frame, frame);
	model__unlock(ui->opts.model);
	ui->once = true;
	rows = frame ? frame->nr_vms : 0;
	ui__resize(ui, (int)(rows > 1900 ? 1900 : rows) + AROUND + !rows, cols);
	ui__draw(ui);
	/* No keys where there is nobody to press them. */
	canvas__fill(&ui->canvas, ui->canvas.rows - 2, 0, cols, STYLE_NORMAL);
	for (int row = 0; row < ui->canvas.rows; row++)
		for (int col = 0; col < ui->canvas.cols; col++)
			canvas__at(&ui->canvas, row, col)->style = STYLE_NORMAL;
	return &ui->canvas;
}
