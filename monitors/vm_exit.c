// SPDX-License-Identifier: GPL-2.0-only
/* -e: VM exits, to KVM and to user space. The kernel half is vm_exit.bpf.c. */
#include "vm_exit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <linux/kvm.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../compat/host.h"
#include "../core/attach.h"
#include "../core/events.h"
#include "../core/filter.h"
#include "../core/map.h"
#include "../core/metric.h"
#include "../core/monitor.h"
#include "../core/records.h"
#include "../core/samples.h"
#include "../core/times.h"
#include "../core/vcpus.h"
#include "../core/window.h"
#include "../decode/exit_details.h"
#include "../decode/exit_reasons.h"
#include "vm_exit.skel.h"

DEFINE_OPEN_SKELETON(vm_exit_bpf)

#define MAP(_name) offsetof(struct vm_exit_bpf, maps._name)
#define PROG(_name) offsetof(struct vm_exit_bpf, progs._name)

enum { REASON_LEN = 48, L2_PER_SLOT = 8 };
enum { VIEW_KVM, VIEW_USER, VIEW_DETAIL, VIEW_SLOW };
enum { OF_REASONS = 1 << VIEW_KVM | 1 << VIEW_USER, OF_SAMPLES = OF_REASONS | 1 << VIEW_DETAIL };
enum { OF_NAMED = 1 << VIEW_DETAIL | 1 << VIEW_SLOW };

struct exit_row {
	struct row row;
	const char *kind;
	const char *class;
	const char *reason;
	const char *whose; /* the reason, and of which guest */
	uint8_t l2;	   /* BOOL_ABSENT: not asked for */
	uint64_t reason_code;
	uint8_t halt; /* BOOL_ABSENT: of several reasons */
	uint64_t count;
	struct times time; /* of those that ended */
	uint64_t total_ns; /* of all */
	uint32_t open;
	uint64_t max_ns;
	uint64_t min_ns;
	uint64_t avg_ns;
	uint64_t p50_ns;
	uint64_t p90_ns;
	uint64_t p99_ns;
	double share;
	double per_s;
	uint64_t to_vmm;
	const char *detail;
	const char *detail_kind;
	uint8_t write; /* BOOL_ABSENT: neither */
	uint64_t number;
	uint32_t more;
	uint64_t time_ns; /* from here on: of a single one */
	uint64_t kvm_ns;
	uint64_t vmm_ns;
	uint64_t off_ns;
	const char *by;
	uint32_t by_pid;
	uint32_t cpu;
	uint64_t rip;
	const char *comm;
	char text[REASON_LEN];
	char whose_text[REASON_LEN + 8];
	char detail_text[EXIT_DETAIL_LEN];
};

/* --detail, --l2 */
struct exit_config {
	bool detail, l2;
};

struct exit_state_of {
	struct detail_state *details; /* the kernel's, by slot; NULL: none */
	size_t size;
};

static const struct view views[] = {
	[VIEW_KVM] = { .title = "KVM_EXIT",
		       .name = "KVM_EXIT",
		       .per_vcpu = true,
		       .state = "kvm",
		       .idle = "halted",
		       .holds = "vmm",
		       SAMPLES_OF(VIEW_KVM) },
	[VIEW_USER] = { .title = "KVM_USERSPACE_EXIT",
			.name = "KVM_USERSPACE_EXIT",
			.per_vcpu = true,
			.state = "vmm",
			SAMPLES_OF(VIEW_USER) },
	[VIEW_DETAIL] = { .title = "KVM_EXIT by detail",
			  .name = "KVM_EXIT_DETAIL",
			  .per_vcpu = true,
			  .state = "kvm",
			  .idle = "halted",
			  .holds = "vmm",
			  SAMPLES_OF(VIEW_DETAIL) },
	[VIEW_SLOW] = { .title = "SLOW KVM_EXIT", .name = "SLOW_EXIT", .per_vcpu = true },
	{},
};

#define COL(...) COLUMN(struct exit_row, __VA_ARGS__)
#define TIME(what) OF_TIMES(struct exit_row, time, what)
#define DETAIL .views = 1 << VIEW_DETAIL
#define REASONS .views = OF_REASONS
#define SAMPLED .views = OF_SAMPLES
#define SLOW .views = 1 << VIEW_SLOW
#define NAMED .views = OF_NAMED

static const struct column columns[] = {
	COL(kind, NULL, COL_STRING, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .help = "kvm: all exits; userspace: exits that went on to the VMM"),
	COL(time, "EXITS", COL_TIMES, ROLE_COUNTER, SAMPLED, .help = "time from exit to entry"),
	COL(total_ns, "TOTAL_TIME", COL_NSEC, ROLE_COUNTER, SAMPLED,
	    .flags = COL_COST | COL_WORSE | COL_FRAME,
	    .help = "kvm: from kvm_exit to the next kvm_entry; userspace: until KVM_RUN again; "
		    "includes exits in progress"),
	COL(max_ns, "MAX_TIME", COL_NSEC, ROLE_GAUGE, SAMPLED, .drop = DROP_THIRD, TIME(MAX),
	    .flags = COL_WORSE, .help = "longest"),
	COL(min_ns, "MIN_TIME", COL_NSEC, ROLE_GAUGE, REASONS, .drop = DROP_FIRST, TIME(MIN),
	    .help = "shortest"),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, SAMPLED, .flags = COL_WORSE, .help = "exits"),
	COL(open, "OPEN", COL_U32, ROLE_GAUGE, REASONS, .merge = MERGE_SUM,
	    .help = "exits in progress at the end of the interval"),
	COL(per_s, "/s", COL_DOUBLE, ROLE_GAUGE, DETAIL, .flags = COL_TABLE_ONLY | COL_COMPUTED,
	    .help = "exits per second"),
	COL(to_vmm, "TO_VMM", COL_U64, ROLE_COUNTER, DETAIL,
	    .help = "exits that went on to user space"),
	COL(share, "SHARE%", COL_PERCENT, ROLE_GAUGE, SAMPLED,
	    .flags = COL_TABLE_ONLY | COL_COMPUTED,
	    .help = "share of the wall time of the vCPU, or of all; absent for halts"),
	COL(avg_ns, "AVG", COL_NSEC, ROLE_GAUGE, REASONS, TIME(MEAN), .flags = COL_TABLE_ONLY,
	    .help = "mean"),
	COL(p50_ns, "P50", COL_NSEC, ROLE_GAUGE, SAMPLED, TIME(P50), .flags = COL_WORSE,
	    .help = "median, within 12.5 %"),
	COL(p90_ns, NULL, COL_NSEC, ROLE_GAUGE, SAMPLED, TIME(P90), .flags = COL_DATA_ONLY,
	    .help = "90th percentile, within 12.5 %"),
	COL(p99_ns, "P99", COL_NSEC, ROLE_GAUGE, SAMPLED, TIME(P99), .flags = COL_WORSE,
	    .help = "99th percentile, within 12.5 %"),
	COL(time_ns, "TIME", COL_NSEC, ROLE_GAUGE, SLOW, .width = 9,
	    .help = "time from exit to entry"),
	COL(kvm_ns, "IN_KVM", COL_NSEC, ROLE_GAUGE, SLOW, .width = 9,
	    .help = "part of TIME outside of user space"),
	COL(vmm_ns, "IN_VMM", COL_NSEC, ROLE_GAUGE, SLOW, .width = 9,
	    .help = "part of TIME from kvm_userspace_exit until KVM_RUN again"),
	COL(off_ns, "OFF_CPU", COL_NSEC, ROLE_GAUGE, SLOW, .width = 9,
	    .help = "part of TIME in which the thread was on no CPU"),
	COL(by, "BY", COL_STRING, ROLE_LABEL, .flags = COL_NAME, SLOW, .width = 11,
	    .help = "who had the CPU for most of OFF_CPU; absent if the thread slept"),
	COL(by_pid, NULL, COL_U32, ROLE_LABEL, SLOW, .flags = COL_DATA_ONLY,
	    .help = "process of BY"),
	COL(cpu, "CPU", COL_U32, ROLE_LABEL, SLOW, .help = "CPU on which the guest resumes"),
	COL(rip, "RIP", COL_HEX, ROLE_LABEL, SLOW, .flags = COL_WIDE, .width = 18,
	    .help = "guest address at which it resumes; absent if KVM has not read it"),
	COL(comm, NULL, COL_STRING, ROLE_LABEL, SLOW, .flags = COL_NAME | COL_DATA_ONLY,
	    .help = "name of the vCPU's thread"),
	COL(reason, NULL, COL_STRING, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .help = "exit reason, as the kernel spells it"),
	COL(whose, "REASON", COL_STRING, ROLE_LABEL, .flags = COL_WORD | COL_TABLE_ONLY | COL_FRAME,
	    .help = "exit reason, as the kernel spells it; L2: marks that of a nested guest "
		    "(--l2)"),
	COL(l2, NULL, COL_BOOL, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .help = "exit of a nested guest; absent without --l2"),
	COL(reason_code, NULL, COL_U64, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .help = "number of the exit reason"),
	COL(halt, NULL, COL_BOOL, ROLE_LABEL, SAMPLED, .flags = COL_IDLE | COL_KEY_ONLY,
	    .help = "the vCPU had nothing to do"),
	COL(class, NULL, COL_STRING, ROLE_LABEL, .flags = COL_DATA_ONLY | COL_CLASS,
	    .help = "class of the exit, the same word for all vendors"),
	COL(detail_kind, NULL, COL_STRING, ROLE_LABEL, NAMED, .flags = COL_DATA_ONLY,
	    .help = "msr, pio, mmio, cpuid, cr, dr, exception, hypercall, none or others"),
	COL(write, NULL, COL_BOOL, ROLE_LABEL, NAMED, .flags = COL_DATA_ONLY,
	    .help = "true: a write; false: a read; absent: neither"),
	COL(number, NULL, COL_U64, ROLE_LABEL, NAMED, .flags = COL_DATA_ONLY,
	    .help = "number of the MSR, port, address, leaf, register, vector or hypercall"),
	COL(more, NULL, COL_U32, ROLE_LABEL, NAMED, .flags = COL_DATA_ONLY,
	    .help = "bytes of a port access, or the CPUID subleaf"),
	COL(detail, "DETAIL", COL_STRING, ROLE_LABEL, NAMED, .flags = COL_REST | COL_FRAME,
	    .help = "what the exit was for; (none): unknown, (others): all others"),
	{},
};

static bool with_l2(const struct attachment *at)
{
	const struct exit_config *asked = at->config;

	return asked && asked->l2;
}

static bool without_l2(const struct attachment *at)
{
	return !with_l2(at);
}

/* Without -p the programs that run most do not even look whether there is one. */
static bool all_vms(const struct attachment *at)
{
	return !at->env->filter->pid;
}

static bool with_slow(const struct attachment *at)
{
	return at->slower_ns;
}

static bool without_slow(const struct attachment *at)
{
	return !with_slow(at);
}

static bool all_exits(const struct attachment *at)
{
	return all_vms(at) && !with_l2(at);
}

static const char *set_detail(void *config, const char *arg)
{
	(void)arg;
	((struct exit_config *)config)->detail = true;
	return NULL;
}

static const char *set_l2(void *config, const char *arg)
{
	(void)arg;
	((struct exit_config *)config)->l2 = true;
	return NULL;
}

static const struct monitor_option options[] = {
	{ .name = "l2",
	  .help = "exits of nested guests separately (needs -e)",
	  .is_part = true,
	  .set = set_l2 },
	{ .name = "detail",
	  .help = "exits by MSR, port, address, CPUID leaf, ... (needs -e)",
	  .is_part = true,
	  .set = set_detail },
	{},
};

static const char *without(const void *config, unsigned int view)
{
	const struct exit_config *asked = config;

	return view == VIEW_DETAIL && !(asked && asked->detail) ? "is there with --detail" : NULL;
}

static bool with_detail(const struct attachment *at)
{
	return !without(at->config, VIEW_DETAIL);
}

/* SVM's reasons say which register or exception it was for. */
static bool is_vmx(void)
{
	return host__vendors() & VENDOR_VMX;
}

#define BOTH (VENDOR_VMX | VENDOR_SVM)

#define DETAILS_OF(_event, _name, _vendors, _gives, ...)                                         \
	{ #_event,	   HOOK_TRACEPOINT,	 #_event,    PROG(_name##_tracepoint), _vendors, \
	  .gives = _gives, .asked = with_detail, __VA_ARGS__ },                                  \
	{                                                                                        \
#_event, HOOK_RAW_TP, #_event, PROG(_name##_raw_tp), _vendors,                   \
			.asked = with_detail, __VA_ARGS__                                        \
	}

#define KVM_EXIT_TABLE .gives = "the table KVM_EXIT", .primary = true

static const struct hook hooks[] = {
	/* Preemptible context: classic tracepoints first, see enum hook_kind. */
	{ "kvm_run", HOOK_TRACEPOINT, "kvm_fpu", PROG(run_tracepoint),
	  .gives = "the end of user-space exits" },
	{ "kvm_run", HOOK_RAW_TP, "kvm_fpu", PROG(run_raw_tp) },
	{ "kvm_run", HOOK_TP_BTF, "kvm_fpu", PROG(run_tp_btf) },
	{ "kvm_run", HOOK_FENTRY, "kvm_arch_vcpu_ioctl_run", PROG(run_fentry) },
	{ "kvm_run", HOOK_KPROBE, "kvm_arch_vcpu_ioctl_run", PROG(run_kprobe) },

	{ "kvm_userspace_exit", HOOK_TRACEPOINT, "kvm_userspace_exit", PROG(leave_tracepoint),
	  .gives = "the table KVM_USERSPACE_EXIT", .primary = true },
	{ "kvm_userspace_exit", HOOK_RAW_TP, "kvm_userspace_exit", PROG(leave_raw_tp) },
	{ "kvm_userspace_exit", HOOK_TP_BTF, "kvm_userspace_exit", PROG(leave_tp_btf) },
	{ "kvm_userspace_exit", HOOK_FENTRY, "kvm_arch_vcpu_ioctl_run", PROG(leave_fexit) },

	/* Interrupts are off, or preemption is, where these fire: the cheapest first. */
	{ "sched_switch", HOOK_RAW_TP, "sched_switch", PROG(slow_switch_raw_tp),
	  .gives = "who had the CPU during slow exits", .asked = with_slow },
	{ "sched_switch", HOOK_TP_BTF, "sched_switch", PROG(slow_switch_tp_btf),
	  .asked = with_slow },
	{ "kvm_entry", HOOK_RAW_TP, "kvm_entry", PROG(entry_raw_tp_slow), BOTH,
	  .gives = "the times of the table KVM_EXIT", .asked = with_slow },
	{ "kvm_entry", HOOK_RAW_TP, "kvm_entry", PROG(entry_each), BOTH,
	  .gives = "the times of the table KVM_EXIT", .asked = without_slow,
	  .called_at = AT_EACH_ENTRY },
	{ "kvm_entry", HOOK_RAW_TP, "kvm_entry", PROG(entry_raw_tp), VENDOR_VMX | VENDOR_SVM,
	  .gives = "the times of the table KVM_EXIT", .asked = all_vms },
	{ "kvm_entry", HOOK_RAW_TP, "kvm_entry", PROG(entry_raw_tp_chosen), VENDOR_VMX | VENDOR_SVM,
	  .gives = "the times of the table KVM_EXIT" },
	{ "kvm_entry", HOOK_TP_BTF, "kvm_entry", PROG(entry_tp_btf), VENDOR_VMX | VENDOR_SVM },
	{ "kvm_entry", HOOK_FENTRY, "vmx_vcpu_run", PROG(entry_fentry_vmx), VENDOR_VMX },
	{ "kvm_entry", HOOK_FENTRY, "svm_vcpu_run", PROG(entry_fentry_svm), VENDOR_SVM },
	{ "kvm_entry", HOOK_KPROBE, "vmx_vcpu_run", PROG(entry_kprobe_vmx), VENDOR_VMX },
	{ "kvm_entry", HOOK_KPROBE, "svm_vcpu_run", PROG(entry_kprobe_svm), VENDOR_SVM },
	{ "kvm_entry", HOOK_TRACEPOINT, "kvm_entry", PROG(entry_tracepoint),
	  VENDOR_VMX | VENDOR_SVM },

	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_raw_tp_l2), BOTH, true, KVM_EXIT_TABLE,
	  .asked = with_l2 },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_raw_tp_l2_old), BOTH, .asked = with_l2 },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_each), BOTH, true, KVM_EXIT_TABLE,
	  .asked = without_l2, .called_at = AT_EACH_EXIT },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_raw_tp_vmx), VENDOR_VMX, true,
	  KVM_EXIT_TABLE, .applies = host__can_cast, .asked = all_exits },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_raw_tp_vmx_chosen), VENDOR_VMX, true,
	  KVM_EXIT_TABLE, .applies = host__can_cast, .asked = without_l2 },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_raw_tp_svm), VENDOR_SVM, true,
	  .applies = host__can_cast, .asked = all_exits },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_raw_tp_svm_chosen), VENDOR_SVM, true,
	  .applies = host__can_cast, .asked = without_l2 },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_raw_tp), VENDOR_VMX | VENDOR_SVM, true,
	  KVM_EXIT_TABLE, .asked = all_exits },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_raw_tp_chosen), VENDOR_VMX | VENDOR_SVM,
	  true, KVM_EXIT_TABLE, .asked = without_l2 },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_raw_tp_old), VENDOR_VMX | VENDOR_SVM,
	  .asked = without_l2 },
	{ "kvm_exit", HOOK_TP_BTF, "kvm_exit", PROG(exit_tp_btf), VENDOR_VMX | VENDOR_SVM, true,
	  KVM_EXIT_TABLE },
	{ "kvm_exit", HOOK_FENTRY, "vmx_vcpu_run", PROG(exit_fexit_vmx), VENDOR_VMX, true },
	{ "kvm_exit", HOOK_FENTRY, "svm_vcpu_run", PROG(exit_fexit_svm), VENDOR_SVM, true },
	{ "kvm_exit", HOOK_KPROBE, "vmx_vcpu_run", PROG(exit_kretprobe_vmx), VENDOR_VMX, true },
	{ "kvm_exit", HOOK_KPROBE, "svm_vcpu_run", PROG(exit_kretprobe_svm), VENDOR_SVM, true },
	{ "kvm_exit", HOOK_TRACEPOINT, "kvm_exit", PROG(exit_tracepoint), VENDOR_VMX | VENDOR_SVM },

	/* Preemptible context again. */
	DETAILS_OF(kvm_msr, msr, BOTH, "which MSRs"),
	DETAILS_OF(kvm_pio, pio, BOTH, "which ports"),
	DETAILS_OF(kvm_mmio, mmio, BOTH, "which MMIO addresses"),
	DETAILS_OF(kvm_fast_mmio, fast_mmio, BOTH, "which MMIO addresses of ioeventfds"),
	DETAILS_OF(kvm_cpuid, cpuid, BOTH, "which CPUID leaves"),
	DETAILS_OF(kvm_cr, cr, VENDOR_VMX, "which control registers", .applies = is_vmx),
	DETAILS_OF(kvm_hypercall, hypercall, BOTH, "which hypercalls"),
	DETAILS_OF(kvm_hv_hypercall, hv_hypercall, BOTH, "which hypercalls of Hyper-V guests"),
	DETAILS_OF(kvm_xen_hypercall, xen_hypercall, BOTH, "which hypercalls of Xen guests"),
	{ "kvm_xen_hypercall", HOOK_RAW_TP, "kvm_xen_hypercall", PROG(xen_hypercall_raw_tp_old),
	  BOTH, .asked = with_detail },
	{ "exception", HOOK_KPROBE, "handle_exception_nmi", PROG(exception_kprobe), VENDOR_VMX,
	  true, .gives = "which exceptions", .asked = with_detail, .applies = is_vmx },
	{ "exception", HOOK_FENTRY, "handle_exception_nmi", PROG(exception_fentry), VENDOR_VMX,
	  true, .asked = with_detail, .applies = is_vmx },
	{ "exception", HOOK_TRACEPOINT, "kvm_inj_exception", PROG(exception_tracepoint), VENDOR_VMX,
	  .asked = with_detail, .applies = is_vmx },
	{ "exception", HOOK_RAW_TP, "kvm_inj_exception", PROG(exception_raw_tp), VENDOR_VMX,
	  .asked = with_detail, .applies = is_vmx },
	{},
};

static int prepare(struct attachment *at, void *opened)
{
	struct vm_exit_bpf *skel = opened;

	size_t nr_slots = vcpus__max(at->env->vcpus) + 1;
	int err;

	map__set_offset(&skel->rodata->exit_reason_at, "kvm/kvm_exit", "exit_reason");
	map__set_offset(&skel->rodata->exit_isa_at, "kvm/kvm_exit", "isa");
	err = with_slow(at) ? bpf_map__set_max_entries(skel->maps.slow_states, nr_slots) : 0;
	skel->rodata->l2 = with_l2(at);
	if (!err && with_l2(at))
		err = records__add(&at->records, opened, L2_PER_SLOT);
	if (err || !with_detail(at))
		return err;
	map__set_offset(&skel->rodata->xen_nr_at, "kvm/kvm_xen_hypercall", "nr");
	skel->rodata->details = true;
	skel->rodata->max_extra = at->records.nr;
	err = records__add(&at->records, opened, DETAILS_PER_SLOT);
	skel->rodata->max_extra = (at->records.nr - skel->rodata->max_extra) / 2;
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.detail_states, nr_slots);
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.detail_index, at->records.nr);
	return err;
}

static int start(struct attachment *at)
{
	const struct vm_exit_bpf *skel = at->skel;
	struct exit_state_of *state = at->state;

	if (!with_detail(at))
		return 0;
	state->details = map__mmap(skel->maps.detail_states, &state->size);
	return state->details ? 0 : -errno;
}

static void stop(struct attachment *at)
{
	const struct exit_state_of *state = at->state;

	if (state->details)
		munmap(state->details, state->size);
}

/* Variables of the programs, beside their states. */
static struct vm_exit_bpf__bss *variables(const struct attachment *at)
{
	return at->records.variables;
}

static unsigned int isa_of(const struct exit_key *key)
{
	return key->kind & ~EXIT_OF_L2;
}

static bool is_halt(const struct exit_key *key)
{
	return key->kind == EXIT_TO_USER ? key->code == KVM_EXIT_HLT :
					   exit_reason__is_halt(isa_of(key), key->code);
}

static const char *reason_name(const struct exit_key *key, char *buf, size_t size)
{
	if (key->code == EXIT_OTHER)
		return OTHERS;
	if (key->kind != EXIT_TO_USER)
		return exit_reason__name(isa_of(key), key->code, buf, size);
	if (key->code & EXIT_ERRNO) {
		const char *name = strerrorname_np(key->code & ~EXIT_ERRNO);

		snprintf(buf, size, "ERROR(%s)", name ? name : "?");
		return buf;
	}
	return userspace_reason__name(key->code, buf, size);
}

static const char *reason_class(const struct exit_key *key)
{
	const char *class = NULL;

	if (key->code == EXIT_OTHER)
		return "other";
	if (key->kind != EXIT_TO_USER)
		class = exit_reason__class(isa_of(key), key->code);
	else if (key->code == (EXIT_ERRNO | EINTR))
		class = userspace_reason__class(KVM_EXIT_INTR);
	else if (key->code & EXIT_ERRNO)
		class = "error";
	else
		class = userspace_reason__class(key->code);
	return class ? class : "other";
}

static void label_detail(const struct exit_key *key, uint32_t type, uint64_t value,
			 struct exit_row *row)
{
	if (!type)
		exit_detail__of_reason(isa_of(key), key->code, &type, &value);
	row->detail = exit_detail__name(type, value, row->detail_text, sizeof(row->detail_text));
	row->detail_kind = exit_detail__kind(type);
	row->write = BOOL_ABSENT;
	row->number = value;
	row->more = type >> DETAIL_MORE;
	switch (type & DETAIL_KIND) {
	case DETAIL_CPUID:
		row->number = (uint32_t)value;
		row->more = value >> 32;
		break;
	case DETAIL_PIO:
		row->write = !!(type & DETAIL_WRITE);
		break;
	case DETAIL_MSR:
	case DETAIL_MMIO:
	case DETAIL_CR:
	case DETAIL_DR:
		row->write = !!(type & DETAIL_WRITE);
		row->more = UINT32_MAX;
		break;
	case DETAIL_NONE:
	case DETAIL_OTHERS:
		row->number = UINT64_MAX;
		row->more = UINT32_MAX;
		break;
	default:
		row->more = UINT32_MAX;
	}
}

static void label_reason(const struct attachment *at, const struct exit_key *key,
			 struct exit_row *row)
{
	row->kind = key->kind == EXIT_TO_USER ? "userspace" : "kvm";
	row->reason = reason_name(key, row->text, sizeof(row->text));
	row->whose = row->reason;
	if (key->kind & EXIT_OF_L2) {
		snprintf(row->whose_text, sizeof(row->whose_text), "L2:%s", row->reason);
		row->whose = row->whose_text;
	}
	row->l2 = key->kind == EXIT_TO_USER || !with_l2(at) ? BOOL_ABSENT :
							      !!(key->kind & EXIT_OF_L2);
	row->class = reason_class(key);
	row->reason_code = key->code == EXIT_OTHER ? UINT64_MAX : key->code;
}

static int label(struct attachment *at, uint32_t index, struct row *to)
{
	const struct exit_record *record = records__get(&at->records, index);
	const struct exit_key *key = &record->key;
	struct exit_row *row = (struct exit_row *)to;

	label_reason(at, key, row);
	row->halt = key->code == EXIT_OTHER ? BOOL_ABSENT : is_halt(key);
	label_detail(key, record->detail.type, record->detail.value, row);
	return key->kind == EXIT_TO_USER ? VIEW_USER : VIEW_KVM;
}

/* Every exit to KVM has a detail, if only "(none)"; but a reason may have no exit without one. */
static int also(const struct attachment *at, uint32_t index, const struct row *row)
{
	const struct exit_record *record = records__get(&at->records, index);

	return with_detail(at) && record->key.kind != EXIT_TO_USER &&
			       ((const struct exit_row *)row)->count ?
		       VIEW_DETAIL :
		       -ENOENT;
}

/*
 * Exits up to a moment are what they are now, and programs leave those alone: others may get a
 * detail yet, and until then count nowhere. The moment is a while ago, as events take some time
 * to come; at the begin it is the begin.
 */
static uint64_t decide(const struct attachment *at)
{
	enum { DETAIL_COMES_NS = 1000000 };
	volatile uint64_t *decided = (volatile uint64_t *)&variables(at)->decided_ns;
	uint64_t until = at->begins ? at->now_ns : at->now_ns - DETAIL_COMES_NS;

	if (until > *decided)
		__atomic_store_n(decided, until, __ATOMIC_SEQ_CST);
	return *decided;
}

/* The begin of this record's exit that is not over; 0: there is none. */
static uint64_t begin_of_open(const struct exit_state *state, uint32_t index)
{
	uint64_t left_ns;

	/* In this order: the programs write both before they say that there is an exit. */
	if ((__atomic_load_n(&state->vcpu, __ATOMIC_ACQUIRE) & EXITED) &&
	    __atomic_load_n(&state->record, __ATOMIC_ACQUIRE) == index)
		return __atomic_load_n(&state->exit_ns, __ATOMIC_RELAXED);
	left_ns = __atomic_load_n(&state->left_ns, __ATOMIC_ACQUIRE);
	return __atomic_load_n(&state->left_record, __ATOMIC_ACQUIRE) == index ? left_ns : 0;
}

/* Its end is seen, and will come. */
static bool will_end(const struct attachment *at, const struct exit_key *key)
{
	const struct vcpu_ref *ref = vcpus__get(at->env->vcpus, key->slot);

	return ref && !ref->ended &&
	       attach__has(at, key->kind == EXIT_TO_USER ? "kvm_run" : "kvm_entry");
}

static void sample(struct attachment *at, uint32_t index, struct row *to)
{
	struct exit_record *record = records__get(&at->records, index);
	const struct exit_state *state = records__state(&at->records, record->key.slot);
	struct exit_row *row = (struct exit_row *)to;
	uint64_t begin, total, decided = with_detail(at) ? decide(at) : 0;

	records__times(at, index, &row->time, &record->stat);
	row->count = row->time.count + __atomic_load_n(&record->untimed, __ATOMIC_RELAXED);
	total = row->time.total_ns;
	/* Last: an exit that ends meanwhile then is missing from both, and never in both. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	begin = begin_of_open(state, index);
	if (decided && begin > decided && record->key.kind != EXIT_TO_USER &&
	    !record->detail.type && will_end(at, &record->key))
		begin = 0;
	row->to_vmm = __atomic_load_n(&record->to_vmm, __ATOMIC_RELAXED);
	row->count += !!begin;
	row->open = begin && will_end(at, &record->key);
	if (row->open && at->now_ns > begin)
		total += at->now_ns - begin;
	row->total_ns = records__passed(at, index, total);
}

/* Its vCPU has ended: what its details were, another one's at that slot are not. */
static void forget(struct attachment *at, uint32_t index)
{
	const struct vm_exit_bpf *skel = at->skel;
	const struct exit_record *record = records__get(&at->records, index);
	const struct exit_state_of *state = at->state;

	if (!state->details)
		return;
	memset(&state->details[record->key.slot], 0, sizeof(*state->details));
	if (!record->detail.type)
		return;
	map__forget(skel->maps.detail_index, &record->detail, index);
	if (record->in_use == EXTRA)
		__atomic_sub_fetch(&variables(at)->nr_extra, 1, __ATOMIC_SEQ_CST);
}

static const struct record_kind records = {
	.records = MAP(exit_records),
	.record_size = sizeof(struct exit_record),
	.per_slot = 16,
	.index = MAP(exit_index),
	.free_records = MAP(free_records),
	.shares = MAP(exit_shares),
	.key_at = offsetof(struct exit_record, key),
	.slot_at = offsetof(struct exit_record, key.slot),
	.states = MAP(bss),
	.states_at = offsetof(struct vm_exit_bpf__bss, exit_states),
	.state_size = sizeof(struct exit_state),
	.begins_in_state = { offsetof(struct exit_state, exit_ns),
			     offsetof(struct exit_state, left_ns) },
	.in_use_at = offsetof(struct exit_record, in_use),
	.label = label,
	.also = also,
	.sample = sample,
	.forget = forget,
};

static bool shows(const struct attachment *at, unsigned int view, enum scope scope)
{
	(void)scope;
	return !without(at->config, view) &&
	       attach__has(at, view == VIEW_USER ? "kvm_userspace_exit" : "kvm_exit");
}

static void finish(struct attachment *at, const struct sample *sample, const struct window *window)
{
	struct exit_row *row = (struct exit_row *)sample->row;
	uint64_t span = window->now_ns - window->since_ns, wall = span * sample->nr_vcpus;

	(void)at;
	/* Of several rows, each is exact to the time that a look takes. */
	row->share = row->halt == true || !wall ? NAN : fmin(100, 100.0 * row->total_ns / wall);
	row->per_s = span ? row->count * 1e9 / span : NAN;
}

/* Halts would drown the rest in it. */
static bool in_sum(const struct row *row)
{
	return ((const struct exit_row *)row)->halt != true;
}

static const struct row_sum sum = {
	.label = "(all but halts)",
	.label_at = offsetof(struct exit_row, whose),
	.has = in_sum,
};

static void event(struct attachment *at, const void *data, size_t size)
{
	const struct slow_event *event = data;
	struct exit_row row = {};
	const struct vcpu_ref *ref;

	if (size < sizeof(*event))
		return;
	ref = vcpus__get_new(at->env->vcpus, event->head.slot);
	if (!ref || !ref->chosen)
		return;
	vcpu_ref__row(ref, event->head.ts_ns, &row.row);
	label_reason(at, &event->key, &row);
	label_detail(&event->key, event->type, event->value, &row);
	/* A look may have moved the begin of what is open; what user space took it has taken. */
	row.time_ns = event->ns;
	row.vmm_ns = row.kvm_ns = UINT64_MAX;
	if (attach__has(at, "kvm_run") && attach__has(at, "kvm_userspace_exit")) {
		row.vmm_ns = event->vmm_ns < event->ns ? event->vmm_ns : event->ns;
		row.kvm_ns = event->ns - row.vmm_ns;
	}
	row.off_ns = !attach__has(at, "sched_switch") ? UINT64_MAX :
		     event->off_ns < event->ns	      ? event->off_ns :
							event->ns;
	row.by = event->by && memchr(event->by_comm, '\0', sizeof(event->by_comm)) ?
			 event->by_comm :
			 NULL;
	row.by_pid = event->by ?: UINT32_MAX;
	row.cpu = event->cpu;
	row.rip = event->rip;
	row.comm = event->head.comm;
	events__row(at, &row.row);
}

/* Halts are apart: their time is the guest's own, and would drown the rest. */
#define TO(_name, _at) LABEL(struct exit_row, _name, _at)
#define EXIT_LABELS .labels = { TO("to", kind), TO("reason", reason), TO("halt", halt) }

static const struct metric metrics[] = {
	METRIC(struct exit_row, COUNTER, "kvm_exits", count, .views = OF_REASONS, EXIT_LABELS,
	       .help = "Exits of guests, by who handled them and why."),
	METRIC(struct exit_row, COUNTER, "kvm_exit_handling_seconds", total_ns, .views = OF_REASONS,
	       EXIT_LABELS,
	       .help = "Time from exits to entries, or in the VMM; includes exits in progress."),
	METRIC(struct exit_row, HISTOGRAM, "kvm_exit_duration_seconds", time, .views = OF_REASONS,
	       .labels = { TO("to", kind), TO("halt", halt) },
	       .help = "Duration of finished exits."),
	{},
};

const struct monitor vm_exit_monitor = {
	.name = "vm_exit",
	.key = 'e',
	.help = "VM exits, to KVM and to user space",
	.options = options,
	.config_size = sizeof(struct exit_config),
	.archs = ARCH_X86,
	.views = views,
	.columns = columns,
	.metrics = metrics,
	.row_size = sizeof(struct exit_row),
	.state_size = sizeof(struct exit_state_of),
	.hooks = hooks,
	.open_skeleton = open_skeleton,
	.records = &records,
	.prepare = prepare,
	.start = start,
	.stop = stop,
	.without = without,
	.shows = shows,
	.finish = finish,
	.sum = &sum,
	.event = event,
	.slow_view = VIEW_SLOW,
	.event_ns_at = offsetof(struct exit_row, time_ns),
	.only_slow = true,
};
