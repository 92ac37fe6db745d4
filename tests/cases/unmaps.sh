# SPDX-License-Identifier: GPL-2.0-only
# --unmaps is exact: pages that a VMM takes away are counted one by one, and so are ranges that others take: KSM,
# khugepaged, reclaim, NUMA balancing, memory that goes offline, another process. Together they are what the kernel's own
# event counts.
# Functions are called by way of together.
# shellcheck disable=SC2317
. "$(dirname "$0")/lib.sh"

# told: the function is hooked, which tells the event and the VM
ask_defs='def rows: $watch | map(select(.scope == "total" and .table == "UNMAPS"));
def told: $watch[-1].hooks | any(.need == "kvm_mmu_notifier_invalidate_range_start" and (.hook | test("^(kprobe|fentry)/")));
def timed: $watch[-1].hooks | any(.need == "kvm_mmu_notifier_invalidate_range_start_return" and .state != "missing");
def vms: $guest | map(select(.what == "vm"));
def pages(vm): [vm | .ram_slot, .touch_slot, .taken_slot, .log_slot | .pages? // 0] | add;
def sum(f): map(f) | add // 0;
def by(a; c): rows | map(select(.actor == a and .call == c));'

why=$(missing unmaps kvm_mmu_notifier_invalidate_range_start)
if test -n "$why"; then
	skip "everything" "$why"
	done_testing
fi

# exact LABEL GUEST_OPTIONS: a run, to be asked about; false when the kernel skipped programs in it
exact()
{
	label=$1 options=$2
	shift 2
	if ! watch --unmaps "$@"; then
		fail "$label: kvm_watcher starts"
		return 1
	fi
	# shellcheck disable=SC2086
	holds "$label: the generator does what it says" guest $options
	watch_end && pass "$label: exit status 0" || fail "$label: exit status 0" "$watch_status"
	preempted "$label: every range" "$@" && return 1
	ask_lost "$label: nothing lost" '{}' 'lost | map_values(select(. != 0))'
}

# taken N: each of N pages was read, written and taken away
taken()
{
	ask "$label: pages that the VMM takes away" "$1" 'by("vmm"; "madvise") | sum(.guest_count)'
	ask "$label: of one page each" "$1" 'by("vmm"; "madvise") | sum(.pages)'
	ask "$label: the guest's writes to the page of zeroes" "$1" 'by("fault"; "KVM_RUN") | sum(.guest_count)'
	ask "$label: of one page each, too" "$1" 'by("fault"; "KVM_RUN") | sum(.pages)'
	ask "$label: nobody else takes any" '["KVM_RUN", "madvise"]' \
		'rows | map(select(.guest_count > 0).call) | unique'
	ask "$label: what the kernel calls it" true \
		'if told then rows | map(select(.guest_count > 0).event) | unique == ["CLEAR"] else rows | all(.event == null) end'
	ask_true "$label: each is timed" \
		'if timed then rows | all(.time_count == .count and .p50_ns <= .p99_ns and .p99_ns <= .max_ns and .total_ns > 0)
			else rows | all(.time_count == 0 and .total_ns == null) end'
}

runs()
{
	exact "madvise" "--vcpus=2 dontneed=50"
	taken 100
	answers
	exact "mprotect" "mprotect=20"
	ask "mprotect: read-only and writable" '[40, 40]' \
		'by("vmm"; "mprotect") | [sum(.guest_count), sum(.pages)]'
	ask "mprotect: what the kernel calls it" true 'if told then by("vmm"; "mprotect") |
		map(select(.guest_count > 0).event) | unique == ["PROTECTION_VMA"] else true end'
	answers
	if test -n "$no_uffd"; then
		skip "userfaultfd" "$no_uffd"
	elif exact "userfaultfd" "uffd_wp=15"; then
		ask "userfaultfd: write-protected and released" '[30, 30]' \
			'by("userfaultfd"; "ioctl") | [sum(.guest_count), sum(.pages)]'
		answers
	fi
	exact "two processes" "--vms=2 --separate dontneed=30"
	ask "two processes: each VM's own" '[30, 30]' \
		'by("vmm"; "madvise") | map(select(.guest_count > 0)) | group_by(.pid) | map(sum(.guest_count))'
	answers
}

no_uffd=
kvm_guest uffd_wp=1 >/dev/null 2>"$TMP/err" || no_uffd="this host can't write-protect pages by one: $(cat "$TMP/err")"
together runs --unmaps

if planned vms && exact "VMs of one process" "--vms=2 dontneed=25"; then
	ask "VMs of one process: each VM's own" '[25, 25]' \
		'by("vmm"; "madvise") | map(select(.guest_count > 0)) | group_by(.vm_id) | map(sum(.guest_count))'
	ask "VMs of one process: both are told of every range" '[true]' \
		'by("vmm"; "madvise") | group_by(.vm_id) | map(sum(.count) >= 50) | unique'
	answers
	part_ends
fi

if planned kinds; then
	for kind in kprobe fentry raw_tp tp_btf tracepoint; do
		if why=$(lacks unmaps "$kind" '^kvm_mmu_notifier_invalidate_range_start$'); then
			skip "--hooks=$kind" "$why"
		elif exact "--hooks=$kind" "--vcpus=2 dontneed=20" "--hooks=$kind"; then
			taken 40
			answers
		fi
	done
	part_ends
fi

# until CONDITION...: true at the latest in ten seconds
until_true()
{
	for until_try in $(seq 50); do
		"$@" && return
		sleep 0.2
	done
	return "$((until_try > 0))"
}

is_up()
{
	grep -qs '"what":"vm"' "$1"
}

merged()
{
	test $(($(cat /sys/kernel/mm/ksm/pages_shared) + $(cat /sys/kernel/mm/ksm/pages_sharing))) -eq 64
}

collapsed()
{
	test "$(cat "$thp/pages_collapsed")" -gt "$collapsed_before"
}

# slot KEY WHAT: of the VM in $TMP/guest.json
slot()
{
	jq -rn --arg k "$1" --arg w "$2" 'first(inputs | select(.what == "vm")) | .[$k][$w]' "$TMP/guest.json"
}

# KSM merges 64 pages that are the same: one of them stays, made read-only, and each other is made read-only and replaced.
# Telling it to undo that is done by whoever writes so.
ksm()
{
	echo 1 >/sys/kernel/mm/ksm/run
	holds "KSM merges all pages" until_true merged
	echo 2 >/sys/kernel/mm/ksm/run
	ask "KSM: read-only, and replaced" '[127, 127]' 'by("ksm"; null) | [sum(.guest_count), sum(.pages)]'
	ask "who undoes it is another process" '[64, 64]' \
		'by("other"; "write") | map(select(.event == "CLEAR")) | [sum(.guest_count), sum(.pages)]'
}

# All of an address space at once.
soft_dirty()
{
	for _ in 1 2 3 4 5; do
		echo 4 >"/proc/$guest_pid/clear_refs"
	done
	ask "another process clears the soft-dirty bits: all of the guest's memory" \
		'vms | map([5, 5 * pages(.)])[0]' \
		'by("other"; "write") | map(select(.event == "SOFT_DIRTY")) | [sum(.guest_count), sum(.pages)]'
	ask "it is named" "[\"$(cat /proc/$$/comm)\"]" 'by("other"; "write") | map(.comm) | unique'
}

# pagemap PID HVA PAGES: where each of these pages is, a line each
pagemap()
{
	dd if="/proc/$1/pagemap" bs=8 skip=$(($2 / 4096)) count="$3" 2>/dev/null | od -An -v -tx8 -w8
}

# Pages of the host that are taken out of use one by one: what they have moves elsewhere.
migration()
{
	soft_offline=/sys/devices/system/memory/soft_offline_page
	if why=$(missing unmaps mm_migrate_pages_start); then
		skip "pages that go offline" "$why"
		return
	fi
	if test ! -e $soft_offline; then
		skip "pages that go offline" "this kernel can't take a page out of use"
		return
	fi
	pagemap $guest_pid "$(slot touch_slot hva)" 10 >"$TMP/pagemap"
	while read -r entry; do
		printf '0x%x\n' $(((0x$entry & 0x7fffffffffffff) * 4096)) >$soft_offline
	done <"$TMP/pagemap"
	ask "pages that go offline" '[10, 10]' 'by("migration"; "write") | [sum(.guest_count), sum(.pages)]'
}

# Half of the pages are free, so that pages of a block can move into others.
compaction()
{
	kvm_guest --holes --end-on="$TMP/gone" touch=16392 >"$TMP/holes.json" &
	holes=$!
	holds "a VM with holes in its memory runs" until_true is_up "$TMP/holes.json"
	holes_hva=$(jq -rn 'first(inputs | select(.what == "vm")).touch_slot.hva' "$TMP/holes.json")
	pagemap $holes "$holes_hva" 16392 >"$TMP/before"
	echo 1 >/proc/sys/vm/compact_memory
	moved=$(pagemap $holes "$holes_hva" 16392 | paste - "$TMP/before" | awk '$1 "" != $2 ""' | wc -l)
	ask "pages that are given back" '[2732, 8196]' \
		"by(\"vmm\"; \"madvise\") | map(select(.pid == $holes)) | [sum(.guest_count), sum(.pages)]"
	ask_where "($moved > 0)" "compaction moved none of the VM's pages" "who compacts memory is told" '[true, true, true]' \
		"by(\"compaction\"; \"write\") | map(select(.pid == $holes)) | [sum(.guest_count) == sum(.pages),
			sum(.pages) >= $moved, all(.event == \"CLEAR\")]"
}

huge()
{
	thp=/sys/kernel/mm/transparent_hugepage/khugepaged
	collapsed_before=$(cat $thp/pages_collapsed)
	scan_sleep=$(cat $thp/scan_sleep_millisecs)
	echo 0 >$thp/scan_sleep_millisecs
	: >"$TMP/collapse"
	holds "khugepaged makes large pages" until_true collapsed
	echo "$scan_sleep" >$thp/scan_sleep_millisecs
	ask_true "khugepaged: ranges of 512 pages" \
		'by("khugepaged"; null) | sum(.guest_count) > 0 and sum(.pages) == 512 * sum(.guest_count)'
}

swap()
{
	if test ! -e /sys/block/zram0; then
		while read -r module; do
			insmod "/modules/$module" || return 1
		done </modules/zram
		echo 64M >/sys/block/zram0/disksize && mkswap /dev/zram0 || return 1
	fi
	swapon /dev/zram0
}

# The cases that follow have the host that those before had: khugepaged that scans without a rest takes half of a CPU.
as_it_was()
{
	echo 0 >/sys/kernel/mm/ksm/run
	swapoff /dev/zram0 2>/dev/null
	if test -d "$TMP/cgroup/vm"; then
		rmdir "$TMP/cgroup/vm"
		echo -memory >"$TMP/cgroup/cgroup.subtree_control"
		umount "$TMP/cgroup"
	fi
}

# What it asks for is the VMM's own doing, though the kernel reclaims for it. A page that was just used may stay.
pageout()
{
	swapped=$(sed -n 's/^pswpout //p' /proc/vmstat)
	holds "a VMM swaps pages out" kvm_guest pageout=50
	swapped=$(($(sed -n 's/^pswpout //p' /proc/vmstat) - swapped))
	cp "$TMP/holds" "$TMP/pageout.json"
	pageout_pid=$(jq -rn 'first(inputs.pid // empty)' "$TMP/pageout.json")
	ask_true "pages that a VMM swaps out are no reclaim" "rows | map(select(.pid == $pageout_pid)) |
		all(.actor != \"reclaim\") and (map(select(.call == \"madvise\")) | sum(.guest_count) | . >= $swapped and . <= 50)"
}

# The limit is lower than what the VM has: who sets it reclaims the rest.
reclaim()
{
	cg=$TMP/cgroup
	mkdir -p "$cg"
	if ! mount -t cgroup2 none "$cg" || ! echo +memory >"$cg/cgroup.subtree_control" || ! mkdir -p "$cg/vm"; then
		fail "this kernel has cgroups of version 2"
		return
	fi
	sh -c "echo \$\$ >'$cg/vm/cgroup.procs' && exec kvm_guest --end-on='$TMP/gone' touch=1024" >"$TMP/small.json" &
	small=$!
	holds "a VM with a limit runs" until_true is_up "$TMP/small.json"
	echo 2M >"$cg/vm/memory.high"
	ask_true "who reclaims is told" "rows | map(select(.actor == \"reclaim\" and .pid == $small and .event == \"CLEAR\")) |
		sum(.guest_count) > 256 and sum(.pages) == sum(.guest_count)"
}

# A thread marks its own pages, on its way back to the guest.
numa()
{
	if ! echo 1 2>/dev/null >/proc/sys/kernel/numa_balancing; then
		skip "NUMA balancing" "this kernel has none"
		return
	fi
	holds "a VM runs for two seconds" kvm_guest --name=numa touch=512 spin=2500
	echo 0 >/proc/sys/kernel/numa_balancing
	cat "$TMP/holds" >"$TMP/numa.json"
	numa_pid=$(jq -rn 'first(inputs.pid // empty)' "$TMP/numa.json")
	ask_true "NUMA balancing marks its pages" "by(\"numa\"; \"KVM_RUN\") | map(select(.pid == $numa_pid)) |
		sum(.guest_count) > 0 and sum(.pages) >= 512 and all(.event | test(\"PROTECTION\"))"
}

actors()
{
	rm -f "$TMP/gone"
	watch --unmaps || fail "actors: kvm_watcher starts"
	hist_begin kvm_unmap_hva_range common_pid
	compaction
	kvm_guest --ksm --collapse="$TMP/collapse" --end-on="$TMP/gone" touch=2048 >"$TMP/guest.json" &
	guest_pid=$!
	holds "actors: a VM runs" until_true is_up "$TMP/guest.json"
	ksm
	migration
	huge
	soft_dirty
	holds "there is something to swap to" swap
	pageout
	reclaim
	numa
	: >"$TMP/gone"
	wait $guest_pid $small $holes
	as_it_was
	hist_end >"$TMP/ranges"
	ranges=$(awk '{ sum += $2 } END { print sum + 0 }' "$TMP/ranges")
	watch_end && pass "actors: exit status 0" || fail "actors: exit status 0" "$watch_status"
	ask_where "$(test -n "$hist_refused" && echo false || echo true)" "$hist_refused" \
		"all of them are what the kernel's event counts" "$ranges" 'rows | sum(.count)'
	ask_lost "actors: nothing lost" 0 'lost | add'
	answers
}

if planned actors; then
	actors
	part_ends
fi
done_testing
