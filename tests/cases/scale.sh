# SPDX-License-Identifier: GPL-2.0-only
# Hundreds of vCPUs: kvm_watcher watches soon after its start, has a row for each vCPU with every exit, loses nothing,
# and takes little CPU itself. Counts are exact. Times are of a host with other work: the bounds are a few times what
# docs/cost.md promises; what was measured is told in lines that begin with "#".
# host time
. "$(dirname "$0")/lib.sh"

# Fewer slots than vCPUs: so many are shown, the others' exits are counted, and the message says what helps.
# The vCPUs sleep in their VMM at the end, so that all are there at once; who ends first makes room for another one.
guest_at_gate 8 --vcpus=8 out=99 sleep=1000
if watch -e -p "$gated" --max-vcpus=4; then
	open_gate
	wait "$gated"
	watch_end
	ask_defs='def rows: $watch | map(select(.scope == "total" and .reason == "IO"));'
	ask "--max-vcpus=4: four of eight vCPUs with all their exits" 4 'rows | map(select(.count == 101)) | length'
	ask "--max-vcpus=4: the others' exits are lost, and counted" 808 \
		'(rows | map(.count) | add) + lost.thread_unknown'
	ask_true "--max-vcpus=4: for want of room" 'lost.thread_unknown >= 300 and lost.vcpus_full >= 300'
	answers
	is "--max-vcpus=4: the message names the option" 1 \
		"$(grep -c 'lost: .* vcpus_full .*raise --max-vcpus above 4$' "$TMP/watch.err")"
else
	fail "--max-vcpus=4: kvm_watcher starts"
	open_gate
fi

case $(vendor) in
none) vms=200 exits=600 most_ms=2500 most_idle=2000 most_busy=9000 ;;
# Emulated, on one processor: shares of it say nothing of a real one, and are only told.
*) vms=24 exits=60 most_ms= ;;
esac
vcpus=$((2 * vms))

# started: ms from the command to the moment from which all is watched, by the run's last line
started()
{
	summary "(.ts_ns - .duration_ns) / 1e6 - $began_ms | floor"
}

# cpu: user space's share of one CPU while it watched, in 1/1000 %
cpu()
{
	summary '.watching_cpu_ns * 100000 / .duration_ns | floor'
}

# at_most NAME LIMIT GOT UNIT: asked where times are a real host's
at_most()
{
	echo "# $1: $3 $4"
	[ -z "$most_ms" ] || holds "$1: at most $2 $4" test "$3" -le "$2"
}

# memory: of the BPF maps, which show as what their descriptors lock, and of the process
memory()
{
	maps_kb=$(cat /proc/"$watch_pid"/fdinfo/* 2>/dev/null | awk '/^map_type/ { map = 1 } /^prog_type|^pos/ { map = 0 }
		map && /^memlock/ { sum += $2 } END { print int(sum / 1024) }')
	rss_kb=$(awk '/^VmRSS/ { print $2 }' "/proc/$watch_pid/status")
	echo "# $1: maps $maps_kb KiB, process $rss_kb KiB"
}

# vms_at_gate ARGUMENT...: they are there, none runs
vms_at_gate()
{
	guest_at_gate $vcpus --vms=$vms --vcpus=2 --timeout=600 "$@"
}

label="$vms VMs, $vcpus vCPUs"
# Idle: each vCPU has left the guest once, its thread sleeps.
vms_at_gate sleep=100000
open_gate
began_ms=$(uptime_ms)
if watch -e --interval=1; then
	sleep 4
	memory "$label, -e"
	watch_end
	at_most "$label: until it watches (goal 500)" "$most_ms" "$(started)" ms
	at_most "$label, idle: CPU of user space (goal 1000)" "$most_idle" "$(cpu)" "thousandths of a per cent"
	no_loss "$label, idle: nothing lost"
else
	fail "$label: kvm_watcher starts"
fi

# Everything at once, for its memory.
began_ms=$(uptime_ms)
if watch -e -f -d -w -n -o -h -l -i -c -T --temp-dir="$TMP/temp" --summary; then
	memory "$label, all monitors"
	watch_end
	echo "# $label, all monitors: watching after $(started) ms"
else
	fail "$label, all monitors: kvm_watcher starts"
fi
kill "$gated"
wait "$gated" 2>/dev/null

# All of them exit to user space as often as they can.
vms_at_gate out=$exits
if watch -e --interval=1; then
	open_gate
	wait "$gated"
	watch_end
	cp "$TMP/$gated.json" "$TMP/guest.json"
	at_most "$label, all exiting: CPU of user space (goal 3000)" "$most_busy" "$(cpu)" "thousandths of a per cent"
	grep '"scope":"total"' "$TMP/watch.json" | grep "\"pid\":$gated," >"$TMP/total.json"
	tail -n 1 "$TMP/watch.json" >>"$TMP/total.json"
	mv "$TMP/total.json" "$TMP/watch.json"
	echo "# $label: $((vcpus * (exits + 1))) exits in $(summary '.duration_ns / 1e6 | floor') ms"
	ask "$label: every exit of every vCPU" "\"$vcpus of $((exits + 1))\"" \
		'$watch | map(select(.reason == "IO")) | group_by(.count) | map("\(length) of \(.[0].count)") | join(", ")'
	ask "$label: all VMs" $vms '$watch | map(select(.reason == "IO") | .vm) | unique | length'
	answers
	no_loss "$label: nothing lost"
else
	fail "$label: kvm_watcher starts"
	kill "$gated"
fi
done_testing
