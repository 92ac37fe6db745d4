// SPDX-License-Identifier: GPL-2.0-only
#include "replay.h"

#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "../compat/host.h"
#include "clock.h"
#include "histogram.h"
#include "log.h"
#include "memory.h"
#include "record.h"
#include "samples.h"
#include "select.h"
#include "zone.h"

enum { MAX_FILES = 1024, KEEP_VMS = 10000 };

/* One file, or one segment of a run. */
struct source {
	struct recording *rec;
	const struct recording_head *head;
	char *path;	  /* of a further segment; else NULL */
	int64_t shift_ns; /* from its clock to that of the first file */
	uint64_t at_ns;	  /* the end of its last interval, by that clock */
	bool ended;
	size_t places[MAX_MONITORS]; /* its monitors among the attachments */
};

/* A VM that a file tells of. */
struct known_vm {
	char *key; /* host and id */
	bool is_told;
	struct identity who;
};

/* The number of a VM that rows are of: in several runs it is the same one. */
struct vm_number {
	char *key;   /* host, id, and which one of that id: a process is named like its first VM */
	int64_t run; /* the last run that had it, and its number there */
	uint64_t nr_in_run;
	uint64_t nr;
};

struct replay {
	struct source *sources;
	size_t nr_sources;
	struct attach_env env;
	struct monitor monitors[MAX_MONITORS]; /* those of the program, without a kernel */
	struct attachment *attachments;
	struct attachments attached;
	struct column *columns[MAX_MONITORS];
	void *vms, *numbers; /* tsearch() */
	const struct replay_options *options;
	struct sink *sink;
	uint64_t interval_ns; /* of what is shown; 0: as recorded */

	/* What has been read and not been shown, by the first file's clock. */
	bool has_samples, is_complete, has_any; /* has_any: a row was asked for */
	uint64_t since_ns, now_ns, first_ns;
	int64_t real_offset_ns;
	bool has_first;

	/*
	 * What is being shown in parts: the run's end, as its own recorder saw it, or an interval
	 * with events that came while it was written.
	 */
	bool shows_total, shows_interval, total_is_shown;
	struct report report;
	size_t last_place;		      /* the attachment that the last sample was of */
	const struct attachment *open_events; /* whose section of single events is open */
	unsigned int open_view;
	struct json_object *summaries;
};

/* Attachments */

static size_t place_of(struct replay *r, const struct recorded_monitor *of)
{
	size_t i = 0;

	while (i < r->attached.nr && strcmp(r->monitors[i].name, of->monitor->name))
		i++;
	return i;
}

/* What a monitor has of its hooks by the first object of the run. */
static void set_needs(struct attachment *at, struct json_object *hooks)
{
	const struct monitor *m = at->monitor;

	if (!json_object_is_type(hooks, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(hooks); i++) {
		struct json_object *hook = json_object_array_get_idx(hooks, i);
		const char *monitor, *need, *state;
		const struct hook *first = m->hooks;

		monitor = json_object_get_string(json_object_object_get(hook, "monitor"));
		need = json_object_get_string(json_object_object_get(hook, "need"));
		state = json_object_get_string(json_object_object_get(hook, "state"));
		if (!monitor || !need || !state || strcmp(monitor, m->name))
			continue;
		while (first && first->need && strcmp(first->need, need))
			first++;
		if (!first || !first->need || at->nr_needs == MAX_NEEDS)
			continue;
		at->needs[at->nr_needs].first = first;
		at->needs[at->nr_needs++].hook = strcmp(state, "missing") ? first : NULL;
	}
}

static struct samples *new_samples(const struct attachment *at)
{
	return samples__new(at->monitor->columns, at->monitor->row_size, at->env->nr_sinks,
			    KEEP_VMS);
}

static bool add_attachment(struct replay *r, const struct recorded_monitor *of,
			   struct json_object *start)
{
	size_t i = r->attached.nr;
	struct attachment *at = &r->attachments[i];
	struct monitor *m = &r->monitors[i];

	*m = *of->monitor;
	m->lists = NULL;
	*at = (struct attachment){
		.env = &r->env,
		.monitor = m,
		.config = &of->config,
		.replays = true,
		.state = calloc(1, m->state_size + 1),
	};
	at->samples = new_samples(at);
	r->attached.list[r->attached.nr++] = at;
	set_needs(at, json_object_object_get(start, "hooks"));
	return at->state && at->samples;
}

/* The first object of a run has hooks only of what it could attach. */
static bool was_attached(const struct monitor *m, struct json_object *hooks)
{
	if (!m->hooks || !json_object_is_type(hooks, json_type_array))
		return true;
	for (size_t i = 0; i < json_object_array_length(hooks); i++) {
		struct json_object *hook = json_object_array_get_idx(hooks, i);
		const char *name = json_object_get_string(json_object_object_get(hook, "monitor"));

		if (name && !strcmp(name, m->name))
			return true;
	}
	return false;
}

static bool add_attachments(struct replay *r, struct source *source)
{
	struct json_object *hooks = json_object_object_get(source->head->start, "hooks");

	for (size_t i = 0; i < source->head->nr_monitors; i++) {
		const struct recorded_monitor *of = &source->head->monitors[i];

		source->places[i] = MAX_MONITORS;
		if (!was_attached(of->monitor, hooks))
			continue;
		source->places[i] = place_of(r, of);
		if (source->places[i] == r->attached.nr &&
		    (r->attached.nr == sizeof(r->attached.list) / sizeof(*r->attached.list) ||
		     !add_attachment(r, of, source->head->start)))
			return false;
		if (of->unknown)
			say("replay: %s: left out what this version does not know: %s",
			    source->head->path, of->unknown);
	}
	return true;
}

static void forget_state(struct attachment *at)
{
	if (at->monitor->load && at->monitor->stop && at->state)
		at->monitor->stop(at);
}

/* Opening */

static bool add_source(struct replay *r, const char *path, bool is_segment,
		       const struct monitor *const *monitors, size_t nr_monitors)
{
	struct source *more = reallocarray(r->sources, r->nr_sources + 1, sizeof(*more)), *source;
	char why[256];

	if (!more) {
		memory__is_short();
		return false;
	}
	r->sources = more;
	source = &more[r->nr_sources];
	*source = (struct source){ .path = is_segment ? strdup(path) : NULL };
	source->rec = recording__open(source->path ?: path, monitors, nr_monitors, why);
	if (!source->rec) {
		if (!is_segment)
			say("%s can't be replayed: %s", path, why);
		free(source->path);
		return false;
	}
	source->head = recording__head(source->rec);
	r->nr_sources++;
	return true;
}

static bool same_run(const struct recording_head *a, const struct recording_head *b)
{
	return a->start_ns == b->start_ns && !strcmp(a->hostname, b->hostname) &&
	       a->real_offset_ns == b->real_offset_ns;
}

/* PATH.1 and so on, as far as they are of the same run; one that is being made is empty. */
static void add_segments(struct replay *r, const char *path, const struct monitor *const *monitors,
			 size_t nr_monitors)
{
	const struct recording_head *head = r->sources[r->nr_sources - 1].head;
	char name[4096];

	for (size_t i = 1; i < head->segments && i < RECORDING_SEGMENTS; i++) {
		snprintf(name, sizeof(name), "%s.%zu", path, i);
		if (!add_source(r, name, true, monitors, nr_monitors))
			continue;
		if (same_run(head, r->sources[r->nr_sources - 1].head))
			continue;
		r->nr_sources--;
		recording__close(r->sources[r->nr_sources].rec);
		free(r->sources[r->nr_sources].path);
	}
}

static int64_t start_of(const struct source *source)
{
	return source->head->start_ns + source->head->real_offset_ns;
}

static int by_start(const void *a, const void *b)
{
	int64_t x = start_of(a), y = start_of(b);

	return (x > y) - (x < y);
}

struct replay *replay__open(const char *const *paths, size_t nr,
			    const struct monitor *const *monitors, size_t nr_monitors)
{
	struct replay *r = calloc(1, sizeof(*r));
	bool ok = r && nr;

	for (size_t i = 0; ok && i < nr; i++) {
		ok = add_source(r, paths[i], false, monitors, nr_monitors);
		if (ok)
			add_segments(r, paths[i], monitors, nr_monitors);
	}
	if (!ok || !r->sources) {
		replay__close(r);
		return NULL;
	}
	qsort(r->sources, r->nr_sources, sizeof(*r->sources), by_start);
	r->attachments = calloc(MAX_MONITORS, sizeof(*r->attachments));
	r->summaries = json_object_new_array();
	r->env.nr_sinks = 1;
	for (size_t i = 0; ok && i < r->nr_sources; i++) {
		struct source *source = &r->sources[i];

		source->shift_ns =
			source->head->real_offset_ns - r->sources[0].head->real_offset_ns;
		source->at_ns = source->head->start_ns + source->shift_ns;
		ok = r->attachments && add_attachments(r, source);
	}
	if (!ok) {
		memory__is_short();
		replay__close(r);
		return NULL;
	}
	return r;
}

static void free_node(void *node)
{
	free(*(char **)node);
	free(node);
}

void replay__close(struct replay *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->attached.nr; i++) {
		struct attachment *at = r->attached.list[i];

		forget_state(at);
		histogram__free(at);
		samples__free(at->samples);
		free(at->state);
	}
	for (size_t i = 0; i < r->nr_sources; i++) {
		recording__close(r->sources[i].rec);
		free(r->sources[i].path);
	}
	tdestroy(r->vms, free_node);
	tdestroy(r->numbers, free_node);
	json_object_put(r->summaries);
	free(r->attachments);
	free(r->sources);
	free(r);
}

size_t replay__chosen(const struct replay *r, struct chosen chosen[MAX_MONITORS])
{
	for (size_t i = 0; i < r->attached.nr; i++)
		chosen[i] = (struct chosen){
			.monitor = r->attached.list[i]->monitor,
			.config = r->attached.list[i]->config,
		};
	return r->attached.nr;
}

int64_t replay__start(const struct replay *r)
{
	zone__set(r->sources[0].head->zone);
	return start_of(&r->sources[0]);
}

uint64_t replay__interval_ns(const struct replay *r)
{
	uint64_t longest = 0;

	for (size_t i = 0; i < r->nr_sources; i++)
		if (r->sources[i].head->interval_ns > longest)
			longest = r->sources[i].head->interval_ns;
	return longest;
}

uint64_t replay__count(const struct replay *r, int64_t from_ns, int64_t to_ns)
{
	uint64_t nr = 0;

	for (size_t i = 0; i < r->nr_sources; i++)
		nr += recording__count(r->sources[i].head, from_ns, to_ns);
	return nr;
}

struct json_object *replay__first(const struct replay *r)
{
	return r->sources[0].head->start;
}

struct json_object *replay__summary(const struct replay *r)
{
	size_t nr = json_object_array_length(r->summaries);

	return nr ? json_object_array_get_idx(r->summaries, nr - 1) : NULL;
}

bool replay__had_events(const struct replay *r, const struct monitor *m)
{
	for (size_t i = 0; i < r->nr_sources; i++)
		for (size_t j = 0; j < r->sources[i].head->nr_monitors; j++) {
			const struct recorded_monitor *of = &r->sources[i].head->monitors[j];

			if (!strcmp(of->monitor->name, m->name) && of->had_events)
				return true;
		}
	return false;
}

/* VMs */

/* Of both: they begin with it. */
static int by_key(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The node of that key, which is taken over; of so many bytes if it is new. NULL: no memory. */
static void *get_node(void **tree, char *key, size_t size)
{
	void **node = tfind(&key, tree, by_key), *made;

	if (node) {
		free(key);
		return *node;
	}
	made = calloc(1, size);
	if (made)
		*(char **)made = key;
	if (made && tsearch(made, tree, by_key))
		return made;
	free(made);
	free(key);
	return NULL;
}

static struct known_vm *vm_of(struct replay *r, const struct source *source, const char *id)
{
	char *key;

	if (!id || asprintf(&key, "%s\n%s", source->head->hostname, id) < 0)
		return NULL;
	return get_node(&r->vms, key, sizeof(struct known_vm));
}

/* In the order of their numbers, run by run. */
static uint64_t number_of(struct replay *r, const struct source *source, const struct row *row)
{
	enum { RUN_SHIFT = 40, MOST_OF_ID = 1000 };
	uint64_t own = ((uint64_t)(source - r->sources + 1) << RUN_SHIFT) + row->vm_nr;
	int64_t run = start_of(source);

	if (!row->vm_nr)
		return 0;
	for (unsigned int i = 0; row->vm_id && i < MOST_OF_ID; i++) {
		struct vm_number *number = NULL;
		char *key;

		if (asprintf(&key, "%s\n%s\n%u", source->head->hostname, row->vm_id, i) >= 0)
			number = get_node(&r->numbers, key, sizeof(*number));
		if (!number)
			break;
		if (!number->nr)
			number->nr = own;
		if (number->run != run || !number->nr_in_run) {
			number->run = run;
			number->nr_in_run = row->vm_nr;
		}
		if (number->nr_in_run == row->vm_nr)
			return number->nr;
	}
	return own;
}

static void copy_member(char *to, size_t size, struct json_object *obj, const char *key)
{
	const char *text = json_object_get_string(json_object_object_get(obj, key));

	snprintf(to, size, "%s", text ?: "");
}

static void read_identity(struct identity *who, struct json_object *obj)
{
	copy_member(who->uuid, sizeof(who->uuid), obj, "uuid");
	copy_member(who->cgroup, sizeof(who->cgroup), obj, "cgroup");
	copy_member(who->libvirt_name, sizeof(who->libvirt_name), obj, "libvirt_name");
	copy_member(who->pod_uid, sizeof(who->pod_uid), obj, "pod_uid");
	copy_member(who->kube_namespace, sizeof(who->kube_namespace), obj, "kube_namespace");
	copy_member(who->kube_vmi, sizeof(who->kube_vmi), obj, "kube_vmi");
}

/* The row becomes the timeline's. False: it is not asked for. */
static bool take_over(struct replay *r, const struct source *source, struct row *row)
{
	const struct filter *filter = r->options->filter;
	static const struct identity nobody;
	const struct known_vm *vm = vm_of(r, source, row->vm_id);

	if ((filter->pid || filter->vm) &&
	    !(row->vm && filter__has_vm(filter, row->pid, row->vm, vm ? &vm->who : &nobody)))
		return false;
	if (filter->chooses_vcpu &&
	    (row->vcpu == UINT32_MAX || !filter__has_vcpu(filter, row->vcpu)))
		return false;
	r->has_any = true;
	row->ts_ns += source->shift_ns;
	row->vm_nr = number_of(r, source, row);
	if (!r->options->by_file)
		return true;
	row->vm = strrchr(source->head->path, '/');
	row->vm = row->vm ? row->vm + 1 : source->head->path;
	row->vm_id = NULL;
	row->vm_nr = source - r->sources + 1;
	row->pid = UINT32_MAX;
	/* Of several VMs: a vCPU's number tells it from none. */
	if (row->tid != UINT32_MAX)
		row->vcpu = row->tid;
	return true;
}

/* Showing */

static void close_events(struct replay *r)
{
	if (r->open_events)
		output__end(r->sink->out);
	r->open_events = NULL;
}

static void show(struct replay *r, enum scope scope, uint64_t since_ns, uint64_t now_ns,
		 bool total_follows)
{
	const struct window window = {
		.out = r->sink->out,
		.selection = sink__selection(r->sink),
		.scope = scope,
		.since_ns = since_ns,
		.now_ns = now_ns,
		.total_follows = total_follows,
	};
	struct report report;

	close_events(r);
	report__open(&report, &r->env, &r->attached, 0, &window);
	report__close(&report);
}

/* The interval that is complete, or all that is left. */
static void show_interval(struct replay *r, bool total_follows)
{
	if (!r->has_samples)
		return;
	r->has_samples = r->is_complete = false;
	clock__set_real_offset(r->real_offset_ns);
	show(r, SCOPE_INTERVAL, r->since_ns, r->now_ns,
	     total_follows && r->since_ns == r->first_ns);
}

/* An interval is on one side of a moment: that of its middle. */
static bool is_asked_for(const struct replay *r, const struct source *source, uint64_t since_ns,
			 uint64_t now_ns)
{
	int64_t middle_ns = since_ns + (now_ns - since_ns) / 2 + source->head->real_offset_ns;

	return (!r->options->from_ns || middle_ns >= r->options->from_ns) &&
	       (!r->options->to_ns || middle_ns < r->options->to_ns);
}

/* By its middle: intervals begin some time after they are due. */
static uint64_t bucket_of(const struct replay *r, uint64_t since_ns, uint64_t now_ns)
{
	uint64_t middle = since_ns + (now_ns - since_ns) / 2;

	return middle > r->first_ns ? (middle - r->first_ns) / r->interval_ns : 0;
}

/* A timeline of several files has the first one's clock. */
static int64_t offset_of(const struct replay *r, const struct recorded_line *line)
{
	return r->nr_sources == 1 && line->real_offset_ns ? line->real_offset_ns :
							    r->sources[0].head->real_offset_ns;
}

/* What was there before it is shown first, if it is of another interval. */
static void begin_window(struct replay *r, const struct recorded_line *line, uint64_t since_ns,
			 uint64_t now_ns)
{
	if (!r->has_first) {
		r->has_first = true;
		r->first_ns = since_ns;
	}
	if (r->has_samples && r->interval_ns &&
	    bucket_of(r, since_ns, now_ns) != bucket_of(r, r->since_ns, r->since_ns))
		show_interval(r, false);
	if (!r->has_samples || since_ns < r->since_ns)
		r->since_ns = since_ns;
	if (!r->has_samples || now_ns > r->now_ns)
		r->now_ns = now_ns;
	r->has_samples = true;
	r->real_offset_ns = offset_of(r, line);
}

/* NULL: it had not been attached, so a file that has rows of it is odd. */
static struct attachment *attachment_of(const struct replay *r, const struct source *source,
					const struct recorded_line *line)
{
	size_t place = source->places[line->table->monitor];

	return place < r->attached.nr ? r->attached.list[place] : NULL;
}

static void add_sample(struct replay *r, const struct source *source,
		       const struct recorded_line *line)
{
	struct attachment *at = attachment_of(r, source, line);

	if (!at || !take_over(r, source, line->row))
		return;
	r->last_place = source->places[line->table->monitor];
	if (r->options->saw)
		r->options->saw(r->options->ctx, line->row);
	if (at->monitor->load)
		at->monitor->load(at, line->row, line->more);
	if (!samples__add(at->samples, line->table->view, line->row))
		memory__is_short();
}

/* A row as it was: in the section of its table. */
static void show_row(struct replay *r, const struct source *source,
		     const struct recorded_line *line, enum scope scope)
{
	const struct attachment *at = attachment_of(r, source, line);
	const struct window window = {
		.out = r->sink->out,
		.selection = sink__selection(r->sink),
		.scope = scope,
		.since_ns = scope == SCOPE_TOTAL ? r->report.window.since_ns : 0,
		.now_ns = scope == SCOPE_TOTAL ? r->report.window.now_ns : 0,
	};

	if (!at || !take_over(r, source, line->row))
		return;
	if (r->open_events != at || r->open_view != line->table->view) {
		close_events(r);
		window__begin(&window, at->monitor, line->table->view);
		r->open_events = at;
		r->open_view = line->table->view;
	}
	output__set_clock(window.out, offset_of(r, line));
	if (selection__has(window.selection, at->monitor->columns, 1U << line->table->view,
			   line->row))
		output__row(window.out, line->row, 0);
}

/* The run's own total: what it has seen of series that never grew is in no interval. */
static void begin_total(struct replay *r, const struct recorded_line *line)
{
	const struct window window = {
		.out = r->sink->out,
		.selection = sink__selection(r->sink),
		.scope = SCOPE_TOTAL,
		.since_ns = line->since_ns,
		.now_ns = line->now_ns,
	};

	show_interval(r, true);
	close_events(r);
	for (size_t i = 0; i < r->attached.nr; i++) {
		struct attachment *at = r->attached.list[i];
		struct samples *samples = new_samples(at);

		forget_state(at);
		if (!samples)
			memory__is_short();
		else
			samples__free(at->samples);
		at->samples = samples ?: at->samples;
	}
	r->shows_total = true;
	clock__set_real_offset(offset_of(r, line));
	report__open(&r->report, &r->env, &r->attached, 0, &window);
}

static void end_total(struct replay *r)
{
	close_events(r);
	report__close(&r->report);
	r->shows_total = false;
	r->total_is_shown = true;
}

/* The tables that were written before it come first. */
static void show_in_interval(struct replay *r, const struct source *source,
			     const struct recorded_line *line)
{
	if (!r->shows_interval) {
		const struct window window = {
			.out = r->sink->out,
			.selection = sink__selection(r->sink),
			.scope = SCOPE_INTERVAL,
			.since_ns = r->since_ns,
			.now_ns = r->now_ns,
		};

		close_events(r);
		clock__set_real_offset(r->real_offset_ns);
		report__open(&r->report, &r->env, &r->attached, 0, &window);
		r->shows_interval = true;
	}
	if (r->report.next <= r->last_place && r->has_samples) {
		close_events(r);
		report__write_until(&r->report, r->last_place + 1);
	}
	show_row(r, source, line, SCOPE_EVENT);
}

static void end_interval(struct replay *r)
{
	r->is_complete = !r->interval_ns;
	if (!r->shows_interval)
		return;
	close_events(r);
	report__close(&r->report);
	r->shows_interval = r->has_samples = r->is_complete = false;
}

/* Tables before the row's, and its monitor's own, come first. */
static void show_in_total(struct replay *r, const struct source *source,
			  const struct recorded_line *line)
{
	size_t place = source->places[line->table->monitor];

	if (place < r->attached.nr && r->report.next <= place) {
		close_events(r);
		report__write_until(&r->report, place + 1);
	}
	show_row(r, source, line, line->what == RECORDED_EVENT ? SCOPE_EVENT : SCOPE_TOTAL);
}

static bool has_scope(struct json_object *obj, const char *scope)
{
	const char *is = json_object_get_string(json_object_object_get(obj, "scope"));

	return is && !strcmp(is, scope);
}

/* The VM is known from here on. False: it was, or is not asked for. */
static bool learn_vm(struct replay *r, const struct source *source, struct json_object *obj)
{
	const char *name = json_object_get_string(json_object_object_get(obj, "vm")),
		   *id = json_object_get_string(json_object_object_get(obj, "vm_id"));
	uint32_t pid = json_object_get_uint64(json_object_object_get(obj, "pid"));
	struct known_vm *vm = vm_of(r, source, id);

	if (!vm || !name)
		return false;
	read_identity(&vm->who, obj);
	if (vm->is_told || !filter__has_vm(r->options->filter, pid, name, &vm->who))
		return false;
	vm->is_told = true;
	return true;
}

static void take_object(struct replay *r, const struct source *source, struct json_object *obj)
{
	if (has_scope(obj, "summary")) {
		json_object_array_add(r->summaries, json_object_get(obj));
		return;
	}
	if (has_scope(obj, "vm") && !learn_vm(r, source, obj))
		return;
	close_events(r);
	output__object(r->sink->out, json_object_get(obj));
}

/* Reading */

/* A file alone, as a whole: then its own total is the total. */
static bool is_whole(const struct replay *r)
{
	return r->nr_sources == 1 && !r->options->from_ns && !r->options->to_ns;
}

static void end_source(struct source *source)
{
	const char *why = recording__why(source->rec);

	source->ended = true;
	if (why && recording__is_damaged(source->rec))
		say_failed("replay: %s: %s", source->head->path, why);
	else if (why)
		say("replay: %s: %s", source->head->path, why);
}

/* Up to the end of its next interval, or its own. */
static void read_source(struct replay *r, struct source *source)
{
	bool wanted = false, total = false, in_window = false;

	for (;;) {
		const struct recorded_line *line = recording__next(source->rec);
		uint64_t since_ns = line->since_ns + source->shift_ns,
			 now_ns = line->now_ns + source->shift_ns;

		if (r->is_complete && line->what != RECORDED_WINDOW &&
		    line->what != RECORDED_OBJECT)
			show_interval(r, false);
		switch (line->what) {
		case RECORDED_END:
			/* An interval that is not whole is left out. */
			if (in_window && wanted && !total && !r->interval_ns)
				r->has_samples = false;
			end_source(source);
			return;
		case RECORDED_OBJECT:
			if (r->is_complete)
				show_interval(r, false);
			take_object(r, source, line->object);
			break;
		case RECORDED_WINDOW:
			total = line->scope == SCOPE_TOTAL;
			wanted = total ? is_whole(r) :
					 is_asked_for(r, source, line->since_ns, line->now_ns);
			if (r->is_complete && !(total && wanted))
				show_interval(r, false);
			if (wanted && total)
				begin_total(r, line);
			else if (wanted)
				begin_window(r, line, since_ns, now_ns);
			in_window = true;
			r->last_place = 0;
			break;
		case RECORDED_SAMPLE:
			if (wanted)
				add_sample(r, source, line);
			break;
		case RECORDED_EVENT:
		case RECORDED_LIST:
			if (total && wanted)
				show_in_total(r, source, line);
			else if (line->what == RECORDED_EVENT && r->options->events &&
				 is_asked_for(r, source, line->row->ts_ns, line->row->ts_ns)) {
				if (in_window && wanted && !r->interval_ns)
					show_in_interval(r, source, line);
				else
					show_row(r, source, line, SCOPE_EVENT);
			}
			break;
		case RECORDED_WINDOW_END:
			source->at_ns = now_ns;
			if (total && wanted)
				end_total(r);
			else if (wanted)
				end_interval(r);
			return;
		}
	}
}

static struct source *next_source(const struct replay *r)
{
	struct source *next = NULL;

	for (size_t i = 0; i < r->nr_sources; i++)
		if (!r->sources[i].ended && (!next || r->sources[i].at_ns < next->at_ns))
			next = &r->sources[i];
	return next;
}

static void write_starts(struct replay *r)
{
	for (size_t i = 0; i < r->nr_sources; i++) {
		struct json_object *start = r->sources[i].head->start;

		if (i && same_run(r->sources[i].head, r->sources[i - 1].head))
			continue;
		if (r->interval_ns)
			json_object_object_add(start, "interval_ns",
					       json_object_new_uint64(r->interval_ns));
		output__object(r->sink->out, json_object_get(start));
	}
}

/* What the runs had lost, for people: the output has it, too. */
static void say_losses(struct json_object *summary)
{
	struct json_object *lost = json_object_object_get(summary, "lost");

	if (!json_object_is_type(lost, json_type_object))
		return;
	json_object_object_foreach(lost, kind, count)
	{
		if (json_object_get_uint64(count))
			say("lost during the recording: %" PRIu64 " %s",
			    json_object_get_uint64(count), kind);
	}
}

static void write_summaries(struct replay *r)
{
	for (size_t i = 0; !r->options->quiet && i < json_object_array_length(r->summaries); i++) {
		struct json_object *summary = json_object_array_get_idx(r->summaries, i);

		output__object(r->sink->out, json_object_get(summary));
		say_losses(summary);
	}
}

int replay__run(struct replay *r, const struct replay_options *options, struct sink *sink)
{
	struct source *source;
	int err = 0;

	r->options = options;
	r->sink = sink;
	r->interval_ns = options->interval_ns;
	r->env.sinks = sink;
	r->env.filter = options->filter;
	r->env.events = options->events;
	host__set_vendor(r->sources[0].head->vendor);
	clock__set_real_offset(r->sources[0].head->real_offset_ns);
	/* Side by side only what is of the same time. */
	if (!r->interval_ns && options->by_file && r->nr_sources > 1)
		r->interval_ns = replay__interval_ns(r);
	for (size_t i = 0; i < r->attached.nr; i++)
		r->attached.list[i]->shows_events =
			options->events && replay__had_events(r, r->attached.list[i]->monitor);
	write_starts(r);
	while (!err && (source = next_source(r))) {
		read_source(r, source);
		err = output__flush(sink->out);
	}
	if (err)
		return -err;
	if (r->shows_total)
		end_total(r);
	if (r->shows_interval)
		end_interval(r);
	if (!r->total_is_shown) {
		show_interval(r, true);
		if (r->has_first)
			show(r, SCOPE_TOTAL, r->first_ns, r->now_ns, false);
	}
	close_events(r);
	write_summaries(r);
	return -output__finish(sink->out);
}
