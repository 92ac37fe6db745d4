# SPDX-License-Identifier: GPL-2.0-only
# -i is exact: N interrupts that a guest takes by its IOAPIC, by IPIs and by its timer, and ends with N EOIs, are N
# per vCPU and vector; each injection is one event, and all of them are what KVM and tracefs count. Interrupts that an
# exit broke off are injected again, and said to be; KVM_INTERRUPT, software interrupts, posted and merged ones.
# Functions are called by way of together.
# shellcheck disable=SC2317
. "$(dirname "$0")/lib.sh"

# Other VMs may run on this host: theirs are none of ours.
ask_defs='def all: ($guest | map(.pid // empty) | unique) as $pids | $watch | map(select(.monitor == "irq_inject" and
	(.pid as $pid | any($pids[]; . == $pid))));
def totals(v): all | map(select(.scope == "total" and .vector == v)) | sort_by(.vcpu);
def injected: all | map(select(.scope == "event"));
def by_kvm: $guest | map(select(.what == "vm") | .stats.irq_injections) | add;
def by_function: $watch[-1].hooks | any(.need == "kvm_apic_accept_irq" and (.hook | test("kprobe|fentry")));
def unknown: if by_function then 0 else lost.thread_unknown end;
def stage(n): if ."\(n)_count" > 0 then
	."\(n)_min_ns" <= ."\(n)_p50_ns" and ."\(n)_p50_ns" <= ."\(n)_p99_ns" and ."\(n)_p99_ns" <= ."\(n)_max_ns" and
	."\(n)_min_ns" <= ."\(n)_mean_ns" and ."\(n)_mean_ns" <= ."\(n)_max_ns"
	else ."\(n)_p50_ns" == null and ."\(n)_max_ns" == null end;'

no_raise=$(missing irq_inject kvm_apic_accept_irq)
no_inject=$(missing irq_inject kvm_inj_virq)
if test -n "$no_raise"; then
	skip "everything" "$no_raise"
	done_testing
fi

# exact LABEL GUEST_OPTIONS -- WATCH_OPTIONS: a run, to be asked about; false when the kernel
# skipped programs in it
exact()
{
	label=$1 options=$2 may_lose=0
	test "$label" = pending && may_lose=unknown
	shift 3
	if ! watch -i "$@"; then
		fail "$label: kvm_watcher starts"
		return 1
	fi
	# shellcheck disable=SC2086
	holds "$label: the generator does what it says" guest $options
	watch_end && pass "$label: exit status 0" || fail "$label: exit status 0" "$watch_status"
	# The functions are called with and without preemption: no kind of hook is free of it.
	preempted "$label: every interrupt" --hooks=any && return 1
	ask_lost "$label: nothing lost" '{}' "lost | .thread_unknown -= $may_lose | map_values(select(. != 0))"
}

# taken NAME VECTOR N: of each of two vCPUs, and through all stages
taken()
{
	ask "$label: $1: raised, EOIs" "[[$3,0,$3],[$3,0,$3]]" "totals($2) | map([.raised, .merged, .eois])"
	ask "$label: $1: each timed to its EOI" "[$3,$3]" "totals($2) | map(.eoi_count + .posted - .posted)"
	test -n "$no_inject" ||
		ask_true "$label: $1: injected, each timed, unless the CPU does it" "totals($2) | length == 2 and
			all(if .posted > 0 then .posted == .raised and .hidden != null
			    else .count - .reinjections == $3 and .inject_count == $3 and .hidden == null end)"
}

# injections: events and totals against each other and against KVM's count
injections()
{
	test -n "$no_inject" && return
	ask "$label: all injections, by KVM's own count" "by_kvm" 'all | map(select(.scope == "total") | .count) | add // 0'
	ask "$label: an event each" "by_kvm" 'injected | length'
	ask_true "$label: INJECTIONS of each" 'injected | group_by(.tid) | all(map(.injections) == [range(1; length + 1)])'
	ask_true "$label: again, in events and totals" '(injected | map(select(.reinjected)) | length) ==
		(all | map(select(.scope == "total") | .reinjections) | add // 0)'
	ask_true "$label: DELAY of each first injection" 'injected | map(select(.type == "IRQ" and .reinjected == false)) |
		all(.delay_ns > 0)'
	ask_true "$label: percentiles" 'all | map(select(.scope == "total")) | all(stage("inject") and stage("eoi"))'
}

all_kinds="ipi=20 ioapic_irq=40 timer_oneshot=5"
injected_ones()
{
	if test -z "$no_inject" && ! hist_begin kvm_inj_virq vector && ! hist_begin kvm_inj_virq irq; then
		hist_event=
	fi
	exact "2 vCPUs" "--vcpus=2 $all_kinds" --
	taken "IOAPIC" 85 40
	taken "IPIs" 96 20
	taken "timer" 97 5
	injections
	if test -z "$no_inject" && test -n "$hist_event"; then
		ask "2 vCPUs: by vector, as tracefs counts" "\"$(hist_end | tr '\n' ' ')\"" 'injected | group_by(.vector) |
			map("\(.[0].vector) \(length) ") | join("")'
	fi
	answers

	if test -n "$no_inject"; then
		skip "KVM_INTERRUPT, software interrupts" "$no_inject"
	else
		exact "KVM_INTERRUPT" "interrupt=30" --
		injections
		ask "KVM_INTERRUPT: no APIC raises or ends it" '[[0,0,"EOI"]]' 'totals(86) | map([.raised, .eois, .hidden])'
		ask "KVM_INTERRUPT: its events" '[["IRQ",86,null]]' 'injected | map([.type, .vector, .delay_ns]) | unique'
		answers
		exact "INT n" "int_n=9" --
		injections
		ask_true "INT n: what is injected is soft" 'injected | all(.type == "Soft/INTn" and .vector == 87 and .delay_ns == null)'
		answers
		test "$(vendor)" = vmx && ask "INT n: at least one" true 'injected | length > 0' && answers
	fi
}

together injected_ones -i

# Of a guest that has interrupts off.
exact "pending" "intr_user=1 msi=1 irqfd=3" --
ask "pending: raised twice, by an ioctl" '[[2,1,0,0]]' 'totals(81) | map([.raised, .merged, .count, .eois])'
# A tracepoint does not tell the VM, and the other process works for none.
ask "pending: raised twice by an ioctl, thrice by another process" \
	'if by_function then [[5,4,0,0]] else [[2,1,0,0], 3] end' \
	'totals(82) | map([.raised, .merged, .count, .eois]) + if by_function then [] else [unknown] end'
answers

if planned kinds; then
	for kind in kprobe fentry tracepoint raw_tp tp_btf; do
		case $kind in
		kprobe | fentry) all=$kind,tracepoint,iter ;;
		*) all=$kind,iter ;;
		esac
		if why=$(lacks irq_inject "$all" '^kvm_(apic_accept_irq|eoi)$'); then
			skip "--hooks=$all" "$why"
		elif why=$(lacks irq_inject "$kind" '^kvm_apic_accept_irq$'); then
			skip "--hooks=$all" "$why"
		elif exact "--hooks=$all" "--vcpus=2 $all_kinds" -- "--hooks=$all"; then
			taken "IOAPIC" 85 40
			taken "IPIs" 96 20
			injections
			answers
		fi
	done
	part_ends
fi

if planned vcpu; then
	exact "--vcpu=1" "--vcpus=2 $all_kinds" -- --vcpu=1 -e --events
	ask "--vcpu=1: only that one" '[1]' 'all | map(.vcpu) | unique'
	answers
fi
done_testing
