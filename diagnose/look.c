// SPDX-License-Identifier: GPL-2.0-only
/* What rules ask of the facts. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rule.h"

static const struct facts_of_vm *rows_of(const struct facts_window *window, size_t vm)
{
	static const struct facts_of_vm none;

	return vm < window->nr_of ? &window->of[vm] : &none;
}

/* The first row of a vCPU, or of none. */
static size_t first_of(const struct facts_of_vm *of, uint32_t vcpu)
{
	size_t low = 0, high = of->sorted ? of->nr : 0;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (of->list[middle]->vcpu < vcpu)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static const struct fact *next_of(const struct facts_of_vm *of, uint32_t vcpu, bool all,
				  const char *table, const struct fact *after)
{
	size_t i = after ? after->at + 1 : all ? 0 : first_of(of, vcpu);
	const char *other = NULL; /* rows of one table come together, and have one name */

	for (; i < of->nr; i++) {
		if (!all && of->list[i]->vcpu != vcpu) {
			if (of->sorted)
				return NULL;
			continue;
		}
		if (of->list[i]->table == other)
			continue;
		if (!strcmp(of->list[i]->table, table))
			return of->list[i];
		other = of->list[i]->table;
	}
	return NULL;
}

const struct fact *look__next(const struct look *l, const char *table, const struct fact *after)
{
	return next_of(rows_of(l->window, l->vm_at), l->vcpu, l->vcpu == UINT32_MAX, table, after);
}

const struct fact *look__next_of_none(const struct look *l, const char *table,
				      const struct fact *after)
{
	return next_of(rows_of(l->window, l->vm_at), UINT32_MAX, false, table, after);
}

bool fact__is(const struct fact *fact, const struct where *where)
{
	for (; where && where->name; where++) {
		const char *text = fact__get_text(fact, where->name);
		size_t len = strlen(where->is);

		if (!text)
			return false;
		if (len && where->is[len - 1] == '*' ? strncmp(text, where->is, len - 1) != 0 :
						       strcmp(text, where->is) != 0)
			return false;
	}
	return true;
}

double look__sum(const struct look *l, const char *table, const char *column,
		 const struct where *where)
{
	const struct fact *fact = NULL;
	double sum = 0;

	while ((fact = look__next(l, table, fact))) {
		double value = fact__get(fact, column);

		if (!isnan(value) && fact__is(fact, where))
			sum += value;
	}
	return sum;
}

double look__max(const struct look *l, const char *table, const char *column,
		 const struct where *where)
{
	const struct fact *fact = NULL;
	double max = NAN;

	while ((fact = look__next(l, table, fact))) {
		double value = fact__get(fact, column);

		if (!isnan(value) && fact__is(fact, where) && !(value <= max))
			max = value;
	}
	return max;
}

double look__host_count(const struct look *l, const char *name)
{
	const struct facts_of_vm *of = rows_of(l->window, l->vm_at);
	const char *table = l->vm_at ? "VM_CGROUP" : "HOST";
	double sum = NAN;

	for (size_t i = 0; i < of->nr; i++) {
		double value = fact__get(of->list[i], "count");
		const char *is = fact__get_text(of->list[i], "name");

		if (strcmp(of->list[i]->table, table) || !is || strcmp(is, name) || isnan(value))
			continue;
		sum = isnan(sum) ? value : sum + value;
	}
	return sum;
}

static const struct fact *setting(const struct look *l, const char *name)
{
	const struct facts *f = l->facts;

	/* The whole has all of them, an interval only what changed. */
	for (size_t vm = 0; vm <= l->vm_at; vm += l->vm_at ?: 1) {
		const struct facts_of_vm *of = rows_of(&f->total, vm);

		for (size_t i = 0; i < of->nr; i++) {
			const char *is = fact__get_text(of->list[i], "name");

			if (is && !strcmp(is, name) &&
			    (!strcmp(of->list[i]->table, "HOST") ||
			     !strcmp(of->list[i]->table, "VM_CGROUP")))
				return of->list[i];
		}
	}
	return NULL;
}

const char *look__host_text(const struct look *l, const char *name)
{
	const struct fact *fact = setting(l, name);

	return fact ? fact__get_text(fact, "value") : NULL;
}

double look__host_number(const struct look *l, const char *name)
{
	const struct fact *fact = setting(l, name);

	return fact ? fact__get(fact, "number") : NAN;
}

static double gauge(const struct look *l, const struct facts_window *window, const char *table,
		    const char *column)
{
	struct look at = *l;
	const struct fact *row;

	at.window = window;
	row = look__next_of_none(&at, table, NULL);
	return row ? fact__get(row, column) : NAN;
}

double look__first(const struct look *l, const char *table, const char *column)
{
	const struct facts *f = l->facts;
	double value = NAN;

	for (size_t i = 0; i < f->nr_windows && isnan(value); i++)
		value = gauge(l, &f->windows[i], table, column);
	return value;
}

double look__last(const struct look *l, const char *table, const char *column)
{
	const struct facts *f = l->facts;
	double value = NAN;

	for (size_t i = f->nr_windows; i-- > 0 && isnan(value);)
		value = gauge(l, &f->windows[i], table, column);
	return value;
}

static double exits_ns(const struct look *l, const char *class)
{
	double all = look__sum(l, "KVM_EXIT", "total_ns", class ? WHERE({ "class", class }) : NULL);

	/* A halt is no cost. */
	if (!class)
		all -= look__sum(l, "KVM_EXIT", "total_ns", WHERE({ "class", "halt" }));
	return all;
}

static double user_ns(const struct look *l, const char *class)
{
	return look__sum(l, "KVM_USERSPACE_EXIT", "total_ns",
			 class ? WHERE({ "class", class }) : NULL);
}

/* How much of what exits took was KVM's: there is stealing and sleeping in them, too. */
static double of_slice(double slice, double all)
{
	return all > slice && all > 0 ? slice / all : 1;
}

double look__kvm_ns(const struct look *l, const char *class)
{
	double all = exits_ns(l, NULL) - user_ns(l, NULL);
	double of_class = exits_ns(l, class) - user_ns(l, class);

	return of_class > 0 ? of_class * of_slice(l->slices[SLICE_KVM], all) : 0;
}

double look__vmm_ns(const struct look *l, const char *class)
{
	return user_ns(l, class) * of_slice(l->slices[SLICE_VMM], user_ns(l, NULL));
}

void look__split(const struct look *l, const char *class, double total_ns, double of_user,
		 double *kvm_ns, double *vmm_ns)
{
	double user = of_user > 0 ? user_ns(l, class) * of_user : 0;

	if (user > total_ns)
		user = total_ns;
	*vmm_ns = user * of_slice(l->slices[SLICE_VMM], user_ns(l, NULL));
	*kvm_ns = (total_ns - user) *
		  of_slice(l->slices[SLICE_KVM], exits_ns(l, NULL) - user_ns(l, NULL));
}

const struct fact *look__vm_state(const struct look *l)
{
	return look__next_of_none(l, "VM_STATE", NULL);
}

double look__share(const struct look *l, double ns)
{
	return l->wall_ns > 0 ? ns / l->wall_ns : NAN;
}

/* The next range of a list. False: there is none. */
static bool next_range(const char **list, long *first, long *last)
{
	char *end;

	if (!*list || **list < '0' || **list > '9')
		return false;
	*first = *last = strtol(*list, &end, 10);
	if (*end == '-')
		*last = strtol(end + 1, &end, 10);
	*list = *end == ',' ? end + 1 : end;
	return true;
}

bool cpus__meet(const char *a, const char *b)
{
	long a_first, a_last, b_first, b_last;

	while (next_range(&a, &a_first, &a_last))
		for (const char *p = b; next_range(&p, &b_first, &b_last);)
			if (a_first <= b_last && b_first <= a_last)
				return true;
	return false;
}

long cpus__single(const char *list)
{
	long first, last, other;

	if (!next_range(&list, &first, &last) || first != last)
		return -1;
	return next_range(&list, &other, &last) ? -1 : first;
}

long look__pinned_to(const struct look *l)
{
	const struct fact *row = NULL;

	while ((row = look__next(l, "VMM_THREADS", row))) {
		const char *role = fact__get_text(row, "role");

		if (role && !strcmp(role, "vcpu"))
			return cpus__single(fact__get_text(row, "cpus"));
	}
	return -1;
}

static struct evidence *add(struct finding *f, const char *what, double value, enum unit unit)
{
	static struct evidence no_room;
	struct evidence *e =
		f->nr_evidence < MAX_EVIDENCE ? &f->evidence[f->nr_evidence++] : &no_room;

	*e = (struct evidence){ .what = what, .value = value, .unit = unit, .least = NAN };
	return e;
}

bool finding__least(struct finding *f, const char *what, double value, enum unit unit, double least,
		    const char *whose)
{
	struct evidence *e = add(f, what, value, unit);

	e->least = least;
	e->whose = whose;
	return value >= least;
}

bool finding__most(struct finding *f, const char *what, double value, enum unit unit, double most,
		   const char *whose)
{
	struct evidence *e = add(f, what, value, unit);

	e->least = most;
	e->most = true;
	e->whose = whose;
	return value < most;
}

void finding__show(struct finding *f, const char *what, double value, enum unit unit)
{
	add(f, what, value, unit);
}

void finding__word(struct finding *f, const char *what, const char *word)
{
	struct evidence *e = add(f, what, NAN, UNIT_WORD);

	snprintf(e->word, sizeof(e->word), "%s", word);
}

void finding__claim(struct finding *f, enum slice slice, double ns)
{
	if (ns > 0)
		f->claims[slice] += ns;
}

void finding__object(struct finding *f, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(f->object, sizeof(f->object), format, args);
	va_end(args);
}

#define WHY(_f, _format)                                                 \
	do {                                                             \
		va_list _args;                                           \
		va_start(_args, _format);                                \
		vsnprintf((_f)->why, sizeof((_f)->why), _format, _args); \
		va_end(_args);                                           \
	} while (0)

enum opinion finding__unknown(struct finding *f, const char *format, ...)
{
	WHY(f, format);
	return OPINION_UNKNOWN;
}

enum opinion finding__na(struct finding *f, const char *format, ...)
{
	WHY(f, format);
	return OPINION_NOT_APPLICABLE;
}
