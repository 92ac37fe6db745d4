// SPDX-License-Identifier: GPL-2.0-only
#include "model.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "../core/memory.h"
#include "../core/times.h"
#include "../output/format.h"

enum { MOST_EVENTS = 4096, MOST_TEXT = 400 };

/* What a vCPU's row tells of its time: columns of the table VCPU_LOAD. */
static const char *const spent_columns[] = {
	[SPENT_GUEST] = "guest_ns",   [SPENT_KVM] = "kvm_ns",	      [SPENT_VMM] = "vmm_ns",
	[SPENT_STEAL] = "steal_ns",   [SPENT_BLOCKED] = "blocked_ns", [SPENT_POLL] = "poll_ns",
	[SPENT_HALTED] = "halted_ns",
};

/* A frame that is being written. */
struct building {
	bool open;
	uint64_t since_ns, now_ns;
	bool is_total;
	struct buf tables[MODEL_TABLES];
	size_t nr[MODEL_TABLES];
	bool has[MODEL_TABLES];
	struct buf strings;
	uint32_t *places; /* hash table of strings: their place + 1 */
	size_t nr_places, nr_strings;
	struct model_vm *vms;		  /* names are places in strings */
	uint32_t *names, *ids, *findings; /* of ids and findings + 1 */
	size_t nr_vms, room_vms;
	uint32_t *vm_places; /* hash table of VMs: their place + 1 */
	size_t nr_vm_places;
	bool failed;
};

struct model {
	struct table tables[MODEL_TABLES];
	size_t nr_tables;
	const struct table *load;
	const struct column *spent[NR_SPENT], *wall;

	struct building building;
	const struct table *current; /* that rows are of; NULL: nobody's */
	int64_t real_offset_ns;
	uint64_t next_nr;
	void (*on_frame)(void *ctx);
	void *ctx;
	struct model_rules rules;

	pthread_mutex_t lock;  /* of all below */
	struct frame **frames; /* a ring */
	size_t first, nr, room;
	size_t bytes, most_bytes;
	struct frame *total;
	uint64_t evicted;
	bool failed;
	bool had[MODEL_TABLES];
	bool ended;
	bool guest_is_hidden; /* its time is in KVM's */
	struct missing *missing;
	size_t nr_missing;
	uint64_t lost;
};

/* Tables */

static bool keeps(const struct column *col, unsigned int bit)
{
	if (col->views && !(col->views & bit))
		return false;
	if (col->flags & COL_HIDDEN)
		return false;
	/* Nobody is shown these, and they are large. */
	if (col->type == COL_OBJECT && (col->flags & COL_DATA_ONLY) && col->role != ROLE_LABEL)
		return false;
	return col->type != COL_TIMES && col->type != COL_TALLY && col->type != COL_BITS;
}

static void add_table(struct model *m, const struct monitor *monitor, size_t monitor_at,
		      unsigned int view)
{
	struct table *t = &m->tables[m->nr_tables];

	if (m->nr_tables == MODEL_TABLES)
		return;
	*t = (struct table){
		.monitor = monitor,
		.view = &monitor->views[view],
		.at = m->nr_tables++,
		.monitor_at = monitor_at,
		.view_bit = 1U << view,
		.of_events = monitor->event &&
			     (view == monitor->event_view ||
			      (monitor->slow_view && view == monitor->slow_view)) &&
			     !monitor->views[view].samples,
	};
	for (const struct column *col = monitor->columns; col->name; col++) {
		if (keeps(col, t->view_bit) && t->nr_columns < TABLE_COLUMNS)
			t->columns[t->nr_columns++] = col;
		/* The one that costs comes last where there are two: halts, and wake-ups. */
		if (col->type == COL_TIMES && (!col->views || (col->views & t->view_bit)) &&
		    (!t->times || (col->flags & COL_COST)))
			t->times = col;
	}
}

int table__column(const struct table *t, const char *name)
{
	for (size_t i = 0; i < t->nr_columns; i++)
		if (!strcmp(t->columns[i]->name, name))
			return i;
	return -1;
}

bool model__has_had(const struct model *m, const struct table *t)
{
	return __atomic_load_n(&m->had[t->at], __ATOMIC_RELAXED);
}

const struct table *model__find(const struct model *m, const char *name)
{
	for (size_t i = 0; i < m->nr_tables; i++)
		if (!strcmp(m->tables[i].view->name, name))
			return &m->tables[i];
	return NULL;
}

size_t model__nr_tables(const struct model *m)
{
	return m->nr_tables;
}

const struct table *model__table(const struct model *m, size_t at)
{
	return &m->tables[at];
}

static void find_spent(struct model *m)
{
	m->load = model__find(m, "VCPU_LOAD");
	if (!m->load)
		return;
	for (int i = 0; i < NR_SPENT; i++) {
		int at = table__column(m->load, spent_columns[i]);

		m->spent[i] = at < 0 ? NULL : m->load->columns[at];
		if (at < 0)
			m->load = NULL;
		if (!m->load)
			return;
	}
	m->wall = m->load->columns[table__column(m->load, "wall_ns")];
}

struct model *model__new(const struct monitor *const *monitors, size_t nr_monitors,
			 size_t most_bytes)
{
	struct model *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	pthread_mutex_init(&m->lock, NULL);
	m->most_bytes = most_bytes;
	for (size_t i = 0; i < nr_monitors; i++)
		for (unsigned int view = 0; monitors[i]->views[view].title; view++)
			add_table(m, monitors[i], i, view);
	find_spent(m);
	return m;
}

/* Frames */

static void free_frame(struct frame *f)
{
	if (!f)
		return;
	free(f->vms);
	free(f->data);
	free(f->strings);
	free(f);
}

void model__free(struct model *m)
{
	struct building *b;

	if (!m)
		return;
	b = &m->building;
	model__clear(m);
	free_frame(m->total);
	free(m->frames);
	for (size_t i = 0; i < MODEL_TABLES; i++)
		buf__free(&b->tables[i]);
	buf__free(&b->strings);
	free(b->places);
	free(b->vms);
	free(b->names);
	free(b->ids);
	free(b->findings);
	free(b->vm_places);
	free(m->missing);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

void model__on_frame(struct model *m, void (*call)(void *ctx), void *ctx)
{
	m->on_frame = call;
	m->ctx = ctx;
}

void model__end(struct model *m)
{
	__atomic_store_n(&m->ended, true, __ATOMIC_RELAXED);
}

void model__set_rules(struct model *m, const struct model_rules *rules)
{
	m->rules = *rules;
}

void model__lock(struct model *m)
{
	pthread_mutex_lock(&m->lock);
}

void model__unlock(struct model *m)
{
	pthread_mutex_unlock(&m->lock);
}

size_t model__nr_frames(const struct model *m)
{
	return m->nr;
}

struct frame *model__frame(const struct model *m, size_t at)
{
	/* There is room for those that are there: said for the analyzer. */
	return at < m->nr && m->room ? m->frames[(m->first + at) % m->room] : NULL;
}

size_t model__place(const struct model *m, uint64_t nr)
{
	size_t low = 0, high = m->nr;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (model__frame(m, middle)->nr < nr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

size_t model__bytes(const struct model *m)
{
	return m->bytes;
}

uint64_t model__evicted(const struct model *m)
{
	return m->evicted;
}

bool model__failed(const struct model *m)
{
	return m->failed;
}

struct frame *frame__get(struct frame *f)
{
	if (f)
		f->users++;
	return f;
}

void model__put(struct model *m, struct frame *f)
{
	(void)m;
	if (f && !--f->users)
		free_frame(f);
}

static void drop_oldest(struct model *m)
{
	struct frame *f = m->frames[m->first];

	m->first = (m->first + 1) % m->room;
	m->nr--;
	m->bytes -= f->size;
	model__put(m, f);
}

void model__clear(struct model *m)
{
	model__lock(m);
	while (m->nr)
		drop_oldest(m);
	m->evicted = 0;
	model__unlock(m);
}

struct frame *model__take_total(struct model *m)
{
	return frame__get(m->total);
}

static bool make_room(struct model *m)
{
	size_t room = m->room ? 2 * m->room : 64;
	struct frame **frames;

	if (m->nr < m->room)
		return true;
	frames = calloc(room, sizeof(*frames));
	if (!frames)
		return false;
	for (size_t i = 0; i < m->nr; i++)
		frames[i] = model__frame(m, i);
	free(m->frames);
	m->frames = frames;
	m->first = 0;
	m->room = room;
	return true;
}

static void keep_frame(struct model *m, struct frame *f)
{
	f->users = 1;
	if (f->is_total) {
		model__put(m, m->total);
		m->total = f;
		return;
	}
	if (!make_room(m)) {
		m->failed = true;
		free_frame(f);
		return;
	}
	m->frames[(m->first + m->nr++) % m->room] = f;
	m->bytes += f->size;
	/* What is shown is kept by who shows it. */
	while (m->bytes > m->most_bytes && m->nr > 1) {
		drop_oldest(m);
		m->evicted++;
	}
}

/* Writing */

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 0x100000001b3ULL;
	return hash;
}

#define HASH_BEGIN 0xcbf29ce484222325ULL

static uint64_t hash_text(uint64_t hash, const char *text)
{
	return hash_bytes(hash, text ?: "\377", text ? strlen(text) + 1 : 1);
}

static uint64_t hash_number(uint64_t hash, uint64_t number)
{
	hash ^= number;
	hash *= 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 29;
}

static bool grow_places(struct building *b)
{
	size_t nr = b->nr_places ? 2 * b->nr_places : 1024;
	uint32_t *places = calloc(nr, sizeof(*places));

	if (!places)
		return false;
	for (size_t i = 0; i < b->nr_places; i++) {
		uint64_t at;

		if (!b->places[i])
			continue;
		at = hash_text(HASH_BEGIN, b->strings.data + b->places[i] - 1);
		while (places[at & (nr - 1)])
			at++;
		places[at & (nr - 1)] = b->places[i];
	}
	free(b->places);
	b->places = places;
	b->nr_places = nr;
	return true;
}

/* The place of a string, which is copied once. */
static uint32_t keep_text(struct building *b, const char *text)
{
	uint64_t at = hash_text(HASH_BEGIN, text);
	uint32_t place;

	if (2 * b->nr_strings >= b->nr_places && !grow_places(b)) {
		b->failed = true;
		return 0;
	}
	for (;; at++) {
		uint32_t *known = &b->places[at & (b->nr_places - 1)];

		if (*known && strcmp(b->strings.data + *known - 1, text) != 0)
			continue;
		if (*known)
			return *known - 1;
		place = b->strings.len;
		buf__add(&b->strings, text, strlen(text) + 1);
		*known = place + 1;
		b->nr_strings++;
		return place;
	}
}

static uint64_t vm_key(const struct row *row)
{
	uint64_t hash = hash_text(HASH_BEGIN, row->vm);

	hash = hash_text(hash, row->vm_id);
	return hash_number(hash, row->pid) | 1;
}

static bool grow_vms(struct building *b)
{
	size_t room = b->room_vms ? 2 * b->room_vms : 64;
	struct model_vm *vms = reallocarray(b->vms, room, sizeof(*vms));
	uint32_t *names, *ids, *findings, *places;

	if (vms)
		b->vms = vms;
	names = reallocarray(b->names, room, sizeof(*names));
	if (names)
		b->names = names;
	ids = reallocarray(b->ids, room, sizeof(*ids));
	if (ids)
		b->ids = ids;
	findings = reallocarray(b->findings, room, sizeof(*findings));
	if (findings)
		b->findings = findings;
	places = calloc(4 * room, sizeof(*places));
	if (!vms || !names || !ids || !findings || !places) {
		free(places);
		return false;
	}
	for (size_t i = 0; i < b->nr_vms; i++) {
		uint64_t at = b->vms[i].key >> 1;

		while (places[at & (4 * room - 1)])
			at++;
		places[at & (4 * room - 1)] = i + 1;
	}
	free(b->vm_places);
	b->vm_places = places;
	b->nr_vm_places = 4 * room;
	b->room_vms = room;
	return true;
}

/* Its place; UINT32_MAX: it is of none. */
static uint32_t keep_vm(struct building *b, const struct row *row)
{
	uint64_t key, at;

	if (!row->vm)
		return UINT32_MAX;
	key = vm_key(row);
	if (b->nr_vms == b->room_vms && !grow_vms(b)) {
		b->failed = true;
		return UINT32_MAX;
	}
	for (at = key >> 1;; at++) {
		uint32_t *known = &b->vm_places[at & (b->nr_vm_places - 1)];

		if (*known && b->vms[*known - 1].key != key)
			continue;
		if (*known)
			return *known - 1;
		*known = b->nr_vms + 1;
		b->vms[b->nr_vms] = (struct model_vm){ .key = key, .pid = row->pid };
		b->names[b->nr_vms] = keep_text(b, row->vm);
		b->ids[b->nr_vms] = row->vm_id ? keep_text(b, row->vm_id) + 1 : 0;
		b->findings[b->nr_vms] = 0;
		return b->nr_vms++;
	}
}

static void put_varint(unsigned char **p, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*(*p)++ = value | 0x80;
	*(*p)++ = value;
}

static uint64_t get_varint(const unsigned char **p)
{
	uint64_t value = 0;
	int shift = 0;

	for (;; shift += 7) {
		unsigned char byte = *(*p)++;

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
}

/* A row in memory: this, both masks, the values, the buckets. */
struct head {
	uint64_t labels;
	uint32_t vm, tid, vcpu, len;
};

enum { MOST_ROW = sizeof(struct head) + 64 + TABLE_COLUMNS * 10UL + STAT_BUCKETS * 15UL };

/* The text of a cell that has one, for a moment; NULL: absent. */
static const char *text_of(const struct column *col, const struct row *row, struct buf *scratch)
{
	const char *const *strings;
	struct json_object *obj;

	buf__reset(scratch);
	switch (col->type) {
	case COL_STRING:
		return cell__string(col, row);
	case COL_STRINGS:
		strings = cell__strings(col, row);
		if (!strings)
			return NULL;
		for (size_t i = 0; strings[i] && scratch->len < MOST_TEXT; i++)
			buf__printf(scratch, "%s%s", i ? "," : "", strings[i]);
		break;
	default:
		obj = cell__object(col, row);
		if (!obj)
			return NULL;
		buf__object(scratch, obj, col->flags & COL_BIG_HEX);
	}
	if (scratch->len > MOST_TEXT)
		scratch->data[MOST_TEXT] = '\0';
	return scratch->data ?: "";
}

/* False: it is zero. */
static bool put_cell(struct building *b, const struct column *col, const struct row *row,
		     unsigned char **p, bool *absent, uint64_t *hash)
{
	static _Thread_local struct buf scratch;
	const char *text;
	uint64_t number;
	int64_t is;
	double real;
	float small;
	bool flag;

	*absent = false;
	switch (col->type) {
	case COL_STRING:
	case COL_STRINGS:
	case COL_OBJECT:
		text = text_of(col, row, &scratch);
		*absent = !text;
		*hash = hash_text(HASH_BEGIN, text);
		if (!text || !*text)
			return false;
		put_varint(p, keep_text(b, text));
		return true;
	case COL_S64:
		*absent = !cell__signed(col, row, &is);
		*hash = is;
		if (*absent || !is)
			return false;
		put_varint(p, (uint64_t)is << 1 ^ (is < 0 ? ~0ULL : 0));
		return true;
	case COL_PERCENT:
	case COL_DOUBLE:
		*absent = !cell__real(col, row, &real);
		*hash = 0;
		if (*absent || real == 0)
			return false;
		small = real;
		memcpy(*p, &small, sizeof(small));
		*p += sizeof(small);
		return true;
	case COL_BOOL:
		*absent = !cell__bool(col, row, &flag);
		*hash = *absent ? 2 : flag;
		if (*absent || !flag)
			return false;
		put_varint(p, 1);
		return true;
	default:
		*absent = !cell__number(col, row, &number);
		*hash = number;
		if (*absent || !number)
			return false;
		put_varint(p, number);
		return true;
	}
}

static void put_buckets(const struct table *t, const struct row *row, unsigned char **p)
{
	const struct times *times;
	size_t nr = 0;

	if (!t->times) {
		put_varint(p, 0);
		return;
	}
	times = (const struct times *)((const char *)row + t->times->offset);
	for (size_t i = 0; i < STAT_BUCKETS; i++)
		nr += times->hist[i] != 0;
	put_varint(p, nr);
	for (size_t i = 0, last = 0; nr && i < STAT_BUCKETS; i++) {
		if (!times->hist[i])
			continue;
		put_varint(p, i - last);
		put_varint(p, times->hist[i]);
		last = i;
	}
}

static uint64_t number_at(const struct column *col, const struct row *row)
{
	uint64_t number;

	return cell__number(col, row, &number) ? number : 0;
}

/*
 * A vCPU that was outside of KVM_RUN all the time stands still: its VM is paused, or it is not
 * started yet.
 */
static bool stands_still(uint64_t vmm_ns, uint64_t wall_ns)
{
	return vmm_ns >= wall_ns - wall_ns / 1000;
}

uint64_t lost_of(const uint64_t spent[NR_SPENT], uint64_t work_ns, bool guest_is_known)
{
	if (!guest_is_known)
		return spent[SPENT_VMM] + spent[SPENT_STEAL] + spent[SPENT_BLOCKED];
	return work_ns > spent[SPENT_GUEST] ? work_ns - spent[SPENT_GUEST] : 0;
}

static void add_spent(const struct model *m, struct model_vm *vm, const struct row *row)
{
	uint64_t spent[NR_SPENT], wall = number_at(m->wall, row), idle, work;

	for (int i = 0; i < NR_SPENT; i++)
		spent[i] = number_at(m->spent[i], row);
	if (!wall)
		return;
	vm->vcpus++;
	if (stands_still(spent[SPENT_VMM], wall))
		return;
	idle = spent[SPENT_HALTED] + spent[SPENT_POLL];
	work = wall > idle ? wall - idle : 0;
	vm->wall_ns += wall;
	vm->work_ns += work;
	vm->lost_ns += lost_of(spent, work, !m->guest_is_hidden);
	vm->guest_is_hidden = m->guest_is_hidden;
	for (int i = 0; i < NR_SPENT; i++)
		vm->spent_ns[i] += spent[i];
}

double pain_of(double lost_ns, double work_ns, double wall_ns)
{
	/* Less work than that is noise. */
	const double least_work = 0.05;
	double work = fmax(work_ns, least_work * wall_ns);

	return wall_ns > 0 ? lost_ns / work : NAN;
}

static void put_row(struct model *m, const struct row *row)
{
	const struct table *t = m->current;
	struct building *b = &m->building;
	unsigned char data[MOST_ROW], *p = data + sizeof(struct head);
	unsigned char values[TABLE_COLUMNS * 10], *v = values;
	struct head head = { .labels = HASH_BEGIN };
	uint64_t some = 0, none = 0;

	head.vm = keep_vm(b, row);
	head.tid = t->view->per_vcpu ? row->tid : UINT32_MAX;
	head.vcpu = t->view->per_vcpu ? row->vcpu : UINT32_MAX;
	for (size_t i = 0; i < t->nr_columns; i++) {
		bool absent;
		uint64_t hash;

		if (put_cell(b, t->columns[i], row, &v, &absent, &hash))
			some |= 1ULL << i;
		else if (absent)
			none |= 1ULL << i;
		if (t->columns[i]->role == ROLE_LABEL)
			head.labels = hash_number(head.labels, hash);
	}
	head.labels |= 1;
	if (t->of_events)
		put_varint(&p, row->ts_ns);
	put_varint(&p, some);
	put_varint(&p, none);
	/* cppcheck-suppress uninitvar; put_cell() has filled what is copied. */
	memcpy(p, values, v - values);
	p += v - values;
	put_buckets(t, row, &p);
	head.len = p - data;
	memcpy(data, &head, sizeof(head));
	buf__add(&b->tables[t->at], data, head.len);
	b->nr[t->at]++;
	if (t == m->load && head.vm != UINT32_MAX)
		add_spent(m, &b->vms[head.vm], row);
}

/* What the rules say of each VM now. */
static void add_findings(struct model *m)
{
	struct building *b = &m->building;
	char text[MOST_TEXT];

	for (size_t i = 0; m->rules.finding && i < b->nr_vms; i++) {
		const char *id = b->ids[i] ? b->strings.data + b->ids[i] - 1 : NULL;

		b->vms[i].severity =
			m->rules.finding(m->rules.ctx, b->vms[i].pid, id, text, sizeof(text));
		if (b->vms[i].severity)
			b->findings[i] = keep_text(b, text) + 1;
	}
}

/* What was built becomes a frame; NULL: no memory. */
static struct frame *make_frame(struct model *m)
{
	struct building *b = &m->building;
	struct frame *f = calloc(1, sizeof(*f));
	size_t size = 0;

	for (size_t i = 0; i < m->nr_tables; i++) {
		b->failed |= b->tables[i].failed;
		size += b->tables[i].len;
	}
	if (!f || b->failed || b->strings.failed) {
		free(f);
		return NULL;
	}
	f->data = malloc(size + 1);
	f->strings = malloc(b->strings.len + 1);
	f->vms = calloc(b->nr_vms + 1, sizeof(*f->vms));
	if (!f->data || !f->strings || !f->vms) {
		free_frame(f);
		return NULL;
	}
	f->nr = m->next_nr;
	f->since_ns = b->since_ns;
	f->now_ns = b->now_ns;
	f->is_total = b->is_total;
	f->real_offset_ns = m->real_offset_ns;
	for (size_t i = 0, at = 0; i < m->nr_tables; i++) {
		f->tables[i] = (struct frame_table){ at, b->tables[i].len, b->nr[i], b->has[i] };
		if (b->tables[i].len)
			memcpy(f->data + at, b->tables[i].data, b->tables[i].len);
		at += b->tables[i].len;
	}
	if (b->strings.len)
		memcpy(f->strings, b->strings.data, b->strings.len);
	f->nr_vms = b->nr_vms;
	for (size_t i = 0; i < b->nr_vms; i++) {
		f->vms[i] = b->vms[i];
		f->vms[i].name = f->strings + b->names[i];
		f->vms[i].id = b->ids[i] ? f->strings + b->ids[i] - 1 : NULL;
		f->vms[i].finding = b->findings[i] ? f->strings + b->findings[i] - 1 : NULL;
	}
	f->size = sizeof(*f) + size + b->strings.len + b->nr_vms * sizeof(*f->vms);
	return f;
}

static void forget_building(struct building *b)
{
	for (size_t i = 0; i < MODEL_TABLES; i++) {
		buf__reset(&b->tables[i]);
		b->nr[i] = 0;
		b->has[i] = false;
	}
	buf__reset(&b->strings);
	b->nr_strings = b->nr_vms = 0;
	if (b->places)
		memset(b->places, 0, b->nr_places * sizeof(*b->places));
	if (b->vm_places)
		memset(b->vm_places, 0, b->nr_vm_places * sizeof(*b->vm_places));
	b->failed = b->open = b->is_total = false;
}

/* The output */

static struct model *model_of(const struct output *out)
{
	return *(struct model **)out->state;
}

static void model_begin_window(struct output *out, enum scope scope, uint64_t since_ns,
			       uint64_t now_ns)
{
	struct model *m = model_of(out);
	struct building *b = &m->building;

	/* Single events that came before it are its own. */
	b->open = true;
	b->is_total = scope == SCOPE_TOTAL;
	b->since_ns = since_ns;
	b->now_ns = now_ns;
	m->real_offset_ns = out->real_offset_ns;
	if (m->rules.out)
		output__begin_window(m->rules.out, scope, since_ns, now_ns);
}

static void model_end_window(struct output *out)
{
	struct model *m = model_of(out);
	struct frame *f;

	if (m->rules.out)
		output__end_window(m->rules.out);
	add_findings(m);
	f = make_frame(m);
	forget_building(&m->building);
	model__lock(m);
	if (f) {
		m->next_nr += !f->is_total;
		keep_frame(m, f);
	} else {
		m->failed = true;
	}
	model__unlock(m);
	if (m->on_frame)
		m->on_frame(m->ctx);
}

static void model_begin(struct output *out)
{
	struct model *m = model_of(out);
	const struct view *view = out->section.view;

	m->current = NULL;
	if (m->rules.out)
		output__begin(m->rules.out, &out->section);
	for (size_t i = 0; i < m->nr_tables && !m->current; i++)
		if (m->tables[i].view == view)
			m->current = &m->tables[i];
	/* A monitor without single events has its first table's name for the section of none. */
	if (m->current && m->current->of_events != (out->section.scope == SCOPE_EVENT))
		m->current = NULL;
	if (!m->current)
		return;
	m->building.has[m->current->at] = true;
	m->had[m->current->at] = true;
}

static void model_row(struct output *out, const struct row *row, unsigned int flags)
{
	struct model *m = model_of(out);

	if (m->rules.out)
		output__row(m->rules.out, row, flags);
	if (!m->current || (flags & ROW_DERIVED))
		return;
	if (m->current->of_events && m->building.nr[m->current->at] >= MOST_EVENTS)
		return;
	put_row(m, row);
}

static const char *member(struct json_object *obj, const char *name)
{
	return json_object_get_string(json_object_object_get(obj, name)) ?: "";
}

/* Of a recording: what its host could not show. */
static void take_start(struct model *m, struct json_object *hooks)
{
	size_t nr =
		json_object_is_type(hooks, json_type_array) ? json_object_array_length(hooks) : 0;
	struct missing *list = calloc(nr + 1, sizeof(*list));
	size_t found = 0;

	if (!list)
		return;
	for (size_t i = 0; i < nr; i++) {
		struct json_object *hook = json_object_array_get_idx(hooks, i);
		struct missing *one = &list[found];

		if (strcmp(member(hook, "state"), "missing") != 0)
			continue;
		snprintf(one->monitor, sizeof(one->monitor), "%s", member(hook, "monitor"));
		snprintf(one->need, sizeof(one->need), "%s", member(hook, "need"));
		snprintf(one->gives, sizeof(one->gives), "%s", member(hook, "missing"));
		snprintf(one->why, sizeof(one->why), "%s", member(hook, "why"));
		found++;
	}
	if (found)
		model__set_missing(m, list, found);
	free(list);
}

static void model_end(struct output *out)
{
	struct model *m = model_of(out);

	if (m->rules.out)
		output__end(m->rules.out);
}

static void model_object(struct output *out, struct json_object *obj)
{
	const char *scope = member(obj, "scope");
	struct model *m = model_of(out);

	if (m->rules.out)
		output__object(m->rules.out, json_object_get(obj));
	if (!strcmp(scope, "start")) {
		take_start(m, json_object_object_get(obj, "hooks"));
	} else if (!strcmp(scope, "summary")) {
		struct json_object *lost = json_object_object_get(obj, "lost");
		uint64_t sum = 0;

		if (!json_object_is_type(lost, json_type_object))
			return;
		json_object_object_foreach(lost, kind, count)
		{
			(void)kind;
			sum += json_object_get_uint64(count);
		}
		model__lock(m);
		model__set_lost(m, model__lost(m) + sum);
		model__unlock(m);
	}
}

static void model_flush(struct output *out)
{
	if (__atomic_load_n(&model_of(out)->ended, __ATOMIC_RELAXED))
		out->err = EPIPE;
}

static const struct output_ops model_ops = {
	.name = "screens",
	.state_size = sizeof(struct model *),
	.begin_window = model_begin_window,
	.end_window = model_end_window,
	.begin = model_begin,
	.row = model_row,
	.end = model_end,
	.object = model_object,
	.flush = model_flush,
	.for_people = true,
	.arranges = true,
};

struct output *model__output(struct model *m)
{
	struct output *out = output__new_nowhere(&model_ops);

	if (out)
		*(struct model **)out->state = m;
	return out;
}

void model__set_missing(struct model *m, const struct missing *list, size_t nr)
{
	struct missing *copy = calloc(nr + 1, sizeof(*copy));

	if (!copy)
		return;
	memcpy(copy, list, nr * sizeof(*copy));
	free(m->missing);
	m->missing = copy;
	m->nr_missing = nr;
	m->guest_is_hidden = false;
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(list[i].monitor, "vcpu_load") &&
		    (!strcmp(list[i].need, "kvm_entry") || !strcmp(list[i].need, "kvm_exit")))
			m->guest_is_hidden = true;
}

size_t model__missing(const struct model *m, const struct missing **list)
{
	*list = m->missing;
	return m->nr_missing;
}

void model__set_lost(struct model *m, uint64_t lost)
{
	m->lost = lost;
}

uint64_t model__lost(const struct model *m)
{
	return m->lost;
}

/* Reading */

double cell__value(const struct cell *cell)
{
	switch (cell->kind) {
	case CELL_U64:
		return cell->u;
	case CELL_S64:
		return cell->s;
	case CELL_REAL:
		return cell->real;
	default:
		return NAN;
	}
}

void cells__read(const struct column *const *columns, size_t nr, const struct row *row,
		 struct cell *cells)
{
	for (size_t i = 0; i < nr; i++) {
		const struct column *col = columns[i];
		struct cell *cell = &cells[i];
		bool there = false, flag;

		switch (col->type) {
		case COL_STRING:
			cell->text = cell__string(col, row);
			there = cell->text;
			cell->kind = CELL_TEXT;
			break;
		case COL_PERCENT:
		case COL_DOUBLE:
			there = cell__real(col, row, &cell->real);
			cell->kind = CELL_REAL;
			break;
		case COL_BOOL:
			there = cell__bool(col, row, &flag);
			*cell = (struct cell){ CELL_U64, .u = flag };
			break;
		default:
			there = cell__number(col, row, &cell->u);
			cell->kind = CELL_U64;
		}
		if (!there)
			*cell = (struct cell){ CELL_NONE };
	}
}

const struct model_vm *frame__vm(const struct frame *f, uint64_t key)
{
	for (size_t i = 0; f && i < f->nr_vms; i++)
		if (f->vms[i].key == key)
			return &f->vms[i];
	return NULL;
}

static void read_cell(const struct frame *f, const struct column *col, bool some, struct cell *cell,
		      const unsigned char **p)
{
	uint64_t number;
	float small;

	switch (col->type) {
	case COL_STRING:
	case COL_STRINGS:
	case COL_OBJECT:
		*cell = (struct cell){ CELL_TEXT, .text = some ? f->strings + get_varint(p) : "" };
		break;
	case COL_S64:
		number = some ? get_varint(p) : 0;
		*cell = (struct cell){ CELL_S64, .s = (int64_t)(number >> 1 ^ -(number & 1)) };
		break;
	case COL_PERCENT:
	case COL_DOUBLE:
		small = 0;
		if (some) {
			memcpy(&small, *p, sizeof(small));
			*p += sizeof(small);
		}
		*cell = (struct cell){ CELL_REAL, .real = small };
		break;
	default:
		*cell = (struct cell){ CELL_U64, .u = some ? get_varint(p) : 0 };
	}
}

static void read_row(const struct frame *f, const struct table *t, const struct head *head,
		     const unsigned char *p, struct arena *arena, struct model_row *row)
{
	uint64_t some, none, at = 0;

	*row = (struct model_row){
		.table = t,
		.labels = head->labels,
		.vm = head->vm < f->nr_vms ? &f->vms[head->vm] : NULL,
		.tid = head->tid,
		.vcpu = head->vcpu,
		.nr_merged = 1,
		.cells = arena__get(arena, (t->nr_columns + 1) * sizeof(struct cell)),
	};
	if (t->of_events)
		row->ts_ns = get_varint(&p);
	some = get_varint(&p);
	none = get_varint(&p);
	for (size_t i = 0; i < t->nr_columns; i++)
		if (!(none >> i & 1))
			read_cell(f, t->columns[i], some >> i & 1, &row->cells[i], &p);
	row->nr_buckets = get_varint(&p);
	row->buckets = arena__get(arena, row->nr_buckets * sizeof(*row->buckets));
	for (size_t i = 0; i < row->nr_buckets; i++) {
		at += get_varint(&p);
		row->buckets[i] = (struct bucket){ at, get_varint(&p) };
	}
}

static bool is_picked(const struct frame *f, const struct head *head, const struct pick *pick)
{
	if (!pick)
		return true;
	if (pick->labels && pick->labels != head->labels)
		return false;
	if (pick->tid && pick->tid != head->tid)
		return false;
	return !pick->vm || (head->vm < f->nr_vms && f->vms[head->vm].key == pick->vm);
}

size_t frame__rows(const struct frame *f, const struct table *t, const struct pick *pick,
		   struct arena *arena, struct model_row **rows)
{
	const struct frame_table *of = &f->tables[t->at];
	const unsigned char *data = f->data + of->first;
	size_t nr = 0;
	struct head head;

	for (size_t at = 0; at < of->size; at += head.len) {
		memcpy(&head, data + at, sizeof(head));
		nr += is_picked(f, &head, pick);
	}
	*rows = arena__get(arena, (nr + 1) * sizeof(**rows));
	nr = 0;
	for (size_t at = 0; at < of->size; at += head.len) {
		memcpy(&head, data + at, sizeof(head));
		if (is_picked(f, &head, pick))
			read_row(f, t, &head, data + at + sizeof(head), arena, &(*rows)[nr++]);
	}
	return nr;
}

uint64_t row__key(const struct model_row *row)
{
	uint64_t key = hash_number(row->labels, row->vm ? row->vm->key : 0);

	key = hash_number(key, row->ts_ns);
	return hash_number(key, (uint64_t)row->tid << 32 | row->vcpu);
}

/* Merging */

static int by_group(const void *a, const void *b, void *by_host)
{
	const struct model_row *x = *(struct model_row *const *)a,
			       *y = *(struct model_row *const *)b;
	uint64_t m = x->vm && !*(bool *)by_host ? x->vm->key : 0,
		 n = y->vm && !*(bool *)by_host ? y->vm->key : 0;

	if (m != n)
		return m < n ? -1 : 1;
	if (x->labels != y->labels)
		return x->labels < y->labels ? -1 : 1;
	return (x > y) - (x < y);
}

static void add_buckets(struct model_row *to, const struct model_row *from, struct arena *arena)
{
	struct bucket *sum = arena__get(arena, (to->nr_buckets + from->nr_buckets) * sizeof(*sum));
	size_t i = 0, j = 0, nr = 0;

	while (i < to->nr_buckets || j < from->nr_buckets) {
		if (j == from->nr_buckets ||
		    (i < to->nr_buckets && to->buckets[i].at < from->buckets[j].at)) {
			sum[nr++] = to->buckets[i++];
		} else if (i == to->nr_buckets || from->buckets[j].at < to->buckets[i].at) {
			sum[nr++] = from->buckets[j++];
		} else {
			sum[nr] = to->buckets[i++];
			sum[nr++].count += from->buckets[j++].count;
		}
	}
	to->buckets = sum;
	to->nr_buckets = nr;
}

double buckets__percentile(const struct bucket *buckets, size_t nr, double percent)
{
	uint64_t all = 0, seen = 0, rank;

	for (size_t i = 0; i < nr; i++)
		all += buckets[i].count;
	if (!all)
		return NAN;
	rank = ceil(all * percent / 100);
	for (size_t i = 0; i < nr; i++) {
		seen += buckets[i].count;
		if (seen >= rank)
			return stat_bucket__low(buckets[i].at) +
			       (buckets[i].at + 1 < STAT_BUCKETS ?
					stat_bucket__width(buckets[i].at) / 2 :
					0);
	}
	return NAN;
}

static void add_cell(struct cell *to, const struct cell *from, const struct column *col)
{
	bool is_max = col->times == TIMES_MAX || col->merge == MERGE_MAX;
	bool sums = col->role == ROLE_COUNTER || col->merge == MERGE_SUM ||
		    col->times == TIMES_COUNT || col->times == TIMES_TOTAL ||
		    col->type == COL_DOUBLE || col->type == COL_PERCENT;

	if (from->kind == CELL_NONE)
		return;
	if (to->kind == CELL_NONE) {
		*to = *from;
		return;
	}
	if (to->kind == CELL_TEXT) {
		if (strcmp(to->text, from->text) != 0)
			*to = (struct cell){ CELL_NONE };
	} else if (col->times == TIMES_MIN) {
		if (cell__value(from) < cell__value(to))
			*to = *from;
	} else if (is_max || (!sums && !col->times && !(col->flags & COL_COMPUTED))) {
		if (is_max ? cell__value(from) > cell__value(to) : true)
			*to = *from;
	} else if (sums && to->kind == CELL_REAL) {
		to->real += from->real;
	} else if (sums && to->kind == CELL_S64) {
		to->s += from->s;
	} else if (sums) {
		to->u += from->u;
	} else if (cell__value(from) > cell__value(to)) {
		*to = *from;
	}
}

/* What is derived of the times that are kept; a share is the mean of vCPUs' shares. */
static void derive(struct model_row *row)
{
	const struct table *t = row->table;
	double p;

	for (size_t i = 0; i < t->nr_columns; i++) {
		const struct column *col = t->columns[i];
		struct cell *cell = &row->cells[i];

		if (col->type == COL_PERCENT && cell->kind == CELL_REAL)
			cell->real /= row->vm && row->vm->vcpus > row->nr_merged ? row->vm->vcpus :
										   row->nr_merged;
		if (!col->times || col->times_at != (t->times ? t->times->offset : 0))
			continue;
		p = col->times == TIMES_P50 ? 50 :
		    col->times == TIMES_P90 ? 90 :
		    col->times == TIMES_P99 ? 99 :
					      0;
		if (p)
			p = buckets__percentile(row->buckets, row->nr_buckets, p);
		if (p > 0)
			*cell = (struct cell){ CELL_U64, .u = p };
	}
}

/* The mean is of both sums, where they are there. */
static void derive_mean(struct model_row *row)
{
	const struct table *t = row->table;
	int total = table__column(t, "total_ns"), count = table__column(t, "count");

	for (size_t i = 0; i < t->nr_columns; i++)
		if (t->columns[i]->times == TIMES_MEAN && total >= 0 && count >= 0 &&
		    row->cells[count].u)
			row->cells[i] = (struct cell){ CELL_U64, .u = row->cells[total].u /
								      row->cells[count].u };
}

size_t rows__merge(struct model_row *rows, size_t nr, bool by_host, struct arena *arena,
		   struct model_row **merged)
{
	struct model_row **order = arena__get(arena, (nr + 1) * sizeof(*order));
	size_t found = 0;

	for (size_t i = 0; i < nr; i++)
		order[i] = &rows[i];
	qsort_r(order, nr, sizeof(*order), by_group, &by_host);
	*merged = arena__get(arena, (nr + 1) * sizeof(**merged));
	for (size_t i = 0, end; i < nr; i = end) {
		struct model_row *to = &(*merged)[found++];
		const struct table *t = order[i]->table;

		*to = *order[i];
		to->cells = arena__get(arena, (t->nr_columns + 1) * sizeof(*to->cells));
		memcpy(to->cells, order[i]->cells, t->nr_columns * sizeof(*to->cells));
		for (end = i + 1; end < nr && order[end]->labels == to->labels &&
				  (by_host || order[end]->vm == to->vm);
		     end++) {
			for (size_t c = 0; c < t->nr_columns; c++)
				add_cell(&to->cells[c], &order[end]->cells[c], t->columns[c]);
			add_buckets(to, order[end], arena);
			if (order[end]->vm != to->vm)
				to->vm = NULL;
		}
		to->nr_merged = end - i;
		if (to->nr_merged > 1) {
			to->tid = to->vcpu = UINT32_MAX;
			derive(to);
			derive_mean(to);
		}
	}
	return found;
}
