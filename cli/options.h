/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The command line. A command lists tables of options, of which several are
 * shared; the parser fills one struct, from which each command makes the
 * plain structs of those that it calls. Nobody below cli/ knows it.
 */
#ifndef KVM_WATCHER_OPTIONS_H
#define KVM_WATCHER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../core/filter.h"
#include "../core/metrics.h"
#include "../core/monitor.h"
#include "../core/select.h"
#include "../output/output.h"
#include "tables.h"

enum exit_code {
	EXIT_MEASURED = 0,
	EXIT_NOT_MEASURED = 1,
	EXIT_USAGE = 2,
	EXIT_WORSE = 3,
	EXIT_UNDECIDED = 4
};

struct buf;
struct command;

/* Of a command whose --interval has a default that its input tells. */
#define NO_INTERVAL 1

/* Options of one monitor; of more the last ones are forgotten, but have their effect. */
enum { MAX_GIVEN = 8, MAX_OPERANDS = 256, MAX_REPEATED = 32 };

struct options {
	const struct command *command;
	uint64_t monitors; /* bit i: the command's monitors[i] was asked for */
	struct monitor_config configs[MAX_MONITORS];
	struct given_option given_options[MAX_MONITORS][MAX_GIVEN];
	size_t nr_given_options[MAX_MONITORS];
	struct filter filter;	    /* -p, --vm, --vcpu */
	struct selection selection; /* --by, --sort, --top, --where, --histogram */
	uint64_t time_ns;	    /* -t; 0: until a signal */
	uint64_t interval_ns;	    /* --interval */
	bool has_interval;	    /* it was given */
	enum format format;
	uint32_t width;			    /* --width: of tables; 0: the terminal's */
	const char *output;		    /* --output; NULL: stdout */
	const char *table_names;	    /* --table; NULL: all */
	const char *tables[MAX_TABLES + 1]; /* what is written, ends with NULL */
	char *const *given;   /* the command line, without the program and the command */
	unsigned int kinds;   /* --hooks: bit mask of enum hook_kind; 0: any */
	uint32_t max_vcpus;   /* --max-vcpus; 0: as many as the host suggests */
	uint32_t ring_mib;    /* --ring-size; 0: as the host suggests */
	const char *temp_dir; /* --temp-dir; NULL: the default */
	bool events;	      /* --events */
	bool summary;	      /* --summary: no single events */
	uint64_t slower_ns;   /* --slower-than */
	uint32_t keep;	      /* --keep */
	bool self_cost;
	bool no_sandbox;
	bool verbose;
	bool check;
	const char *btf; /* --btf: files of a kernel to check; NULL: the one that runs */
	bool list;
	struct {
		const char *path;     /* --record, or the operand of record; NULL: none is made */
		uint64_t interval_ns; /* --record-interval */
		uint64_t limit;	      /* --record-limit; 0: none */
		bool mask, force;
	} record;
	const char *from, *to; /* --from, --to; NULL: all */
	bool by_file;	       /* --by=file */
	bool all, fails;       /* --all, --fail-above */
	double fail_above;
	struct {
		const char *asserted[MAX_REPEATED]; /* --assert */
		const char *ignored[MAX_REPEATED];  /* --ignore */
		size_t nr_asserted, nr_ignored;
		const char *fail_on;   /* --fail-on; NULL: findings do not fail a run */
		const char *bandwidth; /* --migration-bandwidth; NULL: not known */
		const char *baseline;  /* --baseline: a recording whose findings are known */
		uint64_t after_ns;     /* --after: how old a VM has to be */
		bool undecided_passes;
	} diagnose;
	struct {
		bool once, no_config;
	} top;
	struct {
		enum metrics_by by;		  /* --metrics-by */
		uint32_t limit;			  /* --metrics-limit; 0: the default */
		const char *listen[MAX_REPEATED]; /* --listen */
		size_t nr_listen;
	} serve;
	const char *operands[MAX_OPERANDS]; /* words that are no options, such as files */
	size_t nr_operands;
};

/* Where --help has it; -1: at the end, without a heading. */
enum option_group { GROUP_MONITORS = 1, GROUP_SELECTION, GROUP_OUTPUT, GROUP_INSTEAD, NR_GROUPS };

struct option_row {
	const char *name;
	char key;	 /* 0: none */
	const char *arg; /* what it takes, for --help; NULL: nothing */
	const char *help;
	int group;
	/* 0, or EXIT_USAGE after a message; NULL: sets the bool at flag in struct options. */
	int (*set)(struct options *opts, const char *arg);
	size_t flag;
	bool rare; /* only --help=all has it: --help fits a terminal of 80x40 */
};

/* Tables end with a row without a name. */
extern const struct option_row filter_options[];    /* -p, --vm, --vcpu */
extern const struct option_row grouping_options[];  /* --by, --where */
extern const struct option_row top_options[];	    /* --top */
extern const struct option_row selection_options[]; /* --sort, --histogram */
extern const struct option_row hooks_options[];	    /* --hooks */
extern const struct option_row format_options[];    /* --format, --output */
extern const struct option_row table_options[];	    /* --table */
extern const struct option_row width_options[];	    /* --width */
extern const struct option_row watch_options[];	    /* -t, --events, --no-sandbox, ... */
extern const struct option_row interval_options[];  /* --interval */
extern const struct option_row metrics_options[];   /* --metrics-by, --metrics-limit */
extern const struct option_row file_options[];	    /* --record-limit, --mask, --force */
extern const struct option_row record_options[];    /* --record, --record-interval */

struct command {
	const char *name; /* the word that asks for it; NULL: none does, as none has to */
	const char *doc, *epilogue;
	const char *operands; /* what it takes besides options, for --help; NULL: nothing */
	size_t most_operands;
	const char *config;   /* the file that has its options, if --config names none; or NULL */
	bool reads_files;     /* recordings: what is shown may be of them, --by=file */
	enum group_by by;     /* --by, if it is not given */
	uint64_t interval_ns; /* --interval, if it is not given; 0: 2 seconds */
	const struct command *const *words;	/* whose words --help lists, up to NULL; or NULL */
	const struct option_row *const *tables; /* ends with NULL */
	/* Whose options it takes, too; or NULL. */
	const struct monitor *const *monitors;
	const size_t *nr_monitors;
	/* Looks at all of them together: 0, or EXIT_USAGE after a message; or NULL. */
	int (*check)(struct options *opts);
	int (*run)(const struct options *opts); /* returns the exit code */
};

/*
 * Fills opts; argv[0] is the program's name or the command's. Returns -1 to go
 * on, or the code to exit with after a message was printed (usage error:
 * EXIT_USAGE; --help, --usage, --version: 0).
 */
int options__parse(const struct command *command, int argc, char **argv, struct options *opts);

/*
 * The options of a command as lines of fields with tabs between them, of which completions and
 * manual pages are made (scripts/print-tables.c): "command", name, operands, doc, epilogue; and for
 * each option "option", command, key, name, argument, group, "common" or "rare", help.
 */
void options__put(struct buf *to, const struct command *command);

/* Of --version, and of the first object of an output. */
extern const char *const program_version;

/* Opens what the user wants written. NULL after a message. */
struct output *options__open_output(const struct options *opts);

/* The monitors that were asked for, or all if none was; at most MAX_MONITORS. Returns how many. */
size_t options__chosen(const struct options *opts, struct chosen *chosen);

/* Prints the one sentence of a usage error, whatever the user typed. Returns EXIT_USAGE. */
int __attribute__((format(printf, 1, 2))) usage_error(const char *fmt, ...);

/*
 * All of arg is a duration: seconds, or a number with its unit (ms, s, m, h); fractions are
 * allowed. 0, or EXIT_USAGE after a message.
 */
int parse_duration(const char *option, const char *arg, uint64_t least_ns, uint64_t *ns);

/* What rows of these monitors can be chosen by: 0, or EXIT_USAGE after a message. */
int selection__check(const struct options *opts, const struct chosen *chosen, size_t nr);

/* A number of bytes: digits, and K, M or G behind them. 0, or EXIT_USAGE after a message. */
int parse_size(const char *option, const char *arg, uint64_t least, uint64_t *size);

/* All of arg is a number from 1 to most. */
bool parse_count(const char *arg, unsigned long most, uint32_t *count);

#endif
