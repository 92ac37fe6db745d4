// SPDX-License-Identifier: GPL-2.0-only
/* serve: series for Prometheus over HTTP, as long as it is wanted. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../core/attach.h"
#include "../core/clock.h"
#include "../core/limits.h"
#include "../core/log.h"
#include "../core/loop.h"
#include "../core/record.h"
#include "../core/sandbox.h"
#include "../core/sink.h"
#include "../monitors/monitors.h"
#include "../serve/listen.h"
#include "../serve/notify.h"
#include "../serve/server.h"
#include "../serve/service.h"
#include "commands.h"

static const char default_address[] = "127.0.0.1:9909";

/* If nothing is asked for: each exit, where vCPUs' time goes, halts, and counters of KVM's. */
static const char *const default_monitors[] = { "vm_exit", "vcpu_load", "vcpu_wakeup", "vm_state" };

static int parse_listen(struct options *opts, const char *arg)
{
	const char *wrong = listen__check(arg);

	if (wrong)
		return usage_error("--listen: \"%s\": %s", arg, wrong);
	if (opts->serve.nr_listen == MAX_LISTENERS)
		return usage_error("--listen: give at most %d", MAX_LISTENERS);
	opts->serve.listen[opts->serve.nr_listen++] = arg;
	return 0;
}

static int parse_time(struct options *opts, const char *arg)
{
	return parse_duration("-t, --monitoring_time", arg, NSEC_PER_MSEC, &opts->time_ns);
}

/* It was read before all others. */
static int parse_config(struct options *opts, const char *arg)
{
	(void)opts;
	(void)arg;
	return 0;
}

static const struct option_row serve_options[] = {
	{ "listen", 0, "ADDRESS:PORT|unix:PATH",
	  "serve at this address (default: systemd's sockets, or 127.0.0.1:9909; repeatable)",
	  GROUP_OUTPUT, parse_listen },
	{ "config", 0, "FILE", "file of options, one a line (default /etc/kvm_watcher/serve.conf)",
	  GROUP_OUTPUT, parse_config },
	{ "monitoring_time", 't', "TIME", "stop after this time (default: at Ctrl-C)",
	  GROUP_SELECTION, parse_time },
	{ "max-vcpus", 0, "N", "track up to N vCPUs at a time", GROUP_SELECTION, parse_max_vcpus },
	{ "self-cost", 0, NULL,
	  "also export the cost of BPF programs; the kernel then times all BPF programs",
	  GROUP_OUTPUT, .flag = offsetof(struct options, self_cost) },
	{ "no-sandbox", 0, NULL, "keep full privileges in the process that reads and serves",
	  GROUP_OUTPUT, .flag = offsetof(struct options, no_sandbox) },
	{},
};

static void choose_default(struct options *opts)
{
	for (size_t i = 0; i < nr_monitors; i++)
		for (size_t j = 0; j < sizeof(default_monitors) / sizeof(*default_monitors); j++)
			if (!strcmp(monitors[i]->name, default_monitors[j]))
				opts->monitors |= 1ULL << i;
}

static int check_options(struct options *opts)
{
	if (!opts->record.path && (opts->record.limit || opts->record.mask || opts->record.force))
		return usage_error("--%s works only with --record=FILE; give both",
				   opts->record.limit ? "record-limit" :
				   opts->record.mask  ? "mask" :
							"force");
	if (!opts->monitors)
		choose_default(opts);
	return 0;
}

/* 0, or -errno after a message. */
static int open_sockets(const struct options *opts, int fds[MAX_LISTENERS], size_t *nr)
{
	const char *one = default_address, *const *addresses = &one;
	size_t nr_addresses = opts->serve.nr_listen;

	*nr = listen__inherited(fds, MAX_LISTENERS);
	if (nr_addresses)
		addresses = opts->serve.listen;
	else if (!*nr)
		nr_addresses = 1;
	for (size_t i = 0; i < nr_addresses && *nr < MAX_LISTENERS; i++) {
		int fd = listen__open(addresses[i]);

		if (fd < 0) {
			say("--listen: can't serve at %s: %s", addresses[i], limits__reason(fd));
			return fd;
		}
		fds[(*nr)++] = fd;
		say("serving at %s%s", addresses[i],
		    listen__is_public(addresses[i]) ?
			    ": other hosts can read VM names there; docs/serve.md shows how to put "
			    "TLS in front" :
			    "");
	}
	if (!nr_addresses)
		say("serving at %zu socket%s from systemd", *nr, *nr > 1 ? "s" : "");
	return 0;
}

static int serve(const struct options *opts, const int *fds, size_t nr_fds)
{
	enum { METRICS, RECORDING = METRICS + EXPORTER_SINKS, NR_SINKS };
	struct sink sinks[NR_SINKS] = {};
	struct attach_env env = {
		.sinks = sinks,
		.nr_sinks = EXPORTER_SINKS,
		.filter = &opts->filter,
		.kinds = opts->kinds,
		.summary = true,
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
	const struct exporter_options options = {
		.version = program_version,
		.by = opts->serve.by,
		.limit = opts->serve.limit,
		.chosen = chosen,
		.nr_chosen = watched.nr_chosen,
		.env = &env,
		.self_cost = opts->self_cost,
	};
	struct service *service = service__new(&options, fds, nr_fds, METRICS);
	int err = service ? 0 : -ENOMEM;

	if (!err) {
		watched.driver = service__driver(service);
		err = service__open(service, &sinks[METRICS]) ? 0 : -ENOMEM;
	}
	if (!err && opts->record.path) {
		const struct record_options record = {
			.path = opts->record.path,
			.limit = opts->record.limit,
			.mask = opts->record.mask,
			.force = opts->record.force,
			.chosen = chosen,
			.nr_chosen = watched.nr_chosen,
			.env = &env,
		};

		sinks[RECORDING].interval_ns = opts->record.interval_ns;
		err = record__open(&record, &sinks[RECORDING]);
		env.nr_sinks = NR_SINKS;
	}
	sandbox__accept_connections();
	if (!err)
		err = watch__measure(opts, &env, &watched);
	env.nr_sinks = NR_SINKS;
	watch__close(&env);
	service__free(service);
	return err || log__has_failed() ? EXIT_NOT_MEASURED : EXIT_MEASURED;
}

static int run(const struct options *opts)
{
	int fds[MAX_LISTENERS];
	size_t nr_fds;
	int code;

	log__use_journal();
	notify__open();
	code = watch__can(opts);
	if (code)
		return code;
	if (open_sockets(opts, fds, &nr_fds))
		return EXIT_NOT_MEASURED;
	return serve(opts, fds, nr_fds);
}

static const struct option_row *const tables[] = {
	serve_options,	filter_options, hooks_options, metrics_options,
	record_options, file_options,	NULL,
};

const struct command serve_command = {
	.name = "serve",
	.doc = "Serve series for Prometheus: what the monitors measure, by VM (default -e -o -w "
	       "--vm_state).",
	.epilogue = "A scrape takes a fresh sample; scrapes within a second share one. Options may "
		    "also be in a file, one a line, without the dashes: metrics-by = vm. The "
		    "command line takes precedence.",
	.config = "/etc/kvm_watcher/serve.conf",
	.tables = tables,
	.monitors = monitors,
	.nr_monitors = &nr_monitors,
	.check = check_options,
	.run = run,
};
