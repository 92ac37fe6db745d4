# SPDX-License-Identifier: GPL-2.0-only
# --format=perfetto and --format=folded: a trace has each single event once, by Perfetto's own trace processor, and its
# counters are what the intervals counted; in folded stacks each nanosecond of the budget is once. Live and from a
# recording.
# shellcheck disable=SC2317
. "$(dirname "$0")/lib.sh"

tests=$(dirname "$0")/..

# traced OPTION...: a run with a trace and a recording of the same intervals, beside guests; then the recording as JSON
traced()
{
	rm -f "$TMP/run.zst"
	kvm_watcher "$@" --format=perfetto --output="$TMP/live.pftrace" --interval=0.4 \
		--record="$TMP/run.zst" --record-interval=0.4 --temp-dir="$TMP" 2>"$TMP/run.err" &
	pid=$!
	until grep -qs "watching .* until" "$TMP/run.err"; do
		kill -0 $pid 2>/dev/null || { fail "$*: it watches" "$(cat "$TMP/run.err")"; return 1; }
		sleep 0.1
	done
	for i in 1 2; do
		kvm_guest --vms=2 --vcpus=2 --separate cpuid=30 out=50 spin=60 hlt=10:1000 \
			>"$TMP/guest.$i" 2>&1 || fail "$*: the generator ran" "$(cat "$TMP/guest.$i")"
	done
	kill -INT $pid
	wait $pid && pass "$*: exit status 0" || fail "$*: exit status 0" "$(tail -3 "$TMP/run.err")"
	kvm_watcher replay "$TMP/run.zst" --events --format=perfetto >"$TMP/replay.pftrace" 2>"$TMP/replay.err" &&
		cmp "$TMP/live.pftrace" "$TMP/replay.pftrace" 2>"$TMP/replay.err" && test -s "$TMP/live.pftrace" &&
		pass "$*: the recording as a trace: byte by byte the same" ||
		fail "$*: the recording as a trace: byte by byte the same" "$(cat "$TMP/replay.err")"
	kvm_watcher replay "$TMP/run.zst" --events --format=json >"$TMP/run.json" 2>"$TMP/replay.err" &&
		pass "$*: the recording as JSON" || fail "$*: the recording as JSON" "$(cat "$TMP/replay.err")"
}

# by_vcpu FILE: of folded stacks "VM;vcpu N SUM", sorted
by_vcpu()
{
	awk '{
		ns = $NF
		sub(/ [0-9]+$/, "")
		split($0, frame, ";")
		sum[frame[1] ";" frame[2]] += ns
	}
	END { for (i in sum) printf "%s %.0f\n", i, sum[i] }' "$1" | sort
}

exits=-e
test -z "$(missing vm_exit kvm_exit)" && exits="-e --detail"
traced $exits -o -l --events

kvm_watcher replay "$TMP/run.zst" --format=folded >"$TMP/run.folded"
is "folded stacks: VM, vCPU, state, reason" "$(wc -l <"$TMP/run.folded")" \
	"$(grep -cE '^[^;]+;vcpu [0-9]+;(guest|kvm|vmm|poll|halted|steal|blocked|unaccounted)(;[^;]+)* [0-9]+$' "$TMP/run.folded")"
jq -rs 'map(select(.scope == "total" and .table == "VCPU_LOAD")) as $rows | $rows[] | . as $row |
	(if any($rows[]; .vm == $row.vm and .vm_id != $row.vm_id) then "\(.vm) (\(.pid))" else .vm end) +
	";vcpu \(.vcpu) \([.guest_ns, .kvm_ns, .vmm_ns, .poll_ns, .halted_ns, .steal_ns, .blocked_ns, .unaccounted_ns] |
	map(. // 0) | add)"' "$TMP/run.json" | sort >"$TMP/budget"
by_vcpu "$TMP/run.folded" >"$TMP/sums"
is "folded stacks: each vCPU's sum is its budget's" "$(cat "$TMP/budget")" "$(cat "$TMP/sums")"
test "$(wc -l <"$TMP/sums")" -ge 8 && pass "folded stacks: all vCPUs" || fail "folded stacks: all vCPUs" "$(cat "$TMP/sums")"
grep -q ';vmm;IO ' "$TMP/run.folded" && pass "folded stacks: the VMM's time by reason" ||
	fail "folded stacks: the VMM's time by reason" "$(head "$TMP/run.folded")"
if test "$exits" = -e; then
	skip "folded stacks: KVM's time by reason and detail" "$(missing vm_exit kvm_exit)"
else
	grep -qE ';kvm;cpuid;0x[^;]* [0-9]+$|;kvm;CPUID;0x[^;]* [0-9]+$' "$TMP/run.folded" &&
		pass "folded stacks: KVM's time by reason and detail" ||
		fail "folded stacks: KVM's time by reason and detail" "$(grep ';kvm' "$TMP/run.folded" | head)"
fi

# Without a budget: what the exits took, which has what the VMM took of it.
kvm_watcher replay "$TMP/run.zst" --format=folded --table=KVM_EXIT,KVM_USERSPACE_EXIT >"$TMP/exits.folded"
jq -rs 'map(select(.scope == "total" and (.table == "KVM_EXIT" or .table == "KVM_USERSPACE_EXIT"))) as $rows |
	$rows | group_by(.vm_id, .vcpu) | map(.[0] as $row |
	(if any($rows[]; .vm == $row.vm and .vm_id != $row.vm_id) then "\($row.vm) (\($row.pid))" else $row.vm end) +
	";vcpu \($row.vcpu) \([(map(select(.table == "KVM_EXIT").total_ns) | add // 0),
		(map(select(.table == "KVM_USERSPACE_EXIT").total_ns) | add // 0)] | max)")[]' "$TMP/run.json" |
	sort >"$TMP/exits"
is "folded stacks of exits: each vCPU's sum is theirs" "$(cat "$TMP/exits")" "$(by_vcpu "$TMP/exits.folded")"

kvm_watcher -T --format=folded -t 0.1 >"$TMP/out" 2>"$TMP/err"
is "folded stacks: of no time of vCPUs there are none" "2
kvm_watcher: --format=folded needs a table of where vCPU time goes; choose --vm_exit or --vcpu_load" "$?
$(cat "$TMP/err")"

if planned trace; then
has_tool "a terminal gets no trace" script && {
	script -qec "kvm_watcher -o --format=perfetto -t 0.1" /dev/null </dev/null >"$TMP/err" 2>&1
	is "a terminal gets no trace" \
		"2 kvm_watcher: --format=perfetto is binary; write it to a file with --output=FILE, or to a pipe" \
		"$? $(tr -d '\r' <"$TMP/err")"
}
if ! has_tool "Perfetto's trace processor" node; then
	:
elif processor=$("$tests/trace/fetch.sh" 2>"$TMP/err"); then
	# sql TRACE QUERY...
	sql()
	{
		trace=$1
		shift
		node "$tests/trace/sql.mjs" "$processor" "$TMP/$trace.pftrace" "$@" 2>&1
	}

	events="select 'events', count(*) from slice"
	names="select 'name', s.name, count(*), sum(dur) from slice s join track t on t.id = s.track_id
		where t.name = 'KVM_IOCTL_CALLS' group by s.name order by s.name"
	wrong="select 'wrong', name, value from stats where severity != 'info' and value != 0 order by name"
	nested="select 'nested', count(*) from slice where depth > 0 and dur > 0"
	# A value is there until the next one.
	counted="select 'counted', g.name, cast(round(sum(value * ns) / 1e9) as int) from
		(select track_id, value, lead(ts) over (partition by track_id order by ts) - ts ns from counter) c
		join track t on t.id = c.track_id join track g on g.id = t.parent_id
		where ns is not null and (t.name = 'count' or t.name like '% count') group by g.name order by g.name"
	tracks="select 'track', v.name, count(distinct p.name) from track t join track p on p.id = t.parent_id
		join track v on v.id = p.parent_id where t.name = 'VCPU_LOAD' group by v.name order by v.name"
	begins="select 'begin', min(ts), max(ts + dur) from slice"
	sql live "$events" "$names" "$wrong" "$nested" "$counted" "$tracks" "$begins" >"$TMP/live.rows"
	{
		jq -rs 'map(select(.scope == "event")) | "events\t\(length)"' "$TMP/run.json"
		jq -rs 'map(select(.table == "KVM_IOCTL_CALLS")) | group_by(.name) |
			map("name\t\(.[0].name)\t\(length)\t\(map(.duration_ns) | add)")[]' "$TMP/run.json"
		echo "nested	0"
		jq -rs 'map(select(.scope == "interval" and .count and (.table | IN("KVM_IOCTL", "VCPU_LOAD", "KVM_USERSPACE_EXIT",
			"KVM_EXIT", "KVM_EXIT_DETAIL")))) | group_by(.table) |
			map("counted\t\(.[0].table)\t\(map(.count) | add)")[]' "$TMP/run.json"
		jq -rs 'map(select(.table == "VCPU_LOAD")) | group_by("\(.vm) (\(.pid))") |
			map("track\t\(.[0].vm) (\(.[0].pid))\t\(map(.vcpu) | unique | length)")[]' "$TMP/run.json"
		jq -rs 'map(select(.table == "KVM_IOCTL_CALLS")) |
			"begin\t\(map(.ts_ns - .duration_ns) | min)\t\(map(.ts_ns) | max)"' "$TMP/run.json"
	} >"$TMP/expected"
	is "a trace has each event, with its name and time" "$(cat "$TMP/expected")" "$(cat "$TMP/live.rows")"
	test "$(jq -s 'map(select(.scope == "event")) | length' "$TMP/run.json")" -gt 50 && pass "there were events" ||
		fail "there were events"

	traced $exits -l -w --slower-than=5us --keep=20
	is "the longest events, in the order of their times: each once" \
		"$(jq -rs 'map(select(.scope == "event")) | "events\t\(length)"' "$TMP/run.json")
nested	0" "$(sql live "$events" "$nested" "$wrong")"
elif test "$CI" = true; then
	fail "Perfetto's trace processor" "$(cat "$TMP/err")"
else
	skip "Perfetto's trace processor" "$(cat "$TMP/err")"
fi
part_ends
fi

done_testing
