/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The command line, with a table of monitors that stays as it is here, so that
 * every error can be reached; the last tests walk the program's own table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../bpf/records.h"
#include "../../cli/commands.h"
#include "../../compat/hook_kind.h"
#include "../../monitors/monitors.h"

static const char *set_flag(void *config, const char *arg)
{
	(void)arg;
	*(bool *)config = true;
	return NULL;
}

static const char *set_rate(void *config, const char *arg)
{
	*(double *)config = atof(arg);
	return *arg == 'x' ? "is not a number of MiB/s" : NULL;
}

static const struct monitor_option fault_options[] = {
	{ .name = "mmio", .key = 'm', .help = "MMIO", .is_part = true, .set = set_flag },
	{},
};
static const struct monitor_option call_options[] = {
	{ .name = "rate", .arg = "MiB/s", .help = "with a value, no part", .set = set_rate },
	{},
};

static const struct view views[] = { { .title = "ROWS", SAMPLES_OF(0) }, {} };
static const struct column columns[] = { {} };

static const struct monitor test_exit = {
	.name = "vm_exit",
	.key = 'e',
	.help = "VM exits",
	.views = views,
	.columns = columns,
};
static const struct monitor test_fault = {
	.name = "kvmmmu_page_fault",
	.key = 'f',
	.help = "faults",
	.options = fault_options,
};
static const struct monitor test_hypercall = {
	.name = "hypercall",
	.key = 'h',
	.help = "hypercalls",
	.options = call_options,
};
static const struct monitor test_timer = { .name = "kvm_timer", .key = 'T', .help = "timers" };

static const struct monitor *const test_monitors[] = {
	&test_exit,
	&test_fault,
	&test_hypercall,
	&test_timer,
};
static const size_t test_nr_monitors = sizeof(test_monitors) / sizeof(*test_monitors);

struct result {
	int code;
	struct options opts;
	char out[16384];
	char err[2048];
};

/* The words of a command line, at blanks; '_' is an empty word. */
static struct result *run_with(const struct command *command, const char *line)
{
	static struct result result;
	static char words[1024];
	FILE *real_out = stdout, *real_err = stderr;
	char *argv[64] = { "/usr/sbin/kvm_watcher" }, *save, *word;
	int argc = 1;

	memset(&result, 0, sizeof(result));
	snprintf(words, sizeof(words), "%s", line);
	for (word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[argc++] = strcmp(word, "_") ? word : "";
	fflush(stdout);
	stdout = fmemopen(result.out, sizeof(result.out), "w");
	stderr = fmemopen(result.err, sizeof(result.err), "w");
	result.code = options__parse(command, argc, argv, &result.opts);
	fclose(stdout);
	fclose(stderr);
	stdout = real_out;
	stderr = real_err;
	return &result;
}

static struct result *run(const char *line)
{
	struct command command = watch_command;
	struct result *result;

	command.monitors = test_monitors;
	command.nr_monitors = &test_nr_monitors;
	result = run_with(&command, line);
	result->opts.command = NULL;
	return result;
}

static void check_one_line(const struct result *r)
{
	size_t len = strlen(r->err);

	assert_string_equal(r->out, "");
	assert_true(len > 0);
	assert_ptr_equal(strchr(r->err, '\n'), r->err + len - 1);
	assert_memory_equal(r->err, "kvm_watcher: ", 13);
}

static void refuses(const char *line, const char *message)
{
	struct result *r = run(line);
	char expected[1024];

	snprintf(expected, sizeof(expected), "kvm_watcher: %s\n", message);
	assert_string_equal(r->err, expected);
	check_one_line(r);
	assert_int_equal(r->code, EXIT_USAGE);
}

static const struct options *accepts(const char *line)
{
	struct result *r = run(line);

	assert_string_equal(r->err, "");
	assert_string_equal(r->out, "");
	assert_int_equal(r->code, -1);
	return &r->opts;
}

static void test_defaults(void **state)
{
	const struct options *opts = accepts("-e");

	(void)state;
	assert_int_equal(opts->monitors, 1);
	assert_int_equal(opts->filter.pid, 0);
	assert_int_equal(opts->time_ns, 0);
	assert_int_equal(opts->interval_ns, 2000000000);
	assert_int_equal(opts->format, FORMAT_TABLE);
	assert_null(opts->filter.vm);
	assert_false(opts->filter.chooses_vcpu);
	assert_int_equal(opts->kinds, 0);
	assert_null(opts->temp_dir);
	assert_false(opts->verbose || opts->check || opts->list || opts->events || opts->self_cost);
}

#define POD_HINT "give pod:NAMESPACE/NAME, such as pod:default/web or 'pod:*/web*'"

static void test_values(void **state)
{
	const struct options *opts;

	(void)state;
	opts = accepts("--format=json -p 4194304 -vht0.5 --interval 0.01 --vm=web* --vcpu=3,0-2,1 "
		       "--hooks=fentry,raw_tp --vm_exit");
	assert_int_equal(opts->monitors, 1 << 0 | 1 << 2);
	assert_int_equal(opts->format, FORMAT_JSON);
	assert_int_equal(opts->filter.pid, 4194304);
	assert_int_equal(opts->time_ns, 500000000);
	assert_int_equal(opts->interval_ns, 10000000);
	assert_string_equal(opts->filter.vm, "web*");
	assert_true(opts->filter.chooses_vcpu);
	assert_int_equal(opts->filter.vcpus[0], 0xf);
	assert_int_equal(opts->kinds, 5);
	assert_true(opts->verbose);
	assert_int_equal(accepts("-e --format=csv")->format, FORMAT_CSV);
	assert_int_equal(accepts("-e --format=csv --format=table")->format, FORMAT_TABLE);
	assert_int_equal(accepts("-et1000000000")->time_ns, 1000000000000000000);
	assert_int_equal(accepts("-e --vm_pid=7 --monitoring_time=.5")->time_ns, 500000000);
	assert_int_equal(accepts("-e --vcpu=1,2 --vcpu=5")->filter.vcpus[0], 1 << 5);
	assert_string_equal(accepts("-e --vm --vcpu")->filter.vm, "--vcpu");
	assert_string_equal(accepts("-e --temp-dir=/var/a")->temp_dir, "/var/a");
	assert_true(accepts("-e --events")->events);
	opts = accepts("-e --vm=uuid:8A7D3C1E-52F4-4F0B-9A4E-1F2D3C4B5A69");
	assert_int_equal(opts->filter.vm_by, VM_BY_UUID);
	assert_string_equal(opts->filter.uuid, "8a7d3c1e-52f4-4f0b-9a4e-1f2d3c4b5a69");
	opts = accepts("-e --vm=pod:shop/cart*");
	assert_int_equal(opts->filter.vm_by, VM_BY_POD);
	assert_string_equal(opts->filter.pattern, "shop/cart*");
	assert_string_equal(opts->filter.vm, "pod:shop/cart*");
	opts = accepts("-e --vm=pod:shop/cart* --vm=cgroup:/machine.slice/*");
	assert_int_equal(opts->filter.vm_by, VM_BY_CGROUP);
	assert_string_equal(opts->filter.pattern, "/machine.slice/*");
	assert_int_equal(accepts("-e --vm=cgroup:x --vm=uuid")->filter.vm_by, VM_BY_NAME);
	assert_int_equal(accepts("-e --vm=[u]uid:x")->filter.vm_by, VM_BY_NAME);
	refuses("-e --vm=uuid:xyz", "--vm: \"xyz\" is not a UUID; give a full one, such as "
				    "uuid:2d1b1c5e-6a3f-4b0c-9d57-0c6f2d1e8a41, as in --list");
	refuses("-e --vm=cgroup:", "--vm: the cgroup is empty; give a shell pattern "
				   "for its path, such as 'cgroup:*web*'");
	refuses("-e --vm=pod:", "--vm: \"pod:\" is not a pod; " POD_HINT);
	refuses("-e --vm=pod:web", "--vm: \"pod:web\" is not a pod; " POD_HINT);
	refuses("-e --vm=pod:/web", "--vm: \"pod:/web\" is not a pod; " POD_HINT);
	refuses("-e --vm=pod:a/", "--vm: \"pod:a/\" is not a pod; " POD_HINT);
	refuses("-e --vm=pod:a/b/c", "--vm: \"pod:a/b/c\" is not a pod; " POD_HINT);
	refuses("-e --vm=pod:a/virt-launcher-w-x7k2p",
		"--vm: \"pod:a/virt-launcher-w-x7k2p\" names a pod, which kvm_watcher can't look "
		"up; give the name of the VirtualMachineInstance, or the pod's UID, as in --list");
	refuses("-f --events --summary",
		"--events and --summary exclude each other; give one of them");
	refuses("-f --slower-than=1ms --summary",
		"--slower-than and --summary exclude each other; give one of them");
	refuses("-f --keep=3", "--keep works only with --slower-than=TIME; give both");
	refuses("-f --slower-than=1ms --keep=0",
		"--keep: \"0\" is not a number of events; give one from 1 to 1000");
	refuses("-f --slower-than=0", "--slower-than: 0 is out of range; give 1us to 1000000000s");
}

static void test_many_vcpus(void **state)
{
	const struct filter *filter = &accepts("-e --vcpu=0-255,4095,65535")->filter;

	(void)state;
	assert_true(filter__has_vcpu(filter, 0) && filter__has_vcpu(filter, 64));
	assert_true(filter__has_vcpu(filter, 255) && !filter__has_vcpu(filter, 256));
	assert_true(filter__has_vcpu(filter, 4095) && !filter__has_vcpu(filter, 4096));
	assert_true(filter__has_vcpu(filter, 65535));
	assert_false(filter__has_vcpu(filter, 65536) || filter__has_vcpu(filter, UINT32_MAX));
	assert_true(filter__has_vcpu(&accepts("-e")->filter, UINT32_MAX));
}

static void refuses_column(const char *line, const char *option)
{
	struct result *r = run(line);
	char expected[128];

	snprintf(expected, sizeof(expected),
		 "kvm_watcher: %s: \"foo\" is not a column; choose from ", option);
	assert_memory_equal(r->err, expected, strlen(expected));
	assert_non_null(strstr(r->err, ", vm, "));
	check_one_line(r);
	assert_int_equal(r->code, EXIT_USAGE);
}

static void test_selection(void **state)
{
	const struct selection *sel = &accepts("-e")->selection;

	(void)state;
	assert_int_equal(sel->by, BY_VCPU);
	assert_true(!sel->sort && !sel->top && !sel->nr_where && !sel->histogram);
	sel = &accepts("-e --by=host --top=7 --histogram --sort=vm --where=vm=a* --where pid>3")
		       ->selection;
	assert_int_equal(sel->by, BY_HOST);
	assert_int_equal(sel->top, 7);
	assert_string_equal(sel->sort, "vm");
	assert_false(sel->inverted);
	assert_int_equal(sel->nr_where, 2);
	assert_true(sel->histogram);
	sel = &accepts("-e --by=vm --sort=-PID")->selection;
	assert_int_equal(sel->by, BY_VM);
	assert_string_equal(sel->sort, "PID");
	assert_true(sel->inverted);
	assert_string_equal(accepts("-e --sort=+pid")->selection.sort, "pid");
	refuses("-e --by=cpu", "--by: \"cpu\" is not a grouping; choose host, vm or vcpu");
	refuses("-e --top=0", "--top: \"0\" is not a number of vCPUs or VMs; give one from 1 to "
			      "1000000");
	refuses("-e --where=vm", "--where: \"vm\" is not a condition; give COLUMN=PATTERN, such as "
				 "reason='EPT*', or COLUMN>NUMBER, such as 'p99_ns>50us'");
	refuses_column("-e --sort=foo", "--sort");
	refuses_column("-e --where=foo=1", "--where");
	refuses("-e --histogram --format=csv",
		"--histogram: CSV can't hold histograms; choose --format=table or --format=json");
}

static void test_choice(void **state)
{
	(void)state;
	assert_int_equal(accepts("-e -e --vm_exit")->monitors, 1);
	assert_int_equal(accepts("-mf")->monitors, 2);
	assert_int_equal(accepts("-fm")->monitors, 2);
	assert_int_equal(accepts("--mmio -v --kvmmmu_page_fault -e")->monitors, 3);
	assert_int_equal(accepts("-h")->monitors, 4);
	assert_true(accepts("--check")->check);
	assert_true(accepts("--list --format=json")->list);
	assert_true(accepts("-e --check --")->check);
}

static void test_has_vcpus(void **state)
{
	const struct options *opts;

	(void)state;
	assert_true(filter__has_vcpu(&accepts("-e")->filter, 12345));
	opts = accepts("-e --vcpu=0,4-5");
	assert_true(filter__has_vcpu(&opts->filter, 0));
	assert_true(filter__has_vcpu(&opts->filter, 5));
	assert_false(filter__has_vcpu(&opts->filter, 3));
}

static void test_wrong_monitors(void **state)
{
	static const char choose[] =
		"choose at least one monitor: -e/--vm_exit, "
		"-f/--kvmmmu_page_fault, -m/--mmio, -h/--hypercall, -T/--kvm_timer";

	(void)state;
	refuses("", choose);
	refuses("-v -t 5", choose);
	refuses("-m", "-m, --mmio works only together with -f, --kvmmmu_page_fault; give both");
	refuses("--mmio -e",
		"-m, --mmio works only together with -f, --kvmmmu_page_fault; give both");
}

static void is_refused(const struct command *command, const char *line, const char *message)
{
	struct result *r = run_with(command, line);
	char expected[1024];

	snprintf(expected, sizeof(expected), "kvm_watcher: %s\n", message);
	assert_string_equal(r->err, expected);
	assert_int_equal(r->code, EXIT_USAGE);
}

static void writes(const struct command *command, const char *line, const char *tables)
{
	struct result *r = run_with(command, line);
	char text[1024] = "";

	assert_string_equal(r->err, "");
	assert_int_equal(r->code, -1);
	for (const char *const *name = r->opts.tables; *name; name++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ", *name);
	assert_string_equal(text, tables);
}

/* The program's own tables. */
static void test_tables(void **state)
{
	(void)state;
	writes(&watch_command, "-e", "KVM_EXIT KVM_USERSPACE_EXIT ");
	writes(&watch_command, "-e --format=csv", "KVM_EXIT KVM_USERSPACE_EXIT ");
	writes(&watch_command, "-e --detail", "KVM_EXIT KVM_USERSPACE_EXIT KVM_EXIT_DETAIL ");
	is_refused(&watch_command, "-e --table=kvm_exit_detail",
		   "--table: KVM_EXIT_DETAIL is there with --detail");
	is_refused(&watch_command, "-o --detail",
		   "--detail works only together with -e, --vm_exit; give both");
	writes(&watch_command, "-e --slower-than=1ms", "KVM_EXIT KVM_USERSPACE_EXIT SLOW_EXIT ");
	is_refused(&watch_command, "-e --table=slow_exit",
		   "--table: SLOW_EXIT shows slow events; add --slower-than=TIME");
	is_refused(&watch_command, "-w --slower-than=1ms --table=vcpu_wakeup",
		   "--table: VCPU_WAKEUP shows all single events, but --slower-than has its own "
		   "table");
	is_refused(&watch_command, "-d --slower-than=1ms --table=mark_page_dirty",
		   "--table: MARK_PAGE_DIRTY shows events without a duration, which --slower-than "
		   "needs");
	writes(&watch_command, "-e -w --table=halts,KVM_EXIT,HALTS", "HALTS KVM_EXIT ");
	writes(&watch_command, "-w", "VCPU_WAKEUP HALTS ");
	writes(&watch_command, "-w -e --summary", "KVM_EXIT KVM_USERSPACE_EXIT HALTS ");
	writes(&watch_command, "-w -T --format=csv --output=a/", "HALTS KVM_TIMER ");
	writes(&watch_command, "-w -T --format=csv --table=KVM_TIMER --output=a", "KVM_TIMER ");
	writes(&watch_command, "-h --events", "HYPERCALL HYPERCALL_CALLS ");
	writes(&watch_command, "-h", "HYPERCALL ");
	writes(&watch_command, "-o", "VCPU_LOAD VCPU_BUDGET VCPU_THIEVES ");
	/* What only people see has no data, and the file of pages is none of the output's. */
	writes(&watch_command, "-o --format=csv", "VCPU_LOAD ");
	writes(&watch_command, "-d --format=json", "MARK_PAGE_DIRTY DIRTY_SLOTS MIGRATION ");
	/* Pictures: of what there is, in one file. */
	writes(&watch_command, "-e --format=folded", "KVM_EXIT KVM_USERSPACE_EXIT ");
	writes(&watch_command, "-o -T --format=folded", "VCPU_LOAD KVM_TIMER ");
	writes(&watch_command, "-T --format=perfetto --output=a", "KVM_TIMER ");
	is_refused(&watch_command, "-T -c --format=folded",
		   "--format=folded needs a table of where vCPU time goes; choose "
		   "--vm_exit or --vcpu_load");
	is_refused(&watch_command, "-o -T --table=KVM_TIMER --format=folded",
		   "--format=folded needs a table of where vCPU time goes; choose "
		   "--vm_exit or --vcpu_load");
	is_refused(&watch_command, "-o --format=perfetto --output=a/",
		   "--format=perfetto writes all tables to one file; give --output a file");
	is_refused(&watch_command, "-o --format=perfetto --output=a --histogram",
		   "--histogram: traces and stacks can't hold histograms; choose --format=table or "
		   "--format=json");
	is_refused(&watch_command, "--check --format=folded",
		   "--check has no trace or stack output; use --format=json or no --format");
	is_refused(&list_command, "--format=perfetto",
		   "--list has no trace or stack output; use --format=table, json or csv");
	writes(&list_command, "--table=VCPUS", "VCPUS ");
	writes(&watch_command, "--list", "VMS VCPUS ");
	is_refused(&watch_command, "-w -T --format=csv",
		   "--format=csv: HALTS and KVM_TIMER have different columns; choose one with "
		   "--table=NAME, or write a file per table with --output=DIR/");
	is_refused(&list_command, "--format=csv --output=a",
		   "--format=csv: VMS and VCPUS have different columns; choose one with "
		   "--table=NAME, or write a file per table with --output=DIR/");
	is_refused(&watch_command, "-e --table=KVM_EXIT,HALTS",
		   "--table: \"HALTS\" is not a table here; choose from KVM_EXIT, "
		   "KVM_USERSPACE_EXIT, KVM_EXIT_DETAIL, SLOW_EXIT");
	is_refused(&watch_command, "-e --table=KVM_EXIT,",
		   "--table: \"\" is not a table here; choose from KVM_EXIT, KVM_USERSPACE_EXIT, "
		   "KVM_EXIT_DETAIL, SLOW_EXIT");
	is_refused(&watch_command, "-o --table=VCPU_THIEVES --format=json",
		   "--table: \"VCPU_THIEVES\" is not a table here; choose from VCPU_LOAD");
	is_refused(&watch_command, "-h --table=HYPERCALL_CALLS",
		   "--table: HYPERCALL_CALLS shows single events; add --events");
	is_refused(&watch_command, "-w --summary --table=VCPU_WAKEUP",
		   "--table: VCPU_WAKEUP shows single events, which --summary leaves out");
	is_refused(
		&watch_command, "-e --output=",
		"--output: the name is empty; give a file, or a directory that ends with a slash");
}

static void test_wrong_names(void **state)
{
	(void)state;
	refuses("--foo", "unknown option \"--foo\"; kvm_watcher --help lists the options");
	refuses("-e --foo=3", "unknown option \"--foo=3\"; kvm_watcher --help lists the options");
	refuses("--=3", "unknown option \"--=3\"; kvm_watcher --help lists the options");
	refuses("--vm_=3", "--vm_ is short for several options: --vm_exit or --vm_pid; give "
			   "more letters");
	refuses("--intervals=3", "unknown option \"--intervals=3\"; kvm_watcher --help lists the "
				 "options");
	refuses("-Z", "unknown option \"-Z\"; kvm_watcher --help lists the options");
	refuses("-eZ", "unknown option -Z in \"-eZ\"; kvm_watcher --help lists the options");
	refuses("-e-", "unknown option -- in \"-e-\"; kvm_watcher --help lists the options");
	refuses("-s", "-s, --show of the original kvm_watcher is gone; use --format=csv, "
		      "--format=json or "
		      "--format=html");
	refuses("-es", "-s, --show of the original kvm_watcher is gone; use --format=csv, "
		       "--format=json or "
		       "--format=html");
	refuses("--container_syscall",
		"-a, --container_syscall of the original kvm_watcher is gone; perf "
		"trace shows system calls");
	refuses("-vm_exit", "unknown option \"-vm_exit\"; did you mean --vm_exit?");
}

static void test_abbreviations(void **state)
{
	(void)state;
	assert_int_equal(accepts("-e --inter=1")->interval_ns, 1000000000);
	assert_int_equal(accepts("--vm_ex --int 3")->interval_ns, 3000000000);
	/* A name that others begin with is one itself. */
	assert_string_equal(accepts("-e --vm=x")->filter.vm, "x");
	refuses("-e --inter", "--interval needs a value: --interval=TIME");
	refuses("--vm_ex=5", "--vm_exit takes no value; leave \"=5\" out");
	refuses("-e --m=5", "--m is short for several options: --mmio, --monitoring_time, "
			    "--max-vcpus, --mask, --metrics-by or --metrics-limit; give "
			    "more letters");
}

/* The long options, as --help lists them. */
static size_t list_options(const char *help, char names[][32], size_t most)
{
	size_t nr = 0, len;

	for (const char *line = help; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, "  -", 3) && strncmp(line, "      --", 8))
			continue;
		line = strstr(line, "--") + 2;
		len = strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789_-");
		assert_true(len && len < 32 && nr < most);
		snprintf(names[nr++], 32, "%.*s", (int)len, line);
	}
	return nr;
}

/* Each beginning of a name is that option, or is refused with all that begin so. */
static void test_all_abbreviations(void **state)
{
	static char names[96][32];
	size_t nr, ambiguous = 0, unique = 0, same;
	char line[80];

	(void)state;
	nr = list_options(run("--help=all")->out, names, 96);
	assert_true(nr > 30);
	for (size_t i = 0; i < nr; i++)
		for (size_t len = 1; len <= strlen(names[i]); len++) {
			struct result *r;

			same = 0;
			for (size_t k = 0; k < nr; k++)
				same += !strncmp(names[k], names[i], len);
			if (!names[i][len])
				same = 1;
			snprintf(line, sizeof(line), "--%.*s=?", (int)len, names[i]);
			r = run(line);
			if (same == 1) {
				unique++;
				assert_null(strstr(r->err, "unknown option"));
				assert_null(strstr(r->err, "short for several"));
			} else if (!strstr(r->err, "short for several") ||
				   !strstr(r->err, names[i])) {
				/* One of them has just this name. */
				snprintf(line, sizeof(line), "%.*s", (int)len, names[i]);
				for (same = 0; same < nr && strcmp(names[same], line); same++)
					;
				assert_true(same < nr);
			} else {
				ambiguous++;
			}
		}
	assert_true(unique > 100 && ambiguous > 20);
}

static void test_commands(void **state)
{
	const struct result *r;

	(void)state;
	r = run_with(&list_command, "--format=json -p 7 -v");
	assert_int_equal(r->code, -1);
	assert_int_equal(r->opts.filter.pid, 7);
	assert_int_equal(r->opts.format, FORMAT_JSON);
	r = run_with(&list_command, "--help");
	assert_int_equal(r->code, 0);
	assert_non_null(strstr(r->out, "Usage: kvm_watcher list "));
	assert_null(strstr(r->out, "--vm_exit"));
	r = run_with(&list_command, "-e");
	assert_int_equal(r->code, EXIT_USAGE);
	assert_string_equal(r->err, "kvm_watcher: unknown option \"-e\"; kvm_watcher list --help "
				    "lists the options\n");
	r = run_with(&check_command, "-ef --hooks=fentry");
	assert_int_equal(r->code, -1);
	assert_int_equal(r->opts.kinds, 1 << HOOK_FENTRY);
	assert_int_equal(run_with(&check_command, "")->code, -1);
	r = run_with(&check_command, "--format=csv");
	assert_int_equal(r->code, EXIT_USAGE);
	check_one_line(r);
	r = run_with(&check_command, "--help");
	assert_non_null(strstr(r->out, "Usage: kvm_watcher check "));
	assert_null(strstr(r->out, "--interval"));
}

static void test_monitor_options(void **state)
{
	struct result *r;

	(void)state;
	assert_false(*(bool *)run("-f")->opts.configs[1].bytes);
	assert_true(*(bool *)run("-fm")->opts.configs[1].bytes);
	assert_true(*(double *)run("-h --rate=12.5")->opts.configs[2].bytes == 12.5);
	/* What is no part of a monitor changes nothing without it. */
	accepts("-e --rate=1");
	refuses("-h --rate=x", "--rate: \"x\" is not a number of MiB/s");
	refuses("-h --rate", "--rate needs a value: --rate=MiB/s");
	r = run("--help=all");
	assert_non_null(strstr(r->out, "  -m, --mmio"));
	r = run("--help");
	assert_null(strstr(r->out, "--mmio"));
	refuses("--help=most", "--help: \"most\" is not a kind of help; give --help or --help=all");
}

/* What --help prints fits a terminal, names the command's purpose, and --help=all has it, too. */
static void check_help(const struct command *command)
{
	static struct result all, common;
	int lines = 0;
	char *rest = common.out, *line;

	all = *run_with(command, "--help=all");
	assert_int_equal(all.code, 0);
	common = *run_with(command, "--help");
	assert_int_equal(common.code, 0);
	while ((line = strsep(&rest, "\n")) && (*line || rest)) {
		char *name = strstr(line, "--");

		lines++;
		assert_in_range(strlen(line), 0, 80);
		if (!strncmp(line, "  -", 3) || !strncmp(line, "      --", 8)) {
			name[strcspn(name, " ")] = '\0';
			assert_non_null(strstr(all.out, name));
		}
	}
	if (lines > 40)
		fail_msg("%s --help has %d lines: mark options as rare",
			 command->name ?: "kvm_watcher", lines);
	assert_in_range(lines, 8, 40);
}

static void test_help_fits(void **state)
{
	(void)state;
	check_help(&watch_command);
	for (const struct command *const *word = watch_command.words; *word; word++)
		check_help(*word);
}

static void test_wrong_words(void **state)
{
	(void)state;
	refuses("-e 4242", "\"4242\" is not an option; kvm_watcher takes options only, "
			   "see kvm_watcher --help");
	refuses("web -e", "\"web\" is not an option; kvm_watcher takes options only, "
			  "see kvm_watcher --help");
	refuses("-e -", "\"-\" is not an option; kvm_watcher takes options only, "
			"see kvm_watcher --help");
	refuses("-e -- -v", "\"-v\" is not an option; kvm_watcher takes options only, "
			    "see kvm_watcher --help");
	refuses("-e _", "\"\" is not an option; kvm_watcher takes options only, "
			"see kvm_watcher --help");
	refuses("-e a\nb\033", "\"a?b?\" is not an option; kvm_watcher takes options only, "
			       "see kvm_watcher --help");
	refuses("--check --list", "--check and --list exclude each other; give one of them");
	refuses("--check --format=csv",
		"--check has no CSV output; use --format=json or no --format");
	refuses("--check --format=html",
		"--check has no HTML output; use --format=json or no --format");
	refuses("--list --format=html",
		"--list has no HTML output; use --format=table, json or csv");
	refuses("-p", "-p, --vm_pid needs a value: --vm_pid=PID");
	refuses("-ep", "-p, --vm_pid needs a value: --vm_pid=PID");
	refuses("-e --vm_pid", "-p, --vm_pid needs a value: --vm_pid=PID");
	refuses("-e --interval", "--interval needs a value: --interval=TIME");
	refuses("--vm_exit=5", "--vm_exit takes no value; leave \"=5\" out");
	refuses("-e --check=", "--check takes no value; leave \"=\" out");
}

static void refuses_each(const char *format, const char *const *values, const char *message)
{
	char line[256], expected[512];

	for (; *values; values++) {
		snprintf(line, sizeof(line), format, *values);
		snprintf(expected, sizeof(expected), message, strcmp(*values, "_") ? *values : "");
		refuses(line, expected);
	}
}

static void test_wrong_numbers(void **state)
{
	static const char *const pids[] = {
		"0",   "-1", "12abc", "abc", "_", "+5", "0x10", "4194305", "99999999999999999999",
		"1.5", NULL,
	};
	static const char *const no_durations[] = {
		"abc",	 "12abc", "-1",	  "+1", "_",	"inf", "nan", "-inf", "0x10", "1e3", ".",
		"1.2.3", "1,5",	  "5sec", "s",	"1ms2", "ms",  "1M",  "1_h",  "1m5s", "1ns", NULL,
	};

	(void)state;
	refuses_each("-e -p %s", pids,
		     "-p, --vm_pid: \"%s\" is not a process id; give a number "
		     "from 1 to 4194304, as in --list");
	refuses_each("-e -t %s", no_durations,
		     "-t, --monitoring_time: \"%s\" is not a duration; give seconds, or a number "
		     "with us, ms, s, m or h, such as 10, 0.5, 500ms or 1.5h");
	refuses_each("-e --interval %s", no_durations,
		     "--interval: \"%s\" is not a duration; give seconds, or a number with us, ms, "
		     "s, m or h, such as 10, 0.5, 500ms or 1.5h");
	refuses("-e -t 0", "-t, --monitoring_time: 0 is out of range; give 0.001s to 1000000000s");
	refuses("-e -t 1000000001", "-t, --monitoring_time: 1000000001 is out of range; "
				    "give 0.001s to 1000000000s");
	refuses("-e -t 277778h", "-t, --monitoring_time: 277778h is out of range; "
				 "give 0.001s to 1000000000s");
	refuses("-e --interval=0", "--interval: 0 is out of range; give 0.01s to 1000000000s");
	refuses("-e --interval=9ms", "--interval: 9ms is out of range; give 0.01s to 1000000000s");
}

static void test_durations(void **state)
{
	static const struct {
		const char *arg;
		uint64_t ns;
	} durations[] = {
		{ "10", 10000000000 },	 { "0.5", 500000000 },
		{ "500ms", 500000000 },	 { "1.5ms", 1500000 },
		{ "2s", 2000000000 },	 { "5m", 300000000000 },
		{ "1h", 3600000000000 }, { "1.5h", 5400000000000 },
		{ ".5m", 30000000000 },	 { "277777h", 999997200000000000 },
	};
	char line[64];

	(void)state;
	for (size_t i = 0; i < sizeof(durations) / sizeof(*durations); i++) {
		snprintf(line, sizeof(line), "-e -t %s", durations[i].arg);
		assert_int_equal(accepts(line)->time_ns, durations[i].ns);
	}
	assert_int_equal(accepts("-e --interval=1m")->interval_ns, 60000000000);
}

static void test_wrong_choices(void **state)
{
	static const char *const vcpus[] = {
		"_",  ",",  "1,",  ",1",    "1,,2", "a",     "1a",
		"-1", "1-", "3-1", "1-2-3", "0;1",  "65536", "99999999999999999999",
		NULL,
	};
	static const char *const formats[] = { "_", "xml", "JSON", "json,csv", NULL };
	static const char *const kinds[] = {
		"_",
		"uprobe",
		"a_name_that_is_longer_than_any_kind_of_hook",
		NULL,
	};

	(void)state;
	refuses_each("-e --vcpu %s", vcpus,
		     "--vcpu: \"%s\" is not a list of vCPUs; give numbers "
		     "up to 65535, such as 0,2 or 0-3");
	refuses_each("-e --format %s", formats,
		     "--format: \"%s\" is not a format; "
		     "choose table, json, csv, html, perfetto, folded or prometheus");
	refuses_each("-e --hooks %s", kinds,
		     "--hooks: \"%s\" is not a kind of hook; "
		     "choose from raw_tp, tp_btf, fentry, kprobe, tracepoint, iter");
	refuses("-e --hooks=raw_tp,,fentry",
		"--hooks: \"\" is not a kind of hook; choose from raw_tp, tp_btf, fentry, kprobe, "
		"tracepoint, iter");
	refuses("-e --vm=", "--vm: the pattern is empty; give a VM's name or a shell pattern "
			    "such as 'web*'");
	refuses("-e --temp-dir=", "--temp-dir: the name is empty; give a directory");
}

static void test_memory_options(void **state)
{
	const struct options *opts = accepts("-f");

	(void)state;
	assert_false(opts->summary);
	assert_null(opts->temp_dir);
	assert_true(accepts("-e --self-cost")->self_cost);
	opts = accepts("-f --summary --temp-dir=/var/tmp");
	assert_true(opts->summary);
	assert_string_equal(opts->temp_dir, "/var/tmp");
}

static void test_width(void **state)
{
	static const char *const widths[] = { "0", "39", "1001", "-80", "80x", "_", NULL };

	(void)state;
	assert_int_equal(accepts("-e")->width, 0);
	assert_int_equal(accepts("-e --width=40")->width, 40);
	assert_int_equal(accepts("-e --wid 1000")->width, 1000);
	refuses_each(
		"-e --width %s", widths,
		"--width: \"%s\" is not a table width; give a number of columns from 40 to 1000");
}

static void test_sizes(void **state)
{
	static const char *const numbers[] = {
		"_", "0", "-1", "x", "4x", "0x10", "1.5", "16384", "99999999999999999999", NULL,
	};
	static const char *const sizes[] = {
		"_", "0", "-1", "x", "4MiB", "1.5", "1025", "99999999999999999999", NULL,
	};
	const struct options *opts = accepts("-e");

	(void)state;
	assert_int_equal(opts->max_vcpus, 0);
	assert_int_equal(opts->ring_mib, 0);
	opts = accepts("-e --max-vcpus=1 --ring-size 1");
	assert_int_equal(opts->max_vcpus, 1);
	assert_int_equal(opts->ring_mib, 1);
	opts = accepts("-e --max-vcpus 16383 --ring-size=1024");
	assert_int_equal(opts->max_vcpus, MAX_VCPU_SLOTS - 1);
	assert_int_equal(opts->ring_mib, 1024);
	refuses_each("-e --max-vcpus %s", numbers,
		     "--max-vcpus: \"%s\" is not a number of vCPUs; give one from 1 to 16383");
	refuses_each("-e --ring-size %s", sizes,
		     "--ring-size: \"%s\" is not a number of MiB; "
		     "give one from 1 to 1024");
}

static void test_help(void **state)
{
	static const char *const lines[] = {
		"-?", "--help", "-H", "-eH", "-T --help -m", "--help=all", NULL,
	};
	const struct result *r;
	size_t i;

	(void)state;
	for (i = 0; lines[i]; i++) {
		r = run(lines[i]);
		assert_int_equal(r->code, 0);
		assert_string_equal(r->err, "");
		assert_non_null(strstr(r->out, "Usage: kvm_watcher "));
		assert_non_null(strstr(r->out, "--interval=TIME"));
		assert_non_null(strstr(r->out, "-h, --hypercall"));
		assert_non_null(strstr(r->out, "-T, --kvm_timer"));
		assert_non_null(strstr(r->out, "Commands, each with its own --help:"));
	}
	r = run("--help=all");
	assert_non_null(strstr(r->out, "\n  check    Report "));
	assert_non_null(strstr(r->out, "\n  list     List "));
	assert_non_null(strstr(r->out, "Exit codes: 0"));
	assert_non_null(strstr(r->out, "Examples:\n"));
	r = run("--usage");
	assert_int_equal(r->code, 0);
	assert_non_null(strstr(r->out, "Usage: kvm_watcher "));
	assert_null(strstr(r->out, "Examples:"));
}

static void test_version(void **state)
{
	(void)state;
	assert_int_equal(run("-V")->code, 0);
	assert_string_equal(run("--version")->out, "kvm_watcher " VERSION "\n");
	assert_string_equal(run("-eV")->err, "");
}

/* The program's own table. */

/* Of an option that is no monitor's: not among the monitors' and their options'. */
static void check_unlike_monitors(char key, const char *name)
{
	for (size_t i = 0; i < nr_monitors; i++) {
		const struct monitor *m = monitors[i];

		assert_true((!m->key || m->key != key) && strcmp(m->name, name));
		for (const struct monitor_option *o = m->options; o && o->name; o++)
			assert_true((!o->key || o->key != key) && strcmp(o->name, name));
	}
}

static void test_real_keys_are_unique(void **state)
{
	(void)state;
	assert_true(nr_monitors <= MAX_MONITORS);
	for (size_t i = 0; watch_command.tables[i]; i++)
		for (const struct option_row *row = watch_command.tables[i]; row->name; row++)
			check_unlike_monitors(row->key, row->name);
	check_unlike_monitors('v', "verbose");
	check_unlike_monitors('?', "help");
	check_unlike_monitors('H', "usage");
	check_unlike_monitors('V', "version");
}

static void test_real_choice(void **state)
{
	char line[256], message[256];
	struct result *r;

	(void)state;
	for (size_t i = 0; i < nr_monitors; i++) {
		const struct monitor *m = monitors[i];

		snprintf(line, sizeof(line), m->key ? "--%s -%c" : "--%s", m->name, m->key);
		r = run_with(&watch_command, line);
		assert_int_equal(r->code, -1);
		assert_int_equal(r->opts.monitors, 1ull << i);
		for (const struct monitor_option *o = m->options; o && o->name; o++) {
			if (!o->is_part)
				continue;
			if (o->key)
				snprintf(line, sizeof(line), "--%s -%c", o->name, o->key);
			else
				snprintf(line, sizeof(line), "--%s", o->name);
			r = run_with(&watch_command, line);
			assert_int_equal(r->code, EXIT_USAGE);
			check_one_line(r);
			if (o->key)
				snprintf(message, sizeof(message),
					 "kvm_watcher: -%c, --%s works only", o->key, o->name);
			else
				snprintf(message, sizeof(message), "kvm_watcher: --%s works only",
					 o->name);
			assert_memory_equal(r->err, message, strlen(message));
		}
	}
}

static void test_real_bandwidth(void **state)
{
	static const char *const rates[] = {
		"_", "0", "-1", "x", "1e3", "0x10", "inf", "1000001", "10,5", NULL,
	};
	char line[256], message[256];
	struct result *r;
	size_t i = 0;

	(void)state;
	while (strcmp(monitors[i]->name, "mark_page_dirty"))
		i++;
	r = run_with(&watch_command, "-d --migration-bandwidth 12.5");
	assert_int_equal(r->code, -1);
	assert_true(*(double *)r->opts.configs[i].bytes == 12.5 * 1024 * 1024);
	for (i = 0; rates[i]; i++) {
		snprintf(line, sizeof(line), "-d --migration-bandwidth %s", rates[i]);
		snprintf(message, sizeof(message),
			 "kvm_watcher: --migration-bandwidth: \"%s\" is not a bandwidth in MiB/s; "
			 "give a number such as 100, up to 1000000\n",
			 strcmp(rates[i], "_") ? rates[i] : "");
		r = run_with(&watch_command, line);
		assert_int_equal(r->code, EXIT_USAGE);
		assert_string_equal(r->err, message);
	}
}

static void test_real_help(void **state)
{
	const struct monitor *m;
	struct result *r;
	char text[256];
	size_t i;

	(void)state;
	r = run_with(&watch_command, "--help");
	assert_int_equal(r->code, 0);
	for (i = 0; i < nr_monitors; i++) {
		m = monitors[i];
		if (m->key)
			snprintf(text, sizeof(text), "-%c, --%s ", m->key, m->name);
		else
			snprintf(text, sizeof(text), "--%s ", m->name);
		assert_non_null(strstr(r->out, text));
	}
	r = run_with(&watch_command, "");
	assert_int_equal(r->code, EXIT_USAGE);
	check_one_line(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_width),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_has_vcpus),
		cmocka_unit_test(test_wrong_monitors),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_wrong_names),
		cmocka_unit_test(test_abbreviations),
		cmocka_unit_test(test_all_abbreviations),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_monitor_options),
		cmocka_unit_test(test_help_fits),
		cmocka_unit_test(test_wrong_words),
		cmocka_unit_test(test_wrong_numbers),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_many_vcpus),
		cmocka_unit_test(test_wrong_choices),
		cmocka_unit_test(test_memory_options),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_real_keys_are_unique),
		cmocka_unit_test(test_real_choice),
		cmocka_unit_test(test_real_bandwidth),
		cmocka_unit_test(test_selection),
		cmocka_unit_test(test_real_help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
