# SPDX-License-Identifier: GPL-2.0-only
# A Linux runs under QEMU, which stops it and lets it go on, saves a snapshot of it and goes back to that twice, while it
# is watched: per reason, exits are what the kernel's own histograms count. events.sh sets a vCPU back with exact numbers
# of its own.
. "$(dirname "$0")/lib.sh"

name="a Linux guest is stopped, saved and set back"

has_tool "$name" start-linux-guest || done_testing
if why=$(missing vm_exit kvm_exit); then
	skip "$name" "$why"
	done_testing
fi

# qmp COMMAND [ARGUMENTS]
qmp()
{
	printf '{"execute":"%s","arguments":%s}\n' "$1" "${2:-"{}"}" >&8
}

# job ID COMMAND ARGUMENTS: a job of QEMU's, until it is concluded
job()
{
	qmp "$2" "$3"
	for _ in $(seq 240); do
		! grep -q "\"concluded\", \"id\": \"$1\"" "$TMP/qmp.log" || break
		kill -0 $guest 2>/dev/null || break
		sleep 0.5
	done
	qmp query-jobs
	sleep 0.5
	job_errors=$(grep '"return": \[' "$TMP/qmp.log" | tail -n 1 | jq -r '.return[] | .error // empty')
	qmp job-dismiss "{\"id\":\"$1\"}"
	holds "QEMU: $2" test -z "$job_errors"
}

# writes N: the guest has written for N seconds more, by its console
writes()
{
	writes_until=$(($(grep -c wrote "$TMP/console") + $1))
	for _ in $(seq 240); do
		test "$(grep -c wrote "$TMP/console")" -lt $writes_until || return 0
		kill -0 $guest 2>/dev/null || break
		sleep 0.5
	done
	return 1
}

hist_begin kvm_exit exit_reason
hist_begin kvm_userspace_exit reason
if ! watch -e -l -o -w --interval=2; then
	fail "kvm_watcher starts"
	done_testing
fi

mkfifo "$TMP/qmp.in" "$TMP/qmp.out"
exec 8<>"$TMP/qmp.in" 9<>"$TMP/qmp.out"
cat <&9 >"$TMP/qmp.log" &
reader=$!
start-linux-guest --memory=96 --write=640:512 -chardev pipe,id=qmp,path="$TMP/qmp" \
	-mon chardev=qmp,mode=control >"$TMP/console" 2>&1 &
guest=$!
trap 'kill $guest $reader $watch_pid 2>/dev/null; rm -rf "$TMP"' EXIT
writes 2 || { fail "the Linux guest writes pages" "$(tail -n 20 "$TMP/console")"; done_testing; }

qmp qmp_capabilities
image=$TMP/image
job file blockdev-create "{\"job-id\":\"file\",\"options\":{\"driver\":\"file\",\"filename\":\"$image\",\"size\":0}}"
qmp blockdev-add "{\"driver\":\"file\",\"node-name\":\"file\",\"filename\":\"$image\"}"
job image blockdev-create '{"job-id":"image","options":{"driver":"qcow2","file":"file","size":1048576}}'
qmp blockdev-add '{"driver":"qcow2","node-name":"image","file":"file"}'

stopped=3
qmp stop
sleep $stopped
qmp cont
holds "it goes on after it was stopped" writes 1
where='"tag":"one","vmstate":"image","devices":["image"]'
job save snapshot-save "{\"job-id\":\"save\",$where}"
holds "it goes on after it was saved" writes 1
for _ in 1 2; do
	job load snapshot-load "{\"job-id\":\"load\",$where}"
	sed -i 's/"concluded", "id": "load"/"over", "id": "load"/' "$TMP/qmp.log"
	holds "it goes on after it was set back" writes 1
done
qmp quit
wait $guest
kill $reader
watch_end
is "exit status" 0 $watch_status
hist_end | awk '{ n += $2 } END { print n }' >"$TMP/returns"
hist_event=/sys/kernel/tracing/events/kvm/kvm_exit hist_key=exit_reason
hist_end | awk '{ print $1 ":" $2 }' | tr '\n' ' ' >"$TMP/theirs"

ask "exits per reason, as tracefs counts them" "\"$(cat "$TMP/theirs")\"" '$watch | map(select(.scope == "total" and .kind == "kvm")) |
	group_by(.reason_code) | map("\(.[0].reason_code):\(map(.count) | add) ") | join("")'
ask "exits to user space, as tracefs counts them" "$(cat "$TMP/returns")" \
	'$watch | map(select(.scope == "total" and .kind == "userspace").count) | add'
ask "it is one VM with one vCPU all the time" 1 '$watch | map(select(.scope == "total" and .monitor == "vcpu_load") | [.vm_id, .vcpu]) |
	unique | length'
ask "what it was stopped for is the VMM's" true "\$watch | map(select(.scope == \"total\" and .monitor == \"vcpu_load\")) |
	all(.vmm_ns + .blocked_ns >= ${stopped}e9)"
ask "no time is longer than the run, or negative" 0 '($watch | map(select(.scope == "total").interval_ns) | max) as $run |
	$watch | map(select(.scope == "total" and ((.max_ns // 0) > $run or (.total_ns // 0) > $run or (.min_ns // 0) < 0 or
	(.wall_ns // 0) > $run))) | length'
ask "nothing is lost" 0 '[lost | to_entries[] | select(.key != "exits_untraced" and .key != "exits_untimed").value] | add'
answers
echo "# $(summary .lost)"
done_testing
