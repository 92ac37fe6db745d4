/* SPDX-License-Identifier: GPL-2.0-only */
/* The commands, one file each; watch.c has the table of those with a word. */
#ifndef KVM_WATCHER_COMMANDS_H
#define KVM_WATCHER_COMMANDS_H

#include "options.h"

extern const struct command watch_command;
extern const struct command check_command;
extern const struct command list_command;
extern const struct command record_command;
extern const struct command replay_command;
extern const struct command diff_command;
extern const struct command diagnose_command;
extern const struct command top_command;
extern const struct command serve_command;

/* Nothing but which VMs was asked for, on a terminal: that is top. */
bool top__is_meant(int argc, char **argv);

/* The tables of list. */
extern const struct view list_views[];
extern const struct column list_columns[];

/* Watching, with whatever sinks: 0, or EXIT_USAGE after a message; the exit code. */
int watch__check(struct options *opts);
int watch__run(const struct options *opts);

/*
 * The same in parts: can it be watched here at all? 0, or the exit code after a message. Then with
 * sinks that are open: 0 or -errno, after a message; and all is closed, the sinks' outputs, too.
 */
struct attach_env;
struct watch_options;
int watch__can(const struct options *opts);
int watch__measure(const struct options *opts, struct attach_env *env,
		   const struct watch_options *watched);
/* settled: called once rights are given up, before anything is loaded; 0 or -errno. */
int watch__measure_with(const struct options *opts, struct attach_env *env,
			const struct watch_options *watched, int (*settled)(void *ctx), void *ctx);
void watch__close(struct attach_env *env);

/* --max-vcpus */
int parse_max_vcpus(struct options *opts, const char *arg);
int parse_slower(struct options *opts, const char *arg);

/* Rows of that view are single events. */
bool is_of_events(const struct monitor *m, unsigned int view);

/*
 * A moment by the clock of a recorded host, which began at start_ns. 0, or EXIT_USAGE after a
 * message.
 */
int parse_moment(const char *option, const char *arg, int64_t start_ns, int64_t *ns);

/* What the words do, for --check and --list: each returns the exit code. */
int check__run(const struct options *opts);
int list__run(const struct options *opts);

/* --btf */
extern const struct option_row btf_options[];

/* Can the host be checked with these options? 0, or EXIT_USAGE after a message. */
int check__options(struct options *opts);
int list__options(struct options *opts);

#endif
