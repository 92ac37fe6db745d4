# SPDX-License-Identifier: GPL-2.0-only
# Single events at the highest rate that the generator makes, and beyond what the ring holds: every event is shown or
# counted as lost, and the counters of the run have all of them. What was reached is told in lines that begin with "#".
. "$(dirname "$0")/lib.sh"

everyone=1
# In machines jq takes long for many lines: events are counted as lines, only the others are looked into. Events of
# other VMs of this host are shown or lost like ours: $made is of all, $got of ours.
count_events()
{
	shown=$(grep -c '"scope":"event"' "$TMP/watch.json")
	grep -v '"scope":"event"' "$TMP/watch.json" >"$TMP/rest.json"
	jq -rn --slurpfile rest "$TMP/rest.json" --slurpfile guest "$TMP/guest.json" '
		($guest | map(.pid // empty) | unique) as $pids |
		($rest | map(select(.scope == "total" and .count != null))) as $totals | $rest[-1] as $last |
		($totals | map('"$counts"') | add // 0),
		($totals | map(select(.pid | IN($pids[]))) | map('"$compared"') | add // 0),
		($totals | map(select(.pid | IN($pids[]) | not)) | length),
		($guest | '"$truth"'), $last.lost.events,
		($last.lost | del(.events) | map_values(select(. > 0)) | tojson),
		($last.watching_cpu_ns / 1e6 | floor),
		($guest | map(select(.what == "done") | .seconds) | add)' >"$TMP/numbers" || return
	{ read -r made; read -r got; read -r foreign; read -r expected; read -r lost; read -r others; read -r cpu_ms; read -r seconds; } \
		<"$TMP/numbers"
	# VMs that run when it begins or ends: counters have what happens until they are read, moments later. The events of these
	# moments are neither shown nor lost.
	if test "$foreign" -gt 0; then
		holds "$label: shown and lost are all events that were made, but for those at the edges: $made" \
			test $((made - shown - lost)) -le $((made / 20)) -a $((shown + lost)) -le "$made"
	else
		is "$label: shown and lost are all events that were made" "$made" "$((shown + lost))"
	fi
	if test "$expected" = unknown; then
		:
	elif test "$expected" = null; then
		skip "$label: the totals are what the generator did" "this kernel does not count them itself"
	else
		is "$label: the totals are what the generator did" "$expected" "$got"
	fi
	is "$label: nothing else was lost" '{}' "$others"
}

# begin WATCH_OPTION...: the monitor's, and these
begin()
{
	# shellcheck disable=SC2086
	watch $options "$@" && return
	fail "$label: kvm_watcher starts"
	return 1
}

# generate ARGUMENTS
generate()
{
	# shellcheck disable=SC2086
	holds "$label: the generator does what it says" guest $1
}

at_full_rate()
{
	label="$monitor at the highest rate"
	begin || return
	generate "$many"
	watch_end
	preempted "$label" --hooks=any && return
	count_events
	echo "# $monitor: $made events in $seconds s, $(jq -n "$made / $seconds | floor") a second; lost: $lost;" \
		"user space took $cpu_ms ms of CPU, $(jq -n "$cpu_ms * 1e5 / ($shown + 1) | floor / 100") us for each"
}

# More events than a ring of 1 MiB holds, and nobody who reads them meanwhile.
some_lost()
{
	count_events
	if test "$lost" -gt 0 && test "$shown" -gt 0; then
		pass "$label: some were shown, some lost"
	else
		fail "$label: some were shown, some lost" "shown $shown, lost $lost, made $made"
	fi
	is "$label: the message names the option" 1 "$(grep -c 'lost: .* events .*raise --ring-size above 1 MiB' "$TMP/watch.err")"
	echo "# $monitor: of $made events $shown were shown, $lost lost"
}

while_stopped()
{
	label="$monitor while kvm_watcher is stopped"
	begin --ring-size=1 || return
	kill -STOP "$watch_pid"
	generate "$few"
	kill -CONT "$watch_pid"
	watch_end
	preempted "$label" --hooks=any || some_lost
}

# The pipe is full, so kvm_watcher waits in write().
while_nobody_reads()
{
	label="$monitor while nobody reads"
	mkfifo "$TMP/pipe"
	{
		while ! test -e "$TMP/read"; do sleep 0.1; done
		cat
	} <"$TMP/pipe" >"$TMP/read.json" &
	reader=$!
	rm -f "$TMP/watch.json"
	ln -s "$TMP/pipe" "$TMP/watch.json"
	if begin --ring-size=1; then
		generate "$few"
		: >"$TMP/read"
		watch_end
		wait $reader
		mv "$TMP/read.json" "$TMP/watch.json"
		preempted "$label" --hooks=any || some_lost
	else
		kill $reader
	fi
	rm -f "$TMP/watch.json" "$TMP/pipe" "$TMP/read"
}

# Events come all the time, faster than they are taken: the end comes nevertheless.
ends_while_flooded()
{
	label="$monitor with too many events"
	# shellcheck disable=SC2086
	kvm_guest --timeout=60 --repeat=1000 $many >/dev/null 2>&1 &
	flood=$!
	mkfifo "$TMP/pipe"
	while dd bs=131072 count=1 2>/dev/null; do sleep 0.02; done <"$TMP/pipe" >"$TMP/slow.json" &
	reader=$!
	rm -f "$TMP/watch.err"
	# shellcheck disable=SC2086
	timeout 30 kvm_watcher --format=json --interval=3600 $options --ring-size=1 -t 1 >"$TMP/pipe" 2>"$TMP/watch.err"
	is "$label: -t ends it" 0 $?
	if kill -0 $flood 2>/dev/null; then
		pass "$label: while they still come"
	else
		fail "$label: while they still come" "the generator has ended"
	fi
	kill $flood
	sleep 1
	kill $reader
	wait $flood $reader 2>/dev/null
	mv "$TMP/slow.json" "$TMP/watch.json"
	echo '{"what":"done","seconds":1}' >"$TMP/guest.json"
	truth='"unknown"'
	count_events
	echo "# $monitor: of $made events $shown were shown, $lost lost"
	rm -f "$TMP/pipe"
}

# rates MONITOR NEED OPTIONS MANY FEW COUNTS COMPARED TRUTH: what the generator does at the highest rate, and what is
# enough for a full ring; then jq's: which part of a total row counts events, which of our rows' is compared with what
# the generator, or KVM itself, says. False when there is nothing to measure.
rates()
{
	monitor=$1 options=$3 many=$4 few=$5 counts=$6 compared=$7 truth=$8
	why=$(missing "$monitor" "$2")
	if test -n "$why"; then
		skip "$monitor" "$why"
		return 1
	fi
	at_full_rate
	while_stopped
}

log=bitmap
needs mark_page_dirty | grep -q '"hook":"[a-z_]*/kvm_dirty_ring_push"' && log=ring
# What the generator does at the highest rate; in machines it takes long, and more is proven below.
case $(vendor) in
none) calls=1000 lines=600 halts=2500 faults=15000 dirty=10000:4 irqs=9000 ;;
*) calls=60 lines=20 halts=250 faults=3000 dirty=5000:2 irqs=1500 ;;
esac
# A ring of 1 MiB holds 6224 calls, 8738 faults, 10922 dirty pages, 11915 events of -c, 14563 of -i and 16383 of -w.
if rates kvm_ioctl ioctl_return "-l --events" "msi=$calls" "msi=120" 'select(.name != "KVM_RUN") | .count' \
	'select(.name == "KVM_SIGNAL_MSI") | .count' \
	'map(select(.what == "ioctl" and .cmd == 1075883685) | .count) | add'; then
	while_nobody_reads
	ends_while_flooded
fi
planned monitors || done_testing
# The same ring, other sizes of events.
rates kvm_irqchip kvm_ioapic_set_irq_event -c "intr_user=1 irq_lines=$lines" "intr_user=1 irq_lines=70" .count .count \
	'map(select(.what == "irq")) | length'
rates vcpu_wakeup kvm_vcpu_wakeup -w "--vcpus=8 --halt-poll=0 hlt=$halts" "--vcpus=8 --halt-poll=0 hlt=2300" .count \
	.waited 'map(select(.what == "vm") | .stats.halt_wait_hist) | add'
rates kvmmmu_page_fault kvm_page_fault -f "touch=$faults" touch=12000 'select(.kind == "tdp") | .count' \
	'select(.kind == "tdp" and .slot == 1) | .count' 'map(select(.what == "vcpu") | .ops.touch) | add'
rates mark_page_dirty mark_page_dirty "-d --temp-dir=$TMP/temp" "--log=$log dirty=$dirty" "--log=$log dirty=14000" \
	.count 'select(.slot == 2) | .count' 'map(select(.what == "vm") | .log.pages) | add'
rates irq_inject kvm_inj_virq -i "--vcpus=2 ioapic_irq=$irqs" "--vcpus=2 ioapic_irq=8500" .count .count \
	'map(select(.what == "vm") | .stats.irq_injections) | add'
done_testing
