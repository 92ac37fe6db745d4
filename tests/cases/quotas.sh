# SPDX-License-Identifier: GPL-2.0-only
# A guest or VMM that asks for more than its share neither hides nor inflates what its neighbours do: their counters
# stay exact, what is beyond the share is counted as "(other)" or lost, and the loss says whose it was.
. "$(dirname "$0")/lib.sh"

# The hostile generator's lines are in $TMP/hostile.json, its neighbour's in $TMP/guest.json.
hostile()
{
	guest "$@" && cp "$TMP/guest.json" "$TMP/$(jq -rn 'first(inputs.pid // empty)' "$TMP/guest.json").json"
	hostile_pid=$(jq -rn 'first(inputs.pid // empty)' "$TMP/guest.json")
	hostile_calls=$(jq -n '[inputs | select(.what == "ioctl").count] | add' "$TMP/guest.json")
}

# rss: what kvm_watcher has of memory, in KiB
rss()
{
	sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$watch_pid/status"
}

ask_defs='def pid: $guest | map(.pid // empty) | first;
def totals: $watch | map(select(.scope == "total"));
def neighbour: totals | map(select(.pid == pid));
def of(pid): totals | map(select(.pid == pid));
def lost_by(kind): $watch[-1].lost_by | map(select(.kind == kind));'

# How much kvm_watcher's memory grows is no kernel's, and takes many numbers, which take long in a machine.
ioctl_numbers()
{
	rounds='1 2 3' each=50000
	test -z "$KVM_WATCHER_MACHINE" || rounds=1 each=6000
	if ! watch -l; then
		fail "ioctl numbers: kvm_watcher starts"
		return
	fi
	before=$(rss)
	hostile ioctl_each=12000
	first=$hostile_pid first_calls=$hostile_calls
	for _ in $rounds; do
		hostile ioctl_each=$each
	done
	holds "ioctl numbers: the neighbour does what it says" guest out=1023
	sleep 0.2
	after=$(rss)
	watch_end
	ask "ioctl numbers: the neighbour's calls are exact" 1024 \
		'neighbour | map(select(.name == "KVM_RUN").count) | add'
	ask "ioctl numbers: so are 12,000 others, together" $((12000 + first_calls)) "of($first) | map(.count) | add"
	ask "ioctl numbers: so are those of a later process" $((each + hostile_calls)) "of($hostile_pid) | map(.count) | add"
	ask "ioctl numbers: what is beyond the share is one row without a number" '[null]' \
		"of($hostile_pid) | map(select(.name == \"(other)\" and .fd_kind == \"vm\").cmd)"
	ask_lost "ioctl numbers: nothing is lost" 0 'lost.records_full'
	if test $((after - before)) -lt 35000; then
		pass "ioctl numbers: memory is bounded"
	else
		fail "ioctl numbers: memory is bounded" "from $before to $after KiB"
	fi
	answers
}

vcpus()
{
	if ! watch -e --max-vcpus=63; then
		fail "vCPUs: kvm_watcher starts"
		return
	fi
	kvm_guest --vms=2 --vcpus=64 out=1 sleep=60000 >"$TMP/many.json" 2>&1 &
	many=$!
	: >"$TMP/$many.json"
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		sleep 0.2
		# shellcheck disable=SC2010
		test "$(ls -l /proc/$many/fd 2>/dev/null | grep -c kvm-vcpu)" -ge 128 && break
	done
	sleep 0.5
	holds "vCPUs: the neighbour does what it says" guest --vcpus=4 out=99
	kill -9 $many
	watch_end
	ask "vCPUs: the neighbour's exits are exact" '[100,100,100,100]' \
		'neighbour | map(select(.kind == "userspace" and .reason == "IO").count)'
	ask_true "vCPUs: 128 of one process do not have all places" \
		"of($many) | map(.tid) | unique | length | . >= 16 and . <= 50"
	ask_true "vCPUs: what is lost is that process's" \
		"lost_by(\"vcpus_full\") | length > 0 and all(.monitor == \"vm_exit\" and (.pid == $many or .pid != pid))"
	ask_true "vCPUs: with its name" "lost_by(\"vcpus_full\") | any(.pid == $many and .vm != null)"
	answers
	is "vCPUs: so says the message" 1 "$(grep -c "lost: .* vcpus_full .* in vm_exit of .*$many" "$TMP/watch.err")"
}

# More processes than the kernel has places for those that lose something, one after the other.
losers()
{
	if ! watch -e --max-vcpus=4 --interval=500ms; then
		fail "losers: kvm_watcher starts"
		return
	fi
	cp "$(command -v kvm_guest)" "$TMP/crosvm"
	seq 1200 | xargs -P 2 -I '{}' kvm_guest --vcpus=5 out=1 >/dev/null 2>&1
	"$TMP/crosvm" --name=late --vcpus=5 out=5 sleep=2000 >/dev/null
	watch_end
	ask_true "losers: one behind 1,200 others is known by its name" 'lost_by("vcpus_full") | any(.vm == "late" and .count > 0)'
	ask_true "losers: of the others the latest 500 and more are, by their pids" 'lost_by("vcpus_full") | map(select(.pid != null)) | length | . >= 500 and . <= 2100'
	ask "losers: all parts are the whole" '$watch[-1].lost.vcpus_full' 'lost_by("vcpus_full") | map(.count) | add'
	answers
}

# Nobody reads meanwhile.
events()
{
	if ! watch -l --events --ring-size=1; then
		fail "events: kvm_watcher starts"
		return
	fi
	kill -STOP "$watch_pid"
	hostile ioctl_each=20000
	holds "events: the neighbour does what it says" guest ioctls=2 out=10
	kill -CONT "$watch_pid"
	sleep 0.5
	watch_end
	ask "events: all of the neighbour's are shown" \
		'$guest | map(select(.what == "ioctl" and .cmd != 44672) | .count) | add' \
		'$watch | map(select(.scope == "event" and .pid == pid)) | length'
	ask_true "events: what is lost is the other one's" \
		"lost_by(\"events\") | any(.pid == $hostile_pid and .count > 1000) and all(.pid != pid)"
	answers
}

hypercalls()
{
	if ! watch -h; then
		fail "hypercalls: kvm_watcher starts"
		return
	fi
	hostile vmcall_each=3000
	holds "hypercalls: the neighbour does what it says" guest vmcall=101 hc_kick=7
	watch_end
	ask "hypercalls: the neighbour's are exact" '[7,101]' 'neighbour | map(.count) | sort'
	ask "hypercalls: so are those of 3,000 numbers, together" 3000 "of($hostile_pid) | map(.count) | add"
	ask_true "hypercalls: what is beyond the share is one row" \
		"of($hostile_pid) | map(select(.name == \"(other)\")) | length == 1 and .[0].nr == null"
	ask "hypercalls: nothing is lost" 0 'lost.records_full'
	answers
}

mmio()
{
	if ! watch -f -m; then
		fail "MMIO: kvm_watcher starts"
		return
	fi
	# 3000 registers for each of two vCPUs, those of an APIC first.
	hostile --vcpus=2 mmio_each=3000:0xfee00000
	holds "MMIO: the neighbour does what it says" guest mmio_read=23
	watch_end
	ask "MMIO: the neighbour's accesses are exact" 23 'neighbour | map(select(.kind == "mmio").count) | add'
	ask "MMIO: so are those of 6,000 registers, together" 6000 \
		"of($hostile_pid) | map(select(.kind == \"mmio\").count) | add"
	ask "MMIO: nothing is lost" 0 'lost.records_full'
	answers
}

if why=$(missing kvm_ioctl ioctl_return); then
	skip "ioctl numbers, events" "$why"
else
	ioctl_numbers
	events
fi
vcpus
if planned losers; then
	losers
	part_ends
fi
if planned guests; then
	if why=$(missing hypercall kvm_hypercall); then
		skip "hypercalls" "$why"
	else
		hypercalls
	fi
	if why=$(missing kvmmmu_page_fault kvm_page_fault); then
		skip "MMIO" "$why"
	else
		mmio
	fi
	part_ends
fi
done_testing
