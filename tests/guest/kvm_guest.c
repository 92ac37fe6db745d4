/* SPDX-License-Identifier: GPL-2.0-only */
/* The command line. */
#include <cpuid.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

enum {
	OPT_VMS = 256,
	OPT_VCPUS,
	OPT_MODE,
	OPT_SEPARATE,
	OPT_SAME_THREAD,
	OPT_START_ON,
	OPT_END_ON,
	OPT_GO_ON,
	OPT_REPEAT,
	OPT_PAUSE,
	OPT_TIMEOUT,
	OPT_NAME,
	OPT_PROBE,
	OPT_LOG,
	OPT_HUGE,
	OPT_THP,
	OPT_AUTO_EOI,
	OPT_PIT,
	OPT_KSM,
	OPT_COLLAPSE,
	OPT_HOLES,
	OPT_CPU,
	OPT_HALT_POLL,
	OPT_TIME,
	OPT_SLOTS,
	OPT_MAIN,
	OPT_HOLDERS,
	OPT_AMID,
	OPT_HELPER,
	OPT_HELPER_CPU,
	OPT_HELPER_RT,
	OPT_IOEVENTFD,
	OPT_DISABLE_EXITS,
	OPT_DEBUG,
	OPT_FOREVER,
	OPT_LATE,
	OPT_ID_STEP,
	OPT_PID
};

static const struct option options[] = {
	{ "vms", required_argument, NULL, OPT_VMS },
	{ "vcpus", required_argument, NULL, OPT_VCPUS },
	{ "mode", required_argument, NULL, OPT_MODE },
	{ "separate", no_argument, NULL, OPT_SEPARATE },
	{ "same-thread", no_argument, NULL, OPT_SAME_THREAD },
	{ "start-on", required_argument, NULL, OPT_START_ON },
	{ "end-on", required_argument, NULL, OPT_END_ON },
	{ "go-on", required_argument, NULL, OPT_GO_ON },
	{ "repeat", required_argument, NULL, OPT_REPEAT },
	{ "pause-ms", required_argument, NULL, OPT_PAUSE },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "log", required_argument, NULL, OPT_LOG },
	{ "huge", no_argument, NULL, OPT_HUGE },
	{ "thp", no_argument, NULL, OPT_THP },
	{ "auto-eoi", no_argument, NULL, OPT_AUTO_EOI },
	{ "pit", no_argument, NULL, OPT_PIT },
	{ "holes", no_argument, NULL, OPT_HOLES },
	{ "ksm", no_argument, NULL, OPT_KSM },
	{ "collapse", required_argument, NULL, OPT_COLLAPSE },
	{ "halt-poll", required_argument, NULL, OPT_HALT_POLL },
	{ "cpu", required_argument, NULL, OPT_CPU },
	{ "probe", no_argument, NULL, OPT_PROBE },
	{ "time", no_argument, NULL, OPT_TIME },
	{ "slots", required_argument, NULL, OPT_SLOTS },
	{ "main", required_argument, NULL, OPT_MAIN },
	{ "holders", required_argument, NULL, OPT_HOLDERS },
	{ "amid", required_argument, NULL, OPT_AMID },
	{ "helper", required_argument, NULL, OPT_HELPER },
	{ "helper-cpu", required_argument, NULL, OPT_HELPER_CPU },
	{ "helper-rt", no_argument, NULL, OPT_HELPER_RT },
	{ "ioeventfd", required_argument, NULL, OPT_IOEVENTFD },
	{ "disable-exits", required_argument, NULL, OPT_DISABLE_EXITS },
	{ "debug", required_argument, NULL, OPT_DEBUG },
	{ "late-ms", required_argument, NULL, OPT_LATE },
	{ "id-step", required_argument, NULL, OPT_ID_STEP },
	{ "pid", required_argument, NULL, OPT_PID },
	{ "forever", no_argument, NULL, OPT_FOREVER },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char help_head[] =
	"Usage: kvm_guest [OPTION...] OP[=COUNT[:ARG]]...\n"
	"Runs guests whose vCPUs each do the OPs in the given order, COUNT (default 1) times.\n"
	"\n"
	"  --vms=N         VMs, all at the same time (1)\n"
	"  --vcpus=N       vCPUs of each VM, a thread each (1)\n"
	"  --late-ms=MS    of these the first is there at once, each further one MS later\n"
	"  --id-step=N     and their ids are N - 1, 2 * N - 1 and so on (1)\n"
	"  --mode=MODE     long (64-bit, paging; the default) or real (16-bit)\n"
	"  --log=KIND      how dirty reads the log: bitmap (the default), clear or ring; none: it\n"
	"                  is on for all memory, and nobody reads it\n"
	"  --huge          ask for 2 MiB pages behind the pages of touch\n"
	"  --thp           the same, but not before the guest needs them\n"
	"  --collapse=FILE when FILE is there, ask for 2 MiB pages in place of those of touch\n"
	"  --holes         at the end, take 3 of each 6 pages of touch away\n"
	"  --pit           with KVM's PIT, which has a thread of the kernel's\n"
	"  --ksm           with 64 pages that are all the same and may be merged\n"
	"  --separate      a process for each VM\n"
	"  --pid=N         as process N, which there is none of now: needs root\n"
	"  --same-thread   the one vCPU of the one VM runs in the main thread\n"
	"  --start-on=FILE start the guests when FILE is there\n"
	"  --end-on=FILE   when all is told, keep the VMs until FILE is there (a minute at most)\n"
	"  --go-on=FILE    sleeps of a minute or more end when FILE is there\n"
	"  --repeat=N      do it all N times, with new VMs (1)\n"
	"  --pause-ms=MS   sleep before each guest starts, when everything is open (0)\n"
	"  --timeout=SEC   stop guests that run longer (60)\n"
	"  --name=TEXT     for whoever reads the command line\n"
	"  --cpu=N         all vCPUs' threads run on that CPU\n"
	"  --halt-poll=US  the VM's limit of halt-polling (KVM_CAP_HALT_POLL)\n"
	"  --time          the guest takes the time of each single OP, in ticks of its TSC\n"
	"  --slots=N       further memory slots of a page each, which KVM keeps in one place (0)\n"
	"  --main=WHAT     another thread does it all; the main thread ends before (exits), or\n"
	"                  has descriptors of its own (unshared)\n"
	"  --holders=N     as many processes that have the descriptors by fork() (0)\n"
	"  --amid=WHAT     when vCPU 0 has only to spin, its process exits, execs (with out=7),\n"
	"                  or forks a process that outlives it\n"
	"  --helper=WHAT[:US[:ARG]]\n"
	"                  a thread that does WHAT, and pauses for US us (0: never): line pulses\n"
	"                  pin ARG, lines does it 16 times, msi sends one to vCPU 0, irqfd has "
	"the\n"
	"                  kernel do so, or pulse pin ARG, routes writes them anew, kick signals "
	"vCPU 0, vhost is\n"
	"                  busy under that name for ARG us; up to 4\n"
	"  --helper-cpu=N  the helpers that follow run on that CPU\n"
	"  --helper-rt     and before all other tasks\n"
	"  --ioeventfd=PORT\n"
	"                  2-byte OUTs to it end in KVM\n"
	"  --auto-eoi      with an interrupt of Hyper-V's that ends by itself, so KVM can't use "
	"APICv\n"
	"  --disable-exits=hlt\n"
	"                  HLT does not leave the guest\n"
	"  --debug=step    every instruction is an exit to user space\n"
	"  --forever       all OPs again and again, until somebody ends the process\n"
	"  --probe         tell which OPs work with this host's KVM\n"
	"  --help          this text\n"
	"\n";

static void __attribute__((noreturn, format(printf, 1, 2))) usage_error(const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "kvm_guest: ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(EXIT_BAD_USAGE);
}

static void __attribute__((noreturn)) help(void)
{
	const struct op *op;

	printf("%s", help_head);
	for (op = ops; op < ops + nr_ops; op++) {
		printf("  %-14s %s", op->name, op->help);
		if (op->arg_name)
			printf("; ARG: %s (0x%llx)", op->arg_name, (unsigned long long)op->arg);
		printf("\n");
	}
	exit(EXIT_AS_EXPECTED);
}

/* A whole number, decimal or 0x..., ended by a NUL or by stop. */
static bool parse_number(const char *text, char stop, uint64_t *value, const char **rest)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*value = strtoull(text, &end, strncasecmp(text, "0x", 2) ? 10 : 16);
	*rest = end;
	return !errno && (!*end || *end == stop);
}

static unsigned int option_number(const char *name, uint64_t min, uint64_t max)
{
	const char *rest;
	uint64_t value;

	if (!parse_number(optarg, '\0', &value, &rest) || value < min || value > max)
		usage_error("--%s must be a number from %llu to %llu, not '%s'", name,
			    (unsigned long long)min, (unsigned long long)max, optarg);
	return value;
}

static enum mode option_mode(void)
{
	if (!strcmp(optarg, "long"))
		return MODE_LONG;
	if (!strcmp(optarg, "real"))
		return MODE_REAL;
	usage_error("--mode must be long or real, not '%s'", optarg);
}

static enum log_kind option_log(void)
{
	if (!strcmp(optarg, "bitmap"))
		return LOG_BITMAP;
	if (!strcmp(optarg, "clear"))
		return LOG_CLEAR;
	if (!strcmp(optarg, "ring"))
		return LOG_RING;
	if (!strcmp(optarg, "none"))
		return LOG_NONE;
	usage_error("--log must be bitmap, clear, ring or none, not '%s'", optarg);
}

static enum main_thread option_main(void)
{
	if (!strcmp(optarg, "exits"))
		return MAIN_EXITS;
	if (!strcmp(optarg, "unshared"))
		return MAIN_UNSHARED;
	usage_error("--main must be exits or unshared, not '%s'", optarg);
}

static enum amid option_amid(void)
{
	if (!strcmp(optarg, "exit"))
		return AMID_EXIT;
	if (!strcmp(optarg, "exec"))
		return AMID_EXEC;
	if (!strcmp(optarg, "fork"))
		return AMID_FORK;
	usage_error("--amid must be exit, exec or fork, not '%s'", optarg);
}

static void option_is(const char *name, const char *only)
{
	if (strcmp(optarg, only))
		usage_error("--%s must be %s, not '%s'", name, only, optarg);
}

/* WHAT[:US[:ARG]] */
static void option_helper(struct plan *plan)
{
	static const char *const names[] = {
		[HELPER_LINE] = "line",	  [HELPER_LINES] = "lines",   [HELPER_MSI] = "msi",
		[HELPER_IRQFD] = "irqfd", [HELPER_ROUTES] = "routes", [HELPER_KICK] = "kick",
		[HELPER_VHOST] = "vhost",
	};
	size_t len = strcspn(optarg, ":"), i = 0, nr = sizeof(names) / sizeof(*names);
	struct helper_use *use = &plan->helpers[plan->nr_helpers];
	const char *rest = optarg + len;
	uint64_t us = 0, arg = 0;

	if (plan->nr_helpers == MAX_HELPERS)
		usage_error("--helper: more than %d", MAX_HELPERS);
	while (i < nr && (strlen(names[i]) != len || strncmp(names[i], optarg, len)))
		i++;
	if (i == nr)
		usage_error("--helper: there is no '%.*s'", (int)len, optarg);
	if (*rest && (!parse_number(rest + 1, ':', &us, &rest) || us > 60000000))
		usage_error("--helper=%s: the pause is not a number of us", optarg);
	if (*rest && (!parse_number(rest + 1, '\0', &arg, &rest) || arg > UINT32_MAX))
		usage_error("--helper=%s: the argument is not a number", optarg);
	*use = (struct helper_use){
		.what = i, .us = us, .arg = arg, .cpu = plan->helper_cpu, .rt = plan->helper_rt
	};
	plan->nr_helpers++;
}

static void parse_option(int opt, char **argv, struct plan *plan)
{
	switch (opt) {
	case OPT_VMS:
		plan->nr_vms = option_number("vms", 1, MAX_VMS);
		break;
	case OPT_VCPUS:
		plan->nr_vcpus = option_number("vcpus", 1, MAX_VCPUS);
		break;
	case OPT_MODE:
		plan->mode = option_mode();
		break;
	case OPT_LOG:
		plan->log = option_log();
		break;
	case OPT_HUGE:
		plan->huge = true;
		break;
	case OPT_THP:
		plan->thp = true;
		break;
	case OPT_AUTO_EOI:
		plan->auto_eoi = true;
		break;
	case OPT_COLLAPSE:
		plan->collapse_on = optarg;
		break;
	case OPT_HOLES:
		plan->holes = true;
		break;
	case OPT_KSM:
		plan->ksm = true;
		break;
	case OPT_PIT:
		plan->pit = true;
		break;
	case OPT_SEPARATE:
		plan->separate = true;
		break;
	case OPT_SAME_THREAD:
		plan->same_thread = true;
		break;
	case OPT_START_ON:
		plan->start_on = optarg;
		break;
	case OPT_END_ON:
		plan->end_on = optarg;
		break;
	case OPT_GO_ON:
		plan->go_on = optarg;
		break;
	case OPT_REPEAT:
		plan->repeat = option_number("repeat", 1, 1000000);
		break;
	case OPT_PAUSE:
		plan->pause_ms = option_number("pause-ms", 0, 86400000);
		break;
	case OPT_TIMEOUT:
		plan->timeout = option_number("timeout", 1, 86400);
		break;
	case OPT_NAME:
		break;
	case OPT_HALT_POLL:
		plan->halt_poll_us = option_number("halt-poll", 0, 4000000);
		break;
	case OPT_CPU:
		plan->cpu = option_number("cpu", 0, 1023);
		break;
	case OPT_SLOTS:
		plan->nr_slots = option_number("slots", 0, MAX_SLOTS);
		break;
	case OPT_MAIN:
		plan->main = option_main();
		break;
	case OPT_HOLDERS:
		plan->nr_holders = option_number("holders", 0, 64);
		break;
	case OPT_AMID:
		plan->amid = option_amid();
		break;
	case OPT_HELPER:
		option_helper(plan);
		break;
	case OPT_HELPER_CPU:
		plan->helper_cpu = option_number("helper-cpu", 0, 1023);
		break;
	case OPT_HELPER_RT:
		plan->helper_rt = true;
		break;
	case OPT_IOEVENTFD:
		plan->ioeventfd = option_number("ioeventfd", 0, 0xffff);
		break;
	case OPT_DISABLE_EXITS:
		option_is("disable-exits", "hlt");
		plan->no_hlt_exits = true;
		break;
	case OPT_DEBUG:
		option_is("debug", "step");
		plan->step = true;
		break;
	case OPT_LATE:
		plan->late_ms = option_number("late-ms", 1, 60000);
		break;
	case OPT_ID_STEP:
		plan->id_step = option_number("id-step", 1, 65536);
		break;
	case OPT_PID:
		plan->pid = option_number("pid", 1, 1 << 22);
		break;
	case OPT_FOREVER:
		plan->forever = true;
		break;
	case OPT_TIME:
		plan->time = true;
		break;
	case OPT_PROBE:
		plan->probe = true;
		break;
	case 'h':
		help();
	case ':':
		usage_error("option %s needs a value", argv[optind - 1]);
	default:
		if (optopt && optopt < OPT_VMS)
			usage_error("unknown option '-%c'", optopt);
		usage_error("unknown option or unwanted value: '%s'", argv[optind - 1]);
	}
}

/* OP[=COUNT[:ARG]] */
static struct op_use parse_op(const char *text)
{
	size_t len = strcspn(text, "=");
	struct op_use use = { .op = op__find(text, len), .count = 1 };
	const char *rest = "";

	if (!use.op)
		usage_error("unknown OP '%.*s'", (int)len, text);
	use.arg = use.op->arg;
	if (text[len] == '=' && !parse_number(text + len + 1, ':', &use.count, &rest))
		usage_error("'%s': the count is not a number", text);
	if (use.count > use.op->max_count)
		usage_error("'%s': at most %llu", text, (unsigned long long)use.op->max_count);
	if (*rest != ':')
		return use;
	if (!use.op->arg_name)
		usage_error("'%s': %s takes no argument", text, use.op->name);
	if (!parse_number(rest + 1, '\0', &use.arg, &rest))
		usage_error("'%s': the %s is not a number", text, use.op->arg_name);
	if (use.arg > use.op->max_arg)
		usage_error("'%s': the %s is above 0x%llx", text, use.op->arg_name,
			    (unsigned long long)use.op->max_arg);
	return use;
}

static unsigned int physical_bits(void)
{
	unsigned int eax, ebx, ecx, edx;

	return __get_cpuid(0x80000008, &eax, &ebx, &ecx, &edx) ? eax & 0xff : 36;
}

static bool is_taken(const struct plan *plan, uint64_t gpa)
{
	return gpa < RAM_SIZE ||
	       (gpa >= GPA_TOUCH && gpa - GPA_TOUCH < plan__touch_pages(plan) * PAGE) ||
	       (gpa >= GPA_TIMES &&
		gpa - GPA_TIMES < plan__times(plan) * plan->nr_vcpus * sizeof(uint32_t)) ||
	       (gpa >= GPA_TAKEN && (gpa - GPA_TAKEN) / PAGE < TAKEN_PAGES) ||
	       (gpa >= GPA_LOG && gpa - GPA_LOG < plan__log_pages(plan) * PAGE) ||
	       (gpa >= GPA_SLOTS && gpa - GPA_SLOTS < plan->nr_slots * 2ULL * PAGE) ||
	       (gpa >= 0xfffbc000 && gpa < 0xfffc0000) ||
	       (plan__flags(plan) & OP_IRQCHIP && (gpa >> 12 == 0xfee00 || gpa >> 12 == 0xfec00));
}

static void check_use(const struct plan *plan, const struct op_use *use)
{
	unsigned long long arg = use->arg;
	unsigned int bits = plan->mode == MODE_REAL ? 32 : physical_bits();

	/* Canonical addresses with a 0 on top: 47 bits. */
	if (bits > 47)
		bits = 47;
	if (use->op->flags & OP_GPA) {
		if (arg >> bits)
			usage_error("%s: 0x%llx is above this guest's %u bits of address",
				    use->op->name, arg, bits);
		if (is_taken(plan, use->arg))
			usage_error("%s: 0x%llx is not free, the guest has something there",
				    use->op->name, arg);
	}
	if (use->op->flags & OP_LONG && plan->mode != MODE_LONG)
		usage_error("%s needs --mode=long", use->op->name);
	if (use->op->arg_name && !strcmp(use->op->arg_name, "port") &&
	    (arg == PORT_END || arg == PORT_SLEEP || arg == PORT_LOG || arg == PORT_IRQ ||
	     arg == PORT_TAKE || arg == PORT_STATE))
		usage_error("%s: port 0x%llx is what the guest talks to kvm_guest with",
			    use->op->name, arg);
}

static void check_plan(const struct plan *plan)
{
	unsigned int flags = plan__flags(plan);
	size_t i;

	if (plan->same_thread && (plan->nr_vms > 1 || plan->nr_vcpus > 1 || plan->separate ||
				  plan__flags(plan) & OP_WAKER))
		usage_error("--same-thread is for one vCPU that nobody has to wake: no --vms, "
			    "--vcpus, --separate, hlt");
	if (flags & OP_IRQCHIP && flags & OP_NO_IRQCHIP)
		usage_error("one of the OPs needs an irqchip, another one none: they can't be in "
			    "one VM");
	if (flags & OP_PAIRS && plan->nr_vcpus % 2)
		usage_error("hlt_ipi and ipi need an even number of vCPUs: the second one of a "
			    "pair sends");
	if (plan__touch_pages(plan) > MAX_TOUCH_PAGES)
		usage_error("touch: %llu pages in one VM, at most %d are possible",
			    (unsigned long long)plan__touch_pages(plan), MAX_TOUCH_PAGES);
	if (plan->time && plan->mode != MODE_LONG)
		usage_error("--time needs --mode=long");
	if (plan->forever && plan->mode != MODE_LONG)
		usage_error("--forever needs --mode=long");
	if (plan__times(plan) * plan->nr_vcpus > MAX_TIMES)
		usage_error("--time: more than %d turns", MAX_TIMES);
	if (flags & OP_HYPERV && flags & OP_XEN)
		usage_error("hv_call and xen_call can't be in one VM");
	if (plan__log_pages(plan) > MAX_LOG_PAGES ||
	    (plan__log_pages(plan) && GPA_TOUCH + plan__touch_pages(plan) * PAGE > GPA_LOG))
		usage_error("dirty: too many pages in one VM");
	for (i = 0; i < plan->nr_uses; i++)
		check_use(plan, &plan->uses[i]);
}

static void parse(int argc, char **argv, struct plan *plan)
{
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":h", options, NULL)) != -1)
		parse_option(opt, argv, plan);
	for (; optind < argc; optind++) {
		if (plan->nr_uses == MAX_OPS)
			usage_error("more than %d OPs", MAX_OPS);
		plan->uses[plan->nr_uses++] = parse_op(argv[optind]);
	}
	if (!plan->nr_uses && !plan->probe)
		usage_error("no OP given, see --help");
	if (plan->nr_uses && plan->probe)
		usage_error("--probe takes no OP");
	check_plan(plan);
}

static int run(const struct plan *plan)
{
	struct timespec begin, end;
	int err;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	err = run__all(plan);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("{\"what\":\"done\",\"vms\":%llu,\"seconds\":%.3f}\n",
	       (unsigned long long)plan->nr_vms * plan->repeat,
	       end.tv_sec - begin.tv_sec + (end.tv_nsec - begin.tv_nsec) / 1e9);
	return err ? EXIT_GUEST_FAILED : EXIT_AS_EXPECTED;
}

static void *run_beside(void *plan)
{
	if (((const struct plan *)plan)->main == MAIN_UNSHARED && unshare(CLONE_FILES))
		usage_error("unshare: %s", strerror(errno));
	exit(run(plan));
}

/* Goes on in a new process of that number, and ends as that does. */
static void become(pid_t pid)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&pid,
		.set_tid_size = 1,
	};
	long child = syscall(SYS_clone3, &args, sizeof(args));
	int status;

	if (!child)
		return;
	if (child < 0)
		usage_error("--pid=%d: %s", pid, strerror(errno));
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			usage_error("--pid=%d: %s", pid, strerror(errno));
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_GUEST_FAILED);
}

int main(int argc, char **argv)
{
	static struct plan plan = { .nr_vms = 1,
				    .nr_vcpus = 1,
				    .id_step = 1,
				    .repeat = 1,
				    .timeout = 60,
				    .cpu = -1,
				    .helper_cpu = -1,
				    .ioeventfd = -1,
				    .halt_poll_us = -1 };
	pthread_t thread;

	parse(argc, argv, &plan);
	if (plan.pid)
		become(plan.pid);
	if (plan.probe)
		return probe(&plan) ? EXIT_GUEST_FAILED : EXIT_AS_EXPECTED;
	if (plan.main == MAIN_RUNS)
		return run(&plan);
	if (pthread_create(&thread, NULL, run_beside, &plan))
		usage_error("no thread can be made");
	if (plan.main == MAIN_EXITS)
		pthread_exit(NULL);
	pthread_join(thread, NULL);
	return EXIT_GUEST_FAILED;
}
