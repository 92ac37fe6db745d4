// SPDX-License-Identifier: GPL-2.0-only
/* Without a command's word: watching, and what --check and --list ask for instead. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/records.h"
#include "../compat/host.h"
#include "../core/attach.h"
#include "../core/broker.h"
#include "../core/clock.h"
#include "../core/events.h"
#include "../core/limits.h"
#include "../core/log.h"
#include "../core/loop.h"
#include "../core/record.h"
#include "../core/report.h"
#include "../core/sandbox.h"
#include "../core/stop.h"
#include "../core/tempfile.h"
#include "../core/vcpus.h"
#include "../core/vm.h"
#include "../monitors/monitors.h"
#include "../serve/textfile.h"
#include "commands.h"
#include "presence.h"

enum { MAX_RING_MIB = 1024, MAX_KEEP = 1000, PROMETHEUS_INTERVAL = 15 };

static const char doc[] = "Shows in real time what every KVM virtual machine on this host does.\n"
			  "Choose one or more monitors; the order of options never matters.";

static const char epilogue[] =
	"Exit codes: 0 data was measured, possibly in part, 1 nothing could be measured (no KVM, "
	"or the kernel refused), 2 the command line is wrong.\n"
	"\n"
	"Examples:\n"
	"  kvm_watcher -e -t 10                     exits of all VMs, for ten seconds\n"
	"  kvm_watcher -e --vm='web*' --format=json exits of some VMs, for a program";

static int parse_time(struct options *opts, const char *arg)
{
	return parse_duration("-t, --monitoring_time", arg, NSEC_PER_MSEC, &opts->time_ns);
}

static int parse_interval(struct options *opts, const char *arg)
{
	opts->has_interval = true;
	return parse_duration("--interval", arg, 10ULL * NSEC_PER_MSEC, &opts->interval_ns);
}

int parse_slower(struct options *opts, const char *arg)
{
	return parse_duration("--slower-than", arg, NSEC_PER_USEC, &opts->slower_ns);
}

static int parse_keep(struct options *opts, const char *arg)
{
	if (parse_count(arg, MAX_KEEP, &opts->keep))
		return 0;
	return usage_error("--keep: \"%s\" is not a number of events; give one from 1 to %d", arg,
			   MAX_KEEP);
}

static int parse_dir(struct options *opts, const char *arg)
{
	if (!*arg)
		return usage_error("--temp-dir: the name is empty; give a directory");
	opts->temp_dir = arg;
	return 0;
}

int parse_max_vcpus(struct options *opts, const char *arg)
{
	if (parse_count(arg, MAX_VCPU_SLOTS - 1, &opts->max_vcpus))
		return 0;
	return usage_error("--max-vcpus: \"%s\" is not a number of vCPUs; give one from 1 to %d",
			   arg, MAX_VCPU_SLOTS - 1);
}

static int parse_ring_size(struct options *opts, const char *arg)
{
	if (parse_count(arg, MAX_RING_MIB, &opts->ring_mib))
		return 0;
	return usage_error("--ring-size: \"%s\" is not a number of MiB; give one from 1 to %d", arg,
			   MAX_RING_MIB);
}

#define FLAG(_member) .flag = offsetof(struct options, _member)

const struct option_row watch_options[] = {
	{ "monitoring_time", 't', "TIME", "stop after 10, 500ms or 5m (default: at Ctrl-C)",
	  GROUP_SELECTION, parse_time },
	{ "max-vcpus", 0, "N",
	  "track up to N vCPUs at a time (default: 2.5 times the running vCPUs, at least 16 per "
	  "host CPU)",
	  GROUP_SELECTION, parse_max_vcpus, .rare = true },
	{ "ring-size", 0, "MIB",
	  "size of the ring buffer of single events (default 4, more on large hosts)",
	  GROUP_SELECTION, parse_ring_size, .rare = true },
	{ "events", 0, NULL,
	  "show single events of every monitor that has them (default if one of -c, -d, -f, -i, "
	  "-n, -w is alone)",
	  GROUP_OUTPUT, FLAG(events), .rare = true },
	{ "slower-than", 0, "TIME",
	  "only single events that took longer, such as 500us; includes exits", GROUP_OUTPUT,
	  parse_slower, .rare = true },
	{ "keep", 0, "N", "of these, the N longest of each VM, at the end", GROUP_OUTPUT,
	  parse_keep, .rare = true },
	{ "summary", 0, NULL, "show counters only, no single events", GROUP_OUTPUT, FLAG(summary),
	  .rare = true },
	{ "self-cost", 0, NULL, "report at the end what watching itself cost", GROUP_OUTPUT,
	  FLAG(self_cost), .rare = true },
	{ "temp-dir", 0, "DIR", "directory for files that monitors write (default temp)",
	  GROUP_OUTPUT, parse_dir, .rare = true },
	{ "no-sandbox", 0, NULL, "keep full privileges in the process that reads and prints",
	  GROUP_OUTPUT, FLAG(no_sandbox), .rare = true },
	{},
};

const struct option_row interval_options[] = {
	{ "interval", 0, "TIME", "time between tables (default 2 seconds)", GROUP_OUTPUT,
	  parse_interval },
	{},
};

static const struct option_row instead_options[] = {
	{ "check", 0, NULL, "report what can be measured on this host, by these monitors or all",
	  GROUP_INSTEAD, FLAG(check), .rare = true },
	{ "list", 0, NULL, "list the running VMs", GROUP_INSTEAD, FLAG(list), .rare = true },
	{},
};

/* Appends to a list of so many options. */
static void append(char *names, size_t size, char key, const char *name)
{
	size_t len = strlen(names);

	if (key)
		snprintf(names + len, size - len, "%s-%c/--%s", len ? ", " : "", key, name);
	else
		snprintf(names + len, size - len, "%s--%s", len ? ", " : "", name);
}

static int no_monitor(const struct options *opts)
{
	char names[512] = "";

	for (size_t i = 0; i < *opts->command->nr_monitors; i++) {
		const struct monitor *m = opts->command->monitors[i];

		append(names, sizeof(names), m->key, m->name);
		for (const struct monitor_option *o = m->options; o && o->name; o++)
			if (o->is_part && o->key)
				append(names, sizeof(names), o->key, o->name);
	}
	return usage_error("choose at least one monitor: %s", *names ? names : "there is none");
}

bool is_of_events(const struct monitor *m, unsigned int view)
{
	if (!m->event)
		return false;
	return m->slow_view && view == m->slow_view ? true : !m->only_slow && view == m->event_view;
}

/* Single events go to the output; else, why not. */
static const char *without_events(const struct attach_env *env, const struct chosen *c,
				  unsigned int view)
{
	const struct monitor *m = c->monitor;

	if (view && view == m->slow_view && !env->slower_ns)
		return "shows slow events; add --slower-than=TIME";
	if (env->slower_ns && view != events__view(env, c))
		return "shows all single events, but --slower-than has its own table";
	if (events__are_shown(env, c))
		return NULL;
	if (env->slower_ns)
		return "shows events without a duration, which --slower-than needs";
	return env->summary ? "shows single events, which --summary leaves out" :
			      "shows single events; add --events";
}

static int choose_tables(struct options *opts)
{
	struct chosen chosen[MAX_MONITORS];
	struct table_ref refs[MAX_TABLES];
	size_t nr = 0, nr_chosen = options__chosen(opts, chosen);
	const struct attach_env env = {
		.events = opts->events,
		.summary = opts->summary,
		.slower_ns = opts->slower_ns,
		.alone = nr_chosen == 1,
	};

	for (size_t i = 0; i < nr_chosen; i++) {
		const struct monitor *m = chosen[i].monitor;
		size_t first = nr;

		nr = tables__add(refs, nr, m->views, m->columns);
		for (size_t j = first; j < nr; j++) {
			if (is_of_events(m, refs[j].view - m->views))
				refs[j].without =
					without_events(&env, &chosen[i], refs[j].view - m->views);
			else if (m->without)
				refs[j].without =
					m->without(chosen[i].config, refs[j].view - m->views);
		}
	}
	return tables__choose(opts, refs, nr);
}

int watch__check(struct options *opts)
{

	if (!opts->monitors && !opts->check && !opts->list)
		return no_monitor(opts);
	if (opts->btf && !opts->check)
		return usage_error("--btf works only with --check; give both");
	if (opts->check && opts->list)
		return usage_error("--check and --list exclude each other; give one of them");
	if (opts->events && opts->summary)
		return usage_error("--events and --summary exclude each other; give one of them");
	if (opts->slower_ns && opts->summary)
		return usage_error(
			"--slower-than and --summary exclude each other; give one of them");
	if (opts->keep && !opts->slower_ns)
		return usage_error("--keep works only with --slower-than=TIME; give both");
	if (opts->check)
		return check__options(opts);
	if (opts->list)
		return list__options(opts);
	return 0;
}

/* --format=prometheus: all that is measured, in a file that is replaced. */
static int check_prometheus(struct options *opts)
{
	const struct selection *sel = &opts->selection;

	if (opts->format != FORMAT_PROMETHEUS)
		return 0;
	if (opts->check || opts->list)
		return usage_error("--format=prometheus does not work with --%s; leave one out",
				   opts->check ? "check" : "list");
	if (!opts->output || is_directory(opts->output))
		return usage_error("--format=prometheus needs the name of a file, which it "
				   "replaces at each interval: --output=FILE.prom");
	if (sel->by || sel->sort || sel->top || sel->nr_where || sel->histogram ||
	    opts->table_names)
		return usage_error("--format=prometheus exports all rows; leave out --by, --where, "
				   "--sort, --top, --histogram and --table");
	if (opts->events || opts->slower_ns)
		return usage_error("--format=prometheus has no single events; leave --%s out",
				   opts->events ? "events" : "slower-than");
	opts->summary = true;
	if (!opts->has_interval)
		opts->interval_ns = (uint64_t)PROMETHEUS_INTERVAL * NSEC_PER_SEC;
	return 0;
}

static int check_options(struct options *opts)
{
	struct chosen chosen[MAX_MONITORS];
	int err = check_prometheus(opts);

	if (!err)
		err = watch__check(opts);
	if (err || opts->check || opts->list)
		return err;
	if (!opts->record.path && (opts->record.limit || opts->record.mask || opts->record.force))
		return usage_error("--%s works only with --record=FILE; give both",
				   opts->record.limit ? "record-limit" :
				   opts->record.mask  ? "mask" :
							"force");
	err = choose_tables(opts);
	return err ? err : selection__check(opts, chosen, options__chosen(opts, chosen));
}

/* "vm_exit, vcpu_load" */
static void list_names(const struct watch_options *watched, char *names, size_t size)
{
	size_t used = 0;

	*names = '\0';
	for (size_t i = 0; i < watched->nr_chosen && used < size; i++)
		used += snprintf(names + used, size - used, "%s%s", i ? ", " : "",
				 watched->chosen[i].monitor->name);
}

/* Single events are asked for, or none, and there are none. */
static void check_events(const struct options *opts, const struct attach_env *env,
			 const struct watch_options *watched)
{
	char names[512];

	for (size_t i = 0; i < watched->nr_chosen; i++)
		if (events__are_there(env, &watched->chosen[i]))
			return;
	if (!opts->events && !opts->summary && !opts->slower_ns)
		return;
	list_names(watched, names, sizeof(names));
	say("--%s: %s %s no single events%s",
	    opts->slower_ns ? "slower-than" :
	    opts->events    ? "events" :
			      "summary",
	    names, watched->nr_chosen > 1 ? "have" : "has",
	    opts->slower_ns ? " with a duration" : "");
}

static bool writes_files(const struct attach_env *env, const struct watch_options *watched)
{
	for (size_t i = 0; i < watched->nr_chosen; i++) {
		const struct monitor *m = watched->chosen[i].monitor;

		if (m->writes_files || events__are_kept(env, m))
			return true;
	}
	return false;
}

/* Files are opened when there is something to write, which may be the end of a long run. */
static int check_temp_dir(const struct attach_env *env, const struct watch_options *watched)
{
	char names[512];
	int err;

	if (!env->temp_dir)
		return 0;
	if (!writes_files(env, watched)) {
		list_names(watched, names, sizeof(names));
		say("--temp-dir: %s %s no file%s", names,
		    watched->nr_chosen > 1 ? "write" : "writes",
		    env->events ? " with --events" : "");
		return 0;
	}
	err = tempfile__probe(env->temp_dir);
	if (err == -ENOTDIR)
		return usage_error("--temp-dir: \"%s\" or a part of it is a symbolic link or not a "
				   "directory; give another directory",
				   env->temp_dir);
	if (err)
		return usage_error(
			"--temp-dir: can't create files in \"%s\" (%s); give another directory",
			env->temp_dir, strerror(-err));
	return 0;
}

/* -p: a clear word when that process is none or no VM. */
static int check_pid(pid_t pid)
{
	struct vm vm;
	int err;

	if (!pid)
		return 0;
	err = vm__probe("/proc", pid, &vm);
	if (err == -ESRCH)
		say("-p %d: there is no such process (--list shows the VMs)", pid);
	else if (err == -ENXIO)
		say("-p %d: %s is not a VM, it holds no KVM VM descriptor (--list shows the VMs)",
		    pid, vm.name);
	else if (err)
		say("-p %d: its descriptors can't be read: run as root", pid);
	return err;
}

/* From here on this process has no rights, and a thread that has the signals. 0 or -errno. */
static int settle_in(const struct options *opts)
{
	char rights[128] = "keeps full privileges (--no-sandbox)";
	int err = opts->no_sandbox ? 0 : sandbox__enter(rights, sizeof(rights));

	if (err)
		return err;
	if (opts->verbose)
		say("the process that reads, names and prints %s", rights);
	err = stop__open();
	if (err)
		say("can't wait for signals: %s", limits__reason(err));
	return err;
}

/* Who is shown what: the user, and a file. 0, or -errno after a message. */
static int open_sinks(const struct options *opts, struct attach_env *env,
		      const struct watch_options *watched, struct textfile *textfile)
{
	const struct record_options record = {
		.path = opts->record.path,
		.limit = opts->record.limit,
		.mask = opts->record.mask,
		.force = opts->record.force,
		.alone = opts->command->operands,
		.chosen = watched->chosen,
		.nr_chosen = watched->nr_chosen,
		.env = env,
	};
	struct sink *sink = env->sinks;
	int err;

	if (textfile) {
		sink[0].interval_ns = sink[1].interval_ns = opts->interval_ns;
		if (!textfile__open(textfile, sink))
			return -ENOMEM;
		sink += EXPORTER_SINKS;
	} else if (!record.alone) {
		*sink = (struct sink){
			.selection = &opts->selection,
			.interval_ns = opts->interval_ns,
			.out = options__open_output(opts),
		};
		if (!sink->out)
			return -EIO;
		sink++;
	}
	if (record.path) {
		sink->interval_ns = record.alone ? opts->interval_ns : opts->record.interval_ns;
		err = record__open(&record, sink);
		if (err)
			return err;
		sink++;
	}
	env->nr_sinks = sink - env->sinks;
	return 0;
}

int watch__measure(const struct options *opts, struct attach_env *env,
		   const struct watch_options *watched)
{
	return watch__measure_with(opts, env, watched, NULL, NULL);
}

int watch__measure_with(const struct options *opts, struct attach_env *env,
			const struct watch_options *watched, int (*settled)(void *ctx), void *ctx)
{
	const struct broker_options privileged = {
		.env = env,
		.chosen = watched->chosen,
		.nr_chosen = watched->nr_chosen,
		.max_vcpus = opts->max_vcpus,
		.replaces = opts->format == FORMAT_PROMETHEUS ? opts->output : NULL,
		.records = watched->records,
	};
	int err = -EPERM;

	env->broker = broker__start(&privileged);
	if (env->broker) {
		check_events(opts, env, watched);
		presence__say(&opts->filter);
		selection__explain(&opts->selection, watched->chosen, watched->nr_chosen);
		err = settle_in(opts);
	}
	if (!err && settled)
		err = settled(ctx);
	if (!err)
		err = vcpus__open(&opts->filter, env->broker, &env->vcpus);
	if (!err)
		err = loop__watch(env, watched);
	return err;
}

void watch__close(struct attach_env *env)
{
	for (size_t i = 0; i < env->nr_sinks; i++)
		output__free(env->sinks[i].out);
	vcpus__close(env->vcpus);
	broker__close(env->broker);
}

static struct textfile *open_textfile(const struct options *opts, const struct attach_env *env,
				      const struct watch_options *watched)
{
	const struct exporter_options options = {
		.version = program_version,
		.by = opts->serve.by,
		.limit = opts->serve.limit,
		.chosen = watched->chosen,
		.nr_chosen = watched->nr_chosen,
		.env = env,
		.self_cost = opts->self_cost,
	};

	return textfile__new(opts->output, &options);
}

static int watch(const struct options *opts)
{
	struct sink sinks[EXPORTER_SINKS + 1] = {};
	struct attach_env env = {
		.sinks = sinks,
		.filter = &opts->filter,
		.kinds = opts->kinds,
		.ring_mib = opts->ring_mib,
		.allows_files = opts->format != FORMAT_PROMETHEUS,
		.format = format__beside(opts->format),
		.temp_dir = opts->temp_dir,
		.events = opts->events,
		.summary = opts->summary,
		.slower_ns = opts->slower_ns,
		.keep = opts->keep,
		.verbose = opts->verbose,
	};
	struct chosen chosen[MAX_MONITORS];
	struct watch_options watched = {
		.chosen = chosen,
		.nr_chosen = options__chosen(opts, chosen),
		.time_ns = opts->time_ns,
		.self_cost = opts->self_cost,
		.about = { program_version, opts->given },
	};
	struct textfile *textfile = NULL;
	int err;

	/* A recording has single events if it is asked to. */
	env.alone = watched.nr_chosen == 1 && !opts->command->operands;
	if (check_temp_dir(&env, &watched))
		return EXIT_USAGE;
	if (opts->format == FORMAT_PROMETHEUS) {
		textfile = open_textfile(opts, &env, &watched);
		if (!textfile)
			return EXIT_NOT_MEASURED;
		watched.driver = textfile__driver(textfile);
	}
	err = open_sinks(opts, &env, &watched, textfile);
	if (!err)
		err = watch__measure(opts, &env, &watched);
	env.nr_sinks = sizeof(sinks) / sizeof(*sinks);
	watch__close(&env);
	textfile__free(textfile);
	return err || log__has_failed() ? EXIT_NOT_MEASURED : EXIT_MEASURED;
}

/* 0, or the exit code after a message. */
int watch__can(const struct options *opts)
{
	int err = check_pid(opts->filter.pid);

	if (err)
		return err == -ESRCH || err == -ENXIO ? EXIT_USAGE : EXIT_NOT_MEASURED;
	if (!host__has_kvm()) {
		say("KVM is not loaded: load kvm_intel or kvm_amd (modprobe)");
		return EXIT_NOT_MEASURED;
	}
	if (opts->filter.pid && !host__initial_pid_namespace()) {
		say("-p works only in the host's PID namespace; run it there");
		return EXIT_NOT_MEASURED;
	}
	if (!host__initial_pid_namespace())
		say("this is not the host's PID namespace: pids are the host's, and VMs already "
		    "running are named after their threads (--list shows the VMs of this "
		    "namespace)");
	return 0;
}

int watch__run(const struct options *opts)
{
	int code;

	if (opts->check)
		return check__run(opts);
	if (opts->list)
		return list__run(opts);
	code = watch__can(opts);
	return code ? code : watch(opts);
}

static const struct option_row *const tables[] = {
	filter_options,	 grouping_options, top_options,	   selection_options,
	hooks_options,	 format_options,   width_options,  table_options,
	watch_options,	 interval_options, record_options, file_options,
	metrics_options, instead_options,  btf_options,	   NULL,
};

static const struct command *const words[] = { &check_command,	&list_command,	&record_command,
					       &replay_command, &diff_command,	&diagnose_command,
					       &top_command,	&serve_command, NULL };

const struct command watch_command = {
	.doc = doc,
	.epilogue = epilogue,
	.words = words,
	.tables = tables,
	.monitors = monitors,
	.nr_monitors = &nr_monitors,
	.check = check_options,
	.run = watch__run,
};
