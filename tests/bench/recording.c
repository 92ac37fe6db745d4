// SPDX-License-Identifier: GPL-2.0-only
/*
 * How large recordings become, and what recording costs: rows of monitors (their keys: e, eow) as a
 * host with so many VMs and vCPUs has them when all do something in each interval, made up: ten
 * reasons of exits, two of exits to user space. Prints JSON.
 *
 *	recording FILE MONITORS VMS VCPUS INTERVALS
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <json-c/json.h>

#include "../../core/attach.h"
#include "../../core/monitor.h"
#include "../../core/record.h"
#include "../../core/sink.h"
#include "../../core/times.h"
#include "../../monitors/monitors.h"
#include "../../output/output.h"

enum { REASONS = 10, INTERVAL_NS = 1000000000, STEP = 10 };

static unsigned int seed = 1;

/* Around 2 to the power of that. */
static uint64_t some(unsigned int bits)
{
	return (1ULL << bits) + rand_r(&seed) % (1U << bits);
}

/* A mode, and a tail: a dozen buckets. */
static void fill_times(struct times *t)
{
	unsigned int mode = 16 + rand_r(&seed) % 24;

	times__init(t);
	for (unsigned int i = 0; i < 12; i++) {
		t->hist[mode + i] = some(12) >> i;
		t->count += t->hist[mode + i];
		t->total_ns += t->hist[mode + i] * stat_bucket__low(mode + i);
	}
	t->min_ns = stat_bucket__low(mode) + some(4);
	t->max_ns = stat_bucket__low(mode + 11) + some(6);
}

/* What is counted of what was timed: as it is where nothing is open. */
static const struct times *times_of(const struct monitor *m, unsigned int view,
				    const struct row *row)
{
	for (const struct column *col = m->columns; col->name; col++)
		if (col->type == COL_TIMES && (!col->views || (col->views >> view & 1)))
			return (const struct times *)((const char *)row + col->offset);
	return NULL;
}

static uint64_t counter(const struct times *t, const char *name)
{
	if (t && !strcmp(name, "count"))
		return t->count;
	if (t && !strcmp(name, "total_ns"))
		return t->total_ns;
	return some(20);
}

static void fill(const struct monitor *m, unsigned int view, struct row *row, const char *label)
{
	for (const struct column *col = m->columns; col->name; col++) {
		void *cell = (char *)row + col->offset;

		if ((col->views && !(col->views >> view & 1)) || (col->flags & COL_COMPUTED) ||
		    col->times)
			continue;
		if (col->type == COL_TIMES)
			fill_times(cell);
		else if (col->type == COL_STRING)
			*(const char **)cell = label;
		else if (col->role == ROLE_COUNTER &&
			 (col->type == COL_U64 || col->type == COL_NSEC))
			*(uint64_t *)cell = counter(times_of(m, view, row), col->name);
		else if (col->type == COL_U32)
			*(uint32_t *)cell = rand_r(&seed) % 64;
		else if (col->type == COL_BITS)
			((uint64_t *)cell)[0] = some(30);
	}
}

static void write_table(struct sink *sink, const struct monitor *m, unsigned int view,
			const struct section *section, const struct row *head, unsigned int rows)
{
	static const char *const reasons[REASONS] = {
		"EXTERNAL_INTERRUPT", "IO_INSTRUCTION",	  "EPT_VIOLATION", "EPT_MISCONFIG",
		"MSR_WRITE",	      "MSR_READ",	  "CPUID",	   "HLT",
		"PREEMPTION_TIMER",   "INTERRUPT_WINDOW",
	};
	struct row *row = calloc(1, m->row_size);

	if (!row)
		exit(1);
	output__begin(sink->out, section);
	for (unsigned int i = 0; i < rows; i++) {
		*row = *head;
		fill(m, view, row, reasons[i]);
		output__sample(sink->out, row, NULL);
	}
	output__end(sink->out);
	free(row);
}

static void write_interval(struct sink *sink, const char *keys, unsigned int vms,
			   unsigned int vcpus, uint64_t now_ns)
{
	output__begin_window(sink->out, SCOPE_INTERVAL, now_ns - (uint64_t)STEP * INTERVAL_NS,
			     now_ns);
	for (size_t i = 0; i < nr_monitors; i++) {
		const struct monitor *m = monitors[i];
		bool exits = m->key == 'e';

		for (unsigned int view = 0; m->views[view].title && strchr(keys, m->key ?: '?');
		     view++) {
			const struct section section = {
				.monitor = m->name,
				.columns = m->columns,
				.view = &m->views[view],
				.view_bit = 1U << view,
				.scope = SCOPE_INTERVAL,
			};

			/* -e --detail and --l2 are not asked for. */
			if (m->views[view].samples != view + 1 || (exits && view > 1))
				continue;
			for (unsigned int vm = 0; vm < vms; vm++)
				for (unsigned int vcpu = 0; vcpu < vcpus; vcpu++) {
					char name[32], id[48];
					struct row head = {
						.vm = name,
						.vm_id = id,
						.vm_nr = vm + 1,
						.pid = 5000 + vm * 20,
						.tid = 5003 + vm * 20 + vcpu,
						.vcpu = vcpu,
					};

					snprintf(name, sizeof(name), "instance-%05u", vm);
					snprintf(id, sizeof(id), "%u.%u.1", head.pid,
						 123456 + vm * 77);
					write_table(sink, m, view, &section, &head,
						    exits ? view ? 2 : REASONS : 1);
				}
		}
	}
	output__end_window(sink->out);
}

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct chosen chosen[MAX_MONITORS];
	struct attach_env env = {};
	struct record_options options = {
		.force = true, .alone = true, .chosen = chosen, .env = &env
	};
	unsigned int vms, vcpus, intervals;
	struct sink sink = {};
	double before, making;
	struct stat stat_of;

	if (argc != 6)
		return 2;
	options.path = argv[1];
	vms = atoi(argv[3]);
	vcpus = atoi(argv[4]);
	intervals = atoi(argv[5]);
	for (size_t i = 0; i < nr_monitors; i++)
		if (strchr(argv[2], monitors[i]->key ?: '?'))
			chosen[options.nr_chosen++] = (struct chosen){ .monitor = monitors[i] };
	if (record__open(&options, &sink))
		return 1;
	output__object(sink.out, json_tokener_parse(
					 "{\"scope\":\"start\",\"host\":{\"vendor\":\"kvm_intel\"},"
					 "\"clock\":{\"mono_ns\":1000,\"real_ns\":"
					 "1700000000000000000},\"interval_ns\":10000000000}"));
	before = cpu_s();
	for (unsigned int i = 0; i < intervals; i++)
		write_interval(&sink, argv[2], vms, vcpus,
			       1000 + (i + 1) * (uint64_t)STEP * INTERVAL_NS);
	/* Making the rows up takes part of it: the bound is on the safe side. */
	making = cpu_s() - before;
	output__flush(sink.out);
	output__free(sink.out);
	stat(argv[1], &stat_of);
	printf("{\"monitors\":\"%s\",\"vms\":%u,\"vcpus\":%u,\"intervals\":%u,\"bytes\":%jd,\"mb_"
	       "an_hour\":%.1f,"
	       "\"cpu_percent\":%.3f}\n",
	       argv[2], vms, vcpus, intervals, (intmax_t)stat_of.st_size,
	       stat_of.st_size / 1e6 * 3600 / (intervals * STEP),
	       100 * making / (intervals * STEP));
	return 0;
}
