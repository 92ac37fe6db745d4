# SPDX-License-Identifier: GPL-2.0-only
# -f and -m are exact: each fresh page that the generator touches is one fault in
# the right slot, of the right type, at the right address; each MMIO access is
# one; and the totals agree with the events.
. "$(dirname "$0")/lib.sh"

# by_pid JQ: "pid:N" of the generator's VMs
by_pid()
{
	jq -rs 'map(select(.what == "vm" or .what == "vcpu")) | group_by(.pid) |
		map("\(.[0].pid):\(map(select(.what == "vcpu") | '"$1"') | add)") | sort | join(" ")' \
		"$TMP/guest.json"
}

# events JQ_FILTER: "pid:N" of the events that match
events()
{
	jq -rs 'map(select(.scope == "event" and ('"$1"'))) | group_by(.pid) |
		map("\(.[0].pid):\(length)") | sort | join(" ")' "$TMP/watch.json"
}

# totals JQ_FILTER FIELD: "pid:N" of the total rows that match
totals()
{
	jq -rs 'map(select(.scope == "total" and has("count") and .count != null and ('"$1"'))) |
		group_by(.pid) | map("\(.[0].pid):\(map('"$2"' // 0) | add)") | sort | join(" ")' \
		"$TMP/watch.json"
}

# wrong_places LABEL: of all memory events, those whose HVA is not where the generator put the page
wrong_places()
{
	is "$1: HVA and slot of every event, as the generator mapped them" 0 "$(jq -s \
		--slurpfile guest "$TMP/guest.json" '
		($guest | map(select(.what == "vm")) | map([.pid, .ram_slot], [.pid, .touch_slot],
			[.pid, .log_slot]) | map(select(.[1] != null)) |
			map({key: "\(.[0]) \(.[1].slot)", value: .[1]}) | from_entries) as $slots |
		map(select(.scope == "event" and .kind == "tdp") |
			$slots["\(.pid) \(.slot)"] as $slot | (.gpa - .gpa % 4096) as $page |
			select($slot == null or .hva != $slot.hva + $page - $slot.gpa or
				.gpa - $slot.gpa >= $slot.pages * 4096)) | length' "$TMP/watch.json")"
}

# run LABEL GUEST_OPTIONS... -- WATCH_OPTIONS...
run()
{
	label=$1 options=
	shift
	while test "$1" != --; do
		options="$options $1"
		shift
	done
	shift
	if ! watch -f "$@"; then
		fail "$label: kvm_watcher starts"
		return 1
	fi
	# shellcheck disable=SC2086
	guest $options || fail "$label: the generator does what it says"
	watch_end || fail "$label: exit status 0" "$watch_status"
	no_loss "$label: nothing lost"
}

# exact LABEL GUEST_OPTIONS -- WATCH_OPTIONS: every kind of touch and of MMIO
exact()
{
	# shellcheck disable=SC2086
	run "$@" || return
	is "$label: written pages" "$(by_pid .ops.touch)" \
		"$(events '.slot == 1 and .write and (.error | index("Exec") | not)')"
	is "$label: read pages" "$(by_pid .ops.touch_read)" \
		"$(events '.slot == 1 and (.write | not) and (.error | index("Exec") | not)')"
	is "$label: executed pages" "$(by_pid .ops.touch_exec)" \
		"$(events '.slot == 1 and (.error | index("Exec"))')"
	is "$label: none of them was there before" "" "$(events '.slot == 1 and .change != "new"')"
	is "$label: the first fault of each page" "" "$(events '.slot == 1 and .page_faults != 1')"
	wrong_places "$label"
	is "$label: the totals of the slot" \
		"$(by_pid '(.ops.touch + .ops.touch_read + .ops.touch_exec)')" \
		"$(totals '.kind == "tdp" and .slot == 1' .count)"
	is "$label: ... and of its writes" "$(by_pid .ops.touch)" \
		"$(totals '.kind == "tdp" and .slot == 1' .by_error.Write)"
	is "$label: all faults are in the totals" "$(events '.kind == "tdp"')" \
		"$(totals '.kind == "tdp"' .count)"
	is "$label: MMIO reads" "$(by_pid .ops.mmio_read)" \
		"$(events '.kind == "mmio" and (.write | not) and .gpa == 3489660928 and .size == 1')"
	is "$label: MMIO writes" "$(by_pid .ops.mmio_write)" \
		"$(events '.kind == "mmio" and .write and .gpa == 3489665024 and .size == 1')"
	is "$label: no other MMIO" "" \
		"$(events '.kind == "mmio" and .gpa != 3489660928 and .gpa != 3489665024')"
	is "$label: MMIO is Reserved, without memory" "" "$(events '.kind == "mmio" and
		(.hva != null or .pfn != null or .slot != null or
		(.error | index("Reserved(MMIO)") | not))')"
	is "$label: the VMM's part is a part" "" "$(events '.kind == "mmio" and
		(.vmm_ns == null or .vmm_ns >= .delay_ns)')"
	is "$label: MMIO reads in the totals" "$(by_pid .ops.mmio_read)" \
		"$(totals '.kind == "mmio"' .reads)"
	is "$label: MMIO writes in the totals" "$(by_pid .ops.mmio_write)" \
		"$(totals '.kind == "mmio"' .writes)"
}

# Where the totals are empty, the expectation "" is right: is wants something.
is()
{
	if test "$2" = "$3"; then
		pass "$1"
	else
		fail "$1" "expected: $2
got:      $3"
	fi
}

why=$(missing kvmmmu_page_fault kvm_page_fault)
if test -n "$why"; then
	skip "page faults" "$why"
	done_testing
fi
ops="touch=37 touch_read=23 touch_exec=17 mmio_read=13 mmio_write=11:0xd0001000"

exact "one vCPU" $ops -- -m
exact "4 vCPUs in 2 VMs" --separate --vms=2 --vcpus=2 $ops -- -m
for kind in raw_tp tp_btf fentry kprobe tracepoint; do
	why=$(kvm_watcher --check --format=json --hooks=$kind 2>/dev/null |
		jq -r '[.monitors.kvmmmu_page_fault.needs[] | select(.state == "missing" and
			(.need | test("^(kvm_page_fault|kvm_entry|kvm_mmio)$"))) | .why][0] // empty')
	if test -n "$why"; then
		skip "--hooks=$kind" "$why"
	else
		exact "--hooks=$kind" --vcpus=2 $ops -- -m --hooks=$kind
	fi
done

# Functions alone know the faults, but not what they became.
for kind in fentry kprobe; do
	why=$(kvm_watcher --check --format=json --hooks=$kind 2>/dev/null |
		jq -r '[.monitors.kvmmmu_page_fault.needs[] | select(.state == "missing" and
			(.need | test("^(kvm_page_fault|kvm_entry)$"))) | .why][0] // empty')
	if test -n "$why"; then
		skip "--hooks=$kind without -m" "$why"
	elif run "--hooks=$kind without -m" $ops -- --hooks=$kind; then
		is "$label: pages" "$(by_pid '(.ops.touch + .ops.touch_read + .ops.touch_exec)')" \
			"$(events '.slot == 1')"
		is "$label: written pages" "$(by_pid .ops.touch)" "$(events '.slot == 1 and .write')"
		wrong_places "$label"
	fi
done

if run "without -m" $ops --; then
	is "without -m: no MMIO" "" "$(events '.kind == "mmio"')"
	is "without -m: the same pages" \
		"$(by_pid '(.ops.touch + .ops.touch_read + .ops.touch_exec)')" "$(events '.slot == 1')"
fi
if run "--summary" --vcpus=2 $ops -- -m --summary; then
	is "--summary: no events" "" "$(events true)"
	is "--summary: the same totals" \
		"$(by_pid '(.ops.touch + .ops.touch_read + .ops.touch_exec)')" \
		"$(totals '.kind == "tdp" and .slot == 1' .count)"
fi

# Pages that dirty logging has write-protected: permission changes, without the MMU's lock.
if test "$(cat /sys/module/kvm_intel/parameters/pml 2>/dev/null)" = Y; then
	skip "write-protected pages" "this CPU logs dirty pages itself (PML): nothing is write-protected"
elif run "write-protected pages" dirty=19:4 --; then
	is "$label: new pages" "$(by_pid .ops.dirty)" "$(events '.slot == 2 and .change == "new"')"
	is "$label: permission changes" "$(by_pid '(.ops.dirty * 3)')" \
		"$(events '.slot == 2 and .change == "permission" and .write and .fast and .level == "4K"')"
	is "$label: the page's own count" "$(by_pid .ops.dirty)" \
		"$(events '.slot == 2 and .page_faults == 4')"
	is "$label: the hottest pages" 10 "$(jq -s 'map(select(.scope == "total" and
		.page_faults == 4)) | length' "$TMP/watch.json")"
	wrong_places "$label"
fi

# Large pages of the host are mapped as such.
if grep -q '\[never\]' /sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null ||
	! test -e /sys/kernel/mm/transparent_hugepage/enabled; then
	skip "2 MiB pages" "this host gives none (transparent_hugepage/enabled)"
elif run "2 MiB pages" --huge touch=1536 --; then
	is "$label: a fault each" "$(jq -rs 'map(select(.what == "vm"))[0] | "\(.pid):3"' \
		"$TMP/guest.json")" "$(events '.slot == 1')"
	is "$label: their level" "$(events '.slot == 1')" "$(events '.slot == 1 and .level == "2M"')"
fi
done_testing
