// SPDX-License-Identifier: GPL-2.0-only
#include "facts.h"

#include <errno.h>
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <json-c/json.h>

#include "../core/attach.h"
#include "../core/clock.h"
#include "../core/loop.h"
#include "../core/monitor.h"
#include "../output/format.h"

/* Only the array grows; what is behind nr is not to be read. NULL: out of memory. */
static void *grow(void *list, size_t nr, size_t size)
{
	/* Powers of two: one allocation for so many. */
	if (nr & (nr - 1))
		return list;
	return reallocarray(list, nr ? 2 * nr : 1, size);
}

#define GROW(_f, _list, _nr)                                          \
	({                                                            \
		void *_more = grow((_list), (_nr), sizeof(*(_list))); \
		if (_more)                                            \
			(_list) = _more;                              \
		else                                                  \
			(_f)->failed = true;                          \
		_more != NULL;                                        \
	})

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

const char *facts__keep(struct facts *f, const char *text)
{
	char **node = tfind(text, &f->strings, by_text), *copy;

	if (node)
		return *node;
	copy = strdup(text);
	if (copy && tsearch(copy, &f->strings, by_text))
		return copy;
	free(copy);
	f->failed = true;
	return "";
}

void facts__init(struct facts *f)
{
	*f = (struct facts){ .vendor = "" };
	if (!GROW(f, f->vms, f->nr_vms))
		return;
	f->vms[f->nr_vms++] =
		(struct fact_vm){ .name = "", .id = "", .cgroup = "", .pid = UINT32_MAX };
}

static void free_window(struct facts_window *window)
{
	for (size_t i = 0; i < window->nr_of; i++) {
		for (size_t j = 0; j < window->of[i].nr; j++) {
			free(window->of[i].list[j]->values);
			free(window->of[i].list[j]);
		}
		free(window->of[i].list);
	}
	free(window->of);
}

void facts__free(struct facts *f)
{
	for (size_t i = 0; i < f->nr_windows; i++)
		free_window(&f->windows[i]);
	free_window(&f->total);
	free(f->windows);
	free(f->vms);
	free(f->needs);
	free(f->monitors);
	tdestroy(f->strings, free);
}

void facts__add_monitor(struct facts *f, const char *name, bool has_hooks)
{
	if (GROW(f, f->monitors, f->nr_monitors))
		f->monitors[f->nr_monitors++] =
			(struct fact_monitor){ facts__keep(f, name), has_hooks };
}

void facts__set_need(struct facts *f, const char *monitor, const char *need, bool missing,
		     const char *why)
{
	for (size_t i = 0; i < f->nr_needs; i++) {
		struct fact_need *known = &f->needs[i];

		if (strcmp(known->monitor, monitor) || strcmp(known->need, need))
			continue;
		/* Of several runs: what one has not seen, nobody knows. */
		if (missing) {
			known->missing = true;
			known->why = facts__keep(f, why);
		}
		return;
	}
	if (GROW(f, f->needs, f->nr_needs))
		f->needs[f->nr_needs++] =
			(struct fact_need){ facts__keep(f, monitor), facts__keep(f, need),
					    facts__keep(f, why), missing };
}

bool facts__has_monitor(const struct facts *f, const char *name)
{
	bool chosen = false, has_hooks = false;

	for (size_t i = 0; i < f->nr_monitors; i++)
		if (!strcmp(f->monitors[i].name, name)) {
			chosen = true;
			has_hooks = f->monitors[i].has_hooks;
		}
	if (!has_hooks)
		return chosen;
	/* One of which nothing could be attached is not told of. */
	for (size_t i = 0; i < f->nr_needs; i++)
		if (!strcmp(f->needs[i].monitor, name))
			return true;
	return false;
}

bool facts__was_not_asked(const struct facts *f, const char *monitor, const char *need)
{
	bool has_hooks = false;

	for (size_t i = 0; i < f->nr_monitors; i++)
		has_hooks |= f->monitors[i].has_hooks && !strcmp(f->monitors[i].name, monitor);
	for (size_t i = 0; i < f->nr_needs; i++)
		if (!strcmp(f->needs[i].monitor, monitor) && !strcmp(f->needs[i].need, need))
			return false;
	return has_hooks;
}

void facts__take_attached(struct facts *f, const struct run *run, const struct chosen *chosen,
			  size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		const struct attachment *at = run__attachment(run, i);
		const struct monitor *m = chosen[i].monitor;

		if (!(run__measured(run) >> i & 1))
			continue;
		facts__add_monitor(f, m->name, m->hooks);
		for (size_t j = 0; j < at->nr_needs; j++)
			facts__set_need(f, m->name, at->needs[j].first->need, !at->needs[j].hook,
					at->needs[j].why);
	}
}

const struct fact_need *facts__missing(const struct facts *f, const char *monitor, const char *need)
{
	for (size_t i = 0; i < f->nr_needs; i++)
		if (f->needs[i].missing && !strcmp(f->needs[i].monitor, monitor) &&
		    !strcmp(f->needs[i].need, need))
			return &f->needs[i];
	return NULL;
}

void facts__begin(struct facts *f, bool total, uint64_t since_ns, uint64_t now_ns)
{
	f->writing = NULL;
	if (total) {
		free_window(&f->total);
		f->total = (struct facts_window){ since_ns, now_ns };
		f->has_total = true;
		f->writing = &f->total;
		return;
	}
	if (!GROW(f, f->windows, f->nr_windows))
		return;
	f->writing = &f->windows[f->nr_windows++];
	*f->writing = (struct facts_window){ since_ns, now_ns };
}

double facts__age_s(const struct facts *f, const struct fact_vm *vm)
{
	unsigned long start;

	/* "PID.START.NR", START in hundredths of a second since the host booted */
	if (sscanf(vm->id, "%*u.%lu", &start) != 1)
		return NAN;
	return f->total.since_ns / 1e9 - start / 100.0;
}

static size_t vm_of(struct facts *f, const char *name, const char *id, uint32_t pid)
{
	size_t i;

	if (!name)
		return 0;
	for (i = 1; i < f->nr_vms; i++)
		if (f->vms[i].pid == pid && !strcmp(f->vms[i].id, id ?: "") &&
		    !strcmp(f->vms[i].name, name))
			return i;
	if (!GROW(f, f->vms, f->nr_vms))
		return 0;
	f->vms[i] = (struct fact_vm){ .name = facts__keep(f, name),
				      .id = facts__keep(f, id ?: ""),
				      .cgroup = "",
				      .pid = pid };
	return f->nr_vms++;
}

struct fact *facts__add(struct facts *f, const char *table, const char *vm, const char *vm_id,
			uint32_t pid, uint32_t tid, uint32_t vcpu)
{
	size_t at = vm_of(f, vm, vm_id, pid);
	struct facts_window *window = f->writing;
	struct facts_of_vm *of;
	struct fact *fact;

	while (window && window->nr_of <= at) {
		if (!GROW(f, window->of, window->nr_of))
			return NULL;
		window->of[window->nr_of++] = (struct facts_of_vm){};
	}
	if (!window)
		return NULL;
	of = &window->of[at];
	fact = calloc(1, sizeof(*fact));
	if (!fact || !GROW(f, of->list, of->nr)) {
		free(fact);
		f->failed = true;
		return NULL;
	}
	fact->table = facts__keep(f, table);
	fact->tid = tid;
	fact->vcpu = vcpu;
	fact->at = of->nr;
	of->sorted = false;
	of->list[of->nr++] = fact;
	return fact;
}

static int by_vcpu(const void *a, const void *b)
{
	const struct fact *x = *(struct fact *const *)a, *y = *(struct fact *const *)b;

	if (x->vcpu != y->vcpu)
		return x->vcpu > y->vcpu ? 1 : -1;
	return (x->at > y->at) - (x->at < y->at);
}

static void sort_window(struct facts_window *window)
{
	for (size_t i = 0; i < window->nr_of; i++) {
		struct facts_of_vm *of = &window->of[i];

		if (of->nr)
			qsort(of->list, of->nr, sizeof(*of->list), by_vcpu);
		for (size_t j = 0; j < of->nr; j++)
			of->list[j]->at = j;
		of->sorted = true;
	}
}

void facts__sort(struct facts *f)
{
	for (size_t i = 0; i < f->nr_windows; i++)
		sort_window(&f->windows[i]);
	sort_window(&f->total);
}

static void add_value(struct facts *f, struct fact *fact, const struct fact_value *value)
{
	if (fact && GROW(f, fact->values, fact->nr))
		fact->values[fact->nr++] = *value;
}

void fact__number(struct facts *f, struct fact *fact, const char *name, double number)
{
	const struct fact_value value = { facts__keep(f, name), NULL, number };

	add_value(f, fact, &value);
}

void fact__text(struct facts *f, struct fact *fact, const char *name, const char *text)
{
	const struct fact_value value = { facts__keep(f, name), facts__keep(f, text), NAN };

	add_value(f, fact, &value);
}

static const struct fact_value *find_value(const struct fact *fact, const char *name)
{
	/* Most names differ in the first letters. */
	for (size_t i = 0; i < fact->nr; i++)
		if (*fact->values[i].name == *name && !strcmp(fact->values[i].name, name))
			return &fact->values[i];
	return NULL;
}

double fact__get(const struct fact *fact, const char *name)
{
	const struct fact_value *value = find_value(fact, name);

	return value && !value->text ? value->number : NAN;
}

const char *fact__get_text(const struct fact *fact, const char *name)
{
	const struct fact_value *value = find_value(fact, name);

	return value ? value->text : NULL;
}

/* The output */

static struct facts *facts_of(const struct output *out)
{
	return *(struct facts **)out->state;
}

static void take_member(struct facts *f, struct fact *fact, const char *name,
			struct json_object *value)
{
	if (json_object_is_type(value, json_type_string))
		fact__text(f, fact, name, json_object_get_string(value));
	else if (json_object_is_type(value, json_type_int) ||
		 json_object_is_type(value, json_type_double) ||
		 json_object_is_type(value, json_type_boolean))
		fact__number(f, fact, name, json_object_get_double(value));
}

/* Each element of an array of objects becomes a fact of its own. */
static void take_array(struct facts *f, const char *table, const struct column *col,
		       const struct row *row, struct json_object *array)
{
	char name[128];

	if (!json_object_is_type(array, json_type_array))
		return;
	snprintf(name, sizeof(name), "%s.%s", table, col->name);
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *one = json_object_array_get_idx(array, i);
		struct fact *fact;

		if (!json_object_is_type(one, json_type_object))
			continue;
		fact = facts__add(f, name, row->vm, row->vm_id, row->pid, row->tid, row->vcpu);
		json_object_object_foreach(one, key, value) take_member(f, fact, key, value);
	}
}

bool fact_value__of(struct fact_value *value, const struct column *col, const struct row *row)
{
	uint64_t number;
	int64_t is;
	bool flag;

	*value = (struct fact_value){ col->name, NULL, NAN };
	switch (col->type) {
	case COL_STRING:
		value->text = cell__string(col, row);
		return value->text;
	case COL_U32:
	case COL_U64:
	case COL_HEX:
	case COL_NSEC:
		if (!cell__number(col, row, &number))
			return false;
		value->number = number;
		return true;
	case COL_S64:
		if (!cell__signed(col, row, &is))
			return false;
		value->number = is;
		return true;
	case COL_PERCENT:
	case COL_DOUBLE:
		return cell__real(col, row, &value->number);
	case COL_BOOL:
		if (!cell__bool(col, row, &flag))
			return false;
		value->number = flag;
		return true;
	default:
		return false;
	}
}

static void take_cell(struct facts *f, struct fact *fact, const struct column *col,
		      const struct row *row)
{
	struct fact_value value;

	if (col->type == COL_OBJECT)
		take_array(f, fact->table, col, row, cell__object(col, row));
	else if (!fact_value__of(&value, col, row))
		return;
	else if (value.text)
		fact__text(f, fact, value.name, value.text);
	else
		fact__number(f, fact, value.name, value.number);
}

static void facts_row(struct output *out, const struct row *row, unsigned int flags)
{
	const struct section *section = &out->section;
	struct facts *f = facts_of(out);
	struct fact *fact;

	if (section->scope == SCOPE_EVENT || (flags & (ROW_DERIVED | ROW_AGAIN)))
		return;
	fact = facts__add(f, section->view->name, row->vm, row->vm_id, row->pid, row->tid,
			  section->view->per_vcpu ? row->vcpu : UINT32_MAX);
	for (const struct column *col = section->columns; fact && col->name; col++)
		if (section__has_data(section, col))
			take_cell(f, fact, col, row);
}

static void facts_begin_window(struct output *out, enum scope scope, uint64_t since_ns,
			       uint64_t now_ns)
{
	facts__begin(facts_of(out), scope == SCOPE_TOTAL, since_ns, now_ns);
}

static const char *member(struct json_object *obj, const char *name)
{
	return json_object_get_string(json_object_object_get(obj, name)) ?: "";
}

void facts__take_start(struct facts *f, struct json_object *start)
{
	struct json_object *host = json_object_object_get(start, "host"),
			   *hooks = json_object_object_get(start, "hooks");

	f->vendor = facts__keep(f, member(host, "vendor"));
	f->cpus = json_object_get_int(json_object_object_get(host, "cpus"));
	if (!json_object_is_type(hooks, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(hooks); i++) {
		struct json_object *hook = json_object_array_get_idx(hooks, i);

		facts__set_need(f, member(hook, "monitor"), member(hook, "need"),
				!strcmp(member(hook, "state"), "missing"), member(hook, "why"));
	}
}

void facts__set_cgroup(struct facts *f, const char *vm, const char *vm_id, uint32_t pid,
		       const char *cgroup)
{
	const char *copy = facts__keep(f, cgroup);
	size_t at = vm_of(f, vm, vm_id, pid);

	f->vms[at].cgroup = copy;
}

static void take_vm(struct facts *f, struct json_object *obj)
{
	facts__set_cgroup(f, member(obj, "vm"), member(obj, "vm_id"),
			  json_object_get_uint64(json_object_object_get(obj, "pid")),
			  member(obj, "cgroup"));
}

static void take_losses(struct facts *f, struct json_object *lost)
{
	if (!json_object_is_type(lost, json_type_object))
		return;
	json_object_object_foreach(lost, kind, count)
	{
		(void)kind;
		f->lost += json_object_get_double(count);
	}
}

/* With --self-cost. Those of hooks that were together in one program have none of their own. */
static void take_runs(struct facts *f, struct json_object *hooks)
{
	size_t nr =
		json_object_is_type(hooks, json_type_array) ? json_object_array_length(hooks) : 0;

	for (size_t i = 0; i < nr; i++) {
		struct json_object *hook = json_object_array_get_idx(hooks, i);

		f->bpf_runs += json_object_get_double(json_object_object_get(hook, "runs"));
		f->bpf_ns += json_object_get_double(json_object_object_get(hook, "run_ns"));
	}
}

static void facts_object(struct output *out, struct json_object *obj)
{
	const char *scope = member(obj, "scope");
	struct facts *f = facts_of(out);

	if (!strcmp(scope, "start"))
		facts__take_start(f, obj);
	else if (!strcmp(scope, "vm") && f->nr_vms)
		take_vm(f, obj);
	else if (!strcmp(scope, "summary")) {
		struct json_object *lost = json_object_object_get(obj, "lost");

		f->self_cpu_ns +=
			json_object_get_double(json_object_object_get(obj, "watching_cpu_ns"));
		take_losses(f, lost);
		take_runs(f, json_object_object_get(obj, "hooks"));
	}
}

static const struct output_ops facts_ops = {
	.name = "facts",
	.state_size = sizeof(struct facts *),
	.begin_window = facts_begin_window,
	.row = facts_row,
	.object = facts_object,
};

void facts__fill(struct output *out, struct facts *f)
{
	*(struct facts **)out->state = f;
}

struct output *facts__output(struct facts *f)
{
	struct output *out = output__new_nowhere(&facts_ops);

	if (out)
		facts__fill(out, f);
	return out;
}
