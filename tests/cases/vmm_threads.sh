# SPDX-License-Identifier: GPL-2.0-only
# --vmm_threads is what the scheduler has: threads that are stopped have the times of /proc/PID/task/TID/schedstat,
# to the nanosecond; a process whose threads have ended has in all those of /proc/PID/stat.
. "$(dirname "$0")/lib.sh"

# ran TID: ns on a CPU
ran()
{
	awk '{ print $1 }' "/proc/$busy/task/$1/schedstat" 2>/dev/null || echo 0
}

# Which of its threads run a vCPU, only KVM knows: those that have spun.
spun()
{
	spun_nr=0
	for spun_task in "/proc/$busy/task"/*; do
		test "$(ran "${spun_task##*/}")" -lt 100000000 || spun_nr=$((spun_nr + 1))
	done
	test $spun_nr -ge 2
}

all_stopped()
{
	! cat "/proc/$busy/task"/*/status | grep '^State:' | grep -qv 'T (stopped)'
}

# KVM's PIT works in a thread of the kernel's. Threads that the kernel makes for the process itself do not stop.
threads_of()
{
	for task in "/proc/$1/task"/*; do
		read -r cpu delay _ <"$task/schedstat"
		printf '{"what":"task","pid":%d,"tid":%d,"cpu_ns":%s,"delay_ns":%s,"comm":"%s"}\n' "$1" "${task##*/}" \
			"$cpu" "$delay" "$(cat "$task/comm")"
	done
}

rm -f "$TMP/gone"
watch --vmm_threads || fail "kvm_watcher starts"
kvm_guest --pit --vcpus=2 --cpu=0 --timeout=90 timer_oneshot=1 spin=80000 >/dev/null 2>"$TMP/busy.err" &
busy=$!
kvm_guest --vcpus=3 --end-on="$TMP/gone" spin=100 >"$TMP/ended.json" &
ended=$!
while ! spun || ! grep -q '"what":"vm"' "$TMP/ended.json"; do
	kill -0 $busy 2>/dev/null || break
	sleep 0.1
done
kill -STOP $busy
while ! all_stopped && kill -0 $busy 2>/dev/null; do
	sleep 0.05
done
{
	cat "$TMP/ended.json"
	threads_of $busy
	printf '{"what":"process","pid":%d,"ms":%d}\n' $ended \
		"$(sed 's/.*) //' /proc/$ended/stat | awk '{ print ($12 + $13) * 10 }')"
	pit=$(grep -lx "kvm-pit/$busy" /proc/[0-9]*/comm 2>/dev/null)
	test -z "$pit" || echo "$pit" | sed 's|/proc/\(.*\)/comm|{"what":"pit","tid":\1}|'
} >"$TMP/guest.json"
watch_end && pass "exit status 0" || fail "exit status 0" "$watch_status"
kill -KILL $busy
: >"$TMP/gone"
holds "the generator does what it says" wait $ended

ask_defs="def rows: \$watch | map(select(.scope == \"total\" and .table == \"VMM_THREADS\"));
def of(\$pid): rows | map(select(.pid == \$pid));"
ask "time on a CPU of each thread is the scheduler's" \
	'$guest | map(select(.what == "task") | [.tid, .cpu_ns]) | sort' \
	"\$guest | map(select(.what == \"task\").tid) as \$tids | of($busy) | map(select(.tid | IN(\$tids[])) | [.tid, .cpu_ns]) | sort"
ask "so is the time that it waited for one" \
	'$guest | map(select(.what == "task") | [.tid, .delay_ns]) | sort' \
	"\$guest | map(select(.what == \"task\").tid) as \$tids | of($busy) | map(select(.tid | IN(\$tids[])) | [.tid, .delay_ns]) | sort"
ask "names are the threads'" '$guest | map(select(.what == "task") | [.tid, .comm]) | sort' \
	"\$guest | map(select(.what == \"task\").tid) as \$tids | of($busy) | map(select(.tid | IN(\$tids[])) | [.tid, .comm]) | sort"
ask "vCPUs' threads are known" '[0, 1]' "of($busy) | map(select(.role == \"vcpu\").vcpu) | sort"
ask_true "they are those that have spun" "of($busy) | map(select(.cpu_ns >= 100000000).role) | unique == [\"vcpu\"]"
ask "they may be on one CPU" '["0", "0"]' "of($busy) | map(select(.role == \"vcpu\").cpus)"
ask "the main thread is the process" "[$busy]" "of($busy) | map(select(.role == \"main\").tid)"
ask_where '($guest | any(.what == "pit"))' "KVM's PIT has no thread of the kernel's here" "the PIT's thread is its VM's" \
	'$guest | map(select(.what == "pit").tid)' "of($busy) | map(select(.role == \"pit\").tid)"
ask_true "user and system time are all of it" 'rows | all(.user_ns + .system_ns == .cpu_ns)'
# Its main thread wakes up for the file all the time.
ask_range "threads that have ended are in the sum, in ms" '$guest | map(select(.what == "process").ms) | add' \
	'$guest | map(select(.what == "process").ms) | add + 60' "of($ended) | map(.cpu_ns) | add / 1000000"
ask_lost "nothing lost" 0 'lost | add'
answers
done_testing
