// SPDX-License-Identifier: GPL-2.0-only
/*
 * getopt_long() parses and argp prints the help: argp's own messages are of
 * several lines and don't say what to do. Every message is one sentence.
 */
#include "options.h"

#include <argp.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../compat/hook_kind.h"
#include "../core/clock.h"
#include "../core/limits.h"
#include "../core/log.h"
#include "../output/format.h"

#define PROGRAM "kvm_watcher"

#ifndef VERSION
#define VERSION "unknown"
#endif

enum {
	MAX_OPTIONS = 96,
	KEY_LONG = 0x100,  /* and up: the option's index in the table, as getopt's and argp's key */
	MAX_PID = 4194304, /* the kernel's PID_MAX_LIMIT */
	MIN_WIDTH = 40,
	MAX_WIDTH = 1000,
	MAX_TOP = 1000000,
	MAX_METRICS_LIMIT = 10000000,
	DEFAULT_INTERVAL = 2,	  /* seconds */
	RECORD_INTERVAL = 10,	  /* of --record */
	MAX_SECONDS = 1000000000, /* of a duration */
};

const char *const program_version = VERSION;
const char *argp_program_bug_address = "the project's issue tracker";

static const char *const headings[NR_GROUPS] = {
	[GROUP_MONITORS] = "Monitors:",
	[GROUP_SELECTION] = "What to watch:",
	[GROUP_OUTPUT] = "Output:",
	[GROUP_INSTEAD] = "Instead of watching:",
};

/* Where the option stands that is looked at, "FILE:LINE: "; "": the command line. */
static char standing_at[PATH_MAX + 32];

int usage_error(const char *fmt, ...)
{
	static char text[16384]; /* say() cuts it */
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say("%s%s", standing_at, text);
	return EXIT_USAGE;
}

/* Values: 0, or EXIT_USAGE after a message. */

/* Decimal digits up to the end or one of the stop characters. */
static bool parse_number(const char **s, unsigned long max, unsigned long *value)
{
	const char *p = *s;

	*value = 0;
	for (; *p >= '0' && *p <= '9'; p++) {
		*value = *value * 10 + (*p - '0');
		if (*value > max)
			return false;
	}
	if (p == *s)
		return false;
	*s = p;
	return true;
}

bool parse_count(const char *arg, unsigned long most, uint32_t *count)
{
	unsigned long value;

	if (!parse_number(&arg, most, &value) || *arg || !value)
		return false;
	*count = value;
	return true;
}

int parse_duration(const char *option, const char *arg, uint64_t least_ns, uint64_t *ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "", NSEC_PER_SEC },
		{ "us", NSEC_PER_USEC },
		{ "ms", NSEC_PER_MSEC },
		{ "s", NSEC_PER_SEC },
		{ "m", 60 * (uint64_t)NSEC_PER_SEC },
		{ "h", 3600 * (uint64_t)NSEC_PER_SEC },
	};
	/* strtod() also takes hexadecimal, inf and nan. */
	size_t len = strspn(arg, "0123456789."), unit = 0;
	char *end;
	double value = strtod(arg, &end);

	while (unit < sizeof(units) / sizeof(*units) && strcmp(arg + len, units[unit].name))
		unit++;
	if (!len || end != arg + len || unit == sizeof(units) / sizeof(*units))
		return usage_error("%s: \"%s\" is not a duration; give seconds, or a number with "
				   "us, ms, s, m or h, such as 10, 0.5, 500ms or 1.5h",
				   option, arg);
	value *= units[unit].ns;
	if (value < least_ns || value > MAX_SECONDS * (double)NSEC_PER_SEC) {
		bool tiny = least_ns < NSEC_PER_MSEC;

		return usage_error("%s: %s is out of range; give %g%s to %ds", option, arg,
				   (double)least_ns / (tiny ? NSEC_PER_USEC : NSEC_PER_SEC),
				   tiny ? "us" : "s", MAX_SECONDS);
	}
	*ns = llround(value);
	return 0;
}

int parse_size(const char *option, const char *arg, uint64_t least, uint64_t *size)
{
	static const char units[] = "KMG";
	const char *end = arg, *unit;
	unsigned long value = 0;
	bool ok = parse_number(&end, 1UL << 30, &value);

	unit = ok && *end ? strchr(units, *end) : NULL;
	*size = (uint64_t)value << (unit ? 10 * (unit - units + 1) : 0);
	if (!ok || (*end && (!unit || end[1])))
		return usage_error("%s: \"%s\" is not a size; give a number of bytes, or one with "
				   "K, M or G, such as 500M",
				   option, arg);
	if (*size < least)
		return usage_error("%s: %s is too small; give %" PRIu64 "M or more", option, arg,
				   least >> 20);
	return 0;
}

static int parse_pid(struct options *opts, const char *arg)
{
	const char *end = arg;
	unsigned long value;

	if (!parse_number(&end, MAX_PID, &value) || *end || !value)
		return usage_error("-p, --vm_pid: \"%s\" is not a process id; "
				   "give a number from 1 to %d, as in --list",
				   arg, MAX_PID);
	opts->filter.pid = value;
	return 0;
}

static int parse_format(struct options *opts, const char *arg)
{
	int format = format__find(arg);
	char names[128];

	if (format < 0)
		return usage_error("--format: \"%s\" is not a format; choose %s", arg,
				   format__names(names, sizeof(names)));
	opts->format = format;
	return 0;
}

static int parse_width(struct options *opts, const char *arg)
{
	if (parse_count(arg, MAX_WIDTH, &opts->width) && opts->width >= MIN_WIDTH)
		return 0;
	return usage_error(
		"--width: \"%s\" is not a table width; give a number of columns from %d to %d", arg,
		MIN_WIDTH, MAX_WIDTH);
}

static int parse_output(struct options *opts, const char *arg)
{
	if (!*arg)
		return usage_error("--output: the name is empty; give a file, or a directory that "
				   "ends with a slash");
	opts->output = arg;
	return 0;
}

static int parse_tables(struct options *opts, const char *arg)
{
	opts->table_names = arg;
	return 0;
}

static int parse_pod(struct filter *filter, const char *arg)
{
	const char *slash = strchr(filter->pattern, '/');

	if (!slash || slash == filter->pattern || !slash[1] || strchr(slash + 1, '/'))
		return usage_error("--vm: \"%s\" is not a pod; give pod:NAMESPACE/NAME, such as "
				   "pod:default/web or 'pod:*/web*'",
				   arg);
	if (!strncmp(slash + 1, "virt-launcher-", strlen("virt-launcher-")))
		return usage_error(
			"--vm: \"%s\" names a pod, which kvm_watcher can't look up; give the name "
			"of the VirtualMachineInstance, or the pod's UID, as in --list",
			arg);
	return 0;
}

/* --vm: "uuid:", "pod:", "cgroup:", or a pattern of names. */
static int parse_identity(struct filter *filter, const char *arg)
{
	static const char *const words[] = {
		[VM_BY_UUID] = "uuid:",
		[VM_BY_POD] = "pod:",
		[VM_BY_CGROUP] = "cgroup:",
	};

	filter->vm = filter->pattern = arg;
	filter->vm_by = VM_BY_NAME;
	for (int i = VM_BY_UUID; i <= VM_BY_CGROUP; i++)
		if (!strncmp(arg, words[i], strlen(words[i]))) {
			filter->vm_by = i;
			filter->pattern = arg + strlen(words[i]);
		}
	if (filter->vm_by == VM_BY_POD)
		return parse_pod(filter, arg);
	if (filter->vm_by == VM_BY_CGROUP && !*filter->pattern)
		return usage_error("--vm: the cgroup is empty; give a shell pattern for its path, "
				   "such as 'cgroup:*web*'");
	if (filter->vm_by == VM_BY_UUID && !identity__copy_uuid(filter->uuid, filter->pattern))
		return usage_error("--vm: \"%s\" is not a UUID; give a full one, such as "
				   "uuid:2d1b1c5e-6a3f-4b0c-9d57-0c6f2d1e8a41, as in --list",
				   filter->pattern);
	return 0;
}

static int parse_pattern(struct options *opts, const char *arg)
{
	if (!*arg)
		return usage_error("--vm: the pattern is empty; give a VM's name or a shell "
				   "pattern such as 'web*'");
	return parse_identity(&opts->filter, arg);
}

/* "N" or "N-M", up to a comma or the end. */
static bool parse_range(const char **s, unsigned long *first, unsigned long *last)
{
	if (!parse_number(s, MAX_VCPU, first))
		return false;
	*last = *first;
	if (**s == '-') {
		(*s)++;
		if (!parse_number(s, MAX_VCPU, last) || *last < *first)
			return false;
	}
	return !**s || **s == ',';
}

static int parse_vcpus(struct options *opts, const char *arg)
{
	unsigned long first, last;
	const char *s = arg;

	filter__clear_vcpus(&opts->filter);
	do {
		if (!parse_range(&s, &first, &last))
			return usage_error("--vcpu: \"%s\" is not a list of vCPUs; give numbers "
					   "up to %d, such as 0,2 or 0-3",
					   arg, MAX_VCPU);
		filter__add_vcpus(&opts->filter, first, last);
	} while (*s++ == ',');
	return 0;
}

static int parse_hooks(struct options *opts, const char *arg)
{
	char kind[32];
	const char *s;
	size_t len;
	int bit;

	opts->kinds = 0;
	for (s = arg;; s += len + 1) {
		len = strcspn(s, ",");
		snprintf(kind, sizeof(kind), "%.*s", (int)len, s);
		bit = len < sizeof(kind) ? hook_kind__parse(kind) : -1;
		if (bit < 0)
			return usage_error(
				"--hooks: \"%.*s\" is not a kind of hook; choose from %s", (int)len,
				s, hook_kind__names());
		opts->kinds |= 1u << bit;
		if (!s[len])
			return 0;
	}
}

const struct option_row filter_options[] = {
	{ "vm_pid", 'p', "PID", "only the VMs of this process", GROUP_SELECTION, parse_pid },
	{ "vm", 0, "NAME",
	  "only VMs with this name (a shell pattern), uuid:UUID, pod:NAMESPACE/NAME or "
	  "cgroup:PATTERN",
	  GROUP_SELECTION, parse_pattern },
	{ "vcpu", 0, "N[,N]", "only these vCPUs, such as 0,2 or 0-3", GROUP_SELECTION, parse_vcpus,
	  .rare = true },
	{},
};

static int parse_by(struct options *opts, const char *arg)
{
	static const char *const words[] = {
		[BY_VCPU] = "vcpu",
		[BY_VM] = "vm",
		[BY_HOST] = "host",
	};

	opts->by_file = opts->command->reads_files && !strcmp(arg, "file");
	if (opts->by_file)
		arg = words[BY_VM];
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(arg, words[i])) {
			opts->selection.by = i;
			return 0;
		}
	return usage_error("--by: \"%s\" is not a grouping; choose host, vm%s or vcpu", arg,
			   opts->command->reads_files ? ", file" : "");
}

static int parse_sort(struct options *opts, const char *arg)
{
	opts->selection.inverted = *arg == '-';
	opts->selection.sort = arg + (*arg == '-' || *arg == '+');
	return 0;
}

static int parse_top(struct options *opts, const char *arg)
{
	if (parse_count(arg, MAX_TOP, &opts->selection.top))
		return 0;
	return usage_error("--top: \"%s\" is not a number of vCPUs or VMs; give one from 1 to %d",
			   arg, MAX_TOP);
}

static int parse_where(struct options *opts, const char *arg)
{
	struct selection *sel = &opts->selection;

	if (sel->nr_where == MAX_CONDITIONS)
		return usage_error("--where: more than %d conditions; give fewer", MAX_CONDITIONS);
	if (condition__parse(&sel->where[sel->nr_where], arg)) {
		sel->nr_where++;
		return 0;
	}
	return usage_error("--where: \"%s\" is not a condition; give COLUMN=PATTERN, such as "
			   "reason='EPT*', or COLUMN>NUMBER, such as 'p99_ns>50us'",
			   arg);
}

int selection__check(const struct options *opts, const struct chosen *chosen, size_t nr)
{
	const struct selection *sel = &opts->selection;
	char text[1024];

	if (selection__is_wrong(sel, chosen, nr, text, sizeof(text)))
		return usage_error("%s", text);
	if (sel->histogram && opts->format == FORMAT_CSV)
		return usage_error("--histogram: CSV can't hold histograms; choose --format=table "
				   "or --format=json");
	if (sel->histogram && format__is_picture(opts->format))
		return usage_error("--histogram: traces and stacks can't hold histograms; choose "
				   "--format=table or --format=json");
	return 0;
}

const struct option_row grouping_options[] = {
	{ "where", 0, "COLUMN=PATTERN",
	  "only rows with a matching value; also !=, and < or > with a number (repeatable)",
	  GROUP_SELECTION, parse_where, .rare = true },
	{ "by", 0, "host|vm|vcpu", "one row per host, VM or vCPU (default; diff: VM)", GROUP_OUTPUT,
	  parse_by },
	{},
};

const struct option_row top_options[] = {
	{ "top", 0, "N", "only the first N vCPUs, VMs or rows (default: as many as fit)",
	  GROUP_OUTPUT, parse_top, .rare = true },
	{},
};

const struct option_row selection_options[] = {
	{ "sort", 0, "[-]COLUMN", "sort by this column, largest first; -COLUMN: smallest first",
	  GROUP_OUTPUT, parse_sort, .rare = true },
	{ "histogram", 0, NULL, "also show the distribution of all times", GROUP_OUTPUT,
	  .flag = offsetof(struct options, selection.histogram), .rare = true },
	{},
};

const struct option_row hooks_options[] = {
	{ "hooks", 0, "KIND[,KIND]", "use only these kinds of kernel hook", GROUP_SELECTION,
	  parse_hooks, .rare = true },
	{},
};

const struct option_row format_options[] = {
	{ "format", 0, "table|json|csv|html|perfetto|folded|prometheus",
	  "table (default), json, csv, html (a page), perfetto (a trace), folded (stacks) or "
	  "prometheus (series)",
	  GROUP_OUTPUT, parse_format },
	{ "output", 0, "FILE|DIR/", "write to this file, or a file per table to DIR/", GROUP_OUTPUT,
	  parse_output },
	{},
};

static int parse_metrics_by(struct options *opts, const char *arg)
{
	static const char *const words[] = {
		[METRICS_AUTO] = "auto",
		[METRICS_BY_VM] = "vm",
		[METRICS_BY_VCPU] = "vcpu",
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(arg, words[i])) {
			opts->serve.by = i;
			return 0;
		}
	return usage_error("--metrics-by: \"%s\" is not a grouping; choose auto, vm or vcpu", arg);
}

static int parse_metrics_limit(struct options *opts, const char *arg)
{
	if (parse_count(arg, MAX_METRICS_LIMIT, &opts->serve.limit) &&
	    opts->serve.limit >= LEAST_METRICS_LIMIT)
		return 0;
	return usage_error("--metrics-limit: \"%s\" is not a number of series; give one from %d "
			   "to %d",
			   arg, LEAST_METRICS_LIMIT, MAX_METRICS_LIMIT);
}

const struct option_row metrics_options[] = {
	{ "metrics-by", 0, "auto|vm|vcpu",
	  "Prometheus series by VM or vCPU (default auto: by vCPU where that is useful)",
	  GROUP_OUTPUT, parse_metrics_by, .rare = true },
	{ "metrics-limit", 0, "N",
	  "at most this many series (default 50000); the rarest are folded into one", GROUP_OUTPUT,
	  parse_metrics_limit, .rare = true },
	{},
};

const struct option_row table_options[] = {
	{ "table", 0, "NAME[,NAME]", "only these tables, named as in JSON", GROUP_OUTPUT,
	  parse_tables, .rare = true },
	{},
};

const struct option_row width_options[] = {
	{ "width", 0, "N", "width of tables (default: the terminal's, 100 in a pipe)", GROUP_OUTPUT,
	  parse_width, .rare = true },
	{},
};

/* What every command has. */
enum { EVERY_VERBOSE, EVERY_HELP, EVERY_USAGE, EVERY_VERSION };

static const struct option_row every_options[] = {
	[EVERY_VERBOSE] = { "verbose", 'v', NULL, "more messages on stderr, including libbpf's",
			    GROUP_OUTPUT, .flag = offsetof(struct options, verbose), .rare = true },
	[EVERY_HELP] = { "help", '?', "all", "print the common options; =all: all of them", -1 },
	[EVERY_USAGE] = { "usage", 0, NULL, "print a short usage message", -1, .rare = true },
	[EVERY_VERSION] = { "version", 'V', NULL, "print the version", -1, .rare = true },
	{},
};

/* An option, and whose it is: the command's (row), a monitor's (option), or a monitor itself. */
struct action {
	const struct option_row *row;
	const struct monitor_option *option;
	size_t monitor;
	bool given;
};

struct table {
	const struct command *command;
	struct options *opts;
	char name[32]; /* as the user calls it */
	struct action actions[MAX_OPTIONS];
	struct argp_option argp[MAX_OPTIONS + NR_GROUPS + 1]; /* the same, then headings */
	struct option longs[MAX_OPTIONS + 1];
	char shorts[3 + 2 * MAX_OPTIONS + 1];
	size_t nr;
};

/* --help takes "all" or nothing; no other value may be left out. */
static int takes_all(const struct option_row *row)
{
	return row == &every_options[EVERY_HELP] ? OPTION_ARG_OPTIONAL : 0;
}

/* false: there are too many. */
static bool add(struct table *t, struct action action, struct argp_option argp)
{
	size_t i = t->nr, len = strlen(t->shorts);

	if (i == MAX_OPTIONS)
		return false;
	/* "?" is getopt's answer to what it does not know. */
	if (argp.key && argp.key != '?')
		snprintf(t->shorts + len, sizeof(t->shorts) - len, "%c%s", argp.key,
			 argp.arg ? ":" : "");
	t->longs[i] = (struct option){
		.name = argp.name,
		.has_arg = !argp.arg			    ? no_argument :
			   argp.flags & OPTION_ARG_OPTIONAL ? optional_argument :
							      required_argument,
		.val = KEY_LONG + i,
	};
	argp.key = argp.key ?: (int)(KEY_LONG + i);
	t->actions[i] = action;
	t->argp[i] = argp;
	t->nr++;
	return true;
}

/* argp breaks a line amid what is longer than this. */
static const char *shown_arg(const struct option_row *row)
{
	enum { LONGEST_ARG = 40 };

	return row->arg && strlen(row->arg) > LONGEST_ARG ? "WORD" : row->arg;
}

static bool add_rows(struct table *t, const struct option_row *row)
{
	bool fits = true;

	for (; row->name; row++)
		fits &= add(t, (struct action){ .row = row },
			    (struct argp_option){ .name = row->name,
						  .key = row->key,
						  .arg = shown_arg(row),
						  .flags = takes_all(row),
						  .doc = row->help,
						  .group = row->group });
	return fits;
}

static bool add_monitor(struct table *t, size_t i)
{
	const struct monitor *m = t->command->monitors[i];
	bool fits = add(
		t, (struct action){ .monitor = i },
		(struct argp_option){
			.name = m->name, .key = m->key, .doc = m->help, .group = GROUP_MONITORS });

	for (const struct monitor_option *o = m->options; o && o->name; o++)
		fits &= add(t, (struct action){ .monitor = i, .option = o },
			    (struct argp_option){ .name = o->name,
						  .key = o->key,
						  .arg = o->arg,
						  .doc = o->help,
						  .group = o->is_part ? GROUP_MONITORS :
									GROUP_OUTPUT });
	return fits;
}

static bool fill(struct table *t)
{
	const struct command *c = t->command;
	size_t nr = c->monitors ? *c->nr_monitors : 0;
	bool fits = true;

	snprintf(t->name, sizeof(t->name), "%s%s%s", PROGRAM, c->name ? " " : "", c->name ?: "");
	/* Stop at what is no option; tell the errors apart; -H, which no help has. */
	strcpy(t->shorts, "+:H");
	for (size_t i = 0; i < nr; i++)
		fits &= add_monitor(t, i);
	for (size_t i = 0; c->tables[i]; i++)
		fits &= add_rows(t, c->tables[i]);
	fits &= add_rows(t, every_options);
	return fits;
}

/* Names */

/* The option with that name, or the first one that begins so. */
static const struct argp_option *find_long(const struct table *t, const char *name, size_t len,
					   bool prefix)
{
	for (size_t i = 0; i < t->nr; i++)
		if (!strncmp(t->argp[i].name, name, len) && (prefix || !t->argp[i].name[len]))
			return &t->argp[i];
	return NULL;
}

static const struct argp_option *find_key(const struct table *t, int key)
{
	for (size_t i = 0; i < t->nr; i++)
		if (t->argp[i].key == key || t->longs[i].val == key)
			return &t->argp[i];
	return NULL;
}

/* What an ambiguous abbreviation may mean: "--vm_exit, --vm_pid or --vm_state". */
static size_t list_meanings(const struct table *t, const char *name, size_t len, char *list,
			    size_t size)
{
	size_t nr = 0, used = 0, seen = 0;

	for (size_t i = 0; i < t->nr; i++)
		nr += !strncmp(t->argp[i].name, name, len);
	for (size_t i = 0; i < t->nr && used < size; i++) {
		if (strncmp(t->argp[i].name, name, len))
			continue;
		seen++;
		used += snprintf(list + used, size - used, "%s--%s",
				 seen == 1  ? "" :
				 seen == nr ? " or " :
					      ", ",
				 t->argp[i].name);
	}
	return nr;
}

/* Options of the original kvm_watcher that are gone: 0, or the message was given. */
static int refuse_gone(const char *word, int key)
{
	static const struct {
		char key;
		const char *name, *instead;
	} gone[] = {
		{ 's', "show", "use --format=csv, --format=json or --format=html" },
		{ 'a', "container_syscall", "perf trace shows system calls" },
	};

	for (size_t i = 0; i < sizeof(gone) / sizeof(*gone); i++)
		if (key == gone[i].key ||
		    (!strncmp(word, "--", 2) && !strcmp(word + 2, gone[i].name)))
			return usage_error("-%c, --%s of the original kvm_watcher is gone; %s",
					   gone[i].key, gone[i].name, gone[i].instead);
	return 0;
}

static int unknown_option(const struct table *t, const char *word)
{
	char meanings[512];
	const char *name = word + strspn(word, "-");
	size_t len = strcspn(name, "=");
	const struct argp_option *meant = len > 1 ? find_long(t, name, len, true) : NULL;

	if (len && !strncmp(word, "--", 2) &&
	    list_meanings(t, name, len, meanings, sizeof(meanings)) > 1)
		return usage_error("--%.*s is short for several options: %s; give more letters",
				   (int)len, name, meanings);
	if (meant)
		return usage_error("unknown option \"%s\"; did you mean --%s?", word, meant->name);
	return usage_error("unknown option \"%s\"; %s --help lists the options", word, t->name);
}

static int missing_value(const struct argp_option *opt)
{
	char key[] = "-?, ";

	key[1] = opt->key;
	return usage_error("%s--%s needs a value: --%s=%s", opt->key < KEY_LONG ? key : "",
			   opt->name, opt->name, opt->arg);
}

/* getopt stopped at a word, and says of which option: a key, or 0. */
static int wrong_option(const struct table *t, const char *word, int key)
{
	const struct argp_option *opt = key ? find_key(t, key) : NULL;
	int code = opt ? 0 : refuse_gone(word, key);

	if (code)
		return code;
	if (word[1] == '-' && opt)
		return usage_error("--%s takes no value; leave \"%s\" out", opt->name,
				   strchr(word, '='));
	if (word[1] == '-' || word[1] == key || find_long(t, word + 1, strlen(word + 1), false))
		return unknown_option(t, word);
	return usage_error("unknown option -%c in \"%s\"; %s --help lists the options", key, word,
			   t->name);
}

/* Parsing. Each returns -1 to go on, or the code to exit with. */

/* Common is what is not marked as rare, and no option of a single monitor. */
static bool is_rare(const struct action *action)
{
	return action->row ? action->row->rare : action->option != NULL;
}

/* What a command does in a line: its doc up to the first colon or full stop. */
static int brief_len(const struct command *command)
{
	return strcspn(command->doc, ":.");
}

/* The main command's help is long. */
static void add_headings(struct table *t)
{
	for (int group = 1; group < NR_GROUPS && !t->command->name; group++)
		t->argp[t->nr + group - 1] =
			(struct argp_option){ .doc = headings[group], .group = group };
}

static void hide_rare(struct table *t)
{
	for (size_t i = 0; i < t->nr; i++)
		if (is_rare(&t->actions[i]))
			t->argp[i].flags |= OPTION_HIDDEN;
}

static size_t print_words(const struct command *c, bool all, char *text, size_t size)
{
	size_t used = 0;

	if (c->words)
		used = snprintf(text, size, "Commands, each with its own --help:%s",
				all ? "\n" : "");
	for (const struct command *const *word = c->words; word && *word; word++)
		if (all)
			used += snprintf(text + used, size - used, "  %-8s %.*s\n", (*word)->name,
					 brief_len(*word), (*word)->doc);
		else
			used += snprintf(text + used, size - used, "%s %s",
					 word == c->words ? "" : ",", (*word)->name);
	return used;
}

/* The common options, and what else there is to know in one line; or all. */
static int print_help(struct table *t, bool all)
{
	const struct command *c = t->command;
	char text[4096];
	size_t used;
	const struct argp argp = { .options = t->argp, .doc = text, .args_doc = c->operands };
	unsigned int flags =
		all ? ARGP_HELP_STD_HELP : ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC;

	/* argp's two lines about values of short options take the room of two options. */
	setenv("ARGP_HELP_FMT", "no-dup-args-note", 0);
	if (all)
		add_headings(t);
	else
		hide_rare(t);
	used = snprintf(text, sizeof(text), "%s\v", c->doc);
	used += print_words(c, all, text + used, sizeof(text) - used);
	if (all)
		snprintf(text + used, sizeof(text) - used, "%s%s", c->words ? "\n" : "",
			 c->epilogue ?: "");
	else
		snprintf(text + used, sizeof(text) - used,
			 "%sMore: %s --help=all, man kvm_watcher%s%s", c->words ? "\n" : "",
			 t->name, c->name ? "-" : "", c->name ?: "");
	argp_help(&argp, stdout, flags, (char *)t->name);
	return 0;
}

static int print_usage(struct table *t)
{
	const struct argp argp = { .options = t->argp, .args_doc = t->command->operands };

	argp_help(&argp, stdout, ARGP_HELP_USAGE, (char *)t->name);
	return 0;
}

static int answer_help(struct table *t, const char *arg)
{
	if (arg && strcmp(arg, "all"))
		return usage_error(
			"--help: \"%s\" is not a kind of help; give --help or --help=all", arg);
	return print_help(t, arg);
}

static int print_version(void)
{
	puts(PROGRAM " " VERSION);
	return 0;
}

static int apply_row(struct table *t, const struct option_row *row, const char *arg)
{
	switch (row - every_options) {
	case EVERY_HELP:
		return answer_help(t, arg);
	case EVERY_USAGE:
		return print_usage(t);
	case EVERY_VERSION:
		return print_version();
	}
	if (row->set)
		return row->set(t->opts, arg) ? EXIT_USAGE : -1;
	*(bool *)((char *)t->opts + row->flag) = true;
	return -1;
}

static void note_given(struct options *opts, const struct action *action, const char *arg)
{
	size_t *nr = &opts->nr_given_options[action->monitor];

	if (*nr < MAX_GIVEN)
		opts->given_options[action->monitor][(*nr)++] =
			(struct given_option){ action->option, arg };
}

static int apply(struct table *t, size_t i, const char *arg)
{
	struct action *action = &t->actions[i];
	const char *wrong;

	action->given = true;
	if (action->row)
		return apply_row(t, action->row, arg);
	if (!action->option) {
		t->opts->monitors |= 1ULL << action->monitor;
		return -1;
	}
	wrong = action->option->set(&t->opts->configs[action->monitor], arg);
	if (wrong)
		return usage_error("--%s: \"%s\" %s", action->option->name, arg, wrong);
	note_given(t->opts, action, arg);
	return -1;
}

/* A word that is no option. */
static int take_operand(struct table *t, const char *word)
{
	struct options *opts = t->opts;

	if (!t->command->operands)
		return usage_error("\"%s\" is not an option; %s takes options only, see %s --help",
				   word, t->name, t->name);
	if (opts->nr_operands == t->command->most_operands)
		return usage_error("\"%s\" is one argument too many; %s takes at most %zu", word,
				   t->name, t->command->most_operands);
	opts->operands[opts->nr_operands++] = word;
	return -1;
}

static int parse_words(struct table *t, int argc, char **argv)
{
	int code = -1, key;
	bool only_operands;

	optind = 0;
	opterr = 0;
	while (code < 0) {
		/* Of several short options in a word, optind stays at it till the last one. */
		const char *word = argv[optind ?: 1];
		const struct argp_option *opt;

		key = getopt_long(argc, argv, t->shorts, t->longs, NULL);
		if (key == -1 && optind >= argc)
			break;
		/* getopt() stops there; options may follow, but not behind "--". */
		only_operands = key == -1 && !strcmp(argv[optind - 1], "--");
		while (key == -1 && code < 0 && optind < argc) {
			code = take_operand(t, argv[optind++]);
			if (!only_operands)
				break;
		}
		if (key == -1)
			continue;
		if (key == '?' && (word[1] == '-' || optopt != '?'))
			return wrong_option(t, word, optopt);
		opt = find_key(t, key == ':' ? optopt : key == 'H' ? '?' : key);
		if (!opt)
			return unknown_option(t, word);
		code = key == ':' ? missing_value(opt) : apply(t, opt - t->argp, optarg);
	}
	return code;
}

/* A file of options: lines "NAME", "NAME = VALUE" or "# ...". */

enum { MAX_CONFIG = 1 << 16 };

/* Options point into it as long as the program runs. */
static char config_text[MAX_CONFIG];

/* 0, or EXIT_USAGE after a message; *there: it was. */
static int read_config(const char *path, bool given, bool *there)
{
	FILE *file = fopen(path, "re");
	size_t len;

	*there = file;
	if (!file && errno == ENOENT && !given)
		return 0;
	if (!file)
		return usage_error("--config: %s can't be read: %s", path, strerror(errno));
	errno = 0;
	len = fread(config_text, 1, sizeof(config_text), file);
	if (ferror(file)) {
		fclose(file);
		return usage_error("--config: %s can't be read: %s", path, strerror(errno));
	}
	fclose(file);
	if (len == sizeof(config_text))
		return usage_error(
			"--config: %s is too large; a file of options must be smaller than 64 KiB",
			path);
	if (memchr(config_text, '\0', len))
		return usage_error("--config: %s is not a text file; give a file of options", path);
	config_text[len] = '\0';
	return 0;
}

static char *trim(char *text)
{
	size_t len;

	text += strspn(text, " \t\r");
	len = strlen(text);
	while (len && strchr(" \t\r", text[len - 1]))
		text[--len] = '\0';
	return text;
}

static int apply_line(struct table *t, char *line)
{
	char *value = strchr(line, '='), *name;
	const struct argp_option *opt;
	size_t i;

	if (value)
		*value++ = '\0';
	name = trim(line);
	opt = *name ? find_long(t, name, strlen(name), false) : NULL;
	if (!opt || !strcmp(name, "config") || !strcmp(name, "help") || !strcmp(name, "usage") ||
	    !strcmp(name, "version"))
		return usage_error("\"%s\" is not an option for this file; use those of %s --help, "
				   "without the dashes",
				   name, t->name);
	i = opt - t->argp;
	if (!opt->arg && value)
		return usage_error("%s takes no value; give its name alone", name);
	if (opt->arg && (!value || !*trim(value)))
		return usage_error("%s needs a value: %s = %s", name, name, opt->arg);
	return apply(t, i, value ? trim(value) : NULL);
}

static int apply_text(struct table *t, const char *path, char *text)
{
	unsigned int nr = 0;
	int code = -1;
	char *line;

	while (code < 0 && (line = strsep(&text, "\n"))) {
		snprintf(standing_at, sizeof(standing_at), "%s:%u: ", path, ++nr);
		line = trim(line);
		if (*line && *line != '#')
			code = apply_line(t, line);
	}
	standing_at[0] = '\0';
	return code;
}

/* What --config says, before the rest of the command line is looked at. */
static const char *given_config(int argc, char **argv)
{
	static const char word[] = "--config";

	for (int i = 1; i < argc; i++) {
		if (!strncmp(argv[i], word, strlen(word)) && argv[i][strlen(word)] == '=')
			return argv[i] + strlen(word) + 1;
		if (!strcmp(argv[i], word) && i + 1 < argc)
			return argv[i + 1];
	}
	return NULL;
}

/*
 * Monitors and addresses of the command line go in the place of the file's; the rest is the later
 * one's.
 */
static int parse_all(struct table *t, int argc, char **argv)
{
	struct options *opts = t->opts;
	const char *given = t->command->config ? given_config(argc, argv) : NULL;
	size_t nr_listen;
	uint64_t monitors;
	bool there = false;
	int code = -1;

	if (t->command->config) {
		const char *path = given ? given : t->command->config;

		if (read_config(path, given, &there))
			return EXIT_USAGE;
		if (there)
			code = apply_text(t, path, config_text);
	}
	if (code >= 0)
		return code;
	monitors = opts->monitors;
	nr_listen = opts->serve.nr_listen;
	opts->monitors = 0;
	opts->serve.nr_listen = 0;
	code = parse_words(t, argc, argv);
	if (!opts->monitors)
		opts->monitors = monitors;
	if (!opts->serve.nr_listen)
		opts->serve.nr_listen = nr_listen;
	return code;
}

/* A part of a monitor, without it. */
static int check_parts(const struct table *t)
{
	for (size_t i = 0; i < t->nr; i++) {
		const struct action *action = &t->actions[i];
		const struct monitor_option *o = action->option;
		const struct monitor *m;

		if (!o || !o->is_part || !action->given ||
		    t->opts->monitors & 1ULL << action->monitor)
			continue;
		m = t->command->monitors[action->monitor];
		if (!o->key)
			return usage_error("--%s works only together with -%c, --%s; give both",
					   o->name, m->key, m->name);
		return usage_error("-%c, --%s works only together with -%c, --%s; give both",
				   o->key, o->name, m->key, m->name);
	}
	return 0;
}

int options__parse(const struct command *command, int argc, char **argv, struct options *opts)
{
	struct table t = { .command = command, .opts = opts };
	int code;

	*opts = (struct options){
		.command = command,
		.given = argv + 1,
		.selection.by = command->by,
		.interval_ns = command->interval_ns ?: DEFAULT_INTERVAL * (uint64_t)NSEC_PER_SEC,
		.record.interval_ns = RECORD_INTERVAL * (uint64_t)NSEC_PER_SEC,
	};
	if (!fill(&t))
		return usage_error("there are more options than the program has room for");
	code = parse_all(&t, argc, argv);
	if (code >= 0)
		return code;
	code = check_parts(&t);
	if (!code && opts->format == FORMAT_PROMETHEUS && command->name)
		code = usage_error(
			"--format=prometheus does not work with %s; see %s --help for its formats",
			command->name, t.name);
	if (!code && command->check)
		code = command->check(opts);
	return code ? code : -1;
}

/* A field of a line: no tabs and no ends of lines. */
static void put_field(struct buf *to, const char *text)
{
	buf__putc(to, '\t');
	for (; text && *text; text++)
		buf__putc(to, *text == '\n' ? ' ' : *text);
}

static void put_option(struct buf *to, const struct table *t, size_t i)
{
	const struct argp_option *option = &t->argp[i];
	const char key[] = { option->key < KEY_LONG ? (char)option->key : '\0', '\0' };
	const char *const group = option->group > 0 ? headings[option->group] : "";

	buf__puts(to, "option");
	put_field(to, t->command->name ?: "");
	put_field(to, key);
	put_field(to, option->name);
	put_field(to, t->actions[i].row ? t->actions[i].row->arg : option->arg);
	put_field(to, group);
	put_field(to, is_rare(&t->actions[i]) ? "rare" : "common");
	put_field(to, option->doc);
	buf__putc(to, '\n');
}

void options__put(struct buf *to, const struct command *command)
{
	struct table t = { .command = command };

	fill(&t);
	buf__puts(to, "command");
	put_field(to, command->name ?: "");
	put_field(to, command->operands);
	put_field(to, command->doc);
	put_field(to, command->epilogue);
	buf__putc(to, '\n');
	for (size_t i = 0; i < t.nr; i++)
		put_option(to, &t, i);
}

struct output *options__open_output(const struct options *opts)
{
	const struct output_target target = {
		.format = opts->format,
		.path = opts->output,
		.tables = opts->tables,
	};
	char failed[PATH_MAX];
	struct output *out;
	int err = output__open(&target, &out, failed);

	if (err)
		say("--output: %s can't be written: %s%s", failed, limits__reason(err),
		    err == -EISDIR ? "; end the name with a slash to write a file per table" : "");
	else if (opts->width)
		output__set_width(out, opts->width);
	return out;
}

size_t options__chosen(const struct options *opts, struct chosen *chosen)
{
	size_t nr = 0;

	for (size_t i = 0; i < *opts->command->nr_monitors && nr < MAX_MONITORS; i++)
		if (!opts->monitors || opts->monitors & 1ULL << i)
			chosen[nr++] = (struct chosen){
				.monitor = opts->command->monitors[i],
				.config = &opts->configs[i],
				.given = opts->given_options[i],
				.nr_given = opts->nr_given_options[i],
			};
	return nr;
}
