# SPDX-License-Identifier: GPL-2.0-only
# record and replay: two sinks of one run agree. What a run printed as JSON its replay prints byte by byte, whichever
# monitors ran; over longer intervals counts stay; a recorder that is killed leaves what it had; and what others have
# called a file is left alone.
# shellcheck disable=SC2317
. "$(dirname "$0")/lib.sh"

every="-c -d -f -m -h -i -l -n -o -T -w --host --nested --unmaps --vm_state --vmm_threads"
if test -z "$(missing vm_exit kvm_exit)"; then
	every="-e --detail --l2 $every"
fi

# both LABEL OPTION...: a run with JSON and a recording, of the same intervals, beside a guest
both()
{
	label=$1
	shift
	rm -f "$TMP/run.zst" "$TMP/run.err"
	# shellcheck disable=SC2086
	kvm_watcher $every "$@" --format=json --interval=0.4 --record="$TMP/run.zst" --record-interval=0.4 \
		--temp-dir="$TMP" >"$TMP/run.json" 2>"$TMP/run.err" &
	pid=$!
	until grep -qs "watching .* until" "$TMP/run.err"; do
		kill -0 $pid 2>/dev/null || { fail "$label: it watches" "$(cat "$TMP/run.err")"; return 1; }
		sleep 0.1
	done
	for i in 1 2 3; do
		kvm_guest --vms=2 --vcpus=2 --separate cpuid=30 out=50 spin=60 hlt=10:1000 \
			>"$TMP/guest.$i" 2>&1 || fail "$label: the generator ran" "$(cat "$TMP/guest.$i")"
	done
	kill -INT $pid
	wait $pid && pass "$label: exit status 0" || fail "$label: exit status 0" "$(tail -3 "$TMP/run.err")"
}

# same LABEL OPTION...: the replay is what the run printed
same()
{
	label=$1
	shift
	kvm_watcher replay "$TMP/run.zst" --format=json "$@" >"$TMP/replay.json" 2>"$TMP/replay.err" &&
		pass "$label: it is replayed" || fail "$label: it is replayed" "$(cat "$TMP/replay.err")"
	if cmp -s "$TMP/run.json" "$TMP/replay.json"; then
		pass "$label: byte by byte the same"
	else
		fail "$label: byte by byte the same" "$(diff "$TMP/run.json" "$TMP/replay.json" | cut -c1-300 | head -8)"
	fi
}

# rows FILE SCOPE: how many, and that there are some of every table that has any
rows()
{
	jq -s --arg scope "$2" 'map(select(.table and .scope == $scope)) | length' "$1"
}

both "events and histograms" --events --histogram
same "events and histograms" --events --histogram

if planned counters; then
both "all monitors" --summary
same "all monitors"
intervals=$(rows "$TMP/run.json" interval)
test "$intervals" -gt 30 && pass "there were rows to compare" || fail "there were rows to compare" "$intervals"

# A sum over intervals does not depend on their length.
sums='map(select(.scope == "interval" and .table == "VCPU_LOAD")) | group_by(.tid) |
	map("\(.[0].tid) \(map(.count) | add) \(map(.wall_ns) | add) \(map(.vmm_ns) | add)")'
short=$(jq -sc "$sums" "$TMP/run.json")
for interval in 0.8 1.3 60; do
	long=$(kvm_watcher replay "$TMP/run.zst" --format=json --interval=$interval | jq -sc "$sums")
	test "$short" = "$long" && pass "--interval=$interval: the same sums" ||
		fail "--interval=$interval: the same sums" "$short, $long"
done
by_vm=$(kvm_watcher replay "$TMP/run.zst" --format=json --by=vm --table=VCPU_LOAD |
	jq -s 'map(select(.scope == "total") | .count) | add')
by_vcpu=$(jq -s 'map(select(.scope == "total" and .table == "VCPU_LOAD") | .count) | add' "$TMP/run.json")
test "$by_vm" = "$by_vcpu" && pass "--by=vm: the same sum" || fail "--by=vm: the same sum" "$by_vm, $by_vcpu"

both "slow events" --slower-than=20us --keep=5 --histogram
same "slow events" --events --histogram

# Cut anywhere in its second half: all intervals that are shown are ones that were.
size=$(stat -c %s "$TMP/run.zst")
head -c $((size * 2 / 3)) "$TMP/run.zst" >"$TMP/cut.zst"
if kvm_watcher replay "$TMP/cut.zst" --format=json --events --histogram 2>"$TMP/cut.err" >"$TMP/cut.json"; then
	pass "a recording that was cut off is replayed"
else
	fail "a recording that was cut off is replayed" "$(cat "$TMP/cut.err")"
fi
grep -q "ends within an interval" "$TMP/cut.err" && pass "and a sentence says so" ||
	fail "and a sentence says so" "$(cat "$TMP/cut.err")"
grep '"interval"' "$TMP/cut.json" >"$TMP/cut.rows"
grep -c . "$TMP/cut.rows" >"$TMP/cut.nr"
odd=$(grep -vxFf "$TMP/run.json" "$TMP/cut.rows" | head -1)
test -z "$odd" && test -s "$TMP/cut.rows" && pass "what it has is what was" || fail "what it has is what was" "$odd"

kvm_watcher record "$TMP/killed.zst" -o --interval=0.2 2>"$TMP/killed.err" &
pid=$!
until grep -qs "watching .* until" "$TMP/killed.err"; do sleep 0.1; done
kvm_guest --vcpus=2 spin=900 >/dev/null 2>&1
kill -KILL $pid
wait $pid 2>/dev/null
nr=$(kvm_watcher replay "$TMP/killed.zst" --format=json 2>/dev/null | jq -s 'map(select(.scope == "interval")) | length')
test "${nr:-0}" -ge 4 && pass "a recorder that was killed leaves its intervals" ||
	fail "a recorder that was killed leaves its intervals" "$nr"
test "$(stat -c %a "$TMP/killed.zst")" = 600 && pass "mode 0600" || fail "mode 0600"

kvm_watcher record "$TMP/killed.zst" -o -t 0.1 2>"$TMP/again.err" &&
	fail "a file that is there is left alone" || pass "a file that is there is left alone"
grep -q -- "--force overwrites it" "$TMP/again.err" && pass "and the remedy is named" ||
	fail "and the remedy is named" "$(cat "$TMP/again.err")"
kvm_watcher record "$TMP/killed.zst" -o -t 0.1 --force 2>/dev/null && pass "--force" || fail "--force"

part_ends
fi

# of_rate FILE N: a guest that does N CPUIDs every 150 ms
of_rate()
{
	ops=$(for i in $(seq 1 31); do printf 'cpuid=%s spin=150 ' "$2"; done)
	rm -f "$TMP/rate.err"
	kvm_watcher record "$1" -e -o --interval=0.2 2>"$TMP/rate.err" &
	pid=$!
	until grep -qs "watching .* until" "$TMP/rate.err"; do sleep 0.1; done
	# shellcheck disable=SC2086
	kvm_guest $ops >"$TMP/rate.guest" 2>&1 || fail "the generator ran" "$(cat "$TMP/rate.guest")"
	kill -INT $pid
	wait $pid
}

if planned diff; then
	of_rate "$TMP/a.zst" 300
	of_rate "$TMP/b.zst" 600
	of_rate "$TMP/again.zst" 300
	kvm_watcher diff "$TMP/a.zst" "$TMP/b.zst" --format=json >"$TMP/diff.json" 2>"$TMP/diff.err"
	row='.of_table == "KVM_EXIT" and (.labels | ascii_downcase | startswith("cpuid"))'
	jq -s "map(select(.table == \"DIFF\" and .column == \"count\" and ($row)))" "$TMP/diff.json" >"$TMP/doubled.json"
	jq -e 'length == 1 and .[0].verdict == "worse" and
		.[0].change > 90 and .[0].change < 110' "$TMP/doubled.json" >/dev/null &&
		pass "twice as many are found, with their factor" ||
		fail "twice as many are found, with their factor" "$(jq -c '.[]' "$TMP/doubled.json")"
	kvm_watcher diff "$TMP/a.zst" "$TMP/again.zst" --format=json 2>/dev/null |
		jq -s "map(select(.table == \"DIFF\" and .column == \"count\" and ($row)) | .verdict)" >"$TMP/same.json"
	jq -e '. == ["~"]' "$TMP/same.json" >/dev/null && pass "the same again is no difference" ||
		fail "the same again is no difference" "$(cat "$TMP/same.json")"
	kvm_watcher diff "$TMP/a.zst" "$TMP/b.zst" >"$TMP/diff.table" 2>/dev/null
	grep -q "100\|9[0-9]\." "$TMP/diff.table" && pass "a table for people" || fail "a table for people" "$(cat "$TMP/diff.table")"
	kvm_watcher diff "$TMP/a.zst" "$TMP/b.zst" --fail-above=50 >/dev/null 2>&1
	code=$?
	test $code = 3 && pass "--fail-above: exit code 3" || fail "--fail-above: exit code 3" "$code"
	kvm_watcher diff "$TMP/a.zst" "$TMP/again.zst" --fail-above=90 >/dev/null 2>&1 &&
		pass "--fail-above: 0 without a change" || fail "--fail-above: 0 without a change" "$?"
	part_ends
fi

done_testing
