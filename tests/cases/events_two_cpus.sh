# SPDX-License-Identifier: GPL-2.0-only
# machine: --cpus=2 --instruction=1
# A CPU of the host goes and comes back, and the host is suspended to memory, while it watches with all monitors: totals
# are exact, and no time is longer than it can be. This machine has two CPUs; its clock chip wakes it. events.sh has what
# else happens meanwhile.
. "$(dirname "$0")/lib.sh"

all="-e -f -d -w -n -o -c -i -h -l -T --vm_state --vmm_threads --unmaps --host --temp-dir=$TMP"
# Exits to user space, a sleep, and what waits: halts, most of them for a timer.
out=10000 more=100
work="out=$out sleep=200 out=$more hlt=20 timer_periodic=100:10000"
cpu1=/sys/devices/system/cpu/cpu1/online
rtc=/sys/class/rtc/rtc0

# online 0|1: CPU 1 goes or comes
online()
{
	echo "$1" >$cpu1
	test "$(cat $cpu1)" = "$1"
}

# counts NAME VCPUS: each exit, KVM_RUN and halt of these vCPUs, and no loss. The sleep and the end are an exit each; a
# KVM_RUN that the freezer interrupts fails with EINTR, and is made again. So is a halt: how many there were, the kernel
# knows.
counts()
{
	if hist_end >"$TMP/halts"; then
		ask "$1: every halt" "$(awk '{ n += $2 } END { print n }' "$TMP/halts")" \
			'$watch | map(select(.scope == "total" and .monitor == "vcpu_wakeup" and .table == "HALTS").count) | add'
	else
		fail "$1: every halt" "$hist_refused"
	fi
	ask "$1: every exit of each vCPU" "[range($2)] | map(\"\\(.):$((out + more + 2))\") | join(\" \")" \
		'$watch | map(select(.scope == "total" and .kind == "userspace" and .reason == "IO")) | sort_by(.vcpu) |
		map("\(.vcpu):\(.count)") | join(" ")'
	ask "$1: every KVM_RUN" "($2 * $((out + more + 2)))" \
		'$watch | map(select(.scope == "total" and .name == "KVM_RUN") | .count - (.errors.EINTR // 0)) | add'
	plausible "$1"
}

# plausible NAME: what holds whatever happens
plausible()
{
	# The budget of a vCPU adds up to its time, within what an interval's edges are read apart.
	ask "$1: no time in a budget is negative, or all of them together longer than the time that went by" 0 \
		'$watch | map(select(.scope != "summary" and .monitor == "vcpu_load" and .wall_ns != null) |
		select(.wall_ns > .interval_ns + 20e6 or ([.guest_ns, .kvm_ns, .vmm_ns, .halted_ns, .steal_ns, .blocked_ns] |
		any(. < 0 or . > 1e12)))) | length'
	ask "$1: no exit, halt or call is longer than the run" 0 '($watch | map(select(.scope == "total").interval_ns) | max) as $run |
		$watch | map(select(.scope == "total" and ((.max_ns // 0) > $run or (.min_ns // 0) < 0))) | length'
	ask "$1: no interval is longer than a second, or backwards" 0 '$watch | map(select(.scope == "interval" and
		(.interval_ns > 1e9 or .interval_ns <= 0))) | length'
	ask "$1: the rows' clock does not go back" true '$watch | map(select(.scope == "interval").ts_ns) | . == sort'
	ask "$1: nothing is lost" 0 '[lost[]] | add'
}

# shellcheck disable=SC2086 # these are options
if planned hotplug; then
	hist_begin kvm_vcpu_wakeup waited
	watch $all --interval=0.5
	kvm_guest --vcpus=3 $work >"$TMP/guest.json" &
	guest=$!
	gone=0 back=0
	while kill -0 $guest 2>/dev/null; do
		online 0 && gone=$((gone + 1))
		sleep 0.2
		online 1 && back=$((back + 1))
		sleep 0.2
	done
	wait $guest
	# It ends without the CPU that it began with.
	online 0
	watch_end
	is "a CPU goes and comes: exit status" 0 $watch_status
	holds "a CPU goes and comes: it did, $gone and $back times" test $gone -ge 2 -a $back = $gone
	ask "a CPU goes and comes: vCPUs ran on both" '"0-1"' '$watch | map(select(.scope == "total" and .monitor == "vcpu_load").pcpus) | max'
	counts "a CPU goes and comes" 3
	answers

	# It begins without the CPU, and all vCPUs run on that later; one of them when it goes again.
	hist_begin kvm_vcpu_wakeup waited
	watch $all --interval=0.5
	online 1
	kvm_guest --vcpus=2 --cpu=1 $work >"$TMP/guest.json" &
	guest=$!
	sleep 1
	online 0
	wait $guest
	online 1
	watch_end
	is "a CPU that was not there at the start: exit status" 0 $watch_status
	ask "a CPU that was not there at the start: vCPUs ran on it" true '$watch | map(select(.scope == "total" and
		.monitor == "vcpu_load").pcpus) | all(contains("1"))'
	counts "a CPU that was not there at the start" 2
	answers
	part_ends
fi

# ahead: seconds that CLOCK_BOOTTIME, which goes on in a suspended host, is ahead of CLOCK_MONOTONIC
ahead()
{
	awk 'FNR == NR { boot = $1; next } / now at/ || /^now at/ { mono = $3 / 1e9; exit } END { printf "%.0f\n", boot - mono }' \
		/proc/uptime /proc/timer_list
}

if planned suspend; then
	name="the host is suspended twice"
	if ! grep -q deep /sys/power/mem_sleep 2>/dev/null || test ! -e $rtc/wakealarm; then
		fail "$name" "this machine has no suspend to memory, or no clock that wakes it"
		done_testing
	fi
	echo deep >/sys/power/mem_sleep
	before=$(ahead) up=$(cut -d . -f 1 /proc/uptime)
	hist_begin kvm_vcpu_wakeup waited
	# shellcheck disable=SC2086 # these are options
	watch $all --interval=0.5
	# shellcheck disable=SC2086 # these are ops
	kvm_guest --vcpus=3 $work >"$TMP/guest.json" &
	guest=$!
	# First amid exits, then amid halts.
	for pause in 0.2 1; do
		sleep $pause
		kill -0 $guest 2>/dev/null || fail "$name: the guest still runs"
		echo 0 >$rtc/wakealarm
		echo +3 >$rtc/wakealarm
		echo mem >/sys/power/state || fail "$name" "echo mem > /sys/power/state failed"
	done
	slept=$(($(ahead) - before))
	wait $guest
	kvm_guest out=77 >"$TMP/later.json"
	later=$(jq -s '.[0].pid' "$TMP/later.json")
	now=$(date +%s)
	watch_end
	awake=$(($(cut -d . -f 1 /proc/uptime) - up - slept))
	is "$name: exit status" 0 $watch_status
	holds "$name: for $slept s" test $slept -ge 4
	# The run's clock stands still meanwhile: intervals and rates are of the time in which VMs could run.
	cp "$TMP/watch.json" "$TMP/all.json"
	jq -c --argjson pid "$later" 'select(.pid != $pid)' "$TMP/all.json" >"$TMP/watch.json"
	counts "$name" 3
	ask_range "$name: the run is shorter by that" 0 $((awake + 1)) \
		'$watch | map(select(.scope == "total").interval_ns) | max / 1e9'
	ask "$name: the time of day that is shown is right again" true \
		"(\$watch[-1].time | .[0:19] + \"Z\" | fromdate) as \$shown | (\$shown - $now) | fabs <= 2"
	answers
	is "$name: a VM that starts afterwards, by its name" "kvm_guest 78" "$(jq -rs --argjson pid "$later" 'map(select(.scope == "total" and
		.pid == $pid and .kind == "userspace"))[] | "\(.vm) \(.count)"' "$TMP/all.json")"
	part_ends
fi

done_testing
