# SPDX-License-Identifier: GPL-2.0-only
# VMs that start and end while -e watches: nothing is lost, nothing mixed up,
# and slots are used again. -p, --vm and --vcpu choose among VMs that run at
# the same time.
. "$(dirname "$0")/lib.sh"

# Exits IO to user space are seen on every host; the generator does one more for its end.
io='.kind == "userspace" and .reason == "IO"'

totals_are()
{
	is "$1" "$(guests .user_exits.IO)" "$(per_vcpu "$io")"
}

# Rounds of new VMs in one process; the intervals retire the ended ones meanwhile.
if watch -e --interval=0.2; then
	guest --vms=2 --vcpus=2 --repeat=6 --separate --pause-ms=60 out=41
	watch_end
	totals_are "12 VMs that come and go in processes of their own"
	is "their intervals add up to their totals" \
		"$(jq -s "map(select(.scope == \"total\" and ($io)) | .count) | add" "$TMP/watch.json")" \
		"$(jq -s "map(select(.scope == \"interval\" and ($io)) | .count) | add" "$TMP/watch.json")"
	no_loss "nothing lost over the rounds"
else
	fail "kvm_watcher starts"
fi

if ! planned rounds; then
	:
elif watch -e --interval=0.2; then
	guest --vms=1 --vcpus=2 --repeat=8 --pause-ms=30 out=43
	watch_end
	totals_are "8 VMs one after the other in one process"
	no_loss "nothing lost over those"
else
	fail "kvm_watcher starts"
fi

# More vCPUs in all than there are slots: ended ones must give theirs back.
rounds=20
if ! planned many; then
	:
elif test "$(nproc)" -gt 16; then
	skip "more vCPUs than slots" "$(nproc) CPUs: there are slots for more vCPUs than the test makes"
elif watch -e --interval=3600; then
	guest --vms=2 --vcpus=8 --repeat=$rounds --pause-ms=20 out=3
	watch_end
	is "$((rounds * 16)) vCPUs through 256 slots in one interval: exits" $((rounds * 16 * 4)) \
		"$(jq -s "map(select(.scope == \"total\" and ($io)) | .count) | add" "$TMP/watch.json")"
	no_loss "no slot was missing"
else
	fail "kvm_watcher starts"
fi

part_ends
# One thread, one VM after the other: the kernel likes to reuse their addresses.
if watch -e; then
	guest --same-thread --repeat=6 out=7
	watch_end
	is "6 VMs one after the other in one thread are 6" "8 8 8 8 8 8" \
		"$(jq -rs "map(select(.scope == \"total\" and ($io)) | .count) | join(\" \")" "$TMP/watch.json")"
else
	fail "kvm_watcher starts"
fi

# The thread lives on, and so do not their slots: 24 vCPUs through 6.
guest_at_gate 1 --same-thread --repeat=24 --pause-ms=40 out=3
if watch -e -p "$gated" --max-vcpus=6; then
	open_gate
	wait "$gated"
	watch_end
	is "24 VMs one after the other in one thread, with 6 slots" "24 times 4" \
		"$(jq -rs 'map(select(.scope == "total" and ('"$io"')) | .count) | "\(length) times \(unique | join(" "))"' \
		"$TMP/watch.json")"
	no_loss "no slot was missing for them"
else
	fail "kvm_watcher starts"
fi

# Two at once, one is chosen.
guest_at_gate 2 --vcpus=2 --name=right out=53
right=$gated
guest_at_gate 2 --vcpus=2 --name=left out=47
left=$gated
if watch -e -p $left; then
	open_gate
	wait $left $right
	watch_end
	cp "$TMP/$left.json" "$TMP/guest.json"
	totals_are "-p: this VM's exits"
	is "-p: no other pid" "$left" "$(jq -s 'map(.pid // empty) | unique | map(tostring) | join(" ")' \
		"$TMP/watch.json" | tr -d '"')"
else
	fail "kvm_watcher starts with -p"
	open_gate
	wait $left $right
fi

if ! planned filters; then
	:
elif watch -e --vcpu=1,3 --vm='kvm_g*'; then
	guest --vcpus=4 out=59
	watch_end
	is "--vcpu=1,3: these vCPUs and no other" "1 3" \
		"$(jq -rs 'map(select(.scope == "total") | .vcpu) | unique | join(" ")' "$TMP/watch.json")"
else
	fail "kvm_watcher starts with --vcpu"
fi

if ! planned filters; then
	:
elif watch -e --vm='no such*'; then
	guest out=5
	watch_end
	is "--vm: a pattern that matches nothing shows nothing" 0 \
		"$(jq -s 'map(select(.scope == "total")) | length' "$TMP/watch.json")"
else
	fail "kvm_watcher starts with --vm"
fi

# watch_in NAMESPACE...: from within it, while a guest outside runs through several intervals
watch_in()
{
	rm -f "$TMP/watch.err"
	unshare --fork "$@" kvm_watcher -e --format=json --interval=0.2 -t 3 >"$TMP/watch.json" 2>"$TMP/watch.err" &
	unshared=$!
	while ! grep -qs watching "$TMP/watch.err" && kill -0 $unshared 2>/dev/null; do
		sleep 0.05
	done
	guest --vcpus=2 out=40 sleep=300 out=40 sleep=300 out=40
	wait $unshared
	ours
	totals_are "in another namespace ($1): exits"
	no_loss "nothing lost there ($1)"
}

now_ns()
{
	kvm_watcher --list --format=json 2>/dev/null | jq -s '.[-1].ts_ns // 0'
}

if planned namespaces && has_tool "other namespaces" unshare; then
	watch_in --pid --mount-proc
	is "another PID namespace is said" 1 "$(grep -c "host's PID namespace" "$TMP/watch.err")"
	guest_at_gate 1 out=3
	before=$(now_ns)
	watch_in --time --monotonic=1000 --boottime=2000
	after=$(now_ns)
	open_gate
	wait "$gated"
	is "another time namespace: times are the host's" true "$(jq -s "map(.ts_ns // empty) |
		length > 0 and min >= $before and max <= $after" "$TMP/watch.json")"
fi

part_ends
# -p ends with its VM, with what was measured and exit status 0.
guest_at_gate 1 out=61
if watch -e -p "$gated"; then
	open_gate
	wait "$watch_pid"
	is "-p ends when its VM ends" 0 $?
	watch_pid=
	cp "$TMP/$gated.json" "$TMP/guest.json"
	totals_are "and has shown it all"
else
	fail "kvm_watcher starts with -p"
fi
done_testing
