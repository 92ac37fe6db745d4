# SPDX-License-Identifier: GPL-2.0-only
# -T is exact: N one-shot and TSC-deadline timers, N periods, and N timers that are armed anew before they fire are N,
# per vCPU and mode; starts are what tracefs counts; how late timers fire is known of each.
# Functions are called by way of together.
# shellcheck disable=SC2317
. "$(dirname "$0")/lib.sh"

# Other VMs may run on this host: theirs are none of ours.
ask_defs='def all: ($guest | map(.pid // empty) | unique) as $pids | $watch | map(select(.monitor == "kvm_timer" and
	(.pid as $pid | any($pids[]; . == $pid))));
def totals: all | map(select(.scope == "total"));
def of(m): totals | map(select(.mode == m)) | group_by(.tid) | map({
	count: (map(.count) | add), fired: (map(.fired) | add), never: (map(.never_fired) | add),
	hv: any(.hv), late: (map(.late_count) | add)});
def functions: $watch[-1].hooks | any(.state != "missing" and .need == "apic_timer_expired" and (.hook | test("kprobe|fentry")));
def seen_firing: functions or (totals | all(.hv | not));'

why=$(missing kvm_timer kvm_hv_timer_state)
if test -n "$why"; then
	skip "everything" "$why"
	done_testing
fi

# exact LABEL GUEST_OPTIONS -- WATCH_OPTIONS: a run, to be asked about; false when the kernel
# skipped programs in it
exact()
{
	label=$1 options=$2
	shift 3
	if ! watch -T "$@"; then
		fail "$label: kvm_watcher starts"
		return 1
	fi
	# shellcheck disable=SC2086
	holds "$label: the generator does what it says" guest $options
	watch_end && pass "$label: exit status 0" || fail "$label: exit status 0" "$watch_status"
	# The functions are called with and without preemption: no kind of hook is free of it.
	preempted "$label: every timer" --hooks=any && return 1
	ask_lost "$label: nothing lost" '{}' 'lost | map_values(select(. != 0))'
}

# waited MODE N: of each of two vCPUs N timers that the guest waited for
waited()
{
	ask "$label: $1: armed" "[$2,$2]" "of(\"$1\") | map(.count)"
	# Without functions an expiry may be missed on a busy host, and its timer then has never fired; nor does
	# the kernel run a classic tracepoint's program in an interrupt of another one.
	ask "$label: $1: fired" "[[$2,0],[$2,0]]" "of(\"$1\") | map(if functions then [.fired, .never]
		elif (seen_firing | not) or (.fired + .never == $2 and .fired > 0) then [$2, 0] else [.fired, .never] end)"
	test "$1" = TSCDEADLINE ||
		ask "$label: $1: how late is known of each" "[$2,$2]" "of(\"$1\") | map(if functions then .late elif seen_firing and .late != .fired then .late else $2 end)"
}

latency()
{
	ask_true "$label: percentiles" 'totals | length > 0 and all(if .late_count > 0 then .late_p50_ns <= .late_p99_ns and
		.late_p99_ns <= .late_max_ns and .late_mean_ns <= .late_max_ns else .late_p50_ns == null end)'
	# VMX alone has a timer that the CPU counts down.
	test "$(vendor)" = vmx || ask "$label: all by hrtimers" '[false]' 'totals | map(.hv) | unique'
}

timers()
{
	# 10 ms: one that expires while it is started, as its thread lost the CPU, is no hrtimer's expiry.
	hist_begin kvm_hv_timer_state hv_timer_in_use
	exact "2 vCPUs" "--vcpus=2 timer_oneshot=12:10000 timer_tsc=15:10000" --
	waited ONESHOT 12
	waited TSCDEADLINE 15
	latency
	if test "$(vendor)" = vmx; then
		hist_end >/dev/null
		ask_true "2 vCPUs: hv timers" 'totals | any(.hv and .count > 0)'
		ask_true "2 vCPUs: none by an hrtimer but those that a halt switched" 'totals | map(select(.hv | not)) |
			all(.count == 0 and .restarted == .switched)'
		skip "2 vCPUs: as tracefs counts" "after each halt the event also tells of timers that there are none of"
	elif test -n "$hist_refused"; then
		skip "2 vCPUs: as tracefs counts" "$hist_refused"
		skip "2 vCPUs: hv timers" "only VMX has a preemption timer; this is $(vendor)"
	else
		ask "2 vCPUs: as tracefs counts" "\"$(hist_end)\"" '"0 \(totals | map(.count + .restarted) | add)"'
		skip "2 vCPUs: hv timers" "only VMX has a preemption timer; this is $(vendor)"
	fi
	answers

	exact "periodic" "--vcpus=2 timer_periodic=6" --
	ask_true "periodic: each period fires" '($guest | map(select(.what == "vcpu") | .irqs_taken)) as $taken | of("PERIODIC") |
		length == 2 and all(if functions then .fired >= 6 and .late == .fired else true end) and ($taken | all(. >= 6))'
	ask "periodic: an hrtimer is started once, the CPU's timer for each period" '[0,0]' 'totals | group_by(.tid) |
		map(if any(.hv) then 0 else (map(.count) | add) - 1 end)'
	latency
	answers

	exact "dropped" "timer_dropped=9" --
	ask "dropped: armed and never fired" '[[9,0,9]]' 'of("ONESHOT") | map([.count, .fired, if seen_firing then .never else 9 end])'
	answers
}

together timers -T

# by_another KIND KINDS: why no expiries are seen by this kind, but at most by another one of these
by_another()
{
	by_another_why=$(needs kvm_timer "$2" | jq -r --arg k "$1/" 'map(select(.need | test("expire"))) |
		if any(.state != "missing" and (.hook | startswith($k))) then "" else map(.why | select(. != "")) | join("; ") end')
	test -n "$by_another_why" && echo "$by_another_why"
}

if planned kinds; then
	for kind in kprobe fentry raw_tp tp_btf tracepoint; do
		case $kind in
		kprobe | fentry) all=$kind,raw_tp,iter ;;
		*) all=$kind,iter ;;
		esac
		if why=$(lacks kvm_timer "$all" '^kvm') || why=$(by_another "$kind" "$all"); then
			skip "--hooks=$all" "$why"
		elif exact "--hooks=$all" "--vcpus=2 timer_oneshot=12:10000 timer_tsc=15:10000" -- "--hooks=$all"; then
			waited ONESHOT 12
			waited TSCDEADLINE 15
			latency
			answers
		fi
	done
	part_ends
fi

if planned vcpu; then
	exact "--vcpu=1, with others" "--vcpus=2 timer_oneshot=12" -- --vcpu=1 -i -c -e
	ask "--vcpu=1: only that one" '[1]' 'all | map(.vcpu) | unique'
	answers
fi
done_testing
