// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a scrape costs: a host with so many VMs and vCPUs, of which all do something between two
 * scrapes, made up as the kernel's records would tell it: ten reasons of exits, two of exits to
 * user space. All that a scrape does is timed but for reading those records: what has grown is
 * taken out of the store, chosen, put in order, added up, written as OpenMetrics, and compressed.
 * Prints JSON. With a directory the classic texts of all scrapes go there, for a Prometheus that
 * has to see what this host's kernel may not have.
 *
 *	metrics MONITORS VMS VCPUS SCRAPES [LIMIT [DIR]]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <zlib.h>

#include "../../core/metrics.h"
#include "../../core/monitor.h"
#include "../../core/samples.h"
#include "../../core/select.h"
#include "../../core/times.h"
#include "../../diagnose/rolling.h"
#include "../../monitors/monitors.h"
#include "../../output/output.h"

enum { REASONS = 10, MOST_TABLES = 32 };

static unsigned int seed = 1;

static unsigned int nr_vms, nr_vcpus;
static char names[10000][2][32];

static uint64_t some(unsigned int bits)
{
	return (1ULL << bits) + rand_r(&seed) % (1U << bits);
}

/* A mode, and a tail: a dozen buckets. */
static void grow_times(struct times *t)
{
	unsigned int mode = 16 + rand_r(&seed) % 24;

	for (unsigned int i = 0; i < 12; i++) {
		uint64_t more = some(12) >> i;

		t->hist[mode + i] += more;
		t->count += more;
		t->total_ns += more * stat_bucket__low(mode + i);
	}
	t->min_ns = stat_bucket__low(mode) + some(4);
	t->max_ns = stat_bucket__low(mode + 11) + some(6);
}

/* One table of a monitor: its cumulative rows, and their sources in a store. */
struct table {
	const struct monitor *m;
	unsigned int view;
	struct samples *samples;
	char *rows;
	struct source **sources;
	size_t nr;
};

static bool has(const struct table *t, const struct column *col)
{
	return !col->views || (col->views >> t->view & 1);
}

static void grow(const struct table *t, struct row *row)
{
	for (const struct column *col = t->m->columns; col->name; col++) {
		void *cell = (char *)row + col->offset;

		if (!has(t, col) || (col->flags & COL_COMPUTED) || col->times)
			continue;
		if (col->type == COL_TIMES)
			grow_times(cell);
		else if (col->role == ROLE_COUNTER &&
			 (col->type == COL_U64 || col->type == COL_NSEC))
			*(uint64_t *)cell += some(col->type == COL_NSEC ? 27 : 20);
	}
}

static void label(const struct table *t, struct row *row, const char *text)
{
	for (const struct column *col = t->m->columns; col->name; col++) {
		void *cell = (char *)row + col->offset;

		if (!has(t, col))
			continue;
		if (col->type == COL_STRING && col->role == ROLE_LABEL)
			*(const char **)cell = strcmp(col->name, "kind") != 0 ? text :
					       t->view			      ? "userspace" :
										"kvm";
		else if (col->type == COL_TIMES)
			times__init(cell);
	}
}

static void open_table(struct table *t, const struct monitor *m, unsigned int view)
{
	static const char *const reasons[REASONS] = {
		"EXTERNAL_INTERRUPT", "IO_INSTRUCTION",	  "EPT_VIOLATION", "EPT_MISCONFIG",
		"MSR_WRITE",	      "MSR_READ",	  "CPUID",	   "HLT",
		"PREEMPTION_TIMER",   "INTERRUPT_WINDOW",
	};
	bool exits = m->key == 'e';
	unsigned int each = exits ? view ? 2 : REASONS : 1;
	unsigned int vcpus = m->views[view].per_vcpu ? nr_vcpus : 1;

	*t = (struct table){ .m = m, .view = view, .nr = (size_t)nr_vms * vcpus * each };
	if (!t->nr)
		exit(1);
	t->samples = samples__new(m->columns, m->row_size, 2, KEEP_VMS_OF_RUN);
	t->rows = calloc(t->nr, m->row_size);
	t->sources = calloc(t->nr, sizeof(struct source *));
	if (!t->samples || !t->rows || !t->sources)
		exit(1);
	for (size_t i = 0; i < t->nr; i++) {
		struct row *row = (struct row *)(t->rows + i * m->row_size);
		unsigned int vm = i / each / vcpus, vcpu = i / each % vcpus;

		*row = (struct row){
			.vm = names[vm][0],
			.vm_id = names[vm][1],
			.vm_nr = vm + 1,
			.pid = 5000 + vm * 20,
			.tid = vcpus > 1 ? 5003 + vm * 20 + vcpu : UINT32_MAX,
			.vcpu = vcpus > 1 ? vcpu : UINT32_MAX,
		};
		label(t, row, reasons[i % each]);
		t->sources[i] = samples__open(t->samples, view, row);
		if (!t->sources[i])
			exit(1);
	}
}

static void look(const struct table *t)
{
	for (size_t i = 0; i < t->nr; i++) {
		struct row *row = (struct row *)(t->rows + i * t->m->row_size);

		grow(t, row);
		samples__take(t->samples, t->sources[i], row);
	}
}

/* As core/report.c. */
static void report(const struct table *t, size_t sink, struct output *out)
{
	const struct section section = {
		.monitor = t->m->name,
		.columns = t->m->columns,
		.view = &t->m->views[t->view],
		.view_bit = 1U << t->view,
		.scope = SCOPE_INTERVAL,
	};
	struct sample *list;
	struct select s;
	size_t nr;

	if (samples__read(t->samples, sink, t->view, SCOPE_INTERVAL, &list, &nr) ||
	    select__open(&s, &everything, t->m, t->samples, t->view, list, nr) ||
	    select__order(&s, 0))
		exit(1);
	output__begin(out, &section);
	for (size_t i = 0; i < s.nr; i++)
		output__row(out, s.list[i].row, 0);
	output__end(out);
	select__free(&s);
}

/* Findings, from the same samples. */
static void judge(struct output *out, const struct table *tables, unsigned int nr, unsigned int i)
{
	const uint64_t interval_ns = 15000000000ULL;

	output__begin_window(out, SCOPE_INTERVAL, i * interval_ns + 1, (i + 1) * interval_ns + 1);
	for (unsigned int j = 0; j < nr; j++)
		report(&tables[j], 0, out);
	output__end_window(out);
}

static void begins(void *ctx, struct metrics *m)
{
	(void)ctx;
	metrics__begin(m, (size_t)nr_vms * nr_vcpus);
	for (unsigned int i = 0; i < nr_vms; i++)
		metrics__vm(m, &(struct metrics_vm){
				       .id = names[i][1],
				       .name = names[i][0],
				       .nr = i + 1,
				       .pid = 5000 + i * 20,
				       .vmm = "qemu",
				       .uuid = "2d1b1c5e-6a3f-4b0c-9d57-0c6f2d1e8a41",
			       });
}

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static size_t compressed(const struct buf *buf)
{
	z_stream z = { .next_in = (Bytef *)buf->data, .avail_in = buf->len };
	char *room = malloc(buf->len + 1000);
	size_t len;

	if (!room || deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		exit(1);
	z.next_out = (Bytef *)room;
	z.avail_out = buf->len + 1000;
	deflate(&z, Z_FINISH);
	len = z.total_out;
	deflateEnd(&z);
	free(room);
	return len;
}

static bool is_asked_for(const struct monitor *m, const char *keys)
{
	return m->metrics && (m->key ? strchr(keys, m->key) != NULL :
				       !strcmp(m->name, "vm_state") && strchr(keys, 's'));
}

static void keep_text(struct metrics *m, struct buf *buf, const char *dir, unsigned int nr)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%u", dir, nr);
	file = fopen(path, "we");
	if (!file || !metrics__render(m, TEXT_CLASSIC, buf) ||
	    fwrite(buf->data, 1, buf->len, file) != buf->len || fclose(file))
		exit(1);
}

int main(int argc, char **argv)
{
	static struct chosen chosen[MAX_MONITORS];
	struct metrics_options options = { .chosen = chosen, .begins = begins };
	struct table tables[MOST_TABLES];
	double judging = 0, taking = 0, rendering = 0, gzipping = 0;
	unsigned int scrapes, nr = 0;
	struct metrics *m;
	struct rolling *rolling = rolling__new();
	struct output *out, *rolling_out = rolling ? rolling__output(rolling) : NULL;
	struct buf buf = {};
	size_t gzipped = 0;

	if (argc < 5)
		return 2;
	nr_vms = atoi(argv[2]);
	nr_vcpus = atoi(argv[3]);
	scrapes = atoi(argv[4]);
	options.limit = argc > 5 ? atoi(argv[5]) : DEFAULT_METRICS_LIMIT;
	if (!nr_vms || !nr_vcpus || nr_vms > sizeof(names) / sizeof(*names))
		return 2;
	for (unsigned int i = 0; i < nr_vms; i++) {
		snprintf(names[i][0], sizeof(names[i][0]), "instance-%05u", i);
		snprintf(names[i][1], sizeof(names[i][1]), "%u.%u.1", 5000 + i * 20, 123456 + i);
	}
	for (size_t i = 0; i < nr_monitors; i++) {
		const struct monitor *monitor = monitors[i];

		if (!is_asked_for(monitor, argv[1]))
			continue;
		chosen[options.nr_chosen++] = (struct chosen){ .monitor = monitor };
		/* -e --detail and --l2 are not asked for. */
		for (unsigned int view = 0; monitor->views[view].title; view++)
			if (monitor->views[view].samples == view + 1 && nr < MOST_TABLES &&
			    !(monitor->key == 'e' && view > 1))
				open_table(&tables[nr++], monitor, view);
	}
	m = metrics__new(&options);
	out = m ? metrics__output(m) : NULL;
	if (!out || !rolling_out)
		exit(1);
	for (unsigned int i = 0; i < scrapes; i++) {
		double at[5];

		for (unsigned int j = 0; j < nr; j++)
			look(&tables[j]);
		at[0] = cpu_s();
		judge(rolling_out, tables, nr, i);
		at[1] = cpu_s();
		output__begin_window(out, SCOPE_INTERVAL, 1, 2);
		for (unsigned int j = 0; j < nr; j++)
			report(&tables[j], 1, out);
		output__end_window(out);
		at[2] = cpu_s();
		if (!metrics__render(m, TEXT_OPENMETRICS, &buf))
			exit(1);
		at[3] = cpu_s();
		gzipped = compressed(&buf);
		at[4] = cpu_s();
		judging += at[1] - at[0];
		taking += at[2] - at[1];
		rendering += at[3] - at[2];
		gzipping += at[4] - at[3];
		if (argc > 6)
			keep_text(m, &buf, argv[6], i);
	}
	printf("{\"monitors\":\"%s\",\"vms\":%u,\"vcpus\":%u,\"series\":%zu,\"folded\":%zu,"
	       "\"folded_vms\":%zu,\"bytes\":%zu,\"gzipped\":%zu,\"judging_ms\":%.1f,\"taking_ms\":"
	       "%.1f,\"rendering_"
	       "ms\":%.1f,"
	       "\"gzipping_ms\":%.1f,\"scrape_ms\":%.1f}\n",
	       argv[1], nr_vms, nr_vcpus, metrics__nr_series(m), metrics__nr_folded(m),
	       metrics__nr_folded_vms(m), buf.len, gzipped, judging * 1e3 / scrapes,
	       taking * 1e3 / scrapes, rendering * 1e3 / scrapes, gzipping * 1e3 / scrapes,
	       (judging + taking + rendering + gzipping) * 1e3 / scrapes);
	output__free(rolling_out);
	rolling__free(rolling);
	output__free(out);
	metrics__free(m);
	buf__free(&buf);
	for (unsigned int i = 0; i < nr; i++) {
		samples__free(tables[i].samples);
		free(tables[i].rows);
		free(tables[i].sources);
	}
	return 0;
}
