// SPDX-License-Identifier: GPL-2.0-only
#include "keep.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "memory.h"
#include "monitor.h"

/* Rows of one VM, the longest first. */
struct of_vm {
	uint64_t vm_nr;
	struct row **rows;
	size_t nr;
};

struct keep {
	const struct monitor *monitor;
	unsigned int view;
	uint32_t most; /* rows of a VM */
	struct of_vm *vms;
	size_t nr_vms, room;
	uint64_t given_up;
};

static uint64_t ns_of(const struct keep *k, const struct row *row)
{
	uint64_t ns;

	memcpy(&ns, (const char *)row + k->monitor->event_ns_at, sizeof(ns));
	return ns;
}

static bool is_shown(const struct keep *k, const struct column *col)
{
	return !col->views || (col->views & 1U << k->view);
}

static char **strings_copy(const char *const *list)
{
	size_t nr = 0;
	char **copy;

	while (list[nr])
		nr++;
	copy = calloc(nr + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < nr; i++) {
		copy[i] = strdup(list[i]);
		/* A shorter list: it ends where memory does. */
		if (!copy[i])
			break;
	}
	return copy;
}

static void strings_free(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

/* What a row points to becomes its own, or is given back. */
static void own(void *at, enum column_type type)
{
	union {
		char *text;
		char **texts;
		struct json_object *object;
	} *p = at;

	if (type == COL_STRING && p->text)
		p->text = strdup(p->text);
	else if (type == COL_STRINGS && p->texts)
		p->texts = strings_copy((const char *const *)p->texts);
	else if (type == COL_OBJECT && p->object)
		p->object = json_object_get(p->object);
}

static void disown(void *at, enum column_type type)
{
	union {
		char *text;
		char **texts;
		struct json_object *object;
	} *p = at;

	if (type == COL_STRING)
		free(p->text);
	else if (type == COL_STRINGS)
		strings_free(p->texts);
	else if (type == COL_OBJECT)
		json_object_put(p->object);
}

static void for_pointers(const struct keep *k, struct row *row,
			 void (*visit)(void *at, enum column_type type))
{
	visit(&row->vm, COL_STRING);
	visit(&row->vm_id, COL_STRING);
	for (const struct column *col = k->monitor->columns; col->name; col++)
		if (is_shown(k, col))
			visit((char *)row + col->offset, col->type);
}

static void row_free(const struct keep *k, struct row *row)
{
	for_pointers(k, row, disown);
	free(row);
}

static struct row *row_copy(const struct keep *k, const struct row *row)
{
	struct row *copy = malloc(k->monitor->row_size);

	if (!copy)
		return NULL;
	memcpy(copy, row, k->monitor->row_size);
	for_pointers(k, copy, own);
	return copy;
}

struct keep *keep__new(const struct monitor *m, unsigned int view, uint32_t nr)
{
	struct keep *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->monitor = m;
	k->view = view;
	k->most = nr;
	return k;
}

static void of_vm_clear(const struct keep *k, struct of_vm *of)
{
	for (size_t i = 0; i < of->nr; i++)
		row_free(k, of->rows[i]);
	free(of->rows);
}

void keep__free(struct keep *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < k->nr_vms; i++)
		of_vm_clear(k, &k->vms[i]);
	free(k->vms);
	free(k);
}

/* The VM whose worst is the best: nobody looks for that one. */
static void give_up_one(struct keep *k)
{
	size_t least = 0;

	for (size_t i = 1; i < k->nr_vms; i++)
		if (ns_of(k, k->vms[i].rows[0]) < ns_of(k, k->vms[least].rows[0]))
			least = i;
	of_vm_clear(k, &k->vms[least]);
	k->nr_vms--;
	memmove(&k->vms[least], &k->vms[least + 1], (k->nr_vms - least) * sizeof(*k->vms));
	k->given_up++;
}

/* The rows of that VM, which may be none yet. NULL: no memory. */
static struct of_vm *find_vm(struct keep *k, uint64_t vm_nr)
{
	struct of_vm *of;

	for (size_t i = 0; i < k->nr_vms; i++)
		if (k->vms[i].vm_nr == vm_nr)
			return &k->vms[i];
	if (k->nr_vms == KEEP_MOST_VMS)
		give_up_one(k);
	if (k->nr_vms == k->room) {
		size_t room = k->room ? 2 * k->room : 16;

		of = realloc(k->vms, room * sizeof(*of));
		if (!of)
			return NULL;
		k->vms = of;
		k->room = room;
	}
	of = &k->vms[k->nr_vms];
	*of = (struct of_vm){ .vm_nr = vm_nr, .rows = calloc(k->most, sizeof(*of->rows)) };
	if (!of->rows)
		return NULL;
	k->nr_vms++;
	return of;
}

void keep__row(struct keep *k, const struct row *row)
{
	struct of_vm *of = find_vm(k, row->vm_nr);
	uint64_t ns = ns_of(k, row);
	struct row *copy;
	size_t i;

	if (of && of->nr == k->most && ns <= ns_of(k, of->rows[of->nr - 1]))
		return;
	copy = of ? row_copy(k, row) : NULL;
	if (!copy) {
		/* Without a row it is no VM. */
		if (of && !of->nr) {
			free(of->rows);
			k->nr_vms--;
		}
		memory__is_short();
		return;
	}
	if (of->nr == k->most)
		row_free(k, of->rows[--of->nr]);
	for (i = of->nr++; i > 0 && ns_of(k, of->rows[i - 1]) < ns; i--)
		of->rows[i] = of->rows[i - 1];
	of->rows[i] = copy;
}

const struct row *keep__get(struct keep *k, size_t i)
{
	for (size_t vm = 0; vm < k->nr_vms; i -= k->vms[vm++].nr)
		if (i < k->vms[vm].nr)
			return k->vms[vm].rows[i];
	return NULL;
}

uint64_t keep__given_up(const struct keep *k)
{
	return k->given_up;
}
