// SPDX-License-Identifier: GPL-2.0-only
/* -e: VM exits, to KVM and to user space. The kernel half is vm_exit.bpf.c. */
#include "vm_exit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/kvm.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../compat/host.h"
#include "../core/attach.h"
#include "../core/filter.h"
#include "../core/map.h"
#include "../core/monitor.h"
#include "../core/records.h"
#include "../core/samples.h"
#include "../core/times.h"
#include "../core/vcpus.h"
#include "../core/window.h"
#include "../decode/exit_reasons.h"
#include "vm_exit.skel.h"

DEFINE_OPEN_SKELETON(vm_exit_bpf)

#define MAP(_name) offsetof(struct vm_exit_bpf, maps._name)
#define PROG(_name) offsetof(struct vm_exit_bpf, progs._name)

enum { REASON_LEN = 48 };
enum { VIEW_KVM, VIEW_USER };

struct exit_row {
	struct row row;
	const char *kind;
	const char *class;
	const char *reason;
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
	char text[REASON_LEN];
};

static const struct view views[] = {
	[VIEW_KVM] = { .title = "KVM_EXIT",
		       .name = "KVM_EXIT",
		       .per_vcpu = true,
		       SAMPLES_OF(VIEW_KVM) },
	[VIEW_USER] = { .title = "KVM_USERSPACE_EXIT",
			.name = "KVM_USERSPACE_EXIT",
			.per_vcpu = true,
			SAMPLES_OF(VIEW_USER) },
	{},
};

#define COL(...) COLUMN(struct exit_row, __VA_ARGS__)
#define TIME(what) OF_TIMES(struct exit_row, time, what)

static const struct column columns[] = {
	COL(kind, NULL, COL_STRING, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .help = "kvm: handled in KVM or beyond; userspace: what the VMM took"),
	COL(time, "EXITS", COL_TIMES, ROLE_COUNTER, .help = "from exit to entry"),
	COL(total_ns, "TOTAL_TIME", COL_NSEC, ROLE_COUNTER, .flags = COL_COST,
	    .help = "kvm: from kvm_exit to the next kvm_entry; userspace: until KVM_RUN again; "
		    "of those that are not over, up to now"),
	COL(max_ns, "MAX_TIME", COL_NSEC, ROLE_GAUGE, .drop = DROP_THIRD, TIME(MAX),
	    .help = "longest"),
	COL(min_ns, "MIN_TIME", COL_NSEC, ROLE_GAUGE, .drop = DROP_FIRST, TIME(MIN),
	    .help = "shortest"),
	COL(count, "COUNT", COL_U64, ROLE_COUNTER, .help = "exits"),
	COL(open, "OPEN", COL_U32, ROLE_GAUGE, .merge = MERGE_SUM,
	    .help = "of them, or of those before: not over at the end of the interval"),
	COL(share, "SHARE%", COL_PERCENT, ROLE_GAUGE, .flags = COL_TABLE_ONLY | COL_COMPUTED,
	    .help = "of the wall time of the vCPU, or of all of them; halts have none"),
	COL(avg_ns, "AVG", COL_NSEC, ROLE_GAUGE, TIME(MEAN), .flags = COL_TABLE_ONLY,
	    .help = "mean"),
	COL(p50_ns, "P50", COL_NSEC, ROLE_GAUGE, TIME(P50), .help = "median, within 12.5 %"),
	COL(p90_ns, NULL, COL_NSEC, ROLE_GAUGE, TIME(P90), .flags = COL_DATA_ONLY,
	    .help = "90th percentile, within 12.5 %"),
	COL(p99_ns, "P99", COL_NSEC, ROLE_GAUGE, TIME(P99),
	    .help = "99th percentile, within 12.5 %"),
	COL(reason, "REASON", COL_STRING, ROLE_LABEL, .flags = COL_WORD,
	    .help = "as the kernel spells it"),
	COL(reason_code, NULL, COL_U64, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .help = "the number behind it"),
	COL(halt, NULL, COL_BOOL, ROLE_LABEL, .flags = COL_KEY_ONLY,
	    .help = "the vCPU had nothing to do"),
	COL(class, NULL, COL_STRING, ROLE_LABEL, .flags = COL_DATA_ONLY,
	    .help = "what kind of thing it was for, in one word for all vendors"),
	{},
};

/* Without -p the programs that run most do not even look whether there is one. */
static bool all_vms(const struct attachment *at)
{
	return !at->env->filter->pid;
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

	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_raw_tp_vmx), VENDOR_VMX, true,
	  KVM_EXIT_TABLE, .applies = host__can_cast, .asked = all_vms },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_raw_tp_vmx_chosen), VENDOR_VMX, true,
	  KVM_EXIT_TABLE, .applies = host__can_cast },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_raw_tp_svm), VENDOR_SVM, true,
	  .applies = host__can_cast, .asked = all_vms },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_raw_tp_svm_chosen), VENDOR_SVM, true,
	  .applies = host__can_cast },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_raw_tp), VENDOR_VMX | VENDOR_SVM, true,
	  KVM_EXIT_TABLE, .asked = all_vms },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_raw_tp_chosen), VENDOR_VMX | VENDOR_SVM,
	  true, KVM_EXIT_TABLE },
	{ "kvm_exit", HOOK_RAW_TP, "kvm_exit", PROG(exit_raw_tp_old), VENDOR_VMX | VENDOR_SVM },
	{ "kvm_exit", HOOK_TP_BTF, "kvm_exit", PROG(exit_tp_btf), VENDOR_VMX | VENDOR_SVM, true },
	{ "kvm_exit", HOOK_FENTRY, "vmx_vcpu_run", PROG(exit_fexit_vmx), VENDOR_VMX, true },
	{ "kvm_exit", HOOK_FENTRY, "svm_vcpu_run", PROG(exit_fexit_svm), VENDOR_SVM, true },
	{ "kvm_exit", HOOK_KPROBE, "vmx_vcpu_run", PROG(exit_kretprobe_vmx), VENDOR_VMX, true },
	{ "kvm_exit", HOOK_KPROBE, "svm_vcpu_run", PROG(exit_kretprobe_svm), VENDOR_SVM, true },
	{ "kvm_exit", HOOK_TRACEPOINT, "kvm_exit", PROG(exit_tracepoint), VENDOR_VMX | VENDOR_SVM },
	{},
};

static int prepare(struct attachment *at, void *opened)
{
	struct vm_exit_bpf *skel = opened;

	(void)at;
	map__set_offset(&skel->rodata->exit_reason_at, "kvm/kvm_exit", "exit_reason");
	map__set_offset(&skel->rodata->exit_isa_at, "kvm/kvm_exit", "isa");
	return 0;
}

static bool is_halt(const struct exit_key *key)
{
	return key->kind == EXIT_TO_USER ? key->code == KVM_EXIT_HLT :
					   exit_reason__is_halt(key->kind, key->code);
}

static const char *reason_name(const struct exit_key *key, char *buf, size_t size)
{
	if (key->code == EXIT_OTHER)
		return OTHERS;
	if (key->kind != EXIT_TO_USER)
		return exit_reason__name(key->kind, key->code, buf, size);
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
		class = exit_reason__class(key->kind, key->code);
	else if (key->code == (EXIT_ERRNO | EINTR))
		class = userspace_reason__class(KVM_EXIT_INTR);
	else if (key->code & EXIT_ERRNO)
		class = "error";
	else
		class = userspace_reason__class(key->code);
	return class ? class : "other";
}

static int label(struct attachment *at, uint32_t index, struct row *to)
{
	const struct exit_record *record = records__get(&at->records, index);
	const struct exit_key *key = &record->key;
	struct exit_row *row = (struct exit_row *)to;

	row->kind = key->kind == EXIT_TO_USER ? "userspace" : "kvm";
	row->reason = reason_name(key, row->text, sizeof(row->text));
	row->class = reason_class(key);
	row->reason_code = key->code == EXIT_OTHER ? UINT64_MAX : key->code;
	row->halt = key->code == EXIT_OTHER ? BOOL_ABSENT : is_halt(key);
	return key->kind == EXIT_TO_USER ? VIEW_USER : VIEW_KVM;
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
	uint64_t begin, total;

	times__read(&row->time, &record->stat, at->ended_epoch);
	row->count = row->time.count + __atomic_load_n(&record->untimed, __ATOMIC_RELAXED);
	total = row->time.total_ns;
	/* Last: an exit that ends meanwhile then is missing from both, and never in both. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	begin = begin_of_open(state, index);
	row->count += !!begin;
	row->open = begin && will_end(at, &record->key);
	if (row->open && at->now_ns > begin)
		total += at->now_ns - begin;
	row->total_ns = records__passed(at, index, total);
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
	.sample = sample,
};

static bool shows(const struct attachment *at, unsigned int view, enum scope scope)
{
	(void)scope;
	return attach__has(at, view == VIEW_KVM ? "kvm_exit" : "kvm_userspace_exit");
}

static void finish(struct attachment *at, const struct sample *sample, const struct window *window)
{
	struct exit_row *row = (struct exit_row *)sample->row;
	uint64_t wall = (window->now_ns - window->since_ns) * sample->nr_vcpus;

	(void)at;
	/* Of several rows, each is exact to the time that a look takes. */
	row->share = row->halt == true || !wall ? NAN : fmin(100, 100.0 * row->total_ns / wall);
}

/* Halts would drown the rest in it. */
static bool in_sum(const struct row *row)
{
	return ((const struct exit_row *)row)->halt != true;
}

static const struct row_sum sum = {
	.label = "(all but halts)",
	.label_at = offsetof(struct exit_row, reason),
	.has = in_sum,
};

const struct monitor vm_exit_monitor = {
	.name = "vm_exit",
	.key = 'e',
	.help = "VM exits, to KVM and to user space",
	.archs = ARCH_X86,
	.views = views,
	.columns = columns,
	.row_size = sizeof(struct exit_row),
	.hooks = hooks,
	.open_skeleton = open_skeleton,
	.records = &records,
	.prepare = prepare,
	.shows = shows,
	.finish = finish,
	.sum = &sum,
};
