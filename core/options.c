/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The command line. argp knows the options, parses and prints the help, but
 * its messages are of several lines and don't say what to do, and getopt takes
 * any unambiguous abbreviation. So names are checked before argp sees them and
 * every message is one sentence from here.
 */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/records.h"
#include "attach.h"
#include "monitor.h"
#include "options.h"

#define PROGRAM "kvm_watcher"

#ifndef VERSION
#define VERSION "unknown"
#endif

#define NSEC_PER_SEC 1e9

enum key {
	KEY_INTERVAL = 0x100,
	KEY_FORMAT,
	KEY_VM,
	KEY_VCPU,
	KEY_HOOKS,
	KEY_MAX_VCPUS,
	KEY_RING_SIZE,
	KEY_EVENTS,
	KEY_SUMMARY,
	KEY_SELF_COST,
	KEY_TEMP_DIR,
	KEY_BANDWIDTH,
	KEY_CHECK,
	KEY_LIST,
	KEY_USAGE,
};

enum group { GROUP_MONITORS = 1, GROUP_SELECTION, GROUP_OUTPUT, GROUP_OTHER };

enum {
	MAX_PID = 4194304, /* the kernel's PID_MAX_LIMIT */
	MAX_VCPU = 65535,
	MAX_SECONDS = 1000000000,
	MAX_MIB_PER_S = 1000000,
	MAX_RING_MIB = 1024,
};

const char *argp_program_bug_address = "the project's issue tracker";

static const char doc[] = "Shows in real time what every KVM virtual machine on this host does.\n"
			  "Choose one or more monitors; the order of options never matters.";

static const char epilogue[] =
	"Exit codes: 0 it was measured, 1 it could not be measured (no KVM, or the kernel "
	"refused), 2 the command line is wrong.\n"
	"\n"
	"Examples:\n"
	"  kvm_watcher -e -t 10                     exits of all VMs, for ten seconds\n"
	"  kvm_watcher -e --vm='web*' --format=json exits of some VMs, for a program";

static const struct argp_option monitors_header = {
	.doc = "Monitors:",
	.group = GROUP_MONITORS,
};

static const struct argp_option fixed_options[] = {
	{ .doc = "What to watch:", .group = GROUP_SELECTION },
	{ .name = "vm_pid", .key = 'p', .arg = "PID", .doc = "only the VM of this process" },
	{ .name = "vm",
	  .key = KEY_VM,
	  .arg = "NAME",
	  .doc = "only VMs whose name matches this shell pattern" },
	{ .name = "vcpu",
	  .key = KEY_VCPU,
	  .arg = "N[,N]",
	  .doc = "only these vCPUs, such as 0,2 or 0-3" },
	{ .name = "monitoring_time",
	  .key = 't',
	  .arg = "SEC",
	  .doc = "stop after SEC seconds (until Ctrl-C without it)" },
	{ .name = "hooks",
	  .key = KEY_HOOKS,
	  .arg = "KIND[,KIND]",
	  .doc = "use only these kinds of kernel hook" },
	{ .name = "max-vcpus",
	  .key = KEY_MAX_VCPUS,
	  .arg = "N",
	  .doc = "room for N vCPUs at a time (default: four times those that run now)" },
	{ .name = "ring-size",
	  .key = KEY_RING_SIZE,
	  .arg = "MIB",
	  .doc = "room for single events that wait to be shown (default 4, more on large hosts)" },

	{ .doc = "Output:", .group = GROUP_OUTPUT },
	{ .name = "interval",
	  .key = KEY_INTERVAL,
	  .arg = "SEC",
	  .doc = "seconds between two tables (default 2; fractions allowed)" },
	{ .name = "format",
	  .key = KEY_FORMAT,
	  .arg = "table|json|csv",
	  .doc = "table (default), JSON lines or CSV" },
	{ .name = "events", .key = KEY_EVENTS, .doc = "-h, -l: each call with its arguments, too" },
	{ .name = "summary",
	  .key = KEY_SUMMARY,
	  .doc = "-c, -d, -f, -i, -n, -w: counters only instead of single events" },
	{ .name = "self-cost",
	  .key = KEY_SELF_COST,
	  .doc = "at the end: what watching itself took" },
	{ .name = "temp-dir",
	  .key = KEY_TEMP_DIR,
	  .arg = "DIR",
	  .doc = "where monitors put files of their own (default temp)" },
	{ .name = "migration-bandwidth",
	  .key = KEY_BANDWIDTH,
	  .arg = "MiB/s",
	  .doc = "-d: estimate a live migration at this bandwidth" },
	{ .name = "verbose", .key = 'v', .doc = "say more on stderr, libbpf's messages included" },

	{ .doc = "Instead of watching:", .group = GROUP_OTHER },
	{ .name = "check",
	  .key = KEY_CHECK,
	  .doc = "say what can be measured on this host, with these monitors or all" },
	{ .name = "list", .key = KEY_LIST, .doc = "list the VMs that run now" },
	{ .name = "help", .key = '?', .doc = "print this help", .group = -1 },
	{ .key = 'H', .flags = OPTION_ALIAS | OPTION_HIDDEN },
	{ .name = "usage", .key = KEY_USAGE, .doc = "print a short usage message" },
	{ .name = "version", .key = 'V', .doc = "print the version" },
	{},
};

struct parser {
	struct argp argp;
	struct argp_option *options;
	struct options *opts;
	int code; /* what to exit with, or -1 */
};

/* Prints the one sentence of a usage error. What the user typed can't add lines. */
static int __attribute__((format(printf, 1, 2))) usage_error(const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	char *p;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	fprintf(stderr, "%s: %s\n", PROGRAM, text);
	return EXIT_USAGE;
}

static int monitor_index(int key)
{
	size_t i;

	for (i = 0; i < nr_monitors; i++)
		if (monitors[i]->key == key)
			return i;
	return -1;
}

static bool is_asked(const struct options *opts, size_t i)
{
	return opts->monitors & (1ull << i);
}

/* Checks of one argument: 0, or EXIT_USAGE after a message. */

/* Seconds as plain decimals: strtod() also takes hexadecimal, inf and nan. */
static int parse_seconds(const char *option, const char *arg, double least, uint64_t *ns)
{
	double value;
	char *end;

	value = strtod(arg, &end);
	if (*end || end == arg || strspn(arg, "0123456789.") != strlen(arg))
		return usage_error("%s: \"%s\" is not a positive number of seconds; "
				   "give one such as 10 or 0.5",
				   option, arg);
	if (value < least || value > MAX_SECONDS)
		return usage_error("%s: %s seconds is out of range; give %g to %d", option, arg,
				   least, MAX_SECONDS);
	*ns = llround(value * NSEC_PER_SEC);
	return 0;
}

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

static int parse_pid(const char *arg, pid_t *pid)
{
	const char *end = arg;
	unsigned long value;

	if (!parse_number(&end, MAX_PID, &value) || *end || !value)
		return usage_error("-p, --vm_pid: \"%s\" is not a process id; "
				   "give a number from 1 to %d, as in --list",
				   arg, MAX_PID);
	*pid = value;
	return 0;
}

static int parse_format(const char *arg, enum format *format)
{
	static const char *const names[] = {
		[FORMAT_TABLE] = "table",
		[FORMAT_JSON] = "json",
		[FORMAT_CSV] = "csv",
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(arg, names[i]))
			continue;
		*format = i;
		return 0;
	}
	return usage_error("--format: \"%s\" is not a format; choose table, json or csv", arg);
}

static int parse_pattern(const char *arg, const char **pattern)
{
	if (!*arg)
		return usage_error("--vm: the pattern is empty; give a VM's name or a shell "
				   "pattern such as 'web*'");
	*pattern = arg;
	return 0;
}

static int parse_dir(const char *arg, const char **dir)
{
	if (!*arg)
		return usage_error("--temp-dir: the name is empty; give a directory's");
	*dir = arg;
	return 0;
}

static int add_vcpus(struct options *opts, unsigned long first, unsigned long last)
{
	for (; first <= last; first++) {
		if (opts->nr_vcpus && options__has_vcpu(opts, first))
			continue;
		if (opts->nr_vcpus == MAX_VCPU_FILTER)
			return usage_error("--vcpu: more than %d vCPUs; name fewer, or leave "
					   "--vcpu out for all",
					   MAX_VCPU_FILTER);
		opts->vcpus[opts->nr_vcpus++] = first;
	}
	return 0;
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

static int parse_vcpus(const char *arg, struct options *opts)
{
	unsigned long first, last;
	const char *s = arg;
	int err;

	opts->nr_vcpus = 0;
	do {
		if (!parse_range(&s, &first, &last))
			return usage_error("--vcpu: \"%s\" is not a list of vCPUs; give numbers "
					   "up to %d, such as 0,2 or 0-3",
					   arg, MAX_VCPU);
		err = add_vcpus(opts, first, last);
		if (err)
			return err;
	} while (*s++ == ',');
	return 0;
}

static int parse_hooks(const char *arg, unsigned int *hooks)
{
	char kind[32];
	const char *s;
	size_t len;
	int bit;

	*hooks = 0;
	for (s = arg;; s += len + 1) {
		len = strcspn(s, ",");
		snprintf(kind, sizeof(kind), "%.*s", (int)len, s);
		bit = len < sizeof(kind) ? hook_kind__parse(kind) : -1;
		if (bit < 0)
			return usage_error(
				"--hooks: \"%.*s\" is not a kind of hook; choose from %s", (int)len,
				s, hook_kind__names());
		*hooks |= 1u << bit;
		if (!s[len])
			return 0;
	}
}

/* All of arg is a number from 1 to most. */
static bool parse_count(const char *arg, unsigned long most, uint32_t *count)
{
	unsigned long value;

	if (!parse_number(&arg, most, &value) || *arg || !value)
		return false;
	*count = value;
	return true;
}

static int parse_max_vcpus(const char *arg, uint32_t *max)
{
	if (parse_count(arg, MAX_VCPU_SLOTS - 1, max))
		return 0;
	return usage_error("--max-vcpus: \"%s\" is not a number of vCPUs; give one from 1 to %d, "
			   "the most there can be room for",
			   arg, MAX_VCPU_SLOTS - 1);
}

static int parse_ring_size(const char *arg, uint32_t *mib)
{
	if (parse_count(arg, MAX_RING_MIB, mib))
		return 0;
	return usage_error("--ring-size: \"%s\" is not a number of MiB; give one from 1 to %d", arg,
			   MAX_RING_MIB);
}

static int parse_bandwidth(const char *arg, double *bytes_per_s)
{
	char *end;
	double mib = strtod(arg, &end);

	if (*end || end == arg || strspn(arg, "0123456789.") != strlen(arg) || mib <= 0 ||
	    mib > MAX_MIB_PER_S)
		return usage_error("--migration-bandwidth: \"%s\" is not a number of MiB/s; "
				   "give one such as 100, up to %d",
				   arg, MAX_MIB_PER_S);
	*bytes_per_s = mib * 1024 * 1024;
	return 0;
}

static int parse_value(int key, const char *arg, struct options *opts)
{
	switch (key) {
	case 'p':
		return parse_pid(arg, &opts->pid);
	case 't':
		return parse_seconds("-t, --monitoring_time", arg, 0.001, &opts->time_ns);
	case KEY_INTERVAL:
		return parse_seconds("--interval", arg, 0.01, &opts->interval_ns);
	case KEY_FORMAT:
		return parse_format(arg, &opts->format);
	case KEY_VM:
		return parse_pattern(arg, &opts->vm);
	case KEY_VCPU:
		return parse_vcpus(arg, opts);
	case KEY_HOOKS:
		return parse_hooks(arg, &opts->hooks);
	case KEY_MAX_VCPUS:
		return parse_max_vcpus(arg, &opts->max_vcpus);
	case KEY_RING_SIZE:
		return parse_ring_size(arg, &opts->ring_mib);
	case KEY_TEMP_DIR:
		return parse_dir(arg, &opts->temp_dir);
	case KEY_BANDWIDTH:
		return parse_bandwidth(arg, &opts->migration_bandwidth);
	}
	return 0;
}

/* 0: not such a key. */
static int set_flag(int key, struct options *opts)
{
	int i = monitor_index(key);

	if (i >= 0)
		opts->monitors |= 1ull << i;
	else if (key == 'v')
		opts->verbose = true;
	else if (key == KEY_EVENTS)
		opts->events = true;
	else if (key == KEY_SUMMARY)
		opts->summary = true;
	else if (key == KEY_SELF_COST)
		opts->self_cost = true;
	else if (key == KEY_CHECK)
		opts->check = true;
	else if (key == KEY_LIST)
		opts->list = true;
	else
		return 0;
	return 1;
}

static error_t stop(struct parser *parser, int code)
{
	parser->code = code;
	return ECANCELED;
}

static error_t stop_with_help(struct parser *parser, unsigned int flags)
{
	static char name[] = PROGRAM;

	argp_help(&parser->argp, stdout, flags, name);
	return stop(parser, 0);
}

static error_t parse_key(int key, char *arg, struct argp_state *state)
{
	struct parser *parser = state->input;

	switch (key) {
	case '?':
	case 'H':
		return stop_with_help(parser, ARGP_HELP_STD_HELP);
	case KEY_USAGE:
		return stop_with_help(parser, ARGP_HELP_USAGE);
	case 'V':
		puts(PROGRAM " " VERSION);
		return stop(parser, 0);
	}
	if (set_flag(key, parser->opts))
		return 0;
	if (!arg || key == ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	return parse_value(key, arg, parser->opts) ? stop(parser, EXIT_USAGE) : 0;
}

/* Names */

static const struct argp_option *find_short(const struct argp_option *opt, char c)
{
	for (; opt->key || opt->name || opt->doc; opt++)
		if (opt->key && opt->key == c)
			return opt;
	return NULL;
}

static const struct argp_option *find_long(const struct argp_option *opt, const char *name,
					   size_t len, bool prefix)
{
	for (; opt->key || opt->name || opt->doc; opt++)
		if (opt->name && !strncmp(opt->name, name, len) && (prefix || !opt->name[len]))
			return opt;
	return NULL;
}

static int unknown_option(const struct argp_option *options, const char *arg)
{
	const char *name = arg + strspn(arg, "-");
	size_t len = strcspn(name, "=");
	const struct argp_option *meant = len > 1 ? find_long(options, name, len, true) : NULL;

	if (meant)
		return usage_error("unknown option \"%s\"; did you mean --%s?", arg, meant->name);
	return usage_error("unknown option \"%s\"; %s --help lists the options", arg, PROGRAM);
}

static int missing_value(const struct argp_option *opt)
{
	char key[] = "-?, ";

	key[1] = opt->key;
	return usage_error("%s--%s needs a value: --%s=%s", opt->key < 0x100 ? key : "", opt->name,
			   opt->name, opt->arg);
}

/* Both return how many further arguments the option takes, or -1 after a message. */

static int check_long(const struct argp_option *options, const char *arg, bool has_next)
{
	const char *value = strchr(arg, '=');
	size_t len = strcspn(arg, "=") - 2;
	const struct argp_option *opt = find_long(options, arg + 2, len, false);

	if (!opt) {
		unknown_option(options, arg);
		return -1;
	}
	if (!opt->arg && value) {
		usage_error("--%s takes no value; leave \"%s\" out", opt->name, value);
		return -1;
	}
	if (!opt->arg || value)
		return 0;
	if (!has_next) {
		missing_value(opt);
		return -1;
	}
	return 1;
}

static int check_short(const struct argp_option *options, const char *arg, bool has_next)
{
	const struct argp_option *opt;
	const char *p;

	for (p = arg + 1; *p; p++) {
		opt = find_short(options, *p);
		if (!opt && p > arg + 1 && !find_long(options, arg + 1, strlen(arg + 1), false)) {
			usage_error("unknown option -%c in \"%s\"; %s --help lists the options", *p,
				    arg, PROGRAM);
			return -1;
		}
		if (!opt) {
			unknown_option(options, arg);
			return -1;
		}
		if (!opt->arg)
			continue;
		if (!p[1] && !has_next) {
			missing_value(opt);
			return -1;
		}
		return !p[1];
	}
	return 0;
}

static int check_names(const struct argp_option *options, int argc, char **argv)
{
	int i, more;

	for (i = 1; i < argc; i++) {
		if (argv[i][0] != '-' || !argv[i][1] || !strcmp(argv[i], "--"))
			break;
		if (argv[i][1] == '-')
			more = check_long(options, argv[i], i + 1 < argc);
		else
			more = check_short(options, argv[i], i + 1 < argc);
		if (more < 0)
			return EXIT_USAGE;
		i += more;
	}
	if (i < argc && !strcmp(argv[i], "--"))
		i++;
	if (i < argc)
		return usage_error("\"%s\" is not an option; %s takes options only, "
				   "see %s --help",
				   argv[i], PROGRAM, PROGRAM);
	return 0;
}

/* Checks of the whole */

static int no_monitor(void)
{
	char names[512];
	int len = 0;
	size_t i;

	for (i = 0; i < nr_monitors && len < (int)sizeof(names); i++)
		len += snprintf(names + len, sizeof(names) - len, "%s-%c/--%s", len ? ", " : "",
				monitors[i]->key, monitors[i]->name);
	return usage_error("choose at least one monitor: %s", len ? names : "there is none");
}

static int check_with(const struct options *opts, const struct monitor *m)
{
	size_t i;

	if (!m->with)
		return 0;
	for (i = 0; i < nr_monitors; i++) {
		if (strcmp(monitors[i]->name, m->with))
			continue;
		if (is_asked(opts, i))
			return 0;
		return usage_error("-%c, --%s works only together with -%c, --%s; give both",
				   m->key, m->name, monitors[i]->key, m->with);
	}
	return 0;
}

static int check_monitors(const struct options *opts)
{
	size_t i;
	int err;

	if (!opts->monitors && !opts->check && !opts->list)
		return no_monitor();
	if (opts->check && opts->list)
		return usage_error("--check and --list are two questions; ask one at a time");
	if (opts->check && opts->format == FORMAT_CSV)
		return usage_error("--check has no CSV form; use --format=json or none");
	for (i = 0; i < nr_monitors; i++) {
		err = is_asked(opts, i) ? check_with(opts, monitors[i]) : 0;
		if (err)
			return err;
	}
	return 0;
}

/* The monitors' options, then the fixed ones. NULL when out of memory. */
static struct argp_option *new_options(void)
{
	struct argp_option *options;
	size_t i;

	options = calloc(1 + nr_monitors + sizeof(fixed_options) / sizeof(*fixed_options),
			 sizeof(*options));
	if (!options)
		return NULL;
	options[0] = monitors_header;
	for (i = 0; i < nr_monitors; i++) {
		options[1 + i].name = monitors[i]->name;
		options[1 + i].key = (unsigned char)monitors[i]->key;
		options[1 + i].doc = monitors[i]->help;
	}
	memcpy(&options[1 + nr_monitors], fixed_options, sizeof(fixed_options));
	return options;
}

static char *new_doc(void)
{
	char *text;

	return asprintf(&text, "%s\v%s", doc, epilogue) < 0 ? NULL : text;
}

static int parse(struct parser *parser, int argc, char **argv)
{
	error_t err;
	int code;

	code = check_names(parser->options, argc, argv);
	if (code)
		return code;
	err = argp_parse(&parser->argp, argc, argv, ARGP_SILENT, NULL, parser);
	if (parser->code >= 0)
		return parser->code;
	if (err)
		return usage_error("the command line can't be parsed: %s; see %s --help",
				   strerror(err), PROGRAM);
	code = check_monitors(parser->opts);
	return code ? code : -1;
}

int options__parse(int argc, char **argv, struct options *opts)
{
	struct parser parser = { .opts = opts, .code = -1 };
	char *text = new_doc();
	int code;

	*opts = (struct options){ .interval_ns = 2 * NSEC_PER_SEC };
	parser.options = new_options();
	parser.argp = (struct argp){
		.options = parser.options,
		.parser = parse_key,
		.doc = text,
	};
	if (parser.options && text) {
		code = parse(&parser, argc, argv);
	} else {
		fprintf(stderr, "%s: out of memory\n", PROGRAM);
		code = EXIT_NOT_MEASURED;
	}
	free(parser.options);
	free(text);
	return code;
}

bool options__asks(const struct options *opts, const char *monitor)
{
	size_t i;

	for (i = 0; i < nr_monitors; i++)
		if (!strcmp(monitors[i]->name, monitor))
			return is_asked(opts, i);
	return false;
}

bool options__has_vcpu(const struct options *opts, uint32_t vcpu)
{
	size_t i;

	for (i = 0; i < opts->nr_vcpus; i++)
		if (opts->vcpus[i] == vcpu)
			return true;
	return !opts->nr_vcpus;
}
