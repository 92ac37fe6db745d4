# SPDX-License-Identifier: GPL-2.0-only
# -o: the budget of every vCPU adds up, and each part of it is what the
# generator did: spinning, halting and sleeping for known times, alone or two
# vCPUs on one CPU; run-queue delay as the scheduler counts it itself.
. "$(dirname "$0")/lib.sh"

# Emulated machines are slow, and this host may be busy: times have bounds, the sum has none.
case $(vendor) in
none) slack=25 per_switch=20 ;;
*) slack=60 per_switch=150 ;;
esac
# 1 %; the kernel of the development machine (kvm_pvm) leaves out single sched_switch events, in
# tracefs too, and the time between the ones around them can't be accounted for.
case $(vendor) in
none) unaccounted=30 ;;
*) unaccounted=10 ;;
esac

# rows SCOPE: the rows of the generator's VMs as a jq array; there may be others on this host
rows()
{
	jq -cs --slurpfile guest "$TMP/guest.json" '[$guest[].pid] as $pids |
		map(select(.monitor == "vcpu_load" and .scope == "'"$1"'" and
			(.pid as $p | $pids | index($p))))' "$TMP/watch.json"
}

# adds_up LABEL SCOPE: guest + kvm + ... = wall within 1 %, and next to nothing is unaccounted for
adds_up()
{
	is "$1: the budget adds up" true "$(rows "$2" | jq 'length > 0 and all(.[];
		((.guest_ns // 0) + .kvm_ns + .vmm_ns + .poll_ns + .halted_ns + .steal_ns +
		 .blocked_ns + .unaccounted_ns - .wall_ns | fabs) <= .wall_ns / 1000)')"
	worst=$(rows "$2" | jq 'map(if .wall_ns > 0 then .unaccounted_ns * 1000 / .wall_ns else 0 end) |
		max | floor')
	holds "$1: unaccounted: $worst per mille" test "$worst" -le "$unaccounted"
}

# sum PART: over all total rows, in us
sum()
{
	rows total | jq "map(.$1 // 0) | add / 1000 | floor"
}

# within LABEL GOT WANTED PERCENT [FLOOR]: between WANTED and PERCENT above it; below it, 2 %
within()
{
	holds "$1: $2 us, of $3 to +$4 %" test "$2" -ge $(($3 * 98 / 100)) -a \
		"$2" -le $(($3 * (100 + $4) / 100 + ${5:-0}))
}

# measure LABEL GUEST_ARGUMENT...: the run of a guest that starts while watching
measure()
{
	label=$1
	shift
	if ! watch -o $watch_options; then
		fail "$label: kvm_watcher starts"
		return 1
	fi
	guest "$@" || fail "$label: the generator does what it says"
	watch_end && pass "$label: exit status 0" || fail "$label: exit status 0" "$watch_status"
	adds_up "$label" total
	no_loss "$label: nothing lost"
}

# The VMM's sleeps: 20 of 50 ms.
vmm_sleeps()
{
	ops=
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		ops="$ops sleep=50"
	done
	# shellcheck disable=SC2086
	measure "20 sleeps of 50 ms in the VMM" $ops || return
	within "time in the VMM" "$(sum vmm_ns)" 1000000 $slack
	runs=$(jq -s 'map(select(.what == "vcpu"))[0].runs' "$TMP/guest.json")
	holds "a load period for each of $runs KVM_RUNs" test "$(rows total | jq '.[0].count')" -ge "$runs"
	is "each period is in the total" true "$(rows total | jq 'all(.[];
		(.total_ns - ((.guest_ns // 0) + .kvm_ns + .poll_ns) | fabs) <= .wall_ns / 100)')"
}

# Halts of a known length; KVM's own count of the time asleep has the steal at their end in it.
halts()
{
	measure "20 halts of 50 ms" hlt=20:50000 || return
	within "time halted" "$(sum halted_ns)" 1000000 $slack
	kvms=$(jq -s 'map(select(.what == "vm") | .stats.halt_wait_ns // 0) | add / 1000 | floor' \
		"$TMP/guest.json")
	if test "$kvms" -eq 0; then
		skip "time halted, as KVM counts it" "no halt_wait_ns before 5.14"
	else
		mine=$(sum halted_ns)
		holds "time halted: $mine us, KVM says $kvms with steal $(sum steal_ns)" test \
			"$mine" -le $((kvms + kvms / 100)) -a \
			$((mine + $(sum steal_ns))) -ge $((kvms - kvms / 50))
	fi
}

# 10 ms of work, 30 ms of halt
duty_cycle()
{
	ops=
	for i in 1 2 3 4 5 6 7 8 9 10; do
		ops="$ops spin=10 hlt=1:30000"
	done
	# shellcheck disable=SC2086
	measure "a duty cycle of 10 ms in 40" $ops || return
	within "halted in the duty cycle" "$(sum halted_ns)" 300000 $slack
	# The guest spins by the clock, so what it waits for the CPU is part of its work.
	work=$(($(sum guest_ns) + $(sum kvm_ns) + $(sum steal_ns)))
	holds "working in the duty cycle: $work us, at least 100000" test "$work" -ge 98000
}

# The last of the CPUs that this process may use
a_cpu()
{
	sed -n 's/^Cpus_allowed_list:.*[^0-9]\([0-9]*\)$/\1/p' /proc/self/status
}

# Two vCPUs that want the same CPU: what one waits, the other has run.
rivals()
{
	cpu=$(a_cpu)
	measure "two spinning vCPUs on CPU $cpu" --cpu="$cpu" --vcpus=2 spin=1500 || return
	# Among the top three, unless this host has three tasks that took even more of that CPU.
	is "each names the other as a thief" true "$(rows total | jq '
		def ran: (.guest_ns // 0) + .kvm_ns + .poll_ns;
		. as [$a, $b] | length == 2 and ([[$a, $b], [$b, $a]] | all(.[]; . as [$x, $y] |
			any($x.thieves[]; .pid == $y.tid) or
			($x.thieves | length == 3 and (map(.ns) | min) >= ($y | ran) * 0.9)))')"
	# While both live, each moment of one's running is a moment of the other's waiting.
	is "what one lost to the other, the other had" true "$(rows total | jq '
		def ran: (.guest_ns // 0) + .kvm_ns + .vmm_ns + .poll_ns;
		def lost($to): [.thieves[] | select(.pid == $to.tid) | .ns] | add;
		. as [$a, $b] | [[$a, $b], [$b, $a]] | all(.[]; . as [$x, $y] |
			($x | lost($y)) == null or (($x | lost($y)) <= ($y | ran) * 1.02 and
			($x | lost($y)) >= ($y | ran) * 0.70))')"
	is "both ran on that CPU only" true "$(rows total |
		jq --arg cpu "$cpu" 'all(.[]; .pcpu == ($cpu | tonumber) and .migrations == 0)')"
	# Alone on the CPU each would have half of it; what others took there is known too.
	is "each has half of what the two had" true "$(rows total | jq '
		def ran: (.guest_ns // 0) + .kvm_ns + .poll_ns;
		. as [$a, $b] | ($a | ran) / (($a | ran) + ($b | ran)) | . > 0.45 and . < 0.55')"
	schedstat "two spinning vCPUs"
}

# Steal, against the scheduler's own run delay of the same threads
schedstat()
{
	theirs=$(jq -s 'map(select(.what == "vcpu") | .run_delay_ns) | add / 1000 | floor' \
		"$TMP/guest.json")
	if test "$theirs" -eq 0; then
		skip "$1: run-queue delay" "/proc/PID/schedstat counts none here"
		return
	fi
	mine=$(sum steal_ns)
	# The scheduler's clock stands still in a switch, ours does not: hooks on the way count here. And
	# the generator asks before its threads end, which on a busy host takes a time slice or two.
	switches=$(rows total | jq 'map(.count) | add')
	diff=$((mine - theirs))
	holds "$1: run-queue delay $mine us, schedstat says $theirs" \
		test "${diff#-}" -le $((theirs / 50 + 15000 + per_switch * switches))
}

# VMs that halt, spin and wait for a CPU already when watching starts: three intervals.
already_there()
{
	cpu=$(a_cpu)
	kvm_guest --timeout=90 hlt=1:50000000 >"$TMP/halted.json" 2>&1 &
	halted=$!
	kvm_guest --timeout=90 --cpu="$cpu" --vcpus=2 spin=50000 >"$TMP/spinning.json" 2>&1 &
	spinning=$!
	sleep 1.5
	kvm_watcher -o --format=json --interval=1 -t 3 >"$TMP/watch.json" 2>/dev/null
	echo "{\"pid\":$halted} {\"pid\":$spinning}" >"$TMP/guest.json"
	is "already there: three vCPUs in each interval" "3 3 3" "$(rows interval |
		jq -r 'group_by(.ts_ns) | map(length | tostring) | join(" ")')"
	adds_up "already there" interval
	is "already there: an interval is one of wall time" true "$(rows interval |
		jq 'all(.[]; .wall_ns > 900000000 and .wall_ns < 1400000000)')"
	is "already there: halted all the time" true "$(rows interval |
		jq --argjson pid $halted 'map(select(.pid == $pid)) | length == 3 and
			all(.[]; .halted_ns >= .wall_ns * 0.99)')"
	is "already there: spinning or waiting all the time" true "$(rows interval |
		jq --argjson pid $spinning 'map(select(.pid == $pid)) | length == 6 and
			all(.[]; (.guest_ns // 0) + .kvm_ns + .steal_ns >= .wall_ns * 0.98)')"
	kill $halted $spinning 2>/dev/null
	wait $halted $spinning 2>/dev/null
}

watch_options=
vmm_sleeps
halts
schedstat "20 halts"
duty_cycle
rivals
already_there
for kind in tp_btf tracepoint; do
	why=$(kvm_watcher --check --format=json --hooks=$kind 2>/dev/null | jq -r '
		[.monitors.vcpu_load.needs[] | select(.need == "kvm_fpu" and .state == "missing") |
		 .why][0] // empty')
	if test -n "$why"; then
		skip "--hooks=$kind" "$why"
		continue
	fi
	# Classic tracepoints alone have no scheduling, and no iterator runs: then the sum holds still.
	watch_options="--hooks=$kind"
	measure "--hooks=$kind" sleep=100 hlt=5:10000 spin=100
done
done_testing
