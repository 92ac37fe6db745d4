// SPDX-License-Identifier: GPL-2.0-only
#include "rolling.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "../core/clock.h"
#include "../output/format.h"

enum {
	CHUNK = 256 * 1024,
	MAX_WANTED = 32,
	MAX_PLANS = 64,
	MAX_SETTINGS = 512,
	LEAST_WINDOWS = 3,
	DEFAULT_AGE = 60,
	VCPU_BITS = 64,
};

static const double LEAST_LOST = 0.02, CRITICAL = 0.20;

/* Rows of an interval: they go when it has been judged. */

struct chunk {
	struct chunk *next;
	size_t used, size;
	char data[];
};

struct arena {
	struct chunk *first, *at;
};

static void *arena__get(struct arena *a, size_t size)
{
	struct chunk *chunk = a->at;
	void *found;

	size = (size + 15) & ~(size_t)15;
	while (chunk && chunk->used + size > chunk->size) {
		chunk = chunk->next;
		if (chunk)
			chunk->used = 0;
	}
	if (!chunk) {
		size_t room = size > CHUNK ? size : CHUNK;

		chunk = malloc(sizeof(*chunk) + room);
		if (!chunk)
			return NULL;
		*chunk = (struct chunk){ .size = room };
		if (a->at) {
			/* Those behind it were too small. */
			chunk->next = a->at->next;
			a->at->next = chunk;
		} else {
			a->first = chunk;
		}
	}
	a->at = chunk;
	found = chunk->data + chunk->used;
	chunk->used += size;
	return found;
}

static char *arena__text(struct arena *a, const char *text)
{
	size_t len = strlen(text) + 1;
	char *copy = arena__get(a, len);

	return copy ? memcpy(copy, text, len) : NULL;
}

static void free_chunks(struct chunk *chunk)
{
	while (chunk) {
		struct chunk *next = chunk->next;

		free(chunk);
		chunk = next;
	}
}

/* What this interval did not use the next one may not need. */
static void arena__empty(struct arena *a)
{
	if (!a->at)
		return;
	free_chunks(a->at->next);
	a->at->next = NULL;
	a->first->used = 0;
	a->at = a->first;
}

/* A VM, and what it has */

struct taken {
	struct fact fact;
	struct taken *next;
};

struct trouble {
	const struct rule *rule;
	bool is[ROLLING_WINDOWS];
	uint64_t vcpus[ROLLING_WINDOWS];
	double cost_ns[ROLLING_WINDOWS], share[ROLLING_WINDOWS];
	enum opinion certainty;
	struct finding last;
};

struct patient {
	struct patient *next; /* of the same hash */
	char *name, *id;
	uint32_t pid;
	uint64_t vm_nr;
	/* Of this interval. */
	uint64_t seen; /* its number */
	struct taken *rows, **end;
	size_t nr_rows;
	double lost_ns, helpers_ns, longest_ns;
	unsigned int vcpus;
	bool matters;
	/* Of the last ones. */
	bool was_there[ROLLING_WINDOWS];
	double seconds[ROLLING_WINDOWS], lost[ROLLING_WINDOWS], explained[ROLLING_WINDOWS];
	unsigned int had_vcpus;
	uint64_t alive; /* the last interval in which vCPUs ran or halted */
	struct trouble *troubles;
	size_t nr_troubles;
	struct rolling_vm shown;
};

/* What of a table is taken. */
struct plan {
	const struct view *view;
	const struct column *columns[MAX_WANTED];
	size_t nr;
	enum { TABLE_OTHER, TABLE_LOAD, TABLE_EXIT, TABLE_THREADS, TABLE_HOST } what;
};

struct setting {
	char *name, *value;
	double number;
	double count; /* of a counter, in this interval */
};

struct rolling {
	struct facts facts; /* what is attached; windows are lent to it */
	struct arena arena;
	struct patient **table;
	size_t nr_table, nr_patients, nr_alive;
	struct patient **order; /* nr_alive of them */
	struct plan plans[MAX_PLANS];
	size_t nr_plans;
	const struct plan *plan; /* of the section */
	uint64_t nr_windows;	 /* number of the one that is open: from 1 on */
	bool is_open;
	uint64_t since_ns, now_ns;
	struct patient *last; /* whose row was the last one */
	const char *last_vm, *last_id;
	struct setting settings[MAX_SETTINGS];
	size_t nr_settings;
	double lost, lost_before, least_age_s;
	uint64_t cost_ns;
	bool failed;
};

static void free_troubles(struct patient *p)
{
	free(p->troubles);
	p->troubles = NULL;
	p->nr_troubles = 0;
}

static void free_patient(struct patient *p)
{
	free_troubles(p);
	free(p->name);
	free(p->id);
	free(p);
}

struct rolling *rolling__new(void)
{
	struct rolling *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	facts__init(&r->facts);
	r->least_age_s = DEFAULT_AGE;
	r->failed = r->facts.failed;
	return r;
}

void rolling__free(struct rolling *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->nr_table; i++)
		for (struct patient *p = r->table[i], *next; p; p = next) {
			next = p->next;
			free_patient(p);
		}
	for (size_t i = 0; i < r->nr_settings; i++) {
		free(r->settings[i].name);
		free(r->settings[i].value);
	}
	free(r->table);
	free(r->order);
	free_chunks(r->arena.first);
	facts__free(&r->facts);
	free(r);
}

static void *take_room(struct rolling *r, size_t size)
{
	void *room = arena__get(&r->arena, size);

	r->failed |= !room;
	return room;
}

/* VMs */

static size_t hash_of(const struct rolling *r, uint32_t pid)
{
	return (size_t)pid * 2654435761U & (r->nr_table - 1);
}

/* As many lists as VMs, about; a power of two. */
static bool resize_table(struct rolling *r)
{
	size_t before = r->nr_table, nr = before ?: 64;
	struct patient **list = r->table;

	while (nr < r->nr_patients)
		nr *= 2;
	while (nr > 64 && nr > 8 * r->nr_patients)
		nr /= 2;
	if (nr == before)
		return true;
	r->table = calloc(nr, sizeof(*r->table));
	if (!r->table) {
		r->table = list;
		r->failed = true;
		return before > 0;
	}
	r->nr_table = nr;
	for (size_t i = 0; i < before; i++)
		for (struct patient *p = list[i], *next; p; p = next) {
			size_t at = hash_of(r, p->pid);

			next = p->next;
			p->next = r->table[at];
			r->table[at] = p;
		}
	free(list);
	return true;
}

static struct patient *find_patient(const struct rolling *r, uint32_t pid, const char *id,
				    const char *name)
{
	struct patient *p = r->nr_table ? r->table[hash_of(r, pid)] : NULL;

	for (; p; p = p->next)
		if (p->pid == pid && (!id || !strcmp(p->id, id)) &&
		    (!name || !strcmp(p->name, name)))
			return p;
	return NULL;
}

static struct patient *new_patient(struct rolling *r, const struct row *row)
{
	struct patient *p;
	size_t at;

	if (!resize_table(r))
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->name = strdup(row->vm);
	p->id = strdup(row->vm_id ?: "");
	if (!p->name || !p->id) {
		free_patient(p);
		return NULL;
	}
	p->pid = row->pid;
	p->vm_nr = row->vm_nr;
	at = hash_of(r, p->pid);
	p->next = r->table[at];
	r->table[at] = p;
	r->nr_patients++;
	return p;
}

static struct patient *patient_of(struct rolling *r, const struct row *row)
{
	struct patient *p = r->last;

	/* Rows of one VM come together, with the same strings. */
	if (!p || r->last_vm != row->vm || r->last_id != row->vm_id || p->pid != row->pid ||
	    p->vm_nr != row->vm_nr)
		p = find_patient(r, row->pid, row->vm_id ?: "", row->vm) ?: new_patient(r, row);
	if (!p) {
		r->failed = true;
		return NULL;
	}
	r->last = p;
	r->last_vm = row->vm;
	r->last_id = row->vm_id;
	if (p->seen != r->nr_windows) {
		p->seen = r->nr_windows;
		p->vm_nr = row->vm_nr;
		p->rows = NULL;
		p->end = &p->rows;
		p->nr_rows = p->vcpus = 0;
		p->lost_ns = p->helpers_ns = p->longest_ns = 0;
		p->matters = false;
	}
	return p;
}

/* Who has gone: five intervals without a word. */
static void forget_gone(struct rolling *r)
{
	for (size_t i = 0; i < r->nr_table; i++) {
		struct patient **at = &r->table[i];

		while (*at) {
			struct patient *p = *at;

			if (p->seen + ROLLING_WINDOWS > r->nr_windows) {
				at = &p->next;
				continue;
			}
			*at = p->next;
			free_patient(p);
			r->nr_patients--;
		}
	}
	resize_table(r);
}

/* Rows */

/* What rules ask for. test_rolling has every rule find by it what it finds by all. */
static const char *const wanted_columns[] = {
	"wall_ns",	  "guest_ns",	    "kvm_ns",	    "vmm_ns",
	"poll_ns",	  "halted_ns",	    "steal_ns",	    "blocked_ns",
	"unaccounted_ns", "thieves_ns",	    "thieves",	    "class",
	"reason",	  "count",	    "total_ns",	    "p50_ns",
	"p99_ns",	  "polled",	    "wake_count",   "wake_p50_ns",
	"poll_ok_ns",	  "poll_failed_ns", "detail_kind",  "number",
	"more",		  "write",	    "to_vmm",	    "name",
	"value",	  "cgroup",	    "role",	    "comm",
	"cpu_ns",	  "delay_ns",	    "major_faults", "irqchip",
	"disabled_exits", "apicv_inhibits", "apicv_active", "guest_debug",
	"exits",	  "irq_injections", "logged_slots", "pin",
	"chip",		  "masked_count",   "ple_spun",	    "pages",
	"guest_count",	  "actor",	    "event",	    "cpus",
	"pcpus",	  "fired",	    "converges",    "rounds",
	"tsc_khz",
};

static bool is_wanted(const char *name)
{
	for (size_t i = 0; i < sizeof(wanted_columns) / sizeof(*wanted_columns); i++)
		if (!strcmp(wanted_columns[i], name))
			return true;
	return false;
}

static const struct plan *plan_of(struct rolling *r, const struct section *section)
{
	struct plan *plan;

	for (size_t i = 0; i < r->nr_plans; i++)
		if (r->plans[i].view == section->view)
			return &r->plans[i];
	if (r->nr_plans == MAX_PLANS)
		return NULL;
	plan = &r->plans[r->nr_plans++];
	*plan = (struct plan){ .view = section->view };
	if (!strcmp(plan->view->name, "VCPU_LOAD"))
		plan->what = TABLE_LOAD;
	else if (!strcmp(plan->view->name, "KVM_USERSPACE_EXIT"))
		plan->what = TABLE_EXIT;
	else if (!strcmp(plan->view->name, "VMM_THREADS"))
		plan->what = TABLE_THREADS;
	else if (!strcmp(plan->view->name, "HOST"))
		plan->what = TABLE_HOST;
	for (const struct column *col = section->columns; col->name; col++)
		if (section__has_data(section, col) && is_wanted(col->name) &&
		    plan->nr < MAX_WANTED)
			plan->columns[plan->nr++] = col;
	return plan;
}

static void put_text(struct rolling *r, struct fact *fact, const char *name, const char *text)
{
	char *copy = arena__text(&r->arena, text);

	r->failed |= !copy;
	if (copy)
		fact->values[fact->nr++] = (struct fact_value){ name, copy, NAN };
}

static void put_number(struct fact *fact, const char *name, double number)
{
	fact->values[fact->nr++] = (struct fact_value){ name, NULL, number };
}

static void put_cell(struct rolling *r, struct fact *fact, const struct column *col,
		     const struct row *row)
{
	struct fact_value value;

	if (!fact_value__of(&value, col, row))
		return;
	if (value.text)
		put_text(r, fact, value.name, value.text);
	else
		put_number(fact, value.name, value.number);
}

static struct fact *add_row(struct rolling *r, struct patient *p, const char *table,
			    const struct row *row, bool per_vcpu, size_t most)
{
	struct taken *taken = take_room(r, sizeof(*taken) + most * sizeof(struct fact_value));

	if (!taken)
		return NULL;
	*taken = (struct taken){
		.fact = { .table = table,
			  .tid = row->tid,
			  .vcpu = per_vcpu ? row->vcpu : UINT32_MAX,
			  .values = (struct fact_value *)(taken + 1) },
	};
	*p->end = taken;
	p->end = &taken->next;
	p->nr_rows++;
	return &taken->fact;
}

/* Who ran instead: of the vCPUs that lost something. */
static void put_thieves(struct rolling *r, struct patient *p, const struct column *col,
			const struct row *row)
{
	struct json_object *array = cell__object(col, row);
	size_t nr =
		json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;

	for (size_t i = 0; i < nr; i++) {
		static const char *const members[] = { "vm", "vm_id", "comm", "name", "ns" };
		struct json_object *one = json_object_array_get_idx(array, i);
		struct fact *fact = add_row(r, p, "VCPU_LOAD.thieves", row, true, 5);

		for (size_t m = 0; fact && m < 5; m++) {
			struct json_object *value = json_object_object_get(one, members[m]);

			if (json_object_is_type(value, json_type_string))
				put_text(r, fact, members[m], json_object_get_string(value));
			else if (value)
				put_number(fact, members[m], json_object_get_double(value));
		}
	}
}

static double get(const struct fact *fact, const char *name)
{
	double value = fact__get(fact, name);

	return isnan(value) ? 0 : value;
}

/* How much the vCPU lost: KVM's time counts where it is told from the guest's. */
static double lost_of(const struct fact *fact)
{
	return (isnan(fact__get(fact, "guest_ns")) ? 0 : get(fact, "kvm_ns")) +
	       get(fact, "vmm_ns") + get(fact, "poll_ns") + get(fact, "steal_ns") +
	       get(fact, "blocked_ns");
}

/* The VM is looked at by rules, if this is why. */
static void weigh(const struct rolling *r, struct patient *p, const struct fact *fact,
		  const struct plan *plan)
{
	double length = r->now_ns - r->since_ns;
	const char *text;

	if (plan->what == TABLE_LOAD) {
		p->vcpus++;
		p->lost_ns += lost_of(fact);
		p->longest_ns = fmax(p->longest_ns, get(fact, "wall_ns"));
		p->matters |= p->lost_ns >= LEAST_LOST * length;
	} else if (plan->what == TABLE_EXIT) {
		text = fact__get_text(fact, "reason");
		p->matters |=
			text && (!strcmp(text, "SHUTDOWN") || !strcmp(text, "INTERNAL_ERROR") ||
				 !strcmp(text, "FAIL_ENTRY"));
	} else if (plan->what == TABLE_THREADS) {
		text = fact__get_text(fact, "role");
		if (!text || strcmp(text, "vcpu") != 0)
			p->helpers_ns += get(fact, "cpu_ns") + get(fact, "delay_ns");
		p->matters |= p->helpers_ns >= LEAST_LOST * length;
	}
}

/* The host's settings are told of once: they stay. */
static void take_setting(struct rolling *r, const struct plan *plan, const struct row *row)
{
	struct setting is = { .number = NAN, .count = NAN };
	struct setting *to = NULL;
	const char *name = NULL, *value = NULL;
	uint64_t number;

	for (size_t i = 0; i < plan->nr; i++) {
		const struct column *col = plan->columns[i];

		if (!strcmp(col->name, "name"))
			name = cell__string(col, row);
		else if (!strcmp(col->name, "value"))
			value = cell__string(col, row);
		else if (!strcmp(col->name, "number") && cell__number(col, row, &number))
			is.number = number;
		else if (!strcmp(col->name, "count") && cell__number(col, row, &number))
			is.count = number;
	}
	if (!name || (!value && isnan(is.number) && isnan(is.count)))
		return;
	for (size_t i = 0; i < r->nr_settings && !to; i++)
		if (!strcmp(r->settings[i].name, name))
			to = &r->settings[i];
	if (!to && r->nr_settings == MAX_SETTINGS)
		return;
	is.name = to ? to->name : strdup(name);
	is.value = value ? strdup(value) : NULL;
	if (!is.name || (value && !is.value)) {
		if (!to)
			free(is.name);
		free(is.value);
		r->failed = true;
		return;
	}
	if (to)
		free(to->value);
	else
		to = &r->settings[r->nr_settings++];
	*to = is;
}

static void take_row(struct rolling *r, const struct row *row)
{
	const struct plan *plan = r->plan;
	struct patient *p;
	struct fact *fact;

	if (!row->vm) {
		if (plan->what == TABLE_HOST)
			take_setting(r, plan, row);
		return;
	}
	p = patient_of(r, row);
	if (!p)
		return;
	fact = add_row(r, p, plan->view->name, row, plan->view->per_vcpu, plan->nr);
	for (size_t i = 0; fact && i < plan->nr; i++)
		put_cell(r, fact, plan->columns[i], row);
	if (!fact)
		return;
	weigh(r, p, fact, plan);
	for (size_t i = 0; i < plan->nr && get(fact, "steal_ns") > 0; i++)
		if (plan->columns[i]->type == COL_OBJECT &&
		    !strcmp(plan->columns[i]->name, "thieves"))
			put_thieves(r, p, plan->columns[i], row);
}

/* Judging */

static int by_vcpu(const void *a, const void *b)
{
	const struct fact *x = *(struct fact *const *)a, *y = *(struct fact *const *)b;

	if (x->vcpu != y->vcpu)
		return x->vcpu > y->vcpu ? 1 : -1;
	return (x->at > y->at) - (x->at < y->at);
}

static struct facts_of_vm rows_of(struct rolling *r, const struct patient *p)
{
	struct facts_of_vm of = { .list = take_room(r, p->nr_rows * sizeof(*of.list)) };

	for (struct taken *row = p->rows; of.list && row; row = row->next) {
		row->fact.at = of.nr;
		of.list[of.nr++] = &row->fact;
	}
	if (of.nr)
		qsort(of.list, of.nr, sizeof(*of.list), by_vcpu);
	for (size_t i = 0; i < of.nr; i++)
		of.list[i]->at = i;
	of.sorted = true;
	return of;
}

static struct facts_of_vm settings_of_host(struct rolling *r)
{
	struct facts_of_vm of = { .sorted = true };
	struct fact *facts = take_room(r, r->nr_settings * sizeof(*facts));
	struct fact_value *values = take_room(r, r->nr_settings * 4 * sizeof(*values));

	of.list = take_room(r, r->nr_settings * sizeof(*of.list));
	if (!facts || !values || !of.list)
		return of;
	for (; of.nr < r->nr_settings; of.nr++) {
		const struct setting *s = &r->settings[of.nr];
		struct fact *fact = &facts[of.nr];

		*fact = (struct fact){ .table = "HOST",
				       .tid = UINT32_MAX,
				       .vcpu = UINT32_MAX,
				       .at = of.nr,
				       .values = &values[4 * of.nr] };
		fact->values[fact->nr++] = (struct fact_value){ "name", s->name, NAN };
		if (s->value)
			fact->values[fact->nr++] = (struct fact_value){ "value", s->value, NAN };
		if (!isnan(s->number))
			put_number(fact, "number", s->number);
		if (!isnan(s->count))
			put_number(fact, "count", s->count);
		of.list[of.nr] = fact;
	}
	return of;
}

/* The VMs that matter, as facts of one window; whose they are is in list. */
static bool lend_window(struct rolling *r, struct facts *f, struct patient **list, size_t nr)
{
	*f = r->facts;
	f->vms = take_room(r, (nr + 1) * sizeof(*f->vms));
	f->total = (struct facts_window){ .since_ns = r->since_ns, .now_ns = r->now_ns };
	f->total.of = take_room(r, (nr + 1) * sizeof(*f->total.of));
	if (!f->vms || !f->total.of)
		return false;
	f->vms[0] = r->facts.vms[0];
	f->total.of[0] = settings_of_host(r);
	for (size_t i = 0; i < nr; i++) {
		f->vms[i + 1] = (struct fact_vm){
			.name = list[i]->name, .id = list[i]->id, .cgroup = "", .pid = list[i]->pid
		};
		f->total.of[i + 1] = rows_of(r, list[i]);
	}
	f->nr_vms = f->total.nr_of = nr + 1;
	f->has_total = true;
	f->lost = r->lost - r->lost_before;
	return true;
}

static struct trouble *trouble_of(struct patient *p, const struct rule *rule)
{
	struct trouble *more;

	for (size_t i = 0; i < p->nr_troubles; i++)
		if (p->troubles[i].rule == rule)
			return &p->troubles[i];
	more = reallocarray(p->troubles, p->nr_troubles + 1, sizeof(*more));
	if (!more)
		return NULL;
	p->troubles = more;
	more = &p->troubles[p->nr_troubles++];
	*more = (struct trouble){ .rule = rule };
	return more;
}

static void take_result(struct rolling *r, struct patient *p, const struct result *result)
{
	size_t at = r->nr_windows % ROLLING_WINDOWS;
	struct trouble *t;

	if (result->state != STATE_FINDING)
		return;
	t = trouble_of(p, result->rule);
	if (!t) {
		r->failed = true;
		return;
	}
	t->is[at] = true;
	t->cost_ns[at] = result->cost_ns;
	t->share[at] = result->share;
	t->certainty = result->certainty;
	for (size_t i = 0; i < result->nr_vcpus; i++)
		t->vcpus[at] |= 1ULL << result->vcpus[i] % VCPU_BITS;
	if (result->finding) {
		t->last = *result->finding;
		t->last.vm = NULL; /* it is of this interval */
	}
}

/* The oldest interval goes, and with it what was in no other one. */
static void begin_interval(struct patient *p, size_t at)
{
	size_t kept = 0;

	p->was_there[at] = false;
	p->seconds[at] = p->lost[at] = p->explained[at] = 0;
	for (size_t i = 0; i < p->nr_troubles; i++) {
		struct trouble *t = &p->troubles[i];
		bool any = false;

		t->is[at] = false;
		t->vcpus[at] = 0;
		t->cost_ns[at] = t->share[at] = 0;
		for (int j = 0; j < ROLLING_WINDOWS; j++)
			any |= t->is[j];
		if (any)
			p->troubles[kept++] = *t;
	}
	p->nr_troubles = kept;
	if (!kept)
		free_troubles(p);
}

/* Sums over the intervals that it was in. */
struct over {
	unsigned int windows;
	double seconds, lost_ns, explained_ns;
};

static struct over over_windows(const struct patient *p)
{
	struct over o = {};

	for (int i = 0; i < ROLLING_WINDOWS; i++) {
		o.windows += p->was_there[i];
		o.seconds += p->seconds[i];
		o.lost_ns += p->lost[i];
		o.explained_ns += p->explained[i];
	}
	return o;
}

static bool is_judged(const struct over *o)
{
	return o->windows >= LEAST_WINDOWS && o->seconds >= LEAST_SECONDS;
}

static unsigned int times_of(const struct trouble *t, uint64_t vcpu)
{
	unsigned int times = 0;

	for (int i = 0; i < ROLLING_WINDOWS; i++)
		times += t->is[i] && (!vcpu || t->vcpus[i] & vcpu);
	return times;
}

/* False: it is no finding (yet, or any more). */
static bool finding_of(const struct trouble *t, const struct over *o, struct rolling_finding *f)
{
	unsigned int least = t->rule->error ? 1 : LEAST_WINDOWS;
	double cost_ns = 0, share = 0;
	uint64_t all = 0;

	*f = (struct rolling_finding){ .rule = t->rule,
				       .certainty = t->certainty,
				       .windows_of = o->windows };
	if (!t->rule->error && !is_judged(o))
		return false;
	for (int i = 0; i < ROLLING_WINDOWS; i++) {
		all |= t->vcpus[i];
		cost_ns += t->cost_ns[i];
		share += t->share[i];
	}
	/* Of a vCPU: the same one has it in three. */
	for (int i = 0; i < VCPU_BITS; i++) {
		unsigned int times = all >> i & 1 ? times_of(t, 1ULL << i) : 0;

		if (times < least || !times)
			continue;
		f->vcpus |= 1ULL << i;
		if (times > f->windows_true)
			f->windows_true = times;
	}
	if (!all)
		f->windows_true = times_of(t, 0);
	if (f->windows_true < least || !f->windows_true)
		return false;
	f->cost_ns = o->seconds > 0 ? cost_ns / o->seconds : 0;
	f->share = o->windows ? share / o->windows : 0;
	f->severity = t->rule->error || f->share >= (t->rule->critical ?: CRITICAL) ?
			      SEVERITY_CRITICAL :
			      SEVERITY_WARNING;
	snprintf(f->object, sizeof(f->object), "%s", t->last.object);
	return true;
}

static bool is_worse(const struct rolling_finding *a, const struct rolling_finding *b)
{
	if (a->rule->error != b->rule->error)
		return a->rule->error;
	return a->cost_ns > b->cost_ns;
}

static void show(struct patient *p)
{
	const struct over o = over_windows(p);
	struct rolling_vm *vm = &p->shown;

	*vm = (struct rolling_vm){
		.pid = p->pid, .vm_nr = p->vm_nr, .vcpus = p->had_vcpus, .judged = is_judged(&o)
	};
	snprintf(vm->name, sizeof(vm->name), "%s", p->name);
	snprintf(vm->id, sizeof(vm->id), "%s", p->id);
	if (o.seconds > 0) {
		vm->lost_ns = o.lost_ns / o.seconds;
		vm->explained_ns = o.explained_ns / o.seconds;
	}
	for (size_t i = 0; i < p->nr_troubles; i++) {
		struct rolling_finding f;

		if (!finding_of(&p->troubles[i], &o, &f))
			continue;
		if (!vm->nr_findings++ || is_worse(&f, &vm->first))
			vm->first = f;
	}
}

static int by_finding(const void *a, const void *b)
{
	const struct rolling_vm *x = &(*(struct patient *const *)a)->shown,
				*y = &(*(struct patient *const *)b)->shown;

	if (!x->nr_findings != !y->nr_findings)
		return x->nr_findings ? -1 : 1;
	if (x->nr_findings && is_worse(&x->first, &y->first))
		return -1;
	if (x->nr_findings && is_worse(&y->first, &x->first))
		return 1;
	if (x->lost_ns != y->lost_ns)
		return x->lost_ns > y->lost_ns ? -1 : 1;
	return (x->pid > y->pid) - (x->pid < y->pid);
}

/* What rules say of the VMs that matter. */
static void judge(struct rolling *r, struct patient **list, size_t nr)
{
	const struct diagnose_options options = { .least_age_s = r->least_age_s,
						  .one_window = true };
	size_t at = r->nr_windows % ROLLING_WINDOWS;
	struct diagnosis d;
	struct facts f;

	if (!nr)
		return;
	if (!lend_window(r, &f, list, nr)) {
		r->failed = true;
		return;
	}
	diagnosis__make(&d, &f, &options);
	for (size_t i = 0; i < d.nr_results; i++)
		if (d.results[i].vm > f.vms)
			take_result(r, list[d.results[i].vm - f.vms - 1], &d.results[i]);
	for (size_t i = 0; i < d.nr_accounts; i++)
		list[d.accounts[i].vm - f.vms - 1]->explained[at] +=
			account__explained(&d.accounts[i]);
	r->failed |= d.failed;
	diagnosis__free(&d);
}

static void end_interval(struct rolling *r)
{
	double length = r->now_ns - r->since_ns;
	size_t at = r->nr_windows % ROLLING_WINDOWS, nr = 0;
	struct patient **list = take_room(r, r->nr_patients * sizeof(*list)), **order;

	if (!list)
		return;
	for (size_t i = 0; i < r->nr_table; i++)
		for (struct patient *p = r->table[i]; p; p = p->next) {
			begin_interval(p, at);
			if (p->seen != r->nr_windows || !p->vcpus)
				continue;
			p->alive = r->nr_windows;
			p->had_vcpus = p->vcpus;
			p->seconds[at] = fmin(p->longest_ns, length) / 1e9;
			p->was_there[at] = 2 * p->longest_ns >= length;
			p->lost[at] = p->lost_ns;
			if (p->matters && p->was_there[at])
				list[nr++] = p;
		}
	judge(r, list, nr);
	forget_gone(r);
	r->nr_alive = 0;
	order = reallocarray(r->order, r->nr_patients + 1, sizeof(struct patient *));
	if (!order) {
		r->failed = true;
		return;
	}
	r->order = order;
	for (size_t i = 0; i < r->nr_table; i++)
		for (struct patient *p = r->table[i]; p; p = p->next) {
			if (p->alive != r->nr_windows)
				continue;
			show(p);
			order[r->nr_alive++] = p;
		}
	if (r->nr_alive)
		qsort(order, r->nr_alive, sizeof(*order), by_finding);
}

/* The output */

static struct rolling *rolling_of(const struct output *out)
{
	return *(struct rolling **)out->state;
}

static void rolling_begin_window(struct output *out, enum scope scope, uint64_t since_ns,
				 uint64_t now_ns)
{
	struct rolling *r = rolling_of(out);

	r->is_open = scope == SCOPE_INTERVAL && now_ns > since_ns;
	if (!r->is_open)
		return;
	r->nr_windows++;
	r->since_ns = since_ns;
	for (size_t i = 0; i < r->nr_settings; i++)
		r->settings[i].count = NAN;
	r->now_ns = now_ns;
	r->last = NULL;
}

static void rolling_begin(struct output *out)
{
	struct rolling *r = rolling_of(out);

	r->plan = r->is_open && out->section.scope == SCOPE_INTERVAL ? plan_of(r, &out->section) :
								       NULL;
	/* One that is attached anew may have other strings. */
	r->last = NULL;
}

static void rolling_row(struct output *out, const struct row *row, unsigned int flags)
{
	struct rolling *r = rolling_of(out);

	if (r->plan && r->plan->nr && !(flags & (ROW_DERIVED | ROW_AGAIN)))
		take_row(r, row);
}

static void rolling_end_window(struct output *out)
{
	struct rolling *r = rolling_of(out);
	uint64_t began = clock__ns();

	if (!r->is_open)
		return;
	r->is_open = false;
	end_interval(r);
	arena__empty(&r->arena);
	r->lost_before = r->lost;
	r->cost_ns = clock__ns() - began;
}

static void rolling_object(struct output *out, struct json_object *obj)
{
	const char *scope = json_object_get_string(json_object_object_get(obj, "scope"));

	if (scope && !strcmp(scope, "start"))
		facts__take_start(&rolling_of(out)->facts, obj);
}

static const struct output_ops rolling_ops = {
	.name = "rolling",
	.state_size = sizeof(struct rolling *),
	.begin_window = rolling_begin_window,
	.end_window = rolling_end_window,
	.begin = rolling_begin,
	.row = rolling_row,
	.object = rolling_object,
};

struct output *rolling__output(struct rolling *r)
{
	struct output *out = output__new_nowhere(&rolling_ops);

	if (out)
		*(struct rolling **)out->state = r;
	return out;
}

/* What is attached */

void rolling__set_least_age(struct rolling *r, double seconds)
{
	r->least_age_s = seconds;
}

void rolling__forget_needs(struct rolling *r)
{
	struct facts fresh;

	facts__init(&fresh);
	fresh.vendor = facts__keep(&fresh, r->facts.vendor);
	fresh.cpus = r->facts.cpus;
	facts__free(&r->facts);
	r->facts = fresh;
}

void rolling__add_monitor(struct rolling *r, const char *name, bool has_hooks)
{
	facts__add_monitor(&r->facts, name, has_hooks);
}

void rolling__set_need(struct rolling *r, const char *monitor, const char *need, bool missing,
		       const char *why)
{
	facts__set_need(&r->facts, monitor, need, missing, why);
}

void rolling__take_attached(struct rolling *r, const struct run *run, const struct chosen *chosen,
			    size_t nr)
{
	rolling__forget_needs(r);
	facts__take_attached(&r->facts, run, chosen, nr);
}

void rolling__set_lost(struct rolling *r, double events)
{
	r->lost = events;
}

/* Copies */

size_t rolling__nr_vms(const struct rolling *r)
{
	return r->nr_alive;
}

size_t rolling__nr_known(const struct rolling *r)
{
	return r->nr_patients;
}

bool rolling__vm(const struct rolling *r, size_t i, struct rolling_vm *vm)
{
	if (i >= r->nr_alive)
		return false;
	*vm = r->order[i]->shown;
	return true;
}

bool rolling__find(const struct rolling *r, uint32_t pid, const char *id, struct rolling_vm *vm)
{
	const struct patient *p = find_patient(r, pid, id, NULL);

	if (!p || !p->shown.pid)
		return false;
	*vm = p->shown;
	return true;
}

size_t rolling__findings(const struct rolling *r, uint32_t pid, const char *id,
			 struct rolling_detail *list, size_t most)
{
	const struct patient *p = find_patient(r, pid, id, NULL);
	struct over o;
	size_t nr = 0;

	if (!p)
		return 0;
	o = over_windows(p);
	for (size_t i = 0; i < p->nr_troubles && most; i++) {
		const struct trouble *t = &p->troubles[i];
		struct rolling_detail one = { .nr_evidence = t->last.nr_evidence };
		size_t at = nr;

		if (!finding_of(t, &o, &one.finding))
			continue;
		memcpy(one.evidence, t->last.evidence, sizeof(one.evidence));
		memcpy(one.claims, t->last.claims, sizeof(one.claims));
		while (at && is_worse(&one.finding, &list[at - 1].finding))
			at--;
		if (at == most)
			continue;
		nr += nr < most;
		memmove(&list[at + 1], &list[at], (nr - at - 1) * sizeof(*list));
		list[at] = one;
	}
	return nr;
}

const struct rule *rolling__blind(const struct rolling *r, size_t i, char why[ROLLING_WHY])
{
	const struct rule *rule;

	for (size_t at = 0; (rule = rule__at(at)); at++)
		if (rule__is_blind(rule, &r->facts, why, ROLLING_WHY) && !i--)
			return rule;
	return NULL;
}

bool rolling__has_failed(const struct rolling *r)
{
	return r->failed;
}

uint64_t rolling__cost_ns(const struct rolling *r)
{
	return r->cost_ns;
}
