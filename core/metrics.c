// SPDX-License-Identifier: GPL-2.0-only
#include "metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "../output/text.h"
#include "clock.h"
#include "monitor.h"
#include "times.h"

enum {
	/* Upper ends of buckets: 2^10, 2^12 ... 2^32 ns, which are edges of the kernel's. */
	FIRST_EDGE = 10,
	EDGE_STEP = 2,
	NR_EDGES = 12,
	NR_BUCKETS = NR_EDGES + 1, /* and all */
	LINES_OF_HISTOGRAM = NR_BUCKETS + 2,
	MAX_GROUPS = 64, /* bits of struct metrics_vm_state.closed */
	LEAST_NODES = 1024,
	MAX_NAME = 128,	   /* bytes of a label's value */
	MAX_FOLDED = 4096, /* of each VM, that are told apart for their number */
	PEER_BUCKETS = 1024,
	MAX_KEYS = 64, /* members of an object that become series */
};

static const char other[] = "(other)";

/* A family: rows of one name in monitors' tables, or of nobody's. */
struct family {
	char *name; /* without _total and _info */
	const struct metric *metric;
	struct member {
		struct group *group;
		size_t index; /* of the group's metrics */
	} * members;
	size_t nr_members;
	struct own *own;
	size_t nr_own, room_own;
};

/* Metrics of a monitor that have the same labels: they are found together. */
struct group {
	const struct monitor *monitor;
	const struct metric **metrics;
	const struct column **columns;
	size_t nr;
	unsigned int views;
	bool by_vcpu;
	size_t number, lines;
	struct node *first, *last; /* in the order in which they came */
};

struct value {
	bool is_there;
	union {
		uint64_t number;
		double real;
		struct buckets {
			uint64_t count[NR_BUCKETS], sum_ns;
		} * times;
	};
};

/* What a group's metrics are for one set of labels of one VM. */
struct node {
	struct group *group;
	struct peer *vm;
	struct node *next;	      /* in the bucket */
	struct node *before, *behind; /* in the group */
	struct node *sibling;	      /* of the VM */
	uint64_t hash;
	uint64_t weight; /* what it brought in the window that it is new in */
	bool is_new, is_other;
	char *labels; /* escaped, with commas between them and none around */
	struct value values[];
};

/* A VM that is shown; or what is of none of them. */
struct peer {
	struct peer *next;
	struct peer *alike; /* the next one in the bucket of its id */
	char *id;	    /* NULL: of none */
	char *name;	    /* as rows have it */
	char *label;	    /* as series have it, escaped */
	char *shown;	    /* the same, as it is */
	char *vmm, *uuid;
	uint64_t nr;
	uint32_t pid;
	bool is_told;	 /* it was there when this window began */
	bool has_ended;	 /* and is shown for the last time */
	bool waits;	 /* one that has ended is shown by that name for the last time */
	bool is_old;	 /* it was in a sample before */
	bool is_folded;	 /* all that it does is the rest's */
	bool is_rest;	 /* what has no room, of all VMs */
	uint64_t closed; /* groups of which what is new is folded */
	uint64_t apart;	 /* groups of which what is new is the rest's */
	uint64_t *folded;
	size_t nr_folded;
	struct node *nodes;
};

/* A series of no monitor. */
struct own {
	char *labels;
	struct peer *vm;
	double value;
	bool is_there;
};

struct metrics {
	struct metrics_options options;
	struct family *families;
	size_t nr_families;
	struct group *groups[MAX_GROUPS];
	size_t nr_groups;
	struct node **buckets;
	size_t nr_buckets, nr_nodes, lines;
	size_t lines_of_vm; /* that has each family once */
	struct peer *peers, **last_peer, *host, *rest;
	struct peer *by_id[PEER_BUCKETS];
	uint64_t latest, latest_before; /* numbers of VMs that are known */
	size_t nr_vcpus;
	bool level_is_set, failed;
	/* The section whose rows come. */
	const struct section *section;
	struct group *now[MAX_GROUPS];
	size_t nr_now;
	bool in_interval;
	struct buf labels, scratch;
};

struct sink_state {
	struct metrics *m;
};

/* Text */

/* A label's value: readable by everyone, whatever is in it. */
static void add_escaped(struct buf *buf, struct buf *scratch, const char *text)
{
	size_t len = text__cut(text, strlen(text), MAX_NAME);

	buf__reset(scratch);
	buf__add(scratch, text, len);
	buf__neutralise(scratch, 0);
	if (scratch->failed) {
		buf->failed = true;
		return;
	}
	for (size_t i = 0; i < scratch->len; i++) {
		char c = scratch->data[i];

		if (c == '\\' || c == '"')
			buf__putc(buf, '\\');
		buf__putc(buf, c);
	}
}

static void add_label(struct buf *buf, struct buf *scratch, const char *name, const char *value)
{
	if (buf->len)
		buf__putc(buf, ',');
	buf__puts(buf, name);
	buf__puts(buf, "=\"");
	add_escaped(buf, scratch, value);
	buf__putc(buf, '"');
}

const char *metric__full_name(const struct metric *metric, char *text, size_t size)
{
	snprintf(text, size, "%s%s", metric->name,
		 metric->type == METRIC_COUNTER ? "_total" :
		 metric->type == METRIC_INFO	? "_info" :
						  "");
	return text;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), less = strlen(end);

	return len > less && !strcmp(text + len - less, end);
}

/* What families are */

static struct family *get_family(struct metrics *m, const struct metric *metric)
{
	struct family *more;

	for (size_t i = 0; i < m->nr_families; i++)
		if (!strcmp(m->families[i].name, metric->name))
			return &m->families[i];
	more = reallocarray(m->families, m->nr_families + 1, sizeof(*more));
	if (!more)
		return NULL;
	m->families = more;
	more += m->nr_families;
	*more = (struct family){ .name = strdup(metric->name), .metric = metric };
	if (!more->name)
		return NULL;
	m->nr_families++;
	return more;
}

static bool add_member(struct metrics *m, struct group *group, size_t index)
{
	struct family *family = get_family(m, group->metrics[index]);
	struct member *more;

	if (!family)
		return false;
	more = reallocarray(family->members, family->nr_members + 1, sizeof(*more));
	if (!more)
		return false;
	family->members = more;
	more[family->nr_members++] = (struct member){ group, index };
	return true;
}

static const struct column *column_at(const struct monitor *monitor, const struct metric *metric)
{
	for (const struct column *col = monitor->columns; col->name; col++)
		if (col->offset == metric->at && (!col->views || (col->views & metric->views)))
			return col;
	return NULL;
}

static const struct column *label_column(const struct group *group, size_t at)
{
	for (const struct column *col = group->monitor->columns; col->name; col++)
		if (col->offset == at && col->role == ROLE_LABEL &&
		    (!col->views || (col->views & group->views)))
			return col;
	return NULL;
}

static bool is_per_vcpu(const struct monitor *monitor, unsigned int views)
{
	for (unsigned int view = 0; monitor->views[view].title; view++)
		if ((views >> view & 1) && monitor->views[view].per_vcpu)
			return true;
	return false;
}

/* Whether it is of each vCPU; -1: it is left out, because a VM has no such number. */
static int level_of(const struct metrics *m, const struct monitor *monitor,
		    const struct metric *metric)
{
	bool of_vcpu = is_per_vcpu(monitor, metric->views);

	if (!of_vcpu)
		return 0;
	if (m->options.by == METRICS_BY_VCPU)
		return 1;
	if (metric->type == METRIC_GAUGE)
		return m->options.by == METRICS_BY_VM ? -1 : 1;
	return m->options.by == METRICS_AUTO && metric->by_vcpu;
}

static bool same_labels(const struct group *group, const struct metric *metric)
{
	const struct metric *of = group->metrics[0];

	if (of->key || metric->key || of->of_window != metric->of_window)
		return false;
	for (size_t i = 0; i < MAX_METRIC_LABELS; i++) {
		const struct metric_label *a = &of->labels[i], *b = &metric->labels[i];

		if (!a->name != !b->name)
			return false;
		if (a->name && (strcmp(a->name, b->name) || a->at != b->at))
			return false;
	}
	return true;
}

static struct group *get_group(struct metrics *m, const struct monitor *monitor,
			       const struct metric *metric, bool by_vcpu)
{
	struct group *group;

	for (size_t i = 0; i < m->nr_groups; i++)
		if (m->groups[i]->monitor == monitor && m->groups[i]->by_vcpu == by_vcpu &&
		    same_labels(m->groups[i], metric))
			return m->groups[i];
	if (m->nr_groups == MAX_GROUPS)
		return NULL;
	group = calloc(1, sizeof(*group));
	if (!group)
		return NULL;
	*group = (struct group){ .monitor = monitor, .by_vcpu = by_vcpu, .number = m->nr_groups };
	m->groups[m->nr_groups++] = group;
	return group;
}

static bool add_metric(struct metrics *m, const struct monitor *monitor,
		       const struct metric *metric)
{
	const struct column *col = column_at(monitor, metric);
	int level = level_of(m, monitor, metric);
	const struct metric **metrics;
	const struct column **columns;
	struct group *group;

	if (level < 0 || !col)
		return col;
	group = get_group(m, monitor, metric, level);
	if (!group)
		return false;
	metrics = reallocarray(group->metrics, group->nr + 1, sizeof(*metrics));
	if (!metrics)
		return false;
	group->metrics = metrics;
	columns = reallocarray(group->columns, group->nr + 1, sizeof(*columns));
	if (!columns)
		return false;
	group->columns = columns;
	metrics[group->nr] = metric;
	columns[group->nr] = col;
	group->nr++;
	group->views |= metric->views;
	group->lines += metric->type == METRIC_HISTOGRAM ? LINES_OF_HISTOGRAM : 1;
	return add_member(m, group, group->nr - 1);
}

/* When the first window begins: levels are fixed from then on. */
static bool set_levels(struct metrics *m)
{
	size_t lines = 0;

	for (size_t i = 0; m->options.by == METRICS_AUTO && i < m->options.nr_chosen; i++) {
		const struct monitor *monitor = m->options.chosen[i].monitor;

		for (const struct metric *metric = monitor->metrics; metric && metric->name;
		     metric++)
			if (metric->by_vcpu && is_per_vcpu(monitor, metric->views))
				lines += metric->type == METRIC_HISTOGRAM ? LINES_OF_HISTOGRAM : 1;
	}
	if (lines * m->nr_vcpus > m->options.limit / 2)
		m->options.by = METRICS_BY_VM;
	for (size_t i = 0; i < m->options.nr_chosen; i++) {
		const struct monitor *monitor = m->options.chosen[i].monitor;

		for (const struct metric *metric = monitor->metrics; metric && metric->name;
		     metric++)
			if (!add_metric(m, monitor, metric))
				return false;
	}
	for (size_t i = 0; i < m->nr_groups; i++)
		m->lines_of_vm += m->groups[i]->lines;
	m->level_is_set = true;
	return true;
}

/* VMs */

static void free_value(const struct group *group, size_t i, struct value *value)
{
	if (group->metrics[i]->type == METRIC_HISTOGRAM)
		free(value->times);
}

static void free_node(struct metrics *m, struct node *node)
{
	struct group *group = node->group;
	struct node **at = &m->buckets[node->hash % m->nr_buckets];

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	*(node->before ? &node->before->behind : &group->first) = node->behind;
	*(node->behind ? &node->behind->before : &group->last) = node->before;
	for (size_t i = 0; i < group->nr; i++)
		free_value(group, i, &node->values[i]);
	m->lines -= group->lines;
	m->nr_nodes--;
	free(node->labels);
	free(node);
}

static void free_peer(struct metrics *m, struct peer *peer)
{
	while (peer->nodes) {
		struct node *node = peer->nodes;

		peer->nodes = node->sibling;
		free_node(m, node);
	}
	free(peer->id);
	free(peer->name);
	free(peer->label);
	free(peer->shown);
	free(peer->vmm);
	free(peer->uuid);
	free(peer->folded);
	free(peer);
}

static size_t bucket_of(const char *id)
{
	uint32_t hash = 0x811c9dc5;

	/* FNV-1a */
	for (; *id; id++)
		hash = (hash ^ (unsigned char)*id) * 0x1000193;
	return hash % PEER_BUCKETS;
}

static struct peer *find_peer(const struct metrics *m, const char *id)
{
	struct peer *peer = m->by_id[bucket_of(id)];

	while (peer && strcmp(peer->id, id) != 0)
		peer = peer->alike;
	return peer;
}

/* Out of the lists that at and its id are in. */
static void remove_peer(struct metrics *m, struct peer **at)
{
	struct peer *peer = *at, **alike = &m->by_id[bucket_of(peer->id)];

	while (*alike != peer)
		alike = &(*alike)->alike;
	*alike = peer->alike;
	*at = peer->next;
	if (!*at)
		m->last_peer = at;
	free_peer(m, peer);
}

static struct peer *holder_of(const struct metrics *m, const struct peer *self, const char *label)
{
	for (struct peer *peer = m->peers; peer; peer = peer->next)
		if (peer != self && peer->label && !strcmp(peer->label, label))
			return peer;
	return NULL;
}

static bool set_text(char **to, const char *text)
{
	char *copy = strdup(text ?: "");

	if (!copy)
		return false;
	free(*to);
	*to = copy;
	return true;
}

/* True where nobody has that name now; else *holder does. */
static bool try_label(struct metrics *m, struct peer *peer, const char *name, struct peer **holder)
{
	struct buf *buf = &m->labels;

	buf__reset(buf);
	add_escaped(buf, &m->scratch, name);
	buf__puts(buf, "");
	if (buf->failed) {
		m->failed = true;
		return true;
	}
	*holder = holder_of(m, peer, buf->len ? buf->data : "");
	if (*holder)
		return false;
	if (!set_text(&peer->label, buf->len ? buf->data : "") ||
	    !set_text(&peer->shown, m->scratch.len ? m->scratch.data : ""))
		m->failed = true;
	return true;
}

/*
 * Names are given once: whoever has one keeps it. Who comes later is NAME@PID; where the one
 * before has ended, it gets the name when that one is gone.
 */
static void name_peer(struct metrics *m, struct peer *peer)
{
	char text[MAX_NAME + 64];
	struct peer *holder;

	peer->waits = false;
	/* An empty label is none to Prometheus: those without a name would be one. */
	if (*peer->name) {
		if (try_label(m, peer, peer->name, &holder))
			return;
		peer->waits = holder->has_ended || !holder->is_told;
	}
	if (peer->waits) {
		free(peer->label);
		peer->label = NULL;
		return;
	}
	snprintf(text, sizeof(text), "%.*s@%" PRIu32,
		 (int)text__cut(peer->name, strlen(peer->name), MAX_NAME - 16), peer->name,
		 peer->pid);
	if (try_label(m, peer, text, &holder))
		return;
	snprintf(text, sizeof(text), "%.64s@%s", peer->name, peer->id);
	if (!try_label(m, peer, text, &holder))
		peer->waits = true;
}

static struct peer *add_peer(struct metrics *m, const char *id, const char *name, uint64_t nr,
			     uint32_t pid)
{
	struct peer *peer = calloc(1, sizeof(*peer)), **bucket;

	if (!peer || (id && !set_text(&peer->id, id)) || !set_text(&peer->name, name)) {
		m->failed = true;
		if (peer)
			free_peer(m, peer);
		return NULL;
	}
	peer->nr = nr;
	peer->pid = pid;
	*m->last_peer = peer;
	m->last_peer = &peer->next;
	if (id) {
		bucket = &m->by_id[bucket_of(id)];
		peer->alike = *bucket;
		*bucket = peer;
	}
	if (nr > m->latest)
		m->latest = nr;
	return peer;
}

void metrics__vm(struct metrics *m, const struct metrics_vm *vm)
{
	struct peer *peer = find_peer(m, vm->id);

	if (!peer)
		peer = add_peer(m, vm->id, vm->name, vm->nr, vm->pid);
	if (!peer)
		return;
	peer->is_told = true;
	if (vm->nr > m->latest)
		m->latest = vm->nr;
	if (!peer->vmm && (!set_text(&peer->vmm, vm->vmm) || !set_text(&peer->uuid, vm->uuid)))
		m->failed = true;
	if (!strcmp(peer->name, vm->name))
		return;
	if (!set_text(&peer->name, vm->name))
		m->failed = true;
	free(peer->label);
	peer->label = NULL;
}

static void set_absent(struct group *group, struct node *node)
{
	for (size_t i = 0; i < group->nr; i++)
		if (group->metrics[i]->of_window)
			node->values[i].is_there = false;
}

void metrics__begin(struct metrics *m, size_t nr_vcpus)
{
	struct peer **at = &m->peers;

	m->nr_vcpus = nr_vcpus;
	if (!m->level_is_set && !set_levels(m))
		m->failed = true;
	m->latest_before = m->latest;
	while (*at) {
		struct peer *peer = *at;

		peer->is_told = !peer->id || peer->is_rest;
		if (!peer->has_ended) {
			at = &peer->next;
			continue;
		}
		remove_peer(m, at);
	}
	for (size_t i = 0; i < m->nr_groups; i++)
		for (struct node *node = m->groups[i]->first; node; node = node->behind)
			set_absent(m->groups[i], node);
	for (size_t i = 0; i < m->nr_families; i++)
		for (size_t j = 0; j < m->families[i].nr_own; j++)
			m->families[i].own[j].is_there = false;
}

const char *metrics__vm_name(const struct metrics *m, const char *id)
{
	const struct peer *peer = find_peer(m, id);

	return peer && peer->label ? peer->shown : NULL;
}

/* Whose a row is; NULL: nobody's who is shown. */
static struct peer *peer_of(struct metrics *m, const struct row *row)
{
	struct peer *peer;

	if (!row->vm_id) {
		/* A remainder has a name alone; without one it is the host's, or not known. */
		if (row->vm)
			return NULL;
		if (!m->host)
			m->host = add_peer(m, NULL, "", 0, 0);
		return m->host;
	}
	peer = find_peer(m, row->vm_id);
	if (peer)
		return peer;
	/* What comes late of one that is gone would be shown as a new one. */
	if (row->vm_nr <= m->latest_before)
		return NULL;
	return add_peer(m, row->vm_id, row->vm ?: "", row->vm_nr, row->pid);
}

/* Series */

static uint64_t hash_of(const struct group *group, const struct peer *vm, const char *labels)
{
	uint64_t hash = 0xcbf29ce484222325ULL ^ (uintptr_t)group ^ (uint64_t)(uintptr_t)vm << 17;

	/* FNV-1a */
	for (; *labels; labels++)
		hash = (hash ^ (unsigned char)*labels) * 0x100000001b3ULL;
	return hash;
}

static struct node *find_node(const struct metrics *m, const struct group *group,
			      const struct peer *vm, const char *labels, uint64_t hash)
{
	struct node *node = m->buckets[hash % m->nr_buckets];

	for (; node; node = node->next)
		if (node->hash == hash && node->group == group && node->vm == vm &&
		    !strcmp(node->labels, labels))
			return node;
	return NULL;
}

static void grow_nodes(struct metrics *m)
{
	size_t nr = m->nr_buckets * 2;
	struct node **more = calloc(nr, sizeof(*more));

	if (!more)
		return;
	free(m->buckets);
	m->buckets = more;
	m->nr_buckets = nr;
	for (size_t i = 0; i < m->nr_groups; i++)
		for (struct node *node = m->groups[i]->first; node; node = node->behind) {
			node->next = more[node->hash % nr];
			more[node->hash % nr] = node;
		}
}

static struct node *add_node(struct metrics *m, struct group *group, struct peer *vm,
			     const char *labels, uint64_t hash)
{
	struct node *node = calloc(1, sizeof(*node) + group->nr * sizeof(node->values[0]));
	struct node **bucket;

	if (!node)
		return NULL;
	node->labels = strdup(labels);
	for (size_t i = 0; node->labels && i < group->nr; i++)
		if (group->metrics[i]->type == METRIC_HISTOGRAM) {
			node->values[i].times = calloc(1, sizeof(*node->values[i].times));
			if (!node->values[i].times)
				goto cleanup;
		}
	if (!node->labels)
		goto cleanup;
	if (m->nr_nodes >= m->nr_buckets)
		grow_nodes(m);
	node->group = group;
	node->vm = vm;
	node->hash = hash;
	bucket = &m->buckets[hash % m->nr_buckets];
	node->next = *bucket;
	*bucket = node;
	node->before = group->last;
	*(group->last ? &group->last->behind : &group->first) = node;
	group->last = node;
	node->sibling = vm->nodes;
	vm->nodes = node;
	node->is_new = true;
	m->lines += group->lines;
	m->nr_nodes++;
	return node;
cleanup:
	for (size_t i = 0; i < group->nr; i++)
		free_value(group, i, &node->values[i]);
	free(node->labels);
	free(node);
	return NULL;
}

static void label_text(const struct column *col, const struct row *row, char text[64],
		       const char **value)
{
	uint64_t number;
	bool flag;

	*value = text;
	text[0] = '\0';
	switch (col->type) {
	case COL_STRING:
		*value = cell__string(col, row);
		return;
	case COL_BOOL:
		if (cell__bool(col, row, &flag))
			snprintf(text, 64, "%s", flag ? "true" : "false");
		else
			*value = NULL;
		return;
	case COL_HEX:
		if (cell__number(col, row, &number))
			snprintf(text, 64, "0x%" PRIx64, number);
		else
			*value = NULL;
		return;
	case COL_U32:
	case COL_U64:
	case COL_NSEC:
		if (cell__number(col, row, &number))
			snprintf(text, 64, "%" PRIu64, number);
		else
			*value = NULL;
		return;
	default:
		*value = NULL;
	}
}

/* Into m->labels; with row == NULL those of what was folded. */
static const char *make_labels(struct metrics *m, const struct group *group, const struct row *row,
			       const char *key)
{
	const struct metric *metric = group->metrics[0];
	struct buf *buf = &m->labels;
	const char *value;
	char text[64];

	buf__reset(buf);
	if (group->by_vcpu && !row) {
		add_label(buf, &m->scratch, "vcpu", other);
	} else if (group->by_vcpu && row->vcpu != UINT32_MAX) {
		snprintf(text, sizeof(text), "%" PRIu32, row->vcpu);
		add_label(buf, &m->scratch, "vcpu", text);
	}
	for (size_t i = 0; i < MAX_METRIC_LABELS && metric->labels[i].name; i++) {
		const struct column *col = label_column(group, metric->labels[i].at);

		value = other;
		if (row && col)
			label_text(col, row, text, &value);
		if (value && *value && col)
			add_label(buf, &m->scratch, metric->labels[i].name, value);
	}
	if (metric->key)
		add_label(buf, &m->scratch, metric->key, row ? key : other);
	if (buf->failed) {
		m->failed = true;
		return NULL;
	}
	return buf->len ? buf->data : "";
}

static bool has_labels(const struct group *group)
{
	return group->by_vcpu || group->metrics[0]->labels[0].name || group->metrics[0]->key;
}

static struct node *other_of(struct metrics *m, struct group *group, struct peer *vm)
{
	const char *labels = make_labels(m, group, NULL, NULL);
	struct node *node;
	uint64_t hash;

	if (!labels)
		return NULL;
	hash = hash_of(group, vm, labels);
	node = find_node(m, group, vm, labels, hash);
	if (!node)
		node = add_node(m, group, vm, labels, hash);
	if (node)
		node->is_other = true;
	return node;
}

/* Of how many it knows; each of them counts once. */
static void note_folded(struct peer *vm, uint64_t hash)
{
	uint64_t *more;

	for (size_t i = 0; i < vm->nr_folded; i++)
		if (vm->folded[i] == hash)
			return;
	if (vm->nr_folded == MAX_FOLDED)
		return;
	more = reallocarray(vm->folded, vm->nr_folded + 1, sizeof(*more));
	if (!more)
		return;
	vm->folded = more;
	more[vm->nr_folded++] = hash;
}

static struct node *get_node(struct metrics *m, struct group *group, struct peer *vm,
			     const struct row *row, const char *key)
{
	const char *labels;
	struct node *node;
	uint64_t hash;

	if (vm->is_folded)
		return other_of(m, group, m->rest);
	labels = make_labels(m, group, row, key);
	if (!labels)
		return NULL;
	hash = hash_of(group, vm, labels);
	node = find_node(m, group, vm, labels, hash);
	if (node)
		return node;
	if (vm->apart >> group->number & 1) {
		note_folded(vm, hash);
		return other_of(m, group, m->rest);
	}
	if (vm->closed >> group->number & 1) {
		note_folded(vm, hash);
		return other_of(m, group, vm);
	}
	return add_node(m, group, vm, labels, hash);
}

/* Edges are exclusive in the kernel's buckets: what took 2^10 ns to the nanosecond is above it. */
static void add_times(struct buckets *to, const struct times *t)
{
	unsigned int bucket = 0;

	for (int edge = 0; edge < NR_EDGES; edge++) {
		unsigned int end = (FIRST_EDGE + edge * EDGE_STEP - STAT_MIN_SHIFT)
				   << STAT_SUB_BITS;

		for (; bucket < end; bucket++)
			to->count[edge] += t->hist[bucket];
	}
	for (; bucket < STAT_BUCKETS; bucket++)
		to->count[NR_EDGES] += t->hist[bucket];
	to->sum_ns += t->total_ns;
}

static bool real_of(const struct column *col, const struct row *row, double *real)
{
	uint64_t number;
	int64_t sign;
	bool flag;

	switch (col->type) {
	case COL_U32:
	case COL_U64:
	case COL_HEX:
	case COL_NSEC:
		if (!cell__number(col, row, &number))
			return false;
		*real = number;
		return true;
	case COL_S64:
		if (!cell__signed(col, row, &sign))
			return false;
		*real = sign;
		return true;
	case COL_BOOL:
		if (!cell__bool(col, row, &flag))
			return false;
		*real = flag;
		return true;
	case COL_PERCENT:
	case COL_DOUBLE:
		return cell__real(col, row, real);
	default:
		return false;
	}
}

static void take_value(struct node *node, size_t i, const struct row *row)
{
	const struct metric *metric = node->group->metrics[i];
	const struct column *col = node->group->columns[i];
	struct value *value = &node->values[i];
	uint64_t number;
	double real;

	switch (metric->type) {
	case METRIC_COUNTER:
		if (!cell__number(col, row, &number))
			return;
		value->number += number;
		node->weight += number;
		break;
	case METRIC_HISTOGRAM:
		add_times(value->times, cell__at(col, row));
		break;
	case METRIC_GAUGE:
		if (node->vm->is_rest || !real_of(col, row, &real)) {
			value->is_there = false;
			return;
		}
		value->real = real;
		break;
	case METRIC_INFO:
		break;
	}
	value->is_there = true;
}

/* An object's members are series. */
static void take_object(struct metrics *m, struct group *group, struct peer *vm,
			const struct row *row)
{
	struct json_object *obj = cell__object(group->columns[0], row);
	size_t nr = 0;

	if (!json_object_is_type(obj, json_type_object))
		return;
	json_object_object_foreach(obj, key, member)
	{
		struct node *node;

		if (!json_object_is_type(member, json_type_int) || nr++ == MAX_KEYS)
			continue;
		node = get_node(m, group, vm, row, key);
		if (!node) {
			m->failed = true;
			return;
		}
		node->values[0].number += json_object_get_uint64(member);
		node->values[0].is_there = true;
		node->weight += json_object_get_uint64(member);
	}
}

static void take_row(struct metrics *m, struct group *group, struct peer *vm, const struct row *row,
		     unsigned int view_bit)
{
	struct node *node;

	if (group->metrics[0]->key) {
		take_object(m, group, vm, row);
		return;
	}
	node = get_node(m, group, vm, row, NULL);
	if (!node) {
		m->failed = true;
		return;
	}
	for (size_t i = 0; i < group->nr; i++)
		if (group->metrics[i]->views & view_bit)
			take_value(node, i, row);
}

/* Folding */

/* Into what else there is of that family: of its VM, or of the rest. */
static void fold_node(struct metrics *m, struct node *node, struct peer *into)
{
	struct group *group = node->group;
	struct peer *vm = node->vm;
	struct node *to = other_of(m, group, into), **at = &vm->nodes;

	if (!to) {
		m->failed = true;
		return;
	}
	for (size_t i = 0; i < group->nr; i++) {
		struct value *a = &to->values[i];
		const struct value *b = &node->values[i];

		if (!b->is_there || group->metrics[i]->type == METRIC_GAUGE)
			continue;
		a->is_there = true;
		if (group->metrics[i]->type == METRIC_HISTOGRAM) {
			for (int j = 0; j < NR_BUCKETS; j++)
				a->times->count[j] += b->times->count[j];
			a->times->sum_ns += b->times->sum_ns;
		} else {
			a->number += b->number;
		}
	}
	to->weight += node->weight;
	*(into == vm ? &vm->closed : &vm->apart) |= 1ULL << group->number;
	note_folded(vm, node->hash);
	while (*at != node)
		at = &(*at)->sibling;
	*at = node->sibling;
	free_node(m, node);
}

/* First those of vCPUs, then what is rare. */
static int by_weight(const void *a, const void *b)
{
	const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;

	if (x->group->by_vcpu != y->group->by_vcpu)
		return x->group->by_vcpu ? -1 : 1;
	return x->weight < y->weight ? -1 : x->weight > y->weight;
}

/* What is new of each VM that can be folded; NULL: nothing is, or there is no memory. */
static struct node **list_new(struct metrics *m, bool others, size_t *nr)
{
	struct node **list = malloc(m->nr_nodes * sizeof(struct node *) + 1);

	*nr = 0;
	for (size_t i = 0; list && i < m->nr_groups; i++)
		for (struct node *node = m->groups[i]->first; node; node = node->behind)
			if (node->is_new && !node->vm->is_rest &&
			    (others ? node->vm->id != NULL :
				      !node->is_other && has_labels(node->group)))
				list[(*nr)++] = node;
	if (*nr)
		qsort(list, *nr, sizeof(struct node *), by_weight);
	return list;
}

/* VMs that have series of their own: each has one that says who it is. */
static size_t nr_shown(const struct metrics *m)
{
	size_t nr = 0;

	for (const struct peer *peer = m->peers; peer; peer = peer->next)
		nr += peer->id && !peer->is_rest && !peer->is_folded;
	return nr;
}

/* Less what the rest, and what is of no VM, may still get without being asked. */
static size_t limit_now(const struct metrics *m)
{
	const struct peer *const sure[] = { m->rest, m->host };
	size_t lacks = 0;

	for (int i = 0; i < 2; i++) {
		size_t has = 0;

		for (const struct node *node = sure[i] ? sure[i]->nodes : NULL; node;
		     node = node->sibling)
			has += node->group->lines;
		lacks += has < m->lines_of_vm ? m->lines_of_vm - has : 0;
	}
	return m->options.limit > lacks ? m->options.limit - lacks : 0;
}

static void fold_vm(struct metrics *m, struct peer *vm)
{
	while (vm->nodes)
		fold_node(m, vm->nodes, m->rest);
	vm->is_folded = true;
}

static uint64_t weight_of(const struct peer *vm)
{
	uint64_t weight = 0;

	for (const struct node *node = vm->nodes; node; node = node->sibling)
		weight += node->weight;
	return weight;
}

/* The least first; of those that are alike, who came last. */
static int by_activity(const void *a, const void *b)
{
	const struct peer *x = *(struct peer *const *)a, *y = *(struct peer *const *)b;
	uint64_t of_x = weight_of(x), of_y = weight_of(y);

	if (of_x != of_y)
		return of_x < of_y ? -1 : 1;
	return x->nr > y->nr ? -1 : x->nr < y->nr;
}

static bool has_rest(struct metrics *m)
{
	if (m->rest)
		return true;
	m->rest = add_peer(m, other, other, 0, 0);
	if (!m->rest)
		return false;
	m->rest->is_rest = true;
	m->rest->is_told = true;
	return true;
}

/* VMs that were in no sample before; then what others begin with. */
static void fold_vms(struct metrics *m)
{
	struct peer **vms;
	struct node **list;
	size_t nr = 0, room = 1, shown = nr_shown(m);

	for (struct peer *peer = m->peers; peer; peer = peer->next)
		room++;
	vms = has_rest(m) ? calloc(room, sizeof(struct peer *)) : NULL;
	for (struct peer *peer = m->peers; vms && peer; peer = peer->next)
		if (peer->id && !peer->is_old && !peer->is_rest)
			vms[nr++] = peer;
	if (nr)
		qsort(vms, nr, sizeof(struct peer *), by_activity);
	for (size_t i = 0; i < nr && m->lines + shown > limit_now(m); i++, shown--)
		fold_vm(m, vms[i]);
	free(vms);
	list = m->rest ? list_new(m, true, &nr) : NULL;
	for (size_t i = 0; list && i < nr && m->lines + shown > limit_now(m); i++)
		fold_node(m, list[i], m->rest);
	free(list);
}

/*
 * Of what is new that for which there is no room. An eighth of it is for VMs that come: guests
 * that choose many labels can't have it.
 */
static void fold_new(struct metrics *m)
{
	const size_t limit = limit_now(m), for_vms = m->options.limit / 8, shown = nr_shown(m);
	const size_t room = limit > for_vms ? limit - for_vms : 0;
	struct node **list = NULL;
	size_t nr = 0;

	if (m->lines + shown > room)
		list = list_new(m, false, &nr);
	for (size_t i = 0; i < nr && m->lines + shown > room; i++)
		fold_node(m, list[i], list[i]->vm);
	free(list);
	if (m->lines + shown > limit_now(m))
		fold_vms(m);
	for (size_t i = 0; i < m->nr_groups; i++)
		for (struct node *node = m->groups[i]->first; node; node = node->behind)
			node->is_new = false;
	for (struct peer *peer = m->peers; peer; peer = peer->next)
		peer->is_old = true;
}

/* The sink */

static struct metrics *metrics_of(const struct output *out)
{
	return ((struct sink_state *)out->state)->m;
}

static void begin_window(struct output *out, enum scope scope, uint64_t since_ns, uint64_t now_ns)
{
	struct metrics *m = metrics_of(out);

	(void)since_ns;
	(void)now_ns;
	m->in_interval = scope == SCOPE_INTERVAL;
	if (m->in_interval && m->options.begins)
		m->options.begins(m->options.ctx, m);
}

static void begin_section(struct output *out)
{
	struct metrics *m = metrics_of(out);

	m->section = &out->section;
	m->nr_now = 0;
	for (size_t i = 0; m->in_interval && i < m->nr_groups; i++) {
		struct group *group = m->groups[i];

		if ((group->views & m->section->view_bit) &&
		    !strcmp(group->monitor->name, m->section->monitor))
			m->now[m->nr_now++] = group;
	}
}

static void take(struct output *out, const struct row *row, unsigned int flags)
{
	struct metrics *m = metrics_of(out);
	struct peer *vm;

	if (!m->nr_now || (flags & (ROW_DERIVED | ROW_AGAIN)) ||
	    out->section.scope != SCOPE_INTERVAL)
		return;
	vm = peer_of(m, row);
	for (size_t i = 0; vm && i < m->nr_now; i++)
		take_row(m, m->now[i], vm, row, m->section->view_bit);
}

static void end_window(struct output *out)
{
	struct metrics *m = metrics_of(out);

	if (!m->in_interval)
		return;
	m->in_interval = false;
	fold_new(m);
	/* Before new ones get their names. */
	for (struct peer *peer = m->peers; peer; peer = peer->next)
		peer->has_ended = !peer->is_told && peer->id;
	for (struct peer *peer = m->peers; peer; peer = peer->next)
		if (peer->id && !peer->label)
			name_peer(m, peer);
	if (m->options.taken)
		m->options.taken(m->options.ctx, m);
}

const struct output_ops prometheus_ops = {
	.name = "prometheus",
	.suffix = "prom",
	.state_size = sizeof(struct sink_state),
	.begin_window = begin_window,
	.begin = begin_section,
	.row = take,
	.end_window = end_window,
};

/* What is no monitor's */

static struct own *get_own(struct family *family, struct peer *vm, const char *labels)
{
	struct own *more;

	for (size_t i = 0; i < family->nr_own; i++)
		if (family->own[i].vm == vm && !strcmp(family->own[i].labels, labels))
			return &family->own[i];
	/* The place of one that is not there any more. */
	for (size_t i = 0; i < family->nr_own; i++)
		if (!family->own[i].is_there && family->own[i].vm) {
			if (!set_text(&family->own[i].labels, labels))
				return NULL;
			family->own[i].vm = vm;
			return &family->own[i];
		}
	if (family->nr_own == family->room_own) {
		size_t room = family->room_own ? family->room_own * 2 : 4;

		more = reallocarray(family->own, room, sizeof(*more));
		if (!more)
			return NULL;
		family->own = more;
		family->room_own = room;
	}
	more = &family->own[family->nr_own];
	*more = (struct own){ .labels = strdup(labels), .vm = vm };
	if (!more->labels)
		return NULL;
	family->nr_own++;
	return more;
}

void metrics__set(struct metrics *m, const struct metric *metric, const char *vm_id,
		  const char *const *values, double value)
{
	struct family *family = get_family(m, metric);
	struct peer *vm = vm_id ? find_peer(m, vm_id) : NULL;
	struct own *own = NULL;

	if (vm_id && !vm)
		return;
	buf__reset(&m->labels);
	for (size_t i = 0; values && values[i]; i++)
		if (*values[i])
			add_label(&m->labels, &m->scratch, metric->labels[i].name, values[i]);
	if (family && !m->labels.failed)
		own = get_own(family, vm, m->labels.len ? m->labels.data : "");
	if (!own) {
		m->failed = true;
		return;
	}
	own->value = value;
	own->is_there = true;
}

/* Writing */

static const char *type_name(enum metric_type type, enum metrics_text text)
{
	switch (type) {
	case METRIC_COUNTER:
		return "counter";
	case METRIC_HISTOGRAM:
		return "histogram";
	case METRIC_INFO:
		return text == TEXT_OPENMETRICS ? "info" : "gauge";
	case METRIC_GAUGE:
		break;
	}
	return "gauge";
}

static void write_head(const struct family *family, enum metrics_text text, struct buf *buf)
{
	const struct metric *metric = family->metric;
	char full[128];
	const char *name = text == TEXT_OPENMETRICS ? metric->name :
						      metric__full_name(metric, full, sizeof(full));

	buf__printf(buf, "# HELP %s %s\n# TYPE %s %s\n", name, metric->help, name,
		    type_name(metric->type, text));
	if (text != TEXT_OPENMETRICS || metric->type == METRIC_INFO)
		return;
	if (ends_with(metric->name, "_seconds"))
		buf__printf(buf, "# UNIT %s seconds\n", name);
	else if (ends_with(metric->name, "_bytes"))
		buf__printf(buf, "# UNIT %s bytes\n", name);
}

/* Nanoseconds in seconds, exactly. */
static void write_seconds(struct buf *buf, uint64_t ns)
{
	uint64_t rest = ns % NSEC_PER_SEC;
	char text[10];
	int len = 9;

	buf__number(buf, ns / NSEC_PER_SEC);
	if (!rest)
		return;
	for (int i = 8; i >= 0; i--, rest /= 10)
		text[i] = '0' + rest % 10;
	while (text[len - 1] == '0')
		len--;
	buf__putc(buf, '.');
	buf__add(buf, text, len);
}

/* So many digits that it reads back as the same number. */
static void write_shortest(struct buf *buf, double value)
{
	char text[40];

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	buf__puts(buf, text);
}

static void write_real(struct buf *buf, double value)
{
	if (fabs(value) < 1e15 && value == floor(value) && value >= 0)
		buf__number(buf, (uint64_t)value);
	else if (isnan(value))
		buf__puts(buf, "NaN");
	else
		write_shortest(buf, value);
}

static void write_name(struct buf *buf, const char *name, const char *end, const struct peer *vm,
		       const char *constant, const char *labels, const char *le)
{
	const char *between = "";

	buf__puts(buf, name);
	buf__puts(buf, end);
	if (!(vm && vm->id) && !constant && !*labels && !le) {
		buf__putc(buf, ' ');
		return;
	}
	buf__putc(buf, '{');
	if (vm && vm->id) {
		buf__puts(buf, "vm=\"");
		buf__puts(buf, vm->label);
		buf__putc(buf, '"');
		between = ",";
	}
	if (constant) {
		buf__puts(buf, between);
		buf__puts(buf, constant);
		between = ",";
	}
	if (*labels) {
		buf__puts(buf, between);
		buf__puts(buf, labels);
		between = ",";
	}
	if (le) {
		buf__puts(buf, between);
		buf__puts(buf, "le=\"");
		buf__puts(buf, le);
		buf__putc(buf, '"');
	}
	buf__add(buf, "} ", 2);
}

/* As Go writes floats, in seconds. */
static const char *const edges[NR_BUCKETS] = {
	"1.024e-06",   "4.096e-06",   "1.6384e-05",  "6.5536e-05",  "0.000262144",
	"0.001048576", "0.004194304", "0.016777216", "0.067108864", "0.268435456",
	"1.073741824", "4.294967296", "+Inf",
};

static void write_times(struct buf *buf, const struct metric *metric, const struct node *node,
			const struct buckets *times)
{
	uint64_t sum = 0;

	for (int i = 0; i < NR_BUCKETS; i++) {
		sum += times->count[i];
		write_name(buf, metric->name, "_bucket", node->vm, metric->constant, node->labels,
			   edges[i]);
		buf__number(buf, sum);
		buf__putc(buf, '\n');
	}
	write_name(buf, metric->name, "_sum", node->vm, metric->constant, node->labels, NULL);
	write_seconds(buf, times->sum_ns);
	buf__putc(buf, '\n');
	write_name(buf, metric->name, "_count", node->vm, metric->constant, node->labels, NULL);
	buf__number(buf, sum);
	buf__putc(buf, '\n');
}

static enum metric_scale scale_of(const struct metric *metric, const struct column *col)
{
	if (metric->scale == SCALE_BY_TYPE && col->type == COL_NSEC)
		return SCALE_NSEC;
	return metric->scale;
}

static void write_number(struct buf *buf, uint64_t number, enum metric_scale scale)
{
	if (scale == SCALE_NSEC)
		write_seconds(buf, number);
	else
		buf__number(buf, scale == SCALE_PAGES ? number * 4096 :
				 scale == SCALE_KIB   ? number * 1024 :
							number);
}

static void write_gauge(struct buf *buf, double value, enum metric_scale scale)
{
	write_real(buf, scale == SCALE_NSEC  ? value / NSEC_PER_SEC :
			scale == SCALE_PAGES ? value * 4096 :
			scale == SCALE_KIB   ? value * 1024 :
					       value);
}

static void write_value(const struct node *node, size_t i, struct buf *buf)
{
	const struct metric *metric = node->group->metrics[i];
	enum metric_scale scale = scale_of(metric, node->group->columns[i]);
	const struct value *value = &node->values[i];

	if (metric->type == METRIC_HISTOGRAM) {
		write_times(buf, metric, node, value->times);
		return;
	}
	write_name(buf, metric->name, metric->type == METRIC_COUNTER ? "_total" : "", node->vm,
		   metric->constant, node->labels, NULL);
	if (metric->type == METRIC_COUNTER)
		write_number(buf, value->number, scale);
	else
		write_gauge(buf, value->real, scale);
	buf__putc(buf, '\n');
}

static bool is_shown(const struct peer *vm)
{
	return !vm || !vm->id || (vm->label && !vm->waits);
}

static void write_family(const struct family *family, enum metrics_text text, struct buf *buf)
{
	bool has_head = false;

	for (size_t i = 0; i < family->nr_members; i++) {
		const struct member *member = &family->members[i];

		for (const struct node *node = member->group->first; node; node = node->behind) {
			if (!node->values[member->index].is_there || !is_shown(node->vm))
				continue;
			if (!has_head)
				write_head(family, text, buf);
			has_head = true;
			write_value(node, member->index, buf);
		}
	}
	for (size_t i = 0; i < family->nr_own; i++) {
		const struct own *own = &family->own[i];
		const struct metric *metric = family->metric;

		if (!own->is_there || !is_shown(own->vm))
			continue;
		if (!has_head)
			write_head(family, text, buf);
		has_head = true;
		write_name(buf, metric->name,
			   metric->type == METRIC_COUNTER ? "_total" :
			   metric->type == METRIC_INFO	  ? "_info" :
							    "",
			   own->vm, NULL, own->labels, NULL);
		write_real(buf, own->value);
		buf__putc(buf, '\n');
	}
}

static const struct metric vm_info = {
	.name = "kvm_vm",
	.type = METRIC_INFO,
	.help = "A running virtual machine: the process of its VMM and its identity.",
	.labels = { { .name = "pid" }, { .name = "vmm" }, { .name = "uuid" } },
};

static void set_infos(struct metrics *m)
{
	for (struct peer *peer = m->peers; peer; peer = peer->next) {
		const char *const values[] = { "", peer->vmm ?: "", peer->uuid ?: "", NULL };
		const char *copy[4];
		char pid[16];

		if (!peer->id || !is_shown(peer) || peer->is_folded || peer->is_rest)
			continue;
		memcpy(copy, values, sizeof(copy));
		snprintf(pid, sizeof(pid), "%" PRIu32, peer->pid);
		copy[0] = pid;
		metrics__set(m, &vm_info, peer->id, copy, 1);
	}
}

bool metrics__render(struct metrics *m, enum metrics_text text, struct buf *buf)
{
	set_infos(m);
	buf__reset(buf);
	for (size_t i = 0; i < m->nr_families; i++)
		write_family(&m->families[i], text, buf);
	if (text == TEXT_OPENMETRICS)
		buf__puts(buf, "# EOF\n");
	return !buf->failed && !m->failed;
}

size_t metrics__nr_series(const struct metrics *m)
{
	size_t nr = 0;

	for (size_t i = 0; i < m->nr_groups; i++)
		for (const struct node *node = m->groups[i]->first; node; node = node->behind)
			for (size_t j = 0; j < m->groups[i]->nr; j++)
				if (node->values[j].is_there)
					nr += m->groups[i]->metrics[j]->type == METRIC_HISTOGRAM ?
						      LINES_OF_HISTOGRAM :
						      1;
	return nr;
}

size_t metrics__nr_folded(const struct metrics *m)
{
	size_t nr = 0;

	for (const struct peer *peer = m->peers; peer; peer = peer->next)
		nr += peer->nr_folded;
	return nr;
}

size_t metrics__nr_folded_vms(const struct metrics *m)
{
	size_t nr = 0;

	for (const struct peer *peer = m->peers; peer; peer = peer->next)
		nr += peer->is_folded;
	return nr;
}

bool metrics__has_failed(const struct metrics *m)
{
	return m->failed;
}

struct metrics *metrics__new(const struct metrics_options *options)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->options = *options;
	m->last_peer = &m->peers;
	m->nr_buckets = LEAST_NODES;
	m->buckets = calloc(m->nr_buckets, sizeof(*m->buckets));
	if (!m->buckets) {
		free(m);
		return NULL;
	}
	return m;
}

void metrics__free(struct metrics *m)
{
	if (!m)
		return;
	while (m->peers) {
		struct peer *peer = m->peers;

		m->peers = peer->next;
		free_peer(m, peer);
	}
	for (size_t i = 0; i < m->nr_groups; i++) {
		free(m->groups[i]->metrics);
		free(m->groups[i]->columns);
		free(m->groups[i]);
	}
	for (size_t i = 0; i < m->nr_families; i++) {
		for (size_t j = 0; j < m->families[i].nr_own; j++)
			free(m->families[i].own[j].labels);
		free(m->families[i].own);
		free(m->families[i].members);
		free(m->families[i].name);
	}
	free(m->families);
	buf__free(&m->labels);
	buf__free(&m->scratch);
	free(m->buckets);
	free(m);
}

struct output *metrics__output(struct metrics *m)
{
	struct output *out = output__new_nowhere(&prometheus_ops);

	if (out)
		((struct sink_state *)out->state)->m = m;
	return out;
}
