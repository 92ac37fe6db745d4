#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# diagnose: sicknesses that are really made are found, and nothing else is; what the remedy says is done, and they are
# gone. All are made one after the other while one kvm_watcher records, whose start takes long in an emulated machine;
# then each VM is diagnosed in the recording. What runs live is the same code: once, at the end.
# By hand, as root, after make and make build/tests/kvm_guest; it is no case of the runner's yet, because it takes six
# minutes in a test machine:
#	PATH=$PWD:$PWD/build/tests:$PATH sh tests/diagnose/live.sh
. "$(dirname "$0")/../cases/lib.sh"

recording=$TMP/run.kvmw
lives=7	# seconds, of each generator
made=$TMP/made

no_exits=$(missing vm_exit kvm_exit)
no_faults=$(missing kvmmmu_page_fault kvm_page_fault)

record_starts()
{
	kvm_watcher record "$recording" --force --interval=1 --summary -o -e --detail -f -w -n -c -l -T --nested \
		--vm_state --vmm_threads --host >"$TMP/record.out" 2>"$TMP/record.err" &
	recorder=$!
	while ! grep -qs watching "$TMP/record.err"; do
		kill -0 $recorder 2>/dev/null || return 1
		sleep 0.2
	done
}

record_ends()
{
	kill -INT $recorder
	wait $recorder
}

# makes EXPECTED NAME ARGUMENT...: a generator, for a while; a line of what is to be said of it
makes()
{
	makes_expected=$1 makes_name=$2
	shift 2
	kvm_guest --timeout=100 "$@" >/dev/null 2>&1 &
	makes_pid=$!
	echo "$makes_pid $makes_expected $makes_name" >>"$made"
	sleep $lives
	kill $makes_pid 2>/dev/null
	wait $makes_pid 2>/dev/null
}

# beside ARGUMENT...: another one, at the same time, of which nothing is asked
beside()
{
	kvm_guest --timeout=100 "$@" >/dev/null 2>&1 &
	beside_pid=$!
}

beside_ends()
{
	kill $beside_pid 2>/dev/null
	wait $beside_pid 2>/dev/null
}

diagnose_vm()
{
	diagnose_pid=$1
	shift
	kvm_watcher diagnose "$recording" -p "$diagnose_pid" --after=0 --format=json "$@" >"$TMP/diagnose.json" 2>"$TMP/diagnose.err"
	code=$?
}

# Findings and notes, "RULE RULE", sorted. That the host is slow is no guest's; and on a host where others run, too,
# what they take is true, and not of the question.
found()
{
	test "$(jq -s 'map(select(.table == "DIAGNOSIS" and .family != "host")) | length > 40' "$TMP/diagnose.json")" = true ||
		echo "nothing was judged"
	jq -rs --arg machine "$KVM_WATCHER_MACHINE" --arg expected "$1" 'map(select(.table == "DIAGNOSIS" and .family != "host" and
		(.state | IN("finding", "note"))) | .rule) |
		map(select($machine != "" or . == $expected or (IN("steal-host-task", "steal-other-vms") | not))) | sort | join(" ")' \
		"$TMP/diagnose.json"
}

explain()
{
	jq -c 'select(.table == "TIME_ACCOUNT" or (.state | IN("finding", "note", "explained"))) |
		del(.remedies, .title, .not_what, .verify, .help, .monitor, .scope, .ts_ns, .time, .vm, .vm_id)' \
		"$TMP/diagnose.json" | cut -c1-1200
	tail -n 3 "$TMP/diagnose.err"
}

if ! record_starts; then
	fail "kvm_watcher starts" "$(tail -n 3 "$TMP/record.err")"
	done_testing
fi
makes none "a guest that computes" spin=100000
stays=$(printf 'sleep=300 spin=300 %.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
# shellcheck disable=SC2086
makes vmm-slow "long stays in the VMM" $stays
if planned steal; then
	makes steal-own-vm "two vCPUs on one CPU" --vcpus=2 --cpu=0 spin=100000
	sh -c 'while :; do :; done' &
	hog=$!
	taskset -p 1 $hog >/dev/null
	makes steal-host-task "a task on its CPU" --cpu=0 spin=100000
	kill $hog
	wait $hog 2>/dev/null
	beside --cpu=0 spin=100000
	makes steal-other-vms "another VM on its CPU" --cpu=0 spin=100000
	beside_ends
	makes none "nobody on its CPU" --cpu=0 spin=100000
	part_ends
fi
test -n "$no_faults" || makes userfault-wait "pages that come late" touch_slow=3000:40
if test -z "$no_exits"; then
	makes cpuid-loop "CPUID all the time" cpuid=100000000
	makes none "CPUID now and then" cpuid=100 spin=100000
	makes pio-device "a serial console all the time" out=100000000:0x3f8
	makes doorbell-in-vmm "a doorbell without an ioeventfd" out2=100000000:0xc050
	makes clock-reads-exit "reads of the ACPI timer" in=100000000:0x608
	makes mmio-device "a device's registers" mmio_write=100000000:0xd0000000
	makes pmu-msrs "performance counters" rdmsr=100000000:0xc0010000
	makes none "a tick of 50 Hz" timer_periodic=100000:20000
	makes halt-poll-burns "polling for timers" --halt-poll=3000 timer_oneshot=100000:2500
fi
if planned host; then
	cg=$TMP/cgroup
	mkdir "$cg"
	mount -t cgroup2 none "$cg" && echo "+cpu" >"$cg/cgroup.subtree_control"
	mkdir "$cg/quota"
	echo "20000 100000" >"$cg/quota/cpu.max"
	kvm_guest --timeout=100 spin=100000 >/dev/null 2>&1 &
	quota_pid=$!
	echo $quota_pid >"$cg/quota/cgroup.procs"
	echo "$quota_pid quota-throttled a quota" >>"$made"
	sleep $lives
	kill $quota_pid
	wait $quota_pid 2>/dev/null

	clock=/sys/devices/system/clocksource/clocksource0/current_clocksource
	before=$(cat $clock)
	echo acpi_pm >$clock
	makes kvmclock-unstable "the host's clock is slow" spin=100000
	echo "$before" >$clock
	part_ends
fi
record_ends

while read -r pid expected name; do
	diagnose_vm "$pid" </dev/null
	got=$(found "$expected")
	test "$expected" != none || expected=
	if test "$got" = "$expected"; then
		pass "$name: ${expected:-nothing}"
	else
		fail "$name: ${expected:-nothing}" "got: $got
$(explain)"
	fi
done <"$made"

# Exit codes, of one that is sick and of one that is not.
sick=$(awk '$2 == "vmm-slow" { print $1 }' "$made")
well=$(awk '$2 == "none" { print $1; exit }' "$made")
diagnose_vm "$sick" --fail-on=warning
is "--fail-on=warning: 3" 3 $code
diagnose_vm "$sick" --fail-on=vmm-slow --ignore=vmm-slow:kvm_*
is "--ignore: 0" 0 $code
diagnose_vm "$well" --fail-on=vmm-slow
is "--fail-on=ID: 0" 0 $code
diagnose_vm "$well" --assert='share of vmm < 10%' --assert='steal < 95% for 5s'
is "--assert: holds: 0" 0 $code
diagnose_vm "$sick" --assert='share of vmm < 10%'
is "--assert: does not hold: 3" 3 $code
diagnose_vm "$sick" --assert='p99 of SHUTDOWN < 1us'
is "--assert: undecided: 4" 4 $code
diagnose_vm "$sick" --assert='p99 of SHUTDOWN < 1us' --undecided=pass
is "--undecided=pass: 0" 0 $code
diagnose_vm "$sick" --assert='steal < 95% for 1h'
is "--assert: shorter than asked for: 4" 4 $code
diagnose_vm "$sick" --assert='p99 of NOTHING < 1us'
is "--assert: no such reason: 2" 2 $code

# Live, for people, with the remedy of the quota.
if planned host; then
	kvm_guest --timeout=100 spin=100000 >/dev/null 2>&1 &
	pid=$!
	echo $pid >"$cg/quota/cgroup.procs"
	kvm_watcher diagnose -p $pid -t 5 >"$TMP/text" 2>/dev/null
	is "live: the first line says it" 1 "$(head -n 1 "$TMP/text" | grep -c "^1 finding.*A CPU quota stops the VM")"
	is "live: no line but a command is longer than 80" 0 "$(awk 'length > 80' "$TMP/text" | grep -c -v "^            ")"
	remedy=$(sed -n 's,^ *\(echo max > \)/sys/fs/cgroup\(/.*\)$,\1'"$cg"'\2,p' "$TMP/text")
	sh -c "$remedy"
	kvm_watcher diagnose -p $pid -t 5 >"$TMP/text" 2>/dev/null
	holds "live: the remedy cures it: $remedy" grep -q "^No finding" "$TMP/text"
	kill $pid
	umount "$cg"
	part_ends
fi
done_testing
