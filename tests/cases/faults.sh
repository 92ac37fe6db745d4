# SPDX-License-Identifier: GPL-2.0-only
# Allocations, BPF calls, opens, reads, writes and other calls fail, one call site after the other, in both processes
# (tests/faults/seam.h). Each time the program ends with 0 or 1, with a sentence where it is 1, and without a word of
# the sanitizers: no crash, no leak. CI takes every eighth site, FAULT_STEP=1 all.
. "$(dirname "$0")/lib.sh"

step=${FAULT_STEP:-8}
at_a_time=12

# once NUMBER ARGUMENT...: what is wrong with the run in which that site fails, a line. A recording has a file of its own.
once()
{
	once_nr=$1
	shift
	if test "$1" = record; then
		shift
		set -- record "$TMP/file.$once_nr" "$@"
	fi
	FAULT=$once_nr FAULT_LOG="$TMP/log.$once_nr" timeout 60 faults "$@" >"$TMP/out.$once_nr" 2>"$TMP/err.$once_nr" </dev/null
	once_status=$?
	once_wrong=
	test $once_status -le 1 || once_wrong="exit status $once_status"
	! grep -qE 'Sanitizer|runtime error' "$TMP/err.$once_nr" || once_wrong="$once_wrong $(grep -E 'SUMMARY|runtime error' "$TMP/err.$once_nr")"
	test $once_status != 1 || grep -q '^kvm_watcher: ' "$TMP/err.$once_nr" || once_wrong="$once_wrong no sentence"
	if test $once_status = 0 && test "$1" = record; then
		faults replay "$2" >"$TMP/replay.$once_nr" 2>&1 || once_wrong="$once_wrong: the recording is none"
	fi
	echo "$once_nr $once_status $(cat "$TMP/log.$once_nr") $once_wrong"
}

# each NAME ARGUMENT...: every $step-th site of such a run
each()
{
	each_name=$1
	shift
	once 0 "$@" >"$TMP/none"
	read -r _ each_status each_sites _ <"$TMP/none"
	is "$each_name: nothing fails: exit status" 0 "$each_status"
	holds "$each_name: there are call sites" test "${each_sites:-0}" -gt 20
	: >"$TMP/ran"
	each_nr=1 each_running=0 each_pids=
	while test $each_nr -le "$each_sites"; do
		once $each_nr "$@" >>"$TMP/ran" &
		each_pids="$each_pids $!"
		each_nr=$((each_nr + step)) each_running=$((each_running + 1))
		test $each_running -lt $at_a_time || {
			# shellcheck disable=SC2086 # not for the guest, which is there for all of them
			wait $each_pids
			each_running=0 each_pids=
		}
	done
	# shellcheck disable=SC2086 # if there are any: without one, wait is for the guest, too
	test -z "$each_pids" || wait $each_pids
	each_wrong=$(awk 'NF > 5' "$TMP/ran")
	is "$each_name: no crash, no leak, 0 or 1, a sentence" "none wrong of $(((each_sites + step - 1) / step))" \
		"${each_wrong:-none wrong} of $(wc -l <"$TMP/ran")"
	# What is the last to be called may not be called each time.
	holds "$each_name: most of them did fail" test "$(awk '$4 != "-"' "$TMP/ran" | wc -l)" -ge $((each_sites * 3 / 4 / step))
	holds "$each_name: some of that ended a run" grep -q '^[0-9]* 1 ' "$TMP/ran"
}

if has_tool "faults" faults; then
	kvm_guest --vms=2 --vcpus=2 out=2000 sleep=40000 >"$TMP/guest.json" &
	guest=$!
	each "tables of many monitors" -e -o -l -w --detail --events -t 0.2 --interval=0.1 --no-sandbox
	each "a recording" record -e -d --temp-dir="$TMP" --force -t 0.2 --interval=0.1 --no-sandbox
	kill $guest 2>/dev/null
	wait $guest 2>/dev/null
	left=0
	for process in /proc/[0-9]*; do
		test "$(readlink "$process/exe")" != "$(command -v faults)" || left=$((left + 1))
	done
	is "no process is left" 0 $left
fi
done_testing
