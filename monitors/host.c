// SPDX-License-Identifier: GPL-2.0-only
/*
 * --host: what the host and its cgroups give VMs, from files that anybody may read. No hook, and
 * nothing of the kernel's but these files.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../compat/host.h"
#include "../core/attach.h"
#include "../core/clock.h"
#include "../core/monitor.h"
#include "../core/samples.h"
#include "../core/vcpus.h"
#include "../core/window.h"
#include "host_files.h"

enum { VIEW_HOST, VIEW_CGROUP };
enum { NAME_LEN = 256, NUMBER_LEN = 24, MOST_TEXTS = 4096, MOST_CGROUPS = 16 };

struct host_row {
	struct row row;
	const char *cgroup;
	const char *name;
	const char *text; /* not a number; in the state's list */
	const char *value;
	uint64_t number;
	uint64_t count;
	double rate;
	char number_text[NUMBER_LEN];
};

static const struct view views[] = {
	[VIEW_HOST] = { .title = "HOST", .name = "HOST", SAMPLES_OF(VIEW_HOST) },
	[VIEW_CGROUP] = { .title = "VM_CGROUP", .name = "VM_CGROUP", SAMPLES_OF(VIEW_CGROUP) },
	{},
};

#define COL(...) COLUMN(struct host_row, __VA_ARGS__)

static const struct column columns[] = {
	COL(cgroup, "CGROUP", COL_STRING, ROLE_LABEL, .flags = COL_NAME, .views = 1 << VIEW_CGROUP,
	    .width = 16, .help = "cgroup of the VM, or one above it that has a limit"),
	COL(name, "NAME", COL_STRING, ROLE_LABEL, .width = 28,
	    .help = "name of a setting or a counter"),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, .help = "growth of a counter"),
	COL(rate, "RATE/s", COL_DOUBLE, ROLE_GAUGE, .flags = COL_TABLE_ONLY | COL_COMPUTED,
	    .drop = DROP_FIRST, .help = "COUNT per second"),
	COL(number, NULL, COL_U64, ROLE_GAUGE, .flags = COL_DATA_ONLY, .help = "VALUE, if numeric"),
	COL(text, NULL, COL_STRING, ROLE_GAUGE, .flags = COL_KEY_ONLY,
	    .help = "VALUE, if not numeric"),
	COL(value, "VALUE", COL_STRING, ROLE_GAUGE, .flags = COL_COMPUTED | COL_REST,
	    .help = "current value of a setting or a gauge; absent for counters"),
	{},
};

struct host_state {
	char *texts[MOST_TEXTS]; /* each that was a value, once */
	size_t nr_texts;
	char cgroups[FILE_PATH_LEN]; /* where version 2 is mounted; "": nowhere */
	char buffer[FILE_LEN];
};

/* Whose the rows are that are written. */
struct writer {
	struct attachment *at;
	struct host_state *state;
	unsigned int view;
	const struct vm_ref *vm;
	const char *cgroup;
	const char *prefix; /* of names */
	const char *dir;    /* of files */
};

static const char *keep_text(struct host_state *state, const char *text)
{
	for (size_t i = 0; i < state->nr_texts; i++)
		if (!strcmp(state->texts[i], text))
			return state->texts[i];
	if (state->nr_texts == MOST_TEXTS)
		return NULL;
	state->texts[state->nr_texts] = strdup(text);
	return state->texts[state->nr_texts] ? state->texts[state->nr_texts++] : NULL;
}

/* NULL and UINT64_MAX: there is none. */
static void put(const struct writer *w, const char *name, const char *text, uint64_t number,
		uint64_t count)
{
	struct host_row row = {
		.cgroup = w->cgroup, .text = text, .number = number, .count = count
	};
	char full[NAME_LEN];

	snprintf(full, sizeof(full), "%s%s", w->prefix ?: "", name);
	row.name = full;
	vm_ref__row(w->vm, 0, &row.row);
	samples__poll(w->at->samples, w->view, &row.row, w->at->begins, SHOW_CHANGES);
}

static void put_text(const struct writer *w, const char *name, const char *text)
{
	uint64_t number;

	if (file__number(text, &number))
		put(w, name, NULL, number, UINT64_MAX);
	else
		put(w, name, keep_text(w->state, text), UINT64_MAX, UINT64_MAX);
}

static void put_number(const struct writer *w, const char *name, uint64_t number)
{
	put(w, name, NULL, number, UINT64_MAX);
}

static void put_count(const struct writer *w, const char *name, uint64_t count)
{
	put(w, name, NULL, UINT64_MAX, count);
}

/* How a file is read. */
enum how { A_VALUE, A_CHOICE, A_COUNTER };

struct one_file {
	const char *name, *path;
	enum how how;
};

static void put_file(const struct writer *w, const char *name, const char *path, enum how how)
{
	char *text = w->state->buffer;
	uint64_t count;

	if (!file__read(path, text))
		return;
	if (how == A_COUNTER) {
		if (file__number(text, &count))
			put_count(w, name, count);
		return;
	}
	put_text(w, name, how == A_CHOICE ? file__choice(text) : text);
}

#define SYS_CPU "/sys/devices/system/cpu/"
#define THP "/sys/kernel/mm/transparent_hugepage/"
#define KSM "/sys/kernel/mm/ksm/"

static const struct one_file host_files[] = {
	{ "cmdline", "/proc/cmdline" },
	{ "clocksource", "/sys/devices/system/clocksource/clocksource0/current_clocksource" },
	{ "clocksource.available",
	  "/sys/devices/system/clocksource/clocksource0/available_clocksource" },
	{ "cpu.online", SYS_CPU "online" },
	{ "cpu.isolated", SYS_CPU "isolated" },
	{ "cpu.nohz_full", SYS_CPU "nohz_full" },
	{ "cpu.smt", SYS_CPU "smt/control" },
	{ "cpufreq.boost", SYS_CPU "cpufreq/boost" },
	{ "cpufreq.no_turbo", SYS_CPU "intel_pstate/no_turbo" },
	{ "cpufreq.driver", SYS_CPU "cpu0/cpufreq/scaling_driver" },
	{ "cpuidle.driver", SYS_CPU "cpuidle/current_driver" },
	{ "cpuidle.governor", SYS_CPU "cpuidle/current_governor_ro" },
	{ "thp.enabled", THP "enabled", A_CHOICE },
	{ "thp.defrag", THP "defrag", A_CHOICE },
	{ "thp.shmem_enabled", THP "shmem_enabled", A_CHOICE },
	{ "thp.khugepaged_defrag", THP "khugepaged/defrag" },
	{ "ksm.run", KSM "run" },
	{ "ksm.pages_to_scan", KSM "pages_to_scan" },
	{ "ksm.sleep_millisecs", KSM "sleep_millisecs" },
	{ "ksm.merge_across_nodes", KSM "merge_across_nodes" },
	{ "ksm.pages_shared", KSM "pages_shared" },
	{ "ksm.pages_sharing", KSM "pages_sharing" },
	{ "ksm.pages_volatile", KSM "pages_volatile" },
	{ "ksm.full_scans", KSM "full_scans", A_COUNTER },
	{ "swap.swappiness", "/proc/sys/vm/swappiness" },
	{ "swap.zswap", "/sys/module/zswap/parameters/enabled" },
	{ "numa.online", "/sys/devices/system/node/online" },
	{ "numa.balancing", "/proc/sys/kernel/numa_balancing" },
	{ "split_lock_mitigate", "/proc/sys/kernel/split_lock_mitigate" },
	{ "sched_autogroup", "/proc/sys/kernel/sched_autogroup_enabled" },
};

/* Keys of a file of lines, as gauges or as counters. */
struct keyed_file {
	const char *path, *prefix;
	bool counts;
	const char *keys[12];
};

static const struct keyed_file keyed_files[] = {
	{ "/proc/meminfo",
	  "memory.",
	  false,
	  { "MemTotal", "MemAvailable", "SwapTotal", "SwapFree", "AnonHugePages", "HugePages_Total",
	    "HugePages_Free" } },
	{ "/proc/vmstat",
	  "vmstat.",
	  true,
	  { "pswpin", "pswpout", "pgmajfault", "numa_hint_faults", "numa_pages_migrated",
	    "thp_fault_alloc", "thp_fault_fallback", "thp_collapse_alloc", "thp_split_page",
	    "compact_stall", "oom_kill" } },
};

static const struct keyed_file cgroup_keys[] = {
	{ "cpu.stat",
	  "cpu.stat.",
	  true,
	  { "usage_usec", "user_usec", "system_usec", "nr_periods", "nr_throttled",
	    "throttled_usec" } },
	{ "memory.events", "memory.events.", true, { "low", "high", "max", "oom", "oom_kill" } },
};

static const char *const cgroup_values[] = {
	"cpu.max",
	"cpu.weight",
	"cpuset.cpus.effective",
	"cpuset.mems.effective",
	"memory.max",
	"memory.high",
	"memory.swap.max",
	"memory.current",
	"memory.swap.current",
};

static void put_keys(const struct writer *w, const struct keyed_file *file, const char *path)
{
	const char *text = file__read(path, w->state->buffer);
	struct writer keyed = *w;
	uint64_t number;

	keyed.prefix = file->prefix;
	for (size_t i = 0; text && file->keys[i]; i++) {
		if (!file__value(text, file->keys[i], &number))
			continue;
		if (file->counts)
			put_count(&keyed, file->keys[i], number);
		else
			put_number(&keyed, file->keys[i], number);
	}
}

/* The time in which some or all tasks had to wait for CPUs, memory or devices. */
static void put_pressure(const struct writer *w, const char *path, const char *what)
{
	const char *text = file__read(path, w->state->buffer);
	static const char *const lines[] = { "some", "full" };
	char name[NAME_LEN];
	uint64_t us;

	for (size_t i = 0; text && i < 2; i++) {
		snprintf(name, sizeof(name), "%s.pressure.%s_usec", what, lines[i]);
		if (file__pressure(text, lines[i], &us))
			put_count(w, name, us);
	}
}

__attribute__((format(printf, 2, 3))) static char *path_to(char path[FILE_PATH_LEN],
							   const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(path, FILE_PATH_LEN, format, args);
	va_end(args);
	return path;
}

static void put_in_dir(void *ctx, const char *name)
{
	const struct writer *w = ctx;
	char path[FILE_PATH_LEN];

	put_file(w, name, path_to(path, "%s/%s", w->dir, name), A_VALUE);
}

static void put_module(void *ctx, const char *name)
{
	struct writer w = *(struct writer *)ctx;
	char dir[FILE_PATH_LEN], prefix[NAME_LEN];

	if (strncmp(name, "kvm", 3))
		return;
	snprintf(prefix, sizeof(prefix), "%.64s.", name);
	w.prefix = prefix;
	w.dir = path_to(dir, "/sys/module/%s/parameters", name);
	file__each(w.dir, put_in_dir, &w);
}

static void put_vulnerabilities(const struct writer *host)
{
	struct writer w = *host;

	w.prefix = "vulnerability.";
	w.dir = SYS_CPU "vulnerabilities";
	file__each(w.dir, put_in_dir, &w);
}

/* A state's name and latency are CPU 0's, its use is that of all CPUs. */
static void put_idle_state(const struct writer *w, int state, int nr_cpus)
{
	static const char *const sums[] = { "usage", "time" };
	char path[FILE_PATH_LEN], prefix[NAME_LEN];
	struct writer of_state = *w;

	if (!file__read(path_to(path, SYS_CPU "cpu0/cpuidle/state%d/name", state),
			w->state->buffer))
		return;
	snprintf(prefix, sizeof(prefix), "cpuidle.%.32s.", w->state->buffer);
	of_state.prefix = prefix;
	put_file(&of_state, "latency_usec",
		 path_to(path, SYS_CPU "cpu0/cpuidle/state%d/latency", state), A_VALUE);
	put_file(&of_state, "disabled",
		 path_to(path, SYS_CPU "cpu0/cpuidle/state%d/disable", state), A_VALUE);
	for (int i = 0; i < 2; i++) {
		uint64_t sum = 0, one;

		for (int cpu = 0; cpu < nr_cpus; cpu++)
			if (file__read(path_to(path, SYS_CPU "cpu%d/cpuidle/state%d/%s", cpu, state,
					       sums[i]),
				       w->state->buffer) &&
			    file__number(w->state->buffer, &one))
				sum += one;
		put_count(&of_state, i ? "time_usec" : "usage", sum);
	}
}

/* The governors that CPUs have, each once. */
static void put_governors(const struct writer *w, int nr_cpus)
{
	char list[NAME_LEN] = "", path[FILE_PATH_LEN];
	const char *one;
	size_t used;

	for (int cpu = 0; cpu < nr_cpus; cpu++) {
		one = file__read(path_to(path, SYS_CPU "cpu%d/cpufreq/scaling_governor", cpu),
				 w->state->buffer);
		if (!one || strstr(list, one))
			continue;
		used = strlen(list);
		snprintf(list + used, sizeof(list) - used, "%s%s", used ? " " : "", one);
	}
	if (*list)
		put_text(w, "cpufreq.governor", list);
}

static void put_node(void *ctx, const char *name)
{
	static const char *const counters[] = { "numa_miss", "numa_foreign", "other_node" };
	struct writer w = *(struct writer *)ctx;
	char path[FILE_PATH_LEN], prefix[NAME_LEN];
	const char *text;
	uint64_t count;

	if (strncmp(name, "node", 4) || name[4] < '0' || name[4] > '9')
		return;
	snprintf(prefix, sizeof(prefix), "numa.%.16s.", name);
	w.prefix = prefix;
	put_file(&w, "cpus", path_to(path, "/sys/devices/system/node/%s/cpulist", name), A_VALUE);
	put_file(&w, "distance", path_to(path, "/sys/devices/system/node/%s/distance", name),
		 A_VALUE);
	text = file__read(path_to(path, "/sys/devices/system/node/%s/numastat", name),
			  w.state->buffer);
	for (size_t i = 0; text && i < sizeof(counters) / sizeof(*counters); i++)
		if (file__value(text, counters[i], &count))
			put_count(&w, counters[i], count);
}

static void put_host(struct writer *w)
{
	enum { MOST_STATES = 10 };
	int nr_cpus = sysconf(_SC_NPROCESSORS_CONF);

	for (size_t i = 0; i < sizeof(host_files) / sizeof(*host_files); i++)
		put_file(w, host_files[i].name, host_files[i].path, host_files[i].how);
	for (size_t i = 0; i < sizeof(keyed_files) / sizeof(*keyed_files); i++)
		put_keys(w, &keyed_files[i], keyed_files[i].path);
	put_pressure(w, "/proc/pressure/cpu", "cpu");
	put_pressure(w, "/proc/pressure/memory", "memory");
	put_pressure(w, "/proc/pressure/io", "io");
	file__each("/sys/module", put_module, w);
	put_vulnerabilities(w);
	put_governors(w, nr_cpus);
	for (int state = 0; state < MOST_STATES; state++)
		put_idle_state(w, state, nr_cpus);
	file__each("/sys/devices/system/node", put_node, w);
}

/* The memory of a cgroup by NUMA node: "anon N0=4096 N1=0". */
static void put_numa_stat(const struct writer *w, const char *path)
{
	static const char *const kinds[] = { "anon", "file", "shmem", "anon_thp" };
	char *text = (char *)file__read(path, w->state->buffer), *line, *rest, *word, *next;
	char name[NAME_LEN];
	uint64_t bytes;

	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest)) {
		const char *kind = strtok_r(line, " ", &next);
		bool wanted = false;

		for (size_t i = 0; kind && i < sizeof(kinds) / sizeof(*kinds); i++)
			wanted |= !strcmp(kind, kinds[i]);
		while (wanted && (word = strtok_r(NULL, " ", &next))) {
			char *equals = strchr(word, '=');

			if (!equals || !file__number(equals + 1, &bytes))
				continue;
			*equals = '\0';
			snprintf(name, sizeof(name), "memory.numa_stat.%.16s.%.16s", kind, word);
			put_number(w, name, bytes);
		}
	}
}

/* True when there is something to tell of a cgroup that is not the VM's own. */
static bool has_limit(const struct writer *w, const char *path)
{
	static const char *const files[] = { "cpu.max", "memory.max", "memory.high" };
	char file[FILE_PATH_LEN];

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		if (file__read(path_to(file, "%s%s/%s", w->state->cgroups, path, files[i]),
			       w->state->buffer) &&
		    strncmp(w->state->buffer, "max", 3))
			return true;
	return false;
}

static void put_cgroup(const struct writer *vm, const char *path)
{
	const char *root = vm->state->cgroups;
	struct writer w = *vm;
	char file[FILE_PATH_LEN];

	w.cgroup = path;
	for (size_t i = 0; i < sizeof(cgroup_values) / sizeof(*cgroup_values); i++)
		put_file(&w, cgroup_values[i],
			 path_to(file, "%s%s/%s", root, path, cgroup_values[i]), A_VALUE);
	for (size_t i = 0; i < sizeof(cgroup_keys) / sizeof(*cgroup_keys); i++)
		put_keys(&w, &cgroup_keys[i],
			 path_to(file, "%s%s/%s", root, path, cgroup_keys[i].path));
	put_pressure(&w, path_to(file, "%s%s/cpu.pressure", root, path), "cpu");
	put_pressure(&w, path_to(file, "%s%s/memory.pressure", root, path), "memory");
	put_numa_stat(&w, path_to(file, "%s%s/memory.numa_stat", root, path));
}

/* The cgroups of a VM, each once; libvirt has vCPUs' threads in ones of their own. */
struct cgroups {
	char *list[MOST_CGROUPS];
	size_t nr;
	bool is_v1;
};

static void add_cgroup(struct cgroups *groups, const char *path)
{
	char *copy;

	for (size_t i = 0; i < groups->nr; i++)
		if (!strcmp(groups->list[i], path))
			return;
	if (groups->nr == MOST_CGROUPS)
		return;
	copy = strdup(path);
	if (copy)
		groups->list[groups->nr++] = copy;
}

/* The cgroup in such a file, and those above it that limit it. */
static void add_cgroups(const struct writer *w, struct cgroups *groups, const char *file)
{
	char path[FILE_PATH_LEN], *slash;
	const char *text = file__read(file, w->state->buffer);
	bool is_v1 = false;

	if (!text)
		return;
	if (!file__cgroup(text, path, &is_v1) || is_v1 || !*w->state->cgroups) {
		groups->is_v1 |= is_v1 || !*w->state->cgroups;
		return;
	}
	add_cgroup(groups, path);
	while ((slash = strrchr(path, '/')) && slash != path) {
		*slash = '\0';
		if (has_limit(w, path))
			add_cgroup(groups, path);
	}
}

/* entries are those of one VM. */
static void put_vm(struct writer *w, const struct vcpu_entry *entries, size_t nr)
{
	struct cgroups groups = {};
	char file[64];

	snprintf(file, sizeof(file), "/proc/%u/cgroup", entries->tgid);
	add_cgroups(w, &groups, file);
	for (size_t i = 0; i < nr; i++) {
		if (!entries[i].tid)
			continue;
		snprintf(file, sizeof(file), "/proc/%u/task/%u/cgroup", entries[i].tgid,
			 entries[i].tid);
		add_cgroups(w, &groups, file);
	}
	if (groups.is_v1)
		put_text(w, "cgroup", "version 1: limits are not read");
	for (size_t i = 0; i < groups.nr; i++) {
		put_cgroup(w, groups.list[i]);
		free(groups.list[i]);
	}
}

static int by_vm(const void *a, const void *b)
{
	const struct vcpu_entry *x = a, *y = b;

	if (x->tgid != y->tgid)
		return x->tgid < y->tgid ? -1 : 1;
	return (x->kvm > y->kvm) - (x->kvm < y->kvm);
}

static void put_vms(struct writer *w)
{
	struct vcpu_entry *entries;
	size_t nr = 0;

	/* In another PID namespace /proc has other processes with these pids. */
	if (!host__initial_pid_namespace() || vcpus__entries(w->at->env->vcpus, &entries, &nr))
		return;
	qsort(entries, nr, sizeof(*entries), by_vm);
	for (size_t i = 0, of; i < nr; i += of) {
		const struct vcpu_info info = {
			.kvm = entries[i].kvm,
			.tgid = entries[i].tgid,
			.start_ns = entries[i].start_ns,
			.creator = entries[i].creator,
		};

		for (of = 1; i + of < nr && !by_vm(&entries[i], &entries[i + of]); of++)
			;
		w->vm = vcpus__add_vm(w->at->env->vcpus, &info);
		if (w->vm && w->vm->chosen)
			put_vm(w, entries + i, of);
	}
	free(entries);
}

static void look(struct attachment *at)
{
	struct writer w = { .at = at, .state = at->state, .view = VIEW_HOST };

	put_host(&w);
	w.view = VIEW_CGROUP;
	put_vms(&w);
	samples__end_poll(at->samples);
}

/* "cgroup2 /sys/fs/cgroup cgroup2 rw,...": the first of that type. */
static int start(struct attachment *at)
{
	struct host_state *state = at->state;
	const char *text = file__read("/proc/self/mounts", state->buffer);
	char where[FILE_PATH_LEN], type[64];

	for (; text; text = strchr(text, '\n')) {
		text += *text == '\n';
		if (sscanf(text, "%*s %4095s %63s", where, type) == 2 && !strcmp(type, "cgroup2")) {
			memcpy(state->cgroups, where, sizeof(where));
			break;
		}
	}
	return 0;
}

static void stop(struct attachment *at)
{
	struct host_state *state = at->state;

	for (size_t i = 0; i < state->nr_texts; i++)
		free(state->texts[i]);
}

static void finish(struct attachment *at, const struct sample *sample, const struct window *window)
{
	double seconds = (double)(window->now_ns - window->since_ns) / NSEC_PER_SEC;
	struct host_row *row = (struct host_row *)sample->row;

	(void)at;
	row->value = row->text;
	if (row->number != UINT64_MAX) {
		snprintf(row->number_text, sizeof(row->number_text), "%llu",
			 (unsigned long long)row->number);
		row->value = row->number_text;
	}
	row->rate = row->count != UINT64_MAX && seconds > 0 ? row->count / seconds : NAN;
}

const struct monitor host_monitor = {
	.name = "host",
	.help = "settings, limits, counters of host and cgroups",
	.views = views,
	.columns = columns,
	.row_size = sizeof(struct host_row),
	.state_size = sizeof(struct host_state),
	.start = start,
	.stop = stop,
	.look = look,
	.finish = finish,
};
