# SPDX-License-Identifier: GPL-2.0-only
# All monitors count from one moment to one moment, and time that is not over is shown where it passes.
. "$(dirname "$0")/lib.sh"

# rows(MONITOR; SCOPE) of the generator's VMs; timed ones have total_ns.
ask_defs='def rows(m; s): [$guest[].pid] as $pids | $watch | map(select(.monitor == m and .scope == s and
	has("total_ns") and (.pid as $p | $pids | index($p))));
def ends: $watch | map(select(.scope == "interval") | .ts_ns) | unique;
def length_of($ts): (ends | index($ts)) as $i | if $i > 0 then $ts - ends[$i - 1] else 0 end;
def key: [.pid, .tid, .vcpu, .kind, .reason, .name, .fd_kind];
def sums(m; s): rows(m; s) | group_by(key) | map([(.[0] | key), (map(.total_ns) | add)]);'

# lasts LABEL MONITOR ROWS: where it lasts all of an interval, it is all of the interval's time
lasts()
{
	# Of six; a machine whose looks are slow misses some.
	ask_true "$1: open in at least three intervals" "rows(\"$2\"; \"interval\") | map(select($3 and .open == 1)) |
		length > 2"
	ask_true "$1: an interval that it lasts through has its own length of it" \
		"rows(\"$2\"; \"interval\") | map(select($3)) | [range(1; length) as \$i | .[\$i] |
			select(.open == 1 and \$i > 1)] | all(.[]; .total_ns == length_of(.ts_ns))"
	ask_true "$1: over at the end" "rows(\"$2\"; \"total\") | map(select($3)) | length == 1 and .[0].open == 0"
}

# A VMM that holds its vCPU for 3 s, then a halt of 3 s.
lasting()
{
	guest_at_gate 1 --halt-poll=0 sleep=3000 hlt=1:3000000 out=3
	kvm_watcher -e -w -o -l --summary --format=json --interval=0.5 >"$TMP/watch.json" 2>"$TMP/watch.err" &
	watch_pid=$!
	while ! grep -qs "watching" "$TMP/watch.err" && kill -0 "$watch_pid" 2>/dev/null; do sleep 0.1; done
	open_gate
	wait "$gated"
	kill -INT "$watch_pid"
	wait "$watch_pid"
	watch_pid=
	cp "$TMP/$gated.json" "$TMP/guest.json"
	lasts "an exit to the VMM" vm_exit '.kind == "userspace" and .reason == "IO"'
	lasts "a halt" vcpu_wakeup true
	lasts "KVM_RUN" kvm_ioctl '.name == "KVM_RUN"'
	if why=$(missing vm_exit kvm_exit); then
		skip "a halt is an exit" "$why"
	else
		lasts "a halt is an exit" vm_exit '.kind == "kvm" and (.reason | ascii_downcase) == "hlt"'
	fi
	for monitor in vm_exit vcpu_wakeup kvm_ioctl vcpu_load; do
		ask "$monitor: the intervals' times add up to the total" "sums(\"$monitor\"; \"total\")" \
			"sums(\"$monitor\"; \"interval\") | map(select(.[1] > 0))"
		# Of a halt whose begin nobody told, the first part comes at its end.
		if why=$(test $monitor = vcpu_wakeup && missing vcpu_wakeup kvm_vcpu_halt); then
			skip "$monitor: no interval has more than its length" "$why"
			continue
		fi
		ask_true "$monitor: no interval has more than its length" "ends[-1] as \$last |
			rows(\"$monitor\"; \"interval\") | all(.[]; .ts_ns == ends[0] or
				.ts_ns == \$last or .total_ns <= length_of(.ts_ns))"
	done
	answers
}

# A VM that was there already, halted all the time.
already_there()
{
	kvm_guest --timeout=90 hlt=1:50000000 >"$TMP/halted.json" 2>&1 &
	halted=$!
	sleep 1.5
	kvm_watcher -e -w -o -l --summary --format=json -t 2 >"$TMP/watch.json" 2>"$TMP/watch.err"
	echo "{\"pid\":$halted}" >"$TMP/guest.json"
	# shellcheck disable=SC2016
	wall='$watch[-1].duration_ns'
	for monitor in vm_exit vcpu_wakeup vcpu_load kvm_ioctl; do
		ask_true "already there: $monitor: no row has more time than the window" \
			"rows(\"$monitor\"; \"total\") | all(.[]; .total_ns <= $wall)"
	done
	ask "already there: halted all the time" "$wall" 'rows("vcpu_wakeup"; "total")[0].total_ns'
	ask "already there: and not counted, as it is not over" "[0,1]" \
		'rows("vcpu_wakeup"; "total")[0] | [.count, .open]'
	answers
	kill $halted 2>/dev/null
	wait $halted 2>/dev/null
}

# And one that exits all the time, with all monitors: what two of them count is the same.
agrees()
{
	kvm_guest --timeout=90 out=1000000000 >"$TMP/exiting.json" 2>&1 &
	exiting=$!
	sleep 0.5
	kvm_watcher -e -f -m -d -w -n -o -h -l -i -c -T --summary --temp-dir="$TMP" --format=json -t 2 \
		>"$TMP/watch.json" 2>"$TMP/watch.err"
	kill $exiting
	wait $exiting 2>/dev/null
	echo "{\"pid\":$exiting}" >"$TMP/guest.json"
	# Per mille: both are read a moment after the other, at the begin and at the end.
	ask_range "all monitors: KVM_RUN and exits to the VMM agree" 800 1250 \
		'([rows("vm_exit"; "total")[] | select(.kind == "userspace") | .count] | add) * 1000 /
		 ([rows("kvm_ioctl"; "total")[] | select(.name == "KVM_RUN") | .count] | add)'
	ask_true "all monitors: a VM that exits all the time: no row has more time than the window" \
		"[rows(\"vm_exit\"; \"total\"), rows(\"vcpu_load\"; \"total\"), rows(\"kvm_ioctl\"; \"total\")] | add |
			length > 2 and all(.[]; .total_ns <= $wall)"
	answers
}

lasting
already_there
if planned agree; then
	agrees
fi
done_testing
