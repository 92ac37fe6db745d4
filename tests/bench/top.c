// SPDX-License-Identifier: GPL-2.0-only
/*
 * What top takes of a CPU, and how long a key waits: made-up samples of so many VMs, a tenth of
 * which are busy, go through the store, the selection, the monitors' own columns, the rules and the
 * history, as those of a run do; the screen is drawn after each interval, and after each key.
 * Prints JSON. What reading the kernel's maps takes is not in it.
 *
 *	top [VMS [VCPUS [INTERVALS]]]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../core/attach.h"
#include "../../core/clock.h"
#include "../../core/filter.h"
#include "../../core/report.h"
#include "../../core/samples.h"
#include "../../core/sink.h"
#include "../../core/times.h"
#include "../../diagnose/rolling.h"
#include "../../monitors/monitors.h"
#include "../../top/ui.h"

enum { REASONS = 6, KINDS = 3, INTERVAL_S = 2, KEYS = 200 };

static const char *const tables[KINDS] = { "VCPU_LOAD", "KVM_EXIT", "HALTS" };

/* A series: its source, and what it has counted. */
struct series {
	struct samples *store;
	struct source *source;
	struct row *row;
	const struct monitor *m;
	unsigned int view, nr;
	bool busy;
};

static struct series *all;
static size_t nr_all;

static uint64_t cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * NSEC_PER_SEC + used.tv_nsec;
}

static void *at(const struct series *s, const char *name)
{
	for (const struct column *col = s->m->columns; col->name; col++)
		if (!strcmp(col->name, name) && (!col->views || (col->views >> s->view & 1)))
			return (char *)s->row + col->offset;
	exit(1);
}

static void grow(const struct series *s, const char *name, uint64_t by)
{
	*(uint64_t *)at(s, name) += by;
}

static void time_some(const struct series *s, const char *name, unsigned int bucket, uint64_t count)
{
	struct times *t = at(s, name);

	t->hist[bucket] += count;
	t->count += count;
	t->total_ns += count * stat_bucket__low(bucket);
	t->min_ns = stat_bucket__low(bucket);
	t->max_ns = stat_bucket__low(bucket + 1);
}

/* An interval of it; an idle vCPU halts, and nothing else. */
static void live(struct series *s)
{
	const uint64_t second = NSEC_PER_SEC, ms = NSEC_PER_MSEC;

	if (!strcmp(s->m->views[s->view].name, "VCPU_LOAD")) {
		grow(s, "wall_ns", INTERVAL_S * second);
		grow(s, "halted_ns", s->busy ? second : INTERVAL_S * second);
		if (s->busy) {
			grow(s, "guest_ns", second / 2 + s->nr % 97 * ms);
			grow(s, "kvm_ns", second / 4 - s->nr % 97 * ms);
			grow(s, "steal_ns", second / 4);
			grow(s, "total_ns", second);
			grow(s, "count", 100);
			time_some(s, "load", 60 + s->nr % 7, 100);
		}
	} else if (!strcmp(s->m->views[s->view].name, "KVM_EXIT")) {
		grow(s, "count", 500 + s->nr % 1000);
		time_some(s, "time", 40 + s->nr % 9, 490 + s->nr % 1000);
		time_some(s, "time", 55, 10);
		grow(s, "total_ns", 10 * ms);
	} else {
		grow(s, "count", 200);
		time_some(s, "wake", 45 + s->nr % 5, 200);
		time_some(s, "halt", 60, 200);
	}
	samples__take(s->store, s->source, s->row);
}

static void add(struct attachment *at_, unsigned int view, const struct row *head,
		const char *reason, bool busy)
{
	struct series *s = &all[nr_all];

	if (!at_->monitor)
		exit(1);
	*s = (struct series){
		.store = at_->samples,
		.m = at_->monitor,
		.view = view,
		.row = calloc(1, at_->monitor->row_size),
		.nr = nr_all,
		.busy = busy,
	};
	if (!s->row)
		exit(1);
	*s->row = *head;
	if (reason) {
		*(const char **)at(s, "reason") = reason;
		*(const char **)at(s, "whose") = reason;
	}
	s->source = samples__open(s->store, view, s->row);
	if (!s->source)
		exit(1);
	nr_all++;
}

static unsigned int view_of(const struct monitor *m, const char *table)
{
	unsigned int view = 0;

	if (!m)
		exit(1);
	while (m->views[view].title && strcmp(m->views[view].name, table) != 0)
		view++;
	return view;
}

int main(int argc, char **argv)
{
	static const char *const reasons[REASONS] = { "IO_INSTRUCTION",	    "EPT_VIOLATION",
						      "MSR_WRITE",	    "CPUID",
						      "EXTERNAL_INTERRUPT", "EPT_MISCONFIG" };
	unsigned int vms = argc > 1 ? atoi(argv[1]) : 500, vcpus = argc > 2 ? atoi(argv[2]) : 4,
		     intervals = argc > 3 ? atoi(argv[3]) : 60;
	struct model *model = model__new(monitors, nr_monitors, HISTORY_BYTES);
	struct rolling *rules = rolling__new();
	const struct filter filter = {};
	struct sink sink = { .out = model__output(model) };
	struct attach_env env = { .sinks = &sink, .nr_sinks = 1, .filter = &filter };
	struct attachment attachments[KINDS] = {};
	struct monitor copies[KINDS];
	struct monitor_config none = {};
	struct attachments attached = {};
	static const uint32_t keys[] = { KEY_ENTER, KEY_TAB, KEY_ENTER, KEY_ESC, KEY_ESC, '>',
					 '<',	    'I',     'I',	'[',	 '}' };
	struct settings settings = {};
	struct ui_options opts = { .model = model,
				   .settings = &settings,
				   .about = "",
				   .interval_ns = INTERVAL_S * (uint64_t)NSEC_PER_SEC,
				   .blocks = true };
	struct ui *ui = ui__new(&opts);
	const struct model_rules tee = { rolling__output(rules), NULL, NULL };
	uint64_t now = NSEC_PER_SEC, used, interval_ns = 0, key_ns = 0, worst_ns = 0;

	all = calloc((size_t)vms * vcpus * (2 + REASONS), sizeof(*all));
	if (!all || !ui)
		return 1;
	model__set_rules(model, &tee);
	for (size_t i = 0; i < KINDS; i++)
		for (size_t j = 0; j < nr_monitors; j++) {
			const struct monitor *m = monitors[j];
			struct monitor *copy = &copies[i];

			if (!m->views[view_of(m, tables[i])].title)
				continue;
			*copy = *m;
			copy->shows = NULL;
			attachments[i] = (struct attachment){
				.env = &env,
				.monitor = copy,
				.replays = true,
				.state = calloc(1, m->state_size + 1),
				.config = &none,
				.samples = samples__new(m->columns, m->row_size, 1, 1000),
			};
			rolling__add_monitor(rules, m->name, false);
			attached.list[attached.nr++] = &attachments[i];
			break;
		}
	for (unsigned int vm = 0; vm < vms; vm++)
		for (unsigned int vcpu = 0; vcpu < vcpus; vcpu++) {
			char name[32], id[32];
			bool busy = vm % 10 == 0;
			struct row head = { .pid = 1000 + vm,
					    .tid = 100000 + vm * vcpus + vcpu,
					    .vcpu = vcpu,
					    .vm_nr = vm + 1 };

			snprintf(name, sizeof(name), "production-vm-%03u", vm);
			snprintf(id, sizeof(id), "%u.1.0", 1000 + vm);
			head.vm = strdup(name);
			head.vm_id = strdup(id);
			add(&attachments[0], view_of(attachments[0].monitor, tables[0]), &head,
			    NULL, busy);
			for (int i = 0; busy && i < REASONS; i++)
				add(&attachments[1], view_of(attachments[1].monitor, tables[1]),
				    &head, reasons[i], busy);
			if (busy)
				add(&attachments[2], view_of(attachments[2].monitor, tables[2]),
				    &head, NULL, busy);
		}
	ui__resize(ui, 50, 200);
	for (unsigned int i = 0; i < intervals; i++) {
		used = cpu_ns();
		for (size_t j = 0; j < nr_all; j++)
			live(&all[j]);
		sink.since_ns = now;
		now += INTERVAL_S * (uint64_t)NSEC_PER_SEC;
		report__intervals(&env, &attached, 1, now, 0);
		ui__update(ui);
		ui__draw(ui);
		/* The first ones make what later ones find. */
		if (i >= intervals / 4)
			interval_ns += cpu_ns() - used;
	}
	for (int i = 0; i < KEYS; i++) {
		const struct key key = { .code = keys[i % (sizeof(keys) / sizeof(*keys))] };
		/* This process' own time: others may have the CPU meanwhile. */
		uint64_t began = cpu_ns(), took;

		ui__key(ui, &key);
		ui__draw(ui);
		took = cpu_ns() - began;
		key_ns += took;
		worst_ns = took > worst_ns ? took : worst_ns;
	}
	intervals -= intervals / 4;
	printf("{\"vms\":%u,\"vcpus\":%u,\"cpu_percent\":%.2f,\"interval_ms\":%.2f,\"rules_ms\":%."
	       "2f,"
	       "\"key_ms\":%.2f,\"slowest_key_ms\":%.2f,\"frame_bytes\":%zu,\"minutes\":%.0f}\n",
	       vms, vcpus, interval_ns / 1e7 / intervals / INTERVAL_S,
	       interval_ns / 1e6 / intervals, rolling__cost_ns(rules) / 1e6, key_ns / 1e6 / KEYS,
	       worst_ns / 1e6, model__frame(model, 0)->size,
	       (double)HISTORY_BYTES / model__frame(model, 0)->size * INTERVAL_S / 60);
	for (size_t k = 0; k < KINDS; k++) {
		samples__free(attachments[k].samples);
		free(attachments[k].state);
	}
	return 0;
}
