# SPDX-License-Identifier: GPL-2.0-only
# -n and -w are exact: what they say of halts and of halt-polling is what KVM
# counted itself, and halts of a known length have that length.
# Functions are called by way of together.
# shellcheck disable=SC2317
. "$(dirname "$0")/lib.sh"

# Of the generator's VMs, there may be others on this host: mine(MONITOR; SCOPE) are its rows,
# total(MONITOR; f) a sum over all vCPUs, event(MONITOR; f) how many; kvm(NAME) is KVM's counter.
ask_defs='def mine(m; s): [$guest[].pid] as $pids |
	$watch | map(select(.monitor == m and .scope == s and (.pid as $p | $pids | index($p))));
def total(m; f): mine(m; "total") | map(select(has("count") or has("polls_ok")) | f) | add // 0;
def event(m; f): mine(m; "event") | map(select(f)) | length;
def kvm(name): $guest | map(select(.what == "vm") | .stats[name] // 0) | add;
def counts(name): kvm(name) > 0;'

polling_is_kvms()
{
	label=$1
	ask "$label: polls that caught a wake-up" 'kvm("halt_successful_poll")' \
		'total("halt_poll_ns"; .polls_ok)'
	ask "$label: polls that failed" 'kvm("halt_attempted_poll") - kvm("halt_successful_poll")' \
		'total("halt_poll_ns"; .polls_failed)'
	timed='kvm("halt_poll_success_ns") + kvm("halt_poll_fail_ns") > 0'
	ask_where "$timed" "this kernel counts no times of polls" "$label: time of successful polls" \
		'kvm("halt_poll_success_ns")' 'total("halt_poll_ns"; .poll_ok_ns)'
	ask_where "$timed" "this kernel counts no times of polls" "$label: time of failed polls" \
		'kvm("halt_poll_fail_ns")' 'total("halt_poll_ns"; .poll_failed_ns)'
	ask "$label: every growth is an event" 'total("halt_poll_ns"; .grows)' \
		'event("halt_poll_ns"; .type == "grow")'
	ask "$label: every shrinking is an event" 'total("halt_poll_ns"; .shrinks)' \
		'event("halt_poll_ns"; .type == "shrink")'
	# The first window of a vCPU is 0, then every one begins where the one before ended. (KVM cuts
	# one that grew beyond the limit silently; 2560 us is met exactly, by doubling 10 us.)
	ask_true "$label: the windows follow from each other" 'mine("halt_poll_ns"; "event") |
		group_by(.tid) | map(reduce .[] as $e ({now: 0, good: true};
			{now: $e.new_ns, good: (.good and .now == $e.old_ns)})) | all(.good)'
}

halts_are_kvms()
{
	label=$1
	ask "$label: one event per halt" 'total("vcpu_wakeup"; .count)' 'event("vcpu_wakeup"; true)'
	ask "$label: waiting or polling" 'total("vcpu_wakeup"; .waited)' \
		'event("vcpu_wakeup"; .mode == "wait")'
	hist='this kernel has no halt_wait_hist'
	ask_where 'counts("halt_wait_hist")' "$hist" "$label: halts asleep, as KVM counts them" \
		'kvm("halt_wait_hist")' 'total("vcpu_wakeup"; .waited)'
	# What neither slept nor polled KVM does not count: a few us each, more when the thread loses its CPU then.
	allowed="(\$kvms * $slack / 1000 + 100000 * total(\"vcpu_wakeup\"; .polled) + $gap)"
	ask_where 'counts("halt_wait_hist")' "$hist" "$label: time halted, as KVM counts it" true \
		"(kvm(\"halt_wait_ns\") + kvm(\"halt_poll_fail_ns\") + kvm(\"halt_poll_success_ns\")) as \$kvms |
		 total(\"vcpu_wakeup\"; .total_ns) - \$kvms | fabs <= $allowed"
}

# run LABEL GUEST_ARGUMENTS -- WATCH_OPTION...: false when there is nothing to ask about
run()
{
	label=$1 arguments=$2
	shift 3
	if ! watch -n -w --events "$@"; then
		fail "$label: kvm_watcher starts"
		return 1
	fi
	# shellcheck disable=SC2086
	holds "$label: the generator does what it says" guest $arguments
	watch_end && pass "$label: exit status 0" || fail "$label: exit status 0" "$watch_status"
	preempted "$label: every halt" "$@" && return 1
	ask_lost "$label: nothing lost" 0 'lost | add'
}

# agrees LABEL HALTS WATCH_OPTION...: with KVM, while polling comes and goes
agrees()
{
	label=$1 halts=$2
	shift 2
	run "$label" "--vcpus=2 --halt-poll=2560 hlt=$halts" -- "$@" || return
	polling_is_kvms "$label"
	halts_are_kvms "$label"
	# A HLT whose wake-up is there already does not halt.
	ask_range "$label: halts" 1 $((2 * halts)) 'total("vcpu_wakeup"; .count)'
	answers
}

# 20 HLTs of vCPU 0 that vCPU 1's IPIs end, then 20 of each that its APIC timer ends after 20 ms.
ipis_and_timers()
{
	label="IPIs and timers"
	run "$label" "--vcpus=2 --halt-poll=0 hlt_ipi=20 timer_oneshot=20:20000" -- || return
	ask "$label: nothing polls" 0 'total("halt_poll_ns"; .polls_ok + .polls_failed)'
	halts_are_kvms "$label"
	# The IPI may be there before the HLT.
	ask_range "$label: halts of the vCPU that the other wakes" 21 40 \
		'total("vcpu_wakeup"; if .vcpu == 0 then .count else 0 end)'
	ask "$label: halts of the other" 20 'total("vcpu_wakeup"; if .vcpu == 1 then .count else 0 end)'
	# The middle of 20: the timer starts before the HLT, and a thread that loses its CPU in between halts for less.
	ask_range "$label: ms/100 of a halt" $((2000 - 20 * slack)) $((2000 + 20 * slack)) 'mine("vcpu_wakeup"; "event") |
		map(select(.vcpu == 1) | .halt_ns) | sort | .[10] / 10000'
	# Nothing polls here, so KVM's histogram is of the same times.
	ask_where 'counts("halt_wait_hist")' 'this kernel has no halt_wait_hist' \
		"$label: the histogram is KVM's" \
		'[range(64) | . as $i | [$i, kvm("halt_wait_hist.\($i)")] | select(.[1] > 0)]' \
		'mine("vcpu_wakeup"; "total") | map(.halt_buckets // [] | .[]) | group_by(.[0] | log2 | floor) |
		 map([(.[0][0] | log2 | floor + 1), (map(.[1]) | add)])'
	why=$(missing vcpu_wakeup kvm_entry)
	if test -n "$why"; then
		skip "$label: wake-up latency" "$why"
	else
		# Every halt that slept is followed by an entry.
		ask "$label: every wake-up is timed until the guest" 'total("vcpu_wakeup"; .waited)' \
			'total("vcpu_wakeup"; .wake_count)'
		ask_range "$label: us of a wake-up" 0 5000 'total("vcpu_wakeup";
			if .vcpu == 1 then .wake_p50_ns / 1000 else 0 end)'
	fi
	answers
}

# -p: of two VMs the one that was asked for
only_one()
{
	# Each wake-up comes 2 ms after the guest says that it halts: one that is there before its HLT makes no halt,
	# and of those that came at once a busy host made a third.
	guest_at_gate 1 --halt-poll=0 hlt=50:2000
	one=$gated
	guest_at_gate 1 --halt-poll=0 hlt=50:2000
	two=$gated
	if watch -n -w --events -p $one; then
		open_gate
		wait $two
		wait $one
		watch_end
		cp "$TMP/$one.json" "$TMP/guest.json"
		ask "-p: no other VM's rows" "[$one]" '$watch | map(select(has("pid")) | .pid) | unique'
		# How many of its HLTs halted KVM itself knows.
		ask "-p: an event of each of its halts" 'total("vcpu_wakeup"; .count)' 'event("vcpu_wakeup"; true)'
		ask_where 'counts("halt_wait_hist")' 'this kernel has no halt_wait_hist' \
			"-p: its halts are there, as KVM counts them" 'kvm("halt_wait_hist")' 'total("vcpu_wakeup"; .waited)'
		ask_range "-p: its halts are there" $least 50 'event("vcpu_wakeup"; true)'
		answers
	else
		fail "-p: kvm_watcher starts"
		open_gate
		wait $one $two
	fi
}

# The processor says when a loop of PAUSEs has filled the window: each of these exits grows it.
pause_loops()
{
	holds "PAUSE loops: kvm_watcher starts" watch -n -e --summary
	holds "PAUSE loops: the generator does what it says" guest --vcpus=2 pause=40000
	watch_end
	ask_true "PAUSE loops: there are some" 'mine("halt_poll_ns"; "total") | map(.ple_grows // 0) | add > 2'
	ask "PAUSE loops: each exit grows the window of its vCPU" \
		'mine("vm_exit"; "total") | map(select(.reason == "PAUSE_INSTRUCTION") | [.tid, .count]) | sort' \
		'mine("halt_poll_ns"; "total") | map(select(.table == "PAUSE_LOOPS") | [.tid, .ple_grows]) | sort'
	base=$(cat /sys/module/kvm_intel/parameters/ple_window)
	ask_true "PAUSE loops: the windows are those of kvm_intel, doubled" 'mine("halt_poll_ns"; "total") |
		map(select(.table == "PAUSE_LOOPS")) | all(.ple_spun >= '"$base"' * .ple_grows and .ple_spun % '"$base"' == 0 and
			(.ple_window / '"$base"' | log2 | . == floor))'
	answers
}

# Emulated machines are slow, and their time is this host's: per cent that a halt may be longer, and ns that
# all halts together may be off KVM's own; how many of 50 HLTs halt at least, which a busy host decides.
case $(vendor) in
none) many=300 few=50 slack=2 gap=0 least=1 ;;
*) many=60 few=15 slack=30 gap=20000000 least=40 ;;
esac
both()
{
	agrees "all hooks" $many
	ipis_and_timers
}

together both -n -w --events --histogram
if planned kinds; then
	for kind in tp_btf tracepoint; do
		if why=$(lacks halt_poll_ns $kind kvm_vcpu_wakeup); then
			skip "--hooks=$kind" "$why"
		else
			agrees "--hooks=$kind" $few --hooks=$kind
		fi
	done
	part_ends
fi
# The verifier may refuse it, and all that is asked above goes on.
is "halts that began before: the kernel takes the look at them" attached \
	"$(needs vcpu_wakeup | jq -r '.[] | select(.need == "task") | .state')"
only_one
if planned pause_loops; then
	pause_loops
	part_ends
fi
done_testing
