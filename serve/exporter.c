// SPDX-License-Identifier: GPL-2.0-only
#include "exporter.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../core/attach.h"
#include "../core/clock.h"
#include "../core/loop.h"
#include "../core/memory.h"
#include "../core/monitor.h"
#include "../core/sink.h"
#include "../core/vcpus.h"
#include "../diagnose/rolling.h"

enum { MOST_FINDINGS = 32 }; /* of a VM: there are not more rules than that */

struct exporter {
	struct exporter_options options;
	struct rolling *rolling;
	struct metrics *metrics;
	struct run *run;
	uint64_t since_ns;
	double started_s;
};

/* Series of its own */

#define OWN(_type, _name, _help, ...)                                                           \
	{                                                                                       \
		.name = _name, .type = METRIC_##_type, .help = _help, .labels = { __VA_ARGS__ } \
	}
#define NAMED(_label)            \
	{                        \
		.name = (_label) \
	}

static const struct metric build_info =
	OWN(INFO, "kvm_watcher_build", "Version of kvm_watcher.", NAMED("version"));
static const struct metric hook_info =
	OWN(INFO, "kvm_watcher_hook", "Needs of the monitors, and whether this host meets them.",
	    NAMED("monitor"), NAMED("need"), NAMED("hook"), NAMED("state"));
static const struct metric lost_events =
	OWN(COUNTER, "kvm_watcher_lost_events", "Events that could not be measured, by reason.",
	    NAMED("kind"));
static const struct metric finding = OWN(
	GAUGE, "kvm_finding",
	"Findings of diagnose in the last five intervals, by rule: vCPU seconds lost per second.",
	NAMED("id"), NAMED("severity"));
static const struct metric bpf_runs =
	OWN(COUNTER, "kvm_watcher_bpf_runs", "Runs of the BPF programs.", NAMED("monitor"));
static const struct metric bpf_run_seconds =
	OWN(COUNTER, "kvm_watcher_bpf_run_seconds", "Time spent in the BPF programs.",
	    NAMED("monitor"));
static const struct metric series = OWN(GAUGE, "kvm_watcher_series", "Exported series of VMs.");
static const struct metric folded =
	OWN(GAUGE, "kvm_watcher_folded_series",
	    "Label sets folded into (other), because there are too many.");
static const struct metric folded_vms =
	OWN(GAUGE, "kvm_watcher_folded_vms",
	    "VMs whose series are folded into (other), because there are too many.");
static const struct metric refresh =
	OWN(GAUGE, "kvm_watcher_refresh_duration_seconds", "How long the last sample took.");
static const struct metric cpu =
	OWN(COUNTER, "process_cpu_seconds", "CPU time of the process that reads and exports.");
static const struct metric resident = OWN(GAUGE, "process_resident_memory_bytes",
					  "Resident memory of the process that reads and exports.");
static const struct metric started =
	OWN(GAUGE, "process_start_time_seconds", "Start time of the process, since 1970.");

static void set_hooks(struct exporter *e, struct metrics *m)
{
	for (size_t i = 0; i < e->options.nr_chosen; i++) {
		const struct attachment *at = run__attachment(e->run, i);

		for (size_t j = 0; at && j < at->nr_needs; j++) {
			const struct need_state *need = &at->needs[j];
			const struct hook *hook = need->hook ? need->hook : need->first;
			char text[128];
			const char *const values[] = { e->options.chosen[i].monitor->name,
						       need->first->need, text,
						       need_state__word(need), NULL };

			snprintf(text, sizeof(text), "%s/%s", hook_kind__name(hook->kind),
				 hook->target);
			metrics__set(m, &hook_info, NULL, values, 1);
		}
	}
}

static void set_findings(struct exporter *e, struct metrics *m)
{
	struct rolling_detail list[MOST_FINDINGS];
	struct rolling_vm vm;

	for (size_t i = 0; rolling__vm(e->rolling, i, &vm); i++) {
		size_t nr = rolling__findings(e->rolling, vm.pid, vm.id, list, MOST_FINDINGS);

		for (size_t j = 0; j < nr; j++) {
			const struct rolling_finding *f = &list[j].finding;
			const char *const values[] = { f->rule->id, severity__name(f->severity),
						       NULL };

			metrics__set(m, &finding, vm.id, values, f->cost_ns / 1e9);
		}
	}
}

/* What a rule needs and this host has not: it is not judged. */
static void set_needs(struct exporter *e)
{
	rolling__forget_needs(e->rolling);
	for (size_t i = 0; i < e->options.nr_chosen; i++) {
		const struct monitor *monitor = e->options.chosen[i].monitor;
		const struct attachment *at = run__attachment(e->run, i);

		rolling__add_monitor(e->rolling, monitor->name, monitor->hooks);
		for (size_t j = 0; at && j < at->nr_needs; j++)
			rolling__set_need(e->rolling, monitor->name, at->needs[j].first->need,
					  !at->needs[j].hook, at->needs[j].why);
	}
}

static void set_runs(struct exporter *e, struct metrics *m)
{
	for (size_t i = 0; i < e->options.nr_chosen; i++) {
		/* The kernel's numbers are read into it, which changes nothing else. */
		struct attachment *at = (struct attachment *)run__attachment(e->run, i);
		const char *const values[] = { e->options.chosen[i].monitor->name, NULL };
		uint64_t runs = 0, ns = 0;

		if (!at || !at->nr_needs)
			continue;
		attach__read_runs(at);
		for (size_t j = 0; j < at->nr_needs; j++) {
			runs += at->needs[j].runs;
			ns += at->needs[j].run_ns;
		}
		metrics__set(m, &bpf_runs, NULL, values, runs);
		metrics__set(m, &bpf_run_seconds, NULL, values, ns / 1e9);
	}
}

static void set_losses(struct exporter *e, struct metrics *m)
{
	uint64_t lost[NR_LOST] = {};

	double all = 0;

	run__losses(e->run, lost);
	for (int i = 0; i < NR_LOST; i++)
		all += lost[i];
	rolling__set_lost(e->rolling, all);
	for (int i = 0; i < NR_LOST; i++) {
		const char *const values[] = { lost__name(i), NULL };

		metrics__set(m, &lost_events, NULL, values, lost[i]);
	}
}

/* The process may not look at itself as others may (PR_SET_DUMPABLE): statm is for everybody. */
static void set_process(const struct exporter *e, struct metrics *m)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long pages;
	struct rusage usage;

	if (f && fscanf(f, "%*u %lu", &pages) == 1)
		metrics__set(m, &resident, NULL, NULL, (double)pages * sysconf(_SC_PAGESIZE));
	if (f)
		fclose(f);
	getrusage(RUSAGE_SELF, &usage);
	metrics__set(m, &cpu, NULL, NULL,
		     usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
			     (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
	metrics__set(m, &started, NULL, NULL, e->started_s);
}

static void taken(void *ctx, struct metrics *m)
{
	struct exporter *e = ctx;
	const char *const version[] = { e->options.version, NULL };

	metrics__set(m, &build_info, NULL, version, 1);
	if (e->run) {
		set_hooks(e, m);
		set_losses(e, m);
		set_findings(e, m);
		if (e->options.self_cost)
			set_runs(e, m);
	}
	metrics__set(m, &series, NULL, NULL, metrics__nr_series(m));
	metrics__set(m, &folded, NULL, NULL, metrics__nr_folded(m));
	metrics__set(m, &folded_vms, NULL, NULL, metrics__nr_folded_vms(m));
	set_process(e, m);
	if (e->options.more)
		e->options.more(e->options.ctx, m);
	if (e->since_ns)
		metrics__set(m, &refresh, NULL, NULL, (clock__ns() - e->since_ns) / 1e9);
	if (metrics__has_failed(m))
		memory__is_short();
	e->options.taken(e->options.ctx, m);
}

/* VMs */

static void tell_vm(void *ctx, const struct vm_ref *ref)
{
	const struct metrics_vm vm = {
		.id = ref->id,
		.name = ref->label,
		.nr = ref->nr,
		.pid = ref->tgid,
		.vmm = ref->vmm,
		.uuid = ref->who.uuid,
	};

	metrics__vm(ctx, &vm);
}

static size_t count_vcpus(const struct vcpus *vcpus)
{
	size_t nr = 0;

	for (size_t slot = 1; slot <= vcpus__max(vcpus); slot++) {
		const struct vcpu_ref *ref = vcpus__get(vcpus, slot);

		nr += ref && ref->chosen;
	}
	return nr;
}

static void begins(void *ctx, struct metrics *m)
{
	struct exporter *e = ctx;
	struct vcpus *vcpus = e->options.env->vcpus;

	metrics__begin(m, vcpus ? count_vcpus(vcpus) : 0);
	if (vcpus)
		vcpus__tell_alive(vcpus, tell_vm, m);
}

struct exporter *exporter__new(const struct exporter_options *options)
{
	struct exporter *e = calloc(1, sizeof(*e));
	struct timespec now;

	if (e) {
		e->options = *options;
		clock_gettime(CLOCK_REALTIME, &now);
		e->started_s = now.tv_sec + now.tv_nsec / 1e9;
		e->metrics = metrics__new(&(struct metrics_options){
			.by = options->by,
			.limit = options->limit ?: DEFAULT_METRICS_LIMIT,
			.chosen = options->chosen,
			.nr_chosen = options->nr_chosen,
			.begins = begins,
			.taken = taken,
			.ctx = e,
		});
		e->rolling = rolling__new();
		if (e->metrics && e->rolling)
			return e;
	}
	exporter__free(e);
	memory__is_short();
	return NULL;
}

void exporter__free(struct exporter *e)
{
	if (!e)
		return;
	metrics__free(e->metrics);
	rolling__free(e->rolling);
	free(e);
}

bool exporter__open(struct exporter *e, struct sink *sinks)
{
	sinks[0].out = rolling__output(e->rolling);
	sinks[0].least_share = ROLLING_LEAST_SHARE;
	sinks[1].out = metrics__output(e->metrics);
	sinks[1].least_share = 1;
	if (!sinks[0].out || !sinks[1].out)
		memory__is_short();
	return sinks[0].out && sinks[1].out;
}

void exporter__began(struct exporter *e, struct run *run)
{
	e->run = run;
	set_needs(e);
}

void exporter__looks(struct exporter *e, uint64_t since_ns)
{
	e->since_ns = since_ns;
}
