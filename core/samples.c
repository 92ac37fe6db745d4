// SPDX-License-Identifier: GPL-2.0-only
#include "samples.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../output/cells.h"
#include "times.h"

enum { LEAST_BUCKETS = 64, VM_BUCKETS = 1024 };

/* A column of a view, as far as the store has to do with it. */
enum field_kind {
	FIELD_LABEL,   /* also a text beside the labels, that is no key itself */
	FIELD_COUNTER, /* uint64_t; UINT64_MAX is "absent" */
	FIELD_TIMES,
	FIELD_TALLY,
	FIELD_BITS,
	FIELD_GAUGE,
	FIELD_DERIVED, /* from times */
};

struct field {
	enum field_kind kind;
	const struct column *col;
	size_t size;
	bool is_key;
};

struct layout {
	struct field *fields;
	size_t nr;
};

/* A text that rows point to: each is there once, as long as a series has it. */
struct text {
	struct text *next;
	size_t users;
	char text[];
};

/* A VM that has series: those of them that have ended. */
struct series_vm {
	struct series_vm *next;
	uint64_t nr;
	size_t users, nr_ended;
};

struct series {
	struct series_vm *vm;
	struct series *next;	      /* in the bucket */
	struct series *older, *newer; /* among the ended */
	uint64_t hash;
	unsigned int view;
	size_t nr_sources;
	struct source *sole;   /* the one that brought all there is; or NULL */
	struct source *polled; /* that of samples__poll(), at this one of them; or NULL */
	uint64_t polled_at;
	bool had_source;
	bool ended;	   /* and in the list of those */
	uint64_t ended_at; /* how many VMs had come by then */
	bool remainder;
	bool early, grew;   /* some of what its sources have was before the window; some is of it */
	uint64_t caught_up; /* a bit for each sink: it has seen all of an ended one; no copy */
	uint64_t unseen;    /* a bit for each sink: it grew since that one looked */
	size_t place;	    /* in all[] */
	struct row *run;    /* since the beginning, with the labels; NULL: it is packed */
	uint64_t *packed;   /* see pack_series() */
	/*
	 * By sink, at its last look; NULL: it has never looked. Extremes, greatest
	 * gauges and bits, however, are those since then.
	 */
	struct row *seen[];
};

struct source {
	struct series *series;
	/* What it has brought; NULL: the series has it from no other one. */
	struct row *before;
};

struct samples {
	struct layout layouts[MAX_VIEWS];
	size_t row_size, nr_sinks, keep_vms;
	struct series **buckets, **all;
	size_t nr_buckets, nr_all, room_all;
	struct series *oldest, *newest; /* ended */
	size_t nr_ended, nr_remainders;
	struct series_vm *vms[VM_BUCKETS];
	size_t nr_vms;
	uint64_t nr_vms_came; /* those that are gone included */
	uint64_t nr_polls;
	struct text **texts;
	size_t nr_texts, nr_text_buckets;
	struct unused_row *unused;
	size_t nr_rows, nr_unused; /* of series and sources; those unused */
	struct row *spare;	   /* to work in */
};

/* It is some series' next: the heap would make small pieces of it. */
struct unused_row {
	struct unused_row *next;
};

static void *cell(const struct row *row, const struct field *field)
{
	return (char *)row + field->col->offset;
}

static uint64_t *number(const struct row *row, const struct field *field)
{
	return cell(row, field);
}

static size_t size_of(const struct column *col)
{
	switch (col->type) {
	case COL_STRING:
	case COL_STRINGS:
	case COL_OBJECT:
		return sizeof(void *);
	case COL_U32:
		return sizeof(uint32_t);
	case COL_BOOL:
		return sizeof(uint8_t);
	case COL_PERCENT:
	case COL_DOUBLE:
		return sizeof(double);
	case COL_TIMES:
		return sizeof(struct times);
	case COL_TALLY:
		return sizeof(struct tally);
	case COL_BITS:
		return col->size;
	default:
		return sizeof(uint64_t);
	}
}

static enum field_kind kind_of(const struct column *col)
{
	if (col->type == COL_TIMES)
		return FIELD_TIMES;
	if (col->type == COL_TALLY)
		return FIELD_TALLY;
	if (col->type == COL_BITS)
		return FIELD_BITS;
	if (col->times)
		return FIELD_DERIVED;
	if (col->role == ROLE_LABEL)
		return FIELD_LABEL;
	return col->role == ROLE_COUNTER ? FIELD_COUNTER : FIELD_GAUGE;
}

static int add_field(struct layout *layout, const struct column *col)
{
	struct field *more = reallocarray(layout->fields, layout->nr + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	layout->fields = more;
	more[layout->nr++] = (struct field){
		.kind = kind_of(col),
		.col = col,
		.size = size_of(col),
		.is_key = col->role == ROLE_LABEL && !(col->flags & COL_TABLE_ONLY),
	};
	return 0;
}

static int lay_out(struct samples *s, const struct column *columns)
{
	int err = 0;

	for (unsigned int view = 0; view < MAX_VIEWS; view++)
		for (const struct column *col = columns; !err && col->name; col++) {
			if (col->views && !(col->views >> view & 1))
				continue;
			/* Of single events only, or made when the row is shown. */
			if (col->type == COL_STRINGS || col->type == COL_OBJECT ||
			    (col->flags & COL_COMPUTED))
				continue;
			err = add_field(&s->layouts[view], col);
		}
	return err;
}

struct samples *samples__new(const struct column *columns, size_t row_size, size_t nr_sinks,
			     size_t keep_vms)
{
	struct samples *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->row_size = row_size;
	s->nr_sinks = nr_sinks;
	s->keep_vms = keep_vms;
	s->nr_buckets = s->nr_text_buckets = LEAST_BUCKETS;
	s->buckets = calloc(s->nr_buckets, sizeof(*s->buckets));
	s->texts = calloc(s->nr_text_buckets, sizeof(*s->texts));
	s->spare = malloc(row_size);
	if (!s->buckets || !s->texts || !s->spare || lay_out(s, columns)) {
		samples__free(s);
		return NULL;
	}
	return s;
}

/* Rows */

static struct row *take_row(struct samples *s)
{
	struct unused_row *row = s->unused;

	if (row) {
		s->unused = row->next;
		s->nr_unused--;
	} else {
		row = malloc(s->row_size);
	}
	s->nr_rows += !!row;
	return (struct row *)row;
}

static void put_row(struct samples *s, struct row *row)
{
	struct unused_row *unused = (struct unused_row *)row;

	if (!row)
		return;
	s->nr_rows--;
	/* What there was once need not be again. */
	if (s->nr_unused > s->nr_rows / 2) {
		free(row);
		return;
	}
	unused->next = s->unused;
	s->unused = unused;
	s->nr_unused++;
}

/* Packed rows: a bit for each word, then the words that are not zero, of which there are few. */

enum { WORD_BITS = 64 };

static size_t nr_words(const struct samples *s)
{
	return s->row_size / sizeof(uint64_t);
}

/* The words that have the bits. */
static size_t nr_masks(const struct samples *s)
{
	return (nr_words(s) + WORD_BITS - 1) / WORD_BITS;
}

static uint64_t word_of(const struct row *row, size_t i)
{
	uint64_t word;

	memcpy(&word, (const char *)row + i * sizeof(word), sizeof(word));
	return word;
}

/* NULL: out of memory. */
static uint64_t *pack(const struct samples *s, const struct row *row)
{
	size_t nr = nr_words(s), used = nr_masks(s);
	uint64_t *packed;

	for (size_t i = 0; i < nr; i++)
		used += !!word_of(row, i);
	/* The analyzer does not know that there always are some. NOLINTNEXTLINE */
	packed = calloc(used, sizeof(*packed));
	if (!packed)
		return NULL;
	used = nr_masks(s);
	for (size_t i = 0; i < nr; i++) {
		if (!word_of(row, i))
			continue;
		packed[i / WORD_BITS] |= 1ULL << i % WORD_BITS;
		packed[used++] = word_of(row, i);
	}
	return packed;
}

static void unpack(const struct samples *s, const uint64_t *packed, struct row *row)
{
	size_t nr = nr_words(s), used = nr_masks(s);

	memset(row, 0, s->row_size);
	for (size_t i = 0; i < nr; i++)
		if (packed[i / WORD_BITS] >> i % WORD_BITS & 1)
			memcpy((char *)row + i * sizeof(*packed), &packed[used++], sizeof(*packed));
}

/*
 * Most series are of VMs that have ended and that all sinks have seen. They wait for the total,
 * and take a fifth of the room then.
 */
static void pack_series(struct samples *s, struct series *series)
{
	uint64_t all = s->nr_sinks < WORD_BITS ? (1ULL << s->nr_sinks) - 1 : UINT64_MAX;

	if (!series->run || !series->ended || series->remainder || series->caught_up != all)
		return;
	series->packed = pack(s, series->run);
	if (!series->packed)
		return;
	put_row(s, series->run);
	series->run = NULL;
}

/* False: out of memory. */
static bool unpack_series(struct samples *s, struct series *series)
{
	if (series->run)
		return true;
	series->run = take_row(s);
	if (!series->run)
		return false;
	unpack(s, series->packed, series->run);
	free(series->packed);
	series->packed = NULL;
	return true;
}

/* To look at; of a packed one it is the spare row. */
static struct row *run_of(struct samples *s, const struct series *series)
{
	if (series->run)
		return series->run;
	unpack(s, series->packed, s->spare);
	return s->spare;
}

/* Texts */

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t len)
{
	const unsigned char *p = data;

	/* FNV-1a */
	while (len--)
		hash = (hash ^ *p++) * 0x100000001b3ULL;
	return hash;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
	return text ? hash_bytes(hash, text, strlen(text) + 1) : hash_bytes(hash, "\xff", 1);
}

enum { HASH_START = 0x811c9dc5 };

static struct text **text_bucket(const struct samples *s, const char *text)
{
	return &s->texts[hash_text(HASH_START, text) % s->nr_text_buckets];
}

static void grow_texts(struct samples *s)
{
	size_t nr = s->nr_text_buckets * 2, nr_old = s->nr_text_buckets;
	struct text **old = s->texts, **more = calloc(nr, sizeof(*more));

	if (!more)
		return;
	s->texts = more;
	s->nr_text_buckets = nr;
	for (size_t i = 0; i < nr_old; i++)
		for (struct text *t = old[i], *next; t; t = next) {
			struct text **bucket = text_bucket(s, t->text);

			next = t->next;
			t->next = *bucket;
			*bucket = t;
		}
	free(old);
}

/* False: out of memory. */
static bool take_text(struct samples *s, const char **text)
{
	struct text **bucket, *t;
	size_t len;

	if (!*text)
		return true;
	for (t = *text_bucket(s, *text); t && strcmp(t->text, *text); t = t->next)
		;
	if (!t) {
		if (s->nr_texts >= s->nr_text_buckets)
			grow_texts(s);
		len = strlen(*text) + 1;
		t = malloc(sizeof(*t) + len);
		if (!t)
			return false;
		memcpy(t->text, *text, len);
		t->users = 0;
		bucket = text_bucket(s, t->text);
		t->next = *bucket;
		*bucket = t;
		s->nr_texts++;
	}
	t->users++;
	*text = t->text;
	return true;
}

static void put_text(struct samples *s, const char *text)
{
	struct text **at, *t;

	if (!text)
		return;
	for (at = text_bucket(s, text); (*at)->text != text; at = &(*at)->next)
		;
	t = *at;
	if (--t->users)
		return;
	*at = t->next;
	free(t);
	s->nr_texts--;
}

static bool is_text(const struct field *field)
{
	return field->kind == FIELD_LABEL && field->col->type == COL_STRING;
}

static void put_texts(struct samples *s, const struct layout *layout, struct row *row, size_t upto)
{
	put_text(s, row->vm);
	put_text(s, row->vm_id);
	for (size_t i = 0; i < upto; i++)
		if (is_text(&layout->fields[i]))
			put_text(s, *(const char **)cell(row, &layout->fields[i]));
}

static bool take_texts(struct samples *s, const struct layout *layout, struct row *row)
{
	if (!take_text(s, &row->vm))
		return false;
	if (!take_text(s, &row->vm_id)) {
		put_text(s, row->vm);
		return false;
	}
	for (size_t i = 0; i < layout->nr; i++) {
		const struct field *field = &layout->fields[i];

		if (!is_text(field) || take_text(s, cell(row, field)))
			continue;
		put_texts(s, layout, row, i);
		return false;
	}
	return true;
}

/* Keys */

static uint64_t hash_key(const struct layout *layout, unsigned int view, const struct row *row)
{
	uint64_t hash = HASH_START;

	hash = hash_bytes(hash, &view, sizeof(view));
	hash = hash_bytes(hash, &row->vm_nr, sizeof(row->vm_nr));
	hash = hash_bytes(hash, &row->pid, sizeof(row->pid));
	hash = hash_bytes(hash, &row->tid, sizeof(row->tid));
	hash = hash_bytes(hash, &row->vcpu, sizeof(row->vcpu));
	hash = hash_text(hash, row->vm);
	for (size_t i = 0; i < layout->nr; i++) {
		const struct field *field = &layout->fields[i];

		if (!field->is_key)
			continue;
		if (is_text(field))
			hash = hash_text(hash, *(const char **)cell(row, field));
		else
			hash = hash_bytes(hash, cell(row, field), field->size);
	}
	return hash;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool same_key(const struct layout *layout, const struct row *a, const struct row *b)
{
	if (a->vm_nr != b->vm_nr || a->pid != b->pid || a->tid != b->tid || a->vcpu != b->vcpu ||
	    !same_text(a->vm, b->vm))
		return false;
	for (size_t i = 0; i < layout->nr; i++) {
		const struct field *field = &layout->fields[i];

		if (!field->is_key)
			continue;
		if (is_text(field) ? !same_text(*(const char **)cell(a, field),
						*(const char **)cell(b, field)) :
				     memcmp(cell(a, field), cell(b, field), field->size))
			return false;
	}
	return true;
}

/* Series */

static struct series *find(struct samples *s, unsigned int view, uint64_t hash,
			   const struct row *row, bool remainder)
{
	struct series *series = s->buckets[hash % s->nr_buckets];

	for (; series; series = series->next)
		if (series->hash == hash && series->view == view &&
		    series->remainder == remainder && unpack_series(s, series) &&
		    same_key(&s->layouts[view], series->run, row))
			return series;
	return NULL;
}

static void grow_buckets(struct samples *s)
{
	size_t nr = s->nr_buckets * 2;
	/* The analyzer does not know that there always are LEAST_BUCKETS. NOLINTNEXTLINE */
	struct series **more = calloc(nr, sizeof(*more));

	if (!more)
		return;
	free(s->buckets);
	s->buckets = more;
	s->nr_buckets = nr;
	for (size_t i = 0; i < s->nr_all; i++) {
		struct series *series = s->all[i];

		series->next = more[series->hash % nr];
		more[series->hash % nr] = series;
	}
}

static int keep(struct samples *s, struct series *series)
{
	struct series **more;

	if (s->nr_all == s->room_all) {
		size_t room = s->room_all ? s->room_all * 2 : LEAST_BUCKETS;

		more = reallocarray(s->all, room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->all = more;
		s->room_all = room;
	}
	if (s->nr_all >= s->nr_buckets)
		grow_buckets(s);
	series->place = s->nr_all;
	s->all[s->nr_all++] = series;
	series->next = s->buckets[series->hash % s->nr_buckets];
	s->buckets[series->hash % s->nr_buckets] = series;
	return 0;
}

/* Nothing measured yet: zeros, but no extremes. */
static void clear_data(const struct layout *layout, struct row *row)
{
	for (size_t i = 0; i < layout->nr; i++) {
		const struct field *field = &layout->fields[i];

		if (field->kind == FIELD_TIMES)
			times__init(cell(row, field));
		else if (field->kind != FIELD_LABEL)
			memset(cell(row, field), 0, field->size);
	}
}

static struct series_vm *find_vm(const struct samples *s, uint64_t nr)
{
	struct series_vm *vm = s->vms[nr % VM_BUCKETS];

	while (vm && vm->nr != nr)
		vm = vm->next;
	return vm;
}

static struct series_vm *get_vm(struct samples *s, uint64_t nr)
{
	struct series_vm **bucket = &s->vms[nr % VM_BUCKETS], *vm = find_vm(s, nr);

	if (!vm) {
		vm = calloc(1, sizeof(*vm));
		if (!vm)
			return NULL;
		vm->nr = nr;
		vm->next = *bucket;
		*bucket = vm;
		s->nr_vms++;
		s->nr_vms_came++;
	}
	vm->users++;
	return vm;
}

static void put_vm(struct samples *s, struct series_vm *vm)
{
	struct series_vm **at;

	if (!vm || --vm->users)
		return;
	for (at = &s->vms[vm->nr % VM_BUCKETS]; *at != vm; at = &(*at)->next)
		;
	*at = vm->next;
	s->nr_vms--;
	free(vm);
}

static struct series *new_series(struct samples *s, unsigned int view, uint64_t hash,
				 const struct row *row)
{
	struct series *series = calloc(1, sizeof(*series) + s->nr_sinks * sizeof(series->seen[0]));

	if (!series)
		return NULL;
	series->hash = hash;
	series->view = view;
	series->vm = get_vm(s, row->vm_nr);
	series->run = take_row(s);
	if (!series->vm || !series->run)
		goto cleanup;
	memcpy(series->run, row, s->row_size);
	if (!take_texts(s, &s->layouts[view], series->run))
		goto cleanup;
	clear_data(&s->layouts[view], series->run);
	if (!keep(s, series))
		return series;
	put_texts(s, &s->layouts[view], series->run, s->layouts[view].nr);
cleanup:
	put_vm(s, series->vm);
	put_row(s, series->run);
	free(series);
	return NULL;
}

static void free_series(struct samples *s, struct series *series)
{
	if (series->polled)
		put_row(s, series->polled->before);
	free(series->polled);
	put_texts(s, &s->layouts[series->view], run_of(s, series), s->layouts[series->view].nr);
	free(series->packed);
	for (size_t i = 0; i < s->nr_sinks; i++)
		put_row(s, series->seen[i]);
	put_vm(s, series->vm);
	put_row(s, series->run);
	free(series);
}

static void remove_series(struct samples *s, struct series *series)
{
	struct series **at = &s->buckets[series->hash % s->nr_buckets];

	while (*at != series)
		at = &(*at)->next;
	*at = series->next;
	s->all[series->place] = s->all[--s->nr_all];
	s->all[series->place]->place = series->place;
	free_series(s, series);
}

/* The list of ended ones, the oldest first. */
static void end_series(struct samples *s, struct series *series)
{
	series->ended = true;
	series->ended_at = s->nr_vms_came;
	series->newer = NULL;
	series->older = s->newest;
	*(s->newest ? &s->newest->newer : &s->oldest) = series;
	s->newest = series;
	s->nr_ended++;
	series->vm->nr_ended++;
}

static void unend_series(struct samples *s, struct series *series)
{
	if (!series->ended)
		return;
	series->ended = false;
	*(series->older ? &series->older->newer : &s->oldest) = series->newer;
	*(series->newer ? &series->newer->older : &s->newest) = series->older;
	s->nr_ended--;
	series->vm->nr_ended--;
}

void samples__free(struct samples *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nr_all; i++)
		free_series(s, s->all[i]);
	while (s->unused) {
		struct unused_row *row = s->unused;

		s->unused = row->next;
		free(row);
	}
	for (size_t i = 0; i < MAX_VIEWS; i++)
		free(s->layouts[i].fields);
	free(s->spare);
	free(s->all);
	free(s->buckets);
	free(s->texts);
	free(s);
}

/* Adding up */

static void add_counter(uint64_t *a, uint64_t b)
{
	if (b == UINT64_MAX)
		*a = UINT64_MAX;
	else if (*a != UINT64_MAX)
		*a += b;
}

static void add_bits(uint64_t *a, const uint64_t *b, size_t size)
{
	for (size_t i = 0; i < size / sizeof(*a); i++)
		a[i] |= b[i];
}

static void add_tally(struct tally *a, const struct tally *b)
{
	for (uint32_t i = 0; i < b->nr; i++)
		tally__add(a, b->list[i].key, b->list[i].count);
}

/* Gauges are of these types where they merge. */
static double real_of(const struct field *field, const void *at)
{
	switch (field->col->type) {
	case COL_U32:
		return *(const uint32_t *)at;
	case COL_PERCENT:
	case COL_DOUBLE:
		return *(const double *)at;
	default:
		return *(const uint64_t *)at;
	}
}

/* a += b - less */
static void sum_gauge(const struct field *field, void *a, const void *b, const void *less)
{
	if (field->col->type == COL_U32)
		*(uint32_t *)a += *(const uint32_t *)b - *(const uint32_t *)less;
	else if (field->col->type == COL_DOUBLE || field->col->type == COL_PERCENT)
		*(double *)a += *(const double *)b - *(const double *)less;
	else
		*(uint64_t *)a += *(const uint64_t *)b - *(const uint64_t *)less;
}

static void merge_gauge(const struct field *field, void *a, const void *b)
{
	static const uint64_t nothing;

	switch (field->col->merge) {
	case MERGE_LAST:
		/* None of several series is the last. */
		if (memcmp(a, b, field->size))
			cell__set_absent(field->col, a);
		break;
	case MERGE_SUM:
		sum_gauge(field, a, b, &nothing);
		break;
	case MERGE_MAX:
		if (real_of(field, b) > real_of(field, a))
			memcpy(a, b, field->size);
		break;
	case MERGE_NONE:
	case MERGE_WINDOW:
		cell__set_absent(field->col, a);
	}
}

static void merge_field(const struct field *field, struct row *a, const struct row *b)
{
	switch (field->kind) {
	case FIELD_COUNTER:
		add_counter(number(a, field), *number(b, field));
		break;
	case FIELD_TIMES:
		times__add(cell(a, field), cell(b, field));
		break;
	case FIELD_TALLY:
		add_tally(cell(a, field), cell(b, field));
		break;
	case FIELD_BITS:
		add_bits(cell(a, field), cell(b, field), field->size);
		break;
	case FIELD_GAUGE:
		merge_gauge(field, cell(a, field), cell(b, field));
		break;
	case FIELD_LABEL:
	case FIELD_DERIVED:
		break;
	}
}

void samples__merge(const struct samples *s, unsigned int view, struct row *a, const struct row *b)
{
	const struct layout *layout = &s->layouts[view];

	for (size_t i = 0; i < layout->nr; i++)
		merge_field(&layout->fields[i], a, b);
}

/* What a source has now against what it had: true when it grew. */

static bool take_counter(uint64_t *run, uint64_t *before, uint64_t now)
{
	uint64_t was = *before;

	if (now == was)
		return false;
	if (now == UINT64_MAX || was == UINT64_MAX) {
		*run = *before = now;
		return false;
	}
	if (now < was)
		return false;
	if (before != run)
		*before = now;
	*run += now - was;
	return true;
}

static bool take_times(struct times *run, struct times *before, const struct times *now)
{
	/* The count is the sum of the buckets, and none of them shrinks. */
	if (now->count == before->count && now->total_ns == before->total_ns)
		return false;
	take_counter(&run->total_ns, &before->total_ns, now->total_ns);
	for (int i = 0; i < STAT_BUCKETS; i++) {
		uint64_t was = before->hist[i];

		if (take_counter(&run->hist[i], &before->hist[i], now->hist[i]))
			run->count += now->hist[i] - was;
	}
	if (before != run)
		before->count = now->count;
	return true;
}

static bool take_tally(struct tally *run, struct tally *before, const struct tally *now)
{
	bool grew = false;

	for (uint32_t i = 0; i < now->nr; i++) {
		int32_t key = now->list[i].key;
		uint64_t was = tally__get(before, key), is = now->list[i].count;

		if (is <= was)
			continue;
		grew = true;
		tally__add(run, key, is - was);
		if (before != run)
			tally__add(before, key, is - was);
	}
	return grew;
}

/* Extremes since a sink looked; the run has its own. */
static void note_extremes(const struct samples *s, struct series *series, const struct field *field,
			  const struct times *now)
{
	times__extremes(cell(series->run, field), now->min_ns, now->max_ns);
	for (size_t i = 0; i < s->nr_sinks; i++)
		if (series->seen[i])
			times__extremes(cell(series->seen[i], field), now->min_ns, now->max_ns);
}

static void note_bits(const struct samples *s, struct series *series, const struct field *field,
		      const uint64_t *now)
{
	add_bits(cell(series->run, field), now, field->size);
	for (size_t i = 0; i < s->nr_sinks; i++)
		if (series->seen[i])
			add_bits(cell(series->seen[i], field), now, field->size);
}

static void note_greatest(const struct samples *s, struct series *series, const struct field *field,
			  const void *now)
{
	merge_gauge(field, cell(series->run, field), now);
	for (size_t i = 0; i < s->nr_sinks; i++)
		if (series->seen[i])
			merge_gauge(field, cell(series->seen[i], field), now);
}

static void take_gauge(const struct samples *s, struct source *source, const struct field *field,
		       const void *now)
{
	struct series *series = source->series;
	void *run = cell(series->run, field), *before;

	if (field->col->merge == MERGE_MAX) {
		note_greatest(s, series, field, now);
	} else if (!source->before || field->col->merge == MERGE_LAST ||
		   field->col->merge == MERGE_WINDOW) {
		memcpy(run, now, field->size);
	} else if (field->col->merge == MERGE_NONE) {
		cell__set_absent(field->col, run);
	} else {
		before = cell(source->before, field);
		sum_gauge(field, run, now, before);
		memcpy(before, now, field->size);
	}
}

static bool take_field(const struct samples *s, struct source *source, const struct field *field,
		       const struct row *now)
{
	struct series *series = source->series;
	struct row *run = series->run, *before = source->before ? source->before : run;

	switch (field->kind) {
	case FIELD_COUNTER:
		return take_counter(number(run, field), number(before, field), *number(now, field));
	case FIELD_TIMES:
		note_extremes(s, series, field, cell(now, field));
		return take_times(cell(run, field), cell(before, field), cell(now, field));
	case FIELD_TALLY:
		return take_tally(cell(run, field), cell(before, field), cell(now, field));
	case FIELD_BITS:
		note_bits(s, series, field, cell(now, field));
		return false;
	case FIELD_GAUGE:
		take_gauge(s, source, field, cell(now, field));
		return false;
	case FIELD_LABEL:
	case FIELD_DERIVED:
		break;
	}
	return false;
}

void samples__take(struct samples *s, struct source *source, const struct row *now)
{
	const struct layout *layout = &s->layouts[source->series->view];
	bool grew = false;

	for (size_t i = 0; i < layout->nr; i++)
		grew |= take_field(s, source, &layout->fields[i], now);
	if (!grew)
		return;
	source->series->unseen = UINT64_MAX;
	source->series->grew = true;
}

/* Sources */

static void clear_row(const struct samples *s, const struct series *series, struct row *row)
{
	memset(row, 0, s->row_size);
	clear_data(&s->layouts[series->view], row);
}

static struct row *new_data(struct samples *s, const struct series *series, bool copy)
{
	struct row *row = take_row(s);

	if (row && copy)
		memcpy(row, series->run, s->row_size);
	else if (row)
		clear_row(s, series, row);
	return row;
}

/* Of fields that go by what was since a sink looked, and not by differences. */
static bool is_since(const struct field *field)
{
	return field->kind == FIELD_BITS ||
	       (field->kind == FIELD_GAUGE && field->col->merge == MERGE_MAX);
}

/* The sink has seen the run as it is now. */
static void set_seen(const struct samples *s, const struct series *series, struct row *seen)
{
	const struct layout *layout = &s->layouts[series->view];

	memcpy(seen, series->run, s->row_size);
	for (size_t i = 0; i < layout->nr; i++) {
		const struct field *field = &layout->fields[i];
		struct times *t = cell(seen, field);

		if (field->kind == FIELD_TIMES)
			t->min_ns = t->max_ns = UINT64_MAX;
		else if (is_since(field))
			memset(t, 0, field->size);
	}
}

/* It has never looked: it has seen nothing, and everything is since then. */
static void set_unseen(const struct samples *s, const struct series *series, struct row *seen)
{
	const struct layout *layout = &s->layouts[series->view];

	for (size_t i = 0; i < layout->nr; i++) {
		const struct field *field = &layout->fields[i];
		const struct times *t = cell(series->run, field);

		if (field->kind == FIELD_TIMES)
			times__extremes(cell(seen, field), t->min_ns, t->max_ns);
		else if (is_since(field))
			memcpy(cell(seen, field), t, field->size);
	}
}

/* What a sink has seen of a series that has no row for it. */
static void begin_seen(const struct samples *s, const struct series *series, size_t sink,
		       struct row *seen)
{
	clear_row(s, series, seen);
	if (series->caught_up >> sink & 1)
		set_seen(s, series, seen);
	else
		set_unseen(s, series, seen);
}

/* Makes seen[sink], if it is not there. False: out of memory. */
static bool has_seen(struct samples *s, struct series *series, size_t sink)
{
	if (series->seen[sink])
		return true;
	series->seen[sink] = take_row(s);
	if (!series->seen[sink])
		return false;
	begin_seen(s, series, sink, series->seen[sink]);
	series->caught_up &= ~(1ULL << sink);
	return true;
}

/* A sink has seen all of an ended series: that is the run, and needs no copy. */
static void catch_up(struct samples *s, struct series *series, size_t sink)
{
	put_row(s, series->seen[sink]);
	series->seen[sink] = NULL;
	series->caught_up |= 1ULL << sink;
}

/* What there is so far is the sole source's, if there is one. */
static int part_sources(struct samples *s, struct series *series, struct source *source)
{
	if (!series->had_source) {
		series->sole = source;
		return 0;
	}
	source->before = new_data(s, series, false);
	if (!source->before)
		return -ENOMEM;
	if (!series->sole)
		return 0;
	series->sole->before = new_data(s, series, true);
	if (!series->sole->before)
		return -ENOMEM;
	series->sole = NULL;
	return 0;
}

struct source *samples__open(struct samples *s, unsigned int view, const struct row *row)
{
	uint64_t hash = hash_key(&s->layouts[view], view, row);
	struct series *series = find(s, view, hash, row, false);
	struct source *source = calloc(1, sizeof(*source));

	if (!source)
		return NULL;
	if (!series) {
		series = new_series(s, view, hash, row);
		if (!series) {
			free(source);
			return NULL;
		}
		/* Until the source is there: what nobody feeds is ended. */
		end_series(s, series);
	}
	source->series = series;
	/* What comes now is since a sink has looked: each needs to know that of its own again. */
	for (size_t i = 0; i < s->nr_sinks; i++)
		if ((series->caught_up >> i & 1) && !has_seen(s, series, i)) {
			free(source);
			return NULL;
		}
	if (part_sources(s, series, source)) {
		put_row(s, source->before);
		free(source);
		return NULL;
	}
	unend_series(s, series);
	series->had_source = true;
	series->nr_sources++;
	return source;
}

static bool is_counted(const struct field *field)
{
	return field->kind == FIELD_COUNTER || field->kind == FIELD_TIMES ||
	       field->kind == FIELD_TALLY;
}

bool samples__begin(struct samples *s, struct source *source, const struct row *now)
{
	struct series *series = source->series;
	const struct layout *layout = &s->layouts[series->view];

	if (!source->before)
		source->before = new_data(s, series, false);
	if (!source->before)
		return false;
	series->sole = NULL;
	series->early = true;
	for (size_t i = 0; i < layout->nr; i++) {
		const struct field *field = &layout->fields[i];

		if (!is_counted(field))
			continue;
		memcpy(cell(source->before, field), cell(now, field), field->size);
		/* What there is none of is none in the window either. */
		if (field->kind == FIELD_COUNTER && *number(now, field) == UINT64_MAX)
			*number(series->run, field) = UINT64_MAX;
	}
	return true;
}

/* Nothing of it is of the window. */
static bool is_idle(const struct series *series)
{
	return series->early && !series->grew;
}

/* Folding */

static void no_labels(const struct layout *layout, struct row *row, bool all)
{
	for (size_t i = 0; i < layout->nr; i++) {
		const struct field *field = &layout->fields[i];

		if (field->kind == FIELD_LABEL && (all || (field->col->flags & COL_WHOSE)))
			cell__set_absent(field->col, cell(row, field));
	}
}

/* The labels of a series without whose they are; when there are too many of them, without any. */
static void remainder_labels(const struct samples *s, const struct layout *layout, struct row *row,
			     const struct row *run, bool plain)
{
	memcpy(row, run, s->row_size);
	row->vm = ENDED_VMS;
	row->vm_id = NULL;
	row->vm_nr = 0;
	row->pid = row->tid = row->vcpu = UINT32_MAX;
	no_labels(layout, row, plain);
}

/* Whose a series is, without its labels. */
static void others_labels(const struct samples *s, const struct layout *layout, struct row *row,
			  const struct row *run)
{
	memcpy(row, run, s->row_size);
	row->tid = row->vcpu = UINT32_MAX;
	no_labels(layout, row, true);
	for (size_t i = 0; i < layout->nr; i++)
		if (is_text(&layout->fields[i]))
			*(const char **)cell(row, &layout->fields[i]) = OTHERS;
}

/* What takes the ended ones of a VM that are too many: it has ended too, as the last one. */
static struct series *others_of(struct samples *s, const struct series *series)
{
	const struct layout *layout = &s->layouts[series->view];
	struct row *row = malloc(s->row_size);
	struct series *to;
	uint64_t hash;

	if (!row)
		return NULL;
	others_labels(s, layout, row, series->run);
	hash = hash_key(layout, series->view, row);
	to = find(s, series->view, hash, row, true);
	if (to)
		unend_series(s, to);
	else
		to = new_series(s, series->view, hash, row);
	free(row);
	if (!to)
		return NULL;
	to->remainder = true;
	end_series(s, to);
	return to;
}

static struct series *remainder_of(struct samples *s, const struct series *series)
{
	const struct layout *layout = &s->layouts[series->view];
	bool plain = s->nr_remainders >= MAX_REMAINDERS;
	struct row *row = malloc(s->row_size);
	struct series *to = NULL;
	uint64_t hash;

	for (int tries = 0; row && !to && tries < 2; tries++) {
		remainder_labels(s, layout, row, series->run, tries);
		hash = hash_key(layout, series->view, row);
		to = find(s, series->view, hash, row, true);
		if (to || (plain && !tries))
			continue;
		to = new_series(s, series->view, hash, row);
		if (to) {
			to->remainder = true;
			s->nr_remainders++;
		}
	}
	free(row);
	return to;
}

/* What a sink has seen of the series it has seen of the remainder then. */
static bool fold_seen(struct samples *s, struct series *to, struct series *from, size_t sink)
{
	if (!has_seen(s, to, sink) || !has_seen(s, from, sink))
		return false;
	samples__merge(s, to->view, to->seen[sink], from->seen[sink]);
	return true;
}

/* An ended series becomes a part of another one; it stays when there is no memory. */
static bool fold(struct samples *s, struct series *series,
		 struct series *(*of)(struct samples *s, const struct series *series))
{
	struct series *to;

	if (is_idle(series)) {
		unend_series(s, series);
		remove_series(s, series);
		return true;
	}
	to = unpack_series(s, series) ? of(s, series) : NULL;
	if (!to)
		return false;
	for (size_t i = 0; i < s->nr_sinks; i++)
		if (!fold_seen(s, to, series, i))
			return false;
	samples__merge(s, to->view, to->run, series->run);
	to->unseen |= series->unseen;
	unend_series(s, series);
	remove_series(s, series);
	return true;
}

/*
 * What ended 500 VMs ago. And sooner where more than 500 VMs have series, of which a quarter
 * may always be of what has ended; or where VMs have more series than they should have.
 */
static bool is_old(const struct samples *s, const struct series *ended)
{
	return s->nr_vms_came - ended->ended_at >= s->keep_vms ||
	       (s->nr_vms > s->keep_vms && s->nr_ended > s->nr_all / 4) ||
	       s->nr_ended > s->keep_vms * MOST_SERIES_PER_VM;
}

static void fold_old(struct samples *s)
{
	while (s->oldest && is_old(s, s->oldest))
		if (!fold(s, s->oldest, remainder_of))
			return;
}

void samples__close(struct samples *s, struct source *source)
{
	struct series *series;

	if (!source)
		return;
	series = source->series;
	if (series->sole == source)
		series->sole = NULL;
	if (series->polled == source)
		series->polled = NULL;
	put_row(s, source->before);
	free(source);
	if (--series->nr_sources)
		return;
	end_series(s, series);
	for (size_t i = 0; i < s->nr_sinks; i++)
		if (series->seen[i] && !(series->unseen >> i & 1))
			catch_up(s, series, i);
	if (series->vm->nr_ended > MOST_ENDED_OF_VM)
		fold(s, series, others_of);
	fold_old(s);
}

/* Growth without a source */

static void add_gauge(const struct samples *s, struct series *series, const struct field *field,
		      const struct row *row)
{
	void *run = cell(series->run, field);

	if (field->col->merge == MERGE_MAX)
		note_greatest(s, series, field, cell(row, field));
	else if (field->col->merge == MERGE_WINDOW && series->unseen)
		cell__set_absent(field->col, run);
	else
		memcpy(run, cell(row, field), field->size);
}

static void add_to_field(const struct samples *s, struct series *series, const struct field *field,
			 const struct row *row)
{
	if (field->kind == FIELD_GAUGE) {
		add_gauge(s, series, field, row);
		return;
	}
	if (field->kind == FIELD_BITS) {
		note_bits(s, series, field, cell(row, field));
		return;
	}
	if (field->kind == FIELD_TIMES)
		note_extremes(s, series, field, cell(row, field));
	merge_field(field, series->run, row);
}

bool samples__add(struct samples *s, unsigned int view, const struct row *row)
{
	const struct layout *layout = &s->layouts[view];
	uint64_t hash = hash_key(layout, view, row);
	struct series *series = find(s, view, hash, row, false);

	if (!series)
		series = new_series(s, view, hash, row);
	if (!series)
		return false;
	for (size_t i = 0; i < s->nr_sinks; i++)
		if ((series->caught_up >> i & 1) && !has_seen(s, series, i))
			return false;
	for (size_t i = 0; i < layout->nr; i++)
		add_to_field(s, series, &layout->fields[i], row);
	series->unseen = UINT64_MAX;
	series->grew = true;
	unend_series(s, series);
	end_series(s, series);
	fold_old(s);
	return true;
}

/* Polling */

static struct series *polled_series(struct samples *s, unsigned int view, const struct row *row)
{
	struct series *series = find(s, view, hash_key(&s->layouts[view], view, row), row, false);
	struct source *source;

	if (series && series->polled)
		return series;
	source = samples__open(s, view, row);
	if (!source)
		return NULL;
	source->series->polled = source;
	return source->series;
}

static bool gauges_differ(const struct layout *layout, const struct row *a, const struct row *b)
{
	for (size_t i = 0; i < layout->nr; i++) {
		const struct field *field = &layout->fields[i];

		if (field->kind == FIELD_GAUGE &&
		    memcmp(cell(a, field), cell(b, field), field->size))
			return true;
	}
	return false;
}

void samples__poll(struct samples *s, unsigned int view, const struct row *row, bool begins,
		   enum poll_show show)
{
	struct series *series = polled_series(s, view, row);
	bool is_shown;

	if (!series)
		return;
	series->polled_at = s->nr_polls;
	if (begins) {
		samples__begin(s, series->polled, row);
		return;
	}
	is_shown = show == SHOW_ALWAYS ||
		   (show == SHOW_CHANGES &&
		    (!series->grew || gauges_differ(&s->layouts[view], series->run, row)));
	samples__take(s, series->polled, row);
	if (!is_shown)
		return;
	series->unseen = UINT64_MAX;
	series->grew = true;
}

/* Closing may fold others: one that takes the place of such a one waits for the next look. */
void samples__end_poll(struct samples *s)
{
	for (size_t i = 0; i < s->nr_all; i++)
		if (s->all[i]->polled && s->all[i]->polled_at != s->nr_polls)
			samples__close(s, s->all[i]->polled);
	s->nr_polls++;
}

/* Reading */

static uint64_t what_of(const struct times *t, enum column_of_times what)
{
	switch (what) {
	case TIMES_COUNT:
		return t->count;
	case TIMES_TOTAL:
		return t->total_ns;
	case TIMES_MIN:
		return t->min_ns;
	case TIMES_MAX:
		return t->max_ns;
	case TIMES_MEAN:
		return times__mean(t);
	case TIMES_P50:
		return times__percentile(t, 50);
	case TIMES_P90:
		return times__percentile(t, 90);
	case TIMES_P99:
		return times__percentile(t, 99);
	case TIMES_NONE:
		break;
	}
	return UINT64_MAX;
}

void samples__derive(const struct samples *s, unsigned int view, struct row *row)
{
	const struct layout *layout = &s->layouts[view];

	for (size_t i = 0; i < layout->nr; i++) {
		const struct field *field = &layout->fields[i];

		if (field->kind == FIELD_DERIVED)
			*number(row, field) = what_of((void *)((char *)row + field->col->times_at),
						      field->col->times);
	}
}

static void subtract_times(struct times *row, const struct times *seen)
{
	row->count -= seen->count;
	row->total_ns -= seen->total_ns;
	for (int i = 0; i < STAT_BUCKETS; i++)
		row->hist[i] -= seen->hist[i];
	row->min_ns = seen->min_ns;
	row->max_ns = seen->max_ns;
}

static void subtract_tally(struct tally *row, const struct tally *seen)
{
	struct tally left = {};

	for (uint32_t i = 0; i < row->nr; i++) {
		uint64_t was = tally__get(seen, row->list[i].key);

		if (row->list[i].count > was)
			tally__add(&left, row->list[i].key, row->list[i].count - was);
	}
	*row = left;
}

/* Of a copy of the run: what the sink has not seen. */
static void subtract(const struct layout *layout, struct row *row, const struct row *seen)
{
	for (size_t i = 0; i < layout->nr; i++) {
		const struct field *field = &layout->fields[i];

		switch (field->kind) {
		case FIELD_COUNTER:
			if (*number(row, field) != UINT64_MAX && *number(seen, field) != UINT64_MAX)
				*number(row, field) -= *number(seen, field);
			break;
		case FIELD_TIMES:
			subtract_times(cell(row, field), cell(seen, field));
			break;
		case FIELD_TALLY:
			subtract_tally(cell(row, field), cell(seen, field));
			break;
		case FIELD_BITS:
		case FIELD_GAUGE:
			if (is_since(field))
				memcpy(cell(row, field), cell(seen, field), field->size);
			break;
		case FIELD_LABEL:
		case FIELD_DERIVED:
			break;
		}
	}
}

static bool is_shown(const struct series *series, size_t sink, unsigned int view, enum scope scope)
{
	if (series->view != view || is_idle(series))
		return false;
	return scope == SCOPE_TOTAL || (series->unseen >> sink & 1);
}

/* Leaves of a copy of the run what the sink has not seen; now it has. */
static void take_unseen(struct samples *s, struct series *series, size_t sink, struct row *row)
{
	struct row *seen = series->seen[sink];

	if (!seen)
		begin_seen(s, series, sink, s->spare);
	subtract(&s->layouts[series->view], row, seen ? seen : s->spare);
	series->unseen &= ~(1ULL << sink);
	if (seen && !series->ended)
		set_seen(s, series, seen);
	else
		catch_up(s, series, sink);
}

int samples__read(struct samples *s, size_t sink, unsigned int view, enum scope scope,
		  struct sample **list, size_t *nr)
{
	struct series **shown = malloc((s->nr_all + 1) * sizeof(*shown));
	struct row *row;
	size_t count = 0;

	*nr = 0;
	*list = NULL;
	for (size_t i = 0; shown && i < s->nr_all; i++) {
		struct series *series = s->all[i];

		if (!is_shown(series, sink, view, scope)) {
			pack_series(s, series);
			continue;
		}
		shown[count++] = series;
		/* Of an ended one all is seen now. */
		if (scope == SCOPE_INTERVAL && !series->ended && !has_seen(s, series, sink)) {
			free(shown);
			return -ENOMEM;
		}
	}
	if (shown)
		*list = malloc(count * (sizeof(**list) + s->row_size) + 1);
	if (!*list) {
		free(shown);
		return -ENOMEM;
	}
	row = (struct row *)(*list + count);
	for (; *nr < count; (*nr)++) {
		struct series *series = shown[*nr];

		memcpy(row, run_of(s, series), s->row_size);
		/* Of a packed one all is seen. */
		if (series->run && scope == SCOPE_INTERVAL)
			take_unseen(s, series, sink, row);
		samples__derive(s, view, row);
		(*list)[*nr] = (struct sample){
			.row = row,
			.run = series->run ? series->run : row,
		};
		row = (struct row *)((char *)row + s->row_size);
	}
	free(shown);
	return 0;
}

void samples__zero(const struct samples *s, unsigned int view, struct row *row)
{
	clear_data(&s->layouts[view], row);
}

size_t samples__nr_series(const struct samples *s)
{
	return s->nr_all - s->nr_remainders;
}

size_t samples__nr_remainders(const struct samples *s)
{
	return s->nr_remainders;
}
