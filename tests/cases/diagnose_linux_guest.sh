#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# An unmodified Linux under QEMU that is well: while it boots, when it has little to do, when it works, while it migrates,
# and when it is paused, diagnose finds nothing. What a test machine has too little of, CPUs, may be said: that is true.
. "$(dirname "$0")/lib_diagnose.sh"

name="a Linux guest"
has_tool "$name" start-linux-guest || done_testing

# qmp COMMAND [ARGUMENTS]
qmp()
{
	qmp_arguments=${2-}
	test -n "$qmp_arguments" || qmp_arguments='{}'
	printf '{"execute":"%s","arguments":%s}\n' "$1" "$qmp_arguments" >&8
	sleep 0.5
}

# guest_starts OPTION...: its pid is $stay_pid
guest_starts()
{
	start-linux-guest --memory=128 "$@" -chardev pipe,id=qmp,path="$TMP/qmp" \
		-mon chardev=qmp,mode=control >"$TMP/console" 2>&1 &
	stay_pid=$!
}

# console_has TEXT TIMES: waits for it
console_has()
{
	for _ in $(seq 150); do
		test "$(grep -c "$1" "$TMP/console")" -lt "$2" || return 0
		kill -0 "$stay_pid" 2>/dev/null || break
		sleep 1
	done
	fail "$name: its console says \"$1\"" "$(tail -n 20 "$TMP/console")"
	done_testing
}

mkfifo "$TMP/qmp.in" "$TMP/qmp.out"
exec 8<>"$TMP/qmp.in" 9<>"$TMP/qmp.out"
cat <&9 >"$TMP/qmp.log" &
hog=$!

record_starts boots
guest_starts --write=40:128
again "it boots" "none?steal-own-vm+steal-host-task"
console_has wrote 1
record_ends 60s
judge "$name"
qmp qmp_capabilities

record_starts idle
again "it has little to do" "none?steal-own-vm+steal-host-task"
sleep 12
record_ends
judge "$name"

record_starts migrates
qmp migrate-set-parameters '{"max-bandwidth":16777216,"downtime-limit":1}'
qmp migrate '{"uri":"exec:cat >/dev/null"}'
again "it migrates, faster than it writes" "none?steal-own-vm+steal-host-task"
sleep 10
record_ends
judge "$name"
qmp migrate_cancel
qmp cont

record_starts paused
qmp stop
again "it is paused" none
sleep 10
record_ends
judge "$name"
leaves

guest_starts --rounds=40
console_has "guest up" 1
record_starts busy
again "it works" "none?steal-own-vm+steal-host-task"
sleep 12
record_ends
judge "$name"
leaves
done_testing
