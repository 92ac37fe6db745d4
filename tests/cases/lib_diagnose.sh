# SPDX-License-Identifier: GPL-2.0-only
# What the cases of diagnose share: VMs of one sickness each, or of none, that run while kvm_watcher records; what is
# found in the recording is compared with what was made. Many VMs are in one recording: a start of kvm_watcher takes
# seconds in a test machine. KVM_WATCHER_KEEP is a directory that gets the recordings (tests/diagnose/record).
. "$(dirname "$0")/lib.sh"

# On a host where others run, too: all of this session before them.
test -n "$KVM_WATCHER_MACHINE" || ! test -w /proc/$$/autogroup || echo -20 >/proc/$$/autogroup
made=$TMP/made
lives=7	# seconds: 5 are the least that is judged, and a busy host starts VMs late
vms='' stay_pid='' hog=''
all_end()
{
	for end_pid in $watch_pid $vms $stay_pid $hog; do kill "$end_pid" 2>/dev/null; done
	rm -rf "$TMP"
}
trap all_end EXIT

# What this host can't watch is not asked for: it would be said again and again.
# kvm_watcher takes a tenth of a test machine's one CPU with a look each second.
record_interval=1
test -z "$KVM_WATCHER_MACHINE" || record_interval=2
record_options="--interval=$record_interval --summary -o -e --detail -f -w -n -c -l -T --nested --vm_state --vmm_threads --host"

# record_starts NAME [OPTION...]
record_starts()
{
	recording=$TMP/$1.zst record_name=$1
	shift
	: >"$made"
	rm -f "$TMP/record.err"
	# shellcheck disable=SC2086
	kvm_watcher record "$recording" --force $record_options "$@" >"$TMP/record.out" 2>"$TMP/record.err" &
	watch_pid=$!
	while ! grep -qs watching "$TMP/record.err"; do
		if ! kill -0 $watch_pid 2>/dev/null; then
			watch_pid=
			fail "$record_name: kvm_watcher starts" "$(tail -n 3 "$TMP/record.err")"
			done_testing
		fi
		sleep 0.1
	done
}

# vm NAME EXPECTED ARGUMENT...: a generator in the background, $vm_pid. EXPECTED is what has to be said of it, and alone:
# "RULE", "RULE+TRUE" with what truly comes with it, "RULE?TRUE" with what may; "none", or "none?TRUE".
vm()
{
	vm_name=$1 vm_expected=$2
	shift 2
	kvm_guest --timeout=300 "$@" >/dev/null 2>"$TMP/vm.err" &
	vm_pid=$!
	mv "$TMP/vm.err" "$TMP/$vm_pid.err" 2>/dev/null
	vms="$vms $vm_pid"
	echo "$vm_pid $vm_expected $vm_name|$*" >>"$made"
}

# all_live [SECONDS]: so long, then all of vm end
all_live()
{
	sleep "${1:-$lives}"
	for vm_one in $vms; do kill "$vm_one" 2>/dev/null; done
	for vm_one in $vms; do wait "$vm_one" 2>/dev/null; done
	vms=
}

# record_ends [AGE]: how many seconds old VMs have to be for what a booting guest does, too
record_ends()
{
	kill -INT "$watch_pid"
	wait "$watch_pid"
	watch_pid=
	# The interval of a VM's own time counts, and on a busy host a second is some more.
	kvm_watcher diagnose "$recording" --after="${1:-0}" --format=json >"$TMP/diagnose.json" 2>"$TMP/diagnose.err"
	if test -n "$KVM_WATCHER_KEEP"; then
		cp "$recording" "$KVM_WATCHER_KEEP/"
		cp "$made" "$KVM_WATCHER_KEEP/$(basename "$recording" .zst).made"
	fi
}

# What may be true of any VM of a host where others run, too. The kernel says so itself: diagnose measures steal by it.
busy='steal-other-vms steal-host-task steal-own-vm'

# What was found of each process: "PID RULE RULE", sorted. "nothing-was-judged" where there are no rows. What is true of a
# test machine as a host is true of each VM there, but for its being slow; what this host is like is not of the question.
found_of_all()
{
	jq -rs --arg machine "$KVM_WATCHER_MACHINE" 'def found: map(select(.state | IN("finding", "note")) | .rule);
		map(select(.table == "DIAGNOSIS")) | (map(select(.vm_id == null and $machine != "")) | found - ["host-is-slow"]) as $host |
		map(select(.vm_id != null)) | group_by(.vm_id)[] | (.[0].vm_id | split(".")[0]) as $pid |
		if length < 40 then [$pid, "nothing-was-judged"] else
		[$pid] + (found + $host | sort) end | join(" ")' "$TMP/diagnose.json"
}

explain()
{
	jq -c --arg pid "$1" 'select(.vm_id != null and (.vm_id | startswith($pid + ".")) and
		(.table == "TIME_ACCOUNT" or .rule == $rule or (.state | IN("finding", "note", "explained")))) |
		del(.remedies, .title, .not_what, .verify, .help, .monitor, .scope, .ts_ns, .time, .vm, .vm_id)' \
		--arg rule "$2" "$TMP/diagnose.json" | cut -c1-900
	tail -n 3 "$TMP/diagnose.err"
	grep -v "missing:\|watching" "$TMP/record.err" | tail -n 3
	tail -n 3 "$TMP/$1.err" 2>/dev/null
}

# judge PREFIX: all that were made since record_starts
judge()
{
	found_of_all >"$TMP/found"
	while IFS='|' read -r judge_line judge_args; do
		judge_pid=${judge_line%% *} judge_line=${judge_line#* }
		judge_expected=${judge_line%% *} judge_name=${judge_line#* }
		judge_got=$(awk -v pid="$judge_pid" '$1 == pid { $1 = ""; print substr($0, 2) }' "$TMP/found")
		judge_rule=${judge_expected%%[?+]*}
		judge_needed=$(echo "${judge_expected%%\?*}" | tr + ' ')
		judge_may=$(echo "$judge_expected" | sed 's/^[^?]*//; s/?/ /g; s/+/ /g')
		test -n "$KVM_WATCHER_MACHINE" || judge_may="$judge_may $busy"
		# It has one CPU, on which kvm_watcher runs, and other VMs do.
		test -z "$KVM_WATCHER_MACHINE" || judge_may="$judge_may observer steal-other-vms"
		test "$judge_rule" != none || judge_needed=
		judge_wrong=
		for judge_one in $judge_needed; do
			case " $judge_got " in
			*" $judge_one "*) ;;
			*) judge_wrong="$judge_wrong; $judge_one was not found" ;;
			esac
		done
		for judge_one in $judge_got; do
			case " $judge_needed $judge_may " in
			*" $judge_one "*) ;;
			*) judge_wrong="$judge_wrong; $judge_one was found, too" ;;
			esac
		done
		grep -q "^$judge_pid" "$TMP/found" || judge_wrong="$judge_wrong; the recording does not have it"
		if test -z "$judge_wrong"; then
			pass "$1: $judge_name: ${judge_needed:-nothing}"
		else
			fail "$1: $judge_name: ${judge_needed:-nothing}" "expected: ${judge_needed:-nothing}${judge_may:+, perhaps$judge_may}
got:      ${judge_got:-nothing}$judge_wrong
kvm_guest $judge_args
$(explain "$judge_pid" "$judge_rule")"
		fi
	done <"$made"
}

# stays: the last one of vm does not end with the others, and $stay_pid is it; leaves: it ends
stays()
{
	stay_pid=$vm_pid
	vms=${vms% "$vm_pid"}
}

leaves()
{
	kill "$stay_pid" 2>/dev/null
	wait "$stay_pid" 2>/dev/null
	stay_pid=
}

# again NAME EXPECTED: of the one that stays, in this recording
again()
{
	echo "$stay_pid $2 $1|the same" >>"$made"
}

# joins PID EXPECTED NAME: one that vm has started before is in this recording, too
joins()
{
	echo "$1 $2 $3|$(tr '\0' ' ' <"/proc/$1/cmdline" | cut -d ' ' -f 3- | sed 's, $,,')" >>"$made"
}

# module NAME OPTION...: the vendor's module of KVM again, with these options; no VM may be there
module()
{
	module_name=$1
	shift
	rmmod "$module_name"
	insmod "/modules/$module_name.ko" "$@"
}

# thread_named PID NAME: the ids of its threads of that name
thread_named()
{
	for thread_task in /proc/"$1"/task/*; do
		# shellcheck disable=SC2254	# a pattern
		case $(cat "$thread_task/comm" 2>/dev/null) in
		$2) echo "${thread_task##*/}" ;;
		esac
	done
}

# remedy RULE TEXT: what will be done is what the report said is to be done
remedy()
{
	if jq -es --arg rule "$1" --arg text "$2" 'map(select(.rule == $rule and .state != "pass" and .remedies != null) |
		.remedies | tostring | contains($text)) | any' "$TMP/diagnose.json" >/dev/null; then
		pass "$1: its remedy is: $2"
	else
		fail "$1: its remedy is: $2" "got: $(jq -c --arg rule "$1" 'select(.rule == $rule and .remedies != null) |
			.remedies' "$TMP/diagnose.json")"
	fi
}

# live NAME CODE OPTION...: diagnose, not from a recording; its text is in $TMP/text
live()
{
	live_name=$1 live_code=$2
	shift 2
	live_waits=50
	# shellcheck disable=SC2010
	while ! ls -l "/proc/${stay_pid:-$vm_pid}/fd" 2>/dev/null | grep -q kvm-vcpu && test $live_waits -gt 0; do
		live_waits=$((live_waits - 1))
		sleep 0.1
	done
	kvm_watcher diagnose -t 5 --after=0 "$@" >"$TMP/text" 2>"$TMP/text.err"
	live_got=$?
	if test $live_got = "$live_code"; then
		pass "live: $live_name: exit code $live_code"
	else
		fail "live: $live_name: exit code $live_code" "got: $live_got
$(head -n 40 "$TMP/text"; tail -n 3 "$TMP/text.err")"
	fi
}

# thread_of PID N: the id of its vCPU N's thread, by their order
thread_of()
{
	kvm_watcher --list --format=json 2>/dev/null |
		jq -r --argjson pid "$1" --argjson n "$2" 'select(.kind == "vcpu" and .pid == $pid and .vcpu == $n) | .tid'
}

# stolen_ms CPU: what this host's own host has taken of it so far, where it tells
stolen_ms()
{
	awk -v cpu="cpu$1" '$1 == cpu { print $9 * 10 }' /proc/stat
}

# On a host where others run: so many tasks for each CPU that none can be had as a whole
crowded()
{
	test -z "$KVM_WATCHER_MACHINE" &&
		awk -v cpus="$(nproc)" '{ exit !($1 > 6 * cpus) }' /proc/loadavg
}
