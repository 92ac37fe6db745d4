# SPDX-License-Identifier: GPL-2.0-only
# -f and -m are exact: each fresh page that the generator touches is one fault in
# the right slot, of the right type, at the right address; each MMIO access is
# one; and the totals agree with the events.
# Functions are called by way of together.
# shellcheck disable=SC2317
. "$(dirname "$0")/lib.sh"

# What the checks are written in, evaluated at once because jq is slow in the machines: "by_pid(f)"
# sums f over the generator's vCPUs of each process, "events(f)" counts the events that match,
# "totals(f; field)" sums a field of the total rows, "is(name; expected; got)" is a check.
defs='
def bag: map(select(.n > 0) | "\(.pid):\(.n)") | sort | join(" ");
def by_pid(f): $guest | map(select(.what == "vcpu")) | group_by(.pid) |
	map({pid: .[0].pid, n: (map(f // 0) | add)}) | bag;
def events(f): $watch | map(select(.scope == "event" and (f))) | group_by(.pid) |
	map({pid: .[0].pid, n: length}) | bag;
def totals(f; field): $watch | map(select(.scope == "total" and .count != null and (f))) |
	group_by(.pid) | map({pid: .[0].pid, n: (map(field // 0) | add)}) | bag;
def is(name; expected; got): [name, expected, got] | map(tostring) | join("|");
def touched: (.ops.touch // 0) + (.ops.touch_read // 0) + (.ops.touch_exec // 0);
def exec: .error | index("Exec");
def slots: $guest | map(select(.what == "vm")) | map([.pid, .ram_slot], [.pid, .touch_slot],
	[.pid, .log_slot]) | map(select(.[1] != null)) |
	map({key: "\(.[0]) \(.[1].slot)", value: .[1]}) | from_entries;
def places: slots as $slots | is("HVA and slot of every event, as the generator mapped them"; 0;
	$watch | map(select(.scope == "event" and .kind == "tdp") |
		$slots["\(.pid) \(.slot)"] as $slot | (.gpa - .gpa % 4096) as $page |
		select($slot == null or .hva != $slot.hva + $page - $slot.gpa or
			.gpa - $slot.gpa >= $slot.pages * 4096)) | length);
def pages: is("written pages"; by_pid(.ops.touch); events(.slot == 1 and .write and (exec | not))),
	is("read pages"; by_pid(.ops.touch_read);
		events(.slot == 1 and (.write | not) and (exec | not))),
	is("executed pages"; by_pid(.ops.touch_exec); events(.slot == 1 and exec)),
	is("the totals of the slot"; by_pid(touched); totals(.kind == "tdp" and .slot == 1; .count)),
	is("all faults are in the totals"; events(.kind == "tdp"); totals(.kind == "tdp"; .count)),
	places;
def mmio: is("MMIO reads"; by_pid(.ops.mmio_read);
		events(.kind == "mmio" and (.write | not) and .gpa == 0xd0000000 and .size == 1)),
	is("MMIO writes"; by_pid(.ops.mmio_write);
		events(.kind == "mmio" and .write and .gpa == 0xd0001000 and .size == 1)),
	is("no other MMIO"; ""; events(.kind == "mmio" and .gpa != 0xd0000000 and .gpa != 0xd0001000)),
	is("MMIO reads in the totals"; by_pid(.ops.mmio_read); totals(.kind == "mmio"; .reads)),
	is("MMIO writes in the totals"; by_pid(.ops.mmio_write); totals(.kind == "mmio"; .writes));
def details: is("no page was there before"; ""; events(.slot == 1 and .change != "new")),
	is("the first fault of each page"; ""; events(.slot == 1 and .page_faults != 1)),
	is("written pages in the totals"; by_pid(.ops.touch);
		totals(.kind == "tdp" and .slot == 1; .by_error.Write)),
	is("each was mapped"; ""; events(.slot == 1 and (.level != "4K" or .pfn == null))),
	is("MMIO is Reserved, without memory"; ""; events(.kind == "mmio" and (.hva != null or
		.pfn != null or .slot != null or (.error | index("Reserved(MMIO)") | not)))),
	is("the part of the VMM is a part"; ""; events(.kind == "mmio" and
		(.vmm_ns == null or .vmm_ns >= .delay_ns)));
'
# jq has no hexadecimal numbers.
defs=$(printf '%s' "$defs" | sed 's/0xd0000000/3489660928/g; s/0xd0001000/3489665024/g')

# checks LABEL JQ: prints the result of every check
checks()
{
	test "$stage" != run || return 0
	jq -rn --slurpfile watch "$TMP/watch.json" --slurpfile guest "$TMP/guest.json" \
		"$defs $2, is(\"nothing lost\"; 0; \$watch[-1].lost | map(.) | add)" \
		>"$TMP/checks" || fail "$1: the checks can't be evaluated"
	while IFS='|' read -r name expected got; do
		if test "$name" = "nothing lost" && test -n "$others" && test "$got" != 0; then
			skip "$1: $name" "other VMs ran here, and may have lost them"
		elif test "$expected" = "$got"; then
			pass "$1: $name"
		else
			fail "$1: $name" "expected: $expected
got:      $got"
		fi
	done <"$TMP/checks"
}

# run LABEL JQ GUEST_OPTIONS... -- WATCH_OPTIONS...
run()
{
	label=$1 what=$2 options=
	shift 2
	while test "$1" != --; do
		options="$options $1"
		shift
	done
	shift
	run_stage=$stage
	for try in 1 2 3; do
		if ! watch -f "$@"; then
			fail "$label: kvm_watcher starts"
			return 1
		fi
		# shellcheck disable=SC2086
		guest $options || fail "$label: the generator does what it says"
		watch_end || fail "$label: exit status 0" "$watch_status"
		repeated || break
		echo "# $label: KVM repeated a fault, try $try"
		# Now by itself.
		stage=
	done
	preempted "$label" "$@" || checks "$label" "$what"
	stage=$run_stage
}

# repeated: has KVM let a vCPU go back into its guest without a page that it had faulted on? So it does (RET_PF_RETRY)
# when the process's memory changes meanwhile; before Linux 5.12 wherever in it. Then there are two faults, rightly.
repeated()
{
	test "$stage" != run || return 1
	grep '"slot":1,' "$TMP/watch.json" | grep '"scope":"event"' | grep -q '"page_faults":2[,}]'
}

why=$(missing kvmmmu_page_fault kvm_page_fault)
if test -n "$why"; then
	skip "page faults" "$why"
	done_testing
fi
ops="touch=37 touch_read=23 touch_exec=17 mmio_read=13 mmio_write=11:0xd0001000"

# shellcheck disable=SC2086
all_hooks()
{
	run "one vCPU" "pages, mmio, details" $ops -- -m
	run "4 vCPUs in 2 VMs" "pages, mmio, details" --separate --vms=2 --vcpus=2 $ops -- -m

	# Pages that dirty logging has write-protected: permission changes, without the MMU's lock.
	if test "$(cat /sys/module/kvm_intel/parameters/pml 2>/dev/null)" = Y; then
		skip "write-protected pages" "this CPU logs dirty pages itself (PML): nothing is write-protected"
	else
		run "write-protected pages" 'is("new pages"; by_pid(.ops.dirty);
				events(.slot == 2 and .change == "new")),
			is("permission changes"; by_pid(.ops.dirty * 3); events(.slot == 2 and .write and
				.change == "permission" and .fast and .level == "4K")),
			is("the count of each page"; by_pid(.ops.dirty);
				events(.slot == 2 and .page_faults == 4)),
			is("the hottest pages"; 10; $watch | map(select(.scope == "total" and
				.page_faults == 4)) | length), places' dirty=19:4 -- -m
	fi

	# Large pages of the host are mapped as such.
	thp=/sys/kernel/mm/transparent_hugepage/enabled
	if ! test -e $thp || grep -q '\[never\]' $thp; then
		skip "2 MiB pages" "this host gives none ($thp)"
	else
		run "2 MiB pages" 'is("a fault each"; by_pid(.ops.touch / 512); events(.slot == 1)),
			is("their level"; events(.slot == 1); events(.slot == 1 and .level == "2M"))' \
			--huge touch=1536 -- -m
	fi
}

together all_hooks -f -m

# shellcheck disable=SC2086
{
if planned kinds; then
	for kind in raw_tp tp_btf; do
		if why=$(lacks kvmmmu_page_fault $kind '^(kvm_page_fault|kvm_entry|kvm_mmio)$'); then
			skip "--hooks=$kind" "$why"
		else
			run "--hooks=$kind" "pages, mmio" --vcpus=2 $ops -- -m --hooks=$kind
		fi
	done
	part_ends
fi
# Functions alone know the faults, but not what they became.
if planned vendor_kinds; then
	for kind in fentry kprobe; do
		if why=$(lacks kvmmmu_page_fault $kind '^(kvm_page_fault|kvm_entry)$'); then
			skip "--hooks=$kind" "$why"
		else
			run "--hooks=$kind" pages $ops -- --hooks=$kind
		fi
	done
	part_ends
fi
if planned summary; then
	run "without -m, --summary" 'is("no events"; ""; events(true)),
		is("no MMIO"; ""; totals(.kind == "mmio"; .count)),
		is("the same totals"; by_pid(touched); totals(.slot == 1; .count))' $ops -- --summary
	part_ends
fi
}
done_testing
