// SPDX-License-Identifier: GPL-2.0-only
/* The table of monitors is sane, and its hooks are the programs that the objects carry. */
#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "../../bpf/records.h"
#include "../../core/attach.h"
#include "../../core/events.h"
#include "../../core/map.h"
#include "../../core/samples.h"
#include "../../monitors/monitors.h"

#define KEYS "efmdwnocihlT"

static void test_names(void **state)
{
	(void)state;
	assert_in_range(nr_monitors, 1, MAX_MONITORS);
	for (size_t i = 0; i < nr_monitors; i++) {
		const struct monitor *m = monitors[i];

		assert_true(m->name && *m->name && m->help && *m->help);
		assert_int_equal(strspn(m->name, "abcdefghijklmnopqrstuvwxyz_"), strlen(m->name));
		for (size_t j = 0; j < i; j++) {
			assert_string_not_equal(m->name, monitors[j]->name);
			assert_true(!m->key || m->key != monitors[j]->key);
		}
	}
}

/* The letters are the users' habits. */
static void test_keys(void **state)
{
	size_t nr = 0;

	(void)state;
	for (size_t i = 0; i < nr_monitors; i++) {
		assert_non_null(strchr(KEYS, monitors[i]->key));
		nr += !!monitors[i]->key;
		for (const struct monitor_option *o = monitors[i]->options; o && o->name; o++) {
			assert_true(!o->key || strchr(KEYS, o->key));
			nr += !!o->key;
		}
	}
	assert_int_equal(nr, strlen(KEYS));
}

static void test_options(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_monitors; i++) {
		const struct monitor *m = monitors[i];

		assert_int_equal(!m->options, !m->config_size);
		assert_true(m->config_size <= sizeof(struct monitor_config));
		for (const struct monitor_option *o = m->options; o && o->name; o++) {
			assert_true(*o->name && o->help && *o->help && o->set);
			assert_true(!o->is_part || !o->arg);
		}
	}
}

static size_t count_views(const struct monitor *m)
{
	size_t nr = 0;

	while (m->views[nr].title)
		nr++;
	return nr;
}

static void test_parts(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_monitors; i++) {
		const struct monitor *m = monitors[i];

		assert_true(m->views && m->columns);
		assert_true(!m->open_skeleton == !m->hooks);
		assert_true(m->records || m->look);
		assert_true(m->row_size > sizeof(struct row));
		assert_in_range(count_views(m), 1, MAX_VIEWS);
		assert_true(m->event_view < count_views(m));
		for (size_t v = 0; v < count_views(m); v++)
			for (size_t w = 0; w < v; w++)
				assert_string_not_equal(m->views[v].title, m->views[w].title);
	}
}

/* A view shows its own samples, those of a view that has some, or none. */
static void test_samples(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_monitors; i++) {
		const struct monitor *m = monitors[i];
		bool any = false;

		for (size_t v = 0; v < count_views(m); v++) {
			unsigned int of = m->views[v].samples;

			any |= of;
			assert_true(of <= count_views(m));
			assert_true(!of || m->views[of - 1].samples == of);
			assert_true(!of || v != m->event_view || !m->event || m->only_slow);
			assert_true(!of || !m->slow_view || v != m->slow_view);
		}
		assert_true(any);
	}
}

/* What a column shows of times there is in the row, at that place. */
static void test_times(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_monitors; i++)
		for (const struct column *col = monitors[i]->columns; col->name; col++) {
			const struct column *of = monitors[i]->columns;

			assert_true(col->offset >= sizeof(struct row));
			assert_true(col->offset < monitors[i]->row_size);
			if (!col->times)
				continue;
			while (of->name && (of->type != COL_TIMES || of->offset != col->times_at))
				of++;
			assert_non_null(of->name);
			assert_true(!of->views || (col->views & ~of->views) == 0);
			assert_true(col->type == COL_NSEC || col->type == COL_U64);
			assert_true(col->role != ROLE_LABEL);
		}
}

static void check_column(const struct monitor *m, const struct column *col)
{
	static const char *const leading[] = { "monitor", "scope", "ts_ns", "vm",
					       "pid",	  "tid",   "vcpu" };
	unsigned int only = col->flags & (COL_TABLE_ONLY | COL_DATA_ONLY);

	assert_int_equal(strspn(col->name, "abcdefghijklmnopqrstuvwxyz0123456789_"),
			 strlen(col->name));
	for (size_t i = 0; i < sizeof(leading) / sizeof(*leading); i++)
		assert_true(strcmp(col->name, leading[i]) || (only & COL_TABLE_ONLY));
	for (const struct column *other = m->columns; other < col; other++)
		assert_string_not_equal(col->name, other->name);
	assert_true(only != (COL_TABLE_ONLY | COL_DATA_ONLY));
	if (!column__is_shown(col))
		return;
	assert_true(!!col->title != !!(only & COL_DATA_ONLY));
	assert_true(col->help && *col->help);
	assert_true(col->offset >= sizeof(struct row));
	assert_false(col->views & ~((1ULL << count_views(m)) - 1));
	/* The unit is in the name, where data is read by programs. */
	if (col->type == COL_NSEC)
		assert_string_equal(col->name + strlen(col->name) - 3, "_ns");
}

static void test_columns(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_monitors; i++) {
		assert_non_null(monitors[i]->columns[0].name);
		for (const struct column *col = monitors[i]->columns; col->name; col++)
			check_column(monitors[i], col);
	}
}

/*
 * Is hook the first row of its need on some host, with some options? It is not if a row before it
 * is there whenever hook is.
 */
static bool leads(const struct hook *first, const struct hook *hook)
{
	for (; first < hook; first++)
		if (!hook__is_each(first) && (!first->applies || first->applies == hook->applies) &&
		    (!first->asked || first->asked == hook->asked))
			return false;
	return true;
}

/* One need's rows: from first up to the next need. Returns how many. */
static size_t check_need(const struct hook *first)
{
	size_t nr = 0;

	assert_true(first->gives && *first->gives);
	for (; first[nr].need && !strcmp(first[nr].need, first->need); nr++) {
		const struct hook *hook = &first[nr];

		assert_true(hook->kind < NR_HOOK_KINDS && hook->target && hook->prog);
		assert_false(hook->vendors & ~(unsigned int)(VENDOR_VMX | VENDOR_SVM));
		if (leads(first, hook)) {
			assert_string_equal(hook->gives, first->gives);
			assert_int_equal(hook->primary, first->primary);
		} else {
			assert_true(!hook->gives && !hook->primary);
		}
		for (const struct hook *other = first; other < hook; other++)
			assert_int_not_equal(hook->prog, other->prog);
	}
	return nr;
}

/* Each moment has room for all, and each of them one place. */
static void test_called(void **state)
{
	static const size_t room[NR_CALLED_AT] = {
		[AT_ENTRY] = MAX_AT_ENTRY,
		[AT_RUN] = MAX_AT_RUN,
		[AT_EACH_EXIT] = MAX_AT_EACH,
		[AT_EACH_ENTRY] = MAX_AT_EACH,
	};
	size_t nr[NR_CALLED_AT] = {};

	(void)state;
	for (size_t i = 0; i < nr_monitors; i++) {
		const char *needs[NR_CALLED_AT] = {};

		for (const struct hook *h = monitors[i]->hooks; h && h->need; h++) {
			if (!h->called_at)
				continue;
			nr[h->called_at] += !needs[h->called_at];
			if (needs[h->called_at])
				assert_string_equal(h->need, needs[h->called_at]);
			needs[h->called_at] = h->need;
		}
	}
	for (size_t at = AT_ENTRY; at < NR_CALLED_AT; at++)
		assert_in_range(nr[at], 2, room[at]);
}

static void test_hooks(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_monitors; i++) {
		const struct hook *hooks = monitors[i]->hooks;
		size_t nr_needs = 0;
		bool primary = false;

		if (!hooks)
			continue;
		for (size_t first = 0; hooks[first].need; nr_needs++) {
			/* The alternatives of a need are one block. */
			for (size_t j = 0; j < first; j++)
				assert_string_not_equal(hooks[j].need, hooks[first].need);
			primary |= hooks[first].primary;
			first += check_need(&hooks[first]);
			assert_in_range(first, 1, MAX_HOOKS);
		}
		assert_in_range(nr_needs, 1, MAX_NEEDS);
		assert_true(primary);
	}
}

/* "raw_tp/kvm_exit", "tp/kvm/kvm_exit", "fexit/svm_vcpu_run": kind and target. */
static void check_section(const struct hook *hook, const char *section)
{
	static const char *const words[NR_HOOK_KINDS][4] = {
		[HOOK_RAW_TP] = { "raw_tp/" },
		[HOOK_TP_BTF] = { "tp_btf/" },
		[HOOK_FENTRY] = { "fentry/", "fexit/" },
		[HOOK_KPROBE] = { "kprobe/", "kretprobe/", "kprobe.multi/", "kretprobe.multi/" },
		[HOOK_TRACEPOINT] = { "tp/", "tracepoint/" },
		[HOOK_ITER] = { "iter/" },
	};
	const char *target = strrchr(section, '/');
	bool found = false;

	section += *section == '?';
	/* It takes the place of a function of the program that is on the event. */
	if (hook__is_each(hook)) {
		assert_string_equal(section, "freplace");
		assert_string_equal(hook->target,
				    hook->called_at == AT_EACH_EXIT ? "kvm_exit" : "kvm_entry");
		return;
	}
	for (int i = 0; i < 4 && words[hook->kind][i]; i++)
		found |= !strncmp(section, words[hook->kind][i], strlen(words[hook->kind][i]));
	assert_true(found);
	assert_non_null(target);
	assert_string_equal(target + 1, hook->target);
}

/* The maps are of the shape that the monitor says. */
static void check_maps(const struct monitor *m, const struct skeleton *skel)
{
	const struct record_kind *kind = m->records;
	const struct bpf_map *map;

	if (!kind)
		return;
	assert_true(kind->label && kind->sample);
	assert_true(kind->in_use || kind->in_use_at + sizeof(uint32_t) <= kind->record_size);
	map = skeleton__map(skel, kind->records);
	assert_int_equal(bpf_map__value_size(map), kind->record_size);
	assert_true(bpf_map__map_flags(map) & BPF_F_MMAPABLE);
	assert_true(!kind->index == !kind->free_records);
	if (kind->index) {
		map = skeleton__map(skel, kind->index);
		assert_int_equal(bpf_map__value_size(map), sizeof(uint32_t));
		assert_true(kind->key_at + bpf_map__key_size(map) <= kind->record_size);
		map = skeleton__map(skel, kind->free_records);
		assert_int_equal(bpf_map__type(map), BPF_MAP_TYPE_STACK);
	} else {
		assert_int_equal(kind->per_slot, 1);
	}
	if (!kind->states)
		return;
	map = skeleton__map(skel, kind->states);
	if (bpf_map__is_internal(map))
		assert_true(kind->states_at + kind->state_size * MAX_VCPU_SLOTS <=
			    bpf_map__value_size(map));
	else
		assert_int_equal(bpf_map__value_size(map), kind->state_size);
}

/* Also where the compiler has made further sections of constants: they reach the programs. */
static void check_constants(const struct skeleton *skel)
{
	bool has_ring = bpf_object__find_map_by_name(skel->obj, "events");
	struct bpf_map *map;
	long offset = map__find_variable(skel->obj, ".rodata", "no_events", &map);
	const char *initial;
	size_t size;

	assert_int_equal(map__set_const(skel->obj, "no_events", 0x12345678),
			 has_ring ? 0 : -ENOENT);
	if (!has_ring)
		return;
	assert_non_null(strstr(bpf_map__name(map), ".rodata"));
	assert_string_equal(strstr(bpf_map__name(map), ".rodata"), ".rodata");
	initial = bpf_map__initial_value(map, &size);
	assert_true(offset >= 0 && offset + sizeof(uint32_t) <= size);
	assert_int_equal(*(const uint32_t *)(initial + offset), 0x12345678);
}

static void check_programs(const struct monitor *m)
{
	struct skeleton *skel = m->open_skeleton(NULL);
	struct bpf_program *prog;

	assert_non_null(skel);
	for (const struct hook *hook = m->hooks; hook->need; hook++) {
		prog = skeleton__prog(skel, hook->prog);
		check_section(hook, bpf_program__section_name(prog));
		/* Only the chosen ones are to be loaded. */
		assert_false(bpf_program__autoload(prog));
	}
	bpf_object__for_each_program(prog, skel->obj)
	{
		bool used = false;

		for (const struct hook *hook = m->hooks; hook->need; hook++)
			used |= skeleton__prog(skel, hook->prog) == prog;
		assert_true(used);
	}
	check_maps(m, skel);
	check_constants(skel);
	skeleton__destroy(skel);
}

static void test_programs(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_monitors; i++)
		if (monitors[i]->open_skeleton)
			check_programs(monitors[i]);
}

static void test_kinds(void **state)
{
	char names[256];
	size_t used = 0;

	(void)state;
	for (int kind = 0; kind < NR_HOOK_KINDS; kind++) {
		assert_int_equal(hook_kind__parse(hook_kind__name(kind)), kind);
		used += snprintf(names + used, sizeof(names) - used, "%s%s", kind ? ", " : "",
				 hook_kind__name(kind));
		assert_true(used < sizeof(names));
	}
	assert_string_equal(hook_kind__names(), names);
	assert_true(hook_kind__parse("uprobe") < 0);
}

static bool shows_events(const struct monitor *m, bool alone, bool events, bool summary)
{
	const struct attach_env env = { .alone = alone, .events = events, .summary = summary };

	return events__are_shown(&env, &(struct chosen){ .monitor = m });
}

/* The rule of the originals, which are -c, -d, -f, -i, -n and -w. */
static void test_events(void **state)
{
	(void)state;
	for (size_t i = 0; i < nr_monitors; i++) {
		const struct monitor *m = monitors[i];
		const struct attach_env slow = { .slower_ns = 1, .alone = true };
		const struct attach_env none = { .summary = true };
		const struct chosen c = { .monitor = m },
				    slow_one = { .monitor = m, .slower_ns = 1 };
		bool has = m->event && !m->only_slow;

		assert_int_equal(m->events_alone, m->key && strchr("cdfinw", m->key));
		assert_true(has || !(m->events_alone || m->keeps_events));
		assert_int_equal(shows_events(m, true, false, false), m->events_alone);
		assert_false(shows_events(m, false, false, false));
		assert_int_equal(shows_events(m, true, true, false), has);
		assert_int_equal(shows_events(m, false, true, false), has);
		assert_false(shows_events(m, true, false, true));
		/* Those that have a time, whatever else is asked for. */
		assert_int_equal(events__are_shown(&slow, &c), m->event_ns_at > 0);
		/* Of one alone, whatever the others do. */
		assert_int_equal(events__are_shown(&none, &slow_one), m->event_ns_at > 0);
		assert_int_equal(events__view(&none, &slow_one), m->slow_view ?: m->event_view);
		assert_true(!m->slow_view || m->event_ns_at);
		assert_int_equal(events__view(&slow, &c), m->slow_view ?: m->event_view);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	cmocka_unit_test(test_keys),
		cmocka_unit_test(test_options), cmocka_unit_test(test_parts),
		cmocka_unit_test(test_samples), cmocka_unit_test(test_times),
		cmocka_unit_test(test_columns), cmocka_unit_test(test_hooks),
		cmocka_unit_test(test_called),	cmocka_unit_test(test_programs),
		cmocka_unit_test(test_kinds),	cmocka_unit_test(test_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
